//! NumPy's `.npy`: one array a file, its elements as they lie in memory.
//!
//! The format is NumPy enhancement 1: a magic number, a version (1 to 3), and a header
//! that is a Python dictionary with `descr`, `fortran_order` and `shape`. Elements are
//! read and written in place by positioned calls; nothing is mapped, so that a file which
//! is cut short while it is read is an error and not a signal.

use crate::{
    error::{ErrorKind, FormatError, Result},
    grid::Grid,
    raw::{RawArray, window_bytes},
    region::{Coordinates, Dims, Region},
    source::{
        ChunkSink, ChunkSource, Fingerprint, Format, Item, Meta, ReadCost, ReadCx, SourceSpec,
        Storage, WriteOptions, Writer, Written,
    },
    staging::Staging,
    view::{ChunkMut, ChunkView, c_strides},
};
use smallvec::SmallVec;
use std::{
    fs::File,
    io::Read,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

mod header;

use header::Header;

/// The magic number of the format.
const MAGIC: &[u8] = b"\x93NUMPY";

/// The largest chunk that an array without chunks of its own is cut into, in bytes.
const VIRTUAL_CHUNK: u64 = 64 << 20;

/// The format: files that begin with `\x93NUMPY`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Npy;

impl Npy {
    /// Begins the description of an array to be written to `path`.
    pub fn create(path: impl Into<PathBuf>) -> NpyWriter {
        NpyWriter { path: path.into(), chunks: None, overwrite: false }
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
        Ok(Arc::new(writer))
    }
}

/// Axes in the order in which they are stored, the slowest first.
fn stored_order(rank: usize, fortran: bool) -> SmallVec<[usize; 6]> {
    if fortran { (0..rank).rev().collect() } else { (0..rank).collect() }
}

/// Chunks of about 64 MiB along the slowest axes of an array of `shape`, stored in `order`.
fn virtual_grid(shape: &[u64], order: &[usize], size: u64) -> Grid {
    let mut chunk: Dims = shape.into();
    let mut left = VIRTUAL_CHUNK / size;
    for &axis in order.iter().rev() {
        chunk[axis] = shape[axis].min(left.max(1)).max(1);
        left /= chunk[axis];
    }
    Grid::regular(shape, &chunk)
}

/// An `.npy` file, open for reading.
#[derive(Debug)]
struct NpySource {
    path: PathBuf,
    header: Header,
    meta: Meta,
}

impl NpySource {
    fn open(path: &Path) -> Result<NpySource> {
        let here = |error: FormatError| error.at_path(path);
        let mut file = File::open(path).map_err(|e| here(FormatError::io(e)))?;
        let len = file.metadata().map_err(|e| here(FormatError::io(e)))?.len();
        let header = Header::read(&mut file.by_ref().take(len)).map_err(here)?;
        let bytes = header.data_bytes().map_err(here)?;
        if len - header.len.min(len) < bytes {
            let message =
                format!("the file has {len} bytes, its header of {} says {bytes} more", header.len);
            return Err(here(FormatError::new(ErrorKind::Corrupt, message)));
        }
        let order = stored_order(header.shape.len(), header.fortran);
        let grid = virtual_grid(&header.shape, &order, header.dtype.size() as u64);
        let meta = Meta::new(header.dtype, grid);
        Ok(NpySource { path: path.to_owned(), header, meta })
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
        let bytes = self.bytes(region);
        let total = self.bytes(&Region::whole(&self.header.shape));
        ReadCost { bytes, decoded: bytes, scratch: window_bytes(total) }
    }

    fn read(&self, region: &Region, out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        let Header { dtype, swap, fortran, ref shape, len: base, .. } = self.header;
        cx.cancel.check()?;
        let order = stored_order(shape.len(), fortran);
        let in_order = |dims: &[u64]| -> Dims { order.iter().map(|&axis| dims[axis]).collect() };
        let stored = Region { start: in_order(&region.start), shape: in_order(&region.shape) };
        let file = cx.files.open(&self.path)?;
        let raw = RawArray { file: &file, base, shape: &in_order(shape), dtype, swap };
        let window = (self.cost(region).scratch as usize).min(cx.scratch.len());
        raw.read(&stored, &mut out.permute_axes(&order), &mut cx.scratch[..window])
            .map_err(|e| e.at_path(&self.path))
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Fingerprint::of_file(&self.path)
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
}

/// Writes an array as one `.npy` file, in C order; made by [`Npy::create`].
#[derive(Clone, Debug)]
pub struct NpyWriter {
    path: PathBuf,
    chunks: Option<Dims>,
    overwrite: bool,
}

impl NpyWriter {
    /// Lengths, along each axis, of the parts that are written at a time (0: the whole
    /// axis); by default the array's own chunks. The file does not depend on them.
    #[must_use]
    pub fn chunks(mut self, chunks: impl AsRef<[u64]>) -> NpyWriter {
        self.chunks = Some(chunks.as_ref().into());
        self
    }

    /// Replaces an output that exists.
    #[must_use]
    pub fn overwrite(mut self) -> NpyWriter {
        self.overwrite = true;
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
            None => Ok(meta.grid.clone()),
        }
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
        let staging = Staging::create(&self.path, self.overwrite)?;
        let file = File::create(staging.path()).map_err(|e| here(FormatError::io(e)))?;
        allocate(&file, total).map_err(|e| here(FormatError::io(e)))?;
        file.write_all_at(&header, 0).map_err(|e| here(FormatError::io(e)))?;
        Ok(Arc::new(NpySink {
            written: (0..meta.grid.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            strides: c_strides(&shape).iter().map(|&stride| stride as u64).collect(),
            base: header.len() as u64,
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

/// Reserves the whole file, so that a full disk is known before the work; where the file
/// system cannot, only the length is set.
fn allocate(file: &File, len: u64) -> std::io::Result<()> {
    use rustix::{
        fs::{FallocateFlags, fallocate},
        io::Errno,
    };
    match fallocate(file, FallocateFlags::empty(), 0, len) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => file.set_len(len),
        done => Ok(done?),
    }
}

/// An `.npy` file being written.
#[derive(Debug)]
struct NpySink {
    meta: Meta,
    /// Elements between neighbours along each axis of the file.
    strides: Dims,
    /// The first byte of the elements.
    base: u64,
    path: PathBuf,
    file: File,
    staging: Staging,
    /// One bit a chunk: whether it was written.
    written: Box<[AtomicU64]>,
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
        // The axes behind `outer` are whole in the chunk, so their elements lie in one run.
        let shape = self.meta.shape();
        let mut outer = shape.len();
        while outer > 0 && region.shape[outer - 1] == shape[outer - 1] {
            outer -= 1;
        }
        let outer = outer.saturating_sub(1);
        let run = region.shape[outer..].iter().product::<u64>() as usize * size;
        let starts =
            Region { start: region.start[..outer].into(), shape: region.shape[..outer].into() };
        for (run, at) in bytes.chunks_exact(run.max(1)).zip(Coordinates::of(starts)) {
            let at = at.iter().chain(&region.start[outer..]);
            let offset: u64 = at.zip(&self.strides).map(|(&i, &stride)| i * stride).sum();
            self.file
                .write_all_at(run, self.base + offset * size as u64)
                .map_err(|e| here(FormatError::io(e)))?;
        }
        let chunk = self.meta.grid.linear_of(index);
        self.written[(chunk / 64) as usize].fetch_or(1 << (chunk % 64), Ordering::Release);
        Ok(Written { bytes: total as u64 })
    }

    fn seal(&self) -> Result<()> {
        let chunks = self.meta.grid.len();
        let is_written =
            |n: &u64| self.written[(n / 64) as usize].load(Ordering::Acquire) >> (n % 64) & 1 == 1;
        match (0..chunks).find(|n| !is_written(n)) {
            None => Ok(()),
            Some(missing) => {
                let count = (0..chunks).filter(is_written).count();
                let index = self.meta.grid.index_of(missing);
                let message = format!(
                    "{count} of {chunks} chunks were written; the first missing one is {:?}",
                    index.as_slice()
                );
                Err(FormatError::new(ErrorKind::Invalid, message).at_path(&self.path))
            }
        }
    }

    fn publish(&self) -> Result<()> {
        self.staging.publish()
    }
}

#[cfg(test)]
mod tests;
