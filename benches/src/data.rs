//! Images as a camera takes them: photons, counted and digitised. They compress as real ones do,
//! to about a half, and are the same each time.

use freeboard::{
    Array, Element, Session,
    array::{Chunks, Kind, random},
};
use ndarray::{ArrayD, IxDyn};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// Rows and columns of a frame.
pub const SIDE: u64 = 1024;

/// Photons that a pixel gets, in the mean.
const LIGHT: f64 = 900.0;

/// So many frames of counts, of which each is a chunk; random numbers, made when they are computed.
pub fn counts(frames: u64) -> Array<u16> {
    photons(frames).cast()
}

/// The same frames calibrated: dark and gain are no whole numbers, and take the noise of the
/// camera with them.
pub fn calibrated(frames: u64) -> Array<f32> {
    let read_noise = random(2).normal(shape(frames)).rechunk(chunks());
    ((photons(frames).cast::<f64>() - 100.25 + read_noise * 3.0) * 1.7).cast()
}

fn photons(frames: u64) -> Array<i64> {
    random(1).poisson(LIGHT, shape(frames)).rechunk(chunks())
}

fn shape(frames: u64) -> [usize; 3] {
    [frames as usize, SIDE as usize, SIDE as usize]
}

fn chunks() -> [u64; 3] {
    [1, SIDE, SIDE]
}

/// A session of two threads, with room for what is measured here.
///
/// # Panics
/// If this machine has no room for that.
pub fn session() -> Session {
    Session::builder().threads(2).memory("2GiB").build().expect("2 GiB")
}

/// Elements from 0 to 250 in memory, in chunks; what is computed with them reads no file.
pub fn in_memory<T: Element + Kind>(
    shape: &[usize],
    chunks: impl Into<Chunks>,
    of: impl Fn(u8) -> T,
) -> Array<T> {
    let mut state = 0u32;
    let elements = ArrayD::from_shape_simple_fn(IxDyn(shape), || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        of(((state >> 24) % 251) as u8)
    });
    Array::chunked(&elements, chunks)
}

/// All files in a folder and below it, in the order of their names.
///
/// # Errors
/// If a folder cannot be read.
pub fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        match path.is_dir() {
            true => files.extend(files_below(&path)?),
            false => files.push(path),
        }
    }
    files.sort();
    Ok(files)
}

/// Has the operating system forget what it holds of files in memory: what is read next comes from
/// the disk. Their names and places it may still know.
///
/// # Errors
/// If a file cannot be opened or written back.
pub fn forget(files: &[PathBuf]) -> io::Result<()> {
    for path in files {
        let file = File::open(path)?;
        // What is not written yet cannot be forgotten.
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}
