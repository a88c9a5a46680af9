"""Writes slices.json: what NumPy takes slices of small arrays to mean.

For each slice and shape: the shape of the result and, in C order, the indices of its
elements in the flattened array; `out` is null where NumPy raises.
"""

import itertools
import json
import pathlib

import numpy as np

SLICES = """
: | 0 | -1 | 1 | 2 | 4 | -5 | 5 | 1: | :2 | -2: | :-2 | 1:3 | 3:1 | -3:-1 | 10: | :10 | -10: | :-10
::2 | 1::2 | ::-1 | 1::-2 | ::-2 | -1::-1 | :1:-1 | 10::-3 | :-10:-1 | 3:0:-2 | 2:-10:-1 | -10::-1 | 4:4:-1
... | 0, ... | ..., 0 | ..., ::2 | 0, ..., :2 | 1:, ..., ::-1 | ..., -1:, 0 | [0, ..., :200] | 0, 1 | 0, 1, 2
None | None, 0 | ..., None | 0, None, 1: | newaxis, ..., newaxis | :, None | 0, 1, 2, 3 | ::-1, ::-1 | 0, | ...,
""".replace("\n", "|").split("|")
SHAPES = [(), (0,), (1,), (4,), (3, 4), (2, 3, 4), (2, 0, 3)]

table = []
for text, shape in itertools.product(filter(None, map(str.strip, SLICES)), SHAPES):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    key = eval(f"np.index_exp[{text.strip('[]')}]", {"np": np, "newaxis": None})
    case = {"slice": text, "shape": shape}
    try:
        result = np.asarray(array[key])
        case |= {"out": result.shape, "values": result.ravel().tolist()}
    except IndexError:
        case |= {"out": None}
    table.append(case)

lines = ",\n".join(json.dumps(case) for case in table)
pathlib.Path(__file__).with_name("slices.json").write_text(f"[\n{lines}\n]\n")
