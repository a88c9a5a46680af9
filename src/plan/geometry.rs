//! How the chunks of a fold's input lie in the blocks of its output: pure arithmetic.
//!
//! Along each axis a chunk holds whole boxes of the fold, or a box holds whole chunks (the
//! expression sees to it). So every chunk lies in one block, and covers all of its cells.

use freeboard_formats::{Dims, Grid, region::volume};

/// How many partial results are combined at once.
pub(crate) const FAN_IN: u64 = 16;

/// The chunks of a fold's input, the blocks of its output, and the boxes that become an element.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FoldGeometry {
    pub chunks: Grid,
    pub blocks: Grid,
    pub bins: Dims,
}

impl FoldGeometry {
    /// The same, of chunks that were divided along axes that are kept: so are the blocks.
    pub fn in_pieces(self, pieces: &Grid) -> FoldGeometry {
        let blocks = self.blocks.axes().iter().zip(self.chunks.axes()).zip(pieces.axes());
        let blocks = Grid::new(blocks.map(|((block, chunk), piece)| match chunk == piece {
            true => block.clone(),
            false => piece.clone(),
        }));
        FoldGeometry { chunks: pieces.clone(), blocks, ..self }
    }

    /// Whether the chunks of each block follow one another: along one axis blocks may hold several
    /// chunks, and those behind it lie in one block.
    pub fn is_consecutive(&self) -> bool {
        let counts = self.chunks.axes().iter().zip(self.blocks.axes());
        let mut gathered = counts.skip_while(|(chunks, blocks)| chunks.count() == blocks.count());
        gathered.next();
        gathered.all(|(_, blocks)| blocks.count() <= 1)
    }

    /// The number of the block in which the chunk with the number `chunk` lies, and its
    /// position among the block's chunks in C order.
    pub fn place(&self, chunk: u64) -> (u64, u64) {
        let index = self.chunks.index_of(chunk);
        let (mut block, mut position) = (0, 0);
        for (axis, &i) in index.iter().enumerate() {
            let start = self.chunks.axes()[axis].bounds(i).start;
            let b = self.blocks.axes()[axis].locate(start / self.bins[axis]);
            let (first, count) = self.along(axis, b);
            block = block * self.blocks.axes()[axis].count() + b;
            position = position * count + (i - first);
        }
        (block, position)
    }

    /// The number of the chunk at `position` of the block with the number `block`.
    pub fn chunk(&self, block: u64, mut position: u64) -> u64 {
        let index = self.blocks.index_of(block);
        let mut chunk = Dims::from_elem(0, index.len());
        for axis in (0..index.len()).rev() {
            let (first, count) = self.along(axis, index[axis]);
            chunk[axis] = first + position % count;
            position /= count;
        }
        self.chunks.linear_of(&chunk)
    }

    /// How many chunks lie in the block with the number `block`.
    pub fn count(&self, block: u64) -> u64 {
        let index = self.blocks.index_of(block);
        index.iter().enumerate().map(|(axis, &b)| self.along(axis, b).1).product()
    }

    /// The most chunks that lie in one block.
    pub fn max_count(&self) -> u64 {
        let along = |axis: usize| {
            let blocks = &self.blocks.axes()[axis];
            // Of regular chunks in regular blocks, the first block holds the most.
            let regular = blocks.regular_chunk().is_some()
                && self.chunks.axes()[axis].regular_chunk().is_some();
            let looked_at = if regular { blocks.count().min(1) } else { blocks.count() };
            (0..looked_at).map(|b| self.along(axis, b).1).max().unwrap_or(0)
        };
        (0..self.blocks.rank()).map(along).product()
    }

    /// How many cells the block with the number `block` has, and each of its chunks covers.
    pub fn cells(&self, block: u64) -> u64 {
        volume(&self.blocks.region(&self.blocks.index_of(block)).shape)
    }

    /// How many elements of the chunk with the number `chunk` fall into each cell.
    pub fn elements_of(&self, chunk: u64) -> u64 {
        let shape = self.chunks.region(&self.chunks.index_of(chunk)).shape;
        shape.iter().zip(&self.bins).map(|(&len, &bin)| len.min(bin)).product()
    }

    /// The first chunk of block `b` along `axis`, and how many there are.
    fn along(&self, axis: usize, b: u64) -> (u64, u64) {
        let bounds = self.blocks.axes()[axis].bounds(b);
        let bin = self.bins[axis];
        let covering = self.chunks.axes()[axis].covering(bounds.start * bin..bounds.end * bin);
        (covering.start, covering.end - covering.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freeboard_formats::AxisGrid;

    #[test]
    fn chunks_follow_one_another_behind_the_axes_that_are_kept() {
        let chunks = Grid::new([4, 6, 2].map(|count| AxisGrid::regular(count, 1)));
        for blocks in [[4, 6, 2], [4, 6, 1], [4, 3, 1], [4, 3, 2], [1, 6, 2], [2, 1, 1], [4, 1, 1]]
        {
            let bins: Dims =
                [4, 6, 2].iter().zip(blocks).map(|(all, blocks)| all / blocks).collect();
            let blocks = Grid::new(blocks.map(|count| AxisGrid::regular(count, 1)));
            let geometry = FoldGeometry { chunks: chunks.clone(), blocks, bins };
            let consecutive = (0..geometry.blocks.len()).all(|block| {
                let first = geometry.chunk(block, 0);
                (0..geometry.count(block)).all(|at| geometry.chunk(block, at) == first + at)
            });
            assert_eq!(geometry.is_consecutive(), consecutive, "{geometry:?}");
        }
    }

    #[test]
    fn chunks_and_positions_are_inverse() {
        let geometry = FoldGeometry {
            chunks: Grid::new([
                AxisGrid::regular(40, 1),
                AxisGrid::from_sizes([4, 6, 2]),
                AxisGrid::regular(9, 3),
            ]),
            blocks: Grid::new([
                AxisGrid::regular(8, 1),
                AxisGrid::from_sizes([2, 3, 1]),
                AxisGrid::whole(1),
            ]),
            bins: [5, 2, 9].as_slice().into(),
        };
        assert_eq!(geometry.max_count(), 15);
        let mut seen = 0;
        for block in 0..geometry.blocks.len() {
            for position in 0..geometry.count(block) {
                let chunk = geometry.chunk(block, position);
                assert_eq!(geometry.place(chunk), (block, position));
                seen += 1;
            }
        }
        assert_eq!(seen, geometry.chunks.len());
    }
}
