//! `freeboard calc`: a formula in NumPy's syntax, printed or stored.
//!
//! With `--json` an array is an object with the keys `shape`, `dtype` (NumPy's name) and `data`
//! (nested lists); Python's own values are themselves; several results are a list.

use crate::{
    args::Calc,
    job::{self, Job},
    output,
};
use freeboard::{
    Array, Error, ErrorKind, Result,
    array::{AnyArray, full},
    calc::{Formula, Output, listing},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    vec,
};

/// Runs the command.
pub fn run(args: &Calc) -> Result<()> {
    if args.functions {
        return print_functions();
    }
    // The command line asks for it.
    let Some(text) = &args.formula else { return Ok(()) };
    let formula = Formula::parse(text)?;
    let mut inputs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if !args.inputs.iter().any(|(name, _)| formula.uses(name)) {
        // `mean` alone, with an input x, is a mistake of its own.
        formula.evaluate(&BTreeMap::new())?;
    }
    for (name, path) in &args.inputs {
        if !formula.uses(name) {
            let message = format!("the formula does not use the input {name}");
            return Err(Error::new(ErrorKind::Formula, message));
        }
        inputs.entry(name.clone()).or_default().push(path.clone());
    }
    let stored = match args.output.to_str() {
        Some("-") => None,
        _ => {
            let paths: Vec<String> = inputs.values().flatten().cloned().collect();
            Some(job::output(&args.output, &args.writing, &args.run, &paths)?)
        }
    };
    let job = Job::new("calc", &args.run)?;
    let arrays = inputs
        .into_iter()
        .map(|(name, paths)| Ok((name, Array::from_source(job::source(&paths, &args.stacking)?))))
        .collect::<Result<_>>()?;
    let result = match job.is_plan() {
        true => formula.evaluate_unread(&arrays, &job)?,
        false => formula.evaluate_with(&arrays, &job)?,
    };
    match stored {
        Some(output) => job.store(&single(result)?, &output),
        None => print(&job, result, args.run.json),
    }
}

fn print_functions() -> Result<()> {
    let functions = listing();
    let width = functions.iter().map(|(signature, _)| signature.len()).max().unwrap_or(0);
    let lines: Vec<String> = functions
        .iter()
        .map(|(signature, help)| format!("{signature:<width$}  {help}\n"))
        .collect();
    output::print_text(&lines.concat())
}

/// The one array that a file can hold.
fn single(result: Output) -> Result<Array> {
    const NO_AXES: [i64; 0] = [];
    let refused = |message: &str| Err(Error::new(ErrorKind::Formula, message));
    match result {
        Output::Array(array) => Ok(array),
        Output::Float(value) => Ok(full(NO_AXES, value).to_dyn()),
        Output::Bool(value) => Ok(full(NO_AXES, value).to_dyn()),
        Output::Int(value) => match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => Ok(full(NO_AXES, value).to_dyn()),
            (_, Ok(value)) => Ok(full(NO_AXES, value).to_dyn()),
            _ => refused("the result is beyond all integer dtypes"),
        },
        Output::List(_) => refused("an output holds one array, and the formula gives several"),
        _ => refused("the result is no array: it can be printed, and not stored"),
    }
}

fn print(job: &Job<'_>, result: Output, json: bool) -> Result<()> {
    let mut arrays = Vec::new();
    take_arrays(&result, &mut arrays);
    let computed = match arrays.is_empty() {
        true => Vec::new(),
        false => match job.compute(arrays)? {
            Some(computed) => computed,
            None => return Ok(()),
        },
    };
    let shown = Shown::of(result, &mut computed.into_iter());
    output::print(|out| match json {
        true => shown.write_json(out).and_then(|()| writeln!(out)),
        false => shown.write_text(out),
    })
}

fn take_arrays(result: &Output, arrays: &mut Vec<Array>) {
    match result {
        Output::Array(array) => arrays.push(array.clone()),
        Output::List(results) => results.iter().for_each(|result| take_arrays(result, arrays)),
        _ => {}
    }
}

/// A result, its arrays computed.
enum Shown {
    Array(AnyArray),
    /// As JSON, and as Python writes it.
    Value(Value, String),
    List(Vec<Shown>),
}

impl Shown {
    /// The arrays of `result` are the next ones of `computed`.
    fn of(result: Output, computed: &mut vec::IntoIter<AnyArray>) -> Shown {
        match result {
            Output::Array(_) => match computed.next() {
                Some(array) => Shown::Array(array),
                None => Shown::List(Vec::new()),
            },
            Output::List(results) => {
                Shown::List(results.into_iter().map(|result| Shown::of(result, computed)).collect())
            }
            Output::Int(value) => {
                let json = match (i64::try_from(value), u64::try_from(value)) {
                    (Ok(value), _) => json!(value),
                    (_, Ok(value)) => json!(value),
                    _ => json!(value.to_string()),
                };
                Shown::Value(json, value.to_string())
            }
            Output::Float(value) if value.is_nan() => {
                Shown::Value(output::float(value), "nan".to_owned())
            }
            Output::Float(value) => Shown::Value(output::float(value), format!("{value:?}")),
            Output::Bool(value) => {
                Shown::Value(json!(value), if value { "True" } else { "False" }.to_owned())
            }
            Output::Text(text) => Shown::Value(json!(text), text),
            _ => Shown::Value(Value::Null, "None".to_owned()),
        }
    }

    fn holds_array(&self) -> bool {
        match self {
            Shown::Array(_) => true,
            Shown::Value(..) => false,
            Shown::List(parts) => parts.iter().any(Shown::holds_array),
        }
    }

    fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Shown::Array(array) => {
                let (shape, dtype) = (json!(array.shape()), json!(array.dtype().name()));
                write!(out, "{{\"shape\": {shape}, \"dtype\": {dtype}, \"data\": ")?;
                output::write_nested(out, array)?;
                out.write_all(b"}")
            }
            Shown::Value(json, _) => write!(out, "{json}"),
            Shown::List(parts) => {
                out.write_all(b"[")?;
                for (i, part) in parts.iter().enumerate() {
                    out.write_all(if i > 0 { b", " } else { b"" })?;
                    part.write_json(out)?;
                }
                out.write_all(b"]")
            }
        }
    }

    /// Lines; several arrays one below the other.
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Shown::Array(array) => writeln!(out, "{array}"),
            Shown::List(parts) if self.holds_array() => {
                parts.iter().try_for_each(|part| part.write_text(out))
            }
            _ => writeln!(out, "{}", self.text()),
        }
    }

    /// As Python writes a value without arrays.
    fn text(&self) -> String {
        match self {
            Shown::Array(array) => array.to_string(),
            Shown::Value(_, text) => text.clone(),
            Shown::List(parts) => match &parts[..] {
                [one] => format!("({},)", one.text()),
                parts => {
                    let texts: Vec<String> = parts.iter().map(Shown::text).collect();
                    format!("({})", texts.join(", "))
                }
            },
        }
    }
}
