//! What is written is read back, and is what other libraries take it for.

use super::*;
use crate::{error::Result, source::ChunkSink};

/// Writes all chunks of `data`, in the writer's own grid, and publishes.
fn write(writer: &ZarrWriter, meta: &Meta, data: &[u8]) -> Result<()> {
    let mut meta = meta.clone();
    meta.grid = writer.grid(&meta)?;
    let sink = writer.create(&meta)?;
    write_chunks(&*sink, data)?;
    sink.seal()?;
    sink.publish()
}

fn write_chunks(sink: &dyn ChunkSink, data: &[u8]) -> Result<()> {
    let meta = sink.meta();
    let all = ChunkView::new(meta.dtype, data, &meta.shape());
    with_cx(sink.scratch(), |cx| {
        for chunk in (0..meta.grid.len()).map(|n| meta.grid.index_of(n)) {
            sink.write(&chunk, all.sub(&meta.grid.region(&chunk)), cx)?;
        }
        Ok(())
    })
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

/// All arrays of the hierarchy at `path`, by name.
fn names(path: &Path) -> Vec<String> {
    Zarr.list(path).unwrap().into_iter().map(|item| item.name).collect()
}

#[test]
fn shards_are_written_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.zarr");
    let all = Zarr::create(&path).overwrite();
    let codecs = [all.clone(), all.clone().blosc(), all.clone().gzip(1), all.uncompressed()];
    for (shape, chunk, shard, stored) in [
        (vec![7, 10], vec![2, 3], vec![4, 6], vec![4, 6]),
        (vec![7, 10], vec![2, 3], vec![0, 0], vec![8, 12]),
        (vec![7, 10], vec![0, 4], vec![0, 400], vec![7, 12]),
        (vec![5], vec![2], vec![2], vec![2]),
        (vec![], vec![], vec![], vec![]),
        (vec![0, 3], vec![2, 2], vec![4, 2], vec![2, 2]),
    ] {
        for (n, writer) in codecs.iter().enumerate() {
            let dtype = DType::ALL[n * 3 + 1];
            let meta = Meta::new(dtype, Grid::whole(&shape));
            let data = values(dtype, &shape);
            let writer = writer.clone().chunks(&chunk).shards(&shard).fill_value(9u8);
            write(&writer, &meta, &data).unwrap();
            let source = Zarr.open(&path, None).unwrap();
            assert_eq!(read_all(&*source).unwrap(), data, "{writer:?} {shape:?}");
            let document = fs::read_to_string(path.join("zarr.json")).unwrap();
            let document: serde_json::Value = serde_json::from_str(&document).unwrap();
            assert_eq!(
                document["chunk_grid"]["configuration"]["chunk_shape"],
                serde_json::json!(stored)
            );
            assert_eq!(document["fill_value"].as_f64(), Some(9.0));
        }
    }
}

#[test]
fn shards_that_make_no_sense_are_refused() {
    let meta = Meta::new(DType::U8, Grid::whole(&[8, 8]));
    let all = Zarr::create("/nowhere/x.zarr");
    for writer in [
        all.clone().shards([4, 4]),
        all.clone().chunks([3, 4]).shards([4, 4]),
        all.clone().chunks([4, 4]).shards([4]),
        all.clone().chunks([4, 4]).shards([4, 4]).v2(),
        all.clone().rectilinear().v2(),
        all.rectilinear().chunks([4, 4]),
    ] {
        assert_eq!(writer.grid(&meta).unwrap_err().kind(), ErrorKind::Invalid, "{writer:?}");
    }
}

#[test]
fn fill_values_are_what_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.zarr");
    let meta = Meta::new(DType::F32, Grid::regular(&[4], &[2]));
    for version in [2, 3] {
        for fill in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1.1, f32::MAX] {
            let writer = Zarr::create(&path).overwrite().fill_value(fill);
            let writer = if version == 2 { writer.v2() } else { writer };
            write(&writer, &meta, &values(DType::F32, &[4])).unwrap();
            fs::remove_file(path.join(if version == 2 { "1" } else { "c/1" })).unwrap();
            let bytes = read_all(&*Zarr.open(&path, None).unwrap()).unwrap();
            assert_eq!(bytes[8..12], fill.to_ne_bytes(), "{fill} in version {version}");
        }
    }
}

/// `zarrs` is the other library that knows rectilinear grids.
#[test]
fn irregular_chunks_are_kept_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.zarr");
    let axes = [crate::AxisGrid::from_sizes([3, 5, 2, 2]), crate::AxisGrid::regular(7, 4)];
    let meta = Meta::new(DType::I32, Grid::new(axes));
    let data = values(DType::I32, &[12, 7]);
    let writer = Zarr::create(&path).rectilinear().overwrite();
    for writer in [writer.clone(), writer.uncompressed()] {
        write(&writer, &meta, &data).unwrap();
        let source = Zarr.open(&path, None).unwrap();
        assert_eq!(source.meta().grid, meta.grid);
        conformance::source(&*source, &ChunkView::new(DType::I32, &data, &[12, 7]));
    }
    let store = zarrs::storage::store::MemoryStore::new();
    let load = |key: &str| {
        let bytes = fs::read(path.join(key)).unwrap();
        let key = zarrs::storage::StoreKey::new(key).unwrap();
        zarrs::storage::WritableStorageTraits::set(&store, &key, bytes.into()).unwrap();
    };
    load("zarr.json");
    (0..8).for_each(|n| load(&format!("c/{}/{}", n / 2, n % 2)));
    let array = zarrs::array::Array::open(Arc::new(store), "/").unwrap();
    let theirs: Vec<i32> = array.retrieve_array_subset(&array.subset_all()).unwrap();
    assert_eq!(theirs, bytemuck::pod_collect_to_vec::<u8, i32>(&data));
}

#[test]
fn arrays_are_put_into_groups() {
    for version in [2, 3] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.zarr");
        let meta = Meta::new(DType::I16, Grid::regular(&[7, 10], &[4, 6]));
        let data = values(DType::I16, &[7, 10]);
        let at = |name: &str| {
            let writer = Zarr::create(&path).array(name);
            if version == 2 { writer.v2() } else { writer }
        };
        write(&at("deep/er/a"), &meta, &data).unwrap();
        // A later array has the group's version, and its own groups.
        write(&Zarr::create(&path).array("deep/b"), &meta, &data).unwrap();
        write(&Zarr::create(&path).array("c"), &meta, &data).unwrap();
        assert_eq!(names(&path), ["c", "deep/b", "deep/er/a"]);
        for name in ["c", "deep/b", "deep/er/a"] {
            let source = Zarr.open(&path, Some(name)).unwrap();
            assert_eq!(source.storage().format, format!("Zarr {version}"));
            assert_eq!(read_all(&*source).unwrap(), data);
        }
        let kind = |writer: ZarrWriter| write(&writer, &meta, &data).unwrap_err().kind();
        assert_eq!(kind(at("c")), ErrorKind::Exists);
        assert_eq!(kind(at("deep").overwrite()), ErrorKind::Exists, "a group is not replaced");
        assert_eq!(kind(at("c/d")), ErrorKind::Exists, "an array holds no array");
        assert_eq!(kind(at("../d")), ErrorKind::Invalid);
        assert_eq!(kind(Zarr::create(&path).overwrite()), ErrorKind::Exists);
        if version == 3 {
            assert_eq!(kind(at("d").v2()), ErrorKind::Invalid, "a group has one version");
        }
        write(&at("c").overwrite(), &meta, &values(DType::I16, &[7, 10])).unwrap();
        let staged = at("deep/new/d").create(&meta).unwrap();
        write_chunks(&*staged, &data).unwrap();
        staged.seal().unwrap();
        assert_eq!(
            names(&path),
            ["c", "deep/b", "deep/er/a"],
            "nothing is seen before it is published"
        );
        drop(staged);
        assert_eq!(names(&path), ["c", "deep/b", "deep/er/a"]);
        let hidden = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name());
        assert_eq!(hidden.filter(|n| n.to_str().unwrap().starts_with(".c")).count(), 0);
        assert!(!path.join("deep/new").exists());
    }
}

#[test]
fn consolidated_metadata_are_told_of_new_arrays() {
    for name in ["group-v2", "group-v3"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.zarr");
        copy_tree(&fixture(name), &path);
        let meta = Meta::new(DType::I16, Grid::regular(&[7, 10], &[4, 6]));
        let data = values(DType::I16, &[7, 10]);
        write(&Zarr::create(&path).array("new/er/x"), &meta, &data).unwrap();
        assert_eq!(names(&path), ["a", "deep/b", "new/er/x"], "{name}");
        let document = if name == "group-v2" { ".zmetadata" } else { "zarr.json" };
        let text = fs::read_to_string(path.join(document)).unwrap();
        assert!(text.contains(if name == "group-v2" { "new/er/.zgroup" } else { "\"new/er\"" }));
    }
}

#[test]
fn an_array_of_a_group_that_a_killed_store_put_aside_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.zarr");
    let meta = Meta::new(DType::I16, Grid::regular(&[7, 10], &[4, 6]));
    let data = values(DType::I16, &[7, 10]);
    write(&Zarr::create(&path).array("images/raw"), &meta, &data).unwrap();
    let raw = path.join("images/raw");
    // What is left of a store that was killed between its two renames.
    let put_aside = || fs::rename(&raw, path.join("images/.raw.old")).unwrap();
    let read = |item| Zarr.open(&path, item).and_then(|source| read_all(&*source));

    for item in [Some("images/raw"), Some("images"), None] {
        put_aside();
        assert_eq!(read(item).unwrap(), data, "{item:?}");
    }
    put_aside();
    assert_eq!(names(&path), ["images/raw"]);

    // Consolidated metadata tell of it all the while: its chunks must not be taken for missing.
    let document = fs::read_to_string(raw.join("zarr.json")).unwrap();
    let group = format!(
        r#"{{"zarr_format": 3, "node_type": "group", "consolidated_metadata":
            {{"kind": "inline", "must_understand": false, "metadata": {{"images/raw": {document}}}}}}}"#
    );
    fs::write(path.join("zarr.json"), group).unwrap();
    put_aside();
    assert_eq!(read(None).unwrap(), data);
}
