//! A solar raster: 80 FITS files of four Stokes parameters and 20 slit positions, seen as one
//! array. Finds where the line is in the mean spectrum, then stores a smaller cube.
//!
//! ```text
//! cargo run --release --example solar_raster [PATTERN] [OUT.zarr]
//! ```

use freeboard::{Result, Session, Zarr, open, s};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/data/visp/visp/{stokes}_{raster:d}.fits");
    let pattern = args.next().unwrap_or_else(|| here.to_owned());
    let output = args.next().map_or_else(|| std::env::temp_dir().join("small.zarr"), Into::into);

    let session = Session::builder().memory("512MiB").build()?;

    // One header is read, and no element.
    let raster = open(&pattern)?.cast::<f32>();
    println!("{raster}");

    // A spectrum and a profile along the slit, and where the line is: one pass over 20 files.
    let intensity = raster.slice(s![0, .., .., ..]);
    let spectrum = intensity.nanmean([0, 2]);
    let profile = intensity.nanmean([0, 1]);
    let line = spectrum.nanargmin(..).item();
    let (spectrum, profile, line) = session.compute((&spectrum, &profile, &line))?;
    println!(
        "darkest of {} wavelengths: {line}, at {:.0}",
        spectrum.len(),
        spectrum[line as usize]
    );
    println!("along the slit: {:.0} … {:.0}", profile[0], profile[profile.len() - 1]);

    // Five raster positions become one, and every second pixel of the slit.
    let small = raster.rebin([1, 5, 1, 10]).nanmean();
    print!("{}", session.plan(&small)?);
    let report = session.store(&small, Zarr::create(&output).zstd(3).overwrite())?;
    println!("{}: {report}", output.display());
    Ok(())
}
