//! Calling delayed functions: a graph of calls, on all threads, depth first.
//!
//! A call is ready when its inputs have values. Calls that become ready are pushed onto the
//! deque of the worker that made them so, and taken from its end; calls that need nothing
//! are begun in the order in which the roots want them, and only when a worker has nothing
//! else: so values are consumed soon after they are made, and few are held. The last
//! consumer of a value takes it.
//!
//! A call is admitted at what it was declared to need: it waits while others run and there
//! is not as much left. What calls really hold is not known; the resident size of the process is
//! looked at after each that took long enough to matter.

use super::{
    Engine, INSIDE_TASK, panicked,
    workers::{on_workers, steal},
};
use crate::{
    delayed::{Order, Task, UNDECLARED, Value, Work},
    error::{Error, ErrorKind, Result},
    event::Event,
    memory::{self, format_bytes},
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
        lock, others_first,
    },
};
use crossbeam::deque::{Stealer, Worker};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::PoisonError,
    time::{Duration, Instant},
};

/// After calls that took at least this long the process's resident size is looked at.
const LONG: Duration = Duration::from_millis(5);

/// Calls all functions of `order`; returns the values of its roots. `arrays` has the values of those
/// tasks that are arrays.
///
/// # Errors
/// The first error or panic of any function; if the run is cancelled, or there is not
/// enough memory.
pub(crate) fn call(
    order: &Order,
    engine: &Engine<'_>,
    arrays: impl IntoIterator<Item = (u32, Value)>,
) -> Result<Vec<Value>> {
    let mut run = CallRun::new(order, engine);
    let mut ready = Vec::new();
    for (number, value) in arrays {
        run.finish(number, value, |call| ready.push(call));
    }
    run.leaves.append(&mut ready);
    let threads = engine.threads.min(order.tasks().len()).max(1);
    let deques: Vec<Worker<u32>> = (0..threads).map(|_| Worker::new_lifo()).collect();
    on_workers(deques, Vec::new(), |own, stealers, _| run.work(&own, stealers));
    if let Some(error) = lock(&run.idle).failed.take() {
        return Err(error);
    }
    // A root that is asked for twice is shared.
    order.roots().iter().map(|&root| run.consume(root)).collect()
}

/// One task's place in a run.
struct Place {
    /// Inputs without a value.
    missing: AtomicU32,
    /// Consumers that have not taken the value.
    consumers: AtomicU32,
    value: Mutex<Option<Value>>,
}

/// Why the run ended early; and what workers sleep on.
#[derive(Default)]
struct Idle {
    failed: Option<Error>,
}

/// The calls of all runs of a session that run: what they were declared to need is never more than there is
/// room for, and they are no more than its threads.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    bytes: AtomicU64,
    calls: AtomicUsize,
    waiting: AtomicUsize,
    idle: Mutex<()>,
    freed: Condvar,
}

impl Admission {
    /// Admits a call; `false` if it cannot be, after it waited a moment for others to end.
    fn take(&self, needed: u64, room: u64, threads: usize) -> bool {
        let take = || {
            let one = |calls: usize| (calls < threads).then_some(calls + 1);
            if self.calls.fetch_update(Ordering::AcqRel, Ordering::Acquire, one).is_err() {
                return false;
            }
            let fits = |bytes: u64| bytes.checked_add(needed).filter(|&bytes| bytes <= room);
            let fits = self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok();
            if !fits {
                self.calls.fetch_sub(1, Ordering::AcqRel);
            }
            fits
        };
        if take() {
            return true;
        }
        let idle = lock(&self.idle);
        self.waiting.fetch_add(1, Ordering::AcqRel);
        // Who releases after this look sees one that waits, and takes the lock to wake it.
        let taken = take();
        if !taken {
            drop(self.freed.wait_timeout(idle, Duration::from_millis(50)));
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        taken
    }

    fn release(&self, needed: u64) {
        self.bytes.fetch_sub(needed, Ordering::AcqRel);
        self.calls.fetch_sub(1, Ordering::AcqRel);
        if self.waiting.load(Ordering::Acquire) > 0 {
            drop(lock(&self.idle));
            self.freed.notify_all();
        }
    }
}

struct CallRun<'a> {
    order: &'a Order,
    engine: &'a Engine<'a>,
    places: Vec<Place>,
    /// The numbers of all consumers, task after task, and where each task's begin.
    consumers: Vec<u32>,
    starts: Vec<u32>,
    /// Tasks without inputs, in the order in which they are begun; and how many were.
    leaves: Vec<u32>,
    begun: AtomicUsize,
    /// Calls that are not finished.
    left: AtomicU64,
    of: u64,
    over: AtomicBool,
    sleepers: AtomicUsize,
    idle: Mutex<Idle>,
    wake: Condvar,
}

impl<'a> CallRun<'a> {
    fn new(order: &'a Order, engine: &'a Engine<'a>) -> CallRun<'a> {
        let count = order.tasks().len();
        let mut starts = vec![0u32; count + 1];
        for &input in order.inputs() {
            starts[input as usize + 1] += 1;
        }
        let mut places: Vec<Place> = Vec::with_capacity(count);
        let mut leaves = Vec::new();
        for (number, task) in (0u32..).zip(order.tasks()) {
            let missing = order.inputs_of(number).len() as u32;
            if missing == 0 && !matches!(task.work(), Work::Array(..)) {
                leaves.push(number);
            }
            places.push(Place {
                missing: missing.into(),
                consumers: starts[number as usize + 1].into(),
                value: Mutex::new(None),
            });
        }
        for &root in order.roots() {
            *places[root as usize].consumers.get_mut() += 1;
        }
        for i in 0..count {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut consumers = vec![0; order.inputs().len()];
        for task in 0..count as u32 {
            for &input in order.inputs_of(task) {
                consumers[next[input as usize] as usize] = task;
                next[input as usize] += 1;
            }
        }
        let of = count as u64;
        CallRun {
            order,
            engine,
            places,
            consumers,
            starts,
            leaves,
            begun: AtomicUsize::new(0),
            left: of.into(),
            of,
            over: (of == 0).into(),
            sleepers: AtomicUsize::new(0),
            idle: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    /// The value of a task for one of its consumers; the last has it to itself.
    fn consume(&self, task: u32) -> Result<Value> {
        let place = &self.places[task as usize];
        let mut value = lock(&place.value);
        let last = place.consumers.fetch_sub(1, Ordering::AcqRel) == 1;
        let value = if last { value.take() } else { value.clone() };
        value.ok_or_else(|| Error::internal("a value that was made"))
    }

    /// Keeps the value of a task; hands on the consumers that have all their inputs by now.
    fn finish(&self, task: u32, value: Value, mut ready: impl FnMut(u32)) {
        let at = task as usize;
        let place = &self.places[at];
        if place.consumers.load(Ordering::Relaxed) > 0 {
            *lock(&place.value) = Some(value);
        }
        let consumers = self.starts[at] as usize..self.starts[at + 1] as usize;
        for &consumer in &self.consumers[consumers] {
            let missing = &self.places[consumer as usize].missing;
            if missing.fetch_sub(1, Ordering::AcqRel) == 1 {
                ready(consumer);
            }
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.end(None);
        }
    }

    fn end(&self, error: Option<Error>) {
        let mut idle = lock(&self.idle);
        if let Some(error) = error {
            idle.failed.get_or_insert(error);
        }
        self.over.store(true, Ordering::Release);
        drop(idle);
        self.wake.notify_all();
    }

    /// What a worker does until all is done, or something failed.
    fn work(&self, own: &Worker<u32>, stealers: &[Stealer<u32>]) {
        let _guard = Abandon(self);
        while !self.over.load(Ordering::Acquire) {
            let Some(task) = self.next(own, stealers) else { return };
            match self.call(task) {
                Ok(value) => {
                    self.finish(task, value, |ready| {
                        others_first();
                        own.push(ready);
                    });
                    if own.len() > 1 && self.sleepers.load(Ordering::Acquire) > 0 {
                        drop(lock(&self.idle));
                        self.wake.notify_one();
                    }
                }
                Err(error) => self.end(Some(error)),
            }
        }
    }

    /// The next task for a worker; waits for one. `None` when all is over.
    fn next(&self, own: &Worker<u32>, stealers: &[Stealer<u32>]) -> Option<u32> {
        let find = || {
            others_first();
            own.pop().or_else(|| {
                let begun = match self.begun.load(Ordering::Relaxed) < self.leaves.len() {
                    true => self.begun.fetch_add(1, Ordering::Relaxed),
                    false => usize::MAX,
                };
                self.leaves.get(begun).copied().or_else(|| steal(stealers))
            })
        };
        if let Some(task) = find() {
            return Some(task);
        }
        let mut idle = lock(&self.idle);
        self.sleepers.fetch_add(1, Ordering::AcqRel);
        let found = loop {
            if self.over.load(Ordering::Acquire) {
                break None;
            }
            // Who pushes after this look sees a sleeper, and waits for the lock to wake it.
            if let Some(task) = find() {
                break Some(task);
            }
            // A deque whose owner does not sleep may fill between the look and the count.
            let tick = Duration::from_millis(50);
            idle = self.wake.wait_timeout(idle, tick).unwrap_or_else(PoisonError::into_inner).0;
            if let Err(error) = self.engine.cancel.check() {
                drop(idle);
                self.end(Some(error.into()));
                idle = lock(&self.idle);
            }
        };
        self.sleepers.fetch_sub(1, Ordering::AcqRel);
        found
    }

    /// Calls one function, when there is memory for what it was declared to need.
    fn call(&self, number: u32) -> Result<Value> {
        let task = &self.order.tasks()[number as usize];
        let function = match task.work() {
            Work::Given(value) => return Ok(value.clone()),
            Work::Call(function) => function,
            Work::Array(..) => return Err(Error::internal("an array is not called")),
        };
        self.engine.cancel.check()?;
        let needed = task.declared().unwrap_or(UNDECLARED);
        self.admit(needed, task)?;
        self.engine.observer.observe(&Event::Started { stage: task.name() });
        let inputs = self.order.inputs_of(number).iter().map(|&input| self.consume(input));
        let inputs: Result<Vec<Value>> = inputs.collect();
        let started = Instant::now();
        INSIDE_TASK.set(true);
        let result = inputs
            .map(|inputs| catch_unwind(AssertUnwindSafe(|| function(&mut inputs.into_iter()))));
        INSIDE_TASK.set(false);
        self.engine.admission.release(needed);
        let value = match result? {
            Ok(Ok(value)) => value,
            Ok(Err(text)) => {
                let text = format!("`{}` failed: {text}", task.name());
                return Err(Error::new(ErrorKind::Function, text).at(task.origin()));
            }
            Err(panic) => return Err(panicked(ErrorKind::Function, &*panic).at(task.origin())),
        };
        if started.elapsed() >= LONG {
            self.check_resident(task)?;
        }
        let done = self.of - self.left.load(Ordering::Relaxed) + 1;
        self.engine.observer.observe(&Event::Progress { done, of: self.of });
        Ok(value)
    }

    /// Waits until so many bytes are free, or nothing else runs.
    fn admit(&self, needed: u64, task: &Task) -> Result<()> {
        let room = self.engine.memory;
        if needed > room {
            let message = format!(
                "`{}` is declared to need {}, and the budget leaves {}",
                task.name(),
                format_bytes(needed),
                format_bytes(room)
            );
            return Err(Error::new(ErrorKind::Budget, message).at(task.origin()));
        }
        while !self.engine.admission.take(needed, room, self.engine.threads) {
            if self.over.load(Ordering::Acquire) {
                let failed = lock(&self.idle).failed.clone();
                return Err(failed.unwrap_or_else(|| Error::internal("the run is over")));
            }
            self.engine.cancel.check()?;
        }
        Ok(())
    }

    /// What functions allocate is theirs, but not beyond what the process may hold.
    fn check_resident(&self, task: &Task) -> Result<()> {
        match memory::resident() {
            Some(resident) if resident > self.engine.process => {
                let message = format!(
                    "after `{}` the process holds {}, and its memory is {}",
                    task.name(),
                    format_bytes(resident),
                    format_bytes(self.engine.process)
                );
                let help = "declare what calls need with `.bytes(…)`, so that fewer run at once";
                Err(Error::new(ErrorKind::Budget, message).at(task.origin()).help(help))
            }
            _ => Ok(()),
        }
    }
}

/// Ends the run if its worker is unwound, by an observer: those who sleep would wait for ever.
struct Abandon<'a, 'b>(&'a CallRun<'b>);

impl Drop for Abandon<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end(Some(Error::internal("a worker panicked")));
        }
    }
}
