//! The block kernels of `unique`: tables of the distinct values of blocks, and tables merged.
//!
//! A table is an array of 64-bit words of fixed length: how many values there are, then for each a key that is ordered as
//! the values are, how often it occurs, and where it first does. Elements are gathered, neighbours that are equal at
//! once, in a strip that stays in cache; each strip is sorted and merged into the table, from the last
//! entry to the first, so that no second table is needed.

use super::{BlockCx, BlockKernel, SEGMENT, carve, carved, exactly};
use freeboard_formats::{ChunkMut, ChunkView, DType, Element, Region, Scalar, with_dtype};
use std::borrow::Cow;

/// A distinct value: its key, how often it occurs, and the C-order index of the first.
type Entry = [u64; 3];

/// Entries that are gathered before they are sorted.
const STRIP: usize = 1 << 14;

/// The words of a table for so many values.
pub fn table_words(values: u64) -> u64 {
    values.saturating_mul(3).saturating_add(1)
}

/// A word that is ordered as the values of a dtype are; NaNs are all alike, and last.
trait Key: Copy {
    fn key(self) -> u64;
    fn of(key: u64) -> Self;
}

macro_rules! unsigned_keys {
    ($($t:ty),*) => {$(
        impl Key for $t {
            fn key(self) -> u64 {
                self.into()
            }
            fn of(key: u64) -> $t {
                key as $t
            }
        }
    )*};
}
unsigned_keys!(u8, u16, u32, u64);

const SIGN: u64 = 1 << 63;

macro_rules! signed_keys {
    ($($t:ty),*) => {$(
        impl Key for $t {
            fn key(self) -> u64 {
                i64::from(self) as u64 ^ SIGN
            }
            fn of(key: u64) -> $t {
                (key ^ SIGN) as $t
            }
        }
    )*};
}
signed_keys!(i8, i16, i32, i64);

impl Key for f64 {
    fn key(self) -> u64 {
        if self.is_nan() {
            return u64::MAX;
        }
        // Both zeros are one value.
        let bits = (self + 0.0).to_bits();
        if bits & SIGN == 0 { bits ^ SIGN } else { !bits }
    }
    fn of(key: u64) -> f64 {
        match key {
            u64::MAX => f64::NAN,
            key if key & SIGN != 0 => f64::from_bits(key ^ SIGN),
            key => f64::from_bits(!key),
        }
    }
}

impl Key for f32 {
    fn key(self) -> u64 {
        f64::from(self).key()
    }
    fn of(key: u64) -> f32 {
        f64::of(key) as f32
    }
}

/// The values of `keys`, elements of `dtype` as they lie in chunks, one after the other into `out`.
pub fn put_values(dtype: DType, keys: impl Iterator<Item = u64>, out: &mut [u8]) {
    with_dtype!(dtype, T => {
        let out: &mut [<T as Element>::Repr] = bytemuck::cast_slice_mut(out);
        out.iter_mut().zip(keys).for_each(|(out, key)| *out = Key::of(key));
    });
}

/// A table that is filled.
struct Table<'a> {
    len: &'a mut u64,
    entries: &'a mut [Entry],
}

impl<'a> Table<'a> {
    /// Of `words`, with no value yet.
    fn new(words: &'a mut [u64]) -> Option<Table<'a>> {
        let (len, entries) = words.split_first_mut()?;
        *len = 0;
        Some(Table { len, entries: bytemuck::cast_slice_mut(entries) })
    }

    /// Takes over `more`, whose keys increase.
    fn merge(&mut self, more: &[Entry]) -> Result<(), String> {
        let mut have = *self.len as usize;
        // As many as have a key of their own; two pointers rise through both.
        let (mut i, mut common) = (0, 0);
        for entry in more {
            i += self.entries[i..have].iter().take_while(|own| own[0] < entry[0]).count();
            common += usize::from(i < have && self.entries[i][0] == entry[0]);
        }
        let most = self.entries.len();
        let all = have + more.len() - common;
        let Some(entries) = self.entries.get_mut(..all) else {
            return Err(format!("more than {most} distinct values, the most that were asked for"));
        };
        *self.len = all as u64;
        let mut end = all;
        for &entry in more.iter().rev() {
            while have > 0 && entries[have - 1][0] > entry[0] {
                (end, have) = (end - 1, have - 1);
                entries[end] = entries[have];
            }
            end -= 1;
            entries[end] = match have > 0 && entries[have - 1][0] == entry[0] {
                true => {
                    have -= 1;
                    joined(entries[have], entry)
                }
                false => entry,
            };
        }
        Ok(())
    }
}

/// Two entries of one key.
fn joined(a: Entry, b: Entry) -> Entry {
    [a[0], a[1] + b[1], a[2].min(b[2])]
}

/// Sorts entries, and joins those of one key at the front; how many these are.
fn sorted(entries: &mut [Entry]) -> usize {
    // Sums and minima of equal keys do not depend on their order.
    entries.sort_unstable_by_key(|entry| entry[0]);
    let mut last = 0;
    for i in 1..entries.len() {
        if entries[last][0] == entries[i][0] {
            entries[last] = joined(entries[last], entries[i]);
        } else {
            last += 1;
            entries[last] = entries[i];
        }
    }
    (last + 1).min(entries.len())
}

/// Makes a table of the distinct values of a block. It lies along an axis behind axes of length 1, one
/// for each of the input's.
#[derive(Clone, Debug)]
pub struct Distinct {
    /// The dtype of the elements.
    pub dtype: DType,
    /// The shape of the whole array.
    pub shape: Vec<u64>,
}

impl Distinct {
    /// The C-order index, in the whole array, of the element of a block with the C-order index `at`.
    fn index(&self, block: &Region, mut at: u64) -> u64 {
        let (mut index, mut stride) = (0, 1);
        for axis in (0..self.shape.len()).rev() {
            let len = block.shape[axis];
            index += (block.start[axis] + at % len) * stride;
            (at, stride) = (at / len, stride * self.shape[axis]);
        }
        index
    }

    fn gather<T: Key>(
        &self,
        run: &[T],
        place: impl Fn(u64) -> u64,
        strip: &mut [Entry],
        held: &mut usize,
        table: &mut Table<'_>,
    ) -> Result<(), String> {
        for (&element, at) in run.iter().zip(0..) {
            let key = element.key();
            match held.checked_sub(1).map(|last| &mut strip[last]) {
                Some(last) if last[0] == key => last[1] += 1,
                _ => {
                    if *held == strip.len() {
                        let count = sorted(strip);
                        table.merge(&strip[..count])?;
                        *held = 0;
                    }
                    strip[*held] = [key, 1, place(at)];
                    *held += 1;
                }
            }
        }
        Ok(())
    }
}

impl BlockKernel for Distinct {
    fn name(&self) -> Cow<'static, str> {
        "distinct".into()
    }

    fn params(&self) -> Vec<Scalar> {
        self.shape.iter().map(|&len| Scalar::U64(len)).collect()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, _: &[Region], _: &Region) -> u64 {
        carved::<Entry>(STRIP) + carved::<u64>(SEGMENT)
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        mut scratch: &mut [u8],
        cx: &BlockCx,
    ) -> Result<(), String> {
        let (strip, run) = (carve(&mut scratch, STRIP), carve::<u64>(&mut scratch, SEGMENT));
        let [input] = exactly(inputs, &self.name())?;
        let words = out.as_slice::<u64>().ok_or("a table is one of uint64")?;
        let mut table = Table::new(words).ok_or("a table has a first word")?;
        let (block, mut held) = (&cx.inputs[0], 0);
        for start in (0..input.len()).step_by(SEGMENT) {
            let count = SEGMENT.min(input.len() - start);
            let run = &mut bytemuck::cast_slice_mut(run)[..count * self.dtype.size()];
            input.copy_run(start, run);
            let place = |at: u64| self.index(block, start as u64 + at);
            with_dtype!(self.dtype, T => {
                let run: &[<T as Element>::Repr] = bytemuck::cast_slice(run);
                self.gather(run, place, strip, &mut held, &mut table)?;
            });
        }
        let held = sorted(&mut strip[..held]);
        table.merge(&strip[..held])
    }
}

/// Merges the tables of a block into one.
#[derive(Clone, Copy, Debug)]
pub struct MergeDistinct;

impl BlockKernel for MergeDistinct {
    fn name(&self) -> Cow<'static, str> {
        "merge distinct".into()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, _: &[Region], _: &Region) -> u64 {
        carved::<Entry>(STRIP)
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        mut scratch: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let strip: &mut [Entry] = carve(&mut scratch, STRIP);
        let [tables] = exactly(inputs, &self.name())?;
        let words = out.as_slice::<u64>().ok_or("a table is one of uint64")?;
        let mut table = Table::new(words).ok_or("a table has a first word")?;
        let words = tables.shape().last().map_or(1, |&words| words as usize).max(1);
        for first in (0..tables.len()).step_by(words) {
            let mut len = [0u64];
            tables.copy_run(first, bytemuck::cast_slice_mut(&mut len));
            let len = len[0] as usize;
            for start in (0..len).step_by(STRIP) {
                let entries = &mut strip[..STRIP.min(len - start)];
                tables.copy_run(first + 1 + 3 * start, bytemuck::cast_slice_mut(entries));
                table.merge(entries)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn keys_are_ordered_as_values() {
        let floats = [f64::NEG_INFINITY, -2.5, -f64::MIN_POSITIVE, 0.0, 5e-324, 1.0, f64::INFINITY];
        assert!(floats.map(Key::key).is_sorted_by(|a: &u64, b| a < b));
        assert_eq!(floats.map(|v| f64::of(v.key())), floats);
        assert_eq!((-0.0f64).key(), 0.0f64.key());
        assert!(f64::INFINITY.key() < f64::NAN.key() && f32::of((-f32::NAN).key()).is_nan());
        assert!([-128i8, -1, 0, 127].map(Key::key).is_sorted());
        assert_eq!(i64::of(i64::MIN.key()), i64::MIN);
    }

    proptest! {
        #[test]
        fn merged_as_a_map(strips in proptest::collection::vec(proptest::collection::vec(0u64..40, 0..30), 0..6)) {
            let (mut words, mut expected) = ([0; 121], BTreeMap::new());
            let mut table = Table::new(&mut words).unwrap();
            for (strip, number) in strips.iter().zip(0u64..) {
                let mut entries: Vec<Entry> = strip.iter().zip(0..).map(|(&key, i)| [key, 1, 100 * number + i]).collect();
                for &[key, _, at] in &entries {
                    let entry = expected.entry(key).or_insert([key, 0, at]);
                    entry[1] += 1;
                }
                let len = sorted(&mut entries);
                table.merge(&entries[..len]).unwrap();
            }
            let made = &table.entries[..*table.len as usize];
            prop_assert_eq!(made, expected.into_values().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_full_table_is_told() {
        let mut words = [0; 7];
        let mut table = Table::new(&mut words).unwrap();
        table.merge(&[[1, 1, 0], [4, 1, 1]]).unwrap();
        table.merge(&[[4, 1, 2]]).unwrap();
        let error = table.merge(&[[2, 1, 3]]).unwrap_err();
        assert!(error.starts_with("more than 2 distinct values"), "{error}");
    }
}
