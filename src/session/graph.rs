//! Arrays and delayed values that are computed together: first all arrays, in one plan; then
//! the functions, some of which are called with them.

use super::{Session, turns::Turn};
use crate::{
    array::{AnyVec, Computed, Root},
    delayed::{Order, UNDECLARED, Value},
    error::{Error, Result},
    expr::Expr,
    run,
    sync::lock,
};
use std::sync::Arc;

/// The elements of an array, and its shape.
pub(super) type Elements = (AnyVec, Vec<u64>);

/// What is computed for some roots.
pub(super) struct Graph {
    /// The arrays: those of the roots, then those that tasks are made of.
    pub exprs: Vec<Expr>,
    /// The roots that are tasks, and all below them.
    calls: Order,
    /// Of each root, whether it is an array.
    is_array: Vec<bool>,
}

impl Graph {
    /// What is below `roots`.
    ///
    /// # Errors
    /// The first mistake made in a delayed value.
    pub fn of(roots: Vec<Root>) -> Result<Graph> {
        let (mut exprs, mut tasks, mut is_array) = (Vec::new(), Vec::new(), Vec::new());
        for root in roots {
            is_array.push(matches!(root, Root::Array(_)));
            match root {
                Root::Array(expr) => exprs.push(expr),
                Root::Task(task) => tasks.push(task),
            }
        }
        let calls = Order::below(&tasks)?;
        exprs.extend(calls.arrays().map(|(_, expr, _)| expr.clone()));
        Ok(Graph { exprs, calls, is_array })
    }
}

impl Session {
    /// The results of all roots, from the elements of all arrays.
    pub(super) fn finish(&self, graph: &Graph, mut arrays: Vec<Elements>) -> Result<Vec<Computed>> {
        let own = graph.is_array.iter().filter(|&&is_array| is_array).count();
        let below = arrays.split_off(own);
        let values = match graph.calls.tasks().is_empty() {
            true => Vec::new(),
            false => self.call(&graph.calls, below)?,
        };
        let (mut arrays, mut values) = (arrays.into_iter(), values.into_iter());
        let mut results = Vec::with_capacity(graph.is_array.len());
        for &is_array in &graph.is_array {
            let result = match is_array {
                true => arrays.next().map(|(values, shape)| Computed::Elements(values, shape)),
                false => values.next().map(Computed::Value),
            };
            results.push(result.ok_or_else(|| Error::internal("a result for every root"))?);
        }
        Ok(results)
    }

    /// Calls the functions of `calls`, some of them with `arrays`. Runs of functions alone go on beside each other: what they
    /// hold is admitted together.
    fn call(&self, calls: &Order, arrays: Vec<Elements>) -> Result<Vec<Value>> {
        let mut given = Vec::with_capacity(arrays.len());
        for ((number, _, take), (values, shape)) in calls.arrays().zip(arrays) {
            given.push((number, take(values, &shape)?));
        }
        run::refuse_inside_task()?;
        let cancel = lock(&self.cancel).clone();
        let _turn = Turn::beside(Arc::as_ptr(&self.admission) as usize);
        // What functions allocate is beside the arena: its idle bytes go, and kept arrays make room.
        let declared = calls.tasks().iter().map(|task| task.declared().unwrap_or(UNDECLARED));
        let arena = self.memory.saturating_sub(self.beside());
        self.make_room(declared.max().unwrap_or(0), arena)?;
        self.arena.trim();
        let engine = self.engine(arena.saturating_sub(self.arena.live()), &cancel);
        run::call(calls, &engine, given)
    }
}
