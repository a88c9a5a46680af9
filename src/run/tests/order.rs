//! The order in which tasks run frees memory: measured peaks, as multiples of a chunk.

use super::{simulated::simulated, *};
use crate::array::{Chunks, stack};

/// Bytes of a chunk of the arrays here.
const CHUNK: u64 = 256 << 10;

/// Frames whose chunks are decoded whole, one each.
fn frames(count: usize) -> (Array<f64>, Arc<Counters>) {
    let value = |i: IxDyn| ((i[0] * 131 + i[1] * 17 + i[2]) % 1009) as f64;
    whole(&ArrayD::from_shape_fn(IxDyn(&[count, 128, 256]), value), &[1, 128, 256])
}

/// Chunks that are computed, and have no other source.
fn made(x: &Array<f64>) -> Array<f64> {
    x.map_blocks(Chunks::same(), |block, _| block.mapv(|v| v + 1.0)).declare_scratch(0)
}

/// Checks the peak on one thread, in chunks, where nothing is short; that threads which run ahead of each other
/// spill nothing in `memory` chunks, as far as their jobs take about the same time; and that real ones, of which
/// any may be held up, make do with it.
#[track_caller]
fn holds(name: &str, arrays: &[Array<f64>], peak: f64, memory: u64) {
    let roots: Vec<Wanted> = arrays.iter().map(|array| wanted(array.expr(), false)).collect();
    let ran = carried_out(&roots, How::new(1 << 30, 1)).unwrap();
    assert_eq!((ran.counts.spilled, ran.counts.dropped), (0, 0));
    let most = ran.peak as f64 / CHUNK as f64;
    let four = carried_out(&roots, How::new(memory * CHUNK, 4)).unwrap();
    println!("{name}: {most:.2} chunks; on four threads in {memory}: {:?}", four.counts);
    assert!(most <= peak, "{name}: {most:.2} chunks");
    assert!(four.peak <= memory * CHUNK, "{name}: {:?}", four.counts);
    for (threads, uneven) in [(2, 0), (4, 0), (2, 60), (4, 30), (4, 60), (4, 120)] {
        let ran = simulated(&roots, How::new(memory * CHUNK, threads), uneven);
        assert_eq!((ran.spilled, ran.dropped), (0, 0), "{name} on {threads} threads: {ran:?}");
    }
}

#[test]
fn products_of_shared_sources_hold_a_chunk_of_each() {
    let ((u, _), (v, _)) = (frames(40), frames(40));
    let means = [(&u * &u).mean(0), (&v * &v).mean(0), (&u * &v).mean(0)];
    holds("means of frames", &means, 12.0, 24);
    let means = [(&u * &u).mean(..), (&v * &v).mean(..), (&u * &v).mean(..)];
    holds("means of all", &means, 3.0, 12);
    let (u, v) = (made(&u), made(&v));
    let means = [(&u * &u).mean(..), (&v * &v).mean(..), (&u * &v).mean(..)];
    holds("means of all, computed", &means, 5.0, 24);
    // Centred: the sources are looked at twice, but their products are not kept.
    let apart = [(&u * &u).mean([1, 2]), (&v * &v).mean(0), (&u * &v).max(..)];
    holds("different means, computed", &apart, 7.0, 24);
}

#[test]
fn many_arrays_of_one_source_go_along_together() {
    let (x, reads) = frames(40);
    let arrays: Vec<Array<f64>> = (0..10).map(|i| made(&x) * f64::from(i) + 1.0).collect();
    holds("ten of one computed array", &arrays, 6.0, 32);
    reads.reset();
    let arrays: Vec<Array<f64>> = (0..10).map(|i| &x + f64::from(i)).collect();
    holds("ten of one source", &arrays, 4.0, 24);
    assert!(reads.reads() <= 3 * 40, "each chunk is read once, or twice where memory is short");
}

#[test]
fn what_is_looked_at_twice_is_read_twice_where_memory_is_short() {
    let (x, reads) = frames(40);
    let centred = [wanted((&x - x.mean(0)).expr(), false)];
    for chunks in [8, 16] {
        reads.reset();
        let ran = carried_out(&centred, How::new(chunks * CHUNK, 1)).unwrap();
        println!(
            "x - x.mean(0) in {chunks} chunks: {} reads, {} spilled",
            reads.reads(),
            ran.counts.spilled
        );
        assert!(ran.counts.spilled == 0 && reads.reads() <= 80, "{:?}", ran.counts);
    }
}

#[test]
fn a_sum_with_the_transpose() {
    let value = |i: IxDyn| ((i[0] * 131 + i[1] * 17) % 1009) as f64;
    let side = 8;
    let values = ArrayD::from_shape_fn(IxDyn(&[side * 180, side * 180]), value);
    let (x, _) = whole(&values, &[180, 180]); // 253 KiB a chunk
    holds("x + x.T", &[&x + x.t()], 5.0, 24);
    let x = made(&x);
    holds("x + x.T, computed", &[&x + x.t()], 6.0, 24);
}

#[test]
fn means_of_files_hold_a_file_each() {
    let (x, _) = frames(40);
    holds("means of frames", &[x.mean([1, 2])], 1.5, 8);
    let files: Vec<Array<f64>> = (0..40).map(|_| frames(1).0).collect();
    let means = stack(files.iter().map(|file| file.mean([1, 2])), 0);
    holds("a stack of means of files", std::slice::from_ref(&means), 1.5, 8);
    let mean = stack(files.iter().map(|file| made(file).mean(0)), 0);
    holds("a mean of means", &[mean.mean(0)], 8.0, 28);
    let both = [means.squeeze(..), mean.max(0)];
    holds("two of means", &both, 7.0, 28);
}
