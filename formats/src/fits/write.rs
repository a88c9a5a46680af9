//! Writing: one array as a plain primary image.
//!
//! The file has its full size from the start, so a disk that is too small is known before
//! the work; chunks are turned in scratch and written where they belong, in any order.

use super::{
    convert::to_file_order,
    header::{BLOCK, CARD},
};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    grid::Grid,
    journal::{ChunkSet, Journal, Noted, hash_of},
    region::{Coordinates, Dims, Region, volume},
    source::{ChunkSink, Meta, ReadCx, Writer, Written},
    staging::{Mode, Staging},
    view::{ChunkMut, ChunkView},
};
use serde_json::Value;
use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use xxhash_rust::xxh3::Xxh3;

/// Bytes that are turned and written at a time.
const PIECE: u64 = 1 << 20;

/// Writes a FITS file with one primary image.
///
/// Unsigned integers and `int8` are written by the BZERO convention, `bool` as 0 and 1 of
/// 8 bits (noted in the card `NPDTYPE`), an array without axes as one element (`NPNDIM`).
/// Attributes that can be cards are written as such.
#[derive(Clone, Debug)]
pub struct FitsWriter {
    path: PathBuf,
    chunks: Option<Vec<u64>>,
    mode: Mode,
    cards: Vec<(String, Value)>,
}

impl FitsWriter {
    pub(super) fn new(path: &Path) -> FitsWriter {
        FitsWriter { path: path.to_owned(), chunks: None, mode: Mode::default(), cards: Vec::new() }
    }

    /// The boxes that are written at a time, one length an axis (0: the whole axis); by
    /// default the array's own chunks. The file is the same for all.
    #[must_use]
    pub fn chunks(mut self, chunks: impl IntoIterator<Item = u64>) -> FitsWriter {
        self.chunks = Some(chunks.into_iter().collect());
        self
    }

    /// Replaces a file that exists.
    #[must_use]
    pub fn overwrite(mut self) -> FitsWriter {
        self.mode.overwrite = true;
        self
    }

    /// Goes on with what an earlier store of the same left unfinished, if there is any.
    #[must_use]
    pub fn resume(mut self) -> FitsWriter {
        self.mode.resume = true;
        self
    }

    /// Waits for the disk before the output is visible, so that it survives a loss of power.
    #[must_use]
    pub fn durable(mut self) -> FitsWriter {
        self.mode.durable = true;
        self
    }

    /// Adds a card; it goes before an attribute of that name.
    #[must_use]
    pub fn card(mut self, name: impl Into<String>, value: impl Into<Value>) -> FitsWriter {
        self.cards.push((name.into(), value.into()));
        self
    }

    fn header(&self, meta: &Meta) -> Result<Vec<u8>> {
        let (bitpix, zero) = match meta.dtype {
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
        };
        let mut cards = Cards::default();
        let shape = file_shape(meta);
        cards.value("SIMPLE", &true.into(), "conforms to the FITS standard");
        cards.value("BITPIX", &bitpix.into(), "bits of a pixel, negative for floats");
        cards.value("NAXIS", &shape.len().into(), "number of axes");
        for (n, &len) in shape.iter().rev().enumerate() {
            cards.value(&format!("NAXIS{}", n + 1), &len.into(), "");
        }
        cards.value("EXTEND", &true.into(), "");
        if let Some(zero) = zero {
            cards.value("BSCALE", &1.into(), "");
            cards.value("BZERO", &zero, "integers of the other signedness");
        }
        if meta.dtype == DType::Bool {
            cards.value("NPDTYPE", &"bool".into(), "elements were true and false");
        }
        if meta.grid.rank() == 0 {
            cards.value("NPNDIM", &0.into(), "the array had no axes");
        }
        for (name, value) in &self.cards {
            if is_structural(name) || !cards.value(name, value, "") {
                return Err(FormatError::new(
                    ErrorKind::Invalid,
                    format!("{name} = {value} cannot be a card of an image"),
                )
                .at_path(&self.path)
                .help("names are printable ASCII, values text, numbers or true and false; the structure has its own cards"));
            }
        }
        for (name, value) in meta.attributes.iter() {
            let replaced = self.cards.iter().any(|(card, _)| card.eq_ignore_ascii_case(name));
            let noted = matches!(name.as_str(), "NPDTYPE" | "NPNDIM");
            if !replaced && !noted && !is_structural(name) {
                // What cannot be a card is left out, as other formats' attributes may be.
                cards.value(name, value, "");
            }
        }
        Ok(cards.finish())
    }
}

impl Writer for FitsWriter {
    fn grid(&self, meta: &Meta) -> Result<Grid> {
        match &self.chunks {
            None => Ok(meta.grid.clone()),
            Some(chunks) if chunks.len() == meta.grid.rank() => {
                Ok(Grid::regular(&meta.shape(), chunks))
            }
            Some(chunks) => Err(FormatError::new(
                ErrorKind::Invalid,
                format!("chunks of {} axes for an array of {}", chunks.len(), meta.grid.rank()),
            )
            .at_path(&self.path)),
        }
    }

    fn create(&self, meta: &Meta) -> Result<Arc<dyn ChunkSink>> {
        let at = |e: FormatError| e.at_path(&self.path);
        let header = self.header(meta)?;
        let data_start = header.len() as u64;
        let end = meta
            .bytes()
            .and_then(|bytes| bytes.checked_next_multiple_of(BLOCK))
            .and_then(|bytes| bytes.checked_add(data_start))
            .filter(|&end| i64::try_from(end).is_ok())
            .ok_or_else(|| at(FormatError::new(ErrorKind::Limit, "larger than any file can be")))?;
        let layout = format!("{} {:?}", String::from_utf8_lossy(&header), meta.grid);
        let staging = Staging::create(&self.path, self.mode)?.journalled(layout)?;
        let file = staging.file(end)?;
        Ok(Arc::new(FitsSink {
            written: ChunkSet::new(meta.grid.len()),
            path: self.path.clone(),
            meta: meta.clone(),
            file,
            staging,
            header,
        }))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// The shape in the file: an array without axes is one element.
fn file_shape(meta: &Meta) -> Dims {
    match meta.shape() {
        shape if shape.is_empty() => Dims::from_elem(1, 1),
        shape => shape,
    }
}

/// Cards, 80 bytes each.
#[derive(Default)]
struct Cards(Vec<u8>);

impl Cards {
    fn push(&mut self, card: &str) {
        debug_assert!(card.len() <= CARD && card.is_ascii());
        self.0.extend_from_slice(card.as_bytes());
        self.0.resize(self.0.len().next_multiple_of(CARD), b' ');
    }

    /// Adds the card or cards for a value; whether it can be one.
    fn value(&mut self, name: &str, value: &Value, comment: &str) -> bool {
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
                    return short && self.long_string(&key, string);
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
        if !comment.is_empty() && card.len() + 3 + comment.len() <= CARD {
            card = format!("{card} / {comment}");
        }
        self.push(&card);
        true
    }

    /// A string over several cards (standard, section 4.2.1.2).
    fn long_string(&mut self, key: &str, string: &str) -> bool {
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

    fn finish(mut self) -> Vec<u8> {
        self.push("END");
        self.0.resize(self.0.len().next_multiple_of(BLOCK as usize), b' ');
        self.0
    }
}

/// Whether a card says how data lie in a file: those of another file do not pass.
fn is_structural(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let numbered = |prefixes: &[&str]| {
        prefixes.iter().any(|prefix| {
            name.strip_prefix(prefix)
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    matches!(
        name.as_str(),
        "SIMPLE"
            | "XTENSION"
            | "BITPIX"
            | "NAXIS"
            | "EXTEND"
            | "PCOUNT"
            | "GCOUNT"
            | "GROUPS"
            | "BSCALE"
            | "BZERO"
            | "BLANK"
            | "BLOCKED"
            | "TFIELDS"
            | "THEAP"
            | "CHECKSUM"
            | "DATASUM"
            | "INHERIT"
            | "LONGSTRN"
            | "CONTINUE"
            | "END"
            | "HIERARCH"
            | "ZIMAGE"
            | "ZCMPTYPE"
            | "ZBITPIX"
            | "ZNAXIS"
    ) || numbered(&["NAXIS", "TTYPE", "TFORM", "ZNAXIS", "ZTILE", "ZNAME", "ZVAL"])
}

/// A FITS file being written.
#[derive(Debug)]
struct FitsSink {
    path: PathBuf,
    meta: Meta,
    file: File,
    staging: Staging,
    /// What comes before the elements; written last.
    header: Vec<u8>,
    written: ChunkSet,
}

impl FitsSink {
    /// The pieces that a chunk is written in: each a box within the chunk that is contiguous in
    /// the file and not above the scratch, and where it begins there.
    fn pieces(&self, region: Region) -> impl Iterator<Item = (Region, u64)> {
        let shape = self.meta.shape();
        let size = self.meta.dtype.size() as u64;
        // A piece is one index of the axes before `along`, some of it, all of those after.
        let mut along = 0;
        while along + 1 < region.rank()
            && (region.shape[along + 1..] != shape[along + 1..]
                || volume(&region.shape[along + 1..]) * size > PIECE)
        {
            along += 1;
        }
        let mut piece = region.shape.clone();
        let (outer, step, count) = match region.rank() {
            0 => (0, 1, 1),
            rank => {
                let inner = volume(&region.shape[along + 1..rank]) * size;
                piece[..=along].fill(1);
                (along, (PIECE / inner.max(1)).max(1), region.shape[along])
            }
        };
        Coordinates::of(Region::whole(&region.shape[..outer])).flat_map(move |start| {
            let mut at = Dims::from_elem(0, region.rank());
            at[..outer].copy_from_slice(&start);
            let (region, shape, mut piece) = (region.clone(), shape.clone(), piece.clone());
            (0..count).step_by(step as usize).map(move |first| {
                if region.rank() > 0 {
                    at[along] = first;
                    piece[along] = step.min(count - first);
                }
                let element = at
                    .iter()
                    .zip(&region.start)
                    .zip(&shape)
                    .fold(0, |n, ((&at, &start), &len)| n * len + start + at);
                let part = Region { start: at.clone(), shape: piece.clone() };
                (part, self.header.len() as u64 + element * size)
            })
        })
    }
}

impl ChunkSink for FitsSink {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn scratch(&self) -> u64 {
        self.meta.max_chunk_bytes().min(PIECE)
    }

    fn write(&self, index: &[u64], data: ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<Written> {
        let mut noted = Noted { chunk: self.meta.grid.linear_of(index), ..Noted::default() };
        let mut hash = Xxh3::new();
        for (part, offset) in self.pieces(self.meta.grid.region(index)) {
            let len = part.volume() as usize * self.meta.dtype.size();
            let (scratch, rest) = cx.split_scratch(len);
            rest.cancel.check()?;
            ChunkMut::new(self.meta.dtype, scratch, &part.shape).assign(&data.sub(&part));
            to_file_order(self.meta.dtype, scratch);
            self.file
                .write_all_at(scratch, offset)
                .map_err(|e| FormatError::io(e).at_path(&self.path))?;
            hash.update(scratch);
            if noted.len == 0 {
                noted.offset = offset;
            }
            noted.len += len as u64;
        }
        noted.hash = hash.digest();
        self.staging.note(noted)?;
        self.written.insert(noted.chunk);
        Ok(Written { bytes: noted.len })
    }

    fn journal(&self) -> Option<&Journal> {
        self.staging.journal()
    }

    fn is_intact(&self, noted: &Noted, cx: &mut ReadCx<'_>) -> Result<bool> {
        if noted.chunk >= self.meta.grid.len() {
            return Ok(false);
        }
        let region = self.meta.grid.region(&self.meta.grid.index_of(noted.chunk));
        let size = self.meta.dtype.size() as u64;
        let ranges = self.pieces(region).map(|(part, offset)| (offset, part.volume() * size));
        let whole = hash_of(&self.file, ranges, cx)? == noted.hash;
        if whole {
            self.written.insert(noted.chunk);
        }
        Ok(whole)
    }

    fn seal(&self) -> Result<()> {
        let here = |error: FormatError| error.at_path(&self.path);
        self.written.check_whole(&self.meta.grid).map_err(here)?;
        // The padding is there already: a reserved file reads as zeros.
        self.file.write_all_at(&self.header, 0).map_err(|e| here(FormatError::io(e)))?;
        self.staging.sync()
    }

    fn publish(&self) -> Result<()> {
        self.staging.publish()
    }
}
