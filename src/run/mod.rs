//! Runs: a plan, carried out in bounded memory by one or many threads.
//!
//! `schedule` decides, `task` computes, and this module stands between them: it holds the
//! store (buffers in memory, extents on scratch), hands jobs to workers and tells the
//! schedule what came of them. One lock guards schedule and store; it is held for a
//! decision, never while a task runs or bytes move.
//!
//! Granted jobs lie in the workers' crossbeam deques, at most two each, so stealing moves
//! work and never the order in which memory is given.

mod calls;
mod copies;
mod fetch;
mod fold;
mod reduce;
mod results;
mod retry;
mod schedule;
mod seats;
mod task;
#[cfg(test)]
mod tests;
mod tile;
mod visit;
mod workers;

pub(crate) use calls::{Admission, call};
pub(crate) use copies::Known;
pub(crate) use results::Collected;
pub(crate) use retry::Retry;
pub use schedule::Eviction;
pub(crate) use schedule::Table;
pub(crate) use task::Target;
use task::TaskCx;

use crate::{
    error::{Error, ErrorKind, Result},
    event::{Event, Observer},
    memory::{Arena, Buffer, Extent, Hold, Spill},
    plan::{Batch, Key, Plan, Stage},
    sync::{Condvar, Mutex, MutexGuard, lock, others_first},
};
use crossbeam::deque::{Stealer, Worker};
use freeboard_formats::{Cancel, FileCache, wait::seated};
use schedule::{Job, Schedule};
use seats::Seats;
use std::{
    cell::Cell,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, atomic::AtomicU64, atomic::Ordering},
};
use task::{Inputs, Lent, run_batch};
use workers::{on_workers, pop_or_steal};

/// The most workers that stand in for those who wait, where there are several: so many requests more keep a
/// disk or a server busy, however few compute. Each has its stack, and its codecs' small state.
const STAND_INS: usize = 4;

/// Keys come from no stranger, and are looked up for every batch.
type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

thread_local! {
    static INSIDE_TASK: Cell<bool> = const { Cell::new(false) };
}

/// An error if the caller is part of a run: a task that computed would wait for itself.
pub(crate) fn refuse_inside_task() -> Result<()> {
    match INSIDE_TASK.get() {
        true => {
            let message = "a task cannot compute: it is being computed";
            Err(Error::new(ErrorKind::Session, message))
        }
        false => Ok(()),
    }
}

/// What a run may use.
pub(crate) struct Engine<'a> {
    pub arena: &'a Arena,
    /// Bytes of the arena that the run may give out.
    pub memory: u64,
    pub spill: &'a Spill,
    pub files: &'a FileCache,
    pub known: &'a Known,
    pub cancel: &'a Cancel,
    pub threads: usize,
    pub observer: &'a dyn Observer,
    pub retry: Retry,
    pub eviction: Eviction,
    /// What the process may hold.
    pub process: u64,
    /// Of the calls of functions, with those of other runs.
    pub admission: &'a Admission,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Batches run.
    pub batches: u64,
    /// Bytes fetched from storage.
    pub read: u64,
    /// Bytes of elements of which an earlier run had left copies in memory.
    pub reused: u64,
    /// Bytes handed to storage.
    pub written: u64,
    /// Chunks that were written to scratch to make room.
    pub spilled: u64,
    /// Their bytes.
    pub spilled_bytes: u64,
    /// What these took on scratch.
    pub stored_bytes: u64,
    /// Chunks that were dropped to make room, to be read again.
    pub dropped: u64,
}

/// A chunk in the store.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub buffer: Option<Arc<Buffer>>,
    /// Shared with who reads it back.
    pub extent: Option<Arc<Extent>>,
}

/// A job, with what it works on.
enum Assigned {
    Run(Batch, Inputs),
    Remake(Batch),
    Spill(Key, Arc<Buffer>),
    Load(Key, Arc<Extent>, u64),
}

/// What came of a job.
enum Outcome {
    Ran(Batch, Vec<Buffer>),
    Remade(Key, Buffer),
    Spilled(Key, Extent),
    Loaded(Key, Buffer),
}

struct State<'p> {
    schedule: Schedule<'p>,
    store: Table<Slot>,
    /// What the schedule takes of the arena for what is known of all this.
    records: Hold,
    failed: Option<Error>,
    sleeping: usize,
    tasks_done: u64,
}

struct Run<'a, 't> {
    engine: &'a Engine<'a>,
    cx: TaskCx<'a, 't>,
    state: Mutex<State<'a>>,
    wake: Condvar,
    seats: Arc<Seats>,
    tasks: u64,
}

/// Carries out `plan`; returns what stays in the store (the chunks of kept ports), and counts.
///
/// # Errors
/// The first error of any task; then everything that the run held is given back.
pub(crate) fn run(
    engine: &Engine<'_>,
    plan: &Plan,
    targets: &[Target<'_>],
) -> Result<(Table<Slot>, Counts)> {
    let before = engine.spill.stats();
    engine.files.begin();
    // A plan of few tasks is done before a second thread has begun.
    let threads = engine.threads.min((plan.totals().tasks as usize).div_ceil(2)).max(1);
    let done = targets.iter().map(|target| match target {
        Target::Store(_, done) => Some(done),
        Target::Collect(_) | Target::Keep => None,
    });
    let run = Run {
        engine,
        cx: TaskCx {
            plan,
            arena: engine.arena,
            targets,
            files: engine.files,
            cancel: engine.cancel,
            observer: engine.observer,
            retry: engine.retry,
            limit: engine.memory,
            copies: engine.known.begin(plan, engine.arena),
            read: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            written: AtomicU64::new(0),
        },
        state: Mutex::new(State {
            schedule: Schedule::new(plan, engine.memory, threads, engine.eviction, done.collect()),
            store: Table::default(),
            records: Hold::new(engine.arena),
            failed: None,
            sleeping: 0,
            tasks_done: 0,
        }),
        wake: Condvar::new(),
        seats: Arc::new(Seats::new(threads)),
        tasks: plan.totals().tasks,
    };
    // One thread does all by itself, in one order.
    let stand_ins = if threads > 1 { STAND_INS } else { 0 };
    let deques = |count| (0..count).map(|_| Worker::new_fifo()).collect::<Vec<_>>();
    // Jobs that were given out and not begun hold extents: the deques end with this call.
    on_workers(deques(threads), deques(stand_ins), |own, stealers, stand_in| {
        let _guard = Abandon(&run);
        seated(run.seats.clone(), || run.work(&own, stealers, stand_in));
    });
    let counts = |schedule: &Schedule<'_>| {
        let (counts, spill) = (schedule.counts(), engine.spill.stats());
        Counts {
            batches: counts.batches,
            read: run.cx.read.load(Ordering::Relaxed),
            reused: run.cx.reused.load(Ordering::Relaxed),
            written: run.cx.written.load(Ordering::Relaxed),
            spilled: counts.spilled,
            spilled_bytes: spill.bytes_written - before.bytes_written,
            stored_bytes: spill.bytes_stored - before.bytes_stored,
            dropped: counts.dropped,
        }
    };
    let mut state = run.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    let counts = counts(&state.schedule);
    // What a failed run leaves; and chunks that others were expected to read: where a view
    // jumps over blocks, or two views of a block function ask for distant ones, more readers
    // are counted than there are.
    let failed = state.failed.take().or_else(|| engine.files.verify().err().map(Error::from));
    let stays = |key: &Key| failed.is_none() && plan.ports[key.port as usize].kept;
    state.store.remove_unless(stays, |slot| slot.free_extent(engine.spill));
    match failed {
        Some(error) => Err(error),
        None => Ok((state.store, counts)),
    }
}

impl<'a> Run<'a, '_> {
    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        lock(&self.state)
    }

    /// What a worker does until the run is over.
    fn work(&self, own: &Worker<Assigned>, stealers: &[Stealer<Assigned>], stand_in: &dyn Fn()) {
        if !self.seats.take() {
            return;
        }
        loop {
            let job = match pop_or_steal(own, stealers) {
                Some(job) => job,
                None => match self.wait(own, stealers) {
                    Some(job) => job,
                    None => return,
                },
            };
            let stage = self.stage(&job);
            let outcome = guarded(stage, || self.execute(job));
            let mut progress = None;
            let mut state = self.lock();
            match outcome {
                Ok(outcome) => {
                    progress = self.settle(&mut state, outcome);
                    #[cfg(test)]
                    state.schedule.check();
                }
                Err(error) => {
                    state.failed.get_or_insert(error.at(stage.origin));
                }
            }
            // Who has to make room takes no more on.
            if !self.seats.is_crowded() {
                self.assign(&mut state, own);
            }
            let over = self.is_over(&state);
            if state.sleeping > 0 && (own.len() > 1 || over) {
                self.wake.notify_all();
            }
            let nobody_sleeps = state.sleeping == 0;
            drop(state);
            if let Some(done) = progress {
                let event = Event::Progress { done, of: self.tasks };
                let told = guarded(stage, || {
                    self.engine.observer.observe(&event);
                    Ok(())
                });
                if let Err(error) = told {
                    self.lock().failed.get_or_insert(error);
                }
            }
            if over {
                self.seats.close();
                return;
            }
            if nobody_sleeps && self.seats.missed() {
                stand_in();
            }
            if !self.seats.make_room() {
                return;
            }
        }
    }

    fn is_over(&self, state: &State<'_>) -> bool {
        state.failed.is_some() || state.schedule.is_done()
    }

    /// Waits until there is something to do; `None` once the run is over.
    fn wait(&self, own: &Worker<Assigned>, stealers: &[Stealer<Assigned>]) -> Option<Assigned> {
        let mut state = self.lock();
        loop {
            if self.is_over(&state) {
                self.wake.notify_all();
                self.seats.close();
                return None;
            }
            if let Err(error) = self.engine.cancel.check() {
                state.failed.get_or_insert(error.into());
                continue;
            }
            self.assign(&mut state, own);
            // Jobs are pushed under the lock, so none is missed between this look and sleeping.
            if let Some(job) = pop_or_steal(own, stealers) {
                if state.sleeping > 0 && !own.is_empty() {
                    self.wake.notify_one();
                }
                return Some(job);
            }
            if self.is_over(&state) {
                continue;
            }
            state.sleeping += 1;
            self.seats.leave_idle();
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.sleeping -= 1;
            drop(state);
            if !self.seats.take() {
                return None;
            }
            state = self.lock();
        }
    }

    /// Puts up to two jobs into a worker's deque.
    fn assign(&self, state: &mut State<'_>, own: &Worker<Assigned>) {
        if self.is_over(state) {
            return;
        }
        let (mut jobs, mut freed) = (Vec::new(), Vec::new());
        let most = 2usize.saturating_sub(own.len());
        if let Err(error) = state.schedule.next(most, &mut jobs, &mut freed) {
            state.failed.get_or_insert(error);
            return;
        }
        for key in freed {
            if !state.schedule.knows(key) {
                if let Some(slot) = state.store.remove(&key) {
                    slot.free_extent(self.engine.spill);
                }
            } else if let Some(slot) = state.store.get_mut(&key) {
                // Dropped to come back: only the buffer goes.
                slot.buffer = None;
            }
        }
        // After that, as the bytes may be those of chunks that were just dropped.
        let records = state.schedule.records();
        if records != state.records.bytes()
            && let Err(error) = state.records.resize(records)
        {
            state.failed.get_or_insert(error.into());
            return;
        }
        for job in jobs {
            let assigned = self.prepare(state, job);
            others_first();
            own.push(assigned);
        }
    }

    fn prepare(&self, state: &mut State<'_>, job: Job) -> Assigned {
        match job {
            Job::Run(batch) => {
                let State { schedule, store, .. } = state;
                let needs = schedule.needs(batch).iter();
                Assigned::Run(batch, needs.map(|&key| (key, self.lend(store, key))).collect())
            }
            Job::Remake(batch) => Assigned::Remake(batch),
            Job::Spill(key) => {
                Assigned::Spill(key, state.store[&key].buffer.clone().expect("resident"))
            }
            Job::Load(key) => {
                let extent = state.store[&key].extent.clone().expect("spilled");
                Assigned::Load(key, extent, self.cx.plan.buffer_bytes(key))
            }
        }
    }

    /// A chunk for a task: the buffer itself if it is a state, which has one reader.
    fn lend(&self, store: &mut Table<Slot>, key: Key) -> Lent {
        let slot = store.get_mut(&key).expect("in the store");
        if self.cx.plan.is_carried(key) {
            match Arc::try_unwrap(slot.buffer.take().expect("in memory")) {
                Ok(buffer) => return Lent::Owned(buffer),
                Err(shared) => slot.buffer = Some(shared),
            }
        }
        Lent::Shared(slot.buffer.clone().expect("in memory"))
    }

    /// The stage behind a job.
    fn stage(&self, job: &Assigned) -> &'a Stage {
        let stage = match job {
            Assigned::Run(batch, _) | Assigned::Remake(batch) => batch.stage,
            Assigned::Spill(key, _) | Assigned::Load(key, ..) => {
                self.cx.plan.ports[key.port as usize].stage
            }
        };
        &self.cx.plan.stages[stage as usize]
    }

    fn execute(&self, job: Assigned) -> Result<Outcome> {
        let plan = self.cx.plan;
        match job {
            Assigned::Run(batch, inputs) => {
                let name = || &*plan.stages[batch.stage as usize].name;
                self.engine.observer.observe(&Event::Started { stage: name() });
                Ok(Outcome::Ran(batch, run_batch(&self.cx, batch, inputs)?))
            }
            Assigned::Remake(batch) => {
                let buffer = run_batch(&self.cx, batch, Vec::new())?.pop().expect("one port");
                let port = plan.stages[batch.stage as usize].ports[0];
                Ok(Outcome::Remade(Key { port, index: batch.index }, buffer))
            }
            Assigned::Spill(key, buffer) => {
                let element = plan.ports[key.port as usize].element_size();
                let extent = self.engine.spill.write(&buffer, element)?;
                drop(buffer);
                Ok(Outcome::Spilled(key, extent))
            }
            Assigned::Load(key, extent, bytes) => {
                let mut buffer = self.engine.arena.alloc(bytes as usize)?;
                self.engine.spill.read(&extent, &mut buffer)?;
                Ok(Outcome::Loaded(key, buffer))
            }
        }
    }

    /// Tells the schedule and the store what came of a job.
    /// Returns how many tasks are finished, if one was.
    fn settle(&self, state: &mut State<'_>, outcome: Outcome) -> Option<u64> {
        let mut freed = Vec::new();
        let mut progress = None;
        match outcome {
            Outcome::Ran(batch, outputs) => {
                let stage = &self.cx.plan.stages[batch.stage as usize];
                for (key, buffer) in self.cx.plan.made_by(batch).into_iter().zip(outputs) {
                    let slot = Slot { buffer: Some(Arc::new(buffer)), extent: None };
                    state.store.insert(key, slot);
                }
                state.schedule.finished(batch, &mut freed);
                let units = stage.units_of(batch.index);
                // Totals are told before; the bar must not run past its end.
                state.tasks_done += units.end - units.start;
                let done = state.tasks_done + state.schedule.counts().skipped;
                progress = Some(done.min(self.tasks));
            }
            Outcome::Remade(key, buffer) => {
                state.store.get_mut(&key).expect("away").buffer = Some(Arc::new(buffer));
                state.schedule.returned(key);
            }
            Outcome::Spilled(key, extent) => {
                let away = state.schedule.spilled(key, &mut freed);
                if let Some(slot) = state.store.get_mut(&key) {
                    slot.extent = Some(Arc::new(extent));
                    if away {
                        slot.buffer = None;
                    }
                }
            }
            Outcome::Loaded(key, buffer) => {
                state.store.get_mut(&key).expect("away").buffer = Some(Arc::new(buffer));
                state.schedule.returned(key);
            }
        }
        for key in freed {
            if let Some(slot) = state.store.remove(&key) {
                slot.free_extent(self.engine.spill);
            }
        }
        progress
    }
}

impl Slot {
    /// Gives back what lies on scratch. Nobody reads it any more.
    pub(crate) fn free_extent(self, spill: &Spill) {
        if let Some(extent) = self.extent.and_then(Arc::into_inner) {
            spill.free(extent);
        }
    }
}

/// Ends the run if its worker is unwound: those who sleep would wait for ever.
struct Abandon<'a, 'b, 't>(&'a Run<'b, 't>);

impl Drop for Abandon<'_, '_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().failed.get_or_insert_with(|| Error::internal("a worker panicked"));
            self.0.wake.notify_all();
            self.0.seats.close();
        }
    }
}

/// Runs what a stage does, marked as part of a run; a panic becomes an error.
fn guarded<R>(stage: &Stage, work: impl FnOnce() -> Result<R>) -> Result<R> {
    INSIDE_TASK.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    INSIDE_TASK.set(false);
    outcome.unwrap_or_else(|panic| {
        let kind = match stage.runs_user_code() {
            true => ErrorKind::Function,
            false => ErrorKind::Internal,
        };
        Err(panicked(kind, &*panic).at(stage.origin))
    })
}

fn panicked(kind: ErrorKind, panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    Error::new(kind, format!("panicked: {}", text.as_deref().unwrap_or("no message")))
}
