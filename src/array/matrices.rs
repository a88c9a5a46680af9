//! Arrays that follow from rows and columns: diagonals, triangles, coordinates.

use super::{
    Array, Axes, Kind, Line, Pad, Sizes, arange,
    create::generated,
    generated::{Generated, Recipe},
    kept, mistake,
    reduce::reduce,
    shape::{along, broadcast, permuted, view},
    stack,
};
use crate::{
    error::Result,
    expr::{Access, Expr, Need, Needs},
    kernel,
};
use freeboard_formats::{DType, Dims, Element, Grid, Meta, Scalar};
use std::{borrow::Borrow, panic::Location, sync::Arc};

/// `n` rows and columns, 1 where they are equal, else 0.
#[track_caller]
pub fn eye<T: Element + Kind>(n: usize) -> Array<T> {
    let recipe = Recipe::Diagonal { columns: n as u64, offset: 0 };
    generated(<T as Element>::DTYPE, &Sizes::from([n, n]), recipe, Location::caller())
}

/// A matrix of zeros with the elements of `vector` on its diagonal, or that `offset` columns to the right of it
/// (to the left if negative).
/// ```
/// use freeboard::array::{Indexing, arange, diag, eye, meshgrid};
///
/// let weights = arange(0.0, 4.0, 1.0);
/// let matrix = diag(&weights, 1) + eye::<f64>(5);
/// assert_eq!(matrix.triu(1).diagonal(1, [0, 1]).shape()?, [4]);
/// let planes = meshgrid([weights, arange(0.0, 3.0, 1.0)], Indexing::Xy);
/// assert_eq!(planes[0].hypot(&planes[1]).shape()?, [3, 4]);
/// # Ok::<(), freeboard::Error>(())
/// ```
#[track_caller]
pub fn diag<T: Kind>(vector: &Array<T>, offset: i64) -> Array<T> {
    let at = Location::caller();
    let shift = offset.unsigned_abs();
    let side = if offset > 0 { (shift, 0) } else { (0, shift) };
    let row = vector.pad([side], Pad::constant(0));
    Array::from_expr(kept(at, || {
        let meta = row.meta()?;
        let shape = meta.shape();
        let [n] = shape[..] else {
            return Err(mistake(at)(format!("a diagonal of {} axes, not of one", shape.len())));
        };
        let square = Sizes::from([n, n]).shape().map_err(mistake(at))?;
        let axis = &meta.grid.axes()[0];
        let grid = Grid::new([axis.clone(), axis.clone()]);
        let recipe = Recipe::Diagonal { columns: n, offset };
        let mask = Expr::source(Arc::new(Generated::new(DType::Bool, grid, recipe)), at);
        let (access, shape) = broadcast(&shape, square).map_err(mistake(at))?;
        Ok(select(&mask, &view(&row.expr, access, &shape, at), at))
    }))
}

/// The elements of `expr` where `mask` is true, elsewhere 0.
fn select(mask: &Expr, expr: &Expr, at: Line) -> Expr {
    kept(at, || {
        let dtype = expr.meta()?.dtype;
        let zero = Expr::constant(Scalar::zero(dtype), Grid::whole(&[]), at);
        Ok(Expr::apply(kernel::select(dtype), &[mask, expr, &zero], at))
    })
}

impl<T: Kind> Array<T> {
    /// The matrices of the last two axes, 0 above the diagonal, or above the one `offset` columns
    /// to the right of it.
    #[track_caller]
    pub fn tril(&self, offset: i64) -> Array<T> {
        self.triangle(offset, true, Location::caller())
    }

    /// The matrices of the last two axes, 0 below the diagonal, or below the one `offset` columns
    /// to the right of it.
    #[track_caller]
    pub fn triu(&self, offset: i64) -> Array<T> {
        self.triangle(offset.saturating_sub(1), false, Location::caller())
    }

    /// The diagonals, or those `offset` columns to the right of them, of the matrices that two
    /// axes span, along a new last axis. Chunks of the matrices that hold no part of it are not read.
    #[track_caller]
    pub fn diagonal(&self, offset: i64, axes: [i64; 2]) -> Array<T> {
        Array::from_expr(diagonal(&self.expr, offset, axes, Location::caller()))
    }

    /// The sums of the diagonals that [`diagonal`](Array::diagonal) gives.
    #[track_caller]
    pub fn trace(&self, offset: i64, axes: [i64; 2]) -> Array<T::Sum> {
        let at = Location::caller();
        let diagonals = diagonal(&self.expr, offset, axes, at);
        Array::from_expr(reduce(&diagonals, kernel::FoldOp::Sum, &(-1).into(), at))
    }

    fn triangle(&self, offset: i64, lower: bool, at: Line) -> Array<T> {
        Array::<T>::build(at, || {
            let grid = &self.meta()?.grid;
            let [.., rows, columns] = grid.axes() else {
                let message = format!("a triangle of an array of {} axes takes two", grid.rank());
                return Err(mistake(at)(message));
            };
            let recipe = Recipe::Triangle { columns: columns.len(), offset };
            let plane = Grid::new([rows.clone(), columns.clone()]);
            let mask = Expr::source(Arc::new(Generated::new(DType::Bool, plane, recipe)), at);
            let mask = match lower {
                true => mask,
                false => {
                    let not = kernel::unary(kernel::Unary::Not, DType::Bool);
                    Expr::apply(not, &[&mask], at)
                }
            };
            Ok(select(&mask, &self.expr, at))
        })
    }
}

fn diagonal(expr: &Expr, offset: i64, axes: [i64; 2], at: Line) -> Expr {
    kept(at, || {
        let meta = expr.meta()?;
        let (shape, rank) = (meta.shape(), meta.grid.rank());
        let plane = Axes::from(axes).resolve(rank).map_err(mistake(at))?;
        // The square that begins where the diagonal does, along the last two axes.
        let shift = offset.unsigned_abs();
        let start = if offset < 0 { [shift, 0] } else { [0, shift] };
        let left = |side: usize| shape[plane[side]].saturating_sub(start[side]);
        let len = left(0).min(left(1));
        let mut order: Vec<usize> = (0..rank).filter(|axis| !plane.contains(axis)).collect();
        order.extend(&plane);
        let (access, mut square) = permuted(&order, &shape);
        let corner = |axis: usize| match axis.checked_sub(rank - 2) {
            Some(side) if len > 0 => start[side],
            _ => 0,
        };
        let inner = Access::new((0..rank).map(|axis| along(axis, corner(axis), 1)));
        square[rank - 2..].fill(len);
        let square = view(expr, access.then(&inner), &square, at);
        let cuts = square.meta()?.grid.axes();
        let grid = Grid::new(cuts[..rank - 1].iter().cloned());
        if grid.shape().contains(&0) {
            return Ok(Expr::constant(Scalar::zero(meta.dtype), grid, at));
        }
        let needs = Needs::new((0..rank).map(|axis| Need::same(axis.min(rank - 2))));
        let mut made = Meta { grid, ..square.meta()?.clone() };
        made.axes.truncate(rank - 1);
        made.axes[rank - 2].clear();
        Ok(Expr::block(Arc::new(kernel::Diagonal), [(square, needs)], made, at))
    })
}

/// In which order [`meshgrid`] counts its first two axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// The first array runs along the columns (axis 1), the second along the rows: NumPy's default.
    Xy,
    /// Each array runs along the axis of its number.
    Ij,
}

/// The coordinates of a grid of points: of each array of one axis, its elements along an axis of their own,
/// repeated along those of the others.
#[track_caller]
pub fn meshgrid<T: Kind, A: Borrow<Array<T>>>(
    arrays: impl IntoIterator<Item = A>,
    indexing: Indexing,
) -> Vec<Array<T>> {
    let at = Location::caller();
    let exprs: Vec<Expr> = arrays.into_iter().map(|array| array.borrow().expr.clone()).collect();
    let place = |i: usize| match (indexing, i) {
        (Indexing::Xy, 0 | 1) if exprs.len() > 1 => 1 - i,
        _ => i,
    };
    let spread = |i: usize| -> Result<Expr> {
        let mut shape = Dims::from_elem(0, exprs.len());
        for (i, expr) in exprs.iter().enumerate() {
            shape[place(i)] = match expr.meta()?.shape()[..] {
                [len] => len,
                ref other => {
                    let message = format!("array {i} of a grid has {} axes, not one", other.len());
                    return Err(mistake(at)(message));
                }
            };
        }
        let shape = Sizes::from(&shape).shape().map_err(mistake(at))?;
        Ok(view(&exprs[i], Access::new([along(place(i), 0, 1)]), &shape, at))
    };
    (0..exprs.len()).map(|i| Array::from_expr(kept(at, || spread(i)))).collect()
}

/// The coordinates of every element of an array of `shape`, along a first axis that counts the
/// axes.
#[track_caller]
pub fn indices(shape: impl Into<Sizes>) -> Array<i64> {
    let at = Location::caller();
    let shape = shape.into();
    if let Err(message) = shape.shape() {
        return Array::from_expr(Expr::failed(mistake(at)(message), at));
    }
    let mut ranges = Vec::with_capacity(shape.as_slice().len());
    // No closure: it would be the caller of `arange`.
    for &len in shape.as_slice() {
        ranges.push(arange(0, len, 1));
    }
    stack(meshgrid(ranges, Indexing::Ij), 0)
}

#[cfg(test)]
mod tests {
    use super::super::zeros;
    use super::*;

    #[test]
    fn shapes_and_mistakes() {
        let says = |text: String, start: &str| assert!(text.starts_with(start), "{text}");
        assert_eq!(eye::<i16>(3).shape().unwrap(), [3, 3]);
        assert_eq!(diag(&zeros::<f32>([4]), -2).shape().unwrap(), [6, 6]);
        says(diag(&zeros::<f32>([4, 1]), 0).to_string(), "pad widths of 1 axis for an array of 2");
        says(zeros::<f32>([4]).tril(0).to_string(), "a triangle of an array of 1 axes takes two");
        let planes = meshgrid([zeros::<f32>([4]), zeros::<f32>([3])], Indexing::Xy);
        assert_eq!(planes[0].shape().unwrap(), [3, 4]);
        let flat = meshgrid([zeros::<f32>([4]), zeros::<f32>([3, 1])], Indexing::Ij);
        says(flat[0].to_string(), "array 1 of a grid has 2 axes, not one at ");
        let x = zeros::<f32>([4, 5]);
        assert_eq!(x.diagonal(2, [0, 1]).shape().unwrap(), [3]);
        assert_eq!(x.diagonal(9, [0, 1]).shape().unwrap(), [0]);
        says(x.diagonal(0, [0, 2]).to_string(), "axis 2 is out of range for an array of 2 axes");
        says(x.trace(0, [1, 1]).to_string(), "axis 1 is named twice at ");
        assert_eq!(indices([2, 3]).shape().unwrap(), [2, 2, 3]);
        says(indices([-1]).to_string(), "a shape has no negative length");
    }
}
