//! What is known of batches and chunks takes memory too, which is counted as given out.
//!
//! Of chunks of usual size the records are nothing beside the chunks. Of small ones that wait for a distant
//! reader they are more: `x + x.T` of chunks of 128 bytes keeps three times as much about a chunk
//! as is in it. So the schedule takes bytes of the arena for its records, and for the store's, as it takes them
//! for chunks: in steps, before the graph is unfolded further, and evicting chunks where nothing else can go on.
//! The first [`RECORDS_IN_RESERVE`] bytes are covered by what a session keeps beside the arena. None are
//! returned before the end: tables keep their room, and allocators what is freed. So chunks that are blocks of
//! the heap, below a page, are not evicted for records: with 700,000 of 128 bytes a memory of 256 MiB was exceeded by 40.

use super::{Chunk, Frame, Job, Key, Schedule, Task, table::room};
use crate::{
    error::{Error, ErrorKind, Result},
    memory::{Arena, Buffer, Extent, MIB, format_bytes},
    plan::{Batch, RECORDS_IN_RESERVE, StageId, name_of},
    run::{Slot, task::Lent},
};
use std::mem::size_of;

/// So many bytes are taken at a time.
const STEP: u64 = MIB;

/// Of an entry of a hash table for which there is memory: itself, and a byte that tells whether it is there.
const fn entry<K, V>() -> u64 {
    size_of::<(K, V)>() as u64 + 1
}

/// Of a block of the heap: its header, rounded up.
const fn block(bytes: usize) -> u64 {
    (bytes as u64 + 8).next_multiple_of(16)
}

/// Of a value that is shared: two counts before it.
const fn shared<T>() -> u64 {
    block(size_of::<T>() + 16)
}

/// Of an entry of a tree: nodes of 11 are filled by half at the least, and take a fifth more for what is above them.
const fn in_tree(bytes: usize) -> u64 {
    bytes as u64 * 11 / 5 + 16
}

const fn larger(a: u64, b: u64) -> u64 {
    if a > b { a } else { b }
}

/// Of each entry that the table of chunks has room for, in bytes: the store's tables have the same keys, or fewer.
const ROOM: u64 = entry::<Key, Chunk>() + entry::<Key, Slot>();

/// Of each chunk that is made, in bytes, beside the tables: it is in memory and among those that may be evicted, or
/// on scratch.
const MADE: u64 = larger(
    shared::<Buffer>() + in_tree(size_of::<(u64, Key)>()),
    shared::<Extent>() + in_tree(size_of::<(u64, u64)>()),
);

/// Of each entry of a list of keys or batches, in bytes: lists double as they grow.
const LISTED: u64 = 2 * size_of::<Key>() as u64;

/// Of each entry of the longest list, in bytes: when it is made, and when the batch is lent what is in it.
const LENT: u64 = larger(size_of::<(Key, usize)>() as u64, size_of::<(Key, Lent)>() as u64);

/// What a chunk takes at the most, in bytes: tables are filled to seven sixteenths or more, but for
/// marks that removed entries leave.
#[cfg(test)]
const RECORD: u64 = ROOM * 16 / 7 + MADE;

/// How much is known. It is counted at the most that it was.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Entries of lists.
    lists: u64,
    most_lists: u64,
    longest_list: u64,
    /// Chunks that are made, and still known.
    made: u64,
    most_made: u64,
    /// Entries that the table of batches has memory for.
    tasks: u64,
    /// Bytes of chunks that are blocks of the heap. What was the most of them is not to be had for
    /// records again: freed blocks lie between others, and stay with the allocator.
    heap: u64,
    most_heap: u64,
    /// Bytes of the arena that are taken for all this.
    taken: u64,
}

impl Records {
    /// A list of so many keys or batches was made, or has got so many more.
    pub(super) fn listed(&mut self, count: usize) {
        self.lists += count as u64;
        self.most_lists = self.most_lists.max(self.lists);
        self.longest_list = self.longest_list.max(count as u64);
    }

    /// So many left their list.
    pub(super) fn unlisted(&mut self, count: usize) {
        self.lists -= count as u64;
    }

    /// A chunk was made.
    pub(super) fn made(&mut self) {
        self.made += 1;
        self.most_made = self.most_made.max(self.made);
    }

    /// A chunk of so many bytes, as the arena accounts it, has come into memory.
    pub(super) fn came(&mut self, bytes: u64) {
        if Arena::is_heap(bytes) {
            self.heap += bytes;
            self.most_heap = self.most_heap.max(self.heap);
        }
    }

    /// A chunk of so many bytes has left memory.
    pub(super) fn left(&mut self, bytes: u64) {
        if Arena::is_heap(bytes) {
            self.heap -= bytes;
        }
    }

    /// A chunk that was made is forgotten.
    pub(super) fn forgotten(&mut self) {
        self.made -= 1;
    }
}

impl Schedule<'_> {
    /// Bytes of the arena that records take: so many fewer are there for buffers.
    pub fn records(&self) -> u64 {
        self.records.taken
    }

    /// What records take, in bytes, where the table of chunks has so much room.
    fn recorded(&self, room: u64) -> u64 {
        let Records { most_lists, longest_list, most_made, tasks, .. } = self.records;
        room * ROOM
            + most_made * MADE
            + tasks * entry::<Batch, Task>()
            + most_lists * LISTED
            + longest_list * LENT
            + (self.path.capacity() * size_of::<Frame>()) as u64
    }

    /// Whether there is room for what becomes known when one more batch is unfolded. Where there is
    /// none and nothing runs, chunks are evicted for it.
    ///
    /// # Errors
    /// If nothing runs and nothing can be evicted.
    pub(super) fn may_record(&mut self, jobs: &mut Vec<Job>, freed: &mut Vec<Key>) -> Result<bool> {
        self.records.tasks = self.records.tasks.max(room(self.tasks.capacity()));
        // Up to a step more than there is now, as the graph is unfolded before this is asked again.
        let ahead = self.recorded(self.chunks.room_ahead()) + STEP;
        if ahead <= RECORDS_IN_RESERVE + self.records.taken {
            return Ok(true);
        }
        let taken = (ahead - RECORDS_IN_RESERVE).next_multiple_of(STEP);
        let more = taken - self.records.taken;
        let idle = self.is_idle();
        let Records { heap, most_heap, .. } = self.records;
        let room = more + (most_heap - heap);
        // Where nothing is granted, what is not in blocks of the heap can be evicted.
        let evictable = idle && most_heap + taken <= self.arena;
        if self.used + room <= self.arena || evictable && self.make_room(room, jobs, freed) {
            self.used += more;
            self.records.taken = taken;
            return Ok(true);
        }
        // What was evicted is being spilled.
        if idle && self.running == 0 {
            let begun = self.path.last().map(|frame| frame.batch.stage);
            return Err(self.stuck(begun.unwrap_or(self.plan.roots[0])));
        }
        Ok(false)
    }

    /// The error of a run in which nothing can go on, for want of memory for this stage.
    pub(super) fn stuck(&self, stage: StageId) -> Error {
        let stage = &self.plan.stages[stage as usize];
        if self.records.taken == 0 {
            return Error::internal(format!(
                "`{}` cannot be given memory: {} of {} are held and nothing runs",
                stage.name,
                format_bytes(self.used),
                format_bytes(self.arena),
            ));
        }
        Error::new(
            ErrorKind::Budget,
            format!(
                "`{}` cannot go on: {} chunks wait to be used, and keeping track of them takes {} of the {} that the \
                 budget leaves",
                name_of(stage),
                self.chunks.len(),
                format_bytes(self.records.taken),
                format_bytes(self.arena),
            ),
        )
        .at(stage.origin)
        .help("larger chunks are fewer (rechunk where the array is opened or made), or give more memory")
    }

    /// # Panics
    /// If the records take more than is counted for them.
    #[cfg(test)]
    pub(super) fn check_records(&self) {
        let recorded = self.recorded(self.chunks.room());
        let counted = RECORDS_IN_RESERVE + self.records.taken;
        assert!(recorded <= counted, "records of {recorded} bytes, {counted} counted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_at_their_size() {
        assert!(size_of::<Chunk>() <= 80, "{}", size_of::<Chunk>());
        // As of the tables themselves, with the most that chunks and their entries elsewhere take.
        assert!((300..=crate::plan::RECORD).contains(&RECORD), "{RECORD}");
    }
}
