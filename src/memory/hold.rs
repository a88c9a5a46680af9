//! Bytes of an arena that nobody gets: for what lies elsewhere, and is to count under the same limit.

use super::Arena;
use freeboard_formats::Result;

/// Bytes that count as live in an arena, without memory behind them; given back on drop.
#[derive(Debug)]
pub struct Hold {
    arena: Arena,
    bytes: u64,
}

impl Hold {
    /// Nothing yet, of `arena`.
    pub fn new(arena: &Arena) -> Hold {
        Hold { arena: arena.clone(), bytes: 0 }
    }

    /// How many bytes are held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds `bytes` altogether. Where idle ranges have them, these are given back to the operating system first.
    ///
    /// # Errors
    /// [`ErrorKind::StorageFull`](freeboard_formats::ErrorKind::StorageFull) if live buffers leave no room for
    /// more; then as much is held as before.
    pub fn resize(&mut self, bytes: u64) -> Result<()> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.arena.count(more)?,
            None => self.arena.discount(self.bytes - bytes),
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.arena.discount(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MIB;

    #[test]
    fn what_is_held_is_not_given_out() {
        let arena = Arena::new(4 * MIB);
        let mut hold = Hold::new(&arena);
        let buffer = arena.alloc(MIB as usize).unwrap();
        drop(arena.alloc(2 * MIB as usize).unwrap());
        assert_eq!((arena.live(), arena.idle()), (MIB, 2 * MIB));
        // Idle ranges go, of the very size too: memory lies elsewhere now.
        hold.resize(2 * MIB).unwrap();
        assert_eq!((arena.live(), arena.idle(), hold.bytes()), (3 * MIB, 0, 2 * MIB));
        assert!(arena.alloc(2 * MIB as usize).is_err());
        assert!(hold.resize(4 * MIB).is_err());
        assert_eq!((arena.live(), hold.bytes()), (3 * MIB, 2 * MIB));
        drop(buffer);
        hold.resize(4 * MIB).unwrap();
        assert!(arena.live() + arena.idle() <= arena.limit());
        hold.resize(MIB).unwrap();
        drop(arena.alloc(3 * MIB as usize).unwrap());
        drop(hold);
        assert_eq!(arena.live(), 0);
        assert!(arena.peak() <= 4 * MIB);
    }
}
