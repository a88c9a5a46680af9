//! What stands for object stores in a build without the feature `remote`: types without
//! values, so that adapters need not be told apart, and [`Prefix::open`], which says why.

use crate::{
    error::{ErrorKind, FormatError, Result},
    source::Fingerprint,
};
use std::time::SystemTime;

/// Bytes that a read allocates by itself.
pub(crate) const FOREIGN: u64 = 0;

/// What has no value.
#[derive(Clone, Copy, Debug)]
enum Never {}

/// No prefix of an object store.
#[derive(Clone, Debug)]
pub(crate) struct Prefix(Never);

/// No object.
#[derive(Debug)]
pub(crate) struct Object(Never);

/// No object that is being written.
pub(crate) struct Upload(Never);

impl Prefix {
    pub(crate) fn open(url: &str) -> Result<Prefix> {
        crate::url::check(url)?;
        Err(FormatError::new(ErrorKind::Unsupported, "only local files are opened").at(url))
    }

    pub(crate) fn name(&self, _key: &str) -> String {
        match self.0 {}
    }

    pub(crate) fn is_writable(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn document(&self, _key: &str, _limit: u64) -> Result<Option<Vec<u8>>> {
        match self.0 {}
    }

    pub(crate) fn children(&self, _key: &str) -> Result<Vec<String>> {
        match self.0 {}
    }

    pub(crate) fn has_any(&self, _key: &str) -> Result<bool> {
        match self.0 {}
    }

    pub(crate) fn object(&self, _key: &str) -> Object {
        match self.0 {}
    }

    pub(crate) fn put(&self, _key: &str, _bytes: Vec<u8>) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn put_new(&self, _key: &str, _bytes: Vec<u8>) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn remove(&self, _key: &str) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn remove_all(&self, _key: &str) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn upload(&self, _key: &str, _bound: u64) -> Upload {
        match self.0 {}
    }
}

impl Object {
    pub(crate) fn len(&self) -> Result<Option<u64>> {
        match self.0 {}
    }

    pub(crate) fn stat(&self) -> Result<Option<(u64, SystemTime)>> {
        match self.0 {}
    }

    pub(crate) fn read_at(&self, _buffer: &mut [u8], _at: u64) -> Result<usize> {
        match self.0 {}
    }

    pub(crate) fn read_whole(&self, _buffer: &mut [u8]) -> Result<Option<u64>> {
        match self.0 {}
    }

    pub(crate) fn read_end(&self, _buffer: &mut [u8], _last: bool) -> Result<Option<u64>> {
        match self.0 {}
    }

    pub(crate) fn fingerprint(&self) -> Result<Fingerprint> {
        match self.0 {}
    }
}

impl Upload {
    /// Bytes that an upload of at most `bound` bytes holds.
    pub(crate) fn held_bytes(_bound: u64) -> u64 {
        0
    }

    pub(crate) fn write(&mut self, _bytes: &[u8]) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn finish(self) -> Result<()> {
        match self.0 {}
    }
}
