//! Waiting for requests from threads that know nothing of futures, and telling why one failed.

use super::bucket::{Bucket, one_line};
use crate::error::{ErrorKind, FormatError};
use object_store::Error;
use std::{io, sync::OnceLock};
use tokio::runtime::{Builder, Runtime};

/// Threads that move bytes for all who wait.
const THREADS: usize = 2;

/// The longest part of a server's own words that is repeated.
const MAX_WORDS: usize = 300;

/// The runtime that moves bytes; begun with the first request, and kept.
fn runtime() -> Result<&'static Runtime, Error> {
    static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(THREADS).thread_name("object-store").enable_all().build()
    });
    made.as_ref().map_err(|e| Error::Generic { store: "client", source: e.to_string().into() })
}

/// Waits for a request. The thread polls it itself, so that it may borrow buffers; and it may
/// be a thread of another runtime, in which tokio's own `block_on` would panic.
pub(super) fn wait<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let _entered = runtime()?.enter();
    crate::wait::wait(|| pollster::block_on(request))
}

/// `None` of what is not there.
pub(super) fn unless_absent<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        // Without a bucket, no object is known to be missing from it.
        Err(error @ Error::NotFound { .. }) if is_bucket_missing(&error) => Err(error),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_bucket_missing(error: &Error) -> bool {
    error.to_string().contains("NoSuchBucket")
}

/// Whether a server refused to say.
pub(super) fn is_denied(error: &Error) -> bool {
    matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. })
        || matches!(status_in(&error.to_string()), Some(401 | 403))
}

/// What is said of a request for `name` that failed: what was asked for, what came, what to do.
pub(super) fn failed(bucket: &Bucket, name: &str, doing: &str, error: Error) -> FormatError {
    let text = error.to_string();
    let words = words_of(&text);
    let (kind, message, help) = match &error {
        _ if is_bucket_missing(&error) => (
            ErrorKind::NotFound,
            "there is no such bucket".to_owned(),
            Some("check its name, and, of a server of your own, AWS_ENDPOINT_URL".to_owned()),
        ),
        _ if is_denied(&error) => {
            (ErrorKind::Io, format!("{doing}: access denied ({words})"), Some(rights(bucket)))
        }
        Error::NotFound { .. } => (ErrorKind::NotFound, "no such object".to_owned(), None),
        Error::AlreadyExists { .. } => (ErrorKind::Exists, "it exists already".to_owned(), None),
        Error::Precondition { .. } => (
            ErrorKind::Changed,
            "the object changed since it was first read".to_owned(),
            Some("open it again, once nothing writes to it".to_owned()),
        ),
        Error::NotSupported { .. } | Error::NotImplemented { .. } => {
            (ErrorKind::Unsupported, format!("{doing}: the server cannot: {words}"), None)
        }
        _ if text.contains("redirect without LOCATION") => (
            ErrorKind::Io,
            format!("{doing}: the bucket lies in another region"),
            Some("name it: AWS_REGION".to_owned()),
        ),
        _ if text.contains("non-partial response") => (
            ErrorKind::Unsupported,
            format!("{doing}: the server sends whole files only (no range requests)"),
            Some("copy the file, or use another server".to_owned()),
        ),
        _ => {
            // What lies beneath says more: that nobody answers, or who is not trusted.
            let cause = one_line(&cause_of(&error));
            let is_distrusted = cause.contains("certificate");
            let words = if words.contains(&cause) { words } else { format!("{words}: {cause}") };
            let help =
                "name a file with the certificate of who vouches for the server: SSL_CERT_FILE";
            (
                ErrorKind::Io,
                format!("{doing} failed: {words}"),
                is_distrusted.then(|| help.to_owned()),
            )
        }
    };
    // As an I/O error of no kind that passes: all that may have been tried again was.
    let error = FormatError::new(kind, message).because(io::Error::other(error)).at(name);
    match help {
        Some(help) => error.help(help),
        None => error,
    }
}

/// What the innermost of the errors that led to this one says.
fn cause_of(error: &Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// What to do where access is denied.
fn rights(bucket: &Bucket) -> String {
    let variables = match bucket.scheme.as_str() {
        "s3" => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        "gs" => "GOOGLE_APPLICATION_CREDENTIALS",
        _ => return "the server wants credentials, which cannot be given over http".to_owned(),
    };
    match bucket.is_anonymous {
        true => format!("it was asked for without credentials: set {variables}"),
        false => "the credentials of the environment do not allow it, or there is no such object \
                  and they do not allow to see that (ListBucket)"
            .to_owned(),
    }
}

/// The status that an answer had.
fn status_in(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// The words that matter of what `object_store` says: the server's own code and message where
/// it gave them, else what is behind the request's description.
fn words_of(text: &str) -> String {
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        let (inner, _) = rest.split_once(&format!("</{name}>"))?;
        (!inner.is_empty()).then_some(inner)
    };
    let words = match (element("Code"), element("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => {
            let generic =
                text.strip_prefix("Generic ").and_then(|text| text.split_once(" error: "));
            let text = text.rsplit_once(" - ").or(generic).map_or(text, |(_, rest)| rest);
            text.strip_prefix("Server returned non-2xx status code: ").unwrap_or(text).to_owned()
        }
    };
    let words = one_line(&words);
    let words = words.trim_end_matches([':', ' ']);
    match words.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_answer_the_words_that_matter_are_told() {
        let text = "Object at location x not found: Error performing GET http://h/x in 2ms - \
                    Server returned non-2xx status code: 403 Forbidden: <Error><Code>AccessDenied\
                    </Code><Message>no\n way</Message></Error>";
        assert_eq!(words_of(text), "AccessDenied: no way");
        assert_eq!(status_in(text), Some(403));
        let text = "Generic S3 error: Error performing GET http://h/x in 2ms - Server returned \
                    non-2xx status code: 503 Service Unavailable: ";
        assert_eq!(words_of(text), "503 Service Unavailable");
        assert!(words_of(&"é".repeat(1000)).chars().count() <= MAX_WORDS + 1);
    }
}
