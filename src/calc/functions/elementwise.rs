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
    "trunc(x, /)" "The whole parts" => |a| a.array("x")?.trunc();
    "rint(x, /)" "The nearest whole numbers, the even ones of two" => |a| a.array("x")?.rint();
    "round|around(a, decimals=0)" "Rounded to so many decimals, ties to even digits" => |a| a.array("a")?.round(decimals(a)?);
    "invert|bitwise_not|bitwise_invert(x, /)" "~x" => |a| !a.array("x")?;
    "logical_not(x, /)" "Whether elements are zero" => |a| a.array("x")?.logical_not();
    "isnan(x, /)" "Whether elements are NaN" => |a| a.array("x")?.isnan();
    "isfinite(x, /)" "Whether elements are neither infinite nor NaN" => |a| a.array("x")?.isfinite();
    "isinf(x, /)" "Whether elements are infinite" => |a| a.array("x")?.isinf();
    "signbit(x, /)" "Whether elements are negative, -0.0 among them" => |a| a.array("x")?.signbit();
    "nan_to_num(x, *, nan=0.0)" "nan in place of NaN, the greatest finite numbers in place of infinities" => |a| nan_to_num(a)?;
    "isclose(a, b, rtol=1e-05, atol=1e-08)" "Whether elements are equal within atol + rtol * abs(b)" => |a| close(a)?;
    "allclose(a, b, rtol=1e-05, atol=1e-08)" "Whether all elements are close" => |a| close(a)?.all(..);
    "isin(element, test_elements)" "Whether elements are among a list of numbers" => |a| a.array("element")?.isin(terms(a, "test_elements")?);

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
    let finite = array.nan_to_num();
    match a.float("nan")? {
        0.0 => Ok(finite),
        value => Ok(array.isnan().choose(value, &finite)),
    }
}

fn close(a: &Arguments<'_>) -> Result<Array<bool>> {
    // An integer is compared as a float, whatever the array's dtype.
    let b = match a.value("b") {
        Value::Int(value) => Value::Float(*value as f64),
        value => value.clone(),
    };
    Ok(a.array("a")?.isclose(b.term()?, a.float("rtol")?, a.float("atol")?))
}

/// The numbers of a list, each as an operand.
fn terms(a: &Arguments<'_>, name: &str) -> Result<Vec<Term>> {
    match a.value(name) {
        Value::Tuple(values) | Value::List(values) => values.iter().map(Value::term).collect(),
        value if value.is_number() => Ok(vec![value.term()?]),
        _ => Err(Fault::new(format!("'{name}' is a list of numbers"))),
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
