//! What `freeboard stats` computes: six numbers of all elements, in one pass over plain FITS files.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use freeboard::{Array, Element, Fits, Session, array::Kind, open};
use freeboard_bench::data;
use std::path::Path;

/// Frames of the data set.
const FRAMES: u64 = 16;

fn stats(c: &mut Criterion) {
    let session = data::session();
    let folder = tempfile::tempdir().expect("a folder");
    let mut group = c.benchmark_group("stats");
    group.sample_size(20);
    let sets = [
        ("f32", files(&session, &folder.path().join("floats"), &data::calibrated(FRAMES))),
        ("u16", files(&session, &folder.path().join("counts"), &data::counts(FRAMES))),
    ];
    for (name, array) in sets {
        let wide = array.cast::<f64>();
        group.throughput(Throughput::Bytes(array.nbytes().expect("no mistake")));
        group.bench_function(name, |b| {
            b.iter(|| {
                let all = (
                    array.count(..),
                    array.nanmin(..),
                    array.nanmax(..),
                    wide.nansum(..),
                    wide.nanmean(..),
                    wide.nanstd(..),
                );
                session.compute(all).expect("six numbers")
            });
        });
    }
    group.finish();
}

fn files<T: Element + Kind>(session: &Session, folder: &Path, frames: &Array<T>) -> Array {
    session.store(frames, Fits::create(folder.join("{i:03d}.fits"))).expect("stored");
    open(folder.join("*.fits").display().to_string()).expect("opened")
}

criterion_group!(benches, stats);
criterion_main!(benches);
