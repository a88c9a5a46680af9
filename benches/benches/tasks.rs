//! What a task takes that does next to nothing: of an array, and of functions that are called later.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use freeboard::{Array, Delay, Delayed, Session, array::arange};
use freeboard_bench::data::in_memory;
use std::hint::black_box;

/// How many chunks, or functions.
const COUNT: u64 = 20_000;

fn tasks(c: &mut Criterion) {
    let session = Session::builder().threads(2).fuse(false).build().expect("a session");
    let mut group = c.benchmark_group("tasks");

    let sum = (arange(0, COUNT as i64, 1).rechunk([1]) + 1i64).sum(..);
    group.throughput(Throughput::Elements(session.plan(&sum).expect("a plan").totals().tasks));
    group.bench_function("a sum of chunks of one element", |b| {
        b.iter(|| session.compute(black_box(&sum)).expect("a sum"));
    });

    let side = 4 * ((COUNT as f64 / 5.0).sqrt() as usize);
    let x: Array<f64> = in_memory(&[side, side], [4, 4], f64::from);
    let both = (&x + x.t()).mean(1);
    group.throughput(Throughput::Elements(session.plan(&both).expect("a plan").totals().tasks));
    group.bench_function("x + x.T in chunks of 4 by 4", |b| {
        b.iter(|| session.compute(black_box(&both)).expect("means"));
    });

    group.throughput(Throughput::Elements(COUNT));
    group.bench_function("functions of two values", |b| {
        b.iter(|| {
            let ones = (0..COUNT as i64 / 2).map(|i| (|x: i64| x + 1).delay((i,)));
            let mut level: Vec<Delayed<i64>> = ones.collect();
            while level.len() > 1 {
                let add = |values: Vec<i64>| values.into_iter().sum::<i64>();
                level = level.chunks(2).map(|pair| add.delay((pair.to_vec(),))).collect();
            }
            session.compute(&level[0]).expect("a sum")
        });
    });
    group.finish();
}

criterion_group!(benches, tasks);
criterion_main!(benches);
