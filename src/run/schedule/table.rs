//! Tables of what is known of chunks, which take memory in small steps.
//!
//! A hash table doubles as it grows, and holds the old one until the new one is filled: at a
//! million chunks that would be hundreds of megabytes at once, at a moment that nobody chooses. So
//! a table is many small ones, of which one at a time doubles. What they take is known exactly,
//! and never shrinks: a table keeps its room, and what is freed goes to the allocator, which may keep it.

use super::Key;
use crate::run::Map;
use std::ops::Index;

/// How many parts a table has: a power of two.
const PARTS: usize = 32;

/// A map from chunks.
#[derive(Debug)]
pub(crate) struct Table<V> {
    parts: Box<[Part<V>]>,
    len: usize,
    /// Entries that there is memory for, full or not, in all parts and in the largest.
    room: u64,
    largest: u64,
}

#[derive(Debug)]
struct Part<V> {
    map: Map<Key, V>,
    /// The most that `map` had room for. Removed entries may leave marks that make it less.
    capacity: usize,
}

impl<V> Default for Table<V> {
    fn default() -> Table<V> {
        let part = || Part { map: Map::default(), capacity: 0 };
        let parts = std::iter::repeat_with(part).take(PARTS).collect();
        Table { parts, len: 0, room: 0, largest: 0 }
    }
}

/// Entries that a map of the standard library has memory for: a power of two, of which seven
/// eighths are filled at the most.
pub(super) fn room(capacity: usize) -> u64 {
    match capacity {
        0 => 0,
        _ => (capacity as u64 * 8).div_ceil(7).next_power_of_two(),
    }
}

/// The part that a chunk is in, by Fibonacci hashing (Knuth, *The Art of Computer Programming* 3,
/// section 6.4): neighbours, and chunks in regular distances, come into different ones.
fn part_of(key: &Key) -> usize {
    let mixed = (key.index ^ u64::from(key.port) << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> (u64::BITS - PARTS.trailing_zeros())) as usize
}

impl<V> Table<V> {
    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Entries that there is memory for.
    #[cfg(test)]
    pub(super) fn room(&self) -> u64 {
        self.room
    }

    /// Entries that there will be memory for, with those of the part that grows meanwhile, when the
    /// largest part is the next to grow.
    pub(super) fn room_ahead(&self) -> u64 {
        self.room + 2 * self.largest
    }

    /// Whether a chunk has an entry.
    pub(crate) fn contains_key(&self, key: &Key) -> bool {
        self.parts[part_of(key)].map.contains_key(key)
    }

    /// The entry of a chunk.
    pub(crate) fn get(&self, key: &Key) -> Option<&V> {
        self.parts[part_of(key)].map.get(key)
    }

    /// The entry of a chunk, to be changed.
    pub(crate) fn get_mut(&mut self, key: &Key) -> Option<&mut V> {
        self.parts[part_of(key)].map.get_mut(key)
    }

    /// Sets the entry of a chunk.
    pub(crate) fn insert(&mut self, key: Key, value: V) {
        let part = &mut self.parts[part_of(&key)];
        if part.map.insert(key, value).is_none() {
            self.len += 1;
        }
        let capacity = part.map.capacity();
        if capacity > part.capacity {
            let grown = room(capacity);
            self.room += grown - room(part.capacity);
            self.largest = self.largest.max(grown);
            part.capacity = capacity;
        }
    }

    /// Removes the entry of a chunk.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<V> {
        let removed = self.parts[part_of(key)].map.remove(key);
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// Removes the entries of all chunks that are not to stay, and hands each to `removed`.
    pub(crate) fn remove_unless(
        &mut self,
        stays: impl Fn(&Key) -> bool,
        mut removed: impl FnMut(V),
    ) {
        for part in &mut self.parts {
            for (_, value) in part.map.extract_if(|key, _| !stays(key)) {
                self.len -= 1;
                removed(value);
            }
        }
    }

    /// All entries, in no order.
    #[cfg(test)]
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.parts.iter().flat_map(|part| part.map.values())
    }

    /// All entries, in no order.
    #[cfg(test)]
    pub(crate) fn into_values(self) -> impl Iterator<Item = V> {
        self.parts.into_iter().flat_map(|part| part.map.into_values())
    }
}

impl<V> Index<&Key> for Table<V> {
    type Output = V;

    fn index(&self, key: &Key) -> &V {
        &self.parts[part_of(key)].map[key]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u32, index: u64) -> Key {
        Key { port, index }
    }

    #[test]
    fn the_room_is_what_the_parts_have_memory_for() {
        let mut table = Table::default();
        for step in [1, 64, 1000, 1 << 40] {
            for index in 0..20_000 {
                table.insert(key(step as u32 & 7, index * step), index);
                let held = table.room();
                // Filled to seven eighths at the most, and to seven sixteenths at the least, up to
                // what chance makes of the parts.
                assert!(held * 7 / 8 >= table.len() as u64, "{held} for {}", table.len());
                assert!(table.room_ahead() - held <= held / 4 || table.len() < 5_000);
            }
            let parts = table.parts.iter().map(|part| part.map.len());
            let (least, most) = (parts.clone().min().unwrap(), parts.max().unwrap());
            assert!(most < 2 * least, "{least} to {most} entries in a part, by {step}");
            assert!(table.room() <= 3 * table.len() as u64);
        }
        let (room, len) = (table.room(), table.len());
        for index in 0..20_000 {
            assert_eq!(table.get(&key(1, index)), Some(&index));
            assert_eq!(table.remove(&key(1, index)), Some(index));
        }
        assert_eq!((table.room(), table.len()), (room, len - 20_000));
        let mut removed = 0;
        table.remove_unless(|key| key.port != 0, |_| removed += 1);
        assert_eq!((table.len(), removed), (0, len - 20_000));
    }
}
