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
    grid::{AxisGrid, Grid},
    region::{Dims, checked_volume},
    source::Meta,
};
use hdf5_reader::messages::{
    HdfMessage, MSG_DATA_LAYOUT, MSG_DATASPACE, MSG_DATATYPE, MSG_EXTERNAL_FILES, MSG_FILL_VALUE,
    MSG_FILL_VALUE_OLD, MSG_FILTER_PIPELINE,
    dataspace::{DataspaceMessage, DataspaceType},
    layout::DataLayout,
};
use smallvec::SmallVec;

/// The most axes that HDF5 allows.
const MAX_RANK: usize = 32;
/// Bytes above which contiguous data are cut into virtual chunks, and about the size of those.
const VIRTUAL_CHUNK: u64 = 64 << 20;
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
    let grid;
    let (layout, stored) = match parsed.layout {
        DataLayout::Compact { data } => {
            grid = Grid::whole(&shape);
            if (data.len() as u64) < bytes {
                return Err(corrupt(format!("{} bytes of data for {bytes}", data.len())));
            }
            let mut words = vec![0u64; (bytes as usize).div_ceil(8)];
            bytemuck::cast_slice_mut(&mut words)[..bytes as usize]
                .copy_from_slice(&data[..bytes as usize]);
            (Layout::Compact(words), bytes)
        }
        DataLayout::Contiguous { address, .. } => {
            grid = virtual_chunks(&shape, dtype.size() as u64);
            if let Some(files) = header.first(MSG_EXTERNAL_FILES) {
                (Layout::External(Slots::open(container, files, bytes)?), bytes)
            } else {
                match container.place(address, bytes)? {
                    Some(address) if bytes > 0 => (Layout::Contiguous(address), bytes),
                    _ => (Layout::Missing, 0),
                }
            }
        }
        DataLayout::Chunked { address, dims, chunk_indexing, .. } => {
            // Bit 0 of the flags, which versions 4 and 5 have: chunks over an edge stay plain.
            let edges_plain = chunk_indexing.is_some() && layout.get(2).is_some_and(|f| f & 1 != 0);
            // Behind the axes follows the size of an element.
            let rank = shape.len();
            let axes = if number.fits() { rank } else { rank - 1 };
            let mut chunk = match dims.len().checked_sub(axes) {
                Some(0 | 1) if axes > 0 => dims[..axes].to_vec(),
                _ => return Err(corrupt(format!("chunks of {dims:?} for a shape of {shape:?}"))),
            };
            if !number.fits() {
                chunk.push(size as u32);
            }
            if chunk.contains(&0) {
                return Err(corrupt(format!("chunks of {chunk:?}")));
            }
            let pipeline = match header.first(MSG_FILTER_PIPELINE) {
                None => Pipeline::default(),
                Some(message) => match container.parse(MSG_FILTER_PIPELINE, message)? {
                    HdfMessage::FilterPipeline(message) => Pipeline::new(&message, size)?,
                    _ => return Err(corrupt("the filters of the data set are damaged")),
                },
            };
            let chunk_dims: Dims = chunk.iter().map(|&n| u64::from(n)).collect();
            let chunk_bytes = checked_volume(&chunk_dims)
                .and_then(|n| n.checked_mul(dtype.size() as u64))
                .and_then(|n| u32::try_from(n).ok())
                .ok_or_else(|| {
                    FormatError::new(
                        ErrorKind::Limit,
                        format!("chunks of {chunk:?} {dtype} have 4 GiB or more"),
                    )
                })?;
            grid = Grid::regular(&shape, &chunk_dims);
            let mut found = container.chunks(&ChunkQuery {
                address,
                indexing: chunk_indexing.as_ref(),
                shape: &shape[..axes],
                max_dims: max_dims.as_deref().and_then(|dims| dims.get(..axes)),
                chunk: &chunk[..axes],
                element: size,
            })?;
            if !number.fits() {
                found.iter_mut().for_each(|entry| entry.offsets.push(0));
            }
            let plain = pipeline.is_empty();
            let entries =
                container.check(found, &grid, &chunk_dims, chunk_bytes, plain, edges_plain)?;
            let stored = entries.iter().map(|entry| u64::from(entry.stored)).sum();
            let max_stored = entries.iter().map(|entry| entry.stored).max().unwrap_or(0) as usize;
            let chunks = Chunks {
                shape: chunk_dims,
                bytes: chunk_bytes as usize,
                pipeline,
                entries,
                max_stored,
            };
            (Layout::Chunked(chunks), stored)
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

/// Chunks of about [`VIRTUAL_CHUNK`] bytes, cut along the outer axes, of elements that lie
/// in one run.
pub(super) fn virtual_chunks(shape: &[u64], size: u64) -> Grid {
    let mut room = VIRTUAL_CHUNK / size;
    let mut axes: Vec<AxisGrid> = Vec::with_capacity(shape.len());
    for &len in shape.iter().rev() {
        // Once an axis is cut, those outside it have one index a chunk.
        let chunk = room.clamp(1, len.max(1));
        axes.push(AxisGrid::regular(len, chunk));
        room = if chunk < len { 1 } else { (room / len.max(1)).max(1) };
    }
    axes.reverse();
    Grid::new(axes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contiguous_data_are_cut_along_outer_axes() {
        let sizes = |shape: &[u64]| virtual_chunks(shape, 4).max_chunk().to_vec();
        assert_eq!(sizes(&[1000, 1000]), [1000, 1000]);
        assert_eq!(sizes(&[100, 4096, 4096]), [1, 4096, 4096]);
        assert_eq!(sizes(&[100, 1024, 4096]), [4, 1024, 4096]);
        assert_eq!(sizes(&[2, 3, 1 << 25]), [1, 1, 1 << 24]);
        assert_eq!(sizes(&[]), [0u64; 0]);
        assert_eq!(virtual_chunks(&[5, 0], 4).len(), 0);
    }
}
