//! Reading: which stored objects a region touches, and how each is decoded.
//!
//! A chunk (or an inner chunk of a shard) is decoded straight into the caller's buffer
//! where the region is the whole of it, else into scratch; elements that are stored as
//! they are, are read where they are wanted and nowhere else. A file that is not there
//! stands for a chunk of fill values, as Zarr has it.

use super::metadata::{Layout, Shard};
use crate::{
    error::{ErrorKind, FormatError, Result},
    grid::Grid,
    raw::{RawArray, fetched_bytes, to_native, window_bytes},
    region::{Coordinates, Dims, Region},
    source::{ChunkSource, Fingerprint, Meta, ReadCost, ReadCx, SourceSpec, Storage},
    view::{ChunkMut, ChunkView},
};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// The offset and length of an inner chunk that is not stored.
const NOT_STORED: [u64; 2] = [u64::MAX; 2];

/// An array of a Zarr hierarchy, open for reading.
#[derive(Debug)]
pub(super) struct ZarrSource {
    /// The array's folder.
    path: PathBuf,
    /// The document that describes it.
    document: PathBuf,
    /// The path and item it was opened by.
    location: String,
    layout: Layout,
    meta: Meta,
    /// The grid of stored objects: the array's chunks, or its shards.
    objects: Grid,
    /// Stored bytes for each byte of elements, from one object as a sample.
    ratio: f64,
}

impl ZarrSource {
    pub(super) fn new(path: PathBuf, location: String, mut layout: Layout) -> ZarrSource {
        let objects = Grid::regular(&layout.shape, &layout.object);
        let grid = layout.grid();
        let meta = Meta {
            dtype: layout.dtype,
            grid,
            axes: std::mem::take(&mut layout.names),
            attributes: std::mem::take(&mut layout.attributes).into(),
        };
        let document = path.join(if layout.version == 3 { "zarr.json" } else { ".zarray" });
        let mut source = ZarrSource { path, document, location, layout, meta, objects, ratio: 1.0 };
        source.ratio = source.sample_ratio();
        source
    }

    fn sample_ratio(&self) -> f64 {
        if self.objects.is_empty() || self.layout.chain.is_raw() {
            return 1.0;
        }
        let first = self.object_path(&Dims::from_elem(0, self.objects.rank()));
        let bytes = self.layout.bytes(&self.layout.object);
        // Without the first chunk there is nothing to go by.
        std::fs::metadata(first).map_or(1.0, |file| file.len() as f64 / bytes as f64).min(1.2)
    }

    fn object_path(&self, index: &[u64]) -> PathBuf {
        self.path.join(self.layout.keys.encode(index).as_str())
    }

    fn index_bytes(&self) -> u64 {
        self.layout.shard.as_ref().map_or(0, |shard| {
            let entries: u64 =
                self.layout.object.iter().zip(&shard.inner).map(|(o, i)| o / i).product();
            entries.saturating_mul(16).saturating_add(if shard.index_crc32c { 4 } else { 0 })
        })
    }

    /// Bytes of scratch for one read; the parts begin at multiples of 64.
    fn scratch_bytes(&self) -> u64 {
        let aligned = |bytes: u64| bytes.checked_next_multiple_of(64).unwrap_or(u64::MAX);
        let tile = self.layout.bytes(self.layout.tile());
        let decoding = match self.layout.chain.is_raw() {
            true => window_bytes(tile),
            false => aligned(self.layout.chain.bound(tile)).saturating_add(tile),
        };
        aligned(self.index_bytes()).saturating_add(decoding)
    }

    /// Bytes that reading `region` fetches where elements lie as they are: as of the first of
    /// the tiles that it may cover.
    fn raw_bytes(&self, region: &Region) -> u64 {
        let order = &self.layout.chain.order;
        let tile: Dims = order.iter().map(|&axis| self.layout.tile()[axis]).collect();
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
        let path = self.object_path(index);
        let here = |error: FormatError| error.at_path(&path);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                out.fill(self.layout.fill);
                return Ok(());
            }
            Err(e) => return Err(here(FormatError::io(e))),
        };
        let len = file.metadata().map_err(|e| here(FormatError::io(e)))?.len();
        let stored = Stored { file: &file, offset: 0, len };
        match &self.layout.shard {
            None => self.read_tile(&stored, &self.layout.object, part, out, cx).map_err(here),
            Some(shard) => self
                .read_shard(shard, &stored, part, out, cx)
                .map_err(|error| error.at(path.display())),
        }
    }

    fn read_shard(
        &self,
        shard: &Shard,
        stored: &Stored<'_>,
        part: &Region,
        mut out: ChunkMut<'_>,
        cx: &mut ReadCx<'_>,
    ) -> Result<()> {
        let grid = Grid::regular(&self.layout.object, &shard.inner);
        let index_len = self.index_bytes();
        if index_len > stored.len {
            return Err(corrupt(format!(
                "the shard has {} bytes, its index alone needs {index_len}",
                stored.len
            )));
        }
        let index_len = cx.check_size("the index of a shard", index_len)?;
        let (index, mut cx) = cx.split_scratch(index_len);
        let at = if shard.index_at_end { stored.len - index_len as u64 } else { 0 };
        read_exact(stored.file, index, at)?;
        let entries = match shard.index_crc32c {
            true => super::codec::check_crc32c(index)
                .map_err(|_| corrupt("the index of the shard does not agree with its CRC-32C"))?,
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
            if offset.checked_add(len).is_none_or(|end| end > stored.len) {
                return Err(corrupt(format!(
                    "inner chunk {inner:?} is said to be {len} bytes at {offset} of a shard of {}",
                    stored.len
                )));
            }
            let stored = Stored { file: stored.file, offset, len };
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
            if stored.len != bytes {
                let Stored { len, .. } = stored;
                return Err(corrupt(format!("the chunk has {len} bytes, its shape gives {bytes}")));
            }
            let file = stored.file;
            let raw = RawArray {
                file,
                base: stored.offset,
                shape: &shape,
                dtype: *dtype,
                swap: chain.swap,
            };
            let window = window_bytes(bytes) as usize;
            return raw.read(&part, &mut out, &mut cx.scratch[..window]);
        }
        if stored.len > chain.bound(bytes) {
            return Err(corrupt(format!(
                "the chunk has {} bytes, {bytes} encode to {} at the most",
                stored.len,
                chain.bound(bytes)
            )));
        }
        let (encoded, cx) = cx.split_scratch(stored.len as usize);
        read_exact(stored.file, encoded, stored.offset)?;
        if part.shape == shape
            && let Some(target) = out.as_bytes()
        {
            chain.decode(encoded, target)?;
            to_native(target, *dtype, chain.swap);
            return Ok(());
        }
        let decoded = &mut cx.scratch[..bytes as usize];
        chain.decode(encoded, decoded)?;
        out.assign(&ChunkView::new(*dtype, decoded, &shape).sub(&part));
        out.try_for_each_run(|_, run| {
            to_native(run, *dtype, chain.swap);
            Ok(())
        })
    }
}

/// Bytes of a file that hold one encoded chunk, or a shard.
struct Stored<'a> {
    file: &'a File,
    offset: u64,
    len: u64,
}

fn corrupt(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Corrupt, message)
}

fn read_exact(file: &File, bytes: &mut [u8], at: u64) -> Result<()> {
    file.read_exact_at(bytes, at).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => corrupt("the file became shorter while it was read"),
        _ => FormatError::io(error),
    })
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
        if self.layout.chain.is_raw() {
            return ReadCost {
                bytes: self.raw_bytes(region),
                decoded: self.layout.bytes(&region.shape),
                scratch,
            };
        }
        // Tiles are stored in full, also where they reach beyond the array.
        let tile = self.layout.tile();
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
            return Err(FormatError::new(ErrorKind::Invalid, message).at(&self.location));
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

    /// Of the metadata document and the folder: chunks are too many to look at each.
    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(Fingerprint::of_file(&self.document)?.and(Fingerprint::of_file(&self.path)?))
    }

    fn spec(&self) -> SourceSpec {
        SourceSpec {
            format: "zarr".into(),
            location: self.location.clone(),
            ..SourceSpec::default()
        }
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
        codec: format!("{}{sharded}", layout.chain.codec.name()).trim_start().to_owned(),
        files: Grid::regular(&layout.shape, &layout.object).len(),
        bytes: None,
    }
}

/// The path of `item` in the hierarchy at `root`; refuses names that would leave it.
pub(super) fn item_path(root: &Path, item: &str) -> Result<PathBuf> {
    let mut path = root.to_owned();
    for part in item.split('/').filter(|part| !part.is_empty()) {
        if part == ".." || part == "." {
            let message = format!("{item:?} is not the name of an array in a group");
            return Err(FormatError::new(ErrorKind::Invalid, message).at_path(root));
        }
        path.push(part);
    }
    Ok(path)
}
