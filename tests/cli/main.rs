//! The program, run as a user runs it: what it prints, how it fails, what it leaves behind.

mod calc;
mod combine;
mod commands;
mod errors;
mod look;
mod pictures;
mod stacks;
mod stop;

use serde_json::Value;
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The stack of the small raster under `data/`.
const VISP: &str = "data/visp/visp/{stokes}_{raster:d}.fits";

/// The program, to be run in the repository's root.
fn freeboard(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freeboard"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(args).stdin(Stdio::null());
    command
}

/// What the program printed, and how it ended.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(args: &[&str]) -> Ran {
    ran(freeboard(args).output().unwrap())
}

/// The results of a run that must go well.
fn out(args: &[&str]) -> String {
    let ran = run(args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    ran.out
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&out(args)).unwrap()
}

/// Asserts that a run fails with this text on stderr and nothing on stdout.
fn fails(args: &[&str], text: &str) {
    let ran = run(args);
    // The plan may have been told by then.
    let err: Vec<&str> = ran.err.lines().filter(|line| !line.starts_with("plan ")).collect();
    assert_eq!(err.join("\n"), text, "{args:?}");
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{args:?}");
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A path in a folder, as an argument.
fn at(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

/// Writes an npy file: a header, and elements as their bytes lie.
fn npy(path: &Path, dtype: &str, shape: &str, bytes: &[u8]) -> PathBuf {
    let mut header =
        format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}").into_bytes();
    let whole = (10 + header.len() + 1).next_multiple_of(64);
    header.resize(whole - 11, b' ');
    header.push(b'\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    file.extend(header);
    file.extend(bytes);
    fs::write(path, file).unwrap();
    path.to_owned()
}
