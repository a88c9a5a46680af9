//! `growth`: what becomes of small tasks when there are many. What a task takes, and what the
//! process holds, should not depend on how many there are; and one element of an array should not
//! on how many chunks that has.

use super::{Common, Folder, rounded, stored_small};
use crate::context::{Result, open};
use clap::Args;
use freeboard::{
    Array, Fits, Hdf5, Session,
    array::{arange, random},
    imaging::{Boundary, gaussian_filter},
    s,
};
use freeboard_bench::laps::{Laps, Start};
use serde_json::{Map, Value, json};
use std::{fs, path::Path};

/// What becomes of small tasks when there are many of them.
#[derive(Args, Debug)]
pub(crate) struct Growth {
    #[command(flatten)]
    common: Common,
    /// The most tasks of a graph: 10^4, and ten times as many up to this.
    #[arg(long, default_value_t = 10_000_000)]
    tasks: u64,
    /// The most chunks of which one is computed: 10^3, and ten times as many up to this.
    #[arg(long, default_value_t = 1_000_000)]
    chunks: u64,
    /// The most files that are opened as one array: 10^3, and ten times as many up to this.
    #[arg(long, default_value_t = 100_000)]
    files: u64,
    /// How often each is run.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Chunks along each side of the array whose filter is asked for one element.
const BLOCKS: usize = 2000;
/// Elements along each side of its chunks.
const BLOCK: usize = 16;

impl Growth {
    /// Measures all that was asked for.
    pub(super) fn run(&self) -> Result<Value> {
        Ok(json!({
            "tree": self.tasks("a sum of chunks of one element", tree)?,
            "transposed": self.tasks("x + x.T in chunks of 4 by 4, and its mean", transposed)?,
            "overlap": self.overlap()?,
            "frames": self.frames()?,
        }))
    }

    fn powers(from: u64, to: u64) -> impl Iterator<Item = u64> {
        std::iter::successors(Some(from), |n| n.checked_mul(10)).take_while(move |n| *n <= to)
    }

    /// What a task takes in graphs of more and more of them.
    fn tasks(&self, what: &str, graph: fn(u64) -> Array<f64>) -> Result<Value> {
        println!("{what}, operation by operation");
        let builder = Session::builder().threads(self.common.threads).fuse(false);
        let session = builder.scratch(&self.common.scratch).memory(&*self.common.memory).build()?;
        // How many tasks the plan has for each one asked for.
        let sample = session.plan(graph(10_000))?.totals().tasks as f64 / 10_000.0;
        let mut told = Map::new();
        for tasks in Growth::powers(10_000, self.tasks) {
            let asked = graph((tasks as f64 / sample) as u64);
            let (mut laps, mut peak, mut planned) = (Laps::default(), 0, 0);
            for _ in 0..self.rounds {
                let start = Start::now();
                let (_, report) = session.compute_reported(&asked)?;
                laps.push(start);
                peak = peak.max(report.peak.unwrap_or(0));
                planned = report.predicted.tasks;
            }
            let micros = 1e6 * laps.median() / planned as f64;
            let least = 1e6 * laps.least() / planned as f64;
            println!(
                "    {planned:>9} tasks: {micros:.3} µs each (at best {least:.3}), peak {} MiB",
                peak >> 20
            );
            told.insert(
                tasks.to_string(),
                json!({
                    "tasks": planned, "us": rounded(micros), "us_least": rounded(least),
                    "peak_mib": peak >> 20,
                }),
            );
        }
        Ok(Value::Object(told))
    }

    /// The first element of a filter over millions of chunks.
    fn overlap(&self) -> Result<Value> {
        let session = self.common.session()?;
        let (mut laps, mut tasks) = (Laps::default(), 0);
        for round in 0..self.rounds.max(1) {
            let start = Start::now();
            let side = BLOCKS * BLOCK;
            let x = random(1).normal([side; 2]).rechunk([BLOCK as u64; 2]);
            let smooth = gaussian_filter(&x, 2.0, Boundary::Reflect);
            let at = side / 2 + round;
            session.compute(smooth.slice(s![at..at + 1, at..at + 1]).item())?;
            laps.push(start);
            if round == 0 {
                tasks = session.plan(smooth.to_dyn().sum(..))?.totals().tasks;
            }
        }
        println!(
            "one element of a Gaussian over {BLOCKS} × {BLOCKS} chunks ({tasks} tasks in all): {laps}"
        );
        Ok(json!({ "tasks": tasks, "ms": rounded(1e3 * laps.median()) }))
    }

    /// One chunk of more and more: made, of an HDF5 file, and of a stack of files.
    fn frames(&self) -> Result<Value> {
        let session = self.common.session()?;
        let mut told = Map::new();
        for chunks in Growth::powers(1000, self.chunks) {
            let made = || Ok(random(1).normal([chunks as usize, 8, 8]).rechunk([1, 8, 8]));
            self.one_of(&session, chunks, "made", &made, &mut told)?;
            let folder = Folder::new(&self.common.data, "growth")?;
            let path = folder.path().join("x.h5");
            stored_small(&session, chunks, Hdf5::create(&path).uncompressed())?;
            let opened = || Ok(open(&path)?.cast());
            self.one_of(&session, chunks, "HDF5", &opened, &mut told)?;
            if chunks <= self.files {
                let folder = Folder::new(&self.common.data, "files")?;
                linked(&session, &folder.path().join("x"), chunks)?;
                let opened = || Ok(open(&folder.path().join("x/*.fits"))?.cast());
                self.one_of(&session, chunks, "FITS", &opened, &mut told)?;
            }
        }
        Ok(Value::Object(told))
    }

    fn one_of(
        &self,
        session: &Session,
        chunks: u64,
        what: &str,
        open: &dyn Fn() -> Result<Array<f64>>,
        told: &mut Map<String, Value>,
    ) -> Result<()> {
        let (mut opened, mut computed) = (Laps::default(), Laps::default());
        for round in 0..self.rounds {
            let start = Start::now();
            let array = open()?;
            opened.push(start);
            for step in 0..10 {
                let at = (chunks as usize / 10) * step + round;
                let start = Start::now();
                session.compute(array.slice(s![at, .., ..]))?;
                computed.push(start);
            }
        }
        println!("{chunks:>9} chunks, {what}: opened in {opened}, one computed in {computed}");
        told.insert(
            format!("{what} {chunks}"),
            json!({
                "open_ms": rounded(1e3 * opened.median()),
                "chunk_ms": rounded(1e3 * computed.median()),
            }),
        );
        Ok(())
    }
}

/// About `tasks` tasks: as many chunks of one element, each plus 1, and their sum.
fn tree(tasks: u64) -> Array<f64> {
    (arange(0, tasks as i64, 1).rechunk([1]) + 1i64).sum(..).cast()
}

/// About `tasks` tasks: chunks that are read twice, at different times.
fn transposed(tasks: u64) -> Array<f64> {
    let side = 4 * ((tasks as f64 / 5.0).sqrt() as usize).max(1);
    let x = random(1).uniform([side, side]).rechunk([4, 4]);
    (&x + x.t()).mean(..)
}

/// Up to 1000 files, and other names of them until there are `count`: to who opens them they are
/// as many files, and take the disk of a thousand.
fn linked(session: &Session, folder: &Path, count: u64) -> Result<()> {
    let files = count.min(1000);
    stored_small(session, files, Fits::create(folder.join("0_{i:06d}.fits")))?;
    for number in files..count {
        let (of, copy) = (number % files, number / files);
        let of = folder.join(format!("0_{of:06}.fits"));
        fs::hard_link(of, folder.join(format!("{copy}_{number:06}.fits")))?;
    }
    Ok(())
}
