//! FITS: images as they are, and tile-compressed images; both are read and written.
//!
//! A file is a chain of header and data units (HDUs), each named by its number, the
//! primary HDU being 0, or by EXTNAME (and EXTVER: `SCI,2`). Without a name the first one
//! with an image is meant, compressed ones included. Axes are in NumPy's order: NAXISn
//! reversed. The values are those that astropy gives, to the bit: scaled by BSCALE and
//! BZERO, NaN for BLANK (or 0, with a mask beside the array), unsigned integers for the BZERO
//! that says so.
//!
//! | file | owns |
//! |---|---|
//! | `header` | cards, and the walk from HDU to HDU |
//! | `convert` | stored pixels to elements |
//! | `input`, `gzip` | where an image's bytes come from: a file, or a gzip stream (`.fits.gz`) |
//! | `image` | plain images |
//! | `tiled`, `table` | compressed images: which tiles, and where they lie |
//! | `codec`, `rice`, `plio`, `hcompress`, `bits`, `quantise` | one tile's bytes to elements |
//! | `write` | the sinks |
//!
//! Not read: tables (but those that hold a compressed image) and random groups; each is refused
//! by name.

#[cfg(feature = "codecs")]
pub(crate) mod bare;
mod bits;
mod codec;
mod convert;
mod gzip;
mod hcompress;
mod header;
mod image;
mod input;
mod plio;
mod quantise;
mod rice;
mod table;
#[cfg(test)]
mod tests;
mod tiled;
mod write;

pub use quantise::Dither;
pub use write::FitsWriter;

use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    grid::{Grid, VIRTUAL_CHUNK},
    missing::Blank,
    source::{Attributes, ChunkSource, Content, Entry, Format, Item, WriteOptions, Writer},
    stored::StoredFile,
};
use header::{Hdu, Hdus, Kind};
use std::{path::Path, sync::Arc};

/// The FITS format.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fits;

impl Fits {
    /// Writes to `path`, or, where its name is a pattern, to many files; see [`FitsWriter`] for
    /// what can be chosen.
    pub fn create(path: impl AsRef<Path>) -> FitsWriter {
        FitsWriter::new(path.as_ref())
    }
}

/// The most bytes of a chunk of a gzipped image. It can only be inflated forwards, so that a part
/// may cost all that lies before it.
const ZIPPED_CHUNK: u64 = 64 << 20;

/// Where the image of an HDU is cut, at multiples of `tile`.
fn chunk_grid(hdu: &Hdu, shape: &[u64], tile: &[u64], dtype: DType) -> Grid {
    let most = if hdu.zipped.is_some() { ZIPPED_CHUNK } else { VIRTUAL_CHUNK };
    Grid::cut(shape, tile, dtype.size() as u64, most)
}

/// Refuses shapes whose elements cannot be counted (axes of length 0 taken as 1).
fn check_shape(shape: &[u64]) -> Result<()> {
    let most = i64::MAX as u64 / 8;
    match shape.iter().try_fold(1u64, |n, &len| n.checked_mul(len.max(1))) {
        Some(count) if count <= most => Ok(()),
        _ => Err(FormatError::new(
            ErrorKind::Corrupt,
            format!("an image of shape {shape:?}, larger than any can be"),
        )),
    }
}

/// How messages and specs name an HDU.
fn place(path: &Path, hdu: usize) -> String {
    format!("{}::{hdu}", path.display())
}

/// How a user names an HDU.
enum Wanted<'a> {
    /// By its number.
    Number(usize),
    /// By EXTNAME, and EXTVER if it is given.
    Name(&'a str, Option<i64>),
}

impl Wanted<'_> {
    fn of(item: &str) -> Wanted<'_> {
        let item = item.trim();
        if let Ok(number) = item.parse() {
            return Wanted::Number(number);
        }
        match item.rsplit_once(',') {
            Some((name, version)) => match version.trim().parse() {
                Ok(version) => Wanted::Name(name.trim(), Some(version)),
                Err(_) => Wanted::Name(item, None),
            },
            None => Wanted::Name(item, None),
        }
    }

    fn is(&self, hdu: &Hdu) -> bool {
        match *self {
            Wanted::Number(number) => hdu.index == number,
            // The primary HDU has that name also without a card, as in astropy.
            Wanted::Name(name, version) => {
                let found = hdu.name();
                let found = match (&found, hdu.index) {
                    (Some(found), _) => found,
                    (None, 0) => "PRIMARY",
                    (None, _) => return false,
                };
                found.eq_ignore_ascii_case(name) && version.is_none_or(|v| v == hdu.version())
            }
        }
    }
}

fn what(kind: Kind) -> &'static str {
    match kind {
        Kind::Image => "image",
        Kind::Compressed => "compressed image",
        Kind::Empty => "empty",
        Kind::BinaryTable => "binary table",
        Kind::AsciiTable => "table",
        Kind::Other => "not an image",
    }
}

/// A line on an HDU, for errors that list them.
fn describe(hdu: &Hdu) -> String {
    let name = hdu.name().map(|name| format!(" {name}")).unwrap_or_default();
    let what = what(hdu.kind());
    let shape = match hdu.kind() {
        Kind::Image | Kind::Compressed => hdu.image_shape().ok(),
        _ => None,
    };
    let shape = shape.map(|shape| format!(" {shape:?}")).unwrap_or_default();
    format!("{}{name} ({what}{shape})", hdu.index)
}

fn image_of(path: &Path, hdu: &Hdu, file_bytes: u64, blank: Blank) -> Result<Arc<dyn ChunkSource>> {
    let refuse =
        |what: &str| FormatError::new(ErrorKind::Unsupported, format!("{what} not supported"));
    let source: Result<Arc<dyn ChunkSource>> = match hdu.kind() {
        Kind::Image => {
            image::Image::new(path, hdu, file_bytes, blank).map(|image| Arc::new(image) as _)
        }
        Kind::Compressed => {
            tiled::Tiled::new(path, hdu, file_bytes, blank).map(|image| Arc::new(image) as _)
        }
        Kind::Empty => Err(FormatError::new(ErrorKind::NotFound, "this HDU is empty (NAXIS = 0)")),
        Kind::BinaryTable => Err(refuse("binary tables are")),
        Kind::AsciiTable => Err(refuse("tables are")),
        Kind::Other => Err(refuse("HDUs that are neither images nor tables are")),
    };
    source.map_err(|e| e.at(place(path, hdu.index)))
}

fn item_of(hdu: &Hdu, source: &dyn ChunkSource) -> Item {
    let (meta, storage) = (source.meta().clone(), source.storage());
    Item { name: hdu.index.to_string(), meta, storage }
}

/// The cards of an HDU; of a compressed image those of the image.
fn cards_of(hdu: &Hdu) -> Attributes {
    match hdu.kind() {
        Kind::Compressed => tiled::image_cards(&hdu.header),
        _ => hdu.header.values().clone(),
    }
}

/// Whether the HDU holds an image, and whether that has elements.
fn image_elements(hdu: &Hdu) -> Option<bool> {
    match hdu.kind() {
        Kind::Image | Kind::Compressed => {
            // A senseless shape is an image too: opening it tells what is wrong.
            Some(hdu.image_shape().map_or(true, |shape| !shape.is_empty() && !shape.contains(&0)))
        }
        _ => None,
    }
}

/// Opens the image of the HDU that `item` names, or else the first that has elements.
fn open(path: &Path, item: Option<&str>, blank: Blank) -> Result<Arc<dyn ChunkSource>> {
    let file = StoredFile::open(path)?;
    let mut hdus = Hdus::of(&file, path)?;
    let wanted = item.map(Wanted::of);
    let (mut seen, mut without_elements) = (Vec::new(), None);
    while let Some(hdu) = hdus.next()? {
        match &wanted {
            Some(wanted) if wanted.is(&hdu) => return image_of(path, &hdu, hdus.file_bytes, blank),
            None if image_elements(&hdu) == Some(true) => {
                return image_of(path, &hdu, hdus.file_bytes, blank);
            }
            _ => {}
        }
        seen.push(describe(&hdu));
        if image_elements(&hdu) == Some(false) {
            without_elements.get_or_insert(hdu);
        }
    }
    if let (None, Some(hdu)) = (&wanted, without_elements) {
        return image_of(path, &hdu, hdus.file_bytes, blank);
    }
    let message = match item {
        Some(item) => format!("no HDU '{item}'"),
        None => "no HDU with an image".to_owned(),
    };
    let more = seen.len().saturating_sub(20);
    seen.truncate(20);
    let tail = if more > 0 { format!(", and {more} more") } else { String::new() };
    Err(FormatError::new(ErrorKind::NotFound, message)
        .at_path(path)
        .help(format!("the file has {}{tail}", seen.join(", "))))
}

impl Format for Fits {
    fn name(&self) -> &'static str {
        "fits"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["fits", "fit", "fts"]
    }

    fn recognises(&self, _path: &Path, head: &[u8]) -> bool {
        const START: &[u8] = b"SIMPLE  =";
        if !head.starts_with(&gzip::MAGIC) {
            return head.starts_with(START);
        }
        let mut first = [0; START.len()];
        gzip::Lent::new().read(&head, None, &mut first, 0).is_ok() && first == *START
    }

    fn list(&self, path: &Path) -> Result<Vec<Item>> {
        let file = StoredFile::open(path)?;
        let mut hdus = Hdus::of(&file, path)?;
        let mut items = Vec::new();
        while let Some(hdu) = hdus.next()? {
            if image_elements(&hdu).is_some() {
                let source = image_of(path, &hdu, hdus.file_bytes, Blank::Nan)?;
                items.push(item_of(&hdu, &*source));
            }
        }
        Ok(items)
    }

    fn contents(&self, path: &Path) -> Result<Vec<Entry>> {
        let file = StoredFile::open(path)?;
        let mut hdus = Hdus::of(&file, path)?;
        let mut entries = Vec::new();
        while let Some(hdu) = hdus.next()? {
            let content = match hdu.kind() {
                Kind::Image | Kind::Compressed => {
                    match image_of(path, &hdu, hdus.file_bytes, Blank::Nan) {
                        Ok(source) => Content::Array(Box::new(item_of(&hdu, &*source))),
                        Err(error) => Content::Unreadable {
                            reason: error.to_string(),
                            dtype: None,
                            shape: None,
                        },
                    }
                }
                kind => Content::Other(what(kind).to_owned()),
            };
            entries.push(Entry { name: hdu.index.to_string(), title: hdu.name(), content });
        }
        Ok(entries)
    }

    fn open(&self, path: &Path, item: Option<&str>) -> Result<Arc<dyn ChunkSource>> {
        open(path, item, Blank::Nan)
    }

    fn open_masked(&self, path: &Path, item: Option<&str>) -> Result<Arc<dyn ChunkSource>> {
        open(path, item, Blank::Mask)
    }

    /// The cards of the HDU that `item` names, whatever it holds; without one those of the
    /// first image, and the primary header's where it has no card of that name.
    fn attributes(&self, path: &Path, item: Option<&str>) -> Result<Arc<Attributes>> {
        let file = StoredFile::open(path)?;
        let mut hdus = Hdus::of(&file, path)?;
        let wanted = item.map(Wanted::of);
        let mut primary = None;
        while let Some(hdu) = hdus.next()? {
            match &wanted {
                Some(wanted) if wanted.is(&hdu) => {
                    return Ok(Arc::new(cards_of(&hdu)));
                }
                None if image_elements(&hdu) == Some(true) => {
                    let mut cards = cards_of(&hdu);
                    for (card, value) in primary.unwrap_or_default() {
                        cards.entry(card).or_insert(value);
                    }
                    return Ok(Arc::new(cards));
                }
                None if hdu.index == 0 => primary = Some(cards_of(&hdu)),
                _ => {}
            }
        }
        match (item, primary) {
            (None, Some(cards)) => Ok(Arc::new(cards)),
            _ => Err(FormatError::new(ErrorKind::NotFound, "no such HDU").at_path(path)),
        }
    }

    fn writer(&self, path: &Path, options: &WriteOptions) -> Result<Arc<dyn Writer>> {
        options.check_plain(path)?;
        let mut writer = Fits::create(path);
        if let Some(chunks) = &options.chunks {
            writer = writer.chunks(chunks.iter().copied());
        }
        if options.overwrite {
            writer = writer.overwrite();
        }
        if options.resume {
            writer = writer.resume();
        }
        if options.durable {
            writer = writer.durable();
        }
        if let Some(codec) = &options.codec {
            writer = writer.named_codec(codec)?;
        }
        writer.check_resume()?;
        Ok(Arc::new(writer))
    }
}
