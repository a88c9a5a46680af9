//! The arguments of a call, as the functions of the table take them, and what many of them share.

use super::{
    super::{
        fault::{Fault, Result},
        settling::Settling,
        value::{Value, dtype_named},
    },
    Entry,
};
use crate::{
    array::{Array, Axes, Random, keepdims},
    kernel::Binary,
};
use freeboard_formats::DType;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The values of a function's parameters.
pub(in crate::calc) struct Arguments<'a> {
    entry: &'a Entry,
    values: Vec<(&'static str, Value)>,
    random: &'a Mutex<Random>,
    settling: Settling<'a>,
}

impl<'a> Arguments<'a> {
    pub(in crate::calc) fn new(
        entry: &'a Entry,
        values: Vec<(&'static str, Value)>,
        random: &'a Mutex<Random>,
        settling: Settling<'a>,
    ) -> Arguments<'a> {
        Arguments { entry, values, random, settling }
    }

    /// What looks at what has to be looked at before it is an array.
    pub(super) fn settling(&self) -> Settling<'a> {
        self.settling
    }

    /// The value of a parameter; `None` of one that the signature has not.
    pub(super) fn value(&self, name: &str) -> &Value {
        let found = self.values.iter().find(|(parameter, _)| *parameter == name);
        found.map_or(&Value::None, |(_, value)| value)
    }

    /// The value of a parameter, in which computed numbers are looked at.
    pub(super) fn known(&self, name: &str) -> Result<Value> {
        self.settling.numbers(self.value(name))
    }

    /// What is wrong with the value of a parameter, which should be `wanted`.
    fn wrong(&self, name: &str, wanted: &str) -> Box<Fault> {
        let function = self.entry.signature.names.first().map_or("", String::as_str);
        let function = function.rsplit('.').next().unwrap_or(function);
        let value = self.value(name);
        let value = match value {
            Value::Int(value) => value.to_string(),
            Value::Text(text) => format!("{text:?}"),
            value => value.with_article(),
        };
        Fault::new(format!("{function}() argument '{name}' must be {wanted}, and not {value}"))
    }

    pub(super) fn is_none(&self, name: &str) -> bool {
        matches!(self.value(name), Value::None)
    }

    /// An array, or what can be made one.
    pub(super) fn array(&self, name: &str) -> Result<Array> {
        match self.value(name) {
            Value::None | Value::Text(_) | Value::Slice(_) | Value::DType(_) => {
                Err(self.wrong(name, "an array or a number"))
            }
            value => value.to_array(),
        }
    }

    /// Several arrays in a tuple or a list.
    pub(super) fn arrays(&self, name: &str) -> Result<Vec<Array>> {
        match self.value(name) {
            Value::Tuple(values) | Value::List(values) => {
                values.iter().map(Value::to_array).collect()
            }
            _ => Err(self.wrong(name, "a tuple or a list of arrays")),
        }
    }

    /// An integer.
    pub(super) fn integer(&self, name: &str) -> Result<i64> {
        integer(&self.known(name)?).ok_or_else(|| self.wrong(name, "an int"))
    }

    /// An integer that is not negative.
    pub(super) fn count(&self, name: &str) -> Result<u64> {
        let value = integer(&self.known(name)?).and_then(|value| u64::try_from(value).ok());
        value.ok_or_else(|| self.wrong(name, "a non-negative int"))
    }

    /// An integer, if there is one.
    pub(super) fn maybe_integer(&self, name: &str) -> Result<Option<i64>> {
        match self.value(name) {
            Value::None => Ok(None),
            _ => self.integer(name).map(Some),
        }
    }

    /// A number, as a double.
    pub(super) fn float(&self, name: &str) -> Result<f64> {
        match self.known(name)? {
            value if value.is_number() => Ok(value.to_scalar()?.as_f64()),
            _ => Err(self.wrong(name, "a number")),
        }
    }

    /// A number, as a double, if there is one.
    pub(super) fn maybe_float(&self, name: &str) -> Result<Option<f64>> {
        if self.is_none(name) { Ok(None) } else { self.float(name).map(Some) }
    }

    /// The numbers of a parameter, if it is not `None`.
    pub(super) fn maybe_floats(&self, name: &str) -> Result<Option<Vec<f64>>> {
        if self.is_none(name) { Ok(None) } else { Ok(Some(self.floats(name)?.0)) }
    }

    /// The truths of a tuple, a list, or an array that is looked at.
    pub(super) fn flags(&self, name: &str) -> Result<Vec<bool>> {
        if let Value::Array(array) = self.value(name) {
            return Ok(self.settling.elements(&array.cast_to(DType::Bool))?.into_typed()?);
        }
        let wrong = || self.wrong(name, "a list of True and False");
        let (Value::Tuple(values) | Value::List(values)) = self.value(name) else {
            return Err(wrong());
        };
        let flag = |value: &Value| integer(value).map(|value| value != 0).ok_or_else(wrong);
        values.iter().map(flag).collect()
    }

    /// The numbers of a tuple, a list or an array of one axis, or one alone; and whether there is a list.
    pub(super) fn floats(&self, name: &str) -> Result<(Vec<f64>, bool)> {
        let value = self.settling.list(self.value(name))?;
        let (values, listed) = match &value {
            Value::Tuple(values) | Value::List(values) => (&values[..], true),
            value => (std::slice::from_ref(value), false),
        };
        let float = |value: &Value| match value.is_number() {
            true => Ok(value.to_scalar()?.as_f64()),
            false => Err(self.wrong(name, "a number or a list of numbers")),
        };
        Ok((values.iter().map(float).collect::<Result<_>>()?, listed))
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        match self.known(name)? {
            Value::Bool(value) => Ok(value),
            Value::Int(value @ (0 | 1)) => Ok(value == 1),
            _ => Err(self.wrong(name, "True or False")),
        }
    }

    /// A dtype, or its name, if there is one.
    pub(super) fn maybe_dtype(&self, name: &str) -> Result<Option<DType>> {
        match self.value(name) {
            Value::None => Ok(None),
            Value::DType(dtype) => Ok(Some(*dtype)),
            Value::Text(text) => dtype_named(text).map(Some).ok_or_else(|| {
                let known: Vec<&str> = DType::ALL.iter().map(|dtype| dtype.name()).collect();
                Fault::new(format!("data type {text:?} not understood"))
                    .help(format!("there are {}", known.join(", ")))
            }),
            _ => Err(self.wrong(name, "a dtype or its name")),
        }
    }

    /// The integers of a tuple, a list or an array of one axis, or one alone.
    pub(super) fn integers(&self, name: &str) -> Result<Vec<i64>> {
        let wrong = || self.wrong(name, "an int or a tuple of ints");
        match &self.settling.list(self.value(name))? {
            Value::Tuple(values) | Value::List(values) => {
                // The rest of the arguments may be one tuple: x.reshape((2, 3)).
                let values = match &values[..] {
                    [Value::Tuple(inner) | Value::List(inner)]
                        if self.entry.signature.takes_rest(name) =>
                    {
                        inner
                    }
                    values => values,
                };
                values.iter().map(|value| integer(value).ok_or_else(wrong)).collect()
            }
            value => integer(value).map(|value| vec![value]).ok_or_else(wrong),
        }
    }

    /// The integers of a parameter, if it is not `None`.
    pub(super) fn maybe_integers(&self, name: &str) -> Result<Option<Vec<i64>>> {
        if self.is_none(name) { Ok(None) } else { self.integers(name).map(Some) }
    }

    /// Axes; all of them for `None`.
    pub(super) fn axes(&self, name: &str) -> Result<Axes> {
        Ok(self.maybe_integers(name)?.map_or(Axes::from(..), Axes::from))
    }

    /// A shape; that of a number for `None`.
    pub(super) fn shape(&self, name: &str) -> Result<Vec<i64>> {
        Ok(self.maybe_integers(name)?.unwrap_or_default())
    }

    /// What the next random array is drawn from: the generator whose method is called, or the
    /// formula's.
    pub(super) fn random(&self) -> MutexGuard<'_, Random> {
        let random = match self.value("self") {
            Value::Generator(random) => random,
            _ => self.random,
        };
        random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `op` of the first two arguments, of which numbers are weak.
    pub(super) fn binary(&self, op: Binary) -> Result<Value> {
        match &self.values[..] {
            [(_, a), (_, b), ..] => binary(op, a, b),
            _ => Err(Fault::new(format!("{} is a function of two arrays", op.name()))),
        }
    }

    /// The array `a` and the axis that is named; without one, all elements along a single axis.
    pub(super) fn along_or_flat(&self) -> Result<(Array, i64)> {
        self.flat_or_along("a")
    }

    /// As [`along_or_flat`](Arguments::along_or_flat), of the array `name`.
    pub(super) fn flat_or_along(&self, name: &str) -> Result<(Array, i64)> {
        let array = self.array(name)?;
        Ok(match self.maybe_integer("axis")? {
            Some(axis) => (array, axis),
            None => (array.ravel(), 0),
        })
    }

    /// A reduction of the array `a` along `axis`, computed in `dtype` and with its axes kept as the
    /// arguments ask for.
    pub(super) fn reduced(&self, reduce: impl FnOnce(&Array, Axes) -> Array) -> Result<Array> {
        let array = self.array("a")?;
        let dtype = self.maybe_dtype("dtype")?;
        let array = dtype.map_or_else(|| array.clone(), |dtype| array.cast_to(dtype));
        let axes = match self.value("keepdims") {
            Value::None => self.axes("axis")?,
            _ if self.flag("keepdims")? => keepdims(self.axes("axis")?),
            _ => self.axes("axis")?,
        };
        let reduced = reduce(&array, axes);
        Ok(dtype.map_or_else(|| reduced.clone(), |dtype| reduced.cast_to(dtype)))
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(value) => i64::try_from(*value).ok(),
        Value::Bool(value) => Some((*value).into()),
        _ => None,
    }
}

/// `op` of two operands; numbers beside arrays are weak.
pub(in crate::calc) fn binary(op: Binary, a: &Value, b: &Value) -> Result<Value> {
    let array;
    // Of two numbers the first is an array without axes, as NumPy's functions give one.
    let a = match a.is_number() && b.is_number() {
        true => {
            array = Value::Array(a.to_array()?);
            &array
        }
        false => a,
    };
    Ok(Array::binary(op, a.term()?, b.term()?).into())
}
