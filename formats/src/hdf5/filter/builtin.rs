//! The filters of HDF5 that every library has: deflate, shuffle and Fletcher-32, both
//! directions.
//!
//! As the file format specification, version 3, section IV.A.2.l ("Filter Pipeline Message")
//! names them.

use crate::{
    error::{ErrorKind, FormatError, Result},
    transform::fletcher32,
};
use libdeflater::{CompressionLvl, Compressor, DecompressionError, Decompressor};
use std::cell::RefCell;

/// Bytes that one Fletcher-32 checksum adds to a chunk.
pub(super) const CHECKSUM: usize = 4;

thread_local! {
    static DECOMPRESSOR: RefCell<Decompressor> = RefCell::new(Decompressor::new());
    /// The compressor of the level that this thread used last.
    static COMPRESSOR: RefCell<Option<(i32, Compressor)>> = const { RefCell::new(None) };
}

/// Decodes a zlib stream; returns the number of bytes that it gave.
pub(super) fn inflate(input: &[u8], out: &mut [u8]) -> Result<usize> {
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        decompressor.zlib_decompress(input, out).map_err(|error| {
            FormatError::new(
                ErrorKind::Corrupt,
                match error {
                    DecompressionError::BadData => "the deflated bytes are damaged".to_owned(),
                    DecompressionError::InsufficientSpace => {
                        format!("inflates to more than the chunk's {} bytes", out.len())
                    }
                },
            )
        })
    })
}

/// The level of deflate, checked once: 0 to 9 as in HDF5.
pub(in super::super) fn deflate_level(level: u32) -> Result<CompressionLvl> {
    i32::try_from(level)
        .ok()
        .filter(|level| *level <= 9)
        .and_then(|level| CompressionLvl::new(level).ok())
        .ok_or_else(|| {
            FormatError::new(ErrorKind::Invalid, format!("deflate has levels 0 to 9, not {level}"))
        })
}

/// The most bytes that [`deflate`] can give for `len` bytes: stored blocks of 5 bytes per
/// 5000 (libdeflate's smallest), and the zlib header and trailer.
pub(in super::super) fn deflate_bound(len: usize) -> usize {
    len + 5 * (len / 5000 + 1) + 64
}

/// Encodes a zlib stream; returns its length.
pub(in super::super) fn deflate(
    level: CompressionLvl,
    input: &[u8],
    out: &mut [u8],
) -> Result<usize> {
    COMPRESSOR.with_borrow_mut(|cached| {
        let number = i32::from(level);
        if cached.as_ref().is_none_or(|(have, _)| *have != number) {
            *cached = Some((number, Compressor::new(level)));
        }
        let (_, compressor) = cached.as_mut().expect("set above");
        compressor.zlib_compress(input, out).map_err(|error| {
            FormatError::new(ErrorKind::Invalid, "the deflated chunk outgrows its buffer")
                .because(error)
        })
    })
}

/// Checks the checksum behind `input`; returns the number of bytes before it.
pub(super) fn verify(input: &[u8]) -> Result<usize> {
    let Some((data, checksum)) = input.split_last_chunk::<CHECKSUM>() else {
        return Err(FormatError::new(ErrorKind::Corrupt, "is too short for its checksum"));
    };
    let (found, computed) = (u32::from_le_bytes(*checksum), fletcher32(data));
    // Files written on big-endian machines before HDF5 1.6.3 hold the halves' bytes swapped.
    let swapped = ((computed & 0x00ff_00ff) << 8) | ((computed >> 8) & 0x00ff_00ff);
    if found == computed || found == swapped {
        return Ok(data.len());
    }
    Err(FormatError::new(
        ErrorKind::Corrupt,
        format!("fails its checksum: {found:#010x} is stored, {computed:#010x} computed"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_fits_the_bound() {
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(300_001)
        .collect();
        for len in [0, 1, 4999, 5001, noise.len()] {
            for level in 0..=9 {
                let mut out = vec![0; deflate_bound(len)];
                let stored =
                    deflate(deflate_level(level).unwrap(), &noise[..len], &mut out).unwrap();
                let mut back = vec![0; len];
                assert_eq!(inflate(&out[..stored], &mut back).unwrap(), len);
                assert_eq!(back, noise[..len]);
            }
        }
    }
}
