//! Batches that need not run: what they would make is stored already, by a run that was stopped.
//!
//! Chunks count who has yet to read them, and are freed by the last. So a batch that is
//! skipped is taken off the chunks it would have read; where none reads one any more, its maker
//! is skipped in turn.

use super::{Batch, Key, Schedule, State};
use freeboard_formats::{ChunkSet, region::Coordinates};

impl Schedule<'_> {
    /// Whether all that a root's batch would make is there.
    pub(super) fn is_done_already(&self, batch: Batch) -> bool {
        let stage = &self.plan.stages[batch.stage as usize];
        let Some(root) = stage.root.filter(|_| stage.ports.is_empty()) else { return false };
        let done: Option<&ChunkSet> = self.done.get(root).copied().flatten();
        let Some(done) = done else { return false };
        // A unit makes one chunk of the output, or several whole ones.
        let grid = self.plan.root_grid(root);
        stage.units_of(batch.index).all(|unit| {
            let chunks = Coordinates::of(grid.covering(&stage.region(unit)));
            chunks.into_iter().all(|index| done.contains(grid.linear_of(&index)))
        })
    }

    /// Skips a root's batch. Chunks that nobody needs any more are added to `freed`.
    pub(super) fn skip(&mut self, batch: Batch, freed: &mut Vec<Key>) {
        self.roots_left -= 1;
        let (mut skipped, mut needs) = (vec![batch], Vec::new());
        while let Some(batch) = skipped.pop() {
            let units = self.plan.stages[batch.stage as usize].units_of(batch.index);
            self.counts.skipped += units.end - units.start;
            self.plan.batch_needs(batch, &mut needs);
            for &key in &needs {
                match self.chunks.get_mut(&key) {
                    Some(chunk) => {
                        chunk.readers -= 1;
                        // One that is being made is freed when it is made.
                        if chunk.state != State::Pending {
                            self.free_unread(key, freed);
                        }
                    }
                    None => {
                        *self.forgone.entry(key).or_insert(0) += 1;
                        skipped.extend(self.forgone_maker(key));
                    }
                }
            }
        }
    }

    /// The maker of a chunk, if nobody will read anything that it would make.
    fn forgone_maker(&mut self, key: Key) -> Option<Batch> {
        let maker = self.plan.maker_of(key);
        let made = self.plan.made_by(maker);
        let unread = |key: &Key| {
            !self.plan.ports[key.port as usize].kept
                && self.forgone.get(key).copied().unwrap_or(0) >= self.plan.reader_count(*key)
        };
        if !made.iter().all(unread) {
            return None;
        }
        for key in &made {
            self.forgone.remove(key);
        }
        Some(maker)
    }
}
