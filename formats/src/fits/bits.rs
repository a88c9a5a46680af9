//! A stream of bits, most significant first, as RICE_1 and HCOMPRESS_1 have it.
//!
//! It is read through a 64-bit window that is refilled eight bytes at a time. What the stream
//! does not hold reads as zeros; [`Bits::is_overrun`] tells afterwards.

/// The most significant bits of `window` are the next of the stream; `count` of them are valid.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    next: usize,
    pub(super) window: u64,
    pub(super) count: u32,
}

impl Bits<'_> {
    /// The bits of `bytes`, at least 56 of them valid.
    pub(super) fn of(bytes: &[u8]) -> Bits<'_> {
        let mut bits = Bits { bytes, next: 0, window: 0, count: 0 };
        bits.refill();
        bits
    }

    /// Makes at least 56 bits valid.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        match self.bytes.get(self.next..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(word) => {
                // Bits past `count` are ORed again with themselves on the next refill.
                self.window |= u64::from_be_bytes(*word) >> self.count;
                self.next += ((63 - self.count) / 8) as usize;
                self.count |= 56;
            }
            None => self.refill_at_end(),
        }
    }

    #[cold]
    fn refill_at_end(&mut self) {
        // Here, bits past `count` may be left over from a wide refill: cleared first.
        self.window &= !(u64::MAX >> self.count);
        while self.count <= 55 {
            let byte = self.bytes.get(self.next).copied().unwrap_or(0);
            self.window |= u64::from(byte) << (56 - self.count);
            self.next += 1;
            self.count += 8;
        }
    }

    /// Drops `bits` (below 64) of the valid bits.
    #[inline(always)]
    pub(super) fn skip(&mut self, bits: u32) {
        self.window <<= bits;
        self.count -= bits;
    }

    /// The next `bits` (at most 32) bits, of those that are valid.
    #[inline(always)]
    pub(super) fn take(&mut self, bits: u32) -> u32 {
        let value = ((self.window >> 1) >> (63 - bits)) as u32;
        self.skip(bits);
        value
    }

    /// Whether more was taken than the stream holds.
    pub(super) fn is_overrun(&self) -> bool {
        (self.next as u64 * 8).saturating_sub(self.count.into()) > self.bytes.len() as u64 * 8
    }

    /// Drops what is left of a byte that was begun.
    pub(super) fn align(&mut self) {
        self.skip(self.count % 8);
    }
}
