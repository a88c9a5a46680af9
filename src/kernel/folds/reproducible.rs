//! Sums, means and spreads whose bits do not depend on how the elements come: on chunks,
//! tiles or their order.
//!
//! A sum is kept as digits of [`BITS`] bits at places that are fixed for all doubles, of which
//! the [`DIGITS`] highest that the largest summand reaches are kept. Each summand is cut at
//! those places by itself; digits are added as integers, without carries, and when a larger
//! summand comes, the lowest digits fall away as if they had never been counted. So a sum is a
//! function of what was summed, and of nothing else. Of `n` summands up to `m` it is wrong by at
//! most `n · m · 2^-73`, and rounded once, where sums in doubles are wrong by up to `n² · m · 2^-53`.
//!
//! The digits are those of Demmel and Nguyen (IEEE Transactions on Computers 64, 2015, 2060)
//! and Ahrens, Demmel and Nguyen (ACM Transactions on Mathematical Software 46, 2020, 22); that
//! adding and subtracting a power of two cuts a double without error, and in vectors, is Rump,
//! Ogita and Oishi's (SIAM Journal on Scientific Computing 31, 2008, 189). Up to 2^38 elements
//! a cell, a digit cannot overflow.
//!
//! A variance is made of the sums of the elements and of their squares, each square as two
//! doubles whose sum it is, and the difference is taken in twice the precision of doubles.

use super::{FoldOp, number::Number};
use crate::kernel::{At, Fold, wide::with_avx2};
use freeboard_formats::{DType, Element, Scalar, with_dtype};
use smallvec::SmallVec;
use std::{borrow::Cow, ops::Deref, sync::Arc};

/// Bits of a digit.
const BITS: i64 = 24;
/// Digits of a sum.
const DIGITS: usize = 4;
/// Parts of the state of a sum: where it begins, its digits, and what is not finite.
const PARTS: usize = DIGITS + 2;
/// The exponent of the lowest digit's unit: that of the least double.
const LOWEST: i64 = -1074;
/// Elements that are summed at a time: they stay in the first-level cache.
const BLOCK: usize = 512;
/// The bits of a double without its sign, and those of infinity.
const MAGNITUDE: u64 = u64::MAX >> 1;
const INFINITE: u64 = 0x7ff << 52;
/// From this digit on, the constant that cuts there is no double: all is scaled down by four digits.
const HIGH: i64 = 86;
const SCALE: f64 = f64::from_bits(((1023 - 4 * BITS) as u64) << 52);

/// A sum.
#[derive(Clone, Copy, Debug)]
struct Digits {
    /// The place of the highest digit.
    top: i64,
    /// The digits, the highest first.
    digits: [i64; DIGITS],
    /// The sum of what is not finite.
    special: f64,
}

/// The place of the highest digit of a double with these bits, without its sign.
#[inline(always)]
fn place(magnitude: u64) -> i64 {
    ((magnitude >> 52) as i64 - 1023 - LOWEST) / BITS
}

/// What, added and subtracted again, rounds to a whole number of units of the digit at `place`.
#[inline(always)]
fn cut(place: i64) -> f64 {
    f64::from_bits(((place * BITS + 1) as u64) << 52 | 1 << 51)
}

impl Digits {
    const ZERO: Digits = Digits { top: 0, digits: [0; DIGITS], special: 0.0 };

    /// The sum of a cell, whose parts lie in arrays of their own.
    #[inline(always)]
    fn read(parts: &[impl Deref<Target = [i64]>], cell: usize) -> Digits {
        Digits {
            top: parts[0][cell],
            digits: std::array::from_fn(|at| parts[1 + at][cell]),
            special: f64::from_bits(parts[PARTS - 1][cell] as u64),
        }
    }

    #[inline(always)]
    fn write(self, parts: &mut [&mut [i64]], cell: usize) {
        parts[0][cell] = self.top;
        for (part, digit) in parts[1..].iter_mut().zip(self.digits) {
            part[cell] = digit;
        }
        parts[PARTS - 1][cell] = self.special.to_bits() as i64;
    }

    /// Sees to it that a summand whose highest digit is at `place` fits.
    #[inline(always)]
    fn raise(&mut self, place: i64) {
        if place > self.top {
            let by = usize::try_from(place - self.top).map_or(DIGITS, |by| by.min(DIGITS));
            self.digits.copy_within(..DIGITS - by, by);
            self.digits[..by].fill(0);
            self.top = place;
        }
    }

    /// Adds `values`, which are used up.
    #[inline(always)]
    fn add(&mut self, values: &mut [f64]) {
        let largest = |values: &[f64]| {
            values.iter().fold(0, |most: i64, v| most.max((v.to_bits() & MAGNITUDE) as i64)) as u64
        };
        let mut most = largest(values);
        if most >= INFINITE {
            for value in values.iter_mut().filter(|value| !value.is_finite()) {
                self.special += *value;
                *value = 0.0;
            }
            most = largest(values);
        }
        self.raise(place(most));
        let mut top = self.top;
        if top >= HIGH {
            values.iter_mut().for_each(|value| *value *= SCALE);
            top -= DIGITS as i64;
        }
        for (place, digit) in (0..=top).rev().zip(&mut self.digits) {
            let cut = cut(place);
            let (mut units, mut rest) = (0i64, 0u64);
            for value in values.iter_mut() {
                // Both lie between two powers of two: their bits differ by whole units.
                let rounded = *value + cut;
                units += rounded.to_bits() as i64 - cut.to_bits() as i64;
                *value -= rounded - cut;
                rest |= value.to_bits();
            }
            *digit += units;
            if rest & MAGNITUDE == 0 {
                break;
            }
        }
    }

    /// Both sums.
    fn join(mut self, mut other: Digits) -> Digits {
        self.raise(other.top);
        other.raise(self.top);
        self.digits.iter_mut().zip(other.digits).for_each(|(digit, other)| *digit += other);
        self.special += other.special;
        self
    }

    /// The sum as two doubles: the nearest, and nearly all that is left.
    fn value(self) -> (f64, f64) {
        if self.special != 0.0 {
            // A NaN has no sign and no bits of its own.
            return (if self.special.is_nan() { f64::NAN } else { self.special }, 0.0);
        }
        let mut digits = self.digits;
        for at in (1..DIGITS).rev() {
            digits[at - 1] += digits[at] >> BITS;
            digits[at] &= (1 << BITS) - 1;
        }
        let [first, second, third, fourth] = digits.map(i128::from);
        let mut exponent = (self.top - 3) * BITS + LOWEST;
        let mut units = (((first << BITS) + second) << BITS) + third;
        if first.unsigned_abs() < 1 << 50 {
            units = (units << BITS) + fourth;
        } else {
            // Far below the rounding: whether there is anything is all that counts.
            units = (units << 1) | i128::from(fourth != 0);
            exponent += BITS - 1;
        }
        let nearest = units as f64;
        let left = (units - nearest as i128) as f64;
        (scaled(nearest, exponent), scaled(left, exponent))
    }
}

/// `value · 2^exponent`.
fn scaled(value: f64, exponent: i64) -> f64 {
    let power = |exponent: i64| f64::from_bits(((exponent + 1023) as u64) << 52);
    let (mut value, mut exponent) = (value, exponent);
    while exponent < -1022 {
        (value, exponent) = (value * power(-1022), exponent + 1022);
    }
    while exponent > 1023 {
        (value, exponent) = (value * power(1023), exponent - 1023);
    }
    value * power(exponent)
}

/// `a · b` as two doubles whose sum it is, by Dekker (Numerische Mathematik 18, 1971, 224).
#[inline(always)]
fn product(a: f64, b: f64) -> (f64, f64) {
    #[inline(always)]
    fn halves(a: f64) -> (f64, f64) {
        let shifted = a * 134_217_729.0;
        let high = shifted - (shifted - a);
        (high, a - high)
    }
    let whole = a * b;
    let ((a_high, a_low), (b_high, b_low)) = (halves(a), halves(b));
    let left = ((a_high * b_high - whole) + a_high * b_low + a_low * b_high) + a_low * b_low;
    (whole, if left.is_finite() { left } else { 0.0 })
}

/// The sum of squared deviations from the mean, of `n` elements with these sums.
fn squared_deviations(sum: Digits, squares: Digits, n: f64) -> f64 {
    if sum.special != 0.0 {
        return f64::NAN;
    }
    let ((sum, sum_left), (squares, squares_left)) = (sum.value(), squares.value());
    // sum · (sum / n), in two doubles each.
    let mean = sum / n;
    let (back, back_left) = product(mean, n);
    let mean_left = ((sum - back) - back_left + sum_left) / n;
    let (of_mean, of_mean_left) = product(sum, mean);
    let of_mean_left = of_mean_left + sum * mean_left + sum_left * mean;
    let deviations = (squares - of_mean) + (squares_left - of_mean_left);
    if deviations < 0.0 { 0.0 } else { deviations }
}

/// A sum, mean or spread. The state is the count, where NaN is left out, and a sum each of the
/// elements and, of spreads, of their squares.
#[derive(Debug)]
struct Reproducible {
    op: FoldOp,
    input: DType,
    output: DType,
    state: Vec<DType>,
    step: fn(&mut [&mut [i64]], &[u8], usize),
    put: fn(f64, &mut [u8]),
}

/// The reduction as one whose bits depend on nothing but the elements; `None` if the usual one
/// is so already, or if there is none.
pub(super) fn reproducible(op: FoldOp, dtype: DType) -> Option<Arc<dyn Fold>> {
    let sum = matches!(op, FoldOp::Sum | FoldOp::NanSum) && dtype.is_float();
    let mean = matches!(op, FoldOp::Mean | FoldOp::NanMean);
    if !(sum || mean || op.ddof().is_some()) {
        return None;
    }
    Some(with_dtype!(dtype, T => made::<<T as Element>::Repr>(op, dtype)))
}

/// Whether NaN is left out and counted: nothing else would be, of other dtypes.
fn skips(op: FoldOp, dtype: DType) -> bool {
    use FoldOp::{NanMean, NanStd, NanSum, NanVar};
    dtype.is_float() && matches!(op, NanSum | NanMean | NanVar { .. } | NanStd { .. })
}

fn made<T: Number>(op: FoldOp, dtype: DType) -> Arc<dyn Fold> {
    let (skips, spread) = (skips(op, dtype), op.ddof().is_some());
    Arc::new(Reproducible {
        op,
        input: dtype,
        output: if dtype.is_float() { dtype } else { DType::F64 },
        state: vec![DType::I64; usize::from(skips) + (1 + usize::from(spread)) * PARTS],
        step: match (skips, spread) {
            (false, false) => |state, row, run| plain::<T>(state, bytemuck::cast_slice(row), run),
            (true, false) => |state, row, run| skipping::<T>(state, bytemuck::cast_slice(row), run),
            (false, true) => |state, row, run| squared::<T>(state, bytemuck::cast_slice(row), run),
            (true, true) => {
                |state, row, run| squared_skipping::<T>(state, bytemuck::cast_slice(row), run)
            }
        },
        put: |value, out| out.copy_from_slice(bytemuck::bytes_of(&T::real(value))),
    })
}

/// Adds `run` neighbouring elements to each cell.
#[inline(always)]
fn walk<T: Number, const SKIPS: bool, const SQUARES: bool>(
    state: &mut [&mut [i64]],
    row: &[T],
    run: usize,
) {
    match run {
        1 => walk_in::<T, SKIPS, SQUARES, 1>(state, row, run),
        2..=8 => walk_in::<T, SKIPS, SQUARES, 8>(state, row, run),
        _ => walk_in::<T, SKIPS, SQUARES, BLOCK>(state, row, run),
    }
}

/// The same, up to `N` elements at a time.
#[inline(always)]
fn walk_in<T: Number, const SKIPS: bool, const SQUARES: bool, const N: usize>(
    state: &mut [&mut [i64]],
    row: &[T],
    run: usize,
) {
    let (counts, sums) = state.split_at_mut(usize::from(SKIPS));
    let (sums, squares) = sums.split_at_mut(PARTS);
    let (mut values, mut highs, mut lows) = ([0f64; N], [0f64; N], [0f64; N]);
    for (cell, run) in row.chunks_exact(run).enumerate() {
        let mut sum = Digits::read(sums, cell);
        let mut of_squares = if SQUARES { Digits::read(squares, cell) } else { Digits::ZERO };
        for block in run.chunks(N) {
            let len = block.len();
            for (value, &element) in values.iter_mut().zip(block) {
                let skipped = SKIPS && element.is_nan();
                *value = if skipped { 0.0 } else { element.to_f64() };
            }
            if SKIPS {
                let numbers = block.iter().filter(|element| !element.is_nan()).count();
                counts[0][cell] += numbers as i64;
            }
            if SQUARES {
                let squares = highs.iter_mut().zip(&mut lows);
                for ((high, low), &value) in squares.zip(&values[..len]) {
                    (*high, *low) = product(value, value);
                }
                of_squares.add(&mut highs[..len]);
                of_squares.add(&mut lows[..len]);
            }
            sum.add(&mut values[..len]);
        }
        sum.write(sums, cell);
        if SQUARES {
            of_squares.write(squares, cell);
        }
    }
}

#[inline(always)]
fn plain_body<T: Number>(state: &mut [&mut [i64]], row: &[T], run: usize) {
    walk::<T, false, false>(state, row, run);
}

#[inline(always)]
fn skipping_body<T: Number>(state: &mut [&mut [i64]], row: &[T], run: usize) {
    walk::<T, true, false>(state, row, run);
}

#[inline(always)]
fn squared_body<T: Number>(state: &mut [&mut [i64]], row: &[T], run: usize) {
    walk::<T, false, true>(state, row, run);
}

#[inline(always)]
fn squared_skipping_body<T: Number>(state: &mut [&mut [i64]], row: &[T], run: usize) {
    walk::<T, true, true>(state, row, run);
}

with_avx2! {
    fn plain<T: Number>(state: &mut [&mut [i64]], row: &[T], run: usize) = plain_body
}
with_avx2! {
    fn skipping<T: Number>(state: &mut [&mut [i64]], row: &[T], run: usize) = skipping_body
}
with_avx2! {
    fn squared<T: Number>(state: &mut [&mut [i64]], row: &[T], run: usize) = squared_body
}
with_avx2! {
    fn squared_skipping<T: Number>(
        state: &mut [&mut [i64]],
        row: &[T],
        run: usize,
    ) = squared_skipping_body
}

impl Reproducible {
    /// The result of a cell of `count` elements, where no NaN is left out.
    fn result(&self, state: &[&[i64]], cell: usize, count: u64) -> f64 {
        let skips = skips(self.op, self.input);
        let (counts, sums) = state.split_at(usize::from(skips));
        let count = if skips { counts[0][cell] as u64 } else { count };
        let sum = Digits::read(sums, cell);
        let n = count as f64;
        let Some(ddof) = self.op.ddof() else {
            let (sum, _) = sum.value();
            return if matches!(self.op, FoldOp::Mean | FoldOp::NanMean) { sum / n } else { sum };
        };
        if count == 0 || (skips && count <= ddof) {
            return f64::NAN;
        }
        let squares = squared_deviations(sum, Digits::read(&sums[PARTS..], cell), n);
        let variance = squares / count.saturating_sub(ddof) as f64;
        match self.op {
            FoldOp::Std { .. } | FoldOp::NanStd { .. } => variance.sqrt(),
            _ => variance,
        }
    }
}

/// The parts of a state, as numbers.
fn numbers<'a>(state: &'a [&[u8]]) -> SmallVec<[&'a [i64]; 13]> {
    state.iter().map(|part| bytemuck::cast_slice(part)).collect()
}

fn numbers_mut<'a>(state: &'a mut [&mut [u8]]) -> SmallVec<[&'a mut [i64]; 13]> {
    state.iter_mut().map(|part| bytemuck::cast_slice_mut(part)).collect()
}

impl Fold for Reproducible {
    fn name(&self) -> Cow<'static, str> {
        format!("reproducible {}", self.op.name()).into()
    }

    fn params(&self) -> Vec<Scalar> {
        self.op.ddof().map(Scalar::U64).into_iter().collect()
    }

    fn input(&self) -> DType {
        self.input
    }

    fn output(&self) -> DType {
        self.output
    }

    fn state(&self) -> &[DType] {
        &self.state
    }

    fn start(&self, state: &mut [&mut [u8]]) {
        state.iter_mut().for_each(|part| part.fill(0));
    }

    fn step(&self, state: &mut [&mut [u8]], row: &[u8], run: usize, _at: At) {
        (self.step)(&mut numbers_mut(state), row, run);
    }

    fn combine(&self, state: &mut [&mut [u8]], _: u64, later: &[&[u8]], _: u64) {
        let (mut state, later) = (numbers_mut(state), numbers(later));
        let (counts, sums) = state.split_at_mut(usize::from(skips(self.op, self.input)));
        for (counts, later) in counts.iter_mut().zip(&later) {
            counts.iter_mut().zip(*later).for_each(|(count, later)| *count += later);
        }
        for (sums, later) in sums.chunks_mut(PARTS).zip(later[counts.len()..].chunks(PARTS)) {
            for cell in 0..sums[0].len() {
                Digits::read(sums, cell).join(Digits::read(later, cell)).write(sums, cell);
            }
        }
    }

    fn finish(&self, state: &[&[u8]], count: u64, out: &mut [u8]) {
        let state = numbers(state);
        for (cell, out) in out.chunks_exact_mut(self.output.size()).enumerate() {
            (self.put)(self.result(&state, cell, count), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A fold of all `values` as one cell, in pieces of these lengths.
    fn folded(op: FoldOp, values: &[f64], pieces: &[usize]) -> f64 {
        let fold = reproducible(op, DType::F64).expect("of floats");
        let parts = fold.state().len();
        let state = |values: &[f64]| {
            let mut cells = vec![[0u8; 8]; parts];
            let mut state: Vec<&mut [u8]> = cells.iter_mut().map(|c| &mut c[..]).collect();
            fold.start(&mut state);
            if !values.is_empty() {
                fold.step(&mut state, bytemuck::cast_slice(values), values.len(), At::default());
            }
            cells
        };
        let mut held = state(&[]);
        let mut rest = values;
        for &piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at(piece.clamp(1, rest.len()));
            let more = state(now);
            let more: Vec<&[u8]> = more.iter().map(|c| &c[..]).collect();
            let mut parts: Vec<&mut [u8]> = held.iter_mut().map(|c| &mut c[..]).collect();
            fold.combine(&mut parts, 0, &more, 0);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let mut out = [0; 8];
        let held: Vec<&[u8]> = held.iter().map(|c| &c[..]).collect();
        fold.finish(&held, values.len() as u64, &mut out);
        f64::from_le_bytes(out)
    }

    const OPS: [FoldOp; 6] = [
        FoldOp::Sum,
        FoldOp::NanSum,
        FoldOp::Mean,
        FoldOp::NanMean,
        FoldOp::Var { ddof: 1 },
        FoldOp::NanStd { ddof: 0 },
    ];

    proptest! {
        /// Of any doubles, in any order and in any pieces.
        #[test]
        fn bits_depend_on_the_elements_alone(
            values in prop::collection::vec(any::<u64>().prop_map(f64::from_bits), 1..80),
            ordinary in prop::collection::vec(-1e9..1e9, 1..2000),
            pieces in prop::collection::vec(1usize..700, 1..6),
            seed in any::<u64>(),
        ) {
            for values in [values, ordinary] {
                let mut other = values.clone();
                let len = other.len() as u64;
                for at in (1..other.len()).rev() {
                    let random = seed.wrapping_mul(6_364_136_223_846_793_005 + 2 * at as u64) >> 11;
                    other.swap(at, (random % len.min(at as u64 + 1)) as usize);
                }
                for op in OPS {
                    let (a, b) = (folded(op, &values, &[usize::MAX]), folded(op, &other, &pieces));
                    prop_assert_eq!(a.to_bits(), b.to_bits(), "{:?}: {} and {}", op, a, b);
                }
            }
        }

        /// Of numbers whose sum is known: whole multiples of a power of two.
        #[test]
        fn sums_are_rounded_once(
            units in prop::collection::vec(-(1i64 << 52)..1 << 52, 1..3000),
            exponent in -1060i64..900,
        ) {
            let values: Vec<f64> = units.iter().map(|&u| scaled(u as f64, exponent)).collect();
            let exact: i128 = units.iter().map(|&u| i128::from(u)).sum();
            let sum = folded(FoldOp::Sum, &values, &[97, 1000]);
            prop_assert_eq!(sum, scaled(exact as f64, exponent));
        }

        #[test]
        fn variances_are_those_of_two_passes(
            values in prop::collection::vec(-1e3..1e3, 2..500),
            offset in -1e6..1e6,
        ) {
            let values: Vec<f64> = values.iter().map(|v| v + offset).collect();
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let expected = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
            let variance = folded(FoldOp::Var { ddof: 0 }, &values, &[33]);
            prop_assert!((variance - expected).abs() <= 1e-9 * expected + 1e-12);
        }
    }

    #[test]
    fn what_is_not_finite_and_what_is_not_there() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let sum = |values: &[f64]| folded(FoldOp::Sum, values, &[1]);
        assert_eq!(sum(&[1.0, inf, -1e308]), inf);
        assert!(sum(&[inf, -inf]).is_nan() && sum(&[1.0, nan]).is_nan());
        assert_eq!(sum(&[f64::MAX, f64::MAX]), inf);
        // What overflows on the way does not in the end.
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert_eq!(sum(&[5e-324, -1e300, 1e300]), 0.0);
        assert_eq!(folded(FoldOp::NanSum, &[nan, 2.0, nan], &[2]), 2.0);
        assert_eq!(folded(FoldOp::NanMean, &[nan, 2.0, 4.0], &[2]), 3.0);
        assert!(folded(FoldOp::NanMean, &[nan], &[2]).is_nan());
        assert!(folded(FoldOp::NanVar { ddof: 1 }, &[nan, 3.0], &[2]).is_nan());
        assert!(folded(FoldOp::Var { ddof: 0 }, &[inf, 3.0], &[2]).is_nan());
    }
}
