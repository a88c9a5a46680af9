//! Sums whose bits do not depend on chunks, in a process of their own: what many plans leave on the
//! heap would be missing where sessions have little memory.

use freeboard::{Array, Session, array::Axes};
use ndarray::Array3;

#[test]
fn reproducible_sums_do_not_depend_on_chunks_threads_or_memory() {
    let value = |i: u64| {
        let bits = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let scale = [1e-6, 1.0, 1e9][(bits >> 60) as usize % 3];
        ((bits >> 40) as f64 - 8e6) * scale
    };
    let values = Array3::from_shape_fn([30, 17, 23], |(i, j, k)| {
        let value = value((i * 17 * 23 + j * 23 + k) as u64);
        if k == 5 && j > 8 { f64::NAN } else { value }
    });
    let folder = tempfile::tempdir().unwrap();
    let results = |chunk: [u64; 3], threads: usize, reproducible: bool| -> Vec<Vec<u64>> {
        let session = Session::builder().memory("1GiB").threads(threads).scratch(folder.path());
        let session = session.reproducible(reproducible).build().unwrap();
        let x = Array::chunked(&values, chunk);
        let axes: [Axes; 6] =
            [(..).into(), 0.into(), 1.into(), 2.into(), [0, 1].into(), [0, 2].into()];
        let mut all: Vec<Array<f64>> = Vec::new();
        for axes in axes {
            all.extend([x.nansum(axes.clone()), x.nanmean(axes.clone()), x.nanvar(axes.clone())]);
            let y = x.map(|x| if x.is_nan() { 1.0 } else { x });
            all.extend([y.sum(axes.clone()), y.mean(axes.clone()), y.std(axes)]);
        }
        all.push(x.rebin([3, 17, 1]).nanmean());
        let all = session.compute(all).unwrap();
        all.iter().map(|array| array.iter().map(|v| v.to_bits()).collect()).collect()
    };
    let expected = results([30, 17, 23], 1, true);
    for chunk in [[1, 17, 23], [30, 1, 5], [4, 6, 7], [2, 17, 1], [1, 1, 23]] {
        for threads in [1, 3] {
            assert!(results(chunk, threads, true) == expected, "{chunk:?} on {threads}");
        }
    }
    assert!(results([4, 6, 7], 1, false) != expected, "the usual sums depend on chunks");
}
