//! w09: images through a Gaussian filter, and the connected regions of a field.

use crate::context::{Context, Outcome, Result, open};
use freeboard::imaging::{Boundary, gaussian_filter, label};
use std::time::Instant;

/// The greatest element of each image, after a Gaussian of sigma 3 along its axes.
pub(crate) fn gauss(cx: &Context) -> Result<Outcome> {
    let start = Instant::now();
    let session = cx.session()?;
    let images = open(&cx.data("w09").join("images.zarr"))?.typed::<f32>()?;
    let smooth = gaussian_filter(&images, [0.0, 3.0, 3.0], Boundary::Reflect);
    let peaks = session.compute(smooth.max([1, 2]))?;
    Ok(Outcome::since(start).image("peaks", &peaks))
}

/// The regions of what is above 1, and how many there are.
pub(crate) fn regions(cx: &Context) -> Result<Outcome> {
    let start = Instant::now();
    let session = cx.session()?;
    let field = open(&cx.data("w09").join("field.zarr"))?.typed::<f32>()?;
    let (labels, count) = label(&field.greater(1.0), None);
    let (labels, count) = session.compute((labels, count.item()))?;
    let outcome = Outcome::since(start);
    // As the peers do, what is compared is made when the clock has stopped.
    let mut sizes = vec![0u64; count as usize + 1];
    labels.iter().for_each(|&label| sizes[label as usize] += 1);
    let pixels: u64 = sizes[1..].iter().sum();
    let squares: f64 = sizes[1..].iter().map(|&size| (size as f64).powi(2)).sum();
    Ok(outcome.number("labels", count).number("pixels", pixels as f64).number("squares", squares))
}
