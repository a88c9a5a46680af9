//! Views as data: which elements of an input an output element is, exactly.
//!
//! An [`Access`] maps output coordinates to input coordinates axis by axis. Slices of
//! either sign, transposes, new axes, dropped axes and broadcasts are all of this form,
//! they compose into one, and each is applied as a strided view, without a copy.

use freeboard_formats::{AxisGrid, ChunkView, Dims, Grid, Region, view::Strides};
use smallvec::SmallVec;
use std::ops::Range;

/// Where along one input axis an output element lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AxisView {
    /// At `start + step · i`, with `i` the coordinate along the output axis `of`.
    Along {
        /// The output axis.
        of: usize,
        /// The input coordinate of output coordinate 0 (which may lie outside both arrays
        /// where only a part of the output is read through this access).
        start: i64,
        /// Input elements from one output element to the next; not 0.
        step: i64,
    },
    /// At one coordinate, whatever the output's.
    At(u64),
}

/// Which input element each output element is. Output axes that no input axis names repeat
/// the same elements (a broadcast).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    axes: SmallVec<[AxisView; 4]>,
}

impl Access {
    /// One view for each input axis; no two of them along the same output axis.
    pub fn new(axes: impl IntoIterator<Item = AxisView>) -> Access {
        let axes: SmallVec<[AxisView; 4]> = axes.into_iter().collect();
        debug_assert!(
            axes.iter().enumerate().all(|(i, a)| match a {
                AxisView::At(_) => true,
                AxisView::Along { of, .. } => axes[..i]
                    .iter()
                    .all(|b| !matches!(b, AxisView::Along { of: other, .. } if other == of)),
            }),
            "an output axis runs along one input axis"
        );
        Access { axes }
    }

    /// Every element is itself.
    pub fn identity(rank: usize) -> Access {
        Access::new((0..rank).map(|of| AxisView::Along { of, start: 0, step: 1 }))
    }

    /// One view for each input axis.
    pub fn axes(&self) -> &[AxisView] {
        &self.axes
    }

    /// Whether every element is itself in an array of `rank` axes.
    pub fn is_identity(&self, rank: usize) -> bool {
        *self == Access::identity(rank)
    }

    /// First `self`, from an input to a middle array, then `outer`, from that to an output.
    #[must_use]
    pub fn then(&self, outer: &Access) -> Access {
        Access::new(self.axes.iter().map(|&axis| match axis {
            AxisView::At(at) => AxisView::At(at),
            AxisView::Along { of, start, step } => match outer.axes[of] {
                AxisView::At(at) => AxisView::At(shift(start, step, at)),
                AxisView::Along { of, start: inner, step: by } => {
                    AxisView::Along { of, start: start + step * inner, step: step * by }
                }
            },
        }))
    }

    /// The smallest box of the input that holds all elements of the output's `region`,
    /// which is not empty.
    pub fn region(&self, region: &Region) -> Region {
        let mut result = Region { start: Dims::new(), shape: Dims::new() };
        for &axis in &self.axes {
            let range = match axis {
                AxisView::At(at) => at..at + 1,
                AxisView::Along { of, start, step } => {
                    let (a, b) = (region.start[of], region.range(of).end - 1);
                    let (a, b) = (shift(start, step, a), shift(start, step, b));
                    a.min(b)..a.max(b) + 1
                }
            };
            result.start.push(range.start);
            result.shape.push(range.end - range.start);
        }
        result
    }

    /// Whether all elements of the output's `region` lie in an input of `shape`: a part of a
    /// concatenation is read only where they do.
    pub(crate) fn lies_within(&self, region: &Region, shape: &[u64]) -> bool {
        self.axes.iter().enumerate().all(|(axis, view)| match view {
            AxisView::At(_) => true,
            AxisView::Along { of, .. } => {
                let range = region.range(*of);
                self.selects(axis, &(0..shape[axis]), range.clone()) == range
            }
        })
    }

    /// The elements of the output's `region` as they lie in `input`, a view of the input's
    /// box `held`, which holds them all.
    pub fn view<'a>(&self, region: &Region, input: &ChunkView<'a>, held: &Region) -> ChunkView<'a> {
        let mut offset = 0;
        let mut strides = Strides::from_elem(0, region.rank());
        for (i, &axis) in self.axes.iter().enumerate() {
            let first = match axis {
                AxisView::At(at) => at,
                AxisView::Along { of, start, step } => {
                    strides[of] = input.strides()[i] * step as isize;
                    shift(start, step, region.start[of])
                }
            };
            offset += input.strides()[i] * (first - held.start[i]) as isize;
        }
        input.restride(offset, region.shape.clone(), strides)
    }

    /// The output coordinates of `among`, along the output axis that input axis `axis` runs
    /// along, whose elements lie in `within`; all of `among` where it runs along none and
    /// its one coordinate lies there.
    pub fn selects(&self, axis: usize, within: &Range<u64>, among: Range<u64>) -> Range<u64> {
        match self.axes[axis] {
            AxisView::At(at) => {
                if within.contains(&at) {
                    among
                } else {
                    0..0
                }
            }
            AxisView::Along { start, step, .. } => {
                if within.is_empty() || among.is_empty() {
                    return 0..0;
                }
                let (first, last) = (within.start as i64, within.end as i64 - 1);
                let (low, high) = if step > 0 {
                    ((first - start + step - 1).div_euclid(step), (last - start).div_euclid(step))
                } else {
                    let by = -step;
                    ((start - last + by - 1).div_euclid(by), (start - first).div_euclid(by))
                };
                let (low, high) = (low.max(among.start as i64), high.min(among.end as i64 - 1));
                if low > high { 0..0 } else { low as u64..high as u64 + 1 }
            }
        }
    }

    /// The same access for an output that begins `by` elements later along `axis`.
    #[must_use]
    pub fn delayed(&self, axis: usize, by: u64) -> Access {
        Access::new(self.axes.iter().map(|&view| match view {
            AxisView::Along { of, start, step } if of == axis => {
                AxisView::Along { of, start: start - step * by as i64, step }
            }
            other => other,
        }))
    }

    /// The grid of the output: each axis is cut where the input is; a broadcast one is whole. Where that would be
    /// a long list of uneven cuts, they are even, and at most as far apart.
    pub fn grid(&self, input: &Grid, shape: &[u64]) -> Grid {
        let mut axes: Vec<AxisGrid> = shape.iter().map(|&len| AxisGrid::whole(len)).collect();
        for (i, &axis) in self.axes.iter().enumerate() {
            let AxisView::Along { of, start, step } = axis else { continue };
            let (len, cut) = (shape[of], &input.axes()[i]);
            axes[of] = match cut.regular_chunk().and_then(|chunk| evenly(chunk, start, step, len)) {
                _ if len == 0 => AxisGrid::whole(0),
                Some(chunk) => AxisGrid::regular(len, chunk),
                None => {
                    let mut sizes: Vec<u64> = cut
                        .covering(self.region_along(start, step, len))
                        .map(|index| self.selects(i, &cut.bounds(index), 0..len))
                        .map(|range| range.end - range.start)
                        .collect();
                    if step < 0 {
                        sizes.reverse();
                    }
                    AxisGrid::from_sizes(sizes)
                }
            };
        }
        Grid::new(axes)
    }

    fn region_along(&self, start: i64, step: i64, len: u64) -> Range<u64> {
        let (first, last) = (start as u64, shift(start, step, len - 1));
        first.min(last)..first.max(last) + 1
    }
}

/// The most uneven cuts that views make of even ones: half a megabyte.
const LISTED: u64 = 1 << 16;

/// How many elements each chunk of a view of `len` elements holds, where all chunks of `chunk` elements of the input
/// give as many, or are too many to be listed.
fn evenly(chunk: u64, start: i64, step: i64, len: u64) -> Option<u64> {
    let (by, within) = (step.unsigned_abs(), start as u64 % chunk);
    // How far the first element is from the end of its chunk at which the view comes in.
    let skipped = if step > 0 { within } else { chunk - 1 - within };
    match by {
        _ if by >= chunk => Some(1),
        _ if chunk.is_multiple_of(by) && skipped < by => Some(chunk / by),
        // None is of more than two of the input's.
        _ if len / (chunk / by) > LISTED => Some(chunk / by),
        _ => None,
    }
}

/// Coordinates are below 2^63, as sizes of files are.
fn shift(start: i64, step: i64, by: u64) -> u64 {
    (start + step * by as i64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn along(of: usize, start: i64, step: i64) -> AxisView {
        AxisView::Along { of, start, step }
    }

    #[test]
    fn composing_is_applying_one_after_the_other() {
        // x[1:9:2, 3].T[::-1] of a (10, 5) array
        let first = Access::new([along(0, 1, 2), AxisView::At(3)]);
        let second = Access::new([along(0, 3, -1)]);
        assert_eq!(first.then(&second), Access::new([along(0, 7, -2), AxisView::At(3)]));
    }

    #[test]
    fn long_axes_are_cut_evenly() {
        let grid = |len: u64, chunk: u64, start: i64, step: i64| {
            let input = Grid::new([AxisGrid::regular(len, chunk)]);
            let count = (len - 1 - start as u64) / step.unsigned_abs() + 1;
            Access::new([along(0, start, step)]).grid(&input, &[count]).axes()[0].clone()
        };
        const LONG: u64 = 100_000_000_000_000_000;
        let far = LONG as i64 / 100;
        assert_eq!(grid(LONG, 2_000_000, 0, far), AxisGrid::regular(100, 1));
        assert_eq!(grid(LONG, 2_000_000, 3, 5), AxisGrid::regular(LONG / 5, 400_000));
        // Neither divides the other.
        assert_eq!(grid(LONG, 100, 0, 3), AxisGrid::regular(LONG / 3 + 1, 33));
        assert_eq!(grid(LONG, 100, 50, 1), AxisGrid::regular(LONG - 50, 100));
        // Of few chunks every cut is kept.
        assert_eq!(grid(10, 4, 0, 3), AxisGrid::from_sizes([2, 1, 1]));
    }

    proptest! {
        #[test]
        fn selecting_is_the_inverse_of_the_map(
            start in 0i64..40, step in prop_oneof![-5i64..=-1, 1i64..=5], len in 1u64..12,
            a in 0u64..60, width in 0u64..20,
        ) {
            let last = start + step * (len as i64 - 1);
            prop_assume!(last >= 0);
            let access = Access::new([along(0, start, step)]);
            let within = a..a + width;
            let expected: Vec<u64> = (0..len)
                .filter(|&i| within.contains(&((start + step * i as i64) as u64)))
                .collect();
            let range = access.selects(0, &within, 0..len);
            prop_assert_eq!(range.collect::<Vec<_>>(), expected);
        }

        #[test]
        fn the_grid_of_a_view_is_cut_where_the_input_is(
            sizes in proptest::collection::vec(1u64..6, 1..6),
            step in prop_oneof![-3i64..=-1, 1i64..=3],
            skip in 0u64..5,
        ) {
            let cut = AxisGrid::from_sizes(sizes);
            let n = cut.len();
            prop_assume!(skip < n);
            let start = if step > 0 { skip } else { n - 1 - skip };
            let len = (n - 1 - skip) / step.unsigned_abs() + 1;
            let access = Access::new([along(0, start as i64, step)]);
            let grid = access.grid(&Grid::new([cut.clone()]), &[len]);
            prop_assert_eq!(grid.shape()[0], len);
            let chunk_of = |i: u64| cut.locate((start as i64 + step * i as i64) as u64);
            for i in 1..len {
                let together = grid.axes()[0].locate(i) == grid.axes()[0].locate(i - 1);
                prop_assert_eq!(together, chunk_of(i) == chunk_of(i - 1));
            }
        }
    }
}
