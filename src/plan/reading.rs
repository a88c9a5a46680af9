//! How sources are read: by the tasks that need their elements, or by stages of their own.
//!
//! A task that reads for itself keeps nothing in the store, but tasks that share a chunk
//! decode it again, and short runs are read as slowly as pages. What each way takes is
//! estimated here, from what the source says that reading costs; and work is cut so that
//! reading it takes little: several blocks of a stored output at once, or pieces of chunks.

use super::{
    lower::{Lowering, Owner},
    shuffle::joined,
    size::is_plain,
    split,
    stage::{FoldPlan, Reach},
};
use crate::expr::{Access, AxisView, Op};
use freeboard_formats::{ChunkSource, Dims, Grid, Region, region::volume};
use std::sync::Arc;

/// Decoded bytes of inline reads, relative to reading each chunk once, up to which a task
/// reads its source itself.
const AMPLIFICATION: f64 = 1.2;

/// Runs of so many bytes are read as fast as longer ones.
pub(super) const LONG_RUN: u64 = 256 << 10;

impl Lowering<'_> {
    /// Cuts the axes that chained folds keep, where they would be carried by fewer threads
    /// than there are, and reading pieces takes no more than reading whole chunks.
    pub(super) fn split_groups(&mut self) {
        for number in 0..self.groups.len() {
            let group = &self.groups[number];
            if group.chained.is_none() || !group.leaves.iter().all(|&leaf| self.divides(leaf)) {
                continue;
            }
            let bins = |&fold: &usize| match self.nodes[fold].expr.op() {
                Op::Fold { bins, .. } => bins.clone(),
                _ => unreachable!("a fold"),
            };
            let bins: Vec<Dims> = group.folds.iter().map(bins).collect();
            let kept: Vec<bool> =
                (0..group.grid.rank()).map(|axis| bins.iter().all(|bin| bin[axis] == 1)).collect();
            let geometry = self.geometry(group.folds[0]);
            let count = geometry.max_count();
            let chains = |&fold: &usize| match self.nodes[fold].expr.op() {
                Op::Fold { fold, .. } => count.div_ceil(FoldPlan::fan_in(&**fold, count)),
                _ => unreachable!("a fold"),
            };
            let chains = group.folds.iter().map(chains).min().unwrap_or(0);
            let carried = geometry.blocks.len() * chains;
            let size = self.meta(self.nodes[group.folds[0]].inputs[0]).dtype.size() as u64;
            let wanted = 4 * self.means.workers as u64;
            let pieces = split::kept_axes(&group.grid, &kept, carried, wanted, size);
            self.groups[number].pieces = pieces;
        }
    }

    /// Whether half of a chunk of the node is read for about half of what a whole one takes.
    fn divides(&self, node: usize) -> bool {
        let Op::Source(source) = self.nodes[node].expr.op() else { return false };
        let grid = &source.meta().grid;
        if grid.is_empty() {
            return false;
        }
        let whole = grid.region(&Dims::from_elem(0, grid.rank()));
        let mut half = whole.clone();
        let Some(axis) = (0..half.rank()).find(|&axis| half.shape[axis] > 1) else { return false };
        half.shape[axis] /= 2;
        source.cost(&half).decoded * 10 <= source.cost(&whole).decoded * 6
    }

    /// The grid of an owner's units, and, of a block function, what they reach of the input.
    fn owner_grid(&self, owner: Owner) -> (&Grid, Option<Reach>) {
        match owner {
            Owner::Root(root) => (&self.root_grids[root], None),
            Owner::Group(group) => (self.groups[group].visited(), None),
            Owner::Node(node) => (&self.meta(node).grid, None),
            Owner::Input(node, input) => (&self.meta(node).grid, Some(self.reach(node, input))),
        }
    }

    /// Where a root that is stored reads a plain source itself, in short runs that lie
    /// scattered in its files: joins the root's blocks along the axes along which the source
    /// lies together, as far as memory goes. So columns are cut out of frames a band at a
    /// time, and nothing waits on scratch.
    pub(super) fn widen_root(&mut self, number: usize, source: &Arc<dyn ChunkSource>) {
        let [(Owner::Root(root), access)] = &self.uses[number][..] else { return };
        let storage = source.storage();
        if self.roots[*root].1.sink_scratch.is_none()
            || !storage.codec.is_empty()
            || storage.files == 0
        {
            return;
        }
        let (root, grid) = (*root, &source.meta().grid);
        let mut blocks = self.root_grids[root].clone();
        if blocks.is_empty() || grid.is_empty() {
            return;
        }
        let workers = self.means.workers as u64;
        let copies = if is_plain(access, blocks.rank()) { 1 } else { 2 };
        let most = self.means.arena / (workers + 1) / copies / source.meta().dtype.size() as u64;
        let chunk = grid.max_chunk();
        for (axis, view) in access.axes().iter().enumerate().rev() {
            let AxisView::Along { of, .. } = *view else { continue };
            loop {
                let first = blocks.region(&Dims::from_elem(0, blocks.rank()));
                let within = part_of_output(access, &first, &grid.shape());
                if within != first {
                    return;
                }
                let region = access.region(&first);
                if run_bytes(&**source, &region) >= LONG_RUN {
                    self.root_grids[root] = blocks;
                    return;
                }
                if region.shape[axis] >= chunk[axis] || blocks.axes()[of].count() == 1 {
                    break;
                }
                let mut axes = blocks.axes().to_vec();
                axes[of] = joined(&axes[of], 2);
                let wider = Grid::new(axes);
                if volume(&wider.max_chunk()) > most || wider.len() < 2 * workers {
                    break;
                }
                blocks = wider;
            }
        }
        self.root_grids[root] = blocks;
    }

    /// Whether tasks that read the source themselves would decode much more than a stage that
    /// reads each of its chunks once. Elements that lie as they are, more of them than fit in
    /// memory, are read again rather than kept: they would have to leave it in between.
    pub(super) fn should_be_read_apart(
        &self,
        number: usize,
        source: &Arc<dyn ChunkSource>,
    ) -> bool {
        let grid = &source.meta().grid;
        let (mut inline, mut worst, mut once) = (0.0f64, 0.0f64, 0.0f64);
        let mut touched: Option<Region> = None;
        for (owner, access) in &self.uses[number] {
            let (blocks, reach) = self.owner_grid(*owner);
            let read = reach.as_ref().map_or(blocks, |reach| &reach.grid);
            if blocks.is_empty() || read.is_empty() || grid.is_empty() {
                continue;
            }
            let whole = Region::whole(&read.shape());
            // A part of a concatenation reads its own stretch of it alone.
            let within = part_of_output(access, &whole, &grid.shape());
            if within.is_empty() {
                continue;
            }
            let reading = |within: &Region| match &reach {
                Some(reach) => reach.needs.readers(&reach.grid, blocks, within),
                None => Some(blocks.covering(within)),
            };
            let Some(units) = reading(&within) else { continue };
            let read_by = |index: Dims| match &reach {
                Some(reach) => {
                    let shape = Dims::from_elem(1, index.len());
                    reach.needs.region(&reach.grid, blocks, &Region { start: index, shape })
                }
                None => blocks.region(&index),
            };
            let sample = |at: u64, of: u64| {
                let index: Dims = units
                    .start
                    .iter()
                    .zip(&units.shape)
                    .map(|(start, len)| start + (len - 1) * at / of)
                    .collect();
                let region = read_by(index).intersection(&within);
                region.map_or(0, |region| effort(&**source, &access.region(&region)))
            };
            let samples = [sample(0, 2), sample(1, 2), sample(2, 2)];
            let mean = samples.iter().sum::<u64>() as f64 / 3.0;
            let all = mean * units.volume() as f64;
            inline += all;
            let demanded = access.region(&within).volume() * source.meta().dtype.size() as u64;
            worst = worst.max(all / demanded.max(1) as f64);
            let region = access.region(&within);
            let union = match touched.take() {
                None => region,
                Some(other) => hull(&other, &region),
            };
            touched = Some(union);
        }
        if let Some(region) = touched {
            let chunks = grid.covering(&region);
            let first = source.cost(&grid.region(&chunks.start)).decoded;
            once += first as f64 * chunks.volume() as f64;
        }
        let plain = source.storage().codec.is_empty();
        if plain && once > self.means.arena as f64 / 2.0 && worst <= AMPLIFICATION {
            return false;
        }
        inline > AMPLIFICATION * once
    }
}

/// What reading a region takes, in bytes decoded. Elements that lie scattered in their
/// chunks are fetched in runs, each of which costs about as much as a page.
pub(super) fn effort(source: &dyn ChunkSource, region: &Region) -> u64 {
    const PAGE: u64 = 4096;
    let decoded = source.cost(region).decoded;
    if region.is_empty() || source.storage().files == 0 {
        return decoded;
    }
    let run = run_bytes(source, region);
    let bytes = region.volume() * source.meta().dtype.size() as u64;
    decoded.max(bytes.div_ceil(run).saturating_mul(run.max(PAGE)))
}

/// Bytes of a region, which is not empty, that lie together in a chunk.
fn run_bytes(source: &dyn ChunkSource, region: &Region) -> u64 {
    let meta = source.meta();
    let chunk = meta.grid.max_chunk();
    let mut run = meta.dtype.size() as u64;
    for axis in (0..region.rank()).rev() {
        run *= region.shape[axis].min(chunk[axis]);
        if region.shape[axis] < chunk[axis] {
            break;
        }
    }
    run
}

/// The elements of `whole` whose accesses lie in an array of `shape`.
fn part_of_output(access: &Access, whole: &Region, shape: &[u64]) -> Region {
    let mut part = whole.clone();
    for (axis, view) in access.axes().iter().enumerate() {
        if let AxisView::Along { of, .. } = view {
            let range = access.selects(axis, &(0..shape[axis]), whole.range(*of));
            (part.start[*of], part.shape[*of]) = (range.start, range.end - range.start);
        }
    }
    part
}

/// The smallest box that holds both.
pub(super) fn hull(a: &Region, b: &Region) -> Region {
    let start: Dims = a.start.iter().zip(&b.start).map(|(a, b)| *a.min(b)).collect();
    let shape = (0..a.rank()).map(|i| a.range(i).end.max(b.range(i).end) - start[i]).collect();
    Region { start, shape }
}
