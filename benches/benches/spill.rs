//! Chunks to scratch disk and back, by one thread: what the page cache and the disk make of it.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use freeboard::memory::{Arena, KIB, MIB, Spill, default_scratch};

fn spill(c: &mut Criterion) {
    let arena = Arena::new(64 * MIB);
    let spill = Spill::new(default_scratch(), None);
    let mut group = c.benchmark_group("spill");
    for len in [64 * KIB, MIB, 8 * MIB] {
        let mut chunk = arena.alloc(len as usize).expect("room");
        chunk.iter_mut().enumerate().for_each(|(i, byte)| *byte = i as u8);
        group.throughput(Throughput::Bytes(len));
        group.bench_function(BenchmarkId::new("write", len / KIB), |b| {
            b.iter(|| spill.free(spill.write(&chunk).expect("written")));
        });
        let extent = spill.write(&chunk).expect("written");
        group.bench_function(BenchmarkId::new("read", len / KIB), |b| {
            b.iter(|| spill.read(&extent, &mut chunk).expect("read"));
        });
        spill.free(extent);
    }
    group.finish();
}

criterion_group!(benches, spill);
criterion_main!(benches);
