//! Verbs that move elements without changing them: slices, transposes, new and dropped
//! axes, broadcasts, and new chunks.

use super::{
    Array, Axes, Chunks, Kind, Line, Sizes,
    args::{axes_text, axis_of},
    mistake, slice_str,
};
use crate::{
    error::{Error, Result},
    expr::{Access, AxisView, Expr, Op, shape_text},
};
use freeboard_formats::{Dims, Grid};
use ndarray::SliceInfoElem;
use std::panic::Location;

/// `expr` through `access`; itself where that changes nothing.
pub(crate) fn view(expr: &Expr, access: Access, shape: &[u64], at: Line) -> Expr {
    let same = access.is_identity(shape.len())
        && expr.meta().is_ok_and(|meta| meta.grid.shape().as_slice() == shape);
    if same { expr.clone() } else { expr.view(access, shape, at) }
}

pub(super) fn along(of: usize, start: u64, step: i64) -> AxisView {
    AxisView::Along { of, start: start as i64, step }
}

/// The elements that ndarray's slice means, with its meaning: a range counts from the end
/// where it is negative, and a negative step runs back from the end of the range.
fn sliced(slice: &[SliceInfoElem], shape: &[u64], at: Line) -> Result<(Access, Dims)> {
    let named = slice.iter().filter(|elem| !elem.is_new_axis()).count();
    if named != shape.len() {
        let message =
            format!("a slice of {} of an array of {}", axes_text(named), axes_text(shape.len()));
        return Err(
            Error::expression(message, at).help("one part for each axis; `..` keeps an axis whole")
        );
    }
    let mut axes = Vec::with_capacity(shape.len());
    let mut out = Dims::new();
    for elem in slice {
        let axis = axes.len();
        match *elem {
            SliceInfoElem::NewAxis => out.push(1),
            SliceInfoElem::Index(index) => {
                let len = shape[axis];
                let counted = counted(index, len).filter(|&i| i < len).ok_or_else(|| {
                    Error::expression(
                        format!("index {index} is beyond axis {axis} of length {len}"),
                        at,
                    )
                })?;
                axes.push(AxisView::At(counted));
            }
            SliceInfoElem::Slice { start, end, step } => {
                let len = shape[axis];
                let inside = |bound: isize| {
                    counted(bound, len).ok_or_else(|| {
                        let end = end.map_or(String::new(), |end| end.to_string());
                        let message = format!(
                            "the range {start}..{end} reaches beyond axis {axis} of length {len}"
                        );
                        Error::expression(message, at)
                    })
                };
                let first = inside(start)?;
                let last = end.map_or(Ok(len), inside)?.max(first);
                if step == 0 {
                    return Err(Error::expression(format!("a step of 0 along axis {axis}"), at));
                }
                let count = (last - first).div_ceil(step.unsigned_abs() as u64);
                let of = out.len();
                out.push(count);
                axes.push(match count {
                    0 => along(of, 0, 1),
                    _ if step < 0 => along(of, last - 1, step as i64),
                    _ => along(of, first, step as i64),
                });
            }
        }
    }
    Ok((Access::new(axes), out))
}

/// A bound that counts from the end where it is negative, `None` where that is out of `0..=len`.
fn counted(bound: isize, len: u64) -> Option<u64> {
    let counted =
        if bound < 0 { len.checked_sub(bound.unsigned_abs() as u64)? } else { bound as u64 };
    (counted <= len).then_some(counted)
}

impl<T: Kind> Array<T> {
    /// A view of this array: `change` is told its shape, and says which elements.
    pub(super) fn viewed(
        &self,
        at: Line,
        change: impl FnOnce(&[u64]) -> Result<(Access, Dims)>,
    ) -> Array<T> {
        Array::<T>::build(at, || {
            let (access, shape) = change(&self.meta()?.shape())?;
            Ok(view(&self.expr, access, &shape, at))
        })
    }

    /// The elements that ndarray's `s![]` means, with its meaning: `s![0, .., 2..;3]`. A
    /// negative step runs back from the end of the range; a range beyond the axis is a mistake.
    #[track_caller]
    pub fn slice(&self, slice: impl AsRef<[SliceInfoElem]>) -> Array<T> {
        let at = Location::caller();
        self.viewed(at, |shape| sliced(slice.as_ref(), shape, at))
    }

    /// The elements that NumPy's slice means: `"0, ..., :200, ::-1"`, clipped as there.
    #[track_caller]
    pub fn slice_numpy(&self, slice: &str) -> Array<T> {
        let at = Location::caller();
        self.viewed(at, |shape| {
            let parts = slice_str::parse(slice).map_err(mistake(at))?;
            slice_str::access(&parts, shape).map_err(mistake(at))
        })
    }

    /// The elements that the parts of a slice of NumPy's mean; at most one is an ellipsis.
    #[track_caller]
    pub(crate) fn select(&self, parts: &[slice_str::Part]) -> Array<T> {
        let at = Location::caller();
        self.viewed(at, |shape| slice_str::access(parts, shape).map_err(mistake(at)))
    }

    /// The chunk at `index`, one number an axis, as an array.
    #[track_caller]
    pub fn block(&self, index: &[u64]) -> Array<T> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let grid = &self.meta()?.grid;
            let counts = grid.counts();
            if index.len() != counts.len() || index.iter().zip(&counts).any(|(i, count)| i >= count)
            {
                let (index, counts) = (shape_text(index), shape_text(&counts));
                return Err(mistake(at)(format!("block {index} of an array of {counts} blocks")));
            }
            let region = grid.region(index);
            let axes = region.start.iter().enumerate().map(|(axis, &start)| along(axis, start, 1));
            Ok(view(&self.expr, Access::new(axes), &region.shape, at))
        })
    }

    /// The axes in the order `axes`: axis `i` of the result is this array's axis `axes[i]`;
    /// `..` reverses them.
    #[track_caller]
    pub fn transpose(&self, axes: impl Into<Axes>) -> Array<T> {
        let at = Location::caller();
        let axes = axes.into();
        self.viewed(at, |shape| {
            let mut order = axes.resolve(shape.len()).map_err(mistake(at))?;
            if axes.count().is_none() {
                order.reverse();
            }
            if order.len() != shape.len() {
                let message = format!(
                    "a transpose names every axis: {} of {}",
                    order.len(),
                    axes_text(shape.len())
                );
                return Err(mistake(at)(message));
            }
            Ok(permuted(&order, shape))
        })
    }

    /// The axes in reverse order.
    #[track_caller]
    pub fn t(&self) -> Array<T> {
        self.transpose(..)
    }

    /// The axes `from` at the places `to`, the others in their order.
    #[track_caller]
    pub fn moveaxis(&self, from: impl Into<Axes>, to: impl Into<Axes>) -> Array<T> {
        let at = Location::caller();
        let (from, to) = (from.into(), to.into());
        self.viewed(at, |shape| {
            let rank = shape.len();
            let from = from.resolve(rank).map_err(mistake(at))?;
            let to = to.resolve(rank).map_err(mistake(at))?;
            if from.len() != to.len() {
                let places = if to.len() == 1 { "place" } else { "places" };
                let message = format!("{} to {} {places}", axes_text(from.len()), to.len());
                return Err(mistake(at)(message));
            }
            let mut order: Vec<usize> = (0..rank).filter(|axis| !from.contains(axis)).collect();
            let mut moves: Vec<(usize, usize)> = to.into_iter().zip(from).collect();
            moves.sort_unstable();
            moves.into_iter().for_each(|(to, from)| order.insert(to, from));
            Ok(permuted(&order, shape))
        })
    }

    /// The axes `a` and `b` exchanged.
    #[track_caller]
    pub fn swapaxes(&self, a: i64, b: i64) -> Array<T> {
        let at = Location::caller();
        self.viewed(at, |shape| {
            let a = axis_of(a, shape.len()).map_err(mistake(at))?;
            let b = axis_of(b, shape.len()).map_err(mistake(at))?;
            let mut order: Vec<usize> = (0..shape.len()).collect();
            order.swap(a, b);
            Ok(permuted(&order, shape))
        })
    }

    /// Without `axes`, which have length 1; with `..`, without all that have.
    #[track_caller]
    pub fn squeeze(&self, axes: impl Into<Axes>) -> Array<T> {
        let at = Location::caller();
        let axes = axes.into();
        self.viewed(at, |shape| {
            let mut dropped = axes.resolve(shape.len()).map_err(mistake(at))?;
            if axes.count().is_none() {
                dropped.retain(|axis| shape[*axis] == 1);
            }
            if let Some(&axis) = dropped.iter().find(|&&axis| shape[axis] != 1) {
                let message =
                    format!("axis {axis} has length {}; only axes of length 1 go", shape[axis]);
                return Err(mistake(at)(message));
            }
            let mut out = Dims::new();
            let access = Access::new(shape.iter().enumerate().map(|(axis, &len)| {
                if dropped.contains(&axis) {
                    return AxisView::At(0);
                }
                out.push(len);
                along(out.len() - 1, 0, 1)
            }));
            Ok((access, out))
        })
    }

    /// With new axes of length 1 that become the axes `axes` of the result.
    #[track_caller]
    pub fn expand_dims(&self, axes: impl Into<Axes>) -> Array<T> {
        let at = Location::caller();
        let axes = axes.into();
        self.viewed(at, |shape| {
            let Some(count) = axes.count() else {
                return Err(mistake(at)("`expand_dims` names the new axes".into()));
            };
            let rank = shape.len() + count;
            let mut new = axes.resolve(rank).map_err(mistake(at))?;
            new.sort_unstable();
            let mut out = Dims::from_slice(shape);
            new.iter().for_each(|&axis| out.insert(axis, 1));
            let old = (0..rank).filter(|axis| !new.contains(axis));
            Ok((Access::new(old.map(|axis| along(axis, 0, 1))), out))
        })
    }

    /// The elements in reverse order along `axes`.
    #[track_caller]
    pub fn flip(&self, axes: impl Into<Axes>) -> Array<T> {
        let at = Location::caller();
        let axes = axes.into();
        self.viewed(at, |shape| {
            let flipped = axes.resolve(shape.len()).map_err(mistake(at))?;
            let access = shape.iter().enumerate().map(|(axis, &len)| {
                if len > 1 && flipped.contains(&axis) {
                    along(axis, len - 1, -1)
                } else {
                    along(axis, 0, 1)
                }
            });
            Ok((Access::new(access), shape.into()))
        })
    }

    /// Repeated to `shape`, by NumPy's rule: axes of length 1, and axes that are missing in front.
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Sizes>) -> Array<T> {
        let at = Location::caller();
        let target = shape.into();
        self.viewed(at, |shape| {
            broadcast(shape, target.shape().map_err(mistake(at))?).map_err(mistake(at))
        })
    }

    /// The same elements in other chunks: `[1, 500, -1]`, `Chunks::only([(0, 10)])`, `"64MiB"`,
    /// `"auto"`.
    #[track_caller]
    pub fn rechunk(&self, chunks: impl Into<Chunks>) -> Array<T> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let grid = chunks.into().grid(self.meta()?).map_err(mistake(at))?;
            Ok(rechunked(&self.expr, grid, at))
        })
    }
}

/// An array of `shape` repeated to `target`, by NumPy's rule.
pub(crate) fn broadcast(shape: &[u64], target: Dims) -> Result<(Access, Dims), String> {
    let skip = target.len().checked_sub(shape.len());
    let fits =
        |skip: usize| shape.iter().zip(&target[skip..]).all(|(&len, &to)| len == to || len == 1);
    let Some(skip) = skip.filter(|&skip| fits(skip)) else {
        let (from, to) = (shape_text(shape), shape_text(&target));
        return Err(format!("shape {from} does not broadcast to {to}"));
    };
    let access = shape.iter().enumerate().map(|(axis, &len)| match len {
        1 if target[skip + axis] != 1 => AxisView::At(0),
        _ => along(skip + axis, 0, 1),
    });
    Ok((Access::new(access), target))
}

pub(super) fn permuted(order: &[usize], shape: &[u64]) -> (Access, Dims) {
    let place = |axis: usize| order.iter().position(|&from| from == axis).unwrap_or(axis);
    let access = Access::new((0..shape.len()).map(|axis| along(place(axis), 0, 1)));
    (access, order.iter().map(|&axis| shape[axis]).collect())
}

/// `expr` on another grid. What is made from coordinates alone is made on it at once.
pub(crate) fn rechunked(expr: &Expr, grid: Grid, at: Line) -> Expr {
    match expr.op() {
        Op::Constant(value) if expr.meta().is_ok() => Expr::constant(*value, grid, at),
        Op::Source(source) => match source.rechunked(&grid) {
            Some(source) => Expr::source(source, at),
            None => expr.rechunk(grid, at),
        },
        _ => expr.rechunk(grid, at),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{arange, zeros};
    use super::*;
    use freeboard_formats::region::Coordinates;
    use freeboard_formats::{ChunkView, Region};
    use ndarray::{ArrayD, IxDyn, NewAxis, s};
    use proptest::prelude::*;

    /// The elements of a view, taken through its access alone.
    fn elements(array: &Array<i64>, base: &ArrayD<i64>) -> (Vec<u64>, Vec<i64>) {
        let shape = array.meta().unwrap().shape();
        let held = Region::whole(&base.shape().iter().map(|&n| n as u64).collect::<Vec<_>>());
        let values = base.iter().copied().collect::<Vec<_>>();
        let input = ChunkView::of(&values, &held.shape);
        let whole = Region::whole(&shape);
        let elements = match array.expr().op() {
            _ if whole.is_empty() => vec![],
            Op::View(access) => access.view(&whole, &input, &held).to_vec(),
            Op::Source(_) => values.clone(),
            op => panic!("a view or the source, not {op:?}"),
        };
        (shape.to_vec(), elements)
    }

    fn base(shape: &[usize]) -> ArrayD<i64> {
        let len: usize = shape.iter().product();
        ArrayD::from_shape_vec(IxDyn(shape), (0..len as i64).collect()).unwrap()
    }

    #[track_caller]
    fn same(array: Array<i64>, base: &ArrayD<i64>, expected: ndarray::ArrayViewD<'_, i64>) {
        let (shape, values) = elements(&array, base);
        assert_eq!(shape, expected.shape().iter().map(|&n| n as u64).collect::<Vec<_>>());
        assert_eq!(values, expected.iter().copied().collect::<Vec<_>>());
    }

    #[test]
    fn slices_mean_what_ndarray_means() {
        let base = base(&[4, 5, 6]);
        let x = Array::from_ndarray(&base);
        macro_rules! check {
            ($($slice:expr),* $(,)?) => {$(
                same(x.slice($slice), &base, base.slice($slice).into_dyn());
            )*};
        }
        check!(
            s![.., .., ..],
            s![0, .., -1],
            s![1..;-2, .., ..],
            s![..-1;2, 4..;-3, 1..2],
            s![-3..-1, ..;-1, 5],
            s![2..2, .., 3..3],
            s![.., NewAxis, 2, .., NewAxis],
            s![1, 2, 3],
        );
    }

    #[test]
    fn other_views_mean_what_ndarray_means() {
        let base = base(&[2, 3, 1, 4]);
        let x = Array::from_ndarray(&base);
        same(x.t(), &base, base.t());
        same(x.transpose([2, 0, 3, 1]), &base, base.view().permuted_axes(IxDyn(&[2, 0, 3, 1])));
        same(x.moveaxis(-1, 0), &base, base.view().permuted_axes(IxDyn(&[3, 0, 1, 2])));
        same(x.swapaxes(0, 3), &base, base.view().permuted_axes(IxDyn(&[3, 1, 2, 0])));
        same(x.squeeze(..), &base, base.view().remove_axis(ndarray::Axis(2)));
        same(x.expand_dims(-1), &base, base.view().insert_axis(ndarray::Axis(4)));
        same(x.flip([0, 3]), &base, base.slice(s![..;-1, .., .., ..;-1]).into_dyn());
        let wide = base.broadcast(IxDyn(&[5, 2, 3, 7, 4])).unwrap();
        same(x.broadcast_to([5, 2, 3, 7, 4]), &base, wide);
        same(
            x.t().slice(s![1, 0, .., ..;-1]).t(),
            &base,
            base.slice(s![..;-1, .., 0, 1]).into_dyn(),
        );
        same(
            Array::chunked(&base, [1, 2, 1, 3]).block(&[1, 0, 0, 1]),
            &base,
            base.slice(s![1..2, ..2, .., 3..]).into_dyn(),
        );
    }

    proptest! {
        #[test]
        fn any_slice_of_an_axis(
            len in 0usize..8,
            start in 0isize..8,
            end in proptest::option::of(0isize..9),
            step in prop_oneof![-4isize..=-1, 1isize..=4],
        ) {
            let n = len as isize;
            prop_assume!(start <= n && end.is_none_or(|end| end <= n));
            let base = base(&[len]);
            let slice = [SliceInfoElem::Slice { start, end, step }];
            let info = ndarray::SliceInfo::<_, IxDyn, IxDyn>::try_from(&slice[..]).unwrap();
            let (shape, values) = elements(&Array::from_ndarray(&base).slice(slice), &base);
            let expected = base.slice(info);
            prop_assert_eq!(shape, vec![expected.len() as u64]);
            prop_assert_eq!(values, expected.iter().copied().collect::<Vec<_>>());
        }
    }

    #[test]
    fn mistakes_name_axis_and_length() {
        let x = zeros::<f32>([3, 4]);
        let says = |array: Array<f32>, text: &str| {
            let error = array.meta().unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        };
        says(x.slice(s![0]), "a slice of 1 axis of an array of 2 axes at ");
        says(x.slice(s![3, ..]), "index 3 is beyond axis 0 of length 3 at ");
        says(x.slice(s![-4, ..]), "index -4 is beyond axis 0 of length 3 at ");
        says(x.slice(s![.., 2..5]), "the range 2..5 reaches beyond axis 1 of length 4 at ");
        says(x.slice(s![.., -5..]), "the range -5.. reaches beyond axis 1 of length 4 at ");
        says(x.transpose([0]), "a transpose names every axis: 1 of 2 axes at ");
        says(x.squeeze(1), "axis 1 has length 4; only axes of length 1 go at ");
        says(x.broadcast_to([4]), "shape (3, 4) does not broadcast to (4,) at ");
        says(x.broadcast_to([2, 3, 5]), "shape (3, 4) does not broadcast to (2, 3, 5) at ");
        says(x.block(&[0, 1]), "block (0, 1) of an array of (1, 1) blocks at ");
        says(x.slice_numpy("0, 1, 2"), "a slice of 3 axes of an array of 2 axes at ");
        says(x.slice_numpy("0:x"), "\"x\" in the slice \"0:x\" is no whole number at ");
        says(x.rechunk([1]), "chunks of 1 axis for an array of 2 axes at ");
    }

    #[test]
    fn rechunking() {
        let x = Array::from_ndarray(&base(&[6, 4]));
        assert!(matches!(x.rechunk([2, 4]).expr().op(), Op::Rechunk));
        assert_eq!(x.rechunk([2, -1]).chunks().unwrap(), [vec![2, 2, 2], vec![4]]);
        assert!(matches!(x.rechunk("auto").expr().op(), Op::Source(_)));
        assert!(matches!(zeros::<f32>([4]).rechunk([2]).expr().op(), Op::Constant(_)));
        let range = arange(0, 10, 1).rechunk([5]);
        assert!(matches!(range.expr().op(), Op::Source(_)));
        assert_eq!(range.chunks().unwrap(), [[5, 5]]);
    }

    #[test]
    fn slices_as_numpy_writes_them() {
        #[derive(Debug)]
        struct Case<'a> {
            slice: &'a str,
            shape: Vec<u64>,
            out: Option<Vec<u64>>,
            values: Vec<u64>,
        }
        let table: serde_json::Value =
            serde_json::from_str(include_str!("../../data/numpy/slices.json")).unwrap();
        let list = |value: &serde_json::Value| -> Vec<u64> {
            value.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect()
        };
        for case in table.as_array().unwrap() {
            let case = Case {
                slice: case["slice"].as_str().unwrap(),
                shape: list(&case["shape"]),
                out: case["out"].is_array().then(|| list(&case["out"])),
                values: case["values"].as_array().map_or(vec![], |_| list(&case["values"])),
            };
            let made = slice_str::parse(case.slice)
                .and_then(|parts| slice_str::access(&parts, &case.shape));
            let Some(out) = &case.out else {
                assert!(made.is_err(), "{case:?} gave {made:?}");
                continue;
            };
            let (access, shape) = made.unwrap_or_else(|error| panic!("{case:?}: {error}"));
            assert_eq!(&shape.to_vec(), out, "{case:?}");
            let strides = freeboard_formats::view::c_strides(&case.shape);
            let values: Vec<u64> = Coordinates::of(Region::whole(&shape))
                .map(|at| {
                    let from =
                        access.region(&Region::new(at, Dims::from_elem(1, shape.len()))).start;
                    from.iter().zip(&strides).map(|(&i, &stride)| i * stride as u64).sum()
                })
                .collect();
            assert_eq!(values, case.values, "{case:?}");
        }
    }
}
