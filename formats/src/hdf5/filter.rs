//! The filter pipeline of a chunk: deflate, shuffle and Fletcher-32, both directions.
//!
//! Every buffer is the caller's and every length is known before a filter runs, so a
//! hostile chunk can neither make us allocate nor write past its own elements. Filters
//! and their identifiers are those of the HDF5 file format specification, version 3,
//! section IV.A.2.l ("Filter Pipeline Message").

use super::file::REMEDY;
use crate::{
    error::{ErrorKind, FormatError, Result},
    transform::{fletcher32, unshuffle},
};
use hdf5_reader::messages::filter_pipeline::FilterPipelineMessage;
use libdeflater::{CompressionLvl, Compressor, DecompressionError, Decompressor};
use std::{cell::RefCell, fmt};

/// Bytes that one Fletcher-32 checksum adds to a chunk.
const CHECKSUM: usize = 4;

/// One filter, as it was applied when the chunk was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    /// Bytes of equal significance put together, for elements of this many bytes.
    Shuffle(usize),
    /// A zlib stream.
    Deflate,
    /// A checksum behind the bytes.
    Fletcher32,
}

/// The filters of a data set, in the order in which a writer applies them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pipeline(Vec<Filter>);

impl Pipeline {
    /// The filters that a file lists; refuses by name what is not built in.
    pub(super) fn new(message: &FilterPipelineMessage, element: usize) -> Result<Pipeline> {
        let mut filters = Vec::new();
        for filter in &message.filters {
            filters.push(match filter.id {
                1 => Filter::Deflate,
                2 => Filter::Shuffle(match filter.client_data.first() {
                    Some(&size) if size > 0 => size as usize,
                    _ => element,
                }),
                3 => Filter::Fletcher32,
                id => return Err(unsupported(id, filter.name.as_deref())),
            });
        }
        if filters.iter().filter(|&&f| f == Filter::Deflate).count() > 1 {
            return Err(FormatError::new(
                ErrorKind::Unsupported,
                "the chunks are deflated more than once",
            ));
        }
        Ok(Pipeline(filters))
    }

    /// Whether chunks lie as they are.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of the two buffers that [`Pipeline::decode`] needs for a chunk of `chunk` bytes
    /// of which at most `stored` are on disk.
    pub(super) fn buffers(&self, chunk: usize, stored: usize) -> (usize, usize) {
        let checksums = self.0.iter().filter(|&&f| f == Filter::Fletcher32).count();
        let whole = stored.max(chunk + CHECKSUM * checksums);
        // Filters that are not undone last write into `second` first, then `first`, ….
        match self.0.iter().skip(1).filter(|&&f| f != Filter::Fletcher32).count() {
            0 => (stored, 0),
            1 => (stored, whole),
            _ => (whole, whole),
        }
    }

    /// Undoes the filters that `mask` does not switch off. The stored bytes are the first
    /// `stored` of `first`; the elements end up in `out`, which is exactly as long as the chunk.
    pub(super) fn decode(
        &self,
        mask: u32,
        stored: usize,
        first: &mut [u8],
        second: &mut [u8],
        out: &mut [u8],
    ) -> Result<()> {
        let (mut input, mut spare) = (first, second);
        let mut len = stored;
        let applied = |i: &usize| *i >= 32 || mask & (1 << *i) == 0;
        let last = (0..self.0.len()).find(applied);
        for i in (0..self.0.len()).rev().filter(applied) {
            // What is undone last writes where the elements belong.
            let target = if Some(i) == last { &mut *out } else { &mut *spare };
            len = match self.0[i] {
                Filter::Fletcher32 => {
                    len = verify(&input[..len])?;
                    continue;
                }
                Filter::Deflate => inflate(&input[..len], target)?,
                Filter::Shuffle(element) => {
                    let target = target.get_mut(..len).ok_or_else(|| wrong_length(len))?;
                    unshuffle(&input[..len], target, element);
                    len
                }
            };
            if Some(i) == last {
                return if len == out.len() { Ok(()) } else { Err(wrong_length(len)) };
            }
            std::mem::swap(&mut input, &mut spare);
        }
        if len != out.len() {
            return Err(wrong_length(len));
        }
        out.copy_from_slice(&input[..len]);
        Ok(())
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, filter) in self.0.iter().enumerate() {
            let name = match filter {
                Filter::Shuffle(_) => "shuffle",
                Filter::Deflate => "deflate",
                Filter::Fletcher32 => "fletcher32",
            };
            write!(f, "{}{name}", if i > 0 { "+" } else { "" })?;
        }
        Ok(())
    }
}

fn wrong_length(len: usize) -> FormatError {
    FormatError::new(ErrorKind::Corrupt, format!("decodes to {len} bytes, not to a whole chunk"))
}

fn unsupported(id: u16, name: Option<&str>) -> FormatError {
    let known = match id {
        4 => "szip",
        5 => "nbit",
        6 => "scaleoffset",
        307 => "bzip2",
        32000 => "lzf",
        32001 => "blosc",
        32004 => "lz4",
        32008 => "bitshuffle",
        32013 => "zfp",
        32015 => "zstd",
        32026 => "blosc2",
        _ => name.unwrap_or("unnamed"),
    };
    FormatError::new(
        ErrorKind::Unsupported,
        format!("the chunks are encoded with the filter {known} ({id})"),
    )
    .help(REMEDY)
}

thread_local! {
    static DECOMPRESSOR: RefCell<Decompressor> = RefCell::new(Decompressor::new());
    /// The compressor of the level that this thread used last.
    static COMPRESSOR: RefCell<Option<(i32, Compressor)>> = const { RefCell::new(None) };
}

/// Decodes a zlib stream; returns the number of bytes that it gave.
fn inflate(input: &[u8], out: &mut [u8]) -> Result<usize> {
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
pub(super) fn deflate_level(level: u32) -> Result<CompressionLvl> {
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
pub(super) fn deflate_bound(len: usize) -> usize {
    len + 5 * (len / 5000 + 1) + 64
}

/// Encodes a zlib stream; returns its length.
pub(super) fn deflate(level: CompressionLvl, input: &[u8], out: &mut [u8]) -> Result<usize> {
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
fn verify(input: &[u8]) -> Result<usize> {
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
    use crate::transform::shuffle;
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn every_pipeline_undoes_what_was_done(
            values in prop::collection::vec(any::<u32>(), 1..300), order in 0usize..6, mask in 0u32..8,
        ) {
            let filters = [
                vec![Filter::Shuffle(4), Filter::Deflate, Filter::Fletcher32],
                vec![Filter::Fletcher32, Filter::Shuffle(4), Filter::Deflate],
                vec![Filter::Deflate, Filter::Shuffle(4)],
                vec![Filter::Shuffle(4)],
                vec![Filter::Fletcher32],
                vec![Filter::Shuffle(4), Filter::Fletcher32, Filter::Deflate],
            ][order].clone();
            let chunk: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
            let mut stored = chunk.clone();
            for (_, filter) in filters.iter().enumerate().filter(|(i, _)| mask & (1 << i) == 0) {
                let input = stored.clone();
                match *filter {
                    Filter::Shuffle(size) => shuffle(&input, &mut stored, size),
                    Filter::Deflate => {
                        stored.resize(deflate_bound(input.len()), 0);
                        let len = deflate(deflate_level(4).unwrap(), &input, &mut stored).unwrap();
                        stored.truncate(len);
                    }
                    Filter::Fletcher32 => {
                        stored.extend_from_slice(&fletcher32(&input).to_le_bytes());
                    }
                }
            }
            let pipeline = Pipeline(filters);
            let (room, second) = pipeline.buffers(chunk.len(), stored.len());
            let (mut first, mut second) = (stored.clone(), vec![0; second]);
            first.resize(room, 0);
            let mut out = vec![0; chunk.len()];
            pipeline.decode(mask, stored.len(), &mut first, &mut second, &mut out).unwrap();
            prop_assert_eq!(out, chunk);
        }
    }
}
