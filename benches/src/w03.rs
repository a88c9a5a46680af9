//! w03: a night of frames, calibrated and combined: 200 raw, 10 bias and 10 flat frames in FITS.

use crate::context::{Context, Outcome, Result, open};
use freeboard::{Array, array::Combine};
use std::time::Instant;

/// The mean of what lies within three standard deviations of the median.
pub(crate) fn clip(cx: &Context) -> Result<Outcome> {
    combined(cx, Combine::mean().sigma_clip(3.0))
}

/// The median.
pub(crate) fn median(cx: &Context) -> Result<Outcome> {
    combined(cx, Combine::median())
}

fn combined(cx: &Context, how: Combine) -> Result<Outcome> {
    let start = Instant::now();
    let session = cx.session()?;
    let frames = |kind: &str| -> Result<Array<f32>> {
        Ok(open(&cx.data("w03").join(format!("{kind}-*.fits")))?.cast::<f32>())
    };
    let bias = frames("bias")?.mean(0);
    let flat = frames("flat")?.mean(0) - &bias;
    let flat = &flat / flat.mean(..);
    let science = ((frames("raw")? - bias) / flat).combine(0, how);
    let out = session.compute(science)?;
    Ok(Outcome::since(start).image("out", &out))
}
