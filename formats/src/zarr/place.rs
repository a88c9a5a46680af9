//! Where an output is built until it is whole, and how it appears.
//!
//! In a folder it is staged beside its target, or beside the first group on its way that is not
//! there yet: one rename then makes the array and its new groups visible together. In an object
//! store it is built where it will be (`in_place`). A group that holds
//! consolidated metadata is told of the new nodes after that, since readers go by it.

use super::{
    document::{self, Named},
    hierarchy::{CONSOLIDATED, Node, read_json, read_node},
    in_place::InPlace,
    store::{Store, below, join},
};
use crate::{
    direct::DirectWrites,
    error::{ErrorKind, FormatError, Result},
    journal::{Journal, Noted, hash_of},
    remote::Upload,
    source::ReadCx,
    staging::{Mode, Staging},
    url,
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
    target: Target,
    store: Store,
    version: u8,
    /// The array's path in the hierarchy.
    node: String,
    /// How many of the parts of that path are groups that are there already (the root not
    /// counted), `None` where not even the root is.
    present: Option<usize>,
    direct: DirectWrites,
}

/// How it appears.
#[derive(Debug)]
enum Target {
    Staged(Box<Staging>),
    InPlace(InPlace),
}

/// An object that is being written.
pub(super) struct Out<'a> {
    to: To<'a>,
    len: u64,
    hash: Xxh3,
}

/// Where its bytes go.
enum To<'a> {
    File(File, &'a DirectWrites),
    Upload(Upload),
}

impl Out<'_> {
    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.to {
            To::File(file, direct) => {
                direct.append(file, self.len, bytes).map_err(FormatError::io)?;
            }
            To::Upload(upload) => upload.write(bytes)?,
        }
        self.len += bytes.len() as u64;
        self.hash.update(bytes);
        Ok(())
    }

    /// Ends the object, which holds the chunk `chunk`.
    pub(super) fn finish(self, chunk: u64) -> Result<Noted> {
        if let To::Upload(upload) = self.to {
            upload.finish()?;
        }
        Ok(Noted { chunk, offset: 0, len: self.len, hash: self.hash.digest() })
    }
}

impl Place {
    /// The place of the array `node` (empty: the root itself) of the hierarchy at `path`.
    ///
    /// # Errors
    /// If it is there and not to be overwritten, an array lies where a group would be, or the
    /// groups on its way are of another version than the one asked for.
    pub(super) fn find(path: &Path, node: &str, version: Option<u8>, mode: Mode) -> Result<Place> {
        let store = Store::at(path)?;
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
        let target = match &store {
            Store::Remote(prefix) => Target::InPlace(InPlace::find(prefix, node, mode)?),
            Store::Folder(_) if mode.in_place => {
                let message = "in a folder an array is replaced in one step";
                return Err(FormatError::new(ErrorKind::Invalid, message)
                    .at_path(path)
                    .help("give --overwrite (`overwrite`)"));
            }
            Store::Folder(root) => {
                let mode = Mode { overwrite: mode.overwrite && staged == node, ..mode };
                Target::Staged(Box::new(Staging::create(&below(root, &staged), mode)?))
            }
        };
        let version = group.or(version).unwrap_or(3);
        let direct = DirectWrites::default();
        Ok(Place { target, store, version, node: node.to_owned(), present, direct })
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
    /// what is stored for a chunk: a store that resumes asks for the same. The array is of about
    /// `bytes` bytes.
    pub(super) fn begin(mut self, documents: &Named, bytes: u64) -> Result<Place> {
        self.target = match self.target {
            Target::Staged(staging) => {
                let layout: String =
                    documents.iter().map(|(name, text)| format!("{name} {text}")).collect();
                let staging = staging.journalled(format!("{} {layout}", self.node))?;
                staging.folder()?;
                Target::Staged(Box::new(staging))
            }
            Target::InPlace(_) => return Ok(self),
        };
        if let Target::Staged(staging) = &self.target {
            fs::create_dir_all(self.staged_path(staging, &self.node))
                .map_err(|e| FormatError::io(e).at(self.name()).help("is the folder writable?"))?;
        }
        self.direct = DirectWrites::of_output(bytes);
        Ok(self)
    }

    /// The journal of what is written.
    pub(super) fn journal(&self) -> Option<&Journal> {
        match &self.target {
            Target::Staged(staging) => staging.journal(),
            Target::InPlace(_) => None,
        }
    }

    /// Notes in the journal that a chunk is stored.
    pub(super) fn note(&self, noted: Noted) -> Result<()> {
        match &self.target {
            Target::Staged(staging) => staging.note(noted),
            Target::InPlace(_) => Ok(()),
        }
    }

    /// Whether the object `key` is stored as it was noted.
    pub(super) fn is_intact(&self, key: &str, noted: &Noted, cx: &mut ReadCx<'_>) -> Result<bool> {
        let Target::Staged(staging) = &self.target else { return Ok(false) };
        let file = match File::open(self.staged_path(staging, &self.node).join(key)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        Ok(file.metadata()?.len() == noted.len
            && noted.offset == 0
            && noted.hash == hash_of(&file, [(0, noted.len)], cx)?)
    }

    /// Bytes that an object of at most `bound` bytes, of a hierarchy at `path`, holds until it is
    /// finished.
    pub(super) fn held_bytes(path: &Path, bound: u64) -> u64 {
        url::of(path).map_or(0, |_| Upload::held_bytes(bound))
    }

    /// What the staged folder is of, as a path in the hierarchy.
    fn staged(&self) -> String {
        let parts = self.node.split('/').take(self.present.map_or(0, |present| present + 1));
        parts.collect::<Vec<_>>().join("/")
    }

    /// The folder of a node while it is staged.
    fn staged_path(&self, staging: &Staging, node: &str) -> PathBuf {
        let staged = self.staged();
        let name = node.strip_prefix(staged.as_str()).unwrap_or(node).trim_start_matches('/');
        below(staging.path(), name)
    }

    /// The groups on the way to the array that appear with it, outermost first.
    fn new_groups(&self) -> Vec<String> {
        let first = self.present.map_or(0, |present| present + 1);
        let parts: Vec<&str> = self.node.split('/').filter(|part| !part.is_empty()).collect();
        (first..parts.len()).map(|n| parts[..n].join("/")).collect()
    }

    /// Begins an object of the array, of at most `bound` bytes; what was written under the key
    /// before is forgotten.
    pub(super) fn object(&self, key: &str, bound: u64) -> Result<Out<'_>> {
        let to = match &self.target {
            Target::Staged(staging) => {
                let file = create(&self.staged_path(staging, &self.node).join(key))?;
                To::File(file, &self.direct)
            }
            Target::InPlace(place) => To::Upload(place.object(key, bound)),
        };
        Ok(Out { to, len: 0, hash: Xxh3::new() })
    }

    /// Writes the metadata of the array and of its new groups, where they are not visible yet.
    pub(super) fn seal(&self, documents: &Named) -> Result<()> {
        let Target::Staged(staging) = &self.target else { return Ok(()) };
        let write = |path: PathBuf, document: &Value| {
            fs::write(&path, document::text(document))
                .map_err(|e| FormatError::io(e).at_path(&path))
        };
        for group in self.new_groups() {
            let (name, document) = document::group(self.version);
            write(self.staged_path(staging, &group).join(name), &document)?;
        }
        for (name, document) in documents {
            write(self.staged_path(staging, &self.node).join(name), document)?;
        }
        staging.sync()
    }

    /// Makes the array visible.
    pub(super) fn publish(&self, documents: &Named) -> Result<()> {
        match &self.target {
            Target::Staged(staging) => staging.publish()?,
            Target::InPlace(place) => {
                place.publish(&self.new_groups(), self.version, documents)?;
            }
        }
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
        let folder = match &self.store {
            Store::Folder(root) => Some(below(root, group)),
            Store::Remote(_) => None,
        };
        // Two stores into one group take turns, where there are locks.
        let lock = folder.as_ref().map(File::open).transpose()?;
        if let Some(lock) = &lock {
            flock(lock, FlockOperation::LockExclusive).map_err(|e| FormatError::io(e.into()))?;
        }
        let name = if self.version == 3 { "zarr.json" } else { CONSOLIDATED };
        let Some(mut json) = read_json(&self.store, &join(group, name))? else { return Ok(()) };
        let nodes = match self.version {
            3 => json.pointer_mut("/consolidated_metadata/metadata"),
            _ => json.get_mut("metadata"),
        };
        let Some(nodes) = nodes.and_then(Value::as_object_mut) else { return Ok(()) };
        let name_in = |node: &str| node[group.len()..].trim_start_matches('/').to_owned();
        let mut tell = |node: &str, name: &str, document: Value| {
            let key = match self.version {
                3 => name_in(node),
                _ => join(&name_in(node), name),
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
        let text = document::text(&json);
        match (&self.store, folder) {
            (Store::Remote(prefix), _) => prefix.put(&join(group, name), text.into()),
            (_, Some(folder)) => {
                let part = folder.join(format!(".{name}.part"));
                let mut file = File::create(&part)?;
                file.write_all(text.as_bytes())?;
                // All of the group is read by this document: it must not be lost with the power.
                file.sync_all()?;
                fs::rename(&part, folder.join(name))?;
                Ok(File::open(folder)?.sync_all()?)
            }
            _ => Ok(()),
        }
    }
}

/// Creates a file. Its folder is made only when it is not there, so that this costs one more
/// call a folder and not one a file.
fn create(path: &Path) -> io::Result<File> {
    match File::create(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            File::create(path)
        }
        file => file,
    }
}
