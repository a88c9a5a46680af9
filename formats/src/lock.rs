//! The lock that tells a live run from a killed one's leftovers.

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

/// A locked file; it is removed, and its lock given back, when this is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// The file at `path`, made and locked; `None` if another process has it.
    pub(crate) fn take(path: PathBuf) -> io::Result<Option<Lock>> {
        loop {
            let file = File::create(&path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                // Where the file system has no locks, nobody can be kept out.
                Err(Errno::NOTSUP | Errno::NOSYS | Errno::NOLCK) => {
                    return Ok(Some(Lock { file, path }));
                }
                done => done?,
            }
            // Another run may have ended, and removed its file, between the two calls.
            let is_there = |meta: fs::Metadata| -> io::Result<bool> {
                let own = file.metadata()?;
                Ok((meta.dev(), meta.ino()) == (own.dev(), own.ino()))
            };
            if let Ok(meta) = path.symlink_metadata()
                && is_there(meta)?
            {
                return Ok(Some(Lock { file, path }));
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}
