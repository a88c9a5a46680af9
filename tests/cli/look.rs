//! Looking at files: trees of what they hold, pages, tables of headers.

use crate::{at, json, out, run};
use serde_json::json;
use std::fs;

#[test]
fn info_shows_all_hdus_as_a_tree() {
    let text = "\
data/fits/multi.fits   FITS
├─ 0        empty
├─ 1 SCI    int16 (6, 11)     chunks (6, 11) × 1   132 B, 2.8 KiB on disk
├─ 2 ERR    float32 (6, 11)   chunks (6, 11) × 1   264 B, 2.8 KiB on disk
├─ 3 SCI    int32 (3, 4)      chunks (3, 4) × 1   48 B, 2.8 KiB on disk
├─ 4 TAB    binary table
└─ 5 COMP   int16 (6, 11)     RICE_1 · chunks (6, 11) × 1   132 B, 146 B on disk
";
    assert_eq!(out(&["info", "data/fits/multi.fits"]), text);
    let cards = out(&["info", "data/fits/multi.fits", "--cards"]);
    assert!(cards.contains("\n│    BITPIX   = 16\n│    EXTNAME  = \"SCI\"\n"), "{cards}");
    let value = json(&["info", "data/fits/multi.fits", "--json"]);
    assert_eq!(value["arrays"].as_array().unwrap().len(), 4);
    assert_eq!(
        (&value["arrays"][1]["title"], &value["arrays"][1]["item"]),
        (&json!("ERR"), &json!("2"))
    );
    assert_eq!(value["others"][1], json!({ "item": "4", "title": "TAB", "what": "binary table" }));
    let one = out(&["info", "data/fits/multi.fits::2", "--cards"]);
    assert!(one.contains("\n  EXTNAME  = \"ERR\"\n"), "{one}");
}

#[test]
fn info_shows_groups_and_what_cannot_be_read() {
    let text = "\
data/zarr/group.zarr   Zarr 3
├─ a       int32 (7, 10)   zstd · chunks (7, 10) × 1   280 B
└─ deep/
   └─ b    int32 (7, 10)   zstd · chunks (7, 10) × 1   280 B
";
    assert_eq!(out(&["info", "data/zarr/group.zarr"]), text);
    let one = json(&["info", "--json", "data/zarr/group.zarr::deep/b"]);
    assert_eq!(one["arrays"][0]["item"], "deep/b");
    let text = out(&["info", "data/hdf5/refused.h5"]);
    assert!(text.starts_with("data/hdf5/refused.h5\n├─ complex "), "{text}");
    assert!(
        text.contains("└─ text          (2,)   cannot be read: elements are strings"),
        "{text}"
    );
    let value = json(&["info", "data/hdf5/refused.h5", "--json"]);
    assert_eq!(value["others"][0]["item"], "/complex");
    assert!(value["others"][0]["reason"].as_str().unwrap().contains("complex numbers"));
    assert_eq!(
        (&value["others"][0]["dtype"], &value["others"][0]["shape"]),
        (&json!(null), &json!([3]))
    );
}

#[test]
fn info_as_a_page() {
    let page = out(&["info", "--html", crate::VISP]);
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"), "{page}");
    for part in [
        "<h2>data/visp/visp/{stokes}_{raster:d}.fits</h2>",
        "<tr><th>Shape</th><td>(4, 20, 50, 120)</td><td>(1, 1, 50, 120)</td></tr>",
        "<td>1.8 MiB</td><td>23 KiB</td>",
        "<div>4 (in 4) × </div><svg ",
        "23 cards or attributes",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    // 21 cuts between 20 chunks of the first drawn axis, on two faces; the others are whole.
    assert_eq!(page.matches("<line ").count(), 2 * 21 + 2 * 2 + 2 * 2);
    let many = out(&["info", "--html", "data/fits/multi.fits"]);
    assert_eq!((many.matches("<svg ").count(), many.matches("class=\"card\"").count()), (4, 6));
}

#[test]
fn headers_are_one_table() {
    let text = "\
file                       CRPIX3  DATE-BEG                 RASTER  STOKES
data/visp/visp/I_000.fits       1  2024-06-11T18:00:00.000       0  I
data/visp/visp/I_001.fits       0  2024-06-11T18:00:10.000       1  I
data/visp/visp/Q_000.fits       1  2024-06-11T18:00:00.000       0  Q
data/visp/visp/Q_001.fits       0  2024-06-11T18:00:10.000       1  Q
21 cards are the same in all files: --cards, --csv or --json show them
";
    assert_eq!(out(&["headers", "data/visp/visp/[IQ]_00[01].fits"]), text);
    let csv =
        out(&["headers", "data/visp/visp/?_000.fits", "--cards", "STOKES,NONE,RASTER", "--csv"]);
    assert_eq!(csv.lines().next(), Some("file,STOKES,NONE,RASTER,error"));
    assert_eq!(csv.lines().nth(2), Some("data/visp/visp/Q_000.fits,Q,,0,"));
    let primary = out(&["headers", "data/fits/multi.fits::0", "data/fits/multi.fits", "--csv"]);
    assert_eq!(primary.lines().count(), 3);
    let array = out(&["headers", "data/hdf5/one.h5", "--csv"]);
    assert!(array.starts_with("file,"), "{array}");
}

#[test]
fn headers_that_cannot_be_read_are_told_and_the_rest_shown() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..700 {
        fs::copy("data/fits/plain_u1.fits", at(&folder, &format!("f{i}.fits"))).unwrap();
    }
    fs::write(at(&folder, "f7.fits"), "junk, with \"quotes\"").unwrap();
    let glob = at(&folder, "*.fits");
    let ran = run(&["headers", &glob, "--json"]);
    assert_eq!((ran.code, ran.out.lines().count()), (Some(1), 700));
    let told: Vec<&str> = ran.err.lines().collect();
    assert!(told[0].starts_with("warning: ") && told[0].contains("f7.fits: "), "{}", ran.err);
    assert_eq!(told[1..], ["error: 1 of 700 files cannot be read"]);
    let lines: Vec<serde_json::Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines[7]["error"].is_string() && lines[7]["cards"] == json!({}));
    assert_eq!((&lines[10]["cards"]["BITPIX"], &lines[10]["error"]), (&json!(8), &json!(null)));
    assert!(lines[10]["file"].as_str().unwrap().ends_with("f10.fits"));
    let ran = run(&["headers", &glob, "--cards", "BITPIX"]);
    assert_eq!((ran.code, ran.out.lines().count()), (Some(1), 701));
    assert!(
        ran.out.lines().nth(8).unwrap().ends_with("f7.fits    (cannot be read)"),
        "{}",
        ran.out
    );
    // A file that is not there is one that cannot be read.
    let ran = run(&["headers", "data/fits/plain_u1.fits", "gone.fits", "--csv"]);
    assert_eq!((ran.code, ran.out.lines().count()), (Some(1), 3));
    assert!(ran.out.ends_with("gone.fits: no such file or folder\n"), "{}", ran.out);
    assert!(ran.err.ends_with("\nerror: 1 of 2 files cannot be read\n"), "{}", ran.err);
}

#[test]
fn many_locations_are_abridged_and_held_against_the_first() {
    let files: Vec<String> = (0..20).map(|i| format!("data/visp/visp/I_{i:03}.fits")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let text = out(&[&["info"], &files[..]].concat());
    let first = "data/visp/visp/I_000.fits … data/visp/visp/I_019.fits   20 files";
    assert!(text.starts_with(first), "{text}");
    let all = json(&[&["info", "--json"], &files[..]].concat());
    assert_eq!(all["location"], json!(files.join(" ")));
    crate::fails(
        &["info", "data/fits/plain_i2.fits", "data/npy/bool.npy"],
        "error: data/npy/bool.npy: bool (7, 5, 6), but the first file, data/fits/plain_i2.fits, has int16 (6, 11)\n  \
         files of a stack are alike: look at each on its own",
    );
}
