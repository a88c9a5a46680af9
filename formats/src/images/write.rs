//! PNG files to look at, or folders of them: arrays (y, x) and (y, x, channel) of `uint8` and
//! `uint16`, as they are.
//!
//! A picture is written in strips of rows, each compressed by itself, by any thread, in any
//! order: a strip ends where a byte does (deflate's sync flush), so strips can be joined. They are
//! kept in a nameless file beside the output until all are there. PNG is the W3C's
//! recommendation, third edition (2025); how checksums are joined is zlib's `adler32_combine`.

use super::corrupt;
use crate::{
    dtype::DType,
    each::{FrameWriter, Names},
    error::{ErrorKind, FormatError, Result},
    grid::{AxisGrid, Grid},
    journal::ChunkSet,
    region::{Dims, Region},
    source::{ChunkSink, Meta, ReadCx, WriteOptions, Writer, Written},
    staging::{Mode, Staging},
    view::{ChunkMut, ChunkView},
};
use libdeflater::{adler32, crc32};
use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress, create_comp_flags_from_zip_params,
};
use std::{
    cell::RefCell,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Bytes of a strip, about.
const STRIP: u64 = 1 << 20;
/// The most bytes of a strip that follows the chunks of its array.
const LARGEST_STRIP: u64 = 8 << 20;
/// The level of deflate where none is named.
const LEVEL: u8 = 6;
/// The most bytes of a row: a block of a PNG file has below 2^31.
const LARGEST_ROW: u64 = 1 << 30;

thread_local! {
    /// The level, and the compressor, which has about 300 KiB.
    static COMPRESSOR: RefCell<Option<(u8, Box<CompressorOxide>)>> = const { RefCell::new(None) };
}

/// Writes an array as a PNG file, or a folder of such files; made by
/// [`Png::create`](super::Png::create).
///
/// Arrays (y, x) and (y, x, channel) of `uint8` and `uint16` are written, one channel (grey),
/// two (grey and alpha), three (red, green, blue) or four (and alpha). A file name with fields,
/// `out/{i:04d}.png`, stands for one file for each position along the leading axes, as of FITS.
#[derive(Clone, Debug)]
pub struct PngWriter {
    path: PathBuf,
    mode: Mode,
    level: u8,
}

impl PngWriter {
    pub(super) fn new(path: PathBuf) -> PngWriter {
        PngWriter { path, mode: Mode::default(), level: LEVEL }
    }

    /// The level of deflate, 0 (none) to 9.
    #[must_use]
    pub fn deflate(mut self, level: u8) -> PngWriter {
        self.level = level.min(9);
        self
    }

    /// Replaces an output that exists.
    #[must_use]
    pub fn overwrite(mut self) -> PngWriter {
        self.mode.overwrite = true;
        self
    }

    /// Waits for the disk before the output is visible, so that it survives a loss of power.
    #[must_use]
    pub fn durable(mut self) -> PngWriter {
        self.mode.durable = true;
        self
    }

    /// What a user asks for by name.
    pub(super) fn options(mut self, options: &WriteOptions) -> Result<PngWriter> {
        options.check_plain(&self.path)?;
        let refuse = |kind, message: String, help: &str| {
            Err(FormatError::new(kind, message).at_path(&self.path).help(help))
        };
        if options.chunks.is_some() {
            let message = "PNG files have no chunks".to_owned();
            return refuse(ErrorKind::Invalid, message, "leave out the lengths of chunks");
        }
        if options.resume {
            let message = "stores of PNG files cannot resume".to_owned();
            let help = "leave out --resume (`resume`), or write a plain FITS image or Zarr";
            return refuse(ErrorKind::Unsupported, message, help);
        }
        let level = match options.codec.as_deref().map(|codec| codec.split_once(':').ok_or(codec)) {
            None | Some(Err("deflate")) => Some(LEVEL),
            Some(Err("none")) => Some(0),
            Some(Ok(("deflate", level))) => level.parse().ok().filter(|level| *level <= 9),
            Some(_) => None,
        };
        let Some(level) = level else {
            let codec = options.codec.as_deref().unwrap_or_default();
            let message = format!("PNG files are not compressed by '{codec}'");
            let help = "known are none, deflate and deflate:LEVEL with a level of 0 to 9";
            return refuse(ErrorKind::Unsupported, message, help);
        };
        self.level = level;
        self.mode.overwrite = options.overwrite;
        self.mode.durable = options.durable;
        Ok(self)
    }
}

impl PngWriter {
    /// The picture, or each of the pictures, of an array like `meta`, which is cut for the output.
    fn layout(&self, meta: &Meta) -> Result<Layout> {
        if let Some(names) = Names::of(&self.path)? {
            return Layout::new(&names.frame(meta)?, self.level);
        }
        let layout = Layout::new(meta, self.level)?;
        Ok(Layout { rows: meta.grid.max_chunk()[0], ..layout })
    }
}

impl Writer for PngWriter {
    fn grid(&self, meta: &Meta) -> Result<Grid> {
        let at = |e: FormatError| e.at_path(&self.path);
        if let Some(names) = Names::of(&self.path)? {
            return names.grid(meta, None).map_err(at);
        }
        let layout = Layout::new(meta, self.level).map_err(at)?;
        // Strips as high as the array's chunks, unless those are large.
        let chunk = meta.grid.max_chunk()[0].max(1);
        let rows = if chunk * layout.stride <= LARGEST_STRIP { chunk } else { layout.rows };
        let shape = meta.shape();
        let axes = shape[1..].iter().map(|&len| AxisGrid::whole(len));
        Ok(Grid::new([AxisGrid::regular(shape[0], rows)].into_iter().chain(axes)))
    }

    fn scratch(&self, meta: &Meta) -> Result<u64> {
        self.layout(meta).map(|layout| layout.scratch()).map_err(|e| e.at_path(&self.path))
    }

    fn create(&self, meta: &Meta) -> Result<Arc<dyn ChunkSink>> {
        let at = |e: FormatError| e.at_path(&self.path);
        let layout = self.layout(meta).map_err(at)?;
        if let Some(names) = Names::of(&self.path)? {
            return names.create(self.mode, meta, Box::new(layout)).map_err(at);
        }
        let staging = Staging::create(&self.path, self.mode)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let spool =
            tempfile::tempfile_in(folder.unwrap_or(Path::new("."))).map_err(|e| at(e.into()))?;
        Ok(Arc::new(PngSink {
            path: self.path.clone(),
            meta: meta.clone(),
            layout,
            spool,
            end: AtomicU64::new(0),
            strips: Mutex::new(vec![Strip::default(); meta.grid.len() as usize].into()),
            written: ChunkSet::new(meta.grid.len()),
            staging,
        }))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// What a picture will be like.
#[derive(Clone, Debug)]
struct Layout {
    dtype: DType,
    height: u64,
    width: u64,
    channels: u64,
    /// Bytes of a row.
    stride: u64,
    /// The most rows of a strip.
    rows: u64,
    level: u8,
}

/// A strip, compressed.
#[derive(Clone, Copy, Debug, Default)]
struct Strip {
    /// Where it lies in the spool.
    offset: u64,
    len: u64,
    /// The checksum of its bytes before they were compressed, and their number.
    sum: u32,
    bytes: u64,
}

impl Layout {
    /// The picture of an array like `meta`.
    fn new(meta: &Meta, level: u8) -> Result<Layout> {
        let shape = meta.shape();
        let refuse = |message: String, help: &str| {
            Err(FormatError::new(ErrorKind::Invalid, message).help(help))
        };
        if !matches!(meta.dtype, DType::U8 | DType::U16) {
            let message = format!("elements of {} are no shades of a picture", meta.dtype);
            let help = "scale them to uint8 first, as `freeboard::picture` does, or convert them to uint16";
            return refuse(message, help);
        }
        let (height, width, channels) = match shape[..] {
            [height, width] => (height, width, 1),
            [height, width, channels @ 1..=4] => (height, width, channels),
            _ => {
                let message = format!(
                    "a picture has the axes (y, x) or (y, x, 1 to 4 channels), not the shape {:?}",
                    shape.as_slice()
                );
                let help = "take a part (--slice '0, ...'), or write a file each: out/{i:04d}.png";
                return refuse(message, help);
            }
        };
        let most = i32::MAX as u64;
        let stride = width.saturating_mul(channels * meta.dtype.size() as u64);
        if !(1..=most).contains(&height) || !(1..=most).contains(&width) || stride > LARGEST_ROW {
            return refuse(
                format!("no PNG file has the shape {:?}", shape.as_slice()),
                "take a part of it",
            );
        }
        let rows = (STRIP / stride).clamp(1, height);
        Ok(Layout { dtype: meta.dtype, height, width, channels, stride, rows, level })
    }

    /// The most bytes that a strip of `bytes` becomes: blocks that are stored have 5 bytes more
    /// each, and miniz_oxide's have from 30 KiB on.
    fn most(bytes: u64) -> u64 {
        bytes + bytes / 8 + 1024
    }

    /// Bytes of rows, of rows with their filters, and of what they become.
    fn parts(&self) -> [u64; 3] {
        let rows = self.rows * self.stride;
        [rows, rows + self.rows, Layout::most(rows + self.rows)]
    }

    fn scratch(&self) -> u64 {
        self.parts().iter().map(|len| len.next_multiple_of(64)).sum()
    }

    /// What comes before the strips.
    fn head(&self) -> Vec<u8> {
        let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
        let depth = 8 * self.dtype.size() as u8;
        let color = [0, 4, 2, 6][self.channels as usize - 1];
        let mut header = Vec::with_capacity(13);
        header.extend((self.width as u32).to_be_bytes());
        header.extend((self.height as u32).to_be_bytes());
        header.extend([depth, color, 0, 0, 0]);
        push_block(&mut out, b"IHDR", &header);
        // The beginning of a stream of zlib with a window of 32 KiB.
        push_block(&mut out, b"IDAT", &[0x78, 0x01]);
        out
    }

    /// What comes behind the strips: an empty last block, and the checksum of all.
    fn tail(sum: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let mut end = vec![0x01, 0, 0, 0xff, 0xff];
        end.extend(sum.to_be_bytes());
        push_block(&mut out, b"IDAT", &end);
        push_block(&mut out, b"IEND", &[]);
        out
    }

    /// Compresses rows; the strip as it lies in the file, and what is noted of it.
    fn encode<'a>(
        &self,
        data: &ChunkView<'_>,
        cx: &'a mut ReadCx<'_>,
    ) -> Result<(&'a [u8], Strip)> {
        cx.cancel.check()?;
        let (stride, count) = (self.stride as usize, data.shape()[0] as usize);
        let [rows, filtered, packed] = self.parts().map(|len| len as usize);
        let (rows, cx) = cx.split_scratch(rows);
        let ReadCx { scratch, .. } = cx;
        let (filtered, scratch) = scratch.split_at_mut(filtered.next_multiple_of(64));
        let packed = &mut scratch[..packed];
        let rows = &mut rows[..count * stride];
        ChunkMut::new(self.dtype, rows, data.shape()).assign(data);
        if self.dtype == DType::U16 {
            let pairs = rows.as_chunks_mut::<2>().0;
            pairs.iter_mut().for_each(|pair| *pair = u16::from_ne_bytes(*pair).to_be_bytes());
        }
        let filtered = &mut filtered[..count * (stride + 1)];
        let pixel = self.channels as usize * self.dtype.size();
        for (y, out) in filtered.chunks_exact_mut(stride + 1).enumerate() {
            let above = y.checked_sub(1).map(|above| &rows[above * stride..][..stride]);
            filter(&rows[y * stride..][..stride], above, pixel, out);
        }
        let len = deflate(filtered, &mut packed[8..], self.level)?;
        finish_block(packed, b"IDAT", len);
        let len = len as u64 + 12;
        let (sum, bytes) = (adler32(filtered), filtered.len() as u64);
        Ok((&packed[..len as usize], Strip { offset: 0, len, sum, bytes }))
    }
}

/// Appends a block of a PNG file: its length, type, content and checksum.
fn push_block(out: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) {
    let start = out.len();
    out.extend([0; 8]);
    out.extend(content);
    out.extend([0; 4]);
    finish_block(&mut out[start..], kind, content.len());
}

/// Writes what stands around the `len` bytes from the ninth on.
fn finish_block(block: &mut [u8], kind: &[u8; 4], len: usize) {
    block[..4].copy_from_slice(&(len as u32).to_be_bytes());
    block[4..8].copy_from_slice(kind);
    let sum = crc32(&block[4..8 + len]);
    block[8 + len..12 + len].copy_from_slice(&sum.to_be_bytes());
}

/// Compresses `input` so that more may follow: blocks of deflate, none of them the last.
fn deflate(input: &[u8], out: &mut [u8], level: u8) -> Result<usize> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some((of, compressor)) if *of == level => {
                compressor.reset();
                compressor
            }
            _ => {
                // Without zlib's header: the strips share one.
                let flags = create_comp_flags_from_zip_params(level.into(), -15, 0);
                &mut kept.insert((level, Box::new(CompressorOxide::new(flags)))).1
            }
        };
        let (status, read, written) = compress(compressor, input, out, TDEFLFlush::Sync);
        // With no room left it may not have been all.
        match status == TDEFLStatus::Okay && read == input.len() && written < out.len() {
            true => Ok(written),
            false => Err(corrupt("a strip grows beyond what deflate makes of it")),
        }
    })
}

/// How bytes of a row are told: by what they differ from the pixel before, the row above, both.
#[derive(Clone, Copy)]
enum Filter {
    None,
    Sub,
    Up,
    Paeth,
}

impl Filter {
    /// The filtered bytes.
    fn of<'a>(
        self,
        row: &'a [u8],
        above: Option<&'a [u8]>,
        pixel: usize,
    ) -> impl Iterator<Item = u8> + 'a {
        let up = move |at: usize| above.map_or(0, |above| above[at]);
        row.iter().enumerate().map(move |(at, &byte)| {
            let before = |of: &[u8]| if at < pixel { 0 } else { of[at - pixel] };
            byte.wrapping_sub(match self {
                Filter::None => 0,
                Filter::Sub => before(row),
                Filter::Up => up(at),
                Filter::Paeth => paeth(before(row), up(at), above.map_or(0, before)),
            })
        })
    }
}

/// The neighbour that is nearest to left + above - corner (PNG, section 9.4).
fn paeth(left: u8, above: u8, corner: u8) -> u8 {
    let [a, b, c] = [left, above, corner].map(i16::from);
    let [to_a, to_b, to_c] = [a, b, c].map(|of| (a + b - c - of).abs());
    if to_a <= to_b && to_a <= to_c {
        left
    } else if to_b <= to_c {
        above
    } else {
        corner
    }
}

/// Writes the filter's number and the filtered row, by the filter whose differences are least in
/// sum, as the standard advises. A strip's first row is told without the one above it.
fn filter(row: &[u8], above: Option<&[u8]>, pixel: usize, out: &mut [u8]) {
    let kinds: &[(u8, Filter)] = match above {
        None => &[(0, Filter::None), (1, Filter::Sub)],
        Some(_) => &[(0, Filter::None), (1, Filter::Sub), (2, Filter::Up), (4, Filter::Paeth)],
    };
    let weight = |filter: Filter| -> u64 {
        filter.of(row, above, pixel).map(|byte| u64::from((byte as i8).unsigned_abs())).sum()
    };
    let least = kinds.iter().min_by_key(|(_, filter)| weight(*filter)).unwrap_or(&kinds[0]);
    out[0] = least.0;
    out[1..].iter_mut().zip(least.1.of(row, above, pixel)).for_each(|(out, byte)| *out = byte);
}

/// The Adler-32 checksum of two runs of bytes, of theirs (zlib's `adler32_combine`).
fn joined(first: u32, second: u32, second_len: u64) -> u32 {
    const BASE: u64 = 65521;
    let parts = |sum: u32| (u64::from(sum & 0xffff), u64::from(sum >> 16));
    let ((a1, b1), (a2, b2)) = (parts(first), parts(second));
    let len = second_len % BASE;
    let a = (a1 + a2 + BASE - 1) % BASE;
    let b = (b1 + b2 + len * a1 + BASE - len) % BASE;
    (b << 16 | a) as u32
}

impl FrameWriter for Layout {
    fn scratch(&self) -> u64 {
        Layout::scratch(self)
    }

    fn write(&self, mut file: File, frame: ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<u64> {
        let mut written = self.head();
        file.write_all(&written)?;
        let (mut total, mut sum) = (written.len() as u64, 1);
        let shape = Dims::from_slice(frame.shape());
        for y in (0..self.height).step_by(self.rows as usize) {
            let mut part = Region::whole(&shape);
            (part.start[0], part.shape[0]) = (y, self.rows.min(self.height - y));
            let (bytes, strip) = self.encode(&frame.sub(&part), cx)?;
            file.write_all(bytes)?;
            sum = joined(sum, strip.sum, strip.bytes);
            total += strip.len;
        }
        written = Layout::tail(sum);
        file.write_all(&written)?;
        Ok(total + written.len() as u64)
    }
}

/// A PNG file being written.
#[derive(Debug)]
struct PngSink {
    path: PathBuf,
    meta: Meta,
    layout: Layout,
    /// Strips in the order in which they came.
    spool: File,
    /// Where the next strip goes.
    end: AtomicU64,
    strips: Mutex<Box<[Strip]>>,
    written: ChunkSet,
    staging: Staging,
}

impl PngSink {
    /// Writes the file from the strips.
    fn join(&self) -> Result<()> {
        let strips = self.strips.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = strips.iter().fold(1, |sum, strip| joined(sum, strip.sum, strip.bytes));
        let (head, tail) = (self.layout.head(), Layout::tail(sum));
        let all = (head.len() + tail.len()) as u64 + strips.iter().map(|s| s.len).sum::<u64>();
        let mut file = self.staging.file(all)?;
        file.write_all(&head)?;
        let mut spool = &self.spool;
        for strip in strips.iter() {
            spool.seek(SeekFrom::Start(strip.offset))?;
            if io::copy(&mut spool.take(strip.len), &mut file)? != strip.len {
                return Err(FormatError::io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        file.write_all(&tail)?;
        Ok(())
    }
}

impl ChunkSink for PngSink {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn scratch(&self) -> u64 {
        self.layout.scratch()
    }

    fn write(&self, index: &[u64], data: ChunkView<'_>, cx: &mut ReadCx<'_>) -> Result<Written> {
        let here = |e: FormatError| e.at_path(&self.path);
        let (bytes, mut strip) = self.layout.encode(&data, cx).map_err(here)?;
        strip.offset = self.end.fetch_add(strip.len, Ordering::Relaxed);
        self.spool.write_all_at(bytes, strip.offset).map_err(|e| here(e.into()))?;
        let number = self.meta.grid.linear_of(index);
        self.strips.lock().unwrap_or_else(PoisonError::into_inner)[number as usize] = strip;
        self.written.insert(number);
        Ok(Written { bytes: strip.len })
    }

    fn seal(&self) -> Result<()> {
        let whole = self.written.check_whole(&self.meta.grid);
        whole.and_then(|()| self.join()).map_err(|e| e.at_path(&self.path))?;
        self.staging.sync()
    }

    fn publish(&self) -> Result<()> {
        self.staging.publish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_joined_as_of_one_run() {
        let bytes: Vec<u8> = (0..200_000u64).map(|n| (n * n / 8) as u8).collect();
        for at in [0, 1, 65_521, 131_042, 199_999, 200_000] {
            let (first, second) = bytes.split_at(at);
            let sum = joined(adler32(first), adler32(second), second.len() as u64);
            assert_eq!(sum, adler32(&bytes), "cut at {at}");
        }
    }

    #[test]
    fn random_bytes_fit_where_a_strip_goes() {
        let mut state = 1u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        for len in [0, 1, 100, 40_000, 1 << 20] {
            let bytes: Vec<u8> = (0..len).map(|_| random()).collect();
            for level in [0, 1, 6, 9] {
                let mut out = vec![0; Layout::most(len) as usize - 12];
                let written = deflate(&bytes, &mut out, level).unwrap();
                // The last block is empty.
                out.truncate(written);
                out.extend([1, 0, 0, 255, 255]);
                let back = miniz_oxide::inflate::decompress_to_vec(&out).unwrap();
                assert!(back == bytes, "{len} bytes at level {level}");
            }
        }
    }
}
