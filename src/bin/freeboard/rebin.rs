//! `freeboard rebin`: boxes of elements, each made one element.

use crate::{
    args::Rebin,
    job::{self, Job},
};
use freeboard::{
    Result,
    formats::{ErrorKind, FormatError},
};

/// Runs the command.
pub fn run(args: &Rebin) -> Result<()> {
    let output = job::output(&args.output, &args.writing, &args.run, &args.paths)?;
    let job = Job::new("rebin", &args.run)?;
    let array = job::open(&args.paths, &args.input)?;
    check_bins(&args.bins, &array.shape()?)?;
    job.store(&args.op.apply(&array, &args.bins), &output)
}

/// Bins that leave a rest are refused with the option that cuts it off; all other mistakes are
/// the library's to tell.
fn check_bins(bins: &[i64], shape: &[usize]) -> Result<()> {
    if bins.len() != shape.len() {
        return Ok(());
    }
    for (axis, (&bin, &len)) in bins.iter().zip(shape).enumerate() {
        let Ok(bin) = usize::try_from(bin) else { continue };
        if bin == 0 || bin > len || len.is_multiple_of(bin) {
            continue;
        }
        let message = format!("a bin of {bin} does not divide the length {len} of axis {axis}");
        let slice = format!("{}:{}", ":, ".repeat(axis), len / bin * bin);
        return Err(FormatError::new(ErrorKind::Invalid, message)
            .help(format!("leave out what is over with --slice '{slice}'"))
            .into());
    }
    Ok(())
}
