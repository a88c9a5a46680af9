//! Running one batch: its units one after the other, each from its inputs to its results.

use super::{
    copies::Copies, fetch::Room, results::Collected, retry::Retry, tile::Evaluator, visit::visit,
};
use crate::{
    error::{Error, ErrorKind, Result},
    event::Observer,
    kernel::BlockCx,
    memory::{Arena, Buffer},
    plan::{Batch, Feed, Fetch, Key, Layout, Plan, PortId, Program, Stage, Work, part_of},
};
use freeboard_formats::{
    Cancel, ChunkMut, ChunkSet, ChunkSink, ChunkView, DType, Dims, FileCache, ReadCx, Region,
    region::{Coordinates, volume},
};
use smallvec::SmallVec;
use std::{
    slice,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Where a root's elements go.
pub(crate) enum Target<'a> {
    /// Into memory of the caller.
    Collect(Collected<'a>),
    /// To storage, but for the chunks that are there already.
    Store(Arc<dyn ChunkSink>, ChunkSet),
    /// They stay in the store.
    Keep,
}

/// What all tasks of a run share.
pub(crate) struct TaskCx<'a, 't> {
    pub plan: &'a Plan,
    pub arena: &'a Arena,
    pub targets: &'a [Target<'t>],
    pub files: &'a FileCache,
    pub cancel: &'a Cancel,
    pub observer: &'a dyn Observer,
    pub retry: Retry,
    /// No size found in a file may be larger.
    pub limit: u64,
    pub copies: Copies,
    pub read: AtomicU64,
    pub reused: AtomicU64,
    pub written: AtomicU64,
}

/// A chunk that a task reads.
pub(crate) enum Lent {
    /// Others may read it too.
    Shared(Arc<Buffer>),
    /// Nobody reads it after this task, which may write it.
    Owned(Buffer),
}

impl Lent {
    fn bytes(&self) -> &[u8] {
        match self {
            Lent::Shared(buffer) => buffer,
            Lent::Owned(buffer) => buffer,
        }
    }
}

/// A batch's inputs.
pub(crate) type Inputs = Vec<(Key, Lent)>;

/// Where the results of `unit` behind `port` begin, among `inputs`; what follows them belongs to
/// others.
pub(super) fn lent<'a>(
    plan: &Plan,
    inputs: &'a [(Key, Lent)],
    port: PortId,
    unit: u64,
) -> &'a [u8] {
    let key = plan.key(port, unit);
    let at = inputs.binary_search_by_key(&key, |(have, _)| *have).expect("all needs are lent");
    let (_, lent) = &inputs[at];
    &lent.bytes()[slot(plan, port, unit)..]
}

/// The block of a grid that begins at the front of `bytes`, as its elements.
pub(super) fn block<'a>(dtype: DType, bytes: &'a [u8], shape: &[u64]) -> ChunkView<'a> {
    let len = volume(shape) as usize * dtype.size();
    ChunkView::new(dtype, &bytes[..len], shape)
}

/// The same, to write.
fn block_mut<'a>(dtype: DType, bytes: &'a mut [u8], shape: &[u64]) -> ChunkMut<'a> {
    let len = volume(shape) as usize * dtype.size();
    ChunkMut::new(dtype, &mut bytes[..len], shape)
}

/// Where a unit's results begin in the buffer of its batch.
fn slot(plan: &Plan, port: PortId, unit: u64) -> usize {
    match plan.bundled(port) {
        1 => 0,
        _ if plan.is_chain(port) => 0,
        bundled => (unit % bundled * plan.ports[port as usize].slot) as usize,
    }
}

/// Runs a batch and returns what it puts into the ports of its stage, in their order.
pub(crate) fn run_batch(
    cx: &TaskCx<'_, '_>,
    batch: Batch,
    mut inputs: Inputs,
) -> Result<Vec<Buffer>> {
    let plan = cx.plan;
    let stage = &plan.stages[batch.stage as usize];
    cx.cancel.check()?;
    // Looked up for every block that is read.
    inputs.sort_unstable_by_key(|(key, _)| *key);
    let mut scratch = cx.arena.alloc(plan.batch_scratch(batch) as usize)?;
    // Carried states stay where they are; everything else gets a buffer of its own.
    let mut outputs: SmallVec<[Option<Buffer>; 2]> = SmallVec::new();
    let made = plan.made_by(batch);
    for &key in &made {
        let carried = carried_state(plan, batch, key.port, &mut inputs);
        outputs.push(match carried {
            Some(state) => Some(state),
            None => Some(cx.arena.alloc(plan.buffer_bytes(key) as usize)?),
        });
    }
    let mut buffers: Vec<Buffer> = outputs.into_iter().flatten().collect();
    if stage.carries() {
        carry(cx, batch, &mut inputs, &mut buffers, &mut scratch)?;
        return Ok(buffers);
    }
    // Units of an aligned stage that have one shape have one layout.
    let (mut alike, mut layout): (Option<Dims>, _) = (None, Layout::default());
    for unit in stage.units_of(batch.index) {
        let region = stage.region(unit);
        let mut slices: SmallVec<[&mut [u8]; 2]> = SmallVec::new();
        for (buffer, key) in buffers.iter_mut().zip(&made) {
            slices.push(&mut buffer[slot(plan, key.port, unit)..]);
        }
        if !(stage.aligned && alike.as_ref() == Some(&region.shape)) {
            layout = plan.layout(batch.stage, unit);
            alike = Some(region.shape.clone());
        }
        let scratch = &mut scratch.as_mut_slice()[..layout.total];
        let task = UnitTask { cx, plan, stage, unit, region: &region, layout: &layout };
        task.run(&mut inputs, &mut slices, scratch)?;
    }
    Ok(buffers)
}

/// Runs a batch of a stage that carries states: its units are worked on together.
fn carry(
    cx: &TaskCx<'_, '_>,
    batch: Batch,
    inputs: &mut Inputs,
    buffers: &mut [Buffer],
    scratch: &mut [u8],
) -> Result<()> {
    let plan = cx.plan;
    let stage = &plan.stages[batch.stage as usize];
    let Work::Visit { program, folds } = &stage.work else { unreachable!("visits carry states") };
    let units = stage.units_of(batch.index);
    let blocks: SmallVec<[(u64, Region, Layout); 8]> =
        units.map(|unit| (unit, stage.region(unit), plan.layout(batch.stage, unit))).collect();
    let tasks: SmallVec<[UnitTask<'_, '_>; 8]> = blocks
        .iter()
        .map(|(unit, region, layout)| UnitTask { cx, plan, stage, unit: *unit, region, layout })
        .collect();
    let mut outs: SmallVec<[&mut [u8]; 2]> =
        buffers.iter_mut().map(|buffer| buffer.as_mut_slice()).collect();
    visit(&tasks, program, folds, inputs, &mut outs, scratch)
}

/// The state of a chained fold that a batch carries on and hands on, taken from its inputs.
fn carried_state(plan: &Plan, batch: Batch, port: PortId, inputs: &mut Inputs) -> Option<Buffer> {
    let key = plan.carried_into(batch, port)?;
    let at = inputs.iter().position(|(have, _)| *have == key).expect("all needs are lent");
    match inputs.remove(at).1 {
        Lent::Owned(buffer) => Some(buffer),
        Lent::Shared(_) => unreachable!("a state has one reader"),
    }
}

pub(super) struct UnitTask<'a, 't> {
    pub(super) cx: &'a TaskCx<'a, 't>,
    pub(super) plan: &'a Plan,
    pub(super) stage: &'a Stage,
    pub(super) unit: u64,
    /// The elements that it makes, or folds.
    pub(super) region: &'a Region,
    pub(super) layout: &'a Layout,
}

/// Takes the first `len` bytes, rounded up to 64, off the front of `rest`.
pub(super) fn carve<'a>(rest: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let (piece, after) = std::mem::take(rest).split_at_mut(len.next_multiple_of(64));
    *rest = after;
    &mut piece[..len]
}

impl<'a> UnitTask<'a, '_> {
    fn run(&self, inputs: &mut Inputs, outs: &mut [&mut [u8]], scratch: &mut [u8]) -> Result<()> {
        match &self.stage.work {
            Work::Read(source) => {
                let out = block_mut(source.meta().dtype, outs[0], &self.region.shape);
                self.read(&**source, self.region, out, scratch)
            }
            Work::Shuffle => self.shuffle(inputs, outs, scratch),
            Work::Combine { fold, level } => {
                self.combine(fold, *level, inputs, outs[0], scratch);
                Ok(())
            }
            Work::Map { axis, parts } => {
                let program = &part_of(*axis, parts, self.region).program;
                self.map(program, inputs, outs, scratch)
            }
            Work::Visit { program, folds } => {
                visit(slice::from_ref(self), program, folds, inputs, outs, scratch)
            }
            Work::Block { kernel, .. } => {
                let (work, codec) = scratch.split_at_mut(self.layout.codec);
                let (mut landings, own) = work.split_at_mut(self.layout.registers);
                let numbers: SmallVec<[usize; 4]> = (0..self.stage.inputs.len()).collect();
                let views = self.fetch_all(&numbers, inputs, &mut landings, codec)?;
                let index = self.stage.grid.index_of(self.unit).to_vec();
                let dtype = self.plan.ports[self.stage.ports[0] as usize].array().1;
                let region = self.region.clone();
                let out = block_mut(dtype, outs[0], &region.shape);
                let read = numbers.iter().map(|&input| self.stage.input_region(input, self.unit));
                let cx = BlockCx { index, region, inputs: read.collect() };
                // Places in the scratch are rounded up; the function gets what it asked for.
                let own = &mut own[..kernel.scratch(&cx.inputs, &cx.region) as usize];
                kernel.run(&views, out, own, &cx).map_err(|text| {
                    Error::new(ErrorKind::Function, format!("{}: {text}", kernel.name()))
                        .at(self.stage.origin)
                })
            }
        }
    }

    fn map(
        &self,
        program: &'a Program,
        inputs: &Inputs,
        outs: &mut [&mut [u8]],
        scratch: &mut [u8],
    ) -> Result<()> {
        let region = self.region;
        let (work, codec) = scratch.split_at_mut(self.layout.codec);
        let dtype = program.outputs[0].1;
        let target = self.stage.root.map(|root| &self.cx.targets[root]);
        match target {
            None | Some(Target::Keep) => {
                let out = block_mut(dtype, outs[0], &region.shape);
                self.compute(program, inputs, out, self.room(work, codec))
            }
            Some(Target::Collect(collected)) => match self.layout.result {
                None => collected
                    .with(region, |out| self.compute(program, inputs, out, self.room(work, codec))),
                Some(_) => {
                    let made = self.make(program, inputs, work, codec)?;
                    collected.with(region, |mut out| out.assign(&made));
                    Ok(())
                }
            },
            Some(Target::Store(sink, _)) => match (self.layout.result, program.copied_input()) {
                // The block is whole somewhere: it is written from there.
                (None, Some(_)) => {
                    let mut work = work;
                    let views = self.fetch_all(&program.inputs, inputs, &mut work, codec)?;
                    self.write(&**sink, views[0].clone(), codec)
                }
                _ => {
                    let made = self.make(program, inputs, work, codec)?;
                    self.write(&**sink, made, codec)
                }
            },
        }
    }

    /// The scratch of a task that has no result there.
    fn room<'b>(&self, work: &'b mut [u8], codec: &'b mut [u8]) -> Room<'b> {
        let (landings, registers) = work.split_at_mut(self.layout.registers);
        Room { landings, registers, codec }
    }

    fn write(&self, sink: &dyn ChunkSink, data: ChunkView<'_>, scratch: &mut [u8]) -> Result<()> {
        let (cx, region) = (self.cx, self.region);
        let mut write = ReadCx { scratch, limit: cx.limit, files: cx.files, cancel: cx.cancel };
        debug_assert_eq!(data.shape(), &region.shape[..]);
        // A unit makes one chunk of the output, or several whole ones.
        let grid = &sink.meta().grid;
        for index in Coordinates::of(grid.covering(region)) {
            let part = grid.region(&index).relative_to(&region.start);
            let written = sink.write(&index, data.sub(&part), &mut write)?;
            cx.written.fetch_add(written.bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Computes a block in scratch.
    fn make<'b>(
        &self,
        program: &'a Program,
        inputs: &Inputs,
        work: &'b mut [u8],
        codec: &mut [u8],
    ) -> Result<ChunkView<'b>> {
        let (region, dtype) = (self.region, program.outputs[0].1);
        // Inputs are put together before the result, registers lie behind it.
        let (landings, mut rest) = work.split_at_mut(self.layout.result.expect("made in scratch"));
        let result = carve(&mut rest, region.volume() as usize * dtype.size());
        let out = ChunkMut::new(dtype, result, &region.shape);
        self.compute(program, inputs, out, Room { landings, registers: rest, codec })?;
        Ok(ChunkView::new(dtype, result, &region.shape))
    }

    /// Computes a block right where it belongs.
    fn compute(
        &self,
        program: &'a Program,
        inputs: &Inputs,
        mut out: ChunkMut<'_>,
        room: Room<'_>,
    ) -> Result<()> {
        let (tasks, region) = (slice::from_ref(self), self.region);
        if region.is_empty() {
            return Ok(());
        }
        if let Some(input) = program.copied_input() {
            if self.layout.fetches[0] == Fetch::Direct {
                let held = self.stage.inputs[input].access.region(region);
                let out = out.with_unit_axes(&held.shape);
                return self.gather(input, region, &held, out, inputs, room.codec);
            }
            return Self::for_each_band(tasks, program, inputs, room, |_, band, views, _| {
                out.sub(&band.within).assign(&views[0]);
            });
        }
        let (count, size) = (region.volume() as usize, program.outputs[0].1.size());
        let bytes = out.as_bytes().expect("results are made in one run");
        Self::for_each_band(tasks, program, inputs, room, |_, band, views, registers| {
            let bytes = &mut bytes[band.elements.start * size..band.elements.end * size];
            Evaluator::new(program, views, count, registers).run(&region.shape, band, bytes);
        })
    }

    /// Cuts the chunks of a large block into pieces, one chunk after the other.
    fn shuffle(&self, inputs: &Inputs, outs: &mut [&mut [u8]], scratch: &mut [u8]) -> Result<()> {
        let input = &self.stage.inputs[0];
        let region = self.region;
        let (pieces, dtype) = self.plan.ports[self.stage.ports[0] as usize].array();
        let first = pieces.covering(region);
        let mut cut = |at: &Region, chunk: &ChunkView<'_>| {
            for index in Coordinates::of(pieces.covering(at)) {
                let piece = pieces.region(&index);
                let Some(common) = piece.intersection(at) else { continue };
                let number = index.iter().zip(&first.start).zip(&first.shape);
                let number = number.fold(0, |n, ((i, start), len)| n * len + (i - start));
                ChunkMut::new(dtype, outs[number as usize], &piece.shape)
                    .sub(&common.relative_to(&piece.start))
                    .assign(&chunk.sub(&common.relative_to(&at.start)));
            }
        };
        match &input.feed {
            Feed::Source(source) => {
                let (landing, codec) = scratch.split_at_mut(self.layout.codec);
                let grid = &source.meta().grid;
                for index in Coordinates::of(grid.covering(region)) {
                    let Some(at) = grid.region(&index).intersection(region) else { continue };
                    let landing = &mut landing[..at.volume() as usize * dtype.size()];
                    let out = ChunkMut::new(dtype, landing, &at.shape);
                    self.read(&**source, &at, out, codec)?;
                    cut(&at, &ChunkView::new(dtype, landing, &at.shape));
                }
            }
            Feed::Port(port) => {
                let this = &self.plan.ports[*port as usize];
                let (grid, _) = this.array();
                for index in Coordinates::of(grid.covering(region)) {
                    let at = grid.region(&index);
                    let unit = this.unit_of(grid.linear_of(&index));
                    let bytes = lent(self.plan, inputs, *port, unit);
                    cut(&at, &block(dtype, bytes, &at.shape));
                }
            }
        }
        Ok(())
    }
}
