//! Many HDF5 frames as one array: each is scaled to 0…255 for the eye, one is looked at, and all
//! are stored anew in chunks of ten frames.
//!
//! ```text
//! cargo run --release --example hdf5_frames [GLOB.h5::ITEM OUT.zarr]
//! ```
//!
//! Without arguments it makes up 30 frames, one of them constant and one with dead pixels.

use freeboard::{
    Array, Hdf5, Result, Session, Zarr,
    array::{keepdims, random},
    formats::FormatError,
    open, s,
};
use std::path::{Path, PathBuf};

/// Rows and columns of the frames that are made up.
const FRAME: [u64; 2] = [257, 257];

fn main() -> Result<()> {
    let session = Session::builder().memory("512MiB").build()?;
    let mut args = std::env::args().skip(1);
    if let (Some(pattern), Some(output)) = (args.next(), args.next()) {
        return frames(&session, &pattern, Path::new(&output));
    }
    let folder = std::env::temp_dir().join(format!("freeboard-frames-{}", std::process::id()));
    let result = make_frames(&session, &folder, 30).and_then(|pattern| {
        frames(&session, &pattern.to_string_lossy(), &folder.join("frames.zarr"))
    });
    std::fs::remove_dir_all(&folder).ok();
    result
}

fn frames(session: &Session, pattern: &str, output: &Path) -> Result<()> {
    // One header is read; a file is one chunk.
    let frames = open(pattern)?.cast::<f32>();
    println!("{frames}");

    // Looking at one frame reads one file.
    let shown = for_the_eye(&frames);
    let number = 7.min(frames.shape()?[0] - 1);
    let (frame, report) = session.compute_reported(shown.slice(s![number, .., ..]))?;
    let middle = frame[[frame.shape()[0] / 2, frame.shape()[1] / 2]];
    println!("frame {number}: {middle} of 255 in its middle, {} bytes read", report.read);

    // All of them, in chunks for reading through time.
    let stored = session.store(&shown.rechunk([10, -1, -1]), Zarr::create(output).zstd(3))?;
    println!("{stored}");

    // Statistics of every frame, and of all, in one pass over the new array.
    let cube = open(output.to_string_lossy())?.cast::<u8>();
    let (means, least, greatest) =
        session.compute((cube.mean([1, 2]), cube.min(..).item(), cube.max(..).item()))?;
    let brightest = means.iter().copied().fold(0.0, f64::max);
    println!(
        "{} frames from {least} to {greatest}; the brightest has a mean of {brightest:.1}",
        means.len()
    );
    Ok(())
}

/// Each frame from its least value, 0, to its greatest, 255. What is NaN is 0, and so is a frame whose
/// elements are all the same.
fn for_the_eye(frames: &Array<f32>) -> Array<u8> {
    let least = frames.nanmin(keepdims([1, 2]));
    let greatest = frames.nanmax(keepdims([1, 2]));
    let scaled = (frames - &least) * 255.0 / (greatest - &least);
    scaled.isnan().choose(0.0, &scaled).round(0).cast()
}

/// Writes so many frames; returns the pattern that finds them.
fn make_frames(session: &Session, folder: &Path, count: usize) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).map_err(FormatError::io)?;
    let mut random = random(3);
    for number in 0..count {
        let noise = random.normal(FRAME).cast::<f32>();
        let frame = match number {
            3 => noise * 0.0 + 12.0,
            5 => noise.greater(2.5).choose(f32::NAN, &noise),
            _ => noise * 10.0 + number as f32,
        };
        let path = folder.join(format!("frame_{number:04}.h5"));
        session.store(&frame, Hdf5::create(path).uncompressed())?;
    }
    Ok(folder.join("frame_*.h5"))
}
