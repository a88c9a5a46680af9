//! Groups and the arrays in them: what a node is, and which arrays lie below it.
//!
//! A group may hold the documents of all nodes below it (*consolidated* metadata: `.zmetadata`
//! of version 2, a field of `zarr.json` in version 3, both as zarr-python writes them). Where
//! it does, they are the list of what is there, as they are for zarr-python and xarray; else
//! the hierarchy is walked. A node that is asked for by name is read from its own document.

use super::{
    codecs::corrupt,
    metadata::{Layout, parse, version_2, version_3},
    store::{Store, join, node_path},
};
use crate::error::{ErrorKind, FormatError, Result};
use serde_json::{Map, Value};

/// Groups nested deeper than this are not looked into.
const MAX_DEPTH: usize = 32;

/// The most choices that an error message lists.
const MAX_CHOICES: usize = 12;

/// The files that may describe a node, and in this order.
pub(super) const DOCUMENTS: [&str; 3] = ["zarr.json", ".zarray", ".zgroup"];

/// The consolidated documents of a version 2 hierarchy.
pub(super) const CONSOLIDATED: &str = ".zmetadata";

/// What a node of a hierarchy is.
#[derive(Debug)]
pub(super) enum Node {
    Array(Box<Layout>),
    /// With the documents of the nodes below it, if it holds them.
    Group(Option<Consolidated>),
}

/// The documents of the nodes below a group.
#[derive(Debug)]
pub(super) enum Consolidated {
    /// By the names of documents: `a/.zarray`.
    V2(Map<String, Value>),
    /// By the names of nodes.
    V3(Map<String, Value>),
}

/// The longest document of a single node: parsed, it takes up to forty times its bytes.
const MAX_NODE: usize = 4 << 20;

/// The document `key` as JSON; `None` if there is no such object.
pub(super) fn read_json(store: &Store, key: &str) -> Result<Option<Value>> {
    let Some(bytes) = store.document(key)? else { return Ok(None) };
    let is_of_many = || {
        let word = b"\"consolidated_metadata\"";
        key.ends_with(CONSOLIDATED) || bytes.windows(word.len()).any(|part| part == word)
    };
    if bytes.len() > MAX_NODE && !is_of_many() {
        let (len, most) = (bytes.len(), MAX_NODE >> 20);
        let message = format!("the document has {len} bytes, and {most} MiB are read at the most");
        return Err(FormatError::new(ErrorKind::Limit, message)
            .at(store.name(key))
            .help("attributes as long as this are data: keep them in an array"));
    }
    parse(&bytes).map(Some).map_err(|e| e.at(store.name(key)))
}

/// What the node `path` is; `None` if nothing there says that it is Zarr.
pub(super) fn read_node(store: &Store, path: &str) -> Result<Option<Node>> {
    let key = join(path, "zarr.json");
    if let Some(json) = read_json(store, &key)? {
        return node_3(json).map(Some).map_err(|e| e.at(store.name(&key)));
    }
    let key = join(path, ".zarray");
    if let Some(json) = read_json(store, &key)? {
        let attributes = read_json(store, &join(path, ".zattrs"))?;
        return version_2(json, attributes)
            .map(|layout| Some(Node::Array(Box::new(layout))))
            .map_err(|e| e.at(store.name(&key)));
    }
    if !store.has(&join(path, ".zgroup"))? {
        return Ok(None);
    }
    let key = join(path, CONSOLIDATED);
    let consolidated = read_json(store, &key)?.map(|json| match json {
        Value::Object(mut json) => match json.remove("metadata") {
            Some(Value::Object(documents)) => Ok(Consolidated::V2(documents)),
            _ => Err(corrupt("it holds no metadata of nodes")),
        },
        _ => Err(corrupt("it is not an object")),
    });
    let consolidated = consolidated.transpose().map_err(|e| e.at(store.name(&key)))?;
    Ok(Some(Node::Group(consolidated)))
}

fn node_3(mut json: Value) -> Result<Node> {
    match json.get("node_type").and_then(Value::as_str) {
        Some("group") => {
            let consolidated = json.get_mut("consolidated_metadata").map(Value::take);
            let nodes = consolidated.and_then(|mut all| match all.get("kind")?.as_str()? {
                "inline" => all.get_mut("metadata").map(Value::take),
                _ => None,
            });
            Ok(Node::Group(match nodes {
                Some(Value::Object(nodes)) => Some(Consolidated::V3(nodes)),
                _ => None,
            }))
        }
        Some("array") => version_3(json).map(|layout| Node::Array(Box::new(layout))),
        _ => Err(corrupt("node_type is neither \"array\" nor \"group\"")),
    }
}

/// Calls `each` with every array at or below `path`, in the order of their names, or with the
/// reason why it is not supported: one such array does not hide the others.
///
/// # Errors
/// If a document is damaged, or `path` itself is of an unsupported type.
pub(super) fn each_array(
    store: &Store,
    path: &str,
    each: &mut dyn FnMut(&str, Result<Box<Layout>>),
) -> Result<()> {
    walk(store, path, path, MAX_DEPTH, each)
}

fn walk(
    store: &Store,
    root: &str,
    path: &str,
    depth: usize,
    each: &mut dyn FnMut(&str, Result<Box<Layout>>),
) -> Result<()> {
    match read_node(store, path) {
        Ok(Some(Node::Array(layout))) => {
            each(path, Ok(layout));
            return Ok(());
        }
        Ok(Some(Node::Group(Some(consolidated)))) => {
            return each_consolidated(path, consolidated, each);
        }
        Ok(Some(Node::Group(None)) | None) => {}
        Err(e) if e.kind() == ErrorKind::Unsupported && path != root => {
            each(path, Err(e));
            return Ok(());
        }
        Err(e) => return Err(e),
    }
    if depth == 0 {
        return Ok(());
    }
    for (child, is_link) in store.children(path)? {
        // A linked folder may be an array, but is not searched: links can run in circles.
        let depth = if is_link { 0 } else { depth - 1 };
        walk(store, root, &join(path, &child), depth, each)?;
    }
    Ok(())
}

/// The arrays that consolidated metadata tell of.
fn each_consolidated(
    path: &str,
    consolidated: Consolidated,
    each: &mut dyn FnMut(&str, Result<Box<Layout>>),
) -> Result<()> {
    let mut take = |name: &str, layout: Result<Layout>| match layout {
        // Names are keys: one that would leave the hierarchy is no node of it.
        Ok(layout) => {
            each(&node_path(&join(path, name))?, Ok(Box::new(layout)));
            Ok(())
        }
        Err(e) if e.kind() == ErrorKind::Unsupported => {
            let node = join(path, name);
            each(&node, Err(e.at(&node)));
            Ok(())
        }
        Err(e) => Err(e.at(join(path, name))),
    };
    match consolidated {
        Consolidated::V3(nodes) => {
            for (name, json) in nodes {
                if json.get("node_type").and_then(Value::as_str) == Some("array") {
                    take(&name, version_3(json))?;
                }
            }
        }
        Consolidated::V2(mut documents) => {
            let mut names: Vec<String> = documents.keys().cloned().collect();
            names.sort();
            for key in names {
                let name = match key.strip_suffix(".zarray") {
                    Some("") => "",
                    Some(name) if name.ends_with('/') => &name[..name.len() - 1],
                    _ => continue,
                };
                let json = documents.remove(&key).unwrap_or_default();
                let attributes = documents.remove(&join(name, ".zattrs"));
                take(name, version_2(json, attributes))?;
            }
        }
    }
    Ok(())
}

/// The only array at or below `path`, with its path.
///
/// # Errors
/// If there is none, or more than one: then the error lists them.
pub(super) fn only_array(store: &Store, path: &str) -> Result<(String, Box<Layout>)> {
    let mut found: Option<(String, Box<Layout>)> = None;
    let mut count = 0usize;
    each_array(store, path, &mut |name, layout| {
        let Ok(layout) = layout else { return };
        count += 1;
        found.get_or_insert_with(|| (name.to_owned(), layout));
    })?;
    match found {
        Some(found) if count == 1 => Ok(found),
        None => {
            Err(FormatError::new(ErrorKind::NotFound, "there is no array in it").at(store.name("")))
        }
        Some(_) => Err(FormatError::new(ErrorKind::Invalid, format!("it holds {count} arrays"))
            .at(store.name(""))
            .help(choices(store))),
    }
}

/// The arrays that could be meant, as a line of help.
pub(super) fn choices(store: &Store) -> String {
    let mut names = Vec::new();
    let _ = each_array(store, "", &mut |name, layout| {
        names.extend(layout.is_ok().then(|| name.to_owned()));
    });
    if names.is_empty() {
        return "it holds no array that can be read".into();
    }
    let more = names.len().saturating_sub(MAX_CHOICES);
    names.truncate(MAX_CHOICES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("name one with `{}::ITEM`: {}{more}", store.name(""), names.join(", "))
}
