//! The functions of formulas: one table, by families; a line for each.
//!
//! A line is a signature as NumPy or SciPy has it, a few words of help, and how the call becomes
//! arrays. Parameters that say where a result goes or what it begins with (`out`, `where`,
//! `initial`) are left out; those behind them can then be given by name only, so that places
//! mean what they mean in NumPy.
//!
//! `module.name` is a function of a module (`ndimage.label`), `ndarray.name` a method of arrays and
//! `Generator.name` one of random generators. NumPy's arrays have many of its functions as methods:
//! those in [`METHODS`].

mod arguments;
mod choose;
mod create;
mod differences;
mod elementwise;
mod histogram;
mod join;
mod linalg;
mod measure;
mod ndimage;
mod order;
mod products;
mod reduce;
mod shape;
mod signal;

pub(super) use arguments::{Arguments, binary};
pub(super) use elementwise::positive;

use super::{fault::Result, signature::Signature, value::Value};
use std::{collections::HashMap, sync::LazyLock};

/// A line of the table.
#[derive(Debug)]
pub(super) struct Function {
    signature: &'static str,
    help: &'static str,
    pub(super) call: fn(&Arguments<'_>) -> Result<Value>,
}

/// Lines of the table: `"signature" "help" => |a| value;`, where `a` are the [`Arguments`] and the
/// value is an array, or something else that is a [`Value`].
macro_rules! functions {
    ($($signature:literal $help:literal => |$a:pat_param| $value:expr;)*) => {
        pub(super) const FUNCTIONS: &[super::Function] = &[$(super::Function {
            signature: $signature,
            help: $help,
            call: |$a| Ok($crate::calc::value::Value::from($value)),
        },)*];
    };
}
use functions;

/// The families.
const TABLE: [&[Function]; 14] = [
    elementwise::FUNCTIONS,
    reduce::FUNCTIONS,
    order::FUNCTIONS,
    histogram::FUNCTIONS,
    choose::FUNCTIONS,
    shape::FUNCTIONS,
    join::FUNCTIONS,
    differences::FUNCTIONS,
    products::FUNCTIONS,
    linalg::FUNCTIONS,
    create::FUNCTIONS,
    ndimage::FUNCTIONS,
    measure::FUNCTIONS,
    signal::FUNCTIONS,
];

/// The functions of NumPy that its arrays have as methods, with the array as first argument.
const METHODS: [&str; 28] = [
    "all",
    "any",
    "argmax",
    "argmin",
    "argsort",
    "clip",
    "copy",
    "cumprod",
    "cumsum",
    "diagonal",
    "dot",
    "max",
    "mean",
    "min",
    "nonzero",
    "prod",
    "ravel",
    "repeat",
    "round",
    "searchsorted",
    "sort",
    "squeeze",
    "std",
    "sum",
    "swapaxes",
    "take",
    "trace",
    "var",
];

/// A function, its signature read.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) function: &'static Function,
    pub(super) signature: Signature,
}

static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let all = TABLE.into_iter().flatten();
    // The test below reads every signature.
    all.filter_map(|function| {
        Some(Entry { function, signature: Signature::read(function.signature)? })
    })
    .collect()
});

static BY_NAME: LazyLock<HashMap<&'static str, &'static Entry>> = LazyLock::new(|| {
    let entries: &'static Vec<Entry> = &ENTRIES;
    let named = |entry: &'static Entry| {
        entry.signature.names.iter().map(move |name| (name.as_str(), entry))
    };
    let mut by_name: HashMap<_, _> = entries.iter().flat_map(named).collect();
    // Without its module a function is found too, unless NumPy has one of that name.
    for (name, entry) in entries.iter().flat_map(named) {
        if let Some((module, short)) = name.rsplit_once('.')
            && !matches!(module, "ndarray" | "Generator" | "random" | NUMPY)
        {
            by_name.entry(short).or_insert(entry);
        }
    }
    by_name
});

/// What paths of NumPy's own functions begin with.
pub(super) const NUMPY: &str = "numpy";

/// The function `path`, with or without its module. Behind `numpy.` there are NumPy's alone.
pub(super) fn find(path: &str) -> Option<&'static Entry> {
    let found = BY_NAME.get(path).copied();
    let Some(name) = path.strip_prefix(NUMPY).and_then(|name| name.strip_prefix('.')) else {
        return found;
    };
    let is_numpys = |entry: &&Entry| {
        !name.starts_with("ndimage.") && entry.signature.names.iter().any(|own| own == name)
    };
    found.or_else(|| BY_NAME.get(name).copied().filter(is_numpys))
}

/// The method `name` of a value.
pub(super) fn find_method(value: &Value, name: &str) -> Option<&'static Entry> {
    let class = match value {
        Value::Array(_) => "ndarray",
        Value::Generator(_) => "Generator",
        _ => return None,
    };
    let own = find(&format!("{class}.{name}"));
    own.or_else(|| find(name).filter(|_| class == "ndarray" && METHODS.contains(&name)))
}

/// The names of all functions, as they are called.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    BY_NAME.keys().copied().filter(|name| !is_method(name))
}

/// The names of all methods of arrays.
pub(super) fn methods() -> impl Iterator<Item = &'static str> {
    let own = BY_NAME.keys().filter_map(|name| name.strip_prefix("ndarray."));
    own.chain(METHODS)
}

fn is_method(name: &str) -> bool {
    name.starts_with("ndarray.") || name.starts_with("Generator.")
}

/// Every function: how it is called and what it gives, in the order of the table.
pub fn listing() -> Vec<(String, &'static str)> {
    let shown = |function: &'static Function| {
        let text = match function.signature.split_once("(self") {
            Some((name, rest)) => {
                format!("{name}({}", rest.trim_start_matches([',', ' ']))
            }
            None => function.signature.to_owned(),
        };
        (text, function.help)
    };
    TABLE.into_iter().flatten().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_can_be_read() {
        let lines: Vec<&Function> = TABLE.into_iter().flatten().collect();
        assert_eq!(ENTRIES.len(), lines.len());
        for function in lines {
            assert!(Signature::read(function.signature).is_some(), "{}", function.signature);
            assert!(!function.help.ends_with('.') && !function.help.is_empty());
        }
        let names: Vec<&str> =
            ENTRIES.iter().flat_map(|entry| &entry.signature.names).map(String::as_str).collect();
        let mut once = names.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), names.len(), "a name stands for two functions");
        assert!(METHODS.iter().all(|name| find(name).is_some()));
    }
}
