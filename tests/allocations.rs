//! While a run executes, nothing large is allocated outside the arena: the heap sees small
//! things only, whatever the size of the chunks.

use freeboard::{
    Npy, Session, Zarr,
    imaging::{Boundary, minimum_filter},
    open,
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// The system's allocator; notes the largest block that is asked for while it watches.
struct Watching;

static WATCHED: AtomicBool = AtomicBool::new(false);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on as it is to the system's allocator.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if WATCHED.load(Ordering::Relaxed) {
            LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

#[test]
fn no_large_block_outside_the_arena() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("cube.npy");
    let session =
        Session::builder().memory("160MiB").threads(2).scratch(folder.path()).build().unwrap();
    // 256 MiB in chunks of 4 MiB, and chunks across the grain of them.
    let cube = freeboard::array::random(7)
        .uniform([64, 1024, 1024])
        .cast::<f32>()
        .rechunk([1, 1024, 1024]);
    session.store(&cube, Npy::create(&input)).unwrap();
    let cube =
        open(input.to_str().unwrap()).unwrap().typed::<f32>().unwrap().rechunk([1, 1024, 1024]);

    // The least of so many rows, of which a table is needed.
    let line = freeboard::array::arange(0.0, 256.0, 1.0);
    let least_of_many = minimum_filter(&line, 40_001, Boundary::Nearest);

    WATCHED.store(true, Ordering::Relaxed);
    let squares = (&cube * &cube).sqrt() - cube.mean(0);
    session
        .store(&squares.rechunk([64, 64, 1024]), Zarr::create(folder.path().join("a.zarr")))
        .unwrap();
    let (mean, least) = session.compute((cube.mean(..).item(), cube.min(..).item())).unwrap();
    let least_of_many = session.compute(least_of_many.max(..).item()).unwrap();
    WATCHED.store(false, Ordering::Relaxed);

    assert!((mean - 0.5).abs() < 1e-3 && least >= 0.0 && least_of_many == 0.0);
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest <= 256 << 10, "a block of {largest} bytes outside the arena");
}
