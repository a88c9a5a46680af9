//! The FITS adapter against cfitsio: what both read in the fixtures, and what cfitsio reads in
//! files that the adapter wrote.
#![cfg(feature = "fitsio")]

mod common;

use common::{fixtures, ours, with_cx};
use fitsio::{FitsFile, sys};
use freeboard_formats::{
    DType, Element, Format, Grid, Meta, Scalar, Writer, fits::Fits, memory::MemorySource,
    with_dtype,
};
use std::{
    ffi::{c_int, c_void},
    path::Path,
    ptr,
};

/// The same by cfitsio, null pixels as NaN; `hdu` counts from 0.
fn theirs(path: &Path, hdu: usize, dtype: DType, count: usize) -> Vec<u8> {
    let mut file = FitsFile::open(path).unwrap();
    file.hdu(hdu).unwrap();
    let kind = match dtype {
        DType::Bool | DType::U8 => sys::TBYTE,
        DType::I8 => sys::TSBYTE,
        DType::U16 => sys::TUSHORT,
        DType::I16 => sys::TSHORT,
        DType::U32 => sys::TUINT,
        DType::I32 => sys::TINT,
        DType::U64 => sys::TULONGLONG,
        DType::I64 => sys::TLONGLONG,
        DType::F32 => sys::TFLOAT,
        DType::F64 => sys::TDOUBLE,
    };
    let (mut single, mut double) = (f32::NAN, f64::NAN);
    let (mut status, mut any_null) = (0, 0);
    let null: *mut c_void = match dtype {
        DType::F32 => ptr::from_mut(&mut single).cast(),
        DType::F64 => ptr::from_mut(&mut double).cast(),
        _ => ptr::null_mut(),
    };
    let mut words = vec![0u64; (count * dtype.size()).div_ceil(8)];
    // SAFETY: the handle is open at an image of `count` elements, for which `words` has room;
    // `null` is no pointer, or points to a value of the dtype that is asked for.
    unsafe {
        sys::ffgpv(
            file.as_raw(),
            kind as c_int,
            1,
            count as _,
            null,
            words.as_mut_ptr().cast(),
            &mut any_null,
            &mut status,
        );
    }
    assert_eq!(status, 0, "cfitsio on {} HDU {hdu}", path.display());
    bytemuck::cast_slice(&words)[..count * dtype.size()].to_vec()
}

fn doubles(dtype: DType, bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(dtype.size()).map(|e| Scalar::from_bytes(dtype, e).as_f64()).collect()
}

#[test]
fn both_read_the_same_in_every_fixture() {
    let mut compared = 0;
    for path in fixtures("fits", "fits") {
        // Not every cfitsio reads NOCOMPRESS; astropy does (`data/fits/manifest.json`).
        if path.ends_with("nocompress_i2.fits") {
            continue;
        }
        for item in Fits.list(&path).unwrap() {
            let dtype = item.meta.dtype;
            let count = item.meta.shape().iter().product::<u64>() as usize;
            let source = Fits.open(&path, Some(&item.name)).unwrap();
            let (mine, other) =
                (ours(&*source), theirs(&path, item.name.parse().unwrap(), dtype, count));
            let place = format!("{}::{}", path.display(), item.name);
            if dtype.is_float() {
                let (mine, other) = (doubles(dtype, &mine), doubles(dtype, &other));
                // cfitsio scales in doubles, where astropy and we do in the dtype of the result.
                let scaled = item.meta.attributes.contains_key("BSCALE");
                let largest =
                    mine.iter().filter(|v| v.is_finite()).fold(0.0, |m: f64, v| m.max(v.abs()));
                let epsilon = if dtype == DType::F32 { f32::EPSILON.into() } else { f64::EPSILON };
                let slack = if scaled { 2.0 * largest.max(1e4) * epsilon } else { 0.0 };
                for (i, (a, b)) in mine.iter().zip(other).enumerate() {
                    // To cfitsio an infinity is null as well, once nulls are asked for.
                    let same = *a == b || (!a.is_finite() && b.is_nan()) || (a - b).abs() <= slack;
                    assert!(same, "{place}: element {i} is {a}, by cfitsio {b}");
                }
            } else {
                assert_eq!(mine, other, "{place}");
            }
            compared += 1;
        }
    }
    assert!(compared >= 55, "{compared} images");
}

#[test]
fn the_library_reads_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.fits");
    let plain = Fits::create(&path).overwrite();
    for dtype in DType::ALL.into_iter().filter(|&dtype| dtype != DType::Bool) {
        let mut writers = vec![(plain.clone(), 0)];
        // cfitsio compresses no integers of 64 bits.
        if dtype.is_float() || dtype.size() < 8 {
            writers.push((plain.clone().gzip(4), 1));
        }
        if !dtype.is_float() && dtype.size() < 8 {
            writers.push((plain.clone().rice(), 1));
        }
        for (writer, hdu) in writers {
            for (shape, chunk) in
                [(&[10][..], &[10][..]), (&[5, 7], &[3, 7]), (&[3, 4, 205], &[2, 3, 128])]
            {
                let writer = writer.clone().chunks(chunk.iter().copied());
                let expected = with_dtype!(dtype, T => store::<T>(&writer, shape));
                let count = shape.iter().product::<u64>() as usize;
                assert_eq!(
                    theirs(&path, hdu, dtype, count),
                    expected,
                    "{writer:?} {dtype} {shape:?}"
                );
            }
        }
    }
}

/// Writes an array of made-up elements; returns its bytes.
fn store<T: Element>(writer: &dyn Writer, shape: &[u64]) -> Vec<u8> {
    let count: u64 = shape.iter().product();
    let bytes: Vec<u8> = (0..count)
        .flat_map(|i| {
            let (bytes, len) = Scalar::I64((i as i64 * 37) % 101 - 50).cast(T::DTYPE).bytes();
            bytes.into_iter().take(len)
        })
        .collect();
    let array = MemorySource::from_bytes(T::DTYPE, Grid::whole(shape), &bytes);
    let mut meta = Meta::new(T::DTYPE, Grid::whole(shape));
    meta.grid = writer.grid(&meta).unwrap();
    let sink = writer.create(&meta).unwrap();
    for n in 0..meta.grid.len() {
        let index = meta.grid.index_of(n);
        let chunk = array.view().sub(&meta.grid.region(&index));
        with_cx(sink.scratch(), |cx| sink.write(&index, chunk, cx)).unwrap();
    }
    sink.seal().unwrap();
    sink.publish().unwrap();
    bytes
}
