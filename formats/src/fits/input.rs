//! Where an image lies, and how its bytes are got: by positioned reads, or out of a gzip stream.

use super::{
    convert::{Convert, Undefined},
    gzip::{Lent, MAGIC, Marks},
    header::Hdu,
    place,
};
use crate::{
    error::{ErrorKind, FormatError, Result},
    files::{FileCache, Stamp},
    missing::Blank,
    source::{Fingerprint, ReadCost, SourceSpec},
    stored::{ReadAt, StoredFile, foreign_bytes},
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The place of one image.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) path: PathBuf,
    pub(super) hdu: usize,
    hash: u128,
    stamp: Stamp,
    zipped: Option<Zipped>,
}

/// What is known of a gzipped file.
#[derive(Debug)]
struct Zipped {
    /// Bytes of the file as it is.
    len: u64,
    /// Where the image ends, in inflated bytes.
    end: u64,
    marks: Marks,
}

impl Origin {
    /// The place of the image of `hdu`.
    pub(super) fn new(path: &Path, hdu: &Hdu) -> Origin {
        let zipped = hdu.zipped.map(|len| {
            let end = hdu.data_start.saturating_add(hdu.data_bytes);
            Zipped { len, end, marks: Marks::new(end, super::ZIPPED_CHUNK) }
        });
        Origin { path: path.to_owned(), hdu: hdu.index, hash: hdu.hash, stamp: hdu.stamp, zipped }
    }

    /// Bytes of memory that it takes, nearly.
    pub(super) fn held(&self) -> u64 {
        let marks = self.zipped.as_ref().map_or(0, |zipped| zipped.marks.held(zipped.end));
        (size_of::<Origin>() + self.path.as_os_str().len()) as u64 + marks
    }

    /// The file, open.
    pub(super) fn open(&self, files: &FileCache) -> Result<Arc<StoredFile>> {
        files.open_unchanged(&self.path, self.stamp)
    }

    /// The version of whatever is read from it.
    pub(super) fn version(&self, files: &FileCache) -> Result<Option<Fingerprint>> {
        files.version(&self.path, self.stamp)
    }

    pub(super) fn is_zipped(&self) -> bool {
        self.zipped.is_some()
    }

    /// The bytes of the open file.
    pub(super) fn input<'a>(&'a self, file: &'a StoredFile) -> Input<'a> {
        match &self.zipped {
            None => Input::Plain(file),
            Some(zipped) => Input::Zipped(file, Lent::new(), Some(&zipped.marks)),
        }
    }

    /// The cost of a read that takes the bytes from `start` to `end`; the same for a plain file.
    /// `stretch` is how many bytes of elements a byte of the file makes.
    pub(super) fn cost(&self, cost: ReadCost, start: u64, end: u64, stretch: f64) -> ReadCost {
        let scratch = cost.scratch + foreign_bytes(&self.path);
        let Some(zipped) = &self.zipped else { return ReadCost { scratch, ..cost } };
        let inflated = zipped.marks.inflated(start, end.min(zipped.end));
        let share = inflated as f64 / zipped.end.max(1) as f64;
        ReadCost {
            bytes: (zipped.len as f64 * share) as u64,
            decoded: cost.decoded.max((inflated as f64 * stretch) as u64),
            scratch,
        }
    }

    /// The bytes on disk of an image that takes `bytes`, and the codec's name with gzip.
    pub(super) fn storage(&self, codec: &str, bytes: u64) -> (String, u64) {
        match &self.zipped {
            None => (codec.to_owned(), bytes),
            Some(zipped) if codec.is_empty() => ("gzip".to_owned(), zipped.len),
            Some(zipped) => (format!("{codec}, gzip"), zipped.len),
        }
    }

    /// An error in this image.
    pub(super) fn at(&self, error: FormatError) -> FormatError {
        error.at(place(&self.path, self.hdu))
    }

    /// Changes with the file, with the header and with what is made of undefined elements.
    pub(super) fn fingerprint(&self, convert: &Convert) -> Fingerprint {
        let own = self.stamp.fingerprint(&self.path).and(Fingerprint(self.hash));
        match convert.undefined {
            Undefined::Nan => own,
            Undefined::Zero => own.and(Fingerprint::of(b"masked")),
            Undefined::True => own.and(Fingerprint::of(b"mask")),
        }
    }

    /// How to open it again; of a mask nothing, as only this process knows one by itself.
    pub(super) fn spec(&self, convert: &Convert) -> SourceSpec {
        let (format, location) = ("fits".into(), place(&self.path, self.hdu));
        let spec = SourceSpec { format, location, ..SourceSpec::default() };
        match convert.undefined {
            Undefined::Nan => spec,
            Undefined::Zero => {
                let masked = (Blank::OPTION.to_owned(), Blank::Mask.to_string());
                SourceSpec { options: [masked].into(), ..spec }
            }
            Undefined::True => SourceSpec::default(),
        }
    }
}

/// The bytes of a FITS file, wherever they come from; offsets count those of the FITS file.
pub(super) enum Input<'a> {
    /// A file as it is.
    Plain(&'a StoredFile),
    /// A gzipped file, which is best read forwards.
    Zipped(&'a StoredFile, Lent, Option<&'a Marks>),
}

impl<'a> Input<'a> {
    /// The bytes of a file of which nothing is known yet; `true` if it is gzipped.
    pub(super) fn of(file: &'a StoredFile) -> io::Result<(Input<'a>, bool)> {
        let mut magic = [0; MAGIC.len()];
        let zipped = file.read_at(&mut magic, 0)? == magic.len() && magic == MAGIC;
        Ok((
            if zipped { Input::Zipped(file, Lent::new(), None) } else { Input::Plain(file) },
            zipped,
        ))
    }

    /// Fills `buffer` from the byte `at` on, or tells that the file ends before (`false`).
    pub(super) fn try_read(&mut self, buffer: &mut [u8], at: u64) -> Result<bool> {
        match self {
            Input::Plain(file) => match file.read_exact_at(buffer, at) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
                Err(error) => Err(error.into()),
            },
            Input::Zipped(file, stream, marks) => {
                Ok(stream.read(*file, *marks, buffer, at)? == buffer.len())
            }
        }
    }

    /// Fills `buffer` from the byte `at` on, where there was as much when it was opened.
    pub(super) fn read(&mut self, buffer: &mut [u8], at: u64) -> Result<()> {
        if self.try_read(buffer, at)? {
            return Ok(());
        }
        Err(match self {
            Input::Plain(_) => {
                FormatError::new(ErrorKind::Changed, "the file is shorter than when it was opened")
            }
            // How long a gzipped file is shows when it is inflated.
            Input::Zipped(..) => FormatError::new(
                ErrorKind::Corrupt,
                format!(
                    "truncated: the inflated file ends before byte {}",
                    at + buffer.len() as u64
                ),
            ),
        })
    }
}
