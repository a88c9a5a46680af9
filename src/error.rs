//! The one error of the library: a kind for programs, a text for people.

use freeboard_formats::FormatError;
use std::{fmt, panic::Location, sync::Arc};

/// The result of everything that may fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file, folder or store; with what the adapter says of it.
    Format(freeboard_formats::ErrorKind),
    /// The expression makes no sense: shapes, axes, dtypes.
    Expression,
    /// A formula cannot be read: its grammar, a name, the arguments of a function.
    Formula,
    /// The work cannot fit in the memory it was given.
    Budget,
    /// A function that the user handed in failed or panicked.
    Function,
    /// The session was set up in a way that cannot work.
    Session,
    /// A broken promise of the library itself.
    Internal,
}

/// What went wrong, where, and what to do next. Cheap to clone.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
    at: Option<&'static Location<'static>>,
    source: Option<FormatError>,
}

impl Error {
    /// An error of `kind` that says `message` (lower case, no full stop).
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Arc::new(Inner { kind, message: message.into(), help: None, at: None, source: None }))
    }

    /// A mistake in an expression, made at the line `at`.
    pub(crate) fn expression(message: impl Into<String>, at: &'static Location<'static>) -> Error {
        Error::new(ErrorKind::Expression, message).at(at)
    }

    /// A promise that the library itself broke.
    pub(crate) fn internal(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Internal, message)
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Error {
        match Arc::get_mut(&mut self.0) {
            Some(inner) => change(inner),
            None => {
                let old = &self.0;
                // A source cannot be cloned: a changed copy keeps its text.
                let message = old.source.as_ref().map_or(old.message.clone(), ToString::to_string);
                let mut inner = Inner {
                    kind: old.kind,
                    message,
                    help: old.help.clone(),
                    at: old.at,
                    source: None,
                };
                change(&mut inner);
                self.0 = Arc::new(inner);
            }
        }
        self
    }

    /// Names the user's line, unless one is named already.
    pub(crate) fn at(self, at: &'static Location<'static>) -> Error {
        if self.0.at.is_some() { self } else { self.change(|inner| inner.at = Some(at)) }
    }

    /// Adds what the user can do next, a line of its own.
    pub(crate) fn help(self, help: impl Into<String>) -> Error {
        self.change(|inner| inner.help = Some(help.into()))
    }

    /// What the user can do next, where something was added to what a format said.
    pub fn help_text(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The line of the user's program that made the mistake, where there is one.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.0.at
    }

    /// Whether the run was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.kind == ErrorKind::Format(freeboard_formats::ErrorKind::Cancelled)
    }
}

impl From<FormatError> for Error {
    fn from(error: FormatError) -> Error {
        Error(Arc::new(Inner {
            kind: ErrorKind::Format(error.kind()),
            message: String::new(),
            help: None,
            at: None,
            source: Some(error),
        }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.source {
            Some(source) => write!(f, "{source}")?,
            None => f.write_str(&self.0.message)?,
        }
        // A file's fault is not the line's that read it: only mistakes in code name one.
        if let (Some(at), None) = (self.0.at, &self.0.source) {
            write!(f, " at {}:{}", at.file(), at.line())?;
        }
        if let Some(help) = &self.0.help {
            write!(f, "\n  {help}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().and_then(std::error::Error::source)
    }
}
