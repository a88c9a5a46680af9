//! Filters along a single axis, by their names in `scipy.ndimage`.

use super::{
    edges::Boundary,
    filters::{Gaussian, along_axes, centred, checked, mean, weighed},
    rows::Combine,
};
use crate::array::{Array, Kind, Line, axis_of};
use std::panic::Location;

/// Smoothed by a Gaussian, or its derivative, along one axis; of the Gaussian's numbers the first are taken.
#[track_caller]
pub fn gaussian_filter1d<T: Kind>(
    array: &Array<T>,
    gaussian: impl Into<Gaussian>,
    axis: i64,
    boundary: Boundary,
) -> Array<T> {
    let gaussian = gaussian.into();
    along_axes(array, boundary, Location::caller(), |rank| gaussian.single(axis_of(axis, rank)?))
}

/// Sums of neighbours along one axis, each times its weight.
#[track_caller]
pub fn correlate1d<T: Kind>(
    array: &Array<T>,
    weights: &[f64],
    axis: i64,
    boundary: Boundary,
) -> Array<T> {
    along_axes(array, boundary, Location::caller(), |rank| {
        let axis = axis_of(axis, rank)?;
        match weights {
            [] => Err("no weights".into()),
            _ => Ok(vec![weighed(axis, weights.to_vec())]),
        }
    })
}

/// [`correlate1d`] with the weights in reverse.
#[track_caller]
pub fn convolve1d<T: Kind>(
    array: &Array<T>,
    weights: &[f64],
    axis: i64,
    boundary: Boundary,
) -> Array<T> {
    along_axes(array, boundary, Location::caller(), |rank| {
        let mut pass = match weights {
            [] => return Err("no weights".into()),
            _ => weighed(axis_of(axis, rank)?, weights.iter().rev().copied().collect()),
        };
        pass.before = (pass.size - 1) / 2;
        Ok(vec![pass])
    })
}

/// The means of `size` neighbours along one axis.
#[track_caller]
pub fn uniform_filter1d<T: Kind>(
    array: &Array<T>,
    size: usize,
    axis: i64,
    boundary: Boundary,
) -> Array<T> {
    along_axes(array, boundary, Location::caller(), |rank| {
        let axis = axis_of(axis, rank)?;
        Ok(vec![mean(axis, some(size)?)?])
    })
}

/// The least of `size` neighbours along one axis.
#[track_caller]
pub fn minimum_filter1d<T: Kind>(
    array: &Array<T>,
    size: usize,
    axis: i64,
    boundary: Boundary,
) -> Array<T> {
    extreme(array, size, axis, boundary, Combine::Least, Location::caller())
}

/// The greatest of `size` neighbours along one axis.
#[track_caller]
pub fn maximum_filter1d<T: Kind>(
    array: &Array<T>,
    size: usize,
    axis: i64,
    boundary: Boundary,
) -> Array<T> {
    extreme(array, size, axis, boundary, Combine::Greatest, Location::caller())
}

fn extreme<T: Kind>(
    array: &Array<T>,
    size: usize,
    axis: i64,
    boundary: Boundary,
    combine: Combine,
    at: Line,
) -> Array<T> {
    along_axes(array, boundary, at, |rank| {
        let axis = axis_of(axis, rank)?;
        Ok(vec![centred(axis, checked(some(size)?)?, combine)])
    })
}

/// A size that is not 0.
fn some(size: usize) -> Result<usize, String> {
    if size == 0 { Err("a filter of no elements".into()) } else { Ok(size) }
}
