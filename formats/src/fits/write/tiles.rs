//! What a file with a tile-compressed image is like: an empty primary HDU, and a table with a row a
//! tile, whose compressed bytes lie in the heap behind it (`heap`).
//!
//! Tiles never cross a chunk, so each chunk is compressed by itself. Here it is decided where tiles
//! end, what the headers say, how many bytes all takes, and how a tile becomes bytes.

use super::{
    super::{convert::to_file_order, quantise::Dither},
    cards::Cards,
    checksum,
    heap::Entry,
    quantise::{self, Quantisation},
    rice,
};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    grid::{AxisGrid, Grid},
    region::{checked_volume, volume},
    source::Meta,
};
use libdeflater::{CompressionLvl, Compressor};
use serde_json::Value;
use std::cell::RefCell;

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
    pub(super) meta: Meta,
    pub(super) codec: Codec,
    pub(super) tiles: Grid,
    /// Both headers; the second begins at `extension`.
    pub(super) header: Vec<u8>,
    pub(super) extension: usize,
    /// Whether descriptors are of 64 bits.
    pub(super) wide: bool,
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

    /// Bytes of a row of the table.
    pub(super) fn row(&self) -> u64 {
        row_bytes(self.codec, self.wide)
    }

    /// Where the heap begins in the file.
    pub(super) fn heap_start(&self) -> u64 {
        self.header.len() as u64 + self.tiles.len() * self.row()
    }

    /// The most bytes of a compressed tile.
    pub(super) fn bound(&self) -> u64 {
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

    /// The scratch that writing a chunk takes.
    pub(super) fn needs(&self) -> Needs {
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

    /// Pixels of a row of a tile.
    fn width(&self) -> u64 {
        self.tiles.max_chunk().last().copied().unwrap_or(1)
    }

    /// Compresses the elements of the tile with the number `tile`, which has rows of `width`.
    pub(super) fn encode(
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

/// Scratch of one tile.
pub(super) struct Room<'a> {
    pub(super) planes: &'a mut [u8],
    pub(super) survey: &'a mut [f64],
}

/// TFORM of the column, `longest` being the most bytes of a tile.
pub(super) fn form(wide: bool, longest: u64) -> String {
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
pub(super) struct Needs {
    pub(super) entries: u64,
    pub(super) rows: u64,
    pub(super) tile: u64,
    pub(super) planes: u64,
    pub(super) survey: u64,
    pub(super) heap: u64,
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
