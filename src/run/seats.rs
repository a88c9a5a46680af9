//! Who may compute: as many workers at a time as there are threads to compute with.
//!
//! Each has a seat. One that waits for scratch or a server leaves its seat
//! meanwhile, to a stand-in: another worker, begun by the next that finishes a job after it was missed. One that is back from a
//! wait goes on at once, so for a moment more may compute than there are seats; the next of them
//! that has finished its job makes room.

use crate::sync::{
    Condvar, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    lock,
};
use freeboard_formats::wait::Seat;
use std::sync::PoisonError;

/// The seats of one run. The lock is taken below all others of the run.
#[derive(Debug)]
pub(super) struct Seats {
    seats: usize,
    /// Changes under the lock; looked at without it after each job.
    taken: AtomicUsize,
    /// Whether a seat was left that nobody waited for.
    missed: AtomicBool,
    queue: Mutex<Queue>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Workers that wait for a seat, and how many of them were called and have not come yet.
    waiting: usize,
    called: usize,
    over: bool,
}

impl Seats {
    pub fn new(seats: usize) -> Seats {
        Seats {
            seats,
            taken: AtomicUsize::new(0),
            missed: AtomicBool::new(false),
            queue: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Waits for a seat, and takes it; `false` once the run is over.
    pub fn take(&self) -> bool {
        let mut queue = lock(&self.queue);
        while !queue.over && self.taken.load(Relaxed) >= self.seats {
            queue.waiting += 1;
            queue = self.freed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.waiting -= 1;
            queue.called = queue.called.saturating_sub(1);
        }
        if !queue.over {
            self.taken.fetch_add(1, Relaxed);
        }
        !queue.over
    }

    /// Leaves a seat for want of work: there is none for who waits, either.
    pub fn leave_idle(&self) {
        let _queue = lock(&self.queue);
        self.taken.fetch_sub(1, Relaxed);
    }

    /// Whether more compute than there are seats.
    pub fn is_crowded(&self) -> bool {
        self.taken.load(Relaxed) > self.seats
    }

    /// Makes room if more compute than there are seats, and waits for a seat then; `false` once the run is over.
    pub fn make_room(&self) -> bool {
        if !self.is_crowded() {
            return true;
        }
        let queue = lock(&self.queue);
        if !self.is_crowded() {
            return true;
        }
        self.taken.fetch_sub(1, Relaxed);
        drop(queue);
        self.take()
    }

    /// Whether a stand-in was missed since this was last asked.
    pub fn missed(&self) -> bool {
        self.missed.load(Relaxed) && self.missed.swap(false, Relaxed)
    }

    /// The run is over: nobody need wait.
    pub fn close(&self) {
        lock(&self.queue).over = true;
        self.freed.notify_all();
    }
}

impl Seat for Seats {
    fn leave(&self) {
        let mut queue = lock(&self.queue);
        self.taken.fetch_sub(1, Relaxed);
        if queue.waiting > queue.called {
            queue.called += 1;
            self.freed.notify_one();
        } else {
            self.missed.store(true, Relaxed);
        }
    }

    fn retake(&self) {
        let _queue = lock(&self.queue);
        self.taken.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_that_is_left_is_anothers_until_there_are_too_many() {
        let seats = Seats::new(1);
        assert!(seats.take());
        assert!(seats.make_room() && !seats.missed());
        seats.leave();
        assert!(seats.missed() && !seats.missed());
        assert!(seats.take());
        seats.retake();
        std::thread::scope(|scope| {
            // The first to be ready makes room, and goes on when the other waits.
            let other = scope.spawn(|| seats.make_room());
            while lock(&seats.queue).waiting == 0 {
                std::thread::yield_now();
            }
            assert!(seats.make_room());
            seats.leave();
            assert!(other.join().unwrap());
        });
        assert!(!seats.missed());
        seats.close();
        assert!(!seats.take());
    }
}

#[cfg(all(test, feature = "shuttle"))]
mod model {
    use super::*;
    use crate::sync::{in_many_orders, others_first, scope};

    #[test]
    fn nobody_computes_without_a_seat_but_who_was_away() {
        in_many_orders(|| {
            let seats = Seats::new(2);
            let (computing, back) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let compute = || {
                let most = 2 + back.load(Relaxed);
                assert!(computing.fetch_add(1, Relaxed) < most);
                others_first();
                computing.fetch_sub(1, Relaxed);
            };
            scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        assert!(seats.take());
                        compute();
                        seats.leave();
                        others_first();
                        back.fetch_add(1, Relaxed);
                        seats.retake();
                        compute();
                        assert!(seats.make_room());
                        seats.leave();
                    });
                }
            });
            assert_eq!(seats.taken.load(Relaxed), 0);
        });
    }
}
