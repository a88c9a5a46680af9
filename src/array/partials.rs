//! What blocks were reduced to, joined until one is left: the tree of every reduction that is not a
//! [`Fold`](crate::kernel::Fold).
//!
//! A partial lies at one place along each reduced axis, a place for each block. Neighbours are joined
//! [`FAN_IN`] at a time, level by level; within a group in C order. So the order is fixed by the chunks
//! alone, and no task holds more than so many partials.

use super::{Line, shape::rechunked};
use crate::{
    error::Result,
    expr::{Expr, Needs},
    kernel::BlockKernel,
};
use freeboard_formats::{AxisGrid, Grid, Meta};
use std::sync::Arc;

/// How many partials are joined at a time.
const FAN_IN: u64 = 16;

/// `parts` joined along `axes`, by a kernel that makes of a box of partials one, of length 1 along
/// them. Along the others, blocks stay as they are cut.
pub(crate) fn joined(
    mut parts: Expr,
    axes: &[usize],
    kernel: &Arc<dyn BlockKernel>,
    at: Line,
) -> Result<Expr> {
    loop {
        let meta = parts.meta()?.clone();
        let lens = meta.shape();
        if axes.iter().all(|&axis| lens[axis] <= 1) {
            return Ok(parts);
        }
        let mut cuts = meta.grid.axes().to_vec();
        let mut made = cuts.clone();
        let mut room = FAN_IN;
        for &axis in axes.iter().rev() {
            let group = lens[axis].clamp(1, room);
            room /= group;
            room = room.max(1);
            cuts[axis] = AxisGrid::regular(lens[axis], group);
            made[axis] = AxisGrid::regular(cuts[axis].count(), 1);
        }
        let groups = rechunked(&parts, Grid::new(cuts), at);
        let needs = Needs::blocks(lens.len());
        let made = Meta { grid: Grid::new(made), ..meta };
        parts = Expr::block(kernel.clone(), [(groups, needs)], made, at);
    }
}
