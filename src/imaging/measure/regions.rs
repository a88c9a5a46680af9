//! Which regions are measured, and the row that each label has in a table.

use freeboard_formats::Scalar;
use std::sync::Arc;

/// The most regions: a row of a table is numbered by 32 bits.
const MOST: u64 = 1 << 31;

/// Which regions are measured: those from 1 to a count (`9.into()`), those of a list of labels, in its order
/// (`[4, 2].into()`), or one of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regions(Which);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    Upto(i64),
    Listed {
        labels: Arc<[i64]>,
        /// The same, each once and in rising order.
        sorted: Arc<[i64]>,
        /// One label alone: results have no axis of regions.
        alone: bool,
    },
    Positive,
    Everywhere,
}

impl Regions {
    /// All elements with a label above 0 as one region: `index=None` in SciPy. Results have no axis of regions.
    pub fn labelled_together() -> Regions {
        Regions(Which::Positive)
    }

    /// The whole array as one region; labels are not read. Results have no axis of regions.
    pub fn everywhere() -> Regions {
        Regions(Which::Everywhere)
    }

    /// The region with this label; results have no axis of regions.
    pub fn only(label: i64) -> Regions {
        Regions::listed([label].into(), true)
    }

    fn listed(labels: Arc<[i64]>, alone: bool) -> Regions {
        let mut sorted = labels.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        Regions(Which::Listed { labels, sorted: sorted.into(), alone })
    }

    pub(super) fn check(&self) -> Result<(), String> {
        match &self.0 {
            Which::Upto(count) if *count < 0 => Err(format!("{count} regions")),
            _ if self.len() >= MOST => {
                Err(format!("{} regions; fewer than {MOST} can be measured", self.len()))
            }
            _ => Ok(()),
        }
    }

    /// How many are measured.
    pub(super) fn len(&self) -> u64 {
        match &self.0 {
            Which::Upto(count) => (*count).max(0) as u64,
            Which::Listed { labels, .. } => labels.len() as u64,
            Which::Positive | Which::Everywhere => 1,
        }
    }

    /// How many rows their table has: one for each label.
    pub(super) fn rows_needed(&self) -> u64 {
        match &self.0 {
            Which::Listed { sorted, .. } => sorted.len() as u64,
            _ => self.len(),
        }
    }

    /// Whether rows are in the order of the regions.
    pub(super) fn in_order(&self) -> bool {
        match &self.0 {
            Which::Listed { labels, sorted, .. } => labels == sorted,
            _ => true,
        }
    }

    /// Whether labels are read.
    pub(super) fn labelled(&self) -> bool {
        self.0 != Which::Everywhere
    }

    /// Whether results have no axis of regions.
    pub(super) fn is_one(&self) -> bool {
        match self.0 {
            Which::Upto(_) => false,
            Which::Listed { alone, .. } => alone,
            Which::Positive | Which::Everywhere => true,
        }
    }

    /// The labels of the regions, where each has one.
    pub(super) fn labels(&self) -> Vec<i64> {
        match &self.0 {
            Which::Upto(count) => (1..=*count).collect(),
            Which::Listed { labels, .. } => labels.to_vec(),
            Which::Positive | Which::Everywhere => Vec::new(),
        }
    }

    pub(super) fn params(&self) -> Vec<Scalar> {
        match &self.0 {
            Which::Upto(count) => vec![Scalar::I64(*count)],
            Which::Listed { labels, .. } => {
                labels.iter().map(|&label| Scalar::I64(label)).chain([Scalar::Bool(true)]).collect()
            }
            Which::Positive => vec![Scalar::U8(0)],
            Which::Everywhere => vec![Scalar::U8(1)],
        }
    }

    /// The row of the region with the number `region`, counted from 0.
    pub(super) fn row_of(&self, region: u64) -> u64 {
        match &self.0 {
            Which::Listed { labels, sorted, .. } => {
                let label = labels[region as usize];
                sorted.binary_search(&label).map_or(0, |row| row as u64)
            }
            _ => region,
        }
    }

    /// The rows of elements with these labels; `u32::MAX` of one in no region.
    pub(super) fn rows(&self, labels: &[i64], rows: &mut [u32]) {
        let places = rows.iter_mut().zip(labels);
        match &self.0 {
            Which::Upto(count) => {
                let count = *count as u64;
                places.for_each(|(row, &label)| {
                    let number = (label as u64).wrapping_sub(1);
                    *row = if number < count { number as u32 } else { u32::MAX };
                });
            }
            Which::Listed { sorted, .. } => {
                // Neighbours are often of one region.
                let (mut last, mut held) = (None, u32::MAX);
                for (row, &label) in places {
                    if last != Some(label) {
                        last = Some(label);
                        held = sorted.binary_search(&label).map_or(u32::MAX, |row| row as u32);
                    }
                    *row = held;
                }
            }
            Which::Positive => {
                places.for_each(|(row, &label)| *row = if label > 0 { 0 } else { u32::MAX });
            }
            Which::Everywhere => rows.fill(0),
        }
    }
}

macro_rules! counts {
    ($($t:ty),*) => {$(
        impl From<$t> for Regions {
            fn from(count: $t) -> Regions {
                Regions(Which::Upto(i64::try_from(count).unwrap_or(i64::MAX)))
            }
        }
    )*};
}
counts!(i32, i64, u32, u64, usize);

impl From<Vec<i64>> for Regions {
    fn from(labels: Vec<i64>) -> Regions {
        Regions::listed(labels.into(), false)
    }
}

impl From<&[i64]> for Regions {
    fn from(labels: &[i64]) -> Regions {
        Regions::listed(labels.into(), false)
    }
}

impl<const N: usize> From<[i64; N]> for Regions {
    fn from(labels: [i64; N]) -> Regions {
        Regions::listed(labels.into(), false)
    }
}
