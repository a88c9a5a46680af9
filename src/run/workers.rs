//! The threads of a run: the caller's own and those beside it, each with a deque of its own.

use crate::sync::{others_first, scope, spawn};
use crossbeam::deque::{Steal, Stealer, Worker};

/// Calls `work` on as many threads as there are deques, the first of them on the caller's, with
/// the ends from which the others may be robbed. Returns when all have.
pub(super) fn on_workers<J: Send>(
    deques: Vec<Worker<J>>,
    work: impl Fn(Worker<J>, &[Stealer<J>]) + Sync,
) {
    let stealers: Vec<Stealer<J>> = deques.iter().map(Worker::stealer).collect();
    scope(|scope| {
        let mut deques = deques.into_iter();
        let own = deques.next().expect("a thread at least");
        for (number, deque) in deques.enumerate() {
            let (work, stealers) = (&work, &stealers);
            let name = format!("freeboard-{}", number + 1);
            if spawn(scope, name, move || work(deque, stealers)).is_err() {
                break; // fewer threads do the same work
            }
        }
        work(own, &stealers);
    });
}

/// The next job of a worker: the first of its own deque, or else of another's.
pub(super) fn pop_or_steal<J>(own: &Worker<J>, stealers: &[Stealer<J>]) -> Option<J> {
    others_first();
    own.pop().or_else(|| steal(stealers))
}

/// A job of any deque.
pub(super) fn steal<J>(stealers: &[Stealer<J>]) -> Option<J> {
    for stealer in stealers {
        others_first();
        loop {
            match stealer.steal() {
                Steal::Success(job) => return Some(job),
                Steal::Empty => break,
                Steal::Retry => {}
            }
        }
    }
    None
}
