//! w12: single frames of a lazy stack of a thousand files, in random order, twice.

use crate::context::{Context, Outcome, Result, open};
use freeboard::s;
use ndarray::ArrayD;
use std::{fs, time::Instant};

/// The frames that `w12-order.txt` names, each computed on its own, into one array.
pub(crate) fn frames(cx: &Context) -> Result<Outcome> {
    let folder = cx.data("w04");
    let order = fs::read_to_string(folder.join("w12-order.txt"))?;
    let order = order.split_whitespace().map(str::parse);
    let order = order.collect::<std::result::Result<Vec<usize>, _>>()?;
    let opened = Instant::now();
    let session = cx.session()?;
    let stack = open(&folder.join("fvalues-*.h5"))?.typed::<f64>()?;
    let opened = opened.elapsed().as_secs_f64();

    let shape = stack.shape()?;
    let mut frame = ArrayD::<f64>::zeros(&shape[1..]);
    let (mut seconds, mut pixels, mut medians) = (0.0, 0.0, [0.0; 2]);
    for median in &mut medians {
        let mut laps = Vec::with_capacity(order.len());
        for &i in &order {
            let start = Instant::now();
            session.compute_into(&stack.slice(s![i, .., ..]), frame.view_mut())?;
            laps.push(start.elapsed().as_secs_f64());
            pixels += frame[[frame.shape()[0] / 3, frame.shape()[1] / 3]];
        }
        seconds += laps.iter().sum::<f64>();
        laps.sort_by(f64::total_cmp);
        *median = 1e3 * laps[laps.len() / 2];
    }
    Ok(Outcome::of(seconds)
        .number("pixels", pixels)
        .extra("open_seconds", opened)
        .extra("first_median_ms", medians[0])
        .extra("again_median_ms", medians[1]))
}
