//! The PLIO_1 decoder: runs of zeros and of one high value, for masks.
//!
//! The instructions are those of the FITS standard 4.0, section 10.4.3 and table 39: words of
//! 16 bits, the highest four of which say what to do and the others with how much. The header
//! is IRAF's (`pl_l2pi`): its length and that of the list, in one of two layouts.

/// Why a line list cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlioError {
    /// It is shorter than its header says, or has none.
    Truncated,
    /// An instruction that there is not.
    BadInstruction(u16),
}

impl std::fmt::Display for PlioError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PlioError::Truncated => f.write_str("the PLIO line list ends too early"),
            PlioError::BadInstruction(code) => {
                write!(f, "the PLIO line list has an instruction {code}, which there is not")
            }
        }
    }
}

/// Decodes as many pixels as `out` has cells, 32-bit integers in native order. What the list
/// says beyond them is left alone; what it leaves open is 0.
pub(super) fn decode(bytes: &[u8], out: &mut [[u8; 4]]) -> Result<(), PlioError> {
    let words = bytes.as_chunks::<2>().0;
    let word =
        |at: usize| words.get(at).map(|&w| u16::from_be_bytes(w)).ok_or(PlioError::Truncated);
    // In the old layout the fourth word is the length; in the other it is negative.
    let (first, len) = match word(2)?.cast_signed() {
        old if old > 0 => (3, usize::from(old.cast_unsigned())),
        _ => (usize::from(word(1)?), (usize::from(word(4)?) << 15) + usize::from(word(3)?)),
    };
    let list = words.get(first..len).ok_or(PlioError::Truncated)?;
    let mut list = list.iter().map(|&w| u16::from_be_bytes(w));
    let (mut high, mut at) = (1u32, 0usize);
    let mut put = |at: &mut usize, zeros: usize, highs: usize, high: u32| {
        let start = (*at).min(out.len());
        let middle = (start + zeros).min(out.len());
        let end = (middle + highs).min(out.len());
        out[start..middle].fill([0; 4]);
        out[middle..end].fill(high.to_ne_bytes());
        *at = end;
    };
    while let Some(word) = list.next() {
        let (code, data) = (word >> 12, word & 0xFFF);
        let count = usize::from(data);
        match code {
            0 => put(&mut at, count, 0, high),
            4 => put(&mut at, 0, count, high),
            5 => put(&mut at, count.saturating_sub(1), 1, high),
            1 => {
                let above = list.next().ok_or(PlioError::Truncated)?;
                high = (u32::from(above) << 12) + u32::from(data);
            }
            2 => high = high.wrapping_add(data.into()),
            3 => high = high.wrapping_sub(data.into()),
            6 => {
                high = high.wrapping_add(data.into());
                put(&mut at, 0, 1, high);
            }
            7 => {
                high = high.wrapping_sub(data.into());
                put(&mut at, 0, 1, high);
            }
            other => return Err(PlioError::BadInstruction(other)),
        }
    }
    out[at..].fill([0; 4]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(words: &[u16], len: usize) -> Result<Vec<u32>, PlioError> {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        let mut out = vec![[0xA5; 4]; len];
        decode(&bytes, &mut out).map(|()| out.into_iter().map(u32::from_ne_bytes).collect())
    }

    #[test]
    fn every_instruction() {
        let body = [
            0x0002, // 2 zeros
            0x4001, // 1 high value, which is 1 so far
            0x1005, 0x0001, // the high value is 4101
            0x5003, // 2 zeros and the high value
            0x2002, // 4103
            0x3001, // 4102
            0x6001, // 4103, put
            0x7003, // 4100, put
        ];
        let wanted = [0, 0, 1, 0, 0, 4101, 4103, 4100, 0, 0];
        let mut new = vec![0, 7, (-100i16).cast_unsigned(), 7 + body.len() as u16, 0, 0, 0];
        new.extend(body);
        assert_eq!(decoded(&new, 10).unwrap(), wanted);
        let mut old = vec![0, 0, 3 + body.len() as u16];
        old.extend(body);
        assert_eq!(decoded(&old, 10).unwrap(), wanted);
        assert_eq!(decoded(&new, 3).unwrap(), wanted[..3]);
        for cut in 0..new.len() {
            assert_eq!(decoded(&new[..cut], 10), Err(PlioError::Truncated), "{cut}");
        }
        assert_eq!(decoded(&[0, 0, 4, 0x9000], 4), Err(PlioError::BadInstruction(9)));
    }
}
