//! Every example runs on the small data that it makes itself, and ends as it should.
//!
//! They are built by `cargo test`; for this test alone, by `cargo build --examples`.

use std::{path::PathBuf, process::Command};

/// Runs an example; returns the last line that it prints.
fn run(name: &str, arguments: &[PathBuf]) -> String {
    let mut path = PathBuf::from(env!("CARGO_BIN_EXE_freeboard"));
    path.set_file_name("examples");
    path.push(name);
    let made = Command::new(&path).args(arguments).output();
    let made = made.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (text, errors) =
        (String::from_utf8_lossy(&made.stdout), String::from_utf8_lossy(&made.stderr));
    assert!(made.status.success(), "{name}: {text}{errors}");
    text.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn functions_are_tasks() {
    assert_eq!(run("delayed", &[]), "the brightest spectrum is in file 0");
}

#[test]
fn elevation_map() {
    let line = run("elevation", &[]);
    assert!(line.starts_with("the quietest of [4, 4] blocks begins at [240, 160], "), "{line}");
}

#[test]
fn hdf5_frames() {
    let line = run("hdf5_frames", &[]);
    assert!(line.starts_with("30 frames from 0 to 255; the brightest has a mean of 1"), "{line}");
}

#[test]
fn cells_in_a_stack() {
    let line = run("microscopy", &[]);
    assert!(line.starts_with("36 cells in "), "{line}");
    assert!(line.ends_with("by plane: [3, 6, 9, 3, 6, 9]"), "{line}");
}

#[test]
fn night_of_frames() {
    let line = run("night", &[]);
    let sky: f64 = line.split(' ').nth(1).and_then(|sky| sky.parse().ok()).expect(&line);
    assert!((sky - 1000.0).abs() < 5.0, "{line}");
    assert!(line.ends_with(", of 1000"), "{line}");
}

#[test]
fn solar_raster() {
    let folder = tempfile::tempdir().unwrap();
    let pattern = concat!(env!("CARGO_MANIFEST_DIR"), "/data/visp/visp/{stokes}_{raster:d}.fits");
    let output = folder.path().join("small.zarr");
    let line = run("solar_raster", &[pattern.into(), output.clone()]);
    assert!(line.starts_with(&output.display().to_string()), "{line}");
}
