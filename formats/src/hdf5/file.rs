//! The file around a data set: finding it among groups, and metadata without surprises.
//!
//! `hdf5-reader` sees a file through bounded positioned reads, and its panics and errors become
//! errors of ours.

use super::{
    attributes::{Role, role},
    header::ObjectKind,
    index::{Index, describe, known, read_index},
    links::{Met, Place},
    shared::SharedHeap,
    virtual_::Nesting,
};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    files::Stamp,
    region::Dims,
    stored::{ReadAt, StoredFile},
};
use hdf5_reader::{
    Hdf5File, OpenOptions,
    error::Error as ReaderError,
    global_heap::GlobalHeapCollection,
    io::Cursor,
    storage::{Storage, StorageBuffer},
};
use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

/// The most bytes of metadata that one read of `hdf5-reader` may ask for; the index of ten
/// million chunks fits.
pub(super) const METADATA_LIMIT: usize = 256 << 20;
/// What helps where a layout or filter is not built in.
pub(super) const REMEDY: &str = if cfg!(feature = "hdf5") {
    "rewrite it with built-in filters: h5repack -l CHUNK=… -f SHUF -f GZIP=4"
} else {
    "build with the feature hdf5, which asks the C library, or rewrite it with h5repack"
};

/// Why something may lie beyond the end of a file.
const TRUNCATED: &str = "the file is truncated, or was not closed by its writer";

/// Turns a panic of the metadata reader into an error: no bytes of a file may end the process.
pub(super) fn guarded<T>(path: &Path, call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(corrupt("its metadata cannot be made sense of")))
        .map_err(|error| error.at_path(path))
}

pub(super) fn corrupt(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Corrupt, message)
}

pub(super) fn unsupported(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Unsupported, message)
}

/// The error of the metadata reader as one of ours.
pub(super) fn translate(error: ReaderError) -> FormatError {
    use ReaderError as E;
    let error = match error {
        E::Io(error) => return FormatError::io(error),
        E::Context { source, .. } => return translate(*source),
        other => other,
    };
    let kind = match &error {
        E::GroupNotFound(_) | E::DatasetNotFound(_) | E::AttributeNotFound(_) => {
            ErrorKind::NotFound
        }
        E::ResourceLimit(_) => ErrorKind::Limit,
        E::UnsupportedLayoutClass(_)
        | E::UnsupportedSuperblockVersion(_)
        | E::UnsupportedObjectHeaderVersion(_)
        | E::UnsupportedBTreeVersion(_)
        | E::UnsupportedDataspaceVersion(_)
        | E::UnsupportedDatatypeClass(_)
        | E::UnsupportedLayoutVersion(_)
        | E::UnsupportedFilterPipelineVersion(_)
        | E::UnsupportedFillValueVersion(_)
        | E::UnsupportedLinkVersion(_)
        | E::UnsupportedLinkType(_)
        | E::UnsupportedAttributeVersion(_)
        | E::UnsupportedChunkIndexType(_)
        | E::UnsupportedFilter(_)
        | E::UnsupportedEncoding(_) => ErrorKind::Unsupported,
        _ => ErrorKind::Corrupt,
    };
    FormatError::new(kind, error.to_string()).because(error)
}

/// The file as the metadata reader sees it: positioned reads, none of them without bound.
struct MetadataFile {
    file: StoredFile,
    len: u64,
}

impl Storage for MetadataFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_range(&self, offset: u64, len: usize) -> hdf5_reader::error::Result<StorageBuffer> {
        let end = offset.checked_add(len as u64).ok_or(ReaderError::OffsetOutOfBounds(offset))?;
        if end > self.len {
            let message = format!(
                "{len} bytes of metadata at {offset} lie beyond the end of the file, which has {}",
                self.len
            );
            return Err(ReaderError::Io(corrupt(message).help(TRUNCATED).into_io()));
        }
        if len > METADATA_LIMIT {
            return Err(ReaderError::ResourceLimit(format!(
                "metadata of {len} bytes in one piece"
            )));
        }
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(StorageBuffer::from_vec(bytes))
    }
}

/// A file, open for its metadata.
pub(super) struct Container {
    pub(super) file: Hdf5File,
    pub(super) path: PathBuf,
    /// The whole file's bytes.
    pub(super) len: u64,
    /// What the file was when it was opened.
    pub(super) stamp: Stamp,
    /// The global heap that was read last, by its address.
    pub(super) heap: RefCell<Option<(u64, GlobalHeapCollection)>>,
    /// The names of objects by their address, once one was asked for.
    pub(super) names: OnceCell<HashMap<u64, String>>,
    /// The heaps of shared messages, once one was needed.
    pub(super) shared_heaps: OnceCell<Vec<SharedHeap>>,
}

impl Container {
    pub(super) fn open(path: &Path) -> Result<Container> {
        let file = StoredFile::open(path)?;
        let len = file.size().map_err(FormatError::io)?;
        let stamp = Stamp::of(&file).map_err(FormatError::io)?;
        let options = OpenOptions::default().with_chunk_cache_bytes(0);
        let storage = Arc::new(MetadataFile { file, len });
        let file = Hdf5File::from_storage_with_options(storage, options).map_err(translate)?;
        let (heap, names, shared_heaps) = (RefCell::default(), OnceCell::new(), OnceCell::new());
        Ok(Container { file, path: path.to_owned(), len, stamp, heap, names, shared_heaps })
    }

    /// Bytes of an address and of a length in this file.
    pub(super) fn sizes(&self) -> (u8, u8) {
        let superblock = self.file.superblock();
        (superblock.offset_size, superblock.length_size)
    }

    /// `len` bytes from the address `address` on.
    pub(super) fn read(&self, address: u64, len: usize) -> Result<StorageBuffer> {
        self.file.storage().read_range(address, len).map_err(translate)
    }

    /// The same, of a length that the file tells.
    pub(super) fn read_long(&self, address: u64, len: u64) -> Result<StorageBuffer> {
        let len = usize::try_from(len).map_err(|_| corrupt(format!("{len} bytes of metadata")))?;
        self.read(address, len)
    }

    /// An address of the file's as one from its start, `None` where nothing was allocated;
    /// `bytes` bytes must lie there.
    pub(super) fn place(&self, address: u64, bytes: u64) -> Result<Option<u64>> {
        let superblock = self.file.superblock();
        if Cursor::is_undefined_offset(address, superblock.offset_size) {
            return Ok(None);
        }
        let start = address.checked_add(superblock.base_address);
        match start.and_then(|start| start.checked_add(bytes)) {
            Some(end) if end <= self.len => Ok(start),
            _ => Err(corrupt(format!(
                "{bytes} bytes at {address} lie beyond the end of the file, which has {}",
                self.len
            ))
            .help(TRUNCATED)),
        }
    }
}

/// A data set that was found in a file.
pub(super) struct Found {
    /// The file that holds it: another one, where an external link led there.
    pub(super) path: PathBuf,
    /// What that file was when it was opened.
    pub(super) stamp: Stamp,
    /// Its path in that file.
    pub(super) item: String,
    /// Where its elements lie, or why they cannot be read.
    pub(super) index: Result<Index>,
}

/// Finds the data set `item` of the file; without one, the only one that holds numbers.
pub(super) fn open(path: &Path, item: Option<&str>, nesting: &Nesting) -> Result<Found> {
    guarded(path, || {
        let container = Rc::new(Container::open(path)?);
        let item = match item {
            Some(item) => item.to_owned(),
            None => only(&container)?,
        };
        let place = container.find(&item).map_err(|error| match error.kind() {
            ErrorKind::NotFound => error.help(choices(&container)),
            _ => error,
        })?;
        let Place { container: inside, path: item, address } = place;
        let named =
            |error: FormatError| error.at(format_args!("{}::{item}", inside.path.display()));
        let header = inside.header(address).map_err(named)?;
        if header.kind() != ObjectKind::Dataset {
            return Err(FormatError::new(
                ErrorKind::NotFound,
                format!("there is no data set {item}"),
            )
            .help(choices(&container)));
        }
        let index = read_index(&inside, &header, nesting).map_err(named);
        Ok(Found { path: inside.path.clone(), stamp: inside.stamp, item, index })
    })
}

/// Reads the attributes of a data set that only the C library reads.
#[cfg(feature = "hdf5")]
pub(super) fn read_attributes(path: &Path, item: &str, meta: &mut crate::source::Meta) {
    let read = guarded(path, || {
        let container = Rc::new(Container::open(path)?);
        let place = container.find(item)?;
        let header = place.container.header(place.address)?;
        super::attributes::read(&place.container, &header, meta);
        Ok(())
    });
    if let Err(error) = read {
        tracing::debug!(%error, "attributes left out");
    }
}

/// The path of the only data set of numbers; one beside scales of its axes is the only one.
fn only(container: &Container) -> Result<String> {
    let (mut arrays, mut scales, mut damaged) = (Vec::new(), Vec::new(), None);
    container.walk(|met| {
        match met {
            Met::Dataset { path, header } if describe(container, &header).is_ok() => {
                match role(container, &header) {
                    Role::Array => arrays.push(path),
                    Role::Scale => scales.push(path),
                    Role::Dimension => {}
                }
            }
            Met::Unreadable { path, error } => {
                let place = format!("{}::{path}", container.path.display());
                damaged.get_or_insert_with(|| error.at(place));
            }
            _ => {}
        }
        Ok(())
    })?;
    let mut found = if arrays.is_empty() { scales } else { arrays };
    match found.pop() {
        Some(only) if found.is_empty() => Ok(only),
        Some(_) => Err(FormatError::new(ErrorKind::Invalid, "holds several data sets of numbers")
            .help(choices(container))),
        // What might have been one tells why it is not.
        None => Err(damaged.unwrap_or_else(|| {
            FormatError::new(ErrorKind::NotFound, "holds no data set of numbers")
        })),
    }
}

/// A data set of a file.
pub(super) struct Listed {
    /// Its path.
    pub(super) name: String,
    /// Where its elements lie, or why they cannot be read.
    pub(super) index: Result<Index>,
    /// Its dtype, of what cannot be read and where it is known all the same.
    pub(super) dtype: Option<DType>,
    /// Its shape, likewise.
    pub(super) shape: Option<Dims>,
}

/// All data sets by path.
pub(super) fn list(path: &Path) -> Result<Vec<Listed>> {
    guarded(path, || {
        let container = Container::open(path)?;
        let mut items = Vec::new();
        container.walk(|met| {
            items.push(match met {
                // What only names a dimension holds no elements, however long it is.
                Met::Dataset { header, .. } if role(&container, &header) == Role::Dimension => {
                    return Ok(());
                }
                Met::Dataset { path: name, header } => {
                    let index = read_index(&container, &header, &Nesting::default());
                    let (dtype, shape) = match &index {
                        Ok(_) => (None, None),
                        Err(_) => known(&container, &header),
                    };
                    Listed { name, index, dtype, shape }
                }
                Met::Unreadable { path: name, error } => {
                    Listed { name, index: Err(error), dtype: None, shape: None }
                }
                Met::External { path: name, file, target } => {
                    let index = open(path, Some(&name), &Nesting::default())
                        .and_then(|found| found.index)
                        .map_err(|error| error.help(format!("a link to {file}::{target}")));
                    Listed { name, index, dtype: None, shape: None }
                }
            });
            Ok(())
        })?;
        Ok(items)
    })
}

/// A line that names the data sets of numbers.
fn choices(container: &Container) -> String {
    const SHOWN: usize = 20;
    let mut names = Vec::new();
    let mut more = 0;
    let walked = container.walk(|met| {
        match met {
            Met::Dataset { path, header } if describe(container, &header).is_ok() => {
                if names.len() < SHOWN { names.push(path) } else { more += 1 }
            }
            _ => {}
        }
        Ok(())
    });
    match (walked, names.is_empty()) {
        (Err(_), true) => "name a data set behind `::`".into(),
        (Ok(()), true) => "there is none of numbers in this file".into(),
        _ if more > 0 => format!("choose one of ::{} and {more} more", names.join(", ::")),
        _ => format!("choose one of ::{}", names.join(", ::")),
    }
}
