//! Filters of elements: what numcodecs may do to a chunk's elements before they become bytes.
//!
//! Each is undone from one buffer into another, a block at a time through a wide type, so that
//! eleven dtypes on either side need no table of pairs. Arithmetic is NumPy's: integers wrap,
//! sums and quotients are of the precision that NumPy takes, since it fixes the last bits.

use crate::{
    dtype::{DType, Element},
    error::{ErrorKind, FormatError, Result},
    with_dtype,
};

/// Elements that are converted at once: two blocks stay in first-level cache.
const BLOCK: usize = 512;

/// One filter; types are those of the elements on either side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Filter {
    /// Each element less the one before it, in stored order.
    Delta { decoded: DType, stored: DType },
    /// `round((x - offset) * scale)`.
    ScaleOffset { scale: f64, offset: f64, decoded: DType, stored: DType },
    /// Another type (numcodecs' `astype`, and `quantize`, which rounded the elements before).
    Cast { decoded: DType, stored: DType },
    /// `bool`, eight to a byte, the first the highest bit, behind a byte that tells how many
    /// bits of the last one are unused.
    PackBits,
}

impl Filter {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Filter::Delta { .. } => "delta",
            Filter::ScaleOffset { .. } => "fixedscaleoffset",
            Filter::Cast { .. } => "astype",
            Filter::PackBits => "packbits",
        }
    }

    /// The type of the elements that are stored.
    pub(super) fn stored(&self) -> DType {
        match *self {
            Filter::Delta { stored, .. }
            | Filter::ScaleOffset { stored, .. }
            | Filter::Cast { stored, .. } => stored,
            Filter::PackBits => DType::U8,
        }
    }

    /// Whether a stored element depends on its element alone, so that the order of axes may
    /// change behind it.
    pub(super) fn is_elementwise(&self) -> bool {
        !matches!(self, Filter::Delta { .. } | Filter::PackBits)
    }

    /// Bytes that `count` elements are stored in.
    pub(super) fn stored_bytes(&self, count: u64) -> u64 {
        match self {
            Filter::PackBits => count.div_ceil(8) + 1,
            _ => count.saturating_mul(self.stored().size() as u64),
        }
    }

    /// Undoes the filter; the two lengths are those of the same number of elements.
    pub(super) fn decode(&self, stored: &[u8], out: &mut [u8]) -> Result<()> {
        match *self {
            Filter::PackBits => return unpack_bits(stored, out),
            Filter::Cast { decoded, stored: from } if from.is_float() || decoded.is_float() => {
                each_block(from, decoded, stored, out, |_| {});
            }
            Filter::Cast { decoded, stored: from } => {
                each_whole_block(from, decoded, stored, out, |_| {});
            }
            Filter::Delta { decoded: DType::F32, stored: from } => {
                let mut sum = 0f32;
                each_block(from, DType::F32, stored, out, |block| {
                    for value in block {
                        sum += *value as f32;
                        *value = f64::from(sum);
                    }
                });
            }
            Filter::Delta { decoded, stored: from } if decoded.is_float() => {
                let mut sum = 0f64;
                each_block(from, decoded, stored, out, |block| {
                    for value in block {
                        sum += *value;
                        *value = sum;
                    }
                });
            }
            Filter::Delta { decoded, stored: from } => {
                let mut sum = 0i64;
                each_whole_block(from, decoded, stored, out, |block| {
                    for value in block {
                        sum = sum.wrapping_add(*value);
                        *value = sum;
                    }
                });
            }
            Filter::ScaleOffset { scale, offset, decoded, stored: DType::F32 } => {
                let (scale, offset) = (scale as f32, offset as f32);
                each_block(DType::F32, decoded, stored, out, |block| {
                    for value in block {
                        *value = f64::from(*value as f32 / scale + offset);
                    }
                });
            }
            Filter::ScaleOffset { scale, offset, decoded, stored: from } => {
                each_block(from, decoded, stored, out, |block| {
                    for value in block {
                        *value = *value / scale + offset;
                    }
                });
            }
        }
        Ok(())
    }
}

macro_rules! blocks {
    ($(#[$doc:meta])* $name:ident as $wide:ty) => {
        $(#[$doc])*
        fn $name(
            from: DType,
            to: DType,
            stored: &[u8],
            out: &mut [u8],
            mut change: impl FnMut(&mut [$wide]),
        ) {
            let mut wide = [<$wide>::default(); BLOCK];
            let stored = stored.chunks(BLOCK * from.size());
            for (stored, out) in stored.zip(out.chunks_mut(BLOCK * to.size())) {
                let wide = &mut wide[..out.len() / to.size()];
                with_dtype!(from, T => {
                    type Stored = <T as Element>::Repr;
                    let (elements, _) = stored.as_chunks::<{ size_of::<Stored>() }>();
                    for (wide, element) in wide.iter_mut().zip(elements) {
                        *wide = Stored::from_ne_bytes(*element) as $wide;
                    }
                });
                change(wide);
                with_dtype!(to, T => {
                    type Decoded = <T as Element>::Repr;
                    let (elements, _) = out.as_chunks_mut::<{ size_of::<Decoded>() }>();
                    for (wide, element) in wide.iter().zip(elements) {
                        *element = (*wide as Decoded).to_ne_bytes();
                    }
                });
                if to == DType::Bool {
                    for (byte, wide) in out.iter_mut().zip(&*wide) {
                        *byte = u8::from(*wide != <$wide>::default());
                    }
                }
            }
        }
    };
}

blocks! {
    /// Converts elements by way of `f64`.
    each_block as f64
}

blocks! {
    /// Converts integers by way of `i64`, which holds the bits of a `u64` too.
    each_whole_block as i64
}

fn unpack_bits(stored: &[u8], out: &mut [u8]) -> Result<()> {
    let Some((&unused, bits)) = stored.split_first() else { return Ok(()) };
    if usize::from(unused) != bits.len() * 8 - out.len() {
        let message = format!("{unused} unused bits do not leave {} elements", out.len());
        return Err(FormatError::new(ErrorKind::Corrupt, message));
    }
    for (elements, byte) in out.chunks_mut(8).zip(bits) {
        for (at, element) in elements.iter_mut().enumerate() {
            *element = byte >> (7 - at) & 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_added_up_across_blocks_and_wrap() {
        let values: Vec<u16> = (0..2000u32).map(|i| (i * 37) as u16).collect();
        let first = [values[0] as i8].into_iter();
        let stored: Vec<u8> = first
            .chain(values.windows(2).map(|w| w[1].wrapping_sub(w[0]) as i8))
            .map(|v| v as u8)
            .collect();
        let mut out = vec![0u8; 4000];
        let filter = Filter::Delta { decoded: DType::U16, stored: DType::I8 };
        filter.decode(&stored, &mut out).unwrap();
        assert_eq!(out, bytemuck::cast_slice::<u16, u8>(&values));
    }

    #[test]
    fn the_highest_integers_survive_a_cast() {
        let stored = u64::MAX.to_ne_bytes();
        let mut out = [0; 8];
        Filter::Cast { decoded: DType::I64, stored: DType::U64 }.decode(&stored, &mut out).unwrap();
        assert_eq!(i64::from_ne_bytes(out), -1);
        Filter::Cast { decoded: DType::F64, stored: DType::U64 }.decode(&stored, &mut out).unwrap();
        assert_eq!(f64::from_ne_bytes(out), 18446744073709551616.0);
    }

    #[test]
    fn bits_that_do_not_fit_are_corrupt() {
        let mut out = [7; 5];
        Filter::PackBits.decode(&[3, 0b1010_1000], &mut out).unwrap();
        assert_eq!(out, [1, 0, 1, 0, 1]);
        assert!(Filter::PackBits.decode(&[2, 0xff], &mut out).is_err());
    }
}
