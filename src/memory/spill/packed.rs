//! How a chunk is packed: in blocks, by planes of bytes of equal significance.
//!
//! The bytes of a block's elements are shuffled, so that those of equal significance lie
//! together, in planes of at most 32 KiB: signs, exponents and high bytes, which are often alike, apart
//! from the last bits, which are often noise. Each plane is stored by itself. One of equal bytes
//! is that byte; another one is compressed by LZ4 where that is worth the time, and else
//! stored as it is. Which planes LZ4 is worth it for is tried on the first few KiB of them, now and
//! then: on noise it would take most of the time and give nothing, while planes that are
//! stored as they are, or are one byte, go at the speed of memory.
//!
//! A packed block is a word of 32 bits, little endian, for each plane: bit 31 and the byte if
//! all are equal to it; else the length of what is stored, which is that of the plane if it is
//! stored as it is. Then come the planes, and the bytes that were no whole element. How long a
//! block is unpacked is known from the chunk.

use super::rates::Worth;
use freeboard_formats::transform::{shuffle, unshuffle};
use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into};
use std::time::{Duration, Instant};

/// The longest plane. LZ4 needs 16 bits for a place in it, and planes of 8 bytes an element stay in a second-level
/// cache of 1 MiB with all that is made of them; twice as much compresses no better.
const PLANE: usize = 32 << 10;

/// The most bytes of an element; longer ones are packed as bytes.
const LONGEST: usize = 16;

/// The bytes of a block, at the most.
pub(super) const SHUFFLED: usize = 256 << 10;

/// What [`Packer::push`] may touch of what it packs into: the block, its header, and what LZ4 asks for beyond.
pub(super) const ROOM: usize = SHUFFLED + 40 * 1024;

/// Blocks until it is tried again which planes are compressed.
const AGAIN: u32 = 16;

/// The bytes of a plane that it is tried on.
const SAMPLE: usize = 8 << 10;

/// In the word of a plane of equal bytes.
const EQUAL: u32 = 1 << 31;

/// What chunks of `bytes`-byte elements are packed as elements of.
fn element_of(bytes: usize) -> usize {
    if (1..=LONGEST).contains(&bytes) { bytes } else { 1 }
}

/// How many bytes of a chunk are a block, where elements have `bytes`; the last block may be shorter.
pub(super) fn block_len(bytes: usize) -> usize {
    let element = element_of(bytes);
    PLANE.min(SHUFFLED / element) * element
}

/// Packs the blocks of one chunk, one after the other.
pub(super) struct Packer<'a> {
    element: usize,
    shuffled: &'a mut [u8],
    table: &'a mut CompressTable,
    /// For which planes LZ4 is worth it.
    compressed: [bool; LONGEST],
    blocks: u32,
}

/// A block that was packed.
pub(super) struct Packed {
    pub len: usize,
    /// What that took, without what was only tried.
    pub spent: Duration,
}

impl<'a> Packer<'a> {
    /// Of elements of `bytes` bytes; `shuffled` has room for a block.
    pub fn new(bytes: usize, shuffled: &'a mut [u8], table: &'a mut CompressTable) -> Packer<'a> {
        let compressed = [false; LONGEST];
        Packer { element: element_of(bytes), shuffled, table, compressed, blocks: 0 }
    }

    /// Packs the next block into the front of `out`, which has [`ROOM`]; it becomes no longer
    /// than it is by more than its header.
    pub fn push(&mut self, block: &[u8], out: &mut [u8], worth: Worth) -> Packed {
        let begun = Instant::now();
        let count = block.len() / self.element;
        shuffle(block, &mut self.shuffled[..block.len()], self.element);
        let tried = match self.blocks % AGAIN {
            0 => self.choose(count, out, worth),
            _ => Duration::ZERO,
        };
        self.blocks += 1;
        let (planes, rest) = self.shuffled[..block.len()].split_at(count * self.element);
        let mut at = 4 * self.element;
        for plane in 0..self.element {
            let bytes = &planes[plane * count..][..count];
            let word = match all_equal(bytes) {
                Some(byte) => EQUAL | u32::from(byte),
                None => {
                    let mut len = count;
                    if self.compressed[plane] {
                        len = compress(bytes, &mut out[at..], self.table);
                    }
                    if len >= count {
                        len = count;
                        out[at..at + count].copy_from_slice(bytes);
                    }
                    at += len;
                    len as u32
                }
            };
            out[4 * plane..][..4].copy_from_slice(&word.to_le_bytes());
        }
        out[at..][..rest.len()].copy_from_slice(rest);
        Packed { len: at + rest.len(), spent: begun.elapsed().saturating_sub(tried) }
    }

    /// Tries which planes of `count` bytes LZ4 is worth it for, and tells how long that took.
    fn choose(&mut self, count: usize, out: &mut [u8], worth: Worth) -> Duration {
        let begun = Instant::now();
        for plane in 0..self.element {
            let sample = &self.shuffled[plane * count..][..count.min(SAMPLE)];
            let begun = Instant::now();
            self.compressed[plane] = all_equal(sample).is_some() || {
                let len = compress(sample, out, self.table);
                worth.pays(sample.len(), len, begun.elapsed())
            };
        }
        begun.elapsed()
    }
}

/// The length of what LZ4 makes of a plane; that of the plane if it does not become shorter.
fn compress(plane: &[u8], out: &mut [u8], table: &mut CompressTable) -> usize {
    compress_into_with_table(plane, out, table).unwrap_or(plane.len())
}

/// The byte that all are equal to.
fn all_equal(bytes: &[u8]) -> Option<u8> {
    let first = *bytes.first()?;
    // Some at a time, without a branch for each of them.
    let equal = |part: &[u8]| part.iter().fold(0, |differ, byte| differ | (byte ^ first)) == 0;
    bytes.chunks(1024).all(equal).then_some(first)
}

/// Why bytes are no packed block.
#[derive(Debug, PartialEq)]
pub(super) struct Damaged(pub &'static str);

/// Unpacks the block at the front of `stored` into `out`, which is as long as it was, of elements of `bytes`
/// bytes. Says how many bytes it took, or `None` if it is not there as a whole. `shuffled` has room for it.
pub(super) fn unpack(
    stored: &[u8],
    out: &mut [u8],
    bytes: usize,
    shuffled: &mut [u8],
) -> Result<Option<usize>, Damaged> {
    let element = element_of(bytes);
    let count = out.len() / element;
    let shuffled = &mut shuffled[..out.len()];
    let (planes, rest) = shuffled.split_at_mut(count * element);
    let Some((header, body)) = stored.split_at_checked(4 * element) else { return Ok(None) };
    let mut words = [0; LONGEST];
    for (word, bytes) in words.iter_mut().zip(header.chunks_exact(4)) {
        *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    let mut len = rest.len();
    for &word in &words[..element] {
        len += match word & EQUAL {
            0 if word as usize <= count => word as usize,
            EQUAL if word & !EQUAL <= 0xff => 0,
            _ => return Err(Damaged("a plane is longer than its block")),
        };
    }
    let Some((mut body, _)) = body.split_at_checked(len) else { return Ok(None) };
    for (plane, &word) in planes.chunks_exact_mut(count.max(1)).zip(&words) {
        if word & EQUAL != 0 {
            plane.fill(word as u8);
            continue;
        }
        let (part, behind) = body.split_at(word as usize);
        body = behind;
        if part.len() == count {
            plane.copy_from_slice(part);
        } else if !decompress_into(part, plane).is_ok_and(|len| len == count) {
            return Err(Damaged("a plane is no LZ4 of its length"));
        }
    }
    rest.copy_from_slice(body);
    unshuffle(shuffled, out, element);
    Ok(Some(4 * element + len))
}

#[cfg(test)]
mod tests {
    use super::{super::rates::Rates, *};
    use proptest::prelude::*;

    /// Blocks as a chunk's, one after the other.
    fn packed(chunk: &[u8], element: usize) -> Vec<u8> {
        let (mut shuffled, mut table) = (vec![0; SHUFFLED], CompressTable::small());
        let mut packer = Packer::new(element, &mut shuffled, &mut table);
        let worth = Rates::infinitely_slow().worth();
        let (mut out, mut all) = (vec![0xAA; ROOM], Vec::new());
        for block in chunk.chunks(block_len(element)) {
            let len = packer.push(block, &mut out, worth).len;
            assert!(len <= block.len() + 4 * LONGEST, "{len} of {}", block.len());
            all.extend_from_slice(&out[..len]);
        }
        all
    }

    fn unpacked(stored: &[u8], len: usize, element: usize) -> Result<Vec<u8>, Damaged> {
        let (mut shuffled, mut out) = (vec![0x55; SHUFFLED], vec![0x55; len]);
        let mut at = 0;
        for block in out.chunks_mut(block_len(element)) {
            let used = unpack(&stored[at..], block, element, &mut shuffled)?;
            at += used.ok_or(Damaged("the end is missing"))?;
        }
        if at == stored.len() { Ok(out) } else { Err(Damaged("too long")) }
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut x = 1u64;
        let mut next = || {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (x >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn each_plane_is_packed_as_suits_it() {
        let element = |values: &mut dyn Iterator<Item = f64>| -> Vec<u8> {
            values.flat_map(f64::to_le_bytes).collect()
        };
        let random = noise(PLANE);
        let count = PLANE as f64;
        // Integers of one binary order: five planes and the sign's are equal bytes.
        let counts = element(&mut random.iter().map(|&x| 1024.0 + f64::from(x)));
        let len = packed(&counts, 8).len() as f64;
        assert!(len / count > 1.0 && len / count < 2.1, "{len}");
        let ramp = element(&mut (0..PLANE).map(|i| (i / 64) as f64));
        assert!(packed(&ramp, 8).len() < PLANE / 8);
        assert_eq!(packed(&vec![7; 8 * PLANE], 8).len(), 32);
        // Nothing but noise: as it is, behind its header.
        assert_eq!(packed(&noise(8 * PLANE), 8).len(), 8 * PLANE + 32);
        // As it changes, so do the ways.
        let mut mixed = noise(64 * PLANE);
        mixed.extend(vec![3; 64 * PLANE]);
        mixed.extend(noise(64 * PLANE));
        let len = packed(&mixed, 4).len();
        assert!(len < 129 * PLANE && unpacked(&packed(&mixed, 4), mixed.len(), 4) == Ok(mixed));
    }

    #[test]
    fn every_length_and_size_of_elements_comes_back() {
        let mut content = noise(2 * SHUFFLED + 100);
        // Runs, among noise.
        content.chunks_mut(1000).step_by(3).for_each(|run| run.fill(9));
        for element in 0..=LONGEST + 1 {
            let block = block_len(element);
            assert!(block <= SHUFFLED && block / element_of(element) <= PLANE);
            for len in [0, 1, 2, 15, 16, 17, block - 1, block, block + 1, 2 * block] {
                let stored = packed(&content[..len], element);
                let back = unpacked(&stored, len, element);
                assert!(back.as_deref() == Ok(&content[..len]), "{len} of {element}");
            }
        }
    }

    #[test]
    fn a_part_of_a_block_is_waited_for_and_nothing_else_is_read() {
        let stored = packed(&[1, 2, 3, 4].repeat(1000), 2);
        let (mut out, mut shuffled) = (vec![0; 4000], vec![0; SHUFFLED]);
        for len in 0..stored.len() {
            assert_eq!(unpack(&stored[..len], &mut out, 2, &mut shuffled), Ok(None));
        }
        let more = [&stored[..], &[0xFF; 9]].concat();
        assert_eq!(unpack(&more, &mut out, 2, &mut shuffled), Ok(Some(stored.len())));
    }

    #[test]
    fn any_changed_byte_is_refused_or_seen() {
        let mut content: Vec<u8> = (0..9000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        content.extend(noise(3000));
        for element in [1, 4, 8] {
            let stored = packed(&content, element);
            assert!(stored.len() < content.len() / 2);
            for at in 0..stored.len() {
                for bit in [0, 3, 7] {
                    let mut damaged = stored.clone();
                    damaged[at] ^= 1 << bit;
                    // What is none the less the same is no harm; else the checksum tells.
                    let back = unpacked(&damaged, content.len(), element);
                    assert!(back.is_err() || at >= 4 * element || back != Ok(content.clone()));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn anything_can_be_unpacked_without_harm(
            words in prop::collection::vec(prop_oneof![0u32..5000, any::<u32>()], 0..20),
            body in prop::collection::vec(any::<u8>(), 0..3000),
            len in 0usize..5000, element in 0usize..20,
        ) {
            let stored: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).chain(body).collect();
            let (mut out, mut shuffled) = (vec![0; len], vec![0; SHUFFLED]);
            if let Ok(Some(used)) = unpack(&stored, &mut out, element, &mut shuffled) {
                prop_assert!(used <= stored.len());
            }
        }

        #[test]
        fn what_is_packed_comes_back(
            pattern in prop::collection::vec(any::<u8>(), 1..40), times in 1usize..20_000,
            tail in prop::collection::vec(any::<u8>(), 0..300), element in 1usize..17,
        ) {
            let chunk = [pattern.repeat(times), tail].concat();
            prop_assert!(unpacked(&packed(&chunk, element), chunk.len(), element) == Ok(chunk));
        }
    }
}
