//! What a run did, beside what was predicted.

use crate::{memory::format_bytes, plan::Totals};
use serde_json::{Value, json};
use std::fmt;

/// What storing an array took.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// From the call to the output's being visible.
    pub seconds: f64,
    /// What the plan said.
    pub predicted: Totals,
    /// Bytes fetched from storage.
    pub read: u64,
    /// Bytes of elements that were not read, as an earlier run of the session had left copies of them in memory.
    pub reused: u64,
    /// Bytes handed to storage.
    pub written: u64,
    /// Bytes of chunks that were written to scratch.
    pub spilled: u64,
    /// What these took there: less, where they were packed.
    pub scratch: u64,
    /// The most that the process held, as the operating system counts it; `None` where it does not tell.
    pub peak: Option<u64>,
    /// What it was allowed to hold.
    pub memory: u64,
    /// How many files of the arrays that were read were taken as missing, since they were opened.
    pub missing: u64,
    /// What was wrong with some of them, a line each that names the file.
    pub missing_reasons: Vec<String>,
}

impl Report {
    /// The report as JSON, for programs: `seconds`, `read`, `reused`, `written`, `spilled`, `scratch`,
    /// `peak` (null where it is not known) and `memory` in bytes, how many files were taken as `missing`, and
    /// what was `predicted`, as [`Totals::to_json`] has it.
    pub fn to_json(&self) -> Value {
        json!({
            "seconds": self.seconds,
            "read": self.read,
            "reused": self.reused,
            "written": self.written,
            "spilled": self.spilled,
            "scratch": self.scratch,
            "peak": self.peak,
            "memory": self.memory,
            "missing": self.missing,
            "predicted": self.predicted.to_json(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} s · read {} · wrote {}",
            self.seconds,
            format_bytes(self.read),
            format_bytes(self.written)
        )?;
        if self.reused > 0 {
            write!(f, " · reused {}", format_bytes(self.reused))?;
        }
        if let Some(peak) = self.peak {
            write!(f, " · peak {} of {}", format_bytes(peak), format_bytes(self.memory))?;
        }
        write!(
            f,
            " · spilled {}",
            if self.spilled == 0 { "0".into() } else { format_bytes(self.spilled).to_string() }
        )?;
        if self.scratch < self.spilled {
            write!(f, " as {}", format_bytes(self.scratch))?;
        }
        match self.missing {
            0 => Ok(()),
            1 => write!(f, " · 1 file missing"),
            n => write!(f, " · {n} files missing"),
        }
    }
}
