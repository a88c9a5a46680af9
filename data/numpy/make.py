"""Records what NumPy (2.4) gives, for the tests of the kernels in src/kernel.

    python make.py        writes promotion.json, elementwise.json and folds.json beside it

Values are the bytes of little-endian arrays, in hexadecimal. Where NumPy's result
is float16, which is not among our dtypes, float32 is recorded.
"""

import json
import pathlib
import warnings

import numpy as np

warnings.filterwarnings("ignore")
np.seterr(all="ignore")
HERE = pathlib.Path(__file__).parent
DTYPES = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
          "float32", "float64"]
BINARY = """add subtract multiply divide floor_divide remainder power float_power fmod gcd lcm
logaddexp logaddexp2 copysign nextafter heaviside minimum maximum fmin fmax hypot arctan2 equal not_equal less less_equal greater greater_equal bitwise_and bitwise_or
bitwise_xor logical_and logical_or logical_xor left_shift right_shift""".split()
UNARY = """negative absolute fabs sign sqrt cbrt square reciprocal exp exp2 expm1 log log2 log10 log1p sin
cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh sinc spacing radians degrees floor ceil trunc
rint isnan isfinite isinf signbit nan_to_num invert logical_not""".split()


def name(dtype):
    return {"float16": "float32"}.get(dtype.name, dtype.name)


def hexed(array):
    return np.ascontiguousarray(array).tobytes().hex()


def result(function, *arrays):
    """The result of a ufunc, float16 replaced by float32; None if it refuses."""
    try:
        out = function(*arrays)
    except TypeError:
        return None
    if out.dtype == np.float16:
        out = function(*(a.astype(np.float32) for a in arrays))
    return out


def write(file, what):
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in what.items())
    (HERE / file).write_text("{\n" + lines + "\n}\n")


def samples(dtype):
    """Values of which all pairs of neighbours are interesting."""
    kind = np.dtype(dtype).kind
    if kind == "b":
        return np.array([0, 0, 1, 1, 0], bool)
    if kind == "f":
        info = np.finfo(dtype)
        values = [0.0, 1.0, -0.0, 0.5, np.nan, 2.0, np.inf, -np.inf, -1.0, 2.5, -2.5, 3.0, 7.5, -7.5, 0.1,
                  -0.3, info.max, info.tiny, -3.5, 3.5, np.nan, np.nan, 1e-3, 10.0, 1.5, np.inf, np.inf, 0.0,
                  0.0, 20.25]
        return np.array(values, dtype)
    info = np.iinfo(dtype)
    values = [0, 1, 2, 3, info.max, 1, info.max, info.max, info.min, info.min, 3, 5, 7, 2, 10, 4, 100, 0, 9]
    if kind == "i":
        values += [-1, -7, 2, 7, -2, -9, -3, 0, -100, 6, info.min, -1]
    return np.array(values, dtype)


def promotion():
    scalars = [True, 0, 1, -1, 127, 128, 255, 256, 32767, 32768, 65536, 2**31, -(2**31), 2**32, 2**63 - 1,
               2**63, -(2**63), 1.5, 1e300]
    weak = []
    for scalar in scalars:
        row = []
        for dtype in DTYPES:
            try:
                row.append((np.zeros(1, dtype) + scalar).dtype.name)
            except OverflowError:
                row.append(None)
        weak.append([str(scalar), row])
    tables = {}
    for op in BINARY:
        rows = []
        for a in DTYPES:
            row = []
            for b in DTYPES:
                try:
                    row.append(name(getattr(np, op)(np.ones(1, a), np.ones(1, b)).dtype))
                except TypeError:
                    row.append(None)
            rows.append([DTYPES.index(r) if r else -1 for r in row])
        tables[op] = rows
    write("promotion.json", {
        "dtypes": DTYPES,
        "result_type": [[DTYPES.index(np.result_type(a, b).name) for b in DTYPES] for a in DTYPES],
        "weak": weak,
        **tables,
    })


def elementwise():
    out = {"samples": {d: hexed(samples(d)) for d in DTYPES}}
    for op in BINARY:
        entry = {}
        for dtype in DTYPES:
            a, b = samples(dtype)[:-1], samples(dtype)[1:]
            if op == "power" and np.dtype(dtype).kind == "i":
                b = np.abs(b // 2)  # NumPy refuses negative exponents
            got = result(getattr(np, op), a, b)
            if got is not None:
                entry[dtype] = [name(got.dtype), hexed(got)]
        out[op] = entry
    for op in UNARY:
        entry = {}
        for dtype in DTYPES:
            a = samples(dtype)
            if op == "reciprocal" and a.dtype.kind in "bui":
                a = a[a != 0]  # undefined of 0
            got = result(getattr(np, op), a)
            if got is not None:
                entry[dtype] = [name(got.dtype), hexed(got)]
        out[op] = entry
    out["cast"] = {}
    for source in DTYPES:
        for target in DTYPES:
            a = samples(source)
            if a.dtype.kind == "f" and np.dtype(target).kind in "ui":
                low = 0 if np.dtype(target).kind == "u" else -100
                a = a[(a >= low) & (a <= 100)]  # undefined beyond
            out["cast"][source + " " + target] = hexed(a.astype(target))
    write("elementwise.json", out)


def folds():
    rng = np.random.default_rng(20240229)
    out = {}
    for dtype in DTYPES:
        kind = np.dtype(dtype).kind
        arrays = [samples(dtype)[:1], samples(dtype)[:4]]
        for n in (23, 83):
            if kind == "b":
                arrays.append(rng.random(n) < 0.5)
            elif kind == "f":
                arrays.append(rng.normal(100, 3, n).astype(dtype))
                holes = rng.normal(-1, 3, n).astype(dtype)
                holes[rng.random(n) < 0.2] = np.nan
                arrays.append(holes)
            else:
                info = np.iinfo(dtype)
                arrays.append(rng.integers(info.min, info.max, n, dtype, endpoint=True))
                arrays.append(rng.integers(0, 5, n, dtype))
        if kind == "b":
            arrays += [np.ones(20, bool), np.zeros(20, bool)]
        if kind == "f":
            arrays += [np.full(20, np.nan, dtype), np.array([1, np.inf, 2], dtype), np.zeros(18, dtype)]
            arrays += [np.array([np.nan] + [3] * 18, dtype)]
        cases = []
        for a in arrays:
            case = {"": hexed(a)}
            wide = a.astype(np.float64) if dtype == "float32" else a  # sums in doubles
            for op in ("sum prod mean min max var std argmin argmax any all nansum nanprod nanmean "
                       "nanmin nanmax nanvar nanstd nanargmin nanargmax").split():
                function = getattr(np, op)
                for ddof in (0, 1, 2) if op.endswith(("var", "std")) else (None,):
                    more = {} if ddof is None else {"ddof": ddof}
                    try:
                        value = np.asarray(function(wide, **more))
                        value = value.astype(function(a, **more).dtype)
                    except ValueError:
                        value = np.asarray(np.int64(-1))  # nanargmin of NaN alone
                    case[op + ("" if not ddof else str(ddof))] = [value.dtype.name, hexed(value)]
            case["count"] = ["int64", hexed(np.int64(np.count_nonzero(a == a)))]
            cases.append(case)
        out[dtype] = cases
    write("folds.json", out)


promotion()
elementwise()
folds()
