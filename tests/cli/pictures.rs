//! Pictures in and out.

use super::{at, json, names, npy, out, run};
use serde_json::json;

/// Asserts that a run fails, and says this among other things.
fn refused(args: &[&str], text: &str) {
    let ran = run(args);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{args:?}");
    assert!(ran.err.contains(text), "{}", ran.err);
}

#[test]
fn a_frame_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let frame = at(&folder, "frame.png");
    let input = "data/visp/visp/I_000.fits";
    out(&["convert", input, &frame, "--slice", "0"]);
    let array = |path: &str| json(&["info", "--json", path])["arrays"][0].clone();
    let gray = array(&frame);
    assert_eq!((&gray["shape"], &gray["dtype"]), (&json!([50, 120]), &json!("uint8")));
    assert_eq!((&gray["format"], &gray["codec"]), (&json!("PNG"), &json!("deflate")));
    let shown = ["--limits", "percent:1,99", "--stretch", "asinh", "--colormap", "viridis"];
    let convert =
        ["convert", input, &frame, "--overwrite", "--slice", "0", "--nan-color", "#ff0000"];
    out(&[&convert[..], &shown].concat());
    assert_eq!(array(&frame)["shape"], json!([50, 120, 3]));
    // Dead pixels are red, and nothing else is.
    let count = |formula: &str| {
        let x = format!("x={frame}");
        json(&["calc", formula, &x, "--json"])["data"].clone()
    };
    let nans = json(&["stats", input, "--json"])["nan"].clone();
    assert!(nans.as_u64() > Some(0));
    let red = "((x[..., 0] == 255) & (x[..., 1] == 0) & (x[..., 2] == 0)).sum()";
    assert_eq!(count(red), nans);
}

#[test]
fn shades_as_they_are_or_between_limits() {
    let folder = tempfile::tempdir().unwrap();
    let elements: Vec<u8> =
        [3u16, 500, 65_535, 0, 9, 77].iter().flat_map(|v| v.to_le_bytes()).collect();
    npy(&folder.path().join("x.npy"), "<u2", "(2, 3)", &elements);
    let (input, png) = (at(&folder, "x.npy"), at(&folder, "x.png"));
    let data = |path: &str| json(&["calc", "x", &format!("x={path}"), "--json"])["data"].clone();
    out(&["convert", &input, &png]);
    assert_eq!(data(&png), json!([[3, 500, 65_535], [0, 9, 77]]));
    out(&["convert", &input, &png, "--overwrite", "--limits", "3,77"]);
    assert_eq!(data(&png), json!([[0, 255, 255], [0, 21, 255]]));
    out(&["convert", &input, &png, "--overwrite", "--limits=-26,78", "--stretch", "sqrt"]);
    assert_eq!(data(&png)[1][0], json!(128));
    let wrong = run(&["convert", &input, &png, "--limits", "3"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("known are minmax, percent:LOW,HIGH"), "{}", wrong.err);
    let zarr = at(&folder, "x.zarr");
    refused(&["convert", &input, &zarr, "--colormap", "magma"], "--nan-color are of pictures");
    refused(&["convert", &input, &png, "--overwrite", "--resume"], "PNG files cannot resume");
    refused(&["convert", "data/visp/visp", &at(&folder, "y.png")], "out/{i:04d}.png");
}

#[test]
fn a_folder_of_pictures_is_a_stack() {
    let folder = tempfile::tempdir().unwrap();
    let (frames, pattern) = (at(&folder, "out"), at(&folder, "out/{page:02d}.png"));
    out(&["convert", "data/images/pages.tif", &pattern]);
    assert_eq!(names(&folder.path().join("out")).len(), 5);
    let info = json(&["info", "--json", &frames]);
    assert_eq!(info["arrays"][0]["shape"], json!([5, 21, 19]));
    // All frames have the limits of all: one is black somewhere, one white.
    let stats = json(&["stats", "--json", &pattern]);
    assert_eq!((&stats["min"], &stats["max"]), (&json!(0), &json!(255)));
    assert_eq!(json(&["info", "--json", &pattern])["arrays"][0]["axes"][0]["name"], "page");
}

#[test]
fn pages_that_differ_are_a_tree() {
    let text = out(&["info", "data/images/differ.tif"]);
    assert!(text.contains("TIFF") && text.contains("├─ 0") && text.contains("└─ 1"), "{text}");
    assert!(text.contains("uint16") && text.contains("float32 (5, 7)"), "{text}");
    refused(&["stats", "data/images/differ.tif"], "name one: ::0 to ::1");
}
