//! Whole runs, on arenas of any size: the same bits whatever the budget, the number of
//! threads and what was spilled, and nothing left behind.

mod chains;
mod eviction;
mod graphs;
#[cfg(feature = "shuttle")]
mod model;
mod order;
mod records;
mod simulated;
mod verbs;
mod workers;

use super::{Admission, Collected, Counts, Engine, Eviction, Known, Retry, Target, run};
use crate::{
    array::{AnyVec, Array},
    error::Result,
    event::Silent,
    expr::Expr,
    memory::{Arena, Spill},
    plan::{Means, Plan, Root, Wanted},
};
use freeboard_formats::{
    Cancel, ChunkMut, ChunkSource, FileCache, Fingerprint, Meta, ReadCost, ReadCx, Region,
    SourceSpec, Storage,
    memory::MemorySource,
    region::Coordinates,
    wrap::{Counters, Counting},
};
use ndarray::{ArrayD, IxDyn, s};
use proptest::prelude::*;
use std::sync::Arc;

/// How a plan is carried out.
#[derive(Clone, Copy, Debug)]
struct How {
    memory: u64,
    threads: usize,
    fuse: bool,
    eviction: Eviction,
}

impl How {
    fn new(memory: u64, threads: usize) -> How {
        How { memory, threads, fuse: true, eviction: Eviction::default() }
    }

    fn means(self) -> Means {
        Means {
            arena: self.memory,
            workers: self.threads,
            fuse: self.fuse,
            reproducible: false,
            scratch: u64::MAX,
        }
    }
}

/// What came of a run.
struct Ran {
    /// The elements of each root that is not kept.
    outs: Vec<AnyVec>,
    counts: Counts,
    /// The most that the arena held, and what came back from scratch, in bytes.
    peak: u64,
    loaded: u64,
}

/// A root whose elements are handed out, or, if `kept`, stay in the store.
fn wanted(expr: &Expr, kept: bool) -> Wanted {
    let grid = expr.meta().expect("no mistake").grid.clone();
    Wanted { expr: expr.clone(), root: Root { grid, kept, sink_scratch: None } }
}

/// Calls `work` with an engine, and checks that nothing is left. What came of it; the most that the arena
/// held, and what came back from scratch, in bytes.
fn on_engine<R>(how: How, cancel: &Cancel, work: impl FnOnce(&Engine<'_>) -> R) -> (R, u64, u64) {
    let dir = tempfile::tempdir().expect("a folder");
    let arena = Arena::new(how.memory);
    let spill = Spill::new(dir.path().to_owned(), None).allow_tmpfs(true);
    let outcome = work(&Engine {
        admission: &Admission::default(),
        arena: &arena,
        memory: how.memory,
        spill: &spill,
        files: &FileCache::default(),
        known: &Known::default(),
        cancel,
        threads: how.threads,
        observer: &Silent,
        retry: Retry::default(),
        eviction: how.eviction,
        process: how.memory,
    });
    assert_eq!(arena.live(), 0, "grants and pins are 0 at the end");
    assert_eq!(spill.stats().live, 0, "no extent is left");
    assert!(arena.peak() <= how.memory);
    (outcome, arena.peak(), spill.stats().bytes_read)
}

/// Carries out the plan for some roots, unless it is cancelled.
fn carried_out_unless(cancel: &Cancel, wanted: &[Wanted], how: How) -> Result<Ran> {
    planned_out_unless(cancel, &Plan::fitting(wanted, how.means(), 0)?, wanted, how)
}

/// The same, by this plan.
fn planned_out_unless(cancel: &Cancel, plan: &Plan, wanted: &[Wanted], how: How) -> Result<Ran> {
    let mut outs = Vec::new();
    for wanted in wanted.iter().filter(|wanted| !wanted.root.kept) {
        let count = wanted.root.grid.shape().iter().product::<u64>();
        outs.push(AnyVec::zeroed(wanted.expr.meta()?.dtype, count as usize));
    }
    let mut free = outs.iter_mut();
    let targets: Vec<Target<'_>> = wanted
        .iter()
        .map(|wanted| match wanted.root.kept {
            true => Target::Keep,
            false => {
                let out = free.next().expect("one for each");
                let dtype = out.dtype();
                Target::Collect(Collected::new(dtype, &wanted.root.grid, out.as_bytes_mut()))
            }
        })
        .collect();
    let chunks = wanted.iter().filter(|wanted| wanted.root.kept);
    let chunks: u64 = chunks.map(|wanted| wanted.root.grid.len()).sum();
    let (counts, peak, loaded) = on_engine(how, cancel, |engine| {
        let (kept, counts) = run(engine, plan, &targets)?;
        assert_eq!(kept.len() as u64, chunks);
        kept.into_values().for_each(|slot| slot.free_extent(engine.spill));
        Ok(counts)
    });
    drop(targets);
    counts.map(|counts| Ran { outs, counts, peak, loaded })
}

/// Carries out the plan for some roots.
fn carried_out(wanted: &[Wanted], how: How) -> Result<Ran> {
    carried_out_unless(&Cancel::default(), wanted, how)
}

/// Computes `x` with so many bytes and threads.
fn compute(x: &Array<f64>, memory: u64, threads: usize, fuse: bool) -> Result<(Vec<u64>, Counts)> {
    x.expr().meta()?;
    let how = How { fuse, ..How::new(memory, threads) };
    let ran = carried_out(&[wanted(x.expr(), false)], how)?;
    Ok((bytemuck::cast_slice::<u8, u64>(ran.outs[0].as_bytes()).to_vec(), ran.counts))
}

fn array(shape: &[usize], chunk: &[u64], seed: u64) -> Array<f64> {
    let count = shape.iter().product::<usize>() as u64;
    let value =
        |i: u64| ((i + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / 1024.0 - 8000.0;
    let values = (0..count).map(value).collect();
    let array = ArrayD::from_shape_vec(IxDyn(shape), values).expect("a shape");
    Array::chunked(&array, chunk)
}

/// Chunks that are decoded whole, as compressed ones are.
#[derive(Debug)]
struct Whole(MemorySource);

impl ChunkSource for Whole {
    fn meta(&self) -> &Meta {
        self.0.meta()
    }
    fn cost(&self, region: &Region) -> ReadCost {
        let grid = &self.meta().grid;
        let chunks = Coordinates::of(grid.covering(region));
        let decoded = chunks.map(|index| grid.region(&index).volume());
        let decoded = decoded.sum::<u64>() * self.meta().dtype.size() as u64;
        ReadCost { decoded, scratch: 10_000, ..ReadCost::default() }
    }
    fn read(
        &self,
        region: &Region,
        out: ChunkMut<'_>,
        cx: &mut ReadCx<'_>,
    ) -> freeboard_formats::Result<()> {
        self.0.read(region, out, cx)
    }
    fn fingerprint(&self) -> freeboard_formats::Result<Fingerprint> {
        self.0.fingerprint()
    }
    fn spec(&self) -> SourceSpec {
        self.0.spec()
    }
    fn storage(&self) -> Storage {
        Storage { codec: "whole chunks".into(), ..self.0.storage() }
    }
}

fn whole(values: &ArrayD<f64>, chunk: &[u64]) -> (Array<f64>, Arc<Counters>) {
    counted(Whole(MemorySource::new(values, chunk)))
}

fn counted(source: impl ChunkSource + 'static) -> (Array<f64>, Arc<Counters>) {
    let (counting, counters) = Counting::new(Arc::new(source));
    (Array::from_source(Arc::new(counting)).typed().expect("f64"), counters)
}

/// The budget in which the largest task just fits, to an eighth.
fn smallest(x: &Array<f64>, threads: usize, fuse: bool) -> u64 {
    least(&[wanted(x.expr(), false)], How { fuse, ..How::new(0, threads) })
}

/// The same for several roots. It is looked for from a quarter of what a plan takes that is cut
/// for a byte: from nothing on would be a hundred steps.
fn least(wanted: &[Wanted], how: How) -> u64 {
    let one = Plan::new(wanted, Means { arena: 1, ..how.means() }).expect("no mistake");
    let arena = one.totals().largest_task / 4;
    Plan::least(wanted, Means { arena, ..how.means() }).expect("no mistake")
}

fn verb(x: Array<f64>, verb: u8) -> Array<f64> {
    let rank = x.rank().unwrap();
    let shape = x.shape().unwrap();
    match verb {
        0 => &x - x.mean(0),
        1 => &x + x.t().t().rechunk(vec![2; rank]),
        2 if shape.iter().all(|n| *n == shape[0]) => &x + x.t(),
        3 => x.rechunk((0..rank).map(|axis| if axis == 0 { -1 } else { 3 }).collect::<Vec<i64>>()),
        4 => x.std(0) + x.sum(..),
        5 if rank > 0 => x.slice(
            ndarray::SliceInfo::<_, IxDyn, IxDyn>::try_from(
                (0..rank)
                    .map(|_| ndarray::SliceInfoElem::Slice { start: 0, end: None, step: -2 })
                    .collect::<Vec<_>>(),
            )
            .unwrap()
            .as_ref(),
        ),
        6 => x.max(-1) - x.min(-1) + x.argmax(-1).cast::<f64>(),
        7 => (&x * 2.0 + 1.0).abs().sqrt(),
        _ => x,
    }
}

/// Each case is many runs; more of them on request.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn bits_do_not_depend_on_budget_threads_or_fusion(
        side in 3usize..14, chunk in 1u64..6, rank in 1usize..4,
        verbs in proptest::collection::vec(0u8..8, 1..5), seed in 0u64..100,
    ) {
        let mut x = array(&vec![side; rank], &vec![chunk; rank], seed);
        for v in verbs {
            if x.rank().unwrap() > 0 && x.shape().unwrap().iter().all(|&n| n > 0) {
                x = verb(x, v);
            }
        }
        let (expected, _) = compute(&x, 1 << 30, 1, true).unwrap();
        for (threads, fuse) in [(1, true), (1, false), (3, true)] {
            let least = smallest(&x, threads, fuse);
            for memory in [least, least * 2, least * 8] {
                let (bits, _) = compute(&x, memory, threads, fuse).unwrap();
                prop_assert_eq!(&bits, &expected, "{} bytes, {} threads, fuse {}", memory, threads, fuse);
            }
        }
    }
}

#[test]
fn dropped_chunks_come_back_in_the_smallest_budget() {
    let values = ArrayD::from_shape_fn(IxDyn(&[40, 64]), |i| (i[0] * 64 + i[1]) as f64);
    let (x, counters) = whole(&values, &[1, 64]);
    let y = &x - x.mean(0);
    let (expected, _) = compute(&y, 1 << 30, 1, true).unwrap();
    let reads = counters.reads();
    let (bits, counts) = compute(&y, smallest(&y, 1, true), 1, true).unwrap();
    assert_eq!(bits, expected);
    assert!(counts.dropped > 0 && counters.reads() > 2 * reads, "{counts:?}");
}

#[test]
fn bundles_that_begin_at_an_edge_have_scratch_for_all_their_units() {
    let x = array(&[13, 13, 13], &[3, 3, 3], 0);
    let (sum, turned) = (&x + x.t(), x.t() + &x);
    let (a, _) = compute(&sum, 1 << 30, 1, true).unwrap();
    let (b, _) = compute(&turned, 1 << 30, 1, true).unwrap();
    assert_eq!(a, b);
}

#[test]
fn more_than_memory_is_spilled_and_comes_back() {
    let values =
        ArrayD::from_shape_fn(IxDyn(&[64, 64, 64]), |i| (i[0] * 4096 + i[1] * 64 + i[2]) as f64);
    let (x, _) = whole(&values, &[1, 64, 64]);
    let columns = (&x + 1.0).rechunk([64, 8, 8]);
    let memory = 1 << 20; // of 2 MiB
    let (bits, counts) = compute(&columns, memory, 2, true).unwrap();
    assert!(counts.spilled > 0);
    let (expected, free) = compute(&columns, 1 << 30, 2, true).unwrap();
    assert_eq!(free.spilled, 0);
    assert_eq!(bits, expected);
}

#[test]
fn a_shuffle_reads_each_chunk_once() {
    let values =
        ArrayD::from_shape_fn(IxDyn(&[64, 32, 32]), |i| (i[0] * 1024 + i[1] * 32 + i[2]) as f64);
    let (x, counters) = whole(&values, &[1, 32, 32]);
    let columns = x.rechunk([64, 4, 4]);
    let (bits, _) = compute(&columns, 200 << 10, 1, true).unwrap();
    assert_eq!(
        bits.iter().map(|b| f64::from_bits(*b)).collect::<Vec<_>>(),
        values.into_raw_vec_and_offset().0
    );
    for frame in 0..64 {
        let region = Region::new(vec![frame, 0, 0], vec![1, 32, 32]);
        assert_eq!(counters.reads_of(&region), 1, "frame {frame}");
    }
}

#[test]
fn columns_of_transposed_rows_are_made_one_after_the_other() {
    let values = ArrayD::from_shape_fn(IxDyn(&[256, 256]), |i| (i[0] * 256 + i[1]) as f64);
    let (x, counters) = whole(&values, &[1, 256]);
    let turned = x.t().rechunk([16, 16]);
    // Half of the rows fit, of which each block needs 16.
    for threads in [1, 2] {
        counters.reset();
        let (bits, counts) = compute(&turned, 256 << 10, threads, true).unwrap();
        let expected: Vec<u64> = values.t().iter().map(|value| value.to_bits()).collect();
        assert_eq!(bits, expected);
        assert_eq!((counters.reads(), counts.spilled), (256, 0), "{threads} threads");
    }
}

#[test]
fn rows_that_meet_columns_are_cut_into_pieces_where_they_do_not_fit() {
    let values = ArrayD::from_shape_fn(IxDyn(&[512, 512]), |i| (i[0] * 512 + i[1]) as f64);
    let (x, counters) = whole(&values, &[1, 512]);
    let both = (&x + x.t()).rechunk([16, 16]);
    let expected: Vec<u64> = (&values + &values.t()).iter().map(|value| value.to_bits()).collect();
    for (memory, most) in [(64 << 20, 512), (512 << 10, 3 * 512)] {
        counters.reset();
        let (bits, _) = compute(&both, memory, 2, true).unwrap();
        assert_eq!(bits, expected);
        assert!(counters.reads() <= most, "{} reads in {memory} bytes", counters.reads());
    }
}

#[test]
fn no_chunk_comes_back_that_some_order_spares() {
    let values = ArrayD::from_shape_fn(IxDyn(&[16, 24, 128]), |i| {
        (i[0] * 24 * 128 + i[1] * 128 + i[2]) as f64
    });
    let (x, counters) = whole(&values, &[1, 1, 128]);
    let swapped = values.view().permuted_axes(IxDyn(&[2, 0, 1]));
    let neighbours = &x.slice(s![1.., .., ..]) - &x.slice(s![..-1, .., ..]);
    let differences = &values.slice(s![1.., .., ..]) - &values.slice(s![..-1, .., ..]);
    let cases = [
        ("three axes, turned", 200, x.t().rechunk([16, 4, 4]), values.t().to_owned()),
        ("one moved", 200, x.transpose([2, 0, 1]).rechunk([16, 4, 4]), swapped.to_owned()),
        // Two views of one array that lie together.
        ("neighbours", 300, neighbours.rechunk([5, 8, 8]), differences.into_dyn()),
    ];
    for (name, memory, x, expected) in cases {
        counters.reset();
        let (bits, counts) = compute(&x, memory << 10, 1, true).unwrap();
        let expected: Vec<u64> = expected.iter().map(|value| value.to_bits()).collect();
        assert!(bits == expected, "{name}");
        println!("{name}: {} reads, {counts:?}", counters.reads());
        assert_eq!(counts.spilled, 0, "{name}");
    }
}

#[test]
fn too_little_memory_is_refused_before_a_task_and_what_is_named_would_do() {
    let x = array(&[8, 4096], &[1, 4096], 3);
    let y = &x - x.mean(0);
    let least = smallest(&y, 1, true);
    let error = compute(&y, least * 3 / 4, 1, true).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Budget);
    assert!(compute(&y, least, 1, true).is_ok());
}

#[test]
fn a_panic_ends_the_run_with_the_users_line() {
    let x = array(&[8, 8], &[2, 8], 3);
    let line = line!() + 1;
    let y = x.map(|v: f64| if v > 1e9 { v } else { panic!("no {v}") });
    let error = compute(&y, 1 << 20, 2, true).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Function);
    assert!(error.to_string().contains("panicked: no "), "{error}");
    assert_eq!(error.location().map(|at| at.line()), Some(line), "{error}");
}

#[test]
fn a_hundred_thousand_stages_one_above_the_other() {
    let mut x = array(&[4], &[4], 0);
    for _ in 0..100_000 {
        x = x + 1.0;
    }
    let (bits, _) = compute(&x, 64 << 20, 1, true).unwrap();
    let (unfused, _) = compute(&x, 64 << 20, 1, false).unwrap();
    assert_eq!(bits, unfused);
}

#[test]
fn one_pass_reads_each_chunk_once() {
    let values = ArrayD::from_shape_fn(IxDyn(&[20, 30]), |i| (i[0] * 30 + i[1]) as f64);
    let (x, counters) = whole(&values, &[4, 30]);
    let results = [x.sum(..), x.mean(0), x.max(..), (&x * &x).sum(1)];
    let results = results.map(|array| wanted(array.expr(), false));
    let ran = carried_out(&results, How::new(1 << 20, 1)).unwrap();
    assert_eq!(ran.outs[0].as_bytes(), values.sum().to_ne_bytes());
    assert_eq!(counters.reads(), 5);
}

#[test]
fn a_carried_reduction_is_cut_along_what_it_keeps() {
    let x = array(&[20, 256, 512], &[1, 256, 512], 7);
    let y = x.std(0) + x.max(0);
    let pieces = |workers: usize| {
        let means = How::new(64 << 20, workers).means();
        let plan = Plan::new(&[wanted(y.expr(), false)], means).unwrap();
        plan.stages.iter().map(|stage| stage.grid.len()).max().unwrap()
    };
    // Two to be carried by one thread are cut in two, for four threads into the smallest pieces.
    assert_eq!((pieces(1), pieces(4)), (40, 80));
    let (bits, _) = compute(&y, 64 << 20, 1, true).unwrap();
    for (memory, threads, fuse) in [(64 << 20, 4, true), (12 << 20, 3, true), (64 << 20, 2, false)]
    {
        assert!(compute(&y, memory, threads, fuse).unwrap().0 == bits);
    }
}

/// What is made of an array and of a row of it.
type Verb = fn(&Array<f64>, &Array<f64>) -> Array<f64>;

#[test]
fn chunks_read_by_bands_give_the_bits_of_chunks_that_are_whole() {
    let verbs: [Verb; 12] = [
        |x, _| x.sum(..),
        |x, _| x.mean(0) + x.std(0),
        |x, _| x.std([1, 2]) + x.min([1, 2]),
        |x, _| x.argmax(..).cast::<f64>() + x.mean(..),
        |x, _| x.mean(-1) - x.sum(-1),
        |x, row| (x - row).abs().sqrt(),
        |x, row| (x * row).sum(1),
        |x, _| x.slice_numpy("::-1, 3::2, ::-3") * 2.0,
        |x, _| x.slice_numpy("..., ::-1"),
        |x, _| x.rechunk([3, 250, 1000]).max(0),
        |x, _| x.t() + 1.0,
        |x, _| x - x.mean(0),
    ];
    for (shape, chunk) in [([3, 300, 301], [2, 300, 301]), ([2, 2, 140_000], [1, 2, 140_000])] {
        let value =
            |i: ndarray::IxDyn| ((i[0] * 7919 + i[1] * 104_729 + i[2]) % 10_007) as f64 / 7.0;
        let values = ArrayD::from_shape_fn(IxDyn(&shape), value);
        let (plain, reads) = counted(MemorySource::new(&values, &chunk));
        let (whole, _) = whole(&values, &chunk);
        let row = plain.slice_numpy("0, 0, :");
        for (number, verb) in verbs.iter().enumerate() {
            let expected = verb(&whole, &row);
            let (expected, _) = compute(&expected, 1 << 30, 1, true).unwrap();
            let banded = verb(&plain, &row);
            for (memory, threads) in [(1 << 30, 3), (smallest(&banded, 1, true), 1)] {
                let (bits, _) = compute(&banded, memory, threads, true).unwrap();
                assert!(bits == expected, "verb {number} of {shape:?} in {memory} bytes");
            }
        }
        reads.reset();
        let sum = plain.sum(..);
        compute(&sum, 1 << 30, 1, true).unwrap();
        assert_eq!(reads.most_reads(), 1);
        assert!(reads.reads() > plain.expr().meta().unwrap().grid.len(), "bands of chunks");
        let (in_bands, at_once) = (smallest(&sum, 1, true), smallest(&whole.sum(..), 1, true));
        assert!(in_bands < at_once * 3 / 4, "{in_bands} bytes, and {at_once} for whole chunks");
    }
}
