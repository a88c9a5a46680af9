//! What verbs mean, by their values: each is computed by sessions of one and of two threads, by
//! the plainest evaluation of its expression, and by `ndarray`, on random grids; all agree to
//! the bit.

use evaluate::evaluate;
use freeboard::{
    Array, DType, Element, Session,
    array::{
        AnyArray, Chunks, Compute, Kind, Pad, Root, arange, blockwise, concatenate, eye, keepdims,
        linspace, ones, random, stack,
    },
    expr::{Need, Needs},
    formats::{AxisGrid, ChunkMut, ChunkView, Grid, Meta, Region, with_dtype},
    kernel::{BlockCx, BlockKernel},
    s,
};
use ndarray::{ArrayD, Axis, IxDyn, NewAxis, Zip};
use proptest::prelude::*;
use std::{borrow::Cow, sync::LazyLock};

#[path = "oracle/combine.rs"]
mod combine;
#[path = "oracle/evaluate.rs"]
mod evaluate;
#[path = "oracle/filter.rs"]
mod filter;
#[path = "oracle/functions.rs"]
mod functions;
#[path = "oracle/linalg.rs"]
mod linalg;
#[path = "oracle/measure.rs"]
mod measure;
#[path = "oracle/numpy.rs"]
mod numpy;
#[path = "oracle/products.rs"]
mod products;

static SESSIONS: LazyLock<[Session; 2]> = LazyLock::new(|| {
    [1, 2].map(|threads| Session::builder().memory("512MiB").threads(threads).build().unwrap())
});

fn value<T: Element + Kind<Output = ArrayD<T>>>(array: &Array<T>) -> ArrayD<T> {
    let mut roots = Vec::new();
    array.roots(&mut roots);
    let Root::Array(root) = &roots[0] else { panic!("an array is a root") };
    let expected = evaluate(root);
    for session in SESSIONS.iter() {
        let computed = session.compute(array).unwrap_or_else(|error| panic!("{error}\n{array}"));
        let bytes: Vec<u8> =
            computed.iter().flat_map(|v| bytemuck::bytes_of(&v.to_repr()).to_vec()).collect();
        assert!(
            bytes == expected.as_bytes(),
            "{} threads computed\n{computed:?}\nof {array}, not\n{expected:?}",
            session.threads()
        );
    }
    AnyArray::new(expected, &array.meta().unwrap().shape()).unwrap().into_typed().unwrap()
}

/// Small whole numbers, so that no order of additions matters.
fn numbers(shape: &[usize], seed: u64) -> ArrayD<f64> {
    let mut at = seed;
    ArrayD::from_shape_fn(IxDyn(shape), |_| {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((at >> 40) % 17) as f64 - 8.0
    })
}

fn lazy(array: &ArrayD<f64>, chunk: &[u64]) -> Array<f64> {
    Array::chunked(array, &chunk[..array.ndim()])
}

prop_compose! {
    fn cut()(
        shape in proptest::collection::vec(1usize..6, 0..4),
        chunk in proptest::collection::vec(1u64..4, 4),
        seed: u64,
    ) -> (ArrayD<f64>, Vec<u64>) {
        (numbers(&shape, seed), chunk)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arithmetic_broadcasts((a, chunk) in cut(), drop in 0usize..3, ones: u8) {
        // The other array: fewer axes, some of length 1.
        let shape: Vec<usize> = (drop.min(a.ndim())..a.ndim())
            .map(|axis| if ones >> axis & 1 == 1 { 1 } else { a.shape()[axis] })
            .collect();
        let b = numbers(&shape, 5);
        let (x, y) = (lazy(&a, &chunk), lazy(&b, &[1, 2, 3, 1]));
        prop_assert_eq!(value(&(&x + &y)), &a + &b);
        prop_assert_eq!(value(&(&y - &x)), &b - &a);
        prop_assert_eq!(value(&(2.0 * &x * &y)), 2.0 * &a * &b);
        let wide = b.broadcast(a.raw_dim()).unwrap();
        let least = Zip::from(&a).and(&wide).map_collect(|&a: &f64, &b| a.min(b));
        prop_assert_eq!(value(&x.minimum(&y)), least);
        let mask = Zip::from(&a).and(&wide).map_collect(|&a, &b| a < b);
        prop_assert_eq!(value(&x.less(&y)), mask.clone());
        let chosen = Zip::from(&mask).and(&a).map_collect(|&m, &a| if m { a } else { -1.0 });
        prop_assert_eq!(value(&x.less(&y).choose(&x, -1.0)), chosen);
        prop_assert_eq!(value(&x.clip(-2.0, 3.0)), a.mapv(|v| v.clamp(-2.0, 3.0)));
        prop_assert_eq!(value(&x.map(|v: f64| v as i64)), a.mapv(|v| v as i64));
    }

    #[test]
    fn reductions_along_each_axis((a, chunk) in cut()) {
        let x = lazy(&a, &chunk);
        for axis in 0..a.ndim() {
            let at = axis as i64;
            prop_assert_eq!(value(&x.sum(at)), a.sum_axis(Axis(axis)));
            prop_assert_eq!(value(&x.cast::<i16>().sum(at)), a.sum_axis(Axis(axis)).mapv(|v| v as i64));
            prop_assert_eq!(value(&x.mean(at - a.ndim() as i64)), a.mean_axis(Axis(axis)).unwrap());
            let greatest = a.map_axis(Axis(axis), |row| row.iter().copied().fold(f64::MIN, f64::max));
            prop_assert_eq!(value(&x.max(at)), greatest.clone());
            let place = Zip::from(a.lanes(Axis(axis))).and(&greatest).map_collect(|row, &max| {
                row.iter().position(|&v| v == max).unwrap() as i64
            });
            prop_assert_eq!(value(&x.argmax(at)), place);
        }
        prop_assert_eq!(value(&x.sum(..))[[]], a.sum());
        prop_assert_eq!(value(&x.count(..))[[]], a.len() as i64);
        let greatest = a.iter().copied().fold(f64::MIN, f64::max);
        let place = a.iter().position(|&v| v == greatest).unwrap() as i64;
        prop_assert_eq!(value(&x.argmax(..))[[]], place);
        prop_assert_eq!(value(&x.greater(7.0).any(..))[[]], a.iter().any(|&v| v > 7.0));
        if a.ndim() == 3 {
            prop_assert_eq!(value(&x.sum([0, 2])), a.sum_axis(Axis(2)).sum_axis(Axis(0)));
        }
    }

    #[test]
    fn boxes(counts in proptest::collection::vec((1usize..4, 1usize..4), 2), chunk in proptest::collection::vec(1u64..5, 2)) {
        let shape: Vec<usize> = counts.iter().map(|(bin, count)| bin * count).collect();
        let bins: Vec<usize> = counts.iter().map(|(bin, _)| *bin).collect();
        let a = numbers(&shape, 3);
        let sums = ArrayD::from_shape_fn(IxDyn(&[counts[0].1, counts[1].1]), |at| {
            let (i, j) = (at[0] * bins[0], at[1] * bins[1]);
            a.slice(s![i..i + bins[0], j..j + bins[1]]).sum()
        });
        prop_assert_eq!(value(&lazy(&a, &chunk).rebin(&bins).sum()), sums);
    }

    #[test]
    fn joined((a, chunk) in cut(), seed: u64) {
        let b = numbers(a.shape(), seed);
        let (x, y) = (lazy(&a, &chunk), lazy(&b, &[2, 1, 3]));
        for axis in 0..a.ndim() {
            let expected = ndarray::concatenate(Axis(axis), &[a.view(), b.view()]).unwrap();
            prop_assert_eq!(value(&concatenate([&x, &y], axis as i64)), expected);
        }
        for axis in 0..=a.ndim() {
            let expected = ndarray::stack(Axis(axis), &[a.view(), b.view()]).unwrap();
            prop_assert_eq!(value(&stack([&x, &y], axis as i64)), expected);
        }
    }

    #[test]
    fn functions_of_blocks((a, chunk) in cut()) {
        let x = lazy(&a, &chunk);
        let twice = x.map_blocks(Chunks::same(), |block, _| block.mapv(|v| v * 2.0));
        prop_assert_eq!(value(&twice), &a * 2.0);
        let sums = x.map_blocks(Chunks::ones(), |block, _| {
            ArrayD::from_elem(IxDyn(&vec![1; block.ndim()]), block.sum())
        });
        prop_assert_eq!(value(&sums.sum(..))[[]], a.sum());
    }
}

/// Each element of a block is the sum of all that the block was handed, and of where it lies.
#[derive(Debug)]
struct Total;

impl BlockKernel for Total {
    fn name(&self) -> Cow<'static, str> {
        "total".into()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, inputs: &[Region], _: &Region) -> u64 {
        8 * inputs.len() as u64
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        scratch: &mut [u8],
        cx: &BlockCx,
    ) -> Result<(), String> {
        let sums: &mut [f64] = bytemuck::cast_slice_mut(scratch);
        assert_eq!(sums.len(), inputs.len());
        for ((sum, view), held) in sums.iter_mut().zip(inputs).zip(&cx.inputs) {
            assert_eq!(view.shape(), &held.shape[..]);
            let mut elements = vec![0.0; held.volume() as usize];
            ChunkMut::of(&mut elements, view.shape()).assign(view);
            *sum = elements.iter().sum();
        }
        let total = sums.iter().sum::<f64>() + cx.index.iter().sum::<u64>() as f64;
        out.fill(freeboard::Scalar::F64(total % 1000.0));
        Ok(())
    }
}

/// A function of windows along the first axis, of blocks along the last of another array, and
/// of all the rest; the result has axes (first, last).
#[track_caller]
fn totalled(x: &Array<f64>, before: u64, after: u64) -> Array<f64> {
    let grid = x.meta().unwrap().grid.clone();
    let first = AxisGrid::regular(grid.axes()[0].len(), 2);
    let made = Grid::new([first, grid.axes().last().unwrap().clone()]);
    let rank = grid.rank();
    let window = Needs::new((0..rank).map(|axis| match axis {
        0 => Need::Window { of: 0, before, after },
        _ => Need::All,
    }));
    let blocks = Needs::new((0..rank).map(|axis| match axis {
        _ if axis + 1 == rank => Need::Block { of: 1 },
        _ => Need::All,
    }));
    let (x, twice) = (x.cast_to(DType::F64), (x * 2.0).cast_to(DType::F64));
    let meta = Meta::new(DType::F64, made);
    blockwise(Total, [(&x, window), (&twice, blocks)], meta).cast()
}

/// What `step` makes of an array whose elements stay small whole numbers.
fn stepped(x: Array<f64>, step: u8, number: u64) -> Array<f64> {
    let rank = x.rank().unwrap();
    let last = rank as i64 - 1;
    match step {
        _ if rank == 0 => 3.0 - x,
        0 => x.t(),
        1 => x.sum(number as i64 % (last + 1)),
        2 => &x - x.max(number as i64 % (last + 1)).expand_dims(number as i64 % (last + 1)),
        3 => x.flip(last),
        4 => x.rechunk(vec![number as i64 % 3 + 1; rank]),
        5 => concatenate([&x, &(&x + 1.0), &x.slice_numpy("..., 1:")], last),
        6 => x.slice_numpy(if number.is_multiple_of(2) { "::-2" } else { "..., 1:3" }),
        7 => x.less(x.t().t().flip(0)).choose(&x, 2.0),
        8 => x.map_blocks(Chunks::same(), |block, _| block.mapv(|v| v - 1.0)),
        11 => totalled(&x, number % 3, number / 2),
        12 => totalled(&x.slice_numpy("..., ::-2"), number / 3, number % 2),
        13 => x.roll(number as i64 - 2, last),
        14 => x.pad((number, 1), if number < 3 { Pad::Wrap } else { Pad::Reflect }),
        15 => x.repeat(number as usize % 3 + 1, number as i64 % (last + 1)),
        16 if rank > 1 => x.diagonal(number as i64 - 2, [0, last]),
        17 if rank > 1 => x.tril(number as i64 - 2).rot90(number as i64, [0, last]),
        18 => &x - x.max(keepdims(number as i64 % (last + 1))),
        19 => x.diff(number as usize % 2 + 1, last),
        9 => x.min(last).broadcast_to(x.t().shape().unwrap().split_off(1)),
        _ => stack([&x, &x.clip(-1.0, 1.0)], number as i64 % (rank as i64 + 1)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_verbs_one_after_the_other(
        (a, chunk) in cut(),
        steps in proptest::collection::vec((0u8..20, 0u64..6), 1..7),
    ) {
        let mut x = lazy(&a, &chunk);
        for (step, number) in steps {
            let next = stepped(x.clone(), step, number);
            // Axes of length 0 have no maximum, and shapes may not fit: mistakes are kept elsewhere.
            match next.nbytes() {
                Ok(bytes) if bytes < 100_000 => x = next,
                _ => {}
            }
        }
        value(&x);
        let (twice, total) = SESSIONS[1].compute((&x + &x, x.sum(..).item())).unwrap();
        prop_assert_eq!(twice.sum(), 2.0 * total);
    }
}

#[test]
fn chains_of_views_and_arithmetic() {
    let a = numbers(&[4, 5, 6], 1);
    let x = lazy(&a, &[2, 2, 4]);
    let b = a.slice(s![1..;-2, .., NewAxis, 2]).into_owned();
    let expected = (&b * &b).into_dyn().permuted_axes(IxDyn(&[2, 1, 0]));
    assert_eq!(value(&x.slice(s![1..;-2, .., NewAxis, 2]).square().t()), expected);
    let centred = &x - x.mean(0);
    assert_eq!(value(&centred), &a - &a.mean_axis(Axis(0)).unwrap());
    assert_eq!(value(&x.slice_numpy("..., ::-3").flip(-1)), a.slice(s![.., .., 2..;3]).into_dyn());
    assert_eq!(value(&(&x / 0.0)).mapv(f64::is_nan), a.mapv(|v| v == 0.0));
    assert_eq!(value(&eye::<f64>(3).sum(0)).as_slice().unwrap(), [1.0; 3]);
    assert_eq!(value(&linspace(0.0, 1.0, 3)).as_slice().unwrap(), [0.0, 0.5, 1.0]);
    assert_eq!(value(&arange(5, 0, -2)).as_slice().unwrap(), [5, 3, 1]);
    let normal = random(3).normal([10, 10]);
    assert_eq!(value(&normal.rechunk([3, 7])), value(&normal));
}

#[test]
fn every_pair_of_dtypes_adds() {
    for (a, b) in DType::ALL.iter().flat_map(|a| DType::ALL.iter().map(move |b| (*a, *b))) {
        let ones = ones::<u8>([2]);
        let sum = ones.cast_to(a) + ones.cast_to(b);
        let expected = if (a, b) == (DType::Bool, DType::Bool) { 1.0 } else { 2.0 };
        assert_eq!(value(&sum.cast::<f64>()).as_slice().unwrap(), [expected; 2], "{a} {b}");
        let x = ones.cast_to(a);
        let total = x.sum(..).cast::<f64>();
        assert_eq!(value(&total)[[]], 2.0, "{a}");
        with_dtype!(a, T => assert_eq!(value(&x.typed::<T>().unwrap().max(0)).ndim(), 0));
    }
}
