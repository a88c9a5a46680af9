//! Thousands of small changes to everything that other programs wrote: metadata and chunks.
//!
//! An error or other elements are right; a panic, a read beyond the scratch that the cost
//! names, or a claim that is allocated is not.

use super::*;
use serde_json::{Value, json};

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

/// An array of version 2 with these filters and this compressor, whose one chunk is `bytes`.
fn chunk_of_version_2(folder: &Path, filters: Value, compressor: Value, dtype: &str, bytes: &[u8]) {
    let document = json!({
        "zarr_format": 2, "shape": [8, 8], "chunks": [8, 8], "dtype": dtype, "order": "C",
        "fill_value": 0, "filters": filters, "compressor": compressor,
    });
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(".zarray"), document.to_string()).unwrap();
    fs::write(folder.join("0.0"), bytes).unwrap();
}

#[test]
fn a_claim_beyond_what_a_step_may_hold_is_an_error() {
    let dir = quick_dir();
    let mut claim = (1u32 << 20).to_le_bytes().to_vec();
    claim.extend([0x1f; 40]);
    // A blosc frame: versions, flags, size of elements, three lengths.
    let mut frame = vec![2, 1, 0, 1];
    for len in [1000u32, 1000, 100] {
        frame.extend(len.to_le_bytes());
    }
    frame.resize(100, 7);
    for (compressor, bytes) in [("lz4", &claim), ("blosc", &frame)] {
        let shuffle = json!([{"id": "shuffle", "elementsize": 2}]);
        let compressor = json!({
            "id": compressor, "acceleration": 1, "cname": "lz4", "clevel": 5, "shuffle": 1,
        });
        chunk_of_version_2(dir.path(), shuffle, compressor, "<i2", bytes);
        let error = read_all(&*Zarr.open(dir.path(), None).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("claims 10"), "{error}");
    }
}

#[test]
fn no_chain_of_version_2_panics() {
    let dir = quick_dir();
    let mut choices = Choices(2);
    let codecs = [
        json!({"id": "shuffle", "elementsize": 2}),
        json!({"id": "shuffle", "elementsize": 4}),
        json!({"id": "lz4", "acceleration": 1}),
        json!({"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}),
        json!({"id": "zlib", "level": 1}),
        json!({"id": "gzip", "level": 1}),
        json!({"id": "zstd", "level": 1}),
        json!({"id": "bz2", "level": 1}),
        json!({"id": "crc32"}),
        json!({"id": "adler32"}),
        json!({"id": "fletcher32"}),
        json!({"id": "delta", "dtype": "<i2"}),
    ];
    let mut opened = 0;
    for _ in 0..1500 {
        let filters: Vec<Value> =
            (0..choices.below(4)).map(|_| codecs[choices.below(codecs.len())].clone()).collect();
        let compressor = match choices.below(3) {
            0 => Value::Null,
            _ => codecs[2 + choices.below(6)].clone(),
        };
        // What the elements take, and what is near it or far from it.
        let len = [0, 3, 16, 124, 127, 128, 132, 136, 300, 5000][choices.below(10)];
        let mut bytes: Vec<u8> = match choices.below(2) {
            0 => vec![choices.below(256) as u8; len],
            _ => (0..len).map(|_| choices.below(256) as u8).collect(),
        };
        let claim = [0u32, 1, 64, 128, 129, 4096, 1 << 20, u32::MAX][choices.below(8)];
        match choices.below(3) {
            0 => bytes.splice(..0, claim.to_le_bytes()).for_each(drop),
            1 => {
                let whole = bytes.len() as u32 + 16;
                let lengths = [claim.min(whole - 16), claim.max(1), whole].map(u32::to_le_bytes);
                let flags = 2 * choices.below(2) as u8;
                bytes
                    .splice(..0, [2, 1, flags, 1].into_iter().chain(lengths.concat()))
                    .for_each(drop);
            }
            _ => {}
        }
        chunk_of_version_2(dir.path(), filters.into(), compressor, "<i2", &bytes);
        opened += read_what_is_left(dir.path());
    }
    assert!(opened > 1000, "{opened} could be opened");
}

#[test]
fn attributes_as_long_as_data_are_refused() {
    let dir = quick_dir();
    chunk_of_version_2(dir.path(), Value::Null, Value::Null, "<i2", &[0; 128]);
    let attributes = format!("{{\"a\": [0{}]}}", ",0".repeat(3 << 20));
    fs::write(dir.path().join(".zattrs"), attributes).unwrap();
    let error = Zarr.open(dir.path(), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(
        error.to_string().contains("4 MiB") && error.to_string().contains(".zattrs"),
        "{error}"
    );
}
