//! `pad`: arrays with elements put around them.
//!
//! One axis after the other, as NumPy does it, each by putting slices of the array before and
//! after it. Where a width is beyond the axis, the array is repeated outwards.

use super::{
    Array, Dyn, Kind, Line, arange,
    args::axes_text,
    cast,
    differences::part,
    join::joined,
    keepdims, kept, mistake,
    rearrange::PARTS,
    shape::{along, view},
};
use crate::{
    error::Result,
    expr::{Access, AxisView, Expr},
};
use freeboard_formats::{DType, Grid, Scalar};
use std::{ops::Range, panic::Location};

/// What [`Array::pad`] puts around an array, with NumPy's names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pad {
    /// One value, converted to the array's dtype; [`Pad::constant`] takes any number.
    Constant(Scalar),
    /// The outermost element: `a a a | a b c d | d d d`.
    Edge,
    /// The array turned at its outermost element: `d c b | a b c d | c b a`.
    Reflect,
    /// The array turned beyond its outermost element: `c b a | a b c d | d c b`.
    Symmetric,
    /// The array again: `b c d | a b c d | a b c`.
    Wrap,
    /// The greatest element of each line.
    Maximum,
    /// The least element of each line.
    Minimum,
    /// The mean of each line; of integers rounded.
    Mean,
    /// The median of each line; of integers rounded.
    Median,
    /// From the outermost element evenly to a value; of integers rounded down.
    LinearRamp(Scalar),
}

impl Pad {
    /// One value.
    pub fn constant(value: impl Into<Scalar>) -> Pad {
        Pad::Constant(value.into())
    }

    /// The elements, of an axis of `len` (2 at least), that lie at `range`, which begins before
    /// the axis or ends behind it: runs of a first element, a step, and a count.
    fn runs(self, len: i64, range: Range<i64>) -> impl Iterator<Item = (i64, i64, i64)> {
        // Elements until the array is turned, or begins anew.
        let period = if self == Pad::Reflect { len - 1 } else { len };
        let turns = range.start.div_euclid(period)..(range.end + period - 1).div_euclid(period);
        turns.map(move |turn| {
            let (start, end) = (turn * period, (turn + 1) * period);
            let (from, to) = (range.start.max(start), range.end.min(end));
            let within = from - start;
            match self {
                Pad::Wrap => (within, 1, to - from),
                _ if turn.rem_euclid(2) == 0 => (within, 1, to - from),
                _ => (len - 1 - within, -1, to - from),
            }
        })
    }
}

/// How many elements [`Array::pad`] puts before and after each axis: `2` for all, `(1, 2)` for all
/// before and after, or a list of such pairs, one an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PadWidths(Widths);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Widths {
    All(u64, u64),
    Each(Vec<(u64, u64)>),
}

impl From<u64> for PadWidths {
    fn from(width: u64) -> PadWidths {
        PadWidths(Widths::All(width, width))
    }
}

impl From<(u64, u64)> for PadWidths {
    fn from((before, after): (u64, u64)) -> PadWidths {
        PadWidths(Widths::All(before, after))
    }
}

impl From<Vec<(u64, u64)>> for PadWidths {
    fn from(widths: Vec<(u64, u64)>) -> PadWidths {
        PadWidths(Widths::Each(widths))
    }
}

impl<const N: usize> From<[(u64, u64); N]> for PadWidths {
    fn from(widths: [(u64, u64); N]) -> PadWidths {
        PadWidths(Widths::Each(widths.into()))
    }
}

impl<T: Kind> Array<T> {
    /// With elements put before and after the axes: `x.pad([(1, 2), (0, 0)], Pad::Reflect)`.
    /// ```
    /// use freeboard::array::{Pad, arange};
    ///
    /// let x = arange(0, 6, 1);
    /// assert_eq!(x.pad((1, 2), Pad::Wrap).shape()?, [9]);
    /// let plane = x.expand_dims(0).tile([4, 1]);
    /// let framed = plane.pad([(1, 1), (0, 2)], Pad::constant(-1));
    /// assert_eq!(framed.shape()?, [6, 8]);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn pad(&self, widths: impl Into<PadWidths>, mode: Pad) -> Array<T> {
        let at = Location::caller();
        let PadWidths(widths) = widths.into();
        Array::<T>::build(at, || {
            let rank = self.meta()?.grid.rank();
            let widths = match widths {
                Widths::All(before, after) => vec![(before, after); rank],
                Widths::Each(widths) if widths.len() == rank => widths,
                Widths::Each(widths) => {
                    let (given, have) = (axes_text(widths.len()), axes_text(rank));
                    return Err(mistake(at)(format!(
                        "pad widths of {given} for an array of {have}"
                    )));
                }
            };
            let mut expr = self.expr.clone();
            for (axis, width) in widths.into_iter().enumerate() {
                if width != (0, 0) {
                    expr = padded(&expr, axis, width, mode, at)?;
                }
            }
            Ok(expr)
        })
    }
}

/// What a statistic makes of each line along `axis`, which is left with length 1; in the array's dtype.
fn statistic(expr: &Expr, axis: usize, mode: Pad, at: Line) -> Expr {
    let array = Array::<Dyn>::from_expr(expr.clone());
    let axis = keepdims(axis as i64);
    let made = match mode {
        Pad::Maximum => array.max(axis),
        Pad::Minimum => array.min(axis),
        Pad::Median => array.median(axis),
        _ => array.mean(axis),
    };
    kept(at, || {
        let dtype = expr.meta()?.dtype;
        // As NumPy, which rounds to integers and not to truth values. An extreme has the dtype.
        let is_whole = !dtype.is_float() && dtype != DType::Bool;
        let rounds = is_whole && matches!(mode, Pad::Mean | Pad::Median);
        Ok(cast(&if rounds { made.rint() } else { made }.expr, dtype, at))
    })
}

/// `count` elements evenly from `end`, which is left out beyond, to the outermost element along `axis`.
fn ramp(expr: &Expr, axis: usize, before: bool, count: u64, end: Scalar, at: Line) -> Result<Expr> {
    let meta = expr.meta()?;
    let mut shape = meta.shape();
    let edge = if before { 0 } else { shape[axis] - 1 };
    shape[axis] = count;
    let line = Access::new((0..shape.len()).map(|i| match i == axis {
        true => AxisView::At(edge),
        false => along(i, 0, 1),
    }));
    let edge = Array::<f64>::from_expr(cast(&view(expr, line, &shape, at), DType::F64, at));
    let steps = arange(0i64, count as i64, 1);
    let steps = if before { steps } else { steps.flip(0) };
    let steps = view(&steps.expr, Access::new([along(axis, 0, 1)]), &shape, at);
    let steps = Array::<f64>::from_expr(cast(&steps, DType::F64, at));
    let ramp = (edge - end.as_f64()) / count as f64 * steps + end.as_f64();
    let is_whole = !meta.dtype.is_float() && meta.dtype != DType::Bool;
    let ramp = if is_whole { ramp.floor() } else { ramp };
    let names = meta.axes.clone();
    Ok(cast(&ramp.expr, meta.dtype, at).described(|meta| meta.axes = names))
}

fn padded(
    expr: &Expr,
    axis: usize,
    (before, after): (u64, u64),
    mode: Pad,
    at: Line,
) -> Result<Expr> {
    let meta = expr.meta()?;
    let mut shape = meta.shape();
    let len = shape[axis];
    let total = before.checked_add(after).and_then(|more| more.checked_add(len));
    let Some(total) = total.filter(|&total| total < 1 << 59) else {
        return Err(mistake(at)(format!("axis {axis} padded by {before} and {after} is too long")));
    };
    let (signed, total) = (len as i64, total as i64);
    let sides = [-(before as i64)..0, signed..total - before as i64];
    let mut side = |range: Range<i64>| -> Result<Vec<Expr>> {
        let count = (range.end - range.start) as u64;
        shape[axis] = count;
        Ok(match mode {
            _ if count == 0 => vec![],
            Pad::Constant(value) => {
                let named = meta.axes.clone();
                let filled = Expr::constant(value.cast(meta.dtype), Grid::whole(&shape), at);
                vec![filled.described(|meta| meta.axes = named)]
            }
            _ if len == 0 => {
                let message = format!(
                    "axis {axis} has no element to be padded with; only a constant needs none"
                );
                return Err(mistake(at)(message));
            }
            Pad::LinearRamp(end) => vec![ramp(expr, axis, range.start < 0, count, end, at)?],
            Pad::Maximum | Pad::Minimum | Pad::Mean | Pad::Median => {
                let access = Access::new((0..shape.len()).map(|i| match i == axis {
                    true => AxisView::At(0),
                    false => along(i, 0, 1),
                }));
                vec![view(&statistic(expr, axis, mode, at), access, &shape, at)]
            }
            _ if len == 1 || mode == Pad::Edge => {
                let edge = if range.start < 0 { 0 } else { len - 1 };
                let access = Access::new((0..shape.len()).map(|i| match i == axis {
                    true => AxisView::At(edge),
                    false => along(i, 0, 1),
                }));
                vec![view(expr, access, &shape, at)]
            }
            _ if count / len >= PARTS => {
                let message = format!(
                    "{count} elements beside axis {axis} of length {len} repeat it too often: at most {PARTS} times"
                );
                return Err(mistake(at)(message));
            }
            _ => {
                let run = |(first, step, count): (i64, i64, i64)| {
                    let mut shape = shape.clone();
                    shape[axis] = count as u64;
                    let access = Access::new((0..shape.len()).map(|i| match i == axis {
                        true => along(i, first as u64, if count > 1 { step } else { 1 }),
                        false => along(i, 0, 1),
                    }));
                    view(expr, access, &shape, at)
                };
                mode.runs(signed, range).map(run).collect()
            }
        })
    };
    let [first, last] = sides;
    let mut parts = side(first)?;
    parts.push(part(expr, axis, 0..len, at)?);
    parts.extend(side(last)?);
    joined(parts, axis as i64, "pad", at)
}
