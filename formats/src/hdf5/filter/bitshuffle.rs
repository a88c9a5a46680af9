//! Bitshuffle (filter 32008): bits of equal significance put together, in blocks, which LZ4
//! or zstd may compress.
//!
//! After Masui et al. 2015, "A compression scheme for radio data in high performance
//! computing", and the layout that its `bshuf_h5filter.c` writes. A block of `n` elements, `n`
//! a multiple of 8, becomes one row of `n` bits for each bit of an element, the least
//! significant bit of the first byte first. What is left behind the last 8 elements lies there
//! as it is.

use super::{corrupt, lz::lz4_block};
use crate::{error::Result, frames::unzstd};

/// Bytes of a block where a file does not tell, about.
const DEFAULT_BLOCK: usize = 8192;
/// Elements that a block has at the least where a file does not tell.
const MIN_ELEMENTS: usize = 128;
/// Elements that make up whole bytes of a row.
const GROUP: usize = 8;

/// What compresses the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Lz4,
    Zstd,
}

/// The filter, as a file describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bitshuffle {
    /// Bytes of an element.
    pub(super) element: usize,
    /// Bytes of a block.
    pub(super) block: usize,
    pub(super) codec: Codec,
}

impl Bitshuffle {
    /// The filter from its client data: two numbers of its version, bytes of an element,
    /// elements of a block (0: the default), compressor (0, 2: LZ4, 3: zstd).
    pub(super) fn new(client: &[u32]) -> Result<Bitshuffle> {
        let element = client.get(2).map_or(0, |&size| size as usize);
        let codec = match client.get(4) {
            None | Some(0) => Codec::None,
            Some(2) => Codec::Lz4,
            Some(3) => Codec::Zstd,
            Some(other) => return Err(corrupt(format!("bitshuffle has no compressor {other}"))),
        };
        let elements = match client.get(3) {
            Some(&elements) if elements > 0 => elements as usize,
            _ => (DEFAULT_BLOCK / element.max(1) / GROUP * GROUP).max(MIN_ELEMENTS),
        };
        match elements.checked_mul(element) {
            Some(block) if block > 0 && elements.is_multiple_of(GROUP) => {
                Ok(Bitshuffle { element, block, codec })
            }
            _ => Err(corrupt(format!(
                "bitshuffle has blocks of {elements} elements of {element} bytes"
            ))),
        }
    }

    /// Bytes of the block that decoding holds beside its input and output, for at most
    /// `whole` decoded bytes.
    pub(super) fn scratch(&self, whole: usize) -> usize {
        if self.codec == Codec::None { 0 } else { self.block.min(whole) }
    }

    /// Undoes the filter; returns how many bytes it gave. `spare` is as long as
    /// [`Bitshuffle::scratch`] says for `out`.
    pub(super) fn decode(&self, input: &[u8], out: &mut [u8], spare: &mut [u8]) -> Result<usize> {
        if self.codec == Codec::None {
            let out = out.get_mut(..input.len());
            let out = out.ok_or_else(|| corrupt("the bitshuffled bytes are more than a chunk"))?;
            let whole = input.len() / (GROUP * self.element) * (GROUP * self.element);
            for (input, out) in
                input[..whole].chunks(self.block).zip(out[..whole].chunks_mut(self.block))
            {
                unshuffle(input, out, self.element);
            }
            out[whole..].copy_from_slice(&input[whole..]);
            return Ok(input.len());
        }
        let ends = || corrupt("the bitshuffled bytes are cut short");
        let (total, rest) = input.split_first_chunk::<8>().ok_or_else(ends)?;
        let (block, mut rest) = rest.split_first_chunk::<4>().ok_or_else(ends)?;
        let total = usize::try_from(u64::from_be_bytes(*total)).ok();
        let out = total.and_then(|total| out.get_mut(..total));
        let out = out.ok_or_else(|| corrupt("bitshuffle claims more bytes than a chunk has"))?;
        let group = GROUP * self.element;
        let whole = out.len() / group * group;
        let block = u32::from_be_bytes(*block) as usize;
        if block == 0 || !block.is_multiple_of(group) || block.min(whole) > spare.len() {
            return Err(corrupt(format!(
                "a block of {block} bytes, where the filter says {}",
                self.block
            )));
        }
        let (blocks, left) = out.split_at_mut(whole);
        for out in blocks.chunks_mut(block) {
            let (stored, behind) = rest.split_first_chunk::<4>().ok_or_else(ends)?;
            let stored = u32::from_be_bytes(*stored) as usize;
            let (encoded, behind) = behind.split_at_checked(stored).ok_or_else(ends)?;
            rest = behind;
            let shuffled = &mut spare[..out.len()];
            match self.codec {
                Codec::Zstd if unzstd(encoded, shuffled)? == out.len() => {}
                Codec::Zstd => return Err(corrupt("a bitshuffled block has another length")),
                _ => lz4_block(encoded, shuffled)?,
            }
            unshuffle(shuffled, out, self.element);
        }
        left.copy_from_slice(rest.get(..left.len()).ok_or_else(ends)?);
        Ok(whole + left.len())
    }
}

/// Undoes the shuffling of one block: whole groups of 8 elements of `element` bytes.
fn unshuffle(input: &[u8], out: &mut [u8], element: usize) {
    // A row of bits has a byte for each group of elements.
    let row = input.len() / (GROUP * element);
    for byte in 0..element {
        let rows: [&[u8]; GROUP] =
            std::array::from_fn(|bit| &input[(byte * GROUP + bit) * row..][..row]);
        for (group, out) in out.chunks_exact_mut(GROUP * element).enumerate() {
            let bits = u64::from_le_bytes(rows.map(|row| row[group]));
            let bytes = transpose(bits).to_le_bytes();
            for (i, value) in bytes.into_iter().enumerate() {
                out[i * element + byte] = value;
            }
        }
    }
}

/// Transposes a matrix of 8 × 8 bits, a byte a row (Warren, "Hacker's Delight", 7-3).
fn transpose(mut bits: u64) -> u64 {
    for (shift, mask) in
        [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)]
    {
        let moved = (bits ^ (bits >> shift)) & mask;
        bits ^= moved ^ (moved << shift);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_go_where_they_belong() {
        for row in 0..8 {
            for column in 0..8 {
                assert_eq!(transpose(1 << (8 * row + column)), 1 << (8 * column + row));
            }
        }
        // Of 8 elements of 2 bytes only the sixth is set: bit 3 of its second byte.
        let mut input = [0u8; 16];
        input[8 + 3] = 1 << 5;
        let mut out = [0u8; 16];
        unshuffle(&input, &mut out, 2);
        let mut expected = [0u8; 16];
        expected[5 * 2 + 1] = 1 << 3;
        assert_eq!(out, expected);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Bitshuffle::new(&[]).is_err());
        assert!(Bitshuffle::new(&[0, 2, 4, 12, 2]).is_err(), "12 is no multiple of 8");
        assert!(Bitshuffle::new(&[0, 2, 4, 0, 7]).is_err());
        let filter = Bitshuffle::new(&[0, 2, 2, 0, 2]).unwrap();
        assert_eq!(filter.block, 8192);
        let mut spare = vec![0; filter.scratch(64)];
        let frame = |total: u64, block: u32| {
            [&total.to_be_bytes()[..], &block.to_be_bytes(), &[0, 0, 0, 9]].concat()
        };
        for bad in [frame(65, 8192), frame(64, 0), frame(64, 24), frame(64, 8192), vec![0; 11]] {
            assert!(filter.decode(&bad, &mut [0; 64], &mut spare).is_err(), "{bad:?}");
        }
    }
}
