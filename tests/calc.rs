//! Formulas against NumPy and SciPy: each call of `data/calc/calls.tsv` is evaluated over the small
//! arrays it was recorded with, on random chunks, and compared; what they refuse is refused.

use freeboard::{
    Array, DType, Element, Session,
    array::{AnyArray, AnyVec},
    calc::{Formula, Output},
    formats::with_dtype,
};
use std::{collections::BTreeMap, sync::LazyLock};

static SESSION: LazyLock<Session> =
    LazyLock::new(|| Session::builder().memory("256MiB").threads(2).build().unwrap());

/// Elements with their shape, in C order.
struct Recorded {
    values: AnyVec,
    shape: Vec<u64>,
}

/// Takes the elements of an array described as `float32 (2,3)` from the front of `bytes`.
fn take(description: &str, bytes: &mut &[u8]) -> Recorded {
    let (dtype, shape) = description.split_once(' ').unwrap();
    let lens = shape.trim_matches(['(', ')']).split(',').filter(|len| !len.is_empty());
    let shape: Vec<u64> = lens.map(|len| len.parse().unwrap()).collect();
    let count = shape.iter().product::<u64>() as usize;
    let mut values = AnyVec::zeroed(DType::from_name(dtype).unwrap(), count);
    let (head, rest) = bytes.split_at(values.as_bytes().len());
    values.as_bytes_mut().copy_from_slice(head);
    *bytes = rest;
    Recorded { values, shape }
}

/// Calls with the arrays that they were recorded with, and what came out.
struct Table {
    pool: Vec<Recorded>,
    calls: Vec<&'static str>,
    expected: &'static [u8],
}

macro_rules! table {
    ($folder:literal) => {{
        let mut bytes = &include_bytes!(concat!("../data/", $folder, "/pool.bin"))[..];
        let pool = include_str!(concat!("../data/", $folder, "/pool.tsv"));
        Table {
            pool: pool.lines().map(|line| take(line, &mut bytes)).collect(),
            calls: include_str!(concat!("../data/", $folder, "/calls.tsv")).lines().collect(),
            expected: include_bytes!(concat!("../data/", $folder, "/expected.bin")),
        }
    }};
}

impl Table {
    /// Makes every call, and tells which give something else.
    fn check(&self) {
        let mut expected = self.expected;
        let wrong: Vec<String> = (self.calls.iter())
            .filter_map(|line| {
                let error = check(line, &self.pool, &mut expected).err()?;
                Some(format!("{line}\n    {error}"))
            })
            .collect();
        assert!(expected.is_empty(), "{} recorded bytes are left", expected.len());
        let few: Vec<&str> = wrong.iter().take(40).map(String::as_str).collect();
        assert!(wrong.is_empty(), "{} calls differ:\n{}", wrong.len(), few.join("\n"));
    }
}

/// The array of the pool that `text` tells, as `x=12/2,3`: its name, and it in chunks.
fn input(text: &str, pool: &[Recorded]) -> (String, Array) {
    let (name, place) = text.split_once('=').unwrap();
    let (index, chunks) = place.split_once('/').unwrap();
    let Recorded { values, shape } = &pool[index.parse::<usize>().unwrap()];
    let chunks: Vec<i64> =
        chunks.split(',').filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect();
    let array = AnyArray::new(values.clone(), shape).unwrap();
    let array = with_dtype!(values.dtype(), T => {
        Array::chunked(&array.into_typed::<T>().unwrap(), chunks).to_dyn()
    });
    (name.to_owned(), array)
}

/// Whether elements are equal to the bit, or within `tolerance`; all NaNs are alike.
fn alike(made: &AnyVec, recorded: &AnyVec, tolerance: f64) -> bool {
    fn floats<T: Element + Into<f64>>(values: &AnyVec) -> Vec<f64> {
        let values: Vec<T> = values.clone().into_typed().unwrap();
        values.into_iter().map(Into::into).collect()
    }
    let floats = match recorded.dtype() {
        DType::F32 => floats::<f32>,
        DType::F64 => floats::<f64>,
        _ => return made == recorded,
    };
    floats(made).into_iter().zip(floats(recorded)).all(|(a, b)| {
        let near = (a - b).abs() <= tolerance * b.abs().max(1.0);
        a.to_bits() == b.to_bits()
            || a.is_nan() && b.is_nan()
            || tolerance > 0.0 && (near || a == b)
    })
}

/// The result of a formula as one array.
fn value(formula: &str, inputs: &BTreeMap<String, Array>) -> freeboard::Result<AnyArray> {
    match Formula::parse(formula)?.evaluate_with(inputs, &*SESSION)? {
        Output::Array(array) => SESSION.compute(array),
        // Python's numbers, as NumPy takes them.
        Output::Int(value) => Ok(ndarray::arr0(value as i64).into_dyn().into()),
        Output::Float(value) => Ok(ndarray::arr0(value).into_dyn().into()),
        Output::Bool(value) => Ok(ndarray::arr0(value).into_dyn().into()),
        other => panic!("{formula} is {other:?}"),
    }
}

/// What is wrong with a line of the table, if anything is.
fn check(line: &str, pool: &[Recorded], expected: &mut &[u8]) -> Result<(), String> {
    let mut columns = line.split('\t');
    let mut column = || columns.next().unwrap();
    let (formula, given, outcome) = (column(), column(), column());
    let inputs = given.split_whitespace().map(|text| input(text, pool)).collect();
    if outcome == "error" {
        return match value(formula, &inputs) {
            Ok(made) => Err(format!("is no mistake, but {} {:?}", made.dtype(), made.shape())),
            Err(_) => Ok(()),
        };
    }
    let (description, tolerance) = outcome.rsplit_once(' ').unwrap();
    let tolerance = if tolerance == "=" { 0.0 } else { tolerance.parse().unwrap() };
    let recorded = take(description, expected);
    let made = value(formula, &inputs).map_err(|error| error.to_string())?;
    let shape: Vec<u64> = made.shape().iter().map(|&len| len as u64).collect();
    let told = format!("{} {shape:?}", made.dtype());
    let values = with_dtype!(made.dtype(), T => {
        let mut values = AnyVec::zeroed(made.dtype(), made.shape().iter().product());
        let size = made.dtype().size();
        let typed = made.into_typed::<T>().unwrap();
        for (bytes, value) in values.as_bytes_mut().chunks_exact_mut(size).zip(&typed) {
            bytes.copy_from_slice(&value.to_scalar().bytes().0[..size]);
        }
        values
    });
    if values.dtype() != recorded.values.dtype() || shape != recorded.shape {
        return Err(format!("is {told}, and not {description}"));
    }
    match alike(&values, &recorded.values, tolerance) {
        true => Ok(()),
        false => Err(format!("is {told} {values:?}, and not {:?}", recorded.values)),
    }
}

#[test]
fn calls_give_what_numpy_and_scipy_give() {
    let table = table!("calc");
    assert!(table.calls.len() >= 3000);
    table.check();
}

#[test]
fn neighbourhoods_give_what_scipy_gives() {
    let table = table!("imaging");
    assert!(table.calls.len() >= 450);
    table.check();
}

fn x() -> BTreeMap<String, Array> {
    let array = ndarray::Array2::<f32>::zeros((3, 4));
    BTreeMap::from([("x".to_owned(), Array::chunked(&array, [2, 3]).to_dyn())])
}

#[test]
fn mistakes_are_told_with_their_place() {
    let cases = [
        (
            "x + y",
            "name 'y' is not defined\n  x + y\n      ^\n  an input is given behind the formula: y=PATH",
        ),
        ("maen(x)", "there is no function 'maen'\n  maen(x)\n  ^^^^\n  did you mean 'mean'?"),
        (
            "x.maen()",
            "an ndarray has no attribute 'maen'\n  x.maen()\n  ^^^^^^\n  did you mean '.mean'?",
        ),
        (
            "x.sqrt()",
            "an ndarray has no attribute 'sqrt'\n  x.sqrt()\n  ^^^^^^\n  it is a function: sqrt(x)",
        ),
        (
            "1 + sum(x, axs=0)",
            "sum() got an unexpected keyword argument 'axs'\n  1 + sum(x, axs=0)\n                 ^\n  \
             did you mean 'axis'?",
        ),
        ("sqrt()", "sqrt() missing 1 required positional argument: 'x'\n  sqrt()\n  ^^^^^^"),
        (
            "sum(x, 0, None, None)",
            "sum() takes from 1 to 3 positional arguments but 4 were given\n  \
             sum(x, 0, None, None)\n                  ^^^^",
        ),
        (
            "mean(x, axis='a')",
            "mean() argument 'axis' must be an int or a tuple of ints, and not \"a\"\n  \
             mean(x, axis='a')\n  ^^^^^^^^^^^^^^^^^",
        ),
        (
            "x.astype('f3')",
            "data type \"f3\" not understood\n  x.astype('f3')\n  ^^^^^^^^^^^^^^\n  there are bool, uint8, \
             uint16, uint32, uint64, int8, int16, int32, int64, float32, float64",
        ),
        (
            "x * (x - x[:2])",
            "shapes (3, 4) and (2, 4) do not broadcast in `-`\n  x * (x - x[:2])\n      ^^^^^^^^^^^",
        ),
        (
            "x.sum(axis=2)",
            "axis 2 is out of range for an array of 2 axes\n  x.sum(axis=2)\n  ^^^^^^^^^^^^^",
        ),
        (
            "x[0, 7]",
            "index 7 is beyond axis 1 of length 4\n  x[0, 7]\n  ^^^^^^^\n  the array has shape (3, 4)",
        ),
        (
            "x[..., 0, ...]",
            "an index can only have a single ellipsis ('...')\n  x[..., 0, ...]\n  ^^^^^^^^^^^^^^",
        ),
        (
            "x['a']",
            "only integers, slices (`:`), ellipsis (`...`) and newaxis (`None`) are indices, and not \
             a str\n  x['a']\n  ^^^^^^",
        ),
        (
            "x['s', x]",
            "only integers, slices (`:`), ellipsis (`...`) and newaxis (`None`) are indices, and not \
             a str\n  x['s', x]\n  ^^^^^^^^^",
        ),
        (
            "0 < x < 1",
            "the truth value of an array is ambiguous in a chain of comparisons\n  0 < x < 1\n  \
             ^^^^^^^^^\n  compare each pair, and combine them: (0 < x) & (x < 5)",
        ),
        (
            "x > 0 and x < 1",
            "the truth value of an array is ambiguous\n  x > 0 and x < 1\n  ^^^^^\n  \
             `&`, `|` and `~` combine arrays element by element: (x > 0) & (x < 5)",
        ),
        (
            "x & 1",
            "bitwise_and of float32 and float32 is not defined; cast to an integer dtype or to bool\n  x & 1\n  ^^^^^",
        ),
        ("x ^ 0.5", "`^` of floats is not defined\n  x ^ 0.5\n  ^^^^^^^\n  `**` is the power"),
        (
            "fft.fft(x)",
            "there is no module 'fft'\n  fft.fft(x)\n  ^^^\n  `freeboard calc --functions` lists all functions",
        ),
        (
            "ndi.zoom(x, 2)",
            "there is no function 'ndimage.zoom'\n  ndi.zoom(x, 2)\n  ^^^^^^^^\n  \
             `freeboard calc --functions` lists all",
        ),
        (
            "np.sobel(x)",
            "there is no function 'sobel'\n  np.sobel(x)\n  ^^^^^^^^\n  did you mean 'ndimage.sobel'?",
        ),
        (
            "ndi.mean(x, x)",
            "labels are integers, and not floats\n  ndi.mean(x, x)\n  ^^^^^^^^^^^^^^\n  \
             labels.astype(int) converts them",
        ),
        (
            "histogram(x, 3, (nan, 1))[0]",
            "supplied range of [NaN, 1] is not finite\n  histogram(x, 3, (nan, 1))[0]\n  ^^^^^^^^^^^^^^^^^^^^^^^^^",
        ),
        ("1 // 0 + x", "division by zero\n  1 // 0 + x\n  ^^^^^^"),
        (
            "[[1, 2], [3]] + x",
            "lists of unequal lengths or depths make no array\n  [[1, 2], [3]] + x\n  ^^^^^^^^^^^^^^^^^",
        ),
        ("x + 'a'", "`+` of a str is not defined\n  x + 'a'\n  ^^^^^^^"),
        ("x(1)", "an ndarray cannot be called\n  x(1)\n  ^"),
        ("sum", "`sum` is a function: it is called, sum(…)\n  sum\n  ^^^"),
        ("np", "`np` is a module, and no value\n  np\n  ^^"),
        ("pi(2)", "`pi` is no function\n  pi(2)\n  ^^"),
        ("1:2", "`:` where an operator, or the end is expected\n  1:2\n   ^"),
    ];
    for (formula, text) in cases {
        let result = Formula::parse(formula).and_then(|formula| formula.evaluate(&x()));
        assert_eq!(result.unwrap_err().to_string(), text, "{formula}");
    }
}

#[test]
fn results_that_are_no_arrays() {
    let shown =
        |formula: &str| format!("{:?}", Formula::parse(formula).unwrap().evaluate(&x()).unwrap());
    for (formula, result) in [
        ("x.shape", "List([Int(3), Int(4)])"),
        ("x.dtype, x.ndim", "List([Text(\"float32\"), Int(2)])"),
        ("x.shape[::-1][0]", "Int(4)"),
        ("x.shape == (3, 4)", "Bool(true)"),
        ("x.dtype == float32", "Bool(true)"),
        ("2 ** 100 > 1e30 > 1", "Bool(true)"),
        ("7 // -2, 7 % -2, 2 ** -1", "List([Int(-4), Int(-1), Float(0.5)])"),
        ("None or 0 or 'a' 'b'", "Text(\"ab\")"),
        ("np.pi > 3 and not e > 3", "Bool(true)"),
        (
            "[1, 2] + [3], (1,) * 2, 2 * [0]",
            "List([List([Int(1), Int(2), Int(3)]), List([Int(1), Int(1)]), List([Int(0), Int(0)])])",
        ),
        (
            "[1, 2] == 1, (1, 2) == (1, 2), [1] != [2]",
            "List([Bool(false), Bool(true), Bool(true)])",
        ),
    ] {
        assert_eq!(shown(formula), result, "{formula}");
    }
}

/// What NumPy 2.4 says of these, and where it says that they are mistakes.
#[test]
fn numpys_rules_for_the_numbers_in_formulas() {
    let array = |text: &str, dtype| {
        let values: Vec<f64> = text.split(' ').map(|value| value.parse().unwrap()).collect();
        Array::<f64>::from_ndarray(&ndarray::Array1::from(values)).cast_to(dtype)
    };
    let inputs = BTreeMap::from([
        ("h".to_owned(), array("250 255 0 3", DType::U8)),
        ("i".to_owned(), array("1 -2 3", DType::I16)),
        ("u".to_owned(), array("1 2 3", DType::U16)),
        ("f".to_owned(), array("0.125 0.75 0.375", DType::F32)),
        ("v".to_owned(), array("1 2 3", DType::F64)),
        ("g".to_owned(), array("1e308 1.7e308", DType::F64)),
        ("t".to_owned(), array("1 0", DType::Bool)),
    ]);
    for (formula, dtype, shown) in [
        ("concatenate([i, u, f])", "float32", "[1, -2, 3, 1, 2, 3, 0.125, 0.75, 0.375]"),
        ("take(v, 2), take(v, [])", "float64", "3 []"),
        ("v[None].reshape((3, 1)), v.reshape([3])", "float64", "[[1],\n [2],\n [3]] [1, 2, 3]"),
        ("block([[[v, v]]])", "float64", "[[[1, 2, 3, 1, 2, 3]]]"),
        ("block([[[v], [v]]])", "float64", "[[[1, 2, 3],\n  [1, 2, 3]]]"),
        ("block([[v, 1], [2, v]])", "float64", "[[1, 2, 3, 1],\n [2, 1, 2, 3]]"),
        ("[1, 2] * v[:2]", "float64", "[1, 4]"),
        ("quantile(f, [0.3])", "float64", "[0.275]"),
        ("quantile(f, 0.5)", "float32", "0.375"),
        ("round(quantile(g, 0.5) / 1e308, 6)", "float64", "1.35"),
        ("round(quantile(g, 0.5, method='midpoint') / 1e308, 6)", "float64", "1.35"),
        ("median(g), median(v[:2])", "float64", "inf 1.5"),
        ("nan_to_num(i, nan=5.5)", "int16", "[1, -2, 3]"),
        ("clip(h, -1, 300), h.clip(1, 256)", "uint8", "[250, 255, 0, 3] [250, 255, 1, 3]"),
        (
            "isclose(h, 300), isclose(h, 3)",
            "bool",
            "[false, false, false, false] [false, false, false, true]",
        ),
        ("full(2, 2.7, 'u1'), full_like(h[:2], True), uint8(2.7)", "uint8", "[2, 2] [1, 1] 2"),
        ("t ** 2, square(t)", "int8", "[1, 0] [1, 0]"),
        ("t ** 3, power(t, 2)", "int64", "[1, 0] [1, 0]"),
        ("roll(v, (1, 1)), roll(v[None], (1, 1), axis=1)[0]", "float64", "[2, 3, 1] [2, 3, 1]"),
        ("np.convolve(v, [0, 1, 0.5])", "float64", "[0, 1, 2.5, 4, 1.5]"),
        ("ones((2, 2)).rechunk(1), v.rechunk((2,))", "float64", "[[1, 1],\n [1, 1]] [1, 2, 3]"),
        ("roll(v[None], (1, -1), axis=(1, 1))[0]", "float64", "[1, 2, 3]"),
        ("tril(v[:2]), triu(v[:2], 1)", "float64", "[[1, 0],\n [1, 2]] [[0, 2],\n [0, 0]]"),
    ] {
        let parts = match Formula::parse(formula).unwrap().evaluate(&inputs).unwrap() {
            Output::List(parts) => parts,
            one => vec![one],
        };
        let parts = parts.into_iter().map(|part| match part {
            Output::Array(array) => SESSION.compute(array).unwrap(),
            other => panic!("{formula} is {other:?}"),
        });
        let parts: Vec<AnyArray> = parts.collect();
        assert!(parts.iter().all(|part| part.dtype().name() == dtype), "{formula}");
        let made: Vec<String> = parts.iter().map(AnyArray::to_string).collect();
        assert_eq!(made.join(" "), shown, "{formula}");
    }
    for (formula, text) in [
        ("full(2, 300, 'uint8')", "300 is beyond uint8 (0 to 255)"),
        ("full_like(h, -1)", "-1 is beyond uint8 (0 to 255)"),
        ("int8(200)", "200 is beyond int8 (-128 to 127)"),
        ("asarray([1, 300], 'u1')", "300 is beyond uint8 (0 to 255)"),
        ("clip(h, 300, None)", "300 is beyond uint8 (0 to 255)"),
        ("block([[v], v])", "list depths are mismatched"),
        ("roll(v[None], (1, 2, 3), axis=(0, 1))", "3 shifts along 2 axes"),
        ("[1, 2] - [1]", "`-` of a list and a list is not defined"),
        ("[1, 2] * 1.5", "`*` of a list and a float is not defined"),
        ("(1, 2) + [3]", "`+` of a tuple and a list is not defined"),
        ("-[1]", "`-` of a list is not defined"),
        ("[1] * 10**9", "a list of more than 1048576 values"),
        ("v.partition(1)", "an ndarray has no attribute 'partition'"),
    ] {
        let made = Formula::parse(formula).and_then(|formula| formula.evaluate(&inputs));
        let error = made.unwrap_err().to_string();
        assert!(error.starts_with(text), "{formula}: {error}");
    }
}

#[test]
fn constants_are_known_before_anything_is_read() {
    let image = freeboard::open("data/fits/plain_i2.fits").unwrap();
    let inputs = BTreeMap::from([("x".to_owned(), image)]);
    let unread = |formula: &str| {
        Formula::parse(formula).and_then(|formula| formula.evaluate_unread(&inputs, &*SESSION))
    };
    for formula in [
        "ndi.convolve(x, ones((3, 3)) / 9)",
        "ndi.convolve(x, ones((3, 3)) / ones((3, 3)).sum())",
        "ndi.correlate1d(x, np.array([1, 2, 1]) / 4)",
        "ndi.gaussian_filter(x, np.sqrt(2))",
        "ndi.median_filter(x, int(3.5))",
        "x[:np.array(2) - 1]",
    ] {
        unread(formula).unwrap_or_else(|error| panic!("{formula}: {error}"));
    }
    for formula in ["zeros(x.argmax())", "histogram(x, 3, (x.min(), x.max()))", "x[:x.argmin()]"] {
        let error = unread(formula).unwrap_err().to_string();
        assert!(error.starts_with("this depends on values, which would have to be"), "{error}");
    }
}

#[test]
fn random_numbers_are_drawn_once_each() {
    let formula =
        "random.default_rng(3).normal(5, 0, size=(2, 2)), random.random(3), random.random(3)";
    let Output::List(parts) = Formula::parse(formula).unwrap().evaluate(&x()).unwrap() else {
        panic!("several results")
    };
    let arrays: Vec<Array> = parts
        .into_iter()
        .map(|part| match part {
            Output::Array(array) => array,
            other => panic!("{other:?}"),
        })
        .collect();
    let values = SESSION.compute(arrays).unwrap();
    assert_eq!(values[0].to_string(), "[[5, 5],\n [5, 5]]");
    assert_ne!(values[1], values[2]);
}

#[test]
fn the_deepest_formulas_are_evaluated() {
    for formula in
        ["-".repeat(398) + "x", "x+".repeat(398) + "x", "(".repeat(398) + "x" + &")".repeat(398)]
    {
        Formula::parse(&formula).unwrap().evaluate(&x()).unwrap();
    }
}
