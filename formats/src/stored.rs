//! Bytes that are read by position, wherever they lie: in a file on disk, or behind a URL in an
//! object store, where each read is a request for a range.
//!
//! Adapters whose arrays lie in one file read through [`StoredFile`] and do not know which of
//! the two it is.

use crate::{
    error::{ErrorKind, FormatError, Result},
    remote, url,
};
use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// What can be read by position, from any thread.
pub trait ReadAt {
    /// Puts what begins at the byte `at` into `buffer`, as much as fits; how much that was, 0
    /// only at the end.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// Bytes that there are.
    ///
    /// # Errors
    /// If that cannot be told.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` with what begins at the byte `at`.
    ///
    /// # Errors
    /// If it cannot be read; [`io::ErrorKind::UnexpectedEof`] if there is less.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => {
                    buffer = &mut buffer[len..];
                    at += len as u64;
                }
            }
        }
        Ok(())
    }
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        loop {
            match FileExt::read_at(self, buffer, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl ReadAt for &[u8] {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let rest = usize::try_from(at).ok().and_then(|at| self.get(at..)).unwrap_or(&[]);
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// A file that is open for reading: on disk, or in an object store (feature `remote`).
#[derive(Debug)]
pub struct StoredFile(Kind);

#[derive(Debug)]
enum Kind {
    Disk(File),
    Object(remote::Object),
}

impl StoredFile {
    /// The file on disk, or else the object.
    pub(crate) fn on_disk(&self) -> Result<&File, &remote::Object> {
        match &self.0 {
            Kind::Disk(file) => Ok(file),
            Kind::Object(object) => Err(object),
        }
    }

    /// Opens the file at a path or URL.
    ///
    /// # Errors
    /// If it is not there or cannot be read, or is a URL of a kind that this build does not know.
    pub fn open(path: &Path) -> Result<StoredFile> {
        let Some(url) = url::of(path) else {
            let file = File::open(path).map_err(|e| FormatError::io(e).at_path(path))?;
            return Ok(StoredFile(Kind::Disk(file)));
        };
        let object = remote::Prefix::open(url)?.object("");
        match object.len()? {
            Some(_) => Ok(StoredFile(Kind::Object(object))),
            None => Err(FormatError::new(ErrorKind::NotFound, "no such object").at(url)),
        }
    }
}

impl ReadAt for StoredFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        match &self.0 {
            Kind::Disk(file) => ReadAt::read_at(file, buffer, at),
            Kind::Object(object) => object.read_at(buffer, at).map_err(FormatError::into_io),
        }
    }

    fn size(&self) -> io::Result<u64> {
        match &self.0 {
            Kind::Disk(file) => file.size(),
            Kind::Object(object) => {
                Ok(object.len().map_err(FormatError::into_io)?.unwrap_or_default())
            }
        }
    }
}

/// A file from its first byte on, for who reads forwards.
pub(crate) struct Forwards<'a> {
    file: &'a dyn ReadAt,
    at: u64,
}

impl<'a> Forwards<'a> {
    pub(crate) fn of(file: &'a dyn ReadAt) -> Forwards<'a> {
        Forwards { file, at: 0 }
    }
}

impl io::Read for Forwards<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(buffer, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

/// Bytes that one read of the file at `path` allocates by itself: none of a file on disk.
pub(crate) fn foreign_bytes(path: &Path) -> u64 {
    if url::of(path).is_some() { remote::FOREIGN } else { 0 }
}
