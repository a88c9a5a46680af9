"""Makes the Zarr fixtures beside this file with zarr-python 3: `python make.py`.

Every array holds the same values for its dtype, so that tests need no second copy:
element i in C order is (7 i + 3) mod 101 for integers, half of that less 10 for floats,
and whether i is a multiple of 3 for bool.
"""

import pathlib
import shutil
import warnings

import numcodecs
import numpy as np
import zarr
import zarr.codecs.numcodecs as nc
from zarr.codecs import (
    BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec, ZstdCodec,
)

HERE = pathlib.Path(__file__).parent
SHAPE, CHUNKS = (7, 10), (4, 6)


def values(dtype, shape=SHAPE):
    i = np.arange(np.prod(shape, dtype=int))
    if np.dtype(dtype).kind == "b":
        v = i % 3 == 0
    elif np.dtype(dtype).kind == "f":
        v = (7 * i + 3) % 101 * 0.5 - 10
    else:
        v = (7 * i + 3) % 101
    return v.astype(dtype).reshape(shape)


def fresh(name):
    path = HERE / f"{name}.zarr"
    shutil.rmtree(path, ignore_errors=True)
    return path


def make(name, dtype="int32", shape=SHAPE, chunks=CHUNKS, **kwargs):
    array = zarr.create_array(fresh(name), shape=shape, dtype=dtype, chunks=chunks, **kwargs)
    array[...] = values(dtype, shape)
    return array


def shards(name, inner, location="end", **kwargs):
    codec = ShardingCodec(chunk_shape=(2, 3), codecs=inner, index_location=location)
    array = zarr.create(
        store=fresh(name), shape=SHAPE, dtype="int32", chunks=CHUNKS, codecs=[codec], zarr_format=3,
        **kwargs)
    array[...] = values("int32")
    return array


# Version 3: a codec each, a dtype each.
make("v3-none", compressors=None)
make("v3-big", compressors=None, serializer=BytesCodec(endian="big"))
make("v3-zstd", compressors=ZstdCodec(level=5, checksum=True), dimension_names=["y", None],
     attributes={"units": "K", "missing": float("nan")})
make("v3-gzip", compressors=GzipCodec(level=6))
make("v3-blosc-lz4", compressors=BloscCodec(cname="lz4", shuffle="shuffle"))
make("v3-blosc-zstd", compressors=BloscCodec(cname="zstd", shuffle="bitshuffle", typesize=4))
make("v3-blosc-zlib", compressors=BloscCodec(cname="zlib", shuffle="noshuffle"))
make("v3-blosclz", compressors=BloscCodec(cname="blosclz", shuffle="shuffle"))
make("v3-crc32c", compressors=[ZstdCodec(), Crc32cCodec()])
make("v3-only-crc32c", compressors=[Crc32cCodec()])
make("v3-transposed", filters=[TransposeCodec(order=(1, 0))], compressors=ZstdCodec())
make("v3-transposed-raw", filters=[TransposeCodec(order=(1, 0))], compressors=None)
make("v3-dots", chunk_key_encoding={"name": "default", "separator": "."}, compressors=None)
for dtype in ("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int64", "float32", "float64"):
    make(f"v3-{dtype}", dtype=dtype)
make("v3-scalar", shape=(), chunks=())
make("v3-empty", shape=(0, 3), chunks=(2, 2))

shards("v3-shards", [BytesCodec(), ZstdCodec()])
shards("v3-shards-raw", [BytesCodec(endian="big")])
shards("v3-shards-start", [TransposeCodec(order=(1, 0)), BytesCodec(), GzipCodec(), Crc32cCodec()], "start")

# Version 2.
v2 = dict(zarr_format=2)
make("v2-none", compressors=None, **v2)
make("v2-zstd", compressors=numcodecs.Zstd(level=3), **v2)
make("v2-zlib", compressors=numcodecs.Zlib(level=6), **v2)
make("v2-gzip", compressors=numcodecs.GZip(level=6), **v2)
make("v2-blosc", compressors=numcodecs.Blosc(cname="lz4hc", shuffle=numcodecs.Blosc.SHUFFLE), **v2)
make("v2-big", dtype=">f8", compressors=numcodecs.Zlib(), **v2)
make("v2-fortran", order="F", compressors=numcodecs.Zstd(), **v2)
make("v2-slash", chunk_key_encoding={"name": "v2", "separator": "/"}, compressors=None, **v2)
make("v2-bool", dtype="bool", **v2)
make("v2-scalar", shape=(), chunks=(), **v2)
named = make("v2-names", attributes={"_ARRAY_DIMENSIONS": ["y", "x"], "_FillValue": float("nan")}, **v2)
make("v2-filter", filters=[numcodecs.Delta(dtype="<i4")], compressors=None, **v2)
make("v2-lz4", compressors=numcodecs.LZ4(), **v2)
make("v2-bz2", compressors=numcodecs.BZ2(), **v2)
make("v2-lzma", compressors=numcodecs.LZMA(), **v2)
make("v2-shuffle", filters=[numcodecs.Shuffle(4)], compressors=numcodecs.Zlib(), **v2)
make("v2-narrow", filters=[numcodecs.Delta(dtype="<i4", astype=">i2")], compressors=None, **v2)
make("v2-delta-float", dtype="float32", filters=[numcodecs.Delta(dtype="<f4")], compressors=None, **v2)
make("v2-fortran-delta", order="F", filters=[numcodecs.Delta(dtype="<i4")], compressors=None, **v2)
scaled = numcodecs.FixedScaleOffset(offset=-10, scale=2, dtype="<f4", astype="|u1")
make("v2-scaled", dtype="float32", filters=[scaled], compressors=numcodecs.Zlib(), **v2)
make("v2-scaled-delta", dtype="float32", filters=[scaled, numcodecs.Delta(dtype="|u1", astype="|i1")], **v2)
make("v2-quantised", dtype=">f8", filters=[numcodecs.Quantize(2, dtype=">f8", astype="<f4")], **v2)
make("v2-bitround", dtype="float32", filters=[numcodecs.BitRound(12)], **v2)
make("v2-astype", dtype="float64", filters=[numcodecs.AsType("<f4", "<f8")], compressors=None, **v2)
make("v2-packbits", dtype="bool", filters=[numcodecs.PackBits()], compressors=numcodecs.Zlib(), **v2)
make("v2-sums", filters=[numcodecs.CRC32(), numcodecs.Shuffle(5), numcodecs.Zlib()], compressors=numcodecs.Fletcher32(), **v2)
make("v2-adler32", compressors=numcodecs.Adler32(), **v2)
for name, dtype, fill in (("null", "uint16", None), ("true", "bool", True), ("most", "uint64", 2**64 - 1)):
    zarr.create_array(fresh(f"v2-fill-{name}"), shape=SHAPE, chunks=CHUNKS, dtype=dtype, fill_value=fill, **v2)

# Codecs that zarr-python takes from numcodecs.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    make("v3-lz4", compressors=nc.LZ4())
    make("v3-bz2", compressors=[nc.BZ2(), nc.CRC32()])
    make("v3-shuffle", compressors=[nc.Shuffle(elementsize=4), nc.Zlib(), nc.Adler32(location="end")])
    make("v3-delta", filters=[nc.Delta(dtype="int32", astype="int16")])
    make("v3-scaled", dtype="float32", compressors=nc.Fletcher32(), filters=[
        nc.FixedScaleOffset(offset=-10, scale=2, dtype="float32", astype="uint8")])
    make("v3-quantised", dtype="float32", filters=[nc.Quantize(digits=2, dtype="float32")])
    make("v3-packbits", dtype="bool", filters=[nc.PackBits()])

# Fill values: only the first chunk is stored.
for version in (2, 3):
    for name, fill in (("nan", np.nan), ("inf", -np.inf), ("seven", 7.5)):
        array = zarr.create_array(
            fresh(f"v{version}-fill-{name}"), shape=SHAPE, chunks=CHUNKS, dtype="float32",
            fill_value=fill, zarr_format=version)
        array[:4, :6] = values("float32")[:4, :6]
part = shards("v3-shards-fill", [BytesCodec(), ZstdCodec()], fill_value=-1)
part[...] = -1
part[2:4, 3:6] = values("int32")[2:4, 3:6]

# Not supported.
zarr.create_array(fresh("v3-complex"), shape=(2,), chunks=(2,), dtype="complex64")
zarr.create_array(fresh("v2-half"), shape=(2,), chunks=(2,), dtype="float16", zarr_format=2)

# Groups with two arrays, and one with one; with consolidated metadata in both versions.
for name, arrays, version in (
    ("group", ("a", "deep/b"), 3), ("group-one", ("deep/only",), 3),
    ("group-v2", ("a", "deep/b"), 2), ("group-v3", ("a", "deep/b"), 3),
):
    group = zarr.create_group(fresh(name), zarr_format=version)
    for array in arrays:
        group.create_array(array, shape=SHAPE, chunks=SHAPE, dtype="int32")[...] = values("int32")
    if name.startswith("group-v"):
        group.create_array("text", shape=(2,), chunks=(2,), dtype="complex64")
        group["deep"]["b"].attrs["units"] = "K"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(group.store)
