//! Floats taken apart and put together (`frexp`, `ldexp`), and Bessel's function `i0`.

use super::{
    Elementwise,
    tile::{Run, kernel, looped},
};
use freeboard_formats::DType;
use std::sync::Arc;

/// A function of floats, of float32 or float64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// The number without its power of 2: 0.5 up to 1, or what has no such.
    Mantissa,
    /// The power of 2, an int32; 0 of what has none.
    Exponent,
    /// The first times 2 to the power of the second, which is a whole number.
    Scale,
    /// Bessel's modified function of the first kind, of order 0.
    I0,
}

/// The kernel of `op` on inputs of `dtype`.
///
/// # Panics
/// If `dtype` is no float.
pub fn special(op: Special, dtype: DType) -> Arc<dyn Elementwise> {
    macro_rules! of {
        ($t:ident) => {{
            let run: Run = match op {
                Special::Mantissa => looped!(map1::<$t, $t>(|a| apart(a.into()).0 as $t)),
                Special::Exponent => looped!(map1::<$t, i32>(|a| apart(a.into()).1)),
                Special::Scale => looped!(map2::<$t, $t>(|a, b| scaled(a.into(), b.into()) as $t)),
                Special::I0 => looped!(map1::<$t, $t>(|a| i0(a.into()) as $t)),
            };
            run
        }};
    }
    let run = match dtype {
        DType::F32 => of!(f32),
        DType::F64 => of!(f64),
        other => panic!("floats are taken apart, and not {other}"),
    };
    match op {
        Special::Mantissa => kernel("frexp_mantissa", &[dtype], dtype, run),
        Special::Exponent => kernel("frexp_exponent", &[dtype], DType::I32, run),
        Special::Scale => kernel("ldexp", &[dtype, dtype], dtype, run),
        Special::I0 => kernel("i0", &[dtype], dtype, run),
    }
}

/// Mantissa and exponent, as C's `frexp` has them.
fn apart(value: f64) -> (f64, i32) {
    const BITS: u64 = 0x7ff;
    let field = |value: f64| ((value.to_bits() >> 52) & BITS) as i32;
    if value == 0.0 || !value.is_finite() {
        return (value, 0);
    }
    // A subnormal number has no exponent of its own.
    let (value, below) = if field(value) == 0 { (value * 2f64.powi(54), 54) } else { (value, 0) };
    let mantissa = f64::from_bits(value.to_bits() & !(BITS << 52) | 1022 << 52);
    (mantissa, field(value) - 1022 - below)
}

/// `value · 2^exponent`, rounded once: the steps before the last are exact, or beyond all numbers.
fn scaled(value: f64, exponent: f64) -> f64 {
    let mut left = exponent.clamp(-3000.0, 3000.0) as i32;
    let mut value = value;
    while left > 1023 {
        value *= 2f64.powi(1023);
        left -= 1023;
    }
    while left < -1022 {
        // 53 bits above the least normal number, so that none is lost.
        value *= 2f64.powi(-969);
        left += 969;
    }
    value * 2f64.powi(left)
}

/// By Chebyshev's series of the Cephes library (S. Moshier), of exp(-x) i0(x) up to 8, and of exp(-x) sqrt(x) i0(x) beyond, as NumPy
/// does it.
fn i0(x: f64) -> f64 {
    let x = x.abs();
    match x <= 8.0 {
        true => x.exp() * series(x / 2.0 - 2.0, &NEAR),
        false => x.exp() * series(32.0 / x - 2.0, &FAR) / x.sqrt(),
    }
}

/// The series at `x / 2`, by Clenshaw's recurrence; the first coefficient is that of the highest order.
fn series(x: f64, coefficients: &[f64]) -> f64 {
    let (mut last, mut before, mut first) = (0.0, 0.0, 0.0);
    for coefficient in coefficients {
        (first, before) = (before, last);
        last = x * before - first + coefficient;
    }
    0.5 * (last - first)
}

const NEAR: [f64; 30] = [
    -4.4153416464793395e-18,
    3.3307945188222384e-17,
    -2.431279846547955e-16,
    1.715391285555133e-15,
    -1.1685332877993451e-14,
    7.676185498604936e-14,
    -4.856446783111929e-13,
    2.95505266312964e-12,
    -1.726826291441556e-11,
    9.675809035373237e-11,
    -5.189795601635263e-10,
    2.6598237246823866e-09,
    -1.300025009986248e-08,
    6.046995022541919e-08,
    -2.670793853940612e-07,
    1.1173875391201037e-06,
    -4.4167383584587505e-06,
    1.6448448070728896e-05,
    -5.754195010082104e-05,
    0.00018850288509584165,
    -0.0005763755745385824,
    0.0016394756169413357,
    -0.004324309995050576,
    0.010546460394594998,
    -0.02373741480589947,
    0.04930528423967071,
    -0.09490109704804764,
    0.17162090152220877,
    -0.3046826723431984,
    0.6767952744094761,
];

const FAR: [f64; 25] = [
    -7.233180487874754e-18,
    -4.830504485944182e-18,
    4.46562142029676e-17,
    3.461222867697461e-17,
    -2.8276239805165836e-16,
    -3.425485619677219e-16,
    1.7725601330565263e-15,
    3.8116806693526224e-15,
    -9.554846698828307e-15,
    -4.150569347287222e-14,
    1.54008621752141e-14,
    3.8527783827421426e-13,
    7.180124451383666e-13,
    -1.7941785315068062e-12,
    -1.3215811840447713e-11,
    -3.1499165279632416e-11,
    1.1889147107846439e-11,
    4.94060238822497e-10,
    3.3962320257083865e-09,
    2.266668990498178e-08,
    2.0489185894690638e-07,
    2.8913705208347567e-06,
    6.889758346916825e-05,
    0.0033691164782556943,
    0.8044904110141088,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apart_and_together_again() {
        for (value, mantissa, exponent) in [
            (3.5, 0.875, 2),
            (-1.0, -0.5, 1),
            (5e-324, 0.5, -1073),
            (f64::MAX, 1.0 - f64::EPSILON / 2.0, 1024),
        ] {
            assert_eq!(apart(value), (mantissa, exponent));
            assert_eq!(scaled(mantissa, exponent.into()), value);
        }
        assert_eq!(apart(f64::INFINITY), (f64::INFINITY, 0));
        assert_eq!(scaled(1.0, 5000.0), f64::INFINITY);
        assert_eq!(scaled(1.0, -5000.0), 0.0);
        // Rounded once: 3 · 2^-1075 lies between 2^-1074 and 2^-1073, half of the way.
        assert_eq!(scaled(3.0, -1075.0), 2.0 * 5e-324);
    }

    #[test]
    fn known_values_of_i0() {
        // Abramowitz and Stegun, table 9.8.
        for (x, value) in [(0.0, 1.0), (1.0, 1.266_065_877_752_008), (-10.0, 2_815.716_628_466_254)]
        {
            assert!((i0(x) / value - 1.0).abs() < 1e-14, "{x}");
        }
    }
}
