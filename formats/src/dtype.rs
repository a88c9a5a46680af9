//! Element types: the eleven dtypes that arrays may have, and scalars of them.
//!
//! Owns the mapping between NumPy's names, Rust's types and bytes in a chunk. A chunk
//! is untyped bytes in native byte order; `bool` lies there as one byte, 0 or 1.

use std::fmt;

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 double precision.
    F64,
}

impl DType {
    /// All dtypes, in the order of the enum.
    pub const ALL: [DType; 11] = [
        DType::Bool,
        DType::U8,
        DType::U16,
        DType::U32,
        DType::U64,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::F32,
        DType::F64,
    ];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::Bool | DType::U8 | DType::I8 => 1,
            DType::U16 | DType::I16 => 2,
            DType::U32 | DType::I32 | DType::F32 => 4,
            DType::U64 | DType::I64 | DType::F64 => 8,
        }
    }

    /// NumPy's name: `bool`, `uint8`, …, `float64`.
    pub const fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::U8 => "uint8",
            DType::U16 => "uint16",
            DType::U32 => "uint32",
            DType::U64 => "uint64",
            DType::I8 => "int8",
            DType::I16 => "int16",
            DType::I32 => "int32",
            DType::I64 => "int64",
            DType::F32 => "float32",
            DType::F64 => "float64",
        }
    }

    /// The dtype of NumPy's type string without its byte order, as `f4`.
    pub(crate) fn from_numpy(code: &str) -> Option<DType> {
        Some(match code {
            "b1" => DType::Bool,
            "u1" => DType::U8,
            "u2" => DType::U16,
            "u4" => DType::U32,
            "u8" => DType::U64,
            "i1" => DType::I8,
            "i2" => DType::I16,
            "i4" => DType::I32,
            "i8" => DType::I64,
            "f4" => DType::F32,
            "f8" => DType::F64,
            _ => return None,
        })
    }

    /// The dtype with NumPy's name `name`, if it is one of ours.
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.name() == name)
    }

    /// Whether elements are floating point.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }

    /// Whether elements are signed integers.
    pub const fn is_signed(self) -> bool {
        matches!(self, DType::I8 | DType::I16 | DType::I32 | DType::I64)
    }

    /// Whether elements are unsigned integers (`bool` is not one).
    pub const fn is_unsigned(self) -> bool {
        matches!(self, DType::U8 | DType::U16 | DType::U32 | DType::U64)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A Rust type that an array's elements can have.
pub trait Element:
    Copy + Default + PartialEq + PartialOrd + fmt::Debug + Send + Sync + 'static
{
    /// The dtype of the same meaning.
    const DTYPE: DType;
    /// How the element lies in a chunk; the type itself, but `u8` for `bool`.
    type Repr: bytemuck::Pod + Send + Sync + PartialEq + PartialOrd;
    /// The element as it lies in a chunk.
    fn to_repr(self) -> Self::Repr;
    /// The element that lies in a chunk as `repr`.
    fn from_repr(repr: Self::Repr) -> Self;
    /// The element as a scalar.
    fn to_scalar(self) -> Scalar;
    /// Elements as they lie in a chunk, as a vector of the type.
    fn vec_from_repr(repr: Vec<Self::Repr>) -> Vec<Self>;
}

macro_rules! element {
    ($($t:ty, $d:ident);*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            type Repr = $t;
            fn to_repr(self) -> $t { self }
            fn from_repr(repr: $t) -> $t { repr }
            fn to_scalar(self) -> Scalar { Scalar::$d(self) }
            fn vec_from_repr(repr: Vec<$t>) -> Vec<$t> { repr }
        }
        impl From<$t> for Scalar {
            fn from(value: $t) -> Scalar { Scalar::$d(value) }
        }
    )*};
}
element!(u8, U8; u16, U16; u32, U32; u64, U64; i8, I8; i16, I16; i32, I32; i64, I64; f32, F32; f64, F64);

impl Element for bool {
    const DTYPE: DType = DType::Bool;
    type Repr = u8;
    fn to_repr(self) -> u8 {
        self.into()
    }
    fn from_repr(repr: u8) -> bool {
        repr != 0
    }
    fn to_scalar(self) -> Scalar {
        Scalar::Bool(self)
    }
    fn vec_from_repr(repr: Vec<u8>) -> Vec<bool> {
        repr.into_iter().map(|byte| byte != 0).collect()
    }
}

impl From<bool> for Scalar {
    fn from(value: bool) -> Scalar {
        Scalar::Bool(value)
    }
}

/// One element of any dtype.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // the variants are the dtypes'
pub enum Scalar {
    Bool(bool),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    F32(f32),
    F64(f64),
}

/// Runs `$body` with the type alias `$t` set to the Rust type of dtype `$dtype`.
#[macro_export]
macro_rules! with_dtype {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::DType::Bool => {
                type $t = bool;
                $body
            }
            $crate::DType::U8 => {
                type $t = u8;
                $body
            }
            $crate::DType::U16 => {
                type $t = u16;
                $body
            }
            $crate::DType::U32 => {
                type $t = u32;
                $body
            }
            $crate::DType::U64 => {
                type $t = u64;
                $body
            }
            $crate::DType::I8 => {
                type $t = i8;
                $body
            }
            $crate::DType::I16 => {
                type $t = i16;
                $body
            }
            $crate::DType::I32 => {
                type $t = i32;
                $body
            }
            $crate::DType::I64 => {
                type $t = i64;
                $body
            }
            $crate::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::DType::F64 => {
                type $t = f64;
                $body
            }
        }
    };
}

macro_rules! each_scalar {
    ($self:expr, $v:ident => $body:expr) => {
        match $self {
            Scalar::Bool($v) => $body,
            Scalar::U8($v) => $body,
            Scalar::U16($v) => $body,
            Scalar::U32($v) => $body,
            Scalar::U64($v) => $body,
            Scalar::I8($v) => $body,
            Scalar::I16($v) => $body,
            Scalar::I32($v) => $body,
            Scalar::I64($v) => $body,
            Scalar::F32($v) => $body,
            Scalar::F64($v) => $body,
        }
    };
}

impl Scalar {
    /// The dtype of the value.
    pub fn dtype(self) -> DType {
        fn dtype<T: Element>(_: T) -> DType {
            T::DTYPE
        }
        each_scalar!(self, v => dtype(v))
    }

    /// Zero (or `false`) of `dtype`.
    pub fn zero(dtype: DType) -> Scalar {
        with_dtype!(dtype, T => Scalar::from(T::default()))
    }

    /// The value as its bytes lie in a chunk, in native byte order: `(buffer, length)`.
    pub fn bytes(self) -> ([u8; 8], usize) {
        fn fill<T: Element>(value: T, out: &mut [u8; 8]) {
            let repr = value.to_repr();
            let bytes = bytemuck::bytes_of(&repr);
            out[..bytes.len()].copy_from_slice(bytes);
        }
        let mut out = [0; 8];
        each_scalar!(self, v => fill(v, &mut out));
        (out, self.dtype().size())
    }

    /// The value whose bytes in a chunk begin `bytes`.
    ///
    /// # Panics
    /// If `bytes` is shorter than one element.
    pub fn from_bytes(dtype: DType, bytes: &[u8]) -> Scalar {
        with_dtype!(dtype, T => Scalar::from(T::from_repr(bytemuck::pod_read_unaligned::<
            <T as Element>::Repr,
        >(&bytes[..dtype.size()]))))
    }

    /// The value converted as Rust's `as` does (to `bool`: whether it is not zero).
    pub fn cast(self, dtype: DType) -> Scalar {
        macro_rules! to {
            ($v:expr) => {
                match dtype {
                    DType::Bool => unreachable!("handled before"),
                    DType::U8 => Scalar::U8($v as u8),
                    DType::U16 => Scalar::U16($v as u16),
                    DType::U32 => Scalar::U32($v as u32),
                    DType::U64 => Scalar::U64($v as u64),
                    DType::I8 => Scalar::I8($v as i8),
                    DType::I16 => Scalar::I16($v as i16),
                    DType::I32 => Scalar::I32($v as i32),
                    DType::I64 => Scalar::I64($v as i64),
                    DType::F32 => Scalar::F32($v as f32),
                    DType::F64 => Scalar::F64($v as f64),
                }
            };
        }
        if dtype == DType::Bool {
            return Scalar::Bool(self.as_f64() != 0.0);
        }
        match self {
            Scalar::Bool(v) => to!(u8::from(v)),
            Scalar::U8(v) => to!(v),
            Scalar::U16(v) => to!(v),
            Scalar::U32(v) => to!(v),
            Scalar::U64(v) => to!(v),
            Scalar::I8(v) => to!(v),
            Scalar::I16(v) => to!(v),
            Scalar::I32(v) => to!(v),
            Scalar::I64(v) => to!(v),
            Scalar::F32(v) => to!(v),
            Scalar::F64(v) => to!(v),
        }
    }

    /// The value as the nearest double.
    pub fn as_f64(self) -> f64 {
        match self {
            Scalar::Bool(v) => f64::from(u8::from(v)),
            Scalar::U8(v) => v.into(),
            Scalar::U16(v) => v.into(),
            Scalar::U32(v) => v.into(),
            Scalar::U64(v) => v as f64,
            Scalar::I8(v) => v.into(),
            Scalar::I16(v) => v.into(),
            Scalar::I32(v) => v.into(),
            Scalar::I64(v) => v as f64,
            Scalar::F32(v) => v.into(),
            Scalar::F64(v) => v,
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each_scalar!(self, v => write!(f, "{v}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for dtype in DType::ALL {
            assert_eq!(DType::from_name(dtype.name()), Some(dtype));
        }
        assert_eq!(DType::from_name("complex64"), None);
    }

    #[test]
    fn scalars_round_trip_through_bytes() {
        for dtype in DType::ALL {
            let value = Scalar::F64(1.0).cast(dtype);
            let (bytes, len) = value.bytes();
            assert_eq!(len, dtype.size());
            assert_eq!(Scalar::from_bytes(dtype, &bytes), value);
            assert_eq!(value.dtype(), dtype);
        }
    }
}
