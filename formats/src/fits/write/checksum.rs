//! DATASUM and CHECKSUM: ones' complement sums of 32-bit words (FITS standard 4.0, section
//! 4.4.2.7 and appendix J).
//!
//! Such a sum does not depend on the order in which parts are added. A part that begins
//! within a word has the sum that it would have at a word's beginning, rotated by its bytes.

use super::{super::header::CARD, cards::replace};
use crate::error::Result;
use std::{fs::File, ops::Range, os::unix::fs::FileExt};

/// The sum of bytes that lie `at` bytes from the beginning of a unit.
pub(super) fn sum(bytes: &[u8], at: u64) -> u32 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    // 2^32 words of 32 bits fit, which no part has.
    let words: u64 = words.iter().map(|&word| u64::from(u32::from_be_bytes(word))).sum();
    fold(words + u64::from(u32::from_be_bytes(last))).rotate_right(8 * (at % 4) as u32)
}

/// The ones' complement sum that an ordinary sum of such sums stands for.
pub(super) fn fold(sum: u64) -> u32 {
    let once = (sum & 0xFFFF_FFFF) + (sum >> 32);
    ((once & 0xFFFF_FFFF) + (once >> 32)) as u32
}

/// The sum of a part of a file.
pub(super) fn of_file(file: &File, part: Range<u64>) -> Result<u32> {
    let mut buffer = vec![0; 64 << 10];
    let (mut at, mut total) = (part.start, 0u64);
    while at < part.end {
        let len = (part.end - at).min(buffer.len() as u64) as usize;
        file.read_exact_at(&mut buffer[..len], at)?;
        total += u64::from(sum(&buffer[..len], at - part.start));
        at += len as u64;
    }
    Ok(fold(total))
}

/// Puts the checksums into a header that has cards for them, `data` being the data's sum.
pub(super) fn put(header: &mut [u8], data: u32) {
    replace(header, "DATASUM", &data.to_string().into(), "of the data");
    let total = fold(u64::from(sum(header, 0)) + u64::from(data));
    let text = encode(!total);
    let key = b"CHECKSUM= '";
    if let Some(card) = header.chunks_exact_mut(CARD).find(|card| card.starts_with(key)) {
        card[key.len()..][..16].copy_from_slice(&text);
    }
}

/// A number as 16 letters and digits that sum up to it, in place of 16 zeros that begin in
/// the last byte of a word (appendix J.2).
fn encode(value: u32) -> [u8; 16] {
    let mut text = [0; 16];
    for (i, byte) in value.to_be_bytes().into_iter().enumerate() {
        // Four characters that sum up to the byte.
        let mut four = [byte / 4 + b'0'; 4];
        four[0] += byte % 4;
        // Pairs are moved apart until none is punctuation.
        for pair in four.chunks_exact_mut(2) {
            while pair.iter().any(|c| !c.is_ascii_alphanumeric()) {
                pair[0] += 1;
                pair[1] -= 1;
            }
        }
        for (k, c) in four.into_iter().enumerate() {
            text[(4 * k + i + 1) % 16] = c;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_wherever_they_are_cut() {
        let bytes: Vec<u8> = (0..999u32).map(|i| ((i * 7919) >> 5) as u8).collect();
        let whole = sum(&bytes, 0);
        for cut in 0..bytes.len() {
            let (a, b) = bytes.split_at(cut);
            let parts = u64::from(sum(b, cut as u64)) + u64::from(sum(a, 0));
            assert_eq!(fold(parts), whole, "{cut}");
        }
        assert_eq!(sum(&[0xFF; 8], 0), u32::MAX);
    }

    #[test]
    fn a_header_with_its_checksum_sums_up_to_nothing() {
        // The example of appendix J.2.
        assert_eq!(&encode(!868_229_149), b"hcHjjc9ghcEghc9g");
        for data in [0, 1, 0x7FFF_FFFF, 0xDEAD_BEEF, u32::MAX] {
            let mut cards = super::super::cards::Cards::default();
            cards.value("SIMPLE", &true.into(), "");
            cards.checksums();
            let mut header = cards.finish();
            put(&mut header, data);
            assert_eq!(fold(u64::from(sum(&header, 0)) + u64::from(data)), u32::MAX);
            let text = String::from_utf8(header[CARD + 11..CARD + 27].to_vec()).unwrap();
            assert!(text.bytes().all(|c| c.is_ascii_alphanumeric()), "{text}");
        }
    }
}
