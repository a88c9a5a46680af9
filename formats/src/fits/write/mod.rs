//! Writing: one array as a plain primary image, as a tile-compressed image, or as many files.
//!
//! | file | owns |
//! |---|---|
//! | `image` | a plain primary image |
//! | `tiles`, `rice`, `quantise` | what a tile-compressed image is like, and its tiles as bytes |
//! | `heap` | a tile-compressed image being written |
//! | `cards` | headers |
//! | `checksum` | DATASUM and CHECKSUM, which every HDU that is written has |

mod cards;
mod checksum;
mod heap;
mod image;
mod quantise;
pub(super) mod rice;
#[cfg(test)]
mod tests;
mod tiles;

use crate::{
    each::{FrameWriter, Names},
    error::{ErrorKind, FormatError, Result},
    fits::Dither,
    grid::Grid,
    journal::{ChunkSet, Journal, Noted},
    region::Dims,
    source::{ChunkSink, Meta, ReadCx, Writer, Written},
    staging::{Mode, Staging},
    view::ChunkView,
};
use quantise::Quantisation;
use serde_json::Value;
use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};
use tiles::Codec;

/// The level of deflate where none is named: libdeflate's fastest with good matches.
const LEVEL: u32 = 4;

/// Writes a FITS file with one image, or a folder of such files.
///
/// Without a codec it is a primary image, with one an extension behind an empty primary HDU.
/// Unsigned integers and `int8` are written by the BZERO convention, `bool` as 0 and 1 of
/// 8 bits (noted in the card `NPDTYPE`), an array without axes as one element (`NPNDIM`).
/// Attributes that can be cards are written as such.
///
/// A file name with fields, `out/{i:04d}.fits`, stands for one file for each position along the
/// leading axes, one axis a field, counted from 0; the folder appears when all are there.
#[derive(Clone, Debug)]
pub struct FitsWriter {
    path: PathBuf,
    chunks: Option<Vec<u64>>,
    mode: Mode,
    codec: Option<Codec>,
    cards: Vec<(String, Value)>,
}

impl FitsWriter {
    pub(super) fn new(path: &Path) -> FitsWriter {
        FitsWriter {
            path: path.to_owned(),
            chunks: None,
            mode: Mode::default(),
            codec: None,
            cards: Vec::new(),
        }
    }

    /// The boxes that are written at a time, one length an axis (0: the whole axis); by
    /// default the array's own chunks, or, of a plain file in which these are but short runs, longer
    /// ones. A plain file is the same for all; a tile lies in one.
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

    /// Goes on with what an earlier store of the same left unfinished, if there is any. Plain
    /// images can do that; others are refused before the output is created.
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

    /// Refuses to go on with outputs that have no journal.
    pub(super) fn check_resume(&self) -> Result<()> {
        let what = match (self.mode.resume, self.codec, Names::of(&self.path)?) {
            (false, ..) | (true, None, None) => return Ok(()),
            (true, Some(_), _) => "compressed images",
            (true, None, Some(_)) => "many files",
        };
        Err(FormatError::new(ErrorKind::Unsupported, format!("stores of {what} cannot resume"))
            .at_path(&self.path)
            .help("leave out --resume (`resume`), or write a plain image or Zarr"))
    }

    /// Compresses tiles by RICE_1, which takes integers of up to 32 bits and loses nothing.
    /// Floats are refused before the output is created; see [`FitsWriter::quantised`].
    #[must_use]
    pub fn rice(mut self) -> FitsWriter {
        self.codec = Some(Codec::Rice);
        self
    }

    /// Compresses floats by RICE_1 **with a loss**: each tile's values are rounded to steps of a
    /// fraction `1 / level` of its noise, as fpack's option `-q level` does; 4 loses next to
    /// nothing that is not noise, 16 less. A negative `level` is minus the step itself. What is
    /// read differs by half a step at the most; NaN stays, and tiles that cannot be told so
    /// (without noise, or with infinities) are stored without loss. Other dtypes, and a
    /// level of 0, are refused before the output is created.
    #[must_use]
    pub fn quantised(mut self, level: f64, dither: Dither) -> FitsWriter {
        self.codec = Some(Codec::Quantised(Quantisation { level, dither }));
        self
    }

    /// Compresses tiles by GZIP_2, which takes every dtype and loses nothing; `level` is that of
    /// deflate, 0 to 12 (another is refused before the output is created).
    #[must_use]
    pub fn gzip(mut self, level: u32) -> FitsWriter {
        self.codec = Some(Codec::Gzip { level: i32::try_from(level).unwrap_or(i32::MAX) });
        self
    }

    /// Adds a card; it goes before an attribute of that name.
    #[must_use]
    pub fn card(mut self, name: impl Into<String>, value: impl Into<Value>) -> FitsWriter {
        self.cards.push((name.into(), value.into()));
        self
    }

    /// The codec as a user writes it: `none`, `rice`, `gzip`, `gzip:6`, or for floats `rice:4`,
    /// the level of quantisation, and `rice:4:2`, with the kind of dithering.
    pub(super) fn named_codec(self, codec: &str) -> Result<FitsWriter> {
        let (name, level) = codec.split_once(':').map_or((codec, None), |(n, l)| (n, Some(l)));
        let quantisation = level.and_then(|said| {
            let (level, dither) = said.split_once(':').unwrap_or((said, "1"));
            let dither = match dither {
                "none" => Dither::None,
                "1" => Dither::Subtractive,
                "2" => Dither::KeepingZeros,
                _ => return None,
            };
            Some((level.parse().ok()?, dither))
        });
        if let ("rice", Some((level, dither))) = (name, quantisation) {
            return Ok(self.quantised(level, dither));
        }
        match (name, level.map(str::parse)) {
            ("none", None) => Ok(FitsWriter { codec: None, ..self }),
            ("rice", None) => Ok(self.rice()),
            ("gzip", None) => Ok(self.gzip(LEVEL)),
            ("gzip", Some(Ok(level))) => Ok(self.gzip(level)),
            _ => Err(FormatError::new(
                ErrorKind::Unsupported,
                format!("FITS images are not compressed by '{codec}'"),
            )
            .at_path(&self.path)
            .help(
                "known are none, rice, gzip and gzip:LEVEL with a level of 0 to 12, and for floats, \
                 with a loss, rice:LEVEL and rice:LEVEL:DITHER with none, 1 or 2",
            )),
        }
    }
}

impl FitsWriter {
    /// The file, or each of the files, for an array like `meta`, which is cut for the output.
    /// Where there is nothing to compress it is plain.
    fn layout(&self, meta: &Meta) -> Result<Layout> {
        let frame = Names::of(&self.path)?.map(|names| names.frame(meta)).transpose()?;
        let meta = frame.as_ref().unwrap_or(meta);
        match self.codec {
            Some(codec) if !meta.shape().is_empty() && !meta.shape().contains(&0) => {
                tiles::Layout::new(meta, codec, &self.cards).map(Layout::Tiled)
            }
            _ => image::Layout::new(meta, &self.cards).map(Layout::Plain),
        }
    }
}

impl Writer for FitsWriter {
    fn grid(&self, meta: &Meta) -> Result<Grid> {
        let at = |e: FormatError| e.at_path(&self.path);
        if let Some(names) = Names::of(&self.path)? {
            return names.grid(meta, self.chunks.as_deref()).map_err(at);
        }
        let grid = match &self.chunks {
            None if self.codec.is_none() => meta.grid.in_runs(meta.dtype.size()),
            None => meta.grid.clone(),
            Some(chunks) if chunks.len() == meta.grid.rank() => {
                Grid::regular(&meta.shape(), chunks)
            }
            Some(chunks) => {
                return Err(at(FormatError::new(
                    ErrorKind::Invalid,
                    format!("chunks of {} axes for an array of {}", chunks.len(), meta.grid.rank()),
                )));
            }
        };
        Ok(if self.codec.is_some() { tiles::chunks(&grid) } else { grid })
    }

    fn scratch(&self, meta: &Meta) -> Result<u64> {
        self.layout(meta).map(|layout| layout.scratch()).map_err(|e| e.at_path(&self.path))
    }

    fn create(&self, meta: &Meta) -> Result<Arc<dyn ChunkSink>> {
        let at = |e: FormatError| e.at_path(&self.path);
        self.check_resume()?;
        let layout = self.layout(meta).map_err(at)?;
        if let Some(names) = Names::of(&self.path)? {
            return names.create(self.mode, meta, Box::new(layout)).map_err(at);
        }
        let staging = match &layout {
            Layout::Plain(plain) => {
                Staging::create(&self.path, self.mode)?.journalled(plain.describe())?
            }
            Layout::Tiled(_) => Staging::create(&self.path, self.mode)?,
        };
        let file = staging.file(layout.bytes())?;
        Ok(Arc::new(FitsSink {
            path: self.path.clone(),
            meta: meta.clone(),
            scratch: layout.scratch(),
            output: layout.create(file).map_err(at)?,
            written: ChunkSet::new(meta.grid.len()),
            staging,
        }))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// What a file will be like.
#[derive(Clone, Debug)]
enum Layout {
    Plain(image::Layout),
    Tiled(tiles::Layout),
}

impl Layout {
    /// Bytes of scratch that writing a chunk takes.
    fn scratch(&self) -> u64 {
        match self {
            Layout::Plain(layout) => layout.scratch(),
            Layout::Tiled(layout) => layout.scratch(),
        }
    }

    /// The bytes that the file has from the start.
    fn bytes(&self) -> u64 {
        match self {
            Layout::Plain(layout) => layout.end,
            Layout::Tiled(layout) => layout.heap_start(),
        }
    }

    /// Begins with a file of so many bytes, which can be read too.
    fn create(&self, file: File) -> Result<Box<dyn Output>> {
        Ok(match self {
            Layout::Plain(layout) => Box::new(layout.create(file)),
            Layout::Tiled(layout) => Box::new(heap::Image::new(layout, file)),
        })
    }
}

impl FrameWriter for Layout {
    fn scratch(&self) -> u64 {
        Layout::scratch(self)
    }

    fn write(&self, file: File, frame: ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<u64> {
        file.set_len(self.bytes())?;
        let output = self.create(file)?;
        let noted = output.write(&Dims::from_elem(0, frame.shape().len()), frame, cx)?;
        output.finish()?;
        Ok(noted.len)
    }
}

/// One file being filled, under whatever name. Errors do not name it.
trait Output: fmt::Debug + Send + Sync {
    /// As [`ChunkSink::write`]; what a journal notes of it.
    fn write(&self, index: &[u64], data: ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<Noted>;

    /// As [`ChunkSink::is_intact`].
    fn is_intact(&self, _noted: &Noted, _cx: &mut ReadCx<'_>) -> Result<bool> {
        Ok(false)
    }

    /// Writes what is known when all chunks are there.
    fn finish(&self) -> Result<()>;
}

/// A FITS file being written.
#[derive(Debug)]
struct FitsSink {
    path: PathBuf,
    meta: Meta,
    scratch: u64,
    output: Box<dyn Output>,
    written: ChunkSet,
    staging: Staging,
}

impl ChunkSink for FitsSink {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn scratch(&self) -> u64 {
        self.scratch
    }

    fn write(&self, index: &[u64], data: ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<Written> {
        let noted = self.output.write(index, data, cx).map_err(|e| e.at_path(&self.path))?;
        self.staging.note(noted)?;
        self.written.insert(self.meta.grid.linear_of(index));
        Ok(Written { bytes: noted.len })
    }

    fn journal(&self) -> Option<&Journal> {
        self.staging.journal()
    }

    fn is_intact(&self, noted: &Noted, cx: &mut ReadCx<'_>) -> Result<bool> {
        let whole = self.output.is_intact(noted, cx).map_err(|e| e.at_path(&self.path))?;
        if whole {
            self.written.insert(noted.chunk);
        }
        Ok(whole)
    }

    fn seal(&self) -> Result<()> {
        let whole = self.written.check_whole(&self.meta.grid);
        whole.and_then(|()| self.output.finish()).map_err(|e| e.at_path(&self.path))?;
        self.staging.sync()
    }

    fn publish(&self) -> Result<()> {
        self.staging.publish()
    }
}
