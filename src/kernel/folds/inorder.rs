//! A fold that takes the elements of each cell one by one, in the order of their indices.
//!
//! Along an axis outside the others no run of elements lies together, and one accumulator a cell
//! is as fast as any; its bits depend on the order alone, and that is the array's own.

use crate::kernel::{At, Fold};
use freeboard_formats::{DType, Scalar};
use smallvec::SmallVec;
use std::{borrow::Cow, sync::Arc};

/// The fold in order.
pub(crate) fn in_order(fold: Arc<dyn Fold>) -> Arc<dyn Fold> {
    Arc::new(InOrder(fold))
}

#[derive(Debug)]
struct InOrder(Arc<dyn Fold>);

impl Fold for InOrder {
    fn name(&self) -> Cow<'static, str> {
        format!("{} in order", self.0.name()).into()
    }

    fn params(&self) -> Vec<Scalar> {
        self.0.params()
    }

    fn input(&self) -> DType {
        self.0.input()
    }

    fn output(&self) -> DType {
        self.0.output()
    }

    fn state(&self) -> &[DType] {
        self.0.state()
    }

    fn needs_index(&self) -> bool {
        self.0.needs_index()
    }

    fn is_in_order(&self) -> bool {
        true
    }

    fn start(&self, state: &mut [&mut [u8]]) {
        self.0.start(state);
    }

    fn step(&self, state: &mut [&mut [u8]], row: &[u8], run: usize, at: At) {
        if run == 1 {
            return self.0.step(state, row, run, at);
        }
        // A chunk with one element along every axis inside: the run comes one by one all the same.
        let sizes: SmallVec<[usize; 3]> = self.state().iter().map(|part| part.size()).collect();
        let elements = row.chunks_exact(self.input().size());
        for (number, element) in elements.enumerate() {
            let (cell, within) = (number / run, (number % run) as u64);
            let mut parts: SmallVec<[&mut [u8]; 3]> = state
                .iter_mut()
                .zip(&sizes)
                .map(|(part, size)| &mut part[cell * size..(cell + 1) * size])
                .collect();
            let at = At { index: at.index + within, seen: at.seen + within };
            self.0.step(&mut parts, element, 1, at);
        }
    }

    fn combine(&self, _: &mut [&mut [u8]], _: u64, _: &[&[u8]], _: u64) {
        unreachable!("one state takes all elements");
    }

    fn finish(&self, state: &[&[u8]], count: u64, out: &mut [u8]) {
        self.0.finish(state, count, out);
    }
}
