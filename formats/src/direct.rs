//! Large writes of large outputs, in part past the page cache.
//!
//! An output that is larger than what the kernel keeps dirty goes to disk while it is being
//! made. Through the page cache that costs a copy and a page for every 4 KiB, which is all that
//! a processor can do for about 1 GB/s; by direct I/O it costs a wait for the disk. Each way is
//! bound by something that the other leaves idle, so both are used at once: one write of two
//! goes directly, as long as that does not take much longer than the copies do. On a disk that
//! is slow, or a file system that refuses, everything is copied.

use std::{
    fs::File,
    io::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Memory, offset and length of a direct write are multiples of it: no disk of today has
/// larger blocks, and one that had would refuse.
const ALIGN: usize = 4096;

/// Shorter writes are cheap to copy, and dear to wait for.
const LEAST: usize = 1 << 20;

/// How many times as long as a copy a direct write may take: it waits, and leaves processor and
/// memory to the other threads, which copies do not.
const PATIENCE: f64 = 3.0;

/// The weight of the last write among those of its way. One that was slow by chance decides
/// nothing.
const WEIGHT: f64 = 0.125;

/// Copies between two tries of a way that was too slow, for each copy that one takes the time
/// of: what is lost by trying stays below a twentieth.
const PAUSE: f64 = 128.0;

/// Chooses between the two ways, for all files of an output; by default all is copied.
#[derive(Debug, Default)]
pub(crate) struct DirectWrites(Option<Mutex<Choice>>);

impl DirectWrites {
    /// For an output of about `bytes` bytes.
    pub(crate) fn of_output(bytes: u64) -> DirectWrites {
        let large = bytes >= LEAST as u64 && kept_dirty().is_some_and(|kept| bytes > kept);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        DirectWrites(large.then(|| Mutex::new(Choice::new(threads.div_ceil(2)))))
    }

    /// Appends `bytes` to a file that has `len` bytes so far.
    pub(crate) fn append(&self, mut file: &File, len: u64, bytes: &[u8]) -> io::Result<()> {
        let Some(choice) = self.0.as_ref().filter(|_| bytes.len() >= LEAST) else {
            return file.write_all(bytes);
        };
        let aligned = (len as usize | bytes.as_ptr() as usize).is_multiple_of(ALIGN);
        let direct = aligned && lock(choice).begin();
        let begun = Instant::now();
        let whole = bytes.len() / ALIGN * ALIGN;
        let written = match direct {
            // The thread keeps its seat: who stood in for it would copy more than the disk takes.
            true => write_direct(file, &bytes[..whole]),
            false => file.write_all(&bytes[..whole]).map(|()| whole),
        };
        let spent = begun.elapsed();
        lock(choice).end(direct, *written.as_ref().unwrap_or(&0), spent);
        file.write_all(&bytes[written?..])
    }
}

fn lock(choice: &Mutex<Choice>) -> MutexGuard<'_, Choice> {
    choice.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state behind [`DirectWrites`]: told how long writes took, it says how the next one goes.
#[derive(Debug)]
struct Choice {
    /// The most direct writes at a time.
    most: usize,
    under_way: usize,
    /// Seconds a byte, the recent ones weighing more; `None` before the first. The direct way
    /// is taken to be as fast as the other one until it shows.
    copied: Option<f64>,
    direct: Option<f64>,
    /// Writes until the direct way is tried again, after it was too slow.
    pause: u64,
}

impl Choice {
    fn new(most: usize) -> Choice {
        Choice { most, under_way: 0, copied: None, direct: None, pause: 0 }
    }

    /// Whether the next write is to go directly.
    fn begin(&mut self) -> bool {
        if self.under_way >= self.most || self.copied.is_none() {
            return false;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return false;
        }
        self.under_way += 1;
        true
    }

    /// A write moved `bytes` bytes in `spent`; none where the direct way was refused.
    fn end(&mut self, direct: bool, bytes: usize, spent: Duration) {
        let last = match bytes {
            0 => f64::INFINITY,
            _ => spent.as_secs_f64() / bytes as f64,
        };
        let blended = |way: f64| way + WEIGHT * (last - way);
        let Some(copied) = self.copied.filter(|_| direct) else {
            self.copied = Some(self.copied.map_or(last, blended));
            return;
        };
        self.under_way -= 1;
        let ratio = blended(self.direct.unwrap_or(copied)) / copied;
        self.direct = Some(ratio * copied);
        if ratio > PATIENCE {
            (self.direct, self.pause) = (None, (PAUSE * ratio) as u64);
        }
    }
}

/// Writes blocks past the page cache; returns how many bytes of them before the file system
/// refused.
fn write_direct(mut file: &File, blocks: &[u8]) -> io::Result<usize> {
    if !set_direct(file, true) {
        return Ok(0);
    }
    let mut written = 0;
    let outcome = loop {
        match file.write(&blocks[written..]) {
            Ok(0) => break Ok(written),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Also what is said to the rest of a write that was cut short at an odd place.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => break Ok(written),
            Err(error) => break Err(error),
        }
    };
    set_direct(file, false);
    outcome
}

/// Switches a file between the two ways; whether that worked.
fn set_direct(file: &File, on: bool) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
        let switch = |mut flags: OFlags| {
            flags.set(OFlags::DIRECT, on);
            fcntl_setfl(file, flags)
        };
        fcntl_getfl(file).and_then(switch).is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, on);
        false
    }
}

/// Bytes that the kernel keeps in memory before it begins to write them out, if it says so.
fn kept_dirty() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    let pages = text.lines().find_map(|l| l.strip_prefix("nr_dirty_background_threshold "))?;
    Some(pages.trim().parse::<u64>().ok()? * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const MS: Duration = Duration::from_millis(1);

    /// The shares of direct writes among 1000 of a thread, on a disk where one takes as long.
    fn share(copy: Duration, direct: Duration) -> f64 {
        let mut choice = Choice::new(1);
        let went = (0..1000).filter(|_| {
            let way = choice.begin();
            choice.end(way, LEAST, if way { direct } else { copy });
            way
        });
        went.count() as f64 / 1000.0
    }

    #[test]
    fn the_faster_way_is_taken_and_the_other_tried_now_and_then() {
        assert!(share(8 * MS, 5 * MS) > 0.99);
        let slow = share(8 * MS, 50 * MS);
        assert!(slow > 0.0 && slow < 0.02, "{slow}");
    }

    #[test]
    fn a_disk_that_becomes_slow_is_left_and_one_that_recovers_is_taken_again() {
        let mut choice = Choice::new(1);
        let mut directly = |writes, direct: Duration| {
            let went = (0..writes).filter(|_| {
                let way = choice.begin();
                choice.end(way, LEAST, if way { direct } else { 8 * MS });
                way
            });
            went.count()
        };
        assert!(directly(100, 5 * MS) > 90);
        assert!(directly(100, 100 * MS) < 10);
        assert!(directly(10_000, 5 * MS) > 8000);
        // One that is slow by chance.
        assert!(directly(1, 100 * MS) == 1 && directly(100, 5 * MS) == 100);
    }

    #[test]
    fn no_more_go_directly_at_a_time_than_may() {
        let mut choice = Choice::new(2);
        assert!(!choice.begin(), "a copy comes first, to compare with");
        choice.end(false, LEAST, MS);
        assert_eq!([choice.begin(), choice.begin(), choice.begin()], [true, true, false]);
        choice.end(true, LEAST, MS);
        assert!(choice.begin());
    }

    #[test]
    fn a_refusal_leaves_the_copies() {
        let mut choice = Choice::new(1);
        choice.end(false, LEAST, MS);
        assert!(choice.begin());
        choice.end(true, 0, Duration::ZERO);
        assert!(!choice.begin());
    }

    #[test]
    fn files_hold_what_was_written_whichever_way() {
        let folder = tempfile::tempdir().unwrap();
        // A page, 2 MiB that begin at a page of the file, and a tail of no whole page.
        let pages = vec![[7u8; ALIGN]; 2 * (3 << 20) / ALIGN];
        let all: Vec<u8> =
            pages.as_flattened().iter().zip(0u32..).map(|(x, i)| x ^ (i / 977) as u8).collect();
        let start = all.as_ptr().align_offset(ALIGN);
        for (first, second) in [(ALIGN, 2 << 20), (0, (1 << 20) + 5), (100, 2 << 20)] {
            for odd in [0, 64] {
                let path = folder.path().join(format!("{first}-{odd}"));
                let file = File::create(&path).unwrap();
                let writes = DirectWrites(Some(Mutex::new(Choice::new(1))));
                lock(writes.0.as_ref().unwrap()).copied = Some(1.0);
                let bytes = &all[start + odd..][..first + second];
                writes.append(&file, 0, &bytes[..first]).unwrap();
                writes.append(&file, first as u64, &bytes[first..]).unwrap();
                assert!(fs::read(&path).unwrap() == bytes, "{first} {second} {odd}");
                #[cfg(target_os = "linux")]
                {
                    let flags = rustix::fs::fcntl_getfl(&file).unwrap();
                    assert!(!flags.contains(rustix::fs::OFlags::DIRECT), "switched back");
                }
            }
        }
    }

    #[test]
    fn an_output_that_the_kernel_keeps_is_copied() {
        assert!(DirectWrites::of_output(1 << 20).0.is_none());
        let large = DirectWrites::of_output(u64::MAX);
        assert_eq!(large.0.is_some(), kept_dirty().is_some());
    }

    #[test]
    fn a_disk_that_is_full_says_so() {
        let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else { return };
        let writes = DirectWrites(Some(Mutex::new(Choice::new(1))));
        lock(writes.0.as_ref().unwrap()).copied = Some(1.0);
        let bytes = vec![0u8; LEAST + ALIGN];
        let start = bytes.as_ptr().align_offset(ALIGN);
        let error = writes.append(&full, 0, &bytes[start..][..LEAST]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(lock(writes.0.as_ref().unwrap()).under_way, 0);
    }
}
