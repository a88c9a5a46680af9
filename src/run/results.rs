//! Results in the caller's memory, filled by many workers at once.

use freeboard_formats::{ChunkMut, DType, Dims, Grid, Region, region::volume};
use std::sync::{Mutex, PoisonError};

/// An array being put together, cut along its outermost axis into slabs that are locked one
/// by one: workers on different slabs do not meet.
pub(crate) struct Collected<'a> {
    dtype: DType,
    shape: Dims,
    /// Where each slab begins along the outermost axis, and where the last ends.
    starts: Vec<u64>,
    slabs: Vec<Mutex<&'a mut [u8]>>,
}

/// The most slabs that an array is cut into.
const SLABS: u64 = 1024;

impl<'a> Collected<'a> {
    /// `bytes` as an array on `grid`.
    pub fn new(dtype: DType, grid: &Grid, bytes: &'a mut [u8]) -> Collected<'a> {
        let shape = grid.shape();
        let row = if shape.is_empty() { 1 } else { volume(&shape[1..]) } * dtype.size() as u64;
        let mut starts = vec![0];
        if let Some(axis) = grid.axes().first() {
            let every = axis.count().div_ceil(SLABS).max(1);
            starts.extend(
                (every..axis.count()).step_by(every as usize).map(|i| axis.bounds(i).start),
            );
        }
        let end = shape.first().copied().unwrap_or(1);
        starts.push(end);
        let mut slabs = Vec::new();
        let mut rest = bytes;
        for cut in starts.windows(2) {
            let (slab, after) = rest.split_at_mut(((cut[1] - cut[0]) * row) as usize);
            slabs.push(Mutex::new(slab));
            rest = after;
        }
        Collected { dtype, shape, starts, slabs }
    }

    /// Calls `fill` with the part of the array in `region`, which is a block of the grid.
    pub fn with<R>(&self, region: &Region, fill: impl FnOnce(ChunkMut<'_>) -> R) -> R {
        let Some(&at) = region.start.first() else {
            let mut slab = self.slabs[0].lock().unwrap_or_else(PoisonError::into_inner);
            return fill(ChunkMut::new(self.dtype, &mut slab, &[]));
        };
        let number = self.starts.partition_point(|&start| start <= at) - 1;
        let number = number.min(self.slabs.len() - 1);
        let mut shape = self.shape.clone();
        shape[0] = self.starts[number + 1] - self.starts[number];
        let mut within = region.clone();
        within.start[0] -= self.starts[number];
        let mut slab = self.slabs[number].lock().unwrap_or_else(PoisonError::into_inner);
        fill(ChunkMut::new(self.dtype, &mut slab, &shape).sub(&within))
    }
}
