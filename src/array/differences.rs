//! What is made of elements and their neighbours along an axis: differences, gradients, integrals.
//!
//! Each is arithmetic on slices of one array that are shifted against each other.

use super::{
    Array, Kind, Line,
    args::axis_of,
    cast,
    join::joined,
    mistake,
    reduce::reduce,
    shape::{along, view},
};
use crate::{
    error::Result,
    expr::{Access, Expr},
    kernel::{self, Binary, FoldOp},
};
use freeboard_formats::{DType, Grid, Scalar};
use std::{ops::Range, panic::Location};

/// The elements `range` along `axis`.
pub(super) fn part(expr: &Expr, axis: usize, range: Range<u64>, at: Line) -> Result<Expr> {
    let mut shape = expr.meta()?.shape();
    shape[axis] = range.end - range.start;
    let start = |i: usize| if i == axis && shape[axis] > 0 { range.start } else { 0 };
    let access = Access::new((0..shape.len()).map(|i| along(i, start(i), 1)));
    Ok(view(expr, access, &shape, at))
}

/// The elements from the one at `by` along `axis`, and as many from the first: pairs `by` apart.
fn shifted(expr: &Expr, axis: usize, by: u64, at: Line) -> Result<[Expr; 2]> {
    let len = expr.meta()?.shape()[axis];
    let by = by.min(len);
    Ok([part(expr, axis, by..len, at)?, part(expr, axis, 0..len - by, at)?])
}

impl<T: Kind> Array<T> {
    /// The differences of neighbours along `axis`, each element from the next, taken `n` times. Of
    /// `bool`, whether neighbours differ.
    #[track_caller]
    pub fn diff(&self, n: usize, axis: i64) -> Array<T> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let meta = self.meta()?;
            let axis = axis_of(axis, meta.grid.rank()).map_err(mistake(at))?;
            let op = if meta.dtype == DType::Bool { Binary::Xor } else { Binary::Subtract };
            let mut expr = self.expr.clone();
            // What is beyond the length changes nothing any more.
            for _ in 0..n.min(meta.shape()[axis] as usize) {
                let [next, this] = shifted(&expr, axis, 1, at)?;
                expr = Expr::apply(kernel::binary(op, meta.dtype), &[&next, &this], at);
            }
            Ok(expr)
        })
    }

    /// The slopes along `axis`, of elements `spacing` apart: central differences, and those of the
    /// two outermost elements at either end. In float64 of integers.
    /// ```
    /// use freeboard::array::linspace;
    ///
    /// let x = linspace(0.0, 1.0, 101).square();
    /// assert_eq!(x.diff(1, 0).shape()?, [100]);
    /// assert_eq!(x.gradient(0, 0.01).shape()?, [101]);
    /// assert_eq!(x.trapezoid(0, 0.01).rank()?, 0);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn gradient(&self, axis: i64, spacing: f64) -> Array<T::Mean> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let (expr, axis, real) = self.as_real(axis, at)?;
            let len = expr.meta()?.shape()[axis];
            if len < 2 {
                return Err(mistake(at)(format!(
                    "axis {axis} of length {len} is too short for a gradient, which takes 2 elements"
                )));
            }
            let slopes = |expr: &Expr, by: u64| -> Result<Expr> {
                let [next, this] = shifted(expr, axis, by, at)?;
                let rise = Expr::apply(kernel::binary(Binary::Subtract, real), &[&next, &this], at);
                let run = number(spacing * by as f64, real, at);
                Ok(Expr::apply(kernel::binary(Binary::Divide, real), &[&rise, &run], at))
            };
            let first = slopes(&part(&expr, axis, 0..2, at)?, 1)?;
            let last = slopes(&part(&expr, axis, len - 2..len, at)?, 1)?;
            let all = joined(vec![first, slopes(&expr, 2)?, last], axis as i64, "gradient", at)?;
            Ok(all.rechunk(expr.meta()?.grid.clone(), at))
        })
    }

    /// The integral along `axis`, of elements `spacing` apart, by the trapezoidal rule. In float64
    /// of integers.
    #[track_caller]
    pub fn trapezoid(&self, axis: i64, spacing: f64) -> Array<T::Mean> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let (expr, axis, real) = self.as_real(axis, at)?;
            let [next, this] = shifted(&expr, axis, 1, at)?;
            let with = |op, a: &Expr, b: &Expr| Expr::apply(kernel::binary(op, real), &[a, b], at);
            let sums = with(Binary::Add, &next, &this);
            let areas = with(Binary::Multiply, &sums, &number(spacing, real, at));
            let halves = with(Binary::Divide, &areas, &number(2.0, real, at));
            Ok(reduce(&halves, FoldOp::Sum, &axis.into(), at))
        })
    }

    /// The elements as floats, as which of the axes `axis` counts, and their dtype.
    fn as_real(&self, axis: i64, at: Line) -> Result<(Expr, usize, DType)> {
        let meta = self.meta()?;
        let axis = axis_of(axis, meta.grid.rank()).map_err(mistake(at))?;
        let real = if meta.dtype.is_float() { meta.dtype } else { DType::F64 };
        Ok((cast(&self.expr, real, at), axis, real))
    }
}

fn number(value: f64, dtype: DType, at: Line) -> Expr {
    Expr::constant(Scalar::F64(value).cast(dtype), Grid::whole(&[]), at)
}
