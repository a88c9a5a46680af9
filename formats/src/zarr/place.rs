//! Where an output is built until it is whole, and how it appears.
//!
//! It is staged beside its target, or beside the first group on its way that is not there yet:
//! one rename then makes the array and its new groups visible together. A group that holds
//! consolidated metadata is told of the new nodes after that, since readers go by it.

use super::{
    document::{self, Named},
    hierarchy::{CONSOLIDATED, Node, read_json, read_node},
    store::{Store, join},
};
use crate::{
    error::{ErrorKind, FormatError, Result},
    journal::{Journal, Noted, hash_of},
    source::ReadCx,
    staging::{Mode, Staging},
};
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::Xxh3;

/// Where an array is built.
#[derive(Debug)]
pub(super) struct Place {
    staging: Staging,
    store: Store,
    version: u8,
    /// The array's path in the hierarchy.
    node: String,
    /// How many of the parts of that path are groups that are there already (the root not
    /// counted), `None` where not even the root is.
    present: Option<usize>,
}

/// An object that is being written.
pub(super) struct Out {
    file: File,
    len: u64,
    hash: Xxh3,
}

impl Out {
    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(FormatError::io)?;
        self.len += bytes.len() as u64;
        self.hash.update(bytes);
        Ok(())
    }

    /// Ends the object, which holds the chunk `chunk`.
    pub(super) fn finish(self, chunk: u64) -> Noted {
        Noted { chunk, offset: 0, len: self.len, hash: self.hash.digest() }
    }
}

impl Place {
    /// The place of the array `node` (empty: the root itself) of the hierarchy at `path`.
    ///
    /// # Errors
    /// If it is there and not to be overwritten, an array lies where a group would be, or the
    /// groups on its way are of another version than the one asked for.
    pub(super) fn find(path: &Path, node: &str, version: Option<u8>, mode: Mode) -> Result<Place> {
        let store = Store::at(path);
        let mut group = None;
        let mut present = None;
        let parts: Vec<&str> = node.split('/').filter(|part| !part.is_empty()).collect();
        let mut at = String::new();
        for (n, part) in parts.iter().enumerate() {
            match read_node(&store, &at)? {
                None => break,
                Some(Node::Group(_)) => present = Some(n),
                Some(Node::Array(_)) => {
                    let message = "an array is there: no other can be put into it";
                    return Err(FormatError::new(ErrorKind::Exists, message).at(store.name(&at)));
                }
            }
            if group.is_none() {
                group = Some(if store.has("zarr.json")? { 3 } else { 2 });
            }
            at = join(&at, part);
        }
        if let (Some(group), Some(asked)) = (group, version)
            && group != asked
        {
            let message = format!(
                "the group is of version {group}, an array of version {asked} cannot lie in it"
            );
            return Err(FormatError::new(ErrorKind::Invalid, message).at_path(path));
        }
        let staged = match present {
            None => "".to_owned(),
            Some(present) => parts[..=present].join("/"),
        };
        // Only an array is replaced, never a group that would have to hold it.
        let mode = Mode { overwrite: mode.overwrite && staged == node, ..mode };
        let staging = Staging::create(&store.path(&staged), mode)?;
        let version = group.or(version).unwrap_or(3);
        Ok(Place { staging, store, version, node: node.to_owned(), present })
    }

    /// The version of Zarr that the output has.
    pub(super) fn version(&self) -> u8 {
        self.version
    }

    /// What the output is called in messages.
    pub(super) fn name(&self) -> String {
        self.store.name(&self.node)
    }

    /// Makes the staged folder, unless it is gone on with. The metadata tell all that decides
    /// what is stored for a chunk: a store that resumes asks for the same.
    pub(super) fn begin(mut self, documents: &Named) -> Result<Place> {
        let layout: String =
            documents.iter().map(|(name, text)| format!("{name} {text}")).collect();
        self.staging = self.staging.journalled(format!("{} {layout}", self.node))?;
        self.staging.folder()?;
        fs::create_dir_all(self.folder())
            .map_err(|e| FormatError::io(e).at(self.name()).help("is the folder writable?"))?;
        Ok(self)
    }

    /// The journal of what is written.
    pub(super) fn journal(&self) -> Option<&Journal> {
        self.staging.journal()
    }

    /// Notes in the journal that a chunk is stored.
    pub(super) fn note(&self, noted: Noted) -> Result<()> {
        self.staging.note(noted)
    }

    /// Whether the object `key` is stored as it was noted.
    pub(super) fn is_intact(&self, key: &str, noted: &Noted, cx: &mut ReadCx<'_>) -> Result<bool> {
        let file = match File::open(self.folder().join(key)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        Ok(file.metadata()?.len() == noted.len
            && noted.offset == 0
            && noted.hash == hash_of(&file, [(0, noted.len)], cx)?)
    }

    /// What the staged folder is of, as a path in the hierarchy.
    fn staged(&self) -> String {
        let parts = self.node.split('/').take(self.present.map_or(0, |present| present + 1));
        parts.collect::<Vec<_>>().join("/")
    }

    /// The array's own folder while it is staged.
    fn folder(&self) -> PathBuf {
        self.staged_path(&self.node)
    }

    fn staged_path(&self, node: &str) -> PathBuf {
        let staged = self.staged();
        let below = node.strip_prefix(staged.as_str()).unwrap_or(node).trim_start_matches('/');
        match below {
            "" => self.staging.path().to_owned(),
            below => self.staging.path().join(below),
        }
    }

    /// The groups on the way to the array that appear with it, outermost first.
    fn new_groups(&self) -> impl Iterator<Item = String> {
        let first = self.present.map_or(0, |present| present + 1);
        let parts: Vec<&str> = self.node.split('/').filter(|part| !part.is_empty()).collect();
        let groups: Vec<String> = (first..parts.len()).map(|n| parts[..n].join("/")).collect();
        groups.into_iter()
    }

    /// Begins an object of the array; what was written under the key before is forgotten. Its
    /// folder is made only when it is not there, so that this costs one more call a folder and
    /// not one an object.
    pub(super) fn object(&self, key: &str) -> Result<Out> {
        let path = self.folder().join(key);
        let file = match File::create(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder)?;
                }
                File::create(&path)?
            }
            file => file?,
        };
        Ok(Out { file, len: 0, hash: Xxh3::new() })
    }

    /// Writes the metadata of the array and of its new groups.
    pub(super) fn seal(&self, documents: &Named) -> Result<()> {
        let write = |path: PathBuf, document: &Value| {
            fs::write(&path, document::text(document))
                .map_err(|e| FormatError::io(e).at_path(&path))
        };
        for group in self.new_groups() {
            let (name, document) = document::group(self.version);
            write(self.staged_path(&group).join(name), &document)?;
        }
        for (name, document) in documents {
            write(self.folder().join(name), document)?;
        }
        self.staging.sync()
    }

    /// Makes the array visible.
    pub(super) fn publish(&self, documents: &Named) -> Result<()> {
        self.staging.publish()?;
        let Some(present) = self.present else { return Ok(()) };
        let parts: Vec<&str> = self.node.split('/').collect();
        for n in 0..=present {
            let group = parts[..n].join("/");
            self.consolidate(&group, documents).map_err(|e| {
                e.at(self.store.name(&group)).help(
                    "the array is there, but the group's consolidated metadata does not tell of it yet",
                )
            })?;
        }
        Ok(())
    }

    /// Tells the consolidated metadata of the group of the new nodes, if it has any.
    fn consolidate(&self, group: &str, documents: &Named) -> Result<()> {
        // Two stores into one group take turns.
        let folder = self.store.path(group);
        let lock = File::open(&folder)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|e| FormatError::io(e.into()))?;
        let name = if self.version == 3 { "zarr.json" } else { CONSOLIDATED };
        let Some(mut json) = read_json(&self.store, &join(group, name))? else { return Ok(()) };
        let nodes = match self.version {
            3 => json.pointer_mut("/consolidated_metadata/metadata"),
            _ => json.get_mut("metadata"),
        };
        let Some(nodes) = nodes.and_then(Value::as_object_mut) else { return Ok(()) };
        let below = |node: &str| node[group.len()..].trim_start_matches('/').to_owned();
        let mut tell = |node: &str, name: &str, document: Value| {
            let key = match self.version {
                3 => below(node),
                _ => join(&below(node), name),
            };
            nodes.insert(key, document);
        };
        for node in self.new_groups() {
            let (name, document) = document::group(self.version);
            tell(&node, name, document);
        }
        for (name, document) in documents {
            tell(&self.node, name, document.clone());
        }
        let part = folder.join(format!(".{name}.part"));
        let mut file = File::create(&part)?;
        file.write_all(document::text(&json).as_bytes())?;
        // All of the group is read by this document: it must not be lost with the power.
        file.sync_all()?;
        fs::rename(&part, folder.join(name))?;
        Ok(File::open(folder)?.sync_all()?)
    }
}
