//! Combining the states of a reduction.

use super::{
    fold::{parts, parts_mut},
    task::{Inputs, Lent, UnitTask, lent},
};
use crate::plan::FoldPlan;

impl UnitTask<'_, '_> {
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
