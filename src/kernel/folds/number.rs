//! What the folds ask of element types, so that each is written once.

use bytemuck::Pod;

/// An element as it lies in a chunk (`bool` as `u8`).
pub(in crate::kernel) trait Number: Pod + PartialOrd {
    /// The value that is greater than no other: the identity of `max`.
    const LEAST: Self;
    /// The value that is less than no other: the identity of `min`.
    const GREATEST: Self;
    /// What sums and products are accumulated in.
    type Sum: Sum;
    /// What sums and products are returned in: as wide as [`Number::Sum`], but for float32.
    type Total: Pod;
    /// What means are returned in.
    type Real: Pod;
    /// The value as a summand.
    fn to_sum(self) -> Self::Sum;
    /// A sum as it is returned.
    fn total(sum: Self::Sum) -> Self::Total;
    /// A mean as it is returned.
    fn real(mean: f64) -> Self::Real;
    /// The nearest double.
    fn to_f64(self) -> f64;
    /// Whether it is NaN.
    #[inline(always)]
    #[allow(clippy::eq_op, reason = "what NaN is known by")]
    fn is_nan(self) -> bool {
        self != self
    }
}

/// What elements are summed in: doubles, or 64 bits that wrap, whether signed or not.
pub(in crate::kernel) trait Sum: Pod {
    const ZERO: Self;
    const ONE: Self;
    fn add(self, other: Self) -> Self;
    fn multiply(self, other: Self) -> Self;
}

impl Sum for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    #[inline(always)]
    fn add(self, other: f64) -> f64 {
        self + other
    }
    #[inline(always)]
    fn multiply(self, other: f64) -> f64 {
        self * other
    }
}

impl Sum for u64 {
    const ZERO: u64 = 0;
    const ONE: u64 = 1;
    #[inline(always)]
    fn add(self, other: u64) -> u64 {
        self.wrapping_add(other)
    }
    #[inline(always)]
    fn multiply(self, other: u64) -> u64 {
        self.wrapping_mul(other)
    }
}

macro_rules! number {
    ($($t:ty, $sum:ty, $total:ty, $real:ty, $least:expr, $greatest:expr;)*) => {$(
        impl Number for $t {
            const LEAST: $t = $least;
            const GREATEST: $t = $greatest;
            type Sum = $sum;
            type Total = $total;
            type Real = $real;
            #[inline(always)]
            fn to_sum(self) -> $sum {
                self as $sum
            }
            #[inline(always)]
            fn total(sum: $sum) -> $total {
                sum as $total
            }
            #[inline(always)]
            fn real(mean: f64) -> $real {
                mean as $real
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}
number! {
    u8, u64, u64, f64, u8::MIN, u8::MAX;
    u16, u64, u64, f64, u16::MIN, u16::MAX;
    u32, u64, u64, f64, u32::MIN, u32::MAX;
    u64, u64, u64, f64, u64::MIN, u64::MAX;
    i8, u64, u64, f64, i8::MIN, i8::MAX;
    i16, u64, u64, f64, i16::MIN, i16::MAX;
    i32, u64, u64, f64, i32::MIN, i32::MAX;
    i64, u64, u64, f64, i64::MIN, i64::MAX;
    f32, f64, f32, f32, f32::NEG_INFINITY, f32::INFINITY;
    f64, f64, f64, f64, f64::NEG_INFINITY, f64::INFINITY;
}
