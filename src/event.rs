//! What a run tells those who watch it.

use std::fmt;

/// Something that happened in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
