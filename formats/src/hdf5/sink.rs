//! Writing: one data set in a new file, chunk by chunk, from any thread.
//!
//! Chunks are shuffled and deflated here, in parallel and in scratch; `rust-hdf5` only puts
//! the bytes into the file and keeps the chunk index. It stands behind [`Container`], the
//! four calls that a writer of HDF5 files has to offer, so that it can be replaced.

use super::{attributes::AXIS_NAMES, filter};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    grid::Grid,
    region::{Dims, Region, checked_volume, volume},
    source::{Attributes, ChunkSink, Meta, ReadCx, Writer, Written},
    staging::{Mode, Staging},
    transform,
    view::{ChunkMut, ChunkView},
};
use rust_hdf5::{FilterPipeline, H5Dataset, H5File, HBool, Hdf5Error, VarLenUnicode};
use serde_json::Value;
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// The path of the data set where none is named.
const DEFAULT_DATASET: &str = "/data";
/// The level of deflate where none is named: what h5py takes.
const DEFAULT_LEVEL: u32 = 4;

/// What to write an HDF5 file as; made by [`super::Hdf5::create`].
///
/// By default one data set `/data`, in the array's own chunks, shuffled and deflated at
/// level 4. An irregular grid becomes the regular one of its longest chunks.
#[derive(Clone, Debug)]
pub struct Hdf5Writer {
    path: PathBuf,
    dataset: String,
    chunks: Option<Vec<u64>>,
    level: Option<u32>,
    attributes: Attributes,
    mode: Mode,
}

impl Hdf5Writer {
    pub(super) fn new(path: &Path) -> Hdf5Writer {
        Hdf5Writer {
            path: path.to_owned(),
            dataset: DEFAULT_DATASET.into(),
            chunks: None,
            level: Some(DEFAULT_LEVEL),
            attributes: Attributes::new(),
            mode: Mode::default(),
        }
    }

    /// The path of the data set in the file; groups on the way are created.
    #[must_use]
    pub fn dataset(mut self, path: impl Into<String>) -> Hdf5Writer {
        self.dataset = path.into();
        self
    }

    /// Chunk lengths along each axis, in elements (0: the whole axis).
    #[must_use]
    pub fn chunks(mut self, chunks: impl IntoIterator<Item = u64>) -> Hdf5Writer {
        self.chunks = Some(chunks.into_iter().collect());
        self
    }

    /// Shuffle, then deflate at `level`, 0 to 9.
    #[must_use]
    pub fn deflate(mut self, level: u32) -> Hdf5Writer {
        self.level = Some(level);
        self
    }

    /// No filters: chunks lie as they are.
    #[must_use]
    pub fn uncompressed(mut self) -> Hdf5Writer {
        self.level = None;
        self
    }

    /// Adds an attribute of the data set, beside those that the array brings. Objects and
    /// mixed arrays are written as their JSON text.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Value>) -> Hdf5Writer {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Replaces an output that exists.
    #[must_use]
    pub fn overwrite(mut self) -> Hdf5Writer {
        self.mode.overwrite = true;
        self
    }

    /// Waits for the disk before the output is visible, so that it survives a loss of power.
    #[must_use]
    pub fn durable(mut self) -> Hdf5Writer {
        self.mode.durable = true;
        self
    }

    /// Whether what was asked for can be had, as far as no array is needed to tell.
    pub(super) fn check(&self) -> Result<()> {
        let checked = match self.level {
            Some(level) => filter::deflate_level(level).map(drop),
            None => Ok(()),
        };
        checked.map_err(|error| error.at_path(&self.path))
    }

    /// The parts of the data set's path.
    fn names(&self) -> Result<Vec<&str>> {
        let names: Vec<&str> = self.dataset.split('/').filter(|name| !name.is_empty()).collect();
        if names.is_empty() || names.iter().any(|name| *name == "." || name.contains('\0')) {
            return Err(FormatError::new(
                ErrorKind::Invalid,
                format!("{:?} does not name a data set", self.dataset),
            )
            .help("give a path like /group/data"));
        }
        Ok(names)
    }
}

impl Writer for Hdf5Writer {
    fn grid(&self, meta: &Meta) -> Result<Grid> {
        self.check()?;
        let shape = meta.shape();
        let invalid = |message: String| {
            Err(FormatError::new(ErrorKind::Invalid, message).at_path(&self.path))
        };
        let grid = match &self.chunks {
            Some(chunks) if chunks.len() != shape.len() => {
                return invalid(format!(
                    "chunks have {} axes, the array has {}",
                    chunks.len(),
                    shape.len()
                ));
            }
            Some(chunks) => Grid::regular(&shape, chunks),
            None => Grid::regular(&shape, &meta.grid.max_chunk()),
        };
        let chunk = grid.max_chunk();
        let bytes = checked_volume(&chunk).and_then(|n| n.checked_mul(meta.dtype.size() as u64));
        if bytes.is_none_or(|bytes| u32::try_from(bytes).is_err()) {
            return Err(FormatError::new(
                ErrorKind::Invalid,
                format!("chunks of {:?} {} have 4 GiB or more", chunk.as_slice(), meta.dtype),
            )
            .at_path(&self.path)
            .help("give smaller chunks; HDF5 allows less than 4 GiB"));
        }
        Ok(grid)
    }

    fn create(&self, meta: &Meta) -> Result<Arc<dyn ChunkSink>> {
        let grid = self.grid(meta)?;
        let place = |error: FormatError| error.at_path(&self.path);
        if grid != meta.grid {
            return Err(place(FormatError::new(
                ErrorKind::Invalid,
                "the array was not cut into the chunks of the output",
            )));
        }
        let names = self.names().map_err(place)?;
        let level = self.level.map(filter::deflate_level).transpose().map_err(place)?;
        let staging = Staging::create(&self.path, self.mode)?;
        let chunk = meta.grid.max_chunk();
        // A data set without axes or without elements cannot have chunks.
        let chunked = !chunk.is_empty() && !meta.grid.is_empty();
        let element = meta.dtype.size();
        let layout = match (chunked, level) {
            (false, _) => Layout::Contiguous,
            (true, None) => Layout::Plain,
            (true, Some(_)) => Layout::Deflated { shuffle: element > 1 },
        };
        let container = RustHdf5::create(staging.path(), &names, meta, &chunk, layout, self.level)
            .map_err(place)?;
        let names = meta.axes.iter().map(|name| Value::from(name.as_str())).collect();
        let named = meta.axes.iter().any(|name| !name.is_empty());
        let axes = named.then(|| (AXIS_NAMES.to_owned(), Value::Array(names)));
        for (name, value) in meta
            .attributes
            .iter()
            .filter(|(name, _)| !self.attributes.contains_key(*name))
            .chain(&self.attributes)
            .chain(axes.iter().map(|(name, value)| (name, value)))
        {
            container.attr(name, value).map_err(|error| {
                place(error.help(format!("while writing the attribute {name:?}")))
            })?;
        }
        let bytes = volume(&chunk) as usize * element;
        Ok(Arc::new(Sink {
            meta: meta.clone(),
            chunk,
            bytes,
            layout,
            level,
            container: Mutex::new(Some(Arc::new(container))),
            staging,
            path: self.path.clone(),
        }))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// How chunks lie in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// All elements in one run.
    Contiguous,
    /// Chunks as they are.
    Plain,
    /// Chunks as zlib streams, shuffled before where elements have more than one byte.
    Deflated { shuffle: bool },
}

/// What a writer of HDF5 files has to offer to [`Sink`].
trait Container: Send + Sync + Sized {
    /// A file with one data set, at the path `names` in it.
    fn create(
        path: &Path,
        names: &[&str],
        meta: &Meta,
        chunk: &[u64],
        layout: Layout,
        level: Option<u32>,
    ) -> Result<Self>;
    /// Stores the encoded bytes of one chunk; of an array without axes, its element.
    fn put_chunk(&self, index: &[u64], bytes: &[u8]) -> Result<()>;
    /// Adds an attribute to the data set.
    fn attr(&self, name: &str, value: &Value) -> Result<()>;
    /// Makes the file whole and durable.
    fn finish(self) -> Result<()>;
}

/// An array on its way into a file.
struct Sink {
    meta: Meta,
    /// The shape of every chunk; those at the upper edges are padded with zeros.
    chunk: Dims,
    /// The bytes of a chunk.
    bytes: usize,
    layout: Layout,
    level: Option<libdeflater::CompressionLvl>,
    /// `None` once it was finished.
    container: Mutex<Option<Arc<RustHdf5>>>,
    /// Removed after the container, which is dropped first, let go of the file.
    staging: Staging,
    path: PathBuf,
}

impl Sink {
    fn container(&self) -> Option<Arc<RustHdf5>> {
        self.container.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes of each of the two buffers that encoding a chunk needs.
    fn buffer(&self) -> usize {
        match self.layout {
            Layout::Contiguous | Layout::Plain => self.bytes,
            Layout::Deflated { .. } => filter::deflate_bound(self.bytes),
        }
    }

    fn put(&self, index: &[u64], data: &ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<u64> {
        let container = self.container().ok_or_else(|| {
            FormatError::new(ErrorKind::Invalid, "a chunk is written after the file was sealed")
        })?;
        let (first, mut rest) = cx.split_scratch(self.buffer());
        let whole = if data.shape() == &self.chunk[..] { data.as_bytes() } else { None };
        let plain = match whole {
            Some(bytes) => bytes,
            None => {
                let padded = &mut first[..self.bytes];
                padded.fill(0);
                let mut chunk = ChunkMut::new(self.meta.dtype, padded, &self.chunk);
                chunk.sub(&Region::whole(data.shape())).assign(data);
                &*padded
            }
        };
        let (Layout::Deflated { shuffle }, Some(level)) = (self.layout, self.level) else {
            container.put_chunk(index, plain)?;
            return Ok(plain.len() as u64);
        };
        let (second, _) = rest.split_scratch(self.buffer());
        let (encoded, len) = if shuffle {
            transform::shuffle(plain, &mut second[..self.bytes], self.meta.dtype.size());
            let len = filter::deflate(level, &second[..self.bytes], first)?;
            (&*first, len)
        } else {
            let len = filter::deflate(level, plain, second)?;
            (&*second, len)
        };
        container.put_chunk(index, &encoded[..len])?;
        Ok(len as u64)
    }
}

impl ChunkSink for Sink {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn scratch(&self) -> u64 {
        let buffers = if self.level.is_some() { 2 } else { 1 };
        buffers * self.buffer().next_multiple_of(64) as u64
    }

    fn write(&self, index: &[u64], data: ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<Written> {
        let bytes = self
            .put(index, &data, cx)
            .map_err(|error| error.at(format_args!("{}, chunk {index:?}", self.path.display())))?;
        Ok(Written { bytes })
    }

    fn seal(&self) -> Result<()> {
        let container = self.container.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(container) = container else { return Ok(()) };
        let container = Arc::into_inner(container).ok_or_else(|| {
            FormatError::new(ErrorKind::Invalid, "sealed while a chunk is being written")
                .at_path(&self.path)
        })?;
        container.finish().map_err(|error| error.at_path(&self.path))?;
        self.staging.sync()
    }

    fn publish(&self) -> Result<()> {
        if self.container().is_some() {
            return Err(FormatError::new(ErrorKind::Invalid, "published before it was sealed")
                .at_path(&self.path));
        }
        self.staging.publish()
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink")
            .field("path", &self.path)
            .field("meta", &self.meta)
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

/// The crate `rust-hdf5` as a [`Container`].
struct RustHdf5 {
    dataset: H5Dataset,
    file: H5File,
    layout: Layout,
}

impl Container for RustHdf5 {
    fn create(
        path: &Path,
        names: &[&str],
        meta: &Meta,
        chunk: &[u64],
        layout: Layout,
        level: Option<u32>,
    ) -> Result<RustHdf5> {
        let file = H5File::options().no_locking().create(path).map_err(translate)?;
        let mut group = file.root_group();
        let (name, groups) = names.split_last().expect("a data set has a name");
        for name in groups {
            group = group.create_group(name).map_err(translate)?;
        }
        let sizes = |shape: &[u64]| -> Vec<usize> { shape.iter().map(|&n| n as usize).collect() };
        macro_rules! create {
            ($t:ty) => {{
                let mut builder = group.new_dataset::<$t>().shape(sizes(&meta.shape()));
                if layout != Layout::Contiguous {
                    builder = builder.chunk(&sizes(chunk));
                }
                if let Layout::Deflated { shuffle } = layout {
                    let level = level.unwrap_or(DEFAULT_LEVEL);
                    let element = meta.dtype.size() as u32;
                    builder = builder.filter_pipeline(match shuffle {
                        true => FilterPipeline::shuffle_deflate(element, level),
                        false => FilterPipeline::deflate(level),
                    });
                }
                builder.create(name)
            }};
        }
        let dataset = match meta.dtype {
            DType::Bool => create!(HBool),
            DType::U8 => create!(u8),
            DType::U16 => create!(u16),
            DType::U32 => create!(u32),
            DType::U64 => create!(u64),
            DType::I8 => create!(i8),
            DType::I16 => create!(i16),
            DType::I32 => create!(i32),
            DType::I64 => create!(i64),
            DType::F32 => create!(f32),
            DType::F64 => create!(f64),
        }
        .map_err(translate)?;
        Ok(RustHdf5 { dataset, file, layout })
    }

    fn put_chunk(&self, index: &[u64], bytes: &[u8]) -> Result<()> {
        let at: Vec<usize> = index.iter().map(|&i| i as usize).collect();
        match self.layout {
            Layout::Contiguous => self.dataset.write_raw_bytes(bytes),
            Layout::Plain => self.dataset.write_chunk_at(&at, bytes),
            Layout::Deflated { .. } => self.dataset.write_chunk_raw_at(&at, bytes, 0),
        }
        .map_err(translate)
    }

    fn attr(&self, name: &str, value: &Value) -> Result<()> {
        macro_rules! number {
            ($t:ty, $value:expr) => {
                self.dataset
                    .new_attr::<$t>()
                    .shape(())
                    .create(name)
                    .and_then(|attr| attr.write_numeric::<$t>(&$value))
            };
        }
        macro_rules! numbers {
            ($t:ty, $shape:expr, $values:expr) => {
                self.dataset
                    .new_attr::<$t>()
                    .shape($shape)
                    .create(name)
                    .and_then(|attr| attr.write_array::<$t>(&$values))
            };
        }
        let text = |text: &str| {
            self.dataset
                .new_attr::<VarLenUnicode>()
                .shape(())
                .create(name)
                .and_then(|attr| attr.write_string(text))
        };
        let written = match value {
            Value::Bool(value) => number!(HBool, HBool::from(*value)),
            Value::String(value) => text(value),
            Value::Number(value) => match (value.as_i64(), value.as_u64(), value.as_f64()) {
                (Some(value), _, _) => number!(i64, value),
                (_, Some(value), _) => number!(u64, value),
                (_, _, value) => number!(f64, value.unwrap_or(f64::NAN)),
            },
            Value::Array(_) => {
                let (mut shape, mut values) = (Vec::new(), Vec::new());
                let regular = flatten(value, 0, &mut shape, &mut values) && !values.is_empty();
                let strings: Option<Vec<&str>> = values.iter().map(|v| v.as_str()).collect();
                let whole: Option<Vec<i64>> = values.iter().map(|v| v.as_i64()).collect();
                let floats: Option<Vec<f64>> = values.iter().map(|v| v.as_f64()).collect();
                match (strings, whole, floats) {
                    _ if !regular => text(&value.to_string()),
                    (Some(strings), _, _) => self
                        .dataset
                        .new_attr::<VarLenUnicode>()
                        .shape(shape)
                        .create(name)
                        .and_then(|attr| attr.write_string_array(&strings)),
                    (_, Some(whole), _) => numbers!(i64, shape, whole),
                    (_, _, Some(floats)) => numbers!(f64, shape, floats),
                    _ => text(&value.to_string()),
                }
            }
            _ => text(&value.to_string()),
        };
        written.map_err(translate)
    }

    fn finish(self) -> Result<()> {
        drop(self.dataset);
        self.file.close().map_err(translate)
    }
}

/// The values of nested arrays in C order, and their shape; `false` if they are ragged.
pub(super) fn flatten<'v>(
    value: &'v Value,
    depth: usize,
    shape: &mut Vec<usize>,
    values: &mut Vec<&'v Value>,
) -> bool {
    let Value::Array(rows) = value else {
        values.push(value);
        return depth == shape.len();
    };
    if shape.len() == depth {
        // A first row: no value may have been met on this level.
        if !values.is_empty() {
            return false;
        }
        shape.push(rows.len());
    }
    shape[depth] == rows.len() && rows.iter().all(|row| flatten(row, depth + 1, shape, values))
}

fn translate(error: Hdf5Error) -> FormatError {
    let kind = match &error {
        Hdf5Error::Io(_) | Hdf5Error::IoLayer(_) => match system_error(&error.to_string()) {
            Some(io) => FormatError::io(io).kind(),
            None => ErrorKind::Io,
        },
        Hdf5Error::Unsupported(_) | Hdf5Error::TypeMismatch(_) => ErrorKind::Unsupported,
        Hdf5Error::InvalidState(_) | Hdf5Error::NotFound(_) => ErrorKind::Invalid,
        _ => ErrorKind::Io,
    };
    FormatError::new(kind, error.to_string()).because(error)
}

/// The system's error of which a text tells: the crate keeps its errors of I/O private, and
/// a full disk must be known as one.
fn system_error(text: &str) -> Option<std::io::Error> {
    let (_, code) = text.rsplit_once("(os error ")?;
    Some(std::io::Error::from_raw_os_error(code.split_once(')')?.0.parse().ok()?))
}
