//! The mean of what is not NaN: a count and a sum a cell.

use super::{
    FoldOp, lanes,
    number::Number,
    reproducible::reproducible,
    single::{NanReal, Weight},
};
use crate::kernel::{At, Fold};
use freeboard_formats::DType;
use std::{borrow::Cow, sync::Arc};

/// `nanmean`: the state is [count, sum].
#[derive(Debug)]
pub(super) struct NanMean {
    dtype: DType,
    step: fn(&mut [f64], &mut [f64], &[u8], usize),
    finish: fn(&[f64], &[f64], &mut [u8]),
}

/// Cells whose counts and sums are stepped one after the other: what a row brings stays in cache.
const BLOCK: usize = 1024;

impl NanMean {
    /// The fold of floats `T`.
    pub(super) fn new<T: Number>(dtype: DType) -> NanMean {
        NanMean {
            dtype,
            step: |counts, sums, row, run| {
                let row: &[T] = bytemuck::cast_slice(row);
                let blocks = counts.chunks_mut(BLOCK).zip(sums.chunks_mut(BLOCK));
                for ((counts, sums), row) in blocks.zip(row.chunks(BLOCK * run)) {
                    lanes::step::<Weight<T>>(counts, row, run);
                    lanes::step::<NanReal<T>>(sums, row, run);
                }
            },
            finish: |counts, sums, out| {
                let out: &mut [T::Real] = bytemuck::cast_slice_mut(out);
                for (out, (&n, &sum)) in out.iter_mut().zip(counts.iter().zip(sums)) {
                    *out = T::real(sum / n);
                }
            },
        }
    }
}

impl Fold for NanMean {
    fn name(&self) -> Cow<'static, str> {
        "nanmean".into()
    }

    fn input(&self) -> DType {
        self.dtype
    }

    fn output(&self) -> DType {
        self.dtype
    }

    fn state(&self) -> &[DType] {
        &[DType::F64; 2]
    }

    fn reproducible(&self) -> Option<Arc<dyn Fold>> {
        reproducible(FoldOp::NanMean, self.dtype)
    }

    fn start(&self, state: &mut [&mut [u8]]) {
        state.iter_mut().for_each(|part| part.fill(0));
    }

    fn step(&self, state: &mut [&mut [u8]], row: &[u8], run: usize, _at: At) {
        let [counts, sums] = state else { unreachable!("the state has two parts") };
        let (counts, sums) = (bytemuck::cast_slice_mut(counts), bytemuck::cast_slice_mut(sums));
        (self.step)(counts, sums, row, run);
    }

    fn combine(&self, state: &mut [&mut [u8]], _: u64, later: &[&[u8]], _: u64) {
        for (part, later) in state.iter_mut().zip(later) {
            let (part, later): (&mut [f64], &[f64]) =
                (bytemuck::cast_slice_mut(part), bytemuck::cast_slice(later));
            part.iter_mut().zip(later).for_each(|(held, later)| *held += later);
        }
    }

    fn finish(&self, state: &[&[u8]], _count: u64, out: &mut [u8]) {
        (self.finish)(bytemuck::cast_slice(state[0]), bytemuck::cast_slice(state[1]), out);
    }
}
