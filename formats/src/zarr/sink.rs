//! Writing: the chunks of an array, from any thread, in any order.
//!
//! Each chunk of the sink's grid is one stored object: a chunk as it is encoded, or a shard,
//! whose inner chunks are encoded one after the other into the file, so that no more than one
//! of them is ever held. The index of a shard comes last, as Zarr enhancement 2 has it.

use super::{
    codec::{Checksum, Step},
    document::Named,
    objects::Objects,
    place::{Out, Place},
};
use crate::{
    dtype::Scalar,
    error::{ErrorKind, FormatError, Result},
    grid::Grid,
    journal::{ChunkSet, Journal, Noted},
    region::{Coordinates, Dims, Region, volume},
    source::{ChunkSink, Meta, ReadCx, Written},
    view::{ChunkMut, ChunkView},
};
use std::fmt::Write as _;

/// The index entry of an inner chunk that is not stored.
const NOT_STORED: [u8; 16] = [0xff; 16];

/// A Zarr array being written.
#[derive(Debug)]
pub(super) struct ZarrSink {
    meta: Meta,
    /// The shapes of stored objects, at the edge too.
    objects: Objects,
    /// The shape of the chunks inside, of shards.
    inner: Option<Dims>,
    /// Bytes of the elements of the largest chunk that is encoded.
    chunk_bytes: u64,
    codec: Option<Step>,
    fill: Scalar,
    place: Place,
    documents: Named,
    written: ChunkSet,
}

impl ZarrSink {
    /// A sink for `meta`, whose sizes the writer has checked.
    pub(super) fn new(
        meta: Meta,
        objects: Objects,
        inner: Option<Dims>,
        codec: Option<Step>,
        fill: Scalar,
        place: Place,
        documents: Named,
    ) -> ZarrSink {
        let largest = inner.clone().unwrap_or_else(|| objects.largest());
        let chunk_bytes = volume(&largest) * meta.dtype.size() as u64;
        let written = ChunkSet::new(meta.grid.len());
        ZarrSink { meta, objects, inner, chunk_bytes, codec, fill, place, documents, written }
    }

    /// The chunk's key; both versions' usual one.
    fn key(&self, index: &[u64]) -> String {
        let (mut key, separator) = match self.place.version() {
            3 => ("c".to_owned(), '/'),
            _ => (String::new(), '.'),
        };
        for (axis, i) in index.iter().enumerate() {
            if axis > 0 || self.place.version() == 3 {
                key.push(separator);
            }
            let _ = write!(key, "{i}");
        }
        if key.is_empty() { "0".into() } else { key }
    }

    fn bound(&self) -> u64 {
        self.codec.map_or(0, |codec| codec.bound(self.chunk_bytes))
    }

    /// Bytes of the longest object.
    fn object_bound(&self) -> u64 {
        let index = self.index_bytes();
        let chunk = self.bound().max(self.chunk_bytes);
        (index / 16).max(1).saturating_mul(chunk).saturating_add(index + 4)
    }

    /// Bytes of the longest index of a shard, without its checksum.
    fn index_bytes(&self) -> u64 {
        self.inner
            .as_ref()
            .map_or(0, |inner| 16 * Grid::regular(&self.objects.largest(), inner).len())
    }

    /// Encodes one chunk, of `shape` as it is stored, of which `data` are the elements in the
    /// array, and appends it to `out`; how many bytes it took.
    fn append(
        &self,
        out: &mut Out<'_>,
        shape: &[u64],
        data: &ChunkView<'_>,
        cx: &mut ReadCx<'_>,
    ) -> Result<u64> {
        let (padded, cx) = cx.split_scratch(self.chunk_bytes as usize);
        let bytes = match data.as_bytes() {
            Some(bytes) if data.shape() == shape => bytes,
            _ => {
                let len = volume(shape) as usize * self.meta.dtype.size();
                let mut chunk = ChunkMut::new(self.meta.dtype, &mut padded[..len], shape);
                if data.shape() != shape {
                    chunk.fill(self.fill);
                }
                chunk.sub(&Region::whole(data.shape())).assign(data);
                &padded[..len]
            }
        };
        let stored = match self.codec {
            None => bytes,
            Some(codec) => {
                let encoded = &mut cx.scratch[..self.bound() as usize];
                let len = codec.apply(bytes, self.meta.dtype.size(), encoded)?;
                &encoded[..len]
            }
        };
        out.write(stored)?;
        Ok(stored.len() as u64)
    }

    /// Writes the inner chunks of a shard of `shape`, and its index behind them.
    fn append_shard(
        &self,
        out: &mut Out<'_>,
        shape: &[u64],
        inner: &[u64],
        data: &ChunkView<'_>,
        cx: &mut ReadCx<'_>,
    ) -> Result<()> {
        let (index, mut cx) = cx.split_scratch(self.index_bytes() as usize);
        let grid = Grid::regular(shape, inner);
        let (entries, _) = index.as_chunks_mut::<16>();
        let mut end = 0u64;
        let all = Coordinates::of(Region::whole(&grid.counts()));
        for (entry, at) in entries.iter_mut().zip(all) {
            cx.cancel.check()?;
            let region = grid.region(&at);
            // Of chunks beyond the array nothing is stored.
            let Some(part) = region.intersection(&Region::whole(data.shape())) else {
                *entry = NOT_STORED;
                continue;
            };
            let len = self.append(out, inner, &data.sub(&part), &mut cx)?;
            entry[..8].copy_from_slice(&end.to_le_bytes());
            entry[8..].copy_from_slice(&len.to_le_bytes());
            end += len;
        }
        let index = &index[..16 * grid.len() as usize];
        let checksum = Checksum::Crc32c.of(index).to_le_bytes();
        out.write(index)?;
        out.write(&checksum)
    }
}

impl ChunkSink for ZarrSink {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn scratch(&self) -> u64 {
        // The index of a shard, the padded or gathered chunk, then its encoding; each begins
        // at a multiple of 64. What the compressor allocates by itself is counted here too.
        let state = self.codec.map_or(0, |codec| codec.encoder_bytes(self.chunk_bytes));
        let held = self.place.held_bytes(self.object_bound());
        [self.index_bytes(), self.chunk_bytes, self.bound(), state, held]
            .into_iter()
            .fold(0, |sum, bytes| sum.saturating_add(bytes.next_multiple_of(64)))
    }

    fn write(&self, index: &[u64], data: ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<Written> {
        let name = self.place.name();
        let here = |error: FormatError| error.at(format_args!("{name}: chunk {index:?}"));
        cx.cancel.check()?;
        if (cx.scratch.len() as u64) < self.scratch() {
            let message = format!("writing needs {} bytes of scratch", self.scratch());
            return Err(here(FormatError::new(ErrorKind::Invalid, message)));
        }
        let shape = self.objects.shape(index);
        let mut out = self.place.object(&self.key(index), self.object_bound()).map_err(here)?;
        match &self.inner {
            None => self.append(&mut out, &shape, &data, cx).map(drop),
            Some(inner) => self.append_shard(&mut out, &shape, inner, &data, cx),
        }
        .map_err(here)?;
        let noted = out.finish(self.meta.grid.linear_of(index)).map_err(here)?;
        self.place.note(noted)?;
        self.written.insert(noted.chunk);
        Ok(Written { bytes: noted.len })
    }

    fn journal(&self) -> Option<&Journal> {
        self.place.journal()
    }

    fn is_intact(&self, noted: &Noted, cx: &mut ReadCx<'_>) -> Result<bool> {
        if noted.chunk >= self.meta.grid.len() {
            return Ok(false);
        }
        let key = self.key(&self.meta.grid.index_of(noted.chunk));
        let whole = self.place.is_intact(&key, noted, cx)?;
        if whole {
            self.written.insert(noted.chunk);
        }
        Ok(whole)
    }

    fn seal(&self) -> Result<()> {
        self.written.check_whole(&self.meta.grid).map_err(|e| e.at(self.place.name()))?;
        self.place.seal(&self.documents)
    }

    fn publish(&self) -> Result<()> {
        self.place.publish(&self.documents)
    }
}
