//! Functions that move elements without changing them.

use super::{
    super::{
        fault::{Fault, Result},
        index::index_of,
        settling::MOST,
        value::Value,
    },
    arguments::Arguments,
    elementwise::choice,
    functions,
};
use crate::array::{Array, Axes, Chunks, Pad, PadWidths, axis_of, diag, full, range};
use freeboard_formats::DType;

functions! {
    "transpose|permute_dims(a, axes=None)" "The axes in another order; reversed by default" => |a| a.array("a")?.transpose(a.axes("axes")?);
    "ndarray.transpose(self, *axes)" "The axes in another order; reversed by default" => |a| transposed(a)?;
    "matrix_transpose(x, /)" "The last two axes exchanged" => |a| a.array("x")?.swapaxes(-2, -1);
    "swapaxes(a, axis1, axis2)" "Two axes exchanged" => |a| a.array("a")?.swapaxes(a.integer("axis1")?, a.integer("axis2")?);
    "moveaxis(a, source, destination)" "An axis at another place" => |a| a.array("a")?.moveaxis(a.axes("source")?, a.axes("destination")?);
    "squeeze(a, axis=None)" "Without axes of length 1" => |a| a.array("a")?.squeeze(a.axes("axis")?);
    "expand_dims(a, axis)" "With new axes of length 1" => |a| a.array("a")?.expand_dims(a.axes("axis")?);
    "flip(m, axis=None)" "The elements in reverse order along axes" => |a| a.array("m")?.flip(a.axes("axis")?);
    "flipud(m)" "The elements in reverse order along axis 0" => |a| a.array("m")?.flip(0);
    "fliplr(m)" "The elements in reverse order along axis 1" => |a| a.array("m")?.flip(1);
    "broadcast_to(array, shape)" "Repeated to a shape, by the rules of operators" => |a| a.array("array")?.broadcast_to(a.integers("shape")?);
    "atleast_1d(a)" "With one axis at least" => |a| a.array("a")?.atleast_1d();
    "atleast_2d(a)" "With two axes at least" => |a| a.array("a")?.atleast_2d();
    "atleast_3d(a)" "With three axes at least" => |a| a.array("a")?.atleast_3d();
    "roll(a, shift, axis=None)" "The elements moved along axes, in again at the other end" => |a| rolled(a)?;
    "rot90(m, k=1, axes=(0, 1))" "Turned by quarters in the plane of two axes" => |a| a.array("m")?.rot90(a.integer("k")?, pair(a, "axes")?);
    "tile(A, reps)" "Repeated side by side" => |a| a.array("A")?.tile(a.integers("reps")?);
    "repeat(a, repeats, axis=None)" "Each element several times" => |a| repeated(a)?;
    "pad(array, pad_width, mode='constant', *, constant_values=0, end_values=0)" "With elements put around: constant, edge, reflect, symmetric, wrap, maximum, minimum, mean, median, linear_ramp" => |a| padded(a)?;
    "diag(v, k=0)" "A matrix with a diagonal, or the diagonal of a matrix" => |a| diagonal_or_matrix(a)?;
    "diagonal(a, offset=0, axis1=0, axis2=1)" "The diagonals of two axes" => |a| a.array("a")?.diagonal(a.integer("offset")?, plane(a)?);
    "trace(a, offset=0, axis1=0, axis2=1)" "The sums of the diagonals of two axes" => |a| a.array("a")?.trace(a.integer("offset")?, plane(a)?);
    "tril(m, k=0)" "Matrices, 0 above a diagonal" => |a| matrix(a, "m")?.tril(a.integer("k")?);
    "triu(m, k=0)" "Matrices, 0 below a diagonal" => |a| matrix(a, "m")?.triu(a.integer("k")?);
    "reshape(a, shape)" "The elements in C order under another shape" => |a| a.array("a")?.reshape(a.integers("shape")?);
    "ndarray.reshape(self, *shape)" "The elements in C order under another shape" => |a| a.array("self")?.reshape(a.integers("shape")?);
    "ravel(a)" "All elements along one axis" => |a| a.array("a")?.ravel();
    "ndarray.flatten(self)" "All elements along one axis" => |a| a.array("self")?.ravel();
    "take(a, indices, axis=None)" "The elements at places along an axis" => |a| taken(a)?;
    "take_along_axis(arr, indices, axis=-1)" "The elements at the places that each line has along an axis" => |a| { let (array, axis) = a.flat_or_along("arr")?; array.take_along_axis(&a.array("indices")?, axis) };
    "ndarray.item(self)" "The only element, as a number" => |a| item(a)?;
    "compress(condition, a, axis=None)" "The elements along an axis where a list is true" => |a| compressed(a, "a")?;
    "ndarray.compress(self, condition, axis=None)" "The elements along an axis where a list is true" => |a| compressed(a, "self")?;
    "ndarray.rechunk(self, chunks)" "The same elements in other chunks (as in dask)" => |a| rechunked(a)?;
    "insert(arr, obj, values, axis=None)" "With elements put in before a place along an axis" => |a| inserted(a)?;
    "delete(arr, obj, axis=None)" "Without the elements at places along an axis" => |a| deleted(a)?;
    "select(condlist, choicelist, default=0)" "The elements of the first choice whose condition holds" => |a| selected(a)?;
    "choose(a, choices)" "Of the arrays, that with the number that the elements have" => |a| chosen(a)?;
    "tri(N, M=None, k=0, dtype=float64)" "Ones on and below a diagonal, else 0" => |a| triangle(a, "N", "M")?.cast_to(a.maybe_dtype("dtype")?.unwrap_or(DType::F64));
    "tril_indices(n, k=0, m=None)" "The places on and below a diagonal" => |a| indices(a, &triangle(a, "n", "m")?)?;
    "triu_indices(n, k=0, m=None)" "The places on and above a diagonal" => |a| indices(a, &whole(a, "n", "m")?.triu(a.integer("k")?))?;
    "copy(a)" "The elements" => |a| a.array("a")?;
    "shape(a)" "The number of elements along each axis" => |a| sizes(&a.array("a")?)?;
    "ndim(a)" "The number of axes" => |a| a.array("a")?.rank()? as u64;
    "size(a, axis=None)" "The number of elements, of all or along an axis" => |a| size(a)?;
    "len(a)" "The number of elements along axis 0" => |a| len(a)?;
    "result_type(x, y)" "The dtype in which two arrays meet" => |a| result_type(a)?;
}

fn transposed(a: &Arguments<'_>) -> Result<Array> {
    let axes = match a.value("axes") {
        Value::Tuple(axes) if matches!(&axes[..], [] | [Value::None]) => Axes::from(..),
        _ => a.axes("axes")?,
    };
    Ok(a.array("self")?.transpose(axes))
}

/// The elements at places along an axis, which is dropped for one place.
fn taken(a: &Arguments<'_>) -> Result<Array> {
    let (array, axis) = a.along_or_flat()?;
    let nested =
        |value: &Value| matches!(value, Value::Tuple(_) | Value::List(_) | Value::Array(_));
    let looked_up = match a.value("indices") {
        Value::Array(_) => true,
        Value::Tuple(values) | Value::List(values) => values.iter().any(nested),
        _ => false,
    };
    if looked_up {
        let indices = Value::Array(a.array("indices")?);
        let axis = axis_of(axis, array.rank()?).map_err(Fault::value)?;
        let mut index = vec![Value::Slice([None; 3]); axis];
        index.push(indices);
        return match index_of(&array.into(), &Value::Tuple(index), a.settling())? {
            Value::Array(taken) => Ok(taken),
            _ => Err(Fault::new("an array is taken from an array")),
        };
    }
    let one = !matches!(a.value("indices"), Value::Tuple(_) | Value::List(_));
    let taken = array.take(a.integers("indices")?, axis);
    Ok(if one { taken.squeeze(axis) } else { taken })
}

fn compressed(a: &Arguments<'_>, array: &str) -> Result<Array> {
    let (array, axis) = a.flat_or_along(array)?;
    Ok(array.compress(&a.flags("condition")?, axis))
}

pub(super) fn listed(arrays: Vec<Array>) -> Value {
    Value::List(arrays.into_iter().map(Value::Array).collect())
}

/// One shift for all axes, one axis for all shifts, or as many: one after the other, as an axis may be named twice.
/// Without an axis, the elements in C order.
fn rolled(a: &Arguments<'_>) -> Result<Array> {
    let (array, shifts) = (a.array("a")?, a.integers("shift")?);
    let Some(axes) = a.maybe_integers("axis")? else {
        let shape: Vec<i64> = array.shape()?.into_iter().map(|len| len as i64).collect();
        let flat = shifts.iter().fold(array.ravel(), |flat, &shift| flat.roll(shift, 0));
        return Ok(if shape.len() == 1 { flat } else { flat.reshape(shape) });
    };
    let count = if axes.len() == 1 { shifts.len() } else { axes.len() };
    if ![1, count].contains(&shifts.len()) {
        let message = format!("{} shifts along {} axes", shifts.len(), axes.len());
        return Err(Fault::value(message));
    }
    let pairs = shifts.iter().cycle().zip(axes.iter().cycle()).take(count);
    Ok(pairs.fold(array, |array, (&shift, &axis)| array.roll(shift, axis)))
}

/// Each element several times, all as often or each as often as a list says.
fn repeated(a: &Arguments<'_>) -> Result<Array> {
    let (array, axis) = a.along_or_flat()?;
    let counts = a.integers("repeats")?;
    if counts.iter().any(|&count| count < 0) {
        return Err(Fault::value("repeats may not contain negative values"));
    }
    if let [count] = counts[..] {
        return Ok(array.repeat(count as usize, axis));
    }
    let len = array.shape()?[axis_of(axis, array.rank()?).map_err(Fault::value)?];
    let total = counts.iter().try_fold(0i64, |sum, &count| sum.checked_add(count));
    if counts.len() != len || total.is_none_or(|total| total as u64 > MOST) {
        return Err(Fault::value(format!("{} repeats of {len} elements", counts.len()))
            .help(format!("one for each, and {MOST} together at the most")));
    }
    let places = counts.iter().zip(0i64..).flat_map(|(&count, at)| (0..count).map(move |_| at));
    Ok(array.take(places.collect::<Vec<i64>>(), axis))
}

/// The element of an array that has one.
fn item(a: &Arguments<'_>) -> Result<Value> {
    let array = a.array("self")?;
    match array.shape()?.iter().all(|&len| len == 1) {
        true => a.settling().numbers(&array.squeeze(..).into()),
        false => Err(Fault::value("can only convert an array of size 1 to a Python scalar")),
    }
}

/// A matrix, or a line as each row of one.
fn matrix(a: &Arguments<'_>, name: &str) -> Result<Array> {
    let array = a.array(name)?;
    match array.shape()?[..] {
        [len] => Ok(array.broadcast_to([len as i64, len as i64])),
        _ => Ok(array),
    }
}

fn plane(a: &Arguments<'_>) -> Result<[i64; 2]> {
    Ok([a.integer("axis1")?, a.integer("axis2")?])
}

fn diagonal_or_matrix(a: &Arguments<'_>) -> Result<Array> {
    let (array, k) = (a.array("v")?, a.integer("k")?);
    match array.rank()? {
        2 => Ok(array.diagonal(k, [0, 1])),
        _ => Ok(diag(&array, k)),
    }
}

/// Two integers.
fn pair(a: &Arguments<'_>, name: &str) -> Result<[i64; 2]> {
    let integers = a.integers(name)?;
    <[i64; 2]>::try_from(integers)
        .map_err(|integers| Fault::new(format!("two axes are expected, not {}", integers.len())))
}

fn padded(a: &Arguments<'_>) -> Result<Array> {
    let array = a.array("array")?;
    let mode = match a.value("mode") {
        Value::Text(mode) => mode.as_str(),
        other => {
            return Err(Fault::new(format!("a mode is a string, not {}", other.with_article())));
        }
    };
    let mode = match mode {
        "constant" => Pad::Constant(a.known("constant_values")?.to_scalar()?),
        "edge" => Pad::Edge,
        "reflect" => Pad::Reflect,
        "symmetric" => Pad::Symmetric,
        "wrap" => Pad::Wrap,
        "maximum" => Pad::Maximum,
        "minimum" => Pad::Minimum,
        "mean" => Pad::Mean,
        "median" => Pad::Median,
        "linear_ramp" => Pad::LinearRamp(a.known("end_values")?.to_scalar()?),
        "empty" => Pad::constant(0),
        other => {
            return Err(Fault::new(format!("there is no mode {other:?}"))
                .help("there are constant, edge, reflect, symmetric, wrap, maximum, minimum, mean, median, linear_ramp, empty"));
        }
    };
    let wrong = || {
        Fault::new(
            "pad_width is a number, a pair (before, after), or a pair for each axis, none negative",
        )
    };
    let width = |value: &Value| match value {
        Value::Int(width) => u64::try_from(*width).map_err(|_| wrong()),
        _ => Err(wrong()),
    };
    let both = |value: &Value| match value {
        Value::Tuple(pair) | Value::List(pair) => match &pair[..] {
            [before, after] => Ok((width(before)?, width(after)?)),
            [both] => Ok((width(both)?, width(both)?)),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    };
    let widths = match a.value("pad_width") {
        value @ Value::Int(_) => PadWidths::from(width(value)?),
        value @ (Value::Tuple(pairs) | Value::List(pairs)) => match &pairs[..] {
            [Value::Tuple(_) | Value::List(_)] => PadWidths::from(both(&pairs[0])?),
            [Value::Tuple(_) | Value::List(_), ..] => {
                PadWidths::from(pairs.iter().map(both).collect::<Result<Vec<_>>>()?)
            }
            _ => PadWidths::from(both(value)?),
        },
        _ => return Err(wrong()),
    };
    Ok(array.pad(widths, mode))
}

fn rechunked(a: &Arguments<'_>) -> Result<Array> {
    let array = a.array("self")?;
    let chunks = match a.value("chunks") {
        Value::Text(text) => Chunks::from(text.as_str()),
        Value::Tuple(_) | Value::List(_) => Chunks::sizes(a.integers("chunks")?),
        // One length for all axes.
        _ => Chunks::sizes(vec![a.integer("chunks")?; array.rank()?]),
    };
    Ok(array.rechunk(chunks))
}

fn sizes(array: &Array) -> Result<Value> {
    Ok(Value::Tuple(array.shape()?.into_iter().map(|len| Value::from(len as u64)).collect()))
}

fn size(a: &Arguments<'_>) -> Result<u64> {
    let shape = a.array("a")?.shape()?;
    let Some(axis) = a.maybe_integer("axis")? else {
        return Ok(shape.iter().map(|&len| len as u64).product());
    };
    let counted = if axis < 0 { axis + shape.len() as i64 } else { axis };
    let len = usize::try_from(counted).ok().and_then(|axis| shape.get(axis));
    len.map(|&len| len as u64).ok_or_else(|| {
        let rank = shape.len();
        Fault::value(format!("axis {axis} is out of bounds for array of dimension {rank}"))
    })
}

fn len(a: &Arguments<'_>) -> Result<u64> {
    match a.value("a") {
        Value::Tuple(values) | Value::List(values) => Ok(values.len() as u64),
        _ => match a.array("a")?.shape()?.first() {
            Some(&len) => Ok(len as u64),
            None => Err(Fault::value("len() of unsized object")),
        },
    }
}

fn result_type(a: &Arguments<'_>) -> Result<Value> {
    let dtype = |name| -> Result<DType> {
        match a.value(name) {
            Value::DType(_) | Value::Text(_) => Ok(a.maybe_dtype(name)?.unwrap_or(DType::F64)),
            _ => Ok(a.array(name)?.dtype()?),
        }
    };
    Ok(Value::DType(crate::kernel::promote::result_type(dtype("x")?, dtype("y")?)))
}

fn inserted(a: &Arguments<'_>) -> Result<Array> {
    let (array, axis) = a.flat_or_along("arr")?;
    let values = a.array("values")?.cast_to(array.dtype()?);
    Ok(array.insert(a.integer("obj")?, &values, axis))
}

fn deleted(a: &Arguments<'_>) -> Result<Array> {
    let (array, axis) = a.flat_or_along("arr")?;
    if let Value::Slice([start, stop, step]) = *a.value("obj") {
        let axis = axis_of(axis, array.rank()?).map_err(Fault::value)?;
        let (first, count) = range(start, stop, step.unwrap_or(1), array.shape()?[axis] as u64);
        let step = step.unwrap_or(1);
        let places: Vec<i64> = (0..count as i64).map(|i| first + i * step).collect();
        return Ok(array.delete(places, axis as i64));
    }
    Ok(array.delete(a.integers("obj")?, axis))
}

fn selected(a: &Arguments<'_>) -> Result<Array> {
    let (conditions, choices) = (a.arrays("condlist")?, listed_values(a, "choicelist")?);
    if conditions.is_empty() || conditions.len() != choices.len() {
        return Err(Fault::value("list of cases must be same length as list of conditions"));
    }
    let mut made = a.value("default").clone();
    for (condition, value) in conditions.iter().zip(&choices).rev() {
        if condition.dtype()? != DType::Bool {
            return Err(Fault::new("the conditions of select() are arrays of bool"));
        }
        made = choice(&condition.cast::<bool>(), value, &made)?;
    }
    made.to_array()
}

/// The values of a tuple or a list.
fn listed_values(a: &Arguments<'_>, name: &str) -> Result<Vec<Value>> {
    match a.value(name) {
        Value::Tuple(values) | Value::List(values) => Ok(values.clone()),
        _ => Err(Fault::new(format!("'{name}' is a tuple or a list"))),
    }
}

fn chosen(a: &Arguments<'_>) -> Result<Array> {
    let (places, choices) = (a.array("a")?, listed_values(a, "choices")?);
    let Some((last, choices)) = choices.split_last() else {
        return Err(Fault::value("choose() between no arrays"));
    };
    if places.dtype()?.is_float() {
        return Err(Fault::new("choose() takes integers"));
    }
    let mut made = last.clone();
    for (number, value) in choices.iter().enumerate().rev() {
        made = choice(&places.equal(number as i64), value, &made)?;
    }
    made.to_array()
}

/// True everywhere, of as many rows and columns as two arguments tell.
fn whole(a: &Arguments<'_>, rows: &str, columns: &str) -> Result<Array> {
    let rows = a.integer(rows)?;
    let columns = a.maybe_integer(columns)?.unwrap_or(rows);
    Ok(full([rows, columns], true).to_dyn())
}

fn triangle(a: &Arguments<'_>, rows: &str, columns: &str) -> Result<Array> {
    Ok(whole(a, rows, columns)?.tril(a.integer("k")?))
}

/// The places where an array is true.
fn indices(a: &Arguments<'_>, array: &Array) -> Result<Value> {
    let places = a.settling().settled(array.nonzero())?;
    Ok(Value::Tuple(places.into_iter().map(Value::from).collect()))
}
