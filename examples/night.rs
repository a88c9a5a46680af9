//! A night of frames: bias and flat frames are averaged, each light frame is calibrated by
//! them, and all are combined, cosmic rays left out. The frames are made up here, in a temporary folder.
//!
//! ```text
//! cargo run --release --example night
//! ```

use freeboard::{
    Array, Fits, Result, Session,
    array::{Combine, arange, random},
    open,
};
use std::path::Path;

/// Rows and columns of a frame.
const FRAME: [u64; 2] = [256, 384];
/// What the camera gives without light, in counts.
const OFFSET: f64 = 300.0;
/// What the sky gives, in counts.
const SKY: f64 = 1000.0;

fn main() -> Result<()> {
    let session = Session::builder().memory("512MiB").build()?;
    let folder = std::env::temp_dir().join(format!("freeboard-night-{}", std::process::id()));
    let result = night(&session, &folder);
    std::fs::remove_dir_all(&folder).ok();
    result
}

fn night(session: &Session, folder: &Path) -> Result<()> {
    make_frames(session, folder)?;
    let frames = |name: &str| -> Result<Array<f32>> {
        let glob = folder.join(format!("{name}_*.fits"));
        Ok(open(glob.to_string_lossy())?.cast())
    };

    // Formulas, as they are in the textbook; nothing is read yet.
    let bias = frames("bias")?.mean(0);
    let flat = frames("flat")?.mean(0) - &bias;
    let flat = &flat / flat.mean(..);
    let calibrated = (frames("light")? - &bias) / &flat;
    let science = calibrated.combine(0, Combine::mean().sigma_clip(2.0));

    print!("{}", session.plan(&science)?);
    let output = folder.join("science.fits");
    println!("{}", session.store(&science, Fits::create(&output))?);

    // What came out: the sky, without the camera's offset and its uneven sensitivity.
    let science = open(output.to_string_lossy())?.cast::<f32>();
    let (mean, std) = session.compute((science.mean(..).item(), science.std(..).item()))?;
    println!("sky {mean:.1} ± {std:.1}, of {SKY}");
    Ok(())
}

/// Writes 8 frames each of bias, flat and light.
fn make_frames(session: &Session, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(freeboard::formats::FormatError::io)?;
    // Less sensitive towards the left edge.
    let across = arange::<f64>(0.0, FRAME[1] as f64, 1.0) / FRAME[1] as f64;
    let response = across * 0.5 + 0.75;
    let mut random = random(7);
    for number in 0..8 {
        let mut noise = || random.normal(FRAME) * 5.0 + OFFSET;
        let bias = noise();
        let flat = noise() + &response * 20_000.0;
        let light = noise() + &response * SKY;
        // One pixel in a thousand is hit by a cosmic ray.
        let hits = random.uniform(FRAME).less(0.001).cast::<f64>();
        let light = light + hits * 9000.0;
        for (name, frame) in [("bias", bias), ("flat", flat), ("light", light)] {
            let path = folder.join(format!("{name}_{number:03}.fits"));
            session.store(&frame.cast::<u16>(), Fits::create(path))?;
        }
    }
    Ok(())
}
