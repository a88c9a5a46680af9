//! The promise itself: whatever is computed, the process stays under its memory, as the
//! operating system counts it. Each case is a process of its own.

use freeboard::{
    ErrorKind, Session,
    array::{Array, Chunks, random},
};
use serde_json::Value;
use std::{
    fs::File,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

const MIB: u64 = 1 << 20;

/// An array of `frames` × 1024 × 1024 float32, frame by frame.
fn cube(path: &Path, frames: u32) {
    let mut file = File::create(path).unwrap();
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({frames}, 1024, 1024), }}");
    header.push_str(&" ".repeat((64 - (header.len() + 11) % 64) % 64));
    header.push('\n');
    file.write_all(b"\x93NUMPY\x01\x00").unwrap();
    file.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    for frame in 0..frames {
        let row: Vec<u8> = (0..1024 * 1024u32)
            .flat_map(|i| {
                ((i.wrapping_mul(2_654_435_761) >> 8) as f32 + frame as f32).to_le_bytes()
            })
            .collect();
        file.write_all(&row).unwrap();
    }
}

/// Runs the program, on two threads if no other number is given, to whatever end.
fn ended(args: &[&str], memory: u64, scratch: &Path) -> Output {
    let memory = format!("{memory}");
    let threads: &[&str] = if args.contains(&"--threads") { &[] } else { &["--threads", "2"] };
    Command::new(env!("CARGO_BIN_EXE_freeboard"))
        .args(args)
        .args(threads)
        .args(["--memory", &memory, "--json", "--scratch"])
        .arg(scratch)
        .output()
        .unwrap()
}

/// Runs the program, which succeeds.
fn run(args: &[&str], memory: u64, scratch: &Path) -> Output {
    let output = ended(args, memory, scratch);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The peak that a command with an output tells in its report, in bytes.
fn peak(args: &[&str], memory: u64, scratch: &Path) -> u64 {
    let output = run(&[args, &["--quiet", "--overwrite"]].concat(), memory, scratch);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["peak"].as_u64().expect("Linux tells")
}

#[test]
fn the_process_stays_under_its_memory() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let input = path("cube.npy");
    cube(Path::new(&input), 160); // 640 MiB
    for memory in [128 * MIB, 256 * MIB] {
        let frames = path("frames.zarr");
        let (of_frames, of_input) = (format!("x={frames}"), format!("x={input}"));
        let centred = "(x[:16] - x[:16].mean(0)) / x[:16].std(0) + 1";
        let cases: [&[&str]; 9] = [
            &["convert", &input, &frames, "--chunks", "1,1024,1024", "--codec", "none"],
            &["reduce", "std", &frames, "--axis", "0", "-o", &path("std.npy")],
            &["rebin", &frames, "--bins", "5,2,2", "-o", &path("small.fits")],
            &[
                "convert",
                &frames,
                &path("columns.zarr"),
                "--chunks",
                "160,64,64",
                "--codec",
                "none",
            ],
            // A file without chunks of its own.
            &["calc", centred, &of_input, "-o", &path("centred.npy")],
            &["calc", "median(x[:, ::8], axis=0)", &of_frames, "-o", &path("median.npy")],
            &["calc", "max(x[:40].ravel().cumsum(0))", &of_frames, "-o", &path("sums.npy")],
            &["calc", "x[x > 8e6]", &of_frames, "-o", &path("kept.npy")],
            &["calc", "linalg.qr(x[:8].reshape(-1, 32))[0]", &of_frames, "-o", &path("q.npy")],
        ];
        for case in cases {
            let peak = peak(case, memory, folder.path());
            assert!(peak <= memory, "{case:?}: {} MiB of {} MiB", peak / MIB, memory / MIB);
        }
    }
    // A file without chunks of its own has virtual ones, of 16 MiB: they are read by bands.
    let memory = 96 * MIB;
    let case: &[&str] = &["reduce", "std", &input, "--axis", "0", "-o", &path("std.npy")];
    let peak = peak(case, memory, folder.path());
    assert!(peak <= memory, "{case:?}: {} MiB of {} MiB", peak / MIB, memory / MIB);
    let output = run(&["stats", &input], memory, folder.path());
    let told = String::from_utf8(output.stderr).unwrap();
    let (_, peak) = told.rsplit_once("peak ").unwrap_or_else(|| panic!("no peak in {told:?}"));
    let (peak, unit) = peak.split_once(' ').unwrap();
    assert!(unit.starts_with("MiB") && peak.parse::<f64>().unwrap() <= 96.0, "{told:?}");
    let leftovers = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(leftovers, 10, "the input and nine outputs: nothing of scratch, nothing staged");
}

#[test]
fn a_refusal_names_a_memory_that_does() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let input = path("cube.npy");
    cube(Path::new(&input), 16);
    // Chunks of 64 MiB, which take as much again, or more, to be encoded.
    for (output, codec) in
        [("a.zarr", "zstd"), ("b.zarr", "none"), ("a.h5", "deflate"), ("a.fits", "gzip")]
    {
        let to = path(output);
        let case = ["convert", &input, &to, "--chunks=-1,-1,-1", "--codec", codec];
        let refused = ended(&case, 96 * MIB, folder.path());
        let told = String::from_utf8(refused.stderr).unwrap();
        let planned = ended(&[&case[..], &["--plan"]].concat(), 96 * MIB, folder.path());
        assert!(!refused.status.success() && !planned.status.success(), "{case:?}: {told}");
        assert!(!Path::new(&to).exists());
        let named = |told: &str| {
            let (_, memory) = told.split_once("a memory of ")?;
            memory.split_once(" MiB would do")?.0.parse::<u64>().ok()
        };
        let memory = named(&told).unwrap_or_else(|| panic!("{case:?}: {told}")) * MIB;
        let peak = peak(&case, memory, folder.path());
        assert!(peak <= memory, "{case:?}: {} MiB of {} MiB", peak / MIB, memory / MIB);
    }
}

#[test]
fn products_of_matrices_leave_no_holes_in_the_heap() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (input, square) = (path("cube.npy"), path("square.zarr"));
    cube(Path::new(&input), 25);
    // Panels of several lengths, as blocks at the edges are shorter.
    let reshape = ["calc", "x.reshape(5120, 5120)", &format!("x={input}"), "-o", &square];
    run(&[&reshape[..], &["--chunks=700,311", "--quiet"]].concat(), 1 << 30, folder.path());
    let square = format!("x={square}");
    let product = ["calc", "x.T @ x", &square, "-o", &path("product.zarr")];
    for (memory, threads) in [(200 * MIB, "2"), (200 * MIB, "8")] {
        let peak = peak(&[&product[..], &["--threads", threads]].concat(), memory, folder.path());
        assert!(peak <= memory, "{threads}: {} MiB of {} MiB", peak / MIB, memory / MIB);
    }
}

/// Arrays of so many chunks of 128 bytes that what is known of those that wait takes more than they do:
/// with a million tasks, of which many chunks wait for their other half; and where all wait for the mean of all.
fn tiny(case: &str) -> Array<f64> {
    match case {
        "transpose" => {
            let x = random(1).normal([2800, 2800]).rechunk([4, 4]);
            let x = x.map_blocks(Chunks::same(), |block, _| block.to_owned()).declare_scratch(0);
            (&x + x.t()).mean(..)
        }
        _ => {
            let x = random(1).normal([16 * 150_000]).rechunk([16]);
            let x = x.map_blocks(Chunks::same(), |block, _| block.to_owned()).declare_scratch(0);
            (&x - x.mean(..)).max(..)
        }
    }
}

const CASE: &str = "FREEBOARD_TEST_TINY_CHUNKS";

#[test]
#[ignore = "a process of its own, begun by `records_of_tiny_chunks_are_in_the_memory`"]
fn computes_tiny_chunks() {
    let case = std::env::var(CASE).unwrap();
    let (case, memory) = case.split_once(',').unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let session = Session::builder().memory(memory.parse::<u64>().unwrap()).threads(2);
    let session = session.scratch(folder.path()).build().unwrap();
    match session.compute_reported(&tiny(case)) {
        Ok((_, report)) => println!("\npeak {}", report.peak.expect("Linux tells")),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Budget, "{error}");
            println!("\npeak {}\nrefused: {error}", freeboard::memory::peak_resident().unwrap());
        }
    }
}

#[test]
fn records_of_tiny_chunks_are_in_the_memory() {
    let cases = [("transpose", 96, false), ("mean", 160, true)].map(|(case, mib, fits)| {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "computes_tiny_chunks", "--ignored", "--nocapture"])
            .env(CASE, format!("{case},{}", mib * MIB))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        (format!("{case} in {mib} MiB"), mib * MIB, fits, child)
    });
    for (name, memory, fits, child) in cases {
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {told}");
        let peak = told.lines().find_map(|line| line.strip_prefix("peak ")).unwrap();
        let peak = peak.parse::<u64>().unwrap();
        assert!(peak <= memory, "{name}: {} MiB", peak / MIB);
        assert_eq!(!told.contains("refused"), fits, "{name}: {told}");
        println!("{name}: {} MiB", peak / MIB);
    }
}
