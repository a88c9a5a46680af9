//! The block kernel of `searchsorted`: where elements would stand among sorted ones.

use super::{
    BlockCx, BlockKernel, SEGMENT, carve, carved, exactly, folds::number::Number,
    quantiles::nan_last,
};
use freeboard_formats::{ChunkMut, ChunkView, DType, Element, Region, Scalar, with_dtype};
use std::{borrow::Cow, cmp::Ordering};

/// For each element of the second block, how many of the first, which is sorted with NaNs last, come
/// before it.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// The dtype of both.
    pub dtype: DType,
    /// Whether those that are equal to it come before it, too.
    pub right: bool,
}

impl Search {
    fn find<T: Number>(&self, sorted: &[T], elements: &[T], out: &mut [i64]) {
        for (out, element) in out.iter_mut().zip(elements) {
            let before = |other: &T| match nan_last(other, element) {
                Ordering::Less => true,
                Ordering::Equal => self.right,
                Ordering::Greater => false,
            };
            *out = sorted.partition_point(before) as i64;
        }
    }
}

impl BlockKernel for Search {
    fn name(&self) -> Cow<'static, str> {
        "searchsorted".into()
    }

    fn params(&self) -> Vec<Scalar> {
        vec![Scalar::Bool(self.right)]
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, inputs: &[Region], _: &Region) -> u64 {
        let sorted = inputs.first().map_or(0, Region::volume);
        // 8 bytes an element at the most.
        carved::<u64>(SEGMENT).saturating_add(carved::<u64>(sorted as usize))
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        mut scratch: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let [sorted, elements] = exactly(inputs, &self.name())?;
        let out = out.as_slice::<i64>().ok_or("places are int64")?;
        let size = self.dtype.size();
        let run: &mut [u8] = bytemuck::cast_slice_mut(carve::<u64>(&mut scratch, SEGMENT));
        let all: &mut [u8] = bytemuck::cast_slice_mut(carve::<u64>(&mut scratch, sorted.len()));
        let all = &mut all[..sorted.len() * size];
        sorted.copy_run(0, all);
        for (start, out) in (0..elements.len()).step_by(SEGMENT).zip(out.chunks_mut(SEGMENT)) {
            let run = &mut run[..out.len() * size];
            elements.copy_run(start, run);
            with_dtype!(self.dtype, T => self.find::<<T as Element>::Repr>(
                bytemuck::cast_slice(all),
                bytemuck::cast_slice(run),
                out,
            ));
        }
        Ok(())
    }
}
