//! Elements in memory whose dtype is known at run time only: vectors and `ndarray`s.

use super::shown;
use crate::error::{Error, ErrorKind, Result};
use freeboard_formats::{DType, Element, with_dtype};
use ndarray::{ArrayD, IxDyn};
use std::{any::Any, fmt};

macro_rules! variants {
    ($($variant:ident $t:ty, $repr:ty;)*) => {
        /// Elements of one dtype as they lie in chunks: a byte, 0 or 1, for a `bool`.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)] // the variants are the dtypes'
        pub enum AnyVec {
            $($variant(Vec<$repr>),)*
        }

        impl AnyVec {
            /// `len` zeros of `dtype`; their memory is touched only when they are written.
            pub fn zeroed(dtype: DType, len: usize) -> AnyVec {
                match dtype {
                    $(DType::$variant => AnyVec::$variant(vec![<$repr>::default(); len]),)*
                }
            }

            /// The dtype.
            pub fn dtype(&self) -> DType {
                match self {
                    $(AnyVec::$variant(_) => DType::$variant,)*
                }
            }

            /// The number of elements.
            pub fn len(&self) -> usize {
                match self {
                    $(AnyVec::$variant(values) => values.len(),)*
                }
            }

            /// The bytes of all elements.
            pub fn as_bytes(&self) -> &[u8] {
                match self {
                    $(AnyVec::$variant(values) => bytemuck::cast_slice(values),)*
                }
            }

            /// The bytes of all elements, to be filled.
            pub fn as_bytes_mut(&mut self) -> &mut [u8] {
                match self {
                    $(AnyVec::$variant(values) => bytemuck::cast_slice_mut(values),)*
                }
            }

            fn boxed(self) -> Box<dyn Any> {
                match self {
                    $(AnyVec::$variant(values) => Box::new(values),)*
                }
            }
        }

        /// An array in memory of any dtype: what computing an `Array<Dyn>` gives.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)] // the variants are the dtypes'
        pub enum AnyArray {
            $($variant(ArrayD<$t>),)*
        }

        impl AnyArray {
            /// The dtype.
            pub fn dtype(&self) -> DType {
                match self {
                    $(AnyArray::$variant(_) => DType::$variant,)*
                }
            }

            /// The number of elements along each axis.
            pub fn shape(&self) -> &[usize] {
                match self {
                    $(AnyArray::$variant(array) => array.shape(),)*
                }
            }

            fn boxed(self) -> Box<dyn Any> {
                match self {
                    $(AnyArray::$variant(array) => Box::new(array),)*
                }
            }
        }

        impl fmt::Display for AnyArray {
            /// Rows in brackets; large arrays are abridged.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(AnyArray::$variant(array) => shown::write(array.view(), f),)*
                }
            }
        }

        $(impl From<ArrayD<$t>> for AnyArray {
            fn from(array: ArrayD<$t>) -> AnyArray {
                AnyArray::$variant(array)
            }
        })*
    };
}

variants! {
    Bool bool, u8;
    U8 u8, u8;
    U16 u16, u16;
    U32 u32, u32;
    U64 u64, u64;
    I8 i8, i8;
    I16 i16, i16;
    I32 i32, i32;
    I64 i64, i64;
    F32 f32, f32;
    F64 f64, f64;
}

impl AnyVec {
    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements, if they are `T`s.
    ///
    /// # Errors
    /// If they are not.
    pub fn into_typed<T: Element>(self) -> Result<Vec<T>> {
        let dtype = self.dtype();
        // `bool` and `u8` lie alike: the dtype tells them apart, not the type of the vector.
        match self.boxed().downcast::<Vec<T::Repr>>() {
            Ok(values) if dtype == T::DTYPE => Ok(T::vec_from_repr(*values)),
            _ => Err(other_dtype(dtype, T::DTYPE)),
        }
    }
}

impl AnyArray {
    /// The elements, in C order, as an array of `shape`.
    ///
    /// # Errors
    /// If there are more or fewer than the shape asks for.
    pub fn new(values: AnyVec, shape: &[u64]) -> Result<AnyArray> {
        let lens: Vec<usize> = shape.iter().map(|&len| len as usize).collect();
        with_dtype!(values.dtype(), T => {
            let array = ArrayD::<T>::from_shape_vec(IxDyn(&lens), values.into_typed()?);
            array.map(AnyArray::from).map_err(|_| Error::internal(format!("elements of {shape:?}")))
        })
    }

    /// The array, if its elements are `T`s.
    ///
    /// # Errors
    /// If they are not; the error names both dtypes.
    pub fn into_typed<T: Element>(self) -> Result<ArrayD<T>> {
        let dtype = self.dtype();
        self.boxed().downcast().map(|array| *array).map_err(|_| other_dtype(dtype, T::DTYPE))
    }
}

fn other_dtype(have: DType, asked: DType) -> Error {
    Error::new(ErrorKind::Expression, format!("the elements are {have}, not {asked}"))
        .help("cast the array before it is computed: `.cast::<T>()`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_only_as_what_it_is() {
        let mut values = AnyVec::zeroed(DType::Bool, 2);
        values.as_bytes_mut()[1] = 1;
        assert_eq!(values.clone().into_typed::<bool>().unwrap(), [false, true]);
        let error = values.clone().into_typed::<u8>().unwrap_err().to_string();
        assert!(error.starts_with("the elements are bool, not uint8"), "{error}");
        let array = AnyArray::new(values, &[2, 1]).unwrap();
        assert_eq!((array.dtype(), array.shape()), (DType::Bool, &[2, 1][..]));
        assert_eq!(array.to_string(), "[[false],\n [true]]");
        assert!(array.into_typed::<f32>().is_err());
        assert!(AnyArray::new(AnyVec::zeroed(DType::F64, 3), &[2]).is_err());
    }
}
