//! The old output between two renames, and how it comes back.
//!
//! Where the file system cannot swap two folders in one step, the old output is put aside as
//! `.NAME.old` before the new one gets its name. A run that is killed between the two leaves
//! nothing under the name. Then the old output, which is whole, is given its name back by whoever
//! comes first: the next store, or a reader that looks for it.

use crate::{
    error::{ErrorKind, FormatError, Result},
    lock::Lock,
};
use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// What the name of an old output that is put aside ends with.
pub(crate) const ENDING: &str = ".old";

/// How long the two renames of a live run are waited for: they follow upon each other.
const PATIENCE: Duration = Duration::from_millis(200);

/// The hidden name beside `target` that ends so; none beside a path without a name.
pub(crate) fn sibling(target: &Path, ending: &str) -> Option<PathBuf> {
    let mut hidden = OsString::from(".");
    hidden.push(target.file_name()?);
    hidden.push(ending);
    Some(target.with_file_name(hidden))
}

/// Where the old output of `target` lies between two renames.
fn aside(target: &Path) -> Option<PathBuf> {
    sibling(target, ENDING)
}

/// The output that was put aside under this name, if it is such a name.
pub(crate) fn target_of(aside: &Path) -> Option<PathBuf> {
    let name = aside.file_name()?.as_bytes();
    let name = name.strip_prefix(b".")?.strip_suffix(ENDING.as_bytes())?;
    (!name.is_empty()).then(|| aside.with_file_name(OsStr::from_bytes(name)))
}

/// A glob of the names under which outputs that `glob` matches are put aside.
pub(crate) fn glob_of(glob: &str) -> String {
    let name = glob.rfind('/').map_or(0, |slash| slash + 1);
    format!("{}.{}{ENDING}", &glob[..name], &glob[name..])
}

/// Gives `target`, where nothing is, its old output back, if that was put aside by a run that is
/// no more; whether it did. The caller has the lock.
pub(crate) fn put_back(target: &Path) -> io::Result<bool> {
    match aside(target) {
        Some(aside) if is_there(&aside) && !is_there(target) => {
            fs::rename(&aside, target)?;
            tracing::warn!(path = %target.display(), "an earlier store was killed; its old output is back");
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// The same for a reader who finds nothing at `path`: of it, or of the folder above it that is
/// missing.
///
/// # Errors
/// If it was put aside and does not come back; the error says where it is.
pub(crate) fn restore(path: &Path) -> Result<bool> {
    let mut target = path;
    while let Some(parent) = target.parent().filter(|p| !p.as_os_str().is_empty() && !is_there(p)) {
        target = parent;
    }
    let (Some(aside), Some(lock)) = (aside(target), sibling(target, ".lock")) else {
        return Ok(false);
    };
    if !is_there(&aside) || is_there(target) {
        return Ok(false);
    }
    let stuck = |error: FormatError| {
        error.at_path(target).help(format!(
            "a store that replaced it was stopped on the way: the old output is at {}; \
             rename it, or write the output again",
            aside.display()
        ))
    };
    let pause = PATIENCE / 20;
    for _ in 0..20 {
        match Lock::take(lock.clone()) {
            Ok(Some(_lock)) => {
                return put_back(target).map_err(|error| stuck(FormatError::io(error)));
            }
            // A live run is just between its renames.
            Ok(None) => thread::sleep(pause),
            Err(error) => return Err(stuck(FormatError::io(error))),
        }
        if is_there(target) {
            return Ok(true);
        }
    }
    let message = "nothing is there while another run replaces it";
    Err(stuck(FormatError::new(ErrorKind::NotFound, message)))
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_names_tell_their_outputs() {
        let told = |name: &str| target_of(Path::new(name));
        assert_eq!(told("a/.x.zarr.old"), Some("a/x.zarr".into()));
        assert_eq!(aside(Path::new("a/x.zarr")), Some("a/.x.zarr.old".into()));
        for name in ["a/x.zarr.old", "a/.x.zarr", "..old", ".old", "/"] {
            assert_eq!(told(name), None, "{name}");
        }
        assert_eq!(glob_of("n*/x?.zarr"), "n*/.x?.zarr.old");
        assert_eq!(glob_of("*"), ".*.old");
    }

    #[test]
    fn a_reader_puts_back_what_no_run_will() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        let aside = dir.path().join(".out.old");
        assert!(!restore(&target.join("0.fits")).unwrap());
        fs::create_dir(&aside).unwrap();
        fs::write(aside.join("0.fits"), "").unwrap();

        // While a run is alive it is its own to put back.
        let lock = Lock::take(dir.path().join(".out.lock")).unwrap().unwrap();
        let error = restore(&target).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(".out.old; rename it"), "{error}");
        drop(lock);

        assert!(restore(&target.join("0.fits")).unwrap());
        assert!(target.join("0.fits").exists() && !aside.exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        // One that is replaced already stays hidden.
        fs::create_dir(&aside).unwrap();
        assert!(!restore(&target).unwrap() && !restore(&target.join("1.fits")).unwrap());
        assert!(aside.exists());
    }
}
