//! The RICE_1 decoder: differences of neighbours, Rice-coded in blocks.
//!
//! The bit stream is that of the FITS standard 4.0, section 10.4.1, and of R. Rice, P.-S. Yeh
//! and W. Miller, "Algorithms for high speed universal noiseless coding" (1993). A code word
//! costs a count of leading zeros and two shifts. Any bytes are safe to decode: what the
//! stream does not hold is taken as zeros and found out at the end.

use super::bits::Bits;

/// Why a stream cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RiceError {
    /// The stream ends before the last pixel.
    Truncated,
    /// A block names a split that the width does not have.
    BadSplit,
}

impl std::fmt::Display for RiceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RiceError::Truncated => "the Rice stream ends before the last pixel",
            RiceError::BadSplit => "the Rice stream has a block of an impossible kind",
        })
    }
}

/// A code word that may be longer than the window: zeros, a one, `split` bits.
#[cold]
fn long_word(bits: &mut Bits<'_>, split: u32) -> Result<u32, RiceError> {
    let mut zeros = 0u32;
    loop {
        bits.refill();
        let run = bits.window.leading_zeros();
        if run < bits.count {
            bits.skip(run + 1);
            zeros = zeros.wrapping_add(run);
            break;
        }
        zeros = zeros.wrapping_add(bits.count);
        bits.skip(bits.count);
        if bits.is_overrun() {
            return Err(RiceError::Truncated);
        }
    }
    bits.refill();
    Ok((zeros << split) | bits.take(split))
}

/// Decodes as many pixels as `out` has cells, of `N` = 1, 2 or 4 bytes in native order;
/// `block` is the number of pixels that share a split (16 or 32).
pub(super) fn decode<const N: usize>(
    bytes: &[u8],
    block: usize,
    out: &mut [[u8; N]],
) -> Result<(), RiceError> {
    let (split_bits, split_max): (u32, u32) = match N {
        1 => (3, 6),
        2 => (4, 14),
        _ => (5, 25),
    };
    let width = 8 * N as u32;
    let mut bits = Bits::of(bytes);
    let mut last = bits.take(width);
    let store = |value: u32| -> [u8; N] {
        let mut cell = [0; N];
        // The low bytes: pixels wrap around in their own width.
        if cfg!(target_endian = "little") {
            cell.copy_from_slice(&value.to_le_bytes()[..N]);
        } else {
            cell.copy_from_slice(&value.to_be_bytes()[4 - N..]);
        }
        cell
    };
    for cells in out.chunks_mut(block.max(1)) {
        bits.refill();
        let kind = bits.take(split_bits);
        if kind == 0 {
            cells.fill(store(last));
            continue;
        }
        let split = kind - 1;
        if split == split_max {
            for cell in cells {
                bits.refill();
                last = last.wrapping_add(unfold(bits.take(width)));
                *cell = store(last);
            }
        } else if split < split_max {
            for cell in cells {
                if bits.count < 48 {
                    bits.refill();
                }
                let zeros = bits.window.leading_zeros();
                let word = if zeros + 1 + split <= bits.count {
                    // Two shifts, since the zeros and the one together may be all 64 bits.
                    bits.window = (bits.window << zeros) << 1;
                    bits.count -= zeros + 1;
                    (zeros << split) | bits.take(split)
                } else {
                    long_word(&mut bits, split)?
                };
                last = last.wrapping_add(unfold(word));
                *cell = store(last);
            }
        } else {
            return Err(RiceError::BadSplit);
        }
    }
    if bits.is_overrun() { Err(RiceError::Truncated) } else { Ok(()) }
}

/// The signed difference that is coded as `word`: 0, -1, 1, -2, 2, …
#[inline(always)]
fn unfold(word: u32) -> u32 {
    (word >> 1) ^ (word & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes bits, most significant first.
    #[derive(Default)]
    struct BitWriter {
        bytes: Vec<u8>,
        used: u32,
    }

    impl BitWriter {
        fn put(&mut self, value: u64, bits: u32) {
            for i in (0..bits).rev() {
                if self.used.is_multiple_of(8) {
                    self.bytes.push(0);
                }
                let last = self.bytes.last_mut().unwrap();
                *last |= (((value >> i) & 1) as u8) << (7 - self.used % 8);
                self.used += 1;
            }
        }
    }

    /// The plainest encoder that the standard allows, with the split of each block given.
    fn encode(values: &[u32], width: u32, block: usize, splits: &[u32]) -> Vec<u8> {
        let (split_bits, split_max) = match width {
            8 => (3, 6),
            16 => (4, 14),
            _ => (5, 25),
        };
        let mask = u64::MAX >> (64 - width);
        let mut writer = BitWriter::default();
        let mut last = values[0];
        writer.put(u64::from(last), width);
        for (i, cells) in values.chunks(block).enumerate() {
            let words: Vec<u64> = cells
                .iter()
                .map(|&value| {
                    let difference = value.wrapping_sub(last);
                    last = value;
                    let signed = ((difference as i32) << (32 - width)) >> (32 - width);
                    let word = ((signed << 1) ^ (signed >> 31)) as u32;
                    u64::from(word) & mask
                })
                .collect();
            let split = splits[i % splits.len()] % (split_max + 1);
            if words.iter().all(|&w| w == 0) {
                writer.put(0, split_bits);
            } else if split == split_max || words.iter().any(|w| (w >> split) > 300) {
                writer.put(u64::from(split_max) + 1, split_bits);
                words.iter().for_each(|&w| writer.put(w, width));
            } else {
                writer.put(u64::from(split) + 1, split_bits);
                for &word in &words {
                    (0..word >> split).for_each(|_| writer.put(0, 1));
                    writer.put(1, 1);
                    writer.put(word & ((1 << split) - 1), split);
                }
            }
        }
        writer.bytes
    }

    fn decoded<const N: usize>(bytes: &[u8], block: usize, len: usize) -> Option<Vec<u32>> {
        let mut out = vec![[0; N]; len];
        decode::<N>(bytes, block, &mut out).ok()?;
        Some(
            out.iter()
                .map(|cell| cell.iter().rev().fold(0, |value: u32, &b| (value << 8) | u32::from(b)))
                .collect(),
        )
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(
            noise in proptest::collection::vec((0u32..32, any::<u32>()), 1..200),
            splits in proptest::collection::vec(0u32..26, 1..8),
            block in prop_oneof![Just(16usize), Just(32)],
        ) {
            let values: Vec<u32> = noise.iter().map(|&(s, v)| v.checked_shr(s).unwrap_or(0)).collect();
            prop_assert_eq!(decoded::<4>(&encode(&values, 32, block, &splits), block, values.len()), Some(values.clone()));
            let low: Vec<u32> = values.iter().map(|v| v & 0xFFFF).collect();
            prop_assert_eq!(decoded::<2>(&encode(&low, 16, block, &splits), block, low.len()), Some(low.clone()));
            let low: Vec<u32> = values.iter().map(|v| v & 0xFF).collect();
            prop_assert_eq!(decoded::<1>(&encode(&low, 8, block, &splits), block, low.len()), Some(low.clone()));
        }

        #[test]
        fn any_bytes_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..100), len in 0usize..300) {
            let _ = decoded::<4>(&bytes, 32, len);
            let _ = decoded::<2>(&bytes, 16, len);
            let _ = decoded::<1>(&bytes, 1, len);
        }
    }

    #[test]
    fn a_short_stream_is_an_error() {
        let values: Vec<u32> = (0..100).map(|i| i * i).collect();
        let bytes = encode(&values, 32, 32, &[5]);
        assert_eq!(decoded::<4>(&bytes[..bytes.len() - 2], 32, 100), None);
        assert_eq!(decoded::<4>(&[], 32, 1), None);
    }
}
