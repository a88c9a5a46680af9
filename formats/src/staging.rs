//! Staging names: where an output lies until it is whole.
//!
//! A writer works under a sibling of its target whose name no reader opens, holds a lock
//! on it, and publishes it by one rename. Leftovers of a killed run carry no lock: a store that
//! resumes goes on with them (`journal` tells how far they are), any other sweeps them.

use crate::{
    aside,
    error::{ErrorKind, FormatError, Result},
    journal::{self, Journal, Left, Noted},
    lock::Lock,
    url,
};
use rustix::{fs::RenameFlags, io::Errno};
use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// How a store treats what is there, and the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mode {
    /// Replaces an output that exists.
    pub(crate) overwrite: bool,
    /// Replaces one in an object store, which is not atomic; nothing that is staged has it.
    pub(crate) in_place: bool,
    /// Goes on with what an earlier store left unfinished.
    pub(crate) resume: bool,
    /// Waits for the disk before the output is visible: it is whole after a loss of power, too.
    pub(crate) durable: bool,
}

/// A staging place beside a target; removed on drop unless published, or kept for a store
/// that goes on with it.
#[derive(Debug)]
pub(crate) struct Staging {
    target: PathBuf,
    path: PathBuf,
    journal_path: PathBuf,
    /// Where the old output lies between two renames.
    aside: PathBuf,
    mode: Mode,
    left: Left,
    journal: Option<Journal>,
    /// Whether there is nothing to remove on drop, or it is to stay.
    stays: AtomicBool,
    /// Held until all else is done.
    _lock: Lock,
}

impl Staging {
    /// The staging place for `target`. Refuses a target that exists unless it is to be
    /// overwritten, and one that another run is writing. What a killed run left behind is
    /// swept, or, in [`Mode::resume`], stays at [`Staging::path`]; else nothing is there
    /// yet, and the writer makes a file or folder.
    pub(crate) fn create(target: &Path, mode: Mode) -> Result<Staging> {
        url::check_local(target, "this output")?;
        let sibling = |ending: &str| {
            aside::sibling(target, ending).ok_or_else(|| {
                FormatError::new(ErrorKind::Invalid, "an output needs a name").at_path(target)
            })
        };
        let (path, journal_path) = (sibling(".part")?, sibling(".journal")?);
        let (aside, lock) = (sibling(aside::ENDING)?, sibling(".lock")?);
        let may_begin = || {
            // What is never overwritten is told first, and not to be overwritten.
            let unreadable = |error| FormatError::io(error).at_path(target);
            if target.is_dir() && !is_array(target).map_err(unreadable)? {
                return Err(FormatError::new(
                    ErrorKind::Exists,
                    "a folder that is no array is there",
                )
                .at_path(target)
                .help("it is not overwritten: choose another name, or remove it yourself"));
            }
            if target.symlink_metadata().is_ok() && !mode.overwrite {
                return Err(exists(target));
            }
            Ok(())
        };
        may_begin()?;
        let unusable = |error: io::Error| {
            FormatError::io(error)
                .at_path(target)
                .help("the folder of the output must exist and be writable")
        };
        let lock = Lock::take(lock).map_err(unusable)?.ok_or_else(|| {
            FormatError::new(ErrorKind::Exists, "another run is writing this output")
                .at_path(target)
        })?;
        // A run that was killed between two renames left the old output aside, one that was killed
        // after them did not remove it.
        if aside::put_back(target).map_err(unusable)? {
            may_begin()?;
        }
        remove(&aside).map_err(unusable)?;
        let mut staging = Staging {
            target: target.to_owned(),
            path,
            journal_path,
            aside,
            mode,
            left: Left::Nothing,
            journal: None,
            stays: AtomicBool::new(false),
            _lock: lock,
        };
        let left = staging.path.symlink_metadata().is_ok();
        if left && mode.resume && journal::is_whole(&staging.journal_path) {
            staging.left = Left::TakenOver;
        } else {
            if left {
                staging.left = Left::Swept(journal::count(&staging.journal_path));
            }
            staging.remove_all().map_err(unusable)?;
        }
        Ok(staging)
    }

    /// The same with a journal, so that a later store may go on with it; `layout` tells all that
    /// decides how and where chunks are stored.
    ///
    /// # Errors
    /// [`ErrorKind::Changed`] if what was left has another layout; it stays.
    pub(crate) fn journalled(mut self, layout: impl Into<String>) -> Result<Staging> {
        let journal = self.journal_path.clone();
        match Journal::new(journal, &self.target, layout.into(), self.left, self.mode.resume) {
            Ok(journal) => {
                self.journal = Some(journal);
                Ok(self)
            }
            Err(error) => {
                self.stays = AtomicBool::new(true);
                Err(error)
            }
        }
    }

    /// Where to write until it is whole.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its journal, if it has one.
    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// Notes in the journal that a chunk is stored.
    pub(crate) fn note(&self, noted: Noted) -> Result<()> {
        self.journal.as_ref().map_or(Ok(()), |journal| journal.note(noted))
    }

    /// The staged folder, made unless it is gone on with.
    pub(crate) fn folder(&self) -> Result<()> {
        match self.left {
            Left::TakenOver => Ok(()),
            _ => fs::create_dir(&self.path).map_err(|e| {
                FormatError::io(e).at_path(&self.target).help("is the folder writable?")
            }),
        }
    }

    /// The staged file, of `len` bytes that are on disk already where the file system can: so
    /// a disk that is too small is known before the work.
    pub(crate) fn file(&self, len: u64) -> Result<File> {
        let at = |error: io::Error| FormatError::io(error).at_path(&self.target);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(self.left != Left::TakenOver);
        let file = options.open(&self.path).map_err(at)?;
        reserve(&file, len).map_err(|error| match at(error) {
            error if error.kind() == ErrorKind::StorageFull => {
                error.help(format!("the output takes {len} bytes, more than there is room for"))
            }
            error => error,
        })?;
        Ok(file)
    }

    /// What makes an output whole after a loss of power too, if that was asked for: called
    /// when everything is written.
    pub(crate) fn sync(&self) -> Result<()> {
        if !self.mode.durable {
            return Ok(());
        }
        let sync = || {
            let file = File::open(&self.path)?;
            match file.metadata()?.is_dir() {
                // All its files at once: one call a file would take longer than the work did.
                true => sync_file_system(&file),
                false => file.sync_all(),
            }
        };
        sync().map_err(|e| FormatError::io(e).at_path(&self.target))
    }

    /// Makes the staged file or folder visible under the target's name. A folder that
    /// replaces another is swapped with it in one step where the system can.
    pub(crate) fn publish(&self) -> Result<()> {
        self.rename()?;
        self.stays.store(true, Ordering::Release);
        self.journal.iter().for_each(Journal::end);
        self.sync_name()?;
        // The output is there; what cannot be removed is swept by the next store.
        if let Err(error) = self.remove_all() {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove");
        }
        Ok(())
    }

    /// Waits until the disk knows the output by its name, if that was asked for.
    fn sync_name(&self) -> Result<()> {
        let folder = match self.target.parent() {
            _ if !self.mode.durable => return Ok(()),
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| {
            let _ = remove(&self.journal_path);
            let mut help = "the output is there, but a loss of power may undo that".to_owned();
            if self.path.symlink_metadata().is_ok() {
                // Not removed on a disk that fails.
                help += &format!("; what it replaced is at {}", self.path.display());
            }
            FormatError::io(error).at_path(&self.target).help(help)
        })
    }

    fn rename(&self) -> Result<()> {
        let at = |error: io::Error| FormatError::io(error).at_path(&self.target);
        let cwd = rustix::fs::CWD;
        // Refuses, in the same step, a target that appeared while this run was working.
        let fresh =
            rustix::fs::renameat_with(cwd, &self.path, cwd, &self.target, RenameFlags::NOREPLACE);
        match fresh {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) if !self.mode.overwrite => {
                return Err(exists(&self.target));
            }
            Err(Errno::EXIST) => {}
            Err(_) if self.target.symlink_metadata().is_err() => {
                return fs::rename(&self.path, &self.target).map_err(at);
            }
            Err(_) if !self.mode.overwrite => return Err(exists(&self.target)),
            Err(_) => {}
        }
        let both_files = self.path.is_file() && self.target.is_file();
        if both_files {
            return fs::rename(&self.path, &self.target).map_err(at);
        }
        // What lies at the staging path after the swap is the old output: no store must go on
        // with it, so the journal goes first.
        remove(&self.journal_path).map_err(at)?;
        match rustix::fs::renameat_with(cwd, &self.path, cwd, &self.target, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(()),
            Err(_) => {
                fs::rename(&self.target, &self.aside).map_err(at)?;
                fs::rename(&self.path, &self.target).map_err(|error| {
                    // The old output is seen again; that this fails too is all but impossible.
                    let _ = fs::rename(&self.aside, &self.target);
                    at(error)
                })
            }
        }
    }

    fn remove_all(&self) -> io::Result<()> {
        remove(&self.journal_path)?;
        remove(&self.path)?;
        match self.target.symlink_metadata() {
            Ok(_) => remove(&self.aside),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let kept = self.journal.as_ref().is_some_and(Journal::is_kept);
        if !kept && !self.stays.load(Ordering::Acquire) {
            let _ = self.remove_all();
        }
    }
}

/// Gives the file its full size, on disk where the file system can.
fn reserve(file: &File, len: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::FallocateFlags;
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len) {
            Ok(()) => return Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    file.set_len(len)
}

fn sync_file_system(folder: &File) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(folder)?;
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        rustix::fs::sync();
    }
    Ok(())
}

/// Whether a folder is a Zarr array, which an output may replace, or empty. A group is not:
/// others' arrays may lie in it.
fn is_array(folder: &Path) -> io::Result<bool> {
    let node: Option<serde_json::Value> = match fs::read(folder.join("zarr.json")) {
        Ok(text) => serde_json::from_slice(&text).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(node.is_some_and(|node| node["node_type"] == "array")
        || folder.join(".zarray").try_exists()?
        || fs::read_dir(folder)?.next().is_none())
}

fn exists(target: &Path) -> FormatError {
    FormatError::new(ErrorKind::Exists, "the output exists already")
        .at_path(target)
        .help("choose another name, or ask to overwrite it (--overwrite)")
}

fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(meta) if meta.is_dir() => remove_folder(path),
        Ok(_) => fs::remove_file(path),
    }
}

/// Threads that remove a folder: who stops a store of a million chunks waits for it.
const REMOVERS: usize = 8;

/// Removes a folder and what is in it. Files are unlinked by several threads, a folder each:
/// in one folder they would wait for one another.
fn remove_folder(root: &Path) -> io::Result<()> {
    // Those that hold others first.
    let mut folders = vec![root.to_owned()];
    let mut next = 0;
    while let Some(folder) = folders.get(next) {
        next += 1;
        let mut inner = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                inner.push(entry.path());
            }
        }
        folders.append(&mut inner);
    }
    let (next, failed) = (Mutex::new(folders.iter()), Mutex::new(Ok(())));
    let empty_some = || {
        while let Some(folder) = {
            let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
            next.next()
        } {
            if let Err(error) = empty(folder) {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Err(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..REMOVERS.min(folders.len()) {
            // Fewer threads do the same work.
            if std::thread::Builder::new().spawn_scoped(scope, empty_some).is_err() {
                break;
            }
        }
        empty_some();
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    folders.iter().rev().try_for_each(fs::remove_dir)
}

/// Unlinks the files of a folder.
fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Provenance;

    const OVERWRITE: Mode =
        Mode { overwrite: true, in_place: false, resume: false, durable: false };
    const RESUME: Mode = Mode { overwrite: false, in_place: false, resume: true, durable: true };

    #[test]
    fn a_folder_is_swapped_for_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.zarr");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("precious"), "").unwrap();
        let refused = Staging::create(&target, OVERWRITE).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Exists);
        assert!(target.join("precious").exists());
        // What cannot be read is told as that, and not as what it may not be.
        fs::create_dir(target.join("zarr.json")).unwrap();
        let unreadable = Staging::create(&target, OVERWRITE).unwrap_err();
        assert_eq!(unreadable.kind(), ErrorKind::Io, "{unreadable}");
        fs::remove_dir(target.join("zarr.json")).unwrap();
        fs::rename(target.join("precious"), target.join(".zarray")).unwrap();
        assert_eq!(
            Staging::create(&target, Mode::default()).unwrap_err().kind(),
            ErrorKind::Exists
        );
        let staging = Staging::create(&target, OVERWRITE).unwrap();
        fs::create_dir(staging.path()).unwrap();
        fs::write(staging.path().join("new"), "").unwrap();
        assert_eq!(Staging::create(&target, OVERWRITE).unwrap_err().kind(), ErrorKind::Exists);
        staging.publish().unwrap();
        drop(staging);
        let names: Vec<_> =
            fs::read_dir(&target).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["new"]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_unpublished_output_leaves_nothing_and_leftovers_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.fits");
        fs::write(dir.path().join(".x.fits.part"), "of a killed run").unwrap();
        let staging = Staging::create(&target, Mode::default()).unwrap();
        assert!(!staging.path().exists());
        fs::write(staging.path(), "half").unwrap();
        drop(staging);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_target_that_appears_meanwhile_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.fits");
        let staging = Staging::create(&target, Mode::default()).unwrap();
        fs::write(staging.path(), "mine").unwrap();
        fs::write(&target, "theirs").unwrap();
        assert_eq!(staging.publish().unwrap_err().kind(), ErrorKind::Exists);
        assert_eq!(fs::read_to_string(&target).unwrap(), "theirs");
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_kept_is_gone_on_with_or_swept() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x");
        let begun = |mode: Mode, layout: &str| -> Result<Staging> {
            let staging = Staging::create(&target, mode)?.journalled(layout)?;
            staging.folder()?;
            Ok(staging)
        };
        let first = begun(RESUME, "a").unwrap();
        first.journal().unwrap().begin(Provenance::default()).unwrap();
        fs::write(first.path().join("0"), "chunk").unwrap();
        first.note(Noted::default()).unwrap();
        assert!(first.journal().unwrap().is_kept());
        drop(first);
        assert_eq!(names(dir.path()), [".x.journal", ".x.part"]);

        assert_eq!(begun(RESUME, "b").unwrap_err().kind(), ErrorKind::Changed);
        assert_eq!(names(dir.path()), [".x.journal", ".x.part"]);
        let second = begun(RESUME, "a").unwrap();
        assert!(second.path().join("0").exists());
        assert!(second.journal().unwrap().begin(Provenance::default()).unwrap().is_some());
        drop(second); // what one went on with stays, until it is published or swept
        let third = begun(Mode::default(), "a").unwrap();
        assert_eq!(third.journal().unwrap().swept(), Some(1));
        assert!(!third.path().join("0").exists());
        drop(third);
        assert_eq!(names(dir.path()), [""; 0]);

        let last = begun(RESUME, "a").unwrap();
        last.journal().unwrap().begin(Provenance::default()).unwrap();
        last.note(Noted::default()).unwrap();
        last.sync().unwrap();
        last.publish().unwrap();
        last.journal().unwrap().keep();
        drop(last);
        assert_eq!(names(dir.path()), ["x"]);
    }

    #[test]
    fn an_old_output_that_was_put_aside_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.zarr");
        let aside = dir.path().join(".x.zarr.old");
        fs::create_dir(&aside).unwrap();
        fs::write(aside.join(".zarray"), "").unwrap();
        // Killed between the two renames: the old one is put back, and not overwritten unasked.
        let refused = Staging::create(&target, Mode::default()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Exists);
        assert_eq!(names(dir.path()), ["x.zarr"]);
        // Killed after them: the new one is there.
        fs::create_dir(&aside).unwrap();
        drop(Staging::create(&target, OVERWRITE).unwrap());
        assert_eq!(names(dir.path()), ["x.zarr"]);
    }

    #[test]
    fn a_folder_of_folders_is_removed_by_many() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("many");
        for i in 0..30 {
            for j in 0..3 {
                let folder = root.join(format!("{i}/{j}"));
                fs::create_dir_all(&folder).unwrap();
                (0..5).for_each(|k| fs::write(folder.join(k.to_string()), "").unwrap());
            }
        }
        std::os::unix::fs::symlink(dir.path(), root.join("link")).unwrap();
        remove(&root).unwrap();
        assert!(dir.path().exists() && !root.exists());
    }
}
