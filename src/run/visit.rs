//! Visiting chunks: a program computes their elements, and folds take them into their states.
//!
//! A visit is of one chunk, or, where states are carried, of all those of a batch: a fold that is
//! carried has one state for all of them, any other one for each. Chunks that are read band by
//! band are gone through side by side (`plan::chain` tells why) where a cell has all of a chunk's elements
//! in one band. So a state is handed the tiles of a chunk in C order, and a cell the chunks in theirs.

use super::{
    fetch::Room,
    fold::{Rows, parts_mut},
    task::{Inputs, Lent, UnitTask, carve},
    tile::{Evaluator, register_bytes},
};
use crate::{
    error::Result,
    memory::Buffer,
    plan::{FoldPlan, Program},
};
use smallvec::SmallVec;
use std::sync::Arc;

/// A state at work.
struct State<'a> {
    fold: &'a FoldPlan,
    parts: SmallVec<[&'a mut [u8]; 3]>,
    /// Where the finished block goes, of a state that is finished here.
    result: Option<&'a mut [u8]>,
    block: u64,
    cells: u64,
}

/// Where a visit enters a fold, and where it leaves it.
#[derive(Clone, Copy)]
struct Span {
    block: u64,
    /// Whether the state begins here, and whether it is finished here.
    begun: bool,
    finished: bool,
}

impl Span {
    /// Of the units of `tasks`, which are one unless the fold is carried.
    fn of(fold: &FoldPlan, tasks: &[UnitTask<'_, '_>]) -> Span {
        let level = u32::from(fold.chain);
        let place = |task: &UnitTask<'_, '_>| fold.place(level, task.unit);
        let (block, first) = place(&tasks[0]);
        let (_, last) = place(&tasks[tasks.len() - 1]);
        Span {
            block,
            begun: !fold.chain || first.is_multiple_of(fold.fan_in),
            finished: fold.is_last(level, block, last),
        }
    }
}

/// Takes the state out of `inputs` that `task` carries on and finishes.
fn carried(fold: &FoldPlan, task: &UnitTask<'_, '_>, inputs: &mut Inputs) -> Buffer {
    let (block, position) = fold.geometry.place(task.unit);
    let key = task.plan.key(fold.port(1), fold.geometry.chunk(block, position - 1));
    let at = inputs.iter().position(|(have, _)| *have == key).expect("lent");
    match inputs.remove(at).1 {
        Lent::Owned(buffer) => buffer,
        Lent::Shared(_) => unreachable!("a state has one reader"),
    }
}

/// How the elements of a task's chunk come to a state of `fold`.
fn rows(fold: &FoldPlan, task: &UnitTask<'_, '_>) -> Rows {
    let seen = match fold.chain {
        false => 0,
        true => {
            let (block, position) = fold.geometry.place(task.unit);
            fold.elements_between(block, position / fold.fan_in * fold.fan_in, position)
        }
    };
    Rows::new(fold, task.region, seen)
}

/// Whether no cell has elements in two bands of the task's chunk: else it would be handed those of the
/// next chunk's first band before those of this one's second.
fn bands_are_apart(fold: &FoldPlan, task: &UnitTask<'_, '_>) -> bool {
    let lengths = task.layout.band.iter().zip(&task.region.shape);
    lengths.zip(&fold.geometry.bins).all(|((band, chunk), bin)| *bin == 1 || band == chunk)
}

/// Visits the chunks of `tasks`, and puts states, or what they are finished to, into `outs`: of each fold
/// from the first of these units on.
pub(super) fn visit<'a>(
    tasks: &[UnitTask<'a, '_>],
    program: &'a Program,
    folds: &[Arc<FoldPlan>],
    inputs: &mut Inputs,
    outs: &mut [&mut [u8]],
    scratch: &mut [u8],
) -> Result<()> {
    let Some(first) = tasks.first() else { return Ok(()) };
    // States that are finished here: begun here in scratch, or carried here in a buffer that is
    // this batch's now.
    let (mut passing, scratch) = scratch.split_at_mut(first.layout.states);
    let mut taken: SmallVec<[Option<Buffer>; 2]> = SmallVec::new();
    for fold in folds {
        let span = Span::of(fold, if fold.chain { tasks } else { &tasks[..1] });
        let ends = span.finished && !span.begun;
        taken.push(ends.then(|| carried(fold, first, inputs)));
    }
    let mut states: SmallVec<[State<'_>; 4]> = SmallVec::new();
    // The number of each fold's first state.
    let mut firsts: SmallVec<[usize; 2]> = SmallVec::new();
    for (number, (out, taken)) in outs.iter_mut().zip(&mut taken).enumerate() {
        let (fold, mut taken) = (&*folds[number], taken.as_mut());
        firsts.push(states.len());
        let together = if fold.chain { tasks.len() } else { 1 };
        let slot = first.plan.ports[first.stage.ports[number] as usize].slot.max(1) as usize;
        for (tasks, out) in tasks.chunks(together).zip(out.chunks_mut(slot)) {
            let Span { block, begun, finished } = Span::of(fold, tasks);
            let cells = fold.geometry.cells(block);
            let len = fold.layout(cells).1;
            let (bytes, result) = match (finished, taken.take()) {
                (true, Some(buffer)) => (buffer.as_mut_slice(), Some(out)),
                (true, None) => (carve(&mut passing, len), Some(out)),
                (false, _) => (&mut out[..len], None),
            };
            let mut parts = parts_mut(fold, cells, bytes);
            if begun {
                fold.fold.start(&mut parts);
            }
            states.push(State { fold, parts, result, block, cells });
        }
    }
    let rows: SmallVec<[Rows; 4]> =
        tasks.iter().flat_map(|task| folds.iter().map(|fold| rows(fold, task))).collect();
    let mut at = 0;
    while let Some(head) = tasks.get(at) {
        let (region, layout) = (head.region, head.layout);
        let apart = folds.iter().all(|fold| !fold.chain || bands_are_apart(fold, head));
        let along = |task: &&UnitTask<'_, '_>| {
            apart && task.region.shape == region.shape && layout.goes_along(task.layout)
        };
        let group = &tasks[at..at + 1 + tasks[at + 1..].iter().take_while(along).count()];
        let (work, codec) = scratch.split_at_mut(layout.codec - layout.states);
        let (landings, registers) = work.split_at_mut(layout.registers - layout.states);
        let count = region.volume() as usize;
        debug_assert!(registers.len() >= program.registers as usize * register_bytes(count));
        let room = Room { landings, registers, codec };
        UnitTask::for_each_band(group, program, inputs, room, |number, band, views, registers| {
            let number = at + number;
            Evaluator::new(program, views, count, registers).for_each_tile(
                &region.shape,
                band,
                |output, start, tile| {
                    for (f, fold) in folds.iter().enumerate().filter(|(_, f)| f.output == output) {
                        let state = firsts[f] + if fold.chain { 0 } else { number };
                        let parts = &mut states[state].parts;
                        rows[number * folds.len() + f].fold(&*fold.fold, parts, start, tile);
                    }
                },
            );
        })?;
        at += group.len();
    }
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
