//! Which chunks leave memory: what each rule costs, on graphs that people really compute.

use super::*;
use crate::array::{Chunks, concatenate};

/// Frames that are made, not read: what is evicted must be spilled.
fn frames(count: u64, side: u64, seed: u64) -> Array<f64> {
    let side = side as usize;
    let values = array(&[count as usize, side, side], &[1, side as u64, side as u64], seed);
    // A function of whole chunks is a stage of its own.
    values.map_blocks(Chunks::same(), |block, _| block.mapv(|v| v.abs() + 1.0))
}

/// The same, read from chunks that are decoded whole: what is evicted is dropped.
fn read(count: usize, side: usize) -> Array<f64> {
    let value = |i: IxDyn| ((i[0] * 31 + i[1] * 7 + i[2]) % 101) as f64;
    whole(
        &ArrayD::from_shape_fn(IxDyn(&[count, side, side]), value),
        &[1, side as u64, side as u64],
    )
    .0
}

/// Names of graphs, and their roots.
fn graphs() -> Vec<(&'static str, Vec<Wanted>)> {
    let made = |arrays: &[Array<f64>]| -> Vec<Wanted> {
        arrays.iter().map(|array| wanted(array.expr(), false)).collect()
    };
    let (u, v) = (frames(48, 32, 1), frames(48, 32, 2));
    let plane = array(&[256, 256], &[32, 32], 3);
    let plane = plane.map_blocks(Chunks::same(), |block, _| block.to_owned());
    let persisted =
        |u: &Array<f64>| vec![wanted(u.expr(), true), wanted((u - u.mean(0)).expr(), false)];
    vec![
        ("columns of frames", made(&[u.rechunk([48, 8, 8])])),
        ("columns of read frames", made(&[read(48, 32).rechunk([48, 8, 8])])),
        ("x + x.T", made(&[&plane + plane.t()])),
        ("x - x.mean(0)", made(&[&u - u.mean(0)])),
        ("x - x.mean(0), read", {
            let x = read(48, 32);
            made(&[&x - x.mean(0)])
        }),
        ("(x - mean) / std, and its max", {
            let y = (&u - u.mean(0)) / u.std(0);
            made(&[y.max(0), y])
        }),
        ("mean(u²), mean(v²), mean(uv)", {
            let centred = [&u - u.mean(0), &v - v.mean(0)];
            let [u, v] = &centred;
            made(&[(u * u).mean(..), (v * v).mean(..), (u * v).mean(..)])
        }),
        ("neighbours and reversed", {
            let turned = u.flip(0);
            made(&[&u + &turned, concatenate([&u.slice_numpy("1:"), &turned], 0)])
        }),
        ("persisted, and used", persisted(&u)),
        ("medians of columns", made(&[u.median(0), u.slice_numpy("::2").median(0)])),
    ]
}

#[test]
fn knowing_the_next_use_moves_fewer_bytes_than_lru() {
    let mut sums = [0u64; 2];
    println!("KiB spilled + loaded, chunks dropped, in a third of the peak | next use | LRU");
    for (name, roots) in graphs() {
        let ample = carried_out(&roots, How::new(1 << 30, 1)).unwrap();
        let peak = ample.peak;
        let memory = (peak / 3).max(least(&roots, How::new(0, 1)));
        let moved = [Eviction::NextUse, Eviction::Lru].map(|eviction| {
            let ran = carried_out(&roots, How { eviction, ..How::new(memory, 1) }).unwrap();
            for (out, expected) in ran.outs.iter().zip(&ample.outs) {
                assert!(out.as_bytes() == expected.as_bytes(), "{name}, {eviction:?}");
            }
            (ran.counts.spilled_bytes, ran.loaded, ran.counts.dropped)
        });
        let kib = |(a, b, c): (u64, u64, u64)| format!("{} + {}, {c}", a >> 10, b >> 10);
        println!(
            "{name} | {} | {}   ({} of {} KiB)",
            kib(moved[0]),
            kib(moved[1]),
            memory >> 10,
            peak >> 10
        );
        for (sum, (spilled, loaded, _)) in sums.iter_mut().zip(moved) {
            *sum += spilled + loaded;
        }
    }
    println!("all | {} | {}", sums[0] >> 10, sums[1] >> 10);
    assert!(sums[0] < sums[1], "{sums:?}");
}
