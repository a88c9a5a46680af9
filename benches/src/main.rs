//! freeboard on the workloads that its peers are measured on, under the same stopwatch.
//!
//! Called as `peers/peers.py` calls any program: it runs one workload once and prints, as its
//! last line, `{"seconds": 1.5, "result": {…}, "extra": {…}}`. Each workload is a file, written
//! with the public interface alone, as a user would write it. What single parts take, and how it
//! grows, is measured by subcommands (`parts/`).

mod context;
mod parts;
mod w01;
mod w02;
mod w03;
mod w04;
mod w05;
mod w06;
mod w07;
mod w08;
mod w09;
mod w10;
mod w11;
mod w12;

use clap::{Parser, ValueEnum};
use context::{Context, Outcome, Result};
use parts::Part;
use serde_json::Value;
use std::{path::PathBuf, process::ExitCode};

/// What runs a workload.
type Workload = fn(&Context) -> Result<Outcome>;

/// The workloads, those of `peers/README.md` and w10-delayed.
const WORKLOADS: [(&str, Workload); 20] = [
    ("w01-u16", w01::unsigned),
    ("w01-f32", w01::float),
    ("w02-rebin", w02::rebin),
    ("w02-spectrum", w02::spectrum),
    ("w03-clip", w03::clip),
    ("w03-median", w03::median),
    ("w04-stack", w04::stack),
    ("w04-big", w04::big),
    ("w05", w05::cube),
    ("w06", w06::grey),
    ("w07-raw", w07::raw),
    ("w07-zstd", w07::zstd),
    ("w08", w08::product),
    ("w09-gauss", w09::gauss),
    ("w09-label", w09::regions),
    ("w10-tree", w10::tree),
    ("w10-delayed", w10::delayed),
    ("w10-array", w10::array),
    ("w11", w11::persisted),
    ("w12", w12::frames),
];

/// Which of the data sets that `make_data.py` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Size {
    Full,
    Half,
    Quick,
}

/// Runs one workload of `peers/README.md` once, or measures a part.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    workload: Option<Args>,
}

/// What is told of a workload.
#[derive(clap::Args, Debug)]
struct Args {
    /// The workload: w01-f32, w02-rebin, …
    #[arg(long)]
    workload: String,
    /// Which of the data sets.
    #[arg(long, value_enum, default_value = "full")]
    size: Size,
    /// The folder that make_data.py filled.
    #[arg(long)]
    data: PathBuf,
    /// The folder for outputs and for what does not fit in memory.
    #[arg(long)]
    scratch: PathBuf,
    /// How many threads compute.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// How many tasks, of w10.
    #[arg(long, default_value_t = 100_000)]
    tasks: u64,
    /// All that the process may hold: 1000MB, 2GiB; by default freeboard's own default.
    #[arg(long)]
    memory: Option<String>,
}

fn run(cli: Cli) -> Result<Value> {
    let args = match cli {
        Cli { part: Some(part), .. } => return part.run(),
        Cli { workload: Some(args), .. } => args,
        Cli { workload: None, .. } => return Err("neither --workload nor a part is named".into()),
    };
    let Some((_, workload)) = WORKLOADS.iter().find(|(name, _)| *name == args.workload) else {
        return Err(unknown(&args.workload).into());
    };
    Ok(workload(&Context::new(args))?.line())
}

fn unknown(name: &str) -> String {
    let known: Vec<&str> = WORKLOADS.iter().map(|(name, _)| *name).collect();
    format!("there is no workload {name:?}; there are {}", known.join(", "))
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_run_or_refused_by_name() {
        assert!(unknown("w99").starts_with("there is no workload \"w99\"; there are w01-u16, "));
    }
}
