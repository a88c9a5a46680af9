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
    job, output,
};
use entry::{Entry, tuple};
use freeboard::{
    DType, Result,
    formats::{self, Content, Dims, registry},
};
use serde_json::{Value, json};

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
    let location = args.paths.join(" ");
    if args.json {
        return output::print_json(&to_json(&location, &found));
    }
    if args.html {
        return output::print_text(&html::page(&location, &found));
    }
    output::print_text(&match &found {
        Found::One(entry) => entry.to_text(args.cards),
        Found::Many(lines) => tree::to_text(&location, lines, args.cards),
    })
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
    Ok(Found::One(Box::new(Entry::opened(args.paths.join(" "), &*source))))
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
