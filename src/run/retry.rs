//! Trying a read again that failed for a reason which may pass.
//!
//! Disks on networks fail for a moment; hours of work should not end with it. What is damaged,
//! missing or forbidden stays so, and is an error at once.

use crate::{
    error::{Error, Result},
    event::{Event, Observer},
};
use freeboard_formats::{Cancel, FileCache, FormatError};
use std::{thread, time::Duration};

/// The longest time between two looks at whether to stop.
const STEP: Duration = Duration::from_millis(20);
/// The longest time between two tries.
const LONGEST: Duration = Duration::from_secs(60);

/// How often a read is tried again, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    /// After the first try.
    pub times: u32,
    /// Before the second try; each further time it is twice as long.
    pub delay: Duration,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { times: 3, delay: Duration::from_millis(200) }
    }
}

impl Retry {
    /// Calls `read` until it goes well, fails for good, or has been tried often enough.
    pub fn run(
        self,
        observer: &dyn Observer,
        files: &FileCache,
        cancel: &Cancel,
        mut read: impl FnMut() -> std::result::Result<(), FormatError>,
    ) -> Result<()> {
        let (mut wait, mut tries) = (self.delay, 0);
        loop {
            tries += 1;
            let error = match read() {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if tries > self.times || !error.is_transient() {
                return Err(match tries {
                    1 => error.into(),
                    _ => Error::from(error).help(format!("it was tried {tries} times")),
                });
            }
            tracing::warn!(%error, tries, "reading again");
            observer.observe(&Event::Retried { error: &error, tries, wait });
            freeboard_formats::wait::wait(|| pause(wait, cancel))?;
            wait = wait.saturating_mul(2).min(LONGEST);
            // A handle may be what is stale.
            files.clear();
        }
    }
}

/// Waits, unless it is cancelled.
fn pause(mut left: Duration, cancel: &Cancel) -> Result<()> {
    while !left.is_zero() {
        cancel.check()?;
        let step = left.min(STEP);
        thread::sleep(step);
        left -= step;
    }
    Ok(cancel.check()?)
}
