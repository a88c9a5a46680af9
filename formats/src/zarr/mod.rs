//! Zarr, versions 2 and 3: arrays and groups in folders.
//!
//! Metadata and chunk keys are read with `zarrs`; chunk files are read, decoded and
//! written here, into buffers of the size that the metadata gives. Everything that is not
//! supported is refused by its name when the array is opened.
//!
//! | file | owns |
//! |---|---|
//! | `store` | where the objects of a hierarchy lie |
//! | `hierarchy` | groups, consolidated metadata, the arrays below a node |
//! | `metadata`, `objects`, `codecs` | what documents say of an array, of its cuts, of its codecs |
//! | `chain`, `filter`, `codec` | one chunk: the whole encoding, filters of elements, steps on bytes |
//! | `source` | reading |
//! | `writer`, `document`, `place`, `in_place`, `sink` | writing: what is asked for, the documents that tell it, where it is built (in object stores: at once where it will be), the chunks |

mod chain;
pub(crate) mod codec;
mod codecs;
mod document;
mod filter;
mod hierarchy;
mod in_place;
mod metadata;
mod objects;
mod place;
mod sink;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod writer;

pub use writer::ZarrWriter;

use crate::{
    error::{ErrorKind, FormatError, Result},
    source::{ChunkSource, Content, Entry, Format, Item, Meta, WriteOptions, Writer},
};
use hierarchy::{DOCUMENTS, Node, choices, each_array, only_array, read_node};
use metadata::Layout;
use source::{ZarrSource, storage};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use store::{Store, node_path};

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
        each_array(&Store::at(path)?, "", &mut |name, layout| {
            items.extend(layout.ok().map(|layout| item(name, layout)));
        })?;
        Ok(items)
    }

    fn contents(&self, path: &Path) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        each_array(&Store::at(path)?, "", &mut |name, layout| {
            let content = match layout {
                Ok(layout) => Content::Array(Box::new(item(name, layout))),
                Err(error) => {
                    Content::Unreadable { reason: error.to_string(), dtype: None, shape: None }
                }
            };
            entries.push(Entry { name: name.to_owned(), title: None, content });
        })?;
        Ok(entries)
    }

    fn is_many_objects(&self) -> bool {
        true
    }

    fn open(&self, path: &Path, item: Option<&str>) -> Result<Arc<dyn ChunkSource>> {
        let store = Store::at(path)?;
        let node = node_path(item.unwrap_or("")).map_err(|e| e.at_path(path))?;
        store.restore(&node)?;
        let (node, layout) = match read_node(&store, &node)? {
            Some(Node::Array(layout)) => (node, layout),
            Some(Node::Group(_)) => {
                let (node, layout) = only_array(&store, &node)?;
                // Consolidated metadata tell of it even while it is put aside.
                store.restore(&node)?;
                (node, layout)
            }
            None if !store.exists()? => {
                return Err(FormatError::new(
                    ErrorKind::NotFound,
                    match store {
                        Store::Folder(_) => "no such folder",
                        Store::Remote(_) => "no Zarr array or group is there",
                    },
                )
                .at_path(path));
            }
            None if node.is_empty() => only_array(&store, "")?,
            None => {
                let message = format!("there is no {node:?} in it");
                let error = FormatError::new(ErrorKind::NotFound, message).at_path(path);
                return Err(error.help(choices(&store)));
            }
        };
        Ok(Arc::new(ZarrSource::new(store, node, *layout)))
    }

    fn writer(&self, path: &Path, options: &WriteOptions) -> Result<Arc<dyn Writer>> {
        let mut writer = Zarr::create(path);
        if let Some(chunks) = &options.chunks {
            writer = writer.chunks(chunks);
        }
        if let Some(shards) = &options.shards {
            writer = writer.shards(shards);
        }
        if let Some(item) = &options.item {
            writer = writer.array(item);
        }
        if let Some(codec) = &options.codec {
            writer = writer.codec(codec).map_err(|e| e.at_path(path))?;
        }
        if options.overwrite {
            writer = writer.overwrite();
        }
        if options.overwrite_in_place {
            writer = writer.overwrite_in_place();
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
