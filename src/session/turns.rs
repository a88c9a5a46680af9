//! Whose turn it is: what sessions hold counts for all of the process, so a run of arrays has its memory
//! alone. Runs of functions alone, of one session, go on beside each other: they are admitted together.

use crate::sync::{Condvar, Mutex, lock};
use std::sync::PoisonError;

#[derive(Debug)]
struct State {
    /// Runs under way.
    running: usize,
    /// The session of them, where they are of functions alone.
    beside: Option<usize>,
    /// Runs that wait to be alone.
    waiting: usize,
}

static STATE: Mutex<State> = Mutex::new(State { running: 0, beside: None, waiting: 0 });
static ENDED: Condvar = Condvar::new();

/// A run's turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn(());

impl Turn {
    /// Waits until nothing else runs.
    pub fn alone() -> Turn {
        let mut state = lock(&STATE);
        state.waiting += 1;
        while state.running > 0 {
            state = ENDED.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
        (state.running, state.beside) = (1, None);
        Turn(())
    }

    /// Waits until nothing runs but functions of the session that `session` tells apart; where nothing
    /// runs, for those that wait to be alone.
    pub fn beside(session: usize) -> Turn {
        let mut state = lock(&STATE);
        // One that runs may wait for what this one gives, so it goes in before those that wait.
        let others = |state: &State| match state.running {
            0 => state.waiting > 0,
            _ => state.beside != Some(session),
        };
        while others(&state) {
            state = ENDED.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.running += 1;
        state.beside = Some(session);
        Turn(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = lock(&STATE);
        state.running -= 1;
        if state.running == 0 {
            ENDED.notify_all();
        }
    }
}

#[cfg(all(test, feature = "shuttle"))]
mod model {
    use super::*;
    use crate::sync::{in_many_orders, others_first, scope};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[test]
    fn arrays_run_alone_and_a_function_may_wait_for_another() {
        in_many_orders(|| {
            let alone = AtomicUsize::new(0);
            let array = || {
                let _turn = Turn::alone();
                assert_eq!(alone.fetch_add(1, Relaxed), 0);
                others_first();
                alone.fetch_sub(1, Relaxed);
            };
            let beside = |session| {
                let turn = Turn::beside(session);
                assert_eq!(alone.load(Relaxed), 0);
                turn
            };
            let (is_there, there) = (Mutex::new(false), Condvar::new());
            scope(|scope| {
                scope.spawn(|| {
                    let _turn = beside(1);
                    let mut given = lock(&is_there);
                    while !*given {
                        given = there.wait(given).unwrap_or_else(PoisonError::into_inner);
                    }
                });
                scope.spawn(array);
                scope.spawn(|| {
                    let _turn = beside(1);
                    *lock(&is_there) = true;
                    there.notify_all();
                });
                scope.spawn(|| drop(beside(2)));
                scope.spawn(array);
            });
        });
    }
}
