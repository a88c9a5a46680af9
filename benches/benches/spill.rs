//! Chunks to scratch disk and back, by one thread: what the page cache, the disk and packing make of it.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use freeboard::memory::{Arena, KIB, MIB, Spill, default_scratch};

fn spill(c: &mut Criterion) {
    let arena = Arena::new(64 * MIB);
    let spill = Spill::new(default_scratch(), None);
    let mut group = c.benchmark_group("spill");
    // Bytes that nothing can make fewer; and doubles made of integers, as of scaled frames.
    // The generator of the numbers is splitmix64.
    let noise = |i: usize| {
        let x = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    };
    let frames = |i: usize| ((noise(i) % 300 + 1000) as f64 * 0.5 + 1.0).to_bits();
    let contents: [(&str, &dyn Fn(usize) -> u64); 2] = [("noise", &noise), ("frames", &frames)];
    for (content, element) in contents {
        for len in [64 * KIB, MIB, 8 * MIB] {
            let mut chunk = arena.alloc(len as usize).expect("room");
            for (i, bytes) in chunk.chunks_exact_mut(8).enumerate() {
                bytes.copy_from_slice(&element(i).to_ne_bytes());
            }
            group.throughput(Throughput::Bytes(len));
            group.bench_function(BenchmarkId::new(format!("write {content}"), len / KIB), |b| {
                b.iter(|| spill.free(spill.write(&chunk, 8).expect("written")));
            });
            let extent = spill.write(&chunk, 8).expect("written");
            group.bench_function(BenchmarkId::new(format!("read {content}"), len / KIB), |b| {
                b.iter(|| spill.read(&extent, &mut chunk).expect("read"));
            });
            spill.free(extent);
        }
    }
    group.finish();
}

criterion_group!(benches, spill);
criterion_main!(benches);
