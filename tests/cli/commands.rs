//! Each command: what it prints, and that what it writes reads back.

use crate::{VISP, at, json, npy, out, run};
use serde_json::{Value, json};
use std::{
    io::Read,
    process::{Command, Stdio},
};

#[test]
fn info_of_a_stack() {
    let text = "\
data/visp/visp/{stokes}_{raster:d}.fits   80 files · FITS · RICE_1 · opened 1
  float32 (4, 20, 50, 120)                chunks (1, 1, 50, 120) × 80   1.8 MiB, 1.4 MiB on disk
  axes stokes I Q U V · raster 0…19
";
    assert_eq!(out(&["info", VISP]), text);
}

#[test]
fn info_as_json() {
    let value = json(&["info", "--json", VISP]);
    assert_eq!(value["location"], VISP);
    let array = value["arrays"][0].as_object().unwrap();
    let keys: Vec<&str> = array.keys().map(String::as_str).collect();
    let expected = "attributes axes bytes bytes_on_disk chunk_count chunks codec dtype files format item location shape title";
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!(sorted.join(" "), expected);
    assert_eq!(array["shape"], json!([4, 20, 50, 120]));
    assert_eq!(array["chunks"], json!([1, 1, 50, 120]));
    assert_eq!((&array["chunk_count"], &array["bytes"]), (&json!(80), &json!(1_920_000)));
    assert_eq!(array["axes"][0], json!({ "name": "stokes", "labels": ["I", "Q", "U", "V"] }));
    assert_eq!(array["axes"][1]["labels"][19], 19);
}

#[test]
fn several_paths_are_a_stack() {
    let file = "data/visp/visp/I_000.fits";
    let shape =
        |args: &[&str]| json(&[&["info", "--json"], args].concat())["arrays"][0]["shape"].clone();
    assert_eq!(shape(&[file, file]), json!([2, 50, 120]));
    assert_eq!(shape(&[file, file, "--keep-axes"]), json!([2, 1, 50, 120]));
    assert_eq!(shape(&["data/visp/visp", "--stack", "4,20"]), json!([4, 20, 50, 120]));
    assert_eq!(shape(&["data/visp/visp/*_00?.fits"]), json!([40, 50, 120]));
}

#[test]
fn stats_of_known_elements() {
    let folder = tempfile::tempdir().unwrap();
    let elements = [1.5f32, f32::NAN, 5.5, 1.5, 5.5, f32::NAN];
    let bytes: Vec<u8> = elements.iter().flat_map(|v| v.to_le_bytes()).collect();
    npy(&folder.path().join("x.npy"), "<f4", "(3, 2)", &bytes);
    let path = at(&folder, "x.npy");
    let text = "shape  (3, 2)\ndtype  float32\ncount  4\nnan    2\nmin    1.5\nmax    5.5\n\
                sum    14\nmean   3.5\nstd    2\n";
    assert_eq!(out(&["stats", &path]), text);
    let value = json(&["stats", &path, "--json", "--slice", "0, ..., ::-1"]);
    assert_eq!(
        value,
        json!({ "shape": [2], "dtype": "float32", "count": 1, "nan": 1, "min": 1.5, "max": 1.5,
                "sum": 1.5, "mean": 1.5, "std": 0.0 })
    );
    let keys: Vec<String> = out(&["stats", &path, "--json"])
        .lines()
        .filter_map(|line| Some(line.trim().strip_prefix('"')?.split('"').next()?.to_owned()))
        .collect();
    assert_eq!(keys.join(" "), "shape dtype count nan min max sum mean std");
}

#[test]
fn stats_of_integers_nothing_and_infinity() {
    let value = json(&["stats", "data/npy/empty.npy", "--json"]);
    assert_eq!(
        value,
        json!({ "shape": [0, 3], "dtype": "int32", "count": 0, "nan": 0, "min": null, "max": null,
                "sum": 0, "mean": null, "std": null })
    );
    let folder = tempfile::tempdir().unwrap();
    let stats = |name: &str, dtype, shape, bytes: &[u8]| {
        npy(&folder.path().join(name), dtype, shape, bytes);
        json(&["stats", &at(&folder, name), "--json"])
    };
    let big: Vec<u8> = [i64::MIN, 1, i64::MAX].iter().flat_map(|v| v.to_le_bytes()).collect();
    let value = stats("big.npy", "<i8", "(3,)", &big);
    assert_eq!((&value["min"], &value["max"]), (&json!(i64::MIN), &json!(i64::MAX)));
    assert_eq!(value["sum"], json!(0));
    let value = stats("bool.npy", "|b1", "(3,)", &[1, 0, 1]);
    assert_eq!((&value["min"], &value["max"], &value["sum"]), (&json!(0), &json!(1), &json!(2)));
    let nothing: Vec<u8> = [f64::NAN; 2].iter().flat_map(|v| v.to_le_bytes()).collect();
    let value = stats("nan.npy", "<f8", "(2,)", &nothing);
    assert_eq!(
        (&value["count"], &value["nan"], &value["sum"]),
        (&json!(0), &json!(2), &json!(0.0))
    );
    assert!(["min", "max", "mean", "std"].iter().all(|key| value[key] == Value::Null), "{value}");
    let infinite: Vec<u8> = [f64::NEG_INFINITY, 1.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let value = stats("inf.npy", "<f8", "(2,)", &infinite);
    assert_eq!((&value["min"], &value["max"]), (&json!("-inf"), &json!(1.0)));
    assert_eq!((&value["sum"], &value["std"]), (&json!("-inf"), &json!("nan")));
}

#[test]
fn plans_run_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = at(&folder, "x.zarr");
    let args = ["rebin", VISP, "--bins", "1,5,1,10", "-o", &output, "--plan", "--memory", "512MiB"];
    let text = out(&args);
    let mut lines = text.lines();
    let head = lines.next().unwrap();
    assert!(head.starts_with("plan   read 709 KiB · write 38 KiB · peak "), "{text}");
    assert!(head.ends_with(" tasks"), "{text}");
    assert!(lines.all(|line| line.contains(" of (")), "{text}");
    assert!(!folder.path().join("x.zarr").exists());
    let value = json(&[&args[..], &["--json"]].concat());
    let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    for key in ["tasks", "read", "written", "between", "largest_task", "peak", "stages"] {
        assert!(keys.iter().any(|have| *have == key), "{key} in {keys:?}");
    }
    let stage = value["stages"][0].as_object().unwrap();
    for key in ["stage", "name", "from", "tasks", "block", "output"] {
        assert!(stage.contains_key(key), "{key} in {stage:?}");
    }
    // The one pass of `stats`: whatever is asked, each file is read once.
    let value = json(&["stats", VISP, "--plan", "--json"]);
    assert!(value["read"].as_u64().unwrap() < 1 << 20, "{value}");
}

#[test]
fn reduce_prints_or_stores() {
    let raster = "data/npy/int16.npy";
    let shape: Vec<u64> =
        serde_json::from_value(json(&["stats", raster, "--json"])["shape"].clone()).unwrap();
    let sum = out(&["reduce", "sum", raster, "--quiet"]);
    assert_eq!(sum.trim(), json(&["stats", raster, "--json"])["sum"].to_string());
    let nested = json(&["reduce", "max", raster, "--axis", "-1", "--json"]);
    assert_eq!(nested.as_array().unwrap().len() as u64, shape[0]);
    assert_eq!(nested[0].as_array().unwrap().len() as u64, shape[1]);
    assert_eq!(json(&["reduce", "all", "data/npy/bool.npy", "--json"]), json!(false));
    let folder = tempfile::tempdir().unwrap();
    let output = at(&folder, "mean.npy");
    let report = json(&["reduce", "nanmean", VISP, "--axis", "0,2", "-o", &output, "--json"]);
    for key in ["seconds", "read", "written", "spilled", "scratch", "peak", "memory", "predicted"] {
        assert!(report.get(key).is_some(), "{key} in {report}");
    }
    assert_eq!(json(&["stats", &output, "--json"])["shape"], json!([20, 120]));
}

#[test]
fn rebin_into_zarr_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let output = at(&folder, "small.zarr");
    let ran = run(&["rebin", VISP, "--bins", "1,5,1,-1", "--op", "nansum", "-o", &output]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{}", ran.err);
    let lines: Vec<&str> = ran.err.lines().collect();
    assert!(lines.first().unwrap().starts_with("plan   read "), "{lines:?}");
    assert!(lines.last().unwrap().starts_with("done   "), "{lines:?}");
    let (before, after) = (json(&["stats", VISP, "--json"]), json(&["stats", &output, "--json"]));
    assert_eq!(after["shape"], json!([4, 4, 50, 1]));
    let sum = |stats: &Value| stats["sum"].as_f64().unwrap();
    assert!((sum(&before) / sum(&after) - 1.0).abs() < 1e-6, "{before} {after}");
    let quiet =
        run(&["rebin", VISP, "--bins", "1,5,1,10", "-o", &output, "--overwrite", "--quiet"]);
    assert_eq!((quiet.code, quiet.out + &quiet.err), (Some(0), String::new()));
}

#[test]
fn convert_round_trips_through_all_formats() {
    let folder = tempfile::tempdir().unwrap();
    let first = json(&["stats", VISP, "--json"]);
    let mut from = VISP.to_owned();
    for name in ["a.zarr", "b.fits", "c.h5", "d.npy", "e.zarr"] {
        let to = at(&folder, name);
        out(&["convert", &from, &to]);
        let stats = json(&["stats", &to, "--json"]);
        for key in ["shape", "dtype", "count", "nan", "min", "max"] {
            assert_eq!(stats[key], first[key], "{key} of {name}");
        }
        from = to;
    }
    let rechunked = at(&folder, "f.zarr");
    out(&["convert", &from, &rechunked, "--chunks", "2,-1,7,9", "--codec", "zstd:1"]);
    let info = json(&["info", "--json", &rechunked]);
    assert_eq!(info["arrays"][0]["chunks"], json!([2, 20, 7, 9]));
    let slice = ["--slice", "1, ::3, -2, 5:9"];
    let values = |path: &str| {
        out(&[&["reduce", "nansum", path, "--axis", "1", "--json"], &slice[..]].concat())
    };
    assert_eq!(values(VISP), values(&rechunked));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_freeboard"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["reduce", "mean", VISP, "--axis", "0", "--json", "--quiet"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 2];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
}

#[test]
fn zarr_is_written_in_shards_and_into_groups() {
    let folder = tempfile::tempdir().unwrap();
    let output = at(&folder, "x.zarr::images/raw");
    out(&["convert", VISP, &output, "--chunks", "1,5,25,60", "--shards", "2,-1,50,120"]);
    out(&["convert", &output, &at(&folder, "x.zarr::copy"), "--codec", "gzip:1"]);
    let listed = json(&["info", "--json", &at(&folder, "x.zarr")]);
    assert_eq!(listed["arrays"].as_array().unwrap().len(), 2);
    let raw = json(&["info", "--json", &output]);
    assert_eq!(raw["arrays"][0]["codec"], "zstd in shards");
    assert_eq!(raw["arrays"][0]["chunks"], json!([2, 20, 50, 120]));
    let [first, second] = ["a.npy", "b.npy"].map(|name| at(&folder, name));
    out(&["convert", VISP, &first]);
    out(&["convert", &output, &second]);
    assert!(std::fs::read(first).unwrap() == std::fs::read(second).unwrap());
    let ran = run(&[
        "convert",
        VISP,
        &at(&folder, "x.npy"),
        "--chunks",
        "1,5,25,60",
        "--shards",
        "1,5,25,60",
    ]);
    assert!(ran.err.contains("no shards"), "{}", ran.err);
}
