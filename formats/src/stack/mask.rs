//! Which elements of a stack are missing, as an array of booleans beside it.
//!
//! The mask is true in every chunk of a file that cannot be read whole, and only there: so
//! it does not depend on what else was read, and where it is false the element is real. To
//! know that, a chunk may have to be read for its mask alone; of files of one chunk it is
//! kept, so that array and mask computed together seldom read one twice.

use super::{Stack, read_within};
use crate::{
    dtype::{DType, Scalar},
    error::Result,
    grid::Grid,
    missing::{Missing, MissingFiles},
    region::{Coordinates, Region},
    source::{ChunkSource, Fingerprint, Labels, Meta, ReadCost, ReadCx, SourceSpec, Storage},
    view::ChunkMut,
};
use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

/// What is known of each file: nothing (0), that it can be read (1), or not (2). A byte a
/// file, and none where no mask can be asked for.
#[derive(Debug)]
pub(super) struct Verdicts(Box<[AtomicU8]>);

impl Verdicts {
    pub(super) fn of(files: usize, policy: Missing) -> Verdicts {
        let files = if policy == Missing::Mask { files } else { 0 };
        Verdicts((0..files).map(|_| AtomicU8::new(0)).collect())
    }

    pub(super) fn set(&self, file: usize, good: bool) {
        if let Some(verdict) = self.0.get(file) {
            verdict.store(if good { 1 } else { 2 }, Ordering::Relaxed);
        }
    }

    fn get(&self, file: usize) -> Option<bool> {
        match self.0.get(file)?.load(Ordering::Relaxed) {
            0 => None,
            verdict => Some(verdict == 1),
        }
    }
}

/// The mask of a [`Stack`].
#[derive(Debug)]
pub struct Mask {
    stack: Arc<Stack>,
    meta: Meta,
}

impl Mask {
    pub(super) fn new(stack: Arc<Stack>) -> Mask {
        let of = &stack.meta;
        let mut meta = Meta::new(DType::Bool, of.grid.clone());
        meta.axes.clone_from(&of.axes);
        Mask { stack, meta }
    }

    /// The chunks' grid within a file.
    fn inner_grid(&self) -> Grid {
        Grid::new(self.meta.grid.axes()[self.stack.outer..].iter().cloned())
    }

    /// Bytes of the largest chunk, in whole words.
    fn landing(&self) -> u64 {
        self.stack.meta.max_chunk_bytes().next_multiple_of(64)
    }

    /// Whether the chunk `inner` of the file can be read whole.
    fn is_good(&self, file: usize, inner: &Region, cx: &mut ReadCx<'_>) -> Result<bool> {
        let stack = &*self.stack;
        let one_chunk = self.inner_grid().len() <= 1;
        if let (true, Some(verdict)) = (one_chunk, stack.verdicts.get(file)) {
            return Ok(verdict);
        }
        let path = stack.files.path(file);
        stack.files.check_unchanged(file, &path)?;
        let read = stack.source(file).and_then(|source| {
            let leading = source.meta().grid.rank() - inner.rank();
            let mut region = Region::whole(&source.meta().shape());
            region.start[leading..].copy_from_slice(&inner.start);
            region.shape[leading..].copy_from_slice(&inner.shape);
            let bytes = region.volume() as usize * stack.meta.dtype.size();
            let (landing, mut cx) = cx.split_scratch(bytes);
            let out = ChunkMut::new(stack.meta.dtype, landing, &region.shape);
            read_within(&*source, &region, out, &mut cx).map_err(|e| e.at_path(&path))
        });
        let good = match read {
            Ok(()) => true,
            Err(error) if stack.takes(file, &error) => false,
            Err(error) => return Err(error),
        };
        if one_chunk {
            stack.verdicts.set(file, good);
        }
        Ok(good)
    }
}

impl ChunkSource for Mask {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        if region.is_empty() {
            return ReadCost::default();
        }
        let grid = &self.meta.grid;
        // Whole chunks are read, one at a time.
        let whole = grid.span(&grid.covering(region));
        let cost = self.stack.cost(&whole);
        ReadCost { scratch: cost.scratch + self.landing(), ..cost }
    }

    fn labels(&self, axis: usize) -> Option<&Labels> {
        self.stack.labels(axis)
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        let outer = self.stack.outer;
        let grid = self.inner_grid();
        let inner = Region::new(&region.start[outer..], &region.shape[outer..]);
        if region.is_empty() {
            return Ok(());
        }
        for at in Coordinates::of(Region::new(&region.start[..outer], &region.shape[..outer])) {
            for chunk in Coordinates::of(grid.covering(&inner)) {
                cx.cancel.check()?;
                let chunk = grid.region(&chunk);
                let good = self.is_good(self.stack.file_of(&at), &chunk, cx)?;
                let Some(within) = chunk.intersection(&inner) else { continue };
                let mut part = Region::whole(&region.shape);
                for axis in 0..outer {
                    (part.start[axis], part.shape[axis]) = (at[axis] - region.start[axis], 1);
                }
                let within = within.relative_to(&inner.start);
                part.start[outer..].copy_from_slice(&within.start);
                part.shape[outer..].copy_from_slice(&within.shape);
                out.sub(&part).fill(Scalar::Bool(!good));
            }
        }
        Ok(())
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(self.stack.fingerprint()?.and(Fingerprint::of(b"mask")))
    }

    /// Only this process knows a mask by itself: elsewhere the stack is opened with it.
    fn spec(&self) -> SourceSpec {
        SourceSpec::default()
    }

    fn storage(&self) -> Storage {
        self.stack.storage()
    }

    fn missing_files(&self) -> Option<&MissingFiles> {
        Some(&self.stack.missing)
    }
}
