"""Makes a small raster as a slit spectropolarimeter's archive holds one: a file a step and
Stokes parameter, `visp/{stokes}_{raster:03d}.fits`, with stokes in I, Q, U, V and 20 steps.

Each file is built as the DKIST archive's: an empty primary HDU, and in HDU 1 an image of
shape (1, wave, slit), float32, quantised, tile-compressed by RICE_1 with tiles of one row,
NaN (ZBLANK) where there are no data. All values are made up: a granulation pattern, two
absorption lines, Zeeman signals around a spot, and noise.

Needs numpy and astropy (made with astropy 8.0). Run in this folder. Seeded: the same
versions write the same bytes.
"""

import time
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits

warnings.simplefilter("ignore")
time.time = lambda: 0.0  # gzip streams carry the time

STEPS, WAVE, SLIT = 20, 50, 120
LINES = (630.15, 630.25)  # nm
wave = 630.1 + 0.004 * np.arange(WAVE)
along = np.arange(SLIT) / SLIT


def gauss(x, width):
    return np.exp(-0.5 * (x / width) ** 2)


def spectra(step, rng):
    """The four Stokes parameters at one step of the raster: {name: (wave, slit)}."""
    across = step / STEPS
    continuum = 1 + 0.08 * np.sin(23 * along + 9 * across) * np.cos(17 * along - 31 * across)
    spot = gauss(np.hypot(along - 0.6, across - 0.5), 0.12)
    continuum = continuum * (1 - 0.7 * spot)
    velocity = 0.004 * np.sin(11 * along + 40 * across)  # nm
    splitting = 0.012 * spot
    intensity = np.ones((WAVE, SLIT))
    circular, linear = np.zeros((WAVE, SLIT)), np.zeros((WAVE, SLIT))
    for depth, line in zip((0.65, 0.6), LINES):
        offset = wave[:, None] - line - velocity
        blue, red = gauss(offset + splitting, 0.011), gauss(offset - splitting, 0.011)
        intensity -= depth * 0.5 * (blue + red)
        circular += depth * 0.5 * (blue - red)
        linear += 0.08 * spot * (blue - 2 * gauss(offset, 0.011) + red)
    angle = 2 * np.arctan2(across - 0.5, along - 0.6)
    counts = 20_000 * continuum
    stokes = {
        "I": counts * intensity,
        "Q": counts * linear * np.cos(angle),
        "U": counts * linear * np.sin(angle),
        "V": counts * circular,
    }
    return {name: data + rng.normal(0, 25, data.shape) for name, data in stokes.items()}


def main():
    rng = np.random.default_rng(6302)
    folder = Path("visp")
    folder.mkdir(exist_ok=True)
    for step in range(STEPS):
        for name, data in spectra(step, rng).items():
            # No data in two bad rows of the detector, and in a few dead pixels.
            data[[7 + step % 2, 31]] = np.nan
            data[rng.integers(0, WAVE, 6), rng.integers(0, SLIT, 6)] = np.nan
            header = fits.Header()
            header["INSTRUME"] = ("VISP", "made up; see data/visp/make.py")
            header["BUNIT"] = "ct"
            header["DATE-BEG"] = f"2024-06-11T18:{step // 6:02d}:{10 * (step % 6):02d}.000"
            header["STOKES"] = (name, "Stokes parameter")
            header["RASTER"] = (step, "step of the raster")
            header["CTYPE1"], header["CUNIT1"], header["CDELT1"] = "HPLT-TAN", "arcsec", 0.15
            header["CTYPE2"], header["CUNIT2"], header["CDELT2"] = "AWAV", "nm", 0.004
            header["CTYPE3"], header["CUNIT3"], header["CDELT3"] = "HPLN-TAN", "arcsec", 0.21
            header["CRPIX2"], header["CRVAL2"] = 1, 630.1
            header["CRPIX3"], header["CRVAL3"] = 1 - step, 0.0
            image = fits.CompImageHDU(
                data[None].astype("f4"),
                header,
                compression_type="RICE_1",
                tile_shape=(1, 1, SLIT),
                quantize_level=16,
                quantize_method=-1,
            )
            hdus = fits.HDUList([fits.PrimaryHDU(), image])
            hdus.writeto(folder / f"{name}_{step:03d}.fits", overwrite=True)


if __name__ == "__main__":
    main()
