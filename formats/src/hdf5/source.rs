//! Reading: any box of a data set, by positioned reads and our own filters.

use super::{
    chunks::{Chunks, Entry},
    filter::Buffers,
    index::{Index, Layout},
    virtual_::fill,
};
use crate::{
    error::{ErrorKind, FormatError, Result},
    files::Stamp,
    raw::{RawArray, read_exact, window_bytes},
    region::{Coordinates, Region},
    source::{ChunkSource, FileCache, Fingerprint, Meta, ReadCost, ReadCx, SourceSpec, Storage},
    stored::{ReadAt, StoredFile, foreign_bytes},
    view::{ChunkMut, ChunkView},
};
use std::path::{Path, PathBuf};

/// Alignment of buffers within scratch.
const ALIGN: usize = 64;
/// Chunks up to which [`ChunkSource::cost`] sums what they take on disk one by one.
const COUNTED: u64 = 64;

/// One data set of an HDF5 file.
pub(super) struct Source {
    path: PathBuf,
    item: String,
    index: Index,
    stamp: Stamp,
}

impl Source {
    pub(super) fn new(path: &Path, item: String, index: Index, stamp: Stamp) -> Source {
        Source { path: path.to_owned(), item, index, stamp }
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// Reads the part of `region` that lies in the chunk `at`.
    fn read_chunk(
        &self,
        chunks: &Chunks,
        file: &StoredFile,
        at: &[u64],
        region: &Region,
        out: &mut ChunkMut<'_>,
        cx: &mut ReadCx<'_>,
    ) -> Result<()> {
        let grid = &self.index.meta.grid;
        let cell = grid.region(at);
        let Some(part) = region.intersection(&cell) else { return Ok(()) };
        let mut target = out.sub(&part.relative_to(&region.start));
        let Some(entry) = chunks.get(grid.linear_of(at)) else {
            fill(&mut target, &self.index.fill);
            return Ok(());
        };
        let dtype = self.index.meta.dtype;
        let inside = part.relative_to(&cell.start);
        if chunks.pipeline.is_empty() {
            let array = self.run(file, entry.address, &chunks.shape);
            return array.read(&inside, &mut target, window(chunks.bytes as u64, cx));
        }
        let sizes = chunks.buffers();
        let (first, mut rest) = cx.split_scratch(sizes.first);
        let (second, mut rest) = rest.split_scratch(sizes.second);
        let (spare, mut rest) = rest.split_scratch(sizes.spare);
        read_exact(file, &mut first[..entry.stored as usize], entry.address)?;
        if inside.shape == chunks.shape
            && let Some(bytes) = target.as_bytes()
        {
            return chunks.decode(entry, [first, second, spare], bytes);
        }
        let (whole, _) = rest.split_scratch(chunks.bytes);
        chunks.decode(entry, [first, second, spare], whole)?;
        target.assign(&ChunkView::new(dtype, whole, &chunks.shape).sub(&inside));
        Ok(())
    }

    /// Elements of `shape` that lie in one run at `base`; [`Source::settle`] makes them this
    /// machine's.
    fn run<'a>(&self, file: &'a dyn ReadAt, base: u64, shape: &'a [u64]) -> RawArray<'a> {
        RawArray { file, base, shape, dtype: self.index.meta.dtype, swap: false }
    }

    /// Turns the bytes of a file into elements of this machine.
    fn settle(&self, out: &mut ChunkMut<'_>) {
        let number = self.index.number;
        if !number.fits() {
            return;
        }
        let settled: Result<(), std::convert::Infallible> = out.try_for_each_run(|_, run| {
            number.settle(run);
            Ok(())
        });
        let Ok(()) = settled;
    }

    /// Names the data set in an error.
    fn at(&self, error: FormatError) -> FormatError {
        error.at(format_args!("{}::{}", self.path.display(), self.item))
    }
}

/// The part of scratch through which short runs of `total` bytes are read.
fn window<'a>(total: u64, cx: &'a mut ReadCx<'_>) -> &'a mut [u8] {
    let len = (window_bytes(total) as usize).min(cx.scratch.len());
    &mut cx.scratch[..len]
}

impl Chunks {
    /// Bytes of the buffers that decoding uses beside the one for the elements.
    fn buffers(&self) -> Buffers {
        self.pipeline.buffers(self.bytes, self.max_stored)
    }

    fn decode(&self, entry: Entry, buffers: [&mut [u8]; 3], out: &mut [u8]) -> Result<()> {
        self.pipeline.decode(entry.mask, entry.stored as usize, buffers, out)
    }
}

impl ChunkSource for Source {
    fn meta(&self) -> &Meta {
        &self.index.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        let meta = &self.index.meta;
        let wanted = region.volume() * meta.dtype.size() as u64;
        let foreign = foreign_bytes(&self.path);
        match &self.index.layout {
            Layout::Missing | Layout::Compact(_) => {
                ReadCost { bytes: 0, decoded: wanted, scratch: 0 }
            }
            Layout::Virtual(mapping) => mapping.cost(region),
            Layout::Contiguous(_) | Layout::External(_) => ReadCost {
                bytes: wanted,
                decoded: wanted,
                scratch: window_bytes(self.index.stored) + foreign,
            },
            Layout::Chunked(chunks) if chunks.pipeline.is_empty() => ReadCost {
                bytes: wanted,
                decoded: wanted,
                scratch: window_bytes(chunks.bytes as u64) + foreign,
            },
            Layout::Chunked(chunks) => {
                let covering = meta.grid.covering(region);
                let count = covering.volume();
                let bytes = if count <= COUNTED {
                    Coordinates::of(covering)
                        .filter_map(|at| chunks.get(meta.grid.linear_of(&at)))
                        .map(|entry| u64::from(entry.stored))
                        .sum()
                } else {
                    // The mean, for so many chunks; missing ones take nothing.
                    let mean = self.index.stored as f64 / meta.grid.len() as f64;
                    (mean * count as f64) as u64
                };
                let Buffers { first, second, spare, foreign: of_filters } = chunks.buffers();
                let scratch = [first, second, spare, chunks.bytes, of_filters]
                    .iter()
                    .map(|size| size.next_multiple_of(ALIGN) as u64)
                    .sum::<u64>()
                    + foreign;
                ReadCost { bytes, decoded: count.saturating_mul(chunks.bytes as u64), scratch }
            }
        }
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        let meta = &self.index.meta;
        if region.is_empty() {
            return Ok(());
        }
        match &self.index.layout {
            Layout::Missing => fill(&mut out, &self.index.fill),
            Layout::Compact(words) => {
                let shape = meta.shape();
                let bytes = crate::region::volume(&shape) as usize * meta.dtype.size();
                let words: &[u8] = bytemuck::cast_slice(words);
                out.assign(&ChunkView::new(meta.dtype, &words[..bytes], &shape).sub(region));
            }
            Layout::Contiguous(address) => {
                let file = cx.files.open_unchanged(&self.path, self.stamp)?;
                self.run(&*file, *address, &meta.shape())
                    .read(region, &mut out, window(self.index.stored, cx))
                    .map_err(|error| self.at(error))?;
            }
            Layout::External(slots) => {
                self.run(&slots.bytes(cx.files), 0, &meta.shape())
                    .read(region, &mut out, window(self.index.stored, cx))
                    .map_err(|error| self.at(error))?;
            }
            Layout::Virtual(mapping) => {
                // What sources hand out are elements of this machine.
                return mapping.read(region, &mut out, cx).map_err(|error| self.at(error));
            }
            Layout::Chunked(chunks) => {
                let file = cx.files.open_unchanged(&self.path, self.stamp)?;
                for at in Coordinates::of(meta.grid.covering(region)) {
                    cx.cancel.check()?;
                    self.read_chunk(chunks, &file, &at, region, &mut out, cx).map_err(|error| {
                        if error.kind() == ErrorKind::Cancelled {
                            return error;
                        }
                        let (path, item) = (self.path.display(), &self.item);
                        error.at(format_args!("{path}::{item}, chunk {:?}", at.as_slice()))
                    })?;
                }
            }
        }
        self.settle(&mut out);
        Ok(())
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        let own = self.stamp.fingerprint(&self.path).and(Fingerprint::of(self.item.as_bytes()));
        Ok(match &self.index.layout {
            Layout::Virtual(mapping) => own.and(mapping.fingerprint),
            Layout::External(slots) => own.and(slots.fingerprint()?),
            _ => own,
        })
    }

    fn version(&self, _: &Region, files: &FileCache) -> Result<Option<Fingerprint>> {
        match &self.index.layout {
            Layout::Chunked(chunks) if !chunks.pipeline.is_empty() => {
                files.version(&self.path, self.stamp)
            }
            _ => Ok(None),
        }
    }

    fn spec(&self) -> SourceSpec {
        SourceSpec {
            format: "hdf5".into(),
            location: format!("{}::{}", self.path.display(), self.item),
            ..SourceSpec::default()
        }
    }

    fn storage(&self) -> Storage {
        storage(&self.index)
    }

    fn held(&self) -> u64 {
        self.index.meta.held() + self.index.layout.held()
    }
}

/// How a data set lies on storage, for people.
pub(super) fn storage(index: &Index) -> Storage {
    let (codec, files, bytes) = match &index.layout {
        Layout::Chunked(chunks) => (chunks.pipeline.to_string(), 1, index.stored),
        Layout::Virtual(mapping) => {
            let count = mapping.len();
            (format!("virtual, of {count} data sets"), count as u64 + 1, mapping.stored)
        }
        Layout::External(slots) => ("external".to_owned(), 1 + slots.len() as u64, index.stored),
        _ => (String::new(), 1, index.stored),
    };
    Storage { format: "HDF5".into(), codec, files, bytes: Some(bytes) }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("path", &self.path)
            .field("item", &self.item)
            .field("meta", &self.index.meta)
            .finish_non_exhaustive()
    }
}
