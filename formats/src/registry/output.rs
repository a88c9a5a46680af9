//! Outputs: which format writes one, by the ending of its name.

use super::{FORMATS, Registry, extension_of, feature_help, title};
use crate::{
    error::{ErrorKind, FormatError, Result},
    source::{Format, WriteOptions, Writer},
    url,
};
use std::{path::Path, sync::Arc};

/// What writes an array to `path`, or to `PATH::ITEM`, in the format that the ending of the
/// path tells.
///
/// # Errors
/// If the ending is of no known format or of one that is not in this build, or an option is
/// not one of the format's.
pub fn writer(path: &Path, options: &WriteOptions) -> Result<Arc<dyn Writer>> {
    let (path, item) = split_output(path);
    check_overwriting(path, options)?;
    let mut options = options.clone();
    options.item = item.or(options.item);
    Registry(FORMATS).format_to_write(path)?.writer(path, &options)
}

/// The path and the item of an output.
pub fn split_output(path: &Path) -> (&Path, Option<String>) {
    match path.to_str().and_then(|text| text.rsplit_once("::")) {
        Some((path, item)) if !path.is_empty() && !item.is_empty() => {
            (Path::new(path), Some(item.to_owned()))
        }
        _ => (path, None),
    }
}

impl Registry {
    pub(super) fn format_to_write(self, path: &Path) -> Result<&'static dyn Format> {
        let extension = extension_of(path);
        let by_name = |f: &&'static dyn Format| f.extensions().contains(&extension.as_str());
        if let Some(format) = self.0.iter().copied().find(by_name) {
            check_output(path, format)?;
            return Ok(format);
        }
        if let Some(known) = self.left_out(&extension) {
            let message = format!("{} files are not written by this build", known.title);
            return Err(FormatError::new(ErrorKind::Unsupported, message)
                .at_path(path)
                .help(feature_help(known)));
        }
        let message = match extension.is_empty() {
            true => "the output's name has no ending that tells its format".to_owned(),
            false => format!("no format has names that end in .{extension}"),
        };
        let endings: Vec<String> = self
            .0
            .iter()
            .filter(|f| f.is_written())
            .map(|f| format!("{} (.{})", title(*f), f.extensions().join(", .")))
            .collect();
        Err(FormatError::new(ErrorKind::Invalid, message)
            .at_path(path)
            .help(format!("known are {}", endings.join(", "))))
    }
}

/// Refuses a URL as an output of a format that is written to files alone.
fn check_output(path: &Path, format: &'static dyn Format) -> Result<()> {
    if let Some(url) = url::of(path) {
        url::check(url)?;
    }
    match format.is_many_objects() {
        true => Ok(()),
        false => url::check_local(path, title(format)),
    }
}

/// Refuses to overwrite in place what can be replaced in one step.
fn check_overwriting(path: &Path, options: &WriteOptions) -> Result<()> {
    if !options.overwrite_in_place || url::of(path).is_some() {
        return Ok(());
    }
    let message = "only what lies in an object store is overwritten in place";
    Err(FormatError::new(ErrorKind::Invalid, message)
        .at_path(path)
        .help("give --overwrite (`overwrite`): files and folders are replaced in one step"))
}
