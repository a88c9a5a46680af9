//! Times of things that are run in turn, so that what else a machine does falls on all of them
//! alike.

use rustix::time::{ClockId, clock_gettime};
use std::{fmt, time::Instant};

/// Times of the runs of one thing, in seconds: by the clock, and of processors.
#[derive(Clone, Debug, Default)]
pub struct Laps {
    clock: Vec<f64>,
    processors: Vec<f64>,
}

/// A run under way.
#[derive(Clone, Copy, Debug)]
pub struct Start(Instant, f64);

impl Start {
    /// Of a run that begins now.
    pub fn now() -> Start {
        Start(Instant::now(), processors())
    }
}

/// What all threads of the process have taken of processors so far, in seconds.
fn processors() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
}

impl Laps {
    /// Adds a run that ends now.
    pub fn push(&mut self, Start(clock, before): Start) {
        self.clock.push(clock.elapsed().as_secs_f64());
        self.processors.push(processors() - before);
    }

    /// The middle of the runs, in seconds.
    pub fn median(&self) -> f64 {
        median(self.clock.clone())
    }

    /// The shortest run, in seconds.
    pub fn least(&self) -> f64 {
        self.clock.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The longest run less the shortest, relative to the median.
    pub fn spread(&self) -> f64 {
        (self.clock.iter().copied().fold(0.0, f64::max) - self.least()) / self.median()
    }

    /// How many times as fast as `other` it is: the median over pairs of runs that followed each
    /// other.
    pub fn relative_to(&self, other: &Laps) -> f64 {
        ratio(&self.clock, &other.clock)
    }

    /// The same of what processors did: on a machine that others use too it tells more.
    pub fn work_relative_to(&self, other: &Laps) -> f64 {
        ratio(&self.processors, &other.processors)
    }
}

fn ratio(own: &[f64], other: &[f64]) -> f64 {
    median(own.iter().zip(other).map(|(own, other)| other / own).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len => 0.5 * (values[len / 2] + values[(len - 1) / 2]),
    }
}

/// In milliseconds, with the spread.
impl fmt::Display for Laps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ms ± {:.0} %", 1e3 * self.median(), 50.0 * self.spread())
    }
}

/// Something to be run and timed.
pub type Run<'a, E> = dyn FnMut() -> Result<(), E> + 'a;

/// Runs all of `runs` once unmeasured and then `rounds` times, in turn: forwards in one round and
/// backwards in the next.
///
/// # Errors
/// The first error of a run.
pub fn in_turn<E>(rounds: usize, runs: &mut [&mut Run<'_, E>]) -> Result<Vec<Laps>, E> {
    for run in &mut *runs {
        run()?;
    }
    let mut laps = vec![Laps::default(); runs.len()];
    for round in 0..rounds {
        for step in 0..runs.len() {
            let i = if round % 2 == 0 { step } else { runs.len() - 1 - step };
            let start = Start::now();
            runs[i]()?;
            laps[i].push(start);
        }
    }
    Ok(laps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios() {
        let laps = |clock: Vec<f64>| Laps { processors: vec![1.0; clock.len()], clock };
        let (slow, fast) = (laps(vec![4.0, 2.0, 3.0]), laps(vec![1.0, 2.0, 1.0]));
        assert_eq!((slow.median(), slow.least(), fast.median()), (3.0, 2.0, 1.0));
        assert_eq!((fast.relative_to(&slow), fast.work_relative_to(&slow)), (3.0, 1.0));
        assert_eq!(slow.to_string(), "3000.000 ms ± 33 %");
        assert_eq!(laps(vec![1.0, 2.0]).median(), 1.5);
    }

    #[test]
    fn every_run_has_its_turn() {
        let order = std::cell::RefCell::new(String::new());
        let run = |name| {
            order.borrow_mut().push(name);
            Ok::<(), ()>(())
        };
        let (mut a, mut b) = (|| run('a'), || run('b'));
        let laps = in_turn(2, &mut [&mut a, &mut b]).unwrap();
        assert_eq!((laps.len(), order.borrow().as_str()), (2, "ababba"));
        assert_eq!(in_turn(1, &mut [&mut || Err("stop")]).unwrap_err(), "stop");
    }
}
