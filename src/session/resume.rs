//! Stores that go on where one was stopped: which chunks are there, and what is kept.
//!
//! Each store notes in a journal what it is made from and which chunks it has written
//! (`freeboard_formats::journal`). One that resumes reads back what was noted, believes what
//! has the right hash, and computes the rest.

use super::Session;
use crate::{
    error::{Error, ErrorKind, Result},
    event::Event,
    expr::Expr,
    plan,
    sync::{Mutex, lock},
};
use freeboard_formats::{
    Cancel, ChunkSet, ChunkSink, ErrorKind as Failure, ReadCx,
    journal::{Earlier, Noted},
};
use std::{path::Path, thread};

/// Bytes through which each thread reads what is to be verified.
const PIECE: usize = 256 << 10;

impl Session {
    /// Begins the journal of a store of `expr` into `sink`; the chunks that need not be made.
    ///
    /// # Errors
    /// If an earlier store that it should go on with was another one.
    pub(super) fn resume(
        &self,
        sink: &dyn ChunkSink,
        expr: &Expr,
        output: &Path,
        cancel: &Cancel,
    ) -> Result<ChunkSet> {
        let done = ChunkSet::new(sink.meta().grid.len());
        let Some(journal) = sink.journal() else { return Ok(done) };
        if let Some(chunks) = journal.swept() {
            self.observer.observe(&Event::Swept { output, chunks });
        }
        if let Some(earlier) = journal.begin(plan::provenance(expr, self.reproducible)?)? {
            self.verify(sink, earlier, &done, cancel)?;
            self.observer.observe(&Event::Resumed { done: done.count(), of: done.len() });
        }
        Ok(done)
    }

    /// Adds to `done` the chunks that are stored as they were noted.
    fn verify(
        &self,
        sink: &dyn ChunkSink,
        earlier: Earlier,
        done: &ChunkSet,
        cancel: &Cancel,
    ) -> Result<()> {
        let (earlier, failed) = (Mutex::new(earlier), Mutex::new(None));
        let verify_some = || {
            let end = self.verify_pieces(sink, &earlier, done, cancel);
            if let Err(error) = end {
                lock(&failed).get_or_insert(error);
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.threads {
                // Fewer threads do the same work.
                if thread::Builder::new().spawn_scoped(scope, verify_some).is_err() {
                    break;
                }
            }
            verify_some();
        });
        let failed = lock(&failed).take();
        failed.map_or(Ok(()), Err)
    }

    fn verify_pieces(
        &self,
        sink: &dyn ChunkSink,
        earlier: &Mutex<Earlier>,
        done: &ChunkSet,
        cancel: &Cancel,
    ) -> Result<()> {
        let mut records: Vec<Noted> = Vec::new();
        let mut scratch = vec![0; PIECE];
        while lock(earlier).next(&mut records)? {
            for noted in &records {
                cancel.check()?;
                let mut cx = ReadCx {
                    scratch: &mut scratch,
                    limit: PIECE as u64,
                    files: &self.files,
                    cancel,
                };
                if !done.contains(noted.chunk) && sink.is_intact(noted, &mut cx)? {
                    done.insert(noted.chunk);
                }
            }
        }
        Ok(())
    }
}

/// The error of a store that failed. Where the disk is to blame, not the work, what was written
/// is kept, and the error tells how to go on.
pub(super) fn kept(sink: &dyn ChunkSink, error: Error) -> Error {
    let disk = matches!(
        error.kind(),
        ErrorKind::Format(Failure::StorageFull | Failure::Io | Failure::Exists)
    );
    let Some(journal) = sink.journal() else { return error };
    if disk {
        journal.keep();
    }
    match journal.is_kept() {
        true => error.help(
            "what was written is kept: the same store goes on with it, with --resume (`resume()`)",
        ),
        false => error,
    }
}
