//! Where elements stand among sorted ones.

use super::{Array, Kind, Line, cast, mistake};
use crate::{
    error::Result,
    expr::{Expr, Need, Needs, shape_text},
    kernel::{Search, promote::result_type},
};
use freeboard_formats::{DType, Meta, Scalar};
use std::{panic::Location, sync::Arc};

/// For each element of `elements`, its place among those of `sorted`, which has one axis.
pub(super) fn places_in(sorted: &Expr, elements: &Expr, right: bool, at: Line) -> Result<Expr> {
    let (own, meta) = (sorted.meta()?, elements.meta()?);
    let shape = own.shape();
    if shape.len() != 1 {
        let message =
            format!("a search in an array of shape {}, which has one axis", shape_text(&shape));
        return Err(mistake(at)(message));
    }
    let made = Meta { dtype: DType::I64, ..meta.clone() };
    if shape[0] == 0 || meta.shape().contains(&0) {
        return Ok(Expr::constant(Scalar::I64(0), made.grid, at));
    }
    let dtype = result_type(own.dtype, meta.dtype);
    let inputs = [
        (cast(sorted, dtype, at), Needs::new([Need::All])),
        (cast(elements, dtype, at), Needs::blocks(meta.grid.rank())),
    ];
    Ok(Expr::block(Arc::new(Search { dtype, right }), inputs, made, at))
}

impl<T: Kind> Array<T> {
    /// For each of `elements`, how many elements of this array, which is sorted and has one axis, come before it: where it would
    /// be put; with `right`, behind those that are equal. All of this array is held for each thread. NaN
    /// comes last.
    /// ```
    /// use freeboard::{Session, array::arange};
    ///
    /// let session = Session::builder().memory("128MiB").build()?;
    /// let edges = arange(0, 100, 10);
    /// let places = session.compute(edges.searchsorted(&arange(0, 30, 5), true))?;
    /// assert_eq!(places.as_slice().unwrap(), [1, 1, 2, 2, 3, 3]);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn searchsorted(&self, elements: &Array<T>, right: bool) -> Array<i64> {
        let at = Location::caller();
        Array::<T>::build(at, || places_in(&self.expr, &elements.expr, right, at))
    }
}

impl<T: Kind> Array<T> {
    /// The values, at the elements, of the line through the points (`xp`, `fp`), of which `xp` increase; before the first and
    /// behind the last `left` and `right`, or the first and the last value. NaN stays.
    /// ```
    /// use freeboard::{Session, array::arange};
    ///
    /// let session = Session::builder().memory("128MiB").build()?;
    /// let y = arange(0, 5, 1).interp(&[1.0, 3.0], &[10.0, 20.0], None, Some(0.0));
    /// assert_eq!(session.compute(y)?.as_slice().unwrap(), [10.0, 10.0, 15.0, 20.0, 0.0]);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn interp(
        &self,
        xp: &[f64],
        fp: &[f64],
        left: Option<f64>,
        right: Option<f64>,
    ) -> Array<f64> {
        let at = Location::caller();
        let (Some((&first, &last)), true) = (fp.first().zip(fp.last()), xp.len() == fp.len())
        else {
            let message = format!("a line through {} points with {} values", xp.len(), fp.len());
            return Array::from_expr(Expr::failed(mistake(at)(message), at));
        };
        let (xp, fp) = (xp.to_vec(), fp.to_vec());
        let (left, right) = (left.unwrap_or(first), right.unwrap_or(last));
        self.cast::<f64>().map(move |x: f64| {
            let next = xp.partition_point(|&point| point <= x);
            match next {
                _ if x.is_nan() => x,
                0 => left,
                _ if xp[next - 1] == x => fp[next - 1],
                _ if next == xp.len() => right,
                _ => {
                    let slope = (fp[next] - fp[next - 1]) / (xp[next] - xp[next - 1]);
                    let below = slope * (x - xp[next - 1]) + fp[next - 1];
                    if !below.is_nan() {
                        return below;
                    }
                    // Infinite values on one side only.
                    let above = slope * (x - xp[next]) + fp[next];
                    let level = above.is_nan() && fp[next] == fp[next - 1];
                    if level { fp[next] } else { above }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::zeros;

    #[test]
    fn shapes_and_mistakes() {
        let x = zeros::<f32>([4]);
        assert_eq!(x.searchsorted(&zeros([2, 3]), false).shape().unwrap(), [2, 3]);
        assert_eq!(zeros::<f32>([0]).searchsorted(&x, true).shape().unwrap(), [4]);
        let text = zeros::<f32>([2, 2]).searchsorted(&x, true).to_string();
        assert!(
            text.starts_with("a search in an array of shape (2, 2), which has one axis at "),
            "{text}"
        );
    }
}
