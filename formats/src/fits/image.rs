//! Plain images: elements in C order, most significant byte first.
//!
//! A read makes as few and as long positioned reads as the region allows. Where pixel and
//! element have the same size, bytes go straight to their place and are turned there, a
//! piece at a time while it is in cache; otherwise, and where many short rows lie close
//! together, they go through a small scratch buffer and are converted on the way out of it.

use super::{
    convert::{Cells, Convert, Order},
    header::{BLOCK, Hdu, Header},
    input::{Input, Origin},
};
use crate::{
    error::{ErrorKind, FormatError, Result},
    missing::Blank,
    region::{Coordinates, Dims, Region, checked_volume, volume},
    source::{
        Attributes, ChunkSource, FileCache, Fingerprint, Meta, ReadCost, ReadCx, SourceSpec,
        Storage,
    },
    view::ChunkMut,
};
use std::{path::Path, sync::Arc};

/// Bytes that are read and converted at a time: half of a small second-level cache.
const PIECE: usize = 256 << 10;
/// Bytes between two rows that are cheaper to read than to skip with another call.
const GAP: u64 = 8 << 10;
/// Rows of at least this size are read straight to their place even if they lie together.
const LONG_ROW: u64 = 32 << 10;

/// A plain image in a file.
#[derive(Debug)]
pub(super) struct Image {
    origin: Arc<Origin>,
    meta: Meta,
    convert: Convert,
    data_start: u64,
}

impl Image {
    /// The image of `hdu`, checked against the length of the file.
    pub(super) fn new(path: &Path, hdu: &Hdu, file_bytes: u64, blank: Blank) -> Result<Image> {
        let header = &hdu.header;
        let bitpix = header.int("BITPIX")?.unwrap_or(0);
        let convert = Convert::new(bitpix, header, header.int("BLANK")?, blank)?;
        let shape = hdu.image_shape()?;
        super::check_shape(&shape)?;
        // Counts of groups, which images have one of, may tell of fewer bytes than there are pixels.
        let size = convert.stored.size() as u64;
        let pixels = checked_volume(&shape).and_then(|n| n.checked_mul(size));
        if !shape.is_empty() && pixels.is_none_or(|bytes| bytes > hdu.data_bytes) {
            let message = format!(
                "an image of shape {:?} in {} bytes of data, as GCOUNT and PCOUNT tell",
                shape.as_slice(),
                hdu.data_bytes
            );
            return Err(FormatError::new(ErrorKind::Corrupt, message));
        }
        let end = hdu.data_start.checked_add(hdu.data_bytes).filter(|&end| end <= file_bytes);
        if end.is_none() {
            return Err(FormatError::new(
                ErrorKind::Corrupt,
                format!(
                    "truncated: the image needs {} bytes from byte {} on, the file has {file_bytes}",
                    hdu.data_bytes, hdu.data_start
                ),
            ));
        }
        let mut meta = Meta::new(convert.dtype, super::chunk_grid(hdu, &shape, &[], convert.dtype));
        meta.attributes = Arc::new(image_cards(header));
        Ok(Image {
            origin: Arc::new(Origin::new(path, hdu)),
            meta,
            convert,
            data_start: hdu.data_start,
        })
    }

    fn steps(&self, region: &Region) -> Steps {
        let shape = self.meta.shape();
        let size = self.convert.stored.size() as u64;
        let (mut outer, mut row) = (region.rank(), size);
        while outer > 0 {
            outer -= 1;
            row *= region.shape[outer];
            if region.shape[outer] != shape[outer] {
                break;
            }
        }
        let pitch = size * volume(&shape[outer..]);
        let near = outer > 0 && pitch - row <= GAP && pitch <= PIECE as u64;
        let direct = self.convert.keeps_size();
        let (rows, scratch) = if near && !(direct && row >= LONG_ROW) {
            let most = (PIECE as u64 - row) / pitch + 1;
            let rows = most.min(region.shape[outer - 1]);
            (rows, (rows - 1) * pitch + row)
        } else if direct {
            (1, 0)
        } else {
            (1, row.min(PIECE as u64))
        };
        Steps { outer, row, pitch, rows, scratch: scratch as usize }
    }

    fn read_bytes(
        &self,
        input: &mut Input<'_>,
        bytes: &mut [u8],
        at: u64,
        cx: &ReadCx<'_>,
    ) -> Result<()> {
        cx.cancel.check()?;
        input.read(bytes, at).map_err(|e| self.origin.at(e))
    }

    /// Where the element at `at` begins in the file.
    fn offset(&self, at: impl IntoIterator<Item = u64>) -> u64 {
        let axes = self.meta.grid.axes().iter().zip(at);
        let element = axes.fold(0, |n, (axis, at)| n * axis.len() + at);
        self.data_start + element * self.convert.stored.size() as u64
    }

    /// Reads one row (contiguous in the file, from byte `at` on) into `out`, or converts it
    /// from `loaded` where it was read with others.
    fn row(
        &self,
        mut out: ChunkMut<'_>,
        mut at: u64,
        loaded: Option<&[u8]>,
        input: &mut Input<'_>,
        cx: &mut ReadCx<'_>,
    ) -> Result<()> {
        let (stored, size) = (self.convert.stored.size(), self.convert.dtype.size());
        let mut done = 0;
        out.try_for_each_run(|_, run| {
            for piece in run.chunks_mut(PIECE / stored * size) {
                let bytes = piece.len() / size * stored;
                match loaded {
                    Some(row) => {
                        self.convert
                            .apply(Cells::Into(&row[done..done + bytes], piece), Order::Big);
                    }
                    None if stored == size => {
                        self.read_bytes(input, piece, at, cx)?;
                        self.convert.apply(Cells::InPlace(piece), Order::Big);
                    }
                    None => {
                        let (scratch, rest) = cx.split_scratch(bytes);
                        self.read_bytes(input, scratch, at, &rest)?;
                        self.convert.apply(Cells::Into(scratch, piece), Order::Big);
                    }
                }
                done += bytes;
                at += bytes as u64;
            }
            Ok(())
        })
    }
}

/// The cards of the image, without sums that hold for the file alone.
fn image_cards(header: &Header) -> Attributes {
    let mut cards = header.values().clone();
    cards.retain(|name, _| !matches!(name.as_str(), "CHECKSUM" | "DATASUM"));
    cards
}

/// How a region is read.
struct Steps {
    /// The axes before this one are stepped through; the others make a row.
    outer: usize,
    /// Bytes of a row in the file; rows are contiguous.
    row: u64,
    /// Bytes from row to row along the last of the outer axes.
    pitch: u64,
    /// Rows that are read together, with what lies between them.
    rows: u64,
    /// Bytes of scratch.
    scratch: usize,
}

impl ChunkSource for Image {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        if region.is_empty() {
            return ReadCost::default();
        }
        let steps = self.steps(region);
        let rows = volume(&region.shape[..steps.outer]);
        let groups = rows / steps.rows;
        let cost = ReadCost {
            bytes: groups * ((steps.rows - 1) * steps.pitch) + rows * steps.row
                - groups * (steps.rows - 1) * steps.row,
            decoded: region.volume() * self.meta.dtype.size() as u64,
            scratch: steps.scratch as u64,
        };
        let (stored, size) = (self.convert.stored.size(), self.meta.dtype.size());
        let start = self.offset(region.start.iter().copied());
        let last = region.start.iter().zip(&region.shape).map(|(start, len)| start + len - 1);
        let end = self.offset(last) + stored as u64;
        self.origin.cost(cost, start, end, size as f64 / stored as f64)
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        let file = self.origin.open(cx.files)?;
        let mut input = self.origin.input(&file);
        let Steps { outer, row, pitch, rows, .. } = self.steps(region);
        // The axis along which rows are taken together is the last of the outer ones.
        let (banks, along) = match outer {
            0 => (0, 1),
            _ => (outer - 1, region.shape[outer - 1]),
        };
        let mut at = Dims::from_elem(0, region.rank());
        let mut one_row = region.shape.clone();
        one_row[..outer].fill(1);
        for bank in Coordinates::of(Region::whole(&region.shape[..banks])) {
            at[..banks].copy_from_slice(&bank);
            for first in (0..along).step_by(rows as usize) {
                let count = rows.min(along - first);
                if outer > 0 {
                    at[banks] = first;
                }
                let start = self.offset(at.iter().zip(&region.start).map(|(at, start)| at + start));
                if rows == 1 {
                    let part = out.sub(&Region { start: at.clone(), shape: one_row.clone() });
                    self.row(part, start, None, &mut input, cx)?;
                    continue;
                }
                let (scratch, mut rest) = cx.split_scratch(((count - 1) * pitch + row) as usize);
                self.read_bytes(&mut input, scratch, start, &rest)?;
                for i in 0..count {
                    at[banks] = first + i;
                    let part = out.sub(&Region { start: at.clone(), shape: one_row.clone() });
                    let from = (i * pitch) as usize;
                    let loaded = &scratch[from..from + row as usize];
                    self.row(part, start, Some(loaded), &mut input, &mut rest)?;
                }
            }
        }
        Ok(())
    }

    fn mask(&self) -> Option<Arc<dyn ChunkSource>> {
        let convert = self.convert.mask()?;
        let meta = Meta::new(convert.dtype, self.meta.grid.clone());
        let (origin, data_start) = (self.origin.clone(), self.data_start);
        Some(Arc::new(Image { origin, meta, convert, data_start }))
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(self.origin.fingerprint(&self.convert))
    }

    fn version(&self, _: &Region, files: &FileCache) -> Result<Option<Fingerprint>> {
        match self.origin.is_zipped() {
            true => self.origin.version(files),
            false => Ok(None),
        }
    }

    fn spec(&self) -> SourceSpec {
        self.origin.spec(&self.convert)
    }

    fn storage(&self) -> Storage {
        let elements = checked_volume(&self.meta.shape()).unwrap_or(0);
        let bytes = elements * self.convert.stored.size() as u64;
        let (codec, bytes) = self.origin.storage("", bytes.next_multiple_of(BLOCK));
        Storage { format: "FITS".into(), codec, files: 1, bytes: Some(bytes) }
    }

    fn held(&self) -> u64 {
        self.origin.held() + self.meta.held()
    }
}
