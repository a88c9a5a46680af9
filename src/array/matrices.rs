//! Arrays that follow from rows and columns: diagonals, triangles, coordinates.

use super::{
    Array, Kind, Line, Pad, Sizes, arange,
    create::generated,
    generated::{Generated, Recipe},
    kept, mistake,
    shape::{along, broadcast, view},
    stack,
};
use crate::{
    error::Result,
    expr::{Access, Expr},
    kernel,
};
use freeboard_formats::{DType, Dims, Element, Grid, Scalar};
use std::{borrow::Borrow, panic::Location, sync::Arc};

/// `n` rows and columns, 1 where they are equal, else 0.
#[track_caller]
pub fn eye<T: Element + Kind>(n: usize) -> Array<T> {
    let recipe = Recipe::Diagonal { columns: n as u64, offset: 0 };
    generated(<T as Element>::DTYPE, &Sizes::from([n, n]), recipe, Location::caller())
}

/// A matrix of zeros with the elements of `vector` on its diagonal, or that `offset` columns to the right of it
/// (to the left if negative).
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
        assert_eq!(indices([2, 3]).shape().unwrap(), [2, 2, 3]);
        says(indices([-1]).to_string(), "a shape has no negative length");
    }
}
