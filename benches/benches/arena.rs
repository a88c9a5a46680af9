//! Buffers of the arena: of one size again and again, and of sizes that take turns.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use freeboard::memory::{Arena, KIB, MIB};
use std::hint::black_box;

fn arena(c: &mut Criterion) {
    let mut group = c.benchmark_group("arena");
    for len in [KIB, 64 * KIB, 4 * MIB] {
        let arena = Arena::new(64 * MIB);
        group.bench_function(BenchmarkId::new("one size, KiB", len / KIB), |b| {
            b.iter(|| black_box(arena.alloc(len as usize).expect("room")));
        });
    }
    // The other size has to be given back first: memory is touched anew.
    let arena = Arena::new(8 * MIB);
    let sizes = [6 * MIB as usize, 5 * MIB as usize];
    group.bench_function("two sizes, of which one fits", |b| {
        b.iter(|| {
            for len in sizes {
                let mut buffer = arena.alloc(len).expect("room");
                buffer.chunks_mut(4 * KIB as usize).for_each(|page| page[0] = 1);
                black_box(&mut buffer);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, arena);
criterion_main!(benches);
