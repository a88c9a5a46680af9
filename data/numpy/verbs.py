"""Records what NumPy (2.4) gives for the verbs that are made of others, for tests/oracle.

    python verbs.py        writes verbs.json beside it

A case is [verb, arguments, inputs, results]; an array is [dtype, shape, bytes], the bytes
little-endian, in C order and in hexadecimal.
"""

import json
import pathlib
import warnings

import numpy as np

warnings.filterwarnings("ignore")
np.seterr(all="ignore")
HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(20240229)
cases = []


def packed(array):
    array = np.asarray(array)
    return [array.dtype.name, list(array.shape), np.ascontiguousarray(array).tobytes().hex()]


def case(verb, args, inputs, result):
    results = result if isinstance(result, (list, tuple)) else [result]
    cases.append([verb, args, [packed(a) for a in inputs], [packed(r) for r in results]])


def numbers(shape, dtype="float64"):
    """Small numbers that have fractions where the dtype has, and wrap nowhere."""
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.random(shape) < 0.5
    if kind == "f":
        return (rng.integers(-40, 40, shape) / 8).astype(dtype)
    return rng.integers(-9 if kind == "i" else 0, 10, shape).astype(dtype)


x, y, cube = numbers(5), numbers((4, 5)), numbers((2, 3, 4))

# Elementwise
for dtype in ("uint8", "int16", "int64", "float32", "float64"):
    a = (rng.random(12) * 250).astype(dtype)
    for decimals in (0, 1, 3, -1, -2):
        case("round", [decimals], [a], np.round(a, decimals))
ties = np.array([0.5, 1.5, 2.5, -0.5, 1.25, 1.35, -2.675, np.nan, np.inf, 1e300])
for decimals in (0, 1, 2):
    case("round", [decimals], [ties], np.round(ties, decimals))
parts = np.array([0.0, -0.0, 2.75, -2.75, 3.0, -3.0, np.inf, -np.inf, np.nan, -1e300])
case("modf", [], [parts], np.modf(parts))
case("modf", [], [np.arange(-2, 3, dtype="int16")], np.modf(np.arange(-2, 3, dtype="int16")))
for edges in ([-3.0, 0.0, 2.75, 3.0], [3.0, 2.75, 0.0, -3.0], [1.0, 1.0, 1.0], []):
    for right in (False, True):
        case("digitize", [edges, right], [parts], np.digitize(parts, edges, right))
near = np.array([1, 1 + 1e-6, 1.1, 0, 1e-9, np.inf, -np.inf, np.nan, 1e10])
far = np.array([1, 1, 1, 1e-9, 0, np.inf, np.inf, np.nan, 1.00001e10])
case("isclose", [1e-5, 1e-8], [near, far], np.isclose(near, far))
case("isclose", [0.0, 0.2], [near, far], np.isclose(near, far, 0, 0.2))
case("isclose", [0.2, 0.0], [np.arange(4), np.arange(4)[::-1]], np.isclose(np.arange(4), np.arange(4)[::-1], 0.2, 0))
for a, b in ((x, np.roll(x, 1)), (numbers(9, "int32"), numbers(9, "int32"))):
    case("divmod", [], [a, b], np.divmod(a, b))
for exponent in (2, 0.5, -1, 3, 0, 1.5):
    a = np.array([0.0, -0.0, 2.5, -2.5, np.inf, -np.inf, np.nan])
    case("pow", [exponent], [a], np.power(a, exponent))

big = np.array([0, 1, 2**53 + 1, 2**63, 2**64 - 1, 2**63 - 1, 2**64 - 1], "uint64")
signed = np.array([0, -1, 2**53, -(2**63), -1, 2**63 - 1, 2**63 - 1])
for op in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
    case(op, [], [big, signed], getattr(np, op)(big, signed))
    case(op, [], [signed, big], getattr(np, op)(signed, big))

# Reductions
for axis in (None, 0, 1, [0, 2]):
    axes = tuple(axis) if isinstance(axis, list) else axis
    for verb, f in (("sum", np.sum), ("max", np.max), ("argmin", np.argmin), ("nanmean", np.nanmean)):
        if verb != "argmin" or not isinstance(axis, list):
            case("keepdims " + verb, [axis], [cube], f(cube, axis=axes, keepdims=True))
    case("ptp", [axis], [cube], np.ptp(cube, axis=axes))
    case("keepdims ptp", [axis], [cube], np.ptp(cube, axis=axes, keepdims=True))
    case("count_nonzero", [axis], [cube], np.asarray(np.count_nonzero(cube, axis=axes)))
    case("average", [axis], [cube, np.abs(cube) + 1], np.average(cube, axes, np.abs(cube) + 1))
    case("keepdims average", [axis], [cube, np.abs(cube) + 1],
         np.average(cube, axes, np.abs(cube) + 1, keepdims=True))
holes = np.array([0, np.nan, 1, -0.0, np.inf])
case("count_nonzero", [None], [holes], np.asarray(np.count_nonzero(holes)))
for dtype, weights in (("int8", "int8"), ("int8", "float32"), ("float32", "float32"), ("float32", "float64")):
    w = np.array([1, 2, 3], weights)
    a = numbers((2, 3), dtype)
    case("average", [1], [a, w], np.average(a, 1, w))

for order in (0, 1, 2, 3):
    case("moment", [order, 1], [cube], np.mean((cube - cube.mean(1, keepdims=True)) ** order, 1))
whole = numbers(9, "int16")
case("isin", [[1, 3, -2]], [whole], np.isin(whole, [1, 3, -2]))

# Neighbours
for dtype in ("bool", "uint8", "int32", "float32", "float64"):
    a = numbers((3, 6), dtype)
    for n, axis in ((1, -1), (1, 0), (2, 1), (5, 1), (9, 1), (0, 0)):
        case("diff", [n, axis], [a], np.diff(a, n, axis))
    if dtype != "bool":
        case("gradient", [1, 0.5], [a], np.gradient(a, 0.5, axis=1))
        case("gradient", [0, 2.0], [a], np.gradient(a, 2.0, axis=0))
        case("trapezoid", [1, 0.5], [a], np.trapezoid(a, dx=0.5, axis=1))
        case("trapezoid", [0, 3.0], [a], np.trapezoid(a, dx=3.0, axis=0))

# Parts put together
for shift, axis in ((1, 0), (-2, 1), (7, -1), (0, 0), ([1, 2], [0, 1]), ([-1, 9], [1, 0]), (2, [0, 1])):
    case("roll", [shift, axis], [y], np.roll(y, shift, tuple(axis) if isinstance(axis, list) else axis))
for k in range(-1, 5):
    case("rot90", [k, [0, 1]], [y[:2]], np.rot90(y[:2], k))
    case("rot90", [k, [2, 0]], [cube], np.rot90(cube, k, (2, 0)))
for repeats in ([2], [2, 1], [1, 3, 2], [0, 2]):
    case("tile", [repeats], [x], np.tile(x, repeats))
    case("tile", [repeats], [y], np.tile(y, repeats))
case("tile", [[3, 2]], [y[:1]], np.tile(y[:1], (3, 2)))
modes = {"constant": {"constant_values": 1.5}, "edge": {}, "reflect": {}, "symmetric": {}, "wrap": {}}
for mode, more in modes.items():
    for a, widths in ((x, [[2, 3]]), (x, [[0, 1]]), (x, [[9, 14]]), (x[:1], [[2, 1]]), (x[:2], [[3, 6]])):
        case("pad", [widths, mode], [a], np.pad(a, widths, mode, **more))
    case("pad", [[[1, 2], [3, 0]], mode], [y], np.pad(y, [[1, 2], [3, 0]], mode, **more))
    case("pad", [[[1, 1], [0, 2], [0, 5]], mode], [cube], np.pad(cube, [[1, 1], [0, 2], [0, 5]], mode, **more))
case("pad", [[[2, 1]], "constant"], [x[:0]], np.pad(x[:0], [[2, 1]], constant_values=1.5))
for count, axis in ((1, 0), (3, 0), (2, 1), (0, 1)):
    case("repeat", [count, axis], [y], np.repeat(y, count, axis))
case("repeat", [2, 1], [cube], np.repeat(cube, 2, 1))
case("split", [2, 0], [y], np.split(y, 2, 0))
case("array_split", [3, 1], [y], np.array_split(y, 3, 1))
case("array_split", [7, 1], [y], np.array_split(y, 7, 1))
for verb in ("vstack", "hstack", "dstack"):
    for parts in ([x, x + 1], [y, y + 1], [cube, cube + 1], [np.float64(1), np.float64(2)]):
        case(verb, [], parts, getattr(np, verb)(parts))
case("vstack", [], [x, y], np.vstack([x, y]))
case("block", [], [y, y + 1, y + 2, y + 3], np.block([[y, y + 1], [y + 2, y + 3]]))
case("block", [], [x, x, x, x], np.block([[x, x], [x, x]]))
for a in (np.float64(2), x, y, cube):
    case("atleast_1d", [], [a], np.atleast_1d(a))
    case("atleast_2d", [], [a], np.atleast_2d(a))
    case("atleast_3d", [], [a], np.atleast_3d(a))
case("expand_dims", [[0, -1]], [y], np.expand_dims(y, (0, -1)))
case("expand_dims", [[1, 3]], [y], np.expand_dims(y, (1, 3)))
case("moveaxis", [[0, 1], [-1, 0]], [cube], np.moveaxis(cube, [0, 1], [-1, 0]))
case("moveaxis", [[2, 0, 1], [0, 1, 2]], [cube], np.moveaxis(cube, [2, 0, 1], [0, 1, 2]))
case("fliplr", [], [cube], np.fliplr(cube))
case("flipud", [], [cube], np.flipud(cube))
case("trim_to_multiple", [[3, -1]], [y], y[:3])
case("trim_to_multiple", [[7, 2]], [y], y[:0, :4])

# Rows and columns
for k in (0, 1, -1, 3, -4, 9):
    for a in (y,) if k else (y, cube):
        case("tril", [k], [a], np.tril(a, k))
        case("triu", [k], [a], np.triu(a, k))
    case("diag", [k], [x[:3]], np.diag(x[:3], k))
for k, axes in ((0, [0, 1]), (1, [1, 2]), (-1, [2, 0]), (3, [0, 2]), (2, [0, 2])):
    case("diagonal", [k, axes], [cube], np.diagonal(cube, k, *axes))
    case("trace", [k, axes], [cube], np.trace(cube, k, *axes))
case("diagonal", [0, [0, 1]], [y], np.diagonal(y))
case("meshgrid", ["xy"], [x, x[:3], x[:2]], np.meshgrid(x, x[:3], x[:2]))
case("meshgrid", ["ij"], [x, x[:3], x[:2]], np.meshgrid(x, x[:3], x[:2], indexing="ij"))
case("meshgrid", ["xy"], [x], np.meshgrid(x))
case("indices", [[2, 3]], [], np.indices((2, 3)))
case("zeros_like", [], [y], np.zeros_like(y))
case("ones_like", [], [y > 0], np.ones_like(y > 0))
case("full_like", [2.5], [numbers(3, "int16")], np.full(3, 2, "int16"))

(HERE / "verbs.json").write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
