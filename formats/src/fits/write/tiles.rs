//! A tile-compressed image being written: an empty primary HDU, and a table with a row a tile.
//!
//! Tiles never cross a chunk, so each chunk is compressed by itself: its tiles go into scratch,
//! and from there, many at a time, to the end of the heap, whose length is all that
//! writers share. The order of tiles in the heap is that in which chunks came; a chunk that is
//! written again leaves a gap there, as the standard allows. Lengths and checksums, which
//! are known in the end, are put into the header then.

use super::{
    super::{convert::to_file_order, header::BLOCK},
    Output,
    cards::{self, Cards},
    checksum, rice,
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
    sync::atomic::{AtomicU64, Ordering},
};

/// Compressed bytes that are written at a time.
const HEAP: u64 = 1 << 20;
/// Tiles that are written at a time.
const TILES: u64 = 4096;
/// Pixels of a tile below which it takes in several rows, as far as its chunk has them.
const SMALL: u64 = 1024;
/// The least pixels of a row of a tile, where its axis has more.
const NARROW: u64 = 64;

thread_local! {
    /// The compressor of the level asked for last; counted in the scratch.
    static DEFLATE: RefCell<Option<(i32, Compressor)>> = const { RefCell::new(None) };
}

/// How tiles are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// RICE_1
    Rice,
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
                    "ask for gzip, which loses nothing, or cast to integers first",
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
        let row = if wide { 16 } else { 8 };
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
        table.value("TFIELDS", &1.into(), "");
        table.value("TTYPE1", &"COMPRESSED_DATA".into(), "");
        table.value("TFORM1", &form(wide, 0).into(), "");
        table.value("ZIMAGE", &true.into(), "");
        table.value("ZTENSION", &"IMAGE".into(), "");
        table.shape("Z", meta);
        table.value("ZPCOUNT", &0.into(), "");
        table.value("ZGCOUNT", &1.into(), "");
        for (n, axis) in tiles.axes().iter().rev().enumerate() {
            table.value(&format!("ZTILE{}", n + 1), &axis.max_chunk().into(), "");
        }
        match codec {
            Codec::Rice => {
                table.value("ZCMPTYPE", &"RICE_1".into(), "");
                table.value("ZNAME1", &"BLOCKSIZE".into(), "");
                table.value("ZVAL1", &rice::BLOCK.into(), "pixels per block");
                table.value("ZNAME2", &"BYTEPIX".into(), "");
                table.value("ZVAL2", &meta.dtype.size().into(), "bytes per pixel");
            }
            Codec::Gzip { .. } => {
                table.value("ZCMPTYPE", &"GZIP_2".into(), "");
                if meta.dtype.is_float() {
                    table.value("ZQUANTIZ", &"NONE".into(), "nothing is lost");
                }
            }
        }
        table.rest(meta, own)?;
        table.checksums();
        header.extend(table.finish());
        Ok(Layout { meta: meta.clone(), codec, tiles, header, extension, wide })
    }

    fn row(&self) -> u64 {
        if self.wide { 16 } else { 8 }
    }

    /// Where the heap begins in the file.
    pub(super) fn heap_start(&self) -> u64 {
        self.header.len() as u64 + self.tiles.len() * self.row()
    }

    /// The most bytes of a compressed tile.
    fn bound(&self) -> u64 {
        let pixels = volume(&self.tiles.max_chunk());
        let size = self.meta.dtype.size() as u64;
        match self.codec {
            Codec::Rice => rice::bound(pixels, size),
            // libdeflate's bound: five bytes for every block, of 5000 bytes at the least.
            Codec::Gzip { .. } => {
                let bytes = pixels.saturating_mul(size);
                bytes.saturating_add(bytes / 512).saturating_add(128)
            }
        }
    }

    fn needs(&self) -> Needs {
        let tile = checked_volume(&self.tiles.max_chunk()).unwrap_or(u64::MAX);
        let tile = tile.saturating_mul(self.meta.dtype.size() as u64);
        let count = TILES.min(self.tiles.len());
        Needs {
            entries: count * 16,
            rows: count * self.row(),
            tile,
            planes: if self.codec == Codec::Rice { 0 } else { tile },
            heap: self.bound().max(HEAP.min(self.bound().saturating_mul(count))),
        }
    }

    /// Bytes of scratch that writing a chunk takes, the compressor's own counted.
    pub(super) fn scratch(&self) -> u64 {
        let Needs { entries, rows, tile, planes, heap } = self.needs();
        let own: u64 = match self.codec {
            Codec::Rice => 0,
            Codec::Gzip { level: ..=4 } => 1 << 20,
            Codec::Gzip { .. } => 10 << 20,
        };
        [entries, rows, tile, planes, heap].into_iter().fold(own, |sum, part| {
            sum.saturating_add(part.checked_next_multiple_of(64).unwrap_or(u64::MAX))
        })
    }

    /// Begins with a file that has room for all before the heap.
    pub(super) fn create(&self, file: File) -> Image {
        Image {
            layout: self.clone(),
            file,
            heap: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    /// Compresses pixels in the order of a file.
    fn encode(&self, pixels: &[u8], planes: &mut [u8], out: &mut [u8]) -> Result<usize> {
        let size = self.meta.dtype.size();
        let Codec::Gzip { level } = self.codec else {
            return Ok(match size {
                1 => rice::encode::<1>(pixels.as_chunks().0, out),
                2 => rice::encode::<2>(pixels.as_chunks().0, out),
                _ => rice::encode::<4>(pixels.as_chunks().0, out),
            });
        };
        let planes = &mut planes[..pixels.len()];
        match size {
            2 => shuffle::<2>(pixels, planes),
            4 => shuffle::<4>(pixels, planes),
            8 => shuffle::<8>(pixels, planes),
            _ => planes.copy_from_slice(pixels),
        }
        DEFLATE.with_borrow_mut(|deflate| {
            if deflate.as_ref().is_none_or(|(have, _)| *have != level) {
                *deflate =
                    Some((level, Compressor::new(CompressionLvl::new(level).unwrap_or_default())));
            }
            let (_, deflate) = deflate.as_mut().expect("just set");
            deflate
                .gzip_compress(planes, out)
                .map_err(|e| FormatError::new(ErrorKind::Io, format!("gzip cannot compress: {e}")))
        })
    }
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
    heap: u64,
}

/// A file with a compressed image.
#[derive(Debug)]
pub(super) struct Image {
    layout: Layout,
    file: File,
    /// Bytes of the heap that are given to tiles.
    heap: AtomicU64,
    /// The most bytes of a tile.
    longest: AtomicU64,
    /// The checksums of what is in the heap, added up.
    sum: AtomicU64,
}

impl Image {
    /// Writes tiles, each with its number and its length, to the heap and into the table.
    fn flush(&self, entries: &[[u64; 2]], rows: &mut [u8], bytes: &[u8]) -> Result<()> {
        let Layout { header, wide, .. } = &self.layout;
        let row = self.layout.row();
        let mut offset = self.heap.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if !wide && offset + bytes.len() as u64 > i32::MAX as u64 {
            return Err(FormatError::new(ErrorKind::Limit, "a heap above 2 GiB"));
        }
        let start = self.layout.heap_start() + offset;
        self.file.write_all_at(bytes, start)?;
        self.sum.fetch_add(checksum::sum(bytes, start).into(), Ordering::Relaxed);
        for run in entries.chunk_by(|a, b| a[0] + 1 == b[0]) {
            let rows = &mut rows[..run.len() * row as usize];
            for (cell, &[_, len]) in rows.chunks_exact_mut(row as usize).zip(run) {
                self.longest.fetch_max(len, Ordering::Relaxed);
                let (count, at) = cell.split_at_mut(row as usize / 2);
                match wide {
                    true => {
                        count.copy_from_slice(&len.to_be_bytes());
                        at.copy_from_slice(&offset.to_be_bytes());
                    }
                    false => {
                        count.copy_from_slice(&(len as u32).to_be_bytes());
                        at.copy_from_slice(&(offset as u32).to_be_bytes());
                    }
                }
                offset += len;
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
        let entries = bytemuck::cast_slice_mut::<u8, [u64; 2]>(entries);
        let (rows, mut cx) = cx.split_scratch(needs.rows as usize);
        let (pixels, mut cx) = cx.split_scratch(needs.tile as usize);
        let (planes, mut cx) = cx.split_scratch(needs.planes as usize);
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
            to_file_order(dtype, pixels);
            let len = self.layout.encode(pixels, planes, &mut heap[used..])?;
            entries[count] = [tiles.linear_of(&at), len as u64];
            (count, used) = (count + 1, used + len);
        }
        self.flush(&entries[..count], rows, &heap[..used])?;
        let chunk = meta.grid.linear_of(index);
        Ok(Noted { chunk, len: bytes + used as u64, ..Noted::default() })
    }

    fn finish(&self) -> Result<()> {
        let Layout { header, extension, wide, .. } = &self.layout;
        let (table, heap) = (header.len() as u64, self.layout.heap_start());
        let len = self.heap.load(Ordering::Relaxed);
        self.file.set_len((heap + len).next_multiple_of(BLOCK))?;
        let rows = checksum::of_file(&self.file, table..heap)?;
        // Each of the sums added up is below 2^32: 2^32 of them fit.
        let data = checksum::fold(self.sum.load(Ordering::Relaxed));
        let mut header = header[*extension..].to_vec();
        let longest = self.longest.load(Ordering::Relaxed);
        cards::replace(&mut header, "PCOUNT", &len.into(), "bytes of the heap");
        cards::replace(&mut header, "TFORM1", &form(*wide, longest).into(), "");
        checksum::put(&mut header, checksum::fold(u64::from(rows) + u64::from(data)));
        self.file.write_all_at(&self.layout.header[..*extension], 0)?;
        Ok(self.file.write_all_at(&header, *extension as u64)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
