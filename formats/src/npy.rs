//! NumPy's `.npy`: one array a file, its elements as they lie in memory.
//!
//! The format is NumPy enhancement 1: a magic number, a version (1 to 3), and a header
//! that is a Python dictionary with `descr`, `fortran_order` and `shape`. Elements are
//! read and written in place by positioned calls; nothing is mapped, so that a file which
//! is cut short while it is read is an error and not a signal.

use crate::{
    error::{ErrorKind, FormatError, Result},
    files::Stamp,
    grid::{Grid, VIRTUAL_CHUNK},
    journal::{ChunkSet, Journal, Noted, hash_of},
    raw::{RawArray, fetched_bytes, window_bytes},
    region::{Coordinates, Dims, Region},
    source::{
        ChunkSink, ChunkSource, Fingerprint, Format, Item, Meta, ReadCost, ReadCx, SourceSpec,
        Storage, WriteOptions, Writer, Written,
    },
    staging::{Mode, Staging},
    stored::{Forwards, ReadAt, StoredFile, foreign_bytes},
    view::{ChunkMut, ChunkView, c_strides},
};
use smallvec::SmallVec;
use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use xxhash_rust::xxh3::xxh3_64;

mod header;

use header::Header;

/// The magic number of the format.
const MAGIC: &[u8] = b"\x93NUMPY";

/// The format: files that begin with `\x93NUMPY`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Npy;

impl Npy {
    /// Begins the description of an array to be written to `path`.
    pub fn create(path: impl Into<PathBuf>) -> NpyWriter {
        NpyWriter { path: path.into(), chunks: None, mode: Mode::default() }
    }
}

impl Format for Npy {
    fn name(&self) -> &'static str {
        "npy"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["npy"]
    }

    fn recognises(&self, _: &Path, head: &[u8]) -> bool {
        head.starts_with(MAGIC)
    }

    fn list(&self, path: &Path) -> Result<Vec<Item>> {
        let source = NpySource::open(path)?;
        let storage = source.storage();
        Ok(vec![Item { name: String::new(), meta: source.meta, storage }])
    }

    fn open(&self, path: &Path, item: Option<&str>) -> Result<Arc<dyn ChunkSource>> {
        if let Some(item) = item.filter(|item| !item.is_empty()) {
            let message = format!("there is no {item:?} in it: a .npy file is one array");
            return Err(FormatError::new(ErrorKind::NotFound, message).at_path(path));
        }
        Ok(Arc::new(NpySource::open(path)?))
    }

    fn writer(&self, path: &Path, options: &WriteOptions) -> Result<Arc<dyn Writer>> {
        options.check_plain(path)?;
        if let Some(codec) = options.codec.as_deref().filter(|codec| *codec != "none") {
            let message = format!(".npy files are not compressed: {codec:?} cannot be used");
            return Err(FormatError::new(ErrorKind::Invalid, message).at_path(path));
        }
        let mut writer = Npy::create(path);
        if let Some(chunks) = &options.chunks {
            writer = writer.chunks(chunks);
        }
        if options.overwrite {
            writer = writer.overwrite();
        }
        if options.resume {
            writer = writer.resume();
        }
        if options.durable {
            writer = writer.durable();
        }
        Ok(Arc::new(writer))
    }
}

/// Axes in the order in which they are stored, the slowest first.
fn stored_order(rank: usize, fortran: bool) -> SmallVec<[usize; 6]> {
    if fortran { (0..rank).rev().collect() } else { (0..rank).collect() }
}

/// Chunks along the slowest axes of an array of `shape`, stored in `order`.
fn virtual_grid(shape: &[u64], order: &[usize], size: u64) -> Grid {
    let stored: Dims = order.iter().map(|&axis| shape[axis]).collect();
    let cut = Grid::cut(&stored, &[], size, VIRTUAL_CHUNK);
    let mut axes = cut.axes().to_vec();
    for (at, &axis) in order.iter().enumerate() {
        axes[axis] = cut.axes()[at].clone();
    }
    Grid::new(axes)
}

/// An `.npy` file, open for reading.
#[derive(Debug)]
struct NpySource {
    path: PathBuf,
    stamp: Stamp,
    header: Header,
    meta: Meta,
}

impl NpySource {
    fn open(path: &Path) -> Result<NpySource> {
        let here = |error: FormatError| error.at_path(path);
        let file = StoredFile::open(path)?;
        let len = file.size().map_err(|e| here(FormatError::io(e)))?;
        let stamp = Stamp::of(&file).map_err(|e| here(FormatError::io(e)))?;
        let header = Header::read(&mut Forwards::of(&file)).map_err(here)?;
        let bytes = header.data_bytes().map_err(here)?;
        if len - header.len.min(len) < bytes {
            let message =
                format!("the file has {len} bytes, its header of {} says {bytes} more", header.len);
            return Err(here(FormatError::new(ErrorKind::Corrupt, message)));
        }
        let order = stored_order(header.shape.len(), header.fortran);
        let grid = virtual_grid(&header.shape, &order, header.dtype.size() as u64);
        let meta = Meta::new(header.dtype, grid);
        Ok(NpySource { path: path.to_owned(), stamp, header, meta })
    }

    fn bytes(&self, region: &Region) -> u64 {
        region.volume() * self.header.dtype.size() as u64
    }
}

impl ChunkSource for NpySource {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        let Header { dtype, fortran, ref shape, .. } = self.header;
        let order = stored_order(shape.len(), fortran);
        let in_order = |dims: &[u64]| -> Dims { order.iter().map(|&axis| dims[axis]).collect() };
        let stored = Region { start: in_order(&region.start), shape: in_order(&region.shape) };
        let bytes = fetched_bytes(&stored, &in_order(shape), dtype.size() as u64);
        let total = self.bytes(&Region::whole(shape));
        let scratch = window_bytes(total) + foreign_bytes(&self.path);
        ReadCost { bytes, decoded: self.bytes(region), scratch }
    }

    fn read(&self, region: &Region, out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        let Header { dtype, swap, fortran, ref shape, len: base, .. } = self.header;
        cx.cancel.check()?;
        let order = stored_order(shape.len(), fortran);
        let in_order = |dims: &[u64]| -> Dims { order.iter().map(|&axis| dims[axis]).collect() };
        let stored = Region { start: in_order(&region.start), shape: in_order(&region.shape) };
        let file = cx.files.open_unchanged(&self.path, self.stamp)?;
        let raw = RawArray { file: &*file, base, shape: &in_order(shape), dtype, swap };
        let total = self.bytes(&Region::whole(shape));
        let window = (window_bytes(total) as usize).min(cx.scratch.len());
        raw.read(&stored, &mut out.permute_axes(&order), &mut cx.scratch[..window])
            .map_err(|e| e.at_path(&self.path))
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(self.stamp.fingerprint(&self.path))
    }

    fn spec(&self) -> SourceSpec {
        SourceSpec {
            format: "npy".into(),
            location: self.path.display().to_string(),
            ..SourceSpec::default()
        }
    }

    fn storage(&self) -> Storage {
        Storage {
            format: "NumPy".into(),
            codec: String::new(),
            files: 1,
            bytes: Some(self.header.len + self.bytes(&Region::whole(&self.header.shape))),
        }
    }

    fn held(&self) -> u64 {
        self.meta.held()
    }
}

/// Writes an array as one `.npy` file, in C order; made by [`Npy::create`].
#[derive(Clone, Debug)]
pub struct NpyWriter {
    path: PathBuf,
    chunks: Option<Dims>,
    mode: Mode,
}

impl NpyWriter {
    /// Lengths, along each axis, of the parts that are written at a time (0: the whole
    /// axis); by default the array's own chunks, or longer ones where these are but short runs of the
    /// file. It does not depend on them.
    #[must_use]
    pub fn chunks(mut self, chunks: impl AsRef<[u64]>) -> NpyWriter {
        self.chunks = Some(chunks.as_ref().into());
        self
    }

    /// Replaces an output that exists.
    #[must_use]
    pub fn overwrite(mut self) -> NpyWriter {
        self.mode.overwrite = true;
        self
    }

    /// Goes on with what an earlier store of the same left unfinished, if there is any.
    #[must_use]
    pub fn resume(mut self) -> NpyWriter {
        self.mode.resume = true;
        self
    }

    /// Waits for the disk before the output is visible, so that it survives a loss of power.
    #[must_use]
    pub fn durable(mut self) -> NpyWriter {
        self.mode.durable = true;
        self
    }
}

impl Writer for NpyWriter {
    fn grid(&self, meta: &Meta) -> Result<Grid> {
        match &self.chunks {
            Some(chunks) if chunks.len() != meta.grid.rank() => Err(FormatError::new(
                ErrorKind::Invalid,
                format!(
                    "chunks along {} axes were asked for an array of {}",
                    chunks.len(),
                    meta.grid.rank()
                ),
            )
            .at_path(&self.path)),
            Some(chunks) => Ok(Grid::regular(&meta.shape(), chunks)),
            None => Ok(meta.grid.in_runs(meta.dtype.size())),
        }
    }

    fn scratch(&self, meta: &Meta) -> Result<u64> {
        Ok(meta.max_chunk_bytes())
    }

    fn create(&self, meta: &Meta) -> Result<Arc<dyn ChunkSink>> {
        let here = |error: FormatError| error.at_path(&self.path);
        let shape = meta.shape();
        let header = header::encode(meta.dtype, &shape);
        let total = meta
            .bytes()
            .and_then(|bytes| bytes.checked_add(header.len() as u64))
            .filter(|&bytes| bytes <= i64::MAX as u64)
            .ok_or_else(|| {
                here(FormatError::new(ErrorKind::Invalid, "the array is too large for a file"))
            })?;
        let layout = format!("{} {:?}", String::from_utf8_lossy(&header), meta.grid);
        let staging = Staging::create(&self.path, self.mode)?.journalled(layout)?;
        let file = staging.file(total)?;
        Ok(Arc::new(NpySink {
            written: ChunkSet::new(meta.grid.len()),
            strides: c_strides(&shape).iter().map(|&stride| stride as u64).collect(),
            header,
            meta: meta.clone(),
            path: self.path.clone(),
            file,
            staging,
        }))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// An `.npy` file being written.
#[derive(Debug)]
struct NpySink {
    meta: Meta,
    /// Elements between neighbours along each axis of the file.
    strides: Dims,
    /// What comes before the elements; written last.
    header: Vec<u8>,
    path: PathBuf,
    file: File,
    staging: Staging,
    written: ChunkSet,
}

impl NpySink {
    /// Where a chunk lies in the file: runs of bytes (offset, length), all of one length, in C order.
    fn runs(&self, region: &Region) -> impl Iterator<Item = (u64, u64)> {
        let size = self.meta.dtype.size() as u64;
        // The axes behind `outer` are whole in the chunk, so their elements lie in one run.
        let shape = self.meta.shape();
        let mut outer = shape.len();
        while outer > 0 && region.shape[outer - 1] == shape[outer - 1] {
            outer -= 1;
        }
        let outer = outer.saturating_sub(1);
        let run = region.shape[outer..].iter().product::<u64>() * size;
        let starts =
            Region { start: region.start[..outer].into(), shape: region.shape[..outer].into() };
        let count = if run == 0 { 0 } else { usize::MAX };
        Coordinates::of(starts).take(count).map(move |at| {
            let at = at.iter().chain(&region.start[outer..]);
            let element: u64 = at.zip(&self.strides).map(|(&i, &stride)| i * stride).sum();
            (self.header.len() as u64 + element * size, run)
        })
    }
}

impl ChunkSink for NpySink {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn scratch(&self) -> u64 {
        self.meta.max_chunk_bytes()
    }

    fn write(&self, index: &[u64], data: ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<Written> {
        let here =
            |error: FormatError| error.at(format_args!("{}: chunk {index:?}", self.path.display()));
        cx.cancel.check()?;
        let region = self.meta.grid.region(index);
        let size = self.meta.dtype.size();
        let total = data.len() * size;
        let bytes = match data.as_bytes() {
            Some(bytes) => bytes,
            None if cx.scratch.len() < total => {
                let message = format!("writing needs {total} bytes of scratch");
                return Err(here(FormatError::new(ErrorKind::Invalid, message)));
            }
            None => {
                let gathered = &mut cx.scratch[..total];
                ChunkMut::new(self.meta.dtype, gathered, data.shape()).assign(&data);
                gathered
            }
        };
        let mut rest = bytes;
        for (offset, len) in self.runs(&region) {
            let (run, after) = rest.split_at(len as usize);
            self.file.write_all_at(run, offset).map_err(|e| here(FormatError::io(e)))?;
            rest = after;
        }
        let chunk = self.meta.grid.linear_of(index);
        let offset = self.runs(&region).next().map_or(0, |(offset, _)| offset);
        let (len, hash) = (bytes.len() as u64, xxh3_64(bytes));
        self.staging.note(Noted { chunk, offset, len, hash })?;
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
        let region = self.meta.grid.region(&self.meta.grid.index_of(noted.chunk));
        let whole = hash_of(&self.file, self.runs(&region), cx)? == noted.hash;
        if whole {
            self.written.insert(noted.chunk);
        }
        Ok(whole)
    }

    fn seal(&self) -> Result<()> {
        let here = |error: FormatError| error.at_path(&self.path);
        self.written.check_whole(&self.meta.grid).map_err(here)?;
        self.file.write_all_at(&self.header, 0).map_err(|e| here(FormatError::io(e)))?;
        self.staging.sync()
    }

    fn publish(&self) -> Result<()> {
        self.staging.publish()
    }
}

#[cfg(test)]
mod tests;
