//! Running one batch: its units one after the other, each from its inputs to its results.

use super::{
    fold::{Rows, parts, parts_mut},
    results::Collected,
    tile::{Evaluator, register_bytes},
};
use crate::{
    error::{Error, ErrorKind, Result},
    kernel::BlockCx,
    memory::{Arena, Buffer},
    plan::{
        Batch, FAN_IN, Feed, Fetch, FoldPlan, Holds, Key, Layout, Plan, PortId, Program, Stage, Work,
        blocks_read, part_of,
    },
};
use freeboard_formats::{
    Cancel, ChunkMut, ChunkSink, ChunkSource, ChunkView, Dims, FileCache, ReadCx, Region,
    region::Coordinates,
};
use smallvec::SmallVec;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Where a root's elements go.
pub(crate) enum Target<'a> {
    /// Into memory of the caller.
    Collect(Collected<'a>),
    /// To storage.
    Store(Arc<dyn ChunkSink>),
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
    /// No size found in a file may be larger.
    pub limit: u64,
    pub read: AtomicU64,
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

/// Bytes of the unit `unit` behind `port`, among `inputs`.
fn lent<'a>(plan: &Plan, inputs: &'a [(Key, Lent)], port: PortId, unit: u64) -> &'a [u8] {
    let key = plan.key(port, unit);
    let (_, lent) = inputs.iter().find(|(have, _)| *have == key).expect("all needs are lent");
    unit_bytes(plan, port, unit, lent.bytes())
}

/// Where a unit lies in the buffer of its batch.
fn unit_range(plan: &Plan, port: PortId, unit: u64) -> std::ops::Range<usize> {
    let this = &plan.ports[port as usize];
    let batch = plan.bundled(port);
    let start = if batch == 1 { 0 } else { (unit % batch * plan.slot(port)) as usize };
    start..start + this.unit_bytes(unit) as usize
}

fn unit_bytes<'a>(plan: &Plan, port: PortId, unit: u64, buffer: &'a [u8]) -> &'a [u8] {
    &buffer[unit_range(plan, port, unit)]
}

/// Runs a batch and returns what it puts into the ports of its stage, in their order.
pub(crate) fn run_batch(cx: &TaskCx<'_, '_>, batch: Batch, mut inputs: Inputs) -> Result<Vec<Buffer>> {
    let plan = cx.plan;
    let stage = &plan.stages[batch.stage as usize];
    cx.cancel.check()?;
    let mut scratch = cx.arena.alloc(plan.batch_scratch(batch) as usize)?;
    // Carried states stay where they are; everything else gets a buffer of its own.
    let mut outputs: SmallVec<[Option<Buffer>; 2]> = SmallVec::new();
    let made = plan.made_by(batch);
    for &key in &made {
        let carried = carried_state(plan, stage, key.port, batch.index, &mut inputs);
        outputs.push(match carried {
            Some(state) => Some(state),
            None => Some(cx.arena.alloc(plan.buffer_bytes(key) as usize)?),
        });
    }
    let mut buffers: Vec<Buffer> = outputs.into_iter().flatten().collect();
    let mut last: Option<(Dims, Layout)> = None;
    for unit in stage.units_of(batch.index) {
        let mut slices: SmallVec<[&mut [u8]; 2]> = SmallVec::new();
        for (buffer, key) in buffers.iter_mut().zip(&made) {
            // A state that is finished here is larger or smaller than what comes of it.
            slices.push(match stage.batch {
                1 => buffer.as_mut_slice(),
                _ => &mut buffer[unit_range(plan, key.port, unit)],
            });
        }
        let layout = match (&last, stage.aligned && stage.batch > 1) {
            (Some((shape, layout)), true) if *shape == stage.region(unit).shape => layout.clone(),
            (_, true) => {
                let layout = plan.layout(batch.stage, unit);
                last = Some((stage.region(unit).shape, layout.clone()));
                layout
            }
            (_, false) => plan.layout(batch.stage, unit),
        };
        let scratch = &mut scratch.as_mut_slice()[..layout.total];
        let task = UnitTask { cx, plan, stage, unit, layout };
        task.run(&mut inputs, &mut slices, scratch)?;
    }
    Ok(buffers)
}

/// The state of a chained fold that a batch carries on and hands on, taken from its inputs:
/// where it is not finished, it is changed in place.
fn carried_state(
    plan: &Plan,
    stage: &Stage,
    port: PortId,
    index: u64,
    inputs: &mut Inputs,
) -> Option<Buffer> {
    let Holds::Fold { plan: fold, level } = &plan.ports[port as usize].holds else { return None };
    if !fold.chain {
        return None;
    }
    let (block, position) = fold.place(*level, index);
    if fold.is_last(*level, block, position) {
        return None;
    }
    let key = match (&stage.work, position % FAN_IN) {
        (Work::Visit { .. }, 0) => return None,
        (Work::Visit { .. }, _) => Key { port, index: fold.geometry.chunk(block, position - 1) },
        // The first state of a group is handed on as it is.
        (_, 0) => Key { port: fold.port(level - 1), index: fold.unit(level - 1, block, position) },
        (_, _) => Key { port, index: index - 1 },
    };
    let at = inputs.iter().position(|(have, _)| *have == key).expect("all needs are lent");
    match inputs.swap_remove(at).1 {
        Lent::Owned(buffer) => Some(buffer),
        Lent::Shared(_) => unreachable!("a state has one reader"),
    }
}

struct UnitTask<'a, 't> {
    cx: &'a TaskCx<'a, 't>,
    plan: &'a Plan,
    stage: &'a Stage,
    unit: u64,
    layout: Layout,
}

/// Takes the first `len` bytes, rounded up to 64, off the front of `rest`.
fn carve<'a>(rest: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let (piece, after) = std::mem::take(rest).split_at_mut(len.next_multiple_of(64));
    *rest = after;
    &mut piece[..len]
}

impl<'a> UnitTask<'a, '_> {
    fn run(&self, inputs: &mut Inputs, outs: &mut [&mut [u8]], scratch: &mut [u8]) -> Result<()> {
        match &self.stage.work {
            Work::Read(source) => {
                let region = self.stage.region(self.unit);
                let out = ChunkMut::new(source.meta().dtype, outs[0], &region.shape);
                self.read(&**source, &region, out, scratch)
            }
            Work::Shuffle => self.shuffle(inputs, outs, scratch),
            Work::Combine { fold, level } => {
                self.combine(fold, *level, inputs, outs[0], scratch);
                Ok(())
            }
            Work::Map { axis, parts } => {
                let region = self.stage.region(self.unit);
                let program = &part_of(*axis, parts, &region).program;
                self.map(program, &region, inputs, outs, scratch)
            }
            Work::Visit { program, folds } => self.visit(program, folds, inputs, outs, scratch),
            Work::Block { kernel, .. } => {
                let region = self.stage.region(self.unit);
                let (work, codec) = scratch.split_at_mut(self.layout.codec);
                let numbers: Vec<usize> = (0..self.stage.inputs.len()).collect();
                let mut work = work;
                let views = self.fetch_all(&numbers, None, inputs, &mut work, codec)?;
                let index = self.stage.grid.index_of(self.unit).to_vec();
                let dtype = self.plan.ports[self.stage.ports[0] as usize].array().1;
                let out = ChunkMut::new(dtype, outs[0], &region.shape);
                let cx = BlockCx { index, region };
                kernel.run(&views, out, &cx).map_err(|text| {
                    Error::new(ErrorKind::Function, format!("{}: {text}", kernel.name()))
                        .at(self.stage.origin)
                })
            }
        }
    }

    fn read(
        &self,
        source: &dyn ChunkSource,
        region: &Region,
        out: ChunkMut<'_>,
        scratch: &mut [u8],
    ) -> Result<()> {
        let cx = self.cx;
        cx.read.fetch_add(source.cost(region).bytes, Ordering::Relaxed);
        let mut read = ReadCx { scratch, limit: cx.limit, files: cx.files, cancel: cx.cancel };
        Ok(source.read(region, out, &mut read)?)
    }

    /// The inputs with these numbers, as views of the shape of what is computed; those that
    /// are not whole somewhere are put together in `work`.
    fn fetch_all<'b>(
        &self,
        numbers: &[usize],
        program: Option<&Program>,
        inputs: &'b [(Key, Lent)],
        work: &mut &'b mut [u8],
        codec: &mut [u8],
    ) -> Result<SmallVec<[ChunkView<'b>; 4]>>
    where
        'a: 'b,
    {
        let mut views = SmallVec::new();
        for &number in numbers {
            let input = &self.stage.inputs[number];
            let region = self.stage.input_region(number, self.unit);
            if region.is_empty() {
                views.push(ChunkView::new(input.dtype, &[], &region.shape));
                continue;
            }
            let held = input.access.region(&region);
            let view = match self.plan.fetch(self.stage, number, &region, program) {
                Fetch::InPlace => {
                    let Feed::Port(port) = input.feed else { unreachable!("in place in the store") };
                    let (grid, dtype) = self.plan.ports[port as usize].array();
                    // A long step may begin before the block that holds all of its elements.
                    let mut block = grid.covering(&held).start;
                    blocks_read(&input.access, &region, grid, |index| block = index.into());
                    let unit = self.plan.ports[port as usize].unit_of(grid.linear_of(&block));
                    let at = grid.region(&block);
                    let bytes = lent(self.plan, inputs, port, unit);
                    let view = ChunkView::new(dtype, bytes, &at.shape);
                    input.access.view(&region, &view, &at)
                }
                Fetch::Landed | Fetch::Direct => {
                    let len = held.volume() as usize * input.dtype.size();
                    let landing = carve(work, len);
                    let target = ChunkMut::new(input.dtype, landing, &held.shape);
                    self.gather(number, &held, target, inputs, codec)?;
                    let view = ChunkView::new(input.dtype, landing, &held.shape);
                    input.access.view(&region, &view, &held)
                }
            };
            views.push(view);
        }
        Ok(views)
    }

    /// Puts the box `held` of what an input reads together in `target`.
    fn gather(
        &self,
        number: usize,
        held: &Region,
        mut target: ChunkMut<'_>,
        inputs: &[(Key, Lent)],
        codec: &mut [u8],
    ) -> Result<()> {
        match &self.stage.inputs[number].feed {
            Feed::Source(source) => self.read(&**source, held, target, codec),
            Feed::Port(port) => {
                let this = &self.plan.ports[*port as usize];
                let (grid, dtype) = this.array();
                let access = &self.stage.inputs[number].access;
                let region = self.stage.input_region(number, self.unit);
                blocks_read(access, &region, grid, |index| {
                    let at = grid.region(index);
                    let Some(common) = at.intersection(held) else { return };
                    let bytes = lent(self.plan, inputs, *port, this.unit_of(grid.linear_of(index)));
                    let part = ChunkView::new(dtype, bytes, &at.shape).sub(&common.relative_to(&at.start));
                    target.sub(&common.relative_to(&held.start)).assign(&part);
                });
                Ok(())
            }
        }
    }

    fn map(
        &self,
        program: &'a Program,
        region: &Region,
        inputs: &Inputs,
        outs: &mut [&mut [u8]],
        scratch: &mut [u8],
    ) -> Result<()> {
        let (mut work, codec) = scratch.split_at_mut(self.layout.codec);
        let dtype = program.outputs[0].1;
        let target = self.stage.root.map(|root| &self.cx.targets[root]);
        match target {
            None | Some(Target::Keep) => {
                let out = ChunkMut::new(dtype, outs[0], &region.shape);
                self.compute(program, region, inputs, out, &mut work, codec)
            }
            Some(Target::Collect(collected)) => match self.layout.result {
                None => collected.with(region, |out| {
                    self.compute(program, region, inputs, out, &mut work, codec)
                }),
                Some(_) => {
                    let made = self.make(program, region, inputs, &mut work, codec)?;
                    collected.with(region, |mut out| out.assign(&made));
                    Ok(())
                }
            },
            Some(Target::Store(sink)) => match (self.layout.result, program.copied_input()) {
                // The block is whole somewhere: it is written from there.
                (None, Some(_)) => {
                    let views = self.fetch_all(&program.inputs, Some(program), inputs, &mut work, codec)?;
                    self.write(&**sink, region, views[0].clone(), codec)
                }
                _ => {
                    let made = self.make(program, region, inputs, &mut work, codec)?;
                    self.write(&**sink, region, made, codec)
                }
            },
        }
    }

    fn write(
        &self,
        sink: &dyn ChunkSink,
        region: &Region,
        data: ChunkView<'_>,
        scratch: &mut [u8],
    ) -> Result<()> {
        let cx = self.cx;
        let mut write = ReadCx { scratch, limit: cx.limit, files: cx.files, cancel: cx.cancel };
        let index = self.stage.grid.index_of(self.unit);
        debug_assert_eq!(data.shape(), &region.shape[..]);
        let written = sink.write(&index, data, &mut write)?;
        cx.written.fetch_add(written.bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Computes a block in scratch.
    fn make<'b>(
        &self,
        program: &'a Program,
        region: &Region,
        inputs: &'b Inputs,
        work: &mut &'b mut [u8],
        codec: &mut [u8],
    ) -> Result<ChunkView<'b>>
    where
        'a: 'b,
    {
        let dtype = program.outputs[0].1;
        let (before, mut rest) =
            std::mem::take(work).split_at_mut(self.layout.result.expect("made in scratch"));
        let result = carve(&mut rest, region.volume() as usize * dtype.size());
        // Inputs are put together before the result, registers lie behind it.
        let mut before = before;
        let views = match self.is_direct(program, region) {
            true => SmallVec::new(),
            false => self.fetch_all(&program.inputs, Some(program), inputs, &mut before, codec)?,
        };
        let out = ChunkMut::new(dtype, result, &region.shape);
        self.evaluate(program, region, inputs, views, out, rest, codec)?;
        Ok(ChunkView::new(dtype, result, &region.shape))
    }

    /// Computes a block right where it belongs.
    fn compute<'b>(
        &self,
        program: &'a Program,
        region: &Region,
        inputs: &'b Inputs,
        out: ChunkMut<'_>,
        work: &mut &'b mut [u8],
        codec: &mut [u8],
    ) -> Result<()>
    where
        'a: 'b,
    {
        let (landings, registers) = std::mem::take(work).split_at_mut(self.layout.registers);
        let mut landings = landings;
        let views = match self.is_direct(program, region) {
            true => SmallVec::new(),
            false => self.fetch_all(&program.inputs, Some(program), inputs, &mut landings, codec)?,
        };
        self.evaluate(program, region, inputs, views, out, registers, codec)
    }

    /// Whether the program copies one input that can be read right into the output.
    fn is_direct(&self, program: &Program, region: &Region) -> bool {
        program.copied_input().is_some_and(|input| {
            self.plan.fetch(self.stage, input, region, Some(program)) == Fetch::Direct
        })
    }

    #[allow(clippy::too_many_arguments)] // the pieces of scratch are borrowed apart
    fn evaluate<'b>(
        &self,
        program: &'b Program,
        region: &Region,
        inputs: &Inputs,
        views: SmallVec<[ChunkView<'b>; 4]>,
        mut out: ChunkMut<'_>,
        registers: &'b mut [u8],
        codec: &mut [u8],
    ) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        if let Some(input) = program.copied_input() {
            if let Some(view) = views.first() {
                out.assign(view);
                return Ok(());
            }
            let held = self.stage.inputs[input].access.region(region);
            return self.gather(input, &held, out.with_unit_axes(&held.shape), inputs, codec);
        }
        let count = region.volume() as usize;
        match out.as_bytes() {
            Some(bytes) => Evaluator::new(program, views, count, registers).run(&region.shape, bytes),
            None => unreachable!("results are made in one run"),
        }
        Ok(())
    }

    /// Cuts the chunks of a large block into pieces, one chunk after the other.
    fn shuffle(&self, inputs: &Inputs, outs: &mut [&mut [u8]], scratch: &mut [u8]) -> Result<()> {
        let input = &self.stage.inputs[0];
        let region = self.stage.region(self.unit);
        let (pieces, dtype) = self.plan.ports[self.stage.ports[0] as usize].array();
        let first = pieces.covering(&region);
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
                for index in Coordinates::of(grid.covering(&region)) {
                    let at = grid.region(&index);
                    let landing = &mut landing[..at.volume() as usize * dtype.size()];
                    self.read(&**source, &at, ChunkMut::new(dtype, landing, &at.shape), codec)?;
                    cut(&at, &ChunkView::new(dtype, landing, &at.shape));
                }
            }
            Feed::Port(port) => {
                let this = &self.plan.ports[*port as usize];
                let (grid, _) = this.array();
                for index in Coordinates::of(grid.covering(&region)) {
                    let at = grid.region(&index);
                    let unit = this.unit_of(grid.linear_of(&index));
                    let bytes = lent(self.plan, inputs, *port, unit);
                    cut(&at, &ChunkView::new(dtype, bytes, &at.shape));
                }
            }
        }
        Ok(())
    }

    fn visit(
        &self,
        program: &'a Program,
        folds: &[Arc<FoldPlan>],
        inputs: &mut Inputs,
        outs: &mut [&mut [u8]],
        scratch: &mut [u8],
    ) -> Result<()> {
        let region = self.stage.region(self.unit);
        let (mut work, codec) = scratch.split_at_mut(self.layout.codec);
        let (mut landings, rest) =
            std::mem::take(&mut work).split_at_mut(self.layout.states_start());
        let mut rest = rest;
        // States that this task finishes: begun here in scratch, or carried here by a chunk
        // whose buffer is this task's.
        let mut taken: SmallVec<[Option<Buffer>; 2]> = SmallVec::new();
        for fold in folds {
            let (block, position) = fold.place(u32::from(fold.chain), self.unit);
            let carried = fold.chain
                && position % FAN_IN != 0
                && fold.is_last(1, block, position);
            taken.push(carried.then(|| {
                let chunk = fold.geometry.chunk(block, position - 1);
                let key = self.plan.key(fold.port(1), chunk);
                let at = inputs.iter().position(|(have, _)| *have == key).expect("lent");
                match inputs.swap_remove(at).1 {
                    Lent::Owned(buffer) => buffer,
                    Lent::Shared(_) => unreachable!("a state has one reader"),
                }
            }));
        }
        let views = self.fetch_all(&program.inputs, Some(program), inputs, &mut landings, codec)?;
        let mut states: Vec<FoldState<'_>> = Vec::with_capacity(folds.len());
        for (((fold, out), taken), begun) in
            folds.iter().zip(outs.iter_mut()).zip(&mut taken).zip(&self.layout.states)
        {
            let level = u32::from(fold.chain);
            let (block, position) = fold.place(level, self.unit);
            let cells = fold.geometry.cells(block);
            let len = fold.layout(cells).1;
            let last = fold.is_last(level, block, position);
            let first = !fold.chain || position % FAN_IN == 0;
            let seen = match first {
                true => 0,
                false => fold.elements_between(block, position / FAN_IN * FAN_IN, position),
            };
            let (bytes, result): (&mut [u8], Option<&mut [u8]>) = match (taken, begun) {
                (Some(buffer), _) => (buffer.as_mut_slice(), Some(out)),
                (None, Some(_)) => (carve(&mut rest, len), Some(out)),
                (None, None) => (&mut out[..len], None),
            };
            debug_assert_eq!(result.is_some(), last);
            let mut parts = parts_mut(fold, cells, bytes);
            if first {
                fold.fold.start(&mut parts);
            }
            let rows = Rows::new(fold, &region, seen);
            states.push(FoldState { fold, rows, parts, result, block, cells });
        }
        let count = region.volume() as usize;
        let registers = &mut rest[..];
        debug_assert!(registers.len() >= program.registers as usize * register_bytes(count));
        Evaluator::new(program, views, count, registers).for_each_tile(&region.shape, |output, start, tile| {
            for state in states.iter_mut().filter(|state| state.fold.output == output) {
                state.rows.fold(&*state.fold.fold, &mut state.parts, start, tile);
            }
        });
        for state in states {
            if let Some(out) = state.result {
                let fold = state.fold;
                let read: SmallVec<[&[u8]; 3]> = state.parts.iter().map(|part| &**part).collect();
                let len = state.cells as usize * fold.fold.output().size();
                let elements = fold.elements(fold.last_level(), state.block, 0);
                fold.fold.finish(&read, elements, &mut out[..len]);
            }
        }
        Ok(())
    }

    /// Combines states: of a chain the next one into the one that is carried, else up to
    /// [`FAN_IN`] of them.
    fn combine(
        &self,
        fold: &FoldPlan,
        level: u32,
        inputs: &mut Inputs,
        out: &mut [u8],
        scratch: &mut [u8],
    ) {
        let (block, position) = fold.place(level, self.unit);
        let below = fold.count(block, level - 1);
        let group = if fold.chain { position / FAN_IN } else { position };
        // Levels are numbered with gaps where blocks differ in their chunks.
        if group >= fold.count(block, level) || (fold.chain && position >= below) {
            return;
        }
        let cells = fold.geometry.cells(block);
        let last = fold.is_last(level, block, position);
        let state_len = fold.layout(cells).1;
        let from = fold.port(level - 1);
        let child = |node: u64| lent(self.plan, inputs, from, fold.unit(level - 1, block, node));
        let elements = |node: u64| fold.elements(level - 1, block, node);
        let finish = |state: &[u8], out: &mut [u8]| {
            let len = cells as usize * fold.fold.output().size();
            let elements = fold.elements(fold.last_level(), block, 0);
            fold.fold.finish(&parts(fold, cells, state), elements, &mut out[..len]);
        };
        let combine = |state: &mut [u8], count: u64, node: u64| {
            let later = parts(fold, cells, child(node));
            fold.fold.combine(&mut parts_mut(fold, cells, state), count, &later, elements(node));
        };
        if !fold.chain {
            let nodes = position * FAN_IN..((position + 1) * FAN_IN).min(below);
            let state = if last { &mut scratch[..state_len] } else { &mut out[..state_len] };
            state.copy_from_slice(&child(nodes.start)[..state_len]);
            let mut count = elements(nodes.start);
            for node in nodes.skip(1) {
                combine(state, count, node);
                count += elements(node);
            }
            if last {
                finish(&scratch[..state_len], out);
            }
            return;
        }
        let first = position % FAN_IN == 0;
        let count = (group * FAN_IN..position).map(elements).sum();
        match (first, last) {
            // The buffer was handed on as it is.
            (true, false) => {}
            (true, true) => finish(child(position), out),
            (false, false) => combine(&mut out[..state_len], count, position),
            (false, true) => {
                let key = self.plan.key(fold.port(level), self.unit - 1);
                let at = inputs.iter().position(|(have, _)| *have == key).expect("lent");
                let (carried, rest) = {
                    let (_, carried) = inputs.swap_remove(at);
                    (carried, &*inputs)
                };
                let Lent::Owned(mut carried) = carried else { unreachable!("a state has one reader") };
                let node = lent(self.plan, rest, from, fold.unit(level - 1, block, position));
                let later = parts(fold, cells, node);
                let mut state = parts_mut(fold, cells, &mut carried);
                fold.fold.combine(&mut state, count, &later, elements(position));
                drop(state);
                finish(&carried, out);
            }
        }
    }
}

/// A fold at work on one chunk.
struct FoldState<'a> {
    fold: &'a FoldPlan,
    rows: Rows,
    parts: SmallVec<[&'a mut [u8]; 3]>,
    /// Where the finished block goes, of a state that is finished here.
    result: Option<&'a mut [u8]>,
    block: u64,
    cells: u64,
}
