//! Filters along one axis after the other, all within one block and its halo.
//!
//! Passes run in the order of the axes, each over what the one before left, in doubles that have
//! been rounded to the array's dtype, as `scipy.ndimage` does it. What stands beyond the array's
//! edge is looked up by each pass along its own axis alone, so a constant stands beside the
//! result of the passes before it, and not beside what they would have made of it.

use super::{
    carve, carved,
    edges::{Edge, Halo},
    rows::{Combine, Rows},
    samples::{narrow, settle, widen},
};
use crate::kernel::{BlockCx, BlockKernel, exactly};
use freeboard_formats::{ChunkMut, ChunkView, Region, Scalar, region::volume};
use std::{borrow::Cow, ops::Range};

/// Elements of rows that are combined at a time: with those of a few dozen rows they stay in the
/// second-level cache.
const STRIP: usize = 512;

/// One pass.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    pub(super) axis: usize,
    /// How many elements are combined, and how many of them are before the result's place.
    pub(super) size: usize,
    pub(super) before: usize,
    pub(super) combine: Combine,
}

/// Passes along axes, each of which has one at most.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    pub(super) passes: Vec<Pass>,
    pub(super) halo: Halo,
}

impl Lines {
    /// Doubles of a padded line.
    fn line(&self, output: &Region) -> usize {
        let longest = self.passes.iter().map(|pass| {
            let range = self.halo.range(pass.axis, output);
            (range.end - range.start) as usize
        });
        longest.max().unwrap_or(0)
    }

    /// The most rows that a pass combines.
    fn rows(&self) -> usize {
        self.passes.iter().map(|pass| pass.size).max().unwrap_or(0)
    }

    fn ranks(&self) -> usize {
        self.passes.iter().map(|pass| pass.combine.scratch(pass.size)).max().unwrap_or(0)
    }
}

impl BlockKernel for Lines {
    fn name(&self) -> Cow<'static, str> {
        "lines".into()
    }

    fn params(&self) -> Vec<Scalar> {
        let mut params = self.halo.boundary.params().to_vec();
        for pass in &self.passes {
            let places = [pass.axis, pass.size, pass.before];
            params.extend(places.map(|number| Scalar::U64(number as u64)));
            params.extend(pass.combine.params());
        }
        params
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, inputs: &[Region], output: &Region) -> u64 {
        let handed = inputs.first().map_or(0, Region::volume) as usize;
        let most = handed.max(output.volume() as usize).saturating_add(STRIP);
        let beside = [carved::<f64>(self.line(output)), carved::<f64>(self.ranks())];
        let buffers = carved::<f64>(most).saturating_mul(2);
        let rows = carved::<usize>(self.rows());
        beside.into_iter().fold(buffers.saturating_add(rows), u64::saturating_add)
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        mut scratch: &mut [u8],
        cx: &BlockCx,
    ) -> Result<(), String> {
        let [input] = exactly(inputs, "filter")?;
        let most = input.len().max(out.len());
        // Behind the elements there is a strip of what stands beyond the edge.
        let mut from = carve::<f64>(&mut scratch, most + STRIP);
        let mut to = carve::<f64>(&mut scratch, most + STRIP);
        from[most..].fill(self.halo.boundary.constant());
        to[most..].fill(self.halo.boundary.constant());
        let line = carve::<f64>(&mut scratch, self.line(&cx.region));
        let starts = carve::<usize>(&mut scratch, self.rows());
        let ranks = carve::<f64>(&mut scratch, self.ranks());
        let mut shape = input.shape().to_vec();
        widen(input, 0, &mut from[..input.len()]);
        for (number, pass) in self.passes.iter().enumerate() {
            let edge = self.halo.edge(pass.axis, &cx.inputs[0]);
            let block = Along {
                outer: volume(&shape[..pass.axis]) as usize,
                len: shape[pass.axis] as usize,
                inner: volume(&shape[pass.axis + 1..]) as usize,
                range: self.halo.range(pass.axis, &cx.region),
                edge,
                constant: self.halo.boundary.constant(),
            };
            shape[pass.axis] = cx.region.shape[pass.axis];
            let made = &mut to[..volume(&shape) as usize];
            match block.inner {
                1 => pass.lines(&block, from, made, line, (starts, ranks)),
                _ => pass.strips(&block, from, made, most, (starts, ranks)),
            }
            // What the last one leaves is converted once.
            if number + 1 < self.passes.len() {
                settle(out.dtype(), made);
            }
            std::mem::swap(&mut from, &mut to);
        }
        let len = out.len();
        narrow(&from[..len], &mut out)
    }
}

/// A block seen along an axis: as many places before it, along it, and behind it.
struct Along {
    outer: usize,
    len: usize,
    inner: usize,
    /// The coordinates that the pass looks at.
    range: Range<i64>,
    edge: Edge,
    constant: f64,
}

impl Pass {
    /// Along the last axis: each line is padded, and its rows are the line itself, shifted.
    fn lines(
        &self,
        block: &Along,
        from: &[f64],
        to: &mut [f64],
        line: &mut [f64],
        (starts, ranks): (&mut [usize], &mut [f64]),
    ) {
        let made = (block.range.end - block.range.start) as usize + 1 - self.size;
        let starts = &mut starts[..self.size];
        starts.iter_mut().enumerate().for_each(|(shift, start)| *start = shift);
        let inner = block.edge.inner(&block.range);
        let head = (inner.start - block.range.start) as usize;
        let count = (inner.end - inner.start) as usize;
        let line = &mut line[..made + self.size - 1];
        for (from, to) in
            from.chunks_exact(block.len.max(1)).take(block.outer).zip(to.chunks_exact_mut(made))
        {
            let at = |number: usize| match block.edge.place(block.range.start + number as i64) {
                Some(place) => from[place],
                None => block.constant,
            };
            (0..head).chain(head + count..line.len()).for_each(|number| line[number] = at(number));
            if count > 0
                && let Some(place) = block.edge.place(inner.start)
            {
                line[head..head + count].copy_from_slice(&from[place..place + count]);
            }
            self.combine.run(Rows { data: line, starts }, to, ranks);
        }
    }

    /// Along another axis: rows of what is behind it, a strip of them at a time. In `from` a strip of what stands
    /// beyond the edge begins at `constant`.
    fn strips(
        &self,
        block: &Along,
        from: &[f64],
        to: &mut [f64],
        constant: usize,
        (starts, ranks): (&mut [usize], &mut [f64]),
    ) {
        let made = (block.range.end - block.range.start) as usize + 1 - self.size;
        let starts = &mut starts[..self.size];
        for outer in 0..block.outer {
            for first in (0..block.inner).step_by(STRIP) {
                let width = STRIP.min(block.inner - first);
                for number in 0..made {
                    for (shift, start) in starts.iter_mut().enumerate() {
                        let place = block.edge.place(block.range.start + (number + shift) as i64);
                        *start = place.map_or(constant, |place| {
                            (outer * block.len + place) * block.inner + first
                        });
                    }
                    let at = (outer * made + number) * block.inner + first;
                    self.combine.run(Rows { data: from, starts }, &mut to[at..at + width], ranks);
                }
            }
        }
    }
}
