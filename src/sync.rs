//! The locks, atomics and threads of runs: the standard library's, as they are. In the tests of the feature
//! `shuttle` they are [shuttle](https://docs.rs/shuttle)'s, which decides who goes on wherever one locks, waits, wakes or
//! touches an atomic, and so tries one order after another in which threads may get there.
//!
//! What waits with a limit on time has none there: it must be woken.
//!
//! Locks below which nothing of this module is touched need none of it, and use `std::sync`: no thread
//! of a trial goes on before the one that holds such a lock has left it.

pub(crate) use these::*;

/// Locks; a panic of another thread while it held the lock is no reason not to.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(not(all(test, feature = "shuttle")))]
mod these {
    pub(crate) use std::{
        sync::{Condvar, Mutex, MutexGuard, RwLock, atomic},
        thread::{Scope, scope},
    };

    /// Starts a thread with a name.
    ///
    /// # Errors
    /// If the operating system starts no more threads.
    pub(crate) fn spawn<'scope>(
        scope: &'scope Scope<'scope, '_>,
        name: String,
        work: impl FnOnce() + Send + 'scope,
    ) -> std::io::Result<()> {
        std::thread::Builder::new().name(name).spawn_scoped(scope, work).map(drop)
    }

    /// A place at which another thread may go first, where nothing else of this module is one: around a
    /// deque, whose steps shuttle does not see.
    #[inline(always)]
    pub(crate) fn others_first() {}
}

#[cfg(all(test, feature = "shuttle"))]
mod these {
    use shuttle::{
        Config, Runner,
        scheduler::{PctScheduler, RandomScheduler, Scheduler},
    };
    pub(crate) use shuttle::{
        sync::{Condvar, Mutex, MutexGuard, RwLock, atomic},
        thread::{Scope, scope},
    };

    /// As of the other module; threads have no names here.
    pub(crate) fn spawn<'scope>(
        scope: &'scope Scope<'scope, '_>,
        _name: String,
        work: impl FnOnce() + Send + 'scope,
    ) -> std::io::Result<()> {
        scope.spawn(work);
        Ok(())
    }

    /// Lets shuttle choose who goes on; a yield would be a hint to prefer the others.
    pub(crate) fn others_first() {
        shuttle::thread::sleep(std::time::Duration::ZERO);
    }

    /// In how many orders each trial is made by either scheduler: of the long form 10,000, all trials together.
    fn orders() -> usize {
        if std::env::var_os("FREEBOARD_LONG").is_some() { 500 } else { 20 }
    }

    /// Makes a trial in many orders of its threads: by plain chance, and by random priorities that change at few places
    /// (Burckhardt and others, *A randomized scheduler with probabilistic guarantees of finding bugs*,
    /// ASPLOS 2010). A panic or a deadlock is told with what repeats it.
    pub(crate) fn in_many_orders(trial: impl Fn() + Send + Sync + 'static) {
        let trial = std::sync::Arc::new(trial);
        let by = |scheduler: Box<dyn Scheduler + Send>| {
            let mut config = Config::new();
            config.stack_size = 1 << 20;
            let trial = trial.clone();
            Runner::new(scheduler, config).run(move || trial());
        };
        by(Box::new(RandomScheduler::new(orders())));
        by(Box::new(PctScheduler::new(3, orders())));
    }
}
