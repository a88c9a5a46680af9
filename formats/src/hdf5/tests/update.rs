//! Data sets put beside others: what was in the file stays, or nothing is written.

use super::{written::write, *};
use crate::grid::Grid;
use std::{collections::BTreeMap, fs};

/// What a file holds: all there is to know of each data set, and its elements.
fn all(path: &Path) -> BTreeMap<String, (Meta, Vec<u8>)> {
    let items = Hdf5.list(path).unwrap().into_iter();
    items.map(|item| (item.name.clone(), read_all(path, &item.name).unwrap())).collect()
}

fn small(axes: [&str; 2]) -> Meta {
    let mut meta = Meta::new(DType::I16, Grid::regular(&[5, 7], &[2, 3]));
    meta.axes = axes.map(str::to_owned).to_vec();
    meta
}

#[test]
fn a_data_set_is_added_to_files_of_other_programs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    for name in [
        "layouts.h5",
        "dtypes.h5",
        "filters.h5",
        "indexes-earliest.h5",
        "indexes-latest.h5",
        "attributes.h5",
        "userblock.h5",
        "shared.h5",
        "growable.h5",
        "numbers.h5",
        "edges.h5",
    ] {
        fs::copy(fixture(name), &path).unwrap();
        let refused = unreadable(&path);
        let before = all(&path);
        let bytes = fs::read(&path).unwrap();
        let added = write(&Hdf5::create(&path).dataset("/first"), &small(["", ""]));
        if let Err(error) = added {
            // What `rust-hdf5` cannot take over is left alone.
            assert_eq!(name, "shared.h5", "{error}");
            assert_eq!(fs::read(&path).unwrap(), bytes, "{name}");
            continue;
        }
        for item in ["/new", "/some/where/new"] {
            write(&Hdf5::create(&path).dataset(item), &small(["", ""])).unwrap();
            assert_eq!(read_all(&path, item).unwrap().1, values(DType::I16, &[5, 7]), "{name}");
        }
        // And replaced, by one of another dtype.
        let meta = Meta::new(DType::F64, Grid::whole(&[3]));
        write(&Hdf5::create(&path).dataset("new").overwrite(), &meta).unwrap();
        let mut after = all(&path);
        assert_eq!(after.remove("/new").unwrap().1, values(DType::F64, &[3]), "{name}");
        assert_eq!(after.remove("/first").unwrap().1, values(DType::I16, &[5, 7]), "{name}");
        assert_eq!(after.remove("/some/where/new").unwrap().0.dtype, DType::I16, "{name}");
        assert_eq!(after, before, "{name}");
        assert_eq!(unreadable(&path), refused, "{name}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn arrays_of_a_group_share_the_scales_of_their_axes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    let to = |item: &str| Hdf5::create(&path).dataset(item);
    write(&to("g/a"), &small(["y", "x"])).unwrap();
    // Alone with its scales it is replaced with them.
    write(&to("g/a").overwrite(), &small(["y", "z"])).unwrap();
    write(&to("g/b"), &small(["y", "x"])).unwrap();
    // An axis of another length has no scale, and its name all the same.
    let mut longer = Meta::new(DType::U8, Grid::whole(&[9]));
    longer.axes = vec!["x".to_owned()];
    write(&to("g/c"), &longer).unwrap();
    let axes = |item: &str| read_all(&path, item).unwrap().0.axes;
    assert_eq!((axes("g/a"), axes("g/b")), (small(["y", "z"]).axes, small(["y", "x"]).axes));
    assert_eq!(axes("g/c"), ["x"]);
    assert_eq!(Hdf5.list(&path).unwrap().len(), 3);

    let error = write(&to("g/a").overwrite(), &small(["y", "z"])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert!(error.to_string().contains("/g/a has dimension scales"), "{error}");
    write(&to("g/c").overwrite(), &longer).unwrap();
}

#[test]
fn what_is_in_the_way_is_told_and_nothing_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    let to = |item: &str| Hdf5::create(&path).dataset(item);
    let meta = small(["", ""]);
    write(&to("a/b"), &meta).unwrap();
    let before = fs::read(&path).unwrap();
    for (writer, text) in [
        (to("a/b"), "the data set /a/b exists already\n  ask to overwrite it"),
        (to("a").overwrite(), "/a is no data set, and is not replaced\n"),
        (to("a/b/c").overwrite(), "/a/b is no group: nothing can be put into it\n"),
    ] {
        let error = write(&writer, &meta).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists);
        assert!(error.to_string().contains(text), "{error}");
    }
    // A file that is changed meanwhile is not replaced by what was made of the old one.
    let sink = to("c").create(&meta).unwrap();
    fs::write(&path, "another program's").unwrap();
    let view = words(2 * 6);
    let view = ChunkView::new(DType::I16, &bytemuck::cast_slice(&view)[..12], &[2, 3]);
    for n in 0..meta.grid.len() {
        let index = meta.grid.index_of(n);
        let len = meta.grid.region(&index).shape;
        let part = view.sub(&Region::whole(&len));
        with_cx(sink.scratch(), |cx| sink.write(&index, part, cx)).unwrap();
    }
    sink.seal().unwrap();
    assert_eq!(sink.publish().unwrap_err().kind(), ErrorKind::Changed);
    drop(sink);
    let error = write(&to("c").overwrite(), &meta).unwrap_err();
    assert!(error.to_string().contains("without `::ITEM` the file is replaced"), "{error}");
    fs::write(&path, &before).unwrap();
    assert_eq!(read_all(&path, "a/b").unwrap().1, values(DType::I16, &[5, 7]));
    // Without a name it is the file that is replaced.
    write(&Hdf5::create(&path).overwrite(), &meta).unwrap();
    assert_eq!(all(&path).into_keys().collect::<Vec<_>>(), ["/data"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
