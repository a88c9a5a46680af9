//! Regions across blocks: which are one, and their numbers.

use super::{
    super::{carve, carved},
    Blocks, Steps, linear,
    scan::root,
};
use crate::kernel::{BlockCx, BlockKernel, exactly};
use freeboard_formats::{
    ChunkMut, ChunkView, Dims, Region, Scalar,
    region::{Coordinates, volume},
};
use std::{borrow::Cow, sync::Arc};

/// Makes the table of all faces and rows.
#[derive(Clone, Debug)]
pub(super) struct Merge {
    pub(super) blocks: Arc<Blocks>,
    pub(super) steps: Steps,
}

/// What a region of a block is to the region of the array that it is a part of: it owns the
/// number, or has another's.
const GUEST: u32 = u32::MAX;

/// The elements of faces as nodes of a union–find. A node's key is where its region of a block
/// begins: the row, and then the number within the block.
struct Nodes<'a> {
    labels: &'a mut [i32],
    rows: &'a mut [u32],
    parents: &'a mut [u32],
}

impl Nodes<'_> {
    fn key(&self, node: u32) -> (u32, i32) {
        (self.rows[node as usize], self.labels[node as usize])
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (root(self.parents, a), root(self.parents, b));
        let (first, other) = if self.key(a) <= self.key(b) { (a, b) } else { (b, a) };
        self.parents[other as usize] = first;
    }

    /// Whether a node's region of a block owns the region of the array.
    fn owns(&mut self, node: u32) -> bool {
        let first = root(self.parents, node);
        self.key(first) == self.key(node)
    }
}

impl Merge {
    /// The most regions of a block, and one more.
    fn most(&self) -> usize {
        volume(&self.blocks.grid.max_chunk()) as usize + 1
    }

    fn nodes(&self) -> usize {
        self.blocks.len - 1 - self.blocks.rows
    }

    fn each_block(&self) -> impl Iterator<Item = Dims> + use<> {
        Coordinates::of(Region::whole(&self.blocks.grid.counts()))
    }

    /// Joins what meets between blocks.
    fn join(&self, nodes: &mut Nodes<'_>) {
        let first = 1 + self.blocks.rows;
        for &(axis, base) in &self.blocks.split {
            let shape = self.blocks.faced(axis).shape();
            let steps: Vec<&Vec<i64>> =
                self.steps.0.iter().filter(|step| step[axis] == 1).collect();
            for cut in 1..shape[axis] / 2 {
                let mut plane = Region::whole(&shape);
                (plane.start[axis], plane.shape[axis]) = (2 * cut - 1, 1);
                for at in Coordinates::of(plane) {
                    let node = base - first + linear(&at, &shape);
                    if nodes.labels[node] == 0 {
                        continue;
                    }
                    for step in &steps {
                        let beside =
                            at.iter().zip(*step).zip(&shape).map(|((&at, &step), &len)| {
                                at.checked_add_signed(step).filter(|&at| at < len)
                            });
                        let Some(beside) = beside.collect::<Option<Dims>>() else { continue };
                        let other = base - first + linear(&beside, &shape);
                        if nodes.labels[other] != 0 {
                            nodes.join(node as u32, other as u32);
                        }
                    }
                }
            }
        }
    }
}

impl BlockKernel for Merge {
    fn name(&self) -> Cow<'static, str> {
        "merge".into()
    }

    fn params(&self) -> Vec<Scalar> {
        let steps = self.steps.0.iter().flatten().map(|&step| Scalar::I64(step));
        let cuts = self.blocks.grid.axes().iter().flat_map(|axis| axis.boundaries());
        steps.chain(cuts.map(Scalar::U64)).collect()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, _: &[Region], _: &Region) -> u64 {
        let nodes = carved::<u32>(self.nodes()).saturating_mul(3);
        nodes.saturating_add(carved::<u32>(self.most()).saturating_mul(2))
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        mut scratch: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let blocks = &*self.blocks;
        let (first, count) = (1 + blocks.rows, self.nodes());
        let [counts, faces @ ..] = inputs else { return Err("merge of nothing".into()) };
        let table = out.as_slice::<i32>().ok_or("the table is no int32")?;
        let mut nodes = Nodes {
            labels: carve(&mut scratch, count),
            rows: carve(&mut scratch, count),
            parents: carve(&mut scratch, count),
        };
        let states = carve::<u32>(&mut scratch, self.most());
        let begins = carve::<u32>(&mut scratch, self.most());
        counts.copy_run(0, bytemuck::cast_slice_mut(&mut table[1..first]));
        for (face, &(_, base)) in faces.iter().zip(&blocks.split) {
            let to = &mut nodes.labels[base - first..][..face.len()];
            face.copy_run(0, bytemuck::cast_slice_mut(to));
        }
        // The nodes of a region of a block are one set from the start.
        for index in self.each_block() {
            let mut last = 0;
            for row in blocks.rows_of(&index) {
                let begun = table[1 + row] as usize;
                begins[last + 1..=last + begun].fill(row as u32);
                last += begun;
            }
            states[..=last].fill(GUEST);
            blocks.faces_of(&index, |place, _| {
                let node = place - first;
                let label = nodes.labels[node] as usize;
                if label > 0 {
                    let of = &mut states[label];
                    *of = if *of == GUEST { node as u32 } else { *of };
                    (nodes.parents[node], nodes.rows[node]) = (*of, begins[label]);
                }
            });
        }
        self.join(&mut nodes);
        // Regions begin where their owners do; the others are taken off their rows, and the rows
        // summed up. What a block had is kept in `total` until then, row by row.
        let own = &mut table[first..];
        own.fill(0);
        for index in self.each_block() {
            let last: usize = blocks.rows_of(&index).map(|row| counts_at(counts, row)).sum();
            states[..=last].fill(0);
            blocks.faces_of(&index, |place, _| {
                let node = place - first;
                let label = nodes.labels[node] as usize;
                if label > 0 && states[label] == 0 && !nodes.owns(node as u32) {
                    states[label] = GUEST;
                    table[1 + nodes.rows[node] as usize] -= 1;
                }
            });
        }
        let mut total = 0i32;
        for row in &mut table[1..first] {
            let before = total;
            total = total.checked_add(*row).ok_or("more regions than an int32 can number")?;
            *row = before;
        }
        table[0] = total;
        for index in self.each_block() {
            let last: usize = blocks.rows_of(&index).map(|row| counts_at(counts, row)).sum();
            states[..=last].fill(0);
            blocks.faces_of(&index, |place, _| {
                let node = place - first;
                let label = nodes.labels[node] as usize;
                if label > 0 && !nodes.owns(node as u32) {
                    states[label] = GUEST;
                }
            });
            let mut label = 0;
            for row in blocks.rows_of(&index) {
                let mut number = table[1 + row] as u32;
                for _ in 0..counts_at(counts, row) {
                    label += 1;
                    if states[label] != GUEST {
                        number += 1;
                        states[label] = number;
                    }
                }
            }
            blocks.faces_of(&index, |place, _| {
                let label = nodes.labels[place - first] as usize;
                if label > 0 && states[label] != GUEST {
                    table[place] = states[label] as i32;
                }
            });
        }
        for node in 0..count {
            if nodes.labels[node] > 0 && !nodes.owns(node as u32) {
                table[first + node] = -table[first + root(nodes.parents, node as u32) as usize];
            }
        }
        Ok(())
    }
}

/// How many regions begin in a row, within its block.
fn counts_at(counts: &ChunkView<'_>, row: usize) -> usize {
    let mut count = [0i32];
    counts.copy_run(row, bytemuck::cast_slice_mut(&mut count));
    count[0] as usize
}

/// Numbers the regions of a block by the table.
#[derive(Clone, Debug)]
pub(super) struct Number {
    pub(super) blocks: Arc<Blocks>,
}

impl BlockKernel for Number {
    fn name(&self) -> Cow<'static, str> {
        "number".into()
    }

    fn params(&self) -> Vec<Scalar> {
        let cuts = self.blocks.grid.axes().iter().flat_map(|axis| axis.boundaries());
        cuts.map(Scalar::U64).collect()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, _: &[Region], output: &Region) -> u64 {
        carved::<i32>(output.volume() as usize + 1)
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        mut scratch: &mut [u8],
        cx: &BlockCx,
    ) -> Result<(), String> {
        let [labels, table] = exactly(inputs, "numbers")?;
        let labels = labels.as_slice::<i32>().ok_or("labels do not lie in one run")?;
        let table = table.as_slice::<i32>().ok_or("the table does not lie in one run")?;
        let out = out.as_slice::<i32>().ok_or("numbers are no int32")?;
        let numbers = carve::<i32>(&mut scratch, labels.len() + 1);
        numbers.fill(0);
        let shape = &cx.region.shape;
        self.blocks.faces_of(&cx.index, |place, at| {
            numbers[labels[linear(at, shape)] as usize] = table[place];
        });
        numbers[0] = 0;
        let len = shape.last().map_or(1, |&len| len as usize).max(1);
        let mut seen = 0;
        let rows = self.blocks.rows_of(&cx.index);
        for (row, (out, labels)) in
            rows.zip(out.chunks_exact_mut(len).zip(labels.chunks_exact(len)))
        {
            let mut next = table[1 + row];
            for (out, &label) in out.iter_mut().zip(labels) {
                let number = &mut numbers[label as usize];
                if label > seen {
                    seen = label;
                    match *number < 0 {
                        true => *number = -*number,
                        false => {
                            next += 1;
                            *number = next;
                        }
                    }
                }
                *out = *number;
            }
        }
        Ok(())
    }
}
