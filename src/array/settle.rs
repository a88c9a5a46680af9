//! [`Unsettled`]: what cannot be built before something has been computed.
//!
//! An array has a shape when it is built. Of the elements for which a mask is true nobody knows how many there
//! are, so [`filter`](Array::filter) and its like give a question and what follows from its answer. A session
//! computes the question, of which the answer is small (a number for each block, or a table of bounded size),
//! and gives what was asked for: arrays that are lazy as all others.

use super::{AnyVec, Line};
use crate::{
    error::{Error, Result},
    expr::Expr,
};
use std::fmt;

/// What has to be looked at before it is an array: settled by
/// [`Session::settle`](crate::Session::settle).
pub struct Unsettled<V> {
    question: Result<Expr>,
    answer: Box<dyn FnOnce(AnyVec) -> Result<V> + Send>,
    at: Line,
}

impl<V> Unsettled<V> {
    /// What `build` gives: an expression to be computed, and what becomes of its elements. A mistake is kept until it is settled.
    pub(crate) fn new<F>(at: Line, build: impl FnOnce() -> Result<(Expr, F)>) -> Unsettled<V>
    where
        F: FnOnce(AnyVec) -> Result<V> + Send + 'static,
    {
        match build() {
            Ok((question, answer)) => {
                Unsettled { question: Ok(question), answer: Box::new(answer), at }
            }
            Err(error) => {
                Unsettled { question: Err(error.clone()), answer: Box::new(|_| Err(error)), at }
            }
        }
    }

    /// What has to be computed for it, unless a mistake was made.
    pub(crate) fn question(&self) -> Option<&Expr> {
        self.question.as_ref().ok()
    }

    /// What `then` makes of it.
    pub(crate) fn map<W>(self, then: impl FnOnce(V) -> Result<W> + Send + 'static) -> Unsettled<W>
    where
        V: 'static,
    {
        let answer = self.answer;
        let answer = Box::new(move |values| then(answer(values)?));
        Unsettled { question: self.question, answer, at: self.at }
    }

    /// What it is, once `settle` has computed the question.
    ///
    /// # Errors
    /// If a mistake was made, or computing fails.
    pub fn settled(self, settle: &dyn Settle) -> Result<V> {
        let question = self.question?;
        question.meta()?;
        (self.answer)(settle.elements(&question)?)
    }
}

impl<V> fmt::Debug for Unsettled<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsettled").field("question", &self.question).finish_non_exhaustive()
    }
}

/// Who computes the questions of what is [`Unsettled`]: a session.
pub trait Settle {
    /// All elements of a small array, in C order.
    ///
    /// # Errors
    /// As for [`Session::compute`](crate::Session::compute).
    fn elements(&self, question: &Expr) -> Result<AnyVec>;
}

/// The elements of an answer, which are of the type that was asked for.
pub(super) fn answered<T: freeboard_formats::Element>(values: AnyVec) -> Result<Vec<T>> {
    values.into_typed().map_err(|_| Error::internal("an answer of another dtype than its question"))
}
