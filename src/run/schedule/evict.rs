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

/// The most chunks that are evicted for a batch while others run: so many are looked at each time that it asks.
const LOOKED_AT: usize = 1024;

impl Schedule<'_> {
    /// Whether a batch of this priority may take `need` bytes now, for which [`Schedule::make_room`] is to evict. While
    /// others run it may not where that would be in vain: what has to wait for them anyway evicts nothing.
    /// Nor may it, running ahead, where chunks would go that are needed before it; to those it leaves some room,
    /// too: else chunks would be made far ahead of a reduction that takes them one by one, only to be spilled.
    pub(super) fn may_take(&self, need: u64, priority: u64) -> bool {
        if self.running == 0 {
            return true;
        }
        let (taken, spare) = (self.used + need, self.arena / 8);
        let (mut room, mut runs_ahead) = (self.arena + self.spilling, false);
        for &(rank, key) in self.evictable.iter().rev().take(LOOKED_AT) {
            runs_ahead = self.eviction == Eviction::NextUse && rank < priority;
            if runs_ahead || room >= taken + spare {
                break;
            }
            room += self.chunks[&key].bytes;
        }
        taken + if runs_ahead { spare } else { 0 } <= room
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
                self.records.left(chunk.bytes);
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
