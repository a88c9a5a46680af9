//! Where the chunks of a data set lie, read once.
//!
//! `hdf5-reader` walks the six kinds of chunk index; here what it finds is checked against the
//! grid and the file's length, and kept as a sorted array of 24 bytes a chunk.

use super::{
    file::{Container, corrupt, translate},
    filter::Pipeline,
};
use crate::{error::Result, grid::Grid, region::Dims};
use hdf5_reader::{
    btree_v1::{BTreeV1Key, collect_btree_v1_leaves_storage},
    chunk_index::{
        ChunkEntry, collect_implicit_chunk_entries, collect_v2_chunk_entries_storage,
        single_chunk_entry,
    },
    extensible_array::collect_extensible_array_chunk_entries_storage,
    fixed_array::collect_fixed_array_chunk_entries_storage,
    io::Cursor,
    messages::layout::ChunkIndexing,
};

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

/// What the walk of a chunk index needs.
pub(super) struct ChunkQuery<'a> {
    pub(super) address: u64,
    pub(super) indexing: Option<&'a ChunkIndexing>,
    pub(super) shape: &'a [u64],
    pub(super) max_dims: Option<&'a [u64]>,
    pub(super) chunk: &'a [u32],
    /// Bytes of a stored element.
    pub(super) element: usize,
}

impl ChunkQuery<'_> {
    /// The shape of the array once it is as long as it may become: by it the indexes of fixed
    /// length number their chunks.
    fn longest(&self) -> Result<&[u64]> {
        let longest = self.max_dims.unwrap_or(self.shape);
        if longest.iter().zip(self.shape).any(|(most, len)| most < len) {
            let shape = self.shape;
            return Err(corrupt(format!("a shape of {shape:?}, and of {longest:?} at the most")));
        }
        Ok(longest)
    }
}

impl Container {
    /// Walks the chunk index.
    pub(super) fn chunks(&self, query: &ChunkQuery<'_>) -> Result<Vec<ChunkEntry>> {
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
                query.longest()?,
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
                query.longest()?,
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
    /// Of chunks with filters, those over an upper edge have none if `edges_plain`.
    pub(super) fn check(
        &self,
        found: Vec<ChunkEntry>,
        grid: &Grid,
        chunk: &[u64],
        bytes: u32,
        plain: bool,
        edges_plain: bool,
    ) -> Result<Box<[Entry]>> {
        let shape = grid.shape();
        let mut entries = Vec::with_capacity(found.len());
        for entry in found {
            let aligned = entry.offsets.len() == shape.len()
                && entry.offsets.iter().zip(chunk).all(|(at, len)| at % len == 0);
            if !aligned {
                return Err(corrupt(format!("a chunk at {:?} is off the grid", entry.offsets)));
            }
            // An array that was made smaller, or may become longer, has chunks outside.
            if entry.offsets.iter().zip(&shape).any(|(at, len)| at >= len) {
                continue;
            }
            let at: Dims = entry.offsets.iter().zip(chunk).map(|(at, len)| at / len).collect();
            let over = |(at, (len, all)): (&u64, (&u64, &u64))| all - at < *len;
            let edge = edges_plain && entry.offsets.iter().zip(chunk.iter().zip(&shape)).any(over);
            let stored = match (plain || edge, entry.size) {
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
                let mask = if edge { u32::MAX } else { entry.filter_mask };
                entries.push(Entry { chunk, address, stored, mask });
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
