//! The block kernels of selections by truths: how many elements of a block a mask keeps, and the kept
//! elements one after the other.

use super::{BlockCx, BlockKernel, SEGMENT, carve, carved, exactly};
use bytemuck::Pod;
use freeboard_formats::{ChunkMut, ChunkView, Region, region::volume};
use std::borrow::Cow;

/// How many elements of a block of `bool`s are true: one number a block.
#[derive(Clone, Copy, Debug)]
pub struct CountTrue;

impl BlockKernel for CountTrue {
    fn name(&self) -> Cow<'static, str> {
        "count true".into()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, _: &[Region], _: &Region) -> u64 {
        SEGMENT as u64
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        scratch: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let [mask] = exactly(inputs, &self.name())?;
        let Some([count]) = out.as_slice::<i64>() else {
            return Err("one count is made of a block".into());
        };
        *count = 0;
        for start in (0..mask.len()).step_by(SEGMENT) {
            let run = &mut scratch[..SEGMENT.min(mask.len() - start)];
            mask.copy_run(start, run);
            *count += run.iter().filter(|&&truth| truth != 0).count() as i64;
        }
        Ok(())
    }
}

/// The elements of a block for which a mask of its first axes is true, in C order along one axis; what lies along the
/// other axes is kept or left out together. The result's length is the number of truths.
#[derive(Clone, Copy, Debug)]
pub struct Filter;

/// Copies the `from` for which `keep` is not 0 to the front of `to`; how many these are. What is beyond
/// `to` is left out.
fn pick<T: Pod>(from: &[u8], keep: &[u8], to: &mut [u8]) -> usize {
    let (from, to): (&[T], &mut [T]) = (bytemuck::cast_slice(from), bytemuck::cast_slice_mut(to));
    let mut count = 0;
    for (&element, _) in from.iter().zip(keep).filter(|(_, keep)| **keep != 0) {
        if let Some(place) = to.get_mut(count) {
            *place = element;
        }
        count += 1;
    }
    count
}

/// [`pick`] of runs of `width` bytes.
fn pick_runs(from: &[u8], keep: &[u8], to: &mut [u8], width: usize) -> usize {
    let mut count = 0;
    for (run, _) in from.chunks_exact(width).zip(keep).filter(|(_, keep)| **keep != 0) {
        if let Some(place) = to.get_mut(count * width..(count + 1) * width) {
            place.copy_from_slice(run);
        }
        count += 1;
    }
    count
}

impl Filter {
    /// How many truths are looked at at a time, each of which stands for `width` elements.
    fn step(width: usize) -> usize {
        (SEGMENT / width.max(1)).max(1)
    }
}

impl BlockKernel for Filter {
    fn name(&self) -> Cow<'static, str> {
        "filter".into()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, inputs: &[Region], _: &Region) -> u64 {
        let [block, mask] = inputs else { return 0 };
        let width = volume(&block.shape[mask.shape.len()..]) as usize;
        let step = Filter::step(width);
        // Elements have 8 bytes at the most.
        carved::<u8>(step).saturating_add(carved::<u64>(step.saturating_mul(width)))
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        mut scratch: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let [block, mask] = exactly(inputs, &self.name())?;
        let asked = out.shape()[0] as usize;
        let out = out.as_bytes().ok_or("the block does not lie in one run")?;
        let width = volume(&block.shape()[mask.shape().len()..]) as usize;
        let (step, bytes) = (Filter::step(width), width * block.dtype().size());
        let truths = carve::<u8>(&mut scratch, step);
        let elements: &mut [u8] =
            bytemuck::cast_slice_mut(carve::<u64>(&mut scratch, step * width));
        let mut kept = 0;
        for start in (0..mask.len()).step_by(step) {
            let truths = &mut truths[..step.min(mask.len() - start)];
            mask.copy_run(start, truths);
            if truths.iter().all(|&truth| truth == 0) {
                continue;
            }
            let elements = &mut elements[..truths.len() * bytes];
            block.copy_run(start * width, elements);
            let to = out.get_mut(kept * bytes..).unwrap_or_default();
            kept += match bytes {
                1 => pick::<u8>(elements, truths, to),
                2 => pick::<u16>(elements, truths, to),
                4 => pick::<u32>(elements, truths, to),
                8 => pick::<u64>(elements, truths, to),
                _ => pick_runs(elements, truths, to, bytes),
            };
        }
        match kept == asked {
            true => Ok(()),
            false => Err(format!(
                "a mask has {kept} truths in a block where it had {asked} when they were counted"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freeboard_formats::DType;

    fn filtered(
        block: &ChunkView<'_>,
        mask: &ChunkView<'_>,
        shape: &[u64],
    ) -> Result<Vec<i16>, String> {
        let inputs = [block.clone(), mask.clone()];
        let regions = [block, mask].map(|view| Region::whole(view.shape()));
        let region = Region::whole(shape);
        let mut scratch = vec![0u64; Filter.scratch(&regions, &region).div_ceil(8) as usize];
        let scratch = bytemuck::cast_slice_mut(&mut scratch);
        let mut made = vec![0i16; volume(shape) as usize];
        let cx = BlockCx { index: vec![0], region, inputs: regions.into_iter().collect() };
        Filter.run(&inputs, ChunkMut::of(&mut made, shape), scratch, &cx)?;
        Ok(made)
    }

    #[test]
    fn elements_and_what_lies_behind_them() {
        let data: Vec<i16> = (0..12).collect();
        let mask = |from: &'static [u8], shape: &[u64]| ChunkView::new(DType::Bool, from, shape);
        let truths: &'static [u8] = &[1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 1];
        let block = ChunkView::of(&data, &[3, 4]);
        let all = mask(truths, &[3, 4]);
        assert_eq!(filtered(&block, &all, &[5]).unwrap(), [0, 3, 4, 6, 11]);
        // Of the transpose, in its order.
        let turned = block.restride(0, vec![4, 3], vec![1, 4]);
        let same = all.restride(0, vec![4, 3], vec![1, 4]);
        assert_eq!(filtered(&turned, &same, &[5]).unwrap(), [0, 4, 6, 3, 11]);
        let rows = mask(&truths[3..6], &[3]);
        assert_eq!(filtered(&block, &rows, &[2, 4]).unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
        let error = filtered(&block, &rows, &[1, 4]).unwrap_err();
        assert!(error.starts_with("a mask has 2 truths in a block where it had 1"), "{error}");
    }
}
