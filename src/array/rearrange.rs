//! Verbs that put an array together from parts of itself: rolls, tiles, repeats, quarter turns,
//! and arrays cut in parts.

use super::{
    Array, Axes, Kind, Line, Sizes,
    args::{axes_text, axis_of},
    differences::part,
    join::joined,
    kept, mistake,
    shape::{along, broadcast, permuted, view},
};
use crate::{
    error::Result,
    expr::{Access, Expr, Needs, placeless},
    kernel,
};
use freeboard_formats::{AxisGrid, Dims, Grid, Meta};
use std::{panic::Location, sync::Arc};

/// The most parts that one array is put together from along an axis: each is a node.
pub(super) const PARTS: u64 = 1 << 16;

impl<T: Kind> Array<T> {
    /// The elements moved by `shifts` along `axes`, towards the end if positive; those that leave at one end
    /// come in at the other. One shift an axis, or one for all.
    /// ```
    /// use freeboard::array::{arange, hstack};
    ///
    /// let x = arange(0, 6, 1);
    /// let turned = x.roll(2, 0); // 4 5 0 1 2 3
    /// let halves = turned.split(2, 0);
    /// assert_eq!(hstack(&halves).repeat(3, 0).shape()?, [18]);
    /// assert_eq!(x.tile([2, 1]).rot90(1, [0, 1]).shape()?, [6, 2]);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn roll(&self, shifts: impl Into<Sizes>, axes: impl Into<Axes>) -> Array<T> {
        let at = Location::caller();
        let (shifts, axes) = (shifts.into(), axes.into());
        Array::<T>::build(at, || {
            let grid = &self.meta()?.grid;
            let shape = grid.shape();
            let axes = axes.resolve(shape.len()).map_err(mistake(at))?;
            let shifts = match shifts.as_slice() {
                &[one] => vec![one; axes.len()],
                shifts if shifts.len() == axes.len() => shifts.to_vec(),
                shifts => {
                    let message =
                        format!("{} shifts along {}", shifts.len(), axes_text(axes.len()));
                    return Err(mistake(at)(message));
                }
            };
            let mut expr = self.expr.clone();
            for (&axis, shift) in axes.iter().zip(shifts) {
                let len = shape[axis];
                let cut = match i64::try_from(len) {
                    Ok(n @ 1..) => (n - shift.rem_euclid(n)) as u64,
                    _ => len,
                };
                if cut < len {
                    let parts =
                        vec![part(&expr, axis, cut..len, at)?, part(&expr, axis, 0..cut, at)?];
                    expr = joined(parts, axis as i64, "roll", at)?;
                }
            }
            Ok(expr.rechunk(grid.clone(), at))
        })
    }

    /// The array turned by `k` quarters in the plane of two axes, from the first towards the second.
    #[track_caller]
    pub fn rot90(&self, k: i64, axes: [i64; 2]) -> Array<T> {
        let at = Location::caller();
        self.viewed(at, |shape| {
            let plane = Axes::from(axes).resolve(shape.len()).map_err(mistake(at))?;
            let (a, b) = (plane[0], plane[1]);
            let turns = k.rem_euclid(4);
            let mut order: Vec<usize> = (0..shape.len()).collect();
            if turns % 2 == 1 {
                order.swap(a, b);
            }
            let (access, out) = permuted(&order, shape);
            // Of the axes of the result, those along which the elements run back.
            let back = [[false, false], [true, false], [true, true], [false, true]][turns as usize];
            let is_back = |axis: usize| (axis == a && back[0]) || (axis == b && back[1]);
            let flip =
                Access::new(out.iter().enumerate().map(|(axis, &len)| match is_back(axis) {
                    true if len > 1 => along(axis, len - 1, -1),
                    _ => along(axis, 0, 1),
                }));
            Ok((access.then(&flip), out))
        })
    }

    /// The rows in reverse order: [`flip`](Array::flip) of the first axis.
    #[track_caller]
    pub fn flipud(&self) -> Array<T> {
        self.flip(0)
    }

    /// The columns in reverse order: [`flip`](Array::flip) of the second axis.
    #[track_caller]
    pub fn fliplr(&self) -> Array<T> {
        self.flip(1)
    }

    /// The array repeated side by side, so many times along each axis; as in NumPy, axes are counted
    /// from the last, and missing ones are put in front.
    #[track_caller]
    pub fn tile(&self, repeats: impl Into<Sizes>) -> Array<T> {
        let at = Location::caller();
        let repeats = repeats.into();
        Array::<T>::build(at, || {
            let repeats = repeats.shape().map_err(mistake(at))?;
            let rank = self.meta()?.grid.rank();
            let mut expr = in_front(&self.expr, repeats.len().saturating_sub(rank), at)?;
            let shape = expr.meta()?.shape();
            let skip = shape.len() - repeats.len();
            for (axis, &count) in (skip..).zip(&repeats) {
                expr = match count {
                    0 => part(&expr, axis, 0..0, at)?,
                    _ if shape[axis] == 1 => {
                        let mut target = expr.meta()?.shape();
                        target[axis] = count;
                        let (access, shape) =
                            broadcast(&expr.meta()?.shape(), target).map_err(mistake(at))?;
                        view(&expr, access, &shape, at)
                    }
                    1..=PARTS => joined(vec![expr; count as usize], axis as i64, "tile", at)?,
                    _ => {
                        let message = format!("{count} repeats along axis {axis}; at most {PARTS}");
                        return Err(mistake(at)(message));
                    }
                };
            }
            Ok(expr)
        })
    }

    /// Each element `count` times, one after the other along `axis`.
    #[track_caller]
    pub fn repeat(&self, count: usize, axis: i64) -> Array<T> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let meta = self.meta()?;
            let rank = meta.grid.rank();
            let axis = axis_of(axis, rank).map_err(mistake(at))?;
            let mut shape = meta.shape();
            let count = count as u64;
            let len = shape[axis].checked_mul(count).filter(|&len| len < 1 << 59);
            shape[axis] = len.ok_or_else(|| {
                mistake(at)(format!("{count} repeats along axis {axis} give too many elements"))
            })?;
            if shape[axis] == 0 {
                return part(&self.expr, axis, 0..0, at);
            }
            let mut cuts = meta.grid.axes().to_vec();
            cuts[axis] = match cuts[axis].regular_chunk() {
                Some(chunk) => AxisGrid::regular(shape[axis], chunk * count),
                None => AxisGrid::from_sizes(cuts[axis].sizes().map(|size| size * count)),
            };
            let attributes = placeless(&meta.attributes);
            let meta = Meta { grid: Grid::new(cuts), attributes, ..meta.clone() };
            let input = (self.expr.clone(), Needs::blocks(rank));
            Ok(Expr::block(Arc::new(kernel::Repeat { axis, count }), [input], meta, at))
        })
    }

    /// The array in `parts` of equal length along `axis`.
    #[track_caller]
    pub fn split(&self, parts: usize, axis: i64) -> Vec<Array<T>> {
        self.cut(parts, axis, true, Location::caller())
    }

    /// The array in `parts` along `axis`, the first ones an element longer where it does not
    /// divide evenly.
    #[track_caller]
    pub fn array_split(&self, parts: usize, axis: i64) -> Vec<Array<T>> {
        self.cut(parts, axis, false, Location::caller())
    }

    fn cut(&self, parts: usize, axis: i64, evenly: bool, at: Line) -> Vec<Array<T>> {
        let count = parts as u64;
        let cut = |i: u64| {
            let shape = self.meta()?.shape();
            let axis = axis_of(axis, shape.len()).map_err(mistake(at))?;
            let len = shape[axis];
            if evenly && !len.is_multiple_of(count) {
                let message =
                    format!("{parts} parts do not divide the length {len} of axis {axis}");
                return Err(
                    mistake(at)(message).help("`array_split` gives parts of unequal lengths")
                );
            }
            let start = |i: u64| i * (len / count) + i.min(len % count);
            part(&self.expr, axis, start(i)..start(i + 1), at)
        };
        (0..count).map(|i| Array::from_expr(kept(at, || cut(i)))).collect()
    }

    /// The first elements along each axis, so many that `bins` divide them: what
    /// [`rebin`](Array::rebin) asks for. One length an axis; -1 leaves an axis as it is.
    #[track_caller]
    pub fn trim_to_multiple(&self, bins: impl Into<Sizes>) -> Array<T> {
        let at = Location::caller();
        let bins = bins.into();
        self.viewed(at, |shape| {
            let bins = bins.as_slice();
            let fits = bins.len() == shape.len() && bins.iter().all(|&bin| bin == -1 || bin > 0);
            if !fits {
                let message = format!("bins {bins:?} for an array of {}", axes_text(shape.len()));
                return Err(
                    mistake(at)(message).help("a positive length an axis, or -1 for the whole")
                );
            }
            let trimmed = |(&len, &bin): (&u64, &i64)| match u64::try_from(bin) {
                Ok(bin) => len / bin * bin,
                Err(_) => len,
            };
            let out = shape.iter().zip(bins).map(trimmed).collect();
            Ok((Access::identity(shape.len()), out))
        })
    }

    /// With one axis at least: a single element becomes an array of one.
    #[track_caller]
    pub fn atleast_1d(&self) -> Array<T> {
        Array::from_expr(at_least(&self.expr, 1, Location::caller()))
    }

    /// With two axes at least; new ones are put in front.
    #[track_caller]
    pub fn atleast_2d(&self) -> Array<T> {
        Array::from_expr(at_least(&self.expr, 2, Location::caller()))
    }

    /// With three axes at least: the first and the second one that lack are put in front, the third
    /// behind.
    #[track_caller]
    pub fn atleast_3d(&self) -> Array<T> {
        Array::from_expr(at_least(&self.expr, 3, Location::caller()))
    }
}

/// With new axes of length 1, `rank` at least: in front, but a third one behind.
pub(super) fn at_least(expr: &Expr, rank: usize, at: Line) -> Expr {
    kept(at, || {
        let have = expr.meta()?.grid.rank();
        let thick = in_front(expr, rank.min(2).saturating_sub(have), at)?;
        if rank < 3 || have > 2 {
            return Ok(thick);
        }
        let mut shape = thick.meta()?.shape();
        shape.push(1);
        Ok(view(&thick, Access::identity(2), &shape, at))
    })
}

/// With `new` axes of length 1 in front.
fn in_front(expr: &Expr, new: usize, at: Line) -> Result<Expr> {
    let shape = expr.meta()?.shape();
    let mut out = Dims::from_elem(1, new);
    out.extend_from_slice(&shape);
    let access = Access::new((0..shape.len()).map(|axis| along(new + axis, 0, 1)));
    Ok(view(expr, access, &out, at))
}

#[cfg(test)]
mod tests {
    use super::super::{Array, Pad, keepdims, zeros};

    #[test]
    fn mistakes_name_axes_and_what_was_asked() {
        let x = zeros::<f32>([4, 5]);
        let says = |array: &Array<f32>, text: &str| {
            let error = array.meta().unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        };
        says(&x.roll([1, 2], 0), "2 shifts along 1 axis at ");
        says(&x.roll(1, 2), "axis 2 is out of range for an array of 2 axes at ");
        says(&x.rot90(1, [0, -2]), "axis -2 is named twice at ");
        says(&x.tile([-1]), "a shape has no negative length: [-1] at ");
        says(&x.tile([1i64 << 20]), "1048576 repeats along axis 1; at most 65536 at ");
        says(&x.repeat(1 << 60, 1), "1152921504606846976 repeats along axis 1 give too many");
        says(&x.split(3, 1)[2], "3 parts do not divide the length 5 of axis 1 at ");
        says(&x.trim_to_multiple([2]), "bins [2] for an array of 2 axes at ");
        says(&x.trim_to_multiple([0, 1]), "bins [0, 1] for an array of 2 axes at ");
        says(&x.pad([(1, 1)], Pad::Edge), "pad widths of 1 axis for an array of 2 axes at ");
        says(&zeros::<f32>([0]).pad(1, Pad::Wrap), "axis 0 has no element to be padded with");
        says(&x.pad(u64::MAX, Pad::Edge), "axis 0 padded by 18446744073709551615 and 1844");
        says(
            &x.pad((0, 1 << 40), Pad::Reflect),
            "1099511627776 elements beside axis 0 of length 4",
        );
        says(&x.diff(1, 2), "axis 2 is out of range");
        says(&x.slice_numpy("..., :1").gradient(1, 1.0), "axis 1 of length 1 is too short");
        says(&x.moveaxis([0, 1], 0), "2 axes to 1 place at ");
        says(&x.expand_dims(..), "`expand_dims` names the new axes at ");
        says(&x.average(0, &zeros([3])), "shape (3,) does not broadcast to (4, 5) at ");
        says(&x.flip(keepdims(0)), "`keepdims` is for the axes of reductions at ");
    }

    #[test]
    fn the_longest_pads_are_one_view() {
        let x = zeros::<f32>([4, 1]).cast::<i8>();
        assert_eq!(x.pad((1 << 40, 0), Pad::Edge).shape().unwrap()[0], (1 << 40) + 4);
        assert_eq!(x.tile([1i64, 1 << 40]).shape().unwrap(), [4, 1usize << 40]);
        assert!(x.split(0, 0).is_empty());
    }
}
