//! The file around a data set: finding it among groups, and metadata without surprises.
//!
//! `hdf5-reader` sees a file through bounded positioned reads, its panics and errors become
//! errors of ours, and groups are walked once each, however they are linked.

use super::index::{Index, describe, read_index};
use crate::error::{ErrorKind, FormatError, Result};
use hdf5_reader::{
    Dataset, Hdf5File, OpenOptions,
    error::Error as ReaderError,
    io::Cursor,
    storage::{Storage, StorageBuffer},
};
use std::{
    collections::HashSet,
    fs::File,
    os::unix::fs::FileExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

/// The most bytes of metadata that one read of `hdf5-reader` may ask for; the index of ten
/// million chunks fits.
const METADATA_LIMIT: usize = 256 << 20;
/// What helps where a layout or filter is not built in.
pub(super) const REMEDY: &str = if cfg!(feature = "hdf5") {
    "rewrite it with built-in filters: h5repack -l CHUNK=… -f SHUF -f GZIP=4"
} else {
    "build with the feature hdf5, which asks the C library, or rewrite it with h5repack"
};

/// Turns a panic of the metadata reader into an error: no bytes of a file may end the process.
fn guarded<T>(path: &Path, call: impl FnOnce() -> Result<T>) -> Result<T> {
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
        E::UnsupportedLayoutClass(_) => {
            return unsupported("a virtual data set or another layout that is not built in")
                .help(REMEDY)
                .because(error);
        }
        E::UnsupportedSuperblockVersion(_)
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
    file: File,
    len: u64,
}

impl Storage for MetadataFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_range(&self, offset: u64, len: usize) -> hdf5_reader::error::Result<StorageBuffer> {
        let end = offset.checked_add(len as u64).ok_or(ReaderError::OffsetOutOfBounds(offset))?;
        if end > self.len {
            let available = self.len.saturating_sub(offset);
            return Err(ReaderError::UnexpectedEof { offset, needed: len as u64, available });
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
    /// The whole file's bytes.
    pub(super) len: u64,
}

impl Container {
    fn open(path: &Path) -> Result<Container> {
        let file = File::open(path).map_err(FormatError::io)?;
        let len = file.metadata().map_err(FormatError::io)?.len();
        let options = OpenOptions::default().with_chunk_cache_bytes(0);
        let storage = Arc::new(MetadataFile { file, len });
        let file = Hdf5File::from_storage_with_options(storage, options).map_err(translate)?;
        Ok(Container { file, len })
    }

    /// The paths of all data sets, each once, depth first in the file's order; `each` may
    /// end the walk by an error.
    fn walk(&self, mut each: impl FnMut(String, &Dataset) -> Result<()>) -> Result<()> {
        let root = self.file.root_group().map_err(translate)?;
        // Groups and data sets may have several names, and groups may lie in themselves.
        let mut seen = HashSet::from([root.address()]);
        let mut waiting = vec![(String::new(), root)];
        while let Some((path, group)) = waiting.pop() {
            let (groups, names) = group.member_names().map_err(translate)?;
            for name in names {
                let dataset = match group.dataset(&name) {
                    Ok(dataset) => dataset,
                    Err(error) => {
                        tracing::debug!(%path, name, %error, "data set left out");
                        continue;
                    }
                };
                if seen.insert(dataset.address()) {
                    each(format!("{path}/{name}"), &dataset)?;
                }
            }
            for name in groups.into_iter().rev() {
                let child = group.group(&name).map_err(translate)?;
                if seen.insert(child.address()) {
                    waiting.push((format!("{path}/{name}"), child));
                }
            }
        }
        Ok(())
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
            .help("the file is truncated, or was not closed by its writer")),
        }
    }
}

/// A data set that was found in a file.
pub(super) struct Found {
    /// Its path in the file.
    pub(super) item: String,
    /// What the metadata reader made of it, where it got so far.
    #[cfg(feature = "hdf5")]
    pub(super) dataset: Option<Dataset>,
    /// Where its elements lie, or why they cannot be read.
    pub(super) index: Result<Index>,
}

/// Finds the data set `item` of the file; without one, the only one that holds numbers.
pub(super) fn open(path: &Path, item: Option<&str>) -> Result<Found> {
    guarded(path, || {
        let container = Container::open(path)?;
        let (item, dataset) = match item {
            Some(item) => {
                let item = format!("/{}", item.trim_matches('/'));
                match container.file.dataset(&item).map_err(translate) {
                    Ok(dataset) => (item, dataset),
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        return Err(FormatError::new(
                            ErrorKind::NotFound,
                            format!("there is no data set {item}"),
                        )
                        .help(choices(&container)));
                    }
                    Err(error) => {
                        let error = error.at(format_args!("{}::{item}", path.display()));
                        return Ok(Found {
                            item,
                            #[cfg(feature = "hdf5")]
                            dataset: None,
                            index: Err(error),
                        });
                    }
                }
            }
            None => {
                let mut found: Option<(String, Dataset)> = None;
                let mut several = false;
                container.walk(|name, dataset| {
                    if describe(&container, dataset).is_ok() {
                        several |= found.is_some();
                        found.get_or_insert_with(|| (name, dataset.clone()));
                    }
                    Ok(())
                })?;
                match found {
                    Some(only) if !several => only,
                    Some(_) => {
                        return Err(FormatError::new(
                            ErrorKind::Invalid,
                            "holds several data sets of numbers",
                        )
                        .help(choices(&container)));
                    }
                    None => {
                        return Err(FormatError::new(
                            ErrorKind::NotFound,
                            "holds no data set of numbers",
                        ));
                    }
                }
            }
        };
        let index = read_index(&container, &dataset)
            .map_err(|error| error.at(format_args!("{}::{item}", path.display())));
        Ok(Found {
            item,
            #[cfg(feature = "hdf5")]
            dataset: Some(dataset),
            index,
        })
    })
}

/// All data sets by path, with where their elements lie, or why they cannot be read.
pub(super) fn list(path: &Path) -> Result<Vec<(String, Result<Index>)>> {
    guarded(path, || {
        let container = Container::open(path)?;
        let mut items = Vec::new();
        container.walk(|name, dataset| {
            items.push((name, read_index(&container, dataset)));
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
    let walked = container.walk(|name, dataset| {
        if describe(container, dataset).is_ok() {
            if names.len() < SHOWN { names.push(name) } else { more += 1 }
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
