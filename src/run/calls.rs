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

use super::{Engine, INSIDE_TASK, panicked, steal, workers::on_workers};
use crate::{
    delayed::{Take, Task, UNDECLARED, Value, Work},
    error::{Error, ErrorKind, Result},
    event::Event,
    expr::Expr,
    memory::{self, format_bytes},
};
use crossbeam::deque::{Stealer, Worker};
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// After calls that took at least this long the process's resident size is looked at.
const LONG: Duration = Duration::from_millis(5);

/// Addresses are spread by one multiplication: there are millions of them, and no one
/// chooses them to collide.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0 ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
}

/// The calls below some roots: each once, inputs first.
pub(crate) struct Calls<'a> {
    tasks: Vec<&'a Task>,
    /// The numbers of all inputs, task after task.
    inputs: Vec<u32>,
    /// Where the inputs of each task begin, and where the last end.
    starts: Vec<u32>,
    roots: Vec<u32>,
}

impl<'a> Calls<'a> {
    /// All that `roots` need.
    ///
    /// # Errors
    /// The first mistake made in any of them.
    pub fn below(roots: &'a [Task]) -> Result<Calls<'a>> {
        let mut this =
            Calls { tasks: Vec::new(), inputs: Vec::new(), starts: vec![0], roots: Vec::new() };
        let mut numbers: HashMap<usize, u32, BuildHasherDefault<Spread>> = HashMap::default();
        let mut stack: Vec<(&Task, usize)> = Vec::new();
        for root in roots {
            stack.push((root, 0));
            while let Some((task, next)) = stack.pop() {
                if numbers.contains_key(&task.address()) {
                    continue;
                }
                if let Some(input) = task.inputs().get(next) {
                    stack.push((task, next + 1));
                    stack.push((input, 0));
                    continue;
                }
                task.check()?;
                let number = u32::try_from(this.tasks.len());
                let number = number.map_err(|_| {
                    Error::new(ErrorKind::Expression, "a graph of more than 2^32 calls")
                })?;
                numbers.insert(task.address(), number);
                this.tasks.push(task);
                this.inputs.extend(task.inputs().iter().map(|input| numbers[&input.address()]));
                let end = u32::try_from(this.inputs.len());
                this.starts.push(end.map_err(|_| {
                    Error::new(ErrorKind::Expression, "a graph of more than 2^32 arguments")
                })?);
            }
            this.roots.push(numbers[&root.address()]);
        }
        Ok(this)
    }

    /// The tasks that are arrays: the number, the array, and what makes the value of it.
    pub fn arrays(&self) -> impl Iterator<Item = (u32, &'a Expr, &'a Take)> {
        let array = |(number, task): (u32, &'a Task)| match task.work() {
            Work::Array(expr, take) => Some((number, expr, &**take)),
            _ => None,
        };
        (0..).zip(self.tasks.iter().copied()).filter_map(array)
    }

    fn inputs_of(&self, task: u32) -> &[u32] {
        let (from, to) = (self.starts[task as usize], self.starts[task as usize + 1]);
        &self.inputs[from as usize..to as usize]
    }

    /// Calls all functions; returns the values of the roots. `arrays` has the values of those
    /// tasks that are arrays.
    ///
    /// # Errors
    /// The first error or panic of any function; if the run is cancelled, or there is not
    /// enough memory.
    pub fn run(
        &self,
        engine: &Engine<'_>,
        arrays: impl IntoIterator<Item = (u32, Value)>,
    ) -> Result<Vec<Value>> {
        let mut run = CallRun::new(self, engine);
        let mut ready = Vec::new();
        for (number, value) in arrays {
            run.finish(number, value, |call| ready.push(call));
        }
        run.leaves.append(&mut ready);
        let threads = engine.threads.min(self.tasks.len()).max(1);
        let deques: Vec<Worker<u32>> = (0..threads).map(|_| Worker::new_lifo()).collect();
        on_workers(deques, |own, stealers| run.work(&own, stealers));
        if let Some(error) = lock(&run.idle).failed.take() {
            return Err(error);
        }
        // A root that is asked for twice is shared.
        self.roots.iter().map(|&root| run.consume(root)).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

struct CallRun<'a> {
    calls: &'a Calls<'a>,
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
    /// Declared bytes of the calls that run.
    running: AtomicU64,
    over: AtomicBool,
    sleepers: AtomicUsize,
    idle: Mutex<Idle>,
    wake: Condvar,
}

impl<'a> CallRun<'a> {
    fn new(calls: &'a Calls<'a>, engine: &'a Engine<'a>) -> CallRun<'a> {
        let count = calls.tasks.len();
        let mut starts = vec![0u32; count + 1];
        for &input in &calls.inputs {
            starts[input as usize + 1] += 1;
        }
        let mut places: Vec<Place> = Vec::with_capacity(count);
        let mut leaves = Vec::new();
        for (number, task) in (0u32..).zip(&calls.tasks) {
            let missing = calls.inputs_of(number).len() as u32;
            if missing == 0 && !matches!(task.work(), Work::Array(..)) {
                leaves.push(number);
            }
            places.push(Place {
                missing: missing.into(),
                consumers: starts[number as usize + 1].into(),
                value: Mutex::new(None),
            });
        }
        for &root in &calls.roots {
            *places[root as usize].consumers.get_mut() += 1;
        }
        for i in 0..count {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut consumers = vec![0; calls.inputs.len()];
        for task in 0..count as u32 {
            for &input in calls.inputs_of(task) {
                consumers[next[input as usize] as usize] = task;
                next[input as usize] += 1;
            }
        }
        let of = count as u64;
        CallRun {
            calls,
            engine,
            places,
            consumers,
            starts,
            leaves,
            begun: AtomicUsize::new(0),
            left: of.into(),
            of,
            running: AtomicU64::new(0),
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
                    self.finish(task, value, |ready| own.push(ready));
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
        let task = self.calls.tasks[number as usize];
        let function = match task.work() {
            Work::Given(value) => return Ok(value.clone()),
            Work::Call(function) => function,
            Work::Array(..) => return Err(Error::internal("an array is not called")),
        };
        self.engine.cancel.check()?;
        let needed = task.declared().unwrap_or(UNDECLARED);
        self.admit(needed, task)?;
        self.engine.observer.observe(&Event::Started { stage: task.name() });
        let inputs = self.calls.inputs_of(number).iter().map(|&input| self.consume(input));
        let inputs: Result<Vec<Value>> = inputs.collect();
        let started = Instant::now();
        INSIDE_TASK.set(true);
        let result = inputs
            .map(|inputs| catch_unwind(AssertUnwindSafe(|| function(&mut inputs.into_iter()))));
        INSIDE_TASK.set(false);
        self.running.fetch_sub(needed, Ordering::AcqRel);
        if self.sleepers.load(Ordering::Acquire) > 0 {
            self.wake.notify_all();
        }
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
        let take = || {
            let fits = |running: u64| (running + needed <= room).then_some(running + needed);
            self.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok()
        };
        while !take() {
            let idle = lock(&self.idle);
            if self.over.load(Ordering::Acquire) {
                return Err(idle
                    .failed
                    .clone()
                    .unwrap_or_else(|| Error::internal("the run is over")));
            }
            self.sleepers.fetch_add(1, Ordering::AcqRel);
            let tick = Duration::from_millis(50);
            drop(self.wake.wait_timeout(idle, tick));
            self.sleepers.fetch_sub(1, Ordering::AcqRel);
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
