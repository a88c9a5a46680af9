//! How one stored chunk is encoded, from elements to bytes, and back.
//!
//! A chain is an order of axes, filters of elements, a byte order, and steps on bytes:
//! compressors, shuffles and checksums, in any order and number. Every size is known before a
//! byte is decoded: a step's longest output follows from its input, so that what a frame
//! claims of itself is never allocated.

use super::{codec::Step, filter::Filter};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    raw::to_native,
};
use smallvec::SmallVec;

/// The encoding of one chunk, innermost step first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chain {
    /// Axis `i` of the stored chunk is the array's axis `order[i]`.
    pub(super) order: SmallVec<[usize; 6]>,
    /// The type of the array's elements.
    pub(super) dtype: DType,
    /// What is done to elements before they become bytes.
    pub(super) filters: SmallVec<[Filter; 1]>,
    /// Whether stored elements have the other byte order than this machine.
    pub(super) swap: bool,
    /// What is done to the bytes.
    pub(super) steps: SmallVec<[Step; 2]>,
}

/// Bytes of scratch for decoding one chunk, beside its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// For the encoded chunk, and for every second of the steps between.
    pub(super) encoded: u64,
    /// For the other steps between.
    pub(super) between: u64,
    /// For stored elements that filters make elements of, twice.
    pub(super) filtered: u64,
}

impl Chain {
    /// Axes in order, native bytes, no filter, these steps.
    pub(super) fn new(rank: usize, dtype: DType, steps: impl IntoIterator<Item = Step>) -> Chain {
        let steps = steps.into_iter().collect();
        Chain { order: (0..rank).collect(), dtype, filters: SmallVec::new(), swap: false, steps }
    }

    /// Whether elements can be read where they lie. (Behind a checksum they cannot: it is
    /// of the whole chunk.)
    pub(super) fn is_raw(&self) -> bool {
        self.filters.is_empty() && self.steps.is_empty()
    }

    /// The type of the elements whose bytes the first step takes.
    pub(super) fn stored_dtype(&self) -> DType {
        self.filters.last().map_or(self.dtype, Filter::stored)
    }

    /// Bytes of the stored elements of a chunk of `bytes` bytes, before any step.
    fn stored_bytes(&self, bytes: u64) -> u64 {
        let count = bytes / self.dtype.size() as u64;
        self.filters.last().map_or(bytes, |filter| filter.stored_bytes(count))
    }

    /// The longest output of each step for a chunk of `bytes` bytes, stored elements first.
    fn bounds(&self, bytes: u64) -> SmallVec<[u64; 4]> {
        let mut bounds = SmallVec::from_elem(self.stored_bytes(bytes), 1);
        for step in &self.steps {
            bounds.push(step.bound(bounds[bounds.len() - 1]));
        }
        bounds
    }

    /// The longest encoding of a chunk of `bytes` bytes that is believed.
    pub(super) fn bound(&self, bytes: u64) -> u64 {
        self.bounds(bytes).pop().unwrap_or(bytes)
    }

    /// The scratch that [`Chain::decode`] needs for a chunk of `bytes` bytes.
    pub(super) fn room(&self, bytes: u64) -> Room {
        let longest = self.bounds(bytes).into_iter().max().unwrap_or(0);
        let moving = self.moving();
        // The step nearest to the elements writes where they are wanted.
        let into_scratch = moving - usize::from(self.steps.first().is_some_and(|s| s.moves()));
        let filtered = match self.filters.is_empty() {
            true => 0,
            false => self.filters.iter().fold(bytes, |most, filter| {
                most.max(filter.stored_bytes(bytes / self.dtype.size() as u64))
            }),
        };
        Room { encoded: longest, between: if into_scratch > 0 { longest } else { 0 }, filtered }
    }

    /// Bytes that decoders allocate by themselves for a chunk of `bytes` bytes, at the most.
    pub(super) fn foreign(&self, bytes: u64) -> u64 {
        let decoded = self.bounds(bytes);
        let of_steps = self.steps.iter().zip(decoded).map(|(step, n)| step.decoder_bytes(n));
        of_steps.max().unwrap_or(0)
    }

    /// Decodes the first `len` bytes of `encoded` into the elements `out`, which the chunk must
    /// fill exactly, in stored order of axes and native byte order. `encoded`, `between` and
    /// the two of `filtered` are as long as [`Chain::room`] says.
    pub(super) fn decode(
        &self,
        encoded: &mut [u8],
        len: usize,
        between: &mut [u8],
        filtered: [&mut [u8]; 2],
        out: &mut [u8],
    ) -> Result<()> {
        if self.filters.is_empty() {
            self.undo_steps(encoded, len, between, out)?;
            to_native(out, self.dtype, self.swap);
            return Ok(());
        }
        let count = (out.len() / self.dtype.size()) as u64;
        let [mut from, mut to] = filtered;
        let mut at = self.stored_bytes(out.len() as u64) as usize;
        self.undo_steps(encoded, len, between, &mut from[..at])?;
        to_native(&mut from[..at], self.stored_dtype(), self.swap);
        for (n, filter) in self.filters.iter().enumerate().rev() {
            let before = match n.checked_sub(1) {
                Some(before) => self.filters[before].stored_bytes(count) as usize,
                None => out.len(),
            };
            let target = if n == 0 { &mut *out } else { &mut to[..before] };
            filter.decode(&from[..at], target)?;
            (from, to, at) = (to, from, before);
        }
        Ok(())
    }

    /// Undoes the steps on bytes; `out` is filled exactly.
    fn undo_steps(
        &self,
        encoded: &mut [u8],
        len: usize,
        between: &mut [u8],
        out: &mut [u8],
    ) -> Result<()> {
        let (mut from, mut to) = (encoded, between);
        let mut at = 0..len;
        for (n, step) in self.steps.iter().enumerate().rev() {
            if !step.moves() {
                let kept = step.verify(&from[at.clone()])?;
                at = at.start + kept.start..at.start + kept.end;
                continue;
            }
            if n == 0 {
                return of_length(step.undo(&from[at], out)?, out.len());
            }
            let written = step.undo(&from[at], to)?;
            if written > to.len() {
                let message = format!(
                    "its {} claims {written} bytes, more than the {} that its shape allows",
                    step.name(),
                    to.len()
                );
                return Err(FormatError::new(ErrorKind::Corrupt, message));
            }
            at = 0..written;
            (from, to) = (to, from);
        }
        of_length(at.len(), out.len())?;
        out.copy_from_slice(&from[at]);
        Ok(())
    }

    /// The number of steps that move bytes; checksums do not.
    fn moving(&self) -> usize {
        self.steps.iter().filter(|step| step.moves()).count()
    }

    /// The compressors and shuffles by name, for people; empty where there is none.
    pub(super) fn name(&self) -> String {
        let filters = self.filters.iter().map(|filter| filter.name());
        let steps = self.steps.iter().filter(|step| step.moves()).map(|step| step.name());
        filters.chain(steps).collect::<Vec<_>>().join("+")
    }
}

fn of_length(written: usize, wanted: usize) -> Result<()> {
    match written == wanted {
        true => Ok(()),
        false => Err(FormatError::new(
            ErrorKind::Corrupt,
            format!("it holds {written} bytes, its shape {wanted}"),
        )),
    }
}
