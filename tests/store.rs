//! How stored arrays are computed: what is read, and what is spilled.

use freeboard::{Array, Session, Zarr, open};
use ndarray::Array3;

#[test]
fn columns_are_cut_out_of_frames_without_scratch() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session::builder().memory("1GiB").threads(2).build().unwrap();
    let frames =
        Array3::from_shape_fn((64, 128, 300), |(t, y, x)| (t * 128 * 300 + y * 300 + x) as f32);
    // Frames of 150 kB, of which each column needs a short run of every row.
    let (from, to) = (folder.path().join("frames.zarr"), folder.path().join("columns.zarr"));
    let plain = Zarr::create(&from).chunks([1, 128, 300]).uncompressed();
    session.store(&Array::chunked(&frames, [1, 128, 300]), plain).unwrap();
    let x = open(from.to_str().unwrap()).unwrap();
    for turned in [false, true] {
        let (x, expected) = match turned {
            false => (x.clone(), frames.clone()),
            true => (x.t(), frames.t().as_standard_layout().into_owned()),
        };
        let chunks: [u64; 3] = if turned { [16, 16, 64] } else { [64, 16, 16] };
        let columns = Zarr::create(&to).chunks(chunks).overwrite();
        let report = session.store(&x, columns).unwrap();
        assert_eq!(report.spilled, 0);
        let read = report.read as f64 / (frames.len() * 4) as f64;
        assert!(read < 1.1, "each element is read once, not {read} times");
        let y = open(to.to_str().unwrap()).unwrap().typed::<f32>().unwrap();
        assert_eq!(y.chunks().unwrap()[1][0], 16);
        assert!(session.compute(&y).unwrap() == expected.into_dyn());
    }
}
