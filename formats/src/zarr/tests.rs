//! Against what zarr-python wrote (`data/zarr/make.py`), against damage, and round trips.

use super::*;
use crate::{
    conformance,
    dtype::{DType, Scalar},
    grid::Grid,
    region::{Dims, Region, volume},
    source::{Cancel, ChunkSink, FileCache, ReadCx},
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
        "group-one",
    ];
    for name in names {
        let source = Zarr.open(&fixture(name), None).unwrap();
        assert_eq!(source.meta().dtype, DType::I32, "{name}");
        assert_eq!(source.meta().shape()[..], [7, 10], "{name}");
        assert!(read_all(&*source).unwrap() == values(DType::I32, &[7, 10]), "{name}");
        source.fingerprint().unwrap();
    }
    let source = Zarr.open(&fixture("v2-big"), None).unwrap();
    assert_eq!(read_all(&*source).unwrap(), values(DType::F64, &[7, 10]));
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
    for (name, word) in [("v3-complex", "complex64"), ("v2-half", "<f2"), ("v2-filter", "delta")] {
        let error = Zarr.open(&fixture(name), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn groups_list_and_open_their_arrays() {
    let group = fixture("group");
    assert!(Zarr.recognises(&group, &[]));
    assert!(!Zarr.recognises(Path::new(env!("CARGO_MANIFEST_DIR")), &[]));
    let names: Vec<String> = Zarr.list(&group).unwrap().into_iter().map(|i| i.name).collect();
    assert_eq!(names, ["a", "deep/b"]);
    let error = Zarr.open(&group, None).unwrap_err();
    assert!(error.to_string().contains("a, deep/b"), "{error}");
    for item in ["deep/b", "/deep/b/", "deep"] {
        let source = Zarr.open(&group, Some(item)).unwrap();
        assert!(source.spec().location.ends_with("group.zarr::deep/b"));
        assert_eq!(read_all(&*source).unwrap(), values(DType::I32, &[7, 10]));
    }
    assert_eq!(Zarr.open(&group, Some("c")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(Zarr.open(&group, Some("../x")).unwrap_err().kind(), ErrorKind::Invalid);
    let missing = Zarr.open(Path::new("/nowhere.zarr"), None).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
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
        let dir = tempfile::tempdir().unwrap();
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
        let dir = tempfile::tempdir().unwrap();
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

/// Writes all chunks of `data`, in the writer's own grid, and publishes.
fn write(writer: &ZarrWriter, meta: &Meta, data: &[u8]) -> Result<()> {
    let mut meta = meta.clone();
    meta.grid = writer.grid(&meta)?;
    let sink = writer.create(&meta)?;
    let all = ChunkView::new(meta.dtype, data, &meta.shape());
    with_cx(sink.scratch(), |cx| -> Result<()> {
        for chunk in (0..meta.grid.len()).map(|n| meta.grid.index_of(n)) {
            sink.write(&chunk, all.sub(&meta.grid.region(&chunk)), cx)?;
        }
        Ok(())
    })?;
    sink.seal()?;
    sink.publish()
}

fn writers(path: &Path) -> Vec<ZarrWriter> {
    let all = Zarr::create(path).overwrite();
    let v3 = [
        all.clone(),
        all.clone().zstd(-2),
        all.clone().blosc(),
        all.clone().gzip(1),
        all.uncompressed(),
    ];
    v3.iter().cloned().chain(v3.iter().cloned().map(ZarrWriter::v2)).collect()
}

#[test]
fn what_is_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.zarr");
    for writer in writers(&path) {
        for dtype in DType::ALL {
            for (shape, chunk) in [
                (vec![7, 10], vec![4, 6]),
                (vec![5], vec![2]),
                (vec![], vec![]),
                (vec![0, 3], vec![2, 2]),
                (vec![3, 2, 4], vec![0, 1, 100]),
            ] {
                let mut meta = Meta::new(dtype, Grid::whole(&shape));
                if let Some(name) = meta.axes.first_mut() {
                    *name = "first".into();
                }
                let data = values(dtype, &shape);
                let writer = writer.clone().chunks(&chunk).attribute("unit", "m/s");
                write(&writer, &meta, &data).unwrap();
                let source = Zarr.open(&path, None).unwrap();
                assert_eq!(source.meta().axes, meta.axes);
                assert_eq!(source.meta().attributes["unit"], "m/s");
                assert_eq!(source.meta().grid, writer.grid(&meta).unwrap());
                assert_eq!(read_all(&*source).unwrap(), data, "{writer:?} {dtype} {shape:?}");
            }
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no staging is left");
}

#[test]
fn an_array_that_is_not_whole_is_not_published() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.zarr");
    let meta = Meta::new(DType::U8, Grid::regular(&[4], &[2]));
    let sink = Zarr::create(&path).create(&meta).unwrap();
    with_cx(sink.scratch(), |cx| sink.write(&[0], ChunkView::of(&[1u8, 2], &[2]), cx)).unwrap();
    let error = sink.seal().unwrap_err().to_string();
    assert!(error.contains("1 of 2 chunks were written") && error.contains("[1]"), "{error}");
    drop(sink);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn irregular_arrays_are_written_in_their_longest_chunks() {
    let grid = Grid::new([crate::AxisGrid::from_sizes([3, 5, 2]), crate::AxisGrid::whole(4)]);
    let grid = Zarr::create("x.zarr").grid(&Meta::new(DType::U8, grid)).unwrap();
    assert_eq!(grid, Grid::regular(&[10, 4], &[5, 4]));
}

#[test]
fn options_are_checked() {
    let options = |codec: &str| WriteOptions { codec: Some(codec.into()), ..Default::default() };
    for good in ["none", "zstd", "zstd:-1", "zstd:19", "blosc", "gzip", "gzip:9"] {
        Zarr.writer(Path::new("x.zarr"), &options(good)).unwrap();
    }
    for bad in ["", "lzma", "zstd:x", "zstd:22", "gzip:10", "gzip:-1", "blosc:3", "none:1"] {
        let error = Zarr.writer(Path::new("x.zarr"), &options(bad)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{bad}");
    }
    let meta = Meta::new(DType::U8, Grid::whole(&[4]));
    let error = Zarr::create("x.zarr").chunks([2, 2]).grid(&meta).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn threads_write_and_read_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.zarr");
    let shape: Dims = [64, 33].as_slice().into();
    let meta = Meta::new(DType::F32, Grid::regular(&shape, &[4, 8]));
    let data = values(DType::F32, &shape);
    let all = ChunkView::new(DType::F32, &data, &shape);
    let sink = Zarr::create(&path).create(&meta).unwrap();
    let sink: &dyn ChunkSink = &*sink;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (all, meta) = (&all, &meta);
            scope.spawn(move || {
                with_cx(sink.scratch(), |cx| {
                    for chunk in (thread..meta.grid.len()).step_by(4) {
                        let index = meta.grid.index_of(chunk);
                        sink.write(&index, all.sub(&meta.grid.region(&index)), cx).unwrap();
                    }
                });
            });
        }
    });
    sink.seal().unwrap();
    sink.publish().unwrap();
    let source = Zarr.open(&path, None).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(read_all(&*source).unwrap(), data));
        }
    });
}

#[test]
fn the_suite_of_all_formats_passes() {
    let dir = tempfile::tempdir().unwrap();
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
