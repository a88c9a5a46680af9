//! Decorators over any source, for tests: one that counts, one that is slow, one that fails.
//!
//! Each is handed a source and is one; what they watch or break is all that they change.
//! They hold no lock while the source beneath them reads.

use crate::{
    error::{ErrorKind, FormatError, Result},
    missing::MissingFiles,
    region::Region,
    source::{
        ChunkSource, FileCache, Fingerprint, Labels, Meta, ReadCost, ReadCx, SourceSpec, Storage,
    },
    view::ChunkMut,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// The methods of a decorator that ask the source beneath.
macro_rules! forward {
    () => {
        fn meta(&self) -> &Meta {
            self.inner.meta()
        }
        fn cost(&self, region: &Region) -> ReadCost {
            self.inner.cost(region)
        }
        fn labels(&self, axis: usize) -> Option<&Labels> {
            self.inner.labels(axis)
        }
        fn fingerprint(&self) -> Result<Fingerprint> {
            self.inner.fingerprint()
        }
        fn version(&self, region: &Region, files: &FileCache) -> Result<Option<Fingerprint>> {
            self.inner.version(region, files)
        }
        fn is_named(&self) -> bool {
            self.inner.is_named()
        }
        fn spec(&self) -> SourceSpec {
            self.inner.spec()
        }
        fn storage(&self) -> Storage {
            self.inner.storage()
        }
        fn held(&self) -> u64 {
            self.inner.held()
        }
        fn missing_files(&self) -> Option<&MissingFiles> {
            self.inner.missing_files()
        }
    };
}

/// What was read of the sources that share these counters.
#[derive(Debug, Default)]
pub struct Counters {
    reads: AtomicU64,
    bytes: AtomicU64,
    regions: Mutex<HashMap<Region, u64>>,
}

impl Counters {
    /// The number of reads, failed ones too.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// The bytes of all elements that were asked for.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How often exactly this region was read.
    pub fn reads_of(&self, region: &Region) -> u64 {
        self.regions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(region)
            .copied()
            .unwrap_or(0)
    }

    /// How often the region was read that was read most often.
    pub fn most_reads(&self) -> u64 {
        let regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        regions.values().copied().max().unwrap_or(0)
    }

    /// Forgets everything counted so far.
    pub fn reset(&self) {
        self.reads.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        self.regions.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Counts what is read of a source.
#[derive(Debug)]
pub struct Counting {
    inner: Arc<dyn ChunkSource>,
    counters: Arc<Counters>,
}

impl Counting {
    /// A source like `inner`, and its counters.
    pub fn new(inner: Arc<dyn ChunkSource>) -> (Counting, Arc<Counters>) {
        let counters = Arc::<Counters>::default();
        (Counting::sharing(inner, counters.clone()), counters)
    }

    /// A source like `inner` that adds to `counters`.
    pub fn sharing(inner: Arc<dyn ChunkSource>, counters: Arc<Counters>) -> Counting {
        Counting { inner, counters }
    }
}

impl ChunkSource for Counting {
    forward!();

    fn read(&self, region: &Region, out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        let bytes = region.volume() * out.dtype().size() as u64;
        self.counters.reads.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        let regions = self.counters.regions.lock();
        *regions.unwrap_or_else(PoisonError::into_inner).entry(region.clone()).or_insert(0) += 1;
        self.inner.read(region, out, cx)
    }
}

/// Waits before each read, as a slow disk does; a cancel ends the wait.
#[derive(Debug)]
pub struct Slow {
    inner: Arc<dyn ChunkSource>,
    delay: Duration,
}

impl Slow {
    /// A source like `inner` whose reads each take `delay` longer.
    pub fn new(inner: Arc<dyn ChunkSource>, delay: Duration) -> Slow {
        Slow { inner, delay }
    }
}

impl ChunkSource for Slow {
    forward!();

    fn read(&self, region: &Region, out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        const STEP: Duration = Duration::from_millis(5);
        let mut left = self.delay;
        while !left.is_zero() {
            cx.cancel.check()?;
            let step = left.min(STEP);
            thread::sleep(step);
            left -= step;
        }
        self.inner.read(region, out, cx)
    }
}

/// Which reads fail, and how often.
#[derive(Debug)]
struct Fault {
    at: At,
    kind: ErrorKind,
    left: u64,
}

#[derive(Debug)]
enum At {
    /// The read with this number, from 0 on, over the life of the source.
    Read(u64),
    /// Every read that touches an element of this region.
    Region(Region),
}

/// Fails some reads.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn ChunkSource>,
    reads: AtomicU64,
    faults: Mutex<Vec<Fault>>,
}

impl Faulty {
    /// A source like `inner`, in which nothing fails yet.
    pub fn new(inner: Arc<dyn ChunkSource>) -> Faulty {
        Faulty { inner, reads: AtomicU64::new(0), faults: Mutex::default() }
    }

    /// The read with the number `read` (from 0 on) fails with an error of `kind`.
    #[must_use]
    pub fn fail_read(self, read: u64, kind: ErrorKind) -> Faulty {
        self.with(Fault { at: At::Read(read), kind, left: 1 })
    }

    /// The first `times` reads that touch an element of `region` fail with an error of `kind`
    /// (`u64::MAX`: all of them).
    #[must_use]
    pub fn fail_region(self, region: Region, times: u64, kind: ErrorKind) -> Faulty {
        self.with(Fault { at: At::Region(region), kind, left: times })
    }

    fn with(mut self, fault: Fault) -> Faulty {
        self.faults.get_mut().unwrap_or_else(PoisonError::into_inner).push(fault);
        self
    }
}

impl ChunkSource for Faulty {
    forward!();

    fn read(&self, region: &Region, out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        let read = self.reads.fetch_add(1, Ordering::Relaxed);
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = faults.iter_mut().find(|fault| {
            fault.left > 0
                && match &fault.at {
                    At::Read(number) => *number == read,
                    At::Region(bad) => bad.intersection(region).is_some(),
                }
        });
        if let Some(fault) = fault {
            fault.left -= 1;
            let message = format!("read {read}, of {region}, fails as the test asks");
            return Err(FormatError::new(fault.kind, message));
        }
        drop(faults);
        self.inner.read(region, out, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cancel, ChunkView, DType, FileCache, Grid, memory::MemorySource};

    fn source() -> Arc<dyn ChunkSource> {
        let grid = Grid::regular(&[4], &[2]);
        Arc::new(MemorySource::from_bytes(DType::U8, grid, &[1, 2, 3, 4]))
    }

    fn read(source: &dyn ChunkSource, start: u64, cancel: &Cancel) -> Result<Vec<u8>> {
        let mut out = vec![0u8; 2];
        let files = FileCache::default();
        let mut cx = ReadCx { scratch: &mut [], limit: 0, files: &files, cancel };
        let region = Region::new(vec![start], vec![2]);
        source.read(&region, ChunkMut::of(&mut out, &[2]), &mut cx)?;
        Ok(ChunkView::of(&out, &[2]).to_vec())
    }

    #[test]
    fn counting_counts() {
        let (source, counters) = Counting::new(source());
        for start in [0, 2, 2] {
            read(&source, start, &Cancel::default()).unwrap();
        }
        assert_eq!((counters.reads(), counters.bytes(), counters.most_reads()), (3, 6, 2));
        assert_eq!(counters.reads_of(&Region::new(vec![0], vec![2])), 1);
        counters.reset();
        assert_eq!((counters.reads(), counters.bytes(), counters.most_reads()), (0, 0, 0));
    }

    #[test]
    fn faults_come_as_asked() {
        let bad = Region::new(vec![3], vec![1]);
        let source = Faulty::new(source()).fail_read(1, ErrorKind::Io).fail_region(
            bad,
            2,
            ErrorKind::Corrupt,
        );
        let kinds = [0, 0, 0, 2, 2, 2]
            .map(|start| read(&source, start, &Cancel::default()).map_err(|e| e.kind()));
        assert_eq!(
            kinds,
            [
                Ok(vec![1, 2]),
                Err(ErrorKind::Io),
                Ok(vec![1, 2]),
                Err(ErrorKind::Corrupt),
                Err(ErrorKind::Corrupt),
                Ok(vec![3, 4])
            ]
        );
    }

    #[test]
    fn a_slow_read_takes_its_time_and_can_be_cancelled() {
        let slow = Slow::new(source(), Duration::from_millis(20));
        let start = std::time::Instant::now();
        assert_eq!(read(&slow, 0, &Cancel::default()).unwrap(), [1, 2]);
        assert!(start.elapsed() >= Duration::from_millis(20));
        let cancel = Cancel::default();
        cancel.cancel();
        assert_eq!(read(&slow, 0, &cancel).unwrap_err().kind(), ErrorKind::Cancelled);
    }
}
