"""Makes the FITS fixtures of the tests, and what astropy reads in them.

Needs numpy, astropy (made with astropy 8.0) and cfitsio's fpack (4.2). Run in this folder: it writes *.fits,
expected.bin (elements, little-endian, C order) and manifest.json (where each array lies in
expected.bin). Seeded: the same versions write the same bytes.
"""

import json
import time
import warnings

import numpy as np
from astropy.io import fits

warnings.simplefilter("ignore")
time.time = lambda: 0.0  # gzip streams carry the time
rng = np.random.default_rng(20240611)
manifest = []
expected = bytearray()


def expect(name, item, data):
    """Notes that the HDU `item` of `name` holds `data`."""
    data = np.ascontiguousarray(data)
    data = data.astype(data.dtype.newbyteorder("<"))
    manifest.append(
        dict(
            file=name,
            item=item,
            dtype=data.dtype.name,
            shape=list(data.shape),
            offset=len(expected),
        )
    )
    expected.extend(data.tobytes())


def read(name, hdu=0):
    with fits.open(name, memmap=False) as hdus:
        return np.array(hdus[hdu].data)


def ints(dtype, shape):
    info = np.iinfo(dtype)
    data = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    smooth = np.cumsum(rng.integers(-3, 4, shape), axis=-1) + 50
    data[::2] = smooth.astype(dtype)[::2]
    return data


def floats(dtype, shape):
    data = rng.normal(100, 5, shape).astype(dtype)
    data[0, ..., :3] = 0
    return data


def plain(name, data, **cards):
    hdu = fits.PrimaryHDU(data)
    hdu.writeto(name, overwrite=True)
    if cards:
        # Scaling cards are put over stored pixels, which stay as they are.
        with fits.open(name, mode="update", do_not_scale_image_data=True) as hdus:
            for key, value in cards.items():
                hdus[0].header[key] = value
    expect(name, None, read(name))


shape = (6, 11)
for dtype in ("u1", "i2", "i4", "i8", "u2", "u4", "u8", "i1"):
    plain(f"plain_{dtype}.fits", ints(dtype, shape))
for dtype in ("f4", "f8"):
    data = floats(dtype, shape)
    data[1, 1], data[2, 2], data[3, 3] = np.nan, np.inf, -0.0
    plain(f"plain_{dtype}.fits", data)
plain("scaled_u1.fits", ints("u1", shape), BSCALE=0.1, BZERO=3.0)
plain("scaled_i2.fits", ints("i2", shape), BSCALE=0.3, BZERO=1000.0)
plain("scaled_i4.fits", ints("i4", shape), BSCALE=1e-3)
plain("scaled_f4.fits", floats("f4", shape), BSCALE=0.7, BZERO=-2.5)
data = ints("i2", shape)
data[1, :4] = -99
plain("blank_i2.fits", data, BLANK=-99)
plain("blank_scaled_i2.fits", data, BLANK=-99, BSCALE=2.0, BZERO=0.5)
data = ints("i4", shape)
data[2, 3:7] = -99
plain("blank_i4.fits", data, BLANK=-99)
plain("cube_i2.fits", ints("i2", (4, 5, 6)))
plain("line_f8.fits", rng.normal(size=17))

hdus = fits.HDUList([fits.PrimaryHDU()])
hdus[0].header["OBSERVER"] = "O'Hara"
hdus[0].header["HIERARCH ESO DET CHIP"] = 3
hdus[0].header["LONGTEXT"] = "a long text that goes on " * 6
hdus[0].header["HISTORY"] = "made by make.py"
hdus.append(fits.ImageHDU(ints("i2", shape), name="SCI"))
hdus.append(fits.ImageHDU(floats("f4", shape), name="ERR"))
hdus.append(fits.ImageHDU(ints("i4", (3, 4)), name="SCI", ver=2))
hdus.append(fits.BinTableHDU.from_columns([fits.Column("A", "J", array=np.arange(3))], name="TAB"))
hdus.append(fits.CompImageHDU(ints("i2", shape), name="COMP"))
hdus.writeto("multi.fits", overwrite=True)
for item, hdu in ((None, 1), ("SCI", 1), ("err", 2), ("SCI,2", 3), ("3", 3), ("COMP", 5)):
    expect("multi.fits", item, read("multi.fits", hdu))


def compressed(name, data, algorithm, cards=None, **options):
    hdu = fits.CompImageHDU(data, compression_type=algorithm, **options)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(name, overwrite=True)
    if cards:
        with fits.open(name, mode="update", disable_image_compression=True) as hdus:
            for key, value in cards.items():
                hdus[1].header[key] = value
    expect(name, None, read(name, 1))


shape = (5, 67)
for dtype in ("u1", "i2", "i4", "u2", "u4"):
    compressed(f"rice_{dtype}.fits", ints(dtype, shape), "RICE_1")
    compressed(f"gzip1_{dtype}.fits", ints(dtype, shape), "GZIP_1")
    compressed(f"gzip2_{dtype}.fits", ints(dtype, shape), "GZIP_2")
compressed("nocompress_i2.fits", ints("i2", shape), "NOCOMPRESS")
compressed("rice_constant_i4.fits", np.full(shape, 7, "i4"), "RICE_1")
compressed("rice_tiles_i2.fits", ints("i2", (4, 9, 23)), "RICE_1", tile_shape=(2, 4, 10))
compressed("gzip2_tiles_i4.fits", ints("i4", (4, 9, 23)), "GZIP_2", tile_shape=(1, 9, 5))
data = ints("i2", shape)
data[1, 5:9] = -99
compressed("rice_blank_i2.fits", data, "RICE_1", cards=dict(BLANK=-99))
compressed("rice_scaled_i2.fits", ints("i2", shape), "RICE_1", cards=dict(BSCALE=0.3, BZERO=7.0))

for dtype in ("f4", "f8"):
    data = floats(dtype, shape)
    data[1, 3:9] = np.nan
    for dither, number in (("none", -1), ("dither1", 1), ("dither2", 2)):
        compressed(
            f"rice_{dither}_{dtype}.fits", data, "RICE_1", quantize_method=number,
            quantize_level=16, **({} if number == -1 else dict(dither_seed=9997)),
        )
    compressed(f"gzip1_lossless_{dtype}.fits", data, "GZIP_1", quantize_level=0)
    compressed(f"gzip2_lossless_{dtype}.fits", data, "GZIP_2", quantize_level=0)
    # A tile with values too far apart to quantise: kept in GZIP_COMPRESSED_DATA.
    data = floats(dtype, shape)
    data[2] = 10.0 ** rng.integers(-30, 30, shape[1])
    compressed(f"rice_fallback_{dtype}.fits", data, "RICE_1", quantize_method=-1)
data = floats("f4", (4, 10, 31))
data[0, 2, 3:9] = np.nan
compressed("gzip1_quantised_f4.fits", data, "GZIP_1", quantize_level=4, tile_shape=(2, 3, 31))
compressed("gzip2_quantised_f4.fits", data, "GZIP_2", quantize_level=4, tile_shape=(1, 10, 7))
compressed(
    "rice_long_f4.fits", floats("f4", (3, 12_000))[:2], "RICE_1", quantize_level=0.5,
    quantize_method=1, dither_seed=3,
)
compressed("plio.fits", np.abs(ints("i2", shape)) % 100, "PLIO_1")
compressed("hcompress.fits", ints("i2", (16, 16)), "HCOMPRESS_1", tile_shape=(16, 16))

# The same tiles under 64-bit descriptors, with ZBLANK in a column, the scale in keywords,
# and one tile in UNCOMPRESSED_DATA: layouts that astropy reads but does not write.
with fits.open("rice_none_f4.fits", disable_image_compression=True) as hdus:
    table, header = hdus[1].data, hdus[1].header
    rows = len(table)
    raw = floats("f4", shape)
    streams = np.empty(rows, object)
    plain_rows = np.empty(rows, object)
    for i in range(rows):
        streams[i] = np.array([] if i == 3 else table["COMPRESSED_DATA"][i], "u1")
        plain_rows[i] = np.array(raw[i] if i == 3 else [], ">f4")
    columns = [
        fits.Column("COMPRESSED_DATA", "QB", array=streams),
        fits.Column("UNCOMPRESSED_DATA", "QE", array=plain_rows),
        fits.Column("ZSCALE", "D", array=table["ZSCALE"]),
        fits.Column("ZZERO", "D", array=table["ZZERO"]),
        fits.Column("ZBLANK", "J", array=np.full(rows, header["ZBLANK"])),
    ]
    new = fits.BinTableHDU.from_columns(columns)
    for key in header:
        if key.startswith("Z") and key not in ("ZBLANK",):
            new.header[key] = header[key]
    fits.HDUList([fits.PrimaryHDU(), new]).writeto("rice_columns_f4.fits", overwrite=True)
    known = read("rice_none_f4.fits", 1)
    known[3] = raw[3]
    expect("rice_columns_f4.fits", None, known)

# Images in the extensions of one file; from here on with numbers of their own.
rng = np.random.default_rng(20240612)


def many(name, images):
    """Compresses each of (data, algorithm, options)."""
    hdus = [fits.CompImageHDU(data, compression_type=algorithm, **options) for data, algorithm, options in images]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(name, overwrite=True)
    for number in range(1, len(images) + 1):
        expect(name, str(number), read(name, number))


def sky(dtype, shape, noise=3):
    """A smooth image with a few stars, as HCOMPRESS_1 is made for."""
    y, x = np.indices(shape[-2:])
    image = 100 + 5 * np.sin(x / 7) + 3 * np.cos(y / 5) + np.zeros(shape)
    for _ in range(4):
        y0, x0 = rng.uniform(0, shape[-2]), rng.uniform(0, shape[-1])
        image += rng.uniform(100, 1000) * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 6)
    image += rng.normal(0, noise, shape)
    return image.astype(dtype)


def mask(dtype, shape, high):
    runs = np.repeat(rng.integers(0, high, 60), rng.integers(1, 9, 60))
    return np.resize(runs * (runs % 3 > 0), shape).astype(dtype)


many(
    "plio_more.fits",
    [
        (mask("u1", (9, 40), 4), "PLIO_1", dict(tile_shape=(4, 13))),
        (mask("i2", (3, 7, 20), 30_000), "PLIO_1", dict(tile_shape=(2, 3, 20))),
        (mask("i4", (5, 67), 1 << 24), "PLIO_1", {}),
        (mask("i4", (300,), 3), "PLIO_1", dict(tile_shape=(77,))),
    ],
)
tile = dict(tile_shape=(16, 16))
many(
    "hcompress_more.fits",
    [
        (sky("i2", (20, 37)), "HCOMPRESS_1", tile),
        (sky("i4", (2, 21, 37)) * -70_000, "HCOMPRESS_1", dict(tile_shape=(1, 16, 16))),
        (ints("i2", (18, 23)), "HCOMPRESS_1", dict(tile_shape=(7, 23))),
        (sky("u1", (12, 16)) % 200, "HCOMPRESS_1", tile),
        (np.full((8, 9), -5, "i4"), "HCOMPRESS_1", dict(tile_shape=(8, 9))),
        (sky("i2", (40, 43)), "HCOMPRESS_1", dict(tile_shape=(40, 43), hcomp_scale=20)),
        (sky("i2", (40, 43)), "HCOMPRESS_1", dict(tile_shape=(40, 43), hcomp_scale=20, hcomp_smooth=1)),
        (sky("i4", (37, 31)) * 3, "HCOMPRESS_1", dict(tile_shape=(16, 31), hcomp_scale=60, hcomp_smooth=1)),
        (sky("f4", (24, 40)), "HCOMPRESS_1", dict(tile_shape=(24, 16), quantize_level=4)),
        (sky("f8", (24, 40)), "HCOMPRESS_1", dict(tile_shape=(24, 16), quantize_level=16, quantize_method=1, dither_seed=77)),
    ],
)
plain("axes_i2.fits", rng.integers(-9, 9, (2, 1, 2, 1, 3, 2, 1, 3), dtype="i2"))
data = ints("u2", (6, 11))
plain("blank_u2.fits", data, BLANK=-32768)

# The heap of a compressed image backwards, with gaps, and an offset to it (THEAP).
with open("rice_tiles_i2.fits", "rb") as file:
    raw = bytearray(file.read())
with fits.open("rice_tiles_i2.fits", disable_image_compression=True) as hdus:
    header = hdus[1].header
    start = hdus[1]._data_offset
    header_start = hdus[1]._header_offset
    rows, width = header["NAXIS2"], header["NAXIS1"]
    heap = start + rows * width
    table, moved = b"", b""
    for row in range(rows):
        count, offset = np.frombuffer(raw[start + row * width :][:8], ">i4")
        assert width == 8
        moved = bytes(raw[heap + offset :][:count]) + bytes([0xAB] * (row % 4)) + moved
        table += np.array([count, -len(moved)], ">i4").tobytes()
    table = np.frombuffer(table, ">i4").reshape(rows, 2).copy()
    table[:, 1] += len(moved)
    theap = rows * width + 24
    header["PCOUNT"] = 24 + len(moved)
    header["THEAP"] = theap
    data = table.astype(">i4").tobytes() + bytes(24) + moved
    data += bytes(-len(data) % 2880)
    with open("rice_gaps_i2.fits", "wb") as file:
        file.write(raw[:header_start] + header.tostring().encode("ascii") + data)
expect("rice_gaps_i2.fits", None, read("rice_tiles_i2.fits", 1))

# Gzipped files.
import gzip

for name, hdu in (("cube_i2.fits", 0), ("rice_dither1_f4.fits", 1), ("multi.fits", 3)):
    with open(name, "rb") as file, open(name + ".gz", "wb") as out:
        out.write(gzip.compress(file.read(), mtime=0))
    expect(name + ".gz", "SCI,2" if hdu == 3 else None, read(name, hdu))

# What cfitsio's own packer makes of plain images; it takes its dithering seed from the clock.
import os
import subprocess


def fpack(name, source, hdu, *options):
    if os.path.exists(name):
        os.remove(name)
    subprocess.run(["fpack", "-C", *options, "-O", name, source], check=True)
    expect(name, None, read(name, hdu))


for kind, option in (("rice", "-r"), ("gzip1", "-g1"), ("gzip2", "-g2")):
    fpack(f"fpack_{kind}_u2.fits", "plain_u2.fits", 1, option)
small = fits.PrimaryHDU(sky("f4", (30, 40)))
small.data[3, 5:9] = np.nan
small.writeto("sky.fits", overwrite=True)
fpack("fpack_rice_f4.fits", "sky.fits", 1, "-r", "-q", "8")
fpack("fpack_gzip_f4.fits", "sky.fits", 1, "-g", "-q", "0")
fits.PrimaryHDU(sky("u2", (30, 40))).writeto("sky.fits", overwrite=True)
fpack("fpack_hcompress_u2.fits", "sky.fits", 1, "-h", "-s", "2")
fits.PrimaryHDU(mask("i4", (30, 40), 70_000)).writeto("sky.fits", overwrite=True)
fpack("fpack_plio_i4.fits", "sky.fits", 1, "-p")
os.remove("sky.fits")

with open("expected.bin", "wb") as file:
    file.write(expected)
with open("manifest.json", "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(entry) for entry in manifest) + "\n]\n")
