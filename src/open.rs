//! Opening: from paths to a lazy array.

use crate::{
    array::{Array, Chunks, zeros},
    error::Result,
};
use freeboard_formats::registry::{self, Nested, OpenOptions};

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
    Ok(Array::from_source(registry::open_with(&owned(locations), options)?))
}

/// Opens as [`open_all`], and tells which elements are missing: the elements of files that
/// are not there or cannot be read are 0, and true in the second array, which has the shape and
/// chunks of the first. With [`OpenOptions::blank`] and [`Blank::Mask`](crate::Blank::Mask) so are undefined
/// elements of FITS images: of integers those of the value BLANK, of floats NaN.
///
/// # Errors
/// As for [`open_all`].
#[track_caller]
pub fn open_masked<L: AsRef<str>>(
    locations: impl IntoIterator<Item = L>,
    options: &OpenOptions,
) -> Result<(Array, Array<bool>)> {
    let masked = registry::open_masked(&owned(locations), options)?;
    let array = Array::from_source(masked.array);
    let mask = match masked.mask {
        Some(mask) => Array::from_source(mask).typed::<bool>()?,
        None => zeros::<bool>(array.shape()?).rechunk(Chunks::exact(array.chunks()?)),
    };
    Ok((array, mask))
}

/// Opens files that are given in lists of lists: each level is a leading axis, so that
/// `[["I_0.fits", "I_1.fits"], ["Q_0.fits", "Q_1.fits"]]` gives an array of shape (2, 2, …).
/// `None` is a place without a file, if `options` allow for [missing](OpenOptions::missing) ones.
///
/// # Errors
/// As for [`open_all`], and if the lists of one level differ in length.
#[track_caller]
pub fn open_nested(files: impl Into<Nested>, options: &OpenOptions) -> Result<Array> {
    Ok(Array::from_source(registry::open_nested(&files.into(), options)?))
}

fn owned<L: AsRef<str>>(locations: impl IntoIterator<Item = L>) -> Vec<String> {
    locations.into_iter().map(|l| l.as_ref().to_owned()).collect()
}
