//! The byte compressors of the LZ77 family that HDF5's plugins bring: LZF and framed LZ4.
//!
//! LZF is Lehmann's liblzf as h5py registers it (filter 32000): bare tokens. Filter 32004
//! puts LZ4 blocks behind a header of its own (HDF Group's `H5Zlz4.c`).

use super::corrupt;
use crate::error::Result;

/// Decodes an LZF stream; returns how many bytes it gave.
///
/// A token below 32 is followed by so many bytes and one more, as they are. In any other the
/// upper three bits are the length less two of a copy (7: plus the next byte), the lower five
/// and one more byte how far behind, less one, it begins.
pub(super) fn unlzf(input: &[u8], out: &mut [u8]) -> Result<usize> {
    let ends = || corrupt("the LZF stream ends in the middle of a token");
    let outgrows = || corrupt("the LZF stream gives more than a chunk");
    let (mut at, mut len) = (0, 0);
    while let Some(&token) = input.get(at) {
        at += 1;
        let token = usize::from(token);
        if token < 32 {
            let count = token + 1;
            let literals = input.get(at..at + count).ok_or_else(ends)?;
            out.get_mut(len..len + count).ok_or_else(outgrows)?.copy_from_slice(literals);
            (at, len) = (at + count, len + count);
            continue;
        }
        let mut count = (token >> 5) + 2;
        if token >> 5 == 7 {
            count += usize::from(*input.get(at).ok_or_else(ends)?);
            at += 1;
        }
        let back = ((token & 31) << 8) + usize::from(*input.get(at).ok_or_else(ends)?) + 1;
        at += 1;
        let start = len.checked_sub(back);
        let start = start.ok_or_else(|| corrupt("the LZF stream copies from before its start"))?;
        if len + count > out.len() {
            return Err(outgrows());
        }
        if back >= count {
            out.copy_within(start..start + count, len);
        } else {
            // The copy runs into itself: it repeats what lies behind.
            for i in 0..count {
                out[len + i] = out[start + i];
            }
        }
        len += count;
    }
    Ok(len)
}

/// Decodes the filter's LZ4 frame: the decoded length (8 bytes) and that of a block (4), then
/// each block behind the length that it has encoded (4), all big-endian; a block that did not
/// become shorter lies there as it is. Returns how many bytes it gave.
pub(super) fn unlz4(input: &[u8], out: &mut [u8]) -> Result<usize> {
    let ends = || corrupt("the LZ4 frame is cut short");
    let (total, rest) = input.split_first_chunk::<8>().ok_or_else(ends)?;
    let (block, mut rest) = rest.split_first_chunk::<4>().ok_or_else(ends)?;
    let total = u64::from_be_bytes(*total);
    let block = u32::from_be_bytes(*block) as usize;
    let total = usize::try_from(total).ok().filter(|&total| total <= out.len());
    let total = total.ok_or_else(|| corrupt("the LZ4 frame claims more than a chunk"))?;
    if block == 0 && total > 0 {
        return Err(corrupt("the LZ4 frame has blocks of no length"));
    }
    for block in out[..total].chunks_mut(block.max(1)) {
        let (stored, behind) = rest.split_first_chunk::<4>().ok_or_else(ends)?;
        let stored = u32::from_be_bytes(*stored) as usize;
        let (encoded, behind) = behind.split_at_checked(stored).ok_or_else(ends)?;
        rest = behind;
        match encoded.len() == block.len() {
            true => block.copy_from_slice(encoded),
            false => lz4_block(encoded, block)?,
        }
    }
    Ok(total)
}

/// Decodes one LZ4 block, which must fill `out`.
pub(super) fn lz4_block(encoded: &[u8], out: &mut [u8]) -> Result<()> {
    match lz4_flex::block::decompress_into(encoded, out) {
        Ok(len) if len == out.len() => Ok(()),
        Ok(len) => Err(corrupt(format!("an LZ4 block gives {len} bytes, not {}", out.len()))),
        Err(error) => Err(corrupt(format!("an LZ4 block is damaged: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_lzf() {
        let mut out = [0; 12];
        // Three bytes as they are, then five copied from two behind, over themselves.
        assert_eq!(unlzf(&[2, b'a', b'b', b'c', 3 << 5, 1], &mut out).unwrap(), 8);
        assert_eq!(&out[..8], b"abcbcbcb");
        // A long copy: 7 + 2 + 0 bytes.
        assert_eq!(unlzf(&[0, b'x', 7 << 5, 0, 0], &mut out).unwrap(), 10);
        for bad in [&[5u8, 1][..], &[0, 1, 32], &[0, 1, 32, 1], &[7 << 5, 200, 0], &[31; 33]] {
            assert!(unlzf(bad, &mut out).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lz4_frames_are_held_to_the_buffer() {
        let frame = |total: u64, block: u32, body: &[u8]| {
            [&total.to_be_bytes()[..], &block.to_be_bytes(), body].concat()
        };
        let mut out = [0; 6];
        let body = [0, 0, 0, 4, 1, 2, 3, 4, 0, 0, 0, 2, 5, 6];
        assert_eq!(unlz4(&frame(6, 4, &body), &mut out).unwrap(), 6);
        assert_eq!(out, [1, 2, 3, 4, 5, 6]);
        assert_eq!(unlz4(&frame(0, 0, &[]), &mut out).unwrap(), 0);
        for bad in [frame(7, 4, &body), frame(6, 0, &body), frame(6, 4, &body[..9])] {
            assert!(unlz4(&bad, &mut out).is_err(), "{bad:?}");
        }
    }
}
