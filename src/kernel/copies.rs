//! Block kernels that put elements in other places, where no view can: they are the same for all
//! dtypes.

use super::{BlockCx, BlockKernel, carve, carved, exactly};
use freeboard_formats::{
    ChunkMut, ChunkView, DType, Element, Region, Scalar, region::volume, with_dtype,
};
use std::borrow::Cow;

/// Each element `count` times, one after the other along `axis`.
#[derive(Clone, Copy, Debug)]
pub struct Repeat {
    /// The axis.
    pub axis: usize,
    /// How often; at least once.
    pub count: u64,
}

impl BlockKernel for Repeat {
    fn name(&self) -> Cow<'static, str> {
        "repeat".into()
    }

    fn params(&self) -> Vec<Scalar> {
        vec![Scalar::U64(self.axis as u64), Scalar::U64(self.count)]
    }

    fn is_named(&self) -> bool {
        true
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        out: ChunkMut<'_>,
        _: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let [input] = exactly(inputs, "repeat")?;
        let (mut shape, mut strides) = (input.shape().to_vec(), input.strides().to_vec());
        shape.insert(self.axis + 1, self.count);
        strides.insert(self.axis + 1, 0);
        out.split_axis(self.axis, self.count).assign(&input.restride(0, shape, strides));
        Ok(())
    }
}

/// The diagonals of square matrices, which lie along the last two axes.
#[derive(Clone, Copy, Debug)]
pub struct Diagonal;

impl BlockKernel for Diagonal {
    fn name(&self) -> Cow<'static, str> {
        "diagonal".into()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        _: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let [input] = exactly(inputs, "diagonal")?;
        let (outer, [down, right]) = input.strides().split_last_chunk().expect("two axes");
        let mut strides = outer.to_vec();
        strides.push(down + right);
        let shape = out.as_view().shape().to_vec();
        out.assign(&input.restride(0, shape, strides));
        Ok(())
    }
}

/// The elements of the first block, which is whole along `axis`, at the places, int64, that the second one tells along it.
#[derive(Clone, Copy, Debug)]
pub struct TakeAlong {
    /// The axis.
    pub axis: usize,
    /// The dtype of the elements.
    pub dtype: DType,
}

impl BlockKernel for TakeAlong {
    fn name(&self) -> Cow<'static, str> {
        "take_along_axis".into()
    }

    fn params(&self) -> Vec<Scalar> {
        vec![Scalar::U64(self.axis as u64)]
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, inputs: &[Region], _: &Region) -> u64 {
        let count = |i: usize| inputs.get(i).map_or(0, Region::volume) as usize;
        // 8 bytes an element at the most.
        carved::<u64>(count(0)).saturating_add(carved::<i64>(count(1)))
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        mut scratch: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let [elements, places] = exactly(inputs, "take_along_axis")?;
        let from: &mut [u8] = bytemuck::cast_slice_mut(carve::<u64>(&mut scratch, elements.len()));
        let from = &mut from[..elements.len() * self.dtype.size()];
        elements.copy_run(0, from);
        let at = carve::<i64>(&mut scratch, places.len());
        places.copy_run(0, bytemuck::cast_slice_mut(at));
        let (len, count) =
            (elements.shape()[self.axis] as usize, places.shape()[self.axis] as usize);
        let inner = volume(&places.shape()[self.axis + 1..]) as usize;
        with_dtype!(self.dtype, T => {
            let from: &[<T as Element>::Repr] = bytemuck::cast_slice(from);
            let out = out.as_slice::<T>().ok_or("the block does not lie in one run")?;
            for (number, (out, &place)) in out.iter_mut().zip(at.iter()).enumerate() {
                let counted = if place < 0 { place.wrapping_add(len as i64) } else { place };
                let Some(counted) = usize::try_from(counted).ok().filter(|&at| at < len) else {
                    let axis = self.axis;
                    return Err(format!(
                        "index {place} is out of bounds for axis {axis} with size {len}"
                    ));
                };
                *out = from[(number / (count * inner) * len + counted) * inner + number % inner];
            }
        });
        Ok(())
    }
}

/// The elements of a block in C order, in a block of another shape.
#[derive(Clone, Copy, Debug)]
pub struct Reshape;

impl BlockKernel for Reshape {
    fn name(&self) -> Cow<'static, str> {
        "reshape".into()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        _: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let [input] = exactly(inputs, "reshape")?;
        let (mut done, size) = (0, input.dtype().size());
        out.try_for_each_run(|_, run| {
            input.copy_run(done, run);
            done += run.len() / size;
            Ok(())
        })
    }
}
