//! How elements are distributed: histograms, and counts of integers.
//!
//! Each block is counted on its own; the counts are summed.

use super::{Array, Axes, Kind, Line, cast, kept, mistake, reduce::reduce, shape::view};
use crate::{
    error::Result,
    expr::{Access, Expr, Need, Needs, shape_text},
    kernel::{Bins, Counts, Edges, FoldOp, Joint},
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

/// The bins of one variable of [`histogramdd`]: `(count, (first, last))` of equal width, or a list of edges, which increase.
#[derive(Clone, Debug)]
pub struct BinEdges(Result<Edges, String>);

impl From<(usize, (f64, f64))> for BinEdges {
    fn from((bins, range): (usize, (f64, f64))) -> BinEdges {
        BinEdges(
            spaced(bins, range, DType::F64).map(|edges| Edges { edges: edges.into(), even: true }),
        )
    }
}

impl From<Vec<f64>> for BinEdges {
    fn from(edges: Vec<f64>) -> BinEdges {
        BinEdges(checked(&edges).map(|()| Edges { edges: edges.into(), even: false }))
    }
}

/// Whether these are edges of bins.
fn checked(edges: &[f64]) -> Result<(), String> {
    match edges.len() < 2 || !edges.is_sorted() || edges.iter().any(|edge| edge.is_nan()) {
        true => Err("the edges of bins must be two at least, and increase".into()),
        false => Ok(()),
    }
}

/// How often several variables, arrays of one shape, lie in bins together: an axis of bins for each; and the edges of the bins. With weights,
/// which have the same shape, it is their sums. What lies outside, or is NaN, is left out.
/// ```
/// use freeboard::array::{histogramdd, linspace};
///
/// let x = linspace(0.0, 1.0, 101);
/// let bins = [(4, (0.0, 1.0)).into(), vec![0.0, 0.1, 1.0].into()];
/// let (counts, edges) = histogramdd(&[&x, &x.square()], bins, None);
/// assert_eq!((counts.shape()?, edges[0].shape()?), (vec![4, 2], vec![5]));
/// # Ok::<(), freeboard::Error>(())
/// ```
#[track_caller]
pub fn histogramdd<T: Kind>(
    variables: &[&Array<T>],
    bins: impl IntoIterator<Item = BinEdges>,
    weights: Option<&Array<T>>,
) -> (Array<f64>, Vec<Array<f64>>) {
    let at = Location::caller();
    let bins: Result<Vec<Edges>, String> = bins.into_iter().map(|BinEdges(bins)| bins).collect();
    let edges =
        bins.iter().flatten().map(|bins| Array::from_ndarray(&ArrayView1::from(&bins.edges)));
    let edges = edges.collect();
    let counts = kept(at, || {
        let exprs: Vec<&Expr> = variables.iter().map(|variable| &variable.expr).collect();
        jointly(&exprs, bins.map_err(mistake(at))?, weights.map(|weights| &weights.expr), at)
    });
    (Array::from_expr(counts), edges)
}

fn jointly(
    variables: &[&Expr],
    bins: Vec<Edges>,
    weights: Option<&Expr>,
    at: Line,
) -> Result<Expr> {
    let (Some(first), true) = (variables.first(), variables.len() == bins.len()) else {
        let message = format!("{} variables in bins of {}", variables.len(), bins.len());
        return Err(mistake(at)(message));
    };
    let lens: Vec<u64> = bins.iter().map(|bins| bins.bins() as u64).collect();
    let total = lens.iter().copied().fold(1, u64::saturating_mul);
    if total > MOST {
        return Err(mistake(at)(format!("{total} bins; at most {MOST} can be counted")));
    }
    let shape = first.meta()?.shape();
    let flat = |expr: &Expr| match shape.is_empty() {
        true => view(expr, Access::new([]), &[1], at),
        false => expr.clone(),
    };
    let grid = flat(first).meta()?.grid.clone();
    let rank = grid.rank();
    let mut inputs = Vec::new();
    for expr in variables.iter().copied().chain(weights) {
        let other = expr.meta()?.shape();
        if other != shape {
            let (a, b) = (shape_text(&shape), shape_text(&other));
            return Err(mistake(at)(format!("a histogram of arrays of shapes {a} and {b}")));
        }
        let needs = Needs::new((0..rank).map(|of| Need::Block { of }));
        inputs.push((cast(&flat(expr).rechunk(grid.clone(), at), DType::F64, at), needs));
    }
    if shape.contains(&0) {
        return Ok(Expr::constant(Scalar::F64(0.0), Grid::whole(&lens), at));
    }
    let blocks = grid.axes().iter().map(|axis| AxisGrid::regular(axis.count(), 1));
    let made = Grid::new(blocks.chain(lens.into_iter().map(AxisGrid::whole)));
    let kernel = Arc::new(Joint { bins, weighted: weights.is_some() });
    let parts = Expr::block(kernel, inputs, Meta::new(DType::F64, made), at);
    let blocks: Axes = (0..rank as i64).collect();
    Ok(reduce(&parts, FoldOp::Sum, &blocks, at))
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
            checked(edges).map_err(mistake(at))?;
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
                return Err(mistake(at)(message).help("cast them to an integer dtype"));
            }
            counted(&self.expr, Bins::Integers(minlength), at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::zeros;
    use super::histogramdd;

    #[test]
    fn joint_shapes_and_mistakes() {
        let says = |text: String, start: &str| assert!(text.starts_with(start), "{text}");
        let (x, y) = (zeros::<f32>([4, 5]), zeros::<f32>([4]));
        let even = || (3, (0.0, 1.0)).into();
        let (counts, edges) = histogramdd(&[&x, &x], [even(), vec![0.0, 1.0].into()], Some(&x));
        assert_eq!((counts.shape().unwrap(), edges[1].shape().unwrap()), (vec![3, 1], vec![2]));
        let told = |x: &[&super::Array<f32>], bins: Vec<super::BinEdges>| {
            histogramdd(x, bins, None).0.to_string()
        };
        says(
            told(&[&x, &y], vec![even(), even()]),
            "a histogram of arrays of shapes (4, 5) and (4,)",
        );
        says(told(&[&x], vec![even(), even()]), "1 variables in bins of 2 at ");
        says(told(&[&x], vec![vec![1.0].into()]), "the edges of bins must be two");
        says(told(&[&x; 3], vec![(200, (0.0, 1.0)).into(); 3]), "8000000 bins; at most 1048576");
    }

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
