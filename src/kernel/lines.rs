//! Block kernels that see whole lines of elements, along one axis or several: sorts, quantiles,
//! running sums.
//!
//! A block is walked in strips, some neighbouring lines at once, which are copied so that each lies
//! in one run: what is made of a line is then written for slices. Strips of an axis that is
//! not the last one are turned as squares, so that whole cache lines are read.

use super::{
    BlockCx, BlockKernel,
    folds::number::Number,
    quantiles::{Method, nan_last, quantiles},
    scan::{self, Scan},
};
use freeboard_formats::{
    ChunkMut, ChunkView, DType, Dims, Element, Region, Scalar, region::Coordinates, view::Strides,
    with_dtype,
};
use smallvec::SmallVec;
use std::borrow::Cow;

/// Bytes of the lines that are copied at once: half of a second-level cache.
const STRIP: u64 = 256 << 10;

/// Lines that are copied at once at the least: a cache line of 4-byte elements.
const LEAST: u64 = 16;

/// What is made of a line.
#[derive(Clone, Debug, PartialEq)]
pub enum LineOp {
    /// Its elements in rising order, NaNs last.
    Sort,
    /// The places of its elements in that order; of equal ones the first comes first.
    ArgSort,
    /// Its quantiles; NaN of none, and of a line with a NaN that is not left out.
    Quantiles {
        /// Which: from 0, the least, to 1, the greatest.
        at: SmallVec<[f64; 2]>,
        /// How they are interpolated.
        method: Method,
        /// Whether NaNs are left out.
        without_nan: bool,
    },
    /// So many of its greatest elements, from the greatest on, or, of a negative number, of its
    /// least from the least on.
    Top(i64),
    /// Its running sums or products, from the value on that a second input tells, if there is one.
    Running(Scan),
    /// The last of these, as it is accumulated.
    Total(Scan),
    /// Of totals, for each that of those before.
    Before(Scan),
}

impl LineOp {
    /// The dtype of what is made of elements of `dtype`.
    pub fn output(&self, dtype: DType) -> DType {
        match self {
            LineOp::Sort | LineOp::Top(_) => dtype,
            LineOp::ArgSort => DType::I64,
            LineOp::Quantiles { method, .. } if method.selects() || dtype.is_float() => dtype,
            LineOp::Quantiles { .. } => DType::F64,
            LineOp::Running(_) if dtype.is_float() => dtype,
            LineOp::Running(_) | LineOp::Total(_) | LineOp::Before(_) => scan::accumulated(dtype),
        }
    }

    /// How many elements are made of a line of so many.
    pub fn len(&self, line: u64) -> u64 {
        match self {
            LineOp::Sort | LineOp::ArgSort | LineOp::Running(_) | LineOp::Before(_) => line,
            LineOp::Total(_) => 1,
            LineOp::Quantiles { at, .. } => at.len() as u64,
            LineOp::Top(count) => count.unsigned_abs().min(line),
        }
    }
}

/// Makes something of all lines along `axes`, which it sees whole. It lies along the first of the axes; the
/// others are left with length 1.
#[derive(Clone, Debug)]
pub struct Lines {
    axes: SmallVec<[usize; 4]>,
    op: LineOp,
    dtype: DType,
}

impl Lines {
    /// `op` of the lines along `axes`, of which there is one at least, of elements of `dtype`.
    pub fn new(op: LineOp, axes: &[usize], dtype: DType) -> Lines {
        Lines { axes: axes.into(), op, dtype }
    }

    fn strips(&self, input: &[u64], output: &[u64]) -> Strips {
        let of = |shape: &[u64]| self.axes.iter().map(|&axis| shape[axis]).product::<u64>();
        let across = (0..input.len()).rev().find(|axis| !self.axes.contains(axis));
        let (line, made) = (of(input), of(output));
        let fit = STRIP / (line * self.dtype.size() as u64).max(1);
        let lines = across.map_or(1, |axis| fit.max(LEAST).min(input[axis]).max(1));
        let size = |elements: u64, size: usize| {
            elements.saturating_mul(size as u64).saturating_add(63) / 64 * 64
        };
        let sizes = [
            size(lines.saturating_mul(line), self.dtype.size()),
            size(lines.saturating_mul(made), self.op.output(self.dtype).size()),
            match self.op {
                LineOp::ArgSort => size(line, 8),
                LineOp::Running(_) => size(lines, 8),
                _ => 0,
            },
        ];
        Strips { across, lines, line, made, sizes }
    }
}

/// In which strips a block is walked.
struct Strips {
    /// The axis along which the lines of a strip are neighbours.
    across: Option<usize>,
    /// How many there are in a strip.
    lines: u64,
    /// The elements of a line, and of what is made of it.
    line: u64,
    made: u64,
    /// Bytes of a strip, of what is made of it, and of places in a line or of where its lines begin.
    sizes: [u64; 3],
}

impl BlockKernel for Lines {
    fn name(&self) -> Cow<'static, str> {
        match &self.op {
            LineOp::Sort => "sort".into(),
            LineOp::ArgSort => "argsort".into(),
            LineOp::Quantiles { method, without_nan, .. } => {
                format!("{}quantile {}", if *without_nan { "nan" } else { "" }, method.name())
                    .into()
            }
            LineOp::Top(_) => "topk".into(),
            LineOp::Running(scan) => scan.name().into(),
            LineOp::Total(scan) => format!("{} total", scan.name()).into(),
            LineOp::Before(scan) => format!("{} before", scan.name()).into(),
        }
    }

    fn params(&self) -> Vec<Scalar> {
        let mut params: Vec<Scalar> =
            self.axes.iter().map(|&axis| Scalar::U64(axis as u64)).collect();
        match &self.op {
            LineOp::Sort | LineOp::ArgSort => {}
            LineOp::Running(_) | LineOp::Total(_) | LineOp::Before(_) => {}
            LineOp::Quantiles { at, .. } => params.extend(at.iter().map(|&at| Scalar::F64(at))),
            LineOp::Top(count) => params.push(Scalar::I64(*count)),
        }
        params
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, inputs: &[Region], output: &Region) -> u64 {
        let strips = inputs.first().map(|input| self.strips(&input.shape, &output.shape));
        strips.map_or(0, |strips| strips.sizes.into_iter().fold(0, u64::saturating_add))
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        scratch: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let (input, starts) = match inputs {
            [input] => (input, None),
            [input, starts] => (input, Some(starts)),
            _ => return Err(format!("{} of {} blocks", self.name(), inputs.len())),
        };
        if out.is_empty() {
            return Ok(());
        }
        let strips = self.strips(input.shape(), out.shape());
        let [of_lines, of_made, _] = strips.sizes.map(|size| size as usize);
        let (lines, rest) = scratch.split_at_mut(of_lines);
        let (made, beside) = rest.split_at_mut(of_made);

        let mut counts = Dims::from(input.shape());
        for &axis in &self.axes {
            counts[axis] = 1;
        }
        if let Some(axis) = strips.across {
            counts[axis] = counts[axis].div_ceil(strips.lines);
        }
        for mut start in Coordinates::of(Region::whole(&counts)) {
            let mut shape = Dims::from_elem(1, counts.len());
            if let Some(axis) = strips.across {
                start[axis] *= strips.lines;
                shape[axis] = strips.lines.min(input.shape()[axis] - start[axis]);
            }
            let count = strips.across.map_or(1, |axis| shape[axis]);
            let mut taken = Region { start, shape };
            let mut put = taken.clone();
            for &axis in &self.axes {
                taken.shape[axis] = input.shape()[axis];
                put.shape[axis] = out.shape()[axis];
            }
            let length = (count * strips.line) as usize * self.dtype.size();
            self.gather(&input.sub(&taken), &strips, &mut lines[..length]);
            if let Some(starts) = starts {
                let mut first = taken.clone();
                for &axis in &self.axes {
                    first.shape[axis] = 1;
                }
                self.gather(&starts.sub(&first), &strips, &mut beside[..8 * count as usize]);
            }
            let lines = &mut lines[..length];
            let output = self.op.output(self.dtype);
            let length = (count * strips.made) as usize * output.size();
            with_dtype!(self.dtype, T => each::<<T as Element>::Repr>(
                &self.op,
                bytemuck::cast_slice_mut(lines),
                &mut made[..length],
                count as usize,
                beside,
                starts.is_some(),
            ));
            let mut strides = Strides::from_elem(0, put.shape.len());
            strides[self.axes[0]] = 1;
            if let Some(axis) = strips.across {
                strides[axis] = strips.made as isize;
            }
            let view = ChunkView::strided(output, &made[..length], 0, put.shape.clone(), strides);
            out.sub(&put).assign(&view);
        }
        Ok(())
    }
}

impl Lines {
    /// Copies a strip into `out`, line after line.
    fn gather(&self, strip: &ChunkView<'_>, strips: &Strips, out: &mut [u8]) {
        let order = strips.across.into_iter().chain(self.axes.iter().copied());
        let (shape, strides): (Dims, Strides) =
            order.map(|axis| (strip.shape()[axis], strip.strides()[axis])).unzip();
        ChunkMut::new(strip.dtype(), out, &shape).assign(&strip.restride(0, shape, strides));
    }
}

/// `op` of each of `count` lines that lie one after the other; `beside` is room for places, or tells
/// where each line begins.
fn each<T: Number>(
    op: &LineOp,
    lines: &mut [T],
    made: &mut [u8],
    count: usize,
    beside: &mut [u8],
    from_starts: bool,
) {
    let (line, size) = (lines.len() / count, made.len() / count);
    for (number, made) in made.chunks_exact_mut(size).enumerate() {
        let line = &mut lines[number * line..(number + 1) * line];
        match op {
            LineOp::Sort => {
                line.sort_unstable_by(nan_last);
                made.copy_from_slice(bytemuck::cast_slice(line));
            }
            LineOp::ArgSort => {
                let places: &mut [i64] = bytemuck::cast_slice_mut(&mut beside[..8 * line.len()]);
                places.iter_mut().zip(0..).for_each(|(place, i)| *place = i);
                places.sort_unstable_by(|&a, &b| {
                    nan_last(&line[a as usize], &line[b as usize]).then(a.cmp(&b))
                });
                made.copy_from_slice(bytemuck::cast_slice(places));
            }
            LineOp::Quantiles { at, method, without_nan } => {
                quantiles(line, at, *method, *without_nan, made);
            }
            LineOp::Top(count) => {
                let count_up = count.unsigned_abs() as usize;
                let order = |a: &T, b: &T| match *count {
                    0.. => nan_last(b, a),
                    _ => nan_last(a, b),
                };
                if count_up < line.len() {
                    line.select_nth_unstable_by(count_up, order);
                }
                let top = &mut line[..made.len() / std::mem::size_of::<T>()];
                top.sort_unstable_by(order);
                made.copy_from_slice(bytemuck::cast_slice(top));
            }
            LineOp::Running(op) => {
                let start = from_starts.then(|| {
                    bytemuck::cast_slice::<u8, T::Sum>(&beside[8 * number..8 * number + 8])[0]
                });
                scan::running(line, *op, start, bytemuck::cast_slice_mut(made));
            }
            LineOp::Total(op) => {
                bytemuck::cast_slice_mut(made)[0] = scan::total(line, *op);
            }
            LineOp::Before(op) => scan::before(line, *op, bytemuck::cast_slice_mut(made)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kernel: &Lines, input: &ChunkView<'_>, out: &mut ChunkMut<'_>) {
        let regions = [Region::whole(input.shape())];
        let output = Region::whole(out.shape());
        let mut scratch = vec![0u64; kernel.scratch(&regions, &output) as usize / 8];
        let cx =
            BlockCx { index: Vec::new(), region: output, inputs: regions.into_iter().collect() };
        let scratch = bytemuck::cast_slice_mut(&mut scratch);
        kernel.run(std::slice::from_ref(input), out.reborrow(), scratch, &cx).unwrap();
    }

    #[test]
    fn strips_cover_every_line() {
        // More lines than a strip has, along each axis, of a view with strides of its own.
        let data: Vec<f32> = (0..3 * 40 * 50).map(|i| ((i * 7919) % 6007) as f32).collect();
        let view = ChunkView::of(&data, &[50, 40, 3]).restride(0, vec![3, 40, 50], vec![1, 3, 120]);
        for axis in 0..3 {
            let kernel = Lines::new(LineOp::Sort, &[axis], DType::F32);
            let mut out = vec![0f32; data.len()];
            run(&kernel, &view, &mut ChunkMut::of(&mut out, &[3, 40, 50]));
            let made = ChunkView::of(&out, &[3, 40, 50]);
            let mut counts = Dims::from_slice(&[3, 40, 50]);
            counts[axis] = 1;
            for start in Coordinates::of(Region::whole(&counts)) {
                let mut line = Region { start, shape: Dims::from_elem(1, 3) };
                line.shape[axis] = view.shape()[axis];
                let mut expected = view.sub(&line).to_vec::<f32>();
                expected.sort_by(f32::total_cmp);
                assert_eq!(made.sub(&line).to_vec::<f32>(), expected);
            }
        }
    }

    #[test]
    fn nan_is_left_out_or_taken_over() {
        let data = [3.0, f64::NAN, 1.0, 2.0, f64::INFINITY, 4.0, f64::NAN, f64::NAN, f64::NAN];
        let of = |method, without_nan, at: f64| {
            let op = LineOp::Quantiles { at: [at].into_iter().collect(), method, without_nan };
            let mut out = [0f64; 3];
            let kernel = Lines::new(op, &[1], DType::F64);
            run(&kernel, &ChunkView::of(&data, &[3, 3]), &mut ChunkMut::of(&mut out, &[3, 1]));
            out
        };
        let medians = of(Method::Midpoint, true, 0.5);
        assert_eq!(medians[..2], [2.0, 4.0]);
        assert!(medians[2].is_nan());
        let medians = of(Method::Midpoint, false, 0.5);
        assert!(medians[0].is_nan() && medians[2].is_nan());
        assert_eq!(medians[1], 4.0);
        assert_eq!(of(Method::Lower, true, 0.75)[..2], [1.0, 4.0]);
    }
}
