//! Floats as integers, `value = pixel * scale + zero`: the step is a fraction of the noise.
//!
//! The method, its numbers and its corner cases are those of fpack (Pence, Seaman & White 2009,
//! PASP 121, 414; Pence, White & Seaman 2010, PASP 122, 1065), so that files are like those that
//! cfitsio writes. The noise of a tile is estimated from the medians of the absolute differences
//! of second, third and fifth order along its rows (Stoehr et al. 2008, ASP Conf. 394, 505), and is
//! the least of the three. A value differs from what is read by half a step at the most, dithered
//! or not: dithering only makes the differences those of white noise.

use super::super::quantise::{Dither, Walk, ZERO_PIXEL};

/// The pixel that stands for NaN.
pub(super) const NULL_PIXEL: i32 = -2_147_483_647;
/// Pixels from [`NULL_PIXEL`] on that stand for no value.
const RESERVED: f64 = 10.0;
/// Pixels that a difference of the highest order spans.
const SPAN: usize = 9;

/// What one step is, and how pixels are dithered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantisation {
    /// Steps in the standard deviation of the noise; if negative, less one step itself.
    pub(super) level: f64,
    pub(super) dither: Dither,
}

/// Words of scratch that a tile of so many rows of `width` pixels takes.
pub(super) fn room(width: u64, rows: u64) -> u64 {
    width.saturating_mul(rows).saturating_mul(2).saturating_add(rows.saturating_mul(3))
}

/// What is known of the values of a tile.
struct Survey {
    least: f64,
    most: f64,
    good: usize,
    noise: f64,
}

/// The median, the lower one of two; 0 of nothing.
fn median(values: &mut [f64]) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    *values.select_nth_unstable_by(last / 2, f64::total_cmp).1
}

/// The median of the absolute differences of second, third or fifth order, 0 to 2, of values
/// that follow each other. Those within a run of equal values say nothing of noise.
fn differences(order: usize, good: &[f64], out: &mut [f64]) -> f64 {
    let mut count = 0;
    for window in good.windows(SPAN) {
        let v = |at: usize| window[at];
        let looked_at = [4..=6, 2..=6, 0..=8][order].clone();
        if window[looked_at].iter().all(|value| *value == v(4)) {
            continue;
        }
        out[count] = match order {
            0 => v(4) - v(6),
            1 => 2.0 * v(4) - v(2) - v(6),
            _ => 6.0 * v(4) - 4.0 * v(2) - 4.0 * v(6) + v(0) + v(8),
        }
        .abs();
        count += 1;
    }
    median(&mut out[..count])
}

/// Looks at rows of `width` values, with scratch of [`room`].
fn survey(
    values: impl Iterator<Item = f64>,
    width: usize,
    with_noise: bool,
    room: &mut [f64],
) -> Survey {
    let (mut least, mut most, mut count) = (f64::INFINITY, f64::NEG_INFINITY, 0);
    let mut values = values.peekable();
    let rows = room.len() / (2 * width + 3).max(1);
    let (medians, rest) = room.split_at_mut(3 * rows);
    let (good, out) = rest.split_at_mut(width * rows);
    let mut told = 0;
    while values.peek().is_some() {
        let mut len = 0;
        for value in values.by_ref().take(width).filter(|value| !value.is_nan()) {
            (least, most) = (least.min(value), most.max(value));
            good[len] = value;
            len += 1;
        }
        count += len;
        if !with_noise || len < SPAN {
            continue;
        }
        for order in 0..3 {
            medians[order * rows + told] = differences(order, &good[..len], out);
        }
        told += 1;
    }
    // The factors make of such a median the deviation of normal noise.
    let mut of = |order: usize, factor: f64| {
        factor * median(&mut medians[order * rows..order * rows + told])
    };
    let (second, third, fifth) = (of(0, 1.048_357_9), of(1, 0.605_269_7), of(2, 0.177_204_8));
    let smaller = [second, fifth].into_iter().filter(|&noise| noise != 0.0 && noise < third);
    Survey { least, most, good: count, noise: smaller.fold(third, f64::min) }
}

impl Quantisation {
    /// Makes pixels, in the order of a file, of the values of a tile with rows of `width`; its
    /// step and its zero. `None` if the tile has no noise to tell a step, or values too far
    /// apart for pixels of 32 bits. `seed` tells where in the random sequence it begins.
    pub(super) fn apply(
        self,
        values: impl Iterator<Item = f64> + Clone,
        width: usize,
        seed: i64,
        room: &mut [f64],
        pixels: &mut [[u8; 4]],
    ) -> Option<(f64, f64)> {
        // Short rows are taken as one, as the values lie.
        let width = if width < SPAN { pixels.len() } else { width };
        let mut seen = survey(values.clone(), width, self.level > 0.0, room);
        if seen.good == 0 {
            seen = Survey { least: 0.0, most: 1.0, noise: 1.0, ..seen };
        }
        let step = if self.level > 0.0 { seen.noise / self.level } else { -self.level };
        let (steps, most) = ((seen.most - seen.least) / step, f64::from(i32::MAX));
        // Not so if there is no step, or one of the values is infinite.
        let fits = step.is_normal() && steps <= 2.0 * most - RESERVED;
        if !fits {
            return None;
        }
        let zeros = self.dither == Dither::KeepingZeros;
        let zero = if seen.good < pixels.len() || zeros {
            // Near the pixels that stand for no value.
            seen.least - step * (f64::from(NULL_PIXEL) + RESERVED)
        } else if steps < most - RESERVED {
            // A multiple of the step: what is quantised again stays as it is.
            (seen.least / step + 0.5).trunc() * step
        } else {
            f64::midpoint(seen.least, seen.most)
        };
        if !zero.is_finite() {
            return None;
        }
        let mut walk = (self.dither != Dither::None).then(|| Walk::new(seed));
        for (pixel, value) in pixels.iter_mut().zip(values) {
            let shift = walk.as_mut().map_or(0.0, |walk| f64::from(walk.step()) - 0.5);
            let number = if value.is_nan() {
                NULL_PIXEL
            } else if zeros && value == 0.0 {
                ZERO_PIXEL
            } else {
                ((value - zero) / step + shift).round() as i32
            };
            *pixel = number.to_be_bytes();
        }
        Some((step, zero))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise of unit deviation: sums of twelve even numbers.
    fn noise(count: usize) -> Vec<f64> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        (0..count).map(|_| (0..12).map(|_| next()).sum::<f64>() - 6.0).collect()
    }

    fn applied(
        values: &[f64],
        width: usize,
        level: f64,
        dither: Dither,
    ) -> Option<(Vec<i32>, f64, f64)> {
        let rows = values.len() / width;
        let mut room = vec![f64::NAN; room(width as u64, rows as u64) as usize];
        let mut pixels = vec![[0; 4]; values.len()];
        let how = Quantisation { level, dither };
        let (step, zero) = how.apply(values.iter().copied(), width, 3, &mut room, &mut pixels)?;
        Some((pixels.into_iter().map(i32::from_be_bytes).collect(), step, zero))
    }

    #[test]
    fn the_step_is_a_fraction_of_the_noise() {
        // On a slope, and with an outlier here and there, which differences do not see.
        let mut values: Vec<f64> = noise(20_000)
            .iter()
            .enumerate()
            .map(|(i, v)| 100.0 + 5.0 * v + i as f64 * 0.01)
            .collect();
        (0..20_000).step_by(997).for_each(|i| values[i] += 1e4);
        for width in [20_000, 1000, 5] {
            let (_, step, _) = applied(&values, width, 4.0, Dither::None).unwrap();
            assert!((step * 4.0 - 5.0).abs() < 0.3, "{width}: {step}");
        }
        let (_, step, _) = applied(&values, 1000, -0.25, Dither::None).unwrap();
        assert_eq!(step, 0.25);
    }

    #[test]
    fn values_are_told_within_half_a_step() {
        let mut values = noise(1000);
        (values[7], values[500]) = (f64::NAN, 0.0);
        for dither in [Dither::None, Dither::Subtractive, Dither::KeepingZeros] {
            let (pixels, step, zero) = applied(&values, 100, 4.0, dither).unwrap();
            let mut walk = Walk::new(3);
            for (&value, &pixel) in values.iter().zip(&pixels) {
                let shift = f64::from(walk.step()) - 0.5;
                let shift = if dither == Dither::None { 0.0 } else { shift };
                match value {
                    value if value.is_nan() => assert_eq!(pixel, NULL_PIXEL),
                    0.0 if dither == Dither::KeepingZeros => assert_eq!(pixel, ZERO_PIXEL),
                    _ => {
                        let back = (f64::from(pixel) - shift) * step + zero;
                        assert!((back - value).abs() <= step * (0.5 + 1e-6), "{value} {back}");
                        assert!(pixel > ZERO_PIXEL);
                    }
                }
            }
        }
    }

    #[test]
    fn what_has_no_step_is_not_quantised() {
        let mut values = noise(100);
        assert!(applied(&[1.0; 100], 10, 4.0, Dither::None).is_none());
        assert!(applied(&values[..8], 8, 4.0, Dither::None).is_none());
        values[3] = f64::INFINITY;
        assert!(applied(&values, 100, 4.0, Dither::None).is_none());
        values[3] = 1e12;
        assert!(applied(&values, 100, 4.0, Dither::None).is_none());
        let (pixels, ..) = applied(&[f64::NAN; 20], 20, 4.0, Dither::Subtractive).unwrap();
        assert_eq!(pixels, [NULL_PIXEL; 20]);
    }
}
