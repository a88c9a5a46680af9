//! What a session promises beside values: results in place, kept arrays, cancelling, and that
//! nothing half done is ever seen.

use freeboard::{
    Array, ErrorKind, Missing, Npy, OpenOptions, Session, Zarr,
    event::{Event, Observer},
    open, open_masked, open_nested, s,
};
use ndarray::{Array3, ArrayD, Axis, IxDyn};
use std::{sync::Arc, thread, time::Duration};

fn session(folder: &std::path::Path) -> Session {
    Session::builder().memory("224MiB").threads(2).scratch(folder).build().unwrap()
}

fn ramp(shape: [usize; 3]) -> Array3<f64> {
    Array3::from_shape_fn(shape, |(i, j, k)| (i * shape[1] * shape[2] + j * shape[2] + k) as f64)
}

#[test]
fn computes_into_memory_of_the_callers() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path());
    let values = ramp([6, 5, 4]);
    let x = Array::chunked(&values, [2, 5, 4]);
    let mut out = ArrayD::zeros(IxDyn(&[6, 5, 4]));
    session.compute_into(&(&x * 2.0), out.view_mut()).unwrap();
    assert_eq!(out, (&values * 2.0).into_dyn());
    let mut small = ArrayD::zeros(IxDyn(&[6, 5]));
    let error = session.compute_into(&x, small.view_mut()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Expression);
}

#[test]
fn kept_arrays_give_what_was_computed_from_memory_and_from_scratch() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path());
    let values = ramp([64, 128, 256]); // 16 MiB
    let x = Array::chunked(&values, [1, 128, 256]);
    let kept: Vec<Array<f64>> =
        (0..12).map(|i| session.persist(&(&x + f64::from(i))).unwrap()).collect(); // 192 MiB in 176
    for (i, kept) in kept.iter().enumerate() {
        let back: ArrayD<f64> = session.compute(kept).unwrap();
        assert!(back == (&values + i as f64).into_dyn(), "array {i}");
    }
    let sums: Vec<f64> =
        session.compute(kept.iter().map(|k| k.sum(..).item()).collect::<Vec<_>>()).unwrap();
    assert_eq!(sums[3], values.sum() + 3.0 * values.len() as f64);
    drop(session);
    let later = Session::builder().memory("1GiB").build().unwrap();
    let error = later.compute(&kept[0]).unwrap_err();
    assert!(error.to_string().contains("the session that kept this array is gone"), "{error}");
}

#[test]
fn a_run_is_cancelled_from_another_thread() {
    let folder = tempfile::tempdir().unwrap();
    let session = Arc::new(session(folder.path()));
    let x = Array::chunked(&ramp([100, 2, 2]), [1, 2, 2]);
    let slow = x.map(|v: f64| {
        thread::sleep(Duration::from_millis(5));
        v
    });
    let other = session.clone();
    let canceller = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        other.cancel();
    });
    let output = folder.path().join("x.npy");
    let error = session.store(&slow, Npy::create(&output)).unwrap_err();
    canceller.join().unwrap();
    assert!(error.is_cancelled(), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    // The session goes on.
    assert_eq!(session.compute(x.sum(..).item()).unwrap(), ramp([100, 2, 2]).sum());
}

#[test]
fn a_task_does_not_compute() {
    let folder = tempfile::tempdir().unwrap();
    let session = Arc::new(session(folder.path()));
    let inner = session.clone();
    let x = Array::chunked(&ramp([2, 2, 2]), [1, 2, 2]);
    let y = x.clone();
    let nested = x.map(move |v: f64| match inner.compute(y.sum(..).item()) {
        Ok(_) => v,
        Err(error) => panic!("{error}"),
    });
    let error = session.compute(&nested).unwrap_err();
    assert!(error.to_string().contains("a task cannot compute"), "{error}");
}

#[test]
fn a_failed_overwrite_leaves_the_old_array() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path());
    let output = folder.path().join("x.zarr");
    let values = ramp([4, 3, 2]);
    let x = Array::chunked(&values, [1, 3, 2]);
    session.store(&x, Zarr::create(&output)).unwrap();
    let refused = session.store(&x, Zarr::create(&output)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Format(freeboard::formats::ErrorKind::Exists));
    let broken = x.map(|v: f64| if v < 20.0 { v } else { panic!("too large") });
    session.store(&broken, Zarr::create(&output).overwrite()).unwrap_err();
    let back = open(output.to_str().unwrap()).unwrap();
    let back: ArrayD<f64> = session.compute(back).unwrap().into_typed().unwrap();
    assert_eq!(back, values.clone().into_dyn());
    session.store(&(&x + 1.0), Zarr::create(&output).overwrite()).unwrap();
    let back = open(output.to_str().unwrap()).unwrap();
    let back: ArrayD<f64> = session.compute(back).unwrap().into_typed().unwrap();
    assert_eq!(back, (values + 1.0).into_dyn());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn many_small_chunks_are_kept_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path());
    let values = ramp([300, 3, 2]);
    let x = Array::chunked(&values, [1, 3, 2]);
    let kept = session.persist(&x.sum([1, 2])).unwrap();
    let sums: ArrayD<f64> = session.compute(&kept).unwrap();
    assert_eq!(sums, values.sum_axis(Axis(2)).sum_axis(Axis(1)).into_dyn());
    // A part of a fold of many small chunks.
    let part: ArrayD<f64> = session.compute(x.map(|v: f64| v).sum([1, 2]).slice(s![..5])).unwrap();
    assert_eq!(part, sums.slice(s![..5]).into_dyn());
}

#[test]
fn an_observer_that_panics_ends_the_run() {
    #[derive(Debug)]
    struct Rude;
    impl Observer for Rude {
        fn observe(&self, _: &Event<'_>) {
            panic!("no");
        }
    }
    let session = Session::builder().memory("224MiB").threads(2).observer(Rude).build().unwrap();
    let x = Array::chunked(&ramp([100, 3, 2]), [1, 3, 2]);
    assert!(session.compute(&(x + 1.0)).unwrap_err().to_string().contains("panicked: no"));
}

#[test]
fn an_array_with_missing_files_and_its_mask_are_computed_together() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path());
    let path = |i: usize| folder.path().join(format!("{i}.npy")).display().to_string();
    for i in 0..6 {
        let frame = Array::from_ndarray(&ArrayD::from_elem(IxDyn(&[4, 5]), i as i32));
        session.store(&frame, Npy::create(path(i))).unwrap();
    }
    std::fs::write(path(2), "not an array").unwrap();
    std::fs::remove_file(path(5)).unwrap();
    let paths: Vec<String> = (0..6).map(path).collect();
    let (x, mask) = open_masked(&paths, &OpenOptions::default()).unwrap();
    let both = (x.typed::<i32>().unwrap(), mask.clone());
    let ((values, mask), report) = session.compute_reported(&both).unwrap();
    assert_eq!(report.missing, 2);
    for i in 0..6 {
        let gone = i == 2 || i == 5;
        assert!(mask.index_axis(Axis(0), i).iter().all(|&missing| missing == gone), "file {i}");
        let expected = if gone { 0 } else { i as i32 };
        assert!(values.index_axis(Axis(0), i).iter().all(|&v| v == expected), "file {i}");
    }
    let nested = [[Some(&paths[0]), Some(&paths[1])], [Some(&paths[3]), None]];
    let lacking = OpenOptions::default().missing(Missing::Mask);
    let sum = open_nested(nested, &lacking).unwrap().sum([2, 3]).cast::<i64>();
    let sum: ArrayD<i64> = session.compute(&sum).unwrap();
    assert_eq!(sum, ndarray::arr2(&[[0, 20], [60, 0]]).into_dyn());
    let (one, mask) = open_masked([&paths[1]], &OpenOptions::default()).unwrap();
    let some: bool = session.compute(mask.any(..).item()).unwrap();
    assert!(!some && one.chunks().unwrap() == mask.chunks().unwrap());
}
