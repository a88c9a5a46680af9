//! How fast scratch is, as the threads that wait for it find it; and so what is worth packing.
//!
//! Two ways of going to scratch could be compared by taking each now and then, as large writes
//! past the page cache are. Here the content decides as much as the disk does, from chunk to
//! chunk, so both are measured apart: the disk over all recent transfers, and what packing
//! takes and gives on a part of the very chunk. A byte that need not be stored saves the time of
//! writing it once and of reading it once, which is the least that is done with what is spilled;
//! kept arrays are read more often. That is held against the time of the thread that packs. If
//! work is short of disk, transfers crowd there and waits grow, so more is packed; if it is short
//! of processors the disk is quick to answer, and little is.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A rate is that of about so many bytes, the last ones.
const RECENT: f64 = (64 << 20) as f64;

/// The disk is taken to move 1 GB/s until it shows what it does.
const SECONDS_AT_FIRST: f64 = 1e-9;

/// What decoding is reckoned at, beside encoding: at most as much. By then nothing was decoded.
const BOTH_WAYS: f64 = 2.0;

/// How long transfers between a thread and scratch take.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<[Option<Rate>; 2]>);

/// Which way bytes go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Write,
    Read,
}

/// Seconds and bytes, of which those long ago count less.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    seconds: f64,
    bytes: f64,
}

impl Rates {
    /// `bytes` bytes went one way in `spent`.
    pub fn took(&self, way: Way, bytes: u64, spent: Duration) {
        let bytes = bytes as f64;
        let keep = RECENT / (RECENT + bytes);
        let mut rates = self.lock();
        let rate = rates[way as usize].get_or_insert_default();
        rate.seconds = (rate.seconds + spent.as_secs_f64()) * keep;
        rate.bytes = (rate.bytes + bytes) * keep;
    }

    /// The seconds that a thread waits for one byte on its way to scratch and back.
    pub fn worth(&self) -> Worth {
        let rates = *self.lock();
        let [write, read] = rates.map(|rate| rate.map(|rate| rate.seconds / rate.bytes.max(1.0)));
        let write = write.unwrap_or(SECONDS_AT_FIRST);
        Worth(write + read.unwrap_or(write))
    }

    fn lock(&self) -> MutexGuard<'_, [Option<Rate>; 2]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A disk that everything pays on whose bytes become fewer.
    #[cfg(test)]
    pub fn infinitely_slow() -> Rates {
        Rates(Mutex::new([Some(Rate { seconds: f64::INFINITY, bytes: 1.0 }); 2]))
    }
}

/// What it is worth to store a byte less, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worth(f64);

impl Worth {
    /// Whether it pays to make `packed` of `plain` bytes in `spent`.
    pub fn pays(self, plain: usize, packed: usize, spent: Duration) -> bool {
        packed < plain && (plain - packed) as f64 * self.0 > BOTH_WAYS * spent.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_slow_disk_is_worth_more_and_the_last_bytes_count_most() {
        let rates = Rates::default();
        let millis = |n| Duration::from_millis(n);
        // A MiB in 0.5 ms saves more than it takes at 1 GB/s, twice, by half a MiB.
        assert!(rates.worth().pays(MIB as usize, MIB as usize / 2, Duration::from_micros(500)));
        assert!(!rates.worth().pays(MIB as usize, MIB as usize * 9 / 10, millis(1)));
        assert!(!rates.worth().pays(MIB as usize, MIB as usize, Duration::ZERO));
        for _ in 0..200 {
            rates.took(Way::Write, 8 * MIB, millis(80));
        }
        let slow = rates.worth().0;
        assert!((slow * (MIB as f64) - 0.020).abs() < 1e-4, "reads are taken for as slow: {slow}");
        rates.took(Way::Read, 8 * MIB, millis(1));
        assert!(rates.worth().0 < slow * 0.6);
        for _ in 0..200 {
            rates.took(Way::Write, 8 * MIB, millis(1));
        }
        // A page that takes its time says nothing of the disk.
        rates.took(Way::Write, 4096, millis(1));
        assert!(rates.worth().0 < slow * 0.05);
    }
}
