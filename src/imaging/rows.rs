//! How rows of elements become one row: weighted sums, extremes and ranks of the elements that stand
//! one above the other.
//!
//! Every filter is that, whatever its neighbourhood: for each row of a result the rows of its input
//! that are as far away as the neighbours are. So all inner loops are here, along rows, and
//! run on as many elements at once as the processor can.

use crate::kernel::{with_avx2, with_avx512};
use freeboard_formats::Scalar;
use std::marker::PhantomData;

/// Elements of a row whose ranks are found at a time.
const LANES: usize = 16;

/// Of how many rows at most ranks are found by comparisons of whole rows; among more, each
/// column is sorted on its own.
const NETWORK: usize = 49;

/// Rows of equal length, which may overlap, within what they were made in.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) data: &'a [f64],
    /// Where each begins. Tables of these lie in a kernel's scratch, as there may be a million rows.
    pub(super) starts: &'a [usize],
}

impl Rows<'_> {
    fn len(&self) -> usize {
        self.starts.len()
    }

    /// The `N` elements of a row from `at` on.
    #[inline(always)]
    fn lanes<const N: usize>(&self, row: usize, at: usize) -> &[f64; N] {
        self.data[self.starts[row] + at..].first_chunk().expect("rows are as long as the result")
    }
}

/// What is made of rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Combine {
    /// The sum of the rows, each times its weight, divided by a number.
    Weigh(Vec<f64>, f64),
    /// The same of weights that are equal on both sides of their centre.
    Even(Vec<f64>),
    /// The same of weights that are opposite on both sides of their centre.
    Odd(Vec<f64>),
    /// The least elements.
    Least,
    /// The greatest elements.
    Greatest,
    /// The elements with this rank among those of their columns, from 0.
    Rank(usize),
}

impl Combine {
    /// The weighted sum of a line, in the order of additions in which `scipy.ndimage` makes
    /// it: by pairs where the weights have a symmetry.
    pub(super) fn line(weights: Vec<f64>) -> Combine {
        match symmetry(&weights) {
            Some(true) => Combine::Even(weights),
            Some(false) => Combine::Odd(weights),
            None => Combine::Weigh(weights, 1.0),
        }
    }

    /// What tells two of them apart.
    pub(super) fn params(&self) -> Vec<Scalar> {
        match self {
            // Which of the three it is follows from the weights and who asks.
            Combine::Even(weights) | Combine::Odd(weights) => {
                weights.iter().map(|&weight| Scalar::F64(weight)).collect()
            }
            Combine::Weigh(weights, divisor) => {
                let numbers = weights.iter().chain([divisor]);
                numbers.map(|&weight| Scalar::F64(weight)).collect()
            }
            Combine::Least => vec![Scalar::I64(-1)],
            Combine::Greatest => vec![Scalar::I64(-2)],
            Combine::Rank(rank) => vec![Scalar::I64(*rank as i64)],
        }
    }

    /// How many doubles it needs beside the rows, for so many rows.
    pub(super) fn scratch(&self, rows: usize) -> usize {
        match self {
            Combine::Rank(_) => rows * LANES,
            _ => 0,
        }
    }

    /// Makes one row of `rows`, which are as long and not none.
    pub(super) fn run(&self, rows: Rows<'_>, out: &mut [f64], scratch: &mut [f64]) {
        match self {
            Combine::Weigh(weights, divisor) => {
                single(rows, weights, out);
                if *divisor != 1.0 {
                    out.iter_mut().for_each(|value| *value /= divisor);
                }
            }
            Combine::Even(weights) => paired::<Sum>(rows, weights, out),
            Combine::Odd(weights) => paired::<Difference>(rows, weights, out),
            Combine::Least => extreme::<Less>(rows, out),
            Combine::Greatest => extreme::<More>(rows, out),
            Combine::Rank(rank) if rows.len() <= NETWORK => match *rank < rows.len().div_ceil(2) {
                true => rank_from::<Less>(rows, *rank, out, scratch),
                false => rank_from::<More>(rows, rows.len() - 1 - rank, out, scratch),
            },
            Combine::Rank(rank) => {
                let column = &mut scratch[..rows.len()];
                for (at, out) in out.iter_mut().enumerate() {
                    let starts = column.iter_mut().zip(rows.starts);
                    starts.for_each(|(to, start)| *to = rows.data[start + at]);
                    *out = *column.select_nth_unstable_by(*rank, f64::total_cmp).1;
                }
            }
        }
    }
}

/// Whether the weights are equal on both sides of their centre, or opposite.
fn symmetry(weights: &[f64]) -> Option<bool> {
    let mirrored = || weights.iter().zip(weights.iter().rev()).take(weights.len() / 2);
    if weights.len().is_multiple_of(2) || weights.len() == 1 {
        return None;
    }
    if mirrored().all(|(a, b)| (a - b).abs() <= f64::EPSILON) {
        return Some(true);
    }
    mirrored().all(|(a, b)| (a + b).abs() <= f64::EPSILON).then_some(false)
}

/// What is made of two elements before they are weighed together.
trait Pair {
    fn pair(a: f64, b: f64) -> f64;
}

struct Sum;

impl Pair for Sum {
    #[inline(always)]
    fn pair(a: f64, b: f64) -> f64 {
        a + b
    }
}

struct Difference;

impl Pair for Difference {
    #[inline(always)]
    fn pair(a: f64, b: f64) -> f64 {
        a - b
    }
}

/// Which of two elements comes first.
trait Order {
    fn first(a: f64, b: f64) -> bool;
}

struct Less;

impl Order for Less {
    #[inline(always)]
    fn first(a: f64, b: f64) -> bool {
        a < b
    }
}

struct More;

impl Order for More {
    #[inline(always)]
    fn first(a: f64, b: f64) -> bool {
        a > b
    }
}

/// What makes some elements of a result that lie side by side. A trait and not closures, which are
/// functions of their own that the compiler may not inline, and then compiles without AVX2.
trait Lanes {
    fn make<const N: usize>(&mut self, at: usize) -> [f64; N];
}

/// Fills `out` by `N` elements, which registers hold (64 doubles are 8 of AVX-512's 32, 16 are 4 of AVX2's 16), and what is left one by one.
#[inline(always)]
fn fill<const N: usize>(out: &mut [f64], mut lanes: impl Lanes) {
    let (head, tail) = out.as_chunks_mut::<N>();
    let whole = head.len() * N;
    for (number, out) in head.iter_mut().enumerate() {
        *out = lanes.make(number * N);
    }
    for (number, out) in tail.iter_mut().enumerate() {
        [*out] = lanes.make(whole + number);
    }
}

struct Paired<'a, P> {
    rows: Rows<'a>,
    weights: &'a [f64],
    pair: PhantomData<P>,
}

impl<P: Pair> Lanes for Paired<'_, P> {
    #[inline(always)]
    fn make<const N: usize>(&mut self, at: usize) -> [f64; N] {
        let Paired { rows, weights, .. } = self;
        let half = weights.len() / 2;
        let mut sums = *rows.lanes::<N>(half, at);
        for sum in &mut sums {
            *sum *= weights[half];
        }
        for (number, weight) in weights[..half].iter().enumerate() {
            let a = rows.lanes::<N>(number, at);
            let b = rows.lanes::<N>(rows.len() - 1 - number, at);
            for i in 0..N {
                sums[i] += P::pair(a[i], b[i]) * weight;
            }
        }
        sums
    }
}

#[inline(always)]
fn paired_loop<P: Pair, const N: usize>(rows: Rows<'_>, weights: &[f64], out: &mut [f64]) {
    fill::<N>(out, Paired { rows, weights, pair: PhantomData::<P> });
}

with_avx512! {
    /// Weighted sums where rows as far from the centre have one weight, but for its sign.
    fn paired<P: Pair>(rows: Rows<'_>, weights: &[f64], out: &mut [f64]) = paired_loop [64, 16]
}

struct Single<'a> {
    rows: Rows<'a>,
    weights: &'a [f64],
}

impl Lanes for Single<'_> {
    #[inline(always)]
    fn make<const N: usize>(&mut self, at: usize) -> [f64; N] {
        let mut sums = [0.0; N];
        for (row, weight) in self.weights.iter().enumerate() {
            let row = self.rows.lanes::<N>(row, at);
            for i in 0..N {
                sums[i] += row[i] * weight;
            }
        }
        sums
    }
}

#[inline(always)]
fn single_loop<const N: usize>(rows: Rows<'_>, weights: &[f64], out: &mut [f64]) {
    fill::<N>(out, Single { rows, weights });
}

with_avx512! {
    /// Weighted sums.
    fn single<>(rows: Rows<'_>, weights: &[f64], out: &mut [f64]) = single_loop [64, 16]
}

struct Extreme<'a, O> {
    rows: Rows<'a>,
    order: PhantomData<O>,
}

impl<O: Order> Lanes for Extreme<'_, O> {
    #[inline(always)]
    fn make<const N: usize>(&mut self, at: usize) -> [f64; N] {
        let mut best = *self.rows.lanes::<N>(0, at);
        for row in 1..self.rows.len() {
            let row = self.rows.lanes::<N>(row, at);
            for i in 0..N {
                best[i] = if O::first(row[i], best[i]) { row[i] } else { best[i] };
            }
        }
        best
    }
}

#[inline(always)]
fn extreme_loop<O: Order, const N: usize>(rows: Rows<'_>, out: &mut [f64]) {
    fill::<N>(out, Extreme { rows, order: PhantomData::<O> });
}

with_avx512! {
    /// The first of each column.
    fn extreme<O: Order>(rows: Rows<'_>, out: &mut [f64]) = extreme_loop [64, 16]
}

struct Rank<'a, O> {
    rows: Rows<'a>,
    rank: usize,
    scratch: &'a mut [f64],
    order: PhantomData<O>,
}

impl<O: Order> Lanes for Rank<'_, O> {
    #[inline(always)]
    fn make<const N: usize>(&mut self, at: usize) -> [f64; N] {
        let (columns, _) = self.scratch.as_chunks_mut::<N>();
        let columns = &mut columns[..self.rows.len()];
        for (row, to) in columns.iter_mut().enumerate() {
            *to = *self.rows.lanes::<N>(row, at);
        }
        // Each turn brings the first of what is left to the front, as bubble sort does.
        for front in 0..=self.rank {
            let (done, rest) = columns.split_at_mut(front + 1);
            let first = &mut done[front];
            for other in rest {
                for i in 0..N {
                    let (a, b) = (first[i], other[i]);
                    let swap = O::first(b, a);
                    first[i] = if swap { b } else { a };
                    other[i] = if swap { a } else { b };
                }
            }
        }
        columns[self.rank]
    }
}

#[inline(always)]
fn rank_loop<O: Order>(rows: Rows<'_>, rank: usize, out: &mut [f64], scratch: &mut [f64]) {
    fill::<LANES>(out, Rank { rows, rank, scratch, order: PhantomData::<O> });
}

with_avx2! {
    /// Those with a rank, counted from the first, of each column.
    fn rank_from<O: Order>(rows: Rows<'_>, rank: usize, out: &mut [f64], scratch: &mut [f64])
        = rank_loop
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_length() {
        for len in [1, 15, 16, 37] {
            let data: Vec<f64> =
                (0..60 * len).map(|at| f64::from((at / len * 37 + at % len * 11) % 101)).collect();
            let starts: Vec<usize> = (0..60).map(|row| row * len as usize).collect();
            for count in [1, 2, 3, 9, 60] {
                let rows = Rows { data: &data, starts: &starts[..count] };
                let element = |row: usize, at: usize| data[starts[row] + at];
                let mut out = vec![0.0; len as usize];
                let mut scratch = vec![0.0; 60 * LANES];
                let column = |at: usize| -> Vec<f64> {
                    let mut column: Vec<f64> = (0..count).map(|row| element(row, at)).collect();
                    column.sort_by(f64::total_cmp);
                    column
                };
                for rank in [0, count / 2, count - 1] {
                    Combine::Rank(rank).run(rows, &mut out, &mut scratch);
                    let sorted = (0..len as usize).map(|at| column(at)[rank]);
                    assert!(sorted.eq(out.iter().copied()), "rank {rank} of {count}");
                }
                Combine::Least.run(rows, &mut out, &mut []);
                assert!((0..len as usize).map(|at| column(at)[0]).eq(out.iter().copied()));
                Combine::Greatest.run(rows, &mut out, &mut []);
                assert!((0..len as usize).map(|at| column(at)[count - 1]).eq(out.iter().copied()));
                let uneven: Vec<f64> = (0..count).map(|n| n as f64 + 1.0).collect();
                let even: Vec<f64> =
                    (0..count).map(|n| uneven[n] + uneven[count - 1 - n]).collect();
                let odd: Vec<f64> = (0..count).map(|n| uneven[n] - uneven[count - 1 - n]).collect();
                for weights in [uneven, even, odd] {
                    Combine::line(weights.clone()).run(rows, &mut out, &mut []);
                    for (at, &value) in out.iter().enumerate() {
                        let products =
                            weights.iter().enumerate().map(|(row, w)| element(row, at) * w);
                        let sum: f64 = products.sum();
                        assert_eq!(value, sum);
                    }
                }
            }
        }
    }
}
