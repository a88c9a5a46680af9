//! Products of matrices, against `ndarray`'s and plain sums.

use super::{lazy, numbers, value};
use freeboard::{Array, array::Chunks};
use ndarray::{Array2, ArrayD, Ix2, IxDyn};
use proptest::prelude::*;

fn matrix(array: &ArrayD<f64>) -> Array2<f64> {
    array.clone().into_dimensionality::<Ix2>().unwrap()
}

/// The sums over the last axis of `a` and the first of `b`, one product after the other.
fn contracted(a: &ArrayD<f64>, b: &ArrayD<f64>) -> ArrayD<f64> {
    let (rows, shared) = a.shape().split_at(a.ndim() - 1);
    let columns = &b.shape()[1..];
    ArrayD::from_shape_fn(IxDyn(&[rows, columns].concat()), |at| {
        let at = ndarray::Dimension::slice(&at).to_vec();
        let (i, j) = at.split_at(rows.len());
        let element = |k: usize| a[&[i, &[k]].concat()[..]] * b[&[&[k], j].concat()[..]];
        (0..shared[0]).map(element).sum()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn small_matrices_on_any_grids(
        (m, k, n) in (1usize..7, 0usize..7, 1usize..7),
        cuts in proptest::collection::vec(1u64..5, 4),
        batch in 1usize..4,
        seed: u64,
    ) {
        let (a, b) = (numbers(&[m, k], seed), numbers(&[k, n], seed ^ 9));
        let (x, y) = (lazy(&a, &cuts), lazy(&b, &cuts[2..]));
        let expected = matrix(&a).dot(&matrix(&b)).into_dyn();
        prop_assert_eq!(value(&x.matmul(&y)), expected.clone());
        prop_assert_eq!(value(&y.t().matmul(&x.t())), expected.t().to_owned());
        prop_assert_eq!(value(&x.flip(1).dot(&y.flip(0))), expected.clone());
        // In their own dtypes, and of elements that are computed.
        let small = x.cast::<i8>().matmul(&(&y + 1.0).cast::<i8>());
        let expected = expected + a.sum_axis(ndarray::Axis(1)).insert_axis(ndarray::Axis(1));
        prop_assert_eq!(value(&small.cast::<f64>()), expected.mapv(|v| f64::from(v as i64 as i8)));
        let single = x.cast::<f32>().matmul(&(&y + 1.0).cast::<f32>());
        prop_assert_eq!(value(&single.cast::<f64>()), expected.clone());
        let truth = x.cast::<bool>().matmul(&y.cast::<bool>());
        let any = |a: &ArrayD<f64>| a.mapv(|v| f64::from(u8::from(v != 0.0)));
        prop_assert_eq!(
            value(&truth),
            matrix(&any(&a)).dot(&matrix(&any(&b))).mapv(|v| v > 0.0).into_dyn()
        );
        // A batch of matrices with one, and with rows.
        let many = numbers(&[batch, m, k], seed);
        let xs = lazy(&many, &cuts);
        let product = value(&xs.matmul(&y));
        for (many, product) in many.outer_iter().zip(product.outer_iter()) {
            let many = many.to_owned();
            prop_assert_eq!(&product.to_owned(), &matrix(&many).dot(&matrix(&b)).into_dyn());
        }
        prop_assert_eq!(value(&xs.dot(&y)), contracted(&many, &b));
        let both = xs.tensordot(&xs, [0, 2], [0, 2]);
        let flat = many.view().permuted_axes(IxDyn(&[1, 0, 2]));
        let flat = flat.as_standard_layout().into_owned();
        let flat = flat.into_shape_with_order((m, batch * k)).unwrap();
        prop_assert_eq!(value(&both), flat.dot(&flat.t()).into_dyn());
        prop_assert_eq!(value(&xs.vdot(&xs))[[]], many.iter().map(|v| v * v).sum::<f64>());
    }
}

/// Several blocks along each axis, of uneven lengths.
#[test]
fn large_matrices() {
    let (m, k, n) = (700, 5000, 1100);
    let (a, b) = (numbers(&[m, k], 1), numbers(&[n, k], 2));
    let cut = |array: &ArrayD<f64>, chunks: [Vec<u64>; 2]| -> Array<f64> {
        Array::chunked(array, Chunks::exact(chunks))
    };
    let x = cut(&a, [vec![600, 100], vec![2000, 1000, 2000]]);
    let y = cut(&b, [vec![550, 550], vec![1000; 5]]);
    let product = x.matmul(&y.t());
    let expected = matrix(&a).dot(&matrix(&b).t()).into_dyn();
    assert_eq!(product.numblocks().unwrap(), [2, 2]);
    assert_eq!(value(&product), expected);
    let whole = x.slice_numpy("::9").cast::<i32>().matmul(&y.cast::<i32>().t());
    let rows = expected.slice(ndarray::s![..;9, ..]).into_dyn();
    assert_eq!(value(&whole), rows.mapv(|v| v as i32));
    let sums = x.cast::<f32>().dot(&y.cast::<f32>().slice_numpy("7"));
    let column = expected.slice(ndarray::s![.., 7]).into_dyn();
    assert_eq!(value(&sums), column.mapv(|v| v as f32));
}
