//! What single parts take, beside what they could take at best.

mod formats;
mod growth;

use crate::context::Result;
use clap::{Args, Subcommand};
use freeboard::{Session, array::ones, formats::Writer};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What can be measured beside the workloads.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Formats beside the floors of their paths; opening many files; single frames.
    Formats(formats::Formats),
    /// Graphs of more and more small tasks; one chunk of more and more.
    Growth(growth::Growth),
}

impl Part {
    /// Measures, prints a table as it goes, and returns the same for programs.
    pub(crate) fn run(&self) -> Result<Value> {
        match self {
            Part::Formats(formats) => formats.run(),
            Part::Growth(growth) => growth.run(),
        }
    }
}

/// What all parts are told.
#[derive(Args, Debug)]
struct Common {
    /// The folder for data that are made, and removed in the end.
    #[arg(long)]
    data: PathBuf,
    /// The folder for what does not fit in memory.
    #[arg(long)]
    scratch: PathBuf,
    /// How many threads compute.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// All that the process may hold.
    #[arg(long, default_value = "2GiB")]
    memory: String,
}

impl Common {
    fn session(&self) -> Result<Session> {
        let builder = Session::builder().threads(self.threads).scratch(&self.scratch);
        Ok(builder.memory(self.memory.as_str()).build()?)
    }
}

/// To three digits behind the point, for programs.
fn rounded(value: f64) -> Value {
    Value::from((value * 1e3).round() / 1e3)
}

/// Stores `count` chunks of 8 by 8 elements.
fn stored_small(session: &Session, count: u64, writer: impl Writer) -> Result<()> {
    session.store(&ones::<f32>([count as usize, 8, 8]).rechunk([1, 8, 8]), writer)?;
    Ok(())
}

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(data: &Path, name: &str) -> Result<Folder> {
        let path = data.join(format!("freeboard-bench-{name}"));
        fs::create_dir_all(data)?;
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Folder(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind is in the way of the next run, which tells of it.
        let _ = fs::remove_dir_all(&self.0);
    }
}
