//! Running sums and products of one line of elements, accumulated as sums of whole axes are: float32 in
//! doubles, integers in 64 bits that wrap.

use super::folds::number::{Number, Sum};
use freeboard_formats::DType;

/// What is accumulated along a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scan {
    /// The product, or else the sum.
    pub product: bool,
    /// Whether NaNs are left out.
    pub without_nan: bool,
}

impl Scan {
    /// NumPy's name of it.
    pub const fn name(self) -> &'static str {
        match (self.product, self.without_nan) {
            (false, false) => "cumsum",
            (false, true) => "nancumsum",
            (true, false) => "cumprod",
            (true, true) => "nancumprod",
        }
    }

    fn identity<S: Sum>(self) -> S {
        if self.product { S::ONE } else { S::ZERO }
    }

    fn add<T: Number>(self, sum: T::Sum, element: T) -> T::Sum {
        match element {
            _ if self.without_nan && element.is_nan() => sum,
            _ if self.product => sum.multiply(element.to_sum()),
            _ => sum.add(element.to_sum()),
        }
    }
}

/// The dtype that elements of `dtype` are accumulated in.
pub(super) const fn accumulated(dtype: DType) -> DType {
    match dtype {
        _ if dtype.is_float() => DType::F64,
        _ if dtype.is_unsigned() => DType::U64,
        _ => DType::I64,
    }
}

/// For each element, what it and all before it come to.
pub(super) fn running<T: Number>(
    line: &[T],
    op: Scan,
    start: Option<T::Sum>,
    out: &mut [T::Total],
) {
    let mut sum = start.unwrap_or(op.identity());
    for (out, &element) in out.iter_mut().zip(line) {
        sum = op.add(sum, element);
        *out = T::total(sum);
    }
}

/// What all elements come to.
pub(super) fn total<T: Number>(line: &[T], op: Scan) -> T::Sum {
    line.iter().fold(op.identity(), |sum, &element| op.add(sum, element))
}

/// For each element, what all before it come to.
pub(super) fn before<T: Number>(line: &[T], op: Scan, out: &mut [T::Sum]) {
    let mut sum = op.identity();
    for (out, &element) in out.iter_mut().zip(line) {
        *out = sum;
        sum = op.add(sum, element);
    }
}
