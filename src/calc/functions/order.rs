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
    "histogram(a, bins=10, range=None)" "How many elements lie in each bin, and the edges of the bins" => |a| histogram(a)?;
    "bincount(x, /, *, minlength)" "How often each integer below minlength occurs; a greater one is a mistake" => |a| a.array("x")?.bincount(a.count("minlength")?).to_dyn();
}

/// Counts and edges: of bins of equal width over a range, or between edges that are listed.
fn histogram(a: &Arguments<'_>) -> Result<Value> {
    let array = a.array("a")?;
    let (counts, edges) = match a.value("bins") {
        Value::Tuple(_) | Value::List(_) => {
            let (edges, _) = a.floats("bins")?;
            (array.histogram_between(&edges), a.value("bins").to_array()?)
        }
        _ => match a.maybe_floats("range")?.as_deref() {
            Some(&[first, last]) => array.histogram(a.count("bins")? as usize, (first, last)),
            _ => {
                return Err(Fault::value("without edges a histogram takes the range of its bins")
                    .help("give range=(first, last)"));
            }
        },
    };
    Ok(Value::Tuple(vec![Value::Array(counts.to_dyn()), Value::Array(edges)]))
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
    let array = a.array("a")?;
    let of = |q: Vec<f64>| match without_nan {
        true => array.nanquantiles(q, axes, method),
        false => array.quantiles(q, axes, method),
    };
    match a.floats("q")? {
        // A list of doubles is not weak beside float32.
        (q, true) => {
            let made = of(q.into_iter().map(|q| q / whole).collect());
            let selects = matches!(method, Method::Lower | Method::Higher | Method::Nearest);
            Ok(if selects { made } else { made.cast_to(DType::F64) })
        }
        (q, false) => {
            let made = of(q.into_iter().map(|q| q / whole).collect());
            Ok(made.slice_numpy("0"))
        }
    }
}
