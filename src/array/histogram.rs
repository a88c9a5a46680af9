//! How elements are distributed: histograms, and counts of integers.
//!
//! Each block is counted on its own; the counts are summed.

use super::{Array, Axes, Kind, Line, kept, mistake, reduce::reduce, shape::view};
use crate::{
    error::Result,
    expr::{Access, Expr, Need, Needs},
    kernel::{Bins, Counts, FoldOp},
};
use freeboard_formats::{AxisGrid, DType, Grid, Meta, Scalar};
use ndarray::ArrayView1;
use std::{panic::Location, sync::Arc};

/// The most bins: their counts are held for each thread, and their edges by the plan.
const MOST: u64 = 1 << 20;

fn counted(expr: &Expr, bins: Bins, at: Line) -> Result<Expr> {
    let count = match &bins {
        Bins::Edges { edges, .. } => edges.len() as u64 - 1,
        Bins::Integers(count) => *count,
    };
    if count > MOST {
        return Err(mistake(at)(format!("{count} bins; at most {MOST} can be counted")));
    }
    let meta = expr.meta()?;
    if meta.shape().contains(&0) || count == 0 {
        return Ok(Expr::constant(Scalar::I64(0), Grid::whole(&[count]), at));
    }
    let expr = match meta.grid.rank() {
        0 => view(expr, Access::new([]), &[1], at),
        _ => expr.clone(),
    };
    let grid = &expr.meta()?.grid;
    let rank = grid.rank();
    let blocks = grid.axes().iter().map(|axis| AxisGrid::regular(axis.count(), 1));
    let made = Grid::new(blocks.chain([AxisGrid::whole(count)]));
    let needs = Needs::new((0..rank).map(|of| Need::Block { of }));
    let kernel = Arc::new(Counts::new(bins, meta.dtype));
    let parts = Expr::block(kernel, [(expr.clone(), needs)], Meta::new(DType::I64, made), at);
    let blocks: Axes = (0..rank as i64).collect();
    Ok(reduce(&parts, FoldOp::Sum, &blocks, at))
}

/// The edges of `bins` of equal width over a range, as NumPy spaces them, in `dtype`.
fn spaced(bins: usize, (first, last): (f64, f64), dtype: DType) -> Result<Vec<f64>, String> {
    if bins == 0 || bins as u64 > MOST {
        return Err(format!("{bins} bins; 1 to {MOST} can be counted"));
    }
    if !first.is_finite() || !last.is_finite() {
        return Err(format!("supplied range of [{first}, {last}] is not finite"));
    }
    if first > last {
        return Err("max must be larger than min in range parameter".into());
    }
    let (first, last) = if first == last { (first - 0.5, last + 0.5) } else { (first, last) };
    let step = (last - first) / bins as f64;
    let rounded = |edge: f64| Scalar::F64(edge).cast(dtype).as_f64();
    let inner = (0..bins).map(|i| rounded(first + i as f64 * step));
    Ok(inner.chain([rounded(last)]).collect())
}

impl<T: Kind> Array<T> {
    /// How many elements lie in each of `bins` of equal width between two numbers, and the edges of the
    /// bins. What lies outside, or is NaN, is left out; the last bin has its upper edge too.
    /// ```
    /// use freeboard::array::linspace;
    ///
    /// let (counts, edges) = linspace(0.0, 1.0, 101).histogram(10, (0.0, 1.0));
    /// assert_eq!((counts.shape()?, edges.shape()?), (vec![10], vec![11]));
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn histogram(&self, bins: usize, range: (f64, f64)) -> (Array<i64>, Array<T::Mean>) {
        let at = Location::caller();
        let edges = self.meta().and_then(|meta| {
            let dtype = if meta.dtype == DType::F32 { DType::F32 } else { DType::F64 };
            Ok((spaced(bins, range, dtype).map_err(mistake(at))?, dtype))
        });
        match edges {
            Ok((edges, dtype)) => {
                let array = Array::from_ndarray(&ArrayView1::from(&edges)).cast_to(dtype);
                let bins = Bins::Edges { edges: edges.into(), even: true };
                let counts = kept(at, || counted(&self.expr, bins, at));
                (Array::from_expr(counts), Array::from_expr(array.expr))
            }
            Err(error) => (
                Array::from_expr(Expr::failed(error.clone(), at)),
                Array::from_expr(Expr::failed(error, at)),
            ),
        }
    }

    /// How many elements lie between neighbours of `edges`, which increase.
    #[track_caller]
    pub fn histogram_between(&self, edges: &[f64]) -> Array<i64> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            if edges.len() < 2 || !edges.is_sorted() || edges.iter().any(|edge| edge.is_nan()) {
                let message = "the edges of bins must be two at least, and increase";
                return Err(mistake(at)(message.into()));
            }
            counted(&self.expr, Bins::Edges { edges: edges.into(), even: false }, at)
        })
    }

    /// How often each integer below `minlength` occurs. As the result's length must be known before, a greater one
    /// ends the run with an error, and so does a negative one.
    #[track_caller]
    pub fn bincount(&self, minlength: u64) -> Array<i64> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let dtype = self.meta()?.dtype;
            if dtype.is_float() {
                let message = format!("bincount of {dtype}; it takes integers");
                return Err(mistake(at)(message).help("`.cast::<i64>()` converts the elements"));
            }
            counted(&self.expr, Bins::Integers(minlength), at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::zeros;

    #[test]
    fn shapes_and_mistakes() {
        let says = |text: String, start: &str| assert!(text.starts_with(start), "{text}");
        let x = zeros::<i16>([4, 5]);
        assert_eq!(x.histogram(7, (0.0, 1.0)).0.shape().unwrap(), [7]);
        assert_eq!(x.histogram_between(&[0.0, 1.0, 4.0]).shape().unwrap(), [2]);
        assert_eq!(x.bincount(9).shape().unwrap(), [9]);
        says(x.histogram(0, (0.0, 1.0)).1.to_string(), "0 bins; 1 to ");
        says(x.histogram(3, (2.0, 1.0)).0.to_string(), "max must be larger than min");
        says(x.histogram(3, (f64::NAN, 1.0)).0.to_string(), "supplied range of [NaN, 1] is not");
        says(x.histogram_between(&[1.0, 0.0]).to_string(), "the edges of bins must be two");
        says(zeros::<f32>([2]).bincount(3).to_string(), "bincount of float32; it takes integers");
    }
}
