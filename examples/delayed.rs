//! Any function as a task: slow functions run at once, control flow decides what is called,
//! and files of JSON lines become HDF5 in parallel.
//!
//! ```text
//! cargo run --release --example delayed
//! ```

use freeboard::{
    Delay, Delayed, Hdf5, OpenOptions, Result, Session, TryDelay, formats::memory::MemorySource,
    open_all,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

const SLOW: Duration = Duration::from_millis(50);

fn slow_inc(x: i64) -> i64 {
    thread::sleep(SLOW);
    x + 1
}

fn slow_add(x: i64, y: i64) -> i64 {
    thread::sleep(SLOW);
    x + y
}

fn main() -> Result<()> {
    let session = Session::builder().memory("256MiB").threads(8).build()?;
    slow_functions(&session)?;
    control_flow(&session)?;
    let folder = std::env::temp_dir().join(format!("freeboard-delayed-{}", std::process::id()));
    let converted = json_lines(&session, &folder);
    fs::remove_dir_all(&folder).ok();
    converted
}

/// Eight increments and their sum: one after the other, and as tasks.
fn slow_functions(session: &Session) -> Result<()> {
    let started = Instant::now();
    let plain = (0..8).map(slow_inc).reduce(slow_add).unwrap_or(0);
    let plain_took = started.elapsed();

    let increments: Vec<Delayed<i64>> = (0..8).map(|i| slow_inc.delay((i,))).collect();
    let total = increments.into_iter().reduce(|a, b| slow_add.delay((a, b)));
    let total = total.expect("eight of them");
    let started = Instant::now();
    let computed = session.compute(&total)?;
    println!("loop {plain} in {plain_took:.2?}, tasks {computed} in {:.2?}", started.elapsed());
    assert_eq!(computed, plain);
    Ok(())
}

/// What is called may depend on values that are known while the graph is built.
fn control_flow(session: &Session) -> Result<()> {
    let is_even = |n: u64| n.is_multiple_of(2);
    let half = |n: u64| n / 2;
    let results: Vec<Delayed<u64>> =
        (0..10).map(|n| if is_even(n) { half.delay((n,)) } else { Delayed::value(n) }).collect();
    let total = (|values: Vec<u64>| values.iter().sum::<u64>()).delay((&results,));
    println!("halves of the even, and the odd: {}", session.compute(&total)?);
    Ok(())
}

/// Files of one JSON array a line, each a spectrum, become an HDF5 file each; then they are
/// opened as one stack.
fn json_lines(session: &Session, folder: &Path) -> Result<()> {
    let inputs = make_files(folder, 20).map_err(freeboard::formats::FormatError::io)?;
    let write = |input: PathBuf| -> Result<String> {
        let spectra = parse(&input).map_err(freeboard::formats::FormatError::io)?;
        let output = input.with_extension("h5");
        MemorySource::new(&spectra, &[16, 64]).store(&Hdf5::create(&output).overwrite())?;
        Ok(output.display().to_string())
    };
    // One after the other, and as tasks; each time all files are written.
    let started = Instant::now();
    inputs.iter().try_for_each(|input| write(input.clone()).map(drop))?;
    let loop_took = started.elapsed();
    let tasks = inputs.into_iter().map(|input| write.try_delay((input,)).bytes("4MiB"));
    let tasks: Vec<Delayed<String>> = tasks.collect();
    let started = Instant::now();
    let outputs = session.compute(&tasks)?;
    let took = started.elapsed();
    println!("{} files converted: loop {loop_took:.2?}, tasks {took:.2?}", outputs.len());
    let stack = open_all(&outputs, &OpenOptions::default())?;
    let brightest = session.compute(stack.max([1, 2]).argmax(..).item())?;
    println!("{stack}\nthe brightest spectrum is in file {brightest:?}");
    Ok(())
}

/// The lines of a file as rows of an array.
fn parse(input: &Path) -> io::Result<ndarray::Array2<f32>> {
    let text = fs::read_to_string(input)?;
    let rows: Vec<Vec<f32>> =
        text.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
    let shape = (rows.len(), rows.first().map_or(0, Vec::len));
    ndarray::Array2::from_shape_vec(shape, rows.concat()).map_err(io::Error::other)
}

fn make_files(folder: &Path, count: usize) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    (0..count)
        .map(|number| {
            let path = folder.join(format!("night_{number:02}.jsonl"));
            let line = |row: usize| {
                let values: Vec<f32> = (0..64)
                    .map(|i| ((number * 7919 + row * 64 + i) % 1009) as f32 / 10.0)
                    .collect();
                serde_json::to_string(&values).expect("numbers")
            };
            let text: Vec<String> = (0..32).map(line).collect();
            fs::write(&path, text.join("\n"))?;
            Ok(path)
        })
        .collect()
}
