//! Linear algebra: factorisations of matrices that are tall and skinny, and of small ones.
//!
//! A tall matrix is cut into blocks of rows. Each block is factored; the triangles of all, one above the
//! other, are a matrix far less tall, which is factored in the same way until it is one block (TSQR: Demmel, Grigori, Hoemmen
//! and Langou 2012). The orthonormal columns of a block are its own times those of its part of the triangles (direct TSQR:
//! Benson, Gleich and Demmel 2013), so they are orthonormal to rounding, however ill-conditioned the matrix is. A
//! singular value decomposition is that of the last triangle.
//!
//! Factors are those that have no freedom of sign: the diagonal of R is not negative, and in each row of Vᵀ the
//! greatest element is positive. They are computed in doubles, in an order that the blocks alone decide.

use super::{
    Array, Axes, Kind, Line,
    args::fitted,
    cast, eye, kept, mistake,
    shape::{along, broadcast, permuted, view},
};
use crate::{
    error::{Error, Result},
    expr::{Access, AxisView, Expr, Need, Needs, shape_text},
    kernel::{Matrix, MatrixOp},
};
use freeboard_formats::{AxisGrid, DType, Dims, Grid, Meta, Scalar};
use std::{panic::Location, sync::Arc};

/// The bytes of a block of rows, where columns are few: a third of a second-level cache.
const BLOCK: u64 = 512 << 10;

/// Blocks have so many rows for each column, at the most: a quarter of it at the least, so that the triangles are few.
const TALL: u64 = 16;

/// The most columns: a triangle of them is 32 MiB.
const WIDE: u64 = 2048;

/// The rows and columns of a matrix, of which neither is 0.
fn sides(expr: &Expr, what: &str, at: Line) -> Result<[u64; 2]> {
    let shape = expr.meta()?.shape();
    match shape[..] {
        [rows, columns] if rows > 0 && columns > 0 => Ok([rows, columns]),
        _ => Err(mistake(at)(format!(
            "{what} of an array of shape {}; it takes a matrix that is not empty",
            shape_text(&shape)
        ))),
    }
}

/// A block of `op` of all of `inputs`.
fn at_once(op: MatrixOp, inputs: &[&Expr], shape: [u64; 2], at: Line) -> Expr {
    let all = inputs.iter().map(|&input| (input.clone(), Needs::new([Need::All; 2])));
    let meta = Meta::new(DType::F64, Grid::whole(&shape));
    Expr::block(Arc::new(Matrix(op)), all, meta, at)
}

/// The factors Q, if it is asked for, and R of a matrix of doubles.
fn factors(expr: &Expr, with_columns: bool, at: Line) -> Result<(Option<Expr>, Expr)> {
    let [rows, columns] = sides(expr, "qr", at)?;
    let fewer = rows.min(columns);
    if fewer > WIDE {
        let message = format!("qr of a matrix of shape ({rows}, {columns})");
        let help = format!("it takes matrices with {WIDE} columns at the most, or as many rows");
        return Err(mistake(at)(message).help(help));
    }
    let most = (TALL * columns).max(BLOCK / (8 * columns));
    if rows <= most {
        let r = at_once(MatrixOp::Triangle, &[expr], [fewer, columns], at);
        let q = with_columns.then(|| at_once(MatrixOp::Orthonormal, &[expr], [rows, fewer], at));
        return Ok((q, r));
    }
    let cuts = fitted(&expr.meta()?.grid.axes()[..1], most).remove(0);
    let expr = expr.rechunk(Grid::new([cuts.clone(), AxisGrid::whole(columns)]), at);
    let by_rows = || Needs::new([Need::Block { of: 0 }, Need::All]);
    let heights = AxisGrid::from_sizes(cuts.sizes().map(|size| size.min(columns)));
    let meta = Meta::new(DType::F64, Grid::new([heights.clone(), AxisGrid::whole(columns)]));
    let triangle = Arc::new(Matrix(MatrixOp::Triangle));
    let triangles = Expr::block(triangle, [(expr.clone(), by_rows())], meta, at);
    let (below, r) = factors(&triangles, with_columns, at)?;
    let q = below.map(|below| {
        let below = below.rechunk(Grid::new([heights, AxisGrid::whole(columns)]), at);
        let meta = Meta::new(DType::F64, Grid::new([cuts, AxisGrid::whole(columns)]));
        let inputs = [(expr, by_rows()), (below, by_rows())];
        Expr::block(Arc::new(Matrix(MatrixOp::OrthonormalTimes)), inputs, meta, at)
    });
    Ok((q, r))
}

/// A view of `rows` of the decomposition that [`MatrixOp::Singular`] makes.
fn part(expr: &Expr, start: u64, rows: u64, columns: u64, at: Line) -> Expr {
    view(expr, Access::new([along(0, start, 1), along(1, 0, 1)]), &[rows, columns], at)
}

fn turned(expr: &Expr, at: Line) -> Result<Expr> {
    let shape = expr.meta()?.shape();
    let rank = shape.len();
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(rank - 2, rank - 1);
    let (access, shape) = permuted(&order, &shape);
    Ok(view(expr, access, &shape, at))
}

/// U, if it is asked for, the singular values, and the transpose of V, of a matrix of doubles.
fn decomposed(expr: &Expr, with_columns: bool, at: Line) -> Result<(Option<Expr>, Expr, Expr)> {
    let [rows, columns] = sides(expr, "svd", at)?;
    if rows < columns {
        let (u, values, vt) = decomposed(&turned(expr, at)?, true, at)?;
        let vectors = u.map_or_else(|| turned(&vt, at), |u| turned(&u, at))?;
        return Ok((Some(turned(&vt, at)?), values, vectors));
    }
    let (q, r) = factors(expr, with_columns, at)?;
    let all = at_once(MatrixOp::Singular, &[&r], [2 * columns + 1, columns], at);
    let values = Access::new([AxisView::At(columns), along(0, 0, 1)]);
    let values = view(&all, values, &[columns], at);
    let u = q.map(|q| {
        let (q, u) = (Array::<f64>::from_expr(q), part(&all, 0, columns, columns, at));
        q.matmul(&Array::from_expr(u)).expr
    });
    Ok((u, values, part(&all, columns + 1, columns, columns, at)))
}

/// The side of the matrices along the last two axes, which are square.
fn side(expr: &Expr, what: &str, at: Line) -> Result<u64> {
    let shape = expr.meta()?.shape();
    match shape.last_chunk() {
        Some(&[rows, columns]) if rows == columns && rows <= WIDE => Ok(rows),
        _ => {
            let message = format!("{what} of an array of shape {}", shape_text(&shape));
            let help = format!("it takes square matrices of {WIDE} rows at the most");
            Err(mistake(at)(message).help(help))
        }
    }
}

/// `op` of the matrices along the last two axes, which are square; and `with` others of as many rows.
fn of_squares(
    op: MatrixOp,
    expr: &Expr,
    with: Option<&Expr>,
    what: &str,
    at: Line,
) -> Result<Expr> {
    let rows = side(expr, what, at)?;
    let shape = expr.meta()?.shape();
    let rank = shape.len();
    let mut made: Dims = shape.clone();
    if let Some(with) = with {
        let other = with.meta()?.shape();
        if other.len() != rank || other[..rank - 1] != shape[..rank - 1] {
            let (a, b) = (shape_text(&shape), shape_text(&other));
            return Err(mistake(at)(format!("{what} of shapes {a} and {b}")));
        }
        made[rank - 1] = other[rank - 1];
    }
    if op == MatrixOp::Determinant {
        made[rank - 2..].fill(1);
    }
    if made.contains(&0) || rows == 0 {
        let value = if op == MatrixOp::Determinant { 1.0 } else { 0.0 };
        return Ok(Expr::constant(Scalar::F64(value), Grid::whole(&made), at));
    }
    let cuts = |shape: &[u64]| {
        let (batch, matrix) = shape.split_at(rank - 2);
        let batch = batch.iter().map(|&len| AxisGrid::regular(len, 1));
        Grid::new(batch.chain(matrix.iter().map(|&len| AxisGrid::whole(len))))
    };
    let needs = || {
        Needs::new((0..rank).map(|of| if of < rank - 2 { Need::Block { of } } else { Need::All }))
    };
    let mut inputs = vec![(expr.rechunk(cuts(&shape), at), needs())];
    if let Some(with) = with {
        inputs.push((with.rechunk(cuts(&with.meta()?.shape()), at), needs()));
    }
    Ok(Expr::block(Arc::new(Matrix(op)), inputs, Meta::new(DType::F64, cuts(&made)), at))
}

/// What computing in doubles gave, in the dtype of the result.
fn real(expr: Expr, of: &Expr, at: Line) -> Result<Expr> {
    Ok(if of.meta()?.dtype == DType::F32 { cast(&expr, DType::F32, at) } else { expr })
}

impl<T: Kind> Array<T> {
    fn doubles(&self, at: Line) -> Expr {
        cast(&self.expr, DType::F64, at)
    }

    /// The factors Q and R of a matrix of any number of rows and up to 2048 columns (or the other way round): Q has
    /// orthonormal columns, R is an upper triangle whose diagonal is not negative, and their product is the matrix. A matrix that is wider than
    /// tall is held whole. NumPy's `linalg.qr`, whose R may have other signs.
    /// ```
    /// use freeboard::{Session, array::random};
    ///
    /// let x = random(1).normal([100_000, 4]).rechunk([10_000, -1]);
    /// let (q, r) = x.qr();
    /// let session = Session::builder().memory("256MiB").build()?;
    /// let far = session.compute((q.matmul(&r) - &x).abs().max(..).item())?;
    /// assert!(far < 1e-12);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn qr(&self) -> (Array<T::Mean>, Array<T::Mean>) {
        let at = Location::caller();
        let both = factors(&self.doubles(at), true, at).and_then(|(q, r)| {
            let q = q.ok_or_else(|| Error::internal("columns"))?;
            Ok((real(q, &self.expr, at)?, real(r, &self.expr, at)?))
        });
        match both {
            Ok((q, r)) => (Array::from_expr(q), Array::from_expr(r)),
            Err(error) => {
                let failed = || Array::from_expr(Expr::failed(error.clone(), at));
                (failed(), failed())
            }
        }
    }

    /// The singular value decomposition of a matrix as [`qr`](Array::qr) takes it: U with orthonormal columns, the singular values from the
    /// greatest on, and the transpose of V. Only as many columns of U and rows of Vᵀ as there are
    /// singular values: NumPy's `linalg.svd(x, full_matrices=False)`. In each row of Vᵀ (of a wide matrix: in each column of U) the greatest
    /// element is positive.
    #[track_caller]
    pub fn svd(&self) -> Svd<T::Mean> {
        let at = Location::caller();
        let all = decomposed(&self.doubles(at), true, at).and_then(|(u, values, vt)| {
            let u = u.ok_or_else(|| Error::internal("columns"))?;
            let real = |expr| -> Result<_> { Ok(Array::from_expr(real(expr, &self.expr, at)?)) };
            Ok(Svd { u: real(u)?, values: real(values)?, vt: real(vt)? })
        });
        all.unwrap_or_else(|error: Error| {
            let failed = || Array::from_expr(Expr::failed(error.clone(), at));
            Svd { u: failed(), values: failed(), vt: failed() }
        })
    }

    /// The singular values of a matrix as [`qr`](Array::qr) takes it, from the greatest on.
    #[track_caller]
    pub fn singular_values(&self) -> Array<T::Mean> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let x = self.doubles(at);
            let [rows, columns] = sides(&x, "svd", at)?;
            let x = if rows < columns { turned(&x, at)? } else { x };
            real(decomposed(&x, false, at)?.1, &self.expr, at)
        })
    }

    /// The solutions of `self · x = b`, for square matrices along the last two axes and as many `b`, of an axis less or
    /// matrices themselves. A singular matrix ends the run with an error.
    #[track_caller]
    pub fn solve(&self, b: &Array<T>) -> Array<T::Mean> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let rank = self.meta()?.grid.rank();
            let mut right = b.doubles(at);
            let is_vector = b.meta()?.grid.rank() == 1 && rank == 2;
            if is_vector {
                let len = b.meta()?.shape()[0];
                right = view(&right, Access::new([along(0, 0, 1)]), &[len, 1], at);
            }
            let x = of_squares(MatrixOp::Solve, &self.doubles(at), Some(&right), "solve", at)?;
            let x = real(x, &self.expr, at)?;
            Ok(match is_vector {
                true => {
                    let len = x.meta()?.shape()[0];
                    view(&x, Access::new([along(0, 0, 1), AxisView::At(0)]), &[len], at)
                }
                false => x,
            })
        })
    }

    /// The inverses of the square matrices along the last two axes.
    #[track_caller]
    pub fn inv(&self) -> Array<T::Mean> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let x = self.doubles(at);
            let side = side(&x, "inv", at)?;
            let (access, shape) =
                broadcast(&[side, side], x.meta()?.shape()).map_err(mistake(at))?;
            let one = view(&eye::<f64>(side as usize).expr, access, &shape, at);
            real(of_squares(MatrixOp::Solve, &x, Some(&one), "inv", at)?, &self.expr, at)
        })
    }

    /// The determinants of the square matrices along the last two axes.
    #[track_caller]
    pub fn det(&self) -> Array<T::Mean> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let x = of_squares(MatrixOp::Determinant, &self.doubles(at), None, "det", at)?;
            let shape = x.meta()?.shape();
            let batch = shape.len() - 2;
            let axes =
                (0..shape.len()).map(|i| if i < batch { along(i, 0, 1) } else { AxisView::At(0) });
            real(view(&x, Access::new(axes), &shape[..batch], at), &self.expr, at)
        })
    }

    /// The lower triangles whose products with their transposes are the symmetric matrices along the last two axes, of
    /// which the lower triangles are read. One that is not positive definite ends the run with an error.
    #[track_caller]
    pub fn cholesky(&self) -> Array<T::Mean> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let x = of_squares(MatrixOp::Cholesky, &self.doubles(at), None, "cholesky", at)?;
            real(x, &self.expr, at)
        })
    }

    /// The `x` for which `self · x` is nearest to `b`, a vector or the columns of a matrix; of many, the shortest. Singular values no greater than
    /// `rcond` times the greatest count as zero: without one, the precision of the dtype times the greater side, as in NumPy.
    /// ```
    /// use freeboard::{Session, array::{linspace, ones, stack}};
    ///
    /// let t = linspace(0.0, 1.0, 1000);
    /// let y = &t * 3.0 + 2.0;
    /// let line = stack([&t, &ones([1000])], 1).lstsq(&y, None);
    /// let session = Session::builder().memory("128MiB").build()?;
    /// let (found, rank) = session.compute((&line.solution, line.rank.item()))?;
    /// assert!((found[0] - 3.0).abs() < 1e-12 && (found[1] - 2.0).abs() < 1e-12);
    /// assert_eq!(rank, 2);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn lstsq(&self, b: &Array<T>, rcond: Option<f64>) -> LeastSquares<T::Mean> {
        let at = Location::caller();
        let (a, right) = (self.cast::<f64>(), b.cast::<f64>());
        let Svd { u, values, vt } = a.svd();
        let (inverse, rank) = inverted(&values, self.cutoff(rcond));
        let is_vector = right.rank().is_ok_and(|rank| rank == 1);
        let inverse = if is_vector { inverse } else { inverse.expand_dims(1) };
        let solution = vt.t().matmul(&(inverse * u.t().matmul(&right)));
        let rest = right - a.matmul(&solution);
        let residuals = rest.square().sum(0);
        let real = |array: Array<f64>| kept(at, || real(array.expr, &self.expr, at));
        LeastSquares {
            solution: Array::from_expr(real(solution)),
            residuals: Array::from_expr(real(residuals)),
            rank,
            singular_values: Array::from_expr(real(values)),
        }
    }

    /// The pseudo-inverse of a matrix as [`qr`](Array::qr) takes it, by its singular values, of which those no greater than
    /// `rcond` times the greatest count as zero.
    #[track_caller]
    pub fn pinv(&self, rcond: Option<f64>) -> Array<T::Mean> {
        let at = Location::caller();
        let Svd { u, values, vt } = self.cast::<f64>().svd();
        let (inverse, _) = inverted(&values, self.cutoff(rcond));
        let inverse = vt.t().matmul(&(inverse.expand_dims(1) * u.t()));
        Array::from_expr(kept(at, || real(inverse.expr, &self.expr, at)))
    }

    /// How many singular values of a matrix as [`qr`](Array::qr) takes it are greater than `rcond` times the
    /// greatest.
    #[track_caller]
    pub fn matrix_rank(&self, rcond: Option<f64>) -> Array<i64> {
        inverted(&self.cast::<f64>().singular_values(), self.cutoff(rcond)).1
    }

    /// The root of the sum of squares along `axes`: the length of vectors, the Frobenius norm of matrices. Computed in doubles.
    #[track_caller]
    pub fn norm(&self, axes: impl Into<Axes>) -> Array<T::Mean> {
        let at = Location::caller();
        let length = self.cast::<f64>().square().sum(axes).sqrt();
        Array::from_expr(kept(at, || real(length.expr, &self.expr, at)))
    }

    /// What part of the greatest singular value counts as zero.
    fn cutoff(&self, rcond: Option<f64>) -> f64 {
        let (Ok(shape), Ok(dtype)) = (self.shape(), self.dtype()) else { return 0.0 };
        let precision = if dtype == DType::F32 { f32::EPSILON.into() } else { f64::EPSILON };
        rcond.unwrap_or(precision * shape.into_iter().max().unwrap_or(0) as f64)
    }
}

/// The inverses of singular values, 0 of those that count as zero, and how many do not.
#[track_caller]
fn inverted(values: &Array<f64>, cutoff: f64) -> (Array<f64>, Array<i64>) {
    let counts = values.greater(values.max(super::keepdims(0)) * cutoff);
    (counts.choose(values.reciprocal(), 0.0), counts.count_nonzero(..))
}

/// A singular value decomposition, made by [`Array::svd`].
#[derive(Clone, Debug)]
pub struct Svd<T: Kind> {
    /// Orthonormal columns, one for each singular value.
    pub u: Array<T>,
    /// The singular values, from the greatest on.
    pub values: Array<T>,
    /// Orthonormal rows, one for each singular value.
    pub vt: Array<T>,
}

/// What [`Array::lstsq`] finds.
#[derive(Clone, Debug)]
pub struct LeastSquares<T: Kind> {
    /// The solution: a vector, or a column for each of the right side's.
    pub solution: Array<T>,
    /// The sum of squares of what is left, for each column. NumPy gives none where the rank is less than the number of columns.
    pub residuals: Array<T>,
    /// The rank of the matrix.
    pub rank: Array<i64>,
    /// Its singular values, from the greatest on.
    pub singular_values: Array<T>,
}

#[cfg(test)]
mod tests {
    use super::super::zeros;
    use super::*;

    #[test]
    fn shapes_and_mistakes() {
        let says = |text: String, start: &str| assert!(text.starts_with(start), "{text}");
        let x = zeros::<f32>([100_000, 30]).rechunk([7, 11]);
        let (q, r) = x.qr();
        assert_eq!((q.shape().unwrap(), r.shape().unwrap()), (vec![100_000, 30], vec![30, 30]));
        assert_eq!(q.dtype().unwrap(), DType::F32);
        let Svd { u, values, vt } = x.t().svd();
        assert_eq!(u.shape().unwrap(), [30, 30]);
        assert_eq!((values.shape().unwrap(), vt.shape().unwrap()), (vec![30], vec![30, 100_000]));
        says(
            zeros::<f32>([3]).qr().0.to_string(),
            "qr of an array of shape (3,); it takes a matrix",
        );
        says(
            zeros::<i8>([3000, 3000]).qr().1.to_string(),
            "qr of a matrix of shape (3000, 3000) at",
        );
        let batch = zeros::<i16>([4, 3, 3]);
        assert_eq!(batch.inv().shape().unwrap(), [4, 3, 3]);
        assert_eq!(batch.det().shape().unwrap(), [4]);
        assert_eq!(zeros::<f64>([3, 3]).solve(&zeros([3])).shape().unwrap(), [3]);
        says(
            zeros::<f64>([3, 3]).solve(&zeros([4])).to_string(),
            "solve of shapes (3, 3) and (4, 1) at",
        );
        says(zeros::<f64>([3, 4]).inv().to_string(), "inv of an array of shape (3, 4) at ");
        let fit = x.lstsq(&zeros([100_000, 2]), None);
        assert_eq!(fit.solution.shape().unwrap(), [30, 2]);
        assert!(fit.rank.rank().unwrap() == 0 && fit.residuals.shape().unwrap() == [2]);
        assert_eq!(x.pinv(Some(1e-3)).shape().unwrap(), [30, 100_000]);
    }
}
