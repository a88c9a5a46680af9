//! `combine`: frames calibrated as they come from the camera.

use crate::{at, fails, json, out};
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
        "error: 1 files for 4 frames to subtract darks from\n  each frame is a file of its own",
    );
}
