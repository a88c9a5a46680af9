//! What a handle knows of its elements at compile time: a type, or only that files decide.

use super::any::{AnyArray, AnyVec};
use crate::error::{Error, ErrorKind, Result};
use freeboard_formats::{DType, Element, Scalar};
use ndarray::ArrayD;

/// The kind of an array whose dtype is known when it is built, not when it is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dyn;

/// What `T` in [`Array<T>`](super::Array) may be: [`Dyn`], or one of the element types.
///
/// The associated types say what verbs give, by NumPy's tables; of [`Dyn`] they are all [`Dyn`].
pub trait Kind: Sized + Send + Sync + 'static {
    /// The dtype, where it is known.
    const DTYPE: Option<DType>;
    /// What computing an array gives: `ndarray::ArrayD<T>`, or [`AnyArray`] of [`Dyn`].
    type Output: Send;
    /// One element on its own: `T`, or [`Scalar`] of [`Dyn`].
    type Value: Send;
    /// What plain arithmetic gives where NumPy has none of `bool`: `i8` of `bool`, else itself.
    type Number: Kind;
    /// What functions with fractional values give: `f32` of `bool` and integers up to 16 bits,
    /// `f64` of wider ones, else itself.
    type Real: Kind;
    /// What quotients and means give: `f64` of `bool` and integers, else itself.
    type Mean: Kind;
    /// What sums and products give: the widest integer of the same sign, else itself.
    type Sum: Kind;

    /// The elements, in C order, as what computing an array gives.
    ///
    /// # Errors
    /// If they are of another dtype or number; that would be a fault of the library.
    fn output(values: AnyVec, shape: &[u64]) -> Result<Self::Output>;

    /// The one element of `values`.
    ///
    /// # Errors
    /// As for [`Kind::output`].
    fn value(values: &AnyVec) -> Result<Self::Value>;
}

impl Kind for Dyn {
    const DTYPE: Option<DType> = None;
    type Output = AnyArray;
    type Value = Scalar;
    type Number = Dyn;
    type Real = Dyn;
    type Mean = Dyn;
    type Sum = Dyn;

    fn output(values: AnyVec, shape: &[u64]) -> Result<AnyArray> {
        AnyArray::new(values, shape)
    }

    fn value(values: &AnyVec) -> Result<Scalar> {
        only(values)
    }
}

macro_rules! kinds {
    ($($t:ty: $number:ty, $real:ty, $mean:ty, $sum:ty;)*) => {$(
        impl Kind for $t {
            const DTYPE: Option<DType> = Some(<$t as Element>::DTYPE);
            type Output = ArrayD<$t>;
            type Value = $t;
            type Number = $number;
            type Real = $real;
            type Mean = $mean;
            type Sum = $sum;

            fn output(values: AnyVec, shape: &[u64]) -> Result<ArrayD<$t>> {
                AnyArray::new(values, shape)?.into_typed()
            }

            fn value(values: &AnyVec) -> Result<$t> {
                let (bytes, size) = only(values)?.bytes();
                if values.dtype() != <$t as Element>::DTYPE {
                    return Err(Error::internal("a value of another dtype than its handle's"));
                }
                Ok(<$t>::from_repr(bytemuck::pod_read_unaligned(&bytes[..size])))
            }
        }
    )*};
}

kinds! {
    bool: i8, f32, f64, i64;
    u8: u8, f32, f64, u64;
    u16: u16, f32, f64, u64;
    u32: u32, f64, f64, u64;
    u64: u64, f64, f64, u64;
    i8: i8, f32, f64, i64;
    i16: i16, f32, f64, i64;
    i32: i32, f64, f64, i64;
    i64: i64, f64, f64, i64;
    f32: f32, f32, f32, f32;
    f64: f64, f64, f64, f64;
}

fn only(values: &AnyVec) -> Result<Scalar> {
    match values.len() {
        1 => Ok(Scalar::from_bytes(values.dtype(), values.as_bytes())),
        n => Err(Error::new(ErrorKind::Internal, format!("one value expected, {n} computed"))),
    }
}
