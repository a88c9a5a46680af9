//! What parts of a formula stand for: arrays, and Python's numbers, strings, tuples beside them.

use super::fault::{Fault, Result};
use crate::{
    array::{self, Array, Kind, Operand, Random, Term, full},
    expr::shape_text,
    kernel::promote::integer_range,
};
use freeboard_formats::{DType, Scalar};
use ndarray::{ArrayD, IxDyn};
use std::sync::{Arc, Mutex};

/// What a part of a formula stands for.
///
/// Python's own numbers are *weak* (NEP 50): beside an array they take its dtype. A number that
/// was computed from arrays is an array without axes, and has its dtype.
#[derive(Clone, Debug)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Ellipsis,
    /// Start, stop and step.
    Slice([Option<i64>; 3]),
    DType(DType),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Array(Array),
    /// What draws random arrays, one after the other.
    Generator(Arc<Mutex<Random>>),
}

impl<T: Kind> From<Array<T>> for Value {
    fn from(array: Array<T>) -> Value {
        Value::Array(array.to_dyn())
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Value {
        Value::Int(value.into())
    }
}

impl From<Scalar> for Value {
    /// An element, as a number of Python's.
    fn from(value: Scalar) -> Value {
        match value {
            Scalar::Bool(value) => Value::Bool(value),
            Scalar::F32(value) => Value::Float(value.into()),
            Scalar::F64(value) => Value::Float(value),
            Scalar::U8(value) => Value::Int(value.into()),
            Scalar::U16(value) => Value::Int(value.into()),
            Scalar::U32(value) => Value::Int(value.into()),
            Scalar::U64(value) => Value::Int(value.into()),
            Scalar::I8(value) => Value::Int(value.into()),
            Scalar::I16(value) => Value::Int(value.into()),
            Scalar::I32(value) => Value::Int(value.into()),
            Scalar::I64(value) => Value::Int(value.into()),
        }
    }
}

impl Value {
    /// The name of the type, as Python and NumPy have it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Text(_) => "str",
            Value::Ellipsis => "ellipsis",
            Value::Slice(_) => "slice",
            Value::DType(_) => "dtype",
            Value::Tuple(_) => "tuple",
            Value::List(_) => "list",
            Value::Array(_) => "ndarray",
            Value::Generator(_) => "Generator",
        }
    }

    /// Whether it is one of Python's numbers.
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Value::Bool(_) | Value::Int(_) | Value::Float(_))
    }

    /// The array: itself, or what `np.asarray` makes of numbers and of lists of them.
    pub(super) fn to_array(&self) -> Result<Array> {
        const NO_AXES: [i64; 0] = [];
        match self {
            Value::Array(array) => Ok(array.clone()),
            Value::Bool(value) => Ok(full(NO_AXES, *value).to_dyn()),
            Value::Float(value) => Ok(full(NO_AXES, *value).to_dyn()),
            Value::Int(_) => match self.to_scalar()? {
                Scalar::U64(value) => Ok(full(NO_AXES, value).to_dyn()),
                Scalar::I64(value) => Ok(full(NO_AXES, value).to_dyn()),
                other => Err(Fault::value(format!("{other} is no integer"))),
            },
            Value::Tuple(values) | Value::List(values) => array_of(self, values),
            _ => Err(Fault::new(format!("an array is expected, and not {}", self.with_article()))),
        }
    }

    /// What `np.asarray` makes of it in `dtype`, in which Python's integers must fit.
    pub(super) fn to_array_of(&self, dtype: DType) -> Result<Array> {
        self.fits(dtype)?;
        Ok(self.to_array()?.cast_to(dtype))
    }

    /// Whether an integer, or those in lists, are values of `dtype`: as in NumPy, only elements of arrays wrap.
    pub(super) fn fits(&self, dtype: DType) -> Result<()> {
        match self {
            Value::Int(value) if !dtype.is_float() && dtype != DType::Bool => {
                let (low, high) = integer_range(dtype);
                match (low..=high).contains(value) {
                    true => Ok(()),
                    false => {
                        Err(Fault::value(format!("{value} is beyond {dtype} ({low} to {high})"))
                            .help("an array's elements wrap: asarray(…).astype(…)"))
                    }
                }
            }
            Value::Tuple(values) | Value::List(values) => {
                values.iter().try_for_each(|value| value.fits(dtype))
            }
            _ => Ok(()),
        }
    }

    /// A number, as one that is weak beside an array.
    pub(super) fn to_scalar(&self) -> Result<Scalar> {
        match *self {
            Value::Bool(value) => Ok(Scalar::Bool(value)),
            Value::Float(value) => Ok(Scalar::F64(value)),
            Value::Int(value) => i64::try_from(value)
                .map(Scalar::I64)
                .or_else(|_| u64::try_from(value).map(Scalar::U64))
                .map_err(|_| Fault::value(format!("{value} is beyond all integer dtypes"))),
            _ => Err(Fault::new(format!("a number is expected, and not {}", self.with_article()))),
        }
    }

    /// The shape of nested lists of numbers, and the numbers in C order.
    pub(super) fn flattened(&self) -> Result<(Vec<usize>, Vec<Value>)> {
        let (mut shape, mut numbers) = (Vec::new(), Vec::new());
        flatten(self, 0, &mut shape, &mut numbers)?;
        Ok((shape, numbers))
    }

    /// The same, all of them as doubles.
    pub(super) fn numbers(&self) -> Result<(Vec<usize>, Vec<f64>)> {
        let (shape, numbers) = self.flattened()?;
        let numbers = numbers.iter().map(|number| number.to_scalar().map(Scalar::as_f64));
        Ok((shape, numbers.collect::<Result<_>>()?))
    }

    /// One side of an operation on arrays.
    pub(super) fn term(&self) -> Result<Term> {
        match self.is_number() {
            true => Ok(Operand::<array::Dyn>::term(self.to_scalar()?)),
            false => Ok(self.to_array()?.term()),
        }
    }

    /// `an int`, `a list`.
    pub(super) fn with_article(&self) -> String {
        let name = self.type_name();
        match self {
            Value::None => name.to_owned(),
            _ if name.starts_with(['e', 'i', 'n']) => format!("an {name}"),
            _ => format!("a {name}"),
        }
    }
}

/// The array of `list`, whose parts are `values`.
fn array_of(list: &Value, values: &[Value]) -> Result<Array> {
    if values.iter().any(holds_array) {
        let parts: Vec<Array> = values.iter().map(Value::to_array).collect::<Result<_>>()?;
        return Ok(array::stack(parts, 0));
    }
    let (shape, numbers) = list.flattened()?;
    let shape = IxDyn(&shape);
    let unequal = |_| Fault::value("an array of lists of unequal lengths");
    if numbers.iter().any(|number| matches!(number, Value::Float(_))) || numbers.is_empty() {
        let values = numbers.iter().map(|number| number.to_scalar().map(Scalar::as_f64));
        let values = ArrayD::from_shape_vec(shape, values.collect::<Result<_>>()?);
        return Ok(Array::from_ndarray(&values.map_err(unequal)?).to_dyn());
    }
    if numbers.iter().all(|number| matches!(number, Value::Bool(_))) {
        let values = numbers.iter().map(|number| matches!(number, Value::Bool(true))).collect();
        return Ok(
            Array::from_ndarray(&ArrayD::from_shape_vec(shape, values).map_err(unequal)?).to_dyn()
        );
    }
    let integers: Vec<i128> = numbers
        .iter()
        .map(|number| match number {
            Value::Int(value) => *value,
            number => i128::from(matches!(number, Value::Bool(true))),
        })
        .collect();
    macro_rules! all_as {
        ($t:ty) => {
            integers.iter().map(|&value| <$t>::try_from(value).ok()).collect::<Option<Vec<$t>>>()
        };
    }
    if let Some(values) = all_as!(i64) {
        let array = ArrayD::from_shape_vec(shape, values).map_err(unequal)?;
        return Ok(Array::from_ndarray(&array).to_dyn());
    }
    let values =
        all_as!(u64).ok_or_else(|| Fault::value("integers beyond all integer dtypes in a list"))?;
    Ok(Array::from_ndarray(&ArrayD::from_shape_vec(shape, values).map_err(unequal)?).to_dyn())
}

/// Whether an array is in a list, or in one of its lists.
fn holds_array(value: &Value) -> bool {
    match value {
        Value::Array(_) => true,
        Value::Tuple(values) | Value::List(values) => values.iter().any(holds_array),
        _ => false,
    }
}

/// The numbers of nested lists, in C order, and their shape, of which lists of equal depth have
/// a part each.
fn flatten(
    value: &Value,
    depth: usize,
    shape: &mut Vec<usize>,
    numbers: &mut Vec<Value>,
) -> Result<()> {
    let unequal = || Fault::value("lists of unequal lengths or depths make no array");
    match value {
        Value::Tuple(values) | Value::List(values) => {
            match shape.get(depth) {
                None if numbers.is_empty() => shape.push(values.len()),
                Some(&len) if len == values.len() => {}
                _ => return Err(unequal()),
            }
            values.iter().try_for_each(|value| flatten(value, depth + 1, shape, numbers))
        }
        value if !value.is_number() => {
            Err(Fault::new(format!("a list of numbers is expected, not of {}s", value.type_name())))
        }
        _ if depth != shape.len() => Err(unequal()),
        number => {
            numbers.push(number.clone());
            Ok(())
        }
    }
}

/// What a formula is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// An array, not computed yet.
    Array(Array),
    /// One of Python's integers, in no dtype.
    Int(i128),
    /// One of Python's floats.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A string, or the name of a dtype.
    Text(String),
    /// `None`.
    None,
    /// Several, in their order: a tuple or a list.
    List(Vec<Output>),
}

impl Value {
    /// As what a formula gives.
    pub(super) fn into_output(self) -> Result<Output> {
        Ok(match self {
            Value::Array(array) => Output::Array(array),
            Value::Int(value) => Output::Int(value),
            Value::Float(value) => Output::Float(value),
            Value::Bool(value) => Output::Bool(value),
            Value::Text(text) => Output::Text(text),
            Value::DType(dtype) => Output::Text(dtype.name().to_owned()),
            Value::None => Output::None,
            Value::Tuple(values) | Value::List(values) => {
                Output::List(values.into_iter().map(Value::into_output).collect::<Result<_>>()?)
            }
            other => return Err(Fault::new(format!("{} is no result", other.with_article()))),
        })
    }
}

/// The dtype that `text` names: `float32`, `f4`, `<f4`, `single`, `f`, …
pub(super) fn dtype_named(text: &str) -> Option<DType> {
    // The machine's byte order is the only one in memory; files have theirs.
    let native = if cfg!(target_endian = "little") { '<' } else { '>' };
    let text = text.strip_prefix([native, '=', '|']).unwrap_or(text);
    Some(match text {
        "?" | "b1" | "bool_" => DType::Bool,
        "b" | "i1" | "byte" => DType::I8,
        "h" | "i2" | "short" => DType::I16,
        "i" | "i4" | "intc" => DType::I32,
        "l" | "q" | "p" | "n" | "i8" | "int" | "int_" | "intp" | "long" | "longlong" => DType::I64,
        "B" | "u1" | "ubyte" => DType::U8,
        "H" | "u2" | "ushort" => DType::U16,
        "I" | "u4" | "uintc" => DType::U32,
        "L" | "Q" | "P" | "N" | "u8" | "uint" | "uintp" | "ulong" | "ulonglong" => DType::U64,
        "f" | "f4" | "single" => DType::F32,
        "d" | "f8" | "double" | "float" | "float_" => DType::F64,
        name => DType::from_name(name)?,
    })
}

/// As NumPy writes a shape in its messages.
pub(super) fn shape_of(array: &Array) -> Result<String> {
    Ok(shape_text(&array.meta()?.shape()))
}
