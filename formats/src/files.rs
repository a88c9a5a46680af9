//! Open files: one cap for a whole session, and no byte of a file that is not what it was.
//!
//! A source knows its file by the [`Stamp`] that it had when it was opened, and reads only
//! through handles with that stamp. Who writes to the file meanwhile is noticed at the end of
//! the run, where each handle that was used is looked at once more, or when it is closed before.

use crate::{
    error::{ErrorKind, FormatError, Result},
    remote,
    source::Fingerprint,
    stored::StoredFile,
    url,
};
use std::{
    fmt,
    fs::Metadata,
    io,
    num::NonZeroUsize,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// What tells a file from others, and from itself at another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

/// What stands for the device of an object behind a URL; its version stands for the inode.
const OBJECT: u64 = u64::MAX;

impl From<&Metadata> for Stamp {
    fn from(meta: &Metadata) -> Stamp {
        let modified = (meta.mtime(), meta.mtime_nsec());
        Stamp { device: meta.dev(), inode: meta.ino(), len: meta.len(), modified }
    }
}

impl Stamp {
    /// Of an open file.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn of(file: &StoredFile) -> io::Result<Stamp> {
        match file.on_disk() {
            Ok(file) => Ok(Stamp::from(&file.metadata()?)),
            Err(object) => Stamp::of_object(object).map_err(FormatError::into_io),
        }
    }

    /// Of an object, whose version is what its first response told: later ones insist on it.
    fn of_object(object: &remote::Object) -> Result<Stamp> {
        let (len, modified) = object.stat()?.unwrap_or((0, SystemTime::UNIX_EPOCH));
        let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let modified = (since.as_secs() as i64, since.subsec_nanos().into());
        let version = object.fingerprint()?.0 as u64;
        Ok(Stamp { device: OBJECT, inode: version, len, modified })
    }

    /// Of the file that has the name now.
    ///
    /// # Errors
    /// If there is none, or the system does not tell.
    pub fn at(path: &Path) -> Result<Stamp> {
        if url::of(path).is_some() {
            return Stamp::of(&StoredFile::open(path)?).map_err(FormatError::io);
        }
        let meta = std::fs::metadata(path).map_err(|e| FormatError::io(e).at_path(path))?;
        Ok(Stamp::from(&meta))
    }

    /// What a source that lies in the file at `path` is known by: changes with the path, the
    /// length and the time of modification, and behind a URL with the version.
    pub(crate) fn fingerprint(self, path: &Path) -> Fingerprint {
        // The numbers of devices and inodes are others once a disk is mounted anew.
        let version = if self.device == OBJECT { self.inode } else { 0 };
        let Stamp { len, modified, .. } = self;
        let text = format!("{}\0{len}\0{modified:?}\0{version}", path.display());
        Fingerprint::of(text.as_bytes())
    }

    /// The error of a file that had this stamp when it was opened, and has `now`.
    fn changed(self, now: Stamp, path: &Path) -> FormatError {
        let what = match now {
            _ if (now.device, now.inode) != (self.device, self.inode) => {
                "another file has its name".to_owned()
            }
            _ if now.len != self.len => format!("it had {} bytes and has {}", self.len, now.len),
            _ => "it was modified".to_owned(),
        };
        FormatError::new(
            ErrorKind::Changed,
            format!("the file changed since it was opened: {what}"),
        )
        .at_path(path)
        .help("open it again, once nothing writes to it")
    }
}

/// Open files, the least recently used closed first.
pub struct FileCache(Mutex<Files>);

struct Files {
    open: lru::LruCache<PathBuf, Handle>,
    /// The number of the run.
    run: u64,
    /// The first file of which it was noticed in this run.
    changed: Option<FormatError>,
}

struct Handle {
    file: Arc<StoredFile>,
    stamp: Stamp,
    /// The last run that it was used in.
    used: u64,
}

impl Handle {
    /// [`ErrorKind::Changed`] if the file is not what it was when it was opened.
    fn verify(&self, path: &Path) -> Result<()> {
        // A handle that the system does not know any more read nothing wrong.
        match Stamp::of(&self.file) {
            Ok(now) if now != self.stamp => Err(self.stamp.changed(now, path)),
            _ => Ok(()),
        }
    }
}

impl Files {
    /// Looks once more at a handle that is closed.
    fn close(&mut self, path: &Path, handle: &Handle) {
        if handle.used == self.run && self.changed.is_none() {
            self.changed = handle.verify(path).err();
        }
    }
}

impl FileCache {
    /// A cache that keeps at most `cap` files open.
    pub fn new(cap: NonZeroUsize) -> FileCache {
        FileCache(Mutex::new(Files { open: lru::LruCache::new(cap), run: 0, changed: None }))
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all files, so that they are opened anew.
    pub fn clear(&self) {
        let mut files = self.lock();
        while let Some((path, handle)) = files.open.pop_lru() {
            files.close(&path, &handle);
        }
    }

    /// Begins a run: what changed before is of no concern, as sources know what they opened.
    pub fn begin(&self) {
        let mut files = self.lock();
        (files.run, files.changed) = (files.run + 1, None);
    }

    /// Whether all files that were used since [`FileCache::begin`] are what they were when they
    /// were opened.
    ///
    /// # Errors
    /// [`ErrorKind::Changed`], of the first that is not.
    pub fn verify(&self) -> Result<()> {
        let mut files = self.lock();
        if let Some(error) = files.changed.take() {
            return Err(error);
        }
        let run = files.run;
        let mut used = files.open.iter().filter(|(_, handle)| handle.used == run);
        used.try_for_each(|(path, handle)| handle.verify(path))
    }

    /// The file at `path`, open for reading.
    ///
    /// # Errors
    /// If it cannot be opened; the error names the path.
    pub fn open(&self, path: &Path) -> Result<Arc<StoredFile>> {
        // Of a handle of an earlier run it is not known whether the name still leads there.
        let run = self.lock().run;
        let stamp = match self.lock().open.peek(path) {
            Some(handle) if handle.used == run => Some(handle.stamp),
            Some(_) => Some(Stamp::at(path)?),
            None => None,
        };
        self.open_as(path, stamp)
    }

    /// The file at `path`, open for reading, which had this stamp when its source was opened.
    ///
    /// # Errors
    /// As for [`FileCache::open`]; [`ErrorKind::Changed`] if it has another one.
    pub fn open_unchanged(&self, path: &Path, stamp: Stamp) -> Result<Arc<StoredFile>> {
        self.open_as(path, Some(stamp))
    }

    /// What a source that reads the file at `path` tells as its version
    /// ([`ChunkSource::version`](crate::source::ChunkSource::version)): it has one, as it is what it was or refused.
    ///
    /// # Errors
    /// As for [`FileCache::open_unchanged`].
    pub(crate) fn version(&self, path: &Path, stamp: Stamp) -> Result<Option<Fingerprint>> {
        self.open_unchanged(path, stamp).map(|_| Some(Fingerprint::default()))
    }

    fn open_as(&self, path: &Path, wanted: Option<Stamp>) -> Result<Arc<StoredFile>> {
        let mut files = self.lock();
        let run = files.run;
        if let Some(handle) = files.open.get_mut(path)
            && wanted.is_none_or(|stamp| stamp == handle.stamp)
        {
            handle.used = run;
            return Ok(handle.file.clone());
        }
        drop(files);
        // Opened without the lock: two threads may open the same file, and one is dropped.
        let file = Arc::new(StoredFile::open(path)?);
        let stamp = Stamp::of(&file).map_err(|e| FormatError::io(e).at_path(path))?;
        if let Some(then) = wanted.filter(|&then| then != stamp) {
            return Err(then.changed(stamp, path));
        }
        let mut files = self.lock();
        let handle = Handle { file: file.clone(), stamp, used: run };
        if let Some((path, closed)) = files.open.push(path.to_owned(), handle) {
            files.close(&path, &closed);
        }
        Ok(file)
    }
}

impl Default for FileCache {
    /// At most 512 files, eight, which a task may read in turn, for each of 64 threads; but a quarter of what the
    /// process may have open.
    fn default() -> FileCache {
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let cap = most.map_or(512, |most| (most / 4).clamp(1, 512)) as usize;
        FileCache::new(NonZeroUsize::new(cap).expect("not zero"))
    }
}

impl fmt::Debug for FileCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileCache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::Forwards;
    use std::{fs, io::Read, thread, time::Duration};

    #[test]
    fn a_file_that_changes_under_a_run_is_noticed_and_another_of_its_name_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| {
            thread::sleep(Duration::from_millis(20)); // what file systems tell apart
            fs::write(path(name), text).unwrap();
        };
        write("a", "one");
        let cache = FileCache::new(NonZeroUsize::MIN);
        let stamp = Stamp::at(&path("a")).unwrap();
        let open = |stamp| cache.open_unchanged(&path("a"), stamp);

        cache.begin();
        open(stamp).unwrap();
        cache.verify().unwrap();
        write("a", "two");
        let error = cache.verify().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed);
        assert!(error.to_string().contains("it was modified"), "{error}");

        // In the next run the old source is refused, and a new one reads what is there.
        cache.begin();
        cache.verify().unwrap();
        cache.clear();
        assert_eq!(open(stamp).unwrap_err().kind(), ErrorKind::Changed);
        let stamp = Stamp::at(&path("a")).unwrap();
        open(stamp).unwrap();

        // One that is closed within the run is looked at when it is closed.
        write("a", "three");
        write("b", "");
        cache.open(&path("b")).unwrap();
        let error = cache.verify().unwrap_err();
        assert!(error.to_string().contains("it had 3 bytes and has 5"), "{error}");

        // Another file of the name: the handle that is kept is not taken for it.
        cache.begin();
        let stamp = Stamp::at(&path("a")).unwrap();
        open(stamp).unwrap();
        write("c", "other");
        fs::rename(path("c"), path("a")).unwrap();
        cache.begin();
        let stamp = Stamp::at(&path("a")).unwrap();
        for file in [open(stamp).unwrap(), cache.open(&path("a")).unwrap()] {
            let mut text = String::new();
            Forwards::of(&*file).read_to_string(&mut text).unwrap();
            assert!(text == "other" || text.is_empty(), "{text}");
        }
    }
}
