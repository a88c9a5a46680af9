//! Writing: one data set in a new file, or in a copy of one that is there, chunk by chunk, from any thread.
//!
//! Chunks are shuffled and deflated here, in parallel and in scratch; what stands behind
//! [`Output`] only puts the bytes into the file and keeps the chunk index.

use super::{
    attributes::AXIS_NAMES,
    file::guarded,
    filter,
    output::{ALIGNED, FILL_VALUE, Layout, Output, RustHdf5, Wanted, element},
    update::Update,
};
use crate::{
    dtype::Scalar,
    error::{ErrorKind, FormatError, Result},
    grid::Grid,
    journal::ChunkSet,
    region::{Dims, Region, checked_volume},
    source::{Attributes, ChunkSink, Meta, ReadCx, Writer, Written},
    staging::{Mode, Staging},
    transform,
    view::{ChunkMut, ChunkView},
};
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
    /// `None`: the file is to hold nothing but [`DEFAULT_DATASET`].
    dataset: Option<String>,
    chunks: Option<Vec<u64>>,
    level: Option<u32>,
    fill: Option<Scalar>,
    axes: Option<Vec<String>>,
    coordinates: Vec<(String, Vec<f64>)>,
    attributes: Attributes,
    mode: Mode,
}

impl Hdf5Writer {
    pub(super) fn new(path: &Path) -> Hdf5Writer {
        Hdf5Writer {
            path: path.to_owned(),
            dataset: None,
            chunks: None,
            level: Some(DEFAULT_LEVEL),
            fill: None,
            axes: None,
            coordinates: Vec::new(),
            attributes: Attributes::new(),
            mode: Mode::default(),
        }
    }

    /// The path of the data set in the file; groups on the way are created. Into a file that
    /// exists it is put beside what is there, all of which stays: the file is copied (its bytes
    /// must fit on the disk once more), and the copy takes its name when it is whole.
    #[must_use]
    pub fn dataset(mut self, path: impl Into<String>) -> Hdf5Writer {
        self.dataset = Some(path.into());
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

    /// The value that readers take for elements that were never written, cast to the array's
    /// dtype; by default that of the attribute `_FillValue`, or 0. (All chunks are stored, their
    /// ends beyond the array filled with it; a program that enlarges the array later uses it.)
    #[must_use]
    pub fn fill_value(mut self, value: impl Into<Scalar>) -> Hdf5Writer {
        self.fill = Some(value.into());
        self
    }

    /// Names of the axes, outermost first, in place of those that the array brings; empty where
    /// an axis has none. A named axis has a dimension scale of that name, which h5py,
    /// netCDF-4 and xarray know it by.
    #[must_use]
    pub fn axes<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Hdf5Writer {
        self.axes = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The coordinates along the axis of this name, one for each of its positions. They are
    /// the values of the axis' dimension scale, a data set beside the array.
    #[must_use]
    pub fn coordinates(
        mut self,
        axis: impl Into<String>,
        values: impl IntoIterator<Item = f64>,
    ) -> Hdf5Writer {
        self.coordinates.push((axis.into(), values.into_iter().collect()));
        self
    }

    /// Adds an attribute of the data set, beside those that the array brings. Objects and
    /// mixed arrays are written as their JSON text.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Value>) -> Hdf5Writer {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Replaces an output that exists: the data set that is [named](Hdf5Writer::dataset), or,
    /// if none is, the file.
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

    /// The array with the names of axes that it is written with.
    fn named(&self, meta: &Meta) -> Result<Meta> {
        let mut meta = meta.clone();
        match &self.axes {
            Some(axes) if axes.len() != meta.grid.rank() => {
                let (have, rank) = (axes.len(), meta.grid.rank());
                let message = format!("{have} names of axes for an array of {rank} axes");
                Err(FormatError::new(ErrorKind::Invalid, message))
            }
            axes => {
                meta.axes = axes.clone().unwrap_or(meta.axes);
                Ok(meta)
            }
        }
    }

    /// Whether coordinates are of axes that the array has, and as long as these.
    fn check_coordinates(&self, meta: &Meta, dataset: &str) -> Result<()> {
        let shape = meta.shape();
        for (axis, values) in &self.coordinates {
            let invalid = |message: String| Err(FormatError::new(ErrorKind::Invalid, message));
            let place = meta.axes.iter().position(|name| name == axis);
            let Some(place) = place.filter(|_| !axis.is_empty()) else {
                let message =
                    format!("coordinates of an axis {axis:?}, and the array has {:?}", meta.axes);
                return invalid(message);
            };
            if values.len() as u64 != shape[place] {
                let (len, have) = (shape[place], values.len());
                return invalid(format!(
                    "{have} coordinates of the axis {axis:?}, which has {len} positions"
                ));
            }
            if axis == dataset || axis == "." || axis.contains(['/', '\0']) {
                return invalid(format!("coordinates cannot be a data set of the name {axis:?}"));
            }
        }
        Ok(())
    }

    /// What elements are that were never written.
    fn fill(&self, meta: &Meta) -> Scalar {
        let said = self.attributes.get(FILL_VALUE).or_else(|| meta.attributes.get(FILL_VALUE));
        let said = said.and_then(|value| element(value, meta.dtype));
        let zero = Scalar::zero(meta.dtype);
        self.fill.map(|fill| fill.cast(meta.dtype)).or(said).unwrap_or(zero)
    }

    /// The parts of the data set's path.
    fn names(&self) -> Result<Vec<&str>> {
        let dataset = self.dataset.as_deref().unwrap_or(DEFAULT_DATASET);
        let names: Vec<&str> = dataset.split('/').filter(|name| !name.is_empty()).collect();
        if names.is_empty() || names.iter().any(|name| *name == "." || name.contains('\0')) {
            return Err(FormatError::new(
                ErrorKind::Invalid,
                format!("{dataset:?} does not name a data set"),
            )
            .help("give a path like /group/data"));
        }
        Ok(names)
    }
}

impl Hdf5Writer {
    /// Where the output lies until it is whole, and what is to be kept of a file that it is added
    /// to.
    fn stage(&self, names: &[&str], meta: &Meta) -> Result<(Option<Update>, Staging)> {
        if self.dataset.is_none() {
            return Ok((None, Staging::create(&self.path, self.mode)?));
        }
        if !self.path.is_file() {
            // One that appears meanwhile is not replaced for a data set's sake.
            let mode = Mode { overwrite: false, ..self.mode };
            return Ok((None, Staging::create(&self.path, mode)?));
        }
        let update = Update::plan(&self.path, names, &meta.axes, self.mode.overwrite)?;
        if let Some((axis, _)) =
            self.coordinates.iter().find(|(axis, _)| update.taken.contains_key(axis))
        {
            let message = format!("there is something of the name of the axis {axis:?} already");
            return Err(FormatError::new(ErrorKind::Exists, message)
                .at_path(&self.path)
                .help("leave out its coordinates, or choose another name"));
        }
        let staging = update.stage(self.mode)?;
        Ok((Some(update), staging))
    }
}

impl Hdf5Writer {
    /// How the chunks of an array like `meta` will lie.
    fn layout(&self, meta: &Meta) -> Layout {
        // A data set without axes or without elements cannot have chunks.
        match self.level {
            _ if meta.grid.rank() == 0 || meta.grid.is_empty() => Layout::Contiguous,
            None => Layout::Plain,
            Some(level) => Layout::Deflated { shuffle: meta.dtype.size() > 1, level },
        }
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

    fn scratch(&self, meta: &Meta) -> Result<u64> {
        Ok(scratch_bytes(self.layout(meta), meta.max_chunk_bytes() as usize))
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
        let meta = &self.named(meta).map_err(place)?;
        self.check_coordinates(meta, names[names.len() - 1]).map_err(place)?;
        let (update, staging) = self.stage(&names, meta)?;
        let update = update.as_ref();
        let chunk = meta.grid.max_chunk();
        let layout = self.layout(meta);
        let fill = self.fill(meta);
        let coordinates = &self.coordinates[..];
        let wanted =
            Wanted { names: &names, meta, chunk: &chunk, layout, fill, coordinates, update };
        let output = guarded(&self.path, || RustHdf5::create(staging.path(), &wanted))?;
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
            output.attr(name, value).map_err(|error| {
                place(error.help(format!("while writing the attribute {name:?}")))
            })?;
        }
        let bytes = meta.max_chunk_bytes() as usize;
        Ok(Arc::new(Sink {
            meta: meta.clone(),
            chunk,
            bytes,
            layout,
            level: self.level.map(filter::deflate_level).transpose().map_err(place)?,
            fill,
            output: Mutex::new(Some(Arc::new(output))),
            written: ChunkSet::new(meta.grid.len()),
            staging,
            update: update.cloned(),
            path: self.path.clone(),
        }))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// Bytes of each buffer that storing a chunk of `bytes` needs.
fn buffer_bytes(layout: Layout, bytes: usize) -> usize {
    match layout {
        Layout::Contiguous | Layout::Plain => bytes,
        Layout::Deflated { .. } => filter::deflate_bound(bytes).next_multiple_of(ALIGNED),
    }
}

/// Bytes of its buffers together: of chunks that are encoded there are two.
fn scratch_bytes(layout: Layout, bytes: usize) -> u64 {
    let buffers = if matches!(layout, Layout::Deflated { .. }) { 2 } else { 1 };
    buffers * buffer_bytes(layout, bytes).next_multiple_of(64) as u64
}

/// An array on its way into a file.
struct Sink {
    meta: Meta,
    /// The shape of every chunk; those at the upper edges are padded with `fill`.
    chunk: Dims,
    /// The bytes of a chunk.
    bytes: usize,
    layout: Layout,
    level: Option<libdeflater::CompressionLvl>,
    fill: Scalar,
    /// `None` once it was finished.
    output: Mutex<Option<Arc<RustHdf5>>>,
    written: ChunkSet,
    /// Removed after the output, which is dropped first, let go of the file.
    staging: Staging,
    /// The file that the data set is added to.
    update: Option<Update>,
    path: PathBuf,
}

impl Sink {
    fn output(&self) -> Option<Arc<RustHdf5>> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, index: &[u64], data: &ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<u64> {
        let output = self.output().ok_or_else(|| {
            FormatError::new(ErrorKind::Invalid, "a chunk is written after the file was sealed")
        })?;
        let buffer = buffer_bytes(self.layout, self.bytes);
        let (first, mut rest) = cx.split_scratch(buffer);
        let whole = if data.shape() == &self.chunk[..] { data.as_bytes() } else { None };
        let plain = match whole {
            Some(bytes) => bytes,
            None => {
                let padded = &mut first[..self.bytes];
                let mut chunk = ChunkMut::new(self.meta.dtype, padded, &self.chunk);
                chunk.fill(self.fill);
                chunk.sub(&Region::whole(data.shape())).assign(data);
                &*padded
            }
        };
        let (Layout::Deflated { shuffle, .. }, Some(level)) = (self.layout, self.level) else {
            output.put_chunk(index, plain)?;
            return Ok(plain.len() as u64);
        };
        let (second, _) = rest.split_scratch(buffer);
        let (encoded, len): (&mut [u8], _) = if shuffle {
            transform::shuffle(plain, &mut second[..self.bytes], self.meta.dtype.size());
            let len = filter::deflate(level, &second[..self.bytes], first)?;
            (first, len)
        } else {
            let len = filter::deflate(level, plain, second)?;
            (second, len)
        };
        // A stream tells where it ends; what follows is not looked at.
        let aligned = len.next_multiple_of(ALIGNED);
        encoded[len..aligned].fill(0);
        output.put_chunk(index, &encoded[..aligned])?;
        Ok(aligned as u64)
    }
}

impl ChunkSink for Sink {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn scratch(&self) -> u64 {
        scratch_bytes(self.layout, self.bytes)
    }

    fn write(&self, index: &[u64], data: ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<Written> {
        let bytes = self
            .put(index, &data, cx)
            .map_err(|error| error.at(format_args!("{}, chunk {index:?}", self.path.display())))?;
        self.written.insert(self.meta.grid.linear_of(index));
        Ok(Written { bytes })
    }

    fn seal(&self) -> Result<()> {
        self.written.check_whole(&self.meta.grid).map_err(|error| error.at_path(&self.path))?;
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(output) = output else { return Ok(()) };
        let output = Arc::into_inner(output).ok_or_else(|| {
            FormatError::new(ErrorKind::Invalid, "sealed while a chunk is being written")
                .at_path(&self.path)
        })?;
        output.finish().map_err(|error| error.at_path(&self.path))?;
        if let Some(update) = &self.update {
            update.check(self.staging.path())?;
        }
        self.staging.sync()
    }

    fn publish(&self) -> Result<()> {
        if self.output().is_some() {
            return Err(FormatError::new(ErrorKind::Invalid, "published before it was sealed")
                .at_path(&self.path));
        }
        if let Some(update) = &self.update {
            update.check_unchanged()?;
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
