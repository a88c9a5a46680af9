//! The RICE_1 encoder, the counterpart of [`super::super::rice`].
//!
//! Differences of neighbours, folded to 0, -1, 1, -2, …, are written in blocks of 32: their low
//! bits as they are, the rest in unary. How many bits are low is chosen for each block
//! from their mean, as in the paper that the decoder names.

/// Pixels that share a split.
pub(in super::super) const BLOCK: usize = 32;

/// The most bytes that so many pixels of `width` bytes take: no split makes a block much
/// longer than its pixels.
pub(in super::super) fn bound(pixels: u64, width: u64) -> u64 {
    pixels.saturating_mul(width + 1).saturating_add(64)
}

/// Bits behind one another, most significant first.
struct Bits<'a> {
    out: &'a mut [u8],
    len: usize,
    /// The low `count` bits are not written yet.
    held: u64,
    count: u32,
}

impl Bits<'_> {
    /// Adds the low `bits` (at most 32) of `value`, which has no others.
    #[inline(always)]
    fn put(&mut self, value: u32, bits: u32) {
        self.held = (self.held << bits) | u64::from(value);
        self.count += bits;
        if self.count >= 32 {
            self.count -= 32;
            let word = ((self.held >> self.count) as u32).to_be_bytes();
            self.out[self.len..self.len + 4].copy_from_slice(&word);
            self.len += 4;
        }
    }

    /// Adds so many zeros and a one.
    #[inline(always)]
    fn unary(&mut self, mut zeros: u32) {
        while zeros >= 32 {
            self.put(0, 32);
            zeros -= 32;
        }
        self.put(1, zeros + 1);
    }

    fn finish(mut self) -> usize {
        let bytes = self.count.div_ceil(8);
        if bytes > 0 {
            let word = ((self.held << (32 - self.count)) as u32).to_be_bytes();
            self.out[self.len..self.len + bytes as usize].copy_from_slice(&word[..bytes as usize]);
        }
        self.len += bytes as usize;
        self.len
    }
}

/// Encodes pixels of `N` = 1, 2 or 4 bytes, in the order of a file, into `out`, which has room
/// for [`bound`]; the bytes that they take.
pub(in super::super) fn encode<const N: usize>(pixels: &[[u8; N]], out: &mut [u8]) -> usize {
    let (split_bits, split_max): (u32, u32) = match N {
        1 => (3, 6),
        2 => (4, 14),
        _ => (5, 25),
    };
    let width = 8 * N as u32;
    let value = |pixel: &[u8; N]| {
        let mut word = [0; 4];
        word[4 - N..].copy_from_slice(pixel);
        u32::from_be_bytes(word)
    };
    let mut bits = Bits { out, len: 0, held: 0, count: 0 };
    let Some(first) = pixels.first() else { return 0 };
    let mut last = value(first);
    bits.put(last, width);
    let mut folded = [0u32; BLOCK];
    for block in pixels.chunks(BLOCK) {
        let folded = &mut folded[..block.len()];
        let mut sum = 0u64;
        for (word, pixel) in folded.iter_mut().zip(block) {
            let next = value(pixel);
            // Differences wrap around in the pixels' own width.
            let difference =
                (next.wrapping_sub(last) << (32 - width)).cast_signed() >> (32 - width);
            *word = ((difference << 1) ^ (difference >> 31)).cast_unsigned()
                & (u32::MAX >> (32 - width));
            sum += u64::from(*word);
            last = next;
        }
        if sum == 0 {
            bits.put(0, split_bits);
            continue;
        }
        // The mean, less a half and a little, of which the split is the logarithm.
        let count = block.len() as u64;
        let mean = sum.saturating_sub(count / 2 + 1) / count;
        let split = 64 - (mean >> 1).leading_zeros();
        if split >= split_max {
            bits.put(split_max + 1, split_bits);
            folded.iter().for_each(|&word| bits.put(word, width));
            continue;
        }
        bits.put(split + 1, split_bits);
        for &word in &*folded {
            bits.unary(word >> split);
            bits.put(word & ((1 << split) - 1), split);
        }
    }
    bits.finish()
}

#[cfg(test)]
mod tests {
    use super::{super::super::rice::decode, *};
    use proptest::prelude::*;

    fn round_trip<const N: usize>(values: &[u32]) {
        let pixels: Vec<[u8; N]> =
            values.iter().map(|v| v.to_be_bytes()[4 - N..].try_into().unwrap()).collect();
        let mut out = vec![0xA5; bound(pixels.len() as u64, N as u64) as usize];
        let len = encode(&pixels, &mut out);
        let mut back = vec![[0; N]; pixels.len()];
        decode(&out[..len], BLOCK, &mut back).unwrap();
        if cfg!(target_endian = "little") {
            back.iter_mut().for_each(|cell| cell.reverse());
        }
        assert_eq!(back, pixels);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            noise in proptest::collection::vec((0u32..33, any::<u32>()), 1..200),
        ) {
            let values: Vec<u32> = noise.iter().map(|&(s, v)| v.checked_shr(s).unwrap_or(0)).collect();
            round_trip::<1>(&values);
            round_trip::<2>(&values);
            round_trip::<4>(&values);
        }
    }

    #[test]
    fn extremes_and_one_far_value_in_a_block() {
        for (low, high) in [(0, u32::MAX), (0, 1), (u32::MAX / 2, u32::MAX / 2 + 1), (7, 7)] {
            let values: Vec<u32> = (0..300).map(|i| if i % 2 == 0 { low } else { high }).collect();
            round_trip::<1>(&values);
            round_trip::<2>(&values);
            round_trip::<4>(&values);
            let mut values = vec![low; 300];
            values[40] = high;
            round_trip::<1>(&values);
            round_trip::<2>(&values);
            round_trip::<4>(&values);
        }
    }
}
