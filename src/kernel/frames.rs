//! Frames combined: of the many elements that lie at one place, those that are too far from the
//! others are rejected, and one value is made of the rest.

mod columns;

use super::{BlockCx, BlockKernel, Operand, cast, wide::with_avx512};
use columns::{Columns, LANES, Row, Work};
use freeboard_formats::{ChunkMut, ChunkView, DType, Region, Scalar, region::volume};
use std::{borrow::Cow, sync::Arc};

/// Bytes of elements that are gathered at a time: they stay in the second-level cache, but where frames
/// are so many that those of [`LANES`] places take more.
const GATHERED: usize = 256 << 10;

/// What frames are combined to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    /// The mean, with weights where there are any.
    Mean,
    /// The median.
    Median,
    /// The sum, of elements times their weights where there are any.
    Sum,
}

/// What elements are compared with before some are rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Center {
    /// Their mean.
    Mean,
    /// Their median.
    Median,
}

/// How far elements lie from their centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// The standard deviation, about the mean (ddof 0).
    Std,
    /// The median of the absolute deviations from the median, times 1.4826: the standard deviation of
    /// normally distributed elements, whatever the outliers are.
    MadStd,
}

/// Rejection of what lies more than so many deviations from the centre, as astropy's
/// `sigma_clip`: what is not finite is rejected first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SigmaClip {
    /// Deviations below the centre.
    pub low: f64,
    /// Deviations above the centre.
    pub high: f64,
    /// The centre.
    pub center: Center,
    /// The deviation.
    pub deviation: Deviation,
    /// How often, at the most, with centre and deviation of what is left; `None`: until nothing more is
    /// rejected.
    pub iterations: Option<u32>,
}

/// Combines frames along the first axis of a block, whose other axes are the result's. A second
/// block of `bool`, of the same shape, tells which elements are rejected beforehand. NaN is
/// always rejected; of nothing the result is NaN.
#[derive(Clone, Debug)]
pub struct Frames {
    /// The dtype of the frames.
    pub dtype: DType,
    /// What is made of what is not rejected.
    pub combination: Combination,
    /// Elements below the first or above the second are rejected.
    pub limits: Option<(f64, f64)>,
    /// The rejection by deviations, of what is left.
    pub clip: Option<SigmaClip>,
    /// A weight for each frame, or none.
    pub weights: Arc<[f64]>,
    /// A factor for each frame, which is multiplied before anything is rejected, or none.
    pub scale: Arc<[f64]>,
}

/// Rejects elements, and combines the others.
#[inline(always)]
fn combine_body<W: Work>(columns: &mut Columns<'_, W>, how: &Frames, combined: &mut Row<f64>) {
    if let Some((low, high)) = how.limits {
        columns.reject(|value, _| value < low || value > high);
    }
    if let Some(clip) = &how.clip {
        columns.clip(clip);
    }
    *combined = columns.combined(how.combination, &how.weights);
}

with_avx512! {
    fn combine<W: Work>(columns: &mut Columns<'_, W>, how: &Frames, combined: &mut Row<f64>)
        = combine_body
}

/// The bytes of the parts of the scratch: elements as they are, converted, masks, and the
/// columns' elements and keys.
struct Parts {
    /// Places that are gathered at a time.
    places: usize,
    bytes: [usize; 5],
}

impl Frames {
    /// The dtype of the result: float64, but float32 of float32.
    pub fn output(&self) -> DType {
        if self.dtype == DType::F32 { DType::F32 } else { DType::F64 }
    }

    /// The dtype that is computed in: one that holds each element exactly, and what is made of it.
    fn work(&self) -> DType {
        let by_mad = self.clip.is_some_and(|clip| clip.deviation == Deviation::MadStd);
        let narrow = self.dtype == DType::F32 || (self.dtype.size() <= 2 && self.scale.is_empty());
        if narrow && !by_mad { DType::F32 } else { DType::F64 }
    }

    fn parts(&self, frames: u64, places: u64) -> Parts {
        let (own, work) = (self.dtype.size(), self.work().size());
        let frames = frames as usize;
        let fits = (GATHERED / (frames.max(1) * work) / LANES).max(1) * LANES;
        let places = fits.min((places as usize).next_multiple_of(LANES));
        let bytes = |size: usize, places: usize| (frames * places * size).next_multiple_of(64);
        let raw = if self.work() == self.dtype { 0 } else { bytes(own, places) };
        let columns = bytes(work, LANES);
        Parts { places, bytes: [raw, bytes(work, places), bytes(1, places), columns, columns] }
    }

    fn run_in<W: Work>(
        &self,
        frames: &ChunkView<'_>,
        mask: Option<&ChunkView<'_>>,
        scratch: &mut [u8],
        mut put: impl FnMut(usize, &[f64]),
    ) {
        let (count, shape) = (frames.shape()[0] as usize, &frames.shape()[1..]);
        let places = volume(shape) as usize;
        let parts = self.parts(count as u64, places as u64);
        let mut rest = scratch;
        let [raw, gathered, masks, values, keys] =
            parts.bytes.map(|bytes| rest.split_off_mut(..bytes).unwrap_or_default());
        let mut columns = Columns::<W> {
            values: &mut bytemuck::cast_slice_mut(values)[..count],
            keys: &mut bytemuck::cast_slice_mut(keys)[..count],
        };
        let mut combined = [0.0; LANES];
        let convert = cast(self.dtype, self.work());
        // The places from `start` on of every frame, one frame after the other.
        let gather = |view: &ChunkView<'_>, start: usize, some: usize, into: &mut [u8]| {
            let size = view.dtype().size();
            for (frame, out) in into.chunks_exact_mut(some * size).take(count).enumerate() {
                let offset = frame as isize * view.strides()[0];
                view.restride(offset, shape, &view.strides()[1..]).copy_run(start, out);
            }
        };
        let as_it_is = self.work() == self.dtype && !frames.is_empty();
        let whole = frames.as_bytes().filter(|_| as_it_is).map(bytemuck::cast_slice);
        for start in (0..places).step_by(parts.places) {
            let some = parts.places.min(places - start);
            // The places of a frame lie `pitch` after those of the one before it.
            let (elements, pitch): (&[W], usize) = if let Some(whole) = whole {
                (&whole[start..], places)
            } else {
                let gathered = &mut gathered[..count * some * size_of::<W>()];
                if raw.is_empty() {
                    gather(frames, start, some, gathered);
                } else {
                    let raw = &mut raw[..count * some * self.dtype.size()];
                    gather(frames, start, some, raw);
                    convert.run(&[Operand::Run(raw)], gathered);
                }
                (bytemuck::cast_slice(gathered), some)
            };
            if let Some(mask) = mask {
                gather(mask, start, some, &mut masks[..count * some]);
            }
            for first in (0..some).step_by(LANES) {
                let lanes = LANES.min(some - first);
                for (frame, row) in columns.values.iter_mut().enumerate() {
                    let at = frame * pitch + first;
                    row[lanes..].fill(W::NAN);
                    row[..lanes].copy_from_slice(&elements[at..at + lanes]);
                    if let Some(&factor) = self.scale.get(frame) {
                        *row = row.map(|value| W::from_f64(value.to_f64() * factor));
                    }
                    if mask.is_some() {
                        let at = frame * some + first;
                        let masked = row.iter_mut().zip(&masks[at..at + lanes]);
                        masked.for_each(|(value, &out)| {
                            *value = if out != 0 { W::NAN } else { *value }
                        });
                    }
                }
                combine(&mut columns, self, &mut combined);
                put(start + first, &combined[..lanes]);
            }
        }
    }
}

impl BlockKernel for Frames {
    fn name(&self) -> Cow<'static, str> {
        "combine".into()
    }

    fn params(&self) -> Vec<Scalar> {
        let mut params = vec![Scalar::U64(self.combination as u64)];
        if let Some((low, high)) = self.limits {
            params.extend([low, high].map(Scalar::F64));
        }
        params.push(Scalar::Bool(self.clip.is_some()));
        if let Some(clip) = self.clip {
            params.extend([clip.low, clip.high].map(Scalar::F64));
            params.push(Scalar::U64(clip.center as u64));
            params.push(Scalar::U64(clip.deviation as u64));
            params.push(Scalar::I64(clip.iterations.map_or(-1, i64::from)));
        }
        params.push(Scalar::U64(self.weights.len() as u64));
        params.extend(self.weights.iter().chain(&*self.scale).map(|&factor| Scalar::F64(factor)));
        params
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, inputs: &[Region], output: &Region) -> u64 {
        let frames = inputs.first().map_or(0, |frames| frames.shape[0]);
        self.parts(frames, output.volume()).bytes.iter().sum::<usize>() as u64
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        scratch: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let Some((frames, masks)) = inputs.split_first() else {
            return Err("frames of no block".into());
        };
        let mask = masks.first();
        let bytes = out.as_bytes().ok_or("the block does not lie in one run")?;
        match self.output() {
            DType::F32 => {
                let out: &mut [f32] = bytemuck::cast_slice_mut(bytes);
                let put = |at: usize, values: &[f64]| {
                    out[at..].iter_mut().zip(values).for_each(|(out, &value)| *out = value as f32);
                };
                match self.work() {
                    DType::F32 => self.run_in::<f32>(frames, mask, scratch, put),
                    _ => self.run_in::<f64>(frames, mask, scratch, put),
                }
            }
            _ => {
                let out: &mut [f64] = bytemuck::cast_slice_mut(bytes);
                let put = |at: usize, values: &[f64]| {
                    out[at..at + values.len()].copy_from_slice(values);
                };
                match self.work() {
                    DType::F32 => self.run_in::<f32>(frames, mask, scratch, put),
                    _ => self.run_in::<f64>(frames, mask, scratch, put),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers of all magnitudes, many of them equal, and some that are rejected.
    fn element() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-3i8..4).prop_map(f64::from),
            4 => -1e3f64..1e3,
            1 => any::<f64>(),
            1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, -0.0, f64::MIN_POSITIVE]),
        ]
    }

    fn medians_of<T: freeboard_formats::Element<Repr = T> + bytemuck::Pod>(
        dtype: DType,
        frames: &[T],
        places: usize,
    ) -> Vec<f64> {
        let kernel = Frames {
            dtype,
            combination: Combination::Median,
            limits: None,
            clip: None,
            weights: [].into(),
            scale: [].into(),
        };
        let shape = [(frames.len() / places) as u64, places as u64];
        combined(&kernel, &[ChunkView::of(frames, &shape)])
    }

    /// What a kernel makes of frames, and of a mask.
    fn combined(kernel: &Frames, inputs: &[ChunkView<'_>]) -> Vec<f64> {
        let all: Vec<Region> = inputs.iter().map(|view| Region::whole(view.shape())).collect();
        let out = Region::whole(&inputs[0].shape()[1..]);
        let (size, places) = (kernel.output().size(), out.volume() as usize);
        // Wide enough for the alignment of any element.
        let mut scratch = vec![0u64; kernel.scratch(&all, &out).div_ceil(8) as usize];
        let mut made = vec![0u64; places];
        let cx = BlockCx { index: vec![0], region: out.clone(), inputs: all.into() };
        let bytes = &mut bytemuck::cast_slice_mut(&mut made)[..places * size];
        let target = ChunkMut::new(kernel.output(), bytes, &out.shape);
        kernel.run(inputs, target, bytemuck::cast_slice_mut(&mut scratch), &cx).unwrap();
        match kernel.output() {
            DType::F32 => {
                let made: &[f32] = bytemuck::cast_slice(&made);
                made[..places].iter().map(|&v| f64::from(v)).collect()
            }
            _ => bytemuck::cast_slice(&made).to_vec(),
        }
    }

    fn expected(column: impl Iterator<Item = f64>) -> f64 {
        let mut column: Vec<f64> = column.filter(|v| !v.is_nan()).collect();
        column.sort_by(f64::total_cmp);
        match column.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => column[n / 2],
            n => (column[n / 2 - 1] + column[n / 2]) / 2.0,
        }
    }

    fn same(a: f64, b: f64) -> bool {
        a == b || (a.is_nan() && b.is_nan())
    }

    proptest! {
        #[test]
        fn medians_are_those_of_sorted_columns(
            count in 1usize..12,
            places in 1usize..150,
            pool in prop::collection::vec(element(), 150 * 12),
        ) {
            let frames = &pool[..count * places];
            let column = |place: usize| frames[place..].iter().step_by(places).copied();
            for (place, got) in medians_of(DType::F64, frames, places).into_iter().enumerate() {
                let want = expected(column(place));
                prop_assert!(same(got, want), "{got} is not {want}");
            }
            let single: Vec<f32> = frames.iter().map(|&v| v as f32).collect();
            for (place, got) in medians_of(DType::F32, &single, places).into_iter().enumerate() {
                let want = expected(column(place).map(|v| f64::from(v as f32))) as f32;
                prop_assert!(same(got, f64::from(want)), "{got} is not {want}");
            }
            let small: Vec<i16> = frames.iter().map(|&v| v as i16).collect();
            for (place, got) in medians_of(DType::I16, &small, places).into_iter().enumerate() {
                let want = expected(column(place).map(|v| f64::from(v as i16)));
                prop_assert!(same(got, want), "{got} is not {want}");
            }
        }
    }

    /// Frames that lie apart, some thousand places of them, and the same ones side by side.
    fn lie_apart<T: freeboard_formats::Element<Repr = T> + bytemuck::Pod>(
        dtype: DType,
        element: impl Fn(usize) -> T,
    ) {
        let (outer, shape) = ([40, 47, 83], [37, 45, 80]);
        let part = Region::new(&[2u64, 1, 3][..], &shape[..]);
        let all: Vec<T> = (0..outer.iter().product::<u64>() as usize).map(element).collect();
        let masked: Vec<u8> = (0..all.len()).map(|at| u8::from(at * at % 11 == 3)).collect();
        let (all, masked) =
            (ChunkView::of(&all, &outer), ChunkView::new(DType::Bool, &masked, &outer));
        let (apart, apart_mask) = (all.sub(&part), masked.sub(&part));
        let len = part.volume() as usize;
        // Wide enough for the alignment of any element.
        let (mut near, mut near_mask) = (vec![0u64; len], vec![0u8; len]);
        let near = &mut bytemuck::cast_slice_mut(&mut near)[..len * dtype.size()];
        ChunkMut::new(dtype, near, &shape).assign(&apart);
        ChunkMut::new(DType::Bool, &mut near_mask, &shape).assign(&apart_mask);
        let near = ChunkView::new(dtype, near, &shape);
        let near_mask = ChunkView::new(DType::Bool, &near_mask, &shape);
        let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect::<Vec<_>>();
        for scaled in [false, true] {
            for combination in [Combination::Mean, Combination::Median] {
                let factors = if scaled { shape[0] } else { 0 };
                let clip = SigmaClip {
                    low: 2.0,
                    high: 1.5,
                    center: Center::Median,
                    deviation: Deviation::Std,
                    iterations: None,
                };
                let kernel = Frames {
                    dtype,
                    combination,
                    limits: None,
                    clip: Some(clip),
                    weights: [].into(),
                    scale: (0..factors).map(|n| 1.0 + n as f64 / 64.0).collect(),
                };
                let [apart, near] = [(&apart, &apart_mask), (&near, &near_mask)]
                    .map(|(frames, mask)| combined(&kernel, &[frames.clone(), mask.clone()]));
                assert!(bits(apart) == bits(near), "{kernel:?}");
            }
        }
    }

    #[test]
    fn frames_that_lie_apart_give_the_same_bits() {
        let element = |at: usize| (at * 7919 % 4099) as f64 / 17.0 - 90.0;
        lie_apart(DType::F64, element);
        lie_apart(DType::F32, |at| if at % 97 == 5 { f32::NAN } else { element(at) as f32 });
        lie_apart(DType::U16, |at| (at * 7919 % 4099) as u16);
    }
}
