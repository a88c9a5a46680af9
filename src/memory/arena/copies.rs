//! Copies in idle bytes of an arena: what was dear to get stays there until somebody needs the
//! bytes, the least recently used going first.
//!
//! A copy is an idle range with a name, and is given back as other idle ranges are, by its age. While bytes are
//! copied into it or out of it, it is lent; who needs those very bytes waits for that.

use super::{Arena, State};
use crate::memory::pages::Range;
use freeboard_formats::{Fingerprint, Region};
use smallvec::SmallVec;
use std::collections::HashMap;

/// The shortest copies, in bytes, and the most: what is known of one takes some 200 bytes beside the
/// arena, together 6.5 MB.
const SHORTEST: usize = 64 << 10;
const MOST: usize = 1 << 15;

/// What a copy is of: a box of a source, which has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CopyOf {
    source: u64,
    region: u128,
}

impl CopyOf {
    pub fn new(source: u64, region: &Region) -> CopyOf {
        let words: SmallVec<[u64; 12]> =
            region.start.iter().chain(&region.shape).copied().collect();
        CopyOf { source, region: Fingerprint::of(bytemuck::cast_slice(&words)).0 }
    }
}

/// A moment in the life of an arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Age(u64);

/// What is known of a copy beside where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label {
    of: CopyOf,
    /// Of what it is a copy of, when it was made.
    version: Fingerprint,
    made: Age,
}

/// The copies among the idle ranges, each known by its number there.
#[derive(Debug, Default)]
pub(super) struct Copies {
    numbers: HashMap<CopyOf, u64>,
    labels: HashMap<u64, Label>,
}

impl Copies {
    /// Adds a copy, unless there is one of the same.
    pub fn add(&mut self, number: u64, label: Label) -> bool {
        let is_new = !self.numbers.contains_key(&label.of);
        if is_new {
            self.numbers.insert(label.of, number);
            self.labels.insert(number, label);
        }
        is_new
    }

    /// Forgets the copy with this number; `None` if it is none.
    pub fn remove(&mut self, number: u64) -> Option<Label> {
        let label = self.labels.remove(&number)?;
        self.numbers.remove(&label.of);
        Some(label)
    }

    fn of(&self, of: CopyOf) -> Option<(u64, &Label)> {
        let number = *self.numbers.get(&of)?;
        Some((number, self.labels.get(&number)?))
    }
}

impl Arena {
    /// The moment after all that is idle now became so.
    pub(crate) fn now(&self) -> Age {
        Age(self.0.lock().clock)
    }

    /// Whether there is a copy, of whatever version.
    pub(crate) fn has_copy(&self, of: CopyOf) -> bool {
        self.0.lock().copies.numbers.contains_key(&of)
    }

    /// Whether a copy of `len` bytes would find room beside what is live, and what became idle since `since`.
    pub(crate) fn has_room_for_copy(&self, len: usize, since: Age) -> bool {
        let state = self.0.lock();
        let taken = state.taken().saturating_add(Arena::rounded(len as u64));
        let oldest = state.by_age.first_key_value();
        len >= SHORTEST
            && state.copies.numbers.len() < MOST
            && (taken <= self.0.limit() || oldest.is_some_and(|(&age, _)| Age(age) <= since))
    }

    /// Calls `read` with the bytes of the copy of this version, and the padding behind them, if it is there; when
    /// it was made.
    pub(crate) fn with_copy(
        &self,
        of: CopyOf,
        version: Fingerprint,
        read: impl FnOnce(&[u8]),
    ) -> Option<Age> {
        let mut state = self.0.lock();
        let (number, _) = state.copies.of(of).filter(|(_, label)| label.version == version)?;
        let (range, label) = state.take_copy(number)?;
        state.lent += range.size();
        drop(state);
        let lent = Lent { arena: self, size: range.size(), range: Some(range), label: Some(label) };
        read(lent.range.as_ref().expect("lent").bytes());
        Some(label.made)
    }

    /// Makes a copy of `len` bytes, which `fill` puts there without waiting for anything, if there is room
    /// ([`Arena::has_room_for_copy`]); it takes the place of one of another version.
    pub(crate) fn make_copy(
        &self,
        of: CopyOf,
        version: Fingerprint,
        len: usize,
        since: Age,
        fill: impl FnOnce(&mut [u8]),
    ) {
        if !self.has_room_for_copy(len, since) {
            return;
        }
        let size = Arena::rounded(len as u64);
        let mut state = self.0.lock();
        if let Some((number, _)) = state.copies.of(of)
            && let Some((stale, _)) = state.take_copy(number)
        {
            state.put_idle(stale, None);
        }
        let range = loop {
            if state.taken().saturating_add(size) <= self.0.limit() {
                break state.empty.get_mut(&size).and_then(Vec::pop);
            }
            match state.by_age.first_key_value() {
                Some((&age, _)) if Age(age) > since => return,
                Some((_, oldest)) if oldest.size() == size => break state.oldest(),
                Some(_) => state = self.0.give_back(state, 1),
                None => return,
            }
        };
        state.lent += size;
        state.saw_peak();
        let made = Age(state.clock + 1);
        drop(state);
        let mut lent = Lent { arena: self, size, range, label: None };
        if lent.range.is_none() {
            lent.range = Range::map(size).ok();
        }
        if let Some(range) = &mut lent.range {
            fill(&mut range.bytes_mut()[..len]);
            lent.label = Some(Label { of, version, made });
        }
    }
}

/// A range that is lent: a copy once it is whole.
struct Lent<'a> {
    arena: &'a Arena,
    size: u64,
    range: Option<Range>,
    label: Option<Label>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self.arena.0.lock();
        state.lent -= self.size;
        if let Some(range) = self.range.take() {
            state.put_idle(range, self.label);
        }
        drop(state);
        self.arena.0.given_back.notify_all();
    }
}

impl State {
    /// Takes the copy with this number off the idle list.
    fn take_copy(&mut self, number: u64) -> Option<(Range, Label)> {
        let label = self.copies.remove(number)?;
        let range = self.by_age.remove(&number)?;
        self.idle -= range.size();
        Some((range, label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{KIB, MIB};

    fn of(chunk: u64) -> CopyOf {
        CopyOf::new(1, &Region::new(&[chunk, 0][..], &[1, 7][..]))
    }

    const VERSION: Fingerprint = Fingerprint(2);

    /// Makes a copy of a MiB, if there is room; whether it is there.
    fn make(arena: &Arena, chunk: u64, since: Age) -> bool {
        let fill = |bytes: &mut [u8]| bytes.fill(chunk as u8);
        arena.make_copy(of(chunk), VERSION, MIB as usize, since, fill);
        arena.has_copy(of(chunk))
    }

    fn is_there(arena: &Arena, chunk: u64) -> bool {
        let same = |bytes: &[u8]| bytes[..MIB as usize].iter().all(|&byte| byte == chunk as u8);
        arena.with_copy(of(chunk), VERSION, |bytes| assert!(same(bytes))).is_some()
    }

    #[test]
    fn copies_stay_until_their_bytes_are_needed_the_least_recently_used_first() {
        let arena = Arena::new(4 * MIB);
        let since = arena.now();
        assert!((0..3).all(|chunk| make(&arena, chunk, since)));
        assert_eq!((arena.live(), arena.idle()), (0, 3 * MIB));
        assert!(is_there(&arena, 0));
        // Other buffers of the size do not take copies, as long as there is room.
        let buffer = arena.alloc(MIB as usize).unwrap();
        assert_eq!((arena.live(), arena.idle()), (MIB, 3 * MIB));
        let more = arena.alloc(MIB as usize).unwrap();
        assert!(!is_there(&arena, 1) && is_there(&arena, 0) && is_there(&arena, 2));
        let other = arena.alloc(64 * KIB as usize).unwrap();
        assert!(!is_there(&arena, 0) && is_there(&arena, 2));
        assert!(arena.with_copy(of(2), Fingerprint(3), |_| ()).is_none());
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
    fn of_one_box_there_is_one_copy() {
        let arena = Arena::new(4 * MIB);
        let make = |version, fill: u8| {
            let since = arena.now();
            let version = Fingerprint(version);
            arena.make_copy(of(0), version, MIB as usize, since, |bytes| bytes.fill(fill));
        };
        make(1, 1);
        // While it is read, another one is made: it is no copy, and its bytes are for others.
        let read = arena.with_copy(of(0), Fingerprint(1), |bytes| {
            assert_eq!((arena.live(), arena.idle()), (0, MIB));
            make(1, 2);
            assert_eq!(bytes[0], 1);
        });
        assert!(read.is_some());
        assert_eq!((arena.live(), arena.idle()), (0, 2 * MIB));
        make(2, 3);
        assert!(arena.with_copy(of(0), Fingerprint(1), |_| ()).is_none());
        assert!(arena.with_copy(of(0), Fingerprint(2), |bytes| assert_eq!(bytes[0], 3)).is_some());
        let buffers: Vec<_> = (0..4).map(|_| arena.alloc(MIB as usize).unwrap()).collect();
        assert!(!arena.has_copy(of(0)));
        drop(buffers);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let fill = |_: &mut [u8]| std::panic::resume_unwind(Box::new("no"));
            arena.make_copy(of(0), Fingerprint(3), MIB as usize, arena.now(), fill);
        }));
        assert!(panicked.is_err() && !arena.has_copy(of(0)));
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
            arena.with_copy(of(0), VERSION, |_| {
                begun.wait();
                std::thread::sleep(std::time::Duration::from_millis(20));
                ended.store(true, std::sync::atomic::Ordering::SeqCst);
            });
            other.join().unwrap();
        });
        assert!(arena.peak() <= arena.limit());
    }
}
