//! What a task takes: bytes of its results, of its inputs, and of the scratch it works in.
//!
//! The layout of a task's scratch, and in which bands it works, is settled here, once, for the
//! plan that counts it and for the run that uses it.

use super::{
    Plan,
    bands::{self, bands},
    edges::blocks_read,
    program::Program,
    stage::{Batch, Feed, Key, Stage, StageId, Work, part_of},
};
use crate::{
    expr::{Access, AxisView},
    kernel::SEGMENT,
    memory::Arena,
};
use freeboard_formats::{Dims, Region, region::Coordinates};
use smallvec::SmallVec;

/// How one unit works, and where things lie in its scratch, as byte offsets; all are multiples
/// of 64. At the scratch's beginning lie states, and behind them inputs that are not whole
/// somewhere are put together, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// How each of the inputs that the unit reads reaches it.
    pub fetches: SmallVec<[Fetch; 4]>,
    /// The bytes in which each of them is put together; 0 where it is not.
    pub landings: SmallVec<[usize; 4]>,
    /// The shape of the bands in which it computes its block.
    pub band: Dims,
    /// Where the result is made, of a root whose elements do not stay in the store.
    pub result: Option<usize>,
    /// Bytes of the states that are finished by the batch that begins them: of a visit in the
    /// order of its folds, of a fold that is not carried one for each unit that works with it.
    pub states: usize,
    /// The registers of the program, or the scratch of a function.
    pub registers: usize,
    /// What adapters use: from here to the end.
    pub codec: usize,
    /// All of it.
    pub total: usize,
}

impl Layout {
    /// Whether units with these layouts, and blocks of one shape, can go through their bands in
    /// turn: then at most one band of an input of each is there at a time.
    pub fn goes_along(&self, other: &Layout) -> bool {
        let in_turn = |fetch: &Fetch| matches!(fetch, Fetch::InPlace | Fetch::Banded);
        let places = |layout: &Layout| (layout.states, layout.registers, layout.codec);
        self.fetches.iter().all(in_turn)
            && self.fetches == other.fetches
            && self.landings == other.landings
            && self.band == other.band
            && places(self) == places(other)
    }
}

/// Where an input's box comes from, for one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetch {
    /// One buffer of the store holds it.
    InPlace,
    /// It is put together, or read, in scratch.
    Landed,
    /// The same, one band of the block after the other.
    Banded,
    /// It is read, or put together, right where the result belongs.
    Direct,
}

/// Whether output elements follow one another as the input's do: no step, no turn, no
/// broadcast. Then a source can be read right into the output.
pub(crate) fn is_plain(access: &Access, rank: usize) -> bool {
    let mut next = 0;
    for view in access.axes() {
        match *view {
            AxisView::Along { of, step: 1, .. } if of == next => next += 1,
            AxisView::At(_) => {}
            AxisView::Along { .. } => return false,
        }
    }
    next == rank
}

impl Stage {
    /// Bytes in which an input's elements for `region` are put together, and of the scratch
    /// that reading them takes.
    fn landing(&self, input: usize, fetch: Fetch, region: &Region, band: &[u64]) -> (u64, u64) {
        if region.is_empty() {
            return (0, 0);
        }
        let input = &self.inputs[input];
        let of = |region: &Region| {
            let held = input.access.region(region);
            let bytes = match fetch {
                Fetch::InPlace | Fetch::Direct => 0,
                Fetch::Landed | Fetch::Banded => held.volume() * input.dtype.size() as u64,
            };
            let scratch = match &input.feed {
                Feed::Source(source) => source.cost(&held).scratch,
                Feed::Port(_) => 0,
            };
            (bytes, scratch)
        };
        match fetch {
            Fetch::Banded => bands(&region.shape, band)
                .map(|band| of(&band.of(region)))
                .fold((0, 0), |most, band| (most.0.max(band.0), most.1.max(band.1))),
            _ => of(region),
        }
    }
}

/// Whether `region` of a stage lies in one block of what the input reads.
fn in_one_block(plan: &Plan, stage: &Stage, input: usize, region: &Region) -> bool {
    let Feed::Port(port) = stage.inputs[input].feed else { return false };
    let (grid, _) = plan.ports[port as usize].array();
    let mut blocks = 0;
    blocks_read(&stage.inputs[input].access, region, grid, |_| blocks += 1);
    blocks <= 1
}

impl Plan {
    /// The numbers of the inputs that `unit` reads, and the program that it runs, if any.
    pub(crate) fn inputs_of<'a>(
        &self,
        stage: &'a Stage,
        region: &Region,
    ) -> (SmallVec<[usize; 4]>, Option<&'a Program>) {
        match &stage.work {
            Work::Map { axis, parts } => {
                let program = &part_of(*axis, parts, region).program;
                (program.inputs.iter().copied().collect(), Some(program))
            }
            Work::Visit { program, .. } => {
                (program.inputs.iter().copied().collect(), Some(program))
            }
            Work::Block { .. } => ((0..stage.inputs.len()).collect(), None),
            Work::Read(_) | Work::Shuffle | Work::Combine { .. } => (SmallVec::new(), None),
        }
    }

    /// How an input's elements for `region` reach the program, if they are taken at once.
    fn fetch(
        &self,
        stage: &Stage,
        input: usize,
        region: &Region,
        program: Option<&Program>,
    ) -> Fetch {
        let copied = program.and_then(Program::copied_input) == Some(input)
            && matches!(stage.work, Work::Map { .. });
        match &stage.inputs[input].feed {
            Feed::Port(_) if stage.aligned || in_one_block(self, stage, input, region) => {
                Fetch::InPlace
            }
            _ if copied && is_plain(&stage.inputs[input].access, region.rank()) => Fetch::Direct,
            _ => Fetch::Landed,
        }
    }

    /// The layout of the scratch of `unit`.
    pub(crate) fn layout(&self, stage: StageId, unit: u64) -> Layout {
        let this = &self.stages[stage as usize];
        let mut layout = Layout::default();
        let mut at = 0usize;
        let mut codec = 0u64;
        let take = |at: &mut usize, bytes: u64| {
            let offset = *at;
            *at += (bytes as usize).next_multiple_of(64);
            offset
        };
        if let Work::Read(source) = &this.work {
            codec = source.cost(&this.region(unit)).scratch;
        }
        if let (Work::Shuffle, Feed::Source(source)) =
            (&this.work, this.inputs.first().map_or(&Feed::Port(0), |i| &i.feed))
        {
            // Chunks are read one after the other.
            let grid = &source.meta().grid;
            let mut landing = 0;
            for chunk in Coordinates::of(grid.covering(&this.region(unit))) {
                let Some(region) = grid.region(&chunk).intersection(&this.region(unit)) else {
                    continue;
                };
                landing = landing.max(region.volume() * source.meta().dtype.size() as u64);
                codec = codec.max(source.cost(&region).scratch);
            }
            take(&mut at, landing);
        }
        if let Work::Visit { folds, .. } = &this.work {
            let units = this.visited_with(unit);
            for fold in folds {
                for bytes in fold.begun_and_finished(units.clone()) {
                    take(&mut at, bytes as u64);
                }
            }
            layout.states = at;
        }
        if !matches!(this.work, Work::Read(_) | Work::Shuffle | Work::Combine { .. }) {
            let region = this.region(unit);
            let (inputs, program) = self.inputs_of(this, &region);
            for &input in &inputs {
                let of_input = this.input_region(input, unit);
                layout.fetches.push(self.fetch(this, input, &of_input, program));
            }
            layout.band = match program {
                Some(_) => bands::choose(this, &region, &inputs, &mut layout.fetches),
                None => region.shape.clone(),
            };
            for (&input, &fetch) in inputs.iter().zip(&layout.fetches) {
                let (bytes, scratch) =
                    this.landing(input, fetch, &this.input_region(input, unit), &layout.band);
                take(&mut at, bytes);
                layout.landings.push(bytes as usize);
                codec = codec.max(scratch);
            }
            if let Some(root) = this.root.filter(|_| this.ports.is_empty()) {
                let bytes = region.volume() * self.root_dtype(root).size() as u64;
                // Blocks beside each other share a slab of the result, which is locked to be filled.
                let alone = this.grid.counts().iter().skip(1).product::<u64>() <= 1;
                let lent = program.and_then(Program::copied_input).is_some_and(|input| {
                    let in_place = layout.fetches[0] == Fetch::InPlace
                        && is_plain(&this.inputs[input].access, region.rank());
                    in_place || (!self.is_stored(root) && alone)
                });
                // A copy goes straight to its place; a sink is lent a block that is whole.
                if !lent {
                    layout.result = Some(take(&mut at, bytes));
                }
                codec = codec.max(self.outputs[root].sink_scratch.unwrap_or(0));
            }
            if let Some(program) = program {
                // Inputs that do not lie in runs are copied to registers of their own.
                let tiles = match (&this.work, program.copied_input()) {
                    (Work::Map { .. }, Some(_)) => 0,
                    _ => program.registers as u64 + program.inputs.len() as u64 + 1,
                };
                let tile = (SEGMENT as u64).min(region.volume()) * 8;
                layout.registers = take(&mut at, tiles * tile.next_multiple_of(64));
            }
            if let Work::Block { kernel, .. } = &this.work {
                let read: SmallVec<[Region; 2]> =
                    inputs.iter().map(|&input| this.input_region(input, unit)).collect();
                layout.registers = take(&mut at, kernel.scratch(&read, &region));
            }
        }
        if let Work::Combine { fold, level } = &this.work
            && !fold.chain
            && *level == fold.last_level()
        {
            let (block, _) = fold.place(*level, unit);
            let bytes = fold.layout(fold.geometry.cells(block)).1 as u64;
            take(&mut at, bytes);
            layout.states = at;
        }
        layout.codec = at;
        layout.total = at + (codec as usize).next_multiple_of(64);
        layout
    }

    /// Bytes of scratch that a batch takes: its units work one after the other.
    pub(crate) fn batch_scratch(&self, batch: Batch) -> u64 {
        let stage = &self.stages[batch.stage as usize];
        let units = stage.units_of(batch.index);
        if stage.aligned && units.end - units.start > 1 && self.is_even(stage) {
            // The first unit of the stage is as large as any: of a bundle, it may be at an edge.
            return self.layout(batch.stage, 0).total as u64;
        }
        units.map(|unit| self.layout(batch.stage, unit).total).max().unwrap_or(0) as u64
    }

    /// Whether the units of a stage that is aligned are equal but for smaller ones at the
    /// edges, which take no more.
    fn is_even(&self, stage: &Stage) -> bool {
        let made = |input: &super::stage::Input| match &input.feed {
            Feed::Source(source) => source.storage().files == 0,
            Feed::Port(_) => true,
        };
        stage.inputs.iter().all(made)
            && stage.grid.axes().iter().all(|axis| axis.regular_chunk().is_some())
            && !stage.carries()
    }

    /// The length of the buffer that a batch puts into a port, in bytes.
    pub(crate) fn buffer_bytes(&self, key: Key) -> u64 {
        let port = &self.ports[key.port as usize];
        match self.bundled(key.port) {
            1 => port.unit_bytes(key.index),
            _ if self.is_chain(key.port) => port.unit_bytes(self.left_by(key)),
            _ => {
                let units = self.stages[port.stage as usize].units_of(key.index);
                (units.end - units.start) * port.slot
            }
        }
    }

    /// Bytes that a batch needs at once, all of them in memory: inputs, results and scratch.
    pub(crate) fn batch_need(&self, batch: Batch) -> u64 {
        let mut needs = Vec::new();
        self.batch_needs(batch, &mut needs);
        let input = |&key: &Key| Arena::rounded(self.buffer_bytes(key)) + self.return_scratch(key);
        let inputs: u64 = needs.iter().map(input).sum();
        inputs + self.batch_output(batch) + Arena::rounded(self.batch_scratch(batch))
    }

    /// Bytes of scratch that bringing a chunk back takes, beside its own: of one that is
    /// read again from its source, what reading takes.
    pub(crate) fn return_scratch(&self, key: Key) -> u64 {
        let maker = self.maker_of(key);
        match self.stages[maker.stage as usize].work {
            Work::Read(_) => Arena::rounded(self.batch_scratch(maker)),
            _ => 0,
        }
    }

    /// Bytes of a batch's results.
    pub(crate) fn batch_output(&self, batch: Batch) -> u64 {
        self.made_by(batch).iter().map(|&key| Arena::rounded(self.buffer_bytes(key))).sum()
    }
}
