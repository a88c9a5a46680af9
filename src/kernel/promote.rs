//! Which dtype an operation on two operands computes in: the rules of NumPy's NEP 50.
//!
//! Arrays promote by dtype alone, whatever their values; Rust scalars are *weak*: they
//! take the array's dtype where their kind allows it. NumPy's float16 is not among our
//! dtypes: where NumPy would give it, the result is float32.

use freeboard_formats::DType;

/// The smallest dtype to which both convert without loss, or nearly (64-bit integers to float64).
pub fn result_type(a: DType, b: DType) -> DType {
    use DType::{Bool, F32, F64};
    match (a, b) {
        _ if a == b => a,
        (Bool, other) | (other, Bool) => other,
        (F64, _) | (_, F64) => F64,
        (F32, other) | (other, F32) => {
            if other.size() <= 2 {
                F32
            } else {
                F64
            }
        }
        _ if a.is_signed() == b.is_signed() => {
            if a.size() >= b.size() {
                a
            } else {
                b
            }
        }
        _ => {
            let (signed, unsigned) = if a.is_signed() { (a, b) } else { (b, a) };
            if signed.size() > unsigned.size() { signed } else { wider_signed(unsigned) }
        }
    }
}

/// The dtype in which several meet, in whatever order they come: integers meet the floats among them one by one, and
/// not what they would be together. `bool` of none.
pub fn result_type_of(dtypes: impl Iterator<Item = DType> + Clone) -> DType {
    let floats = dtypes.clone().filter(|dtype| dtype.is_float());
    floats.chain(dtypes).fold(DType::Bool, result_type)
}

/// The smallest signed dtype that holds all values of an unsigned one.
fn wider_signed(unsigned: DType) -> DType {
    match unsigned.size() {
        1 => DType::I16,
        2 => DType::I32,
        4 => DType::I64,
        _ => DType::F64,
    }
}

/// The floating point dtype in which functions like `sqrt` compute on `dtype`: its own, or
/// float32 for `bool` and integers up to 16 bits, or float64.
pub const fn float_of(dtype: DType) -> DType {
    match dtype {
        DType::F32 | DType::F64 => dtype,
        _ if dtype.size() <= 2 => DType::F32,
        _ => DType::F64,
    }
}

/// A Rust scalar beside an array.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weak {
    /// A `bool`.
    Bool(bool),
    /// An integer of any type.
    Int(i128),
    /// A float of any type.
    Float(f64),
}

/// The dtype in which an array of `dtype` and a scalar meet.
///
/// # Errors
/// If it is an integer dtype that the integer does not fit in.
pub fn with_weak(dtype: DType, scalar: Weak) -> Result<DType, String> {
    match scalar {
        Weak::Bool(_) => Ok(dtype),
        Weak::Float(_) if dtype.is_float() => Ok(dtype),
        Weak::Float(_) => Ok(DType::F64),
        Weak::Int(_) if dtype.is_float() => Ok(dtype),
        Weak::Int(value) => {
            let common = if dtype == DType::Bool { DType::I64 } else { dtype };
            let (low, high) = integer_range(common);
            if (low..=high).contains(&value) {
                Ok(common)
            } else {
                Err(format!(
                    "{value} is beyond {common} ({low} to {high}); cast the array to a wider dtype"
                ))
            }
        }
    }
}

/// The least and the greatest value of an integer dtype.
pub fn integer_range(dtype: DType) -> (i128, i128) {
    let bits = 8 * dtype.size() as u32;
    if dtype.is_signed() {
        (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
    } else {
        (0, (1i128 << bits) - 1)
    }
}
