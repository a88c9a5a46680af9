//! The calls below some values, inputs first: what is walked when they are computed.

use super::{Take, Task, Work};
use crate::{
    error::{Error, ErrorKind, Result},
    expr::Expr,
};
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// Addresses are spread by one multiplication: there are millions of them, and no one
/// chooses them to collide.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0 ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
}

/// The tasks below some roots: each once, inputs first.
#[derive(Debug)]
pub(crate) struct Order {
    tasks: Vec<Task>,
    /// The numbers of all inputs, task after task.
    inputs: Vec<u32>,
    /// Where the inputs of each task begin, and where the last end.
    starts: Vec<u32>,
    roots: Vec<u32>,
}

impl Order {
    /// All that `roots` need.
    ///
    /// # Errors
    /// The first mistake made in any of them.
    pub fn below(roots: &[Task]) -> Result<Order> {
        let mut this =
            Order { tasks: Vec::new(), inputs: Vec::new(), starts: vec![0], roots: Vec::new() };
        let mut numbers: HashMap<usize, u32, BuildHasherDefault<Spread>> = HashMap::default();
        let mut stack: Vec<(&Task, usize)> = Vec::new();
        for root in roots {
            stack.push((root, 0));
            while let Some((task, next)) = stack.pop() {
                if numbers.contains_key(&task.address()) {
                    continue;
                }
                if let Some(input) = task.inputs().get(next) {
                    stack.push((task, next + 1));
                    stack.push((input, 0));
                    continue;
                }
                task.check()?;
                let number = u32::try_from(this.tasks.len());
                let number = number.map_err(|_| {
                    Error::new(ErrorKind::Expression, "a graph of more than 2^32 calls")
                })?;
                numbers.insert(task.address(), number);
                this.tasks.push(task.clone());
                this.inputs.extend(task.inputs().iter().map(|input| numbers[&input.address()]));
                let end = u32::try_from(this.inputs.len());
                this.starts.push(end.map_err(|_| {
                    Error::new(ErrorKind::Expression, "a graph of more than 2^32 arguments")
                })?);
            }
            this.roots.push(numbers[&root.address()]);
        }
        Ok(this)
    }

    /// The tasks by their numbers.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The numbers of the roots.
    pub fn roots(&self) -> &[u32] {
        &self.roots
    }

    /// The numbers of all inputs, task after task: once for each time that a task is one.
    pub fn inputs(&self) -> &[u32] {
        &self.inputs
    }

    /// The numbers of a task's inputs.
    pub fn inputs_of(&self, task: u32) -> &[u32] {
        let (from, to) = (self.starts[task as usize], self.starts[task as usize + 1]);
        &self.inputs[from as usize..to as usize]
    }

    /// The tasks that are arrays: the number, the array, and what makes the value of it.
    pub fn arrays(&self) -> impl Iterator<Item = (u32, &Expr, &Take)> {
        let array = |(number, task)| match Task::work(task) {
            Work::Array(expr, take) => Some((number, expr, &**take)),
            _ => None,
        };
        (0..).zip(&self.tasks).filter_map(array)
    }
}
