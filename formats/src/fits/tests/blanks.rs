//! Undefined elements as 0 with a mask, against what astropy and numpy read: see
//! `data/fits/make_blanks.py`.

use super::*;
use crate::{missing::Blank, region::Coordinates, registry::OpenOptions, view::ChunkView};

/// The masks and elements of the HDUs of `blanks.fits.gz`.
fn told() -> Vec<(DType, Vec<u8>, Vec<u8>)> {
    let told: Vec<Value> =
        serde_json::from_slice(&std::fs::read(fixture("blanks.json")).unwrap()).unwrap();
    let of = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap().as_bytes().to_vec();
        let dtype = DType::from_name(entry["dtype"].as_str().unwrap()).unwrap();
        let bytes = elements(dtype, entry["bytes"].as_str().unwrap());
        (dtype, text("mask").iter().map(|&bit| bit - b'0').collect(), bytes)
    };
    told.iter().map(of).collect()
}

#[test]
fn undefined_elements_are_masked_as_numpy_says() {
    let path = fixture("blanks.fits.gz");
    let told = told();
    assert!(told.len() >= 35, "{} images", told.len());
    for (number, (dtype, mask, bytes)) in (1..).zip(&told) {
        let source = Fits.open_masked(&path, Some(&number.to_string())).unwrap();
        let shape = source.meta().shape();
        assert_eq!(source.meta().dtype, *dtype, "HDU {number}");
        conformance::source(&*source, &ChunkView::new(*dtype, &aligned(bytes), &shape));
        match source.mask() {
            None => assert!(!mask.contains(&1), "HDU {number}"),
            Some(found) => {
                assert_eq!(found.meta().grid, source.meta().grid);
                assert!(found.mask().is_none());
                conformance::source(&*found, &ChunkView::new(DType::Bool, mask, &shape));
                assert_ne!(found.fingerprint().unwrap(), source.fingerprint().unwrap());
            }
        }
        // As NaN where floats can be had, with the other elements as they are.
        let plain = Fits.open(&path, Some(&number.to_string())).unwrap();
        assert!(plain.mask().is_none());
        if plain.meta().dtype.is_float() {
            let whole = Region::whole(&shape);
            let read = read(&*plain, &whole).unwrap();
            let read = aligned(&read);
            let read = ChunkView::new(plain.meta().dtype, &read, &shape);
            for (at, &undefined) in Coordinates::of(whole).zip(mask) {
                assert_eq!(read.get(&at).as_f64().is_nan(), undefined == 1, "HDU {number} {at:?}");
            }
        }
    }
}

/// A copy of bytes that is aligned for every dtype.
fn aligned(bytes: &[u8]) -> Aligned {
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
    Aligned { words, len: bytes.len() }
}

struct Aligned {
    words: Vec<u64>,
    len: usize,
}

impl std::ops::Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }
}

#[test]
fn a_stack_masks_undefined_elements_and_missing_files() {
    let folder = tempfile::tempdir().unwrap();
    // The same image of int16: with a BLANK, without, damaged, and a place without a file.
    for (name, from) in [("a", "blank_i2.fits"), ("b", "plain_i2.fits"), ("c", "blank_i2.fits")] {
        std::fs::copy(fixture(from), folder.path().join(format!("{name}.fits"))).unwrap();
    }
    let damaged = std::fs::read(fixture("blank_i2.fits")).unwrap();
    std::fs::write(folder.path().join("c.fits"), &damaged[..2880]).unwrap();
    let paths: Vec<String> = ["a", "b", "c", "d"]
        .map(|n| folder.path().join(n).with_extension("fits"))
        .iter()
        .map(|p| p.display().to_string())
        .collect();
    let options = OpenOptions::default().blank(Blank::Mask);
    let masked = crate::registry::open_masked(&paths, &options).unwrap();
    let mask = masked.mask.unwrap();
    let shape = masked.array.meta().shape();
    assert_eq!((masked.array.meta().dtype, shape[0]), (DType::I16, 4));
    let one = volume(&shape[1..]) as usize;
    let alone = Fits.open_masked(Path::new(&paths[0]), None).unwrap();
    let whole = Region::whole(&shape[1..]);
    let undefined = read(&*alone.mask().unwrap(), &whole).unwrap();
    assert!(undefined.contains(&1) && undefined.contains(&0));
    let wanted = [&undefined[..], &vec![0; one], &vec![1; 2 * one]].concat();
    // Before and after the array was read, which leaves a verdict on each file.
    for _ in 0..2 {
        let whole = Region::whole(&shape);
        assert_eq!(read(&*mask, &whole).unwrap(), wanted);
        let bytes = read(&*masked.array, &whole).unwrap();
        assert_eq!(bytes[..2 * one], read(&*alone, &Region::whole(&shape[1..])).unwrap());
        assert!(bytes[4 * one..].iter().all(|&byte| byte == 0));
    }
    // Elsewhere the stack is opened as it was.
    let again = crate::registry::reopen(&masked.array.spec()).unwrap();
    assert_eq!(again.meta().dtype, DType::I16);
    let again = crate::registry::reopen(&alone.spec()).unwrap();
    assert_eq!(again.meta().dtype, DType::I16);
}
