//! Arrays from numbers alone: constants and ranges. None holds its elements: they are made where they are needed.

use super::{
    Array, Kind, Line, Sizes,
    args::automatic,
    generated::{Generated, Recipe},
    kept, mistake,
};
use crate::expr::Expr;
use freeboard_formats::{DType, Element, Scalar};
use std::{panic::Location, sync::Arc};

/// The bytes of a chunk of an array that is made here, about.
pub(super) const CHUNK: u64 = 16 << 20;

fn constant<T: Element + Kind>(shape: &Sizes, value: Scalar, at: Line) -> Array<T> {
    Array::<T>::build(at, || {
        let shape = shape.shape().map_err(mistake(at))?;
        let grid = automatic(&shape, <T as Element>::DTYPE.size() as u64, CHUNK);
        Ok(Expr::constant(value, grid, at))
    })
}

/// Zeros (or `false`).
#[track_caller]
pub fn zeros<T: Element + Kind>(shape: impl Into<Sizes>) -> Array<T> {
    constant(&shape.into(), Scalar::zero(<T as Element>::DTYPE), Location::caller())
}

/// Ones (or `true`).
#[track_caller]
pub fn ones<T: Element + Kind>(shape: impl Into<Sizes>) -> Array<T> {
    constant(&shape.into(), Scalar::Bool(true).cast(<T as Element>::DTYPE), Location::caller())
}

/// `value` everywhere.
#[track_caller]
pub fn full<T: Element + Kind>(shape: impl Into<Sizes>, value: T) -> Array<T> {
    constant(&shape.into(), value.to_scalar(), Location::caller())
}

pub(super) fn generated<T: Kind>(
    dtype: DType,
    shape: &Sizes,
    recipe: Recipe,
    at: Line,
) -> Array<T> {
    Array::from_expr(kept(at, || {
        let shape = shape.shape().map_err(mistake(at))?;
        let grid = automatic(&shape, dtype.size() as u64, CHUNK);
        Ok(Expr::source(Arc::new(Generated::new(dtype, grid, recipe)), at))
    }))
}

/// A number that [`arange`] can count in.
pub trait Step: Element + Kind {
    #[doc(hidden)]
    fn range(start: Self, stop: Self, step: Self) -> (u64, Counting);
}

/// How the elements of a range follow one another; made by [`Step`].
#[derive(Debug)]
pub struct Counting(Recipe);

macro_rules! integer_steps {
    ($($t:ty),*) => {$(
        impl Step for $t {
            fn range(start: $t, stop: $t, step: $t) -> (u64, Counting) {
                let (first, last, by) = (i128::from(start), i128::from(stop), i128::from(step));
                let span = if by > 0 { last - first } else { first - last };
                let len = match by {
                    0 => u64::MAX,
                    _ => ((span + by.abs() - 1) / by.abs()).max(0) as u64,
                };
                (len, Counting(Recipe::Integers { start: start.into(), step: step.into() }))
            }
        }
    )*};
}
integer_steps!(i32, i64);

macro_rules! float_steps {
    ($($t:ty),*) => {$(
        impl Step for $t {
            fn range(start: $t, stop: $t, step: $t) -> (u64, Counting) {
                let (start, stop, step) = (f64::from(start), f64::from(stop), f64::from(step));
                let len = ((stop - start) / step).ceil();
                // As NumPy counts: by the difference of the first two elements.
                let counted = Recipe::Floats { start, step: (start + step) - start };
                // A length that is not a number is beyond all bounds; a conversion saturates.
                (if len.is_nan() { u64::MAX } else { len as u64 }, Counting(counted))
            }
        }
    )*};
}
float_steps!(f32, f64);

/// `start`, `start + step`, and so on, short of `stop`.
#[track_caller]
pub fn arange<T: Step>(start: T, stop: T, step: T) -> Array<T> {
    let at = Location::caller();
    let (len, Counting(recipe)) = T::range(start, stop, step);
    if len == u64::MAX {
        let message =
            format!("a range from {start:?} to {stop:?} in steps of {step:?} does not end");
        return Array::from_expr(Expr::failed(mistake(at)(message), at));
    }
    generated(<T as Element>::DTYPE, &Sizes::from(len), recipe, at)
}

/// `len` numbers from `start` to `stop`, both included, at equal distances.
#[track_caller]
pub fn linspace(start: f64, stop: f64, len: usize) -> Array<f64> {
    let last = (len as u64).saturating_sub(1);
    let recipe = match last {
        0 => Recipe::Floats { start, step: 0.0 },
        _ => Recipe::Between { start, step: (stop - start) / last as f64, last, stop },
    };
    generated(DType::F64, &Sizes::from(len), recipe, Location::caller())
}

/// Zeros in the shape, chunks and dtype of `array`.
#[track_caller]
pub fn zeros_like<T: Kind>(array: &Array<T>) -> Array<T> {
    like(array, Scalar::U8(0), Location::caller())
}

/// Ones in the shape, chunks and dtype of `array`.
#[track_caller]
pub fn ones_like<T: Kind>(array: &Array<T>) -> Array<T> {
    like(array, Scalar::U8(1), Location::caller())
}

/// `value`, converted to the dtype of `array`, in its shape and chunks.
#[track_caller]
pub fn full_like<T: Kind>(array: &Array<T>, value: impl Into<Scalar>) -> Array<T> {
    like(array, value.into(), Location::caller())
}

fn like<T: Kind>(array: &Array<T>, value: Scalar, at: Line) -> Array<T> {
    Array::from_expr(kept(at, || {
        let meta = array.meta()?;
        Ok(Expr::constant(value.cast(meta.dtype), meta.grid.clone(), at))
    }))
}

#[cfg(test)]
mod tests {
    use super::super::Chunks;
    use super::*;
    use freeboard_formats::Grid;

    #[test]
    fn lengths_of_ranges_are_numpys() {
        let len = |array: Array<f64>| array.shape().unwrap()[0];
        assert_eq!(len(arange(0.0, 1.0, 0.1)), 10);
        assert_eq!(len(arange(1.0, 1.3, 0.1)), 4);
        assert_eq!(len(arange(1.0, 0.0, 0.1)), 0);
        assert_eq!(len(linspace(0.0, 1.0, 5)), 5);
        assert_eq!(arange(5, 0, -2).shape().unwrap(), [3]);
        assert_eq!(arange(0i64, -3, 1).shape().unwrap(), [0]);
        for endless in [arange(0.0, 1.0, 0.0), arange(0.0, f64::NAN, 1.0)] {
            assert!(endless.to_string().contains("does not end at "), "{endless}");
        }
        assert!(
            arange(0, 1, 0)
                .to_string()
                .starts_with("a range from 0 to 1 in steps of 0 does not end")
        );
    }

    #[test]
    fn shapes_and_chunks() {
        let x = zeros::<f64>([1000, 1000, 10]);
        assert_eq!(x.meta().unwrap().grid, Grid::regular(&[1000, 1000, 10], &[200, 1000, 10]));
        assert_eq!(x.rechunk(Chunks::only([(0, 10)])).chunksize().unwrap(), [10, 1000, 10]);
        assert_eq!(full([2], 2.5f32).dtype().unwrap(), DType::F32);
        assert_eq!(ones::<bool>(Vec::<i64>::new()).rank().unwrap(), 0);
        assert!(
            zeros::<f32>([-1]).to_string().starts_with("a shape has no negative length: [-1] at ")
        );
        let huge = zeros::<f32>([1i64 << 40, 1 << 40]);
        assert!(huge.to_string().contains("has too many elements at "), "{huge}");
    }
}
