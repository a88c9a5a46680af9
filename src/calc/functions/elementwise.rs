//! Functions of the elements at one place: NumPy's ufuncs, and its choices between elements.

use super::{
    super::{
        fault::{Fault, Result},
        value::Value,
    },
    arguments::Arguments,
    choose::places,
    functions,
};
use crate::{
    array::{Array, Term},
    kernel::{Binary, promote::integer_range},
};
use freeboard_formats::DType;

functions! {
    "add(x1, x2, /)" "x1 + x2" => |a| a.binary(Binary::Add)?;
    "subtract(x1, x2, /)" "x1 - x2" => |a| a.binary(Binary::Subtract)?;
    "multiply(x1, x2, /)" "x1 * x2" => |a| a.binary(Binary::Multiply)?;
    "divide|true_divide(x1, x2, /)" "x1 / x2" => |a| a.binary(Binary::Divide)?;
    "floor_divide(x1, x2, /)" "x1 // x2" => |a| a.binary(Binary::FloorDivide)?;
    "remainder|mod(x1, x2, /)" "x1 % x2, with the sign of x2" => |a| a.binary(Binary::Remainder)?;
    "power|pow(x1, x2, /)" "x1 ** x2" => |a| a.binary(Binary::Power)?;
    "fmod(x1, x2, /)" "What division rounded towards zero leaves, with the sign of x1" => |a| a.binary(Binary::Fmod)?;
    "divmod(x1, x2, /)" "x1 // x2 and x1 % x2" => |a| Value::Tuple(vec![a.binary(Binary::FloorDivide)?, a.binary(Binary::Remainder)?]);
    "float_power(x1, x2, /)" "x1 ** x2, in float64" => |a| a.binary(Binary::FloatPower)?;
    "gcd(x1, x2, /)" "The greatest common divisors" => |a| a.binary(Binary::Gcd)?;
    "lcm(x1, x2, /)" "The least common multiples" => |a| a.binary(Binary::Lcm)?;
    "logaddexp(x1, x2, /)" "log(exp(x1) + exp(x2)), without overflow" => |a| a.binary(Binary::LogAddExp)?;
    "logaddexp2(x1, x2, /)" "log2(2 ** x1 + 2 ** x2), without overflow" => |a| a.binary(Binary::LogAddExp2)?;
    "copysign(x1, x2, /)" "x1 with the signs of x2" => |a| a.binary(Binary::Copysign)?;
    "nextafter(x1, x2, /)" "The next floats after x1 towards x2" => |a| a.binary(Binary::Nextafter)?;
    "heaviside(x1, x2, /)" "0 where x1 is negative, 1 where it is positive, x2 where it is 0" => |a| a.binary(Binary::Heaviside)?;
    "minimum(x1, x2, /)" "The smaller elements; NaN where one is NaN" => |a| a.binary(Binary::Minimum)?;
    "maximum(x1, x2, /)" "The greater elements; NaN where one is NaN" => |a| a.binary(Binary::Maximum)?;
    "fmin(x1, x2, /)" "The smaller elements; the other where one is NaN" => |a| a.binary(Binary::Fmin)?;
    "fmax(x1, x2, /)" "The greater elements; the other where one is NaN" => |a| a.binary(Binary::Fmax)?;
    "hypot(x1, x2, /)" "The lengths of hypotenuses" => |a| a.binary(Binary::Hypot)?;
    "arctan2|atan2(x1, x2, /)" "The angles of the points (x2, x1), in radians" => |a| a.binary(Binary::Arctan2)?;
    "equal(x1, x2, /)" "x1 == x2" => |a| a.binary(Binary::Equal)?;
    "not_equal(x1, x2, /)" "x1 != x2" => |a| a.binary(Binary::NotEqual)?;
    "less(x1, x2, /)" "x1 < x2" => |a| a.binary(Binary::Less)?;
    "less_equal(x1, x2, /)" "x1 <= x2" => |a| a.binary(Binary::LessEqual)?;
    "greater(x1, x2, /)" "x1 > x2" => |a| a.binary(Binary::Greater)?;
    "greater_equal(x1, x2, /)" "x1 >= x2" => |a| a.binary(Binary::GreaterEqual)?;
    "bitwise_and(x1, x2, /)" "x1 & x2" => |a| a.binary(Binary::And)?;
    "bitwise_or(x1, x2, /)" "x1 | x2" => |a| a.binary(Binary::Or)?;
    "bitwise_xor(x1, x2, /)" "x1 ^ x2" => |a| a.binary(Binary::Xor)?;
    "left_shift|bitwise_left_shift(x1, x2, /)" "x1 << x2" => |a| a.binary(Binary::ShiftLeft)?;
    "right_shift|bitwise_right_shift(x1, x2, /)" "x1 >> x2" => |a| a.binary(Binary::ShiftRight)?;
    "logical_and(x1, x2, /)" "Whether both are not zero" => |a| a.binary(Binary::LogicalAnd)?;
    "logical_or(x1, x2, /)" "Whether one is not zero" => |a| a.binary(Binary::LogicalOr)?;
    "logical_xor(x1, x2, /)" "Whether exactly one is not zero" => |a| a.binary(Binary::LogicalXor)?;

    "negative(x, /)" "-x" => |a| -a.array("x")?;
    "positive(x, /)" "+x" => |a| positive(a.array("x")?)?;
    "absolute|abs(x, /)" "The absolute values" => |a| a.array("x")?.abs();
    "fabs(x, /)" "The absolute values, as floats" => |a| a.array("x")?.fabs();
    "sign(x, /)" "-1, 0 or 1, or NaN" => |a| a.array("x")?.sign();
    "sqrt(x, /)" "The square roots" => |a| a.array("x")?.sqrt();
    "cbrt(x, /)" "The cube roots" => |a| a.array("x")?.cbrt();
    "square(x, /)" "The squares" => |a| a.array("x")?.square();
    "reciprocal(x, /)" "1 / x; of integers, truncated" => |a| a.array("x")?.reciprocal();
    "exp(x, /)" "e to the power of x" => |a| a.array("x")?.exp();
    "exp2(x, /)" "2 to the power of x" => |a| a.array("x")?.exp2();
    "expm1(x, /)" "exp(x) - 1, exact near 0" => |a| a.array("x")?.expm1();
    "log(x, /)" "The natural logarithms" => |a| a.array("x")?.log();
    "log2(x, /)" "The logarithms to base 2" => |a| a.array("x")?.log2();
    "log10(x, /)" "The logarithms to base 10" => |a| a.array("x")?.log10();
    "log1p(x, /)" "log(1 + x), exact near 0" => |a| a.array("x")?.log1p();
    "sin(x, /)" "The sines of angles in radians" => |a| a.array("x")?.sin();
    "cos(x, /)" "The cosines of angles in radians" => |a| a.array("x")?.cos();
    "tan(x, /)" "The tangents of angles in radians" => |a| a.array("x")?.tan();
    "arcsin|asin(x, /)" "The angles with these sines" => |a| a.array("x")?.arcsin();
    "arccos|acos(x, /)" "The angles with these cosines" => |a| a.array("x")?.arccos();
    "arctan|atan(x, /)" "The angles with these tangents" => |a| a.array("x")?.arctan();
    "sinh(x, /)" "The hyperbolic sines" => |a| a.array("x")?.sinh();
    "cosh(x, /)" "The hyperbolic cosines" => |a| a.array("x")?.cosh();
    "tanh(x, /)" "The hyperbolic tangents" => |a| a.array("x")?.tanh();
    "arcsinh|asinh(x, /)" "The numbers with these hyperbolic sines" => |a| a.array("x")?.arcsinh();
    "arccosh|acosh(x, /)" "The positive numbers with these hyperbolic cosines" => |a| a.array("x")?.arccosh();
    "arctanh|atanh(x, /)" "The numbers with these hyperbolic tangents" => |a| a.array("x")?.arctanh();
    "sinc(x)" "sin(pi x) / (pi x), and 1 of 0" => |a| a.array("x")?.sinc();
    "spacing(x, /)" "The distances to the next floats away from zero" => |a| a.array("x")?.spacing();
    "radians|deg2rad(x, /)" "Degrees as radians" => |a| a.array("x")?.radians();
    "degrees|rad2deg(x, /)" "Radians as degrees" => |a| a.array("x")?.degrees();
    "floor(x, /)" "The greatest whole numbers not above" => |a| a.array("x")?.floor();
    "ceil(x, /)" "The least whole numbers not below" => |a| a.array("x")?.ceil();
    "trunc|fix(x, /)" "The whole parts" => |a| a.array("x")?.trunc();
    "modf(x, /)" "The fractional and the whole parts" => |a| { let (rest, whole) = a.array("x")?.modf(); Value::Tuple(vec![rest.into(), whole.into()]) };
    "frexp(x, /)" "Mantissas between 0.5 and 1, and exponents of 2" => |a| { let (mantissas, exponents) = a.array("x")?.frexp(); Value::Tuple(vec![mantissas.into(), exponents.into()]) };
    "ldexp(x1, x2, /)" "x1 * 2 ** x2, of integers x2" => |a| a.array("x1")?.ldexp(&whole(a, "x2")?);
    "i0(x)" "Bessel's modified function of the first kind, of order 0" => |a| a.array("x")?.i0();
    "real|conj|conjugate(val)" "The elements, as none are complex" => |a| a.array("val")?;
    "rint(x, /)" "The nearest whole numbers, the even ones of two" => |a| a.array("x")?.rint();
    "round|around(a, decimals=0)" "Rounded to so many decimals, ties to even digits" => |a| a.array("a")?.round(decimals(a)?);
    "invert|bitwise_not|bitwise_invert(x, /)" "~x" => |a| !a.array("x")?;
    "logical_not(x, /)" "Whether elements are zero" => |a| a.array("x")?.logical_not();
    "isnan(x, /)" "Whether elements are NaN" => |a| a.array("x")?.isnan();
    "isfinite(x, /)" "Whether elements are neither infinite nor NaN" => |a| a.array("x")?.isfinite();
    "isinf(x, /)" "Whether elements are infinite" => |a| a.array("x")?.isinf();
    "isposinf(x)" "Whether elements are infinite and positive" => |a| infinite(a, f64::INFINITY)?;
    "isneginf(x)" "Whether elements are infinite and negative" => |a| infinite(a, f64::NEG_INFINITY)?;
    "signbit(x, /)" "Whether elements are negative, -0.0 among them" => |a| a.array("x")?.signbit();
    "nan_to_num(x, *, nan=0.0, posinf=None, neginf=None)" "nan in place of NaN, posinf and neginf, or the greatest finite numbers, in place of infinities" => |a| nan_to_num(a)?;
    "isclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False)" "Whether elements are equal within atol + rtol * abs(b)" => |a| close(a)?;
    "allclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False)" "Whether all elements are close" => |a| close(a)?.all(..);
    "array_equal(a1, a2, equal_nan=False)" "Whether two arrays have one shape and equal elements" => |a| all_equal(a)?;
    "isin(element, test_elements, *, invert=False)" "Whether elements are among a list of numbers" => |a| among(a)?;

    "where(condition, x=None, y=None, /)" "The elements of x where the condition holds, elsewhere those of y; alone, the places where it holds" => |a| where_(a)?;
    "clip(a, a_min=None, a_max=None, *, min=None, max=None)" "The elements, no less than a_min and no greater than a_max" => |a| clip(a)?;
    "ndarray.clip(self, min=None, max=None)" "The elements, no less than min and no greater than max" => |a| clip(a)?;
    "ndarray.astype(self, dtype, *, copy=True)" "The elements converted to a dtype" => |a| converted(a, "self")?;
    "asarray|array|asanyarray(a, dtype=None)" "An array of numbers, of a list, or the array itself" => |a| converted(a, "a")?;
}

/// `+x`: the array itself, but NumPy has no sign of truth values.
pub(in crate::calc) fn positive(array: Array) -> Result<Value> {
    match array.dtype()? {
        DType::Bool => Err(Fault::value("positive of bool is not defined")),
        _ => Ok(array.into()),
    }
}

fn converted(a: &Arguments<'_>, name: &str) -> Result<Array> {
    let array = a.array(name)?;
    let Some(dtype) = a.maybe_dtype("dtype")? else { return Ok(array) };
    a.value(name).fits(dtype)?;
    Ok(array.cast_to(dtype))
}

/// Decimals, as many as a double can have.
fn decimals(a: &Arguments<'_>) -> Result<i32> {
    Ok(a.integer("decimals")?.clamp(-400, 400) as i32)
}

fn nan_to_num(a: &Arguments<'_>) -> Result<Array> {
    let array = a.array("x")?;
    if !array.dtype()?.is_float() {
        return Ok(array);
    }
    let mut finite = array.nan_to_num();
    for (name, infinity) in [("posinf", f64::INFINITY), ("neginf", f64::NEG_INFINITY)] {
        if let Some(value) = a.maybe_float(name)? {
            finite = array.equal(infinity).choose(value, &finite);
        }
    }
    match a.float("nan")? {
        0.0 => Ok(finite),
        value => Ok(array.isnan().choose(value, &finite)),
    }
}

/// Whether elements are this infinity; integers are not.
fn infinite(a: &Arguments<'_>, infinity: f64) -> Result<Array<bool>> {
    let array = a.array("x")?;
    let sign = if infinity > 0.0 { array.greater(0) } else { array.less(0) };
    Ok(array.isinf() & sign)
}

/// An array of integers.
fn whole(a: &Arguments<'_>, name: &str) -> Result<Array> {
    let array = a.array(name)?;
    match array.dtype()?.is_float() {
        true => Err(Fault::new(format!("'{name}' must be of integers, and not of floats"))),
        false => Ok(array),
    }
}

fn all_equal(a: &Arguments<'_>) -> Result<Value> {
    let (one, other) = (a.array("a1")?, a.array("a2")?);
    if one.shape()? != other.shape()? {
        return Ok(Value::Bool(false));
    }
    let mut alike = one.equal(&other);
    if a.flag("equal_nan")? {
        alike = alike | (one.isnan() & other.isnan());
    }
    Ok(alike.all(..).into())
}

fn among(a: &Arguments<'_>) -> Result<Array<bool>> {
    let found = a.array("element")?.isin(terms(a, "test_elements")?);
    Ok(if a.flag("invert")? { !found } else { found })
}

fn close(a: &Arguments<'_>) -> Result<Array<bool>> {
    // An integer is compared as a float, whatever the array's dtype.
    let b = match a.value("b") {
        Value::Int(value) => Value::Float(*value as f64),
        value => value.clone(),
    };
    let array = a.array("a")?;
    let near = array.isclose(b.term()?, a.float("rtol")?, a.float("atol")?);
    Ok(match a.flag("equal_nan")? {
        true => near | (array.isnan() & b.to_array()?.isnan()),
        false => near,
    })
}

/// The numbers of a list, each as an operand.
fn terms(a: &Arguments<'_>, name: &str) -> Result<Vec<Term>> {
    const MOST: usize = 1 << 12;
    match a.settling().list(a.value(name))? {
        Value::Tuple(values) | Value::List(values) if values.len() > MOST => {
            Err(Fault::value(format!("'{name}' are {} numbers; {MOST} at the most", values.len())))
        }
        Value::Tuple(values) | Value::List(values) => values.iter().map(Value::term).collect(),
        value if value.is_number() => Ok(vec![value.term()?]),
        _ => Err(Fault::new(format!("'{name}' must be a list of numbers"))),
    }
}

fn clip(a: &Arguments<'_>) -> Result<Value> {
    let first = |names: [&str; 2]| {
        let given = names.into_iter().map(|name| a.value(name));
        given.into_iter().find(|value| !matches!(value, Value::None))
    };
    let array = match a.value("self") {
        Value::None => a.array("a")?,
        _ => a.array("self")?,
    };
    // An integer beyond all values of an integer dtype bounds none of them.
    let dtype = array.dtype()?;
    let whole = !dtype.is_float() && dtype != DType::Bool;
    let (least, greatest) = integer_range(dtype);
    let bounds = |value: &Value, is_beyond: &dyn Fn(i128) -> bool| match value {
        Value::Int(value) => !(whole && is_beyond(*value)),
        _ => true,
    };
    let mut clipped = Value::Array(array);
    if let Some(low) = first(["a_min", "min"]).filter(|low| bounds(low, &|low| low <= least)) {
        clipped = super::binary(Binary::Maximum, &clipped, low)?;
    }
    if let Some(high) =
        first(["a_max", "max"]).filter(|high| bounds(high, &|high| high >= greatest))
    {
        clipped = super::binary(Binary::Minimum, &clipped, high)?;
    }
    Ok(clipped)
}

fn where_(a: &Arguments<'_>) -> Result<Value> {
    if a.is_none("x") && a.is_none("y") {
        return places(a, "condition");
    }
    let condition = a.array("condition")?;
    let (x, y) = (a.value("x"), a.value("y"));
    if [x, y].into_iter().any(|value| matches!(value, Value::None)) {
        return Err(Fault::new("where() chooses between arrays or numbers, and not None"));
    }
    choice(&condition.cast::<bool>(), x, y)
}

/// The elements of `x` where a condition holds, elsewhere those of `y`.
pub(super) fn choice(condition: &Array<bool>, x: &Value, y: &Value) -> Result<Value> {
    // Of two numbers one is an array, beside which the other is weak.
    Ok(match x.is_number() && y.is_number() {
        true => condition.choose(x.to_array()?, y.term()?).into(),
        false => condition.choose(x.term()?, y.term()?).into(),
    })
}
