//! The threads of a run: the caller's own and those beside it, each with a deque of its own.

use crate::sync::{Mutex, Scope, lock, others_first, scope, spawn};
use crossbeam::deque::{Steal, Stealer, Worker};

/// What the threads of a run share.
struct Crew<J, W> {
    work: W,
    /// The ends from which deques may be robbed.
    stealers: Vec<Stealer<J>>,
    /// The deques of threads that are not begun yet.
    spare: Mutex<Vec<Worker<J>>>,
}

/// Calls `work` on as many threads as there are `deques`, the first of them on the caller's, with
/// the ends from which all may be robbed, and with what begins one thread more for one of the `spare` deques, while
/// there are any. Returns when all have.
pub(super) fn on_workers<J: Send>(
    deques: Vec<Worker<J>>,
    spare: Vec<Worker<J>>,
    work: impl Fn(Worker<J>, &[Stealer<J>], &dyn Fn()) + Sync,
) {
    let stealers = deques.iter().chain(&spare).map(Worker::stealer).collect();
    let crew = Crew { work, stealers, spare: Mutex::new(spare) };
    scope(|scope| {
        let mut deques = deques.into_iter();
        let own = deques.next().expect("a thread at least");
        for (number, deque) in (1..).zip(deques) {
            if begin(scope, &crew, number, deque).is_err() {
                break; // fewer threads do the same work
            }
        }
        (crew.work)(own, &crew.stealers, &|| begin_spare(scope, &crew));
    });
}

/// Begins a thread.
fn begin<'scope, J: Send, W: Fn(Worker<J>, &[Stealer<J>], &dyn Fn()) + Sync>(
    scope: &'scope Scope<'scope, '_>,
    crew: &'scope Crew<J, W>,
    number: usize,
    deque: Worker<J>,
) -> std::io::Result<()> {
    spawn(scope, format!("freeboard-{number}"), move || {
        (crew.work)(deque, &crew.stealers, &|| begin_spare(scope, crew));
    })
}

fn begin_spare<'scope, J: Send, W: Fn(Worker<J>, &[Stealer<J>], &dyn Fn()) + Sync>(
    scope: &'scope Scope<'scope, '_>,
    crew: &'scope Crew<J, W>,
) {
    let mut spare = lock(&crew.spare);
    let number = crew.stealers.len() - spare.len();
    if let Some(deque) = spare.pop()
        && begin(scope, crew, number, deque).is_err()
    {
        spare.clear();
    }
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
