//! The journal of a store: what makes one that was killed go on where it stopped.
//!
//! Beside the staging place of an output lies a file that says what the output is made from
//! ([`Provenance`]), and then, one record a chunk, what was written ([`Noted`]). A record is
//! appended after its chunk's bytes; nothing is synced for it. So after a kill the journal is
//! right, and after a loss of power it may be wrong, in both directions: a record without its
//! bytes, bytes without their record. Whoever goes on therefore believes a record only
//! if the bytes that are stored have the hash that it notes. That is also why records need no
//! order, and why one that is torn is merely not believed.
//!
//! The layout, all numbers little endian: `MAGIC`; the length and the xxh3 of the
//! provenance; the provenance as JSON, a list of pairs; then records of `RECORD` bytes:
//! chunk, offset, length, hash, and the xxh3 of those four.

use crate::{
    error::{ErrorKind, FormatError, Result},
    grid::Grid,
    source::ReadCx,
};
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// What a journal begins with; the digit is the version of its layout.
const MAGIC: &[u8; 16] = b"freeboard-jrnl1\n";

/// Bytes of a record.
const RECORD: usize = 40;

/// No provenance is longer: a journal that claims more is none of ours.
const MAX_PROVENANCE: u64 = 64 << 20;

/// What a store is made from, by names that people know: its sources, its expression, its
/// layout. Equal ones make equal outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance(Vec<(String, String)>);

impl Provenance {
    /// Adds that `what` (`the input night.fits`) is `value`: a fingerprint, or a text.
    pub fn add(&mut self, what: impl Into<String>, value: impl Into<String>) {
        self.0.push((what.into(), value.into()));
    }

    /// The names of what is not the same in both.
    fn differences<'a>(&'a self, other: &'a Provenance) -> Vec<&'a str> {
        let lacks = |of: &'a Provenance, than: &'a Provenance| {
            of.0.iter().filter(|&pair| !than.0.contains(pair)).map(|(what, _)| what.as_str())
        };
        let mut names: Vec<&str> = lacks(self, other).collect();
        for name in lacks(other, self) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    fn value(&self, what: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == what).map(|(_, value)| value.as_str())
    }
}

/// One chunk that was written, as a journal notes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// The chunk's place in the C order of the output's grid.
    pub chunk: u64,
    /// The first byte of it in the file that it lies in.
    pub offset: u64,
    /// How many bytes were stored.
    pub len: u64,
    /// The xxh3 (64 bits) of the bytes as they are stored, in the order of their writing.
    pub hash: u64,
}

impl Noted {
    fn to_bytes(self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        for (at, number) in [self.chunk, self.offset, self.len, self.hash].into_iter().enumerate() {
            bytes[8 * at..8 * at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let check = xxh3_64(&bytes[..32]);
        bytes[32..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// `None` for a record that is torn.
    fn from_bytes(bytes: &[u8; RECORD]) -> Option<Noted> {
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[8 * at..8 * at + 8]);
            u64::from_le_bytes(number)
        };
        (xxh3_64(&bytes[..32]) == number(4)).then(|| Noted {
            chunk: number(0),
            offset: number(1),
            len: number(2),
            hash: number(3),
        })
    }
}

/// The name under which a provenance holds the layout of the output.
const LAYOUT: &str = "the layout of the output (dtype, shape, chunks, codec, attributes)";

/// What a store found at its staging place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing.
    Nothing,
    /// What an earlier store left, which it goes on with.
    TakenOver,
    /// What an earlier store left, which was removed: so many chunks.
    Swept(u64),
}

/// The journal of one store. Until [`Journal::begin`] it notes nothing.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    target: PathBuf,
    layout: String,
    left: Left,
    /// Whether the store is one that resumes: what it writes is kept for the next.
    resumes: bool,
    file: OnceLock<File>,
    /// Where the next record goes.
    end: AtomicU64,
    noted: AtomicU64,
    kept: AtomicBool,
    published: AtomicBool,
}

impl Journal {
    /// The journal at `path` of a store to `target`, whose chunks lie as `layout` tells.
    ///
    /// # Errors
    /// [`ErrorKind::Changed`] if it is to go on with a store of another layout.
    pub(crate) fn new(
        path: PathBuf,
        target: &Path,
        layout: String,
        left: Left,
        resumes: bool,
    ) -> Result<Journal> {
        let journal = Journal {
            path,
            target: target.to_owned(),
            layout,
            left,
            resumes,
            file: OnceLock::new(),
            end: AtomicU64::new(0),
            noted: AtomicU64::new(0),
            kept: AtomicBool::new(false),
            published: AtomicBool::new(false),
        };
        if let (Left::TakenOver, Some((before, _))) = (left, head(&journal.path))
            && before.value(LAYOUT) != Some(&journal.layout)
        {
            return Err(journal.changed(&[LAYOUT]));
        }
        Ok(journal)
    }

    /// Begins to note what is written, of a store made from `made_from`. Where the store goes
    /// on with an earlier one, what that one noted is handed out.
    ///
    /// # Errors
    /// [`ErrorKind::Changed`] if the earlier store was made from something else; the error says
    /// what changed, and what was left stays. Else if the journal cannot be written.
    pub fn begin(&self, mut made_from: Provenance) -> Result<Option<Earlier>> {
        let here = |error: std::io::Error| FormatError::io(error).at_path(&self.path);
        made_from.add(LAYOUT, self.layout.as_str());
        if self.left == Left::TakenOver
            && let Some((before, start)) = head(&self.path)
        {
            let differences = made_from.differences(&before);
            if !differences.is_empty() {
                return Err(self.changed(&differences));
            }
            let file = OpenOptions::new().read(true).write(true).open(&self.path).map_err(here)?;
            let len = file.metadata().map_err(here)?.len();
            let records = len.saturating_sub(start).div_ceil(RECORD as u64);
            let reader = file.try_clone().map_err(here)?;
            self.end.store(start + records * RECORD as u64, Ordering::Release);
            let _ = self.file.set(file);
            return Ok(Some(Earlier { file: reader, next: start, end: len }));
        }
        let text = serde_json::to_vec(&made_from.0)
            .map_err(|e| FormatError::new(ErrorKind::Invalid, e.to_string()).at_path(&self.path))?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(xxh3_64(&text).to_le_bytes());
        bytes.extend(text);
        let file = File::create(&self.path).map_err(here)?;
        file.write_all_at(&bytes, 0).map_err(here)?;
        self.end.store(bytes.len() as u64, Ordering::Release);
        let _ = self.file.set(file);
        Ok(None)
    }

    /// Notes that a chunk's bytes are stored.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub(crate) fn note(&self, noted: Noted) -> Result<()> {
        let Some(file) = self.file.get() else { return Ok(()) };
        // A place of its own for each record: one that is torn does not displace the next.
        let at = self.end.fetch_add(RECORD as u64, Ordering::AcqRel);
        file.write_all_at(&noted.to_bytes(), at)
            .map_err(|e| FormatError::io(e).at_path(&self.path))?;
        self.noted.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Keeps what was written when the sink is dropped unpublished, for a store that goes on
    /// with it; a store that resumes does so by itself.
    pub fn keep(&self) {
        self.kept.store(true, Ordering::Release);
    }

    /// Tells that the output has its name: nothing is left to go on with.
    pub(crate) fn end(&self) {
        self.published.store(true, Ordering::Release);
    }

    /// Whether there is something that stays when the sink is dropped unpublished.
    pub fn is_kept(&self) -> bool {
        let some = self.left == Left::TakenOver || self.noted.load(Ordering::Acquire) > 0;
        let some = some && !self.published.load(Ordering::Acquire);
        some && (self.resumes || self.kept.load(Ordering::Acquire))
    }

    /// The number of chunks of an unfinished store to the same output that were removed
    /// when this one was created, if there was one.
    pub fn swept(&self) -> Option<u64> {
        match self.left {
            Left::Swept(chunks) => Some(chunks),
            Left::Nothing | Left::TakenOver => None,
        }
    }

    fn changed(&self, names: &[&str]) -> FormatError {
        let more = match names.len() {
            0..=3 => String::new(),
            n => format!(" and {} more", n - 3),
        };
        let message = format!(
            "an unfinished store cannot go on: since it began, {}{more} changed",
            names.iter().take(3).copied().collect::<Vec<_>>().join(", ")
        );
        FormatError::new(ErrorKind::Changed, message)
            .at_path(&self.target)
            .help("store it as it was, or store without resuming, which begins anew")
    }
}

/// What the journal at `path` was begun with, and where its records begin; `None` if it is not
/// whole, or none at all.
fn head(path: &Path) -> Option<(Provenance, u64)> {
    let file = File::open(path).ok()?;
    let mut fixed = [0; 32];
    file.read_exact_at(&mut fixed, 0).ok()?;
    let number = |at: usize| Some(u64::from_le_bytes(fixed.get(at..at + 8)?.try_into().ok()?));
    let (len, hash) = (number(16)?, number(24)?);
    if fixed[..16] != MAGIC[..] || len > MAX_PROVENANCE || len > file.metadata().ok()?.len() {
        return None;
    }
    let mut text = vec![0; usize::try_from(len).ok()?];
    file.read_exact_at(&mut text, 32).ok()?;
    if xxh3_64(&text) != hash {
        return None;
    }
    Some((Provenance(serde_json::from_slice(&text).ok()?), 32 + len))
}

/// Whether there is a journal at `path` that a store can go on with.
pub(crate) fn is_whole(path: &Path) -> bool {
    head(path).is_some()
}

/// How many chunks the journal at `path` notes, torn ones too.
pub(crate) fn count(path: &Path) -> u64 {
    let len = path.metadata().map_or(0, |meta| meta.len());
    head(path).map_or(0, |(_, start)| len.saturating_sub(start) / RECORD as u64)
}

/// The hash of these ranges of a file (offset, length), one after the other; of what is not
/// there, another one than a whole chunk's.
///
/// # Errors
/// If it was cancelled, or the file cannot be read.
pub(crate) fn hash_of(
    file: &File,
    ranges: impl IntoIterator<Item = (u64, u64)>,
    cx: &mut ReadCx<'_>,
) -> Result<u64> {
    let mut hash = Xxh3::new();
    for (mut at, mut left) in ranges {
        while left > 0 {
            cx.cancel.check()?;
            let len = (cx.scratch.len() as u64).min(left) as usize;
            let piece = &mut cx.scratch[..len];
            match file.read_exact_at(piece, at) {
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    // The end of the file is part of the answer.
                    hash.update(b"cut short");
                    return Ok(hash.digest());
                }
                done => done?,
            }
            hash.update(piece);
            (at, left) = (at + len as u64, left - len as u64);
        }
    }
    Ok(hash.digest())
}

/// What an earlier store noted, read piece by piece.
#[derive(Debug)]
pub struct Earlier {
    file: File,
    next: u64,
    end: u64,
}

impl Earlier {
    /// Records that are read at a time.
    const PIECE: u64 = 1024;

    /// Replaces `records` by the next ones, torn ones left out; false when there are no more.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn next(&mut self, records: &mut Vec<Noted>) -> Result<bool> {
        records.clear();
        let count = ((self.end - self.next.min(self.end)) / RECORD as u64).min(Earlier::PIECE);
        if count == 0 {
            return Ok(false);
        }
        let mut bytes = vec![0; count as usize * RECORD];
        self.file.read_exact_at(&mut bytes, self.next)?;
        self.next += count * RECORD as u64;
        records.extend(bytes.as_chunks::<RECORD>().0.iter().filter_map(Noted::from_bytes));
        Ok(true)
    }
}

/// Chunks of a grid, one bit each; many threads add to it.
#[derive(Debug, Default)]
pub struct ChunkSet {
    words: Box<[AtomicU64]>,
    len: u64,
}

impl ChunkSet {
    /// None of the `len` chunks of a grid.
    pub fn new(len: u64) -> ChunkSet {
        ChunkSet { words: (0..len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(), len }
    }

    /// How many chunks the grid has.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the grid has no chunk.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds the chunk with this number.
    ///
    /// # Panics
    /// If there is none.
    pub fn insert(&self, chunk: u64) {
        assert!(chunk < self.len, "chunk {chunk} of {}", self.len);
        self.words[(chunk / 64) as usize].fetch_or(1 << (chunk % 64), Ordering::AcqRel);
    }

    /// Whether it is there.
    pub fn contains(&self, chunk: u64) -> bool {
        let word = self.words.get((chunk / 64) as usize);
        word.is_some_and(|word| word.load(Ordering::Acquire) >> (chunk % 64) & 1 == 1)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.load(Ordering::Acquire).count_ones())).sum()
    }

    /// That all chunks of `grid` are there.
    ///
    /// # Errors
    /// If one is missing; the error names the first.
    pub fn check_whole(&self, grid: &Grid) -> Result<()> {
        match (0..self.len).find(|&chunk| !self.contains(chunk)) {
            None => Ok(()),
            Some(missing) => Err(FormatError::new(
                ErrorKind::Invalid,
                format!(
                    "{} of {} chunks were written; the first missing one is {:?}",
                    self.count(),
                    self.len,
                    grid.index_of(missing).as_slice()
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provenance(input: &str) -> Provenance {
        let mut made_from = Provenance::default();
        made_from.add("the input a.fits", input);
        made_from.add("the expression", "1");
        made_from
    }

    fn journal(folder: &tempfile::TempDir, left: Left) -> Journal {
        let (path, target) = (folder.path().join("j"), folder.path().join("x"));
        Journal::new(path, &target, "plain".into(), left, false).unwrap()
    }

    fn all(earlier: &mut Earlier) -> Vec<Noted> {
        let (mut all, mut some) = (Vec::new(), Vec::new());
        while earlier.next(&mut some).unwrap() {
            all.append(&mut some);
        }
        all
    }

    fn noted(chunk: u64) -> Noted {
        Noted { chunk, offset: 7 * chunk, len: 7, hash: !chunk }
    }

    #[test]
    fn what_was_noted_is_handed_out_and_torn_records_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let first = journal(&folder, Left::Nothing);
        first.note(noted(99)).unwrap(); // before it begins: nowhere
        first.keep();
        assert!(!first.is_kept());
        assert!(first.begin(provenance("1")).unwrap().is_none());
        (0..3000).for_each(|chunk| first.note(noted(chunk)).unwrap());
        assert!(first.is_kept());
        let path = folder.path().join("j");
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let len = file.metadata().unwrap().len();
        // The last one is cut short, and one before was never written.
        file.set_len(len - 1).unwrap();
        file.write_all_at(&[0; RECORD], len - 2 * RECORD as u64).unwrap();
        let second = journal(&folder, Left::TakenOver);
        let mut earlier = second.begin(provenance("1")).unwrap().unwrap();
        assert_eq!(all(&mut earlier), (0..2998).map(noted).collect::<Vec<_>>());
        second.note(noted(5000)).unwrap();
        let mut earlier =
            journal(&folder, Left::TakenOver).begin(provenance("1")).unwrap().unwrap();
        assert_eq!(all(&mut earlier).last(), Some(&noted(5000)));
        assert_eq!(count(&path), 3001);
    }

    #[test]
    fn what_changed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        journal(&folder, Left::Nothing).begin(provenance("1")).unwrap();
        let error = journal(&folder, Left::TakenOver).begin(provenance("2")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed);
        assert!(error.to_string().contains("the input a.fits changed"), "{error}");
        let (path, target) = (folder.path().join("j"), folder.path().join("x"));
        let error =
            Journal::new(path, &target, "packed".into(), Left::TakenOver, true).unwrap_err();
        assert!(
            error.to_string().contains(
                "the layout of the output (dtype, shape, chunks, codec, attributes) changed"
            ),
            "{error}"
        );
    }

    #[test]
    fn damaged_heads_are_no_journals() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        assert!(!is_whole(&path));
        journal(&folder, Left::Nothing).begin(provenance("1")).unwrap();
        assert!(is_whole(&path));
        let whole = std::fs::read(&path).unwrap();
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert!(!is_whole(&path), "{len}");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x80;
            std::fs::write(&path, bytes).unwrap();
            assert!(!is_whole(&path), "{at}");
        }
    }

    #[test]
    fn a_set_of_chunks() {
        let grid = Grid::regular(&[10, 13], &[1, 1]);
        let set = ChunkSet::new(grid.len());
        (0..129).for_each(|chunk| set.insert(chunk));
        assert!(set.contains(128) && !set.contains(129) && !set.contains(1000));
        let text = set.check_whole(&grid).unwrap_err().to_string();
        assert_eq!(text, "129 of 130 chunks were written; the first missing one is [9, 12]");
        set.insert(129);
        set.check_whole(&grid).unwrap();
    }
}
