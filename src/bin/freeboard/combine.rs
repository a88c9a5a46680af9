//! `freeboard combine`: frames calibrated, and combined into one.
//!
//! A file of one or two axes alone is one frame; one of more axes holds frames along its first. Frames of
//! files that are missing, and elements that are undefined, are left out.

mod calibrate;

use crate::{
    args::{Center, Combine as Args, Deviation, Input, Method},
    job::{self, Job},
    output::tuple,
};
use freeboard::{
    Array, Blank, Missing, OpenOptions, Result,
    array::Combine,
    formats::{ErrorKind, FormatError, registry},
    kernel::{self, SigmaClip},
    open_all, open_masked,
};
use std::path::Path;

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let how = how(args)?;
    let output = job::output(&args.output, &args.writing, &args.run, &args.paths)?;
    let job = Job::new("combine", &args.run)?;
    let Frames { all, mask } = frames(args)?;
    let frames = calibrate::calibrated(&all, args)?;
    let how = match mask {
        Some(mask) => how.mask(&job::part(mask, &args.input)?.typed::<bool>()?),
        None => how,
    };
    job.store(&frames.combine(0, how), &output)
}

fn invalid(message: impl Into<String>) -> FormatError {
    FormatError::new(ErrorKind::Invalid, message)
}

/// The refusal of a calibration of another shape than the frames'.
fn mismatch(what: &str, shape: &[usize], frame: &[usize]) -> FormatError {
    let message =
        format!("the {what} has the shape {}, and a frame {}", tuple(shape), tuple(frame));
    FormatError::new(ErrorKind::Mismatch, message)
        .help("--slice is of frames and calibrations alike, as they lie in their files")
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
        if low.is_nan() || high.is_nan() || low > high {
            let message = format!("--min-max-clip {low},{high} would reject all elements");
            return Err(invalid(message).help("give the lower value first").into());
        }
        how = how.min_max_clip(low, high);
    }
    if let Some(deviations) = &args.sigma_clip {
        let [low, high] = match deviations[..] {
            [both] => [both, both],
            _ => pair(deviations, "--sigma-clip")?,
        };
        if let Some(wrong) = [low, high].into_iter().find(|k| k.is_nan() || *k <= 0.0) {
            let message = format!("--sigma-clip takes numbers of deviations above 0, not {wrong}");
            return Err(invalid(message).help("inf rejects nothing on its side").into());
        }
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
    if let Some(weights) = &args.weights {
        if !weights.iter().all(|&w| w >= 0.0 && w.is_finite()) || weights.iter().all(|&w| w == 0.0)
        {
            return Err(invalid("--weights takes numbers of 0 or more, not all of them 0").into());
        }
        if matches!(args.method, Method::Median) {
            return Err(invalid("a median has no weights")
                .help("give --method mean or --method sum beside --weights")
                .into());
        }
        how = how.weights(weights.iter().copied());
    }
    if let Some(factors) = &args.scale {
        if !factors.iter().all(|factor| factor.is_finite()) {
            return Err(invalid("--scale takes finite numbers").into());
        }
        how = how.scale(factors.iter().copied());
    }
    Ok(how)
}

fn pair(values: &[f64], option: &str) -> Result<[f64; 2]> {
    <[f64; 2]>::try_from(values).map_err(|_| {
        invalid(format!("{option} takes a lower and an upper value, not {}", values.len())).into()
    })
}

/// All frames, along the first axis or several, and where elements of them are missing.
struct Frames {
    all: Array,
    mask: Option<Array>,
}

fn frames(args: &Args) -> Result<Frames> {
    let Input { stacking, mask, .. } = &args.input;
    let options = job::options(stacking);
    // Undefined elements are left out either way, and so are missing ones, which integers have no
    // NaN to tell by.
    let options = OpenOptions { blank: Blank::Nan, ..options };
    let (all, mask) = match stacking.missing {
        _ if *mask => (job::whole(&args.paths, &args.input)?, None),
        Missing::Error => (open_all(&args.paths, &options)?, None),
        Missing::Nan | Missing::Mask => {
            let (all, mask) = open_masked(&args.paths, &options)?;
            (all, Some(mask.to_dyn()))
        }
    };
    let (rank, single) = (all.rank()?, is_single(args)?);
    if rank == 0 {
        return Err(invalid("a number is no frame").at(&args.paths[0]).into());
    }
    let stacked = |array: Array| match single && rank <= 2 {
        true => array.expand_dims([0]),
        false => array,
    };
    Ok(Frames { all: stacked(all), mask: mask.map(stacked) })
}

/// Whether the frames are one file that is named itself, and no stack.
fn is_single(args: &Args) -> Result<bool> {
    let ([path], None, []) =
        (&args.paths[..], &args.input.stacking.stack, &args.input.stacking.stack_by[..])
    else {
        return Ok(false);
    };
    let files = registry::files(&args.paths)?;
    Ok(match &files[..] {
        [(file, None)] => file == Path::new(path),
        [(file, Some(item))] => *path == format!("{}::{item}", file.display()),
        _ => false,
    })
}
