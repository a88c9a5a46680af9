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
use std::{fmt::Write as _, path::Path};

/// The index entry of an inner chunk that is not stored.
const NOT_STORED: [u8; 16] = [0xff; 16];

/// How chunks are encoded, and what they pass through on their way into an object, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encoding {
    codec: Option<Step>,
    /// The index of the largest shard, without its checksum.
    index: u64,
    /// The elements of the largest chunk that is encoded: where they are padded or gathered.
    chunk: u64,
    /// The encoding of such a chunk.
    encoded: u64,
    /// What compressor and upload allocate by themselves.
    foreign: u64,
    /// The longest object.
    object: u64,
}

impl Encoding {
    /// That of objects like `largest`, with chunks of `inner` in them if they are shards,
    /// in a hierarchy at `path`.
    pub(super) fn new(
        element: usize,
        largest: &[u64],
        inner: Option<&[u64]>,
        codec: Option<Step>,
        path: &Path,
    ) -> Encoding {
        let chunk = volume(inner.unwrap_or(largest)) * element as u64;
        let chunks = inner.map(|inner| Grid::regular(largest, inner).len());
        let index = chunks.map_or(0, |chunks| 16 * chunks);
        let encoded = codec.map_or(0, |codec| codec.bound(chunk));
        let state = codec.map_or(0, |codec| codec.encoder_bytes(chunk));
        let all = chunks.unwrap_or(1).saturating_mul(encoded.max(chunk));
        let object = all.saturating_add(index + 4);
        let foreign = state.saturating_add(Place::held_bytes(path, object));
        Encoding { codec, index, chunk, encoded, foreign, object }
    }

    /// All that they pass through, each part from a multiple of 64 on.
    pub(super) fn scratch(&self) -> u64 {
        [self.index, self.chunk, self.encoded, self.foreign]
            .into_iter()
            .fold(0, |sum, bytes| sum.saturating_add(bytes.next_multiple_of(64)))
    }
}

/// A Zarr array being written.
#[derive(Debug)]
pub(super) struct ZarrSink {
    meta: Meta,
    /// The shapes of stored objects, at the edge too.
    objects: Objects,
    /// The shape of the chunks inside, of shards.
    inner: Option<Dims>,
    encoding: Encoding,
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
        encoding: Encoding,
        fill: Scalar,
        place: Place,
        documents: Named,
    ) -> ZarrSink {
        let written = ChunkSet::new(meta.grid.len());
        ZarrSink { meta, objects, inner, encoding, fill, place, documents, written }
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

    /// Encodes one chunk, of `shape` as it is stored, of which `data` are the elements in the
    /// array, and appends it to `out`; how many bytes it took.
    fn append(
        &self,
        out: &mut Out<'_>,
        shape: &[u64],
        data: &ChunkView<'_>,
        cx: &mut ReadCx<'_>,
    ) -> Result<u64> {
        let (padded, cx) = cx.split_scratch(self.encoding.chunk as usize);
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
        let stored = match self.encoding.codec {
            None => bytes,
            Some(codec) => {
                let encoded = &mut cx.scratch[..self.encoding.encoded as usize];
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
        let (index, mut cx) = cx.split_scratch(self.encoding.index as usize);
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
        self.encoding.scratch()
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
        let mut out = self.place.object(&self.key(index), self.encoding.object).map_err(here)?;
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
