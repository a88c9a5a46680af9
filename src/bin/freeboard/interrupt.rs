//! Ctrl-C, SIGTERM and a terminal that is gone: the first cancels the run, which cleans up; a second ends the process.
//! A file that outgrows the limit of its size is no end: its write fails, and tells.

use freeboard::Session;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    iterator::Signals,
};
use std::{
    fs,
    process::{self, ExitCode},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    thread,
    time::Duration,
};

/// The signal that asked to stop, or 0.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// The session that has something to clean up.
static BUSY: Mutex<Option<Arc<Session>>> = Mutex::new(None);

fn busy() -> MutexGuard<'static, Option<Arc<Session>>> {
    BUSY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for signals from now on, on a thread of its own. Where there can be none, signals end
/// the process as they always do.
pub fn watch() {
    let mut watched = vec![SIGINT, SIGTERM, SIGXFSZ];
    if !hangup_is_ignored() {
        watched.push(SIGHUP);
    }
    let Ok(mut signals) = Signals::new(watched) else { return };
    let spawned = thread::Builder::new().name("signals".into()).spawn(move || {
        signals.forever().filter(|&signal| signal != SIGXFSZ).for_each(stop);
    });
    drop(spawned);
}

/// Whether this process was started to outlive its terminal, by `nohup`.
fn hangup_is_ignored() -> bool {
    // proc(5): a mask in hexadecimal; the lowest bit is signal 1, SIGHUP.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

fn stop(signal: i32) {
    if SIGNAL.swap(signal, Ordering::AcqRel) != 0 {
        process::exit(128 + signal);
    }
    // The lock is kept until the process is gone: no run begins meanwhile.
    let running = busy();
    let Some(session) = running.clone() else { process::exit(128 + signal) };
    drop(running);
    // A session cancels what runs now: again and again, for a run that is just about to begin.
    let again = thread::Builder::new().name("cancel".into()).spawn(move || {
        loop {
            session.cancel();
            thread::sleep(Duration::from_millis(20));
        }
    });
    drop(again);
}

/// Calls `work`; a signal that comes meanwhile cancels what the session runs.
pub fn cancellable<T>(session: &Arc<Session>, work: impl FnOnce(&Session) -> T) -> T {
    *busy() = Some(session.clone());
    let result = work(session);
    *busy() = None;
    result
}

/// The exit code of what a signal stopped.
pub fn exit_code() -> ExitCode {
    match u8::try_from(SIGNAL.load(Ordering::Acquire)) {
        Ok(signal) if signal > 0 => ExitCode::from(128 + signal),
        _ => ExitCode::FAILURE,
    }
}
