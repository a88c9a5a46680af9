//! The files of a stack, compactly: names, sizes and times of modification.
//!
//! A hundred thousand files cost some 60 bytes each and their names; the folder that
//! files share is kept once.

use crate::{
    error::{ErrorKind, FormatError, Result},
    remote::Prefix,
    source::Fingerprint,
    url,
};
use std::{
    collections::HashMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    thread,
    time::SystemTime,
};

/// What the file system said of one file when the stack was opened.
#[derive(Debug)]
struct FileInfo {
    /// The number of its folder.
    folder: u32,
    /// Empty where no file has the place.
    name: Box<OsStr>,
    /// `None` of a file that is not there.
    stat: Option<Stat>,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    /// Bytes; 0 of a folder, whose own size says nothing.
    size: u64,
    modified: Option<SystemTime>,
}

/// The files of a stack, in order.
#[derive(Debug)]
pub(super) struct Files {
    folders: Box<[PathBuf]>,
    files: Box<[FileInfo]>,
    /// The number of files that were there.
    there: u64,
    /// Bytes of all files, `None` where folders are among them.
    bytes: Option<u64>,
}

/// Files are asked for by several threads from this many on: what takes long is the wait
/// for a network file system, not the processor.
const MANY: usize = 512;
const THREADS: usize = 8;

impl Files {
    /// Asks the file system for all of `paths`; `None` is a place without a file.
    ///
    /// # Errors
    /// If one cannot be asked for, or, unless they `may_lack`, is not there.
    pub(super) fn stat(paths: &[Option<PathBuf>], may_lack: bool) -> Result<Files> {
        let stats = for_all(paths.len(), |i| match &paths[i] {
            None if may_lack => Ok(None),
            None => Err(FormatError::new(
                ErrorKind::NotFound,
                format!("place {i} of the stack has no file"),
            )
            .help("give a file, or ask for missing ones to be taken as NaN or masked")),
            Some(path) => match Stat::of(path) {
                Err(error) if may_lack && error.kind() == ErrorKind::NotFound => Ok(None),
                stat => stat.map(Some),
            },
        })?;
        let mut folders: Vec<PathBuf> = Vec::new();
        let mut known: HashMap<&Path, u32> = HashMap::new();
        let mut files = Vec::with_capacity(paths.len());
        let (mut there, mut bytes) = (0, Some(0u64));
        for (path, stat) in paths.iter().zip(stats) {
            let path = path.as_deref().unwrap_or(Path::new(""));
            // A path that ends in `..` has no last name: all of it is the folder then.
            let (folder, name) = match (path.parent(), path.file_name()) {
                (Some(folder), Some(name)) => (folder, name),
                _ => (path, OsStr::new("")),
            };
            let number = *known.entry(folder).or_insert_with(|| {
                folders.push(folder.to_owned());
                folders.len() as u32 - 1
            });
            if let Some((stat, is_file)) = stat {
                there += 1;
                bytes = bytes.filter(|_| is_file).and_then(|b| b.checked_add(stat.size));
            }
            let stat = stat.map(|(stat, _)| stat);
            files.push(FileInfo { folder: number, name: name.into(), stat });
        }
        Ok(Files { folders: folders.into(), files: files.into(), there, bytes })
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn path(&self, file: usize) -> PathBuf {
        let info = &self.files[file];
        self.folders[info.folder as usize].join(&*info.name)
    }

    /// Whether the file was there when the stack was opened.
    pub(super) fn is_there(&self, file: usize) -> bool {
        self.files[file].stat.is_some()
    }

    /// The number of files that were there.
    pub(super) fn there(&self) -> u64 {
        self.there
    }

    /// The bytes of all files, as far as it is known.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// [`ErrorKind::Changed`] if the file is not what it was; of one that was not there,
    /// nothing is known.
    pub(super) fn check_unchanged(&self, file: usize, path: &Path) -> Result<()> {
        let Some(then) = self.files[file].stat else { return Ok(()) };
        let (now, _) = Stat::of(path)?;
        if now == then {
            return Ok(());
        }
        let what = match now.size == then.size {
            true => "it was modified".to_owned(),
            false => format!("it had {} bytes and has {}", then.size, now.size),
        };
        Err(FormatError::new(
            ErrorKind::Changed,
            format!("the file changed since the stack was opened: {what}"),
        )
        .at_path(path)
        .help("open the stack again, once nothing writes to its files"))
    }

    /// The fingerprint of all files as they are now.
    pub(super) fn fingerprint(&self) -> Result<Fingerprint> {
        let each = for_all(self.len(), |i| match self.is_there(i) {
            true => Fingerprint::of_file(&self.path(i)),
            false => Ok(Fingerprint::default()),
        })?;
        Ok(each.into_iter().fold(Fingerprint::default(), Fingerprint::and))
    }
}

impl Stat {
    /// What the file system says of `path`, and whether it is a file; of a URL, what its server
    /// says. A prefix of an object store, as a Zarr array is, is there for all that it knows.
    fn of(path: &Path) -> Result<(Stat, bool)> {
        if let Some(url) = url::of(path) {
            let stat = Prefix::open(url)?.object("").stat()?;
            let (size, modified) = stat.unwrap_or((0, SystemTime::UNIX_EPOCH));
            return Ok((Stat { size, modified: Some(modified) }, stat.is_some()));
        }
        let meta = fs::metadata(path).map_err(|e| FormatError::io(e).at_path(path))?;
        let modified = meta.modified().ok();
        let size = if meta.is_file() { meta.len() } else { 0 };
        Ok((Stat { size, modified }, meta.is_file()))
    }
}

/// The results of `ask` for `0..count`, in order, by several threads where there are many;
/// of several errors the first in order.
pub(crate) fn for_all<T: Send>(
    count: usize,
    ask: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    if count < MANY {
        return (0..count).map(ask).collect();
    }
    let share = count.div_ceil(THREADS);
    let ask = &ask;
    let parts: Vec<Result<Vec<T>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|t| (t * share).min(count)..((t + 1) * share).min(count))
            .map(|range| scope.spawn(move || range.map(ask).collect()))
            .collect();
        let join = |t: thread::ScopedJoinHandle<'_, _>| {
            t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    });
    let mut all = Vec::with_capacity(count);
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}
