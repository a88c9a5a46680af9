//! Functions of one element.

use super::{
    Elementwise,
    promote::float_of,
    tile::{Run, kernel, looped, named},
};
use freeboard_formats::DType;
use std::sync::Arc;

named! {
    /// A function of one element, with NumPy's meaning: integers wrap.
    Unary {
        /// The negative; not of `bool`.
        Negative = "negative",
        /// The absolute value; the least signed integer stays as it is.
        Abs = "absolute",
        /// The absolute value, as a float.
        Fabs = "fabs",
        /// -1, 0 or 1, or NaN; not of `bool`.
        Sign = "sign",
        /// The square root.
        Sqrt = "sqrt",
        /// The cube root.
        Cbrt = "cbrt",
        /// The square.
        Square = "square",
        /// The inverse; of integers, truncated, and 0 of 0.
        Reciprocal = "reciprocal",
        /// e to the power.
        Exp = "exp",
        /// 2 to the power.
        Exp2 = "exp2",
        /// e to the power, less 1, exact near 0.
        Expm1 = "expm1",
        /// The natural logarithm.
        Log = "log",
        /// The logarithm to base 2.
        Log2 = "log2",
        /// The logarithm to base 10.
        Log10 = "log10",
        /// The natural logarithm of 1 more, exact near 0.
        Log1p = "log1p",
        /// The sine of an angle in radians.
        Sin = "sin",
        /// The cosine of an angle in radians.
        Cos = "cos",
        /// The tangent of an angle in radians.
        Tan = "tan",
        /// The angle, in radians, with this sine.
        Arcsin = "arcsin",
        /// The angle, in radians, with this cosine.
        Arccos = "arccos",
        /// The angle, in radians, with this tangent.
        Arctan = "arctan",
        /// The hyperbolic sine.
        Sinh = "sinh",
        /// The hyperbolic cosine.
        Cosh = "cosh",
        /// The hyperbolic tangent.
        Tanh = "tanh",
        /// The number with this hyperbolic sine.
        Arcsinh = "arcsinh",
        /// The positive number with this hyperbolic cosine.
        Arccosh = "arccosh",
        /// The number with this hyperbolic tangent.
        Arctanh = "arctanh",
        /// sin(π x) / (π x), and 1 of 0: float64 of integers.
        Sinc = "sinc",
        /// The distance to the next float away from zero.
        Spacing = "spacing",
        /// Degrees as radians.
        Radians = "radians",
        /// Radians as degrees.
        Degrees = "degrees",
        /// The greatest whole number not above; integers stay as they are.
        Floor = "floor",
        /// The least whole number not below; integers stay as they are.
        Ceil = "ceil",
        /// The whole part; integers stay as they are.
        Trunc = "trunc",
        /// The nearest whole number, the even one of two.
        Rint = "rint",
        /// Whether it is NaN.
        IsNan = "isnan",
        /// Whether it is neither infinite nor NaN.
        IsFinite = "isfinite",
        /// Whether it is infinite.
        IsInf = "isinf",
        /// Whether it is negative, -0.0 and a NaN with the sign bit among them.
        Signbit = "signbit",
        /// 0 of NaN, the greatest and the least finite number of infinities.
        NanToNum = "nan_to_num",
        /// The complement: of every bit of integers, of the truth of `bool`.
        Not = "invert",
        /// Whether it is zero.
        LogicalNot = "logical_not",
    }
}

impl Unary {
    /// The dtype to which the input is converted, and that of the result.
    ///
    /// Functions with fractional values compute in float64 for integers of 32 and 64 bits, in
    /// float32 for smaller ones and `bool` (NumPy: float16 where these have 8 bits).
    ///
    /// # Errors
    /// If the function is not defined for the dtype.
    pub fn types(self, dtype: DType) -> Result<(DType, DType), String> {
        use Unary::*;
        let same = |dtype| Ok((dtype, dtype));
        let refused = |why: &str| Err(format!("{} of {dtype} is not defined{why}", self.name()));
        match self {
            Negative if dtype == DType::Bool => refused("; use invert"),
            Sign if dtype == DType::Bool => refused("; cast to an integer dtype"),
            Square | Reciprocal if dtype == DType::Bool => same(DType::I8),
            Negative | Sign | Square | Reciprocal | Abs | Floor | Ceil | Trunc | NanToNum => {
                same(dtype)
            }
            IsNan | IsFinite | IsInf | Signbit | LogicalNot => Ok((dtype, DType::Bool)),
            Sinc if !dtype.is_float() => same(DType::F64),
            Sinc => same(dtype),
            Not if dtype.is_float() => refused("; cast to an integer dtype or to bool"),
            Not => same(dtype),
            Sqrt | Cbrt | Exp | Exp2 | Expm1 | Log | Log2 | Log10 | Log1p | Sin | Cos | Tan
            | Arcsin | Arccos | Arctan | Sinh | Cosh | Tanh | Arcsinh | Arccosh | Arctanh
            | Radians | Degrees | Rint | Fabs | Spacing => same(float_of(dtype)),
        }
    }
}

/// The kernel of `op` on an input of `dtype`.
///
/// # Panics
/// If `dtype` is not one that [`Unary::types`] names as that of the input.
pub fn unary(op: Unary, dtype: DType) -> Arc<dyn Elementwise> {
    let run = match dtype {
        DType::Bool if op == Unary::Not => Some(looped!(map1::<u8, u8>(|a| a ^ 1))),
        DType::Bool | DType::U8 => integers::u8(op),
        DType::U16 => integers::u16(op),
        DType::U32 => integers::u32(op),
        DType::U64 => integers::u64(op),
        DType::I8 => integers::i8(op),
        DType::I16 => integers::i16(op),
        DType::I32 => integers::i32(op),
        DType::I64 => integers::i64(op),
        DType::F32 => floats::f32(op),
        DType::F64 => floats::f64(op),
    };
    let result = op.types(dtype).ok().filter(|(input, _)| *input == dtype);
    let (Some(run), Some((_, output))) = (run, result) else {
        panic!("{} runs on dtypes that its types name, not on {dtype}", op.name());
    };
    kernel(op.name(), &[dtype], output, run)
}

/// Functions of integers, one Rust function a type.
mod integers {
    use super::{Run, Unary, looped};

    macro_rules! integer {
        ($($t:ident)*) => {$(
            // The comparisons with 0 that are never true are those of unsigned types.
            #[allow(unused_comparisons)]
            pub(super) fn $t(op: Unary) -> Option<Run> {
                Some(match op {
                    Unary::Negative => looped!(map1::<$t, $t>(|a| a.wrapping_neg())),
                    Unary::Abs => {
                        looped!(map1::<$t, $t>(|a| if a < 0 { a.wrapping_neg() } else { a }))
                    }
                    Unary::Sign => looped!(map1::<$t, $t>(|a| if a < 0 { !0 } else { (a > 0).into() })),
                    Unary::Square => looped!(map1::<$t, $t>(|a| a.wrapping_mul(a))),
                    Unary::Reciprocal => {
                        looped!(map1::<$t, $t>(|a| if a == 1 || a == !0 && a < 0 { a } else { 0 }))
                    }
                    Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::NanToNum => looped!(map1::<$t, $t>(|a| a)),
                    Unary::Signbit => looped!(map1::<$t, u8>(|a| (a < 0).into())),
                    Unary::IsNan | Unary::IsInf => looped!(map1::<$t, u8>(|_| 0)),
                    Unary::IsFinite => looped!(map1::<$t, u8>(|_| 1)),
                    Unary::Not => looped!(map1::<$t, $t>(|a| !a)),
                    Unary::LogicalNot => looped!(map1::<$t, u8>(|a| (a == 0).into())),
                    _ => return None,
                })
            }
        )*};
    }
    integer!(u8 u16 u32 u64 i8 i16 i32 i64);
}

/// Functions of floats, one Rust function a type.
mod floats {
    use super::{Run, Unary, looped};
    use std::f64::consts::LN_2;

    /// From here on, 1 beside the square of a number is less than its last bit: the standard
    /// library's inverse hyperbolic functions overflow further up, these are logarithms.
    const LARGE: f64 = (1u64 << 28) as f64;

    fn arcsinh(a: f64) -> f64 {
        let size = a.abs();
        if size > LARGE { (size.ln() + LN_2).copysign(a) } else { a.asinh() }
    }

    fn arccosh(a: f64) -> f64 {
        if a > LARGE { a.ln() + LN_2 } else { a.acosh() }
    }

    macro_rules! float {
        ($($t:ident)*) => {$(
            pub(super) fn $t(op: Unary) -> Option<Run> {
                Some(match op {
                    Unary::Negative => looped!(map1::<$t, $t>(|a| -a)),
                    Unary::Abs | Unary::Fabs => looped!(map1::<$t, $t>(|a| a.abs())),
                    Unary::Sign => looped!(map1::<$t, $t>(|a| {
                        if a > 0.0 {
                            1.0
                        } else if a < 0.0 {
                            -1.0
                        } else if a == 0.0 {
                            0.0
                        } else {
                            a
                        }
                    })),
                    Unary::Sqrt => looped!(map1::<$t, $t>(|a| a.sqrt())),
                    Unary::Cbrt => looped!(map1::<$t, $t>(|a| a.cbrt())),
                    Unary::Square => looped!(map1::<$t, $t>(|a| a * a)),
                    Unary::Reciprocal => looped!(map1::<$t, $t>(|a| 1.0 / a)),
                    Unary::Exp => looped!(map1::<$t, $t>(|a| a.exp())),
                    Unary::Exp2 => looped!(map1::<$t, $t>(|a| a.exp2())),
                    Unary::Expm1 => looped!(map1::<$t, $t>(|a| a.exp_m1())),
                    Unary::Log => looped!(map1::<$t, $t>(|a| a.ln())),
                    Unary::Log2 => looped!(map1::<$t, $t>(|a| a.log2())),
                    Unary::Log10 => looped!(map1::<$t, $t>(|a| a.log10())),
                    Unary::Log1p => looped!(map1::<$t, $t>(|a| a.ln_1p())),
                    Unary::Sin => looped!(map1::<$t, $t>(|a| a.sin())),
                    Unary::Cos => looped!(map1::<$t, $t>(|a| a.cos())),
                    Unary::Tan => looped!(map1::<$t, $t>(|a| a.tan())),
                    Unary::Arcsin => looped!(map1::<$t, $t>(|a| a.asin())),
                    Unary::Arccos => looped!(map1::<$t, $t>(|a| a.acos())),
                    Unary::Arctan => looped!(map1::<$t, $t>(|a| a.atan())),
                    Unary::Sinh => looped!(map1::<$t, $t>(|a| a.sinh())),
                    Unary::Cosh => looped!(map1::<$t, $t>(|a| a.cosh())),
                    Unary::Tanh => looped!(map1::<$t, $t>(|a| a.tanh())),
                    Unary::Arcsinh => looped!(map1::<$t, $t>(|a| arcsinh(a.into()) as $t)),
                    Unary::Arccosh => looped!(map1::<$t, $t>(|a| arccosh(a.into()) as $t)),
                    Unary::Arctanh => looped!(map1::<$t, $t>(|a| a.atanh())),
                    Unary::Sinc => looped!(map1::<$t, $t>(|a| {
                        let angle = std::$t::consts::PI * a;
                        if angle == 0.0 { 1.0 } else { angle.sin() / angle }
                    })),
                    Unary::Spacing => looped!(map1::<$t, $t>(|a| {
                        if a < 0.0 { a.next_down() - a } else { a.next_up() - a }
                    })),
                    Unary::Radians => looped!(map1::<$t, $t>(|a| a.to_radians())),
                    Unary::Degrees => looped!(map1::<$t, $t>(|a| a.to_degrees())),
                    Unary::Floor => looped!(round::<$t, _>(|a| a.floor())),
                    Unary::Ceil => looped!(round::<$t, _>(|a| a.ceil())),
                    Unary::Trunc => looped!(round::<$t, _>(|a| a.trunc())),
                    Unary::Rint => looped!(round::<$t, _>(|a| a.round_ties_even())),
                    Unary::IsNan => looped!(map1::<$t, u8>(|a| a.is_nan().into())),
                    Unary::IsFinite => looped!(map1::<$t, u8>(|a| a.is_finite().into())),
                    Unary::IsInf => looped!(map1::<$t, u8>(|a| a.is_infinite().into())),
                    Unary::Signbit => looped!(map1::<$t, u8>(|a| a.is_sign_negative().into())),
                    Unary::NanToNum => looped!(map1::<$t, $t>(|a| {
                        if a.is_nan() { 0.0 } else { a.clamp(<$t>::MIN, <$t>::MAX) }
                    })),
                    Unary::LogicalNot => looped!(map1::<$t, u8>(|a| (a == 0.0).into())),
                    Unary::Not => return None,
                })
            }
        )*};
    }
    float!(f32 f64);
}
