"""Makes the HDF5 fixtures of this folder: python3 make.py (h5py 3, numpy).

Every data set holds values that the tests compute again: element number i, in C order,
of a dtype is (i * 7 + 3) mod 251, as the dtype's own; of bool, whether that is odd.
"""

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
    f.create_dataset("enum", data=np.zeros(3, "i1"), dtype=h5py.enum_dtype({"A": 0, "B": 1}, "i1"))
    f.create_dataset("reference", shape=(1,), dtype=h5py.ref_dtype)
    f.create_dataset("lzf", data=values((4, 4), "u2"), chunks=(2, 2), compression="lzf")
    f.create_dataset("scaleoffset", data=values((4, 4), "u2"), chunks=(2, 2), scaleoffset=0)
    narrow = h5py.h5t.NATIVE_UINT16.copy()
    narrow.set_precision(12)
    h5py.h5d.create(f.id, b"twelve_bits", narrow, h5py.h5s.create_simple((3,)))

with h5py.File(path("virtual.h5"), "w") as f:
    layout = h5py.VirtualLayout(shape=(2, 6), dtype="u2")
    layout[0] = h5py.VirtualSource("userblock.h5", "b", shape=(5, 6))[0]
    f.create_virtual_dataset("virtual", layout)
    f.create_dataset("plain", data=values((3,), "u2"))
