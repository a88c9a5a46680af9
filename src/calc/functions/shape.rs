//! Functions that move elements without changing them.

use super::{
    super::{
        fault::{Fault, Result},
        value::Value,
    },
    arguments::Arguments,
    functions,
};
use crate::array::{Array, Axes, Chunks, concatenate, stack};
use freeboard_formats::DType;

functions! {
    "transpose|permute_dims(a, axes=None)" "The axes in another order; reversed by default" => |a| a.array("a")?.transpose(a.axes("axes")?);
    "ndarray.transpose(self, *axes)" "The axes in another order; reversed by default" => |a| transposed(a)?;
    "matrix_transpose(x, /)" "The last two axes exchanged" => |a| a.array("x")?.swapaxes(-2, -1);
    "swapaxes(a, axis1, axis2)" "Two axes exchanged" => |a| a.array("a")?.swapaxes(a.integer("axis1")?, a.integer("axis2")?);
    "moveaxis(a, source, destination)" "An axis at another place" => |a| a.array("a")?.moveaxis(a.integer("source")?, a.integer("destination")?);
    "squeeze(a, axis=None)" "Without axes of length 1" => |a| a.array("a")?.squeeze(a.axes("axis")?);
    "expand_dims(a, axis)" "With new axes of length 1" => |a| expanded(a)?;
    "flip(m, axis=None)" "The elements in reverse order along axes" => |a| a.array("m")?.flip(a.axes("axis")?);
    "flipud(m)" "The elements in reverse order along axis 0" => |a| a.array("m")?.flip(0);
    "fliplr(m)" "The elements in reverse order along axis 1" => |a| a.array("m")?.flip(1);
    "broadcast_to(array, shape)" "Repeated to a shape, by the rules of operators" => |a| a.array("array")?.broadcast_to(a.integers("shape")?);
    "concatenate|concat(arrays, /, axis=0)" "Arrays one after the other along an axis" => |a| concatenate(a.arrays("arrays")?, a.integer("axis")?);
    "stack(arrays, axis=0)" "Arrays side by side along a new axis" => |a| stack(a.arrays("arrays")?, a.integer("axis")?);
    "ndarray.rechunk(self, chunks)" "The same elements in other chunks (as in dask)" => |a| rechunked(a)?;
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

fn expanded(a: &Arguments<'_>) -> Result<Array> {
    let array = a.array("a")?;
    let mut axes = a.integers("axis")?;
    let rank = (array.rank()? + axes.len()) as i64;
    for axis in &mut axes {
        if !(-rank..rank).contains(axis) {
            let message = format!("axis {axis} is out of bounds for array of dimension {rank}");
            return Err(Fault::value(message));
        }
        *axis += if *axis < 0 { rank } else { 0 };
    }
    axes.sort_unstable();
    if axes.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Fault::value("repeated axis in expand_dims()"));
    }
    Ok(axes.into_iter().fold(array, |array, axis| array.expand_dims(axis)))
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
