//! Disks that are really full: small file systems, made for the test.

use super::{content, frames, freeboard, names, run, skip, under, well, workplace, works};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A mounted file system, gone with it.
struct Mounted(PathBuf);

impl Mounted {
    /// Memory of `size`, at a new folder; `None` where nothing can be mounted.
    fn tmpfs(at: &Path, size: &str) -> Option<Mounted> {
        fs::create_dir(at).unwrap();
        let options = format!("size={size}");
        let mounted =
            works("mount", &["-t", "tmpfs", "-o", &options, "freeboard-test", at.to_str()?]);
        mounted.then(|| Mounted(at.to_owned()))
    }

    /// A disk of `mib` MiB in the file `image`.
    fn disk(image: &Path, at: &Path, mib: u64) -> Option<Mounted> {
        fs::create_dir(at).unwrap();
        fs::File::create(image).unwrap().set_len(mib << 20).unwrap();
        let (image, path) = (image.to_str()?, at.to_str()?);
        let made = works("mkfs.ext4", &["-q", "-F", "-O", "^has_journal", "-m", "0", image])
            && works("mount", &["-o", "loop", image, path]);
        made.then(|| Mounted(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_output_disk_loses_nothing() {
    for output in ["x.zarr", "x.npy"] {
        let folder = workplace([40, 256, 256]);
        let at = |name: &str| folder.path().join(name);
        let Some(small) = Mounted::tmpfs(&at("small"), "1m") else {
            return skip("a_full_output_disk_loses_nothing", "nothing can be mounted");
        };
        let out = format!("small/{output}");
        let args = ["convert", "in.npy", &out, "--chunks", "1,256,256", "--codec", "none"];
        let ended = run(freeboard(folder.path(), args));
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        assert!(ended.err.contains("No space left on device"), "{}", ended.err);
        assert!(!at(&out).exists());
        // One file is given its size before any work; of many, those that fitted are kept.
        let kept = output == "x.zarr";
        assert_eq!(ended.err.contains("--resume"), kept, "{}", ended.err);
        assert_eq!(names(&at("small")).len(), if kept { 2 } else { 0 });
        assert!(works("mount", &["-o", "remount,size=8m", small.0.to_str().unwrap()]));
        let ended = run(freeboard(folder.path(), args.iter().chain(&["--resume"])));
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert_eq!(ended.err.contains("chunks are there already"), kept, "{}", ended.err);
        let whole = ["convert", "in.npy", output, "--chunks", "1,256,256", "--codec", "none", "-q"];
        well(freeboard(folder.path(), whole));
        assert!(content(&at(&out)) == content(&at(output)));
        assert_eq!(names(&at("small")), [output]);
    }
}

#[test]
fn a_scratch_disk_that_is_full_or_memory_is_told() {
    const TEST: &str = "a_scratch_disk_that_is_full_or_memory_is_told";
    let folder = frames(96);
    let at = |name: &str| folder.path().join(name);
    let convert = |scratch| {
        let args = ["convert", "in.zarr", "x.zarr", "--chunks", "96,64,64", "--codec", "none"];
        let more = ["--memory", "96MiB", "--threads", "2", "--resume", "--scratch", scratch];
        run(freeboard(folder.path(), args.into_iter().chain(more)))
    };
    let Some(_memory) = Mounted::tmpfs(&at("memory"), "64m") else {
        return skip(TEST, "nothing can be mounted");
    };
    let ended = convert("memory");
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("the scratch folder is a tmpfs"), "{}", ended.err);

    let Some(_disk) = Mounted::disk(&at("image"), &at("disk"), 16) else {
        return skip(TEST, "no disk can be made of a file");
    };
    let before = names(&at("disk"));
    let ended = convert("disk");
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    for part in
        ["disk", "no room for", "are available", "name another scratch folder", "may be spilled"]
    {
        assert!(ended.err.contains(part), "{part}: {}", ended.err);
    }
    assert_eq!(names(&at("disk")), before, "scratch is clean");
    assert!(!at("x.zarr").exists());
    let ended = convert("scratch");
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[test]
fn a_limit_on_the_size_of_files_is_told() {
    for output in ["x.zarr", "x.fits", "x.h5", "x.npy", "x/{i}.png"] {
        let folder = workplace([2, 200, 200]);
        let by = ["sh", "-c", "ulimit -f 8 && exec \"$@\"", "sh"];
        let args = ["convert", "in.npy", output, "--quiet", "--scratch", "scratch"];
        let ended = run(under(&by, folder.path(), args));
        assert_eq!(ended.code, Some(1), "{output}: {}", ended.err);
        assert!(ended.err.contains("File too large"), "{}", ended.err);
        let kept = match ended.err.contains("--resume") {
            true => &[".x.zarr.journal", ".x.zarr.part"][..],
            false => &[],
        };
        assert_eq!(names(folder.path()), [kept, &["in.npy", "scratch"]].concat(), "{}", ended.err);
        well(freeboard(folder.path(), args));
    }
}
