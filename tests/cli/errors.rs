//! What goes wrong is told in one message that says what, where, and what to do.

use crate::{VISP, at, fails, json, names, npy, out, run};
use std::fs;

#[test]
fn nothing_there() {
    fails(&["stats", "missing.fits"], "error: missing.fits: no such file or folder");
    fails(
        &["rebin", "missing/*.fits", "--bins", "5,1", "-o", "x.zarr"],
        "error: no file matches missing/*.fits\n  looked in missing/ (the folder does not exist)",
    );
}

/// A folder with three good files and a fourth: what is told of it.
fn stack_with(name: &str, content: &[u8]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..3 {
        fs::copy("data/visp/visp/I_000.fits", folder.path().join(format!("f{i}.fits"))).unwrap();
    }
    fs::write(folder.path().join(name), content).unwrap();
    let glob = at(&folder, "*.fits");
    (folder, glob)
}

#[test]
fn a_bad_file_in_a_stack_is_named() {
    let good = fs::read("data/visp/visp/I_000.fits").unwrap();
    let cases: [(&str, &[u8]); 5] = [
        ("empty", b""),
        ("truncated", &good[..good.len() / 2]),
        ("headless", &good[..1000]),
        ("of another kind", b"no FITS file at all"),
        ("of another shape", &fs::read("data/fits/plain_f4.fits").unwrap()),
    ];
    for (what, content) in cases {
        let (folder, glob) = stack_with("f3.fits", content);
        let output = at(&folder, "out.npy");
        let ran = run(&["convert", &glob, &output, "--quiet"]);
        assert_eq!(ran.code, Some(1), "{what}: {}", ran.err);
        let bad = at(&folder, "f3.fits");
        assert!(ran.err.starts_with(&format!("error: {bad}")), "{what}: {}", ran.err);
        assert_eq!(ran.err.matches("error:").count(), 1, "{what}: {}", ran.err);
        assert_eq!(names(folder.path()), ["f0.fits", "f1.fits", "f2.fits", "f3.fits"], "{what}");
    }
}

#[test]
fn files_of_a_stack_must_be_alike() {
    fails(
        &["stats", "data/fits/plain_i2.fits", "data/fits/plain_f4.fits"],
        "error: data/fits/plain_f4.fits: float32 (6, 11), but the first file, \
         data/fits/plain_i2.fits, has int16 (6, 11)\n  \
         files of a stack are alike: leave this one out, or stack its kind on its own",
    );
}

#[test]
fn what_is_not_in_the_array() {
    fails(&["stats", VISP, "--slice", "99"], "error: index 99 is beyond axis 0 of length 4");
    fails(
        &["stats", VISP, "--slice", "0,0,0,0,0"],
        "error: a slice of 5 axes of an array of 4 axes",
    );
    fails(
        &["reduce", "sum", VISP, "--axis", "7"],
        "error: axis 7 is out of range for an array of 4 axes",
    );
    fails(&["reduce", "sum", VISP, "--axis", "1,-3"], "error: axis -3 is named twice");
    fails(
        &["rebin", VISP, "--bins", "1,3,1,1", "-o", "x.zarr"],
        "error: a bin of 3 does not divide the length 20 of axis 1\n  \
         leave out what is over with --slice ':, :18'",
    );
    fails(
        &["rebin", VISP, "--bins", "1,3", "-o", "x.zarr"],
        "error: bins along 2 axes for an array of 4 axes\n  \
         a bin of 1 leaves an axis as it is, -1 takes all of it",
    );
}

#[test]
fn what_there_is_no_room_for() {
    fails(
        &["stats", VISP, "--memory", "1"],
        "error: a memory of 1 B is less than the minimum, 96 MiB\n  \
         the process itself needs about half of that minimum",
    );
    let missing = "/nowhere/scratch";
    fails(
        &["stats", VISP, "--scratch", missing],
        "error: /nowhere/scratch: the folder for scratch does not exist\n  \
         name another one with --scratch, or create it",
    );
    fails(
        &["stats", VISP, "--scratch", "Cargo.toml"],
        "error: Cargo.toml: what is named for scratch is no folder\n  \
         name another one with --scratch, or create it",
    );
}

#[test]
fn what_does_not_fit_is_known_before_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (at(&folder, "big.npy"), at(&folder, "x.zarr"));
    crate::stop::zeros(std::path::Path::new(&input), 1);
    let convert = ["convert", &input, &output, "--memory", "200MiB", "--quiet"];
    let ran = run(&[&convert[..], &["--chunks=-1,-1,-1"]].concat());
    assert!(ran.err.contains("` on a chunk of (1024, 1024, 1024) needs "), "{}", ran.err);
    assert!(ran.err.contains("\n  a memory of "), "{}", ran.err);
    // To cut it across, chunks go to scratch: there must be one.
    fails(
        &[&convert[..], &["--chunks=-1,64,64", "--scratch", "/proc"]].concat(),
        "error: /proc: No such file or directory (os error 2)\n  \
         no file can be made in it; name another folder for scratch",
    );
    assert_eq!(names(folder.path()), ["big.npy"]);
}

#[test]
fn outputs_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let there = at(&folder, "there.npy");
    fs::write(&there, "kept").unwrap();
    fails(
        &["convert", VISP, &there],
        &format!(
            "error: {there}: the output exists already\n  give --overwrite, or choose another name"
        ),
    );
    assert_eq!(fs::read_to_string(&there).unwrap(), "kept");
    fails(
        &["convert", VISP, "x.dat"],
        "error: x.dat: no format has names that end in .dat\n  known are FITS (.fits, .fit, .fts), \
         Zarr (.zarr), HDF5 (.h5, .hdf5, .he5, .nc), npy (.npy), PNG (.png)",
    );
    fails(
        &["convert", VISP, "/nowhere/x.zarr"],
        "error: /nowhere/x.zarr: No such file or directory (os error 2)\n  \
         the folder of the output must exist and be writable",
    );
    let copy = at(&folder, "copy.fits");
    fs::copy("data/fits/plain_f4.fits", &copy).unwrap();
    fails(
        &["convert", &copy, &copy, "--overwrite"],
        &format!(
            "error: {copy}: the output would replace the input {copy}\n  \
             write to another name, and move it there afterwards"
        ),
    );
    let glob = at(&folder, "c*.fits");
    let ran = run(&["convert", &glob, &copy, "--overwrite"]);
    assert!(ran.err.contains("would replace the input"), "{}", ran.err);
    let item = at(&folder, "x.npy::/data");
    let ran = run(&["convert", VISP, &item]);
    assert!(ran.err.contains("holds one array, without a name"), "{}", ran.err);
    let npy = at(&folder, "new.npy");
    let ran = run(&["convert", VISP, &npy, "--codec", "zstd:3"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("not compressed"), "{}", ran.err);
    assert_eq!(names(folder.path()), ["copy.fits", "there.npy"]);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let cases = [
        ("data/npy/complex.npy", "\"<c8\" is not supported"),
        ("data/npy/half.npy", "\"<f2\" is not supported"),
        ("data/npy/fields.npy", "data type with fields is not supported"),
        ("data/zarr/v3-complex.zarr", "\"complex64\" is not supported"),
        ("data/zarr/v2-half.zarr", "is not supported"),
        ("data/zarr/v2-lzma.zarr", ""),
        ("data/hdf5/refused.h5", ""),
        ("data/fits/multi.fits::4", ""),
        ("README-of-nothing.md", "no such file"),
        ("Cargo.toml", "not a file of any known format"),
        ("ftp://example.org/x.fits", "no such kind of URL"),
    ];
    let unless_built = ("s3://bucket/x.zarr", "built without the feature `remote`");
    let unless_built = (!cfg!(feature = "remote")).then_some(unless_built);
    for (path, text) in cases.into_iter().chain(unless_built) {
        let ran = run(&["stats", path]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{path}");
        let mut lines = ran.err.lines();
        let first = lines.next().unwrap();
        assert!(first.starts_with("error: ") && first.contains(text), "{path}: {}", ran.err);
        assert!(lines.all(|line| line.starts_with("  ")), "{path}: {}", ran.err);
        assert!(!ran.err.contains("panic"), "{path}: {}", ran.err);
    }
}

#[test]
fn wrong_usage_names_the_nearest() {
    let cases: [(&[&str], &str); 6] = [
        (&["sats", VISP], "'stats'"),
        (&["stats", VISP, "--thread", "2"], "'--threads'"),
        (&["reduce", "meen", VISP], "'mean'"),
        (&["stats", VISP, "--memory", "lots"], "512MiB"),
        (&["rebin", VISP, "-o", "x.zarr"], "--bins"),
        (&["convert", VISP], "2 values required"),
    ];
    for (args, text) in cases {
        let ran = run(args);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{args:?}");
        assert!(ran.err.contains(text), "{args:?}: {}", ran.err);
    }
}

#[test]
fn a_file_that_claims_too_much() {
    let folder = tempfile::tempdir().unwrap();
    npy(&folder.path().join("x.npy"), "<f8", "(1000000, 1000000, 1000000)", &[0; 64]);
    let ran = run(&["stats", &at(&folder, "x.npy")]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.starts_with("error: ") && ran.err.contains("x.npy"), "{}", ran.err);
    // What is all right is not refused.
    npy(&folder.path().join("y.npy"), "|u1", "()", &[7]);
    assert_eq!(json(&["reduce", "sum", &at(&folder, "y.npy"), "--json"]), 7);
}

#[test]
fn data_sets_of_one_file_are_stored_beside_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let input = at(&folder, "x.npy");
    npy(&folder.path().join("x.npy"), "|u1", "(3,)", &[1, 2, 3]);
    let item = |name: &str| at(&folder, &format!("out.h5::{name}"));
    out(&["convert", &input, &item("a/b")]);
    out(&["convert", VISP, &item("a/c"), "--slice", "0, 0"]);
    let sum = |name: &str| json(&["reduce", "sum", &item(name), "--json"]);
    assert_eq!(sum("a/b"), 6);
    fails(
        &["convert", &input, &item("a/b")],
        &format!(
            "error: {}: the output exists already\n  give --overwrite, or choose another name",
            item("a/b")
        ),
    );
    out(&["reduce", "sum", &input, "-o", &item("a/b"), "--overwrite"]);
    assert_eq!(sum("a/b"), 6);
    assert_eq!(
        json(&["info", &item("a/b"), "--json"])["arrays"][0]["shape"],
        serde_json::json!([])
    );
    assert_eq!(json(&["stats", &item("a/c"), "--json"])["shape"], serde_json::json!([50, 120]));
    // One of the file is made of another; in place of itself it is not.
    out(&["convert", &item("a/c"), &item("half"), "--slice", ":25"]);
    let ran = run(&["convert", &item("half"), &item("/half"), "--overwrite"]);
    assert!(ran.err.contains("would replace the input"), "{}", ran.err);
    let listed = json(&["info", &at(&folder, "out.h5"), "--json"]);
    assert_eq!(listed["arrays"].as_array().unwrap().len(), 3);
    // Without a name all of it is replaced, which is said before.
    let ran = run(&["convert", &input, &at(&folder, "out.h5")]);
    assert!(
        ran.err.ends_with("whole file, or ::ITEM behind its name to add to it\n"),
        "{}",
        ran.err
    );
    out(&["convert", &input, &at(&folder, "out.h5"), "--overwrite"]);
    assert_eq!(json(&["stats", &at(&folder, "out.h5"), "--json"])["sum"], 6);
    assert_eq!(names(folder.path()), ["out.h5", "x.npy"]);
}

#[test]
fn frames_go_into_a_folder_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("out")).unwrap();
    fs::write(folder.path().join("out/notes.txt"), "kept").unwrap();
    let output = at(&folder, "out/{i}.fits");
    for more in [&[][..], &["--overwrite"]] {
        let args = [&["convert", "data/fits/plain_f4.fits", &output], more].concat();
        let ran = run(&args);
        assert_eq!(ran.code, Some(1));
        assert!(
            ran.err.contains("a folder that is no array is there\n  it is not overwritten: "),
            "{}",
            ran.err
        );
    }
    assert_eq!(names(&folder.path().join("out")), ["notes.txt"]);
}
