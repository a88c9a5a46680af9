//! Formulas: expressions in NumPy's syntax, over named arrays, as lazy arrays.
//!
//! `(float32(raw) - bias) / flat` is read into a tree, once; evaluating it over inputs calls the
//! verbs of [`Array`], and computes nothing. What there is of Python and NumPy, and what differs,
//! is told in `docs/calc.md`.
//!
//! ```no_run
//! use freeboard::{Session, array::arange, calc::{Formula, Output}};
//! use std::collections::BTreeMap;
//!
//! let inputs = BTreeMap::from([("x".to_owned(), arange(0, 6, 1).to_dyn())]);
//! let Output::Array(squares) = Formula::parse("x[::2] ** 2")?.evaluate(&inputs)? else {
//!     unreachable!("an array in, an array out")
//! };
//! println!("{}", Session::new()?.compute(&squares)?); // [0, 4, 16]
//! # Ok::<(), freeboard::Error>(())
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `lexer` | from text to tokens |
//! | `ast` | the tree |
//! | `parser` | from tokens to the tree: Python's grammar and precedence |
//! | `value` | what parts stand for: arrays, and Python's own values; [`Output`] |
//! | `scalar` | arithmetic of Python's numbers |
//! | `signature` | signatures as texts; how arguments find their parameters |
//! | `functions` | the table of functions, one line each, by families |
//! | `index` | what `x[…]` means |
//! | `points` | what it means with several lists |
//! | `settling` | what has to be computed before a formula can go on |
//! | `eval` | from the tree to arrays |
//! | `fault` | what is wrong, with the place underlined |

mod ast;
mod eval;
mod fault;
mod functions;
mod index;
mod lexer;
mod parser;
mod points;
mod scalar;
mod settling;
mod signature;
mod value;

pub use functions::listing;
pub use value::Output;

use crate::{
    array::{Array, Settle},
    error::Result,
};
use ast::Node;
use settling::Settling;
use std::collections::BTreeMap;

/// An expression in NumPy's syntax, read and not evaluated yet.
#[derive(Clone, Debug)]
pub struct Formula {
    text: String,
    root: Node,
}

impl Formula {
    /// Reads `text`.
    ///
    /// # Errors
    /// If it is no expression; the place is shown.
    pub fn parse(text: &str) -> Result<Formula> {
        match parser::parse(text) {
            Ok(root) => Ok(Formula { text: text.to_owned(), root }),
            Err(fault) => Err(fault.into_error(text)),
        }
    }

    /// Whether `name` appears in it, so that an input of that name would be used.
    pub fn uses(&self, name: &str) -> bool {
        self.root.names(name)
    }

    /// What the formula is, over `inputs`, which go before functions and constants of the same name.
    /// Nothing is computed; so a formula that cannot go on without it, as `x[x > 0]`, is a mistake:
    /// [`evaluate_with`](Formula::evaluate_with) takes it.
    ///
    /// # Errors
    /// If a name is not known, a function is called in another way than its signature tells, or
    /// an array makes no sense: shapes, axes, dtypes. The place is shown.
    pub fn evaluate(&self, inputs: &BTreeMap<String, Array>) -> Result<Output> {
        self.evaluated(inputs, Settling::never())
    }

    /// As [`evaluate`](Formula::evaluate); what must be known, the truths of a mask, the places of an index, or a
    /// number as in `arange(x.max())`, is computed by `settle`, a [`Session`](crate::Session).
    ///
    /// # Errors
    /// As for [`evaluate`](Formula::evaluate), and if that cannot be computed.
    pub fn evaluate_with(
        &self,
        inputs: &BTreeMap<String, Array>,
        settle: &dyn Settle,
    ) -> Result<Output> {
        self.evaluated(inputs, Settling::always(settle))
    }

    /// As [`evaluate_with`](Formula::evaluate_with), but nothing is read, so that a plan can be made: only what is
    /// made of constants alone, as `ones((5, 5)) / 25`, is computed by `settle`.
    ///
    /// # Errors
    /// As for [`evaluate`](Formula::evaluate).
    pub fn evaluate_unread(
        &self,
        inputs: &BTreeMap<String, Array>,
        settle: &dyn Settle,
    ) -> Result<Output> {
        self.evaluated(inputs, Settling::of_constants(settle))
    }

    fn evaluated(
        &self,
        inputs: &BTreeMap<String, Array>,
        settling: Settling<'_>,
    ) -> Result<Output> {
        let value = eval::Evaluator::new(inputs, settling).value(&self.root);
        let output = value.and_then(|value| value.into_output().map_err(|f| f.at(self.root.span)));
        output.map_err(|fault| fault.into_error(&self.text))
    }
}

/// Whether an input can have this name.
pub fn is_name(name: &str) -> bool {
    parser::is_name(name)
}
