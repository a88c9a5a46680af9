//! The two filters of HDF5 itself that pack elements into fewer bits: n-bit and scale-offset.
//!
//! Both store each element's significant bits one after the other, the highest first. Layouts
//! are those of `H5Znbit.c` and `H5Zscaleoffset.c`, which the file format specification leaves
//! to the library.

use super::{corrupt, refused};
use crate::error::Result;

/// The class of an element in the n-bit filter's client data that is a plain number.
const ATOMIC: u32 = 1;
/// The class that is not packed.
const NO_OPERATION: u32 = 4;
/// Bytes before the packed elements of a scale-offset chunk: the width, the length of the
/// least value, and 16 bytes for it.
const HEADER: usize = 21;

/// N-bit, as a file describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nbit {
    /// Elements lie as they are.
    Plain,
    /// Of `elements` elements of `size` bytes, the bits from `offset` on.
    Packed { elements: usize, size: usize, big_endian: bool, precision: u32, offset: u32 },
}

impl Nbit {
    /// The filter from its client data.
    pub(super) fn new(client: &[u32]) -> Result<Nbit> {
        match *client {
            [_, need_not, ..] if need_not != 0 => Ok(Nbit::Plain),
            [_, _, _, NO_OPERATION, ..] => Ok(Nbit::Plain),
            [_, _, elements, ATOMIC, size, order, precision, offset, ..] => {
                let fits = precision.checked_add(offset).is_some_and(|bits| bits <= 8 * size);
                if !(1..=8).contains(&size) || precision == 0 || !fits {
                    return Err(corrupt(format!(
                        "n-bit of {precision} bits from bit {offset} of {size} bytes"
                    )));
                }
                let (elements, size) = (elements as usize, size as usize);
                Ok(Nbit::Packed { elements, size, big_endian: order == 1, precision, offset })
            }
            _ => Err(refused("n-bit of arrays or compound types")),
        }
    }

    /// Undoes the filter; returns how many bytes it gave.
    pub(super) fn decode(&self, input: &[u8], out: &mut [u8]) -> Result<usize> {
        let Nbit::Packed { elements, size, big_endian, precision, offset } = *self else {
            let out = out.get_mut(..input.len()).ok_or_else(|| too_many(input.len()))?;
            out.copy_from_slice(input);
            return Ok(input.len());
        };
        let out = elements.checked_mul(size).and_then(|len| out.get_mut(..len));
        let out = out.ok_or_else(|| too_many(elements))?;
        let mut bits = Bits::of(input, elements, precision)?;
        for element in out.chunks_exact_mut(size) {
            put(element, bits.next(precision) << offset, big_endian);
        }
        Ok(elements * size)
    }
}

/// Scale-offset, as a file describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScaleOffset {
    kind: Kind,
    elements: usize,
    size: usize,
    big_endian: bool,
    /// The fill value's bits, where it is defined: all bits set stand for it.
    fill: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integer,
    /// Floats as integers, multiplied by ten to the power of this.
    Decimal(i32),
}

impl ScaleOffset {
    /// The filter from its client data.
    pub(super) fn new(client: &[u32]) -> Result<ScaleOffset> {
        let [scale, factor, elements, class, size, _sign, order, filled, fill @ ..] = client else {
            return Err(corrupt("scale-offset lacks parameters"));
        };
        let kind = match (scale, class) {
            (2, 0) if matches!(size, 1 | 2 | 4 | 8) => Kind::Integer,
            (0, 1) if matches!(size, 4 | 8) => Kind::Decimal(*factor as i32),
            (1, _) => return Err(refused("scale-offset by powers of two")),
            _ => return Err(corrupt("scale-offset of a type that it is not made for")),
        };
        let word = |at: usize| fill.get(at).copied().map_or(0, u64::from);
        Ok(ScaleOffset {
            kind,
            elements: *elements as usize,
            size: *size as usize,
            big_endian: *order == 1,
            fill: (*filled == 1).then(|| word(0) | word(1) << 32),
        })
    }

    /// Undoes the filter; returns how many bytes it gave.
    pub(super) fn decode(&self, input: &[u8], out: &mut [u8]) -> Result<usize> {
        let out = self.elements.checked_mul(self.size).and_then(|len| out.get_mut(..len));
        let out = out.ok_or_else(|| too_many(self.elements))?;
        let (header, packed) = input
            .split_first_chunk::<HEADER>()
            .ok_or_else(|| corrupt("is too short for scale-offset"))?;
        let width = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let mut least = [0; 8];
        let len = usize::from(header[4]).min(8);
        least[..len].copy_from_slice(&header[5..5 + len]);
        let least = u64::from_le_bytes(least);
        let whole = 8 * self.size as u32;
        if width > whole {
            return Err(corrupt(format!("{width} bits for elements of {whole}")));
        }
        if width == whole {
            // Nothing was gained: the elements are there, in the order of the writer's memory,
            // which the library takes for the reader's.
            let plain = packed.get(..out.len()).ok_or_else(|| corrupt("elements are missing"))?;
            out.copy_from_slice(plain);
            if self.big_endian {
                out.chunks_exact_mut(self.size).for_each(<[u8]>::reverse);
            }
            return Ok(out.len());
        }
        let missing = (1u64 << width) - 1;
        let mut bits = Bits::of(packed, self.elements, width)?;
        for element in out.chunks_exact_mut(self.size) {
            let packed = bits.next(width);
            let value = match (self.fill, self.kind, self.size) {
                (Some(fill), ..) if packed == missing => fill,
                (_, Kind::Integer, _) => packed.wrapping_add(least),
                // In the element's own precision, as the library computes it.
                (_, Kind::Decimal(factor), 4) => {
                    let scale = 10f64.powf(factor.into()) as f32;
                    let value = packed as u32 as i32 as f32 / scale;
                    (value + f32::from_bits(least as u32)).to_bits().into()
                }
                (_, Kind::Decimal(factor), _) => {
                    let value = packed as i64 as f64 / 10f64.powf(factor.into());
                    (value + f64::from_bits(least)).to_bits()
                }
            };
            put(element, value, self.big_endian);
        }
        Ok(out.len())
    }
}

/// Bits taken from bytes, the highest first.
struct Bits<'a> {
    bytes: std::slice::Iter<'a, u8>,
    /// Bits that were fetched and not yet taken, in the lowest places.
    held: u128,
    count: u32,
}

impl<'a> Bits<'a> {
    /// The bits of `bytes`, of which there must be enough for `elements` times `width`.
    fn of(bytes: &'a [u8], elements: usize, width: u32) -> Result<Bits<'a>> {
        if (elements as u128 * u128::from(width)).div_ceil(8) > bytes.len() as u128 {
            return Err(corrupt(format!(
                "{} bytes do not hold {elements} elements of {width} bits",
                bytes.len()
            )));
        }
        Ok(Bits { bytes: bytes.iter(), held: 0, count: 0 })
    }

    /// The next `width` bits, at most 64.
    fn next(&mut self, width: u32) -> u64 {
        while self.count < width {
            self.held = self.held << 8 | u128::from(*self.bytes.next().unwrap_or(&0));
            self.count += 8;
        }
        self.count -= width;
        let value = (self.held >> self.count) as u64;
        self.held &= (1 << self.count) - 1;
        value
    }
}

/// Puts the low bytes of `value` into an element.
fn put(element: &mut [u8], value: u64, big_endian: bool) {
    let size = element.len();
    match big_endian {
        true => element.copy_from_slice(&value.to_be_bytes()[8 - size..]),
        false => element.copy_from_slice(&value.to_le_bytes()[..size]),
    }
}

fn too_many(count: usize) -> crate::error::FormatError {
    corrupt(format!("the filter tells of {count} elements, more than a chunk has"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_highest_first() {
        let mut bits = Bits::of(&[0b1010_0110, 0b1100_0000], 3, 5).unwrap();
        assert_eq!([bits.next(5), bits.next(5), bits.next(5)], [0b10100, 0b11011, 0b00000]);
        assert!(Bits::of(&[0], 3, 3).is_err());
        assert!(Bits::of(&[], usize::MAX, 0).is_ok());
        let mut bits = Bits::of(&[0xff; 17], 2, 64).unwrap();
        assert_eq!([bits.next(3), bits.next(64), bits.next(64)], [7, u64::MAX, u64::MAX]);
    }

    #[test]
    fn nonsense_is_refused() {
        for client in [
            &[][..],
            &[8, 0, 4, 1, 9, 0, 8, 0],
            &[8, 0, 4, 1, 2, 0, 0, 0],
            &[8, 0, 4, 1, 2, 0, 12, 5],
            &[8, 0, 4, 1, 2, 0, 1, u32::MAX],
            &[8, 0, 4, 3, 2, 0, 1, 0],
        ] {
            assert!(Nbit::new(client).is_err(), "{client:?}");
        }
        let huge = Nbit::new(&[8, 0, u32::MAX, 1, 8, 0, 3, 0]).unwrap();
        assert!(huge.decode(&[0; 9], &mut [0; 64]).is_err());
        for client in [&[2, 0, 4][..], &[2, 0, 4, 0, 3, 0, 0, 0], &[1, 0, 4, 1, 4, 0, 0, 0]] {
            assert!(ScaleOffset::new(client).is_err(), "{client:?}");
        }
        let filter = ScaleOffset::new(&[2, 0, 4, 0, 2, 0, 0, 0]).unwrap();
        let mut chunk = [0; HEADER];
        assert_eq!(filter.decode(&chunk, &mut [1; 8]).unwrap(), 8);
        assert!(filter.decode(&chunk, &mut [1; 7]).is_err());
        chunk[0] = 17;
        assert!(filter.decode(&chunk, &mut [1; 8]).is_err());
        chunk[0] = 3;
        assert!(filter.decode(&chunk, &mut [1; 8]).is_err(), "no bits follow");
    }
}
