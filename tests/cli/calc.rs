//! `calc`: formulas over files, printed and stored; what is wrong with them.

use crate::{VISP, at, fails, json, names, npy, out, run};
use serde_json::json;
use std::fs;

/// Two arrays in a folder: `x.npy`, int16 (2, 3) from 0 on, and `y.npy`, float32 (3,).
fn folder() -> (tempfile::TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let x: Vec<u8> = (0i16..6).flat_map(i16::to_le_bytes).collect();
    let y: Vec<u8> = [0.5f32, f32::NAN, 2.0].into_iter().flat_map(f32::to_le_bytes).collect();
    npy(&folder.path().join("x.npy"), "<i2", "(2, 3)", &x);
    npy(&folder.path().join("y.npy"), "<f4", "(3,)", &y);
    let given = |name: &str| format!("{name}={}", at(&folder, &format!("{name}.npy")));
    let (x, y) = (given("x"), given("y"));
    (folder, x, y)
}

#[test]
fn printed() {
    let (_folder, x, y) = folder();
    let calc = |formula: &str| out(&["calc", formula, &x, &y, "--quiet"]);
    assert_eq!(calc("x * 2 + y[0]"), "[[0.5, 2.5, 4.5],\n [6.5, 8.5, 10.5]]\n");
    assert_eq!(calc("x.sum(), y[::2], y.shape"), "15\n[0.5, 2]\n(3,)\n");
    assert_eq!(calc("x.shape + y.shape, x.dtype, 1 / 2"), "((2, 3, 3), int16, 0.5)\n");
    assert_eq!(calc("-x[0, ::-1], y.ndim"), "[-2, -1, 0]\n1\n");
    assert_eq!(calc("x[x > 2], y[y > 0].mean()"), "[3, 4, 5]\n1.25\n");
}

#[test]
fn printed_as_json() {
    let (_folder, x, y) = folder();
    let calc = |formula: &str| json(&["calc", formula, &x, &y, "--quiet", "--json"]);
    assert_eq!(
        calc("x[:, 0] - y[:2]"),
        json!({"shape": [2], "dtype": "float32", "data": [-0.5, "nan"]})
    );
    let several = json!([
        {"shape": [], "dtype": "int64", "data": 15},
        [{"shape": [], "dtype": "float32", "data": 0.5}, 3],
        [2, 3],
        "float32",
        null,
        "inf",
    ]);
    assert_eq!(calc("sum(x), [y[0], 3], x.shape, y.dtype, None, inf"), several);
}

#[test]
fn stored() {
    let (folder, x, y) = folder();
    let output = at(&folder, "out.npy");
    out(&["calc", "where(isnan(y), 0, x)", &x, &y, "-o", &output, "--quiet"]);
    assert_eq!(
        json(&["calc", "z", &format!("z={output}"), "-q", "--json"])["data"],
        json!([[0, 0, 2], [3, 0, 5]])
    );
    // A number keeps its dtype, and has no axes.
    out(&["calc", "x.max()", &x, "-o", &output, "--overwrite", "--quiet"]);
    let bytes = fs::read(&output).unwrap();
    let header = String::from_utf8_lossy(&bytes[..64]);
    assert!(header.contains("'descr': '<i2', 'fortran_order': False, 'shape': ()"), "{header}");
    assert_eq!(bytes[128..], [5, 0]);
    out(&["calc", "x[x % 2 == 1]", &x, "-o", &output, "--overwrite", "--quiet"]);
    let bytes = fs::read(&output).unwrap();
    assert_eq!(bytes[128..], [1, 0, 3, 0, 5, 0]);
    let zarr = at(&folder, "out.zarr");
    out(&["calc", "x.T / 2", &x, "-o", &zarr, "--chunks", "2,2", "--quiet"]);
    let info = json(&["info", "--json", &zarr]);
    assert_eq!(
        (&info["arrays"][0]["chunks"], &info["arrays"][0]["dtype"]),
        (&json!([2, 2]), &json!("float64"))
    );
}

#[test]
fn paths_of_one_name_are_stacked() {
    let file = "x=data/visp/visp/I_000.fits";
    assert_eq!(out(&["calc", "x.shape", file, file]), "(2, 50, 120)\n");
    assert_eq!(out(&["calc", "x.shape", file, file, "--keep-axes"]), "(2, 1, 50, 120)\n");
}

#[test]
fn only_planned() {
    let input = format!("x={VISP}");
    let plan = out(&["calc", "nanmean(x, axis=(0, 1))", &input, "--plan"]);
    assert!(plan.starts_with("plan   read 709 KiB"), "{plan}");
    let text = "error: this depends on values, which would have to be computed first\n  \
                x[x > 0]\n  ^^^^^^^^\n  a formula with such a part has no plan before it runs";
    fails(&["calc", "x[x > 0]", &input, "--plan"], text);
}

#[test]
fn what_cannot_be_read_ends_with_2() {
    let (_folder, x, _) = folder();
    let refused = |args: &[&str], text: &str| {
        let ran = run(&[&["calc"], args].concat());
        assert_eq!((ran.code, ran.err.as_str(), ran.out.as_str()), (Some(2), text, ""), "{args:?}");
    };
    refused(&["x +", &x], "error: the formula ends where a value is expected\n  x +\n     ^\n");
    refused(
        &["meam(x)", &x],
        "error: there is no function 'meam'\n  meam(x)\n  ^^^^\n  did you mean 'mean'?\n",
    );
    refused(&["1", &x], "error: the formula does not use the input x\n");
    refused(
        &["1, 2", "-o", "never.npy"],
        "error: an output holds one array, and the formula gives several\n",
    );
    assert_eq!(run(&["calc", "x", "2x=a.npy"]).code, Some(2));
    assert_eq!(run(&["calc"]).code, Some(2));
}

#[test]
fn what_cannot_be_done_ends_with_1() {
    let (folder, x, y) = folder();
    fails(
        &["calc", "x - y[:2]", &x, &y],
        "error: shapes (2, 3) and (2,) do not broadcast in `-`\n  x - y[:2]\n  ^^^^^^^^^",
    );
    fails(&["calc", "x", "x=missing.fits"], "error: missing.fits: no such file or folder");
    let path = at(&folder, "x.npy");
    let ran = run(&["calc", "x + 1", &x, "-o", &path, "--overwrite"]);
    assert!(ran.err.contains("the output would replace the input"), "{}", ran.err);
    assert_eq!(names(folder.path()), ["x.npy", "y.npy"]);
}

#[test]
fn functions_are_listed() {
    let list = out(&["calc", "--functions"]);
    let mean = list.lines().find(|line| line.starts_with("mean(")).unwrap();
    assert!(mean.starts_with("mean(a, axis=None, dtype=None, *, keepdims=False)  "), "{mean}");
    assert!(mean.ends_with("  The mean"), "{mean}");
    assert!(list.lines().count() > 100);
}
