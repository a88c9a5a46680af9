//! Numbers of three, five, six or seven bytes: read as bytes, handed out as the next dtype.

use super::{index::Index, number::Number, source::Source};
use crate::{
    dtype::DType,
    error::Result,
    grid::Grid,
    region::Region,
    source::{ChunkSource, Fingerprint, Meta, ReadCost, ReadCx, SourceSpec, Storage},
    view::ChunkMut,
};
use std::sync::Arc;

/// A data set of odd numbers, above the one of their bytes.
#[derive(Debug)]
struct Odd {
    meta: Meta,
    number: Number,
    /// The same shape and an axis of bytes.
    bytes: Source,
}

/// The source as it is, or above it the one that makes numbers of its bytes.
pub(super) fn source(source: Source) -> Arc<dyn ChunkSource> {
    let index = source.index();
    if index.number.fits() {
        return Arc::new(source);
    }
    Arc::new(Odd { meta: meta(index), number: index.number, bytes: source })
}

/// What a data set is to a user.
pub(super) fn meta(index: &Index) -> Meta {
    let mut meta = index.meta.clone();
    if !index.number.fits() {
        let axes = meta.grid.axes();
        meta.grid = Grid::new(axes[..axes.len() - 1].iter().cloned());
        meta.dtype = index.number.dtype;
        meta.axes.pop();
    }
    meta
}

impl Odd {
    /// The bytes of `region`.
    fn bytes_of(&self, region: &Region) -> Region {
        let mut bytes = region.clone();
        bytes.start.push(0);
        bytes.shape.push(self.number.size as u64);
        bytes
    }
}

impl ChunkSource for Odd {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        let bytes = self.bytes_of(region);
        let cost = self.bytes.cost(&bytes);
        let landing = bytes.volume().next_multiple_of(64);
        ReadCost { scratch: cost.scratch.saturating_add(landing), ..cost }
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        let region = self.bytes_of(region);
        let (landing, mut rest) = cx.split_scratch(region.volume() as usize);
        self.bytes.read(&region, ChunkMut::new(DType::U8, landing, &region.shape), &mut rest)?;
        // Runs come in C order, in which the bytes lie.
        let mut stored = &*landing;
        out.try_for_each_run(|_, run| {
            let elements = run.len() / self.number.dtype.size();
            let (now, rest) = stored.split_at(elements * self.number.size);
            self.number.convert(now, run);
            stored = rest;
            Ok(())
        })
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        self.bytes.fingerprint()
    }

    fn spec(&self) -> SourceSpec {
        self.bytes.spec()
    }

    fn storage(&self) -> Storage {
        self.bytes.storage()
    }
}
