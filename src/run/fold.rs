//! Handing a chunk's elements to a fold, row by row.
//!
//! A *row* is the longest stretch of a chunk, in C order, whose cells follow one another,
//! each with its elements together: `cells × run` elements. Tiles are cut into pieces of rows.

use crate::{
    kernel::{At, Fold},
    plan::FoldPlan,
};
use freeboard_formats::Region;
use smallvec::SmallVec;

/// One axis of the loop over rows.
#[derive(Clone, Copy, Debug)]
struct Axis {
    len: usize,
    /// Elements of a cell along the axis, in this chunk.
    run: usize,
    /// Cells, and elements of a cell, from one step along the axis to the next.
    cell_stride: usize,
    seen_stride: usize,
    /// Of the index in the box of the whole array: where the chunk begins, and the stride.
    box_start: usize,
    box_len: usize,
    index_stride: usize,
}

/// How a fold walks one chunk.
#[derive(Debug)]
pub(super) struct Rows {
    outer: SmallVec<[Axis; 4]>,
    cells: usize,
    run: usize,
    /// The index of the first element of the row with outer coordinates 0, as far as the
    /// axes inside rows make it.
    index: usize,
    /// Elements already folded into each cell before this chunk.
    seen: u64,
}

impl Rows {
    /// The rows of the chunk `region`, after `seen` elements were folded into each cell.
    pub fn new(plan: &FoldPlan, region: &Region, seen: u64) -> Rows {
        let rank = region.rank();
        let bins = &plan.geometry.bins;
        let mut axes: SmallVec<[Axis; 4]> = SmallVec::new();
        let (mut cell_stride, mut seen_stride, mut index_stride) = (1, 1, 1);
        for axis in (0..rank).rev() {
            let (len, bin) = (region.shape[axis] as usize, bins[axis] as usize);
            let run = len.min(bin);
            axes.push(Axis {
                len,
                run,
                cell_stride,
                seen_stride,
                box_start: region.start[axis] as usize % bin,
                box_len: bin,
                index_stride,
            });
            cell_stride *= len / run;
            seen_stride *= run;
            index_stride *= bin;
        }
        let indexed = plan.fold.needs_index();
        let (mut cells, mut run, mut inner) = (1, 1, 0);
        for axis in &axes {
            let folded = axis.run > 1;
            // A row of cells with one element each may grow by kept axes alone, and elements of a
            // cell must follow one another in the box of the whole array too if they are numbered:
            // this chunk may hold less of the axes inside than the box does.
            let apart = indexed && folded && axis.index_stride != run;
            let fits = axis.len == 1 || (cells == 1 && !apart) || !folded;
            if !fits {
                break;
            }
            cells *= axis.len / axis.run;
            run *= axis.run;
            inner += 1;
        }
        let index = axes[..inner].iter().map(|axis| axis.box_start * axis.index_stride).sum();
        let outer = axes[inner..].iter().rev().copied().collect();
        Rows { outer, cells, run, index, seen }
    }

    /// Folds the elements of `tile`, the first of which has the number `start` in the chunk.
    pub fn fold(&self, fold: &dyn Fold, parts: &mut [&mut [u8]], start: usize, tile: &[u8]) {
        let size = fold.input().size();
        let row_len = self.cells * self.run;
        let (mut at, mut tile) = (start, tile);
        while !tile.is_empty() {
            let (row, within) = (at / row_len, at % row_len);
            let (cell, seen, index) = self.row(row);
            let len = (row_len - within).min(tile.len() / size);
            let (mut piece, rest) = tile.split_at(len * size);
            (at, tile) = (at + len, rest);
            // A cell whose elements are cut by the tile's edge is folded by itself.
            let (mut first, mut skip) = (within / self.run, within % self.run);
            while !piece.is_empty() {
                let left = piece.len() / size;
                let (cells, run) = match () {
                    () if skip > 0 || left < self.run => (1, left.min(self.run - skip)),
                    () => (left / self.run, self.run),
                };
                let (now, later) = piece.split_at(cells * run * size);
                let position =
                    At { index: (index + skip) as u64, seen: self.seen + (seen + skip) as u64 };
                step(fold, parts, cell + first, cells, now, run, position);
                skip += run;
                if skip >= self.run {
                    (first, skip) = (first + cells, 0);
                }
                piece = later;
            }
        }
    }

    /// The first cell of a row, how many elements were folded into each of its cells before it
    /// in this chunk, and the index of its first element.
    fn row(&self, mut row: usize) -> (usize, usize, usize) {
        let (mut cell, mut seen, mut index) = (0, 0, self.index);
        for axis in self.outer.iter().rev() {
            let at = row % axis.len;
            row /= axis.len;
            cell += at / axis.run * axis.cell_stride;
            seen += at % axis.run * axis.seen_stride;
            index += (axis.box_start + at) % axis.box_len * axis.index_stride;
        }
        (cell, seen, index)
    }
}

fn step(
    fold: &dyn Fold,
    parts: &mut [&mut [u8]],
    cell: usize,
    cells: usize,
    elements: &[u8],
    run: usize,
    at: At,
) {
    let mut state: SmallVec<[&mut [u8]; 3]> = parts
        .iter_mut()
        .zip(fold.state())
        .map(|(part, dtype)| &mut part[cell * dtype.size()..(cell + cells) * dtype.size()])
        .collect();
    fold.step(&mut state, elements, run, at);
}

/// The parts of a state of `cells` cells that lies in `bytes`.
pub(super) fn parts_mut<'a>(
    plan: &FoldPlan,
    cells: u64,
    bytes: &'a mut [u8],
) -> SmallVec<[&'a mut [u8]; 3]> {
    let mut rest = bytes;
    let mut parts = SmallVec::new();
    for dtype in plan.fold.state() {
        let len = cells as usize * dtype.size();
        let (part, after) = rest.split_at_mut(len.next_multiple_of(8));
        parts.push(&mut part[..len]);
        rest = after;
    }
    parts
}

/// The same, to read.
pub(super) fn parts<'a>(plan: &FoldPlan, cells: u64, bytes: &'a [u8]) -> SmallVec<[&'a [u8]; 3]> {
    let (offsets, _) = plan.layout(cells);
    let sizes = plan.fold.state().iter().map(|dtype| cells as usize * dtype.size());
    offsets.iter().zip(sizes).map(|(&at, len)| &bytes[at..at + len]).collect()
}
