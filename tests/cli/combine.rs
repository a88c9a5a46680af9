//! `combine`: frames calibrated as they come from the camera.

use crate::{at, fails, json, npy, out, run};
use serde_json::json;
use std::{fs, path::Path};

/// A FITS image of two equal rows, and its exposure.
fn frame(path: &Path, exposure: f64, row: [i16; 2]) {
    numbered_frame(path, exposure, row, 0);
}

/// The same with the number of the frame in its sequence.
fn numbered_frame(path: &Path, exposure: f64, row: [i16; 2], number: u64) {
    let cards = [
        "SIMPLE  =                    T".to_owned(),
        "BITPIX  =                   16".to_owned(),
        "NAXIS   =                    2".to_owned(),
        "NAXIS1  =                    2".to_owned(),
        "NAXIS2  =                    2".to_owned(),
        format!("EXPTIME = {exposure:>20.1}"),
        format!("SEQ     = {number:>20}"),
        "END".to_owned(),
    ];
    let mut file = String::new();
    cards.iter().for_each(|card| file.push_str(&format!("{card:<80}")));
    let mut file = file.into_bytes();
    file.resize(2880, b' ');
    [row, row].concat().iter().for_each(|value| file.extend(value.to_be_bytes()));
    file.resize(5760, 0);
    fs::write(path, file).unwrap();
}

#[test]
fn frames_are_calibrated_and_combined() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // Of bias (100, 110), a dark current of (1, 2) a second, and a flat of (0.5, 1.5).
    frame(&path("bias.fits"), 0.0, [100, 110]);
    frame(&path("dark.fits"), 5.0, [105, 120]);
    for (i, more) in [-3, 3].into_iter().enumerate() {
        frame(&path(&format!("flat_{i}.fits")), 0.0, [200 + more, 410 - more]);
    }
    // A sky of 40, 42 and 44, and 4000 where a cosmic ray hit.
    for (i, (exposure, row)) in
        [(10.0, [130, 190]), (20.0, [141, 213]), (10.0, [132, 196]), (10.0, [2110, 6130])]
            .into_iter()
            .enumerate()
    {
        frame(&path(&format!("raw_{i}.fits")), exposure, row);
    }
    let (raw, made) = (at(&folder, "raw_*.fits"), at(&folder, "out.npy"));
    let masters = [("--bias", "bias.fits"), ("--dark", "dark.fits"), ("--flat", "flat_*.fits")]
        .map(|(option, name)| [option.to_owned(), at(&folder, name)])
        .concat();
    let mut command = vec!["combine", &raw, "-o", &made, "--overwrite"];
    command.extend(masters.iter().map(String::as_str));
    let combined = |options: &[&str]| {
        out(&[&command[..], options].concat());
        json(&["reduce", "mean", &made, "--axis", "0", "--json"])
    };
    assert_eq!(combined(&[]), serde_json::json!([43.0, 43.0]));
    assert_eq!(combined(&["--sigma-clip", "1.5"]), serde_json::json!([42.0, 42.0]));
    let clipped = ["--sigma-clip", "2,0.5", "--method", "sum", "--center", "mean"];
    assert_eq!(combined(&clipped), serde_json::json!([126.0, 126.0]));
    let limited = ["--min-max-clip", "41,100", "--method", "mean"];
    assert_eq!(combined(&limited), serde_json::json!([43.0, 43.0]));

    frame(&path("dark.fits"), 0.0, [105, 120]);
    fails(
        &command,
        "error: darks with EXPTIME of [0.0]\n  all darks have one exposure, which is not 0",
    );
    fails(
        &["combine", &raw, "-o", &made, "--overwrite", "--min-max-clip", "1"],
        "error: --min-max-clip takes a lower and an upper value, not 1",
    );
}

#[test]
fn darks_are_scaled_by_the_exposures_of_the_frames_that_they_are_subtracted_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    frame(&path("dark.fits"), 1.0, [10, 20]);
    // Nothing but dark current, in files whose names are in another order than they were taken.
    let exposures = [10, 1, 3, 2];
    for (i, exposure) in (0..).zip(exposures) {
        let row = [10, 20].map(|current| current * exposure);
        let name = format!("raw_{i}.fits");
        numbered_frame(&path(&name), exposure.into(), row, (10 - i) as u64);
    }
    let (raw, dark, made) =
        (at(&folder, "raw_*.fits"), at(&folder, "dark.fits"), at(&folder, "out.npy"));
    let made_of = |options: &[&str]| {
        let command =
            ["combine", &raw, "--dark", &dark, "-o", &made, "--overwrite", "--method", "sum"];
        out(&[&command[..], options].concat());
        let ranges = ["min", "max"].map(|op| json(&["reduce", op, &made, "--json"]));
        assert_eq!(ranges, [0.0, 0.0].map(serde_json::Value::from), "{options:?}");
        json(&["info", &made, "--json"])["arrays"][0]["shape"].clone()
    };
    for options in [
        &[][..],
        &["--slice", "::-1"],
        &["--slice", "1:"],
        &["--stack-by", "SEQ"],
        &["--stack-by", "SEQ", "--slice", "::-2"],
    ] {
        assert_eq!(made_of(options), serde_json::json!([2, 2]), "{options:?}");
    }
    assert_eq!(made_of(&["--stack", "2,2"]), serde_json::json!([2, 2, 2]));
    // A file of several frames has one exposure.
    out(&["convert", &raw, &at(&folder, "all.fits")]);
    fails(
        &["combine", &at(&folder, "all.fits"), "--dark", &dark, "-o", &made, "--overwrite"],
        "error: 1 file for 4 frames to subtract darks from\n  each frame is a file of its own",
    );
}

#[test]
fn a_part_of_the_result_is_the_result_of_a_part() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    frame(&path("bias.fits"), 0.0, [100, 110]);
    frame(&path("dark.fits"), 5.0, [105, 120]);
    for i in 0..2 {
        frame(&path(&format!("flat_{i}.fits")), 0.0, [200 + i, 410 - i]);
    }
    for i in 0..3 {
        frame(&path(&format!("raw_{i}.fits")), 10.0, [130 + 7 * i, 190 + i]);
    }
    let made = at(&folder, "out.npy");
    let masters = [("--bias", "bias.fits"), ("--dark", "dark.fits"), ("--flat", "flat_*.fits")]
        .map(|(option, name)| [option.to_owned(), at(&folder, name)])
        .concat();
    let combined = |options: &[&str]| {
        let raw = at(&folder, "raw_*.fits");
        let command = ["combine", &raw, "-o", &made, "--overwrite"].map(str::to_owned);
        let command = [&command[..], &masters[..]].concat();
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        out(&[&command[..], options].concat());
        json(&["calc", "x", &format!("x={made}"), "--json"])
    };
    let whole = combined(&[])["data"].clone();
    for (slice, expected) in [
        (":, ::-1, ::-1", json!([[whole[1][1], whole[1][0]], [whole[0][1], whole[0][0]]])),
        (":, 1:, :1", json!([[whole[1][0]]])),
        (":, 0", whole[0].clone()),
    ] {
        assert_eq!(combined(&["--slice", slice])["data"], expected, "{slice}");
    }
    // What is of another shape is no calibration of these frames.
    npy(&path("row.npy"), "<f4", "(2,)", &[0; 8]);
    let (raw, row) = (at(&folder, "raw_*.fits"), at(&folder, "row.npy"));
    fails(
        &["combine", &raw, "-o", &made, "--overwrite", "--bias", &row],
        &format!(
            "error: {row}: the bias has the shape (2,), and a frame (2, 2)\n  \
             --slice is of frames and calibrations alike, as they lie in their files"
        ),
    );
}

#[test]
fn a_single_frame_is_a_stack_of_one() {
    let folder = tempfile::tempdir().unwrap();
    frame(&folder.path().join("raw.fits"), 1.0, [3, 5]);
    let made = at(&folder, "out.npy");
    for path in ["raw.fits", "raw.fits::0", "r*.fits"] {
        out(&["combine", &at(&folder, path), "-o", &made, "--overwrite"]);
        let values = json(&["calc", "x", &format!("x={made}"), "--json"]);
        assert_eq!(values["data"], json!([[3.0, 5.0], [3.0, 5.0]]), "{path}");
    }
    // A cube has its frames along its first axis.
    npy(&folder.path().join("cube.npy"), "|u1", "(3, 1, 2)", &[1, 2, 3, 4, 5, 7]);
    out(&["combine", &at(&folder, "cube.npy"), "-o", &made, "--overwrite"]);
    assert_eq!(json(&["calc", "x", &format!("x={made}"), "--json"])["data"], json!([[3.0, 4.0]]));
}

#[test]
fn missing_frames_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    frame(&path("bias.fits"), 0.0, [1, 1]);
    frame(&path("dark.fits"), 1.0, [2, 2]);
    for (i, row) in [[10, 20], [12, 22], [14, 24]].into_iter().enumerate() {
        frame(&path(&format!("raw_{i}.fits")), 1.0, row);
    }
    let (raw, made) = (at(&folder, "raw_*.fits"), at(&folder, "out.npy"));
    fs::write(path("raw_1.fits"), "junk").unwrap();
    let combined = |options: &[&str]| {
        let command = ["combine", &raw, "-o", &made, "--overwrite", "--method", "mean"];
        let ran = run(&[&command[..], options].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert!(ran.err.contains("1 file missing"), "{}", ran.err);
        json(&["calc", "x[0]", &format!("x={made}"), "--json"])["data"].clone()
    };
    let (bias, dark) = (at(&folder, "bias.fits"), at(&folder, "dark.fits"));
    for policy in ["mask", "nan"] {
        assert_eq!(combined(&["--missing", policy]), json!([12.0, 22.0]), "{policy}");
        let calibrated = ["--missing", policy, "--bias", &bias, "--dark", &dark];
        assert_eq!(combined(&calibrated), json!([10.0, 20.0]), "{policy}");
    }
}

#[test]
fn frames_have_weights_and_factors_and_flats_their_darks() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (i, row) in [[10, 20], [40, 80]].into_iter().enumerate() {
        frame(&path(&format!("raw_{i}.fits")), 1.0, row);
    }
    for (i, row) in [[12, 32], [14, 34], [112, 132]].into_iter().enumerate() {
        frame(&path(&format!("flat_{i}.fits")), 2.0, row);
    }
    frame(&path("flatdark.fits"), 2.0, [4, 4]);
    frame(&path("long.fits"), 3.0, [4, 4]);
    let (raw, made) = (at(&folder, "raw_*.fits"), at(&folder, "out.npy"));
    let combined = |options: &[&str]| {
        let command = ["combine", &raw, "-o", &made, "--overwrite", "--method", "mean"];
        out(&[&command[..], options].concat());
        json(&["calc", "x[0]", &format!("x={made}"), "--json"])["data"].clone()
    };
    assert_eq!(combined(&["--weights", "3,1"]), json!([17.5, 35.0]));
    assert_eq!(combined(&["--scale", "4,1"]), json!([40.0, 80.0]));
    // Medians of the flats are 14 and 34, of which darks leave 10 and 30, and their mean 1/2 and 3/2.
    let (flats, dark) = (at(&folder, "flat_*.fits"), at(&folder, "flatdark.fits"));
    let flat = ["--flat", &flats, "--master-method", "median", "--scale", "4,1"];
    let darks = [&flat[..], &["--flat-dark", &dark]].concat();
    let values = combined(&darks);
    let expected = [80.0, 160.0 / 3.0];
    for (value, expected) in values.as_array().unwrap().iter().zip(expected) {
        assert!((value.as_f64().unwrap() - expected).abs() < 1e-4, "{values}");
    }
    let long = at(&folder, "long.fits");
    let command = ["combine", &raw, "-o", &made, "--overwrite"];
    let ran = run(&[&command[..], &flat[..], &["--flat-dark", &long]].concat());
    assert!(ran.err.contains("--flat-dark is not scaled"), "{}", ran.err);
    fails(
        &[&command[..], &["--weights", "1,2,3", "--method", "sum"]].concat(),
        "error: 3 weights for 2 frames",
    );
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let command = ["combine", "data/fits/plain_f4.fits", "-o", "/nowhere/x.npy"];
    for (options, text) in [
        (&["--min-max-clip", "5,1"][..], "--min-max-clip 5,1 would reject all elements\n"),
        (&["--sigma-clip", "0"], "--sigma-clip takes numbers of deviations above 0, not 0\n"),
        (&["--sigma-clip", "3,nan"], "above 0, not NaN\n"),
        (&["--weights", "1"], "a median has no weights\n"),
        (&["--weights", "0", "--method", "mean"], "not all of them 0\n"),
        (&["--scale", "inf"], "--scale takes finite numbers\n"),
    ] {
        let ran = run(&[&command[..], options].concat());
        assert_eq!(ran.code, Some(1), "{options:?}");
        assert!(ran.err.contains(text), "{options:?}: {}", ran.err);
    }
    for (options, text) in [
        (&["--exposure", "EXPOSURE"][..], "--dark"),
        (&["--flat-dark", "x.fits"], "--flat <PATH>"),
        (&["--chunks", "7,0"], "a length is 1 or more, or -1 for the whole axis"),
        (&["--threads", "0"], "a number of threads is 1 or more"),
    ] {
        let ran = run(&[&command[..], options].concat());
        assert_eq!(ran.code, Some(2), "{options:?}");
        assert!(ran.err.contains(text), "{options:?}: {}", ran.err);
    }
}
