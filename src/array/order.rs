//! What depends on the order of elements along axes: sorts, medians and other quantiles.
//!
//! All of a line is seen at once, so a block takes whole lines, as many as about 8 MiB hold, cut from the
//! array's own blocks along the other axes: how little that is, the shape of the array alone decides.

use super::{
    Array, Axes, Kind, Line,
    args::{automatic, axis_of},
    mistake,
    shape::{along, view},
    slice_str::Part,
};
use crate::{
    error::Result,
    expr::{Access, AxisView, Expr, Need, Needs, placeless},
    kernel::{LineOp, Lines, Method},
};
use freeboard_formats::{AxisGrid, Dims, Grid, Meta, Scalar};
use std::{panic::Location, sync::Arc};

/// The bytes of lines that a block is made of.
pub(super) const BAND: u64 = 8 << 20;

/// The array's cuts, but blocks that hold the axes `whole` whole, and are cut further along the others
/// until they have at most `bytes`.
pub(super) fn bands(meta: &Meta, whole: &[usize], bytes: u64) -> Vec<AxisGrid> {
    let mut axes = meta.grid.axes().to_vec();
    let line: u64 = whole.iter().map(|&axis| axes[axis].len()).fold(1, u64::saturating_mul);
    let unit = line.saturating_mul(meta.dtype.size() as u64).max(1);
    let others: Vec<usize> = (0..axes.len()).filter(|axis| !whole.contains(axis)).collect();
    let blocks: Dims = others.iter().map(|&axis| axes[axis].max_chunk()).collect();
    let fit = automatic(&blocks, unit, bytes).max_chunk();
    for (&axis, fit) in others.iter().zip(fit) {
        axes[axis] = cut(&axes[axis], fit.max(1));
    }
    for &axis in whole {
        axes[axis] = AxisGrid::whole(axes[axis].len());
    }
    axes
}

/// The cuts of `axis`, and more of them, so that no block is longer than `most`.
fn cut(axis: &AxisGrid, most: u64) -> AxisGrid {
    match axis.regular_chunk() {
        _ if axis.max_chunk() <= most => axis.clone(),
        // Parts as equal as can be; where they do not divide the block, the axis anew.
        Some(chunk) => match (most.div_ceil(2)..=most).rev().find(|&n| chunk.is_multiple_of(n)) {
            Some(part) => AxisGrid::regular(axis.len(), part),
            None => AxisGrid::regular(axis.len(), most),
        },
        None => {
            let parts = axis.sizes().flat_map(|size| {
                let count = size.div_ceil(most).max(1);
                (0..count).map(move |i| (i + 1) * size / count - i * size / count)
            });
            AxisGrid::from_sizes(parts)
        }
    }
}

/// `op` of all lines along `axes`: the array's axes, of which the first has what was made of a line, the others length 1.
/// No axis of the array has length 0.
pub(super) fn of_lines(expr: &Expr, op: LineOp, axes: &[usize], at: Line) -> Result<Expr> {
    let meta = expr.meta()?;
    let line: u64 = axes.iter().map(|&axis| meta.grid.axes()[axis].len()).product();
    let mut grid = bands(meta, axes, BAND);
    for &axis in axes {
        let len = if axis == axes[0] { op.len(line) } else { 1 };
        grid[axis] = AxisGrid::whole(len);
    }
    let need = |axis: usize| if axes.contains(&axis) { Need::All } else { Need::same(axis) };
    let needs = Needs::new((0..grid.len()).map(need));
    let (dtype, attributes) = (op.output(meta.dtype), placeless(&meta.attributes));
    let made = Meta { dtype, grid: Grid::new(grid), attributes, ..meta.clone() };
    let kernel = Lines::new(op, axes, meta.dtype);
    Ok(Expr::block(Arc::new(kernel), [(expr.clone(), needs)], made, at))
}

/// Quantiles along `axes`; with `listed`, along a new first axis.
fn quantiles(
    expr: &Expr,
    at: &[f64],
    axes: &Axes,
    (method, without_nan): (Method, bool),
    listed: bool,
    line: Line,
) -> Result<Expr> {
    let meta = expr.meta()?;
    let shape = meta.shape();
    let (reduced, kept) = axes.reduced(shape.len()).map_err(mistake(line))?;
    if let Some(beyond) = at.iter().find(|at| !(0.0..=1.0).contains(*at)) {
        let message = format!("quantiles must be in the range [0, 1], and not {beyond}");
        return Err(mistake(line)(message).help("percentiles are in the range [0, 100]"));
    }
    let op = LineOp::Quantiles { at: at.into(), method, without_nan };
    let mut out: Dims = Dims::new();
    if listed {
        out.push(at.len() as u64);
    }
    let is_reduced = |axis: usize| reduced.contains(&axis);
    let left = (0..shape.len()).filter(|&axis| kept || !is_reduced(axis));
    out.extend(left.map(|axis| if is_reduced(axis) { 1 } else { shape[axis] }));
    if shape.contains(&0) || at.is_empty() {
        let dtype = op.output(meta.dtype);
        if reduced.iter().any(|&axis| shape[axis] == 0) && !out.contains(&0) && !dtype.is_float() {
            return Err(mistake(line)("quantiles of no element: an axis has length 0".into()));
        }
        return Ok(Expr::constant(Scalar::F64(f64::NAN).cast(dtype), Grid::whole(&out), line));
    }
    // Along no axis, each element is a line; all elements are one of an axis put in front.
    let rank = shape.len();
    let front = reduced.is_empty();
    let (expr, along_axes) = if front {
        let mut deeper = Dims::from_elem(1, 1);
        deeper.extend(shape.iter().copied());
        let access = Access::new((0..rank).map(|axis| along(axis + 1, 0, 1)));
        (view(expr, access, &deeper, line), vec![0])
    } else {
        (expr.clone(), reduced.to_vec())
    };
    let made = of_lines(&expr, op, &along_axes, line)?;
    let mut next = usize::from(listed);
    let access = Access::new((0..rank + usize::from(front)).map(|axis| {
        let dropped = !kept || front;
        let first = axis == along_axes[0];
        if along_axes.contains(&axis) {
            let here = match (first, listed) {
                (true, true) => along(0, 0, 1),
                _ => AxisView::At(0),
            };
            next += usize::from(!dropped);
            here
        } else {
            next += 1;
            along(next - 1, 0, 1)
        }
    }));
    Ok(view(&made, access, &out, line))
}

const LINEAR: (Method, bool) = (Method::Linear, false);

impl<T: Kind> Array<T> {
    /// The elements in rising order along `axis`, NaNs last.
    /// ```
    /// use freeboard::{Array, Session, array::arange};
    ///
    /// let session = Session::builder().memory("128MiB").build()?;
    /// let x: Array<i64> = (arange(0i64, 10, 1) * 7i64) % 10i64;
    /// let (sorted, median) = session.compute((x.sort(0), x.median(..).item()))?;
    /// assert_eq!(sorted.as_slice().unwrap()[..3], [0, 1, 2]);
    /// assert_eq!(median, 4.5);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn sort(&self, axis: i64) -> Array<T> {
        let at = Location::caller();
        Array::<T>::build(at, || self.line_by_line(LineOp::Sort, axis, at))
    }

    /// The places of the elements along `axis` in rising order, NaNs last; of equal ones the first
    /// comes first.
    #[track_caller]
    pub fn argsort(&self, axis: i64) -> Array<i64> {
        let at = Location::caller();
        Array::<T>::build(at, || self.line_by_line(LineOp::ArgSort, axis, at))
    }

    fn line_by_line(&self, op: LineOp, axis: i64, at: Line) -> Result<Expr> {
        let meta = self.meta()?;
        let axis = axis_of(axis, meta.grid.rank()).map_err(mistake(at))?;
        if meta.shape().contains(&0) {
            let zero = Scalar::zero(op.output(meta.dtype));
            return Ok(Expr::constant(zero, meta.grid.clone(), at));
        }
        of_lines(&self.expr, op, &[axis], at)
    }

    /// The medians along `axes`; NaN where an element is NaN, or where there is none.
    #[track_caller]
    pub fn median(&self, axes: impl Into<Axes>) -> Array<T::Mean> {
        let by = (Method::Mean, false);
        self.one_quantile(0.5, axes.into(), by, Location::caller())
    }

    /// The medians of what is not NaN.
    #[track_caller]
    pub fn nanmedian(&self, axes: impl Into<Axes>) -> Array<T::Mean> {
        let by = (Method::Mean, true);
        self.one_quantile(0.5, axes.into(), by, Location::caller())
    }

    /// The elements at the fraction `q`, from 0 to 1, of the order along `axes`, interpolated linearly.
    #[track_caller]
    pub fn quantile(&self, q: f64, axes: impl Into<Axes>) -> Array<T::Mean> {
        self.one_quantile(q, axes.into(), LINEAR, Location::caller())
    }

    /// As [`quantile`](Array::quantile), of what is not NaN.
    #[track_caller]
    pub fn nanquantile(&self, q: f64, axes: impl Into<Axes>) -> Array<T::Mean> {
        self.one_quantile(q, axes.into(), (Method::Linear, true), Location::caller())
    }

    /// The [`quantile`](Array::quantile) of `q` per cent.
    #[track_caller]
    pub fn percentile(&self, q: f64, axes: impl Into<Axes>) -> Array<T::Mean> {
        self.one_quantile(q / 100.0, axes.into(), LINEAR, Location::caller())
    }

    /// The [`nanquantile`](Array::nanquantile) of `q` per cent.
    #[track_caller]
    pub fn nanpercentile(&self, q: f64, axes: impl Into<Axes>) -> Array<T::Mean> {
        self.one_quantile(q / 100.0, axes.into(), (Method::Linear, true), Location::caller())
    }

    fn one_quantile(&self, q: f64, axes: Axes, by: (Method, bool), at: Line) -> Array<T::Mean> {
        Array::<T>::build(at, || quantiles(&self.expr, &[q], &axes, by, false, at))
    }

    fn several_quantiles(&self, q: &[f64], axes: &Axes, by: (Method, bool), at: Line) -> Array {
        Array::<T>::build(at, || quantiles(&self.expr, q, axes, by, true, at))
    }

    /// Several quantiles, each from 0 to 1, in one pass: they lie along a new first axis. Those of a method
    /// that selects elements (lower, higher, nearest) have the array's dtype.
    #[track_caller]
    pub fn quantiles(
        &self,
        q: impl Into<Vec<f64>>,
        axes: impl Into<Axes>,
        method: Method,
    ) -> Array {
        let by = (method, false);
        self.several_quantiles(&q.into(), &axes.into(), by, Location::caller())
    }

    /// As [`quantiles`](Array::quantiles), of what is not NaN.
    #[track_caller]
    pub fn nanquantiles(
        &self,
        q: impl Into<Vec<f64>>,
        axes: impl Into<Axes>,
        method: Method,
    ) -> Array {
        let by = (method, true);
        self.several_quantiles(&q.into(), &axes.into(), by, Location::caller())
    }

    /// The places of the `count` greatest elements along `axis`, from the greatest on; of a negative count, of the
    /// least from the least on. Whole lines are held, as for [`argsort`](Array::argsort); of equal elements the last are the greatest.
    #[track_caller]
    pub fn argtopk(&self, count: i64, axis: i64) -> Array<i64> {
        let places = self.argsort(axis);
        let places = if count < 0 { places } else { places.flip(axis) };
        let rank = places.rank().unwrap_or(0);
        let Ok(axis) = axis_of(axis, rank) else { return places };
        let all = Part::Range { start: None, stop: None, step: 1 };
        let mut parts = vec![all; rank];
        let most = i64::try_from(count.unsigned_abs()).unwrap_or(i64::MAX);
        parts[axis] = Part::Range { start: None, stop: Some(most), step: 1 };
        places.select(&parts)
    }

    /// The `count` greatest elements along `axis`, from the greatest on; of a negative
    /// count, the least from the least on. Each block is searched first, so that whole lines are never held.
    #[track_caller]
    pub fn topk(&self, count: i64, axis: i64) -> Array<T> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let meta = self.meta()?;
            let axis = axis_of(axis, meta.grid.rank()).map_err(mistake(at))?;
            let (shape, most) = (meta.shape(), count.unsigned_abs());
            let mut out = shape.clone();
            out[axis] = out[axis].min(most);
            if out.contains(&0) {
                return Ok(Expr::constant(Scalar::zero(meta.dtype), Grid::whole(&out), at));
            }
            let mut cuts = meta.grid.axes().to_vec();
            if cuts[axis].count() == 1 {
                return of_lines(&self.expr, LineOp::Top(count), &[axis], at);
            }
            cuts[axis] = AxisGrid::from_sizes(cuts[axis].sizes().map(|size| size.min(most)));
            let partial = Meta { grid: Grid::new(cuts), ..meta.clone() };
            let kernel = Lines::new(LineOp::Top(count), &[axis], meta.dtype);
            let input = (self.expr.clone(), Needs::blocks(shape.len()));
            let partial = Expr::block(Arc::new(kernel), [input], partial, at);
            of_lines(&partial, LineOp::Top(count), &[axis], at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{keepdims, zeros};
    use super::*;
    use freeboard_formats::DType;

    #[test]
    fn bands_are_parts_of_blocks() {
        let bands = |shape: &[u64], chunk: &[u64], whole: &[usize]| {
            Grid::new(bands(&Meta::new(DType::F32, Grid::regular(shape, chunk)), whole, BAND))
        };
        // 400 frames of a chunk each: a row of all frames is 6.5 MB.
        let frames = bands(&[400, 4096, 4096], &[1, 4096, 4096], &[0]);
        assert_eq!(frames, Grid::regular(&[400, 4096, 4096], &[400, 1, 4096]));
        // Blocks that fit stay as they are.
        assert_eq!(bands(&[9, 9], &[2, 3], &[1]), Grid::regular(&[9, 9], &[2, 9]));
        let long = bands(&[1 << 22, 64], &[1 << 10, 64], &[0]);
        assert_eq!(long, Grid::regular(&[1 << 22, 64], &[1 << 22, 1]));
        let parts = cut(&AxisGrid::from_sizes([3, 10, 4]), 4);
        assert_eq!(parts, AxisGrid::from_sizes([3, 3, 3, 4, 4]));
        assert_eq!(cut(&AxisGrid::regular(100, 30), 7), AxisGrid::regular(100, 6));
    }

    #[test]
    fn shapes_and_mistakes() {
        let says = |text: String, start: &str| assert!(text.starts_with(start), "{text}");
        let x = zeros::<f32>([4, 5, 6]);
        assert_eq!(x.median([0, 2]).shape().unwrap(), [5]);
        assert_eq!(x.nanmedian(keepdims([0, 2])).shape().unwrap(), [1, 5, 1]);
        let of = |axes: Axes| x.quantiles([0.1, 0.5, 0.9], axes, Method::Linear).shape().unwrap();
        assert_eq!(of((..).into()), [3]);
        assert_eq!(of(1.into()), [3, 4, 6]);
        assert_eq!(of(keepdims(-1)), [3, 4, 5, 1]);
        assert_eq!(of(keepdims(Vec::<i64>::new())), [3, 4, 5, 6]);
        assert_eq!(x.argsort(-1).shape().unwrap(), [4, 5, 6]);
        assert_eq!(x.topk(-2, 1).shape().unwrap(), [4, 2, 6]);
        assert_eq!(zeros::<f32>([0, 3]).median(0).shape().unwrap(), [3]);
        assert_eq!(zeros::<i8>([0, 3]).sort(0).shape().unwrap(), [0, 3]);
        says(x.sort(3).to_string(), "axis 3 is out of range for an array of 3 axes at ");
        says(x.median([1, 1]).to_string(), "axis 1 is named twice at ");
        says(x.quantile(1.5, 0).to_string(), "quantiles must be in the range [0, 1], and not 1.5");
    }
}
