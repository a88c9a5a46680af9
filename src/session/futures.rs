//! Futures: what is computed in the background, by the session's own threads, memory and scratch.
//!
//! What is submitted waits in a queue, which as many threads as the session has work off; they end when it
//! is empty. Each computes as [`Session::compute`] does: functions alone are called beside those of other
//! runs, arrays wait until they have the budget to themselves.

use super::Session;
use crate::{
    array::Compute,
    error::{Error, ErrorKind, Result},
    run,
    sync::{Condvar, Mutex, lock},
};
use freeboard_formats::{Cancel, FormatError};
use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, Weak},
};

/// What comes of something that was submitted.
struct Outcome<T> {
    result: Mutex<Option<Result<T>>>,
    there: Condvar,
}

/// Something that a session computes in the background; made by [`Session::submit`]. It is cancelled when it
/// is dropped.
pub struct Future<T> {
    outcome: Arc<Outcome<T>>,
    cancel: Cancel,
}

impl<T> fmt::Debug for Future<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Future({})", if self.is_done() { "done" } else { "pending" })
    }
}

impl<T> Drop for Future<T> {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl<T> Future<T> {
    /// Whether it is computed, failed or was cancelled: [`Future::wait`] will not wait.
    pub fn is_done(&self) -> bool {
        lock(&self.outcome.result).is_some()
    }

    /// Stops it, or does not begin it; waiting gives an error that [`Error::is_cancelled`]. A function that
    /// is being called is not interrupted.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// What it became, as soon as it is there.
    ///
    /// # Errors
    /// As of [`Session::compute`]; if it was cancelled, or its session is gone; if a function that is called by a
    /// session waits.
    pub fn wait(self) -> Result<T> {
        run::refuse_inside_task()?;
        let mut result = lock(&self.outcome.result);
        loop {
            if let Some(result) = result.take() {
                return result;
            }
            result = self.outcome.there.wait(result).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The duty to say what came of something: cancelled, if nothing else is said.
struct Promise<T>(Arc<Outcome<T>>);

impl<T> Promise<T> {
    fn keep(&self, result: Result<T>) {
        lock(&self.0.result).get_or_insert(result);
        self.0.there.notify_all();
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.keep(Err(cancelled()));
    }
}

fn cancelled() -> Error {
    FormatError::new(freeboard_formats::ErrorKind::Cancelled, "cancelled").into()
}

/// What a thread of the background does for one future, with a handle of the session.
type Job = Box<dyn FnOnce(&Session) + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<(Job, Cancel)>,
    /// Threads that work.
    workers: usize,
    /// Of the futures that may not be done.
    cancels: Vec<(Cancel, Weak<()>)>,
}

#[derive(Default)]
struct Line {
    queue: Mutex<Queue>,
    left: Condvar,
}

/// What a session does in the background; or, in a handle of it for one of its threads, that it is one.
#[derive(Default)]
pub(super) struct Background {
    line: Arc<Line>,
    is_handle: bool,
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = lock(&self.line.queue);
        write!(f, "{} waiting, {} threads", queue.jobs.len(), queue.workers)
    }
}

impl Background {
    /// Stops all futures.
    pub fn cancel(&self) {
        let mut queue = lock(&self.line.queue);
        queue.cancels.drain(..).for_each(|(cancel, _)| cancel.cancel());
    }

    /// Stops all, and waits until no thread is left; `false` of a handle, which has nothing to end.
    pub fn end(&self) -> bool {
        if self.is_handle {
            return false;
        }
        self.cancel();
        let mut queue = lock(&self.line.queue);
        let jobs = std::mem::take(&mut queue.jobs);
        while queue.workers > 0 {
            queue = self.line.left.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        drop(queue);
        drop(jobs);
        true
    }
}

impl Session {
    /// Computes something in the background: `session.submit(slow.delay((7,)))`. Futures are begun in the order in
    /// which they are submitted, as many at once as the session has threads.
    /// ```
    /// use freeboard::{Delay, Session};
    ///
    /// let session = Session::builder().memory("128MiB").threads(2).build()?;
    /// let square = |n: u64| n * n;
    /// let futures: Vec<_> = (0..10).map(|n| session.submit(square.delay((n,)))).collect();
    /// assert_eq!(session.gather(futures)?.iter().sum::<u64>(), 285);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    pub fn submit<C>(&self, what: C) -> Future<C::Output>
    where
        C: Compute + Send + 'static,
        C::Output: Send + 'static,
    {
        let outcome = Arc::new(Outcome { result: Mutex::new(None), there: Condvar::new() });
        let promise = Promise(outcome.clone());
        let (cancel, alive) = (Cancel::default(), Arc::new(()));
        let mut queue = lock(&self.background.line.queue);
        queue.cancels.retain(|(_, alive)| alive.strong_count() > 0);
        queue.cancels.push((cancel.clone(), Arc::downgrade(&alive)));
        let job = move |session: &Session| {
            let computed = catch_unwind(AssertUnwindSafe(|| session.compute(what)));
            let failed = || Err(Error::new(ErrorKind::Internal, "the computation panicked"));
            promise.keep(computed.unwrap_or_else(|_| failed()));
            drop(alive);
        };
        queue.jobs.push_back((Box::new(job), cancel.clone()));
        if queue.workers < self.threads {
            let (line, handle) = (self.background.line.clone(), self.handle());
            let name = format!("freeboard-future-{}", queue.workers + 1);
            let spawned = std::thread::Builder::new().name(name).spawn(move || work(&line, handle));
            match spawned {
                Ok(_) => queue.workers += 1,
                Err(error) if queue.workers == 0 => {
                    queue.jobs.pop_back();
                    let message = format!("no thread can be started: {error}");
                    lock(&outcome.result).replace(Err(Error::new(ErrorKind::Session, message)));
                }
                Err(_) => {} // fewer threads do the same work
            }
        }
        drop(queue);
        Future { outcome, cancel }
    }

    /// What all of some futures became.
    ///
    /// # Errors
    /// The first error of any, in their order; the others are cancelled.
    pub fn gather<T>(&self, futures: impl IntoIterator<Item = Future<T>>) -> Result<Vec<T>> {
        futures.into_iter().collect::<Vec<_>>().into_iter().map(Future::wait).collect()
    }

    /// A handle of the same session for a thread of the background.
    fn handle(&self) -> Session {
        Session {
            memory: self.memory,
            threads: self.threads,
            arena: self.arena.clone(),
            spill: self.spill.clone(),
            files: self.files.clone(),
            known: self.known.clone(),
            observer: self.observer.clone(),
            fuse: self.fuse,
            reproducible: self.reproducible,
            eviction: self.eviction,
            retry: self.retry,
            cancel: Mutex::default(),
            admission: self.admission.clone(),
            persisted: self.persisted.clone(),
            background: Background { line: self.background.line.clone(), is_handle: true },
        }
    }
}

/// What a thread of the background does until nothing waits.
fn work(line: &Line, session: Session) {
    loop {
        let mut queue = lock(&line.queue);
        let Some((job, cancel)) = queue.jobs.pop_front() else {
            // The handle goes first: who waits for the last thread owns all there is.
            drop(session);
            queue.workers -= 1;
            line.left.notify_all();
            return;
        };
        drop(queue);
        if !cancel.is_cancelled() {
            *lock(&session.cancel) = cancel;
            job(&session);
        }
    }
}
