//! A plain primary image being written.
//!
//! The file has its full size from the start, so a disk that is too small is known before
//! the work; chunks are turned in scratch and written where they belong, in any order.

use super::{
    super::{convert::to_file_order, header::BLOCK},
    Output,
    cards::Cards,
    checksum,
};
use crate::{
    error::{ErrorKind, FormatError, Result},
    journal::{Noted, hash_of},
    region::{Coordinates, Dims, Region, volume},
    source::{Meta, ReadCx},
    view::{ChunkMut, ChunkView},
};
use serde_json::Value;
use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};
use xxhash_rust::xxh3::Xxh3;

/// Bytes that are turned and written at a time.
const PIECE: u64 = 1 << 20;

/// Chunks whose sums are kept while they are written, 4 bytes each; of more, the sum is
/// taken from the file in the end.
const MOST_SUMS: u64 = 1 << 18;

/// What a file with a primary image is like.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    meta: Meta,
    header: Vec<u8>,
    /// The bytes of the file.
    pub(super) end: u64,
}

impl Layout {
    /// The file for an array like `meta`.
    pub(super) fn new(meta: &Meta, cards: &[(String, Value)]) -> Result<Layout> {
        let mut header = Cards::default();
        header.value("SIMPLE", &true.into(), "conforms to the FITS standard");
        header.shape("", meta);
        header.value("EXTEND", &true.into(), "");
        header.rest(meta, cards)?;
        header.checksums();
        let header = header.finish();
        let end = meta
            .bytes()
            .and_then(|bytes| bytes.checked_next_multiple_of(BLOCK))
            .and_then(|bytes| bytes.checked_add(header.len() as u64))
            .filter(|&end| i64::try_from(end).is_ok())
            .ok_or_else(|| FormatError::new(ErrorKind::Limit, "larger than any file can be"))?;
        Ok(Layout { meta: meta.clone(), header, end })
    }

    /// Bytes of scratch that writing a chunk takes.
    pub(super) fn scratch(&self) -> u64 {
        self.meta.max_chunk_bytes().min(PIECE)
    }

    /// All that decides where chunks are stored, and as what.
    pub(super) fn describe(&self) -> String {
        format!("{} {:?}", String::from_utf8_lossy(&self.header), self.meta.grid)
    }

    /// Begins with a file that has its full size.
    pub(super) fn create(&self, file: File) -> Image {
        let chunks = self.meta.grid.len();
        let sums = (chunks <= MOST_SUMS).then(|| (0..chunks).map(|_| AtomicU32::new(0)).collect());
        Image { layout: self.clone(), file, sums, taken_over: AtomicBool::new(false) }
    }

    /// The pieces that a chunk is written in: each a box within the chunk that is contiguous in
    /// the file and not above the scratch, and where it begins there.
    fn pieces(&self, region: Region) -> impl Iterator<Item = (Region, u64)> {
        let shape = self.meta.shape();
        let size = self.meta.dtype.size() as u64;
        // A piece is one index of the axes before `along`, some of it, all of those after.
        let mut along = 0;
        while along + 1 < region.rank()
            && (region.shape[along + 1..] != shape[along + 1..]
                || volume(&region.shape[along + 1..]) * size > PIECE)
        {
            along += 1;
        }
        let mut piece = region.shape.clone();
        let (outer, step, count) = match region.rank() {
            0 => (0, 1, 1),
            rank => {
                let inner = volume(&region.shape[along + 1..rank]) * size;
                piece[..=along].fill(1);
                (along, (PIECE / inner.max(1)).max(1), region.shape[along])
            }
        };
        Coordinates::of(Region::whole(&region.shape[..outer])).flat_map(move |start| {
            let mut at = Dims::from_elem(0, region.rank());
            at[..outer].copy_from_slice(&start);
            let (region, shape, mut piece) = (region.clone(), shape.clone(), piece.clone());
            (0..count).step_by(step as usize).map(move |first| {
                if region.rank() > 0 {
                    at[along] = first;
                    piece[along] = step.min(count - first);
                }
                let element = at
                    .iter()
                    .zip(&region.start)
                    .zip(&shape)
                    .fold(0, |n, ((&at, &start), &len)| n * len + start + at);
                let part = Region { start: at.clone(), shape: piece.clone() };
                (part, self.header.len() as u64 + element * size)
            })
        })
    }
}

/// A file with a primary image.
#[derive(Debug)]
pub(super) struct Image {
    layout: Layout,
    file: File,
    /// The checksum of each chunk, where they are few enough.
    sums: Option<Box<[AtomicU32]>>,
    /// Whether chunks of an earlier store are among them, whose sums are not known.
    taken_over: AtomicBool,
}

impl Output for Image {
    fn write(&self, index: &[u64], data: ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<Noted> {
        let Layout { meta, .. } = &self.layout;
        let mut noted = Noted { chunk: meta.grid.linear_of(index), ..Noted::default() };
        let (mut hash, mut sum) = (Xxh3::new(), 0u64);
        for (part, offset) in self.layout.pieces(meta.grid.region(index)) {
            let len = part.volume() as usize * meta.dtype.size();
            let (scratch, rest) = cx.split_scratch(len);
            rest.cancel.check()?;
            ChunkMut::new(meta.dtype, scratch, &part.shape).assign(&data.sub(&part));
            to_file_order(meta.dtype, scratch);
            self.file.write_all_at(scratch, offset)?;
            hash.update(scratch);
            sum += u64::from(checksum::sum(scratch, offset));
            if noted.len == 0 {
                noted.offset = offset;
            }
            noted.len += len as u64;
        }
        noted.hash = hash.digest();
        if let Some(sums) = &self.sums {
            sums[noted.chunk as usize].store(checksum::fold(sum), Ordering::Relaxed);
        }
        Ok(noted)
    }

    fn is_intact(&self, noted: &Noted, cx: &mut ReadCx<'_>) -> Result<bool> {
        let Layout { meta, .. } = &self.layout;
        if noted.chunk >= meta.grid.len() {
            return Ok(false);
        }
        let region = meta.grid.region(&meta.grid.index_of(noted.chunk));
        let size = meta.dtype.size() as u64;
        let ranges = self.layout.pieces(region).map(|(part, at)| (at, part.volume() * size));
        let whole = hash_of(&self.file, ranges, cx)? == noted.hash;
        self.taken_over.fetch_or(whole, Ordering::Relaxed);
        Ok(whole)
    }

    fn finish(&self) -> Result<()> {
        let Layout { header, end, .. } = &self.layout;
        let sum = match &self.sums {
            Some(sums) if !self.taken_over.load(Ordering::Relaxed) => {
                checksum::fold(sums.iter().map(|sum| u64::from(sum.load(Ordering::Relaxed))).sum())
            }
            _ => checksum::of_file(&self.file, header.len() as u64..*end)?,
        };
        // The padding is there already: a reserved file reads as zeros.
        let mut header = header.clone();
        checksum::put(&mut header, sum);
        Ok(self.file.write_all_at(&header, 0)?)
    }
}
