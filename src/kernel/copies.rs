//! Block kernels that put elements in other places, where no view can: they are the same for all
//! dtypes.

use super::{BlockCx, BlockKernel, exactly};
use freeboard_formats::{ChunkMut, ChunkView, Scalar};
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
