//! `freeboard reduce`: one operation along axes, printed or stored.

use crate::{
    args::Reduce,
    job::{self, Job},
    output,
};
use freeboard::Result;

/// Runs the command.
pub fn run(args: &Reduce) -> Result<()> {
    let stored = match &args.output {
        Some(path) => Some(job::output(path, &args.writing, &args.run, &args.paths)?),
        None => None,
    };
    let job = Job::new("reduce", &args.run)?;
    let array = args.op.apply(&job::open(&args.paths, &args.input)?, args.axis.as_deref());
    if let Some(output) = stored {
        return job.store(&array, &output);
    }
    match job.compute(&array)? {
        None => Ok(()),
        Some(result) if args.run.json => output::print_nested(&result),
        Some(result) => output::print_text(&result.to_string()),
    }
}
