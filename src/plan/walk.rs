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
    Plan,
    stage::{Feed, Holds, Input, PortId, Stage, Work},
};
use freeboard_formats::{Dims, Region};
use std::iter;

/// Another order than the one that blocks are numbered in saves at least so much of what is read.
const WORTH: u64 = 2;

/// What is read so many times as often as once is better cut into pieces, which are written and read once.
const COME_BACK: u64 = 4;

/// Pieces help where so many times what a block takes is read for it.
const WASTE: u64 = 8;

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
        if stage.batch > 1 {
            continue;
        }
        let mut orders = orders(plan, stage, arena);
        let usual = orders.next();
        // Of equal ones the first.
        if let (Some((usual, _)), Some((read, axes))) = (usual, orders.min())
            && read.saturating_mul(WORTH) <= usual
        {
            let counts = stage.grid.counts();
            plan.stages[root as usize].walk = Some(Walk { axes, counts });
        }
    }
}

/// An input of a stage, and its port, of which little is taken of each of many chunks that would come back
/// in any order of the blocks: of `x + x.T` one of the two.
pub(super) fn wasteful(plan: &Plan, stage: usize, arena: u64) -> Option<(usize, PortId)> {
    let stage = &plan.stages[stage];
    let (least, _) = orders(plan, stage, arena).min()?;
    let counts = stage.grid.counts();
    let once = below(plan, stage, &Region::whole(&counts), None)?;
    if least <= once.saturating_mul(COME_BACK) {
        return None;
    }
    let middle = middle(&counts);
    let waste = |(number, input): (usize, &Input)| {
        let Feed::Port(port) = input.feed else { return None };
        // Pieces are what is there already.
        let Holds::Blocks { .. } = plan.ports[port as usize].holds else { return None };
        let taken = stage.input_span(number, &middle).volume() * input.dtype.size() as u64;
        let held = below(plan, stage, &middle, Some(number))?;
        (held >= taken.saturating_mul(WASTE)).then_some((held / taken.max(1), number, port))
    };
    let (_, number, port) = stage.inputs.iter().enumerate().filter_map(waste).max()?;
    Some((number, port))
}

/// The bytes of chunks that come from the store in several orders of a root's blocks, and these; C
/// order first. None of a stage whose blocks others read, or where that cannot be told.
fn orders(plan: &Plan, stage: &Stage, arena: u64) -> impl Iterator<Item = (u64, Dims)> {
    let counts = stage.grid.counts();
    let axes = 0..counts.len() as u64;
    let is_made_alone = stage.units > 1
        && stage.root.is_some()
        && stage.ports.is_empty()
        && matches!(stage.work, Work::Map { .. } | Work::Block { .. });
    let long = axes.clone().filter(move |&axis| is_made_alone && counts[axis as usize] > 1);
    // Those that differ by which axis comes first.
    let orders = long.map(move |first| -> Dims {
        iter::once(first).chain(axes.clone().filter(|&axis| axis != first)).collect()
    });
    orders.map_while(move |axes| Some((read(plan, stage, &axes, arena)?, axes)))
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
    let mut round = below(plan, stage, &units, None)?;
    let mut read = round;
    for &axis in axes.iter().rev() {
        let axis = axis as usize;
        (units.start[axis], units.shape[axis]) = (0, counts[axis]);
        let all = below(plan, stage, &units, None)?;
        // Others wait, and run, beside it.
        read = if round <= arena / 2 { all } else { read.saturating_mul(counts[axis]) };
        round = all;
    }
    Some(read)
}

/// The bytes of the chunks that the units in a box read from the store, through one input or all.
fn below(plan: &Plan, stage: &Stage, units: &Region, through: Option<usize>) -> Option<u64> {
    let mut bytes = 0u64;
    for (number, input) in stage.inputs.iter().enumerate() {
        let Feed::Port(port) = input.feed else { continue };
        if through.is_some_and(|through| through != number) {
            continue;
        }
        let (grid, dtype) = plan.ports[port as usize].array();
        let region = stage.input_span(number, units);
        if region.is_empty() || grid.is_empty() {
            continue;
        }
        if !input.access.lies_within(&region, &grid.shape()) {
            return None;
        }
        let held = grid.span(&grid.covering(&input.access.region(&region)));
        bytes = bytes.saturating_add(held.volume().saturating_mul(dtype.size() as u64));
    }
    Some(bytes)
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
