//! Fused work, a tile at a time: the inner loop of everything elementwise.
//!
//! A block is walked in C order, slab by slab (see `plan::bands`), and a slab in tiles of up to
//! [`SEGMENT`] elements: as many whole rows of the last axis as fit, or, of longer rows,
//! stretches of a row. How a block is cut into tiles depends on its shape alone, for folds are
//! handed tiles and their bits depend on them.

use crate::{
    kernel::{Operand, SEGMENT},
    plan::{Band, Program, Value, slab},
};
use freeboard_formats::{ChunkView, Scalar, region::volume};
use smallvec::SmallVec;
use std::ops::Range;

/// Cuts a block of `shape` into tiles: (first element, number of elements) of those in the stretch
/// `elements`, which is one of whole slabs, in C order.
pub(super) fn tiles(shape: &[u64], elements: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
    let slab = slab(shape);
    let outer = slab.iter().take_while(|&&len| len == 1).count();
    // Along the axis that slabs are cut along, the last one may be shorter.
    let (slab, end) = (volume(&slab) as usize, volume(&shape[outer..]) as usize);
    let row = shape.last().map_or(1, |&len| len as usize).max(1);
    let rows = (SEGMENT / row).max(1);
    let Range { start: mut at, end: last } = elements;
    std::iter::from_fn(move || {
        if at >= last {
            return None;
        }
        let in_slab = (slab - at % end % slab).min(end - at % end);
        let len = match row <= SEGMENT {
            true => (rows * row).min(in_slab),
            false => SEGMENT.min(row - at % row).min(in_slab),
        };
        at += len;
        Some((at - len, len))
    })
}

/// An input, by how its elements lie.
enum Fed<'a> {
    Run(&'a [u8], usize),
    One(&'a [u8]),
    Strided(&'a ChunkView<'a>),
}

/// A program at work on one band of a block.
pub(super) struct Evaluator<'a> {
    program: &'a Program,
    fed: SmallVec<[Fed<'a>; 4]>,
    /// As words, so that they are aligned.
    constants: SmallVec<[u64; 4]>,
    /// The program's registers, and behind them one for each input that is strided.
    registers: SmallVec<[&'a mut [u8]; 8]>,
}

/// Bytes of a register for a tile of a block with `count` elements.
pub(super) fn register_bytes(count: usize) -> usize {
    (SEGMENT.min(count) * 8).next_multiple_of(64)
}

impl<'a> Evaluator<'a> {
    /// `inputs` are the program's, of the shape of the band; `scratch` has room for its
    /// registers and one for each input, of a block of `count` elements.
    pub fn new(
        program: &'a Program,
        inputs: &'a [ChunkView<'a>],
        count: usize,
        mut scratch: &'a mut [u8],
    ) -> Evaluator<'a> {
        let mut fed = SmallVec::new();
        for view in inputs {
            let is_one = |(&len, &stride): (&u64, &isize)| len == 1 || stride == 0;
            fed.push(match view.as_bytes() {
                Some(bytes) => Fed::Run(bytes, view.dtype().size()),
                None if view.shape().iter().zip(view.strides()).all(is_one) => {
                    let first = view.sub(&freeboard_formats::Region {
                        start: view.shape().iter().map(|_| 0).collect(),
                        shape: view.shape().iter().map(|_| 1).collect(),
                    });
                    Fed::One(first.as_bytes().expect("one element"))
                }
                None => Fed::Strided(view),
            });
        }
        let width = register_bytes(count);
        let mut registers = SmallVec::new();
        let strided = fed.iter().filter(|fed| matches!(fed, Fed::Strided(_))).count();
        for _ in 0..program.registers as usize + strided {
            let (register, rest) = scratch.split_at_mut(width);
            registers.push(register);
            scratch = rest;
        }
        let constants =
            program.constants.iter().map(|c: &Scalar| u64::from_ne_bytes(c.bytes().0)).collect();
        Evaluator { program, fed, constants, registers }
    }

    /// Computes all values of the tile of `len` elements from number `start` on. The last
    /// step's result goes to `last` instead of its register, if given.
    fn evaluate(&mut self, start: usize, len: usize, mut last: Option<&mut [u8]>) {
        let mut free = self.program.registers as usize;
        for fed in &self.fed {
            if let Fed::Strided(view) = fed {
                let bytes = len * view.dtype().size();
                view.copy_run(start, &mut self.registers[free][..bytes]);
                free += 1;
            }
        }
        for (at, step) in self.program.steps.iter().enumerate() {
            let bytes = len * step.kernel.output().size();
            let is_last = at + 1 == self.program.steps.len();
            let own = std::mem::take(&mut self.registers[step.to as usize]);
            {
                let mut operands: SmallVec<[Operand<'_>; 3]> = SmallVec::new();
                for (&argument, dtype) in step.arguments.iter().zip(step.kernel.inputs()) {
                    operands.push(self.operand(argument, start, len, dtype.size()));
                }
                match &mut last {
                    Some(last) if is_last => step.kernel.run(&operands, last),
                    _ => step.kernel.run(&operands, &mut own[..bytes]),
                }
            }
            self.registers[step.to as usize] = own;
        }
    }

    fn operand(&self, value: Value, start: usize, len: usize, size: usize) -> Operand<'_> {
        match value {
            Value::Register(at) => Operand::Run(&self.registers[at as usize][..len * size]),
            Value::Constant(at) => {
                Operand::One(&bytemuck::bytes_of(&self.constants[at as usize])[..size])
            }
            Value::Input(at) => match &self.fed[at as usize] {
                Fed::Run(bytes, size) => Operand::Run(&bytes[start * size..(start + len) * size]),
                Fed::One(bytes) => Operand::One(bytes),
                Fed::Strided(_) => {
                    let before = self.fed[..at as usize].iter();
                    let strided = before.filter(|fed| matches!(fed, Fed::Strided(_))).count();
                    let register = self.program.registers as usize + strided;
                    Operand::Run(&self.registers[register][..len * size])
                }
            },
        }
    }

    /// Computes the program's one output for a band of a block of `shape` into `out`, in C order.
    pub fn run(mut self, shape: &[u64], band: &Band, out: &mut [u8]) {
        let (value, dtype) = self.program.outputs[0];
        let size = dtype.size();
        // The value that the last step makes is made where it belongs.
        let made_last = match (value, self.program.steps.last()) {
            (Value::Register(at), Some(step)) => step.to == at,
            _ => false,
        };
        for (start, len) in tiles(shape, band.elements.clone()) {
            let start = start - band.elements.start;
            let out = &mut out[start * size..(start + len) * size];
            if made_last {
                self.evaluate(start, len, Some(out));
                continue;
            }
            self.evaluate(start, len, None);
            match self.operand(value, start, len, size) {
                Operand::Run(run) => out.copy_from_slice(run),
                Operand::One(one) => {
                    out.chunks_exact_mut(size).for_each(|e| e.copy_from_slice(one))
                }
            }
        }
    }

    /// Computes the program's outputs for a band tile by tile, and hands each output's elements
    /// to `each`: (number of the output, first element, counted in the block, elements).
    pub fn for_each_tile(
        mut self,
        shape: &[u64],
        band: &Band,
        mut each: impl FnMut(usize, usize, &[u8]),
    ) {
        for (first, len) in tiles(shape, band.elements.clone()) {
            let start = first - band.elements.start;
            self.evaluate(start, len, None);
            for (number, &(value, dtype)) in self.program.outputs.iter().enumerate() {
                match self.operand(value, start, len, dtype.size()) {
                    Operand::Run(run) => each(number, first, run),
                    Operand::One(one) => {
                        // The same everywhere: a tile of it, in words so that it is aligned.
                        let mut tile = [0u64; SEGMENT];
                        let bytes = &mut bytemuck::cast_slice_mut(&mut tile)[..len * dtype.size()];
                        bytes.chunks_exact_mut(dtype.size()).for_each(|e| e.copy_from_slice(one));
                        each(number, first, bytes);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{band_of, bands};
    use proptest::prelude::*;

    fn all(shape: &[u64]) -> Vec<(usize, usize)> {
        tiles(shape, 0..volume(shape) as usize).collect()
    }

    fn lengths(shape: &[u64], elements: Range<usize>) -> Vec<usize> {
        tiles(shape, elements).map(|(_, len)| len).collect()
    }

    #[test]
    fn tiles_cover_a_block_once() {
        for shape in [&[][..], &[5], &[3, 5000], &[100, 60, 3], &[0, 4], &[2, 9000], &[5, 300, 301]]
        {
            let mut next = 0;
            for (start, len) in all(shape) {
                assert_eq!(start, next);
                assert!(len > 0 && len <= SEGMENT);
                next += len;
            }
            assert_eq!(next as u64, volume(shape));
        }
    }

    #[test]
    fn tiles_are_rows_or_stretches_of_them_cut_where_slabs_end() {
        assert_eq!(lengths(&[100, 60, 3], 0..18000), [4095, 4095, 4095, 4095, 1620]);
        assert_eq!(lengths(&[3, 5000], 0..15000), [4096, 904].repeat(3));
        // A slab of 52 rows: 17 tiles of 3 rows, and the last one.
        let slab = [&[3840; 17][..], &[1280]].concat();
        assert_eq!(lengths(&[500, 1280], 52 * 1280..156 * 1280), slab.repeat(2));
        // One of a frame's 219 rows, and one of the 81 that are left.
        let frame = [&[3900; 16][..], &[3300], &[3900; 6], &[900]].concat();
        assert_eq!(lengths(&[2, 300, 300], 0..180_000), frame.repeat(2));
        assert_eq!(lengths(&[70_000], 65_536..70_000), [4096, 368]);
    }

    proptest! {
        #[test]
        fn a_band_has_the_tiles_that_its_block_has_there(
            shape in proptest::collection::vec(1u64..500, 0..4), count in 0u64..8,
        ) {
            prop_assume!(volume(&shape) < 2_000_000);
            let band = band_of(&shape, count);
            let in_bands = bands(&shape, &band).flat_map(|band| tiles(&shape, band.elements));
            prop_assert_eq!(in_bands.collect::<Vec<_>>(), all(&shape));
        }
    }
}
