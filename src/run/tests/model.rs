//! Runs whose threads are put into thousands of orders: wherever one locks, waits, wakes another, touches an
//! atomic or a deque, shuttle decides who goes on ([`in_many_orders`]).
//!
//! What is tried are the lock and the sleepers of a run, its store, the arena, the scratch file, and the
//! calls of functions. The deques are crossbeam's own: a push, a pop and a steal are a step each, with a choice
//! before it. What threads see of each other is sequentially consistent here.
//!
//! A deadlock, a panic, another bit than one thread computes, memory over the limit, and a byte that is held in the
//! end are failures, told with the schedule or seed that repeats them.

use super::*;
use crate::{
    ErrorKind,
    array::{Bytes, Chunks},
    delayed::{Delay, Delayed, Order},
    run::call,
    sync::{in_many_orders, others_first},
};
use freeboard_formats::wrap::Faulty;
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Three threads, in the least memory that does, and `beyond`.
fn three(roots: &[Wanted], beyond: u64) -> How {
    let how = How::new(0, 3);
    How { memory: least(roots, how) + beyond, ..how }
}

/// Computes arrays in many orders, and compares with what one thread makes of them in ample memory. Chunks that were spilled, and
/// dropped, in all trials.
fn computes(arrays: &[Array<f64>], kept: bool, beyond: u64) -> (u64, u64) {
    let mut roots: Vec<Wanted> = arrays.iter().map(|x| wanted(x.expr(), false)).collect();
    roots.extend(arrays.iter().filter(|_| kept).map(|x| wanted(x.expr(), true)));
    let how = three(&roots, beyond);
    let expected = OnceLock::new();
    let counted = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    let counts = counted.clone();
    in_many_orders(move || {
        let bytes = |ran: &Ran| -> Vec<Vec<u8>> {
            ran.outs.iter().map(|out| out.as_bytes().to_vec()).collect()
        };
        let expected = expected
            .get_or_init(|| bytes(&carried_out(&roots, How::new(1 << 30, 1)).expect("it runs")));
        let ran = carried_out(&roots, how).expect("it runs");
        assert!(bytes(&ran) == *expected, "other bits");
        counts.0.fetch_add(ran.counts.spilled, Relaxed);
        counts.1.fetch_add(ran.counts.dropped, Relaxed);
    });
    (counted.0.load(Relaxed), counted.1.load(Relaxed))
}

/// Chunks that are computed, and have no other source.
fn made(x: &Array<f64>) -> Array<f64> {
    x.map_blocks(Chunks::same(), |block, _| block.mapv(|v| v + 1.0)).declare_scratch(0)
}

/// Six chunks of a page each.
fn small() -> Array<f64> {
    array(&[6, 16, 32], &[1, 16, 32], 1)
}

#[test]
fn chunks_are_spilled_and_loaded() {
    let (spilled, _) = computes(&[made(&small()).rechunk([6, 8, 8])], false, 0);
    assert!(spilled > 0);
}

#[test]
fn chunks_are_dropped_and_read_again() {
    let (x, _) =
        whole(&ArrayD::from_shape_fn(IxDyn(&[8, 512]), |i| (i[0] * 7 + i[1]) as f64), &[1, 512]);
    let (_, dropped) = computes(&[&x - x.mean(0)], false, 0);
    assert!(dropped > 0);
}

#[test]
fn states_are_carried_and_combined() {
    let x = array(&[40, 512], &[1, 512], 2);
    computes(&[x.std(0), x.max(..), x.sum(1)], false, 20_000);
}

#[test]
fn results_share_what_they_read_and_some_are_kept() {
    let x = made(&small());
    let (spilled, _) = computes(&[x.std(0), &x * 2.0, x.t().t()], true, 5000);
    assert!(spilled > 0);
}

#[test]
fn chunks_wait_for_their_transposed() {
    let x = made(&array(&[128, 128], &[32, 32], 5));
    computes(&[&x + x.t()], false, 10_000);
}

/// Runs what must fail, in many orders; nothing is left of it.
fn fails(kind: ErrorKind, make: impl Fn(&Cancel) -> Array<f64> + Send + Sync + 'static) {
    let cancelled = move |cancel: &Cancel| [wanted(make(cancel).rechunk([6, 8, 8]).expr(), false)];
    let how = three(&cancelled(&Cancel::default()), 5000);
    in_many_orders(move || {
        let cancel = Cancel::default();
        let ended = carried_out_unless(&cancel, &cancelled(&cancel), how);
        assert_eq!(ended.err().map(|error| error.kind()), Some(kind));
    });
}

#[test]
fn a_panic_ends_a_run() {
    fails(ErrorKind::Function, |_| {
        small().map_blocks(Chunks::same(), |block, cx| match cx.index[0] {
            // As a panic, without its message on the terminal.
            4 => std::panic::resume_unwind(Box::new("no")),
            _ => block.to_owned(),
        })
    });
}

#[test]
fn a_read_that_fails_ends_a_run() {
    fails(ErrorKind::Format(freeboard_formats::ErrorKind::Corrupt), |_| {
        let value = |i: IxDyn| (i[0] + i[1]) as f64;
        let values = ArrayD::from_shape_fn(IxDyn(&[6, 16, 32]), value);
        let source = Arc::new(MemorySource::new(&values, &[1, 16, 32]));
        let faulty = Faulty::new(source).fail_read(3, freeboard_formats::ErrorKind::Corrupt);
        made(&Array::from_source(Arc::new(faulty)).typed().expect("f64"))
    });
}

#[test]
fn a_cancel_ends_a_run() {
    fails(ErrorKind::Format(freeboard_formats::ErrorKind::Cancelled), |cancel| {
        let cancel = cancel.clone();
        small().map_blocks(Chunks::same(), move |block, cx| {
            if cx.index[0] == 3 {
                cancel.cancel();
            }
            block.to_owned()
        })
    });
}

/// Calls what is delayed, on three threads.
fn called(value: &Delayed<u64>, memory: u64) -> Result<u64> {
    let order = Order::below(std::slice::from_ref(value.task()))?;
    let how = How::new(memory, 3);
    let (values, ..) = on_engine(how, &Cancel::default(), |engine| call(&order, engine, []));
    Delayed::unwrap(values?.remove(0))
}

#[test]
fn functions_are_called_once_within_what_they_declare() {
    const EACH: u64 = 1 << 20;
    for (count, most) in [(2, 1), (6, 2)] {
        in_many_orders(move || {
            let (calls, at_once) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            let counted = calls.clone();
            let square = move |x: u64| {
                counted.fetch_add(1, Relaxed);
                assert!(at_once.fetch_add(1, Relaxed) < most, "no more fit");
                others_first();
                at_once.fetch_sub(1, Relaxed);
                x * x
            };
            let square = |x: u64| square.clone().delay((x,)).bytes(Bytes::from(EACH));
            let squares: Vec<Delayed<u64>> = (1..=count).map(square).collect();
            let sum = |pair: &[Delayed<u64>]| (|a: u64, b: u64| a + b).delay((&pair[0], &pair[1]));
            let sum: Delayed<u64> = squares.windows(2).map(sum).sum();
            let expected: u64 = (1..count).map(|x| x * x + (x + 1) * (x + 1)).sum();
            assert_eq!(called(&sum, most * EACH).expect("it runs"), expected);
            assert_eq!(calls.load(Relaxed), count);
        });
    }
}

#[test]
fn a_function_that_fails_ends_a_run() {
    in_many_orders(|| {
        let f = |x: u64| match x {
            3 => std::panic::resume_unwind(Box::new("no")),
            _ => x,
        };
        let sum: Delayed<u64> = (0..6).map(|x| f.delay((x,))).sum();
        let error = called(&sum, 2 << 20).expect_err("it fails");
        assert_eq!(error.kind(), ErrorKind::Function);
    });
}
