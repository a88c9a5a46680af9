//! What depends on the order of elements along axes.

use super::{
    super::{
        fault::{Fault, Result},
        value::Value,
    },
    arguments::Arguments,
    functions,
};
use crate::{
    array::{Array, Axes, keepdims, stack},
    kernel::Method,
};
use freeboard_formats::DType;

functions! {
    "sort(a, axis=-1, kind=None, *, stable=None)" "The elements in rising order along an axis" => |a| { let (array, axis) = a.along_or_flat()?; array.sort(axis) };
    "argsort(a, axis=-1, kind=None, *, stable=None)" "The places of the elements in rising order along an axis; stable" => |a| { let (array, axis) = a.along_or_flat()?; array.argsort(axis).to_dyn() };
    "topk(a, k, axis=-1)" "The k greatest elements along an axis, or the -k least (as in dask)" => |a| a.array("a")?.topk(a.integer("k")?, a.integer("axis")?);
    "median(a, axis=None, *, keepdims=False)" "The median" => |a| a.reduced(Array::median)?;
    "nanmedian(a, axis=None, *, keepdims=False)" "The median of what is not NaN" => |a| a.reduced(Array::nanmedian)?;
    "percentile(a, q, axis=None, *, method='linear', keepdims=False)" "The elements at q per cent of their order" => |a| quantiles(a, 100.0, false)?;
    "nanpercentile(a, q, axis=None, *, method='linear', keepdims=False)" "As percentile, of what is not NaN" => |a| quantiles(a, 100.0, true)?;
    "quantile(a, q, axis=None, *, method='linear', keepdims=False)" "The elements at the fraction q of their order" => |a| quantiles(a, 1.0, false)?;
    "nanquantile(a, q, axis=None, *, method='linear', keepdims=False)" "As quantile, of what is not NaN" => |a| quantiles(a, 1.0, true)?;
    "histogram(a, bins=10, range=None)" "How many elements lie in each bin, and the edges of the bins" => |a| histogram(a)?;
    "bincount(x, /, *, minlength=0)" "How often each integer occurs" => |a| bincount(a)?;
}

/// Counts and edges: of bins of equal width over a range, or between edges that are listed.
fn histogram(a: &Arguments<'_>) -> Result<Value> {
    let array = a.array("a")?;
    let (counts, edges) = match a.value("bins") {
        Value::Tuple(_) | Value::List(_) => {
            let (edges, _) = a.floats("bins")?;
            (array.histogram_between(&edges), a.value("bins").to_array()?)
        }
        _ => {
            let range = match a.maybe_floats("range")?.as_deref() {
                Some(&[first, last]) => (first, last),
                Some(_) => return Err(Fault::value("a range is (first, last)")),
                None => whole_range(a, &array)?,
            };
            array.histogram(a.count("bins")? as usize, range)
        }
    };
    Ok(Value::Tuple(vec![Value::Array(counts.to_dyn()), Value::Array(edges)]))
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

/// Quantiles, `whole` being the greatest: of one number, or of a list of them along a new axis.
fn quantiles(a: &Arguments<'_>, whole: f64, without_nan: bool) -> Result<Array> {
    let known = || Method::ALL.map(Method::name).join(", ");
    let method = match a.value("method") {
        Value::Text(text) => Method::from_name(text).ok_or_else(|| {
            Fault::value(format!("{text:?} is not a valid method"))
                .help(format!("there are {}", known()))
        })?,
        _ => return Err(Fault::new("method must be a text").help(format!("there are {}", known()))),
    };
    let axes: Axes = match a.flag("keepdims")? {
        true => keepdims(a.axes("axis")?),
        false => a.axes("axis")?,
    };
    let (mut array, (q, listed)) = (a.array("a")?, a.floats("q")?);
    // A list of doubles is not weak beside float32.
    if listed && !method.selects() {
        array = array.cast_to(DType::F64);
    }
    let q: Vec<f64> = q.into_iter().map(|q| q / whole).collect();
    let made = match without_nan {
        true => array.nanquantiles(q, axes, method),
        false => array.quantiles(q, axes, method),
    };
    Ok(if listed { made } else { made.slice_numpy("0") })
}
