//! What is written, against what is read, and its checksums against the standard's rule.

use super::{
    super::{Fits, header::Hdus},
    checksum,
};
use crate::{
    conformance::{self, Deviations, sample},
    dtype::{DType, Scalar},
    error::ErrorKind,
    fits::Dither,
    grid::Grid,
    memory::MemorySource,
    region::{Region, volume},
    registry,
    source::{Cancel, ChunkSource, FileCache, Format, Meta, ReadCx, WriteOptions, Writer},
    stored::StoredFile,
    view::{ChunkMut, ChunkView},
};
use std::{fs::File, path::Path, sync::Arc};

const SHAPES: [(&[u64], &[u64]); 7] = [
    (&[5, 6, 7], &[2, 6, 3]),
    (&[40, 130], &[16, 64]),
    (&[3, 2000], &[1, 0]),
    (&[3000], &[700]),
    (&[9], &[4]),
    (&[0, 3], &[1, 2]),
    (&[], &[]),
];

/// Every HDU sums up to nothing, and its data to what the header says.
fn assert_checksums(path: &Path) -> usize {
    let (file, stored) = (File::open(path).unwrap(), StoredFile::open(path).unwrap());
    let mut hdus = Hdus::of(&stored, path).unwrap();
    let (mut start, mut count) = (0, 0);
    while let Some(hdu) = hdus.next().unwrap() {
        let end = hdu.data_start + hdu.data_bytes.next_multiple_of(2880);
        let data = checksum::of_file(&file, hdu.data_start..end).unwrap();
        assert_eq!(hdu.header.text("DATASUM").unwrap(), data.to_string(), "{path:?}");
        assert_eq!(checksum::of_file(&file, start..end).unwrap(), u32::MAX, "{path:?}");
        (start, count) = (end, count + 1);
    }
    assert_eq!(std::fs::metadata(path).unwrap().len(), start);
    count
}

#[test]
fn compressed_images_keep_the_seam() {
    let folder = tempfile::tempdir().unwrap();
    let deviations = Deviations { bool_as_u8: true, scalar_as_one: true };
    for dtype in DType::ALL {
        for codec in ["rice", "gzip:1"] {
            if codec == "rice" && (dtype.is_float() || dtype.size() == 8) {
                continue;
            }
            let options = WriteOptions { codec: Some(codec.into()), ..WriteOptions::default() };
            for (i, (shape, chunk)) in SHAPES.into_iter().enumerate() {
                let path = folder.path().join(format!("{codec}_{dtype}{i}.fits"));
                conformance::format(
                    &Fits,
                    &path,
                    &sample(dtype, shape, chunk),
                    &options,
                    deviations,
                );
                let hdus = assert_checksums(&path);
                let source = Fits.open(&path, None).unwrap();
                let compressed = !shape.is_empty() && !shape.contains(&0);
                assert_eq!(hdus, if compressed { 2 } else { 1 });
                let name = if codec == "rice" { "RICE_1" } else { "GZIP_2" };
                assert_eq!(source.storage().codec, if compressed { name } else { "" });
            }
        }
    }
    let path = folder.path().join("rice_int161.fits");
    conformance::damaged(&Fits, &path, 100);
}

#[test]
fn plain_images_have_checksums_too() {
    let folder = tempfile::tempdir().unwrap();
    for dtype in DType::ALL {
        for (i, (shape, chunk)) in SHAPES.into_iter().enumerate() {
            let path = folder.path().join(format!("{dtype}{i}.fits"));
            conformance::store(&Fits::create(&path), &sample(dtype, shape, chunk));
            assert_eq!(assert_checksums(&path), 1);
            let cards = Fits.open(&path, None).unwrap().meta().attributes.clone();
            assert!(!cards.contains_key("CHECKSUM") && !cards.contains_key("DATASUM"));
        }
    }
}

#[test]
fn cards_and_attributes_stand_in_the_extension() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.fits");
    let mut meta = Meta::new(DType::U16, Grid::whole(&[4, 2000]));
    let cards = serde_json::json!({ "OBSERVER": "O'Hara", "ZBLANK": 3, "ZTILE1": 7, "WAVE": 1.5 });
    meta.attributes = Arc::new(serde_json::from_value(cards).unwrap());
    let sink = Fits::create(&path).rice().card("MINE", 4).create(&meta).unwrap();
    let (files, cancel) = (FileCache::default(), Cancel::default());
    let mut scratch = vec![0u64; sink.scratch() as usize / 8 + 1];
    let scratch = bytemuck::cast_slice_mut(&mut scratch);
    let mut cx = ReadCx { scratch, limit: 1 << 20, files: &files, cancel: &cancel };
    sink.write(&[0, 0], ChunkView::of(&[7u16; 8000], &[4, 2000]), &mut cx).unwrap();
    sink.seal().unwrap();
    sink.publish().unwrap();
    let source = Fits.open(&path, None).unwrap();
    let cards = &source.meta().attributes;
    assert_eq!(cards["OBSERVER"], "O'Hara");
    assert_eq!((&cards["MINE"], &cards["WAVE"]), (&4.into(), &1.5.into()));
    assert!(!cards.contains_key("ZBLANK") && !cards.contains_key("ZTILE1"));
}

#[test]
fn what_cannot_be_compressed_is_refused() {
    let meta = |dtype| Meta::new(dtype, Grid::whole(&[4]));
    let writer = Fits::create("never.fits");
    for (writer, dtype) in [
        (writer.clone().rice(), DType::F32),
        (writer.clone().rice(), DType::I64),
        (writer.clone().quantised(4.0, Dither::None), DType::I32),
        (writer.clone().quantised(0.0, Dither::None), DType::F32),
        (writer.clone().quantised(f64::NAN, Dither::None), DType::F64),
        (writer.clone().gzip(13), DType::I16),
    ] {
        let error = writer.create(&meta(dtype)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert_eq!(error.place(), Some("never.fits"));
    }
    for writer in [writer.clone().gzip(1), Fits::create("never/{i}.fits")] {
        let meta = Meta::new(DType::U8, Grid::regular(&[4, 3], &[1, 3]));
        let error = writer.resume().create(&meta).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
    for codec in ["zstd", "gzip:x", "rice:x", "rice:4:3", ""] {
        let options = WriteOptions { codec: Some(codec.into()), ..WriteOptions::default() };
        let error = Fits.writer(Path::new("never.fits"), &options).map(drop).unwrap_err();
        assert!(error.to_string().contains("known are none, rice"), "{error}");
    }
}

#[test]
fn a_file_for_each_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let array = sample(DType::U16, &[2, 12, 30, 40], &[1, 5, 30, 40]);
    for (codec, files) in [("none", "{stokes}_{step:03d}.fits"), ("rice", "x{i:d}y{j:02d}.fits")] {
        let pattern = out.join(files);
        let options = WriteOptions { codec: Some(codec.into()), ..WriteOptions::default() };
        let writer = Fits.writer(&pattern, &options).unwrap();
        conformance::store(&*writer, &array);
        let names = || std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
        assert_eq!(names().count(), 24);
        assert!(names().all(|path| assert_checksums(&path) == if codec == "none" { 1 } else { 2 }));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let stack = registry::open(pattern.to_str().unwrap()).unwrap();
        let whole = Region::whole(&stack.meta().shape());
        assert_eq!(whole.shape[..], [2, 12, 30, 40]);
        conformance::source(&*stack, &array.view());
        let error =
            writer.create(&Meta { grid: stack.meta().grid.clone(), ..array.meta().clone() });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Exists);
        std::fs::remove_dir_all(&out).unwrap();
    }
    let refused = |path: &str, array: &MemorySource| {
        Fits::create(folder.path().join(path)).grid(array.meta()).unwrap_err().to_string()
    };
    let line = sample(DType::U8, &[4], &[4]);
    assert!(refused("a/{i}_{j}.fits", &line).contains("2 fields for an array of 1 axes"));
    let square = sample(DType::U8, &[12, 12, 2], &[1, 1, 2]);
    assert!(refused("a/{i}{j}.fits", &square).contains("several files would have one name"));
    assert!(refused("{a}/{i}.fits", &line).contains("name of a folder"));
    assert!(refused("a/{i}*.fits", &line).contains("fields only"));
    let here = Fits::create("{i}.fits").grid(line.meta()).unwrap_err();
    assert!(here.to_string().contains("folder of their own"), "{here}");
}

/// All elements of an array, as bytes.
fn whole(source: &dyn ChunkSource) -> Vec<u8> {
    let (region, dtype) = (Region::whole(&source.meta().shape()), source.meta().dtype);
    let mut out = vec![0u64; (region.volume() as usize * dtype.size()).div_ceil(8)];
    let mut scratch = vec![0u64; source.cost(&region).scratch as usize / 8 + 1];
    let (files, cancel) = (FileCache::default(), Cancel::default());
    let scratch = bytemuck::cast_slice_mut(&mut scratch);
    let mut cx = ReadCx { scratch, limit: 1 << 20, files: &files, cancel: &cancel };
    let bytes = &mut bytemuck::cast_slice_mut(&mut out)[..region.volume() as usize * dtype.size()];
    source.read(&region, ChunkMut::new(dtype, bytes, &region.shape), &mut cx).unwrap();
    bytes.to_vec()
}

#[test]
fn quantised_floats_are_read_within_half_a_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.fits");
    let shape = [40u64, 300];
    let mut state = 7u32;
    let mut values: Vec<f64> = (0..volume(&shape))
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            100.0 + i as f64 * 0.01 + f64::from(state >> 16) / 6553.6
        })
        .collect();
    values[300..600].fill(5.5);
    (values[700], values[1000]) = (f64::NAN, 0.0);
    values[1500] = f64::INFINITY;
    for dtype in [DType::F32, DType::F64] {
        for codec in ["rice:4", "rice:-0.125:none", "rice:16:2"] {
            let options = WriteOptions {
                codec: Some(codec.into()),
                chunks: Some(vec![17, 0]),
                overwrite: true,
                ..WriteOptions::default()
            };
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|&v| {
                    let (bytes, len) = Scalar::F64(v).cast(dtype).bytes();
                    bytes.into_iter().take(len)
                })
                .collect();
            let array = MemorySource::from_bytes(dtype, Grid::whole(&shape), &bytes);
            let writer = Fits.writer(&path, &options).unwrap();
            conformance::store(&*writer, &array);
            assert_eq!(assert_checksums(&path), 2);
            let source = Fits.open(&path, None).unwrap();
            assert_eq!((source.meta().dtype, source.storage().codec.as_str()), (dtype, "RICE_1"));
            let read = whole(&*source);
            let step = if codec == "rice:-0.125:none" { 0.125 } else { 2.0 };
            for (i, &value) in values.iter().enumerate() {
                let want = Scalar::F64(value).cast(dtype).as_f64();
                let size = dtype.size();
                let found = Scalar::from_bytes(dtype, &read[i * size..(i + 1) * size]).as_f64();
                let row = i / 300;
                // Rows without noise, or with infinities, are kept as they are.
                let exact = (row == 1 && codec != "rice:-0.125:none") || row == 5;
                let same = found == want || (found.is_nan() && want.is_nan());
                let near = (found - want).abs() <= step * 0.5001;
                assert!(same || (near && !exact), "{codec} {dtype} {i}: {found}, not {want}");
                assert!(i != 1000 || codec != "rice:16:2" || found == 0.0);
            }
        }
    }
    conformance::damaged(&Fits, &path, 100);
}
