//! Object stores, against a server on the loopback that fails as servers do: what is read over
//! HTTP and S3's protocol is what lies on disk, what may pass is tried again, what does not is a
//! clear error after a short time, and what is written is there when it is whole.

#![cfg(feature = "remote")]

mod faults;
mod reading;
mod secure;
mod server;
mod writing;

use freeboard::{Session, open};
use server::Server;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A folder of this repository's data.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// The elements at a location, as bytes in C order of their 64-bit floats: NaN for NaN.
fn elements(location: &str) -> freeboard::Result<(Vec<usize>, Vec<u64>)> {
    let session = Session::builder().memory("256MiB").threads(4).build()?;
    let array = session.compute(&open(location)?.cast::<f64>())?;
    Ok((array.shape().to_vec(), array.iter().map(|x| x.to_bits()).collect()))
}

/// Asserts that two locations hold the same.
fn assert_same(location: &str, expected: &Path) {
    let expected = elements(&expected.display().to_string()).unwrap();
    let found = elements(location).unwrap_or_else(|error| panic!("{location}: {error}"));
    assert_eq!(found, expected, "{location}");
}

/// How a run of the program ended.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Seconds that an answer is waited for: of a server that is there, and of one that may not be.
const PATIENT: &str = "30";
const SOON: &str = "3";

/// Runs the program, for which S3 is `server`, asked with credentials.
fn run(server: &Server, patience: &str, args: &[&str]) -> Ran {
    run_with(&[("AWS_ENDPOINT_URL", &server.url)], patience, args)
}

/// Runs the program with these variables, and credentials for S3.
fn run_with(variables: &[(&str, &str)], patience: &str, args: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_freeboard"))
        .args(args)
        .env("AWS_ACCESS_KEY_ID", "somebody")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "us-east-1")
        .env("FREEBOARD_REMOTE_TIMEOUT", patience)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn succeeds(server: &Server, args: &[&str]) -> String {
    let ran = run(server, PATIENT, args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    ran.out
}

/// Asserts that a run fails and says all of `texts`.
fn fails(server: &Server, args: &[&str], texts: &[&str]) {
    let ran = run(server, SOON, args);
    assert_eq!(ran.code, Some(1), "{args:?}: {}{}", ran.out, ran.err);
    for text in texts {
        assert!(ran.err.contains(text), "{args:?} does not say {text:?}: {}", ran.err);
    }
}

/// An `.npy` file of (40, 300, 25) numbers, in a new folder.
fn cube(folder: &Path) -> PathBuf {
    let path = folder.join("cube.npy");
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (40, 300, 25), }";
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{header:<117}\n").bytes());
    (0..40 * 300 * 25).for_each(|i| bytes.extend((i as f32).sqrt().to_le_bytes()));
    fs::write(&path, bytes).unwrap();
    path
}
