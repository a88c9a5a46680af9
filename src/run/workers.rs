//! The threads of a run: the caller's own and those beside it, each with a deque of its own.

use crossbeam::deque::{Stealer, Worker};

/// Calls `work` on as many threads as there are deques, the first of them on the caller's, with
/// the ends from which the others may be robbed. Returns when all have.
pub(super) fn on_workers<J: Send>(
    deques: Vec<Worker<J>>,
    work: impl Fn(Worker<J>, &[Stealer<J>]) + Sync,
) {
    let stealers: Vec<Stealer<J>> = deques.iter().map(Worker::stealer).collect();
    std::thread::scope(|scope| {
        let mut deques = deques.into_iter();
        let own = deques.next().expect("a thread at least");
        for (number, deque) in deques.enumerate() {
            let (work, stealers) = (&work, &stealers);
            let spawned = std::thread::Builder::new()
                .name(format!("freeboard-{}", number + 1))
                .spawn_scoped(scope, move || work(deque, stealers));
            if spawned.is_err() {
                break; // fewer threads do the same work
            }
        }
        work(own, &stealers);
    });
}
