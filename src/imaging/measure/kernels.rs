//! The kernels of measurements: rows of each block, joined, and what is made of them in the end.

use super::{
    super::{carve, carved},
    Measure, Regions,
    rows::{Keys, Layout, Part, add},
};
use crate::kernel::{BlockCx, BlockKernel, Elementwise, Operand, SEGMENT, bin, cast, exactly};
use freeboard_formats::{ChunkMut, ChunkView, DType, Dims, Region, Scalar, region::Coordinates};
use std::{borrow::Cow, sync::Arc};

/// The row of an element that is in no region.
const NONE: u32 = u32::MAX;

/// What is measured, and of which regions.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) layout: Layout,
    pub(super) regions: Regions,
    /// The shape of the array: places of elements are counted in it.
    pub(super) shape: Dims,
    /// The dtype of the values.
    pub(super) values: DType,
    /// Of a histogram.
    pub(super) edges: Arc<[f64]>,
}

impl Plan {
    fn params(&self) -> Vec<Scalar> {
        let parts = self.layout.parts().iter().map(|&(part, _)| Scalar::U8(part as u8));
        let edges = self.edges.iter().map(|&edge| Scalar::F64(edge));
        let lens = self.shape.iter().map(|&len| Scalar::U64(len));
        parts.chain(lens).chain(edges).chain(self.regions.params()).collect()
    }
}

/// Makes the rows of one block's elements: values, and labels unless all are one region.
#[derive(Clone, Debug)]
pub(super) struct Scan(pub(super) Arc<Plan>);

/// A run of elements that follow one another along the last axis.
struct Run<'a> {
    /// The row of each.
    rows: &'a [u32],
    values: &'a [f64],
    /// Their bits in the widest dtype of their kind.
    bits: &'a [u64],
    /// Where the first lies.
    at: &'a [u64],
    /// Its place in the array.
    place: u64,
}

/// Elements converted a run at a time.
struct Converted<'a> {
    raw: &'a mut [u64],
    convert: Arc<dyn Elementwise>,
}

impl<'a> Converted<'a> {
    fn new(from: DType, to: DType, scratch: &mut &'a mut [u8]) -> Converted<'a> {
        Converted { raw: carve(scratch, SEGMENT), convert: cast(from, to) }
    }

    /// The elements of `view` from number `start` on.
    fn read(&mut self, view: &ChunkView<'_>, start: usize, out: &mut [u64]) {
        let bytes = out.len() * view.dtype().size();
        let raw = &mut bytemuck::cast_slice_mut::<u64, u8>(self.raw)[..bytes];
        view.copy_run(start, raw);
        self.convert.run(&[Operand::Run(raw)], bytemuck::cast_slice_mut(out));
    }
}

impl Scan {
    /// Calls `each` with all elements of the block, run by run.
    fn runs(
        &self,
        inputs: &[ChunkView<'_>],
        region: &Region,
        mut scratch: &mut [u8],
        mut each: impl FnMut(&Run<'_>),
    ) {
        let Plan { shape, regions, values: dtype, .. } = &*self.0;
        let Some(values) = inputs.first() else { return };
        let labels = inputs.get(1);
        let label_dtype = labels.map_or(DType::I64, ChunkView::dtype);
        let mut to_double = Converted::new(*dtype, DType::F64, &mut scratch);
        let mut to_wide = Converted::new(*dtype, Keys::of(*dtype).wide(), &mut scratch);
        let mut to_label = Converted::new(label_dtype, DType::I64, &mut scratch);
        let doubles = carve::<u64>(&mut scratch, SEGMENT);
        let bits = carve::<u64>(&mut scratch, SEGMENT);
        let numbers = carve::<u64>(&mut scratch, SEGMENT);
        let rows = carve::<u32>(&mut scratch, SEGMENT);
        let needs_bits =
            [Part::Least, Part::Greatest].map(|part| self.0.layout.find(part).is_some());
        let needs_bits = needs_bits.contains(&true);
        let (len, outer) = match region.rank().checked_sub(1) {
            Some(last) => (
                region.shape[last] as usize,
                Region::new(&region.start[..last], &region.shape[..last]),
            ),
            None => (1, Region::whole(&[])),
        };
        let mut done = 0;
        for mut at in Coordinates::of(outer) {
            if let Some(&first) = region.start.last() {
                at.push(first);
            }
            for start in (0..len).step_by(SEGMENT) {
                let count = SEGMENT.min(len - start);
                to_double.read(values, done, &mut doubles[..count]);
                if needs_bits {
                    to_wide.read(values, done, &mut bits[..count]);
                }
                match labels {
                    Some(labels) => {
                        to_label.read(labels, done, &mut numbers[..count]);
                        regions.rows(bytemuck::cast_slice(&numbers[..count]), &mut rows[..count]);
                    }
                    None => rows[..count].fill(0),
                }
                let place = at.iter().zip(shape).fold(0, |place, (at, len)| place * len + at);
                let (values, bits) = (bytemuck::cast_slice(&doubles[..count]), &bits[..count]);
                each(&Run { rows: &rows[..count], values, bits, at: &at, place });
                if let Some(last) = at.last_mut() {
                    *last += count as u64;
                }
                done += count;
            }
        }
    }

    /// Meets a run, but for what needs the means of the block.
    fn meet(&self, run: &Run<'_>, table: &mut [u64]) {
        let Plan { layout, values: dtype, edges, .. } = &*self.0;
        let width = layout.width;
        // The elements that are in regions: their numbers within the run, and where their rows begin.
        let met = || {
            let rows = run.rows.iter().enumerate();
            rows.filter(|row| *row.1 != NONE).map(|(i, &row)| (i, row as usize * width))
        };
        let keys = Keys::of(*dtype);
        let (outer, last) = run.at.split_at(run.at.len().saturating_sub(1));
        let last = last.first().copied().unwrap_or(0);
        for &(part, at) in layout.parts() {
            match part {
                Part::Spread => {}
                Part::Least | Part::Greatest => {
                    for (i, row) in met() {
                        let (key, inverted) = keys.key(run.bits[i]);
                        let key = if part == Part::Least { key } else { inverted };
                        let held = &mut table[row + at..row + at + 2];
                        let place = run.place + i as u64;
                        if (key, place) < (held[0], held[1]) {
                            held.copy_from_slice(&[key, place]);
                        }
                    }
                }
                Part::Moments => {
                    for (i, row) in met() {
                        let words = &mut table[row + at..];
                        for (word, &coordinate) in words.iter_mut().zip(outer) {
                            add(word, run.values[i] * coordinate as f64);
                        }
                        if !run.at.is_empty() {
                            add(&mut words[outer.len()], run.values[i] * (last + i as u64) as f64);
                        }
                    }
                }
                Part::Bounds => {
                    for (i, row) in met() {
                        let pairs = table[row + at..].chunks_exact_mut(2);
                        let axes =
                            outer.iter().copied().chain(run.at.last().map(|at| at + i as u64));
                        for (pair, coordinate) in pairs.zip(axes) {
                            pair[0] = pair[0].min(coordinate);
                            pair[1] = pair[1].max(coordinate);
                        }
                    }
                }
                Part::Bins => {
                    for (i, row) in met() {
                        if let Some(bin) = bin(edges, true, run.values[i]) {
                            table[row + at + bin] += 1;
                        }
                    }
                }
                Part::Sum => met().for_each(|(i, row)| add(&mut table[row + at], run.values[i])),
                Part::Count => met().for_each(|(_, row)| table[row + at] += 1),
            }
        }
    }
}

impl BlockKernel for Scan {
    fn name(&self) -> Cow<'static, str> {
        "measure".into()
    }

    fn params(&self) -> Vec<Scalar> {
        self.0.params()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, _: &[Region], _: &Region) -> u64 {
        6 * carved::<u64>(SEGMENT) + carved::<u32>(SEGMENT)
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        scratch: &mut [u8],
        cx: &BlockCx,
    ) -> Result<(), String> {
        let layout = &self.0.layout;
        let table = out.as_slice::<u64>().ok_or("the table does not lie in one run")?;
        table.chunks_exact_mut(layout.width).for_each(|row| layout.start(row));
        let region = cx.inputs.first().ok_or("measurements of no block")?;
        self.runs(inputs, region, scratch, |run| self.meet(run, table));
        // About the means of the block's own elements: what is small beside them is not lost.
        if let (Some(spread), Some(sum)) = (layout.find(Part::Spread), layout.find(Part::Sum)) {
            self.runs(inputs, region, scratch, |run| {
                for (&row, value) in run.rows.iter().zip(run.values).filter(|met| *met.0 != NONE) {
                    let row = &mut table[row as usize * layout.width..][..layout.width];
                    let mean = f64::from_bits(row[sum]) / layout.count(row) as f64;
                    add(&mut row[spread], (value - mean) * (value - mean));
                }
            });
        }
        Ok(())
    }
}

/// Joins the tables of several blocks: those of a box of blocks, row by row.
#[derive(Clone, Debug)]
pub(super) struct Join(pub(super) Arc<Plan>);

impl BlockKernel for Join {
    fn name(&self) -> Cow<'static, str> {
        "join".into()
    }

    fn params(&self) -> Vec<Scalar> {
        self.0.params()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, _: &[Region], _: &Region) -> u64 {
        carved::<u64>(self.0.layout.width)
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        mut scratch: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let layout = &self.0.layout;
        let [parts] = exactly(inputs, "join")?;
        let table = out.as_slice::<u64>().ok_or("the table does not lie in one run")?;
        let later = carve::<u64>(&mut scratch, layout.width);
        let rows = table.len() / layout.width;
        for part in 0..parts.len() / table.len().max(1) {
            for (number, row) in table.chunks_exact_mut(layout.width).enumerate() {
                let from = (part * rows + number) * layout.width;
                parts.copy_run(from, bytemuck::cast_slice_mut(later));
                match part {
                    0 => row.copy_from_slice(later),
                    _ => layout.join(row, later),
                }
            }
        }
        Ok(())
    }
}

/// Makes one measurement of all regions out of their rows.
#[derive(Clone, Debug)]
pub(super) struct Finish {
    pub(super) plan: Arc<Plan>,
    pub(super) measure: Measure,
}

impl Finish {
    /// Calls `put` with the numbers that stand for one region.
    fn finish(&self, row: &[u64], mut put: impl FnMut(Scalar)) {
        let Plan { layout, shape, values: dtype, edges, .. } = &*self.plan;
        let count = layout.count(row);
        let word = |part: Part| layout.find(part).unwrap_or_default();
        let double = |part: Part| f64::from_bits(row[word(part)]);
        let whole = |n: u64| Scalar::I64(n as i64);
        let extremum = |part: Part| (row[word(part)], row[word(part) + 1]);
        let element = |key: u64| match count {
            0 => Scalar::zero(*dtype),
            _ => Keys::of(*dtype).element(key).cast(*dtype),
        };
        let mut position = |place: u64| {
            let mut rest = if count == 0 { 0 } else { place };
            let mut at = shape.clone();
            for (at, len) in at.iter_mut().zip(shape).rev() {
                *at = rest % len.max(&1);
                rest /= len.max(&1);
            }
            at.into_iter().for_each(|at| put(whole(at)));
        };
        match self.measure {
            Measure::Area => put(whole(count)),
            Measure::Sum => put(Scalar::F64(double(Part::Sum))),
            Measure::Mean => put(Scalar::F64(double(Part::Sum) / count as f64)),
            Measure::Variance => put(Scalar::F64(double(Part::Spread) / count as f64)),
            Measure::StandardDeviation => {
                put(Scalar::F64((double(Part::Spread) / count as f64).sqrt()));
            }
            Measure::Minimum => put(element(extremum(Part::Least).0)),
            Measure::Maximum => put(element(!extremum(Part::Greatest).0)),
            Measure::MinimumPosition => position(extremum(Part::Least).1),
            Measure::MaximumPosition => position(extremum(Part::Greatest).1),
            Measure::CentreOfMass => {
                let sum = double(Part::Sum);
                let moments = &row[word(Part::Moments)..][..shape.len()];
                moments.iter().for_each(|&moment| put(Scalar::F64(f64::from_bits(moment) / sum)));
            }
            Measure::BoundingBox => {
                for pair in row[word(Part::Bounds)..].chunks_exact(2).take(shape.len()) {
                    let (start, end) = if count == 0 { (0, 0) } else { (pair[0], pair[1] + 1) };
                    put(whole(start));
                    put(whole(end));
                }
            }
            Measure::Histogram { .. } => {
                let bins = &row[word(Part::Bins)..][..edges.len().saturating_sub(1)];
                bins.iter().for_each(|&count| put(whole(count)));
            }
        }
    }
}

impl BlockKernel for Finish {
    fn name(&self) -> Cow<'static, str> {
        self.measure.name().into()
    }

    fn params(&self) -> Vec<Scalar> {
        self.plan.params()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, _: &[Region], _: &Region) -> u64 {
        carved::<u64>(self.plan.layout.width)
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        mut scratch: &mut [u8],
        cx: &BlockCx,
    ) -> Result<(), String> {
        let [table] = exactly(inputs, self.measure.name())?;
        let width = self.plan.layout.width;
        let row = carve::<u64>(&mut scratch, width);
        let size = out.dtype().size();
        let out = out.as_bytes().ok_or("the block does not lie in one run")?;
        let (mut at, regions) = (0, cx.region.range(0));
        // Rows are handed from that of the first region on, or all of them.
        let first = cx.inputs.first().map_or(0, |handed| handed.start[0]);
        for region in regions {
            let number = self.plan.regions.row_of(region) - first;
            table.copy_run(number as usize * width, bytemuck::cast_slice_mut(row));
            self.finish(row, |value| {
                out[at..at + size].copy_from_slice(&value.bytes().0[..size]);
                at += size;
            });
        }
        Ok(())
    }
}
