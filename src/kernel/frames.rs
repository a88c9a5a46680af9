//! Frames combined: of the many elements that lie at one place, those that are too far from the
//! others are rejected, and one value is made of the rest.
//!
//! Sixteen places are computed side by side. An order statistic is not found by sorting: floats
//! are mapped to integers of the same order, and the answer is built bit by bit from the number of
//! elements below a bound. That takes 32 passes (64 of doubles) without a branch, whatever the
//! elements are; what is rejected gets the greatest integer and is never counted.

#![allow(clippy::needless_range_loop, reason = "the lanes of several rows are walked in step")]

use super::{BlockCx, BlockKernel, Operand, cast, wide::with_avx2};
use bytemuck::Pod;
use freeboard_formats::{ChunkMut, ChunkView, DType, Region, Scalar, region::volume};
use std::{borrow::Cow, sync::Arc};

/// Places that are computed side by side.
const LANES: usize = 16;

/// Bytes of elements that are gathered at a time: they stay in the second-level cache.
const GATHERED: usize = 256 << 10;

/// The standard deviation of a normal distribution, by its median absolute deviation:
/// 1 / Φ⁻¹(3/4).
const MAD_TO_STD: f64 = 1.482_602_218_505_602;

type Row<T> = [T; LANES];

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

/// What is computed in: elements and the integers in whose order they are.
trait Work: Pod + PartialOrd {
    type Key: Pod + Ord;
    const BITS: u32;
    const LEAST: Self::Key;
    /// The key of what is rejected.
    const MOST: Self::Key;
    const NAN: Self;
    fn key(self) -> Self::Key;
    fn of_key(key: Self::Key) -> Self;
    /// The key with a bit set that is not, where bits are counted from the least key.
    fn with_bit(key: Self::Key, bit: u32) -> Self::Key;
    fn to_f64(self) -> f64;
    fn from_f64(value: f64) -> Self;
}

macro_rules! work {
    ($t:ident $key:ident) => {
        impl Work for $t {
            type Key = $key;
            const BITS: u32 = $key::BITS;
            const LEAST: $key = $key::MIN;
            const MOST: $key = $key::MAX;
            const NAN: $t = $t::NAN;
            #[inline(always)]
            fn key(self) -> $key {
                let bits = self.to_bits() as $key;
                let key = bits ^ ((bits >> ($key::BITS - 1)) & $key::MAX);
                if self.is_nan() { $key::MAX } else { key }
            }
            #[inline(always)]
            fn of_key(key: $key) -> $t {
                $t::from_bits((key ^ ((key >> ($key::BITS - 1)) & $key::MAX)) as _)
            }
            #[inline(always)]
            fn with_bit(key: $key, bit: u32) -> $key {
                key.wrapping_add(1 << bit)
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn from_f64(value: f64) -> $t {
                value as $t
            }
        }
    };
}
work!(f32 i32);
work!(f64 i64);

/// The keys that have so many others before them in their order, built from the highest bit on.
#[inline(always)]
fn ranked_body<W: Work>(keys: &[Row<W::Key>], rank: &Row<u32>, found: &mut Row<W::Key>) {
    *found = [W::LEAST; LANES];
    for bit in (0..W::BITS).rev() {
        let next = found.map(|key| W::with_bit(key, bit));
        let mut below = [0u32; LANES];
        for row in keys {
            for lane in 0..LANES {
                below[lane] += u32::from(row[lane] < next[lane]);
            }
        }
        for lane in 0..LANES {
            if below[lane] <= rank[lane] {
                found[lane] = next[lane];
            }
        }
    }
}

with_avx2! {
    fn ranked<W: Work>(keys: &[Row<W::Key>], rank: &Row<u32>, found: &mut Row<W::Key>)
        = ranked_body
}

/// The medians of `counts` elements each; NaN of none.
fn medians<W: Work>(keys: &[Row<W::Key>], counts: &Row<u32>) -> Row<f64> {
    let mut lower = [W::LEAST; LANES];
    ranked::<W>(keys, &counts.map(|count| count.saturating_sub(1) / 2), &mut lower);
    let mut upto = [0u32; LANES];
    let mut next = [W::MOST; LANES];
    for row in keys {
        for lane in 0..LANES {
            upto[lane] += u32::from(row[lane] <= lower[lane]);
            let above = if row[lane] > lower[lane] { row[lane] } else { W::MOST };
            next[lane] = next[lane].min(above);
        }
    }
    std::array::from_fn(|lane| {
        let value = W::of_key(lower[lane]).to_f64();
        match counts[lane] {
            0 => f64::NAN,
            count if count % 2 == 1 || upto[lane] > count / 2 => value,
            _ => (value + W::of_key(next[lane]).to_f64()) / 2.0,
        }
    })
}

/// The elements at sixteen places, a row a frame, and their keys; what is rejected is NaN.
struct Columns<'a, W: Work> {
    values: &'a mut [Row<W>],
    keys: &'a mut [Row<W::Key>],
}

impl<W: Work> Columns<'_, W> {
    fn counts(&self) -> Row<u32> {
        let mut counts = [0; LANES];
        for row in &*self.values {
            for lane in 0..LANES {
                counts[lane] += u32::from(!is_nan(row[lane]));
            }
        }
        counts
    }

    /// The sums of what `of` makes of each element that is not rejected, its lane and its frame.
    fn sums(&self, of: impl Fn(f64, usize, usize) -> f64) -> Row<f64> {
        let mut sums = [0.0; LANES];
        for (frame, row) in self.values.iter().enumerate() {
            for lane in 0..LANES {
                let term = of(row[lane].to_f64(), lane, frame);
                sums[lane] += if is_nan(row[lane]) { 0.0 } else { term };
            }
        }
        sums
    }

    fn means(&self, counts: &Row<u32>) -> Row<f64> {
        let sums = self.sums(|value, _, _| value);
        std::array::from_fn(|lane| sums[lane] / f64::from(counts[lane]))
    }

    /// The medians of what `of` makes of each element and its lane.
    fn medians(&mut self, counts: &Row<u32>, of: impl Fn(W, usize) -> W) -> Row<f64> {
        for (keys, row) in self.keys.iter_mut().zip(&*self.values) {
            for lane in 0..LANES {
                keys[lane] = of(row[lane], lane).key();
            }
        }
        medians::<W>(self.keys, counts)
    }

    fn deviations(&mut self, deviation: Deviation, counts: &Row<u32>) -> Row<f64> {
        match deviation {
            Deviation::Std => {
                let means = self.means(counts);
                let squares = self.sums(|value, lane, _| (value - means[lane]).powi(2));
                std::array::from_fn(|lane| (squares[lane] / f64::from(counts[lane])).sqrt())
            }
            Deviation::MadStd => {
                let medians = self.medians(counts, |value, _| value);
                let distance =
                    |value: W, lane: usize| W::from_f64((value.to_f64() - medians[lane]).abs());
                self.medians(counts, distance).map(|mad| mad * MAD_TO_STD)
            }
        }
    }

    /// Rejects what `is_out` tells of an element and its lane; whether there was any.
    fn reject(&mut self, is_out: impl Fn(f64, usize) -> bool) -> bool {
        let mut any = false;
        for row in &mut *self.values {
            for lane in 0..LANES {
                let out = is_out(row[lane].to_f64(), lane);
                any |= out;
                row[lane] = if out { W::NAN } else { row[lane] };
            }
        }
        any
    }

    fn clip(&mut self, clip: &SigmaClip) {
        self.reject(|value, _| value.is_infinite());
        for _ in 0..clip.iterations.unwrap_or(u32::MAX) {
            let counts = self.counts();
            let centers = match clip.center {
                Center::Mean => self.means(&counts),
                Center::Median => self.medians(&counts, |value, _| value),
            };
            let deviations = self.deviations(clip.deviation, &counts);
            let low: Row<f64> = std::array::from_fn(|i| centers[i] - clip.low * deviations[i]);
            let high: Row<f64> = std::array::from_fn(|i| centers[i] + clip.high * deviations[i]);
            if !self.reject(|value, lane| value < low[lane] || value > high[lane]) {
                break;
            }
        }
    }

    fn combined(&mut self, how: Combination, weights: &[f64]) -> Row<f64> {
        let counts = self.counts();
        let weight = |frame: usize| weights.get(frame).copied().unwrap_or(1.0);
        let sums = match how {
            Combination::Median => return self.medians(&counts, |value, _| value),
            Combination::Mean if weights.is_empty() => return self.means(&counts),
            _ => self.sums(|value, _, frame| value * weight(frame)),
        };
        let by = match how {
            Combination::Mean => self.sums(|_, _, frame| weight(frame)),
            _ => [1.0; LANES],
        };
        std::array::from_fn(|lane| match counts[lane] {
            0 => f64::NAN,
            _ => sums[lane] / by[lane],
        })
    }
}

#[inline(always)]
#[allow(clippy::eq_op, reason = "what NaN is known by")]
fn is_nan<W: Work>(value: W) -> bool {
    value != value
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
        let convert = cast(self.dtype, self.work());
        // The places from `start` on of every frame, one frame after the other.
        let gather = |view: &ChunkView<'_>, start: usize, some: usize, into: &mut [u8]| {
            let size = view.dtype().size();
            for (frame, out) in into.chunks_exact_mut(some * size).take(count).enumerate() {
                let offset = frame as isize * view.strides()[0];
                view.restride(offset, shape, &view.strides()[1..]).copy_run(start, out);
            }
        };
        for start in (0..places).step_by(parts.places) {
            let some = parts.places.min(places - start);
            let gathered = &mut gathered[..count * some * size_of::<W>()];
            if raw.is_empty() {
                gather(frames, start, some, gathered);
            } else {
                let raw = &mut raw[..count * some * self.dtype.size()];
                gather(frames, start, some, raw);
                convert.run(&[Operand::Run(raw)], gathered);
            }
            if let Some(mask) = mask {
                gather(mask, start, some, &mut masks[..count * some]);
            }
            let elements: &[W] = bytemuck::cast_slice(gathered);
            for first in (0..some).step_by(LANES) {
                let lanes = LANES.min(some - first);
                for (frame, row) in columns.values.iter_mut().enumerate() {
                    let at = frame * some + first;
                    *row = [W::NAN; LANES];
                    row[..lanes].copy_from_slice(&elements[at..at + lanes]);
                    if let Some(&factor) = self.scale.get(frame) {
                        *row = row.map(|value| W::from_f64(value.to_f64() * factor));
                    }
                    if mask.is_some() {
                        let masked = row.iter_mut().zip(&masks[at..at + lanes]);
                        masked.for_each(|(value, &out)| {
                            *value = if out != 0 { W::NAN } else { *value }
                        });
                    }
                }
                if let Some((low, high)) = self.limits {
                    columns.reject(|value, _| value < low || value > high);
                }
                if let Some(clip) = &self.clip {
                    columns.clip(clip);
                }
                let combined = columns.combined(self.combination, &self.weights);
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
