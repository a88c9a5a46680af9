//! Where a hierarchy lies: a folder, each object a file in it.
//!
//! Keys are those of the Zarr specification, `group/array/c/0/1`. An object that is not there
//! is not an error: it stands for a chunk of fill values.

use crate::{
    error::{ErrorKind, FormatError, Result},
    source::Fingerprint,
};
use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// The longest metadata document that is read: consolidated ones of large groups reach megabytes.
const MAX_DOCUMENT: u64 = 64 << 20;

/// The root of a hierarchy.
#[derive(Clone, Debug)]
pub(super) struct Store {
    root: PathBuf,
}

/// One object, open for reading.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) file: File,
    pub(super) len: u64,
}

impl Store {
    /// The hierarchy whose root is `path`.
    pub(super) fn at(path: &Path) -> Store {
        Store { root: path.to_owned() }
    }

    pub(super) fn path(&self, key: &str) -> PathBuf {
        match key {
            "" => self.root.clone(),
            key => self.root.join(key),
        }
    }

    /// Whether there is anything at all.
    pub(super) fn exists(&self) -> Result<bool> {
        Ok(self.root.exists())
    }

    /// The whole of a metadata document; `None` if there is no such object.
    pub(super) fn document(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path(key);
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

    /// Whether there is such an object.
    pub(super) fn has(&self, key: &str) -> Result<bool> {
        Ok(self.path(key).is_file())
    }

    /// What the object `key` is called in messages.
    pub(super) fn name(&self, key: &str) -> String {
        self.path(key).display().to_string()
    }

    /// The nodes that may lie right below `key`, and whether each is a link. Hidden folders are
    /// none: there lies what is not published yet.
    pub(super) fn children(&self, key: &str) -> Result<Vec<(String, bool)>> {
        let path = self.path(key);
        let failed = |e: io::Error| FormatError::io(e).at_path(&path);
        let mut children = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_link = entry.file_type().map_err(failed)?.is_symlink();
            if let Ok(child) = entry.file_name().into_string()
                && !child.starts_with('.')
                && entry.path().is_dir()
            {
                children.push((child, is_link));
            }
        }
        children.sort();
        Ok(children)
    }

    /// How long an object is, if that costs next to nothing to know.
    pub(super) fn cheap_len(&self, key: &str) -> Option<u64> {
        fs::metadata(self.path(key)).ok().map(|file| file.len())
    }

    /// The fingerprint of a node: of its document, and of all that lies in its folder.
    pub(super) fn fingerprint(&self, node: &str, document: &str) -> Result<Fingerprint> {
        let document = Fingerprint::of_file(&self.path(&join(node, document)))?;
        Ok(document.and(Fingerprint::of_folder(&self.path(node))?))
    }

    /// Opens an object; `None` if there is none.
    pub(super) fn open(&self, key: &str) -> Result<Option<Object>> {
        let path = self.path(key);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if is_absent(&e) => return Ok(None),
            Err(e) => return Err(FormatError::io(e).at_path(&path)),
        };
        let len = file.metadata().map_err(|e| FormatError::io(e).at_path(&path))?.len();
        Ok(Some(Object { file, len }))
    }
}

impl Object {
    /// Fills `bytes` with what begins at `at`.
    pub(super) fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> Result<()> {
        self.file.read_exact_at(bytes, at).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                FormatError::new(ErrorKind::Corrupt, "the file became shorter while it was read")
            }
            _ => FormatError::io(error),
        })
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
