//! One strip or tile: from the bytes of the file to elements.

use super::{
    super::corrupt,
    directory::{Compression, Layout, Predictor},
};
use crate::{dtype::DType, error::Result, raw::to_native};
use libdeflater::Decompressor;
use std::cell::RefCell;
use weezl::{BitOrder, LzwStatus};

thread_local! {
    static DEFLATE: RefCell<Decompressor> = RefCell::new(Decompressor::new());
    static LZW: RefCell<weezl::decode::Decoder> =
        RefCell::new(weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8));
}

/// The most bytes that a strip or tile of `decoded` bytes may take in the file: the codes' worst
/// case is one and a half times as much (LZW).
pub(super) fn most_encoded(decoded: u64) -> u64 {
    decoded.saturating_mul(2).saturating_add(1024)
}

/// Decodes a strip or tile into `out`; how many bytes it gave. What is beyond `out` is left.
pub(super) fn decode(compression: Compression, encoded: &[u8], out: &mut [u8]) -> Result<usize> {
    match compression {
        Compression::None => {
            let count = encoded.len().min(out.len());
            out[..count].copy_from_slice(&encoded[..count]);
            Ok(count)
        }
        Compression::Deflate => DEFLATE.with_borrow_mut(|decoder| {
            decoder
                .zlib_decompress(encoded, out)
                .map_err(|error| corrupt(format!("deflate cannot decode it ({error})")))
        }),
        Compression::Lzw => LZW.with_borrow_mut(|decoder| {
            decoder.reset();
            let (mut read, mut written) = (0, 0);
            while written < out.len() {
                let done = decoder.decode_bytes(&encoded[read..], &mut out[written..]);
                read += done.consumed_in;
                written += done.consumed_out;
                match done.status {
                    Ok(LzwStatus::Ok) if done.consumed_in + done.consumed_out > 0 => {}
                    Ok(_) => break,
                    Err(error) => return Err(corrupt(format!("LZW cannot decode it ({error})"))),
                }
            }
            Ok(written)
        }),
        Compression::PackBits => Ok(unpack_bits(encoded, out)),
    }
}

/// Runs of bytes, and bytes that are repeated (TIFF 6.0, section 9).
fn unpack_bits(mut encoded: &[u8], out: &mut [u8]) -> usize {
    let mut written = 0;
    while let Some((&head, rest)) = encoded.split_first() {
        let room = out.len() - written;
        let (taken, count) = match head {
            0..=127 => {
                let count = (usize::from(head) + 1).min(rest.len());
                let kept = count.min(room);
                out[written..written + kept].copy_from_slice(&rest[..kept]);
                (count, kept)
            }
            128 => (0, 0),
            _ => {
                let Some(&byte) = rest.first() else { break };
                let kept = (257 - usize::from(head)).min(room);
                out[written..written + kept].fill(byte);
                (1, kept)
            }
        };
        written += count;
        encoded = &rest[taken..];
        if written == out.len() {
            break;
        }
    }
    written
}

/// Makes the decoded rows of a strip or tile elements in native order; `spare` has room for a row.
pub(super) fn restore(layout: &Layout, swap: bool, rows: &mut [u8], spare: &mut [u8]) {
    let (dtype, step) = (layout.dtype, layout.samples() as usize);
    match layout.predictor {
        Predictor::None => to_native(rows, dtype, swap),
        Predictor::Horizontal => {
            to_native(rows, dtype, swap);
            for row in rows.chunks_exact_mut(layout.row_bytes() as usize) {
                match dtype.size() {
                    1 => sum_up::<u8>(row, step, u8::wrapping_add),
                    2 => sum_up::<u16>(bytemuck::cast_slice_mut(row), step, u16::wrapping_add),
                    4 => sum_up::<u32>(bytemuck::cast_slice_mut(row), step, u32::wrapping_add),
                    _ => sum_up::<u64>(bytemuck::cast_slice_mut(row), step, u64::wrapping_add),
                }
            }
        }
        Predictor::Float => {
            for row in rows.chunks_exact_mut(layout.row_bytes() as usize) {
                sum_up::<u8>(row, step, u8::wrapping_add);
                let spare = &mut spare[..row.len()];
                spare.copy_from_slice(row);
                // The most significant bytes of all elements come first.
                let (size, count) = (dtype.size(), row.len() / dtype.size());
                for (i, element) in row.chunks_exact_mut(size).enumerate() {
                    for (plane, byte) in element.iter_mut().enumerate() {
                        *byte = spare[plane * count + i];
                    }
                }
            }
            to_native(rows, dtype, cfg!(target_endian = "little"));
        }
    }
}

/// Adds to each value the one `step` before it.
fn sum_up<T: Copy>(values: &mut [T], step: usize, add: impl Fn(T, T) -> T) {
    for at in step..values.len() {
        values[at] = add(values[at], values[at - step]);
    }
}

/// Samples of 1, 2 or 4 bits, packed from the highest bit of each byte on, each row from a byte of
/// its own, as bytes.
pub(super) fn expand(layout: &Layout, packed: &[u8], out: &mut [u8]) {
    let bits = layout.bits as usize;
    let mask = ((1u16 << bits) - 1) as u8;
    let rows = packed.chunks_exact(layout.row_bytes() as usize);
    let len = (layout.tile.1 * layout.samples()) as usize;
    for (row, out) in rows.zip(out.chunks_exact_mut(len)) {
        for (at, out) in out.iter_mut().enumerate() {
            let bit = at * bits;
            *out = row[bit / 8] >> (8 - bits - bit % 8) & mask;
        }
    }
    debug_assert!(matches!(layout.dtype, DType::Bool | DType::U8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_runs_as_the_standard_has_them() {
        // Apple's example (Technical Note 1023).
        let packed = [
            0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7,
            0xaa,
        ];
        let expected = [
            0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22,
            0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
        ];
        let mut out = [0; 24];
        assert_eq!(unpack_bits(&packed, &mut out), 24);
        assert_eq!(out, expected);
        let mut short = [0; 5];
        assert_eq!(unpack_bits(&packed, &mut short), 5);
        assert_eq!(unpack_bits(&[0x05, 1], &mut out), 1);
        assert_eq!(unpack_bits(&[0xf0], &mut out), 0);
    }
}
