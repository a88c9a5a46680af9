//! The arena: every buffer that a chunk lives in, under one limit.
//!
//! A buffer of 4 KiB or more is an anonymous mapping of its own. Dropped, it stays resident and
//! waits on an idle list for the next buffer of exactly its size: fresh memory must be
//! faulted in and zeroed, which costs more than most work on a chunk. Chunks come in few
//! sizes, so exact sizes meet again. When another size needs the bytes, the ranges that have
//! been idle longest are given back first: unmapped, or, if they are short, emptied in place
//! (`MADV_DONTNEED`) and kept as addresses without memory. Neighbours then stay one area of
//! the 65,530 that Linux grants a process: with half of 210,000 buffers of 10 KiB given back,
//! 46 areas instead of 57,004.
//!
//! The limit is on what the operating system sees: `live + idle ≤ limit`, at every instant, where
//! bytes being given back still count as idle, and those that are copied from or to (`copies`). That takes
//! time in proportion to the pages, so it happens without the lock; whoever needs those very bytes waits for
//! that, and for nothing else.

mod buffer;
mod copies;

pub use buffer::Buffer;
pub(crate) use copies::{Age, CopyOf};

use super::{
    format_bytes,
    pages::{HEAP_OVERHEAD, Heap, LINE, Range, page},
};
use crate::sync::{Condvar, Mutex, MutexGuard, lock};
use buffer::Block;
use copies::{Copies, Label};
use freeboard_formats::{ErrorKind, FormatError, Result};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::{
        Arc, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// From this length on, in bytes, a buffer is a mapping; below, a block of the heap. As low as
/// a page, since what the allocator keeps of freed blocks is resident and counted nowhere:
/// of random blocks of up to 64 KiB, 256 MiB of them, glibc kept 202 MiB when all were freed.
const MAPPED: usize = 4096;

/// A limit on bytes, and the buffers under it. Clones are the same arena.
#[derive(Clone)]
pub struct Arena(Arc<Shared>);

struct Shared {
    limit: AtomicU64,
    state: Mutex<State>,
    /// Notified when bytes have been given back.
    given_back: Condvar,
}

#[derive(Default)]
struct State {
    /// Bytes of buffers that somebody owns, and those that count as such.
    live: u64,
    /// Bytes of ranges on the idle list.
    idle: u64,
    /// Bytes taken off the idle list and not yet given back.
    leaving: u64,
    /// Bytes of copies that are made or read.
    lent: u64,
    /// The most that all of these have been.
    peak: u64,
    /// Idle ranges by the time at which they became so, a running number.
    by_age: BTreeMap<u64, Range>,
    /// Those numbers, oldest first, by accounted size; without those of copies.
    by_size: HashMap<u64, VecDeque<u64>>,
    copies: Copies,
    clock: u64,
    /// Ranges that have addresses and no memory, by accounted size.
    empty: HashMap<u64, Vec<Range>>,
}

/// All arenas of the process.
fn arenas() -> std::sync::MutexGuard<'static, Vec<Weak<Shared>>> {
    static ARENAS: std::sync::Mutex<Vec<Weak<Shared>>> = std::sync::Mutex::new(Vec::new());
    ARENAS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the idle bytes of all arenas but `own` back to the operating system.
pub(crate) fn trim_others(own: &Arena) {
    let others: Vec<Arc<Shared>> = arenas().iter().filter_map(Weak::upgrade).collect();
    for other in others.into_iter().filter(|other| !Arc::ptr_eq(other, &own.0)) {
        Arena(other).trim();
    }
}

impl Arena {
    /// An arena of `limit` bytes; it takes nothing yet.
    pub fn new(limit: u64) -> Arena {
        let state = Mutex::default();
        let shared = Shared { limit: AtomicU64::new(limit), state, given_back: Condvar::new() };
        let arena = Arena(Arc::new(shared));
        let mut all = arenas();
        all.retain(|arena| arena.strong_count() > 0);
        all.push(Arc::downgrade(&arena.0));
        drop(all);
        arena
    }

    /// The most bytes that may be live and idle together.
    pub fn limit(&self) -> u64 {
        self.0.limit()
    }

    /// Sets another limit, and gives idle ranges back that do not fit under it. Live buffers
    /// beyond it stay; until they are dropped nothing is handed out.
    pub fn resize(&self, limit: u64) {
        self.0.limit.store(limit, Relaxed);
        let state = self.0.lock();
        let excess = (state.live + state.idle).saturating_sub(limit);
        drop(self.0.give_back(state, excess));
    }

    /// The bytes that a buffer of `len` is accounted at (saturating): whole pages for a mapping;
    /// whole lines of 64 bytes and a fixed overhead for a heap block; nothing for nothing.
    pub fn rounded(len: u64) -> u64 {
        const LAST_SMALL: u64 = MAPPED as u64 - 1;
        match len {
            0 => 0,
            1..=LAST_SMALL => len.next_multiple_of(LINE as u64) + HEAP_OVERHEAD as u64,
            _ => len.checked_next_multiple_of(page() as u64).unwrap_or(u64::MAX),
        }
    }

    /// Whether a buffer that is accounted at `size` is a block of the heap: what the allocator keeps of it when
    /// it is freed stays resident.
    pub(crate) fn is_heap(size: u64) -> bool {
        // Pages are whole lines; whole lines and the overhead of a block are not.
        const { assert!(!HEAP_OVERHEAD.is_multiple_of(LINE)) };
        !size.is_multiple_of(LINE as u64)
    }

    /// A buffer of `len` bytes, their values unspecified. Waits at most for idle ranges to be
    /// given back, or copied.
    ///
    /// # Errors
    /// [`ErrorKind::StorageFull`] if live buffers leave no room for it, which does not happen to
    /// who was granted the bytes; or if the operating system refuses memory.
    pub fn alloc(&self, len: usize) -> Result<Buffer> {
        let size = Arena::rounded(len as u64);
        let reused = self.reserve(size, true)?;
        let block = match reused {
            Some(range) => Ok(Block::Mapped(range)),
            None if len < MAPPED => Ok(Block::Heap(Heap::new(len))),
            None => Range::map(size).map(Block::Mapped),
        };
        match block {
            Ok(block) => Ok(Buffer::new(block, len, self.0.clone())),
            Err(error) => {
                self.0.lock().live -= size;
                Err(FormatError::new(
                    ErrorKind::StorageFull,
                    format!("the operating system refused {} of memory", format_bytes(size)),
                )
                .help(
                    "give a smaller memory limit, or look for a limit on address space or mappings",
                )
                .because(error))
            }
        }
    }

    /// Counts `bytes` as live that lie elsewhere.
    pub(super) fn count(&self, bytes: u64) -> Result<()> {
        self.reserve(bytes, false).map(drop)
    }

    /// Counts so many of these no longer.
    pub(super) fn discount(&self, bytes: u64) {
        self.0.lock().live -= bytes;
    }

    /// Counts `size` bytes as live. Where they are for a buffer, with a range of that size if one is idle or
    /// empty; else nothing is mapped yet, but there is room for it.
    fn reserve(&self, size: u64, buffer: bool) -> Result<Option<Range>> {
        let mut state = self.0.lock();
        loop {
            let live = state.live.saturating_add(size);
            if live > self.0.limit() {
                return Err(self.exceeded(size, state.live));
            }
            if buffer && let Some(range) = state.take_idle(size) {
                state.live = live;
                return Ok(Some(range));
            }
            // Both below the limit, thus far from overflow.
            let excess = (live + state.idle + state.lent).saturating_sub(self.0.limit());
            if excess > 0 && buffer && state.is_oldest_of(size) {
                // A copy, which has to go in any case.
                state.live = live;
                return Ok(state.oldest());
            }
            if excess > 0 && state.idle > 0 {
                state = self.0.give_back(state, excess);
            } else if live + state.idle + state.lent + state.leaving > self.0.limit() {
                state = self.0.given_back.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                state.live = live;
                state.saw_peak();
                let empty = state.empty.get_mut(&size).filter(|_| buffer);
                return Ok(empty.and_then(Vec::pop));
            }
        }
    }

    fn exceeded(&self, size: u64, live: u64) -> FormatError {
        FormatError::new(
            ErrorKind::StorageFull,
            format!(
                "a buffer of {} does not fit: {} of {} are in use",
                format_bytes(size),
                format_bytes(live),
                format_bytes(self.0.limit())
            ),
        )
        .help("give more memory, or smaller chunks")
    }

    /// Accounted bytes of buffers that somebody owns, and those that are held for what lies elsewhere.
    pub fn live(&self) -> u64 {
        self.0.lock().live
    }

    /// Accounted bytes that are mapped and that nobody owns.
    pub fn idle(&self) -> u64 {
        let state = self.0.lock();
        state.idle + state.leaving + state.lent
    }

    /// The most that live and idle bytes together have been.
    pub fn peak(&self) -> u64 {
        self.0.lock().peak
    }

    /// Gives all idle bytes back to the operating system.
    pub fn trim(&self) {
        drop(self.0.give_back(self.0.lock(), u64::MAX));
    }
}

impl Shared {
    fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Gives idle ranges back, the oldest first, until `bytes` of them are gone or none is left.
    /// The lock is released meanwhile.
    fn give_back<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        bytes: u64,
    ) -> MutexGuard<'a, State> {
        let mut ranges = Vec::new();
        let mut taken = 0;
        while taken < bytes
            && let Some(range) = state.oldest()
        {
            taken += range.size();
            ranges.push(range);
        }
        state.leaving += taken;
        drop(state);
        let emptied: Vec<Range> = ranges.into_iter().filter_map(Range::empty).collect();
        let mut state = self.lock();
        for range in emptied {
            state.empty.entry(range.size()).or_default().push(range);
        }
        state.leaving -= taken;
        self.given_back.notify_all();
        state
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let idle = std::mem::take(&mut state.by_age).into_values();
        let empty = std::mem::take(&mut state.empty).into_values().flatten();
        let mut ranges: Vec<Range> = idle.chain(empty).collect();
        // From one end to the other, so that no holes come to be.
        ranges.sort_unstable_by_key(|range| range.address());
        ranges.into_iter().for_each(drop);
    }
}

impl State {
    /// The range of `size` that became idle last: its pages may still be in the cache.
    fn take_idle(&mut self, size: u64) -> Option<Range> {
        let ages = self.by_size.get_mut(&size)?;
        let age = ages.pop_back()?;
        if ages.is_empty() {
            self.by_size.remove(&size);
        }
        self.idle -= size;
        self.by_age.remove(&age)
    }

    fn is_oldest_of(&self, size: u64) -> bool {
        self.by_age.first_key_value().is_some_and(|(_, range)| range.size() == size)
    }

    fn oldest(&mut self) -> Option<Range> {
        let (age, range) = self.by_age.pop_first()?;
        let size = range.size();
        // The oldest of all is the oldest of its size.
        if self.copies.remove(age).is_none()
            && let Some(ages) = self.by_size.get_mut(&size)
        {
            ages.pop_front();
            if ages.is_empty() {
                self.by_size.remove(&size);
            }
        }
        self.idle -= size;
        Some(range)
    }

    /// A range becomes idle; what it is a copy of, unless there is such a copy already.
    fn put_idle(&mut self, range: Range, label: Option<Label>) {
        self.clock += 1;
        self.idle += range.size();
        if !label.is_some_and(|label| self.copies.add(self.clock, label)) {
            self.by_size.entry(range.size()).or_default().push_back(self.clock);
        }
        self.by_age.insert(self.clock, range);
    }

    /// Bytes that may be resident.
    fn taken(&self) -> u64 {
        self.live + self.idle + self.leaving + self.lent
    }

    fn saw_peak(&mut self) {
        self.peak = self.peak.max(self.taken());
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("Arena")
            .field("limit", &self.0.limit())
            .field("live", &state.live)
            .field("idle", &state.idle)
            .field("leaving", &state.leaving)
            .field("peak", &state.peak)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{KIB, MIB, pages::HUGE};
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn lengths_are_rounded_to_what_they_take() {
        let page = page() as u64;
        let table: [(u64, u64); 9] = [
            (0, 0),
            (1, 144),
            (64, 144),
            (65, 208),
            (4 * KIB - 1, 4 * KIB + 80),
            (4 * KIB, page),
            (64 * KIB + 1, 64 * KIB + page),
            (3 * MIB, 3 * MIB),
            (u64::MAX, u64::MAX),
        ];
        for (len, rounded) in table {
            assert_eq!(Arena::rounded(len), rounded, "{len}");
            let heap = (1..4 * KIB).contains(&len);
            assert!(Arena::is_heap(rounded) == heap || len == u64::MAX, "{len}");
        }
    }

    #[test]
    fn buffers_are_aligned_and_as_long_as_asked() {
        let arena = Arena::new(64 * MIB);
        for len in [0, 1, 63, 64, 1000, 4095, 4096, 65_537, 2 << 20, (5 << 20) + 3] {
            let mut buffer = arena.alloc(len).unwrap();
            assert_eq!((buffer.len(), buffer.as_mut_slice().len()), (len, len));
            buffer.fill(7);
            assert!(buffer.padded().len() >= len && buffer.iter().all(|b| *b == 7));
            let align = match len {
                0 => 1,
                1..MAPPED => LINE,
                MAPPED..HUGE => page(),
                _ => HUGE,
            };
            assert_eq!(buffer.as_ptr().addr() % align, 0, "{len}");
            if len >= MAPPED {
                assert_eq!(buffer.padded().len() as u64, buffer.accounted());
            }
        }
        assert_eq!(arena.live(), 0);
    }

    #[test]
    fn idle_ranges_are_used_again_and_the_oldest_make_room() {
        let arena = Arena::new(8 * MIB);
        let [a, b, c] = [1, 2, 3].map(|n| arena.alloc(n << 20).unwrap());
        let place = b.as_ptr().addr();
        for buffer in [a, b, c] {
            drop(buffer);
        }
        assert_eq!((arena.live(), arena.idle()), (0, 6 * MIB));
        let again = arena.alloc((2 << 20) - 5).unwrap();
        assert_eq!(again.as_ptr().addr(), place);
        assert_eq!((arena.live(), arena.idle()), (2 * MIB, 4 * MIB));
        // 2 live and 4 idle leave 2: the range of 1 MiB became idle first.
        let more = arena.alloc(5 << 19).unwrap();
        assert_eq!((arena.live(), arena.idle()), (9 * MIB / 2, 3 * MIB));
        assert!(arena.peak() <= arena.limit());
        arena.trim();
        assert_eq!(arena.idle(), 0);
        drop((again, more));
        assert_eq!((arena.live(), arena.idle()), (0, 9 * MIB / 2));
    }

    #[test]
    fn over_the_limit_is_an_error_that_says_so() {
        let arena = Arena::new(MIB);
        let held = arena.alloc(600 << 10).unwrap();
        let error = arena.alloc(500 << 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        for part in ["500 KiB", "600 KiB", "1 MiB"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(arena.alloc(usize::MAX).is_err());
        drop(held);
        assert!(arena.alloc(1 << 20).is_ok());
        // No limit is no memory: what the system refuses is not counted.
        let endless = Arena::new(u64::MAX);
        assert_eq!(endless.alloc(1 << 60).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(endless.live(), 0);
    }

    #[test]
    fn live_buffers_never_overlap() {
        let arena = Arena::new(32 * MIB);
        let mut live: Vec<Buffer> = Vec::new();
        for step in 0..200_u64 {
            let len = 1 + (step.wrapping_mul(2_654_435_761) >> 3) as usize % (3 << 20);
            let mut buffer = loop {
                match arena.alloc(len) {
                    Ok(buffer) => break buffer,
                    Err(_) => drop(live.remove(0)),
                }
            };
            buffer.fill(step as u8);
            live.push(buffer);
        }
        let values: HashSet<u8> = live.iter().map(|b| b[0]).collect();
        assert_eq!(values.len(), live.len());
        assert!(live.iter().all(|b| b.iter().all(|v| *v == b[0])));
    }

    #[test]
    fn short_ranges_are_emptied_in_place_and_used_again() {
        let arena = Arena::new(MIB);
        let mut buffer = arena.alloc(300 << 10).unwrap();
        buffer.fill(1);
        let place = buffer.as_ptr().addr();
        drop(buffer);
        // Takes all there is.
        drop(arena.alloc(1 << 20).unwrap());
        assert_eq!(arena.idle(), MIB);
        let again = arena.alloc(300 << 10).unwrap();
        assert_eq!((arena.live(), arena.idle()), (300 * KIB, 0));
        if cfg!(target_os = "linux") {
            assert_eq!(again.as_ptr().addr(), place);
            assert!(again.iter().all(|b| *b == 0), "the memory was given back");
        }
        let state = arena.0.lock();
        assert!(state.by_size.is_empty() && state.by_age.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn accounting_is_exact_from_two_threads(
            plans in prop::collection::vec(
                prop::collection::vec((any::<bool>(), 0..400_000_usize, any::<prop::sample::Index>()), 1..150),
                2,
            ),
        ) {
            // Each thread keeps to half of the arena, so that every alloc is one that was granted.
            let arena = Arena::new(8 * MIB);
            let held = std::thread::scope(|scope| {
                let work = |plan: &Vec<(bool, usize, prop::sample::Index)>| {
                    let mut mine: Vec<Buffer> = Vec::new();
                    let mut bytes = 0;
                    for (keep, len, pick) in plan {
                        let size = Arena::rounded(*len as u64);
                        if *keep && bytes + size <= 4 * MIB {
                            mine.push(arena.alloc(*len).expect("within the grant"));
                            bytes += size;
                        } else if !mine.is_empty() {
                            bytes -= mine.swap_remove(pick.index(mine.len())).accounted();
                        }
                    }
                    (mine, bytes)
                };
                let threads: Vec<_> = plans.iter().map(|plan| scope.spawn(move || work(plan))).collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>()
            });
            prop_assert_eq!(arena.live(), held.iter().map(|(_, bytes)| bytes).sum::<u64>());
            prop_assert!(arena.live() + arena.idle() <= arena.limit());
            prop_assert!(arena.peak() <= arena.limit());
            drop(held);
            prop_assert_eq!(arena.live(), 0);
            arena.trim();
            prop_assert_eq!(arena.idle(), 0);
        }
    }

    /// Two threads write every page of random buffers in a process of their own, so that
    /// nothing else is in the count.
    #[test]
    #[cfg(target_os = "linux")]
    fn resident_memory_stays_under_the_limit() {
        const CHILD: &str = "FREEBOARD_TEST_RESIDENT";
        if std::env::var_os(CHILD).is_some() {
            return churn();
        }
        let (_, module) = module_path!().split_once("::").expect("a path in the crate");
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([&format!("{module}::resident_memory_stays_under_the_limit"), "--exact"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }

    #[cfg(target_os = "linux")]
    fn churn() {
        use crate::memory::{peak_resident, resident};
        let arena = Arena::new(96 * MIB);
        let before = resident().unwrap();
        std::thread::scope(|scope| {
            for seed in [1_u64, 2] {
                let arena = &arena;
                scope.spawn(move || {
                    let mut random = seed;
                    let mut mine = VecDeque::new();
                    let mut bytes = 0;
                    for _ in 0..300 {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let len = MIB + (random >> 33) % (15 * MIB);
                        while bytes + Arena::rounded(len) > 48 * MIB {
                            let oldest: Buffer = mine.pop_front().unwrap();
                            bytes -= oldest.accounted();
                        }
                        let mut buffer = arena.alloc(len as usize).unwrap();
                        buffer.padded_mut().chunks_mut(512).for_each(|page| page[0] = 1);
                        bytes += buffer.accounted();
                        mine.push_back(buffer);
                    }
                });
            }
        });
        assert!(arena.peak() > 90 * MIB && arena.peak() <= 96 * MIB);
        let held = peak_resident().unwrap() - before;
        assert!(held > 80 * MIB && held <= 98 * MIB, "{held} bytes were resident");
    }
}
