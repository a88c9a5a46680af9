//! Batches that are unfolded along with another one, as all they need is there by then.
//!
//! Depth first, block after block, a chunk that two distant blocks read would wait for the second:
//! of `x + x.T` half of all chunks would, and of a reduction that is carried in several pieces
//! all of them. So when a batch is unfolded, whoever else reads one of its inputs or its results,
//! and needs nothing that is not unfolded too, is unfolded next. Then the chunk is read by all, and freed.

use super::{Batch, Key, Schedule, State};
use crate::plan::Work;
use freeboard_formats::ChunkSet;

/// Chunks with more readers, and batches with more inputs, are not looked at.
const MOST: usize = 8;

/// Roots of more batches are made in their order (a bit is kept for each of them).
const MOST_BATCHES: u64 = 1 << 24;

/// Which batches may be unfolded before their turn, and which roots' were.
pub(super) struct Company {
    /// For each stage, whether its units are certain to be needed.
    stages: Vec<bool>,
    /// For each root, the batches that were unfolded early, if any were.
    early: Vec<Option<ChunkSet>>,
}

impl Company {
    /// Of a run in which `resumed` says whether some of its results are there already: then
    /// the order is the plain one, as it is not known beforehand what is not needed any more.
    pub(super) fn new(plan: &crate::plan::Plan, resumed: bool) -> Company {
        let mut stages = plan.needed_whole();
        for (needed, stage) in stages.iter_mut().zip(&plan.stages) {
            *needed &= !resumed
                && matches!(stage.work, Work::Map { .. } | Work::Visit { .. } | Work::Block { .. })
                && (stage.root.is_none() || stage.batches() <= MOST_BATCHES);
        }
        Company { stages, early: plan.roots.iter().map(|_| None).collect() }
    }

    /// Whether it is worth noting who asks for a chunk with so many readers.
    pub(super) fn is_worth(readers: u8) -> bool {
        (1..=MOST).contains(&usize::from(readers))
    }

    /// Whether a root's batch was unfolded before its turn.
    pub(super) fn was_early(&self, root: usize, index: u64) -> bool {
        self.early[root].as_ref().is_some_and(|early| early.contains(index))
    }
}

impl Schedule<'_> {
    /// Enters the batches that are to be unfolded next to one that just was, and needs `needs`:
    /// those that read one of its inputs, and those that read what it makes.
    pub(super) fn accompany(&mut self, batch: Batch, needs: &[Key]) {
        let made = self.plan.made_by(batch);
        if needs.len().max(made.len()) > MOST {
            return;
        }
        let mut found: Vec<Batch> = Vec::new();
        for key in needs.iter().chain(&made) {
            let chunk = &self.chunks[key];
            if !chunk.lacks_readers() {
                continue;
            }
            let mut others: Vec<Batch> = Vec::new();
            self.plan.each_reader(*key, |reader| {
                let stage = reader.stage as usize;
                if others.len() < 2 * MOST
                    && self.company.stages[stage]
                    && !chunk.asked.contains(&reader)
                    && !self.tasks.contains_key(&reader)
                    && !found.contains(&reader)
                    // Two inputs of one batch may read the same chunk.
                    && !others.contains(&reader)
                {
                    others.push(reader);
                }
            });
            others.retain(|&reader| self.is_unfolded_below(reader, *key));
            found.extend(others);
        }
        // The first of them is to be unfolded first, so it lies on top of the path.
        for &batch in found.iter().rev() {
            if let Some(root) = self.plan.stages[batch.stage as usize].root {
                let batches = self.plan.stages[batch.stage as usize].batches();
                let early = &mut self.company.early[root];
                early.get_or_insert_with(|| ChunkSet::new(batches)).insert(batch.index);
            }
            self.enter(batch);
        }
    }

    /// Whether `batch`, which is not entered, reads `key`, and all it needs is made or unfolded.
    fn is_unfolded_below(&self, batch: Batch, key: Key) -> bool {
        if let Some(root) = self.plan.stages[batch.stage as usize].root
            && (self.company.was_early(root, batch.index) || self.has_come(root, batch))
        {
            return false;
        }
        let mut needs = Vec::new();
        self.plan.batch_needs(batch, &mut needs);
        needs.len() <= MOST
            && needs.contains(&key)
            && needs.iter().all(|key| match self.chunks.get(key) {
                None => false,
                Some(chunk) if chunk.state == State::Pending => {
                    self.tasks.get(&self.plan.maker_of(*key)).is_some_and(|maker| maker.unfolded)
                }
                Some(_) => true,
            })
    }
}
