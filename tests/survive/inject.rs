//! Faults at each step of a store: a kill at every system call that writes, syncs or renames, disks
//! that are full or broken from any write on, of outputs and of scratch.

use super::{
    Ended, content, frames, freeboard, long, names, run,
    steps::{self, Case, Fault, Store},
    well,
};
use std::fs;

/// All that is stored otherwise than the rest.
const CASES: [Case; 11] = [
    steps::ZARR,
    steps::SHARDS,
    steps::NEW_SHARDS,
    steps::GROUP,
    steps::NPY,
    steps::FITS,
    steps::RICE,
    steps::FRAMES,
    steps::PICTURES,
    steps::HDF5,
    steps::DATASET,
];

/// Calls that change what is on disk.
const CALLS: [&str; 14] = [
    "openat",
    "write",
    "pwrite64",
    "copy_file_range",
    "ftruncate",
    "fallocate",
    "mkdir",
    "fsync",
    "fdatasync",
    "syncfs",
    "renameat2",
    "rename",
    "unlink",
    "rmdir",
];

const ERRORS: [(i32, &str, &str); 2] =
    [(28, "ENOSPC", "No space left on device"), (5, "EIO", "Input/output error")];

#[test]
fn killed_at_every_step_of_a_store() {
    if !steps::strace("killed_at_every_step_of_a_store") {
        return;
    }
    let kill = |call| Fault::Call { call, what: "signal=KILL", swaps: true };
    // Where two folders cannot be swapped, there are two renames.
    let apart = Fault::Call { call: "rename", what: "signal=KILL", swaps: false };
    let killed = |ended: &Ended, why: &str| assert_eq!(ended.code, None, "{why}");
    let mut kills = 0;
    if long() {
        for store in CASES.map(Store::new) {
            let calls = CALLS.into_iter().chain(["flock"]);
            kills += calls.map(|call| store.survives_all(kill(call), 1, killed)).sum::<usize>();
            kills += store.survives_all(apart, 1, killed);
        }
    } else {
        let store = Store::new(steps::SHARDS);
        for (call, step) in
            [("write", 4), ("pwrite64", 3), ("syncfs", 1), ("renameat2", 1), ("unlink", 1)]
        {
            kills += store.survives_all(kill(call), step, killed);
        }
        kills += Store::new(steps::GROUP).survives_all(apart, 1, killed);
    }
    assert!(kills > 10, "{kills} kills");
}

#[test]
fn a_disk_that_fails_from_any_write_of_an_output_on() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) =
        steps::writes("a_disk_that_fails_from_any_write_of_an_output_on", folder.path())
    else {
        return;
    };
    let library = &library;
    let (step, errors) = if long() { (1, &ERRORS[..]) } else { (5, &ERRORS[..1]) };
    for case in CASES {
        let store = Store::new(case);
        let halves = Fault::Halves { library };
        let broken = store.survives_all(halves, 1, |_, _| {});
        assert_eq!(broken, 0, "{case:?}: it goes on with the rest of each write");
        for &(errno, _, text) in errors {
            let fault = Fault::Writes { library, errno };
            let faults = store.survives_all(fault, step, told(case, text));
            assert!(faults > 1, "{case:?}");
        }
    }
}

#[test]
fn a_disk_that_fails_at_any_other_step() {
    if !steps::strace("a_disk_that_fails_at_any_other_step") {
        return;
    }
    let (cases, calls) = match long() {
        true => (&CASES[..], &CALLS[..]),
        false => (&[steps::ZARR, steps::FITS][..], &["fallocate", "fsync", "syncfs"][..]),
    };
    let mut faults = 0;
    for &case in cases {
        let store = Store::new(case);
        for (call, (_, error, text)) in
            calls.iter().flat_map(|call| ERRORS.map(|error| (call, error)))
        {
            let fault = Fault::Call { call, what: &format!("error={error}"), swaps: true };
            faults += store.survives_all(fault, 1, told(case, text));
        }
    }
    assert!(faults > 5, "{faults} faults");
}

/// That a store which failed says where, and why.
fn told(case: Case, text: &str) -> impl Fn(&Ended, &str) {
    move |ended, why| {
        if ended.code != Some(0) {
            assert_eq!(ended.code, Some(1), "{why}");
            assert!(ended.err.contains(text), "{why}");
            let output = case.output.split(['{', ':']).next().unwrap_or_default();
            let names = |path: &str| ended.err.contains(path);
            assert!(names(output.trim_end_matches('/')) || names("in.npy"), "{why}");
        }
    }
}

/// A conversion that spills: 96 MiB through what 96 MiB of memory leave.
const SPILLS: [&str; 13] = [
    "convert",
    "in.zarr",
    "x.zarr",
    "--chunks",
    "96,64,64",
    "--codec",
    "none",
    "--memory",
    "96MiB",
    "--threads",
    "1",
    "--scratch",
    "scratch",
];

#[test]
fn a_scratch_disk_that_fails_loses_nothing() {
    if !steps::strace("a_scratch_disk_that_fails_loses_nothing") {
        return;
    }
    let folder = frames(96);
    let folder = folder.path();
    let report = run(freeboard(folder, SPILLS));
    assert_eq!(report.code, Some(0), "{}", report.err);
    assert!(!report.err.contains("spilled 0"), "it spills: {}", report.err);
    fs::rename(folder.join("x.zarr"), folder.join("whole")).unwrap();
    let whole = content(&folder.join("whole"));
    let libraries = tempfile::tempdir().unwrap();
    if let Some(library) = &steps::writes("scratch", libraries.path()) {
        let (ended, _) = Fault::Halves { library }.strike(1, folder, &SPILLS);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert!(content(&folder.join("x.zarr")) == whole, "it goes on with the rest of each write");
        fs::remove_dir_all(folder.join("x.zarr")).unwrap();
    }
    let mut faults = vec![
        ("error=ENOSPC", 1, "scratch"),
        ("error=EIO", 2, "scratch"),
        // It says that a page was written, and none was: what comes back is not believed.
        ("retval=4096", 3, "not what was written"),
    ];
    if long() {
        faults.extend((1..40).map(|when| ("error=ENOSPC", when, "scratch")));
        faults.extend((1..40).map(|when| ("error=EIO", when, "scratch")));
    }
    for (fault, when, text) in faults {
        let call = Fault::Call { call: "pwrite64", what: fault, swaps: true };
        let (ended, _) = call.strike(when, folder, &SPILLS);
        // Records of the journal are written by the same call.
        if ended.code != Some(0) {
            assert_eq!(ended.code, Some(1), "{fault} {when}: {}", ended.err);
            let expected = ended.err.contains(text) || ended.err.contains(".x.zarr.journal");
            assert!(expected, "{fault} {when}: {}", ended.err);
            assert!(!folder.join("x.zarr").exists());
            well(freeboard(folder, SPILLS.iter().chain(&["--resume"])));
        }
        assert!(content(&folder.join("x.zarr")) == whole, "{fault} {when}");
        fs::remove_dir_all(folder.join("x.zarr")).unwrap();
        assert_eq!(names(&folder.join("scratch")), [""; 0]);
        assert_eq!(names(folder), ["in.zarr", "scratch", "whole"], "{fault} {when}");
    }
}
