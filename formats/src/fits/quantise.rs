//! Quantised floats: `pixel * ZSCALE + ZZERO`, with or without subtractive dithering.
//!
//! FITS standard 4.0, section 10.2 and appendix I (the random numbers). Dithering takes
//! a number of a fixed sequence of 10,000 from every pixel; where in the sequence a tile
//! begins is told by its row and ZDITHER0.

use super::convert::{Cells, Order, each};
use std::sync::LazyLock;

/// The numbers in the random sequence.
const COUNT: usize = 10_000;

/// The pixel that means exactly 0 under `SUBTRACTIVE_DITHER_2`.
pub(super) const ZERO_PIXEL: i32 = -2_147_483_646;

/// The sequence of appendix I: the generator of Park and Miller (1988), as floats.
static RANDOM: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let mut seed = 1u64;
    (0..COUNT)
        .map(|_| {
            seed = seed * 16_807 % 2_147_483_647;
            (seed as f64 / 2_147_483_647.0) as f32
        })
        .collect()
});

/// How floats are dithered that are quantised: ZQUANTIZ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dither {
    /// `NO_DITHER`
    None,
    /// `SUBTRACTIVE_DITHER_1`
    Subtractive,
    /// `SUBTRACTIVE_DITHER_2`: as 1, and exact zeros stay so.
    KeepingZeros,
}

/// How the pixels of one tile become floats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quantum {
    /// ZSCALE
    pub(super) scale: f64,
    /// ZZERO
    pub(super) zero: f64,
    /// ZBLANK: the pixel that means NaN.
    pub(super) blank: Option<i32>,
    /// ZQUANTIZ
    pub(super) dither: Dither,
    /// The tile's row, counted from 0, plus ZDITHER0 - 1; any whole number.
    pub(super) seed: i64,
}

/// Where in the sequence the numbers for the next pixel are.
pub(super) struct Walk {
    random: &'static [f32],
    start: usize,
    next: usize,
}

impl Walk {
    pub(super) fn new(seed: i64) -> Walk {
        let start = seed.rem_euclid(COUNT as i64) as usize;
        Walk { random: &RANDOM, start, next: (RANDOM[start] * 500.0) as usize }
    }

    #[inline(always)]
    pub(super) fn step(&mut self) -> f32 {
        let number = self.random[self.next];
        self.next += 1;
        if self.next == COUNT {
            self.start = (self.start + 1) % COUNT;
            self.next = (self.random[self.start] * 500.0) as usize;
        }
        number
    }
}

#[inline(always)]
fn load(cell: [u8; 4], order: Order) -> i32 {
    match order {
        Order::Big => i32::from_be_bytes(cell),
        Order::Native => i32::from_ne_bytes(cell),
    }
}

macro_rules! dequantise {
    ($name:ident, $f:ty, $size:literal) => {
        /// Makes floats of pixels of 4 bytes.
        pub(super) fn $name(self, cells: Cells<'_>, order: Order) {
            let Quantum { scale, zero, blank, dither, seed } = self;
            let load = move |cell| load(cell, order);
            if dither == Dither::None {
                let plain = |pixel: i32| (f64::from(pixel) * scale + zero) as $f;
                return match blank {
                    None => each::<4, $size>(cells, |cell| plain(load(cell)).to_ne_bytes()),
                    Some(blank) => each::<4, $size>(cells, |cell| {
                        let pixel = load(cell);
                        let value = plain(pixel);
                        (if pixel == blank { <$f>::NAN } else { value }).to_ne_bytes()
                    }),
                };
            }
            let mut walk = Walk::new(seed);
            let zero_pixel = (dither == Dither::KeepingZeros).then_some(ZERO_PIXEL);
            each::<4, $size>(cells, |cell| {
                let pixel = load(cell);
                let shift = f64::from(walk.step());
                let value = if Some(pixel) == blank {
                    <$f>::NAN
                } else if Some(pixel) == zero_pixel {
                    0.0
                } else {
                    ((f64::from(pixel) - shift + 0.5) * scale + zero) as $f
                };
                value.to_ne_bytes()
            });
        }
    };
}

impl Quantum {
    dequantise!(to_f32, f32, 4);
    dequantise!(to_f64, f64, 8);

    /// Tells of pixels of 4 bytes which mean NaN.
    pub(super) fn to_mask(self, cells: Cells<'_>, order: Order) {
        each::<4, 1>(cells, |cell| [u8::from(Some(load(cell, order)) == self.blank)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_standards() {
        // Appendix I: the 10,000th seed is 1043618065.
        let last = (1_043_618_065.0 / 2_147_483_647.0) as f32;
        assert_eq!((RANDOM.len(), RANDOM[COUNT - 1]), (COUNT, last));
    }

    #[test]
    fn a_walk_wraps_around() {
        let mut walk = Walk::new(-1);
        assert_eq!(walk.start, COUNT - 1);
        for _ in 0..3 * COUNT {
            walk.step();
        }
        assert!(walk.start < 4);
    }
}
