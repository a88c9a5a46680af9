//! Pictures: PNG, JPEG and TIFF files, and PNG files to look at.
//!
//! A grey picture is an array (y, x), one with colours (y, x, channel), a TIFF file of several
//! pages (page, y, x) or (page, y, x, channel). Row 0 is the upper edge, as the files have
//! it. PNG and JPEG are decoded by the crates `png` and `zune-jpeg`, from the top, a picture at a
//! time: a part of one costs all that lies above it. What they allocate follows from what a
//! picture's header tells; it is checked before, counted in the cost, and limited.
//!
//! | file | owns |
//! |---|---|
//! | `png`, `jpeg` | pictures that are decoded from the top |
//! | `tiff` | pages of strips or tiles, each decoded by itself |
//! | `write` | the sink of PNG files, in strips of rows |

mod jpeg;
mod png;
#[cfg(test)]
mod tests;
mod tiff;
mod write;

pub use jpeg::Jpeg;
pub use png::Png;
pub use tiff::Tiff;
pub use write::PngWriter;

use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    files::{FileCache, Stamp},
    grid::Grid,
    region::checked_volume,
    source::{Fingerprint, Format, Meta, SourceSpec, Storage, WriteOptions, Writer},
    stored::{ReadAt, StoredFile},
};
use std::{
    io::{self, BufReader, Read, Seek, SeekFrom},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The largest picture that is opened, in bytes of elements: headers claim anything.
const LARGEST: u64 = 1 << 36;

/// Bytes of the file that a decoder is handed at a time.
const BUFFER: usize = 64 << 10;

/// A file read from a place of its own: one open file serves several readers at once.
#[derive(Debug)]
struct Cursor {
    file: Arc<StoredFile>,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buf, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.size()?.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// A buffered reader from the file's start.
fn reader(file: Arc<StoredFile>) -> BufReader<Cursor> {
    BufReader::with_capacity(BUFFER, Cursor { file, at: 0 })
}

/// The file of a picture that is decoded as a whole.
#[derive(Debug)]
struct PictureFile {
    path: PathBuf,
    stamp: Stamp,
    /// Bytes that it has.
    bytes: u64,
}

impl PictureFile {
    /// Opens it for the first time.
    fn new(path: &Path) -> Result<(PictureFile, Arc<StoredFile>)> {
        let (file, stamp, bytes) = open_file(path)?;
        Ok((PictureFile { path: path.to_owned(), stamp, bytes }, file))
    }

    /// Opens it again, if it is what it was.
    fn open(&self, files: &FileCache) -> Result<Arc<StoredFile>> {
        files.open_unchanged(&self.path, self.stamp)
    }

    fn version(&self, files: &FileCache) -> Result<Option<Fingerprint>> {
        files.version(&self.path, self.stamp)
    }

    fn fingerprint(&self) -> Fingerprint {
        self.stamp.fingerprint(&self.path)
    }

    fn spec(&self, format: &dyn Format) -> SourceSpec {
        let (format, location) = (format.name().to_owned(), self.path.display().to_string());
        SourceSpec { format, location, ..SourceSpec::default() }
    }

    fn storage(&self, format: &str, codec: &str) -> Storage {
        let (format, codec) = (format.to_owned(), codec.to_owned());
        Storage { format, codec, files: 1, bytes: Some(self.bytes) }
    }
}

/// A file, by what it is known, and its bytes.
fn open_file(path: &Path) -> Result<(Arc<StoredFile>, Stamp, u64)> {
    let at = |e: io::Error| FormatError::io(e).at_path(path);
    let file = StoredFile::open(path)?;
    let (stamp, bytes) = (Stamp::of(&file).map_err(at)?, file.size().map_err(at)?);
    Ok((Arc::new(file), stamp, bytes))
}

fn corrupt(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Corrupt, message)
}

/// Calls a decoder of others: a panic of it becomes an error.
fn guarded<T>(path: &Path, call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(corrupt("the picture cannot be made sense of")))
        .map_err(|e| e.at_path(path))
}

/// A picture of `channels` values a pixel, in one chunk.
fn meta_of(dtype: DType, height: u64, width: u64, channels: u64) -> Result<Meta> {
    let shape = [height, width, channels];
    let shape = if channels == 1 { &shape[..2] } else { &shape[..] };
    match checked_volume(shape).and_then(|n| n.checked_mul(dtype.size() as u64)) {
        Some(1..=LARGEST) => {}
        Some(0) => return Err(corrupt("a picture without pixels")),
        _ => return Err(corrupt(format!("a picture of {width} × {height} pixels is too large"))),
    }
    let mut meta = Meta::new(dtype, Grid::whole(shape));
    for (axis, name) in ["y", "x", "channel"].into_iter().take(shape.len()).enumerate() {
        meta.axes[axis] = name.to_owned();
    }
    Ok(meta)
}

/// An error if the picture is not the one that was opened.
fn check_same(now: &Meta, opened: &Meta) -> Result<()> {
    match (now.dtype, now.shape()) == (opened.dtype, opened.shape()) {
        true => Ok(()),
        false => {
            let message = "the picture changed since it was opened";
            Err(FormatError::new(ErrorKind::Changed, message))
        }
    }
}

/// Refuses a name behind `::`: these files are one picture.
fn no_item(path: &Path, item: Option<&str>) -> Result<()> {
    match item.filter(|item| !item.is_empty()) {
        None => Ok(()),
        Some(item) => {
            let message = format!("there is no {item:?} in it: the file is one picture");
            Err(FormatError::new(ErrorKind::NotFound, message).at_path(path))
        }
    }
}

/// For formats that are read only.
fn not_written(path: &Path, title: &str, _: &WriteOptions) -> Result<Arc<dyn Writer>> {
    let message = format!("{title} files are read, not written");
    Err(FormatError::new(ErrorKind::Unsupported, message)
        .at_path(path)
        .help("write .png to look at, or .fits, .zarr, .h5 or .npy to keep"))
}
