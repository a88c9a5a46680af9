//! The buffers that an arena gives out: memory that somebody owns until it is dropped.

use super::{Arena, Shared};
use crate::memory::pages::{Heap, Range};
use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
};

/// Bytes of an arena, start aligned to 64 (4096 where it is a mapping); given back on drop.
pub struct Buffer {
    /// Present until the buffer is dropped.
    block: Option<Block>,
    len: usize,
    arena: Arc<Shared>,
}

/// Where a buffer's bytes are.
pub(super) enum Block {
    Mapped(Range),
    Heap(Heap),
}

impl Block {
    fn bytes(&self) -> &[u8] {
        match self {
            Block::Mapped(range) => range.bytes(),
            Block::Heap(heap) => heap.bytes(),
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Block::Mapped(range) => range.bytes_mut(),
            Block::Heap(heap) => heap.bytes_mut(),
        }
    }
}

impl Buffer {
    /// A buffer of `len` bytes of `block`, which are counted as live in `arena`.
    pub(super) fn new(block: Block, len: usize, arena: Arc<Shared>) -> Buffer {
        Buffer { block: Some(block), len, arena }
    }

    /// The bytes, as many as were asked for.
    pub fn as_slice(&self) -> &[u8] {
        &self.padded()[..self.len]
    }

    /// The bytes, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let len = self.len;
        &mut self.padded_mut()[..len]
    }

    /// The bytes and the padding behind them, of unspecified value: whole pages, page
    /// aligned, where the buffer is a mapping, so that direct I/O can move them as they are.
    pub fn padded(&self) -> &[u8] {
        self.block.as_ref().map_or(&[], Block::bytes)
    }

    /// As [`Buffer::padded`], to be written.
    pub fn padded_mut(&mut self) -> &mut [u8] {
        self.block.as_mut().map_or(&mut [], Block::bytes_mut)
    }

    /// The bytes that this buffer is accounted at.
    pub fn accounted(&self) -> u64 {
        Arena::rounded(self.len as u64)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let size = self.accounted();
        match self.block.take() {
            Some(Block::Mapped(range)) => {
                let mut state = self.arena.lock();
                state.live -= size;
                state.put_idle(range, None);
            }
            heap => {
                // Freed before it is no longer counted.
                drop(heap);
                self.arena.lock().live -= size;
            }
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish_non_exhaustive()
    }
}
