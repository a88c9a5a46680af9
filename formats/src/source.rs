//! The seam between formats and everything above them: [`ChunkSource`] reads,
//! [`ChunkSink`] writes, [`ReadCx`] lends what a call may use.
//!
//! # The contract
//!
//! * **Threads.** All methods are called from many threads at once. No lock is held
//!   while bytes are decoded or encoded, and no thread is started.
//! * **Memory.** A read or write allocates nothing that grows with the data: it uses the
//!   buffer it is given, the scratch that [`ChunkSource::cost`] or [`ChunkSink::scratch`]
//!   asked for, and small fixed state of codecs. What a dependency allocates by itself is listed in
//!   `formats/README.md` and counted in that scratch.
//! * **Order and retries.** Regions are read and chunks written in any order, and again
//!   after a failure: a read has no effect, a write of the same chunk is idempotent.
//! * **Partial failure.** After an error the content of `out` is unspecified; nothing
//!   that a failed write left behind is visible before [`ChunkSink::publish`].
//! * **Units.** Coordinates and shapes count elements, costs count bytes. Elements are in
//!   native byte order, scaled and with their missing values filled in, as [`Meta`] says.
//! * **Hostile files.** A size found in a file is checked against the file's length and
//!   [`ReadCx::limit`] before it is allocated or multiplied. Nothing panics on bad bytes.

pub use crate::{files::FileCache, labels::Labels};

use crate::{
    dtype::{DType, Scalar},
    error::{ErrorKind, FormatError, Result},
    files::Stamp,
    grid::Grid,
    journal::{Journal, Noted},
    missing::MissingFiles,
    region::{Dims, Region, checked_volume},
    view::{ChunkMut, ChunkView},
};
use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Cards, attributes: what a file says about an array beside its elements.
pub type Attributes = BTreeMap<String, serde_json::Value>;

/// What is known of an array before an element is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// The type of the elements as they are handed out.
    pub dtype: DType,
    /// Shape and chunks.
    pub grid: Grid,
    /// A name for each axis; empty where there is none.
    pub axes: Vec<String>,
    /// Cards or attributes.
    pub attributes: Arc<Attributes>,
}

impl Meta {
    /// An array without names and attributes.
    pub fn new(dtype: DType, grid: Grid) -> Meta {
        let axes = vec![String::new(); grid.rank()];
        Meta { dtype, grid, axes, attributes: Arc::default() }
    }

    /// Bytes of memory that it takes, nearly: what its attributes take is estimated.
    pub fn held(&self) -> u64 {
        const ENTRY: usize = 128;
        let entry = |(name, value): (&String, &serde_json::Value)| {
            let text = match value {
                serde_json::Value::String(text) => text.len(),
                serde_json::Value::Array(list) => list.len() * ENTRY,
                serde_json::Value::Object(map) => map.len() * 2 * ENTRY,
                _ => 0,
            };
            ENTRY + name.len() + text
        };
        (1024 + self.attributes.iter().map(entry).sum::<usize>()) as u64
    }

    /// The shape of the array.
    pub fn shape(&self) -> Dims {
        self.grid.shape()
    }

    /// The bytes of all elements, `None` beyond `u64`.
    pub fn bytes(&self) -> Option<u64> {
        checked_volume(&self.shape())?.checked_mul(self.dtype.size() as u64)
    }

    /// The bytes of the largest chunk (saturating).
    pub fn max_chunk_bytes(&self) -> u64 {
        let volume = checked_volume(&self.grid.max_chunk()).unwrap_or(u64::MAX);
        volume.saturating_mul(self.dtype.size() as u64)
    }
}

/// What reading a region takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCost {
    /// Bytes fetched from storage (an estimate where chunks are compressed).
    pub bytes: u64,
    /// Bytes of elements that are decoded; more than the region's own where it cuts
    /// through compressed tiles.
    pub decoded: u64,
    /// Bytes of [`ReadCx::scratch`] that the read needs, at the most.
    pub scratch: u64,
}

/// How an array lies on storage, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// The name of the format: `FITS`, `Zarr 3`.
    pub format: String,
    /// The codec, `RICE_1`, `zstd`; empty where elements lie as they are.
    pub codec: String,
    /// The number of files, as far as it is known.
    pub files: u64,
    /// Bytes on disk, as far as they are known.
    pub bytes: Option<u64>,
}

/// Enough for another process to open the source again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SourceSpec {
    /// The format's name in the registry; empty where only this process has the data.
    pub format: String,
    /// The path (with `::ITEM`), pattern or URL.
    pub location: String,
    /// What else was said when it was opened.
    pub options: BTreeMap<String, String>,
}

/// A number that changes when a source changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u128);

/// The most files of a folder that are looked at for its fingerprint.
const MOST_FILES: usize = 1 << 17;

impl Fingerprint {
    /// The fingerprint of these bytes.
    pub fn of(bytes: &[u8]) -> Fingerprint {
        Fingerprint(xxhash_rust::xxh3::xxh3_128(bytes))
    }

    /// The fingerprint of a file's path, size and time of modification; behind a URL, also of
    /// the version that the server tells.
    ///
    /// # Errors
    /// If the file's metadata cannot be read.
    pub fn of_file(path: &Path) -> Result<Fingerprint> {
        Ok(Stamp::at(path)?.fingerprint(path))
    }

    /// The fingerprint of all that lies in a folder and in those below: of each name, size and time
    /// of modification. Hidden files are left out, and behind the first 131,072 files: there
    /// only what adds, removes or replaces one is seen, and not what writes into it.
    ///
    /// # Errors
    /// If a folder cannot be listed.
    pub fn of_folder(path: &Path) -> Result<Fingerprint> {
        let (mut folders, mut files, mut sum) = (vec![path.to_owned()], 0, 0u128);
        while let Some(folder) = folders.pop() {
            let failed = |e| FormatError::io(e).at_path(&folder);
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let kind = entry.file_type().map_err(failed)?;
                if entry.file_name().as_encoded_bytes().starts_with(b".") {
                    continue;
                }
                files += usize::from(!kind.is_dir());
                if !kind.is_dir() && files > MOST_FILES {
                    continue;
                }
                // One that goes away meanwhile is none.
                if let Ok(Fingerprint(one)) = Fingerprint::of_file(&entry.path()) {
                    sum = sum.wrapping_add(one);
                }
                if kind.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        Ok(Fingerprint::of(&sum.to_le_bytes()).and(Fingerprint::of_file(path)?))
    }

    /// The fingerprint of both, in this order.
    #[must_use]
    pub fn and(self, other: Fingerprint) -> Fingerprint {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.0.to_le_bytes());
        bytes[16..].copy_from_slice(&other.0.to_le_bytes());
        Fingerprint::of(&bytes)
    }
}

/// A flag that asks a run to stop; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// # Errors
    /// [`ErrorKind::Cancelled`] once it was asked to stop; long reads call this between steps.
    pub fn check(&self) -> Result<()> {
        match self.is_cancelled() {
            true => Err(FormatError::new(ErrorKind::Cancelled, "cancelled")),
            false => Ok(()),
        }
    }
}

/// What a read or write may use; lent for one call.
#[derive(Debug)]
pub struct ReadCx<'a> {
    /// Scratch of at least the size that the cost named, its start aligned to 64 bytes;
    /// its content is unspecified.
    pub scratch: &'a mut [u8],
    /// No allocation whose size a file told may be larger, in bytes.
    pub limit: u64,
    /// Open files.
    pub files: &'a FileCache,
    /// Whether to stop.
    pub cancel: &'a Cancel,
}

impl<'a> ReadCx<'a> {
    /// The same for a shorter time, with the first `len` bytes of scratch split off.
    ///
    /// # Panics
    /// If there is less scratch: the cost that was named was too small.
    pub fn split_scratch(&mut self, len: usize) -> (&mut [u8], ReadCx<'_>) {
        let aligned = len.next_multiple_of(64).min(self.scratch.len());
        let (first, rest) = self.scratch.split_at_mut(aligned);
        let cx =
            ReadCx { scratch: rest, limit: self.limit, files: self.files, cancel: self.cancel };
        (&mut first[..len], cx)
    }

    /// # Errors
    /// [`ErrorKind::Limit`] if a size that a file told is beyond [`ReadCx::limit`].
    pub fn check_size(&self, what: &str, size: u64) -> Result<usize> {
        usize::try_from(size).ok().filter(|_| size <= self.limit).ok_or_else(|| {
            FormatError::new(
                ErrorKind::Limit,
                format!("{what} claims {size} bytes, more than the {} allowed here", self.limit),
            )
        })
    }
}

/// An array that can be read, any box of it, from any thread. See the module for the contract.
pub trait ChunkSource: fmt::Debug + Send + Sync {
    /// Dtype, shape, chunks, names and attributes.
    fn meta(&self) -> &Meta;

    /// What reading `region` takes; cheap, and without I/O.
    fn cost(&self, region: &Region) -> ReadCost;

    /// What the positions along `axis` are called, where something says so.
    fn labels(&self, _axis: usize) -> Option<&Labels> {
        None
    }

    /// The same elements on another grid of the same shape, where any box of them costs what
    /// it holds, as of a source that makes its elements: then no chunk needs cutting anew.
    fn rechunked(&self, _grid: &Grid) -> Option<Arc<dyn ChunkSource>> {
        None
    }

    /// Reads the elements of `region` into `out`, which has its shape and the array's dtype.
    ///
    /// # Errors
    /// If the file is missing, damaged or changed; the error names it.
    fn read(&self, region: &Region, out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()>;

    /// What the data are known by: another one means that they may have changed. Of what lies in one
    /// file it tells what that was when the source was opened, which is what reads insist on.
    ///
    /// # Errors
    /// If a file's metadata have to be read and cannot be.
    fn fingerprint(&self) -> Result<Fingerprint>;

    /// What is stored for `region` now: another number once that has changed since this source was opened. It is asked
    /// whenever a copy of the elements could do instead of reading them, so it costs no more than opening a
    /// file. `None` where reading costs little more than copying, or is the only way to know.
    ///
    /// # Errors
    /// As reading: if the file is missing, or not what it was where this source insists on that.
    fn version(&self, _region: &Region, _files: &FileCache) -> Result<Option<Fingerprint>> {
        Ok(None)
    }

    /// Whether equal fingerprints mean equal data whatever program made them; of a source that calls a
    /// program's functions they do in that program alone.
    fn is_named(&self) -> bool {
        true
    }

    /// How to open it again elsewhere.
    fn spec(&self) -> SourceSpec;

    /// How it lies on storage, for people.
    fn storage(&self) -> Storage;

    /// Bytes of memory that it takes while it is open, nearly: its header, its index. One that does not
    /// tell is taken for larger than most.
    fn held(&self) -> u64 {
        64 << 10
    }

    /// The stored element that stands for a missing value, where the format itself says so and
    /// no attribute does.
    fn missing_value(&self) -> Option<Scalar> {
        None
    }

    /// Which elements are undefined: true, on the same grid. `None` where none can be, or
    /// where what is undefined is NaN.
    fn mask(&self) -> Option<Arc<dyn ChunkSource>> {
        None
    }

    /// The files that were taken as missing so far, of a source that can go on without some.
    fn missing_files(&self) -> Option<&MissingFiles> {
        None
    }
}

/// What one write did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes handed to storage.
    pub bytes: u64,
}

/// An array being written, chunk by chunk of its own grid, from any thread. See the module
/// for the contract. Dropping a sink that was not published removes what it wrote, unless its
/// journal was told to keep it.
pub trait ChunkSink: fmt::Debug + Send + Sync {
    /// Dtype, shape and the grid that chunks are written in.
    fn meta(&self) -> &Meta;

    /// Bytes of scratch that writing one chunk needs, at the most.
    fn scratch(&self) -> u64;

    /// Writes the chunk `index`; `data` has its shape and the array's dtype.
    ///
    /// # Errors
    /// If storage fails or is full.
    fn write(&self, index: &[u64], data: ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<Written>;

    /// The journal of what is written, of a format whose stores can go on where one was killed.
    fn journal(&self) -> Option<&Journal> {
        None
    }

    /// Whether a chunk is stored as it was noted in the journal by an earlier store; from then
    /// on it counts as written. `cx` has scratch of any size from 4 KiB on.
    ///
    /// # Errors
    /// If it was cancelled, or cannot be read although it is there.
    fn is_intact(&self, _noted: &Noted, _cx: &mut ReadCx<'_>) -> Result<bool> {
        Ok(false)
    }

    /// Makes everything whole and consistent, under a staging name.
    ///
    /// # Errors
    /// If storage fails or is full.
    fn seal(&self) -> Result<()>;

    /// Makes the array visible, by one rename; called once, after [`ChunkSink::seal`].
    ///
    /// # Errors
    /// If storage fails; then the old array, if there was one, is still there, or the new one is, and the
    /// error says that a loss of power may undo it.
    fn publish(&self) -> Result<()>;
}

/// What creates a sink: the builders named after the formats.
pub trait Writer: fmt::Debug + Send + Sync {
    /// The grid that the output will have for an array like `meta`.
    ///
    /// # Errors
    /// If the chunks asked for do not fit the array.
    fn grid(&self, meta: &Meta) -> Result<Grid>;

    /// What [`ChunkSink::scratch`] of the output for an array like `meta`, which has the grid that
    /// [`Writer::grid`] gave, will be. It is told before anything is created.
    ///
    /// # Errors
    /// If such an array cannot be written.
    fn scratch(&self, meta: &Meta) -> Result<u64>;

    /// Creates the output under a staging name; `meta` has the grid that [`Writer::grid`] gave.
    ///
    /// # Errors
    /// If the output exists and may not be overwritten, or cannot be created.
    fn create(&self, meta: &Meta) -> Result<Arc<dyn ChunkSink>>;

    /// The path of the output, for messages.
    fn path(&self) -> &Path;
}

/// What a writer may be asked for by name; builders of the adapters have methods for these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Chunk lengths along each axis (0: the whole axis); by default the array's own chunks.
    pub chunks: Option<Vec<u64>>,
    /// Lengths of the shards that hold the chunks, of a format that has them (0: the whole axis).
    pub shards: Option<Vec<u64>>,
    /// The array's name in a file or folder of many; by default the output holds one array.
    pub item: Option<String>,
    /// The codec as a user writes it: `zstd:3`, `none`; by default the format's usual one.
    pub codec: Option<String>,
    /// Whether an output that exists is replaced.
    pub overwrite: bool,
    /// Whether an array in an object store is replaced, which is not atomic.
    pub overwrite_in_place: bool,
    /// Whether the store goes on with what an earlier one left unfinished.
    pub resume: bool,
    /// Whether the output is on disk, safe from a loss of power, before it is visible.
    pub durable: bool,
}

impl WriteOptions {
    /// Refuses what asks for more than one array of plain chunks; formats that have no other call it.
    ///
    /// # Errors
    /// If shards or an item are asked for.
    pub fn check_plain(&self, path: &Path) -> Result<()> {
        self.check_unsharded(path)?;
        if self.item.is_none() {
            return Ok(());
        }
        let message = "an output of this format holds one array, without a name";
        Err(FormatError::new(ErrorKind::Invalid, message)
            .at_path(path)
            .help("Zarr (.zarr) and HDF5 (.h5) have names"))
    }

    /// Refuses shards.
    ///
    /// # Errors
    /// If shards are asked for.
    pub fn check_unsharded(&self, path: &Path) -> Result<()> {
        if self.shards.is_none() {
            return Ok(());
        }
        let message = "the format has no shards";
        Err(FormatError::new(ErrorKind::Invalid, message)
            .at_path(path)
            .help("only Zarr (.zarr) has them"))
    }
}

/// One array of a file or folder.
#[derive(Clone, Debug)]
pub struct Item {
    /// What stands behind `::` to name it; empty where the path alone does.
    pub name: String,
    /// Dtype, shape, chunks, names and attributes.
    pub meta: Meta,
    /// How it lies on storage.
    pub storage: Storage,
}

/// Something that a file or folder holds: an array, or what is none or cannot be read.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What stands behind `::` to name it; groups end at each `/`. Empty where the path alone
    /// names it.
    pub name: String,
    /// What else it is called, as FITS calls an HDU by EXTNAME.
    pub title: Option<String>,
    /// What it is.
    pub content: Content,
}

/// What an [`Entry`] is.
#[derive(Clone, Debug)]
pub enum Content {
    /// An array that can be read.
    Array(Box<Item>),
    /// Nothing that could be an array: `empty`, `binary table`.
    Other(String),
    /// An array that cannot be read.
    Unreadable {
        /// Why.
        reason: String,
        /// Its dtype, where it is known all the same.
        dtype: Option<DType>,
        /// Its shape, where it is known all the same.
        shape: Option<Dims>,
    },
}

/// One on-disk layout; the registry holds the list of all.
pub trait Format: fmt::Debug + Send + Sync {
    /// The name, lower case: `fits`, `zarr`, `hdf5`, `npy`.
    fn name(&self) -> &'static str;

    /// File-name endings, lower case, without the dot; the first is the usual one.
    fn extensions(&self) -> &'static [&'static str];

    /// Whether `path` is of this format, by what is there: `head` holds the first bytes of a
    /// file (up to 1024; empty for a folder).
    fn recognises(&self, path: &Path, head: &[u8]) -> bool;

    /// All arrays in `path`.
    ///
    /// # Errors
    /// If it is damaged.
    fn list(&self, path: &Path) -> Result<Vec<Item>>;

    /// All that is in `path`: arrays, and what is none or cannot be read. By default the arrays
    /// that [`Format::list`] finds.
    ///
    /// # Errors
    /// If it is damaged so that nothing can be listed.
    fn contents(&self, path: &Path) -> Result<Vec<Entry>> {
        let entry = |item: Item| Entry {
            name: item.name.clone(),
            title: None,
            content: Content::Array(Box::new(item)),
        };
        Ok(self.list(path)?.into_iter().map(entry).collect())
    }

    /// Whether an array is many objects below one prefix, not one file: then it is what lies
    /// behind a URL that does not end as a file, and can be written to object stores.
    fn is_many_objects(&self) -> bool {
        false
    }

    /// Opens one array; without `item`, the one that the format's convention names.
    ///
    /// # Errors
    /// If it is damaged, there is no such item, or several could be meant (the error lists them).
    fn open(&self, path: &Path, item: Option<&str>) -> Result<Arc<dyn ChunkSource>>;

    /// Opens one array as [`Format::open`] does, but for elements that the file marks as
    /// undefined: these are 0, and the source's [`mask`](ChunkSource::mask) tells which they
    /// are. By default a format has no such marks.
    ///
    /// # Errors
    /// As [`Format::open`].
    fn open_masked(&self, path: &Path, item: Option<&str>) -> Result<Arc<dyn ChunkSource>> {
        self.open(path, item)
    }

    /// Cards or attributes alone: of the array that [`Format::open`] opens, or of what `item`
    /// names.
    ///
    /// # Errors
    /// As [`Format::open`].
    fn attributes(&self, path: &Path, item: Option<&str>) -> Result<Arc<Attributes>> {
        Ok(self.open(path, item)?.meta().attributes.clone())
    }

    /// Whether arrays are written in this format too.
    fn is_written(&self) -> bool {
        true
    }

    /// What writes an array to `path`.
    ///
    /// # Errors
    /// If an option is not one of this format's, or it is not [written](Format::is_written).
    fn writer(&self, path: &Path, options: &WriteOptions) -> Result<Arc<dyn Writer>>;
}
