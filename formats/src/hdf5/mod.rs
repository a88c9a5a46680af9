//! HDF5: data sets of numbers, read and written without the C library.
//!
//! [`Hdf5`] opens a data set by its path in the file (`file`, `links`): its metadata and its
//! chunk index are read once (`header`, `shared`, `index`, `number`, `chunks`, `attributes`), then raw chunks
//! are fetched by positioned reads and decoded on the calling thread (`filter`, `source`);
//! no lock is held while bytes are decoded, and the C library's global lock is nowhere on the
//! way. [`Hdf5Writer`] names an output (`sink`, `output`), which may lie beside others in a file (`update`).
//!
//! | | read | written |
//! |---|---|---|
//! | layouts | contiguous, compact, chunked (all six kinds of index), external files, virtual data sets | chunked; contiguous without axes or elements |
//! | beside the elements | attributes, names of axes, fill value | the same; dimension scales, with coordinates where they are given |
//! | filters | deflate, shuffle, Fletcher-32, n-bit, scale-offset, LZF, LZ4, zstd, blosc, bitshuffle | shuffle + deflate, or none |
//! | dtypes | integers of 1 to 8 bytes and any number of bits, f32, f64, either byte order; h5py's `bool`, enumerations as their numbers | all, little-endian |
//!
//! Strings, compound types, complex numbers, half floats and references are refused by name.
//! Other filters and layouts are too, unless the feature `hdf5` is on: then the C library reads
//! them (`library`), one read at a time.

mod attributes;
mod chunks;
mod external;
mod file;
mod filter;
mod header;
mod index;
#[cfg(feature = "hdf5")]
mod library;
mod links;
mod number;
mod odd;
mod output;
mod shared;
mod sink;
mod source;
#[cfg(test)]
mod tests;
mod update;
mod virtual_;

use crate::{
    error::{ErrorKind, FormatError, Result},
    raw::read_exact,
    source::{ChunkSource, Content, Entry, Format, Item, WriteOptions, Writer},
    stored::StoredFile,
};
use file::Listed;
use index::Index;
pub use sink::Hdf5Writer;
use std::{path::Path, sync::Arc};
use virtual_::Nesting;

/// What an HDF5 file begins with, after a user block of 0, 512, 1024, 2048, … bytes.
const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";
/// User blocks up to this size are looked behind when a file is recognised.
const MAX_USER_BLOCK: u64 = 1 << 20;

/// The format HDF5 (and netCDF-4, which is HDF5).
#[derive(Clone, Copy, Debug, Default)]
pub struct Hdf5;

impl Hdf5 {
    /// A builder of an output at `path`.
    pub fn create(path: impl AsRef<Path>) -> Hdf5Writer {
        Hdf5Writer::new(path.as_ref())
    }
}

impl Format for Hdf5 {
    fn name(&self) -> &'static str {
        "hdf5"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["h5", "hdf5", "he5", "nc"]
    }

    fn recognises(&self, path: &Path, head: &[u8]) -> bool {
        if head.starts_with(SIGNATURE) || head.get(512..520) == Some(SIGNATURE) {
            return true;
        }
        // A larger user block: look on in the file, but only where its name speaks for it.
        let named = path
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|e| self.extensions().contains(&e.to_ascii_lowercase().as_str()));
        if !named || head.len() < 1024 {
            return false;
        }
        let Ok(file) = StoredFile::open(path) else { return false };
        let mut signature = [0; SIGNATURE.len()];
        std::iter::successors(Some(1024), |at| Some(at * 2))
            .take_while(|at| *at <= MAX_USER_BLOCK)
            .any(|at| read_exact(&file, &mut signature, at).is_ok() && signature == *SIGNATURE)
    }

    fn list(&self, path: &Path) -> Result<Vec<Item>> {
        let item = |listed: Listed| {
            let name = listed.name.clone();
            let item = item_of(path, listed.name, listed.index);
            item.inspect_err(|error| tracing::debug!(name, %error, "left out")).ok()
        };
        Ok(file::list(path)?.into_iter().filter_map(item).collect())
    }

    fn contents(&self, path: &Path) -> Result<Vec<Entry>> {
        let entry = |Listed { name, index, dtype, shape }| {
            let content = match item_of(path, name.clone(), index) {
                Ok(item) => Content::Array(Box::new(item)),
                Err(error) => Content::Unreadable { reason: error.to_string(), dtype, shape },
            };
            Entry { name, title: None, content }
        };
        Ok(file::list(path)?.into_iter().map(entry).collect())
    }

    fn open(&self, path: &Path, item: Option<&str>) -> Result<Arc<dyn ChunkSource>> {
        open_at(path, item, &Nesting::default())
    }

    fn writer(&self, path: &Path, options: &WriteOptions) -> Result<Arc<dyn Writer>> {
        options.check_unsharded(path)?;
        if options.resume {
            let message = "a store to HDF5 cannot resume: it would begin anew";
            return Err(FormatError::new(ErrorKind::Unsupported, message)
                .at_path(path)
                .help("leave out --resume (`resume`), or write Zarr, FITS or npy"));
        }
        let mut writer = Hdf5::create(path);
        if let Some(chunks) = &options.chunks {
            writer = writer.chunks(chunks.iter().copied());
        }
        if options.overwrite {
            writer = writer.overwrite();
        }
        if options.durable {
            writer = writer.durable();
        }
        if let Some(item) = &options.item {
            writer = writer.dataset(item);
        }
        if let Some(codec) = &options.codec {
            let (name, level) = codec.split_once(':').unwrap_or((codec, "4"));
            writer = match (name, level.parse()) {
                ("none", _) => writer.uncompressed(),
                ("deflate" | "gzip", Ok(level)) => writer.deflate(level),
                _ => {
                    return Err(FormatError::new(
                        ErrorKind::Invalid,
                        format!("HDF5 has no codec {codec:?}"),
                    )
                    .at_path(path)
                    .help("choose deflate:1 to deflate:9, or none"));
                }
            };
            writer.check()?;
        }
        Ok(Arc::new(writer))
    }
}

/// A data set as it is listed, if it can be opened.
#[cfg_attr(not(feature = "hdf5"), expect(unused_variables, reason = "only the library asks"))]
fn item_of(path: &Path, name: String, index: Result<Index>) -> Result<Item> {
    match index {
        Ok(index) => Ok(Item { name, storage: source::storage(&index), meta: odd::meta(&index) }),
        #[cfg(feature = "hdf5")]
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            let source = library::Source::open(path, name.clone()).map_err(|_| error)?;
            Ok(Item { name, storage: source.storage(), meta: source.meta().clone() })
        }
        Err(error) => Err(error),
    }
}

/// Opens a data set that virtual ones may have led to.
fn open_at(path: &Path, item: Option<&str>, nesting: &Nesting) -> Result<Arc<dyn ChunkSource>> {
    let found = file::open(path, item, nesting)?;
    match found.index {
        Ok(index) => {
            Ok(odd::source(source::Source::new(&found.path, found.item, index, found.stamp)))
        }
        #[cfg(feature = "hdf5")]
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            match library::Source::open(&found.path, found.item) {
                Ok(source) => Ok(Arc::new(source)),
                // What was refused in the first place says more than that the library fails too.
                Err(_) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}
