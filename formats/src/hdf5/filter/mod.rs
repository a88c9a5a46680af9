//! The filter pipeline of a chunk: what a file lists, undone in the caller's buffers.
//!
//! Every buffer is the caller's and every length is bounded before a filter runs, so a
//! hostile chunk can neither make us allocate nor write past its own elements. Filters
//! and their identifiers are those of the HDF5 file format specification, version 3,
//! section IV.A.2.l ("Filter Pipeline Message"), and of the HDF Group's list of registered
//! filters.
//!
//! | file | filters |
//! |---|---|
//! | `builtin` | deflate, shuffle, Fletcher-32 |
//! | `packed` | n-bit, scale-offset |
//! | `lz` | LZF, LZ4 |
//! | `bitshuffle` | bitshuffle, plain or with LZ4 or zstd |
//!
//! zstd and blosc are frames, which [`crate::frames`] decodes.

mod bitshuffle;
mod builtin;
mod lz;
mod packed;

use super::file::{REMEDY, corrupt, unsupported};
use crate::{
    error::{FormatError, Result},
    frames::{unblosc, unzstd},
    transform::unshuffle,
};
use bitshuffle::Bitshuffle;
use builtin::{CHECKSUM, inflate, verify};
pub(super) use builtin::{deflate, deflate_bound, deflate_level};
use hdf5_reader::messages::filter_pipeline::FilterPipelineMessage;
use packed::{Nbit, ScaleOffset};
use std::fmt;

/// The most filters of a pipeline (`H5Z_MAX_NFILTERS`): each has a bit in a chunk's mask.
const MAX_FILTERS: usize = 32;

/// One filter, as it was applied when the chunk was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    /// Bytes of equal significance put together, for elements of this many bytes.
    Shuffle(usize),
    /// A zlib stream.
    Deflate,
    /// A checksum behind the bytes.
    Fletcher32,
    Nbit(Nbit),
    ScaleOffset(ScaleOffset),
    Lzf,
    Blosc,
    Lz4,
    Bitshuffle(Bitshuffle),
    Zstd,
}

impl Filter {
    /// The filter that a file lists, of elements of `element` bytes; refuses by name what is
    /// not built in.
    fn new(id: u16, name: Option<&str>, client: &[u32], element: usize) -> Result<Filter> {
        Ok(match id {
            1 => Filter::Deflate,
            2 => Filter::Shuffle(match client.first() {
                Some(&size) if size > 0 => size as usize,
                _ => element,
            }),
            3 => Filter::Fletcher32,
            5 => Filter::Nbit(Nbit::new(client)?),
            6 => Filter::ScaleOffset(ScaleOffset::new(client)?),
            32000 => Filter::Lzf,
            32001 => Filter::Blosc,
            32004 => Filter::Lz4,
            32008 => Filter::Bitshuffle(Bitshuffle::new(client)?),
            32015 => Filter::Zstd,
            _ => {
                let known = match id {
                    4 => "szip",
                    307 => "bzip2",
                    32013 => "zfp",
                    32017 => "sz",
                    32026 => "blosc2",
                    _ => name.filter(|name| !name.is_empty()).unwrap_or("without a name"),
                };
                return Err(refused(format!("the filter {known} ({id})")));
            }
        })
    }

    /// The most bytes that the filter makes of at most `len`, when it is applied.
    fn grown(self, len: usize) -> usize {
        match self {
            Filter::Shuffle(_) | Filter::Nbit(_) => len,
            Filter::Fletcher32 => len.saturating_add(CHECKSUM),
            // What does not compress grows by headers of blocks, which encoders may make as
            // short as they like: half as much again covers blocks of eight bytes.
            _ => len.saturating_add(len / 2 + 1024),
        }
    }

    fn name(self) -> &'static str {
        use bitshuffle::Codec;
        match self {
            Filter::Shuffle(_) => "shuffle",
            Filter::Deflate => "deflate",
            Filter::Fletcher32 => "fletcher32",
            Filter::Nbit(_) => "nbit",
            Filter::ScaleOffset(_) => "scaleoffset",
            Filter::Lzf => "lzf",
            Filter::Blosc => "blosc",
            Filter::Lz4 => "lz4",
            Filter::Bitshuffle(Bitshuffle { codec: Codec::None, .. }) => "bitshuffle",
            Filter::Bitshuffle(Bitshuffle { codec: Codec::Lz4, .. }) => "bitshuffle-lz4",
            Filter::Bitshuffle(Bitshuffle { codec: Codec::Zstd, .. }) => "bitshuffle-zstd",
            Filter::Zstd => "zstd",
        }
    }

    /// Undoes the filter; returns how many bytes are in `out` then.
    fn undo(self, input: &[u8], out: &mut [u8], spare: &mut [u8]) -> Result<usize> {
        match self {
            Filter::Shuffle(element) => {
                let out = out.get_mut(..input.len()).ok_or_else(|| wrong_length(input.len()))?;
                unshuffle(input, out, element);
                Ok(input.len())
            }
            Filter::Fletcher32 => {
                let len = verify(input)?;
                let out = out.get_mut(..len).ok_or_else(|| wrong_length(len))?;
                out.copy_from_slice(&input[..len]);
                Ok(len)
            }
            Filter::Deflate => inflate(input, out),
            Filter::Nbit(filter) => filter.decode(input, out),
            Filter::ScaleOffset(filter) => filter.decode(input, out),
            Filter::Lzf => lz::unlzf(input, out),
            Filter::Lz4 => lz::unlz4(input, out),
            Filter::Bitshuffle(filter) => filter.decode(input, out, spare),
            Filter::Zstd => unzstd(input, out),
            Filter::Blosc => match unblosc(input, out)? {
                len if len <= out.len() => Ok(len),
                len => Err(wrong_length(len)),
            },
        }
    }
}

/// The filters of a data set, in the order in which a writer applies them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pipeline(Vec<Filter>);

/// Bytes of the three buffers that [`Pipeline::decode`] needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Buffers {
    /// The chunk as it is stored, and every second step of decoding.
    pub(super) first: usize,
    /// The other steps.
    pub(super) second: usize,
    /// What one filter needs beside its input and output.
    pub(super) spare: usize,
    /// What blosc allocates by itself: three of a frame's blocks. Not a buffer of ours.
    pub(super) foreign: usize,
}

impl Pipeline {
    /// The filters that a file lists; refuses by name what is not built in.
    pub(super) fn new(message: &FilterPipelineMessage, element: usize) -> Result<Pipeline> {
        if message.filters.len() > MAX_FILTERS {
            return Err(corrupt(format!("{} filters, of at most 32", message.filters.len())));
        }
        let filter = |f: &hdf5_reader::messages::filter_pipeline::FilterDescription| {
            let name = f.name.as_deref().map(|name| name.trim_end_matches('\0'));
            Filter::new(f.id, name, &f.client_data, element)
        };
        message.filters.iter().map(filter).collect::<Result<_>>().map(Pipeline)
    }

    /// Whether chunks lie as they are.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The most bytes of a chunk of `chunk` bytes before the filter number `filter` was applied.
    fn before(&self, filter: usize, chunk: usize) -> usize {
        self.0[..filter].iter().fold(chunk, |len, filter| filter.grown(len))
    }

    /// The buffers for a chunk of `chunk` bytes of which at most `stored` are on disk.
    pub(super) fn buffers(&self, chunk: usize, stored: usize) -> Buffers {
        let Some(outermost) = self.0.len().checked_sub(1) else { return Buffers::default() };
        let whole = self.before(outermost, chunk);
        // No encoder makes a chunk longer by more. What the longest one of this file takes would be
        // less, and not enough for other files of a stack, of which one tells for all.
        let stored = stored.max(whole + whole / 64 + 1024);
        // Filters that are not undone last write into `second` first, then `first`, ….
        let (first, second) = match outermost {
            0 => (stored, 0),
            1 => (stored, whole),
            _ => (stored.max(whole), whole),
        };
        let spare = self.0.iter().enumerate().filter_map(|(i, filter)| match filter {
            Filter::Bitshuffle(filter) => Some(filter.scratch(self.before(i, chunk))),
            _ => None,
        });
        let foreign = if self.0.contains(&Filter::Blosc) { 3 * whole } else { 0 };
        Buffers { first, second, spare: spare.max().unwrap_or(0), foreign }
    }

    /// Undoes the filters that `mask` does not switch off. The stored bytes are the first
    /// `stored` of `first`; the elements end up in `out`, which is exactly as long as the chunk.
    pub(super) fn decode(
        &self,
        mask: u32,
        stored: usize,
        [first, second, spare]: [&mut [u8]; 3],
        out: &mut [u8],
    ) -> Result<()> {
        let (mut input, mut other) = (first, second);
        let mut len = stored;
        let applied = |i: &usize| mask & (1 << *i) == 0;
        let last = (0..self.0.len()).find(applied);
        for i in (0..self.0.len()).rev().filter(applied) {
            if Some(i) == last {
                // What is undone last writes where the elements belong.
                len = self.0[i].undo(&input[..len], out, spare)?;
                return if len == out.len() { Ok(()) } else { Err(wrong_length(len)) };
            }
            len = self.0[i].undo(&input[..len], other, spare)?;
            std::mem::swap(&mut input, &mut other);
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
            write!(f, "{}{}", if i > 0 { "+" } else { "" }, filter.name())?;
        }
        Ok(())
    }
}

fn wrong_length(len: usize) -> FormatError {
    corrupt(format!("decodes to {len} bytes, not to a whole chunk"))
}

/// The error of what is not built in.
fn refused(what: impl fmt::Display) -> FormatError {
    unsupported(format!("the chunks are encoded with {what}")).help(REMEDY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::{fletcher32, shuffle};
    use proptest::prelude::*;

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
                    _ => unreachable!("not among those above"),
                }
            }
            let pipeline = Pipeline(filters);
            let buffers = pipeline.buffers(chunk.len(), stored.len());
            let (mut first, mut second) = (stored.clone(), vec![0; buffers.second]);
            first.resize(buffers.first, 0);
            let mut out = vec![0; chunk.len()];
            let buffers = [&mut first[..], &mut second, &mut []];
            pipeline.decode(mask, stored.len(), buffers, &mut out).unwrap();
            prop_assert_eq!(out, chunk);
        }
    }
}
