//! Elements put in and left out: `insert`, `delete`.

use super::{
    Array, Kind, Line, Sizes,
    args::axis_of,
    differences::part,
    join::joined,
    mistake,
    rearrange::PARTS,
    shape::{broadcast, view},
};
use crate::{error::Result, expr::Expr};
use std::panic::Location;

impl<T: Kind> Array<T> {
    /// Without the elements at the places `indices` along `axis`; negative ones count from the end.
    /// ```
    /// use freeboard::array::{arange, ones};
    ///
    /// let x = arange(0, 6, 1);
    /// assert_eq!(x.delete([0, -1], 0).shape()?, [4]);
    /// assert_eq!(x.insert(2, &ones([3]), 0).shape()?, [9]);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn delete(&self, indices: impl Into<Sizes>, axis: i64) -> Array<T> {
        let at = Location::caller();
        let indices = indices.into();
        Array::<T>::build(at, || {
            let shape = self.meta()?.shape();
            let axis = axis_of(axis, shape.len()).map_err(mistake(at))?;
            let len = shape[axis];
            let mut places = Vec::with_capacity(indices.as_slice().len());
            for &index in indices.as_slice() {
                let place = if index < 0 { index + len as i64 } else { index };
                let Some(place) = u64::try_from(place).ok().filter(|&place| place < len) else {
                    return Err(mistake(at)(format!(
                        "index {index} is out of bounds for axis {axis} with size {len}"
                    )));
                };
                places.push(place);
            }
            places.sort_unstable();
            places.dedup();
            if places.len() as u64 >= PARTS {
                let message =
                    format!("{} places are left out; {PARTS} at most can be", places.len());
                return Err(mistake(at)(message));
            }
            let mut parts = Vec::new();
            let mut start = 0;
            for place in places.into_iter().chain([len]) {
                if place > start {
                    parts.push(part(&self.expr, axis, start..place, at)?);
                }
                start = place + 1;
            }
            match parts.is_empty() {
                true => part(&self.expr, axis, 0..0, at),
                false => joined(parts, axis as i64, "delete", at),
            }
        })
    }

    /// With `values` put in before the place `index` along `axis`; they broadcast to the array's shape along the
    /// other axes. An index of the axis' length puts them behind.
    #[track_caller]
    pub fn insert(&self, index: i64, values: &Array<T>, axis: i64) -> Array<T> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let shape = self.meta()?.shape();
            let axis = axis_of(axis, shape.len()).map_err(mistake(at))?;
            let len = shape[axis];
            let place = if index < 0 { index + len as i64 } else { index };
            let Some(place) = u64::try_from(place).ok().filter(|&place| place <= len) else {
                return Err(mistake(at)(format!(
                    "index {index} is out of bounds for axis {axis} with size {len}"
                )));
            };
            let values = spread(&values.expr, &self.expr, axis, at)?;
            let parts = vec![
                part(&self.expr, axis, 0..place, at)?,
                values,
                part(&self.expr, axis, place..len, at)?,
            ];
            joined(parts, axis as i64, "insert", at)
        })
    }
}

/// `values` with the shape of `expr` along all axes but `axis`.
fn spread(values: &Expr, expr: &Expr, axis: usize, at: Line) -> Result<Expr> {
    let own = values.meta()?.shape();
    let mut shape = expr.meta()?.shape();
    let behind = shape.len() - axis;
    shape[axis] = own.len().checked_sub(behind).map_or(1, |i| own[i]);
    let (access, shape) = broadcast(&own, shape).map_err(mistake(at))?;
    Ok(view(values, access, &shape, at))
}

#[cfg(test)]
mod tests {
    use super::super::zeros;

    #[test]
    fn shapes_and_mistakes() {
        let says = |text: String, start: &str| assert!(text.starts_with(start), "{text}");
        let x = zeros::<f32>([4, 5]);
        assert_eq!(x.delete([0, 3, -1], 0).shape().unwrap(), [2, 5]);
        assert_eq!(x.delete([0, 1, 2, 3], 0).shape().unwrap(), [0, 5]);
        assert_eq!(x.insert(-1, &zeros([1]), 1).shape().unwrap(), [4, 6]);
        assert_eq!(x.insert(4, &zeros([2, 5]), 0).shape().unwrap(), [6, 5]);
        says(x.delete([5], 1).to_string(), "index 5 is out of bounds for axis 1 with size 5 at ");
        says(x.insert(5, &zeros([5]), 0).to_string(), "index 5 is out of bounds for axis 0");
        assert!(x.insert(0, &zeros([3]), 0).meta().is_err());
    }
}
