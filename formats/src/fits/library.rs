//! The C library cfitsio, for images compressed by PLIO_1 and HCOMPRESS_1.
//!
//! Behind the feature `fitsio`, and only for what [`super::Fits`] would otherwise refuse. Stored
//! pixels come from the library, unscaled; `convert` makes elements of them, as of every other
//! image. One lock is held for each read, for builds of cfitsio differ in what they may do
//! at the same time; a file is opened for each read and closed after it.

use super::{
    convert::{Cells, Convert, Order},
    header::Hdu,
    place,
    tiled::{image_cards, tile_shape},
};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    region::{Dims, Region, checked_volume},
    source::{ChunkSource, Fingerprint, Meta, ReadCost, ReadCx, SourceSpec, Storage},
    view::ChunkMut,
};
use fitsio::sys;
use std::{
    ffi::{CStr, CString, c_char, c_int, c_long, c_void},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    ptr,
    sync::{Arc, Mutex, PoisonError},
};

static LIBRARY: Mutex<()> = Mutex::new(());

/// A compressed image that cfitsio reads.
#[derive(Debug)]
pub(super) struct Image {
    path: PathBuf,
    name: CString,
    hdu: usize,
    hash: u128,
    meta: Meta,
    convert: Convert,
    algorithm: String,
    /// Elements of a tile.
    tile: u64,
    stored: u64,
}

impl Image {
    /// The image of `hdu`, if its algorithm is one that is left to cfitsio.
    pub(super) fn new(path: &Path, hdu: &Hdu) -> Result<Image> {
        let refuse = |what: &str| FormatError::new(ErrorKind::Unsupported, what);
        let header = &hdu.header;
        let algorithm = header.text("ZCMPTYPE").unwrap_or_default().trim().to_owned();
        if !matches!(algorithm.as_str(), "PLIO_1" | "HCOMPRESS_1") {
            return Err(refuse("not an algorithm that cfitsio is asked for"));
        }
        let shape = hdu.image_shape()?;
        super::check_shape(&shape)?;
        let bitpix = header.int("ZBITPIX")?.unwrap_or(0);
        let blank = header.int("BLANK")?.or(header.int("ZBLANK")?);
        let convert = Convert::new(bitpix, header, blank)?;
        let tile = tile_shape(header, &shape)?;
        let mut meta = Meta::new(convert.dtype, super::chunk_grid(&shape, &tile, convert.dtype));
        meta.attributes = Arc::new(image_cards(header));
        Ok(Image {
            path: path.to_owned(),
            name: CString::new(path.as_os_str().as_bytes())
                .map_err(|_| refuse("a path with a zero byte"))?,
            hdu: hdu.index,
            hash: hdu.hash,
            meta,
            convert,
            algorithm,
            tile: checked_volume(&tile).unwrap_or(u64::MAX),
            stored: hdu.data_bytes,
        })
    }

    /// Reads the stored pixels of `region` into `pixels`, which is aligned for them.
    fn fetch(&self, region: &Region, pixels: &mut [u8]) -> Result<()> {
        let stored = self.convert.stored;
        assert_eq!(pixels.len() as u64, region.volume() * stored.size() as u64);
        let kind = match stored {
            DType::U8 => sys::TBYTE,
            DType::I16 => sys::TSHORT,
            DType::I32 => sys::TINT,
            DType::I64 => sys::TLONGLONG,
            DType::F32 => sys::TFLOAT,
            _ => sys::TDOUBLE,
        };
        // Axes from the innermost on, counted from one, both ends included.
        let along = |end: u64| {
            let corner = region.start.iter().zip(&region.shape).rev();
            corner.map(|(start, len)| (start + end * (len - 1) + 1) as c_long).collect()
        };
        let (mut first, mut last): (Vec<c_long>, Vec<c_long>) = (along(0), along(1));
        let mut step = vec![1 as c_long; region.rank()];
        // Null pixels of quantised floats become NaN; integers are looked at afterwards.
        let (mut single, mut double) = (f32::NAN, f64::NAN);
        let null: *mut c_void = match stored {
            DType::F32 => ptr::from_mut(&mut single).cast(),
            DType::F64 => ptr::from_mut(&mut double).cast(),
            _ => ptr::null_mut(),
        };

        let _one_at_a_time = LIBRARY.lock().unwrap_or_else(PoisonError::into_inner);
        let file = Open::new(&self.name, self.hdu)?;
        if file.shape()? != self.meta.shape() {
            return Err(FormatError::new(ErrorKind::Changed, "the image has another shape now"));
        }
        // Whether there was a null is written without a look at whether it was asked for.
        let (mut status, mut any_null) = (0, 0);
        // SAFETY: the handle is open. `first`, `last` and `step` have an entry for each of the
        // image's axes, whose number was just compared; the box lies inside the image, and
        // `pixels` has room for just its elements of `kind`, aligned; `null` points to a value
        // of `kind` that outlives the call.
        unsafe {
            sys::ffpscl(file.0, 1.0, 0.0, &mut status);
            sys::ffgsv(
                file.0,
                kind as c_int,
                first.as_mut_ptr(),
                last.as_mut_ptr(),
                step.as_mut_ptr(),
                null,
                pixels.as_mut_ptr().cast(),
                &mut any_null,
                &mut status,
            );
        }
        check(status)
    }
}

/// A file that cfitsio has open, at an HDU.
struct Open(*mut sys::fitsfile);

impl Open {
    fn new(name: &CStr, hdu: usize) -> Result<Open> {
        let (mut handle, mut status) = (ptr::null_mut(), 0);
        // SAFETY: `name` ends with a zero byte; the other two are valid for writes. A plain
        // file is asked for: no part of the name is taken for a filter or a command.
        unsafe { sys::ffdkopn(&mut handle, name.as_ptr(), sys::READONLY as c_int, &mut status) };
        check(status)?;
        let file = Open(handle);
        let number = c_int::try_from(hdu + 1).unwrap_or(c_int::MAX);
        // SAFETY: the handle was opened above; the kind of HDU is not asked for.
        unsafe { sys::ffmahd(file.0, number, ptr::null_mut(), &mut status) };
        check(status)?;
        Ok(file)
    }

    /// The shape of the image, outermost axis first.
    fn shape(&self) -> Result<Dims> {
        let (mut rank, mut status) = (0, 0);
        // SAFETY: the handle is open; `rank` and `status` are valid for writes.
        unsafe { sys::ffgidm(self.0, &mut rank, &mut status) };
        check(status)?;
        let mut lengths = vec![0 as c_long; usize::try_from(rank).unwrap_or(0)];
        // SAFETY: `lengths` has `rank` entries.
        unsafe { sys::ffgisz(self.0, rank, lengths.as_mut_ptr(), &mut status) };
        check(status)?;
        Ok(lengths.iter().rev().map(|&n| n as u64).collect())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut status = 0;
        // SAFETY: the handle was opened by `new` and is closed only here.
        unsafe { sys::ffclos(self.0, &mut status) };
    }
}

/// An error where cfitsio's status is not 0.
fn check(status: c_int) -> Result<()> {
    if status == 0 {
        return Ok(());
    }
    let mut text = [0 as c_char; 31];
    // SAFETY: `text` has the 31 bytes that the library fills at most, its final zero included.
    let text = unsafe {
        sys::ffgerr(status, text.as_mut_ptr());
        CStr::from_ptr(text.as_ptr())
    };
    let text = text.to_string_lossy();
    Err(FormatError::new(ErrorKind::Corrupt, format!("cfitsio cannot read it: {text} ({status})")))
}

impl ChunkSource for Image {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        if region.is_empty() {
            return ReadCost::default();
        }
        let pixels = region.volume() * self.convert.stored.size() as u64;
        let share = region.volume() as f64 / checked_volume(&self.meta.shape()).unwrap_or(1) as f64;
        // What cfitsio allocates itself is no part of the scratch, but the task is granted it:
        // a tile's bytes, its integers of up to 64 bits, and the tile that it keeps.
        let foreign = self.tile.saturating_mul(24);
        ReadCost {
            bytes: (self.stored as f64 * share) as u64,
            decoded: region.volume() * self.meta.dtype.size() as u64,
            scratch: pixels.saturating_add(64).saturating_add(foreign),
        }
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        cx.cancel.check()?;
        let size = self.convert.stored.size();
        let (pixels, _) = cx.split_scratch(region.volume() as usize * size);
        self.fetch(region, pixels).map_err(|e| e.at(place(&self.path, self.hdu)))?;
        let (element, mut done) = (self.convert.dtype.size(), 0);
        out.try_for_each_run(|_, run| {
            let bytes = run.len() / element * size;
            self.convert.apply(Cells::Into(&pixels[done..done + bytes], run), Order::Native);
            done += bytes;
            Ok(())
        })
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(Fingerprint::of_file(&self.path)?.and(Fingerprint(self.hash)))
    }

    fn spec(&self) -> SourceSpec {
        SourceSpec {
            format: "fits".into(),
            location: place(&self.path, self.hdu),
            ..SourceSpec::default()
        }
    }

    fn storage(&self) -> Storage {
        Storage {
            format: "FITS".into(),
            codec: self.algorithm.clone(),
            files: 1,
            bytes: Some(self.stored),
        }
    }
}
