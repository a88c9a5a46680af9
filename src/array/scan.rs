//! Running sums and products along an axis.
//!
//! Each block's total is taken first; of these few numbers, each block is told what comes before it, and
//! runs on from there. An axis of any length is so gone along in the memory of a block, and read twice.

use super::{Array, Kind, Line, args::axis_of, mistake};
use crate::{
    error::Result,
    expr::{Expr, Need, Needs},
    kernel::{LineOp, Lines, Scan},
};
use freeboard_formats::{AxisGrid, Grid, Meta, Scalar};
use std::{panic::Location, sync::Arc};

fn scanned(expr: &Expr, op: Scan, axis: i64, at: Line) -> Result<Expr> {
    let meta = expr.meta()?;
    let rank = meta.grid.rank();
    let axis = axis_of(axis, rank).map_err(mistake(at))?;
    let dtype = LineOp::Running(op).output(meta.dtype);
    if meta.shape().contains(&0) {
        return Ok(Expr::constant(Scalar::zero(dtype), meta.grid.clone(), at));
    }
    let lines = |op: LineOp, of: &Meta| Arc::new(Lines::new(op, &[axis], of.dtype));
    let blocks = Needs::blocks(rank);
    let made = Meta { dtype, ..meta.clone() };
    let first = (expr.clone(), blocks.clone());
    let count = meta.grid.axes()[axis].count();
    if count == 1 {
        return Ok(Expr::block(lines(LineOp::Running(op), meta), [first], made, at));
    }
    let along = |cuts: AxisGrid| {
        let mut axes = meta.grid.axes().to_vec();
        axes[axis] = cuts;
        Grid::new(axes)
    };
    let op_total = LineOp::Total(op);
    let one_each = along(AxisGrid::regular(count, 1));
    let totals =
        Meta { dtype: op_total.output(meta.dtype), grid: one_each.clone(), ..meta.clone() };
    // A total that is NaN, of infinities of either sign, is one of the sums.
    let of_totals = lines(LineOp::Before(Scan { without_nan: false, ..op }), &totals);
    let before = Meta { grid: along(AxisGrid::whole(count)), ..totals.clone() };
    let totals = Expr::block(lines(op_total, meta), [first.clone()], totals, at);
    let whole =
        Needs::new((0..rank).map(|of| if of == axis { Need::All } else { Need::Block { of } }));
    let before = Expr::block(of_totals, [(totals, whole)], before, at).rechunk(one_each, at);
    Ok(Expr::block(lines(LineOp::Running(op), meta), [first, (before, blocks)], made, at))
}

macro_rules! scans {
    ($($(#[$doc:meta])* $name:ident $product:literal $without_nan:literal;)*) => {
        impl<T: Kind> Array<T> {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self, axis: i64) -> Array<T::Sum> {
                let at = Location::caller();
                let op = Scan { product: $product, without_nan: $without_nan };
                Array::<T>::build(at, || scanned(&self.expr, op, axis, at))
            }
        )*}
    };
}

scans! {
    /// For each element, the sum of it and all before it along `axis`, in the dtypes of
    /// [`sum`](Array::sum).
    /// ```
    /// use freeboard::{Session, array::ones};
    ///
    /// let session = Session::builder().memory("128MiB").build()?;
    /// let counted = session.compute(&ones::<u8>([4]).cumsum(0))?;
    /// assert_eq!(counted.as_slice().unwrap(), [1u64, 2, 3, 4]);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    cumsum false false;
    /// For each element, the product of it and all before it along `axis`.
    cumprod true false;
    /// As [`cumsum`](Array::cumsum), of what is not NaN.
    nancumsum false true;
    /// As [`cumprod`](Array::cumprod), of what is not NaN.
    nancumprod true true;
}

#[cfg(test)]
mod tests {
    use super::super::zeros;
    use freeboard_formats::DType;

    #[test]
    fn shapes_and_mistakes() {
        let x = zeros::<i8>([4, 5]);
        assert_eq!(x.cumsum(-1).dtype().unwrap(), DType::I64);
        assert_eq!(zeros::<u8>([4]).cumprod(0).dtype().unwrap(), DType::U64);
        assert_eq!(zeros::<f32>([4, 0]).nancumsum(0).shape().unwrap(), [4, 0]);
        let text = x.cumsum(2).to_string();
        assert!(text.starts_with("axis 2 is out of range for an array of 2 axes at "), "{text}");
    }
}
