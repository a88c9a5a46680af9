#!/usr/bin/env python3
"""What NumPy and SciPy say of formulas, for the tests of `freeboard calc`.

Writes into its own folder:

- `grammar.tsv`: formulas, and how Python's parser reads them (every operation in brackets).
- `pool.tsv`, `pool.bin`: the small arrays that calls are made with.
- `calls.tsv`, `expected.bin`: calls, their inputs and chunks, and what came out.

A call is drawn from a spec, a line of `SPECS`: its text is evaluated here as it stands, with
NumPy's and SciPy's names, and by the test with freeboard's. A new function is a new line.

    python3 make.py        (numpy 2, scipy; seeded)
"""

import ast
import random
import warnings
from pathlib import Path

import numpy as np
import scipy.ndimage as ndi

HERE = Path(__file__).parent
DTYPES = "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float32 float64".split()
rng = random.Random(20250)
warnings.simplefilter("ignore")

# ---------------------------------------------------------------- grammar

OPERATORS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.MatMult: "@", ast.Pow: "**", ast.LShift: "<<", ast.RShift: ">>", ast.BitAnd: "&",
    ast.BitXor: "^", ast.BitOr: "|", ast.UAdd: "+", ast.USub: "-", ast.Invert: "~", ast.Not: "not ",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


class Unsupported(Exception):
    pass


def tree(node):
    """A formula as `Display` of the parser's tree writes it."""
    of = lambda op: OPERATORS.get(type(op)) or unsupported()
    match node:
        case ast.Expression(body):
            return tree(body)
        case ast.Constant(value):
            return "..." if value is ... else repr(value)
        case ast.Name(name):
            return name
        case ast.UnaryOp(op, a):
            return f"({of(op)}{tree(a)})"
        case ast.BinOp(a, op, b):
            return f"({tree(a)} {of(op)} {tree(b)})"
        case ast.Compare(first, ops, rest):
            links = "".join(f" {of(op)} {tree(node)}" for op, node in zip(ops, rest))
            return f"({tree(first)}{links})"
        case ast.BoolOp(op, nodes):
            word = " and " if isinstance(op, ast.And) else " or "
            return f"({word.join(map(tree, nodes))})"
        case ast.Attribute(a, name):
            return f"{tree(a)}.{name}"
        case ast.Subscript(a, index):
            return f"{tree(a)}[{tree(index)}]"
        case ast.Slice(start, stop, step):
            part = lambda node: "" if node is None else tree(node)
            return f"{part(start)}:{part(stop)}" + ("" if step is None else f":{tree(step)}")
        case ast.Call(function, args, keywords):
            if any(keyword.arg is None for keyword in keywords):
                raise Unsupported
            named = [f"{keyword.arg}={tree(keyword.value)}" for keyword in keywords]
            return f"{tree(function)}({', '.join([*map(tree, args), *named])})"
        case ast.Tuple(nodes):
            return f"({', '.join(map(tree, nodes))}{',' if len(nodes) == 1 else ''})"
        case ast.List(nodes):
            return f"[{', '.join(map(tree, nodes))}]"
    unsupported()


def unsupported():
    raise Unsupported


BINARY = "+ - * / // % @ ** << >> & ^ | < <= > >= == != and or".split()


def formula(depth):
    """A random formula that can be read."""
    if depth == 0 or rng.random() < 0.2:
        return rng.choice(["a", "b", "x", "raw", "1", "2", "10", "1.5", "0.25", "None", "True", "'s'"])
    inner = lambda: formula(depth - 1)
    match rng.randrange(14):
        case 0 | 1 | 2 | 3 | 4 | 5:
            return f"{inner()} {rng.choice(BINARY)} {inner()}"
        case 6 | 7:
            return rng.choice(["-", "+", "~", "not "]) + inner()
        case 8:
            return f"({inner()})"
        case 9:
            return rng.choice(["f(x{})", "np.f({}, k={})", "x.mean(axis={})", "f()"]).format(inner(), inner()).replace("(x", "(x, ")
        case 10:
            part = lambda: rng.choice(["", inner()])
            index = rng.choice([inner(), f"{part()}:{part()}", f"{part()}:{part()}:{part()}", "...", "None"])
            return f"x[{index}{rng.choice(['', ',', ', ' + inner(), ', ::-1'])}]"
        case 11:
            return f"({inner()}).T"
        case 12:
            return rng.choice(["({}, {})", "({},)", "[{}, {}]", "[{}]", "()", "[]", "[({}, {})]"]).format(inner(), inner())
        case _:
            return f"{inner()}{rng.choice(['**', ' ** -', '**-', ' < ', '.T', ', '])}{inner() if rng.random() < 0.9 else ''}"


def noise():
    """Random tokens, most of which no one can read."""
    tokens = ["a", "b", "1", "2.5", "(", ")", "[", "]", ",", ":", ".", "=", "not", "and", "...", *BINARY]
    return " ".join(rng.choice(tokens) for _ in range(rng.randrange(1, 7)))


def grammar():
    lines = {}
    while len(lines) < 1600:
        text = formula(rng.randrange(1, 5)) if rng.random() < 0.6 else noise()
        if len(text) > 70 or text in lines:
            continue
        try:
            lines[text] = tree(ast.parse(text.strip(), mode="eval"))
        except SyntaxError:
            # Half of what is left over, or formulas would be outnumbered.
            if rng.random() < 0.5:
                lines[text] = "SyntaxError"
        except Unsupported:
            pass
    (HERE / "grammar.tsv").write_text("".join(f"{text}\t{how}\n" for text, how in lines.items()))


# ---------------------------------------------------------------- arrays

POOL = []


def element(dtype):
    match np.dtype(dtype).kind:
        case "b":
            return rng.random() < 0.5
        case "u":
            return rng.choice([0, 1, 2, 3, 5, 7, 9])
        case "i":
            return rng.choice([-9, -7, -3, -2, -1, 0, 0, 1, 2, 3, 4, 8])
    return rng.choice([-7.5, -3.0, -1.25, -0.5, 0.0, 0.1, 0.75, 1.0, 2.0, 3.3, 9.75])


def make_pool():
    shapes = [(), (1,), (4,), (7,), (3, 4), (4, 1), (1, 4), (5, 3), (2, 3, 4), (3, 1, 4), (2, 5, 3), (4, 4), (12,), (0, 3), (6, 5)]
    for shape in shapes:
        for dtype in DTYPES:
            values = np.array([element(dtype) for _ in range(int(np.prod(shape)))], dtype)
            POOL.append(values.reshape(shape))
            # Floats a second time, with what is no number.
            if dtype.startswith("float"):
                values = values.copy()
                for i in range(len(values)):
                    if rng.random() < 0.3:
                        values[i] = rng.choice([np.nan, np.nan, np.inf, -np.inf])
                POOL.append(values.reshape(shape))


def weird(array):
    return array.dtype.kind == "f" and not np.isfinite(array).all()


class Draw:
    """The inputs of one call, drawn as its text is made."""

    def __init__(self):
        self.inputs = {}

    def x(self, kinds="buif", ndim=(0, 3), min_size=0, test=lambda array: True, finite=False, ge=0):
        """The name of an array of these kinds of dtype and numbers of axes."""
        while True:
            i = rng.randrange(len(POOL))
            array = POOL[i]
            fits = array.dtype.kind in kinds and ndim[0] <= array.ndim <= ndim[1]
            if fits and array.size >= min_size and array.dtype.itemsize >= ge and test(array):
                if finite and weird(array):
                    continue
                name = "xyzw"[len(self.inputs)]
                self.inputs[name] = i
                return name

    def array(self, name):
        return POOL[self.inputs[name]]

    def shape(self, name="x"):
        return self.array(name).shape

    def mate(self, name="x", kinds="buif", **more):
        """An array that mostly broadcasts with another."""
        shape = self.shape(name)

        def fits(array):
            if rng.random() < 0.01:
                return True
            try:
                np.broadcast_shapes(shape, array.shape)
            except ValueError:
                return False
            # 64-bit unsigned and signed meet in floats, and compare as such here.
            pair = {array.dtype, self.array(name).dtype}
            return not (np.dtype("uint64") in pair and any(dtype.kind == "i" for dtype in pair))

        return self.x(kinds, test=fits, **more)

    def same(self, name="x", kinds="buif", **more):
        """An array of the same shape."""
        return self.x(kinds, test=lambda array: array.shape == self.shape(name), **more)

    def axis(self, name="x", none=True):
        """`, axis=…`, `, …` or nothing; now and then out of range."""
        ndim = len(self.shape(name))
        # NumPy's reductions take axis 0 where there is none; we do not.
        if none and (rng.random() < 0.25 or not ndim):
            return rng.choice(["", ", axis=None"])
        axis = rng.randrange(-ndim - (rng.random() < 0.02), max(ndim, 1))
        return rng.choice([f", axis={axis}", f", {axis}"])

    def axes(self, name="x"):
        ndim = len(self.shape(name))
        if ndim < 2 or rng.random() < 0.6:
            return self.axis(name)
        some = rng.sample(range(ndim), rng.randrange(1, ndim + 1))
        return f", axis={tuple(a - rng.choice([0, ndim]) for a in some)}"

    def index(self, name="x"):
        """A basic index."""
        parts = []
        for length in self.shape(name)[: rng.randrange(1, 4)]:
            bound = lambda: rng.choice(["", "", str(rng.randrange(-length - 2, length + 3))])
            parts.append(rng.choice([
                str(rng.randrange(-length - 1, length + 1) if rng.random() < 0.1 or not length else rng.randrange(-length, length)),
                ":",
                f"{bound()}:{bound()}",
                f"{bound()}:{bound()}:{rng.choice([-3, -2, -1, 1, 2, 3])}",
            ]))  # fmt: skip
        if rng.random() < 0.3:
            parts.insert(rng.randrange(len(parts) + 1), "...")
        if rng.random() < 0.3:
            parts.insert(rng.randrange(len(parts) + 1), rng.choice(["None", "newaxis"]))
        return ", ".join(parts) or "..."


def product(d, x, **more):
    """A product of matrices; now and then of what does not fit."""
    form, end = one(("{0} @ {1}", -2), ("matmul({0}, {1})", -2), ("dot({0}, {1})", -2), ("{0}.dot({1})", -2), ("np.inner({0}, {1})", -1), ("{0} @ {1}.mT", -1))
    fits = lambda a: rng.random() < 0.02 or a.ndim > ("mT" in form) and a.shape[-2:][end if a.ndim > 1 else 0] == (d.shape() or (-1,))[-1]
    kinds = "uif" if d.array(x).dtype.kind == "f" else "bui"
    return form.format(x, d.x(kinds, ndim=(0, 3), test=fits, **more))


def tensordot(d, x):
    form = one("tensordot({0}, {1}, 1)", "tensordot({0}, {1}, axes=0)", "tensordot({0}, {1}, ([0], [0]))", "tensordot({0}, {1}, (-1, 0))", "tensordot({0}, {1}, axes=([-1, 0], (1, 0)))", "tensordot({0}, {1})")
    return form.format(x, d.x("ui", ndim=(1, 3), min_size=1, test=lambda a: rng.random() < 0.02 or set(a.shape) & set(d.shape())))


def one(*options):
    return rng.choice(options)


# ---------------------------------------------------------------- calls

NUMBER = lambda: one("2", "3", "-1", "0.5", "1.5", "True", "7", "0", "300")
SMALL = lambda: one("2", "0.5", "True", "7", "0")  # fits every dtype: `where` wraps in NumPy, and refuses here
REAL = dict(kinds="uif", ge=2)  # NumPy computes 8-bit integers in float16, which is no dtype here
keep = lambda: one("", "", ", keepdims=True")

# A name, how many calls, the tolerance (0: equal to the bit), and what draws one.
SPECS = [
    ("arithmetic", 260, 0, lambda d: f"{d.x()} {one('+', '-', '*', '/', '//', '%')} {d.mate()}"),
    ("with numbers", 260, 0, lambda d: one("{0} {1} {2}", "{2} {1} {0}").format(d.x(), one("+", "-", "*", "/", "//", "%"), NUMBER())),
    ("powers", 60, 1e-6, lambda d: f"{d.x('uif', finite=True)} ** {one('2', '3', '0.5', '0', '-1', '2.0')}"),
    ("powers of numbers", 30, 1e-6, lambda d: f"{one('2', '2.0', '1.5')} ** {d.x('uf', finite=True)}"),
    ("bits", 120, 0, lambda d: f"{d.x('bui')} {one('&', '|', '^')} {d.mate(kinds='bui')}"),
    ("shifts", 60, 0, lambda d: f"{d.x('ui')} {one('<<', '>>')} {one('1', '2', '3')}"),
    ("comparisons", 160, 0, lambda d: f"{d.x()} {one('<', '<=', '>', '>=', '==', '!=')} {d.mate()}"),
    ("comparisons with numbers", 100, 0, lambda d: one("{0} {1} {2}", "{2} {1} {0}").format(d.x(), one("<", "<=", ">", ">=", "==", "!="), NUMBER())),
    ("signs", 60, 0, lambda d: one("-{0}", "+{0}", "~{0}", "abs({0})", "-{0} + 1", "~({0} > 0)").format(d.x())),
    ("precedence", 120, 1e-6, lambda d: one("{0} + {1} * {2}", "({0} + {1}) * {2}", "-{0} ** 2 + {1}", "{0} - {1} - {2}", "{0} / {1} * {2}", "{0} % 5 + {1} // 2", "2 * {0} > {1} + 1", "({0} > 0) & ({1} < 2) | ({2} == 1)").format(d.x("uif", finite=True), d.mate(finite=True), d.mate(finite=True))),
    ("Python's numbers", 80, 0, lambda d: f"{d.x('f')} * ({one('7', '-7', '2.5', '-0.5', 'True')} {one('+', '-', '*', '//', '%', '**', '/')} {one('2', '3', '-3', '0.5')})"),
    ("exact ufuncs", 160, 0, lambda d: f"{one('absolute', 'sign', 'square', 'floor', 'ceil', 'trunc', 'negative', 'positive', 'invert', 'logical_not', 'isnan', 'isfinite', 'isinf', 'np.abs', 'reciprocal')}({d.x('uif', test=lambda a: a.dtype.kind == 'f' or (a != 0).all())})"),
    ("roots", 40, 0, lambda d: f"{one('sqrt', 'np.rint')}({d.x(**REAL)})"),
    ("functions", 200, 4e-6, lambda d: f"{one('cbrt', 'exp', 'exp2', 'expm1', 'log', 'log2', 'log10', 'log1p', 'sin', 'cos', 'tan', 'arcsin', 'arccos', 'arctan', 'sinh', 'cosh', 'tanh', 'radians', 'degrees', 'deg2rad', 'rad2deg', 'np.sin')}({d.x(**REAL)})"),
    ("ufuncs of two", 140, 0, lambda d: f"{one('add', 'subtract', 'multiply', 'divide', 'floor_divide', 'remainder', 'mod', 'minimum', 'maximum', 'fmin', 'fmax', 'equal', 'less', 'logical_and', 'logical_or', 'logical_xor')}({d.x()}, {one(d.mate(), NUMBER())})"),
    ("hypot and arctan2", 40, 4e-6, lambda d: f"{one('hypot', 'arctan2')}({one('{0}, {1}', '{0}, 2', '1.5, {0}').format(d.x(**REAL), d.mate(**REAL))})"),
    ("where", 100, 0, lambda d: f"where({d.x('b')}, {one(d.mate(), SMALL())}, {one(d.mate(), SMALL())})"),
    ("where of a comparison", 30, 0, lambda d: f"np.where({d.x()} > 0, x, {SMALL()})"),
    ("clip", 60, 0, lambda d: one("clip({0}, 1, 5)", "{0}.clip(0, 3)", "clip({0}, a_min=None, a_max=2)", "{0}.clip(min=1)", "np.clip({0}, 0.5, 2.5)").format(d.x("uif"))),
    ("astype", 120, 0, lambda d: f"{d.x('bui')}.astype({one('int', 'float', 'bool', 'float32', 'np.int16', *[repr(t) for t in DTYPES], *[repr(c) for c in ('f4', '<f8', 'i2', 'u1', '?', 'd')])})"),
    ("dtypes convert", 30, 0, lambda d: f"{one('float32', 'float64', 'int64', 'np.int32')}({d.x('bui')}) + 1"),
    ("slices", 300, 0, lambda d: f"{d.x(ndim=(1, 3))}[{d.index()}]"),
    ("slices of sums", 60, 0, lambda d: f"({d.x('uif', ndim=(1, 3))} + 1)[{d.index()}]"),
    ("exact reductions", 200, 0, lambda d: f"{one('min', 'max', 'np.amin', 'amax', 'argmin', 'argmax', 'any', 'all', 'count_nonzero')}({d.x()}{d.axis()}{keep()})"),
    ("reductions of several axes", 100, 0, lambda d: f"{one('min', 'max', 'any', 'all')}({d.x(ndim=(1, 3))}{d.axes()}{keep()})"),
    ("sums of integers", 100, 0, lambda d: f"{one('sum', 'prod', 'np.sum', 'nansum')}({d.x('bui')}{d.axes()}{keep()})"),
    ("sums of floats", 100, 2e-5, lambda d: f"{one('sum', 'prod', 'mean', 'nansum', 'nanprod')}({d.x('f')}{d.axes()}{keep()})"),
    ("moments", 100, 2e-5, lambda d: f"{one('mean', 'std', 'var')}({d.x(min_size=1)}{d.axes()}{one('', ', keepdims=True')})"),
    ("ddof", 30, 2e-5, lambda d: f"{one('std', 'var', 'nanstd', 'nanvar')}({d.x('uif', finite=True, ndim=(1, 3))}{d.axis()}, ddof=1)"),
    ("dtype of a sum", 40, 2e-5, lambda d: f"{one('sum', 'mean')}({d.x('buif', finite=True)}{d.axis()}, dtype={one('float64', chr(39) + 'f4' + chr(39), 'int64')})"),
    ("without NaN", 80, 2e-5, lambda d: f"{one('nanmean', 'nanstd', 'nanvar', 'nanmin', 'nanmax')}({d.x('f', min_size=1)}{d.axes()}{keep()})"),
    ("ptp", 20, 0, lambda d: f"ptp({d.x('uif')}{d.axis()})"),
    ("methods", 120, 2e-5, lambda d: f"{d.x(finite=True)}.{one('sum', 'mean', 'min', 'max', 'any', 'all', 'std', 'var', 'prod', 'argmin', 'argmax')}({d.axis()[2:]})"),
    ("transposes", 60, 0, lambda d: one("{0}.T", "transpose({0})", "{0}.transpose()", "transpose({0}, {1})", "{0}.transpose({1})", "{0}.mT").format(d.x(ndim=(0, 3)), tuple(rng.sample(range(len(d.shape())), len(d.shape()))))),
    ("axes move", 60, 0, lambda d: f"{one('swapaxes', 'moveaxis')}({d.x(ndim=(1, 3))}, {rng.randrange(-1, 2)}, {rng.randrange(-2, 2)})"),
    ("axes come and go", 60, 0, lambda d: one("squeeze({0})", "{0}.squeeze()", "squeeze({0}, 0)", "expand_dims({0}, 0)", "expand_dims({0}, -1)", "expand_dims({0}, (0, 2))", "{0}[None]", "{0}[..., newaxis]").format(d.x(ndim=(1, 3)))),
    ("flip", 40, 0, lambda d: one("flip({0})", "flip({0}, 0)", "flip({0}, axis=-1)", "flipud({0})", "fliplr({0})").format(d.x(ndim=(1, 3)))),
    ("broadcast_to", 40, 0, lambda d: f"broadcast_to({d.x()}, {one((3, 4), (2, 3, 4), (4,), (5, 3), (2, 4, 4))})"),
    ("concatenate", 60, 0, lambda d: f"concatenate({one('[{0}, {1}]', '({0}, {1}, {0})').format(d.x(ndim=(1, 3)), d.same())}{d.axis(none=False)})"),
    ("stack", 50, 0, lambda d: f"stack([{d.x()}, {d.same()}]{one('', ', axis=0', ', axis=-1', ', axis=1')})"),
    ("lists are arrays", 40, 0, lambda d: one("{0} + [1, 2, 3, 4]", "[[1], [2.5]] * {0}", "maximum({0}, (1, 0, 1, 0))", "array([1, 2, 3]) - {0}", "asarray([[True, False], [False, True]]) & True", "array([[1, 2], [3]]) + {0}").format(d.x("uif"))),
    ("created", 80, 0, lambda d: one("zeros(({0}, 2))", "ones({0}, dtype='i4')", "full(({0},), 2.5)", "full({0}, 7)", "arange({0})", "arange(1, {0})", "arange(0, {0}, 0.5)", "arange({0}, 0, -2)", "linspace(0, 1, {0})", "eye({0})", "identity({0}, dtype='u1')", "arange({0}, dtype='f4')", "linspace(-2, {0}, num=5)", "arange({0}) * 2 + 1").format(rng.randrange(0, 8))),
    ("created like", 30, 0, lambda d: one("zeros_like({0})", "ones_like({0}) + 1", "full_like({0}, 3)", "zeros_like({0}, dtype='f8')").format(d.x())),
    ("what shapes tell", 40, 0, lambda d: one("zeros({0}.shape)", "{0} * {0}.ndim", "{0} + {0}.size", "{0} / {0}.shape[0]", "zeros({0}.shape[1:] + (2,))", "arange(len({0}))", "ones({0}.shape[::-1])", "zeros_like({0}).astype({0}.dtype)").format(d.x("uif"))),
    ("chained", 120, 2e-5, lambda d: one("({0} - {0}.mean()) / {0}.std()", "({0} - mean({0}, axis=0)) ** 2", "sqrt(abs({0})).sum(axis=-1)", "where(isnan({0}), 0, {0}).max()", "{0}[::2].mean(axis=0) + 1", "{0}.T[..., ::-1].sum(axis=0)", "(({0} > 0) * {0}).sum()", "max({0}, axis=0) - min({0}, axis=0)").format(d.x("if", ndim=(1, 3), min_size=1, ge=4))),
    ("more ufuncs of two", 120, 4e-6, lambda d: f"{one('fmod', 'copysign', 'nextafter', 'heaviside', 'logaddexp', 'logaddexp2', 'isclose')}({d.x(**REAL)}, {one(d.mate(**REAL), '2')})"),
    ("ufuncs of integers", 40, 0, lambda d: f"{one('gcd', 'lcm')}({d.x('ui')}, {d.mate(kinds='ui')})"),
    ("more ufuncs", 120, 4e-6, lambda d: f"{one('fabs', 'arcsinh', 'arccosh', 'arctanh', 'sinc', 'spacing', 'signbit', 'nan_to_num')}({d.x(**REAL)})"),
    ("round", 60, 0, lambda d: one("round({0})", "round({0}, 1)", "around({0}, -1)", "{0}.round(2)", "np.round({0}, decimals=0)").format(d.x("uif"))),
    ("divmod and allclose", 40, 0, lambda d: one("divmod({0}, {1})[0]", "divmod({0}, {1})[1]", "allclose({0}, {1})", "isclose({0}, {1}, rtol=0.5)", "nan_to_num({0}, nan=1.5)").format(d.x("f"), d.mate(kinds="f"))),
    ("average", 50, 2e-5, lambda d: one("average({0})", "average({0}, axis=0)", "average({0}, weights={1} * 0 + 2)", "average({0}, axis=0, weights=abs({1}) + 1)", "average({0}, -1, weights=ones({0}.shape[-1]))").format(d.x("uif", finite=True, ndim=(1, 3), min_size=1), d.same(kinds="f", finite=True))),
    ("stacks", 60, 0, lambda d: f"{one('vstack', 'hstack', 'dstack')}([{d.x()}, {d.same()}])"),
    ("blocks", 20, 0, lambda d: one("block([[{0}, {0}], [{0}, {0}]])", "block([{0}, {0}])").format(d.x(ndim=(1, 2)))),
    ("parts", 40, 0, lambda d: f"{one('split', 'array_split')}({d.x(ndim=(1, 3))}, {one(1, 2, 3)}, {one('axis=0', '-1')})[{one(0, -1)}]"),
    ("rearranged", 120, 0, lambda d: one("roll({0}, 2, axis=0)", "roll({0}, -3, 1)", "rot90({0})", "rot90({0}, k=-1, axes=(1, 0))", "rot90({0}, 2)", "tile({0}, 2)", "tile({0}, (2, 1, 3))", "moveaxis({0}, (0, 1), (-1, 0))", "atleast_1d({0})", "atleast_2d({0})", "atleast_3d({0})").format(d.x(ndim=(0, 3)))),
    ("roll along two axes", 20, 0, lambda d: f"roll({d.x(ndim=(2, 3))}, {one((1, -1), 2, (0, 7))}, axis={one((0, 1), (-1, 0))})"),
    ("repeats and diagonals", 120, 0, lambda d: one("repeat({0}, 2, axis=0)", "{0}.repeat(3, -1)", "repeat({0}, 1, 1)", "diagonal({0})", "diagonal({0}, 1)", "{0}.diagonal(offset=-1, axis1=1, axis2=0)", "diag({0})", "diag({0}, 1)").format(d.x(ndim=(2, 3), min_size=1))),
    ("traces", 30, 0, lambda d: one("trace({0})", "{0}.trace(1)", "trace({0}, -1, 0, 1)").format(d.x("bui", ndim=(2, 3), min_size=1))),
    ("isin", 30, 0, lambda d: f"isin({d.x()}, {one([1, 2], (0, 3, 7), [], 2, [0.5, 300])})"),
    ("pad", 80, 0, lambda d: f"pad({d.x(ndim=(1, 2), min_size=1)}, {one('1', '(1, 2)', '[(2, 1)]', '((1, 0), (0, 3))', '3')}{one('', ', constant_values=7', *[f', mode={m!r}' for m in ('edge', 'reflect', 'symmetric', 'wrap')])})"),
    ("triangles", 60, 0, lambda d: one("tril({0})", "triu({0}, 1)", "tril({0}, k=-1)", "diag({0}[0])", "diag({0}[:, 0], k=2)", "diag({0}[0], -1)").format(d.x(ndim=(2, 2), min_size=1))),
    ("coordinates", 30, 0, lambda d: one("meshgrid({0}, arange(3))[0]", "meshgrid({0}, {0}, indexing='ij')[1]", "indices((2, 3))", "indices(({0}.size, 2))[0]").format(d.x(ndim=(1, 1)))),
    ("differences", 80, 2e-5, lambda d: one("diff({0})", "diff({0}, n=2, axis=0)", "diff({0}, 1, 0)", "gradient({0}, axis=0)", "gradient({0}, 0.5, axis=-1)", "trapezoid({0})", "trapezoid({0}, dx=0.5, axis=0)").format(d.x("uif", finite=True, ndim=(1, 3), ge=4))),
    ("sorts", 80, 0, lambda d: one("sort({0})", "sort({0}, axis=0)", "sort({0}, -1)", "argsort({0}, axis=-1, stable=True)", "{0}.argsort(0, kind='stable')", "{0}.argsort(stable=True)", "argsort({0}, 1, 'stable')").format(d.x(ndim=(1, 3)))),
    ("medians", 120, 2e-5, lambda d: f"{one('median', 'nanmedian')}({d.x('uif', min_size=1)}{d.axes()}{keep()})"),
    ("quantiles", 160, 2e-5, lambda d: f"{one('percentile', 'nanpercentile', 'np.percentile')}({d.x('uif', finite=True, min_size=1)}, {one(0, 50, 30.0, 97.5, [25, 50, 75], (10, 99.5))}{d.axes()}{one('', *[f', method={m!r}' for m in ('linear', 'lower', 'higher', 'nearest', 'midpoint')])}{keep()})"),
    ("fractions", 60, 2e-5, lambda d: f"{one('quantile', 'nanquantile')}({d.x('uif', finite=True, min_size=1)}, {one(0.5, 0.3, 1.0, [0.2], [0.1, 0.5, 0.9, 1], 1.5)}{d.axes()})"),
    ("running sums", 100, 2e-5, lambda d: f"{one('cumsum', 'cumprod', 'nancumsum', 'nancumprod')}({d.x('buif', ndim=(1, 3))}{one('', ', axis=0', ', axis=-1', ', 1')})"),
    ("running sums of a dtype", 20, 2e-5, lambda d: one("cumsum({0}, 0, dtype='f8')", "{0}.cumsum()", "{0}.cumprod(axis=-1)", "cumsum({0}, axis=0, dtype='int64')").format(d.x('uif', finite=True, ndim=(1, 3)))),
    ("reshapes", 140, 0, lambda d: one("{0}.reshape(-1)", "reshape({0}, (2, -1))", "ravel({0})", "{0}.flatten()", "{0}.ravel()", "{0}.T.reshape(3, -1)", "reshape({0}, (4, 3))", "{0}.reshape((6, 4))", "{0}.reshape(2, 12)", "{0}.reshape(1, 3, -1, 2)", "reshape({0}, ({0}.size, 1))", "{0}[::-1].reshape(-1, 5)", "{0}.reshape(-1, -1)").format(d.x(ndim=(0, 3)))),
    ("sorted flat", 30, 0, lambda d: one("sort({0}, axis=None)", "argsort({0}, axis=None, kind='stable')", "argsort({0}, axis=None, stable=True)").format(d.x(ndim=(1, 3)))),
    ("places", 100, 0, lambda d: one("take({0}, [0, 2, 1], axis=0)", "take({0}, 3)", "{0}.take([1, 1, -1], -1)", "take({0}, (0, -2), 1)", "{0}[[0, 2]]", "{0}[:, [2, 0, 0]]", "{0}[::-1, [1]]", "{0}[[3, 0, 1, 2]]", "{0}[..., 1:][[0]]", "take({0}, [5, 0, 1])").format(d.x(ndim=(1, 3)))),
    ("truths as places", 40, 0, lambda d: one("{0}[[True, False, True, True]]", "{0}[:, [True, False, True]]", "compress([True, False, True], {0}, axis=0)", "{0}.compress([0, 1, 1], axis=-1)", "compress([1, 0, 1], {0})").format(d.x(ndim=(1, 3)))),
    ("histograms", 80, 0, lambda d: one("histogram({0}, 4, range=(-3, 8))[0]", "histogram({0}, bins=[-8, -1.5, 0, 1, 9.5])[0]", "histogram({0}, bins=7, range=(0, 3.3))[0]", "histogram({0}, (0, 1, 1, 4))[0]", "histogram({0}, 3, (2, 2))[0]", "histogram({0}, 5, range=(-1, 1))[1]", "histogram({0}, 0, range=(0, 1))[0]", "histogram({0}, 5, range=(3, 1))[0]").format(d.x("uif"))),
    ("counts", 30, 0, lambda d: one("bincount({0}, minlength=12)", "bincount({0} % 5, minlength=5)").format(d.x("ui", ndim=(1, 1)))),
    ("products of integers", 80, 0, lambda d: product(d, d.x("bui", ndim=(0, 3)))),
    ("products of floats", 60, 2e-5, lambda d: product(d, d.x("f", finite=True, ndim=(1, 3)), finite=True)),
    ("products of vectors", 30, 0, lambda d: f"{one('outer', 'linalg.outer', 'vdot', 'inner', 'dot')}({d.x('bui', ndim=(1, 1))}, {d.same(kinds='bui')})"),
    ("tensordot", 60, 0, lambda d: tensordot(d, d.x("ui", ndim=(1, 3), min_size=1))),
    ("masks", 120, 0, lambda d: one("{0}[{0} > 0]", "{0}[{1} > 1]", "{0}[isnan({0})]", "{0}[{1} == {1}]", "extract({0} > 0, {0})", "{0}[{0} > 99]", "{0}[..., {0} < 1]", "{0}.T[({0} > 0).T]").format(d.x(ndim=(0, 3)), d.same())),
    ("masks of some axes", 80, 0, lambda d: one("{0}[{0}.any(axis=-1)]", "{0}[:, {0}[0] > 0]", "{0}[{0}[..., 0] > 0]", "{0}[..., {0}[0, ..., :].sum(axis=tuple_of) > 0]".replace("tuple_of", "()"), "{0}[1:, {0}[0] > 0, ::-1]", "{0}[({0} > 0).any(axis=0)]", "compress({0}[0] > 0, {0}, axis=1)", "{0}[{0}.sum(axis=1) > 1][0]").format(d.x("uif", ndim=(2, 3)))),
    ("what masks keep", 60, 2e-5, lambda d: one("{0}[{0} > 0].mean()", "zeros({0}[{0} != 0].size)", "sort({0}[{0} < 2])[::-1]", "({0}[{0} > 0] + 1).sum()", "{0}[{0} > 0][:2]", "median({0}[{0} > -2])").format(d.x("uif", finite=True, ndim=(1, 3), ge=4))),
    ("computed places", 80, 0, lambda d: one("{0}[argsort({0}, axis=0, kind='stable')[0]]", "{0}[{0}.argmax()]", "{0}[:, [[0, 1], [1, 0]]]", "take({0}, argsort({0}, axis=None, kind='stable'))", "{0}[arange(2)]", "{0}[..., arange(4).reshape(2, 2) % 3]", "{0}[[0, 1]] + {0}[array([1, 0])]", "take({0}, arange(2), axis=-1)", "take({0}, [[0, 1]], 0)", "{0}[array([0, 5])]").format(d.x(ndim=(1, 3), min_size=1))),
    ("distinct values", 140, 0, lambda d: one("unique({0})", "unique({0}, return_counts=True)[1]", "unique({0}, True)[1]", "unique({0}, return_inverse=True)[1]", "union1d({0}, {1})", "intersect1d({0}, {1})", "setdiff1d({0}, {1})", "setxor1d({0}, {1})", "np.unique({0}, return_index=True, return_counts=True)[2]").format(d.x(), d.x(test=lambda a: a.dtype == d.array("x").dtype and not weird(a)))),
    ("places of what is not zero", 80, 0, lambda d: one("nonzero({0})[0]", "{0}.nonzero()[-1]", "flatnonzero({0})", "argwhere({0} > 0)", "where({0} > 1)[0]", "argwhere({0})", "np.nonzero({0} == 0)[0]").format(d.x(ndim=(1, 3)))),
    ("searches", 80, 0, lambda d: one("searchsorted(sort({0}, axis=None), {1})", "searchsorted(sort({0}, axis=None), {1}, side='right')", "unique({0}).searchsorted({1}, 'right')", "digitize({1}, [-1, 0.5, 3])", "digitize({1}, array([5, 1, -2.5]), right=True)").format(d.x(), d.x(test=lambda a: a.dtype == d.array("x").dtype))),
    ("indices of places", 40, 0, lambda d: one("unravel_index({0} % 12, (3, 4))[0]", "unravel_index({0} % 24, (2, 3, 4))[-1]", "ravel_multi_index(({0} % 3, {0} % 4), (3, 4))").format(d.x("i", ge=8))),
    ("histograms of all", 40, 0, lambda d: one("histogram({0})[0]", "histogram({0}, 4)[0]", "histogram({0}, bins=3)[1]", "bincount({0}.ravel() % 7)", "bincount({0})", "bincount(ravel({0}), minlength=3)").format(d.x("ui", ge=8))),
    ("decompositions", 100, 2e-5, lambda d: one("linalg.qr({0})[0] @ linalg.qr({0})[1]", "abs(linalg.qr({0} + 20 * tri(*{0}.shape))[1])".replace("tri(*{0}.shape)", "({0} == {0}.max())"), "linalg.svdvals({0})", "linalg.svd({0}, compute_uv=False)", "linalg.svd({0}, full_matrices=False)[1]", "(linalg.svd({0}, full_matrices=False)[0] * linalg.svd({0}, full_matrices=False)[1]) @ linalg.svd({0}, full_matrices=False)[2]", "np.linalg.matrix_rank({0})", "linalg.pinv({0})").format(d.x("uif", finite=True, ndim=(2, 2), min_size=1, test=lambda a: a.dtype != np.float32))),
    ("least squares", 60, 2e-5, lambda d: one("linalg.lstsq({0}, {1})[0]", "linalg.lstsq({0}, {1})[2]", "linalg.lstsq({0}, {1}, rcond=1e-9)[3]", "{0} @ linalg.lstsq({0}, {1})[0]").format(d.x("uif", finite=True, ndim=(2, 2), min_size=1, test=lambda a: a.dtype != np.float32), d.x("uif", finite=True, ndim=(1, 2), min_size=1, test=lambda a: a.dtype != np.float32 and a.shape[0] == d.shape()[0]))),
    ("square matrices", 80, 2e-5, lambda d: one("linalg.inv({0} + 40.0 * identity(4))", "linalg.det({0} + 20.0 * identity(4))", "linalg.solve({0} + 40.0 * identity(4), {1})", "linalg.cholesky({0}.astype('f8') @ {0}.T + 200.0 * identity(4))", "linalg.inv({0})", "linalg.det({0})", "linalg.solve({0} * 2.0 + 40 * identity(4), {0})", "linalg.cholesky({0} * 0 - 1.0)").format(d.x("if", finite=True, test=lambda a: a.shape == (4, 4)), d.x("f", finite=True, test=lambda a: a.shape == (4,)))),
    ("norms", 100, 2e-5, lambda d: one("linalg.norm({0})", "linalg.norm({0}, axis=-1)", "linalg.norm({0}, {1})", "linalg.norm({0}, ord={1}, axis=0)", "linalg.norm({0}, {1}, (0, 1), True)", "linalg.norm({0}, 'fro')", "linalg.norm({0}, 'nuc')", "linalg.vector_norm({0}, ord={1}, axis=0)", "linalg.norm({0}, axis=(0, -1))").format(d.x("uif", finite=True, ndim=(1, 2), min_size=1), one("1", "2", "inf", "-inf", "-1", "0", "3", "-2"))),
    ("covariances", 60, 2e-5, lambda d: one("cov({0})", "cov({0}, rowvar=False)", "cov({0}, bias=True)", "cov({0}, ddof=0)", "cov({0}, {1})", "corrcoef({0} + 0)", "np.corrcoef({0}, rowvar=False)", "cov({0}, {1}, False)").format(d.x("ui", ndim=(1, 3), min_size=1), d.same(kinds="uif", finite=True))),
    ("joint histograms", 80, 2e-5, lambda d: one("histogram2d({0}.ravel(), {1}.ravel(), 4)[0]", "histogram2d({0}.ravel(), {1}.ravel(), [3, 5], [[-2, 4], [0, 3.5]])[0]", "histogram2d({0}.ravel(), {1}.ravel(), [-5, 0, 0.5, 9])[0]", "histogram2d({0}.ravel(), {1}.ravel(), bins=[[-5, 0, 3], [0, 1, 2, 8]], density=True)[0]", "histogram2d({0}.ravel(), {1}.ravel(), bins=3)[2]", "histogram2d({0}.ravel(), {1}.ravel(), 2, weights={1}.ravel() + 0.5)[0]", "histogramdd(({0}.ravel(), {1}.ravel(), {0}.ravel()), 3)[0]", "histogram({0}, 3, weights={1})[0]", "histogram({0}, [-3, 0, 2, 4], density=True)[0]", "histogram({0}, 5, (-2, 7), True)[0]").format(d.x("uif", finite=True, ge=2, min_size=1, ndim=(1, 3)), d.same(kinds="if", finite=True, ge=2))),
    ("greatest places", 30, 0, lambda d: one("argtopk({0}, 2)", "argtopk({0}, -2, axis=0)").format(d.x("f", ndim=(1, 3), min_size=1, test=lambda a: a.size == len(np.unique(a))))),
    ("more pads", 60, 2e-5, lambda d: f"pad({d.x('uif', ndim=(1, 2), min_size=1, finite=True)}, {one('1', '(1, 2)', '[(2, 1)]', '3')}{one(*[f', mode={m!r}' for m in ('maximum', 'minimum', 'mean', 'median', 'linear_ramp')], ', mode=' + repr('linear_ramp') + ', end_values=3')})"),
    ("insertions", 80, 0, lambda d: one("insert({0}, 1, 7)", "insert({0}, 0, 3, axis=0)", "insert({0}, -1, {0}[0], axis=0)", "delete({0}, 0)", "delete({0}, [0, -1], axis=-1)", "delete({0}, 1, 0)", "append({0}, {0})", "append({0}, {0}, axis=0)", "insert({0}, 9, 1, axis=0)", "delete({0}, [0, 0, 1], 0)", "ediff1d({0})").format(d.x("uif", ndim=(1, 3), min_size=1))),
    ("choices", 60, 0, lambda d: one("select([{0} > 2, {0} < 0], [{0}, {1}])", "select([{0} > 2, {0} < 0], [{0}, {0} + 1], 5)", "select([{0} == {1}], [1.5], default=-1)", "choose(({0} > 0) * 1, [{1}, {0}])", "choose(abs({0}.astype('i8')) % 3, ({0}, {0} * 2, 7))").format(d.x("if", ge=4, finite=True), d.same(kinds="if", ge=4))),
    ("interpolations", 40, 2e-5, lambda d: one("interp({0}, [-2, 0.5, 3], [1, 10, -4])", "interp({0}, (0, 1, 8), (0, inf, 2.5), left=-1)", "interp({0}, arange(4), arange(4) ** 2, right=99)").format(d.x("uif", ge=4))),
    ("triangles of places", 20, 0, lambda d: one("tri({0})", "tri({0}, {1}, 1)", "tril_indices({0})[0]", "triu_indices({0}, 1)[1]", "tril_indices({0}, k=-1, m={1})[1]", "tri({0}, k=-1, dtype=int)", "triu_indices({0}, m={1})[0]").format(rng.randrange(0, 6), rng.randrange(1, 6))),
    ("moved lines", 120, 2e-5, lambda d: f"np.{one('convolve', 'correlate')}({d.x(ndim=(1, 1), finite=True)}, {d.x(ndim=(1, 1), finite=True)}{one('', *[f', {m!r}' for m in ('full', 'same', 'valid')])})"),
    ("pads of truths", 40, 0, lambda d: f"pad({d.x('b', ndim=(1, 2), min_size=1)}, 2, {one('mean', 'median', 'maximum', 'minimum', 'linear_ramp')!r})"),
    ("integers beyond doubles", 40, 0, lambda d: one("pad({0} + 2**53, 1, 'maximum')", "pad({0} + 2**53, (1, 2), mode='minimum')", "digitize({0} + 2**53, [2**53 + 1, 2**53 + 2])", "digitize({0} + 2**53, [2**53 + 3, 2**53 + 1], right=True)", "digitize({0}, [0, 1, 4], True)").format(d.x("i", ndim=(1, 2), min_size=1, ge=8))),
    ("constants", 60, 2e-5, lambda d: one("pad({0}, int(3.5))", "{0} + int(-2.7)", "{0} * float(3)", "{0} * np.sqrt(2)", "percentile({0}, np.array([1, 2]) * 20)", "arange(int(2.5), {0}.size + np.array(1))", "take({0}, int(np.sqrt(1)))", "linspace({0}.min(), {0}.max(), 5)", "histogram({0}, 3, range=({0}.min(), {0}.max()))[0]", "histogram({0}, np.arange(5) * 2)[0]", "full((2, 3), {0}.mean())", "full(3, {0}.max())", "full_like({0}, {0}.min())", "zeros({0}.argmax() + 1)", "{0}[:{0}.argmin() + 1]", "roll({0}, {0}.argmax())", "repeat({0}, {0}.argmax(), axis=0)", "{0}.max().item() + 1").format(d.x("uif", finite=True, ge=4, ndim=(1, 3), min_size=1, test=lambda a: a.dtype != np.float32))),
    ("floats apart", 80, 4e-6, lambda d: one("frexp({0})[0]", "frexp({0})[1]", "modf({0})[0]", "np.modf({0})[1]", "ldexp({0}, 3)", "ldexp({0}, [-2])", "i0({0})", "fix({0})", "isposinf({0})", "isneginf({0})", "real({0})", "{0}.real").format(d.x(**REAL, test=lambda a: a.dtype.kind == "f" or (a == a).all()))),
    ("NaN in comparisons", 60, 0, lambda d: one("isclose({0}, {1}, equal_nan=True)", "allclose({0}, {0}, equal_nan=True)", "array_equal({0}, {1})", "array_equal({0}, {0})", "array_equal({0}, {0}, equal_nan=True)", "array_equal({0}, {0}.ravel())", "nan_to_num({0}, nan=1.5, posinf=9, neginf=-9)", "nan_to_num({0}, posinf=3.0)", "isin({0}, [1, 2], invert=True)", "isin({0}, arange(3))").format(d.x("f"), d.same(kinds="f"))),
    ("more coordinates", 60, 4e-6, lambda d: one("linspace(0, {0}, 5, endpoint=False)", "linspace({0}, 2, {1}, False)", "logspace(0, {0}, {1})", "logspace(-1, 1, 3, base=2)", "logspace(0, 2, {1}, endpoint=False)", "eye({0}, {1})", "eye({0}, {1}, 1)", "eye({0}, k=-1)", "eye({1}, {0}, -2, dtype=int)", "kron(eye({0}), arange({1}))", "kron(arange({1}), [1, 2])").format(rng.randrange(1, 6), rng.randrange(1, 6))),
    ("more joins", 80, 0, lambda d: one("column_stack([{0}, {1}])", "column_stack(({0}, {0}))", "hsplit({0}, 2)[0]", "vsplit({0}, [1])[1]", "dsplit({0}, 2)[1]", "hsplit({0}, [1, 3])[2]", "split({0}, [1, 2])[1]", "split({0}, [2], axis=-1)[0]", "array_split({0}, [1, 9, 3], 0)[2]", "concatenate([{0}, {1}], axis=None)", "roll({0}, 2)", "roll({0}, -1)", "repeat({0}, 3)", "repeat({0}, [2, 0, 1], axis=0)", "{0}.repeat([1, 2, 0, 1], axis=-1)", "kron({0}, {1})").format(d.x(ndim=(1, 3), min_size=1), d.same())),
    ("more differences", 100, 2e-5, lambda d: one("diff({0}, prepend=0)", "diff({0}, append={0}[..., :1])", "diff({0}, n=2, axis=0, prepend=7, append=1)", "gradient({0}, 2.0, axis=0)", "gradient({0}, 0.5)[0]", "gradient({0}, 2.0, 0.25)[1]", "trapezoid({0}, arange({0}.shape[-1]) ** 2)", "trapezoid({0}, x={0})", "trapezoid({0}, [0, 1, 5, 6])", "cross({0}[..., :3], {1}[..., :3])", "cross({0}, {1}, axis=0)").format(d.x("if", finite=True, ndim=(1, 3), ge=4, min_size=1, test=lambda a: a.shape[0] != 2), d.same(kinds="if", finite=True, ge=4))),
    ("first values", 60, 2e-5, lambda d: one("sum({0}, initial=3)", "{0}.sum(axis=0, initial=1.5)", "{0}.max(initial=4)", "min({0}, -1, initial=0)", "prod({0}, initial=2)", "{0}.max(axis=0, initial=-100, keepdims=True)", "{0}.prod(0, initial=3)").format(d.x("f", finite=True, ndim=(1, 3), min_size=1, ge=8))),
    ("points", 140, 0, lambda d: one("{0}[0, [1, 2]]", "{0}[[1, 2], 0]", "{0}[[0, 1], [1, 0]]", "{0}[0, :, [1, 2]]", "{0}[:, [0, 1], 1]", "{0}[[0, 1], ..., -1]", "{0}[[0, 1], :, [2, -1]]", "{0}[[0, 1, 1], 1:, [2, 0, 1]]", "{0}[arange(3), arange(3)]", "{0}[[[0], [1]], [1, 2]]", "{0}[:, [[0, 1], [1, 1]], [0, 2]]", "{0}[-1, [[0, 1]]]", "{0}[[0, 1], [1, 2, 0]]", "{0}[{0}[:, 0] > 0, 0]", "{0}[{0}[:, 0] > 0, [1]]", "{0}[[True, False, True], 1]", "{0}[0, 0, [1, 1]]", "{0}[[0, 9], [0, 0]]", "{0}[1, {0}[0] > 0]", "{0}[[], 0]").format(d.x(ndim=(2, 3), min_size=4, test=lambda a: min(a.shape) > 1))),
    ("places along an axis", 40, 0, lambda d: one("take_along_axis({0}, argsort({0}, axis=-1, kind='stable'), -1)", "take_along_axis({0}, argsort({0}, axis=0, kind='stable')[:2], axis=0)", "take_along_axis({0}, argsort({0}, axis=0, kind='stable')[::-1], 0)", "take_along_axis({0}, argsort({0}, axis=None, kind='stable'), axis=None)", "take_along_axis({0}, {0} * 0, axis=-1)").format(d.x("uif", finite=True, ndim=(1, 3), min_size=1))),
    ("comments", 5, 0, lambda d: f"{d.x('i')} + 1  # {one('one more', 'a', '(')}"),
    ("mistakes", 60, 0, lambda d: one("{0} + {1}", "{0}.mean(axis=5)", "sum({0}, axis=(0, 0))", "{0}[0, 0, 0, 0]", "concatenate([{0}, {1}], axis=1)", "stack([{0}, {1}])", "{0}.nothing", "sum({0}, axes=1)", "sqrt()", "sqrt({0}, 1, 2, 3)", "{0} and {1}", "0 < {0} < 1", "zeros((2, -1))", "{0}['a']", "{0}[1.5]", "broadcast_to({0}, (2,))", "swapaxes({0}, 7, 0)", "{0} << 1.5", "7 // 0 + {0}", "not {0}").format(d.x("f", ndim=(2, 3)), d.x("f", ndim=(2, 3)))),
]  # fmt: skip


def names():
    """What formulas can name."""
    env = {name: getattr(ndi, name) for name in dir(ndi) if not name.startswith("_")}
    env |= {name: getattr(np, name) for name in dir(np) if not name.startswith("_")}
    env |= {"linalg": np.linalg, "argtopk": argtopk}
    return env | {"np": np, "numpy": np, "ndi": ndi, "ndimage": ndi, "len": len, "divmod": divmod, "int": int, "float": float, "bool": bool}


def argtopk(a, k, axis=-1):
    """As dask has it."""
    places = np.argsort(a, axis=axis)
    return np.take(np.flip(places, axis) if k > 0 else places, range(min(abs(k), a.shape[axis])), axis)


def chunks(shape):
    return ",".join(str(rng.randrange(1, max(length, 1) + 1)) for length in shape)


def calls():
    env, lines, expected, seen = names(), [], bytearray(), set()
    for spec, count, tolerance, draw in SPECS:
        # Each its own numbers, so that a new spec changes no other's calls.
        rng.seed(spec)
        made = tries = 0
        while made < count and tries < 40 * count:
            tries += 1
            d = Draw()
            text = draw(d)
            used = {name: i for name, i in d.inputs.items() if name in {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}}
            key = (text, *used.items())
            if key in seen:
                continue
            inputs = {name: POOL[i] for name, i in used.items()}
            try:
                value = np.asarray(eval(text, env | inputs))
            except (ValueError, TypeError, IndexError, AttributeError, OverflowError, ZeroDivisionError):
                value = None
            if value is not None and value.dtype.name not in DTYPES:
                continue
            seen.add(key)
            made += 1
            given = " ".join(f"{name}={i}/{chunks(POOL[i].shape)}" for name, i in used.items())
            if value is None:
                lines.append(f"{text}\t{given}\terror\n")
                continue
            # Functions of fewer bits are as near as these bits allow.
            near = tolerance * 1e-7 if value.dtype == np.float64 and not any(a.dtype == np.float32 for a in inputs.values()) else tolerance
            near = f"{near:.0e}" if value.dtype.kind == "f" and tolerance else "="
            shape = ",".join(map(str, value.shape))
            lines.append(f"{text}\t{given}\t{value.dtype} ({shape}) {near}\n")
            expected += np.ascontiguousarray(value).tobytes()
        assert made > count // 3, (spec, made)
    (HERE / "calls.tsv").write_text("".join(lines))
    (HERE / "expected.bin").write_bytes(expected)
    return len(lines)


def pool():
    lines, content = [], bytearray()
    for array in POOL:
        lines.append(f"{array.dtype} ({','.join(map(str, array.shape))})\n")
        content += np.ascontiguousarray(array).tobytes()
    (HERE / "pool.tsv").write_text("".join(lines))
    (HERE / "pool.bin").write_bytes(content)


if __name__ == "__main__":
    grammar()
    make_pool()
    pool()
    print(calls(), "calls")
