//! The tasks of a reduction: visiting a chunk, and combining states.

use super::{
    fetch::Room,
    fold::{Rows, parts, parts_mut},
    task::{Inputs, Lent, UnitTask, carve, lent},
    tile::{Evaluator, register_bytes},
};
use crate::{
    error::Result,
    memory::Buffer,
    plan::{FoldPlan, Program},
};
use smallvec::SmallVec;
use std::sync::Arc;

impl<'a> UnitTask<'a, '_> {
    pub(super) fn visit(
        &self,
        program: &'a Program,
        folds: &[Arc<FoldPlan>],
        inputs: &mut Inputs,
        outs: &mut [&mut [u8]],
        scratch: &mut [u8],
    ) -> Result<()> {
        let region = self.region;
        let (work, codec) = scratch.split_at_mut(self.layout.codec);
        let (landings, mut rest) = work.split_at_mut(self.layout.states_start());
        // States that this task finishes: begun here in scratch, or carried here by a chunk
        // whose buffer is this task's.
        let mut taken: SmallVec<[Option<Buffer>; 2]> = SmallVec::new();
        let mut places: SmallVec<[(u64, u64); 2]> = SmallVec::new();
        for fold in folds {
            let (block, position) = fold.place(u32::from(fold.chain), self.unit);
            let carried =
                fold.chain && position % fold.fan_in != 0 && fold.is_last(1, block, position);
            taken.push(carried.then(|| {
                let chunk = fold.geometry.chunk(block, position - 1);
                let key = self.plan.key(fold.port(1), chunk);
                let at = inputs.iter().position(|(have, _)| *have == key).expect("lent");
                match inputs.remove(at).1 {
                    Lent::Owned(buffer) => buffer,
                    Lent::Shared(_) => unreachable!("a state has one reader"),
                }
            }));
            places.push((block, position));
        }
        let mut states: SmallVec<[FoldState<'_>; 2]> = SmallVec::new();
        for (number, ((fold, out), taken)) in
            folds.iter().zip(outs.iter_mut()).zip(&mut taken).enumerate()
        {
            let (block, position) = places[number];
            let cells = fold.geometry.cells(block);
            let len = fold.layout(cells).1;
            let last = fold.is_last(u32::from(fold.chain), block, position);
            let first = !fold.chain || position % fold.fan_in == 0;
            let seen = match first {
                true => 0,
                false => {
                    fold.elements_between(block, position / fold.fan_in * fold.fan_in, position)
                }
            };
            let (bytes, result): (&mut [u8], Option<&mut [u8]>) =
                match (taken, self.layout.states[number]) {
                    (Some(buffer), _) => (buffer.as_mut_slice(), Some(out)),
                    (None, Some(_)) => (carve(&mut rest, len), Some(out)),
                    (None, None) => (&mut out[..len], None),
                };
            debug_assert_eq!(result.is_some(), last);
            let mut parts = parts_mut(fold, cells, bytes);
            if first {
                fold.fold.start(&mut parts);
            }
            let rows = Rows::new(fold, region, seen);
            states.push(FoldState { fold, rows, parts, result, block, cells });
        }
        let count = region.volume() as usize;
        debug_assert!(rest.len() >= program.registers as usize * register_bytes(count));
        let room = Room { landings, registers: rest, codec };
        self.for_each_band(program, inputs, room, |band, views, registers| {
            Evaluator::new(program, views, count, registers).for_each_tile(
                &region.shape,
                band,
                |output, start, tile| {
                    for state in states.iter_mut().filter(|state| state.fold.output == output) {
                        state.rows.fold(&*state.fold.fold, &mut state.parts, start, tile);
                    }
                },
            );
        })?;
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
    /// [`fan_in`](FoldPlan::fan_in) of them.
    pub(super) fn combine(
        &self,
        fold: &FoldPlan,
        level: u32,
        inputs: &mut Inputs,
        out: &mut [u8],
        scratch: &mut [u8],
    ) {
        let (block, position) = fold.place(level, self.unit);
        let below = fold.count(block, level - 1);
        let group = if fold.chain { position / fold.fan_in } else { position };
        // Levels are numbered with gaps where blocks differ in their chunks.
        if group >= fold.count(block, level) || (fold.chain && position >= below) {
            return;
        }
        let cells = fold.geometry.cells(block);
        let last = fold.is_last(level, block, position);
        let state_len = fold.layout(cells).1;
        let from = fold.port(level - 1);
        let child = |unit: u64| lent(self.plan, inputs, from, unit);
        let state_of = |node: u64| fold.unit(level - 1, block, node);
        let chunks = fold.count(block, 0);
        let elements = |node: u64| fold.elements_among(level - 1, block, node, chunks);
        let finish = |state: &[u8], out: &mut [u8]| {
            let len = cells as usize * fold.fold.output().size();
            let elements = fold.elements(fold.last_level(), block, 0);
            fold.fold.finish(&parts(fold, cells, state), elements, &mut out[..len]);
        };
        let combine = |state: &mut [u8], count: u64, node: u64, unit: u64| {
            let later = parts(fold, cells, child(unit));
            fold.fold.combine(&mut parts_mut(fold, cells, state), count, &later, elements(node));
        };
        if !fold.chain {
            let nodes = position * fold.fan_in..((position + 1) * fold.fan_in).min(below);
            let state = if last { &mut scratch[..state_len] } else { &mut out[..state_len] };
            let begun = state_of(nodes.start);
            state.copy_from_slice(&child(begun)[..state_len]);
            let mut count = elements(nodes.start);
            let in_order = fold.follow_one_another(level - 1);
            for node in nodes.clone().skip(1) {
                let unit = if in_order { begun + (node - nodes.start) } else { state_of(node) };
                combine(state, count, node, unit);
                count += elements(node);
            }
            if last {
                finish(&scratch[..state_len], out);
            }
            return;
        }
        let first = position % fold.fan_in == 0;
        let count = (group * fold.fan_in..position).map(elements).sum();
        match (first, last) {
            // The buffer was handed on as it is.
            (true, false) => {}
            (true, true) => finish(child(state_of(position)), out),
            (false, false) => {
                combine(&mut out[..state_len], count, position, state_of(position));
            }
            (false, true) => {
                let key = self.plan.key(fold.port(level), self.unit - 1);
                let at = inputs.iter().position(|(have, _)| *have == key).expect("lent");
                let (carried, rest) = {
                    let (_, carried) = inputs.remove(at);
                    (carried, &*inputs)
                };
                let Lent::Owned(mut carried) = carried else {
                    unreachable!("a state has one reader")
                };
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
