#![no_main]

use freeboard::{array::zeros, calc::Formula};
use std::collections::BTreeMap;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(formula) = Formula::parse(text) {
        // Arrays are lazy: this builds expressions and computes nothing.
        let inputs = BTreeMap::from([("x".to_owned(), zeros::<f32>([3, 4]).to_dyn())]);
        let _ = formula.evaluate(&inputs);
    }
});
