//! `freeboard info`: what is there, without reading an element.

use crate::{args::Info, job, output};
use freeboard::{
    Result,
    formats::{ChunkSource, Labels, Meta, Storage, registry},
    memory::format_bytes,
};
use serde_json::{Value, json};

/// One array, as it is shown.
struct Entry {
    /// The location as it was given, with the item.
    location: String,
    item: String,
    meta: Meta,
    storage: Storage,
    labels: Vec<Option<Labels>>,
    /// Whether it is made of many files, of which one was opened.
    stacked: bool,
}

/// Runs the command.
pub fn run(args: &Info) -> Result<()> {
    let entries = entries(args)?;
    if args.json {
        let arrays: Vec<Value> = entries.iter().map(Entry::to_json).collect();
        return output::print_json(&json!({ "location": args.paths.join(" "), "arrays": arrays }));
    }
    let texts: Vec<String> = entries.iter().map(Entry::to_text).collect();
    output::print_text(&texts.join("\n"))
}

fn entries(args: &Info) -> Result<Vec<Entry>> {
    let stacking = &args.stacking;
    if let ([path], None, false) = (&args.paths[..], &stacking.stack, stacking.keep_axes) {
        let items = registry::list(path)?;
        // Of none, opening tells why.
        if items.len() > 1 {
            return Ok(items.into_iter().map(|item| Entry::listed(path, item)).collect());
        }
    }
    let source = job::source(&args.paths, stacking)?;
    Ok(vec![Entry::opened(args.paths.join(" "), &*source)])
}

impl Entry {
    fn listed(path: &str, item: freeboard::formats::Item) -> Entry {
        let location = match item.name.is_empty() {
            true => path.to_owned(),
            false => format!("{path}::{}", item.name),
        };
        let labels = vec![None; item.meta.grid.rank()];
        Entry {
            location,
            item: item.name,
            meta: item.meta,
            storage: item.storage,
            labels,
            stacked: false,
        }
    }

    fn opened(location: String, source: &dyn ChunkSource) -> Entry {
        let meta = source.meta().clone();
        let labels = (0..meta.grid.rank()).map(|axis| source.labels(axis).cloned()).collect();
        Entry {
            item: location.rsplit_once("::").map_or(String::new(), |(_, item)| item.to_owned()),
            location,
            meta,
            storage: source.storage(),
            labels,
            stacked: source.spec().format == "stack",
        }
    }

    fn to_text(&self) -> String {
        let Entry { meta, storage, .. } = self;
        let mut lies = vec![storage.format.clone()];
        if self.stacked {
            lies.insert(0, count(storage.files, "file"));
        }
        if !storage.codec.is_empty() {
            lies.push(storage.codec.clone());
        }
        if self.stacked {
            lies.push("opened 1".to_owned());
        }
        let mut size = format_bytes(meta.bytes().unwrap_or(u64::MAX)).to_string();
        if let Some(bytes) = storage.bytes {
            size += &format!(", {} on disk", format_bytes(bytes));
        }
        let what = format!("  {} {}", meta.dtype, tuple(&meta.shape()));
        let width = self.location.chars().count().max(what.chars().count()).max(32);
        let mut text = format!(
            "{:<width$}   {}\n{what:<width$}   chunks {} × {}   {size}\n",
            self.location,
            lies.join(" · "),
            meta.grid,
            meta.grid.len(),
        );
        let named: Vec<String> = (0..meta.grid.rank()).filter_map(|axis| self.axis(axis)).collect();
        if !named.is_empty() {
            text += &format!("  axes {}\n", named.join(" · "));
        }
        text
    }

    /// The name and labels of an axis, if it has any.
    fn axis(&self, axis: usize) -> Option<String> {
        let (name, labels) = (&self.meta.axes[axis], &self.labels[axis]);
        match (name.as_str(), labels) {
            ("", None) => None,
            ("", Some(labels)) => Some(format!("{axis}: {labels}")),
            (name, None) => Some(name.to_owned()),
            (name, Some(labels)) => Some(format!("{name} {labels}")),
        }
    }

    fn to_json(&self) -> Value {
        let Entry { meta, storage, .. } = self;
        let axes: Vec<Value> = meta
            .axes
            .iter()
            .zip(&self.labels)
            .map(|(name, labels)| {
                let labels = match labels {
                    None => Value::Null,
                    Some(Labels::Text(names)) => json!(names),
                    Some(Labels::Numbers(numbers)) => json!(numbers),
                };
                json!({ "name": name, "labels": labels })
            })
            .collect();
        json!({
            "location": self.location,
            "item": self.item,
            "format": storage.format,
            "codec": storage.codec,
            "files": storage.files,
            "bytes_on_disk": storage.bytes,
            "dtype": meta.dtype.name(),
            "shape": meta.shape().as_slice(),
            "chunks": meta.grid.max_chunk().as_slice(),
            "chunk_count": meta.grid.len(),
            "bytes": meta.bytes(),
            "axes": axes,
            "attributes": &*meta.attributes,
        })
    }
}

fn tuple(shape: &[u64]) -> String {
    let lengths: Vec<String> = shape.iter().map(u64::to_string).collect();
    match &lengths[..] {
        [one] => format!("({one},)"),
        many => format!("({})", many.join(", ")),
    }
}

fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
