//! What lies around a block: the halo that it needs of its neighbours, and what stands beyond
//! the array's edge.

use crate::{
    array::{Array, Dyn, Line, Pad, PadWidths, mistake},
    error,
    expr::{Expr, Need, Needs},
};
use freeboard_formats::{Dims, Meta, Region, Scalar, region::Coordinates};
use std::ops::Range;

/// The most elements on a side of a block: what a coordinate less that of a block stays far from overflow.
const MOST: u64 = 1 << 20;

/// What stands beyond the edge of an array, with the names of `scipy.ndimage`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Boundary {
    /// Nothing: blocks at the edge are handed to [`map_overlap`](crate::Array::map_overlap) with a
    /// halo on their inner sides alone. Filters need one of the others.
    None,
    /// The array turned beyond its outermost element: `d c b a | a b c d | d c b a`.
    Reflect,
    /// The array turned at its outermost element: `d c b | a b c d | c b a`.
    Mirror,
    /// The outermost element: `a a a a | a b c d | d d d d`.
    Nearest,
    /// One value: `k k k k | a b c d | k k k k`.
    Constant(f64),
    /// The array again: `a b c d | a b c d | a b c d`.
    Wrap,
}

impl Boundary {
    /// What tells two boundaries apart.
    pub(super) fn params(self) -> [Scalar; 2] {
        let (kind, value) = match self {
            Boundary::None => (0, 0.0),
            Boundary::Reflect => (1, 0.0),
            Boundary::Mirror => (2, 0.0),
            Boundary::Nearest => (3, 0.0),
            Boundary::Constant(value) => (4, value),
            Boundary::Wrap => (5, 0.0),
        };
        [Scalar::U8(kind), Scalar::F64(value)]
    }

    /// What stands where no element does.
    pub(super) fn constant(self) -> f64 {
        match self {
            Boundary::Constant(value) => value,
            _ => 0.0,
        }
    }

    /// The element of an axis of `len` that stands at `at`, if one does.
    fn source(self, at: i64, len: i64) -> Option<i64> {
        if (0..len).contains(&at) {
            return Some(at);
        }
        match self {
            _ if len == 0 => None,
            Boundary::None | Boundary::Constant(_) => None,
            Boundary::Nearest => Some(at.clamp(0, len - 1)),
            Boundary::Wrap => Some(at.rem_euclid(len)),
            Boundary::Reflect => {
                let at = at.rem_euclid(2 * len);
                Some(at.min(2 * len - 1 - at))
            }
            Boundary::Mirror => {
                let period = (2 * (len - 1)).max(1);
                let at = at.rem_euclid(period);
                Some(at.min(period - at) % len)
            }
        }
    }
}

/// The halo of blocks: so many elements before and after them, and what stands for those beyond the
/// array.
#[derive(Clone, Debug)]
pub(super) struct Halo {
    pub(super) boundary: Boundary,
    shape: Dims,
    before: Dims,
    after: Dims,
    /// Along which axes the array that kernels are handed boxes of has the halo around it already.
    padded: Vec<bool>,
}

/// Along one axis, where elements lie in the box that a kernel is handed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    boundary: Boundary,
    /// The coordinates of the elements that there are.
    elements: (i64, i64),
    /// What the place of an element is less than its coordinate.
    shift: i64,
}

impl Edge {
    /// The place of the element that stands at the coordinate `at` of the array.
    pub(super) fn place(&self, at: i64) -> Option<usize> {
        let (first, end) = self.elements;
        let at = if (first..end).contains(&at) { at } else { self.boundary.source(at, end)? };
        Some((at - self.shift) as usize)
    }

    /// The coordinates of `range` whose elements follow one another.
    pub(super) fn inner(&self, range: &Range<i64>) -> Range<i64> {
        let (first, end) = self.elements;
        let start = range.start.max(first).min(range.end);
        start..range.end.min(end).max(start)
    }
}

impl Halo {
    /// The halo of the blocks of an array like `meta`: `(before, after)` for each axis.
    pub(super) fn new(
        meta: &Meta,
        boundary: Boundary,
        sides: &[(u64, u64)],
    ) -> Result<Halo, String> {
        if let Some(&(before, after)) = sides.iter().find(|side| side.0.max(side.1) > MOST) {
            let depth = before.max(after);
            return Err(format!(
                "a neighbourhood of {depth} elements on a side; {MOST} at the most"
            ));
        }
        let shape = meta.shape();
        let padded = meta.grid.axes().iter().zip(sides).map(|(axis, &(before, after))| {
            let depth = before.max(after);
            boundary == Boundary::Wrap && axis.count() > 1 && (1..=axis.len()).contains(&depth)
        });
        Ok(Halo {
            boundary,
            padded: padded.collect(),
            shape,
            before: sides.iter().map(|side| side.0).collect(),
            after: sides.iter().map(|side| side.1).collect(),
        })
    }

    /// The array that kernels are handed boxes of, and which: of `expr` itself, but of an array
    /// that wraps around, where that is cut, with the halo of the whole put around it.
    pub(super) fn input(&self, expr: &Expr, at: Line) -> error::Result<(Expr, Needs)> {
        let needs = (0..self.shape.len()).map(|of| {
            let (before, after) = (self.before[of], self.after[of]);
            let depth = before.max(after);
            match self.boundary {
                _ if depth == 0 => Need::same(of),
                Boundary::None | Boundary::Constant(_) => Need::Window { of, before, after },
                Boundary::Wrap if self.padded[of] => {
                    Need::Window { of, before: 0, after: before + after }
                }
                Boundary::Wrap => Need::All,
                // What is turned at an edge must be there: as much on the other side.
                _ if depth < self.shape[of] => Need::Window { of, before: depth, after: depth },
                _ => Need::All,
            }
        });
        let needs = Needs::new(needs);
        let width = |axis: usize| match self.padded[axis] {
            true => (self.before[axis], self.after[axis]),
            false => (0, 0),
        };
        let widths: Vec<(u64, u64)> = (0..self.shape.len()).map(width).collect();
        if widths.iter().all(|&width| width == (0, 0)) {
            return Ok((expr.clone(), needs));
        }
        let around = Array::<Dyn>::from_expr(expr.clone()).pad(PadWidths::from(widths), Pad::Wrap);
        around.meta().map_err(|error| mistake(at)(error.to_string()))?;
        Ok((around.expr().clone(), needs))
    }

    /// Where elements along `axis` lie in a box of the array that covers `handed`.
    pub(super) fn edge(&self, axis: usize, handed: &Region) -> Edge {
        let start = handed.start[axis] as i64;
        let (boundary, elements, shift) = match self.padded[axis] {
            false => (self.boundary, (0, self.shape[axis] as i64), start),
            true => {
                let (before, after) = (self.before[axis] as i64, self.after[axis] as i64);
                let elements = (-before, self.shape[axis] as i64 + after);
                (Boundary::None, elements, start - before)
            }
        };
        Edge { boundary, elements, shift }
    }

    /// The coordinates along `axis` of the block `region` and its halo.
    pub(super) fn range(&self, axis: usize, region: &Region) -> Range<i64> {
        let range = region.range(axis);
        range.start as i64 - self.before[axis] as i64..(range.end + self.after[axis]) as i64
    }

    /// The shape of the block `region` with its halo.
    pub(super) fn around(&self, region: &Region) -> Dims {
        let sides = self.before.iter().zip(&self.after);
        region.shape.iter().zip(sides).map(|(len, (before, after))| len + before + after).collect()
    }

    /// How many elements are before the block along each axis.
    pub(super) fn before(&self) -> &[u64] {
        &self.before
    }

    /// Calls `row` for each row along the last axis of the block `region` with its halo, in C
    /// order, with the number of the row of the box `handed` that stands there, if one does.
    pub(super) fn rows(
        &self,
        region: &Region,
        handed: &Region,
        mut row: impl FnMut(usize, Option<usize>),
    ) {
        let outer = region.rank().saturating_sub(1);
        let around = self.around(region);
        for (number, at) in Coordinates::of(Region::whole(&around[..outer])).enumerate() {
            let from = (0..outer).try_fold(0, |from, axis| {
                let coordinate = self.range(axis, region).start + at[axis] as i64;
                let place = self.edge(axis, handed).place(coordinate)?;
                Some(from * handed.shape[axis] as usize + place)
            });
            row(number, from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beyond_the_edge() {
        let line = |boundary: Boundary, len: i64| -> String {
            (-5..len + 5)
                .map(|at| match boundary.source(at, len) {
                    Some(place) => char::from(b'a' + place as u8),
                    None => 'k',
                })
                .collect()
        };
        assert_eq!(line(Boundary::Reflect, 4), "ddcbaabcddcbaa");
        assert_eq!(line(Boundary::Mirror, 4), "bcdcbabcdcbabc");
        assert_eq!(line(Boundary::Nearest, 4), "aaaaaabcdddddd");
        assert_eq!(line(Boundary::Constant(1.0), 4), "kkkkkabcdkkkkk");
        assert_eq!(line(Boundary::Wrap, 4), "dabcdabcdabcda");
        assert_eq!(line(Boundary::Mirror, 1), "aaaaaaaaaaa");
        assert_eq!(line(Boundary::Reflect, 1), "aaaaaaaaaaa");
        assert_eq!(line(Boundary::Wrap, 0), "kkkkkkkkkk");
    }
}
