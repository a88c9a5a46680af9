//! Order statistics of any number of elements, by counting their digits.
//!
//! A selection by radix: an element becomes an integer of 32 bits that is ordered as the elements
//! are. One pass counts the upper 16 bits of all; that tells in which of the 65,536 sets an
//! element of a given rank is. A second pass counts the lower 16 bits in that set. So any
//! percentile takes two passes and a megabyte a thread, however many elements there are.

use super::blocks;
use crate::{
    array::{Array, Line, cast},
    error::Result,
    expr::{Expr, Need, Needs},
    kernel::{BlockCx, BlockKernel, exactly},
};
use freeboard_formats::{AxisGrid, ChunkMut, ChunkView, DType, Grid, Meta, Scalar};
use std::{borrow::Cow, sync::Arc};

/// The values of a digit.
const DIGITS: u64 = 1 << 16;

/// Percentiles that are found together.
const COUNT: u64 = 2;

/// Two percentiles of the finite elements, as doubles without axes; NaN where there are none.
pub(super) fn of(expr: &Expr, percents: [f64; 2], at: Line) -> Result<(Expr, Expr)> {
    let expr = cast(expr, DType::F32, at);
    let grid = expr.meta()?.grid.clone();
    let expr = match blocks(&grid) {
        cut if cut == grid => expr,
        cut => expr.rechunk(cut, at),
    };
    let grid = &expr.meta()?.grid;
    let rank = grid.rank();
    // Counts of each block, and their sums.
    let counted = |inputs: Vec<(Expr, Needs)>, shape: &[u64]| {
        let numbers = grid.axes().iter().map(|axis| AxisGrid::regular(axis.count(), 1));
        let made = Grid::new(numbers.chain(shape.iter().map(|&len| AxisGrid::whole(len))));
        let parts = Expr::block(Arc::new(Count), inputs, Meta::new(DType::I64, made), at);
        let axes: Vec<i64> = (0..rank as i64).collect();
        Array::<i64>::from_expr(parts).sum(&axes[..]).expr().clone()
    };
    let block_of = || (expr.clone(), Needs::new((0..rank).map(|of| Need::Block { of })));
    let whole = |expr: &Expr, rank: usize| (expr.clone(), Needs::new(vec![Need::All; rank]));
    let upper = counted(vec![block_of()], &[DIGITS]);
    let made = Meta::new(DType::I64, Grid::whole(&[COUNT, 2]));
    let chosen = Expr::block(Arc::new(Choose { percents }), [whole(&upper, 1)], made, at);
    let lower = counted(vec![block_of(), whole(&chosen, 2)], &[COUNT, DIGITS]);
    let made = Meta::new(DType::F64, Grid::whole(&[COUNT]));
    let inputs = [whole(&chosen, 2), whole(&lower, 2)];
    let found = Array::<f64>::from_expr(Expr::block(Arc::new(Find), inputs, made, at));
    let one = |number: i64| found.slice(ndarray::s![number as isize]).expr().clone();
    Ok((one(0), one(1)))
}

/// The integer of a finite element, ordered as elements are.
fn key(value: f32) -> Option<u32> {
    let bits = value.to_bits();
    let key = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    value.is_finite().then_some(key)
}

/// The element of an integer.
fn element(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

fn view_of<'a>(block: &ChunkView<'a>) -> Result<ndarray::ArrayViewD<'a, i64>, String> {
    block.as_ndarray().ok_or_else(|| "the block has other elements than integers".to_owned())
}

/// Counts upper digits; or, where upper digits were chosen, the lower ones behind each.
#[derive(Debug)]
struct Count;

impl BlockKernel for Count {
    fn name(&self) -> Cow<'static, str> {
        "count digits".into()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        _: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let counts = out.as_slice::<i64>().ok_or("counts are no integers")?;
        counts.fill(0);
        let (elements, chosen) = match inputs {
            [elements] => (elements, None),
            _ => {
                let [elements, chosen] = exactly(inputs, &self.name())?;
                (elements, Some(chosen))
            }
        };
        let elements = elements.as_ndarray::<f32>().ok_or("no block of float32")?;
        let keys = elements.iter().filter_map(|&value| key(value));
        let Some(chosen) = chosen else {
            keys.for_each(|key| counts[(key >> 16) as usize] += 1);
            return Ok(());
        };
        let chosen = view_of(chosen)?;
        let (first, second) = counts.split_at_mut(DIGITS as usize);
        let of = [chosen[[0, 0]], chosen[[1, 0]]];
        for key in keys {
            let (upper, lower) = (i64::from(key >> 16), (key & 0xffff) as usize);
            first[lower] += i64::from(upper == of[0]);
            second[lower] += i64::from(upper == of[1]);
        }
        Ok(())
    }
}

/// The digit of the element of a rank, and its rank among those of that digit.
fn find(counts: impl Iterator<Item = i64>, mut rank: i64) -> Option<(i64, i64)> {
    for (digit, count) in counts.enumerate() {
        if rank < count {
            return Some((digit as i64, rank));
        }
        rank -= count;
    }
    None
}

/// From counts of upper digits to the upper digit of each percentile, and the rank behind it;
/// -1 where there are no elements.
#[derive(Debug)]
struct Choose {
    percents: [f64; 2],
}

impl BlockKernel for Choose {
    fn name(&self) -> Cow<'static, str> {
        "choose digits".into()
    }

    fn params(&self) -> Vec<Scalar> {
        self.percents.map(Scalar::F64).to_vec()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        _: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let [counts] = exactly(inputs, &self.name())?;
        let counts = view_of(counts)?;
        let out = out.as_slice::<i64>().ok_or("digits are no integers")?;
        let last = counts.iter().sum::<i64>() - 1;
        for (out, percent) in out.as_chunks_mut::<2>().0.iter_mut().zip(self.percents) {
            let rank = (percent / 100.0 * last as f64).floor() as i64;
            let found = find(counts.iter().copied(), rank.clamp(0, last.max(0)));
            *out = found.map_or([-1, 0], |(digit, rank)| [digit, rank]);
        }
        Ok(())
    }
}

/// From chosen upper digits and counts of the lower ones to elements.
#[derive(Debug)]
struct Find;

impl BlockKernel for Find {
    fn name(&self) -> Cow<'static, str> {
        "find ranks".into()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        _: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let [chosen, counts] = exactly(inputs, &self.name())?;
        let (chosen, counts) = (view_of(chosen)?, view_of(counts)?);
        let out = out.as_slice::<f64>().ok_or("elements are no doubles")?;
        for ((out, chosen), counts) in
            out.iter_mut().zip(chosen.outer_iter()).zip(counts.outer_iter())
        {
            let lower = find(counts.iter().copied(), chosen[1]);
            *out = match (chosen[0], lower) {
                (upper @ 0.., Some((lower, _))) => {
                    f64::from(element((upper as u32) << 16 | lower as u32))
                }
                _ => f64::NAN,
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Session;
    use proptest::prelude::*;
    use std::panic::Location;

    fn percentiles(values: &[f32], chunk: i64, percents: [f64; 2]) -> (f64, f64) {
        let array = Array::from_ndarray(&ndarray::arr1(values)).rechunk([chunk]);
        let (low, high) = of(array.expr(), percents, Location::caller()).unwrap();
        let number = |expr| Array::<f64>::from_expr(expr).item();
        let session = Session::builder().memory("512MiB").threads(2).build().unwrap();
        session.compute((number(low), number(high))).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn they_are_elements_of_those_ranks(
            mut values in proptest::collection::vec(any::<f32>(), 1..200),
            chunk in 1i64..80,
            percents in [0.0..=100.0f64, 0.0..=100.0f64],
        ) {
            let (low, high) = percentiles(&values, chunk, percents);
            values.retain(|value| value.is_finite());
            values.sort_by(f32::total_cmp);
            for (found, percent) in [low, high].into_iter().zip(percents) {
                if values.is_empty() {
                    prop_assert!(found.is_nan());
                    continue;
                }
                let rank = (percent / 100.0 * (values.len() - 1) as f64).floor() as usize;
                prop_assert_eq!(found, f64::from(values[rank]));
            }
        }
    }

    #[test]
    fn keys_are_ordered_as_elements() {
        let values = [f32::MIN, -1.0, -f32::MIN_POSITIVE, -0.0, 0.0, 1e-40, 1.0, f32::MAX];
        let keys = values.map(|value| key(value).unwrap());
        assert!(keys.is_sorted_by(|a, b| a < b));
        assert_eq!(keys.map(|key| element(key).to_bits()), values.map(f32::to_bits));
        assert_eq!([f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(key), [None; 3]);
    }
}
