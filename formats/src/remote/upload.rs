//! Writing one object whose length is not known before its end.

use super::{
    object::CONNECTION,
    prefix::Prefix,
    request::{failed, wait},
};
use crate::error::{FormatError, Result};
use object_store::{Error, MultipartUpload, ObjectStoreExt, path::Path as Key};

/// Bytes of one part of an upload. S3 takes 10,000 parts of 5 MiB or more, so objects up to 78 GiB.
const PART: usize = 8 << 20;

/// An object that is being written: at most a part of it is held, and it is there only when it
/// is finished.
pub(crate) struct Upload {
    prefix: Prefix,
    key: Key,
    name: String,
    held: Vec<u8>,
    parts: Option<Box<dyn MultipartUpload>>,
}

impl Upload {
    pub(super) fn begin(prefix: &Prefix, key: &str, bound: u64) -> Upload {
        let held = Vec::with_capacity(bound.min(PART as u64) as usize);
        let (name, key) = (prefix.name(key), prefix.key(key));
        Upload { prefix: prefix.clone(), key, name, held, parts: None }
    }

    /// Bytes that an upload of at most `bound` bytes holds.
    pub(crate) fn held_bytes(bound: u64) -> u64 {
        bound.min(PART as u64) + CONNECTION
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if self.held.len() == PART {
                self.send()?;
                self.held.reserve_exact(PART);
            }
            let (now, later) = bytes.split_at(bytes.len().min(PART - self.held.len()));
            self.held.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Sends what is held as the next part; it is freed before the next one is begun.
    fn send(&mut self) -> Result<()> {
        let full = std::mem::take(&mut self.held);
        let store = &self.prefix.bucket().store;
        if self.parts.is_none() {
            let begun = wait(store.put_multipart(&self.key)).map_err(|e| self.failed(e))?;
            self.parts = Some(begun);
        }
        let Some(parts) = &mut self.parts else { return Ok(()) };
        let sent = wait(parts.put_part(full.into()));
        sent.map_err(|e| self.failed(e))
    }

    /// Ends the object: only now it is there.
    pub(crate) fn finish(mut self) -> Result<()> {
        if self.parts.is_none() {
            let whole = std::mem::take(&mut self.held);
            let put = wait(self.prefix.bucket().store.put(&self.key, whole.into()));
            return put.map(drop).map_err(|e| self.failed(e));
        }
        self.send()?;
        let Some(mut parts) = self.parts.take() else { return Ok(()) };
        match wait(parts.complete()) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.parts = Some(parts);
                Err(self.failed(error))
            }
        }
    }

    fn failed(&self, error: Error) -> FormatError {
        failed(self.prefix.bucket(), &self.name, "writing it", error)
    }
}

impl Drop for Upload {
    /// Parts of an object that was not finished are given up.
    fn drop(&mut self) {
        if let Some(parts) = &mut self.parts
            && let Err(error) = wait(parts.abort())
        {
            tracing::warn!(object = self.name, %error, "the parts of an upload are left");
        }
    }
}
