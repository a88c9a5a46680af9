//! The directories of a TIFF or BigTIFF file: what each page is like, and where its strips
//! or tiles lie.
//!
//! After TIFF 6.0 (Adobe, 1992), its Technical Note 3 (predictor 3) and the BigTIFF design of
//! libtiff. Of a page's lists of offsets and lengths, which may be as long as the page is high, only
//! the places are kept; the entries are read when a strip is.

use super::super::corrupt;
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    files::Stamp,
    region::checked_volume,
    source::Attributes,
    stored::{ReadAt, StoredFile},
};
use std::collections::HashSet;

/// The most entries of a directory; real ones have a few dozen.
const MAX_ENTRIES: u64 = 4096;
/// The most pages of a file.
const MAX_PAGES: usize = 1 << 18;
/// The longest text that is kept as an attribute, in bytes.
const MAX_TEXT: u64 = 64 << 10;

/// Tags of text that become attributes, by their names in the standard.
const TEXTS: [(u16, &str); 6] = [
    (270, "ImageDescription"),
    (271, "Make"),
    (272, "Model"),
    (305, "Software"),
    (306, "DateTime"),
    (315, "Artist"),
];

/// How strips and tiles are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
}

/// What was done to rows before they were compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    /// Each sample is the difference from the one before it in its row and channel.
    Horizontal,
    /// The same, of bytes, once the bytes of equal significance were put together.
    Float,
}

/// How the elements of a page lie. Pages whose layouts are equal make one array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) dtype: DType,
    /// Bits of a stored sample: those of the dtype, or 1, 2 or 4.
    pub(super) bits: u64,
    pub(super) height: u64,
    pub(super) width: u64,
    pub(super) channels: u64,
    /// Whether channels lie one behind the other, each in strips or tiles of its own.
    pub(super) planar: bool,
    /// Whether each row of tiles holds several.
    pub(super) tiled: bool,
    /// Rows and columns of a strip or tile.
    pub(super) tile: (u64, u64),
    pub(super) compression: Compression,
    pub(super) predictor: Predictor,
}

impl Layout {
    /// Samples that lie together for each pixel of a strip or tile.
    pub(super) fn samples(&self) -> u64 {
        if self.planar { 1 } else { self.channels }
    }

    /// Stored bytes of a row of a strip or tile.
    pub(super) fn row_bytes(&self) -> u64 {
        (self.tile.1 * self.samples() * self.bits).div_ceil(8)
    }

    /// Stored bytes of a strip or tile, once decoded.
    pub(super) fn tile_bytes(&self) -> u64 {
        self.tile.0 * self.row_bytes()
    }

    /// The numbers of strips or tiles down and across.
    pub(super) fn tiles(&self) -> (u64, u64) {
        (self.height.div_ceil(self.tile.0), self.width.div_ceil(self.tile.1))
    }

    /// Bytes of the page's elements.
    pub(super) fn bytes(&self) -> u64 {
        self.height * self.width * self.channels * self.dtype.size() as u64
    }

    /// Whether elements lie in the file as they are.
    pub(super) fn is_raw(&self) -> bool {
        self.compression == Compression::None && self.bits >= 8
    }

    pub(super) fn codec(&self) -> &'static str {
        match self.compression {
            Compression::None => "",
            Compression::Lzw => "LZW",
            Compression::Deflate => "deflate",
            Compression::PackBits => "PackBits",
        }
    }
}

/// The values of a tag: where they lie in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values {
    /// Bytes of each.
    size: u64,
    count: u64,
    at: u64,
}

/// Where the strips or tiles of a page lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub(super) offsets: Values,
    /// Their lengths; a page that is not compressed may lack them.
    pub(super) lengths: Option<Values>,
}

/// What a file says before its first page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) big_endian: bool,
    wide: bool,
    first: u64,
    /// Bytes of the file.
    pub(super) len: u64,
}

/// All pages of a file.
#[derive(Debug)]
pub(super) struct Directories {
    pub(super) stamp: Stamp,
    pub(super) header: Header,
    /// At least one.
    pub(super) pages: Vec<(Layout, Places)>,
    pub(super) attributes: Attributes,
}

fn unsupported(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Unsupported, message)
}

/// Fills `bytes` from the place `at`, which the file may have told.
pub(super) fn read_at(file: &StoredFile, bytes: &mut [u8], at: u64) -> Result<()> {
    let ends = || corrupt("the file ends before what it tells of");
    if at > i64::MAX as u64 - bytes.len() as u64 {
        return Err(ends());
    }
    file.read_exact_at(bytes, at).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => ends(),
        _ => FormatError::io(error),
    })
}

impl Header {
    fn read(file: &StoredFile, len: u64) -> Result<Header> {
        let mut head = [0; 16];
        read_at(file, &mut head[..8], 0)?;
        let big_endian = match &head[..2] {
            b"II" => false,
            b"MM" => true,
            _ => return Err(corrupt("the file does not begin with II or MM")),
        };
        let mut header = Header { big_endian, wide: false, first: 0, len };
        match header.number(&head[2..4]) {
            42 => header.first = header.number(&head[4..8]),
            43 => {
                read_at(file, &mut head, 0)?;
                if (header.number(&head[4..6]), header.number(&head[6..8])) != (8, 0) {
                    return Err(unsupported("a BigTIFF file whose offsets have not 8 bytes"));
                }
                (header.wide, header.first) = (true, header.number(&head[8..16]));
            }
            other => return Err(corrupt(format!("version {other} of TIFF"))),
        }
        Ok(header)
    }

    /// An unsigned number of up to 8 bytes in the file's order.
    fn number(&self, bytes: &[u8]) -> u64 {
        let digits = bytes.iter().map(|&byte| u64::from(byte));
        let join = |number: u64, digit: u64| number << 8 | digit;
        if self.big_endian { digits.fold(0, join) } else { digits.rev().fold(0, join) }
    }

    /// The values `from..` of a tag, as many as there are and fit into `out`; their count.
    pub(super) fn values(
        &self,
        file: &StoredFile,
        values: &Values,
        from: u64,
        out: &mut [u64],
    ) -> Result<usize> {
        let mut bytes = [0; 1024];
        let size = values.size as usize;
        let count = (values.count.saturating_sub(from) as usize)
            .min(out.len())
            .min(bytes.len() / size.max(1));
        let bytes = &mut bytes[..count * size];
        read_at(file, bytes, values.at + from * values.size)?;
        for (out, value) in out.iter_mut().zip(bytes.chunks_exact(size)) {
            *out = self.number(value);
        }
        Ok(count)
    }
}

/// A directory, as far as it is read.
struct Directory<'a> {
    file: &'a StoredFile,
    header: Header,
    /// Tags, and the bytes of type, count and value of each.
    entries: Vec<(u16, [u8; 18])>,
    /// Where the entries lie, for values that lie in them.
    at: u64,
    next: u64,
}

impl<'a> Directory<'a> {
    fn read(file: &'a StoredFile, header: Header, at: u64) -> Result<Directory<'a>> {
        let (count_size, entry_size, next_size) = if header.wide { (8, 20, 8) } else { (2, 12, 4) };
        let mut count = [0; 8];
        read_at(file, &mut count[..count_size], at)?;
        let count = header.number(&count[..count_size]);
        if count == 0 || count > MAX_ENTRIES {
            return Err(corrupt(format!("a directory of {count} entries")));
        }
        let mut bytes = vec![0; count as usize * entry_size + next_size];
        let start = at.saturating_add(count_size as u64);
        read_at(file, &mut bytes, start)?;
        let (entries, next) = bytes.split_at(count as usize * entry_size);
        let entries = entries
            .chunks_exact(entry_size)
            .map(|entry| {
                let mut rest = [0; 18];
                rest[..entry_size - 2].copy_from_slice(&entry[2..]);
                (header.number(&entry[..2]) as u16, rest)
            })
            .collect();
        Ok(Directory { file, header, entries, at: start, next: header.number(next) })
    }

    /// Where the values of a tag lie, if the page has it.
    fn find(&self, tag: u16) -> Result<Option<Values>> {
        let Some(number) = self.entries.iter().position(|&(other, _)| other == tag) else {
            return Ok(None);
        };
        let (_, entry) = &self.entries[number];
        let size = match self.header.number(&entry[..2]) {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 | 17 | 18 => 8,
            other => return Err(corrupt(format!("tag {tag} has values of the type {other}"))),
        };
        let field = if self.header.wide { 8 } else { 4 };
        let count = self.header.number(&entry[2..2 + field]);
        let bytes = count.saturating_mul(size);
        let at = match bytes <= field as u64 {
            true => self.at + (number * (4 + 2 * field) + 4 + field) as u64,
            false => self.header.number(&entry[2 + field..2 + 2 * field]),
        };
        if count == 0 || at.checked_add(bytes).is_none_or(|end| end > self.header.len) {
            return Err(corrupt(format!("the {count} values of tag {tag} lie outside the file")));
        }
        Ok(Some(Values { size, count, at }))
    }

    /// The one value of a tag, or that which all its values are.
    fn one(&self, tag: u16) -> Result<Option<u64>> {
        let Some(values) = self.find(tag)? else { return Ok(None) };
        let mut some = [0; 64];
        let count = self.header.values(self.file, &values, 0, &mut some)?;
        match some[..count].iter().all(|value| *value == some[0]) {
            true => Ok(Some(some[0])),
            false => Err(unsupported(format!("channels that differ in what tag {tag} tells"))),
        }
    }

    fn length(&self, tag: u16, what: &str) -> Result<u64> {
        match self.one(tag)? {
            Some(length @ 1..=0xffff_ffff) => Ok(length),
            Some(length) => Err(corrupt(format!("a page with a {what} of {length}"))),
            None => Err(corrupt(format!("a page without {what}"))),
        }
    }

    fn text(&self, tag: u16) -> Result<Option<String>> {
        let Some(values) = self.find(tag)?.filter(|v| v.size == 1 && v.count <= MAX_TEXT) else {
            return Ok(None);
        };
        let mut bytes = vec![0; values.count as usize];
        read_at(self.file, &mut bytes, values.at)?;
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        Ok(Some(String::from_utf8_lossy(text).into_owned()))
    }

    fn dtype(&self) -> Result<(DType, u64)> {
        let bits = self.one(258)?.unwrap_or(1);
        let format = self.one(339)?.unwrap_or(1);
        let dtype = match (format, bits) {
            (1, 1) => DType::Bool,
            (1, 2 | 4 | 8) => DType::U8,
            (1, 16) => DType::U16,
            (1, 32) => DType::U32,
            (1, 64) => DType::U64,
            (2, 8) => DType::I8,
            (2, 16) => DType::I16,
            (2, 32) => DType::I32,
            (2, 64) => DType::I64,
            (3, 32) => DType::F32,
            (3, 64) => DType::F64,
            (1..=4, _) => {
                let kind = ["unsigned integers", "integers", "floats", "samples of no type"];
                let kind = kind[format as usize - 1];
                return Err(unsupported(format!("{kind} of {bits} bits are not supported")));
            }
            _ => return Err(unsupported("complex samples are not supported")),
        };
        Ok((dtype, bits))
    }

    fn compression(&self) -> Result<Compression> {
        let name = match self.one(259)?.unwrap_or(1) {
            1 => return Ok(Compression::None),
            5 => return Ok(Compression::Lzw),
            8 | 32946 => return Ok(Compression::Deflate),
            32773 => return Ok(Compression::PackBits),
            2..=4 => "a fax code",
            6 | 7 => "JPEG",
            34712 => "JPEG 2000",
            34887 => "LERC",
            34925 => "LZMA",
            50000 => "zstd",
            50001 => "WebP",
            other => return Err(unsupported(format!("compression {other} is not supported"))),
        };
        Err(unsupported(format!("pages compressed by {name} are not supported"))
            .help("supported are none, LZW, deflate and PackBits"))
    }

    fn page(&self) -> Result<(Layout, Places)> {
        let (width, height) = (self.length(256, "width")?, self.length(257, "height")?);
        let channels = self.one(277)?.unwrap_or(1);
        let (dtype, bits) = self.dtype()?;
        let compression = self.compression()?;
        // libtiff looks at the predictor of these codes alone.
        let predicted = matches!(compression, Compression::Lzw | Compression::Deflate);
        let predictor = match self.one(317)?.filter(|_| predicted).unwrap_or(1) {
            1 => Predictor::None,
            2 if bits >= 8 => Predictor::Horizontal,
            3 if dtype.is_float() => Predictor::Float,
            other => return Err(unsupported(format!("predictor {other} of {bits} bits"))),
        };
        if self.one(266)?.unwrap_or(1) != 1 {
            return Err(unsupported("bits in reversed order are not supported"));
        }
        if self.one(32997)?.unwrap_or(1) != 1 {
            return Err(unsupported("volumes of tiles are not supported"));
        }
        let planar = channels > 1 && self.one(284)?.unwrap_or(1) == 2;
        let tiled = self.find(322)?.is_some();
        let tile = match tiled {
            true => (self.length(323, "tile length")?, self.length(322, "tile width")?),
            false => (self.one(278)?.unwrap_or(height).clamp(1, height), width),
        };
        let layout = Layout {
            dtype,
            bits,
            height,
            width,
            channels,
            planar,
            tiled,
            tile,
            compression,
            predictor,
        };
        let fits = |rows, columns| {
            checked_volume(&[rows, columns, channels, 8]).is_some_and(|bytes| bytes <= 1 << 56)
        };
        if channels == 0 || !fits(height, width) || !fits(tile.0, tile.1) {
            let message = format!("a page of {width} × {height} × {channels} is too large");
            return Err(corrupt(message));
        }
        let (down, across) = layout.tiles();
        let expected = down * across * if planar { channels } else { 1 };
        let list = |tag: u16| -> Result<Option<Values>> {
            match self.find(tag)? {
                Some(values) if values.count < expected => {
                    let message = format!("{} of {expected} strips or tiles", values.count);
                    Err(corrupt(format!("a page tells of {message} where they lie")))
                }
                values => Ok(values),
            }
        };
        let (offsets, lengths) = if tiled { (324, 325) } else { (273, 279) };
        let offsets = list(offsets)?.ok_or_else(|| corrupt("a page without strips or tiles"))?;
        let lengths = list(lengths)?;
        if lengths.is_none() && compression != Compression::None {
            return Err(corrupt("a page without the lengths of its strips or tiles"));
        }
        Ok((layout, Places { offsets, lengths }))
    }
}

impl Directories {
    /// Reads all directories of a file.
    pub(super) fn read(file: &StoredFile, stamp: Stamp, len: u64) -> Result<Directories> {
        let header = Header::read(file, len)?;
        let (mut pages, mut seen) = (Vec::new(), HashSet::new());
        let mut attributes = Attributes::new();
        let mut at = header.first;
        while at != 0 {
            if pages.len() == MAX_PAGES || !seen.insert(at) {
                return Err(corrupt("its directories do not end"));
            }
            let number = pages.len();
            let here = |e: FormatError| e.at(format_args!("page {number}"));
            let directory = Directory::read(file, header, at).map_err(here)?;
            pages.push(directory.page().map_err(here)?);
            if number == 0 {
                for (tag, name) in TEXTS {
                    if let Some(text) = directory.text(tag).map_err(here)? {
                        attributes.insert(name.to_owned(), text.into());
                    }
                }
            }
            at = directory.next;
        }
        match pages.is_empty() {
            true => Err(corrupt("the file has no page")),
            false => Ok(Directories { stamp, header, pages, attributes }),
        }
    }
}
