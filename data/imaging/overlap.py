#!/usr/bin/env python3
"""What dask makes of functions of blocks with their neighbours' edges, and SciPy of functions of neighbours.

Writes `overlap.tsv` beside itself: what is called, the boundary, depths or sides along each axis, the
chunks, and the elements that came out. The array is that of `ARRAY`.

    python3 overlap.py        (numpy 2, scipy, dask)
"""

from pathlib import Path

import dask.array as da
import numpy as np
import scipy.ndimage as ndi

ARRAY = (np.arange(54) * 37 % 101).reshape(6, 9)
BOUNDARIES = {"reflect": "reflect", "nearest": "nearest", "wrap": "periodic", "constant": 5, "none": "none"}


def shifted(block):
    """Each element, with three times the one above it and seven times the one to its right."""
    return block + 3 * np.roll(block, 1, 0) + 7 * np.roll(block, -1, 1)


def positions(near):
    """A sum that tells neighbours apart."""
    return float(near @ (np.arange(len(near)) + 1))


def lines():
    for name, boundary in BOUNDARIES.items():
        for chunks in [(6, 9), (3, 4), (2, 3), (1, 2)]:
            for depth in [(1, 1), (2, 1), (3, 4)]:
                x = da.from_array(ARRAY, chunks=chunks)
                # Chunks smaller than the depth are put together by dask.
                if name == "none" and any(d > c or d > n % c > 0 for d, c, n in zip(depth, chunks, ARRAY.shape)):
                    continue
                made = da.map_overlap(shifted, x, depth=dict(enumerate(depth)), boundary=boundary, dtype=x.dtype)
                yield "map", name, depth, chunks, made.compute()
    # With nothing beyond the edge a block may have more neighbours before it than after it.
    for depth in [((2, 0), (0, 1)), ((1, 0), (3, 2))]:
        x = da.from_array(ARRAY, chunks=(3, 3))
        made = da.map_overlap(shifted, x, depth=dict(enumerate(depth)), boundary="none", dtype=int)
        yield "map", "none", [d for pair in depth for d in pair], (3, 3), made.compute()
    for mode in ["reflect", "mirror", "nearest", "wrap", "constant"]:
        for sides in [(3, 3), (2, 4), (1, 7)]:
            made = ndi.generic_filter(ARRAY, positions, size=sides, mode=mode, cval=5)
            yield "filter", mode, sides, (2, 4), made


if __name__ == "__main__":
    text = lambda numbers: ",".join(str(int(n)) for n in numbers)
    with open(Path(__file__).parent / "overlap.tsv", "w") as out:
        for what, boundary, depth, chunks, made in lines():
            print(what, boundary, text(depth), text(chunks), text(made.ravel()), sep="\t", file=out)
