//! What a formula needs to know of arrays before it can go on: how many elements a mask keeps, where the
//! elements of an index lie.

use super::fault::{Fault, Result};
use crate::array::{AnyVec, Array, Settle, Unsettled};

/// Who computes that, if anybody does.
#[derive(Clone, Copy)]
pub(super) struct Settling<'a>(pub(super) Option<&'a dyn Settle>);

impl<'a> Settling<'a> {
    fn settle(self) -> Result<&'a dyn Settle> {
        self.0.ok_or_else(|| {
            Fault::value(
                "the shape of this depends on values, which would have to be computed first",
            )
            .help("a formula with such a part has no plan before it runs")
        })
    }

    /// Whether anybody does.
    pub(super) fn can(self) -> bool {
        self.0.is_some()
    }

    /// What it is.
    pub(super) fn settled<V>(self, what: Unsettled<V>) -> Result<V> {
        Ok(what.settled(self.settle()?)?)
    }

    /// The elements of a small array.
    pub(super) fn elements(self, array: &Array) -> Result<AnyVec> {
        Ok(self.settle()?.elements(array.expr())?)
    }
}
