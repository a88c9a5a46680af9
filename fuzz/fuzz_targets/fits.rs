#![no_main]

use freeboard_formats::fits::Fits;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| freeboard_fuzz::file(&Fits, "x.fits", bytes));
