//! Copies in idle bytes of an arena: what was dear to get stays there until somebody needs the
//! bytes, the least recently used going first.
//!
//! A copy is an idle range with a name, and is given back as other idle ranges are, by its age. While one is
//! made or read its range counts as on its way back: who needs those very bytes waits for that.

use super::{Arena, State};
use crate::memory::pages::Range;

/// The shortest copies, in bytes: what is known of one takes some 200 beside the arena.
const SHORTEST: usize = 64 << 10;

/// What a copy is of; a chunk that has changed has another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CopyOf {
    /// A number for each source.
    pub source: u64,
    /// The number of the chunk.
    pub chunk: u64,
    pub version: u128,
}

/// A moment in the life of an arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Age(u64);

impl Arena {
    /// The moment after all that is idle now became so.
    pub(crate) fn now(&self) -> Age {
        Age(self.0.lock().clock)
    }

    /// Calls `read` with a copy's bytes, and the padding behind them, if it is there; when it was made.
    pub(crate) fn with_copy(&self, of: CopyOf, read: impl FnOnce(&[u8])) -> Option<Age> {
        let mut state = self.0.lock();
        let (range, made) = state.take_copy(of)?;
        state.leaving += range.size();
        drop(state);
        let (size, copy) = (range.size(), Some((of, made)));
        let lent = Lent { arena: self, size, range: Some(range), copy };
        read(lent.range.as_ref().expect("lent").bytes());
        Some(made)
    }

    /// Makes a copy of `len` bytes, which `fill` puts there, if there is room beside what is live, and
    /// what became idle since `since`; `None` if there is none, it is short, or there is such a copy.
    pub(crate) fn make_copy<E>(
        &self,
        of: CopyOf,
        len: usize,
        since: Age,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Option<Result<(), E>> {
        let size = Arena::rounded(len as u64);
        if len < SHORTEST {
            return None;
        }
        let mut state = self.0.lock();
        if state.copies.contains_key(&of) {
            return None;
        }
        let range = loop {
            let taken = state.live + state.idle + state.leaving;
            if taken.saturating_add(size) <= self.0.limit() {
                break state.empty.get_mut(&size).and_then(Vec::pop);
            }
            let (&age, oldest) = state.by_age.first_key_value()?;
            if Age(age) > since {
                return None;
            }
            if oldest.size() == size {
                break state.oldest();
            }
            state = self.0.give_back(state, 1);
        };
        state.leaving += size;
        state.saw_peak();
        let made = Age(state.clock + 1);
        drop(state);
        let mut lent = Lent { arena: self, size, range, copy: None };
        if lent.range.is_none() {
            lent.range = Some(Range::map(size).ok()?);
        }
        let filled = fill(&mut lent.range.as_mut().expect("mapped").bytes_mut()[..len]);
        lent.copy = filled.is_ok().then_some((of, made));
        Some(filled)
    }
}

/// A range on its way: a copy once it is whole, with when it was made.
struct Lent<'a> {
    arena: &'a Arena,
    size: u64,
    range: Option<Range>,
    copy: Option<(CopyOf, Age)>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self.arena.0.lock();
        state.leaving -= self.size;
        if let Some(range) = self.range.take() {
            state.put_idle(range, self.copy);
        }
        drop(state);
        self.arena.0.given_back.notify_all();
    }
}

impl State {
    fn take_copy(&mut self, of: CopyOf) -> Option<(Range, Age)> {
        let (age, made) = self.copies.remove(&of)?;
        self.copied.remove(&age);
        let range = self.by_age.remove(&age)?;
        self.idle -= range.size();
        Some((range, made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{KIB, MIB};

    fn of(chunk: u64) -> CopyOf {
        CopyOf { source: 1, chunk, version: 2 }
    }

    /// Makes a copy of a MiB; whether there was room.
    fn make(arena: &Arena, chunk: u64, since: Age) -> bool {
        let fill = |bytes: &mut [u8]| -> Result<(), ()> {
            bytes.fill(chunk as u8);
            Ok(())
        };
        arena.make_copy(of(chunk), MIB as usize, since, fill).is_some()
    }

    fn is_there(arena: &Arena, chunk: u64) -> bool {
        let same = |bytes: &[u8]| bytes[..MIB as usize].iter().all(|&byte| byte == chunk as u8);
        arena.with_copy(of(chunk), |bytes| assert!(same(bytes))).is_some()
    }

    #[test]
    fn copies_stay_until_their_bytes_are_needed_the_least_recently_used_first() {
        let arena = Arena::new(4 * MIB);
        let since = arena.now();
        assert!((0..3).all(|chunk| make(&arena, chunk, since)));
        assert!(!make(&arena, 1, since), "it is there");
        assert_eq!((arena.live(), arena.idle()), (0, 3 * MIB));
        assert!(is_there(&arena, 0));
        // Other buffers of the size do not take copies, as long as there is room.
        let buffer = arena.alloc(MIB as usize).unwrap();
        assert_eq!((arena.live(), arena.idle()), (MIB, 3 * MIB));
        let more = arena.alloc(MIB as usize).unwrap();
        assert!(!is_there(&arena, 1) && is_there(&arena, 0) && is_there(&arena, 2));
        let other = arena.alloc(64 * KIB as usize).unwrap();
        assert!(!is_there(&arena, 0) && is_there(&arena, 2));
        assert!(arena.with_copy(CopyOf { version: 3, ..of(2) }, |_| ()).is_none());
        drop((buffer, more, other));
        assert!(is_there(&arena, 2));
        arena.trim();
        assert!(!is_there(&arena, 2));
        assert_eq!((arena.live(), arena.idle()), (0, 0));
        assert!(arena.peak() <= arena.limit());
    }

    #[test]
    fn a_copy_takes_the_place_of_what_was_there_before_and_of_nothing_else() {
        let arena = Arena::new(4 * MIB);
        let first = arena.now();
        assert!((0..4).all(|chunk| make(&arena, chunk, first)));
        assert!(!make(&arena, 4, first), "all came since");
        let second = arena.now();
        assert!(is_there(&arena, 0));
        assert!((4..7).all(|chunk| make(&arena, chunk, second)));
        assert!(!make(&arena, 7, second));
        assert!([0, 4, 5, 6].iter().all(|&chunk| is_there(&arena, chunk)));
        let third = arena.now();
        let live = arena.alloc(7 * MIB as usize / 2).unwrap();
        assert!(!make(&arena, 8, third));
        drop(live);
        assert!(arena.peak() <= arena.limit());
    }

    #[test]
    fn what_was_not_filled_is_no_copy() {
        let arena = Arena::new(4 * MIB);
        let fill = |_: &mut [u8]| Err("broken");
        assert_eq!(arena.make_copy(of(0), MIB as usize, arena.now(), fill), Some(Err("broken")));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            arena.make_copy(of(0), MIB as usize, arena.now(), |_| -> Result<(), ()> {
                std::panic::resume_unwind(Box::new("no"))
            })
        }));
        assert!(panicked.is_err() && !is_there(&arena, 0));
        // The bytes are for others.
        drop(arena.alloc(4 * MIB as usize).unwrap());
        assert_eq!((arena.live(), arena.idle()), (0, 4 * MIB));
    }

    #[test]
    fn who_needs_the_bytes_of_a_copy_that_is_read_waits_for_that() {
        let arena = Arena::new(4 * MIB);
        assert!((0..4).all(|chunk| make(&arena, chunk, Age::default())));
        let (begun, ended) =
            (std::sync::Barrier::new(2), std::sync::atomic::AtomicBool::new(false));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                begun.wait();
                let buffer = arena.alloc(4 * MIB as usize).unwrap();
                assert!(ended.load(std::sync::atomic::Ordering::SeqCst));
                drop(buffer);
            });
            arena.with_copy(of(0), |_| {
                begun.wait();
                std::thread::sleep(std::time::Duration::from_millis(20));
                ended.store(true, std::sync::atomic::Ordering::SeqCst);
            });
            other.join().unwrap();
        });
        assert!(arena.peak() <= arena.limit());
    }
}
