//! JPEG: grey and colour pictures of 8 bits, decoded whole.

use super::{
    BUFFER, PictureFile, check_same, corrupt, guarded, meta_of, no_item, not_written, reader,
};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    region::Region,
    source::{
        ChunkSource, FileCache, Fingerprint, Format, Item, Meta, ReadCost, ReadCx, SourceSpec,
        Storage, WriteOptions, Writer,
    },
    stored::{ReadAt, StoredFile, foreign_bytes},
    view::{ChunkMut, ChunkView},
};
use std::{io::BufReader, path::Path, sync::Arc};
use zune_core::{colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::{JpegDecoder, errors::DecodeErrors};

/// The most scans of a progressive picture; encoders make about ten.
const MAX_SCANS: usize = 64;
/// What the decoder may keep of a file's notes (EXIF, colour profiles), in bytes.
const NOTES: u64 = 16 << 20;

/// The format JPEG.
#[derive(Clone, Copy, Debug, Default)]
pub struct Jpeg;

impl Format for Jpeg {
    fn name(&self) -> &'static str {
        "jpeg"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["jpg", "jpeg"]
    }

    fn recognises(&self, _: &Path, head: &[u8]) -> bool {
        head.starts_with(b"\xff\xd8\xff")
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

    fn is_written(&self) -> bool {
        false
    }

    fn writer(&self, path: &Path, options: &WriteOptions) -> Result<Arc<dyn Writer>> {
        not_written(path, "JPEG", options)
    }
}

/// A JPEG file, open for reading.
#[derive(Debug)]
struct Picture {
    file: PictureFile,
    meta: Meta,
    /// Bytes of its notes.
    notes: u64,
}

type Decoder = JpegDecoder<BufReader<super::Cursor>>;

fn translate(error: DecodeErrors) -> FormatError {
    match error {
        DecodeErrors::IoErrors(zune_core::bytestream::ZByteIoError::StdIoError(error))
            if error.kind() != std::io::ErrorKind::UnexpectedEof =>
        {
            FormatError::io(error)
        }
        other => corrupt(other.to_string()),
    }
}

/// Bytes of the segments before the first scan, where notes lie: the decoder keeps what it
/// reads of them.
fn notes(file: &StoredFile, bytes: u64) -> u64 {
    let mut at = 2;
    loop {
        let mut head = [0; 4];
        // SOS begins the scan; what is no marker is the decoder's to refuse.
        if file.read_exact_at(&mut head, at).is_err() || head[0] != 0xff || head[1] == 0xda {
            return at.min(bytes);
        }
        at += match head[1] {
            0xff => 1,
            _ => 2 + u64::from(u16::from_be_bytes([head[2], head[3]])),
        };
    }
}

/// The decoder with its header read, and what it will give.
fn begin(file: Arc<StoredFile>) -> Result<(Decoder, Meta)> {
    let most = usize::from(u16::MAX);
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(most)
        .set_max_height(most)
        .jpeg_set_max_scans(MAX_SCANS);
    let mut decoder = JpegDecoder::new_with_options(reader(file), options);
    decoder.decode_headers().map_err(translate)?;
    let info = decoder.info().ok_or_else(|| corrupt("there is no header"))?;
    let (channels, space) = match info.components {
        1 => (1, ColorSpace::Luma),
        3 => (3, ColorSpace::RGB),
        n => {
            let message = format!("pictures of {n} components (CMYK) are not supported");
            return Err(FormatError::new(ErrorKind::Unsupported, message)
                .help("convert it to RGB or grey first"));
        }
    };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let meta = meta_of(DType::U8, info.height.into(), info.width.into(), channels)?;
    Ok((decoder, meta))
}

impl Picture {
    fn open(path: &Path) -> Result<Picture> {
        guarded(path, || {
            let (opened, file) = PictureFile::new(path)?;
            let notes = notes(&file, opened.bytes);
            if notes > NOTES {
                let message = format!("{notes} bytes of notes before the picture");
                return Err(FormatError::new(ErrorKind::Limit, message));
            }
            let (_, meta) = begin(file)?;
            Ok(Picture { file: opened, meta, notes })
        })
    }

    /// The most that the decoder allocates, in bytes: of a progressive picture all coefficients,
    /// 2 bytes each, its sides rounded up to the largest blocks there are (4 × 4 of 8 pixels);
    /// for each of its scan lines some rows of blocks; and the notes.
    fn decoder(&self) -> u64 {
        let shape = self.meta.shape();
        let channels = shape.get(2).copied().unwrap_or(1);
        let (height, width) = (shape[0].next_multiple_of(32), shape[1].next_multiple_of(32));
        2 * channels * height * width
            + 512 * channels * width
            + 2 * self.notes
            + BUFFER as u64
            + (192 << 10)
    }
}

impl ChunkSource for Picture {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The scratch holds the picture; the rest of it is what the decoder allocates.
    fn cost(&self, region: &Region) -> ReadCost {
        if region.is_empty() {
            return ReadCost::default();
        }
        let decoded = self.meta.bytes().unwrap_or(u64::MAX);
        let scratch =
            decoded.next_multiple_of(64) + self.decoder() + foreign_bytes(&self.file.path);
        ReadCost { bytes: self.file.bytes, decoded, scratch }
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        guarded(&self.file.path, || {
            cx.cancel.check()?;
            cx.check_size("the picture", self.cost(region).scratch)?;
            let file = self.file.open(cx.files)?;
            if notes(&file, self.file.bytes) > self.notes {
                let message = "the picture changed since it was opened";
                return Err(FormatError::new(ErrorKind::Changed, message));
            }
            let (mut decoder, now) = begin(file)?;
            check_same(&now, &self.meta)?;
            let shape = self.meta.shape();
            let (landing, _) = cx.split_scratch(shape.iter().product::<u64>() as usize);
            decoder.decode_into(landing).map_err(translate)?;
            out.assign(&ChunkView::new(DType::U8, landing, &shape).sub(region));
            Ok(())
        })
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(self.file.fingerprint())
    }

    fn version(&self, _: &Region, files: &FileCache) -> Result<Option<Fingerprint>> {
        self.file.version(files)
    }

    fn spec(&self) -> SourceSpec {
        self.file.spec(&Jpeg)
    }

    fn storage(&self) -> Storage {
        self.file.storage("JPEG", "DCT")
    }
}
