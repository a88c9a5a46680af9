//! Zarr, versions 2 and 3: arrays and groups in folders.
//!
//! Metadata and chunk keys are read with `zarrs`; chunk files are read, decoded and
//! written here, into buffers of the size that the metadata gives. Supported are the codec
//! chains that Zarr libraries write: bytes of either order, any order of axes, one of
//! zstd, blosc, gzip and zlib, a CRC-32C, and shards of such chunks; everything else is
//! refused by its name when the array is opened.
//!
//! What libraries allocate by themselves (*foreign* memory): a zstd decompressor about
//! 160 KiB a thread and no window, since it decodes in one step into the chunk; blosc,
//! three of its blocks while it decodes, never more than three chunks and 3 MiB as a
//! rule; libdeflate 11 KiB a thread. Compressors are counted in [`ChunkSink::scratch`](crate::ChunkSink::scratch).
//! A version 3 document is at most 64 MiB and is held while it is parsed.

mod codec;
mod metadata;
mod sink;
mod source;
#[cfg(test)]
mod tests;

pub use sink::ZarrWriter;

use crate::{
    error::{ErrorKind, FormatError, Result},
    source::{ChunkSource, Content, Entry, Format, Item, Meta, WriteOptions, Writer},
};
use metadata::{DOCUMENTS, Layout, Node, read_node};
use source::{ZarrSource, item_path, storage};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Groups nested deeper than this are not looked into.
const MAX_DEPTH: usize = 32;

/// The most choices that an error message lists.
const MAX_CHOICES: usize = 12;

/// The format: folders with a `zarr.json`, `.zarray` or `.zgroup`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Zarr;

impl Zarr {
    /// Begins the description of an array to be written to `path`.
    pub fn create(path: impl Into<PathBuf>) -> ZarrWriter {
        ZarrWriter::new(path.into())
    }
}

impl Format for Zarr {
    fn name(&self) -> &'static str {
        "zarr"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["zarr"]
    }

    fn recognises(&self, path: &Path, _: &[u8]) -> bool {
        DOCUMENTS.iter().any(|name| path.join(name).is_file())
    }

    fn list(&self, path: &Path) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        each_array(path, &mut String::new(), MAX_DEPTH, &mut |name, layout| {
            items.extend(layout.ok().map(|layout| item(name, layout)));
        })?;
        Ok(items)
    }

    fn contents(&self, path: &Path) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        each_array(path, &mut String::new(), MAX_DEPTH, &mut |name, layout| {
            let content = match layout {
                Ok(layout) => Content::Array(Box::new(item(name, layout))),
                Err(error) => Content::Unreadable(error.to_string()),
            };
            entries.push(Entry { name: name.to_owned(), title: None, content });
        })?;
        Ok(entries)
    }

    fn open(&self, path: &Path, item: Option<&str>) -> Result<Arc<dyn ChunkSource>> {
        let item = item.map(|item| item.trim_matches('/')).filter(|item| !item.is_empty());
        let folder = item_path(path, item.unwrap_or(""))?;
        let location = |item: &str| match item {
            "" => path.display().to_string(),
            item => format!("{}::{item}", path.display()),
        };
        match (read_node(&folder)?, item) {
            (Some(Node::Array(layout)), item) => {
                let location = location(item.unwrap_or(""));
                return Ok(Arc::new(ZarrSource::new(folder, location, *layout)));
            }
            (None, Some(item)) => {
                return Err(FormatError::new(
                    ErrorKind::NotFound,
                    format!("there is no {item:?} in it"),
                )
                .at_path(path)
                .help(choices(path)));
            }
            (None, None) if !path.exists() => {
                return Err(FormatError::new(ErrorKind::NotFound, "no such folder").at_path(path));
            }
            (None, None) | (Some(Node::Group), _) => {}
        }
        let mut found: Vec<(String, Box<Layout>)> = Vec::new();
        let mut count = 0usize;
        let prefix = item.unwrap_or("");
        each_array(&folder, &mut prefix.to_owned(), MAX_DEPTH, &mut |name, layout| {
            let Ok(layout) = layout else { return };
            count += 1;
            if found.is_empty() {
                found.push((name.to_owned(), layout));
            }
        })?;
        match (count, found.pop()) {
            (1, Some((name, layout))) => {
                let location = location(&name);
                Ok(Arc::new(ZarrSource::new(item_path(path, &name)?, location, *layout)))
            }
            (0, _) => {
                Err(FormatError::new(ErrorKind::NotFound, "there is no array in it").at_path(path))
            }
            _ => Err(FormatError::new(ErrorKind::Invalid, format!("it holds {count} arrays"))
                .at_path(path)
                .help(choices(path))),
        }
    }

    fn writer(&self, path: &Path, options: &WriteOptions) -> Result<Arc<dyn Writer>> {
        let mut writer = Zarr::create(path);
        if let Some(chunks) = &options.chunks {
            writer = writer.chunks(chunks);
        }
        if let Some(codec) = &options.codec {
            writer = writer.codec(codec).map_err(|e| e.at_path(path))?;
        }
        if options.overwrite {
            writer = writer.overwrite();
        }
        if options.resume {
            writer = writer.resume();
        }
        if options.durable {
            writer = writer.durable();
        }
        Ok(Arc::new(writer))
    }
}

fn item(name: &str, layout: Box<Layout>) -> Item {
    let storage = storage(&layout);
    let meta = Meta {
        dtype: layout.dtype,
        grid: layout.grid(),
        axes: layout.names,
        attributes: layout.attributes.into(),
    };
    Item { name: name.to_owned(), meta, storage }
}

/// Calls `each` with every array at or below `folder`, by name, or with the reason why it is
/// not supported: one such array does not hide the others.
fn each_array(
    folder: &Path,
    name: &mut String,
    depth: usize,
    each: &mut dyn FnMut(&str, Result<Box<Layout>>),
) -> Result<()> {
    match read_node(folder) {
        Ok(Some(Node::Array(layout))) => {
            each(name, Ok(layout));
            return Ok(());
        }
        Ok(Some(Node::Group) | None) => {}
        Err(e) if e.kind() == ErrorKind::Unsupported && !name.is_empty() => {
            each(name, Err(e));
            return Ok(());
        }
        Err(e) => return Err(e),
    }
    if depth == 0 {
        return Ok(());
    }
    let failed = |e: std::io::Error| FormatError::io(e).at_path(folder);
    let mut children = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A linked folder may be an array, but is not searched: links can run in circles.
        let depth = if entry.file_type().map_err(failed)?.is_symlink() { 0 } else { depth - 1 };
        if let Ok(child) = entry.file_name().into_string()
            && entry.path().is_dir()
        {
            children.push((child, depth));
        }
    }
    children.sort();
    for (child, depth) in children {
        let len = name.len();
        if len > 0 {
            name.push('/');
        }
        name.push_str(&child);
        each_array(&folder.join(&child), name, depth, each)?;
        name.truncate(len);
    }
    Ok(())
}

/// The arrays that could be meant, as a line of help.
fn choices(path: &Path) -> String {
    let mut names = Vec::new();
    let _ = each_array(path, &mut String::new(), MAX_DEPTH, &mut |name, layout| {
        names.extend(layout.is_ok().then(|| name.to_owned()));
    });
    if names.is_empty() {
        return "it holds no array that can be read".into();
    }
    let more = names.len().saturating_sub(MAX_CHOICES);
    names.truncate(MAX_CHOICES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("name one with `{}::ITEM`: {}{more}", path.display(), names.join(", "))
}
