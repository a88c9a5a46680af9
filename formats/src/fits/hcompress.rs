//! The HCOMPRESS_1 decoder: a two-dimensional Haar transform, its coefficients in quadtrees.
//!
//! R. White, M. Postman and M. Lattanzi, "Compression of the Guide Star Digitised Schmidt
//! Plates" (1992); FITS standard 4.0, section 10.4.4. Of each 2 × 2 pixels the transform keeps
//! their sum and three differences, and goes on with the sums; it ends with one sum of all.
//! The coefficients are coded by bit planes, the highest first, each as a quadtree of
//! nybbles that say in which quarters there is a bit. Lossy streams have them divided by a scale;
//! smoothing then moves differences, within that scale, towards what neighbours suggest.
//!
//! The transform's halves lie side by side in its array (sums first), and are read there in
//! place: each level goes from four quarters of one array into another. Numbers wrap
//! around, so that any bytes are safe to decode.

use super::bits::Bits;
use std::num::Wrapping;

/// A coefficient; those of 32-bit pixels need up to 34 bits and more.
pub(super) type Coefficient = Wrapping<i64>;

/// Why a stream cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HcompressError {
    /// It does not begin as one.
    NoStream,
    /// It holds an image of another size.
    OtherSize { rows: u32, columns: u32 },
    /// It ends before the last coefficient.
    Truncated,
    /// A bit plane of a kind, or in a number, that there is not.
    BadPlane,
}

impl std::fmt::Display for HcompressError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HcompressError::NoStream => f.write_str("it is no stream of HCOMPRESS_1"),
            HcompressError::OtherSize { rows, columns } => {
                write!(f, "its stream holds {rows} × {columns} pixels, not as many as the tile")
            }
            HcompressError::Truncated => f.write_str("the stream of HCOMPRESS_1 ends too early"),
            HcompressError::BadPlane => {
                f.write_str("the stream of HCOMPRESS_1 has a damaged bit plane")
            }
        }
    }
}

const MAGIC: [u8; 2] = [0xDD, 0x99];
/// Bit planes that coefficients can have and a sign beside them.
const MOST_PLANES: u8 = 62;

/// The nybble, and the length in bits, of the code word that begins with these six bits.
const CODES: [(u8, u8); 64] = {
    let words: [(u8, usize, u8); 16] = [
        (0b111110, 6, 0),
        (0b000, 3, 1),
        (0b001, 3, 2),
        (0b1000, 4, 3),
        (0b010, 3, 4),
        (0b1001, 4, 5),
        (0b11010, 5, 6),
        (0b11011, 5, 7),
        (0b011, 3, 8),
        (0b11100, 5, 9),
        (0b1010, 4, 10),
        (0b11101, 5, 11),
        (0b1011, 4, 12),
        (0b11110, 5, 13),
        (0b111111, 6, 14),
        (0b1100, 4, 15),
    ];
    let mut codes = [(0, 0); 64];
    let mut i = 0;
    while i < words.len() {
        let (word, len, nybble) = words[i];
        let first = (word as usize) << (6 - len);
        let mut k = 0;
        while k < 1 << (6 - len) {
            codes[first + k] = (nybble, len as u8);
            k += 1;
        }
        i += 1;
    }
    codes
};

/// The bytes of [`Room::nybbles`] for a tile of `pixels`.
pub(super) fn nybbles(pixels: u64) -> u64 {
    // (rows + 1) / 2 × (columns + 1) / 2 is largest where the tile is one row.
    pixels / 2 + 1
}

/// Scratch of one tile.
pub(super) struct Room<'a> {
    /// As many as the tile has pixels.
    pub(super) coefficients: &'a mut [Coefficient],
    /// As many as [`nybbles`] says.
    pub(super) nybbles: &'a mut [u8],
}

/// Decodes a tile into `pixels`.
pub(super) fn decode(
    bytes: &[u8],
    smooth: bool,
    pixels: &mut [Coefficient],
    room: Room<'_>,
) -> Result<(), HcompressError> {
    let (magic, rest) = bytes.split_first_chunk().ok_or(HcompressError::NoStream)?;
    if *magic != MAGIC {
        return Err(HcompressError::NoStream);
    }
    let (&head, rest) = rest.split_first_chunk::<12>().ok_or(HcompressError::Truncated)?;
    let (&sum, rest) = rest.split_first_chunk::<8>().ok_or(HcompressError::Truncated)?;
    let (&planes, rest) = rest.split_first_chunk::<3>().ok_or(HcompressError::Truncated)?;
    let [rows, columns, scale] = [0, 4, 8]
        .map(|at| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    let size = u64::from(rows) * u64::from(columns);
    // A tile of one row has quarters without any: no writer makes it.
    if size != pixels.len() as u64 || rows < 2 || columns < 2 {
        return Err(HcompressError::OtherSize { rows, columns });
    }
    if planes.iter().any(|&planes| planes > MOST_PLANES) {
        return Err(HcompressError::BadPlane);
    }
    let (rows, columns) = (rows as usize, columns as usize);
    let a = room.coefficients;
    a.fill(Wrapping(0));
    let (top, left) = (rows.div_ceil(2), columns.div_ceil(2));
    let mut bits = Bits::of(rest);
    for (start, shape, planes) in [
        (0, (top, left), planes[0]),
        (left, (top, columns / 2), planes[1]),
        (top * columns, (rows / 2, left), planes[1]),
        (top * columns + left, (rows / 2, columns / 2), planes[2]),
    ] {
        let mut quarter = Quarter { a: &mut a[start..], pitch: columns, shape };
        quarter.decode(&mut bits, planes, room.nybbles)?;
    }
    if nybble(&mut bits) != 0 {
        return Err(HcompressError::BadPlane);
    }
    // The signs, of what is not 0.
    bits.align();
    for value in a.iter_mut().filter(|value| value.0 != 0) {
        bits.refill();
        if bits.take(1) == 1 {
            *value = -*value;
        }
    }
    if bits.is_overrun() {
        return Err(HcompressError::Truncated);
    }
    a[0] = Wrapping(i64::from_be_bytes(sum));
    let scale = i64::from(scale.cast_signed());
    if scale > 1 {
        a.iter_mut().for_each(|value| *value *= scale);
    }
    invert(a, (rows, columns), if smooth { scale >> 1 } else { 0 }, pixels);
    Ok(())
}

fn nybble(bits: &mut Bits<'_>) -> u8 {
    bits.refill();
    bits.take(4) as u8
}

fn code_word(bits: &mut Bits<'_>) -> u8 {
    bits.refill();
    let (nybble, len) = CODES[(bits.window >> 58) as usize];
    bits.skip(len.into());
    nybble
}

/// The least `n` with `2^n >= len`.
fn levels(len: usize) -> u32 {
    len.next_power_of_two().trailing_zeros()
}

/// The coefficients of one kind: a part of the array.
struct Quarter<'a> {
    a: &'a mut [Coefficient],
    /// From row to row.
    pitch: usize,
    shape: (usize, usize),
}

impl Quarter<'_> {
    fn decode(
        &mut self,
        bits: &mut Bits<'_>,
        planes: u8,
        nybbles: &mut [u8],
    ) -> Result<(), HcompressError> {
        let (rows, columns) = self.shape;
        let depth = levels(rows.max(columns));
        for plane in (0..planes).rev() {
            match nybble(bits) {
                // As they are, where a tree would take more.
                0 => {
                    let count = rows.div_ceil(2) * columns.div_ceil(2);
                    nybbles[..count].iter_mut().for_each(|n| *n = nybble(bits));
                }
                15 => {
                    nybbles[0] = code_word(bits);
                    for level in (1..depth).rev() {
                        let shape = (rows.div_ceil(1 << level), columns.div_ceil(1 << level));
                        expand(nybbles, shape, bits);
                    }
                }
                _ => return Err(HcompressError::BadPlane),
            }
            if bits.is_overrun() {
                return Err(HcompressError::Truncated);
            }
            self.insert(nybbles, plane);
        }
        Ok(())
    }

    /// Sets the bits of a plane, each nybble those of 2 × 2 coefficients; of those at odd edges
    /// some lie outside.
    fn insert(&mut self, nybbles: &[u8], plane: u8) {
        let (rows, columns) = self.shape;
        for y in 0..rows {
            let row = &mut self.a[y * self.pitch..][..columns];
            let nybbles = &nybbles[y / 2 * columns.div_ceil(2)..][..columns.div_ceil(2)];
            let bit = |nybble: u8, place: u8| i64::from((nybble >> place) & 1) << plane;
            let place = if y % 2 == 0 { 3 } else { 1 };
            let (pairs, last) = row.as_chunks_mut::<2>();
            for (pair, &nybble) in pairs.iter_mut().zip(nybbles) {
                pair[0] |= bit(nybble, place);
                pair[1] |= bit(nybble, place - 1);
            }
            if let ([last], Some(&nybble)) = (last, nybbles.last()) {
                *last |= bit(nybble, place);
            }
        }
    }
}

/// The next level of a tree: each nybble becomes 2 × 2, of `shape` altogether, and those
/// that are said to hold a bit are read, the last first.
fn expand(nybbles: &mut [u8], shape: (usize, usize), bits: &mut Bits<'_>) {
    let (rows, columns) = shape;
    let (above, beside) = (rows.div_ceil(2), columns.div_ceil(2));
    // From the last on: none of the four places is one that is still to be read.
    for i in (0..above).rev() {
        for j in (0..beside).rev() {
            let nybble = nybbles[i * beside + j];
            for (k, bit) in [8, 4, 2, 1].into_iter().enumerate().rev() {
                let (y, x) = (2 * i + k / 2, 2 * j + k % 2);
                if y < rows && x < columns {
                    nybbles[y * columns + x] = u8::from(nybble & bit != 0);
                }
            }
        }
    }
    for nybble in nybbles[..rows * columns].iter_mut().rev().filter(|nybble| **nybble != 0) {
        *nybble = code_word(bits);
    }
}

/// Inverts the transform in `a`, of `shape`, into `pixels`; `a` is used up. Differences are
/// moved by at most `slack` on the way.
fn invert(a: &mut [Coefficient], shape: (usize, usize), slack: i64, pixels: &mut [Coefficient]) {
    let (rows, columns) = shape;
    let depth = levels(rows.max(columns));
    a[0] = round(a[0], depth + 1);
    for level in (0..depth).rev() {
        let shape = (rows.div_ceil(1 << level), columns.div_ceil(1 << level));
        let mut step = Step { a, pitch: columns, shape };
        if slack > 0 {
            step.smooth(Wrapping(slack));
        }
        step.invert(level, pixels);
        if level > 0 {
            // The sums of the next level.
            let rows = pixels.chunks_exact(shape.1).take(shape.0);
            a.chunks_exact_mut(columns)
                .zip(rows)
                .for_each(|(a, p)| a[..shape.1].copy_from_slice(p));
        }
    }
}

/// The multiple of `2^bit` next to `value`; of two, the one that is farther up.
fn round(value: Coefficient, bit: u32) -> Coefficient {
    let half = Wrapping((1 << bit) >> 1);
    let add = if value.0 >= 0 || bit == 0 { half } else { half - Wrapping(1) };
    (value + add) & Wrapping(-1 << bit)
}

/// One level of the inverse transform: four quarters of `a`, which are interleaved.
struct Step<'a> {
    a: &'a mut [Coefficient],
    pitch: usize,
    /// Of the level's result.
    shape: (usize, usize),
}

impl Step<'_> {
    /// Where the sum of the 2 × 2 pixels at (`i`, `j`) is, and how far from there to
    /// the differences down and across; at both together is that of the diagonals.
    fn at(&self, i: usize, j: usize) -> (usize, usize, usize) {
        let (rows, columns) = self.shape;
        (i * self.pitch + j, rows.div_ceil(2) * self.pitch, columns.div_ceil(2))
    }

    /// The four pixels of each sum and its differences. What the coder rounded off is
    /// known from the lower bits of finer differences.
    fn invert(&self, level: u32, pixels: &mut [Coefficient]) {
        let (rows, columns) = self.shape;
        let (bit0, bit1) = (Wrapping(1 << level), Wrapping(2 << level));
        let shift = if level == 0 { 2 } else { 1 };
        let zero = Wrapping(0);
        // Away from 0 if `value` is not negative, else the other way.
        let towards = |value: Coefficient, by: Coefficient| {
            if value >= zero { value + by } else { value - by }
        };
        for i in 0..rows.div_ceil(2) {
            let (upper, lower) = pixels[2 * i * columns..].split_at_mut(columns);
            for j in 0..columns.div_ceil(2) {
                let (at, down, across) = self.at(i, j);
                let mut h0 = self.a[at];
                match (2 * i + 1 < rows, 2 * j + 1 < columns) {
                    (true, true) => {
                        let hc = round(self.a[at + down + across], level);
                        let low0 = hc & bit0;
                        let hx = towards(round(self.a[at + down], level + 1), -low0);
                        let hy = towards(round(self.a[at + across], level + 1), -low0);
                        let low1 = (hc ^ hx ^ hy) & bit1;
                        h0 += match (h0 >= zero, low0 == zero) {
                            (true, _) | (false, false) => low0 - low1,
                            (false, true) => low1,
                        };
                        upper[2 * j] = (h0 - hx - hy + hc) >> shift;
                        upper[2 * j + 1] = (h0 - hx + hy - hc) >> shift;
                        lower[2 * j] = (h0 + hx - hy - hc) >> shift;
                        lower[2 * j + 1] = (h0 + hx + hy + hc) >> shift;
                    }
                    (true, false) => {
                        let hx = round(self.a[at + down], level + 1);
                        h0 = towards(h0, -(hx & bit1));
                        upper[2 * j] = (h0 - hx) >> shift;
                        lower[2 * j] = (h0 + hx) >> shift;
                    }
                    (false, true) => {
                        let hy = round(self.a[at + across], level + 1);
                        h0 = towards(h0, -(hy & bit1));
                        upper[2 * j] = (h0 - hy) >> shift;
                        upper[2 * j + 1] = (h0 + hy) >> shift;
                    }
                    (false, false) => upper[2 * j] = h0 >> shift,
                }
            }
        }
    }

    /// Moves the differences, by at most `slack`, towards those that a surface through
    /// the neighbouring sums would have, as far as that stays monotonic.
    fn smooth(&mut self, slack: Coefficient) {
        let (rows, columns) = self.shape;
        let zero = Wrapping(0);
        // Those at the edges stay: they lack a neighbour.
        let inner = |len: usize| 1..len.saturating_sub(1) / 2;
        let clamp = |value: Coefficient, least, most| value.min(most).max(least);
        let slope = |before: Coefficient, here: Coefficient, after: Coefficient| {
            let (rise, fall) = (after - here, here - before);
            let most = rise.min(fall).max(zero) << 2;
            let least = rise.max(fall).min(zero) << 2;
            (least < most).then(|| clamp(after - before, least, most))
        };
        // `wanted` is the difference times 2^bits.
        let move_to = |value: &mut Coefficient, wanted: Coefficient, bits: usize| {
            let change = wanted - (*value << bits);
            let change = if change >= zero { change } else { change + Wrapping((1 << bits) - 1) };
            *value += clamp(change >> bits, -slack, slack);
        };
        for i in inner(rows) {
            for j in 0..columns.div_ceil(2) {
                let (at, down, _) = self.at(i, j);
                let a = &mut *self.a;
                if let Some(wanted) = slope(a[at - self.pitch], a[at], a[at + self.pitch]) {
                    move_to(&mut a[at + down], wanted, 3);
                }
            }
        }
        for i in 0..rows.div_ceil(2) {
            for j in inner(columns) {
                let (at, _, across) = self.at(i, j);
                let a = &mut *self.a;
                if let Some(wanted) = slope(a[at - 1], a[at], a[at + 1]) {
                    move_to(&mut a[at + across], wanted, 3);
                }
            }
        }
        for i in inner(rows) {
            for j in inner(columns) {
                let (at, down, across) = self.at(i, j);
                let a = &mut *self.a;
                let h0 = a[at];
                let (hmm, hmp) = (a[at - self.pitch - 1], a[at - self.pitch + 1]);
                let (hpm, hpp) = (a[at + self.pitch - 1], a[at + self.pitch + 1]);
                let (hx, hy) = (a[at + down] << 1, a[at + across] << 1);
                // In each quarter's direction: how much of the neighbour's step is left.
                let steps = [hpp - h0, h0 - hpm, h0 - hmp, hmm - h0];
                let used = [-hx - hy, hx - hy, hy - hx, hx + hy];
                let mut bounds = [0, 1].map(|side| {
                    std::array::from_fn::<_, 4, _>(|k| {
                        (if side == 0 { steps[k].max(zero) } else { steps[k].min(zero) }) + used[k]
                    })
                });
                bounds.iter_mut().for_each(|bounds| bounds.sort_unstable());
                let (most, least) = (bounds[0][0] << 4, bounds[1][3] << 4);
                if least < most {
                    let wanted = clamp(hpp + hmm - hmp - hpm, least, most);
                    move_to(&mut a[at + down + across], wanted, 6);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(bytes: &[u8], pixels: usize, smooth: bool) -> Result<Vec<i64>, HcompressError> {
        let mut out = vec![Wrapping(7); pixels];
        let (mut a, mut n) =
            (vec![Wrapping(9); pixels], vec![0xA5; nybbles(pixels as u64) as usize]);
        decode(bytes, smooth, &mut out, Room { coefficients: &mut a, nybbles: &mut n })?;
        Ok(out.into_iter().map(|v| v.0).collect())
    }

    fn stream(rows: u32, columns: u32, sum: i64, planes: [u8; 3], body: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        [rows, columns, 0].iter().for_each(|n| bytes.extend(n.to_be_bytes()));
        bytes.extend(sum.to_be_bytes());
        bytes.extend(planes);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn a_constant_is_its_sum() {
        // The sum of 2 × 2 pixels is halved once a level, and 4 is its scale at the end.
        assert_eq!(decoded(&stream(2, 2, 20, [0; 3], &[0]), 4, false).unwrap(), [5; 4]);
        assert_eq!(decoded(&stream(4, 4, 40, [0; 3], &[0]), 16, true).unwrap(), [5; 16]);
    }

    #[test]
    fn what_is_no_stream() {
        let good = stream(2, 2, 20, [0; 3], &[0]);
        assert_eq!(decoded(&good[1..], 4, false), Err(HcompressError::NoStream));
        assert_eq!(decoded(&good[..9], 4, false), Err(HcompressError::Truncated));
        let other = HcompressError::OtherSize { rows: 2, columns: 2 };
        assert_eq!(decoded(&good, 6, false), Err(other));
        let planes = stream(2, 2, 20, [63, 0, 0], &[0]);
        assert_eq!(decoded(&planes, 4, false), Err(HcompressError::BadPlane));
        let short = stream(2, 2, 20, [9, 9, 9], &[0]);
        assert_eq!(decoded(&short, 4, false), Err(HcompressError::Truncated));
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(
            rows in 2u32..9,
            columns in 2u32..9,
            sum in any::<i64>(),
            planes in any::<[u8; 3]>(),
            body in proptest::collection::vec(any::<u8>(), 0..200),
            scale in any::<u32>(),
        ) {
            let mut bytes = stream(rows, columns, sum, planes.map(|p| p % 63), &body);
            bytes[10..14].copy_from_slice(&scale.to_be_bytes());
            let _ = decoded(&bytes, (rows * columns) as usize, true);
        }
    }
}
