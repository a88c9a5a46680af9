//! Functions of elements and their neighbours along an axis.

use super::{
    super::{
        fault::{Fault, Result},
        value::Value,
    },
    arguments::Arguments,
    functions,
    shape::listed,
};
use crate::array::{Array, Part, axis_of, concatenate};

functions! {
    "diff(a, n=1, axis=-1, prepend=None, append=None)" "The differences of neighbours along an axis" => |a| differences(a)?;
    "gradient(f, *varargs, axis=None)" "The slopes along axes, of elements at these distances" => |a| gradient(a)?;
    "trapezoid(y, x=None, dx=1.0, axis=-1)" "The integral along an axis" => |a| integral(a)?;
    "ediff1d(ary)" "The differences of neighbours of all elements" => |a| a.array("ary")?.ravel().diff(1, 0);
    "interp(x, xp, fp, left=None, right=None)" "Values between points, linearly" => |a| interpolated(a)?;
}

fn interpolated(a: &Arguments<'_>) -> Result<Array> {
    let (xp, fp) = (a.floats("xp")?.0, a.floats("fp")?.0);
    let (left, right) = (a.maybe_float("left")?, a.maybe_float("right")?);
    Ok(a.array("x")?.interp(&xp, &fp, left, right).to_dyn())
}

/// Differences of neighbours, of an array that has other elements put before and after it.
fn differences(a: &Arguments<'_>) -> Result<Array> {
    let (array, axis) = (a.array("a")?, a.integer("axis")?);
    let mut beside = vec![array.clone()];
    for (name, place) in [("prepend", 0), ("append", 1)] {
        if a.is_none(name) {
            continue;
        }
        let mut more = a.array(name)?;
        if more.rank()? == 0 {
            let mut shape: Vec<i64> = array.shape()?.into_iter().map(|len| len as i64).collect();
            let along = axis_of(axis, shape.len()).map_err(Fault::value)?;
            shape[along] = 1;
            more = more.broadcast_to(shape);
        }
        beside.insert(if place == 0 { 0 } else { beside.len() }, more);
    }
    let array = if beside.len() > 1 { concatenate(beside, axis) } else { array };
    Ok(array.diff(a.count("n")? as usize, axis))
}

fn gradient(a: &Arguments<'_>) -> Result<Value> {
    let array = a.array("f")?;
    let axes = match a.maybe_integers("axis")? {
        Some(axes) => axes,
        None => (0..array.rank()? as i64).collect(),
    };
    let Value::Tuple(given) = a.known("varargs")? else {
        return Err(Fault::new("the distances of a gradient are numbers"));
    };
    let distance = |value: &Value| match value.is_number() {
        true => Ok(value.to_scalar()?.as_f64()),
        false => Err(Fault::new("the distances of a gradient are numbers, and not coordinates")),
    };
    let given: Vec<f64> = given.iter().map(distance).collect::<Result<_>>()?;
    let distances = match given[..] {
        [] => vec![1.0; axes.len()],
        [one] => vec![one; axes.len()],
        _ if given.len() == axes.len() => given,
        _ => return Err(Fault::new(format!("{} distances for {} axes", given.len(), axes.len()))),
    };
    let slope = |(&axis, &distance): (&i64, &f64)| array.gradient(axis, distance);
    let mut slopes: Vec<Array> = axes.iter().zip(&distances).map(slope).collect();
    Ok(if slopes.len() == 1 { slopes.remove(0).into() } else { listed(slopes) })
}

/// The integral by the trapezoidal rule, of elements at equal distances or at `x`.
fn integral(a: &Arguments<'_>) -> Result<Array> {
    let (y, axis) = (a.array("y")?, a.integer("axis")?);
    if a.is_none("x") {
        return Ok(y.trapezoid(axis, a.float("dx")?));
    }
    let (x, along) = (a.array("x")?, axis_of(axis, y.rank()?).map_err(Fault::value)?);
    let distances = match x.rank()? {
        // Along the axis.
        1 => x.diff(1, 0).expand_dims((1..(y.rank()? - along) as i64).collect::<Vec<i64>>()),
        _ => x.diff(1, axis),
    };
    let real = if y.dtype()?.is_float() { y } else { y.cast_to(freeboard_formats::DType::F64) };
    let from = |start, stop| {
        let mut slices = vec![Part::Range { start: None, stop: None, step: 1 }; along];
        slices.push(Part::Range { start, stop, step: 1 });
        real.select(&slices)
    };
    Ok((distances * (from(Some(1), None) + from(None, Some(-1))) / 2.0).sum(axis))
}
