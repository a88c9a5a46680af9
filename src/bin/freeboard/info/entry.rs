//! One array, as it is shown: as text, and as JSON.

use crate::output::tuple;
use freeboard::{
    formats::{ChunkSource, Item, Labels, Meta, Storage},
    memory::format_bytes,
};
use serde_json::{Value, json};

/// One array.
pub(super) struct Entry {
    /// The location as it was given, with the item.
    pub(super) location: String,
    item: String,
    title: Option<String>,
    pub(super) meta: Meta,
    pub(super) storage: Storage,
    labels: Vec<Option<Labels>>,
    /// Whether it is made of many files, of which one was opened.
    stacked: bool,
}

impl Entry {
    /// An array that was found in a file or folder.
    pub(super) fn listed(path: &str, title: Option<String>, item: Item) -> Entry {
        let Item { name, meta, storage } = item;
        let location = match name.is_empty() {
            true => path.to_owned(),
            false => format!("{path}::{name}"),
        };
        let labels = vec![None; meta.grid.rank()];
        Entry { location, item: name, title, meta, storage, labels, stacked: false }
    }

    /// An array that was opened.
    pub(super) fn opened(location: String, source: &dyn ChunkSource) -> Entry {
        let meta = source.meta().clone();
        let labels = (0..meta.grid.rank()).map(|axis| source.labels(axis).cloned()).collect();
        Entry {
            item: location.rsplit_once("::").map_or(String::new(), |(_, item)| item.to_owned()),
            location,
            title: None,
            meta,
            storage: source.storage(),
            labels,
            stacked: source.spec().format == "stack",
        }
    }

    /// Of a stack, how many files it has; format and codec.
    pub(super) fn lies(&self) -> String {
        let mut lies = vec![self.storage.format.clone()];
        if self.stacked {
            lies.insert(0, count(self.storage.files, "file"));
        }
        if !self.storage.codec.is_empty() {
            lies.push(self.storage.codec.clone());
        }
        if self.stacked {
            lies.push("opened 1".to_owned());
        }
        lies.join(" · ")
    }

    /// `float32 (4, 20)`
    pub(super) fn dtype_and_shape(&self) -> String {
        format!("{} {}", self.meta.dtype, tuple(&self.meta.shape()))
    }

    /// `chunks (1, 20) × 4`
    pub(super) fn chunks(&self) -> String {
        format!("chunks {} × {}", self.meta.grid, self.meta.grid.len())
    }

    /// `320 B, 120 B on disk`
    pub(super) fn size(&self) -> String {
        let mut size = format_bytes(self.meta.bytes().unwrap_or(u64::MAX)).to_string();
        if let Some(bytes) = self.storage.bytes {
            size += &format!(", {} on disk", format_bytes(bytes));
        }
        size
    }

    /// The names and labels of axes, where there are any: `axes stokes I Q U V · raster 0…19`.
    pub(super) fn axes(&self) -> Option<String> {
        let named: Vec<String> =
            (0..self.meta.grid.rank()).filter_map(|axis| self.axis(axis)).collect();
        (!named.is_empty()).then(|| format!("axes {}", named.join(" · ")))
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

    /// Cards or attributes, a line each.
    pub(super) fn cards(&self) -> impl Iterator<Item = String> {
        let width = self.meta.attributes.keys().map(|key| key.chars().count()).max().unwrap_or(0);
        self.meta.attributes.iter().map(move |(key, value)| format!("{key:<width$} = {value}"))
    }

    /// Two lines, a third where axes have names, and one for each card if they are asked for.
    pub(super) fn to_text(&self, cards: bool) -> String {
        let what = format!("  {}", self.dtype_and_shape());
        let width = self.location.chars().count().max(what.chars().count()).max(32);
        let mut text = format!(
            "{:<width$}   {}\n{what:<width$}   {}   {}\n",
            self.location,
            self.lies(),
            self.chunks(),
            self.size(),
        );
        if let Some(axes) = self.axes() {
            text += &format!("  {axes}\n");
        }
        if cards {
            text.extend(self.cards().map(|card| format!("  {card}\n")));
        }
        text
    }

    /// Keys: `location`, `item`, `title` (EXTNAME), `format`, `codec`, `files`, `bytes_on_disk`,
    /// `dtype` (NumPy's name), `shape`, `chunks` (of the largest), `chunk_count`, `bytes`, `axes`
    /// (`name` and `labels` of each), `attributes`.
    pub(super) fn to_json(&self) -> Value {
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
            "title": self.title,
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

fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
