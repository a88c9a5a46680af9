//! How stored arrays are computed: what is read, and what is spilled.

use freeboard::{Array, Hdf5, Session, Zarr, open};
use ndarray::{Array2, Array3};

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

#[test]
fn the_first_file_of_a_stack_may_be_the_one_that_compresses_best() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session::builder().memory("1GiB").threads(2).build().unwrap();
    let noise = |i: usize| ((i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16) as u32;
    let mut expected = 0;
    for number in 0..3 {
        let frame = Array2::from_shape_fn((200, 300), |(y, x)| match number {
            0 => 0,
            _ => noise(y * 300 + x + number),
        });
        expected += frame.iter().map(|&v| u64::from(v)).sum::<u64>();
        let path = folder.path().join(format!("{number}.h5"));
        session.store(&Array::chunked(&frame, [200, 300]), Hdf5::create(path)).unwrap();
    }
    let stack = open(folder.path().join("*.h5").to_str().unwrap()).unwrap();
    let sum = session.compute(stack.typed::<u32>().unwrap().sum(..)).unwrap();
    assert_eq!(sum.sum(), expected);
}
