//! The program `freeboard`: looks at arrays in files, and makes new ones of them.
//!
//! | file | owns |
//! |---|---|
//! | [`args`] | what may be said on the command line |
//! | [`info`], [`headers`], [`stats`], [`reduce`], [`rebin`], [`convert`], [`combine`], [`calc`] | one command each |
//! | [`job`] | what commands share: inputs opened, a session, an output stored |
//! | [`output`] | results on stdout, as text and as JSON |
//! | [`progress`] | everything for people, on stderr |
//! | [`interrupt`] | signals |
//!
//! Exit codes: 0, or 1 (it failed: one message), 2 (wrong usage), 128 + the signal that
//! stopped it (129, 130, 143).

mod args;
mod calc;
mod combine;
mod convert;
mod headers;
mod info;
mod interrupt;
mod job;
mod output;
mod progress;
mod rebin;
mod reduce;
mod stats;

use args::{Cli, Command};
use clap::Parser;
use freeboard::{Error, ErrorKind};
use std::{
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

/// Whether a panic was told of already.
static PANICKED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let cli = Cli::parse();
    panic::set_hook(Box::new(|panic| {
        if !PANICKED.swap(true, Ordering::AcqRel) {
            let text = panic.to_string().replace('\n', " ");
            progress::say(&format!(
                "error: a fault of freeboard itself: {text}\n  please report it, with the command that was run"
            ));
        }
    }));
    interrupt::watch();
    let done = panic::catch_unwind(AssertUnwindSafe(|| match &cli.command {
        Command::Info(args) => info::run(args),
        Command::Headers(args) => headers::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Reduce(args) => reduce::run(args),
        Command::Rebin(args) => rebin::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Combine(args) => combine::run(args),
        Command::Calc(args) => calc::run(args),
    }));
    if PANICKED.load(Ordering::Acquire) {
        return ExitCode::FAILURE;
    }
    match done {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) if error.is_cancelled() => {
            progress::say(&match error.help_text() {
                Some(kept) => format!("stopped: no output was made\n  {kept}"),
                None => "stopped: no output was made, nothing is left behind".to_owned(),
            });
            interrupt::exit_code()
        }
        Ok(Err(error)) => {
            progress::say(&format!("error: {}", text_of(&error)));
            match error.kind() {
                // A formula that cannot be read is a command that cannot be.
                ErrorKind::Formula => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
        Err(_) => ExitCode::FAILURE,
    }
}

/// What an error says, without the line of this program that it names: a mistake in an
/// expression is the command line's here.
fn text_of(error: &Error) -> String {
    let text = error.to_string();
    match error.location() {
        Some(at) => text.replacen(&format!(" at {}:{}", at.file(), at.line()), "", 1),
        None => text,
    }
}
