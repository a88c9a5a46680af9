"""Makes the pictures beside this file, and what other programs read in them: `python make.py`.

PNG files are written by pypng and read by Pillow or, of 16 bits a channel, pypng; JPEG files by
Pillow both ways; TIFF files by tifffile, read by tifffile. `manifest.json` lists what was read:
file, item, dtype, shape, where it begins in `expected.bin`, and by how much elements may differ
(JPEG's decoders do not agree to the bit).
"""

import itertools
import json
import pathlib

import numpy as np
import png
import tifffile
from PIL import Image

HERE = pathlib.Path(__file__).parent
SHAPE = (21, 19)
manifest, data = [], bytearray()


def expect(name, array, item=None, tolerance=0):
    array = np.ascontiguousarray(array)
    array = array.astype(array.dtype.newbyteorder("<"))
    manifest.append(
        {
            "file": name,
            "item": item,
            "dtype": array.dtype.name,
            "shape": array.shape,
            "offset": len(data),
            "tolerance": tolerance,
        }
    )
    data.extend(array.tobytes())


def values(dtype, shape=SHAPE):
    """Something smooth with something rough on it."""
    dtype = np.dtype(dtype)
    i = np.arange(np.prod(shape, dtype=int))
    v = (i * 37) ^ (i >> 3)
    if dtype.kind == "b":
        v = v % 3 == 0
    elif dtype.kind == "f":
        v = v / 8 - 700.5
    elif dtype.itemsize > 1:
        v = v * 41 % 65521 - (1000 if dtype.kind == "i" else 0)
    return v.astype(dtype).reshape(shape)


# PNG ------------------------------------------------------------------------------------


def write_png(name, rows, **options):
    height, width = rows.shape[0], rows.shape[1] // options.pop("planes", 1)
    with open(HERE / name, "wb") as file:
        png.Writer(width, height, **options).write(file, rows.tolist())


def read_png(name, mode=None):
    if mode:
        with Image.open(HERE / name) as image:
            return expect(name, np.asarray(image.convert(mode)))
    width, height, rows, info = png.Reader(str(HERE / name)).read()
    rows = np.array([list(row) for row in rows], dtype="u2" if info["bitdepth"] == 16 else "u1")
    planes = info["planes"]
    expect(name, rows.reshape(height, width, planes) if planes > 1 else rows)


for interlace in (False, True):
    tail = "-interlaced.png" if interlace else ".png"
    common = {"interlace": interlace}
    write_png("grey8" + tail, values("u1"), greyscale=True, bitdepth=8, **common)
    read_png("grey8" + tail, "L")
    write_png("grey16" + tail, values("u2"), greyscale=True, bitdepth=16, **common)
    read_png("grey16" + tail)
    rgb = values("u1", SHAPE + (3,)).reshape(21, -1)
    write_png("rgb8" + tail, rgb, greyscale=False, planes=3, **common)
    read_png("rgb8" + tail, "RGB")
    rgba = values("u2", SHAPE + (4,)).reshape(21, -1)
    write_png("rgba16" + tail, rgba, greyscale=False, alpha=True, bitdepth=16, planes=4, **common)
    read_png("rgba16" + tail)
    palette = [(5 * i, 255 - 3 * i, i * i % 256) for i in range(16)]
    write_png("palette4" + tail, values("u1") % 16, palette=palette, bitdepth=4, **common)
    read_png("palette4" + tail, "RGB")
ga = values("u1", SHAPE + (2,)).reshape(21, -1)
write_png("grey-alpha8.png", ga, greyscale=True, alpha=True, planes=2)
read_png("grey-alpha8.png", "LA")
write_png("grey-alpha16.png", ga.astype("u2") * 251, greyscale=True, alpha=True, bitdepth=16, planes=2)
read_png("grey-alpha16.png")
for bits in (1, 2, 4):
    write_png(f"grey{bits}.png", values("u1") % 2**bits, greyscale=True, bitdepth=bits)
    read_png(f"grey{bits}.png", "L")
clear = [(5 * i, 255 - 3 * i, i * i % 256, 16 * i) for i in range(256 // 16)]
write_png("palette8-clear.png", values("u1") % 16, palette=clear, bitdepth=8)
read_png("palette8-clear.png", "RGBA")
write_png("grey8-clear.png", values("u1"), greyscale=True, transparent=37)
read_png("grey8-clear.png", "LA")
Image.fromarray(values("u1", (200, 100))).save(HERE / "strips.png", optimize=True)
read_png("strips.png", "L")

# JPEG -----------------------------------------------------------------------------------

y, x = np.mgrid[:37, :43]
waves = 128 + 60 * np.sin(x / 7) + 50 * np.cos(y / 5 + x / 11)
grey = waves.astype("u1")
colour = np.stack([waves, waves.T[:1, :1] + 0 * waves, 255 - waves], axis=-1).clip(0, 255).astype("u1")


def jpeg(name, array, mode, tolerance, **options):
    Image.fromarray(array).convert(mode).save(HERE / name, quality=90, **options)
    if mode != "CMYK":
        with Image.open(HERE / name) as image:
            expect(name, np.asarray(image), tolerance=tolerance)


jpeg("grey.jpg", grey, "L", 2)
jpeg("grey-progressive.jpg", grey, "L", 2, progressive=True)
jpeg("rgb-444.jpg", colour, "RGB", 3, subsampling=0)
jpeg("rgb-422.jpg", colour, "RGB", 6, subsampling=1)
jpeg("rgb-420.jpg", colour, "RGB", 6, subsampling=2)
jpeg("rgb-progressive.jpg", colour, "RGB", 6, subsampling=2, progressive=True)
jpeg("restarts.jpg", colour, "RGB", 3, subsampling=0, restart_marker_blocks=3)
jpeg("notes.jpg", grey, "L", 2, comment=b"a comment", icc_profile=bytes(3000))
jpeg("cmyk.jpg", colour, "CMYK", 0)

# TIFF -----------------------------------------------------------------------------------


def tiff(name, array, read=True, **options):
    options.setdefault("photometric", "minisblack")
    tifffile.imwrite(HERE / name, array, metadata=None, **options)
    if read:
        expect(name, tifffile.imread(HERE / name))


for dtype in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"):
    name = np.dtype(dtype).name
    tiff(f"{name}.tif", values(dtype), rowsperstrip=5)
    tiff(f"{name}-big.tif", values(dtype), rowsperstrip=5, byteorder=">", bigtiff=True)
codes = {"lzw": ("lzw", (None, 2)), "deflate": ("zlib", (None, 2, 3)), "packbits": ("packbits", (None,))}
for name, (code, predictors) in codes.items():
    for predictor, dtype, order in itertools.product(predictors, ("u1", "u2", "f4", "f8"), "<>"):
        if (predictor == 3) != (dtype[0] == "f") and predictor:
            continue
        tail = f"{name}-p{predictor or 1}-{np.dtype(dtype).name}{'-big' if order == '>' else ''}.tif"
        options = {"tile": (16, 16)} if dtype == "u2" else {"rowsperstrip": 8}
        tiff(tail, values(dtype), compression=code, predictor=predictor, byteorder=order, **options)
for name, shape, planar in (("contig", SHAPE + (3,), "contig"), ("separate", (3,) + SHAPE, "separate")):
    for tail, options in (
        ("", {"rowsperstrip": 6}),
        ("-lzw", {"rowsperstrip": 6, "compression": "lzw", "predictor": 2}),
        ("-tiled", {"tile": (16, 16)}),
        ("-tiled-deflate", {"tile": (16, 16), "compression": "zlib", "predictor": 2}),
    ):
        file = f"rgb-{name}{tail}.tif"
        tiff(file, values("u2", shape), False, photometric="rgb", planarconfig=planar, **options)
        array = tifffile.imread(HERE / file)
        expect(file, array if planar == "contig" else array.transpose(1, 2, 0))
tiff("pages.tif", values("i2", (5,) + SHAPE), rowsperstrip=8, description="five pages", software="make.py")
for page in (0, 3):
    expect("pages.tif", tifffile.imread(HERE / "pages.tif", key=page), item=str(page))
tiff("pages-rgb-lzw.tif", values("u1", (3,) + SHAPE + (3,)), photometric="rgb", compression="lzw")
with tifffile.TiffWriter(HERE / "differ.tif") as file:
    file.write(values("u2"), metadata=None)
    file.write(values("f4", (5, 7)), metadata=None)
expect("differ.tif", values("u2"), item="0")
expect("differ.tif", values("f4", (5, 7)), item="1")
tiff("bits1.tif", values("?"), rowsperstrip=4)
Image.fromarray(values("?")).save(HERE / "bits1-packbits.tif", compression="packbits")
expect("bits1-packbits.tif", values("?"))
Image.fromarray(values("u1")).save(HERE / "jpeg.tif", compression="jpeg")
tiff("half.tif", values("f2"), False)
tiff("complex.tif", values("f4").astype("c8"), False)

(HERE / "expected.bin").write_bytes(data)
(HERE / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
