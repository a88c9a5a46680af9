//! How a task reads a source: from a copy of the box, or of the chunk around it, that an earlier run of the session
//! left in bytes of the arena that nobody needed since; else from storage, again where that fails for a moment.
//!
//! Who works interactively computes this and that of the same files. Plain ones lie in the
//! system's page cache; what has to be decoded is worth a copy, of the boxes in which it is read. The first run
//! that reads a source makes none, so whoever reads each chunk once pays nothing for it; the second does. A run takes
//! for its copies only what is free, or was idle before it began: of more data than memory it keeps the first part,
//! where the most recent one would always be gone when it is wanted.

use super::{Map, task::UnitTask};
use crate::{
    error::Result,
    memory::{Age, Arena, CopyOf},
    plan::Plan,
    sync::{Mutex, lock},
};
use freeboard_formats::{ChunkMut, ChunkSource, ChunkView, ReadCx, Region};
use std::sync::{Arc, Weak, atomic::Ordering};

/// The sources that a session has read, as long as somebody has them.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Sources>);

#[derive(Debug, Default)]
struct Sources {
    /// By their addresses.
    known: Map<usize, (u64, Weak<dyn ChunkSource>)>,
    next: u64,
    /// How many are known when those that are gone are looked for.
    crowded: usize,
}

/// Which sources one run reads copies of.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    numbers: Map<usize, u64>,
    began: Age,
}

fn address(source: &dyn ChunkSource) -> usize {
    std::ptr::from_ref(source).addr()
}

impl Known {
    /// Begins a run.
    pub fn begin(&self, plan: &Plan, arena: &Arena) -> Copies {
        let mut sources = lock(&self.0);
        let Sources { known, next, crowded } = &mut *sources;
        if known.len() > *crowded {
            known.retain(|_, (_, source)| source.strong_count() > 0);
            *crowded = 2 * known.len() + 64;
        }
        let mut copies = Copies { numbers: Map::default(), began: arena.now() };
        let mut first = Vec::new();
        for source in plan.sources() {
            match known.get(&address(&**source)) {
                Some((number, known)) if known.strong_count() > 0 => {
                    copies.numbers.insert(address(&**source), *number);
                }
                _ => first.push(source),
            }
        }
        for source in first {
            known.insert(address(&**source), (*next, Arc::downgrade(source)));
            *next += 1;
        }
        copies
    }
}

impl Copies {
    fn number(&self, source: &dyn ChunkSource) -> Option<u64> {
        self.numbers.get(&address(source)).copied()
    }
}

impl UnitTask<'_, '_> {
    /// Reads a box of a source: copies what was read of it before, or a chunk around it.
    pub(super) fn read(
        &self,
        source: &dyn ChunkSource,
        region: &Region,
        mut out: ChunkMut<'_>,
        scratch: &mut [u8],
    ) -> Result<()> {
        let cx = self.cx;
        let Some(number) = cx.copies.number(source) else {
            return self.read_stored(source, region, out, scratch);
        };
        // Where it cannot be told, reading tells why.
        let version = |region: &Region| source.version(region, cx.files).ok().flatten();
        let dtype = source.meta().dtype;
        let bytes = region.volume() * dtype.size() as u64;
        for of in [Some(region.clone()), chunk_around(source, region)].into_iter().flatten() {
            let copy = CopyOf::new(number, &of);
            let take = |bytes: &[u8]| {
                let bytes = &bytes[..of.volume() as usize * dtype.size()];
                let within = region.relative_to(&of.start);
                out.assign(&ChunkView::new(dtype, bytes, &of.shape).sub(&within));
            };
            if cx.arena.has_copy(copy)
                && let Some(version) = version(&of)
                && let Some(made) = cx.arena.with_copy(copy, version, take)
            {
                if made <= cx.copies.began {
                    cx.reused.fetch_add(bytes, Ordering::Relaxed);
                }
                return Ok(());
            }
        }
        // What is read after that is no older.
        let version = match cx.arena.has_room_for_copy(bytes as usize, cx.copies.began) {
            true => version(region),
            false => None,
        };
        self.read_stored(source, region, out.reborrow(), scratch)?;
        // What stands in for a file that could not be read is looked for again.
        let is_all_there = source.missing_files().is_none_or(|files| files.count() == 0);
        if let Some(version) = version.filter(|_| is_all_there) {
            let (of, began) = (CopyOf::new(number, region), cx.copies.began);
            cx.arena.make_copy(of, version, bytes as usize, began, |copy| {
                ChunkMut::new(dtype, copy, &region.shape).assign(&out.as_view());
            });
        }
        Ok(())
    }

    /// Reads a box of a source from storage.
    fn read_stored(
        &self,
        source: &dyn ChunkSource,
        region: &Region,
        mut out: ChunkMut<'_>,
        scratch: &mut [u8],
    ) -> Result<()> {
        let cx = self.cx;
        cx.retry.run(cx.observer, cx.files, cx.cancel, || {
            cx.read.fetch_add(source.cost(region).bytes, Ordering::Relaxed);
            let mut read = ReadCx {
                scratch: &mut *scratch,
                limit: cx.limit,
                files: cx.files,
                cancel: cx.cancel,
            };
            source.read(region, out.reborrow(), &mut read)
        })
    }
}

/// The chunk of which a box is a part, if it is a part of one.
fn chunk_around(source: &dyn ChunkSource, region: &Region) -> Option<Region> {
    let grid = &source.meta().grid;
    let chunks = grid.covering(region);
    (chunks.volume() == 1).then(|| grid.region(&chunks.start)).filter(|chunk| chunk != region)
}
