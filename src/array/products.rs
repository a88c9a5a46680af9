//! Products of matrices, and sums of products over any axes.
//!
//! Each is one array of partial products, (shared…, batch…, rows…, columns…), with an element
//! along the shared axes for each of their blocks: a block of it is the product of a block of the
//! left operand and one of the right. Their sum is an ordinary reduction: partial
//! products of float32 are added up in doubles, those of integers wrap. Operands are read through
//! their views, so a transposed one is not copied. Blocks follow the operands' chunks; they are
//! joined or divided where the product of such blocks would be slow, or would take much memory.

use super::{
    Array, Axes, Kind, Line, Operand,
    args::{automatic, fitted},
    cast,
    create::CHUNK,
    mistake,
    ops::combine,
    reduce::reduce,
    shape::{along, permuted, rechunked, view},
};
use crate::{
    error::Result,
    expr::{Access, AxisView, Expr, Need, Needs, shape_text},
    kernel::{Binary, FoldOp, Product, promote::result_type},
};
use freeboard_formats::{AxisGrid, DType, Dims, Grid, Meta, Scalar};
use std::{iter, panic::Location, sync::Arc};

/// The sides of the blocks of large matrices, at the most. Three such blocks of float64 are
/// 96 MiB, and a processor multiplies them as fast as larger ones.
const SIDE: u64 = 2048;

impl<T: Kind> Array<T> {
    /// The product of matrices, which lie along the last two axes; the axes before broadcast. An
    /// array of one axis is a row on the left, a column on the right, and the result lacks that
    /// axis: NumPy's `@`. Integers wrap; of `bool` it is whether any pair is true.
    /// ```
    /// use freeboard::{array::{arange, ones}, Session};
    ///
    /// let m = ones::<f64>([3, 4]);
    /// let x = arange(0.0, 4.0, 1.0);
    /// let session = Session::builder().memory("128MiB").build()?;
    /// let y = session.compute(m.matmul(&x))?;
    /// assert_eq!(y.as_slice().unwrap(), [6.0, 6.0, 6.0]);
    /// assert_eq!(m.matmul(&m.t()).shape()?, [3, 3]);
    /// assert_eq!(m.tensordot(&m, 0, 0).shape()?, [4, 4]);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn matmul(&self, other: &Array<T>) -> Array<T> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let (a, b) = (self.meta()?.shape(), other.meta()?.shape());
            if a.is_empty() || b.is_empty() {
                let error = mistake(at)("a matrix product of an array without axes".into());
                return Err(error.help("`*` multiplies by a number"));
            }
            let (rows, columns) = ((a.len() - 1).min(1), (b.len() - 1).min(1));
            product(&self.expr, &other.expr, [rows, 1, columns], "matmul", at)
        })
    }

    /// The sums of products over the last axis of this array and the one before the last of the other
    /// (or its only one): NumPy's `dot`. Of an array without axes it is the product with it.
    #[track_caller]
    pub fn dot(&self, other: &Array<T>) -> Array<T> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let (a, b) = (self.meta()?.grid.rank(), other.meta()?.grid.rank());
            match (a, b) {
                (0, _) | (_, 0) => Ok(combine(Binary::Multiply, self.term(), other.term(), at)),
                _ => contracted([&self.expr, &other.expr], [&[a - 1], &[b.max(2) - 2]], "dot", at),
            }
        })
    }

    /// The sums of products over the last axes of both: NumPy's `inner`. Of an array without axes
    /// it is the product with it.
    #[track_caller]
    pub fn inner(&self, other: &Array<T>) -> Array<T> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let (a, b) = (self.meta()?.grid.rank(), other.meta()?.grid.rank());
            match (a, b) {
                (0, _) | (_, 0) => Ok(combine(Binary::Multiply, self.term(), other.term(), at)),
                _ => contracted([&self.expr, &other.expr], [&[a - 1], &[b - 1]], "inner", at),
            }
        })
    }

    /// The sum of products of all elements of two arrays of equal shape.
    #[track_caller]
    pub fn vdot(&self, other: &Array<T>) -> Array<T> {
        self.sum_of_products(other, (..).into(), (..).into(), "vdot", Location::caller())
    }

    /// The sums of products over some axes of this array and as many of the other, pair by pair. The
    /// result has this array's other axes, then the other's: NumPy's `tensordot`. With no axes
    /// (`Vec::<i64>::new()`) it is the product of every element with every other.
    #[track_caller]
    pub fn tensordot(
        &self,
        other: &Array<T>,
        axes: impl Into<Axes>,
        other_axes: impl Into<Axes>,
    ) -> Array<T> {
        let (axes, other_axes) = (axes.into(), other_axes.into());
        self.sum_of_products(other, axes, other_axes, "tensordot", Location::caller())
    }

    fn sum_of_products(
        &self,
        other: &Array<T>,
        axes: Axes,
        other_axes: Axes,
        name: &str,
        at: Line,
    ) -> Array<T> {
        Array::<T>::build(at, || {
            let a = axes.resolve(self.meta()?.grid.rank()).map_err(mistake(at))?;
            let b = other_axes.resolve(other.meta()?.grid.rank()).map_err(mistake(at))?;
            contracted([&self.expr, &other.expr], [&a, &b], name, at)
        })
    }

    /// Every element of this array times every one of the other; both have one axis.
    #[track_caller]
    pub fn outer(&self, other: &Array<T>) -> Array<T> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let (a, b) = (self.meta()?.shape(), other.meta()?.shape());
            if (a.len(), b.len()) != (1, 1) {
                let (a, b) = (shape_text(&a), shape_text(&b));
                let message = format!("an outer product of shapes {a} and {b}; both have one axis");
                return Err(mistake(at)(message).help("`tensordot` without axes takes any shapes"));
            }
            let column = view(&self.expr, Access::new([along(0, 0, 1)]), &[a[0], 1], at);
            let column = Array::<T>::from_expr(column);
            Ok(combine(Binary::Multiply, column.term(), other.term(), at))
        })
    }
}

/// The sums of products over the axes `axes` of each side.
fn contracted(sides: [&Expr; 2], axes: [&[usize]; 2], name: &str, at: Line) -> Result<Expr> {
    let [a, b] = sides;
    if axes[0].len() != axes[1].len() {
        let message = format!("`{name}` over {} axes and {}", axes[0].len(), axes[1].len());
        return Err(mistake(at)(message));
    }
    let shapes = [a.meta()?.shape(), b.meta()?.shape()];
    let free = |side: usize| (0..shapes[side].len()).filter(move |i| !axes[side].contains(i));
    let left: Vec<usize> = free(0).chain(axes[0].iter().copied()).collect();
    let right: Vec<usize> = axes[1].iter().copied().chain(free(1)).collect();
    let turned = |expr: &Expr, order: &[usize], shape: &[u64]| {
        let (access, shape) = permuted(order, shape);
        view(expr, access, &shape, at)
    };
    let (a, b) = (turned(a, &left, &shapes[0]), turned(b, &right, &shapes[1]));
    product(&a, &b, [free(0).count(), axes[0].len(), free(1).count()], name, at)
}

/// The product of `a`, whose axes are those of a batch, `rows` and `shared`, with `b`, whose axes are
/// those of a batch, `shared` and `columns`.
fn product(
    a: &Expr,
    b: &Expr,
    [rows, shared, columns]: [usize; 3],
    name: &str,
    at: Line,
) -> Result<Expr> {
    let dtype = result_type(a.meta()?.dtype, b.meta()?.dtype);
    let (a, b) = (cast(a, dtype, at), cast(b, dtype, at));
    let (left, right) = (a.meta()?, b.meta()?);
    let (left_shape, right_shape) = (left.shape(), right.shape());
    let own = [left_shape.len() - rows - shared, right_shape.len() - shared - columns];
    let wrong = |what: &str| {
        let (a, b) = (shape_text(&left_shape), shape_text(&right_shape));
        mistake(at)(format!("shapes {a} and {b} {what} in `{name}`"))
    };
    if left_shape[own[0] + rows..] != right_shape[own[1]..own[1] + shared] {
        return Err(wrong("have axes of unequal lengths to sum over"));
    }
    let sides = [(&left_shape, own[0]), (&right_shape, own[1])];
    let batch = broadcast_batch(sides).ok_or_else(|| wrong("do not broadcast"))?;
    let kept = left_shape[own[0]..own[0] + rows].iter().chain(&right_shape[own[1] + shared..]);
    let shape: Dims = batch.iter().chain(kept).copied().collect();
    if shape.contains(&0) || left_shape.contains(&0) {
        let grid = automatic(&shape, dtype.size() as u64, CHUNK);
        return Ok(Expr::constant(Scalar::zero(dtype), grid, at));
    }

    let cuts = Cuts::new([&left.grid, &right.grid], [rows, shared, columns], &batch);
    let counts = cuts.shared.iter().map(AxisGrid::count);
    let each = counts.clone().map(|count| AxisGrid::regular(count, 1));
    let made = each.chain(cuts.batch.iter().chain(&cuts.rows).chain(&cuts.columns).cloned());
    let grid = Grid::new(made);
    let needs_batch = |own: usize, shape: &[u64]| {
        let skip = batch.len() - own;
        let need = |i: usize| match shape[i] == batch[skip + i] {
            true => Need::same(shared + skip + i),
            false => Need::All,
        };
        (0..own).map(need).collect::<Vec<_>>()
    };
    let blocks = || (0..shared).map(|of| Need::Block { of });
    let kept = |from: usize, count: usize| (from..from + count).map(Need::same);
    let first = shared + batch.len();
    let left_needs = needs_batch(own[0], &left_shape).into_iter().chain(kept(first, rows));
    let left_needs = Needs::new(left_needs.chain(blocks()));
    let right_needs = needs_batch(own[1], &right_shape).into_iter().chain(blocks());
    let right_needs = Needs::new(right_needs.chain(kept(first + rows, columns)));
    let on = |expr: &Expr, grid: &Grid, from: usize| {
        let mut axes = grid.axes().to_vec();
        axes[from..from + shared].clone_from_slice(&cuts.shared);
        rechunked(expr, Grid::new(axes), at)
    };
    let inputs = [
        (on(&a, &left.grid, own[0] + rows), left_needs),
        (on(&b, &right.grid, own[1]), right_needs),
    ];
    let mut meta = Meta::new(dtype, grid);
    let names = left.axes[own[0]..own[0] + rows].iter().chain(&right.axes[own[1] + shared..]);
    meta.axes[first..].iter_mut().zip(names).for_each(|(name, from)| name.clone_from(from));
    let kernel = Product { dtype, batch: batch.len(), rows, shared, columns };
    let partial = Expr::block(Arc::new(kernel), inputs, meta, at);
    if counts.clone().all(|count| count == 1) {
        let first = iter::repeat_n(AxisView::At(0), shared);
        let rest = (0..shape.len()).map(|axis| along(axis, 0, 1));
        return Ok(view(&partial, Access::new(first.chain(rest)), &shape, at));
    }
    let op = if dtype == DType::Bool { FoldOp::Any } else { FoldOp::Sum };
    let axes: Axes = (0..shared as i64).collect();
    Ok(cast(&reduce(&partial, op, &axes, at), dtype, at))
}

/// The shape to which the axes of two batches broadcast: the first so many of each shape.
fn broadcast_batch([(a, own_a), (b, own_b)]: [(&Dims, usize); 2]) -> Option<Dims> {
    let len = |shape: &[u64], behind: usize| match shape.len().checked_sub(behind + 1) {
        Some(axis) => shape[axis],
        None => 1,
    };
    let both = |behind: usize| match (len(&a[..own_a], behind), len(&b[..own_b], behind)) {
        (a, b) if a == b || b == 1 => Some(a),
        (1, b) => Some(b),
        _ => None,
    };
    (0..own_a.max(own_b)).rev().map(both).collect()
}

/// How the axes of a product are cut.
#[derive(Debug)]
struct Cuts {
    batch: Vec<AxisGrid>,
    rows: Vec<AxisGrid>,
    shared: Vec<AxisGrid>,
    columns: Vec<AxisGrid>,
}

impl Cuts {
    fn new([left, right]: [&Grid; 2], [rows, shared, columns]: [usize; 3], batch: &[u64]) -> Cuts {
        let own = [left.rank() - rows - shared, right.rank() - shared - columns];
        let finer = |a: &AxisGrid, b: &AxisGrid| match a.max_chunk() <= b.max_chunk() {
            true => a.clone(),
            false => b.clone(),
        };
        let (left_batch, left) = left.axes().split_at(own[0]);
        let (right_batch, right) = right.axes().split_at(own[1]);
        let (rows, left) = left.split_at(rows);
        let (right, columns) = right.split_at(shared);
        let shared: Vec<AxisGrid> = left.iter().zip(right).map(|(a, b)| finer(a, b)).collect();
        let len = |axes: &[AxisGrid]| axes.iter().map(AxisGrid::len).fold(1, u64::saturating_mul);
        let [m, k, n] = [rows, &shared, columns].map(|axes| len(axes).min(SIDE));
        let most = SIDE * SIDE;
        let rows = fitted(rows, most / k.max(n));
        let shared = fitted(&shared, most / m.max(n));
        let columns = fitted(columns, most / m.max(k));

        let block = |axes: &[AxisGrid]| axes.iter().map(AxisGrid::max_chunk).product::<u64>();
        let [m, k, n] = [&rows, &shared, &columns].map(|axes| block(axes));
        let cut = |(i, &len): (usize, &u64)| {
            let of = |axes: &[AxisGrid]| {
                let axis = (i + axes.len()).checked_sub(batch.len())?;
                Some(axes[axis].clone()).filter(|axis| axis.len() == len)
            };
            match (of(left_batch), of(right_batch)) {
                (Some(a), Some(b)) => finer(&a, &b),
                (Some(axis), None) | (None, Some(axis)) => axis,
                (None, None) => AxisGrid::whole(len),
            }
        };
        let batch: Vec<AxisGrid> = batch.iter().enumerate().map(cut).collect();
        let batch = fitted(&batch, (most / (m * k).max(k * n).max(m * n)).max(1));
        Cuts { batch, rows, shared, columns }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ones, zeros};
    use super::*;

    #[test]
    fn large_products_in_blocks_of_tens_of_mebibytes() {
        let chunks = |array: Array<f64>| array.chunksize().unwrap();
        let a = zeros::<f64>([16000, 16000]).rechunk([2000, 2000]);
        assert_eq!(chunks(a.matmul(&a.t())), [2000, 2000]);
        let tall = zeros::<f64>([10_000_000, 4]).rechunk([10_000, 4]);
        assert_eq!(chunks(tall.matmul(&zeros([4, 3]))), [270_000, 3]);
        let many = zeros::<f64>([1000, 500, 500]).rechunk([100, 500, 500]);
        assert_eq!(chunks(many.matmul(&many)), [15, 500, 500]);
    }

    #[test]
    fn shapes_and_mistakes_are_numpys() {
        let x = |shape: &[i64]| ones::<i32>(shape);
        let shape = |array: Array<i32>| array.shape().unwrap();
        assert!(shape(x(&[3]).matmul(&x(&[3]))).is_empty());
        assert_eq!(shape(x(&[2, 3]).matmul(&x(&[3]))), [2]);
        assert_eq!(shape(x(&[3]).matmul(&x(&[5, 1, 3, 4]))), [5, 1, 4]);
        assert_eq!(shape(x(&[7, 1, 2, 3]).matmul(&x(&[5, 3, 4]))), [7, 5, 2, 4]);
        assert_eq!(shape(x(&[5, 0]).matmul(&x(&[0, 2]))), [5, 2]);
        assert_eq!(shape(x(&[2, 3]).dot(&x(&[4, 3, 5]))), [2, 4, 5]);
        assert_eq!(shape(x(&[2, 3]).dot(&x(&[]))), [2, 3]);
        assert_eq!(shape(x(&[2, 3]).inner(&x(&[4, 3]))), [2, 4]);
        assert!(shape(x(&[2, 3]).vdot(&x(&[2, 3]))).is_empty());
        assert_eq!(shape(x(&[2, 3, 4]).tensordot(&x(&[4, 5, 2]), [2, 0], [0, 2])), [3, 5]);
        assert_eq!(shape(x(&[2]).outer(&x(&[5]))), [2, 5]);
        let says = |array: Array<i32>, text: &str| {
            let error = array.meta().unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        };
        says(
            x(&[2, 3]).matmul(&x(&[2, 3])),
            "shapes (2, 3) and (2, 3) have axes of unequal lengths to sum over in `matmul` at ",
        );
        says(
            x(&[2, 3, 4]).matmul(&x(&[5, 4, 2])),
            "shapes (2, 3, 4) and (5, 4, 2) do not broadcast in `matmul` at ",
        );
        says(x(&[2]).matmul(&x(&[])), "a matrix product of an array without axes at ");
        says(x(&[2, 2]).tensordot(&x(&[2, 2]), 0, [0, 1]), "`tensordot` over 1 axes and 2 at ");
        says(x(&[2, 2]).outer(&x(&[2])), "an outer product of shapes (2, 2) and (2,); both have");
    }
}
