//! The block kernel of histograms of several variables, and of weighted ones.

use super::{BlockCx, BlockKernel, SEGMENT, carve, carved, counts::bin};
use freeboard_formats::{ChunkMut, ChunkView, Region, Scalar};
use std::{borrow::Cow, sync::Arc};

/// The bins of one variable: edges that increase, one more than bins; and whether they are at about
/// equal distances.
#[derive(Clone, Debug)]
pub struct Edges {
    /// The edges.
    pub edges: Arc<[f64]>,
    /// Whether a bin is found by arithmetic.
    pub even: bool,
}

impl Edges {
    /// The number of bins.
    pub fn bins(&self) -> usize {
        self.edges.len() - 1
    }
}

/// Counts places at which each variable, a float64 block of its own, lies in some bin; or sums up their weights, the
/// block behind them. The result has an axis of bins for each variable, behind axes of length 1, one for each of the blocks'.
#[derive(Clone, Debug)]
pub struct Joint {
    /// The bins of each variable.
    pub bins: Vec<Edges>,
    /// Whether there are weights.
    pub weighted: bool,
}

impl Joint {
    fn total(&self) -> usize {
        self.bins.iter().map(Edges::bins).product()
    }
}

impl BlockKernel for Joint {
    fn name(&self) -> Cow<'static, str> {
        if self.weighted { "weighted histogram".into() } else { "joint histogram".into() }
    }

    fn params(&self) -> Vec<Scalar> {
        let each = self.bins.iter().flat_map(|bins| {
            let count = [Scalar::U64(bins.edges.len() as u64), Scalar::Bool(bins.even)];
            count.into_iter().chain(bins.edges.iter().map(|&edge| Scalar::F64(edge)))
        });
        each.collect()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, _: &[Region], _: &Region) -> u64 {
        carved::<f64>(SEGMENT).saturating_add(carved::<u32>(SEGMENT)) + carved::<f64>(self.total())
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        mut scratch: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        const OUTSIDE: u32 = u32::MAX;
        let count = self.bins.len() + usize::from(self.weighted);
        if inputs.len() != count || count == 0 {
            return Err(format!("{} of {} blocks, not of {count}", self.name(), inputs.len()));
        }
        let (variables, weights) = inputs.split_at(self.bins.len());
        let run = carve::<f64>(&mut scratch, SEGMENT);
        let places = carve::<u32>(&mut scratch, SEGMENT);
        let sums = carve::<f64>(&mut scratch, self.total());
        sums.fill(0.0);
        let len = inputs[0].len();
        for start in (0..len).step_by(SEGMENT) {
            let count = SEGMENT.min(len - start);
            let (run, places) = (&mut run[..count], &mut places[..count]);
            places.fill(0);
            for (bins, variable) in self.bins.iter().zip(variables) {
                variable.copy_run(start, bytemuck::cast_slice_mut(run));
                for (place, &value) in places.iter_mut().zip(&*run) {
                    *place = match bin(&bins.edges, bins.even, value) {
                        Some(bin) if *place != OUTSIDE => *place * bins.bins() as u32 + bin as u32,
                        _ => OUTSIDE,
                    };
                }
            }
            match weights {
                [weights] => weights.copy_run(start, bytemuck::cast_slice_mut(run)),
                _ => run.fill(1.0),
            }
            for (&place, &weight) in places.iter().zip(&*run) {
                if let Some(sum) = sums.get_mut(place as usize) {
                    *sum += weight;
                }
            }
        }
        let shape = out.shape().to_vec();
        out.assign(&ChunkView::of(sums, &shape));
        Ok(())
    }
}
