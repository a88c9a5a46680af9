//! In which pieces a task takes a block: slabs, which fix bits, and bands, which fix memory.
//!
//! A **slab** is a box of about [`SLAB`] elements that follow one another in a block. Blocks are
//! walked slab by slab, and slabs tile by tile: so how a block is cut into tiles, and with it
//! the order in which elements are folded, follows from its shape alone.
//!
//! A **band** is one or several slabs that together are a box. A task need not hold a block of
//! its inputs to compute one: it reads a band, computes what follows from it while it lies in
//! the second-level cache, and reads the next one into the same place. That is done where it
//! reads and decodes no more than reading all at once, as of elements that lie in a file as
//! they are; chunks that are decoded whole are landed whole.

use super::{
    reading::effort,
    size::Fetch,
    stage::{Feed, Stage},
};
use crate::kernel::SEGMENT;
use freeboard_formats::{Dims, Region, region::volume};
use std::ops::Range;

/// Elements of a slab, at the least: so many that rows of tiles are cut little shorter by it.
const SLAB: u64 = 16 * SEGMENT as u64;

/// Bytes that the landings of a band take together, at the most where a slab takes no more:
/// about half of a second-level cache.
const BAND_BYTES: u64 = 512 << 10;

/// What reading band by band may cost, relative to reading at once.
const WORTH: f64 = 1.05;

/// The shape of the slabs of a block of `shape`: the last axis that has, with those behind it,
/// [`SLAB`] elements is cut into stretches (the last may be shorter) that just have so
/// many; those behind it are whole, those before it are stepped through.
pub(crate) fn slab(shape: &[u64]) -> Dims {
    let mut slab: Dims = shape.into();
    let mut inner = 1;
    for axis in (0..shape.len()).rev() {
        if inner * shape[axis] >= SLAB {
            slab[axis] = SLAB.div_ceil(inner);
            slab[..axis].fill(1);
            break;
        }
        inner *= shape[axis];
    }
    slab
}

/// The box of up to `count` slabs of a block of `shape` that follow one another.
pub(crate) fn band_of(shape: &[u64], count: u64) -> Dims {
    let mut band = slab(shape);
    let mut left = count.max(1);
    for axis in (0..shape.len()).rev() {
        if band[axis] == shape[axis] {
            continue;
        }
        let along = shape[axis].div_ceil(band[axis]);
        if left < along {
            band[axis] *= left;
            break;
        }
        band[axis] = shape[axis];
        left /= along;
    }
    band
}

/// A band of a block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Band {
    /// Its elements, counted from the block's first.
    pub within: Region,
    /// The same in C order: they follow one another.
    pub elements: Range<usize>,
}

impl Band {
    /// All of a block of `shape`.
    pub fn whole(shape: &[u64]) -> Band {
        Band { within: Region::whole(shape), elements: 0..volume(shape) as usize }
    }

    /// Its elements in the array of which the block is `region`.
    pub fn of(&self, region: &Region) -> Region {
        let start = region.start.iter().zip(&self.within.start);
        Region { start: start.map(|(a, b)| a + b).collect(), shape: self.within.shape.clone() }
    }
}

/// The bands of the shape `band` of a block of `shape`, in C order; none of an empty one.
pub(crate) fn bands(shape: &[u64], band: &[u64]) -> impl Iterator<Item = Band> {
    let mut next = (!shape.contains(&0)).then(|| Dims::from_elem(0, shape.len()));
    let mut elements = 0;
    std::iter::from_fn(move || {
        let start = next.take()?;
        let len = |axis: usize| band[axis].min(shape[axis] - start[axis]);
        let within = Region { shape: (0..shape.len()).map(len).collect(), start };
        let mut after = within.start.clone();
        for axis in (0..shape.len()).rev() {
            after[axis] += within.shape[axis];
            if after[axis] < shape[axis] {
                next = Some(after);
                break;
            }
            after[axis] = 0;
        }
        let first = elements;
        elements += within.volume() as usize;
        Some(Band { within, elements: first..elements })
    })
}

/// Decides which of the inputs that a unit would land whole, to compute `region`, it takes
/// in bands: their `fetches` become [`Fetch::Banded`]. Returns the shape of the bands, which is
/// that of the region where there are none.
pub(super) fn choose(
    stage: &Stage,
    region: &Region,
    inputs: &[usize],
    fetches: &mut [Fetch],
) -> Dims {
    let whole = &region.shape;
    let one = Region { start: region.start.clone(), shape: slab(whole) };
    if region.is_empty() || one.shape == *whole {
        return whole.clone();
    }
    let landed = |fetch: &Fetch| *fetch == Fetch::Landed;
    let bytes_of = |input: usize| {
        let input = &stage.inputs[input];
        input.access.region(&one).volume() * input.dtype.size() as u64
    };
    let of_slab = inputs.iter().zip(&*fetches).filter(|(_, fetch)| landed(fetch));
    let bytes: u64 = of_slab.map(|(&input, _)| bytes_of(input)).sum();
    if bytes == 0 {
        return whole.clone();
    }
    let band = band_of(whole, BAND_BYTES / bytes);
    let mut any = false;
    for (&input, fetch) in inputs.iter().zip(fetches).filter(|(_, fetch)| landed(fetch)) {
        if is_worth(stage, input, region, &band) {
            *fetch = Fetch::Banded;
            any = true;
        }
    }
    if any { band } else { whole.clone() }
}

/// Whether taking an input band by band takes no more than taking it at once.
fn is_worth(stage: &Stage, input: usize, region: &Region, band: &[u64]) -> bool {
    let input = &stage.inputs[input];
    // What is read or copied, and fetched from storage.
    let cost = |region: &Region| {
        let held = input.access.region(region);
        match &input.feed {
            Feed::Source(source) => (effort(&**source, &held), source.cost(&held).bytes),
            Feed::Port(_) => (held.volume(), 0),
        }
    };
    let most = |whole: u64| (whole as f64 * WORTH) as u64;
    let (effort, bytes) = cost(region);
    let (effort, bytes) = (most(effort), most(bytes));
    let mut sum = (0u64, 0u64);
    bands(&region.shape, band).all(|band| {
        let (more, bytes_more) = cost(&band.of(region));
        sum = (sum.0.saturating_add(more), sum.1.saturating_add(bytes_more));
        sum.0 <= effort && sum.1 <= bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use freeboard_formats::region::volume;
    use proptest::prelude::*;

    #[test]
    fn slabs_are_cut_along_the_last_axis_that_is_long_enough() {
        assert_eq!(slab(&[1024, 1024])[..], [64, 1024]);
        assert_eq!(slab(&[500, 1280])[..], [52, 1280]);
        assert_eq!(slab(&[4, 300, 300])[..], [1, 219, 300]);
        assert_eq!(slab(&[3, 256, 256])[..], [1, 256, 256]);
        assert_eq!(slab(&[7, 1 << 20])[..], [1, 1 << 16]);
        assert_eq!(slab(&[100, 60, 3])[..], [100, 60, 3]);
        assert_eq!(slab(&[1 << 40, 0])[..], [1 << 40, 0]);
        assert!(slab(&[]).is_empty());
    }

    #[test]
    fn bands_are_whole_slabs() {
        assert_eq!(band_of(&[1024, 1024], 4)[..], [256, 1024]);
        assert_eq!(band_of(&[1024, 1024], 100)[..], [1024, 1024]);
        // Two slabs a frame: three are one frame.
        assert_eq!(band_of(&[9, 300, 300], 3)[..], [1, 300, 300]);
        assert_eq!(band_of(&[9, 300, 300], 9)[..], [4, 300, 300]);
        assert_eq!(band_of(&[9, 300, 300], 0)[..], [1, 219, 300]);
    }

    proptest! {
        #[test]
        fn bands_cover_a_block_once_in_c_order(
            shape in proptest::collection::vec(1u64..400, 0..4), count in 0u64..20,
        ) {
            let (slab, band) = (slab(&shape), band_of(&shape, count));
            let mut next = 0;
            for band in bands(&shape, &band) {
                prop_assert!(band.within.is_contiguous_in(&shape));
                prop_assert_eq!(band.elements.start, next);
                prop_assert_eq!(band.elements.len() as u64, band.within.volume());
                // It begins where a slab does.
                prop_assert!(band.within.start.iter().zip(&slab).all(|(at, len)| at % len == 0));
                next = band.elements.end;
            }
            prop_assert_eq!(next as u64, volume(&shape));
        }
    }
}
