//! Variances and standard deviations, with and without NaN.
//!
//! The state is the mean and the sum of squared deviations from it, in doubles. Elements
//! that come one a cell update both by Welford's recurrence (Technometrics 4, 1962, 419);
//! a run is first passed for its mean, then for its deviations, and joined to the cell
//! by the parallel formula of Chan, Golub and LeVeque (The American Statistician 37,
//! 1983, 242). So nothing cancels that the data do not cancel themselves.

use super::{
    FoldOp,
    lanes::{Monoid, join_run},
    number::Number,
    reproducible::reproducible,
    single::{NanReal, Weight, each},
};
use crate::kernel::{At, Fold, wide::with_avx2};
use freeboard_formats::{DType, Scalar};
use std::{borrow::Cow, sync::Arc};

/// What distinguishes the folds of this module: a variance or a standard deviation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread(pub(super) FoldOp);

impl Spread {
    /// What is subtracted from the count, in the divisor.
    fn ddof(self) -> u64 {
        self.0.ddof().expect("a spread has one")
    }

    /// The variance, or its root, of `count` elements whose squared deviations sum to `squares`.
    #[inline(always)]
    fn of(self, squares: f64, divisor: f64) -> f64 {
        let variance = squares / divisor;
        let root = matches!(self.0, FoldOp::Std { .. } | FoldOp::NanStd { .. });
        if root { variance.sqrt() } else { variance }
    }
}

/// The mean and the summed squared deviations of `n` elements.
#[derive(Clone, Copy)]
struct Part {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Part {
    /// Both, by Chan's formula.
    #[inline(always)]
    fn join(self, later: Part) -> Part {
        if later.n == 0.0 {
            return self;
        }
        if self.n == 0.0 {
            return later;
        }
        let n = self.n + later.n;
        let delta = later.mean - self.mean;
        Part {
            n,
            mean: self.mean + delta * (later.n / n),
            squares: self.squares + later.squares + delta * delta * (self.n * later.n / n),
        }
    }

    /// The elements of a run.
    #[inline(always)]
    fn of_run<T: Number>(run: &[T]) -> Part {
        let n = run.len() as f64;
        let mean = join_run(run, 0.0, T::to_f64, |a, b| a + b) / n;
        let squared = |x: T| {
            let deviation = x.to_f64() - mean;
            deviation * deviation
        };
        Part { n, mean, squares: join_run(run, 0.0, squared, |a, b| a + b) }
    }

    /// The elements of a run that are not NaN.
    #[inline(always)]
    fn of_numbers<T: Number>(run: &[T]) -> Part {
        let n = join_run(run, 0.0, Weight::<T>::lift, |a, b| a + b);
        if n == 0.0 {
            return Part { n, mean: 0.0, squares: 0.0 };
        }
        let mean = join_run(run, 0.0, NanReal::<T>::lift, |a, b| a + b) / n;
        let squared = |x: T| {
            let deviation = if x.is_nan() { 0.0 } else { x.to_f64() - mean };
            deviation * deviation
        };
        Part { n, mean, squares: join_run(run, 0.0, squared, |a, b| a + b) }
    }
}

/// `var` and `std`: the state is [mean, squares]; every cell has the same count.
#[derive(Debug)]
pub(super) struct Moments {
    spread: Spread,
    input: DType,
    output: DType,
    step: fn(&mut [f64], &mut [f64], &[u8], usize, u64),
    finish: fn(Spread, &[u8], u64, &mut [u8]),
}

impl Moments {
    /// The fold of elements `T`.
    pub(super) fn new<T: Number>(spread: Spread, input: DType, output: DType) -> Moments {
        Moments {
            spread,
            input,
            output,
            step: |means, squares, row, run, seen| {
                step::<T>(means, squares, bytemuck::cast_slice(row), run, seen);
            },
            finish: |spread, squares, count, out| {
                let divisor = count.saturating_sub(spread.ddof()) as f64;
                each(squares, out, |squares: f64| T::real(spread.of(squares, divisor)));
            },
        }
    }
}

#[inline(always)]
fn step_body<T: Number>(means: &mut [f64], squares: &mut [f64], row: &[T], run: usize, seen: u64) {
    let cells = means.iter_mut().zip(squares);
    if run == 1 {
        let share = 1.0 / (seen + 1) as f64;
        for ((mean, squares), &element) in cells.zip(row) {
            let element = element.to_f64();
            let delta = element - *mean;
            *mean += delta * share;
            *squares += delta * (element - *mean);
        }
        return;
    }
    for ((mean, squares), run) in cells.zip(row.chunks_exact(run)) {
        let held = Part { n: seen as f64, mean: *mean, squares: *squares };
        let joined = held.join(Part::of_run(run));
        (*mean, *squares) = (joined.mean, joined.squares);
    }
}

with_avx2! {
    fn step<T: Number>(
        means: &mut [f64],
        squares: &mut [f64],
        row: &[T],
        run: usize,
        seen: u64,
    ) = step_body
}

impl Fold for Moments {
    fn name(&self) -> Cow<'static, str> {
        self.spread.0.name().into()
    }

    fn params(&self) -> Vec<Scalar> {
        vec![Scalar::U64(self.spread.ddof())]
    }

    fn input(&self) -> DType {
        self.input
    }

    fn output(&self) -> DType {
        self.output
    }

    fn state(&self) -> &[DType] {
        &[DType::F64; 2]
    }

    fn reproducible(&self) -> Option<Arc<dyn Fold>> {
        reproducible(self.spread.0, self.input)
    }

    fn start(&self, state: &mut [&mut [u8]]) {
        state.iter_mut().for_each(|part| part.fill(0));
    }

    fn step(&self, state: &mut [&mut [u8]], row: &[u8], run: usize, at: At) {
        let [means, squares] = state else { unreachable!("the state has two parts") };
        let (means, squares) = (bytemuck::cast_slice_mut(means), bytemuck::cast_slice_mut(squares));
        (self.step)(means, squares, row, run, at.seen);
    }

    fn combine(&self, state: &mut [&mut [u8]], count: u64, later: &[&[u8]], count_later: u64) {
        let [means, squares] = state else { unreachable!("the state has two parts") };
        let means: &mut [f64] = bytemuck::cast_slice_mut(means);
        let squares: &mut [f64] = bytemuck::cast_slice_mut(squares);
        let later_means: &[f64] = bytemuck::cast_slice(later[0]);
        let later_squares: &[f64] = bytemuck::cast_slice(later[1]);
        let (n, n_later) = (count as f64, count_later as f64);
        for ((mean, squares), (&later_mean, &later_squares)) in
            means.iter_mut().zip(squares).zip(later_means.iter().zip(later_squares))
        {
            let held = Part { n, mean: *mean, squares: *squares };
            let later = Part { n: n_later, mean: later_mean, squares: later_squares };
            let joined = held.join(later);
            (*mean, *squares) = (joined.mean, joined.squares);
        }
    }

    fn finish(&self, state: &[&[u8]], count: u64, out: &mut [u8]) {
        (self.finish)(self.spread, state[1], count, out);
    }
}

/// `nanvar` and `nanstd`: the state is [count, mean, squares].
#[derive(Debug)]
pub(super) struct NanMoments {
    spread: Spread,
    dtype: DType,
    step: fn([&mut [f64]; 3], &[u8], usize),
    finish: fn(Spread, &[f64], &[f64], &mut [u8]),
}

impl NanMoments {
    /// The fold of floats `T`.
    pub(super) fn new<T: Number>(spread: Spread, dtype: DType) -> NanMoments {
        NanMoments {
            spread,
            dtype,
            step: |state, row, run| nan_step::<T>(state, bytemuck::cast_slice(row), run),
            finish: |spread, counts, squares, out| {
                let out: &mut [T::Real] = bytemuck::cast_slice_mut(out);
                for (out, (&n, &squares)) in out.iter_mut().zip(counts.iter().zip(squares)) {
                    let divisor = n - spread.ddof() as f64;
                    let value = spread.of(squares, divisor);
                    *out = T::real(if divisor > 0.0 { value } else { f64::NAN });
                }
            },
        }
    }
}

#[inline(always)]
fn nan_step_body<T: Number>(state: [&mut [f64]; 3], row: &[T], run: usize) {
    let [counts, means, squares] = state;
    let cells = counts.iter_mut().zip(means).zip(squares);
    if run == 1 {
        for (((n, mean), squares), &element) in cells.zip(row) {
            let nan = element.is_nan();
            let element = if nan { *mean } else { element.to_f64() };
            *n += if nan { 0.0 } else { 1.0 };
            let delta = element - *mean;
            *mean += delta / if *n == 0.0 { 1.0 } else { *n };
            *squares += delta * (element - *mean);
        }
        return;
    }
    for (((n, mean), squares), run) in cells.zip(row.chunks_exact(run)) {
        let held = Part { n: *n, mean: *mean, squares: *squares };
        let joined = held.join(Part::of_numbers(run));
        (*n, *mean, *squares) = (joined.n, joined.mean, joined.squares);
    }
}

with_avx2! {
    fn nan_step<T: Number>(state: [&mut [f64]; 3], row: &[T], run: usize) = nan_step_body
}

fn three<'a>(state: &'a mut [&mut [u8]]) -> [&'a mut [f64]; 3] {
    let [counts, means, squares] = state else { unreachable!("the state has three parts") };
    [
        bytemuck::cast_slice_mut(counts),
        bytemuck::cast_slice_mut(means),
        bytemuck::cast_slice_mut(squares),
    ]
}

impl Fold for NanMoments {
    fn name(&self) -> Cow<'static, str> {
        self.spread.0.name().into()
    }

    fn params(&self) -> Vec<Scalar> {
        vec![Scalar::U64(self.spread.ddof())]
    }

    fn input(&self) -> DType {
        self.dtype
    }

    fn output(&self) -> DType {
        self.dtype
    }

    fn state(&self) -> &[DType] {
        &[DType::F64; 3]
    }

    fn reproducible(&self) -> Option<Arc<dyn Fold>> {
        reproducible(self.spread.0, self.dtype)
    }

    fn start(&self, state: &mut [&mut [u8]]) {
        state.iter_mut().for_each(|part| part.fill(0));
    }

    fn step(&self, state: &mut [&mut [u8]], row: &[u8], run: usize, _at: At) {
        (self.step)(three(state), row, run);
    }

    fn combine(&self, state: &mut [&mut [u8]], _: u64, later: &[&[u8]], _: u64) {
        let [counts, means, squares] = three(state);
        let later: [&[f64]; 3] = [0, 1, 2].map(|part| bytemuck::cast_slice(later[part]));
        for cell in 0..counts.len() {
            let part = |n, mean, squares| Part { n, mean, squares };
            let joined = part(counts[cell], means[cell], squares[cell]).join(part(
                later[0][cell],
                later[1][cell],
                later[2][cell],
            ));
            (counts[cell], means[cell], squares[cell]) = (joined.n, joined.mean, joined.squares);
        }
    }

    fn finish(&self, state: &[&[u8]], _count: u64, out: &mut [u8]) {
        let (counts, squares) = (bytemuck::cast_slice(state[0]), bytemuck::cast_slice(state[2]));
        (self.finish)(self.spread, counts, squares, out);
    }
}
