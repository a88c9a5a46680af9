//! Several arrays as one.

use super::{Array, Kind, Line, args::axis_of, cast, kept, mistake, rearrange::at_least};
use crate::{
    error::Result,
    expr::{Access, AxisView, Expr, shape_text},
    kernel::promote::result_type_of,
};
use freeboard_formats::Meta;
use std::{borrow::Borrow, panic::Location};

/// The arrays one after the other along `axis`; they have equal shapes but there. Untyped
/// ones promote to one dtype.
#[track_caller]
pub fn concatenate<T: Kind, A: Borrow<Array<T>>>(
    arrays: impl IntoIterator<Item = A>,
    axis: i64,
) -> Array<T> {
    let at = Location::caller();
    let exprs = arrays.into_iter().map(|array| array.borrow().expr.clone()).collect();
    Array::from_expr(kept(at, || joined(exprs, axis, "concatenate", at)))
}

/// The arrays, of equal shape, along a new axis that becomes axis `axis` of the result.
/// Untyped ones promote to one dtype.
#[track_caller]
pub fn stack<T: Kind, A: Borrow<Array<T>>>(
    arrays: impl IntoIterator<Item = A>,
    axis: i64,
) -> Array<T> {
    let at = Location::caller();
    let exprs: Vec<Expr> = arrays.into_iter().map(|array| array.borrow().expr.clone()).collect();
    Array::from_expr(kept(at, || {
        let metas: Vec<&Meta> = exprs.iter().map(Expr::meta).collect::<Result<_>>()?;
        if let Some(other) = metas.iter().find(|meta| meta.shape() != metas[0].shape()) {
            let (a, b) = (shape_text(&metas[0].shape()), shape_text(&other.shape()));
            return Err(mistake(at)(format!("shapes {a} and {b} differ in `stack`")));
        }
        let mut thick = Vec::with_capacity(exprs.len());
        for (expr, meta) in exprs.iter().zip(&metas) {
            let axis = axis_of(axis, meta.grid.rank() + 1).map_err(mistake(at))?;
            let mut shape = meta.shape();
            shape.insert(axis, 1);
            let access = Access::new((0..meta.grid.rank()).map(|from| AxisView::Along {
                of: from + usize::from(from >= axis),
                start: 0,
                step: 1,
            }));
            thick.push(expr.view(access, &shape, at));
        }
        joined(thick, axis, "stack", at)
    }))
}

/// The arrays with `rank` axes at least, one after the other along `axis`.
fn stacked<T: Kind, A: Borrow<Array<T>>>(
    arrays: impl IntoIterator<Item = A>,
    rank: usize,
    axis: i64,
    verb: &str,
    at: Line,
) -> Array<T> {
    let exprs = arrays.into_iter().map(|array| at_least(&array.borrow().expr, rank, at)).collect();
    Array::from_expr(kept(at, || joined(exprs, axis, verb, at)))
}

/// The arrays one above the other: along the first axis, those of one axis as rows.
#[track_caller]
pub fn vstack<T: Kind, A: Borrow<Array<T>>>(arrays: impl IntoIterator<Item = A>) -> Array<T> {
    stacked(arrays, 2, 0, "vstack", Location::caller())
}

/// The arrays side by side: along the second axis, or the only one.
#[track_caller]
pub fn hstack<T: Kind, A: Borrow<Array<T>>>(arrays: impl IntoIterator<Item = A>) -> Array<T> {
    let arrays: Vec<A> = arrays.into_iter().collect();
    let flat = arrays.first().is_some_and(|array| array.borrow().rank().is_ok_and(|n| n < 2));
    stacked(arrays, 1, if flat { 0 } else { 1 }, "hstack", Location::caller())
}

/// The arrays one behind the other: along the third axis, after which those of two axes get one.
#[track_caller]
pub fn dstack<T: Kind, A: Borrow<Array<T>>>(arrays: impl IntoIterator<Item = A>) -> Array<T> {
    stacked(arrays, 3, 2, "dstack", Location::caller())
}

/// Rows of arrays put together as a matrix is written: the arrays of a row along the last axis, the
/// rows along the last but one.
#[track_caller]
pub fn block<T: Kind, A: Borrow<Array<T>>, R: IntoIterator<Item = A>>(
    rows: impl IntoIterator<Item = R>,
) -> Array<T> {
    let at = Location::caller();
    let rows: Vec<Array<T>> =
        rows.into_iter().map(|row| stacked(row, 2, -1, "block", at)).collect();
    stacked(rows, 2, -2, "block", at)
}

pub(super) fn joined(exprs: Vec<Expr>, axis: i64, verb: &str, at: Line) -> Result<Expr> {
    let metas: Vec<&Meta> = exprs.iter().map(Expr::meta).collect::<Result<_>>()?;
    let Some(first) = metas.first() else {
        return Err(mistake(at)(format!("`{verb}` of no array")));
    };
    let shape = first.shape();
    let axis = axis_of(axis, shape.len()).map_err(mistake(at))?;
    let mut total = 0u64;
    for meta in &metas {
        let other = meta.shape();
        let alike = other.len() == shape.len()
            && (0..shape.len()).all(|i| i == axis || other[i] == shape[i]);
        if !alike {
            let (a, b) = (shape_text(&shape), shape_text(&other));
            return Err(mistake(at)(format!(
                "shapes {a} and {b} differ beside axis {axis} in `{verb}`"
            )));
        }
        total = total
            .checked_add(other[axis])
            .ok_or_else(|| mistake(at)(format!("`{verb}` gives too many elements")))?;
    }
    let dtype = result_type_of(metas.iter().map(|meta| meta.dtype));
    let lens: Vec<u64> = metas.iter().map(|meta| meta.shape()[axis]).collect();
    let mut parts: Vec<Expr> = exprs
        .iter()
        .zip(&lens)
        // An array without elements adds nothing, unless there is nothing else.
        .filter(|(_, len)| **len > 0 || total == 0)
        .map(|(expr, _)| cast(expr, dtype, at))
        .collect();
    if total == 0 || parts.len() == 1 {
        parts.truncate(1);
        return Ok(parts.remove(0));
    }
    Ok(Expr::concat(parts, axis, at))
}

#[cfg(test)]
mod tests {
    use super::super::{Array, zeros};
    use super::*;
    use freeboard_formats::DType;

    #[test]
    fn shapes_grids_and_dtypes() {
        let a = Array::chunked(&ndarray::Array2::<f32>::zeros((2, 3)), [1, 3]);
        let b = zeros::<f32>([3, 3]);
        let both = concatenate([&a, &b], 0);
        assert_eq!(both.chunks().unwrap(), [vec![1, 1, 3], vec![3]]);
        assert_eq!(concatenate(&[a.clone(), a.clone()], -1).shape().unwrap(), [2, 6]);
        assert_eq!(stack([&a, &a], 1).shape().unwrap(), [2, 2, 3]);
        assert_eq!(stack(vec![a.clone()], -1).shape().unwrap(), [2, 3, 1]);
        let mixed = concatenate([a.to_dyn(), b.cast_to(DType::I32)], 0);
        assert_eq!(mixed.dtype().unwrap(), DType::F64);
        // All at once: int16 and uint16 alone would be int32.
        let three = [DType::I16, DType::U16, DType::F32].map(|dtype| b.cast_to(dtype));
        for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
            let arrays = order.map(|i: usize| &three[i]);
            assert_eq!(concatenate(arrays, 0).dtype().unwrap(), DType::F32);
            assert_eq!(stack(arrays, 0).dtype().unwrap(), DType::F32);
        }
        assert_eq!(concatenate([&zeros::<f32>([0, 3]), &a], 0).shape().unwrap(), [2, 3]);
        assert_eq!(concatenate([&zeros::<f32>([0, 3]); 2], 0).shape().unwrap(), [0, 3]);
    }

    #[test]
    fn mistakes() {
        let (a, b) = (zeros::<f32>([2, 3]), zeros::<f32>([3, 3]));
        let says = |array: Array<f32>, text: &str| {
            let error = array.meta().unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        };
        says(stack([&a, &b], 0), "shapes (2, 3) and (3, 3) differ in `stack` at ");
        says(
            concatenate([&a, &b], 1),
            "shapes (2, 3) and (3, 3) differ beside axis 1 in `concatenate` at ",
        );
        says(concatenate([&a, &b], 2), "axis 2 is out of range for an array of 2 axes at ");
        says(concatenate::<f32, Array<f32>>([], 0), "`concatenate` of no array at ");
    }
}
