//! Many files as one array: one leading axis, or several, and behind them each file's own.
//!
//! Opening a stack reads names, sizes and times of all files and opens one, the
//! *template*; what the others hold is believed to be alike until each is first read, and
//! checked then. [`Stack::check`] checks all at once. A stack knows no format: it is handed
//! what opens a file.
//!
//! The file axis has chunks of 1, the inner axes the template's. A file's leading axes of
//! length 1 (FITS frames often have some) are dropped unless they are asked for.

mod files;
#[cfg(test)]
mod tests;

pub use crate::pattern::Field;

use crate::{
    error::{ErrorKind, FormatError, Result},
    grid::{AxisGrid, Grid},
    region::{Coordinates, Dims, Region, checked_volume},
    source::{ChunkSource, Fingerprint, Labels, Meta, ReadCost, ReadCx, SourceSpec, Storage},
    view::ChunkMut,
};
use files::Files;
use std::{
    fmt,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// What opens one file of a stack.
pub type Opener = Arc<dyn Fn(&Path) -> Result<Arc<dyn ChunkSource>> + Send + Sync>;

/// How files are stacked.
#[derive(Clone, Debug, Default)]
pub struct StackOptions {
    /// The fields of a file-name pattern, one leading axis each; none for one axis of files.
    pub fields: Vec<Field>,
    /// Lengths of the leading axes, whose product is the number of files.
    pub stacked: Option<Vec<u64>>,
    /// Whether leading axes of length 1 of the files themselves are kept.
    pub keep_axes: bool,
    /// How to open the stack again elsewhere.
    pub spec: SourceSpec,
}

/// Opened files that are kept, as many as a [`FileCache`](crate::FileCache) keeps open by
/// default: each holds its header's attributes or index, so a cap bounds memory, and a file
/// of one chunk is not read twice in a row anyway.
const KEPT: NonZeroUsize = NonZeroUsize::new(128).expect("not zero");

/// Many files as one array.
pub struct Stack {
    meta: Meta,
    /// The number of leading axes that count files.
    outer: usize,
    labels: Vec<Option<Labels>>,
    files: Files,
    template: Arc<dyn ChunkSource>,
    opener: Opener,
    opened: Mutex<lru::LruCache<usize, Arc<dyn ChunkSource>>>,
    keep_axes: bool,
    spec: SourceSpec,
}

impl Stack {
    /// Stacks the files at `paths`, in this order (C order over several leading axes).
    /// Opens the first and looks for the others.
    ///
    /// # Errors
    /// If there is no file, one is missing, the first cannot be opened, or the lengths of
    /// the leading axes do not multiply to the number of files.
    pub fn open(paths: &[PathBuf], opener: Opener, options: StackOptions) -> Result<Stack> {
        let StackOptions { fields, stacked, keep_axes, spec } = options;
        let Some(first) = paths.first() else {
            return Err(FormatError::new(ErrorKind::Invalid, "a stack needs at least one file"));
        };
        let (lengths, names, labels) = leading_axes(paths.len() as u64, fields, stacked)?;
        let files = Files::stat(paths)?;
        let template = opener(first)?;
        files.check_unchanged(0, first)?;
        let own = template.meta();
        let dropped = dropped_axes(&own.shape(), keep_axes);
        let grid = lengths.iter().map(|&len| AxisGrid::regular(len, 1));
        let grid = Grid::new(grid.chain(own.grid.axes()[dropped..].iter().cloned()));
        if checked_volume(&grid.shape())
            .and_then(|n| n.checked_mul(own.dtype.size() as u64))
            .is_none()
        {
            return Err(FormatError::new(
                ErrorKind::Limit,
                format!(
                    "{} files of shape {} are beyond 2^64 bytes",
                    paths.len(),
                    Shape(&own.shape())
                ),
            )
            .at_path(first));
        }
        let axes = names.into_iter().chain(own.axes[dropped..].iter().cloned()).collect();
        let meta = Meta { dtype: own.dtype, grid, axes, attributes: own.attributes.clone() };
        Ok(Stack {
            meta,
            outer: lengths.len(),
            labels,
            files,
            template,
            opener,
            opened: Mutex::new(lru::LruCache::new(KEPT)),
            keep_axes,
            spec,
        })
    }

    /// The number of files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no file; never so.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The path of the file with the number `file`, counted in C order over the leading axes.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn path(&self, file: usize) -> PathBuf {
        self.files.path(file)
    }

    /// Opens every file and compares it with the first.
    ///
    /// # Errors
    /// Of the first file in order that is missing, changed, damaged or different.
    pub fn check(&self) -> Result<()> {
        files::for_all(self.len(), |file| self.open_file(file).map(drop)).map(drop)
    }

    /// The opened file; kept for a while.
    fn source(&self, file: usize) -> Result<Arc<dyn ChunkSource>> {
        let lock = || self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = match file {
            0 => Some(self.template.clone()),
            _ => lock().get(&file).cloned(),
        };
        if let Some(source) = kept {
            self.files.check_unchanged(file, &self.files.path(file))?;
            return Ok(source);
        }
        // Opened without the lock: two threads may open the same file, and one is dropped.
        let source = self.open_file(file)?;
        lock().put(file, source.clone());
        Ok(source)
    }

    /// Opens a file and holds it against what is known of it and against the template.
    fn open_file(&self, file: usize) -> Result<Arc<dyn ChunkSource>> {
        let path = self.files.path(file);
        self.files.check_unchanged(file, &path)?;
        let source = (self.opener)(&path).map_err(|e| e.at_path(&path))?;
        let (have, want) = (source.meta(), self.template.meta());
        let (shape, expected) = (have.shape(), want.shape());
        let inner = |shape: &Dims| Dims::from(&shape[dropped_axes(shape, self.keep_axes)..]);
        if have.dtype != want.dtype || inner(&shape) != inner(&expected) {
            return Err(FormatError::new(
                ErrorKind::Mismatch,
                format!(
                    "{} {}, but the first file, {}, has {} {}",
                    have.dtype,
                    Shape(&shape),
                    self.files.path(0).display(),
                    want.dtype,
                    Shape(&expected)
                ),
            )
            .at_path(&path)
            .help("files of a stack are alike: leave this one out, or stack its kind on its own"));
        }
        Ok(source)
    }

    /// The part of `region` in one file, with `leading` axes of length 1 before it.
    fn inner_region(&self, region: &Region, leading: usize) -> Region {
        let mut inner =
            Region { start: Dims::from_elem(0, leading), shape: Dims::from_elem(1, leading) };
        inner.start.extend_from_slice(&region.start[self.outer..]);
        inner.shape.extend_from_slice(&region.shape[self.outer..]);
        inner
    }

    fn file_of(&self, at: &[u64]) -> usize {
        at.iter().zip(self.meta.grid.axes()).fold(0, |n, (&i, axis)| n * axis.len() + i) as usize
    }
}

/// The lengths, names and labels of the axes that count files.
type Leading = (Dims, Vec<String>, Vec<Option<Labels>>);

fn leading_axes(count: u64, fields: Vec<Field>, stacked: Option<Vec<u64>>) -> Result<Leading> {
    let by_fields: Dims = fields.iter().map(|field| field.labels.len() as u64).collect();
    if !fields.is_empty() && stacked.as_deref().is_none_or(|lengths| lengths == &by_fields[..]) {
        let (names, labels) =
            fields.into_iter().map(|field| (field.name, Some(field.labels))).unzip();
        return check_count(count, &by_fields).map(|()| (by_fields, names, labels));
    }
    let lengths: Dims = stacked.map_or_else(|| Dims::from_elem(count, 1), Dims::from);
    check_count(count, &lengths)?;
    let rank = lengths.len();
    Ok((lengths, vec![String::new(); rank], vec![None; rank]))
}

fn check_count(count: u64, lengths: &[u64]) -> Result<()> {
    if checked_volume(lengths) == Some(count) {
        return Ok(());
    }
    let product = checked_volume(lengths).map_or("more".to_owned(), |n| n.to_string());
    Err(FormatError::new(
        ErrorKind::Mismatch,
        format!("{count} files do not stack to {}, which takes {product}", Shape(lengths)),
    ))
}

/// The number of a file's leading axes that a stack leaves out.
fn dropped_axes(shape: &[u64], keep: bool) -> usize {
    if keep { 0 } else { shape.iter().take_while(|&&len| len == 1).count() }
}

/// A shape as Python writes it: `(4, 400)`, `(7,)`.
struct Shape<'a>(&'a [u64]);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lengths: Vec<String> = self.0.iter().map(u64::to_string).collect();
        write!(f, "({}{})", lengths.join(", "), if self.0.len() == 1 { "," } else { "" })
    }
}

/// Reads `region` of one file within the scratch at hand. A file may need more for it than
/// the template did (its tiles may have shrunk less); then the box is read in halves.
fn read_within(
    source: &dyn ChunkSource,
    region: &Region,
    mut out: ChunkMut<'_>,
    cx: &mut ReadCx<'_>,
) -> Result<()> {
    let needed = source.cost(region).scratch;
    if needed <= cx.scratch.len() as u64 {
        return source.read(region, out, cx);
    }
    let Some(axis) = region.shape.iter().position(|&len| len > 1) else {
        return Err(FormatError::new(
            ErrorKind::Limit,
            format!(
                "{needed} bytes of scratch are needed to read {region}, and the first file of the \
                 stack needs no more than {}",
                cx.scratch.len()
            ),
        )
        .help("its tiles are stored otherwise than the first file's: stack its kind on its own"));
    };
    let half = region.shape[axis] / 2;
    for (offset, len) in [(0, half), (half, region.shape[axis] - half)] {
        let mut part = region.clone();
        part.start[axis] += offset;
        part.shape[axis] = len;
        let within = part.relative_to(&region.start);
        read_within(source, &part, out.sub(&within), cx)?;
    }
    Ok(())
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("files", &self.files.len())
            .field("first", &self.files.path(0))
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

impl ChunkSource for Stack {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        if region.is_empty() {
            return ReadCost::default();
        }
        let leading = self.template.meta().grid.rank() + self.outer - self.meta.grid.rank();
        let one = self.template.cost(&self.inner_region(region, leading));
        let files = checked_volume(&region.shape[..self.outer]).unwrap_or(u64::MAX);
        ReadCost {
            bytes: one.bytes.saturating_mul(files),
            decoded: one.decoded.saturating_mul(files),
            scratch: one.scratch,
        }
    }

    fn labels(&self, axis: usize) -> Option<&Labels> {
        self.labels.get(axis)?.as_ref()
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        let outer = Region::new(&region.start[..self.outer], &region.shape[..self.outer]);
        for at in Coordinates::of(outer) {
            cx.cancel.check()?;
            let file = self.file_of(&at);
            let source = self.source(file)?;
            let leading = source.meta().grid.rank() + self.outer - self.meta.grid.rank();
            let inner = self.inner_region(region, leading);
            let mut part = Region::whole(&region.shape);
            for axis in 0..self.outer {
                part.start[axis] = at[axis] - region.start[axis];
                part.shape[axis] = 1;
            }
            let target = out.sub(&part).with_unit_axes(&inner.shape);
            read_within(&*source, &inner, target, cx)
                .map_err(|e| e.at_path(&self.files.path(file)))?;
        }
        Ok(())
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        self.files.fingerprint()
    }

    fn spec(&self) -> SourceSpec {
        self.spec.clone()
    }

    fn storage(&self) -> Storage {
        let Storage { format, codec, .. } = self.template.storage();
        Storage { format, codec, files: self.len() as u64, bytes: self.files.bytes() }
    }
}
