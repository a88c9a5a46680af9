"""Makes the HDF5 fixtures of this folder: python3 make.py (h5py 3, numpy).

Every data set holds values that the tests compute again: element number i, in C order,
of a dtype is (i * 7 + 3) mod 251, as the dtype's own; of bool, whether that is odd.
"""

import ctypes
import os

import h5py
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))


def values(shape, dtype):
    count = int(np.prod(shape, dtype=np.int64))
    numbers = (np.arange(count, dtype=np.int64) * 7 + 3) % 251
    if np.dtype(dtype) == bool:
        return (numbers % 2 == 1).reshape(shape)
    if np.dtype(dtype).kind == "i":
        numbers = numbers - 125
    return numbers.astype(dtype).reshape(shape)


def path(name):
    return os.path.join(HERE, name)


# The chunk indexes: B-tree 1 of old files; single chunk, implicit, fixed array (plain and
# paged), extensible array and B-tree 2 of new ones. Odd shapes have chunks over the edge.
def indexes(name, libver):
    with h5py.File(path(name), "w", libver=libver) as f:
        shape, chunks = (7, 11), (3, 4)
        data = values(shape, "i2")
        zipped = dict(compression="gzip", compression_opts=4, shuffle=True)
        f.create_dataset("single", data=data, chunks=shape)
        f.create_dataset("single_deflate", data=data, chunks=shape, **zipped)
        early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        early.set_chunk(chunks)
        early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        space = h5py.h5s.create_simple(shape)
        made = h5py.h5d.create(f.id, b"implicit", h5py.h5t.NATIVE_INT16, space, early)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, data)
        f.create_dataset("fixed", data=data, chunks=chunks)
        f.create_dataset("fixed_deflate", data=data, chunks=chunks, **zipped)
        # More chunks than a page of the array, or a block of it, has; old files have neither.
        if libver == "latest":
            f.create_dataset("fixed_paged", data=values((1100,), "u1"), chunks=(1,))
            f.create_dataset("extensible_many", data=values((600,), "u1"), chunks=(1,), maxshape=(None,))
        f.create_dataset("extensible", data=data, chunks=chunks, maxshape=(None, 11))
        f.create_dataset("extensible_inner", data=data, chunks=chunks, maxshape=(7, None))
        f.create_dataset("extensible_deflate", data=data, chunks=chunks, maxshape=(None, 11), **zipped)
        f.create_dataset("btree2", data=data, chunks=chunks, maxshape=(None, None))
        f.create_dataset("btree2_deflate", data=data, chunks=chunks, maxshape=(None, None), **zipped)
        # Chunks longer than the array, and an array that was made smaller.
        f.create_dataset("wide_chunks", data=data, chunks=(10, 20), maxshape=(None, None), **zipped)
        shrunk = f.create_dataset("shrunk", data=values((9, 11), "i2"), chunks=chunks, maxshape=(None, 11))
        shrunk.resize((7, 11))


indexes("indexes-earliest.h5", "earliest")
indexes("indexes-latest.h5", "latest")

with h5py.File(path("dtypes.h5"), "w") as f:
    for name in "bool u1 u2 u4 u8 i1 i2 i4 i8 f4 f8".split():
        dtype = bool if name == "bool" else np.dtype(name)
        data = values((5, 6), dtype)
        f.create_dataset(f"contiguous/{name}", data=data)
        f.create_dataset(f"deflate/{name}", data=data, chunks=(2, 4), compression="gzip", shuffle=True)
        if name not in ("bool", "u1", "i1"):
            f.create_dataset(f"big/{name}", data=data.astype(np.dtype(name).newbyteorder(">")), chunks=(2, 4),
                             compression="gzip", shuffle=True, fletcher32=True)
            f.create_dataset(f"big_contiguous/{name}", data=data.astype(np.dtype(name).newbyteorder(">")))

with h5py.File(path("layouts.h5"), "w") as f:
    data = values((5, 6), "u2")
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    made = h5py.h5d.create(f.id, b"compact", h5py.h5t.NATIVE_UINT16, h5py.h5s.create_simple((5, 6)), compact)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, data)
    f.create_dataset("scalar", data=np.float32(2.5))
    f.create_dataset("empty", shape=(0, 3), dtype="f8")
    f.create_dataset("null", data=h5py.Empty("f4"))
    f.create_dataset("unwritten", shape=(4, 5), dtype="i4", fillvalue=-9)
    f.create_dataset("unwritten_chunks", shape=(4, 5), dtype=">i4", fillvalue=-9, chunks=(2, 2))
    f.create_dataset("fletcher", data=data, chunks=(2, 4), fletcher32=True)
    f.create_dataset("shuffle", data=data, chunks=(2, 4), shuffle=True)
    f.create_dataset("deflate", data=data, chunks=(2, 4), compression="gzip")
    f.create_dataset("everything", data=data, chunks=(2, 4), compression="gzip", shuffle=True, fletcher32=True)
    sparse = f.create_dataset("sparse", shape=(6, 8), dtype="u2", fillvalue=7, chunks=(2, 4),
                              compression="gzip", shuffle=True)
    sparse[2:4, 4:8] = values((6, 8), "u2")[2:4, 4:8]
    # A chunk written without its filters, by its mask.
    masked = f.create_dataset("masked", shape=(4, 4), dtype="u2", chunks=(2, 4), compression="gzip", shuffle=True)
    masked[...] = values((4, 4), "u2")
    masked.id.write_direct_chunk((2, 0), values((4, 4), "u2")[2:].tobytes(), 0b11)
    f["group/again"] = h5py.SoftLink("/deflate")
    f["group/self"] = f["group"]

with h5py.File(path("userblock.h5"), "w", userblock_size=1024) as f:
    f.create_dataset("a", data=values((5, 6), "u2"), chunks=(2, 4), compression="gzip", shuffle=True)
    f.create_dataset("b", data=values((5, 6), "u2"))

with h5py.File(path("one.h5"), "w") as f:
    made = f.create_dataset("entry/image", data=values((4, 5), "f4"))
    f["entry/title"] = "text"
    made.attrs["units"] = "count"
    made.attrs["exposure"] = 1.5
    made.attrs["frame"] = np.int32(12)
    made.attrs["good"] = True
    made.attrs["shape"] = np.array([[1, 2], [3, 4]])
    made.attrs["names"] = ["x", "y"]
    made.attrs["fixed"] = np.bytes_("fixed")
    made.attrs["bad"] = np.nan
    made.attrs["complex"] = 1 + 2j
    made.attrs["reference"] = made.ref
    made.dims[0].label = "slit"
    made.dims[1].label = "wave"

with h5py.File(path("refused.h5"), "w") as f:
    f.create_dataset("complex", data=np.zeros(3, "c8"))
    f.create_dataset("half", data=np.zeros(3, "f2"))
    f.create_dataset("text", data=["a", "b"])
    f.create_dataset("fixed_text", data=np.array([b"a", b"b"]))
    f.create_dataset("compound", data=np.zeros(3, [("a", "i4"), ("b", "f4")]))
    f.create_dataset("reference", shape=(1,), dtype=h5py.ref_dtype)
    vax = h5py.h5t.IEEE_F32LE.copy()
    vax.set_ebias(128)
    h5py.h5d.create(f.id, b"other_float", vax, h5py.h5s.create_simple((3,)))

# Virtual data sets: one row of a source, sources one after the other and in turns, a source that
# is not there, one without limit, one of numbered files, one of itself, and one in a circle.
with h5py.File(path("virtual.h5"), "w", libver=("earliest", "v110")) as f:
    layout = h5py.VirtualLayout(shape=(2, 6), dtype="u2")
    layout[0] = h5py.VirtualSource("userblock.h5", "b", shape=(5, 6))[0]
    f.create_virtual_dataset("virtual", layout)
    f.create_dataset("plain", data=values((3,), "u2"))
    for i in range(3):
        f.create_dataset(f"part{i}", data=values((6, 5), "i4")[2 * i : 2 * i + 2], chunks=(1, 3), maxshape=(None, 5))
        f.create_dataset(f"turn{i}", data=values((6, 5), "i4")[i::3], chunks=(2, 2), compression="gzip")
    one_by_one = h5py.VirtualLayout(shape=(6, 5), dtype="i4")
    in_turns = h5py.VirtualLayout(shape=(6, 5), dtype="i4")
    for i in range(3):
        one_by_one[2 * i : 2 * i + 2] = h5py.VirtualSource(".", f"part{i}", shape=(2, 5))
        in_turns[i::3] = h5py.VirtualSource(".", f"turn{i}", shape=(2, 5))
    f.create_virtual_dataset("one_by_one", one_by_one)
    f.create_virtual_dataset("in_turns", in_turns)
    squeezed = h5py.VirtualLayout(shape=(5, 6), dtype="i4")
    for i in range(3):
        squeezed[:, 2 * i : 2 * i + 2] = h5py.VirtualSource(".", "deep", shape=(3, 5, 1, 2))[i, :, 0, :]
    f.create_dataset("deep", data=values((5, 6), "i4").reshape(5, 3, 1, 2).transpose(1, 0, 2, 3))
    f.create_virtual_dataset("squeezed", squeezed)
    lacking = h5py.VirtualLayout(shape=(4, 5), dtype="i4")
    lacking[:2] = h5py.VirtualSource("no-such-file.h5", "x", shape=(2, 5))
    lacking[2:] = h5py.VirtualSource(".", "part1", shape=(2, 5))
    f.create_virtual_dataset("lacking", lacking, fillvalue=-7)
    endless = h5py.VirtualLayout(shape=(2, 5), dtype="i4", maxshape=(None, 5))
    endless[: h5py.h5s.UNLIMITED, :] = h5py.VirtualSource(".", "part0", shape=(2, 5), maxshape=(None, 5))[: h5py.h5s.UNLIMITED, :]
    f.create_virtual_dataset("endless", endless)
    numbered = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    own = h5py.h5s.create_simple((2, 5), (h5py.h5s.UNLIMITED, 5))
    own.select_hyperslab((0, 0), (h5py.h5s.UNLIMITED, 1), (2, 5), (2, 5))
    numbered.set_virtual(own, b".", b"part%b", h5py.h5s.create_simple((2, 5)))
    whole = h5py.h5s.create_simple((2, 5), (h5py.h5s.UNLIMITED, 5))
    h5py.h5d.create(f.id, b"numbered", h5py.h5t.NATIVE_INT32, whole, numbered)
    for name, other in (("circle", "elcric"), ("elcric", "circle")):
        layout = h5py.VirtualLayout(shape=(2,), dtype="u2")
        layout[:] = h5py.VirtualSource(".", other, shape=(2,))
        f.create_virtual_dataset(name, layout)

# A virtual data set of a virtual one, which is of a third file.
with h5py.File(path("nested.h5"), "w", libver=("earliest", "v110")) as f:
    layout = h5py.VirtualLayout(shape=(6,), dtype="u2")
    layout[:] = h5py.VirtualSource("virtual.h5", "virtual", shape=(2, 6))[0]
    f.create_virtual_dataset("nested", layout)

# Links of every kind, and objects that are no data sets.
with h5py.File(path("links.h5"), "w") as f:
    f.create_dataset("group/inner/data", data=values((3,), "u2"))
    f["soft"] = h5py.SoftLink("/group/inner/data")
    f["group/relative"] = h5py.SoftLink("inner/data")
    f["group/hard"] = f["group/inner/data"]
    f["dangling"] = h5py.SoftLink("/no/such")
    f["around"] = h5py.SoftLink("/round")
    f["round"] = h5py.SoftLink("/around")
    f["away"] = h5py.ExternalLink("one.h5", "/entry/image")
    f["gone"] = h5py.ExternalLink("no-such-file.h5", "/x")
    f["type"] = np.dtype("i4")
    f.create_dataset("text", data="abc")
    f.create_dataset("committed", data=values((3,), "i4"), dtype=f["type"])

# Numbers of other sizes, enumerations, bit fields.
with h5py.File(path("numbers.h5"), "w", libver="latest") as f:
    for order in "<>":
        for sign in "iu":
            for size in (3, 5, 6, 7):
                kind = h5py.h5t.py_create(np.dtype(f"{order}{sign}{4 if size == 3 else 8}")).copy()
                kind.set_precision(8 * size)
                kind.set_size(size)
                for layout in ("contiguous", "deflate"):
                    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                    plist.set_fill_value(np.array(5, f"{sign}8"))
                    if layout == "deflate":
                        plist.set_chunk((4, 4))
                        plist.set_shuffle()
                        plist.set_deflate(4)
                    name = f"{layout}_{'little' if order == '<' else 'big'}_{sign}{size}"
                    made = h5py.h5d.create(f.id, name.encode(), kind, h5py.h5s.create_simple((5, 6)), plist)
                    made.write(h5py.h5s.ALL, h5py.h5s.ALL, values((5, 6), f"{sign}{4 if size == 3 else 8}"))
    f.create_dataset("enum", data=values((5, 6), "u1"), dtype=h5py.enum_dtype({"A": 3, "B": 10}, "u1"))
    f.create_dataset("enum_big", data=values((5, 6), "i2"), dtype=h5py.enum_dtype({"A": 3, "B": 10}, ">i2"))
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made = h5py.h5d.create(f.id, b"bits", h5py.h5t.STD_B16LE, h5py.h5s.create_simple((5, 6)), early)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, values((5, 6), "u2"), mtype=h5py.h5t.NATIVE_B16)

# Elements in files beside this one.
with h5py.File(path("external.h5"), "w") as f:
    values((30,), "u2").tofile(path("external.raw"))
    f.create_dataset("one", (5, 6), "<u2", external="external.raw")
    f.create_dataset("two", (5, 6), "<u2", external=[("external.raw", 0, 26), ("external.raw", 26, h5py.h5f.UNLIMITED)])
    f.create_dataset("short", (6, 6), "<u2", external="external.raw")
    f.create_dataset("outside", (5, 6), "<u2", external="/etc/hostname")

# Chunks over an edge that were left unfiltered, which h5py has no call for.
with h5py.File(path("edges.h5"), "w", libver="latest") as f:
    import ctypes, glob

    library = ctypes.CDLL(glob.glob(os.path.join(os.path.dirname(h5py.__file__), "..", "h5py.libs", "libhdf5-*"))[0])
    for name, maxshape in (("fixed", None), ("extensible", (None, 11)), ("btree2", (None, None)), ("single", None)):
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((3, 4) if name != "single" else (9, 12))
        plist.set_shuffle()
        plist.set_deflate(4)
        library.H5Pset_chunk_opts(ctypes.c_int64(plist.id), ctypes.c_uint(2))
        unlimited = maxshape and tuple(h5py.h5s.UNLIMITED if n is None else n for n in maxshape)
        if name == "single":
            unlimited = (9, 12)
        made = h5py.h5d.create(f.id, name.encode(), h5py.h5t.NATIVE_INT16, h5py.h5s.create_simple((7, 11), unlimited), plist)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, values((7, 11), "i2"))

# Attributes of every type, many of them; dimension scales; what netCDF's conventions say.
with h5py.File(path("attributes.h5"), "w", libver="latest") as f:
    made = f.create_dataset("data", data=values((4, 5), "i2"))
    made.attrs["big"] = np.array([1, -2], ">i4")
    made.attrs["single"] = np.float32(0.5)
    made.attrs["infinite"] = np.array([np.inf, -np.inf])
    made.attrs["unsigned"] = np.uint64(2**64 - 1)
    made.attrs["compound"] = np.array((1, 2.5, b"x"), [("a", "i4"), ("b", "f8"), ("c", "S3")])
    made.attrs["compounds"] = np.array([(1, 2.5), (3, 4.5)], [("a", "i4"), ("b", "f8")])
    made.attrs["enum"] = np.array(1, h5py.enum_dtype({"A": 0, "B": 1}, "i1"))
    made.attrs.create("vlen", np.array([np.array([1, 2], "i4"), np.array([3], "i4")], object), dtype=h5py.vlen_dtype("i4"))
    made.attrs.create("array", np.array([[1, 2], [3, 4]], "i4"), dtype="(2,2)i4")
    made.attrs["utf"] = "é"
    made.attrs["padded"] = np.array(b"ab", "S8")
    made.attrs["empty"] = h5py.Empty("f4")
    made.attrs["strings"] = np.array(["p", "q"], object)
    made.attrs["zero"] = np.zeros(0, "i4")
    for i in range(12):
        made.attrs[f"many{i}"] = i
    f["time"] = np.arange(4.0)
    f["lon"] = np.arange(5.0)
    f["time"].make_scale("time")
    f["lon"].make_scale()
    made.dims[0].attach_scale(f["time"])
    made.dims[1].attach_scale(f["lon"])


# The filters that are not in every library. hdf5plugin brings the registered ones.
def encoded(f, name, data, chunks, filters, fill=None):
    """A data set with these filters."""
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_chunk(chunks)
    if fill is not None:
        early.set_fill_value(np.array(fill, data.dtype))
    for add in filters:
        add(early)
    kind = h5py.h5t.py_create(data.dtype, logical=True)
    made = h5py.h5d.create(f.id, name.encode(), kind, h5py.h5s.create_simple(data.shape), early)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, data)


def plugin(options):
    return lambda plist: plist.set_filter(options["compression"], h5py.h5z.FLAG_OPTIONAL, options["compression_opts"])


with h5py.File(path("filters.h5"), "w", libver="latest") as f:
    import hdf5plugin

    shuffle = lambda plist: plist.set_shuffle()
    deflate = lambda plist: plist.set_deflate(4)
    fletcher = lambda plist: plist.set_fletcher32()
    lzf = lambda plist: plist.set_filter(h5py.h5z.FILTER_LZF, h5py.h5z.FLAG_OPTIONAL)
    nbit = lambda plist: plist.set_filter(h5py.h5z.FILTER_NBIT, 0)
    noise = np.random.default_rng(1).integers(0, 2**32, (9, 20), dtype="u4")
    smooth = values((37, 50), "f4")
    for name, filters in {
        "lzf": [lzf],
        "shuffle_lzf": [shuffle, lzf],
        "lz4": [plugin(hdf5plugin.LZ4())],
        "lz4_blocks": [shuffle, plugin(hdf5plugin.LZ4(nbytes=700)), fletcher],
        "zstd": [plugin(hdf5plugin.Zstd(clevel=3))],
        "shuffle_zstd": [shuffle, plugin(hdf5plugin.Zstd(clevel=3))],
        "blosc_lz4": [plugin(hdf5plugin.Blosc(cname="lz4"))],
        "blosc_zstd": [plugin(hdf5plugin.Blosc(cname="zstd", shuffle=hdf5plugin.Blosc.BITSHUFFLE))],
        "bitshuffle": [plugin(hdf5plugin.Bitshuffle(cname="none"))],
        "bitshuffle_deflate": [plugin(hdf5plugin.Bitshuffle(cname="none")), deflate],
        "bitshuffle_lz4": [plugin(hdf5plugin.Bitshuffle(cname="lz4"))],
        "bitshuffle_zstd": [plugin(hdf5plugin.Bitshuffle(cname="zstd"))],
        "bitshuffle_blocks": [plugin(hdf5plugin.Bitshuffle(nelems=64, cname="lz4"))],
        "deflate_twice": [deflate, deflate],
    }.items():
        encoded(f, name, smooth, (16, 32), filters)
        encoded(f, name + "_noise", noise, (8, 16), filters)
    # Elements that do not fill whole groups of eight.
    encoded(f, "bitshuffle_odd", values((13, 21), "u2"), (13, 7), [plugin(hdf5plugin.Bitshuffle(cname="lz4"))])
    encoded(f, "bitshuffle_odd_plain", values((13, 21), ">f8"), (13, 7), [plugin(hdf5plugin.Bitshuffle(cname="none"))])
    # Scale-offset: integers of both signs and byte orders, with and without a fill value among
    # them, of one value only, of all bits; floats to three decimals.
    for name in ("u1", "i1", ">u2", "i4", ">i8", "u8"):
        scale = lambda plist: plist.set_scaleoffset(h5py.h5z.SO_INT, 0)
        dtype = np.dtype(name)
        data = values((13, 21), dtype)
        plain = name.replace(">", "big_")
        encoded(f, f"scaleoffset_{plain}", data, (5, 8), [scale])
        encoded(f, f"scaleoffset_fill_{plain}", data, (5, 8), [scale], fill=data[3, 3])
        encoded(f, f"scaleoffset_flat_{plain}", np.full_like(data, 7), (5, 8), [scale])
        wide = np.random.default_rng(2).integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (13, 21), dtype.newbyteorder("="), endpoint=True)
        encoded(f, f"scaleoffset_wide_{plain}", wide.astype(dtype), (5, 8), [scale])
    for name in ("f4", ">f4", "f8", ">f8"):
        scale = lambda plist: plist.set_scaleoffset(h5py.h5z.SO_FLOAT_DSCALE, 3)
        data = (np.random.default_rng(3).normal(0, 50, (13, 21))).astype(name)
        plain = name.replace(">", "big_")
        encoded(f, f"scaleoffset_{plain}", data, (5, 8), [scale])
        encoded(f, f"scaleoffset_fill_{plain}", data, (5, 8), [scale], fill=data[3, 3])
    # Scale-offset and deflate.
    scale = lambda plist: plist.set_scaleoffset(h5py.h5z.SO_INT, 0)
    encoded(f, "scaleoffset_deflate", values((13, 21), "i4"), (5, 8), [scale, shuffle, deflate, fletcher])
    # N-bit of whole elements does nothing; of twelve bits it packs.
    encoded(f, "nbit_whole", values((13, 21), "i2"), (5, 8), [nbit])
    for order in "<>":
        for sign in "iu":
            for offset in (0, 3):
                narrow = h5py.h5t.py_create(np.dtype(f"{order}{sign}2")).copy()
                narrow.set_precision(12)
                narrow.set_offset(offset)
                for packed in (False, True):
                    name = f"{'nbit' if packed else 'narrow'}_{'little' if order == '<' else 'big'}_{sign}_{offset}"
                    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                    plist.set_chunk((5, 8))
                    if packed:
                        nbit(plist)
                    made = h5py.h5d.create(f.id, name.encode(), narrow, h5py.h5s.create_simple((13, 21)), plist)
                    made.write(h5py.h5s.ALL, h5py.h5s.ALL, values((13, 21), f"{sign}2"))
    # A filter that is refused.
    f.create_dataset("refused/blosc2", data=values((8, 8), "i4"), chunks=(4, 4), **hdf5plugin.Blosc2())

# What h5py reads, decoded from the file, where it is not `values`.
with h5py.File(path("filters.h5"), "r+", libver="latest") as f:
    for name in [name for name in f if name != "refused"]:
        read = f[name][...]
        if not np.array_equal(read, values(read.shape, read.dtype)):
            f[f"expected/{name}"] = read.astype(read.dtype.newbyteorder("="))

# Datatypes, dataspaces, fill values, filters and attributes that are kept once in the file.
# h5py has no names for it, so its own library is asked.
def library():
    with open("/proc/self/maps") as maps:
        files = {line.split()[-1] for line in maps if "libhdf5" in line and "_hl" not in line}
    lib = ctypes.CDLL(files.pop())
    lib.H5Pset_shared_mesg_nindexes.argtypes = [ctypes.c_int64, ctypes.c_uint]
    lib.H5Pset_shared_mesg_index.argtypes = [ctypes.c_int64] + 3 * [ctypes.c_uint]
    return lib


lib, plist = library(), h5py.h5p.create(h5py.h5p.FILE_CREATE)
assert lib.H5Pset_shared_mesg_nindexes(plist.id, 2) >= 0
for index, kinds in enumerate([(1, 3), (5, 11, 12)]):
    assert lib.H5Pset_shared_mesg_index(plist.id, index, sum(1 << kind for kind in kinds), 8) >= 0
with h5py.File(h5py.h5f.create(path("shared.h5").encode(), fcpl=plist)) as f:
    for name in ("a", "b"):
        made = f.create_dataset(name, (7, 11), "i2", chunks=(3, 4), compression="gzip", fillvalue=5)
        made[:3] = values((7, 11), "i2")[:3]
        made.attrs["units"] = "counts per second"
        made.attrs["pair"] = [1.5, 2.5]


# Arrays that may become longer, but not without limit: fixed arrays (also paged, also of a few
# chunks only), an implicit index and extensible arrays number chunks as of the longest one.
with h5py.File(path("growable.h5"), "w", libver="latest") as f:
    f.create_dataset("fixed", data=values((4, 4), "i2"), chunks=(2, 2), maxshape=(4, 8))
    f.create_dataset("fixed_deflate", data=values((4, 4), "i2"), chunks=(2, 2), maxshape=(5, 9), compression="gzip")
    f.create_dataset("fixed_paged", data=values((3, 20), "u1"), chunks=(1, 1), maxshape=(3, 1000))
    sparse = f.create_dataset("sparse", (20, 20, 2), "i2", chunks=(7, 5, 1), maxshape=(25, 20, 7))
    sparse[7:14, 5:10] = values((20, 20, 2), "i2")[7:14, 5:10]
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_chunk((3, 4))
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    made = h5py.h5d.create(f.id, b"implicit", h5py.h5t.NATIVE_INT16, h5py.h5s.create_simple((7, 11), (9, 30)), early)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, values((7, 11), "i2"))
    f.create_dataset("extensible", data=values((7, 11), "i2"), chunks=(3, 4), maxshape=(None, 30))
    f.create_dataset("extensible_inner", data=values((7, 11), "i2"), chunks=(3, 4), maxshape=(20, None))
    shrunk = f.create_dataset("shrunk", data=values((9, 11), "i2"), chunks=(3, 4), maxshape=(12, 11))
    shrunk.resize((7, 11))

# Virtual data sets whose pieces lie over each other, are rows or blocks of sources some way
# apart, and a name with a percent sign; under `expected` what h5py reads.
with h5py.File(path("pieces.h5"), "w", libver=("earliest", "v110")) as f:
    f.create_dataset("a", data=values((12, 10), "i4"))
    f.create_dataset("b", data=values((12, 10), "i4") + 1000, chunks=(5, 4), compression="gzip")
    f.create_dataset("odd%b", data=values((4, 10), "i4"), chunks=(2, 5), maxshape=(None, 10))
    a, b = (h5py.VirtualSource(".", name, shape=(12, 10)) for name in "ab")
    over = h5py.VirtualLayout(shape=(6, 10), dtype="i4")
    over[0:3], over[2:3], over[4:6], over[3:5, 2:7] = a[0:3], b[5:6], b[0:2], a[1:3, 0:5]
    f.create_virtual_dataset("over", over)
    apart = h5py.VirtualLayout(shape=(4, 5), dtype="i4")
    apart[:, :] = a[::3, 1::2]
    f.create_virtual_dataset("apart", apart)
    turns = h5py.VirtualLayout(shape=(12, 20), dtype="i4")
    turns[:, ::2], turns[:, 1::2] = a, b
    f.create_virtual_dataset("turns", turns)
    far = h5py.VirtualLayout(shape=(2, 2), dtype="i4")
    far[::1] = b[::11, ::9]
    f.create_virtual_dataset("far", far)

    def blocks(name, shape, own, theirs):
        """`own` and `theirs` are start, count, stride and block of hyperslabs."""
        plist, space = h5py.h5p.create(h5py.h5p.DATASET_CREATE), h5py.h5s.create_simple(shape)
        source, selected = h5py.h5s.create_simple((12, 10)), h5py.h5s.create_simple(shape)
        selected.select_hyperslab(*own)
        source.select_hyperslab(*theirs)
        plist.set_virtual(selected, b".", b"b", source)
        plist.set_fill_value(np.array(-7, "i4"))
        h5py.h5d.create(f.id, name, h5py.h5t.NATIVE_INT32, space, plist)

    blocks(b"pairs", (9, 10), ((0, 1), (3, 2), (3, 5), (2, 3)), ((0, 0), (2, 3), (6, 4), (3, 2)))
    blocks(b"triples", (6, 9), ((0, 0), (1, 3), (1, 3), (6, 3)), ((1, 0), (3, 1), (4, 1), (2, 9)))
    percent = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    own = h5py.h5s.create_simple((4, 10), (h5py.h5s.UNLIMITED, 10))
    own.select_hyperslab((0, 0), (h5py.h5s.UNLIMITED, 1), (1, 10), (1, 10))
    percent.set_virtual(own, b".", b"odd%%b", own)
    h5py.h5d.create(f.id, b"percent", h5py.h5t.NATIVE_INT32, own, percent)
    for name in "over apart turns far pairs triples percent".split():
        f[f"expected/{name}"] = f[name][...]

# A thousand references to one text of 20 kB: little in the file, much where it is read.
with h5py.File(path("heavy.h5"), "w", libver="earliest") as f:
    made = f.create_dataset("data", data=values((3,), "i2"))
    made.attrs["light"] = "x"
    made.attrs["heavy"] = np.array(["y" * 20000] + [""] * 999, object)
with open(path("heavy.h5"), "r+b") as file:
    contents = file.read()
    at = contents.index((20000).to_bytes(4, "little"))
    file.seek(at)
    file.write(contents[at : at + 16] * 1000)
