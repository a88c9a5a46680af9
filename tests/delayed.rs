//! Functions as tasks: what they may be given, in what order they run, and how they fail.

use freeboard::{
    Array, Delay, Delayed, ErrorKind, Session, TryDelay,
    array::{arange, from_delayed},
    event::{Event, Observer},
    s,
};
use ndarray::{ArrayD, Ix2};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

fn session(threads: usize) -> Session {
    Session::builder().memory("512MiB").threads(threads).build().unwrap()
}

fn increment(x: i64) -> i64 {
    x + 1
}

fn add(x: i64, y: i64) -> i64 {
    x + y
}

fn total(values: Vec<i64>) -> i64 {
    values.into_iter().sum()
}

#[test]
fn arguments_of_all_kinds() {
    let one = increment.delay((0,));
    let two = add.delay((&one, 1));
    let list = total.delay((vec![one.clone(), two.clone(), two.clone()],));
    let borrowed = total.delay((&[one.clone(), one.clone()][..],));
    let plain = total.delay((vec![1, 2, 3],));
    let pair = (|pair: (i64, i64), scale: f64| (pair.0 - pair.1) as f64 * scale)
        .delay(((two.clone(), one.clone()), 2.5));
    let text = two.map(|two: i64| format!("{two}!"));
    for threads in [1, 2, 3] {
        let session = session(threads);
        let what = (&list, &borrowed, &plain, &pair, (&text, &Delayed::value("x".to_owned())));
        let (list, borrowed, plain, pair, (text, given)) = session.compute(what).unwrap();
        assert_eq!((list, borrowed, plain, pair), (5, 2, 6, 2.5));
        assert_eq!((text.as_str(), given.as_str()), ("2!", "x"));
    }
}

#[test]
fn operators_and_sums() {
    let values: Vec<Delayed<i64>> = (0..100).map(|i| increment.delay((i,))).collect();
    let sum = values.iter().cloned().sum::<Delayed<i64>>();
    let difference = &values[9] - &values[3];
    let product = -(values[1].clone() * values[2].clone());
    let (sum, difference, product) = session(2).compute((sum, difference, product)).unwrap();
    assert_eq!((sum, difference, product), (5050, 6, -6));
}

#[test]
fn control_flow_while_building() {
    let (is_even, half) = (|n: u64| n.is_multiple_of(2), |n: u64| n / 2);
    let session = session(2);
    let results: Vec<Delayed<u64>> = (0u64..10)
        .map(|n| match is_even(n) {
            true => half.delay((n,)),
            false => (|n: u64| 3 * n + 1).delay((n,)),
        })
        .collect();
    assert_eq!(session.compute(&results).unwrap(), [0, 4, 1, 10, 2, 16, 3, 22, 4, 28]);
    let none: Vec<Delayed<u64>> = Vec::new();
    assert!(session.compute(none).unwrap().is_empty());
}

#[test]
fn each_is_called_once_however_often_it_is_used() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let shared = (move |x: i64| {
        counter.fetch_add(1, Ordering::Relaxed);
        x
    })
    .delay((7,));
    let sums: Vec<Delayed<i64>> = (0..50).map(|i| add.delay((&shared, i))).collect();
    let (values, again) = session(3).compute((&sums, &shared)).unwrap();
    assert_eq!((values[49], again, calls.load(Ordering::Relaxed)), (56, 7, 1));
}

#[test]
fn calls_run_at_once() {
    let wait = |_: i64| thread::sleep(Duration::from_millis(100));
    let waits: Vec<Delayed<()>> = (0..8).map(|i| wait.delay((i,))).collect();
    let started = Instant::now();
    session(8).compute(&waits).unwrap();
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
}

#[test]
fn arrays_become_values_and_are_read_once_with_them() {
    let x: Array<i64> = arange(0, 24, 1).rechunk([5]);
    let most =
        (|most: i64, sum: i64| most * 1000 + sum).delay((x.max(..).item(), x.sum(..).item()));
    let whole = (|values: ArrayD<i64>| values.len()).delay((x.delayed(),));
    let (most, doubled, len) = session(2).compute((&most, &(&x * 2), &whole)).unwrap();
    assert_eq!((most, doubled[[23]], len), (23 * 1000 + 276, 46, 24));
}

#[test]
fn a_chain_and_a_comb_of_many_calls() {
    let session = session(2);
    let mut last = increment.delay((0,));
    for _ in 0..200_000 {
        last = last.map(|x: i64| x + 1);
    }
    assert_eq!(session.compute(&last).unwrap(), 200_001);
    let wide: Vec<Delayed<i64>> = (0..100_000).map(|i| increment.delay((i,))).collect();
    let sum = wide.into_iter().sum::<Delayed<i64>>();
    assert_eq!(session.compute(&sum).unwrap(), (1..=100_000).sum::<i64>());
}

/// A value that counts how many of its kind there are.
#[derive(Debug)]
struct Held(Arc<(AtomicUsize, AtomicUsize)>);

impl Held {
    fn new(counts: &Arc<(AtomicUsize, AtomicUsize)>) -> Held {
        let now = counts.0.fetch_add(1, Ordering::SeqCst) + 1;
        counts.1.fetch_max(now, Ordering::SeqCst);
        Held(counts.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn values_are_consumed_soon_and_freed_by_their_last_consumer() {
    let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let mut level: Vec<Delayed<Arc<Held>>> = (0..1024)
        .map(|_| {
            let counts = counts.clone();
            (move |_: u8| Arc::new(Held::new(&counts))).delay((0,))
        })
        .collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| (|a: Arc<Held>, _: Arc<Held>| a).delay((&pair[0], &pair[1])))
            .collect();
    }
    for threads in [1, 3] {
        counts.1.store(0, Ordering::SeqCst);
        drop(session(threads).compute(&level[0]).unwrap());
        let most = counts.1.load(Ordering::SeqCst);
        assert!(most <= 16 * threads, "{most} values of a tree of depth 10 were held at once");
        assert_eq!(counts.0.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn failures_name_the_line() {
    let session = session(2);
    let line = line!() + 1;
    let broken = (|x: i64| if x > 0 { panic!("no {x}") } else { x }).delay((1,));
    let error = session.compute(add.delay((&broken, 1))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Function);
    assert_eq!(error.location().map(|at| at.line()), Some(line));
    assert!(error.to_string().starts_with("panicked: no 1"), "{error}");
    let parse = |text: &'static str| text.parse::<i64>();
    let error = session.compute(parse.try_delay(("seven",))).unwrap_err();
    assert!(error.to_string().contains("failed: invalid digit"), "{error}");
    assert_eq!(session.compute(parse.try_delay(("7",))).unwrap(), 7);
    // The session is as good as before.
    assert_eq!(session.compute(increment.delay((1,))).unwrap(), 2);
    let inside = Arc::new(Session::new().unwrap());
    let own = inside.clone();
    let nested =
        (move |x: i64| own.compute(increment.delay((x,))).unwrap_err().to_string()).delay((1,));
    assert_eq!(inside.compute(&nested).unwrap(), "a task cannot compute: it is being computed");
}

#[test]
fn declared_bytes_are_waited_for() {
    let running = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let call = |counts: Arc<(AtomicUsize, AtomicUsize)>| {
        let now = counts.0.fetch_add(1, Ordering::SeqCst) + 1;
        counts.1.fetch_max(now, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(5));
        counts.0.fetch_sub(1, Ordering::SeqCst);
    };
    let calls: Vec<Delayed<()>> =
        (0..20).map(|_| call.delay((running.clone(),)).bytes("200MiB")).collect();
    session(6).compute(&calls).unwrap();
    assert!(running.1.load(Ordering::SeqCst) <= 2, "two fit in 464 MiB at once");
    let error = session(1).compute(call.delay((running,)).bytes("2GiB")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Budget);
    let error = session(1).compute(increment.delay((1,)).bytes("much")).unwrap_err();
    assert!(error.to_string().starts_with("\"much\" is not a size in bytes"), "{error}");
}

#[test]
fn calls_are_cancelled() {
    let session = Arc::new(session(2));
    let calls: Vec<Delayed<()>> =
        (0..1000).map(|_| (|_: u8| thread::sleep(Duration::from_millis(10))).delay((0,))).collect();
    let other = session.clone();
    let stopper = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        other.cancel();
    });
    let error = session.compute(&calls).unwrap_err();
    assert!(error.is_cancelled(), "{error}");
    stopper.join().unwrap();
}

#[derive(Debug)]
struct Names(Arc<Mutex<Vec<String>>>);

impl Observer for Names {
    fn observe(&self, event: &Event<'_>) {
        if let Event::Started { stage } = event {
            self.0.lock().unwrap().push((*stage).to_owned());
        }
    }
}

#[test]
fn observers_are_told_the_functions() {
    let names = Arc::new(Mutex::new(Vec::new()));
    let session = Session::builder().observer(Names(names.clone())).threads(1).build().unwrap();
    session.compute(add.delay((increment.delay((1,)), 2))).unwrap();
    assert_eq!(*names.lock().unwrap(), ["delayed::increment", "delayed::add"]);
}

/// A block for each of some numbers: what `make` gives of it, and of one value that all share.
fn blocks(
    count: usize,
    calls: &Arc<AtomicUsize>,
) -> (Array<f64>, Vec<Delayed<ndarray::Array2<f64>>>) {
    let counted = calls.clone();
    let table = move |x: ArrayD<f64>| {
        counted.fetch_add(1, Ordering::Relaxed);
        x.sum()
    };
    let x = arange(0.0, 10.0, 1.0).rechunk([3]);
    let shared = table.delay((&x.delayed(),));
    let twice = shared.map(|sum| sum * 2.0);
    let block = |number: usize, sum: f64, (twice, again): (f64, f64)| {
        assert_eq!((sum * 2.0, twice), (twice, again));
        ndarray::Array2::from_shape_fn((2, 3), |(y, x)| (number * 100 + y * 10 + x) as f64 + sum)
    };
    let parts = (0..count).map(|i| block.delay((i, &shared, (twice.clone(), twice.clone()))));
    let parts: Vec<_> = parts.collect();
    (from_delayed(parts.clone(), [vec![2; count], vec![3]]), parts)
}

#[test]
fn arrays_of_delayed_blocks() {
    for threads in [1, 4] {
        let session = Session::builder().memory("256MiB").threads(threads).build().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let (x, parts) = blocks(40, &calls);
        assert_eq!(x.shape().unwrap(), [80, 3]);
        let computed = session.compute(x.slice(s![4.., ..]) * 1.0).unwrap();
        for ((y, x), &value) in computed.view().into_dimensionality::<Ix2>().unwrap().indexed_iter()
        {
            assert_eq!(value, ((y / 2 + 2) * 100 + y % 2 * 10 + x) as f64 + 45.0);
        }
        // What all blocks need is made once.
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        // And back: each block as a value.
        let sums: Vec<Delayed<f64>> =
            x.to_delayed().iter().map(|part| part.map(|part| part.sum())).collect();
        let plain: Vec<Delayed<f64>> =
            parts.iter().map(|part| part.map(|part| part.sum())).collect();
        let (sums, plain) = session.compute((&sums, &plain)).unwrap();
        assert_eq!(sums, plain);
    }
}

#[test]
fn mistakes_of_delayed_blocks() {
    let session = Session::builder().memory("256MiB").build().unwrap();
    let says = |array: Array<f32>, text: &str| {
        let error = session.compute(&array).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    let ones = |len: usize| ndarray::Array1::<f32>::ones(len);
    says(from_delayed([ones.delay((2,))], [vec![2u64, 2]]), "1 values for 2 blocks at ");
    says(
        from_delayed([ones.delay((3,))], [vec![2u64]]),
        "a block of shape (3,) where one of (2,) was declared",
    );
    let fails = |_: usize| -> Result<ndarray::Array1<f32>, String> { Err("no light".into()) };
    says(from_delayed([fails.try_delay((1,))], [vec![2u64]]), "failed: no light");
    says(from_delayed([ones.delay((2,)).bytes("10GiB")], [vec![2u64]]), "GiB");
    let nothing = from_delayed(Vec::<Delayed<ndarray::Array1<f32>>>::new(), [Vec::<u64>::new()]);
    assert_eq!(session.compute(&nothing).unwrap().len(), 0);
}

#[test]
fn futures_are_computed_in_the_background() {
    let session = Session::builder().memory("256MiB").threads(2).build().unwrap();
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(receive);
    let waits = move || gate.lock().unwrap().recv().is_ok();
    let first = session.submit(waits.delay(()));
    // Beside what waits, functions are called, by the session and in the background.
    let square = |n: u64| n * n;
    let futures: Vec<_> = (0..20).map(|n| session.submit(square.delay((n,)))).collect();
    assert_eq!(session.gather(futures).unwrap(), (0..20).map(|n| n * n).collect::<Vec<u64>>());
    assert_eq!(session.compute(&square.delay((7,))).unwrap(), 49);
    assert!(!first.is_done());
    send.send(()).unwrap();
    assert!(first.wait().unwrap());
    // Arrays too, and several things at once.
    let x = arange(0.0, 1000.0, 1.0).rechunk([100]);
    let sum = session.submit((x.sum(..).item(), x.max(..).item()));
    assert_eq!(sum.wait().unwrap(), (499_500.0, 999.0));
    // Errors are told to who waits.
    let panics = |n: u64| -> u64 { panic!("no {n}") };
    let error = session.submit(panics.delay((3,))).wait().unwrap_err().to_string();
    assert!(error.contains("no 3"), "{error}");
}

#[test]
fn futures_are_cancelled() {
    let session = Session::builder().memory("256MiB").threads(1).build().unwrap();
    let begun = Arc::new(AtomicUsize::new(0));
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(receive);
    let counted = begun.clone();
    let waits = move |_: u64| {
        counted.fetch_add(1, Ordering::Relaxed);
        gate.lock().unwrap().recv().is_ok()
    };
    let waits = Arc::new(waits);
    let call = move |n: u64| waits(n);
    let running = session.submit(call.clone().delay((0,)).map(|done| done));
    let second = session.submit(call.clone().delay((1,)));
    let third = session.submit(call.delay((2,)));
    while begun.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    // One that waits is not begun; one that runs ends after the call that is under way.
    second.cancel();
    running.cancel();
    send.send(()).unwrap();
    assert!(running.wait().unwrap_err().is_cancelled());
    assert!(second.wait().unwrap_err().is_cancelled());
    // A session that goes cancels what is left; that which runs is waited for.
    send.send(()).unwrap();
    drop(session);
    assert!(third.is_done());
    assert!(begun.load(Ordering::Relaxed) <= 2);
}
