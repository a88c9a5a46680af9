//! The same within one process, where it can be counted what is read: stores that resume, and
//! reads that fail for a moment.

use freeboard::{
    Array, Fits, Npy, Session, Zarr,
    formats::{
        ChunkSource, ErrorKind, Grid, Region, Writer,
        memory::MemorySource,
        wrap::{Counting, Faulty},
    },
};
use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

fn session() -> Session {
    Session::builder().memory("512MiB").threads(2).retries(0, Duration::ZERO).build().unwrap()
}

/// 8 chunks of (1, 64, 64).
fn values() -> Arc<dyn ChunkSource> {
    let grid = Grid::regular(&[8, 64, 64], &[1, 64, 64]);
    let values: Vec<f64> = (0..8 * 64 * 64).map(|i| f64::from(i * 7 % 1013) / 8.0).collect();
    Arc::new(MemorySource::from_bytes(
        freeboard::formats::DType::F64,
        grid,
        bytemuck::cast_slice(&values),
    ))
}

/// What is stored of a source.
type Made = fn(Arc<dyn ChunkSource>) -> Array;

/// Stores what fails half-way, then goes on; counts what each store read, the first of which
/// is whole.
fn twice(made: Made, writer: impl Fn(&Path) -> Box<dyn Writer>) -> (u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let session = session();
    let (whole, counters) = Counting::new(values());
    session.store_dyn(&made(Arc::new(whole)), &*writer(&at("whole"))).unwrap();
    let all = counters.reads();
    let broken = Faulty::new(values());
    let broken =
        broken.fail_region(Region::new(vec![6, 0, 0], vec![1, 1, 1]), 1, ErrorKind::Corrupt);
    let error = session.store_dyn(&made(Arc::new(broken)), &*writer(&at("x"))).unwrap_err();
    // Nothing is kept only where nothing was written by then.
    let kept = error.to_string().contains("what was written is kept");
    let (again, counters) = Counting::new(values());
    session.store_dyn(&made(Arc::new(again)), &*writer(&at("x"))).unwrap();
    let read = |name: &str| freeboard::open(at(name).to_str().unwrap()).unwrap();
    let (x, whole) = session.compute((&read("x"), &read("whole"))).unwrap();
    assert_eq!(x, whole);
    assert!(kept || counters.reads() == all, "{error}");
    (all, counters.reads())
}

#[test]
fn a_store_that_resumes_reads_what_is_missing_alone() {
    let negative: Made = |source| -Array::from_source(source);
    let zarr = |path: &Path| -> Box<dyn Writer> { Box::new(Zarr::create(path).resume()) };
    let fits = |path: &Path| -> Box<dyn Writer> { Box::new(Fits::create(path).resume()) };
    let npy = |path: &Path| -> Box<dyn Writer> { Box::new(Npy::create(path).resume()) };
    for (all, again) in [twice(negative, zarr), twice(negative, fits), twice(negative, npy)] {
        assert_eq!(all, 8);
        // Two threads: what was under way beside the chunk that failed may be there or not.
        assert!((1..=4).contains(&again), "{again} of {all}");
    }
}

#[test]
fn chunks_that_several_outputs_share_are_freed_when_some_are_skipped() {
    // Blocks of two frames from frames, and back: each chunk between has several readers.
    let shared: Made = |source| {
        let x = Array::from_source(source);
        let mean = x.mean(0);
        (&x - &mean).rechunk([3, 40, 40]).to_dyn()
    };
    let small = |path: &Path| -> Box<dyn Writer> {
        Box::new(Zarr::create(path).chunks([2, 16, 64]).resume())
    };
    let folded: Made = |source| Array::from_source(source).rebin([2, 1, 4]).mean();
    // How much was stored when the read failed is chance; what comes of it is not.
    let (all, again) = twice(folded, small);
    assert!(again <= all, "{again} of {all}");
    let folder = tempfile::tempdir().unwrap();
    let session = session();
    let path = folder.path().join("x");
    session.store_dyn(&shared(values()), &*small(&path)).unwrap();
}

#[test]
fn a_read_that_fails_for_a_moment_is_tried_again() {
    let faulty = |times| {
        let region = Region::new(vec![3, 0, 0], vec![1, 1, 1]);
        let source = Faulty::new(values()).fail_region(region, times, ErrorKind::Io);
        Array::from_source(Arc::new(source))
    };
    let of = |times| {
        let builder = Session::builder().memory("512MiB").threads(2);
        builder.retries(times, Duration::from_millis(1)).build().unwrap()
    };
    let whole = session().compute(&Array::from_source(values()).sum(..)).unwrap();
    assert_eq!(of(3).compute(&faulty(3).sum(..)).unwrap(), whole);
    let error = of(2).compute(&faulty(3).sum(..)).unwrap_err();
    assert!(error.to_string().contains("it was tried 3 times"), "{error}");
    let damaged = Faulty::new(values()).fail_read(2, ErrorKind::Corrupt);
    let error = of(9).compute(&Array::from_source(Arc::new(damaged)).sum(..)).unwrap_err();
    assert!(!error.to_string().contains("tried"), "what is damaged stays so: {error}");
}

#[test]
fn a_cancel_ends_the_waiting_between_tries() {
    let source = Faulty::new(values()).fail_read(0, ErrorKind::Io);
    let array = Array::from_source(Arc::new(source)).sum(..);
    let builder = Session::builder().memory("512MiB").threads(2);
    let session = builder.retries(5, Duration::from_secs(3600)).build().unwrap();
    let began = Instant::now();
    thread::scope(|scope| {
        let run = scope.spawn(|| session.compute(&array));
        thread::sleep(Duration::from_millis(200));
        session.cancel();
        assert!(run.join().unwrap().unwrap_err().is_cancelled());
    });
    assert!(began.elapsed() < Duration::from_millis(1200), "{:?}", began.elapsed());
}
