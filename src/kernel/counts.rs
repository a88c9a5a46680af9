//! The block kernel of histograms: how many elements of a block lie in each bin.

use super::{BlockCx, BlockKernel, SEGMENT, exactly, folds::number::Number};
use freeboard_formats::{ChunkMut, ChunkView, DType, Element, Region, Scalar, with_dtype};
use std::{borrow::Cow, sync::Arc};

/// Into which bins elements are counted.
#[derive(Clone, Debug)]
pub enum Bins {
    /// Between neighbouring edges, which increase: each bin begins with its lower edge, and the last has its upper one
    /// too. With `even`, edges are at about equal distances.
    Edges {
        /// The edges, one more than bins.
        edges: Arc<[f64]>,
        /// Whether a bin is found by arithmetic.
        even: bool,
    },
    /// Integers from 0 on, so many; others are a mistake.
    Integers(u64),
}

/// Counts elements. The result has an axis of bins behind axes of length 1, one for each of the input's.
#[derive(Clone, Debug)]
pub struct Counts {
    bins: Bins,
    dtype: DType,
}

impl Counts {
    /// Counts elements of `dtype`; into edges, of which there are two at least.
    pub fn new(bins: Bins, dtype: DType) -> Counts {
        Counts { bins, dtype }
    }

    fn count<T: Number>(&self, elements: &[T], counts: &mut [i64]) -> Result<(), String> {
        match &self.bins {
            Bins::Edges { edges, even } => {
                for &element in elements {
                    if let Some(bin) = bin(edges, *even, element.to_f64()) {
                        counts[bin] += 1;
                    }
                }
            }
            Bins::Integers(most) => {
                for &element in elements {
                    let value = element.to_f64();
                    if value < 0.0 {
                        return Err(format!("bincount of {value}: no element may be negative"));
                    }
                    let count = counts.get_mut(value as usize).ok_or_else(|| {
                        format!(
                            "bincount of {value}, beyond its minlength of {most}: that is the \
                             length of the result, which must be known before"
                        )
                    })?;
                    *count += 1;
                }
            }
        }
        Ok(())
    }
}

/// The bin of `edges` in which `value` lies, if it lies in one; `even` edges are at about equal distances.
pub(crate) fn bin(edges: &[f64], even: bool, value: f64) -> Option<usize> {
    let (first, last, bins) = (edges[0], edges[edges.len() - 1], edges.len() - 1);
    // NaN neither.
    if !(first <= value && value <= last) {
        return None;
    }
    if !even {
        return Some((edges.partition_point(|&edge| edge <= value) - 1).min(bins - 1));
    }
    let share = (value - first) / (last - first);
    let mut bin = ((share * bins as f64) as usize).min(bins - 1);
    // The edges are rounded, and so is this.
    while value < edges[bin] {
        bin -= 1;
    }
    while bin + 1 < bins && value >= edges[bin + 1] {
        bin += 1;
    }
    Some(bin)
}

impl BlockKernel for Counts {
    fn name(&self) -> Cow<'static, str> {
        match &self.bins {
            Bins::Edges { even: true, .. } => "histogram".into(),
            Bins::Edges { even: false, .. } => "histogram of edges".into(),
            Bins::Integers(_) => "bincount".into(),
        }
    }

    fn params(&self) -> Vec<Scalar> {
        match &self.bins {
            Bins::Edges { edges, .. } => edges.iter().map(|&edge| Scalar::F64(edge)).collect(),
            Bins::Integers(count) => vec![Scalar::U64(*count)],
        }
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, inputs: &[Region], output: &Region) -> u64 {
        let elements = inputs.iter().map(Region::volume).sum::<u64>().min(SEGMENT as u64);
        // A run of elements, and the counts.
        (elements * self.dtype.size() as u64).next_multiple_of(64) + output.volume() * 8
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        scratch: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let [input] = exactly(inputs, &self.name())?;
        let (run, counts) = scratch.split_at_mut(scratch.len() - out.len() * 8);
        let counts: &mut [i64] = bytemuck::cast_slice_mut(counts);
        counts.fill(0);
        let (size, mut done) = (self.dtype.size(), 0);
        while done < input.len() {
            let count = (input.len() - done).min(SEGMENT);
            let run = &mut run[..count * size];
            input.copy_run(done, run);
            with_dtype!(self.dtype, T => {
                self.count::<<T as Element>::Repr>(bytemuck::cast_slice(run), counts)?
            });
            done += count;
        }
        let shape = out.shape().to_vec();
        out.assign(&ChunkView::of(counts, &shape));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_half_open_but_the_last() {
        let edges: Vec<f64> = (0..=10).map(|i| f64::from(i) * 0.1).collect();
        for even in [true, false] {
            for (i, &edge) in edges.iter().enumerate() {
                assert_eq!(bin(&edges, even, edge), Some(i.min(9)), "{edge}");
            }
            assert_eq!(bin(&edges, even, f64::NAN), None);
            assert_eq!(bin(&edges, even, -1e-9), None);
            assert_eq!(bin(&edges, even, 1.1), None);
            assert_eq!(bin(&edges, even, 0.55), Some(5));
        }
    }
}
