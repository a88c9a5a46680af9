//! Thousands of small changes to everything that other programs wrote: metadata and chunks.
//!
//! An error or other elements are right; a panic, a read beyond the scratch that the cost
//! names, or a claim that is allocated is not.

use super::*;

/// Mutants of each file.
const EACH: u64 = 12;

/// Numbers that are the same in every run (Steele, Lea and Flood's SplitMix64, 2014).
struct Choices(u64);

impl Choices {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        match entry.is_dir() {
            true => files(&entry, found),
            false => found.push(entry),
        }
    }
}

/// What a number or word of a document may become.
const WORDS: [&str; 14] = [
    "0",
    "1",
    "-1",
    "7",
    "255",
    "4294967296",
    "18446744073709551615",
    "1e400",
    "null",
    "true",
    "[]",
    "{}",
    "\"x\"",
    "[[1,18446744073709551615]]",
];

/// A document with one of its values changed, or bytes with some of theirs.
fn mutant(bytes: &[u8], is_document: bool, choices: &mut Choices) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    match choices.below(4) {
        0 if is_document => {
            let starts: Vec<usize> = (1..bytes.len())
                .filter(|&at| matches!(bytes[at - 1], b' ' | b':' | b'[' | b'\n'))
                .filter(|&at| bytes[at].is_ascii_digit() || bytes[at] == b'"')
                .collect();
            let Some(&start) = starts.get(choices.below(starts.len())) else { return changed };
            let end = match bytes[start] {
                b'"' => bytes[start + 1..].iter().position(|b| *b == b'"').map(|n| start + n + 2),
                _ => bytes[start..].iter().position(|b| !b.is_ascii_digit()).map(|n| start + n),
            };
            let word = WORDS[choices.below(WORDS.len())].bytes();
            changed.splice(start..end.unwrap_or(bytes.len()), word);
        }
        0 | 1 => changed.truncate(choices.below(bytes.len())),
        2 => changed.extend((0..choices.below(40)).map(|n| n as u8)),
        _ => {
            for _ in 0..=choices.below(3) {
                let at = choices.below(bytes.len());
                if let Some(byte) = changed.get_mut(at) {
                    *byte = choices.below(256) as u8;
                }
            }
        }
    }
    changed
}

/// Reads all that is small enough, of every array that can still be opened.
fn read_what_is_left(folder: &Path) -> usize {
    let items = Zarr.list(folder).unwrap_or_default();
    let named = items.iter().map(|item| Some(item.name.as_str()));
    let mut opened = 0;
    for source in named.chain([None]).filter_map(|item| Zarr.open(folder, item).ok()) {
        opened += 1;
        let whole = Region::whole(&source.meta().shape());
        let small = source.meta().bytes().is_some_and(|bytes| bytes < 1 << 20);
        if small && source.cost(&whole).scratch < 1 << 24 {
            let _ = read_all(&*source);
        }
    }
    opened
}

#[test]
fn no_mutant_of_any_fixture_panics() {
    let dir = quick_dir();
    let fixtures = fixture("x").parent().unwrap().to_owned();
    let (mut mutants, mut opened) = (0, 0);
    for folder in fs::read_dir(fixtures).unwrap().map(|e| e.unwrap().path()) {
        if !folder.is_dir() {
            continue;
        }
        let copy = dir.path().join(folder.file_name().unwrap());
        copy_tree(&folder, &copy);
        let mut all = Vec::new();
        files(&copy, &mut all);
        all.sort();
        for file in all {
            let whole = fs::read(&file).unwrap();
            let is_document = serde_json::from_slice::<serde_json::Value>(&whole).is_ok();
            let mut choices = Choices(whole.len() as u64);
            for _ in 0..EACH * if is_document { 3 } else { 1 } {
                fs::write(&file, mutant(&whole, is_document, &mut choices)).unwrap();
                mutants += 1;
                opened += usize::from(read_what_is_left(&copy) > 0);
            }
            fs::write(&file, &whole).unwrap();
        }
    }
    assert!(mutants > 2000, "{mutants} mutants");
    assert!(opened > mutants / 4 && opened < mutants, "{opened} of {mutants} can be opened");
}
