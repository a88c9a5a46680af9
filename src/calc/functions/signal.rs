//! NumPy's convolution and correlation of two lines; `ndimage` has those of images.

use super::{
    super::{
        fault::{Fault, Result},
        value::Value,
    },
    arguments::Arguments,
    functions,
};
use crate::{
    array::{Array, Pad},
    imaging::{Boundary, correlate1d},
    kernel::promote::result_type,
};
use freeboard_formats::DType;

functions! {
    "numpy.convolve(a, v, mode='full')" "The sums of products of a line and a shorter one that is moved along it in reverse: 'full', 'same' or 'valid'" => |a| moved(a, true)?;
    "numpy.correlate(a, v, mode='valid')" "The sums of products of a line and a shorter one that is moved along it" => |a| moved(a, false)?;
}

/// Sums of products, in doubles and converted to the dtype in which both meet, where the shorter line is so far
/// along the longer one as `mode` says.
fn moved(a: &Arguments<'_>, is_reversed: bool) -> Result<Array> {
    let (long, short) = (line(a, "a")?, line(a, "v")?);
    let dtype = result_type(long.dtype()?, short.dtype()?);
    let lens = [long.shape()?[0], short.shape()?[0]];
    if lens.contains(&0) {
        return Err(Fault::value("a convolution or correlation of no elements"));
    }
    let is_swapped = lens[1] > lens[0];
    let (long, short) = if is_swapped { (short, long) } else { (long, short) };
    let (len, width) = (lens[0].max(lens[1]), lens[0].min(lens[1]));
    let weights = Value::Array(short.cast_to(DType::F64));
    let Value::List(weights) = a.settling().list(&weights)? else {
        return Err(Fault::value("the shorter line of a convolution has one axis"));
    };
    let mut weights: Vec<f64> = (weights.iter())
        .map(|weight| weight.to_scalar().map(|weight| weight.as_f64()))
        .collect::<Result<_>>()?;
    if is_reversed {
        weights.reverse();
    }
    let (before, count) = match a.value("mode") {
        Value::Text(mode) if mode == "full" => (0, len + width - 1),
        Value::Text(mode) if mode == "same" => ((width - 1) / 2, len),
        Value::Text(mode) if mode == "valid" => (width - 1, len - width + 1),
        _ => return Err(Fault::value("mode must be 'full', 'same' or 'valid'")),
    };
    let around = long.cast_to(DType::F64).pad(width as u64 - 1, Pad::constant(0));
    let sums = correlate1d(&around, &weights, 0, Boundary::Constant(0.0));
    // The correlation has its centre in the middle of the weights.
    let first = width / 2 + before;
    let sums = sums.slice_numpy(&format!("{first}:{}", first + count));
    // A correlation with the longer line moved along the shorter one runs back.
    let sums = if is_swapped && !is_reversed { sums.flip(0) } else { sums };
    Ok(match dtype.is_float() || dtype == DType::Bool {
        true => sums.cast_to(dtype),
        // Sums wrap as those of integers do.
        false => sums.cast_to(DType::I64).cast_to(dtype),
    })
}

/// An array of one axis; a number is one too.
fn line(a: &Arguments<'_>, name: &str) -> Result<Array> {
    let array = a.array(name)?.atleast_1d();
    match array.rank()? {
        1 => Ok(array),
        _ => Err(Fault::value("object too deep for desired array: a line has one axis")
            .help("ndimage.convolve is that of images")),
    }
}
