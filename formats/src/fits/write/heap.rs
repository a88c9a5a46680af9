//! A tile-compressed image being written: the rows of its table, and the heap.
//!
//! The tiles of a chunk go into scratch, and from there, many at a time, to the end of the heap,
//! whose length is all that writers share. The order of tiles in the heap is that in which chunks
//! came; a chunk that is written again leaves a gap there, as the standard allows. Lengths and
//! checksums, which are known in the end, are put into the header then.

use super::{
    super::header::BLOCK,
    Output, cards, checksum,
    tiles::{Codec, Layout, Room, form},
};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    journal::Noted,
    region::Coordinates,
    source::ReadCx,
    view::{ChunkMut, ChunkView},
};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// What the table tells of a tile.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) tile: u64,
    /// Bytes in the heap.
    pub(super) len: u64,
    /// The column of its descriptor: 0, or 1 for what is not quantised.
    pub(super) stream: u64,
    pub(super) scale: f64,
    pub(super) zero: f64,
}

impl Entry {
    /// As words, which may lie in scratch.
    fn words(self) -> [u64; 5] {
        let Entry { tile, len, stream, scale, zero } = self;
        [tile, len, stream, scale.to_bits(), zero.to_bits()]
    }

    fn of(words: [u64; 5]) -> Entry {
        let [tile, len, stream, scale, zero] = words;
        Entry { tile, len, stream, scale: f64::from_bits(scale), zero: f64::from_bits(zero) }
    }
}

/// A file with a compressed image.
#[derive(Debug)]
pub(super) struct Image {
    layout: Layout,
    file: File,
    /// Bytes of the heap that are given to tiles.
    heap: AtomicU64,
    /// The most bytes of a tile in each column.
    longest: [AtomicU64; 2],
    /// The checksums of what is in the heap, added up.
    sum: AtomicU64,
    /// Whether part of the heap may hold something else, because writing it failed.
    torn: AtomicBool,
}

impl Image {
    /// Begins with a file that has room for all before the heap.
    pub(super) fn new(layout: &Layout, file: File) -> Image {
        Image {
            layout: layout.clone(),
            file,
            heap: AtomicU64::new(0),
            longest: Default::default(),
            sum: AtomicU64::new(0),
            torn: AtomicBool::new(false),
        }
    }

    /// Writes tiles to the heap and into the table.
    fn flush(&self, entries: &[[u64; 5]], rows: &mut [u8], bytes: &[u8]) -> Result<()> {
        let Layout { header, wide, codec, .. } = &self.layout;
        let row = self.layout.row();
        let mut offset = self.heap.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if !wide && offset + bytes.len() as u64 > i32::MAX as u64 {
            return Err(FormatError::new(ErrorKind::Limit, "a heap above 2 GiB"));
        }
        let start = self.layout.heap_start() + offset;
        if let Err(error) = self.file.write_all_at(bytes, start) {
            self.torn.store(true, Ordering::Relaxed);
            return Err(error.into());
        }
        self.sum.fetch_add(checksum::sum(bytes, start).into(), Ordering::Relaxed);
        let descriptor = if *wide { 16 } else { 8 };
        for run in entries.chunk_by(|a, b| a[0] + 1 == b[0]) {
            let rows = &mut rows[..run.len() * row as usize];
            for (cell, &words) in rows.chunks_exact_mut(row as usize).zip(run) {
                let entry = Entry::of(words);
                cell.fill(0);
                let stream = entry.stream as usize;
                self.longest[stream].fetch_max(entry.len, Ordering::Relaxed);
                let place = &mut cell[stream * descriptor..][..descriptor];
                let (count, at) = place.split_at_mut(descriptor / 2);
                match wide {
                    true => {
                        count.copy_from_slice(&entry.len.to_be_bytes());
                        at.copy_from_slice(&offset.to_be_bytes());
                    }
                    false => {
                        count.copy_from_slice(&(entry.len as u32).to_be_bytes());
                        at.copy_from_slice(&(offset as u32).to_be_bytes());
                    }
                }
                if let Codec::Quantised(_) = codec {
                    cell[2 * descriptor..][..8].copy_from_slice(&entry.scale.to_be_bytes());
                    cell[2 * descriptor + 8..].copy_from_slice(&entry.zero.to_be_bytes());
                }
                offset += entry.len;
            }
            self.file.write_all_at(rows, header.len() as u64 + run[0][0] * row)?;
        }
        Ok(())
    }
}

impl Output for Image {
    fn write(&self, index: &[u64], data: ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<Noted> {
        let Layout { meta, tiles, .. } = &self.layout;
        let dtype: DType = meta.dtype;
        let region = meta.grid.region(index);
        let needs = self.layout.needs();
        let (entries, mut cx) = cx.split_scratch(needs.entries as usize);
        let entries = bytemuck::cast_slice_mut::<u8, [u64; 5]>(entries);
        let (rows, mut cx) = cx.split_scratch(needs.rows as usize);
        let (pixels, mut cx) = cx.split_scratch(needs.tile as usize);
        let (planes, mut cx) = cx.split_scratch(needs.planes as usize);
        let (survey, mut cx) = cx.split_scratch(needs.survey as usize);
        let survey = bytemuck::cast_slice_mut::<u8, f64>(survey);
        let (heap, cx) = cx.split_scratch(needs.heap as usize);
        let bound = self.layout.bound() as usize;
        let (mut count, mut used, mut bytes) = (0, 0, 0);
        for at in Coordinates::of(tiles.covering(&region)) {
            cx.cancel.check()?;
            if count == entries.len() || heap.len() - used < bound {
                self.flush(&entries[..count], rows, &heap[..used])?;
                bytes += used as u64;
                (count, used) = (0, 0);
            }
            let tile = tiles.region(&at);
            let pixels = &mut pixels[..tile.volume() as usize * dtype.size()];
            ChunkMut::new(dtype, pixels, &tile.shape)
                .assign(&data.sub(&tile.relative_to(&region.start)));
            let width = tile.shape.last().map_or(1, |&len| len as usize);
            let room = Room { planes: &mut *planes, survey: &mut *survey };
            let number = tiles.linear_of(&at);
            let entry = self.layout.encode(number, width, pixels, room, &mut heap[used..])?;
            entries[count] = entry.words();
            (count, used) = (count + 1, used + entry.len as usize);
        }
        self.flush(&entries[..count], rows, &heap[..used])?;
        let chunk = meta.grid.linear_of(index);
        Ok(Noted { chunk, len: bytes + used as u64, ..Noted::default() })
    }

    fn finish(&self) -> Result<()> {
        let Layout { header, extension, wide, .. } = &self.layout;
        let (table, heap) = (header.len() as u64, self.layout.heap_start());
        let len = self.heap.load(Ordering::Relaxed);
        let end = (heap + len).next_multiple_of(BLOCK);
        self.file.set_len(end)?;
        let rows = checksum::of_file(&self.file, table..heap)?;
        // Each of the sums added up is below 2^32: 2^32 of them fit.
        let data = match self.torn.load(Ordering::Relaxed) {
            true => checksum::of_file(&self.file, heap..end)?,
            false => checksum::fold(self.sum.load(Ordering::Relaxed)),
        };
        let mut header = header[*extension..].to_vec();
        cards::replace(&mut header, "PCOUNT", &len.into(), "bytes of the heap");
        for (longest, name) in self.longest.iter().zip(["TFORM1", "TFORM2"]) {
            let longest = longest.load(Ordering::Relaxed);
            cards::replace(&mut header, name, &form(*wide, longest).into(), "");
        }
        checksum::put(&mut header, checksum::fold(u64::from(rows) + u64::from(data)));
        self.file.write_all_at(&self.layout.header[..*extension], 0)?;
        Ok(self.file.write_all_at(&header, *extension as u64)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        grid::Grid,
        source::{Cancel, FileCache, Meta},
    };

    #[test]
    fn what_a_failed_write_left_is_in_the_checksum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.fits");
        let meta = Meta::new(DType::U16, Grid::regular(&[4, 50], &[2, 50]));
        let layout = Layout::new(&meta, Codec::Rice, &[]).unwrap();
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(layout.heap_start()).unwrap();
        let mut image = Image::new(&layout, file);
        let pixels: Vec<u16> = (0..100).map(|i| i * 37 % 1009).collect();
        let write = |image: &Image, chunk| {
            let mut scratch = vec![0u64; layout.scratch() as usize / 8 + 8];
            let mut cx = ReadCx {
                scratch: bytemuck::cast_slice_mut(&mut scratch),
                limit: u64::MAX,
                files: &FileCache::default(),
                cancel: &Cancel::default(),
            };
            image.write(&[chunk, 0], ChunkView::of(&pixels, &[2, 50]), &mut cx)
        };
        write(&image, 0).unwrap();
        // A file that cannot be written to; then it can, and something was left in the heap.
        let good = std::mem::replace(&mut image.file, File::open(&path).unwrap());
        assert!(write(&image, 1).is_err());
        let at = layout.heap_start() + image.heap.load(Ordering::Relaxed) - 3;
        image.file = good;
        image.file.write_all_at(&[1, 2, 3], at).unwrap();
        write(&image, 1).unwrap();
        image.finish().unwrap();
        let end = std::fs::metadata(&path).unwrap().len();
        let sum = checksum::of_file(&image.file, layout.extension as u64..end).unwrap();
        assert_eq!(sum, u32::MAX, "the sum of the whole HDU");
        let stored = crate::registry::open(path.to_str().unwrap()).unwrap();
        assert_eq!(stored.meta().shape()[..], [4, 50]);
    }
}
