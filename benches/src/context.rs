//! What a run is told, and what it tells: where its input is, how wide it may go, the
//! stopwatch, and the numbers that every peer must agree on.

use crate::{Args, Size};
use freeboard::{Array, OpenOptions, Session};
use ndarray::{ArrayBase, Data, Dimension, IxDyn};
use serde_json::{Map, Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// Anything that stops a run, as its message.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What a run is told.
#[derive(Debug)]
pub(crate) struct Context {
    args: Args,
}

impl Context {
    pub(crate) fn new(args: Args) -> Context {
        Context { args }
    }

    /// How many tasks a w10 run has.
    pub(crate) fn tasks(&self) -> u64 {
        self.args.tasks
    }

    /// The folder of the data set `name`.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        let size = match self.args.size {
            Size::Full => "full",
            Size::Half => "half",
            Size::Quick => "quick",
        };
        self.args.data.join(size).join(name)
    }

    /// The folder for outputs.
    pub(crate) fn scratch(&self) -> &Path {
        &self.args.scratch
    }

    /// A session with the memory, threads and scratch of the command line.
    pub(crate) fn session(&self) -> Result<Session> {
        self.session_with(true)
    }

    /// A session that computes elementwise operations together, or does not.
    pub(crate) fn session_with(&self, fuse: bool) -> Result<Session> {
        let mut builder = Session::builder().threads(self.args.threads).fuse(fuse);
        builder = builder.scratch(&self.args.scratch);
        if let Some(memory) = &self.args.memory {
            builder = builder.memory(memory.as_str());
        }
        Ok(builder.build()?)
    }
}

/// Opens the array at a path or glob.
pub(crate) fn open(location: &Path) -> Result<Array> {
    Ok(freeboard::open(text(location))?)
}

/// Opens the files of a glob with the axis of files folded into `lengths`.
pub(crate) fn open_stacked(location: &Path, lengths: &[u64]) -> Result<Array> {
    let options = OpenOptions { stacked: Some(lengths.to_vec()), ..Default::default() };
    Ok(freeboard::open_all([text(location)], &options)?)
}

fn text(location: &Path) -> String {
    location.display().to_string()
}

/// How many entries of a folder have names that end in `ending`.
pub(crate) fn files_in(folder: &Path, ending: &str) -> Result<u64> {
    let named = |name: &str| name.ends_with(ending);
    let mut files = 0;
    for entry in fs::read_dir(folder)? {
        files += u64::from(entry?.file_name().to_str().is_some_and(named));
    }
    Ok(files)
}

/// What a run tells.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    seconds: f64,
    result: Map<String, Value>,
    extra: Map<String, Value>,
}

impl Outcome {
    /// The outcome of a run whose answer has just come to hand.
    pub(crate) fn since(start: Instant) -> Outcome {
        Outcome::of(start.elapsed().as_secs_f64())
    }

    /// The outcome of a run that took so many seconds.
    pub(crate) fn of(seconds: f64) -> Outcome {
        Outcome { seconds, ..Outcome::default() }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
    }

    /// A number to compare.
    #[must_use]
    pub(crate) fn number(mut self, name: &str, value: impl Into<Value>) -> Outcome {
        self.result.insert(name.to_owned(), value.into());
        self
    }

    /// The sum of an image and one pixel off its centre, to compare.
    #[must_use]
    pub(crate) fn image<S, D>(self, name: &str, image: &ArrayBase<S, D>) -> Outcome
    where
        S: Data,
        S::Elem: Copy + Into<f64>,
        D: Dimension,
    {
        let image = image.view().into_dyn();
        let place: Vec<usize> = image.shape().iter().map(|n| n / 3).collect();
        let sum: f64 = image.iter().map(|&value| value.into()).sum();
        let pixel: f64 = image[IxDyn(&place)].into();
        self.number(&format!("{name}_sum"), sum).number(&format!("{name}_pixel"), pixel)
    }

    /// A number that is told and not compared.
    #[must_use]
    pub(crate) fn extra(mut self, name: &str, value: impl Into<Value>) -> Outcome {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// The line that is printed.
    pub(crate) fn line(&self) -> Value {
        json!({ "seconds": self.seconds, "result": self.result, "extra": self.extra })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn images_are_summed_up_as_the_peers_do() {
        let image = Array2::from_shape_fn((4, 7), |(i, j)| (10 * i + j) as f32);
        let outcome = Outcome::of(1.5).image("mean", &image).extra("tasks", 3);
        let line = outcome.line();
        assert_eq!(line["result"], json!({ "mean_pixel": 12.0, "mean_sum": 504.0 }));
        assert_eq!(line["seconds"], 1.5);
    }
}
