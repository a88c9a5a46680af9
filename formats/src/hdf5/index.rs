//! What a data set is and where its chunks lie, read once.
//!
//! `hdf5-reader` parses object headers and the six kinds of chunk index; this module checks
//! what they say against the file's length, refuses by name what is not supported, and
//! keeps the chunk index as a sorted array of 24 bytes a chunk.

use super::{
    attributes,
    file::{Container, REMEDY, corrupt, translate, unsupported},
    filter::Pipeline,
};
use crate::{
    dtype::{DType, Scalar},
    error::{ErrorKind, FormatError, Result},
    grid::{AxisGrid, Grid},
    region::{Dims, checked_volume},
    source::Meta,
};
use hdf5_reader::{
    ByteOrder, Dataset, Datatype,
    btree_v1::{BTreeV1Key, collect_btree_v1_leaves_storage},
    chunk_index::{
        ChunkEntry, collect_implicit_chunk_entries, collect_v2_chunk_entries_storage,
        single_chunk_entry,
    },
    extensible_array::collect_extensible_array_chunk_entries_storage,
    fixed_array::collect_fixed_array_chunk_entries_storage,
    io::Cursor,
    messages::{
        HdfMessage,
        dataspace::{DataspaceMessage, DataspaceType},
        datatype::VarLenKind,
        layout::{ChunkIndexing, DataLayout},
    },
};

/// The most axes that HDF5 allows.
const MAX_RANK: usize = 32;
/// Bytes above which contiguous data are cut into virtual chunks, and about the size of those.
const VIRTUAL_CHUNK: u64 = 64 << 20;

/// What a data set is and where its elements lie.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) meta: Meta,
    /// Whether the bytes of an element lie in the other order than this machine's.
    pub(super) swapped: bool,
    /// What missing elements are: the bytes as they would lie in the file.
    pub(super) fill: Scalar,
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
    /// In chunks.
    Chunked(Chunks),
}

/// The chunk index.
#[derive(Debug)]
pub(super) struct Chunks {
    /// The shape of every chunk on disk; those at the upper edges reach beyond the array.
    pub(super) shape: Dims,
    /// The bytes of a decoded chunk.
    pub(super) bytes: usize,
    pub(super) pipeline: Pipeline,
    /// Sorted by `chunk`.
    pub(super) entries: Box<[Entry]>,
    /// The most bytes that a chunk has on disk.
    pub(super) max_stored: usize,
}

/// One chunk on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The number of the chunk in C order.
    pub(super) chunk: u64,
    /// Where it lies, from the start of the file.
    pub(super) address: u64,
    /// Its bytes on disk.
    pub(super) stored: u32,
    /// The filters that were left out, one bit each.
    pub(super) mask: u32,
}

impl Chunks {
    /// The chunk with this number in C order, if it is on disk.
    pub(super) fn get(&self, chunk: u64) -> Option<Entry> {
        // Where no chunk is missing, each stands at its own number.
        let likely = usize::try_from(chunk).ok().and_then(|i| self.entries.get(i));
        if let Some(entry) = likely.filter(|entry| entry.chunk == chunk) {
            return Some(*entry);
        }
        let at = self.entries.binary_search_by_key(&chunk, |entry| entry.chunk).ok()?;
        Some(self.entries[at])
    }
}

/// What is said of a data set before its chunks are looked up.
pub(super) struct Description {
    dtype: DType,
    swapped: bool,
    shape: Dims,
}

pub(super) fn describe(container: &Container, dataset: &Dataset) -> Result<Description> {
    let header = container.file.get_or_parse_header(dataset.address()).map_err(translate)?;
    let space = header.messages.iter().find_map(|message| match message {
        HdfMessage::Dataspace(space) => Some(space),
        _ => None,
    });
    if space.is_none_or(|s: &DataspaceMessage| s.dataspace_type == DataspaceType::Null) {
        return Err(unsupported("the data set has a null dataspace: no elements and no shape"));
    }
    let (dtype, swapped) = dtype_of(dataset)?;
    let shape: Dims = dataset.shape().into();
    // Strides must fit as well, and those of an empty array do not see its empty axis.
    let reach: Dims = shape.iter().map(|&n| n.max(1)).collect();
    let bytes = checked_volume(&reach).and_then(|n| n.checked_mul(dtype.size() as u64));
    if shape.len() > MAX_RANK || bytes.is_none_or(|n| i64::try_from(n).is_err()) {
        return Err(FormatError::new(
            ErrorKind::Limit,
            format!("a shape of {shape:?} is beyond what can be addressed"),
        ));
    }
    Ok(Description { dtype, swapped, shape })
}

/// The dtype of the elements and whether their bytes must be swapped.
fn dtype_of(dataset: &Dataset) -> Result<(DType, bool)> {
    let swapped =
        |order: &ByteOrder| (*order == ByteOrder::BigEndian) != cfg!(target_endian = "big");
    let refuse =
        |what: String| Err(unsupported(format!("elements are {what}; numbers can be read")));
    let result = match dataset.dtype() {
        Datatype::FixedPoint { size, signed, byte_order } => {
            let dtype = match (size, signed) {
                (1, false) => DType::U8,
                (2, false) => DType::U16,
                (4, false) => DType::U32,
                (8, false) => DType::U64,
                (1, true) => DType::I8,
                (2, true) => DType::I16,
                (4, true) => DType::I32,
                (8, true) => DType::I64,
                _ => return refuse(format!("integers of {size} bytes")),
            };
            (dtype, swapped(byte_order))
        }
        Datatype::FloatingPoint { size, byte_order } => match size {
            4 => (DType::F32, swapped(byte_order)),
            8 => (DType::F64, swapped(byte_order)),
            2 => return refuse("half-precision floats (float16)".into()),
            _ => return refuse(format!("floats of {size} bytes")),
        },
        Datatype::Enum { base, members } => {
            let boolean = matches!(**base, Datatype::FixedPoint { size: 1, .. })
                && members.len() == 2
                && members.iter().all(|m| match m.name.as_str() {
                    "FALSE" => m.value == [0],
                    "TRUE" => m.value == [1],
                    _ => false,
                });
            match boolean {
                true => (DType::Bool, false),
                false => return refuse("of an enumeration".into()),
            }
        }
        Datatype::String { .. } => return refuse("strings".into()),
        Datatype::Compound { fields, .. } => {
            let names: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
            return match names[..] {
                ["r", "i"] => refuse("complex numbers".into()),
                _ => refuse(format!("of a compound type ({})", names.join(", "))),
            };
        }
        Datatype::Array { .. } => return refuse("arrays".into()),
        Datatype::VarLen { kind: VarLenKind::String, .. } => return refuse("strings".into()),
        Datatype::VarLen { .. } => return refuse("of variable length".into()),
        Datatype::Opaque { .. } => return refuse("opaque".into()),
        Datatype::Reference { .. } => return refuse("references".into()),
        Datatype::Bitfield { .. } => return refuse("bit fields".into()),
    };
    if result.0 != DType::Bool {
        standard(&dataset.raw_datatype().map_err(translate)?, result.0)?;
    }
    Ok(result)
}

/// Refuses numbers that use only some of their bits, or floats that are not IEEE 754's:
/// the datatype message (specification, section IV.A.2.d) tells them from plain ones.
fn standard(message: &[u8], dtype: DType) -> Result<()> {
    let number =
        |at: usize| message.get(at..at + 2).map(|b| u64::from(u16::from_le_bytes([b[0], b[1]])));
    let plain = number(8) == Some(0) && number(10) == Some(8 * dtype.size() as u64);
    // Exponent's place and bits, mantissa's place and bits; then the exponent's bias.
    let ieee = match dtype {
        DType::F32 => message.get(12..20) == Some(&[23, 8, 0, 23, 127, 0, 0, 0]),
        DType::F64 => message.get(12..20) == Some(&[52, 11, 0, 52, 0xff, 3, 0, 0]),
        _ => true,
    };
    // Bit 6 of a float's flags marks the byte order of the VAX.
    let vax = dtype.is_float() && message.get(1).is_some_and(|flags| flags & 0x40 != 0);
    if plain && ieee && !vax {
        return Ok(());
    }
    Err(unsupported(
        "elements are numbers of a layout of their own, not plain integers or IEEE floats",
    )
    .help(REMEDY))
}

/// Reads everything there is to know of `dataset` but its elements.
pub(super) fn read_index(container: &Container, dataset: &Dataset) -> Result<Index> {
    let Description { dtype, swapped, shape } = describe(container, dataset)?;
    let header = container.file.get_or_parse_header(dataset.address()).map_err(translate)?;
    let (mut layout, mut filters, mut fill, mut max_dims) = (None, None, None, None);
    for message in &header.messages {
        match message {
            HdfMessage::DataLayout(message) => layout = Some(&message.layout),
            HdfMessage::FilterPipeline(message) => filters = Some(message),
            // Of the two kinds of message, the one with a value counts.
            HdfMessage::FillValue(message) if message.value.is_some() || fill.is_none() => {
                fill = Some(message);
            }
            HdfMessage::Dataspace(message) => max_dims = message.max_dims.as_deref(),
            HdfMessage::ExternalFiles(_) => {
                return Err(unsupported("the elements lie in external files").help(REMEDY));
            }
            _ => {}
        }
    }
    let size = dtype.size();
    let fill = match fill.and_then(|message| message.value.as_deref()) {
        Some(value) if value.len() == size => Scalar::from_bytes(dtype, value),
        Some(value) => {
            return Err(corrupt(format!("a fill value of {} bytes for {dtype}", value.len())));
        }
        None => Scalar::zero(dtype),
    };
    let bytes = checked_volume(&shape).expect("checked above") * size as u64;
    let grid;
    let (layout, stored) = match layout.ok_or_else(|| corrupt("the data set has no layout"))? {
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
            grid = virtual_chunks(&shape, size as u64);
            match container.place(*address, bytes)? {
                Some(address) if bytes > 0 => (Layout::Contiguous(address), bytes),
                _ => (Layout::Missing, 0),
            }
        }
        DataLayout::Chunked { address, dims, chunk_indexing, .. } => {
            // Up to version 3 of the message, the size of an element follows the axes.
            let rank = shape.len();
            let chunk = match dims.len().checked_sub(rank) {
                Some(0 | 1) if rank > 0 => &dims[..rank],
                _ => return Err(corrupt(format!("chunks of {dims:?} for a shape of {shape:?}"))),
            };
            if chunk.contains(&0) {
                return Err(corrupt(format!("chunks of {chunk:?}")));
            }
            let pipeline = filters.map(|f| Pipeline::new(f, size)).transpose()?.unwrap_or_default();
            let chunk_dims: Dims = chunk.iter().map(|&n| u64::from(n)).collect();
            let chunk_bytes = checked_volume(&chunk_dims)
                .and_then(|n| n.checked_mul(size as u64))
                .and_then(|n| u32::try_from(n).ok())
                .ok_or_else(|| {
                    FormatError::new(
                        ErrorKind::Limit,
                        format!("chunks of {chunk:?} {dtype} have 4 GiB or more"),
                    )
                })?;
            grid = Grid::regular(&shape, &chunk_dims);
            let found = container.chunks(&ChunkQuery {
                address: *address,
                indexing: chunk_indexing.as_ref(),
                shape: &shape,
                max_dims,
                chunk,
                element: size,
            })?;
            let entries =
                container.check(found, &grid, &chunk_dims, chunk_bytes, pipeline.is_empty())?;
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
    attributes::read(dataset, &mut meta);
    Ok(Index { meta, swapped, fill, layout, stored })
}

/// What the walk of a chunk index needs.
struct ChunkQuery<'a> {
    address: u64,
    indexing: Option<&'a ChunkIndexing>,
    shape: &'a [u64],
    max_dims: Option<&'a [u64]>,
    chunk: &'a [u32],
    element: usize,
}

impl Container {
    /// Walks the chunk index.
    fn chunks(&self, query: &ChunkQuery<'_>) -> Result<Vec<ChunkEntry>> {
        let superblock = self.file.superblock();
        let (offsets, lengths) = (superblock.offset_size, superblock.length_size);
        let (storage, rank) = (self.file.storage(), query.shape.len());
        if query.shape.contains(&0) || Cursor::is_undefined_offset(query.address, offsets) {
            return Ok(Vec::new());
        }
        match query.indexing {
            None => {
                let leaves = collect_btree_v1_leaves_storage(
                    storage,
                    query.address,
                    offsets,
                    lengths,
                    Some(rank as u32),
                    query.chunk,
                    None,
                )
                .map_err(translate)?;
                let entry = |(key, address)| match key {
                    BTreeV1Key::RawData { chunk_size, filter_mask, mut offsets } => {
                        offsets.truncate(rank);
                        Ok(ChunkEntry { address, size: chunk_size.into(), filter_mask, offsets })
                    }
                    BTreeV1Key::Group { .. } => Err(corrupt("its chunk index is one of groups")),
                };
                leaves.into_iter().map(entry).collect()
            }
            Some(ChunkIndexing::SingleChunk { filtered_size, filters }) => {
                Ok(vec![single_chunk_entry(query.address, *filtered_size, *filters, rank)])
            }
            Some(ChunkIndexing::Implicit) => collect_implicit_chunk_entries(
                query.address,
                query.shape,
                query.chunk,
                query.element,
                None,
                self.len,
            )
            .map_err(translate),
            Some(ChunkIndexing::FixedArray { .. }) => collect_fixed_array_chunk_entries_storage(
                storage,
                query.address,
                offsets,
                lengths,
                query.shape,
                query.chunk,
                None,
            )
            .map_err(translate),
            Some(ChunkIndexing::ExtensibleArray { .. }) => {
                collect_extensible_array_chunk_entries_storage(
                    storage,
                    query.address,
                    offsets,
                    lengths,
                    query.shape,
                    query.max_dims,
                    query.chunk,
                    None,
                )
                .map_err(translate)
            }
            Some(ChunkIndexing::BTreeV2) => collect_v2_chunk_entries_storage(
                storage,
                query.address,
                offsets,
                lengths,
                rank as u32,
                query.chunk,
                None,
            )
            .map_err(translate),
        }
    }

    /// Checks each chunk against the grid and the file's length, and sorts them.
    fn check(
        &self,
        found: Vec<ChunkEntry>,
        grid: &Grid,
        chunk: &[u64],
        bytes: u32,
        plain: bool,
    ) -> Result<Box<[Entry]>> {
        let shape = grid.shape();
        let mut entries = Vec::with_capacity(found.len());
        for entry in found {
            let aligned = entry.offsets.len() == shape.len()
                && entry.offsets.iter().zip(chunk).all(|(at, len)| at % len == 0);
            if !aligned {
                return Err(corrupt(format!("a chunk at {:?} is off the grid", entry.offsets)));
            }
            // An array that was made smaller keeps its chunks outside.
            if entry.offsets.iter().zip(&shape).any(|(at, len)| at >= len) {
                continue;
            }
            let at: Dims = entry.offsets.iter().zip(chunk).map(|(at, len)| at / len).collect();
            let stored = match (plain, entry.size) {
                (true, 0) => bytes,
                (true, size) if size == u64::from(bytes) => bytes,
                (false, size) if size > 0 && u32::try_from(size).is_ok() => size as u32,
                (_, size) => {
                    return Err(corrupt(format!("chunk {at:?} has {size} bytes, decoded {bytes}")));
                }
            };
            let place = self
                .place(entry.address, stored.into())
                .map_err(|error| error.help(format!("found while looking at chunk {at:?}")))?;
            if let Some(address) = place {
                let chunk = grid.linear_of(&at);
                entries.push(Entry { chunk, address, stored, mask: entry.filter_mask });
            }
        }
        entries.sort_unstable_by_key(|entry| entry.chunk);
        if let Some(twice) = entries.windows(2).find(|w| w[0].chunk == w[1].chunk) {
            let at = grid.index_of(twice[0].chunk);
            return Err(corrupt(format!("chunk {at:?} is in the index twice")));
        }
        Ok(entries.into())
    }
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
