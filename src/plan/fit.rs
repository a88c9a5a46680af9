//! Which plan fits: the ways of cutting work that are tried, and the least memory that would do.
//!
//! How work is cut depends on the memory there is, and what a cut plan needs does not only
//! grow with it. So that what fits in some memory fits in more, plans are also made for
//! less memory than there is, step by step, and the steps are the same whatever there is.

use super::{
    Cuts, LEAST_BLOCK, Means, Plan, Root, Wanted,
    share::{self, Shared},
    stage::StageId,
};
use crate::{error::Result, expr::Expr};

/// The nodes below all that is wanted, and its roots among them.
struct Graph<'a> {
    wanted: &'a [Wanted],
    nodes: Vec<Shared>,
    roots: Vec<(usize, Root)>,
}

impl Graph<'_> {
    fn of(wanted: &[Wanted], means: Means) -> Result<Graph<'_>> {
        let exprs: Vec<Expr> = wanted.iter().map(|wanted| wanted.expr.clone()).collect();
        let (mut nodes, numbers) = share::share(&exprs)?;
        if means.reproducible {
            nodes.iter_mut().for_each(share::make_reproducible);
        }
        let roots = wanted.iter().map(|wanted| wanted.root.clone());
        let roots = numbers.into_iter().zip(roots).collect();
        Ok(Graph { wanted, nodes, roots })
    }

    /// The plans for such means, those that do the least work first.
    fn plans(&self, means: Means) -> impl Iterator<Item = Result<Plan>> {
        let share = means.arena / (means.workers as u64 + 1);
        let block = (means.arena / 8).max(LEAST_BLOCK);
        let cuts = [
            Cuts { share, block: u64::MAX, pieces: true },
            Cuts { share, block: u64::MAX, pieces: false },
            Cuts { share: u64::MAX, block: u64::MAX, pieces: false },
            Cuts { share, block, pieces: false },
        ];
        cuts.into_iter()
            .map(move |cuts| Plan::cut(self.wanted, &self.nodes, &self.roots, means, cuts))
    }
}

/// Amounts of memory, each an eighth more than the one before.
fn steps() -> impl DoubleEndedIterator<Item = u64> {
    (0..300).map(|step| 1.125f64.powi(step) as u64)
}

/// So many steps below what there is are tried: down to about a hundredth.
const STEPS_BELOW: usize = 40;

impl Plan {
    /// The plan that makes `wanted` with these means: with shuffles where tasks would need a
    /// large part of the memory, unless they need more themselves, and, where that does not
    /// fit, with blocks cut into pieces. The one that needs the least, if none fits.
    pub(crate) fn new(wanted: &[Wanted], means: Means) -> Result<Plan> {
        let graph = Graph::of(wanted, means)?;
        let below = steps().rev().skip_while(|&step| step > means.arena).take(STEPS_BELOW);
        let mut best: Option<Plan> = None;
        for arena in std::iter::once(means.arena).chain(below) {
            for plan in graph.plans(Means { arena, ..means }) {
                let plan = plan?;
                let needed = plan.needed();
                if needed <= means.arena {
                    return Ok(plan);
                }
                if best.as_ref().is_none_or(|best| needed < best.needed()) {
                    best = Some(plan);
                }
            }
        }
        Ok(best.expect("one at least"))
    }

    /// [`Plan::new`], checked: every task fits in the arena. `beside` is what the process
    /// holds beside it.
    ///
    /// # Errors
    /// If a task does not fit; the error names the least memory that would do.
    pub(crate) fn fitting(wanted: &[Wanted], means: Means, beside: u64) -> Result<Plan> {
        let plan = Plan::new(wanted, means)?;
        if plan.needed() <= means.arena {
            return Ok(plan);
        }
        for number in 0..plan.stages.len() {
            for batch in plan.samples(number as StageId) {
                let need = plan.most_needed(batch).saturating_add(plan.records());
                if need > means.arena {
                    let least = Plan::least(wanted, means)?;
                    return Err(plan.too_large(batch, need, means.arena, least + beside));
                }
            }
        }
        Ok(plan)
    }

    /// The least arena, of the steps above what there is, in which a plan fits.
    pub(crate) fn least(wanted: &[Wanted], means: Means) -> Result<u64> {
        let graph = Graph::of(wanted, means)?;
        for arena in steps().filter(|&step| step > means.arena) {
            for plan in graph.plans(Means { arena, ..means }) {
                if plan?.needed() <= arena {
                    return Ok(arena);
                }
            }
        }
        Ok(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{RECORD, RECORDS_IN_RESERVE},
        *,
    };
    use crate::array::zeros;
    use freeboard_formats::Grid;

    #[test]
    fn what_pieces_are_known_by_has_to_fit_as_well() {
        let frames = Grid::regular(&[512, 2048, 2048], &[1, 2048, 2048]);
        let columns = Grid::regular(&[512, 2048, 2048], &[512, 64, 64]);
        let here = std::panic::Location::caller();
        let x = zeros::<f64>([512, 2048, 2048]) + 1.0;
        let expr = x.expr().rechunk(frames, here).rechunk(columns.clone(), here);
        let root = Root { grid: columns, kept: false, sink_scratch: Some(0) };
        let wanted = [Wanted { expr, root }];
        let means = |arena| Means {
            arena,
            workers: 2,
            fuse: false,
            reproducible: false,
            scratch: u64::MAX,
        };
        // Half a million pieces of 32 KiB fit but for their records.
        let little = 160 << 20;
        let error = Plan::fitting(&wanted, means(little), 0).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Budget, "{error}");
        let least = Plan::least(&wanted, means(little)).unwrap();
        let plan = Plan::fitting(&wanted, means(least), 0).unwrap();
        assert!(plan.records() > 0);
        assert!(plan.totals.largest_task + plan.records() <= least);
        assert!(plan.totals.largest_task < little);
        let text = error.to_string();
        assert!(text.contains("to keep track of") && text.contains("larger chunks"), "{text}");
    }

    #[test]
    fn what_is_known_of_many_inputs_has_to_fit_as_well() {
        use crate::imaging::label;
        let x = zeros::<f64>([400, 400]).rechunk([2, 2]).greater(0.5);
        let (labels, _) = label(&x, None);
        let root =
            Root { grid: labels.meta().unwrap().grid.clone(), kept: false, sink_scratch: Some(0) };
        let wanted = [Wanted { expr: labels.expr().clone(), root }];
        let means =
            |arena| Means { arena, workers: 2, fuse: true, reproducible: false, scratch: u64::MAX };
        // The tables of 40,000 chunks are joined by one task.
        let least = Plan::least(&wanted, means(1)).unwrap();
        let plan = Plan::fitting(&wanted, means(least), 0).unwrap();
        assert!(plan.records() > 40_000 * RECORD - RECORDS_IN_RESERVE, "{}", plan.records());
        assert!(plan.totals.largest_task + plan.records() <= least);
    }
}
