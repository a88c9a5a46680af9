//! Linear algebra, and statistics of several variables.

use super::{
    super::{
        fault::{Fault, Result},
        value::Value,
    },
    arguments::Arguments,
    functions,
};
use crate::array::{Array, Axes, Svd, concatenate, keepdims};
use freeboard_formats::DType;

functions! {
    "linalg.qr(a, mode='reduced')" "Orthonormal columns and a triangle, whose product is the matrix" => |a| qr(a)?;
    "linalg.svd(a, full_matrices=False, compute_uv=True)" "The singular value decomposition" => |a| svd(a)?;
    "linalg.svdvals(x, /)" "The singular values" => |a| a.array("x")?.singular_values();
    "linalg.lstsq(a, b, rcond=None)" "The least-squares solution, residuals, rank and singular values" => |a| lstsq(a)?;
    "linalg.pinv(a, rcond=None)" "The pseudo-inverse of a matrix" => |a| a.array("a")?.pinv(a.maybe_float("rcond")?);
    "linalg.matrix_rank(A, tol=None, *, rtol=None)" "How many singular values are not about zero" => |a| rank(a)?;
    "linalg.solve(a, b)" "The solutions of square systems" => |a| a.array("a")?.solve(&a.array("b")?);
    "linalg.inv(a)" "The inverses of square matrices" => |a| a.array("a")?.inv();
    "linalg.det(a)" "The determinants of square matrices" => |a| a.array("a")?.det();
    "linalg.cholesky(a, /)" "The lower triangles of Cholesky factors" => |a| a.array("a")?.cholesky();
    "linalg.norm(x, ord=None, axis=None, keepdims=False)" "The norm of vectors or matrices" => |a| norm(a)?;
    "linalg.vector_norm(x, /, *, axis=None, keepdims=False, ord=2)" "The norm of vectors" => |a| vector_norm(&a.array("x")?, a.value("ord"), axes(a)?)?;
    "cov(m, y=None, rowvar=True, bias=False, ddof=None)" "The covariances of variables" => |a| cov(a)?;
    "corrcoef(x, y=None, rowvar=True)" "The correlations of variables" => |a| variables(a, "x")?.corrcoef();
}

fn qr(a: &Arguments<'_>) -> Result<Value> {
    let (q, r) = a.array("a")?.qr();
    match a.value("mode") {
        Value::Text(mode) if mode == "reduced" => Ok(Value::Tuple(vec![q.into(), r.into()])),
        Value::Text(mode) if mode == "r" => Ok(r.into()),
        _ => Err(Fault::value("mode must be 'reduced' or 'r'")),
    }
}

fn svd(a: &Arguments<'_>) -> Result<Value> {
    let array = a.array("a")?;
    if a.flag("full_matrices")? {
        return Err(Fault::value("full matrices of a singular value decomposition are not made")
            .help("leave full_matrices=False"));
    }
    if !a.flag("compute_uv")? {
        return Ok(array.singular_values().into());
    }
    let Svd { u, values, vt } = array.svd();
    Ok(Value::Tuple(vec![u.into(), values.into(), vt.into()]))
}

fn lstsq(a: &Arguments<'_>) -> Result<Value> {
    let found = a.array("a")?.lstsq(&a.array("b")?, a.maybe_float("rcond")?);
    Ok(Value::Tuple(vec![
        found.solution.into(),
        found.residuals.into(),
        // As LAPACK has it.
        found.rank.cast_to(DType::I32).into(),
        found.singular_values.into(),
    ]))
}

fn rank(a: &Arguments<'_>) -> Result<Array> {
    let array = a.array("A")?;
    match a.maybe_float("tol")? {
        Some(tol) => {
            Ok(array.singular_values().cast_to(DType::F64).greater(tol).count_nonzero(..).to_dyn())
        }
        None => Ok(array.matrix_rank(a.maybe_float("rtol")?).to_dyn()),
    }
}

/// The axes of a norm, as they are named or all, kept if that is asked for.
fn axes(a: &Arguments<'_>) -> Result<Axes> {
    let axes = a.axes("axis")?;
    Ok(if a.flag("keepdims")? { keepdims(axes) } else { axes })
}

/// A float, or one that is written: `inf`, `-1`.
fn order(value: &Value) -> Option<f64> {
    value.is_number().then(|| value.to_scalar().ok().map(|order| order.as_f64())).flatten()
}

fn vector_norm(x: &Array, ord: &Value, axes: Axes) -> Result<Array> {
    let real = |array: Array| match x.dtype() {
        Ok(dtype) if dtype.is_float() => array.cast_to(dtype),
        _ => array.cast_to(DType::F64),
    };
    let sizes = || real(x.abs());
    Ok(match order(ord) {
        _ if matches!(ord, Value::None) => x.norm(axes),
        Some(2.0) => x.norm(axes),
        Some(f64::INFINITY) => sizes().max(axes),
        Some(f64::NEG_INFINITY) => sizes().min(axes),
        Some(0.0) => real(x.not_equal(0).sum(axes).to_dyn()),
        Some(1.0) => sizes().sum(axes),
        Some(p) => sizes().pow(p).sum(axes).pow(1.0 / p),
        None => return Err(Fault::value("invalid norm order for vectors")),
    })
}

fn norm(a: &Arguments<'_>) -> Result<Array> {
    let (x, ord) = (a.array("x")?, a.value("ord"));
    let rank = x.rank()?;
    let given = a.maybe_integers("axis")?;
    let count = given.as_ref().map_or(rank, Vec::len);
    if matches!(ord, Value::None) || count == 1 {
        return vector_norm(&x, ord, axes(a)?);
    }
    if count != 2 {
        return Err(Fault::value("a norm of this order is of vectors or matrices"));
    }
    let plane = given.unwrap_or_else(|| vec![0, 1]);
    let positive = |axis: i64| if axis < 0 { axis + rank as i64 } else { axis };
    let (rows, columns) = (positive(plane[0]), positive(plane[1]));
    // Sums along one axis leave the other, which then is the only one of both.
    let sums = |along: i64| vector_norm(&x, &Value::Int(1), keepdims(along));
    let both: Axes = vec![rows, columns].into();
    let made = match (ord, order(ord)) {
        (Value::Text(name), _) if name == "fro" => x.norm(keepdims(both)),
        (Value::Text(name), _) if name == "nuc" && rank == 2 => spread(x.singular_values().sum(0)),
        (_, Some(2.0)) if rank == 2 => spread(x.singular_values().max(0)),
        (_, Some(-2.0)) if rank == 2 => spread(x.singular_values().min(0)),
        (_, Some(1.0)) => sums(rows)?.max(keepdims(columns)),
        (_, Some(-1.0)) => sums(rows)?.min(keepdims(columns)),
        (_, Some(f64::INFINITY)) => sums(columns)?.max(keepdims(rows)),
        (_, Some(f64::NEG_INFINITY)) => sums(columns)?.min(keepdims(rows)),
        _ => {
            return Err(Fault::value("invalid norm order for matrices")
                .help("there are 'fro', 'nuc', inf, -inf, 1, -1, 2, -2; the last two and 'nuc' of one matrix"));
        }
    };
    Ok(if a.flag("keepdims")? { made } else { made.squeeze(vec![rows, columns]) })
}

/// A number as a matrix.
fn spread(number: Array) -> Array {
    number.expand_dims([0, 1])
}

/// The variables of `name` and of `y`, in rows.
fn variables(a: &Arguments<'_>, name: &str) -> Result<Array> {
    let in_rows = a.flag("rowvar")?;
    let rows = |name: &str| -> Result<Array> {
        let array = a.array(name)?;
        if array.rank()? > 2 {
            return Err(Fault::value(format!("{name} has more than 2 dimensions")));
        }
        let one = array.rank()? < 2;
        let array = array.atleast_2d();
        Ok(if in_rows || one { array } else { array.t() })
    };
    let array = rows(name)?;
    match a.is_none("y") {
        true => Ok(array),
        false => Ok(concatenate([array, rows("y")?], 0)),
    }
}

fn cov(a: &Arguments<'_>) -> Result<Array> {
    let ddof = match a.maybe_integer("ddof")? {
        Some(_) => a.count("ddof")?,
        None => u64::from(!a.flag("bias")?),
    };
    Ok(variables(a, "m")?.cov(ddof).to_dyn())
}
