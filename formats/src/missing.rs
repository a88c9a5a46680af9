//! What becomes of what is missing, as a user chooses: files of a stack that are not there or
//! cannot be read, with the tally of these files, and elements that a file marks as undefined.

use crate::error::{ErrorKind, FormatError};
use std::{
    collections::BTreeMap,
    fmt, io,
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What is done where a file of a stack is missing, or cannot be read as one of its kind.
///
/// A file is taken as missing as a whole if it is not there or its header cannot be read,
/// is refused, or tells another dtype or shape than the first good file's. Damage further
/// in makes missing what is read at once: the chunk, as a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Missing {
    /// It is an error that names the file.
    #[default]
    Error,
    /// Its elements are NaN. Only floats have one: a stack of integers is refused.
    Nan,
    /// Its elements are 0 (false), and the stack's mask is true there.
    Mask,
}

impl Missing {
    /// Whether this policy goes on after `error` of a file: a fault of the file, not of the
    /// machine or the caller.
    pub(crate) fn takes(self, error: &FormatError) -> bool {
        /// Linux's and the BSDs' number of the error "input/output error": a bad sector.
        const EIO: i32 = 5;
        self != Missing::Error
            && match error.kind() {
                ErrorKind::NotFound
                | ErrorKind::Corrupt
                | ErrorKind::Unsupported
                | ErrorKind::Mismatch
                | ErrorKind::Limit => true,
                // Too many open files, or a signal, says nothing of the file.
                ErrorKind::Io => std::error::Error::source(error)
                    .and_then(|source| source.downcast_ref::<io::Error>())
                    .is_some_and(|error| {
                        error.kind() == io::ErrorKind::PermissionDenied
                            || error.kind() == io::ErrorKind::NotADirectory
                            || error.raw_os_error() == Some(EIO)
                    }),
                _ => false,
            }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Missing::Error => "error",
            Missing::Nan => "nan",
            Missing::Mask => "mask",
        })
    }
}

impl FromStr for Missing {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Missing, FormatError> {
        [Missing::Error, Missing::Nan, Missing::Mask]
            .into_iter()
            .find(|policy| policy.to_string() == text)
            .ok_or_else(|| {
                let message = format!("{text:?} is no way to treat missing files");
                FormatError::new(ErrorKind::Invalid, message).help("choose error, nan or mask")
            })
    }
}

/// What undefined elements of a FITS image are: pixels of the value BLANK (ZBLANK) in integers,
/// NaN in floats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Blank {
    /// They are NaN: integers that may have some become floats, as in astropy. (Unsigned
    /// integers and `int8` stay as they are.)
    #[default]
    Nan,
    /// They are 0, of the dtype that an image without BLANK has, and the array's mask is true
    /// there.
    Mask,
}

impl Blank {
    /// What [`SourceSpec::options`](crate::source::SourceSpec::options) calls it.
    pub(crate) const OPTION: &'static str = "blank";
}

impl fmt::Display for Blank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Blank::Nan => "nan",
            Blank::Mask => "mask",
        })
    }
}

impl FromStr for Blank {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Blank, FormatError> {
        [Blank::Nan, Blank::Mask].into_iter().find(|blank| blank.to_string() == text).ok_or_else(
            || {
                let message = format!("{text:?} is no way to treat undefined elements");
                FormatError::new(ErrorKind::Invalid, message).help("choose nan or mask")
            },
        )
    }
}

/// The files of a stack that were taken as missing since it was opened, and why.
///
/// A file counts when its elements are first asked for, so a stack of which a part is read
/// counts the files of that part.
#[derive(Debug, Default)]
pub struct MissingFiles {
    /// The number of each file, and the reason for the first [`MissingFiles::REASONS`].
    files: Mutex<BTreeMap<usize, Option<String>>>,
}

impl MissingFiles {
    /// As many reasons are kept.
    pub const REASONS: usize = 5;

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Option<String>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the file with the number `file`.
    pub(crate) fn insert(&self, file: usize, why: &FormatError) {
        let mut files = self.lock();
        let room = files.len() < MissingFiles::REASONS;
        files.entry(file).or_insert_with(|| {
            let text = why.to_string();
            tracing::warn!("taken as missing: {text}");
            room.then(|| text.lines().next().unwrap_or_default().to_owned())
        });
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.lock().len() as u64
    }

    /// What was wrong with some of them, a line each that names the file.
    pub fn reasons(&self) -> Vec<String> {
        self.lock().values().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_files_are_taken_and_no_others() {
        let of = |kind| FormatError::new(kind, "x");
        let io = |code| FormatError::io(io::Error::from_raw_os_error(code));
        assert!(!Missing::Error.takes(&of(ErrorKind::NotFound)));
        assert!(Missing::Nan.takes(&of(ErrorKind::Corrupt)));
        assert!(!Missing::Nan.takes(&of(ErrorKind::Cancelled)));
        assert!(!Missing::Mask.takes(&of(ErrorKind::Changed)));
        let (eio, eacces, emfile) = (5, 13, 24);
        assert!(Missing::Mask.takes(&io(eio)) && Missing::Mask.takes(&io(eacces)));
        assert!(!Missing::Mask.takes(&io(emfile)));
        assert_eq!("nan".parse::<Missing>().unwrap(), Missing::Nan);
        assert!("zero".parse::<Missing>().is_err());
        assert_eq!("mask".parse::<Blank>().unwrap(), Blank::Mask);
        assert!("error".parse::<Blank>().is_err());
    }

    #[test]
    fn files_count_once_and_some_reasons_are_kept() {
        let tally = MissingFiles::default();
        for file in (0..20).chain(0..20) {
            let error = FormatError::new(ErrorKind::Corrupt, "bad").help("more").at(file);
            tally.insert(file, &error);
        }
        assert_eq!(tally.count(), 20);
        assert_eq!(tally.reasons(), ["0: bad", "1: bad", "2: bad", "3: bad", "4: bad"]);
    }
}
