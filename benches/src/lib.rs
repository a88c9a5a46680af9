//! What the benchmarks of freeboard's parts share: data, floors and a stopwatch.

pub mod data;
pub mod floors;
pub mod laps;
