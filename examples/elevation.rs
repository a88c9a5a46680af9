//! An elevation map out of a coloured image: its grey values, rescaled, block by block the variance, and
//! where it is the least: a place for a camp.
//!
//! ```text
//! cargo run --release --example elevation [IMAGE.zarr OUT.zarr]
//! ```
//!
//! An image is rows, columns and three colours. Without one, a landscape is made up.

use freeboard::{
    Array, Result, Session, Zarr,
    array::{Chunks, fromfunction},
    formats::FormatError,
    open, s,
};
use std::path::Path;

/// Metres of the brightest place.
const SUMMIT: f64 = 3000.0;

fn main() -> Result<()> {
    let session = Session::builder().memory("512MiB").build()?;
    let mut args = std::env::args().skip(1);
    if let (Some(image), Some(output)) = (args.next(), args.next()) {
        return elevation(&session, Path::new(&image), Path::new(&output));
    }
    let folder = std::env::temp_dir().join(format!("freeboard-map-{}", std::process::id()));
    let image = folder.join("image.zarr");
    let result = make_image(&session, &image)
        .and_then(|()| elevation(&session, &image, &folder.join("elevation.zarr")));
    std::fs::remove_dir_all(&folder).ok();
    result
}

fn elevation(session: &Session, image: &Path, output: &Path) -> Result<()> {
    let image = open(image.to_string_lossy())?.cast::<f64>();
    let colour = |number: usize| image.slice(s![.., .., number]);
    let grey = colour(0) * 0.21 + colour(1) * 0.72 + colour(2) * 0.07;
    let (least, greatest) = session.compute((grey.min(..).item(), grey.max(..).item()))?;
    let metres: Array<f32> = ((grey - least) * (SUMMIT / (greatest - least))).cast();
    println!("{metres}");

    // One number for each block, and the block where it is the least.
    let variances = metres.map_blocks(Chunks::ones(), |block, _| {
        ndarray::arr2(&[[block.mapv(f64::from).var(0.0)]]).into_dyn()
    });
    let (quietest, variance) =
        session.compute((variances.argmin(..).item(), variances.min(..).item()))?;
    let blocks = metres.numblocks()?;
    let block = [quietest as u64 / blocks[1], quietest as u64 % blocks[1]];
    let starts = metres.chunks()?.into_iter().zip(block);
    let at: Vec<u64> =
        starts.map(|(lens, number)| lens.iter().take(number as usize).sum()).collect();

    // As it was cut, so it is stored.
    session.store(&metres, Zarr::create(output).zstd(3))?;
    let stored = open(output.to_string_lossy())?;
    assert_eq!(stored.chunks()?, metres.chunks()?);
    println!(
        "the quietest of {blocks:?} blocks begins at {at:?}, with a variance of {variance:.2}"
    );
    Ok(())
}

/// Hills that grow rougher away from a plain, brighter towards their tops; 480 by 640 pixels of three
/// colours, in chunks of 120 by 160.
fn make_image(session: &Session, path: &Path) -> Result<()> {
    let image = fromfunction([480u64, 640, 3], |at: &[u64]| {
        let (y, x) = (at[0] as f64, at[1] as f64);
        let away = ((y - 300.0) / 480.0).powi(2) + ((x - 240.0) / 640.0).powi(2);
        let hills = (x / 23.0).sin() * (y / 17.0).cos() * 200.0 * away.sqrt();
        let tint = [0.9, 1.0, 0.7][at[2] as usize];
        ((110.0 + hills) * tint).clamp(0.0, 255.0) as u8
    });
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(FormatError::io)?;
    }
    session.store(&image.rechunk([120, 160, 3]), Zarr::create(path))?;
    Ok(())
}
