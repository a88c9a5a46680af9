//! Runs that are killed without a warning, at moments that chance picks.

use super::{content, ended, freeboard, input, long, names, spawned, well, workplace};
use std::{
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

/// A store of `in.npy` that takes a while.
fn store(output: &str, more: &[&str]) -> Vec<String> {
    let mut args = vec!["convert", "in.npy", output, "--chunks", "1,128,256", "--threads", "2"];
    args.extend(["--scratch", "scratch", "--quiet"]);
    if output.contains(".zarr") {
        args.extend(["--codec", "gzip:9"]);
    }
    if output.contains("shards") {
        args.extend(["--shards", "4,256,256"]);
    }
    args.extend(more);
    args.into_iter().map(str::to_owned).collect()
}

/// The largest and the mean, for a look at what a reader sees.
fn seen(folder: &Path, path: &str) -> String {
    well(freeboard(folder, ["stats", path, "--json", "--quiet"]))
}

/// What is stored: a file or folder, and the array in it.
const OUTPUTS: [(&str, &str); 5] = [
    ("x.zarr", ""),
    ("x.fits", ""),
    ("x.npy", ""),
    ("shards.zarr", ""),
    // A new hierarchy is staged beside itself; an array that is overwritten, inside.
    ("group.zarr", "::images/raw"),
];

#[test]
fn a_store_that_is_killed_goes_on_to_the_same_bits() {
    let folder = workplace([48, 256, 256]);
    let at = |name: &str| folder.path().join(name);
    input(&at("old.npy"), [5, 256, 300], 2);
    let rounds = if long() { 200 } else { 2 * OUTPUTS.len() };
    let takes = OUTPUTS.map(|(file, node)| {
        let began = Instant::now();
        well(freeboard(folder.path(), store(&format!("whole-{file}{node}"), &[])));
        began.elapsed()
    });
    let (mut resumed, mut x) = (0, 0x2545_F491_4F6C_DD1Du64);
    for round in 0..rounds {
        let (file, node) = OUTPUTS[round % OUTPUTS.len()];
        let output = &format!("{file}{node}");
        let overwrite = round / OUTPUTS.len() % 2 == 1;
        let more: &[&str] = if overwrite { &["--overwrite"] } else { &[] };
        let whole = format!("whole-{file}");
        if overwrite {
            well(freeboard(folder.path(), ["convert", "old.npy", output, "--quiet"]));
        }
        let old = overwrite.then(|| seen(folder.path(), output));

        let journal = match overwrite && !node.is_empty() {
            true => at(file).join("images/.raw.journal"),
            false => at(&format!(".{file}.journal")),
        };
        let mut child = spawned(freeboard(folder.path(), store(output, more)));
        // Chance alone might hit none that is under way: every other kill waits for the first step.
        while round % 2 == 0 && !journal.exists() && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_micros(100));
        }
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let part = (x >> 40) as f64 / (1u64 << 24) as f64;
        thread::sleep(takes[round % OUTPUTS.len()].mul_f64(part));
        child.kill().unwrap();
        ended(child);

        assert_eq!(names(&at("scratch")), [""; 0], "scratch of a killed run");
        if let Some(old) = old {
            let now = seen(folder.path(), output);
            let whole = seen(folder.path(), &format!("{whole}{node}"));
            assert!(now == old || now == whole, "round {round}: {now}");
        }
        let published = !overwrite && at(file).exists();
        if !published {
            let go_on = store(output, &[more, &["--resume"]].concat());
            resumed += u32::from(journal.exists());
            well(freeboard(folder.path(), go_on));
        }
        assert!(content(&at(file)) == content(&at(&whole)), "round {round}: {output} differs");
        match at(file).is_dir() {
            true => std::fs::remove_dir_all(at(file)).unwrap(),
            false => std::fs::remove_file(at(file)).unwrap(),
        }
        let left = names(folder.path());
        // A run that was killed when its output was visible leaves a lock that nobody holds.
        let left: Vec<&String> = left.iter().filter(|name| name.starts_with('.')).collect();
        assert!(left.is_empty() || published, "round {round}: {left:?}");
        left.iter().for_each(|name| {
            let _ = std::fs::remove_file(at(name));
        });
    }
    assert!(resumed > 0, "no kill came while a store was under way");
}

/// A store of `x.zarr` that has written some chunks, and has some to go.
fn half_way(folder: &Path, more: &[&str]) -> Child {
    let mut child = spawned(freeboard(folder, store("x.zarr", more)));
    let until = Instant::now() + Duration::from_secs(60);
    while !folder.join(".x.zarr.part/c/5").exists() {
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none());
        thread::sleep(Duration::from_millis(1));
    }
    child
}

#[test]
fn an_interrupt_keeps_what_a_store_that_resumes_has_written() {
    let folder = workplace([48, 256, 256]);
    for (more, kept) in [(&["--resume"][..], true), (&[], false)] {
        let child = half_way(folder.path(), more);
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let ended = ended(child);
        assert_eq!(ended.code, Some(130), "{}", ended.err);
        let says = if kept { "what was written is kept" } else { "nothing is left behind" };
        assert!(ended.err.contains(says), "{}", ended.err);
        let left: &[&str] = if kept { &[".x.zarr.journal", ".x.zarr.part"] } else { &[] };
        assert_eq!(names(folder.path()), [left, &["in.npy", "scratch"]].concat());
        if kept {
            // One that does not resume begins anew.
            std::fs::remove_dir_all(folder.path().join(".x.zarr.part")).unwrap();
        }
    }
}

#[test]
fn another_store_does_not_go_on_with_it_and_says_what_changed() {
    let folder = workplace([48, 256, 256]);
    let at = |name: &str| folder.path().join(name);
    let mut child = half_way(folder.path(), &[]);
    child.kill().unwrap();
    ended(child);
    let refused = |args: Vec<String>, what: &str| {
        let ended = super::run(freeboard(folder.path(), args));
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        assert!(
            ended.err.contains("since it began, ") && ended.err.contains(what),
            "{}",
            ended.err
        );
        assert!(at(".x.zarr.journal").exists(), "what was left stays");
    };
    refused(store("x.zarr", &["--resume", "--slice", "::-1"]), "the expression changed");
    let mut other = store("x.zarr", &["--resume"]);
    other[4] = "1,256,256".into();
    refused(other, "the layout of the output");
    let before = std::fs::read(at("in.npy")).unwrap();
    thread::sleep(Duration::from_millis(20));
    std::fs::write(at("in.npy"), &before).unwrap();
    refused(store("x.zarr", &["--resume"]), "the input in.npy changed");
    // Without, it begins anew, and tells.
    let args = store("x.zarr", &[]).into_iter().filter(|arg| arg != "--quiet");
    let ended = super::run(freeboard(folder.path(), args));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("--resume would have gone on with them"), "{}", ended.err);
    assert_eq!(names(folder.path()), ["in.npy", "scratch", "x.zarr"]);
}
