//! PNG: pictures of 8 or 16 bits, decoded row by row from the top.
//!
//! Palettes become colours, 1 to 4 bits become 8, and a transparent colour a channel alpha. Of
//! an animation it is the first picture.

use super::{
    BUFFER, PictureFile, check_same, corrupt, guarded, meta_of, no_item, reader, write::PngWriter,
};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    region::Region,
    source::{
        ChunkSource, FileCache, Fingerprint, Format, Item, Meta, ReadCost, ReadCx, SourceSpec,
        Storage, WriteOptions, Writer,
    },
    stored::{StoredFile, foreign_bytes},
    view::{ChunkMut, ChunkView},
};
use png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Reader, Transformations};
use std::{
    io::BufReader,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a PNG file begins with.
const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";
/// What the decoder may keep of a file's notes, in bytes.
const NOTES: u64 = 1 << 20;
/// What the decoder holds beside rows: a window of deflate, its tables, and the file's buffer.
const FIXED: u64 = BUFFER as u64 + (448 << 10);
/// Rows that the decoder holds: four that are being decoded, twice that as the buffer grows, the
/// one above, and one as it is handed out.
const ROWS: u64 = 14;

/// The format PNG.
#[derive(Clone, Copy, Debug, Default)]
pub struct Png;

impl Png {
    /// A builder of a picture at `path`, of an array (y, x) or (y, x, channel).
    pub fn create(path: impl Into<PathBuf>) -> PngWriter {
        PngWriter::new(path.into())
    }
}

impl Format for Png {
    fn name(&self) -> &'static str {
        "png"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["png"]
    }

    fn recognises(&self, _: &Path, head: &[u8]) -> bool {
        head.starts_with(MAGIC)
    }

    fn list(&self, path: &Path) -> Result<Vec<Item>> {
        let picture = Picture::open(path)?;
        let storage = picture.storage();
        Ok(vec![Item { name: String::new(), meta: picture.meta, storage }])
    }

    fn open(&self, path: &Path, item: Option<&str>) -> Result<Arc<dyn ChunkSource>> {
        no_item(path, item)?;
        Ok(Arc::new(Picture::open(path)?))
    }

    fn writer(&self, path: &Path, options: &WriteOptions) -> Result<Arc<dyn Writer>> {
        Ok(Arc::new(Png::create(path).options(options)?))
    }
}

fn translate(error: DecodingError) -> FormatError {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            corrupt("the file ends before the picture does")
        }
        DecodingError::IoError(error) => FormatError::io(error),
        DecodingError::LimitsExceeded => {
            FormatError::new(ErrorKind::Limit, "the decoder would allocate too much")
        }
        other => corrupt(other.to_string()),
    }
}

/// A PNG file, open for reading.
#[derive(Debug)]
struct Picture {
    file: PictureFile,
    meta: Meta,
    interlaced: bool,
}

type Rows = Reader<BufReader<super::Cursor>>;

/// The decoder with its header read, and what it will give.
fn begin(file: Arc<StoredFile>) -> Result<(Rows, Meta)> {
    let mut decoder = Decoder::new(reader(file));
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let info = decoder.read_header_info().map_err(translate)?;
    let (height, width) = (info.height.into(), info.width.into());
    // No pixel takes more than 8 bytes.
    let bytes = usize::try_from(NOTES + 8 * u64::from(info.width)).unwrap_or(usize::MAX);
    decoder.set_limits(Limits { bytes });
    let reader = decoder.read_info().map_err(translate)?;
    let (info, (color, depth)) = (reader.info(), reader.output_color_type());
    // The decoder takes a palette as it is, and panics where its last colour is not whole.
    let palette = info.palette.as_ref().map_or(0, |palette| palette.len());
    if info.color_type == ColorType::Indexed && palette % 3 != 0 {
        return Err(corrupt(format!("a palette of {palette} bytes, and colours of 3")));
    }
    let channels = match color {
        ColorType::Grayscale => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb | ColorType::Indexed => 3,
        ColorType::Rgba => 4,
    };
    let dtype = if depth == BitDepth::Sixteen { DType::U16 } else { DType::U8 };
    let meta = meta_of(dtype, height, width, channels)?;
    Ok((reader, meta))
}

impl Picture {
    fn open(path: &Path) -> Result<Picture> {
        guarded(path, || {
            let (opened, file) = PictureFile::new(path)?;
            let (reader, meta) = begin(file)?;
            let interlaced = reader.info().interlaced;
            Ok(Picture { file: opened, meta, interlaced })
        })
    }

    /// Bytes of a row.
    fn stride(&self) -> u64 {
        self.meta.shape()[1..].iter().product::<u64>() * self.meta.dtype.size() as u64
    }

    /// Bytes of scratch that elements take: a row, or, where rows lie interlaced, the picture.
    fn landing(&self) -> u64 {
        let rows = if self.interlaced { self.meta.shape()[0] } else { 1 };
        rows * self.stride()
    }

    fn decode(&self, region: &Region, out: &mut ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        let (mut decoder, now) = begin(self.file.open(cx.files)?)?;
        check_same(&now, &self.meta)?;
        let (dtype, shape) = (self.meta.dtype, self.meta.shape());
        let (height, stride) = (shape[0], self.stride() as usize);
        let mut row_shape = shape;
        row_shape[0] = 1;
        let mut from = region.clone();
        (from.start[0], from.shape[0]) = (0, 1);
        let mut to = Region::whole(&from.shape);
        let mut put = |y: u64, bytes: &mut [u8]| {
            to_native(bytes, dtype);
            to.start[0] = y - region.start[0];
            out.sub(&to).assign(&ChunkView::new(dtype, bytes, &row_shape).sub(&from));
        };
        let (landing, cx) = cx.split_scratch(self.landing() as usize);
        if self.interlaced {
            decoder.next_frame(landing).map_err(translate)?;
            for y in region.range(0) {
                put(y, &mut landing[y as usize * stride..][..stride]);
            }
            return Ok(());
        }
        for y in 0..region.range(0).end.min(height) {
            if y % 64 == 0 {
                cx.cancel.check()?;
            }
            let row = decoder.read_row(landing).map_err(translate)?;
            if row.is_none() {
                return Err(corrupt(format!("the picture ends after {y} of {height} rows")));
            }
            if y >= region.start[0] {
                put(y, landing);
            }
        }
        Ok(())
    }
}

/// PNG's 16 bits have the high byte first.
fn to_native(bytes: &mut [u8], dtype: DType) {
    if dtype == DType::U16 {
        let pairs = bytes.as_chunks_mut::<2>().0;
        pairs.iter_mut().for_each(|pair| *pair = u16::from_be_bytes(*pair).to_ne_bytes());
    }
}

impl ChunkSource for Picture {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    /// All that lies above is decoded too. Of the scratch only [`Picture::landing`] is used here;
    /// the rest is what the decoder allocates.
    fn cost(&self, region: &Region) -> ReadCost {
        if region.is_empty() {
            return ReadCost::default();
        }
        let whole = self.meta.bytes().unwrap_or(u64::MAX);
        let decoded = if self.interlaced { whole } else { region.range(0).end * self.stride() };
        let bytes = (u128::from(self.file.bytes) * u128::from(decoded) / u128::from(whole)) as u64;
        let decoder = ROWS * self.stride() + NOTES + FIXED + foreign_bytes(&self.file.path);
        ReadCost { bytes, decoded, scratch: self.landing().next_multiple_of(64) + decoder }
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        guarded(&self.file.path, || {
            cx.cancel.check()?;
            cx.check_size("the picture's rows", self.cost(region).scratch)?;
            self.decode(region, &mut out, cx)
        })
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(self.file.fingerprint())
    }

    fn version(&self, _: &Region, files: &FileCache) -> Result<Option<Fingerprint>> {
        self.file.version(files)
    }

    fn spec(&self) -> SourceSpec {
        self.file.spec(&Png)
    }

    fn storage(&self) -> Storage {
        self.file.storage("PNG", "deflate")
    }
}
