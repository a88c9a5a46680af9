//! In which order the blocks of a root are made.
//!
//! Blocks that read the same chunks are best made one after the other: then chunks are read or
//! made once, and freed. In C order they are, unless the array is turned over: of the
//! transpose of rows each row of blocks needs every chunk, each column only its own. So the axes
//! are gone through in the order for which least has to come back, by the model of nested loops in
//! front of a cache (Wolf and Lam, *A data locality optimizing algorithm*, PLDI 1991): a loop
//! reads what lies below all of its rounds once if one round of it stays in memory, and once a
//! round if it does not.

use super::{
    Means, Plan,
    reading::hull,
    shuffle::cuts_of_reader,
    stage::{Feed, Holds, Input, PortId, Stage, Work},
};
use freeboard_formats::{Dims, Grid, Region, region::volume};
use smallvec::SmallVec;
use std::iter;

/// Another order than the one that blocks are numbered in saves at least so much of what is read.
const WORTH: u64 = 2;

/// What is read so many times as often as once is better cut into pieces, which are written and read once.
const COME_BACK: u64 = 4;

/// Pieces are made where so many times as much is read for a block in chunks.
const WASTE: u64 = 8;

/// Of so many axes all orders are looked at.
const MOST_PERMUTED: usize = 4;

/// An order of blocks: axis by axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    /// The axes, the one along which blocks follow one another last.
    axes: Dims,
    /// The number of blocks along each axis, in the order of the axes themselves.
    counts: Dims,
}

impl Walk {
    /// The number of the block that is made as the `position`th.
    pub(crate) fn nth(&self, mut position: u64) -> u64 {
        let mut index = Dims::from_elem(0, self.counts.len());
        for &axis in self.axes.iter().rev() {
            let count = self.counts[axis as usize];
            index[axis as usize] = position % count;
            position /= count;
        }
        index.iter().zip(&self.counts).fold(0, |number, (at, count)| number * count + at)
    }

    /// When the block with a number is made.
    pub(crate) fn position(&self, mut number: u64) -> u64 {
        let mut index = Dims::from_elem(0, self.counts.len());
        for (at, count) in index.iter_mut().zip(&self.counts).rev() {
            *at = number % count;
            number /= count;
        }
        self.axes
            .iter()
            .fold(0, |position, &axis| position * self.counts[axis as usize] + index[axis as usize])
    }
}

/// Settles the orders of the roots whose blocks nothing else reads, where chunks for which there are
/// `arena` bytes would come back.
pub(super) fn choose(plan: &mut Plan, arena: u64) {
    for root in plan.roots.clone() {
        let stage = &plan.stages[root as usize];
        if !comes_back(plan, stage, arena) {
            continue;
        }
        let counts = stage.grid.counts();
        let mut orders = orders(&counts);
        let usual = orders.next().and_then(|axes| read(plan, stage, &axes, arena));
        let others = orders.filter_map(|axes| Some((read(plan, stage, &axes, arena)?, axes)));
        // Of equal ones the first.
        if let (Some(usual), Some((least, axes))) = (usual, others.min())
            && least.saturating_mul(WORTH) <= usual
        {
            plan.stages[root as usize].walk = Some(Walk { axes, counts });
        }
    }
}

/// An input of a root, and its port, of which little is taken of each of many chunks that would come back
/// in any order of the blocks: of `x + x.T` one of the two. Its pieces fit on scratch.
pub(super) fn wasteful(plan: &Plan, stage: usize, means: Means) -> Option<(usize, PortId)> {
    let stage = &plan.stages[stage];
    if !comes_back(plan, stage, means.arena) {
        return None;
    }
    let counts = stage.grid.counts();
    let middle = middle(&counts);
    let waste = |(number, input): (usize, &Input)| {
        let Feed::Port(port) = input.feed else { return None };
        let of_port = &plan.ports[port as usize];
        // Pieces are what is there already.
        let Holds::Blocks { grid, dtype } = &of_port.holds else { return None };
        let size = dtype.size() as u64;
        if volume(&grid.shape()).saturating_mul(size) > means.scratch {
            return None;
        }
        let cuts = cuts_of_reader(&input.access, &stage.input_cuts(number), grid);
        let axes = grid.axes().iter().zip(cuts.axes());
        let pieces = Grid::new(axes.map(|(own, cut)| own.common(cut)));
        let taken = |grid: &Grid| {
            let read = box_read(stage, number, &middle, grid)?;
            (!read.is_empty()).then(|| grid.span(&read).volume())
        };
        let (chunks, pieces) = (taken(grid)?, taken(&pieces)?);
        (chunks / pieces >= WASTE).then_some((chunks / pieces, number, port))
    };
    let (_, number, port) = stage.inputs.iter().enumerate().filter_map(waste).max()?;
    let once = below(plan, stage, &Region::whole(&counts))?;
    let all = |axes: Dims| read(plan, stage, &axes, means.arena);
    let least = orders(&counts).filter_map(all).min()?;
    (least > once.saturating_mul(COME_BACK)).then_some((number, port))
}

/// Whether the blocks of a stage may be made in any order, nothing else reads them, and what they read
/// does not stay in memory anyway.
fn comes_back(plan: &Plan, stage: &Stage, arena: u64) -> bool {
    let is_made_alone = stage.root.is_some()
        && stage.ports.is_empty()
        && stage.units > 1
        && matches!(stage.work, Work::Map { .. });
    is_made_alone
        && below(plan, stage, &Region::whole(&stage.grid.counts()))
            .is_some_and(|all| !stays(all, arena))
}

/// Whether chunks of so many bytes stay in memory while they are used: others wait, and run, beside them.
fn stays(bytes: u64, arena: u64) -> bool {
    bytes <= arena / 2
}

/// The orders in which axes of so many blocks are gone through, C order first: all of a few axes, else
/// those that differ from it by which axis comes first or last.
fn orders(counts: &[u64]) -> impl Iterator<Item = Dims> {
    let (long, short): (Dims, Dims) =
        (0..counts.len() as u64).partition(|&axis| counts[axis as usize] > 1);
    let orders = match long.len() {
        0..=MOST_PERMUTED => permutations(&long),
        _ => {
            let without = |axis: u64| long.iter().copied().filter(move |&other| other != axis);
            let first = long.iter().map(|&axis| iter::once(axis).chain(without(axis)).collect());
            let last = long.iter().map(|&axis| without(axis).chain([axis]).collect());
            first.chain(last).collect()
        }
    };
    orders.into_iter().map(move |order| short.iter().copied().chain(order).collect())
}

/// All orders of `axes`, this one first.
fn permutations(axes: &[u64]) -> Vec<Dims> {
    if axes.is_empty() {
        return vec![Dims::new()];
    }
    let beginning = |at: usize| {
        let rest: Dims = [&axes[..at], &axes[at + 1..]].concat().into();
        permutations(&rest)
            .into_iter()
            .map(move |order| iter::once(axes[at]).chain(order).collect())
    };
    (0..axes.len()).flat_map(beginning).collect()
}

/// A block in the middle.
fn middle(counts: &[u64]) -> Region {
    let start = counts.iter().map(|count| count / 2).collect();
    Region { start, shape: Dims::from_elem(1, counts.len()) }
}

/// The bytes of chunks that come from the store in such an order; `None` where that cannot be told.
fn read(plan: &Plan, stage: &Stage, axes: &[u64], arena: u64) -> Option<u64> {
    let counts = stage.grid.counts();
    // One block; then loop after loop around it, the innermost first.
    let mut units = middle(&counts);
    let mut round = below(plan, stage, &units)?;
    let mut read = round;
    for &axis in axes.iter().rev() {
        let axis = axis as usize;
        (units.start[axis], units.shape[axis]) = (0, counts[axis]);
        let all = below(plan, stage, &units)?;
        read = if stays(round, arena) { all } else { read.saturating_mul(counts[axis]) };
        round = all;
    }
    Some(read)
}

/// The bytes of the chunks that the units in a box read from the store. What several inputs read of
/// one array counts once, as far as it is seen to be the same.
fn below(plan: &Plan, stage: &Stage, units: &Region) -> Option<u64> {
    // Of each port the sum of its boxes of chunks, and the box around them.
    let mut boxes: SmallVec<[(PortId, u64, Region); 2]> = SmallVec::new();
    for (number, input) in stage.inputs.iter().enumerate() {
        let Feed::Port(port) = input.feed else { continue };
        let grid = plan.ports[port as usize].array().0;
        let read = box_read(stage, number, units, grid)?;
        if read.is_empty() {
            continue;
        }
        let elements = grid.span(&read).volume();
        match boxes.iter_mut().find(|(other, ..)| *other == port) {
            Some((_, sum, around)) => {
                *sum = sum.saturating_add(elements);
                *around = hull(around, &read);
            }
            None => boxes.push((port, elements, read)),
        }
    }
    let bytes = boxes.iter().map(|(port, sum, around)| {
        let (grid, dtype) = plan.ports[*port as usize].array();
        grid.span(around).volume().min(*sum).saturating_mul(dtype.size() as u64)
    });
    Some(bytes.fold(0, u64::saturating_add))
}

/// The chunks of `grid` that the units in a box read through an input; `None` where some of the
/// units read beyond it.
fn box_read(stage: &Stage, input: usize, units: &Region, grid: &Grid) -> Option<Region> {
    let region = stage.input_span(input, units);
    if region.is_empty() || grid.is_empty() {
        return Some(Region::whole(&Dims::from_elem(0, grid.rank().max(1))));
    }
    let access = &stage.inputs[input].access;
    let within = access.lies_within(&region, &grid.shape());
    within.then(|| grid.covering(&access.region(&region)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_numbers_are_one_another() {
        let walk =
            Walk { axes: [2, 0, 1].into_iter().collect(), counts: [3, 4, 5].into_iter().collect() };
        let numbers: Vec<u64> = (0..60).map(|position| walk.nth(position)).collect();
        assert_eq!(numbers[..6], [0, 5, 10, 15, 20, 25]);
        assert_eq!(numbers[12], 1);
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..60));
        assert!((0..60).all(|position| walk.position(walk.nth(position)) == position));
    }
}
