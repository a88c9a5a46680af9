//! Opening: from paths to a lazy array.

use crate::{array::Array, error::Result};
use freeboard_formats::registry::{self, OpenOptions};

/// Opens what lies at `location`: `PATH`, `PATH::ITEM`, a folder, a glob, or a file-name
/// pattern with named fields such as `visp/{stokes}_{raster:d}.fits`. One header is read, no
/// element.
///
/// # Errors
/// If nothing is there, it is of no known format or damaged, or several arrays could be meant;
/// the error says what was looked for and what was found.
#[track_caller]
pub fn open(location: impl AsRef<str>) -> Result<Array> {
    open_all([location], &OpenOptions::default())
}

/// Opens several files as one array, stacked along a new first axis, or along several with
/// [`OpenOptions::stacked`]; each location may also be a folder, a glob or a pattern.
///
/// # Errors
/// As for [`open`].
#[track_caller]
pub fn open_all<L: AsRef<str>>(
    locations: impl IntoIterator<Item = L>,
    options: &OpenOptions,
) -> Result<Array> {
    let locations: Vec<String> = locations.into_iter().map(|l| l.as_ref().to_owned()).collect();
    Ok(Array::from_source(registry::open_with(&locations, options)?))
}
