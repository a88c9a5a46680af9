//! Numbers as a file stores them, and as elements of one of the eleven dtypes.
//!
//! The datatype message (specification, section IV.A.2.d) allows integers of any number of
//! bytes, of which only some bits count, in either byte order. They are handed out as the
//! dtype of so many bytes, or the next longer one. Floats are IEEE 754's or refused.

use super::{
    file::{REMEDY, corrupt, unsupported},
    index::Stored,
};
use crate::{
    dtype::DType,
    error::{FormatError, Result},
};
use hdf5_reader::messages::datatype::{Datatype, DatatypeMessage, VarLenKind};

/// A stored number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    /// What its elements are handed out as.
    pub(super) dtype: DType,
    /// Bytes in the file.
    pub(super) size: usize,
    big_endian: bool,
    /// The place of the lowest bit that counts, and how many do.
    offset: u32,
    precision: u32,
}

impl Number {
    /// The elements of a datatype message, and what `hdf5-reader` made of it; refuses by name
    /// what is not a number.
    pub(super) fn new(message: &[u8], parsed: &DatatypeMessage) -> Result<Number> {
        let refuse =
            |what: String| Err(unsupported(format!("elements are {what}; numbers can be read")));
        match &parsed.datatype {
            Datatype::FixedPoint { .. } | Datatype::Bitfield { .. } => Number::integer(message),
            Datatype::FloatingPoint { size: 2, .. } => {
                refuse("half-precision floats (float16)".into())
            }
            Datatype::FloatingPoint { .. } => Number::float(message),
            Datatype::Enum { base, members } => {
                let boolean = matches!(**base, Datatype::FixedPoint { size: 1, .. })
                    && members.len() == 2
                    && members.iter().all(|m| match m.name.as_str() {
                        "FALSE" => m.value == [0],
                        "TRUE" => m.value == [1],
                        _ => false,
                    });
                // The type that the names stand for lies behind the enumeration's own head.
                let number = Number::integer(message.get(8..).unwrap_or_default())?;
                Ok(if boolean { Number { dtype: DType::Bool, ..number } } else { number })
            }
            Datatype::String { .. } => refuse("strings".into()),
            Datatype::Compound { fields, .. } => {
                let names: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
                match names[..] {
                    ["r", "i"] => refuse("complex numbers".into()),
                    _ => refuse(format!("of a compound type ({})", names.join(", "))),
                }
            }
            Datatype::Array { .. } => refuse("arrays".into()),
            Datatype::VarLen { kind: VarLenKind::String, .. } => refuse("strings".into()),
            Datatype::VarLen { .. } => refuse("of variable length".into()),
            Datatype::Opaque { .. } => refuse("opaque".into()),
            Datatype::Reference { .. } => refuse("references".into()),
        }
    }

    fn integer(message: &[u8]) -> Result<Number> {
        let head = Head::of(message)?;
        let signed = head.class == 0 && head.flags[0] & 8 != 0;
        let dtype = match (head.size, signed) {
            (1, false) => DType::U8,
            (2, false) => DType::U16,
            (3 | 4, false) => DType::U32,
            (5..=8, false) => DType::U64,
            (1, true) => DType::I8,
            (2, true) => DType::I16,
            (3 | 4, true) => DType::I32,
            (5..=8, true) => DType::I64,
            (size, _) => return Err(odd(format!("integers of {size} bytes"))),
        };
        let (offset, precision) = (head.word(0)?, head.word(2)?);
        if precision == 0 || offset + precision > 8 * head.size {
            return Err(corrupt(format!(
                "integers of {precision} bits from bit {offset} of {} bytes",
                head.size
            )));
        }
        let big_endian = head.flags[0] & 1 != 0;
        Ok(Number { dtype, size: head.size as usize, big_endian, offset, precision })
    }

    fn float(message: &[u8]) -> Result<Number> {
        let head = Head::of(message)?;
        // Where bits begin and how many they are; exponent's place and bits, mantissa's place
        // and bits; then the exponent's bias.
        let (dtype, layout) = match head.size {
            4 => (DType::F32, [0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0]),
            8 => (DType::F64, [0, 0, 64, 0, 52, 11, 0, 52, 0xff, 3, 0, 0]),
            size => return Err(odd(format!("floats of {size} bytes"))),
        };
        // Bit 6 of the flags marks the byte order of the VAX.
        if head.rest.get(..12) != Some(&layout[..]) || head.flags[0] & 0x40 != 0 {
            return Err(odd("floats that are not IEEE 754's".into()));
        }
        let (size, big_endian) = (head.size as usize, head.flags[0] & 1 != 0);
        Ok(Number { dtype, size, big_endian, offset: 0, precision: 8 * head.size })
    }

    /// Whether elements have as many bytes in the file as in memory.
    pub(super) fn fits(&self) -> bool {
        self.size == self.dtype.size()
    }

    /// Whether all bits count.
    fn whole(&self) -> bool {
        self.offset == 0 && self.precision == 8 * self.size as u32
    }

    /// Turns elements that lie as in the file into those of this machine, where both have as
    /// many bytes.
    pub(super) fn settle(&self, bytes: &mut [u8]) {
        let swapped = self.big_endian != cfg!(target_endian = "big");
        if self.dtype == DType::Bool || self.whole() {
            return crate::raw::to_native(bytes, self.dtype, swapped);
        }
        for element in bytes.chunks_exact_mut(self.size) {
            let value = self.value(element);
            write(element, value);
        }
    }

    /// Turns elements that lie as in the file into those of this machine.
    pub(super) fn convert(&self, stored: &[u8], out: &mut [u8]) {
        let elements = stored.chunks_exact(self.size);
        for (stored, out) in elements.zip(out.chunks_exact_mut(self.dtype.size())) {
            write(out, self.value(stored));
        }
    }

    /// One element that lies as in the file, as an element of this machine.
    pub(super) fn native(&self, stored: &[u8]) -> Stored {
        let mut out = Stored::from_elem(0, self.dtype.size());
        self.convert(stored, &mut out);
        if self.dtype == DType::Bool {
            out[0] = u8::from(out[0] != 0);
        }
        out
    }

    /// The integer in `stored`, its sign carried on through all bits.
    fn value(&self, stored: &[u8]) -> u64 {
        let append = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        let raw = match self.big_endian {
            true => stored.iter().fold(0, append),
            false => stored.iter().rev().fold(0, append),
        };
        let unused = 64 - self.precision;
        let high = raw >> self.offset << unused;
        match self.dtype.is_signed() {
            true => ((high as i64) >> unused) as u64,
            false => high >> unused,
        }
    }
}

/// Writes the low bytes of an integer in this machine's order.
fn write(element: &mut [u8], value: u64) {
    let size = element.len();
    match cfg!(target_endian = "big") {
        true => element.copy_from_slice(&value.to_be_bytes()[8 - size..]),
        false => element.copy_from_slice(&value.to_le_bytes()[..size]),
    }
}

/// What every datatype begins with, and what follows.
struct Head<'a> {
    class: u8,
    flags: [u8; 3],
    size: u32,
    rest: &'a [u8],
}

impl<'a> Head<'a> {
    fn of(message: &'a [u8]) -> Result<Head<'a>> {
        let short = || corrupt("a datatype is cut short");
        let (&[class, a, b, c, size @ ..], rest) =
            message.split_first_chunk::<8>().ok_or_else(short)?;
        Ok(Head { class: class & 15, flags: [a, b, c], size: u32::from_le_bytes(size), rest })
    }

    /// The 16 bits at the byte `at` behind the head.
    fn word(&self, at: usize) -> Result<u32> {
        let bytes = self.rest.get(at..at + 2).and_then(|bytes| bytes.first_chunk::<2>());
        let bytes = bytes.ok_or_else(|| corrupt("a datatype is cut short"))?;
        Ok(u16::from_le_bytes(*bytes).into())
    }
}

fn odd(what: String) -> FormatError {
    unsupported(format!("elements are {what}")).help(REMEDY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(dtype: DType, size: usize, big_endian: bool, offset: u32, precision: u32) -> Number {
        Number { dtype, size, big_endian, offset, precision }
    }

    #[test]
    fn bits_that_count_are_cut_out_and_signs_carried_on() {
        let mut element = [0xf5, 0xaf];
        number(DType::I16, 2, false, 0, 12).settle(&mut element);
        assert_eq!(i16::from_ne_bytes(element), -11, "0xff5 of twelve bits");
        let mut element = [0xaf, 0xf5];
        number(DType::U16, 2, true, 4, 12).settle(&mut element);
        assert_eq!(u16::from_ne_bytes(element), 0xaff);
        let mut out = [0; 8];
        number(DType::I32, 3, false, 0, 24).convert(&[1, 0, 0, 0xfe, 0xff, 0xff], &mut out);
        assert_eq!(out, bytemuck::cast::<[i32; 2], [u8; 8]>([1, -2]));
        number(DType::U64, 5, true, 0, 40).convert(&[1, 2, 3, 4, 5], &mut out);
        assert_eq!(u64::from_ne_bytes(out), 0x01_0203_0405);
        number(DType::I64, 8, false, 0, 64).convert(&(-3i64).to_le_bytes(), &mut out);
        assert_eq!(i64::from_ne_bytes(out), -3);
    }

    #[test]
    fn damaged_types_are_errors() {
        for message in [
            &[][..],
            &[0x10, 0, 0, 0, 2, 0, 0, 0],
            &[0x10, 0, 0, 0, 2, 0, 0, 0, 0, 0, 17, 0],
            &[0x10, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0],
            &[0x10, 0, 0, 0, 9, 0, 0, 0, 0, 0, 8, 0],
        ] {
            assert!(Number::integer(message).is_err(), "{message:?}");
        }
    }
}
