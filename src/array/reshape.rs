//! The same elements in C order under another shape.
//!
//! Axes of the old and of the new shape fall into groups of as many elements: `(4, 6, 5)` to `(24, 5)`
//! merges the first two and leaves the last. A group is merged to one axis, and that is split, each block by
//! block: where a block holds whole rows of all its axes but the first, it is one stretch of the merged
//! axis. So an array is cut so that blocks do, and no more than a block is ever held.

use super::{
    Array, Kind, Line, Sizes, mistake,
    order::bands,
    shape::{along, view},
};
use crate::{
    error::Result,
    expr::{Access, AxisView, Expr, Need, Needs, placeless},
    kernel,
};
use freeboard_formats::{AxisGrid, Dims, Grid, Meta, Scalar, region::volume};
use std::{ops::Range, panic::Location, sync::Arc};

/// The bytes of a block, of an array whose blocks are no smaller.
const BLOCK: u64 = 64 << 20;

/// The ranges of axes of two shapes that hold as many elements, as short as can be. No axis
/// has a length of 0 or 1, and the shapes hold as many elements.
fn groups(from: &[u64], to: &[u64]) -> Vec<(Range<usize>, Range<usize>)> {
    let (mut groups, mut i, mut j) = (Vec::new(), 0, 0);
    while i < from.len() && j < to.len() {
        let (first, other) = (i, j);
        let (mut a, mut b) = (from[i], to[j]);
        (i, j) = (i + 1, j + 1);
        while a != b {
            if a < b {
                a = a.saturating_mul(from.get(i).copied().unwrap_or(u64::MAX));
                i += 1;
            } else {
                b = b.saturating_mul(to.get(j).copied().unwrap_or(u64::MAX));
                j += 1;
            }
        }
        groups.push((first..i, other..j));
    }
    groups
}

/// The cuts of an array whose groups of axes are merged, of which blocks hold whole rows.
fn merged(cuts: &[AxisGrid], groups: &[Range<usize>]) -> Grid {
    Grid::new(groups.iter().map(|group| {
        let row: u64 = cuts[group.start + 1..group.end].iter().map(AxisGrid::len).product();
        let lead = &cuts[group.start];
        match lead.regular_chunk() {
            Some(chunk) => AxisGrid::regular(lead.len() * row, chunk * row),
            None => AxisGrid::from_sizes(lead.sizes().map(|size| size * row)),
        }
    }))
}

/// The axes of groups but the first of each.
fn trailing(groups: &[Range<usize>]) -> Vec<usize> {
    groups.iter().flat_map(|group| group.start + 1..group.end).collect()
}

/// The axes of each group as one.
fn merge(expr: &Expr, groups: &[Range<usize>], at: Line) -> Result<Expr> {
    let inner = trailing(groups);
    if inner.is_empty() {
        return Ok(expr.clone());
    }
    let meta = expr.meta()?;
    let cuts = bands(meta, &inner, BLOCK);
    let attributes = placeless(&meta.attributes);
    let mut made = Meta { grid: merged(&cuts, groups), attributes, ..meta.clone() };
    made.axes = groups
        .iter()
        .map(|group| if group.len() == 1 { meta.axes[group.start].clone() } else { String::new() })
        .collect();
    let needs = Needs::new(groups.iter().enumerate().flat_map(|(of, group)| {
        let whole = std::iter::repeat_n(Need::All, group.len() - 1);
        std::iter::once(Need::Block { of }).chain(whole)
    }));
    let input = (expr.rechunk(Grid::new(cuts), at), needs);
    Ok(Expr::block(Arc::new(kernel::Reshape), [input], made, at))
}

/// Each axis as the group of axes of `shape` that it stands for.
fn split(expr: &Expr, shape: &[u64], groups: &[Range<usize>], at: Line) -> Result<Expr> {
    let inner = trailing(groups);
    if inner.is_empty() {
        return Ok(expr.clone());
    }
    let meta = expr.meta()?;
    let mut cuts = Vec::with_capacity(shape.len());
    for (group, axis) in groups.iter().zip(meta.grid.axes()) {
        let row = volume(&shape[group.start + 1..group.end]);
        cuts.push(match group.len() {
            1 => axis.clone(),
            _ => AxisGrid::regular(shape[group.start], axis.max_chunk().div_ceil(row)),
        });
        cuts.extend(shape[group.start + 1..group.end].iter().map(|&len| AxisGrid::whole(len)));
    }
    let mut made =
        Meta { attributes: placeless(&meta.attributes), ..Meta::new(meta.dtype, Grid::new(cuts)) };
    made.grid = Grid::new(bands(&made, &inner, BLOCK));
    for (group, name) in groups.iter().zip(&meta.axes) {
        if group.len() == 1 {
            made.axes[group.start].clone_from(name);
        }
    }
    let input = expr.rechunk(merged(made.grid.axes(), groups), at);
    let needs = Needs::new(groups.iter().map(|group| Need::Block { of: group.start }));
    Ok(Expr::block(Arc::new(kernel::Reshape), [(input, needs)], made, at))
}

/// `expr` in another shape of as many elements.
fn reshaped(expr: &Expr, shape: &[u64], at: Line) -> Result<Expr> {
    let meta = expr.meta()?;
    let have = meta.shape();
    if shape.contains(&0) {
        return Ok(Expr::constant(Scalar::zero(meta.dtype), Grid::whole(shape), at));
    }
    let long = |shape: &[u64]| -> Dims { shape.iter().copied().filter(|&len| len != 1).collect() };
    let (from, to) = (long(&have), long(shape));
    let mut of = 0;
    let squeezed = Access::new(have.iter().map(|&len| {
        of += usize::from(len != 1);
        if len == 1 { AxisView::At(0) } else { along(of - 1, 0, 1) }
    }));
    let expr = view(expr, squeezed, &from, at);
    let (old, new): (Vec<_>, Vec<_>) = groups(&from, &to).into_iter().unzip();
    let expr = split(&merge(&expr, &old, at)?, &to, &new, at)?;
    let places = shape.iter().enumerate().filter(|(_, len)| **len != 1);
    let spread = Access::new(places.map(|(axis, _)| along(axis, 0, 1)));
    Ok(view(&expr, spread, shape, at))
}

/// The shape that is meant for `count` elements; one length may be -1.
fn meant(sizes: &Sizes, count: u64, at: Line) -> Result<Dims> {
    let asked = sizes.as_slice();
    let wrong = || {
        let shape: Vec<String> = asked.iter().map(i64::to_string).collect();
        mistake(at)(format!(
            "cannot reshape an array of {count} elements into shape ({})",
            shape.join(", ")
        ))
    };
    let open = asked.iter().filter(|&&len| len == -1).count();
    if open > 1 {
        return Err(wrong().help("only one length can be -1, which is what is left"));
    }
    let known: Option<Dims> =
        asked.iter().filter(|&&len| len != -1).map(|&len| u64::try_from(len).ok()).collect();
    let known = known.ok_or_else(wrong)?;
    let product = freeboard_formats::region::checked_volume(&known).ok_or_else(wrong)?;
    let fits = match open {
        0 => product == count,
        _ => product > 0 && count.is_multiple_of(product),
    };
    if !fits {
        return Err(wrong());
    }
    Ok(asked.iter().map(|&len| u64::try_from(len).unwrap_or_else(|_| count / product)).collect())
}

impl<T: Kind> Array<T> {
    /// The elements in C order under another shape; one length may be -1, for what is left.
    ///
    /// Blocks are cut anew so that each holds whole rows of the axes that are merged or split: about 64 MiB at the
    /// most, or one such row.
    /// ```
    /// use freeboard::array::arange;
    ///
    /// let x = arange(0, 24, 1).reshape([4, -1]);
    /// assert_eq!(x.shape()?, [4, 6]);
    /// assert_eq!(x.reshape([2, 2, 6]).ravel().shape()?, [24]);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Sizes>) -> Array<T> {
        let at = Location::caller();
        let sizes = shape.into();
        Array::<T>::build(at, || {
            let count = volume(&self.meta()?.shape());
            reshaped(&self.expr, &meant(&sizes, count, at)?, at)
        })
    }

    /// All elements along one axis, in C order.
    #[track_caller]
    pub fn ravel(&self) -> Array<T> {
        self.reshape([-1])
    }
}

#[cfg(test)]
mod tests {
    use super::super::zeros;
    use super::*;

    #[test]
    fn groups_are_as_short_as_can_be() {
        assert_eq!(groups(&[4, 6, 5], &[24, 5]), [(0..2, 0..1), (2..3, 1..2)]);
        assert_eq!(groups(&[4, 6], &[6, 4]), [(0..2, 0..2)]);
        assert_eq!(groups(&[2, 3, 10], &[2, 3, 2, 5]), [(0..1, 0..1), (1..2, 1..2), (2..3, 2..4)]);
        assert_eq!(groups(&[], &[]), []);
    }

    #[test]
    fn shapes_and_mistakes() {
        let says = |text: String, start: &str| assert!(text.starts_with(start), "{text}");
        let x = zeros::<f32>([4, 1, 6]);
        assert_eq!(x.reshape([-1, 1, 8]).shape().unwrap(), [3, 1, 8]);
        assert_eq!(zeros::<f32>([4, 0]).reshape([0, 7]).shape().unwrap(), [0, 7]);
        assert_eq!(zeros::<f32>(Vec::<i64>::new()).ravel().shape().unwrap(), [1]);
        says(
            x.reshape([5, -1]).to_string(),
            "cannot reshape an array of 24 elements into shape (5, -1) at ",
        );
        says(
            x.reshape([-1, -1]).to_string(),
            "cannot reshape an array of 24 elements into shape (-1, -1)",
        );
        says(x.reshape([-2, 12]).to_string(), "cannot reshape");
        let blocks = Array::chunked(&ndarray::Array3::<f32>::zeros((9, 4, 5)), [2, 3, 4]);
        assert_eq!(blocks.reshape([9, 20]).chunks().unwrap()[0], [2, 2, 2, 2, 1]);
        assert_eq!(blocks.ravel().chunks().unwrap()[0], [40, 40, 40, 40, 20]);
    }
}
