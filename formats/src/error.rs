//! What can go wrong with a file, said once, where the fact is known.
//!
//! One opaque [`FormatError`]: a kind for programs, and a text for people that names
//! what, where (path, item, chunk), and what to do next. Adapters add the place with
//! [`FormatError::at`] as an error passes through them; the first name wins.

use std::{error::Error, fmt, io, path::Path};

/// The result of everything that touches files.
pub type Result<T, E = FormatError> = std::result::Result<T, E>;

/// What kind of thing went wrong; programs may match on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No such file, folder or item.
    NotFound,
    /// The output is there already and may not be overwritten.
    Exists,
    /// The operating system failed to read or write.
    Io,
    /// The disk, a quota or the container is full, or a file has reached a limit on its size.
    StorageFull,
    /// The bytes are not what the format allows: truncated, empty, inconsistent.
    Corrupt,
    /// Well formed, but something that is not supported.
    Unsupported,
    /// Things that should be alike are not: shapes or dtypes of a stack's files.
    Mismatch,
    /// A size in a file is beyond what may be allocated for it.
    Limit,
    /// A read takes more scratch than it was lent.
    Scratch,
    /// The file changed since it was opened.
    Changed,
    /// The caller asked for something that makes no sense.
    Invalid,
    /// The run was cancelled.
    Cancelled,
}

/// An error of an adapter.
pub struct FormatError(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    place: Option<String>,
    help: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl FormatError {
    /// An error of `kind` that says `message` (lower case, no full stop).
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> FormatError {
        FormatError(Box::new(Inner {
            kind,
            message: message.into(),
            place: None,
            help: None,
            source: None,
        }))
    }

    /// An I/O error, with the kind that its code tells; or what `into_io` made
    /// one of.
    pub fn io(error: io::Error) -> FormatError {
        let error = match error.downcast::<FormatError>() {
            Ok(error) => return error,
            Err(error) => error,
        };
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => ErrorKind::Exists,
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => ErrorKind::StorageFull,
            io::ErrorKind::UnexpectedEof => ErrorKind::Corrupt,
            _ => ErrorKind::Io,
        };
        FormatError::new(kind, error.to_string()).because(error)
    }

    /// The same as an I/O error, to pass through code that knows no other.
    pub(crate) fn into_io(self) -> io::Error {
        io::Error::other(self)
    }

    /// Names the place (a path, `path::item`), unless one is named already.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> FormatError {
        self.0.place.get_or_insert_with(|| place.to_string());
        self
    }

    /// Names the file, unless a place is named already.
    #[must_use]
    pub fn at_path(self, path: &Path) -> FormatError {
        self.at(path.display())
    }

    /// Adds what the user can do next (a line of its own), unless one is there already.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> FormatError {
        self.0.help.get_or_insert(help.into());
        self
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> FormatError {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same may go well a moment later: the operating system failed to read or
    /// write for a reason that passes on networks and busy disks.
    pub fn is_transient(&self) -> bool {
        use io::ErrorKind::{
            ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted,
            NetworkDown, NetworkUnreachable, ResourceBusy, StaleNetworkFileHandle, TimedOut,
            WouldBlock,
        };
        /// What Linux and the BSDs call an error of the device.
        const EIO: i32 = 5;
        if self.0.kind != ErrorKind::Io {
            return false;
        }
        match self.0.source.as_deref().and_then(|source| source.downcast_ref::<io::Error>()) {
            None => true,
            Some(error) => {
                error.raw_os_error() == Some(EIO)
                    || matches!(
                        error.kind(),
                        ConnectionAborted
                            | ConnectionRefused
                            | ConnectionReset
                            | HostUnreachable
                            | Interrupted
                            | NetworkDown
                            | NetworkUnreachable
                            | ResourceBusy
                            | StaleNetworkFileHandle
                            | TimedOut
                            | WouldBlock
                    )
            }
        }
    }

    /// Where it happened, as far as it is known.
    pub fn place(&self) -> Option<&str> {
        self.0.place.as_deref()
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.0.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.0.message)?;
        if let Some(help) = &self.0.help {
            write!(f, "\n  {help}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FormatError({:?}: {self})", self.0.kind)
    }
}

impl Error for FormatError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

impl From<io::Error> for FormatError {
    fn from(error: io::Error) -> FormatError {
        FormatError::io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_does_not() {
        let io = |code| FormatError::io(io::Error::from_raw_os_error(code));
        // EINTR, EIO, EAGAIN, EBUSY; ENOENT, EACCES, EISDIR, ENOSPC.
        assert!([4, 5, 11, 16].into_iter().all(|code| io(code).is_transient()));
        assert!(![2, 13, 21, 28].into_iter().any(|code| io(code).is_transient()));
        assert!(FormatError::io(io::ErrorKind::TimedOut.into()).is_transient());
        assert!(!FormatError::new(ErrorKind::Corrupt, "x").is_transient());
    }
}
