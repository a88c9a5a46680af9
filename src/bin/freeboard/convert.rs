//! `freeboard convert`: the same elements in another format, other chunks, another codec.

use crate::{
    args::Convert,
    job::{self, Job},
};
use freeboard::Result;
use std::path::Path;

/// Runs the command.
pub fn run(args: &Convert) -> Result<()> {
    // Two at least, as the command line asks for.
    let Some((output, inputs)) = args.paths.split_last() else { return Ok(()) };
    let output = job::output(Path::new(output), &args.writing, &args.run, inputs)?;
    let job = Job::new("convert", &args.run)?;
    job.store(&job::open(inputs, &args.input)?, &output)
}
