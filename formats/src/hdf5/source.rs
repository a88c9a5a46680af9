//! Reading: any box of a data set, by positioned reads and our own filters.

use super::{
    index::{Chunks, Entry, Index, Layout},
    raw,
};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    region::{Coordinates, Region},
    source::{ChunkSource, Fingerprint, Meta, ReadCost, ReadCx, SourceSpec, Storage},
    view::{ChunkMut, ChunkView},
};
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// Alignment of buffers within scratch.
const ALIGN: usize = 64;
/// Chunks up to which [`ChunkSource::cost`] sums what they take on disk one by one.
const COUNTED: u64 = 64;

/// One data set of an HDF5 file.
pub(super) struct Source {
    path: PathBuf,
    item: String,
    index: Index,
}

impl Source {
    pub(super) fn new(path: &Path, item: String, index: Index) -> Source {
        Source { path: path.to_owned(), item, index }
    }

    /// Reads the part of `region` that lies in the chunk `at`.
    fn read_chunk(
        &self,
        chunks: &Chunks,
        file: &File,
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
            target.fill(self.index.fill);
            return Ok(());
        };
        let dtype = self.index.meta.dtype;
        let inside = part.relative_to(&cell.start);
        if chunks.pipeline.is_empty() {
            return raw::read_box(file, entry.address, dtype, &chunks.shape, &inside, target, cx);
        }
        let (first, second) = chunks.buffers();
        let (first, mut rest) = cx.split_scratch(first);
        let (second, mut rest) = rest.split_scratch(second);
        raw::exact(file, &mut first[..entry.stored as usize], entry.address)?;
        if inside.shape == chunks.shape
            && let Some(bytes) = target.as_bytes()
        {
            return chunks.decode(entry, first, second, bytes);
        }
        let (whole, _) = rest.split_scratch(chunks.bytes);
        chunks.decode(entry, first, second, whole)?;
        target.assign(&ChunkView::new(dtype, whole, &chunks.shape).sub(&inside));
        Ok(())
    }

    /// Turns the bytes of a file into elements of this machine.
    fn settle(&self, out: &mut ChunkMut<'_>) {
        let size = self.index.meta.dtype.size();
        let boolean = self.index.meta.dtype == DType::Bool;
        let swapped = self.index.swapped && size > 1;
        if !boolean && !swapped {
            return;
        }
        let settled: Result<(), std::convert::Infallible> = out.try_for_each_run(|_, run| {
            match size {
                1 => run.iter_mut().for_each(|byte| *byte = u8::from(*byte != 0)),
                2 => swap::<2>(run),
                4 => swap::<4>(run),
                _ => swap::<8>(run),
            }
            Ok(())
        });
        let Ok(()) = settled;
    }

    /// Names the data set in an error.
    fn at(&self, error: FormatError) -> FormatError {
        error.at(format_args!("{}::{}", self.path.display(), self.item))
    }
}

fn swap<const N: usize>(bytes: &mut [u8]) {
    bytes.as_chunks_mut::<N>().0.iter_mut().for_each(|element| element.reverse());
}

impl Chunks {
    /// Bytes of the two buffers that decoding uses beside the one for the elements.
    fn buffers(&self) -> (usize, usize) {
        self.pipeline.buffers(self.bytes, self.max_stored)
    }

    fn decode(
        &self,
        entry: Entry,
        first: &mut [u8],
        second: &mut [u8],
        out: &mut [u8],
    ) -> Result<()> {
        self.pipeline.decode(entry.mask, entry.stored as usize, first, second, out)
    }
}

impl ChunkSource for Source {
    fn meta(&self) -> &Meta {
        &self.index.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        let meta = &self.index.meta;
        let wanted = region.volume() * meta.dtype.size() as u64;
        match &self.index.layout {
            Layout::Missing | Layout::Compact(_) => {
                ReadCost { bytes: 0, decoded: wanted, scratch: 0 }
            }
            Layout::Contiguous(_) => ReadCost {
                bytes: wanted,
                decoded: wanted,
                scratch: raw::scratch(self.index.stored),
            },
            Layout::Chunked(chunks) if chunks.pipeline.is_empty() => ReadCost {
                bytes: wanted,
                decoded: wanted,
                scratch: raw::scratch(chunks.bytes as u64),
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
                let (first, second) = chunks.buffers();
                let scratch = [first, second, chunks.bytes]
                    .iter()
                    .map(|size| size.next_multiple_of(ALIGN) as u64)
                    .sum();
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
            Layout::Missing => out.fill(self.index.fill),
            Layout::Compact(words) => {
                let shape = meta.shape();
                let bytes = region_bytes(&shape, meta.dtype);
                let words: &[u8] = bytemuck::cast_slice(words);
                out.assign(&ChunkView::new(meta.dtype, &words[..bytes], &shape).sub(region));
            }
            Layout::Contiguous(address) => {
                let file = cx.files.open(&self.path)?;
                let (dtype, shape) = (meta.dtype, meta.shape());
                raw::read_box(&file, *address, dtype, &shape, region, out.reborrow(), cx)
                    .map_err(|error| self.at(error))?;
            }
            Layout::Chunked(chunks) => {
                let file = cx.files.open(&self.path)?;
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
        Ok(Fingerprint::of_file(&self.path)?.and(Fingerprint::of(self.item.as_bytes())))
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
}

/// How a data set lies on storage, for people.
pub(super) fn storage(index: &Index) -> Storage {
    let codec = match &index.layout {
        Layout::Chunked(chunks) => chunks.pipeline.to_string(),
        _ => String::new(),
    };
    Storage { format: "HDF5".into(), codec, files: 1, bytes: Some(index.stored) }
}

fn region_bytes(shape: &[u64], dtype: DType) -> usize {
    crate::region::volume(shape) as usize * dtype.size()
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
