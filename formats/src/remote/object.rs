//! Reading one object: ranges of it, into buffers that are there already.
//!
//! Its length and version are those that the first response told; later requests insist on that
//! version, where the server names versions (ETag), so parts of two are never mixed.
//!
//! Long reads go straight to their place, in several requests at a time where they are very
//! long. Short ones, of headers, rows and tiles that lie one after the other, would be a
//! request each: they are served from what a thread has read ahead, twice as far each time that
//! it came there by going forwards.

use super::{
    bucket::Bucket,
    prefix::Prefix,
    request::{failed, unless_absent, wait},
};
use crate::{
    error::{ErrorKind, FormatError, Result},
    source::Fingerprint,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{Error, GetOptions, GetRange, ObjectMeta, ObjectStoreExt, path::Path as Key};
use std::{
    cell::RefCell,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// Bytes that one request holds beside the caller's buffer: what its connection has read, at
/// most 400 KiB as hyper has it, and what TLS has yet to decrypt.
pub(super) const CONNECTION: u64 = 1 << 20;

/// Bytes of one request of a very long read.
const STRETCH: usize = 8 << 20;

/// Requests of one read that are made at a time.
const AT_A_TIME: usize = 4;

/// The least and the most that is read ahead.
const LEAST_AHEAD: usize = 64 << 10;
const MOST_AHEAD: usize = 2 << 20;

/// Bytes that a read allocates by itself: connections, and what its thread has read ahead.
pub(crate) const FOREIGN: u64 = AT_A_TIME as u64 * CONNECTION + MOST_AHEAD as u64;

/// How often one read goes on with a response that broke off, where that has brought it on or
/// nobody else has tried.
const MOST_BREAKS: u32 = 5;

/// The time before it first does; each further time it is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// One object of a bucket.
#[derive(Debug)]
pub(crate) struct Object {
    bucket: Arc<Bucket>,
    key: Key,
    name: String,
    /// Tells objects apart in what threads have read ahead.
    id: u64,
    seen: OnceLock<Seen>,
}

/// What the first response told.
#[derive(Debug)]
struct Seen {
    len: u64,
    /// Its version, of a server that names them so that they can be asked for.
    tag: Option<String>,
    /// Whether `object_store` goes on with a response that broke off: of a version with a name.
    is_resumed: bool,
    modified: SystemTime,
    fingerprint: Fingerprint,
}

/// What one thread has read ahead.
#[derive(Default)]
struct Ahead {
    id: u64,
    start: u64,
    bytes: Vec<u8>,
}

thread_local! {
    static AHEAD: RefCell<Ahead> = RefCell::default();
}

/// Why a response is not in the buffer.
enum Unread {
    /// None came that could be used; `object_store` has tried again whatever may pass.
    Refused(Error),
    /// It broke off: what came before is there.
    Broken(Error),
}

impl Object {
    pub(super) fn new(prefix: &Prefix, key: &str) -> Object {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Object {
            bucket: prefix.bucket().clone(),
            key: prefix.key(key),
            name: prefix.name(key),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            seen: OnceLock::new(),
        }
    }

    fn failed(&self, error: Error) -> FormatError {
        failed(&self.bucket, &self.name, "reading it", error)
    }

    fn see(&self, meta: &ObjectMeta) -> Result<&Seen, Error> {
        let seen = self.seen.get_or_init(|| {
            // Weak versions cannot be insisted on (RFC 9110, 13.1.1).
            let tag = meta.e_tag.clone().filter(|tag| !tag.starts_with("W/"));
            let ObjectMeta { size, last_modified, e_tag, .. } = meta;
            let text = format!("{}\0{size}\0{last_modified}\0{e_tag:?}", self.name);
            let modified = SystemTime::from(*last_modified);
            let is_resumed = e_tag.is_some();
            Seen {
                len: *size,
                tag,
                is_resumed,
                modified,
                fingerprint: Fingerprint::of(text.as_bytes()),
            }
        });
        match seen.len == meta.size {
            true => Ok(seen),
            false => Err(Error::Precondition {
                path: self.name.clone(),
                source: format!("it had {} bytes and has {}", seen.len, meta.size).into(),
            }),
        }
    }

    /// What is known of it; asks for that if nothing is. `None` if it is not there.
    fn seen(&self) -> Result<Option<&Seen>> {
        if let Some(seen) = self.seen.get() {
            return Ok(Some(seen));
        }
        let head = unless_absent(wait(self.bucket.store.head(&self.key)));
        match head.map_err(|e| self.failed(e))? {
            Some(meta) => self.see(&meta).map(Some).map_err(|e| self.failed(e)),
            None => Ok(None),
        }
    }

    /// Its length in bytes; `None` if it is not there.
    pub(crate) fn len(&self) -> Result<Option<u64>> {
        Ok(self.seen()?.map(|seen| seen.len))
    }

    /// Its length, and when it was modified; `None` if it is not there.
    pub(crate) fn stat(&self) -> Result<Option<(u64, SystemTime)>> {
        Ok(self.seen()?.map(|seen| (seen.len, seen.modified)))
    }

    /// Changes with its version.
    pub(crate) fn fingerprint(&self) -> Result<Fingerprint> {
        self.seen()?.map(|seen| seen.fingerprint).ok_or_else(|| self.gone())
    }

    fn gone(&self) -> FormatError {
        FormatError::new(ErrorKind::NotFound, "no such object").at(&self.name)
    }

    /// Puts the whole object into `buffer`, unless it is longer; how long it is, `None` if it is
    /// not there.
    pub(crate) fn read_whole(&self, buffer: &mut [u8]) -> Result<Option<u64>> {
        self.read_once(None, buffer)
    }

    /// Fills `buffer` with the object's first or last bytes, unless it is shorter; how long it
    /// is, `None` if it is not there.
    pub(crate) fn read_end(&self, buffer: &mut [u8], last: bool) -> Result<Option<u64>> {
        let len = buffer.len() as u64;
        if len == 0 {
            return self.len();
        }
        let range = if last { GetRange::Suffix(len) } else { GetRange::Bounded(0..len) };
        self.read_once(Some(range), buffer)
    }

    /// [`Object::read_whole`], with what `object_store` says of a failure.
    pub(super) fn fetch_whole(&self, buffer: &mut [u8]) -> Result<Option<u64>, Error> {
        self.fetch_once(None, buffer)
    }

    fn read_once(&self, range: Option<GetRange>, buffer: &mut [u8]) -> Result<Option<u64>> {
        self.fetch_once(range, buffer).map_err(|e| self.failed(e))
    }

    fn fetch_once(&self, range: Option<GetRange>, bytes: &mut [u8]) -> Result<Option<u64>, Error> {
        let is_there = unless_absent(wait(self.fetch(range, bytes)))?.is_some();
        Ok(self.seen.get().filter(|_| is_there).map(|seen| seen.len))
    }

    /// Puts what begins at the byte `at` into `buffer`; how much that was, 0 only at the end.
    pub(crate) fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<usize> {
        let Some(len) = self.len()? else { return Err(self.gone()) };
        let end = len.min(at.saturating_add(buffer.len() as u64));
        let Some(wanted) = end.checked_sub(at).filter(|&wanted| wanted > 0) else { return Ok(0) };
        let buffer = &mut buffer[..wanted as usize];
        match buffer.len() > MOST_AHEAD / 2 {
            true => self.read_range(at..end, buffer)?,
            false => AHEAD.with_borrow_mut(|ahead| self.read_ahead(ahead, buffer, at, len))?,
        }
        Ok(buffer.len())
    }

    fn read_ahead(&self, ahead: &mut Ahead, buffer: &mut [u8], at: u64, len: u64) -> Result<()> {
        let end = at + buffer.len() as u64;
        let has = ahead.start..ahead.start + ahead.bytes.len() as u64;
        let is_same = ahead.id == self.id;
        if !(is_same && has.start <= at && end <= has.end) {
            // Forwards is what begins in what was read, or not farther behind it than that long.
            let reach = has.end + ahead.bytes.len() as u64;
            let is_forwards = is_same && has.start <= at && at <= reach;
            let most = if is_forwards { 2 * ahead.bytes.len() } else { LEAST_AHEAD };
            let most = most.clamp(buffer.len().max(LEAST_AHEAD), MOST_AHEAD) as u64;
            let range = at..len.min(at + most);
            ahead.id = 0;
            ahead.bytes.resize((range.end - range.start) as usize, 0);
            self.read_range(range, &mut ahead.bytes)?;
            (ahead.id, ahead.start) = (self.id, at);
        }
        let from = (at - ahead.start) as usize;
        buffer.copy_from_slice(&ahead.bytes[from..from + buffer.len()]);
        Ok(())
    }

    /// Fills `buffer` with `range`, in several requests at a time where it is long.
    fn read_range(&self, range: Range<u64>, buffer: &mut [u8]) -> Result<()> {
        let starts = (range.start..).step_by(STRETCH);
        let parts = buffer.chunks_mut(STRETCH).zip(starts).map(|(part, start)| {
            let range = GetRange::Bounded(start..start + part.len() as u64);
            self.fetch(Some(range), part)
        });
        let all = stream::iter(parts).buffer_unordered(AT_A_TIME);
        wait(all.try_collect::<()>()).map_err(|e| self.failed(e))
    }

    /// Puts the object, or a range of it, into `buffer`, unless it is longer (which its length
    /// then tells); goes on where a response breaks off.
    async fn fetch(&self, range: Option<GetRange>, buffer: &mut [u8]) -> Result<(), Error> {
        let mut goal: Option<Range<u64>> = None;
        let mut done = 0;
        let mut breaks = 0;
        loop {
            let rest =
                goal.as_ref().map(|goal| GetRange::Bounded(goal.start + done as u64..goal.end));
            let before = done;
            match self.attempt(rest.or_else(|| range.clone()), &mut goal, buffer, &mut done).await {
                Ok(()) => return Ok(()),
                Err(Unread::Broken(_))
                    if breaks < MOST_BREAKS && (done > before || !self.is_resumed()) =>
                {
                    tokio::time::sleep(FIRST_WAIT * 2u32.pow(breaks)).await;
                    breaks += 1;
                }
                Err(Unread::Refused(error) | Unread::Broken(error)) => return Err(error),
            }
        }
    }

    fn is_resumed(&self) -> bool {
        self.seen.get().is_some_and(|seen| seen.is_resumed)
    }

    /// Makes one request, and appends what it gives to the first `done` bytes of `buffer`.
    async fn attempt(
        &self,
        range: Option<GetRange>,
        goal: &mut Option<Range<u64>>,
        buffer: &mut [u8],
        done: &mut usize,
    ) -> Result<(), Unread> {
        let if_match = self.seen.get().and_then(|seen| seen.tag.clone());
        let options = GetOptions { range, if_match, ..GetOptions::default() };
        let response = self.bucket.store.get_opts(&self.key, options).await;
        let response = response.map_err(Unread::Refused)?;
        self.see(&response.meta).map_err(Unread::Refused)?;
        let goal = goal.get_or_insert_with(|| response.range.clone());
        let len = goal.end - goal.start;
        if len > buffer.len() as u64 {
            return Ok(());
        }
        let mut pieces = response.into_stream();
        while let Some(piece) = pieces.try_next().await.map_err(Unread::Broken)? {
            let end = *done + piece.len();
            if end as u64 > len {
                return Err(Unread::Refused(broken("the response has more bytes than it told")));
            }
            buffer[*done..end].copy_from_slice(&piece);
            *done = end;
        }
        match *done as u64 == len {
            true => Ok(()),
            false => Err(Unread::Broken(broken(&format!(
                "the response broke off behind {done} of {len} bytes"
            )))),
        }
    }
}

fn broken(message: &str) -> Error {
    Error::Generic { store: "HTTP", source: message.into() }
}
