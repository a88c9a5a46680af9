//! Order statistics of one line of elements.

use super::folds::number::Number;
use std::cmp::Ordering;

/// Between which elements a quantile lies, and where between them: NumPy's methods of these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// By its distance from both.
    Linear,
    /// At the lower one.
    Lower,
    /// At the higher one.
    Higher,
    /// At the nearest one; of two as near, the one of even rank.
    Nearest,
    /// Half way.
    Midpoint,
    /// Their mean, which NumPy rounds otherwise than what is half way: the median of an even number. It is
    /// no method of NumPy's quantiles.
    Mean,
}

impl Method {
    /// NumPy's methods.
    pub const ALL: [Method; 5] =
        [Method::Linear, Method::Lower, Method::Higher, Method::Nearest, Method::Midpoint];

    /// NumPy's name of the method.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Linear => "linear",
            Method::Lower => "lower",
            Method::Higher => "higher",
            Method::Nearest => "nearest",
            Method::Midpoint => "midpoint",
            Method::Mean => "mean",
        }
    }

    /// The method of this name.
    pub fn from_name(name: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether a quantile is one of the elements, and so of their dtype: `Lower`, `Higher`, `Nearest`.
    pub const fn selects(self) -> bool {
        matches!(self, Method::Lower | Method::Higher | Method::Nearest)
    }

    /// The ranks of the two elements beside the quantile `at` of `count` elements, and how far, of
    /// their distance, it is from the first.
    fn place(self, at: f64, count: usize) -> (usize, usize, f64) {
        let last = count - 1;
        let rank = last as f64 * at;
        let (low, high) = (rank.floor(), rank.ceil());
        let (low, high, weight) = match self {
            Method::Linear => (low, high, rank - low),
            Method::Midpoint | Method::Mean => (low, high, if high > low { 0.5 } else { 0.0 }),
            Method::Lower => (low, low, 0.0),
            Method::Higher => (high, high, 0.0),
            Method::Nearest => (rank.round_ties_even(), rank.round_ties_even(), 0.0),
        };
        ((low as usize).min(last), (high as usize).min(last), weight)
    }
}

/// In rising order, NaNs behind all numbers.
pub(super) fn nan_last<T: Number>(a: &T, b: &T) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The elements at the ranks around each quantile are selected (C. A. R. Hoare, "Algorithm 65:
/// Find", CACM 4, 1961); for many quantiles the line is sorted.
pub(super) fn quantiles<T: Number>(
    line: &mut [T],
    at: &[f64],
    method: Method,
    without_nan: bool,
    out: &mut [u8],
) {
    let mut count = 0;
    for i in 0..line.len() {
        if !line[i].is_nan() {
            line.swap(count, i);
            count += 1;
        }
    }
    if count == 0 || (count < line.len() && !without_nan) {
        // Only floats come here: a line has elements, and integers are never NaN.
        if method.selects() {
            bytemuck::cast_slice_mut::<u8, T>(out).fill(line[line.len() - 1]);
        } else {
            bytemuck::cast_slice_mut::<u8, T::Real>(out).fill(T::real(f64::NAN));
        }
        return;
    }
    let line = &mut line[..count];
    let order = |a: &T, b: &T| a.partial_cmp(b).unwrap_or(Ordering::Equal);
    let sorted = at.len() > 2;
    if sorted {
        line.sort_unstable_by(order);
    }
    for (i, &at) in at.iter().enumerate() {
        let (low, high, weight) = method.place(at, count);
        let (a, b) = if sorted {
            (line[low], line[high])
        } else {
            let (_, a, above) = line.select_nth_unstable_by(low, order);
            let next = above.iter().copied().reduce(|a, b| if b < a { b } else { a });
            (*a, if high > low { next.unwrap_or(*a) } else { *a })
        };
        if method.selects() {
            bytemuck::cast_slice_mut::<u8, T>(out)[i] = a;
        } else {
            let (a, b) = (a.to_f64(), b.to_f64());
            let between = match method {
                Method::Mean if high > low => (a + b) / 2.0,
                _ => between(a, b, weight),
            };
            bytemuck::cast_slice_mut::<u8, T::Real>(out)[i] = T::real(between);
        }
    }
}

/// The number that lies `weight` of the way from `a` to `b`, as NumPy interpolates.
fn between(a: f64, b: f64, weight: f64) -> f64 {
    match weight {
        _ if a == b => a,
        0.5.. => b - (b - a) * (1.0 - weight),
        0.0 => a,
        _ => a + (b - a) * weight,
    }
}
