//! Against what zarr-python wrote (`data/zarr/make.py`), and against damage.

mod mutants;
mod writing;

use super::*;
use crate::{
    conformance,
    dtype::{DType, Scalar},
    grid::Grid,
    region::{Dims, Region, volume},
    source::{Cancel, FileCache, ReadCx},
    view::{ChunkMut, ChunkView},
};
use proptest::prelude::*;
use std::fs;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/zarr").join(format!("{name}.zarr"))
}

/// The values that the fixtures hold.
fn values(dtype: DType, shape: &[u64]) -> Vec<u8> {
    (0..volume(shape))
        .flat_map(|i| {
            let n = (7 * i + 3) % 101;
            let value = match dtype {
                DType::Bool => Scalar::Bool(i % 3 == 0),
                dtype if dtype.is_float() => Scalar::F64(n as f64 * 0.5 - 10.0).cast(dtype),
                dtype => Scalar::U64(n).cast(dtype),
            };
            let (bytes, len) = value.bytes();
            bytes[..len].to_vec()
        })
        .collect()
}

/// A folder in memory where the system has such a place: thousands of small files are damaged.
fn quick_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn with_cx<R>(scratch: u64, body: impl FnOnce(&mut ReadCx<'_>) -> R) -> R {
    let mut words = vec![0xa5a5_a5a5_a5a5_a5a5_u64; scratch.div_ceil(8) as usize];
    let scratch = &mut bytemuck::cast_slice_mut(&mut words)[..scratch as usize];
    let (files, cancel) = (FileCache::default(), Cancel::default());
    body(&mut ReadCx { scratch, limit: 1 << 30, files: &files, cancel: &cancel })
}

/// Reads with exactly the scratch that the cost names.
fn read(source: &dyn ChunkSource, region: &Region) -> Result<Vec<u8>> {
    let dtype = source.meta().dtype;
    let len = region.volume() as usize * dtype.size();
    let mut words = vec![u64::MAX; len.div_ceil(8)];
    let bytes = &mut bytemuck::cast_slice_mut(&mut words)[..len];
    with_cx(source.cost(region).scratch, |cx| {
        source.read(region, ChunkMut::new(dtype, bytes, &region.shape), cx)
    })?;
    Ok(bytes.to_vec())
}

fn read_all(source: &dyn ChunkSource) -> Result<Vec<u8>> {
    read(source, &Region::whole(&source.meta().shape()))
}

#[test]
fn every_codec_of_zarr_python_is_read() {
    let names = [
        "v3-none",
        "v3-big",
        "v3-zstd",
        "v3-gzip",
        "v3-blosc-lz4",
        "v3-blosc-zstd",
        "v3-blosc-zlib",
        "v3-blosclz",
        "v3-crc32c",
        "v3-only-crc32c",
        "v3-transposed",
        "v3-transposed-raw",
        "v3-dots",
        "v3-shards",
        "v3-shards-raw",
        "v3-shards-start",
        "v2-none",
        "v2-zstd",
        "v2-zlib",
        "v2-gzip",
        "v2-blosc",
        "v2-fortran",
        "v2-slash",
        "v2-names",
        "v2-filter",
        "v2-lz4",
        "v2-bz2",
        "v2-shuffle",
        "v2-narrow",
        "v2-fortran-delta",
        "v2-sums",
        "v2-adler32",
        "v3-lz4",
        "v3-bz2",
        "v3-shuffle",
        "v3-delta",
        "group-one",
    ];
    for name in names {
        let source = Zarr.open(&fixture(name), None).unwrap();
        assert_eq!(source.meta().dtype, DType::I32, "{name}");
        assert_eq!(source.meta().shape()[..], [7, 10], "{name}");
        assert!(read_all(&*source).unwrap() == values(DType::I32, &[7, 10]), "{name}");
        source.fingerprint().unwrap();
    }
    let others = [
        (DType::F64, &["v2-big", "v2-quantised", "v2-astype"][..]),
        (DType::F32, &["v2-scaled", "v2-scaled-delta", "v2-delta-float", "v2-bitround"]),
        (DType::F32, &["v3-scaled", "v3-quantised"]),
        (DType::Bool, &["v2-packbits", "v3-packbits"]),
    ];
    for (dtype, names) in others {
        for name in names {
            let source = Zarr.open(&fixture(name), None).unwrap();
            assert_eq!(read_all(&*source).unwrap(), values(dtype, &[7, 10]), "{name}");
        }
    }
}

#[test]
fn every_fixture_conforms() {
    for folder in fs::read_dir(fixture("x").parent().unwrap()).unwrap() {
        let folder = folder.unwrap().path();
        let Ok(source) = Zarr.open(&folder, None) else { continue };
        let meta = source.meta();
        let fills = folder.file_name().unwrap().to_str().unwrap().contains("fill");
        if !fills {
            let all = values(meta.dtype, &meta.shape());
            conformance::source(&*source, &ChunkView::new(meta.dtype, &all, &meta.shape()));
        }
    }
}

#[test]
fn every_dtype_of_zarr_python_is_read() {
    for dtype in DType::ALL.into_iter().filter(|&dtype| dtype != DType::I32) {
        let source = Zarr.open(&fixture(&format!("v3-{dtype}")), None).unwrap();
        assert_eq!(source.meta().dtype, dtype);
        assert_eq!(read_all(&*source).unwrap(), values(dtype, &[7, 10]), "{dtype}");
    }
    let source = Zarr.open(&fixture("v2-bool"), None).unwrap();
    assert_eq!(read_all(&*source).unwrap(), values(DType::Bool, &[7, 10]));
}

#[test]
fn arrays_without_axes_or_elements_are_read() {
    for name in ["v3-scalar", "v2-scalar"] {
        let source = Zarr.open(&fixture(name), None).unwrap();
        assert_eq!(source.meta().grid.len(), 1);
        assert_eq!(read_all(&*source).unwrap(), 3i32.to_ne_bytes(), "{name}");
    }
    let source = Zarr.open(&fixture("v3-empty"), None).unwrap();
    assert_eq!(source.meta().shape()[..], [0, 3]);
    assert!(read_all(&*source).unwrap().is_empty());
}

#[test]
fn chunks_that_are_not_stored_have_the_fill_value() {
    for (name, fill) in [("nan", f32::NAN), ("inf", f32::NEG_INFINITY), ("seven", 7.5)] {
        for version in [2, 3] {
            let source = Zarr.open(&fixture(&format!("v{version}-fill-{name}")), None).unwrap();
            let bytes = read_all(&*source).unwrap();
            let all = ChunkView::new(DType::F32, &bytes, &[7, 10]);
            assert_eq!(all.get(&[0, 0]), Scalar::F32(-8.5));
            let Scalar::F32(value) = all.get(&[6, 0]) else { panic!("a float") };
            assert_eq!(value.to_bits(), fill.to_bits(), "{name}");
        }
    }
    for (name, fill) in
        [("null", Scalar::U16(0)), ("true", Scalar::Bool(true)), ("most", Scalar::U64(u64::MAX))]
    {
        let source = Zarr.open(&fixture(&format!("v2-fill-{name}")), None).unwrap();
        let bytes = read_all(&*source).unwrap();
        let all = ChunkView::new(source.meta().dtype, &bytes, &[7, 10]);
        assert_eq!(all.get(&[6, 9]), fill);
    }
    let source = Zarr.open(&fixture("v3-shards-fill"), None).unwrap();
    let bytes = read_all(&*source).unwrap();
    let all = ChunkView::new(DType::I32, &bytes, &[7, 10]);
    assert_eq!(all.get(&[0, 0]), Scalar::I32(-1));
    assert_eq!(all.get(&[2, 3]), Scalar::I32((7 * 23 + 3) % 101));
    assert_eq!(all.get(&[6, 9]), Scalar::I32(-1));
}

#[test]
fn names_and_attributes_are_kept() {
    let source = Zarr.open(&fixture("v3-zstd"), None).unwrap();
    assert_eq!(source.meta().axes, ["y", ""]);
    assert_eq!(source.meta().attributes["units"], "K");
    let source = Zarr.open(&fixture("v2-names"), None).unwrap();
    assert_eq!(source.meta().axes, ["y", "x"]);
    assert_eq!(source.meta().attributes.keys().collect::<Vec<_>>(), ["_FillValue"]);
    assert_eq!(source.storage().format, "Zarr 2");
    assert_eq!(source.storage().files, 4);
}

#[test]
fn what_is_not_supported_is_named() {
    for (name, word) in [("v3-complex", "complex64"), ("v2-half", "<f2"), ("v2-lzma", "lzma")] {
        let error = Zarr.open(&fixture(name), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn groups_list_and_open_their_arrays() {
    assert!(Zarr.recognises(&fixture("group"), &[]));
    assert!(!Zarr.recognises(Path::new(env!("CARGO_MANIFEST_DIR")), &[]));
    // The last two have consolidated metadata, and an array of a type that is left out.
    for name in ["group", "group-v2", "group-v3"] {
        let group = fixture(name);
        let names: Vec<String> = Zarr.list(&group).unwrap().into_iter().map(|i| i.name).collect();
        assert_eq!(names, ["a", "deep/b"], "{name}");
        let error = Zarr.open(&group, None).unwrap_err();
        assert!(error.to_string().contains("a, deep/b"), "{error}");
        for item in ["deep/b", "/deep/b/", "deep"] {
            let source = Zarr.open(&group, Some(item)).unwrap();
            assert!(source.spec().location.ends_with(&format!("{name}.zarr::deep/b")));
            assert_eq!(read_all(&*source).unwrap(), values(DType::I32, &[7, 10]));
        }
        assert_eq!(Zarr.open(&group, Some("c")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(Zarr.open(&group, Some("../x")).unwrap_err().kind(), ErrorKind::Invalid);
    }
    let listed = Zarr.list(&fixture("group-v2")).unwrap();
    assert_eq!(listed[1].meta.attributes["units"], "K");
    let missing = Zarr.open(Path::new("/nowhere.zarr"), None).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

/// Consolidated metadata are believed: what they do not name is not listed, as for zarr-python.
#[test]
fn consolidated_metadata_are_the_list_of_what_is_there() {
    for name in ["group-v2", "group-v3"] {
        let dir = tempfile::tempdir().unwrap();
        copy_tree(&fixture(name), dir.path());
        fs::rename(dir.path().join("a"), dir.path().join("c")).unwrap();
        let names: Vec<String> =
            Zarr.list(dir.path()).unwrap().into_iter().map(|i| i.name).collect();
        assert_eq!(names, ["a", "deep/b"], "{name}");
        let source = Zarr.open(dir.path(), Some("c")).unwrap();
        assert_eq!(read_all(&*source).unwrap(), values(DType::I32, &[7, 10]));
    }
}

#[test]
fn links_are_followed_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".zgroup"), "{\"zarr_format\": 2}").unwrap();
    for name in ["loop", "again"] {
        std::os::unix::fs::symlink(dir.path(), dir.path().join(name)).unwrap();
    }
    std::os::unix::fs::symlink(fixture("v2-none"), dir.path().join("linked")).unwrap();
    let names: Vec<String> = Zarr.list(dir.path()).unwrap().into_iter().map(|i| i.name).collect();
    assert_eq!(names, ["linked"]);
}

/// A box of the fixtures' shape, from four numbers.
fn region_of(shape: [u64; 2], picks: [u64; 4]) -> Region {
    let start = [picks[0] % shape[0], picks[1] % shape[1]];
    let len = [1 + picks[2] % (shape[0] - start[0]), 1 + picks[3] % (shape[1] - start[1])];
    Region::new(start.as_slice(), len.as_slice())
}

proptest! {
    #[test]
    fn parts_equal_slices_of_the_whole(picks in any::<[u64; 4]>(), of in 0usize..9) {
        let name = [
            "v3-none", "v3-big", "v3-zstd", "v3-only-crc32c", "v3-transposed",
            "v3-transposed-raw", "v3-shards", "v3-shards-raw", "v3-shards-start",
        ][of];
        let source = Zarr.open(&fixture(name), None).unwrap();
        let region = region_of([7, 10], picks);
        let all = values(DType::I32, &[7, 10]);
        let expected = ChunkView::new(DType::I32, &all, &[7, 10]).sub(&region).to_vec::<i32>();
        prop_assert_eq!(read(&*source, &region).unwrap(), bytemuck::cast_slice::<i32, u8>(&expected));
        // A target that is a part of something wider.
        let wide = [region.shape[0], region.shape[1] + 2];
        let mut data = vec![-5i32; volume(&wide) as usize];
        let mut out = ChunkMut::of(&mut data, &wide);
        let mut out = out.sub(&Region::whole(&region.shape));
        with_cx(source.cost(&region).scratch, |cx| source.read(&region, out.reborrow(), cx)).unwrap();
        prop_assert_eq!(out.as_view().to_vec::<i32>(), expected);
        prop_assert_eq!(data.iter().filter(|v| **v == -5).count() as u64, 2 * region.shape[0]);
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|e| e.unwrap()) {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_tree(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn damaged_chunks_are_errors_that_name_the_file() {
    let names = [
        "v3-none",
        "v3-zstd",
        "v3-gzip",
        "v3-blosc-lz4",
        "v3-blosc-zstd",
        "v3-blosc-zlib",
        "v3-blosclz",
        "v3-crc32c",
        "v3-only-crc32c",
        "v3-shards",
        "v3-shards-raw",
        "v3-shards-start",
    ];
    for name in names {
        let dir = quick_dir();
        copy_tree(&fixture(name), dir.path());
        let path = dir.path().join("c/0/0");
        let whole = fs::read(&path).unwrap();
        let source = Zarr.open(dir.path(), None).unwrap();
        let region = Region::new([0, 0].as_slice(), [4, 6].as_slice());
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let error = read(&*source, &region).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{name} cut to {len}: {error}");
            assert!(error.to_string().contains("c/0/0"), "{error}");
        }
        for (at, xor) in (0..whole.len()).flat_map(|at| [1u8, 0x80, 0xff].map(|x| (at, x))) {
            let mut bytes = whole.clone();
            bytes[at] ^= xor;
            fs::write(&path, &bytes).unwrap();
            // Some changes are only other values: what counts is that nothing panics.
            if let Err(error) = read(&*source, &region) {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{name} at {at}: {error}");
            }
        }
        fs::write(&path, vec![7; 1 << 20]).unwrap();
        assert_eq!(read(&*source, &region).unwrap_err().kind(), ErrorKind::Corrupt, "{name}");
    }
}

#[test]
fn damaged_metadata_never_panics() {
    for name in ["v3-shards-start", "v2-fortran"] {
        let dir = quick_dir();
        copy_tree(&fixture(name), dir.path());
        let document = if name.starts_with("v3") { "zarr.json" } else { ".zarray" };
        let path = dir.path().join(document);
        let text = fs::read(&path).unwrap();
        let changes = [b'0', b'9', b'-', b'"', b'{', b']', b' ', 0xff];
        for (at, byte) in (0..text.len()).flat_map(|at| changes.map(|b| (at, b))) {
            let mut bytes = text.clone();
            bytes[at] = byte;
            fs::write(&path, &bytes).unwrap();
            match Zarr.open(dir.path(), None) {
                Ok(source) if source.meta().bytes().unwrap() < 1 << 20 => {
                    let whole = Region::whole(&source.meta().shape());
                    if source.cost(&whole).scratch < 1 << 24 {
                        let _ = read_all(&*source);
                    }
                }
                Ok(_) => {}
                Err(error) => assert!(error.place().is_some(), "{error}"),
            }
        }
    }
}

#[test]
fn the_suite_of_all_formats_passes() {
    let dir = quick_dir();
    let exact = conformance::Deviations::default();
    for (i, codec) in ["none", "zstd", "blosc", "gzip:1"].into_iter().enumerate() {
        for (j, &dtype) in DType::ALL.iter().enumerate() {
            let (shape, chunk): (&[u64], &[u64]) = match (i + j) % 4 {
                0 => (&[9, 7, 5], &[4, 3, 5]),
                1 => (&[], &[]),
                2 => (&[0, 4], &[1, 2]),
                _ => (&[23], &[5]),
            };
            let path = dir.path().join(format!("{i}-{dtype}.zarr"));
            let options = WriteOptions { codec: Some(codec.into()), ..Default::default() };
            let array = conformance::sample(dtype, shape, chunk);
            conformance::format(&Zarr, &path, &array, &options, exact);
        }
    }
    for name in ["v3-zstd", "v3-blosc-lz4", "v3-shards-start", "v2-fortran", "group"] {
        let path = dir.path().join(format!("damaged-{name}"));
        copy_tree(&fixture(name), &path);
        conformance::damaged(&Zarr, &path, 300);
    }
}

#[test]
fn a_chunk_that_is_written_in_place_changes_the_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.zarr");
    copy_tree(&fixture("v3-zstd"), &path);
    let source = Zarr.open(&path, None).unwrap();
    let before = source.fingerprint().unwrap();
    assert_eq!(source.fingerprint().unwrap(), before);
    let chunk = path.join("c/0/0");
    let bytes = std::fs::read(&chunk).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(&chunk, bytes).unwrap();
    assert_ne!(source.fingerprint().unwrap(), before);
}
