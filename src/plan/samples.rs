//! Which batches stand for all of a stage, where the largest is asked for.
//!
//! What a unit needs follows from boxes, and boxes from coordinates axis by axis. So the
//! unit with the longest block, and the one that touches the most of an input, are found
//! along one axis after the other, and not among all units.

use super::{
    Plan,
    stage::{Batch, Feed, PortId, Stage, StageId, Work},
};
use crate::{expr::AxisView, memory::Arena};
use freeboard_formats::{Dims, Grid, Region};

/// The most units of a stage that are looked at evenly.
const EVENLY: u64 = 64;
/// The most coordinates that are looked at along an axis.
const ALONG: u64 = 1024;

impl Plan {
    /// Batches among which the one that needs the most is, or one that needs about as much:
    /// all of a short stage; else the first, the last, some between, and those that are the
    /// largest by their own block or by what they touch of an input.
    pub(crate) fn samples(&self, stage: StageId) -> Vec<Batch> {
        let this = &self.stages[stage as usize];
        let count = this.batches();
        let step = (count / EVENLY).max(1);
        let mut indices: Vec<u64> = (0..count).step_by(step as usize).collect();
        if count > 0 && indices.last() != Some(&(count - 1)) {
            indices.push(count - 1);
        }
        if step > 1 {
            indices.extend(self.extremes(this).into_iter().map(|unit| unit / this.batch));
            indices.sort_unstable();
            indices.dedup();
        }
        let indices = indices.into_iter().filter(|&index| self.is_used(stage, index));
        indices.map(|index| Batch { stage, index }).collect()
    }

    /// The bytes that a sample needs, or a batch that it stands for.
    pub(crate) fn most_needed(&self, sample: Batch) -> u64 {
        let stage = &self.stages[sample.stage as usize];
        let all = stage.batches() < 2 * EVENLY;
        self.batch_need(sample) + if all { 0 } else { self.out_of_phase(stage) }
    }

    /// Units that lie in one buffer where a sample needs them may lie in two where another batch
    /// does: bytes of a buffer for each bundled input whose bundles do not end where batches do.
    fn out_of_phase(&self, stage: &Stage) -> u64 {
        let bundle = |port: PortId| match self.bundled(port) {
            1 => 0,
            _ if self.is_chain(port) => Arena::rounded(self.ports[port as usize].slot),
            units => Arena::rounded(units * self.ports[port as usize].slot),
        };
        match &stage.work {
            // The states of one block alone are numbered without gaps.
            Work::Combine { fold, .. } if fold.chain || fold.geometry.blocks.len() == 1 => 0,
            Work::Combine { fold, level } => bundle(fold.port(level - 1)),
            _ if stage.aligned => 0,
            _ => stage
                .inputs
                .iter()
                .map(|input| match input.feed {
                    Feed::Port(port) => bundle(port),
                    Feed::Source(_) => 0,
                })
                .sum(),
        }
    }

    /// The demanded units with the longest block, and with the longest box of chunks of each input.
    fn extremes(&self, stage: &Stage) -> Vec<u64> {
        if stage.demanded.is_empty() {
            return Vec::new();
        }
        let own = |unit: u64| stage.region(unit).volume();
        let mut extremes = vec![self.extreme(stage, &stage.grid, None, own)];
        for (number, input) in stage.inputs.iter().enumerate() {
            let grid = match &input.feed {
                Feed::Port(port) => self.ports[*port as usize].array().0,
                Feed::Source(source) => &source.meta().grid,
            };
            let touched = |unit: u64| {
                let region = stage.input_region(number, unit);
                // A part of a concatenation reads its own stretch alone.
                if region.is_empty() || !input.access.lies_within(&region, &grid.shape()) {
                    return 0;
                }
                grid.span(&grid.covering(&input.access.region(&region))).volume()
            };
            extremes.push(self.extreme(stage, grid, Some(number), touched));
        }
        extremes
    }

    /// The demanded unit for which `measure`, a product over axes, is the largest.
    fn extreme(
        &self,
        stage: &Stage,
        grid: &Grid,
        input: Option<usize>,
        measure: impl Fn(u64) -> u64,
    ) -> u64 {
        let mut index: Dims = stage.demanded.start.clone();
        for axis in 0..index.len() {
            let range = stage.demanded.range(axis);
            let step = ((range.end - range.start) / ALONG).max(1);
            let longest = self.near_longest(stage, grid, input, axis);
            let along = range.clone().step_by(step as usize).chain(longest);
            let best = along.filter(|at| range.contains(at)).max_by_key(|&at| {
                index[axis] = at;
                measure(stage.grid.linear_of(&index))
            });
            index[axis] = best.unwrap_or(range.start);
        }
        stage.grid.linear_of(&index)
    }

    /// The coordinate of the unit, along an axis of a stage, that reads the longest chunk of
    /// an irregular axis of `grid`.
    fn near_longest(
        &self,
        stage: &Stage,
        grid: &Grid,
        input: Option<usize>,
        axis: usize,
    ) -> Option<u64> {
        let longest = |i: usize| {
            let cuts = &grid.axes()[i];
            if cuts.regular_chunk().is_some() {
                return None;
            }
            let length = |at: &u64| cuts.bounds(*at).end - cuts.bounds(*at).start;
            (0..cuts.count()).max_by_key(length).map(|at| (at, cuts.bounds(at)))
        };
        let Some(input) = input else { return longest(axis).map(|(at, _)| at) };
        let access = &stage.inputs[input].access;
        let along = |view: &AxisView| matches!(view, AxisView::Along { of, .. } if *of == axis);
        let at = access.axes().iter().position(along)?;
        let (_, bounds) = longest(at)?;
        let shape = stage.input_shape(input);
        let element = access.selects(at, &bounds, 0..*shape.get(axis)?);
        if element.is_empty() {
            return None;
        }
        let mut wanted = Region::whole(&shape);
        (wanted.start[axis], wanted.shape[axis]) = (element.start, 1);
        stage.units_reading(input, &wanted)?.start.get(axis).copied()
    }

    /// Whether the first unit of a batch exists: levels of a fold's tree are numbered with gaps.
    fn is_used(&self, stage: StageId, index: u64) -> bool {
        let this = &self.stages[stage as usize];
        match &this.work {
            Work::Combine { fold, level } => {
                let (block, position) = fold.place(*level, this.units_of(index).start);
                position < fold.count(block, if fold.chain { level - 1 } else { *level })
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Means, Plan, Root, Wanted};
    use crate::array::{Array, zeros};
    use freeboard_formats::{AxisGrid, Grid};

    #[test]
    fn one_long_chunk_among_thousands_is_found() {
        let mut sizes = vec![2u64; 5000];
        sizes[1234] = 900;
        let long = Grid::new([AxisGrid::from_sizes(sizes), AxisGrid::regular(8, 4)]);
        let x: Array<f64> = zeros::<f64>([long.shape()[0] as i64, 8]);
        for made in [Grid::regular(&long.shape(), &[3, 8]), long.clone()] {
            let here = std::panic::Location::caller();
            // A stage on the irregular grid, read on another.
            let root = (&x + 1.0).expr().rechunk(long.clone(), here);
            let expr = root.rechunk(made.clone(), here);
            let root = Root { grid: made, kept: true, sink_scratch: None };
            let wanted = [Wanted { expr, root }];
            let plan = Plan::new(
                &wanted,
                Means {
                    arena: 1 << 30,
                    workers: 2,
                    fuse: false,
                    reproducible: false,
                    scratch: u64::MAX,
                },
            );
            let needed = plan.unwrap().totals().largest_task;
            assert!(needed >= 900 * 4 * 8, "{needed}");
        }
    }
}
