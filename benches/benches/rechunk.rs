//! Other chunks of the same elements: in memory, and in a session that must spill.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use freeboard::{Array, Session, array::Chunks};
use freeboard_bench::data::{in_memory, session};

fn rechunk(c: &mut Criterion) {
    let mut group = c.benchmark_group("rechunk");
    group.sample_size(10);
    // Frames of 256 KiB, to columns of 64 by 64 pixels through all of them.
    let frames: Array<f32> = in_memory(&[256, 256, 256], [1, 256, 256], f32::from);
    // Computed chunks have no source that could be read again, and have to lie somewhere.
    let made = frames.map_blocks(Chunks::same(), |block, _| block.to_owned());
    let little = Session::builder().threads(2).memory("160MiB").build().expect("160 MiB");
    group.throughput(Throughput::Bytes(frames.nbytes().expect("no mistake")));
    for (name, session, array) in [
        ("of what is in memory", &session(), &frames),
        ("of computed chunks", &session(), &made),
        ("of computed chunks, in little memory", &little, &made),
    ] {
        let columns = array.rechunk([256, 64, 64]);
        // The median of each column takes it whole, and gives little.
        let medians = columns.map_blocks(Chunks::ones(), |block, _| {
            ndarray::Array::from_elem(ndarray::IxDyn(&[1, 1, 1]), block[[0, 0, 0]])
        });
        group.bench_function(name, |b| b.iter(|| session.compute(&medians).expect("columns")));
    }
    group.finish();
}

criterion_group!(benches, rechunk);
criterion_main!(benches);
