//! Filters along one axis after the other, all within one block and its halo.
//!
//! Passes run in the order of the axes, each over what the one before left, rounded to the array's
//! dtype, as `scipy.ndimage` does it. What stands beyond the array's
//! edge is looked up by each pass along its own axis alone, so a constant stands beside the
//! result of the passes before it, and not beside what they would have made of it.
//!
//! The last pass follows the one before it band by band: what lies between them stays in the second-level cache.

use super::{
    carve, carved,
    edges::Halo,
    panels::{Along, LANES, Part, Room, filter, panel_len},
    rows::Combine,
    samples::Sample,
};
use crate::kernel::{BlockCx, BlockKernel, exactly};
use freeboard_formats::{
    ChunkMut, ChunkView, DType, Dims, Region, Scalar, region::volume, with_dtype,
};
use std::borrow::Cow;

/// Bytes of a band that lies between two passes.
const BAND: usize = 512 << 10;

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
    pub(super) dtype: DType,
    pub(super) passes: Vec<Pass>,
    pub(super) halo: Halo,
}

impl Lines {
    /// The block `region` seen by a pass, when those before it have been made of the box `handed`, and how many
    /// places it makes along its axis.
    fn along(&self, number: usize, handed: &Region, region: &Region) -> (Along, usize) {
        let axis = self.passes[number].axis;
        let is_made = |other: usize| self.passes[..number].iter().any(|pass| pass.axis == other);
        let len = |other: usize| if is_made(other) { region } else { handed }.shape[other];
        let shape: Dims = (0..region.rank()).map(len).collect();
        let block = Along {
            outer: volume(&shape[..axis]) as usize,
            len: shape[axis] as usize,
            inner: volume(&shape[axis + 1..]) as usize,
            start: self.halo.range(axis, region).start,
            edge: self.halo.edge(axis, handed),
            constant: self.halo.boundary.constant(),
        };
        (block, region.shape[axis] as usize)
    }

    /// How many of the places before its axis, and along it, the pass `number` makes before the next one, which is
    /// the last, takes what was made: all where that runs along an axis before.
    fn band(&self, number: usize, block: &Along, made: usize, dtype: DType) -> (usize, usize) {
        let [pass, next] = [0, 1].map(|later| &self.passes[number + later]);
        let fit = BAND / (block.inner * dtype.size()).max(1) / LANES * LANES;
        let fit = fit.max(LANES).max(pass.size);
        match fit >= made {
            _ if next.axis < pass.axis => (block.outer, made),
            true => ((fit / made.max(1)).min(block.outer), made),
            false => (1, fit),
        }
    }

    fn parts(&self, handed: &Region, region: &Region, dtype: DType) -> Parts {
        let panels = self.passes.iter().enumerate().map(|(number, pass)| {
            let (block, made) = self.along(number, handed, region);
            panel_len(pass.size, made, block.inner)
        });
        let ranks = self.passes.iter().map(|pass| pass.combine.scratch(pass.size));
        let band = self.passes.len().checked_sub(2).map_or(0, |number| {
            let (block, made) = self.along(number, handed, region);
            let (outer, rows) = self.band(number, &block, made, dtype);
            outer.saturating_mul(rows).saturating_mul(block.inner)
        });
        let whole = handed.volume() as usize;
        Parts {
            whole,
            other: if self.passes.len() > 2 { whole } else { 0 },
            band,
            panel: panels.max().unwrap_or(0),
            starts: self.passes.iter().map(|pass| pass.size).max().unwrap_or(0),
            ranks: ranks.max().unwrap_or(0),
        }
    }

    fn run_in<S: Sample>(
        &self,
        input: &ChunkView<'_>,
        out: &mut [S::Repr],
        mut scratch: &mut [u8],
        cx: &BlockCx,
    ) {
        let (handed, region) = (&cx.inputs[0], &cx.region);
        let parts = self.parts(handed, region, S::DTYPE);
        let mut from = carve::<S::Repr>(&mut scratch, parts.whole);
        let mut to = carve::<S::Repr>(&mut scratch, parts.other);
        let band = carve::<S::Repr>(&mut scratch, parts.band);
        let mut room = Room {
            panel: carve(&mut scratch, parts.panel),
            starts: carve(&mut scratch, parts.starts),
            ranks: carve(&mut scratch, parts.ranks),
        };
        let as_it_is: Option<&[S::Repr]> = input.as_bytes().map(bytemuck::cast_slice);
        if as_it_is.is_none() {
            input.copy_run(0, bytemuck::cast_slice_mut(&mut from[..input.len()]));
        }
        let last_two = self.passes.len().saturating_sub(2);
        for (number, pass) in self.passes[..last_two].iter().enumerate() {
            let (block, made) = self.along(number, handed, region);
            let part = Part { outer: 0..block.outer, made: 0..made };
            let source = as_it_is.filter(|_| number == 0).unwrap_or(from);
            filter::<S, S::Between>(pass.what(), &block, &part, source, to, &mut room);
            std::mem::swap(&mut from, &mut to);
        }
        let source = as_it_is.filter(|_| last_two == 0).unwrap_or(from);
        let (pass, last) = match &self.passes[last_two..] {
            [] => return out.copy_from_slice(&source[..out.len()]),
            [last] => {
                let (block, made) = self.along(0, handed, region);
                let part = Part { outer: 0..block.outer, made: 0..made };
                return filter::<S, S>(last.what(), &block, &part, source, out, &mut room);
            }
            [pass, last, ..] => (pass, last),
        };
        let (block, made) = self.along(last_two, handed, region);
        let (behind, made_last) = self.along(last_two + 1, handed, region);
        let (outers, rows) = self.band(last_two, &block, made, S::DTYPE);
        for outer in (0..block.outer).step_by(outers) {
            for row in (0..made).step_by(rows) {
                let part = Part {
                    outer: outer..block.outer.min(outer + outers),
                    made: row..made.min(row + rows),
                };
                let len = part.outer.len() * part.made.len() * block.inner;
                let band = &mut band[..len];
                filter::<S, S::Between>(pass.what(), &block, &part, source, band, &mut room);
                let lines = len / behind.len;
                let at = (outer * made + row) * block.inner / behind.len * made_last;
                let out = &mut out[at..][..lines * made_last];
                let behind = Along { outer: lines / behind.inner, ..behind };
                let part = Part { outer: 0..behind.outer, made: 0..made_last };
                filter::<S, S>(last.what(), &behind, &part, band, out, &mut room);
            }
        }
    }
}

/// How many elements the parts of the scratch have.
struct Parts {
    /// The input in one run, where it does not lie so, and what whole passes leave in turn.
    whole: usize,
    other: usize,
    /// What lies between the last two passes.
    band: usize,
    panel: usize,
    starts: usize,
    ranks: usize,
}

impl Pass {
    fn what(&self) -> (&Combine, usize) {
        (&self.combine, self.size)
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
        let Some(handed) = inputs.first() else { return 0 };
        let parts = self.parts(handed, output, self.dtype);
        let elements = [parts.whole, parts.other, parts.band];
        let elements = elements.map(|len| with_dtype!(self.dtype, T => carved::<T>(len)));
        let beside =
            [carved::<f64>(parts.panel), carved::<usize>(parts.starts), carved::<f64>(parts.ranks)];
        elements.into_iter().chain(beside).fold(0, u64::saturating_add)
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        scratch: &mut [u8],
        cx: &BlockCx,
    ) -> Result<(), String> {
        let [input] = exactly(inputs, "filter")?;
        if out.is_empty() {
            return Ok(());
        }
        with_dtype!(self.dtype, T => {
            let out = out.as_slice::<T>().ok_or("the block does not lie in one run")?;
            self.run_in::<T>(input, out, scratch, cx);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::edges::Boundary, *};
    use freeboard_formats::{Grid, region::Coordinates};

    /// What the passes make of a whole array, element by element.
    fn expected<S: Sample>(lines: &Lines, values: &[S::Repr], shape: &[u64]) -> Vec<S::Repr> {
        let whole = Region::whole(shape);
        let mut values: Vec<f64> = values.iter().map(|&value| S::widen(value)).collect();
        for (number, pass) in lines.passes.iter().enumerate() {
            let weights = match &pass.combine {
                Combine::Weigh(weights, _) | Combine::Even(weights) | Combine::Odd(weights) => {
                    weights
                }
                _ => panic!("{pass:?}"),
            };
            let edge = lines.halo.edge(pass.axis, &whole);
            let made = Coordinates::of(whole.clone()).map(|at| {
                let terms = weights.iter().enumerate().map(|(shift, weight)| {
                    let along = at[pass.axis] as i64 + shift as i64 - pass.before as i64;
                    let value = edge.place(along).map(|place| {
                        let mut near = at.clone();
                        near[pass.axis] = place as u64;
                        let number =
                            near.iter().zip(shape).fold(0, |sum, (at, len)| sum * len + at);
                        values[number as usize]
                    });
                    value.unwrap_or(lines.halo.boundary.constant()) * weight
                });
                let sum = terms.sum();
                match number + 1 < lines.passes.len() {
                    true => S::widen(<S::Between as Sample>::narrow(sum)),
                    false => S::widen(S::narrow(sum)),
                }
            });
            values = made.collect();
        }
        values.into_iter().map(S::narrow).collect()
    }

    /// Filters of a whole array, and of a block in its middle, whose box lies in one run or not.
    fn check<S: Sample>(shape: &[u64], passes: &[(usize, usize)], boundary: Boundary) {
        let passes: Vec<Pass> = passes
            .iter()
            .map(|&(axis, size)| {
                let weight = |at: usize| [1.0, 2.0, 0.0, -1.0][(at * 5 + size + axis) % 4];
                let line = (0..size).map(|at| match size % 3 {
                    0 => weight(at.min(size - 1 - at)),
                    _ => weight(at),
                });
                let combine = Combine::line(line.collect());
                Pass { axis, size, before: size / 2, combine }
            })
            .collect();
        let mut sides = vec![(0, 0); shape.len()];
        for pass in &passes {
            sides[pass.axis] = (pass.before as u64, (pass.size - 1 - pass.before) as u64);
        }
        let meta = freeboard_formats::Meta::new(S::DTYPE, Grid::whole(shape));
        let halo = Halo::new(&meta, boundary, &sides).unwrap();
        let lines = Lines { dtype: S::DTYPE, passes, halo };
        let len = volume(shape) as usize;
        let values: Vec<S::Repr> = (0..len).map(|at| S::narrow((at * 7919 % 23) as f64)).collect();
        let all = ChunkView::new(S::DTYPE, bytemuck::cast_slice(&values), shape);
        let expected = expected::<S>(&lines, &values, shape);
        let expected = ChunkView::new(S::DTYPE, bytemuck::cast_slice(&expected), shape);
        let whole = Region::whole(shape);
        // Boxes have a halo where there is a pass: as far as it reaches, or all.
        let (mut inside, mut around, mut wide) = (whole.clone(), whole.clone(), whole.clone());
        for (axis, &(before, after)) in sides.iter().enumerate() {
            let depth = before.max(after);
            let (start, end) = (shape[axis] / 3, shape[axis] - shape[axis] / 4);
            let cut = |region: &mut Region, start: u64, end: u64| {
                (region.start[axis], region.shape[axis]) = (start, end - start);
            };
            cut(&mut inside, start, end);
            if depth < shape[axis] {
                cut(&mut around, start.saturating_sub(depth), (end + depth).min(shape[axis]));
            }
            if depth == 0 {
                cut(&mut wide, start, end);
            }
        }
        for (region, handed) in [(&whole, &whole), (&inside, &wide), (&inside, &around)] {
            let inputs = [handed.clone()];
            let mut scratch = vec![0xabu8; lines.scratch(&inputs, region) as usize + 64];
            let aligned = scratch.as_ptr().align_offset(64);
            let mut out = vec![S::narrow(0.0); region.volume() as usize];
            let cx = BlockCx {
                index: vec![],
                region: region.clone(),
                inputs: inputs.into_iter().collect(),
            };
            let bytes = bytemuck::cast_slice_mut(&mut out);
            let target = ChunkMut::new(S::DTYPE, bytes, &region.shape);
            lines.run(&[all.sub(handed)], target, &mut scratch[aligned..], &cx).unwrap();
            let mut wanted = vec![S::narrow(0.0); out.len()];
            expected.sub(region).copy_run(0, bytemuck::cast_slice_mut(&mut wanted));
            assert!(out == wanted, "{} {shape:?} {region} of {handed} {lines:?}", S::DTYPE);
        }
    }

    fn every<S: Sample>() {
        let boundaries =
            [Boundary::Reflect, Boundary::Mirror, Boundary::Nearest, Boundary::Constant(3.0)];
        type Case = (&'static [u64], &'static [(usize, usize)]);
        let passes: [Case; 13] = [
            (&[5], &[(0, 9)]),
            (&[3000], &[(0, 4)]),
            (&[700], &[(0, 301)]),
            (&[1, 1300], &[(1, 3)]),
            (&[3, 700], &[(0, 2), (1, 5)]),
            (&[70, 90], &[(0, 3), (1, 6)]),
            (&[70, 90], &[(1, 3), (0, 6)]),
            (&[900, 2], &[(0, 3), (1, 2)]),
            (&[37, 41, 3], &[(0, 3), (1, 5)]),
            (&[2, 40, 33], &[(1, 5), (2, 4)]),
            (&[6, 35, 33], &[(0, 2), (1, 3), (2, 4)]),
            (&[5, 4, 9, 37], &[(0, 2), (1, 3), (2, 4), (3, 3)]),
            (&[7, 9], &[]),
        ];
        for (number, (shape, passes)) in passes.into_iter().enumerate() {
            check::<S>(shape, passes, boundaries[number % 4]);
            check::<S>(shape, passes, boundaries[(number + 1) % 4]);
        }
        // Rows so long that several bands lie between the passes.
        check::<S>(&[70, 4200], &[(0, 3), (1, 4)], Boundary::Reflect);
        // Windows that are taken over one line at a time.
        check::<S>(&[4, 60], &[(0, 3), (1, 2301)], Boundary::Mirror);
        check::<S>(&[700], &[(0, 2302)], Boundary::Constant(3.0));
    }

    #[test]
    fn blocks_of_any_shape() {
        every::<f32>();
        every::<f64>();
        every::<u8>();
        every::<i64>();
        every::<bool>();
    }
}
