//! Batches of several chunks of a chain: the bits of one chunk after the other, in what the plan
//! says that they need.

use super::*;
use crate::array::Chunks;

/// Frames that have two bands each: more than a chain of them, the last one shorter if a chunk has two.
const SHAPE: [usize; 3] = [21, 300, 301];

fn frames(seed: usize) -> ArrayD<f64> {
    let value = |i: IxDyn| {
        let at = (i[0] * SHAPE[1] + i[1]) * SHAPE[2] + i[2] + seed;
        ((at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 - 7e6) / 37.0
    };
    ArrayD::from_shape_fn(IxDyn(&SHAPE), value)
}

/// Chunks whose elements are read as they lie.
fn plain(values: &ArrayD<f64>, frames: u64) -> Array<f64> {
    Array::chunked(values, [frames, SHAPE[1] as u64, SHAPE[2] as u64])
}

fn roots<const N: usize>(exprs: [&Expr; N]) -> Vec<Wanted> {
    exprs.map(|expr| wanted(expr, false)).into()
}

/// The most chunks that a batch of a visit takes.
fn together(plan: &Plan) -> u64 {
    let visits = plan.stages.iter().filter(|stage| stage.carries());
    visits.map(|stage| stage.batch).max().expect("a chain")
}

/// Checks that batches take `most` chunks, and that what comes of it has the bits of batches of one.
#[track_caller]
fn same_bits(name: &str, roots: &[Wanted], most: u64) {
    for reproducible in [false, true] {
        let planned = |memory, workers| {
            let means = How::new(memory, workers).means();
            Plan::fitting(roots, Means { reproducible, ..means }, 0).unwrap()
        };
        let none = Cancel::default();
        let mut one_by_one = planned(1 << 30, 1);
        assert!(
            reproducible || together(&one_by_one) == most,
            "{name}, {} chunks:\n{one_by_one}",
            together(&one_by_one)
        );
        for stage in one_by_one.stages.iter_mut().filter(|stage| stage.carries()) {
            stage.batch = 1;
        }
        let expected = planned_out_unless(&none, &one_by_one, roots, How::new(1 << 30, 1)).unwrap();
        let small = Means { reproducible, ..How::new(1 << 10, 2).means() };
        let least = Plan::least(roots, small).unwrap();
        for (memory, threads) in [(1 << 30, 1), (1 << 30, 3), (least, 2), (least * 2, 3)] {
            let plan = planned(memory, threads);
            assert!(plan.needed() <= memory);
            let ran = planned_out_unless(&none, &plan, roots, How::new(memory, threads)).unwrap();
            for (out, expected) in ran.outs.iter().zip(&expected.outs) {
                let (out, expected) = (out.as_bytes(), expected.as_bytes());
                assert!(out == expected, "{name} in {memory} bytes on {threads} threads");
            }
        }
    }
}

#[test]
fn a_cell_is_handed_its_elements_frame_by_frame() {
    let values = frames(0);
    // A chain of 16 frames, one of those that are left, and the two combined.
    let sum_of = |frames: std::ops::Range<usize>| {
        let mut sum = ndarray::Array::<f64, _>::zeros([SHAPE[1], SHAPE[2]]);
        for frame in frames {
            sum += &values.index_axis(ndarray::Axis(0), frame);
        }
        sum
    };
    let expected: Vec<u64> =
        (sum_of(0..16) + sum_of(16..21)).iter().map(|sum| sum.to_bits()).collect();
    let x = plain(&values, 1);
    let (sum, most) = (x.sum(0), x.max(..));
    // Beside a fold over all the chains are not cut into pieces.
    let both = roots([sum.expr(), most.expr()]);
    let least = least(&both, How::new(0, 2));
    for how in [How::new(1 << 30, 1), How::new(1 << 30, 3), How::new(least, 2)] {
        let sums = carried_out(&both, how).unwrap().outs.swap_remove(0);
        assert!(bytemuck::cast_slice::<u8, u64>(sums.as_bytes()) == expected, "{how:?}");
    }
}

#[test]
fn chunks_of_a_chain_give_the_bits_of_one_after_the_other() {
    let (x, y) = (frames(0), frames(5));
    for chunk in [1, 2] {
        let (x, y) = (plain(&x, chunk), plain(&y, chunk));
        let (mean, least, greatest, all) = (x.mean(0), x.min(..), x.max(..), x.mean(..));
        let all = roots([mean.expr(), least.expr(), greatest.expr(), all.expr()]);
        same_bits("a mean and folds over all", &all, 8);
        let (spread, place, each) = (x.std(0), x.argmax(0), x.mean([1, 2]));
        let mixed = roots([spread.expr(), place.expr(), each.expr(), x.sum(-1).expr()]);
        same_bits("folds of different blocks", &mixed, 8);
        let calibrated = (&x - y.min(0)).mean(0);
        same_bits("less what all frames share", &roots([calibrated.expr()]), 8);
        let product = &x * &y;
        let (sum, most) = (product.sum(0), product.max(..));
        same_bits("two sources", &roots([sum.expr(), most.expr()]), 8);
        let turned = x.slice_numpy("::-1, 3:, ::-1");
        let (mean, least) = (turned.mean(0), turned.min(..));
        same_bits("turned", &roots([mean.expr(), least.expr()]), 8);
    }
}

#[test]
fn chunks_that_are_decoded_whole_go_one_after_the_other() {
    let (x, y) = (frames(0), frames(5));
    let (packed, _) = whole(&x, &[1, SHAPE[1] as u64, SHAPE[2] as u64]);
    let (mean, most) = (packed.mean(0), packed.max(..));
    same_bits("whole chunks", &roots([mean.expr(), most.expr()]), 8);
    let masked = packed.greater(0.0).choose(plain(&y, 1), 1.5);
    let (mean, most) = (masked.mean(0), masked.max(..));
    same_bits("some of them whole", &roots([mean.expr(), most.expr()]), 8);
}

#[test]
fn chunks_that_wait_in_memory_are_not_gathered() {
    let x = plain(&frames(0), 1);
    let made = x.map_blocks(Chunks::same(), |block, _| block.mapv(|v| v + 1.0));
    let mean = made.declare_scratch(0).mean(0);
    same_bits("what is made elsewhere", &roots([mean.expr()]), 1);
}

#[test]
fn a_batch_ends_where_a_chain_does() {
    let x = plain(&frames(0), 1);
    for (len, frames, most) in [(4, ":20", 4), (6, ":18", 2), (5, ":20", 1), (16, ":16", 8)] {
        let x = x.slice_numpy(frames);
        let (boxes, all) = (x.rebin([len, 1, 1]).sum(), x.max(..));
        same_bits(&format!("of {len}"), &roots([boxes.expr(), all.expr()]), most);
    }
}
