//! Arrays that are in memory already: an `ndarray` as a source.

use crate::{
    dtype::{DType, Element},
    error::Result,
    grid::Grid,
    region::{Dims, Region, volume},
    source::{ChunkSource, Fingerprint, Meta, ReadCost, ReadCx, SourceSpec, Storage},
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
