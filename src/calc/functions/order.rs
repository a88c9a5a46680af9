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
    array::{Array, Axes, keepdims},
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
    "argtopk(a, k, axis=-1)" "The places of the k greatest elements along an axis, or of the -k least (as in dask)" => |a| a.array("a")?.argtopk(a.integer("k")?, a.integer("axis")?).to_dyn();
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
