//! w01: frames of a night. The mean over the files and the least and greatest of all pixels,
//! in one pass over 400 FITS files.

use crate::context::{Context, Outcome, Result, open};
use std::time::Instant;

/// Unsigned 16-bit integers, which FITS stores with an offset.
pub(crate) fn unsigned(cx: &Context) -> Result<Outcome> {
    let start = Instant::now();
    let session = cx.session()?;
    let frames = open(&cx.data("w01").join("u16-*.fits"))?.typed::<u16>()?;
    let (mean, min, max) =
        session.compute((frames.mean(0), frames.min(..).item(), frames.max(..).item()))?;
    Ok(Outcome::since(start).image("mean", &mean).number("min", min).number("max", max))
}

/// 32-bit floats.
pub(crate) fn float(cx: &Context) -> Result<Outcome> {
    let start = Instant::now();
    let session = cx.session()?;
    let frames = open(&cx.data("w01").join("f32-*.fits"))?.typed::<f32>()?;
    let (mean, min, max) =
        session.compute((frames.mean(0), frames.min(..).item(), frames.max(..).item()))?;
    Ok(Outcome::since(start).image("mean", &mean).number("min", min).number("max", max))
}
