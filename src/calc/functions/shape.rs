//! Functions that move elements without changing them.

use super::{
    super::{
        fault::{Fault, Result},
        index::index_of,
        value::Value,
    },
    arguments::Arguments,
    elementwise::choice,
    functions,
};
use crate::array::{
    Array, Axes, Chunks, Indexing, Pad, PadWidths, axis_of, concatenate, diag, dstack, full,
    hstack, meshgrid, range, stack, vstack,
};
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
    "concatenate|concat(arrays, /, axis=0)" "Arrays one after the other along an axis" => |a| concatenate(a.arrays("arrays")?, a.integer("axis")?);
    "stack(arrays, axis=0)" "Arrays side by side along a new axis" => |a| stack(a.arrays("arrays")?, a.integer("axis")?);
    "vstack|row_stack(tup)" "Arrays one above the other" => |a| vstack(a.arrays("tup")?);
    "hstack(tup)" "Arrays side by side" => |a| hstack(a.arrays("tup")?);
    "dstack(tup)" "Arrays one behind the other" => |a| dstack(a.arrays("tup")?);
    "block(arrays)" "Rows of arrays, as a matrix is written" => |a| blocks(a)?;
    "split(ary, indices_or_sections, axis=0)" "The array in parts of equal length" => |a| parts(a, Array::split)?;
    "array_split(ary, indices_or_sections, axis=0)" "The array in parts" => |a| parts(a, Array::array_split)?;
    "atleast_1d(a)" "With one axis at least" => |a| a.array("a")?.atleast_1d();
    "atleast_2d(a)" "With two axes at least" => |a| a.array("a")?.atleast_2d();
    "atleast_3d(a)" "With three axes at least" => |a| a.array("a")?.atleast_3d();
    "roll(a, shift, axis=None)" "The elements moved along axes, in again at the other end" => |a| rolled(a)?;
    "rot90(m, k=1, axes=(0, 1))" "Turned by quarters in the plane of two axes" => |a| a.array("m")?.rot90(a.integer("k")?, pair(a, "axes")?);
    "tile(A, reps)" "Repeated side by side" => |a| a.array("A")?.tile(a.integers("reps")?);
    "repeat(a, repeats, axis=None)" "Each element several times" => |a| along_one(a)?.repeat(a.count("repeats")? as usize, a.maybe_integer("axis")?.unwrap_or(0));
    "pad(array, pad_width, mode='constant', *, constant_values=0, end_values=0)" "With elements put around: constant, edge, reflect, symmetric, wrap, maximum, minimum, mean, median, linear_ramp" => |a| padded(a)?;
    "diag(v, k=0)" "A matrix with a diagonal, or the diagonal of a matrix" => |a| diagonal_or_matrix(a)?;
    "diagonal(a, offset=0, axis1=0, axis2=1)" "The diagonals of two axes" => |a| a.array("a")?.diagonal(a.integer("offset")?, plane(a)?);
    "trace(a, offset=0, axis1=0, axis2=1)" "The sums of the diagonals of two axes" => |a| a.array("a")?.trace(a.integer("offset")?, plane(a)?);
    "tril(m, k=0)" "Matrices, 0 above a diagonal" => |a| matrix(a, "m")?.tril(a.integer("k")?);
    "triu(m, k=0)" "Matrices, 0 below a diagonal" => |a| matrix(a, "m")?.triu(a.integer("k")?);
    "meshgrid(*xi, indexing='xy')" "The coordinates of a grid of points" => |a| grid(a)?;
    "diff(a, n=1, axis=-1)" "The differences of neighbours along an axis" => |a| a.array("a")?.diff(a.count("n")? as usize, a.integer("axis")?);
    "gradient(f, spacing=1.0, *, axis=None)" "The slopes along axes" => |a| gradient(a)?;
    "trapezoid(y, *, dx=1.0, axis=-1)" "The integral along an axis" => |a| a.array("y")?.trapezoid(a.integer("axis")?, a.float("dx")?);
    "reshape(a, shape)" "The elements in C order under another shape" => |a| a.array("a")?.reshape(a.integers("shape")?);
    "ndarray.reshape(self, *shape)" "The elements in C order under another shape" => |a| a.array("self")?.reshape(a.integers("shape")?);
    "ravel(a)" "All elements along one axis" => |a| a.array("a")?.ravel();
    "ndarray.flatten(self)" "All elements along one axis" => |a| a.array("self")?.ravel();
    "take(a, indices, axis=None)" "The elements at places along an axis" => |a| taken(a)?;
    "compress(condition, a, axis=None)" "The elements along an axis where a list is true" => |a| compressed(a, "a")?;
    "ndarray.compress(self, condition, axis=None)" "The elements along an axis where a list is true" => |a| compressed(a, "self")?;
    "ndarray.rechunk(self, chunks)" "The same elements in other chunks (as in dask)" => |a| rechunked(a)?;
    "insert(arr, obj, values, axis=None)" "With elements put in before a place along an axis" => |a| inserted(a)?;
    "delete(arr, obj, axis=None)" "Without the elements at places along an axis" => |a| deleted(a)?;
    "append(arr, values, axis=None)" "Arrays one after the other" => |a| appended(a)?;
    "ediff1d(ary)" "The differences of neighbours of all elements" => |a| a.array("ary")?.ravel().diff(1, 0);
    "select(condlist, choicelist, default=0)" "The elements of the first choice whose condition holds" => |a| selected(a)?;
    "choose(a, choices)" "Of the arrays, that with the number that the elements have" => |a| chosen(a)?;
    "interp(x, xp, fp, left=None, right=None)" "Values between points, linearly" => |a| interpolated(a)?;
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

fn listed(arrays: Vec<Array>) -> Value {
    Value::List(arrays.into_iter().map(Value::Array).collect())
}

/// Lists in lists of arrays, put together along the last axis, those of the lists around along the last but one,
/// and so on.
fn blocks(a: &Arguments<'_>) -> Result<Array> {
    let lists = a.value("arrays");
    let depth = depth_of(lists);
    put_together(lists, depth, depth.max(most_axes(lists)?))
}

/// How many lists are in one another.
fn depth_of(value: &Value) -> usize {
    match value {
        Value::List(parts) | Value::Tuple(parts) => {
            1 + parts.iter().map(depth_of).max().unwrap_or(0)
        }
        _ => 0,
    }
}

/// The axes of the array in lists that has most.
fn most_axes(value: &Value) -> Result<usize> {
    match value {
        Value::List(parts) | Value::Tuple(parts) => {
            parts.iter().try_fold(0, |most, part| Ok(most_axes(part)?.max(most)))
        }
        one => Ok(one.to_array()?.rank()?),
    }
}

fn put_together(value: &Value, depth: usize, rank: usize) -> Result<Array> {
    match (value, depth) {
        (Value::List(parts) | Value::Tuple(parts), 1..) => {
            let parts = parts.iter().map(|part| put_together(part, depth - 1, rank));
            Ok(concatenate(parts.collect::<Result<Vec<Array>>>()?, -(depth as i64)))
        }
        (one, 0) => {
            let array = one.to_array()?;
            let missing = rank - array.rank()?;
            Ok(array.expand_dims((0..missing as i64).collect::<Vec<i64>>()))
        }
        _ => Err(Fault::value("list depths are mismatched")),
    }
}

fn parts(a: &Arguments<'_>, cut: fn(&Array, usize, i64) -> Vec<Array>) -> Result<Value> {
    const MOST: u64 = 10_000;
    match a.count("indices_or_sections")? {
        count @ 1..=MOST => Ok(listed(cut(&a.array("ary")?, count as usize, a.integer("axis")?))),
        count => Err(Fault::value(format!("an array in {count} parts; 1 to {MOST} are possible"))),
    }
}

/// The array, of which no axis needs to be named only if it has one.
fn along_one(a: &Arguments<'_>) -> Result<Array> {
    let array = a.array("a")?;
    match a.is_none("axis") && array.rank()? != 1 {
        true => Err(Fault::value("without an axis the array would have to be flattened")
            .help("give axis=…")),
        false => Ok(array),
    }
}

/// One shift for all axes, one axis for all shifts, or as many: one after the other, as an axis may be named twice.
fn rolled(a: &Arguments<'_>) -> Result<Array> {
    let (array, shifts) = (along_one(a)?, a.integers("shift")?);
    let axes = a.maybe_integers("axis")?.unwrap_or_else(|| vec![0]);
    let count = if axes.len() == 1 { shifts.len() } else { axes.len() };
    if ![1, count].contains(&shifts.len()) {
        let message = format!("{} shifts along {} axes", shifts.len(), axes.len());
        return Err(Fault::value(message));
    }
    let pairs = shifts.iter().cycle().zip(axes.iter().cycle()).take(count);
    Ok(pairs.fold(array, |array, (&shift, &axis)| array.roll(shift, axis)))
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
        "constant" => Pad::Constant(a.value("constant_values").to_scalar()?),
        "edge" => Pad::Edge,
        "reflect" => Pad::Reflect,
        "symmetric" => Pad::Symmetric,
        "wrap" => Pad::Wrap,
        "maximum" => Pad::Maximum,
        "minimum" => Pad::Minimum,
        "mean" => Pad::Mean,
        "median" => Pad::Median,
        "linear_ramp" => Pad::LinearRamp(a.value("end_values").to_scalar()?),
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

fn grid(a: &Arguments<'_>) -> Result<Value> {
    let indexing = match a.value("indexing") {
        Value::Text(text) if text == "xy" => Indexing::Xy,
        Value::Text(text) if text == "ij" => Indexing::Ij,
        _ => return Err(Fault::new("meshgrid() is indexed by 'xy' or 'ij'")),
    };
    Ok(listed(meshgrid(a.arrays("xi")?, indexing)))
}

fn gradient(a: &Arguments<'_>) -> Result<Value> {
    let (array, spacing) = (a.array("f")?, a.float("spacing")?);
    let axes = match a.maybe_integers("axis")? {
        Some(axes) => axes,
        None => (0..array.rank()? as i64).collect(),
    };
    match axes[..] {
        [axis] => Ok(array.gradient(axis, spacing).into()),
        _ => Ok(listed(axes.iter().map(|&axis| array.gradient(axis, spacing)).collect())),
    }
}

fn rechunked(a: &Arguments<'_>) -> Result<Array> {
    let chunks = match a.value("chunks") {
        Value::Text(text) => Chunks::from(text.as_str()),
        _ => Chunks::sizes(a.integers("chunks")?),
    };
    Ok(a.array("self")?.rechunk(chunks))
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

fn appended(a: &Arguments<'_>) -> Result<Array> {
    let (array, values) = (a.array("arr")?, a.array("values")?);
    Ok(match a.maybe_integer("axis")? {
        Some(axis) => concatenate([array, values], axis),
        None => concatenate([array.ravel(), values.ravel()], 0),
    })
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

fn interpolated(a: &Arguments<'_>) -> Result<Array> {
    let (xp, fp) = (a.known_floats("xp")?, a.known_floats("fp")?);
    let end = |name: &str| if a.is_none(name) { Ok(None) } else { a.float(name).map(Some) };
    Ok(a.array("x")?.interp(&xp, &fp, end("left")?, end("right")?).to_dyn())
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
