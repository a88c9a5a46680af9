//! Stacks with missing files, and stacks by what headers say.

use crate::{VISP, at, fails, json, out, run};
use serde_json::json;
use std::{fs, path::Path};

/// A copy of some files of the small raster: I and Q of rasters 0 to 2.
fn some() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["I_000", "I_001", "I_002", "Q_000", "Q_001", "Q_002"] {
        let name = format!("{name}.fits");
        fs::copy(Path::new("data/visp/visp").join(&name), folder.path().join(&name)).unwrap();
    }
    folder
}

#[test]
fn missing_files_are_nan_or_zero_and_counted() {
    let folder = some();
    let pattern = at(&folder, "{stokes}_{raster:d}.fits");
    let before = json(&["stats", &pattern, "--json"]);
    fs::remove_file(at(&folder, "Q_001.fits")).unwrap();
    fs::write(at(&folder, "I_002.fits"), "junk").unwrap();
    let ran = run(&["stats", &pattern]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("1 of 6 combinations has no file: stokes Q, raster 1"), "{}", ran.err);

    let nan = json(&["stats", &pattern, "--missing", "nan", "--json"]);
    assert_eq!(nan["shape"], json!([2, 3, 50, 120]));
    // Two files of 6000 elements; some elements are NaN in the good ones.
    let gone = nan["nan"].as_u64().unwrap() - before["nan"].as_u64().unwrap();
    assert!((11_000..=12_000).contains(&gone), "{gone}");

    let output = at(&folder, "x.npy");
    let ran = run(&["convert", &pattern, &output, "--missing", "mask", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["missing"], 2);
    let lines: Vec<&str> = ran.err.lines().skip_while(|line| !line.starts_with("done")).collect();
    assert!(lines[0].ends_with(" · 2 files missing"), "{lines:?}");
    assert!(lines[1].starts_with("lacks  ") && lines[1].contains("I_002.fits: "), "{lines:?}");
    assert_eq!(lines[2], "lacks  stokes Q, raster 1: no file");
    let zeros = json(&["stats", &output, "--slice", "1, 1", "--json"]);
    assert_eq!(
        (&zeros["min"], &zeros["max"], &zeros["nan"]),
        (&json!(0.0), &json!(0.0), &json!(0))
    );
    fails(
        &["stats", "data/fits/plain_i2.fits", "gone.fits", "--missing", "nan"],
        "error: data/fits/plain_i2.fits: int16 has no NaN for what is missing\n  \
         choose the policy `mask`: missing elements are 0 then, and the mask tells which",
    );
    assert_eq!(run(&["stats", VISP, "--missing", "zero"]).code, Some(2));
}

#[test]
fn cards_place_files() {
    let folder = some();
    // Names that tell nothing.
    let mut files: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for (i, file) in files.iter().enumerate() {
        fs::rename(file, folder.path().join(format!("{}.fits", (i * 7 + 3) % 6))).unwrap();
    }
    let glob = at(&folder, "*.fits");
    let args = ["info", &glob, "--stack-by", "STOKES,RASTER", "--json"];
    let array = &json(&args)["arrays"][0];
    assert_eq!(array["shape"], json!([2, 3, 50, 120]));
    assert_eq!(array["axes"][0], json!({ "name": "STOKES", "labels": ["I", "Q"] }));
    assert_eq!(array["axes"][1], json!({ "name": "RASTER", "labels": [0, 1, 2] }));
    let values = |path: &str, more: &[&str]| {
        out(&[&["reduce", "nanmax", path, "--axis", "2,3", "--json"], more].concat())
    };
    assert_eq!(
        values(&glob, &["--stack-by", "STOKES,RASTER"]),
        values(VISP, &["--slice", ":2, :3"])
    );
    let ran = run(&["info", &glob, "--stack-by", "RASTER"]);
    assert!(ran.err.contains("RASTER 0 is the place of two files, "), "{}", ran.err);
    assert!(ran.err.contains(", and 2 more\n"), "{}", ran.err);
    let ran = run(&["info", &glob, "--stack-by", "NOSUCH"]);
    assert!(ran.err.contains(".fits: there is no card NOSUCH"), "{}", ran.err);
    fs::remove_file(at(&folder, "0.fits")).unwrap();
    let ran = run(&["info", &glob, "--stack-by", "STOKES,RASTER"]);
    assert!(ran.err.contains("1 of 6 combinations has no file: STOKES "), "{}", ran.err);
    let array = &json(&[&args[..], &["--missing", "nan"]].concat())["arrays"][0];
    assert_eq!((&array["shape"], &array["files"]), (&json!([2, 3, 50, 120]), &json!(5)));
}
