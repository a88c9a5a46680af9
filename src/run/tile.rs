//! Fused work, a tile at a time: the inner loop of everything elementwise.
//!
//! A block is walked in C order in tiles of up to [`SEGMENT`] elements: as many whole rows
//! of the last axis as fit, or, of longer rows, stretches of a row. How a block is cut into
//! tiles depends on its shape alone, for folds are handed tiles and their bits depend on them.

use crate::{
    kernel::{Operand, SEGMENT},
    plan::{Program, Value},
};
use freeboard_formats::{ChunkView, Scalar, region::volume};
use smallvec::SmallVec;

/// Cuts a block of `shape` into tiles: (first element, number of elements), in C order.
pub(super) fn tiles(shape: &[u64]) -> impl Iterator<Item = (usize, usize)> {
    let count = volume(shape) as usize;
    let row = shape.last().map_or(1, |&len| len as usize).max(1);
    let rows = (SEGMENT / row).max(1);
    let mut at = 0;
    std::iter::from_fn(move || {
        let len = match row <= SEGMENT {
            true => (rows * row).min(count - at),
            false => SEGMENT.min(row - at % row).min(count - at),
        };
        at += len;
        (len > 0).then_some((at - len, len))
    })
}

/// An input, by how its elements lie.
enum Fed<'a> {
    Run(&'a [u8], usize),
    One(&'a [u8]),
    Strided(ChunkView<'a>),
}

/// A program at work on one block.
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
    /// `inputs` are the program's, of the shape of the block; `scratch` has room for its
    /// registers and one for each input.
    pub fn new(
        program: &'a Program,
        inputs: impl IntoIterator<Item = ChunkView<'a>>,
        count: usize,
        mut scratch: &'a mut [u8],
    ) -> Evaluator<'a> {
        let fed: SmallVec<[Fed<'a>; 4]> = inputs
            .into_iter()
            .map(|view| {
                if let Some(bytes) = view.as_bytes() {
                    return Fed::Run(bytes, view.dtype().size());
                }
                let one =
                    view.shape().iter().zip(view.strides()).all(|(&len, &s)| len == 1 || s == 0);
                match one {
                    true => {
                        let first = view.sub(&freeboard_formats::Region {
                            start: view.shape().iter().map(|_| 0).collect(),
                            shape: view.shape().iter().map(|_| 1).collect(),
                        });
                        Fed::One(first.as_bytes().expect("one element"))
                    }
                    false => Fed::Strided(view),
                }
            })
            .collect();
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

    /// Computes the program's one output for a block of `shape` into `out`, in C order.
    pub fn run(mut self, shape: &[u64], out: &mut [u8]) {
        let (value, dtype) = self.program.outputs[0];
        let size = dtype.size();
        // The value that the last step makes is made where it belongs.
        let made_last = match (value, self.program.steps.last()) {
            (Value::Register(at), Some(step)) => step.to == at,
            _ => false,
        };
        for (start, len) in tiles(shape) {
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

    /// Computes the program's outputs tile by tile, and hands each output's elements to
    /// `each`: (number of the output, first element, elements).
    pub fn for_each_tile(mut self, shape: &[u64], mut each: impl FnMut(usize, usize, &[u8])) {
        for (start, len) in tiles(shape) {
            self.evaluate(start, len, None);
            for (number, &(value, dtype)) in self.program.outputs.iter().enumerate() {
                match self.operand(value, start, len, dtype.size()) {
                    Operand::Run(run) => each(number, start, run),
                    Operand::One(one) => {
                        // The same everywhere: a tile of it, in words so that it is aligned.
                        let mut tile = [0u64; SEGMENT];
                        let bytes = &mut bytemuck::cast_slice_mut(&mut tile)[..len * dtype.size()];
                        bytes.chunks_exact_mut(dtype.size()).for_each(|e| e.copy_from_slice(one));
                        each(number, start, bytes);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_a_block_once() {
        for shape in [&[][..], &[5], &[3, 5000], &[100, 60, 3], &[0, 4], &[2, 9000]] {
            let mut next = 0;
            for (start, len) in tiles(shape) {
                assert_eq!(start, next);
                assert!(len > 0 && len <= SEGMENT);
                next += len;
            }
            assert_eq!(next as u64, volume(shape));
        }
        assert_eq!(tiles(&[100, 60, 3]).next(), Some((0, 4095)));
        assert_eq!(
            tiles(&[3, 5000]).map(|(_, len)| len).collect::<Vec<_>>(),
            [4096, 904].repeat(3)
        );
    }
}
