//! Operations on two arrays, and the choice between two by a third.

use super::{
    Elementwise,
    promote::{float_of, result_type},
    tile::{Run, choose, kernel, looped, named},
};
use bytemuck::Pod;
use freeboard_formats::DType;
use std::sync::Arc;

named! {
    /// An operation on two elements, with NumPy's meaning: integers wrap, division of
    /// integers by zero gives 0.
    Binary {
        /// Sum; of `bool`s, or.
        Add = "add",
        /// Difference; not of `bool`s.
        Subtract = "subtract",
        /// Product; of `bool`s, and.
        Multiply = "multiply",
        /// True division: float64 for integers.
        Divide = "divide",
        /// The quotient rounded down.
        FloorDivide = "floor_divide",
        /// What [`FloorDivide`](Binary::FloorDivide) leaves: it has the sign of the divisor.
        Remainder = "remainder",
        /// Power. NumPy refuses negative integer exponents; here the exact power is
        /// truncated: 0, unless the base is 1 or -1.
        Power = "power",
        /// Power in float64, whatever the dtypes.
        FloatPower = "float_power",
        /// What division rounded towards zero leaves: it has the sign of the dividend.
        Fmod = "fmod",
        /// The greatest common divisor; not of floats.
        Gcd = "gcd",
        /// The least common multiple, 0 if one is 0; not of floats.
        Lcm = "lcm",
        /// The logarithm of the sum of the exponentials.
        LogAddExp = "logaddexp",
        /// The logarithm, to base 2, of the sum of the powers of 2.
        LogAddExp2 = "logaddexp2",
        /// The first with the sign of the second.
        Copysign = "copysign",
        /// The next value after the first, towards the second.
        Nextafter = "nextafter",
        /// 0 if the first is negative, 1 if it is positive, the second if it is 0.
        Heaviside = "heaviside",
        /// The smaller; NaN if one is NaN.
        Minimum = "minimum",
        /// The greater; NaN if one is NaN.
        Maximum = "maximum",
        /// The smaller; the other if one is NaN.
        Fmin = "fmin",
        /// The greater; the other if one is NaN.
        Fmax = "fmax",
        /// The length of the hypotenuse.
        Hypot = "hypot",
        /// The angle of the point (second, first) from the first axis, in radians.
        Arctan2 = "arctan2",
        /// Whether they are equal.
        Equal = "equal",
        /// Whether they differ.
        NotEqual = "not_equal",
        /// Whether the first is less.
        Less = "less",
        /// Whether the first is less or equal.
        LessEqual = "less_equal",
        /// Whether the first is greater.
        Greater = "greater",
        /// Whether the first is greater or equal.
        GreaterEqual = "greater_equal",
        /// And, bit by bit.
        And = "bitwise_and",
        /// Or, bit by bit.
        Or = "bitwise_or",
        /// Exclusive or, bit by bit.
        Xor = "bitwise_xor",
        /// Whether both are not zero.
        LogicalAnd = "logical_and",
        /// Whether one is not zero.
        LogicalOr = "logical_or",
        /// Whether exactly one is not zero.
        LogicalXor = "logical_xor",
        /// Bits moved up; by as many as there are or more, or by a negative number, 0.
        ShiftLeft = "left_shift",
        /// Bits moved down, with the sign; by as many as there are or more, or by a
        /// negative number, 0 or -1.
        ShiftRight = "right_shift",
    }
}

impl Binary {
    /// The dtype to which both inputs are converted, and that of the result.
    ///
    /// uint64 meets signed integers in float64, where neighbours beyond 2^53 are equal: who
    /// compares these two exactly, as NumPy does, converts them otherwise.
    ///
    /// # Errors
    /// If the operation is not defined for these dtypes.
    pub fn types(self, a: DType, b: DType) -> Result<(DType, DType), String> {
        use Binary::*;
        let common = result_type(a, b);
        let bools = common == DType::Bool;
        let refused =
            |why: &str| Err(format!("{} of {a} and {b} is not defined{why}", self.name()));
        let same = |dtype| Ok((dtype, dtype));
        match self {
            Subtract if bools => refused("; use bitwise_xor"),
            Add | Subtract | Multiply | Minimum | Maximum | Fmin | Fmax => same(common),
            Divide if common.is_float() => same(common),
            Divide => same(DType::F64),
            FloatPower => same(DType::F64),
            Gcd | Lcm if bools || common.is_float() => refused("; cast to an integer dtype"),
            Gcd | Lcm => same(common),
            FloorDivide | Remainder | Fmod | Power if bools => same(DType::I8),
            FloorDivide | Remainder | Fmod | Power => same(common),
            Hypot | Arctan2 | LogAddExp | LogAddExp2 | Copysign | Nextafter | Heaviside => {
                same(result_type(float_of(a), float_of(b)))
            }
            Equal | NotEqual | Less | LessEqual | Greater | GreaterEqual => {
                Ok((common, DType::Bool))
            }
            LogicalAnd | LogicalOr | LogicalXor => Ok((common, DType::Bool)),
            And | Or | Xor | ShiftLeft | ShiftRight if common.is_float() => {
                refused("; cast to an integer dtype or to bool")
            }
            And | Or | Xor => same(common),
            ShiftLeft | ShiftRight if bools => same(DType::I8),
            ShiftLeft | ShiftRight => same(common),
        }
    }
}

/// The kernel of `op` on two inputs of `dtype`.
///
/// # Panics
/// If `dtype` is not one that [`Binary::types`] names as that of the inputs.
pub fn binary(op: Binary, dtype: DType) -> Arc<dyn Elementwise> {
    let run = match dtype {
        DType::Bool => of_bool(op).or_else(|| ordered::<u8>(op)),
        DType::U8 => integers::u8(op).or_else(|| ordered::<u8>(op)),
        DType::U16 => integers::u16(op).or_else(|| ordered::<u16>(op)),
        DType::U32 => integers::u32(op).or_else(|| ordered::<u32>(op)),
        DType::U64 => integers::u64(op).or_else(|| ordered::<u64>(op)),
        DType::I8 => integers::i8(op).or_else(|| ordered::<i8>(op)),
        DType::I16 => integers::i16(op).or_else(|| ordered::<i16>(op)),
        DType::I32 => integers::i32(op).or_else(|| ordered::<i32>(op)),
        DType::I64 => integers::i64(op).or_else(|| ordered::<i64>(op)),
        DType::F32 => floats::f32(op).or_else(|| ordered::<f32>(op)),
        DType::F64 => floats::f64(op).or_else(|| ordered::<f64>(op)),
    };
    let result = op.types(dtype, dtype).ok().filter(|(common, _)| *common == dtype);
    let (Some(run), Some((_, output))) = (run, result) else {
        panic!("{} runs on dtypes that its types name, not on {dtype}", op.name());
    };
    kernel(op.name(), &[dtype, dtype], output, run)
}

/// The kernel that takes, where its first input (`bool`) is true, the second, else the third;
/// both of `dtype`.
pub fn select(dtype: DType) -> Arc<dyn Elementwise> {
    let run: Run = match dtype.size() {
        1 => choose::<u8>,
        2 => choose::<u16>,
        4 => choose::<u32>,
        _ => choose::<u64>,
    };
    kernel("select", &[DType::Bool, dtype, dtype], dtype, run)
}

/// What `bool`s do otherwise than `u8`s.
fn of_bool(op: Binary) -> Option<Run> {
    Some(match op {
        Binary::Add | Binary::Or => looped!(map2::<u8, u8>(|a, b| a | b)),
        Binary::Multiply | Binary::And => looped!(map2::<u8, u8>(|a, b| a & b)),
        Binary::Xor => looped!(map2::<u8, u8>(|a, b| a ^ b)),
        _ => return None,
    })
}

/// Comparisons, and what is made of them: alike for all types.
fn ordered<T: Pod + PartialOrd + Default>(op: Binary) -> Option<Run> {
    #[inline(always)]
    fn truth<T: PartialOrd + Default>(a: T) -> bool {
        a != T::default()
    }
    // `a != a` finds NaN, and is never true of integers: the compiler drops it there.
    #[allow(clippy::eq_op)]
    Some(match op {
        Binary::Equal => looped!(map2::<T, u8>(|a, b| (a == b).into())),
        Binary::NotEqual => looped!(map2::<T, u8>(|a, b| (a != b).into())),
        Binary::Less => looped!(map2::<T, u8>(|a, b| (a < b).into())),
        Binary::LessEqual => looped!(map2::<T, u8>(|a, b| (a <= b).into())),
        Binary::Greater => looped!(map2::<T, u8>(|a, b| (a > b).into())),
        Binary::GreaterEqual => looped!(map2::<T, u8>(|a, b| (a >= b).into())),
        Binary::LogicalAnd => looped!(map2::<T, u8>(|a, b| (truth(a) & truth(b)).into())),
        Binary::LogicalOr => looped!(map2::<T, u8>(|a, b| (truth(a) | truth(b)).into())),
        Binary::LogicalXor => looped!(map2::<T, u8>(|a, b| (truth(a) ^ truth(b)).into())),
        Binary::Minimum => looped!(map2::<T, T>(|a, b| if (a <= b) | (a != a) { a } else { b })),
        Binary::Maximum => looped!(map2::<T, T>(|a, b| if (a >= b) | (a != a) { a } else { b })),
        Binary::Fmin => looped!(map2::<T, T>(|a, b| if (a <= b) | (b != b) { a } else { b })),
        Binary::Fmax => looped!(map2::<T, T>(|a, b| if (a >= b) | (b != b) { a } else { b })),
        _ => return None,
    })
}

/// Arithmetic of integers, a function a type.
mod integers {
    use super::{Binary, Run, looped};

    macro_rules! integer {
        ($($t:ident)*) => {$(
            // The comparisons with 0 that are never true are those of unsigned types.
            #[allow(unused_comparisons)]
            pub(super) fn $t(op: Binary) -> Option<Run> {
                fn absolute(a: $t) -> $t {
                    if a < 0 { a.wrapping_neg() } else { a }
                }
                /// Euclid's algorithm.
                fn divisor(a: $t, b: $t) -> $t {
                    let (mut a, mut b) = (absolute(a), absolute(b));
                    while b != 0 {
                        (a, b) = (b, absolute(a.wrapping_rem(b)));
                    }
                    absolute(a)
                }
                Some(match op {
                    Binary::Add => looped!(map2::<$t, $t>(|a, b| a.wrapping_add(b))),
                    Binary::Subtract => looped!(map2::<$t, $t>(|a, b| a.wrapping_sub(b))),
                    Binary::Multiply => looped!(map2::<$t, $t>(|a, b| a.wrapping_mul(b))),
                    Binary::FloorDivide => looped!(map2::<$t, $t>(|a, b| {
                        if b == 0 {
                            return 0;
                        }
                        let (quotient, rest) = (a.wrapping_div(b), a.wrapping_rem(b));
                        if rest != 0 && (rest < 0) != (b < 0) { quotient - 1 } else { quotient }
                    })),
                    Binary::Remainder => looped!(map2::<$t, $t>(|a, b| {
                        if b == 0 {
                            return 0;
                        }
                        let rest = a.wrapping_rem(b);
                        if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
                    })),
                    Binary::Fmod => looped!(map2::<$t, $t>(|a, b| {
                        if b == 0 { 0 } else { a.wrapping_rem(b) }
                    })),
                    Binary::Gcd => looped!(map2::<$t, $t>(|a, b| divisor(a, b))),
                    Binary::Lcm => looped!(map2::<$t, $t>(|a, b| match divisor(a, b) {
                        0 => 0,
                        divisor => absolute(a.wrapping_div(divisor).wrapping_mul(b)),
                    })),
                    Binary::Power => looped!(map2::<$t, $t>(|mut base, mut exponent| {
                        if exponent < 0 {
                            return match (base == 1, base == !0, exponent & 1) {
                                (true, _, _) | (_, true, 0) => 1,
                                (_, true, _) => base,
                                _ => 0,
                            };
                        }
                        let mut power: $t = 1;
                        while exponent > 0 {
                            if exponent & 1 == 1 {
                                power = power.wrapping_mul(base);
                            }
                            base = base.wrapping_mul(base);
                            exponent >>= 1;
                        }
                        power
                    })),
                    Binary::And => looped!(map2::<$t, $t>(|a, b| a & b)),
                    Binary::Or => looped!(map2::<$t, $t>(|a, b| a | b)),
                    Binary::Xor => looped!(map2::<$t, $t>(|a, b| a ^ b)),
                    Binary::ShiftLeft => looped!(map2::<$t, $t>(|a, b| {
                        if (0..<$t>::BITS as $t).contains(&b) { a << b } else { 0 }
                    })),
                    Binary::ShiftRight => looped!(map2::<$t, $t>(|a, b| {
                        if (0..<$t>::BITS as $t).contains(&b) {
                            a >> b
                        } else if a < 0 {
                            !0
                        } else {
                            0
                        }
                    })),
                    _ => return None,
                })
            }
        )*};
    }
    integer!(u8 u16 u32 u64 i8 i16 i32 i64);
}

/// Arithmetic of floats, a function a type.
mod floats {
    use super::{Binary, Run, looped};

    macro_rules! float {
        ($($t:ident)*) => {$(
            pub(super) fn $t(op: Binary) -> Option<Run> {
                Some(match op {
                    Binary::Add => looped!(wide2::<$t, _>(|a, b| a + b)),
                    Binary::Subtract => looped!(wide2::<$t, _>(|a, b| a - b)),
                    Binary::Multiply => looped!(wide2::<$t, _>(|a, b| a * b)),
                    Binary::Divide => looped!(wide2::<$t, _>(|a, b| a / b)),
                    // As Python's `float.__divmod__`, which keeps quotient and rest consistent.
                    Binary::FloorDivide => looped!(map2::<$t, $t>(|a, b| {
                        if b == 0.0 {
                            return a / b;
                        }
                        let rest = a % b;
                        let mut quotient = (a - rest) / b;
                        if rest != 0.0 && (rest < 0.0) != (b < 0.0) {
                            quotient -= 1.0;
                        }
                        if quotient == 0.0 {
                            return (0.0 as $t).copysign(a / b);
                        }
                        let floor = quotient.floor();
                        if quotient - floor > 0.5 { floor + 1.0 } else { floor }
                    })),
                    Binary::Remainder => looped!(map2::<$t, $t>(|a, b| {
                        let rest = a % b;
                        if rest == 0.0 {
                            (0.0 as $t).copysign(b)
                        } else if (rest < 0.0) != (b < 0.0) {
                            rest + b
                        } else {
                            rest
                        }
                    })),
                    Binary::Fmod => looped!(map2::<$t, $t>(|a, b| a % b)),
                    Binary::Power | Binary::FloatPower => {
                        looped!(map2::<$t, $t>(|a, b| a.powf(b)))
                    }
                    Binary::LogAddExp => looped!(map2::<$t, $t>(|a, b| {
                        match a - b {
                            _ if a == b => a + std::$t::consts::LN_2,
                            more if more > 0.0 => a + (-more).exp().ln_1p(),
                            less => b + less.exp().ln_1p(),
                        }
                    })),
                    Binary::LogAddExp2 => looped!(map2::<$t, $t>(|a, b| {
                        let log2_1p = |x: $t| std::$t::consts::LOG2_E * x.ln_1p();
                        match a - b {
                            _ if a == b => a + 1.0,
                            more if more > 0.0 => a + log2_1p((-more).exp2()),
                            less => b + log2_1p(less.exp2()),
                        }
                    })),
                    Binary::Copysign => looped!(map2::<$t, $t>(|a, b| a.copysign(b))),
                    Binary::Nextafter => looped!(map2::<$t, $t>(|a, b| {
                        if a < b {
                            a.next_up()
                        } else if a > b {
                            a.next_down()
                        } else if a == b {
                            b
                        } else {
                            a + b
                        }
                    })),
                    Binary::Heaviside => looped!(map2::<$t, $t>(|a, b| {
                        if a == 0.0 {
                            b
                        } else if a < 0.0 {
                            0.0
                        } else if a > 0.0 {
                            1.0
                        } else {
                            a
                        }
                    })),
                    Binary::Hypot => looped!(map2::<$t, $t>(|a, b| a.hypot(b))),
                    Binary::Arctan2 => looped!(map2::<$t, $t>(|a, b| a.atan2(b))),
                    _ => return None,
                })
            }
        )*};
    }
    float!(f32 f64);
}
