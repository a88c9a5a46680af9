//! A source that makes its elements from their coordinates: ranges, diagonals, random numbers.
//!
//! An element's value depends on its place in the array and on nothing else, so that chunks
//! change no value.

use super::random::{Permutation, Stream, exponential, normal, poisson, unit};
use freeboard_formats::{
    ChunkMut, ChunkSource, DType, Fingerprint, Grid, Meta, ReadCost, ReadCx, Region, Result,
    Scalar, SourceSpec, Storage,
};
use std::{ops::Range, sync::Arc};

/// How an element follows from its place `i` in C order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Recipe {
    /// start + i · step, as int64; int32 keeps the low bits.
    Integers { start: i64, step: i64 },
    /// start + i · step, in doubles.
    Floats { start: f64, step: f64 },
    /// As `Floats`, but the element `last` is `stop` exactly.
    Between { start: f64, step: f64, last: u64, stop: f64 },
    /// 1 where the column is the row and `offset` more, of so many columns.
    Diagonal { columns: u64, offset: i64 },
    /// `true` where the column is at most the row and `offset` more, of so many columns.
    Triangle { columns: u64, offset: i64 },
    /// Random, even over 0 ≤ x < 1.
    Uniform(Stream),
    /// Random, normal with mean 0 and standard deviation 1.
    Normal(Stream),
    /// Random integers, even over `range` values from `low`.
    Even { stream: Stream, low: i64, range: u64 },
    /// Random, exponential with mean 1.
    Exponential(Stream),
    /// Random counts with this mean.
    Poisson { stream: Stream, mean: f64 },
    /// The integers from 0 on, each once, in random order.
    Permuted(Permutation),
}

impl Recipe {
    /// The elements from place `first` on, of a row in memory.
    fn fill(self, dtype: DType, first: u64, out: &mut [u8]) {
        let places = first..;
        match (self, dtype) {
            (Recipe::Integers { start, step }, DType::I32) => {
                let value = |i: u64| start.wrapping_add(step.wrapping_mul(i as i64)) as i32;
                set(out, places.map(value));
            }
            (Recipe::Integers { start, step }, _) => {
                set(out, places.map(|i| start.wrapping_add(step.wrapping_mul(i as i64))));
            }
            (Recipe::Floats { start, step }, DType::F32) => {
                set(out, places.map(|i| (start + i as f64 * step) as f32));
            }
            (Recipe::Floats { start, step }, _) => {
                set(out, places.map(|i| start + i as f64 * step))
            }
            (Recipe::Between { start, step, last, stop }, _) => {
                set(out, places.map(|i| if i == last { stop } else { start + i as f64 * step }));
            }
            (Recipe::Diagonal { columns, offset }, dtype) => {
                out.fill(0);
                let (one, size) = Scalar::Bool(true).cast(dtype).bytes();
                each_row(first, columns, (out.len() / size) as u64, |at, columns, row| {
                    if let Ok(column) = u64::try_from(row.saturating_add(offset))
                        && columns.contains(&column)
                    {
                        let at = (at + column - columns.start) as usize * size;
                        out[at..at + size].copy_from_slice(&one[..size]);
                    }
                });
            }
            (Recipe::Triangle { columns, offset }, _) => {
                each_row(first, columns, out.len() as u64, |at, columns, row| {
                    let end = row.saturating_add(offset).saturating_add(1).max(0) as u64;
                    let truths = end.clamp(columns.start, columns.end) - columns.start;
                    let part = &mut out[at as usize..(at + columns.end - columns.start) as usize];
                    let (yes, no) = part.split_at_mut(truths as usize);
                    yes.fill(1);
                    no.fill(0);
                });
            }
            (Recipe::Uniform(stream), _) => pairs(out, first, |pair| stream.words(pair).map(unit)),
            (Recipe::Normal(stream), _) => pairs(out, first, |pair| normal(stream.words(pair))),
            (Recipe::Exponential(stream), _) => {
                pairs(out, first, |pair| stream.words(pair).map(exponential));
            }
            (Recipe::Poisson { stream, mean }, _) => {
                set(out, places.map(|i| poisson(stream, i, mean)));
            }
            (Recipe::Permuted(permutation), _) => {
                set(out, places.map(|i| permutation.at(i) as i64));
            }
            (Recipe::Even { stream, low, range }, _) => pairs(out, first, |pair| {
                // The upper half of the product is even up to one part in 2^64 / range.
                let scaled = |word| ((u128::from(word) * u128::from(range)) >> 64) as i64;
                stream.words(pair).map(|word| low.wrapping_add(scaled(word)))
            }),
        }
    }
}

/// The `len` places from `first` on, in rows of so many columns: tells of each row how many places
/// lie before it, which columns are meant, and its number.
fn each_row(first: u64, columns: u64, len: u64, mut each: impl FnMut(u64, Range<u64>, i64)) {
    let mut done = 0;
    while done < len {
        let (row, column) = ((first + done) / columns, (first + done) % columns);
        let end = columns.min(column + len - done);
        each(done, column..end, row as i64);
        done += end - column;
    }
}

fn set<T: bytemuck::Pod>(out: &mut [u8], values: impl Iterator<Item = T>) {
    let out: &mut [T] = bytemuck::cast_slice_mut(out);
    out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
}

/// Elements that are made in pairs: `make(p)` gives those at 2p and 2p + 1.
fn pairs<T: bytemuck::Pod>(out: &mut [u8], first: u64, make: impl Fn(u64) -> [T; 2]) {
    let out: &mut [T] = bytemuck::cast_slice_mut(out);
    // The row may begin with the second of a pair.
    let (half, rest) = out.split_at_mut(((first % 2) as usize).min(out.len()));
    half.iter_mut().for_each(|element| *element = make(first / 2)[1]);
    for (elements, pair) in rest.chunks_mut(2).zip(first.div_ceil(2)..) {
        elements.copy_from_slice(&make(pair)[..elements.len()]);
    }
}

/// An array of elements that are made when they are read.
#[derive(Clone, Debug)]
pub(super) struct Generated {
    meta: Meta,
    recipe: Recipe,
}

impl Generated {
    /// The array of `grid`'s shape, of a dtype that the recipe makes.
    pub(super) fn new(dtype: DType, grid: Grid, recipe: Recipe) -> Generated {
        Generated { meta: Meta::new(dtype, grid), recipe }
    }
}

impl ChunkSource for Generated {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        ReadCost { bytes: 0, decoded: region.volume() * self.meta.dtype.size() as u64, scratch: 0 }
    }

    fn rechunked(&self, grid: &Grid) -> Option<Arc<dyn ChunkSource>> {
        let meta = Meta { grid: grid.clone(), ..self.meta.clone() };
        Some(Arc::new(Generated { meta, recipe: self.recipe }))
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        let (dtype, shape) = (self.meta.dtype, self.meta.shape());
        let row = region.shape.last().map_or(1, |&len| len as usize) * dtype.size();
        out.try_for_each_run(|start, run| {
            cx.cancel.check()?;
            // A run in memory is rows of the region, which lie apart in the array.
            let mut at: Vec<u64> = start.to_vec();
            for row in run.chunks_mut(row) {
                let place = at
                    .iter()
                    .zip(&region.start)
                    .zip(&shape)
                    .fold(0, |place, ((&i, &start), &len)| place * len + start + i);
                self.recipe.fill(dtype, place, row);
                for axis in (0..at.len().saturating_sub(1)).rev() {
                    at[axis] += 1;
                    if at[axis] < region.shape[axis] {
                        break;
                    }
                    at[axis] = 0;
                }
            }
            Ok(())
        })
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        let text = format!("{:?} {} {:?}", self.meta.shape(), self.meta.dtype, self.recipe);
        Ok(Fingerprint::of(text.as_bytes()))
    }

    fn spec(&self) -> SourceSpec {
        SourceSpec::default()
    }

    fn storage(&self) -> Storage {
        Storage { format: "generated".into(), ..Storage::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freeboard_formats::{Cancel, Element, FileCache};
    use proptest::prelude::*;

    /// The elements of a region, read into a buffer with gaps, or without.
    fn read<T: Element<Repr = T> + bytemuck::Pod>(
        source: &Generated,
        region: &Region,
        gap: bool,
    ) -> Vec<T> {
        let mut outer = region.shape.clone();
        if gap && let Some(last) = outer.last_mut() {
            *last += 1;
        }
        let mut buffer = vec![T::default(); outer.iter().product::<u64>() as usize];
        let within = Region::new(vec![0; outer.len()], region.shape.clone());
        let mut whole = ChunkMut::of(&mut buffer, &outer);
        let mut cx = ReadCx {
            scratch: &mut [],
            limit: 0,
            files: &FileCache::default(),
            cancel: &Cancel::default(),
        };
        source.read(region, whole.sub(&within), &mut cx).unwrap();
        whole.as_view().sub(&within).to_vec()
    }

    fn whole<T: Element<Repr = T> + bytemuck::Pod>(
        dtype: DType,
        shape: &[u64],
        recipe: Recipe,
    ) -> Vec<T> {
        read(&Generated::new(dtype, Grid::whole(shape), recipe), &Region::whole(shape), false)
    }

    #[test]
    fn moments_and_distribution_of_random_numbers() {
        let n = 100_000u64;
        let stream = Stream { seed: 7, number: 0 };
        let moments = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / n as f64;
            (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64).sqrt())
        };
        let mut uniform: Vec<f64> = whole(DType::F64, &[n], Recipe::Uniform(stream));
        let (mean, std) = moments(&uniform);
        assert!((mean - 0.5).abs() < 0.004 && (std - 12f64.sqrt().recip()).abs() < 0.002);
        // Kolmogorov–Smirnov: beyond 1.63 / √n once in a hundred seeds.
        uniform.sort_by(f64::total_cmp);
        let distance = |values: &[f64], cdf: fn(f64) -> f64| {
            let far = |(i, &v): (usize, &f64)| (cdf(v) - (i as f64 + 0.5) / n as f64).abs();
            values.iter().enumerate().map(far).fold(0.0, f64::max)
        };
        assert!(distance(&uniform, |v| v) < 1.63 / (n as f64).sqrt());
        let normal: Vec<f64> = whole(DType::F64, &[n], Recipe::Normal(stream));
        let (mean, std) = moments(&normal);
        assert!(mean.abs() < 0.012 && (std - 1.0).abs() < 0.008, "{mean} {std}");
        let within =
            |sigmas: f64| normal.iter().filter(|v| v.abs() < sigmas).count() as f64 / n as f64;
        for (sigmas, part) in
            [(0.5, 0.382_925), (1.0, 0.682_689), (2.0, 0.954_500), (3.0, 0.997_300)]
        {
            assert!((within(sigmas) - part).abs() < 0.006, "{sigmas}: {}", within(sigmas));
        }
        let dice: Vec<i64> = whole(DType::I64, &[n], Recipe::Even { stream, low: -3, range: 6 });
        for face in -3..3 {
            let part = dice.iter().filter(|&&d| d == face).count() as f64 / n as f64;
            assert!((part - 1.0 / 6.0).abs() < 0.005, "{face}: {part}");
        }
        assert!(dice.iter().all(|d| (-3..3).contains(d)));
    }

    #[test]
    fn counts_and_waiting_times() {
        let (n, stream) = (100_000u64, Stream { seed: 11, number: 2 });
        let waits: Vec<f64> = whole(DType::F64, &[n], Recipe::Exponential(stream));
        let beyond = |t: f64| waits.iter().filter(|&&wait| wait > t).count() as f64 / n as f64;
        for t in [0.1, 1.0, 3.0] {
            assert!((beyond(t) - (-t).exp()).abs() < 0.006, "{t}: {}", beyond(t));
        }
        for mean in [0.3, 4.0, 9.9, 10.0, 45.5, 3000.0] {
            let counts: Vec<i64> = whole(DType::I64, &[n], Recipe::Poisson { stream, mean });
            let got = counts.iter().sum::<i64>() as f64 / n as f64;
            let spread = counts.iter().map(|&c| (c as f64 - mean).powi(2)).sum::<f64>() / n as f64;
            // Four standard deviations of the mean and of the variance.
            assert!((got - mean).abs() < 4.0 * (mean / n as f64).sqrt(), "{mean}: {got}");
            let sigma = ((mean + 2.0 * mean * mean) / n as f64).sqrt();
            assert!((spread - mean).abs() < 4.0 * sigma, "{mean}: {spread}");
            // P(0) = exp(-mean), and the next ones by the ratio mean / k.
            let mut part = (-mean).exp();
            for count in 0..4 {
                let got = counts.iter().filter(|&&c| c == count).count() as f64 / n as f64;
                assert!((got - part).abs() < 0.006, "{mean}, {count}: {got} is not {part}");
                part *= mean / (count + 1) as f64;
            }
        }
        assert_eq!(whole::<i64>(DType::I64, &[3], Recipe::Poisson { stream, mean: 0.0 }), [0; 3]);
    }

    #[test]
    fn permutations() {
        for n in [1, 2, 3, 10, 64, 1000] {
            let of = |number| -> Vec<i64> {
                let permutation = Permutation::new(Stream { seed: 5, number }, n);
                whole(DType::I64, &[n], Recipe::Permuted(permutation))
            };
            let mut once = of(0);
            assert!(n < 10 || once != of(1));
            once.sort_unstable();
            assert_eq!(once, (0..n as i64).collect::<Vec<_>>());
        }
        // Every order of three comes about equally often.
        let mut counts = std::collections::HashMap::new();
        for seed in 0..6000 {
            let permutation = Permutation::new(Stream { seed, number: 0 }, 3);
            *counts.entry([0, 1, 2].map(|i| permutation.at(i))).or_insert(0) += 1;
        }
        assert!(
            counts.len() == 6 && counts.values().all(|c| (880..1120).contains(c)),
            "{counts:?}"
        );
    }

    #[test]
    fn streams_and_seeds_differ() {
        let of = |seed, number| -> Vec<f64> {
            whole(DType::F64, &[4], Recipe::Uniform(Stream { seed, number }))
        };
        assert_eq!(of(1, 0), of(1, 0));
        assert_ne!(of(1, 0), of(2, 0));
        assert_ne!(of(1, 0), of(1, 1));
    }

    #[test]
    fn diagonals() {
        let eye: Vec<u8> = whole(DType::U8, &[3, 3], Recipe::Diagonal { columns: 3, offset: 0 });
        assert_eq!(eye, [1, 0, 0, 0, 1, 0, 0, 0, 1]);
        let above: Vec<u8> = whole(DType::U8, &[3, 2], Recipe::Diagonal { columns: 2, offset: 1 });
        assert_eq!(above, [0, 1, 0, 0, 0, 0]);
        let below: Vec<u8> = whole(DType::U8, &[3, 2], Recipe::Diagonal { columns: 2, offset: -2 });
        assert_eq!(below, [0, 0, 0, 0, 1, 0]);
        let far = Recipe::Diagonal { columns: 2, offset: i64::MAX };
        assert_eq!(whole::<u8>(DType::U8, &[3, 2], far), [0; 6]);
        let triangle = Recipe::Triangle { columns: 3, offset: -1 };
        let triangle = read::<u8>(
            &Generated::new(DType::Bool, Grid::whole(&[3, 3]), triangle),
            &Region::whole(&[3, 3]),
            false,
        );
        assert_eq!(triangle, [0, 0, 0, 1, 0, 0, 1, 1, 0]);
    }

    proptest! {
        #[test]
        fn any_box_holds_the_elements_of_the_whole(
            shape in proptest::collection::vec(1u64..5, 0..4),
            corners in proptest::collection::vec((0u64..5, 1u64..5), 4),
            gap: bool,
            kind in 0..4,
        ) {
            let stream = Stream { seed: 3, number: 1 };
            let recipe = match kind {
                0 => Recipe::Floats { start: 1.0, step: 0.5 },
                1 => Recipe::Diagonal { columns: 3, offset: 1 },
                2 => Recipe::Normal(stream),
                _ => Recipe::Uniform(stream),
            };
            let source = Generated::new(DType::F64, Grid::whole(&shape), recipe);
            let all: Vec<f64> = read(&source, &Region::whole(&shape), false);
            let (start, lens): (Vec<u64>, Vec<u64>) = shape
                .iter()
                .zip(&corners)
                .map(|(&len, &(start, width))| (start % len, width.min(len - start % len)))
                .unzip();
            let region = Region::new(start, lens);
            let expected = freeboard_formats::ChunkView::of(&all, &shape).sub(&region).to_vec::<f64>();
            prop_assert_eq!(read::<f64>(&source, &region, gap), expected);
        }
    }
}
