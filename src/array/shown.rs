//! Elements as text: rows in brackets, as NumPy and `ndarray` write them, abridged where there are many.
//!
//! `ndarray` writes out every digit of the largest and the smallest floats; here they have an exponent.

use ndarray::{ArrayViewD, Axis};
use std::fmt;

/// How an element is written.
pub(super) trait Shown {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

macro_rules! shown {
    ($($t:ident)*; $($float:ident)*) => {
        $(impl Shown for $t {
            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        })*
        $(impl Shown for $float {
            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let size = self.abs();
                match size {
                    _ if self.is_nan() => f.write_str("nan"),
                    _ if size.is_finite() && (size >= 1e16 || size < 1e-4 && size > 0.0) => {
                        fmt::LowerExp::fmt(self, f)
                    }
                    _ => fmt::Display::fmt(self, f),
                }
            }
        })*
    };
}
shown!(bool u8 u16 u32 u64 i8 i16 i32 i64; f32 f64);

/// Writes an array; one of more than 500 elements has dots in place of most of them.
pub(super) fn write<T: Shown>(array: ArrayViewD<'_, T>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const MANY: usize = 500;
    match array.is_empty() {
        true => write!(f, "{}{}", "[".repeat(array.ndim()), "]".repeat(array.ndim())),
        false => nested(&array, 0, array.len() > MANY, f),
    }
}

fn nested<T: Shown>(
    array: &ArrayViewD<'_, T>,
    depth: usize,
    is_abridged: bool,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let (rank, len) = (array.ndim(), array.shape().first().copied().unwrap_or(1));
    let separator = match rank {
        0 => return array.iter().try_for_each(|element| element.show(f)),
        1 => ", ".to_owned(),
        _ => format!(",\n{}{}", "\n".repeat(rank - 2), " ".repeat(depth + 1)),
    };
    let most = match rank {
        _ if !is_abridged => len,
        1 | 2 => 11,
        _ => 6,
    };
    f.write_str("[")?;
    let edge = if len <= most { len } else { most / 2 };
    for i in (0..edge).chain(edge.max(len - edge)..len) {
        if i > 0 {
            f.write_str(&separator)?;
        }
        if i == len - edge && edge < len {
            write!(f, "...{separator}")?;
        }
        nested(&array.index_axis(Axis(0), i), depth + 1, is_abridged, f)?;
    }
    f.write_str("]")
}

#[cfg(test)]
mod tests {
    use super::super::AnyArray;
    use ndarray::{ArrayD, IxDyn, array};

    #[test]
    fn rows_are_written_as_ndarray_does() {
        for shape in [
            &[][..],
            &[0],
            &[3],
            &[2, 0],
            &[2, 3],
            &[2, 2, 2],
            &[501],
            &[30, 40],
            &[7, 8, 12],
            &[9, 2, 3, 11],
        ] {
            let len: usize = shape.iter().product();
            let array = ArrayD::from_shape_vec(IxDyn(shape), (0..len as i64).collect()).unwrap();
            assert_eq!(AnyArray::from(array.clone()).to_string(), array.to_string());
        }
    }

    #[test]
    fn extreme_floats_have_exponents() {
        let floats = array![0.0, 1.5, -1e308, 2.5e-5, f64::NAN, f64::NEG_INFINITY, 1e15].into_dyn();
        let text = "[0, 1.5, -1e308, 2.5e-5, nan, -inf, 1000000000000000]";
        assert_eq!(AnyArray::from(floats).to_string(), text);
        assert_eq!(AnyArray::from(array![0.1f32, 1e-7].into_dyn()).to_string(), "[0.1, 1e-7]");
    }
}
