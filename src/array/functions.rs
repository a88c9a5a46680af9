//! Functions that users hand in: of one element, and of whole blocks.

use super::{Array, Chunks, Dyn, Kind, args::Bytes, kept, mistake};
use crate::{
    expr::{Expr, Needs, Op, shape_text},
    kernel::{BlockCx, BlockKernel, Elementwise, Operand, exactly},
};
use bytemuck::Pod;
use freeboard_formats::{ChunkMut, ChunkView, DType, Element, Meta, Region};
use ndarray::{ArrayD, ArrayViewD};
use std::{borrow::Cow, convert::Infallible, fmt, marker::PhantomData, panic::Location, sync::Arc};

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

/// A closure of whole blocks.
struct Blocks<T, U, F> {
    function: F,
    types: PhantomData<fn(T) -> U>,
}

impl<T, U, F> fmt::Debug for Blocks<T, U, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "map_blocks({})", std::any::type_name::<F>())
    }
}

/// Writes what a function gave into the block `out`, which has its shape.
pub(crate) fn put<U: Element>(result: &ArrayViewD<'_, U>, out: &mut ChunkMut<'_>) {
    if let (Some(out), Some(elements)) = (out.as_slice::<U>(), result.as_slice()) {
        out.iter_mut().zip(elements).for_each(|(out, element)| *out = element.to_repr());
        return;
    }
    let mut elements = result.iter();
    let written: Result<(), Infallible> = out.try_for_each_run(|_, run| {
        let run: &mut [U::Repr] = bytemuck::cast_slice_mut(run);
        run.iter_mut().zip(&mut elements).for_each(|(out, element)| *out = element.to_repr());
        Ok(())
    });
    let Ok(()) = written;
}

/// Bytes of so many elements.
fn bytes<T: Element>(count: u64) -> u64 {
    count.saturating_mul(T::DTYPE.size() as u64)
}

impl<T, U, F> BlockKernel for Blocks<T, U, F>
where
    T: Element<Repr = T> + Pod,
    U: Element,
    F: Fn(ArrayViewD<'_, T>, &BlockCx) -> ArrayD<U> + Send + Sync,
{
    fn name(&self) -> Cow<'static, str> {
        "map_blocks".into()
    }

    fn scratch(&self, inputs: &[Region], output: &Region) -> u64 {
        let read = inputs.iter().map(Region::volume).sum::<u64>();
        let (read, made) = (bytes::<T>(read), bytes::<U>(output.volume()));
        read.saturating_add(made.saturating_mul(2))
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        _: &mut [u8],
        cx: &BlockCx,
    ) -> Result<(), String> {
        let [input] = exactly(inputs, "map_blocks")?;
        let input =
            input.as_ndarray().ok_or("the block is of another dtype than the function's")?;
        let result = (self.function)(input, cx);
        let shape: Vec<u64> = result.shape().iter().map(|&len| len as u64).collect();
        if shape != out.shape() {
            return Err(format!(
                "the function gave a block of shape {} where one of {} was declared",
                shape_text(&shape),
                shape_text(out.shape())
            ));
        }
        put(&result.view(), &mut out);
        Ok(())
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

impl<T: Element<Repr = T> + Kind + Pod> Array<T> {
    /// `function` of every block, told which it is. It gives a block of the shape that
    /// `chunks` declares: [`Chunks::same`], [`Chunks::ones`], `[1, 64]` (-1: as the input's), or
    /// [`Chunks::exact`]. The array is cut as this one is; [`rechunk`](Array::rechunk) first for other blocks.
    ///
    /// It is taken to need, beside its block and result, as many bytes as its block and
    /// twice its result; [`Array::declare_scratch`] says otherwise. A block of another shape,
    /// or a panic, ends the run with an error that names this line.
    #[track_caller]
    pub fn map_blocks<U, F>(&self, chunks: impl Into<Chunks>, function: F) -> Array<U>
    where
        U: Element + Kind,
        F: Fn(ArrayViewD<'_, T>, &BlockCx) -> ArrayD<U> + Send + Sync + 'static,
    {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let meta = self.meta()?;
            let grid = chunks.into().made_from(meta).map_err(mistake(at))?;
            let kernel = Blocks { function, types: PhantomData::<fn(T) -> U> };
            let meta = Meta { dtype: <U as Element>::DTYPE, grid, ..meta.clone() };
            let input = (self.expr.clone(), Needs::blocks(meta.grid.rank()));
            Ok(Expr::block(Arc::new(kernel), [input], meta, at))
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
    use ndarray::{Array2, arr1};

    fn run(array: &Array<f64>, input: &ChunkView<'_>, shape: &[u64]) -> Result<Vec<f64>, String> {
        let Op::Block { kernel, .. } = array.expr().op() else { panic!("a block kernel") };
        let mut out = vec![0.0; shape.iter().product::<u64>() as usize];
        let inputs = [Region::whole(input.shape())].into_iter().collect();
        let cx = BlockCx { index: vec![0; shape.len()], region: Region::whole(shape), inputs };
        kernel.run(std::slice::from_ref(input), ChunkMut::of(&mut out, shape), &mut [], &cx)?;
        Ok(out)
    }

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

    #[test]
    fn blocks_of_any_strides() {
        let x = Array::chunked(&Array2::<f32>::zeros((4, 6)), [2, 3]);
        let y = x.map_blocks(Chunks::same(), |block, _| block.mapv(f64::from) + 1.0);
        assert_eq!(y.chunks().unwrap(), x.chunks().unwrap());
        let data: Vec<f32> = (0..6).map(|v| v as f32).collect();
        let turned = ChunkView::of(&data, &[2, 3]).restride(5, vec![3, 2], vec![-1, -3]);
        assert_eq!(run(&y, &turned, &[3, 2]).unwrap(), [6.0, 3.0, 5.0, 2.0, 4.0, 1.0]);
        let error = run(&y, &turned, &[2, 3]).unwrap_err();
        assert_eq!(
            error,
            "the function gave a block of shape (3, 2) where one of (2, 3) was declared"
        );
        // A result in another order than C.
        let y = x.map_blocks(Chunks::same(), |block, _| block.mapv(f64::from).t().to_owned());
        assert_eq!(
            run(&y, &ChunkView::of(&data, &[3, 2]), &[2, 3]).unwrap(),
            [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]
        );
    }

    #[test]
    fn declared_shapes_and_scratch() {
        let x = Array::chunked(&Array2::<f32>::zeros((4, 7)), [2, 3]);
        let of = |chunks: Chunks| x.map_blocks(chunks, |_, _| arr1(&[0u8]).into_dyn());
        assert_eq!(of(Chunks::ones()).chunks().unwrap(), [vec![1, 1], vec![1, 1, 1]]);
        assert_eq!(of([5, -1].into()).chunks().unwrap(), [vec![5, 5], vec![3, 3, 1]]);
        assert_eq!(of(Chunks::exact([vec![1, 2], vec![1, 2, 3]])).shape().unwrap(), [3, 6]);
        assert!(
            of(Chunks::exact([vec![1], vec![1]])).to_string().starts_with("axis 0 has 2 blocks")
        );
        assert!(of("auto".into()).to_string().contains("does not tell the shape of a block"));
        let scratch = |array: &Array<u8>| match array.expr().op() {
            Op::Block { kernel, .. } => {
                kernel.scratch(&[Region::whole(&[5])], &Region::whole(&[10, 10]))
            }
            op => panic!("a block kernel, not {op:?}"),
        };
        let y = of(Chunks::ones());
        assert_eq!(scratch(&y), 220);
        assert_eq!(scratch(&y.declare_scratch("1MiB")), 1 << 20);
        assert_eq!(scratch(&y.declare_scratch(7)), 7);
        assert!(
            y.declare_scratch("much").to_string().starts_with("\"much\" is not a size in bytes")
        );
        for other in [x.declare_scratch(1), x.sort(0).declare_scratch(0)] {
            let says = other.to_string();
            assert!(says.starts_with("`declare_scratch` follows `map_blocks` at "), "{says}");
        }
    }
}
