//! One tile: from the bytes of its algorithm to elements.
//!
//! Stored pixels are decoded into the output itself where they are of the size of its
//! elements, and made elements there while they are in cache.

use super::{
    convert::{Cells, Convert, Order, Undefined},
    hcompress,
    header::Header,
    plio,
    quantise::{Dither, Quantum},
    rice,
    table::{Stream, Table},
};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
};
use hcompress::Coefficient;
use libdeflater::{DecompressionError, Decompressor};
use std::cell::RefCell;

thread_local! {
    /// About 32 KiB, once a thread.
    static INFLATE: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

fn corrupt(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Corrupt, message)
}

/// ZCMPTYPE with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// `RICE_1`: pixels that share a split, and bytes of a coded pixel.
    Rice { block: usize, width: usize },
    /// `GZIP_1`: pixels one after the other.
    Gzip,
    /// `GZIP_2`: first bytes of all pixels, then second ones, and so on.
    GzipShuffled,
    /// `PLIO_1`
    Plio,
    /// `HCOMPRESS_1`; whether lossy tiles are smoothed.
    Hcompress { smooth: bool },
    /// `NOCOMPRESS`
    Plain,
}

impl Algorithm {
    /// The algorithm that a header names.
    pub(super) fn of(header: &Header) -> Result<Algorithm> {
        let name =
            header.text("ZCMPTYPE").ok_or_else(|| corrupt("the card ZCMPTYPE is missing"))?;
        let parameter = |name: &str, default: i64| -> Result<i64> {
            for n in 1..=99 {
                match header.text(&format!("ZNAME{n}")) {
                    None => break,
                    Some(key) if key.trim().eq_ignore_ascii_case(name) => {
                        return Ok(header.int(&format!("ZVAL{n}"))?.unwrap_or(default));
                    }
                    Some(_) => {}
                }
            }
            Ok(default)
        };
        match name.trim() {
            "RICE_1" | "RICE_ONE" => {
                let (block, width) = (parameter("BLOCKSIZE", 32)?, parameter("BYTEPIX", 4)?);
                if !(1..=1 << 20).contains(&block) {
                    return Err(corrupt(format!("BLOCKSIZE of RICE_1 is {block}")));
                }
                match width {
                    1 | 2 | 4 => {
                        Ok(Algorithm::Rice { block: block as usize, width: width as usize })
                    }
                    _ => Err(FormatError::new(
                        ErrorKind::Unsupported,
                        format!("RICE_1 with pixels of {width} bytes; known are 1, 2 and 4"),
                    )),
                }
            }
            "GZIP_1" => Ok(Algorithm::Gzip),
            "GZIP_2" => Ok(Algorithm::GzipShuffled),
            "PLIO_1" => Ok(Algorithm::Plio),
            "HCOMPRESS_1" => Ok(Algorithm::Hcompress { smooth: parameter("SMOOTH", 0)? != 0 }),
            "NOCOMPRESS" => Ok(Algorithm::Plain),
            other => Err(FormatError::new(
                ErrorKind::Unsupported,
                format!("images compressed by {other} are not supported"),
            )
            .help("known are RICE_1, GZIP_1, GZIP_2, PLIO_1, HCOMPRESS_1 and NOCOMPRESS")),
        }
    }

    /// The name in ZCMPTYPE.
    pub(super) fn name(self) -> &'static str {
        match self {
            Algorithm::Rice { .. } => "RICE_1",
            Algorithm::Gzip => "GZIP_1",
            Algorithm::GzipShuffled => "GZIP_2",
            Algorithm::Plio => "PLIO_1",
            Algorithm::Hcompress { .. } => "HCOMPRESS_1",
            Algorithm::Plain => "NOCOMPRESS",
        }
    }
}

/// Scratch of one tile, of the sizes that [`TileCodec::room`] tells.
pub(super) struct Room<'a> {
    /// Stored pixels, where they differ in size from elements.
    pub(super) raw: &'a mut [u8],
    /// Pixels before they are brought to the stored size and order.
    pub(super) spare: &'a mut [u8],
}

/// How the tiles of one image are decoded.
#[derive(Clone, Debug)]
pub(super) struct TileCodec {
    /// From stored pixels (ZBITPIX) to elements.
    pub(super) convert: Convert,
    pub(super) algorithm: Algorithm,
    /// Whether pixels of COMPRESSED_DATA are integers that stand for floats.
    pub(super) quantised: bool,
    pub(super) dither: Dither,
    /// ZDITHER0 - 1
    pub(super) seed: i64,
}

impl TileCodec {
    /// Refuses what no algorithm can mean.
    pub(super) fn check(&self) -> Result<()> {
        match self.algorithm {
            Algorithm::Rice { .. } if self.convert.stored == DType::I64 => Err(FormatError::new(
                ErrorKind::Unsupported,
                "64-bit integers compressed by RICE_1 are not supported",
            )),
            _ => Ok(()),
        }
    }

    /// Bytes of a pixel in COMPRESSED_DATA once it is decoded.
    fn coded_size(&self) -> usize {
        if self.quantised { 4 } else { self.convert.stored.size() }
    }

    /// The most compressed bytes that a tile of `pixels` can have: each codec's worst
    /// case is below 3/2 of the pixels and a header.
    pub(super) fn most_bytes(&self, pixels: u64) -> u64 {
        let raw =
            pixels.saturating_mul(self.coded_size().max(self.convert.stored.size()).max(4) as u64);
        raw.saturating_add(raw / 2).saturating_add(4096)
    }

    /// The bytes that [`Room::raw`] and [`Room::spare`] need for a tile of `pixels`.
    pub(super) fn room(&self, pixels: u64) -> [u64; 2] {
        let coded = self.coded_size();
        let stored = self.convert.stored.size();
        let element = self.convert.dtype.size();
        let raw = [coded, stored].into_iter().filter(|&size| size != element).max().unwrap_or(0);
        let times = |size: usize| pixels.saturating_mul(size as u64);
        let spare = match self.algorithm {
            Algorithm::Rice { width, .. } if width == coded => 0,
            Algorithm::Rice { width, .. } => times(width),
            Algorithm::Plio if coded == 4 => 0,
            Algorithm::Plio => times(4),
            // Coefficients twice, and the nybbles of a plane.
            Algorithm::Hcompress { .. } => {
                times(2 * size_of::<Coefficient>()).saturating_add(hcompress::nybbles(pixels))
            }
            Algorithm::Plain => 0,
            // Some writers gzip 32-bit integers whatever ZBITPIX says.
            Algorithm::Gzip | Algorithm::GzipShuffled => times(coded.max(4)),
        };
        [times(raw), spare]
    }

    /// Decodes a tile into `target`: all its elements in one run.
    #[expect(clippy::too_many_arguments, reason = "a tile is its row, number, column and bytes")]
    pub(super) fn decode(
        &self,
        table: &Table,
        row: &[u8],
        tile: u64,
        stream: Stream,
        bytes: &[u8],
        target: &mut [u8],
        room: Room<'_>,
    ) -> Result<()> {
        let element = self.convert.dtype.size();
        let pixels = target.len() / element;
        let quantised = self.quantised && stream == Stream::Compressed;
        let coded = if quantised { 4 } else { self.convert.stored.size() };
        let in_place = coded == element;
        let cells = match in_place {
            true => &mut *target,
            false => &mut room.raw[..pixels * coded],
        };
        let order = match stream {
            Stream::Compressed => self.pixels(bytes, coded, cells, room.spare)?,
            Stream::Gzip => {
                let len = inflate(bytes, cells)?;
                expect_len(len, cells.len())?;
                Order::Big
            }
            Stream::Plain => copy(bytes, cells)?,
        };
        let both = match in_place {
            true => Cells::InPlace(target),
            false => Cells::Into(&room.raw[..pixels * coded], &mut *target),
        };
        if !quantised {
            match table.blank(row).filter(|_| table.has_blank_column()) {
                Some(blank) => self.convert.with_blank(blank).apply(both, order),
                None => self.convert.apply(both, order),
            }
            return Ok(());
        }
        let (scale, zero) = table.scaling(row);
        let quantum = Quantum {
            scale,
            zero,
            blank: table.blank(row).and_then(|blank| blank.try_into().ok()),
            dither: self.dither,
            seed: self.seed + (tile % 10_000) as i64,
        };
        match (self.convert.undefined, self.convert.stored) {
            (Undefined::True, _) => {
                quantum.to_mask(both, order);
                return Ok(());
            }
            (_, DType::F32) => quantum.to_f32(both, order),
            _ => quantum.to_f64(both, order),
        }
        self.convert.apply(Cells::InPlace(target), Order::Native);
        Ok(())
    }

    /// Decodes the pixels of COMPRESSED_DATA into `cells` of `coded` bytes.
    fn pixels(
        &self,
        bytes: &[u8],
        coded: usize,
        cells: &mut [u8],
        spare: &mut [u8],
    ) -> Result<Order> {
        let pixels = cells.len() / coded;
        match self.algorithm {
            Algorithm::Rice { .. } | Algorithm::Plio | Algorithm::Hcompress { .. }
                if self.convert.stored.is_float() && !self.quantised =>
            {
                Err(corrupt(format!(
                    "floats compressed by {} without a scale (ZSCALE)",
                    self.algorithm.name()
                )))
            }
            Algorithm::Rice { block, width } => {
                integers(width, cells, coded, spare, |out| match width {
                    1 => rice::decode::<1>(bytes, block, out.as_chunks_mut().0),
                    2 => rice::decode::<2>(bytes, block, out.as_chunks_mut().0),
                    _ => rice::decode::<4>(bytes, block, out.as_chunks_mut().0),
                })
            }
            Algorithm::Plio => {
                integers(4, cells, coded, spare, |out| plio::decode(bytes, out.as_chunks_mut().0))
            }
            Algorithm::Hcompress { smooth } => {
                let (coefficients, nybbles) =
                    spare.split_at_mut(2 * pixels * size_of::<Coefficient>());
                let coefficients = bytemuck::cast_slice_mut::<u8, Coefficient>(coefficients);
                let (coefficients, decoded) = coefficients.split_at_mut(pixels);
                let room = hcompress::Room { coefficients, nybbles };
                hcompress::decode(bytes, smooth, decoded, room)
                    .map_err(|e| corrupt(e.to_string()))?;
                resize(cells, coded, |i| decoded[i].0);
                Ok(Order::Native)
            }
            Algorithm::Plain => copy(bytes, cells),
            Algorithm::Gzip => {
                let wide = &mut spare[..pixels * coded.max(4)];
                match inflate(bytes, cells) {
                    Ok(len) if len == cells.len() => return Ok(Order::Big),
                    Err(e) if e.kind() != ErrorKind::Limit => return Err(e),
                    _ => {}
                }
                let len = inflate(bytes, wide)?;
                let width = self.width_of(len, pixels, coded)?;
                resize(cells, coded, |i| int_of(&wide[i * width..(i + 1) * width], Order::Big));
                Ok(Order::Native)
            }
            Algorithm::GzipShuffled => {
                let planes = &mut spare[..pixels * coded.max(4)];
                let len = inflate(bytes, planes)?;
                let width = self.width_of(len, pixels, coded)?;
                if width == coded {
                    match width {
                        2 => unshuffle::<2>(planes, cells),
                        4 => unshuffle::<4>(planes, cells),
                        8 => unshuffle::<8>(planes, cells),
                        _ => cells.copy_from_slice(&planes[..pixels]),
                    }
                    return Ok(Order::Big);
                }
                let mut cell = [0; 8];
                resize(cells, coded, |i| {
                    (0..width).for_each(|k| cell[k] = planes[k * pixels + i]);
                    int_of(&cell[..width], Order::Big)
                });
                Ok(Order::Native)
            }
        }
    }

    /// The bytes of a pixel, from the length of a tile that was inflated: `coded`, or another
    /// width of integers.
    fn width_of(&self, len: usize, pixels: usize, coded: usize) -> Result<usize> {
        let integers = self.quantised || !self.convert.stored.is_float();
        for width in [coded, 4, 2, 1] {
            if len == pixels * width && (integers || width == coded) {
                return Ok(width);
            }
        }
        Err(wrong_len(len, pixels * coded))
    }
}

/// Has integers of `width` bytes decoded, and brings them to cells of `coded` bytes.
fn integers<E: std::fmt::Display>(
    width: usize,
    cells: &mut [u8],
    coded: usize,
    spare: &mut [u8],
    decode: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<Order> {
    let damaged = |error: E| corrupt(error.to_string());
    if width == coded {
        decode(cells).map_err(damaged)?;
        return Ok(Order::Native);
    }
    let wide = &mut spare[..cells.len() / coded * width];
    decode(wide).map_err(damaged)?;
    resize(cells, coded, |i| int_of(&wide[i * width..(i + 1) * width], Order::Native));
    Ok(Order::Native)
}

fn wrong_len(len: usize, want: usize) -> FormatError {
    corrupt(format!("it decodes to {len} bytes where its pixels take {want}"))
}

fn expect_len(len: usize, want: usize) -> Result<()> {
    if len == want { Ok(()) } else { Err(wrong_len(len, want)) }
}

fn copy(bytes: &[u8], cells: &mut [u8]) -> Result<Order> {
    expect_len(bytes.len(), cells.len())?;
    cells.copy_from_slice(bytes);
    Ok(Order::Big)
}

/// Inflates a gzip stream; the number of bytes, or [`ErrorKind::Limit`] if there are more
/// than `out` takes.
fn inflate(bytes: &[u8], out: &mut [u8]) -> Result<usize> {
    let done = INFLATE.with_borrow_mut(|inflate| inflate.gzip_decompress(bytes, out));
    done.map_err(|e| match e {
        DecompressionError::InsufficientSpace => FormatError::new(
            ErrorKind::Limit,
            format!("its gzip stream is longer than the {} bytes of its pixels", out.len()),
        ),
        DecompressionError::BadData => corrupt("its gzip stream is damaged"),
    })
}

/// Brings bytes that are sorted by significance back together.
fn unshuffle<const N: usize>(planes: &[u8], cells: &mut [u8]) {
    let pixels = cells.len() / N;
    let planes: [&[u8]; N] = std::array::from_fn(|k| &planes[k * pixels..(k + 1) * pixels]);
    for (i, cell) in cells.as_chunks_mut::<N>().0.iter_mut().enumerate() {
        *cell = std::array::from_fn(|k| planes[k][i]);
    }
}

/// The integer in `bytes`; those of one byte are unsigned, as BITPIX 8 is.
fn int_of(bytes: &[u8], order: Order) -> i64 {
    let mut wide = [0; 8];
    let len = bytes.len();
    if order == Order::Big || cfg!(target_endian = "big") {
        wide[8 - len..].copy_from_slice(bytes);
    } else {
        wide[8 - len..].iter_mut().zip(bytes.iter().rev()).for_each(|(w, b)| *w = *b);
    }
    let value = i64::from_be_bytes(wide);
    let unused = 64 - 8 * len as u32;
    if len == 1 { value } else { (value << unused) >> unused }
}

/// Fills cells of `size` bytes, in native order, with integers; only odd files need it.
fn resize(cells: &mut [u8], size: usize, mut of: impl FnMut(usize) -> i64) {
    for (i, cell) in cells.chunks_exact_mut(size).enumerate() {
        let value = of(i);
        match size {
            1 => cell.copy_from_slice(&(value as u8).to_ne_bytes()),
            2 => cell.copy_from_slice(&(value as i16).to_ne_bytes()),
            4 => cell.copy_from_slice(&(value as i32).to_ne_bytes()),
            _ => cell.copy_from_slice(&value.to_ne_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_all_widths() {
        assert_eq!(int_of(&[0xFF], Order::Big), 255);
        assert_eq!(int_of(&[0xFF, 0xFE], Order::Big), -2);
        assert_eq!(int_of(&(-2i32).to_ne_bytes(), Order::Native), -2);
        let mut cells = [0; 4];
        resize(&mut cells, 2, |i| i as i64 - 1);
        assert_eq!(cells.as_chunks::<2>().0, [(-1i16).to_ne_bytes(), [0, 0]]);
    }

    #[test]
    fn unshuffling() {
        let mut cells = [0; 6];
        unshuffle::<2>(&[1, 2, 3, 4, 5, 6], &mut cells);
        assert_eq!(cells, [1, 4, 2, 5, 3, 6]);
    }
}
