//! Waits that leave the processor idle, told to who has work for it.
//!
//! Reads and writes are called by threads of which there are as many as shall compute. Where one of
//! them waits for something else, scratch or a server, it says so by [`wait`];
//! whoever owns the threads has put a [`Seat`] there, and may let another one compute meanwhile.

use std::{cell::Cell, sync::Arc};

/// The right of a thread to compute, of which there are as many as shall compute at a time.
pub trait Seat: Send + Sync {
    /// The calling thread is about to wait.
    fn leave(&self);

    /// The calling thread goes on computing.
    fn retake(&self);
}

thread_local! {
    static SEAT: Cell<Option<Arc<dyn Seat>>> = const { Cell::new(None) };
}

/// Does `work` on this thread, whose waits are told to `seat`.
pub fn seated<R>(seat: Arc<dyn Seat>, work: impl FnOnce() -> R) -> R {
    let _before = Before(SEAT.replace(Some(seat)));
    work()
}

/// Waits by calling `waiting`, without a seat if this thread has one.
pub fn wait<R>(waiting: impl FnOnce() -> R) -> R {
    // While it waits the thread has none, so what waits within is not told again.
    let seat = SEAT.take();
    if let Some(seat) = &seat {
        seat.leave();
    }
    let _left = Left(seat);
    waiting()
}

/// Puts the seat back that a thread had before.
struct Before(Option<Arc<dyn Seat>>);

impl Drop for Before {
    fn drop(&mut self) {
        SEAT.set(self.0.take());
    }
}

/// Takes the seat again, also where the wait ends by a panic.
struct Left(Option<Arc<dyn Seat>>);

impl Drop for Left {
    fn drop(&mut self) {
        if let Some(seat) = self.0.take() {
            seat.retake();
            SEAT.set(Some(seat));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::Mutex,
    };

    #[derive(Default)]
    struct Told(Mutex<Vec<&'static str>>);

    impl Seat for Told {
        fn leave(&self) {
            self.0.lock().unwrap().push("leave");
        }
        fn retake(&self) {
            self.0.lock().unwrap().push("retake");
        }
    }

    #[test]
    fn a_wait_is_told_once_and_always_ended() {
        let told = Arc::new(Told::default());
        assert_eq!(wait(|| 1), 1);
        seated(told.clone(), || {
            assert_eq!(wait(|| wait(|| 2)), 2);
            let panicked = catch_unwind(AssertUnwindSafe(|| wait(|| panic!("broken"))));
            assert!(panicked.is_err());
            wait(|| ());
        });
        wait(|| ());
        assert_eq!(*told.0.lock().unwrap(), ["leave", "retake"].repeat(3));
    }
}
