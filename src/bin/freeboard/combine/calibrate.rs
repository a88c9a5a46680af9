//! Frames less bias and dark, by the flat.
//!
//! Bias, dark and flat frames are as they come from the camera: the bias is subtracted from darks and
//! flats too, darks are scaled by exposure, and the flat is divided by its mean. All have the shape of the
//! frames as these lie in their files; what `--slice` takes of the frames is taken of them too, so that
//! part of the result is the result of a part.

use super::{invalid, mismatch};
use crate::{
    args::{Center, Combine as Args, Stacking},
    job,
};
use freeboard::{
    Array, DType, Missing, Result,
    array::Combine,
    formats::{headers, registry},
    kernel::promote::float_of,
};
use ndarray::Array1;
use std::{collections::BTreeMap, path::PathBuf};

/// The part of `all` frames that is asked for, less bias and dark, by the flat: those that were given.
pub(super) fn calibrated(all: &Array, args: &Args) -> Result<Array> {
    let mut frames = job::part(all.clone(), &args.input)?;
    if args.bias.is_none() && args.dark.is_none() && args.flat.is_none() {
        return Ok(frames);
    }
    let dtype = float_of(frames.dtype()?);
    let masters = Masters { args, dtype, shape: all.shape()?, leading: leading(all, args)? };
    // The same part of a master as of each frame.
    let beside = |master: Array| -> Result<Array> {
        let shape: Vec<i64> = masters.shape.iter().map(|&len| len as i64).collect();
        job::part(master.broadcast_to(shape), &args.input)
    };
    frames = frames.cast_to(dtype);
    let bias = args.bias.as_ref().map(|path| masters.open("bias", path)).transpose()?;
    let unbiased = |array: Array| match &bias {
        Some(bias) => array - bias,
        None => array,
    };
    if let Some(bias) = &bias {
        frames = frames - beside(bias.clone())?;
    }
    if let Some(dark) = &args.dark {
        let current = unbiased(masters.open("dark", dark)?);
        let own = exposures(std::slice::from_ref(dark), &args.exposure, Missing::Error)?;
        let own: Vec<f64> = own.into_values().collect();
        let of_dark = own.first().copied().unwrap_or(0.0);
        if of_dark <= 0.0 || own.iter().any(|&exposure| exposure != of_dark) {
            let message = format!("darks with {} of {own:?}", args.exposure);
            return Err(invalid(message)
                .help("all darks have one exposure, which is not 0")
                .into());
        }
        let factors = job::part(masters.factors(of_dark)?.cast_to(dtype), &args.input)?;
        frames = frames - factors * beside(current)?;
    }
    if let Some(path) = &args.flat {
        let flat = masters.open("flat", path)?;
        let flat = match &args.flat_dark {
            Some(dark) => {
                masters.check_flat_dark(path, dark)?;
                flat - masters.open("flat dark", dark)?
            }
            None => unbiased(flat),
        };
        frames = frames / beside(&flat / flat.mean(..))?;
    }
    Ok(frames)
}

/// How many axes of `all` frames count them: those along which files are stacked, or the first.
fn leading(all: &Array, args: &Args) -> Result<usize> {
    let stacking = &args.input.stacking;
    let said = stacking.stack.as_ref().map_or(stacking.stack_by.len(), Vec::len);
    if said > 0 {
        return Ok(said);
    }
    let files = registry::stacked(&args.paths, &job::options(stacking))?.len();
    let shape = all.shape()?;
    let found = (1..shape.len()).find(|&axes| shape[..axes].iter().product::<usize>() == files);
    Ok(found.unwrap_or(1))
}

/// What opens the calibrations of frames.
struct Masters<'a> {
    args: &'a Args,
    dtype: DType,
    /// The shape of all frames.
    shape: Vec<usize>,
    /// How many axes of it count frames.
    leading: usize,
}

impl Masters<'_> {
    /// The frame at `path`, or the master of several, without leading axes of length 1.
    fn open(&self, what: &str, path: &str) -> Result<Array> {
        let source = job::source(&[path.to_owned()], &Stacking::default())?;
        let array = Array::from_source(source).cast_to(self.dtype);
        let (shape, frame) = (array.shape()?, &self.shape[self.leading..]);
        let lengths = |shape: &[usize]| {
            let units = shape.iter().take_while(|&&len| len == 1).count();
            (shape[units..].to_vec(), units)
        };
        let (wanted, _) = lengths(frame);
        let (own, units) = lengths(&shape);
        if own == wanted {
            return Ok(array.squeeze((0..units as i64).collect::<Vec<_>>()));
        }
        let Some((_, behind)) = shape.split_first().filter(|(_, own)| lengths(own).0 == wanted)
        else {
            return Err(mismatch(what, &shape, frame).at(path).into());
        };
        let (_, units) = lengths(behind);
        let master = match self.args.master_method {
            Center::Mean => array.mean(0),
            Center::Median => array.combine(0, Combine::median()),
        };
        Ok(master.squeeze((0..units as i64).collect::<Vec<_>>()))
    }

    /// How many times longer than `of_dark` each frame was exposed, in the shape of all frames: the
    /// leading axes are those along which the files were stacked, whatever put them in their order.
    fn factors(&self, of_dark: f64) -> Result<Array> {
        let (args, shape) = (self.args, &self.shape);
        let files = registry::stacked(&args.paths, &job::options(&args.input.stacking))?;
        let count = shape[..self.leading].iter().product::<usize>();
        if count != files.len() {
            let are = if files.len() == 1 { "file" } else { "files" };
            let message =
                format!("{} {are} for {count} frames to subtract darks from", files.len());
            return Err(invalid(message).help("each frame is a file of its own").into());
        }
        let exposures = exposures(&args.paths, &args.exposure, args.input.stacking.missing)?;
        // Of a file that is taken as missing there is nothing to subtract a dark from.
        let factor = |file: &Option<PathBuf>| {
            let exposure = file.as_ref().and_then(|path| exposures.get(path));
            exposure.map_or(f64::NAN, |exposure| exposure / of_dark)
        };
        let factors: Array1<f64> = files.iter().map(factor).collect();
        let behind: Vec<i64> = (self.leading as i64..shape.len() as i64).collect();
        let shape: Vec<i64> = shape.iter().map(|&len| len as i64).collect();
        let factors =
            Array::from_ndarray(&factors).to_dyn().reshape(shape[..self.leading].to_vec());
        Ok(factors.expand_dims(behind).broadcast_to(shape))
    }

    /// Flat darks are as long as the flats, where both tell how long that is.
    fn check_flat_dark(&self, flat: &str, dark: &str) -> Result<()> {
        let of =
            |path: &str| exposures(&[path.to_owned()], &self.args.exposure, Missing::Error).ok();
        let (Some(flats), Some(darks)) = (of(flat), of(dark)) else { return Ok(()) };
        let all: Vec<f64> = flats.into_values().chain(darks.into_values()).collect();
        if all.windows(2).all(|pair| pair[0] == pair[1]) {
            return Ok(());
        }
        let message = format!("flats and their darks with {} of {all:?}", self.args.exposure);
        Err(invalid(message).help("--flat-dark is not scaled: it is as long as the flat").into())
    }
}

/// The number in a card of each file; of files that may be missing, of those that can be read.
fn exposures(paths: &[String], card: &str, missing: Missing) -> Result<BTreeMap<PathBuf, f64>> {
    let table = headers::scan(paths, Some(&[card.to_owned()]))?;
    let value = |row: headers::Row| {
        let Some(exposure) = row.get(0).and_then(serde_json::Value::as_f64) else {
            let message = match &row.error {
                Some(error) => error.clone(),
                None => format!("there is no number in card {card}"),
            };
            return Err(invalid(message)
                .at_path(&row.path)
                .help("darks are scaled by exposure: --exposure names its card")
                .into());
        };
        Ok((row.path, exposure))
    };
    let rows = table.rows.into_iter();
    rows.filter(|row| missing == Missing::Error || row.error.is_none()).map(value).collect()
}
