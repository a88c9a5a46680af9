"""Makes blanks.fits.gz and blanks.json: undefined elements of integers and floats, of every BITPIX.

Written with astropy 8.0. Each HDU of the file has one image; the JSON tells, for each of them, what
astropy and numpy read: the elements with undefined ones as 0, their dtype, and the mask.
"""

import gzip
import io
import json
from pathlib import Path

import numpy as np
from astropy.io import fits

HERE = Path(__file__).resolve().parent
SHAPE = (5, 7)


def integers():
    """HDUs of integers with a BLANK: as they are, scaled, and of the other signedness."""
    for bits in (8, 16, 32, 64):
        dtype = np.dtype("u1" if bits == 8 else f"i{bits // 8}")
        info = np.iinfo(dtype)
        raw = np.arange(35, dtype=dtype).reshape(SHAPE)
        raw[4] = [info.min, info.max, 9, 9, 0, 1, info.max - 1]
        for blank in (9, int(info.min)):
            for cards in ({}, {"BSCALE": 0.5, "BZERO": 3.0}, {"BZERO": -128 if bits == 8 else 2 ** (bits - 1)}):
                hdu = fits.ImageHDU(raw.copy(), do_not_scale_image_data=True)
                hdu.header.update({**cards, "BLANK": blank})
                yield hdu, raw == blank
        # No BLANK: nothing is undefined.
        yield fits.ImageHDU(raw.copy()), np.zeros(SHAPE, bool)


def floats():
    """HDUs of floats, in which NaN is undefined."""
    for dtype in ("f4", "f8"):
        x = (np.arange(35, dtype=dtype) / 8).reshape(SHAPE)
        x[1, 2] = x[4, 6] = np.nan
        x[0, 0], x[0, 1] = -0.0, np.inf
        yield fits.ImageHDU(x), np.isnan(x)


def compressed():
    """Tile-compressed HDUs: integers with ZBLANK, quantised floats, and floats without loss."""
    rng = np.random.default_rng(5)
    for dtype in ("u1", "i2", "i4"):
        raw = rng.integers(0, 100, (20, 30)).astype(dtype)
        raw[3, 4:9] = 77
        hdu = fits.CompImageHDU(raw, compression_type="RICE_1", tile_shape=(4, 30))
        hdu.header["BLANK"] = 77
        yield hdu, raw == 77
    for dtype in ("f4", "f8"):
        x = rng.normal(100, 5, (20, 30)).astype(dtype)
        x[3, 4:9] = np.nan
        x[7] = np.nan
        for quantize in ({"quantize_level": 16, "quantize_method": 1, "dither_seed": 7}, {"quantize_level": 0}):
            kind = "RICE_1" if quantize["quantize_level"] else "GZIP_2"
            hdu = fits.CompImageHDU(x, compression_type=kind, tile_shape=(1, 30), **quantize)
            yield hdu, np.isnan(x)


def written(hdus):
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(file)
    return file.getvalue()


def main():
    masks = [mask for _, mask in made()]
    file = written([hdu for hdu, _ in made()])
    (HERE / "blanks.fits.gz").write_bytes(gzip.compress(file, 9, mtime=0))
    # The same images without the card: all pixels are numbers, of the dtype that they have then.
    plain = [hdu for hdu, _ in made()]
    for hdu in plain:
        hdu.header.remove("BLANK", ignore_missing=True)
    with fits.open(io.BytesIO(written(plain)), uint=True) as hdus:
        images = [np.array(hdu.data) for hdu in hdus[1:]]
    told = []
    for mask, read in zip(masks, images):
        elements = np.where(mask, read.dtype.type(0), read).astype(read.dtype.newbyteorder("<"))
        dtype = read.dtype.newbyteorder("=").name
        told.append({"dtype": dtype, "mask": "".join("01"[int(m)] for m in mask.ravel()), "bytes": elements.tobytes().hex()})
    (HERE / "blanks.json").write_text("[" + ",\n".join(map(json.dumps, told)) + "]\n")


def made():
    return [*integers(), *floats(), *compressed()]


main()
