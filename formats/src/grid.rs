//! Chunk grids: where an array is cut along each axis. Regular or irregular.
//!
//! A grid is a product of axes, so a million chunks cost what their axes cost: nothing
//! for a regular axis, one number a cut for an irregular one.

use crate::region::{self, Dims, Region, volume};
use smallvec::SmallVec;
use std::{fmt, ops::Range, sync::Arc};

/// The most bytes of a chunk of an array whose file has no chunks: larger ones are cut.
///
/// A frame of 2048 × 2048 f32 stays whole, and the smallest memories have room for what several
/// tasks read and make. It does not depend on the memory, as the order in which elements are added
/// up, and so the bits of sums, depend on it.
#[cfg(any(test, feature = "fits", feature = "h5", feature = "images", feature = "npy"))]
pub(crate) const VIRTUAL_CHUNK: u64 = 16 << 20;

/// The cuts along one axis.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AxisGrid {
    len: u64,
    /// The number of chunks: asked for at every step, and a division to find out.
    count: u64,
    cuts: Cuts,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Cuts {
    /// Every chunk has this length, but the last may be shorter.
    Every(u64),
    /// The boundaries, from 0 to the length of the axis, strictly increasing.
    At(Arc<[u64]>),
}

impl AxisGrid {
    /// An axis of `len` elements in chunks of `chunk` (the last may be shorter).
    ///
    /// # Panics
    /// If `chunk` is 0 and `len` is not.
    pub fn regular(len: u64, chunk: u64) -> AxisGrid {
        assert!(chunk > 0 || len == 0, "a chunk has at least one element along an axis");
        let chunk = chunk.clamp(1, len.max(1));
        AxisGrid { len, count: len.div_ceil(chunk), cuts: Cuts::Every(chunk) }
    }

    /// An axis in one chunk.
    pub fn whole(len: u64) -> AxisGrid {
        AxisGrid::regular(len, len)
    }

    /// An axis cut into chunks of these sizes (those of size 0 are left out).
    pub fn from_sizes(sizes: impl IntoIterator<Item = u64>) -> AxisGrid {
        let mut at = vec![0u64];
        for size in sizes {
            if size > 0 {
                at.push(at.last().expect("begins with 0") + size);
            }
        }
        AxisGrid::from_boundaries(at)
    }

    /// An axis cut at `boundaries`: increasing, from 0 to its length.
    ///
    /// # Panics
    /// If they do not increase strictly from 0.
    pub fn from_boundaries(boundaries: Vec<u64>) -> AxisGrid {
        assert_eq!(boundaries.first(), Some(&0), "boundaries begin with 0");
        assert!(boundaries.is_sorted_by(|a, b| a < b), "boundaries increase");
        let len = *boundaries.last().expect("not empty");
        // The same cuts have one form only, so that equal grids compare equal.
        let step = boundaries.get(1).copied().unwrap_or(1);
        let regular = boundaries
            .windows(2)
            .enumerate()
            .all(|(i, w)| w[1] - w[0] == step || (i + 2 == boundaries.len() && w[1] - w[0] < step));
        if regular {
            AxisGrid::regular(len, step)
        } else {
            let count = boundaries.len() as u64 - 1;
            AxisGrid { len, count, cuts: Cuts::At(boundaries.into()) }
        }
    }

    /// The number of elements along the axis.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the axis has no element (and so no chunk).
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of chunks along the axis.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The elements of chunk `index`.
    pub fn bounds(&self, index: u64) -> Range<u64> {
        debug_assert!(index < self.count());
        match &self.cuts {
            Cuts::Every(chunk) => index * chunk..((index + 1) * chunk).min(self.len),
            Cuts::At(at) => at[index as usize]..at[index as usize + 1],
        }
    }

    /// The chunk that holds the element `at`.
    pub fn locate(&self, at: u64) -> u64 {
        debug_assert!(at < self.len);
        match &self.cuts {
            Cuts::Every(chunk) => at / chunk,
            Cuts::At(cuts) => cuts.partition_point(|&cut| cut <= at) as u64 - 1,
        }
    }

    /// The chunks that hold elements of `range`.
    pub fn covering(&self, range: Range<u64>) -> Range<u64> {
        if range.is_empty() {
            return 0..0;
        }
        self.locate(range.start)..self.locate(range.end - 1) + 1
    }

    /// An axis cut wherever this one or `other`, of the same length, is.
    #[must_use]
    pub fn common(&self, other: &AxisGrid) -> AxisGrid {
        match (&self.cuts, &other.cuts) {
            _ if self.count <= 1 => other.clone(),
            _ if other.count <= 1 => self.clone(),
            (Cuts::Every(a), Cuts::Every(b)) if a.is_multiple_of(*b) => other.clone(),
            (Cuts::Every(a), Cuts::Every(b)) if b.is_multiple_of(*a) => self.clone(),
            _ => {
                let mut at: Vec<u64> = self.boundaries().chain(other.boundaries()).collect();
                at.sort_unstable();
                at.dedup();
                AxisGrid::from_boundaries(at)
            }
        }
    }

    /// The longest chunk along the axis (0 of an empty axis).
    pub fn max_chunk(&self) -> u64 {
        match &self.cuts {
            Cuts::Every(chunk) => (*chunk).min(self.len),
            Cuts::At(at) => at.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0),
        }
    }

    /// The common length of all chunks but a shorter last one, if there is one.
    pub fn regular_chunk(&self) -> Option<u64> {
        match &self.cuts {
            Cuts::Every(chunk) => Some(*chunk),
            Cuts::At(_) => None,
        }
    }

    /// The boundaries, from 0 to the length of the axis.
    pub fn boundaries(&self) -> impl Iterator<Item = u64> + '_ {
        std::iter::once(0).chain((0..self.count()).map(|i| self.bounds(i).end))
    }

    /// The sizes of the chunks.
    pub fn sizes(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.count()).map(|i| {
            let bounds = self.bounds(i);
            bounds.end - bounds.start
        })
    }
}

impl fmt::Debug for AxisGrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cuts {
            Cuts::Every(chunk) => write!(f, "{} by {chunk}", self.len),
            Cuts::At(at) => write!(f, "{} at {at:?}", self.len),
        }
    }
}

/// The cuts along all axes; its cells are the chunks of an array.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    axes: SmallVec<[AxisGrid; 4]>,
}

impl Grid {
    /// The product of `axes`.
    pub fn new(axes: impl IntoIterator<Item = AxisGrid>) -> Grid {
        Grid { axes: axes.into_iter().collect() }
    }

    /// An array of `shape` in chunks of `chunk`; a chunk of 0 means the whole axis.
    ///
    /// # Panics
    /// If the two differ in rank.
    pub fn regular(shape: &[u64], chunk: &[u64]) -> Grid {
        assert_eq!(shape.len(), chunk.len(), "shape and chunk of one rank");
        Grid::new(
            shape
                .iter()
                .zip(chunk)
                .map(|(&len, &chunk)| AxisGrid::regular(len, if chunk == 0 { len } else { chunk })),
        )
    }

    /// An array in one chunk.
    pub fn whole(shape: &[u64]) -> Grid {
        Grid::new(shape.iter().map(|&len| AxisGrid::whole(len)))
    }

    /// An array of `shape`, of elements of `size` bytes, cut along its outer axes into chunks alike
    /// of at most `most` bytes; at multiples of `tile` (1 for axes that it lacks), one at the least.
    #[cfg(any(test, feature = "fits", feature = "h5", feature = "npy"))]
    pub(crate) fn cut(shape: &[u64], tile: &[u64], size: u64, most: u64) -> Grid {
        let bytes = |shape: &[u64]| {
            region::checked_volume(shape).and_then(|n| n.checked_mul(size)).unwrap_or(u64::MAX)
        };
        if bytes(shape) <= most {
            return Grid::whole(shape);
        }
        let mut room = most;
        Grid::new((0..shape.len()).map(|axis| {
            let (len, tile) = (shape[axis], tile.get(axis).map_or(1, |&tile| tile.max(1)));
            let fit = room / bytes(&shape[axis + 1..]).max(1);
            let chunk = match fit >= len {
                true => len.max(1),
                false => {
                    let fit = (fit - fit % tile).max(tile);
                    len.div_ceil(len.div_ceil(fit)).next_multiple_of(tile)
                }
            };
            // The inner axes share what is left of a chunk.
            room = (room / chunk).max(size);
            AxisGrid::regular(len, chunk)
        }))
    }

    /// The grid in which an array of elements of `size` bytes is written to a file in C order: this
    /// one, unless its chunks are runs of a few bytes there, for each of which the system is called. Then chunks are
    /// longer along the last axes, and as much shorter along the first ones: not so long that the chunks of this
    /// grid that one of them takes from are together more than a virtual chunk.
    #[cfg(any(test, feature = "fits", feature = "npy"))]
    pub(crate) fn in_runs(&self, size: usize) -> Grid {
        const SHORT: u64 = 512;
        const LONG: u64 = 4096;
        let (shape, own) = (self.shape(), self.max_chunk());
        let ends = (0..self.rank()).rev().find(|&axis| own[axis] < shape[axis]);
        let Some(ends) = ends.filter(|_| !self.is_empty()) else { return self.clone() };
        let mut run = shape[ends + 1..].iter().product::<u64>() * size as u64;
        if run * own[ends] >= SHORT {
            return self.clone();
        }
        let mut chunk = own.clone();
        let mut most = VIRTUAL_CHUNK / (volume(&own) * size as u64).max(1);
        let mut first = ends + 1;
        for axis in (0..=ends).rev() {
            let times = LONG.div_ceil(run * own[axis]).min(most);
            if times <= 1 {
                break;
            }
            (first, chunk[axis]) = (axis, (own[axis] * times).min(shape[axis]));
            run *= chunk[axis];
            most /= times;
            if chunk[axis] < shape[axis] {
                break;
            }
        }
        let mut longer = volume(&chunk).div_ceil(volume(&own));
        for chunk in &mut chunk[..first] {
            let wanted = chunk.div_ceil(longer.min(*chunk));
            // Where there is a part near that, so that none reaches over two chunks.
            let part = (wanted.div_ceil(2)..=wanted).rev().find(|part| chunk.is_multiple_of(*part));
            let part = part.unwrap_or(wanted);
            (*chunk, longer) = (part, longer.div_ceil(*chunk / part));
        }
        Grid::new(self.axes.iter().enumerate().map(|(axis, cuts)| match chunk[axis] == own[axis] {
            true => cuts.clone(),
            false => AxisGrid::regular(cuts.len(), chunk[axis]),
        }))
    }

    /// The cuts along each axis.
    pub fn axes(&self) -> &[AxisGrid] {
        &self.axes
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.axes.len()
    }

    /// The shape of the array.
    pub fn shape(&self) -> Dims {
        self.axes.iter().map(AxisGrid::len).collect()
    }

    /// The number of chunks along each axis.
    pub fn counts(&self) -> Dims {
        self.axes.iter().map(AxisGrid::count).collect()
    }

    /// The number of chunks (1 of an array without axes, 0 of an empty one).
    pub fn len(&self) -> u64 {
        volume(&self.counts())
    }

    /// Whether there is no chunk.
    pub fn is_empty(&self) -> bool {
        self.axes.iter().any(AxisGrid::is_empty)
    }

    /// The longest chunk along each axis.
    pub fn max_chunk(&self) -> Dims {
        self.axes.iter().map(AxisGrid::max_chunk).collect()
    }

    /// The elements of the chunk `index` (one number an axis).
    pub fn region(&self, index: &[u64]) -> Region {
        let mut region = Region { start: Dims::new(), shape: Dims::new() };
        for (axis, &i) in self.axes.iter().zip(index) {
            let bounds = axis.bounds(i);
            region.start.push(bounds.start);
            region.shape.push(bounds.end - bounds.start);
        }
        region
    }

    /// The chunk with the number `linear` in C order.
    pub fn index_of(&self, mut linear: u64) -> Dims {
        if self.rank() == 1 {
            return Dims::from_slice(&[linear]);
        }
        let mut index = Dims::from_elem(0, self.rank());
        for (axis, grid) in self.axes.iter().enumerate().rev() {
            let count = grid.count();
            index[axis] = linear % count;
            linear /= count;
        }
        index
    }

    /// The number of the chunk `index` in C order.
    pub fn linear_of(&self, index: &[u64]) -> u64 {
        self.axes.iter().zip(index).fold(0, |n, (axis, &i)| n * axis.count() + i)
    }

    /// The chunks with these numbers as boxes of indices that follow one another in C order: at
    /// most two for each axis.
    pub fn boxes(&self, numbers: Range<u64>) -> impl Iterator<Item = Region> + '_ {
        let mut next = numbers.start;
        std::iter::from_fn(move || {
            if next >= numbers.end {
                return None;
            }
            let start = self.index_of(next);
            let mut shape = Dims::from_elem(1, self.rank());
            let mut chunks = 1; // in one step along the axis
            for axis in (0..self.rank()).rev() {
                let count = self.axes[axis].count();
                let steps = ((numbers.end - next) / chunks).min(count - start[axis]);
                if steps == 0 {
                    break;
                }
                shape[axis] = steps;
                if steps < count {
                    break;
                }
                chunks *= count;
            }
            next += volume(&shape);
            Some(Region { start, shape })
        })
    }

    /// The box of elements that the chunks with indices in `chunks`, which is not empty, hold.
    pub fn span(&self, chunks: &Region) -> Region {
        let mut result = Region { start: Dims::new(), shape: Dims::new() };
        for (i, axis) in self.axes.iter().enumerate() {
            let range = chunks.range(i);
            let (start, end) = (axis.bounds(range.start).start, axis.bounds(range.end - 1).end);
            result.start.push(start);
            result.shape.push(end - start);
        }
        result
    }

    /// The box of chunk indices that holds elements of `region`.
    pub fn covering(&self, region: &Region) -> Region {
        let mut result = Region { start: Dims::new(), shape: Dims::new() };
        for (i, axis) in self.axes.iter().enumerate() {
            let range = axis.covering(region.range(i));
            result.start.push(range.start);
            result.shape.push(range.end - range.start);
        }
        result
    }
}

impl fmt::Display for Grid {
    /// The chunk shape, `(1, 500, 1280)`; an irregular axis shows its longest chunk with `≤`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, axis) in self.axes.iter().enumerate() {
            let mark = if axis.regular_chunk().is_some() { "" } else { "≤" };
            write!(f, "{}{mark}{}", if i > 0 { ", " } else { "" }, axis.max_chunk())?;
        }
        f.write_str(if self.rank() == 1 { ",)" } else { ")" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::Coordinates;
    use proptest::prelude::*;

    #[test]
    fn large_arrays_are_cut_along_outer_axes() {
        let cut = |shape: &[u64], tile: &[u64]| {
            let grid = Grid::cut(shape, tile, 4, VIRTUAL_CHUNK);
            let largest = grid.max_chunk();
            assert!(volume(&largest) * 4 <= VIRTUAL_CHUNK || tile.iter().any(|&t| t > 1));
            largest.to_vec()
        };
        assert_eq!(cut(&[2048, 2048], &[]), [2048, 2048]);
        // As many as it takes, and those alike.
        assert_eq!(cut(&[2049, 2048], &[]), [1025, 2048]);
        assert_eq!(cut(&[1000, 1024, 2048], &[]), [2, 1024, 2048]);
        assert_eq!(cut(&[3, 40960, 40960], &[]), [1, 102, 40960]);
        assert_eq!(cut(&[3, 40960, 40960], &[1, 100, 100]), [1, 100, 40960]);
        assert_eq!(cut(&[3, 40960, 40960], &[2, 1, 1]), [2, 51, 40960]);
        assert_eq!(cut(&[3, 1 << 30], &[]), [1, 1 << 22]);
        assert_eq!(cut(&[5, 0], &[]), [5, 0]);
        assert_eq!(cut(&[1 << 40, 1 << 40, 0], &[])[2], 0);
        assert_eq!(cut(&[], &[]), [0u64; 0]);
    }

    #[test]
    fn irregular_cuts_that_are_regular_are_the_same_grid() {
        assert_eq!(AxisGrid::from_sizes([3, 3, 2]), AxisGrid::regular(8, 3));
        assert_ne!(AxisGrid::from_sizes([3, 2, 3]), AxisGrid::regular(8, 3));
        assert_eq!(AxisGrid::from_sizes([]).count(), 0);
    }

    proptest! {
        #[test]
        fn runs_take_no_more_than_a_virtual_chunk(
            sizes in prop::collection::vec((0u64..3000, 1u64..200), 0..5),
            size in prop::sample::select(vec![1, 2, 4, 8, 16]),
        ) {
            let (shape, chunk): (Vec<u64>, Vec<u64>) = sizes.into_iter().unzip();
            let own = Grid::regular(&shape, &chunk);
            let runs = own.in_runs(size);
            prop_assert_eq!(runs.shape(), own.shape());
            let bytes = |grid: &Grid| volume(&grid.max_chunk()) * size as u64;
            prop_assert!(bytes(&runs) <= bytes(&own).max(VIRTUAL_CHUNK), "{:?} of {:?}", runs, own);
        }
    }

    #[test]
    fn chunks_are_written_in_runs() {
        let in_runs = |shape: &[u64], chunk: &[u64], size| {
            Grid::regular(shape, chunk).in_runs(size).max_chunk().to_vec()
        };
        assert_eq!(in_runs(&[9100, 9100], &[9100, 7], 8), [260, 224]);
        assert_eq!(in_runs(&[50, 2048, 2048], &[1, 100, 100], 2), [1, 5, 2048]);
        assert_eq!(in_runs(&[50, 60, 6], &[10, 4, 3], 8), [1, 60, 6]);
        assert_eq!(in_runs(&[1000, 10], &[1, 1], 8), [52, 10]);
        // Long enough as they are, or as long as they can be.
        for (shape, chunk) in [([64, 4096], [64, 128]), ([9, 8], [9, 8]), ([4096, 3], [500, 3])] {
            assert_eq!(in_runs(&shape, &chunk, 4), chunk);
        }
        let uneven =
            Grid::new([AxisGrid::from_boundaries(vec![0, 1, 5]), AxisGrid::regular(9000, 9)]);
        let written = uneven.in_runs(8);
        assert_eq!(written.max_chunk().to_vec(), [1, 513]);
        assert_eq!(Grid::regular(&[0, 10], &[1, 1]).in_runs(8), Grid::regular(&[0, 10], &[1, 1]));
    }

    #[test]
    fn common_cuts_are_those_of_either() {
        let every = |chunk| AxisGrid::regular(12, chunk);
        assert_eq!(every(6).common(&every(3)), every(3));
        assert_eq!(every(2).common(&every(4)), every(2));
        assert_eq!(every(4).common(&every(6)), AxisGrid::from_sizes([4, 2, 2, 4]));
        let uneven = AxisGrid::from_sizes([5, 7]);
        assert_eq!(uneven.common(&every(4)), AxisGrid::from_sizes([4, 1, 3, 4]));
    }

    #[test]
    fn locating_agrees_with_bounds() {
        for grid in [AxisGrid::regular(10, 4), AxisGrid::from_sizes([1, 5, 2, 2])] {
            for i in 0..grid.count() {
                for at in grid.bounds(i) {
                    assert_eq!(grid.locate(at), i);
                }
            }
        }
    }

    #[test]
    fn spanning_is_covering_turned_round() {
        let grid = Grid::new([AxisGrid::regular(10, 4), AxisGrid::from_sizes([1, 5, 2])]);
        let chunks = Region::new(vec![1, 0], vec![2, 2]);
        let span = grid.span(&chunks);
        assert_eq!(span, Region::new(vec![4, 0], vec![6, 6]));
        assert_eq!(grid.covering(&span), chunks);
    }

    #[test]
    fn a_stretch_of_chunks_is_a_few_boxes() {
        let grid = Grid::new([2, 3, 4].map(|count| AxisGrid::regular(count, 1)));
        for (start, end) in (0..=24).flat_map(|a| (a..=24).map(move |b| (a, b))) {
            let boxes: Vec<Region> = grid.boxes(start..end).collect();
            assert!(boxes.len() <= 5, "{start}..{end}: {boxes:?}");
            let numbers: Vec<u64> = boxes
                .into_iter()
                .flat_map(Coordinates::of)
                .map(|index| grid.linear_of(&index))
                .collect();
            assert_eq!(numbers, (start..end).collect::<Vec<_>>());
        }
        assert_eq!(Grid::whole(&[]).boxes(0..1).collect::<Vec<_>>(), [Region::whole(&[])]);
    }

    #[test]
    fn linear_and_index_are_inverse() {
        let grid = Grid::regular(&[7, 9, 4], &[2, 4, 3]);
        assert_eq!(grid.len(), 4 * 3 * 2);
        for n in 0..grid.len() {
            assert_eq!(grid.linear_of(&grid.index_of(n)), n);
        }
        assert_eq!(Grid::whole(&[]).len(), 1);
        assert_eq!(Grid::whole(&[0, 3]).len(), 0);
    }
}
