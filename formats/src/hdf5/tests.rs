//! The adapter against files made by h5py, and against itself: see `data/hdf5/make.py` for
//! what each fixture holds.

// The C library, asked for what the reader here does not know, crashes on some of them.
#[cfg(not(feature = "hdf5"))]
mod damaged;
mod update;
mod written;

use super::*;
use crate::{
    dtype::{DType, Scalar},
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

/// Names of what cannot be read, and why.
fn unreadable(path: &Path) -> Vec<(String, String)> {
    let reason = |entry: Entry| match entry.content {
        Content::Unreadable { reason, .. } => Some((entry.name, reason)),
        _ => None,
    };
    Hdf5.contents(path).unwrap().into_iter().filter_map(reason).collect()
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
fn every_filter_decodes_as_h5py_does() {
    let file = fixture("filters.h5");
    let items = Hdf5.list(&file).unwrap();
    let mut compared = 0;
    for item in items.iter().filter(|item| !item.name.starts_with("/expected")) {
        let (meta, bytes) = read_all(&file, &item.name).unwrap();
        let expected = format!("/expected{}", item.name);
        let expected = match items.iter().any(|item| item.name == expected) {
            true => read_all(&file, &expected).unwrap().1,
            false => values(meta.dtype, &meta.shape()),
        };
        assert!(bytes == expected, "{}: {}", item.name, item.storage.codec);
        compared += 1;
    }
    assert_eq!(compared, 80);
    let (kind, text) = kind(&file, Some("refused/blosc2"));
    assert_eq!(kind, ErrorKind::Unsupported);
    assert!(text.contains("blosc2 (32026)"), "{text}");
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
            "complex": {"r": 1.0, "i": 2.0},
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
        ("reference", "references"),
    ] {
        let (kind, text) = kind(&fixture("refused.h5"), Some(item));
        assert_eq!(kind, ErrorKind::Unsupported, "{item}: {text}");
        assert!(text.contains(word) && text.contains("refused.h5"), "{item}: {text}");
    }
}

/// What the C library reads where it is there, and what is refused in favour of it elsewhere.
#[test]
fn the_rest_is_left_to_the_c_library() {
    let file = fixture("refused.h5");
    let opened = Hdf5.open(&file, Some("other_float"));
    let listed = Hdf5.contents(&file).unwrap();
    let listed = listed.into_iter().find(|entry| entry.name == "/other_float").unwrap().content;
    match listed {
        Content::Array(item) => assert_eq!(item.meta.shape()[..], [3]),
        Content::Unreadable { reason, dtype, shape } => {
            assert!(reason.contains("IEEE") && reason.contains("feature hdf5"), "{reason}");
            assert_eq!((dtype, shape.as_deref()), (None, Some(&[3][..])));
        }
        Content::Other(what) => panic!("{what}"),
    }
    if cfg!(feature = "hdf5") {
        assert_eq!(opened.unwrap().meta().dtype, DType::F32);
    } else {
        let text = opened.unwrap_err().to_string();
        assert!(text.contains("IEEE") && text.contains("feature hdf5"), "{text}");
    }
}

#[test]
fn virtual_data_sets_are_read_where_their_elements_lie() {
    let file = fixture("virtual.h5");
    for item in ["one_by_one", "in_turns", "numbered"] {
        let (meta, bytes) = read_all(&file, item).unwrap();
        assert!(bytes == values(DType::I32, &[6, 5]), "{item} {:?}", meta.shape());
    }
    assert!(read_all(&file, "squeezed").unwrap().1 == values(DType::I32, &[5, 6]));
    let (meta, bytes) = read_all(&file, "endless").unwrap();
    assert_eq!(meta.shape()[..], [2, 5]);
    assert!(bytes == values(DType::I32, &[2, 5]));
    // The second row was given no source; of the first two rows the source is not there.
    let (_, bytes) = read_all(&file, "virtual").unwrap();
    assert!(bytes[..12] == values(DType::U16, &[6]) && bytes[12..] == [0; 12]);
    let (_, bytes) = read_all(&file, "lacking").unwrap();
    assert!(bytes[..40] == (-7i32).to_ne_bytes().repeat(10));
    assert!(bytes[40..] == values(DType::I32, &[4, 5])[40..]);
    assert_eq!(read_all(&file, "plain").unwrap().1, values(DType::U16, &[3]));
    for item in ["circle", "elcric"] {
        let (kind, text) = kind(&file, Some(item));
        assert_eq!(kind, ErrorKind::Corrupt);
        assert!(text.contains("in a circle"), "{text}");
    }
    let unreadable = unreadable(&file);
    let names: Vec<&str> = unreadable.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["/circle", "/elcric"]);
    for entry in Hdf5.contents(&file).unwrap() {
        if let Content::Unreadable { dtype, shape, .. } = entry.content {
            assert!(dtype.is_some() && shape.is_some(), "{}", entry.name);
        }
    }
    let source = Hdf5.open(&file, Some("in_turns")).unwrap();
    assert_eq!(source.storage().codec, "virtual, of 3 data sets");
}

/// A virtual data set of a virtual data set is known by all files that it leads to.
#[test]
fn nested_sources_are_part_of_the_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let files = ["nested.h5", "virtual.h5", "userblock.h5"];
    for name in files {
        std::fs::copy(fixture(name), at(name)).unwrap();
    }
    let (_, bytes) = read_all(&at("nested.h5"), "nested").unwrap();
    assert!(bytes == values(DType::U16, &[6]));
    let opened = || Hdf5.open(&at("nested.h5"), None).unwrap();
    for name in files {
        let source = opened();
        let before = source.fingerprint().unwrap();
        assert_eq!(opened().fingerprint().unwrap(), before);
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(at(name), std::fs::read(at(name)).unwrap()).unwrap();
        assert_ne!(opened().fingerprint().unwrap(), before, "{name}");
        // What is open is known by what it was, and the innermost file is not read as another.
        assert_eq!(source.fingerprint().unwrap(), before);
    }
    let source = opened();
    std::fs::remove_file(at("userblock.h5")).unwrap();
    assert_ne!(opened().fingerprint().unwrap(), source.fingerprint().unwrap());
}

/// Boxes of `pieces.h5` of any place and size are what h5py reads.
#[test]
fn pieces_over_and_apart_from_each_other() {
    let file = fixture("pieces.h5");
    for item in ["over", "apart", "turns", "far", "pairs", "triples", "percent"] {
        let (meta, expected) = read_all(&file, &format!("expected/{item}")).unwrap();
        let source = Hdf5.open(&file, Some(item)).unwrap();
        let expected = ChunkView::new(meta.dtype, &expected, &meta.shape());
        crate::conformance::source(&*source, &expected);
        // The element that only the last piece but one has, and what lies beneath another.
        for at in Coordinates::of(Region::whole(&meta.shape())) {
            let one = Region::new(at.clone(), Dims::from_elem(1, at.len()));
            assert_eq!(
                read(&*source, &one).unwrap(),
                bytemuck::cast_slice::<i32, u8>(&expected.sub(&one).to_vec::<i32>()),
                "{item} {at:?}"
            );
        }
    }
    // A box of a source that is written apart needs no landing.
    let scratch = |item| {
        let source = Hdf5.open(&file, Some(item)).unwrap();
        source.cost(&Region::whole(&source.meta().shape())).scratch
    };
    assert!(scratch("apart") >= 4 * 5 * 4);
    assert_eq!(scratch("turns"), scratch("a").max(scratch("b")));
}

#[test]
fn arrays_that_may_become_longer() {
    let file = fixture("growable.h5");
    for item in Hdf5.list(&file).unwrap() {
        let (meta, bytes) = read_all(&file, &item.name).unwrap();
        let mut expected = values(meta.dtype, &meta.shape());
        if item.name == "/sparse" {
            for (at, element) in
                Coordinates::of(Region::whole(&meta.shape())).zip(expected.chunks_mut(2))
            {
                if !((7..14).contains(&at[0]) && (5..10).contains(&at[1])) {
                    element.fill(0);
                }
            }
        }
        assert!(bytes == expected, "{}", item.name);
    }
}

#[test]
fn links_lead_where_they_should() {
    let file = fixture("links.h5");
    for item in ["soft", "group/relative", "group/hard", "group/inner/data"] {
        assert_eq!(read_all(&file, item).unwrap().1, values(DType::U16, &[3]), "{item}");
    }
    assert_eq!(read_all(&file, "committed").unwrap().1, values(DType::I32, &[3]));
    let away = Hdf5.open(&file, Some("away")).unwrap();
    assert!(away.spec().location.ends_with("one.h5::/entry/image"));
    for (item, word) in
        [("dangling", "no data set /dangling"), ("gone", "No such file"), ("group", "no data set")]
    {
        let (kind, text) = kind(&file, Some(item));
        assert_eq!(kind, ErrorKind::NotFound, "{text}");
        assert!(text.contains(word), "{text}");
    }
    assert!(kind(&file, Some("around")).1.contains("circles"));
    let names: Vec<String> = Hdf5.list(&file).unwrap().into_iter().map(|item| item.name).collect();
    assert_eq!(names, ["/away", "/committed", "/group/hard"]);
    let unreadable = unreadable(&file);
    let names: Vec<&str> = unreadable.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["/gone", "/text"]);
    let (gone, text) = (&unreadable[0].1, &unreadable[1].1);
    assert!(gone.contains("no-such-file.h5: ") && gone.contains("the link /gone"), "{gone}");
    assert!(text.contains("strings"), "{text}");
}

#[test]
fn numbers_of_any_size_become_the_next_dtype() {
    let file = fixture("numbers.h5");
    let items = Hdf5.list(&file).unwrap();
    assert_eq!(items.len(), 2 * 16 + 3);
    for item in items {
        let (meta, bytes) = read_all(&file, &item.name).unwrap();
        assert_eq!(meta, item.meta);
        assert!(bytes == values(meta.dtype, &[5, 6]), "{} {}", item.name, meta.dtype);
        if item.name.contains("deflate") {
            assert_eq!(meta.grid.max_chunk()[..], [4, 4]);
        }
    }
}

#[test]
fn chunks_over_an_edge_may_be_unfiltered() {
    let file = fixture("edges.h5");
    for item in ["fixed", "extensible", "btree2", "single"] {
        assert!(read_all(&file, item).unwrap().1 == values(DType::I16, &[7, 11]), "{item}");
    }
}

#[test]
fn messages_may_be_kept_once_in_the_file() {
    for item in ["a", "b"] {
        let (meta, bytes) = read_all(&fixture("shared.h5"), item).unwrap();
        assert_eq!(meta.grid.max_chunk()[..], [3, 4]);
        assert!(bytes[..66] == values(DType::I16, &[7, 11])[..66]);
        assert!(bytes[66..] == 5i16.to_ne_bytes().repeat(44));
        assert_eq!(meta.attributes["units"], "counts per second");
        assert_eq!(meta.attributes["pair"], json!([1.5, 2.5]));
    }
}

#[test]
fn elements_in_other_files_beside_it() {
    let file = fixture("external.h5");
    for item in ["one", "two"] {
        assert!(read_all(&file, item).unwrap().1 == values(DType::U16, &[5, 6]), "{item}");
    }
    let (_, bytes) = read_all(&file, "short").unwrap();
    assert!(bytes[..60] == values(DType::U16, &[5, 6]) && bytes[60..] == [0; 12]);
    let (kind, text) = kind(&file, Some("outside"));
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(text.contains("outside the folder"), "{text}");
}

#[test]
fn attributes_of_every_type() {
    let source = Hdf5.open(&fixture("attributes.h5"), Some("data")).unwrap();
    let meta = source.meta();
    assert_eq!(meta.axes, ["time", "lon"]);
    let only = Hdf5.open(&fixture("attributes.h5"), None).unwrap();
    assert!(only.spec().location.ends_with("::/data"), "the others are scales of its axes");
    let mut expected = json!({
        "big": [1, -2], "single": 0.5, "infinite": ["inf", "-inf"], "unsigned": u64::MAX,
        "compound": {"a": 1, "b": 2.5, "c": "x"},
        "compounds": [{"a": 1, "b": 2.5}, {"a": 3, "b": 4.5}],
        "enum": 1, "vlen": [[1, 2], [3]], "array": [[1, 2], [3, 4]], "utf": "\u{e9}",
        "padded": "ab", "strings": ["p", "q"], "zero": [],
    });
    for i in 0..12 {
        expected[format!("many{i}")] = json!(i);
    }
    let attributes: Value = meta.attributes.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    assert_eq!(attributes, expected);
}

#[test]
fn references_to_one_long_text_are_not_followed_without_end() {
    let (meta, bytes) = read_all(&fixture("heavy.h5"), "data").unwrap();
    assert_eq!(bytes, values(DType::I16, &[3]));
    assert_eq!(meta.attributes.keys().collect::<Vec<_>>(), ["light"]);
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
}

#[test]
fn what_a_truncated_file_lacks_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    let whole = std::fs::read(fixture("one.h5")).unwrap();
    let mut told = 0;
    for parts in 1..8 {
        std::fs::write(&path, &whole[..whole.len() * parts / 8]).unwrap();
        let Err(error) = Hdf5.open(&path, None) else { continue };
        let text = error.to_string();
        assert!(text.contains(" beyond the end of the file, which has "), "{parts}/8: {text}");
        assert!(text.ends_with("the file is truncated, or was not closed by its writer"), "{text}");
        told += 1;
    }
    assert!(told > 0);
}
