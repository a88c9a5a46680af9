//! States that are carried: where a chain's batches take them from, and how many chunks a batch takes.
//!
//! A chain's state is about as large as a chunk, and a task for each chunk would bring it from
//! memory, or from the core that had the chunk before, each time. So a batch takes several
//! chunks of a chain, all of one, and hands on the state that the last of them leaves: its one
//! result. Where it reads them band by band it goes through their bands in turn
//! (`run::visit`), and the same stretch of the state takes a band of each while it is in cache.
//! Each cell is still handed its elements chunk by chunk.

use super::{
    Plan,
    stage::{Batch, FoldPlan, Holds, Key, PortId, Stage, StageId, Work},
};
use smallvec::SmallVec;
use std::ops::Range;

/// The most chunks of a chain that a batch takes, a power of two that divides a chain of
/// `FAN_IN`: with eight the state passes through memory seldom enough, and eight files for each
/// thread can be open at once (see [`FileCache`](freeboard_formats::FileCache)).
const TOGETHER: u64 = 8;

/// The memory that a batch of several chunks may need, in that of a batch of one.
const MORE: f64 = 1.125;

impl FoldPlan {
    /// Whether batches of `units` consecutive chunks, a power of two, never reach beyond a chain.
    fn is_cut_by(&self, units: u64) -> bool {
        let blocks = self.geometry.blocks.len();
        // Of several blocks, all must hold equally many chunks, so that each begins with a batch.
        let alike = blocks == 1
            || blocks * self.max_count == self.geometry.chunks.len()
                && self.max_count.is_multiple_of(units);
        let one_chain = self.max_count <= self.fan_in && blocks == 1;
        self.consecutive && alike && (one_chain || self.fan_in.is_multiple_of(units))
    }

    /// The bytes of each state that a visit of `units` both begins and finishes, in their order:
    /// it has no port to lie in.
    pub(crate) fn begun_and_finished(&self, units: Range<u64>) -> SmallVec<[usize; 8]> {
        let bytes = |block: u64| self.layout(self.geometry.cells(block)).1;
        if !self.chain {
            let finished = units.filter(|_| self.last_level() == 0);
            return finished.map(|unit| bytes(self.geometry.place(unit).0)).collect();
        }
        let (block, first) = self.geometry.place(units.start);
        let (_, last) = self.geometry.place(units.end - 1);
        let passes = first.is_multiple_of(self.fan_in) && self.is_last(1, block, last);
        passes.then(|| bytes(block)).into_iter().collect()
    }
}

impl Stage {
    /// Whether states are carried from one of its units to the next.
    pub(crate) fn carries(&self) -> bool {
        matches!(&self.work, Work::Visit { folds, .. } if folds.iter().any(|fold| fold.chain))
    }

    /// The units of a visit that are worked on at once with `unit`, itself among them: where
    /// states are carried, all of the batch.
    pub(crate) fn visited_with(&self, unit: u64) -> Range<u64> {
        if self.carries() { self.units_of(unit / self.batch) } else { unit..unit + 1 }
    }
}

impl Plan {
    /// How many chunks a batch of a stage that carries states takes: where they follow one
    /// another in one chain, and hardly more is in memory at once.
    pub(super) fn chunks_together(&mut self, number: StageId) -> u64 {
        let Work::Visit { folds, .. } = &self.stages[number as usize].work else { return 1 };
        let units = self.stages[number as usize].units;
        let fits = |&together: &u64| {
            together <= units
                && folds.iter().filter(|fold| fold.chain).all(|fold| fold.is_cut_by(together))
        };
        let sizes = std::iter::successors(Some(TOGETHER), |size| Some(size / 2));
        let sizes: Vec<u64> = sizes.take_while(|&size| size > 1).filter(fits).collect();
        let first = Batch { stage: number, index: 0 };
        let most = (self.batch_need(first) as f64 * MORE) as u64;
        for size in sizes {
            self.stages[number as usize].batch = size;
            let need = self.batch_need(first);
            self.stages[number as usize].batch = 1;
            // The last batch of a longer chain has a state beside the result as well.
            if need <= most + self.passing(number, 0..size) {
                return size;
            }
        }
        1
    }

    /// Bytes of the states that a batch of `units` carries from the beginning of a chain to its end.
    fn passing(&self, number: StageId, units: Range<u64>) -> u64 {
        let Work::Visit { folds, .. } = &self.stages[number as usize].work else { return 0 };
        let chained = folds.iter().filter(|fold| fold.chain);
        let bytes = chained.flat_map(|fold| fold.begun_and_finished(units.clone()));
        bytes.map(|bytes| bytes.next_multiple_of(64) as u64).sum()
    }

    /// The unit, of those whose results lie in a buffer, that left a chain's state there: the last.
    pub(super) fn left_by(&self, key: Key) -> u64 {
        self.units_in(key).end - 1
    }

    /// Whether a port holds states that are carried, one in a buffer however many units it is for.
    pub(crate) fn is_chain(&self, port: PortId) -> bool {
        matches!(&self.ports[port as usize].holds, Holds::Fold { plan, .. } if plan.chain)
    }

    /// Whether a buffer holds the state of a chained fold, which its one reader changes in place.
    pub(crate) fn is_carried(&self, key: Key) -> bool {
        match &self.ports[key.port as usize].holds {
            Holds::Fold { plan, level } if plan.chain => {
                let (block, position) = plan.place(*level, self.left_by(key));
                !plan.is_last(*level, block, position)
            }
            _ => false,
        }
    }

    /// The buffer that becomes the one that a batch puts into `port`: a chained fold's state,
    /// which is changed in place until it is finished.
    pub(crate) fn carried_into(&self, batch: Batch, port: PortId) -> Option<Key> {
        let Holds::Fold { plan: fold, level } = &self.ports[port as usize].holds else {
            return None;
        };
        if !fold.chain || !self.is_carried(Key { port, index: batch.index }) {
            return None;
        }
        let stage = &self.stages[batch.stage as usize];
        let first = stage.units_of(batch.index).start;
        let (block, position) = fold.place(*level, first);
        match (&stage.work, position % fold.fan_in) {
            (Work::Visit { .. }, 0) => None,
            (Work::Visit { .. }, _) => {
                Some(self.key(port, fold.geometry.chunk(block, position - 1)))
            }
            // The first state of a group is handed on as it is.
            (_, 0) => {
                let below = level - 1;
                Some(self.key(fold.port(below), fold.unit(below, block, position)))
            }
            (_, _) => Some(self.key(port, first - 1)),
        }
    }
}
