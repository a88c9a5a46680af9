//! TIFF and BigTIFF: pages of strips or tiles, each of which is decoded by itself.
//!
//! Pages that are alike are one array with an axis of pages in front; of pages that differ,
//! `PATH::N` names one. Elements are as they are stored: palettes are not applied, and where
//! white is 0 it stays so. Directories are read once; a strip costs the read of its place and one
//! of its bytes. What is not compressed is read in place, any box of it.
//!
//! | file | owns |
//! |---|---|
//! | `directory` | what a page is like, and where its strips lie |
//! | `codec` | from the bytes of a strip to elements |

mod codec;
mod directory;

use super::{corrupt, not_written, open_file};
use crate::{
    dtype::Scalar,
    error::{ErrorKind, FormatError, Result},
    files::Stamp,
    grid::{AxisGrid, Grid, VIRTUAL_CHUNK},
    raw::{RawArray, window_bytes},
    region::Region,
    source::{
        Attributes, ChunkSource, FileCache, Fingerprint, Format, Item, Meta, ReadCost, ReadCx,
        SourceSpec, Storage, WriteOptions, Writer,
    },
    stored::{StoredFile, foreign_bytes},
    view::{ChunkMut, ChunkView},
};
use codec::{decode, expand, most_encoded, restore};
use directory::{Directories, Header, Layout, Places, Values, read_at};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The format TIFF.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tiff;

impl Format for Tiff {
    fn name(&self) -> &'static str {
        "tiff"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["tif", "tiff"]
    }

    fn recognises(&self, _: &Path, head: &[u8]) -> bool {
        [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|magic| head.starts_with(*magic))
    }

    fn list(&self, path: &Path) -> Result<Vec<Item>> {
        let directories = directories(path)?;
        let pages = match together(&directories) {
            true => vec![(String::new(), Pages::all(path, directories))],
            false => (0..directories.pages.len())
                .map(|page| (page.to_string(), Pages::one(path, &directories, page)))
                .collect(),
        };
        let item = |(name, pages): (String, Pages)| {
            let storage = pages.storage();
            Item { name, meta: pages.meta, storage }
        };
        Ok(pages.into_iter().map(item).collect())
    }

    fn open(&self, path: &Path, item: Option<&str>) -> Result<Arc<dyn ChunkSource>> {
        let directories = directories(path)?;
        let count = directories.pages.len();
        match item.filter(|item| !item.is_empty()) {
            None if together(&directories) => Ok(Arc::new(Pages::all(path, directories))),
            None => {
                let message = format!("its {count} pages differ in shape or dtype");
                Err(FormatError::new(ErrorKind::Invalid, message)
                    .at_path(path)
                    .help(format!("name one: ::0 to ::{}", count - 1)))
            }
            Some(item) => match item.parse().ok().filter(|&page| page < count) {
                Some(page) => Ok(Arc::new(Pages::one(path, &directories, page))),
                None => {
                    let message = format!("there is no page {item:?}");
                    Err(FormatError::new(ErrorKind::NotFound, message)
                        .at_path(path)
                        .help(format!("it has the pages 0 to {}", count - 1)))
                }
            },
        }
    }

    fn is_written(&self) -> bool {
        false
    }

    fn writer(&self, path: &Path, options: &WriteOptions) -> Result<Arc<dyn Writer>> {
        not_written(path, "TIFF", options)
    }
}

fn directories(path: &Path) -> Result<Directories> {
    let (file, stamp, len) = open_file(path)?;
    Directories::read(&file, stamp, len).map_err(|e| e.at_path(path))
}

/// Whether all pages are alike, and so make one array.
fn together(directories: &Directories) -> bool {
    directories.pages.iter().all(|(layout, _)| *layout == directories.pages[0].0)
}

/// One page, or all.
#[derive(Debug)]
struct Pages {
    path: PathBuf,
    stamp: Stamp,
    header: Header,
    layout: Layout,
    places: Box<[Places]>,
    /// The number of the one page; without, there is an axis of pages where there are several.
    page: Option<usize>,
    meta: Meta,
}

impl Pages {
    fn all(path: &Path, directories: Directories) -> Pages {
        let Directories { stamp, header, pages, attributes } = directories;
        let layout = pages[0].0;
        let places = pages.into_iter().map(|(_, places)| places).collect();
        Pages::new(path, (stamp, header), layout, places, None, attributes)
    }

    fn one(path: &Path, directories: &Directories, page: usize) -> Pages {
        let (layout, places) = directories.pages[page];
        let attributes = match page {
            0 => directories.attributes.clone(),
            _ => Attributes::new(),
        };
        let file = (directories.stamp, directories.header);
        Pages::new(path, file, layout, [places].into(), Some(page), attributes)
    }

    fn new(
        path: &Path,
        (stamp, header): (Stamp, Header),
        layout: Layout,
        places: Box<[Places]>,
        page: Option<usize>,
        attributes: Attributes,
    ) -> Pages {
        let Layout { height, width, channels, tile: (rows, columns), .. } = layout;
        let size = channels * layout.dtype.size() as u64;
        // Whole strips or tiles, as many as make a chunk; along the width where a row of tiles is
        // too large.
        let across = (VIRTUAL_CHUNK / (rows * columns * size)).clamp(1, width.div_ceil(columns));
        let wide = (across * columns).min(width);
        let down = (VIRTUAL_CHUNK / (rows * wide * size)).max(1);
        let mut axes = vec![
            ("y", AxisGrid::regular(height, rows.saturating_mul(down).min(height))),
            ("x", AxisGrid::regular(width, wide)),
        ];
        if places.len() > 1 {
            axes.insert(0, ("page", AxisGrid::regular(places.len() as u64, 1)));
        }
        if channels > 1 {
            axes.push(("channel", AxisGrid::whole(channels)));
        }
        let (names, axes): (Vec<&str>, Vec<AxisGrid>) = axes.into_iter().unzip();
        let mut meta = Meta::new(layout.dtype, Grid::new(axes));
        meta.axes = names.into_iter().map(str::to_owned).collect();
        meta.attributes = Arc::new(attributes);
        Pages { path: path.to_owned(), stamp, header, layout, places, page, meta }
    }

    /// The most bytes of the file that a strip or tile may take.
    fn encoded(&self) -> u64 {
        most_encoded(self.layout.tile_bytes()).min(self.header.len)
    }

    /// Bytes of scratch that reading takes.
    fn scratch(&self) -> u64 {
        let layout = &self.layout;
        if layout.is_raw() {
            return window_bytes(layout.bytes()) + foreign_bytes(&self.path);
        }
        let expanded = match layout.bits {
            8.. => 0,
            _ => layout.tile.0 * layout.tile.1 * layout.samples(),
        };
        [self.encoded(), layout.tile_bytes(), layout.row_bytes(), expanded]
            .into_iter()
            .fold(foreign_bytes(&self.path), |sum, len| {
                sum.saturating_add(len.saturating_add(63) / 64 * 64)
            })
    }

    /// Reads the box `inner` of a page, (y, x, channel), into `out`.
    fn read_page(
        &self,
        places: &Places,
        inner: &Region,
        mut out: ChunkMut<'_>,
        cx: &mut ReadCx<'_>,
    ) -> Result<()> {
        let file = cx.files.open_unchanged(&self.path, self.stamp)?;
        let layout = &self.layout;
        let (rows, columns) = layout.tile;
        let (down, across) = layout.tiles();
        let mut offsets = Entries::new(&file, self.header, places.offsets);
        let mut lengths = places.lengths.map(|of| Entries::new(&file, self.header, of));
        let (ys, xs, channels) = (inner.range(0), inner.range(1), inner.range(2));
        let planes = if layout.planar { channels } else { 0..1 };
        for plane in planes {
            let (first, behind) = (ys.start / rows, ys.end.div_ceil(rows));
            let mut row = first;
            while row < behind {
                cx.cancel.check()?;
                // Strips that lie one behind the other are read as one.
                let mut together = 1;
                for column in xs.start / columns..xs.end.div_ceil(columns) {
                    let number = (plane * down + row) * across + column;
                    let offset = offsets.get(number)?;
                    if layout.is_raw() && !layout.tiled {
                        while row + together < behind
                            && offset > 0
                            && offsets.get(number + together)?
                                == offset.saturating_add(together * layout.tile_bytes())
                        {
                            together += 1;
                        }
                    }
                    let (y, x) = (row * rows, column * columns);
                    // Tiles reach beyond the edges of the page, strips do not.
                    let height = (rows * together).min(layout.height - y);
                    let width = columns.min(layout.width - x);
                    let (plane, count) =
                        if layout.planar { (plane, 1) } else { (0, layout.channels) };
                    let tile =
                        Region::new([y, x, plane].as_slice(), [height, width, count].as_slice());
                    let Some(part) = tile.intersection(inner) else { continue };
                    let from = part.relative_to(&tile.start);
                    let mut out = out.sub(&part.relative_to(&inner.start));
                    let length = lengths.as_mut().map(|lengths| lengths.get(number)).transpose()?;
                    if offset == 0 && length.is_none_or(|length| length == 0) {
                        // What GDAL leaves out because nothing is there.
                        out.fill(Scalar::U8(0));
                    } else if layout.is_raw() {
                        let stored = if layout.tiled { rows } else { height };
                        let end = offset.saturating_add(stored * layout.row_bytes());
                        if end > self.header.len {
                            let message = format!("strip or tile {number} lies outside the file");
                            return Err(corrupt(message));
                        }
                        let raw = RawArray {
                            file: &*file,
                            base: offset,
                            shape: &[stored, columns, count],
                            dtype: layout.dtype,
                            swap: self.swap(),
                        };
                        let window = window_bytes(layout.bytes()) as usize;
                        raw.read(&from, &mut out, cx.split_scratch(window).0)?;
                    } else {
                        let length = length.unwrap_or(u64::MAX);
                        let height = if layout.tiled { rows } else { height };
                        let here = |e: FormatError| e.at(format_args!("strip or tile {number}"));
                        self.read_tile(&file, (offset, length), height, &from, out, cx)
                            .map_err(here)?;
                    }
                }
                row += together;
            }
        }
        Ok(())
    }

    /// Decodes the strip or tile at `place`, of `height` rows, and takes the box `from` of it.
    fn read_tile(
        &self,
        file: &StoredFile,
        (offset, length): (u64, u64),
        height: u64,
        from: &Region,
        mut out: ChunkMut<'_>,
        cx: &mut ReadCx<'_>,
    ) -> Result<()> {
        let layout = &self.layout;
        let length = match length {
            // What is packed bits alone has the length that its shape gives.
            u64::MAX => layout.row_bytes() * height,
            length => length,
        };
        if length > self.encoded() {
            let message = format!("{length} bytes for {} once decoded", layout.tile_bytes());
            return Err(corrupt(message));
        }
        let (encoded, mut cx) = cx.split_scratch(length as usize);
        let (rows, mut cx) = cx.split_scratch(layout.tile_bytes() as usize);
        let (spare, cx) = cx.split_scratch(layout.row_bytes() as usize);
        read_at(file, encoded, offset)?;
        let wanted = (height * layout.row_bytes()) as usize;
        let given = decode(layout.compression, encoded, rows)?;
        if given < wanted {
            return Err(corrupt(format!("it holds {given} bytes where {wanted} belong")));
        }
        let rows = &mut rows[..wanted];
        let shape = [height, layout.tile.1, layout.samples()];
        let elements = if layout.bits < 8 {
            let len = shape.iter().product::<u64>() as usize;
            let expanded = &mut cx.scratch[..len];
            expand(layout, rows, expanded);
            expanded
        } else {
            restore(layout, self.swap(), rows, spare);
            rows
        };
        out.assign(&ChunkView::new(layout.dtype, elements, &shape).sub(from));
        Ok(())
    }

    /// Whether bytes are in the other order than this machine's.
    fn swap(&self) -> bool {
        self.header.big_endian != cfg!(target_endian = "big")
    }
}

/// Entries of a list in the file, read some at a time.
struct Entries<'a> {
    file: &'a StoredFile,
    header: Header,
    values: Values,
    first: u64,
    count: usize,
    some: [u64; 128],
}

impl<'a> Entries<'a> {
    fn new(file: &'a StoredFile, header: Header, values: Values) -> Entries<'a> {
        Entries { file, header, values, first: 0, count: 0, some: [0; 128] }
    }

    fn get(&mut self, number: u64) -> Result<u64> {
        if !(self.first..self.first + self.count as u64).contains(&number) {
            self.count = self.header.values(self.file, &self.values, number, &mut self.some)?;
            self.first = number;
        }
        let at = (number - self.first) as usize;
        self.some[..self.count].get(at).copied().ok_or_else(|| corrupt("a list is too short"))
    }
}

impl ChunkSource for Pages {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        if region.is_empty() {
            return ReadCost::default();
        }
        let layout = &self.layout;
        let axis = usize::from(self.places.len() > 1);
        let (rows, columns) = if layout.is_raw() { (1, 1) } else { layout.tile };
        let cover = |axis: usize, step: u64, len: u64| {
            let range = region.range(axis);
            (range.end.div_ceil(step) * step).min(len) - range.start / step * step
        };
        let pages = if axis == 1 { region.shape[0] } else { 1 };
        let decoded = cover(axis, rows, layout.height)
            * cover(axis + 1, columns, layout.width)
            * layout.channels
            * layout.dtype.size() as u64
            * pages;
        let whole = self.meta.bytes().unwrap_or(u64::MAX).max(1);
        let bytes = match layout.is_raw() {
            true => decoded,
            false => (u128::from(self.header.len) * u128::from(decoded) / u128::from(whole)) as u64,
        };
        ReadCost { bytes, decoded, scratch: self.scratch() }
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        let here = |e: FormatError| e.at_path(&self.path);
        cx.check_size("a strip or tile", self.scratch()).map_err(here)?;
        let many = self.places.len() > 1;
        // A page is (y, x, channel), whatever axes the array has.
        let mut inner =
            if many { Region::new(&region.start[1..], &region.shape[1..]) } else { region.clone() };
        if self.layout.channels == 1 {
            inner.start.push(0);
            inner.shape.push(1);
        }
        let pages = if many { region.range(0) } else { 0..1 };
        for page in pages.clone() {
            let mut part = Region::whole(&region.shape);
            if many {
                (part.start[0], part.shape[0]) = (page - pages.start, 1);
            }
            let out = out.sub(&part).with_unit_axes(&inner.shape);
            let number = self.page.unwrap_or(page as usize);
            self.read_page(&self.places[page as usize], &inner, out, cx)
                .map_err(|e| here(e.at(format_args!("page {number}"))))?;
        }
        Ok(())
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(self.stamp.fingerprint(&self.path))
    }

    fn version(&self, _: &Region, files: &FileCache) -> Result<Option<Fingerprint>> {
        match self.layout.is_raw() {
            true => Ok(None),
            false => files.version(&self.path, self.stamp),
        }
    }

    fn spec(&self) -> SourceSpec {
        let path = self.path.display();
        let location = match self.page {
            Some(page) => format!("{path}::{page}"),
            None => path.to_string(),
        };
        SourceSpec { format: "tiff".into(), location, ..SourceSpec::default() }
    }

    fn storage(&self) -> Storage {
        let (format, codec) = ("TIFF".to_owned(), self.layout.codec().to_owned());
        Storage { format, codec, files: 1, bytes: Some(self.header.len) }
    }
}
