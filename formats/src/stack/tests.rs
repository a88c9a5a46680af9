//! Stacks of files of a toy format: a text that says dtype, shape and first value.

use super::*;
use crate::{
    DType,
    source::{Cancel, FileCache},
    view::ChunkView,
};
use std::{
    fs,
    ops::RangeInclusive,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Opens `int32 1,2,3 100`: an array of that shape that counts from 100.
fn open_toy(path: &Path) -> Result<Arc<dyn ChunkSource>> {
    let text = fs::read_to_string(path).map_err(|e| FormatError::io(e).at_path(path))?;
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() != 3 {
        return Err(FormatError::new(ErrorKind::Corrupt, "not a toy"));
    }
    let shape: Dims = words[1].split(',').filter_map(|n| n.parse().ok()).collect();
    let first: i32 = words[2].parse().expect("a number");
    let count = checked_volume(&shape).expect("a small array") as i32;
    let values: Vec<i32> = (first..first + count).collect();
    let (dtype, grid) = (DType::from_name(words[0]).expect("a dtype"), Grid::whole(&shape));
    let source =
        crate::memory::MemorySource::from_bytes(dtype, grid, bytemuck::cast_slice(&values));
    Ok(Arc::new(source.with_meta(|meta| {
        meta.axes.iter_mut().enumerate().for_each(|(i, name)| *name = format!("a{i}"));
    })))
}

struct Toys {
    dir: tempfile::TempDir,
    paths: Vec<PathBuf>,
}

fn toys(texts: &[&str]) -> Toys {
    let dir = tempfile::tempdir().unwrap();
    let write = |(i, text): (usize, &&str)| {
        let path = dir.path().join(format!("{i}.toy"));
        fs::write(&path, text).unwrap();
        path
    };
    let paths = texts.iter().enumerate().map(write).collect();
    Toys { dir, paths }
}

impl Toys {
    fn stack(&self, options: StackOptions) -> Result<Stack> {
        Stack::open(self.paths.clone(), Arc::new(open_toy), options)
    }

    /// An error's text with the folder's name shortened.
    fn text(&self, error: &FormatError) -> String {
        error.to_string().replace(&self.dir.path().display().to_string(), "toys")
    }
}

fn read(stack: &Stack, region: &Region) -> Result<Vec<i32>> {
    let mut out = vec![0i32; region.volume() as usize];
    with_cx(stack.cost(region).scratch, |cx| {
        stack.read(region, ChunkMut::of(&mut out, &region.shape), cx)
    })?;
    Ok(out)
}

/// Lends a call so much scratch.
fn with_cx<T>(scratch: u64, call: impl FnOnce(&mut ReadCx<'_>) -> T) -> T {
    let (files, cancel) = (FileCache::default(), Cancel::default());
    let mut words = vec![0u64; scratch.div_ceil(8) as usize];
    let scratch = &mut bytemuck::cast_slice_mut(&mut words)[..scratch as usize];
    call(&mut ReadCx { scratch, limit: 1 << 20, files: &files, cancel: &cancel })
}

fn stacked(lengths: &[u64]) -> StackOptions {
    StackOptions { stacked: Some(lengths.to_vec()), ..StackOptions::default() }
}

#[test]
fn leading_axes_of_length_one_are_dropped_unless_kept() {
    let toys = toys(&["int32 1,1,2,1,3 0", "int32 2,1,3 6"]);
    let stack = toys.stack(StackOptions::default()).unwrap();
    assert_eq!(stack.meta().shape()[..], [2, 2, 1, 3]);
    assert_eq!(stack.meta().axes, ["", "a2", "a3", "a4"]);
    assert_eq!(stack.meta().grid.max_chunk()[..], [1, 2, 1, 3]);
    let whole = read(&stack, &Region::whole(&stack.meta().shape())).unwrap();
    assert_eq!(whole, (0..12).collect::<Vec<i32>>());

    let kept = StackOptions { keep_axes: true, ..StackOptions::default() };
    let stack = toys.stack(kept).unwrap();
    assert_eq!(stack.meta().shape()[..], [2, 1, 1, 2, 1, 3]);
    let error = read(&stack, &Region::whole(&stack.meta().shape())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
}

#[test]
fn boxes_across_files_and_folded_axes() {
    let texts: Vec<String> = (0..6).map(|i| format!("int32 1,4,5 {}", i * 20)).collect();
    let toys = toys(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let stack = toys.stack(stacked(&[2, 3])).unwrap();
    let shape = stack.meta().shape();
    assert_eq!(shape[..], [2, 3, 4, 5]);
    let all: Vec<i32> = (0..120).collect();
    let view = ChunkView::of(&all, &shape);
    for region in [
        Region::whole(&shape),
        Region::new(vec![1, 0, 1, 2], vec![1, 3, 2, 3]),
        Region::new(vec![0, 2, 3, 4], vec![2, 1, 1, 1]),
        Region::new(vec![0, 2, 3, 4], vec![2, 0, 1, 1]),
    ] {
        assert_eq!(read(&stack, &region).unwrap(), view.sub(&region).to_vec::<i32>(), "{region}");
    }
    assert_eq!(stack.cost(&Region::whole(&shape)).decoded, 480);
    assert_eq!(stack.storage().files, 6);
    assert_eq!(stack.path(5), toys.paths[5]);
}

#[test]
fn what_does_not_fit_together_is_told() {
    let toys = toys(&["int32 500,2 0", "int32 500,3 0", "float32 500,2 0"]);
    let error = toys.stack(stacked(&[2, 2])).unwrap_err();
    assert_eq!(toys.text(&error), "3 files do not stack to (2, 2), which takes 4");
    let stack = toys.stack(StackOptions::default()).unwrap();
    let help = "\n  files of a stack are alike: leave this one out, or stack its kind on its own";
    let read_file = |file| read(&stack, &Region::new(vec![file, 0, 0], vec![1, 1, 1]));
    let text = "toys/1.toy: int32 (500, 3), but the first file, toys/0.toy, has int32 (500, 2)";
    let error = stack.check().unwrap_err();
    assert_eq!(toys.text(&error), format!("{text}{help}"));
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert_eq!(toys.text(&read_file(1).unwrap_err()), format!("{text}{help}"));
    let text = "toys/2.toy: float32 (500, 2), but the first file, toys/0.toy, has int32 (500, 2)";
    assert_eq!(toys.text(&read_file(2).unwrap_err()), format!("{text}{help}"));
    assert!(read_file(0).is_ok());
}

#[test]
fn a_file_that_changes_or_goes_is_told() {
    let toys = toys(&["int32 2 0", "int32 2 2", "int32 2 4"]);
    let stack = toys.stack(StackOptions::default()).unwrap();
    let whole = Region::whole(&stack.meta().shape());
    assert_eq!(read(&stack, &whole).unwrap(), [0, 1, 2, 3, 4, 5]);
    let before = stack.fingerprint().unwrap();
    assert_eq!(stack.fingerprint().unwrap(), before);
    fs::write(&toys.paths[1], "int32 2 2000").unwrap();
    assert_ne!(stack.fingerprint().unwrap(), before);
    let error = read(&stack, &whole).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
    assert_eq!(
        toys.text(&error),
        "toys/1.toy: the file changed since the stack was opened: it had 9 bytes and has 12\n  open \
         the stack again, once nothing writes to its files"
    );
    fs::remove_file(&toys.paths[1]).unwrap();
    assert_eq!(read(&stack, &whole).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(toys.stack(StackOptions::default()).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(Stack::open([] as [PathBuf; 0], Arc::new(open_toy), StackOptions::default()).is_err());
}

#[test]
fn fields_name_the_axes() {
    let toys = toys(&["int32 1,2 0", "int32 1,2 2"]);
    let field =
        Field { name: "stokes".into(), labels: Labels::Text(["I".into(), "Q".into()].into()) };
    let options = StackOptions { fields: vec![field.clone()], ..StackOptions::default() };
    let stack = toys.stack(options).unwrap();
    assert_eq!(stack.meta().axes, ["stokes", "a1"]);
    assert_eq!(stack.labels(0), Some(&field.labels));
    assert_eq!(stack.labels(1), None);
    let folded =
        StackOptions { fields: vec![field], stacked: Some(vec![1, 2]), ..StackOptions::default() };
    assert_eq!(toys.stack(folded).unwrap().meta().axes, ["", "", "a1"]);
}

/// A source that takes memory: so many bytes of scratch for each element, and so many while it is open.
#[derive(Debug)]
struct Hungry {
    inner: Arc<dyn ChunkSource>,
    scratch: u64,
    held: u64,
}

impl ChunkSource for Hungry {
    fn meta(&self) -> &Meta {
        self.inner.meta()
    }
    fn cost(&self, region: &Region) -> ReadCost {
        ReadCost { scratch: region.volume() * self.scratch, ..self.inner.cost(region) }
    }
    fn read(&self, region: &Region, out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        assert!(cx.scratch.len() as u64 >= self.cost(region).scratch, "scratch as declared");
        self.inner.read(region, out, cx)
    }
    fn fingerprint(&self) -> Result<Fingerprint> {
        self.inner.fingerprint()
    }
    fn spec(&self) -> SourceSpec {
        self.inner.spec()
    }
    fn storage(&self) -> Storage {
        self.inner.storage()
    }
    fn held(&self) -> u64 {
        self.held
    }
}

#[test]
fn a_file_that_needs_more_scratch_is_read_in_parts() {
    let toys = toys(&["int32 4,5 0", "int32 4,5 20"]);
    let opener = |path: &Path| {
        let factor = if path.ends_with("0.toy") { 1 } else { 3 };
        Ok(Arc::new(Hungry { inner: open_toy(path)?, scratch: factor, held: 0 })
            as Arc<dyn ChunkSource>)
    };
    let stack = Stack::open(toys.paths.clone(), Arc::new(opener), StackOptions::default()).unwrap();
    let whole = Region::whole(&stack.meta().shape());
    assert_eq!(read(&stack, &whole).unwrap(), (0..40).collect::<Vec<i32>>());
    let error = read(&stack, &Region::new(vec![1, 0, 0], vec![1, 1, 1])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Scratch);
    assert!(toys.text(&error).starts_with("toys/1.toy: 3 bytes of scratch"), "{error}");
    // The file is good: no policy takes it as missing.
    let options = StackOptions { missing: Missing::Mask, ..StackOptions::default() };
    let stack = Stack::open(toys.paths.clone(), Arc::new(opener), options).unwrap();
    let error = read(&stack, &Region::new(vec![1, 0, 0], vec![1, 1, 1])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Scratch);
    assert_eq!(stack.missing().count(), 0);
}

#[test]
fn many_files_are_looked_for_by_several_threads_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..1000).map(|i| dir.path().join(format!("{i}"))).collect();
    for (i, path) in paths.iter().enumerate() {
        fs::write(path, format!("int32 1 {i}")).unwrap();
    }
    let stack = Stack::open(paths.clone(), Arc::new(open_toy), StackOptions::default()).unwrap();
    assert_eq!(read(&stack, &Region::whole(&[1000])).unwrap(), (0..1000).collect::<Vec<i32>>());
    fs::write(&paths[700], "int64 1 0").unwrap();
    fs::remove_file(&paths[900]).unwrap();
    assert_eq!(stack.check().unwrap_err().place(), paths[700].to_str());
}

/// A stack in which files that are bad are taken as `policy` says.
fn lacking(toys: &Toys, policy: Missing, holes: &[usize]) -> Result<Stack> {
    let paths = toys.paths.iter().enumerate();
    let paths = paths.map(|(i, path)| (!holes.contains(&i)).then(|| path.clone()));
    let options = StackOptions { missing: policy, ..StackOptions::default() };
    Stack::open(paths, Arc::new(open_toy), options)
}

#[test]
fn missing_files_are_zero_and_the_mask_is_true() {
    let toys = toys(&["", "int32 1,3 10", "int32 1,4 0", "int32 1,3 40", "gone", "int32 1,3 60"]);
    fs::remove_file(&toys.paths[4]).unwrap();
    fs::write(&toys.paths[0], "junk").unwrap();
    let stack = Arc::new(lacking(&toys, Missing::Mask, &[3]).unwrap());
    let whole = Region::whole(&[6, 3]);
    let mask = stack.mask();
    assert_eq!(mask.meta().grid, stack.meta().grid);
    let expected = [1, 0, 1, 1, 1, 0].map(|missing| missing == 1);
    let read_mask = |region: &Region| {
        let mut out = vec![7u8; region.volume() as usize];
        with_cx(mask.cost(region).scratch, |cx| {
            let out = ChunkMut::new(DType::Bool, &mut out, &region.shape);
            mask.read(region, out, cx)
        })
        .unwrap();
        out.into_iter().map(|value| value == 1).collect::<Vec<bool>>()
    };
    let column = Region::new(vec![0, 1], vec![6, 1]);
    assert_eq!(read_mask(&column), expected, "before any element is read");
    let zero = [0; 3];
    let rows = [zero, [10, 11, 12], zero, zero, zero, [60, 61, 62]];
    assert_eq!(read(&stack, &whole).unwrap(), rows.concat());
    assert_eq!(read_mask(&whole), expected.map(|m| [m; 3]).concat());
    assert_eq!(stack.missing().count(), 4);
    let reasons = stack.missing().reasons().join("\n");
    let reasons = reasons.replace(&toys.dir.path().display().to_string(), "toys");
    assert_eq!(
        reasons,
        "toys/0.toy: not a toy\ntoys/2.toy: int32 (1, 4), but the first file, toys/1.toy, has int32 \
         (1, 3)\nplace 3 of the stack: no file\ntoys/4.toy: no such file"
    );
    assert_eq!(stack.storage().files, 4);
    stack.check().unwrap();
    assert_eq!(lacking(&toys, Missing::Error, &[]).unwrap_err().kind(), ErrorKind::NotFound);
    let nothing = lacking(&toys, Missing::Mask, &[0, 1, 2, 3, 4, 5]).unwrap_err();
    assert_eq!(nothing.to_string(), "none of 6 files is there");
}

#[test]
fn integers_have_no_nan() {
    let toys = toys(&["int32 3 0", "int32 3 3"]);
    let error = lacking(&toys, Missing::Nan, &[1]).unwrap_err();
    assert_eq!(
        toys.text(&error),
        "toys/0.toy: int32 has no NaN for what is missing\n  choose the policy `mask`: missing \
         elements are 0 then, and the mask tells which"
    );
}

#[test]
fn damage_and_changes_are_told_apart() {
    let toys = toys(&["int32 4 0", "int32 4 4"]);
    let opener = |path: &Path| {
        let source = open_toy(path)?;
        let bad = Region::new(vec![2], vec![1]);
        Ok(match path.ends_with("1.toy") {
            true => Arc::new(crate::wrap::Faulty::new(source).fail_region(
                bad,
                u64::MAX,
                ErrorKind::Corrupt,
            )) as Arc<dyn ChunkSource>,
            false => source,
        })
    };
    let options = StackOptions { missing: Missing::Mask, ..StackOptions::default() };
    let stack = Stack::open(toys.paths.clone(), Arc::new(opener), options).unwrap();
    assert_eq!(read(&stack, &Region::whole(&[2, 4])).unwrap(), [0, 1, 2, 3, 0, 0, 0, 0]);
    assert_eq!(stack.missing().count(), 1);
    fs::write(&toys.paths[0], "int32 4 1000").unwrap();
    let error = read(&stack, &Region::whole(&[2, 4])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
}

#[test]
fn opened_files_are_kept_as_long_as_they_are_small_together() {
    // A toy does not tell what it holds, and counts as large.
    let fits = (KEPT / open_toy(&toys(&["int32 1 0"]).paths[0]).unwrap().held()) as usize;
    let texts: Vec<String> = (0..=fits + 1).map(|i| format!("int32 1 {i}")).collect();
    let toys = toys(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let opened = Arc::new(AtomicUsize::new(0));
    let counter = opened.clone();
    let opener = move |path: &Path| {
        counter.fetch_add(1, Ordering::Relaxed);
        open_toy(path)
    };
    let stack = Stack::open(toys.paths.clone(), Arc::new(opener), StackOptions::default()).unwrap();
    let opened_by = |files: RangeInclusive<usize>| {
        let before = opened.load(Ordering::Relaxed);
        for file in files {
            let region = Region { start: [file as u64, 0][..].into(), shape: [1, 1][..].into() };
            assert_eq!(read(&stack, &region).unwrap(), [file as i32]);
        }
        opened.load(Ordering::Relaxed) - before
    };
    // The first file was opened with the stack.
    assert_eq!(opened_by(0..=fits), fits);
    assert_eq!(opened_by(0..=fits), 0);
    // One more takes the place of the one that was not read for the longest time.
    assert_eq!(opened_by(fits + 1..=fits + 1), 1);
    assert_eq!(opened_by(2..=fits), 0);
    assert_eq!(opened_by(1..=1), 1);
}

#[test]
fn a_file_that_holds_more_than_is_kept_stays_until_the_next() {
    let toys = toys(&["int32 1 0", "int32 1 1", "int32 1 2"]);
    let opened = Arc::new(AtomicUsize::new(0));
    let counter = opened.clone();
    let opener = move |path: &Path| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Hungry { inner: open_toy(path)?, scratch: 0, held: KEPT + 1 })
            as Arc<dyn ChunkSource>)
    };
    let stack = Stack::open(toys.paths.clone(), Arc::new(opener), StackOptions::default()).unwrap();
    for (file, so_far) in [(1, 2), (1, 2), (2, 3), (2, 3), (1, 4)] {
        let region = Region { start: [file as u64, 0][..].into(), shape: [1, 1][..].into() };
        assert_eq!(read(&stack, &region).unwrap(), [file]);
        assert_eq!(opened.load(Ordering::Relaxed), so_far);
    }
}
