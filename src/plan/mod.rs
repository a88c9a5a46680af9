//! Plans: what will be done, sized, before any of it is done.
//!
//! A plan is made from expressions in passes: `share` merges equal nodes, `lower` lays
//! out stages, `edges` tells what needs what, `size` what each task takes. It holds
//! nothing that grows with the number of chunks.

mod bands;
mod chain;
mod compile;
mod edges;
mod explain;
mod fit;
mod geometry;
mod identity;
mod lower;
mod program;
mod reading;
mod repeat;
mod samples;
mod share;
mod shuffle;
mod size;
mod split;
mod stage;
mod walk;

#[cfg(test)]
pub(crate) use bands::band_of;
pub(crate) use bands::{Band, bands, slab};
pub(crate) use edges::blocks_read;
pub(crate) use explain::name_of;
pub(crate) use identity::provenance;
pub(crate) use lower::Root;
pub(crate) use program::{Program, Value};
pub(crate) use size::{Fetch, Layout};
pub(crate) use stage::{Batch, Feed, FoldPlan, Holds, Key, PortId, Stage, StageId, Work, part_of};

use crate::{
    error::{Error, ErrorKind, Result},
    expr::Expr,
    memory::format_bytes,
};
use freeboard_formats::{ChunkSource, DType, Grid, MissingFiles, Region};
use share::Shared;
use stage::Port;
use std::sync::Arc;

/// What will be done, in stages.
#[derive(Debug, Default)]
pub struct Plan {
    pub(crate) stages: Vec<Stage>,
    pub(crate) ports: Vec<Port>,
    /// The stage of each root.
    pub(crate) roots: Vec<StageId>,
    root_dtypes: Vec<DType>,
    /// How the elements of each root leave.
    outputs: Vec<Root>,
    totals: Totals,
    /// The most chunks that a batch takes at once, but for those that wait all at once anyway; 0 where it makes
    /// no difference.
    most_taken: u64,
}

/// What a plan takes altogether.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tasks of all stages.
    pub tasks: u64,
    /// Bytes fetched from storage (an estimate where chunks are compressed).
    pub read: u64,
    /// Bytes of elements that are written or handed out.
    pub written: u64,
    /// Bytes of what lies in the store between stages, if all of it lay there at once.
    pub between: u64,
    /// Bytes that the largest task needs at once.
    pub largest_task: u64,
    /// Bytes that the process will hold at the most, as far as that can be told before; 0
    /// until it is projected for a session.
    pub peak: u64,
}

/// What is wanted of a root.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub expr: Expr,
    pub root: Root,
}

/// What a plan is made for. Values do not depend on it; how work is cut does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means {
    /// Bytes that the run may give out.
    pub arena: u64,
    pub workers: usize,
    /// Whether elementwise nodes become part of the stages that use them.
    pub fuse: bool,
    /// Whether sums, means and spreads do not depend on the chunks either.
    pub reproducible: bool,
    /// Bytes that may go to scratch.
    pub scratch: u64,
}

/// Where work is cut into smaller pieces, in bytes.
#[derive(Clone, Copy, Debug)]
struct Cuts {
    /// Inputs of which one task would need more are shuffled.
    share: u64,
    /// Blocks that may be cut anywhere are divided into such ones.
    block: u64,
    /// Whether inputs are also shuffled whose chunks would but come back.
    pieces: bool,
}

/// Blocks are not divided into smaller ones, in bytes.
const LEAST_BLOCK: u64 = 512;

/// A batch is worth at least about this many bytes of work; smaller tasks are bundled.
const BATCH_BYTES: u64 = 64 << 10;
/// The most units that are bundled.
const BATCH_UNITS: u64 = 512;

/// Bytes of a run's records that are not taken from the arena: there is room for them in what a
/// session keeps beside it.
pub(crate) const RECORDS_IN_RESERVE: u64 = 8 << 20;
/// So many of these are for batches, and for what is taken before it is needed.
const OTHER_RECORDS: u64 = 3 << 20;
/// What a chunk that waits takes at the most, in bytes: entries of the schedule's, the store's and
/// scratch's tables (a test of the schedule's `records` adds them up).
pub(crate) const RECORD: u64 = 480;
/// What its places in the lists of the batch that takes it add to that.
const LISTED: u64 = 160;

impl Plan {
    fn cut(
        wanted: &[Wanted],
        nodes: &[Shared],
        roots: &[(usize, Root)],
        means: Means,
        cuts: Cuts,
    ) -> Result<Plan> {
        let mut plan = lower::lower(nodes, roots, means);
        plan.root_dtypes =
            wanted.iter().map(|w| w.expr.meta().map(|meta| meta.dtype)).collect::<Result<_>>()?;
        plan.outputs = wanted.iter().map(|wanted| wanted.root.clone()).collect();
        split::as_read(&mut plan, means.arena / (means.workers as u64 + 1));
        split::blocks(&mut plan, cuts.block);
        shuffle::insert(&mut plan, cuts.share, cuts.pieces.then_some(means));
        plan.connect();
        plan.align();
        plan.demand();
        walk::choose(&mut plan, means.arena);
        plan.bundle();
        plan.total();
        Ok(plan)
    }

    /// Whether a sink takes the elements of a root.
    pub(crate) fn is_stored(&self, root: usize) -> bool {
        self.outputs[root].sink_scratch.is_some()
    }

    /// The grid in which a root's elements leave.
    pub(crate) fn root_grid(&self, root: usize) -> &Grid {
        &self.outputs[root].grid
    }

    pub(crate) fn root_dtype(&self, root: usize) -> DType {
        self.root_dtypes[root]
    }

    /// What the plan takes altogether.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Tells each port who reads it, and how far apart its units lie.
    fn connect(&mut self) {
        let readers = self.who_reads();
        for (port, readers) in self.ports.iter_mut().zip(readers) {
            port.slot = port.max_unit_bytes().next_multiple_of(8);
            port.readers = readers;
        }
    }

    /// For each port, the inputs that read it: (stage, number of the input).
    fn who_reads(&self) -> Vec<Vec<(StageId, usize)>> {
        let mut readers = vec![Vec::new(); self.ports.len()];
        for (number, stage) in self.stages.iter().enumerate() {
            for (input, fed) in stage.inputs.iter().enumerate() {
                if let Feed::Port(port) = fed.feed {
                    readers[port as usize].push((number as StageId, input));
                }
            }
        }
        readers
    }

    /// Notes which stages take the blocks of their own index, so that much need not be asked
    /// of each unit.
    fn align(&mut self) {
        for number in 0..self.stages.len() {
            let stage = &self.stages[number];
            let one_program = match &stage.work {
                Work::Map { parts, .. } => parts.len() == 1,
                Work::Visit { .. } => true,
                _ => false,
            };
            let aligned = one_program
                && stage.inputs.iter().all(|input| {
                    let grid = match &input.feed {
                        Feed::Source(source) => &source.meta().grid,
                        Feed::Port(port) => self.ports[*port as usize].array().0,
                    };
                    *grid == stage.grid && input.access.is_identity(grid.rank())
                });
            self.stages[number].aligned = aligned;
        }
    }

    /// The stage whose grid a port's blocks follow from: of a fold, its visit.
    fn maker(&self, port: PortId) -> StageId {
        match &self.ports[port as usize].holds {
            Holds::Blocks { .. } | Holds::Pieces { .. } => self.ports[port as usize].stage,
            Holds::Fold { plan, .. } => self.ports[plan.ports[0] as usize].stage,
        }
    }

    /// The ports that a stage makes blocks for: its own, or of a visit those of its folds' last levels.
    fn block_ports(&self, stage: &Stage) -> Vec<PortId> {
        match &stage.work {
            Work::Visit { folds, .. } => {
                folds.iter().map(|fold| fold.port(fold.last_level())).collect()
            }
            Work::Combine { .. } => Vec::new(),
            _ => stage.ports.to_vec(),
        }
    }

    /// Consumers first: the box of each stage's units that anything asks for.
    fn demand(&mut self) {
        let mut waiting = vec![0usize; self.stages.len()];
        for (number, stage) in self.stages.iter().enumerate() {
            for port in self.block_ports(stage) {
                waiting[number] += self.ports[port as usize].readers.len();
            }
        }
        let mut ready: Vec<usize> = (0..self.stages.len()).filter(|&s| waiting[s] == 0).collect();
        while let Some(number) = ready.pop() {
            if self.stages[number].root.is_none() {
                let mut wanted: Option<Region> = None;
                for port in self.block_ports(&self.stages[number]) {
                    let boxes = self.ports[port as usize].readers.iter();
                    for units in
                        boxes.filter_map(|&(stage, input)| self.demanded_of(port, stage, input))
                    {
                        let units = self.units_for(port, units);
                        wanted = Some(
                            wanted.map_or(units.clone(), |other| reading::hull(&other, &units)),
                        );
                    }
                }
                match wanted {
                    Some(wanted) => self.stages[number].demanded = wanted,
                    // Nobody reads it.
                    None => self.stages[number].demanded.shape.fill(0),
                }
            }
            for input in 0..self.stages[number].inputs.len() {
                let Feed::Port(port) = self.stages[number].inputs[input].feed else { continue };
                let maker = self.maker(port) as usize;
                waiting[maker] -= 1;
                if waiting[maker] == 0 {
                    ready.push(maker);
                }
            }
        }
    }

    /// The box of a port's blocks that the demanded units of a reader need.
    fn demanded_of(&self, port: PortId, stage: StageId, input: usize) -> Option<Region> {
        let reader = &self.stages[stage as usize];
        if reader.demanded.is_empty() || reader.grid.is_empty() {
            return None;
        }
        let mut region = reader.input_span(input, &reader.demanded);
        if region.is_empty() {
            return None;
        }
        if let Work::Map { axis, parts } = &reader.work
            && parts.len() > 1
        {
            let part = parts.iter().find(|part| part.program.inputs.contains(&input))?;
            let range = region.range(*axis);
            let (from, to) = (range.start.max(part.from), range.end.min(part.to));
            if from >= to {
                return None;
            }
            (region.start[*axis], region.shape[*axis]) = (from, to - from);
        }
        let (blocks, _) = self.ports[port as usize].array();
        Some(blocks.covering(&reader.inputs[input].access.region(&region)))
    }

    /// The box of the maker's units that make a box of a port's blocks.
    fn units_for(&self, port: PortId, blocks: Region) -> Region {
        let plan = match &self.ports[port as usize].holds {
            Holds::Blocks { .. } => return blocks,
            Holds::Pieces { grid, .. } => {
                let maker = &self.stages[self.ports[port as usize].stage as usize];
                return maker.grid.covering(&grid.span(&blocks));
            }
            Holds::Fold { plan, .. } => plan,
        };
        let geometry = &plan.geometry;
        let mut units = blocks;
        for axis in 0..units.rank() {
            let range = units.range(axis);
            let (first, last) = (
                geometry.blocks.axes()[axis].bounds(range.start),
                geometry.blocks.axes()[axis].bounds(range.end - 1),
            );
            let bin = geometry.bins[axis];
            let chunks = geometry.chunks.axes()[axis].covering(first.start * bin..last.end * bin);
            (units.start[axis], units.shape[axis]) = (chunks.start, chunks.end - chunks.start);
        }
        units
    }

    /// Bundles the units of stages whose tasks are too small to be worth a decision each.
    fn bundle(&mut self) {
        for number in 0..self.stages.len() {
            let stage = &self.stages[number];
            // Only where all units run: else a bundle would ask for what nobody counts.
            let whole = |stage: &Stage| stage.demanded.volume() == stage.units;
            // Chunks that outlive the run are handed out one by one.
            let kept = stage.ports.iter().any(|&port| self.ports[port as usize].kept);
            if stage.carries() {
                if whole(stage) && !kept {
                    self.stages[number].batch = self.chunks_together(number as StageId);
                }
                continue;
            }
            let bundled = match &stage.work {
                // What a user's function takes is not known, nor how long a file takes to open.
                Work::Block { .. } | Work::Shuffle => false,
                // Those that follow one another are not made so.
                _ if stage.walk.is_some() => false,
                Work::Read(source) => source.storage().files == 0,
                Work::Map { parts, .. } => {
                    let program = |p: &Program| p.steps.iter().all(|step| step.kernel.is_named());
                    stage.root.is_none_or(|root| !self.is_stored(root))
                        && parts.iter().all(|part| program(&part.program))
                }
                Work::Visit { .. } => true,
                Work::Combine { fold, .. } => !fold.chain,
            };
            let reads_files = stage.inputs.iter().any(
                |input| matches!(&input.feed, Feed::Source(source) if source.storage().files > 0),
            );
            let all = match &stage.work {
                Work::Combine { fold, .. } => {
                    whole(&self.stages[self.ports[fold.ports[0] as usize].stage as usize])
                }
                _ => whole(stage),
            };
            if !bundled || reads_files || kept || stage.units < 16 || !all {
                continue;
            }
            let first = Batch { stage: number as StageId, index: 0 };
            let bytes = self.batch_need(first);
            let units = (BATCH_BYTES / (bytes + 128)).clamp(1, BATCH_UNITS);
            // Enough batches stay for many workers. Powers of two: a batch that takes the units of
            // its own numbers, or so many of each, begins and ends where batches of those do, and all
            // batches of a stage need as many buffers as its first.
            let units = units.min(stage.units.div_ceil(64)).max(1);
            self.stages[number].batch = 1 << units.ilog2();
        }
    }

    /// Adds up what the stages take.
    fn total(&mut self) {
        let (mut totals, mut most_taken) = (Totals::default(), 0);
        let mut needs = Vec::new();
        // Of fewer chunks, what is known of all of them together is part of the reserve.
        let batches = self.stages.iter().map(Stage::batches).fold(0, u64::saturating_add);
        let many = batches >= RECORDS_IN_RESERVE / (4 * RECORD);
        for (number, stage) in self.stages.iter().enumerate() {
            let samples = self.samples(number as StageId);
            let tasks = self.tasks_of(stage);
            totals.tasks += tasks;
            if samples.is_empty() {
                continue;
            }
            let batches = tasks.div_ceil(stage.batch);
            let units = |&batch: &Batch| {
                let units = stage.units_of(batch.index);
                units.end - units.start
            };
            // By the unit: the last batch may have fewer.
            let read: u128 = samples.iter().map(|&batch| u128::from(self.read_by(batch))).sum();
            let units: u64 = samples.iter().map(units).sum();
            totals.read += (read * u128::from(tasks) / u128::from(units.max(1))) as u64;
            if let Some(root) = stage.root {
                totals.written += freeboard_formats::region::volume(&stage.grid.shape())
                    * self.root_dtype(root).size() as u64;
            }
            if !stage.ports.is_empty() {
                let last = samples.iter().map(|&batch| self.batch_output(batch)).max().unwrap_or(0);
                totals.between = totals.between.saturating_add(last.saturating_mul(batches));
            }
            let largest = samples.iter().map(|&batch| self.most_needed(batch)).max().unwrap_or(0);
            totals.largest_task = totals.largest_task.max(largest);
            for &batch in samples.iter().filter(|_| many) {
                self.batch_needs(batch, &mut needs);
                let taken = needs.iter().filter(|key| self.waiting_in(key.port) == 0).count();
                most_taken = most_taken.max(taken as u64);
            }
        }
        (self.totals, self.most_taken) = (totals, most_taken);
    }

    /// Bytes that a batch fetches from storage.
    fn read_by(&self, batch: Batch) -> u64 {
        let stage = &self.stages[batch.stage as usize];
        let mut bytes = 0;
        for unit in stage.units_of(batch.index) {
            if let Work::Read(source) = &stage.work {
                bytes += source.cost(&stage.region(unit)).bytes;
                continue;
            }
            if matches!(stage.work, Work::Combine { .. }) {
                continue;
            }
            let region = stage.region(unit);
            if let (Work::Shuffle, Some(Feed::Source(source))) =
                (&stage.work, stage.inputs.first().map(|input| &input.feed))
            {
                bytes += source.cost(&region).bytes;
                continue;
            }
            for input in self.inputs_of(stage, &region).0 {
                let region = stage.input_region(input, unit);
                if let (Feed::Source(source), false) =
                    (&stage.inputs[input].feed, region.is_empty())
                {
                    bytes += source.cost(&stage.inputs[input].access.region(&region)).bytes;
                }
            }
        }
        bytes
    }

    /// The tallies of missing files of all sources that are read, each once.
    pub(crate) fn missing_files(&self) -> Vec<&MissingFiles> {
        let mut found: Vec<&MissingFiles> = Vec::new();
        for files in self.sources().filter_map(|source| source.missing_files()) {
            if !found.iter().any(|have| std::ptr::eq(*have, files)) {
                found.push(files);
            }
        }
        found
    }

    /// All sources that are read, those that are read by several stages more than once.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Arc<dyn ChunkSource>> {
        self.stages.iter().flat_map(|stage| {
            let fed = stage.inputs.iter().filter_map(|input| match &input.feed {
                Feed::Source(source) => Some(source),
                Feed::Port(_) => None,
            });
            let own = match &stage.work {
                Work::Read(source) => Some(source),
                _ => None,
            };
            own.into_iter().chain(fed)
        })
    }

    /// The least arena in which every task fits, beside the records of the chunks that wait.
    pub(crate) fn needed(&self) -> u64 {
        self.totals.largest_task.saturating_add(self.records())
    }

    /// Bytes of the arena that a run's records of chunks will take, of those that wait all at once.
    /// Of others it is not known beforehand how many wait; the schedule takes what they need when they do.
    pub(crate) fn records(&self) -> u64 {
        let taken = self.most_taken.saturating_mul(RECORD + LISTED);
        let bytes = self.kept_waiting().saturating_mul(RECORD).saturating_add(taken);
        bytes.saturating_sub(RECORDS_IN_RESERVE - OTHER_RECORDS)
    }

    /// How many chunks wait all at once: the pieces of shuffles, and what is kept.
    fn kept_waiting(&self) -> u64 {
        (0..self.ports.len() as PortId)
            .map(|port| self.waiting_in(port))
            .fold(0, u64::saturating_add)
    }

    /// How many of these are in a port.
    fn waiting_in(&self, port: PortId) -> u64 {
        let port = &self.ports[port as usize];
        match &port.holds {
            Holds::Pieces { grid, .. } => grid.len(),
            _ if port.kept => self.stages[port.stage as usize].batches(),
            _ => 0,
        }
    }

    /// Bytes in which so many workers run without waiting for memory.
    pub(crate) fn comfortable(&self, workers: usize) -> u64 {
        let running = self.totals.largest_task.saturating_mul(2 * workers as u64 + 1);
        running.saturating_add(self.totals.between)
    }

    /// Whether chunks may have to be evicted in `arena` bytes.
    pub(crate) fn may_spill(&self, arena: u64) -> bool {
        let running = self.totals.largest_task.saturating_mul(2);
        running.saturating_add(self.totals.between) > arena && self.totals.between > 0
    }

    /// The most bytes that may lie on scratch at once: what stages put into the store beyond
    /// `arena` bytes, without chunks that their source gives again.
    pub(crate) fn most_spilled(&self, arena: u64) -> u64 {
        let bytes = self.stages.iter().zip(0..).map(|(stage, number)| {
            let samples = match stage.work {
                Work::Read(_) => Vec::new(),
                _ => self.samples(number),
            };
            let largest = samples.iter().map(|&batch| self.batch_output(batch)).max();
            let batches = self.tasks_of(stage).div_ceil(stage.batch);
            largest.unwrap_or(0).saturating_mul(batches)
        });
        bytes.fold(0, u64::saturating_add).saturating_sub(arena)
    }

    /// Projects the peak for a session with `memory` bytes and so many workers.
    pub(crate) fn project(&mut self, memory: u64, reserve: u64, workers: usize) {
        let results = match self.outputs.iter().any(|output| output.sink_scratch.is_some()) {
            true => 0,
            false => self.totals.written,
        };
        let beside = results.saturating_add(reserve).saturating_add(self.records());
        let used = self.comfortable(workers).saturating_add(beside);
        self.totals.peak = used.min(memory);
    }

    fn too_large(&self, batch: Batch, need: u64, arena: u64, smallest: u64) -> Error {
        let stage = &self.stages[batch.stage as usize];
        // In whole MiB: what is said must do.
        let smallest = smallest.div_ceil(1 << 20);
        let chunk = match &stage.work {
            Work::Combine { .. } => String::new(),
            _ => format!(
                " on a chunk of {}",
                crate::expr::shape_text(&stage.region(stage.units_of(batch.index).start).shape)
            ),
        };
        let (records, remedy) = match self.records() {
            0 => (String::new(), "smaller"),
            bytes => {
                let records = format!(
                    ", {} of it to keep track of {} chunks that wait",
                    format_bytes(bytes),
                    self.kept_waiting() + self.most_taken,
                );
                (records, if bytes > need / 2 { "larger" } else { "smaller" })
            }
        };
        Error::new(
            ErrorKind::Budget,
            format!(
                "`{}`{chunk} needs {} at once{records}, and the budget leaves {}",
                name_of(stage),
                format_bytes(need),
                format_bytes(arena),
            ),
        )
        .at(stage.origin)
        .help(format!("a memory of {smallest} MiB would do, or {remedy} chunks"))
    }
}
