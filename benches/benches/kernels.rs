//! Elementwise operations that are computed together, of arrays in memory, per byte that is read.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use freeboard::Array;
use freeboard_bench::data::{in_memory, session};

const SHAPE: [usize; 2] = [2048, 2048];
/// Chunks of 1 MiB.
const CHUNKS: [u64; 2] = [128, 2048];

fn kernels(c: &mut Criterion) {
    let session = session();
    let x: Array<f32> = in_memory(&SHAPE, CHUNKS, f32::from);
    let y: Array<f32> = in_memory(&SHAPE, CHUNKS, |v| f32::from(v) + 0.5);
    let counts: Array<u16> = in_memory(&SHAPE, CHUNKS, u16::from);
    let bytes = x.nbytes().expect("no mistake");
    let mut group = c.benchmark_group("kernels");
    for (name, bytes, array) in [
        ("x", bytes, x.clone()),
        ("x + y", 2 * bytes, &x + &y),
        ("(x - 100) / y", 2 * bytes, (&x - 100.0) / &y),
        ("sqrt(x * x + y * y)", 2 * bytes, (&x * &x + &y * &y).sqrt()),
        ("exp(-x / 100)", bytes, (-&x / 100.0).exp()),
        ("where(x > y, x, 0)", 2 * bytes, x.greater(&y).choose(&x, 0.0)),
        ("counts of u16 as f32, times 1.5", bytes / 2, counts.cast::<f32>() * 1.5),
    ] {
        // The greatest of all, so that no result of their size has to be written.
        let greatest = array.max(..);
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(name, |b| {
            b.iter(|| session.compute(&greatest).expect("a number"));
        });
    }
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
