//! Conversion between dtypes.

use super::{
    Elementwise,
    tile::{Run, kernel, looped},
};
use freeboard_formats::DType;
use std::sync::Arc;

/// Conversion as Rust's `as` does it: integers keep their low bits, floats are truncated and
/// saturate, NaN becomes 0; to `bool`, whether it is not zero (NaN is not); from `bool`, 0 or 1.
pub fn cast(from: DType, to: DType) -> Arc<dyn Elementwise> {
    let run = match from {
        DType::Bool | DType::U8 => from_u8(to),
        DType::U16 => from_u16(to),
        DType::U32 => from_u32(to),
        DType::U64 => from_u64(to),
        DType::I8 => from_i8(to),
        DType::I16 => from_i16(to),
        DType::I32 => from_i32(to),
        DType::I64 => from_i64(to),
        DType::F32 => from_f32(to),
        DType::F64 => from_f64(to),
    };
    kernel("cast", &[from], to, run)
}

macro_rules! from {
    ($($name:ident: $from:ty),*) => {$(
        fn $name(to: DType) -> Run {
            match to {
                DType::Bool => looped!(map1::<$from, u8>(|a| u8::from(a != <$from>::default()))),
                DType::U8 => looped!(map1::<$from, u8>(|a| a as u8)),
                DType::U16 => looped!(map1::<$from, u16>(|a| a as u16)),
                DType::U32 => looped!(map1::<$from, u32>(|a| a as u32)),
                DType::U64 => looped!(map1::<$from, u64>(|a| a as u64)),
                DType::I8 => looped!(map1::<$from, i8>(|a| a as i8)),
                DType::I16 => looped!(map1::<$from, i16>(|a| a as i16)),
                DType::I32 => looped!(map1::<$from, i32>(|a| a as i32)),
                DType::I64 => looped!(map1::<$from, i64>(|a| a as i64)),
                DType::F32 => looped!(map1::<$from, f32>(|a| a as f32)),
                DType::F64 => looped!(map1::<$from, f64>(|a| a as f64)),
            }
        }
    )*};
}
from!(from_u8: u8, from_u16: u16, from_u32: u32, from_u64: u64);
from!(from_i8: i8, from_i16: i16, from_i32: i32, from_i64: i64, from_f32: f32, from_f64: f64);
