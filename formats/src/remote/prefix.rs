//! A prefix of a bucket: the documents and objects below it, as a folder of keys.

use super::{
    bucket::Bucket,
    object::Object,
    request::{failed, is_denied, unless_absent, wait},
    upload::Upload,
};
use crate::error::{ErrorKind, FormatError, Result};
use futures_util::{StreamExt, TryStreamExt};
use object_store::{Error, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path as Key};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that most documents have at the most: longer ones take a second request.
const USUAL_DOCUMENT: u64 = 128 << 10;

/// All that lies below a URL.
#[derive(Clone, Debug)]
pub(crate) struct Prefix {
    bucket: Arc<Bucket>,
    base: Key,
    url: String,
    /// What was said of the first document of which the server refused to tell whether it is
    /// there.
    denied: Arc<Mutex<Option<FormatError>>>,
}

impl Prefix {
    /// What lies below a URL; nothing is read.
    ///
    /// # Errors
    /// If the URL, or what the environment says of credentials, makes no sense.
    pub(crate) fn open(url: &str) -> Result<Prefix> {
        let bucket = Bucket::of(url)?;
        let (_, rest) = url.split_once("://").unwrap_or_default();
        let (_, path) = rest.split_once('/').unwrap_or_default();
        let base = Key::from_url_path(path).map_err(|e| {
            FormatError::new(ErrorKind::Invalid, "not a path of an object").at(url).because(e)
        })?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Prefix { bucket, base, url, denied: Arc::default() })
    }

    /// What the object `key` is called in messages.
    pub(crate) fn name(&self, key: &str) -> String {
        match key {
            "" => self.url.clone(),
            key => format!("{}/{key}", self.url),
        }
    }

    /// Whether objects can be written.
    pub(crate) fn is_writable(&self) -> bool {
        self.bucket.is_writable
    }

    pub(super) fn bucket(&self) -> &Arc<Bucket> {
        &self.bucket
    }

    pub(super) fn key(&self, key: &str) -> Key {
        let base = self.base.as_ref();
        let separator = if base.is_empty() || key.is_empty() { "" } else { "/" };
        // As it is: to join parts would encode some of their characters.
        Key::parse(format!("{base}{separator}{key}")).unwrap_or_else(|_| {
            let parts = key.split('/').filter(|part| !part.is_empty());
            parts.fold(self.base.clone(), |path, part| path.join(part))
        })
    }

    fn failed(&self, key: &str, doing: &str, error: Error) -> FormatError {
        failed(&self.bucket, &self.name(key), doing, error)
    }

    /// The whole of an object of at most `limit` bytes; `None` if there is none, or the server
    /// refuses to say: who may not list a bucket is not told what is not there
    /// (then [`Prefix::has_any`] and [`Prefix::children`] tell of it).
    pub(crate) fn document(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let object = self.object(key);
        let mut document = vec![0; limit.min(USUAL_DOCUMENT) as usize];
        let mut read = object.fetch_whole(&mut document);
        if let Ok(Some(len)) = read
            && len > document.len() as u64
            && len <= limit
        {
            document.resize(len as usize, 0);
            read = object.fetch_whole(&mut document);
        }
        match read {
            Ok(Some(len)) if len <= limit => {
                document.truncate(len as usize);
                Ok(Some(document))
            }
            Ok(Some(len)) => {
                let message = format!("the document has {len} bytes, more than {limit}");
                Err(FormatError::new(ErrorKind::Limit, message).at(self.name(key)))
            }
            Ok(None) => Ok(None),
            Err(error) if is_denied(&error) => {
                let error = self.failed(key, "reading it", error);
                self.denied().get_or_insert(error);
                Ok(None)
            }
            Err(error) => Err(self.failed(key, "reading it", error)),
        }
    }

    /// The names right below a key that have others below them.
    pub(crate) fn children(&self, key: &str) -> Result<Vec<String>> {
        if let Some(error) = self.denied().take() {
            return Err(error);
        }
        let listed = wait(self.bucket.store.list_with_delimiter(Some(&self.key(key))));
        let listed = listed.map_err(|e| self.unlisted(key, e))?;
        let names = listed.common_prefixes.iter().filter_map(|path| path.filename());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// Whether there is any object below a key.
    pub(crate) fn has_any(&self, key: &str) -> Result<bool> {
        if let Some(error) = self.denied().take() {
            return Err(error);
        }
        // A server of plain files tells nothing but its files.
        if !self.is_writable() {
            return Ok(false);
        }
        let prefix = self.key(key);
        let first = wait(self.bucket.store.list(Some(&prefix)).try_next());
        Ok(first.map_err(|e| self.unlisted(key, e))?.is_some())
    }

    fn denied(&self) -> MutexGuard<'_, Option<FormatError>> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unlisted(&self, key: &str, error: Error) -> FormatError {
        self.failed(key, "listing it", error)
            .help("what is there cannot be listed: name the array with ::ITEM")
    }

    /// One object, of which nothing is known yet.
    pub(crate) fn object(&self, key: &str) -> Object {
        Object::new(self, key)
    }

    /// Stores a whole object, in place of one that is there.
    pub(crate) fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        self.put_as(key, bytes, PutMode::Overwrite).map_err(|e| self.failed(key, "writing it", e))
    }

    /// Stores a whole object where none is: in one step, on servers that have such a request.
    pub(crate) fn put_new(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        match self.put_as(key, bytes.clone(), PutMode::Create) {
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => self.put(key, bytes),
            done => done.map_err(|e| self.failed(key, "writing it", e)),
        }
    }

    fn put_as(&self, key: &str, bytes: Vec<u8>, mode: PutMode) -> Result<(), Error> {
        let options = PutOptions { mode, ..PutOptions::default() };
        let (key, payload) = (self.key(key), PutPayload::from(bytes));
        wait(self.bucket.store.put_opts(&key, payload, options)).map(drop)
    }

    /// Removes an object, if it is there.
    pub(crate) fn remove(&self, key: &str) -> Result<()> {
        let removed = unless_absent(wait(self.bucket.store.delete(&self.key(key))));
        removed.map(drop).map_err(|e| self.failed(key, "removing it", e))
    }

    /// Removes all objects below a key.
    pub(crate) fn remove_all(&self, key: &str) -> Result<()> {
        let store = &self.bucket.store;
        let all = store.list(Some(&self.key(key))).map_ok(|meta| meta.location).boxed();
        let removed = wait(store.delete_stream(all).try_for_each(|_| async { Ok(()) }));
        removed.map_err(|e| self.failed(key, "removing it", e))
    }

    /// Begins an object of at most `bound` bytes.
    pub(crate) fn upload(&self, key: &str, bound: u64) -> Upload {
        Upload::begin(self, key, bound)
    }
}
