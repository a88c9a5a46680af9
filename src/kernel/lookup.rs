//! Elements looked up in a list: the bin that one lies in, and the value at a place.

use super::{Elementwise, Operand, tile::map1};
use freeboard_formats::{DType, Element, Scalar};
use std::{borrow::Cow, sync::Arc};

/// Between which edges doubles lie, as `numpy.digitize` counts: `i` where `edges[i - 1] <= x < edges[i]`, NaN
/// behind all.
#[derive(Clone, Debug)]
pub struct Digitize {
    /// The edges, which increase.
    pub edges: Arc<[f64]>,
    /// Whether an element on an edge lies before it.
    pub right: bool,
    /// Whether bins are counted from the greatest edge down.
    pub falling: bool,
}

impl Elementwise for Digitize {
    fn name(&self) -> Cow<'static, str> {
        "digitize".into()
    }

    fn params(&self) -> Vec<Scalar> {
        let how = [self.right, self.falling].map(Scalar::Bool);
        how.into_iter().chain(self.edges.iter().map(|&edge| Scalar::F64(edge))).collect()
    }

    fn inputs(&self) -> &[DType] {
        &[DType::F64]
    }

    fn output(&self) -> DType {
        DType::I64
    }

    fn run(&self, inputs: &[Operand<'_>], out: &mut [u8]) {
        let count = self.edges.len();
        map1(inputs, out, |x: f64| {
            let below = match x.is_nan() {
                true => count,
                false => self.edges.partition_point(|&edge| edge < x || (!self.right && edge == x)),
            };
            (if self.falling { count - below } else { below }) as i64
        });
    }
}

/// The values at places of a list, which lie within it.
#[derive(Clone, Debug)]
pub struct Lookup<T> {
    /// The list.
    pub values: Arc<[T]>,
}

impl<T: Element> Elementwise for Lookup<T> {
    fn name(&self) -> Cow<'static, str> {
        "lookup".into()
    }

    fn params(&self) -> Vec<Scalar> {
        self.values.iter().map(|value| value.to_scalar()).collect()
    }

    fn inputs(&self) -> &[DType] {
        &[DType::I64]
    }

    fn output(&self) -> DType {
        T::DTYPE
    }

    fn run(&self, inputs: &[Operand<'_>], out: &mut [u8]) {
        map1(inputs, out, |place: i64| self.values[place as usize].to_repr());
    }
}
