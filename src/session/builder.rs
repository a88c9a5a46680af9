//! What a session is made of, as its user asks for it.

use super::{Eviction, RESERVE, Session, futures::Background};
use crate::{
    error::{Error, ErrorKind, Result},
    event::{Observer, Silent},
    memory::{Arena, Memory, Spill, default_scratch, heap},
    run::Retry,
    sync::Mutex,
};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// Makes a [`Session`].
#[derive(Debug)]
pub struct Builder {
    memory: Memory,
    threads: Option<usize>,
    scratch: Option<PathBuf>,
    quota: Option<Memory>,
    observer: Arc<dyn Observer>,
    fuse: bool,
    reproducible: bool,
    eviction: Eviction,
    retry: Retry,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            memory: Memory::default(),
            threads: None,
            scratch: None,
            quota: None,
            observer: Arc::new(Silent),
            fuse: true,
            reproducible: false,
            eviction: Eviction::default(),
            retry: Retry::default(),
        }
    }
}

impl Builder {
    /// What the process may hold: bytes, a text such as `"2GiB"`, or [`Memory::fraction`]. By
    /// default the container's limit, or half of the machine's memory.
    #[must_use]
    pub fn memory(mut self, memory: impl Into<Memory>) -> Builder {
        self.memory = memory.into();
        self
    }

    /// How many threads compute; by default as many as there are processors.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Builder {
        self.threads = Some(threads);
        self
    }

    /// The folder for what does not fit in memory; by default `/var/tmp`.
    #[must_use]
    pub fn scratch(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.scratch = Some(folder.into());
        self
    }

    /// The most that may lie on scratch; by default what the disk has.
    #[must_use]
    pub fn scratch_quota(mut self, quota: impl Into<Memory>) -> Builder {
        self.quota = Some(quota.into());
        self
    }

    /// How often a read that failed for a reason which may pass (an I/O error of the device or
    /// the network, a timeout) is tried again, `delay` later at first and twice as much each
    /// further time; by default 3 times, from 0.2 s on. What is missing or damaged is an error at once.
    #[must_use]
    pub fn retries(mut self, times: u32, delay: Duration) -> Builder {
        self.retry = Retry { times, delay };
        self
    }

    /// Who is told what happens.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer + 'static) -> Builder {
        self.observer = Arc::new(observer);
        self
    }

    /// Whether the bits of sums, means, variances and standard deviations of floats (and of means
    /// and spreads of integers) do not depend on the chunks either; by default they are the same for
    /// any threads and any memory, but not for the same data in other chunks. Sums along one axis
    /// outside others are taken in its order, others as if without rounding until the end.
    #[must_use]
    pub fn reproducible(mut self, reproducible: bool) -> Builder {
        self.reproducible = reproducible;
        self
    }

    /// Whether elementwise operations are computed together, which is the default. Without,
    /// each operation is a task for each chunk: for measuring what tasks cost.
    #[must_use]
    pub fn fuse(mut self, fuse: bool) -> Builder {
        self.fuse = fuse;
        self
    }

    /// Which chunk leaves memory first when another needs the room; by default the one that is
    /// needed last. For measuring what knowing the future saves: values do not depend on it.
    #[must_use]
    pub fn eviction(mut self, eviction: Eviction) -> Builder {
        self.eviction = eviction;
        self
    }

    /// The session.
    ///
    /// # Errors
    /// If the memory is no size, too little, or more than the container has; if there are no threads.
    pub fn build(self) -> Result<Session> {
        let memory = self.memory.resolve()?;
        let default = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = self.threads.unwrap_or_else(default);
        if threads == 0 {
            return Err(Error::new(ErrorKind::Session, "a session needs at least one thread"));
        }
        let quota = match self.quota {
            Some(quota) => Some(quota.bytes_given()?),
            None => None,
        };
        let scratch = self.scratch.unwrap_or_else(default_scratch);
        heap::give_back_large_blocks();
        let arena = Arena::new(memory - RESERVE);
        Ok(Session {
            memory,
            threads,
            arena: Arc::new(arena),
            spill: Arc::new(Spill::new(scratch, quota)),
            files: Arc::default(),
            known: Arc::default(),
            observer: self.observer,
            fuse: self.fuse,
            reproducible: self.reproducible,
            eviction: self.eviction,
            retry: self.retry,
            cancel: Mutex::default(),
            admission: Arc::default(),
            persisted: Arc::default(),
            background: Background::default(),
        })
    }
}
