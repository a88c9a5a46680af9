//! Random arrays, and the generator behind them.
//!
//! An element's value depends on the seed and on its place in the array, and on nothing else, so
//! that chunks change no value. Random numbers therefore come from a generator that is a function of
//! a counter, Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
//! 1, 2, 3", SC'11): the counter is the element's place and the number of the array, the key is
//! the seed.

use super::{Array, Kind, Sizes, create::generated, generated::Recipe, mistake};
use crate::{expr::Expr, kernel::Lookup};
use freeboard_formats::{DType, Element};
use std::{f64::consts::TAU, ops::Range, panic::Location, sync::Arc};

/// The greatest mean of counts: beyond, doubles no longer tell neighbouring counts apart well.
const MOST_COUNTS: f64 = 1e12;

/// Random arrays of one seed; made by [`random`].
#[derive(Clone, Debug)]
pub struct Random {
    seed: u64,
    drawn: u64,
}

/// Random arrays. The same calls give the same values, whatever the chunks, threads and budget;
/// the next call gives others.
/// ```
/// use freeboard::array::random;
///
/// let mut random = random(42);
/// let sky = random.poisson(120.0, [100, 100]);
/// let read_noise = 4.5 * random.normal([100, 100]);
/// let frame = sky.cast::<f64>() + read_noise;
/// assert_eq!(frame.shape()?, [100, 100]);
/// # Ok::<(), freeboard::Error>(())
/// ```
pub fn random(seed: u64) -> Random {
    Random { seed, drawn: 0 }
}

impl Random {
    fn stream(&mut self) -> Stream {
        self.drawn += 1;
        Stream { seed: self.seed, number: self.drawn - 1 }
    }

    /// Numbers spread evenly over 0 ≤ x < 1.
    #[track_caller]
    pub fn uniform(&mut self, shape: impl Into<Sizes>) -> Array<f64> {
        generated(DType::F64, &shape.into(), Recipe::Uniform(self.stream()), Location::caller())
    }

    /// Normally distributed numbers with mean 0 and standard deviation 1.
    #[track_caller]
    pub fn normal(&mut self, shape: impl Into<Sizes>) -> Array<f64> {
        generated(DType::F64, &shape.into(), Recipe::Normal(self.stream()), Location::caller())
    }

    /// Integers spread evenly over `range`.
    #[track_caller]
    pub fn integers(&mut self, range: Range<i64>, shape: impl Into<Sizes>) -> Array<i64> {
        let at = Location::caller();
        if range.is_empty() {
            let message = format!("the range {range:?} holds no integer");
            return Array::from_expr(Expr::failed(mistake(at)(message), at));
        }
        let recipe = Recipe::Even {
            stream: self.stream(),
            low: range.start,
            range: range.end.wrapping_sub(range.start) as u64,
        };
        generated(DType::I64, &shape.into(), recipe, at)
    }

    /// Waiting times between events of which one comes a unit of time on average: exponentially
    /// distributed with mean 1.
    #[track_caller]
    pub fn exponential(&mut self, shape: impl Into<Sizes>) -> Array<f64> {
        generated(DType::F64, &shape.into(), Recipe::Exponential(self.stream()), Location::caller())
    }

    /// Counts of events of which `mean` come on average: Poisson distributed. A mean is at most 1e12.
    #[track_caller]
    pub fn poisson(&mut self, mean: f64, shape: impl Into<Sizes>) -> Array<i64> {
        let at = Location::caller();
        if !(0.0..=MOST_COUNTS).contains(&mean) {
            let message = format!("a Poisson distribution of mean {mean}: 0 to {MOST_COUNTS:e}");
            return Array::from_expr(Expr::failed(mistake(at)(message), at));
        }
        let recipe = Recipe::Poisson { stream: self.stream(), mean };
        generated(DType::I64, &shape.into(), recipe, at)
    }

    /// Elements of `values`, each drawn as often as the others; one may be drawn again.
    #[track_caller]
    pub fn choice<T: Element + Kind>(
        &mut self,
        values: impl Into<Vec<T>>,
        shape: impl Into<Sizes>,
    ) -> Array<T> {
        let at = Location::caller();
        let values = values.into();
        if values.is_empty() {
            let error = mistake(at)("a choice among no values".into());
            return Array::from_expr(Expr::failed(error, at));
        }
        let places = self.integers(0..values.len() as i64, shape);
        let kernel = Lookup { values: values.into() };
        Array::<T>::build(at, || {
            places.meta()?;
            Ok(Expr::apply(Arc::new(kernel), &[places.expr()], at))
        })
    }

    /// The integers below `n`, each once, in random order.
    ///
    /// No element is exchanged with others: each is found from its place alone. Not every one of the
    /// n! orders can come, as with any generator whose state is smaller.
    #[track_caller]
    pub fn permutation(&mut self, n: usize) -> Array<i64> {
        let permutation = Permutation::new(self.stream(), n as u64);
        let recipe = Recipe::Permuted(permutation);
        generated(DType::I64, &Sizes::from(n), recipe, Location::caller())
    }
}

/// One sequence of random numbers among those of a seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stream {
    pub(super) seed: u64,
    pub(super) number: u64,
}

impl Stream {
    /// The two random words that belong to elements 2 · `pair` and 2 · `pair` + 1.
    pub(super) fn words(self, pair: u64) -> [u64; 2] {
        self.words_of(pair, 0)
    }

    /// The random words that belong to `place` alone, those of a first, second, … `attempt`
    /// (below 2^32, as the numbers of arrays are).
    fn words_of(self, place: u64, attempt: u64) -> [u64; 2] {
        let halves = |word: u64| [word as u32, (word >> 32) as u32];
        let ([a, b], [c, d]) = (halves(place), halves(self.number | attempt << 32));
        let [a, b, c, d] = philox([a, b, c, d], halves(self.seed));
        let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        [join(a, b), join(c, d)]
    }
}

/// Philox4x32 with 10 rounds.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let left = 0xD251_1F53 * u64::from(counter[0]);
        let right = 0xCD9E_8D57 * u64::from(counter[2]);
        counter = [
            (right >> 32) as u32 ^ counter[1] ^ key[0],
            right as u32,
            (left >> 32) as u32 ^ counter[3] ^ key[1],
            left as u32,
        ];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

/// The upper 53 bits as a number in 0 ≤ x < 1.
pub(super) fn unit(word: u64) -> f64 {
    (word >> 11) as f64 / (1u64 << 53) as f64
}

/// Two normal numbers of two random words (Box and Muller, "A note on the generation of
/// random normal deviates", 1958).
pub(super) fn normal([a, b]: [u64; 2]) -> [f64; 2] {
    // 1 - x lies in 0 < x ≤ 1, where the logarithm is finite.
    let radius = (-2.0 * (1.0 - unit(a)).ln()).sqrt();
    let (sin, cos) = (TAU * unit(b)).sin_cos();
    [radius * cos, radius * sin]
}

/// An exponential number of mean 1, by the inverse of its distribution.
pub(super) fn exponential(word: u64) -> f64 {
    -(1.0 - unit(word)).ln()
}

/// The Poisson count of element `place`.
///
/// Small means by the inverse of the distribution; from 10 on by transformed rejection (Hörmann, "The
/// transformed rejection method for generating Poisson random variables", Insurance: Mathematics
/// and Economics 12, 1993, algorithm PTRS).
pub(super) fn poisson(stream: Stream, place: u64, mean: f64) -> i64 {
    if mean < 10.0 {
        let u = unit(stream.words_of(place, 0)[0]);
        let (mut count, mut part) = (0, (-mean).exp());
        let mut sum = part;
        // Beyond 100, no part is left that adds to the sum.
        while u >= sum && count < 100 {
            count += 1;
            part *= mean / count as f64;
            sum += part;
        }
        return count;
    }
    let b = 0.931 + 2.53 * mean.sqrt();
    let a = -0.059 + 0.02483 * b;
    let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    let sure = 0.9277 - 3.6224 / (b - 2.0);
    for attempt in 0.. {
        let [u, v] = stream.words_of(place, attempt).map(unit);
        // In 0 < v ≤ 1, where the logarithm is finite.
        let (u, v) = (u - 0.5, 1.0 - v);
        let middle = 0.5 - u.abs();
        let count = ((2.0 * a / middle + b) * u + mean + 0.43).floor();
        if middle >= 0.07 && v <= sure {
            return count as i64;
        }
        if count < 0.0 || (middle < 0.013 && v > middle) {
            continue;
        }
        let height = v.ln() + inverse_alpha.ln() - (a / (middle * middle) + b).ln();
        if height <= count * mean.ln() - mean - ln_factorial(count) {
            return count as i64;
        }
    }
    unreachable!("more attempts than there are numbers")
}

/// The logarithm of n!, by Stirling's series where n is not small.
fn ln_factorial(n: f64) -> f64 {
    if n < 16.0 {
        return (2..=n as u64).map(|k| k as f64).product::<f64>().ln();
    }
    let (inverse, square) = (1.0 / n, 1.0 / (n * n));
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square / 1260.0));
    (n + 0.5) * n.ln() - n + 0.5 * TAU.ln() + series
}

/// The integers below a number in random order, each found from its place: a Feistel network over the next
/// even power of two, walked until it comes back below the number (Black and Rogaway, "Ciphers
/// with arbitrary finite domains", CT-RSA 2002).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Permutation {
    stream: Stream,
    len: u64,
    /// The bits of each half of a place.
    half: u32,
}

impl Permutation {
    /// Of the integers below `len`.
    pub(super) fn new(stream: Stream, len: u64) -> Permutation {
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        Permutation { stream, len, half: bits.div_ceil(2).max(1) }
    }

    /// The integer at `place`, which is below their number.
    pub(super) fn at(self, place: u64) -> u64 {
        /// Enough that every order of a few integers comes equally often.
        const ROUNDS: u64 = 12;
        let mask = (1u64 << self.half) - 1;
        let mut at = place;
        loop {
            let (mut left, mut right) = (at >> self.half, at & mask);
            for round in 0..ROUNDS {
                let mixed = left ^ (self.stream.words_of(right, round)[0] & mask);
                (left, right) = (right, mixed);
            }
            at = left << self.half | right;
            if at < self.len {
                return at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_its_authors_numbers() {
        // From kat_vectors of the Random123 distribution.
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn factorials() {
        assert_eq!(ln_factorial(0.0), 0.0);
        assert!((ln_factorial(5.0) - 120f64.ln()).abs() < 1e-14);
        let exact: f64 = (2..=16).map(|k| f64::from(k).ln()).sum();
        assert!((ln_factorial(16.0) - exact).abs() < 1e-10);
    }

    #[test]
    fn shapes_and_mistakes() {
        assert_eq!(random(1).normal([0, 3]).shape().unwrap(), [0, 3]);
        assert_eq!(random(1).choice(vec![true, false], [2]).dtype().unwrap(), DType::Bool);
        let says = |text: String, start: &str| assert!(text.starts_with(start), "{text}");
        says(random(1).integers(3..3, 4).to_string(), "the range 3..3 holds no integer at ");
        says(random(1).choice(Vec::<f32>::new(), 4).to_string(), "a choice among no values at ");
        says(
            random(1).poisson(-1.0, 4).to_string(),
            "a Poisson distribution of mean -1: 0 to 1e12",
        );
        says(random(1).poisson(f64::NAN, 4).to_string(), "a Poisson distribution of mean NaN");
    }
}
