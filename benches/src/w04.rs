//! w04: HDF5. A thousand small files of one contiguous array each, and one large array of
//! compressed chunks.

use crate::context::{Context, Outcome, Result, open};
use freeboard::array::Chunks;
use std::time::Instant;

/// Each frame scaled to bytes by its own least and greatest value, then summed over the files.
pub(crate) fn stack(cx: &Context) -> Result<Outcome> {
    let start = Instant::now();
    let session = cx.session()?;
    let frames = open(&cx.data("w04").join("fvalues-*.h5"))?.typed::<f64>()?;
    let each = |values: freeboard::Array<f64>| values.expand_dims(1).expand_dims(2);
    let (low, high) = (each(frames.min([1, 2])), each(frames.max([1, 2])));
    let scaled = ((&frames - &low) * (255.0 / (high - &low))).cast::<u8>();
    let total = session.compute(scaled.rechunk(Chunks::only([(0, 10)])).sum(0))?;
    Ok(Outcome::since(start).image("total", &total.mapv(|sum| sum as f64)))
}

/// The mean over the first axis of shuffled and deflated chunks.
pub(crate) fn big(cx: &Context) -> Result<Outcome> {
    let start = Instant::now();
    let session = cx.session()?;
    let cube = open(&cx.data("w04").join("big.h5"))?.typed::<f32>()?;
    let mean = session.compute(cube.mean(0))?;
    Ok(Outcome::since(start).image("mean", &mean))
}
