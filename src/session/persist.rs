//! Arrays that a session keeps: chunks in memory or on scratch, read like any other source.

use crate::{
    memory::Spill,
    run::Slot,
    sync::{Mutex, RwLock, lock},
};
use freeboard_formats::{
    ChunkMut, ChunkSource, ChunkView, ErrorKind, Fingerprint, FormatError, Meta, ReadCost, ReadCx,
    Region, Result, SourceSpec, Storage, region::Coordinates,
};
use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// The chunks of one array.
pub(super) struct Persisted {
    meta: Meta,
    chunks: Vec<RwLock<Slot>>,
    spill: Arc<Spill>,
    /// Whether the session is gone, and the chunks with it.
    gone: AtomicBool,
    /// Held by who spills.
    spilling: Mutex<()>,
    /// What no other array that was ever kept has, in any process.
    id: u128,
}

impl Persisted {
    /// `chunks` in C order of the grid of `meta`.
    pub fn new(meta: Meta, chunks: Vec<Slot>, spill: Arc<Spill>) -> Persisted {
        let chunks = chunks.into_iter().map(RwLock::new).collect();
        let (gone, spilling) = (AtomicBool::new(false), Mutex::default());
        Persisted { meta, chunks, spill, gone, spilling, id: random_id() }
    }

    /// Frees all chunks; reading says so from now on.
    pub fn clear(&self) {
        self.gone.store(true, Ordering::Release);
        for chunk in &self.chunks {
            let slot = std::mem::take(&mut *chunk.write().unwrap_or_else(PoisonError::into_inner));
            slot.free_extent(&self.spill);
        }
    }

    /// Moves chunks to scratch until `bytes` of memory are free, or all are there.
    pub fn spill(&self, bytes: u64) -> Result<()> {
        let _guard = lock(&self.spilling);
        let mut freed = 0;
        for chunk in &self.chunks {
            if freed >= bytes {
                break;
            }
            let mut slot = chunk.write().unwrap_or_else(PoisonError::into_inner);
            let Some(buffer) = slot.buffer.take() else { continue };
            if slot.extent.is_none() {
                match self.spill.write(&buffer, self.meta.dtype.size()) {
                    Ok(extent) => slot.extent = Some(Arc::new(extent)),
                    Err(error) => {
                        slot.buffer = Some(buffer);
                        return Err(error);
                    }
                }
            }
            freed += buffer.accounted();
        }
        Ok(())
    }

    fn chunk_bytes(&self, region: &Region) -> u64 {
        region.volume() * self.meta.dtype.size() as u64
    }

    fn lost(&self) -> FormatError {
        let message = match self.gone.load(Ordering::Acquire) {
            true => "the session that kept this array is gone",
            false => "a chunk that was kept is lost",
        };
        FormatError::new(ErrorKind::NotFound, message)
    }
}

/// 128 random bits: hashes of nothing, with keys that the standard library takes from the system.
fn random_id() -> u128 {
    let half = || u128::from(RandomState::new().build_hasher().finish());
    half() << 64 | half()
}

impl Drop for Persisted {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for Persisted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Persisted").field("meta", &self.meta).finish_non_exhaustive()
    }
}

impl ChunkSource for Persisted {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        let mut cost = ReadCost::default();
        if region.is_empty() {
            return cost;
        }
        for index in Coordinates::of(self.meta.grid.covering(region)) {
            let chunk = self.meta.grid.region(&index);
            let bytes = self.chunk_bytes(&chunk);
            cost.decoded += bytes;
            // A chunk on scratch is read whole, right into its place if that is whole, too.
            cost.scratch = cost.scratch.max(bytes.next_multiple_of(4096));
        }
        cost
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        for index in Coordinates::of(self.meta.grid.covering(region)) {
            let at = self.meta.grid.region(&index);
            let Some(common) = at.intersection(region) else { continue };
            let linear = self.meta.grid.linear_of(&index) as usize;
            let slot = self.chunks[linear].read().unwrap_or_else(PoisonError::into_inner);
            let mut target = out.sub(&common.relative_to(&region.start));
            let part = common.relative_to(&at.start);
            if let Some(buffer) = &slot.buffer {
                target.assign(&ChunkView::new(self.meta.dtype, buffer, &at.shape).sub(&part));
                continue;
            }
            let extent = slot.extent.as_ref().ok_or_else(|| self.lost())?;
            let len = self.chunk_bytes(&at) as usize;
            if let (true, Some(bytes)) = (common == at, target.as_bytes()) {
                self.spill.read_into(extent, bytes)?;
                continue;
            }
            let (scratch, _) = cx.split_scratch(len.next_multiple_of(4096));
            self.spill.read_into(extent, scratch)?;
            target.assign(&ChunkView::new(self.meta.dtype, &scratch[..len], &at.shape).sub(&part));
        }
        Ok(())
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(Fingerprint(self.id))
    }

    fn spec(&self) -> SourceSpec {
        SourceSpec::default()
    }

    fn storage(&self) -> Storage {
        Storage { format: "kept".into(), ..Storage::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freeboard_formats::{DType, Grid};

    #[test]
    fn no_two_kept_arrays_are_taken_for_each_other() {
        let spill = Arc::new(Spill::new(std::env::temp_dir(), None));
        let fingerprint = || {
            let meta = Meta::new(DType::F32, Grid::whole(&[0]));
            let kept: Arc<dyn ChunkSource> = Arc::new(Persisted::new(meta, vec![], spill.clone()));
            kept.fingerprint().unwrap()
        };
        // The second may well lie where the first one lay.
        assert_ne!(fingerprint(), fingerprint());
    }
}
