//! `freeboard stats`: what the elements are like, in one pass over them.
//!
//! What is not a number is counted and otherwise left out. Sums, means and deviations of
//! floats are doubles; true is 1.
//!
//! The keys of `--json`: `shape`, `dtype` (NumPy's name), `count` (elements that are not NaN),
//! `nan`, `min`, `max`, `sum`, `mean`, `std` (divided by the count). Of nothing the sum is 0
//! and the others are null.

use crate::{
    args::Stats,
    job::{self, Job},
    output::{self, ToJson},
};
use freeboard::{Array, DType, Delayed, Result, Scalar};
use serde_json::{Value, json};

/// Runs the command.
pub fn run(args: &Stats) -> Result<()> {
    let job = Job::new("stats", &args.run)?;
    let array = job::open(&args.paths, &args.input)?;
    let (dtype, shape) = (array.dtype()?, array.shape()?);
    let elements: u64 = shape.iter().map(|&len| len as u64).product();
    let Some((count, values)) = measure(&job, &array, elements)? else { return Ok(()) };

    let mut table = vec![
        ("shape", json!(shape), output::tuple(&shape)),
        ("dtype", json!(dtype.name()), dtype.name().to_owned()),
        ("count", json!(count), count.to_string()),
        ("nan", json!(elements - count), (elements - count).to_string()),
    ];
    for (name, value) in ["min", "max", "sum", "mean", "std"].into_iter().zip(values) {
        table.push(match value {
            Some(value) => (name, scalar_json(value), value.to_string()),
            None => (name, Value::Null, "none".to_owned()),
        });
    }
    if args.run.json {
        let object = table.into_iter().map(|(name, json, _)| (name.to_owned(), json)).collect();
        return output::print_json(&Value::Object(object));
    }
    let lines: Vec<String> =
        table.into_iter().map(|(name, _, text)| format!("{name:<5}  {text}\n")).collect();
    output::print_text(&lines.concat())
}

/// How many elements are not NaN, and least, greatest, sum, mean and deviation of these:
/// `None` for what nothing has. `None` of all if only the plan was asked for.
fn measure(
    job: &Job<'_>,
    array: &Array,
    elements: u64,
) -> Result<Option<(u64, [Option<Scalar>; 5])>> {
    let (array, wide) = match array.dtype()? {
        DType::F32 => (array.clone(), array.cast_to(DType::F64)),
        DType::Bool => (array.cast_to(DType::U8), array.clone()),
        _ => (array.clone(), array.clone()),
    };
    let sum = wide.nansum(..).item();
    if elements == 0 {
        // The least of nothing is a mistake; everything else follows from the sum.
        let sum = job.compute(sum)?;
        return Ok(sum.map(|sum| (0, [None, None, Some(sum), None, None])));
    }
    let item = |array: Array| -> Delayed<Scalar> { array.item() };
    let all = (
        array.count(..).item(),
        item(array.nanmin(..)),
        item(array.nanmax(..)),
        sum,
        item(wide.nanmean(..)),
        item(wide.nanstd(..)),
    );
    let Some((count, min, max, sum, mean, std)) = job.compute(all)? else { return Ok(None) };
    let count = u64::try_from(count).unwrap_or(0);
    let some = |value| (count > 0).then_some(value);
    Ok(Some((count, [some(min), some(max), Some(sum), some(mean), some(std)])))
}

fn scalar_json(value: Scalar) -> Value {
    macro_rules! json {
        ($($variant:ident)*) => {
            match value {
                $(Scalar::$variant(value) => value.to_json(),)*
            }
        };
    }
    json!(Bool U8 U16 U32 U64 I8 I16 I32 I64 F32 F64)
}
