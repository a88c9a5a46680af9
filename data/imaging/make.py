#!/usr/bin/env python3
"""What SciPy says of filters, labels and what is measured in them, for the tests of `freeboard calc`.

Writes into its own folder, in the format of `data/calc`: the arrays (`pool.tsv`, `pool.bin`), calls
with their inputs and chunks, and what came out (`calls.tsv`, `expected.bin`).

    python3 make.py        (numpy 2, scipy; seeded)
"""

import random
import warnings
from pathlib import Path

import numpy as np
import scipy.ndimage as ndi

HERE = Path(__file__).parent
SHAPES = [(23,), (3,), (17, 13), (2, 19), (13, 1), (5, 6, 7)]
DTYPES = "bool uint8 uint16 int8 int32 int64 float32 float64".split()
MODES = "reflect mirror nearest constant wrap".split()
rng = random.Random(414)
warnings.simplefilter("ignore")


def make_pool():
    numbers = np.random.default_rng(12)
    pool = []
    for shape in SHAPES:
        for dtype in DTYPES:
            if dtype == "bool":
                pool.append(numbers.random(shape) < 0.55)
            elif dtype.startswith("float"):
                pool.append((numbers.normal(size=shape) * 10).astype(dtype))
            else:
                low = 0 if dtype.startswith("u") else -60
                pool.append(numbers.integers(low, 120, shape).astype(dtype))
    return pool


POOL = make_pool()
FLOATS = ["float32", "float64"]


class Draw:
    def __init__(self):
        dtypes = FLOATS if rng.random() < 0.5 else DTYPES
        self.index = rng.choice([i for i, a in enumerate(POOL) if a.dtype in dtypes])
        self.ndim = POOL[self.index].ndim

    def mode(self):
        mode = rng.choice(MODES)
        cval = f", cval={rng.choice([0.0, 1.5, -3.0])}" if mode == "constant" and rng.random() < 0.7 else ""
        return rng.choice(["", f", mode='{mode}'{cval}"]) if mode == "reflect" else f", mode='{mode}'{cval}"

    def each(self, *values):
        """One of the values, or one for each axis."""
        one = lambda: rng.choice(values)
        return one() if rng.random() < 0.6 else tuple(one() for _ in range(self.ndim))

    def box(self, *values):
        """Nested lists of values."""
        sides = [rng.choice([1, 2, 3, 3, 4]) for _ in range(self.ndim)]
        return np.array([rng.choice(values) for _ in range(int(np.prod(sides)))]).reshape(sides).tolist()

    def axis(self):
        return rng.randrange(-self.ndim, self.ndim)

    def window(self):
        if rng.random() < 0.5:
            return f"size={self.each(1, 2, 3, 4, 5)}"
        return f"footprint={self.box(0, 1, 1)}"

    def structure(self):
        kind = rng.randrange(3)
        if kind == 0:
            return ""
        if kind == 1:
            box = np.array(self.box(0, 1, 1))
            box.flat[0] = 1
            return f", structure={box.tolist()}"
        return f", structure=generate_binary_structure({self.ndim}, {rng.randrange(1, self.ndim + 1)})"


REGIONS = "sum_labels mean variance standard_deviation minimum maximum minimum_position center_of_mass".split()


class Measured(Draw):
    """An array, its labels, and which of them are measured."""

    def labels(self):
        return rng.choice([f"label(x > {rng.choice([-5, 0, 5])})[0]", "(x > 0) * 3", "(x // 20).astype('i8')"])

    def chosen(self):
        listed = [[1, 2, 3], [3, 1], [2, 2, 900, 1], list(range(1, 12))]
        return rng.choice(["", ", 1", ", index=2", *(f", index={labels}" for labels in listed), ", arange(1, 5)"])


EXTREMES = "minimum_filter maximum_filter grey_erosion grey_dilation grey_opening grey_closing".split()
BINARY = "binary_erosion binary_dilation".split()

# How many calls are drawn, and the greatest difference of floats.
SPECS = [
    (70, 1e-6, lambda d: f"gaussian_filter(x, {d.each(0.0, 0.5, 1.0, 1.7)}{d.mode()})"),
    (30, 1e-6, lambda d: f"gaussian_filter(x, {d.each(0.8, 2.0)}, order={d.each(0, 1, 2, 3)}{d.mode()}, truncate={rng.choice([2.0, 3.5])})"),
    (15, 1e-6, lambda d: f"gaussian_filter1d(x, {rng.choice([0.6, 6.0])}, {d.axis()}, {rng.choice([0, 1])}{d.mode()})"),
    (20, 2e-6, lambda d: f"gaussian_laplace(x, {d.each(0.8, 1.3)}{d.mode()})"),
    (15, 2e-6, lambda d: f"gaussian_gradient_magnitude(x, {d.each(0.8, 1.3)}{d.mode()})"),
    (20, 1e-6, lambda d: f"laplace(x{d.mode()})"),
    (30, 1e-6, lambda d: f"{rng.choice(['sobel', 'prewitt'])}(x, {d.axis()}{d.mode()})"),
    (30, 1e-6, lambda d: f"uniform_filter(x, {d.each(1, 2, 3, 4, 7)}{d.mode()})"),
    (40, 1e-6, lambda d: f"{rng.choice(['correlate', 'convolve'])}(x, {d.box(-1.5, 0, 1, 2, 0.25)}{d.mode()})"),
    (30, 1e-6, lambda d: f"{rng.choice(['correlate1d', 'convolve1d'])}(x, {[rng.choice([-2, 0, 1, 0.5]) for _ in range(rng.randrange(1, 7))]}, {d.axis()}{d.mode()})"),
    (80, 0, lambda d: f"{rng.choice(EXTREMES)}(x, {d.window()}{d.mode()})"),
    (40, 0, lambda d: f"median_filter(x, {d.window()}{d.mode()})"),
    (25, 0, lambda d: f"rank_filter(x, {rng.randrange(-4, 4)}, {d.window()}{d.mode()})"),
    (25, 0, lambda d: f"percentile_filter(x, {rng.choice([0, 10, 33.3, 50, 80, 100, -20])}, {d.window()}{d.mode()})"),
    (40, 0, lambda d: f"{rng.choice(BINARY)}(x > 0{d.structure()}{rng.choice(['', ', iterations=2', ', border_value=1'])})"),
    (30, 0, lambda d: f"{rng.choice(['binary_opening', 'binary_closing'])}(x > 5{d.structure()}{rng.choice(['', ', iterations=2'])})"),
    (80, 0, lambda d: f"label(x > {rng.choice([-5, 0, 5, 10])}{rng.choice(['', f', structure=generate_binary_structure({d.ndim}, {d.ndim})', f', generate_binary_structure({d.ndim}, {min(2, d.ndim)})'])})[0]"),
    (120, 1e-6, lambda d: f"ndimage.{rng.choice(REGIONS)}(x, {d.labels()}{d.chosen()})"),
    (15, 1e-6, lambda d: f"ndimage.{rng.choice(REGIONS)}(x)"),
    (15, 0, lambda d: f"find_objects({d.labels()}, {rng.choice([1, 4, 9])})"),
    (15, 0, lambda d: f"find_objects({d.labels()})"),
    (30, 0, lambda d: f"{rng.choice(['laplace({0}{1})', 'sobel({0}, 0{1})', 'correlate1d({0}, [-1, 0, 1]{1})', 'correlate1d({0}, [-2, 1], 0{1})', 'uniform_filter({0}, 3{1})'])}".replace("{0}", "(x % 100).astype('uint64')").replace("{1}", d.mode())),
    (25, 0, lambda d: f"{rng.choice(['white_tophat', 'black_tophat', 'morphological_gradient'])}(x, {d.window()}{d.mode()})"),
    (20, 1e-6, lambda d: f"uniform_filter1d(x, {rng.choice([1, 2, 3, 5])}, {d.axis()}{d.mode()})"),
    (20, 0, lambda d: f"{rng.choice(['minimum_filter1d', 'maximum_filter1d'])}(x, {rng.choice([1, 2, 3, 5])}, {d.axis()}{d.mode()})"),
    (10, 1e-6, lambda d: f"convolve(x, ones({tuple(rng.choice([1, 2, 3]) for _ in range(d.ndim))}) / {rng.choice([4, 9])}{d.mode()})"),
    (10, 1e-6, lambda d: f"gaussian_filter(x, sqrt({rng.choice([2, 0.5])}){d.mode()})"),
    (10, 0, lambda d: f"median_filter(x, int({rng.choice([3.5, 2.2])}){d.mode()})"),
    (10, 1e-6, lambda d: "ndimage.mean(x, label(x > 0)[0], arange(1, label(x > 0)[1] + 1))"),
    (15, 0, lambda d: f"ndimage.histogram(x, {rng.choice([-20, 0])}, {rng.choice([30, 90.5])}, {rng.choice([1, 5, 12])}, {d.labels()}, {rng.choice([[1, 2], [2, 1]])})"),
]  # fmt: skip


def boxes(labels, max_label=0):
    """The boxes around regions as numbers: start and stop along each axis, 0 where there is no such region."""
    found = ndi.find_objects(labels, max_label)
    none = (slice(0, 0),) * labels.ndim
    return np.array([[[cut.start, cut.stop] for cut in box or none] for box in found])


def calls():
    names = {name: getattr(ndi, name) for name in dir(ndi) if not name.startswith("_")}
    names |= {"ndimage": ndi, "arange": np.arange, "list": list, "find_objects": boxes}
    names |= {"ones": np.ones, "sqrt": np.sqrt, "int": int}
    lines, expected, refused = [], bytearray(), 0
    for count, tolerance, draw in SPECS:
        for _ in range(count):
            d = Measured()
            x, text = POOL[d.index], draw(d)
            if x.ndim == 1 and "footprint" in text and text.startswith(("median", "rank", "percentile")):
                continue  # ranks along one axis: SciPy takes the footprint for a box
            if x.dtype.kind == "u" and "cval=-" in text:
                continue  # what no element can be: it is converted or not, filter by filter
            if x.dtype == bool and ("//" in text or "ndimage.histogram" in text):
                continue  # no labels
            if x.dtype.kind != "f" and "_position" in text:
                continue  # which of equal elements is named, is a matter of how SciPy sorts
            precise = x.dtype == np.float32 and text.startswith(("ndimage.s", "ndimage.me", "ndimage.v", "ndimage.c"))
            try:
                # Of one region SciPy sums float32 in float32.
                value = np.asarray(eval(text, names | {"x": x.astype("f8") if precise else x}))
            except (RuntimeError, ValueError, TypeError):
                refused += 1  # a footprint of nothing, a rank beyond it; extrema of nothing
                continue
            if text.startswith(("ndimage.sum", "ndimage.hist")):
                if value.dtype == object and any(one is None for one in value):
                    continue  # regions without elements have no counts
                value = np.stack(value) if value.dtype == object else value
                value = value.astype("f8" if "sum" in text else "i8")  # of one region SciPy's are of any dtype
            if value.dtype == bool:
                value = value.view("u1") != 0  # SciPy leaves any byte in them
            cuts = ",".join(str(rng.randrange(1, n + 1)) for n in x.shape)
            near = tolerance * (1e-6 if value.dtype == np.float64 else 1)
            near = f"{near:.0e}" if value.dtype.kind == "f" and tolerance else "="
            shape = ",".join(map(str, value.shape))
            lines.append(f"{text}\tx={d.index}/{cuts}\t{value.dtype} ({shape}) {near}\n")
            expected += np.ascontiguousarray(value).tobytes()
    (HERE / "calls.tsv").write_text("".join(lines))
    (HERE / "expected.bin").write_bytes(expected)
    return len(lines), refused


if __name__ == "__main__":
    (HERE / "pool.tsv").write_text("".join(f"{a.dtype} ({','.join(map(str, a.shape))})\n" for a in POOL))
    (HERE / "pool.bin").write_bytes(b"".join(np.ascontiguousarray(a).tobytes() for a in POOL))
    print(*calls(), "calls, and drawn but refused")
