//! Runs that are stopped: by a signal, or killed without one.

use crate::{at, freeboard, json, names, npy, out};
use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// An npy file of `gib` GiB of zeros that takes no room on disk.
pub fn zeros(path: &Path, gib: u64) {
    npy(path, "|u1", &format!("({}, 1024, 1024)", gib * 1024), &[]);
    let file = File::options().write(true).open(path).unwrap();
    let header = file.metadata().unwrap().len();
    file.set_len(header + (gib << 30)).unwrap();
}

/// A conversion that takes many seconds, once its output has begun.
fn begun(input: &str, output: &str, more: &[&str]) -> Child {
    let args = ["convert", input, output, "--chunks", "4,1024,1024", "--codec", "gzip:9"];
    let child = freeboard(args.iter().chain(more))
        .args(["--threads", "1", "--memory", "512MiB"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = Path::new(output);
    let hidden = format!(".{}.part", output.file_name().unwrap().to_str().unwrap());
    let part = output.with_file_name(hidden);
    let until = Instant::now() + Duration::from_secs(30);
    while !part.exists() {
        assert!(Instant::now() < until, "the output is begun");
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(200));
    child
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_killed_run_leaves_the_old_output_and_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let (input, small, output) =
        (at(&folder, "big.npy"), at(&folder, "small.npy"), at(&folder, "x.zarr"));
    zeros(Path::new(&input), 8);
    npy(Path::new(&small), "<i4", "(2, 2)", &[1; 16]);
    out(&["convert", &small, &output]);
    let before = json(&["stats", &output, "--json"]);
    let mut child = begun(&input, &output, &["--overwrite"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(json(&["stats", &output, "--json"]), before);
    // What is left has names that no reader opens; a glob does not find them either.
    let visible: Vec<String> =
        names(folder.path()).into_iter().filter(|name| !name.starts_with('.')).collect();
    assert_eq!(visible, ["big.npy", "small.npy", "x.zarr"]);
    assert!(names(folder.path()).contains(&".x.zarr.part".to_owned()));
    out(&["convert", &small, &output, "--overwrite"]);
    assert_eq!(names(folder.path()), ["big.npy", "small.npy", "x.zarr"]);
}

/// Whether these tests run under `nohup`: then so does what they start.
fn hangup_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1)
}

#[test]
fn an_interrupt_stops_within_a_second_and_leaves_nothing() {
    for (name, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        if name == "-HUP" && hangup_is_ignored() {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (at(&folder, "big.npy"), at(&folder, "x.zarr"));
        zeros(Path::new(&input), 8);
        let child = begun(&input, &output, &[]);
        let asked = Instant::now();
        signal(&child, name);
        let ended = child.wait_with_output().unwrap();
        let took = asked.elapsed();
        let err = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(code), "{err}");
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert!(err.ends_with("stopped: no output was made, nothing is left behind\n"), "{err}");
        assert_eq!(names(folder.path()), ["big.npy"]);
    }
}

#[test]
fn two_runs_do_not_write_one_output() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (at(&folder, "big.npy"), at(&folder, "x.zarr"));
    zeros(Path::new(&input), 8);
    let mut child = begun(&input, &output, &[]);
    crate::fails(
        &["convert", "data/npy/int16.npy", &output],
        &format!("error: {output}: another run is writing this output"),
    );
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_dir_all(folder.path()).unwrap();
}
