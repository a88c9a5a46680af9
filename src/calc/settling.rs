//! What a formula needs to know of arrays before it can go on: how many elements a mask keeps, where the
//! elements of an index lie, and every number that is computed and stands where one must be known (`arange(x.max())`,
//! `convolve(x, ones(5) / 5)`).
//!
//! What is written down, and ranges, is known at once. All else is computed by who evaluates the formula, if anybody
//! does; where a plan is all that is wanted, that is what is made of such constants alone, so that nothing is read.

use super::{
    fault::{Fault, Result},
    value::Value,
};
use crate::{
    array::{AnyVec, Array, Settle, Unsettled, stack},
    expr::{Expr, Op},
};
use freeboard_formats::{
    Cancel, ChunkMut, ChunkSource, Element, FileCache, ReadCx, Region, region::checked_volume,
    with_dtype,
};
use std::collections::HashSet;

/// The most elements that become numbers of the formula.
pub(super) const MOST: u64 = 1 << 20;

/// Who computes what must be known.
#[derive(Clone, Copy)]
pub(super) struct Settling<'a> {
    settle: Option<&'a dyn Settle>,
    /// Whether that may be computed only which is made of constants.
    is_unread: bool,
}

impl<'a> Settling<'a> {
    /// Nobody does.
    pub(super) fn never() -> Settling<'a> {
        Settling { settle: None, is_unread: true }
    }

    /// `settle` computes whatever must be known.
    pub(super) fn always(settle: &'a dyn Settle) -> Settling<'a> {
        Settling { settle: Some(settle), is_unread: false }
    }

    /// `settle` computes what is made of constants.
    pub(super) fn of_constants(settle: &'a dyn Settle) -> Settling<'a> {
        Settling { settle: Some(settle), is_unread: true }
    }

    /// Who computes `question`.
    fn settle(self, question: Option<&Expr>) -> Result<&'a dyn Settle> {
        let may = |_: &&dyn Settle| !self.is_unread || question.is_some_and(is_constant);
        self.settle.filter(may).ok_or_else(|| {
            Fault::value("this depends on values, which would have to be computed first")
                .help("a formula with such a part has no plan before it runs")
        })
    }

    /// Whether everything is computed that must be known.
    pub(super) fn can(self) -> bool {
        !self.is_unread
    }

    /// What it is.
    pub(super) fn settled<V>(self, what: Unsettled<V>) -> Result<V> {
        let settle = self.settle(what.question())?;
        Ok(what.settled(settle)?)
    }

    /// The elements of a small array.
    pub(super) fn elements(self, array: &Array) -> Result<AnyVec> {
        match at_hand(array)? {
            Some(elements) => Ok(elements),
            None => Ok(self.settle(Some(array.expr()))?.elements(array.expr())?),
        }
    }

    /// A value in which the arrays without axes, alone or in lists, are numbers: those of one dtype are computed together.
    pub(super) fn numbers(self, value: &Value) -> Result<Value> {
        let mut asked = Vec::new();
        find_scalars(value, &mut asked)?;
        let Some(first) = asked.first() else { return Ok(value.clone()) };
        let (dtype, mut alike) = (first.dtype()?, true);
        for array in &asked {
            alike &= array.dtype()? == dtype;
        }
        let parts = if alike { vec![stack(asked, 0)] } else { asked };
        let mut found = Vec::new();
        for part in parts {
            found.extend(numbers_of(self.elements(&part)?));
        }
        Ok(put(value, &mut found.into_iter()))
    }

    /// The same, but an array of one axis is a list.
    pub(super) fn list(self, value: &Value) -> Result<Value> {
        let Value::Array(array) = value else { return self.numbers(value) };
        match array.shape()?[..] {
            [len] if len as u64 <= MOST => Ok(Value::List(numbers_of(self.elements(array)?))),
            [len] => {
                Err(Fault::value(format!("{len} numbers that must be known; {MOST} at the most")))
            }
            _ => self.numbers(value),
        }
    }
}

/// The elements as numbers of the formula.
fn numbers_of(elements: AnyVec) -> Vec<Value> {
    with_dtype!(elements.dtype(), T => {
        let elements: Vec<T> = elements.into_typed().unwrap_or_default();
        elements.into_iter().map(|element| Value::from(element.to_scalar())).collect()
    })
}

/// The arrays without axes in a value, in their order.
fn find_scalars(value: &Value, found: &mut Vec<Array>) -> Result<()> {
    match value {
        Value::Array(array) if array.rank()? == 0 => found.push(array.clone()),
        Value::Tuple(values) | Value::List(values) => {
            values.iter().try_for_each(|value| find_scalars(value, found))?;
        }
        _ => {}
    }
    Ok(())
}

/// The value with the next `numbers` in place of these arrays.
fn put(value: &Value, numbers: &mut impl Iterator<Item = Value>) -> Value {
    match value {
        Value::Array(array) if array.rank().is_ok_and(|rank| rank == 0) => {
            numbers.next().unwrap_or(Value::None)
        }
        Value::Tuple(values) => Value::Tuple(values.iter().map(|v| put(v, numbers)).collect()),
        Value::List(values) => Value::List(values.iter().map(|v| put(v, numbers)).collect()),
        other => other.clone(),
    }
}

/// Whether a source's elements lie in no file.
fn is_written_down(source: &dyn ChunkSource) -> bool {
    matches!(&*source.storage().format, "generated" | "memory")
}

/// The elements of what is one value everywhere, written down, or counted, as `arange(1, 9)`.
fn at_hand(array: &Array) -> Result<Option<AnyVec>> {
    let meta = array.meta()?;
    let region = Region::whole(&meta.shape());
    let Some(count) = checked_volume(&region.shape).filter(|&count| count <= MOST) else {
        return Ok(None);
    };
    let mut elements = AnyVec::zeroed(meta.dtype, count as usize);
    let mut out = ChunkMut::new(meta.dtype, elements.as_bytes_mut(), &region.shape);
    match array.expr().op() {
        Op::Constant(value) => out.fill(*value),
        Op::Source(source) if is_written_down(&**source) => {
            let (files, cancel) = (FileCache::default(), Cancel::default());
            let mut cx =
                ReadCx { scratch: &mut [], limit: u64::MAX, files: &files, cancel: &cancel };
            let read = source.read(&region, out, &mut cx);
            read.map_err(|error| Fault::value(error.to_string()))?;
        }
        _ => return Ok(None),
    }
    Ok(Some(elements))
}

/// Whether an expression is a small one of constants alone.
fn is_constant(expr: &Expr) -> bool {
    const NODES: usize = 10_000;
    let (mut seen, mut left) = (HashSet::new(), vec![expr.clone()]);
    while let Some(expr) = left.pop() {
        let is_small = expr
            .meta()
            .is_ok_and(|meta| checked_volume(&meta.shape()).is_some_and(|count| count <= MOST));
        let is_read = matches!(expr.op(), Op::Source(source) if !is_written_down(&**source));
        if !is_small || is_read || seen.len() > NODES {
            return false;
        }
        if seen.insert(expr.address()) {
            left.extend(expr.inputs().iter().cloned());
        }
    }
    true
}
