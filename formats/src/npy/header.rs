//! The header of an `.npy` file: a Python dictionary in a fixed form, read without
//! trusting it.

use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    region::{Dims, checked_volume},
};
use std::io::Read;

/// The longest header that is read; NumPy's own are below 200 bytes and it refuses those
/// above 10,000 by default.
const MAX_HEADER: u64 = 64 << 10;

/// Where elements begin is a multiple of this, as NumPy has it.
const ALIGNMENT: usize = 64;

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) dtype: DType,
    /// Whether stored elements have the other byte order than this machine.
    pub(super) swap: bool,
    /// Whether the first axis is the fastest.
    pub(super) fortran: bool,
    pub(super) shape: Dims,
    /// The byte at which the elements begin.
    pub(super) len: u64,
}

fn corrupt(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Corrupt, message)
}

impl Header {
    /// Reads the header at the start of a file.
    pub(super) fn read(file: &mut impl Read) -> Result<Header> {
        let mut take = |bytes: &mut [u8]| {
            file.read_exact(bytes).map_err(|e| match e.kind() {
                std::io::ErrorKind::UnexpectedEof => corrupt("the file ends in its header"),
                _ => FormatError::io(e),
            })
        };
        let mut start = [0; 8];
        take(&mut start)?;
        if !start.starts_with(super::MAGIC) {
            return Err(corrupt("the file does not begin with \\x93NUMPY"));
        }
        let (prefix, len) = match start[6] {
            1 => {
                let mut len = [0; 2];
                take(&mut len)?;
                (10, u64::from(u16::from_le_bytes(len)))
            }
            2 | 3 => {
                let mut len = [0; 4];
                take(&mut len)?;
                (12, u64::from(u32::from_le_bytes(len)))
            }
            version => {
                let message = format!("version {version} of .npy is not supported");
                return Err(FormatError::new(ErrorKind::Unsupported, message));
            }
        };
        if len > MAX_HEADER {
            return Err(corrupt(format!("a header of {len} bytes is not one of NumPy's")));
        }
        let mut text = vec![0; len as usize];
        take(&mut text)?;
        let mut header = parse(&text)?;
        header.len = prefix + len;
        header.data_bytes()?;
        Ok(header)
    }

    /// Bytes of all elements.
    pub(super) fn data_bytes(&self) -> Result<u64> {
        // Axes of length 0 count as 1 here, since strides do too.
        let lens: Dims = self.shape.iter().map(|&len| len.max(1)).collect();
        let bytes = |shape: &[u64]| checked_volume(shape)?.checked_mul(self.dtype.size() as u64);
        match (bytes(&lens), bytes(&self.shape)) {
            (Some(most), Some(bytes)) if most <= isize::MAX as u64 / 4 => Ok(bytes),
            _ => Err(corrupt(format!(
                "an array of shape {:?} is too large to exist",
                self.shape.as_slice()
            ))),
        }
    }
}

/// The header of a file in C order and this machine's byte order, padded as NumPy does.
pub(super) fn encode(dtype: DType, shape: &[u64]) -> Vec<u8> {
    let order = match (dtype.size(), cfg!(target_endian = "big")) {
        (1, _) => '|',
        (_, true) => '>',
        (_, false) => '<',
    };
    let kind = match dtype {
        DType::Bool => 'b',
        dtype if dtype.is_float() => 'f',
        dtype if dtype.is_signed() => 'i',
        _ => 'u',
    };
    let mut lens: String = shape.iter().map(|len| format!("{len}, ")).collect();
    // A tuple of one keeps its comma; longer ones lose the last.
    lens.truncate(lens.len() - usize::from(shape.len() == 1) - 2 * usize::from(shape.len() > 1));
    let size = dtype.size();
    let dict =
        format!("{{'descr': '{order}{kind}{size}', 'fortran_order': False, 'shape': ({lens}), }}");
    // 10 bytes of prefix in version 1, 12 in version 2, which long headers need.
    let wide = (10 + dict.len() + 1).next_multiple_of(ALIGNMENT) - 10 > usize::from(u16::MAX);
    let prefix = if wide { 12 } else { 10 };
    let total = (prefix + dict.len() + 1).next_multiple_of(ALIGNMENT);
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(super::MAGIC);
    out.extend_from_slice(&[if wide { 2 } else { 1 }, 0]);
    let len = (total - prefix) as u32;
    out.extend_from_slice(&len.to_le_bytes()[..prefix - 8]);
    out.extend_from_slice(dict.as_bytes());
    out.resize(total - 1, b' ');
    out.push(b'\n');
    out
}

/// Reads the dictionary: three keys in any order, each once.
fn parse(text: &[u8]) -> Result<Header> {
    let text = std::str::from_utf8(text).map_err(|_| corrupt("the header is not text"))?;
    let mut at = Parser { rest: text };
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    at.expect('{')?;
    while !at.take('}') {
        let key = at.string()?;
        at.expect(':')?;
        match key {
            "descr" if descr.is_none() => descr = Some(at.descr()?),
            "fortran_order" if fortran.is_none() => fortran = Some(at.boolean()?),
            "shape" if shape.is_none() => shape = Some(at.tuple()?),
            _ => return Err(corrupt(format!("the header has an unexpected key {key:?}"))),
        }
        if !at.take(',') {
            at.expect('}')?;
            break;
        }
    }
    let (Some((dtype, swap)), Some(fortran), Some(shape)) = (descr, fortran, shape) else {
        return Err(corrupt("the header lacks descr, fortran_order or shape"));
    };
    Ok(Header { dtype, swap, fortran, shape, len: 0 })
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn take(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_ascii_start();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, wanted: char) -> Result<()> {
        match self.take(wanted) {
            true => Ok(()),
            false => Err(corrupt(format!(
                "the header has {:?} where {wanted:?} belongs",
                self.rest.chars().take(16).collect::<String>()
            ))),
        }
    }

    fn string(&mut self) -> Result<&'a str> {
        let quote = if self.take('"') { '"' } else { self.expect('\'').map(|()| '\'')? };
        let (string, rest) = self
            .rest
            .split_once(quote)
            .ok_or_else(|| corrupt("a string of the header does not end"))?;
        self.rest = rest;
        Ok(string)
    }

    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_ascii_start();
        let len = self.rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest;
        word
    }

    fn boolean(&mut self) -> Result<bool> {
        match self.word() {
            "True" => Ok(true),
            "False" => Ok(false),
            other => Err(corrupt(format!("fortran_order is {other:?}, not True or False"))),
        }
    }

    fn tuple(&mut self) -> Result<Dims> {
        let mut shape = Dims::new();
        self.expect('(')?;
        while !self.take(')') {
            // NumPy under Python 2 wrote long integers with an L.
            let word = self.word();
            let len = word.strip_suffix('L').unwrap_or(word).parse();
            shape.push(len.map_err(|_| corrupt(format!("{word:?} is not the length of an axis")))?);
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(shape)
    }

    /// The dtype, and whether its bytes must be swapped.
    fn descr(&mut self) -> Result<(DType, bool)> {
        let unsupported = |name: &str| {
            FormatError::new(ErrorKind::Unsupported, format!("data type {name} is not supported"))
                .help("supported are bool, integers and floats of 8 to 64 bits")
        };
        self.rest = self.rest.trim_ascii_start();
        if self.rest.starts_with(['[', '(', '{']) {
            return Err(unsupported("with fields"));
        }
        let name = self.string()?;
        let (order, code) = name.split_at_checked(1).unwrap_or(("", name));
        let dtype = DType::from_numpy(code).ok_or_else(|| unsupported(&format!("{name:?}")))?;
        let big_endian = match order {
            "<" => false,
            ">" => true,
            "|" | "=" => cfg!(target_endian = "big"),
            _ => return Err(unsupported(&format!("{name:?}"))),
        };
        Ok((dtype, big_endian != cfg!(target_endian = "big") && dtype.size() > 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_encoded_is_what_numpy_writes() {
        let header = encode(DType::F32, &[3, 4]);
        assert_eq!(header.len(), 128);
        assert!(header.ends_with(b" \n"));
        let dict =
            b"\x93NUMPY\x01\0\x76\0{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }";
        #[cfg(target_endian = "little")]
        assert!(header.starts_with(dict));
        let one = encode(DType::Bool, &[5]);
        assert!(String::from_utf8_lossy(&one).contains("'descr': '|b1'"));
        assert!(String::from_utf8_lossy(&one).contains("'shape': (5,), }"));
        assert!(String::from_utf8_lossy(&encode(DType::U8, &[])).contains("'shape': (), }"));
    }

    proptest! {
        #[test]
        fn headers_round_trip(shape in proptest::collection::vec(0u64..1000, 0..5), of in 0usize..11) {
            let bytes = encode(DType::ALL[of], &shape);
            prop_assert_eq!(bytes.len() % ALIGNMENT, 0);
            let header = Header::read(&mut &bytes[..]).unwrap();
            prop_assert_eq!(header.dtype, DType::ALL[of]);
            prop_assert_eq!(header.shape.as_slice(), &shape[..]);
            prop_assert_eq!(header.len, bytes.len() as u64);
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(0u8..128, 0..200), version in 0u8..5) {
            let _ = parse(&bytes);
            bytes.splice(0..0, [b"\x93NUMPY", &[version, 0, 90, 0][..]].concat());
            let _ = Header::read(&mut &bytes[..]);
        }

        #[test]
        fn no_change_of_a_header_makes_it_panic(at in 0usize..128, byte in 0u8..=255) {
            let mut bytes = encode(DType::F64, &[3, 4]);
            bytes[at] = byte;
            let _ = Header::read(&mut &bytes[..]);
        }
    }

    #[test]
    fn shapes_beyond_memory_are_refused() {
        for shape in [&[u64::MAX][..], &[1 << 32, 1 << 32], &[0, u64::MAX]] {
            let error = Header::read(&mut &encode(DType::F64, shape)[..]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{shape:?}");
        }
    }
}
