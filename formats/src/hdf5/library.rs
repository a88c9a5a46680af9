//! The C library, for data sets that are not read without it: szip and other plugins, virtual
//! data sets of points or irregular blocks, and floats of other layouts.
//!
//! Behind the feature `hdf5`, and only for what [`super::Hdf5`] would otherwise refuse. The
//! library has one lock for the whole process, so such reads run one at a time; a file is
//! opened for each read and closed after it.

use super::{
    file::{self, corrupt, unsupported},
    index::virtual_chunks,
};
use crate::{
    dtype::{DType, Element},
    error::{ErrorKind, FormatError, Result},
    grid::Grid,
    region::{Dims, Region, checked_volume},
    source::{ChunkSource, Fingerprint, Meta, ReadCost, ReadCx, SourceSpec, Storage},
    view::ChunkMut,
    with_dtype,
};
use hdf5::types::{FloatSize, IntSize, TypeDescriptor};
use hdf5::{Hyperslab, SliceOrIndex};
use ndarray::IxDyn;
use std::path::{Path, PathBuf};

/// The library's cache of decoded chunks for each open data set, by default.
const CHUNK_CACHE: u64 = 1 << 20;

/// A data set that the C library reads.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    item: String,
    meta: Meta,
    /// Bytes of a chunk on disk, decoded; 0 where there are none.
    chunk: u64,
    stored: u64,
}

impl Source {
    /// Opens `item` by the C library.
    pub(super) fn open(path: &Path, item: String) -> Result<Source> {
        let dataset = dataset(path, &item)?;
        let space = dataset.space().map_err(|error| failed(error, path, &item))?;
        if !space.is_simple() && !space.is_scalar() {
            return Err(unsupported("the data set has a null dataspace"));
        }
        if !dataset.filters().iter().all(|filter| filter.decode_enabled()) {
            return Err(unsupported("a filter that the HDF5 library lacks too"));
        }
        let kind = dataset
            .dtype()
            .and_then(|kind| kind.to_descriptor())
            .map_err(|error| failed(error, path, &item))?;
        let dtype = dtype_of(&kind)?;
        let shape: Dims = dataset.shape().iter().map(|&n| n as u64).collect();
        let reach: Dims = shape.iter().map(|&n| n.max(1)).collect();
        let size = dtype.size() as u64;
        if checked_volume(&reach).and_then(|n| n.checked_mul(size)).is_none() {
            return Err(FormatError::new(
                ErrorKind::Limit,
                format!("a shape of {shape:?} is beyond what can be addressed"),
            ));
        }
        let on_disk: Option<Dims> =
            dataset.chunk().map(|chunk| chunk.iter().map(|&n| n as u64).collect());
        let bytes = |chunk: &Dims| checked_volume(chunk).and_then(|n| n.checked_mul(size));
        let (grid, chunk) = match &on_disk {
            Some(chunk) if chunk.len() == shape.len() && !chunk.contains(&0) => {
                let bytes = bytes(chunk).ok_or_else(|| corrupt(format!("chunks of {chunk:?}")))?;
                (Grid::regular(&shape, chunk), bytes)
            }
            _ => (virtual_chunks(&shape, size), 0),
        };
        let mut meta = Meta::new(dtype, grid);
        file::read_attributes(path, &item, &mut meta);
        let stored = dataset.storage_size();
        Ok(Source { path: path.to_owned(), item, meta, chunk, stored })
    }

    fn fetch<T: Element + hdf5::H5Type>(
        &self,
        region: &Region,
        out: &mut ChunkMut<'_>,
    ) -> Result<()> {
        let failed = |error| failed(error, &self.path, &self.item);
        let dataset = dataset(&self.path, &self.item)?;
        let shape: Dims = dataset.shape().iter().map(|&n| n as u64).collect();
        if shape != self.meta.shape() {
            return Err(FormatError::new(
                ErrorKind::Changed,
                format!(
                    "its shape was {:?} when it was opened and is {shape:?}",
                    self.meta.shape()
                ),
            ));
        }
        let elements = if region.rank() == 0 {
            dataset.read_raw::<T>().map_err(failed)?
        } else {
            let slices: Vec<SliceOrIndex> = (0..region.rank())
                .map(|axis| {
                    let range = region.range(axis);
                    (range.start as usize..range.end as usize).into()
                })
                .collect();
            let array = dataset.read_slice::<T, _, IxDyn>(Hyperslab::from(slices));
            array.map_err(failed)?.into_raw_vec_and_offset().0
        };
        if elements.len() as u64 != region.volume() {
            return Err(corrupt(format!("{} elements for {}", elements.len(), region.volume())));
        }
        let mut elements = elements.into_iter();
        out.try_for_each_run(|_, run| {
            for (cell, element) in run.chunks_exact_mut(T::DTYPE.size()).zip(&mut elements) {
                cell.copy_from_slice(bytemuck::bytes_of(&element.to_repr()));
            }
            Ok(())
        })
    }
}

fn dataset(path: &Path, item: &str) -> Result<hdf5::Dataset> {
    let open = || hdf5::File::open(path)?.dataset(item);
    open().map_err(|error| failed(error, path, item))
}

/// An error of the C library as one of ours.
fn failed(error: hdf5::Error, path: &Path, item: &str) -> FormatError {
    FormatError::new(ErrorKind::Corrupt, format!("the HDF5 library cannot read it: {error}"))
        .at(format_args!("{}::{item}", path.display()))
        .because(error.to_string())
}

fn dtype_of(kind: &TypeDescriptor) -> Result<DType> {
    Ok(match kind {
        TypeDescriptor::Boolean => DType::Bool,
        TypeDescriptor::Unsigned(IntSize::U1) => DType::U8,
        TypeDescriptor::Unsigned(IntSize::U2) => DType::U16,
        TypeDescriptor::Unsigned(IntSize::U4) => DType::U32,
        TypeDescriptor::Unsigned(IntSize::U8) => DType::U64,
        TypeDescriptor::Integer(IntSize::U1) => DType::I8,
        TypeDescriptor::Integer(IntSize::U2) => DType::I16,
        TypeDescriptor::Integer(IntSize::U4) => DType::I32,
        TypeDescriptor::Integer(IntSize::U8) => DType::I64,
        TypeDescriptor::Float(FloatSize::U4) => DType::F32,
        TypeDescriptor::Float(FloatSize::U8) => DType::F64,
        _ => return Err(unsupported("elements are not numbers; numbers can be read")),
    })
}

impl ChunkSource for Source {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        let bytes = region.volume() * self.meta.dtype.size() as u64;
        // The elements, which the library's binding allocates, its cache, and a chunk coded
        // and decoded: none of it lies in the scratch, but the task is granted it.
        let foreign = bytes.saturating_add(CHUNK_CACHE).saturating_add(2 * self.chunk);
        let grid = &self.meta.grid;
        let decoded = match self.chunk == 0 || region.is_empty() {
            true => bytes,
            false => grid.span(&grid.covering(region)).volume() * self.meta.dtype.size() as u64,
        };
        ReadCost { bytes, decoded, scratch: foreign }
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        cx.cancel.check()?;
        with_dtype!(self.meta.dtype, T => self.fetch::<T>(region, &mut out))
            .map_err(|error| error.at(format_args!("{}::{}", self.path.display(), self.item)))
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
        Storage {
            format: "HDF5".into(),
            codec: "by the C library".into(),
            files: 1,
            bytes: Some(self.stored),
        }
    }
}
