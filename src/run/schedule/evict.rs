//! What leaves memory when another needs the bytes, and what must not.
//!
//! The rule is the one of Belady (*A study of replacement algorithms for a virtual-storage
//! computer*, IBM Systems Journal 5, 1966): what is needed last goes first. A cache can only
//! guess that, hence LRU; a schedule has unfolded the next batches and knows.

use super::{Chunk, Job, Key, Schedule, State};

/// Which chunk is evicted first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eviction {
    /// The one that is needed last, as far as that is known; of those of which no reader is
    /// known yet, the last in the order of the array.
    #[default]
    NextUse,
    /// The one that has not been used for the longest time, as caches do it: the baseline to
    /// measure by.
    Lru,
}

impl Eviction {
    /// A chunk's place among those that may be evicted: the greatest goes first.
    pub(super) fn rank(self, chunk: &Chunk) -> u64 {
        match self {
            Eviction::NextUse => chunk.uses.iter().copied().min().unwrap_or(u64::MAX),
            Eviction::Lru => u64::MAX - chunk.touched,
        }
    }
}

impl Schedule<'_> {
    /// Whether a batch of this priority may take `need` bytes now. One that runs ahead, where all
    /// that could be evicted is needed before it, evicts nothing while others run, and leaves some
    /// room to those: else chunks would be read far ahead of a reduction that takes them one by one,
    /// only to be spilled.
    pub(super) fn may_take(&self, need: u64, priority: u64) -> bool {
        let ahead = match (self.eviction, self.evictable.last()) {
            (Eviction::NextUse, Some(&(rank, _))) => self.running > 0 && rank < priority,
            _ => false,
        };
        !ahead || self.used + need <= self.arena - self.arena / 8
    }

    /// Whether `need` bytes are free, after evicting what can be evicted at once; where that is
    /// not enough, chunks begin to be spilled.
    pub(super) fn make_room(
        &mut self,
        need: u64,
        jobs: &mut Vec<Job>,
        freed: &mut Vec<Key>,
    ) -> bool {
        while self.used + need > self.arena {
            if self.used + need <= self.arena + self.spilling {
                return false;
            }
            let Some((_, key)) = self.evictable.pop_last() else { return false };
            let droppable = self.is_remade(key);
            let chunk = self.chunks.get_mut(&key).expect("evictable");
            if droppable || chunk.clean {
                chunk.state = State::Away;
                self.used -= chunk.bytes;
                self.counts.dropped += 1;
                freed.push(key);
            } else {
                chunk.state = State::Spilling;
                self.spilling += chunk.bytes;
                self.counts.spilled += 1;
                self.running += 1;
                jobs.push(Job::Spill(key));
            }
        }
        true
    }

    pub(super) fn pin(&mut self, key: Key) {
        let chunk = self.chunks.get_mut(&key).expect("made");
        if chunk.pins == 0 && chunk.state == State::Resident {
            self.evictable.remove(&(self.eviction.rank(chunk), key));
        }
        chunk.pins += 1;
    }

    pub(super) fn unpin(&mut self, key: Key) {
        let chunk = self.chunks.get_mut(&key).expect("made");
        chunk.pins -= 1;
        if chunk.pins == 0 && chunk.state == State::Resident {
            self.list(key);
        }
    }

    /// Puts a chunk that was just made or read among those that may be evicted.
    pub(super) fn list(&mut self, key: Key) {
        self.clock += 1;
        let chunk = self.chunks.get_mut(&key).expect("made");
        chunk.touched = self.clock;
        self.evictable.insert((self.eviction.rank(chunk), key));
    }
}
