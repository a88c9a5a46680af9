//! The suite that every adapter passes: the seam's contract, as library code.
//!
//! [`source`] holds any source against what it should give; [`format()`] writes an array and
//! reads it back, through everything that a store may go through; [`damaged`] shows that
//! bad bytes are errors. They are for tests: what does not hold is a panic that says what
//! was asked for and what came. Random choices are the same in every run.

use crate::{
    dtype::DType,
    error::{ErrorKind, Result},
    grid::Grid,
    journal::{ChunkSet, Noted, Provenance},
    memory::MemorySource,
    region::{Dims, Region},
    source::{
        Cancel, ChunkSink, ChunkSource, FileCache, Format, Meta, ReadCx, WriteOptions, Writer,
    },
    view::{ChunkMut, ChunkView},
};
use std::{
    fs,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// What every byte of a buffer holds before something is read into it.
const GARBAGE: u8 = 0xA5;
const THREADS: u64 = 4;
/// Random boxes that each thread reads.
const BOXES: usize = 12;
/// The limit that reads are given for sizes which files tell, in bytes.
const LIMIT: u64 = 1 << 26;

/// Choices that are the same in every run (Steele, Lea and Flood's SplitMix64, 2014).
#[derive(Clone, Debug)]
pub struct Choices(u64);

impl Choices {
    /// Others for each seed.
    pub fn new(seed: u64) -> Choices {
        Choices(seed)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    /// A box in an array of `shape`; empty now and then.
    fn region(&mut self, shape: &[u64]) -> Region {
        let mut region = Region::whole(shape);
        for (axis, &len) in shape.iter().enumerate() {
            region.start[axis] = self.below(len + 1);
            region.shape[axis] = self.below(len - region.start[axis] + 1);
        }
        region
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

/// Scratch of exactly `len` bytes, its start aligned as the contract says, full of garbage.
struct Scratch {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Scratch {
    fn new(len: u64) -> Scratch {
        let len = usize::try_from(len).expect("scratch that fits in memory");
        let bytes = vec![GARBAGE; len + 64];
        let start = bytes.as_ptr().align_offset(64);
        Scratch { bytes, start, len }
    }

    fn lend(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

/// How the box lies that a read fills.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    /// In one run.
    Contiguous,
    /// In the middle of a larger one, whose other elements must stay as they are.
    Within,
}

/// Reads `region` with exactly the scratch that its cost names; its elements in C order.
fn read(
    source: &dyn ChunkSource,
    region: &Region,
    layout: Layout,
    files: &FileCache,
    cancel: &Cancel,
) -> Result<Vec<u8>> {
    let dtype = source.meta().dtype;
    let margin = u64::from(layout == Layout::Within);
    let outer: Dims = region.shape.iter().map(|&len| len + 2 * margin).collect();
    let bytes = outer.iter().product::<u64>() as usize * dtype.size();
    let mut words = vec![0u64; bytes.div_ceil(8)];
    let buffer = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes];
    buffer.fill(GARBAGE);
    let within = Region::new(Dims::from_elem(margin, outer.len()), region.shape.clone());
    let mut scratch = Scratch::new(source.cost(region).scratch);
    let mut cx = ReadCx { scratch: scratch.lend(), limit: LIMIT, files, cancel };
    source.read(region, ChunkMut::new(dtype, buffer, &outer).sub(&within), &mut cx)?;
    let mut elements = Vec::with_capacity(bytes);
    let taken: Result<()> =
        ChunkMut::new(dtype, buffer, &outer).sub(&within).try_for_each_run(|_, run| {
            elements.extend_from_slice(run);
            run.fill(GARBAGE);
            Ok(())
        });
    taken?;
    let untouched = buffer.iter().all(|&byte| byte == GARBAGE);
    assert!(untouched, "reading {region} wrote outside its box");
    Ok(elements)
}

/// All elements of a source in C order, as they lie in a chunk.
///
/// # Errors
/// As [`ChunkSource::read`].
///
/// # Panics
/// If what is told of the array, or of the cost of reading it, does not fit in memory.
pub fn whole(source: &dyn ChunkSource) -> Result<Vec<u8>> {
    let whole = Region::whole(&source.meta().shape());
    read(source, &whole, Layout::Contiguous, &FileCache::default(), &Cancel::default())
}

/// The elements of a view in C order.
fn bytes_of(view: &ChunkView<'_>) -> Vec<u8> {
    let len = view.len() * view.dtype().size();
    let mut words = vec![0u64; len.div_ceil(8)];
    let bytes = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..len];
    ChunkMut::new(view.dtype(), bytes, view.shape()).assign(view);
    bytes.to_vec()
}

fn assert_reads(
    source: &dyn ChunkSource,
    expected: &ChunkView<'_>,
    region: &Region,
    layout: Layout,
    files: &FileCache,
) {
    let what = || format!("{} {region} of {:?}", source.meta().dtype, source.meta().shape());
    let elements = read(source, region, layout, files, &Cancel::default())
        .unwrap_or_else(|e| panic!("reading {} fails: {e}", what()));
    let wanted = bytes_of(&expected.sub(region));
    let size = expected.dtype().size();
    if let Some(at) = (0..wanted.len()).find(|&at| elements[at] != wanted[at]) {
        let (at, differ) = (at / size, elements.chunks(size).zip(wanted.chunks(size)));
        panic!(
            "reading {} ({layout:?}): {} of {} elements differ, the first is number {at}: {:x?} for {:x?}",
            what(),
            differ.filter(|(a, b)| a != b).count(),
            wanted.len() / size,
            &elements[at * size..(at + 1) * size],
            &wanted[at * size..(at + 1) * size],
        );
    }
}

/// Holds a source against the elements that it should give, to the bit: the whole, every
/// chunk, random boxes (empty ones and single elements too), into runs and into the middle
/// of larger boxes, by several threads at once, with exactly the scratch that the cost names,
/// and when it was cancelled.
///
/// # Panics
/// If something is not as the contract says.
pub fn source(source: &dyn ChunkSource, expected: &ChunkView<'_>) {
    let meta = source.meta();
    let shape = meta.shape();
    assert_eq!(meta.dtype, expected.dtype(), "dtype of {source:?}");
    assert_eq!(&shape[..], expected.shape(), "shape of {source:?}");
    assert_eq!(meta.axes.len(), shape.len(), "a name for each axis, if only an empty one");
    let whole = Region::whole(&shape);
    // Fewer than threads, so that files are closed and opened again while others read.
    let files = FileCache::new(NonZeroUsize::MIN);
    for layout in [Layout::Contiguous, Layout::Within] {
        assert_reads(source, expected, &whole, layout, &files);
    }
    for chunk in 0..meta.grid.len() {
        let region = meta.grid.region(&meta.grid.index_of(chunk));
        assert_reads(source, expected, &region, Layout::Contiguous, &files);
    }
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (files, shape, expected) = (&files, &shape, expected.clone());
            scope.spawn(move || {
                let mut choices = Choices(seed);
                for i in 0..BOXES {
                    let mut region = choices.region(shape);
                    if i % 3 == 0 && !expected.is_empty() {
                        let at = shape.iter().map(|&len| choices.below(len)).collect::<Dims>();
                        region = Region::new(at, Dims::from_elem(1, shape.len()));
                    }
                    let layout = if i % 2 == 0 { Layout::Contiguous } else { Layout::Within };
                    assert_reads(source, &expected, &region, layout, files);
                }
            });
        }
    });
    let cancel = Cancel::default();
    cancel.cancel();
    match read(source, &whole, Layout::Contiguous, &files, &cancel) {
        Ok(elements) => assert_eq!(elements, bytes_of(expected), "a read that outran its cancel"),
        Err(e) => assert_eq!(e.kind(), ErrorKind::Cancelled, "a cancelled read says: {e}"),
    }
    let fingerprint = || source.fingerprint().expect("a fingerprint");
    assert_eq!(fingerprint(), fingerprint(), "fingerprints of what did not change");
    let version = || source.version(&whole, &files).expect("a version, or none");
    assert_eq!(version(), version(), "versions of what did not change");
}

/// What a format stores otherwise than it was given, as its standard asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deviations {
    /// `bool` comes back as `uint8`.
    pub bool_as_u8: bool,
    /// An array without axes comes back as one element along one axis.
    pub scalar_as_one: bool,
}

impl Deviations {
    /// Dtype and shape of `meta` once stored.
    fn stored(self, meta: &Meta) -> (DType, Dims) {
        let dtype = match meta.dtype {
            DType::Bool if self.bool_as_u8 => DType::U8,
            dtype => dtype,
        };
        let shape = meta.shape();
        let as_one = self.scalar_as_one && shape.is_empty();
        (dtype, if as_one { Dims::from_elem(1, 1) } else { shape })
    }
}

/// Stores `array` at `path` and holds what is read back against it, to the bit. On the way:
/// a store that is dropped half-way leaves nothing; chunks are written in random order by
/// several threads, some of them twice; nothing is visible before it is published; a file
/// that exists is refused; one that is overwritten is there, whole, until it is replaced.
///
/// # Panics
/// If something is not as the contract says.
pub fn format(
    format: &dyn Format,
    path: &Path,
    array: &MemorySource,
    options: &WriteOptions,
    deviations: Deviations,
) {
    let folder = path.parent().expect("a path in a folder");
    let before = names_in(folder);
    let refuse = WriteOptions { overwrite: false, ..options.clone() };
    let replace = WriteOptions { overwrite: true, ..options.clone() };
    let writer = |options: &WriteOptions| {
        format.writer(path, options).unwrap_or_else(|e| panic!("no writer for {path:?}: {e}"))
    };
    assert_eq!(writer(&refuse).path(), path, "a writer's path");

    let dropped = create(&*writer(&refuse), array).expect("a first store");
    write_chunks(&*dropped, array, |chunk| chunk % 2 == 0);
    assert!(!path.exists(), "{path:?} is seen before it is published");
    if dropped.meta().grid.len() > 1 {
        let error = dropped.seal().expect_err("a store that lacks chunks is not sealed");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    drop(dropped);
    assert_eq!(names_in(folder), before, "what a dropped store leaves behind");

    let sink = create(&*writer(&refuse), array).expect("a store after a dropped one");
    write_chunks(&*sink, array, |_| true);
    sink.seal().unwrap_or_else(|e| panic!("sealing {path:?} fails: {e}"));
    assert!(!path.exists(), "{path:?} is seen before it is published");
    sink.publish().unwrap_or_else(|e| panic!("publishing {path:?} fails: {e}"));
    drop(sink);
    assert_eq!(names_in(folder).len(), before.len() + 1, "what a store leaves beside its output");
    let first = check_stored(format, path, array, deviations);

    let refused = create(&*writer(&refuse), array).map(drop);
    assert_eq!(
        refused.expect_err("an output that exists is refused").kind(),
        ErrorKind::Exists,
        "the refusal of {path:?}"
    );
    let other = reversed(array);
    let dropped = create(&*writer(&replace), &other).expect("a store over an old one");
    write_chunks(&*dropped, &other, |_| true);
    check_stored(format, path, array, deviations);
    drop(dropped);
    check_stored(format, path, array, deviations);

    store(&*writer(&replace), &other);
    let second = check_stored(format, path, &other, deviations);
    assert_ne!(first, second, "fingerprints of {path:?} before and after");
    assert_eq!(names_in(folder).len(), before.len() + 1, "what a store leaves beside its output");

    match format.writer(path, &WriteOptions { resume: true, ..replace }) {
        Ok(writer) => {
            resumed(&*writer, array);
            check_stored(format, path, array, deviations);
            let left = names_in(folder).len();
            assert_eq!(left, before.len() + 1, "what a resumed store leaves beside its output");
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}"),
    }
}

/// Stores `array` in two stores: the first is dropped half-way, the second goes on with it.
fn resumed(writer: &dyn Writer, array: &MemorySource) {
    let sink = create(writer, array).expect("a store that may be gone on with");
    let journal = sink.journal().expect("a writer that resumes has a journal");
    assert!(journal.begin(Provenance::default()).expect("a journal").is_none());
    write_chunks(&*sink, array, |chunk| chunk % 2 == 0);
    assert_eq!(journal.is_kept(), !sink.meta().grid.is_empty(), "what was noted is kept");
    drop(sink);
    let sink = create(writer, array).expect("a store that goes on");
    let journal = sink.journal().expect("a journal");
    let earlier = journal.begin(Provenance::default()).expect("the same provenance");
    let (files, cancel) = (FileCache::default(), Cancel::default());
    let mut scratch = Scratch::new(4096);
    let mut is_intact = |noted: Noted| {
        let scratch = scratch.lend();
        let mut cx = ReadCx { scratch, limit: u64::MAX, files: &files, cancel: &cancel };
        sink.is_intact(&noted, &mut cx).unwrap_or_else(|e| panic!("{noted:?}: {e}"))
    };
    let (mut records, done) = (Vec::new(), ChunkSet::new(sink.meta().grid.len()));
    if let Some(mut earlier) = earlier {
        while earlier.next(&mut records).expect("records") {
            for &noted in &records {
                assert!(!is_intact(Noted { hash: !noted.hash, ..noted }), "any hash will do");
                assert!(is_intact(noted), "{noted:?} is not what was written");
                done.insert(noted.chunk);
            }
        }
    }
    assert!(!is_intact(Noted { chunk: u64::MAX, ..Noted::default() }), "a chunk beyond the grid");
    assert_eq!(done.count(), done.len().div_ceil(2), "chunks that were noted");
    write_chunks(&*sink, array, |chunk| !done.contains(chunk));
    sink.seal().and_then(|()| sink.publish()).unwrap_or_else(|e| panic!("publishing fails: {e}"));
}

/// Stores `array` as a run would: every chunk, then seal and publish.
///
/// # Panics
/// If something fails.
pub fn store(writer: &dyn Writer, array: &MemorySource) {
    let sink = create(writer, array).unwrap_or_else(|e| panic!("creating fails: {e}"));
    write_chunks(&*sink, array, |_| true);
    sink.seal().and_then(|()| sink.publish()).unwrap_or_else(|e| panic!("publishing fails: {e}"));
}

/// Creates a store for an array as it will be cut.
fn create(writer: &dyn Writer, array: &MemorySource) -> Result<Arc<dyn ChunkSink>> {
    let grid = writer.grid(array.meta())?;
    assert_eq!(grid.shape(), array.meta().shape(), "a writer's grid has the array's shape");
    let meta = Meta { grid: grid.clone(), ..array.meta().clone() };
    let scratch = writer.scratch(&meta)?;
    let sink = writer.create(&meta)?;
    assert_eq!(sink.meta().grid, grid, "a sink has the grid that its writer told");
    assert_eq!(sink.scratch(), scratch, "a sink takes the scratch that its writer told");
    Ok(sink)
}

/// Writes the chunks that are `wanted`, in random order, by several threads, some chunks twice, from
/// runs and from the middle of a larger array.
fn write_chunks(sink: &dyn ChunkSink, array: &MemorySource, wanted: impl Fn(u64) -> bool) {
    let grid = &sink.meta().grid;
    let mut chunks: Vec<u64> = (0..grid.len()).filter(|&chunk| wanted(chunk)).collect();
    Choices(1).shuffle(&mut chunks);
    let (next, files, cancel) = (AtomicUsize::new(0), FileCache::default(), Cancel::default());
    let write_some = || {
        let mut scratch = Scratch::new(sink.scratch());
        while let Some(&chunk) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let index = grid.index_of(chunk);
            let region = grid.region(&index);
            let within = array.view().sub(&region);
            let mut words = vec![0u64; (within.len() * within.dtype().size()).div_ceil(8)];
            let run =
                &mut bytemuck::cast_slice_mut(&mut words)[..within.len() * within.dtype().size()];
            ChunkMut::new(within.dtype(), run, &region.shape).assign(&within);
            let run = ChunkView::new(within.dtype(), run, &region.shape);
            for data in if chunk % 3 == 0 { vec![run, within] } else { vec![run] } {
                let scratch = scratch.lend();
                scratch.fill(GARBAGE);
                let mut cx = ReadCx { scratch, limit: LIMIT, files: &files, cancel: &cancel };
                sink.write(&index, data, &mut cx)
                    .unwrap_or_else(|e| panic!("writing chunk {index:?} fails: {e}"));
            }
        }
    };
    thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(write_some))));
}

/// Opens what was stored and holds it against the array; its fingerprint.
fn check_stored(
    format: &dyn Format,
    path: &Path,
    array: &MemorySource,
    deviations: Deviations,
) -> crate::Fingerprint {
    let (dtype, shape) = deviations.stored(array.meta());
    let head = fs::read(path).map(|all| all[..all.len().min(1024)].to_vec()).unwrap_or_default();
    assert!(format.recognises(path, &head), "{} recognises {path:?}", format.name());
    let items = format.list(path).unwrap_or_else(|e| panic!("listing {path:?} fails: {e}"));
    let listed = items.iter().any(|i| i.meta.dtype == dtype && i.meta.shape() == shape);
    assert!(listed, "{path:?} is listed as {items:?}");
    let opened = format
        .open(path, None)
        .unwrap_or_else(|e| panic!("opening {path:?}, {dtype} {shape:?}, fails: {e}"));
    let bytes = bytes_of(&array.view());
    let stored = MemorySource::from_bytes(dtype, Grid::whole(&shape), &bytes);
    source(&*opened, &stored.view());
    opened.fingerprint().expect("a fingerprint")
}

/// The same elements, the last first.
fn reversed(array: &MemorySource) -> MemorySource {
    let meta = array.meta();
    let bytes = bytes_of(&array.view());
    let reversed: Vec<u8> = bytes.chunks(meta.dtype.size()).rev().flatten().copied().collect();
    MemorySource::from_bytes(meta.dtype, meta.grid.clone(), &reversed)
}

fn names_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder to write in");
    let mut names: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    names.sort();
    names
}

/// An array of every kind of value of `dtype`, extremes and NaN among them, in chunks of
/// `chunk` (0: the whole axis).
///
/// # Panics
/// If shape and chunk differ in rank.
pub fn sample(dtype: DType, shape: &[u64], chunk: &[u64]) -> MemorySource {
    let mut choices = Choices(dtype as u64);
    let count = crate::region::volume(shape) as usize;
    let mut bytes = Vec::with_capacity(count * dtype.size());
    for i in 0..count {
        let any = choices.below(u64::MAX);
        match dtype {
            DType::Bool => bytes.push((any % 2) as u8),
            // Ordinary values and not signalling NaNs, which some processors change.
            DType::F32 => {
                let special = [f32::NAN, f32::INFINITY, f32::MIN, f32::MIN_POSITIVE, -0.0];
                let value = special.get(i % 11).copied().unwrap_or(any as f32 / 3e15 - 1e3);
                bytes.extend(value.to_ne_bytes());
            }
            DType::F64 => {
                let special = [f64::NAN, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, -0.0];
                let value = special.get(i % 11).copied().unwrap_or(any as f64 / 3e15 - 1e3);
                bytes.extend(value.to_ne_bytes());
            }
            _ => {
                let special = [0, u64::MAX, 1 << (8 * dtype.size() - 1), u64::MAX >> 1, 1];
                let value = special.get(i % 11).copied().unwrap_or(any).to_le_bytes();
                let mut element = value[..dtype.size()].to_vec();
                if cfg!(target_endian = "big") {
                    element.reverse();
                }
                bytes.extend(element);
            }
        }
    }
    MemorySource::from_bytes(dtype, Grid::regular(shape, chunk), &bytes)
}

/// Damages copies of what is stored at `path`, a file or folder, in `times` ways (cut short,
/// bytes changed), opens and reads each: errors and other elements are both right, a panic or
/// an allocation beyond the limit is not. Gives how many could still be opened.
///
/// # Panics
/// If opening or reading one panics; the message says how it was damaged.
pub fn damaged(format: &dyn Format, path: &Path, times: u64) -> usize {
    let mut files = Vec::new();
    files_in(path, &mut files);
    assert!(!files.is_empty(), "{path:?} holds files");
    let mut opened = 0;
    for seed in 0..times {
        let mut choices = Choices(seed);
        let file = &files[choices.below(files.len() as u64) as usize];
        let whole = fs::read(file).expect("a file to damage");
        let mut bytes = whole.clone();
        let how = match seed % 3 {
            _ if bytes.is_empty() => "left empty".to_owned(),
            0 => {
                bytes.truncate(choices.below(bytes.len() as u64) as usize);
                format!("cut to {} bytes", bytes.len())
            }
            kind => {
                // Headers come first, so half of the damage is done there.
                let end = if kind == 1 { bytes.len().min(512) } else { bytes.len() } as u64;
                let places: Vec<u64> = (0..=choices.below(4)).map(|_| choices.below(end)).collect();
                places.iter().for_each(|&at| bytes[at as usize] = choices.below(256) as u8);
                format!("changed at {places:?}")
            }
        };
        fs::write(file, &bytes).expect("a file to damage");
        let outcome = catch_unwind(AssertUnwindSafe(|| hostile(format, path, LIMIT)));
        fs::write(file, &whole).expect("a file to mend");
        match outcome {
            Ok(seen) => opened += usize::from(seen.opened > 0),
            Err(_) => panic!("{} panics on {file:?} {how} (way {seed})", format.name()),
        }
    }
    opened
}

/// What [`hostile`] came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Arrays that could be opened.
    pub opened: usize,
    /// Chunks of them that were read without an error.
    pub read: usize,
    /// The most bytes that one read was lent, buffer and scratch together.
    pub largest: u64,
}

/// Opens whatever is at `path`, hostile as it may be: lists it, opens what is listed, and reads of each the
/// first chunks that take no more than `limit` bytes. What all tests of damaged files and all
/// fuzz targets do.
///
/// # Panics
/// If the format does, which it must not.
pub fn hostile(format: &dyn Format, path: &Path, limit: u64) -> Seen {
    let mut seen = Seen::default();
    let _ = format.contents(path);
    let items = format.list(path).unwrap_or_default();
    let named = items.iter().take(32).map(|item| Some(item.name.as_str()));
    for source in named.chain([None]).filter_map(|item| format.open(path, item).ok()) {
        seen.opened += 1;
        let meta = source.meta();
        let (files, cancel) = (FileCache::default(), Cancel::default());
        for chunk in 0..meta.grid.len().min(64) {
            let region = meta.grid.region(&meta.grid.index_of(chunk));
            let takes = meta.max_chunk_bytes().saturating_add(source.cost(&region).scratch);
            if takes <= limit {
                seen.largest = seen.largest.max(takes);
                // An error is as good as elements here; it is panics that are looked for.
                let done = read(&*source, &region, Layout::Contiguous, &files, &cancel);
                seen.read += usize::from(done.is_ok());
            }
        }
    }
    seen
}

fn files_in(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        return files.push(path.to_owned());
    }
    names_in(path).iter().for_each(|entry| files_in(entry, files));
}
