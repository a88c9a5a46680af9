//! How a task reads a source: from a copy of a chunk that an earlier run of the session left in
//! bytes of the arena that nobody needed since; else from storage, again where that fails for a moment.
//!
//! Who works interactively computes this and that of the same files. Plain ones lie in the
//! system's page cache; what has to be decoded, or comes from a server, is worth a copy. The first run
//! that reads a source makes none, so whoever reads each chunk once pays nothing for it; the second does. A run takes
//! for its copies only what is free, or was idle before it began: of more data than memory it keeps the first part,
//! where the most recent one would always be gone when it is wanted.

use super::{Map, task::UnitTask};
use crate::{
    error::Result,
    memory::{Age, Arena, CopyOf},
    plan::{Plan, bands},
    sync::{Mutex, lock},
};
use freeboard_formats::{ChunkMut, ChunkSource, ChunkView, ReadCx, Region, region::Coordinates};
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
    /// Reads a box of a source, of which this task reads the box `whole` altogether.
    pub(super) fn read(
        &self,
        source: &dyn ChunkSource,
        region: &Region,
        whole: impl FnOnce() -> Region,
        mut out: ChunkMut<'_>,
        scratch: &mut [u8],
    ) -> Result<()> {
        let Some(number) = self.cx.copies.number(source) else {
            return self.read_stored(source, region, out, scratch);
        };
        let (grid, whole) = (&source.meta().grid, whole());
        for index in Coordinates::of(grid.covering(region)) {
            let chunk = grid.region(&index);
            let Some(part) = chunk.intersection(region) else { continue };
            let out = out.sub(&part.relative_to(&region.start));
            // Where it cannot be told, reading tells why.
            let version = source.version(&chunk, self.cx.files).ok().flatten();
            let of = version.map(|version| CopyOf {
                source: number,
                chunk: grid.linear_of(&index),
                version: version.0,
            });
            match of {
                Some(of) => self.read_copied(source, of, &chunk, &part, &whole, out, scratch)?,
                None => self.read_stored(source, &part, out, scratch)?,
            }
        }
        Ok(())
    }

    /// Reads the box `part` of a chunk from its copy; makes one where that is worth it.
    #[expect(clippy::too_many_arguments, reason = "what is read, and where to")]
    fn read_copied(
        &self,
        source: &dyn ChunkSource,
        of: CopyOf,
        chunk: &Region,
        part: &Region,
        whole: &Region,
        mut out: ChunkMut<'_>,
        scratch: &mut [u8],
    ) -> Result<()> {
        let dtype = source.meta().dtype;
        let len = chunk.volume() as usize * dtype.size();
        let within = part.relative_to(&chunk.start);
        let take = |copy: &[u8], out: &mut ChunkMut<'_>| {
            out.assign(&ChunkView::new(dtype, &copy[..len], &chunk.shape).sub(&within));
        };
        if let Some(made) = self.cx.arena.with_copy(of, |copy| take(copy, &mut out)) {
            if made <= self.cx.copies.began {
                let bytes = part.volume() * dtype.size() as u64;
                self.cx.reused.fetch_add(bytes, Ordering::Relaxed);
            }
            return Ok(());
        }
        // In pieces like the part, for which there is scratch.
        let pieces =
            || bands(&chunk.shape, &part.shape).map(|piece| (piece.of(chunk), piece.within));
        let is_worth = whole.contains(chunk) || {
            let (part, chunk) = (source.cost(part), source.cost(chunk));
            part.decoded >= chunk.decoded && part.bytes >= chunk.bytes
        };
        if is_worth && pieces().all(|(at, _)| source.cost(&at).scratch <= scratch.len() as u64) {
            let began = self.cx.copies.began;
            let made = self.cx.arena.make_copy(of, len, began, |copy| {
                let mut landing = ChunkMut::new(dtype, copy, &chunk.shape);
                for (at, within) in pieces() {
                    self.read_stored(source, &at, landing.sub(&within), scratch)?;
                }
                take(copy, &mut out);
                Ok(())
            });
            if let Some(made) = made {
                return made;
            }
        }
        self.read_stored(source, part, out, scratch)
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
