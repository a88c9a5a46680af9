//! The [`ZarrWriter`] builder: what an output is to be, checked before it is begun.

use super::{
    codec::{BLOSC_MAX_BYTES, Step},
    document::Documents,
    objects::Objects,
    place::Place,
    sink::{Encoding, ZarrSink},
    store::node_path,
};
use crate::{
    dtype::{DType, Scalar},
    error::{ErrorKind, FormatError, Result},
    grid::{AxisGrid, Grid},
    region::{Dims, checked_volume},
    source::{Attributes, ChunkSink, Meta, Writer},
    staging::Mode,
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The highest zstd level that is offered: those above need hundreds of megabytes a thread.
const MAX_ZSTD_LEVEL: i32 = 19;

/// The lowest, which is also the fastest.
const MIN_ZSTD_LEVEL: i32 = -7;

/// Writes an array as Zarr, version 3 unless [`ZarrWriter::v2`] is asked for; made by
/// [`Zarr::create`](super::Zarr::create).
#[derive(Clone, Debug)]
pub struct ZarrWriter {
    path: PathBuf,
    node: String,
    chunks: Option<Dims>,
    shards: Option<Dims>,
    rectilinear: bool,
    codec: Option<Step>,
    fill: Scalar,
    mode: Mode,
    version: Option<u8>,
    attributes: Attributes,
}

/// How an array is cut for storage.
struct Cuts {
    /// The chunks that are written one by one: what one stored object holds of the array.
    grid: Grid,
    /// The objects as they are stored.
    objects: Objects,
    /// The shape of the chunks inside, of shards.
    inner: Option<Dims>,
}

impl ZarrWriter {
    pub(super) fn new(path: PathBuf) -> ZarrWriter {
        ZarrWriter {
            path,
            node: String::new(),
            chunks: None,
            shards: None,
            rectilinear: false,
            codec: Some(Step::Zstd { level: 3 }),
            fill: Scalar::U8(0),
            mode: Mode::default(),
            version: None,
            attributes: Attributes::new(),
        }
    }

    /// Writes into a group at the path, as the array `name`: `images/raw`. Groups that are not
    /// there are made; what else lies in those that are stays.
    #[must_use]
    pub fn array(mut self, name: impl Into<String>) -> ZarrWriter {
        self.node = name.into();
        self
    }

    /// Chunk lengths along each axis in elements (0: the whole axis); by default the
    /// array's own chunks, the longest along axes where they are irregular.
    #[must_use]
    pub fn chunks(mut self, chunks: impl AsRef<[u64]>) -> ZarrWriter {
        self.chunks = Some(chunks.as_ref().into());
        self
    }

    /// Stores many chunks in one object (version 3): lengths of shards along each axis in
    /// elements, multiples of those of [`ZarrWriter::chunks`], which must be named too (0: the
    /// whole axis). A shard is the unit in which the array is written, and held in memory.
    #[must_use]
    pub fn shards(mut self, shards: impl AsRef<[u64]>) -> ZarrWriter {
        self.shards = Some(shards.as_ref().into());
        self
    }

    /// Keeps irregular chunks as they are, as a `rectilinear` grid (version 3): an extension
    /// that few other programs read yet.
    #[must_use]
    pub fn rectilinear(mut self) -> ZarrWriter {
        self.rectilinear = true;
        self
    }

    /// Compresses with zstd at `level`, -7 to 19; negative ones are faster. Level 3 is the default.
    #[must_use]
    pub fn zstd(mut self, level: i32) -> ZarrWriter {
        self.codec = Some(Step::Zstd { level });
        self
    }

    /// Compresses with blosc: bytes shuffled, then LZ4 at level 5.
    #[must_use]
    pub fn blosc(mut self) -> ZarrWriter {
        self.codec = Some(Step::Blosc);
        self
    }

    /// Compresses with gzip at `level`, 0 to 9.
    #[must_use]
    pub fn gzip(mut self, level: u32) -> ZarrWriter {
        self.codec = Some(Step::Gzip { level });
        self
    }

    /// Writes elements as they are.
    #[must_use]
    pub fn uncompressed(mut self) -> ZarrWriter {
        self.codec = None;
        self
    }

    /// The value that readers take for chunks that are not there, cast to the array's dtype;
    /// 0 by default. (All chunks are stored; a program that enlarges the array later uses it.)
    #[must_use]
    pub fn fill_value(mut self, value: impl Into<Scalar>) -> ZarrWriter {
        self.fill = value.into();
        self
    }

    /// Replaces an output that exists.
    #[must_use]
    pub fn overwrite(mut self) -> ZarrWriter {
        self.mode.overwrite = true;
        self
    }

    /// Replaces an array in an object store (feature `remote`), which is **not atomic**: the old
    /// one is removed first, and readers find none until the new one is whole.
    #[must_use]
    pub fn overwrite_in_place(mut self) -> ZarrWriter {
        self.mode.in_place = true;
        self
    }

    /// Goes on with what an earlier store of the same left unfinished, if there is any.
    #[must_use]
    pub fn resume(mut self) -> ZarrWriter {
        self.mode.resume = true;
        self
    }

    /// Waits for the disk before the output is visible, so that it survives a loss of power.
    #[must_use]
    pub fn durable(mut self) -> ZarrWriter {
        self.mode.durable = true;
        self
    }

    /// Writes version 2, for readers that do not know version 3 yet. By default an array has
    /// the version of the group that it is put into, or else 3.
    #[must_use]
    pub fn v2(mut self) -> ZarrWriter {
        self.version = Some(2);
        self
    }

    /// Adds an attribute, in place of the array's own of that name.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Value>) -> ZarrWriter {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// The codec that a user names: `zstd`, `zstd:7`, `blosc`, `gzip`, `gzip:9` or `none`.
    pub(super) fn codec(self, text: &str) -> Result<ZarrWriter> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        let unknown = || {
            FormatError::new(ErrorKind::Invalid, format!("{text:?} is not a codec of Zarr"))
                .help("codecs are none, blosc, zstd, zstd:LEVEL, gzip and gzip:LEVEL")
        };
        let level = level.map(str::parse::<i32>).transpose().map_err(|_| unknown())?;
        let writer = match (name, level) {
            ("none", None) => self.uncompressed(),
            ("blosc", None) => self.blosc(),
            ("zstd", level) => self.zstd(level.unwrap_or(3)),
            ("gzip", level) => self.gzip(level.unwrap_or(5).try_into().map_err(|_| unknown())?),
            _ => return Err(unknown()),
        };
        writer.check()?;
        Ok(writer)
    }

    /// What can be told to be wrong without the array.
    fn check(&self) -> Result<()> {
        let v2 = |what: &str| self.invalid(format!("version 2 has no {what}"));
        match self.codec {
            Some(Step::Zstd { level }) if !(MIN_ZSTD_LEVEL..=MAX_ZSTD_LEVEL).contains(&level) => {
                let levels = format!("{MIN_ZSTD_LEVEL} to {MAX_ZSTD_LEVEL}");
                Err(self.invalid(format!("zstd has levels {levels} here, not {level}")))
            }
            Some(Step::Gzip { level }) if level > 9 => {
                Err(self.invalid(format!("gzip has levels 0 to 9, not {level}")))
            }
            _ if self.shards.is_some() && self.version == Some(2) => Err(v2("shards")),
            _ if self.rectilinear && self.version == Some(2) => Err(v2("irregular chunks")),
            _ if self.rectilinear && (self.shards.is_some() || self.chunks.is_some()) => {
                Err(self.invalid("irregular chunks are kept, or others are asked for: not both"))
            }
            _ => Ok(()),
        }
    }

    fn invalid(&self, message: impl Into<String>) -> FormatError {
        FormatError::new(ErrorKind::Invalid, message).at_path(&self.path)
    }

    /// The cuts of an array like `meta`; the same for one that is on the grid they have.
    fn cuts(&self, meta: &Meta) -> Result<Cuts> {
        self.check()?;
        let shape = meta.shape();
        for (what, asked) in [("chunks", &self.chunks), ("shards", &self.shards)] {
            if let Some(asked) = asked
                && asked.len() != shape.len()
            {
                return Err(self.invalid(format!(
                    "{what} along {} axes were asked for an array of {}",
                    asked.len(),
                    shape.len()
                )));
            }
        }
        let grid = match &self.chunks {
            Some(chunks) => Grid::regular(&shape, chunks),
            None if self.rectilinear => meta.grid.clone(),
            None => Grid::new(meta.grid.axes().iter().map(|axis| {
                let chunk = axis.regular_chunk().unwrap_or_else(|| axis.max_chunk());
                AxisGrid::regular(axis.len(), chunk)
            })),
        };
        let Some(shards) = &self.shards else {
            return Ok(Cuts { objects: Objects::of_grid(&grid), grid, inner: None });
        };
        let Some(chunks) = &self.chunks else {
            return Err(self
                .invalid("shards were asked for without the chunks in them")
                .help("name the lengths of chunks too"));
        };
        let (mut objects, mut inner) = (Dims::new(), Dims::new());
        for axis in 0..shape.len() {
            let len = shape[axis].max(1);
            let chunk = if chunks[axis] == 0 { len } else { chunks[axis] };
            let shard = if shards[axis] == 0 { len.next_multiple_of(chunk) } else { shards[axis] };
            if !shard.is_multiple_of(chunk) {
                let message =
                    format!("shards of {shard} along axis {axis} hold no whole chunks of {chunk}");
                return Err(self.invalid(message).help("give multiples of the chunks' lengths"));
            }
            inner.push(chunk);
            // No longer than it takes to hold the axis.
            objects.push(shard.min(len.checked_next_multiple_of(chunk).unwrap_or(shard)));
        }
        let grid = Grid::regular(&shape, &objects);
        Ok(Cuts { objects: Objects::regular(&objects), grid, inner: Some(inner) })
    }

    /// Bytes of elements of such a shape.
    ///
    /// # Errors
    /// If they cannot be counted with room to spare.
    fn bytes(&self, shape: &[u64], dtype: DType) -> Result<u64> {
        checked_volume(shape)
            .and_then(|n| n.checked_mul(dtype.size() as u64))
            .filter(|&bytes| bytes <= isize::MAX as u64 / 4)
            .ok_or_else(|| self.invalid(format!("chunks of {shape:?} are too large")))
    }

    /// How chunks that are cut so are encoded.
    fn encoding(&self, cuts: &Cuts, dtype: DType) -> Result<Encoding> {
        let largest = cuts.objects.largest();
        let (whole, inner) = (self.bytes(&largest, dtype)?, cuts.inner.as_deref());
        let chunk = inner.map_or(Ok(whole), |inner| self.bytes(inner, dtype))?;
        if self.codec == Some(Step::Blosc) && chunk > BLOSC_MAX_BYTES {
            let message = format!("chunks of {chunk} bytes are beyond what blosc can hold");
            return Err(self.invalid(message).help("use smaller chunks, or zstd"));
        }
        Ok(Encoding::new(dtype.size(), &largest, inner, self.codec, &self.path))
    }
}

impl Writer for ZarrWriter {
    fn grid(&self, meta: &Meta) -> Result<Grid> {
        self.cuts(meta).map(|cuts| cuts.grid)
    }

    fn scratch(&self, meta: &Meta) -> Result<u64> {
        let cuts = self.cuts(meta)?;
        self.encoding(&cuts, meta.dtype).map(|encoding| encoding.scratch())
    }

    fn create(&self, meta: &Meta) -> Result<Arc<dyn ChunkSink>> {
        let cuts = self.cuts(meta)?;
        let encoding = self.encoding(&cuts, meta.dtype)?;
        let bytes = self.bytes(&meta.shape(), meta.dtype)?;
        let Cuts { grid, objects, inner } = cuts;
        let node = node_path(&self.node).map_err(|e| e.at_path(&self.path))?;
        let place = Place::find(&self.path, &node, self.version, self.mode)?;
        if place.version() == 2 && (inner.is_some() || objects.shape_of_all().is_none()) {
            return Err(self.invalid(
                "the group is of version 2, which has no shards and no irregular chunks",
            ));
        }
        let mut meta = Meta { grid, ..meta.clone() };
        if !self.attributes.is_empty() {
            let mut attributes = (*meta.attributes).clone();
            attributes.extend(self.attributes.clone());
            meta.attributes = attributes.into();
        }
        let fill = self.fill.cast(meta.dtype);
        let documents = Documents {
            version: place.version(),
            meta: &meta,
            objects: &objects,
            inner: inner.as_deref(),
            codec: self.codec,
            fill,
        }
        .make();
        let place = place.begin(&documents, bytes)?;
        let sink = ZarrSink::new(meta, objects, inner, encoding, fill, place, documents);
        Ok(Arc::new(sink))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
