//! Many files as one array: one leading axis, or several, and behind them each file's own.
//!
//! Opening a stack reads names, sizes and times of all files and opens one, the
//! *template*; what the others hold is believed to be alike until each is first read, and
//! checked then. [`Stack::check`] checks all at once. A stack knows no format: it is handed
//! what opens a file.
//!
//! The file axis has chunks of 1, the inner axes the template's. A file's leading axes of
//! length 1 (FITS frames often have some) are dropped unless they are asked for.
//!
//! Files that are missing or cannot be read are an error, or are treated as [`Missing`]
//! says; [`Stack::missing`] tells which were.

mod files;
mod mask;
#[cfg(test)]
mod tests;

pub use crate::arrange::Field;
pub use mask::Mask;

use crate::{
    arrange::combination,
    dtype::Scalar,
    error::{ErrorKind, FormatError, Result},
    grid::{AxisGrid, Grid},
    missing::{Blank, Missing, MissingFiles},
    region::{Coordinates, Dims, Region, checked_volume},
    source::{
        ChunkSource, FileCache, Fingerprint, Labels, Meta, ReadCost, ReadCx, SourceSpec, Storage,
    },
    view::ChunkMut,
};
use files::Files;
pub(crate) use files::for_all;
use mask::Verdicts;
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// What opens one file of a stack.
pub type Opener = Arc<dyn Fn(&Path) -> Result<Arc<dyn ChunkSource>> + Send + Sync>;

/// How files are stacked.
#[derive(Clone, Debug, Default)]
pub struct StackOptions {
    /// The fields of a file-name pattern, or cards, one leading axis each; none for one axis
    /// of files.
    pub fields: Vec<Field>,
    /// Lengths of the leading axes, whose product is the number of files.
    pub stacked: Option<Vec<u64>>,
    /// Whether leading axes of length 1 of the files themselves are kept.
    pub keep_axes: bool,
    /// What is done where a file is missing or cannot be read.
    pub missing: Missing,
    /// What undefined elements of the files are, as the opener makes them.
    pub blank: Blank,
    /// How to open the stack again elsewhere.
    pub spec: SourceSpec,
}

/// Bytes of opened files that are kept, each of which holds its header or index: of plain files
/// those of some thousand, which whoever looks at single frames comes back to.
const KEPT: u64 = 4 << 20;

/// Opened files, the least recently used let go first.
struct Opened {
    files: lru::LruCache<usize, Arc<dyn ChunkSource>>,
    /// Bytes that they hold together.
    held: u64,
}

impl Default for Opened {
    fn default() -> Opened {
        Opened { files: lru::LruCache::unbounded(), held: 0 }
    }
}

impl Opened {
    fn keep(&mut self, file: usize, source: Arc<dyn ChunkSource>) {
        self.held += source.held();
        if let Some(before) = self.files.put(file, source) {
            self.held -= before.held();
        }
        // The last one stays, however large it is.
        while self.held > KEPT
            && self.files.len() > 1
            && let Some((_, source)) = self.files.pop_lru()
        {
            self.held -= source.held();
        }
    }
}

/// Many files as one array.
pub struct Stack {
    meta: Meta,
    /// The number of leading axes that count files.
    outer: usize,
    labels: Vec<Option<Labels>>,
    files: Files,
    template: Arc<dyn ChunkSource>,
    /// The number of the template's file.
    first: usize,
    opener: Opener,
    opened: Mutex<Opened>,
    keep_axes: bool,
    policy: Missing,
    blank: Blank,
    /// The files taken as missing so far.
    missing: MissingFiles,
    /// Which files are known to be whole, or not.
    verdicts: Verdicts,
    spec: SourceSpec,
}

impl Stack {
    /// Stacks the files at `paths`, in this order (C order over several leading axes); `None`
    /// is a place without a file. Opens the first that can be, and looks for the others.
    ///
    /// # Errors
    /// If there is no file, or the lengths of the leading axes do not multiply to their
    /// number; if one is missing or the first cannot be opened, unless
    /// [`StackOptions::missing`] allows for it; then if none can be opened, or NaN is asked
    /// for where elements have none.
    pub fn open<P: Into<Option<PathBuf>>>(
        paths: impl IntoIterator<Item = P>,
        opener: Opener,
        options: StackOptions,
    ) -> Result<Stack> {
        let StackOptions { fields, stacked, keep_axes, missing: policy, blank, spec } = options;
        let paths: Vec<Option<PathBuf>> = paths.into_iter().map(Into::into).collect();
        let files = Files::stat(&paths, policy != Missing::Error)?;
        drop(paths);
        let (lengths, names, labels) = leading_axes(files.len() as u64, fields, stacked)?;
        let (first, template) = template(&files, &opener, policy)?;
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
                    files.len(),
                    Shape(&own.shape())
                ),
            )
            .at_path(&files.path(first)));
        }
        if policy == Missing::Nan && !own.dtype.is_float() {
            let message = format!("{} has no NaN for what is missing", own.dtype);
            return Err(FormatError::new(ErrorKind::Invalid, message)
                .at_path(&files.path(first))
                .help(
                    "choose the policy `mask`: missing elements are 0 then, and the mask tells which",
                ));
        }
        let axes = names.into_iter().chain(own.axes[dropped..].iter().cloned()).collect();
        let meta = Meta { dtype: own.dtype, grid, axes, attributes: own.attributes.clone() };
        Ok(Stack {
            meta,
            outer: lengths.len(),
            labels,
            verdicts: Verdicts::of(files.len(), policy),
            files,
            template,
            first,
            opener,
            opened: Mutex::default(),
            keep_axes,
            policy,
            blank,
            missing: MissingFiles::default(),
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

    /// The path of the file with the number `file`, counted in C order over the leading axes;
    /// empty where no file has the place.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn path(&self, file: usize) -> PathBuf {
        self.files.path(file)
    }

    /// The files taken as missing so far, of those that were read.
    pub fn missing(&self) -> &MissingFiles {
        &self.missing
    }

    /// Which elements are missing: true, on the same grid.
    pub fn mask(self: &Arc<Stack>) -> Mask {
        Mask::new(self.clone())
    }

    /// Opens every file and compares it with the first; what the policy for missing files
    /// takes is counted in [`Stack::missing`].
    ///
    /// # Errors
    /// Of the first file in order that is missing, changed, damaged or different.
    pub fn check(&self) -> Result<()> {
        for_all(self.len(), |file| {
            self.files.check_unchanged(file, &self.files.path(file))?;
            match self.open_file(file) {
                Err(error) if self.takes(file, &error) => Ok(()),
                opened => opened.map(drop),
            }
        })
        .map(drop)
    }

    /// Whether the policy goes on after `error` of the file, which it then counts as missing.
    fn takes(&self, file: usize, error: &FormatError) -> bool {
        let takes = self.policy.takes(error);
        if takes {
            self.missing.insert(file, error);
        }
        takes
    }

    /// The opened file; kept for a while.
    fn source(&self, file: usize) -> Result<Arc<dyn ChunkSource>> {
        if file == self.first {
            return Ok(self.template.clone());
        }
        let lock = || self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = lock().files.get(&file) {
            return Ok(source.clone());
        }
        // Opened without the lock: two threads may open the same file, and one is dropped.
        let source = self.open_file(file)?;
        lock().keep(file, source.clone());
        Ok(source)
    }

    /// The error of a file that was not there when the stack was opened.
    fn absent(&self, file: usize) -> FormatError {
        let path = self.files.path(file);
        let error = |message: &str| FormatError::new(ErrorKind::NotFound, message);
        if !path.as_os_str().is_empty() {
            return error("no such file").at_path(&path);
        }
        let fields: Option<Vec<Field>> = (0..self.outer)
            .map(|axis| {
                let name = self.meta.axes[axis].clone();
                Some(Field { name, labels: self.labels[axis].clone()? })
            })
            .collect();
        match fields {
            Some(fields) => error("no file").at(combination(&fields, file as u128)),
            None => error("no file").at(format_args!("place {file} of the stack")),
        }
    }

    /// Opens a file and holds it against what is known of it and against the template.
    fn open_file(&self, file: usize) -> Result<Arc<dyn ChunkSource>> {
        if !self.files.is_there(file) {
            return Err(self.absent(file));
        }
        let path = self.files.path(file);
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
                    self.files.path(self.first).display(),
                    want.dtype,
                    Shape(&expected)
                ),
            )
            .at_path(&path)
            .help("files of a stack are alike: leave this one out, or stack its kind on its own"));
        }
        Ok(source)
    }

    /// The part of `region` in a file that is opened as `one`, with that one's leading axes of length 1 before it.
    fn inner_region(&self, one: &dyn ChunkSource, region: &Region) -> Region {
        let leading = one.meta().grid.rank() + self.outer - self.meta.grid.rank();
        let mut inner =
            Region { start: Dims::from_elem(0, leading), shape: Dims::from_elem(1, leading) };
        inner.start.extend_from_slice(&region.start[self.outer..]);
        inner.shape.extend_from_slice(&region.shape[self.outer..]);
        inner
    }

    /// Reads the part of `region` in one file into `out`, or fills it as the policy says.
    fn read_file(
        &self,
        file: usize,
        region: &Region,
        mut out: ChunkMut<'_>,
        cx: &mut ReadCx<'_>,
    ) -> Result<()> {
        let path = self.files.path(file);
        // A file that changes is never taken as missing: what was read of it is not known.
        self.files.check_unchanged(file, &path)?;
        let read = self.source(file).and_then(|source| {
            let inner = self.inner_region(&*source, region);
            let whole = inner.shape == source.meta().shape();
            read_within(&*source, &inner, out.reborrow().with_unit_axes(&inner.shape), cx)
                .map_err(|e| e.at_path(&path))?;
            if whole {
                self.verdicts.set(file, true);
            }
            Ok(())
        });
        match read {
            Err(error) if self.takes(file, &error) => {
                self.verdicts.set(file, false);
                let missing = match self.policy {
                    Missing::Nan => Scalar::F64(f64::NAN).cast(self.meta.dtype),
                    _ => Scalar::zero(self.meta.dtype),
                };
                out.fill(missing);
                Ok(())
            }
            read => read,
        }
    }

    /// What reading `region` takes, if the files are like `one`.
    fn cost_like(&self, one: &dyn ChunkSource, region: &Region) -> ReadCost {
        if region.is_empty() {
            return ReadCost::default();
        }
        let one = one.cost(&self.inner_region(one, region));
        let files = checked_volume(&region.shape[..self.outer]).unwrap_or(u64::MAX);
        ReadCost {
            bytes: one.bytes.saturating_mul(files),
            decoded: one.decoded.saturating_mul(files),
            scratch: one.scratch,
        }
    }

    fn file_of(&self, at: &[u64]) -> usize {
        at.iter().zip(self.meta.grid.axes()).fold(0, |n, (&i, axis)| n * axis.len() + i) as usize
    }
}

/// The first file that opens, and its number; without a policy the very first.
fn template(
    files: &Files,
    opener: &Opener,
    policy: Missing,
) -> Result<(usize, Arc<dyn ChunkSource>)> {
    let mut first_error = None;
    for file in (0..files.len()).filter(|&file| files.is_there(file)) {
        let path = files.path(file);
        match opener(&path).map_err(|e| e.at_path(&path)) {
            Ok(source) => {
                files.check_unchanged(file, &path)?;
                return Ok((file, source));
            }
            Err(error) if policy.takes(&error) => drop(first_error.get_or_insert(error)),
            Err(error) => return Err(error),
        }
    }
    Err(match (first_error, files.len()) {
        (Some(error), _) => error.help("none of the files can be read"),
        (None, 0) => FormatError::new(ErrorKind::Invalid, "a stack needs at least one file"),
        (None, n) => FormatError::new(ErrorKind::NotFound, format!("none of {n} files is there")),
    })
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
            ErrorKind::Scratch,
            format!(
                "{needed} bytes of scratch are needed to read {region}, and the first file of the \
                 stack needs no more than {}",
                cx.scratch.len()
            ),
        )
        .help(
            "its tiles are stored otherwise than the first file's: put it first, or stack its kind \
             on its own",
        ));
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
        self.cost_like(&*self.template, region)
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
            let mut part = Region::whole(&region.shape);
            for axis in 0..self.outer {
                part.start[axis] = at[axis] - region.start[axis];
                part.shape[axis] = 1;
            }
            self.read_file(file, region, out.sub(&part), cx)?;
        }
        Ok(())
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        self.files.fingerprint()
    }

    fn version(&self, region: &Region, files: &FileCache) -> Result<Option<Fingerprint>> {
        let like = &*self.template;
        if like.version(&self.inner_region(like, region), files)?.is_none() {
            return Ok(None);
        }
        let mut version = Fingerprint::default();
        let outer = Region::new(&region.start[..self.outer], &region.shape[..self.outer]);
        for at in Coordinates::of(outer) {
            let file = self.file_of(&at);
            self.files.check_unchanged(file, &self.files.path(file))?;
            let source = self.source(file)?;
            let inner = self.inner_region(&*source, region);
            let Some(one) = source.version(&inner, files)? else { return Ok(None) };
            version = version.and(one);
        }
        Ok(Some(version))
    }

    fn spec(&self) -> SourceSpec {
        self.spec.clone()
    }

    fn storage(&self) -> Storage {
        let Storage { format, codec, .. } = self.template.storage();
        Storage { format, codec, files: self.files.there(), bytes: self.files.bytes() }
    }

    fn missing_files(&self) -> Option<&MissingFiles> {
        Some(&self.missing)
    }
}
