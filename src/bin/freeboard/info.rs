//! `freeboard info`: what is there, without reading an element.
//!
//! One array is shown on a few lines; a file or folder that holds more as a tree, with what
//! cannot be read and why.
//!
//! The keys of `--json`: `location`, `arrays` (each as `entry` has it), and of what is no
//! array that can be read, `others`: `item`, `title`, and `what` it is or the `reason` that it
//! cannot be read, with `dtype` and `shape` (null where they are not known).

mod entry;
mod html;
mod tree;

use crate::{
    args::{Info, Stacking},
    job,
    output::{self, tuple},
};
use entry::Entry;
use freeboard::{
    DType, Missing, Result,
    formats::{self, Content, Dims, ErrorKind, FormatError, registry},
};
use serde_json::{Value, json};
use std::path::Path;

/// What is looked at: one array, or all that a file or folder holds.
enum Found {
    One(Box<Entry>),
    Many(Vec<Line>),
}

/// A line of a tree.
struct Line {
    /// What stands behind `::`.
    item: String,
    title: Option<String>,
    is: Is,
}

enum Is {
    Array(Box<Entry>),
    Other(String),
    Unreadable { reason: String, dtype: Option<DType>, shape: Option<Dims> },
}

impl Line {
    /// What is known of what cannot be read, and why it cannot.
    fn refusal(&self) -> Option<String> {
        let Is::Unreadable { reason, dtype, shape } = &self.is else { return None };
        let dtype = dtype.map(|dtype| format!("{dtype} "));
        let shape = shape.as_ref().map(|shape| format!("{}   ", tuple(shape)));
        let known = dtype.into_iter().chain(shape).collect::<String>();
        Some(format!("{known}cannot be read: {reason}"))
    }
}

/// Runs the command.
pub fn run(args: &Info) -> Result<()> {
    let found = find(args)?;
    if args.json {
        let location = args.paths.join(" ");
        return output::print_json(&to_json(&location, &found));
    }
    let location = shown(&args.paths);
    if args.html {
        return output::print_text(&html::page(&location, &found));
    }
    output::print_text(&match &found {
        Found::One(entry) => entry.to_text(args.cards),
        Found::Many(lines) => tree::to_text(&location, lines, args.cards),
    })
}

/// The locations, or of more than a few the first and the last.
fn shown(paths: &[String]) -> String {
    match paths {
        [first, _, _, .., last] => format!("{first} … {last}"),
        few => few.join(" "),
    }
}

fn find(args: &Info) -> Result<Found> {
    let stacking = &args.stacking;
    if let ([path], true) = (&args.paths[..], *stacking == Stacking::default())
        && let Some(contents) = registry::contents(path)?
    {
        let lines: Vec<Line> = contents.into_iter().map(|entry| line(path, entry)).collect();
        let arrays = lines.iter().filter(|line| matches!(line.is, Is::Array(_))).count();
        let told = lines
            .iter()
            .filter(|line| !matches!(&line.is, Is::Other(what) if what == "empty"))
            .count();
        // Of a single thing, or where nothing can be read, opening tells all there is to say.
        if told > 1
            && (arrays > 0 || lines.iter().any(|line| matches!(line.is, Is::Unreadable { .. })))
        {
            return Ok(Found::Many(lines));
        }
    }
    let source = job::source(&args.paths, stacking)?;
    if stacking.missing == Missing::Error {
        check_kinds(&args.paths)?;
    }
    let location = if args.json { args.paths.join(" ") } else { shown(&args.paths) };
    Ok(Found::One(Box::new(Entry::opened(location, &*source))))
}

/// Holds a file of each other name ending against the first: a stack is shown by its first file, and such
/// a mistake would be known only when the others are read.
fn check_kinds(paths: &[String]) -> Result<()> {
    let files = registry::files(paths)?;
    let Some((first, _)) = files.first() else { return Ok(()) };
    let mut seen = vec![first.extension()];
    for (path, item) in &files {
        if seen.contains(&path.extension()) {
            continue;
        }
        seen.push(path.extension());
        let meta = |path: &Path| -> Result<(DType, Vec<u64>)> {
            let item = item.iter().map(|item| format!("::{item}")).collect::<String>();
            let meta = registry::open(&format!("{}{item}", path.display()))?.meta().clone();
            let inner = meta.shape().iter().copied().skip_while(|&len| len == 1).collect();
            Ok((meta.dtype, inner))
        };
        let ((dtype, shape), (wanted, expected)) = (meta(path)?, meta(first)?);
        if (dtype, &shape) != (wanted, &expected) {
            let message = format!(
                "{dtype} {}, but the first file, {}, has {wanted} {}",
                tuple(&shape),
                first.display(),
                tuple(&expected)
            );
            return Err(FormatError::new(ErrorKind::Mismatch, message)
                .at_path(path)
                .help("files of a stack are alike: look at each on its own")
                .into());
        }
    }
    Ok(())
}

fn line(path: &str, entry: formats::Entry) -> Line {
    let formats::Entry { name, title, content } = entry;
    let is = match content {
        Content::Array(item) => Is::Array(Box::new(Entry::listed(path, title.clone(), *item))),
        Content::Other(what) => Is::Other(what),
        Content::Unreadable { reason, dtype, shape } => Is::Unreadable { reason, dtype, shape },
    };
    Line { item: name, title, is }
}

fn to_json(location: &str, found: &Found) -> Value {
    let (mut arrays, mut others) = (Vec::new(), Vec::new());
    match found {
        Found::One(entry) => arrays.push(entry.to_json()),
        Found::Many(lines) => {
            for Line { item, title, is } in lines {
                match is {
                    Is::Array(entry) => arrays.push(entry.to_json()),
                    Is::Other(what) => {
                        others.push(json!({ "item": item, "title": title, "what": what }));
                    }
                    Is::Unreadable { reason, dtype, shape } => {
                        others.push(json!({
                            "item": item, "title": title, "reason": reason,
                            "dtype": dtype.map(DType::name), "shape": shape.as_deref(),
                        }));
                    }
                }
            }
        }
    }
    json!({ "location": location, "arrays": arrays, "others": others })
}
