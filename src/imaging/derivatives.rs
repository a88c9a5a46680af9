//! Derivatives by their names: along one axis, and summed along all, as `scipy.ndimage` does it.

use super::{
    edges::Boundary,
    filters::{Gaussian, along_axes, weighed},
};
use crate::{
    array::{Array, Dyn, Kind, Line, axis_of, cast, kept, mistake},
    expr::Expr,
    kernel::{self, Binary},
};
use std::panic::Location;

/// A derivative along `axis`, smoothed along the others.
fn derivative<T: Kind>(
    array: &Array<T>,
    axis: i64,
    smooth: [f64; 3],
    boundary: Boundary,
    at: Line,
) -> Array<T> {
    along_axes(array, boundary, at, |rank| {
        let axis = axis_of(axis, rank)?;
        let others = (0..rank).filter(|&other| other != axis);
        let others = others.map(|other| weighed(other, smooth.to_vec()));
        Ok(std::iter::once(weighed(axis, vec![-1.0, 0.0, 1.0])).chain(others).collect())
    })
}

/// Sobel's derivative along `axis`.
#[track_caller]
pub fn sobel<T: Kind>(array: &Array<T>, axis: i64, boundary: Boundary) -> Array<T> {
    derivative(array, axis, [1.0, 2.0, 1.0], boundary, Location::caller())
}

/// Prewitt's derivative along `axis`.
#[track_caller]
pub fn prewitt<T: Kind>(array: &Array<T>, axis: i64, boundary: Boundary) -> Array<T> {
    derivative(array, axis, [1.0, 1.0, 1.0], boundary, Location::caller())
}

/// The sum of what `part` makes along each axis.
fn summed<T: Kind>(array: &Array<T>, at: Line, part: impl Fn(usize) -> Array<T>) -> Array<T> {
    Array::from_expr(kept(at, || {
        let meta = array.meta()?;
        let parts = (0..meta.grid.rank()).map(|axis| part(axis).expr().clone());
        let sum = parts.reduce(|sum, part| {
            Expr::apply(kernel::binary(Binary::Add, meta.dtype), &[&sum, &part], at)
        });
        sum.ok_or_else(|| mistake(at)("a filter along the axes of an array that has none".into()))
    }))
}

/// The second differences along all axes, summed.
#[track_caller]
pub fn laplace<T: Kind>(array: &Array<T>, boundary: Boundary) -> Array<T> {
    let at = Location::caller();
    summed(array, at, |axis| {
        along_axes(array, boundary, at, |_| Ok(vec![weighed(axis, vec![1.0, -2.0, 1.0])]))
    })
}

/// What a Gaussian's derivative of `order` along `axis` makes, smoothed along the others.
fn derived<T: Kind>(
    array: &Array<T>,
    gaussian: &Gaussian,
    axis: usize,
    order: usize,
    boundary: Boundary,
    at: Line,
) -> Array<T> {
    along_axes(array, boundary, at, |rank| {
        let mut orders = vec![0; rank];
        orders[axis] = order;
        gaussian.clone().order(orders).passes(rank)
    })
}

/// The second derivatives of a Gaussian along all axes, summed.
#[track_caller]
pub fn gaussian_laplace<T: Kind>(
    array: &Array<T>,
    gaussian: impl Into<Gaussian>,
    boundary: Boundary,
) -> Array<T> {
    let (at, gaussian) = (Location::caller(), gaussian.into());
    summed(array, at, |axis| derived(array, &gaussian, axis, 2, boundary, at))
}

/// The length of the gradient, from the first derivatives of a Gaussian along all axes.
#[track_caller]
pub fn gaussian_gradient_magnitude<T: Kind>(
    array: &Array<T>,
    gaussian: impl Into<Gaussian>,
    boundary: Boundary,
) -> Array<T> {
    let (at, gaussian) = (Location::caller(), gaussian.into());
    let squares = summed(array, at, |axis| {
        Array::from_expr(kept(at, || {
            let part = derived(array, &gaussian, axis, 1, boundary, at);
            let dtype = part.meta()?.dtype;
            let square = kernel::binary(Binary::Multiply, dtype);
            Ok(Expr::apply(square, &[part.expr(), part.expr()], at))
        }))
    });
    Array::from_expr(kept(at, || {
        let dtype = squares.meta()?.dtype;
        let length = Array::<Dyn>::from_expr(squares.expr().clone()).sqrt();
        Ok(cast(length.expr(), dtype, at))
    }))
}
