//! How the schedule scales past the cores at hand: simulated workers in virtual time.
//!
//! What a worker does under the lock is done for real, and takes the virtual time that it took
//! (or a fixed one); what a task does takes a given time. Everything else follows `run`: up to two
//! jobs in a worker's deque, stealing, sleeping, and one lock, which is had in the order in which
//! it is asked for.

use super::*;
use crate::{
    array::{Chunks, random},
    plan::{Batch, Key},
    run::schedule::{Job, Schedule},
};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap, VecDeque},
    time::Instant,
};

/// What handing the lock, and the cache lines behind it, to another core takes, in nanoseconds.
const HANDOVER: u64 = 150;
/// What it takes until a sleeping worker runs again.
const WAKING: u64 = 5_000;
/// A longer step is one that the operating system interrupted.
const INTERRUPTED: u64 = 100_000;

/// Memory for all.
const ARENA: u64 = 1 << 50;

/// What a step under the lock takes.
#[derive(Clone, Copy)]
enum Step {
    Measured,
    Fixed(u64),
}

/// What came of a simulation.
struct Simulated {
    batches: u64,
    /// The part of the workers' time that went into tasks.
    utilisation: f64,
    /// What a step under the lock took in the mean, in nanoseconds.
    step: f64,
}

/// The workers of a run of `plan`, in virtual nanoseconds.
struct Simulation<'p> {
    plan: &'p Plan,
    schedule: Schedule<'p>,
    /// Stands in for the store: which chunks there are.
    store: HashMap<Key, u64>,
    step: Step,
    deques: Vec<VecDeque<Batch>>,
    /// When which worker asks for the lock, and with which finished batch.
    asking: BinaryHeap<Reverse<(u64, usize, Option<Batch>)>>,
    sleeping: BTreeSet<usize>,
    free_at: u64,
    steps: u64,
    under_lock: u64,
}

impl<'p> Simulation<'p> {
    /// What a worker does under the lock, and what that takes.
    fn decide(&mut self, own: usize, finished: Option<Batch>) -> u64 {
        let start = Instant::now();
        let (mut jobs, mut freed) = (Vec::new(), Vec::new());
        if let Some(batch) = finished {
            for key in self.plan.made_by(batch) {
                self.store.insert(key, batch.index);
            }
            self.schedule.finished(batch, &mut freed);
        }
        if !self.schedule.is_done() {
            let most = 2usize.saturating_sub(self.deques[own].len());
            self.schedule.next(most, &mut jobs, &mut freed).expect("memory for all");
        }
        for key in freed {
            self.store.remove(&key);
        }
        for job in jobs {
            let Job::Run(batch) = job else { unreachable!("nothing is evicted: {job:?}") };
            for key in self.schedule.needs(batch) {
                assert!(self.store.contains_key(key), "{key:?} is not there for {batch:?}");
            }
            self.deques[own].push_back(batch);
        }
        let took = match self.step {
            Step::Measured => (start.elapsed().as_nanos() as u64).min(INTERRUPTED),
            Step::Fixed(took) => took,
        };
        self.steps += 1;
        self.under_lock += took;
        took
    }

    /// The next job of a worker: its own, or another's oldest.
    fn take(&mut self, own: usize) -> Option<Batch> {
        let workers = self.deques.len();
        (own..workers).chain(0..own).find_map(|other| self.deques[other].pop_front())
    }
}

/// Runs `plan` on so many workers, each batch of which takes `task` nanoseconds.
fn simulate(plan: &Plan, workers: usize, task: u64, step: Step) -> Simulated {
    let done = plan.roots.iter().map(|_| None).collect();
    let mut sim = Simulation {
        plan,
        schedule: Schedule::new(plan, ARENA, workers, Eviction::default(), done),
        store: HashMap::new(),
        step,
        deques: vec![VecDeque::new(); workers],
        asking: (0..workers).map(|worker| Reverse((0, worker, None))).collect(),
        sleeping: BTreeSet::new(),
        free_at: 0,
        steps: 0,
        under_lock: 0,
    };
    let mut end = 0;
    while let Some(Reverse((asked, own, finished))) = sim.asking.pop() {
        let locked = asked.max(sim.free_at);
        let released = locked + sim.decide(own, finished);
        sim.free_at = released + HANDOVER;
        end = end.max(released);
        let over = sim.schedule.is_done();
        let woken = match sim.deques[own].len() {
            _ if over => usize::MAX,
            2.. if finished.is_some() => usize::MAX,
            2.. => 1,
            _ => 0,
        };
        for other in (0..woken).map_while(|_| sim.sleeping.pop_first()) {
            sim.asking.push(Reverse((released + WAKING, other, None)));
        }
        match sim.take(own) {
            Some(batch) => sim.asking.push(Reverse((released + task, own, Some(batch)))),
            None if over => {}
            // It looks once more before it sleeps.
            None if finished.is_some() => sim.asking.push(Reverse((released, own, None))),
            None => {
                sim.sleeping.insert(own);
            }
        }
    }
    assert!(sim.schedule.is_done());
    let batches = sim.schedule.counts().batches;
    Simulated {
        batches,
        utilisation: (batches * task) as f64 / (workers as u64 * end) as f64,
        step: sim.under_lock as f64 / sim.steps as f64,
    }
}

/// Plans in which no chunk is small enough to be bundled with others: each is on its own; each is
/// added to a state that is carried on; each is made once and read twice, at different times.
fn plans(blocks: usize) -> [(&'static str, Plan); 3] {
    const SIDE: usize = 128;
    let plan = |x: &Array<f64>| {
        let means = Means {
            arena: ARENA,
            workers: 256,
            fuse: true,
            reproducible: false,
            scratch: u64::MAX,
        };
        let mut plan = Plan::fitting(&[wanted(x.expr(), false)], means, 0).unwrap();
        // Nor are several of a chain taken together.
        plan.stages.iter_mut().filter(|stage| stage.carries()).for_each(|stage| stage.batch = 1);
        plan
    };
    let chunk = SIDE as u64;
    let frames = random(1).normal([blocks * blocks, SIDE, SIDE]).rechunk([1, chunk, chunk]);
    let square = random(1).normal([blocks * SIDE; 2]).rechunk([chunk; 2]);
    let made = square.map_blocks(Chunks::same(), |block, _| block.mapv(|v| v + 1.0));
    [
        ("frames.mean(..)", plan(&frames.mean(..))),
        ("frames.mean(0)", plan(&frames.mean(0))),
        ("x + x.T, computed", plan(&(&made + made.t()))),
    ]
}

#[test]
fn long_tasks_keep_many_workers_busy_and_short_ones_wait_for_the_lock() {
    for (name, plan) in plans(96) {
        let of = |workers, task| simulate(&plan, workers, task, Step::Fixed(1_000));
        let long = of(64, 1_000_000);
        assert!(long.batches >= 9216 && long.utilisation > 0.8, "{name}: {}", long.utilisation);
        // 64 workers that each hold the lock for 1 µs of 11.
        let short = of(64, 10_000);
        assert!(short.utilisation < 0.2, "{name}: {}", short.utilisation);
        assert!(of(1, 10_000).utilisation > 0.8);
    }
}

#[test]
#[ignore = "measures, and takes a quiet machine: cargo test --release --lib workers -- --ignored --nocapture"]
fn how_many_workers_the_lock_feeds() {
    const TASKS: [u64; 7] = [1, 3, 10, 30, 100, 300, 1000];
    for (name, plan) in plans(200) {
        println!("{name}: the part of the workers' time that goes into tasks of so long");
        println!(
            "{:>8} {:>9}{}",
            "workers",
            "step, ns",
            TASKS.map(|t| format!("{t:>5} µs")).concat()
        );
        for workers in [1, 4, 16, 64, 256] {
            let runs = TASKS.map(|task| simulate(&plan, workers, 1000 * task, Step::Measured));
            let step = runs.iter().map(|run| run.step).sum::<f64>() / runs.len() as f64;
            let used = runs.map(|run| format!("{:>7.0}%", 100.0 * run.utilisation)).concat();
            println!("{workers:>8} {step:>9.0}{used}");
        }
    }
}
