//! Reading: which stored objects a region touches, and how each is decoded.
//!
//! A chunk (or an inner chunk of a shard) is decoded straight into the caller's buffer
//! where the region is the whole of it, else into scratch; elements that are stored as
//! they are, are read where they are wanted and nowhere else. A file that is not there
//! stands for a chunk of fill values, as Zarr has it.

use super::{
    chain::Room,
    codec::{Checksum, Step},
    codecs::{Shard, corrupt},
    metadata::Layout,
    store::{Object, Store, join},
};
use crate::{
    dtype::Scalar,
    error::{ErrorKind, FormatError, Result},
    grid::Grid,
    raw::{RawArray, fetched_bytes, to_native, window_bytes},
    region::{Coordinates, Dims, Region},
    source::{ChunkSource, FileCache, Fingerprint, Meta, ReadCost, ReadCx, SourceSpec, Storage},
    view::{ChunkMut, ChunkView},
};

/// The offset and length of an inner chunk that is not stored.
const NOT_STORED: [u64; 2] = [u64::MAX; 2];

/// An array of a Zarr hierarchy, open for reading.
#[derive(Debug)]
pub(super) struct ZarrSource {
    store: Store,
    /// The array's path in the hierarchy; empty where it is the root.
    node: String,
    layout: Layout,
    meta: Meta,
    /// The grid of stored objects: the array's chunks, or its shards.
    objects: Grid,
    /// The shape of the largest unit of decoding.
    tile: Dims,
    /// Stored bytes for each byte of elements, from one object as a sample.
    ratio: f64,
}

impl ZarrSource {
    pub(super) fn new(store: Store, node: String, mut layout: Layout) -> ZarrSource {
        let objects = layout.objects.grid(&layout.shape);
        let meta = Meta {
            dtype: layout.dtype,
            grid: layout.grid(),
            axes: std::mem::take(&mut layout.names),
            attributes: std::mem::take(&mut layout.attributes).into(),
        };
        let tile = layout.tile();
        let mut source = ZarrSource { store, node, layout, meta, objects, tile, ratio: 1.0 };
        source.ratio = source.sample_ratio();
        source
    }

    fn sample_ratio(&self) -> f64 {
        if self.objects.is_empty() || self.layout.chain.is_raw() {
            return 1.0;
        }
        let first = Dims::from_elem(0, self.objects.rank());
        let bytes = self.layout.bytes(&self.layout.objects.shape(&first));
        // Without the first chunk there is nothing to go by.
        let len = self.store.cheap_len(&self.key(&first));
        len.map_or(1.0, |len| len as f64 / bytes as f64).min(1.2)
    }

    /// The key of a stored object.
    fn key(&self, index: &[u64]) -> String {
        join(&self.node, self.layout.keys.encode(index).as_str())
    }

    /// The path and item that it is opened by.
    fn location(&self) -> String {
        match self.node.as_str() {
            "" => self.store.name(""),
            node => format!("{}::{node}", self.store.name("")),
        }
    }

    /// Inner chunks along each axis of a shard of the shape `object`.
    fn inner_chunks(&self, object: &[u64]) -> u64 {
        self.layout
            .shard
            .as_ref()
            .map_or(1, |shard| object.iter().zip(&shard.inner).map(|(o, i)| o / i).product())
    }

    /// Bytes of the index of a shard of the shape `object`.
    fn index_bytes(&self, object: &[u64]) -> u64 {
        self.layout.shard.as_ref().map_or(0, |shard| {
            let entries = self.inner_chunks(object);
            entries.saturating_mul(16).saturating_add(if shard.index_crc32c { 4 } else { 0 })
        })
    }

    /// Bytes of scratch for one read, and of what decoders allocate; the parts begin at
    /// multiples of 64.
    fn scratch_bytes(&self) -> u64 {
        let aligned = |bytes: u64| bytes.checked_next_multiple_of(64).unwrap_or(u64::MAX);
        let tile = self.layout.bytes(&self.tile);
        let chain = &self.layout.chain;
        let index = match &self.layout.shard {
            Some(_) => aligned(self.index_bytes(&self.layout.objects.largest())),
            None => 0,
        };
        let parts = match chain.is_raw() {
            true => [window_bytes(tile), 0, 0, 0, 0],
            false => {
                let Room { encoded, between, filtered } = chain.room(tile);
                let filtered = aligned(filtered);
                [aligned(encoded), aligned(between), filtered, filtered, aligned(tile)]
            }
        };
        let foreign = chain.foreign(tile) + self.store.foreign_bytes();
        parts.into_iter().fold(index, u64::saturating_add).saturating_add(foreign)
    }

    /// Bytes that reading `region` fetches where elements lie as they are: as of the first of
    /// the tiles that it may cover.
    fn raw_bytes(&self, region: &Region) -> u64 {
        let order = &self.layout.chain.order;
        let tile: Dims = order.iter().map(|&axis| self.tile[axis]).collect();
        let part = order.iter().zip(&tile).map(|(&axis, &len)| region.shape[axis].min(len));
        let part = Region::whole(&part.collect::<Dims>());
        let fetched = fetched_bytes(&part, &tile, self.layout.dtype.size() as u64);
        let parts = region.volume() as f64 / part.volume() as f64;
        (fetched as f64 * parts) as u64
    }

    /// Reads the box `part` of one stored object.
    fn read_object(
        &self,
        index: &[u64],
        part: &Region,
        mut out: ChunkMut<'_>,
        cx: &mut ReadCx<'_>,
    ) -> Result<()> {
        let key = self.key(index);
        let shape = self.layout.objects.shape(index);
        let here = |error: FormatError| error.at(self.store.name(&key));
        let Some(object) = self.store.open(&key).map_err(here)? else {
            out.fill(self.layout.fill);
            return Ok(());
        };
        match &self.layout.shard {
            None => {
                let stored = Stored { object: &object, range: None };
                self.read_tile(&stored, &shape, part, out, cx).map_err(here)
            }
            Some(shard) => self.read_shard(shard, &object, &shape, part, out, cx).map_err(here),
        }
    }

    fn read_shard(
        &self,
        shard: &Shard,
        object: &Object,
        shape: &[u64],
        part: &Region,
        mut out: ChunkMut<'_>,
        cx: &mut ReadCx<'_>,
    ) -> Result<()> {
        let grid = Grid::regular(shape, &shard.inner);
        let index_len = self.index_bytes(shape);
        let index_len = cx.check_size("the index of a shard", index_len)?;
        let (index, mut cx) = cx.split_scratch(index_len);
        let Some(shard_len) = object.read_end(index, shard.index_at_end)? else {
            out.fill(self.layout.fill);
            return Ok(());
        };
        if index_len as u64 > shard_len {
            return Err(corrupt(format!(
                "the shard has {shard_len} bytes, its index alone needs {index_len}"
            )));
        }
        let entries = match shard.index_crc32c {
            true => {
                let kept = CRC32C.verify(index).map_err(|_| {
                    corrupt("the index of the shard does not agree with its CRC-32C")
                })?;
                &index[kept]
            }
            false => index,
        };
        let (words, _) = entries.as_chunks::<8>();
        let word = |at: usize| match shard.index_big_endian {
            true => u64::from_be_bytes(words[at]),
            false => u64::from_le_bytes(words[at]),
        };
        for inner in Coordinates::of(grid.covering(part)) {
            cx.cancel.check()?;
            let tile = grid.region(&inner);
            let Some(wanted) = part.intersection(&tile) else { continue };
            let mut out = out.sub(&wanted.relative_to(&part.start));
            let entry = grid.linear_of(&inner) as usize * 2;
            let [offset, len] = [word(entry), word(entry + 1)];
            if [offset, len] == NOT_STORED {
                out.fill(self.layout.fill);
                continue;
            }
            if offset.checked_add(len).is_none_or(|end| end > shard_len) {
                return Err(corrupt(format!(
                    "inner chunk {inner:?} is said to be {len} bytes at {offset} of a shard of {shard_len}"
                )));
            }
            let stored = Stored { object, range: Some((offset, len)) };
            self.read_tile(&stored, &shard.inner, &wanted.relative_to(&tile.start), out, &mut cx)?;
        }
        Ok(())
    }

    /// Reads the box `part` of one encoded chunk of `shape`.
    fn read_tile(
        &self,
        stored: &Stored<'_>,
        shape: &[u64],
        part: &Region,
        out: ChunkMut<'_>,
        cx: &mut ReadCx<'_>,
    ) -> Result<()> {
        let Layout { dtype, chain, .. } = &self.layout;
        // From here on axes are in the order of the stored bytes.
        let stored_order = |dims: &[u64]| chain.order.iter().map(|&axis| dims[axis]).collect();
        let shape: Dims = stored_order(shape);
        let part = Region { start: stored_order(&part.start), shape: stored_order(&part.shape) };
        let mut out = out.permute_axes(&chain.order);

        let bytes = self.layout.bytes(&shape);
        if chain.is_raw() {
            let wrong =
                |len| corrupt(format!("the chunk has {len} bytes, its shape gives {bytes}"));
            if stored.range.is_none()
                && part.shape == shape
                && let Some(target) = out.as_bytes()
            {
                return match stored.object.read_whole(target)? {
                    Some(len) if len == bytes => {
                        to_native(target, *dtype, chain.swap);
                        Ok(())
                    }
                    Some(len) => Err(wrong(len)),
                    None => {
                        out.fill(self.layout.fill);
                        Ok(())
                    }
                };
            }
            let (base, len) = match stored.range {
                Some(range) => range,
                None => match stored.object.len()? {
                    Some(len) => (0, len),
                    None => {
                        out.fill(self.layout.fill);
                        return Ok(());
                    }
                },
            };
            if len != bytes {
                return Err(wrong(len));
            }
            let (file, swap) = (stored.object, chain.swap);
            let raw = RawArray { file, base, shape: &shape, dtype: *dtype, swap };
            let window = window_bytes(bytes) as usize;
            return raw.read(&part, &mut out, &mut cx.scratch[..window]);
        }
        let room = chain.room(bytes);
        let (encoded, mut cx) = cx.split_scratch(room.encoded as usize);
        let (between, mut cx) = cx.split_scratch(room.between as usize);
        let (first, mut cx) = cx.split_scratch(room.filtered as usize);
        let (second, cx) = cx.split_scratch(room.filtered as usize);
        let bound = chain.bound(bytes);
        let len = match stored.range {
            Some((offset, len)) => {
                if len <= bound {
                    stored.object.read_exact_at(&mut encoded[..len as usize], offset)?;
                }
                len
            }
            None => match stored.object.read_whole(&mut encoded[..bound as usize])? {
                Some(len) => len,
                None => {
                    out.fill(self.layout.fill);
                    return Ok(());
                }
            },
        };
        if len > bound {
            return Err(corrupt(format!(
                "the chunk has {len} bytes, {bytes} encode to {bound} at the most"
            )));
        }
        let len = len as usize;
        if part.shape == shape
            && let Some(target) = out.as_bytes()
        {
            return chain.decode(encoded, len, between, [first, second], target);
        }
        let decoded = &mut cx.scratch[..bytes as usize];
        chain.decode(encoded, len, between, [first, second], decoded)?;
        out.assign(&ChunkView::new(*dtype, decoded, &shape).sub(&part));
        Ok(())
    }
}

/// The checksum of a shard's index.
const CRC32C: Step = Step::Checksum { of: Checksum::Crc32c, at_start: false };

/// Bytes that hold one encoded chunk: offset and length in a shard, or all of an object.
struct Stored<'a> {
    object: &'a Object,
    range: Option<(u64, u64)>,
}

impl ChunkSource for ZarrSource {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        if region.is_empty() {
            return ReadCost::default();
        }
        let scratch = self.scratch_bytes();
        // Parts of an object that is a request away are better read at once.
        if self.layout.chain.is_raw() && !self.store.is_remote() {
            return ReadCost {
                bytes: self.raw_bytes(region),
                decoded: self.layout.bytes(&region.shape),
                scratch,
            };
        }
        // Tiles are stored in full, also where they reach beyond the array.
        let tile = &self.tile;
        let tiles = (0..region.rank()).fold(1u64, |n, axis| {
            let range = region.range(axis);
            n.saturating_mul(range.end.div_ceil(tile[axis]) - range.start / tile[axis])
        });
        let decoded = tiles.saturating_mul(self.layout.bytes(tile));
        ReadCost { bytes: (decoded as f64 * self.ratio) as u64, decoded, scratch }
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        if (cx.scratch.len() as u64) < self.scratch_bytes() {
            let message = format!(
                "reading needs {} bytes of scratch, {} were lent",
                self.scratch_bytes(),
                cx.scratch.len()
            );
            return Err(FormatError::new(ErrorKind::Invalid, message).at(self.location()));
        }
        for index in Coordinates::of(self.objects.covering(region)) {
            cx.cancel.check()?;
            let object = self.objects.region(&index);
            let Some(part) = region.intersection(&object) else { continue };
            let out = out.sub(&part.relative_to(&region.start));
            self.read_object(&index, &part.relative_to(&object.start), out, cx)?;
        }
        Ok(())
    }

    fn missing_value(&self) -> Option<Scalar> {
        self.layout.fill_is_missing.then_some(self.layout.fill)
    }

    /// Of the metadata document and the folder: chunks are too many to look at each.
    fn fingerprint(&self) -> Result<Fingerprint> {
        let document = if self.layout.version == 3 { "zarr.json" } else { ".zarray" };
        self.store.fingerprint(&self.node, document)
    }

    fn version(&self, region: &Region, _: &FileCache) -> Result<Option<Fingerprint>> {
        if self.layout.chain.is_raw() && !self.store.is_remote() {
            return Ok(None);
        }
        let mut version = Fingerprint::default();
        for index in Coordinates::of(self.objects.covering(region)) {
            let Some(one) = self.store.version(&self.key(&index))? else { return Ok(None) };
            version = version.and(one);
        }
        Ok(Some(version))
    }

    fn spec(&self) -> SourceSpec {
        SourceSpec { format: "zarr".into(), location: self.location(), ..SourceSpec::default() }
    }

    fn storage(&self) -> Storage {
        storage(&self.layout)
    }
}

/// How an array lies on storage.
pub(super) fn storage(layout: &Layout) -> Storage {
    let sharded = if layout.shard.is_some() { " in shards" } else { "" };
    Storage {
        format: format!("Zarr {}", layout.version),
        codec: format!("{}{sharded}", layout.chain.name()).trim_start().to_owned(),
        files: layout.objects.grid(&layout.shape).len(),
        bytes: None,
    }
}
