//! Reductions along axes.

use super::{
    super::{
        fault::{Fault, Result},
        value::Value,
    },
    arguments::Arguments,
    functions,
};
use crate::{
    array::{Array, Axes},
    kernel::Binary,
};

functions! {
    "sum(a, axis=None, dtype=None, *, keepdims=False, initial=None)" "The sum" => |a| begun(a, Array::sum, Binary::Add)?;
    "prod(a, axis=None, dtype=None, *, keepdims=False, initial=None)" "The product" => |a| begun(a, Array::prod, Binary::Multiply)?;
    "mean(a, axis=None, dtype=None, *, keepdims=False)" "The mean" => |a| a.reduced(Array::mean)?;
    "std(a, axis=None, dtype=None, *, ddof=0, keepdims=False)" "The standard deviation" => |a| spread(a, Array::std_ddof)?;
    "var(a, axis=None, dtype=None, *, ddof=0, keepdims=False)" "The variance" => |a| spread(a, Array::var_ddof)?;
    "min|amin(a, axis=None, *, keepdims=False, initial=None)" "The least; NaN if one is NaN" => |a| begun(a, Array::min, Binary::Minimum)?;
    "max|amax(a, axis=None, *, keepdims=False, initial=None)" "The greatest; NaN if one is NaN" => |a| begun(a, Array::max, Binary::Maximum)?;
    "ptp(a, axis=None, *, keepdims=False)" "The greatest less the least" => |a| a.reduced(Array::ptp)?;
    "argmin(a, axis=None, *, keepdims=False)" "The index of the first least element" => |a| a.reduced(|x, axes| x.argmin(axes).to_dyn())?;
    "argmax(a, axis=None, *, keepdims=False)" "The index of the first greatest element" => |a| a.reduced(|x, axes| x.argmax(axes).to_dyn())?;
    "any(a, axis=None, *, keepdims=False)" "Whether one is not zero" => |a| a.reduced(|x, axes| x.any(axes).to_dyn())?;
    "all(a, axis=None, *, keepdims=False)" "Whether none is zero" => |a| a.reduced(|x, axes| x.all(axes).to_dyn())?;
    "count_nonzero(a, axis=None, *, keepdims=False)" "How many are not zero" => |a| a.reduced(|x, axes| x.count_nonzero(axes).to_dyn())?;
    "cumsum(a, axis=None, dtype=None)" "Running sums along an axis" => |a| scanned(a, Array::cumsum)?;
    "cumprod(a, axis=None, dtype=None)" "Running products along an axis" => |a| scanned(a, Array::cumprod)?;
    "nancumsum(a, axis=None, dtype=None)" "Running sums of what is not NaN" => |a| scanned(a, Array::nancumsum)?;
    "nancumprod(a, axis=None, dtype=None)" "Running products of what is not NaN" => |a| scanned(a, Array::nancumprod)?;
    "moment(a, order, axis=None, *, keepdims=False)" "The central moment (as in dask)" => |a| moment(a)?;
    "average(a, axis=None, weights=None, *, keepdims=False)" "The mean, with weights" => |a| average(a)?;
    "nansum(a, axis=None, dtype=None, *, keepdims=False)" "The sum of what is not NaN" => |a| a.reduced(Array::nansum)?;
    "nanprod(a, axis=None, dtype=None, *, keepdims=False)" "The product of what is not NaN" => |a| a.reduced(Array::nanprod)?;
    "nanmean(a, axis=None, dtype=None, *, keepdims=False)" "The mean of what is not NaN" => |a| a.reduced(Array::nanmean)?;
    "nanstd(a, axis=None, dtype=None, *, ddof=0, keepdims=False)" "The standard deviation of what is not NaN" => |a| spread(a, Array::nanstd_ddof)?;
    "nanvar(a, axis=None, dtype=None, *, ddof=0, keepdims=False)" "The variance of what is not NaN" => |a| spread(a, Array::nanvar_ddof)?;
    "nanmin(a, axis=None, *, keepdims=False)" "The least of what is not NaN" => |a| a.reduced(Array::nanmin)?;
    "nanmax(a, axis=None, *, keepdims=False)" "The greatest of what is not NaN" => |a| a.reduced(Array::nanmax)?;
    "nanargmin(a, axis=None, *, keepdims=False)" "As argmin, of what is not NaN" => |a| a.reduced(|x, axes| x.nanargmin(axes).to_dyn())?;
    "nanargmax(a, axis=None, *, keepdims=False)" "As argmax, of what is not NaN" => |a| a.reduced(|x, axes| x.nanargmax(axes).to_dyn())?;
}

/// A reduction that begins with a value, if there is one.
fn begun(a: &Arguments<'_>, reduce: fn(&Array, Axes) -> Array, op: Binary) -> Result<Value> {
    let reduced = Value::from(a.reduced(reduce)?);
    match a.is_none("initial") {
        true => Ok(reduced),
        false => super::binary(op, &reduced, &a.known("initial")?),
    }
}

/// A spread, whose divisor is the count less `ddof`.
fn spread(a: &Arguments<'_>, of: fn(&Array, Axes, u64) -> Array) -> Result<Array> {
    let ddof = a.count("ddof")?;
    a.reduced(|array, axes| of(array, axes, ddof))
}

/// Running sums or products, computed in `dtype`; of all elements in C order where no axis is named.
fn scanned(a: &Arguments<'_>, scan: fn(&Array, i64) -> Array) -> Result<Array> {
    let dtype = a.maybe_dtype("dtype")?;
    let (array, axis) = a.along_or_flat()?;
    let array = dtype.map_or_else(|| array.clone(), |dtype| array.cast_to(dtype));
    let made = scan(&array, axis);
    Ok(dtype.map_or_else(|| made.clone(), |dtype| made.cast_to(dtype)))
}

fn moment(a: &Arguments<'_>) -> Result<Array> {
    let order = u32::try_from(a.count("order")?)
        .map_err(|_| Fault::value("the order of a moment is a small number"))?;
    a.reduced(|array, axes| array.moment(order, axes))
}

fn average(a: &Arguments<'_>) -> Result<Array> {
    if a.is_none("weights") {
        return a.reduced(Array::mean);
    }
    let weights = a.array("weights")?;
    a.reduced(|array, axes| array.average(axes, &weights))
}
