//! Each decoder on stored bytes in memory, on one thread, per byte of elements.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use freeboard_bench::data::{self, SIDE};
use freeboard_formats::codecs::Codec;

fn decoders(c: &mut Criterion) {
    let session = data::session();
    let integers = session.compute(data::counts(1)).expect("a frame");
    let floats = session.compute(data::calibrated(1)).expect("a frame");
    let integers: &[u8] = bytemuck::cast_slice(integers.as_slice().expect("in C order"));
    let floats: &[u8] = bytemuck::cast_slice(floats.as_slice().expect("in C order"));
    let row = SIDE as usize;
    let mut group = c.benchmark_group("decoders");
    for (name, codec, elements) in [
        ("RICE_1, a row of u16", Codec::Rice, &integers[..2 * row]),
        ("RICE_1, a row of quantised f32", Codec::Quantised { step: 12.8 }, &floats[..4 * row]),
        ("deflate and shuffle, u16", Codec::ShuffledDeflate { size: 2, level: 4 }, integers),
        ("deflate and shuffle, f32", Codec::ShuffledDeflate { size: 4, level: 4 }, floats),
        ("zstd, u16", Codec::Zstd { level: 3 }, integers),
        ("zstd, f32", Codec::Zstd { level: 3 }, floats),
        ("blosc, u16", Codec::Blosc { size: 2 }, integers),
        ("blosc, f32", Codec::Blosc { size: 4 }, floats),
    ] {
        let stored = codec.encode(elements).expect("encoded");
        let (mut spare, mut out) = (vec![0; elements.len()], vec![0; elements.len()]);
        group.throughput(Throughput::Bytes(elements.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| codec.decode(&stored, &mut spare, &mut out).expect("decoded"));
        });
    }
    group.finish();
}

criterion_group!(benches, decoders);
criterion_main!(benches);
