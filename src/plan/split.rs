//! Cutting blocks where the value does not depend on the cut.
//!
//! What a copy or elementwise work makes is the same however its blocks are cut, and so is a
//! reduction's along the axes that it keeps, where each of its cells takes single elements
//! in turn. So blocks are divided where one would not fit in memory, and where a reduction
//! that is carried from chunk to chunk would keep fewer threads busy than there are.

use super::{
    Plan,
    stage::{Holds, Work},
};
use freeboard_formats::{AxisGrid, Grid};

/// Pieces of a reduction's chunk are at least this large, in bytes.
const LEAST_PIECE: u64 = 256 << 10;

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
