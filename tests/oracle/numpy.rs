//! Verbs that are made of others, against what NumPy gave (`data/numpy/verbs.py`), on several
//! grids and by one and two threads.

use super::SESSIONS;
use freeboard::{
    Array, DType, Scalar,
    array::{
        AnyArray, AnyVec, Axes, Indexing, Pad, PadWidths, block, diag, dstack, full_like, hstack,
        indices, keepdims, meshgrid, ones_like, vstack, zeros_like,
    },
    formats::with_dtype,
};
use serde_json::Value;

fn list(value: &Value) -> Vec<i64> {
    match value.as_array() {
        Some(list) => list.iter().map(|n| n.as_i64().unwrap()).collect(),
        None => vec![value.as_i64().unwrap()],
    }
}

/// `None` is all axes.
fn axes(value: &Value) -> Axes {
    if value.is_null() { (..).into() } else { list(value).into() }
}

fn recorded(value: &Value) -> AnyArray {
    let dtype = DType::from_name(value[0].as_str().unwrap()).unwrap();
    let shape: Vec<u64> = list(&value[1]).into_iter().map(|len| len as u64).collect();
    let hex = value[2].as_str().unwrap();
    let mut values = AnyVec::zeroed(dtype, hex.len() / 2 / dtype.size());
    for (i, byte) in values.as_bytes_mut().iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
    }
    AnyArray::new(values, &shape).unwrap()
}

fn lazy(array: &AnyArray, chunk: i64) -> Array {
    with_dtype!(array.dtype(), T => {
        let array = array.clone().into_typed::<T>().unwrap();
        Array::chunked(&array, vec![chunk; array.ndim()]).to_dyn()
    })
}

fn perform(verb: &str, args: &Value, inputs: &[Array]) -> Vec<Array> {
    let x = || &inputs[0];
    let int = |i: usize| args[i].as_i64().unwrap();
    let real = |i: usize| args[i].as_f64().unwrap();
    let kept = || keepdims(axes(&args[0]));
    vec![match verb {
        "round" => x().round(int(0) as i32),
        "isclose" => x().isclose(&inputs[1], real(0), real(1)).to_dyn(),
        "divmod" => {
            let (quotients, rests) = x().divmod(&inputs[1]);
            return vec![quotients, rests];
        }
        "modf" => {
            let (rests, wholes) = x().modf();
            return vec![rests, wholes];
        }
        "digitize" => {
            let edges: Vec<f64> =
                args[0].as_array().unwrap().iter().map(|edge| edge.as_f64().unwrap()).collect();
            x().digitize(&edges, args[1].as_bool().unwrap()).to_dyn()
        }
        "pow" => x().pow(real(0)),
        "equal" => x().equal(&inputs[1]).to_dyn(),
        "not_equal" => x().not_equal(&inputs[1]).to_dyn(),
        "less" => x().less(&inputs[1]).to_dyn(),
        "less_equal" => x().less_equal(&inputs[1]).to_dyn(),
        "greater" => x().greater(&inputs[1]).to_dyn(),
        "greater_equal" => x().greater_equal(&inputs[1]).to_dyn(),
        "keepdims sum" => x().sum(kept()),
        "keepdims max" => x().max(kept()),
        "keepdims argmin" => x().argmin(kept()).to_dyn(),
        "keepdims nanmean" => x().nanmean(kept()),
        "keepdims ptp" => x().ptp(kept()),
        "keepdims average" => x().average(kept(), &inputs[1]),
        "ptp" => x().ptp(axes(&args[0])),
        "count_nonzero" => x().count_nonzero(axes(&args[0])).to_dyn(),
        "average" => x().average(axes(&args[0]), &inputs[1]),
        "diff" => x().diff(int(0) as usize, int(1)),
        "gradient" => x().gradient(int(0), real(1)),
        "trapezoid" => x().trapezoid(int(0), real(1)),
        "roll" => x().roll(list(&args[0]), axes(&args[1])),
        "rot90" => x().rot90(int(0), pair(&args[1])),
        "tile" => x().tile(list(&args[0])),
        "pad" => {
            let pairs = args[0].as_array().unwrap().iter().map(|pair| {
                let pair = list(pair);
                (pair[0] as u64, pair[1] as u64)
            });
            let mode = match args[1].as_str().unwrap() {
                "constant" => Pad::constant(1.5),
                "edge" => Pad::Edge,
                "reflect" => Pad::Reflect,
                "symmetric" => Pad::Symmetric,
                _ => Pad::Wrap,
            };
            x().pad(PadWidths::from(pairs.collect::<Vec<_>>()), mode)
        }
        "moment" => x().moment(int(0) as u32, int(1)),
        "isin" => x().isin(list(&args[0])).to_dyn(),
        "repeat" => x().repeat(int(0) as usize, int(1)),
        "diagonal" => x().diagonal(int(0), pair(&args[1])),
        "trace" => x().trace(int(0), pair(&args[1])),
        "split" => return x().split(int(0) as usize, int(1)),
        "array_split" => return x().array_split(int(0) as usize, int(1)),
        "vstack" => vstack(inputs),
        "hstack" => hstack(inputs),
        "dstack" => dstack(inputs),
        "block" => block(inputs.chunks(2)),
        "atleast_1d" => x().atleast_1d(),
        "atleast_2d" => x().atleast_2d(),
        "atleast_3d" => x().atleast_3d(),
        "expand_dims" => x().expand_dims(axes(&args[0])),
        "moveaxis" => x().moveaxis(axes(&args[0]), axes(&args[1])),
        "fliplr" => x().fliplr(),
        "flipud" => x().flipud(),
        "trim_to_multiple" => x().trim_to_multiple(list(&args[0])),
        "tril" => x().tril(int(0)),
        "triu" => x().triu(int(0)),
        "diag" => diag(x(), int(0)),
        "meshgrid" => {
            let xy = args[0].as_str() == Some("xy");
            return meshgrid(inputs, if xy { Indexing::Xy } else { Indexing::Ij });
        }
        "indices" => indices(list(&args[0])).to_dyn(),
        "zeros_like" => zeros_like(x()),
        "ones_like" => ones_like(x()),
        "full_like" => full_like(x(), real(0)),
        other => panic!("{other} is not tried here"),
    }]
}

fn pair(value: &Value) -> [i64; 2] {
    list(value).try_into().unwrap()
}

fn elements(array: &AnyArray) -> Vec<Scalar> {
    with_dtype!(array.dtype(), T => {
        array.clone().into_typed::<T>().unwrap().iter().map(|&v| v.into()).collect()
    })
}

/// Equal, both NaN, or as near as the rounding of a few operations.
fn close(a: &Scalar, b: &Scalar) -> bool {
    let unit = if a.dtype() == DType::F32 { f32::EPSILON.into() } else { f64::EPSILON };
    let (x, y) = (a.as_f64(), b.as_f64());
    a == b || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 8.0 * unit * y.abs().max(1.0)
}

#[test]
fn verbs_give_numpys_values() {
    let table: Value = serde_json::from_str(include_str!("../../data/numpy/verbs.json")).unwrap();
    for case in table.as_array().unwrap() {
        let (verb, args) = (case[0].as_str().unwrap(), &case[1]);
        let inputs: Vec<AnyArray> = case[2].as_array().unwrap().iter().map(recorded).collect();
        let expected: Vec<AnyArray> = case[3].as_array().unwrap().iter().map(recorded).collect();
        for (chunk, session) in [(-1, &SESSIONS[0]), (2, &SESSIONS[1]), (3, &SESSIONS[1])] {
            let shapes: Vec<&[usize]> = inputs.iter().map(AnyArray::shape).collect();
            let what = format!("{verb} {args} of {shapes:?} in chunks of {chunk}");
            let chunk = if shapes.iter().any(|shape| shape.contains(&0)) { -1 } else { chunk };
            let lazy: Vec<Array> = inputs.iter().map(|input| lazy(input, chunk)).collect();
            let made = perform(verb, args, &lazy);
            let got = session.compute(made).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(got.len(), expected.len(), "{what}");
            for (got, expected) in got.iter().zip(&expected) {
                assert_eq!(got.dtype(), expected.dtype(), "{what}");
                assert_eq!(got.shape(), expected.shape(), "{what}");
                let alike = elements(got).iter().zip(&elements(expected)).all(|(a, b)| close(a, b));
                assert!(alike, "{what}:\n{got}\nis not\n{expected}");
            }
        }
    }
}

#[test]
fn integers_beyond_a_dtype_are_compared() {
    let x = Array::chunked(&ndarray::arr1(&[-1i64, 0, i64::MAX]), [2]).to_dyn();
    let masks = [x.less(u64::MAX), x.equal(u64::MAX), x.cast::<u64>().to_dyn().greater(-1)];
    let masks = SESSIONS[0].compute(masks.to_vec()).unwrap();
    assert_eq!(masks[0].as_slice().unwrap(), [true; 3]);
    assert_eq!(masks[1].as_slice().unwrap(), [false; 3]);
    assert_eq!(masks[2].as_slice().unwrap(), [true; 3]);
}
