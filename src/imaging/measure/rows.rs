//! What is kept of each region while its elements are met: a row of words, and how rows are joined.
//!
//! A word is a count, the bits of a double, or the key of an element: keys are ordered as the elements
//! are, NaN first, so that extrema of every dtype are exact and those of NaN are NaN.

use freeboard_formats::{DType, Scalar};
use std::collections::BTreeSet;

/// A group of words of a row. Those that are joined by means of others come before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The sum of squared differences from the mean (a double); needs [`Part::Sum`].
    Spread,
    /// The key of the least element, and its place.
    Least,
    /// The inverted key of the greatest element, and its place.
    Greatest,
    /// The sums of the elements times each of their coordinates (doubles).
    Moments,
    /// The least and the greatest coordinate along each axis.
    Bounds,
    /// How many elements lie in each bin.
    Bins,
    /// The sum of the elements (a double).
    Sum,
    /// How many elements there are.
    Count,
}

/// Where the words of a row lie.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    parts: Vec<(Part, usize)>,
    /// Words of a row; the count is the last.
    pub(super) width: usize,
    rank: usize,
    bins: usize,
}

impl Layout {
    /// Of `parts`, for arrays of `rank` axes and so many bins. Sums and counts that the parts are joined by are there too.
    pub(super) fn new(parts: impl IntoIterator<Item = Part>, rank: usize, bins: usize) -> Layout {
        let mut asked: BTreeSet<Part> = parts.into_iter().chain([Part::Count]).collect();
        if asked.contains(&Part::Spread) {
            asked.insert(Part::Sum);
        }
        let mut width = 0;
        let parts = asked.into_iter().map(|part| {
            let words = match part {
                Part::Spread | Part::Sum | Part::Count => 1,
                Part::Least | Part::Greatest => 2,
                Part::Moments => rank,
                Part::Bounds => 2 * rank,
                Part::Bins => bins,
            };
            width += words;
            (part, width - words)
        });
        Layout { parts: parts.collect(), width, rank, bins }
    }

    /// The parts, and where each begins in a row.
    pub(super) fn parts(&self) -> &[(Part, usize)] {
        &self.parts
    }

    /// Where a part begins in a row, if it is there.
    pub(super) fn find(&self, part: Part) -> Option<usize> {
        self.parts.iter().find(|(own, _)| *own == part).map(|&(_, at)| at)
    }

    /// How many elements a row has met.
    pub(super) fn count(&self, row: &[u64]) -> u64 {
        row[self.width - 1]
    }

    /// Sets a row to that of a region without elements.
    pub(super) fn start(&self, row: &mut [u64]) {
        row.fill(0);
        for &(part, at) in &self.parts {
            match part {
                Part::Least | Part::Greatest => row[at..at + 2].fill(u64::MAX),
                Part::Bounds => {
                    row[at..at + 2 * self.rank]
                        .chunks_exact_mut(2)
                        .for_each(|pair| pair[0] = u64::MAX);
                }
                _ => {}
            }
        }
    }

    /// Joins the row `later` of the same region, of elements that were met after those of `row`.
    pub(super) fn join(&self, row: &mut [u64], later: &[u64]) {
        let (count, count_later) = (self.count(row), self.count(later));
        match (count, count_later) {
            (_, 0) => return,
            (0, _) => return row.copy_from_slice(later),
            _ => {}
        }
        for &(part, at) in &self.parts {
            match part {
                // Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for
                // computing sample variances" (1979).
                Part::Spread => {
                    let sum = self.find(Part::Sum).unwrap_or_default();
                    let (a, b) = (count as f64, count_later as f64);
                    let between = f64::from_bits(later[sum]) / b - f64::from_bits(row[sum]) / a;
                    let within = f64::from_bits(row[at]) + f64::from_bits(later[at]);
                    row[at] = (within + between * between * (a / (a + b) * b)).to_bits();
                }
                Part::Least | Part::Greatest => {
                    if (later[at], later[at + 1]) < (row[at], row[at + 1]) {
                        row[at..at + 2].copy_from_slice(&later[at..at + 2]);
                    }
                }
                Part::Moments => {
                    let words = row[at..at + self.rank].iter_mut().zip(&later[at..]);
                    words.for_each(|(word, later)| add(word, f64::from_bits(*later)));
                }
                Part::Bounds => {
                    let pairs = row[at..at + 2 * self.rank].chunks_exact_mut(2);
                    for (pair, later) in pairs.zip(later[at..].chunks_exact(2)) {
                        pair[0] = pair[0].min(later[0]);
                        pair[1] = pair[1].max(later[1]);
                    }
                }
                Part::Bins => {
                    let words = row[at..at + self.bins].iter_mut().zip(&later[at..]);
                    words.for_each(|(word, later)| *word += later);
                }
                Part::Sum => add(&mut row[at], f64::from_bits(later[at])),
                Part::Count => row[at] += later[at],
            }
        }
    }
}

/// Adds to a word that is a double.
#[inline(always)]
pub(super) fn add(word: &mut u64, more: f64) {
    *word = (f64::from_bits(*word) + more).to_bits();
}

/// How elements of a dtype become keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    Unsigned,
    Signed,
    Float,
}

/// The bit that tells the signs of numbers apart.
const SIGN: u64 = 1 << 63;

impl Keys {
    pub(super) fn of(dtype: DType) -> Keys {
        match dtype {
            DType::F32 | DType::F64 => Keys::Float,
            DType::Bool | DType::U8 | DType::U16 | DType::U32 | DType::U64 => Keys::Unsigned,
            DType::I8 | DType::I16 | DType::I32 | DType::I64 => Keys::Signed,
        }
    }

    /// The dtype whose bits keys are made of.
    pub(super) fn wide(self) -> DType {
        match self {
            Keys::Unsigned => DType::U64,
            Keys::Signed => DType::I64,
            Keys::Float => DType::F64,
        }
    }

    /// The key of an element, and the inverted one, each 0 of NaN.
    #[inline(always)]
    pub(super) fn key(self, bits: u64) -> (u64, u64) {
        let key = match self {
            Keys::Unsigned => bits,
            Keys::Signed => bits ^ SIGN,
            Keys::Float => {
                let value = f64::from_bits(bits);
                if value.is_nan() {
                    return (0, 0);
                }
                // Zeros of both signs are equal.
                let bits = (value + 0.0).to_bits();
                if bits & SIGN == 0 { bits | SIGN } else { !bits }
            }
        };
        (key, !key)
    }

    /// The element of a key that is not inverted.
    pub(super) fn element(self, key: u64) -> Scalar {
        match self {
            Keys::Unsigned => Scalar::U64(key),
            Keys::Signed => Scalar::I64((key ^ SIGN) as i64),
            Keys::Float => {
                let bits = if key & SIGN == 0 { !key } else { key & !SIGN };
                Scalar::F64(f64::from_bits(bits))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_as_elements_are() {
        let floats = [f64::NEG_INFINITY, -2.5, -0.0, 1e-300, 3.0, f64::INFINITY];
        let keys: Vec<u64> = floats.iter().map(|x| Keys::Float.key(x.to_bits()).0).collect();
        assert!(keys.is_sorted());
        for (&key, &float) in keys.iter().zip(&floats) {
            assert_eq!(Keys::Float.element(key), Scalar::F64(float));
        }
        assert_eq!(Keys::Float.key(0f64.to_bits()), Keys::Float.key((-0f64).to_bits()));
        assert_eq!(Keys::Float.key(f64::NAN.to_bits()), (0, 0));
        assert!(Keys::Float.element(0).as_f64().is_nan());
        assert!(Keys::Float.element(!0).as_f64().is_nan());
        let signed = |n: i64| Keys::Signed.key(n as u64).0;
        assert!(signed(i64::MIN) < signed(-1) && signed(-1) < signed(0));
        assert_eq!(Keys::Signed.element(signed(i64::MAX)), Scalar::I64(i64::MAX));
    }

    #[test]
    fn rows_are_joined_in_any_grouping() {
        let parts = [Part::Spread, Part::Least, Part::Bounds, Part::Bins];
        let layout = Layout::new(parts, 1, 2);
        // Spread, least and place, bounds, two bins, sum, count.
        assert_eq!(layout.width, 9);
        let row = |value: f64, place: u64| {
            let (key, _) = Keys::Float.key(value.to_bits());
            [0, key, place, place, place, 1, 0, value.to_bits(), 1]
        };
        let mut joined = vec![7; 9];
        layout.start(&mut joined);
        let none = joined.clone();
        for (place, value) in [4.0, 2.0, 2.0, 8.0].into_iter().enumerate() {
            layout.join(&mut joined, &row(value, place as u64));
            layout.join(&mut joined, &none);
        }
        let least = Keys::Float.key(2f64.to_bits()).0;
        // The spread is rounded at each step.
        assert!((f64::from_bits(joined[0]) - 24.0).abs() < 1e-12);
        assert_eq!(joined[1..], [least, 1, 0, 3, 4, 0, 16f64.to_bits(), 4]);
    }
}
