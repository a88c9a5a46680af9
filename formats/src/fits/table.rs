//! The binary table that holds a compressed image: which bytes of a row say what.
//!
//! FITS standard 4.0, sections 7.3 and 10.1. Only the columns that compressed images use
//! are known; rows are read by the image itself, a few at a time, and never kept.

use super::header::{Hdu, Header};
use crate::error::{ErrorKind, FormatError, Result};

fn corrupt(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Corrupt, message)
}

/// The longest row that is read: rows of real files have about 40 bytes.
const MAX_ROW: u64 = 64 << 10;

/// A column of variable-length arrays.
#[derive(Clone, Copy, Debug)]
struct Arrays {
    offset: usize,
    /// Whether descriptors are of 64 bits (`Q`) and not of 32 (`P`).
    wide: bool,
    /// Bytes of an element.
    size: u64,
}

/// A column of numbers.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    offset: usize,
    kind: u8,
}

/// What a keyword or a column tells of each tile.
#[derive(Clone, Copy, Debug)]
enum PerTile {
    Unsaid,
    Always(f64),
    Column(Numbers),
}

/// In which of the columns a tile's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// COMPRESSED_DATA, by the image's algorithm.
    Compressed,
    /// GZIP_COMPRESSED_DATA: elements that did not quantise well, gzipped.
    Gzip,
    /// UNCOMPRESSED_DATA.
    Plain,
}

/// Where a tile's bytes lie in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) stream: Stream,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// The layout of the table's rows and heap.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Where the rows begin in the file.
    pub(super) start: u64,
    /// Bytes of a row.
    pub(super) row: usize,
    /// The number of rows.
    pub(super) rows: u64,
    heap: (u64, u64),
    streams: [(Stream, Option<Arrays>); 3],
    scale: PerTile,
    zero: PerTile,
    blank: PerTile,
}

impl Table {
    /// The table of `hdu`, checked against the length of the file.
    pub(super) fn new(hdu: &Hdu, file_bytes: u64) -> Result<Table> {
        let header = &hdu.header;
        let (row, rows) = (header.size("NAXIS1")?, header.size("NAXIS2")?);
        if row > MAX_ROW {
            return Err(FormatError::new(
                ErrorKind::Unsupported,
                format!("a compressed image whose table has rows of {row} bytes, above {MAX_ROW}"),
            ));
        }
        let start = hdu.data_start;
        let table =
            row.checked_mul(rows).ok_or_else(|| corrupt("the table is larger than any file"))?;
        let theap = match header.int("THEAP")? {
            Some(_) => header.size("THEAP")?,
            None => table,
        };
        let end = start
            .checked_add(hdu.data_bytes)
            .filter(|&end| end <= file_bytes && theap <= hdu.data_bytes && table <= hdu.data_bytes);
        let Some(end) = end else {
            return Err(corrupt(format!(
                "truncated: the compressed image needs {} bytes from byte {start} on, the file has {file_bytes}",
                hdu.data_bytes
            )));
        };
        let columns = Columns::new(header, row)?;
        let per_tile = |key: &str| -> Result<PerTile> {
            if let Some(column) = columns.numbers(key)? {
                return Ok(PerTile::Column(column));
            }
            Ok(header.float(key)?.map_or(PerTile::Unsaid, PerTile::Always))
        };
        let streams = [
            (Stream::Compressed, columns.arrays("COMPRESSED_DATA")?),
            (Stream::Gzip, columns.arrays("GZIP_COMPRESSED_DATA")?),
            (Stream::Plain, columns.arrays("UNCOMPRESSED_DATA")?),
        ];
        if streams.iter().all(|(_, column)| column.is_none()) {
            return Err(corrupt("a compressed image without the column COMPRESSED_DATA"));
        }
        let blank = match per_tile("ZBLANK")? {
            PerTile::Unsaid => {
                header.int("BLANK")?.map_or(PerTile::Unsaid, |blank| PerTile::Always(blank as f64))
            }
            said => said,
        };
        Ok(Table {
            start,
            row: row as usize,
            rows,
            heap: (start + theap, end),
            streams,
            scale: per_tile("ZSCALE")?,
            zero: per_tile("ZZERO")?,
            blank,
        })
    }

    /// Whether tiles have a scale, so that their pixels are quantised floats.
    pub(super) fn is_scaled(&self) -> bool {
        !matches!(self.scale, PerTile::Unsaid)
    }

    /// Bytes of the heap, where the compressed tiles are.
    pub(super) fn heap_bytes(&self) -> u64 {
        self.heap.1 - self.heap.0
    }

    /// Where the bytes of the tile with this row lie.
    pub(super) fn extent(&self, row: &[u8]) -> Result<Extent> {
        for (stream, column) in self.streams {
            let Some(column) = column else { continue };
            let (count, offset) = column.descriptor(row)?;
            if count == 0 {
                continue;
            }
            let start = self.heap.0.checked_add(offset);
            let end =
                count.checked_mul(column.size).zip(start).and_then(|(n, at)| at.checked_add(n));
            return match (start, end) {
                (Some(start), Some(end)) if end <= self.heap.1 => Ok(Extent { stream, start, end }),
                _ => Err(corrupt(format!(
                    "its {count} bytes at {offset} lie outside the heap of {}",
                    self.heap.1 - self.heap.0
                ))),
            };
        }
        Err(corrupt("it has no bytes in any column"))
    }

    /// ZSCALE and ZZERO of the tile with this row.
    pub(super) fn scaling(&self, row: &[u8]) -> (f64, f64) {
        (self.scale.of(row).unwrap_or(1.0), self.zero.of(row).unwrap_or(0.0))
    }

    /// ZBLANK of the tile with this row.
    pub(super) fn blank(&self, row: &[u8]) -> Option<i64> {
        self.blank.of(row).map(|blank| blank as i64)
    }

    /// Whether ZBLANK differs from tile to tile.
    pub(super) fn has_blank_column(&self) -> bool {
        matches!(self.blank, PerTile::Column(_))
    }
}

impl Arrays {
    /// The number of elements and their offset in the heap.
    fn descriptor(&self, row: &[u8]) -> Result<(u64, u64)> {
        let negative = || corrupt("its descriptor is negative");
        let bytes = row.get(self.offset..).unwrap_or(&[]);
        if self.wide {
            let (Some(count), Some(offset)) =
                (bytes.first_chunk::<8>(), bytes.get(8..).and_then(|b| b.first_chunk::<8>()))
            else {
                return Err(corrupt("its row is too short"));
            };
            let (count, offset) = (i64::from_be_bytes(*count), i64::from_be_bytes(*offset));
            return u64::try_from(count).ok().zip(u64::try_from(offset).ok()).ok_or_else(negative);
        }
        let (Some(count), Some(offset)) =
            (bytes.first_chunk::<4>(), bytes.get(4..).and_then(|b| b.first_chunk::<4>()))
        else {
            return Err(corrupt("its row is too short"));
        };
        // Offsets between 2 and 4 GiB are read as unsigned, as other readers do.
        let count = u64::try_from(i32::from_be_bytes(*count)).map_err(|_| negative())?;
        Ok((count, u64::from(u32::from_be_bytes(*offset))))
    }
}

impl PerTile {
    fn of(&self, row: &[u8]) -> Option<f64> {
        match *self {
            PerTile::Unsaid => None,
            PerTile::Always(value) => Some(value),
            PerTile::Column(Numbers { offset, kind }) => {
                let bytes = row.get(offset..)?;
                Some(match kind {
                    b'B' => f64::from(*bytes.first()?),
                    b'I' => f64::from(i16::from_be_bytes(*bytes.first_chunk()?)),
                    b'J' => f64::from(i32::from_be_bytes(*bytes.first_chunk()?)),
                    b'K' => i64::from_be_bytes(*bytes.first_chunk()?) as f64,
                    b'E' => f64::from(f32::from_be_bytes(*bytes.first_chunk()?)),
                    _ => f64::from_be_bytes(*bytes.first_chunk()?),
                })
            }
        }
    }
}

/// Whether a card says how the table of a compressed image lies in its file, or how its tiles
/// are compressed: not a card of the image.
pub(super) fn is_of_table(name: &str) -> bool {
    matches!(
        name,
        "XTENSION"
            | "BITPIX"
            | "NAXIS"
            | "PCOUNT"
            | "GCOUNT"
            | "TFIELDS"
            | "THEAP"
            | "CHECKSUM"
            | "DATASUM"
            | "ZIMAGE"
            | "ZCMPTYPE"
            | "ZQUANTIZ"
            | "ZDITHER0"
            | "ZBLANK"
            | "ZSCALE"
            | "ZZERO"
            | "ZMASKCMP"
            | "ZSIMPLE"
            | "ZTENSION"
            | "ZEXTEND"
            | "ZBLOCKED"
            | "ZPCOUNT"
            | "ZGCOUNT"
            | "ZHECKSUM"
            | "ZDATASUM"
    ) || numbered(name, &["NAXIS", "TTYPE", "TFORM", "TUNIT", "TDIM", "TNULL", "TSCAL", "TZERO"])
        || numbered(name, &["TDISP", "TBCOL", "ZTILE", "ZNAME", "ZVAL"])
}

/// Whether a card says how data lie in a file: those of another file do not pass.
pub(super) fn is_structural(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    matches!(
        name.as_str(),
        "SIMPLE"
            | "EXTEND"
            | "GROUPS"
            | "BSCALE"
            | "BZERO"
            | "BLANK"
            | "BLOCKED"
            | "INHERIT"
            | "LONGSTRN"
            | "CONTINUE"
            | "END"
            | "HIERARCH"
            | "ZBITPIX"
            | "ZNAXIS"
    ) || is_of_table(&name)
        || numbered(&name, &["ZNAXIS"])
}

/// Whether a card is one of these with a number behind it.
pub(super) fn numbered(name: &str, of: &[&str]) -> bool {
    of.iter().any(|of| {
        name.strip_prefix(of)
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// The columns of a table: name, format, and offset in the row.
struct Columns(Vec<(String, String, usize)>);

impl Columns {
    fn new(header: &Header, row: u64) -> Result<Columns> {
        let count = header.size("TFIELDS")?;
        if count > 999 {
            return Err(corrupt(format!("TFIELDS is {count}, more than the 999 allowed")));
        }
        let mut columns = Vec::new();
        let mut offset = 0u64;
        for n in 1..=count {
            let name = header.text(&format!("TTYPE{n}")).unwrap_or("").trim().to_uppercase();
            let form = header
                .text(&format!("TFORM{n}"))
                .ok_or_else(|| corrupt(format!("the card TFORM{n} is missing")))?
                .trim()
                .to_owned();
            let bytes = width(&form).ok_or_else(|| {
                corrupt(format!("TFORM{n} is '{form}', which is no format of a column"))
            })?;
            columns.push((name, form, offset as usize));
            offset = offset.checked_add(bytes).filter(|&end| end <= row).ok_or_else(|| {
                corrupt(format!("the columns are longer than the rows of {row} bytes"))
            })?;
        }
        Ok(Columns(columns))
    }

    fn find(&self, name: &str) -> Option<(u8, &str, usize)> {
        let (_, form, offset) = self.0.iter().find(|(n, ..)| n == name)?;
        let rest = form.trim_start_matches(|c: char| c.is_ascii_digit());
        Some((*rest.as_bytes().first()?, &rest[1..], *offset))
    }

    fn arrays(&self, name: &str) -> Result<Option<Arrays>> {
        let Some((kind, rest, offset)) = self.find(name) else { return Ok(None) };
        let size = match rest.as_bytes().first() {
            Some(b'B' | b'A' | b'L') => 1,
            Some(b'I') => 2,
            Some(b'J' | b'E') => 4,
            Some(b'K' | b'D') => 8,
            _ => 0,
        };
        match kind {
            b'P' | b'Q' if size > 0 => Ok(Some(Arrays { offset, wide: kind == b'Q', size })),
            _ => Err(corrupt(format!("the column {name} does not hold variable-length arrays"))),
        }
    }

    fn numbers(&self, name: &str) -> Result<Option<Numbers>> {
        match self.find(name) {
            None => Ok(None),
            Some((kind @ (b'B' | b'I' | b'J' | b'K' | b'E' | b'D'), _, offset)) => {
                Ok(Some(Numbers { offset, kind }))
            }
            Some(_) => Err(corrupt(format!("the column {name} does not hold numbers"))),
        }
    }
}

/// The bytes that a column of this TFORM takes in a row.
fn width(form: &str) -> Option<u64> {
    let digits = form.bytes().take_while(u8::is_ascii_digit).count();
    let count: u64 = if digits == 0 { 1 } else { form[..digits].parse().ok()? };
    let size = match form.as_bytes().get(digits)? {
        b'X' => return Some(count.div_ceil(8)),
        b'L' | b'B' | b'A' => 1,
        b'I' => 2,
        b'J' | b'E' => 4,
        b'K' | b'D' | b'C' | b'P' => 8,
        b'M' | b'Q' => 16,
        _ => return None,
    };
    count.checked_mul(size)
}
