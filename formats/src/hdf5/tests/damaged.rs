//! Bytes of fixtures changed and cut at random.

use super::*;

/// The most address space that this process had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

#[test]
fn damaged_files_are_errors_or_other_values() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(fixture("."))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "h5"))
        .collect();
    files.sort();
    let files: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(files.len() >= 13);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    let (before, mut state) = (peak(), 1u64);
    let mut below = |n: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    for mutant in 0..2600 {
        let mut bytes = files[mutant % files.len()].clone();
        for _ in 0..1 + below(4) {
            // Most of the metadata lies at the start.
            let end = if below(2) == 0 { bytes.len() } else { bytes.len().min(4096) };
            let at = below(end);
            let len = [1, 1, 2, 4, 8][below(5)].min(bytes.len() - at);
            let value = [0, 1, 0x7f, 0x80, 0xff, below(256) as u8][below(6)];
            bytes[at..at + len].fill(value);
        }
        if below(8) == 0 {
            bytes.truncate(below(bytes.len()));
        }
        let start = std::time::Instant::now();
        damaged(&path, &bytes, below(16));
        assert!(start.elapsed().as_secs() < 20, "mutant {mutant} takes long");
    }
    let grown = peak().saturating_sub(before);
    assert!(grown < 2 << 30, "{grown} bytes were allocated at once");
}

/// Opens and reads some of what there is in a file of these bytes; nothing may panic.
fn damaged(path: &Path, bytes: &[u8], first: usize) {
    std::fs::write(path, bytes).unwrap();
    let _ = Hdf5.open(path, None);
    let items = Hdf5.list(path).unwrap_or_default();
    for item in items.iter().skip(first % items.len().max(1)).take(3) {
        let Ok(source) = Hdf5.open(path, Some(&item.name)) else { continue };
        let shape = source.meta().shape();
        // A damaged shape may be huge; its first corner will do.
        let corner: Dims = shape.iter().map(|&len| len.min(12)).collect();
        let region = Region::whole(&corner);
        if source.cost(&region).scratch < 64 << 20 {
            let _ = read(&*source, &region);
        }
    }
}
