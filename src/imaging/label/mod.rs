//! Connected regions, numbered across chunks as `scipy.ndimage.label` numbers a whole array: in the
//! order of their first elements.
//!
//! Four stages of blocks, and nothing in them grows with the number of regions but what lies on the
//! faces between blocks:
//!
//! 1. `scan` numbers the regions within each block.
//! 2. Of each block its faces, and how many regions begin in each of its rows, are put together.
//! 3. `merge`, one task, joins the regions that meet at faces, and tells for each row of each block how many
//!    regions begin before it in the whole array, and for each element of a face its number.
//! 4. `number` numbers the regions of each block anew.
//!
//! A region belongs to the part of it, within a block, that begins first; the others are
//! written into the table of the faces with a minus sign.

mod merge;
mod scan;

use super::{Footprint, generate_binary_structure};
use crate::{
    array::{Array, Kind, Line, cast, kept, mistake},
    error::Result,
    expr::{Access, AxisView, Expr, Need, Needs},
};
use freeboard_formats::{
    AxisGrid, DType, Dims, Grid, Meta, Region,
    region::{Coordinates, volume},
};
use merge::{Merge, Number};
use scan::{Count, Faces, Scan};
use std::{panic::Location, sync::Arc};

/// Which elements are neighbours: steps of -1, 0 or 1 along each axis, of both signs.
#[derive(Clone, Debug)]
struct Steps(Vec<Vec<i64>>);

impl Steps {
    fn new(structure: &Footprint, rank: usize) -> Result<Steps, String> {
        let found = structure.resolve(rank)?;
        let mirrored = || found.mask.iter().zip(found.mask.iter().rev());
        if found.sides.iter().any(|&side| side != 3) || mirrored().any(|(a, b)| a != b) {
            return Err("a structure of regions has side 3 along each axis, and is symmetric about its centre".into());
        }
        let sides = vec![3; rank];
        let steps = Coordinates::of(Region::whole(&sides)).zip(&found.mask);
        let steps = steps.filter(|(at, is_in)| **is_in && at.iter().any(|&at| at != 1));
        Ok(Steps(steps.map(|(at, _)| at.iter().map(|&at| at as i64 - 1).collect()).collect()))
    }
}

/// The blocks of an array, and where what is told of them lies in the table of `merge`: how many regions there
/// are; for each row of each block how many begin before it; for each element of a face its number.
#[derive(Clone, Debug)]
struct Blocks {
    grid: Grid,
    /// The axes along which there are several blocks, and where their faces begin in the table.
    split: Vec<(usize, usize)>,
    rows: usize,
    len: usize,
}

impl Blocks {
    fn new(grid: &Grid) -> Result<Blocks, String> {
        let last = grid.rank() - 1;
        let widest = volume(&grid.max_chunk());
        if widest > 1 << 30 {
            return Err(format!(
                "chunks of {widest} elements; regions are found in 1073741824 at most"
            ));
        }
        let mut blocks = Blocks { grid: grid.clone(), split: Vec::new(), rows: 0, len: 0 };
        blocks.rows = volume(&blocks.counted().shape()) as usize;
        blocks.len = 1 + blocks.rows;
        for axis in (0..=last).filter(|&axis| grid.axes()[axis].count() > 1) {
            blocks.split.push((axis, blocks.len));
            blocks.len += volume(&blocks.faced(axis).shape()) as usize;
        }
        match blocks.len < 1 << 31 {
            true => Ok(blocks),
            false => Err("too many faces between chunks; rechunk to larger ones".into()),
        }
    }

    /// The grid of the faces along `axis`: the first and the last plane of each block.
    fn faced(&self, axis: usize) -> Grid {
        let mut axes = self.grid.axes().to_vec();
        axes[axis] = AxisGrid::regular(2 * axes[axis].count(), 2);
        Grid::new(axes)
    }

    /// The grid of the numbers of regions that begin in the rows of blocks.
    fn counted(&self) -> Grid {
        let mut axes = self.grid.axes().to_vec();
        if let Some(last) = axes.last_mut() {
            *last = AxisGrid::regular(last.count(), 1);
        }
        Grid::new(axes)
    }

    /// The rows of the block `index`, as places among all rows, in C order.
    fn rows_of(&self, index: &[u64]) -> impl Iterator<Item = usize> + use<> {
        let mut region = self.grid.region(index);
        let shape = self.counted().shape();
        if let (Some(start), Some(len), Some(&at)) =
            (region.start.last_mut(), region.shape.last_mut(), index.last())
        {
            (*start, *len) = (at, 1);
        }
        Coordinates::of(region).map(move |at| linear(&at, &shape))
    }

    /// Calls `each` with the places in the table of the elements of the block's faces, and
    /// where they are in the block.
    fn faces_of(&self, index: &[u64], mut each: impl FnMut(usize, &[u64])) {
        let block = self.grid.region(index);
        for &(axis, base) in &self.split {
            let mut region = block.clone();
            (region.start[axis], region.shape[axis]) = (2 * index[axis], 2);
            let shape = self.faced(axis).shape();
            for at in Coordinates::of(region) {
                let mut inside: Dims = at
                    .iter()
                    .zip(&block.start)
                    .map(|(at, start)| at.wrapping_sub(*start))
                    .collect();
                inside[axis] = if at[axis] % 2 == 0 { 0 } else { block.shape[axis] - 1 };
                each(base + linear(&at, &shape), &inside);
            }
        }
    }
}

/// The place of an element in C order.
fn linear(at: &[u64], shape: &[u64]) -> usize {
    at.iter().zip(shape).fold(0, |place, (&at, &len)| place * len as usize + at as usize)
}

/// Numbers the connected regions of what is not 0, from 1, in the order of their first
/// elements; what is 0 stays 0. The second array holds how many there are. `structure`, of side 3,
/// tells which elements are neighbours: those that share a face if none is given.
/// ```
/// use freeboard::{array::eye, imaging::{Footprint, generate_binary_structure, label}};
///
/// let x = eye::<u8>(6).rechunk([2, 2]);
/// let (labels, count) = label(&x, None);
/// assert_eq!((labels.shape()?, count.rank()?), (vec![6, 6], 0));
/// let corners = Footprint::from(&generate_binary_structure(2, 2));
/// let (one, _) = label(&x, Some(corners));
/// assert_eq!(one.chunks()?, [[2, 2, 2], [2, 2, 2]]);
/// # Ok::<(), freeboard::Error>(())
/// ```
#[track_caller]
pub fn label<T: Kind>(array: &Array<T>, structure: Option<Footprint>) -> (Array<i32>, Array<i32>) {
    let at = Location::caller();
    match labelled(array, structure, at) {
        Ok((labels, count)) => (Array::from_expr(labels), Array::from_expr(count)),
        Err(error) => {
            let failed = || Array::from_expr(kept(at, || Err(error.clone())));
            (failed(), failed())
        }
    }
}

fn labelled<T: Kind>(
    array: &Array<T>,
    structure: Option<Footprint>,
    at: Line,
) -> Result<(Expr, Expr)> {
    let meta = array.meta()?;
    let rank = meta.grid.rank();
    if rank == 0 {
        return Err(mistake(at)("regions of an array without axes".into()));
    }
    let cross = || Footprint::from(&generate_binary_structure(rank, 1));
    let steps = Steps::new(&structure.unwrap_or_else(cross), rank).map_err(mistake(at))?;
    let blocks = Arc::new(Blocks::new(&meta.grid).map_err(mistake(at))?);
    let labels = Meta { dtype: DType::I32, ..meta.clone() };
    if volume(&labels.shape()) == 0 {
        let zero = |grid| Expr::constant(0i32.into(), grid, at);
        return Ok((zero(labels.grid), zero(Grid::whole(&[]))));
    }
    let mask = cast(array.expr(), DType::Bool, at);
    let scan = Scan { steps: steps.clone() };
    let local = Expr::block(Arc::new(scan), [(mask, Needs::blocks(rank))], labels.clone(), at);
    let of_blocks = || (local.clone(), Needs::blocks(rank));
    let all = |expr: Expr| (expr, Needs::new(vec![Need::All; rank]));
    let counted = Meta::new(DType::I32, blocks.counted());
    let mut parts = vec![all(Expr::block(Arc::new(Count), [of_blocks()], counted, at))];
    for &(axis, _) in &blocks.split {
        let faced = Meta::new(DType::I32, blocks.faced(axis));
        parts.push(all(Expr::block(Arc::new(Faces { axis }), [of_blocks()], faced, at)));
    }
    let table = Meta::new(DType::I32, Grid::whole(&[blocks.len as u64]));
    let merge = Merge { blocks: blocks.clone(), steps };
    let table = Expr::block(Arc::new(merge), parts, table, at);
    let whole = (table.clone(), Needs::new([Need::All]));
    let numbered = Expr::block(Arc::new(Number { blocks }), [of_blocks(), whole], labels, at);
    let count = table.view(Access::new([AxisView::At(0)]), &[], at);
    Ok((numbered, count))
}
