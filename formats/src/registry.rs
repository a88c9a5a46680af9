//! The one list of formats, and what stands behind a location that a user gives.
//!
//! A location is a path, `PATH::ITEM`, a folder, a glob or a pattern with fields. What is
//! there decides: a path that exists as it is written is never taken for a glob, a folder
//! that is an array (Zarr) is one, any other folder is a stack of the files in it. Globs,
//! patterns and folders are stacks even of one file, so that a result's rank does not
//! depend on how many files there are today.

mod keys;
mod nested;
mod options;
mod output;
#[cfg(test)]
mod tests;
mod urls;

pub use nested::Nested;
pub use options::OpenOptions;
pub use output::{split_output, writer};

use crate::{
    arrange::FileList,
    aside, cf,
    error::{ErrorKind, FormatError, Result},
    missing::{Blank, Missing},
    pattern,
    source::{ChunkSource, Entry, Format, Item, SourceSpec},
    stack::{Opener, Stack, StackOptions},
    stored::{Forwards, StoredFile},
    url,
};
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// All formats of this build; each is asked in turn what it recognises.
pub const FORMATS: &[&dyn Format] = &[
    #[cfg(feature = "fits")]
    &crate::fits::Fits,
    #[cfg(feature = "zarr")]
    &crate::zarr::Zarr,
    #[cfg(feature = "h5")]
    &crate::hdf5::Hdf5,
    #[cfg(feature = "npy")]
    &crate::npy::Npy,
    #[cfg(feature = "images")]
    &crate::images::Png,
    #[cfg(feature = "images")]
    &crate::images::Jpeg,
    #[cfg(feature = "images")]
    &crate::images::Tiff,
];

/// The formats that this crate knows, those left out of this build too.
struct Known {
    name: &'static str,
    title: &'static str,
    feature: &'static str,
    extensions: &'static [&'static str],
}

const KNOWN: [Known; 7] = [
    Known { name: "fits", title: "FITS", feature: "fits", extensions: &["fits", "fit", "fts"] },
    Known { name: "zarr", title: "Zarr", feature: "zarr", extensions: &["zarr"] },
    Known { name: "hdf5", title: "HDF5", feature: "h5", extensions: &["h5", "hdf5", "he5", "nc"] },
    Known { name: "npy", title: "npy", feature: "npy", extensions: &["npy"] },
    Known { name: "png", title: "PNG", feature: "images", extensions: &["png"] },
    Known { name: "jpeg", title: "JPEG", feature: "images", extensions: &["jpg", "jpeg"] },
    Known { name: "tiff", title: "TIFF", feature: "images", extensions: &["tif", "tiff"] },
];

/// Opens the array at a location: a path, `PATH::ITEM`, a folder, a glob or a pattern.
///
/// # Errors
/// If nothing is there, it is damaged or of no known format, or several arrays could be
/// meant (the error lists them).
pub fn open(location: &str) -> Result<Arc<dyn ChunkSource>> {
    open_with(&[location.to_owned()], &OpenOptions::default())
}

/// Opens the array at a location, or the stack of several.
///
/// # Errors
/// As [`open`], and if the options do not fit the number of files.
pub fn open_with(locations: &[String], options: &OpenOptions) -> Result<Arc<dyn ChunkSource>> {
    Registry(FORMATS).open(locations, options)
}

/// An array, and which of its elements are missing.
#[derive(Clone, Debug)]
pub struct Masked {
    /// The array.
    pub array: Arc<dyn ChunkSource>,
    /// True where an element is missing or undefined, on the same grid; `None` where none can
    /// be.
    pub mask: Option<Arc<dyn ChunkSource>>,
}

/// Opens as [`open_with`], with the mask of what is missing (true): of files that are not
/// there, where several are stacked, and, if the options say [`Blank::Mask`], of undefined
/// elements. What is missing is 0.
///
/// # Errors
/// As [`open_with`].
pub fn open_masked(locations: &[String], options: &OpenOptions) -> Result<Masked> {
    let options = options.clone().missing(Missing::Mask);
    Ok(Registry(FORMATS).find_all(locations, &options)?.masked())
}

/// Opens files in lists of lists, `[[a, b], [c, d]]`: each level is a leading axis.
///
/// # Errors
/// As [`open_with`], and if the lists of one level differ in length.
pub fn open_nested(files: &Nested, options: &OpenOptions) -> Result<Arc<dyn ChunkSource>> {
    Ok(Registry(FORMATS).nested(files, options)?.masked().array)
}

/// Opens again what a [`ChunkSource::spec`] tells of.
///
/// # Errors
/// As [`open`], and if only another process has the array.
pub fn reopen(spec: &SourceSpec) -> Result<Arc<dyn ChunkSource>> {
    if spec.format.is_empty() {
        return Err(FormatError::new(
            ErrorKind::Unsupported,
            "the array is in the memory of another process",
        ));
    }
    let (locations, options) = OpenOptions::from_spec(spec)?;
    open_with(&locations, &options)
}

/// All arrays at a location; a stack is one.
///
/// # Errors
/// As [`open`].
pub fn list(location: &str) -> Result<Vec<Item>> {
    Registry(FORMATS).list(location)
}

/// All that is in the file or folder at a location, what cannot be read too; `None` where
/// the location is a stack, or names an item.
///
/// # Errors
/// As [`open`].
pub fn contents(location: &str) -> Result<Option<Vec<Entry>>> {
    let (text, item) = split_item(location);
    match (Registry(FORMATS).find(text, true)?, item) {
        (Found::One(path), None) => format_of(&path)?.contents(&path).map(Some),
        _ => Ok(None),
    }
}

/// The files and folders that are opened for these locations, each with the item that is
/// named: of globs, patterns and folders of files, the files. Of several locations, those
/// where nothing is are left out.
///
/// # Errors
/// If nothing is there.
pub fn files(locations: &[String]) -> Result<Vec<(PathBuf, Option<String>)>> {
    let mut files = Vec::new();
    for location in locations {
        let (text, item) = split_item(location);
        let item = item.map(str::to_owned);
        match Registry(FORMATS).find(text, true) {
            Ok(Found::One(path)) => files.push((path, item)),
            Ok(Found::Many(list)) => {
                files.extend(list.paths.into_iter().flatten().map(|path| (path, item.clone())));
            }
            Err(error) if error.kind() == ErrorKind::NotFound && locations.len() > 1 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// The files of what [`open_with`] opens as a stack, in the order of their places along its leading
/// axes; `None` where there is none. A file alone is one.
///
/// # Errors
/// As for [`open_with`], but that no file itself is opened unless its cards place it.
pub fn stacked(locations: &[String], options: &OpenOptions) -> Result<Vec<Option<PathBuf>>> {
    Ok(Registry(FORMATS).locate(locations, options)?.files.paths)
}

/// The format of the file or folder at `path`, by what is there.
///
/// # Errors
/// If nothing is there, it cannot be read, or it is of no known format.
pub fn format_of(path: &Path) -> Result<&'static dyn Format> {
    Registry(FORMATS).format_of(path)
}

/// A list of formats; tests bring their own.
#[derive(Clone, Copy)]
struct Registry(&'static [&'static dyn Format]);

/// What stands behind a location.
enum Found {
    /// A file, or a folder that is one array or a group of them.
    One(PathBuf),
    /// Files to be stacked.
    Many(FileList),
}

/// The files behind locations, in their places, and the item in each.
struct Located<'a> {
    files: FileList,
    item: Option<&'a str>,
    /// Whether it is one file or array that is named itself, and no stack of one.
    alone: bool,
}

/// What was opened: one array, or many files as one.
enum Opened {
    One(Arc<dyn ChunkSource>),
    Stack(Arc<Stack>),
}

impl Opened {
    fn masked(self) -> Masked {
        match self {
            Opened::One(array) => Masked { mask: array.mask(), array },
            Opened::Stack(stack) => {
                let mask = Arc::new(stack.mask());
                Masked { array: stack, mask: Some(mask) }
            }
        }
    }
}

impl Registry {
    fn open(self, locations: &[String], options: &OpenOptions) -> Result<Arc<dyn ChunkSource>> {
        Ok(self.find_all(locations, options)?.masked().array)
    }

    fn find_all(self, locations: &[String], options: &OpenOptions) -> Result<Opened> {
        let Located { files, item, alone } = self.locate(locations, options)?;
        if let (true, [Some(path)]) = (alone, &files.paths[..]) {
            let source = open_one(self.format_of(path)?, path, item, options)?;
            return Ok(Opened::One(source));
        }
        let spec = options.to_spec(locations);
        self.stack(files, item, options, options.stacked.clone(), spec).map(Opened::Stack)
    }

    fn locate<'a>(self, locations: &'a [String], options: &OpenOptions) -> Result<Located<'a>> {
        let mut alone =
            locations.len() == 1 && options.stacked.is_none() && options.cards.is_empty();
        let (mut files, mut items) = (FileList::default(), Vec::new());
        for location in locations {
            let (text, item) = split_item(location);
            items.push(item);
            match self.find(text, options.may_lack()) {
                Ok(Found::One(path)) => files.paths.push(Some(path)),
                Ok(Found::Many(list)) => {
                    alone = false;
                    files.paths.extend(list.paths);
                    files.fields = list.fields;
                }
                Err(error)
                    if options.may_lack()
                        && error.kind() == ErrorKind::NotFound
                        && locations.len() > 1 =>
                {
                    files.paths.push(Some(text.into()));
                }
                Err(error) => return Err(error),
            }
        }
        if locations.len() > 1 {
            files.fields.clear();
        }
        let item = one_item(items)?;
        if !options.cards.is_empty() {
            files = keys::by_cards(self, files, item, locations, options)?;
        }
        Ok(Located { files, item, alone })
    }

    fn nested(self, nested: &Nested, options: &OpenOptions) -> Result<Opened> {
        if options.stacked.is_some() || !options.cards.is_empty() {
            let message = "the lists themselves tell how their files are stacked";
            return Err(FormatError::new(ErrorKind::Invalid, message)
                .help("give neither lengths nor cards beside them"));
        }
        let (files, lengths) = nested.flatten()?;
        let said = |file: &Option<String>| file.clone().unwrap_or_default();
        let locations: Vec<String> = files.iter().map(said).collect();
        if lengths.is_empty() {
            return self.find_all(&locations, options);
        }
        let split: Vec<Option<(&str, Option<&str>)>> =
            files.iter().map(|file| file.as_deref().map(split_item)).collect();
        let item = one_item(split.iter().flatten().map(|&(_, item)| item))?;
        let paths = split.iter().map(|file| file.map(|(path, _)| PathBuf::from(path))).collect();
        let list = FileList { paths, fields: Vec::new() };
        // Elsewhere the same files are opened by their names, folded.
        let spec = options.clone().stacked(lengths.clone()).to_spec(&locations);
        self.stack(list, item, options, Some(lengths), spec).map(Opened::Stack)
    }

    fn stack(
        self,
        files: FileList,
        item: Option<&str>,
        options: &OpenOptions,
        stacked: Option<Vec<u64>>,
        spec: SourceSpec,
    ) -> Result<Arc<Stack>> {
        if let (None, false) = (files.paths.iter().flatten().next(), options.may_lack()) {
            return Err(FormatError::new(
                ErrorKind::Invalid,
                "a location is needed: a path, folder, glob or pattern",
            ));
        }
        let opener = self.opener(item, options);
        let options = StackOptions {
            fields: files.fields,
            stacked,
            keep_axes: options.keep_axes,
            missing: options.missing,
            blank: options.blank,
            spec,
        };
        Stack::open(files.paths, opener, options).map(Arc::new)
    }

    /// What opens files. Those that end like the first that is of a format are of that
    /// format: each is opened once, not also sniffed at.
    fn opener(self, item: Option<&str>, options: &OpenOptions) -> Opener {
        let item = item.map(str::to_owned);
        let options = options.clone();
        let known = OnceLock::new();
        Arc::new(move |path: &Path| {
            let extension = extension_of(path);
            let format = match known.get() {
                Some((alike, format)) if *alike == extension => *format,
                _ => {
                    let format = self.format_of(path)?;
                    let _ = known.set((extension, format));
                    format
                }
            };
            open_one(format, path, item.as_deref(), &options)
        })
    }

    fn list(self, location: &str) -> Result<Vec<Item>> {
        let (text, item) = split_item(location);
        if let (Found::One(path), None) = (self.find(text, false)?, item) {
            return self.format_of(&path)?.list(&path);
        }
        let source = self.open(&[location.to_owned()], &OpenOptions::default())?;
        Ok(vec![Item {
            name: item.unwrap_or_default().to_owned(),
            meta: source.meta().clone(),
            storage: source.storage(),
        }])
    }

    /// What stands behind a location; a pattern may have holes, if they are allowed.
    fn find(self, text: &str, holes: bool) -> Result<Found> {
        let path = Path::new(text);
        if let Some(url) = url::of(path) {
            return url::check(url).map(|()| Found::One(path.to_owned()));
        }
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() && !self.is_array(path) => {
                return self.folder(path).map(Found::Many);
            }
            Ok(_) => return Ok(Found::One(path.to_owned())),
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(FormatError::io(e).at_path(path));
            }
            // A store that was killed may have left it under another name.
            Err(_) if aside::restore(path)? => return self.find(text, holes),
            Err(_) => {}
        }
        if pattern::is_pattern(text) {
            return pattern::expand(text, holes).map(Found::Many);
        }
        if pattern::is_glob(text) {
            return pattern::glob(text).map(Found::Many);
        }
        Err(missing(path))
    }

    /// The files of a folder, which must be of one format.
    fn folder(self, folder: &Path) -> Result<FileList> {
        let at = |e: std::io::Error| FormatError::io(e).at_path(folder);
        let mut found: BTreeMap<usize, Vec<PathBuf>> = BTreeMap::new();
        let mut others = 0;
        for entry in fs::read_dir(folder).map_err(at)? {
            let mut path = entry.map_err(at)?.path();
            let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
            if hidden {
                match aside::target_of(&path) {
                    Some(target) if aside::restore(&target)? => path = target,
                    _ => continue,
                }
            }
            match self.kind_of_entry(&path) {
                Some(format) => found.entry(format).or_default().push(path),
                None => others += 1,
            }
        }
        if found.len() > 1 {
            return Err(self.mixed(folder, found));
        }
        let Some((_, mut paths)) = found.pop_first() else {
            return Err(FormatError::new(
                ErrorKind::NotFound,
                "no file of a known format in the folder",
            )
            .at_path(folder)
            .help(match others {
                0 => "the folder is empty".to_owned(),
                n => format!("known are {}; other entries there: {n}", self.titles()),
            }));
        };
        pattern::sort(&mut paths);
        Ok(FileList::plain(paths))
    }

    /// The format of a folder's entry: by its name where that tells, else by its content.
    fn kind_of_entry(self, path: &Path) -> Option<usize> {
        if path.is_dir() {
            return self.0.iter().position(|format| format.recognises(path, &[]));
        }
        let extension = extension_of(path);
        let named = self.0.iter().position(|f| f.extensions().contains(&extension.as_str()));
        named.or_else(|| {
            let head = head_of(path).ok().filter(|head| !head.is_empty())?;
            self.0.iter().position(|format| format.recognises(path, &head))
        })
    }

    fn mixed(self, folder: &Path, found: BTreeMap<usize, Vec<PathBuf>>) -> FormatError {
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().display().to_string();
        let mut kinds = Vec::new();
        let mut glob = String::new();
        for (format, mut paths) in found {
            pattern::sort(&mut paths);
            let more = if paths.len() > 1 { ", …" } else { "" };
            kinds.push(format!(
                "{} {} ({}{more})",
                paths.len(),
                title(self.0[format]),
                name(&paths[0])
            ));
            if glob.is_empty() {
                glob = folder.join(format!("*.{}", extension_of(&paths[0]))).display().to_string();
            }
        }
        FormatError::new(
            ErrorKind::Invalid,
            format!("the folder holds files of several formats: {}", kinds.join(", ")),
        )
        .at_path(folder)
        .help(format!("choose with a glob, for example {glob}"))
    }

    fn is_array(self, folder: &Path) -> bool {
        self.0.iter().any(|format| format.recognises(folder, &[]))
    }

    fn format_of(self, path: &Path) -> Result<&'static dyn Format> {
        if url::of(path).is_some() {
            return self.format_behind_url(path);
        }
        let meta = fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => missing(path),
            _ => FormatError::io(e).at_path(path),
        })?;
        if !meta.is_dir() && !meta.is_file() {
            let message = "neither a file nor a folder: pipes and devices are not read";
            return Err(FormatError::new(ErrorKind::Unsupported, message).at_path(path));
        }
        let head = if meta.is_dir() { Vec::new() } else { head_of(path)? };
        if meta.is_file() && head.is_empty() {
            return Err(FormatError::new(ErrorKind::Corrupt, "the file is empty").at_path(path));
        }
        if let Some(format) = self.0.iter().copied().find(|f| f.recognises(path, &head)) {
            return Ok(format);
        }
        Err(self.unknown(if meta.is_dir() { "folder" } else { "file" }, path))
    }

    fn unknown(self, what: &str, path: &Path) -> FormatError {
        let error = FormatError::new(
            ErrorKind::Unsupported,
            format!("not a {what} of any known format: {}", self.titles()),
        );
        match self.left_out(&extension_of(path)) {
            Some(known) => error.help(feature_help(known)),
            None => error,
        }
        .at_path(path)
    }

    /// The format whose names end so, if this build lacks it.
    fn left_out(self, extension: &str) -> Option<&'static Known> {
        KNOWN.iter().find(|known| {
            known.extensions.contains(&extension) && self.0.iter().all(|f| f.name() != known.name)
        })
    }

    fn titles(self) -> String {
        self.0.iter().map(|format| title(*format)).collect::<Vec<_>>().join(", ")
    }
}

fn title(format: &'static dyn Format) -> &'static str {
    KNOWN.iter().find(|k| k.name == format.name()).map_or(format.name(), |k| k.title)
}

fn feature_help(known: &Known) -> String {
    format!("build freeboard with the feature `{}` for {} files", known.feature, known.title)
}

fn missing(path: &Path) -> FormatError {
    let error = FormatError::new(ErrorKind::NotFound, "no such file or folder").at_path(path);
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.exists() => {
            error.help(format!("the folder {}/ does not exist either", parent.display()))
        }
        _ => error,
    }
}

/// `PATH::ITEM` apart, unless a file has that very name.
fn split_item(location: &str) -> (&str, Option<&str>) {
    match location.rsplit_once("::") {
        Some((path, item)) if !path.is_empty() && fs::symlink_metadata(location).is_err() => {
            (path, Some(item).filter(|item| !item.is_empty()))
        }
        _ => (location, None),
    }
}

/// Opens one array of a file as the options say.
fn open_one(
    format: &dyn Format,
    path: &Path,
    item: Option<&str>,
    options: &OpenOptions,
) -> Result<Arc<dyn ChunkSource>> {
    let source = match options.blank {
        Blank::Nan => format.open(path, item),
        Blank::Mask => format.open_masked(path, item),
    }?;
    if options.decode_cf { cf::decoded(source) } else { Ok(source) }
}

/// The one item that all locations name, or none does.
fn one_item<'a>(items: impl IntoIterator<Item = Option<&'a str>>) -> Result<Option<&'a str>> {
    let mut items = items.into_iter();
    let first = items.next().flatten();
    if items.any(|other| other != first) {
        return Err(FormatError::new(
            ErrorKind::Invalid,
            "the files of a stack are read at one item, and several are named",
        )
        .help("name the same ::ITEM behind each location, or stack the arrays once opened"));
    }
    Ok(first)
}

fn extension_of(path: &Path) -> String {
    path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase()
}

/// The first bytes of a file, up to 1024.
fn head_of(path: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::with_capacity(1024);
    let file = StoredFile::open(path)?;
    Forwards::of(&file)
        .take(1024)
        .read_to_end(&mut head)
        .map_err(|e| FormatError::io(e).at_path(path))?;
    Ok(head)
}
