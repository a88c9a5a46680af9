//! Locations that are URLs: told from paths, and refused where nothing here can open them.
//!
//! A URL is held in a [`Path`] as it was given: it has a name, an ending and a parent as a path
//! has, and only who opens it must know.

use crate::error::{ErrorKind, FormatError, Result};
use std::path::Path;

/// The schemes that the feature `remote` opens.
const SCHEMES: [&str; 4] = ["s3", "gs", "https", "http"];

/// The text of a location that is a URL: letters and digits, then `://`.
pub(crate) fn of(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let (scheme, _) = text.split_once("://")?;
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|c| c.is_ascii_alphanumeric());
    is_scheme.then_some(text)
}

/// Refuses a URL as an output of what is written to files alone.
///
/// # Errors
/// [`ErrorKind::Unsupported`], with what to do.
pub(crate) fn check_local(path: &Path, what: &str) -> Result<()> {
    match of(path) {
        None => Ok(()),
        Some(url) => {
            let message = format!("{what} is written to local files only");
            Err(FormatError::new(ErrorKind::Unsupported, message)
                .at(url)
                .help("to object stores, Zarr (.zarr) is written"))
        }
    }
}

/// Refuses URLs that this build cannot open.
///
/// # Errors
/// [`ErrorKind::Unsupported`], with what to do.
pub(crate) fn check(url: &str) -> Result<()> {
    let refused = |message: &str| FormatError::new(ErrorKind::Unsupported, message).at(url);
    let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
    if !SCHEMES.contains(&scheme) {
        return Err(refused("no such kind of URL")
            .help(format!("known are {}", SCHEMES.map(|s| format!("{s}://")).join(", "))));
    }
    if !cfg!(feature = "remote") {
        return Err(refused(
            "this freeboard was built without the feature `remote`, which reads URLs",
        )
        .help("build it with: cargo install --path . --features remote"));
    }
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() {
        return Err(
            FormatError::new(ErrorKind::Invalid, "the URL names no bucket or server").at(url)
        );
    }
    if rest.contains(['?', '#']) || host.contains('@') {
        let message = "URLs with queries, fragments or passwords are not opened";
        return Err(refused(message).help("credentials are taken from the environment"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_paths() {
        let is_url = |text: &str| of(Path::new(text)).is_some();
        assert!(is_url("s3://bucket/x.zarr") && is_url("ftp://host/x"));
        assert!(!is_url("/data/x.fits") && !is_url("a b://c") && !is_url("://c"));
    }

    #[test]
    fn what_is_not_opened_says_why() {
        let text = |url: &str| check(url).unwrap_err().to_string();
        assert!(text("ftp://host/x").contains("known are s3://, gs://, https://, http://"));
        match cfg!(feature = "remote") {
            false => assert_eq!(
                text("s3://bucket/x.zarr"),
                "s3://bucket/x.zarr: this freeboard was built without the feature `remote`, which \
                 reads URLs\n  build it with: cargo install --path . --features remote"
            ),
            true => {
                assert!(check("s3://bucket/x.zarr").is_ok());
                assert!(text("https:///x").contains("no bucket or server"));
                assert!(text("https://host/x?y=1").contains("queries"));
            }
        }
    }
}
