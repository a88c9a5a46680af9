//! Which parts of a slab are taken: a pure best-fit allocator of extents.
//!
//! Best fit, because chunks come in a few sizes: what one of them frees fits the next one
//! exactly, and the slab stays as long as the most that was ever live. Freed neighbours are joined at once.
//! The slab only grows; its end never passes the quota.

use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// Extents start at, and are as long as, multiples of this: what direct I/O asks for.
pub const ALIGN: u64 = 4096;

/// The extents of one slab, live and free; offsets and lengths are in bytes.
#[derive(Clone, Debug)]
pub struct Extents {
    quota: u64,
    end: u64,
    live: BTreeMap<u64, u64>,
    live_bytes: u64,
    /// Free extents by place, to join neighbours; no two touch.
    free: BTreeMap<u64, u64>,
    /// The same ones as (length, offset), to find the best fit.
    by_len: BTreeSet<(u64, u64)>,
}

impl Extents {
    /// An empty slab that may grow to `quota` bytes (rounded down to whole extents).
    pub fn new(quota: u64) -> Extents {
        // File offsets are signed.
        let quota = quota.min(i64::MAX as u64);
        Extents {
            quota: quota - quota % ALIGN,
            end: 0,
            live: BTreeMap::new(),
            live_bytes: 0,
            free: BTreeMap::new(),
            by_len: BTreeSet::new(),
        }
    }

    /// The offset of a new extent of at least `len` bytes, or `None` if no free extent is so
    /// long and the slab may not grow by enough. An empty extent takes nothing.
    pub fn alloc(&mut self, len: u64) -> Option<u64> {
        let len = len.checked_next_multiple_of(ALIGN)?;
        if len == 0 {
            return Some(0);
        }
        let offset = match self.by_len.range((len, 0)..).next().copied() {
            Some((found, offset)) => {
                self.remove_free(offset, found);
                if found > len {
                    self.insert_free(offset + len, found - len);
                }
                offset
            }
            None => {
                // Grow, from the start of a free extent that touches the end.
                let tail = self.tail();
                let offset = self.end - tail;
                let end = offset.checked_add(len).filter(|end| *end <= self.quota)?;
                if tail > 0 {
                    self.remove_free(offset, tail);
                }
                self.end = end;
                offset
            }
        };
        self.live.insert(offset, len);
        self.live_bytes += len;
        Some(offset)
    }

    /// New extents of at least `len` bytes together, as (offset, length): one, unless only
    /// several shorter ones can be had. `None`, and nothing taken, if they are not [`Extents::available`].
    pub fn gather(&mut self, len: u64) -> Option<SmallVec<[(u64, u64); 1]>> {
        let mut left =
            len.checked_next_multiple_of(ALIGN).filter(|len| *len <= self.available())?;
        let mut all = SmallVec::new();
        while left > 0 {
            let part = left.min(self.longest());
            all.push((self.alloc(part)?, part));
            left -= part;
        }
        Some(all)
    }

    /// Gives the end of the extent at `offset` back, so that `len` bytes of it stay, and says
    /// whether there was one of more than these.
    pub fn shrink(&mut self, offset: u64, len: u64) -> bool {
        let len = len.next_multiple_of(ALIGN);
        match self.live.get_mut(&offset) {
            Some(had) if len < *had && len > 0 => {
                let rest = std::mem::replace(had, len) - len;
                self.live_bytes -= rest;
                self.join(offset + len, rest);
                true
            }
            _ => false,
        }
    }

    /// Gives the extent at `offset` back, and says whether there was one.
    pub fn free(&mut self, offset: u64) -> bool {
        let Some(len) = self.live.remove(&offset) else { return false };
        self.live_bytes -= len;
        self.join(offset, len);
        true
    }

    /// Makes what is live no more a free extent, one with its neighbours.
    fn join(&mut self, offset: u64, mut len: u64) {
        let mut start = offset;
        if let Some(after) = self.free.get(&(offset + len)).copied() {
            self.remove_free(offset + len, after);
            len += after;
        }
        let before = self.free.range(..offset).next_back().map(|(at, len)| (*at, *len));
        if let Some((at, before)) = before.filter(|(at, len)| at + len == offset) {
            self.remove_free(at, before);
            start = at;
            len += before;
        }
        self.insert_free(start, len);
    }

    /// The most bytes that the slab may have.
    pub fn quota(&self) -> u64 {
        self.quota
    }

    /// Bytes of live extents, rounded as they are.
    pub fn live(&self) -> u64 {
        self.live_bytes
    }

    /// The length of the slab.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes that could be had now, in one extent or in several.
    pub fn available(&self) -> u64 {
        self.quota - self.live_bytes
    }

    /// The longest extent that could be had now.
    fn longest(&self) -> u64 {
        let longest = self.by_len.last().map_or(0, |(len, _)| *len);
        longest.max(self.quota - self.end + self.tail())
    }

    /// The length of the free extent that touches the end; 0 if there is none.
    fn tail(&self) -> u64 {
        let last = self.free.last_key_value();
        last.filter(|(at, len)| **at + **len == self.end).map_or(0, |(_, len)| *len)
    }

    fn insert_free(&mut self, offset: u64, len: u64) {
        self.free.insert(offset, len);
        self.by_len.insert((len, offset));
    }

    fn remove_free(&mut self, offset: u64, len: u64) {
        self.free.remove(&offset);
        self.by_len.remove(&(len, offset));
    }

    /// Checks invariant 8: live extents are disjoint, free and live ones together are the
    /// slab, joined and aligned, and the slab is within its quota. Walks everything.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn check(&self) -> Result<(), String> {
        let mut all: Vec<(u64, u64, bool)> =
            self.live.iter().map(|(a, l)| (*a, *l, true)).collect();
        all.extend(self.free.iter().map(|(a, l)| (*a, *l, false)));
        all.sort_unstable();
        let mut end = 0;
        let mut was_live = true;
        for (at, len, live) in all {
            if at != end {
                return Err(format!(
                    "the extent at {at} does not start where another ends, at {end}"
                ));
            }
            if len == 0 || len % ALIGN != 0 {
                return Err(format!("the extent at {at} is {len} bytes long"));
            }
            if !live && !was_live {
                return Err(format!("free extents touch at {at}"));
            }
            (end, was_live) = (at + len, live);
        }
        if end != self.end || end > self.quota {
            return Err(format!(
                "extents end at {end}, the slab at {}, quota {}",
                self.end, self.quota
            ));
        }
        if self.live.values().sum::<u64>() != self.live_bytes {
            return Err(format!("{} live bytes are miscounted", self.live_bytes));
        }
        let twice: BTreeSet<_> = self.free.iter().map(|(at, len)| (*len, *at)).collect();
        if twice != self.by_len {
            return Err("the two lists of free extents differ".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_best_fit_is_taken_and_neighbours_join() {
        let mut extents = Extents::new(1 << 20);
        let at: Vec<u64> = [3, 1, 2, 1, 1].map(|n| extents.alloc(n * ALIGN).unwrap()).into();
        assert_eq!(at, [0, 3, 4, 6, 7].map(|n| n * ALIGN));
        extents.free(at[0]);
        extents.free(at[2]);
        // Two pages fit the hole of two better than that of three.
        assert_eq!(extents.alloc(2 * ALIGN), Some(at[2]));
        extents.free(at[2]);
        extents.free(at[1]);
        extents.check().unwrap();
        assert_eq!(extents.longest(), (1 << 20) - 8 * ALIGN);
        // 3 + 1 + 2 have become one hole of six.
        assert_eq!(extents.alloc(6 * ALIGN), Some(0));
        assert_eq!((extents.live(), extents.end()), (8 * ALIGN, 8 * ALIGN));
    }

    #[test]
    fn the_slab_grows_from_its_free_tail_and_never_over_the_quota() {
        let mut extents = Extents::new(4 * ALIGN + 17);
        let first = extents.alloc(2 * ALIGN).unwrap();
        assert_eq!(extents.alloc(3 * ALIGN), None);
        extents.free(first);
        assert_eq!(extents.available(), 4 * ALIGN);
        assert_eq!(extents.alloc(4 * ALIGN), Some(0));
        assert_eq!((extents.alloc(1), extents.available()), (None, 0));
        assert_eq!(extents.alloc(0), Some(0));
        assert_eq!(extents.alloc(u64::MAX), None);
        assert!(extents.free(0) && !extents.free(0) && !extents.free(ALIGN));
        extents.check().unwrap();
    }

    #[test]
    fn what_is_not_to_be_had_in_one_is_gathered() {
        let mut extents = Extents::new(10 * ALIGN);
        let at: Vec<u64> = [2, 1, 3, 1, 3].map(|n| extents.alloc(n * ALIGN).unwrap()).into();
        for i in [0, 2] {
            assert!(extents.free(at[i]));
        }
        assert_eq!(extents.alloc(4 * ALIGN), None);
        assert_eq!((extents.gather(5 * ALIGN + 1), extents.live()), (None, 5 * ALIGN));
        let got = extents.gather(4 * ALIGN + 1).unwrap();
        assert_eq!(got[..], [(at[2], 3 * ALIGN), (at[0], 2 * ALIGN)]);
        assert_eq!((extents.gather(1), extents.gather(0)), (None, Some(SmallVec::new())));
        extents.check().unwrap();
        // The end of one, beside a free neighbour.
        assert!(extents.free(at[3]));
        assert!(extents.shrink(at[2], ALIGN + 1));
        extents.check().unwrap();
        assert_eq!((extents.longest(), extents.available()), (2 * ALIGN, 2 * ALIGN));
        assert!(!extents.shrink(at[2], 2 * ALIGN) && !extents.shrink(at[3], ALIGN));
        assert_eq!(extents.alloc(2 * ALIGN), Some(at[2] + 2 * ALIGN));
    }

    proptest! {
        #[test]
        fn random_use_keeps_the_invariants(
            quota in 0..200 * ALIGN,
            steps in prop::collection::vec((0..5u8, 0..20 * ALIGN, any::<prop::sample::Index>()), 0..300),
        ) {
            let mut extents = Extents::new(quota);
            let mut live: Vec<(u64, u64)> = Vec::new();
            for (step, len, pick) in steps {
                let rounded = len.next_multiple_of(ALIGN);
                let mut got = Vec::new();
                match step {
                    0 | 1 => {
                        let longest = extents.longest();
                        match extents.alloc(len) {
                            Some(_) if len == 0 => {}
                            Some(at) => got.push((at, rounded)),
                            None => prop_assert!(len > longest),
                        }
                        prop_assert!(got.is_empty() || len <= longest);
                    }
                    2 => {
                        let available = extents.available();
                        match extents.gather(len) {
                            Some(parts) => got.extend(parts),
                            None => prop_assert!(rounded > available),
                        }
                        let sum = got.iter().map(|(_, len)| len).sum::<u64>();
                        prop_assert!(got.is_empty() || sum == rounded);
                    }
                    _ if live.is_empty() => {}
                    3 => {
                        let (at, had) = pick.get_mut(&mut live[..]);
                        let shrunk = extents.shrink(*at, len);
                        prop_assert_eq!(shrunk, rounded > 0 && rounded < *had);
                        *had = if shrunk { rounded } else { *had };
                    }
                    _ => {
                        let (at, _) = live.swap_remove(pick.index(live.len()));
                        prop_assert!(extents.free(at));
                    }
                }
                for (at, len) in got {
                    prop_assert!(live.iter().all(|(a, l)| at + len <= *a || a + l <= at));
                    live.push((at, len));
                }
                prop_assert_eq!(extents.check(), Ok(()));
                prop_assert_eq!(extents.live(), live.iter().map(|(_, l)| l).sum::<u64>());
            }
        }
    }
}
