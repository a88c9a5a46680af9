//! Headers: cards, their values, and the walk from HDU to HDU without touching data.
//!
//! FITS standard 4.0, sections 3 and 4, with the CONTINUE, HIERARCH and INHERIT conventions.
//! Cards that cannot be understood are left out, as readers have always done; a
//! mandatory card that is missing or senseless makes the file corrupt.

use super::{gzip::MOST_RATIO, input::Input, table::is_structural};
use crate::{
    error::{ErrorKind, FormatError, Result},
    files::Stamp,
    region::{Dims, checked_volume},
    source::Attributes,
    stored::{ReadAt, StoredFile},
};
use serde_json::Value;
use std::path::Path;

/// Bytes of the blocks that headers and data are padded to.
pub(super) const BLOCK: u64 = 2880;
/// Bytes of a card.
pub(super) const CARD: usize = 80;
/// The longest header that is read; real ones are below 100 KiB.
const MAX_HEADER: u64 = 8 << 20;
/// Bytes of cards that the extensions of one file inherit, together, at the most: a small file
/// could ask for its primary header thousands of times.
const MAX_INHERITED: u64 = 64 << 20;

fn corrupt(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Corrupt, message)
}

/// The cards of one HDU by keyword; COMMENT and HISTORY are arrays of lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Header {
    values: Attributes,
}

impl Header {
    /// A header with these values.
    #[cfg(test)]
    pub(super) fn of_values(values: Attributes) -> Header {
        Header { values }
    }

    /// All cards.
    pub(super) fn values(&self) -> &Attributes {
        &self.values
    }

    fn wrong(key: &str, want: &str, value: &Value) -> FormatError {
        corrupt(format!("the card {key} is {value}, not {want}"))
    }

    /// The whole number of `key`.
    pub(super) fn int(&self, key: &str) -> Result<Option<i64>> {
        match self.values.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match (value.as_i64(), value.as_f64()) {
                (Some(number), _) => Ok(Some(number)),
                // Some writers give BLANK = -1.0; a cast of what is whole and small is exact.
                (_, Some(number)) if number.fract() == 0.0 && number.abs() < 1e15 => {
                    Ok(Some(number as i64))
                }
                _ => Err(Header::wrong(key, "a whole number", value)),
            },
        }
    }

    /// The whole number of `key`, which must be there.
    pub(super) fn required(&self, key: &str) -> Result<i64> {
        self.int(key)?.ok_or_else(|| {
            let what = match self.values.get(key) {
                // Malformed ones are left out.
                None => "is missing, or cannot be read",
                Some(_) => "has no value",
            };
            corrupt(format!("the card {key} {what}"))
        })
    }

    /// The size that `key`, which must be there, tells.
    pub(super) fn size(&self, key: &str) -> Result<u64> {
        let value = self.required(key)?;
        u64::try_from(value).map_err(|_| corrupt(format!("the card {key} is {value}, negative")))
    }

    /// The number of `key`.
    pub(super) fn float(&self, key: &str) -> Result<Option<f64>> {
        match self.values.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                value.as_f64().map(Some).ok_or_else(|| Header::wrong(key, "a number", value))
            }
        }
    }

    /// The text of `key`.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).and_then(Value::as_str)
    }

    /// Whether `key` is there and true.
    pub(super) fn flag(&self, key: &str) -> bool {
        self.values.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The shape that `NAXIS` and `NAXISn` (with another prefix, `ZNAXIS`) tell, outermost
    /// axis first.
    pub(super) fn shape(&self, prefix: &str) -> Result<Dims> {
        let rank = self.size(prefix)?;
        if rank > 999 {
            return Err(corrupt(format!("{prefix} is {rank}, more than the 999 allowed")));
        }
        let shape: Result<Dims> =
            (1..=rank).rev().map(|n| self.size(&format!("{prefix}{n}"))).collect();
        shape
    }

    /// The bytes of the HDU's data without padding.
    fn data_bytes(&self, primary: bool) -> Result<u64> {
        let mut shape = self.shape("NAXIS")?;
        let optional = |key: &str, default: u64| match self.int(key)? {
            None => Ok(default),
            Some(_) => self.size(key),
        };
        let (mut extra, mut groups) = (0, 1);
        let is_groups = primary && self.flag("GROUPS") && shape.last() == Some(&0);
        if is_groups {
            shape.pop();
        }
        if !primary || is_groups {
            (extra, groups) = (optional("PCOUNT", 0)?, optional("GCOUNT", 1)?);
        }
        if shape.is_empty() {
            return Ok(0);
        }
        let bitpix = self.required("BITPIX")?;
        checked_volume(&shape)
            .and_then(|n| n.checked_add(extra))
            .and_then(|n| n.checked_mul(groups))
            .and_then(|n| n.checked_mul(bitpix.unsigned_abs() / 8))
            .ok_or_else(|| corrupt("the data are larger than any file"))
    }

    /// Takes in one card. `text` is the string that a CONTINUE card would go on with.
    fn push(&mut self, card: &[u8], text: &mut Option<(String, String)>) {
        let card = String::from_utf8_lossy(card);
        let Some((keyword, rest)) = card.split_at_checked(8) else { return };
        let keyword = keyword.trim_end();
        if keyword == "CONTINUE" {
            if let (Some((key, so_far)), Some(Value::String(more))) = (text, value_of(rest))
                && so_far.ends_with('&')
            {
                // An ampersand is one of the text's own until a card goes on.
                so_far.pop();
                so_far.push_str(&more);
                self.values.insert(key.clone(), so_far.trim_end().into());
            }
            return;
        }
        *text = None;
        if matches!(keyword, "COMMENT" | "HISTORY") {
            let lines =
                self.values.entry(keyword.to_owned()).or_insert_with(|| Value::Array(vec![]));
            if let Value::Array(lines) = lines {
                lines.push(rest.trim_end().into());
            }
            return;
        }
        let (key, value) = match (keyword, rest.strip_prefix("= ")) {
            ("HIERARCH", _) => match rest.split_once('=') {
                Some((key, value)) => (key.trim(), value),
                None => return,
            },
            ("", _) | (_, None) => return,
            (key, Some(value)) => (key, value),
        };
        let Some(value) = value_of(value) else { return };
        // Of a keyword that is there twice the first counts, as in cfitsio and astropy.
        if self.values.contains_key(key) {
            return;
        }
        if let Value::String(string) = &value {
            *text = Some((key.to_owned(), string.clone()));
        }
        self.values.insert(key.to_owned(), value);
    }

    /// Takes the cards of the primary header that the INHERIT convention hands down: those that
    /// say nothing of how data lie, name no HDU, and are no commentary.
    fn inherit(&mut self, primary: &Header) {
        let own = |key: &str| {
            matches!(key, "COMMENT" | "HISTORY" | "EXTNAME" | "EXTVER" | "EXTLEVEL")
                || is_structural(key)
        };
        for (key, value) in primary.values.iter().filter(|(key, _)| !own(key)) {
            self.values.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// The value that a card's text after `= ` begins with; `None` of one that is malformed.
fn value_of(text: &str) -> Option<Value> {
    let text = text.trim();
    if let Some(quoted) = text.strip_prefix('\'') {
        let mut string = String::new();
        let mut rest = quoted;
        loop {
            let (part, after) = rest.split_once('\'')?;
            string.push_str(part);
            match after.strip_prefix('\'') {
                Some(after) => {
                    string.push('\'');
                    rest = after;
                }
                None => break,
            }
        }
        string.truncate(string.trim_end().len());
        return Some(string.into());
    }
    let token = text.split('/').next().unwrap_or("").trim();
    match token {
        "" => return Some(Value::Null),
        "T" => return Some(true.into()),
        "F" => return Some(false.into()),
        _ => {}
    }
    if let Some(parts) = token.strip_prefix('(').and_then(|t| t.strip_suffix(')')) {
        let parts: Option<Vec<Value>> = parts.split(',').map(|part| number(part.trim())).collect();
        return parts.map(Value::Array);
    }
    number(token)
}

fn number(token: &str) -> Option<Value> {
    // Rust's parser also takes `inf` and `nan`, which no card may be.
    if !token.bytes().all(|b| b.is_ascii_digit() || b"+-.EeDd".contains(&b)) {
        return None;
    }
    if let Ok(number) = token.parse::<i64>() {
        return Some(number.into());
    }
    if let Ok(number) = token.parse::<u64>() {
        return Some(number.into());
    }
    let number: f64 = token.replace(['D', 'd'], "E").parse().ok()?;
    serde_json::Number::from_f64(number).map(Value::Number)
}

/// One header and data unit, as far as its header tells.
#[derive(Clone, Debug)]
pub(super) struct Hdu {
    /// Its number, the primary HDU being 0.
    pub(super) index: usize,
    /// Its cards.
    pub(super) header: Header,
    /// Hash of the header as it lies in the file.
    pub(super) hash: u128,
    /// Where its data begin, in bytes from the start of the file.
    pub(super) data_start: u64,
    /// The bytes of its data, without padding; the file may be shorter.
    pub(super) data_bytes: u64,
    /// The bytes of the file as it is, where that is gzipped.
    pub(super) zipped: Option<u64>,
    /// What its file was when it was opened.
    pub(super) stamp: Stamp,
}

/// What an HDU holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An image as it is.
    Image,
    /// A table that holds the tiles of a compressed image.
    Compressed,
    /// Nothing (NAXIS = 0).
    Empty,
    /// A binary table.
    BinaryTable,
    /// A table in ASCII.
    AsciiTable,
    /// Random groups, or an extension of another type.
    Other,
}

impl Hdu {
    /// What it holds.
    pub(super) fn kind(&self) -> Kind {
        match self.header.text("XTENSION") {
            _ if self.header.flag("GROUPS") && self.index == 0 => Kind::Other,
            None | Some("IMAGE") => match self.header.int("NAXIS") {
                Ok(Some(0)) => Kind::Empty,
                _ => Kind::Image,
            },
            Some("BINTABLE") if self.header.flag("ZIMAGE") => Kind::Compressed,
            Some("BINTABLE") => Kind::BinaryTable,
            Some("TABLE") => Kind::AsciiTable,
            Some(_) => Kind::Other,
        }
    }

    /// The shape of the image, outermost axis first.
    pub(super) fn image_shape(&self) -> Result<Dims> {
        match self.kind() {
            Kind::Compressed => self.header.shape("ZNAXIS"),
            _ => self.header.shape("NAXIS"),
        }
    }

    /// EXTNAME, upper case, where there is one.
    pub(super) fn name(&self) -> Option<String> {
        self.header.text("EXTNAME").map(|name| name.trim().to_uppercase())
    }

    /// EXTVER, 1 by default.
    pub(super) fn version(&self) -> i64 {
        self.header.int("EXTVER").ok().flatten().unwrap_or(1)
    }
}

/// Walks through the HDUs of an open file.
pub(super) struct Hdus<'a> {
    input: Input<'a>,
    path: &'a Path,
    /// The length of the file in bytes; of a gzipped one, which tells it only at its end,
    /// the most that it can inflate to.
    pub(super) file_bytes: u64,
    zipped: Option<u64>,
    stamp: Stamp,
    /// The cards of the primary HDU, once it was read.
    primary: Header,
    /// The bytes of its header.
    primary_bytes: u64,
    /// The same, once for each extension that inherited it so far.
    inherited: u64,
    at: u64,
    index: usize,
}

impl<'a> Hdus<'a> {
    /// Begins with the primary HDU.
    pub(super) fn of(file: &'a StoredFile, path: &'a Path) -> Result<Hdus<'a>> {
        let io = |e: std::io::Error| FormatError::io(e).at_path(path);
        let len = file.size().map_err(io)?;
        let stamp = Stamp::of(file).map_err(io)?;
        let (input, is_zipped) = Input::of(file).map_err(io)?;
        let file_bytes = if is_zipped { len.saturating_mul(MOST_RATIO) } else { len };
        let zipped = is_zipped.then_some(len);
        Ok(Hdus {
            input,
            path,
            file_bytes,
            zipped,
            stamp,
            primary: Header::default(),
            primary_bytes: 0,
            inherited: 0,
            at: 0,
            index: 0,
        })
    }

    /// The next HDU; `None` after the last. What follows the last and is no HDU is left alone.
    pub(super) fn next(&mut self) -> Result<Option<Hdu>> {
        if self.index > 0 && self.at >= self.file_bytes {
            return Ok(None);
        }
        self.read().map_err(|e| match self.index {
            0 => e.at_path(self.path),
            n => e.at(format_args!("{}::{n}", self.path.display())),
        })
    }

    fn read(&mut self) -> Result<Option<Hdu>> {
        let mut header = Header::default();
        let mut text = None;
        let mut hash = crate::source::Fingerprint::default();
        let mut block = [0; BLOCK as usize];
        let start = self.at;
        for offset in (start..).step_by(BLOCK as usize) {
            if offset - start >= MAX_HEADER {
                return Err(corrupt(format!("a header longer than {MAX_HEADER} bytes")));
            }
            if !self.input.try_read(&mut block, offset)? {
                return match (self.index, offset == start) {
                    (0, true) => Err(corrupt(format!(
                        "not a FITS file: less than one block of {BLOCK} bytes"
                    ))),
                    (_, true) => Ok(None),
                    _ => Err(corrupt("truncated: the file ends within a header")),
                };
            }
            if offset == start {
                let known = if self.index == 0 { "SIMPLE  =" } else { "XTENSION=" };
                if !block.starts_with(known.as_bytes()) {
                    return match self.index {
                        0 => Err(corrupt("not a FITS file: it does not begin with SIMPLE")),
                        _ => Ok(None),
                    };
                }
            }
            hash = hash.and(crate::source::Fingerprint::of(&block));
            for card in block.chunks_exact(CARD) {
                if card.starts_with(b"END ") || card == b"END" {
                    let data_start = offset + BLOCK;
                    let data_bytes = header.data_bytes(self.index == 0)?;
                    match self.index {
                        0 => (self.primary, self.primary_bytes) = (header.clone(), data_start),
                        _ if header.flag("INHERIT") => {
                            self.inherited += self.primary_bytes;
                            if self.inherited > MAX_INHERITED {
                                let message = format!(
                                    "{} extensions inherit {} bytes of cards each",
                                    self.inherited / self.primary_bytes,
                                    self.primary_bytes
                                );
                                return Err(FormatError::new(ErrorKind::Limit, message));
                            }
                            header.inherit(&self.primary);
                        }
                        _ => {}
                    }
                    let hdu = Hdu {
                        index: self.index,
                        header,
                        hash: hash.0,
                        data_start,
                        data_bytes,
                        zipped: self.zipped,
                        stamp: self.stamp,
                    };
                    self.at = data_bytes
                        .checked_next_multiple_of(BLOCK)
                        .and_then(|n| n.checked_add(data_start))
                        .unwrap_or(u64::MAX);
                    self.index += 1;
                    return Ok(Some(hdu));
                }
                header.push(card, &mut text);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(cards: &[&str]) -> Attributes {
        let mut header = Header::default();
        let mut text = None;
        for card in cards {
            header.push(format!("{card:80}").as_bytes(), &mut text);
        }
        header.values
    }

    #[test]
    fn cards_become_json() {
        let values = parsed(&[
            "NAXIS   =                    2 / number of axes",
            "BZERO   = 9223372036854775808",
            "EXPTIME =              1.5D+02",
            "OBSERVER= 'O''Hara  '          / who",
            "EMPTY   = ''",
            "FLAG    =                    T",
            "NOTHING =",
            "WAVE    = (1.0, -2)",
            "HIERARCH ESO DET NAME = 'CCD/1' / a slash",
            "HISTORY one",
            "HISTORY two",
            "LONG    = 'abc&'",
            "CONTINUE  'def&'",
            "CONTINUE  'g' / done",
            "LONG    = 'another&'",
            "CONTINUE  ' of the same name'",
            "AMPERS  = 'this &'",
            "CONTINUE  'and that &'",
            "NOTFLT  = inf",
            "NAXIS   =                    3",
            "BROKEN  = 'no end",
        ]);
        assert_eq!(values["NAXIS"], 2);
        assert_eq!(values["BZERO"], json!(9_223_372_036_854_775_808_u64));
        assert_eq!(values["EXPTIME"], json!(150.0));
        assert_eq!(values["OBSERVER"], "O'Hara");
        assert_eq!(values["EMPTY"], "");
        assert_eq!(values["FLAG"], true);
        assert_eq!(values["NOTHING"], Value::Null);
        assert_eq!(values["WAVE"], json!([1.0, -2]));
        assert_eq!(values["ESO DET NAME"], "CCD/1");
        assert_eq!(values["HISTORY"], json!(["one", "two"]));
        assert_eq!(values["LONG"], "abcdefg");
        assert_eq!(values["AMPERS"], "this and that &");
        assert!(!values.contains_key("NOTFLT") && !values.contains_key("BROKEN"));
    }

    #[test]
    fn sizes_that_cannot_be_are_errors() {
        let bytes = |cards: &[&str]| Header { values: parsed(cards) }.data_bytes(true);
        let cube = ["BITPIX  = -64", "NAXIS   = 2", "NAXIS1  = 9000000000", "NAXIS2  = 9000000000"];
        assert_eq!(bytes(&cube).unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(bytes(&["NAXIS   = 1", "NAXIS1  = -1", "BITPIX  = 8"]).is_err());
        let told = |cards: &[&str]| bytes(cards).unwrap_err().to_string();
        let absent = told(&["NAXIS   = 2", "NAXIS1  = 5", "BITPIX  = 8"]);
        assert!(absent.contains("the card NAXIS2 is missing, or cannot be read"), "{absent}");
        let malformed = told(&["NAXIS   = 1", "NAXIS1  = xx", "BITPIX  = 8"]);
        assert!(malformed.contains("the card NAXIS1 is missing, or cannot be read"), "{malformed}");
        let empty = told(&["NAXIS   = 1", "NAXIS1  =", "BITPIX  = 8"]);
        assert!(empty.contains("the card NAXIS1 has no value"), "{empty}");
        assert_eq!(bytes(&["NAXIS   = 1", "NAXIS1  = 5", "BITPIX  = 16"]).unwrap(), 10);
    }
}
