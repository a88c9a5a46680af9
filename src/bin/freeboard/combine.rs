//! `freeboard combine`: frames calibrated, and combined into one.
//!
//! Bias, dark and flat frames are as they come from the camera: the bias is subtracted from darks and
//! flats too, darks are scaled by exposure, and the flat is divided by its mean.

use crate::{
    args::{Center, Combine as Args, Deviation, Method, Stacking},
    job::{self, Job},
};
use freeboard::{
    Array, DType, Result,
    array::Combine,
    formats::{ErrorKind, FormatError, headers, registry},
    kernel::{self, SigmaClip, promote::float_of},
};
use ndarray::Array1;
use std::{collections::BTreeMap, path::PathBuf};

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let output = job::output(&args.output, &args.writing, &args.run, &args.paths)?;
    let job = Job::new("combine", &args.run)?;
    let frames = calibrated(&job::whole(&args.paths, &args.input)?, args)?;
    job.store(&frames.combine(0, how(args)?), &output)
}

/// How the frames are combined.
fn how(args: &Args) -> Result<Combine> {
    let mut how = match args.method {
        Method::Mean => Combine::mean(),
        Method::Median => Combine::median(),
        Method::Sum => Combine::sum(),
    };
    if let Some(limits) = &args.min_max_clip {
        let [low, high] = pair(limits, "--min-max-clip")?;
        how = how.min_max_clip(low, high);
    }
    if let Some(deviations) = &args.sigma_clip {
        let [low, high] = match deviations[..] {
            [both] => [both, both],
            _ => pair(deviations, "--sigma-clip")?,
        };
        how = how.sigma_clip_by(SigmaClip {
            low,
            high,
            center: match args.center {
                Center::Mean => kernel::Center::Mean,
                Center::Median => kernel::Center::Median,
            },
            deviation: match args.deviation {
                Deviation::Std => kernel::Deviation::Std,
                Deviation::MadStd => kernel::Deviation::MadStd,
            },
            iterations: Some(args.iterations).filter(|&iterations| iterations > 0),
        });
    }
    Ok(how)
}

fn pair(values: &[f64], option: &str) -> Result<[f64; 2]> {
    <[f64; 2]>::try_from(values).map_err(|_| {
        let message = format!("{option} takes a lower and an upper value, not {}", values.len());
        FormatError::new(ErrorKind::Invalid, message).into()
    })
}

/// The part of `all` frames that is asked for, less bias and dark, by the flat: those that were given.
fn calibrated(all: &Array, args: &Args) -> Result<Array> {
    let mut frames = job::part(all.clone(), &args.input)?;
    if args.bias.is_none() && args.dark.is_none() && args.flat.is_none() {
        return Ok(frames);
    }
    let (dtype, rank) = (float_of(frames.dtype()?), frames.rank()?);
    frames = frames.cast_to(dtype);
    let master = |path: &Option<String>| path.as_ref().map(|path| master(path, dtype, rank));
    let bias = master(&args.bias).transpose()?;
    let unbiased = |array: Array| match &bias {
        Some(bias) => array - bias,
        None => array,
    };
    frames = unbiased(frames);
    if let Some(dark) = &args.dark {
        let current = unbiased(self::master(dark, dtype, rank)?);
        let own: Vec<f64> =
            exposures(std::slice::from_ref(dark), &args.exposure)?.into_values().collect();
        let of_dark = own.first().copied().unwrap_or(0.0);
        if of_dark <= 0.0 || own.iter().any(|&exposure| exposure != of_dark) {
            let message = format!("darks with {} of {own:?}", args.exposure);
            return Err(FormatError::new(ErrorKind::Invalid, message)
                .help("all darks have one exposure, which is not 0")
                .into());
        }
        let factors = job::part(factors(all, args, of_dark)?.cast_to(dtype), &args.input)?;
        frames = frames - factors * current;
    }
    if let Some(flat) = master(&args.flat).transpose()? {
        let flat = unbiased(flat);
        frames = frames / (&flat / flat.mean(..));
    }
    Ok(frames)
}

/// The frame at `path`; the mean of several, where the frames that it is for have `rank` axes.
fn master(path: &str, dtype: DType, rank: usize) -> Result<Array> {
    let source = job::source(&[path.to_owned()], &Stacking::default())?;
    let array = Array::from_source(source).cast_to(dtype);
    Ok(if array.rank()? < rank { array } else { array.mean(0) })
}

/// How many times longer than `of_dark` each frame was exposed, in the shape of `all` frames: the
/// leading axes are those along which the files were stacked, whatever put them in their order.
fn factors(all: &Array, args: &Args, of_dark: f64) -> Result<Array> {
    let files = registry::stacked(&args.paths, &job::options(&args.input.stacking))?;
    let shape = all.shape()?;
    let leading = |&axes: &usize| shape[..axes].iter().product::<usize>() == files.len();
    let Some(axes) = (1..=shape.len()).find(leading) else {
        let count = shape.first().copied().unwrap_or(0);
        let message = format!("{} files for {count} frames to subtract darks from", files.len());
        return Err(FormatError::new(ErrorKind::Invalid, message)
            .help("each frame is a file of its own")
            .into());
    };
    let exposures = exposures(&args.paths, &args.exposure)?;
    // Of a file that is taken as missing there is nothing to subtract a dark from.
    let factor = |file: &Option<PathBuf>| {
        let exposure = file.as_ref().and_then(|path| exposures.get(path));
        exposure.map_or(f64::NAN, |exposure| exposure / of_dark)
    };
    let factors: Array1<f64> = files.iter().map(factor).collect();
    let behind: Vec<i64> = (axes as i64..shape.len() as i64).collect();
    let shape: Vec<i64> = shape.iter().map(|&len| len as i64).collect();
    let factors = Array::from_ndarray(&factors).to_dyn().reshape(shape[..axes].to_vec());
    Ok(factors.expand_dims(behind).broadcast_to(shape))
}

/// The number in a card of each file.
fn exposures(paths: &[String], card: &str) -> Result<BTreeMap<PathBuf, f64>> {
    let table = headers::scan(paths, Some(&[card.to_owned()]))?;
    let value = |row: headers::Row| {
        let Some(exposure) = row.get(0).and_then(serde_json::Value::as_f64) else {
            let message = match &row.error {
                Some(error) => error.clone(),
                None => format!("there is no number in card {card}"),
            };
            return Err(FormatError::new(ErrorKind::Invalid, message)
                .at_path(&row.path)
                .help("darks are scaled by exposure: --exposure names its card")
                .into());
        };
        Ok((row.path, exposure))
    };
    table.rows.into_iter().map(value).collect()
}
