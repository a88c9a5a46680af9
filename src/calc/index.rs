//! Indices: of arrays, by slices, integers, lists, and arrays of places or truths; of tuples and lists.

use super::{
    fault::{Fault, Result},
    points::points,
    settling::Settling,
    value::{Value, shape_of},
};
use crate::{
    array::{AnyVec, Array, Axes, Part, range},
    error::ErrorKind,
};
use freeboard_formats::DType;

/// A bound of a slice.
pub(super) fn slice_bound(value: &Value) -> Result<Option<i64>> {
    match value {
        Value::None => Ok(None),
        // Beyond the ends of every axis, whatever its length.
        Value::Int(value) => Ok(Some((*value).clamp(i64::MIN.into(), i64::MAX.into()) as i64)),
        other => Err(Fault::new(format!(
            "slice indices must be integers or None, and not {}",
            other.with_article()
        ))),
    }
}

/// `of[index]`.
pub(super) fn index_of(of: &Value, index: &Value, settling: Settling<'_>) -> Result<Value> {
    match of {
        Value::Array(array) => {
            let parts = match index {
                Value::Tuple(parts) => &parts[..],
                one => std::slice::from_ref(one),
            };
            if parts.iter().filter(|part| matches!(part, Value::Ellipsis)).count() > 1 {
                return Err(Fault::value("an index can only have a single ellipsis ('...')"));
            }
            let parts =
                &parts.iter().map(|part| known(part, settling)).collect::<Result<Vec<_>>>()?;
            if parts.iter().any(is_list) {
                let parts = spelled_out(parts, array.rank()?)?;
                let is_simple = |part: &&Value| matches!(part, Value::Slice(_));
                let listed = parts.iter().position(is_list).unwrap_or_default();
                return match parts.iter().filter(is_simple).count() + 1 == parts.len() {
                    true => chosen(array, &parts, listed, settling),
                    false => points(array, &parts, settling),
                };
            }
            let parts = parts.iter().map(part).collect::<Result<Vec<Part>>>()?;
            let selected = array.select(&parts);
            match selected.meta() {
                Err(error) if error.kind() == ErrorKind::Expression => {
                    Err(<Box<Fault>>::from(error)
                        .help(format!("the array has shape {}", shape_of(array)?)))
                }
                _ => Ok(selected.into()),
            }
        }
        Value::Tuple(values) | Value::List(values) => match index {
            Value::Int(at) => {
                let len = values.len() as i128;
                let counted = if *at < 0 { at + len } else { *at };
                let value = usize::try_from(counted).ok().and_then(|at| values.get(at));
                value.cloned().ok_or_else(|| {
                    Fault::value(format!("index {at} is out of range for {len} values"))
                })
            }
            Value::Slice([start, stop, step]) => {
                let step = step.unwrap_or(1);
                if step == 0 {
                    return Err(Fault::value("slice step cannot be zero"));
                }
                let (first, count) = range(*start, *stop, step, values.len() as u64);
                let taken = (0..count as i64)
                    .filter_map(|i| values.get(usize::try_from(first + i * step).ok()?).cloned())
                    .collect();
                Ok(match of {
                    Value::Tuple(_) => Value::Tuple(taken),
                    _ => Value::List(taken),
                })
            }
            other => Err(Fault::new(format!(
                "an index of {} is an integer or a slice, and not {}",
                of.with_article(),
                other.with_article()
            ))),
        },
        other => Err(Fault::new(format!("{} has no elements", other.with_article()))),
    }
}

/// Whether a part of an index is a list or an array.
pub(super) fn is_list(part: &Value) -> bool {
    matches!(part, Value::List(_) | Value::Array(_))
}

/// How many axes of an array a part of an index stands for.
fn width(part: &Value) -> Result<usize> {
    Ok(match part {
        Value::None | Value::Ellipsis => 0,
        Value::Array(array) if array.dtype()? == DType::Bool => array.rank()?,
        _ => 1,
    })
}

/// A part of an index, of which an array of one integer is that integer.
fn known(part: &Value, settling: Settling<'_>) -> Result<Value> {
    match part {
        Value::Array(array) if array.rank()? == 0 && array.dtype()? != DType::Bool => {
            Ok(Value::Int(places(array, settling)?[0].into()))
        }
        part => Ok(part.clone()),
    }
}

/// The parts with as many slices in place of an ellipsis as it stands for.
fn spelled_out(parts: &[Value], rank: usize) -> Result<Vec<Value>> {
    let mut used = 0;
    for part in parts {
        used += width(part)?;
    }
    let all = vec![Value::Slice([None; 3]); rank.saturating_sub(used)];
    let spelled = parts.iter().flat_map(|part| match part {
        Value::Ellipsis => all.clone(),
        part => vec![part.clone()],
    });
    Ok(spelled.collect())
}

/// The integers of an array.
pub(super) fn places(array: &Array, settling: Settling<'_>) -> Result<Vec<i64>> {
    const MOST: u64 = 1 << 24;
    let dtype = array.dtype()?;
    if dtype.is_float() || dtype == DType::Bool {
        return Err(Fault::new(format!(
            "arrays used as indices must be of integer (or boolean) type, and not {dtype}"
        )));
    }
    let count = array.meta()?.grid.shape().iter().product::<u64>();
    if count > MOST {
        return Err(Fault::value(format!(
            "an index of {count} places; at most {MOST} are looked up"
        )));
    }
    match settling.elements(&array.cast_to(DType::I64))? {
        AnyVec::I64(places) => Ok(places),
        _ => Err(Fault::value("an index is no integer")),
    }
}

/// What one part of an index selects.
enum Chosen {
    Truths(Array),
    /// The places, and the shape that they have.
    Places(Vec<i64>, Vec<i64>),
}

fn listed_truths(list: &[Value]) -> Option<Vec<bool>> {
    let truth = |value: &Value| if let Value::Bool(value) = value { Some(*value) } else { None };
    list.iter().map(truth).collect::<Option<Vec<bool>>>().filter(|truths| !truths.is_empty())
}

/// An index of which the part `listed` is a list or an array, of places or of truths; the other parts are slices.
fn chosen(array: &Array, parts: &[Value], listed: usize, settling: Settling<'_>) -> Result<Value> {
    let chosen = match &parts[listed] {
        Value::Array(index) if index.dtype()? == DType::Bool => Chosen::Truths(index.clone()),
        Value::Array(index) => {
            let shape = index.shape()?.into_iter().map(|len| len as i64).collect();
            Chosen::Places(places(index, settling)?, shape)
        }
        Value::List(list) => match listed_truths(list) {
            Some(truths) => return compressed(&sliced(array, parts, listed, 1)?, &truths, listed),
            None if list.iter().any(|value| matches!(value, Value::List(_) | Value::Array(_))) => {
                let mut parts = parts.to_vec();
                parts[listed] = Value::Array(parts[listed].to_array()?);
                return self::chosen(array, &parts, listed, settling);
            }
            None => {
                let place = |value: &Value| match part(value)? {
                    Part::Index(at) => Ok(at),
                    _ => Err(Fault::new("a list of indices holds integers alone")),
                };
                let places = list.iter().map(place).collect::<Result<Vec<i64>>>()?;
                let count = places.len() as i64;
                Chosen::Places(places, vec![count])
            }
        },
        _ => return Err(Fault::new("an index is no list")),
    };
    let axis = listed as i64;
    match chosen {
        Chosen::Truths(mask) => {
            let width = mask.rank()?;
            let array = sliced(array, parts, listed, width)?;
            let rank = array.rank()?;
            if listed + width > rank {
                return Err(too_many(rank, listed + width));
            }
            let moved: Axes = (axis..axis + width as i64).collect();
            let front: Axes = (0..width as i64).collect();
            let array = if listed > 0 { array.moveaxis(moved, front) } else { array };
            let kept = settling.settled(array.filter(&mask.cast::<bool>()))?;
            Ok(if listed > 0 { kept.moveaxis(0, axis) } else { kept }.into())
        }
        Chosen::Places(places, shape) => {
            let array = sliced(array, parts, listed, 1)?;
            let taken = array.take(places, axis);
            if shape.len() == 1 {
                return Ok(taken.into());
            }
            let lens: Vec<i64> = taken.shape()?.into_iter().map(|len| len as i64).collect();
            let spread = lens[..listed].iter().chain(&shape).chain(&lens[listed + 1..]);
            Ok(taken.reshape(spread.copied().collect::<Vec<i64>>()).into())
        }
    }
}

pub(super) fn too_many(rank: usize, asked: usize) -> Box<Fault> {
    Fault::value(format!(
        "too many indices for array: array is {rank}-dimensional, but {asked} were indexed"
    ))
}

/// The array, sliced by all parts but `listed`, which stands for `width` axes.
fn sliced(array: &Array, parts: &[Value], listed: usize, width: usize) -> Result<Array> {
    let whole = Part::Range { start: None, stop: None, step: 1 };
    let mut slices = parts[..listed].iter().map(part).collect::<Result<Vec<Part>>>()?;
    slices.extend(std::iter::repeat_n(whole, width));
    for other in &parts[listed + 1..] {
        slices.push(part(other)?);
    }
    let rank = array.rank()?;
    if slices.len() > rank {
        return Err(too_many(rank, slices.len()));
    }
    let sliced = array.select(&slices);
    sliced.meta()?;
    Ok(sliced)
}

/// The elements along `axis` for which a list is true.
fn compressed(array: &Array, truths: &[bool], axis: usize) -> Result<Value> {
    let len = array.shape()?[axis];
    if truths.len() != len {
        return Err(Fault::value(format!(
            "boolean index did not match indexed array along axis {axis}; size of axis is {len} \
             but size of corresponding boolean axis is {}",
            truths.len()
        )));
    }
    Ok(array.compress(truths, axis as i64).into())
}

/// One part of an index of an array.
pub(super) fn part(index: &Value) -> Result<Part> {
    match index {
        Value::Int(at) => i64::try_from(*at)
            .map(Part::Index)
            .map_err(|_| Fault::value(format!("index {at} is beyond every axis"))),
        Value::Slice([_, _, Some(0)]) => Err(Fault::value("slice step cannot be zero")),
        Value::Slice([start, stop, step]) => {
            Ok(Part::Range { start: *start, stop: *stop, step: step.unwrap_or(1) })
        }
        Value::Ellipsis => Ok(Part::Ellipsis),
        Value::None => Ok(Part::NewAxis),
        other => Err(Fault::new(format!(
            "only integers, slices (`:`), ellipsis (`...`) and newaxis (`None`) are indices, \
             and not {}",
            other.with_article()
        ))),
    }
}
