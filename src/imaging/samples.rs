//! Elements of any dtype as doubles, in which all filters compute, and back.
//!
//! `scipy.ndimage` does the same, so integers beyond 2⁵³ lose their last bits with either, and
//! between the passes along several axes elements have the result's dtype with both.

use freeboard_formats::{ChunkMut, ChunkView, Element, with_dtype};

/// An element type and its doubles.
pub(super) trait Sample: Element {
    /// What elements are between two passes: truth values are bytes there, as SciPy has them.
    type Between: Sample<Repr = Self::Repr>;
    fn widen(sample: Self::Repr) -> f64;
    /// As C converts doubles on x86: fractions are cut off, and integers keep their low bits.
    fn narrow(value: f64) -> Self::Repr;
}

macro_rules! samples {
    ($($t:ty, $between:ty: |$value:ident| $narrow:expr;)*) => {$(
        impl Sample for $t {
            type Between = $between;

            #[inline(always)]
            fn widen(sample: Self::Repr) -> f64 {
                sample as f64
            }

            #[inline(always)]
            fn narrow($value: f64) -> Self::Repr {
                $narrow
            }
        }
    )*};
}

samples! {
    bool, u8: |value| u8::from(value as i64 as u8 != 0);
    u8, u8: |value| value as i64 as u8;
    u16, u16: |value| value as i64 as u16;
    u32, u32: |value| value as i64 as u32;
    u64, u64: |value| match value {
        // Such values are what negative ones become when they have been elements before.
        18_446_744_073_709_551_616.0.. => 0,
        9_223_372_036_854_775_808.0.. => value as u64,
        _ => value as i64 as u64,
    };
    i8, i8: |value| value as i64 as i8;
    i16, i16: |value| value as i64 as i16;
    i32, i32: |value| value as i64 as i32;
    i64, i64: |value| value as i64;
    f32, f32: |value| value as f32;
    f64, f64: |value| value;
}

/// Elements that are converted at a time.
const TILE: usize = 512;

/// The elements from number `start` on, counted in C order.
pub(super) fn widen(view: &ChunkView<'_>, start: usize, out: &mut [f64]) {
    let mut tile = [0u64; TILE];
    for (number, out) in out.chunks_mut(TILE).enumerate() {
        let size = view.dtype().size();
        let bytes = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut tile)[..out.len() * size];
        view.copy_run(start + number * TILE, bytes);
        with_dtype!(view.dtype(), T => {
            let samples: &[<T as Element>::Repr] = bytemuck::cast_slice(bytes);
            for (out, &sample) in out.iter_mut().zip(samples) {
                *out = <T as Sample>::widen(sample);
            }
        });
    }
}

/// Writes `values` into a block that lies in one run.
pub(super) fn narrow(values: &[f64], out: &mut ChunkMut<'_>) -> Result<(), String> {
    with_dtype!(out.dtype(), T => {
        let out = out.as_slice::<T>().ok_or("the block does not lie in one run")?;
        for (out, &value) in out.iter_mut().zip(values) {
            *out = <T as Sample>::narrow(value);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use freeboard_formats::DType;

    #[test]
    fn as_c_converts() {
        let settled = |dtype: DType, value| {
            with_dtype!(dtype, T => {
                <T as Sample>::widen(<<T as Sample>::Between as Sample>::narrow(value))
            })
        };
        assert_eq!(settled(DType::U8, 300.7), 44.0);
        assert_eq!(settled(DType::U8, -1.5), 255.0);
        assert_eq!(settled(DType::U64, -0.5), 0.0);
        assert_eq!(settled(DType::I16, -1.5), -1.0);
        assert_eq!(settled(DType::U64, -3.0), 2f64.powi(64));
        assert_eq!(settled(DType::U64, 2f64.powi(64)), 0.0);
        assert_eq!(settled(DType::Bool, -1.0), 255.0);
        assert_eq!(settled(DType::F32, 0.1), f64::from(0.1f32));
    }
}
