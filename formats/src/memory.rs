//! Arrays that are in memory already: an `ndarray` as a source.

use crate::{
    dtype::{DType, Element},
    error::Result,
    grid::Grid,
    region::{Dims, Region, volume},
    source::{
        Cancel, ChunkSource, FileCache, Fingerprint, Meta, ReadCost, ReadCx, SourceSpec, Storage,
        Writer,
    },
    view::{ChunkMut, ChunkView},
};
use ndarray::{ArrayBase, Data, Dimension};

/// An array held in memory; the bytes are the user's and outside any budget.
pub struct MemorySource {
    meta: Meta,
    /// The elements in C order, as 8-byte words so that every dtype is aligned.
    words: Vec<u64>,
}

impl MemorySource {
    /// A copy of `array`, cut into chunks of `chunk` elements along each axis (0: the whole axis).
    ///
    /// # Panics
    /// If `chunk` differs in rank.
    pub fn new<T: Element, S: Data<Elem = T>, D: Dimension>(
        array: &ArrayBase<S, D>,
        chunk: &[u64],
    ) -> MemorySource {
        let shape: Dims = array.shape().iter().map(|&n| n as u64).collect();
        let mut source = MemorySource::zeroed(T::DTYPE, Grid::regular(&shape, chunk));
        let len = source.len_bytes();
        let target: &mut [T::Repr] = bytemuck::cast_slice_mut(
            &mut bytemuck::cast_slice_mut::<u64, u8>(&mut source.words)[..len],
        );
        target.iter_mut().zip(array.iter()).for_each(|(t, v)| *t = v.to_repr());
        source
    }

    /// A copy of elements that lie in C order.
    ///
    /// # Panics
    /// If `bytes` is not as long as the array.
    pub fn from_bytes(dtype: DType, grid: Grid, bytes: &[u8]) -> MemorySource {
        let mut source = MemorySource::zeroed(dtype, grid);
        assert_eq!(bytes.len(), source.len_bytes(), "bytes of the array");
        bytemuck::cast_slice_mut(&mut source.words)[..bytes.len()].copy_from_slice(bytes);
        source
    }

    fn zeroed(dtype: DType, grid: Grid) -> MemorySource {
        let meta = Meta::new(dtype, grid);
        let bytes = meta.bytes().expect("an array in memory") as usize;
        MemorySource { meta, words: vec![0; bytes.div_ceil(8)] }
    }

    fn len_bytes(&self) -> usize {
        volume(&self.meta.shape()) as usize * self.meta.dtype.size()
    }

    /// The same elements under other names, attributes or chunks.
    ///
    /// # Panics
    /// If `change` changes dtype or shape.
    #[must_use]
    pub fn with_meta(mut self, change: impl FnOnce(&mut Meta)) -> MemorySource {
        let before = (self.meta.dtype, self.meta.shape());
        change(&mut self.meta);
        assert_eq!(before, (self.meta.dtype, self.meta.shape()), "dtype and shape stay");
        self
    }

    /// Writes the array, chunk by chunk on this thread: what a function does that is itself a
    /// task, and has no session.
    ///
    /// # Errors
    /// As those of the writer: if the output exists, or storage fails. Then nothing is visible.
    pub fn store(&self, writer: &dyn Writer) -> Result<()> {
        let grid = writer.grid(&self.meta)?;
        let sink = writer.create(&Meta { grid: grid.clone(), ..self.meta.clone() })?;
        // Words, so that it is aligned; the sink takes it from the next multiple of 64 on.
        let bytes = sink.scratch() as usize;
        let mut scratch = vec![0u64; bytes.div_ceil(8) + 8];
        let scratch: &mut [u8] = bytemuck::cast_slice_mut(&mut scratch);
        let skip = scratch.as_ptr().align_offset(64);
        let (files, cancel) = (FileCache::default(), Cancel::default());
        for chunk in 0..grid.len() {
            let index = grid.index_of(chunk);
            let mut cx = ReadCx {
                scratch: &mut scratch[skip..skip + bytes],
                limit: u64::MAX,
                files: &files,
                cancel: &cancel,
            };
            sink.write(&index, self.view().sub(&grid.region(&index)), &mut cx)?;
        }
        sink.seal()?;
        sink.publish()
    }

    /// All elements.
    pub fn view(&self) -> ChunkView<'_> {
        let bytes = &bytemuck::cast_slice(&self.words)[..self.len_bytes()];
        ChunkView::new(self.meta.dtype, bytes, &self.meta.shape())
    }
}

impl std::fmt::Debug for MemorySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemorySource").field("meta", &self.meta).finish_non_exhaustive()
    }
}

impl ChunkSource for MemorySource {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        ReadCost { bytes: 0, decoded: region.volume() * self.meta.dtype.size() as u64, scratch: 0 }
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, _: &mut ReadCx<'_>) -> Result<()> {
        out.assign(&self.view().sub(region));
        Ok(())
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(Fingerprint::of(bytemuck::cast_slice(&self.words)))
    }

    fn spec(&self) -> SourceSpec {
        SourceSpec::default()
    }

    fn storage(&self) -> Storage {
        Storage { format: "memory".into(), ..Storage::default() }
    }
}

#[cfg(all(test, feature = "npy"))]
mod tests {
    use super::*;

    #[test]
    fn stored_without_a_session() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let values = ndarray::Array2::from_shape_fn((5, 7), |(i, j)| (i * 7 + j) as i16);
        let source = MemorySource::new(&values, &[2, 3]);
        source.store(&crate::npy::Npy::create(&path)).unwrap();
        let read = crate::source::Format::open(&crate::npy::Npy, &path, None).unwrap();
        assert_eq!((read.meta().dtype, &read.meta().shape()[..]), (DType::I16, &[5, 7][..]));
        assert!(source.store(&crate::npy::Npy::create(&path)).is_err(), "it exists");
        let bytes = std::fs::read(&path).unwrap();
        let elements = source.view().as_bytes().unwrap().to_vec();
        assert!(bytes.ends_with(&elements));
    }
}
