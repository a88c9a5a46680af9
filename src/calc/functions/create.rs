//! Arrays from numbers alone.

use super::{
    super::{
        fault::{Fault, Result},
        value::Value,
    },
    arguments::Arguments,
    functions,
};
use crate::{
    array::{Array, arange, eye, full, full_like, indices, linspace, random},
    kernel::Binary,
};
use freeboard_formats::{DType, Scalar, with_dtype};
use std::sync::{Arc, Mutex};

functions! {
    "zeros(shape, dtype=float64)" "Zeros" => |a| filled(a, "shape", &Value::Int(0))?;
    "ones(shape, dtype=float64)" "Ones" => |a| filled(a, "shape", &Value::Int(1))?;
    "full(shape, fill_value, dtype=None)" "A value everywhere" => |a| filled(a, "shape", a.value("fill_value"))?;
    "zeros_like(a, dtype=None)" "Zeros of an array's shape and dtype" => |a| filled_like(a, &Value::Int(0))?;
    "ones_like(a, dtype=None)" "Ones of an array's shape and dtype" => |a| filled_like(a, &Value::Int(1))?;
    "full_like(a, fill_value, dtype=None)" "A value everywhere, of an array's shape and dtype" => |a| filled_like(a, a.value("fill_value"))?;
    "arange(start, stop=None, step=1, dtype=None)" "start, start + step, and so on, short of stop" => |a| range(a)?;
    "linspace(start, stop, num=50, endpoint=True, *, dtype=None)" "num numbers from start to stop, or short of it, at equal distances" => |a| spaced(a)?;
    "logspace(start, stop, num=50, endpoint=True, base=10.0, dtype=None)" "The powers of base with such exponents" => |a| of_dtype(a, line(a)?, |exponents| super::binary(Binary::Power, a.value("base"), &exponents.into())?.to_array())?;
    "eye(N, M=None, k=0, dtype=float64)" "N rows and M columns, 1 on a diagonal, else 0" => |a| diagonal(a)?;
    "identity(n, dtype=float64)" "As eye" => |a| identity(a, "n")?;
    "indices(dimensions)" "The coordinates of every element of a shape" => |a| indices(a.integers("dimensions")?);

    "random.default_rng(seed=0)" "A generator; the same calls of its methods draw the same numbers" => |a| Value::Generator(Arc::new(Mutex::new(random(a.count("seed")?))));
    "Generator.random(self, size=None)" "Numbers spread evenly over 0 <= x < 1" => |a| a.random().uniform(a.shape("size")?);
    "Generator.uniform(self, low=0.0, high=1.0, size=None)" "Numbers spread evenly over low <= x < high" => |a| uniform(a)?;
    "Generator.standard_normal(self, size=None)" "Normally distributed numbers" => |a| a.random().normal(a.shape("size")?);
    "Generator.normal(self, loc=0.0, scale=1.0, size=None)" "Normally distributed numbers around loc" => |a| normal(a)?;
    "Generator.integers(self, low, high=None, size=None)" "Integers spread evenly over low <= x < high" => |a| integers(a)?;
    "Generator.exponential(self, scale=1.0, size=None)" "Waiting times of mean scale" => |a| exponential(a)?;
    "Generator.poisson(self, lam=1.0, size=None)" "Counts of mean lam" => |a| a.random().poisson(a.float("lam")?, a.shape("size")?);
    "Generator.permutation(self, x)" "The integers below x in random order" => |a| a.random().permutation(a.count("x")? as usize);
    "random.random(size=None)" "As default_rng(0).random, and so the others" => |a| a.random().uniform(a.shape("size")?);
    "random.uniform(low=0.0, high=1.0, size=None)" "Numbers spread evenly over low <= x < high" => |a| uniform(a)?;
    "random.standard_normal(size=None)" "Normally distributed numbers" => |a| a.random().normal(a.shape("size")?);
    "random.normal(loc=0.0, scale=1.0, size=None)" "Normally distributed numbers around loc" => |a| normal(a)?;
    "random.randint(low, high=None, size=None)" "Integers spread evenly over low <= x < high" => |a| integers(a)?;
}

/// `value` everywhere, in the dtype that is asked for, or its own.
fn filled(a: &Arguments<'_>, shape: &str, value: &Value) -> Result<Array> {
    if let Value::Array(array) = value {
        let array = array.broadcast_to(a.integers(shape)?);
        return Ok(a.maybe_dtype("dtype")?.map_or_else(|| array.clone(), |d| array.cast_to(d)));
    }
    let scalar = value.to_scalar()?;
    let dtype = a.maybe_dtype("dtype")?.unwrap_or(scalar.dtype());
    value.fits(dtype)?;
    Ok(constant(a.integers(shape)?, scalar, dtype))
}

fn filled_like(a: &Arguments<'_>, value: &Value) -> Result<Array> {
    let like = a.array("a")?;
    let like = a.maybe_dtype("dtype")?.map_or_else(|| like.clone(), |dtype| like.cast_to(dtype));
    if let Value::Array(array) = value {
        let shape: Vec<i64> = like.shape()?.into_iter().map(|len| len as i64).collect();
        return Ok(array.broadcast_to(shape).cast_to(like.dtype()?));
    }
    value.fits(like.dtype()?)?;
    Ok(full_like(&like, value.to_scalar()?))
}

fn constant(shape: Vec<i64>, value: Scalar, dtype: DType) -> Array {
    with_dtype!(dtype, T => full(shape, scalar_as::<T>(value)).to_dyn())
}

/// A scalar as an element, converted as elements are.
fn scalar_as<T: freeboard_formats::Element>(value: Scalar) -> T {
    let (bytes, size) = value.cast(T::DTYPE).bytes();
    T::from_repr(bytemuck::pod_read_unaligned(&bytes[..size]))
}

fn range(a: &Arguments<'_>) -> Result<Array> {
    let (start, stop) = match a.value("stop") {
        // One bound is the end.
        Value::None => (Value::Int(0), "start"),
        _ => (a.known("start")?, "stop"),
    };
    let whole = [start, a.known(stop)?, a.known("step")?]
        .iter()
        .all(|value| matches!(value, Value::Int(_) | Value::Bool(_)));
    let array = match whole {
        true => {
            let start = if stop == "start" { 0 } else { a.integer("start")? };
            arange(start, a.integer(stop)?, a.integer("step")?).to_dyn()
        }
        false => {
            let start = if stop == "start" { 0.0 } else { a.float("start")? };
            arange(start, a.float(stop)?, a.float("step")?).to_dyn()
        }
    };
    Ok(a.maybe_dtype("dtype")?.map_or_else(|| array.clone(), |dtype| array.cast_to(dtype)))
}

/// Numbers at equal distances, as the arguments of `linspace` tell.
fn line(a: &Arguments<'_>) -> Result<Array> {
    let (start, stop, count) = (a.float("start")?, a.float("stop")?, a.count("num")?);
    if a.flag("endpoint")? {
        return Ok(linspace(start, stop, count as usize).to_dyn());
    }
    let numbers = arange(0, i64::try_from(count).unwrap_or(i64::MAX), 1).to_dyn();
    Ok(numbers * ((stop - start) / count as f64) + start)
}

/// What `made` makes of an array, in the dtype that is asked for.
fn of_dtype(
    a: &Arguments<'_>,
    array: Array,
    made: impl FnOnce(Array) -> Result<Array>,
) -> Result<Array> {
    let array = made(array)?;
    Ok(a.maybe_dtype("dtype")?.map_or_else(|| array.clone(), |dtype| array.cast_to(dtype)))
}

fn spaced(a: &Arguments<'_>) -> Result<Array> {
    let is_whole = |dtype: DType| !dtype.is_float() && dtype != DType::Bool;
    let dtype = a.maybe_dtype("dtype")?;
    // As NumPy: integers are rounded down.
    of_dtype(a, line(a)?, |line| Ok(if dtype.is_some_and(is_whole) { line.floor() } else { line }))
}

fn diagonal(a: &Arguments<'_>) -> Result<Array> {
    if a.is_none("M") && a.integer("k")? == 0 {
        return identity(a, "N");
    }
    let (rows, k) = (a.integer("N")?, a.integer("k")?);
    let columns = a.maybe_integer("M")?.unwrap_or(rows);
    let ones = full([rows, columns], true).tril(k).triu(k);
    Ok(ones.cast_to(a.maybe_dtype("dtype")?.unwrap_or(DType::F64)))
}

fn identity(a: &Arguments<'_>, name: &str) -> Result<Array> {
    let n = a.count(name)? as usize;
    Ok(with_dtype!(a.maybe_dtype("dtype")?.unwrap_or(DType::F64), T => eye::<T>(n).to_dyn()))
}

fn uniform(a: &Arguments<'_>) -> Result<Value> {
    let (low, high) = (a.float("low")?, a.float("high")?);
    let unit = a.random().uniform(a.shape("size")?);
    shifted(unit.into(), high - low, low)
}

fn normal(a: &Arguments<'_>) -> Result<Value> {
    let (loc, scale) = (a.float("loc")?, a.float("scale")?);
    if scale < 0.0 {
        return Err(Fault::value("scale < 0"));
    }
    let standard = a.random().normal(a.shape("size")?);
    shifted(standard.into(), scale, loc)
}

fn exponential(a: &Arguments<'_>) -> Result<Value> {
    let scale = a.float("scale")?;
    let standard = a.random().exponential(a.shape("size")?);
    super::binary(Binary::Multiply, &standard.into(), &Value::Float(scale))
}

fn shifted(array: Value, scale: f64, offset: f64) -> Result<Value> {
    let scaled = super::binary(Binary::Multiply, &array, &Value::Float(scale))?;
    super::binary(Binary::Add, &scaled, &Value::Float(offset))
}

fn integers(a: &Arguments<'_>) -> Result<Array> {
    let range = match a.maybe_integer("high")? {
        None => 0..a.integer("low")?,
        Some(high) => a.integer("low")?..high,
    };
    Ok(a.random().integers(range, a.shape("size")?).to_dyn())
}
