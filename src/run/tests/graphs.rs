//! Random graphs of all verbs: the bits of the plainest evaluation, whatever the memory, the
//! number of threads, fusion and eviction. The schedule checks itself at every step.

use super::{
    verbs::{Exact, VERBS, irregular, tamed},
    *,
};
use crate::array::keepdims;
use evaluate::evaluate;
use freeboard_formats::{AxisGrid, DType, Grid};

#[path = "../../../tests/oracle/evaluate.rs"]
mod evaluate;

/// An array of a graph, and how far its values can be foreseen.
#[derive(Clone)]
struct Grown {
    array: Array,
    exact: Exact,
    verb: &'static str,
}

/// The bytes of small whole numbers in a dtype; without sign where it has none.
fn bytes(dtype: DType, values: &[i8]) -> Vec<u8> {
    macro_rules! bytes {
        ($($variant:ident $t:ty),*) => {
            match dtype {
                DType::Bool => values.iter().map(|value| u8::from(value % 3 == 0)).collect(),
                $(DType::$variant => values.iter().flat_map(|&value| {
                    let value = if dtype.is_float() || <$t>::MIN < (0 as $t) { value } else { value.abs() };
                    (value as $t).to_ne_bytes()
                }).collect(),)*
            }
        };
    }
    bytes!(U8 u8, U16 u16, U32 u32, U64 u64, I8 i8, I16 i16, I32 i32, I64 i64, F32 f32, F64 f64)
}

/// A source of `shape`, cut irregularly or not; decoded whole, or as its elements lie.
fn source(shape: &[u64], dtype: DType, seed: u64) -> Grown {
    let grid = Grid::new(shape.iter().zip(seed..).map(|(&len, seed)| match seed % 3 {
        0 if len > 0 => AxisGrid::from_sizes(irregular(len, seed)),
        _ => AxisGrid::regular(len, seed % 5 + 1),
    }));
    let mut at = seed;
    let count = shape.iter().product::<u64>();
    let values: Vec<i8> = (0..count)
        .map(|_| {
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((at >> 40) % 17) as i8 - 8
        })
        .collect();
    let source = MemorySource::from_bytes(dtype, grid, &bytes(dtype, &values));
    let array = match seed % 2 {
        0 => Array::from_source(Arc::new(source)),
        _ => Array::from_source(Arc::new(Whole(source))),
    };
    Grown { array, exact: Exact::Whole, verb: "source" }
}

/// What stands on the right of an operator: `with` where shapes agree, or something of `x`.
fn right(x: &Array, with: &Array, n: i64) -> Array {
    if matches!((x.shape(), with.shape()), (Ok(a), Ok(b)) if a == b) {
        return with.clone();
    }
    match n % 3 {
        0 => x.flip(..),
        1 if x.rank().is_ok_and(|rank| rank > 0) => x.min(keepdims(n % x.rank().unwrap() as i64)),
        _ => x.max(..),
    }
}

/// A step: which verb, its number, of which arrays, and whether numbers are made small again.
type Step = (usize, i64, usize, usize, bool);

/// Grows a graph of some sources: each step adds an array, if it is one.
fn grown(sources: Vec<Grown>, steps: &[Step]) -> Vec<Grown> {
    let mut pool = sources;
    for &(verb, n, of, with, tame) in steps {
        // Mostly the last ones, so that graphs grow high.
        let pick = |back: usize| pool.len() - 1 - (back * back / 8) % pool.len();
        let (of, with) = (pick(of), pick(with));
        let (name, makes, verb) = VERBS[verb % VERBS.len()];
        let x = &pool[of];
        let y = right(&x.array, &pool[with].array, n);
        let mut array = verb(&x.array, &y, n);
        let mut exact = makes.of(x.exact.max(pool[with].exact));
        if tame && exact == Exact::Bits {
            (array, exact) = (tamed(&array), Exact::Whole);
        }
        let fits = |meta: &Meta| {
            meta.grid.rank() <= 4
                && meta.grid.len() <= 300
                && meta.bytes().is_some_and(|bytes| bytes <= 200_000)
        };
        if array.meta().is_ok_and(fits) {
            pool.push(Grown { array, exact, verb: name });
        }
    }
    pool
}

/// The bytes of floats with all NaNs alike: which of several a sum hands on is not foreseen.
fn comparable(values: &AnyVec) -> Vec<u8> {
    match values {
        AnyVec::F32(values) => values
            .iter()
            .flat_map(|v| if v.is_nan() { f32::NAN } else { *v }.to_ne_bytes())
            .collect(),
        AnyVec::F64(values) => values
            .iter()
            .flat_map(|v| if v.is_nan() { f64::NAN } else { *v }.to_ne_bytes())
            .collect(),
        _ => values.as_bytes().to_vec(),
    }
}

/// Runs a graph in all ways, and compares.
fn check(pool: &[Grown], roots: usize, seed: u64) -> std::result::Result<(), TestCaseError> {
    let roots = &pool[pool.len() - roots.min(pool.len())..];
    let all: Vec<Wanted> = roots.iter().map(|root| wanted(root.array.expr(), false)).collect();
    let names = || pool.iter().map(|grown| grown.verb).collect::<Vec<_>>().join(", ");
    let ample = How::new(1 << 30, 1);
    let expected = match carried_out(&all, ample) {
        Ok(ran) => ran,
        // A verb may refuse values (a histogram those that are not finite): in every run.
        Err(error) if error.kind() == crate::ErrorKind::Function => return Ok(()),
        Err(error) => return Err(TestCaseError::fail(format!("{error}\n{}", names()))),
    };
    for (root, out) in roots.iter().zip(&expected.outs) {
        if root.exact < Exact::Runs {
            let plainly = evaluate(root.array.expr());
            prop_assert!(
                comparable(out) == comparable(&plainly),
                "{} of {} is\n{out:?}, not\n{plainly:?}\n{}",
                root.verb,
                root.array,
                names()
            );
        }
    }
    let several = (seed % 7 + 2) as usize;
    for (threads, fuse, times, eviction) in [
        (1, true, 1, Eviction::NextUse),
        (1, false, 1, Eviction::Lru),
        (several, true, 1, Eviction::Lru),
        (several, true, 2 + seed % 5, Eviction::NextUse),
        (several, false, 100, Eviction::NextUse),
    ] {
        let how = How { memory: 0, threads, fuse, eviction };
        let how = How { memory: least(&all, how) * times, ..how };
        let ran = carried_out(&all, how)
            .map_err(|error| TestCaseError::fail(format!("{error}\n{how:?}: {}", names())))?;
        for ((root, out), expected) in roots.iter().zip(&ran.outs).zip(&expected.outs) {
            prop_assert!(
                out.as_bytes() == expected.as_bytes(),
                "{how:?}: {} of {} is\n{out:?}, not\n{expected:?}\n{}",
                root.verb,
                root.array,
                names()
            );
        }
    }
    Ok(())
}

/// How many graphs: 20,000 of the long form.
fn graphs() -> u32 {
    let long = std::env::var_os("FREEBOARD_LONG").map(|_| 20_000);
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    asked.or(long).unwrap_or(100)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..ProptestConfig::with_cases(graphs())
    })]

    #[test]
    fn any_graph_gives_the_same_bits_in_any_memory(
        shape in proptest::collection::vec(1u64..9, 0..4),
        long in 0u8..40,
        dtypes in proptest::collection::vec(0usize..DType::ALL.len(), 1..4),
        steps in proptest::collection::vec(
            (0..VERBS.len(), 0i64..60, 0usize..8, 0usize..8, proptest::bool::weighted(0.6)), 1..9),
        roots in 1usize..4,
        seed in 0u64..1_000_000,
    ) {
        let mut shape = shape;
        // Now and then one that is more than a tile long.
        if let (0, 1 | 2, Some(last)) = (long, shape.len(), shape.last_mut()) {
            *last += 5000;
        }
        let sources = dtypes.iter().zip(seed..);
        let sources = sources.map(|(&dtype, seed)| source(&shape, DType::ALL[dtype], seed));
        check(&grown(sources.collect(), &steps), roots, seed)?;
    }
}

#[test]
fn bundles_of_thousands_of_blocks_need_no_more_than_was_counted() {
    // Elementwise operations that are stages of their own, whose bundles differ in length.
    for (seed, dtype) in [(684_826, DType::F64), (684_826, DType::U32), (684_828, DType::U8)] {
        let x = source(&[5, 5001], dtype, seed);
        let weights = x.array.abs().cast_to(DType::F64);
        for array in
            [x.array.average(0, &weights), x.array.average(1, &weights), x.array.flip(1) + weights]
        {
            let grown = Grown { array, exact: Exact::Runs, verb: "bundled" };
            check(&[grown], 1, seed).unwrap();
        }
    }
}

#[test]
fn every_verb_takes_some_array() {
    let shapes: [&[u64]; 4] = [&[7], &[6, 8], &[3, 4, 5], &[]];
    for (name, _, verb) in VERBS {
        let mut tried = shapes
            .iter()
            .flat_map(|shape| DType::ALL.into_iter().map(|dtype| source(shape, dtype, 4).array));
        let takes = |x: Array| (0..12).any(|n| verb(&x, &right(&x, &x, n), n).meta().is_ok());
        assert!(tried.any(takes), "{name}");
    }
}
