//! Stores that survive: killed at any moment, on disks that fail or are full, in containers
//! whose limit is the budget. Each run has a time limit, so a hang is a failure.
//!
//! Short forms run always. `FREEBOARD_LONG=1` runs the long ones: hundreds of kills, and faults
//! at every system call. What needs `strace`, `cc`, root or control groups is skipped aloud without.

mod container;
mod disk;
mod inject;
mod kill;
mod session;
mod steps;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// No run takes longer, or it hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// Whether the long forms are asked for.
fn long() -> bool {
    std::env::var_os("FREEBOARD_LONG").is_some()
}

/// Says that a test was not made, where nobody overlooks it.
fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
}

/// The program, to be run on files in `folder`.
fn freeboard(folder: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    under(&[], folder, args)
}

/// The program, run by another one.
fn under(by: &[&str], folder: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let program = env!("CARGO_BIN_EXE_freeboard");
    let mut command = match by.split_first() {
        None => Command::new(program),
        Some((by, more)) => {
            let mut command = Command::new(by);
            command.args(more).arg(program);
            command
        }
    };
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command
}

/// How a run ended: its exit code, or `None` if it was killed, and what it said.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn spawned(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

/// Waits for a run, which says little.
fn ended(mut child: Child) -> Ended {
    let until = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > until {
            let _ = child.kill();
            panic!("the run hangs");
        }
        thread::sleep(Duration::from_millis(2));
    };
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    Ended { code: status.code(), out, err }
}

fn run(command: Command) -> Ended {
    ended(spawned(command))
}

/// Runs what must go well; what it says on stdout.
fn well(command: Command) -> String {
    let text = format!("{command:?}");
    let ended = run(command);
    assert_eq!(ended.code, Some(0), "{text}: {}", ended.err);
    ended.out
}

/// An npy file of `shape` bytes that look random; another `seed` gives others.
fn input(path: &Path, shape: [usize; 3], seed: u64) {
    let count: usize = shape.iter().product();
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(count);
    for _ in 0..count {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes.push((x >> 60) as u8);
    }
    let [a, b, c] = shape;
    let mut header =
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({a}, {b}, {c}), }}");
    header.push_str(&" ".repeat((10 + header.len() + 1).next_multiple_of(64) - header.len() - 11));
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(bytes);
    fs::write(path, file).unwrap();
}

/// All that a file or folder holds, by name.
fn content(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![path.to_owned()];
    while let Some(at) = open.pop() {
        if at.is_dir() {
            open.extend(fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.insert(at.strip_prefix(path).unwrap().to_owned(), fs::read(&at).unwrap());
        }
    }
    assert!(!found.is_empty(), "{} holds nothing", path.display());
    found
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A folder with a `scratch` in it, and an array `in.npy` of bytes.
fn workplace(shape: [usize; 3]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("scratch")).unwrap();
    input(&folder.path().join("in.npy"), shape, 1);
    folder
}

/// A folder with a `scratch`, and an array `in.zarr` of bytes in chunks of some frames.
fn frames(count: usize) -> tempfile::TempDir {
    let folder = workplace([count, 1024, 1024]);
    let args = ["convert", "in.npy", "in.zarr", "--chunks", "4,1024,1024", "--codec", "gzip:1"];
    well(freeboard(folder.path(), args.iter().chain(&["--memory", "512MiB", "--quiet"])));
    fs::remove_file(folder.path().join("in.npy")).unwrap();
    folder
}

/// Whether a command can be run here and says that all is well.
fn works(program: &str, args: &[&str]) -> bool {
    let status = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
