//! Writing: the [`ZarrWriter`] builder and the sink behind it.
//!
//! An array is built in a staging folder beside its target: each chunk is one file, put
//! there by whichever thread has it; the metadata comes last, and one rename publishes.

use super::{
    codec::{BLOSC_MAX_BYTES, Chain, Codec},
    metadata::DIMENSIONS,
};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    grid::{AxisGrid, Grid},
    journal::{ChunkSet, Journal, Noted, hash_of},
    region::{Dims, checked_volume},
    source::{Attributes, ChunkSink, Meta, ReadCx, Writer, Written},
    staging::{Mode, Staging},
    view::{ChunkMut, ChunkView},
};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{ErrorKind as IoKind, Write},
    path::{Path, PathBuf},
    sync::Arc,
};
use xxhash_rust::xxh3::xxh3_64;

/// The highest zstd level that is offered: those above need hundreds of megabytes a thread.
const MAX_ZSTD_LEVEL: i32 = 19;

/// The lowest, which is also the fastest.
const MIN_ZSTD_LEVEL: i32 = -7;

/// Writes an array as Zarr, version 3 unless [`ZarrWriter::v2`] is asked for; made by
/// [`Zarr::create`](super::Zarr::create).
#[derive(Clone, Debug)]
pub struct ZarrWriter {
    path: PathBuf,
    chunks: Option<Dims>,
    codec: Codec,
    mode: Mode,
    version: u8,
    attributes: Attributes,
}

impl ZarrWriter {
    pub(super) fn new(path: PathBuf) -> ZarrWriter {
        ZarrWriter {
            path,
            chunks: None,
            codec: Codec::Zstd { level: 3 },
            mode: Mode::default(),
            version: 3,
            attributes: Attributes::new(),
        }
    }

    /// Chunk lengths along each axis in elements (0: the whole axis); by default the
    /// array's own chunks, the longest along axes where they are irregular.
    #[must_use]
    pub fn chunks(mut self, chunks: impl AsRef<[u64]>) -> ZarrWriter {
        self.chunks = Some(chunks.as_ref().into());
        self
    }

    /// Compresses with zstd at `level`, -7 to 19; negative ones are faster. Level 3 is the default.
    #[must_use]
    pub fn zstd(mut self, level: i32) -> ZarrWriter {
        self.codec = Codec::Zstd { level };
        self
    }

    /// Compresses with blosc: bytes shuffled, then LZ4 at level 5.
    #[must_use]
    pub fn blosc(mut self) -> ZarrWriter {
        self.codec = Codec::Blosc;
        self
    }

    /// Compresses with gzip at `level`, 0 to 9.
    #[must_use]
    pub fn gzip(mut self, level: u32) -> ZarrWriter {
        self.codec = Codec::Gzip { level };
        self
    }

    /// Writes elements as they are.
    #[must_use]
    pub fn uncompressed(mut self) -> ZarrWriter {
        self.codec = Codec::None;
        self
    }

    /// Replaces an output that exists.
    #[must_use]
    pub fn overwrite(mut self) -> ZarrWriter {
        self.mode.overwrite = true;
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

    /// Writes version 2, for readers that do not know version 3 yet.
    #[must_use]
    pub fn v2(mut self) -> ZarrWriter {
        self.version = 2;
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
        writer.check_codec()?;
        Ok(writer)
    }

    fn check_codec(&self) -> Result<()> {
        let message = match self.codec {
            Codec::Zstd { level } if !(MIN_ZSTD_LEVEL..=MAX_ZSTD_LEVEL).contains(&level) => {
                format!("zstd has levels {MIN_ZSTD_LEVEL} to {MAX_ZSTD_LEVEL} here, not {level}")
            }
            Codec::Gzip { level } if level > 9 => format!("gzip has levels 0 to 9, not {level}"),
            _ => return Ok(()),
        };
        Err(FormatError::new(ErrorKind::Invalid, message).at_path(&self.path))
    }

    fn invalid(&self, message: impl Into<String>) -> FormatError {
        FormatError::new(ErrorKind::Invalid, message).at_path(&self.path)
    }
}

impl Writer for ZarrWriter {
    fn grid(&self, meta: &Meta) -> Result<Grid> {
        let shape = meta.shape();
        match &self.chunks {
            Some(chunks) if chunks.len() != shape.len() => Err(self.invalid(format!(
                "chunks along {} axes were asked for an array of {}",
                chunks.len(),
                shape.len()
            ))),
            Some(chunks) => Ok(Grid::regular(&shape, chunks)),
            None => Ok(Grid::new(meta.grid.axes().iter().map(|axis| {
                let chunk = axis.regular_chunk().unwrap_or_else(|| axis.max_chunk());
                AxisGrid::regular(axis.len(), chunk)
            }))),
        }
    }

    fn create(&self, meta: &Meta) -> Result<Arc<dyn ChunkSink>> {
        self.check_codec()?;
        let chunk: Option<Dims> = meta.grid.axes().iter().map(AxisGrid::regular_chunk).collect();
        let chunk = chunk.ok_or_else(|| self.invalid("Zarr has regular chunks alone"))?;
        let chunk_bytes = checked_volume(&chunk)
            .and_then(|n| n.checked_mul(meta.dtype.size() as u64))
            .filter(|&bytes| bytes <= isize::MAX as u64 / 4)
            .ok_or_else(|| self.invalid(format!("chunks of {chunk:?} are too large")))?;
        if self.codec == Codec::Blosc && chunk_bytes > BLOSC_MAX_BYTES {
            let message = format!("chunks of {chunk_bytes} bytes are beyond what blosc can hold");
            return Err(self.invalid(message).help("use smaller chunks, or zstd"));
        }
        let mut meta = meta.clone();
        if !self.attributes.is_empty() {
            let mut attributes = (*meta.attributes).clone();
            attributes.extend(self.attributes.clone());
            meta.attributes = attributes.into();
        }
        let mut sink = ZarrSink {
            chain: Chain::new(meta.grid.rank(), self.codec),
            version: self.version,
            written: ChunkSet::new(meta.grid.len()),
            path: self.path.clone(),
            staging: Staging::create(&self.path, self.mode)?,
            chunk,
            chunk_bytes,
            meta,
        };
        // The metadata tell all that decides what is stored for a chunk.
        let documents = sink.documents();
        let layout: String =
            documents.iter().map(|(name, text)| format!("{name} {text}")).collect();
        sink.staging = sink.staging.journalled(layout)?;
        sink.staging.folder()?;
        Ok(Arc::new(sink))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// A Zarr array being written.
#[derive(Debug)]
struct ZarrSink {
    meta: Meta,
    /// The shape of a stored chunk, at the edge too.
    chunk: Dims,
    chunk_bytes: u64,
    chain: Chain,
    version: u8,
    path: PathBuf,
    staging: Staging,
    written: ChunkSet,
}

impl ZarrSink {
    /// The chunk's key; both versions' usual one.
    fn key(&self, index: &[u64]) -> String {
        use std::fmt::Write;
        let (mut key, separator) = match self.version {
            3 => ("c".to_owned(), '/'),
            _ => (String::new(), '.'),
        };
        for (axis, i) in index.iter().enumerate() {
            if axis > 0 || self.version == 3 {
                key.push(separator);
            }
            let _ = write!(key, "{i}");
        }
        if key.is_empty() { "0".into() } else { key }
    }

    /// Writes the file; makes its folder only when it is not there, so that this costs one
    /// more call a folder and not one a chunk.
    fn store(&self, key: &str, bytes: &[u8]) -> std::io::Result<()> {
        let path = self.staging.path().join(key);
        let mut file = match File::create(&path) {
            Err(e) if e.kind() == IoKind::NotFound => {
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder)?;
                }
                File::create(&path)?
            }
            file => file?,
        };
        file.write_all(bytes)
    }

    fn documents(&self) -> Vec<(&'static str, Value)> {
        let attributes: serde_json::Map<String, Value> =
            self.meta.attributes.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let named = self.meta.axes.iter().any(|name| !name.is_empty());
        match self.version {
            3 => vec![("zarr.json", self.document_3(attributes, named))],
            _ => self.documents_2(attributes, named),
        }
    }

    fn document_3(&self, attributes: serde_json::Map<String, Value>, named: bool) -> Value {
        let size = self.meta.dtype.size();
        let endian = if cfg!(target_endian = "big") { "big" } else { "little" };
        let bytes = match size {
            1 => json!({"name": "bytes"}),
            _ => json!({"name": "bytes", "configuration": {"endian": endian}}),
        };
        let mut codecs = vec![bytes];
        codecs.extend(match self.chain.codec {
            Codec::Zstd { level } => {
                Some(json!({"name": "zstd", "configuration": {"level": level, "checksum": false}}))
            }
            Codec::Blosc => Some(json!({"name": "blosc", "configuration": {
                "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": size, "blocksize": 0,
            }})),
            Codec::Gzip { level } => {
                Some(json!({"name": "gzip", "configuration": {"level": level}}))
            }
            Codec::None | Codec::Zlib => None,
        });
        let fill = if self.meta.dtype == DType::Bool { json!(false) } else { json!(0) };
        let mut document = json!({
            "zarr_format": 3,
            "node_type": "array",
            "shape": self.meta.shape().as_slice(),
            "data_type": self.meta.dtype.name(),
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": self.chunk.as_slice()}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": fill,
            "codecs": codecs,
            "attributes": attributes,
        });
        if named {
            let names = self.meta.axes.iter().map(|name| match name.as_str() {
                "" => Value::Null,
                name => name.into(),
            });
            document["dimension_names"] = names.collect();
        }
        document
    }

    fn documents_2(
        &self,
        mut attributes: serde_json::Map<String, Value>,
        named: bool,
    ) -> Vec<(&'static str, Value)> {
        let dtype = self.meta.dtype;
        let order = match (dtype.size(), cfg!(target_endian = "big")) {
            (1, _) => '|',
            (_, true) => '>',
            (_, false) => '<',
        };
        let kind = match dtype {
            DType::Bool => 'b',
            dtype if dtype.is_float() => 'f',
            dtype if dtype.is_signed() => 'i',
            _ => 'u',
        };
        let compressor = match self.chain.codec {
            Codec::Zstd { level } => json!({"id": "zstd", "level": level}),
            Codec::Blosc => {
                json!({"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0})
            }
            Codec::Gzip { level } => json!({"id": "gzip", "level": level}),
            Codec::None | Codec::Zlib => Value::Null,
        };
        let fill = if dtype == DType::Bool { json!(false) } else { json!(0) };
        let document = json!({
            "zarr_format": 2,
            "shape": self.meta.shape().as_slice(),
            "chunks": self.chunk.as_slice(),
            "dtype": format!("{order}{kind}{}", dtype.size()),
            "compressor": compressor,
            "fill_value": fill,
            "order": "C",
            "filters": null,
            "dimension_separator": ".",
        });
        if named {
            attributes.insert(DIMENSIONS.into(), self.meta.axes.clone().into());
        }
        vec![(".zattrs", attributes.into()), (".zarray", document)]
    }
}

impl ChunkSink for ZarrSink {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn scratch(&self) -> u64 {
        // The padded or gathered chunk, then its encoding; each begins at a multiple of 64.
        // What the compressor allocates by itself is counted here too.
        let encoding = match self.chain.codec {
            Codec::None => 0,
            codec => self.chain.bound(self.chunk_bytes) + codec.state_bytes(self.chunk_bytes),
        };
        self.chunk_bytes.next_multiple_of(64) + encoding
    }

    fn write(&self, index: &[u64], data: ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<Written> {
        let here =
            |error: FormatError| error.at(format_args!("{}: chunk {index:?}", self.path.display()));
        cx.cancel.check()?;
        if (cx.scratch.len() as u64) < self.scratch() {
            let message = format!("writing needs {} bytes of scratch", self.scratch());
            return Err(here(FormatError::new(ErrorKind::Invalid, message)));
        }
        let (padded, cx) = cx.split_scratch(self.chunk_bytes as usize);
        let bytes = match data.as_bytes() {
            Some(bytes) if data.shape() == &self.chunk[..] => bytes,
            _ => {
                if data.shape() != &self.chunk[..] {
                    padded.fill(0);
                }
                let region = crate::region::Region::whole(data.shape());
                ChunkMut::new(self.meta.dtype, padded, &self.chunk).sub(&region).assign(&data);
                &*padded
            }
        };
        let key = self.key(index);
        let stored = match self.chain.codec {
            Codec::None => bytes,
            _ => {
                let bound = self.chain.bound(self.chunk_bytes) as usize;
                let encoded = &mut cx.scratch[..bound];
                let len =
                    self.chain.encode(bytes, self.meta.dtype.size(), encoded).map_err(here)?;
                &encoded[..len]
            }
        };
        self.store(&key, stored).map_err(|e| here(FormatError::io(e)))?;
        let chunk = self.meta.grid.linear_of(index);
        let len = stored.len() as u64;
        self.staging.note(Noted { chunk, offset: 0, len, hash: xxh3_64(stored) })?;
        self.written.insert(chunk);
        Ok(Written { bytes: len })
    }

    fn journal(&self) -> Option<&Journal> {
        self.staging.journal()
    }

    fn is_intact(&self, noted: &Noted, cx: &mut ReadCx<'_>) -> Result<bool> {
        if noted.chunk >= self.meta.grid.len() {
            return Ok(false);
        }
        let path = self.staging.path().join(self.key(&self.meta.grid.index_of(noted.chunk)));
        let file = match File::open(&path) {
            Err(error) if error.kind() == IoKind::NotFound => return Ok(false),
            file => file?,
        };
        let whole = file.metadata()?.len() == noted.len
            && noted.offset == 0
            && noted.hash == hash_of(&file, [(0, noted.len)], cx)?;
        if whole {
            self.written.insert(noted.chunk);
        }
        Ok(whole)
    }

    fn seal(&self) -> Result<()> {
        self.written.check_whole(&self.meta.grid).map_err(|e| e.at_path(&self.path))?;
        for (name, document) in self.documents() {
            let text = format!("{document:#}\n");
            self.store(name, text.as_bytes())
                .map_err(|e| FormatError::io(e).at_path(&self.path.join(name)))?;
        }
        self.staging.sync()
    }

    fn publish(&self) -> Result<()> {
        self.staging.publish()
    }
}
