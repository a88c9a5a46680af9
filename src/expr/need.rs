//! What a block of a function's result is made of: boxes of its inputs, as arithmetic.
//!
//! A function of whole blocks names, for each axis of each input, what it must see to make
//! one block of its output. Both directions follow from that: the box of an input that some
//! blocks need, and the blocks that need some elements of an input.

use freeboard_formats::{AxisGrid, Dims, Grid, Region};
use smallvec::SmallVec;

/// What a block of the output needs along one axis of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// The whole axis.
    All,
    /// The block with the number that the output's has along its axis `of`; there are as many.
    Block {
        /// The output axis.
        of: usize,
    },
    /// The elements with the coordinates that the block has along the output's axis `of`, and
    /// so many before and after them, as far as the input reaches.
    Window {
        /// The output axis.
        of: usize,
        /// Elements before the first.
        before: u64,
        /// Elements after the last.
        after: u64,
    },
}

impl Need {
    /// The elements with the block's own coordinates along the output's axis `of`.
    pub fn same(of: usize) -> Need {
        Need::Window { of, before: 0, after: 0 }
    }
}

/// What a block of the output needs of one input: a [`Need`] for each of the input's axes.
/// Along output axes that none names, all blocks need the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Needs(SmallVec<[Need; 4]>);

impl Needs {
    /// One for each axis of the input.
    pub fn new(axes: impl IntoIterator<Item = Need>) -> Needs {
        Needs(axes.into_iter().collect())
    }

    /// Block by block: axis `i` of the input belongs to axis `i` of the output.
    pub fn blocks(rank: usize) -> Needs {
        Needs::new((0..rank).map(|of| Need::Block { of }))
    }

    /// One for each axis of the input.
    pub fn axes(&self) -> &[Need] {
        &self.0
    }

    /// Whether they can be met: named axes exist, and blocks have partners.
    pub(crate) fn fit(&self, input: &Grid, output: &Grid) -> bool {
        let fits = |(need, axis): (&Need, &AxisGrid)| match *need {
            Need::All => true,
            Need::Block { of } => {
                output.axes().get(of).is_some_and(|made| made.count() == axis.count())
            }
            Need::Window { of, .. } => of < output.rank(),
        };
        self.0.len() == input.rank() && self.0.iter().zip(input.axes()).all(fits)
    }

    /// The box of the input's elements that the output's blocks in the box `units` need,
    /// which is not empty.
    pub fn region(&self, input: &Grid, output: &Grid, units: &Region) -> Region {
        let mut region = Region { start: Dims::new(), shape: Dims::new() };
        for (need, axis) in self.0.iter().zip(input.axes()) {
            let range = match *need {
                Need::All => 0..axis.len(),
                Need::Block { of } => {
                    let blocks = units.range(of);
                    axis.bounds(blocks.start).start..axis.bounds(blocks.end - 1).end
                }
                Need::Window { of, before, after } => {
                    let (blocks, made) = (units.range(of), &output.axes()[of]);
                    let start = made.bounds(blocks.start).start.saturating_sub(before);
                    let end = made.bounds(blocks.end - 1).end.saturating_add(after);
                    start.min(axis.len())..end.min(axis.len())
                }
            };
            region.start.push(range.start);
            region.shape.push(range.end - range.start);
        }
        region
    }

    /// The box of the output's blocks that need any of the input's elements in `elements`,
    /// which is not empty; `None` if there are none.
    pub fn readers(&self, input: &Grid, output: &Grid, elements: &Region) -> Option<Region> {
        let mut units = Region::whole(&output.counts());
        for (i, (need, axis)) in self.0.iter().zip(input.axes()).enumerate() {
            let range = elements.range(i);
            let (of, blocks) = match *need {
                Need::All => continue,
                Need::Block { of } => (of, axis.covering(range)),
                Need::Window { of, before, after } => {
                    let made = &output.axes()[of];
                    let start = range.start.saturating_sub(after);
                    let end = range.end.saturating_add(before).min(made.len());
                    if start >= end {
                        return None;
                    }
                    (of, made.covering(start..end))
                }
            };
            let have = units.range(of);
            let (start, end) = (have.start.max(blocks.start), have.end.min(blocks.end));
            if start >= end {
                return None;
            }
            (units.start[of], units.shape[of]) = (start, end - start);
        }
        (!units.is_empty()).then_some(units)
    }

    /// Where the boxes that blocks need end and begin, halos left out: how the input is best cut.
    pub(crate) fn cuts(&self, input: &Grid, output: &Grid) -> Grid {
        Grid::new(self.0.iter().zip(input.axes()).map(|(need, axis)| match *need {
            Need::All => AxisGrid::whole(axis.len()),
            Need::Block { .. } => axis.clone(),
            Need::Window { of, .. } if output.axes()[of].len() == axis.len() => {
                output.axes()[of].clone()
            }
            Need::Window { of, .. } => {
                let inner =
                    output.axes()[of].boundaries().filter(|&cut| cut > 0 && cut < axis.len());
                let mut cuts: Vec<u64> = std::iter::once(0).chain(inner).collect();
                cuts.push(axis.len());
                AxisGrid::from_boundaries(cuts)
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grid() -> impl Strategy<Value = Grid> {
        proptest::collection::vec(1u64..6, 1..5)
            .prop_map(|sizes| Grid::new([AxisGrid::from_sizes(sizes)]))
    }

    proptest! {
        #[test]
        fn readers_are_the_inverse_of_needs(
            input in grid(), output in grid(), before in 0u64..9, after in 0u64..9,
            start in 0u64..20, len in 1u64..9,
        ) {
            let n = input.shape()[0];
            let elements = Region::new(vec![start % n], vec![len.min(n - start % n)]);
            let kinds = [Need::All, Need::Block { of: 0 }, Need::Window { of: 0, before, after }];
            for need in kinds {
                let needs = Needs::new([need]);
                if !needs.fit(&input, &output) {
                    continue;
                }
                let needing: Vec<u64> = (0..output.len())
                    .filter(|&unit| {
                        let box_ = needs.region(&input, &output, &Region::new(vec![unit], vec![1]));
                        box_.intersection(&elements).is_some_and(|common| !common.is_empty())
                    })
                    .collect();
                let found = needs.readers(&input, &output, &elements);
                let found: Vec<u64> = found.map_or(Vec::new(), |units| units.range(0).collect());
                prop_assert_eq!(found, needing, "{:?}", need);
            }
        }
    }

    #[test]
    fn boxes_end_where_the_input_does() {
        let needs = Needs::new([Need::Window { of: 1, before: 2, after: 3 }, Need::All]);
        let (input, output) = (Grid::regular(&[10, 7], &[5, 7]), Grid::regular(&[3, 10], &[1, 4]));
        let region =
            |unit: u64| needs.region(&input, &output, &Region::new(vec![1, unit], vec![1, 1]));
        assert_eq!(region(0), Region::new(vec![0, 0], vec![7, 7]));
        assert_eq!(region(1), Region::new(vec![2, 0], vec![8, 7]));
        assert_eq!(needs.cuts(&input, &output), Grid::regular(&[10, 7], &[4, 7]));
    }
}
