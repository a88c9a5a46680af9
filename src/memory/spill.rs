//! Scratch disk: one nameless slab file that cold chunks are written to and read back from.
//!
//! The file has no name from the start (`O_TMPFILE`, else unlinked as soon as it is open), so
//! that after any end of the process nothing remains. Chunks lie in [`Extents`] of it. Whole
//! pages move by direct I/O where the file system has it: past the page cache, which would
//! otherwise hold the very bytes that were spilled to make room, at the cost of a copy.
//!
//! What comes back is what was written, or it is an error: the checksum (xxh3, 64 bits) of
//! each extent is kept in memory, and verified by every read.

use super::{
    arena::Buffer,
    extents::{ALIGN, Extents},
    format_bytes,
    slab::{Slab, create, read_at_least},
};
use crate::sync::{Mutex, MutexGuard, lock};
use freeboard_formats::{ErrorKind, FormatError, Result};
use std::{
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use xxhash_rust::xxh3::xxh3_64;

/// Where scratch goes unless told otherwise: `/var/tmp`, which is on disk where `/tmp` may be
/// memory; the system's folder for temporary files if that is not writable.
pub fn default_scratch() -> PathBuf {
    use rustix::fs::{Access, access};
    let usual = Path::new("/var/tmp");
    match access(usual, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => usual.to_owned(),
        Err(_) => std::env::temp_dir(),
    }
}

/// One chunk on scratch: where it lies, how long it is, and its checksum. It belongs to the
/// [`Spill`] that wrote it, and is given back by [`Spill::free`].
#[derive(Debug)]
#[must_use = "an extent that is dropped stays taken until its spill is dropped"]
pub struct Extent {
    offset: u64,
    len: usize,
    checksum: u64,
}

impl Extent {
    /// The bytes that were written.
    #[expect(clippy::len_without_is_empty, reason = "the length of a record, not a collection")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The bytes that it takes on scratch.
    pub fn accounted(&self) -> u64 {
        (self.len as u64).next_multiple_of(ALIGN)
    }
}

/// What a [`Spill`] has done, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpillStats {
    /// Content written.
    pub bytes_written: u64,
    /// Content read back.
    pub bytes_read: u64,
    /// Live extents, rounded up to 4 KiB each.
    pub live: u64,
    /// The length of the slab.
    pub slab: u64,
}

/// The scratch file of a session. Used from many threads at once: places are given out
/// under a short lock, bytes move without it.
#[derive(Debug)]
pub struct Spill {
    dir: PathBuf,
    quota: Option<u64>,
    allow_tmpfs: bool,
    extents: Mutex<Extents>,
    slab: OnceLock<Slab>,
    /// Held while the slab is being created, so that there is one.
    creating: Mutex<()>,
    bytes_written: AtomicU64,
    bytes_read: AtomicU64,
}

impl Spill {
    /// Scratch in the folder `dir`, of at most `quota` bytes. Touches nothing yet: the
    /// file is created by the first [`Spill::write`].
    pub fn new(dir: PathBuf, quota: Option<u64>) -> Spill {
        Spill {
            dir,
            quota,
            allow_tmpfs: false,
            extents: Mutex::new(Extents::new(quota.unwrap_or(u64::MAX))),
            slab: OnceLock::new(),
            creating: Mutex::new(()),
            bytes_written: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
        }
    }

    /// Lets [`Spill::probe`] accept a folder that is memory itself; for who counts it as such.
    #[must_use]
    pub fn allow_tmpfs(mut self, allow: bool) -> Spill {
        self.allow_tmpfs = allow;
        self
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Checks, before any work, that `needed` bytes can be spilled: the folder exists, is not
    /// memory, can be written to, and has so much free. Leaves nothing behind.
    ///
    /// # Errors
    /// [`ErrorKind::StorageFull`] if there is too little room, [`ErrorKind::Unsupported`] if
    /// the folder is memory, else what the system said; all name the folder.
    pub fn probe(&self, needed: u64) -> Result<()> {
        let at = |error: io::Error| unusable(&self.dir, error);
        if !std::fs::metadata(&self.dir).map_err(at)?.is_dir() {
            return Err(at(io::ErrorKind::NotADirectory.into()));
        }
        if !self.allow_tmpfs && is_memory(&self.dir) {
            return Err(FormatError::new(
                ErrorKind::Unsupported,
                "the scratch folder is a tmpfs: what is spilled there stays in memory",
            )
            .at_path(&self.dir)
            .help("name a folder on disk as scratch"));
        }
        if self.slab.get().is_none() {
            create(&self.dir).map_err(at)?;
        }
        let available = self.available();
        match needed <= available {
            true => Ok(()),
            false => Err(self.full(needed, available, None)),
        }
    }

    /// Bytes that can be spilled yet, as far as disk and quota tell.
    pub fn available(&self) -> u64 {
        // What the slab has already and nobody uses is room, too.
        let state = self.lock();
        let (spare, within_quota) = (state.end() - state.live(), state.quota() - state.live());
        drop(state);
        let disk = free_bytes(&self.dir).map_or(u64::MAX, |free| free.saturating_add(spare));
        disk.min(within_quota)
    }

    /// Writes the bytes of `data` to an extent of its own.
    ///
    /// # Errors
    /// [`ErrorKind::StorageFull`] if the disk or a quota is full, else what the system
    /// said; all name the folder. The extent is given back, and `data` is what it was.
    pub fn write(&self, data: &Buffer) -> Result<Extent> {
        let (len, bytes) = (data.len(), data.len() as u64);
        let checksum = xxh3_64(data);
        let slab = self.slab()?;
        let offset = {
            let mut extents = self.lock();
            let offset = extents.alloc(bytes);
            let available = extents.available();
            drop(extents);
            offset.ok_or_else(|| self.full(bytes, available, None))?
        };
        let extent = Extent { offset, len, checksum };
        let written = slab.transfer(direct_part(data.padded(), &extent), |file, direct| {
            let data =
                if direct { &data.padded()[..extent.accounted() as usize] } else { &data[..] };
            file.write_all_at(data, offset)
        });
        match written {
            Ok(()) => {
                self.bytes_written.fetch_add(bytes, Relaxed);
                Ok(extent)
            }
            Err(error) => {
                self.free(extent);
                Err(match error.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        self.full(bytes, free_bytes(&self.dir).unwrap_or(0), Some(error))
                    }
                    _ => unusable(&self.dir, error),
                })
            }
        }
    }

    /// Reads `extent` into `out`, which has its length, and verifies it.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if what comes back is not what was written,
    /// [`ErrorKind::Invalid`] if `out` is of another length, else what the system said. After
    /// an error the content of `out` is unspecified.
    pub fn read(&self, extent: &Extent, out: &mut Buffer) -> Result<()> {
        match out.len() == extent.len {
            true => self.read_into(extent, out.padded_mut()),
            false => Err(self.misfit(extent, out.len())),
        }
    }

    /// Reads `extent` into the front of `out`, which is as long or longer, and verifies it.
    ///
    /// # Errors
    /// As [`Spill::read`]. What lies behind the extent's bytes is unspecified, too.
    pub fn read_into(&self, extent: &Extent, out: &mut [u8]) -> Result<()> {
        if out.len() < extent.len {
            return Err(self.misfit(extent, out.len()));
        }
        let slab = self.slab()?;
        slab.transfer(direct_part(out, extent), |file, direct| {
            let len = if direct { extent.accounted() as usize } else { extent.len };
            read_at_least(file, &mut out[..len], extent.len, extent.offset)
        })
        .map_err(|error| unusable(&self.dir, error))?;
        if xxh3_64(&out[..extent.len]) != extent.checksum {
            return Err(FormatError::new(
                ErrorKind::Corrupt,
                format!(
                    "{} read back from scratch at byte {} are not what was written",
                    format_bytes(extent.len as u64),
                    extent.offset
                ),
            )
            .at_path(&self.dir)
            .help("the disk or its memory is failing: try another scratch folder"));
        }
        self.bytes_read.fetch_add(extent.len as u64, Relaxed);
        Ok(())
    }

    fn misfit(&self, extent: &Extent, len: usize) -> FormatError {
        let message = format!("{} spilled bytes do not fit a buffer of {len}", extent.len);
        FormatError::new(ErrorKind::Invalid, message).at_path(&self.dir)
    }

    /// Gives an extent back; the next write may take its place.
    pub fn free(&self, extent: Extent) {
        if extent.len > 0 {
            let was_live = self.lock().free(extent.offset);
            debug_assert!(was_live, "the extent at {} is of another spill", extent.offset);
        }
    }

    /// What was done so far.
    pub fn stats(&self) -> SpillStats {
        let extents = self.lock();
        SpillStats {
            bytes_written: self.bytes_written.load(Relaxed),
            bytes_read: self.bytes_read.load(Relaxed),
            live: extents.live(),
            slab: extents.end(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Extents> {
        lock(&self.extents)
    }

    fn slab(&self) -> Result<&Slab> {
        if let Some(slab) = self.slab.get() {
            return Ok(slab);
        }
        let _creating = lock(&self.creating);
        match self.slab.get() {
            Some(slab) => Ok(slab),
            None => {
                let slab = Slab::create(&self.dir).map_err(|e| unusable(&self.dir, e))?;
                Ok(self.slab.get_or_init(|| slab))
            }
        }
    }

    fn full(&self, needed: u64, available: u64, error: Option<io::Error>) -> FormatError {
        let quota = match self.quota {
            Some(quota) => format!(" (quota {})", format_bytes(quota)),
            None => String::new(),
        };
        let full = FormatError::new(
            ErrorKind::StorageFull,
            format!(
                "the scratch folder has no room for {}: {} are available{quota}",
                format_bytes(needed),
                format_bytes(available)
            ),
        )
        .at_path(&self.dir)
        .help("free some space, name another scratch folder, or give more memory");
        match error {
            Some(error) => full.because(error),
            None => full,
        }
    }
}

/// Whether an extent can move between `padded` and the slab by direct I/O.
fn direct_part(padded: &[u8], extent: &Extent) -> bool {
    extent.accounted() <= padded.len() as u64
        && padded.as_ptr().addr().is_multiple_of(ALIGN as usize)
}

/// Whether files in `dir` are memory (tmpfs, ramfs).
fn is_memory(dir: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        // From the kernel's magic.h.
        const TMPFS: u32 = 0x0102_1994;
        const RAMFS: u32 = 0x8584_58f6;
        // The type of the field differs between targets; the number has 32 bits.
        rustix::fs::statfs(dir).is_ok_and(|s| [TMPFS, RAMFS].contains(&(s.f_type as u32)))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = dir;
        false
    }
}

/// Bytes that this user may still write in `dir`.
fn free_bytes(dir: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(dir).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

fn unusable(dir: &Path, error: io::Error) -> FormatError {
    FormatError::io(error)
        .at_path(dir)
        .help("this is the scratch folder: it must exist and be writable, or name another one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Arena, KIB, MIB};
    use std::{fs::OpenOptions, sync::atomic::AtomicBool};

    fn filled(arena: &Arena, len: usize, seed: u64) -> Buffer {
        let mut buffer = arena.alloc(len).unwrap();
        let mut x = seed;
        for byte in buffer.iter_mut() {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (x >> 56) as u8;
        }
        buffer
    }

    fn names(dir: &Path) -> usize {
        std::fs::read_dir(dir).unwrap().count()
    }

    const LENGTHS: [usize; 8] = [0, 1, 4096, 10_000, 65_536, 65_537, 1 << 20, (3 << 20) + 12_345];

    #[test]
    fn what_is_written_comes_back_and_nothing_is_ever_seen() {
        let dir = tempfile::tempdir().unwrap();
        let arena = Arena::new(64 * MIB);
        let spill = Spill::new(dir.path().to_owned(), None);
        // Twice, so that freed places are taken again.
        for round in 0..2 {
            let all: Vec<(Buffer, Extent)> = LENGTHS
                .iter()
                .map(|len| {
                    let data = filled(&arena, *len, round);
                    let extent = spill.write(&data).unwrap();
                    (data, extent)
                })
                .collect();
            assert_eq!(names(dir.path()), 0);
            for (data, extent) in all.into_iter().rev() {
                let mut back = arena.alloc(extent.len()).unwrap();
                back.padded_mut().fill(0xAA);
                spill.read(&extent, &mut back).unwrap();
                assert!(back[..] == data[..]);
                assert!(spill.read(&extent, &mut arena.alloc(extent.len() + 1).unwrap()).is_err());
                spill.free(extent);
            }
        }
        let content: usize = LENGTHS.iter().sum();
        let slab: u64 = LENGTHS.iter().map(|len| (*len as u64).next_multiple_of(ALIGN)).sum();
        let stats = spill.stats();
        assert_eq!(
            (stats.bytes_written, stats.bytes_read),
            (2 * content as u64, 2 * content as u64)
        );
        assert_eq!((stats.live, stats.slab), (0, slab));
        drop(spill);
        assert_eq!(names(dir.path()), 0);
    }

    #[test]
    fn several_threads_spill_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let arena = Arena::new(64 * MIB);
        let spill = Spill::new(dir.path().to_owned(), None);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (spill, arena) = (&spill, &arena);
                scope.spawn(move || {
                    for round in 0..20 {
                        let len = 30_000 + 40_000 * ((thread + round) % 5);
                        let mut buffer = filled(arena, len, (thread * 100 + round) as u64);
                        let want = buffer.to_vec();
                        let extent = spill.write(&buffer).unwrap();
                        buffer.fill(0);
                        spill.read(&extent, &mut buffer).unwrap();
                        assert!(buffer[..] == want[..]);
                        spill.free(extent);
                    }
                });
            }
        });
        assert_eq!(spill.stats().live, 0);
        spill.lock().check().unwrap();
    }

    #[test]
    fn a_full_quota_is_an_error_and_freeing_helps() {
        let dir = tempfile::tempdir().unwrap();
        let arena = Arena::new(64 * MIB);
        let spill = Spill::new(dir.path().to_owned(), Some(MIB));
        spill.probe(MIB).unwrap();
        let error = spill.probe(MIB + 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        let data = filled(&arena, 600 << 10, 1);
        let extent = spill.write(&data).unwrap();
        let error = spill.write(&data).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        let text = error.to_string();
        for part in ["600 KiB", "424 KiB", "quota 1 MiB", dir.path().to_str().unwrap()] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(spill.stats().live, 600 * KIB);
        spill.free(extent);
        let extent = spill.write(&data).unwrap();
        spill.free(extent);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_gives_the_extent_back() {
        let dir = tempfile::tempdir().unwrap();
        let arena = Arena::new(64 * MIB);
        let spill = Spill::new(dir.path().to_owned(), None);
        // A device that is always full.
        let file = OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
        spill.slab.set(Slab { file, direct: None, refused: AtomicBool::new(false) }).unwrap();
        let data = filled(&arena, 100_000, 1);
        let error = spill.write(&data).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(error.to_string().contains("98 KiB"), "{error}");
        assert_eq!((spill.stats().live, spill.stats().bytes_written), (0, 0));
        spill.lock().check().unwrap();
    }

    #[test]
    fn what_is_not_what_was_written_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let arena = Arena::new(64 * MIB);
        let spill = Spill::new(dir.path().to_owned(), None);
        for len in [10_000, 200_000] {
            let mut data = filled(&arena, len, 1);
            let extent = spill.write(&data).unwrap();
            let file = &spill.slab.get().unwrap().file;
            file.write_all_at(&[!data[5000]], extent.offset + 5000).unwrap();
            let error = spill.read(&extent, &mut data).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            file.set_len(extent.offset + 100).unwrap();
            let error = spill.read(&extent, &mut data).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            spill.free(extent);
        }
    }

    #[test]
    fn a_file_system_that_refuses_direct_io_is_written_to_as_usual() {
        let dir = tempfile::tempdir().unwrap();
        let arena = Arena::new(64 * MIB);
        let spill = Spill::new(dir.path().to_owned(), None);
        let mut data = filled(&arena, 200_000, 1);
        let want = data.to_vec();
        let slab = spill.slab().unwrap();
        let mut calls = Vec::new();
        let done = slab.transfer(true, |_, direct| {
            calls.push(direct);
            if direct { Err(io::ErrorKind::InvalidInput.into()) } else { Ok(()) }
        });
        assert!(done.is_ok() && calls.last() == Some(&false));
        assert_eq!(slab.refused.load(Relaxed), slab.direct.is_some());
        let extent = spill.write(&data).unwrap();
        data.fill(0);
        // The end of the file is the end of the content now; direct reads take that, too.
        slab.refused.store(false, Relaxed);
        spill.read(&extent, &mut data).unwrap();
        assert!(data[..] == want[..]);
        spill.free(extent);
    }

    #[test]
    fn a_folder_that_will_not_do_is_told_before_and_during_the_work() {
        let arena = Arena::new(MIB);
        let dir = tempfile::tempdir().unwrap();
        let spill = Spill::new(dir.path().to_owned(), None);
        spill.probe(MIB).unwrap();
        assert_eq!(names(dir.path()), 0);
        let error = spill.probe(u64::MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);

        let vanished = dir.path().to_owned();
        drop(dir);
        for error in [spill.probe(1).unwrap_err(), spill.write(&filled(&arena, 10, 1)).unwrap_err()]
        {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().contains(vanished.to_str().unwrap()), "{error}");
        }
        assert_eq!(spill.stats(), SpillStats::default());

        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Spill::new(file.path().to_owned(), None).probe(1).is_err());
        #[cfg(target_os = "linux")]
        assert!(Spill::new("/proc".into(), None).probe(1).is_err());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_no_scratch_unless_asked_for() {
        let shm = Path::new("/dev/shm");
        if !is_memory(shm) {
            return;
        }
        let spill = Spill::new(shm.to_owned(), None);
        let error = spill.probe(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("tmpfs"), "{error}");
        let spill = spill.allow_tmpfs(true);
        spill.probe(1).unwrap();
        let arena = Arena::new(MIB);
        let mut data = filled(&arena, 100_000, 1);
        let extent = spill.write(&data).unwrap();
        spill.read(&extent, &mut data).unwrap();
        spill.free(extent);
    }

    #[test]
    fn there_is_a_default() {
        assert!(default_scratch().is_dir());
    }
}
