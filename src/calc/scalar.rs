//! Arithmetic of Python's own numbers, which stand in formulas beside arrays: exact integers,
//! floor division and remainders with the sign of the divisor, errors where Python has them.

use super::{
    ast::{BinaryOp, CompareOp, UnaryOp},
    fault::{Fault, Result},
    value::Value,
};
use std::cmp::Ordering;

/// A number of Python's.
#[derive(Clone, Copy, Debug)]
enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    fn of(value: &Value) -> Option<Number> {
        match *value {
            Value::Bool(value) => Some(Number::Int(value.into())),
            Value::Int(value) => Some(Number::Int(value)),
            Value::Float(value) => Some(Number::Float(value)),
            _ => None,
        }
    }

    fn as_f64(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        }
    }
}

fn beyond() -> Box<Fault> {
    Fault::value("an integer beyond all integer dtypes")
}

fn exact(value: Option<i128>) -> Result<Value> {
    value.map(Value::Int).ok_or_else(beyond)
}

/// `int(value)`, `float(value)` or `bool(value)`, of Python's numbers; `None` of other values and of other functions.
pub(super) fn converted(function: &str, value: &Value) -> Option<Result<Value>> {
    let number = Number::of(value)?;
    Some(match (function, number) {
        ("int", Number::Int(value)) => Ok(Value::Int(value)),
        ("int", Number::Float(value)) if value.is_nan() => {
            Err(Fault::value("cannot convert float NaN to integer"))
        }
        ("int", Number::Float(value)) if value.abs() >= i128::MAX as f64 => Err(beyond()),
        ("int", Number::Float(value)) => Ok(Value::Int(value as i128)),
        ("float", number) => Ok(Value::Float(number.as_f64())),
        ("bool", number) => Ok(Value::Bool(number.as_f64() != 0.0)),
        _ => return None,
    })
}

/// `op value`; `None` if it is no number.
pub(super) fn unary(op: UnaryOp, value: &Value) -> Option<Result<Value>> {
    let number = Number::of(value)?;
    Some(match (op, number) {
        (UnaryOp::Plus, Number::Int(value)) => Ok(Value::Int(value)),
        (UnaryOp::Minus, Number::Int(value)) => exact(value.checked_neg()),
        (UnaryOp::Invert, Number::Int(value)) => Ok(Value::Int(!value)),
        (UnaryOp::Plus, Number::Float(value)) => Ok(Value::Float(value)),
        (UnaryOp::Minus, Number::Float(value)) => Ok(Value::Float(-value)),
        (UnaryOp::Invert, Number::Float(_)) => Err(Fault::new("`~` of a float is not defined")),
        (UnaryOp::Not, number) => Ok(Value::Bool(number.as_f64() == 0.0)),
    })
}

/// `a op b`; `None` unless both are numbers.
pub(super) fn binary(op: BinaryOp, a: &Value, b: &Value) -> Option<Result<Value>> {
    if let (Value::Bool(a), Value::Bool(b)) = (a, b) {
        match op {
            BinaryOp::And => return Some(Ok(Value::Bool(a & b))),
            BinaryOp::Or => return Some(Ok(Value::Bool(a | b))),
            BinaryOp::Xor => return Some(Ok(Value::Bool(a ^ b))),
            _ => {}
        }
    }
    let (a, b) = (Number::of(a)?, Number::of(b)?);
    Some(match (a, b) {
        (Number::Int(a), Number::Int(b)) => integers(op, a, b),
        _ => floats(op, a.as_f64(), b.as_f64()),
    })
}

fn integers(op: BinaryOp, a: i128, b: i128) -> Result<Value> {
    let shift = || match u32::try_from(b) {
        Ok(bits) => Ok(bits),
        Err(_) if b < 0 => Err(Fault::value("negative shift count")),
        Err(_) => Err(beyond()),
    };
    match op {
        BinaryOp::Add => exact(a.checked_add(b)),
        BinaryOp::Subtract => exact(a.checked_sub(b)),
        BinaryOp::Multiply => exact(a.checked_mul(b)),
        BinaryOp::Divide | BinaryOp::FloorDivide | BinaryOp::Remainder if b == 0 => {
            Err(Fault::value("division by zero"))
        }
        BinaryOp::Divide => Ok(Value::Float(a as f64 / b as f64)),
        BinaryOp::FloorDivide => exact(
            a.checked_div_euclid(b)
                // Euclid's remainder is never negative; Python's has the sign of the divisor.
                .map(
                    |quotient| if b < 0 && a.rem_euclid(b) != 0 { quotient - 1 } else { quotient },
                ),
        ),
        BinaryOp::Remainder => exact(
            a.checked_rem_euclid(b).map(|rest| if b < 0 && rest != 0 { rest + b } else { rest }),
        ),
        BinaryOp::Power if b < 0 => floats(op, a as f64, b as f64),
        BinaryOp::Power => match (a, u32::try_from(b)) {
            (0 | 1, _) => Ok(Value::Int(if b == 0 { 1 } else { a })),
            (-1, _) => Ok(Value::Int(if b % 2 == 0 { 1 } else { -1 })),
            (_, Ok(exponent)) => exact(a.checked_pow(exponent)),
            (_, Err(_)) => Err(beyond()),
        },
        BinaryOp::ShiftLeft => {
            let factor = 1i128.checked_shl(shift()?).filter(|factor| *factor > 0);
            match a {
                0 => Ok(Value::Int(0)),
                _ => exact(factor.and_then(|factor| a.checked_mul(factor))),
            }
        }
        BinaryOp::ShiftRight => Ok(Value::Int(a >> shift()?.min(127))),
        BinaryOp::And => Ok(Value::Int(a & b)),
        BinaryOp::Xor => Ok(Value::Int(a ^ b)),
        BinaryOp::Or => Ok(Value::Int(a | b)),
        BinaryOp::MatMul => Err(Fault::new("`@` of two numbers is not defined")),
    }
}

fn floats(op: BinaryOp, a: f64, b: f64) -> Result<Value> {
    let value = match op {
        BinaryOp::Add => a + b,
        BinaryOp::Subtract => a - b,
        BinaryOp::Multiply => a * b,
        BinaryOp::Divide | BinaryOp::FloorDivide | BinaryOp::Remainder if b == 0.0 => {
            return Err(Fault::value("division by zero"));
        }
        BinaryOp::Divide => a / b,
        BinaryOp::FloorDivide => floor_divided(a, b).0,
        BinaryOp::Remainder => floor_divided(a, b).1,
        BinaryOp::Power if a == 0.0 && b < 0.0 => {
            return Err(Fault::value("0 to a negative power"));
        }
        BinaryOp::Power if a < 0.0 && a.is_finite() && b.is_finite() && b.fract() != 0.0 => {
            return Err(Fault::value("a negative number to a fractional power"));
        }
        BinaryOp::Power => a.powf(b),
        BinaryOp::MatMul
        | BinaryOp::ShiftLeft
        | BinaryOp::ShiftRight
        | BinaryOp::And
        | BinaryOp::Xor
        | BinaryOp::Or => {
            return Err(Fault::new(format!("`{}` of floats is not defined", op.text())));
        }
    };
    Ok(Value::Float(value))
}

/// Quotient and remainder as CPython's `float_divmod` has them.
fn floor_divided(a: f64, b: f64) -> (f64, f64) {
    let mut rest = a % b;
    let mut quotient = (a - rest) / b;
    if rest == 0.0 {
        rest = rest.copysign(b);
    } else if (b < 0.0) != (rest < 0.0) {
        rest += b;
        quotient -= 1.0;
    }
    let mut floor = quotient.floor();
    if quotient - floor > 0.5 {
        floor += 1.0;
    }
    if quotient == 0.0 {
        floor = 0.0f64.copysign(a / b);
    }
    (floor, rest)
}

/// `a op b`; `None` unless both are numbers, or other values that can be equal.
pub(super) fn compare(op: CompareOp, a: &Value, b: &Value) -> Option<Result<bool>> {
    let order = match (a, b) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::DType(a), Value::DType(b)) => return equality(op, a == b),
        (Value::None, _) | (_, Value::None) => {
            return equality(op, matches!((a, b), (Value::None, Value::None)));
        }
        _ => match (Number::of(a)?, Number::of(b)?) {
            (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
            (a, b) => a.as_f64().partial_cmp(&b.as_f64()),
        },
    };
    let holds = match op {
        CompareOp::Less => order == Some(Ordering::Less),
        CompareOp::LessEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        CompareOp::Greater => order == Some(Ordering::Greater),
        CompareOp::GreaterEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        CompareOp::Equal => order == Some(Ordering::Equal),
        CompareOp::NotEqual => order != Some(Ordering::Equal),
    };
    Some(Ok(holds))
}

/// Of values that have no order.
fn equality(op: CompareOp, equal: bool) -> Option<Result<bool>> {
    match op {
        CompareOp::Equal => Some(Ok(equal)),
        CompareOp::NotEqual => Some(Ok(!equal)),
        _ => None,
    }
}

/// Whether a value counts as true; an array's truth is not known before it is computed.
pub(super) fn truth(value: &Value) -> Result<bool> {
    match value {
        Value::None => Ok(false),
        Value::Text(text) => Ok(!text.is_empty()),
        Value::Tuple(values) | Value::List(values) => Ok(!values.is_empty()),
        Value::Array(_) => Err(Fault::new("the truth value of an array is ambiguous")
            .help("`&`, `|` and `~` combine arrays element by element: (x > 0) & (x < 5)")),
        value => match Number::of(value) {
            Some(number) => Ok(number.as_f64() != 0.0),
            None => Ok(true),
        },
    }
}
