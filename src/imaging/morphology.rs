//! Erosion and dilation, of grey and of binary images, and what is made of the two.
//!
//! All are extremes over a footprint. A dilation sees the footprint reversed, so that it
//! spreads each element over it.

use super::{
    edges::Boundary,
    filters::{Footprint, extreme},
    rows::Combine,
};
use crate::{
    array::{Array, Kind, Line, cast, kept, mistake},
    expr::Expr,
    kernel::{self, Binary},
};
use freeboard_formats::DType;
use ndarray::{ArrayD, IxDyn};
use std::panic::Location;

/// The least of the neighbours.
#[track_caller]
pub fn grey_erosion<T: Kind>(
    array: &Array<T>,
    footprint: impl Into<Footprint>,
    boundary: Boundary,
) -> Array<T> {
    eroded(array, &footprint.into(), boundary, Location::caller())
}

/// The greatest of the neighbours that see the element in their footprint.
#[track_caller]
pub fn grey_dilation<T: Kind>(
    array: &Array<T>,
    footprint: impl Into<Footprint>,
    boundary: Boundary,
) -> Array<T> {
    dilated(array, &footprint.into(), boundary, Location::caller())
}

/// The dilation of the erosion: without what is brighter and smaller than the footprint.
#[track_caller]
pub fn grey_opening<T: Kind>(
    array: &Array<T>,
    footprint: impl Into<Footprint>,
    boundary: Boundary,
) -> Array<T> {
    let (footprint, at) = (footprint.into(), Location::caller());
    dilated(&eroded(array, &footprint, boundary, at), &footprint, boundary, at)
}

/// The erosion of the dilation: without what is darker and smaller than the footprint.
#[track_caller]
pub fn grey_closing<T: Kind>(
    array: &Array<T>,
    footprint: impl Into<Footprint>,
    boundary: Boundary,
) -> Array<T> {
    let (footprint, at) = (footprint.into(), Location::caller());
    eroded(&dilated(array, &footprint, boundary, at), &footprint, boundary, at)
}

/// What [`grey_opening`] takes away: what is brighter than around and smaller than the footprint. Of truths, where the two differ.
#[track_caller]
pub fn white_tophat<T: Kind>(
    array: &Array<T>,
    footprint: impl Into<Footprint>,
    boundary: Boundary,
) -> Array<T> {
    let (footprint, at) = (footprint.into(), Location::caller());
    let opened = dilated(&eroded(array, &footprint, boundary, at), &footprint, boundary, at);
    differing(array, &opened, Binary::Xor, at)
}

/// What [`grey_closing`] fills in: what is darker than around and smaller than the footprint. Of truths, where the two differ.
#[track_caller]
pub fn black_tophat<T: Kind>(
    array: &Array<T>,
    footprint: impl Into<Footprint>,
    boundary: Boundary,
) -> Array<T> {
    let (footprint, at) = (footprint.into(), Location::caller());
    let closed = eroded(&dilated(array, &footprint, boundary, at), &footprint, boundary, at);
    differing(&closed, array, Binary::Xor, at)
}

/// The dilation less the erosion: how far the neighbours reach apart; not of truths.
#[track_caller]
pub fn morphological_gradient<T: Kind>(
    array: &Array<T>,
    footprint: impl Into<Footprint>,
    boundary: Boundary,
) -> Array<T> {
    let (footprint, at) = (footprint.into(), Location::caller());
    let greatest = dilated(array, &footprint, boundary, at);
    differing(&greatest, &eroded(array, &footprint, boundary, at), Binary::Subtract, at)
}

/// One array less another of its dtype; of truths what `of_truths` makes of both.
fn differing<T: Kind>(one: &Array<T>, other: &Array<T>, of_truths: Binary, at: Line) -> Array<T> {
    Array::from_expr(kept(at, || {
        let dtype = one.meta()?.dtype;
        let op = if dtype == DType::Bool { of_truths } else { Binary::Subtract };
        op.types(dtype, dtype).map_err(mistake(at))?;
        Ok(Expr::apply(kernel::binary(op, dtype), &[one.expr(), other.expr()], at))
    }))
}

fn eroded<T: Kind>(
    array: &Array<T>,
    footprint: &Footprint,
    boundary: Boundary,
    at: Line,
) -> Array<T> {
    extreme(array, footprint, &Combine::Least, false, boundary, at)
}

fn dilated<T: Kind>(
    array: &Array<T>,
    footprint: &Footprint,
    boundary: Boundary,
    at: Line,
) -> Array<T> {
    extreme(array, footprint, &Combine::Greatest, true, boundary, at)
}

/// A structure of side 3 along each of `rank` axes (20 at most): the centre, and the elements that
/// are beside it along `connectivity` axes at most. 1 are the neighbours that share a face.
pub fn generate_binary_structure(rank: usize, connectivity: usize) -> ArrayD<bool> {
    let sides = vec![3; rank.min(20)];
    ArrayD::from_shape_fn(IxDyn(&sides), |at: IxDyn| {
        let steps = sides.iter().enumerate().filter(|&(axis, _)| at[axis] != 1).count();
        steps <= connectivity.max(1)
    })
}

/// The cross of all neighbours that share a face.
fn cross<T: Kind>(array: &Array<T>) -> Footprint {
    Footprint::from(&generate_binary_structure(array.rank().unwrap_or(1), 1))
}

/// An erosion or a dilation.
type Step = fn(&Array<bool>, &Footprint, Boundary, Line) -> Array<bool>;

/// `steps` of what is not 0, `iterations` times.
fn repeated<T: Kind>(
    array: &Array<T>,
    structure: Option<Footprint>,
    iterations: usize,
    at: Line,
    steps: &[Step],
    border: bool,
) -> Array<bool> {
    Array::from_expr(kept(at, || {
        const MOST: usize = 10_000;
        if !(1..=MOST).contains(&iterations) {
            let message = format!("{iterations} iterations; 1 to {MOST} are possible");
            return Err(mistake(at)(message));
        }
        array.meta()?;
        let structure = structure.unwrap_or_else(|| cross(array));
        let mut image = Array::<bool>::from_expr(cast(array.expr(), DType::Bool, at));
        let boundary = Boundary::Constant(f64::from(u8::from(border)));
        for step in steps {
            for _ in 0..iterations {
                image = step(&image, &structure, boundary, at);
            }
        }
        Ok(image.expr().clone())
    }))
}

/// Where all of the structure lies in the image, which is what is not 0; beyond its edge is
/// `border`. The structure is a cross if none is given.
#[track_caller]
pub fn binary_erosion<T: Kind>(
    array: &Array<T>,
    structure: Option<Footprint>,
    iterations: usize,
    border: bool,
) -> Array<bool> {
    repeated(array, structure, iterations, Location::caller(), &[eroded], border)
}

/// Where the structure, put on the elements of the image, reaches.
#[track_caller]
pub fn binary_dilation<T: Kind>(
    array: &Array<T>,
    structure: Option<Footprint>,
    iterations: usize,
    border: bool,
) -> Array<bool> {
    repeated(array, structure, iterations, Location::caller(), &[dilated], border)
}

/// The dilation of the erosion: without what the structure does not fit into.
#[track_caller]
pub fn binary_opening<T: Kind>(
    array: &Array<T>,
    structure: Option<Footprint>,
    iterations: usize,
) -> Array<bool> {
    repeated(array, structure, iterations, Location::caller(), &[eroded, dilated], false)
}

/// The erosion of the dilation: with the holes filled that the structure does not fit into.
#[track_caller]
pub fn binary_closing<T: Kind>(
    array: &Array<T>,
    structure: Option<Footprint>,
    iterations: usize,
) -> Array<bool> {
    repeated(array, structure, iterations, Location::caller(), &[dilated, eroded], false)
}
