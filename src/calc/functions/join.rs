//! Functions that put arrays together, and take them apart.

use super::{
    super::{
        fault::{Fault, Result},
        value::Value,
    },
    arguments::Arguments,
    functions,
    shape::listed,
};
use crate::array::{
    Array, Indexing, Part, axis_of, concatenate, dstack, hstack, meshgrid, stack, vstack,
};

functions! {
    "concatenate|concat(arrays, /, axis=0)" "Arrays one after the other along an axis" => |a| joined(a)?;
    "stack(arrays, axis=0)" "Arrays side by side along a new axis" => |a| stack(a.arrays("arrays")?, a.integer("axis")?);
    "vstack|row_stack(tup)" "Arrays one above the other" => |a| vstack(a.arrays("tup")?);
    "hstack(tup)" "Arrays side by side" => |a| hstack(a.arrays("tup")?);
    "dstack(tup)" "Arrays one behind the other" => |a| dstack(a.arrays("tup")?);
    "block(arrays)" "Rows of arrays, as a matrix is written" => |a| blocks(a)?;
    "split(ary, indices_or_sections, axis=0)" "The array in parts of equal length" => |a| parts(a, a.integer("axis")?, Array::split)?;
    "array_split(ary, indices_or_sections, axis=0)" "The array in parts" => |a| parts(a, a.integer("axis")?, Array::array_split)?;
    "append(arr, values, axis=None)" "Arrays one after the other" => |a| appended(a)?;
    "meshgrid(*xi, indexing='xy')" "The coordinates of a grid of points" => |a| grid(a)?;
    "column_stack(tup)" "Lines as columns, and matrices, side by side" => |a| columns(a)?;
    "hsplit(ary, indices_or_sections)" "The array in parts along axis 1, or the only one" => |a| { let axis = i64::from(a.array("ary")?.rank()? > 1); parts(a, axis, Array::split)? };
    "vsplit(ary, indices_or_sections)" "The array in parts along axis 0" => |a| parts(a, least(a, 2)?, Array::split)?;
    "dsplit(ary, indices_or_sections)" "The array in parts along axis 2" => |a| parts(a, least(a, 3)? + 2, Array::split)?;
    "kron(a, b)" "Kronecker's product: every element of an array times another array" => |a| kronecker(a)?;
    "cross(a, b, *, axis=-1)" "The vector products of vectors of three elements along an axis" => |a| crossed(a)?;
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

fn appended(a: &Arguments<'_>) -> Result<Array> {
    let (array, values) = (a.array("arr")?, a.array("values")?);
    Ok(match a.maybe_integer("axis")? {
        Some(axis) => concatenate([array, values], axis),
        None => concatenate([array.ravel(), values.ravel()], 0),
    })
}

fn grid(a: &Arguments<'_>) -> Result<Value> {
    let indexing = match a.value("indexing") {
        Value::Text(text) if text == "xy" => Indexing::Xy,
        Value::Text(text) if text == "ij" => Indexing::Ij,
        _ => return Err(Fault::new("meshgrid() is indexed by 'xy' or 'ij'")),
    };
    Ok(listed(meshgrid(a.arrays("xi")?, indexing)))
}

/// Arrays one after the other along an axis, or all of their elements.
fn joined(a: &Arguments<'_>) -> Result<Array> {
    let arrays = a.arrays("arrays")?;
    Ok(match a.maybe_integer("axis")? {
        Some(axis) => concatenate(arrays, axis),
        None => concatenate(arrays.iter().map(Array::ravel), 0),
    })
}

fn columns(a: &Arguments<'_>) -> Result<Array> {
    let arrays = a.arrays("tup")?.into_iter();
    let column = |array: Array| match array.rank()? {
        0 | 1 => Ok(array.atleast_2d().t()),
        _ => Ok(array),
    };
    Ok(concatenate(arrays.map(column).collect::<Result<Vec<Array>>>()?, 1))
}

/// Axis 0 of an array that has so many axes.
fn least(a: &Arguments<'_>, rank: usize) -> Result<i64> {
    match a.array("ary")?.rank()? {
        have if have >= rank => Ok(0),
        have => {
            Err(Fault::value(format!("an array of {rank} axes or more is split, not of {have}")))
        }
    }
}

/// A number of parts as `cut` makes them, or the parts between places.
fn parts(a: &Arguments<'_>, axis: i64, cut: fn(&Array, usize, i64) -> Vec<Array>) -> Result<Value> {
    const MOST: usize = 10_000;
    let array = a.array("ary")?;
    let places = a.integers("indices_or_sections")?;
    let is_count = places.len() == 1 && matches!(a.known("indices_or_sections")?, Value::Int(_));
    let beyond = |count: usize| {
        Err(Fault::value(format!("an array in {count} parts; 1 to {MOST} are possible")))
    };
    if is_count {
        return match usize::try_from(places[0]) {
            Ok(count @ 1..=MOST) => Ok(listed(cut(&array, count, axis))),
            _ => beyond(usize::try_from(places[0]).unwrap_or(0)),
        };
    }
    if places.len() >= MOST {
        return beyond(places.len() + 1);
    }
    let axis = axis_of(axis, array.rank()?).map_err(Fault::value)?;
    let starts = [None].into_iter().chain(places.iter().copied().map(Some));
    let ends = places.iter().copied().map(Some).chain([None]);
    let part = |(start, stop)| {
        let mut slices = vec![Part::Range { start: None, stop: None, step: 1 }; axis];
        slices.push(Part::Range { start, stop, step: 1 });
        array.select(&slices)
    };
    Ok(listed(starts.zip(ends).map(part).collect()))
}

fn kronecker(a: &Arguments<'_>) -> Result<Array> {
    let (one, other) = (a.array("a")?, a.array("b")?);
    let rank = one.rank()?.max(other.rank()?);
    // Of equal rank, and with the axes of the one between those of the other.
    let spread = |array: &Array, first: i64| -> Result<(Array, Vec<i64>)> {
        let missing: Vec<i64> = (0..(rank - array.rank()?) as i64).collect();
        let full = array.expand_dims(missing);
        let lens = full.shape()?.into_iter().map(|len| len as i64).collect();
        let between: Vec<i64> = (0..rank as i64).map(|axis| 2 * axis + first).collect();
        Ok((full.expand_dims(between), lens))
    };
    let ((one, lens), (other, widths)) = (spread(&one, 1)?, spread(&other, 0)?);
    let shape: Vec<i64> = lens.iter().zip(widths).map(|(len, width)| len * width).collect();
    Ok((one * other).reshape(shape))
}

fn crossed(a: &Arguments<'_>) -> Result<Array> {
    let (one, other, axis) = (a.array("a")?, a.array("b")?, a.integer("axis")?);
    let parts = |array: &Array| -> Result<Vec<Array>> {
        let along = axis_of(axis, array.rank()?).map_err(Fault::value)?;
        match array.shape()?[along] {
            3 => Ok(array.split(3, axis).iter().map(|part| part.squeeze(axis)).collect()),
            len => Err(Fault::value(format!("vector products of {len} elements; of 3 they are"))),
        }
    };
    let (one, other) = (parts(&one)?, parts(&other)?);
    let product = |i: usize, j: usize| &one[i] * &other[j] - &one[j] * &other[i];
    Ok(stack([product(1, 2), product(2, 0), product(0, 1)], axis))
}
