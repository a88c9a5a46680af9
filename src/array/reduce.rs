//! Reductions: one element of many, along axes or box by box.

use super::{
    Array, Axes, Kind, Line, Operand, Sizes,
    args::axes_text,
    cast, keepdims, kept, mistake,
    ops::combine,
    shape::{broadcast, view},
};
use crate::{
    error::{Error, Result},
    expr::{Access, AxisView, Expr},
    kernel::{self, Binary, Fold, FoldOp, promote::result_type},
};
use freeboard_formats::{DType, Dims, Grid, Scalar};
use std::{panic::Location, sync::Arc};

/// `op` along `axes`, which are dropped, or stay with length 1.
pub(super) fn reduce(expr: &Expr, op: FoldOp, axes: &Axes, at: Line) -> Expr {
    kept(at, || {
        let meta = expr.meta()?;
        let shape = meta.shape();
        let (reduced, kept) = axes.reduced(shape.len()).map_err(mistake(at))?;
        let fold = kernel::fold(op, meta.dtype).map_err(mistake(at))?;
        let is_reduced = |axis: usize| reduced.contains(&axis);
        let left: Dims = (0..shape.len())
            .filter(|&axis| kept || !is_reduced(axis))
            .map(|axis| if is_reduced(axis) { 1 } else { shape[axis] })
            .collect();
        if let Some(empty) = shape.iter().position(|&len| len == 0) {
            return without_elements(op, &*fold, empty, &left, at);
        }
        let bins: Dims =
            (0..shape.len()).map(|axis| if is_reduced(axis) { shape[axis] } else { 1 }).collect();
        let folded = expr.fold(fold, &bins, at);
        if kept || reduced.is_empty() {
            return Ok(folded);
        }
        let mut of = 0;
        let access = Access::new((0..shape.len()).map(|axis| {
            if is_reduced(axis) {
                return AxisView::At(0);
            }
            of += 1;
            AxisView::Along { of: of - 1, start: 0, step: 1 }
        }));
        Ok(folded.view(access, &left, at))
    })
}

/// Whether NumPy refuses the reduction of no element.
fn has_no_identity(op: FoldOp) -> bool {
    use FoldOp::*;
    matches!(op, Min | Max | ArgMin | ArgMax | NanMin | NanMax | NanArgMin | NanArgMax)
}

/// The reduction, to `shape`, of an array whose axis `empty` has length 0: no element has to be
/// looked at.
fn without_elements(
    op: FoldOp,
    fold: &dyn Fold,
    empty: usize,
    shape: &[u64],
    at: Line,
) -> Result<Expr> {
    if has_no_identity(op) && !shape.contains(&0) {
        return Err(mistake(at)(format!("{} of no element: axis {empty} has length 0", op.name())));
    }
    Ok(Expr::constant(of_nothing(fold), Grid::whole(shape), at))
}

/// What `fold` gives of no element.
fn of_nothing(fold: &dyn Fold) -> Scalar {
    // A word each, so that any dtype is aligned.
    let mut words = [0u64; 8];
    let (result, parts) = words.split_first_mut().expect("eight words");
    let mut state: Vec<&mut [u8]> = parts
        .iter_mut()
        .zip(fold.state())
        .map(|(word, dtype)| &mut bytemuck::bytes_of_mut(word)[..dtype.size()])
        .collect();
    fold.start(&mut state);
    let state: Vec<&[u8]> = state.into_iter().map(|part| &*part).collect();
    let size = fold.output().size();
    fold.finish(&state, 0, &mut bytemuck::bytes_of_mut(result)[..size]);
    Scalar::from_bytes(fold.output(), bytemuck::bytes_of(result))
}

macro_rules! along_axes {
    ($($(#[$doc:meta])* $name:ident $op:ident $out:ty;)*) => {
        impl<T: Kind> Array<T> {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self, axes: impl Into<Axes>) -> Array<$out> {
                Array::from_expr(reduce(&self.expr, FoldOp::$op, &axes.into(), Location::caller()))
            }
        )*}
    };
}

// Where in a box an element lies is no place in the array: boxes have none of these.
along_axes! {
    /// The C-order index, within the reduced axes, of the first least element or first NaN.
    argmin ArgMin i64;
    /// The C-order index, within the reduced axes, of the first greatest element or first NaN.
    argmax ArgMax i64;
    /// As `argmin`, of what is not NaN; -1 of nothing.
    nanargmin NanArgMin i64;
    /// As `argmax`, of what is not NaN; -1 of nothing.
    nanargmax NanArgMax i64;
}

macro_rules! reductions {
    ($($(#[$doc:meta])* $name:ident $op:ident $out:ty;)*) => {
        along_axes! { $($(#[$doc])* $name $op $out;)* }

        impl<T: Kind> Rebinned<T> {$(
            $(#[$doc])*
            /// Of each box.
            #[track_caller]
            pub fn $name(&self) -> Array<$out> {
                Array::from_expr(self.fold(FoldOp::$op, Location::caller()))
            }
        )*}
    };
}

reductions! {
    /// The sum; float32 is summed in doubles, integers wrap.
    sum Sum T::Sum;
    /// The product, in the types of the sum.
    prod Prod T::Sum;
    /// The mean.
    mean Mean T::Mean;
    /// The least; NaN if one is NaN.
    min Min T;
    /// The greatest; NaN if one is NaN.
    max Max T;
    /// Whether one is not zero.
    any Any bool;
    /// Whether none is zero.
    all All bool;
    /// How many are not NaN.
    count Count i64;
    /// The sum of what is not NaN.
    nansum NanSum T::Sum;
    /// The product of what is not NaN.
    nanprod NanProd T::Sum;
    /// The mean of what is not NaN; NaN of nothing.
    nanmean NanMean T::Mean;
    /// The least of what is not NaN; NaN of nothing.
    nanmin NanMin T;
    /// The greatest of what is not NaN; NaN of nothing.
    nanmax NanMax T;
}

macro_rules! spreads {
    ($($(#[$doc:meta])* $name:ident $with_ddof:ident $op:ident;)*) => {
        impl<T: Kind> Array<T> {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self, axes: impl Into<Axes>) -> Array<T::Mean> {
                self.$with_ddof(axes, 0)
            }

            $(#[$doc])*
            /// The divisor is the count less `ddof`.
            #[track_caller]
            pub fn $with_ddof(&self, axes: impl Into<Axes>, ddof: u64) -> Array<T::Mean> {
                Array::from_expr(reduce(&self.expr, FoldOp::$op { ddof }, &axes.into(), Location::caller()))
            }
        )*}

        impl<T: Kind> Rebinned<T> {$(
            $(#[$doc])*
            /// Of each box.
            #[track_caller]
            pub fn $name(&self) -> Array<T::Mean> {
                Array::from_expr(self.fold(FoldOp::$op { ddof: 0 }, Location::caller()))
            }
        )*}
    };
}

spreads! {
    /// The variance.
    var var_ddof Var;
    /// The standard deviation.
    std std_ddof Std;
    /// The variance of what is not NaN.
    nanvar nanvar_ddof NanVar;
    /// The standard deviation of what is not NaN.
    nanstd nanstd_ddof NanStd;
}

impl<T: Kind> Array<T> {
    /// The greatest less the least ("peak to peak"); NaN if one is NaN. Integers wrap.
    #[track_caller]
    pub fn ptp(&self, axes: impl Into<Axes>) -> Array<T> {
        let at = Location::caller();
        let axes = axes.into();
        let [max, min] = [FoldOp::Max, FoldOp::Min]
            .map(|op| Array::<T>::from_expr(reduce(&self.expr, op, &axes, at)));
        Array::from_expr(combine(Binary::Subtract, max.term(), min.term(), at))
    }

    /// How many are not zero (NaN is not).
    #[track_caller]
    pub fn count_nonzero(&self, axes: impl Into<Axes>) -> Array<i64> {
        let at = Location::caller();
        Array::from_expr(reduce(&cast(&self.expr, DType::Bool, at), FoldOp::Sum, &axes.into(), at))
    }

    /// The mean of the deviations from the mean to the power of `order`: the central moment.
    #[track_caller]
    pub fn moment(&self, order: u32, axes: impl Into<Axes>) -> Array<T::Mean> {
        let at = Location::caller();
        let axes = axes.into();
        Array::<T>::build(at, || {
            let dtype = self.meta()?.dtype;
            let real = if dtype.is_float() { dtype } else { DType::F64 };
            let order = Expr::constant(Scalar::U32(order).cast(real), Grid::whole(&[]), at);
            let with = |op, a: &Expr, b: &Expr| Expr::apply(kernel::binary(op, real), &[a, b], at);
            let mean = reduce(&self.expr, FoldOp::Mean, &keepdims(axes.clone()), at);
            let deviations = with(Binary::Subtract, &cast(&self.expr, real, at), &mean);
            Ok(reduce(&with(Binary::Power, &deviations, &order), FoldOp::Mean, &axes, at))
        })
    }

    /// The mean with weights: the sum of the elements times their weights, by the sum of the
    /// weights. Weights broadcast to the array's shape; those along one axis may have that axis
    /// alone. Where they sum to 0 (which NumPy refuses) the result is NaN or infinite.
    #[track_caller]
    pub fn average(&self, axes: impl Into<Axes>, weights: &Array<T::Mean>) -> Array<T::Mean> {
        let at = Location::caller();
        let axes = axes.into();
        Array::<T>::build(at, || {
            let (meta, weights) = (self.meta()?, &weights.expr);
            let (shape, own) = (meta.shape(), weights.meta()?.shape());
            let real = if meta.dtype.is_float() { meta.dtype } else { DType::F64 };
            let real = result_type(real, weights.meta()?.dtype);
            let (reduced, _) = axes.reduced(shape.len()).map_err(mistake(at))?;
            let spread = match reduced[..] {
                [axis] if own.len() == 1 && own[0] == shape[axis] => {
                    let along = AxisView::Along { of: axis, start: 0, step: 1 };
                    (Access::new([along]), shape)
                }
                _ => broadcast(&own, shape).map_err(mistake(at))?,
            };
            let weights = cast(&view(weights, spread.0, &spread.1, at), real, at);
            let with = |op, a: &Expr, b: &Expr| Expr::apply(kernel::binary(op, real), &[a, b], at);
            let weighted = with(Binary::Multiply, &cast(&self.expr, real, at), &weights);
            let sum = |expr: &Expr| reduce(expr, FoldOp::Sum, &axes, at);
            Ok(with(Binary::Divide, &sum(&weighted), &sum(&weights)))
        })
    }
}

/// An array divided into boxes, each of which gives one element; made by [`Array::rebin`].
#[derive(Clone, Debug)]
pub struct Rebinned<T: Kind> {
    array: Array<T>,
    bins: Sizes,
}

impl<T: Kind> Array<T> {
    /// Boxes of `bins` elements, one length an axis (-1 is the whole axis), side by side:
    /// `x.rebin([1, 5, 1, 10]).mean()`. Each length divides the axis'.
    pub fn rebin(&self, bins: impl Into<Sizes>) -> Rebinned<T> {
        Rebinned { array: self.clone(), bins: bins.into() }
    }
}

impl<T: Kind> Rebinned<T> {
    fn fold(&self, op: FoldOp, at: Line) -> Expr {
        kept(at, || {
            let meta = self.array.meta()?;
            let bins = checked_bins(self.bins.as_slice(), &meta.shape(), at)?;
            let fold: Arc<dyn Fold> = kernel::fold(op, meta.dtype).map_err(mistake(at))?;
            let shape = meta.shape();
            let Some(empty) = shape.iter().position(|&len| len == 0) else {
                return Ok(self.array.expr.fold(fold, &bins, at));
            };
            // The whole of an axis without elements is one box of nothing.
            let boxes: Dims = shape
                .iter()
                .zip(&bins)
                .map(|(len, &bin)| len.checked_div(bin).unwrap_or(1))
                .collect();
            without_elements(op, &*fold, empty, &boxes, at)
        })
    }
}

fn checked_bins(bins: &[i64], shape: &[u64], at: Line) -> Result<Dims> {
    if bins.len() != shape.len() {
        let message = format!(
            "bins along {} for an array of {}",
            axes_text(bins.len()),
            axes_text(shape.len())
        );
        return Err(Error::expression(message, at)
            .help("a bin of 1 leaves an axis as it is, -1 takes all of it"));
    }
    let checked = bins.iter().zip(shape).enumerate().map(|(axis, (&bin, &len))| match bin {
        -1 => Ok(len),
        1.. if len.is_multiple_of(bin as u64) => Ok(bin as u64),
        1.. => {
            let bin = bin as u64;
            let trimmed = len / bin * bin;
            let error = Error::expression(
                format!("a bin of {bin} does not divide the length {len} of axis {axis}"),
                at,
            );
            Err(match trimmed {
                0 => error.help(format!("a bin is at most {len} here")),
                _ => error.help(format!(
                    "slice the axis to its first {trimmed} elements before, by `..{trimmed}`"
                )),
            })
        }
        _ => Err(Error::expression(format!("a bin of {bin} along axis {axis}"), at)
            .help("a bin has 1 element or more, or is -1 for the whole axis")),
    });
    checked.collect()
}

#[cfg(test)]
mod tests {
    use super::super::{zeros, *};
    use super::*;
    use crate::expr::Op;

    fn error<T: Kind>(array: &Array<T>) -> String {
        array.meta().unwrap_err().to_string()
    }

    #[test]
    fn shapes_names_and_types() {
        let x = Array::chunked(&ndarray::Array3::<i16>::zeros((4, 6, 10)), [1, 3, 10]);
        let x: Array<i16> = Array::from_expr(
            x.expr()
                .described(|meta| meta.axes = ["stokes", "raster", "x"].map(String::from).into()),
        );
        let sum: Array<i64> = x.sum([0, 2]);
        assert_eq!(sum.shape().unwrap(), [6]);
        assert_eq!(sum.meta().unwrap().axes, ["raster"]);
        assert_eq!(sum.chunks().unwrap(), [vec![3, 3]]);
        let mean: Array<f64> = x.mean(-1);
        assert_eq!((mean.dtype().unwrap(), mean.shape().unwrap()), (DType::F64, vec![4, 6]));
        assert_eq!(x.argmin(..).shape().unwrap(), [0usize; 0]);
        assert_eq!(x.any(..).dtype().unwrap(), DType::Bool);
        assert_eq!(x.to_dyn().std_ddof(1, 1).dtype().unwrap(), DType::F64);
        assert!(error(&x.sum(3)).starts_with("axis 3 is out of range for an array of 3 axes at "));
        assert!(error(&x.sum([0, -3])).starts_with("axis -3 is named twice at "));
    }

    #[test]
    fn of_no_element() {
        let x = zeros::<f32>([3, 0]);
        let value = |array: Expr| match array.op() {
            Op::Constant(value) => *value,
            op => panic!("a constant, not {op:?}"),
        };
        let sum = x.sum(1);
        assert_eq!((value(sum.expr().clone()), sum.shape().unwrap()), (Scalar::F32(0.0), vec![3]));
        assert_eq!(value(x.prod(..).expr().clone()), Scalar::F32(1.0));
        assert_eq!(value(x.all(..).expr().clone()), Scalar::Bool(true));
        assert!(matches!(value(x.mean(..).expr().clone()), Scalar::F32(v) if v.is_nan()));
        assert!(error(&x.min(1)).starts_with("min of no element: axis 1 has length 0 at "));
        assert_eq!(x.max(0).shape().unwrap(), [0]);
        assert_eq!(zeros::<f32>([0, 0]).max(0).shape().unwrap(), [0]);
        assert_eq!(x.rebin([1, -1]).sum().shape().unwrap(), [3, 1]);
    }

    #[test]
    fn rebinned() {
        let x = Array::chunked(&ndarray::Array2::<f32>::zeros((10, 12)), [5, 6]);
        let mean = x.rebin([5, 4]).mean();
        assert_eq!(mean.chunks().unwrap(), [vec![1, 1], vec![1, 2]]);
        assert_eq!(x.rebin([-1, 3]).max().shape().unwrap(), [1, 4]);
        let text = error(&x.rebin([1, 5]).mean());
        assert!(
            text.starts_with("a bin of 5 does not divide the length 12 of axis 1 at "),
            "{text}"
        );
        assert!(text.ends_with("\n  slice the axis to its first 10 elements before, by `..10`"));
        assert!(error(&x.rebin([11, 1]).sum()).ends_with("a bin is at most 10 here"));
        assert!(error(&x.rebin([0, 1]).sum()).starts_with("a bin of 0 along axis 0 at "));
        assert!(
            error(&x.rebin([2]).sum()).starts_with("bins along 1 axis for an array of 2 axes at ")
        );
    }
}
