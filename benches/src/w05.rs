//! w05: a Zarr cube in zstd-compressed chunks. Mean and standard deviation over time and the
//! mean of all, in one pass.

use crate::context::{Context, Outcome, Result, open};
use std::time::Instant;

/// Mean, standard deviation and global mean.
pub(crate) fn cube(cx: &Context) -> Result<Outcome> {
    let start = Instant::now();
    let session = cx.session()?;
    let cube = open(&cx.data("w05").join("cube.zarr"))?.typed::<f32>()?;
    let (mean, std, global) = session.compute((cube.mean(0), cube.std(0), cube.mean(..).item()))?;
    let outcome = Outcome::since(start).image("mean", &mean).image("std", &std);
    Ok(outcome.number("global", global))
}
