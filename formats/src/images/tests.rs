//! Against what other programs wrote and read (`data/images/make.py`), and pictures of our own.

use super::*;
use crate::{
    conformance::{self, Deviations},
    memory::MemorySource,
    source::{ChunkSource, Format},
    view::ChunkView,
};
use serde_json::Value;
use std::path::PathBuf;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/images")
}

fn format_of(name: &str) -> &'static dyn Format {
    match Path::new(name).extension().and_then(|ending| ending.to_str()) {
        Some("png") => &Png,
        Some("jpg") => &Jpeg,
        _ => &Tiff,
    }
}

/// What the script tells of a picture: file, item, elements, and how much they may differ.
struct Expected {
    file: String,
    item: Option<String>,
    array: MemorySource,
    tolerance: u64,
}

fn expected() -> Vec<Expected> {
    let manifest = std::fs::read(folder().join("manifest.json")).unwrap();
    let manifest: Vec<Value> = serde_json::from_slice(&manifest).unwrap();
    let data = std::fs::read(folder().join("expected.bin")).unwrap();
    let entry = |entry: Value| {
        let dtype = DType::ALL.into_iter().find(|dtype| dtype.name() == entry["dtype"]).unwrap();
        let shape = entry["shape"].as_array().unwrap();
        let shape: Vec<u64> = shape.iter().map(|len| len.as_u64().unwrap()).collect();
        let start = entry["offset"].as_u64().unwrap() as usize;
        let bytes = shape.iter().product::<u64>() as usize * dtype.size();
        let grid = Grid::whole(&shape);
        Expected {
            file: entry["file"].as_str().unwrap().to_owned(),
            item: entry["item"].as_str().map(str::to_owned),
            array: MemorySource::from_bytes(dtype, grid, &data[start..start + bytes]),
            tolerance: entry["tolerance"].as_u64().unwrap(),
        }
    };
    manifest.into_iter().map(entry).collect()
}

#[test]
fn elements_are_what_other_programs_read() {
    let expected = expected();
    assert!(expected.len() > 90, "{} pictures", expected.len());
    for Expected { file, item, array, tolerance } in expected {
        println!("{file} {item:?}");
        let source = format_of(&file).open(&folder().join(&file), item.as_deref()).unwrap();
        let head = std::fs::read(folder().join(&file)).unwrap();
        assert!(format_of(&file).recognises(Path::new("x"), &head[..head.len().min(1024)]));
        if tolerance == 0 {
            conformance::source(&*source, &array.view());
            continue;
        }
        let whole = conformance::whole(&*source).unwrap();
        let shape = source.meta().shape();
        assert_eq!(shape, array.meta().shape());
        let theirs = array.view().to_vec::<u8>();
        let most = whole.iter().zip(&theirs).map(|(a, b)| u64::from(a.abs_diff(*b))).max();
        assert!(most <= Some(tolerance), "{most:?} of {tolerance}");
        // Any part of it is that part of the whole.
        conformance::source(&*source, &ChunkView::new(DType::U8, &whole, &shape));
    }
}

#[test]
fn axes_have_names_and_pages_are_items() {
    let open = |file: &str, item| format_of(file).open(&folder().join(file), item).unwrap();
    assert_eq!(open("rgb8.png", None).meta().axes, ["y", "x", "channel"]);
    let pages = open("pages.tif", None);
    assert_eq!(pages.meta().axes, ["page", "y", "x"]);
    assert_eq!(pages.meta().attributes["ImageDescription"], "five pages");
    assert_eq!(pages.meta().attributes["Software"], "make.py");
    assert!(pages.spec().location.ends_with("pages.tif"));
    assert!(open("pages.tif", Some("3")).spec().location.ends_with("pages.tif::3"));
    let items = Tiff.list(&folder().join("differ.tif")).unwrap();
    let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["0", "1"]);
    let several = Tiff.open(&folder().join("differ.tif"), None).unwrap_err().to_string();
    assert!(several.contains("differ in shape") && several.contains("::0 to ::1"), "{several}");
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for (file, word) in [
        ("cmyk.jpg", "CMYK"),
        ("jpeg.tif", "JPEG"),
        ("half.tif", "floats of 16 bits"),
        ("complex.tif", "complex"),
    ] {
        let error = format_of(file).open(&folder().join(file), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(word), "{error}");
    }
    for (format, name) in [(&Jpeg as &dyn Format, "x.jpg"), (&Tiff, "x.tif")] {
        let error = format.writer(Path::new(name), &WriteOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    let none = Png.open(&folder().join("rgb8.png"), Some("1")).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
    let none = Tiff.open(&folder().join("pages.tif"), Some("5")).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
}

#[test]
fn png_files_are_read_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let shapes: [(&[u64], &[u64]); 6] = [
        (&[23, 31], &[5, 7]),
        (&[40, 9, 2], &[40, 9, 2]),
        (&[17, 12, 3], &[4, 0, 0]),
        (&[8, 8, 4], &[3, 3, 3]),
        (&[1, 1], &[1, 1]),
        (&[2, 70_000], &[1, 0]),
    ];
    for dtype in [DType::U8, DType::U16] {
        for (number, (shape, chunk)) in shapes.into_iter().enumerate() {
            let array = conformance::sample(dtype, shape, chunk);
            let path = dir.path().join(format!("{dtype}-{number}.png"));
            for codec in [None, Some("none".to_owned()), Some("deflate:9".to_owned())] {
                let options = WriteOptions { codec, ..WriteOptions::default() };
                conformance::format(&Png, &path, &array, &options, Deviations::default());
                std::fs::remove_file(&path).unwrap();
            }
        }
    }
}

#[test]
fn a_pattern_is_a_file_for_each_frame() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out/{t:03d}.png");
    let array = conformance::sample(DType::U16, &[4, 30, 20, 3], &[2, 7, 20, 3]);
    let writer = Png::create(&path);
    conformance::store(&writer, &array);
    let stack = crate::registry::open(path.to_str().unwrap()).unwrap();
    conformance::source(&*stack, &array.view());
    assert_eq!(stack.meta().axes, ["t", "y", "x", "channel"]);
    let grey = conformance::sample(DType::U8, &[4, 30], &[2, 7]);
    let error = writer.overwrite().create(grey.meta()).unwrap_err().to_string();
    assert!(error.contains("chunks that are no files"), "{error}");
}

#[test]
fn a_palette_whose_last_colour_is_not_whole_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.png");
    for (bytes, is_fine) in [(6, true), (7, false), (768, true), (767, false)] {
        let mut encoder = ::png::Encoder::new(std::fs::File::create(&path).unwrap(), 2, 1);
        encoder.set_color(::png::ColorType::Indexed);
        encoder.set_palette(vec![9; bytes]);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[0, 1]).unwrap();
        writer.finish().unwrap();
        match Png.open(&path, None) {
            Ok(_) => assert!(is_fine, "{bytes}"),
            Err(error) => assert!(!is_fine && error.to_string().contains("a palette"), "{error}"),
        }
    }
}

#[test]
fn what_is_no_picture_is_refused() {
    let refused = |dtype, shape: &[u64]| {
        let meta = Meta::new(dtype, Grid::whole(shape));
        Png::create("x.png").grid(&meta).unwrap_err().to_string()
    };
    assert!(refused(DType::F32, &[2, 2]).contains("float32 are no shades"));
    for shape in [&[3][..], &[2, 2, 5], &[2, 2, 2, 2], &[]] {
        let text = refused(DType::U8, shape);
        assert!(text.contains("not the shape") && text.contains("--slice"), "{text}");
    }
    assert!(refused(DType::U8, &[0, 3]).contains("no PNG file has the shape"));
    let writer = |options: WriteOptions| Png.writer(Path::new("x.png"), &options).map(drop);
    for codec in ["zstd", "deflate:10", "deflate:x", "none:1"] {
        let options = WriteOptions { codec: Some(codec.into()), ..WriteOptions::default() };
        assert_eq!(writer(options).unwrap_err().kind(), ErrorKind::Unsupported, "{codec}");
    }
    let options = WriteOptions { resume: true, ..WriteOptions::default() };
    assert_eq!(writer(options).unwrap_err().kind(), ErrorKind::Unsupported);
    let options = WriteOptions { chunks: Some(vec![1, 1]), ..WriteOptions::default() };
    assert_eq!(writer(options).unwrap_err().kind(), ErrorKind::Invalid);
}
