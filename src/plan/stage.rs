//! What a plan is made of: stages over units, fed through accesses, handing on through ports.
//!
//! A *unit* is one task of a stage, numbered in C order of the stage's grid. What it makes
//! goes to the stage's ports, one buffer each. Units that are too small to be worth a
//! decision are bundled: a *batch* is `Stage::batch` consecutive units, which run one after
//! the other and lie in one buffer a port. Batches are what the schedule knows.

use super::{
    geometry::{FAN_IN, FoldGeometry},
    program::Program,
    walk::Walk,
};
use crate::{
    expr::{Access, Needs},
    kernel::{BlockKernel, Fold},
};
use freeboard_formats::{ChunkSource, DType, Dims, Grid, Region};
use smallvec::SmallVec;
use std::{panic::Location, sync::Arc};

/// The number of a stage.
pub(crate) type StageId = u32;
/// The number of a port.
pub(crate) type PortId = u32;

/// One batch of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Batch {
    pub stage: StageId,
    pub index: u64,
}

/// What one batch put into one port: the unit of the store, of eviction and of spilling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub port: PortId,
    pub index: u64,
}

/// One operation over a grid.
#[derive(Debug)]
pub(crate) struct Stage {
    pub name: String,
    pub origin: &'static Location<'static>,
    pub work: Work,
    /// The blocks that the units are; of a [`Work::Combine`], unused.
    pub grid: Grid,
    pub units: u64,
    /// Units a batch.
    pub batch: u64,
    /// The box of block indices that anything asks for.
    pub demanded: Region,
    pub inputs: Vec<Input>,
    pub ports: SmallVec<[PortId; 2]>,
    /// Of a stage whose elements leave the plan: the number of the root.
    pub root: Option<usize>,
    /// Whether units of equal shape work in equal layouts: they take the blocks of their own
    /// index, whole, or read sources.
    pub aligned: bool,
    /// The order in which the batches of a root are made, if it is not that of their numbers.
    pub walk: Option<Walk>,
}

/// What a stage does.
#[derive(Debug)]
pub(crate) enum Work {
    /// Reads chunks of a source.
    Read(Arc<dyn ChunkSource>),
    /// Computes the elements of a block by a program; which one depends on where the block
    /// lies along an axis.
    Map { axis: usize, parts: Vec<Part> },
    /// Computes the elements of a chunk and folds them, each fold into a state of its own.
    Visit { program: Program, folds: Vec<Arc<FoldPlan>> },
    /// Cuts large blocks of its one input into the pieces that other blocks are made of.
    Shuffle,
    /// Combines the states of one level of a fold's tree into the next.
    Combine { fold: Arc<FoldPlan>, level: u32 },
    /// Hands a box of each input to a function.
    Block { kernel: Arc<dyn BlockKernel>, reach: Vec<Reach> },
}

/// What of one input the blocks of a function are made from.
#[derive(Debug)]
pub(crate) struct Reach {
    pub needs: Needs,
    /// The blocks of the input.
    pub grid: Grid,
}

/// The program of the blocks that begin at `from..to` along the axis of a [`Work::Map`].
#[derive(Debug)]
pub(crate) struct Part {
    pub from: u64,
    pub to: u64,
    pub program: Program,
}

/// One input of a stage's programs.
#[derive(Debug)]
pub(crate) struct Input {
    pub feed: Feed,
    pub access: Access,
    pub dtype: DType,
}

/// Where an input's elements come from.
#[derive(Clone, Debug)]
pub(crate) enum Feed {
    /// From the store.
    Port(PortId),
    /// Read by the task that needs them.
    Source(Arc<dyn ChunkSource>),
}

/// What a stage hands on.
#[derive(Debug)]
pub(crate) struct Port {
    pub stage: StageId,
    pub holds: Holds,
    /// The inputs that read it: (stage, number of the input).
    pub readers: Vec<(StageId, usize)>,
    /// Whether the buffers outlive the run.
    pub kept: bool,
    /// The distance between the results of bundled units in a buffer, in bytes: as much as
    /// any unit makes.
    pub slot: u64,
}

/// What lies in a port's buffers.
#[derive(Clone, Debug)]
pub(crate) enum Holds {
    /// The blocks of an array, unit by unit.
    Blocks { grid: Grid, dtype: DType },
    /// Pieces of an array, many of them made by one task: each has a buffer of its own.
    Pieces { grid: Grid, dtype: DType },
    /// States of a fold at a level, and, at its last level, the blocks of its output.
    Fold { plan: Arc<FoldPlan>, level: u32 },
}

/// How a fold is computed: which levels there are, and where each state lies.
///
/// A partial covers one chunk; or, where its state is about as large as a chunk, [`FAN_IN`]
/// chunks: then it is carried from chunk to chunk in C order (a *chain*), and so are the
/// states that are combined later. Which of the two is fixed by the chunks and dtypes alone,
/// and with it the bits of the result.
#[derive(Debug)]
pub(crate) struct FoldPlan {
    pub fold: Arc<dyn Fold>,
    pub geometry: FoldGeometry,
    /// The most chunks that lie in one block.
    pub max_count: u64,
    pub chain: bool,
    /// How many states are combined at once, and of a chain how many chunks one is carried over.
    pub fan_in: u64,
    /// The port of each level, from the visit's on; a chain's begin with level 1.
    pub ports: Vec<PortId>,
    /// The number of the program's output that is folded.
    pub output: usize,
    /// Elements a cell of every chunk, where all have equally many.
    pub uniform: Option<u64>,
    /// Whether the chunks of each block follow one another.
    pub consecutive: bool,
}

impl FoldPlan {
    /// Whether a partial's state is so large that it is carried from chunk to chunk.
    pub fn is_chained(fold: &dyn Fold, geometry: &FoldGeometry) -> bool {
        let cells = geometry.blocks.max_chunk().iter().product::<u64>();
        let state = cells * fold.state().iter().map(|d| d.size() as u64).sum::<u64>();
        let chunk =
            geometry.chunks.max_chunk().iter().product::<u64>() * fold.input().size() as u64;
        fold.is_in_order() || state > 4096 && state > chunk / 16
    }

    /// How many states are combined at once, where a block has at most `max_count` chunks: all
    /// chunks in one chain, of a fold in order.
    pub fn fan_in(fold: &dyn Fold, max_count: u64) -> u64 {
        if fold.is_in_order() { max_count.max(2) } else { FAN_IN }
    }

    /// The number of levels beside the first; level `levels()` has one state a block.
    pub fn levels(max_count: u64, fan_in: u64) -> u32 {
        let (mut level, mut count) = (0, max_count);
        while count > 1 {
            (level, count) = (level + 1, count.div_ceil(fan_in));
        }
        level
    }

    fn first_level(&self) -> u32 {
        u32::from(self.chain)
    }

    /// The last level: its states are finished.
    pub fn last_level(&self) -> u32 {
        self.first_level() + self.ports.len() as u32 - 1
    }

    /// The port that holds the states of `level`.
    pub fn port(&self, level: u32) -> PortId {
        self.ports[(level - self.first_level()) as usize]
    }

    /// How many states the block with the number `block` has at `level`.
    pub fn count(&self, block: u64, level: u32) -> u64 {
        (0..level).fold(self.geometry.count(block), |count, _| count.div_ceil(self.fan_in))
    }

    /// The most states a block has at `level`.
    pub fn stride(&self, level: u32) -> u64 {
        (0..level).fold(self.max_count, |count, _| count.div_ceil(self.fan_in))
    }

    /// Whether the states that a block has at `level` are made by units that follow one another.
    pub fn follow_one_another(&self, level: u32) -> bool {
        !self.chain && (level > 0 || self.consecutive)
    }

    /// The number of units, of the stage that makes `level`, that are there for `block`.
    pub fn stride_of(&self, level: u32, block: u64) -> u64 {
        match level {
            0 => self.geometry.count(block),
            _ => self.stride(level),
        }
    }

    /// The units of the stage that makes `level`, beyond the visit.
    pub fn units(&self, level: u32) -> u64 {
        self.geometry.blocks.len() * self.stride(if self.chain { level - 1 } else { level })
    }

    /// The unit, of the stage that makes `level`, whose state is state `node` of `block`.
    pub fn unit(&self, level: u32, block: u64, node: u64) -> u64 {
        let last_child =
            |level: u32| ((node + 1) * self.fan_in - 1).min(self.count(block, level - 1) - 1);
        match (self.chain, level) {
            (false, 0) => self.geometry.chunk(block, node),
            (true, 1) => self.geometry.chunk(block, last_child(1)),
            (false, _) => block * self.stride(level) + node,
            (true, _) => block * self.stride(level - 1) + last_child(level),
        }
    }

    /// The block of a unit of the stage that makes `level`, and its position: of a chain,
    /// among the states of the level before, else among those of the level.
    pub fn place(&self, level: u32, unit: u64) -> (u64, u64) {
        if level == self.first_level() {
            return self.geometry.place(unit);
        }
        let stride = self.stride(if self.chain { level - 1 } else { level });
        (unit / stride, unit % stride)
    }

    /// Whether a unit of the stage that makes `level` makes a finished block.
    pub fn is_last(&self, level: u32, block: u64, position: u64) -> bool {
        level == self.last_level() && (!self.chain || position + 1 == self.count(block, level - 1))
    }

    /// How many elements have been folded into each cell of state `node` of `block` at `level`.
    pub fn elements(&self, level: u32, block: u64, node: u64) -> u64 {
        self.elements_among(level, block, node, self.geometry.count(block))
    }

    /// The same, of a block that has `chunks` chunks.
    pub fn elements_among(&self, level: u32, block: u64, node: u64, chunks: u64) -> u64 {
        let width = self.fan_in.pow(level);
        self.elements_between(block, node * width, ((node + 1) * width).min(chunks))
    }

    /// How many elements of the chunks at positions `from..to` of `block` fall into each cell.
    pub fn elements_between(&self, block: u64, from: u64, to: u64) -> u64 {
        match self.uniform {
            Some(elements) => (to - from) * elements,
            None => (from..to)
                .map(|position| self.geometry.elements_of(self.geometry.chunk(block, position)))
                .sum(),
        }
    }

    /// Where the parts of a state of `cells` cells begin, and its length, in bytes.
    pub fn layout(&self, cells: u64) -> (SmallVec<[usize; 4]>, usize) {
        let mut offsets = SmallVec::new();
        let mut at = 0;
        for part in self.fold.state() {
            offsets.push(at);
            at += (cells as usize * part.size()).next_multiple_of(8);
        }
        (offsets, at)
    }
}

impl Stage {
    /// Whether functions of the user's are called, which may panic.
    pub fn runs_user_code(&self) -> bool {
        let unnamed = |p: &Program| p.steps.iter().any(|step| !step.kernel.is_named());
        match &self.work {
            Work::Block { kernel, .. } => !kernel.is_named(),
            Work::Map { parts, .. } => parts.iter().any(|part| unnamed(&part.program)),
            Work::Visit { program, .. } => unnamed(program),
            Work::Read(_) | Work::Shuffle | Work::Combine { .. } => false,
        }
    }

    /// The number of batches.
    pub fn batches(&self) -> u64 {
        self.units.div_ceil(self.batch)
    }

    /// The batch that is made as the `position`th, of a root.
    pub fn nth(&self, position: u64) -> u64 {
        self.walk.as_ref().map_or(position, |walk| walk.nth(position))
    }

    /// When a batch of a root is made.
    pub fn position(&self, batch: u64) -> u64 {
        self.walk.as_ref().map_or(batch, |walk| walk.position(batch))
    }

    /// The units of a batch.
    pub fn units_of(&self, batch: u64) -> std::ops::Range<u64> {
        batch * self.batch..((batch + 1) * self.batch).min(self.units)
    }

    /// The elements that a unit makes (or, of a visit, folds).
    pub fn region(&self, unit: u64) -> Region {
        self.grid.region(&self.grid.index_of(unit))
    }

    /// The elements of its array that a unit reads of input `input`.
    pub fn input_region(&self, input: usize, unit: u64) -> Region {
        match &self.work {
            Work::Block { .. } => {
                let index = self.grid.index_of(unit);
                let shape = Dims::from_elem(1, index.len());
                self.input_span(input, &Region { start: index, shape })
            }
            _ => self.region(unit),
        }
    }

    /// The elements of its array that the units in a box, which is not empty, read of input `input`.
    pub fn input_span(&self, input: usize, units: &Region) -> Region {
        match &self.work {
            Work::Block { reach, .. } => {
                reach[input].needs.region(&reach[input].grid, &self.grid, units)
            }
            _ => self.grid.span(units),
        }
    }

    /// The box of units that read any of the elements `wanted` of the array of input `input`.
    pub fn units_reading(&self, input: usize, wanted: &Region) -> Option<Region> {
        match &self.work {
            Work::Block { reach, .. } => {
                reach[input].needs.readers(&reach[input].grid, &self.grid, wanted)
            }
            _ => Some(self.grid.covering(wanted)),
        }
    }

    /// The shape of the array that input `input` is read as.
    pub fn input_shape(&self, input: usize) -> Dims {
        match &self.work {
            Work::Block { reach, .. } => reach[input].grid.shape(),
            _ => self.grid.shape(),
        }
    }

    /// Where the boxes that units read of input `input` end and begin.
    pub fn input_cuts(&self, input: usize) -> Grid {
        match &self.work {
            Work::Block { reach, .. } => reach[input].needs.cuts(&reach[input].grid, &self.grid),
            _ => self.grid.clone(),
        }
    }
}

/// The part of a map that makes the elements of `region`.
pub(crate) fn part_of<'a>(axis: usize, parts: &'a [Part], region: &Region) -> &'a Part {
    match parts {
        [one] => one,
        parts => &parts[parts.partition_point(|part| part.to <= region.start[axis])],
    }
}

impl Port {
    /// The bytes that a unit puts into the port.
    pub fn unit_bytes(&self, unit: u64) -> u64 {
        match &self.holds {
            Holds::Blocks { grid, dtype } | Holds::Pieces { grid, dtype } => {
                grid.region(&grid.index_of(unit)).volume() * dtype.size() as u64
            }
            Holds::Fold { plan, level } => {
                let (block, position) = plan.place(*level, unit);
                let cells = plan.geometry.cells(block);
                if plan.is_last(*level, block, position) {
                    cells * plan.fold.output().size() as u64
                } else {
                    plan.layout(cells).1 as u64
                }
            }
        }
    }

    /// The most bytes that any unit puts into the port.
    pub fn max_unit_bytes(&self) -> u64 {
        match &self.holds {
            Holds::Blocks { grid, dtype } | Holds::Pieces { grid, dtype } => {
                grid.max_chunk().iter().product::<u64>() * dtype.size() as u64
            }
            Holds::Fold { plan, level } => {
                let cells = plan.geometry.blocks.max_chunk().iter().product::<u64>();
                let state = plan.layout(cells).1 as u64;
                let output = cells * plan.fold.output().size() as u64;
                match *level == plan.last_level() {
                    true if !plan.chain => output,
                    true => state.max(output),
                    false => state,
                }
            }
        }
    }

    /// The array that the port holds the blocks of: its grid and dtype.
    pub fn array(&self) -> (&Grid, DType) {
        match &self.holds {
            Holds::Blocks { grid, dtype } | Holds::Pieces { grid, dtype } => (grid, *dtype),
            Holds::Fold { plan, .. } => (&plan.geometry.blocks, plan.fold.output()),
        }
    }

    /// The bytes of the elements that its chunks are made of; of most that is in a fold's states.
    pub fn element_size(&self) -> usize {
        match &self.holds {
            Holds::Blocks { dtype, .. } | Holds::Pieces { dtype, .. } => dtype.size(),
            Holds::Fold { .. } => 8,
        }
    }

    /// The unit that makes the block with the number `block` of [`Port::array`].
    pub fn unit_of(&self, block: u64) -> u64 {
        match &self.holds {
            Holds::Blocks { .. } | Holds::Pieces { .. } => block,
            Holds::Fold { plan, level } => plan.unit(*level, block, 0),
        }
    }
}
