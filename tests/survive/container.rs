//! A container whose limit is the budget: nothing is killed for want of memory.

use super::{ended, frames, skip, spawned, under};
use std::{fs, path::PathBuf};

/// A control group with a limit on memory; gone with it.
struct Group {
    folder: PathBuf,
    version: u8,
}

impl Group {
    /// One within the group of this process; `None` where none can be made.
    fn new(name: &str, limit: u64) -> Option<Group> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = |start: &str| {
            let lines = own.lines().filter_map(|line| line.split_once(':'));
            lines.filter_map(|(_, rest)| rest.split_once(':')).find_map(|(controllers, path)| {
                let is = match start {
                    "" => controllers.is_empty(),
                    name => controllers.split(',').any(|c| c == name),
                };
                is.then(|| path.trim_start_matches('/').to_owned())
            })
        };
        let name = format!("freeboard-{name}-{}", std::process::id());
        let first = path("memory").map(|path| ("/sys/fs/cgroup/memory", path, 1));
        let second = path("").map(|path| ("/sys/fs/cgroup", path, 2));
        [first, second].into_iter().flatten().find_map(|(root, path, version)| {
            // A name space may hide the path.
            let parents = [PathBuf::from(root).join(path), PathBuf::from(root)];
            parents.into_iter().find_map(|parent| {
                let group = Group { folder: parent.join(&name), version };
                let file = if version == 1 { "memory.limit_in_bytes" } else { "memory.max" };
                fs::create_dir(&group.folder).ok()?;
                fs::write(group.folder.join(file), limit.to_string()).ok()?;
                // Swap would hide what is too much.
                let _ = fs::write(group.folder.join("memory.swap.max"), "0");
                let _ = fs::write(group.folder.join("memory.swappiness"), "0");
                Some(group)
            })
        })
    }

    /// How many processes in it were killed for want of memory.
    fn kills(&self) -> u64 {
        let file = if self.version == 1 { "memory.oom_control" } else { "memory.events" };
        let text = fs::read_to_string(self.folder.join(file)).unwrap();
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.map_or(0, |kills| kills.trim().parse().unwrap())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

#[test]
fn nothing_is_killed_in_a_container_whose_limit_is_the_budget() {
    const LIMIT: u64 = 128 << 20;
    let folder = frames(192);
    let commands: [&[&str]; 3] = [
        &["stats", "in.zarr", "--json"],
        &["rebin", "in.zarr", "--bins", "4,4,4", "-o", "small.zarr", "--json"],
        &["convert", "in.zarr", "x.zarr", "--chunks", "192,64,64", "--codec", "none", "--json"],
    ];
    for (number, args) in commands.into_iter().enumerate() {
        let Some(group) = Group::new(&format!("test-{number}"), LIMIT) else {
            return skip("nothing_is_killed_in_a_container", "no control group can be made");
        };
        let enter = format!("echo $$ > '{}/cgroup.procs' && exec \"$@\"", group.folder.display());
        let by = ["sh", "-c", &enter, "sh"];
        // No memory is given: the container's limit is the default.
        let args = args.iter().chain(&["--scratch", "scratch", "--threads", "2"]);
        let ended = ended(spawned(under(&by, folder.path(), args)));
        if ended.err.contains("cgroup.procs") {
            return skip("nothing_is_killed_in_a_container", "no process can be put there");
        }
        assert_eq!((ended.code, group.kills()), (Some(0), 0), "{}", ended.err);
        if let Some(report) = ended.out.strip_prefix("{").filter(|out| out.contains("\"spilled\""))
        {
            assert!(report.contains("\"memory\": 134217728"), "{report}");
            assert!(number != 2 || !report.contains("\"spilled\": 0,"), "it spills: {report}");
        }
    }
}
