//! w10: what a task costs. Graphs of many tiny tasks, with nothing to read.

use crate::context::{Context, Outcome, Result};
use freeboard::{
    Array, Delay, Delayed, Session,
    array::{Compute, arange, random},
    s,
};
use std::time::Instant;

/// What the peers reduce with: sums of so many, until one is left.
const FAN_IN: u64 = 16;

/// `--tasks` increments of one element each, then their sum as a tree.
pub(crate) fn tree(cx: &Context) -> Result<Outcome> {
    let tasks = cx.tasks();
    let start = Instant::now();
    // Elementwise operations stay tasks of their own, as they are with the peers.
    let session = cx.session_with(false)?;
    let ones = arange(0, tasks as i64, 1).rechunk([1]);
    let total = (ones + 1i64).sum(..).item();
    let sum = session.compute(&total)?;
    let outcome = Outcome::since(start).number("total", sum as f64);
    per_task(outcome, tasks + sums(tasks), &session, &total)
}

/// The same graph of functions that are called later.
pub(crate) fn delayed(cx: &Context) -> Result<Outcome> {
    let tasks = cx.tasks();
    let start = Instant::now();
    let session = cx.session_with(false)?;
    let mut level: Vec<Delayed<i64>> =
        (0..tasks as i64).map(|i| (|x: i64| x + 1).delay((i,))).collect();
    while level.len() > 1 {
        let sum = |values: Vec<i64>| values.into_iter().sum::<i64>();
        level = level.chunks(FAN_IN as usize).map(|values| sum.delay((values,))).collect();
    }
    let total = session.compute(&level[0])?;
    let outcome = Outcome::since(start).number("total", total as f64);
    let called = tasks + sums(tasks);
    let micros = 1e6 * outcome.seconds() / called as f64;
    Ok(outcome.extra("tasks", called).extra("us_per_task", (micros * 1000.0).round() / 1000.0))
}

/// How many sums of [`FAN_IN`] it takes until one of `tasks` values is left.
fn sums(tasks: u64) -> u64 {
    let (mut level, mut all) = (tasks, 0);
    while level > 1 {
        level = level.div_ceil(FAN_IN);
        all += level;
    }
    all
}

/// `(x + x.T)[::2, 50:].mean(axis=1)` of random chunks of 50 by 50.
pub(crate) fn array(cx: &Context) -> Result<Outcome> {
    let blocks = ((cx.tasks() as f64 / 5.0).sqrt().round() as i64).max(2);
    let start = Instant::now();
    let session = cx.session_with(false)?;
    let x: Array<f64> = random(1).uniform([50 * blocks, 50 * blocks]).rechunk([50, 50]);
    let y = (&x + x.t()).slice(s![..;2, 50..]).mean(1);
    let means = session.compute(&y)?;
    let mean = means.iter().sum::<f64>() / means.len() as f64;
    let outcome = Outcome::since(start)
        .number("mean", (mean * 100.0).round() / 100.0)
        .number("rows", means.len());
    let tasks = session.plan(&y)?.totals().tasks;
    per_task(outcome, tasks, &session, &y)
}

/// Adds the microseconds for each of `tasks`; beside, how many tasks the plan itself has.
fn per_task(
    outcome: Outcome,
    tasks: u64,
    session: &Session,
    what: impl Compute,
) -> Result<Outcome> {
    let micros = 1e6 * outcome.seconds() / tasks as f64;
    let planned = session.plan(what)?.totals().tasks;
    Ok(outcome
        .extra("tasks", tasks)
        .extra("us_per_task", (micros * 1000.0).round() / 1000.0)
        .extra("planned_tasks", planned))
}

#[cfg(test)]
mod tests {
    use super::sums;

    #[test]
    fn sums_of_sixteen() {
        assert_eq!((sums(1), sums(16), sums(17)), (0, 1, 3));
        assert_eq!(sums(100_000), 6250 + 391 + 25 + 2 + 1);
    }
}
