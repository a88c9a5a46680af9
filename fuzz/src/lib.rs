//! What the targets have in common: bytes become a file, and the file is opened and read as
//! all tests of damaged files do it ([`hostile`]).

use freeboard_formats::{Format, conformance::hostile};
use std::{cell::RefCell, fs, path::PathBuf};
use tempfile::TempDir;

/// The most that one read may take, in bytes: small, so that many files are tried in a second.
const LIMIT: u64 = 1 << 22;

thread_local! {
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// A path in a folder that is there as long as the process.
fn path(name: &str) -> PathBuf {
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| tempfile::tempdir().expect("a folder"));
        folder.path().join(name)
    })
}

/// Opens and reads a file of these bytes.
pub fn file(format: &dyn Format, name: &str, bytes: &[u8]) {
    let path = path(name);
    fs::write(&path, bytes).expect("a file is written");
    hostile(format, &path, LIMIT);
}

/// Opens and reads a Zarr array: the first byte tells the version, what comes before the next
/// zero is its document, and what is behind it is each chunk.
pub fn zarr(format: &dyn Format, bytes: &[u8]) {
    let Some((&version, rest)) = bytes.split_first() else { return };
    let end = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
    let chunk = rest.get(end + 1..).unwrap_or_default();
    let root = path("x.zarr");
    let _ = fs::remove_dir_all(&root);
    let (document, chunks): (_, &[&str]) = match version % 2 {
        0 => ("zarr.json", &["c/0/0", "c/0/1", "c/0"]),
        _ => (".zarray", &["0", "0.0", "0.1"]),
    };
    fs::create_dir_all(root.join("c/0")).expect("a folder");
    fs::write(root.join(document), &rest[..end]).expect("a file is written");
    for name in chunks {
        // Where one chunk is a folder of others, it is not written.
        let _ = fs::write(root.join(name), chunk);
    }
    hostile(format, &root, LIMIT);
}
