//! Gzipped files (`.fits.gz`): bytes that can only be inflated forwards.
//!
//! A read inflates what lies before its first byte and throws it away, through a window of
//! 32 KiB, so its memory does not depend on the file. Where that would be slow, in
//! images above the size of a chunk, readers leave [`Marks`] behind: copies of the inflater's
//! state, some MiB apart, from which later reads go on. RFC 1951 is left to `miniz_oxide`,
//! whose state can be copied; the wrapping, RFC 1952, and its checksums are here.

use crate::{
    error::{ErrorKind, FormatError, Result},
    stored::ReadAt,
};
use libdeflater::Crc;
use miniz_oxide::inflate::{
    TINFLStatus,
    core::{DecompressorOxide, decompress, inflate_flags::TINFL_FLAG_HAS_MORE_INPUT},
};
use std::{
    cell::Cell,
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// How every gzip stream begins.
pub(super) const MAGIC: [u8; 3] = [0x1F, 0x8B, 8];
/// The farthest that a deflate stream refers back.
const WINDOW: usize = 32 << 10;
/// Compressed bytes that are read at a time.
const INPUT: usize = 64 << 10;
/// A deflate stream inflates to at most so many times its own length.
pub(super) const MOST_RATIO: u64 = 1032;
/// The least distance between marks, in inflated bytes.
const LEAST_SPACING: u64 = 16 << 20;
/// The most marks that a file has.
const MOST_MARKS: u64 = 64;
/// Bytes of memory that a mark takes, nearly.
const MARK_BYTES: u64 = 43 << 10;

fn corrupt(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Corrupt, message)
}

/// Where in a gzipped file reads may begin.
pub(super) struct Marks {
    /// Inflated bytes between two; `None` where a file is not worth marks.
    spacing: Option<u64>,
    kept: Mutex<BTreeMap<u64, Arc<State>>>,
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marks").field("spacing", &self.spacing).finish_non_exhaustive()
    }
}

impl Marks {
    /// For a file whose interesting bytes end at `end` once inflated, and which is read in
    /// parts where they are more than `chunk`.
    pub(super) fn new(end: u64, chunk: u64) -> Marks {
        let spacing = (end > chunk).then(|| LEAST_SPACING.max(end / MOST_MARKS));
        Marks { spacing, kept: Mutex::default() }
    }

    /// Bytes of memory that all marks up to `end` take.
    pub(super) fn held(&self, end: u64) -> u64 {
        self.spacing.map_or(0, |spacing| end / spacing * MARK_BYTES)
    }

    /// The bytes that are inflated for those from `start` to `end`, once the marks are there.
    pub(super) fn inflated(&self, start: u64, end: u64) -> u64 {
        end - self.spacing.map_or(0, |spacing| start - start % spacing)
    }

    fn before(&self, at: u64) -> Option<Arc<State>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.range(..=at).next_back().map(|(_, state)| state.clone())
    }

    /// Keeps a copy of the state if none is near.
    fn pass(&self, state: &State) {
        let Some(spacing) = self.spacing else { return };
        let cell = state.at / spacing;
        let is_new = |kept: &BTreeMap<u64, Arc<State>>| {
            let mut near = kept.range(cell * spacing..(cell + 1) * spacing);
            cell > 0 && cell <= MOST_MARKS && near.next().is_none()
        };
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if is_new(&lock()) {
            let copy = Arc::new(state.clone());
            lock().insert(state.at, copy);
        }
    }
}

/// All that inflating goes on from.
#[derive(Clone)]
struct State {
    core: Box<DecompressorOxide>,
    /// The last inflated bytes, as a ring.
    window: Box<[u8]>,
    /// Where in the ring the next byte goes.
    turn: usize,
    /// Compressed bytes taken so far.
    taken: u64,
    /// Inflated bytes made so far.
    at: u64,
    /// Whether a member of the stream has begun and not ended.
    inside: bool,
    /// Whether the last member has ended.
    ended: bool,
    /// CRC-32 and length of the member so far.
    crc: u32,
    len: u32,
}

/// A gzip stream being inflated.
pub(super) struct Stream {
    state: State,
    input: Box<[u8]>,
    /// The part of `input` that is not taken yet.
    unread: (usize, usize),
    /// Bytes before `state.turn` that were not handed out yet.
    ready: usize,
}

thread_local! {
    /// About 110 KiB, once a thread that reads gzipped files.
    static SPARE: Cell<Option<Box<Stream>>> = const { Cell::new(None) };
}

/// A stream of this thread's, at its beginning; goes back when it is dropped.
pub(super) struct Lent(Option<Box<Stream>>);

impl Lent {
    pub(super) fn new() -> Lent {
        let mut stream = SPARE.take().unwrap_or_else(|| Box::new(Stream::new()));
        stream.rewind();
        Lent(Some(stream))
    }
}

impl std::ops::Deref for Lent {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        self.0.as_ref().expect("there until it is dropped")
    }
}

impl std::ops::DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Stream {
        self.0.as_mut().expect("there until it is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        SPARE.set(self.0.take());
    }
}

impl Stream {
    fn new() -> Stream {
        let state = State {
            core: Box::default(),
            window: vec![0; WINDOW].into(),
            turn: 0,
            taken: 0,
            at: 0,
            inside: false,
            ended: false,
            crc: 0,
            len: 0,
        };
        Stream { state, input: vec![0; INPUT].into(), unread: (0, 0), ready: 0 }
    }

    fn rewind(&mut self) {
        let state = &mut self.state;
        (state.turn, state.taken, state.at) = (0, 0, 0);
        (state.inside, state.ended) = (false, false);
        (self.unread, self.ready) = ((0, 0), 0);
    }

    /// Goes to the best place from which the byte `at` can be reached.
    fn seek(&mut self, at: u64, marks: Option<&Marks>) {
        let here = self.state.at - self.ready as u64;
        if here <= at && at - here < LEAST_SPACING {
            return;
        }
        match marks.and_then(|marks| marks.before(at)) {
            Some(mark) if here > at || mark.at > here => {
                self.state.clone_from(&mark);
                (self.unread, self.ready) = ((0, 0), 0);
            }
            None if here > at => self.rewind(),
            _ => {}
        }
    }

    /// Fills `buffer` with the inflated bytes from `at` on; fewer only at the stream's end.
    pub(super) fn read(
        &mut self,
        file: &dyn ReadAt,
        marks: Option<&Marks>,
        buffer: &mut [u8],
        at: u64,
    ) -> Result<usize> {
        self.seek(at, marks);
        let mut done = 0;
        while done < buffer.len() {
            if self.ready == 0 {
                if let Some(marks) = marks {
                    marks.pass(&self.state);
                }
                if !self.inflate(file)? {
                    break;
                }
            }
            let here = self.state.at - self.ready as u64;
            let skip = usize::try_from(at.saturating_sub(here)).unwrap_or(usize::MAX);
            if skip >= self.ready {
                self.ready = 0;
                continue;
            }
            self.ready -= skip;
            let len = self.ready.min(buffer.len() - done);
            // What is ready never wraps around: one step of inflating ends with the ring.
            let end = if self.state.turn == 0 { WINDOW } else { self.state.turn };
            let from = end - self.ready;
            buffer[done..done + len].copy_from_slice(&self.state.window[from..from + len]);
            self.ready -= len;
            done += len;
        }
        Ok(done)
    }

    /// Inflates some more; `false` at the end.
    fn inflate(&mut self, file: &dyn ReadAt) -> Result<bool> {
        loop {
            if !self.state.inside && !self.begin_member(file)? {
                return Ok(false);
            }
            if self.unread.0 == self.unread.1 && !self.load(file)? {
                return Err(self.truncated());
            }
            let State { core, window, turn, .. } = &mut self.state;
            let from = *turn;
            let input = &self.input[self.unread.0..self.unread.1];
            let (status, taken, made) =
                decompress(core, input, window, from, TINFL_FLAG_HAS_MORE_INPUT);
            self.unread.0 += taken;
            let state = &mut self.state;
            let mut crc = Crc::with_initial(state.crc);
            crc.update(&state.window[from..from + made]);
            (state.crc, state.len) = (crc.sum(), state.len.wrapping_add(made as u32));
            (state.taken, state.at) = (state.taken + taken as u64, state.at + made as u64);
            state.turn = (from + made) % WINDOW;
            self.ready = made;
            match status {
                TINFLStatus::Done => self.end_member(file)?,
                TINFLStatus::NeedsMoreInput | TINFLStatus::HasMoreOutput => {}
                _ => {
                    return Err(corrupt(format!(
                        "the gzip stream is damaged after {} inflated bytes",
                        self.state.at
                    )));
                }
            }
            if made > 0 {
                return Ok(true);
            }
        }
    }

    fn truncated(&self) -> FormatError {
        corrupt(format!(
            "truncated: the gzip stream ends after {} bytes, {} inflated",
            self.state.taken, self.state.at
        ))
    }

    fn load(&mut self, file: &dyn ReadAt) -> Result<bool> {
        let len = file.read_at(&mut self.input, self.state.taken)?;
        self.unread = (0, len);
        Ok(len > 0)
    }

    fn byte(&mut self, file: &dyn ReadAt) -> Result<Option<u8>> {
        if self.unread.0 == self.unread.1 && !self.load(file)? {
            return Ok(None);
        }
        let byte = self.input[self.unread.0];
        self.unread.0 += 1;
        self.state.taken += 1;
        Ok(Some(byte))
    }

    fn bytes<const N: usize>(&mut self, file: &dyn ReadAt) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte(file)?.ok_or_else(|| self.truncated())?;
        }
        Ok(bytes)
    }

    /// Reads the header of a member (RFC 1952, section 2.3); `false` if there is none. What
    /// follows the last member is left alone, as gzip does.
    fn begin_member(&mut self, file: &dyn ReadAt) -> Result<bool> {
        for expected in MAGIC {
            if self.state.ended || self.byte(file)? != Some(expected) {
                self.state.ended = true;
                return Ok(false);
            }
        }
        let [flags] = self.bytes(file)?;
        self.bytes::<6>(file)?;
        if flags & 4 != 0 {
            for _ in 0..u16::from_le_bytes(self.bytes(file)?) {
                self.bytes::<1>(file)?;
            }
        }
        // A name and a comment, each ended by a zero.
        for flag in [8, 16] {
            while flags & flag != 0 && self.bytes::<1>(file)? != [0] {}
        }
        if flags & 2 != 0 {
            self.bytes::<2>(file)?;
        }
        let state = &mut self.state;
        state.core.init();
        (state.inside, state.crc, state.len) = (true, 0, 0);
        Ok(true)
    }

    fn end_member(&mut self, file: &dyn ReadAt) -> Result<()> {
        let (crc, len) =
            (u32::from_le_bytes(self.bytes(file)?), u32::from_le_bytes(self.bytes(file)?));
        self.state.inside = false;
        match (crc, len) == (self.state.crc, self.state.len) {
            true => Ok(()),
            false => Err(corrupt("the gzip stream's checksum is not that of its bytes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libdeflater::{CompressionLvl, Compressor};

    fn zipped(bytes: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(CompressionLvl::new(1).unwrap());
        let mut out = vec![0; compressor.gzip_compress_bound(bytes.len())];
        let len = compressor.gzip_compress(bytes, &mut out).unwrap();
        out.truncate(len);
        out
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut x = 1u32;
        let step = |_| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 28) as u8
        };
        (0..len).map(step).collect()
    }

    fn read(
        stream: &mut Stream,
        file: &[u8],
        marks: Option<&Marks>,
        at: u64,
        len: usize,
    ) -> Result<Vec<u8>> {
        let mut buffer = vec![0; len];
        let done = stream.read(&file, marks, &mut buffer, at)?;
        buffer.truncate(done);
        Ok(buffer)
    }

    #[test]
    fn any_part_in_any_order_and_over_members() {
        let bytes = noise(300_000);
        let mut file = zipped(&bytes[..120_000]);
        file.extend(zipped(&[]));
        file.extend(zipped(&bytes[120_000..]));
        file.extend([0; 100]);
        let marks = Marks { spacing: Some(40_000), kept: Mutex::default() };
        let mut stream = Lent::new();
        for marks in [None, Some(&marks)] {
            for (at, len) in [(0, 10), (119_000, 2000), (5, 300_000), (299_999, 1), (70_000, 9)] {
                let end = (at + len).min(bytes.len());
                let part = read(&mut stream, &file, marks, at as u64, len).unwrap();
                assert_eq!(part, &bytes[at..end], "{at} {len}");
            }
            assert!(read(&mut stream, &file, marks, 300_000, 5).unwrap().is_empty());
        }
        assert!(marks.kept.lock().unwrap().len() >= 6);
        let mut other = Lent::new();
        assert_eq!(
            read(&mut other, &file, Some(&marks), 250_000, 4).unwrap(),
            &bytes[250_000..][..4]
        );
    }

    #[test]
    fn headers_with_names_and_damage() {
        let bytes = noise(1000);
        let plain = zipped(&bytes);
        let mut named = plain[..3].to_vec();
        named.push(4 | 8 | 16 | 2);
        named.extend(&plain[4..10]);
        named.extend([2, 0, 7, 7]);
        named.extend(b"name\0a comment\0hc");
        named.extend(&plain[10..]);
        let mut stream = Lent::new();
        assert_eq!(read(&mut stream, &named, None, 0, 2000).unwrap(), bytes);
        for cut in 0..named.len() {
            stream.rewind();
            let outcome = read(&mut stream, &named[..cut], None, 0, 2000);
            assert!(cut < 3 || outcome.is_err(), "cut to {cut} bytes");
        }
        let last = named.len() - 6;
        named[last] ^= 1;
        stream.rewind();
        assert!(
            read(&mut stream, &named, None, 0, 2000).unwrap_err().to_string().contains("checksum")
        );
    }
}
