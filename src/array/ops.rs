//! Operators and functions of two arrays, and how their dtypes meet.
//!
//! Untyped arrays promote as NumPy's NEP 50 says, and Rust scalars beside them are weak: they
//! take the array's dtype where their kind allows it. Typed operands have one type. The
//! conversions are kernels of their own, so that kernels only ever see the dtypes they ask for.

use super::{Array, Dyn, Kind, Line, cast, kept, mistake};
use crate::{
    error::Result,
    expr::Expr,
    kernel::{
        self, Binary, Unary,
        promote::{Weak, result_type, with_weak},
    },
};
use freeboard_formats::{DType, Grid, Scalar};
use std::{ops, panic::Location};

/// One side of an operation; made by [`Operand`].
#[derive(Debug)]
pub struct Term(Side);

#[derive(Clone, Debug)]
enum Side {
    Array(Expr),
    Scalar(Scalar),
}

/// What may stand beside an [`Array<T>`]: such an array, a reference to one, or a scalar: a
/// `T`, or any Rust number or `bool` beside an untyped array.
pub trait Operand<T: Kind> {
    /// The operand, ready to be combined.
    fn term(self) -> Term;
}

impl<T: Kind> Operand<T> for Array<T> {
    fn term(self) -> Term {
        Term(Side::Array(self.expr))
    }
}

impl<T: Kind> Operand<T> for &Array<T> {
    fn term(self) -> Term {
        Term(Side::Array(self.expr.clone()))
    }
}

impl Operand<Dyn> for Term {
    fn term(self) -> Term {
        self
    }
}

fn weak(value: Scalar) -> Weak {
    match value {
        Scalar::Bool(v) => Weak::Bool(v),
        Scalar::U8(v) => Weak::Int(v.into()),
        Scalar::U16(v) => Weak::Int(v.into()),
        Scalar::U32(v) => Weak::Int(v.into()),
        Scalar::U64(v) => Weak::Int(v.into()),
        Scalar::I8(v) => Weak::Int(v.into()),
        Scalar::I16(v) => Weak::Int(v.into()),
        Scalar::I32(v) => Weak::Int(v.into()),
        Scalar::I64(v) => Weak::Int(v.into()),
        Scalar::F32(v) => Weak::Float(v.into()),
        Scalar::F64(v) => Weak::Float(v),
    }
}

/// The dtype of a side; a scalar's is the one in which it meets `other`.
fn dtype_beside(side: &Side, other: &Side) -> Result<DType, String> {
    match (side, other) {
        (Side::Array(expr), _) => Ok(dtype_of(expr)),
        (Side::Scalar(value), Side::Array(expr)) => with_weak(dtype_of(expr), weak(*value)),
        (Side::Scalar(value), Side::Scalar(_)) => Ok(value.dtype()),
    }
}

/// The dtype of an expression that is no mistake.
fn dtype_of(expr: &Expr) -> DType {
    expr.meta().map_or(DType::F64, |meta| meta.dtype)
}

fn is_comparison(op: Binary) -> bool {
    use Binary::*;
    matches!(op, Equal | NotEqual | Less | LessEqual | Greater | GreaterEqual)
}

fn converted(side: Side, dtype: DType, at: Line) -> Expr {
    match side {
        Side::Array(expr) => cast(&expr, dtype, at),
        Side::Scalar(value) => Expr::constant(value.cast(dtype), Grid::whole(&[]), at),
    }
}

fn check(side: &Side) -> Result<()> {
    match side {
        Side::Array(expr) => expr.meta().map(|_| ()),
        Side::Scalar(_) => Ok(()),
    }
}

pub(super) fn combine(op: Binary, Term(a): Term, Term(b): Term, at: Line) -> Expr {
    kept(at, || {
        check(&a)?;
        check(&b)?;
        let dtypes = match (dtype_beside(&a, &b), dtype_beside(&b, &a)) {
            (Ok(a), Ok(b)) => (a, b),
            // A quotient of integers is a float64, in which the scalar is one too.
            (a, b) if op == Binary::Divide => (a.unwrap_or(DType::F64), b.unwrap_or(DType::F64)),
            // Whether an integer beyond a dtype is greater than its values can still be told.
            (left, right) if is_comparison(op) => {
                (left.unwrap_or(own_dtype(&a)), right.unwrap_or(own_dtype(&b)))
            }
            (Err(error), _) | (_, Err(error)) => return Err(mistake(at)(error)),
        };
        if is_comparison(op) && is_mixed(dtypes) {
            return Ok(compare(op, &converted(a, dtypes.0, at), &converted(b, dtypes.1, at), at));
        }
        let (common, _) = op.types(dtypes.0, dtypes.1).map_err(mistake(at))?;
        if let (Binary::Power, Side::Scalar(exponent)) = (op, &b)
            && let Some(expr) = power_of(&a, *exponent, common, at)
        {
            return expr;
        }
        let (a, b) = (converted(a, common, at), converted(b, common, at));
        Ok(Expr::apply(kernel::binary(op, common), &[&a, &b], at))
    })
}

/// The dtype of a side on its own.
fn own_dtype(side: &Side) -> DType {
    match side {
        Side::Array(expr) => dtype_of(expr),
        Side::Scalar(value) => value.dtype(),
    }
}

/// Whether one is uint64 and the other signed: no dtype holds all values of both.
fn is_mixed(dtypes: (DType, DType)) -> bool {
    use DType::*;
    matches!(dtypes, (U64, I8 | I16 | I32 | I64) | (I8 | I16 | I32 | I64, U64))
}

/// Compares uint64 with a signed dtype as NumPy does, exactly: negative numbers are less than all of the
/// other side, the rest is compared as uint64.
fn compare(op: Binary, a: &Expr, b: &Expr, at: Line) -> Expr {
    let left = dtype_of(a) != DType::U64;
    let signed = if left { a } else { b };
    let negative = Expr::apply(kernel::unary(Unary::Signbit, dtype_of(signed)), &[signed], at);
    let [x, y] = [a, b].map(|side| cast(side, DType::U64, at));
    let compared = Expr::apply(kernel::binary(op, DType::U64), &[&x, &y], at);
    let truth = match op {
        Binary::Equal => false,
        Binary::NotEqual => true,
        Binary::Less | Binary::LessEqual => left,
        _ => !left,
    };
    let truth = Expr::constant(Scalar::Bool(truth), Grid::whole(&[]), at);
    Expr::apply(kernel::select(DType::Bool), &[&negative, &truth, &compared], at)
}

/// The power of `base`, of dtype `common`, where the exponent is one that has a function of its
/// own, or no meaning: NumPy's rules.
fn power_of(base: &Side, exponent: Scalar, common: DType, at: Line) -> Option<Result<Expr>> {
    let value = exponent.as_f64();
    let op = match value {
        _ if value < 0.0 && !common.is_float() => {
            let message = "integers to negative integer powers are not allowed";
            let error = mistake(at)(message.into()).help("cast the array to a float dtype");
            return Some(Err(error));
        }
        2.0 => Unary::Square,
        0.5 if common.is_float() => Unary::Sqrt,
        -1.0 => Unary::Reciprocal,
        _ => return None,
    };
    let base = converted(base.clone(), common, at);
    Some(Ok(Expr::apply(kernel::unary(op, common), &[&base], at)))
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:ident $out:ty;)*) => {$(
        operators!(@one $trait $method $op $out; [T: Kind, R: Operand<T>] Array<T>, R);
        operators!(@one $trait $method $op $out; ['a, T: Kind, R: Operand<T>] &'a Array<T>, R);
        operators!(@scalar $trait $method $op $out; bool u8 u16 u32 u64 i8 i16 i32 i64 f32 f64);
    )*};
    (@scalar $trait:ident $method:ident $op:ident $out:ty; $($t:ty)*) => {$(
        operators!(@one $trait $method $op $out; [T: Kind] $t, Array<T>);
        operators!(@one $trait $method $op $out; ['a, T: Kind] $t, &'a Array<T>);
    )*};
    (@one $trait:ident $method:ident $op:ident $out:ty; [$($generics:tt)*] $left:ty, $right:ty) => {
        impl<$($generics)*> ops::$trait<$right> for $left
        where
            $left: Operand<T>,
        {
            type Output = Array<$out>;
            #[track_caller]
            fn $method(self, right: $right) -> Array<$out> {
                Array::from_expr(combine(Binary::$op, self.term(), right.term(), Location::caller()))
            }
        }
    };
}

operators! {
    Add add Add T;
    Sub sub Subtract T;
    Mul mul Multiply T;
    Div div Divide T::Mean;
    Rem rem Remainder T::Number;
    BitAnd bitand And T;
    BitOr bitor Or T;
    BitXor bitxor Xor T;
    Shl shl ShiftLeft T::Number;
    Shr shr ShiftRight T::Number;
}

macro_rules! scalars {
    ($($t:ty),*) => {$(
        impl Operand<Dyn> for $t {
            fn term(self) -> Term {
                Term(Side::Scalar(self.into()))
            }
        }

        impl Operand<$t> for $t {
            fn term(self) -> Term {
                Term(Side::Scalar(self.into()))
            }
        }
    )*};
}
scalars!(bool, u8, u16, u32, u64, i8, i16, i32, i64, f32, f64);

impl Operand<Dyn> for Scalar {
    fn term(self) -> Term {
        Term(Side::Scalar(self))
    }
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident $op:ident $out:ty;)*) => {
        impl<T: Kind> Array<T> {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self, other: impl Operand<T>) -> Array<$out> {
                Array::from_expr(combine(Binary::$op, self.term(), other.term(), Location::caller()))
            }
        )*}
    };
}

functions! {
    /// Whether elements are equal.
    equal Equal bool;
    /// Whether elements differ.
    not_equal NotEqual bool;
    /// Whether elements are less than the other's.
    less Less bool;
    /// Whether elements are less than the other's, or equal.
    less_equal LessEqual bool;
    /// Whether elements are greater than the other's.
    greater Greater bool;
    /// Whether elements are greater than the other's, or equal.
    greater_equal GreaterEqual bool;
    /// Whether elements of both are not zero.
    logical_and LogicalAnd bool;
    /// Whether elements of one or both are not zero.
    logical_or LogicalOr bool;
    /// Whether elements of exactly one are not zero.
    logical_xor LogicalXor bool;
    /// The smaller elements; NaN where one is NaN.
    minimum Minimum T;
    /// The greater elements; NaN where one is NaN.
    maximum Maximum T;
    /// The smaller elements; the other's where one is NaN.
    fmin Fmin T;
    /// The greater elements; the other's where one is NaN.
    fmax Fmax T;
    /// The quotients rounded down; of integers by zero, 0.
    floor_div FloorDivide T::Number;
    /// What [`floor_div`](Array::floor_div) leaves, with the sign of the other's; the operator `%`.
    remainder Remainder T::Number;
    /// What division rounded towards zero leaves, with the sign of the elements.
    fmod Fmod T::Number;
    /// The elements to the power of the other's. Integers wrap; a negative integer exponent gives
    /// the truncated power, but as a scalar it is a mistake, as in NumPy. The scalars 2, 0.5 and -1
    /// are the square, the square root and the inverse.
    pow Power T::Number;
    /// The elements to the power of the other's, in float64 whatever the dtypes.
    float_power FloatPower f64;
    /// The greatest common divisors; not of floats.
    gcd Gcd T;
    /// The least common multiples; not of floats.
    lcm Lcm T;
    /// log(exp(x) + exp(y)), without overflow.
    logaddexp LogAddExp T::Real;
    /// log2(2ˣ + 2ʸ), without overflow.
    logaddexp2 LogAddExp2 T::Real;
    /// The elements with the signs of the other's.
    copysign Copysign T::Real;
    /// The next floats towards the other's.
    nextafter Nextafter T::Real;
    /// 0 where elements are negative, 1 where they are positive, the other's where they are 0.
    heaviside Heaviside T::Real;
    /// The lengths of hypotenuses.
    hypot Hypot T::Real;
    /// The angles, in radians, of the points (other, self) from the first axis.
    arctan2 Arctan2 T::Real;
}

impl Array {
    /// `op` of two operands, of which scalars are weak, on either side.
    #[track_caller]
    pub(crate) fn binary(op: Binary, a: Term, b: Term) -> Array {
        Array::from_expr(combine(op, a, b, Location::caller()))
    }
}

impl<T: Kind> Array<T> {
    /// The quotients rounded down, and what is left: `floor_div` and `%`.
    #[track_caller]
    pub fn divmod(&self, other: impl Operand<T>) -> (Array<T::Number>, Array<T::Number>) {
        let at = Location::caller();
        let Term(other) = other.term();
        let quotients = combine(Binary::FloorDivide, self.term(), Term(other.clone()), at);
        let rests = combine(Binary::Remainder, self.term(), Term(other), at);
        (Array::from_expr(quotients), Array::from_expr(rests))
    }

    /// Whether elements are as near to the other's as `atol + rtol · |other|`, or equal (NumPy's
    /// defaults are 1e-5 and 1e-8). NaN is near nothing; `.all(..)` of this is NumPy's `allclose`.
    /// ```
    /// use freeboard::array::linspace;
    ///
    /// let x = linspace(-4.0, 4.0, 81);
    /// let (whole, rest) = x.divmod(0.5);
    /// let same = (whole * 0.5 + rest).isclose(&x, 1e-5, 1e-8).all(..);
    /// let positive = x.greater(0.0).choose(&x, 0.0).logaddexp(1.0).round(2);
    /// assert_eq!((same.rank()?, positive.shape()?), (0, vec![81]));
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn isclose(&self, other: impl Operand<T>, rtol: f64, atol: f64) -> Array<bool> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let (Term(a), Term(b)) = (self.term(), other.term());
            check(&a)?;
            check(&b)?;
            let dtype = |side, other| dtype_beside(side, other).map_err(mistake(at));
            let (_, real) =
                Binary::Divide.types(dtype(&a, &b)?, dtype(&b, &a)?).map_err(mistake(at))?;
            let number = |value| converted(Side::Scalar(Scalar::F64(value)), real, at);
            let of = |op, x: &Expr| Expr::apply(kernel::unary(op, real), &[x], at);
            let with = |op, x: &Expr, y: &Expr| Expr::apply(kernel::binary(op, real), &[x, y], at);
            let either =
                |op, x: &Expr, y: &Expr| Expr::apply(kernel::binary(op, DType::Bool), &[x, y], at);
            let (a, b) = (converted(a, real, at), converted(b, real, at));
            let distance = of(Unary::Abs, &with(Binary::Subtract, &a, &b));
            let relative = with(Binary::Multiply, &number(rtol), &of(Unary::Abs, &b));
            let allowed = with(Binary::Add, &number(atol), &relative);
            let near = with(Binary::LessEqual, &distance, &allowed);
            let finite = either(Binary::And, &near, &of(Unary::IsFinite, &b));
            Ok(either(Binary::Or, &finite, &with(Binary::Equal, &a, &b)))
        })
    }

    /// Whether elements are equal to one of `values`: one comparison each.
    #[track_caller]
    pub fn isin<V: Operand<T>>(&self, values: impl IntoIterator<Item = V>) -> Array<bool> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let grid = self.meta()?.grid.clone();
            let mut any = Expr::constant(Scalar::Bool(false), grid, at);
            for value in values {
                let equal = combine(Binary::Equal, self.term(), value.term(), at);
                any = Expr::apply(kernel::binary(Binary::Or, DType::Bool), &[&any, &equal], at);
            }
            Ok(any)
        })
    }

    /// The elements, but `low` where they are less and `high` where they are greater; NaN stays.
    #[track_caller]
    pub fn clip(&self, low: impl Operand<T>, high: impl Operand<T>) -> Array<T> {
        let at = Location::caller();
        let raised = combine(Binary::Maximum, self.term(), low.term(), at);
        Array::from_expr(combine(Binary::Minimum, Term(Side::Array(raised)), high.term(), at))
    }
}

impl Array<bool> {
    /// Where this mask is true the elements of `yes`, elsewhere those of `no`: NumPy's `where`.
    /// Either may be a scalar.
    #[track_caller]
    pub fn choose<T: Kind>(&self, yes: impl Operand<T>, no: impl Operand<T>) -> Array<T> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            self.meta()?;
            let (Term(yes), Term(no)) = (yes.term(), no.term());
            check(&yes)?;
            check(&no)?;
            let dtype = |side, other| dtype_beside(side, other).map_err(mistake(at));
            let common = result_type(dtype(&yes, &no)?, dtype(&no, &yes)?);
            let (yes, no) = (converted(yes, common, at), converted(no, common, at));
            Ok(Expr::apply(kernel::select(common), &[&self.expr, &yes, &no], at))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pad, ones, zeros};
    use super::*;
    use crate::expr::Op;
    use std::sync::Arc;

    fn of(dtype: DType) -> Array {
        Array::<f64>::from_ndarray(&ndarray::arr1(&[1.0, 2.0])).cast_to(dtype)
    }

    #[test]
    fn untyped_arrays_promote_as_numpy() {
        use DType::*;
        let dtype = |x: Array| x.dtype().unwrap();
        assert_eq!(dtype(of(U8) + of(I8)), I16);
        assert_eq!(dtype(of(I32) + of(F32)), F64);
        assert_eq!(dtype(of(I16) / of(I16)), F64);
        assert_eq!(dtype(of(F32) / of(F32)), F32);
        assert_eq!(dtype(of(F32) * 2.0), F32);
        assert_eq!(dtype(3 * &of(U8)), U8);
        assert_eq!(dtype(of(U8) * 2.0), F64);
        assert_eq!(dtype(of(Bool) + 1), I64);
        assert_eq!(dtype(of(Bool) + true), Bool);
        assert_eq!(dtype(of(Bool) % of(Bool)), I8);
        assert_eq!(of(U8).less(1000).dtype().unwrap(), Bool);
        assert_eq!(dtype(of(U8) / 1000), F64);
        let error = (of(U8) + 300).dtype().unwrap_err().to_string();
        assert!(error.starts_with("300 is beyond uint8 (0 to 255)"), "{error}");
        let error = (of(Bool) - of(Bool)).dtype().unwrap_err().to_string();
        assert!(error.starts_with("subtract of bool and bool is not defined"), "{error}");
    }

    #[test]
    fn typed_arrays_give_numpys_types() {
        let x: Array<i32> = ones([2]);
        let quotient: Array<f64> = &x / &x;
        let ratio: Array<f64> = 1 / x.clone();
        let rest: Array<i8> = zeros::<bool>([2]) % true;
        let mask: Array<bool> = x.greater(1) | x.equal(&x);
        let y: Array<f32> = 2.0 * &x.cast::<f32>() - 1.0;
        for meta in [quotient.meta(), ratio.meta(), rest.meta(), mask.meta(), y.meta()] {
            meta.unwrap();
        }
        let picked: Array<f32> = mask.choose(&y, 0.0);
        assert_eq!(picked.shape().unwrap(), [2]);
        assert_eq!(y.clip(0.0, &y).dtype().unwrap(), DType::F32);
    }

    #[test]
    fn conversions_are_kernels_and_scalars_constants() {
        let sum = of(DType::I16) + 1.5f32;
        let [left, right] = sum.expr().inputs() else { panic!("two inputs") };
        assert!(matches!(left.op(), Op::Apply(kernel) if kernel.name() == "cast"));
        assert!(matches!(right.op(), Op::Constant(Scalar::F64(1.5))));
    }

    #[test]
    fn powers_of_integers_that_are_none() {
        let says = |array: String| {
            assert!(array.starts_with("integers to negative integer powers are not"), "{array}");
        };
        says(of(DType::I16).pow(-1).to_string());
        says(ones::<i32>([2]).pow(-2).to_string());
        assert_eq!(of(DType::I16).pow(-1.0).dtype().unwrap(), DType::F64);
        assert_eq!(of(DType::Bool).pow(2).dtype().unwrap(), DType::I64);
        let square = ones::<f32>([2]).pow(2.0);
        assert!(matches!(square.expr().op(), Op::Apply(kernel) if kernel.name() == "square"));
        let error = of(DType::F32).gcd(of(DType::U8)).to_string();
        assert!(error.starts_with("gcd of float32 and uint8 is not defined; cast"), "{error}");
        let chosen: Array<f64> = ones::<bool>([2]).choose(1.0, 0.0);
        assert_eq!(chosen.shape().unwrap(), [2]);
    }

    #[test]
    fn shapes_that_do_not_broadcast() {
        let (a, b) = (zeros::<f32>([2048, 2048]), zeros::<f32>([2048, 2047]));
        let line = line!() + 1;
        let difference = a.to_dyn() - b.to_dyn();
        assert_eq!(
            difference.shape().unwrap_err().to_string(),
            format!(
                "shapes (2048, 2048) and (2048, 2047) do not broadcast in `-` at {}:{line}",
                file!()
            )
        );
        let further: Array<Dyn> = (difference + 1).sum(0);
        assert!(further.to_string().contains("`-`"));
        let error = a.less(&b).meta().unwrap_err().to_string();
        assert!(error.contains("do not broadcast in `less`"), "{error}");
    }

    #[test]
    fn results_are_described_as_the_first_array_whatever_the_chunks() {
        let of = |object: &str, shape: (usize, usize), chunks: [i64; 2]| {
            let array = Array::chunked(&ndarray::Array2::<f64>::zeros(shape), chunks);
            Array::<f64>::from_expr(array.expr().described(|meta| {
                let cards = [("OBJECT", object.into()), ("CRPIX1", 2.into())];
                let cards = cards.into_iter().map(|(key, value)| (key.to_owned(), value));
                meta.attributes = Arc::new(cards.collect());
                meta.axes = vec![format!("{object} y"), format!("{object} x")];
            }))
        };
        fn told<T: Kind>(array: Array<T>) -> (String, bool, String) {
            let meta = array.meta().unwrap();
            let object = meta.attributes["OBJECT"].as_str().unwrap().to_owned();
            (object, meta.attributes.contains_key("CRPIX1"), meta.axes.last().unwrap().clone())
        }
        let sun = of("SUN", (3, 4), [3, 4]);
        for chunks in [[3, 4], [1, 4], [2, 2]] {
            let (bias, flat) = (of("BIAS", (3, 4), chunks), of("FLAT", (3, 4), [3, 2]));
            let in_place = ("SUN".to_owned(), true, "SUN x".to_owned());
            assert_eq!(told((&sun - &bias) / &flat), in_place);
            assert_eq!(told(sun.greater(0.0).choose(&bias, &flat)), in_place);
            assert_eq!(told(1.0 - &sun), in_place);
            assert_eq!(told(zeros::<f64>([3, 4]) + &sun - bias.mean(..)), in_place);
            // A row that was repeated is where it was no more.
            let row = of("ROW", (1, 4), [1, 2]);
            assert_eq!(told(&row * &bias), ("ROW".to_owned(), false, "ROW x".to_owned()));
        }
        let moved = ("SUN".to_owned(), false, "SUN x".to_owned());
        assert_eq!(told(sun.pad(1, Pad::Constant(0.into()))), moved);
        for moving in
            [sun.repeat(2, 0), sun.sort(0), sun.topk(2, 0), sun.rechunk([1, 4]).topk(2, 0)]
        {
            assert_eq!(told(moving), moved);
        }
        assert_eq!(told(sun.argsort(0)), moved);
        for shape in [&[12][..], &[2, 6], &[2, 2, 3]] {
            assert!(!told(sun.reshape(shape.to_vec())).1, "{shape:?}");
        }
    }
}
