#![no_main]

use freeboard_formats::{
    Format,
    images::{Jpeg, Png, Tiff},
};
use std::path::Path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let formats: [&dyn Format; 3] = [&Png, &Jpeg, &Tiff];
    let of = formats.into_iter().find(|format| format.recognises(Path::new("x"), bytes));
    if let Some(format) = of {
        freeboard_fuzz::file(format, "x", bytes);
    }
});
