//! What an array is made from, so that another process can tell whether it would make the same.
//!
//! Nodes are hashed as `share` lists them: what each does, to which, on which grid. A
//! closure has no name; it is told by its place in the list, and only the same executable
//! has the same function there.

use super::share::{self, Shared};
use crate::{
    error::Result,
    expr::{Expr, Op},
};
use freeboard_formats::{Fingerprint, FormatError, Provenance};
use std::{hash::Hash, path::PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// What `expr` is made from, with `reproducible` sums or not: its sources, its operations, and with closures the program.
///
/// # Errors
/// If a source, or the program's file, cannot be looked at.
pub(crate) fn provenance(expr: &Expr, reproducible: bool) -> Result<Provenance> {
    let (nodes, _) = share::share(std::slice::from_ref(expr))?;
    let mut made_from = Provenance::default();
    let mut hash = Xxh3::new();
    reproducible.hash(&mut hash);
    let mut closures = false;
    for (number, Shared { expr, inputs }) in nodes.iter().enumerate() {
        let meta = expr.meta()?;
        (inputs, &meta.grid, meta.dtype).hash(&mut hash);
        match expr.op() {
            Op::Source(source) => {
                let name = match source.spec().location {
                    location if location.is_empty() => format!("the input number {number}"),
                    location => format!("the input {location}"),
                };
                let Fingerprint(value) = source.fingerprint()?;
                made_from.add(name, format!("{value:032x}"));
                closures |= !source.is_named();
            }
            _ => closures |= !share::hash_named(expr, inputs, &mut hash),
        }
    }
    made_from.add("the expression", format!("{:032x}", hash.digest128()));
    made_from.add("the version of freeboard", env!("CARGO_PKG_VERSION"));
    if closures {
        let Fingerprint(value) = executable()?;
        made_from.add("the program (it has functions of its own)", format!("{value:032x}"));
    }
    Ok(made_from)
}

/// A fingerprint of the program that runs: of the size and age of its file, as a hash of all of
/// it would be most of what a small store takes.
fn executable() -> Result<Fingerprint> {
    // The link leads to the very file, also when another one has its name by now.
    let path = match cfg!(target_os = "linux") {
        true => PathBuf::from("/proc/self/exe"),
        false => std::env::current_exe().map_err(FormatError::io)?,
    };
    Ok(Fingerprint::of_file(&path)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        array::{Array, fromfunction, linspace, random},
        kernel::{Unary, unary},
    };
    use freeboard_formats::{DType, Grid, Scalar};
    use std::panic::Location;

    #[test]
    fn equal_expressions_have_equal_provenance_and_others_do_not() {
        let make = |value: f64, op: Unary, chunk: u64| {
            let here = Location::caller();
            let x = Expr::constant(Scalar::F64(value), Grid::regular(&[8], &[chunk]), here);
            provenance(&Expr::apply(unary(op, DType::F64), &[&x], here), false).unwrap()
        };
        assert_eq!(make(2.0, Unary::Sqrt, 4), make(2.0, Unary::Sqrt, 4));
        for other in
            [make(3.0, Unary::Sqrt, 4), make(2.0, Unary::Exp, 4), make(2.0, Unary::Sqrt, 2)]
        {
            assert_ne!(other, make(2.0, Unary::Sqrt, 4));
        }
    }

    #[test]
    fn functions_are_told_by_the_program_and_the_librarys_own_by_their_parameters() {
        let of = |array: Array| provenance(array.expr(), false).unwrap();
        let asks_for_the_program =
            |array: Array| format!("{:?}", of(array)).contains("the program");
        let x = linspace(0.0, 1.0, 9);
        assert!(asks_for_the_program(fromfunction([9], |at| at[0] as f64).to_dyn()));
        assert!(asks_for_the_program(x.map(|x: f64| x + 1.0).to_dyn()));
        let digitized = |edges: &[f64], right| x.digitize(edges, right).to_dyn();
        assert!(!asks_for_the_program(digitized(&[0.2], false)));
        assert_eq!(of(digitized(&[0.2, 0.5], false)), of(digitized(&[0.2, 0.5], false)));
        for (edges, right) in [([0.2, 0.6], false), ([0.5, 0.2], false), ([0.2, 0.5], true)] {
            assert_ne!(of(digitized(&edges, right)), of(digitized(&[0.2, 0.5], false)));
        }
        let chosen = |values: [f32; 2]| random(1).choice(values.to_vec(), [9]).to_dyn();
        assert!(!asks_for_the_program(chosen([0.5, 1.5])));
        assert_eq!(of(chosen([0.5, 1.5])), of(chosen([0.5, 1.5])));
        assert_ne!(of(chosen([0.5, 1.5])), of(chosen([0.5, 2.5])));
    }
}
