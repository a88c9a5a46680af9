//! Products of matrices, and sums of products.

use super::{
    super::{
        fault::{Fault, Result},
        value::Value,
    },
    arguments::Arguments,
    functions,
};
use crate::array::Array;

functions! {
    "matmul(x1, x2, /)" "The product of matrices: the operator @" => |a| a.array("x1")?.matmul(&a.array("x2")?);
    "dot(a, b)" "The sums of products over the last axis and the one before the last" => |a| a.array("a")?.dot(&a.array("b")?);
    "inner(a, b, /)" "The sums of products over the last axes" => |a| a.array("a")?.inner(&a.array("b")?);
    "vdot(a, b, /)" "The sum of products of all elements" => |a| a.array("a")?.vdot(&a.array("b")?);
    "outer(a, b)" "Every element of one vector times every one of another" => |a| a.array("a")?.outer(&a.array("b")?);
    "tensordot(a, b, axes=2)" "The sums of products over some axes of both" => |a| tensordot(a)?;
    "linalg.matmul(x1, x2, /)" "The product of matrices: the operator @" => |a| a.array("x1")?.matmul(&a.array("x2")?);
    "linalg.outer(x1, x2, /)" "Every element of one vector times every one of another" => |a| a.array("x1")?.outer(&a.array("x2")?);
}

fn tensordot(a: &Arguments<'_>) -> Result<Array> {
    let (left, right) = (a.array("a")?, a.array("b")?);
    let integers = |value: &Value| match value {
        Value::Tuple(values) | Value::List(values) => values.iter().map(integer).collect(),
        one => integer(one).map(|axis| vec![axis]),
    };
    let both = match a.value("axes") {
        Value::Tuple(axes) | Value::List(axes) => match &axes[..] {
            [one, other] => integers(one).zip(integers(other)),
            _ => None,
        },
        Value::Int(_) => {
            let count = i64::try_from(a.count("axes")?).unwrap_or(i64::MAX);
            let rank = left.rank()?.min(right.rank()?) as i64;
            if count > rank {
                return Err(Fault::value(format!("{count} axes of an array that has {rank}")));
            }
            Some(((-count..0).collect(), (0..count).collect()))
        }
        _ => None,
    };
    let Some((own, others)) = both else {
        return Err(Fault::new("tensordot() argument 'axes' must be an int or two lists of axes"));
    };
    Ok(left.tensordot(&right, own, others))
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(value) => i64::try_from(*value).ok(),
        _ => None,
    }
}
