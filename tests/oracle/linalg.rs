//! Factorisations of tall matrices in many blocks: what they promise, by their products.

use super::value;
use freeboard::{
    Array,
    array::{Svd, random},
};
use ndarray::{Array1, Array2, Ix1, Ix2};

fn matrix(array: &Array<f64>) -> Array2<f64> {
    value(array).into_dimensionality::<Ix2>().unwrap()
}

fn furthest(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    (a - b).iter().fold(0.0, |most: f64, v| most.max(v.abs()))
}

/// A matrix of several blocks whose triangles are several blocks again is well known by its factors; columns that nearly agree
/// are orthonormal to rounding all the same.
#[test]
fn tall_matrices() {
    let columns = 64;
    let x = Array::chunked(&value(&random(3).normal([4500, columns])), [64, 16]);
    let near = &x * 1e-12 + x.slice_numpy(":, :1");
    for (a, condition) in [(&x, 1.0), (&near, 1e12)] {
        let (q, r) = a.qr();
        assert!(q.numblocks().unwrap()[0] > 16);
        let (a, q, r) = (matrix(a), matrix(&q), matrix(&r));
        assert!(furthest(&q.dot(&r), &a) < 1e-12);
        assert!(furthest(&q.t().dot(&q), &Array2::eye(columns as usize)) < 1e-13);
        let upper =
            r.indexed_iter().all(|((i, j), &v)| if i == j { v >= 0.0 } else { i < j || v == 0.0 });
        assert!(upper, "{condition}");
    }
    let Svd { u, values, vt } = x.svd();
    let (u, vt, a) = (matrix(&u), matrix(&vt), matrix(&x));
    let values: Array1<f64> = value(&values).into_dimensionality::<Ix1>().unwrap();
    assert!(values.as_slice().unwrap().is_sorted_by(|a, b| a >= b));
    assert!(furthest(&(&u * &values).dot(&vt), &a) < 1e-12);
    assert!(furthest(&u.t().dot(&u), &Array2::eye(columns as usize)) < 1e-13);
    assert_eq!(value(&x.t().singular_values()), values.clone().into_dyn());
    // The squares of singular values sum up to those of the elements.
    let length = value(&x.norm(..))[[]];
    assert!((values.iter().map(|v| v * v).sum::<f64>().sqrt() / length - 1.0).abs() < 1e-13);
}

#[test]
fn single_precision_is_computed_in_doubles() {
    let x = random(4).normal([500, 6]).cast::<f32>();
    let (q, r) = x.qr();
    let (wide, _) = x.cast::<f64>().qr();
    assert_eq!(value(&q), value(&wide).mapv(|v| v as f32));
    assert_eq!(r.dtype().unwrap(), freeboard::DType::F32);
}
