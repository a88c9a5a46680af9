//! How the bytes of one stored chunk are encoded, and back: the common codec chains.
//!
//! A chain is an order of axes, a byte order, at most one compressor and at most one
//! checksum behind it; this covers what Zarr libraries write by default and on request.
//! Decoders write into a buffer of exactly the size that the chunk's shape gives: what a
//! frame claims of itself is never allocated. Compressor state is kept a thread; it is
//! all that is allocated here (sizes on [`Codec::state_bytes`]).

use crate::error::{ErrorKind, FormatError, Result};
use libdeflater::{CompressionLvl, Compressor, Decompressor};
use smallvec::SmallVec;
use std::{
    cell::RefCell,
    ffi::{CStr, c_int},
};

/// Bytes that c-blosc may add to a chunk that does not compress (`BLOSC_MAX_OVERHEAD`).
const BLOSC_OVERHEAD: u64 = 16;

/// The largest chunk that a blosc frame can hold (`BLOSC_MAX_BUFFERSIZE`).
pub(super) const BLOSC_MAX_BYTES: u64 = i32::MAX as u64 - BLOSC_OVERHEAD;

/// A compressor of the chunk's bytes, with what is needed to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Zstd { level: i32 },
    Blosc,
    Gzip { level: u32 },
    Zlib,
}

impl Codec {
    pub(super) fn name(self) -> &'static str {
        match self {
            Codec::None => "",
            Codec::Zstd { .. } => "zstd",
            Codec::Blosc => "blosc",
            Codec::Gzip { .. } => "gzip",
            Codec::Zlib => "zlib",
        }
    }

    /// The longest encoding of `bytes` bytes that is believed: the worst case of the
    /// compressor, with room for encoders that flush more often than they need.
    fn bound(self, bytes: u64) -> u64 {
        match self {
            Codec::None => bytes,
            Codec::Zstd { .. } => bytes.saturating_add(bytes / 64 + 1024),
            Codec::Blosc => bytes.saturating_add(BLOSC_OVERHEAD),
            Codec::Gzip { .. } | Codec::Zlib => bytes.saturating_add(bytes / 8 + 1024),
        }
    }

    /// What the compressor allocates by itself while it encodes `bytes` bytes, at the most.
    pub(super) fn state_bytes(self, bytes: u64) -> u64 {
        const MIB: u64 = 1 << 20;
        match self {
            Codec::None => 0,
            // zstd's match tables by level, what `ZSTD_sizeof_CCtx` tells for large inputs, rounded up.
            Codec::Zstd { level } => match level {
                ..=2 => 2 * MIB,
                3..=4 => 4 * MIB,
                5..=8 => 8 * MIB,
                9..=12 => 48 * MIB,
                _ => 96 * MIB,
            },
            // Three blocks; a block is 1 MiB with the settings used, and never above the chunk.
            Codec::Blosc => 3 * bytes.min(MIB) + MIB / 4,
            Codec::Gzip { .. } | Codec::Zlib => 10 * MIB,
        }
    }
}

/// The encoding of one chunk, innermost step first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// Axis `i` of the stored chunk is the array's axis `order[i]`.
    pub(super) order: SmallVec<[usize; 6]>,
    /// Whether stored elements have the other byte order than this machine.
    pub(super) swap: bool,
    pub(super) codec: Codec,
    /// Whether a CRC-32C of everything before it ends the chunk.
    pub(super) crc32c: bool,
}

impl Chain {
    /// Axes in order, native bytes, no checksum.
    pub(super) fn new(rank: usize, codec: Codec) -> Chain {
        Chain { order: (0..rank).collect(), swap: false, codec, crc32c: false }
    }

    /// Whether elements can be read where they lie. (Behind a checksum they cannot: it is
    /// of the whole chunk.)
    pub(super) fn is_raw(&self) -> bool {
        self.codec == Codec::None && !self.crc32c
    }

    /// The longest encoding of a chunk of `bytes` bytes that is believed.
    pub(super) fn bound(&self, bytes: u64) -> u64 {
        self.codec.bound(bytes).saturating_add(if self.crc32c { 4 } else { 0 })
    }

    /// Decodes into `out`, which the chunk must fill exactly; bytes stay in stored order.
    pub(super) fn decode(&self, encoded: &[u8], out: &mut [u8]) -> Result<()> {
        let encoded = if self.crc32c { check_crc32c(encoded)? } else { encoded };
        let name = self.codec.name();
        let written = match self.codec {
            Codec::None if encoded.len() == out.len() => {
                out.copy_from_slice(encoded);
                out.len()
            }
            Codec::None => encoded.len(),
            Codec::Zstd { .. } => ZSTD_IN.with_borrow_mut(|zstd| {
                let zstd = match zstd {
                    Some(zstd) => zstd,
                    None => zstd.insert(zstd::bulk::Decompressor::new()?),
                };
                zstd.decompress_to_buffer(encoded, out).map_err(|e| damaged(name, e))
            })?,
            Codec::Blosc => blosc_decode(encoded, out)?,
            Codec::Gzip { .. } => INFLATE
                .with_borrow_mut(|inflate| inflate.gzip_decompress(encoded, out))
                .map_err(|e| damaged(name, e))?,
            Codec::Zlib => INFLATE
                .with_borrow_mut(|inflate| inflate.zlib_decompress(encoded, out))
                .map_err(|e| damaged(name, e))?,
        };
        if written != out.len() {
            return Err(corrupt(format!("it holds {written} bytes, its shape {}", out.len())));
        }
        Ok(())
    }

    /// Encodes elements of `size` bytes into `out`, as long as [`Chain::bound`] says; how
    /// many bytes it took.
    pub(super) fn encode(&self, bytes: &[u8], size: usize, out: &mut [u8]) -> Result<usize> {
        let failed = |what: &dyn std::fmt::Display| {
            FormatError::new(ErrorKind::Io, format!("{} failed: {what}", self.codec.name()))
        };
        match self.codec {
            Codec::Zlib => Err(FormatError::new(
                ErrorKind::Unsupported,
                "zlib chunks are read but not written",
            )),
            Codec::None => {
                out[..bytes.len()].copy_from_slice(bytes);
                Ok(bytes.len())
            }
            Codec::Zstd { level } => ZSTD_OUT.with_borrow_mut(|zstd| {
                if zstd.as_ref().is_none_or(|(have, _)| *have != level) {
                    *zstd = Some((level, zstd::bulk::Compressor::new(level)?));
                }
                let (_, zstd) = zstd.as_mut().expect("just set");
                zstd.compress_to_buffer(bytes, out).map_err(|e| failed(&e))
            }),
            Codec::Blosc => blosc_encode(bytes, size, out),
            Codec::Gzip { level } => DEFLATE.with_borrow_mut(|deflate| {
                if deflate.as_ref().is_none_or(|(have, _)| *have != level) {
                    let level_of = CompressionLvl::new(level as i32)
                        .map_err(|_| failed(&format_args!("there is no level {level}")))?;
                    *deflate = Some((level, Compressor::new(level_of)));
                }
                let (_, deflate) = deflate.as_mut().expect("just set");
                deflate.gzip_compress(bytes, out).map_err(|e| failed(&e))
            }),
        }
    }
}

thread_local! {
    static ZSTD_IN: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    static ZSTD_OUT: RefCell<Option<(i32, zstd::bulk::Compressor<'static>)>> =
        const { RefCell::new(None) };
    static INFLATE: RefCell<Decompressor> = RefCell::new(Decompressor::new());
    static DEFLATE: RefCell<Option<(u32, Compressor)>> = const { RefCell::new(None) };
}

/// What lies before the CRC-32C at the end of `encoded`, if it agrees.
pub(super) fn check_crc32c(encoded: &[u8]) -> Result<&[u8]> {
    let Some((body, &stored)) = encoded.split_last_chunk::<4>() else {
        return Err(corrupt("it is shorter than its checksum"));
    };
    if crc32c::crc32c(body) != u32::from_le_bytes(stored) {
        return Err(corrupt(
            "its CRC-32C does not agree: the bytes changed after they were written",
        ));
    }
    Ok(body)
}

fn corrupt(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Corrupt, message)
}

fn damaged(codec: &str, error: impl std::fmt::Display) -> FormatError {
    corrupt(format!("{codec} cannot decode it to the size that its shape gives ({error})"))
}

fn blosc_decode(encoded: &[u8], out: &mut [u8]) -> Result<usize> {
    let mut claimed = 0usize;
    // SAFETY: the pointer and the length are of one slice, which is all that is looked at;
    // the result goes to a local.
    let valid = unsafe {
        blosc_src::blosc_cbuffer_validate(encoded.as_ptr().cast(), encoded.len(), &mut claimed)
    };
    if valid != 0 {
        return Err(corrupt("it is not a blosc frame of the length of the stored chunk"));
    }
    if claimed != out.len() {
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

fn blosc_encode(bytes: &[u8], size: usize, out: &mut [u8]) -> Result<usize> {
    const LZ4: &CStr = c"lz4";
    const LEVEL: c_int = 5;
    const SHUFFLE: c_int = 1;
    // SAFETY: the two slices give their own lengths and cannot overlap; the name ends with NUL.
    let written = unsafe {
        blosc_src::blosc_compress_ctx(
            LEVEL,
            SHUFFLE,
            size,
            bytes.len(),
            bytes.as_ptr().cast(),
            out.as_mut_ptr().cast(),
            out.len(),
            LZ4.as_ptr(),
            0,
            1,
        )
    };
    match usize::try_from(written) {
        Ok(written) if written > 0 => Ok(written),
        _ => Err(FormatError::new(ErrorKind::Io, format!("blosc failed (code {written})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_codec_gives_back_what_it_took_and_refuses_other_sizes() {
        let bytes: Vec<u8> = (0..40_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        let codecs =
            [Codec::None, Codec::Zstd { level: 3 }, Codec::Blosc, Codec::Gzip { level: 5 }];
        for codec in codecs {
            let chain = Chain::new(1, codec);
            let mut encoded = vec![0; chain.bound(bytes.len() as u64) as usize];
            let len = chain.encode(&bytes, 4, &mut encoded).unwrap();
            encoded.truncate(len);
            let mut back = vec![0; bytes.len()];
            chain.decode(&encoded, &mut back).unwrap();
            assert_eq!(back, bytes);
            for wrong in [bytes.len() - 4, bytes.len() + 4] {
                let error = chain.decode(&encoded, &mut vec![0; wrong]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{codec:?}");
            }
            for cut in [0, 1, 10, len / 2, len - 1] {
                let error = chain.decode(&encoded[..cut], &mut back).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{codec:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn incompressible_chunks_stay_within_the_bound() {
        let mut state = 1u64;
        let bytes: Vec<u8> = (0..100_000)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 56) as u8
            })
            .collect();
        for codec in [Codec::Zstd { level: 1 }, Codec::Blosc, Codec::Gzip { level: 0 }] {
            for len in [0, 1, 15, 100_000] {
                let chain = Chain::new(1, codec);
                let mut encoded = vec![0; chain.bound(len as u64) as usize];
                chain.encode(&bytes[..len], 1, &mut encoded).unwrap();
            }
        }
    }

    #[test]
    fn a_frame_that_claims_petabytes_is_refused() {
        // Magic, a descriptor with an 8-byte content size and a window byte, then 2^52.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x50];
        frame.extend((1u64 << 52).to_le_bytes());
        frame.extend([0x01, 0x00, 0x00]);
        let mut out = [0u8; 64];
        let error = Chain::new(1, Codec::Zstd { level: 0 }).decode(&frame, &mut out).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_changed_byte_fails_its_checksum() {
        let mut encoded = vec![1u8, 2, 3, 4];
        encoded.extend(crc32c::crc32c(&[1, 2, 3, 4]).to_le_bytes());
        let chain = Chain { crc32c: true, ..Chain::new(1, Codec::None) };
        let mut out = [0; 4];
        chain.decode(&encoded, &mut out).unwrap();
        encoded[1] ^= 1;
        assert_eq!(chain.decode(&encoded, &mut out).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(chain.decode(&encoded[..3], &mut out).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
