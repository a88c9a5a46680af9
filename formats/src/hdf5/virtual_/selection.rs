//! Selections as virtual data sets store them, and how two of them lie over each other.
//!
//! A selection is all of a data set or a regular hyperslab: along each axis blocks of equal
//! length at equal distances. The encodings are those of the format specification, version 3,
//! section VII ("Dataspace Selection").

use crate::error::Result;
use crate::hdf5::file::{corrupt, translate, unsupported};
use hdf5_reader::io::Cursor;

/// What stands for a number without limit.
const UNLIMITED: u64 = u64::MAX;
/// The most axes that HDF5 allows.
const MAX_RANK: u32 = 32;

/// The indices that are selected along one axis: blocks of `block` at distances of `stride`,
/// `len` indices in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) stride: u64,
    pub(super) block: u64,
    pub(super) len: u64,
}

/// Indices of two selections that go on regularly in both: `len` of them, `own_step` and
/// `theirs_step` apart. One alone has steps of 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) own: u64,
    pub(super) own_step: u64,
    pub(super) theirs: u64,
    pub(super) theirs_step: u64,
    pub(super) len: u64,
}

/// A stored selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    All,
    Nothing,
    /// Along each axis; one of them may go on without limit.
    Spans(Vec<Span>),
}

impl Span {
    /// A selection of `len` indices in blocks.
    fn new(start: u64, stride: u64, count: u64, block: u64) -> Result<Span> {
        if block == UNLIMITED || count == UNLIMITED {
            // A block without end is blocks of one, one after the other.
            let (stride, block) = if block == UNLIMITED { (1, 1) } else { (stride, block) };
            return Span { start, stride, block, len: UNLIMITED }.checked();
        }
        let len = count.checked_mul(block);
        let len = len.ok_or_else(|| corrupt("a selection has more indices than there are"))?;
        match count {
            // Blocks that touch are one.
            0 | 1 => Span { start, stride: len.max(1), block: len.max(1), len }.checked(),
            _ if stride == block => Span { start, stride: len, block: len, len }.checked(),
            _ => Span { start, stride, block, len }.checked(),
        }
    }

    fn checked(self) -> Result<Span> {
        if self.block == 0 || self.stride < self.block {
            return Err(corrupt(format!("blocks of {} every {}", self.block, self.stride)));
        }
        if self.len != UNLIMITED && self.last().is_none() {
            return Err(corrupt("a selection has indices beyond what can be addressed"));
        }
        Ok(self)
    }

    pub(super) fn is_unlimited(&self) -> bool {
        self.len == UNLIMITED
    }

    /// The same within an axis of `extent`, if it has no limit of its own.
    pub(super) fn clipped(self, extent: u64) -> Span {
        if !self.is_unlimited() {
            return self;
        }
        let room = extent.saturating_sub(self.start);
        let len = room / self.stride * self.block + (room % self.stride).min(self.block);
        Span { len, ..self }
    }

    /// The index behind the last one; `None` beyond `u64`.
    pub(super) fn end(&self) -> Option<u64> {
        if self.len == 0 { Some(self.start) } else { self.last()?.checked_add(1) }
    }

    fn last(&self) -> Option<u64> {
        let k = self.len.checked_sub(1)?;
        (k / self.block)
            .checked_mul(self.stride)?
            .checked_add(k % self.block)?
            .checked_add(self.start)
    }

    /// The index that comes as number `k`.
    pub(super) fn at(&self, k: u64) -> u64 {
        self.start + k / self.block * self.stride + k % self.block
    }

    /// How many selected indices lie before `index`.
    pub(super) fn rank_of(&self, index: u64) -> u64 {
        let from = index.saturating_sub(self.start);
        let before = (from / self.stride).saturating_mul(self.block);
        before.saturating_add((from % self.stride).min(self.block)).min(self.len)
    }

    /// The stretches in which `self` and `other`, which are as long, both go on regularly, as
    /// far as `self` lies in `start..end`.
    pub(super) fn stretches(
        &self,
        other: &Span,
        start: u64,
        end: u64,
    ) -> impl Iterator<Item = Stretch> + use<> {
        let (own, theirs) = (*self, *other);
        let (mut k, behind) = (own.rank_of(start), own.rank_of(end));
        std::iter::from_fn(move || {
            let len = own.left(k).min(theirs.left(k)).min(behind.checked_sub(k)?);
            (len > 0).then(|| {
                let step = |span: Span| if len > 1 && span.block == 1 { span.stride } else { 1 };
                let stretch = Stretch {
                    own: own.at(k),
                    own_step: step(own),
                    theirs: theirs.at(k),
                    theirs_step: step(theirs),
                    len,
                };
                k += len;
                stretch
            })
        })
    }

    /// How many indices from number `k` on are equally far apart: all of them, where each is
    /// a block of its own.
    fn left(&self, k: u64) -> u64 {
        if self.block == 1 { u64::MAX } else { self.block - k % self.block }
    }
}

impl Selection {
    /// Takes a selection off the cursor.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Selection> {
        let mut word = || cursor.read_u32_le().map_err(translate);
        let (kind, version) = (word()?, word()?);
        match kind {
            0 | 3 => {
                word()?;
                word()?;
                Ok(if kind == 0 { Selection::Nothing } else { Selection::All })
            }
            2 => Selection::hyperslab(cursor, version),
            1 => Err(unsupported("a virtual data set of selected points")),
            _ => Err(corrupt(format!("a selection of kind {kind}"))),
        }
    }

    fn hyperslab(cursor: &mut Cursor<'_>, version: u32) -> Result<Selection> {
        let flags = match version {
            1 => {
                cursor.skip(8).map_err(translate)?;
                0
            }
            2 => {
                let flags = cursor.read_u8().map_err(translate)?;
                cursor.skip(4).map_err(translate)?;
                flags
            }
            3 => cursor.read_u8().map_err(translate)?,
            _ => return Err(unsupported(format!("selections of version {version}"))),
        };
        let width = match version {
            1 => 4,
            2 => 8,
            _ => cursor.read_u8().map_err(translate)?.into(),
        };
        if !matches!(width, 2 | 4 | 8) {
            return Err(corrupt(format!("a selection in numbers of {width} bytes")));
        }
        let rank = cursor.read_u32_le().map_err(translate)?;
        if !(1..=MAX_RANK).contains(&rank) {
            return Err(corrupt(format!("a selection of {rank} axes")));
        }
        let mut number = || {
            let value = cursor.read_uvar(width).map_err(translate)?;
            Ok(if value == u64::MAX >> (64 - 8 * width) { UNLIMITED } else { value })
        };
        let regular = flags & 1 != 0;
        if regular {
            let spans = (0..rank).map(|_| Span::new(number()?, number()?, number()?, number()?));
            return spans.collect::<Result<_>>().map(Selection::Spans);
        }
        // A list of blocks: their first and last corners.
        let count = number()?;
        let mut blocks: Vec<Vec<(u64, u64)>> = Vec::new();
        for _ in 0..count {
            let first = (0..rank).map(|_| number()).collect::<Result<Vec<u64>>>()?;
            let last = (0..rank).map(|_| number()).collect::<Result<Vec<u64>>>()?;
            blocks.push(first.into_iter().zip(last).collect());
        }
        regular_of(&blocks, rank as usize)
    }
}

/// The regular hyperslab that a list of blocks is, if it is one.
fn regular_of(blocks: &[Vec<(u64, u64)>], rank: usize) -> Result<Selection> {
    if blocks.is_empty() {
        return Ok(Selection::Nothing);
    }
    let irregular = || unsupported("a virtual data set of blocks that are not a regular grid");
    let mut spans = Vec::with_capacity(rank);
    let mut expected = 1usize;
    for axis in 0..rank {
        let mut ranges: Vec<(u64, u64)> = blocks.iter().map(|block| block[axis]).collect();
        ranges.sort_unstable();
        ranges.dedup();
        let (first, last) = ranges[0];
        let block = last.checked_sub(first).and_then(|n| n.checked_add(1)).ok_or_else(irregular)?;
        let stride = ranges.get(1).map_or(block, |next| next.0 - first);
        let alike = ranges.iter().enumerate().all(|(i, range)| {
            let start = stride.checked_mul(i as u64).and_then(|n| n.checked_add(first));
            start == Some(range.0) && range.1.checked_sub(range.0) == Some(block - 1)
        });
        if !alike {
            return Err(irregular());
        }
        expected = expected.checked_mul(ranges.len()).ok_or_else(irregular)?;
        spans.push(Span::new(first, stride, ranges.len() as u64, block)?);
    }
    if expected != blocks.len() {
        return Err(irregular());
    }
    Ok(Selection::Spans(spans))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_go_on_as_far_as_both_do() {
        let of = |own: &Span, theirs: &Span, start, end| -> Vec<[u64; 5]> {
            let row = |s: Stretch| [s.own, s.own_step, s.theirs, s.theirs_step, s.len];
            own.stretches(theirs, start, end).map(row).collect()
        };
        let every_other = Span::new(1, 2, 5, 1).unwrap();
        let run = Span::new(10, 1, 1, 5).unwrap();
        assert_eq!(of(&every_other, &run, 0, 100), [[1, 2, 10, 1, 5]]);
        assert_eq!(of(&run, &every_other, 12, 14), [[12, 1, 5, 2, 2]]);
        assert_eq!(of(&run, &every_other, 12, 13), [[12, 1, 5, 1, 1]]);
        let pairs = Span::new(0, 4, 3, 2).unwrap();
        let threes = Span::new(0, 10, 2, 3).unwrap();
        let expected = [[1, 1, 1, 1, 1], [4, 1, 2, 1, 1], [5, 1, 10, 1, 1], [8, 1, 11, 1, 1]];
        assert_eq!(of(&pairs, &threes, 1, 9), expected);
        assert_eq!(of(&pairs, &Span::new(7, 3, 6, 1).unwrap(), 4, 6), [[4, 1, 13, 3, 2]]);
        assert_eq!(
            Span::new(3, 4, 3, 4).unwrap(),
            Span { start: 3, stride: 12, block: 12, len: 12 }
        );
    }

    #[test]
    fn what_has_no_limit_ends_with_its_axis() {
        let span = Span::new(2, 5, UNLIMITED, 3).unwrap();
        assert_eq!([0, 2, 3, 6, 7, 9].map(|extent| span.clipped(extent).len), [0, 0, 1, 3, 3, 5]);
        assert_eq!(span.clipped(9).end(), Some(9));
        assert!(Span::new(0, 1, 2, 2).is_err());
        assert!(Span::new(0, u64::MAX / 2, 9, 1).is_err());
    }

    #[test]
    fn blocks_are_a_grid_or_refused() {
        let block = |a: u64, b: u64| vec![(a, a + 1), (b, b)];
        let grid = regular_of(&[block(0, 1), block(0, 4), block(3, 1), block(3, 4)], 2).unwrap();
        let spans = vec![Span::new(0, 3, 2, 2).unwrap(), Span::new(1, 3, 2, 1).unwrap()];
        assert_eq!(grid, Selection::Spans(spans));
        assert!(regular_of(&[block(0, 1), block(3, 4)], 2).is_err());
        assert_eq!(regular_of(&[], 2).unwrap(), Selection::Nothing);
    }
}
