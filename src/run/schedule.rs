//! What runs when: a pure state machine over the batches of a plan.
//!
//! It is told what happened ([`Schedule::finished`], [`Schedule::spilled`], …) and says what
//! to do next ([`Schedule::next`]). Threads, buffers, clocks and files are outside.
//!
//! **Order.** The graph is unfolded from the roots, depth first and inputs before what
//! needs them, only as far ahead as the workers need; the order in which batches are
//! completely unfolded is their priority. So a chunk is made shortly before it is used and
//! freed shortly after. Other readers of it, that lack nothing else, come right after ([`company`]).
//!
//! **Memory.** A batch is granted all it needs at once: results, scratch, and inputs that
//! must come back; what is in memory already is pinned. Grants are given in priority order:
//! where the best batch does not fit, nothing passes it, and chunks are evicted for it, the
//! one that is needed last first ([`Eviction`]); while others run, none that is needed before
//! it. What a source gives again is dropped, other chunks are spilled once. A running batch never
//! waits for memory, and a batch that fits alone is granted when nothing else runs, so there
//! is no deadlock (the plan was checked for that). What is known of batches and chunks takes memory
//! too ([`records`]); where that leaves too little, the run ends with an error.

mod company;
mod evict;
mod records;
mod skip;
mod table;

pub use evict::Eviction;
pub(crate) use table::Table;

use super::Map;
use crate::{
    error::Result,
    memory::Arena,
    plan::{Batch, Key, Plan, StageId, Work},
};
use company::Company;
use freeboard_formats::ChunkSet;
use records::Records;
use smallvec::SmallVec;
use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, VecDeque},
};

/// What a worker is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Run a batch; all it needs is in memory.
    Run(Batch),
    /// Read the chunks of a source again that were dropped.
    Remake(Batch),
    /// Write a chunk to scratch.
    Spill(Key),
    /// Read a chunk back from scratch.
    Load(Key),
}

/// A batch that is unfolded and not finished.
#[derive(Debug)]
struct Task {
    priority: u64,
    /// What it takes from the store.
    needs: Box<[Key]>,
    /// Inputs that are not made yet, while it waits; inputs that are on their way back into
    /// memory, once it is granted.
    missing: u32,
    unfolded: bool,
    granted: bool,
    scratch: u64,
}

/// A chunk in the store, or one that a task will put there.
#[derive(Debug)]
struct Chunk {
    state: State,
    bytes: u64,
    /// Batches that have yet to read it.
    readers: u64,
    /// Granted batches that read it.
    pins: u32,
    /// Whether it lies on scratch too, or its source has it.
    clean: bool,
    /// Priorities about which the batches that are known to read it run.
    uses: SmallVec<[u64; 2]>,
    /// When it was used last, as a running number.
    touched: u64,
    /// How many readers it had when it was entered, as far as a byte can tell; none once all
    /// have asked for it.
    expected: u8,
    /// While it is not made, who waits for it; then, where its readers are few, who has asked
    /// for it, until all have.
    asked: SmallVec<[Batch; 1]>,
}

impl Chunk {
    /// Whether readers that have not asked for it yet are worth looking for.
    fn lacks_readers(&self) -> bool {
        Company::is_worth(self.expected) && self.asked.len() < usize::from(self.expected)
    }

    /// Forgets who has asked for it, which it is, where that is of no use any more: it is made, and its
    /// readers are many or have all asked. How many are forgotten but the first, which is part of the record.
    fn forget_who_asked(&mut self) -> usize {
        if self.lacks_readers() {
            return 0;
        }
        self.expected = 0;
        std::mem::take(&mut self.asked).len().saturating_sub(1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not made yet.
    Pending,
    Resident,
    /// In memory, and being written to scratch.
    Spilling,
    /// On scratch, or at its source, alone.
    Away,
    /// Granted, and on its way back.
    Returning,
}

/// A node on the path of the unfolding.
struct Frame {
    batch: Batch,
    needs: Vec<Key>,
    next: usize,
}

/// Counts for the report.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub batches: u64,
    pub spilled: u64,
    pub dropped: u64,
    /// Units that need not be run, as what comes of them is there already.
    pub skipped: u64,
}

/// The most batches that are unfolded and not finished, unless nothing else could run.
const UNFOLDED: usize = 4096;

/// See the module.
pub(crate) struct Schedule<'p> {
    plan: &'p Plan,
    /// Bytes that may be given out, and bytes that are: to granted batches, held by chunks, and for records.
    arena: u64,
    used: u64,
    /// How many batches are kept ready.
    ahead: usize,
    /// For each root: how many batches had their turn to be unfolded, and how many there are.
    cursors: Vec<(StageId, u64, u64)>,
    /// For each root: the units whose results are there already.
    done: Vec<Option<&'p ChunkSet>>,
    /// How many readers of chunks that are not made yet will never come.
    forgone: Map<Key, u64>,
    company: Company,
    path: Vec<Frame>,
    tasks: Map<Batch, Task>,
    chunks: Table<Chunk>,
    /// Granted batches that wait for chunks on their way back.
    returning: Map<Key, SmallVec<[Batch; 2]>>,
    records: Records,
    ready: BinaryHeap<Reverse<(u64, Batch)>>,
    /// Granted batches whose inputs are all back.
    granted: VecDeque<Batch>,
    eviction: Eviction,
    /// Chunks that may be evicted, by their rank: the last goes first.
    evictable: BTreeSet<(u64, Key)>,
    /// How often chunks were made, or read by their last reader of the moment.
    clock: u64,
    sequence: u64,
    /// Jobs that were given out and are not finished.
    running: usize,
    spilling: u64,
    roots_left: u64,
    counts: Counts,
}

impl<'p> Schedule<'p> {
    /// A schedule for `plan` that gives out at most `arena` bytes to `workers` workers.
    /// Units of roots that are in `done` are there already.
    pub fn new(
        plan: &'p Plan,
        arena: u64,
        workers: usize,
        eviction: Eviction,
        done: Vec<Option<&'p ChunkSet>>,
    ) -> Schedule<'p> {
        let cursors: Vec<(StageId, u64, u64)> = plan
            .roots
            .iter()
            .map(|&root| (root, 0, plan.stages[root as usize].batches()))
            .collect();
        Schedule {
            plan,
            arena,
            used: 0,
            ahead: 2 * workers + 2,
            roots_left: cursors.iter().map(|(_, _, batches)| batches).sum(),
            cursors,
            company: Company::new(plan, done.iter().flatten().any(|done| done.count() > 0)),
            done,
            forgone: Map::default(),
            path: Vec::new(),
            tasks: Map::default(),
            chunks: Table::default(),
            returning: Map::default(),
            records: Records::default(),
            ready: BinaryHeap::new(),
            granted: VecDeque::new(),
            eviction,
            evictable: BTreeSet::new(),
            clock: 0,
            sequence: 0,
            running: 0,
            spilling: 0,
            counts: Counts::default(),
        }
    }

    /// Whether every root is made.
    pub fn is_done(&self) -> bool {
        self.roots_left == 0
    }

    /// What a batch that was given out takes from the store.
    pub fn needs(&self, batch: Batch) -> &[Key] {
        &self.tasks[&batch].needs
    }

    /// Batches run, chunks spilled and dropped so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether a chunk is known: in the store, away, or to be made.
    pub fn knows(&self, key: Key) -> bool {
        self.chunks.contains_key(&key)
    }

    /// Up to `most` jobs that can begin now, the most urgent first. Chunks that are dropped
    /// for them, and those that nobody will read any more, are added to `freed`.
    ///
    /// # Errors
    /// If nothing runs and nothing can begin: the records of chunks that wait leave no room, or
    /// the plan's check was wrong.
    pub fn next(&mut self, most: usize, jobs: &mut Vec<Job>, freed: &mut Vec<Key>) -> Result<()> {
        while jobs.len() < most {
            if let Some(batch) = self.granted.pop_front() {
                self.running += 1;
                jobs.push(Job::Run(batch));
                continue;
            }
            self.unfold(jobs, freed)?;
            let Some(&Reverse((_, batch))) = self.ready.peek() else { break };
            if !self.grant(batch, jobs, freed) {
                if self.running == 0 && jobs.is_empty() {
                    return Err(self.stuck(batch.stage));
                }
                break;
            }
            self.ready.pop();
        }
        Ok(())
    }

    /// Follows the graph from the roots until enough batches are ready.
    fn unfold(&mut self, jobs: &mut Vec<Job>, freed: &mut Vec<Key>) -> Result<()> {
        while self.ready.len() < self.ahead && self.may_unfold() {
            if !self.may_record(jobs, freed)? {
                break;
            }
            let Some(frame) = self.path.last_mut() else {
                match self.next_root() {
                    Some(batch) if self.was_early(batch) => continue,
                    Some(batch) if self.is_done_already(batch) => {
                        self.skip(batch, freed);
                        continue;
                    }
                    Some(batch) => {
                        self.enter(batch);
                        continue;
                    }
                    None => break,
                }
            };
            let batch = frame.batch;
            if let Some(&key) = frame.needs.get(frame.next) {
                frame.next += 1;
                self.need(batch, key);
                continue;
            }
            let frame = self.path.pop().expect("just looked at");
            let priority = self.sequence;
            self.sequence += 1;
            let task = self.tasks.get_mut(&batch).expect("entered");
            (task.priority, task.unfolded) = (priority, true);
            if task.missing == 0 {
                self.ready.push(Reverse((priority, batch)));
            }
            self.accompany(batch, &frame.needs);
            self.tasks.get_mut(&batch).expect("entered").needs = frame.needs.into_boxed_slice();
        }
        Ok(())
    }

    /// Whether more may be unfolded: tasks that wait for the same chunk are not unfolded by
    /// the million while it is made. Where nothing runs, the path must lead to a task that can.
    fn may_unfold(&self) -> bool {
        self.tasks.len() < UNFOLDED || self.is_idle()
    }

    /// Whether nothing runs, and nothing that is unfolded could.
    fn is_idle(&self) -> bool {
        self.running == 0 && self.ready.is_empty() && self.granted.is_empty()
    }

    /// The next batch of the root that is least far along: several roots advance together,
    /// so that what they share is used while it is there.
    fn next_root(&mut self) -> Option<Batch> {
        let open = self.cursors.iter_mut().filter(|(_, next, batches)| next < batches);
        let (stage, next, _) = open.min_by_key(|(_, next, batches)| (next << 20) / *batches)?;
        *next += 1;
        let index = self.plan.stages[*stage as usize].nth(*next - 1);
        Some(Batch { stage: *stage, index })
    }

    /// Whether it was a root's batch's turn already.
    fn has_come(&self, root: usize, batch: Batch) -> bool {
        self.plan.stages[batch.stage as usize].position(batch.index) < self.cursors[root].1
    }

    fn was_early(&self, batch: Batch) -> bool {
        let root = self.plan.stages[batch.stage as usize].root;
        root.is_some_and(|root| self.company.was_early(root, batch.index))
    }

    /// Begins to unfold a batch: its task, and the chunks that it will make.
    fn enter(&mut self, batch: Batch) {
        let mut needs = Vec::new();
        self.plan.batch_needs(batch, &mut needs);
        self.records.listed(needs.len());
        let scratch = Arena::rounded(self.plan.batch_scratch(batch));
        let task = Task {
            priority: 0,
            needs: Box::default(),
            missing: 0,
            unfolded: false,
            granted: false,
            scratch,
        };
        self.tasks.insert(batch, task);
        for key in self.plan.made_by(batch) {
            let kept = u64::from(self.plan.ports[key.port as usize].kept);
            let expected = self.plan.reader_count(key);
            let chunk = Chunk {
                state: State::Pending,
                bytes: Arena::rounded(self.plan.buffer_bytes(key)),
                readers: (expected + kept).saturating_sub(self.forgone.remove(&key).unwrap_or(0)),
                expected: u8::try_from(expected).unwrap_or(u8::MAX),
                asked: SmallVec::new(),
                pins: 0,
                clean: false,
                uses: SmallVec::new(),
                touched: 0,
            };
            self.chunks.insert(key, chunk);
        }
        self.path.push(Frame { batch, needs, next: 0 });
    }

    /// `batch` takes `key` from the store: waits for it, and has it made if nobody has yet.
    fn need(&mut self, batch: Batch, key: Key) {
        let about = self.sequence;
        if !self.chunks.contains_key(&key) {
            self.enter(self.plan.maker_of(key));
        }
        let chunk = self.chunks.get_mut(&key).expect("entered");
        let listed = chunk.state == State::Resident && chunk.pins == 0;
        if listed {
            self.evictable.remove(&(self.eviction.rank(chunk), key));
        }
        chunk.uses.push(about);
        if listed {
            self.evictable.insert((self.eviction.rank(chunk), key));
        }
        chunk.asked.push(batch);
        if chunk.asked.len() > 1 {
            self.records.listed(1);
        }
        if chunk.state == State::Pending {
            self.tasks.get_mut(&batch).expect("on the path").missing += 1;
        } else {
            let forgotten = chunk.forget_who_asked();
            self.records.unlisted(forgotten);
        }
    }

    /// Gives `batch` all it needs, or begins to make room for it.
    fn grant(&mut self, batch: Batch, jobs: &mut Vec<Job>, freed: &mut Vec<Key>) -> bool {
        let needs = std::mem::take(&mut self.tasks.get_mut(&batch).expect("ready").needs);
        // A state is changed in place by who reads it, so it must not be being written out.
        if needs
            .iter()
            .any(|key| self.chunks[key].state == State::Spilling && self.plan.is_carried(*key))
        {
            self.tasks.get_mut(&batch).expect("ready").needs = needs;
            return false;
        }
        let carried: u64 = self.carried(batch).sum();
        let mut need = self.tasks[&batch].scratch + self.plan.batch_output(batch) - carried;
        for &key in &needs {
            let chunk = self.chunks.get_mut(&key).expect("made");
            if chunk.state == State::Away {
                need += chunk.bytes + self.plan.return_scratch(key);
            }
            // What it reads is not evicted for it.
            self.pin(key);
        }
        let priority = self.tasks[&batch].priority;
        let fits = self.may_take(need, priority) && self.make_room(need, jobs, freed);
        let mut returning = 0;
        for &key in &needs {
            if !fits {
                self.unpin(key);
                continue;
            }
            let remade = self.is_remade(key);
            let chunk = self.chunks.get_mut(&key).expect("made");
            match chunk.state {
                State::Away => {
                    chunk.state = State::Returning;
                    self.returning.entry(key).or_default().push(batch);
                    returning += 1;
                    self.running += 1;
                    jobs.push(match remade {
                        true => {
                            let stage = self.plan.ports[key.port as usize].stage;
                            Job::Remake(Batch { stage, index: key.index })
                        }
                        false => Job::Load(key),
                    });
                }
                State::Returning => {
                    self.returning.entry(key).or_default().push(batch);
                    returning += 1;
                }
                State::Resident | State::Spilling => {}
                State::Pending => unreachable!("a ready batch's inputs are made"),
            }
        }
        let task = self.tasks.get_mut(&batch).expect("ready");
        task.needs = needs;
        if fits {
            self.used += need;
            (task.granted, task.missing) = (true, returning);
            if returning == 0 {
                self.granted.push_back(batch);
            }
        }
        fits
    }

    /// The bytes of the chunks that become results of a batch in place.
    fn carried(&self, batch: Batch) -> impl Iterator<Item = u64> + '_ {
        let ports = self.plan.stages[batch.stage as usize].ports.iter();
        let keys = ports.filter_map(move |&port| self.plan.carried_into(batch, port));
        keys.map(|key| Arena::rounded(self.plan.buffer_bytes(key)))
    }

    /// Whether a chunk that is away comes back from its source rather than from scratch.
    fn is_remade(&self, key: Key) -> bool {
        let stage = self.plan.ports[key.port as usize].stage;
        matches!(self.plan.stages[stage as usize].work, Work::Read(_))
    }

    /// A batch was run: what it made is in the store. Chunks that nobody needs any more are
    /// added to `freed`.
    pub fn finished(&mut self, batch: Batch, freed: &mut Vec<Key>) {
        self.running -= 1;
        self.counts.batches += 1;
        let task = self.tasks.remove(&batch).expect("it ran");
        self.records.unlisted(task.needs.len());
        self.used -= task.scratch;
        // What became a result in place is given back below as an input, and stays as a result.
        self.used += self.carried(batch).sum::<u64>();
        for &key in &task.needs {
            let chunk = self.chunks.get_mut(&key).expect("pinned");
            chunk.readers -= 1;
            let first = (0..chunk.uses.len()).min_by_key(|&at| chunk.uses[at]);
            if let Some(first) = first {
                chunk.uses.swap_remove(first);
            }
            self.unpin(key);
            self.free_unread(key, freed);
        }
        let stage = &self.plan.stages[batch.stage as usize];
        if stage.root.is_some() {
            self.roots_left -= 1;
        }
        for key in self.plan.made_by(batch) {
            let chunk = self.chunks.get_mut(&key).expect("entered");
            chunk.state = State::Resident;
            self.records.made();
            self.records.came(chunk.bytes);
            self.list(key);
            let chunk = self.chunks.get_mut(&key).expect("entered");
            for &waiting in &chunk.asked {
                let task = self.tasks.get_mut(&waiting).expect("it waits");
                task.missing -= 1;
                if task.missing == 0 && task.unfolded {
                    self.ready.push(Reverse((task.priority, waiting)));
                }
            }
            let forgotten = chunk.forget_who_asked();
            self.records.unlisted(forgotten);
            self.free_unread(key, freed);
        }
    }

    fn free_unread(&mut self, key: Key, freed: &mut Vec<Key>) {
        let chunk = &self.chunks[&key];
        if chunk.readers > 0 || chunk.pins > 0 || chunk.state == State::Spilling {
            return;
        }
        if chunk.state == State::Resident {
            self.used -= chunk.bytes;
            self.records.left(chunk.bytes);
            self.evictable.remove(&(self.eviction.rank(chunk), key));
        }
        self.records.unlisted(chunk.asked.len().saturating_sub(1));
        self.records.forgotten();
        self.chunks.remove(&key);
        freed.push(key);
    }

    /// A chunk was written to scratch. Its buffer may go if this returns true.
    pub fn spilled(&mut self, key: Key, freed: &mut Vec<Key>) -> bool {
        self.running -= 1;
        let chunk = self.chunks.get_mut(&key).expect("spilling");
        self.spilling -= chunk.bytes;
        chunk.clean = true;
        // A batch that was granted meanwhile keeps it.
        if chunk.pins > 0 || chunk.readers == 0 {
            chunk.state = State::Resident;
            if chunk.pins == 0 {
                self.list(key);
            }
            self.free_unread(key, freed);
            return false;
        }
        chunk.state = State::Away;
        self.used -= chunk.bytes;
        self.records.left(chunk.bytes);
        true
    }

    /// A chunk is back in memory, from scratch or from its source.
    pub fn returned(&mut self, key: Key) {
        self.running -= 1;
        if self.is_remade(key) {
            self.used -= self.plan.return_scratch(key);
        }
        let chunk = self.chunks.get_mut(&key).expect("returning");
        chunk.state = State::Resident;
        self.records.came(chunk.bytes);
        for waiting in self.returning.remove(&key).unwrap_or_default() {
            let task = self.tasks.get_mut(&waiting).expect("granted");
            task.missing -= 1;
            if task.missing == 0 {
                self.granted.push_back(waiting);
            }
        }
    }

    /// # Panics
    /// If an invariant is broken: what is given out is what chunks and granted batches hold,
    /// and no more than there is; what may be evicted is in memory and not pinned.
    #[cfg(test)]
    pub fn check(&self) {
        if self.chunks.len() > 1000 && !self.sequence.is_multiple_of(1000) {
            return; // each step costs as much as there are chunks
        }
        let held: u64 = self
            .chunks
            .values()
            .filter(|c| matches!(c.state, State::Resident | State::Spilling))
            .map(|chunk| chunk.bytes)
            .sum();
        let held = held + self.records();
        assert!(held <= self.used, "held {held}, used {}", self.used);
        self.check_records();
        assert!(self.used <= self.arena, "used {} of {}", self.used, self.arena);
        for (_, key) in &self.evictable {
            let chunk = &self.chunks[key];
            assert_eq!((chunk.state, chunk.pins), (State::Resident, 0));
        }
        if self.tasks.is_empty() {
            assert_eq!(held, self.used, "nothing runs: all that is used is held");
        }
    }
}
