//! Attributes of a data set as JSON values, and axis names among them.
//!
//! Numbers, strings and arrays of them are kept; references, compound values and what
//! cannot be decoded are left out, for they say nothing about elements. Floats that JSON
//! cannot hold become the strings `NaN`, `inf` and `-inf`.

use crate::source::{Attributes, Meta};
use hdf5_reader::{Attribute, Dataset, Datatype};
use serde_json::Value;
use std::sync::Arc;

/// The attribute in which HDF5's dimension scales keep the names of axes.
pub(super) const AXIS_NAMES: &str = "DIMENSION_LABELS";
/// Values of one attribute, at the most; a longer one is data, not a remark.
const MAX_VALUES: u64 = 1 << 16;

/// Reads the attributes of `dataset` into `meta`.
pub(super) fn read(dataset: &Dataset, meta: &mut Meta) {
    let mut attributes = Attributes::new();
    for attribute in dataset.attributes() {
        let Some(value) = value_of(&attribute) else {
            tracing::debug!(name = attribute.name, "attribute left out");
            continue;
        };
        match (&value, attribute.name.as_str()) {
            (Value::Array(names), AXIS_NAMES) if names.len() == meta.axes.len() => {
                for (axis, name) in meta.axes.iter_mut().zip(names) {
                    *axis = name.as_str().unwrap_or_default().to_owned();
                }
            }
            _ => {
                attributes.insert(attribute.name, value);
            }
        }
    }
    meta.attributes = Arc::new(attributes);
}

fn value_of(attribute: &Attribute) -> Option<Value> {
    let count = attribute.num_elements().ok().filter(|&n| n <= MAX_VALUES)?;
    let values = flat(attribute).filter(|values| values.len() as u64 == count)?;
    nest(&mut values.into_iter(), &attribute.shape)
}

/// The values in C order, without their shape.
fn flat(attribute: &Attribute) -> Option<Vec<Value>> {
    macro_rules! numbers {
        ($t:ty) => {
            attribute.read_1d::<$t>().ok()?.into_iter().map(Value::from).collect()
        };
    }
    Some(match &attribute.datatype {
        Datatype::FixedPoint { size: 1, signed: false, .. } => numbers!(u8),
        Datatype::FixedPoint { size: 2, signed: false, .. } => numbers!(u16),
        Datatype::FixedPoint { size: 4, signed: false, .. } => numbers!(u32),
        Datatype::FixedPoint { size: 8, signed: false, .. } => numbers!(u64),
        Datatype::FixedPoint { size: 1, signed: true, .. } => numbers!(i8),
        Datatype::FixedPoint { size: 2, signed: true, .. } => numbers!(i16),
        Datatype::FixedPoint { size: 4, signed: true, .. } => numbers!(i32),
        Datatype::FixedPoint { size: 8, signed: true, .. } => numbers!(i64),
        Datatype::FloatingPoint { size: 4, .. } => {
            attribute.read_1d::<f32>().ok()?.into_iter().map(|v| float(v.into())).collect()
        }
        Datatype::FloatingPoint { size: 8, .. } => {
            attribute.read_1d::<f64>().ok()?.into_iter().map(float).collect()
        }
        Datatype::Enum { base, .. } => match **base {
            Datatype::FixedPoint { size: 1, .. } => {
                attribute.raw_data.iter().map(|&byte| Value::from(byte != 0)).collect()
            }
            _ => return None,
        },
        Datatype::String { .. } | Datatype::VarLen { .. } => match attribute.shape.is_empty() {
            true => vec![attribute.read_string().ok()?.into()],
            false => attribute.read_strings().ok()?.into_iter().map(Value::from).collect(),
        },
        _ => return None,
    })
}

/// A float as a JSON number, or as a string where there is no such number.
fn float(value: f64) -> Value {
    serde_json::Number::from_f64(value)
        .map_or_else(|| Value::String(format!("{value}")), Value::Number)
}

fn nest(values: &mut impl Iterator<Item = Value>, shape: &[u64]) -> Option<Value> {
    match shape.split_first() {
        None => values.next(),
        Some((&len, inner)) => {
            let mut rows = Vec::new();
            for _ in 0..len.min(MAX_VALUES) {
                rows.push(nest(values, inner)?);
            }
            Some(Value::Array(rows))
        }
    }
}
