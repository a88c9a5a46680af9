//! Scratch disk: one nameless slab file that cold chunks are written to and read back from.
//!
//! The file has no name from the start (`O_TMPFILE`, else unlinked as soon as it is open), so
//! that after any end of the process nothing remains. Chunks lie in [`Extents`] of it. Whole
//! pages move by direct I/O where the file system has it: past the page cache, which would
//! otherwise hold the very bytes that were spilled to make room, at the cost of a copy.
//!
//! Where the time of packing is less than what it saves of the disk's (`rates`), a chunk is
//! stored packed (`packed`), through memory of a fixed size (`staging`). It takes what it takes
//! packed: how much that will be is reckoned from what is packed so far, and what was too much is given back.
//!
//! What comes back is what was written, or it is an error: the checksum (xxh3, 64 bits) of the
//! content of each chunk is kept in memory, and verified by every read, after unpacking. A damaged
//! block is never more than refused by then.

mod packed;
mod rates;
mod staging;

use super::{
    arena::Buffer,
    extents::{ALIGN, Extents},
    format_bytes,
    slab::{Slab, create, read_at_least},
};
use crate::sync::{Mutex, MutexGuard, lock};
use freeboard_formats::{ErrorKind, FormatError, Result};
use packed::{Damaged, ROOM, block_len, unpack};
use rates::{Rates, Way};
use smallvec::SmallVec;
use staging::{PIECE, Pool};
use std::{
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
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

/// Shorter chunks are stored as they are: what is saved of a transfer of a few pages is not time.
const LEAST: usize = 64 << 10;

/// One chunk on scratch: where it lies, how long it is, and its checksum. It belongs to the
/// [`Spill`] that wrote it, and is given back by [`Spill::free`].
#[derive(Debug)]
#[must_use = "an extent that is dropped stays taken until its spill is dropped"]
pub struct Extent {
    len: usize,
    checksum: u64,
    form: Form,
    room: Room,
}

impl Extent {
    /// The bytes that were written.
    #[expect(clippy::len_without_is_empty, reason = "the length of a record, not a collection")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The bytes that it takes on scratch.
    pub fn accounted(&self) -> u64 {
        self.room.places.iter().map(|(_, len)| len).sum()
    }
}

/// How a chunk is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// As it is.
    Plain,
    /// Packed as elements of so many bytes, into `stored` ones.
    Packed { element: usize, stored: u64 },
}

/// Where the bytes of a chunk lie, one after the other: mostly in one extent of the slab, in
/// several where none is so long.
#[derive(Debug, Default)]
struct Room {
    /// Offsets and lengths, in whole pages.
    places: SmallVec<[(u64, u64); 1]>,
    /// How much of them is written.
    used: u64,
}

impl Room {
    fn len(&self) -> u64 {
        self.places.iter().map(|(_, len)| len).sum()
    }

    /// The next part to be written or read, from the byte `from` on: its offset and length.
    fn part(&self, mut from: u64) -> Option<(u64, u64)> {
        for &(offset, len) in &self.places {
            if from < len {
                return Some((offset + from, len - from));
            }
            from -= len;
        }
        None
    }
}

/// What a [`Spill`] has done, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpillStats {
    /// Content written.
    pub bytes_written: u64,
    /// What it took on scratch, in whole pages: less, where it was packed.
    pub bytes_stored: u64,
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
    pool: Pool,
    rates: Rates,
    bytes_written: AtomicU64,
    bytes_stored: AtomicU64,
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
            pool: Pool::default(),
            rates: Rates::default(),
            bytes_written: AtomicU64::new(0),
            bytes_stored: AtomicU64::new(0),
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

    /// Writes the bytes of `data`, elements of `element` bytes each, to a place of its own. The size
    /// of elements is a hint: any is right, the true one packs best.
    ///
    /// # Errors
    /// [`ErrorKind::StorageFull`] if the disk or a quota is full, else what the system
    /// said; all name the folder. The place is given back, and `data` is what it was.
    pub fn write(&self, data: &Buffer, element: usize) -> Result<Extent> {
        let slab = self.slab()?;
        let mut room = Room::default();
        let written = self.write_packed(slab, data, element, &mut room).and_then(|form| {
            if form == Form::Plain {
                let len = data.len() as u64;
                self.put(slab, data.padded(), data.len(), len, &mut room)?;
            }
            Ok(form)
        });
        let extent = |checksum, form| Extent { len: data.len(), checksum, form, room };
        match written {
            Ok(form) => {
                let extent = extent(xxh3_64(data), form);
                self.bytes_written.fetch_add(extent.len as u64, Relaxed);
                self.bytes_stored.fetch_add(extent.accounted(), Relaxed);
                Ok(extent)
            }
            Err(error) => {
                self.free(extent(0, Form::Plain));
                Err(error)
            }
        }
    }

    /// Writes `data` packed into `room`, if that pays; where it does not, nothing is written.
    fn write_packed(
        &self,
        slab: &Slab,
        data: &[u8],
        element: usize,
        room: &mut Room,
    ) -> Result<Form> {
        if data.len() < LEAST {
            return Ok(Form::Plain);
        }
        let mut staging = self.pool.take().map_err(FormatError::io)?;
        let (mut packer, piece) = staging.packer(element);
        let worth = self.rates.worth();
        // Of the chunk what is packed; of the packed bytes what is in `piece`, and what is written.
        let (mut taken, mut ready, mut written) = (0, 0, 0u64);
        let mut spent = Duration::ZERO;
        for block in data.chunks(block_len(element)) {
            let packed = packer.push(block, &mut piece[ready..], worth);
            spent += packed.spent;
            ready += packed.len;
            let first = taken == 0;
            taken += block.len();
            let last = taken == data.len();
            if written == 0
                && (first || last || ready >= PIECE)
                && !worth.pays(taken, ready.next_multiple_of(ALIGN as usize), spent)
            {
                return Ok(Form::Plain);
            }
            if ready >= PIECE {
                // What there will be, if the rest is like that; a little more of it costs nothing.
                let so_far = written + ready as u64;
                let whole = so_far as u128 * data.len() as u128 / taken as u128 * 33 / 32;
                let expected = (whole as u64).min(data.len() as u64).max(so_far) - written;
                self.put(slab, piece, PIECE, expected, room)?;
                written += PIECE as u64;
                piece.copy_within(PIECE..ready, 0);
                ready -= PIECE;
            }
        }
        let end = ready.next_multiple_of(ALIGN as usize);
        piece[ready..end].fill(0);
        self.put(slab, &piece[..end], ready, ready as u64, room)?;
        self.give_back_rest(room);
        Ok(Form::Packed { element, stored: written + ready as u64 })
    }

    /// Appends the first `len` bytes of `bytes` to what is written of `room`. Where there is no more
    /// room, more is taken: for `expected` bytes in one extent, if there is such a one, or for these.
    /// What follows in `bytes`, up to whole pages, may be written, too.
    fn put(
        &self,
        slab: &Slab,
        bytes: &[u8],
        len: usize,
        expected: u64,
        room: &mut Room,
    ) -> Result<()> {
        let end = len.next_multiple_of(ALIGN as usize);
        let (needed, had) = (end as u64, room.len() - room.used);
        if needed > had {
            let mut extents = self.lock();
            let whole = expected.next_multiple_of(ALIGN).max(needed) - had;
            match extents.alloc(whole) {
                Some(offset) => room.places.push((offset, whole)),
                None => match extents.gather(needed - had) {
                    Some(places) => room.places.extend(places),
                    None => {
                        let available = extents.available();
                        drop(extents);
                        return Err(self.full(len as u64, available, None));
                    }
                },
            }
        }
        let begun = Instant::now();
        let mut at = 0;
        while at < end
            && let Some((offset, room_len)) = room.part(room.used)
        {
            let to = end.min(at.saturating_add(room_len as usize));
            // By direct I/O whole pages, else no more than what was asked for.
            let pages = bytes.get(at..to).filter(|pages| is_aligned(pages));
            let plain = &bytes[at..to.min(len)];
            slab.transfer(pages.is_some(), |file, direct| match pages {
                Some(pages) if direct => file.write_all_at(pages, offset),
                _ => file.write_all_at(plain, offset),
            })
            .map_err(|error| match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    self.full(len as u64, free_bytes(&self.dir).unwrap_or(0), Some(error))
                }
                _ => unusable(&self.dir, error),
            })?;
            room.used += (to - at) as u64;
            at = to;
        }
        self.rates.took(Way::Write, needed, begun.elapsed());
        Ok(())
    }

    /// Gives back what is not written of `room`.
    fn give_back_rest(&self, room: &mut Room) {
        let mut rest = room.len() - room.used;
        let mut extents = self.lock();
        while rest > 0
            && let Some((offset, len)) = room.places.pop()
        {
            let kept = len.saturating_sub(rest);
            rest -= len - kept;
            let given = match kept {
                0 => extents.free(offset),
                _ => extents.shrink(offset, kept),
            };
            debug_assert!(given, "the extent at {offset} is of another spill");
            if kept > 0 {
                room.places.push((offset, kept));
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
        match extent.form {
            Form::Plain => self.fetch(slab, &extent.room, 0, extent.len, out)?,
            Form::Packed { element, stored } => {
                self.read_packed(slab, extent, (element, stored), &mut out[..extent.len])?;
            }
        }
        if xxh3_64(&out[..extent.len]) != extent.checksum {
            return Err(self.corrupt(extent, "its checksum is another one"));
        }
        self.bytes_read.fetch_add(extent.len as u64, Relaxed);
        Ok(())
    }

    /// Unpacks what was stored in `room` as `stored` bytes into `out`, a piece at a time.
    fn read_packed(
        &self,
        slab: &Slab,
        extent: &Extent,
        (element, stored): (usize, u64),
        out: &mut [u8],
    ) -> Result<()> {
        let mut staging = self.pool.take().map_err(FormatError::io)?;
        let (shuffled, piece) = staging.unpacker();
        let mut blocks = out.chunks_mut(block_len(element)).peekable();
        // A block that is not there as a whole yet lies right before the next piece.
        let (mut at, mut carried) = (0, 0);
        while at < stored {
            let len = PIECE.min(usize::try_from(stored - at).unwrap_or(PIECE));
            self.fetch(slab, &extent.room, at, len, &mut piece[ROOM..])?;
            at += len as u64;
            let mut packed = ROOM - carried..ROOM + len;
            while let Some(block) = blocks.peek_mut() {
                match unpack(&piece[packed.clone()], block, element, shuffled) {
                    Ok(Some(len)) => packed.start += len,
                    Ok(None) => break,
                    Err(Damaged(why)) => return Err(self.corrupt(extent, why)),
                }
                blocks.next();
            }
            carried = packed.len();
            if carried > ROOM {
                return Err(self.corrupt(extent, "more is stored than was packed"));
            }
            piece.copy_within(packed, ROOM - carried);
        }
        match blocks.next().is_none() && carried == 0 {
            true => Ok(()),
            false => Err(self.corrupt(extent, "the end is missing")),
        }
    }

    /// Reads `len` bytes of what lies in `room` into the front of `out`, from the byte `from` on, which is
    /// a multiple of [`ALIGN`]. What follows in `out`, up to whole pages, may be changed, too.
    fn fetch(&self, slab: &Slab, room: &Room, from: u64, len: usize, out: &mut [u8]) -> Result<()> {
        let begun = Instant::now();
        let mut at = 0;
        while at < len
            && let Some((offset, room_len)) = room.part(from + at as u64)
        {
            let part = (len - at).min(usize::try_from(room_len).unwrap_or(len));
            let pages = part.next_multiple_of(ALIGN as usize);
            let target = &mut out[at..];
            let aligned = target.get(..pages).is_some_and(is_aligned);
            slab.transfer(aligned, |file, direct| {
                let most = if direct { pages } else { part };
                read_at_least(file, &mut target[..most], part, offset)
            })
            .map_err(|error| unusable(&self.dir, error))?;
            at += part;
        }
        self.rates.took(Way::Read, len as u64, begun.elapsed());
        Ok(())
    }

    fn corrupt(&self, extent: &Extent, why: &str) -> FormatError {
        let message = format!(
            "{} read back from scratch at byte {} are not what was written: {why}",
            format_bytes(extent.len as u64),
            extent.room.part(0).map_or(0, |(offset, _)| offset)
        );
        FormatError::new(ErrorKind::Corrupt, message)
            .at_path(&self.dir)
            .help("the disk or its memory is failing: try another scratch folder")
    }

    fn misfit(&self, extent: &Extent, len: usize) -> FormatError {
        let message = format!("{} spilled bytes do not fit a buffer of {len}", extent.len);
        FormatError::new(ErrorKind::Invalid, message).at_path(&self.dir)
    }

    /// Gives an extent back; the next write may take its place.
    pub fn free(&self, extent: Extent) {
        let mut extents = self.lock();
        for (offset, _) in extent.room.places {
            let was_live = extents.free(offset);
            debug_assert!(was_live, "the extent at {offset} is of another spill");
        }
    }

    /// What was done so far.
    pub fn stats(&self) -> SpillStats {
        let extents = self.lock();
        SpillStats {
            bytes_written: self.bytes_written.load(Relaxed),
            bytes_stored: self.bytes_stored.load(Relaxed),
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
        .help(
            match error.is_none() && free_bytes(&self.dir).is_some_and(|free| free >= needed) {
                // Not the disk is full, but the quota.
                true => "allow more scratch, or give more memory",
                false => "free some space, name another scratch folder, or give more memory",
            },
        );
        match error {
            Some(error) => full.because(error),
            None => full,
        }
    }
}

/// Whether these are whole pages at the start of one, as direct I/O asks for.
fn is_aligned(pages: &[u8]) -> bool {
    (pages.as_ptr().addr() | pages.len()).is_multiple_of(ALIGN as usize)
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
    let help = match dir.is_dir() {
        true => "no file can be made in it; name another folder for scratch",
        false => "this is the scratch folder: it must exist, or name another one",
    };
    FormatError::io(error).at_path(dir).help(help)
}

#[cfg(test)]
mod tests;
