//! The filters by their names: what each weighs, along which axes, as `scipy.ndimage` does it.

use super::{
    edges::{Boundary, Halo},
    footprint::Neighbours,
    lines::{Lines, Pass},
    rows::Combine,
};
use crate::{
    array::{Array, Kind, Line, kept, mistake},
    expr::Expr,
    kernel::BlockKernel,
};
use freeboard_formats::{Dims, Meta, Region, region::Coordinates};
use ndarray::{ArrayBase, Data, Dimension};
use std::{panic::Location, sync::Arc};

/// `values` for `rank` axes: one each, or one for all.
pub(super) fn each_axis<V: Copy>(values: &[V], rank: usize, what: &str) -> Result<Vec<V>, String> {
    match *values {
        [value] => Ok(vec![value; rank]),
        _ if values.len() == rank => Ok(values.to_vec()),
        _ => Err(format!("{} {what} for an array of {rank} axes", values.len())),
    }
}

/// The array that `kernel` makes block by block of `expr` with `halo` around its blocks.
fn made(
    expr: &Expr,
    meta: &Meta,
    halo: &Halo,
    kernel: impl BlockKernel + 'static,
    at: Line,
) -> crate::Result<Expr> {
    let input = halo.input(expr, at)?;
    Ok(Expr::block(Arc::new(kernel), [input], meta.clone(), at))
}

/// A filter that `build` tells of the array's rank: along axes, one after the other.
pub(super) fn along_axes<T: Kind>(
    array: &Array<T>,
    boundary: Boundary,
    at: Line,
    build: impl FnOnce(usize) -> Result<Vec<Pass>, String>,
) -> Array<T> {
    Array::from_expr(kept(at, || {
        let meta = array.meta()?;
        let passes = build(meta.grid.rank()).map_err(mistake(at))?;
        let halo = there_is(boundary).and_then(|()| {
            let mut sides = vec![(0, 0); meta.grid.rank()];
            for pass in &passes {
                sides[pass.axis] = (pass.before as u64, (pass.size - 1 - pass.before) as u64);
            }
            Halo::new(meta, boundary, &sides)
        });
        let halo = halo.map_err(mistake(at))?;
        let lines = Lines { dtype: meta.dtype, passes, halo: halo.clone() };
        made(array.expr(), meta, &halo, lines, at)
    }))
}

fn there_is(boundary: Boundary) -> Result<(), String> {
    match boundary {
        Boundary::None => {
            Err("a filter needs elements beyond the edge: Boundary::Reflect, …".into())
        }
        _ => Ok(()),
    }
}

/// The most elements of a window or a footprint.
const MOST: usize = 1 << 20;

/// A number of elements, before anything is allocated for them.
pub(super) fn checked(size: usize) -> Result<usize, String> {
    match size <= MOST {
        true => Ok(size),
        false => Err(format!("a neighbourhood of {size} elements; {MOST} at the most")),
    }
}

/// A pass of a window of `size`, its centre in the middle, or behind it of an even one.
pub(super) fn centred(axis: usize, size: usize, combine: Combine) -> Pass {
    Pass { axis, size, before: size / 2, combine }
}

/// A pass of weights, as correlations take them.
pub(super) fn weighed(axis: usize, weights: Vec<f64>) -> Pass {
    centred(axis, weights.len(), Combine::line(weights))
}

/// A filter over the places of a box where `is_in` says so, in C order; of an even side the centre is
/// behind the middle.
fn over<T: Kind>(
    array: &Array<T>,
    boundary: Boundary,
    at: Line,
    sides: &[usize],
    before: &[usize],
    is_in: impl Fn(usize) -> bool,
    combine: Combine,
) -> Array<T> {
    Array::from_expr(kept(at, || {
        let meta = array.meta()?;
        let rank = meta.grid.rank();
        let halo = there_is(boundary).and_then(|()| {
            if sides.len() != rank || rank == 0 {
                return Err(format!("a footprint of {} axes for an array of {rank}", sides.len()));
            }
            let around = |(&side, &before): (&usize, &usize)| match side {
                0 => Err("a footprint of no elements".to_owned()),
                _ => Ok((before as u64, (side - 1 - before) as u64)),
            };
            let around: Result<Vec<_>, _> = sides.iter().zip(before).map(around).collect();
            Halo::new(meta, boundary, &around?)
        });
        let halo = halo.map_err(mistake(at))?;
        let shape: Dims = sides.iter().map(|&side| side as u64).collect();
        let places = Coordinates::of(Region::whole(&shape)).enumerate();
        let places = places.filter(|(number, _)| is_in(*number)).map(|(_, place)| place).collect();
        made(array.expr(), meta, &halo.clone(), Neighbours { places, combine, halo }, at)
    }))
}

/// The middle of a box, behind it of even sides.
fn middle(sides: &[usize]) -> Vec<usize> {
    sides.iter().map(|side| side / 2).collect()
}

/// The middle of a box whose places are reversed: before it of even sides.
pub(super) fn middle_reversed(sides: &[usize]) -> Vec<usize> {
    sides.iter().map(|side| side.saturating_sub(1) / 2).collect()
}

/// A Gaussian: its standard deviation in elements, one for each axis or one for all; `1.5` and
/// `[0.0, 3.0, 3.0]` are ones too. An axis with 0 is left as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussian {
    sigma: Vec<f64>,
    order: Vec<usize>,
    truncate: f64,
}

impl From<f64> for Gaussian {
    fn from(sigma: f64) -> Gaussian {
        Gaussian::from(vec![sigma])
    }
}

impl<const N: usize> From<[f64; N]> for Gaussian {
    fn from(sigma: [f64; N]) -> Gaussian {
        Gaussian::from(sigma.to_vec())
    }
}

impl From<Vec<f64>> for Gaussian {
    fn from(sigma: Vec<f64>) -> Gaussian {
        Gaussian { sigma, order: vec![0], truncate: 4.0 }
    }
}

impl Gaussian {
    /// The derivative of this order along each axis, or along all.
    #[must_use]
    pub fn order(mut self, order: impl Into<Vec<usize>>) -> Gaussian {
        self.order = order.into();
        self
    }

    /// After how many standard deviations it ends; 4 if not said.
    #[must_use]
    pub fn truncate(mut self, truncate: f64) -> Gaussian {
        self.truncate = truncate;
        self
    }

    pub(super) fn passes(&self, rank: usize) -> Result<Vec<Pass>, String> {
        let sigmas = each_axis(&self.sigma, rank, "standard deviations")?;
        let orders = each_axis(&self.order, rank, "orders of derivatives")?;
        let axes = sigmas.into_iter().zip(orders).enumerate();
        let axes = axes.filter(|(_, (sigma, _))| sigma.is_nan() || *sigma > 1e-15 || *sigma < 0.0);
        axes.map(|(axis, (sigma, order))| self.pass(axis, sigma, order)).collect()
    }

    /// The pass along one axis, of the first of its numbers.
    pub(super) fn single(&self, axis: usize) -> Result<Vec<Pass>, String> {
        let (&[sigma, ..], &[order, ..]) = (&self.sigma[..], &self.order[..]) else {
            return Err("a Gaussian without a standard deviation or an order".into());
        };
        Ok(vec![self.pass(axis, sigma, order)?])
    }

    fn pass(&self, axis: usize, sigma: f64, order: usize) -> Result<Pass, String> {
        let radius = (self.truncate * sigma + 0.5).trunc();
        if !(sigma > 0.0 && (0.0..=1e6).contains(&radius) && order <= 16) {
            return Err(format!(
                "a Gaussian of standard deviation {sigma}, truncated at {} of them, order {order}",
                self.truncate
            ));
        }
        let mut weights = gaussian_weights(sigma, order, radius as i64);
        weights.reverse();
        Ok(weighed(axis, weights))
    }
}

/// A sampled Gaussian of sum 1, or its derivative: the polynomial that the derivative is times of the
/// Gaussian follows from the one of the order below.
fn gaussian_weights(sigma: f64, order: usize, radius: i64) -> Vec<f64> {
    let variance = sigma * sigma;
    let places = || (-radius..=radius).map(|x| x as f64);
    let phi: Vec<f64> = places().map(|x| (-0.5 / variance * (x * x)).exp()).collect();
    let sum: f64 = phi.iter().sum();
    let mut polynomial = vec![0.0; order + 1];
    polynomial[0] = 1.0;
    for _ in 0..order {
        let derived = |power: usize| {
            let inner = polynomial.get(power + 1).map_or(0.0, |c| (power + 1) as f64 * c);
            inner - if power > 0 { polynomial[power - 1] / variance } else { 0.0 }
        };
        polynomial = (0..=order).map(derived).collect();
    }
    let value = |x: f64| polynomial.iter().rev().fold(0.0, |sum, c| sum * x + c);
    places().zip(phi).map(|(x, phi)| value(x) * (phi / sum)).collect()
}

/// Smoothed by a Gaussian, or its derivatives, along all axes.
/// ```
/// use freeboard::{array::ones, imaging::{Boundary, Gaussian, gaussian_filter}};
///
/// let frames = ones::<f32>([10, 64, 64]);
/// let smooth = gaussian_filter(&frames, [0.0, 3.0, 3.0], Boundary::Reflect);
/// let slopes = gaussian_filter(&frames, Gaussian::from(2.0).order([0, 0, 1]), Boundary::Nearest);
/// assert_eq!((smooth + slopes).shape()?, [10, 64, 64]);
/// # Ok::<(), freeboard::Error>(())
/// ```
#[track_caller]
pub fn gaussian_filter<T: Kind>(
    array: &Array<T>,
    gaussian: impl Into<Gaussian>,
    boundary: Boundary,
) -> Array<T> {
    let gaussian = gaussian.into();
    along_axes(array, boundary, Location::caller(), |rank| gaussian.passes(rank))
}

/// Sums of neighbours, each times its weight; `weights` has as many axes as the array.
#[track_caller]
pub fn correlate<T: Kind, S: Data<Elem = f64>, D: Dimension>(
    array: &Array<T>,
    weights: &ArrayBase<S, D>,
    boundary: Boundary,
) -> Array<T> {
    let values: Vec<f64> = weights.iter().copied().collect();
    let sides = weights.shape();
    correlated(array, boundary, Location::caller(), &values, sides, &middle(sides))
}

/// [`correlate`] with the weights in reverse along all axes.
#[track_caller]
pub fn convolve<T: Kind, S: Data<Elem = f64>, D: Dimension>(
    array: &Array<T>,
    weights: &ArrayBase<S, D>,
    boundary: Boundary,
) -> Array<T> {
    let mut values: Vec<f64> = weights.iter().copied().collect();
    values.reverse();
    let sides = weights.shape();
    correlated(array, boundary, Location::caller(), &values, sides, &middle_reversed(sides))
}

fn correlated<T: Kind>(
    array: &Array<T>,
    boundary: Boundary,
    at: Line,
    weights: &[f64],
    sides: &[usize],
    before: &[usize],
) -> Array<T> {
    let is_in = |number: usize| weights[number].abs() > f64::EPSILON;
    let some = weights.iter().copied().filter(|weight| weight.abs() > f64::EPSILON).collect();
    over(array, boundary, at, sides, before, is_in, Combine::Weigh(some, 1.0))
}

/// Which neighbours a filter sees: a box of `3` along each axis, of `[1, 3, 3]`, or those that
/// are true in an array of `bool`. The centre is in the middle, behind it of even sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    sides: Vec<usize>,
    /// Which places are in, if not all, in C order.
    mask: Option<Vec<bool>>,
}

impl From<usize> for Footprint {
    fn from(side: usize) -> Footprint {
        Footprint { sides: vec![side], mask: None }
    }
}

impl<const N: usize> From<[usize; N]> for Footprint {
    fn from(sides: [usize; N]) -> Footprint {
        Footprint { sides: sides.to_vec(), mask: None }
    }
}

impl From<Vec<usize>> for Footprint {
    fn from(sides: Vec<usize>) -> Footprint {
        Footprint { sides, mask: None }
    }
}

impl<S: Data<Elem = bool>, D: Dimension> From<&ArrayBase<S, D>> for Footprint {
    fn from(mask: &ArrayBase<S, D>) -> Footprint {
        let sides = mask.shape().to_vec();
        Footprint { sides, mask: Some(mask.iter().copied().collect()) }
    }
}

/// A footprint for an array of so many axes.
pub(super) struct Resolved {
    pub(super) sides: Vec<usize>,
    pub(super) mask: Vec<bool>,
}

impl Footprint {
    pub(super) fn resolve(&self, rank: usize) -> Result<Resolved, String> {
        let (sides, mask) = match &self.mask {
            Some(mask) => (self.sides.clone(), mask.clone()),
            None => {
                let sides = each_axis(&self.sides, rank, "sides of a footprint")?;
                let volume = sides.iter().fold(1usize, |volume, &side| volume.saturating_mul(side));
                (sides, vec![true; checked(volume)?])
            }
        };
        match mask.contains(&true) && sides.len() == rank && rank > 0 {
            true => Ok(Resolved { sides, mask }),
            false => Err(format!(
                "a footprint of shape {sides:?}, with {} elements, for an array of {rank} axes",
                mask.iter().filter(|&&is_in| is_in).count()
            )),
        }
    }
}

impl Resolved {
    /// As it is seen from the neighbours: reversed along all axes.
    pub(super) fn reversed(mut self) -> Resolved {
        self.mask.reverse();
        self
    }
}

/// The extreme of the neighbours, along axes one after the other where they are a box.
pub(super) fn extreme<T: Kind>(
    array: &Array<T>,
    footprint: &Footprint,
    combine: &Combine,
    is_reversed: bool,
    boundary: Boundary,
    at: Line,
) -> Array<T> {
    Array::from_expr(kept(at, || {
        let rank = array.meta()?.grid.rank();
        // A box of one side is one of an array without axes too.
        if rank == 0 && footprint.mask.is_none() {
            return Ok(array.expr().clone());
        }
        let mut found = footprint.resolve(rank).map_err(mistake(at))?;
        let before = match is_reversed {
            true => {
                found = found.reversed();
                middle_reversed(&found.sides)
            }
            false => middle(&found.sides),
        };
        let array = match found.mask.contains(&false) {
            false => along_axes(array, boundary, at, |_| {
                let axes = found.sides.iter().zip(before).enumerate();
                let axes = axes.filter(|(_, (side, _))| **side > 1);
                let pass =
                    |(axis, (&size, before))| Pass { axis, size, before, combine: combine.clone() };
                Ok(axes.map(pass).collect())
            }),
            true => over(
                array,
                boundary,
                at,
                &found.sides,
                &before,
                |number| found.mask[number],
                combine.clone(),
            ),
        };
        Ok(array.expr().clone())
    }))
}

/// The means of boxes.
#[track_caller]
pub fn uniform_filter<T: Kind>(
    array: &Array<T>,
    size: impl Into<Vec<usize>>,
    boundary: Boundary,
) -> Array<T> {
    let size = size.into();
    along_axes(array, boundary, Location::caller(), |rank| {
        let sizes = each_axis(&size, rank, "sides of a box")?;
        let axes = sizes.into_iter().enumerate().filter(|&(_, size)| size > 1);
        axes.map(|(axis, size)| mean(axis, size)).collect()
    })
}

/// The pass that makes means of `size` elements.
pub(super) fn mean(axis: usize, size: usize) -> Result<Pass, String> {
    let size = checked(size)?;
    Ok(centred(axis, size, Combine::Weigh(vec![1.0; size], size as f64)))
}

/// The least of the neighbours.
#[track_caller]
pub fn minimum_filter<T: Kind>(
    array: &Array<T>,
    footprint: impl Into<Footprint>,
    boundary: Boundary,
) -> Array<T> {
    extreme(array, &footprint.into(), &Combine::Least, false, boundary, Location::caller())
}

/// The greatest of the neighbours.
#[track_caller]
pub fn maximum_filter<T: Kind>(
    array: &Array<T>,
    footprint: impl Into<Footprint>,
    boundary: Boundary,
) -> Array<T> {
    extreme(array, &footprint.into(), &Combine::Greatest, false, boundary, Location::caller())
}

/// The neighbour that `rank` says of how many there are.
fn ranked<T: Kind>(
    array: &Array<T>,
    footprint: &Footprint,
    boundary: Boundary,
    at: Line,
    rank: impl FnOnce(usize) -> Result<usize, String>,
) -> Array<T> {
    Array::from_expr(kept(at, || {
        let found = footprint.resolve(array.meta()?.grid.rank()).map_err(mistake(at))?;
        let count = found.mask.iter().filter(|&&is_in| is_in).count();
        let array = match rank(count).map_err(mistake(at))? {
            0 => extreme(array, footprint, &Combine::Least, false, boundary, at),
            last if last == count - 1 => {
                extreme(array, footprint, &Combine::Greatest, false, boundary, at)
            }
            rank => {
                let before = middle(&found.sides);
                over(
                    array,
                    boundary,
                    at,
                    &found.sides,
                    &before,
                    |number| found.mask[number],
                    Combine::Rank(rank),
                )
            }
        };
        Ok(array.expr().clone())
    }))
}

/// The neighbour of this rank among those sorted, from 0; negative ones count from the greatest.
#[track_caller]
pub fn rank_filter<T: Kind>(
    array: &Array<T>,
    rank: i64,
    footprint: impl Into<Footprint>,
    boundary: Boundary,
) -> Array<T> {
    ranked(array, &footprint.into(), boundary, Location::caller(), |count| {
        let place = if rank < 0 { rank.saturating_add(count as i64) } else { rank };
        match usize::try_from(place) {
            Ok(place) if place < count => Ok(place),
            _ => Err(format!("rank {rank} among {count} neighbours")),
        }
    })
}

/// The neighbour at a percentile among those sorted, the one below where it lies between two;
/// negative ones count from 100.
#[track_caller]
pub fn percentile_filter<T: Kind>(
    array: &Array<T>,
    percentile: f64,
    footprint: impl Into<Footprint>,
    boundary: Boundary,
) -> Array<T> {
    ranked(array, &footprint.into(), boundary, Location::caller(), |count| {
        let place = if percentile < 0.0 { percentile + 100.0 } else { percentile };
        match place {
            100.0 => Ok(count - 1),
            0.0..100.0 => Ok((count as f64 * place / 100.0) as usize),
            _ => Err(format!("percentile {percentile}, which is not in 0..=100")),
        }
    })
}

/// The median of the neighbours; of an even number the greater of the two in the middle.
#[track_caller]
pub fn median_filter<T: Kind>(
    array: &Array<T>,
    footprint: impl Into<Footprint>,
    boundary: Boundary,
) -> Array<T> {
    ranked(array, &footprint.into(), boundary, Location::caller(), |count| Ok(count / 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::zeros;

    #[test]
    fn windows_are_refused_before_anything_is_allocated_for_them() {
        let x = zeros::<f32>([4]);
        for size in [MOST + 1, usize::MAX / 16] {
            let filtered = [
                uniform_filter(&x, vec![size], Boundary::Reflect),
                minimum_filter(&x, size, Boundary::Reflect),
                median_filter(&x, size, Boundary::Reflect),
            ];
            for filtered in filtered {
                let says = filtered.meta().unwrap_err().to_string();
                let starts = format!("a neighbourhood of {size} elements; 1048576 at the most at ");
                assert!(says.starts_with(&starts), "{says}");
            }
        }
        assert!(uniform_filter(&x, vec![MOST], Boundary::Reflect).meta().is_ok());
    }
}
