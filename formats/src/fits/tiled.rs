//! Tile-compressed images (FITS standard 4.0, section 10): a table with a row a tile.
//!
//! A read visits the tiles that the region touches, in the order of their rows. Rows are
//! read a block at a time and never kept, so an open image costs the same for any number
//! of tiles; the compressed bytes of neighbouring tiles are read together. A tile
//! that lies wholly in the region, and in one run of the output, is decoded there;
//! another is decoded into scratch and its part copied.

use super::{
    codec::{Algorithm, Room, TileCodec},
    convert::Convert,
    header::{Hdu, Header},
    input::{Input, Origin},
    place,
    quantise::Dither,
    table::{Extent, Table, is_of_table, numbered},
};
use crate::{
    error::{ErrorKind, FormatError, Result},
    grid::Grid,
    missing::Blank,
    region::{Coordinates, Region, volume},
    source::{
        Attributes, ChunkSource, FileCache, Fingerprint, Meta, ReadCost, ReadCx, SourceSpec,
        Storage,
    },
    view::{ChunkMut, ChunkView},
};
use std::{path::Path, sync::Arc};

/// Bytes of table rows that are read at a time.
const ROWS: u64 = 64 << 10;
/// Bytes of compressed tiles that are read at a time (one tile may have more).
const HEAP: u64 = 256 << 10;
/// Bytes between two tiles that are cheaper to read than to skip.
const GAP: u64 = 8 << 10;

/// A compressed image in a file.
#[derive(Debug)]
pub(super) struct Tiled {
    origin: Arc<Origin>,
    meta: Meta,
    table: Table,
    codec: TileCodec,
    /// The tiles; their numbers in C order are the table's rows.
    tiles: Grid,
}

impl Tiled {
    /// The compressed image of `hdu`, checked against the length of the file.
    pub(super) fn new(path: &Path, hdu: &Hdu, file_bytes: u64, policy: Blank) -> Result<Tiled> {
        let header = &hdu.header;
        let corrupt = |message: String| FormatError::new(ErrorKind::Corrupt, message);
        let shape = hdu.image_shape()?;
        super::check_shape(&shape)?;
        let table = Table::new(hdu, file_bytes)?;
        let bitpix = header.required("ZBITPIX")?;
        let mut blank = header.int("BLANK")?;
        if bitpix > 0 {
            // Integers with nulls in a column but no number that stands for them: the least.
            let least = table.has_blank_column().then(|| i64::MIN >> (64 - bitpix.clamp(1, 64)));
            blank = blank.or(header.int("ZBLANK")?).or(least);
        }
        let convert = Convert::new(bitpix, header, blank, policy)?;
        let algorithm = Algorithm::of(header)?;
        let dither = match header.text("ZQUANTIZ").unwrap_or("NO_DITHER").trim() {
            "SUBTRACTIVE_DITHER_1" => Dither::Subtractive,
            "SUBTRACTIVE_DITHER_2" => Dither::KeepingZeros,
            "NO_DITHER" | "NONE" | "" => Dither::None,
            other => {
                return Err(FormatError::new(
                    ErrorKind::Unsupported,
                    format!("ZQUANTIZ is '{other}', a way of quantising that is not known"),
                ));
            }
        };
        let codec = TileCodec {
            quantised: convert.stored.is_float() && table.is_scaled(),
            convert,
            algorithm,
            dither,
            seed: header.int("ZDITHER0")?.unwrap_or(1).clamp(0, 1 << 31) - 1,
        };
        codec.check()?;

        let tile = tile_shape(header, &shape)?;
        let tiles = Grid::regular(&shape, &tile);
        let count = crate::region::checked_volume(&tiles.counts());
        if count.is_none_or(|count| count > table.rows) {
            return Err(corrupt(format!(
                "an image of shape {shape:?} in tiles of {tile:?} needs more tiles than the {} rows of its table",
                table.rows
            )));
        }
        let dtype = codec.convert.dtype;
        let mut meta = Meta::new(dtype, super::chunk_grid(hdu, &shape, &tile, dtype));
        meta.attributes = Arc::new(image_cards(header));
        Ok(Tiled { origin: Arc::new(Origin::new(path, hdu)), meta, table, codec, tiles })
    }

    fn needs(&self, region: &Region) -> Needs {
        let box_of_tiles = self.tiles.covering(region);
        let count = box_of_tiles.volume();
        let pixels = self.tiles.max_chunk().iter().fold(1u64, |n, &len| n.saturating_mul(len));
        let most = self.codec.most_bytes(pixels);
        // Rows are read a block at a time from runs of consecutive tiles.
        let rows = (self.table.row as u64).saturating_mul(count.min(self.rows_at_once()));
        let heap = most.max(most.saturating_mul(count).min(HEAP));
        let size = self.meta.dtype.size() as u64;
        let [raw, spare] = self.codec.room(pixels);
        Needs { rows, heap, raw, spare, tile: pixels.saturating_mul(size) }
    }

    fn rows_at_once(&self) -> u64 {
        (ROWS / (self.table.row as u64).max(1)).max(1)
    }

    fn at_tile(&self, error: FormatError, tile: u64) -> FormatError {
        error.at(format_args!("{} tile {tile}", place(&self.origin.path, self.origin.hdu)))
    }

    /// Decodes tiles of consecutive rows, from `first` on.
    fn run_of_tiles(
        &self,
        first: u64,
        rows: &[u8],
        region: &Region,
        out: &mut ChunkMut<'_>,
        input: &mut Input<'_>,
        buffers: &mut Buffers<'_>,
    ) -> Result<()> {
        let row_of = |i: usize| &rows[i * self.table.row..(i + 1) * self.table.row];
        let extent = |i: usize| -> Result<Extent> {
            let extent =
                self.table.extent(row_of(i)).map_err(|e| self.at_tile(e, first + i as u64))?;
            match extent.end - extent.start <= buffers.most {
                true => Ok(extent),
                false => Err(self.at_tile(
                    FormatError::new(
                        ErrorKind::Corrupt,
                        format!(
                            "it has {} compressed bytes, more than the {} that its pixels can take",
                            extent.end - extent.start,
                            buffers.most
                        ),
                    ),
                    first + i as u64,
                )),
            }
        };
        let count = rows.len() / self.table.row;
        let mut i = 0;
        while i < count {
            let head = extent(i)?;
            let (start, mut end) = (head.start, head.end);
            let mut after = i + 1;
            while after < count {
                let next = extent(after)?;
                let near = next.start >= end && next.start - end <= GAP;
                if !near || next.end - start > buffers.heap.len() as u64 {
                    break;
                }
                end = next.end;
                after += 1;
            }
            let bytes = &mut buffers.heap[..(end - start) as usize];
            input.read(bytes, start).map_err(|e| self.origin.at(e))?;
            for k in i..after {
                buffers.cancel.check()?;
                let tile = first + k as u64;
                let part = extent(k)?;
                let bytes =
                    &buffers.heap[(part.start - start) as usize..(part.end - start) as usize];
                let room = Room { raw: &mut *buffers.raw, spare: &mut *buffers.spare };
                self.tile(tile, row_of(k), part, bytes, region, out, room, &mut *buffers.tile)
                    .map_err(|e| self.at_tile(e, tile))?;
            }
            i = after;
        }
        Ok(())
    }

    /// Decodes one tile and puts what the region has of it in its place.
    #[expect(clippy::too_many_arguments, reason = "the parts of one step of `run_of_tiles`")]
    fn tile(
        &self,
        tile: u64,
        row: &[u8],
        extent: Extent,
        bytes: &[u8],
        region: &Region,
        out: &mut ChunkMut<'_>,
        room: Room<'_>,
        scratch: &mut [u8],
    ) -> Result<()> {
        let whole = self.tiles.region(&self.tiles.index_of(tile));
        let Some(part) = whole.intersection(region) else { return Ok(()) };
        let mut target = out.sub(&part.relative_to(&region.start));
        if part == whole
            && let Some(target) = target.as_bytes()
        {
            return self.codec.decode(&self.table, row, tile, extent.stream, bytes, target, room);
        }
        let dtype = self.meta.dtype;
        let decoded = &mut scratch[..whole.volume() as usize * dtype.size()];
        self.codec.decode(&self.table, row, tile, extent.stream, bytes, decoded, room)?;
        target.assign(
            &ChunkView::new(dtype, decoded, &whole.shape).sub(&part.relative_to(&whole.start)),
        );
        Ok(())
    }
}

/// The scratch of a read, in bytes.
struct Needs {
    rows: u64,
    heap: u64,
    raw: u64,
    spare: u64,
    tile: u64,
}

impl Needs {
    fn total(&self) -> u64 {
        [self.rows, self.heap, self.raw, self.spare, self.tile]
            .into_iter()
            .fold(0u64, |sum, part| {
                sum.saturating_add(part.checked_next_multiple_of(64).unwrap_or(u64::MAX))
            })
    }
}

/// The scratch of a read, in parts.
struct Buffers<'a> {
    heap: &'a mut [u8],
    raw: &'a mut [u8],
    spare: &'a mut [u8],
    tile: &'a mut [u8],
    /// The most compressed bytes that a tile may have.
    most: u64,
    cancel: &'a crate::source::Cancel,
}

/// The shape of the tiles of an image: by default a tile is a row of pixels.
fn tile_shape(header: &Header, shape: &[u64]) -> Result<Vec<u64>> {
    let rank = shape.len();
    let mut tile = Vec::with_capacity(rank);
    for (i, &len) in shape.iter().enumerate() {
        let n = rank - i;
        let key = format!("ZTILE{n}");
        let default = if n == 1 { len } else { 1 };
        let length = match header.int(&key)? {
            None => default,
            Some(_) => header.size(&key)?,
        };
        if length == 0 && len > 0 {
            return Err(FormatError::new(ErrorKind::Corrupt, format!("{key} is 0")));
        }
        tile.push(length.clamp(1, len.max(1)));
    }
    Ok(tile)
}

/// The cards of the image that the table stands for: without what describes the table.
pub(super) fn image_cards(header: &Header) -> Attributes {
    let mut cards = Attributes::new();
    for (key, value) in header.values() {
        let of_table = is_of_table(key) || (key == "EXTNAME" && value == "COMPRESSED_IMAGE");
        if !of_table {
            let image_key = match key.strip_prefix('Z') {
                Some(rest @ ("BITPIX" | "NAXIS")) => rest,
                Some(rest) if numbered(rest, &["NAXIS"]) => rest,
                _ => key,
            };
            cards.insert(image_key.to_owned(), value.clone());
        }
    }
    cards
}

impl ChunkSource for Tiled {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        if region.is_empty() {
            return ReadCost::default();
        }
        let mut whole = 1u64;
        let mut count = 1u64;
        let touched = self.tiles.covering(region);
        for (axis, grid) in self.tiles.axes().iter().enumerate() {
            let range = touched.range(axis);
            whole = whole
                .saturating_mul(grid.bounds(range.end - 1).end - grid.bounds(range.start).start);
            count = count.saturating_mul(touched.shape[axis]);
        }
        // An estimate: tiles are taken to be alike.
        let table = self.table.heap_bytes() + self.table.rows * self.table.row as u64;
        let share = table as f64 * (count as f64 / self.tiles.len().max(1) as f64);
        let cost = ReadCost {
            bytes: share as u64,
            decoded: whole.saturating_mul(self.meta.dtype.size() as u64),
            scratch: self.needs(region).total(),
        };
        // Tiles may lie anywhere in the heap.
        self.origin.cost(cost, 0, u64::MAX, 1.0)
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        let file = self.origin.open(cx.files)?;
        let mut input = self.origin.input(&file);
        let cancel = cx.cancel;
        let needs = self.needs(region);
        let pixels = volume(&self.tiles.max_chunk());
        let (rows, mut rest) = cx.split_scratch(needs.rows as usize);
        let (heap, mut rest) = rest.split_scratch(needs.heap as usize);
        let (raw, mut rest) = rest.split_scratch(needs.raw as usize);
        let (spare, mut rest) = rest.split_scratch(needs.spare as usize);
        let (tile, _) = rest.split_scratch(needs.tile as usize);
        let most = self.codec.most_bytes(pixels);
        let mut buffers = Buffers { heap, raw, spare, tile, most, cancel };

        // Tiles whose rows follow each other: the longest run that the box of tiles has.
        let touched = self.tiles.covering(region);
        let counts = self.tiles.counts();
        let (mut outer, mut run) = (region.rank(), 1);
        while outer > 0 {
            outer -= 1;
            run *= touched.shape[outer];
            if touched.shape[outer] != counts[outer] {
                break;
            }
        }
        let mut index = touched.start.clone();
        let starts =
            Region { start: touched.start[..outer].into(), shape: touched.shape[..outer].into() };
        let at_once = self.rows_at_once();
        for at in Coordinates::of(starts) {
            index[..outer].copy_from_slice(&at);
            let start = self.tiles.linear_of(&index);
            for skip in (0..run).step_by(at_once as usize) {
                let (first, count) = (start + skip, at_once.min(run - skip));
                let rows = &mut rows[..count as usize * self.table.row];
                let from = self.table.start + first * self.table.row as u64;
                input.read(rows, from).map_err(|e| self.origin.at(e))?;
                self.run_of_tiles(first, rows, region, &mut out, &mut input, &mut buffers)?;
            }
        }
        Ok(())
    }

    fn mask(&self) -> Option<Arc<dyn ChunkSource>> {
        let codec = TileCodec { convert: self.codec.convert.mask()?, ..self.codec.clone() };
        let meta = Meta::new(codec.convert.dtype, self.meta.grid.clone());
        let (origin, table) = (self.origin.clone(), self.table.clone());
        Some(Arc::new(Tiled { origin, meta, table, codec, tiles: self.tiles.clone() }))
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(self.origin.fingerprint(&self.codec.convert))
    }

    fn version(&self, _: &Region, files: &FileCache) -> Result<Option<Fingerprint>> {
        self.origin.version(files)
    }

    fn spec(&self) -> SourceSpec {
        self.origin.spec(&self.codec.convert)
    }

    fn storage(&self) -> Storage {
        let bytes = self.table.heap_bytes() + self.table.rows * self.table.row as u64;
        let (codec, bytes) = self.origin.storage(self.codec.algorithm.name(), bytes);
        Storage { format: "FITS".into(), codec, files: 1, bytes: Some(bytes) }
    }

    fn held(&self) -> u64 {
        self.origin.held() + self.meta.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_of_the_table_are_left_out() {
        let cards = [
            ("XTENSION", "BINTABLE".into()),
            ("NAXIS1", 24.into()),
            ("ZNAXIS1", 100.into()),
            ("ZBITPIX", (-32).into()),
            ("ZTILE1", 100.into()),
            ("TTYPE1", "COMPRESSED_DATA".into()),
            ("ZVALUE", 7.into()),
            ("CRVAL1", 1.5.into()),
        ];
        let header = Header::of_values(cards.into_iter().map(|(k, v)| (k.to_owned(), v)).collect());
        let cards = image_cards(&header);
        let keys: Vec<&str> = cards.keys().map(String::as_str).collect();
        assert_eq!(keys, ["BITPIX", "CRVAL1", "NAXIS1", "ZVALUE"]);
        assert_eq!(cards["NAXIS1"], 100);
    }
}
