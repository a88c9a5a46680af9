//! What a data set is and where its elements lie, read once.
//!
//! The messages of its object header say it; this module checks them against each other and
//! the file's length, and refuses by name what is not supported.

use super::{
    attributes,
    chunks::{ChunkQuery, Chunks},
    external::Slots,
    file::{Container, corrupt, unsupported},
    filter::Pipeline,
    header::Header,
    number::Number,
    virtual_::{Mapping, Nesting},
};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    grid::{Grid, VIRTUAL_CHUNK},
    region::{Dims, checked_volume},
    source::Meta,
};
use hdf5_reader::messages::{
    HdfMessage, MSG_DATA_LAYOUT, MSG_DATASPACE, MSG_DATATYPE, MSG_EXTERNAL_FILES, MSG_FILL_VALUE,
    MSG_FILL_VALUE_OLD, MSG_FILTER_PIPELINE,
    dataspace::{DataspaceMessage, DataspaceType},
    layout::{ChunkIndexing, DataLayout},
};
use smallvec::SmallVec;

/// The most axes that HDF5 allows.
const MAX_RANK: usize = 32;
/// The class of a layout that is made of other data sets.
const VIRTUAL: u8 = 3;

/// An element's bytes, as they lie in a file.
pub(super) type Stored = SmallVec<[u8; 8]>;

/// What a data set is and where its elements lie.
#[derive(Debug)]
pub(super) struct Index {
    /// Of an odd number (see [`Number::fits`]) this is of its bytes, with an axis of them.
    pub(super) meta: Meta,
    pub(super) number: Number,
    /// What missing elements are.
    pub(super) fill: Stored,
    pub(super) layout: Layout,
    /// Bytes on disk.
    pub(super) stored: u64,
}

impl Layout {
    /// Bytes of memory that it takes, nearly.
    pub(super) fn held(&self) -> u64 {
        let bytes = match self {
            Layout::Missing | Layout::Contiguous(_) => 0,
            Layout::Compact(words) => size_of_val(&words[..]),
            Layout::Chunked(chunks) => size_of_val(&chunks.entries[..]),
            // Names of files, each with what leads to it.
            Layout::External(slots) => slots.len() * 512,
            Layout::Virtual(mapping) => mapping.len() * 2048,
        };
        bytes as u64
    }
}

/// Where the elements lie.
#[derive(Debug)]
pub(super) enum Layout {
    /// Nowhere: all elements are the fill value.
    Missing,
    /// In the object header; here, as words, so that every dtype is aligned.
    Compact(Vec<u64>),
    /// In one run at this address of the file.
    Contiguous(u64),
    /// In runs of other files.
    External(Slots),
    /// In chunks.
    Chunked(Chunks),
    /// In other data sets.
    Virtual(Mapping),
}

/// What is said of a data set before its elements are looked up.
pub(super) struct Description {
    number: Number,
    shape: Dims,
    max_dims: Option<Vec<u64>>,
}

fn dataspace(container: &Container, header: &Header) -> Result<DataspaceMessage> {
    let missing = || corrupt("the data set lacks a shape");
    let space = header.first(MSG_DATASPACE).ok_or_else(missing)?;
    match container.parse(MSG_DATASPACE, space)? {
        HdfMessage::Dataspace(space) => Ok(space),
        _ => Err(missing()),
    }
}

/// The dtype and shape of a data set that cannot be read, as far as they are known.
pub(super) fn known(container: &Container, header: &Header) -> (Option<DType>, Option<Dims>) {
    let dtype = describe(container, header).map(|described| described.number.dtype);
    let space = dataspace(container, header).ok();
    let space = space.filter(|space| space.dataspace_type != DataspaceType::Null);
    (dtype.ok(), space.map(|space| space.dims.into()))
}

pub(super) fn describe(container: &Container, header: &Header) -> Result<Description> {
    let missing = || corrupt("the data set lacks a datatype");
    let space = dataspace(container, header)?;
    let message = header.first(MSG_DATATYPE).ok_or_else(missing)?;
    let HdfMessage::Datatype(parsed) = container.parse(MSG_DATATYPE, message)? else {
        return Err(missing());
    };
    let DataspaceMessage { dims, max_dims, dataspace_type, .. } = space;
    if dataspace_type == DataspaceType::Null {
        return Err(unsupported("the data set has a null dataspace: no elements and no shape"));
    }
    let number = Number::new(message, &parsed)?;
    let shape: Dims = dims.into();
    // Strides must fit as well, and those of an empty array do not see its empty axis.
    let reach: Dims = shape.iter().map(|&n| n.max(1)).collect();
    let bytes = checked_volume(&reach).and_then(|n| n.checked_mul(number.dtype.size() as u64));
    if shape.len() > MAX_RANK || bytes.is_none_or(|n| i64::try_from(n).is_err()) {
        return Err(FormatError::new(
            ErrorKind::Limit,
            format!("a shape of {shape:?} is beyond what can be addressed"),
        ));
    }
    Ok(Description { number, shape, max_dims })
}

/// What elements are that were never written: zeros where nothing is said.
fn fill_value(container: &Container, header: &Header, size: usize) -> Result<Stored> {
    for kind in [MSG_FILL_VALUE, MSG_FILL_VALUE_OLD] {
        let Some(message) = header.first(kind) else { continue };
        let HdfMessage::FillValue(message) = container.parse(kind, message)? else { continue };
        match message.value {
            Some(value) if value.len() == size => return Ok(value.into()),
            Some(value) => {
                let message = format!("a fill value of {} bytes for {size}", value.len());
                return Err(corrupt(message));
            }
            None => {}
        }
    }
    Ok(Stored::from_elem(0, size))
}

/// Reads everything there is to know of a data set but its elements.
pub(super) fn read_index(
    container: &Container,
    header: &Header,
    nesting: &Nesting,
) -> Result<Index> {
    let Description { number, mut shape, mut max_dims } = describe(container, header)?;
    let size = number.size;
    let fill = fill_value(container, header, size)?;
    let layout =
        header.first(MSG_DATA_LAYOUT).ok_or_else(|| corrupt("the data set has no layout"))?;
    if layout.first().is_some_and(|&version| version >= 4) && layout.get(1) == Some(&VIRTUAL) {
        let mapping = Mapping::open(container, layout, &shape, number, &fill, nesting)?;
        let grid = virtual_chunks(&mapping.shape, number.dtype.size() as u64);
        let mut meta = Meta::new(number.dtype, grid);
        attributes::read(container, header, &mut meta);
        return Ok(Index { meta, number, fill, layout: Layout::Virtual(mapping), stored: 0 });
    }
    // Numbers of three bytes and the like are read as bytes first.
    let dtype = if number.fits() { number.dtype } else { DType::U8 };
    if !number.fits() {
        shape.push(size as u64);
        if let Some(dims) = &mut max_dims {
            dims.push(size as u64);
        }
    }
    let bytes = checked_volume(&shape)
        .and_then(|n| n.checked_mul(dtype.size() as u64))
        .ok_or_else(|| corrupt(format!("a shape of {shape:?}")))?;
    let HdfMessage::DataLayout(parsed) = container.parse(MSG_DATA_LAYOUT, layout)? else {
        return Err(corrupt("the data set has no layout"));
    };
    let elements = Elements { number, dtype, shape, max_dims, bytes };
    let Lain { grid, layout, stored } = match parsed.layout {
        DataLayout::Compact { data } => elements.compact(&data)?,
        DataLayout::Contiguous { address, .. } => {
            elements.contiguous(container, header, address)?
        }
        DataLayout::Chunked { address, dims, chunk_indexing, .. } => {
            // Bit 0 of the flags, which versions 4 and 5 have: chunks over an edge stay plain.
            let edges_plain = chunk_indexing.is_some() && layout.get(2).is_some_and(|f| f & 1 != 0);
            let place = ChunkPlace { address, dims, indexing: chunk_indexing, edges_plain };
            elements.chunked(container, header, &place)?
        }
    };
    let mut meta = Meta::new(dtype, grid);
    if number.fits() {
        attributes::read(container, header, &mut meta);
    } else {
        // The axis of bytes has no name.
        meta.axes.pop();
        attributes::read(container, header, &mut meta);
        meta.axes.push(String::new());
    }
    Ok(Index { meta, number, fill, layout, stored })
}

/// The elements of a data set as they are read: odd numbers as bytes, with an axis of them.
struct Elements {
    number: Number,
    dtype: DType,
    shape: Dims,
    max_dims: Option<Vec<u64>>,
    /// Bytes of all elements.
    bytes: u64,
}

/// Where the elements of one layout lie.
struct Lain {
    grid: Grid,
    layout: Layout,
    /// Bytes on disk.
    stored: u64,
}

/// What a layout message tells of chunks.
struct ChunkPlace {
    /// Where their index begins.
    address: u64,
    /// The lengths of a chunk, and in most versions the size of an element.
    dims: Vec<u32>,
    /// The kind of index; of version 3 it is a B-tree.
    indexing: Option<ChunkIndexing>,
    /// Whether chunks over an edge are stored without filters.
    edges_plain: bool,
}

impl Elements {
    /// In the object header itself.
    fn compact(&self, data: &[u8]) -> Result<Lain> {
        let bytes = self.bytes as usize;
        let Some(data) = data.get(..bytes) else {
            return Err(corrupt(format!("{} bytes of data for {bytes}", data.len())));
        };
        let mut words = vec![0u64; bytes.div_ceil(8)];
        bytemuck::cast_slice_mut(&mut words)[..bytes].copy_from_slice(data);
        let layout = Layout::Compact(words);
        Ok(Lain { grid: Grid::whole(&self.shape), layout, stored: self.bytes })
    }

    /// In one run of the file, or in runs of other files.
    fn contiguous(&self, container: &Container, header: &Header, address: u64) -> Result<Lain> {
        let (layout, stored) = match header.first(MSG_EXTERNAL_FILES) {
            Some(files) => {
                (Layout::External(Slots::open(container, files, self.bytes)?), self.bytes)
            }
            None => match container.place(address, self.bytes)? {
                Some(address) if self.bytes > 0 => (Layout::Contiguous(address), self.bytes),
                _ => (Layout::Missing, 0),
            },
        };
        Ok(Lain { grid: virtual_chunks(&self.shape, self.dtype.size() as u64), layout, stored })
    }

    /// In chunks, whose index is read and checked.
    fn chunked(&self, container: &Container, header: &Header, place: &ChunkPlace) -> Result<Lain> {
        let (chunk, chunk_bytes) = self.chunk(place)?;
        let pipeline = match header.first(MSG_FILTER_PIPELINE) {
            None => Pipeline::default(),
            Some(message) => match container.parse(MSG_FILTER_PIPELINE, message)? {
                HdfMessage::FilterPipeline(message) => Pipeline::new(&message, self.number.size)?,
                _ => return Err(corrupt("the filters of the data set are damaged")),
            },
        };
        let shape: Dims = chunk.iter().map(|&n| u64::from(n)).collect();
        let grid = Grid::regular(&self.shape, &shape);
        let axes = self.axes();
        let mut found = container.chunks(&ChunkQuery {
            address: place.address,
            indexing: place.indexing.as_ref(),
            shape: &self.shape[..axes],
            max_dims: self.max_dims.as_deref().and_then(|dims| dims.get(..axes)),
            chunk: &chunk[..axes],
            element: self.number.size,
        })?;
        if !self.number.fits() {
            found.iter_mut().for_each(|entry| entry.offsets.push(0));
        }
        let (plain, edges_plain) = (pipeline.is_empty(), place.edges_plain);
        let entries = container.check(found, &grid, &shape, chunk_bytes, plain, edges_plain)?;
        let stored = entries.iter().map(|entry| u64::from(entry.stored)).sum();
        let max_stored = entries.iter().map(|entry| entry.stored).max().unwrap_or(0) as usize;
        let chunks = Chunks { shape, bytes: chunk_bytes as usize, pipeline, entries, max_stored };
        Ok(Lain { grid, layout: Layout::Chunked(chunks), stored })
    }

    /// The axes that the file knows of.
    fn axes(&self) -> usize {
        if self.number.fits() { self.shape.len() } else { self.shape.len() - 1 }
    }

    /// The lengths of a chunk, and its bytes.
    fn chunk(&self, ChunkPlace { dims, .. }: &ChunkPlace) -> Result<(Vec<u32>, u32)> {
        let axes = self.axes();
        // Behind the axes follows the size of an element.
        let mut chunk = match dims.len().checked_sub(axes) {
            Some(0 | 1) if axes > 0 => dims[..axes].to_vec(),
            _ => {
                let message = format!("chunks of {dims:?} for a shape of {:?}", self.shape);
                return Err(corrupt(message));
            }
        };
        if !self.number.fits() {
            chunk.push(self.number.size as u32);
        }
        if chunk.contains(&0) {
            return Err(corrupt(format!("chunks of {chunk:?}")));
        }
        let lengths: Dims = chunk.iter().map(|&n| u64::from(n)).collect();
        let bytes = checked_volume(&lengths)
            .and_then(|n| n.checked_mul(self.dtype.size() as u64))
            .and_then(|n| u32::try_from(n).ok());
        bytes.map(|bytes| (chunk.clone(), bytes)).ok_or_else(|| {
            let message = format!("chunks of {chunk:?} {} have 4 GiB or more", self.dtype);
            FormatError::new(ErrorKind::Limit, message)
        })
    }
}

/// Chunks of elements that lie in one run.
pub(super) fn virtual_chunks(shape: &[u64], size: u64) -> Grid {
    Grid::cut(shape, &[], size, VIRTUAL_CHUNK)
}
