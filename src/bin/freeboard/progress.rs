//! What people are told, on stderr: a bar on a terminal, else a plain line every few seconds.

use freeboard::{
    event::{Event, Observer},
    memory::format_bytes,
};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use std::{
    io::{IsTerminal, Write as _, stderr},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// The least time between two plain lines.
const PAUSE: Duration = Duration::from_secs(5);

/// Writes a line to stderr; if nobody can read it, that is no error.
pub fn say(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// Watches the runs of one command.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: &'static str,
    quiet: bool,
    terminal: bool,
    started: Instant,
    bar: OnceLock<ProgressBar>,
    said: Mutex<Instant>,
}

impl Progress {
    /// For the command `name`.
    pub fn new(name: &'static str, quiet: bool) -> Progress {
        let now = Instant::now();
        let terminal = stderr().is_terminal();
        let (bar, said) = (OnceLock::new(), Mutex::new(now));
        Progress(Arc::new(Inner { name, quiet, terminal, started: now, bar, said }))
    }

    /// Writes a line behind a word, unless it should be quiet.
    pub fn tell(&self, word: &str, text: &str) {
        if !self.0.quiet {
            say(&format!("{word:<6} {text}"));
        }
    }

    /// Something that a user should know, beside the bar if there is one.
    fn note(&self, text: &str) {
        match self.0.bar.get() {
            Some(bar) if !self.0.quiet => bar.println(format!("{:<6} {text}", "note")),
            _ => self.tell("note", text),
        }
    }

    /// The end of a run: what is on the terminal stays if all went well.
    pub fn end(&self, well: bool) {
        let Some(bar) = self.0.bar.get() else { return };
        // Its last state is a line like any other: what follows begins on the next one.
        let (done, of, elapsed) = (bar.position(), bar.length().unwrap_or(0), bar.elapsed());
        bar.finish_and_clear();
        if well {
            let rate = number(done as f64 / elapsed.as_secs_f64().max(1e-3));
            let text =
                format!("{} {done}/{of}   {rate} tasks/s   {}", "━".repeat(24), clock(elapsed));
            self.tell(self.0.name, &text);
        }
    }
}

impl Observer for Progress {
    fn observe(&self, event: &Event<'_>) {
        let inner = &*self.0;
        let (done, of) = match *event {
            Event::Progress { done, of } => (done, of),
            Event::ScratchSmall { folder, most, available } => {
                return self.note(&format!(
                    "the scratch folder {} has room for {}, and up to {} may be spilled",
                    folder.display(),
                    format_bytes(available),
                    format_bytes(most)
                ));
            }
            Event::Swept { chunks: 0, .. } => return,
            Event::Swept { output, chunks } => {
                let output = output.display();
                return self.note(&format!(
                    "{chunks} chunks that an unfinished run had written of {output} were removed; \
                     --resume would have gone on with them"
                ));
            }
            Event::Resumed { done, of } => {
                return self.note(&format!("{done} of {of} chunks are there already"));
            }
            Event::Retried { error, tries, wait } => {
                return self.note(&format!(
                    "try {tries} failed, the next is in {:.1} s: {error}",
                    wait.as_secs_f64()
                ));
            }
            _ => return,
        };
        if inner.quiet {
            return;
        }
        if inner.terminal {
            let bar = inner.bar.get_or_init(|| bar(inner.name));
            bar.set_length(of);
            // Workers tell of their tasks side by side, and not always in order.
            bar.set_position(done.max(bar.position()));
            return;
        }
        let mut said = inner.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.elapsed() >= PAUSE {
            *said = Instant::now();
            let elapsed = inner.started.elapsed();
            let rate = done as f64 / elapsed.as_secs_f64();
            self.tell(
                inner.name,
                &format!("{done}/{of}   {} tasks/s   {}", number(rate), clock(elapsed)),
            );
        }
    }
}

fn bar(name: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:<6} {bar:24} {pos}/{len}   {rate}   {clock}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{} tasks/s", number(state.per_sec()));
        })
        .with_key("clock", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{}", clock(state.elapsed()));
        })
        .progress_chars("━╸─");
    let bar = ProgressBar::new(0).with_style(style).with_prefix(name);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A rate with two digits or more.
fn number(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

/// `0:00:09`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates() {
        assert_eq!(clock(Duration::from_secs(3 * 3600 + 62)), "3:01:02");
        assert_eq!((number(0.25).as_str(), number(177.6).as_str()), ("0.2", "178"));
    }
}
