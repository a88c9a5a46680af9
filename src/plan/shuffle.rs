//! Rechunks that do not fit: pieces between two grids.
//!
//! Where a task would need chunks that together are a large part of the memory (a column
//! through all frames), a *shuffle* is put before it. It takes large blocks of whole chunks,
//! as many as fit, and cuts each into the pieces that the reader's blocks are made of. Every
//! chunk is read once; pieces wait in the store, most of them on scratch, and each is large
//! enough to be read back in one go. The idea is that of Rechunker (Abernathey, Augspurger
//! and others, 2020) with the read and write plans unified.

use super::{
    Means, Plan,
    edges::blocks_read,
    reading::LONG_RUN,
    split::divided,
    stage::{Feed, Holds, Input, PortId, Stage, StageId, Work},
    walk,
};
use crate::expr::{Access, AxisView};
use freeboard_formats::{AxisGrid, Grid, Region, region::volume};
use smallvec::smallvec;

/// Pieces are at least about this large, where the reader's blocks allow it, in bytes.
const PIECE: u64 = 128 << 10;

/// Puts a shuffle before each input of which one task would need more than `share` bytes, and, with
/// these `means`, before those of which little is taken of many chunks that would come back again and again.
pub(super) fn insert(plan: &mut Plan, share: u64, means: Option<Means>) {
    for number in 0..plan.stages.len() {
        if !matches!(
            plan.stages[number].work,
            Work::Map { .. } | Work::Visit { .. } | Work::Block { .. }
        ) {
            continue;
        }
        for input in 0..plan.stages[number].inputs.len() {
            if let Feed::Port(port) = plan.stages[number].inputs[input].feed
                && needed_at_once(plan, number, input, port) > share
            {
                before(plan, number, input, port, share);
            }
        }
        while let Some(means) = means
            && let Some((input, port)) = walk::wasteful(plan, number, means)
        {
            before(plan, number, input, port, share);
        }
    }
}

/// The most bytes of whole chunks behind `port` that a task of a stage needs through an input.
fn needed_at_once(plan: &Plan, stage: usize, input: usize, port: PortId) -> u64 {
    let this = &plan.stages[stage];
    let (grid, dtype) = plan.ports[port as usize].array();
    let some = [0, this.units / 2, this.units.saturating_sub(1)];
    let bytes = some.into_iter().filter(|&unit| unit < this.units).map(|unit| {
        let region = this.input_region(input, unit);
        let access = &this.inputs[input].access;
        if region.is_empty() || !access.lies_within(&region, &grid.shape()) {
            return 0;
        }
        let mut bytes = 0;
        blocks_read(access, &region, grid, |index| {
            bytes += volume(&grid.region(index).shape) * dtype.size() as u64;
        });
        bytes
    });
    bytes.max().unwrap_or(0)
}

/// Puts a shuffle before one input.
fn before(plan: &mut Plan, number: usize, input: usize, port: PortId, share: u64) {
    let reader = &plan.stages[number];
    let (grid, dtype) = plan.ports[port as usize].array();
    let (grid, size) = (grid.clone(), dtype.size() as u64);
    let cuts = cuts_of_reader(&reader.inputs[input].access, &reader.input_cuts(input), &grid);
    let maker = &plan.stages[plan.ports[port as usize].stage as usize];
    let most = share / (2 * size);
    // A source is read by the shuffle itself: chunk by chunk, or, where elements lie as they are, a
    // part of a chunk at a time. What is kept comes back from scratch as it went there, whole.
    let (feed, parts) = match &maker.work {
        Work::Read(source) => {
            let storage = source.storage();
            let parts = match storage.codec.is_empty() {
                true if storage.files > 0 => divided(&in_runs(&grid, &cuts, LONG_RUN / size), most),
                true => divided(&grid, most),
                false => grid,
            };
            (Feed::Source(source.clone()), parts)
        }
        _ => (Feed::Port(port), grid),
    };
    let taken = blocks_to_take(&parts, &cuts, most);
    let pieces = pieces(&taken, &cuts, PIECE / size, most);
    let origin = reader.origin;
    let access = Access::identity(taken.rank());
    let demanded = Region::whole(&taken.counts());
    let stage = plan.stages.len() as StageId;
    let shuffled = plan.ports.len() as PortId;
    plan.ports.push(super::stage::Port {
        stage,
        holds: Holds::Pieces { grid: pieces, dtype },
        readers: Vec::new(),
        kept: false,
        slot: 0,
    });
    plan.stages.push(Stage {
        name: "shuffle".into(),
        origin,
        work: Work::Shuffle,
        units: taken.len(),
        grid: taken,
        batch: 1,
        demanded,
        inputs: vec![Input { feed, access, dtype }],
        ports: smallvec![shuffled],
        root: None,
        aligned: false,
        walk: None,
    });
    plan.stages[number].inputs[input].feed = Feed::Port(shuffled);
}

/// Where the reader's blocks are cut, along the axes of what it reads.
pub(super) fn cuts_of_reader(access: &Access, wanted: &Grid, grid: &Grid) -> Grid {
    Grid::new(access.axes().iter().enumerate().map(|(axis, view)| {
        let own = &grid.axes()[axis];
        match *view {
            AxisView::Along { of, start, step } if step.abs() == 1 && !own.is_empty() => {
                let mut at: Vec<u64> = wanted.axes()[of]
                    .boundaries()
                    .map(|cut| start + step * cut as i64 + i64::from(step < 0))
                    .filter(|&cut| cut > 0 && cut < own.len() as i64)
                    .map(|cut| cut as u64)
                    .collect();
                at.extend([0, own.len()]);
                at.sort_unstable();
                at.dedup();
                AxisGrid::from_boundaries(at)
            }
            _ => AxisGrid::whole(own.len()),
        }
    }))
}

/// The chunks of `grid` cut as the reader's blocks are, along the outermost axis along which these
/// are shorter, into runs of at least `least` elements: the less is taken of each chunk, the more
/// chunks are taken at once, and the larger are the pieces.
fn in_runs(grid: &Grid, cuts: &Grid, least: u64) -> Grid {
    let (lengths, wanted) = (grid.max_chunk(), cuts.max_chunk());
    let Some(axis) = (0..grid.rank()).find(|&axis| wanted[axis] < lengths[axis]) else {
        return grid.clone();
    };
    let run: u64 = wanted[axis] * lengths[axis + 1..].iter().product::<u64>();
    let cut = joined(&cuts.axes()[axis], least.div_ceil(run.max(1)).max(1));
    let mut axes: Vec<AxisGrid> = grid.axes().to_vec();
    axes[axis] = axes[axis].common(&cut);
    Grid::new(axes)
}

/// Blocks of whole chunks of `grid`, of up to `most` elements: chunks are joined along the
/// axes along which a reader's block reaches over several of them, the outermost first.
fn blocks_to_take(grid: &Grid, cuts: &Grid, most: u64) -> Grid {
    let mut axes: Vec<AxisGrid> = grid.axes().to_vec();
    for axis in 0..axes.len() {
        if cuts.axes()[axis].max_chunk() <= axes[axis].max_chunk() {
            continue;
        }
        let volume: u64 = axes.iter().map(AxisGrid::max_chunk).product();
        let factor = (most / volume.max(1)).max(1);
        axes[axis] = joined(&axes[axis], factor);
    }
    Grid::new(axes)
}

/// Every `factor` neighbours become one.
pub(super) fn joined(axis: &AxisGrid, factor: u64) -> AxisGrid {
    if let Some(chunk) = axis.regular_chunk() {
        return AxisGrid::regular(axis.len(), (chunk * factor).clamp(1, axis.len().max(1)));
    }
    let mut cuts: Vec<u64> = axis.boundaries().step_by(factor as usize).collect();
    if cuts.last() != Some(&axis.len()) {
        cuts.push(axis.len());
    }
    AxisGrid::from_boundaries(cuts)
}

/// What the blocks that are taken and the reader's have in common; the reader's are joined
/// along their last axes until that is at least `least` elements, while they have at most `most`.
fn pieces(taken: &Grid, cuts: &Grid, least: u64, most: u64) -> Grid {
    let mut cuts: Vec<AxisGrid> = cuts.axes().to_vec();
    let common =
        |cuts: &[AxisGrid]| Grid::new(taken.axes().iter().zip(cuts).map(|(a, b)| a.common(b)));
    loop {
        let grid = common(&cuts);
        let volume: u64 = grid.max_chunk().iter().product();
        let wide = (0..cuts.len()).rev().find(|&axis| {
            cuts[axis].count() > 1 && cuts[axis].max_chunk() < taken.axes()[axis].max_chunk()
        });
        let joint: u64 = cuts.iter().map(AxisGrid::max_chunk).product();
        match wide {
            Some(axis) if volume < least && 2 * joint <= most => {
                cuts[axis] = joined(&cuts[axis], 2)
            }
            _ => return grid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_to_columns() {
        let frames = Grid::regular(&[512, 2048, 2048], &[1, 2048, 2048]);
        let columns = Grid::regular(&[512, 2048, 2048], &[512, 64, 64]);
        let taken = blocks_to_take(&frames, &columns, 25 << 20);
        assert_eq!(taken.max_chunk().as_slice(), [6, 2048, 2048]);
        let cut = pieces(&taken, &columns, PIECE / 4, 25 << 20);
        assert_eq!(cut.max_chunk().as_slice(), [6, 64, 128]);

        // Parts of plain frames are read at once from more of them, however little memory there is.
        let bands = in_runs(&frames, &columns, LONG_RUN / 4);
        assert_eq!(bands.max_chunk().as_slice(), [1, 64, 2048]);
        for (most, frames, pixels) in [(25 << 20, 200, 64), (3 << 20, 24, 64)] {
            let taken = blocks_to_take(&divided(&bands, most), &columns, most);
            assert_eq!(taken.max_chunk().as_slice(), [frames, 64, 2048]);
            let cut = pieces(&taken, &columns, PIECE / 4, most);
            assert_eq!(cut.max_chunk().as_slice(), [frames, 64, pixels]);
        }
        // Nor is anything cut that the reader takes whole.
        let rows = Grid::regular(&[512, 2048, 2048], &[512, 2048, 2048]);
        assert_eq!(in_runs(&frames, &rows, LONG_RUN / 4), frames);
    }
}
