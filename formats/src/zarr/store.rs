//! Where a hierarchy lies: a folder, each object a file in it, or a prefix of an object store.
//!
//! Keys are those of the Zarr specification, `group/array/c/0/1`. An object that is not there
//! is not an error: it stands for a chunk of fill values.

use super::hierarchy::DOCUMENTS;
use crate::{
    aside,
    error::{ErrorKind, FormatError, Result},
    files::Stamp,
    remote::{self, Prefix},
    source::Fingerprint,
    stored::ReadAt,
    url,
};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The longest metadata document that is read: consolidated ones of large groups reach megabytes.
const MAX_DOCUMENT: u64 = 64 << 20;

/// The root of a hierarchy.
#[derive(Clone, Debug)]
pub(super) enum Store {
    Folder(PathBuf),
    Remote(Prefix),
}

/// One object to read from.
#[derive(Debug)]
pub(super) enum Object {
    /// An open file, and its length.
    File(File, u64),
    /// An object that may be there: to ask for that would cost as much as to read it.
    Remote(remote::Object),
}

impl Store {
    /// The hierarchy whose root is `path`.
    ///
    /// # Errors
    /// If it is a URL that cannot be opened.
    pub(super) fn at(path: &Path) -> Result<Store> {
        Ok(match url::of(path) {
            Some(url) => Store::Remote(Prefix::open(url)?),
            None => Store::Folder(path.to_owned()),
        })
    }

    /// Whether each read of an object is a request.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Store::Remote(_))
    }

    /// Bytes that one read allocates by itself.
    pub(super) fn foreign_bytes(&self) -> u64 {
        match self {
            Store::Folder(_) => 0,
            Store::Remote(_) => remote::FOREIGN,
        }
    }

    /// Whether there is anything at all.
    pub(super) fn exists(&self) -> Result<bool> {
        match self {
            Store::Folder(root) => Ok(root.exists()),
            Store::Remote(prefix) => prefix.has_any(""),
        }
    }

    /// The whole of a metadata document; `None` if there is no such object.
    pub(super) fn document(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let path = match self {
            Store::Folder(root) => below(root, key),
            Store::Remote(prefix) => return prefix.document(key, MAX_DOCUMENT),
        };
        let at = |e: io::Error| FormatError::io(e).at_path(&path);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if is_absent(&e) => return Ok(None),
            Err(e) => return Err(at(e)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).map_err(at)?;
        if bytes.len() as u64 > MAX_DOCUMENT {
            let message = format!("the document is longer than {} MiB", MAX_DOCUMENT >> 20);
            return Err(FormatError::new(ErrorKind::Limit, message).at_path(&path));
        }
        Ok(Some(bytes))
    }

    /// Whether there is such a document.
    pub(super) fn has(&self, key: &str) -> Result<bool> {
        match self {
            Store::Folder(root) => Ok(below(root, key).is_file()),
            Store::Remote(prefix) => Ok(prefix.document(key, MAX_DOCUMENT)?.is_some()),
        }
    }

    /// What the object `key` is called in messages.
    pub(super) fn name(&self, key: &str) -> String {
        match self {
            Store::Folder(root) => below(root, key).display().to_string(),
            Store::Remote(prefix) => prefix.name(key),
        }
    }

    /// Gives a node its old output back, if a store that was killed had put that aside.
    pub(super) fn restore(&self, node: &str) -> Result<()> {
        match self {
            Store::Folder(root) => aside::restore(&below(root, node)).map(drop),
            Store::Remote(_) => Ok(()),
        }
    }

    /// The nodes that may lie right below `key`, and whether each is a link. Hidden folders are
    /// none: there lies what is not published yet. What a killed store put aside is there again.
    pub(super) fn children(&self, key: &str) -> Result<Vec<(String, bool)>> {
        let path = match self {
            Store::Folder(root) => below(root, key),
            Store::Remote(prefix) => {
                let names = prefix.children(key)?.into_iter();
                return Ok(names.filter(|n| !n.starts_with('.')).map(|n| (n, false)).collect());
            }
        };
        let failed = |e: io::Error| FormatError::io(e).at_path(&path);
        let mut children = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_link = entry.file_type().map_err(failed)?.is_symlink();
            // One that cannot be given back, as on a disk that is read-only, hides no other.
            let is_node =
                !is_link && DOCUMENTS.iter().any(|name| entry.path().join(name).is_file());
            let restored = aside::target_of(&entry.path())
                .filter(|target| is_node && aside::restore(target).unwrap_or(false));
            let child = restored.unwrap_or_else(|| entry.path());
            if let Some(name) = child.file_name().and_then(|name| name.to_str())
                && !name.starts_with('.')
                && child.is_dir()
            {
                children.push((name.to_owned(), is_link));
            }
        }
        children.sort();
        // The listing may go on to the name that was given back.
        children.dedup();
        Ok(children)
    }

    /// How long an object is, if that costs next to nothing to know.
    pub(super) fn cheap_len(&self, key: &str) -> Option<u64> {
        match self {
            Store::Folder(root) => fs::metadata(below(root, key)).ok().map(|file| file.len()),
            Store::Remote(_) => None,
        }
    }

    /// The fingerprint of a node: of its document and, where there are files, all that lies in its folder.
    pub(super) fn fingerprint(&self, node: &str, document: &str) -> Result<Fingerprint> {
        let document = join(node, document);
        match self {
            Store::Folder(root) => {
                let document = Fingerprint::of_file(&below(root, &document))?;
                Ok(document.and(Fingerprint::of_folder(&below(root, node))?))
            }
            Store::Remote(prefix) => prefix.object(&document).fingerprint(),
        }
    }

    /// What an object is now; `None` if it is not there.
    pub(super) fn version(&self, key: &str) -> Result<Option<Fingerprint>> {
        let path = match self {
            Store::Folder(root) => below(root, key),
            Store::Remote(prefix) => {
                let object = prefix.object(key);
                return object.len()?.map(|_| object.fingerprint()).transpose();
            }
        };
        match fs::metadata(&path) {
            Ok(meta) => Ok(Some(Stamp::from(&meta).fingerprint(&path))),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(FormatError::io(e).at_path(&path)),
        }
    }

    /// Opens an object; `None` if it is known that there is none.
    pub(super) fn open(&self, key: &str) -> Result<Option<Object>> {
        let path = match self {
            Store::Folder(root) => below(root, key),
            Store::Remote(prefix) => return Ok(Some(Object::Remote(prefix.object(key)))),
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if is_absent(&e) => return Ok(None),
            Err(e) => return Err(FormatError::io(e).at_path(&path)),
        };
        let len = file.size().map_err(|e| FormatError::io(e).at_path(&path))?;
        Ok(Some(Object::File(file, len)))
    }
}

impl Object {
    /// How long it is; `None` if it is not there.
    pub(super) fn len(&self) -> Result<Option<u64>> {
        match self {
            Object::File(_, len) => Ok(Some(*len)),
            Object::Remote(object) => object.len(),
        }
    }

    /// Puts the whole object into `bytes`, unless it is longer; how long it is, `None` if it is
    /// not there.
    pub(super) fn read_whole(&self, bytes: &mut [u8]) -> Result<Option<u64>> {
        match self {
            Object::File(_, len) => {
                if let Some(bytes) = bytes.get_mut(..*len as usize) {
                    self.read_exact_at(bytes, 0)?;
                }
                Ok(Some(*len))
            }
            Object::Remote(object) => object.read_whole(bytes),
        }
    }

    /// Fills `bytes` with the object's first or last ones, unless it is shorter; how long it is,
    /// `None` if it is not there.
    pub(super) fn read_end(&self, bytes: &mut [u8], last: bool) -> Result<Option<u64>> {
        match self {
            Object::File(_, len) => {
                if let Some(rest) = len.checked_sub(bytes.len() as u64) {
                    self.read_exact_at(bytes, if last { rest } else { 0 })?;
                }
                Ok(Some(*len))
            }
            Object::Remote(object) => object.read_end(bytes, last),
        }
    }

    /// Fills `bytes` with what begins at `at`.
    pub(super) fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> Result<()> {
        ReadAt::read_exact_at(self, bytes, at).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                FormatError::new(ErrorKind::Corrupt, "the file became shorter while it was read")
            }
            _ => FormatError::io(error),
        })
    }
}

impl ReadAt for Object {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        match self {
            Object::File(file, _) => ReadAt::read_at(file, buffer, at),
            Object::Remote(object) => object.read_at(buffer, at).map_err(FormatError::into_io),
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len().map_err(FormatError::into_io)?.unwrap_or_default())
    }
}

/// The path of an object in a folder.
pub(super) fn below(root: &Path, key: &str) -> PathBuf {
    match key {
        "" => root.to_owned(),
        key => root.join(key),
    }
}

/// Whether an error says that there is no such object. A file where a folder would be is one
/// way not to be there.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// `name` below the node `prefix`.
pub(super) fn join(prefix: &str, name: &str) -> String {
    match (prefix, name) {
        ("", name) => name.to_owned(),
        (prefix, "") => prefix.to_owned(),
        (prefix, name) => format!("{prefix}/{name}"),
    }
}

/// The path of a node as it is used in keys; refuses names that would leave the hierarchy.
pub(super) fn node_path(item: &str) -> Result<String> {
    let parts: Vec<&str> = item.split('/').filter(|part| !part.is_empty()).collect();
    if parts.iter().any(|part| matches!(*part, "." | "..")) {
        let message = format!("{item:?} is not the name of an array in a group");
        return Err(FormatError::new(ErrorKind::Invalid, message));
    }
    Ok(parts.join("/"))
}
