//! Runs whose workers are simulated: the schedule is asked and told as `run` does it, on a clock that the test
//! moves. So what many threads make of the order can be seen again, step by step, without chance.

use super::*;
use crate::run::schedule::{Job, Schedule};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// What a simulated run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Simulated {
    /// Chunks.
    pub spilled: u64,
    pub dropped: u64,
    /// How long it took.
    pub ended: u64,
    /// Bytes of the arena that records took.
    pub records: u64,
}

/// Carries out the plan for some roots with simulated workers. Each job takes 100, and up to `uneven` more, as chance
/// has it.
pub(super) fn simulated(wanted: &[Wanted], how: How, uneven: u64) -> Simulated {
    simulated_if_it_fits(wanted, how, uneven).expect("it goes on")
}

/// [`simulated`], of what may not be able to go on.
pub(super) fn simulated_if_it_fits(wanted: &[Wanted], how: How, uneven: u64) -> Result<Simulated> {
    let plan = Plan::fitting(wanted, how.means(), 0).expect("it fits");
    let done = plan.roots.iter().map(|_| None).collect();
    let mut schedule = Schedule::new(&plan, how.memory, how.threads, how.eviction, done);
    let mut deques = vec![VecDeque::new(); how.threads];
    let mut working: Vec<Option<Job>> = vec![None; how.threads];
    let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut chance = uneven;
    let mut takes = || {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        100 + (chance >> 40) % (uneven + 1)
    };
    let mut out = Simulated::default();
    let mut freed = Vec::new();
    loop {
        for worker in 0..how.threads {
            if working[worker].is_some() {
                continue;
            }
            // Up to two jobs of its own, the first of which it takes; or another's first.
            let mut jobs = Vec::new();
            let most = 2usize.saturating_sub(deques[worker].len());
            schedule.next(most, &mut jobs, &mut freed)?;
            schedule.check();
            deques[worker].extend(jobs);
            let job = (0..how.threads)
                .map(|at| (worker + at) % how.threads)
                .find_map(|at| deques[at].pop_front());
            if let Some(job) = job {
                working[worker] = Some(job);
                ends.push(Reverse((out.ended + takes(), worker)));
            }
        }
        let Some(Reverse((now, worker))) = ends.pop() else { break };
        out.ended = now;
        match working[worker].take().expect("it works") {
            Job::Run(batch) => schedule.finished(batch, &mut freed),
            Job::Remake(batch) => {
                let port = plan.stages[batch.stage as usize].ports[0];
                schedule.returned(crate::plan::Key { port, index: batch.index });
            }
            Job::Spill(key) => {
                schedule.spilled(key, &mut freed);
            }
            Job::Load(key) => schedule.returned(key),
        }
        schedule.check();
    }
    assert!(schedule.is_done());
    let counts = schedule.counts();
    let records = schedule.records();
    Ok(Simulated { spilled: counts.spilled, dropped: counts.dropped, records, ..out })
}
