//! w07: frames rewritten as columns, in bounded memory: a Zarr array in chunks of one frame
//! each becomes one in chunks of 64 by 64 pixels of all frames.

use crate::context::{Context, Outcome, Result, open};
use freeboard::{
    formats::zarr::{Zarr, ZarrWriter},
    s,
};
use ndarray::ArrayD;
use std::time::Instant;

const TILE: u64 = 64;

/// Uncompressed.
pub(crate) fn raw(cx: &Context) -> Result<Outcome> {
    columns(cx, "w07-raw", ZarrWriter::uncompressed)
}

/// Compressed with zstd, before and after.
pub(crate) fn zstd(cx: &Context) -> Result<Outcome> {
    columns(cx, "w07-zstd", |writer| writer.zstd(3))
}

fn columns(cx: &Context, set: &str, codec: fn(ZarrWriter) -> ZarrWriter) -> Result<Outcome> {
    let path = cx.scratch().join("out.zarr");
    let start = Instant::now();
    let session = cx.session()?;
    let frames = open(&cx.data(set).join("cube.zarr"))?.typed::<f32>()?;
    let shape = frames.shape()?;
    let chunks = [shape[0] as u64, TILE, TILE];
    let report = session.store(&frames, codec(Zarr::create(&path).chunks(chunks)))?;
    let outcome = Outcome::since(start).extra("spilled_mib", report.spilled >> 20);

    let written = open(&path)?.typed::<f32>()?;
    if written.shape()? != shape || written.chunksize()? != chunks {
        return Err(format!("the output is {written}").into());
    }
    let block: ArrayD<f32> = session.compute(written.slice(s![.., 64..128, ..128]))?;
    let sums = block.outer_iter().map(|frame| frame.iter().map(|&v| f64::from(v)).sum::<f64>());
    let (sum, ramp) =
        sums.enumerate().fold((0.0, 0.0), |(sum, ramp), (t, s)| (sum + s, ramp + t as f64 * s));
    Ok(outcome.number("block_sum", sum).number("ramp", ramp))
}
