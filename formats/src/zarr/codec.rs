//! The steps on a chunk's bytes: compressors, the shuffle filter and checksums, as Zarr and
//! numcodecs define them.
//!
//! Decoders write into a buffer that the caller sizes: what a frame claims of itself is never
//! allocated. Their state is kept a thread; it is all that is allocated here (sizes on
//! [`Step::encoder_bytes`] and [`Step::decoder_bytes`]).

use crate::{
    error::{ErrorKind, FormatError, Result},
    frames::{damaged, unblosc, unzstd},
    transform::{fletcher32, unshuffle},
};
use libdeflater::{CompressionLvl, Compressor, Decompressor};
use std::{
    cell::RefCell,
    ffi::{CStr, c_int},
    ops::Range,
};

/// Bytes that c-blosc may add to a chunk that does not compress (`BLOSC_MAX_OVERHEAD`).
const BLOSC_OVERHEAD: u64 = 16;

/// The largest chunk that a blosc frame can hold (`BLOSC_MAX_BUFFERSIZE`).
pub(super) const BLOSC_MAX_BYTES: u64 = i32::MAX as u64 - BLOSC_OVERHEAD;

const MIB: u64 = 1 << 20;

/// One step behind the elements' bytes, with what is needed to write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Zstd {
        level: i32,
    },
    Blosc,
    Gzip {
        level: u32,
    },
    Zlib,
    /// An LZ4 block behind its length in four bytes, little endian (numcodecs).
    Lz4,
    Bz2,
    /// Bytes of equal significance together, of elements of this size.
    Shuffle {
        size: usize,
    },
    /// Four bytes, little endian, before or behind the bytes that they are of.
    Checksum {
        of: Checksum,
        at_start: bool,
    },
}

/// A checksum of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    Crc32c,
    Crc32,
    Adler32,
    Fletcher32,
}

impl Checksum {
    fn name(self) -> &'static str {
        match self {
            Checksum::Crc32c => "CRC-32C",
            Checksum::Crc32 => "CRC-32",
            Checksum::Adler32 => "Adler-32",
            Checksum::Fletcher32 => "Fletcher-32",
        }
    }

    pub(super) fn of(self, bytes: &[u8]) -> u32 {
        match self {
            Checksum::Crc32c => crc32c::crc32c(bytes),
            Checksum::Crc32 => libdeflater::crc32(bytes),
            Checksum::Adler32 => libdeflater::adler32(bytes),
            Checksum::Fletcher32 => fletcher32(bytes),
        }
    }
}

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Step::Zstd { .. } => "zstd",
            Step::Blosc => "blosc",
            Step::Gzip { .. } => "gzip",
            Step::Zlib => "zlib",
            Step::Lz4 => "lz4",
            Step::Bz2 => "bz2",
            Step::Shuffle { .. } => "shuffle",
            Step::Checksum { of, .. } => of.name(),
        }
    }

    /// Whether undoing it writes bytes elsewhere; a checksum is only looked at.
    pub(super) fn moves(self) -> bool {
        !matches!(self, Step::Checksum { .. })
    }

    /// The longest encoding of `bytes` bytes that is believed: the worst case of the
    /// compressor, with room for encoders that flush more often than they need.
    pub(crate) fn bound(self, bytes: u64) -> u64 {
        bytes.saturating_add(match self {
            Step::Zstd { .. } | Step::Bz2 => bytes / 64 + 1024,
            Step::Blosc => BLOSC_OVERHEAD,
            Step::Gzip { .. } | Step::Zlib => bytes / 8 + 1024,
            Step::Lz4 => bytes / 255 + 20,
            Step::Shuffle { .. } => 0,
            Step::Checksum { .. } => 4,
        })
    }

    /// What the compressor allocates by itself while it encodes `bytes` bytes, at the most.
    pub(super) fn encoder_bytes(self, bytes: u64) -> u64 {
        match self {
            // zstd's match tables by level, what `ZSTD_sizeof_CCtx` tells for large inputs, rounded up.
            Step::Zstd { level } => match level {
                ..=2 => 2 * MIB,
                3..=4 => 4 * MIB,
                5..=8 => 8 * MIB,
                9..=12 => 48 * MIB,
                _ => 96 * MIB,
            },
            // Three blocks; a block is 1 MiB with the settings used, and never above the chunk.
            Step::Blosc => 3 * bytes.min(MIB) + MIB / 4,
            Step::Gzip { .. } => 10 * MIB,
            _ => 0,
        }
    }

    /// What the decompressor allocates by itself while it gives up to `bytes` bytes, where that is
    /// too much to be left uncounted: bzip2's tables, 4 bytes for each of the 900,000 of its
    /// largest block, and three blocks of blosc, each of which may be the whole frame.
    pub(super) fn decoder_bytes(self, bytes: u64) -> u64 {
        match self {
            Step::Bz2 => 4 * MIB,
            Step::Blosc => bytes.saturating_mul(3),
            _ => 0,
        }
    }

    /// The bytes that a checksum is of, if it agrees.
    pub(super) fn verify(self, encoded: &[u8]) -> Result<Range<usize>> {
        let Step::Checksum { of, at_start } = self else { return Ok(0..encoded.len()) };
        let short = || corrupt("it is shorter than its checksum");
        let (range, stored) = match at_start {
            true => (4..encoded.len(), encoded.first_chunk::<4>().ok_or_else(short)?),
            false => {
                let stored = encoded.last_chunk::<4>().ok_or_else(short)?;
                (0..encoded.len() - 4, stored)
            }
        };
        if of.of(&encoded[range.clone()]) != u32::from_le_bytes(*stored) {
            let message = format!(
                "its {} does not agree: the bytes changed after they were written",
                of.name()
            );
            return Err(corrupt(message));
        }
        Ok(range)
    }

    /// Undoes the step; how many bytes of `out` it filled, or how many it would have.
    pub(crate) fn undo(self, encoded: &[u8], out: &mut [u8]) -> Result<usize> {
        let name = self.name();
        match self {
            Step::Zstd { .. } => unzstd(encoded, out),
            Step::Blosc => unblosc(encoded, out),
            Step::Gzip { .. } => INFLATE
                .with_borrow_mut(|inflate| inflate.gzip_decompress(encoded, out))
                .map_err(|e| damaged(name, e)),
            Step::Zlib => INFLATE
                .with_borrow_mut(|inflate| inflate.zlib_decompress(encoded, out))
                .map_err(|e| damaged(name, e)),
            Step::Lz4 => {
                let Some((claimed, block)) = encoded.split_first_chunk::<4>() else {
                    return Err(corrupt("it is shorter than the length before its LZ4 block"));
                };
                let claimed = u32::from_le_bytes(*claimed) as usize;
                let Some(out) = out.get_mut(..claimed) else { return Ok(claimed) };
                lz4_flex::block::decompress_into(block, out).map_err(|e| damaged(name, e))
            }
            Step::Bz2 => bz2_decode(encoded, out),
            Step::Shuffle { size } => {
                let len = encoded.len();
                // numcodecs refuses to shuffle what is no whole number of elements.
                if !len.is_multiple_of(size) {
                    return Err(corrupt(format!("{len} bytes are no shuffled elements of {size}")));
                }
                if let Some(out) = out.get_mut(..len) {
                    unshuffle(encoded, out, size);
                }
                Ok(len)
            }
            Step::Checksum { .. } => {
                let kept = &encoded[self.verify(encoded)?];
                if let Some(out) = out.get_mut(..kept.len()) {
                    out.copy_from_slice(kept);
                }
                Ok(kept.len())
            }
        }
    }

    /// Does the step to elements of `size` bytes; `out` is as long as [`Step::bound`] says.
    /// How many bytes it took.
    pub(crate) fn apply(self, bytes: &[u8], size: usize, out: &mut [u8]) -> Result<usize> {
        let failed = |what: &dyn std::fmt::Display| {
            FormatError::new(ErrorKind::Io, format!("{} failed: {what}", self.name()))
        };
        match self {
            Step::Zstd { level } => ZSTD_OUT.with_borrow_mut(|zstd| {
                if zstd.as_ref().is_none_or(|(have, _)| *have != level) {
                    *zstd = Some((level, zstd::bulk::Compressor::new(level)?));
                }
                let (_, compressor) = zstd.as_mut().expect("just set");
                let len = compressor.compress_to_buffer(bytes, out).map_err(|e| failed(&e));
                if level > KEPT_LEVEL {
                    *zstd = None;
                }
                len
            }),
            Step::Blosc => blosc_encode(bytes, size, out),
            Step::Gzip { level } => DEFLATE.with_borrow_mut(|deflate| {
                if deflate.as_ref().is_none_or(|(have, _)| *have != level) {
                    let level_of = CompressionLvl::new(level as i32)
                        .map_err(|_| failed(&format_args!("there is no level {level}")))?;
                    *deflate = Some((level, Compressor::new(level_of)));
                }
                let (_, deflate) = deflate.as_mut().expect("just set");
                deflate.gzip_compress(bytes, out).map_err(|e| failed(&e))
            }),
            Step::Zlib | Step::Lz4 | Step::Bz2 | Step::Shuffle { .. } | Step::Checksum { .. } => {
                let message = format!("{} is read but not written", self.name());
                Err(FormatError::new(ErrorKind::Unsupported, message))
            }
        }
    }
}

/// The highest level of zstd whose state, at most 8 MiB, a thread keeps from chunk to chunk: of higher ones it takes up to
/// 96 MiB, and much less time to make than to use.
const KEPT_LEVEL: i32 = 5;

thread_local! {
    static ZSTD_OUT: RefCell<Option<(i32, zstd::bulk::Compressor<'static>)>> =
        const { RefCell::new(None) };
    static INFLATE: RefCell<Decompressor> = RefCell::new(Decompressor::new());
    static DEFLATE: RefCell<Option<(u32, Compressor)>> = const { RefCell::new(None) };
}

fn corrupt(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Corrupt, message)
}

/// The bytes of a bzip2 stream; one that goes on beyond `out` is corrupt.
fn bz2_decode(encoded: &[u8], out: &mut [u8]) -> Result<usize> {
    let damaged = |e: &dyn std::fmt::Display| damaged("bz2", e);
    let mut stream = bzip2::Decompress::new(false);
    match stream.decompress(encoded, out).map_err(|e| damaged(&e))? {
        bzip2::Status::StreamEnd => Ok(stream.total_out() as usize),
        _ => Err(damaged(&"its end is missing, or it holds more")),
    }
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

    const WRITTEN: [Step; 3] = [Step::Zstd { level: 3 }, Step::Blosc, Step::Gzip { level: 5 }];

    #[test]
    fn each_codec_gives_back_what_it_took_and_refuses_other_sizes() {
        let bytes: Vec<u8> = (0..40_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        for step in WRITTEN {
            let mut encoded = vec![0; step.bound(bytes.len() as u64) as usize];
            let len = step.apply(&bytes, 4, &mut encoded).unwrap();
            encoded.truncate(len);
            let mut back = vec![0; bytes.len()];
            assert_eq!(step.undo(&encoded, &mut back).unwrap(), bytes.len());
            assert_eq!(back, bytes);
            match step.undo(&encoded, &mut vec![0; bytes.len() - 4]) {
                Ok(len) => assert_eq!(len, bytes.len(), "{step:?} tells what it needs"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{step:?}"),
            }
            for cut in [0, 1, 10, len / 2, len - 1] {
                match step.undo(&encoded[..cut], &mut back) {
                    Ok(len) => assert_ne!(len, bytes.len(), "{step:?} cut at {cut}"),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{step:?} at {cut}"),
                }
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
        for step in [Step::Zstd { level: 1 }, Step::Blosc, Step::Gzip { level: 0 }] {
            for len in [0, 1, 15, 100_000] {
                let mut encoded = vec![0; step.bound(len as u64) as usize];
                step.apply(&bytes[..len], 1, &mut encoded).unwrap();
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
        let error = Step::Zstd { level: 0 }.undo(&frame, &mut out).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_changed_byte_fails_its_checksum() {
        // What Python's zlib and crc32c say of the bytes 1, 2, 3, 4; the Fletcher sum by hand.
        let known = [
            (Checksum::Crc32c, 0x2930_8cf4),
            (Checksum::Crc32, 0xb63c_fbcd),
            (Checksum::Adler32, 0x0018_000b),
            (Checksum::Fletcher32, 0x0508_0406),
        ];
        for (of, sum) in known {
            for at_start in [false, true] {
                let step = Step::Checksum { of, at_start };
                let mut encoded = vec![1u8, 2, 3, 4];
                let at = if at_start { 0 } else { 4 };
                encoded.splice(at..at, u32::to_le_bytes(sum));
                assert_eq!(step.verify(&encoded).unwrap().len(), 4, "{of:?}");
                encoded[5] ^= 1;
                assert_eq!(step.verify(&encoded).unwrap_err().kind(), ErrorKind::Corrupt);
                assert_eq!(step.verify(&encoded[..3]).unwrap_err().kind(), ErrorKind::Corrupt);
            }
        }
    }
}
