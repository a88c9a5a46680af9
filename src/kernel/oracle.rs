//! The kernels against what NumPy gave (`data/numpy`), and folds against themselves: rows
//! and partials may be cut anywhere.

use super::{
    promote::{Weak, float_of, result_type, with_weak},
    *,
};
use freeboard_formats::DType;
use proptest::prelude::*;
use serde_json::Value;

fn recorded(file: &str) -> Value {
    let text = match file {
        "promotion" => include_str!("../../data/numpy/promotion.json"),
        "elementwise" => include_str!("../../data/numpy/elementwise.json"),
        _ => include_str!("../../data/numpy/folds.json"),
    };
    serde_json::from_str(text).unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn values(dtype: DType, bytes: &[u8]) -> Vec<Scalar> {
    bytes.chunks_exact(dtype.size()).map(|b| Scalar::from_bytes(dtype, b)).collect()
}

/// Bytes aligned for any dtype.
struct Aligned(Vec<u64>, usize);

impl Aligned {
    fn new(len: usize) -> Aligned {
        Aligned(vec![0; len.div_ceil(8)], len)
    }

    fn of(bytes: &[u8]) -> Aligned {
        let mut aligned = Aligned::new(bytes.len());
        aligned.bytes_mut().copy_from_slice(bytes);
        aligned
    }

    fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.0)[..self.1]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.0)[..self.1]
    }
}

/// Equal, both NaN, or as near as `tolerance` (relative).
fn close(a: Scalar, b: Scalar, tolerance: f64) -> bool {
    if !a.dtype().is_float() {
        return a == b;
    }
    let (a, b) = (a.as_f64(), b.as_f64());
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * b.abs().max(1e-290)
}

fn check(what: &str, dtype: DType, got: &[u8], expected: &[u8], tolerance: f64) {
    let (got, expected) = (values(dtype, got), values(dtype, expected));
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (got, expected)) in got.into_iter().zip(expected).enumerate() {
        assert!(close(got, expected, tolerance), "{what} at {i}: {got} is not {expected}");
    }
}

fn dtype_at(table: &Value) -> Option<DType> {
    usize::try_from(table.as_i64().unwrap()).ok().map(|i| DType::ALL[i])
}

fn run(kernel: &dyn Elementwise, inputs: &[Operand<'_>], n: usize) -> Aligned {
    let mut out = Aligned::new(n * kernel.output().size());
    kernel.run(inputs, out.bytes_mut());
    out
}

fn converted(from: DType, to: DType, input: &Aligned) -> Aligned {
    run(&*cast(from, to), &[Operand::Run(input.bytes())], input.1 / from.size())
}

#[test]
fn promotion_is_numpys() {
    let table = recorded("promotion");
    for (i, a) in DType::ALL.into_iter().enumerate() {
        assert_eq!(table["dtypes"][i], a.name());
        for (j, b) in DType::ALL.into_iter().enumerate() {
            assert_eq!(Some(result_type(a, b)), dtype_at(&table["result_type"][i][j]), "{a} {b}");
            for &op in Binary::ALL {
                let got = op.types(a, b).ok().map(|(_, result)| result);
                assert_eq!(got, dtype_at(&table[op.name()][i][j]), "{} {a} {b}", op.name());
            }
        }
    }
    assert_eq!(float_of(DType::I16), DType::F32);
}

#[test]
fn scalars_are_weak_as_numpys() {
    for case in recorded("promotion")["weak"].as_array().unwrap() {
        let text = case[0].as_str().unwrap();
        let scalar = match text {
            "True" => Weak::Bool(true),
            _ => match text.parse() {
                Ok(int) => Weak::Int(int),
                Err(_) => Weak::Float(text.parse().unwrap()),
            },
        };
        for (i, dtype) in DType::ALL.into_iter().enumerate() {
            let got = with_weak(dtype, scalar).ok();
            assert_eq!(got.map(DType::name), case[1][i].as_str(), "{dtype} and {text}");
        }
    }
}

/// Ops whose last bits are the mathematical library's.
fn tolerance(name: &str, dtype: DType) -> f64 {
    let exact = matches!(
        name,
        "add"
            | "subtract"
            | "multiply"
            | "divide"
            | "floor_divide"
            | "remainder"
            | "sqrt"
            | "square"
            | "reciprocal"
            | "floor"
            | "ceil"
            | "trunc"
            | "rint"
            | "negative"
    );
    match dtype {
        _ if exact => 0.0,
        DType::F32 => 4.0 * f64::from(f32::EPSILON),
        _ => 4.0 * f64::EPSILON,
    }
}

#[test]
fn binary_kernels_give_numpys_values() {
    let recorded = recorded("elementwise");
    for &op in Binary::ALL {
        for dtype in DType::ALL {
            let what = format!("{} of {dtype}", op.name());
            let expected = &recorded[op.name()][dtype.name()];
            let Ok((common, result)) = op.types(dtype, dtype) else {
                assert!(expected.is_null(), "{what} is refused");
                continue;
            };
            assert_eq!(expected[0], result.name(), "{what}");
            let samples = bytes(&recorded["samples"][dtype.name()]);
            let n = samples.len() / dtype.size() - 1;
            let a = Aligned::of(&samples[..n * dtype.size()]);
            let mut b = Aligned::of(&samples[dtype.size()..]);
            if op == Binary::Power && dtype.is_signed() {
                // As make.py: numpy.abs(b // 2).
                let two = Scalar::U8(2).cast(dtype).bytes().0;
                let halve = binary(Binary::FloorDivide, dtype);
                b = run(&*halve, &[Operand::Run(b.bytes()), Operand::One(&two[..dtype.size()])], n);
                b = run(&*unary(Unary::Abs, dtype), &[Operand::Run(b.bytes())], n);
            }
            let (a, b) = (converted(dtype, common, &a), converted(dtype, common, &b));
            let kernel = binary(op, common);
            let whole = run(&*kernel, &[Operand::Run(a.bytes()), Operand::Run(b.bytes())], n);
            check(&what, result, whole.bytes(), &bytes(&expected[1]), tolerance(op.name(), result));
            for i in 0..n {
                let element =
                    |x: &Aligned| Aligned::of(&x.bytes()[i * common.size()..][..common.size()]);
                let (a, b) = (element(&a), element(&b));
                let (a, b) = (a.bytes(), b.bytes());
                let expected = &whole.bytes()[i * result.size()..][..result.size()];
                for inputs in [
                    [Operand::One(a), Operand::Run(b)],
                    [Operand::Run(a), Operand::One(b)],
                    [Operand::One(a), Operand::One(b)],
                ] {
                    check(&what, result, run(&*kernel, &inputs, 1).bytes(), expected, 0.0);
                }
            }
        }
    }
}

#[test]
fn unary_kernels_give_numpys_values() {
    let recorded = recorded("elementwise");
    for &op in Unary::ALL {
        for dtype in DType::ALL {
            let what = format!("{} of {dtype}", op.name());
            let expected = &recorded[op.name()][dtype.name()];
            let Ok((common, result)) = op.types(dtype) else {
                assert!(expected.is_null(), "{what} is refused");
                continue;
            };
            assert_eq!(expected[0], result.name(), "{what}");
            let mut samples = bytes(&recorded["samples"][dtype.name()]);
            if op == Unary::Reciprocal && !dtype.is_float() {
                samples = samples
                    .chunks_exact(dtype.size())
                    .filter(|element| element.iter().any(|&byte| byte != 0))
                    .flatten()
                    .copied()
                    .collect();
            }
            let input = converted(dtype, common, &Aligned::of(&samples));
            let n = samples.len() / dtype.size();
            let got = run(&*unary(op, common), &[Operand::Run(input.bytes())], n);
            check(&what, result, got.bytes(), &bytes(&expected[1]), tolerance(op.name(), result));
        }
    }
}

#[test]
fn casts_give_numpys_values_where_numpy_defines_them() {
    let recorded = recorded("elementwise");
    for from in DType::ALL {
        for to in DType::ALL {
            let mut samples = bytes(&recorded["samples"][from.name()]);
            if from.is_float() && !to.is_float() && to != DType::Bool {
                let low = if to.is_signed() { -100.0 } else { 0.0 };
                samples = samples
                    .chunks_exact(from.size())
                    .filter(|b| (low..=100.0).contains(&Scalar::from_bytes(from, b).as_f64()))
                    .flatten()
                    .copied()
                    .collect();
            }
            let what = format!("{from} {to}");
            let got = converted(from, to, &Aligned::of(&samples));
            check(&what, to, got.bytes(), &bytes(&recorded["cast"][&what]), 0.0);
        }
    }
}

#[test]
fn casts_saturate_as_scalars_do() {
    for value in [f64::NAN, f64::INFINITY, -1e300, -0.9, 255.9, 1e19] {
        for to in DType::ALL {
            let got = converted(DType::F64, to, &Aligned::of(&value.to_ne_bytes()));
            let got = Scalar::from_bytes(to, got.bytes());
            assert!(close(got, Scalar::F64(value).cast(to), 0.0), "{value} to {to}");
        }
    }
}

#[test]
fn integers_without_a_numpy_value() {
    let power = binary(Binary::Power, DType::I32);
    let bases = [0i32, 1, -1, -1, 2];
    let exponents = [-1i32, -1, -1, -2, -1];
    let inputs = [bases, exponents].map(|x| Aligned::of(bytemuck::cast_slice(&x)));
    let got = run(&*power, &[Operand::Run(inputs[0].bytes()), Operand::Run(inputs[1].bytes())], 5);
    assert_eq!(bytemuck::cast_slice::<u8, i32>(got.bytes()), [0, 1, -1, 1, 0]);
    let zero = Aligned::of(&[0; 4]);
    let got = run(&*unary(Unary::Reciprocal, DType::I32), &[Operand::Run(zero.bytes())], 1);
    assert_eq!(got.bytes(), [0; 4]);
}

#[test]
fn select_takes_elements_of_either() {
    for dtype in DType::ALL {
        let [a, b] = [1, 0].map(|v| Scalar::U8(v).cast(dtype).bytes().0);
        let n = 5;
        let mask = [1u8, 0, 0, 1, 1];
        let [a, b] = [a, b].map(|x| Aligned::of(&x[..dtype.size()].repeat(n)));
        let one = |x: &Aligned| Aligned::of(&x.bytes()[..dtype.size()]);
        let (one_a, one_b) = (one(&a), one(&b));
        let kernel = select(dtype);
        for a in [Operand::Run(a.bytes()), Operand::One(one_a.bytes())] {
            for b in [Operand::Run(b.bytes()), Operand::One(one_b.bytes())] {
                let got = run(&*kernel, &[Operand::Run(&mask), a, b], n);
                let got = converted(dtype, DType::U8, &got);
                assert_eq!(got.bytes(), mask, "{dtype}");
                for truth in [0, 1] {
                    let got = run(&*kernel, &[Operand::One(&[truth]), a, b], n);
                    assert_eq!(converted(dtype, DType::U8, &got).bytes(), [truth; 5], "{dtype}");
                }
            }
        }
    }
}

#[test]
fn names_are_found_again() {
    assert!(Binary::ALL.iter().all(|op| Binary::from_name(op.name()) == Some(*op)));
    assert!(Unary::ALL.iter().all(|op| Unary::from_name(op.name()) == Some(*op)));
    assert!(FoldOp::ALL.iter().all(|op| FoldOp::from_name(op.name()) == Some(*op)));
}

/// A state and how many elements a cell holds.
struct Partial {
    parts: Vec<Aligned>,
    count: u64,
}

impl Partial {
    fn new(fold: &dyn Fold, cells: usize) -> Partial {
        let parts = fold.state().iter().map(|dtype| Aligned::new(cells * dtype.size())).collect();
        let mut partial = Partial { parts, count: 0 };
        fold.start(&mut partial.parts_mut());
        partial
    }

    fn parts_mut(&mut self) -> Vec<&mut [u8]> {
        self.parts.iter_mut().map(Aligned::bytes_mut).collect()
    }

    fn step(&mut self, fold: &dyn Fold, row: &[u8], run: usize, index: u64) {
        let (seen, row) = (self.count, Aligned::of(row));
        fold.step(&mut self.parts_mut(), row.bytes(), run, At { index, seen });
        self.count += run as u64;
    }

    fn combine(&mut self, fold: &dyn Fold, later: &Partial) {
        let (count, count_later) = (self.count, later.count);
        let parts: Vec<&[u8]> = later.parts.iter().map(Aligned::bytes).collect();
        fold.combine(&mut self.parts_mut(), count, &parts, count_later);
        self.count += count_later;
    }

    fn finish(&self, fold: &dyn Fold, cells: usize) -> Aligned {
        let mut out = Aligned::new(cells * fold.output().size());
        let parts: Vec<&[u8]> = self.parts.iter().map(Aligned::bytes).collect();
        fold.finish(&parts, self.count, out.bytes_mut());
        out
    }
}

fn ops() -> Vec<FoldOp> {
    let ddofs = FoldOp::ALL.iter().filter(|op| op.ddof().is_some());
    FoldOp::ALL
        .iter()
        .copied()
        .chain(ddofs.clone().map(|op| op.with_ddof(1)))
        .chain(ddofs.map(|op| op.with_ddof(2)))
        .collect()
}

/// The results of one cell of `data`, folded in one step, an element a step, and as two partials
/// that are combined in the wrong order where the fold does not mind.
fn folded(fold: &dyn Fold, data: &[u8], cut: usize) -> Vec<Aligned> {
    let size = fold.input().size();
    let n = data.len() / size;
    let mut at_once = Partial::new(fold, 1);
    at_once.step(fold, data, n, 0);
    let mut one_by_one = Partial::new(fold, 1);
    for (i, element) in data.chunks_exact(size).enumerate() {
        one_by_one.step(fold, element, 1, i as u64);
    }
    let mut halves = [Partial::new(fold, 1), Partial::new(fold, 1)];
    if cut > 0 {
        halves[0].step(fold, &data[..cut * size], cut, 0);
    }
    if cut < n {
        halves[1].step(fold, &data[cut * size..], n - cut, cut as u64);
    }
    let [mut first, mut second] = halves;
    if cut.is_multiple_of(2) {
        std::mem::swap(&mut first, &mut second);
    }
    first.combine(fold, &second);
    [at_once, one_by_one, first].iter().map(|partial| partial.finish(fold, 1)).collect()
}

#[test]
fn folds_give_numpys_values() {
    let recorded = recorded("folds");
    for dtype in DType::ALL {
        for (i, case) in recorded[dtype.name()].as_array().unwrap().iter().enumerate() {
            let data = bytes(&case[""]);
            let n = data.len() / dtype.size();
            for op in ops() {
                let fold = fold(op, dtype).unwrap();
                let ddof = op.ddof().filter(|&ddof| ddof > 0);
                let key = format!("{}{}", op.name(), ddof.map_or(String::new(), |d| d.to_string()));
                let expected = &case[&key];
                let what = format!("{key} of {dtype}, case {i}");
                assert_eq!(expected[0], fold.output().name(), "{what}");
                let tolerance = if dtype == DType::F32 { 2e-7 } else { 1e-13 };
                for got in folded(&*fold, &data, n / 2) {
                    check(&what, fold.output(), got.bytes(), &bytes(&expected[1]), tolerance);
                }
            }
        }
    }
}

#[test]
fn of_equal_elements_the_first_counts_whatever_the_order() {
    let fold = fold(FoldOp::ArgMin, DType::F32).unwrap();
    let mut late = Partial::new(&*fold, 2);
    late.step(&*fold, bytemuck::cast_slice(&[1f32, f32::NAN]), 1, 9);
    late.step(&*fold, bytemuck::cast_slice(&[1f32, f32::NAN]), 1, 4);
    let mut early = Partial::new(&*fold, 2);
    early.step(&*fold, bytemuck::cast_slice(&[1f32, f32::NAN]), 1, 2);
    late.combine(&*fold, &early);
    assert_eq!(bytemuck::cast_slice::<u8, i64>(late.finish(&*fold, 2).bytes()), [2, 2]);
}

#[test]
fn variance_does_not_cancel() {
    let data: Vec<f64> = (0..10_000).map(|i| 1e9 + f64::from(i % 2)).collect();
    let fold = fold(FoldOp::Var { ddof: 0 }, DType::F64).unwrap();
    for got in folded(&*fold, bytemuck::cast_slice(&data), 4096) {
        let got: f64 = bytemuck::cast_slice(got.bytes())[0];
        assert!((got - 0.25).abs() < 1e-6, "{got}");
    }
}

proptest! {
    /// Cells beside each other do not touch, and the bits of a run do not depend on the cells.
    #[test]
    fn a_cell_is_folded_as_if_alone(
        run in 1usize..70,
        cells in 1usize..40,
        data in proptest::collection::vec((-500i16..500, 0u8..20), 2800),
        op in 0usize..FoldOp::ALL.len(),
        dtype in 0usize..11,
        cut in 0usize..70,
    ) {
        let (op, dtype) = (FoldOp::ALL[op], DType::ALL[dtype]);
        let fold = fold(op, dtype).unwrap();
        let mut bytes = Vec::new();
        for &(value, hole) in &data[..run * cells] {
            let hole = hole == 0 && dtype.is_float();
            let value = if hole { f64::NAN } else { f64::from(value) / 7.0 };
            let (element, size) = Scalar::F64(value).cast(dtype).bytes();
            bytes.extend_from_slice(&element[..size]);
        }
        let mut together = Partial::new(&*fold, cells);
        together.step(&*fold, &bytes, run, 5);
        together.step(&*fold, &bytes, run, 5 + run as u64);
        let together = together.finish(&*fold, cells);
        let results = together.bytes().chunks_exact(fold.output().size());
        for (data, expected) in bytes.chunks_exact(run * dtype.size()).zip(results) {
            let mut alone = Partial::new(&*fold, 1);
            alone.step(&*fold, data, run, 5);
            alone.step(&*fold, data, run, 5 + run as u64);
            let alone = alone.finish(&*fold, 1);
            prop_assert_eq!(alone.bytes(), expected);

            let [at_once, one_by_one, halves] = &folded(&*fold, data, cut.min(run))[..] else {
                unreachable!("three ways");
            };
            let tolerance = if dtype == DType::F32 { 1e-6 } else { 1e-11 };
            for other in [one_by_one, halves] {
                let [got, expected] = [other, at_once]
                    .map(|out| Scalar::from_bytes(fold.output(), out.bytes()));
                let near = close(got, expected, tolerance)
                    || (got.as_f64() - expected.as_f64()).abs() < 1e-7;
                prop_assert!(near, "{} of {}: {} is not {}", op.name(), dtype, got, expected);
            }
        }
    }
}
