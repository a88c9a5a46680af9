//! Reductions of arrays in memory, by dtype and axis.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use freeboard::{Array, Element, Session, array::Kind};
use freeboard_bench::data::{in_memory, session};

/// Chunks are 16 frames; axis 0 lies across chunks, the last one within rows.
const SHAPE: [usize; 3] = [128, 128, 256];
const CHUNKS: [u64; 3] = [16, 128, 256];

fn dtype<T: Element + Kind>(c: &mut Criterion, session: &Session, of: fn(u8) -> T) {
    let name = <T as Element>::DTYPE.name();
    let x: Array<T> = in_memory(&SHAPE, CHUNKS, of);
    let x = x.to_dyn();
    let mut group = c.benchmark_group(format!("reductions of {name}"));
    group.throughput(Throughput::Bytes(x.nbytes().expect("no mistake")));
    let axes: [(&str, &[i64]); 4] =
        [("axis 0", &[0]), ("axis 1", &[1]), ("axis 2", &[2]), ("all axes", &[0, 1, 2])];
    for (along, axes) in axes {
        let of = || axes.iter().copied().collect::<freeboard::array::Axes>();
        for (what, reduced) in [
            ("sum", x.sum(of())),
            ("mean", x.mean(of())),
            ("max", x.max(of())),
            ("std", x.std(of())),
        ] {
            group.bench_function(BenchmarkId::new(what, along), |b| {
                b.iter(|| session.compute(&reduced).expect("a reduction"));
            });
        }
    }
    group.finish();
}

fn reductions(c: &mut Criterion) {
    let session = session();
    dtype(c, &session, |v| v);
    dtype(c, &session, u16::from);
    dtype(c, &session, i32::from);
    dtype(c, &session, i64::from);
    dtype(c, &session, f32::from);
    dtype(c, &session, f64::from);
}

criterion_group!(benches, reductions);
criterion_main!(benches);
