//! Frames combined, against what ccdproc and astropy gave (`data/combine/make.py`), on any grids.

use super::value;
use freeboard::{
    Array,
    array::Combine,
    kernel::{Center, Deviation, SigmaClip},
};
use ndarray::{ArrayD, IxDyn};
use serde_json::Value;

const GRIDS: [[u64; 3]; 4] = [[12, 4, 5], [1, 4, 5], [5, 3, 2], [2, 1, 3]];

fn number(value: &Value) -> f64 {
    match value {
        Value::Null => f64::NAN,
        Value::String(text) => text.parse().unwrap(),
        value => value.as_f64().unwrap(),
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().map_or(Vec::new(), |list| list.iter().map(number).collect())
}

fn shaped<T>(values: Vec<T>, shape: &[usize]) -> ArrayD<T> {
    ArrayD::from_shape_vec(IxDyn(shape), values).unwrap()
}

fn how(case: &Value, mask: &Array<bool>) -> Combine {
    let mut how = match case["method"].as_str().unwrap() {
        "mean" => Combine::mean(),
        "median" => Combine::median(),
        _ => Combine::sum(),
    };
    how = how.weights(numbers(&case["weights"])).scale(numbers(&case["scale"]));
    if let [low, high] = numbers(&case["limits"])[..] {
        how = how.min_max_clip(low, high);
    }
    if case["mask"] == true {
        how = how.mask(mask);
    }
    let clip = &case["clip"];
    if clip.is_null() {
        return how;
    }
    how.sigma_clip_by(SigmaClip {
        low: number(&clip["low"]),
        high: number(&clip["high"]),
        center: if clip["center"] == "mean" { Center::Mean } else { Center::Median },
        deviation: if clip["deviation"] == "std" { Deviation::Std } else { Deviation::MadStd },
        iterations: clip["iterations"].as_u64().map(|iterations| iterations as u32),
    })
}

#[test]
fn frames_are_combined_as_ccdproc_does() {
    let table: Value = serde_json::from_str(include_str!("../../data/combine/cases.json")).unwrap();
    let shape: Vec<usize> = numbers(&table["shape"]).into_iter().map(|len| len as usize).collect();
    let frames = |which: &str| shaped(numbers(&table[which]), &shape);
    let mask = table["mask"].as_array().unwrap().iter().map(|v| v.as_bool().unwrap()).collect();
    let mask = shaped(mask, &shape);
    for (i, case) in table["cases"].as_array().unwrap().iter().enumerate() {
        let chunk = &GRIDS[i % GRIDS.len()];
        let frames = frames(case["frames"].as_str().unwrap());
        let how = how(case, &Array::chunked(&mask, chunk));
        let expected = shaped(numbers(&case["result"]), &shape[1..]);
        let near = |got: &ArrayD<f64>, digits: f64| {
            got.iter()
                .zip(&expected)
                .all(|(a, b)| (a - b).abs() <= digits * b.abs() || (a.is_nan() && b.is_nan()))
        };
        let made = value(&Array::chunked(&frames, chunk).combine(0, how.clone()));
        assert!(near(&made, 1e-12), "{case}:\n{made}\nis not\n{expected}");
        let single = frames.mapv(|v| v as f32);
        let made = value(&Array::chunked(&single, chunk).combine(-3, how));
        assert!(
            near(&made.mapv(f64::from), 1e-6),
            "{case} of float32:\n{made}\nis not\n{expected}"
        );
    }
}

/// The median of integers of every dtype and of frames along another axis.
#[test]
fn medians_of_integers() {
    let frames = ArrayD::from_shape_fn(IxDyn(&[3, 7, 40]), |at| {
        ((at[0] * 31 + at[1] * 17 + at[2] * 7 + at[1] * at[2]) % 100) as u16
    });
    let expected = frames.map_axis(ndarray::Axis(1), |column| {
        let mut sorted = column.to_vec();
        sorted.sort_unstable();
        f64::from(sorted[3])
    });
    let x = Array::chunked(&frames, [2, 3, 16]);
    assert_eq!(value(&x.combine(1, Combine::median())), expected);
    assert_eq!(value(&x.cast::<i64>().combine(1, Combine::median())), expected);
    let halves = value(&x.slice_numpy(":, :4").cast::<u8>().combine(1, Combine::median()));
    let of_four = frames.slice(ndarray::s![.., ..4, ..]).into_owned();
    let expected = of_four.map_axis(ndarray::Axis(1), |column| {
        let mut sorted = column.to_vec();
        sorted.sort_unstable();
        f64::from(sorted[1] + sorted[2]) / 2.0
    });
    assert_eq!(halves, expected.into_dyn());
}
