//! Fused elementwise work: a straight line of kernels over registers.
//!
//! A program computes the elements of a block from its inputs. It is run a tile at a time,
//! so its registers are tiles that stay in cache; how many there are at once is settled
//! here, by the last use of each value.

use crate::kernel::Elementwise;
use freeboard_formats::{DType, Scalar};
use smallvec::SmallVec;
use std::sync::Arc;

/// Where a kernel finds an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// In an input, by its number in [`Program::inputs`].
    Input(u32),
    /// Among the constants.
    Constant(u32),
    /// In a register.
    Register(u32),
}

/// One kernel.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub kernel: Arc<dyn Elementwise>,
    pub arguments: SmallVec<[Value; 3]>,
    /// The register that takes the result; none of the arguments lies there.
    pub to: u32,
}

/// A straight line of kernels.
#[derive(Debug, Default)]
pub(crate) struct Program {
    /// The numbers, among the stage's inputs, of those that are used here.
    pub inputs: Vec<usize>,
    pub constants: Vec<Scalar>,
    pub steps: Vec<Step>,
    /// The values that are wanted, with their dtypes.
    pub outputs: Vec<(Value, DType)>,
    /// The number of registers.
    pub registers: u32,
}

impl Program {
    /// The one input that the program does nothing but copy, if so.
    pub fn copied_input(&self) -> Option<usize> {
        match (&self.steps[..], &self.outputs[..]) {
            ([], [(Value::Input(input), _)]) => Some(self.inputs[*input as usize]),
            _ => None,
        }
    }

    /// The names of the kernels, for plans.
    pub fn names(&self) -> String {
        let mut names: Vec<String> = Vec::new();
        for step in &self.steps {
            let name = step.kernel.name();
            if names.last().is_none_or(|last| *last != name) {
                names.push(name.into_owned());
            }
            if names.len() > 4 {
                names[4] = "…".into();
                break;
            }
        }
        names.join(", ")
    }

    /// Gives each step a register that no value still wanted lies in. Steps come with one
    /// register each, numbered as they are.
    pub fn allocate(&mut self) {
        let mut last_use = vec![0usize; self.steps.len()];
        for (at, step) in self.steps.iter().enumerate() {
            for argument in &step.arguments {
                if let Value::Register(value) = argument {
                    last_use[*value as usize] = at;
                }
            }
        }
        for (value, _) in &self.outputs {
            if let Value::Register(value) = value {
                last_use[*value as usize] = usize::MAX;
            }
        }
        let mut place = vec![0u32; self.steps.len()];
        let mut free: Vec<u32> = Vec::new();
        self.registers = 0;
        for (at, step) in self.steps.iter_mut().enumerate() {
            let to = free.pop().unwrap_or_else(|| {
                self.registers += 1;
                self.registers - 1
            });
            place[at] = to;
            // Freed after the result has its place: a kernel does not write where it reads.
            let mut freed: SmallVec<[u32; 3]> = SmallVec::new();
            for argument in &mut step.arguments {
                if let Value::Register(value) = *argument {
                    let value = value as usize;
                    if last_use[value] == at && !freed.contains(&place[value]) {
                        freed.push(place[value]);
                    }
                    *argument = Value::Register(place[value]);
                }
            }
            free.extend(freed);
            step.to = to;
        }
        for (value, _) in &mut self.outputs {
            if let Value::Register(value) = value {
                *value = place[*value as usize];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Unary, unary};

    #[test]
    fn a_chain_takes_two_registers() {
        let kernel = unary(Unary::Negative, DType::F64);
        let steps = (0..100u32).map(|i| Step {
            kernel: kernel.clone(),
            arguments: [if i == 0 { Value::Input(0) } else { Value::Register(i - 1) }]
                .into_iter()
                .collect(),
            to: i,
        });
        let mut program = Program {
            inputs: vec![0],
            steps: steps.collect(),
            outputs: vec![(Value::Register(99), DType::F64)],
            ..Program::default()
        };
        program.allocate();
        assert_eq!(program.registers, 2);
        for step in &program.steps {
            assert!(!step.arguments.contains(&Value::Register(step.to)));
        }
    }
}
