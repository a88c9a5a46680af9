//! Small stores of which one step fails, whichever it is: the program is killed there, or told that
//! the disk is full or broken. What must hold after each is checked here, for all outputs alike.

use super::{Ended, content, freeboard, input, names, run, skip, under, well, workplace, works};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// What a small array is stored as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) output: &'static str,
    pub(super) more: &'static [&'static str],
    /// Whether it can go on with what was left.
    pub(super) resumes: bool,
    /// Whether it replaces an old output; else nothing is there before.
    pub(super) replaces: bool,
}

const CHUNKS: &[&str] = &["--chunks", "1,16,32"];

pub(super) const ZARR: Case =
    Case { output: "x.zarr", more: CHUNKS, resumes: true, replaces: true };
/// Three shards of four chunks.
pub(super) const SHARDS: Case =
    Case { output: "x.zarr", more: &["--chunks", "1,8,16", "--shards", "1,16,32"], ..ZARR };
pub(super) const NEW_SHARDS: Case = Case { replaces: false, ..SHARDS };
/// One array of a group, which has another.
pub(super) const GROUP: Case = Case { output: "x.zarr::images/raw", ..ZARR };
pub(super) const NPY: Case = Case { output: "x.npy", ..ZARR };
pub(super) const FITS: Case = Case { output: "x.fits", ..ZARR };
pub(super) const RICE: Case =
    Case { more: &["--codec", "rice", "--chunks", "1,16,32"], resumes: false, ..FITS };
/// A file for each frame: a folder of such is never overwritten.
pub(super) const FRAMES: Case =
    Case { output: "frames/{i}.fits", more: &[], resumes: false, replaces: false };
pub(super) const PICTURES: Case = Case { output: "pictures/{i}.png", ..FRAMES };
pub(super) const HDF5: Case = Case { output: "x.h5", resumes: false, ..ZARR };
/// One data set of a file, which has another.
pub(super) const DATASET: Case = Case { output: "x.h5::images/raw", ..HDF5 };

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault<'a> {
    /// What `strace` does at one call of a system call; on a file system that can swap two folders
    /// in one step, or cannot.
    Call { call: &'a str, what: &'a str, swaps: bool },
    /// One write to a file ends half-way, and all after it fail with this error.
    Writes { library: &'a Path, errno: i32 },
    /// Every write to a file ends half-way, which is none: the program goes on with the rest.
    Halves { library: &'a Path },
}

impl Fault<'_> {
    /// Runs the program with the fault at its step number `when`, from 1 on (calls are counted for
    /// each thread by itself); whether it has so many.
    pub(super) fn strike(&self, when: usize, folder: &Path, args: &[&str]) -> (Ended, bool) {
        match *self {
            Fault::Call { call, what, swaps } => {
                // What is not traced is not tampered with.
                let trace = format!("trace={call},renameat2");
                let inject = format!("inject={call}:{what}:when={when}");
                let mut by = vec!["strace", "-f", "-o", "trace.log", "-e", &trace, "-e", &inject];
                if !swaps {
                    by.extend(["-e", "inject=renameat2:error=EINVAL"]);
                }
                let ended = run(under(&by, folder, args));
                let log = folder.join("trace.log");
                let text = fs::read_to_string(&log).unwrap();
                fs::remove_file(log).unwrap();
                // A line, or two where another thread came between.
                let names = [format!(" {call}("), format!("<... {call} resumed>")];
                let failed = |line: &str| {
                    line.ends_with("(INJECTED)") && names.iter().any(|name| line.contains(name))
                };
                let struck = ended.code.is_none() || text.lines().any(failed);
                (ended, struck)
            }
            Fault::Writes { library, errno } => {
                let mut program = freeboard(folder, args);
                program.env("LD_PRELOAD", library).env("WRITES_FAIL", format!("{when}:{errno}"));
                let ended = run(program);
                // No store does without a write.
                let struck = ended.code != Some(0);
                (ended, struck)
            }
            Fault::Halves { library } => {
                let mut program = freeboard(folder, args);
                program.env("LD_PRELOAD", library);
                (run(program), false)
            }
        }
    }
}

/// Whether `strace` is there and may trace.
pub(super) fn strace(test: &str) -> bool {
    let there = works("strace", &["-f", "-e", "trace=write", "-o", "/dev/null", "true"]);
    if !there {
        skip(test, "strace is not there or may not trace");
    }
    there
}

/// The library that has writes end half-way, compiled into `folder`.
pub(super) fn writes(test: &str, folder: &Path) -> Option<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/survive/writes.c");
    let library = folder.join("writes.so");
    let made = works("cc", &["-shared", "-fPIC", "-o", library.to_str()?, source]);
    if !made {
        skip(test, "there is no C compiler");
    }
    made.then_some(library)
}

/// A store in a folder of its own.
pub(super) struct Store {
    case: Case,
    folder: tempfile::TempDir,
    /// What is at its target before, and what has to be there in the end.
    old: Option<BTreeMap<PathBuf, Vec<u8>>>,
    whole: BTreeMap<PathBuf, Vec<u8>>,
}

impl Store {
    pub(super) fn new(case: Case) -> Store {
        let folder = workplace([3, 16, 32]);
        let at = folder.path();
        let target = target(at, case.output);
        input(&at.join("old.npy"), [2, 20, 20], 2);
        if case.replaces {
            if let Some((file, _)) = case.output.split_once("::") {
                well(freeboard(at, ["convert", "old.npy", &format!("{file}::other"), "--quiet"]));
            }
            let old = ["convert", "old.npy", case.output, "--quiet"];
            well(freeboard(at, old.iter().chain(case.more)));
        }
        let old = case.replaces.then(|| content(&target));
        let mut store = Store { case, folder, old, whole: BTreeMap::new() };
        well(freeboard(store.folder(), store.args(false)));
        store.whole = content(&target);
        store
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn target(&self) -> PathBuf {
        target(self.folder(), self.case.output)
    }

    fn args(&self, resume: bool) -> Vec<&'static str> {
        let mut args = vec!["convert", "in.npy", self.case.output, "--threads", "1", "--durable"];
        args.extend(["--quiet", "--scratch", "scratch"]);
        args.extend(self.case.more);
        args.extend(self.case.replaces.then_some("--overwrite"));
        args.extend((resume && self.case.resumes).then_some("--resume"));
        args
    }

    /// Puts there what was there before.
    fn put_back(&self) {
        let target = self.target();
        match target.is_dir() {
            true => fs::remove_dir_all(&target).unwrap(),
            false => drop(fs::remove_file(&target)),
        }
        for (name, bytes) in self.old.iter().flatten() {
            let path = if name.as_os_str().is_empty() { target.clone() } else { target.join(name) };
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// Whether all is there of what is stored; else what was there before is, all of it.
    fn is_whole(&self, why: &str) -> bool {
        let seen = || self.target().exists().then(|| visible(&self.target()));
        if seen().as_ref() == Some(&self.whole) {
            return true;
        }
        if seen() != self.old {
            // Between two renames. Whoever reads it puts the old one back.
            well(freeboard(self.folder(), ["stats", self.case.output, "--quiet"]));
        }
        assert!(seen() == self.old, "{why}: what is visible is not whole");
        false
    }

    /// Has the store fail at its step number `when`, and checks that nothing is lost; `check` looks at
    /// how it ended. Whether it has so many steps.
    fn survives(&self, fault: Fault<'_>, when: usize, check: &impl Fn(&Ended, &str)) -> bool {
        let why = format!("{} {fault:?} {when}", self.case.output);
        self.put_back();
        let (ended, struck) = fault.strike(when, self.folder(), &self.args(false));
        let why = &format!("{why}: {}", ended.err);
        assert_eq!(names(&self.folder().join("scratch")), [""; 0], "{why}");
        let whole = self.is_whole(why);
        assert!(whole || struck && ended.code != Some(0), "{why}");
        if !struck {
            assert_eq!(ended.code, Some(0), "{why}");
            return false;
        }
        if ended.code.is_some_and(|code| code != 0) {
            // What is left is told of.
            let left = hidden(self.folder());
            let told =
                |path: &PathBuf| ended.err.contains(path.file_name().unwrap().to_str().unwrap());
            match ended.err.contains("--resume") {
                true => assert!(!left.is_empty(), "{why}"),
                false => assert!(left.iter().all(told), "{left:?} {why}"),
            }
        }
        check(&ended, why);
        // What is there, and not to be replaced, is not stored again.
        let done = |whole: bool| whole && !self.case.replaces;
        if !done(whole) {
            // What goes on fails as well.
            fault.strike(when, self.folder(), &self.args(true));
            if !done(self.is_whole(why)) {
                well(freeboard(self.folder(), self.args(true)));
                assert!(self.is_whole(why), "{why}");
                assert!(hidden(self.folder()).is_empty(), "{why}");
            }
        }
        true
    }

    /// The same at every `step`th step, and at the last ones, where the output is sealed; how many
    /// faults there were.
    pub(super) fn survives_all(
        &self,
        fault: Fault<'_>,
        step: usize,
        check: impl Fn(&Ended, &str),
    ) -> usize {
        let survives = |&when: &usize| self.survives(fault, when, &check);
        let some = (1..).step_by(step).take_while(survives).count();
        let after = 1 + step * some;
        let last = after.saturating_sub(step) + 1..after;
        some + last.take_while(survives).count()
    }
}

/// The file or folder of an output.
fn target(folder: &Path, output: &str) -> PathBuf {
    let file = output.split_once("::").map_or(output, |(file, _)| file);
    folder.join(file.split_once("/{").map_or(file, |(folder, _)| folder))
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// What a file or folder holds and readers see.
fn visible(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut content = content(path);
    content.retain(|name, _| !name.iter().any(is_hidden));
    content
}

/// All that is hidden in a folder, and in those in it.
fn hidden(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            match path.file_name().is_some_and(is_hidden) {
                true => found.push(path),
                false if path.is_dir() => open.push(path),
                false => {}
            }
        }
    }
    found
}
