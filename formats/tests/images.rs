//! Thousands of damaged pictures: none makes a decoder panic, hang, or allocate more than the cost
//! of reading it names.

#![cfg(feature = "images")]

use freeboard_formats::{
    Format,
    conformance::{Choices, hostile},
    images::{Jpeg, Png, Tiff},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// Mutants of each format.
const MUTANTS: usize = 3000;

/// The most that a read may take, in bytes.
const LIMIT: u64 = 1 << 24;

/// The system's allocator; notes the most bytes that were allocated at once.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on as it is to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `alloc_zeroed`; untouched pages stay so.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that opening a picture and the test itself may take: a file's notes, lists of pages.
const OPENING: usize = 4 << 20;

fn fixtures(endings: &[&str]) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/images");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files
        .retain(|path| path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending)));
    files.sort();
    files
}

/// A PNG file whose blocks have the checksums of what they hold, so that damage is found later.
fn mend_png(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let Some(end) = at.checked_add(8).and_then(|start| start.checked_add(length)) else {
            return;
        };
        if end + 4 > bytes.len() {
            return;
        }
        let mut crc = !0u32;
        for &byte in &bytes[at + 4..end] {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = crc >> 1 ^ (crc & 1).wrapping_neg() & 0xedb8_8320;
            }
        }
        bytes[end..end + 4].copy_from_slice(&(!crc).to_be_bytes());
        at = end + 4;
    }
}

fn mutants_do_no_harm(format: &'static dyn Format, endings: &[&str]) -> usize {
    let files: Vec<Vec<u8>> =
        fixtures(endings).iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(files.len() > 8);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(format!("x.{}", endings[0]));
    let mut read = 0;
    for mutant in 0..MUTANTS {
        let mut choices = Choices::new(mutant as u64);
        let mut bytes = files[mutant % files.len()].clone();
        for _ in 0..=choices.below(4) {
            // Headers lie at either end.
            let near = bytes.len().min(200) as u64;
            let at = match choices.below(3) {
                0 => choices.below(near) as usize,
                1 => bytes.len() - 1 - choices.below(near) as usize,
                _ => choices.below(bytes.len() as u64) as usize,
            };
            let len = [1, 1, 2, 4][choices.below(4) as usize].min(bytes.len() - at);
            let any = choices.below(256) as u8;
            let value = [0, 1, 0x7f, 0x80, 0xff, any, any][choices.below(7) as usize];
            bytes[at..at + len].fill(value);
        }
        if choices.below(8) == 0 {
            bytes.truncate(choices.below(bytes.len() as u64) as usize);
        }
        if endings == ["png"] && mutant % 4 != 0 {
            mend_png(&mut bytes);
        }
        std::fs::write(&path, &bytes).unwrap();
        let (start, before) = (Instant::now(), LIVE.load(Ordering::Relaxed));
        PEAK.store(before, Ordering::Relaxed);
        let seen = hostile(format, &path, LIMIT);
        let peak = PEAK.load(Ordering::Relaxed).saturating_sub(before);
        // What is read lies twice in the reader's buffers, and in the scratch of its cost, which is
        // allocated and holds what a decoder may allocate beside it.
        let allowed = seen.largest as usize * 2 + OPENING;
        assert!(
            peak <= allowed,
            "mutant {mutant} of {endings:?}: {peak} bytes, {allowed} are allowed"
        );
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "mutant {mutant} of {endings:?} is slow"
        );
        read += seen.read;
    }
    read
}

#[test]
fn damaged_pictures_are_errors_or_other_pictures() {
    for (format, endings) in
        [(&Png as &'static dyn Format, &["png"][..]), (&Jpeg, &["jpg"]), (&Tiff, &["tif"])]
    {
        let read = mutants_do_no_harm(format, endings);
        println!("{endings:?}: {read} of {MUTANTS} are read");
        assert!(read > 0, "nothing of {endings:?} is read");
    }
}
