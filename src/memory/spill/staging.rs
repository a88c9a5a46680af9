//! Memory through which packed chunks go: a fixed part of a chunk at a time, whatever its length.
//!
//! Few of these are enough, however many threads there are: four pack several GB/s and keep the
//! disk asked for 4 MiB, and who waits for one waits for bytes that are moving. They are made
//! when they are first needed, lie beside the arena, in what a session leaves for such things,
//! and stay until the scratch is dropped.

use super::packed::{Packer, ROOM, SHUFFLED};
use crate::{
    memory::pages::{Range, page},
    sync::{Condvar, Mutex, lock},
};
use freeboard_formats::wait::wait;
use lz4_flex::block::CompressTable;
use std::{
    fmt, io,
    ops::{Deref, DerefMut},
    sync::PoisonError,
};

/// How many there are at most: together 6.3 MiB.
const MOST: usize = 4;

/// What is moved at a time. Longer transfers are hardly faster.
pub(super) const PIECE: usize = 1 << 20;

/// Memory for one thread that packs or unpacks.
pub(super) struct Staging {
    range: Range,
    table: CompressTable,
}

impl Staging {
    fn new() -> io::Result<Staging> {
        let len = (SHUFFLED + ROOM + PIECE).next_multiple_of(page());
        Ok(Staging { range: Range::map(len as u64)?, table: CompressTable::small() })
    }

    /// What packs elements of so many bytes, and what it packs into: [`ROOM`] bytes longer than a
    /// [`PIECE`], and aligned as direct I/O asks for.
    pub fn packer(&mut self, element: usize) -> (Packer<'_>, &mut [u8]) {
        let (shuffled, stored) = self.range.bytes_mut().split_at_mut(SHUFFLED);
        (Packer::new(element, shuffled, &mut self.table), stored)
    }

    /// Where shuffled bytes go, and where stored ones come from. The [`PIECE`] behind the first
    /// [`ROOM`] bytes of the latter is aligned as well.
    pub fn unpacker(&mut self) -> (&mut [u8], &mut [u8]) {
        self.range.bytes_mut().split_at_mut(SHUFFLED)
    }
}

/// All of a [`Spill`](super::Spill).
#[derive(Default)]
pub(super) struct Pool {
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Staging>,
    /// Those and the lent ones.
    made: usize,
}

impl State {
    /// One that is idle, or none but the right to make one; `None` while all are lent.
    fn next(&mut self) -> Option<Option<Staging>> {
        if let Some(staging) = self.idle.pop() {
            return Some(Some(staging));
        }
        (self.made < MOST).then(|| {
            self.made += 1;
            None
        })
    }
}

impl Pool {
    /// One of them, as soon as there is one.
    ///
    /// # Errors
    /// If the operating system has no memory for it.
    pub fn take(&self) -> io::Result<Lent<'_>> {
        let next = lock(&self.state).next();
        // Who has them waits for the disk mostly: this is part of that wait.
        let staging = next.unwrap_or_else(|| wait(|| self.returned()));
        let mut lent = Lent { pool: self, staging };
        if lent.staging.is_none() {
            lent.staging = Some(Staging::new()?);
        }
        Ok(lent)
    }

    /// The next one that is given back, or the right to make it.
    fn returned(&self) -> Option<Staging> {
        let mut state = lock(&self.state);
        loop {
            match state.next() {
                Some(next) => return next,
                None => {
                    state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// A [`Staging`] that goes back to its pool.
pub(super) struct Lent<'a> {
    pool: &'a Pool,
    /// None while it is made.
    staging: Option<Staging>,
}

impl Deref for Lent<'_> {
    type Target = Staging;

    fn deref(&self) -> &Staging {
        self.staging.as_ref().expect("made, and here until it is dropped")
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Staging {
        self.staging.as_mut().expect("made, and here until it is dropped")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.pool.state);
        match self.staging.take() {
            Some(staging) => state.idle.push(staging),
            None => state.made -= 1,
        }
        drop(state);
        self.pool.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[test]
    fn there_are_few_for_any_number_of_threads() {
        let (pool, now, most) = (Pool::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 * MOST {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let mut staging = pool.take().unwrap();
                        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                        let (shuffled, stored) = staging.unpacker();
                        assert!(shuffled.len() == SHUFFLED && stored.len() >= ROOM + PIECE);
                        assert_eq!((stored.as_ptr().addr() % 4096, ROOM % 4096), (0, 0));
                        now.fetch_sub(1, SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= MOST);
        let state = lock(&pool.state);
        assert!(state.made == state.idle.len() && (1..=MOST).contains(&state.made));
    }
}
