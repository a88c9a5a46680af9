"""Makes the NumPy fixtures beside this file: `python make.py`.

Element i in C order is (7 i + 3) mod 101 for integers, half of that less 10 for floats,
and whether i is a multiple of 3 for bool, as in ../zarr/make.py.
"""

import pathlib

import numpy as np
from numpy.lib import format as npy

HERE = pathlib.Path(__file__).parent
SHAPE = (7, 5, 6)


def values(dtype, shape=SHAPE):
    i = np.arange(np.prod(shape, dtype=int))
    if np.dtype(dtype).kind == "b":
        v = i % 3 == 0
    elif np.dtype(dtype).kind == "f":
        v = (7 * i + 3) % 101 * 0.5 - 10
    else:
        v = (7 * i + 3) % 101
    return v.astype(dtype).reshape(shape)


for dtype in ("bool", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"):
    np.save(HERE / f"{np.dtype(dtype).name}.npy", values(dtype))
np.save(HERE / "big.npy", values(">i4"))
np.save(HERE / "fortran.npy", np.asfortranarray(values("i4")))
np.save(HERE / "fortran-big.npy", np.asfortranarray(values(">f8")))
np.save(HERE / "scalar.npy", values("i4", ()))
np.save(HERE / "empty.npy", values("i4", (0, 3)))
np.save(HERE / "vector.npy", values("i4", (9,)))
for version in ((2, 0), (3, 0)):
    with open(HERE / f"version-{version[0]}.npy", "wb") as file:
        npy.write_array(file, values("i4"), version=version)
np.save(HERE / "complex.npy", np.zeros(2, "c8"))
np.save(HERE / "half.npy", np.zeros(2, "f2"))
np.save(HERE / "fields.npy", np.zeros(2, [("a", "i4"), ("b", "f4")]))
