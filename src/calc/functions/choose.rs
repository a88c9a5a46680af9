//! What has to be looked at before its shape is known, and the places of elements.

use super::{
    super::{
        fault::{Fault, Result},
        value::Value,
    },
    arguments::Arguments,
    functions,
};
use crate::{
    array::{Array, Unique, concatenate},
    kernel::Binary,
};

functions! {
    "unique(ar, return_index=False, return_inverse=False, return_counts=False, *, most=262144)" "The distinct values, of which there are `most` at the most; where each is first, which one each element is, how often each occurs" => |a| unique(a)?;
    "unique_values(x, /, *, most=262144)" "The distinct values" => |a| distinct(a, &a.array("x")?)?.values;
    "union1d(ar1, ar2, *, most=262144)" "The distinct values of two arrays" => |a| distinct(a, &flat(a)?)?.values;
    "intersect1d(ar1, ar2, *, most=262144)" "The distinct values that both arrays have" => |a| shared(a, [1, 1], 2)?;
    "setdiff1d(ar1, ar2, *, most=262144)" "The distinct values that the second array has not" => |a| shared(a, [1, 2], 1)?;
    "setxor1d(ar1, ar2, *, most=262144)" "The distinct values that one of both arrays has" => |a| shared(a, [1, 1], 1)?;
    "nonzero(a)" "The places of what is not zero: an array for each axis" => |a| places(a, "a")?;
    "flatnonzero(a)" "The C-order indices of what is not zero" => |a| a.settling().settled(a.array("a")?.flatnonzero())?;
    "argwhere(a)" "The places of what is not zero, a row each" => |a| a.settling().settled(a.array("a")?.argwhere())?;
    "extract(condition, arr)" "The elements where a condition is not zero" => |a| a.settling().settled(a.array("arr")?.ravel().filter(&a.array("condition")?.ravel().cast::<bool>()))?;
    "searchsorted(a, v, side='left')" "Where elements would stand among sorted ones" => |a| a.array("a")?.searchsorted(&a.array("v")?, right(a)?);
    "digitize(x, bins, right=False)" "Between which edges elements lie" => |a| digitized(a)?;
    "unravel_index(indices, shape)" "The places that C-order indices stand for: an array for each axis" => |a| unravelled(a)?;
    "ravel_multi_index(multi_index, dims)" "The C-order indices of places" => |a| ravelled(a)?;
}

/// The places of what is not zero in the array `name`.
pub(super) fn places(a: &Arguments<'_>, name: &str) -> Result<Value> {
    let places = a.settling().settled(a.array(name)?.nonzero())?;
    Ok(Value::Tuple(places.into_iter().map(Value::from).collect()))
}

fn distinct(a: &Arguments<'_>, array: &Array) -> Result<Unique> {
    a.settling().settled(array.unique(a.count("most")?))
}

fn unique(a: &Arguments<'_>) -> Result<Value> {
    let array = a.array("ar")?;
    let Unique { values, counts, index, inverse } = distinct(a, &array)?;
    let mut parts = vec![Value::from(values)];
    for (asked, part) in
        [("return_index", index), ("return_inverse", inverse), ("return_counts", counts)]
    {
        if a.flag(asked)? {
            parts.push(part.into());
        }
    }
    Ok(match parts.len() {
        1 => parts.remove(0),
        _ => Value::Tuple(parts),
    })
}

/// The elements of both arrays one after the other.
fn flat(a: &Arguments<'_>) -> Result<Array> {
    Ok(concatenate([a.array("ar1")?.ravel(), a.array("ar2")?.ravel()], 0))
}

/// The values that occur `wanted` times where each distinct one of the first array counts `times[0]`, and of
/// the second `times[1]`.
fn shared(a: &Arguments<'_>, times: [usize; 2], wanted: i64) -> Result<Array> {
    let mut parts = Vec::new();
    for (name, times) in ["ar1", "ar2"].into_iter().zip(times) {
        let values = distinct(a, &a.array(name)?)?.values;
        parts.extend(std::iter::repeat_n(values, times));
    }
    let both = distinct(a, &concatenate(parts, 0))?;
    a.settling().settled(both.values.filter(&both.counts.equal(wanted)))
}

/// Integers between integers are compared as such, and not as doubles.
fn digitized(a: &Arguments<'_>) -> Result<Array> {
    let (array, edges, right) = (a.array("x")?, a.value("bins").to_array()?, a.flag("right")?);
    let floats = a.floats("bins")?.0;
    if array.dtype()?.is_float() || edges.dtype()?.is_float() {
        return Ok(array.digitize(&floats, right).to_dyn());
    }
    match floats.is_sorted() {
        true => Ok(edges.searchsorted(&array, !right).to_dyn()),
        false if floats.iter().rev().is_sorted() => {
            Ok(floats.len() as i64 - edges.flip(0).searchsorted(&array, !right).to_dyn())
        }
        false => Err(Fault::value("bins must be monotonically increasing or decreasing")),
    }
}

fn right(a: &Arguments<'_>) -> Result<bool> {
    match a.value("side") {
        Value::Text(side) if side == "left" => Ok(false),
        Value::Text(side) if side == "right" => Ok(true),
        _ => Err(Fault::value("side must be 'left' or 'right'")),
    }
}

fn unravelled(a: &Arguments<'_>) -> Result<Value> {
    let (indices, shape) = (a.array("indices")?, a.integers("shape")?);
    let mut rest = Value::Array(indices);
    let mut places = Vec::with_capacity(shape.len());
    for &len in shape.iter().rev() {
        let len = Value::Int(len.into());
        places.push(super::binary(Binary::Remainder, &rest, &len)?);
        rest = super::binary(Binary::FloorDivide, &rest, &len)?;
    }
    places.reverse();
    Ok(Value::Tuple(places))
}

fn ravelled(a: &Arguments<'_>) -> Result<Value> {
    let (places, dims) = (a.arrays("multi_index")?, a.integers("dims")?);
    if places.len() != dims.len() {
        return Err(Fault::value(format!(
            "parameter multi_index must be a sequence of length {}",
            dims.len()
        )));
    }
    let mut index = Value::Int(0);
    for (places, len) in places.into_iter().zip(dims) {
        let rows = super::binary(Binary::Multiply, &index, &Value::Int(len.into()))?;
        index = super::binary(Binary::Add, &rows, &Value::Array(places))?;
    }
    Ok(index)
}
