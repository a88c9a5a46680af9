#![no_main]

use freeboard_formats::npy::Npy;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| freeboard_fuzz::file(&Npy, "x.npy", bytes));
