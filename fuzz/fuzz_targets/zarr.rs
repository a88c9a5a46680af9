#![no_main]

use freeboard_formats::zarr::Zarr;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| freeboard_fuzz::zarr(&Zarr, bytes));
