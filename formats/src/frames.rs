//! Frames that tell their own length, decoded into a buffer of a length known beforehand:
//! zstd and blosc, as Zarr's codecs and HDF5's filters both have them.
//!
//! A frame's claim of its length is compared with the buffer and never allocated. What the
//! decoders hold is a context of zstd a thread, and what c-blosc allocates while it decodes:
//! three of the frame's blocks.

use crate::error::{ErrorKind, FormatError, Result};
use std::cell::RefCell;

thread_local! {
    static ZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Decodes a zstd frame; returns how many bytes it gave.
pub(crate) fn unzstd(encoded: &[u8], out: &mut [u8]) -> Result<usize> {
    ZSTD.with_borrow_mut(|zstd| {
        let zstd = match zstd {
            Some(zstd) => zstd,
            None => zstd.insert(zstd::bulk::Decompressor::new()?),
        };
        zstd.decompress_to_buffer(encoded, out).map_err(|error| damaged("zstd", error))
    })
}

/// Decodes a blosc frame (version 1) if what it claims to hold fits; returns how many bytes
/// it claims, which is more than `out` has where it was not decoded.
pub(crate) fn unblosc(encoded: &[u8], out: &mut [u8]) -> Result<usize> {
    let mut claimed = 0usize;
    // SAFETY: the pointer and the length are of one slice, which is all that is looked at;
    // the result goes to a local.
    let valid = unsafe {
        blosc_src::blosc_cbuffer_validate(encoded.as_ptr().cast(), encoded.len(), &mut claimed)
    };
    if valid != 0 {
        return Err(FormatError::new(
            ErrorKind::Corrupt,
            "it is not a blosc frame of the length of the stored chunk",
        ));
    }
    if claimed > out.len() {
        return Ok(claimed);
    }
    // SAFETY: the header was validated against the length of `encoded`, which c-blosc asks
    // for before it reads a frame; it writes at most `out.len()` bytes to `out`. The two
    // slices cannot overlap.
    let written = unsafe {
        blosc_src::blosc_decompress_ctx(
            encoded.as_ptr().cast(),
            out.as_mut_ptr().cast(),
            out.len(),
            1,
        )
    };
    usize::try_from(written).map_err(|_| damaged("blosc", format_args!("code {written}")))
}

/// The error of a decoder that did not get through.
pub(crate) fn damaged(codec: &str, error: impl std::fmt::Display) -> FormatError {
    let message = format!("{codec} cannot decode it to the size that its shape gives ({error})");
    FormatError::new(ErrorKind::Corrupt, message)
}
