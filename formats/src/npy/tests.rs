//! Against what NumPy wrote (`data/npy/make.py`), against damage, and round trips.

use super::*;
use crate::{
    conformance,
    dtype::{DType, Scalar},
    region::volume,
    source::{Cancel, FileCache},
};
use proptest::prelude::*;
use std::fs;

const SHAPE: [u64; 3] = [7, 5, 6];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/npy").join(format!("{name}.npy"))
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
    let mut words = vec![u64::MAX; scratch.div_ceil(8) as usize];
    let scratch = &mut bytemuck::cast_slice_mut(&mut words)[..scratch as usize];
    let (files, cancel) = (FileCache::default(), Cancel::default());
    body(&mut ReadCx { scratch, limit: 1 << 30, files: &files, cancel: &cancel })
}

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

fn read_all(name: &str) -> Vec<u8> {
    let source = Npy.open(&fixture(name), None).unwrap();
    read(&*source, &Region::whole(&source.meta().shape())).unwrap()
}

#[test]
fn every_dtype_and_order_is_read() {
    for dtype in DType::ALL {
        assert_eq!(read_all(dtype.name()), values(dtype, &SHAPE), "{dtype}");
    }
    for name in ["big", "fortran", "version-2", "version-3"] {
        assert_eq!(read_all(name), values(DType::I32, &SHAPE), "{name}");
    }
    assert_eq!(read_all("fortran-big"), values(DType::F64, &SHAPE));
    assert_eq!(read_all("scalar"), values(DType::I32, &[]));
    assert_eq!(read_all("vector"), values(DType::I32, &[9]));
    assert!(read_all("empty").is_empty());
}

#[test]
fn other_dtypes_are_refused_by_name() {
    for (name, word) in [("complex", "<c8"), ("half", "<f2"), ("fields", "fields")] {
        let error = Npy.open(&fixture(name), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn recognised_by_its_magic_and_listed_as_one_array() {
    let head = fs::read(fixture("int32")).unwrap();
    assert!(Npy.recognises(Path::new("x"), &head));
    assert!(!Npy.recognises(Path::new("x.npy"), b"SIMPLE"));
    let items = Npy.list(&fixture("int32")).unwrap();
    assert_eq!((items.len(), items[0].name.as_str()), (1, ""));
    assert_eq!(items[0].storage.bytes, Some(head.len() as u64));
    let error = Npy.open(&fixture("int32"), Some("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn files_cut_short_or_changed_are_errors_with_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    let whole = fs::read(fixture("int32")).unwrap();
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let error = Npy.open(&path, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "cut to {len}: {error}");
        assert!(error.to_string().contains("x.npy"));
    }
    fs::write(&path, &whole).unwrap();
    let source = Npy.open(&path, None).unwrap();
    fs::write(&path, &whole[..200]).unwrap();
    let error = read(&*source, &Region::whole(&SHAPE)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
    assert!(error.to_string().contains("x.npy"), "{error}");
}

#[test]
fn large_arrays_are_cut_along_the_slowest_axes() {
    let grid = |shape: &[u64], fortran| {
        virtual_grid(shape, &stored_order(shape.len(), fortran), 4).max_chunk().to_vec()
    };
    assert_eq!(grid(&[1000, 2048, 2048], false), [1, 2048, 2048]);
    assert_eq!(grid(&[2048, 2048, 1000], true), [2048, 2048, 1]);
    assert_eq!(grid(&[3, 100_000_000], false), [1, 4_166_667]);
    assert_eq!(grid(&[10, 10], false), [10, 10]);
    assert_eq!(grid(&[0, 10], false), [0, 10]);
}

proptest! {
    #[test]
    fn parts_equal_slices_of_the_whole(picks in any::<[u64; 6]>(), of in 0usize..3) {
        let source = Npy.open(&fixture(["int32", "big", "fortran"][of]), None).unwrap();
        let mut region = Region::whole(&SHAPE);
        for axis in 0..3 {
            region.start[axis] = picks[axis] % SHAPE[axis];
            region.shape[axis] = 1 + picks[axis + 3] % (SHAPE[axis] - region.start[axis]);
        }
        let all = values(DType::I32, &SHAPE);
        let expected = ChunkView::new(DType::I32, &all, &SHAPE).sub(&region).to_vec::<i32>();
        prop_assert_eq!(read(&*source, &region).unwrap(), bytemuck::cast_slice::<i32, u8>(&expected));
    }

    #[test]
    fn what_is_written_is_read_back(
        shape in proptest::collection::vec(0u64..9, 0..4),
        chunk in proptest::collection::vec(0u64..5, 4),
        of in 0usize..11,
    ) {
        let dtype = DType::ALL[of];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.npy");
        let data = values(dtype, &shape);
        let writer = Npy::create(&path).chunks(&chunk[..shape.len()]);
        let mut meta = Meta::new(dtype, Grid::whole(&shape));
        meta.grid = writer.grid(&meta).unwrap();
        let sink = writer.create(&meta).unwrap();
        let all = ChunkView::new(dtype, &data, &shape);
        for index in (0..meta.grid.len()).rev().map(|n| meta.grid.index_of(n)) {
            with_cx(sink.scratch(), |cx| sink.write(&index, all.sub(&meta.grid.region(&index)), cx))
                .unwrap();
        }
        sink.seal().unwrap();
        sink.publish().unwrap();
        let source = Npy.open(&path, None).unwrap();
        prop_assert_eq!(read(&*source, &Region::whole(&shape)).unwrap(), data);
    }
}

#[test]
fn a_file_that_is_not_whole_is_not_published() {
    let dir = tempfile::tempdir().unwrap();
    let meta = Meta::new(DType::U8, Grid::regular(&[4], &[2]));
    let sink = Npy::create(dir.path().join("x.npy")).create(&meta).unwrap();
    with_cx(sink.scratch(), |cx| sink.write(&[1], ChunkView::of(&[1u8, 2], &[2]), cx)).unwrap();
    let error = sink.seal().unwrap_err().to_string();
    assert!(error.contains("1 of 2 chunks were written") && error.contains("[0]"), "{error}");
    drop(sink);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn options_are_checked() {
    let options = |codec: &str| WriteOptions { codec: Some(codec.into()), ..Default::default() };
    Npy.writer(Path::new("x.npy"), &options("none")).unwrap();
    let error = Npy.writer(Path::new("x.npy"), &options("zstd")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn the_suite_of_all_formats_passes() {
    let dir = tempfile::tempdir().unwrap();
    let exact = conformance::Deviations::default();
    for (i, &dtype) in DType::ALL.iter().enumerate() {
        let (shape, chunk): (&[u64], &[u64]) = match i % 4 {
            0 => (&[9, 7, 5], &[4, 3, 5]),
            1 => (&[], &[]),
            2 => (&[0, 4], &[1, 2]),
            _ => (&[23], &[5]),
        };
        let path = dir.path().join(format!("{dtype}.npy"));
        let array = conformance::sample(dtype, shape, chunk);
        conformance::format(&Npy, &path, &array, &WriteOptions::default(), exact);
    }
    let path = dir.path().join("damaged.npy");
    fs::copy(fixture("fortran-big"), &path).unwrap();
    conformance::damaged(&Npy, &path, 1000);
}
