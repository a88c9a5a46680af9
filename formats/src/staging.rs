//! Staging names: where an output lies until it is whole.
//!
//! A writer works under a sibling of its target whose name no reader opens, holds a lock
//! on it, and publishes it by one rename. Leftovers of a killed run carry no lock and are
//! swept by the next store to the same target.

use crate::error::{ErrorKind, FormatError, Result};
use rustix::fs::{FlockOperation, RenameFlags, flock};
use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
};

/// A staging place beside a target; removed on drop unless published.
#[derive(Debug)]
pub(crate) struct Staging {
    target: PathBuf,
    path: PathBuf,
    /// Holds the lock that tells a live run from a killed one's leftovers.
    lock: File,
    lock_path: PathBuf,
    overwrite: bool,
}

impl Staging {
    /// The staging place for `target`. Refuses a target that exists unless `overwrite`,
    /// and one that another run is writing; sweeps what a killed run left behind.
    /// Nothing is created at [`Staging::path`] yet: the writer makes a file or folder there.
    pub(crate) fn create(target: &Path, overwrite: bool) -> Result<Staging> {
        if target.symlink_metadata().is_ok() && !overwrite {
            return Err(exists(target));
        }
        if target.is_dir() && !is_array(target) {
            return Err(FormatError::new(ErrorKind::Exists, "a folder that is no array is there")
                .at_path(target)
                .help("it is not overwritten: choose another name, or remove it yourself"));
        }
        let name = target.file_name().ok_or_else(|| {
            FormatError::new(ErrorKind::Invalid, "an output needs a name").at_path(target)
        })?;
        let sibling = |suffix: &str| {
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(suffix);
            target.with_file_name(hidden)
        };
        let (path, lock_path) = (sibling(".part"), sibling(".lock"));
        let unusable = |error: std::io::Error| {
            FormatError::io(error)
                .at_path(target)
                .help("the folder of the output must exist and be writable")
        };
        let lock = File::create(&lock_path).map_err(unusable)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            FormatError::new(ErrorKind::Exists, "another run is writing this output")
                .at_path(target)
        })?;
        let staging = Staging { target: target.to_owned(), path, lock, lock_path, overwrite };
        if staging.path.symlink_metadata().is_ok() {
            tracing::warn!(path = %staging.path.display(), "removing what a killed run left behind");
            remove(&staging.path).map_err(unusable)?;
        }
        Ok(staging)
    }

    /// Where to write until it is whole.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the staged file or folder visible under the target's name. A folder that
    /// replaces another is swapped with it in one step where the system can.
    pub(crate) fn publish(&self) -> Result<()> {
        let at = |error: std::io::Error| FormatError::io(error).at_path(&self.target);
        let cwd = rustix::fs::CWD;
        // Refuses, in the same step, a target that appeared while this run was working.
        let fresh =
            rustix::fs::renameat_with(cwd, &self.path, cwd, &self.target, RenameFlags::NOREPLACE);
        match fresh {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::EXIST) if !self.overwrite => return Err(exists(&self.target)),
            Err(rustix::io::Errno::EXIST) => {}
            Err(_) if self.target.symlink_metadata().is_err() => {
                return fs::rename(&self.path, &self.target).map_err(at);
            }
            Err(_) if !self.overwrite => return Err(exists(&self.target)),
            Err(_) => {}
        }
        let both_files = self.path.is_file() && self.target.is_file();
        if both_files {
            return fs::rename(&self.path, &self.target).map_err(at);
        }
        match rustix::fs::renameat_with(cwd, &self.path, cwd, &self.target, RenameFlags::EXCHANGE) {
            Ok(()) => remove(&self.path).map_err(at),
            Err(_) => {
                let old = self.lock_path.with_extension("old");
                fs::rename(&self.target, &old).map_err(at)?;
                fs::rename(&self.path, &self.target).map_err(at)?;
                remove(&old).map_err(at)
            }
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After a publish there is nothing left at the staging path.
        let _ = remove(&self.path);
        let _ = fs::remove_file(&self.lock_path);
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

/// Whether a folder is a Zarr array, which an output may replace, or empty. A group is not:
/// others' arrays may lie in it.
fn is_array(folder: &Path) -> bool {
    let node = fs::read_to_string(folder.join("zarr.json")).ok();
    let node: Option<serde_json::Value> = node.and_then(|text| serde_json::from_str(&text).ok());
    node.is_some_and(|node| node["node_type"] == "array")
        || folder.join(".zarray").is_file()
        || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn exists(target: &Path) -> FormatError {
    FormatError::new(ErrorKind::Exists, "the output exists already")
        .at_path(target)
        .help("choose another name, or ask to overwrite it")
}

fn remove(path: &Path) -> std::io::Result<()> {
    match path.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_swapped_for_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.zarr");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("precious"), "").unwrap();
        let refused = Staging::create(&target, true).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Exists);
        assert!(target.join("precious").exists());
        fs::rename(target.join("precious"), target.join(".zarray")).unwrap();
        assert_eq!(Staging::create(&target, false).unwrap_err().kind(), ErrorKind::Exists);
        let staging = Staging::create(&target, true).unwrap();
        fs::create_dir(staging.path()).unwrap();
        fs::write(staging.path().join("new"), "").unwrap();
        assert_eq!(Staging::create(&target, true).unwrap_err().kind(), ErrorKind::Exists);
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
        let staging = Staging::create(&target, false).unwrap();
        assert!(!staging.path().exists());
        fs::write(staging.path(), "half").unwrap();
        drop(staging);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_target_that_appears_meanwhile_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.fits");
        let staging = Staging::create(&target, false).unwrap();
        fs::write(staging.path(), "mine").unwrap();
        fs::write(&target, "theirs").unwrap();
        assert_eq!(staging.publish().unwrap_err().kind(), ErrorKind::Exists);
        assert_eq!(fs::read_to_string(&target).unwrap(), "theirs");
    }
}
