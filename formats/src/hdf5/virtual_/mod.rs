//! Virtual data sets: boxes of an array that lie in other data sets, often of other files.
//!
//! What lies where is a list in a global heap (specification, section IV.A.2.i, version 4 of
//! the layout message): a selection of a source's elements for a selection of one's own. Both
//! are regular hyperslabs, so they are matched axis by axis, and a box that is read becomes
//! boxes of sources (`read`). What has no source is the fill value, as are sources that are not
//! there; where selections lie over each other, the last one holds.

mod read;
mod selection;

use super::{
    file::{Container, corrupt, translate, unsupported},
    index::Stored,
    number::Number,
};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    region::{Dims, Region, checked_volume},
    source::{ChunkSource, Fingerprint},
    view::ChunkMut,
};
use hdf5_reader::io::Cursor;
use lru::LruCache;
use selection::{Selection, Span};
use std::{
    cell::Cell,
    collections::HashMap,
    num::NonZeroUsize,
    path::PathBuf,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

/// Virtual data sets of virtual data sets, at the most: any more are taken for a circle.
const MAX_DEPTH: u32 = 8;
/// Sources that virtual data sets within others may have, all together: names of one thing are
/// many, and each level multiplies them.
const MAX_NESTED: u32 = 4096;
/// Sources that a numbered name stands for, at the most.
const MAX_NUMBERED: u64 = 1 << 20;
/// Sources that are kept open.
const OPEN: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");

/// How many virtual data sets led to one, and how many sources they may yet look at.
#[derive(Clone, Debug)]
pub(super) struct Nesting {
    level: u32,
    left: Rc<Cell<u32>>,
}

impl Default for Nesting {
    fn default() -> Nesting {
        Nesting { level: 0, left: Rc::new(Cell::new(MAX_NESTED)) }
    }
}

impl Nesting {
    /// That of a source.
    fn deeper(&self) -> Result<Nesting> {
        let left = if self.level == 0 { Some(MAX_NESTED) } else { self.left.get().checked_sub(1) };
        match left.filter(|_| self.level < MAX_DEPTH) {
            Some(left) => {
                self.left.set(left);
                Ok(Nesting { level: self.level + 1, left: self.left.clone() })
            }
            None => Err(corrupt(format!(
                "virtual data sets lead more than {MAX_DEPTH} deep, or in a circle"
            ))),
        }
    }
}

/// What lies where.
pub(super) struct Mapping {
    pub(super) shape: Dims,
    dtype: DType,
    /// The fill value as an element of this machine.
    fill: Stored,
    sources: Vec<Found>,
    pieces: Vec<Piece>,
    /// The most scratch that a source needs.
    scratch: u64,
    /// Whether some box of a piece may be no box of its source.
    is_scattered: bool,
    /// Bytes of all sources on disk.
    pub(super) stored: u64,
    /// Changes when a source changes, or one that was not there appears; sources that are virtual
    /// themselves change with theirs.
    pub(super) fingerprint: Fingerprint,
    /// How many virtual data sets led here.
    level: u32,
    open: Mutex<LruCache<usize, Arc<dyn ChunkSource>>>,
}

/// Where a source lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    path: PathBuf,
    item: String,
}

/// A source that is there.
#[derive(Debug)]
struct Found {
    place: Place,
    /// What it was when the array was opened.
    fingerprint: Fingerprint,
}

/// A selection of a source for one of the array's own.
#[derive(Debug)]
struct Piece {
    source: usize,
    own: Vec<Span>,
    theirs: Vec<Span>,
    /// For each axis of the array, the source's axis that goes with it; none has one index.
    with: Vec<Option<usize>>,
}

/// One line of the list, as it is stored.
struct Line {
    file: String,
    item: String,
    theirs: Selection,
    own: Selection,
}

impl Mapping {
    /// Reads the list that `layout` points to, and looks at every source once.
    pub(super) fn open(
        container: &Container,
        layout: &[u8],
        shape: &[u64],
        number: Number,
        fill: &[u8],
        nesting: &Nesting,
    ) -> Result<Mapping> {
        let mut mapping = Mapping {
            shape: shape.into(),
            dtype: number.dtype,
            fill: number.native(fill),
            sources: Vec::new(),
            pieces: Vec::new(),
            scratch: 0,
            is_scattered: false,
            stored: 0,
            fingerprint: Fingerprint::default(),
            level: nesting.level,
            open: Mutex::new(LruCache::new(OPEN)),
        };
        let mut known: HashMap<Place, Option<usize>> = HashMap::new();
        // Axes along which a piece goes on without limit end where the last piece does.
        let mut ends: Vec<Option<u64>> = vec![None; shape.len()];
        for line in lines(container, layout)? {
            mapping.add(container, &line, &mut known, &mut ends, nesting)?;
        }
        for (len, end) in mapping.shape.iter_mut().zip(ends) {
            *len = end.unwrap_or(*len);
        }
        let reach: Dims = mapping.shape.iter().map(|&n| n.max(1)).collect();
        let bytes = checked_volume(&reach).and_then(|n| n.checked_mul(8));
        match bytes.filter(|&bytes| i64::try_from(bytes).is_ok()) {
            Some(_) => Ok(mapping),
            None => Err(corrupt(format!("sources make up a shape of {:?}", mapping.shape))),
        }
    }

    /// Adds what a line tells of.
    fn add(
        &mut self,
        container: &Container,
        line: &Line,
        known: &mut HashMap<Place, Option<usize>>,
        ends: &mut [Option<u64>],
        nesting: &Nesting,
    ) -> Result<()> {
        let own = match &line.own {
            Selection::Nothing => return Ok(()),
            Selection::All => whole(&self.shape),
            Selection::Spans(spans) => spans.clone(),
        };
        if own.len() != self.shape.len() {
            return Err(corrupt(format!(
                "a selection of {} axes in an array of {}",
                own.len(),
                self.shape.len()
            )));
        }
        let growing = own.iter().position(Span::is_unlimited);
        let numbered = is_numbered(&line.file) || is_numbered(&line.item);
        if let Some(axis) = growing
            && numbered
        {
            // Each block has a source of its own, as long as there is one of that number.
            ends[axis].get_or_insert(0);
            for number in 0..MAX_NUMBERED {
                let mut own = own.clone();
                let Span { start, stride, block, .. } = own[axis];
                let start = number.checked_mul(stride).and_then(|n| n.checked_add(start));
                let start = start.ok_or_else(|| corrupt("a block beyond what can be addressed"))?;
                own[axis] = Span { start, stride: block, block, len: block };
                let place = place(container, line, Some(number));
                let Some(source) = self.source(place, known, nesting)? else { break };
                self.piece(source, own, line, ends, Some(axis))?;
            }
            return Ok(());
        }
        if let Some(axis) = growing {
            ends[axis].get_or_insert(0);
        }
        match self.source(place(container, line, None), known, nesting)? {
            Some(source) => self.piece(source, own, line, ends, growing),
            None => Ok(()),
        }
    }

    /// The number of a source, which is looked at when it is met first; `None` if it is not
    /// there.
    fn source(
        &mut self,
        place: Place,
        known: &mut HashMap<Place, Option<usize>>,
        nesting: &Nesting,
    ) -> Result<Option<usize>> {
        if let Some(found) = known.get(&place) {
            return Ok(*found);
        }
        let found = match super::open_at(&place.path, Some(&place.item), &nesting.deeper()?) {
            Ok(source) => {
                let meta = source.meta();
                if meta.dtype != self.dtype {
                    return Err(unsupported(format!(
                        "a virtual data set of {} has a source of {}: {}::{}",
                        self.dtype,
                        meta.dtype,
                        place.path.display(),
                        place.item
                    ))
                    .help(super::file::REMEDY));
                }
                let cost = source.cost(&Region::whole(&meta.shape()));
                self.scratch = self.scratch.max(cost.scratch);
                self.stored = self.stored.saturating_add(source.storage().bytes.unwrap_or(0));
                let number = self.sources.len();
                let fingerprint = source.fingerprint()?;
                self.fingerprint = self.fingerprint.and(fingerprint);
                self.open.get_mut().unwrap_or_else(PoisonError::into_inner).put(number, source);
                self.sources.push(Found { place: place.clone(), fingerprint });
                Some(number)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                tracing::debug!(%error, "a source of a virtual data set is not there");
                self.fingerprint = self.fingerprint.and(Fingerprint::of(b"missing"));
                None
            }
            Err(error) => return Err(error),
        };
        known.insert(place, found);
        Ok(found)
    }

    /// Adds a piece of a source, matched axis by axis.
    fn piece(
        &mut self,
        source: usize,
        mut own: Vec<Span>,
        line: &Line,
        ends: &mut [Option<u64>],
        growing: Option<usize>,
    ) -> Result<()> {
        let extent = self.opened(source)?.meta().shape();
        let mut theirs = match &line.theirs {
            Selection::Nothing => return Ok(()),
            Selection::All => whole(&extent),
            Selection::Spans(spans) => spans.clone(),
        };
        if theirs.len() != extent.len() {
            return Err(corrupt("a selection has other axes than its source"));
        }
        for (span, &extent) in theirs.iter_mut().zip(&extent) {
            *span = span.clipped(extent);
            if span.end().is_none_or(|end| end > extent) {
                return Err(corrupt(format!(
                    "a virtual data set takes more of {}::{} than there is",
                    self.sources[source].place.path.display(),
                    self.sources[source].place.item
                )));
            }
        }
        // What has no limit is as long as what it takes of the source: all that the source's
        // other axes, which are matched in order, leave.
        if let Some(axis) = growing.filter(|&axis| own[axis].is_unlimited()) {
            let long = |span: &&Span| span.len != 1;
            let before = own[..axis].iter().filter(long).count();
            let others = own.iter().filter(long).count() - 1;
            let all: Vec<u64> = theirs.iter().filter(long).map(|span| span.len).collect();
            own[axis].len = if all.len() > others { all[before.min(all.len() - 1)] } else { 1 };
        }
        if own.iter().any(|span| span.len == 0) || theirs.iter().any(|span| span.len == 0) {
            return Ok(());
        }
        if let Some(axis) = growing {
            let end = own[axis].end().ok_or_else(|| corrupt("a piece without an end"))?;
            ends[axis] = ends[axis].max(Some(end));
        }
        let mut long = (0..theirs.len()).filter(|&axis| theirs[axis].len > 1);
        let with: Vec<Option<usize>> =
            own.iter().map(|span| if span.len > 1 { long.next() } else { None }).collect();
        let matched = own
            .iter()
            .zip(&with)
            .all(|(span, with)| span.len == with.map_or(1, |axis| theirs[axis].len));
        if !matched || long.next().is_some() {
            return Err(unsupported(
                "a virtual data set whose boxes have another shape than those of its sources",
            )
            .help(super::file::REMEDY));
        }
        let piece = Piece { source, own, theirs, with };
        self.is_scattered |= piece.is_scattered();
        self.pieces.push(piece);
        Ok(())
    }

    /// A source, open.
    fn opened(&self, source: usize) -> Result<Arc<dyn ChunkSource>> {
        let lock = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = lock().get(&source) {
            return Ok(open.clone());
        }
        let Found { place: Place { path, item }, fingerprint } = &self.sources[source];
        let nesting = Nesting { level: self.level, ..Nesting::default() }.deeper()?;
        let open = super::open_at(path, Some(item), &nesting)?;
        if open.fingerprint()? != *fingerprint {
            let message = "a source of a virtual data set changed since that was opened";
            return Err(FormatError::new(ErrorKind::Changed, message)
                .at(format_args!("{}::{item}", path.display()))
                .help("open it again, once nothing writes to it"));
        }
        lock().put(source, open.clone());
        Ok(open)
    }

    /// The number of sources.
    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapping")
            .field("shape", &self.shape)
            .field("sources", &self.sources.len())
            .field("pieces", &self.pieces.len())
            .finish_non_exhaustive()
    }
}

/// All of an array.
fn whole(shape: &[u64]) -> Vec<Span> {
    let span = |&len: &u64| Span { start: 0, stride: len.max(1), block: len.max(1), len };
    shape.iter().map(span).collect()
}

/// Sets every element to the one whose bytes `value` are.
pub(super) fn fill(out: &mut ChunkMut<'_>, value: &[u8]) {
    let filled: Result<(), std::convert::Infallible> = out.try_for_each_run(|_, run| {
        match value.iter().all(|&byte| byte == value[0]) {
            true => run.fill(value[0]),
            false => run.chunks_exact_mut(value.len()).for_each(|e| e.copy_from_slice(value)),
        }
        Ok(())
    });
    let Ok(()) = filled;
}

/// The source that a line names, with `number` where the name has `%b`.
fn place(container: &Container, line: &Line, number: Option<u64>) -> Place {
    let path = match line.file.as_str() {
        "." => container.path.clone(),
        file => container.beside(&named(file, number)),
    };
    Place { path, item: named(&line.item, number) }
}

/// Whether a name stands for many: `%b` in it is a number, `%%` a percent sign.
fn is_numbered(name: &str) -> bool {
    name.replace("%%", "").contains("%b")
}

/// The name with `number` in place of `%b`.
fn named(name: &str, number: Option<u64>) -> String {
    let part = |part: &str| match number {
        Some(number) => part.replace("%b", &number.to_string()),
        None => part.to_owned(),
    };
    name.split("%%").map(part).collect::<Vec<_>>().join("%")
}

/// The list of pieces, from the heap object that the layout message points to.
fn lines(container: &Container, layout: &[u8]) -> Result<Vec<Line>> {
    let (offsets, lengths) = container.sizes();
    let mut cursor = Cursor::new(layout.get(2..).unwrap_or_default());
    let address = cursor.read_offset(offsets).map_err(translate)?;
    let index = cursor.read_u32_le().map_err(translate)?;
    if Cursor::is_undefined_offset(address, offsets) {
        return Ok(Vec::new());
    }
    let index = u16::try_from(index).map_err(|_| corrupt("a heap has no such object"))?;
    container.with_heap_object(address, index, |object| lines_of(object, lengths))?
}

/// The list of pieces as it lies in a heap.
fn lines_of(object: &[u8], lengths: u8) -> Result<Vec<Line>> {
    let mut cursor = Cursor::new(object);
    match cursor.read_u8().map_err(translate)? {
        0 => {}
        version => {
            return Err(unsupported(format!("virtual data sets of version {version}"))
                .help(super::file::REMEDY));
        }
    }
    let count = cursor.read_length(lengths).map_err(translate)?;
    let mut lines = Vec::new();
    for _ in 0..count {
        let file = cursor.read_null_terminated_string().map_err(translate)?;
        let item = cursor.read_null_terminated_string().map_err(translate)?;
        let theirs = Selection::parse(&mut cursor)?;
        let own = Selection::parse(&mut cursor)?;
        lines.push(Line { file, item, theirs, own });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbered_where_they_say_so() {
        assert!(is_numbered("a%b.h5") && is_numbered("%%%b") && !is_numbered("a%%b"));
        assert_eq!(named("a%b-%%b.h5", Some(7)), "a7-%b.h5");
        assert_eq!(named("%%%b%", Some(7)), "%7%");
        assert_eq!(named("100%%", None), "100%");
    }
}
