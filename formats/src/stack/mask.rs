//! Which elements of a stack are missing, as an array of booleans beside it.
//!
//! The mask is true in every chunk of a file that cannot be read whole: so it does not depend
//! on what else was read, and where it is false the element is real. To know that, a chunk
//! may have to be read for its mask alone; of files of one chunk it is kept, so that array and
//! mask computed together seldom read one twice. In chunks that can be read it is true where
//! the file marks elements as undefined, if it was opened so that these are masked, and
//! nowhere else.

use super::{Stack, read_within};
use crate::{
    dtype::{DType, Scalar},
    error::Result,
    grid::Grid,
    missing::{Blank, Missing, MissingFiles},
    region::{Coordinates, Region},
    source::{ChunkSource, Fingerprint, Labels, Meta, ReadCost, ReadCx, SourceSpec, Storage},
    view::{ChunkMut, ChunkView},
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

    /// Fills `out` with the mask of `within`, a part of the chunk `chunk` of the file.
    fn read_chunk(
        &self,
        file: usize,
        chunk: &Region,
        within: &Region,
        mut out: ChunkMut<'_>,
        cx: &mut ReadCx<'_>,
    ) -> Result<()> {
        let stack = &*self.stack;
        let one_chunk = self.inner_grid().len() <= 1;
        let verdict = stack.verdicts.get(file).filter(|_| one_chunk);
        if let (Some(good), true) = (verdict, stack.blank == Blank::Nan || verdict == Some(false)) {
            out.fill(Scalar::Bool(!good));
            return Ok(());
        }
        let path = stack.files.path(file);
        stack.files.check_unchanged(file, &path)?;
        let read = stack.source(file).and_then(|source| {
            let leading = source.meta().grid.rank() - chunk.rank();
            let mut region = Region::whole(&source.meta().shape());
            region.start[leading..].copy_from_slice(&chunk.start);
            region.shape[leading..].copy_from_slice(&chunk.shape);
            // The file's own mask takes reading as much as its elements do.
            let mask = source.mask();
            let landed = mask.as_ref().unwrap_or(&source);
            let dtype = landed.meta().dtype;
            let bytes = region.volume() as usize * dtype.size();
            let (landing, mut cx) = cx.split_scratch(bytes);
            if mask.is_some() || verdict.is_none() {
                let landing = ChunkMut::new(dtype, landing, &region.shape);
                read_within(&**landed, &region, landing, &mut cx).map_err(|e| e.at_path(&path))?;
            }
            match mask {
                None => out.fill(Scalar::Bool(false)),
                Some(_) => {
                    let landing = ChunkView::new(dtype, landing, &chunk.shape);
                    let part = landing.sub(&within.relative_to(&chunk.start));
                    out.reborrow().with_unit_axes(&within.shape).assign(&part);
                }
            }
            Ok(())
        });
        let good = match read {
            Ok(()) => true,
            Err(error) if stack.takes(file, &error) => {
                out.fill(Scalar::Bool(true));
                false
            }
            Err(error) => return Err(error),
        };
        if one_chunk {
            stack.verdicts.set(file, good);
        }
        Ok(())
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
        let mask = self.stack.template.mask();
        let masks = mask.map_or(0, |mask| self.stack.cost_like(&*mask, &whole).scratch);
        ReadCost { scratch: cost.scratch.max(masks) + self.landing(), ..cost }
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
                let Some(within) = chunk.intersection(&inner) else { continue };
                let mut part = Region::whole(&region.shape);
                for axis in 0..outer {
                    (part.start[axis], part.shape[axis]) = (at[axis] - region.start[axis], 1);
                }
                let target = within.relative_to(&inner.start);
                part.start[outer..].copy_from_slice(&target.start);
                part.shape[outer..].copy_from_slice(&target.shape);
                self.read_chunk(self.stack.file_of(&at), &chunk, &within, out.sub(&part), cx)?;
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
