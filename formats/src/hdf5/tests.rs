//! The adapter against files made by h5py, and against itself: see `data/hdf5/make.py` for
//! what each fixture holds.

use super::*;
use crate::{
    dtype::{DType, Scalar},
    grid::{AxisGrid, Grid},
    region::{Coordinates, Dims, Region, volume},
    source::{Cancel, FileCache, Meta, ReadCx},
    view::{ChunkMut, ChunkView},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/hdf5").join(name)
}

/// What `make.py` gives the element number `i`.
fn value(dtype: DType, i: u64) -> Scalar {
    let number = (i * 7 + 3) % 251;
    match dtype {
        DType::Bool => Scalar::Bool(number % 2 == 1),
        _ if dtype.is_signed() => Scalar::I64(number as i64 - 125).cast(dtype),
        _ => Scalar::U64(number).cast(dtype),
    }
}

/// The elements of an array of `shape`, as bytes.
fn values(dtype: DType, shape: &[u64]) -> Vec<u8> {
    let bytes = |i| {
        let (bytes, len) = value(dtype, i).bytes();
        bytes.into_iter().take(len)
    };
    (0..volume(shape)).flat_map(bytes).collect()
}

/// Words enough for `bytes` bytes: aligned for every dtype.
fn words(bytes: u64) -> Vec<u64> {
    vec![0xa5a5_a5a5_a5a5_a5a5; bytes.div_ceil(8) as usize]
}

fn with_cx<T>(scratch: u64, call: impl FnOnce(&mut ReadCx<'_>) -> T) -> T {
    let (files, cancel) = (FileCache::default(), Cancel::default());
    let mut memory = words(scratch);
    let scratch = &mut bytemuck::cast_slice_mut(&mut memory)[..scratch as usize];
    call(&mut ReadCx { scratch, limit: u64::MAX, files: &files, cancel: &cancel })
}

fn read(source: &dyn ChunkSource, region: &Region) -> Result<Vec<u8>> {
    let dtype = source.meta().dtype;
    let bytes = region.volume() * dtype.size() as u64;
    let mut out = words(bytes);
    let out: &mut [u8] = &mut bytemuck::cast_slice_mut(&mut out)[..bytes as usize];
    with_cx(source.cost(region).scratch, |cx| {
        source.read(region, ChunkMut::new(dtype, out, &region.shape), cx)
    })?;
    Ok(out.to_vec())
}

fn read_all(path: &Path, item: &str) -> Result<(Meta, Vec<u8>)> {
    let source = Hdf5.open(path, Some(item))?;
    let bytes = read(&*source, &Region::whole(&source.meta().shape()))?;
    Ok((source.meta().clone(), bytes))
}

fn kind(path: &Path, item: Option<&str>) -> (ErrorKind, String) {
    let error = Hdf5.open(path, item).unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn every_kind_of_chunk_index() {
    for file in ["indexes-earliest.h5", "indexes-latest.h5"] {
        let items = Hdf5.list(&fixture(file)).unwrap();
        assert_eq!(items.len(), if file.contains("latest") { 14 } else { 12 }, "{file}");
        for item in items {
            let (meta, bytes) = read_all(&fixture(file), &item.name).unwrap();
            assert_eq!(meta, item.meta);
            assert_eq!(bytes, values(meta.dtype, &meta.shape()), "{file}::{}", item.name);
            let chunk = meta.grid.max_chunk();
            match item.name.trim_start_matches('/').split('_').next().unwrap() {
                "single" | "wide" => assert_eq!(chunk[..], [7, 11]),
                _ if meta.grid.rank() == 1 => assert_eq!(chunk[..], [1]),
                _ => assert_eq!(chunk[..], [3, 4], "{}", item.name),
            }
        }
    }
}

#[test]
fn every_dtype_and_byte_order() {
    let items = Hdf5.list(&fixture("dtypes.h5")).unwrap();
    assert_eq!(items.len(), 2 * 11 + 2 * 8);
    let mut seen = std::collections::BTreeSet::new();
    for item in items {
        let (meta, bytes) = read_all(&fixture("dtypes.h5"), &item.name).unwrap();
        assert_eq!(bytes, values(meta.dtype, &[5, 6]), "{}", item.name);
        seen.insert(meta.dtype);
    }
    assert_eq!(seen.len(), DType::ALL.len());
}

#[test]
fn layouts_filters_and_missing_chunks() {
    let file = fixture("layouts.h5");
    for item in ["compact", "fletcher", "shuffle", "deflate", "everything", "group/again"] {
        let (meta, bytes) = read_all(&file, item).unwrap();
        assert_eq!((meta.dtype, bytes), (DType::U16, values(DType::U16, &[5, 6])), "{item}");
    }
    assert_eq!(read_all(&file, "scalar").unwrap().1, 2.5f32.to_ne_bytes());
    let (meta, bytes) = read_all(&file, "empty").unwrap();
    assert_eq!((meta.shape()[..].to_vec(), bytes.len()), (vec![0, 3], 0));
    for item in ["unwritten", "unwritten_chunks"] {
        assert_eq!(read_all(&file, item).unwrap().1, (-9i32).to_ne_bytes().repeat(20), "{item}");
    }
    let (_, bytes) = read_all(&file, "sparse").unwrap();
    let expected = values(DType::U16, &[6, 8]);
    for at in Coordinates::of(Region::whole(&[6, 8])) {
        let i = 2 * (at[0] * 8 + at[1]) as usize;
        let there = (2..4).contains(&at[0]) && at[1] >= 4;
        let want = if there { &expected[i..i + 2] } else { &[7, 0][..] };
        assert_eq!(&bytes[i..i + 2], want, "{at:?}");
    }
    assert_eq!(read_all(&file, "masked").unwrap().1, values(DType::U16, &[4, 4]));
    assert_eq!(kind(&file, Some("null")).0, ErrorKind::Unsupported);
}

#[test]
fn groups_that_hold_themselves_end() {
    let names: Vec<String> =
        Hdf5.list(&fixture("layouts.h5")).unwrap().into_iter().map(|item| item.name).collect();
    assert_eq!(names.iter().filter(|name| name.ends_with("deflate")).count(), 1);
    assert!(!names.iter().any(|name| name.contains("self")), "{names:?}");
}

#[test]
fn a_user_block_moves_every_address() {
    let file = fixture("userblock.h5");
    for item in ["/a", "b"] {
        assert_eq!(read_all(&file, item).unwrap().1, values(DType::U16, &[5, 6]));
    }
    let head = std::fs::read(&file).unwrap();
    assert!(Hdf5.recognises(&file, &head[..1024]));
    assert!(!Hdf5.recognises(&fixture("make.py"), b"\"\"\"Makes the HDF5"));
}

#[test]
fn the_only_data_set_of_numbers_needs_no_name() {
    let source = Hdf5.open(&fixture("one.h5"), None).unwrap();
    let meta = source.meta();
    assert_eq!(read(&*source, &Region::whole(&[4, 5])).unwrap(), values(DType::F32, &[4, 5]));
    assert!(source.spec().location.ends_with("one.h5::/entry/image"));
    assert_eq!(meta.axes, ["slit", "wave"]);
    let attributes: Value = meta.attributes.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    assert_eq!(
        attributes,
        json!({
            "units": "count", "exposure": 1.5, "frame": 12, "good": true,
            "shape": [[1, 2], [3, 4]], "names": ["x", "y"], "fixed": "fixed", "bad": "NaN",
        })
    );
    let (kind_of, text) = kind(&fixture("userblock.h5"), None);
    assert_eq!(kind_of, ErrorKind::Invalid);
    assert!(text.contains("choose one of ::/a, ::/b"), "{text}");
    let (kind_of, text) = kind(&fixture("userblock.h5"), Some("c"));
    assert_eq!(kind_of, ErrorKind::NotFound);
    assert!(text.contains("no data set /c") && text.contains("::/a"), "{text}");
    assert_eq!(kind(&fixture("no.h5"), None).0, ErrorKind::NotFound);
    assert_eq!(kind(&fixture("make.py"), None).0, ErrorKind::Corrupt);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for (item, word) in [
        ("complex", "complex"),
        ("half", "float16"),
        ("text", "strings"),
        ("fixed_text", "strings"),
        ("compound", "compound"),
        ("enum", "enumeration"),
        ("reference", "references"),
        ("lzf", "lzf"),
    ] {
        let (kind, text) = kind(&fixture("refused.h5"), Some(item));
        assert_eq!(kind, ErrorKind::Unsupported, "{item}: {text}");
        assert!(text.contains(word) && text.contains("refused.h5"), "{item}: {text}");
    }
    // The plain one beside a virtual data set can still be read by its name.
    assert_eq!(read_all(&fixture("virtual.h5"), "plain").unwrap().1, values(DType::U16, &[3]));
}

/// What the C library reads where it is there, and what is refused in favour of it elsewhere.
#[test]
fn the_rest_is_left_to_the_c_library() {
    for (file, item, dtype, shape, word) in [
        ("refused.h5", "scaleoffset", DType::U16, &[4, 4][..], "scaleoffset"),
        ("refused.h5", "twelve_bits", DType::U16, &[3], "layout of their own"),
        ("virtual.h5", "virtual", DType::U16, &[2, 6], "virtual"),
    ] {
        if cfg!(feature = "hdf5") {
            let (meta, bytes) = read_all(&fixture(file), item).unwrap();
            assert_eq!((meta.dtype, &meta.shape()[..]), (dtype, shape), "{item}");
            let mut expected = values(dtype, shape);
            match item {
                "twelve_bits" => expected.fill(0),
                // The second row was given no source.
                "virtual" => expected[12..].fill(0),
                _ => {}
            }
            assert_eq!(bytes, expected, "{item}");
        } else {
            let (kind, text) = kind(&fixture(file), Some(item));
            assert_eq!(kind, ErrorKind::Unsupported, "{item}: {text}");
            assert!(text.contains(word) && text.contains("feature hdf5"), "{item}: {text}");
        }
    }
}

/// Writes an array of `values` through the sink, in reverse order and some chunks twice.
fn write(writer: &dyn Writer, meta: &Meta) -> Result<()> {
    let mut meta = meta.clone();
    meta.grid = writer.grid(&meta)?;
    let shape = meta.shape();
    let mut memory = words(volume(&shape) * meta.dtype.size() as u64);
    let all = values(meta.dtype, &shape);
    let bytes: &mut [u8] = &mut bytemuck::cast_slice_mut(&mut memory)[..all.len()];
    bytes.copy_from_slice(&all);
    let whole = ChunkView::new(meta.dtype, bytes, &shape);
    let sink = writer.create(&meta)?;
    let count = meta.grid.len();
    for n in (0..count).rev().chain((count > 1).then_some(1)) {
        let index = meta.grid.index_of(n);
        let view = whole.sub(&meta.grid.region(&index));
        with_cx(sink.scratch(), |cx| sink.write(&index, view, cx))?;
    }
    sink.seal()?;
    sink.publish()
}

#[test]
fn what_is_written_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    let shapes: [(&[u64], &[u64]); 6] = [
        (&[], &[]),
        (&[10], &[4]),
        (&[5, 7], &[5, 7]),
        (&[5, 7], &[2, 3]),
        (&[3, 4, 5], &[2, 4, 2]),
        (&[0, 4], &[1, 1]),
    ];
    for dtype in DType::ALL {
        for (shape, chunk) in shapes {
            for level in [None, Some(0), Some(4), Some(9)] {
                let mut meta = Meta::new(dtype, Grid::regular(shape, chunk));
                meta.axes = (0..shape.len()).map(|axis| format!("axis {axis}")).collect();
                let attributes = json!({"a": 1, "b": [1.5, 2], "c": "text", "d": true, "e": ["x", "y"],
                    "f": [[1, 2, 3], [4, 5, 6]], "g": u64::MAX, "h": "x".repeat(70_000)});
                let Value::Object(map) = attributes else { unreachable!() };
                meta.attributes = Arc::new(map.into_iter().collect());
                let writer = Hdf5::create(&path).dataset("/a/b/c").overwrite();
                let writer = match level {
                    Some(level) => writer.deflate(level),
                    None => writer.uncompressed(),
                };
                write(&writer, &meta).unwrap();
                let (found, bytes) = read_all(&path, "a/b/c").unwrap();
                assert_eq!((found.dtype, found.shape()), (dtype, meta.shape()));
                if !shape.contains(&0) {
                    assert_eq!(found.grid, meta.grid);
                }
                assert_eq!(found.axes, meta.axes);
                let mut expected = (*meta.attributes).clone();
                expected.insert("b".into(), json!([1.5, 2.0]));
                assert_eq!(*found.attributes, expected);
                assert_eq!(bytes, values(dtype, shape), "{dtype} {shape:?} {level:?}");
            }
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn an_irregular_grid_becomes_regular_and_options_are_checked() {
    let path = Path::new("x.h5");
    let grid = Grid::new([AxisGrid::from_sizes([2, 5, 1]), AxisGrid::whole(4)]);
    let meta = Meta::new(DType::F32, grid);
    let made = |options: WriteOptions| Hdf5.writer(path, &options);
    let writer = made(WriteOptions::default()).unwrap();
    assert_eq!(writer.grid(&meta).unwrap(), Grid::regular(&[8, 4], &[5, 4]));
    let options = WriteOptions { chunks: Some(vec![3, 0]), ..WriteOptions::default() };
    assert_eq!(made(options).unwrap().grid(&meta).unwrap(), Grid::regular(&[8, 4], &[3, 4]));
    let options = WriteOptions { chunks: Some(vec![3]), ..WriteOptions::default() };
    assert_eq!(made(options).unwrap().grid(&meta).unwrap_err().kind(), ErrorKind::Invalid);
    for (codec, good) in [("deflate:4", true), ("gzip:9", true), ("gzip", true), ("none", true)]
        .into_iter()
        .chain([("gzip:10", false), ("zstd:3", false), ("deflate:x", false), ("", false)])
    {
        let options = WriteOptions { codec: Some(codec.into()), ..WriteOptions::default() };
        assert_eq!(made(options).is_ok(), good, "{codec:?}");
    }
    let ragged = json!([[1, 2], [3]]);
    assert!(!sink::flatten(&ragged, 0, &mut Vec::new(), &mut Vec::new()));
    assert!(!sink::flatten(&json!([1, [2]]), 0, &mut Vec::new(), &mut Vec::new()));
    let huge = Meta::new(DType::F64, Grid::whole(&[1 << 30]));
    assert_eq!(writer.grid(&huge).unwrap_err().kind(), ErrorKind::Invalid);
    for name in ["", "/", "a/./b"] {
        let error =
            Hdf5::create(path).dataset(name).create(&Meta::new(DType::U8, Grid::whole(&[1])));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Invalid, "{name:?}");
    }
}

#[test]
fn an_output_that_was_not_published_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    let meta = Meta::new(DType::U8, Grid::whole(&[4]));
    let sink = Hdf5::create(&path).create(&meta).unwrap();
    assert_eq!(sink.publish().unwrap_err().kind(), ErrorKind::Invalid);
    drop(sink);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    write(&Hdf5::create(&path), &meta).unwrap();
    let again = Hdf5::create(&path).create(&meta);
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Exists);
}

#[test]
fn chunks_are_written_from_many_threads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    let shape = [64u64, 100];
    for writer in [Hdf5::create(&path), Hdf5::create(&path).uncompressed().overwrite()] {
        let meta = Meta::new(DType::F64, Grid::regular(&shape, &[1, 30]));
        let all = values(DType::F64, &shape);
        let numbers: Vec<f64> =
            all.as_chunks().0.iter().map(|bytes| f64::from_ne_bytes(*bytes)).collect();
        let sink = writer.create(&meta).unwrap();
        let view = ChunkView::of(&numbers, &shape);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (sink, view, meta) = (&sink, &view, &meta);
                scope.spawn(move || {
                    for n in (thread..meta.grid.len()).step_by(4) {
                        let index = meta.grid.index_of(n);
                        let part = view.sub(&meta.grid.region(&index));
                        with_cx(sink.scratch(), |cx| sink.write(&index, part, cx)).unwrap();
                    }
                });
            }
        });
        sink.seal().unwrap();
        sink.publish().unwrap();
        drop(sink);
        assert_eq!(read_all(&path, "data").unwrap().1, all);
    }
}

/// A box of an array of `shape`, from any numbers.
fn boxed(shape: &[u64], numbers: &[(u64, u64)]) -> Region {
    let start: Dims = shape.iter().zip(numbers).map(|(len, n)| n.0 % len).collect();
    let lens: Dims =
        start.iter().zip(shape).zip(numbers).map(|((s, len), n)| 1 + n.1 % (len - s)).collect();
    Region::new(start, lens)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_part_equals_the_slice(
        which in 0usize..9, numbers in prop::collection::vec((0u64..99, 0u64..99), 2), gap in 0u64..3,
    ) {
        let (file, item) = [
            ("indexes-latest.h5", "fixed"),
            ("indexes-latest.h5", "fixed_deflate"),
            ("indexes-latest.h5", "implicit"),
            ("indexes-earliest.h5", "wide_chunks"),
            ("dtypes.h5", "big/f8"),
            ("dtypes.h5", "big_contiguous/i4"),
            ("dtypes.h5", "deflate/bool"),
            ("layouts.h5", "compact"),
            ("layouts.h5", "everything"),
        ][which];
        let source = Hdf5.open(&fixture(file), Some(item)).unwrap();
        let (dtype, shape) = (source.meta().dtype, source.meta().shape());
        let region = boxed(&shape, &numbers);
        // Into a target with gaps between its rows.
        let padded = [region.shape[0], region.shape[1] + gap];
        let bytes = volume(&padded) * dtype.size() as u64;
        let mut memory = words(bytes);
        let memory: &mut [u8] = &mut bytemuck::cast_slice_mut(&mut memory)[..bytes as usize];
        let mut out = ChunkMut::new(dtype, memory, &padded);
        let inside = Region::whole(&region.shape);
        with_cx(source.cost(&region).scratch, |cx| {
            source.read(&region, out.sub(&inside), cx)
        }).unwrap();
        for at in Coordinates::of(inside) {
            let i = (region.start[0] + at[0]) * shape[1] + region.start[1] + at[1];
            prop_assert_eq!(out.as_view().get(&at), value(dtype, i));
        }
    }

    #[test]
    fn damaged_files_are_errors_or_other_values(
        which in 0usize..6, flips in prop::collection::vec((any::<u64>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<u64>()),
    ) {
        let file = [
            "indexes-earliest.h5", "indexes-latest.h5", "dtypes.h5", "layouts.h5", "one.h5",
            "userblock.h5",
        ][which];
        let mut bytes = std::fs::read(fixture(file)).unwrap();
        for (at, byte) in flips {
            // Most of the metadata lies at the start.
            let len = bytes.len() as u64;
            let at = if at % 2 == 0 { at % len } else { at % len.min(4096) };
            bytes[at as usize] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut as usize % bytes.len());
        }
        damaged(&bytes);
    }
}

/// Opens and reads whatever there is in a file of these bytes; nothing may panic.
fn damaged(bytes: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    std::fs::write(&path, bytes).unwrap();
    let _ = Hdf5.open(&path, None);
    for item in Hdf5.list(&path).unwrap_or_default() {
        let Ok(source) = Hdf5.open(&path, Some(&item.name)) else { continue };
        let shape = source.meta().shape();
        // A damaged shape may be huge; its first corner will do.
        let corner: Dims = shape.iter().map(|&len| len.min(12)).collect();
        let region = Region::whole(&corner);
        if source.cost(&region).scratch < 64 << 20 {
            let _ = read(&*source, &region);
        }
    }
}
