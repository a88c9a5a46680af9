//! A tile-compressed image being written: an empty primary HDU, and a table with a row a tile.
//!
//! Tiles never cross a chunk, so each chunk is compressed by itself: its tiles go into scratch,
//! and from there, many at a time, to the end of the heap, whose length is all that
//! writers share. The order of tiles in the heap is that in which chunks came; a chunk that is
//! written again leaves a gap there, as the standard allows. Lengths and checksums, which
//! are known in the end, are put into the header then.

use super::{
    super::{convert::to_file_order, header::BLOCK, quantise::Dither},
    Output,
    cards::{self, Cards},
    checksum,
    quantise::{self, Quantisation},
    rice,
};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    grid::{AxisGrid, Grid},
    journal::Noted,
    region::{Coordinates, checked_volume, volume},
    source::{Meta, ReadCx},
    view::{ChunkMut, ChunkView},
};
use libdeflater::{CompressionLvl, Compressor};
use serde_json::Value;
use std::{
    cell::RefCell,
    fs::File,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Compressed bytes that are written at a time.
const HEAP: u64 = 1 << 20;
/// Tiles that are written at a time.
const TILES: u64 = 4096;
/// Pixels of a tile below which it takes in several rows, as far as its chunk has them.
const SMALL: u64 = 1024;
/// The least pixels of a row of a tile, where its axis has more.
const NARROW: u64 = 64;
/// The level of deflate of tiles that are not quantised.
const FALLBACK: i32 = 4;

thread_local! {
    /// The compressor of the level asked for last; counted in the scratch.
    static DEFLATE: RefCell<Option<(i32, Compressor)>> = const { RefCell::new(None) };
}

/// How tiles are compressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Codec {
    /// RICE_1
    Rice,
    /// RICE_1 of floats that are made integers, with a loss; GZIP_1 where that cannot be.
    Quantised(Quantisation),
    /// GZIP_2, by this level of deflate.
    Gzip { level: i32 },
}

/// The grid of chunks that tiles fit into: `grid` itself but where its innermost axis is cut
/// into slivers.
pub(super) fn chunks(grid: &Grid) -> Grid {
    let Some((inner, outer)) = grid.axes().split_last() else { return grid.clone() };
    if step(inner) >= NARROW.min(inner.len()) {
        return grid.clone();
    }
    let chunk = inner.max_chunk().next_multiple_of(NARROW);
    Grid::new(outer.iter().cloned().chain([AxisGrid::regular(inner.len(), chunk)]))
}

/// The greatest length that divides all chunks along an axis, but for the last.
fn step(axis: &AxisGrid) -> u64 {
    let inner = axis.boundaries().filter(|&at| at > 0 && at < axis.len());
    let mut step = inner.fold(0, |mut a, mut b| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    });
    if step == 0 {
        step = axis.len();
    }
    step.max(1)
}

/// The tiles of chunks: rows, or some rows where they are short.
fn tiles(grid: &Grid) -> Grid {
    let axes = grid.axes();
    let mut tile = vec![1; axes.len()];
    if let Some(inner) = axes.last() {
        tile[axes.len() - 1] = step(inner);
    }
    if let [.., above, inner] = axes
        && step(inner) == inner.len()
        && inner.len() < SMALL
    {
        let (rows, wanted) = (step(above), SMALL.div_ceil(inner.len()));
        tile[axes.len() - 2] = match rows == above.len() {
            true => wanted.min(rows),
            // Tiles end where chunks end.
            false => (1..=wanted.min(rows)).rev().find(|n| rows % n == 0).unwrap_or(1),
        };
    }
    Grid::regular(&grid.shape(), &tile)
}

/// What a file with a compressed image is like.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    meta: Meta,
    codec: Codec,
    tiles: Grid,
    /// Both headers; the second begins at `extension`.
    header: Vec<u8>,
    extension: usize,
    /// Whether descriptors are of 64 bits.
    wide: bool,
}

impl Layout {
    /// The file for an array like `meta`, which has elements and axes.
    pub(super) fn new(meta: &Meta, codec: Codec, own: &[(String, Value)]) -> Result<Layout> {
        let refuse = |message: &str, help: &str| {
            Err(FormatError::new(ErrorKind::Unsupported, message).help(help))
        };
        match codec {
            Codec::Rice if meta.dtype.is_float() => {
                return refuse(
                    "RICE_1 compresses integers, and these are floats",
                    "ask for gzip, which loses nothing, for rice:4, which rounds to a quarter of the \
                     noise (`quantised`), or cast to integers first",
                );
            }
            Codec::Quantised(_) if !meta.dtype.is_float() => {
                return refuse(
                    "only floats are quantised, and these are integers",
                    "ask for rice, without a level, which loses nothing",
                );
            }
            Codec::Quantised(Quantisation { level, .. }) if !level.is_normal() => {
                return refuse(
                    "the level of quantisation is no number other than 0",
                    "4 makes steps of a quarter of the noise, -0.1 steps of 0.1",
                );
            }
            Codec::Rice if meta.dtype.size() == 8 => {
                return refuse(
                    "RICE_1 compresses integers of up to 32 bits",
                    "ask for gzip, or cast to smaller integers first",
                );
            }
            Codec::Gzip { level } if CompressionLvl::new(level).is_err() => {
                return refuse("gzip has the levels 0 to 12", "the usual one is 4");
            }
            _ => {}
        }
        let tiles = tiles(&meta.grid);
        let most = meta.bytes().and_then(|bytes| bytes.checked_mul(2));
        let wide = most.is_none_or(|bytes| bytes > i32::MAX as u64);
        let rows = tiles.len();
        let row = row_bytes(codec, wide);
        if rows.checked_mul(row).is_none_or(|bytes| bytes > i64::MAX as u64 / 2) {
            return Err(FormatError::new(ErrorKind::Limit, "more tiles than a file can have"));
        }

        let mut primary = Cards::default();
        primary.value("SIMPLE", &true.into(), "conforms to the FITS standard");
        primary.value("BITPIX", &8.into(), "");
        primary.value("NAXIS", &0.into(), "the image is in the extension");
        primary.value("EXTEND", &true.into(), "");
        primary.checksums();
        let mut header = primary.finish();
        checksum::put(&mut header, 0);
        let extension = header.len();

        let mut table = Cards::default();
        table.value("XTENSION", &"BINTABLE".into(), "a compressed image");
        table.value("BITPIX", &8.into(), "");
        table.value("NAXIS", &2.into(), "");
        table.value("NAXIS1", &row.into(), "bytes of a row");
        table.value("NAXIS2", &rows.into(), "a row a tile");
        table.value("PCOUNT", &0.into(), "bytes of the heap");
        table.value("GCOUNT", &1.into(), "");
        let quantised = matches!(codec, Codec::Quantised(_));
        table.value("TFIELDS", &if quantised { 4 } else { 1 }.into(), "");
        table.value("TTYPE1", &"COMPRESSED_DATA".into(), "");
        table.value("TFORM1", &form(wide, 0).into(), "");
        if quantised {
            table.value("TTYPE2", &"GZIP_COMPRESSED_DATA".into(), "tiles without a step");
            table.value("TFORM2", &form(wide, 0).into(), "");
            table.value("TTYPE3", &"ZSCALE".into(), "");
            table.value("TFORM3", &"1D".into(), "");
            table.value("TTYPE4", &"ZZERO".into(), "");
            table.value("TFORM4", &"1D".into(), "");
        }
        table.value("ZIMAGE", &true.into(), "");
        table.value("ZTENSION", &"IMAGE".into(), "");
        table.shape("Z", meta);
        table.value("ZPCOUNT", &0.into(), "");
        table.value("ZGCOUNT", &1.into(), "");
        for (n, axis) in tiles.axes().iter().rev().enumerate() {
            table.value(&format!("ZTILE{}", n + 1), &axis.max_chunk().into(), "");
        }
        match codec {
            Codec::Rice | Codec::Quantised(_) => {
                let bytes = if quantised { 4 } else { meta.dtype.size() };
                table.value("ZCMPTYPE", &"RICE_1".into(), "");
                table.value("ZNAME1", &"BLOCKSIZE".into(), "");
                table.value("ZVAL1", &rice::BLOCK.into(), "pixels per block");
                table.value("ZNAME2", &"BYTEPIX".into(), "");
                table.value("ZVAL2", &bytes.into(), "bytes per pixel");
            }
            Codec::Gzip { .. } => {
                table.value("ZCMPTYPE", &"GZIP_2".into(), "");
                if meta.dtype.is_float() {
                    table.value("ZQUANTIZ", &"NONE".into(), "nothing is lost");
                }
            }
        }
        if let Codec::Quantised(Quantisation { dither, .. }) = codec {
            let name = match dither {
                Dither::None => "NO_DITHER",
                Dither::Subtractive => "SUBTRACTIVE_DITHER_1",
                Dither::KeepingZeros => "SUBTRACTIVE_DITHER_2",
            };
            table.value("ZQUANTIZ", &name.into(), "values are rounded");
            if dither != Dither::None {
                table.value("ZDITHER0", &1.into(), "");
            }
            table.value("ZBLANK", &quantise::NULL_PIXEL.into(), "stands for NaN");
        }
        table.rest(meta, own)?;
        table.checksums();
        header.extend(table.finish());
        Ok(Layout { meta: meta.clone(), codec, tiles, header, extension, wide })
    }

    fn row(&self) -> u64 {
        row_bytes(self.codec, self.wide)
    }

    /// Where the heap begins in the file.
    pub(super) fn heap_start(&self) -> u64 {
        self.header.len() as u64 + self.tiles.len() * self.row()
    }

    /// The most bytes of a compressed tile.
    fn bound(&self) -> u64 {
        let pixels = volume(&self.tiles.max_chunk());
        let size = self.meta.dtype.size() as u64;
        // libdeflate's bound: five bytes for every block, of 5000 bytes at the least.
        let bytes = pixels.saturating_mul(size);
        let gzip = bytes.saturating_add(bytes / 512).saturating_add(128);
        match self.codec {
            Codec::Rice => rice::bound(pixels, size),
            Codec::Quantised(_) => rice::bound(pixels, 4).max(gzip),
            Codec::Gzip { .. } => gzip,
        }
    }

    fn needs(&self) -> Needs {
        let pixels = checked_volume(&self.tiles.max_chunk()).unwrap_or(u64::MAX);
        let tile = pixels.saturating_mul(self.meta.dtype.size() as u64);
        let width = self.width();
        let count = TILES.min(self.tiles.len());
        Needs {
            entries: count * size_of::<[u64; 5]>() as u64,
            rows: count * self.row(),
            tile,
            planes: match self.codec {
                Codec::Rice => 0,
                Codec::Quantised(_) => pixels.saturating_mul(4),
                Codec::Gzip { .. } => tile,
            },
            survey: match self.codec {
                Codec::Quantised(_) => {
                    quantise::room(width, pixels / width.max(1)).saturating_mul(8)
                }
                _ => 0,
            },
            heap: self.bound().max(HEAP.min(self.bound().saturating_mul(count))),
        }
    }

    /// Bytes of scratch that writing a chunk takes, the compressor's own counted.
    pub(super) fn scratch(&self) -> u64 {
        let Needs { entries, rows, tile, planes, survey, heap } = self.needs();
        let own: u64 = match self.codec {
            Codec::Rice => 0,
            Codec::Quantised(_) | Codec::Gzip { level: ..=4 } => 1 << 20,
            Codec::Gzip { .. } => 10 << 20,
        };
        [entries, rows, tile, planes, survey, heap].into_iter().fold(own, |sum, part| {
            sum.saturating_add(part.checked_next_multiple_of(64).unwrap_or(u64::MAX))
        })
    }

    /// Begins with a file that has room for all before the heap.
    pub(super) fn create(&self, file: File) -> Image {
        Image {
            layout: self.clone(),
            file,
            heap: AtomicU64::new(0),
            longest: Default::default(),
            sum: AtomicU64::new(0),
            torn: AtomicBool::new(false),
        }
    }

    /// Pixels of a row of a tile.
    fn width(&self) -> u64 {
        self.tiles.max_chunk().last().copied().unwrap_or(1)
    }

    /// Compresses the elements of the tile with the number `tile`, which has rows of `width`.
    fn encode(
        &self,
        tile: u64,
        width: usize,
        pixels: &mut [u8],
        room: Room<'_>,
        out: &mut [u8],
    ) -> Result<Entry> {
        let Room { planes, survey } = room;
        let size = self.meta.dtype.size();
        let entry = Entry { tile, len: 0, stream: 0, scale: 0.0, zero: 0.0 };
        if let Codec::Quantised(how) = self.codec {
            let count = pixels.len() / size;
            let integers = planes[..4 * count].as_chunks_mut().0;
            let rows = count / width.max(1);
            let survey = &mut survey[..quantise::room(width as u64, rows as u64) as usize];
            let seed = (tile % 10_000) as i64;
            let quantised = match self.meta.dtype {
                DType::F32 => {
                    let values =
                        pixels.as_chunks().0.iter().map(|&v| f64::from(f32::from_ne_bytes(v)));
                    how.apply(values, width, seed, survey, integers)
                }
                _ => {
                    let values = pixels.as_chunks().0.iter().map(|&v| f64::from_ne_bytes(v));
                    how.apply(values, width, seed, survey, integers)
                }
            };
            if let Some((scale, zero)) = quantised {
                let len = rice::encode::<4>(integers, out) as u64;
                return Ok(Entry { len, scale, zero, ..entry });
            }
            to_file_order(self.meta.dtype, pixels);
            let len = gzip(FALLBACK, pixels, out)? as u64;
            return Ok(Entry { len, stream: 1, ..entry });
        }
        to_file_order(self.meta.dtype, pixels);
        let pixels = &*pixels;
        let Codec::Gzip { level } = self.codec else {
            let len = match size {
                1 => rice::encode::<1>(pixels.as_chunks().0, out),
                2 => rice::encode::<2>(pixels.as_chunks().0, out),
                _ => rice::encode::<4>(pixels.as_chunks().0, out),
            };
            return Ok(Entry { len: len as u64, ..entry });
        };
        let planes = &mut planes[..pixels.len()];
        match size {
            2 => shuffle::<2>(pixels, planes),
            4 => shuffle::<4>(pixels, planes),
            8 => shuffle::<8>(pixels, planes),
            _ => planes.copy_from_slice(pixels),
        }
        Ok(Entry { len: gzip(level, planes, out)? as u64, ..entry })
    }
}

/// Compresses bytes by this level of deflate; the length.
fn gzip(level: i32, bytes: &[u8], out: &mut [u8]) -> Result<usize> {
    DEFLATE.with_borrow_mut(|deflate| {
        if deflate.as_ref().is_none_or(|(have, _)| *have != level) {
            *deflate =
                Some((level, Compressor::new(CompressionLvl::new(level).unwrap_or_default())));
        }
        let (_, deflate) = deflate.as_mut().expect("just set");
        deflate
            .gzip_compress(bytes, out)
            .map_err(|e| FormatError::new(ErrorKind::Io, format!("gzip cannot compress: {e}")))
    })
}

/// Bytes of a row of the table.
fn row_bytes(codec: Codec, wide: bool) -> u64 {
    let descriptor = if wide { 16 } else { 8 };
    match codec {
        // Descriptors in two columns, the scale and the zero.
        Codec::Quantised(_) => 2 * descriptor + 16,
        _ => descriptor,
    }
}

/// What the table tells of a tile.
#[derive(Clone, Copy)]
struct Entry {
    tile: u64,
    /// Bytes in the heap.
    len: u64,
    /// The column of its descriptor: 0, or 1 for what is not quantised.
    stream: u64,
    scale: f64,
    zero: f64,
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

/// Scratch of one tile.
struct Room<'a> {
    planes: &'a mut [u8],
    survey: &'a mut [f64],
}

/// TFORM of the column, `longest` being the most bytes of a tile.
fn form(wide: bool, longest: u64) -> String {
    format!("1{}B({longest})", if wide { 'Q' } else { 'P' })
}

/// Sorts bytes by significance.
fn shuffle<const N: usize>(pixels: &[u8], planes: &mut [u8]) {
    let (pixels, _) = pixels.as_chunks::<N>();
    for (k, plane) in planes.chunks_exact_mut(pixels.len().max(1)).enumerate() {
        plane.iter_mut().zip(pixels).for_each(|(byte, pixel)| *byte = pixel[k]);
    }
}

/// The scratch of a write, in bytes.
struct Needs {
    entries: u64,
    rows: u64,
    tile: u64,
    planes: u64,
    survey: u64,
    heap: u64,
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
    use crate::source::{Cancel, FileCache};

    #[test]
    fn tiles_end_where_chunks_end() {
        let tile = |shape: &[u64], chunk: &[u64]| {
            let grid = chunks(&Grid::regular(shape, chunk));
            let tiles = tiles(&grid);
            for axis in 0..shape.len() {
                let ends: Vec<u64> = tiles.axes()[axis].boundaries().collect();
                assert!(grid.axes()[axis].boundaries().all(|at| ends.contains(&at)));
            }
            tiles.max_chunk().to_vec()
        };
        assert_eq!(tile(&[2048, 2048], &[2048, 2048]), [1, 2048]);
        assert_eq!(tile(&[9, 100, 2048], &[1, 50, 256]), [1, 1, 256]);
        assert_eq!(tile(&[9, 100, 200], &[1, 0, 0]), [1, 6, 200]);
        assert_eq!(tile(&[9, 100, 200], &[1, 25, 0]), [1, 5, 200]);
        assert_eq!(tile(&[100, 200], &[100, 3]), [1, 64]);
        assert_eq!(tile(&[10, 3], &[3, 2]), [3, 3]);
        assert_eq!(tile(&[5], &[2]), [5]);
        assert_eq!(tile(&[5000], &[0]), [5000]);
        let ragged = Grid::new([AxisGrid::from_sizes([300, 500, 400])]);
        assert_eq!(tiles(&chunks(&ragged)).max_chunk()[..], [100]);
    }

    #[test]
    fn what_a_failed_write_left_is_in_the_checksum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.fits");
        let meta = Meta::new(DType::U16, Grid::regular(&[4, 50], &[2, 50]));
        let layout = Layout::new(&meta, Codec::Rice, &[]).unwrap();
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(layout.heap_start()).unwrap();
        let mut image = layout.create(file);
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
