//! Outputs: what is written is read again, and wrong options are refused.

use super::*;
use crate::{
    grid::{AxisGrid, Grid},
    view::ChunkView,
};

/// Writes an array of `values` through the sink, in reverse order and some chunks twice.
pub(super) fn write(writer: &dyn Writer, meta: &Meta) -> Result<()> {
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
                // Scales that only name axes are no arrays.
                let source = Hdf5.open(&path, None).unwrap();
                assert!(source.spec().location.ends_with("::/a/b/c"));
                assert_eq!(Hdf5.list(&path).unwrap().len(), 1);
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
    assert!(!output::flatten(&ragged, 0, &mut Vec::new(), &mut Vec::new()));
    assert!(!output::flatten(&json!([1, [2]]), 0, &mut Vec::new(), &mut Vec::new()));
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
fn an_output_may_be_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    let options = WriteOptions { item: Some("/group/x".into()), ..WriteOptions::default() };
    let meta = Meta::new(DType::I16, Grid::regular(&[5, 7], &[2, 3]));
    write(&*Hdf5.writer(&path, &options).unwrap(), &meta).unwrap();
    assert_eq!(read_all(&path, "/group/x").unwrap().1, values(DType::I16, &[5, 7]));
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

#[test]
fn axes_have_scales_and_those_may_have_coordinates() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    let meta = Meta::new(DType::I16, Grid::regular(&[5, 7, 5], &[2, 3, 5]));
    let wave = [1.0, 1.5, 2.0, 2.5, 3.5, 5.0, 8.0];
    let writer = Hdf5::create(&path).dataset("raw/cube").axes(["y", "wave", "y"]);
    write(&writer.coordinates("wave", wave), &meta).unwrap();
    let (found, bytes) = read_all(&path, "raw/cube").unwrap();
    assert_eq!(found.axes, ["y", "wave", "y"]);
    assert_eq!(bytes, values(DType::I16, &[5, 7, 5]));
    // A dimension without values is no array, one with values is; the array is still the one meant.
    let names: Vec<_> = Hdf5.list(&path).unwrap().into_iter().map(|item| item.name).collect();
    assert_eq!(names, ["/raw/cube", "/raw/wave"]);
    assert!(Hdf5.open(&path, None).unwrap().spec().location.ends_with("::/raw/cube"));
    let (_, bytes) = read_all(&path, "raw/wave").unwrap();
    assert_eq!(bytes, bytemuck::cast_slice::<f64, u8>(&wave));
}

#[test]
fn a_scale_without_values_takes_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    let long = 4 << 20;
    let meta = Meta::new(DType::U8, Grid::whole(&[long]));
    let sink = Hdf5::create(&path).deflate(4).axes(["time"]).create(&meta).unwrap();
    let zeros = vec![0; long as usize];
    let view = ChunkView::new(DType::U8, &zeros, &[long]);
    with_cx(sink.scratch(), |cx| sink.write(&[0], view, cx)).unwrap();
    sink.seal().unwrap();
    sink.publish().unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < 256 << 10);
    assert_eq!(Hdf5.open(&path, None).unwrap().meta().axes, ["time"]);
}

#[test]
fn axes_and_coordinates_that_do_not_fit_are_refused() {
    let meta = Meta::new(DType::U8, Grid::whole(&[2, 3]));
    let refused = |writer: Hdf5Writer| {
        let error = writer.create(&meta).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        error.to_string()
    };
    let writer = || Hdf5::create("never.h5").axes(["y", "x"]);
    assert!(refused(writer().axes(["y"])).contains("1 names of axes for an array of 2"));
    assert!(refused(writer().coordinates("z", [0.0])).contains("coordinates of an axis \"z\""));
    assert!(refused(writer().coordinates("x", [0.0])).contains("which has 3 positions"));
    let error = refused(writer().dataset("x").coordinates("x", [0.0; 3]));
    assert!(error.contains("cannot be a data set"), "{error}");
}

#[test]
fn the_fill_value_is_stored_and_ends_are_filled_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    let fill = |item: &str| {
        let found = file::open(&path, Some(item), &Nesting::default()).unwrap();
        found.index.unwrap().fill.to_vec()
    };
    let meta = Meta::new(DType::I16, Grid::regular(&[3], &[2]));
    let writer = || Hdf5::create(&path).overwrite().uncompressed();
    write(&writer(), &meta).unwrap();
    assert_eq!(fill("data"), 0i16.to_ne_bytes());
    write(&writer().attribute("_FillValue", -99), &meta).unwrap();
    assert_eq!(fill("data"), (-99i16).to_ne_bytes());
    assert_eq!(read_all(&path, "data").unwrap().0.attributes["_FillValue"], -99);
    write(&writer().fill_value(0x1234i16).attribute("_FillValue", 1.5), &meta).unwrap();
    assert_eq!(fill("data"), 0x1234i16.to_ne_bytes());
    assert_eq!(read_all(&path, "data").unwrap().0.attributes["_FillValue"], 1.5);
    // The second chunk: the last element, and one beyond the array.
    let last = &values(DType::I16, &[3])[4..];
    let chunk = [last, &0x1234i16.to_ne_bytes()].concat();
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.windows(4).any(|window| window == chunk));
}
