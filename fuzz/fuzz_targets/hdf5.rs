#![no_main]

use freeboard_formats::hdf5::Hdf5;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| freeboard_fuzz::file(&Hdf5, "x.h5", bytes));
