//! From stored pixels to elements: byte order, unsigned offsets, BSCALE, BZERO and BLANK.
//!
//! The rules are those of the FITS standard 4.0, section 4.4.2.5, with the choice of dtypes
//! and the arithmetic (in the dtype of the result) of astropy, so that values agree to the
//! bit. All loops are over fixed-size cells of byte slices, which compilers vectorise.

use super::header::Header;
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    missing::Blank,
};

/// How the bytes of stored pixels lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Most significant byte first, as in a file.
    Big,
    /// As a decoder left them.
    Native,
}

/// Where pixels are taken from and elements go to.
pub(super) enum Cells<'a> {
    /// Elements take the place of pixels of the same size.
    InPlace(&'a mut [u8]),
    /// Elements go to the second slice.
    Into(&'a [u8], &'a mut [u8]),
}

/// Applies `f` to every cell.
#[inline(always)]
pub(super) fn each<const S: usize, const D: usize>(
    cells: Cells<'_>,
    mut f: impl FnMut([u8; S]) -> [u8; D],
) {
    match cells {
        Cells::Into(source, target) => {
            let (source, target) = (source.as_chunks::<S>().0, target.as_chunks_mut::<D>().0);
            for (t, s) in target.iter_mut().zip(source) {
                *t = f(*s);
            }
        }
        Cells::InPlace(cells) => {
            debug_assert_eq!(S, D, "elements take the place of pixels of their size");
            for cell in cells.as_chunks_mut::<S>().0 {
                let element = f(*cell);
                cell.copy_from_slice(&element[..S.min(D)]);
            }
        }
    }
}

/// BITPIX as the dtype of the stored pixels.
pub(super) fn stored_dtype(bitpix: i64) -> Option<DType> {
    Some(match bitpix {
        8 => DType::U8,
        16 => DType::I16,
        32 => DType::I32,
        64 => DType::I64,
        -32 => DType::F32,
        -64 => DType::F64,
        _ => return None,
    })
}

/// What makes an element of a stored pixel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Convert {
    /// The dtype of the stored pixels.
    pub(super) stored: DType,
    /// The dtype of the elements.
    pub(super) dtype: DType,
    rule: Rule,
    /// The pixel that stands for an undefined element, of integers.
    blank: Option<i64>,
    pub(super) undefined: Undefined,
}

/// What is made of undefined elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undefined {
    /// NaN, where elements are floats.
    Nan,
    /// 0
    Zero,
    /// `true`; all others are `false`.
    True,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    /// As stored.
    Keep,
    /// The most significant bit is turned: integers of the other signedness.
    Flip,
    /// `pixel * scale + zero`
    Scale { scale: f64, zero: f64 },
}

impl Convert {
    /// The rule of an image with this header; `bitpix` and `blank` apart, since compressed
    /// images name them otherwise. Undefined elements are treated as `policy` says.
    pub(super) fn new(
        bitpix: i64,
        header: &Header,
        blank: Option<i64>,
        policy: Blank,
    ) -> Result<Convert> {
        let stored = stored_dtype(bitpix).ok_or_else(|| {
            FormatError::new(
                ErrorKind::Corrupt,
                format!("BITPIX is {bitpix}, not one of 8, 16, 32, 64, -32, -64"),
            )
        })?;
        let scale = header.float("BSCALE")?.unwrap_or(1.0);
        let zero = header.float("BZERO")?.unwrap_or(0.0);
        let blank = blank.filter(|_| !stored.is_float());
        let other_sign = match stored {
            DType::U8 if zero == -128.0 => Some(DType::I8),
            DType::I16 if zero == 2f64.powi(15) => Some(DType::U16),
            DType::I32 if zero == 2f64.powi(31) => Some(DType::U32),
            DType::I64 if zero == 2f64.powi(63) => Some(DType::U64),
            _ => None,
        };
        let floats = blank.is_some() && policy == Blank::Nan;
        let (dtype, rule) = match other_sign {
            // The standard lets blanks be among unsigned integers, where no NaN can stand
            // for them: they stay the number that they are.
            Some(dtype) if scale == 1.0 => (dtype, Rule::Flip),
            _ if scale == 1.0 && zero == 0.0 && !floats => (stored, Rule::Keep),
            _ => {
                let dtype = match stored {
                    DType::U8 | DType::I16 | DType::F32 => DType::F32,
                    _ => DType::F64,
                };
                (dtype, Rule::Scale { scale, zero })
            }
        };
        let undefined = match policy {
            Blank::Mask if blank.is_some() || stored.is_float() => Undefined::Zero,
            _ => Undefined::Nan,
        };
        Ok(Convert { stored, dtype, rule, blank, undefined })
    }

    /// The rule of images of `dtype` as they are written: nothing scaled, nothing undefined.
    #[cfg(feature = "codecs")]
    pub(super) fn plain(dtype: DType) -> Convert {
        let (stored, rule) = match dtype {
            DType::I8 => (DType::U8, Rule::Flip),
            DType::U16 => (DType::I16, Rule::Flip),
            DType::U32 => (DType::I32, Rule::Flip),
            DType::U64 => (DType::I64, Rule::Flip),
            same => (same, Rule::Keep),
        };
        Convert { stored, dtype, rule, blank: None, undefined: Undefined::Nan }
    }

    /// The same with another missing value, where there is one at all.
    pub(super) fn with_blank(&self, other: i64) -> Convert {
        Convert { blank: self.blank.map(|_| other), ..self.clone() }
    }

    /// What tells which elements are undefined, if they are 0 by this rule.
    pub(super) fn mask(&self) -> Option<Convert> {
        (self.undefined == Undefined::Zero).then(|| Convert {
            dtype: DType::Bool,
            undefined: Undefined::True,
            ..self.clone()
        })
    }

    /// Whether elements are of the size of stored pixels.
    pub(super) fn keeps_size(&self) -> bool {
        self.stored.size() == self.dtype.size()
    }

    /// Converts all cells; [`Cells::InPlace`] only where [`Convert::keeps_size`].
    pub(super) fn apply(&self, cells: Cells<'_>, order: Order) {
        // In cache, one core: pixels of 16 or 32 bits swapped at 110 GB/s with AVX2, at 31 with what
        // every x86-64 has; the slower one takes longer than the read from the page cache before it.
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, which is all that the function asks for.
            return unsafe { self.apply_avx2(cells, order) };
        }
        self.apply_any(cells, order);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn apply_avx2(&self, cells: Cells<'_>, order: Order) {
        self.apply_any(cells, order);
    }

    #[inline(always)]
    fn apply_any(&self, cells: Cells<'_>, order: Order) {
        match order {
            Order::Big => self.run::<true>(cells),
            Order::Native => self.run::<false>(cells),
        }
    }

    #[inline(always)]
    fn run<const BIG: bool>(&self, cells: Cells<'_>) {
        macro_rules! load {
            ($t:ty, $cell:expr) => {
                if BIG { <$t>::from_be_bytes($cell) } else { <$t>::from_ne_bytes($cell) }
            };
        }
        // Elements of the type of pixels: these, with what `$undefined` holds of made 0.
        macro_rules! keep {
            ($t:ty) => {
                each(cells, |cell| load!($t, cell).to_ne_bytes())
            };
            ($t:ty, $flip:expr, $undefined:expr) => {
                each(cells, |cell| {
                    let pixel = load!($t, cell);
                    (if $undefined(pixel) { 0 } else { pixel ^ $flip }).to_ne_bytes()
                })
            };
        }
        macro_rules! flip {
            ($t:ty) => {
                each(cells, |cell| (load!($t, cell) ^ (1 << (<$t>::BITS - 1))).to_ne_bytes())
            };
        }
        // The zero that is added is -0.0 where there is none, so that -0.0 stays.
        macro_rules! scale {
            ($t:ty, $f:ty, $scale:expr, $zero:expr) => {{
                let (scale, zero) = ($scale as $f, if $zero == 0.0 { -0.0 } else { $zero as $f });
                each(cells, |cell| (load!($t, cell) as $f * scale + zero).to_ne_bytes())
            }};
            ($t:ty, $f:ty, $scale:expr, $zero:expr, $undefined:expr, $instead:expr) => {{
                let (scale, zero) = ($scale as $f, $zero as $f);
                each(cells, |cell| {
                    let pixel = load!($t, cell);
                    let value = pixel as $f * scale + zero;
                    (if $undefined(pixel) { $instead } else { value }).to_ne_bytes()
                })
            }};
        }
        macro_rules! tell {
            ($t:ty, $undefined:expr) => {
                each(cells, |cell| [u8::from($undefined(load!($t, cell)))])
            };
        }
        // Integers: with a number for undefined elements that is one of the type, or none.
        macro_rules! integers {
            ($t:ty, $unsigned:ty, $f:ty) => {{
                let blank = self.blank.and_then(|blank| <$t>::try_from(blank).ok());
                let undefined = |pixel: $t| Some(pixel) == blank;
                let of_bits = |bits: $unsigned| undefined(bits as $t);
                match (self.rule, self.undefined) {
                    (_, Undefined::True) => tell!($t, undefined),
                    (Rule::Keep, Undefined::Zero) => keep!($unsigned, 0, of_bits),
                    (Rule::Keep, Undefined::Nan) => keep!($unsigned),
                    (Rule::Flip, Undefined::Zero) => {
                        keep!($unsigned, 1 << (<$unsigned>::BITS - 1), of_bits)
                    }
                    (Rule::Flip, Undefined::Nan) => flip!($unsigned),
                    (Rule::Scale { scale, zero }, _) if blank.is_none() => {
                        scale!($t, $f, scale, zero)
                    }
                    (Rule::Scale { scale, zero }, how) => {
                        let instead = if how == Undefined::Zero { 0.0 } else { <$f>::NAN };
                        scale!($t, $f, scale, zero, undefined, instead)
                    }
                }
            }};
        }
        macro_rules! floats {
            ($f:ty, $bits:ty) => {{
                let undefined = |pixel: $f| pixel.is_nan();
                match (self.rule, self.undefined) {
                    (_, Undefined::True) => tell!($f, undefined),
                    (Rule::Scale { scale, zero }, Undefined::Zero) => {
                        scale!($f, $f, scale, zero, undefined, 0.0)
                    }
                    (Rule::Scale { scale, zero }, Undefined::Nan) => {
                        scale!($f, $f, scale, zero)
                    }
                    (_, Undefined::Zero) => {
                        keep!($bits, 0, |bits: $bits| undefined(<$f>::from_bits(bits)))
                    }
                    (_, Undefined::Nan) => keep!($bits),
                }
            }};
        }
        // As stored: nothing is turned, and in place nothing is to do.
        if self.rule == Rule::Keep
            && self.undefined == Undefined::Nan
            && (!BIG || self.stored.size() == 1)
        {
            if let Cells::Into(source, target) = cells {
                let len = source.len().min(target.len());
                target[..len].copy_from_slice(&source[..len]);
            }
            return;
        }
        match self.stored {
            DType::U8 => integers!(u8, u8, f32),
            DType::I16 => integers!(i16, u16, f32),
            DType::I32 => integers!(i32, u32, f64),
            DType::I64 => integers!(i64, u64, f64),
            DType::F32 => floats!(f32, u32),
            _ => floats!(f64, u64),
        }
    }
}

/// Turns elements of `dtype` into the pixels that a file has for them, in place.
pub(super) fn to_file_order(dtype: DType, cells: &mut [u8]) {
    macro_rules! swap {
        ($t:ty, $flip:expr) => {
            each(Cells::InPlace(cells), |cell| {
                (<$t>::from_ne_bytes(cell) ^ ($flip << (<$t>::BITS - 1))).to_be_bytes()
            })
        };
    }
    match dtype {
        DType::Bool | DType::U8 => {}
        DType::I8 => swap!(u8, 1),
        DType::U16 => swap!(u16, 1),
        DType::U32 => swap!(u32, 1),
        DType::U64 => swap!(u64, 1),
        DType::I16 => swap!(u16, 0),
        DType::I32 | DType::F32 => swap!(u32, 0),
        DType::I64 | DType::F64 => swap!(u64, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(cards: &[(&str, f64)]) -> Header {
        Header::of_values(cards.iter().map(|&(k, v)| (k.to_owned(), v.into())).collect())
    }

    #[test]
    fn dtypes_follow_the_rules() {
        let rules = [
            (8, vec![], None, DType::U8),
            (8, vec![("BZERO", -128.0)], None, DType::I8),
            (16, vec![("BZERO", 32768.0)], Some(1), DType::U16),
            (16, vec![("BZERO", 32768.0), ("BSCALE", 2.0)], None, DType::F32),
            (32, vec![("BZERO", 2147483648.0)], None, DType::U32),
            (64, vec![("BZERO", 9223372036854775808.0)], None, DType::U64),
            (16, vec![], Some(-1), DType::F32),
            (32, vec![], Some(-1), DType::F64),
            (64, vec![("BSCALE", 0.5)], None, DType::F64),
            (-32, vec![("BSCALE", 0.5)], Some(3), DType::F32),
            (-64, vec![], Some(3), DType::F64),
        ];
        for (bitpix, cards, blank, dtype) in rules {
            assert_eq!(
                Convert::new(bitpix, &header(&cards), blank, Blank::Nan).unwrap().dtype,
                dtype
            );
        }
        assert!(Convert::new(24, &header(&[]), None, Blank::Nan).is_err());
    }

    #[test]
    fn blanks_become_nan_and_others_are_scaled() {
        let cards = header(&[("BSCALE", 0.5), ("BZERO", 1.0)]);
        let convert = Convert::new(16, &cards, Some(-3), Blank::Nan).unwrap();
        let source: Vec<u8> = [4i16, -3, 7].iter().flat_map(|v| v.to_be_bytes()).collect();
        let mut target = [0f32; 3];
        convert.apply(Cells::Into(&source, bytemuck::cast_slice_mut(&mut target)), Order::Big);
        assert_eq!((target[0], target[2]), (3.0, 4.5));
        assert!(target[1].is_nan());
    }

    #[test]
    fn what_goes_to_a_file_comes_back() {
        let mut cells: Vec<u8> = (0..16).collect();
        let before = cells.clone();
        to_file_order(DType::U32, &mut cells);
        let convert = Convert::new(32, &header(&[("BZERO", 2147483648.0)]), None, Blank::Nan);
        convert.unwrap().apply(Cells::InPlace(&mut cells), Order::Big);
        assert_eq!(cells, before);
    }
}
