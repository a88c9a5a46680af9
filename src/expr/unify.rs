//! Bringing inputs together: broadcasting shapes, and one grid for arrays cut differently.

use super::{Access, AxisView, Expr, Op, placeless};
use crate::error::{Error, Result};
use freeboard_formats::{
    AxisGrid, Dims, Grid, Meta,
    region::{checked_volume, volume},
};
use smallvec::SmallVec;
use std::{cmp::Reverse, panic::Location, sync::Arc};

/// The shape that arrays of these shapes broadcast to, by NumPy's rule; `None` if they do not.
pub(crate) fn broadcast_shape<'a>(shapes: impl IntoIterator<Item = &'a [u64]>) -> Option<Dims> {
    let mut result = Dims::new();
    for shape in shapes {
        if shape.len() > result.len() {
            let missing = shape.len() - result.len();
            result.insert_from_slice(0, &shape[..missing]);
        }
        let skip = result.len() - shape.len();
        for (have, &len) in result[skip..].iter_mut().zip(shape) {
            match (*have, len) {
                (a, b) if a == b => {}
                (1, len) => *have = len,
                (_, 1) => {}
                _ => return None,
            }
        }
    }
    Some(result)
}

/// More elements than any array has: their bytes must be counted in 63 bits.
const MAX_ELEMENTS: u64 = 1 << 59;

/// What inputs of `name` have in common, and the inputs as views of that shape. Constants stay as they are.
/// On whatever grids they are, axes are named as those of the first of most axes, and the cards are those of the first
/// that has any: `(raw - bias) / flat` is described as `raw` is. The dtype is any of theirs.
pub(super) fn unify(
    inputs: &[&Expr],
    name: &str,
    origin: &'static Location<'static>,
) -> Result<(Arc<Meta>, SmallVec<[Expr; 2]>)> {
    let mut metas: SmallVec<[&Arc<Meta>; 3]> = SmallVec::new();
    for input in inputs {
        metas.push(input.0.meta.as_ref().map_err(Clone::clone)?);
    }
    // The common case, alone or beside scalars: nothing is made anew.
    let is_constant = |at: usize| matches!(inputs[at].op(), Op::Constant(_));
    let order = |&at: &usize| (Reverse(metas[at].grid.rank()), is_constant(at));
    let widest = metas[(0..metas.len()).min_by_key(order).expect("a kernel has an input")];
    let carded = metas.iter().find(|meta| !meta.attributes.is_empty());
    let alike = inputs.iter().zip(&metas).all(|(input, meta)| {
        meta.grid == widest.grid || (meta.grid.rank() == 0 && matches!(input.op(), Op::Constant(_)))
    });
    if alike {
        let meta = match carded {
            Some(carded) if !Arc::ptr_eq(&carded.attributes, &widest.attributes) => {
                let attributes = carded.attributes.clone();
                Arc::new(Meta { attributes, ..(**widest).clone() })
            }
            _ => widest.clone(),
        };
        return Ok((meta, inputs.iter().map(|&input| input.clone()).collect()));
    }

    let shapes: Vec<Dims> = metas.iter().map(|meta| meta.shape()).collect();
    let shape = broadcast_shape(shapes.iter().map(|s| &s[..])).ok_or_else(|| {
        let list: Vec<String> = shapes.iter().map(|shape| shape_text(shape)).collect();
        let message = format!("shapes {} do not broadcast in `{}`", list.join(" and "), sign(name));
        Error::expression(message, origin)
    })?;
    if checked_volume(&shape).is_none_or(|count| count > MAX_ELEMENTS) {
        let shape = shape_text(&shape);
        return Err(Error::expression(format!("an array of shape {shape} is too large"), origin));
    }
    let rank = shape.len();
    let finest = Grid::new((0..rank).map(|axis| {
        let own = metas.iter().zip(inputs).filter_map(|(meta, input)| {
            let cut = &meta.grid.axes()[(axis + meta.grid.rank()).checked_sub(rank)?];
            let constant = matches!(input.op(), Op::Constant(_));
            (cut.len() == shape[axis]).then_some((constant, cut))
        });
        // A constant has no chunks of its own; else the finest cuts win, so that no input's
        // chunk must be put together with others.
        let finest = own.min_by_key(|(constant, cut)| (*constant, cut.max_chunk()));
        finest.map_or_else(|| AxisGrid::whole(shape[axis]), |(_, cut)| cut.clone())
    }));
    let cut = (0..metas.len()).filter(|&at| shapes[at] == shape && !is_constant(at));
    let least = cut.map(|at| volume(&metas[at].grid.max_chunk())).min();
    let grid = coarsened(finest, least.unwrap_or(0));
    let views = inputs
        .iter()
        .zip(&shapes)
        .map(|(&input, own)| {
            if *own == shape || matches!(input.op(), Op::Constant(_)) {
                return input.clone();
            }
            let skip = rank - own.len();
            let access = Access::new(own.iter().enumerate().map(|(i, &len)| {
                let of = skip + i;
                match len {
                    1 if shape[of] != 1 => AxisView::At(0),
                    _ => AxisView::Along { of, start: 0, step: 1 },
                }
            }));
            input.view(access, &shape, origin)
        })
        .collect();
    let mut meta = Meta { grid, ..(**widest).clone() };
    if let Some(carded) = carded {
        meta.attributes = match carded.shape() == shape {
            true => carded.attributes.clone(),
            false => placeless(&carded.attributes),
        };
    }
    Ok((Arc::new(meta), views))
}

/// Chunks of more elements are left as they are.
const FINE: u64 = 1 << 13;
/// So are those of which the smallest chunk of an input has less than so many times the elements.
const FINER: u64 = 16;
/// Neighbours are not joined to chunks of more: a MiB of doubles.
const COARSE: u64 = 1 << 17;

/// A grid as `finest`, but of a few chunks each where it is far finer than chunks of `least` elements:
/// rows and columns, each long and thin, have in common but tiny squares. A chunk has no more than `least`
/// elements then either, and is cut no further than it was along any axis.
fn coarsened(finest: Grid, least: u64) -> Grid {
    let mut chunk = finest.max_chunk();
    let mut elements = volume(&chunk);
    if elements == 0 || elements > FINE || elements.saturating_mul(FINER) > least {
        return finest;
    }
    let most = least.min(COARSE);
    let axes = finest.axes();
    let can_grow = |axis: usize, chunk: &Dims| {
        axes[axis].regular_chunk().is_some() && chunk[axis] < axes[axis].len()
    };
    // The shortest side first, so that chunks become as cubic as they can.
    while elements.saturating_mul(2) <= most {
        let shortest =
            (0..axes.len()).filter(|&axis| can_grow(axis, &chunk)).min_by_key(|&a| chunk[a]);
        let Some(axis) = shortest else { break };
        chunk[axis] *= 2;
        elements *= 2;
    }
    Grid::new(axes.iter().zip(&chunk).map(|(axis, &chunk)| match axis.regular_chunk() {
        Some(_) => AxisGrid::regular(axis.len(), chunk),
        None => axis.clone(),
    }))
}

/// The most uneven cuts of an axis that are listed: 128 MiB of them.
pub(super) const MOST_CUTS: u64 = 1 << 24;

/// The operator that the user wrote for the kernel `name`, or the name where there is none.
fn sign(name: &str) -> &str {
    match name {
        "add" => "+",
        "subtract" => "-",
        "multiply" => "*",
        "divide" => "/",
        "remainder" => "%",
        "bitwise_and" => "&",
        "bitwise_or" => "|",
        "bitwise_xor" => "^",
        "left_shift" => "<<",
        "right_shift" => ">>",
        name => name,
    }
}

/// A grid on which each chunk holds whole boxes of `bins`, or each box whole chunks; this
/// grid itself where it is one already.
pub(super) fn aligned(grid: &Grid, bins: &[u64]) -> Grid {
    Grid::new(grid.axes().iter().zip(bins).map(|(axis, &bin)| {
        let straddled = match axis.regular_chunk() {
            Some(chunk) => {
                !chunk.is_multiple_of(bin) && !bin.is_multiple_of(chunk) && bin != axis.len()
            }
            // Inside a box, both sides of a cut must stay within it.
            None => (0..axis.count()).any(|i| {
                let bounds = axis.bounds(i);
                let inside = bounds.start / bin == (bounds.end - 1) / bin;
                !inside && (bounds.start % bin != 0 || bounds.end % bin != 0)
            }),
        };
        if !straddled {
            return axis.clone();
        }
        if let Some(chunk) = axis.regular_chunk()
            && axis.count() > MOST_CUTS
        {
            return AxisGrid::regular(axis.len(), (chunk / bin * bin).max(bin));
        }
        let mut cuts: Vec<u64> = axis.boundaries().map(|cut| cut / bin * bin).collect();
        cuts.dedup();
        AxisGrid::from_boundaries(cuts)
    }))
}

/// A shape as NumPy prints it: `(2048, 2047)`.
pub(crate) fn shape_text(shape: &[u64]) -> String {
    let list: Vec<String> = shape.iter().map(u64::to_string).collect();
    match list.as_slice() {
        [one] => format!("({one},)"),
        list => format!("({})", list.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_is_numpys() {
        let check = |shapes: &[&[u64]], expected: Option<&[u64]>| {
            let shape = broadcast_shape(shapes.iter().copied());
            assert_eq!(shape.as_deref(), expected, "{shapes:?}");
        };
        check(&[&[3, 4], &[4]], Some(&[3, 4]));
        check(&[&[3, 1], &[1, 4]], Some(&[3, 4]));
        check(&[&[], &[2]], Some(&[2]));
        check(&[&[0], &[1]], Some(&[0]));
        check(&[&[0], &[2]], None);
        check(&[&[3, 4], &[3]], None);
    }

    #[test]
    fn thin_chunks_that_cross_have_no_tiny_ones_in_common() {
        let chunk = |shape: &[u64], chunk: &[u64], least| {
            coarsened(Grid::regular(shape, chunk), least).max_chunk().to_vec()
        };
        assert_eq!(chunk(&[9100, 9100], &[7, 7], 63_700), [224, 224]);
        assert_eq!(chunk(&[400, 1024, 1024], &[1, 1, 1024], 1 << 20), [16, 8, 1024]);
        // Those that are large enough, or not much finer, stay.
        assert_eq!(chunk(&[9100, 9100], &[128, 128], 1 << 20), [128, 128]);
        assert_eq!(chunk(&[4096, 4096], &[16, 16], 2048), [16, 16]);
        assert_eq!(chunk(&[100, 4], &[1, 1], 1 << 20), [100, 4]);
        let uneven =
            Grid::new([AxisGrid::from_boundaries(vec![0, 3, 9, 20]), AxisGrid::regular(1000, 2)]);
        assert_eq!(super::coarsened(uneven, 2000).max_chunk().to_vec(), [11, 128]);
    }

    #[test]
    fn only_straddled_boxes_are_cut_anew() {
        let grid = Grid::regular(&[35, 40], &[7, 8]);
        assert_eq!(aligned(&grid, &[7, 4]), grid);
        assert_eq!(aligned(&grid, &[35, 16]), grid);
        assert_eq!(
            aligned(&grid, &[5, 8]).axes()[0],
            AxisGrid::from_boundaries(vec![0, 5, 10, 20, 25, 35])
        );
    }
}
