//! Headers being written: cards of 80 bytes, and which of another file's cards may pass.

use super::super::{
    header::{BLOCK, CARD},
    table::is_structural,
};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    region::Dims,
    source::Meta,
};
use serde_json::Value;

/// BITPIX of the pixels that stand for elements of `dtype`, and their BZERO.
pub(super) fn stored(dtype: DType) -> (i64, Option<Value>) {
    match dtype {
        DType::Bool | DType::U8 => (8, None),
        DType::I8 => (8, Some((-128).into())),
        DType::I16 => (16, None),
        DType::U16 => (16, Some((1u64 << 15).into())),
        DType::I32 => (32, None),
        DType::U32 => (32, Some((1u64 << 31).into())),
        DType::I64 => (64, None),
        DType::U64 => (64, Some((1u64 << 63).into())),
        DType::F32 => (-32, None),
        DType::F64 => (-64, None),
    }
}

/// The shape in the file: an array without axes is one element.
pub(super) fn file_shape(meta: &Meta) -> Dims {
    match meta.shape() {
        shape if shape.is_empty() => Dims::from_elem(1, 1),
        shape => shape,
    }
}

/// Cards, 80 bytes each.
#[derive(Default)]
pub(super) struct Cards(Vec<u8>);

impl Cards {
    fn push(&mut self, card: &str) {
        debug_assert!(card.len() <= CARD && card.is_ascii());
        self.0.extend_from_slice(card.as_bytes());
        self.0.resize(self.0.len().next_multiple_of(CARD), b' ');
    }

    /// Adds the cards that tell the shape of an image, with this before `BITPIX` and `NAXIS`.
    pub(super) fn shape(&mut self, prefix: &str, meta: &Meta) {
        let shape = file_shape(meta);
        let (bitpix, _) = stored(meta.dtype);
        let mut card = |name: &str, value: Value, comment: &str| {
            self.value(&format!("{prefix}{name}"), &value, comment);
        };
        card("BITPIX", bitpix.into(), "bits of a pixel, negative for floats");
        card("NAXIS", shape.len().into(), "number of axes");
        for (n, &len) in shape.iter().rev().enumerate() {
            card(&format!("NAXIS{}", n + 1), len.into(), "");
        }
    }

    /// Adds what tells how pixels become elements, and the cards that a user and the array
    /// bring.
    ///
    /// # Errors
    /// If one of the user's cannot be a card.
    pub(super) fn rest(&mut self, meta: &Meta, cards: &[(String, Value)]) -> Result<()> {
        if let (_, Some(zero)) = stored(meta.dtype) {
            self.value("BSCALE", &1.into(), "");
            self.value("BZERO", &zero, "integers of the other signedness");
        }
        if meta.dtype == DType::Bool {
            self.value("NPDTYPE", &"bool".into(), "elements were true and false");
        }
        if meta.grid.rank() == 0 {
            self.value("NPNDIM", &0.into(), "the array had no axes");
        }
        for (name, value) in cards {
            if is_structural(name) || !self.value(name, value, "") {
                return Err(FormatError::new(
                    ErrorKind::Invalid,
                    format!("{name} = {value} cannot be a card of an image"),
                )
                .help("names are printable ASCII, values text, numbers or true and false; the structure has its own cards"));
            }
        }
        for (name, value) in meta.attributes.iter() {
            let replaced = cards.iter().any(|(card, _)| card.eq_ignore_ascii_case(name));
            let noted = matches!(name.as_str(), "NPDTYPE" | "NPNDIM");
            if !replaced && !noted && !is_structural(name) {
                // What cannot be a card is left out, as other formats' attributes may be.
                self.value(name, value, "");
            }
        }
        Ok(())
    }

    /// Adds the checksum's cards, which [`super::checksum::put`] fills in.
    pub(super) fn checksums(&mut self) {
        self.value("CHECKSUM", &"0".repeat(16).into(), "of the whole HDU");
        self.value("DATASUM", &"0".into(), "of the data");
    }

    /// Adds the card or cards for a value; whether it can be one.
    pub(super) fn value(&mut self, name: &str, value: &Value, comment: &str) -> bool {
        let printable = |text: &str| text.bytes().all(|b| (0x20..0x7F).contains(&b));
        let name = name.to_ascii_uppercase();
        if name.is_empty() || !printable(&name) || name != name.trim() {
            return false;
        }
        if matches!(name.as_str(), "COMMENT" | "HISTORY") {
            return self.commentary(&name, value);
        }
        let short = name.len() <= 8
            && name
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        if !short && name.contains(['=', '\'']) {
            return false;
        }
        let key = if short { format!("{name:8}= ") } else { format!("HIERARCH {name} = ") };
        let text = match value {
            Value::Null => String::new(),
            Value::Bool(flag) => (if *flag { "T" } else { "F" }).to_owned(),
            Value::Number(number) => number.to_string().to_uppercase(),
            Value::String(string) if printable(string) => {
                let quoted = string.replace('\'', "''");
                if key.len() + quoted.len() + 2 > CARD {
                    return self.long_string(&key, string);
                }
                format!("'{quoted:8}'")
            }
            _ => return false,
        };
        let text = match value {
            Value::String(_) => text,
            _ if short => format!("{text:>20}"),
            _ => text,
        };
        let mut card = format!("{key}{text}");
        if card.len() > CARD {
            return false;
        }
        // Comments begin in a column of their own: some readers write a card anew that way
        // when they check its HDU's checksum.
        if !comment.is_empty() && card.len().max(30) + 3 + comment.len() <= CARD {
            card = format!("{card:30} / {comment}");
        }
        self.push(&card);
        true
    }

    /// A string over several cards (standard, section 4.2.1.2); whether the keyword leaves room
    /// for one.
    fn long_string(&mut self, key: &str, string: &str) -> bool {
        // Two quotes, the ampersand, and a quote that is doubled.
        if key.len() + 5 > CARD {
            return false;
        }
        let mut key = key.to_owned();
        let mut part = String::new();
        for symbol in string.chars() {
            let symbol = if symbol == '\'' { "''".to_owned() } else { symbol.to_string() };
            // Two quotes and the ampersand.
            if key.len() + part.len() + symbol.len() + 3 > CARD {
                self.push(&format!("{key}'{part}&'"));
                key = "CONTINUE  ".to_owned();
                part.clear();
            }
            part.push_str(&symbol);
        }
        if part.ends_with('&') {
            // An ampersand of the text's own: some readers take it for a sign of more to come.
            self.push(&format!("{key}'{part}&'"));
            (key, part) = ("CONTINUE  ".to_owned(), String::new());
        }
        self.push(&format!("{key}'{part}'"));
        true
    }

    fn commentary(&mut self, name: &str, value: &Value) -> bool {
        let lines = match value {
            Value::Array(lines) => lines.as_slice(),
            one => std::slice::from_ref(one),
        };
        for line in lines.iter().filter_map(Value::as_str) {
            let line: String =
                line.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect();
            let mut rest = line.as_str();
            loop {
                let (part, after) = rest.split_at(rest.len().min(CARD - 8));
                self.push(&format!("{name:8}{part}"));
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
        }
        true
    }

    /// The cards, ended and padded.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.push("END");
        self.0.resize(self.0.len().next_multiple_of(BLOCK as usize), b' ');
        self.0
    }
}

/// Replaces the card of this name in a finished header.
pub(super) fn replace(header: &mut [u8], name: &str, value: &Value, comment: &str) {
    let mut card = Cards::default();
    card.value(name, value, comment);
    let key = format!("{name:8}=");
    if let Some(old) = header.chunks_exact_mut(CARD).find(|old| old.starts_with(key.as_bytes())) {
        old.copy_from_slice(&card.0[..CARD]);
    }
}
