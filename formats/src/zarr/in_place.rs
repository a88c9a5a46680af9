//! Where an output is built in an object store: at its own place, since nothing there can be
//! renamed. Its documents are put last: without them no reader finds the array.
//!
//! For the same reason an array is not replaced in one step. Who asks for that by the name that
//! says so has the old one removed first, documents before chunks.

use super::{
    document::{self, Named},
    hierarchy::{DOCUMENTS, Node, read_node},
    store::{Store, join},
};
use crate::{
    error::{ErrorKind, FormatError, Result},
    remote::{Prefix, Upload},
    staging::Mode,
};
use std::sync::atomic::{AtomicBool, Ordering};

/// An array that is being written to its own place.
#[derive(Debug)]
pub(super) struct InPlace {
    prefix: Prefix,
    node: String,
    /// Whether nothing lay there that this store did not write or was asked to replace.
    is_own: bool,
    /// Whether the documents of an array that is replaced may be there.
    is_published: AtomicBool,
}

/// What to do where something is there already.
const HOW: &str = "choose another name, or --overwrite-in-place (`overwrite_in_place`): \
                   not atomic, what is there goes first";

impl InPlace {
    /// The place of the array `node`. What it replaces is removed.
    ///
    /// # Errors
    /// If objects are there and not to be replaced, a group is there, the store is read only, or
    /// something is asked for that it cannot do.
    pub(super) fn find(prefix: &Prefix, node: &str, mode: Mode) -> Result<InPlace> {
        let refused = |kind, message: &str| FormatError::new(kind, message).at(prefix.name(node));
        if !prefix.is_writable() {
            return Err(refused(ErrorKind::Unsupported, "only s3:// and gs:// are written to")
                .help("give one of these, or a local path"));
        }
        if mode.resume {
            let message = "a store to an object store cannot resume: it would begin anew";
            return Err(refused(ErrorKind::Unsupported, message)
                .help("leave out --resume (`resume`), or write to a local path"));
        }
        if mode.overwrite {
            let message = "an object store cannot replace an array in one step";
            return Err(refused(ErrorKind::Invalid, message).help(HOW));
        }
        let is_own = match read_node(&Store::Remote(prefix.clone()), node)? {
            Some(Node::Group(_)) => {
                return Err(refused(ErrorKind::Exists, "a group is there: it is not overwritten"));
            }
            Some(Node::Array(_)) if !mode.in_place => {
                return Err(refused(ErrorKind::Exists, "the output exists already").help(HOW));
            }
            Some(Node::Array(_)) => {
                for document in DOCUMENTS {
                    prefix.remove(&join(node, document))?;
                }
                prefix.remove_all(node)?;
                true
            }
            None if !prefix.has_any(node)? => true,
            // They may be anybody's: they are written over, where they have the same names.
            None if mode.in_place => false,
            None => {
                let message = "objects are there, but no array: a store that was killed may have \
                               left them";
                return Err(refused(ErrorKind::Exists, message).help(HOW));
            }
        };
        let is_published = AtomicBool::new(false);
        Ok(InPlace { prefix: prefix.clone(), node: node.to_owned(), is_own, is_published })
    }

    /// Begins an object of the array, of at most `bound` bytes.
    pub(super) fn object(&self, key: &str, bound: u64) -> Upload {
        self.prefix.upload(&join(&self.node, key), bound)
    }

    /// Puts the documents of new groups, outermost first, and the array's own, the one that
    /// makes it an array last.
    pub(super) fn publish(&self, groups: &[String], version: u8, documents: &Named) -> Result<()> {
        for group in groups {
            let (name, document) = document::group(version);
            match self.prefix.put_new(&join(group, name), document::text(&document).into()) {
                // Another store into the same group was faster.
                Err(error) if error.kind() == ErrorKind::Exists => {}
                put => put?,
            }
        }
        for (name, document) in documents {
            let put = self.prefix.put_new(&join(&self.node, name), document::text(document).into());
            put.map_err(|error| match error.kind() {
                ErrorKind::Exists => {
                    // What is there is another store's now, chunks included.
                    self.is_published.store(true, Ordering::Release);
                    error.help(
                        "another store wrote an array there meanwhile: its chunks and \
                                these are mixed; write it anew with --overwrite-in-place",
                    )
                }
                _ => error,
            })?;
        }
        self.is_published.store(true, Ordering::Release);
        Ok(())
    }
}

impl Drop for InPlace {
    /// What was not published is removed, unless others' objects lie there too.
    fn drop(&mut self) {
        if self.is_published.load(Ordering::Acquire) {
            return;
        }
        let place = self.prefix.name(&self.node);
        if !self.is_own {
            tracing::warn!("{place}: chunks of a store that did not end stay there");
        } else if let Err(error) = self.prefix.remove_all(&self.node) {
            tracing::warn!("chunks of a store that did not end are left: {error}");
        }
    }
}
