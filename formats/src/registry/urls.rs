//! Locations that are URLs: which format lies behind one.

use super::{KNOWN, Registry, extension_of, head_of};
use crate::{error::Result, source::Format};
use std::path::Path;

impl Registry {
    /// The format of what lies behind a URL: a file's by how it begins, as on disk, where its
    /// name ends as a file's; all else is taken for a hierarchy of objects, of which there need
    /// not be one of that very name.
    pub(super) fn format_behind_url(self, path: &Path) -> Result<&'static dyn Format> {
        let hierarchy = self.0.iter().copied().find(|format| format.is_many_objects());
        let ending = match extension_of(path).as_str() {
            "gz" => extension_of(Path::new(path.file_stem().unwrap_or_default())),
            ending => ending.to_owned(),
        };
        let is_hierarchy = |name| hierarchy.is_some_and(|format| format.name() == name);
        let mut files = KNOWN.iter().filter(|known| !is_hierarchy(known.name));
        if let (Some(format), false) =
            (hierarchy, files.any(|known| known.extensions.contains(&&*ending)))
        {
            return Ok(format);
        }
        let head = head_of(path)?;
        let found = self.0.iter().copied().find(|format| format.recognises(path, &head));
        found.ok_or_else(|| self.unknown("file", path))
    }
}
