//! w06: a map. A coloured Zarr image becomes heights in another Zarr array, and the standard
//! deviation of each of its blocks.

use crate::context::{Context, Outcome, Result, open};
use freeboard::{formats::zarr::Zarr, s};
use std::time::Instant;

/// Luminance times metres; stored, then read again for the blocks' statistics.
pub(crate) fn grey(cx: &Context) -> Result<Outcome> {
    let path = cx.scratch().join("out.zarr");
    let start = Instant::now();
    let session = cx.session()?;
    let rgb = open(&cx.data("w06").join("rgb.zarr"))?.typed::<u8>()?;
    let chunk = rgb.chunksize()?[0];
    let channel = |i: usize| rgb.slice(s![.., .., i]).cast::<f32>();
    let grey = channel(0) * 0.21 + channel(1) * 0.72 + channel(2) * 0.07;
    let metres = grey * (8848.0f32 / 255.0);
    session.store(&metres, Zarr::create(&path).chunks([chunk, chunk]))?;
    let written = open(&path)?.typed::<f32>()?;
    let blocks = written.rebin([chunk as i64, chunk as i64]);
    let std = session.compute(blocks.std())?;
    let outcome = Outcome::since(start).image("std", &std);
    let rows = session.compute(written.slice(s![..;1024, ..]))?;
    Ok(outcome.image("grey", &rows))
}
