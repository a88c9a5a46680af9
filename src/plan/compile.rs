//! Programs from nodes: the elementwise part of lowering.

use super::{
    lower::Lowering,
    program::{Program, Step, Value},
    stage::{Feed, Input},
};
use crate::expr::{Access, Op};
use std::{collections::HashMap, sync::Arc};

impl Lowering<'_> {
    /// The node below views and rechunks, and the access to it.
    pub(super) fn below_views(&self, mut node: usize, mut access: Access) -> (usize, Access) {
        loop {
            match self.nodes[node].expr.op() {
                Op::View(view) => access = view.then(&access),
                Op::Rechunk => {}
                _ => return (node, access),
            }
            node = self.nodes[node].inputs[0];
        }
    }

    /// The feed of a node with elements of its own; of a constant, a source that repeats it.
    pub(super) fn feed_or_constant(&self, node: usize) -> Feed {
        match self.nodes[node].expr.op() {
            Op::Constant(value) => Feed::Source(Arc::new(super::repeat::Repeated::new(
                *value,
                self.meta(node).grid.clone(),
            ))),
            _ => self.feeds[&node].clone(),
        }
    }

    /// The program of a made elementwise node, which is not taken from its own port.
    pub(super) fn compile_node(&self, number: usize, inputs: &mut Vec<Input>) -> Program {
        let access = Access::identity(self.rank(number));
        self.compile_targets(&[(number, access)], inputs, Some(number))
    }

    pub(super) fn compile(&self, targets: &[(usize, Access)], inputs: &mut Vec<Input>) -> Program {
        self.compile_targets(targets, inputs, None)
    }

    fn compile_targets(
        &self,
        targets: &[(usize, Access)],
        inputs: &mut Vec<Input>,
        own: Option<usize>,
    ) -> Program {
        let mut program = Program::default();
        let mut done: HashMap<usize, Value> = HashMap::new();
        for (target, access) in targets {
            let value = self.compile_value(*target, access, inputs, own, &mut program, &mut done);
            program.outputs.push((value, self.meta(*target).dtype));
        }
        program.allocate();
        program
    }

    fn compile_value(
        &self,
        target: usize,
        access: &Access,
        inputs: &mut Vec<Input>,
        own: Option<usize>,
        program: &mut Program,
        done: &mut HashMap<usize, Value>,
    ) -> Value {
        // An elementwise node's access is the same on every path to it (else it has a stage),
        // so its value is known by its number alone.
        let (node, access) = self.below_views(target, access.clone());
        let mut stack: Vec<(usize, Access, usize)> = vec![(node, access, 0)];
        let mut values: Vec<Value> = Vec::new();
        while let Some((node, access, next)) = stack.pop() {
            let inline = matches!(self.nodes[node].expr.op(), Op::Apply(_))
                && (!self.made[node] || own == Some(node));
            if !inline {
                values.push(match self.nodes[node].expr.op() {
                    Op::Constant(value) => {
                        program.constants.push(*value);
                        Value::Constant(program.constants.len() as u32 - 1)
                    }
                    _ => self.input_value(node, access, inputs, program),
                });
                continue;
            }
            if let Some(&value) = done.get(&node) {
                values.push(value);
                continue;
            }
            let below = &self.nodes[node].inputs;
            if next < below.len() {
                let (input, input_access) = self.below_views(below[next], access.clone());
                stack.push((node, access, next + 1));
                stack.push((input, input_access, 0));
                continue;
            }
            let Op::Apply(kernel) = self.nodes[node].expr.op() else { unreachable!("inline") };
            let arguments = values.drain(values.len() - below.len()..).collect();
            let to = program.steps.len() as u32;
            program.steps.push(Step { kernel: kernel.clone(), arguments, to });
            done.insert(node, Value::Register(to));
            values.push(Value::Register(to));
        }
        values.pop().expect("the target's value")
    }

    fn input_value(
        &self,
        node: usize,
        access: Access,
        inputs: &mut Vec<Input>,
        program: &mut Program,
    ) -> Value {
        let feed = self.feed_or_constant(node);
        let same = |input: &Input| {
            input.access == access
                && match (&input.feed, &feed) {
                    (Feed::Port(a), Feed::Port(b)) => a == b,
                    (Feed::Source(a), Feed::Source(b)) => Arc::ptr_eq(a, b),
                    _ => false,
                }
        };
        let number =
            program.inputs.iter().copied().find(|&i| same(&inputs[i])).unwrap_or_else(|| {
                inputs.push(Input {
                    feed: feed.clone(),
                    access: access.clone(),
                    dtype: self.meta(node).dtype,
                });
                inputs.len() - 1
            });
        let at = program.inputs.iter().position(|&i| i == number).unwrap_or_else(|| {
            program.inputs.push(number);
            program.inputs.len() - 1
        });
        Value::Input(at as u32)
    }
}
