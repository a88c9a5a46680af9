//! w11: more kept than memory holds. Part of w05's cube as doubles is persisted, 6 GB under a
//! budget of 2 GB, and then reduced three times, one after the other.

use crate::context::{Context, Outcome, Result, open};
use freeboard::s;
use std::time::Instant;

/// Mean over time, maximum of each frame, sum of all.
pub(crate) fn persisted(cx: &Context) -> Result<Outcome> {
    let start = Instant::now();
    let session = cx.session()?;
    let cube = open(&cx.data("w05").join("cube.zarr"))?.typed::<f32>()?;
    let frames = cube.shape()?[0] * 3 / 4;
    let scaled = cube.slice(s![..frames, .., ..]).cast::<f64>() * 0.5 + 1.0;
    let scaled = session.persist(&scaled)?;
    let kept = start.elapsed().as_secs_f64();
    let mean = session.compute(scaled.mean(0))?;
    let peak = session.compute(scaled.max([1, 2]))?;
    let total = session.compute(scaled.sum(..).item())?;
    let outcome = Outcome::since(start).image("mean", &mean).image("peak", &peak);
    Ok(outcome.number("total", total).extra("persist_seconds", kept))
}
