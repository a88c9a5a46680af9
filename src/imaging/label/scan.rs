//! Regions within a block, and what of a block its neighbours must know.
//!
//! Rows are cut into runs, and runs that touch in neighbouring rows are joined: He, Chao & Suzuki,
//! "A Run-Based Two-Scan Labeling Algorithm", IEEE Trans. Image Process. 17 (2008) 749. The
//! sets are kept by a union–find whose roots are the first runs, so that numbers follow the
//! order of first elements.

use super::{
    super::{carve, carved},
    Steps,
};
use crate::kernel::{BlockCx, BlockKernel, exactly};
use freeboard_formats::{ChunkMut, ChunkView, Region, Scalar, region::Coordinates};
use std::borrow::Cow;

/// Numbers the regions of a block from 1.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub(super) steps: Steps,
}

/// A neighbouring row before this one: how many steps away along each axis but the last, and which
/// steps along the last lead to neighbours.
struct Beside {
    outer: Vec<i64>,
    /// By how many rows it is before.
    back: usize,
    along: Vec<i64>,
}

/// The root of a set, with the path to it halved.
pub(super) fn root(parents: &mut [u32], mut of: u32) -> u32 {
    while parents[of as usize] != of {
        let above = parents[parents[of as usize] as usize];
        parents[of as usize] = above;
        of = above;
    }
    of
}

/// Joins two sets under the root that is less.
fn join(parents: &mut [u32], a: u32, b: u32) {
    let (a, b) = (root(parents, a), root(parents, b));
    parents[a.max(b) as usize] = a.min(b);
}

impl Scan {
    /// Whether neighbours along the last axis are connected.
    fn joins_rows(&self) -> bool {
        self.steps.0.iter().any(|step| step[..step.len() - 1].iter().all(|&step| step == 0))
    }

    /// The most runs of a block.
    fn runs(&self, shape: &[u64]) -> usize {
        let len = shape.last().map_or(1, |&len| len as usize);
        let rows = shape.iter().take(shape.len().saturating_sub(1)).product::<u64>() as usize;
        rows * if self.joins_rows() { len.div_ceil(2) } else { len }
    }

    fn beside(&self, shape: &[u64]) -> Vec<Beside> {
        let mut found: Vec<Beside> = Vec::new();
        for step in &self.steps.0 {
            let Some((&along, outer)) = step.split_last() else { continue };
            if outer.iter().find(|&&step| step != 0).is_none_or(|&step| step > 0) {
                continue;
            }
            match found.iter_mut().find(|beside| beside.outer == outer) {
                Some(beside) => beside.along.push(along),
                None => {
                    let rows = outer.iter().zip(shape);
                    let back = rows.fold(0, |back, (&step, &len)| back * len as i64 - step);
                    let outer = outer.to_vec();
                    found.push(Beside { outer, back: back as usize, along: vec![along] });
                }
            }
        }
        found
    }
}

impl BlockKernel for Scan {
    fn name(&self) -> Cow<'static, str> {
        "label".into()
    }

    fn params(&self) -> Vec<Scalar> {
        self.steps.0.iter().flatten().map(|&step| Scalar::I64(step)).collect()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, _: &[Region], output: &Region) -> u64 {
        let runs = carved::<u32>(self.runs(&output.shape)).saturating_mul(3);
        let rows = output.volume() / output.shape.last().map_or(1, |&len| len.max(1));
        let beside = carved::<u8>(output.volume() as usize) + carved::<u32>(rows as usize + 1);
        runs.saturating_add(beside)
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        mut scratch: &mut [u8],
        cx: &BlockCx,
    ) -> Result<(), String> {
        let [input] = exactly(inputs, "label")?;
        let out = out.as_slice::<i32>().ok_or("labels are no int32")?;
        let shape = &cx.region.shape;
        let [outer @ .., len] = &shape[..] else { return Err("a block without axes".into()) };
        let (len, most) = (*len as usize, self.runs(shape));
        let mask = carve::<u8>(&mut scratch, out.len());
        let firsts = carve::<u32>(&mut scratch, out.len() / len.max(1) + 1);
        let starts = carve::<u32>(&mut scratch, most);
        let ends = carve::<u32>(&mut scratch, most);
        let parents = carve::<u32>(&mut scratch, most);
        input.copy_run(0, mask);
        let (joins, beside) = (self.joins_rows(), self.beside(shape));
        let mut count = 0;
        let rows = Coordinates::of(Region::whole(outer)).zip(mask.chunks_exact(len)).enumerate();
        for (row, (at, mask)) in rows {
            firsts[row] = count as u32;
            let mut next = 0;
            while let Some(start) = mask[next..].iter().position(|&is_in| is_in != 0) {
                let start = next + start;
                let rest = &mask[start..];
                let run = rest.iter().position(|&is_in| is_in == 0).unwrap_or(rest.len());
                let run = if joins { run } else { 1 };
                next = start + run;
                (starts[count], ends[count]) = (start as u32, next as u32);
                parents[count] = count as u32;
                count += 1;
            }
            firsts[row + 1] = count as u32;
            for beside in &beside {
                let is_there = |((&at, &step), &len): ((&u64, &i64), &u64)| {
                    at.checked_add_signed(step).is_some_and(|at| at < len)
                };
                if !at.iter().zip(&beside.outer).zip(outer).all(is_there) {
                    continue;
                }
                let there = row - beside.back;
                let theirs = firsts[there] as usize..firsts[there + 1] as usize;
                let low = beside.along.iter().copied().min().unwrap_or(0);
                let high = beside.along.iter().copied().max().unwrap_or(0);
                let mut from = theirs.start;
                for run in firsts[row] as usize..count {
                    let (start, end) = (i64::from(starts[run]), i64::from(ends[run]));
                    while from < theirs.end && i64::from(ends[from]) <= start + low {
                        from += 1;
                    }
                    let mut other = from;
                    while other < theirs.end && i64::from(starts[other]) < end + high {
                        let (first, last) = (i64::from(starts[other]), i64::from(ends[other]));
                        if beside.along.iter().any(|step| first < end + step && last > start + step)
                        {
                            join(parents, run as u32, other as u32);
                        }
                        other += 1;
                    }
                }
            }
        }
        // A run's parent comes before it, and has its number already.
        let mut number = 0;
        for run in 0..count {
            let parent = parents[run] as usize;
            parents[run] = match parent == run {
                true => {
                    number += 1;
                    number
                }
                false => parents[parent],
            };
        }
        out.fill(0);
        for (row, out) in out.chunks_exact_mut(len).enumerate() {
            for run in firsts[row] as usize..firsts[row + 1] as usize {
                out[starts[run] as usize..ends[run] as usize].fill(parents[run] as i32);
            }
        }
        Ok(())
    }
}

/// The first and the last plane of a block along an axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faces {
    pub(super) axis: usize,
}

impl BlockKernel for Faces {
    fn name(&self) -> Cow<'static, str> {
        "faces".into()
    }

    fn params(&self) -> Vec<Scalar> {
        vec![Scalar::U64(self.axis as u64)]
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
        let [input] = exactly(inputs, "faces")?;
        let mut plane = Region::whole(input.shape());
        plane.shape[self.axis] = 1;
        for (to, from) in [0, input.shape()[self.axis] - 1].into_iter().enumerate() {
            let (mut source, mut target) = (plane.clone(), plane.clone());
            (source.start[self.axis], target.start[self.axis]) = (from, to as u64);
            out.sub(&target).assign(&input.sub(&source));
        }
        Ok(())
    }
}

/// How many regions begin in each row of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count;

impl BlockKernel for Count {
    fn name(&self) -> Cow<'static, str> {
        "count".into()
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
        let [input] = exactly(inputs, "count")?;
        let labels = input.as_slice::<i32>().ok_or("labels do not lie in one run")?;
        let out = out.as_slice::<i32>().ok_or("counts are no int32")?;
        let mut seen = 0;
        let len = labels.len() / out.len().max(1);
        for (out, row) in out.iter_mut().zip(labels.chunks_exact(len.max(1))) {
            let most = row.iter().fold(seen, |most, &label| most.max(label));
            *out = most - seen;
            seen = most;
        }
        Ok(())
    }
}
