//! Faults at system calls, put there by `strace`: a kill at every write and rename, disks that
//! are full or fail at every write, of outputs and of scratch.

use super::{
    Ended, content, frames, freeboard, input, long, names, run, skip, under, well, workplace, works,
};
use std::{fs, path::Path};

/// Whether `strace` is there and may trace.
fn strace(test: &str) -> bool {
    let there = works("strace", &["-f", "-e", "trace=write", "-o", "/dev/null", "true"]);
    if !there {
        skip(test, "strace is not there or may not trace");
    }
    there
}

/// Runs the program with a fault at the call number `when` of a system call.
fn injected(folder: &Path, call: &str, fault: &str, when: usize, args: &[&str]) -> Ended {
    let inject = format!("inject={call}:{fault}:when={when}");
    // What is not traced is not tampered with.
    let trace = format!("trace={call}");
    let by = ["strace", "-f", "-o", "trace.log", "-e", &trace, "-e", &inject];
    let ended = run(under(&by, folder, args));
    let _ = fs::remove_file(folder.join("trace.log"));
    ended
}

/// A small store over an old array, and what goes on with it.
fn store(output: &str) -> [Vec<&str>; 2] {
    let mut args = vec!["convert", "in.npy", output, "--chunks", "1,16,32", "--threads", "1"];
    args.extend(["--overwrite", "--durable", "--quiet", "--scratch", "scratch"]);
    let mut go_on = args.clone();
    go_on.push("--resume");
    [args, go_on]
}

/// Calls `check` after a fault at each call of `call`, until one run has fewer.
fn at_each(output: &str, call: &str, fault: &str, check: impl Fn(&Path, usize, &Ended)) -> usize {
    let folder = workplace([3, 16, 32]);
    let folder = folder.path();
    input(&folder.join("old.npy"), [2, 20, 20], 2);
    let whole = format!("whole-{output}");
    let [mut fresh, _] = store(&whole);
    fresh.retain(|arg| *arg != "--overwrite");
    well(freeboard(folder, fresh));
    let whole = content(&folder.join(&whole));
    let [args, go_on] = store(output);
    for when in 1.. {
        let old = ["convert", "old.npy", output, "--overwrite", "--quiet"];
        well(freeboard(folder, old));
        let old = content(&folder.join(output));
        let ended = injected(folder, call, fault, when, &args);
        let seen = content(&folder.join(output));
        assert!(seen == old || seen == whole, "{call} {when}: what is visible is not whole");
        if ended.code == Some(0) && seen == whole {
            return when - 1;
        }
        check(folder, when, &ended);
        well(freeboard(folder, &go_on));
        assert!(content(&folder.join(output)) == whole, "{call} {when}: other bits");
        let left: Vec<String> =
            names(folder).into_iter().filter(|name| name.starts_with('.')).collect();
        assert_eq!(left, [""; 0], "{call} {when}");
        assert_eq!(names(&folder.join("scratch")), [""; 0]);
    }
    unreachable!("it ends above")
}

#[test]
fn killed_at_every_step_of_a_store() {
    if !strace("killed_at_every_step_of_a_store") {
        return;
    }
    let outputs: &[&str] = if long() { &["x.zarr", "x.fits", "x.npy"] } else { &["x.zarr"] };
    let calls: &[&str] = match long() {
        true => &[
            "openat",
            "write",
            "pwrite64",
            "mkdir",
            "fallocate",
            "fsync",
            "syncfs",
            "renameat2",
            "rename",
            "unlink",
            "rmdir",
            "flock",
        ],
        false => &["write", "pwrite64", "syncfs", "renameat2", "unlink"],
    };
    let mut kills = 0;
    for output in outputs {
        for call in calls {
            kills += at_each(output, call, "signal=KILL", |_, when, ended| {
                assert_ne!(ended.code, Some(0), "{call} {when}");
            });
        }
    }
    assert!(kills > 10, "{kills} kills");
}

#[test]
fn a_disk_that_fails_at_any_write_of_an_output() {
    if !strace("a_disk_that_fails_at_any_write_of_an_output") {
        return;
    }
    let mut faults = 0;
    let outputs: &[(&str, &str)] = match long() {
        true => &[
            ("x.zarr", "write"),
            ("x.zarr", "pwrite64"),
            ("x.npy", "pwrite64"),
            ("x.fits", "pwrite64"),
        ],
        false => &[("x.zarr", "write"), ("x.npy", "pwrite64")],
    };
    for (output, call) in outputs {
        for (fault, text) in [("error=ENOSPC", "No space left"), ("error=EIO", "nput/output error")]
        {
            let check = |folder: &Path, when: usize, ended: &Ended| {
                assert_eq!(ended.code, Some(1), "{call} {when}: {}", ended.err);
                assert!(ended.err.contains(text), "{call} {when}: {}", ended.err);
                let kept = names(folder).iter().any(|name| name.ends_with(".part"));
                assert_eq!(kept, ended.err.contains("--resume"), "{call} {when}: {}", ended.err);
            };
            faults += at_each(output, call, fault, check);
        }
    }
    assert!(faults > 10, "{faults} faults");
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
    if !strace("a_scratch_disk_that_fails_loses_nothing") {
        return;
    }
    let folder = frames(96);
    let folder = folder.path();
    let report = run(freeboard(folder, SPILLS));
    assert_eq!(report.code, Some(0), "{}", report.err);
    assert!(!report.err.contains("spilled 0"), "it spills: {}", report.err);
    fs::rename(folder.join("x.zarr"), folder.join("whole")).unwrap();
    let whole = content(&folder.join("whole"));
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
        let ended = injected(folder, "pwrite64", fault, when, &SPILLS);
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
