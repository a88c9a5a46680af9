//! `combine`: frames calibrated as they come from the camera.

use crate::{at, fails, json, out};
use std::{fs, path::Path};

/// A FITS image of two equal rows, and its exposure.
fn frame(path: &Path, exposure: f64, row: [i16; 2]) {
    let cards = [
        "SIMPLE  =                    T".to_owned(),
        "BITPIX  =                   16".to_owned(),
        "NAXIS   =                    2".to_owned(),
        "NAXIS1  =                    2".to_owned(),
        "NAXIS2  =                    2".to_owned(),
        format!("EXPTIME = {exposure:>20.1}"),
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
