//! Functions that users hand in: of blocks of several arrays, of blocks with their neighbours' edges, of
//! lines, and the parts of reductions.

use super::SESSIONS;
use freeboard::{
    Array,
    array::{Blocks, Chunks, arange, keepdims, map_blocks, ones},
    imaging::{Boundary, Depth, generic_filter},
};
use ndarray::{Array1, Array2, ArrayD, ArrayViewD, Axis, IxDyn, Slice};
use proptest::prelude::*;

/// The same by one and by two threads.
fn computed<T>(array: &Array<T>) -> ArrayD<T>
where
    T: freeboard::array::Kind<Output = ArrayD<T>> + std::fmt::Debug + PartialEq,
{
    let [one, two] = [0, 1].map(|at| SESSIONS[at].compute(array).unwrap());
    assert_eq!(one, two);
    one
}

fn numbers(text: &str) -> Vec<i64> {
    text.split(',').map(|number| number.parse().unwrap()).collect()
}

/// `block`, turned so that what lay at `at - by` lies at `at`.
fn rolled(block: &ArrayViewD<'_, i64>, by: isize, axis: usize) -> ArrayD<i64> {
    let len = block.len_of(Axis(axis)) as isize;
    let cut = by.rem_euclid(len);
    let part = |from: isize, to: isize| block.slice_axis(Axis(axis), Slice::from(from..to));
    ndarray::concatenate(Axis(axis), &[part(len - cut, len), part(0, len - cut)]).unwrap()
}

#[test]
fn overlaps_are_those_of_dask_and_scipy() {
    let values = Array2::from_shape_fn((6, 9), |(y, x)| (y * 9 + x) as i64 * 37 % 101);
    let mut count = 0;
    for line in include_str!("../../data/imaging/overlap.tsv").lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [what, boundary, depth, chunks, expected] = columns[..] else { panic!("{line}") };
        let boundary = match boundary {
            "reflect" => Boundary::Reflect,
            "mirror" => Boundary::Mirror,
            "nearest" => Boundary::Nearest,
            "wrap" => Boundary::Wrap,
            "constant" => Boundary::Constant(5.0),
            _ => Boundary::None,
        };
        let x = Array::chunked(&values, numbers(chunks));
        let depth = numbers(depth);
        let made = match what {
            "map" => {
                let depth = match depth[..] {
                    [y, x] => Depth::from([y, x]),
                    [above, below, left, right] => Depth::from([(above, below), (left, right)]),
                    _ => panic!("{line}"),
                };
                x.map_overlap(depth, boundary, |block| {
                    &block + 3 * rolled(&block, 1, 0) + 7 * rolled(&block, -1, 1)
                })
            }
            _ => generic_filter(
                &x,
                [depth[0] as usize, depth[1] as usize],
                boundary,
                |near: &[i64]| {
                    near.iter().zip(1..).map(|(value, place)| value * place).sum::<i64>()
                },
            ),
        };
        let expected = ArrayD::from_shape_vec(IxDyn(&[6, 9]), numbers(expected)).unwrap();
        assert_eq!(computed(&made), expected, "{line}");
        count += 1;
    }
    assert!(count >= 60);
}

#[test]
fn blocks_of_several_arrays() {
    let image =
        Array::chunked(&Array2::from_shape_fn((5, 7), |(y, x)| (10 * y + x) as f32), [2, 3]);
    let mask = Array::chunked(&Array2::from_shape_fn((5, 7), |(y, x)| (y + x) % 3 == 0), [5, 7]);
    let gain = Array::chunked(&Array1::from_iter(1..=7i16), [4]);
    // Of three dtypes, cut as the first is; along an axis of length 1 all blocks see the same.
    let row = gain.reshape([1, 7]);
    let made: Array<f64> =
        map_blocks((&image, &mask, &row), Blocks::same(), |(x, mask, gain), cx| {
            assert_eq!((x.shape(), gain.len_of(Axis(0))), (mask.shape(), 1));
            assert_eq!(cx.region.shape[0] as usize, x.len_of(Axis(0)));
            let first = (cx.region.start[0] * 1000) as f64;
            let gain = gain.broadcast(x.raw_dim()).unwrap();
            ndarray::Zip::from(&x)
                .and(&mask)
                .and(&gain)
                .map_collect(|&x, &m, &g| first + f64::from(x) * f64::from(g) * f64::from(m))
        });
    let expected = Array2::from_shape_fn((5, 7), |(y, x)| {
        let inside = if (y + x) % 3 == 0 { 1.0 } else { 0.0 };
        (y / 2 * 2 * 1000) as f64 + (10 * y + x) as f64 * (x + 1) as f64 * inside
    });
    assert_eq!(computed(&made), expected.into_dyn());
    assert_eq!(made.chunks().unwrap(), image.chunks().unwrap());
    // An axis is handed whole and dropped, another one is new.
    let made: Array<f64> =
        image.map_blocks(Blocks::same().without(1).with_axis(0, 2), |block, cx| {
            assert_eq!(block.len_of(Axis(1)), 7);
            let sums = block.sum_axis(Axis(1)).mapv(f64::from);
            let from = &sums * 0.0 + cx.region.start[1] as f64;
            ndarray::stack(Axis(0), &[sums.view(), from.view()]).unwrap()
        });
    let sums = (0..5).map(|y| (70 * y + 21) as f64);
    let starts = (0..5).map(|y| (y / 2 * 2) as f64);
    let expected = ArrayD::from_shape_vec(IxDyn(&[2, 5]), sums.chain(starts).collect()).unwrap();
    assert_eq!(computed(&made), expected);
}

#[test]
fn mistakes_of_blocks() {
    let x = ones::<f32>([4, 6]).rechunk([2, 3]);
    let says = |array: &Array<f32>, text: &str| {
        let error = SESSIONS[1].compute(array).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    let other = ones::<i8>([4, 5]);
    let both = map_blocks((&x, &other), Blocks::same(), |(x, _), _| x.to_owned());
    says(&both, "shapes (4, 6) and (4, 5) do not broadcast in `map_blocks` at ");
    says(&x.map_blocks(Blocks::same().without(2), |x, _| x.to_owned()), "axis 2 is out of range");
    says(
        &x.map_blocks(Blocks::same().with_axis(4, 1), |x, _| x.to_owned()),
        "a new axis 4 of a result of 3 axes",
    );
    says(
        &x.map_blocks(Chunks::ones(), |x, _| x.to_owned()),
        "a block of shape (2, 3) where one of (1, 1) was declared",
    );
    says(&x.map_overlap([-1, 0], Boundary::None, |x| x.to_owned()), "a depth of -1 elements at ");
    says(
        &x.map_overlap([1, 2, 3], Boundary::None, |x| x.to_owned()),
        "3 depths for an array of 2 axes at ",
    );
    let filter = |boundary| generic_filter(&x, 3, boundary, |near: &[f32]| near[0]);
    says(&filter(Boundary::None), "needs a boundary other than `None` at ");
    says(
        &x.apply_along_axis(3, |line| line[0]),
        "axis 3 is out of range for an array of 2 axes at ",
    );
    says(
        &x.apply_along_axis_to(1, 2, |line| line.to_owned()),
        "a block of shape (2, 6) where one of (2, 2) was declared",
    );
    let sum = |x: &Array<f32>| x.reduction(0, |part| [part.sum()], |[a], [b]| [a + b], |[a]| a);
    says(&sum(&ones([0, 3])), "`reduction` of no element: an axis has length 0 at ");
    assert_eq!(computed(&sum(&ones([3, 0]))).shape(), [0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn reductions_and_lines(
        shape in proptest::collection::vec(1usize..7, 1..4),
        cuts in proptest::collection::vec(1i64..5, 3),
        which in 0u8..8,
        axis in 0usize..3,
    ) {
        let rank = shape.len();
        let volume: usize = shape.iter().product();
        let lens: Vec<i64> = shape.iter().map(|&len| len as i64).collect();
        let x = arange::<i64>(0, volume as i64, 1).reshape(&lens).rechunk(&cuts[..rank]);
        let values = SESSIONS[0].compute(&x).unwrap();
        // The places of elements in the order in which they are met, as digits: the order of chunks
        // counts, and nothing else.
        let axes: Vec<i64> = (0..rank as i64).filter(|axis| which & 1 << axis != 0).collect();
        let reduce = |x: &Array<i64>| x.reduction(
            keepdims(axes.clone()),
            |part| [part.sum(), part.len() as i64, part.iter().copied().max().unwrap_or(-1)],
            |[a, b, c], [d, e, f]| [a + d, b + e, c.max(f)],
            |[sum, count, greatest]| sum * 1_000_000 + count * 1000 + greatest,
        );
        let mut expected = values.mapv(|v| [v, 1, v]);
        for &axis in &axes {
            let join = |a: &[i64; 3], b: &[i64; 3]| [a[0] + b[0], a[1] + b[1], a[2].max(b[2])];
            let along = Axis(axis as usize);
            expected = expected.fold_axis(along, [0, 0, -1], join).insert_axis(along);
        }
        let expected = expected.mapv(|[sum, count, greatest]| sum * 1_000_000 + count * 1000 + greatest);
        prop_assert_eq!(computed(&reduce(&x)), expected);

        let axis = axis.min(rank - 1);
        let alternating = |line: ndarray::ArrayView1<'_, i64>| {
            line.iter().zip([1, -2, 3].iter().cycle()).map(|(v, sign)| v * sign).sum::<i64>()
        };
        let made = computed(&x.apply_along_axis(axis as i64, alternating));
        prop_assert_eq!(made, values.map_axis(Axis(axis), alternating));
        let ends = x.apply_along_axis_to(axis as i64, 2, |line| {
            Array1::from_vec(vec![line[line.len() - 1], line[0]])
        });
        let last = values.index_axis(Axis(axis), shape[axis] - 1);
        let expected = ndarray::stack(Axis(axis), &[last, values.index_axis(Axis(axis), 0)]).unwrap();
        prop_assert_eq!(computed(&ends), expected);
    }
}
