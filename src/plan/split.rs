//! Cutting blocks where the value does not depend on the cut.
//!
//! What a copy or elementwise work makes is the same however its blocks are cut, and so is a
//! reduction's along the axes that it keeps, where each of its cells takes single elements
//! in turn. So blocks are divided where one would not fit in memory, where a reduction
//! that is carried from chunk to chunk would keep fewer threads busy than there are, and where
//! a function reads bands of what is computed of plain files.

use super::{
    Plan,
    reading::LONG_RUN,
    shuffle::joined,
    stage::{Feed, Holds, Port, Stage, Work},
};
use freeboard_formats::{AxisGrid, Grid};

/// Pieces of a reduction's chunk are at least this large, in bytes.
const LEAST_PIECE: u64 = 256 << 10;

/// Bands of plain files are at least this large, in bytes.
const LEAST_BAND: u64 = 32 << 10;

/// So many bands take longer to plan and hand out than they save.
const MOST_BANDS: u64 = 1 << 20;

/// The same grid, its chunks divided along their outer axes until they have at most `most`
/// elements, if they have several.
pub(super) fn divided(grid: &Grid, most: u64) -> Grid {
    let mut axes: Vec<AxisGrid> = grid.axes().to_vec();
    for axis in 0..axes.len() {
        let volume: u64 = axes.iter().map(AxisGrid::max_chunk).product();
        if volume <= most {
            break;
        }
        let chunk = axes[axis].max_chunk();
        let part = (most / (volume / chunk).max(1)).clamp(1, chunk);
        axes[axis] = divided_axis(&axes[axis], part);
    }
    Grid::new(axes)
}

/// The axis, its chunks divided so that they have at most `part` elements.
fn divided_axis(axis: &AxisGrid, part: u64) -> AxisGrid {
    match axis.regular_chunk() {
        Some(chunk) if chunk.is_multiple_of(part) => AxisGrid::regular(axis.len(), part),
        _ => {
            let starts =
                (0..axis.count()).flat_map(|index| axis.bounds(index).step_by(part as usize));
            AxisGrid::from_boundaries(starts.chain([axis.len()]).collect())
        }
    }
}

/// Divides the blocks of stages that copy or compute elementwise, so that each is at most
/// `most` bytes. Blocks that a sink writes, that are kept, or that are cheap to read only
/// whole stay as they are.
pub(super) fn blocks(plan: &mut Plan, most: u64) {
    for stage in 0..plan.stages.len() {
        let this = &plan.stages[stage];
        let size = match (&this.work, this.root) {
            (Work::Read(source), _) if source.storage().codec.is_empty() => {
                source.meta().dtype.size()
            }
            (Work::Map { .. }, Some(root)) if this.ports.is_empty() && !plan.is_stored(root) => {
                plan.root_dtype(root).size()
            }
            (Work::Map { .. }, None) => match &plan.ports[this.ports[0] as usize].holds {
                Holds::Blocks { dtype, .. } => dtype.size(),
                _ => continue,
            },
            _ => continue,
        };
        let most = most / size as u64;
        if this.grid.max_chunk().iter().product::<u64>() <= most {
            continue;
        }
        let grid = divided(&this.grid, most);
        cut_into(plan, stage, grid);
    }
}

/// Makes the blocks of `grid` the units of a stage, and what its ports hold.
fn cut_into(plan: &mut Plan, stage: usize, grid: Grid) {
    let this = &mut plan.stages[stage];
    this.units = grid.len();
    this.demanded = freeboard_formats::Region::whole(&grid.counts());
    for &port in &this.ports {
        if let Holds::Blocks { grid: held, .. } = &mut plan.ports[port as usize].holds {
            *held = grid.clone();
        }
    }
    this.grid = grid;
}

/// Divides what is computed of plain files, for a function alone, where the function's blocks are
/// cut: a band of all frames is then made, read by the function, and gone, and frames neither wait
/// whole in memory nor pass through scratch. Bands that are together at most `share` bytes are
/// joined until each is read in one long run.
pub(super) fn as_read(plan: &mut Plan, share: u64) {
    let readers = plan.who_reads();
    for number in 0..plan.stages.len() {
        let stage = &plan.stages[number];
        let (Work::Map { .. }, None, &[port]) = (&stage.work, stage.root, &stage.ports[..]) else {
            continue;
        };
        let &[(reader, input)] = &readers[port as usize][..] else { continue };
        let function = &plan.stages[reader as usize];
        let identity = function.inputs[input].access.is_identity(stage.grid.rank());
        if !matches!(function.work, Work::Block { .. }) || !identity || !is_of_plain_files(stage) {
            continue;
        }
        let Port { holds: Holds::Blocks { dtype, .. }, kept: false, .. } =
            &plan.ports[port as usize]
        else {
            continue;
        };
        let size = dtype.size() as u64;
        if let Some(grid) = in_bands(&stage.grid, &function.input_cuts(input), size, share) {
            cut_into(plan, number, grid);
        }
    }
}

/// Whether a stage reads files, and each of them as its elements lie.
fn is_of_plain_files(stage: &Stage) -> bool {
    let mut sources = stage.inputs.iter().filter_map(|input| match &input.feed {
        Feed::Source(source) => Some(source.storage()),
        Feed::Port(_) => None,
    });
    let plain = sources.clone().all(|storage| storage.codec.is_empty());
    plain && sources.any(|storage| storage.files > 0)
}

/// The blocks of `grid`, of elements of `size` bytes, cut along the axes along which `cuts` is finer;
/// `None` where it is along none, or pieces would be small.
fn in_bands(grid: &Grid, cuts: &Grid, size: u64, share: u64) -> Option<Grid> {
    let finer = |axis: &usize| cuts.axes()[*axis].max_chunk() < grid.axes()[*axis].max_chunk();
    let innermost = (0..grid.rank()).rev().find(finer)?;
    let mut cuts: Vec<AxisGrid> = cuts.axes().to_vec();
    loop {
        let bands = Grid::new(grid.axes().iter().zip(&cuts).map(|(own, cut)| own.common(cut)));
        let piece = bands.max_chunk().iter().product::<u64>() * size;
        let mut wider = cuts.clone();
        wider[innermost] = joined(&cuts[innermost], 2);
        let together = wider.iter().map(AxisGrid::max_chunk).product::<u64>() * size;
        let stays = wider[innermost].max_chunk() < grid.axes()[innermost].max_chunk();
        if piece >= LONG_RUN || together > share || !stays {
            return (piece >= LEAST_BAND && bands.len() <= MOST_BANDS).then_some(bands);
        }
        cuts = wider;
    }
}

/// The chunks of a reduction that is carried from chunk to chunk, divided along an axis that
/// it keeps, so that there are `wanted` to be carried at once where there are `carried`; if
/// its cells take single elements in turn. Bits do not depend on it.
///
/// `kept` says of each axis whether every fold keeps it.
pub(super) fn kept_axes(
    chunks: &Grid,
    kept: &[bool],
    carried: u64,
    wanted: u64,
    size: u64,
) -> Option<Grid> {
    let lengths = chunks.max_chunk();
    let inner = (0..chunks.rank()).rev().find(|&axis| lengths[axis] > 1)?;
    let outer = (0..chunks.rank()).find(|&axis| kept[axis] && lengths[axis] > 1)?;
    // Rows of cells with one element each, however long: no run of elements is cut.
    if !kept[inner] || carried == 0 || carried >= wanted {
        return None;
    }
    let bytes = lengths.iter().product::<u64>() * size;
    let pieces = wanted.div_ceil(carried).min(bytes / LEAST_PIECE).min(lengths[outer]);
    if pieces < 2 {
        return None;
    }
    let mut axes: Vec<AxisGrid> = chunks.axes().to_vec();
    axes[outer] = divided_axis(&axes[outer], lengths[outer].div_ceil(pieces));
    Some(Grid::new(axes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_chunks_are_divided() {
        let grid = Grid::regular(&[64, 1024, 1024], &[16, 1024, 1024]);
        assert_eq!(divided(&grid, 4 << 20).max_chunk().as_slice(), [4, 1024, 1024]);
        assert_eq!(divided(&grid, 1 << 19).max_chunk().as_slice(), [1, 512, 1024]);
        assert_eq!(divided(&grid, 1 << 40), grid);
    }

    #[test]
    fn frames_are_made_in_bands_that_a_function_reads() {
        let frames = Grid::regular(&[200, 2048, 2048], &[1, 2048, 2048]);
        let rows = Grid::regular(&[200, 2048, 2048], &[200, 10, 2048]);
        let bands = |share| in_bands(&frames, &rows, 4, share).map(|grid| grid.max_chunk());
        assert_eq!(bands(64 << 20).unwrap().as_slice(), [1, 40, 2048]);
        // Together no more than they may be; but always as the function reads them.
        assert_eq!(bands(32 << 20).unwrap().as_slice(), [1, 20, 2048]);
        assert_eq!(bands(0).unwrap().as_slice(), [1, 10, 2048]);
        // Nothing is cut finer, or it would be into crumbs.
        assert_eq!(in_bands(&frames, &frames, 4, 64 << 20), None);
        let columns = Grid::regular(&[200, 2048, 2048], &[200, 1, 64]);
        assert_eq!(in_bands(&frames, &columns, 4, 0), None);
    }

    #[test]
    fn kept_axes_are_divided_where_no_run_is_cut() {
        let chunks = Grid::regular(&[100, 2048, 2048], &[1, 2048, 2048]);
        let kept = |axes: [bool; 3], carried| kept_axes(&chunks, &axes, carried, 8, 4);
        assert_eq!(
            kept([false, true, true], 2),
            Some(Grid::regular(&[100, 2048, 2048], &[1, 512, 2048]))
        );
        assert_eq!(kept([false, true, true], 8), None);
        // A run of the last axis would be cut.
        assert_eq!(kept([false, true, false], 2), None);
        let small = Grid::regular(&[100, 64, 64], &[1, 64, 64]);
        assert_eq!(kept_axes(&small, &[false, true, true], 1, 8, 4), None);
    }
}
