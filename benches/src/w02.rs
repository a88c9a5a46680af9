//! w02: a solar raster. 1600 RICE-compressed FITS files, 4 Stokes parameters by 400 slit
//! positions, each a spectrum (wavelength, slit).

use crate::context::{Context, Outcome, Result, files_in, open_stacked};
use freeboard::{Array, s};
use std::time::Instant;

const STOKES: u64 = 4;

fn raster(cx: &Context) -> Result<Array<f32>> {
    let folder = cx.data("w02");
    let steps = files_in(&folder, ".fits")? / STOKES;
    Ok(open_stacked(&folder.join("*.fits"), &[STOKES, steps])?.typed::<f32>()?)
}

/// The mean over boxes of 5 slit positions by 10 pixels.
pub(crate) fn rebin(cx: &Context) -> Result<Outcome> {
    let start = Instant::now();
    let session = cx.session()?;
    let small = session.compute(raster(cx)?.rebin([1, 5, 1, 10]).mean())?;
    Ok(Outcome::since(start).image("rebin", &small))
}

/// The spectrum of Stokes I, summed over raster and slit, and its darkest line.
pub(crate) fn spectrum(cx: &Context) -> Result<Outcome> {
    let start = Instant::now();
    let session = cx.session()?;
    let spectrum = raster(cx)?.slice(s![0, .., .., ..]).sum([0, 2]);
    let (sums, line) = session.compute((&spectrum, spectrum.argmin(..).item()))?;
    Ok(Outcome::since(start).image("spectrum", &sums).number("argmin", line))
}
