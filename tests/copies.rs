//! What a session has decoded stays in memory that nobody needs, and is not decoded again.

use freeboard::{Array, Fits, Hdf5, MIB, Report, Session, Zarr, open, s};
use ndarray::{Array3, ArrayD};
use std::{
    fs,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// 24 chunks of 256 KiB, and what they are.
fn values(seed: i32) -> Array3<i32> {
    Array3::from_shape_fn((24, 256, 256), |(i, j, k)| seed + ((i * 7 + j * 3 + k) % 251) as i32)
}

/// Sessions of one process share its memory, and leave no copies to each other.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn session(memory: &str) -> Session {
    Session::builder().memory(memory).threads(2).build().unwrap()
}

fn read(path: &Path) -> Array<i32> {
    open(path.to_str().unwrap()).unwrap().typed().unwrap()
}

/// Writes the values in each format that encodes them, and calls `check` with an array of each.
fn in_each_format(check: impl Fn(&Path, &Array<i32>)) {
    let folder = tempfile::tempdir().unwrap();
    let session = session("256MiB");
    let x = Array::chunked(&values(0), [1, 256, 256]);
    let path = |name: &str| folder.path().join(name);
    session.store(&x, Zarr::create(path("cube.zarr"))).unwrap();
    session
        .store(&x, Zarr::create(path("shards.zarr")).chunks([1, 256, 256]).shards([4, 256, 256]))
        .unwrap();
    session.store(&x, Hdf5::create(path("cube.h5")).deflate(4)).unwrap();
    session.store(&x, Fits::create(path("cube.fits")).rice()).unwrap();
    for name in ["cube.zarr", "shards.zarr", "cube.h5", "cube.fits"] {
        check(&path(name), &read(&path(name)));
    }
}

/// The mean of each frame.
fn means(session: &Session, x: &Array<i32>) -> (ArrayD<f64>, Report) {
    session.compute_reported(&x.mean([1, 2])).unwrap()
}

fn expected(seed: i32) -> ArrayD<f64> {
    let sums = values(seed).mapv(f64::from).sum_axis(ndarray::Axis(2)).sum_axis(ndarray::Axis(1));
    (sums / 65536.0).into_dyn()
}

#[test]
fn what_is_read_again_is_not_decoded_again() {
    let _alone = alone();
    in_each_format(|path, x| {
        let session = session("256MiB");
        let mut reports = Vec::new();
        for _ in 0..3 {
            let (found, report) = means(&session, x);
            assert_eq!(found, expected(0), "{}", path.display());
            reports.push((report.read > 0, report.reused));
            assert!(report.peak.is_none_or(|peak| peak <= report.memory));
        }
        // The second run finds nothing, and leaves copies.
        assert_eq!(reports, [(true, 0), (true, 0), (false, 6 * MIB)], "{}", path.display());
        // Of a part of a chunk that was read as a whole, and by other operations.
        let part = s![3..7, 10..20, 200..];
        let (found, report) = session.compute_reported(&x.slice(part)).unwrap();
        assert_eq!(found, values(0).slice(part).to_owned().into_dyn());
        if ["cube.zarr", "cube.h5"].iter().any(|name| path.ends_with(name)) {
            assert_eq!((report.read, report.reused), (0, 4 * 10 * 56 * 4), "{}", path.display());
        }
    });
}

#[test]
fn a_part_of_a_chunk_is_decoded_as_often_as_before() {
    let _alone = alone();
    in_each_format(|path, x| {
        let session = session("256MiB");
        let pixels = x.slice(s![.., 0, 0]);
        let read: Vec<u64> = (0..3)
            .map(|_| {
                let (found, report) = session.compute_reported(&pixels).unwrap();
                assert_eq!(found, values(0).slice(s![.., 0, 0]).to_owned().into_dyn());
                report.read
            })
            .collect();
        assert!(read[0] > 0 && read.iter().all(|&bytes| bytes <= read[0]), "{}", path.display());
    });
}

#[test]
fn copies_make_room_for_work_and_for_what_is_read_since() {
    let _alone = alone();
    in_each_format(|path, x| {
        let session = session("128MiB");
        (0..3).for_each(|_| drop(means(&session, x)));
        // More than there is beside the copies; bytes, so that it is not in memory already.
        let large = Array::chunked(&Array3::<u8>::zeros((64, 256, 1024)), [16, 256, 1024]);
        let sum: f64 = session
            .compute((large.cast::<f64>() + 1.0).rechunk([64, 16, 1024]).sum(..).item())
            .unwrap();
        assert_eq!(sum, (64 * 256 * 1024) as f64);
        let (found, report) = means(&session, x);
        assert_eq!(found, expected(0), "{}", path.display());
        assert!(report.peak.is_none_or(|peak| peak <= report.memory));
    });
}

#[test]
fn what_has_changed_is_read() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cube.zarr");
    let session = session("256MiB");
    let store = |seed: i32, path: &Path| {
        let x = Array::chunked(&values(seed), [1, 256, 256]);
        session.store(&x, Zarr::create(path)).unwrap();
    };
    store(0, &path);
    let x = read(&path);
    (0..3).for_each(|_| assert_eq!(means(&session, &x).0, expected(0)));
    // One chunk is written anew by somebody else.
    let other = folder.path().join("other.zarr");
    store(5, &other);
    thread::sleep(Duration::from_millis(20)); // what file systems tell apart
    let chunk = Path::new("c/3/0/0");
    fs::copy(other.join(chunk), path.join(chunk)).unwrap();
    let (found, report) = means(&session, &x);
    let mut mixed = expected(0);
    mixed[[3]] = expected(5)[[3]];
    assert_eq!(found, mixed);
    assert_eq!(report.reused, 23 * MIB / 4);
    // One that is gone is missing, copy or not.
    fs::remove_file(path.join(chunk)).unwrap();
    mixed[[3]] = 0.0;
    assert_eq!(means(&session, &x).0, mixed);
}

#[test]
fn a_file_that_was_exchanged_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cube.h5");
    let session = session("256MiB");
    let x = Array::chunked(&values(0), [1, 256, 256]);
    session.store(&x, Hdf5::create(&path).deflate(4)).unwrap();
    let x = read(&path);
    (0..3).for_each(|_| drop(means(&session, &x)));
    let bytes = fs::read(&path).unwrap();
    thread::sleep(Duration::from_millis(20));
    fs::write(&path, bytes).unwrap();
    let error = session.compute(&x.mean([1, 2])).unwrap_err();
    assert!(error.to_string().contains("changed since it was opened"), "{error}");
}
