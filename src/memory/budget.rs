//! What there is: the container's limit, the machine's memory, and what this process holds.
//!
//! All of it is read from Linux' `/proc` and control groups (cgroups(7), proc(5)); elsewhere
//! nothing is known, and everything here says `None`. Parsing is pure, so that the layouts of
//! both versions of control groups are tested as texts.

use std::{
    io::Read,
    path::{Component, Path, PathBuf},
};

/// What memory there is, in bytes, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The machine's memory.
    pub memory: Option<u64>,
    /// The limit of the container (or any control group) that this process is in, where it is
    /// below the machine's memory.
    pub container: Option<u64>,
}

impl Machine {
    /// This machine, now: a container's limit may be changed from outside at any time.
    pub fn here() -> Machine {
        if !cfg!(target_os = "linux") {
            return Machine::default();
        }
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let memory = kib_field(&text("/proc/meminfo"), "MemTotal:");
        let files = limit_files(&text("/proc/self/cgroup"), &text("/proc/self/mountinfo"));
        let limits = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
        Machine::new(memory, limits.filter_map(|text| parse_limit(&text)).min())
    }

    /// Version 1 says "no limit" by a number beyond any machine, hence the comparison.
    fn new(memory: Option<u64>, limit: Option<u64>) -> Machine {
        const UNLIMITED: u64 = 1 << 60;
        let ceiling = memory.unwrap_or(UNLIMITED);
        Machine { memory, container: limit.filter(|limit| *limit < ceiling) }
    }
}

/// Bytes of memory that this process holds now, as the operating system counts it (its
/// resident set: mapped file pages included). `None` where that is not known.
///
/// The kernel keeps the count per CPU and sums it up in batches; it may lag by some hundred KiB.
pub fn resident() -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let text = told("/proc/self/statm")?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

/// The most bytes that this process held since it started, or since [`reset_peak`].
pub fn peak_resident() -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    kib_field(&told("/proc/self/status")?, "VmHWM:")
}

/// What the kernel tells in a short file, by two reads where it is as short as it mostly is: what grows with
/// what it finds takes eight, and the answers of small runs wait for it.
fn told(path: &str) -> Option<String> {
    let mut text = String::with_capacity(4096);
    std::fs::File::open(path).ok()?.take(u64::MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Starts [`peak_resident`] anew from what is held now, and says whether it could.
pub fn reset_peak() -> bool {
    cfg!(target_os = "linux") && std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// The bytes of a line like `MemTotal:   24684084 kB`.
fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The bytes in a file of a control group; `None` for `max`.
fn parse_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The files that may hold a limit on this process: those of its group and of each group
/// above, as far up as is mounted here. A limit anywhere on the way holds.
///
/// `cgroup` and `mountinfo` are the texts of the files of that name in `/proc/self`.
fn limit_files(cgroup: &str, mountinfo: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in cgroup.lines() {
        // ID:CONTROLLERS:PATH, where version 2 has the ID 0 and names no controllers.
        let mut fields = line.splitn(3, ':');
        let (Some(id), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let unified = id == "0" && controllers.is_empty();
        // Above `memory.high` a process is not killed, but all but stopped.
        let limits: &[&str] = match unified {
            true => &["memory.max", "memory.high"],
            false if controllers.split(',').any(|c| c == "memory") => &["memory.limit_in_bytes"],
            false => continue,
        };
        for mount in mountinfo.lines().filter_map(parse_mount).filter(|mount| match unified {
            true => mount.kind == "cgroup2",
            false => mount.kind == "cgroup" && mount.options.split(',').any(|o| o == "memory"),
        }) {
            // A container may see its own group, or one above it, at the mount's root; a path
            // outside that root ("/..", another container's) is not visible here at all.
            let inside = Path::new(path)
                .strip_prefix(&mount.root)
                .ok()
                .filter(|path| path.components().all(|c| matches!(c, Component::Normal(_))))
                .unwrap_or(Path::new(""));
            for group in inside.ancestors() {
                files.extend(limits.iter().map(|file| mount.at.join(group).join(file)));
            }
        }
    }
    files
}

/// One line of `mountinfo`: what is mounted where.
struct Mount<'a> {
    /// The folder of the file system that is the root of this mount.
    root: PathBuf,
    at: PathBuf,
    kind: &'a str,
    /// The options of the file system, where version 1 names its controllers.
    options: &'a str,
}

/// `ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [TAGS…] - TYPE SOURCE SUPEROPTIONS`
fn parse_mount(line: &str) -> Option<Mount<'_>> {
    let (mount, system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let mut system = system.split(' ');
    Some(Mount {
        root: unescape(mount.next()?),
        at: unescape(mount.next()?),
        kind: system.next()?,
        options: system.nth(1).unwrap_or_default(),
    })
}

/// Undoes the octal escapes by which `mountinfo` writes blanks and backslashes.
fn unescape(text: &str) -> PathBuf {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{GIB, KIB, MIB};

    fn names(cgroup: &str, mountinfo: &str) -> Vec<String> {
        let files = limit_files(cgroup, mountinfo);
        files.iter().map(|p| p.to_str().unwrap().trim_end_matches('/').to_owned()).collect()
    }

    #[test]
    fn version_2_is_walked_up_to_the_mount() {
        let mounts = "23 29 0:21 / /proc rw,nosuid - proc proc rw\n\
                      35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(
            names("0::/user.slice/job.scope\n", mounts),
            [
                "/sys/fs/cgroup/user.slice/job.scope/memory.max",
                "/sys/fs/cgroup/user.slice/job.scope/memory.high",
                "/sys/fs/cgroup/user.slice/memory.max",
                "/sys/fs/cgroup/user.slice/memory.high",
                "/sys/fs/cgroup/memory.max",
                "/sys/fs/cgroup/memory.high",
            ]
        );
        // In a name space of its own a container is at the root, or outside what is mounted.
        let root = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.high"];
        assert_eq!(names("0::/\n", mounts), root);
        assert_eq!(names("0::/../other\n", mounts), root);
    }

    #[test]
    fn version_1_is_found_beside_version_2() {
        let mounts = "30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let cgroup = "9:name=systemd:/\n4:cpu,memory:/jobs/a:b\n1:cpuset:/\n0::/\n";
        assert_eq!(
            names(cgroup, mounts),
            [
                "/sys/fs/cgroup/memory/jobs/a:b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/unified/memory.max",
                "/sys/fs/cgroup/unified/memory.high",
            ]
        );
    }

    #[test]
    fn a_container_without_a_name_space_sees_its_group_at_the_root() {
        let mounts = "31 25 0:27 /docker/abc /sys/fs/my\\040cgroups/memory ro master:11 - cgroup cgroup rw,memory\n";
        assert_eq!(
            names("4:memory:/docker/abc\n", mounts),
            ["/sys/fs/my cgroups/memory/memory.limit_in_bytes"]
        );
        assert_eq!(
            names("4:memory:/docker/abc/inner\n", mounts)[0],
            "/sys/fs/my cgroups/memory/inner/memory.limit_in_bytes"
        );
        assert_eq!(names("4:memory:/elsewhere\n", mounts).len(), 1);
    }

    #[test]
    fn odd_texts_have_no_limits() {
        for (cgroup, mounts) in
            [("", ""), ("x\n::\n4:memory", "a b c\n - \n1 2 3 4 - x"), ("0::/a", "")]
        {
            assert!(limit_files(cgroup, mounts).is_empty());
        }
        assert_eq!(parse_limit("max\n"), None);
        assert_eq!(parse_limit("2147483648\n"), Some(2 * GIB));
        assert_eq!(parse_limit("-1"), None);
    }

    #[test]
    fn a_limit_above_the_machine_is_none() {
        let machine = |limit| Machine::new(Some(8 * GIB), Some(limit)).container;
        assert_eq!(machine(9_223_372_036_854_771_712), None);
        assert_eq!(machine(8 * GIB), None);
        assert_eq!(machine(GIB), Some(GIB));
        assert_eq!(Machine::new(None, Some(9_223_372_036_854_771_712)).container, None);
    }

    #[test]
    fn fields_in_kib() {
        let text =
            "MemFree:        1 kB\nMemTotal:       24684084 kB\nVmHWM:\t    1234 kB\nBad: 3\n";
        assert_eq!(kib_field(text, "MemTotal:"), Some(24_684_084 * KIB));
        assert_eq!(kib_field(text, "VmHWM:"), Some(1234 * KIB));
        assert_eq!(kib_field(text, "Bad:"), None);
        assert_eq!(kib_field(text, "None:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_resident() {
        assert!(Machine::here().memory.unwrap() > 64 * MIB);
        let now = resident().unwrap();
        assert!(now > 256 * KIB && now < 64 * GIB);
        assert!(peak_resident().unwrap() > 256 * KIB);
    }
}
