//! The loops of folds that join values in any grouping, and the order that fixes their bits.
//!
//! A run of fewer than [`LANES`] elements is joined in sequence. A longer one goes to
//! [`LANES`] accumulators, the element at `i` to the one at `i % LANES`; the accumulators
//! are joined pairwise, halving their number; then the rest that fills no group of
//! lanes is joined in sequence. So the bits are a function of the run alone, while
//! the compiler can keep the lanes in vector registers of any width. Long runs of extrema go to
//! [`MANY`] lanes: to choose takes several instructions, each of which waits for the one before.

use crate::kernel::wide::with_avx2;
use bytemuck::Pod;

/// Accumulators a run: as many doubles as fill half of the 16 registers of SSE2, and enough to
/// hide the latency of an addition with AVX2.
pub(super) const LANES: usize = 16;

/// Accumulators a run of [`Monoid::SLOW`] joins: as many float32 as fill half of the 16 registers
/// of AVX2.
const MANY: usize = 4 * LANES;

/// Values that are joined in any grouping, up to rounding.
pub(super) trait Monoid: 'static {
    /// Whether to join takes several instructions, one after the other.
    const SLOW: bool = false;
    /// An element.
    type In: Pod;
    /// A value of elements joined.
    type Acc: Pod;
    /// The value of no element.
    const EMPTY: Self::Acc;
    /// The value of one element.
    fn lift(element: Self::In) -> Self::Acc;
    /// The value of two joined.
    fn join(a: Self::Acc, b: Self::Acc) -> Self::Acc;
}

/// The value of a run of elements, each mapped by `lift`.
#[inline(always)]
pub(super) fn join_run<T: Copy, A: Copy>(
    run: &[T],
    empty: A,
    lift: impl Fn(T) -> A,
    join: impl Fn(A, A) -> A,
) -> A {
    join_in::<LANES, _, _>(run, empty, lift, join)
}

/// The same, in `N` lanes.
#[inline(always)]
fn join_in<const N: usize, T: Copy, A: Copy>(
    run: &[T],
    empty: A,
    lift: impl Fn(T) -> A,
    join: impl Fn(A, A) -> A,
) -> A {
    if run.len() < N {
        return run.iter().fold(empty, |acc, &element| join(acc, lift(element)));
    }
    let (groups, rest) = run.as_chunks::<N>();
    let mut lanes = [empty; N];
    for group in groups {
        for lane in 0..N {
            lanes[lane] = join(lanes[lane], lift(group[lane]));
        }
    }
    let mut width = N / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = join(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    rest.iter().fold(lanes[0], |acc, &element| join(acc, lift(element)))
}

/// Joins `run` neighbouring elements to each cell.
#[inline(always)]
fn step_body<M: Monoid>(cells: &mut [M::Acc], row: &[M::In], run: usize) {
    #[inline(always)]
    fn short<M: Monoid, const N: usize>(cells: &mut [M::Acc], row: &[M::In]) {
        for (cell, run) in cells.iter_mut().zip(row.as_chunks::<N>().0) {
            *cell = M::join(*cell, join_run(run, M::EMPTY, M::lift, M::join));
        }
    }
    match run {
        1 => {
            for (cell, &element) in cells.iter_mut().zip(row) {
                *cell = M::join(*cell, M::lift(element));
            }
        }
        2 => short::<M, 2>(cells, row),
        4 => short::<M, 4>(cells, row),
        8 => short::<M, 8>(cells, row),
        10 => short::<M, 10>(cells, row),
        _ if M::SLOW && run >= 4 * MANY => {
            for (cell, run) in cells.iter_mut().zip(row.chunks_exact(run)) {
                let value = join_in::<MANY, _, _>(run, M::EMPTY, M::lift, M::join);
                *cell = M::join(*cell, value);
            }
        }
        _ => {
            for (cell, run) in cells.iter_mut().zip(row.chunks_exact(run)) {
                *cell = M::join(*cell, join_run(run, M::EMPTY, M::lift, M::join));
            }
        }
    }
}

with_avx2! {
    /// Joins `run` neighbouring elements to each cell.
    pub(super) fn step<M: Monoid>(cells: &mut [M::Acc], row: &[M::In], run: usize) = step_body
}

#[cfg(test)]
mod tests {
    use super::{
        super::single::{Least, Product, Real},
        *,
    };

    fn bits<M: Monoid<In = f32>>(step: fn(&mut [M::Acc], &[f32], usize), run: usize) -> Vec<u8> {
        let row: Vec<f32> =
            (0..run * 7).map(|i| ((i * 7919 % 1009) as f32 - 500.0) / 313.0).collect();
        let mut cells = [M::EMPTY; 7];
        step(&mut cells, &row, run);
        step(&mut cells, &row, run);
        bytemuck::cast_slice(&cells).to_vec()
    }

    #[test]
    fn wide_loops_give_the_same_bits() {
        fn check<M: Monoid<In = f32>>() {
            for run in [1, 2, 5, 10, 16, 31, 100, 4096] {
                assert_eq!(bits::<M>(step::<M>, run), bits::<M>(step_body::<M>, run), "{run}");
            }
        }
        check::<Real<f32>>();
        check::<Product<f32>>();
        check::<Least<f32>>();
    }
}
