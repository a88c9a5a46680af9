//! Elements chosen by their places along an axis: integer and boolean lists, and arrays of places of each line.
//!
//! A list is cut into stretches of evenly spaced places, each of which is a slice: only what is chosen is
//! read, in whatever chunks it lies.

use super::{
    Array, Kind, Line, Sizes,
    args::axis_of,
    cast,
    differences::part,
    join::joined,
    mistake,
    order::{BAND, bands},
    rearrange::PARTS,
    shape::{along, view},
};
use crate::{
    error::Result,
    expr::{Access, Expr, Need, Needs, placeless, shape_text},
    kernel,
};
use freeboard_formats::{AxisGrid, DType, Grid, Meta, Scalar};
use std::{panic::Location, sync::Arc};

/// Evenly spaced places: the first, the distance (not 0), and how many.
#[derive(Debug, PartialEq)]
struct Stretch {
    first: u64,
    step: i64,
    count: u64,
}

/// The places as few stretches, in their order.
fn stretches(places: &[u64]) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for &place in places {
        if let Some(last) = stretches.last_mut() {
            let end = last.first as i64 + last.step * (last.count as i64 - 1);
            let step = place as i64 - end;
            if step != 0 && (last.count == 1 || step == last.step) {
                (last.step, last.count) = (step, last.count + 1);
                continue;
            }
        }
        stretches.push(Stretch { first: place, step: 1, count: 1 });
    }
    stretches
}

fn taken(expr: &Expr, places: &[u64], axis: usize, at: Line) -> Result<Expr> {
    let meta = expr.meta()?;
    let shape = meta.shape();
    let stretches = stretches(places);
    if stretches.len() as u64 > PARTS {
        let message = format!(
            "{} places along axis {axis} that lie in {} stretches; at most {PARTS} can be taken",
            places.len(),
            stretches.len()
        );
        return Err(mistake(at)(message).help("take them in parts, or in the order of the axis"));
    }
    let slice = |stretch: &Stretch| {
        let mut shape = shape.clone();
        shape[axis] = stretch.count;
        let access = Access::new((0..shape.len()).map(|i| match i == axis {
            true if shape.contains(&0) => along(i, 0, 1),
            true => along(i, stretch.first, stretch.step),
            false => along(i, 0, 1),
        }));
        view(expr, access, &shape, at)
    };
    match &stretches[..] {
        [] => part(expr, axis, 0..0, at),
        [one] => Ok(slice(one)),
        several => {
            let cut = &meta.grid.axes()[axis];
            let all = joined(several.iter().map(slice).collect(), axis as i64, "take", at)?;
            let mut axes = all.meta()?.grid.axes().to_vec();
            axes[axis] = AxisGrid::regular(places.len() as u64, cut.max_chunk().max(1));
            Ok(all.rechunk(Grid::new(axes), at))
        }
    }
}

impl<T: Kind> Array<T> {
    /// The elements at the places `indices` along `axis`, in their order; negative ones count from the end.
    /// ```
    /// use freeboard::array::arange;
    ///
    /// let x = arange(0, 24, 1).reshape([4, 6]);
    /// assert_eq!(x.take([0, -1, 0], 1).shape()?, [4, 3]);
    /// assert_eq!(x.compress(&[true, false, true], 0).shape()?, [2, 6]);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn take(&self, indices: impl Into<Sizes>, axis: i64) -> Array<T> {
        let at = Location::caller();
        let indices = indices.into();
        Array::<T>::build(at, || {
            let shape = self.meta()?.shape();
            let axis = axis_of(axis, shape.len()).map_err(mistake(at))?;
            let len = shape[axis];
            let place = |&index: &i64| {
                let counted = if index < 0 {
                    len.checked_sub(index.unsigned_abs())
                } else {
                    Some(index as u64)
                };
                counted.filter(|&place| place < len).ok_or_else(|| {
                    mistake(at)(format!(
                        "index {index} is out of bounds for axis {axis} with size {len}"
                    ))
                })
            };
            let places = indices.as_slice().iter().map(place).collect::<Result<Vec<u64>>>()?;
            taken(&self.expr, &places, axis, at)
        })
    }

    /// The elements at the places that `indices`, integers of the same shape but along `axis`, tell along it: what
    /// [`argsort`](Array::argsort) and its like give. Negative ones count from the end; one beyond ends the run. A block holds whole
    /// lines of this array.
    /// ```
    /// use freeboard::{Session, array::arange};
    ///
    /// let x = arange::<i64>(0, 12, 1).reshape([3, 4]) * 5 % 7;
    /// let session = Session::builder().memory("128MiB").build()?;
    /// let sorted = x.take_along_axis(&x.argsort(1), 1);
    /// assert_eq!(session.compute(&sorted)?, session.compute(&x.sort(1))?);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn take_along_axis<I: Kind>(&self, indices: &Array<I>, axis: i64) -> Array<T> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let (own, places) = (self.meta()?, indices.meta()?);
            let (shape, counts) = (own.shape(), places.shape());
            let axis = axis_of(axis, shape.len()).map_err(mistake(at))?;
            if places.dtype.is_float() || places.dtype == DType::Bool {
                let message = format!("places of {}; cast them to an integer dtype", places.dtype);
                return Err(mistake(at)(message));
            }
            let is_along = |i: usize| i == axis || counts.get(i) == shape.get(i);
            if counts.len() != shape.len() || !(0..shape.len()).all(is_along) {
                let (shape, counts) = (shape_text(&shape), shape_text(&counts));
                return Err(mistake(at)(format!(
                    "places of shape {counts} along axis {axis} of an array of shape {shape}"
                )));
            }
            let mut cuts = bands(own, &[axis], BAND);
            cuts[axis] = AxisGrid::whole(counts[axis]);
            let grid = Grid::new(cuts);
            if grid.is_empty() {
                return Ok(Expr::constant(Scalar::zero(own.dtype), grid, at));
            }
            let same = || (0..shape.len()).map(Need::same);
            let lines =
                same().enumerate().map(|(i, need)| if i == axis { Need::All } else { need });
            let inputs = [
                (self.expr.clone(), Needs::new(lines)),
                (cast(&indices.expr, DType::I64, at), Needs::new(same())),
            ];
            let meta = Meta { grid, attributes: placeless(&own.attributes), ..own.clone() };
            let kernel = kernel::TakeAlong { axis, dtype: own.dtype };
            Ok(Expr::block(Arc::new(kernel), inputs, meta, at))
        })
    }

    /// The elements along `axis` for which `mask` is true; what is beyond the mask is left out.
    #[track_caller]
    pub fn compress(&self, mask: &[bool], axis: i64) -> Array<T> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let shape = self.meta()?.shape();
            let axis = axis_of(axis, shape.len()).map_err(mistake(at))?;
            let places: Vec<u64> =
                (0..).zip(mask).filter(|(_, keep)| **keep).map(|(i, _)| i).collect();
            match places.last() {
                Some(&last) if last >= shape[axis] => Err(mistake(at)(format!(
                    "index {last} is out of bounds for axis {axis} with size {}",
                    shape[axis]
                ))),
                _ => taken(&self.expr, &places, axis, at),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::zeros;
    use super::*;

    #[test]
    fn places_are_stretches() {
        let of = |first, step, count| Stretch { first, step, count };
        assert_eq!(stretches(&[0, 1, 2, 7, 5, 3]), [of(0, 1, 3), of(7, -2, 3)]);
        assert_eq!(stretches(&[4, 4, 4]), [of(4, 1, 1), of(4, 1, 1), of(4, 1, 1)]);
        assert_eq!(stretches(&[]), []);
    }

    #[test]
    fn shapes_and_mistakes() {
        let says = |text: String, start: &str| assert!(text.starts_with(start), "{text}");
        let x = zeros::<i16>([4, 5]);
        assert_eq!(x.take([3, 0, -4], 0).shape().unwrap(), [3, 5]);
        assert_eq!(x.take(Vec::<i64>::new(), 1).shape().unwrap(), [4, 0]);
        assert_eq!(x.compress(&[false; 4], 0).shape().unwrap(), [0, 5]);
        says(x.take([4], 0).to_string(), "index 4 is out of bounds for axis 0 with size 4 at ");
        says(x.take([-5], 0).to_string(), "index -5 is out of bounds for axis 0 with size 4 at ");
        says(
            x.compress(&[true; 6], 1).to_string(),
            "index 5 is out of bounds for axis 1 with size 5",
        );
        let along = |places: &Array<i64>, axis| x.take_along_axis(places, axis).to_string();
        says(
            along(&zeros([3, 5]), 1),
            "places of shape (3, 5) along axis 1 of an array of shape (4, 5)",
        );
        says(
            along(&zeros([4]), 0),
            "places of shape (4,) along axis 0 of an array of shape (4, 5)",
        );
        says(x.take_along_axis(&x.cast::<f32>(), 0).to_string(), "places of float32; cast them");
    }
}
