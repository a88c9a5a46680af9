//! What a run tells those who watch it.

use freeboard_formats::FormatError;
use std::{fmt, path::Path, time::Duration};

/// Something that happened in a run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A batch of this stage begins.
    Started {
        /// The stage's name.
        stage: &'a str,
    },
    /// So many of the plan's tasks are finished.
    Progress {
        /// Finished.
        done: u64,
        /// All of them.
        of: u64,
    },
    /// A read failed in a way that may pass, and is tried again.
    Retried {
        /// What went wrong.
        error: &'a FormatError,
        /// How often it was tried by now.
        tries: u32,
        /// How long it waits before the next time.
        wait: Duration,
    },
    /// A store goes on where an earlier one of the same was stopped.
    Resumed {
        /// Chunks of the output that are there already.
        done: u64,
        /// All of them.
        of: u64,
    },
    /// Scratch may be too small: that is known for certain only when it is full.
    ScratchSmall {
        /// The folder.
        folder: &'a Path,
        /// The most bytes that may have to lie there at once.
        most: u64,
        /// Bytes that it has room for.
        available: u64,
    },
    /// What a store that was killed had left of the same output was removed, as nobody asked
    /// to go on with it.
    Swept {
        /// The output.
        output: &'a Path,
        /// Chunks of it that had been written.
        chunks: u64,
    },
}

/// Someone who watches runs; called from many threads, and waited for.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Something happened.
    fn observe(&self, event: &Event<'_>);
}

/// Nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _: &Event<'_>) {}
}
