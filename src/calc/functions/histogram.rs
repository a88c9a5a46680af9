//! How elements are distributed.

use super::{
    super::{
        fault::{Fault, Result},
        value::Value,
    },
    arguments::Arguments,
    functions,
};
use crate::array::{Array, BinEdges, histogramdd, stack};
use freeboard_formats::DType;

functions! {
    "histogram(a, bins=10, range=None, density=None, weights=None)" "How many elements lie in each bin, and the edges of the bins" => |a| histogram(a)?;
    "histogram2d(x, y, bins=10, range=None, density=None, weights=None)" "How many pairs of elements lie in each pair of bins, and the edges" => |a| histogram2d(a)?;
    "histogramdd(sample, bins=10, range=None, density=None, weights=None)" "As histogram2d, of any number of variables, in a tuple or in columns" => |a| histogram_of_many(a)?;
    "bincount(x, /, *, minlength=0)" "How often each integer occurs" => |a| bincount(a)?;
}

/// The least and the greatest element; 0 and 1 of none, as NumPy has it.
fn whole_range(a: &Arguments<'_>, array: &Array) -> Result<(f64, f64)> {
    if array.shape()?.contains(&0) {
        return Ok((0.0, 1.0));
    }
    let ends = stack([array.min(..), array.max(..)], 0).cast_to(DType::F64);
    match a.settling().elements(&ends)?.into_typed::<f64>()?[..] {
        [first, last] => Ok((first, last)),
        _ => Err(Fault::value("a range is (first, last)")),
    }
}

/// Counts by the width of their bins and their sum, if that is asked for.
fn density(a: &Arguments<'_>, counts: Array, edges: &[Array]) -> Result<Array> {
    if a.is_none("density") || !a.flag("density")? {
        return Ok(counts);
    }
    let mut shares = &counts / counts.sum(..);
    let rank = edges.len() as i64;
    for (axis, edges) in (0..rank).zip(edges) {
        let others: Vec<i64> = (0..rank).filter(|&other| other != axis).collect();
        shares = shares / edges.diff(1, 0).expand_dims(others);
    }
    Ok(shares)
}

fn histogram(a: &Arguments<'_>) -> Result<Value> {
    let array = a.array("a")?;
    let mut weights = None;
    if !a.is_none("weights") {
        weights = Some(a.array("weights")?);
    }
    let bins = a.known("bins")?;
    let listed = matches!(bins, Value::Tuple(_) | Value::List(_) | Value::Array(_));
    let (counts, edges) = match listed {
        true => {
            let edges = a.floats("bins")?.0;
            let counts = match &weights {
                Some(weights) => histogramdd(&[&array], [edges.into()], Some(weights)).0.to_dyn(),
                None => array.histogram_between(&edges).to_dyn(),
            };
            (counts, bins.to_array()?)
        }
        false => {
            let range = match a.maybe_floats("range")?.as_deref() {
                Some(&[first, last]) => (first, last),
                Some(_) => return Err(Fault::value("a range is (first, last)")),
                None => whole_range(a, &array)?,
            };
            let bins = a.count("bins")? as usize;
            let (counts, edges) = array.histogram(bins, range);
            let counts = match &weights {
                Some(weights) => {
                    histogramdd(&[&array], [(bins, range).into()], Some(weights)).0.to_dyn()
                }
                None => counts.to_dyn(),
            };
            (counts, edges)
        }
    };
    let counts = match weights {
        Some(weights) => counts.cast_to(weights.dtype()?),
        None => counts,
    };
    let counts = density(a, counts, std::slice::from_ref(&edges))?;
    Ok(Value::Tuple(vec![Value::Array(counts), Value::Array(edges)]))
}

/// The parts of a value for each of `count` variables; the value itself for each where it is none, one
/// number, or a list of other things than those that `is_part` knows.
fn for_each(value: &Value, count: usize, is_part: impl Fn(&Value) -> bool) -> Vec<Value> {
    match value {
        Value::Tuple(parts) | Value::List(parts)
            if parts.len() == count && parts.iter().all(&is_part) =>
        {
            parts.clone()
        }
        whole => vec![whole.clone(); count],
    }
}

/// The joint histogram of `variables`, and the edges of their bins.
fn jointly(a: &Arguments<'_>, variables: &[Array]) -> Result<(Array, Vec<Array>)> {
    let count = variables.len();
    // For two variables two numbers are two counts, and more are edges for both.
    let bins = for_each(&a.known("bins")?, count, |part| {
        matches!(part, Value::Int(_) | Value::Tuple(_) | Value::List(_) | Value::Array(_))
    });
    let ranges = for_each(&a.known("range")?, count, |part| {
        matches!(part, Value::None | Value::Tuple(_) | Value::List(_))
    });
    let mut edges: Vec<BinEdges> = Vec::with_capacity(count);
    for ((variable, bins), range) in variables.iter().zip(bins).zip(ranges) {
        edges.push(match &bins {
            Value::Int(bins) => {
                let bins = usize::try_from(*bins).unwrap_or(0);
                let range = match &range {
                    Value::None => whole_range(a, variable)?,
                    given => match given.numbers()?.1[..] {
                        [first, last] => (first, last),
                        _ => {
                            return Err(Fault::value(
                                "a range is (first, last), for each variable",
                            ));
                        }
                    },
                };
                (bins, range).into()
            }
            listed => {
                let listed = listed.to_array()?.cast_to(DType::F64);
                a.settling().elements(&listed)?.into_typed::<f64>()?.into()
            }
        });
    }
    let weights = if a.is_none("weights") { None } else { Some(a.array("weights")?) };
    let variables: Vec<&Array> = variables.iter().collect();
    let (counts, edges) = histogramdd(&variables, edges, weights.as_ref());
    let edges: Vec<Array> = edges.into_iter().map(|edges| edges.to_dyn()).collect();
    Ok((density(a, counts.to_dyn(), &edges)?, edges))
}

fn histogram2d(a: &Arguments<'_>) -> Result<Value> {
    let (counts, edges) = jointly(a, &[a.array("x")?, a.array("y")?])?;
    let all = std::iter::once(counts).chain(edges);
    Ok(Value::Tuple(all.map(Value::Array).collect()))
}

fn histogram_of_many(a: &Arguments<'_>) -> Result<Value> {
    const MOST: usize = 32;
    let variables = match a.value("sample") {
        Value::Tuple(_) | Value::List(_) => a.arrays("sample")?,
        _ => {
            let sample = a.array("sample")?.atleast_2d();
            let columns = sample.shape()?[1];
            if columns > MOST {
                return Err(Fault::value(format!("{columns} variables; at most {MOST}")));
            }
            (0..columns).map(|i| sample.slice_numpy(&format!(":, {i}"))).collect()
        }
    };
    let (counts, edges) = jointly(a, &variables)?;
    let edges = Value::Tuple(edges.into_iter().map(Value::Array).collect());
    Ok(Value::Tuple(vec![Value::Array(counts), edges]))
}

/// How often each integer occurs; the greatest is looked for where no length is told that is enough.
fn bincount(a: &Arguments<'_>) -> Result<Array> {
    let (array, least) = (a.array("x")?, a.count("minlength")?);
    if array.rank()? != 1 {
        return Err(Fault::value("bincount is of an array of one axis"));
    }
    if array.dtype()?.is_float() || array.shape()?.contains(&0) || !a.settling().can() {
        return Ok(array.bincount(least).to_dyn());
    }
    let greatest =
        a.settling().elements(&array.max(..).cast_to(DType::I64))?.into_typed::<i64>()?;
    let length = greatest[0].checked_add(1).and_then(|length| u64::try_from(length).ok());
    Ok(array.bincount(least.max(length.unwrap_or(0))).to_dyn())
}
