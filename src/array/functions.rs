//! Functions of one element that users hand in; block kernels of theirs, and what closures declare.

use super::{Array, Dyn, Kind, args::Bytes, kept, mistake};
use crate::{
    expr::{Expr, Needs, Op, shape_text},
    kernel::{BlockCx, BlockKernel, Elementwise, Operand},
};
use freeboard_formats::{ChunkMut, ChunkView, DType, Element, Meta, Region};
use std::{borrow::Cow, fmt, marker::PhantomData, panic::Location, sync::Arc};

/// A closure of one element.
struct Mapped<T, U, F> {
    function: F,
    inputs: [DType; 1],
    types: PhantomData<fn(T) -> U>,
}

impl<T, U, F> fmt::Debug for Mapped<T, U, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "map({})", std::any::type_name::<F>())
    }
}

impl<T: Element, U: Element, F: Fn(T) -> U + Send + Sync> Elementwise for Mapped<T, U, F> {
    fn name(&self) -> Cow<'static, str> {
        "map".into()
    }

    fn is_named(&self) -> bool {
        false
    }

    fn inputs(&self) -> &[DType] {
        &self.inputs
    }

    fn output(&self) -> DType {
        U::DTYPE
    }

    fn run(&self, inputs: &[Operand<'_>], out: &mut [u8]) {
        let out: &mut [U::Repr] = bytemuck::cast_slice_mut(out);
        let call = |element: T::Repr| (self.function)(T::from_repr(element)).to_repr();
        match inputs[0] {
            Operand::Run(bytes) => {
                let elements: &[T::Repr] = bytemuck::cast_slice(bytes);
                out.iter_mut().zip(elements).for_each(|(out, &element)| *out = call(element));
            }
            Operand::One(bytes) => {
                let element: T::Repr = bytemuck::cast_slice(bytes)[0];
                // Not one call for all: the function need not give the same twice.
                out.iter_mut().for_each(|out| *out = call(element));
            }
        }
    }
}

/// A block kernel whose scratch the user declared.
#[derive(Debug)]
struct Declared {
    kernel: Arc<dyn BlockKernel>,
    scratch: u64,
}

impl BlockKernel for Declared {
    fn name(&self) -> Cow<'static, str> {
        self.kernel.name()
    }

    fn scratch(&self, _: &[Region], _: &Region) -> u64 {
        self.scratch
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        out: ChunkMut<'_>,
        scratch: &mut [u8],
        cx: &BlockCx,
    ) -> Result<(), String> {
        self.kernel.run(inputs, out, scratch, cx)
    }
}

impl<T: Element + Kind> Array<T> {
    /// `function` of every element: `x.map(|v: f32| v.max(0.0))`.
    #[track_caller]
    pub fn map<U, F>(&self, function: F) -> Array<U>
    where
        U: Element + Kind,
        F: Fn(T) -> U + Send + Sync + 'static,
    {
        let at = Location::caller();
        Array::<T>::build(at, || {
            self.meta()?;
            let inputs = [<T as Element>::DTYPE];
            let kernel = Mapped { function, inputs, types: PhantomData::<fn(T) -> U> };
            Ok(Expr::apply(Arc::new(kernel), &[&self.expr], at))
        })
    }
}

/// An array each block of which `kernel` makes from boxes of other arrays: which, say the
/// [`Needs`] beside each. The verbs that look at more than one element's place are made of
/// this one. `meta` tells dtype, shape and blocks of the result.
///
/// ```
/// # use freeboard::{Array, DType, array::blockwise, expr::{Need, Needs}, formats::{Grid, Meta}};
/// # fn medians(kernel: impl freeboard::kernel::BlockKernel + 'static, frames: &Array) -> Array {
/// // From frames, (n, y, x): whole columns of 64 rows at a time.
/// let (y, x) = (2048, 2048);
/// let needs = Needs::new([Need::All, Need::same(0), Need::same(1)]);
/// let meta = Meta::new(DType::F32, Grid::regular(&[y, x], &[64, x]));
/// blockwise(kernel, [(frames, needs)], meta)
/// # }
/// ```
#[track_caller]
pub fn blockwise<'a>(
    kernel: impl BlockKernel + 'static,
    inputs: impl IntoIterator<Item = (&'a Array, Needs)>,
    meta: Meta,
) -> Array {
    let at = Location::caller();
    Array::<Dyn>::build(at, || {
        let inputs: Vec<(Expr, Needs)> =
            inputs.into_iter().map(|(array, needs)| (array.expr.clone(), needs)).collect();
        for (number, (input, needs)) in inputs.iter().enumerate() {
            let grid = &input.meta()?.grid;
            if !needs.fit(grid, &meta.grid) {
                let (have, made) = (shape_text(&grid.shape()), shape_text(&meta.grid.shape()));
                return Err(mistake(at)(format!(
                    "input {number} of {}, of shape {have}, has no {needs:?} for blocks of shape {made}",
                    kernel.name()
                )));
            }
        }
        Ok(Expr::block(Arc::new(kernel), inputs, meta, at))
    })
}

impl<T: Kind> Array<T> {
    /// What the function of the [`map_blocks`](Array::map_blocks) before needs beside its block
    /// and its result, at the most: `"1MiB"`, or a number of bytes. The library's own kernels know what they need.
    #[track_caller]
    pub fn declare_scratch(&self, scratch: impl Into<Bytes>) -> Array<T> {
        let at = Location::caller();
        Array::from_expr(kept(at, || {
            let meta = self.meta()?.clone();
            let scratch = scratch.into().0.map_err(mistake(at))?;
            let (kernel, needs) = match self.expr.op() {
                Op::Block { kernel, needs } if !kernel.is_named() => (kernel, needs),
                _ => return Err(mistake(at)("`declare_scratch` follows `map_blocks`".into())),
            };
            let kernel = Declared { kernel: kernel.clone(), scratch };
            let inputs = self.expr.inputs().iter().cloned().zip(needs.iter().cloned());
            Ok(Expr::block(Arc::new(kernel), inputs, meta, self.expr.origin()))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::zeros;
    use super::*;

    #[test]
    fn elements() {
        let x = zeros::<i16>([3]).map(|v: i16| v == 2);
        let Op::Apply(kernel) = x.expr().op() else { panic!("an elementwise kernel") };
        assert!(!kernel.is_named());
        let mut out = [9u8; 3];
        kernel.run(&[Operand::Run(bytemuck::cast_slice(&[1i16, 2, 3]))], &mut out);
        assert_eq!(out, [0, 1, 0]);
        kernel.run(&[Operand::One(bytemuck::bytes_of(&2i16))], &mut out);
        assert_eq!(out, [1, 1, 1]);
    }
}
