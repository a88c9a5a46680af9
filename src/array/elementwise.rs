//! Functions of one element, with NumPy's names and meaning.

use super::{Array, Kind, Line, cast, kept, mistake};
use crate::{
    expr::Expr,
    kernel::{self, Binary, Special, Unary, promote::float_of},
};
use freeboard_formats::{DType, Grid, Scalar};
use std::{ops, panic::Location, sync::Arc};

fn apply(op: Unary, expr: &Expr, at: Line) -> Expr {
    kept(at, || {
        let (input, _) = op.types(expr.meta()?.dtype).map_err(mistake(at))?;
        Ok(Expr::apply(kernel::unary(op, input), &[&cast(expr, input, at)], at))
    })
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident $op:ident $out:ty;)*) => {
        impl<T: Kind> Array<T> {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self) -> Array<$out> {
                Array::from_expr(apply(Unary::$op, &self.expr, Location::caller()))
            }
        )*}
    };
}

functions! {
    /// The absolute values; the least signed integer stays as it is.
    abs Abs T;
    /// The absolute values, as floats.
    fabs Fabs T::Real;
    /// -1, 0 or 1, or NaN.
    sign Sign T;
    /// The greatest whole numbers not above.
    floor Floor T;
    /// The least whole numbers not below.
    ceil Ceil T;
    /// The whole parts.
    trunc Trunc T;
    /// The nearest whole numbers, the even ones of two.
    rint Rint T::Real;
    /// The squares. Integers wrap.
    square Square T::Number;
    /// The inverses; of integers, truncated.
    reciprocal Reciprocal T::Number;
    /// The square roots.
    sqrt Sqrt T::Real;
    /// The cube roots.
    cbrt Cbrt T::Real;
    /// e to the power of the elements.
    exp Exp T::Real;
    /// 2 to the power of the elements.
    exp2 Exp2 T::Real;
    /// e to the power of the elements, less 1, exact near 0.
    expm1 Expm1 T::Real;
    /// The natural logarithms.
    log Log T::Real;
    /// The logarithms to base 2.
    log2 Log2 T::Real;
    /// The logarithms to base 10.
    log10 Log10 T::Real;
    /// The natural logarithms of 1 more, exact near 0.
    log1p Log1p T::Real;
    /// The sines of angles in radians.
    sin Sin T::Real;
    /// The cosines of angles in radians.
    cos Cos T::Real;
    /// The tangents of angles in radians.
    tan Tan T::Real;
    /// The angles, in radians, with these sines.
    arcsin Arcsin T::Real;
    /// The angles, in radians, with these cosines.
    arccos Arccos T::Real;
    /// The angles, in radians, with these tangents.
    arctan Arctan T::Real;
    /// The hyperbolic sines.
    sinh Sinh T::Real;
    /// The hyperbolic cosines.
    cosh Cosh T::Real;
    /// The hyperbolic tangents.
    tanh Tanh T::Real;
    /// The numbers with these hyperbolic sines.
    arcsinh Arcsinh T::Real;
    /// The positive numbers with these hyperbolic cosines.
    arccosh Arccosh T::Real;
    /// The numbers with these hyperbolic tangents.
    arctanh Arctanh T::Real;
    /// sin(π x) / (π x), and 1 of 0.
    sinc Sinc T::Mean;
    /// The distances to the next floats away from zero.
    spacing Spacing T::Real;
    /// Degrees as radians: NumPy's `deg2rad`.
    radians Radians T::Real;
    /// Radians as degrees: NumPy's `rad2deg`.
    degrees Degrees T::Real;
    /// Whether elements are NaN.
    isnan IsNan bool;
    /// Whether elements are neither infinite nor NaN.
    isfinite IsFinite bool;
    /// Whether elements are infinite.
    isinf IsInf bool;
    /// Whether elements are negative, -0.0 among them.
    signbit Signbit bool;
    /// 0 in place of NaN, the greatest and the least finite number in place of infinities.
    /// `x.isnan().choose(value, &x)` puts another value.
    nan_to_num NanToNum T;
    /// Whether elements are zero.
    logical_not LogicalNot bool;
}

impl<T: Kind> Array<T> {
    /// Rounded to so many decimals, ties to even digits; a negative number rounds to tens,
    /// hundreds and so on. Not of `bool`.
    ///
    /// As NumPy does it: multiplied by a power of ten, rounded, and divided again; of integers, by way
    /// of float64.
    #[track_caller]
    pub fn round(&self, decimals: i32) -> Array<T> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let dtype = self.meta()?.dtype;
            if dtype == DType::Bool {
                let message = "round of bool is not defined; cast to an integer dtype";
                return Err(mistake(at)(message.into()));
            }
            if decimals == 0 || (decimals > 0 && !dtype.is_float()) {
                let op = if dtype.is_float() { Unary::Rint } else { Unary::Trunc };
                return Ok(apply(op, &self.expr, at));
            }
            let wide = if dtype.is_float() { dtype } else { DType::F64 };
            let power = Scalar::F64(10f64.powi(decimals.abs())).cast(wide);
            let power = Expr::constant(power, Grid::whole(&[]), at);
            let (first, last) = match decimals > 0 {
                true => (Binary::Multiply, Binary::Divide),
                false => (Binary::Divide, Binary::Multiply),
            };
            let by = |op, expr: &Expr| Expr::apply(kernel::binary(op, wide), &[expr, &power], at);
            let scaled = by(first, &cast(&self.expr, wide, at));
            let rounded = by(last, &apply(Unary::Rint, &scaled, at));
            Ok(cast(&rounded, dtype, at))
        })
    }
}

impl<T: Kind> Array<T> {
    /// The fractional parts and the whole parts, both with the signs of the elements.
    #[track_caller]
    pub fn modf(&self) -> (Array<T::Real>, Array<T::Real>) {
        let at = Location::caller();
        let elements = kept(at, || {
            let dtype = float_of(self.meta()?.dtype);
            Ok(cast(&self.expr, dtype, at))
        });
        let whole = apply(Unary::Trunc, &elements, at);
        let rest = kept(at, || {
            let dtype = elements.meta()?.dtype;
            let with = |op, a: &Expr, b: &Expr| Expr::apply(kernel::binary(op, dtype), &[a, b], at);
            let rest = with(Binary::Subtract, &elements, &whole);
            // An infinity has no fraction; the difference would be NaN.
            let infinite = apply(Unary::IsInf, &elements, at);
            let zero = Expr::constant(Scalar::zero(dtype), Grid::whole(&[]), at);
            let rest = Expr::apply(kernel::select(dtype), &[&infinite, &zero, &rest], at);
            Ok(with(Binary::Copysign, &rest, &elements))
        });
        (Array::from_expr(rest), Array::from_expr(whole))
    }

    /// Mantissas between 0.5 and 1, and the powers of 2, by which they are the elements.
    /// ```
    /// use freeboard::{Session, array::linspace};
    ///
    /// let x = linspace(1.0, 3.0, 3);
    /// let (mantissas, exponents) = x.frexp();
    /// let session = Session::builder().memory("128MiB").build()?;
    /// assert_eq!(session.compute(mantissas.ldexp(&exponents))?, session.compute(&x)?);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn frexp(&self) -> (Array<T::Real>, Array<i32>) {
        let at = Location::caller();
        let mantissas = self.special(Special::Mantissa, float_of, at);
        (
            Array::from_expr(mantissas),
            Array::from_expr(self.special(Special::Exponent, float_of, at)),
        )
    }

    /// The elements times 2 to the power of `exponents`, which are integers.
    #[track_caller]
    pub fn ldexp<I: Kind>(&self, exponents: &Array<I>) -> Array<T::Real> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let (dtype, integers) = (float_of(self.meta()?.dtype), exponents.meta()?.dtype);
            if integers.is_float() {
                let message = format!("exponents of {integers}; cast them to an integer dtype");
                return Err(mistake(at)(message));
            }
            let [elements, exponents] = [&self.expr, &exponents.expr].map(|e| cast(e, dtype, at));
            Ok(Expr::apply(kernel::special(Special::Scale, dtype), &[&elements, &exponents], at))
        })
    }

    /// Bessel's modified function of the first kind, of order 0. In float64 of integers.
    #[track_caller]
    pub fn i0(&self) -> Array<T::Mean> {
        let real = |dtype: DType| if dtype.is_float() { dtype } else { DType::F64 };
        Array::from_expr(self.special(Special::I0, real, Location::caller()))
    }

    fn special(&self, op: Special, real: impl Fn(DType) -> DType, at: Line) -> Expr {
        kept(at, || {
            let dtype = real(self.meta()?.dtype);
            Ok(Expr::apply(kernel::special(op, dtype), &[&cast(&self.expr, dtype, at)], at))
        })
    }

    /// Between which of `edges` elements lie, as doubles: `i` where `edges[i - 1] <= x < edges[i]`, 0
    /// before the first and `edges.len()` behind the last, where NaN is, too. With `right`, an
    /// element on an edge lies before it. Edges may also decrease, and are then counted from above.
    #[track_caller]
    pub fn digitize(&self, edges: &[f64], right: bool) -> Array<i64> {
        let at = Location::caller();
        let rising = edges.is_sorted();
        if !rising && !edges.iter().rev().is_sorted() {
            let message = "the edges of `digitize` neither increase nor decrease all the way";
            return Array::from_expr(Expr::failed(mistake(at)(message.into()), at));
        }
        let mut edges = edges.to_vec();
        edges.sort_by(f64::total_cmp);
        let kernel = kernel::Digitize { edges: edges.into(), right, falling: !rising };
        Array::<T>::build(at, || {
            self.meta()?;
            Ok(Expr::apply(Arc::new(kernel), &[&cast(&self.expr, DType::F64, at)], at))
        })
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:ident),*) => {$(
        impl<T: Kind> ops::$trait for &Array<T> {
            type Output = Array<T>;
            #[track_caller]
            fn $method(self) -> Array<T> {
                Array::from_expr(apply(Unary::$op, &self.expr, Location::caller()))
            }
        }

        impl<T: Kind> ops::$trait for Array<T> {
            type Output = Array<T>;
            #[track_caller]
            fn $method(self) -> Array<T> {
                Array::from_expr(apply(Unary::$op, &self.expr, Location::caller()))
            }
        }
    )*};
}
operators!(Neg neg Negative, Not not Not);

#[cfg(test)]
mod tests {
    use super::super::{Array, zeros};
    use freeboard_formats::DType;

    #[test]
    fn edges_in_no_order() {
        let x = zeros::<f32>([3]);
        assert_eq!(x.digitize(&[], false).shape().unwrap(), [3]);
        for edges in [&[0.0, 2.0, 1.0][..], &[0.0, f64::NAN]] {
            let error = x.digitize(edges, false).to_string();
            assert!(error.starts_with("the edges of `digitize` neither increase nor"), "{error}");
        }
    }

    #[test]
    fn dtypes_are_numpys() {
        let x = zeros::<i16>([3]);
        let root: Array<f32> = x.sqrt();
        let wide: Array<f64> = x.cast::<i32>().sin();
        let square: Array<i8> = x.cast::<bool>().square();
        assert_eq!(root.dtype().unwrap(), DType::F32);
        assert_eq!(wide.dtype().unwrap(), DType::F64);
        assert_eq!(square.dtype().unwrap(), DType::I8);
        assert_eq!((-&x).abs().isnan().dtype().unwrap(), DType::Bool);
        let error = (!x.cast::<f32>()).to_string();
        assert!(
            error.starts_with("invert of float32 is not defined; cast to an integer"),
            "{error}"
        );
        let error = (-x.cast::<bool>().to_dyn()).to_string();
        assert!(error.starts_with("negative of bool is not defined; use invert at "), "{error}");
    }
}
