//! Where the extrema are: `argmin`, `argmax`, and those that leave NaN out.
//!
//! The state is the extremum and its C-order index. Of equal ones the lowest index counts,
//! whatever the order of steps; a NaN comes before every number, as in NumPy, or is not seen.

use super::{
    lanes::{Monoid, join_run},
    number::Number,
    single::{Greatest, Least, each},
};
use crate::kernel::{At, Fold};
use freeboard_formats::DType;
use std::borrow::Cow;

/// The index of cells in which nothing was seen yet: after all others.
const NOWHERE: i64 = i64::MAX;

/// [`Fold::step`] on values and indices: the row, its run, and the index of the run's start.
type Step = fn(&mut [u8], &mut [i64], &[u8], usize, i64);
/// [`Fold::combine`] of values and indices with later ones.
type Combine = fn(&mut [u8], &mut [i64], &[u8], &[i64]);

/// The fold.
#[derive(Debug)]
pub(super) struct Place {
    name: &'static str,
    state: [DType; 2],
    start: fn(&mut [u8]),
    step: Step,
    combine: Combine,
}

impl Place {
    /// Of the least element or the greatest, seeing NaN or skipping it.
    pub(super) fn new<T: Number, const LEAST: bool, const SKIP: bool>(
        name: &'static str,
        input: DType,
    ) -> Place {
        Place {
            name,
            state: [input, DType::I64],
            start: |values| {
                let identity = if LEAST { T::GREATEST } else { T::LEAST };
                bytemuck::cast_slice_mut(values).fill(identity);
            },
            step: |values, indices, row, run, first| {
                let values = bytemuck::cast_slice_mut(values);
                step::<T, LEAST, SKIP>(values, indices, bytemuck::cast_slice(row), run, first);
            },
            combine: |values, indices, later, later_indices| {
                let values: &mut [T] = bytemuck::cast_slice_mut(values);
                let later: &[T] = bytemuck::cast_slice(later);
                let cells = values.iter_mut().zip(indices);
                for ((held, place), (&value, &index)) in cells.zip(later.iter().zip(later_indices))
                {
                    if comes_before::<T, LEAST, SKIP>(value, index, *held, *place) {
                        (*held, *place) = (value, index);
                    }
                }
            },
        }
    }
}

/// Whether the element `value` at `index` comes before what a cell holds.
#[inline(always)]
fn comes_before<T: Number, const LEAST: bool, const SKIP: bool>(
    value: T,
    index: i64,
    held: T,
    place: i64,
) -> bool {
    let before = if LEAST { value < held } else { value > held };
    let level = value == held;
    if SKIP {
        return before | (level & (index < place));
    }
    let (nan, held_nan) = (value.is_nan(), held.is_nan());
    before | (nan & !held_nan) | ((level | (nan & held_nan)) & (index < place))
}

fn step<T: Number, const LEAST: bool, const SKIP: bool>(
    values: &mut [T],
    indices: &mut [i64],
    row: &[T],
    run: usize,
    first: i64,
) {
    let cells = values.iter_mut().zip(indices);
    if run == 1 {
        for ((held, place), &value) in cells.zip(row) {
            let take = comes_before::<T, LEAST, SKIP>(value, first, *held, *place);
            *held = if take { value } else { *held };
            *place = if take { first } else { *place };
        }
        return;
    }
    // The extremum first, in a loop that vectorises; its place only where it is taken.
    for ((held, place), run) in cells.zip(row.chunks_exact(run)) {
        let best = extremum::<T, LEAST, SKIP>(run);
        if comes_before::<T, LEAST, SKIP>(best, first, *held, *place) {
            let found = run.iter().position(|&x| x == best || best.is_nan() && x.is_nan());
            // In a run of NaN alone that are not to be seen, there is none.
            if let Some(offset) = found {
                let index = first + offset as i64;
                if comes_before::<T, LEAST, SKIP>(best, index, *held, *place) {
                    (*held, *place) = (best, index);
                }
            }
        }
    }
}

/// The extremum of a run; where NaN is not to be seen, it counts as the identity.
#[inline(always)]
fn extremum<T: Number, const LEAST: bool, const SKIP: bool>(run: &[T]) -> T {
    let identity = if LEAST { T::GREATEST } else { T::LEAST };
    let seen = |x: T| if SKIP && x.is_nan() { identity } else { x };
    let join = if LEAST { Least::join } else { Greatest::join };
    join_run(run, identity, seen, join)
}

impl Fold for Place {
    fn name(&self) -> Cow<'static, str> {
        self.name.into()
    }

    fn input(&self) -> DType {
        self.state[0]
    }

    fn output(&self) -> DType {
        DType::I64
    }

    fn state(&self) -> &[DType] {
        &self.state
    }

    fn needs_index(&self) -> bool {
        true
    }

    fn start(&self, state: &mut [&mut [u8]]) {
        let [values, indices] = state else { unreachable!("the state has two parts") };
        (self.start)(values);
        bytemuck::cast_slice_mut(indices).fill(NOWHERE);
    }

    fn step(&self, state: &mut [&mut [u8]], row: &[u8], run: usize, at: At) {
        let [values, indices] = state else { unreachable!("the state has two parts") };
        (self.step)(values, bytemuck::cast_slice_mut(indices), row, run, at.index as i64);
    }

    fn combine(&self, state: &mut [&mut [u8]], _: u64, later: &[&[u8]], _: u64) {
        let [values, indices] = state else { unreachable!("the state has two parts") };
        let indices = bytemuck::cast_slice_mut(indices);
        (self.combine)(values, indices, later[0], bytemuck::cast_slice(later[1]));
    }

    fn finish(&self, state: &[&[u8]], _count: u64, out: &mut [u8]) {
        each(state[1], out, |index: i64| if index == NOWHERE { -1 } else { index });
    }
}
