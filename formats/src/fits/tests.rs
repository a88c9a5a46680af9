//! The adapter against what astropy read (`data/fits/`), against itself on parts and on
//! damaged files, and what it writes against what it reads.

mod blanks;
mod cards;

use super::*;
use crate::{
    conformance::{self, Deviations},
    region::{Region, volume},
    source::{Attributes, Cancel, FileCache, Meta, ReadCx},
    view::{ChunkMut, ChunkView},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{path::PathBuf, sync::LazyLock};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/fits").join(name)
}

/// Elements told in hexadecimal, little-endian.
fn elements(dtype: DType, hex: &str) -> Vec<u8> {
    let nybble = |digit: u8| (digit as char).to_digit(16).unwrap() as u8;
    let pairs = hex.as_bytes().as_chunks::<2>().0;
    let mut bytes: Vec<u8> = pairs.iter().map(|&[a, b]| nybble(a) << 4 | nybble(b)).collect();
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
    bytes
}

struct Expected {
    file: String,
    item: Option<String>,
    dtype: DType,
    shape: Vec<u64>,
    bytes: Vec<u8>,
}

/// What astropy read in the fixtures.
static EXPECTED: LazyLock<Vec<Expected>> = LazyLock::new(|| {
    let all = std::fs::read(fixture("expected.bin")).unwrap();
    let manifest: Vec<Value> =
        serde_json::from_slice(&std::fs::read(fixture("manifest.json")).unwrap()).unwrap();
    manifest
        .iter()
        .map(|entry| {
            let dtype = DType::from_name(entry["dtype"].as_str().unwrap()).unwrap();
            let lengths = entry["shape"].as_array().unwrap();
            let shape: Vec<u64> = lengths.iter().map(|n| n.as_u64().unwrap()).collect();
            let start = entry["offset"].as_u64().unwrap() as usize;
            let len = volume(&shape) as usize * dtype.size();
            let mut bytes = all[start..start + len].to_vec();
            if cfg!(target_endian = "big") {
                bytes.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
            }
            Expected {
                file: entry["file"].as_str().unwrap().to_owned(),
                item: entry["item"].as_str().map(str::to_owned),
                dtype,
                shape,
                bytes,
            }
        })
        .collect()
});

/// Reads with exactly the scratch that the cost names.
fn read(source: &dyn ChunkSource, region: &Region) -> Result<Vec<u8>> {
    let meta = source.meta();
    let mut scratch = vec![0xA5; source.cost(region).scratch as usize];
    let mut out = vec![0x5A; region.volume() as usize * meta.dtype.size()];
    let (files, cancel) = (FileCache::default(), Cancel::default());
    let mut cx = ReadCx { scratch: &mut scratch, limit: 1 << 30, files: &files, cancel: &cancel };
    source.read(region, ChunkMut::new(meta.dtype, &mut out, &region.shape), &mut cx)?;
    Ok(out)
}

/// Floats with every NaN the same: which NaN it is means nothing.
fn canonical(dtype: DType, mut bytes: Vec<u8>) -> Vec<u8> {
    match dtype {
        DType::F32 => bytes.as_chunks_mut::<4>().0.iter_mut().for_each(|cell| {
            if f32::from_ne_bytes(*cell).is_nan() {
                *cell = f32::NAN.to_ne_bytes();
            }
        }),
        DType::F64 => bytes.as_chunks_mut::<8>().0.iter_mut().for_each(|cell| {
            if f64::from_ne_bytes(*cell).is_nan() {
                *cell = f64::NAN.to_ne_bytes();
            }
        }),
        _ => {}
    }
    bytes
}

#[test]
fn values_are_astropys() {
    for expected in EXPECTED.iter() {
        let name = format!("{} {:?}", expected.file, expected.item);
        let source = Fits.open(&fixture(&expected.file), expected.item.as_deref()).unwrap();
        assert_eq!(source.meta().dtype, expected.dtype, "{name}");
        assert_eq!(source.meta().shape().to_vec(), expected.shape, "{name}");
        let bytes = read(&*source, &Region::whole(&expected.shape)).unwrap();
        let bytes = canonical(expected.dtype, bytes);
        if let Some(at) = (0..bytes.len())
            .find(|&i| bytes[i] != canonical(expected.dtype, expected.bytes.clone())[i])
        {
            let at = at / expected.dtype.size();
            let show = |bytes: &[u8]| {
                ChunkView::new(expected.dtype, bytes, &[volume(&expected.shape)]).get(&[at as u64])
            };
            panic!("{name}: element {at} is {} not {}", show(&bytes), show(&expected.bytes));
        }
    }
}

proptest! {
    #[test]
    fn parts_are_slices_of_the_whole(
        which in any::<prop::sample::Index>(),
        cuts in proptest::collection::vec((0.0..1.0f64, 0.0..1.0f64), 8),
    ) {
        let expected = which.get(&EXPECTED);
        let source = Fits.open(&fixture(&expected.file), expected.item.as_deref()).unwrap();
        let mut region = Region::whole(&expected.shape);
        for (axis, &len) in expected.shape.iter().enumerate() {
            let start = (cuts[axis].0 * len as f64) as u64;
            region.start[axis] = start;
            region.shape[axis] = (cuts[axis].1 * (len - start + 1) as f64) as u64;
        }
        let whole = ChunkView::new(expected.dtype, &expected.bytes, &expected.shape);
        let mut part = vec![0; region.volume() as usize * expected.dtype.size()];
        ChunkMut::new(expected.dtype, &mut part, &region.shape).assign(&whole.sub(&region));
        let bytes = read(&*source, &region).unwrap();
        prop_assert_eq!(canonical(expected.dtype, bytes), canonical(expected.dtype, part));
    }

    #[test]
    fn a_part_of_a_larger_buffer_is_filled_alone(which in any::<prop::sample::Index>()) {
        let expected = which.get(&EXPECTED);
        let source = Fits.open(&fixture(&expected.file), expected.item.as_deref()).unwrap();
        let region = Region::whole(&expected.shape);
        let larger: Vec<u64> = expected.shape.iter().map(|n| n + 3).collect();
        let mut inner = region.clone();
        inner.start.fill(2);
        let mut buffer = vec![0x5A; volume(&larger) as usize * expected.dtype.size()];
        let mut wanted = buffer.clone();
        ChunkMut::new(expected.dtype, &mut wanted, &larger)
            .sub(&inner)
            .assign(&ChunkView::new(expected.dtype, &expected.bytes, &expected.shape));
        let mut scratch = vec![0; source.cost(&region).scratch as usize];
        let (files, cancel) = (FileCache::default(), Cancel::default());
        let mut cx = ReadCx { scratch: &mut scratch, limit: 1 << 30, files: &files, cancel: &cancel };
        let mut out = ChunkMut::new(expected.dtype, &mut buffer, &larger);
        source.read(&region, out.sub(&inner), &mut cx).unwrap();
        prop_assert_eq!(canonical(expected.dtype, buffer), canonical(expected.dtype, wanted));
    }

    /// Any damage ends in an error or in other values, never in a panic.
    #[test]
    fn damaged_files_are_survived(
        which in any::<prop::sample::Index>(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 0..12),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let expected = which.get(&EXPECTED);
        let mut bytes = std::fs::read(fixture(&expected.file)).unwrap();
        for (at, value, kind) in flips {
            let at = at.index(bytes.len());
            // Digits in headers reach further than noise does.
            bytes[at] = match kind {
                0 => value,
                1 => b'0' + value % 10,
                _ => bytes[at] ^ (1 << (value % 8)),
            };
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let _ = Fits.list(file.path());
        for item in [None, Some("1")] {
            let Ok(source) = Fits.open(file.path(), item) else { continue };
            let region = Region::whole(&source.meta().shape());
            let small = |n: u64| n < 64 << 20;
            if small(source.cost(&region).scratch) && small(source.cost(&region).decoded) {
                let _ = read(&*source, &region);
            }
        }
    }
}

/// Thousands of damaged files, the same in every run; `FREEBOARD_MUTANTS` asks for so many
/// of each fixture.
#[test]
fn mutants_are_survived() {
    let times = std::env::var("FREEBOARD_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(30);
    let mut state = 1u64;
    let mut below = |end: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % end.max(1)
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut opened = 0;
    let mut files: Vec<&str> = EXPECTED.iter().map(|expected| expected.file.as_str()).collect();
    files.dedup();
    for name in &files {
        let whole = std::fs::read(fixture(name)).unwrap();
        // Where numbers stand in cards.
        let digits: Vec<usize> =
            (0..whole.len()).filter(|&at| at % 80 > 8 && whole[at].is_ascii_digit()).collect();
        for _ in 0..times {
            let mut bytes = whole.clone();
            for _ in 0..=below(3) {
                let at = below(bytes.len());
                match below(6) {
                    0 => bytes[at] = below(256) as u8,
                    1 => bytes[at] ^= 1 << below(8),
                    2 => {
                        let at = digits.get(below(digits.len())).copied().unwrap_or(at);
                        if let Some(digit) = bytes.get_mut(at) {
                            *digit = b'0' + below(10) as u8;
                        }
                    }
                    // A card in another's place, and a card that is gone.
                    3 => {
                        let (from, to) = (below(36) * 80, below(72) * 80);
                        let card = bytes.get(from..from + 80).map(<[u8]>::to_vec);
                        if let (Some(card), Some(place)) = (card, bytes.get_mut(to..to + 80)) {
                            place.copy_from_slice(&card);
                        }
                    }
                    4 => {
                        let at = at / 80 * 80;
                        let end = (at + 80).min(bytes.len());
                        bytes[at..end].fill(b' ');
                    }
                    _ if below(4) == 0 => bytes.truncate(at + 1),
                    _ => bytes[at] = [0, 0x7F, 0x80, 0xFF][below(4)],
                }
            }
            std::fs::write(file.path(), &bytes).unwrap();
            let _ = Fits.list(file.path());
            for item in [None, Some("1")] {
                let Ok(source) = Fits.open(file.path(), item) else { continue };
                opened += 1;
                let region = Region::whole(&source.meta().shape());
                let cost = source.cost(&region);
                if cost.scratch < 16 << 20 && source.meta().bytes().is_some_and(|n| n < 16 << 20) {
                    let _ = read(&*source, &region);
                }
            }
        }
    }
    assert!(files.len() * times >= 2000 && opened >= 1000, "{opened} of {} files", files.len());
}

/// The raster that ships, in files as an archive has them.
#[test]
fn the_shipped_raster_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/visp/visp");
    for stokes in ["I", "Q", "U", "V"] {
        for raster in 0..20 {
            let path = folder.join(format!("{stokes}_{raster:03}.fits"));
            let source = Fits.open(&path, None).unwrap();
            assert_eq!(source.meta().dtype, DType::F32);
            assert_eq!(source.meta().shape().to_vec(), [1, 50, 120]);
            assert_eq!(source.meta().attributes["RASTER"], raster);
            assert_eq!(source.spec().location, format!("{}::1", path.display()));
            let bytes = read(&*source, &Region::whole(&[1, 50, 120])).unwrap();
            let values = bytes.as_chunks::<4>().0.iter().map(|cell| f32::from_ne_bytes(*cell));
            let (missing, known): (Vec<f32>, Vec<f32>) = values.partition(|v| v.is_nan());
            // Two bad rows, and at most six dead pixels.
            assert!((240..=246).contains(&missing.len()), "{} NaN in {path:?}", missing.len());
            assert!(known.iter().all(|v| v.abs() < 40_000.0));
        }
    }
}

/// Rows that are read one by one, together with what lies between them, and in pieces.
#[test]
fn rows_near_and_far() {
    let folder = tempfile::tempdir().unwrap();
    for (dtype, shape, regions) in [
        (DType::F64, vec![4, 3, 5000], vec![([1, 0, 10], [3, 3, 20]), ([0, 1, 0], [4, 1, 5000])]),
        (
            DType::I16,
            vec![3, 300, 700],
            vec![([0, 2, 5], [3, 290, 10]), ([2, 0, 1], [1, 300, 699])],
        ),
        (
            DType::U8,
            vec![2, 3, 300_000],
            vec![([0, 0, 1], [2, 3, 299_998]), ([0, 0, 0], [2, 3, 1])],
        ),
    ] {
        let path = folder.path().join(format!("{dtype}.fits"));
        let array = conformance::sample(dtype, &shape, &[0, 0, 0]);
        conformance::store(&Fits::create(&path), &array);
        let source = Fits.open(&path, None).unwrap();
        for (start, len) in regions {
            let region = Region::new(start.to_vec(), len.to_vec());
            let wanted = array.view().sub(&region);
            let mut part = vec![0; region.volume() as usize * dtype.size()];
            ChunkMut::new(dtype, &mut part, &region.shape).assign(&wanted);
            assert_eq!(read(&*source, &region).unwrap(), part, "{dtype} {region}");
        }
    }
}

#[test]
fn the_seam_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let deviations = Deviations { bool_as_u8: true, scalar_as_one: true };
    for dtype in DType::ALL {
        for (shape, chunk) in [
            (vec![5, 6, 7], vec![2, 6, 3]),
            (vec![], vec![]),
            (vec![0, 3], vec![1, 2]),
            (vec![9], vec![4]),
        ] {
            let path = folder.path().join(format!("{dtype}{}.fits", shape.len()));
            let array = conformance::sample(dtype, &shape, &chunk);
            conformance::format(&Fits, &path, &array, &WriteOptions::default(), deviations);
        }
    }
    for name in
        ["rice_tiles_i2.fits", "gzip2_quantised_f4.fits", "rice_columns_f4.fits", "cube_i2.fits"]
    {
        let expected = EXPECTED.iter().find(|e| e.file == name).unwrap();
        let path = folder.path().join(name);
        std::fs::copy(fixture(name), &path).unwrap();
        let source = Fits.open(&path, None).unwrap();
        // The source's own whole, which is astropy's but for the bits of NaNs.
        let whole = read(&*source, &Region::whole(&expected.shape)).unwrap();
        conformance::source(&*source, &ChunkView::new(expected.dtype, &whole, &expected.shape));
        assert!(conformance::damaged(&Fits, &path, 200) > 50);
    }
}

#[test]
fn items_are_named_by_number_name_and_version() {
    let path = fixture("multi.fits");
    let items = Fits.list(&path).unwrap();
    let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["1", "2", "3", "5"]);
    assert_eq!(items[0].meta.attributes["EXTNAME"], "SCI");
    let error = Fits.open(&path, Some("NOPE")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let text = error.to_string();
    assert!(text.contains("4 TAB (binary table)") && text.contains("0 (empty)"), "{text}");
    assert_eq!(Fits.open(&path, Some("TAB")).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(Fits.open(&path, Some("0")).unwrap_err().kind(), ErrorKind::NotFound);
    let spec = Fits.open(&path, Some("SCI,2")).unwrap().spec();
    assert_eq!(spec.location, format!("{}::3", path.display()));
}

#[test]
fn what_is_not_supported_is_named() {
    let mut bytes = std::fs::read(fixture("plio.fits")).unwrap();
    let at = bytes.windows(6).position(|w| w == b"PLIO_1").unwrap();
    bytes[at..at + 6].copy_from_slice(b"PLIO_9");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let error = Fits.open(file.path(), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("PLIO_9"), "{error}");
}

/// Gzips a file.
fn zip(from: &Path, to: &Path) {
    let bytes = std::fs::read(from).unwrap();
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut out = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let len = compressor.gzip_compress(&bytes, &mut out).unwrap();
    std::fs::write(to, &out[..len]).unwrap();
}

#[test]
fn gzipped_files_are_read_as_the_plain_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.fits.gz");
    for expected in EXPECTED.iter().filter(|expected| !expected.file.ends_with(".gz")) {
        zip(&fixture(&expected.file), &path);
        let source = Fits.open(&path, expected.item.as_deref()).unwrap();
        let bytes = read(&*source, &Region::whole(&expected.shape)).unwrap();
        let wanted = canonical(expected.dtype, expected.bytes.clone());
        assert!(canonical(expected.dtype, bytes) == wanted, "{}", expected.file);
        let plain = Fits.open(&fixture(&expected.file), expected.item.as_deref()).unwrap();
        assert_eq!(source.meta(), plain.meta());
    }
    for name in ["cube_i2.fits.gz", "rice_dither1_f4.fits.gz"] {
        let copy = folder.path().join(name);
        std::fs::copy(fixture(name), &copy).unwrap();
        let source = Fits.open(&copy, None).unwrap();
        let shape = source.meta().shape();
        let whole = read(&*source, &Region::whole(&shape)).unwrap();
        conformance::source(&*source, &ChunkView::new(source.meta().dtype, &whole, &shape));
        assert!(source.storage().codec.ends_with("gzip"));
        conformance::damaged(&Fits, &copy, 200);
        let items = Fits.list(&copy).unwrap();
        assert_eq!(items.len(), 1, "{items:?}");
    }
}

#[test]
fn a_gzipped_file_that_is_cut_is_truncated() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let whole = std::fs::read(fixture("cube_i2.fits.gz")).unwrap();
    std::fs::write(file.path(), &whole[..whole.len() - 60]).unwrap();
    let source = Fits.open(file.path(), None).unwrap();
    let error = read(&*source, &Region::whole(&source.meta().shape())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("truncated"), "{error}");
    assert_eq!(error.place().unwrap(), format!("{}::0", file.path().display()));
}

/// An image of several chunks: later ones begin at marks that earlier ones left.
#[test]
fn a_large_gzipped_image_is_read_in_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, path) = (folder.path().join("x.fits"), folder.path().join("x.fits.gz"));
    let shape = [70, 1024, 1024];
    let row: Vec<u8> = (0..1 << 20u32).map(|i| (i / 1000) as u8).collect();
    let meta = Meta::new(DType::U8, Grid::regular(&shape, &[1, 1024, 1024]));
    let sink = Fits::create(&plain).create(&meta).unwrap();
    let (files, cancel) = (FileCache::default(), Cancel::default());
    let mut scratch = vec![0; sink.scratch() as usize];
    let mut cx = ReadCx { scratch: &mut scratch, limit: 1 << 30, files: &files, cancel: &cancel };
    for i in 0..70 {
        let mut plane = row.clone();
        plane[0] = i as u8;
        sink.write(&[i, 0, 0], ChunkView::of(&plane, &[1, 1024, 1024]), &mut cx).unwrap();
    }
    sink.seal().unwrap();
    sink.publish().unwrap();
    zip(&plain, &path);
    let source = Fits.open(&path, None).unwrap();
    let grid = &source.meta().grid;
    assert_eq!(grid.len(), 2);
    let (first, last) = (grid.region(&[0, 0, 0]), grid.region(&[1, 0, 0]));
    assert_eq!(source.cost(&first).decoded, (35 << 20) + 2880);
    assert!(source.cost(&last).decoded < 39 << 20);
    // The last first: marks may be there or not.
    for (region, planes) in [(&last, 35..70), (&first, 0..35), (&last, 35..70)] {
        let bytes = read(&*source, region).unwrap();
        for (plane, i) in bytes.chunks(1 << 20).zip(planes) {
            assert_eq!((plane[0], &plane[1..]), (i as u8, &row[1..]));
        }
    }
}

#[test]
fn no_fits_file_and_a_truncated_one() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for bytes in [vec![], vec![b'x'; 10], vec![b'x'; 9000]] {
        std::fs::write(file.path(), bytes).unwrap();
        let error = Fits.open(file.path(), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.place().unwrap().contains(file.path().to_str().unwrap()));
    }
    let whole = std::fs::read(fixture("plain_i8.fits")).unwrap();
    std::fs::write(file.path(), &whole[..2880 + 100]).unwrap();
    let error = Fits.open(file.path(), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("truncated"), "{error}");
}

#[test]
fn a_read_of_few_tiles_decodes_few() {
    let source = Fits.open(&fixture("rice_tiles_i2.fits"), None).unwrap();
    let cost = source.cost(&Region::new(vec![0, 4, 10], vec![1, 2, 3]));
    assert_eq!(cost.decoded, 2 * 4 * 10 * 2);
    let plain = Fits.open(&fixture("plain_f4.fits"), None).unwrap();
    assert_eq!(plain.cost(&Region::whole(&[6, 11])).scratch, 0);
}

fn written(path: &Path, meta: &Meta, bytes: &[u8], writer: &dyn Writer) -> Result<()> {
    let meta = Meta { grid: writer.grid(meta)?, ..meta.clone() };
    let sink = writer.create(&meta)?;
    let mut scratch = vec![0; sink.scratch() as usize];
    let (files, cancel) = (FileCache::default(), Cancel::default());
    let whole = ChunkView::new(meta.dtype, bytes, &meta.shape());
    // Backwards, and each twice: order and repetition mean nothing.
    for chunk in (0..meta.grid.len()).rev().flat_map(|n| [n, n]) {
        let index = meta.grid.index_of(chunk);
        let region = meta.grid.region(&index);
        let mut cx =
            ReadCx { scratch: &mut scratch, limit: 1 << 30, files: &files, cancel: &cancel };
        let done = sink.write(&index, whole.sub(&region), &mut cx)?;
        assert_eq!(done.bytes, region.volume() * meta.dtype.size() as u64);
    }
    assert!(!path.exists());
    sink.seal()?;
    sink.publish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_written_is_read_back(
        dtype in proptest::sample::select(&DType::ALL[..]),
        shape in proptest::collection::vec(0u64..12, 1..4),
        chunk in proptest::collection::vec(1u64..7, 3),
        noise in any::<u64>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.fits");
        let meta = Meta::new(dtype, Grid::whole(&shape));
        let len = volume(&shape) as usize * dtype.size();
        let mut bytes: Vec<u8> =
            (0..len as u64).map(|i| (noise.wrapping_mul(i * i + 1) >> 13) as u8).collect();
        if dtype == DType::Bool {
            bytes.iter_mut().for_each(|b| *b &= 1);
        }
        let writer = Fits::create(&path).chunks(chunk[..shape.len()].iter().copied());
        written(&path, &meta, &bytes, &writer).unwrap();
        let source = Fits.open(&path, None).unwrap();
        let back = if dtype == DType::Bool { DType::U8 } else { dtype };
        prop_assert_eq!(source.meta().dtype, back);
        prop_assert_eq!(source.meta().shape().to_vec(), shape.clone());
        prop_assert_eq!(read(&*source, &Region::whole(&shape)).unwrap(), bytes);
        prop_assert_eq!(std::fs::read(&path).unwrap().len() % 2880, 0);
        prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn an_array_without_axes_is_one_element_and_large_chunks_go_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.fits");
    let meta = Meta::new(DType::F64, Grid::whole(&[]));
    written(&path, &meta, &2.5f64.to_ne_bytes(), &Fits::create(&path)).unwrap();
    let source = Fits.open(&path, None).unwrap();
    assert_eq!(source.meta().shape().to_vec(), [1]);
    assert_eq!(source.meta().attributes["NPNDIM"], 0);
    assert_eq!(read(&*source, &Region::whole(&[1])).unwrap(), 2.5f64.to_ne_bytes());

    let path = folder.path().join("large.fits");
    let shape = [3, 700, 900];
    let bytes: Vec<u8> = (0..3 * 700 * 900u32).flat_map(|i| (i as f32).to_ne_bytes()).collect();
    let meta = Meta::new(DType::F32, Grid::regular(&shape, &[2, 700, 500]));
    written(&path, &meta, &bytes, &Fits::create(&path)).unwrap();
    let source = Fits.open(&path, None).unwrap();
    assert_eq!(read(&*source, &Region::whole(&shape)).unwrap(), bytes);
}

#[test]
fn cards_pass_through_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cards.fits");
    let long = "it's a text that is longer than a card & goes on ".repeat(5);
    let cards = json!({
        "OBSERVER": "O'Hara", "EXPTIME": 1.5e-7, "COUNT": -3, "GOOD": true, "UNKNOWN": null,
        "ESO DET CHIP": "2", "LONGTEXT": long, "HISTORY": ["one", "two ".repeat(30)],
        "nested": {"a": 1}, "BITPIX": 8, "NAXIS1": 99, "BZERO": 5, "unicode": "é",
    });
    let attributes: Attributes = serde_json::from_value(cards).unwrap();
    let mut meta = Meta::new(DType::U16, Grid::whole(&[4]));
    meta.attributes = Arc::new(attributes);
    let writer = Fits::create(&path).card("OBSERVER", "Keil").card("MINE", 4);
    written(&path, &meta, &[0; 8], &writer).unwrap();
    let source = Fits.open(&path, None).unwrap();
    let read = &source.meta().attributes;
    for name in ["EXPTIME", "COUNT", "GOOD", "UNKNOWN", "ESO DET CHIP"] {
        assert_eq!(read[name], meta.attributes[name], "{name}");
    }
    assert_eq!(read["LONGTEXT"].as_str().unwrap(), long.trim_end());
    assert_eq!((&read["OBSERVER"], &read["MINE"]), (&json!("Keil"), &json!(4)));
    assert_eq!((&read["BITPIX"], &read["NAXIS1"]), (&json!(16), &json!(4)));
    assert_eq!(read["HISTORY"][0], "one");
    assert!(!read.contains_key("NESTED") && !read.contains_key("UNICODE"));
    let refused = Fits::create(&path).overwrite().card("NAXIS", 3).create(&meta).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert_eq!(Fits::create(&path).create(&meta).unwrap_err().kind(), ErrorKind::Exists);
}
