//! `reduction`: reductions of which users hand in the parts.

use super::{
    Array, Axes, Kind, Line,
    blocks::Closure,
    kept, mistake,
    partials::joined,
    shape::{along, view},
};
use crate::{
    error::Result,
    expr::{Access, AxisView, Expr, Need, Needs},
    kernel::{BlockCx, BlockKernel},
};
use bytemuck::Pod;
use freeboard_formats::{AxisGrid, ChunkMut, ChunkView, Element, Grid, Meta, Scalar};
use ndarray::{ArrayViewD, Axis, Dimension, IxDyn};
use std::{panic::Location, sync::Arc};

impl<T: Element<Repr = T> + Kind + Pod> Array<T> {
    /// A reduction over `axes` of three functions: `partial` makes a state, of `K` numbers, of the elements of one
    /// chunk that fall on one element of the result; `combine` makes one state of two, the first from elements
    /// that come before; `finish` makes the result.
    ///
    /// States are combined in the order of their chunks, 16 at a time, level by level. With [`keepdims`](super::keepdims) the axes stay.
    /// ```
    /// use freeboard::{Session, array::arange};
    ///
    /// // The mean of squares: their sum, and how many there are.
    /// let x = arange::<f64>(0.0, 12.0, 1.0).reshape([3, 4]).rechunk([1, 3]);
    /// let power = x.reduction(
    ///     1,
    ///     |chunk| [chunk.iter().map(|v| v * v).sum(), chunk.len() as f64],
    ///     |[sum, count], [more, others]| [sum + more, count + others],
    ///     |[sum, count]| sum / count,
    /// );
    /// let session = Session::builder().memory("128MiB").build()?;
    /// assert_eq!(session.compute(&power)?, ndarray::array![3.5, 31.5, 91.5].into_dyn());
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn reduction<P, U, const K: usize>(
        &self,
        axes: impl Into<Axes>,
        partial: impl Fn(ArrayViewD<'_, T>) -> [P; K] + Send + Sync + 'static,
        combine: impl Fn([P; K], [P; K]) -> [P; K] + Send + Sync + 'static,
        finish: impl Fn([P; K]) -> U + Send + Sync + 'static,
    ) -> Array<U>
    where
        P: Element<Repr = P> + Pod,
        U: Element + Kind,
    {
        let at = Location::caller();
        let axes = axes.into();
        Array::from_expr(kept(at, || {
            let meta = self.meta()?;
            let (rank, shape) = (meta.grid.rank(), meta.shape());
            let (reduced, stay) = axes.reduced(rank).map_err(mistake(at))?;
            let kept: Vec<usize> = (0..rank).filter(|axis| !reduced.contains(axis)).collect();
            if reduced.iter().any(|&axis| shape[axis] == 0) {
                let message = "`reduction` of no element: an axis has length 0";
                return Err(mistake(at)(message.into()));
            }
            let one = |len: fn(&AxisGrid) -> u64| {
                Grid::new(meta.grid.axes().iter().enumerate().map(|(axis, cut)| {
                    match reduced.contains(&axis) {
                        true => AxisGrid::regular(len(cut), 1),
                        false => cut.clone(),
                    }
                }))
            };
            let made = Meta { dtype: <U as Element>::DTYPE, grid: one(|_| 1), ..meta.clone() };
            let result = match shape.contains(&0) {
                true => Expr::constant(Scalar::zero(made.dtype), made.grid, at),
                false => {
                    let states = one(AxisGrid::count);
                    let numbers = AxisGrid::whole(K as u64);
                    let states = Grid::new(states.axes().iter().cloned().chain([numbers]));
                    let parts = partials(&self.expr, states, (&kept, &reduced), partial, at);
                    let join = combiner(&kept, &reduced, combine);
                    finished(joined(parts, &reduced, &join, at)?, made, finish, at)
                }
            };
            Ok(if stay { result } else { without(&result, &kept, at)? })
        }))
    }
}

/// A kernel of states of `K` numbers, made of elements of `size` bytes.
fn closure<P: Element, const K: usize, F>(
    name: &'static str,
    size: usize,
    function: F,
) -> Closure<F> {
    let made = P::DTYPE.size() as u64;
    Closure { name, function, sizes: vec![size as u64], made }
}

/// The states of each chunk.
fn partials<T, P, const K: usize>(
    expr: &Expr,
    states: Grid,
    (kept, reduced): (&[usize], &[usize]),
    partial: impl Fn(ArrayViewD<'_, T>) -> [P; K] + Send + Sync + 'static,
    at: Line,
) -> Expr
where
    T: Element<Repr = T> + Pod,
    P: Element<Repr = P> + Pod,
{
    let (kept, rest) = (kept.to_vec(), reduced.to_vec());
    let rank = kept.len() + rest.len();
    let call = move |inputs: &[ChunkView<'_>], mut out: ChunkMut<'_>, _: &BlockCx| {
        let states = out.as_slice::<P>().ok_or("the states do not lie in one run")?;
        let mut states = states.chunks_exact_mut(K);
        each(inputs, &kept, &rest, |elements: ArrayViewD<'_, T>| {
            if let Some(state) = states.next() {
                state.copy_from_slice(&partial(elements));
            }
        })
    };
    let kernel = closure::<P, K, _>("partial", T::DTYPE.size(), call);
    let meta = Meta::new(P::DTYPE, states);
    Expr::block(Arc::new(kernel), [(expr.clone(), Needs::blocks(rank))], meta, at)
}

/// The kernel that joins states.
fn combiner<P, const K: usize>(
    kept: &[usize],
    reduced: &[usize],
    combine: impl Fn([P; K], [P; K]) -> [P; K] + Send + Sync + 'static,
) -> Arc<dyn BlockKernel>
where
    P: Element<Repr = P> + Pod,
{
    let (kept, mut rest) = (kept.to_vec(), reduced.to_vec());
    rest.sort_unstable();
    rest.push(kept.len() + rest.len());
    let call = move |inputs: &[ChunkView<'_>], mut out: ChunkMut<'_>, _: &BlockCx| {
        let states = out.as_slice::<P>().ok_or("the states do not lie in one run")?;
        let mut states = states.chunks_exact_mut(K);
        each(inputs, &kept, &rest, |parts: ArrayViewD<'_, P>| {
            let last = Axis(parts.ndim() - 1);
            let all = parts.lanes(last).into_iter().map(|state| std::array::from_fn(|i| state[i]));
            if let (Some(state), Some(joined)) = (states.next(), all.reduce(&combine)) {
                state.copy_from_slice(&joined);
            }
        })
    };
    Arc::new(closure::<P, K, _>("combine", P::DTYPE.size(), call))
}

/// What is made of the last states.
fn finished<P, U, const K: usize>(
    states: Expr,
    made: Meta,
    finish: impl Fn([P; K]) -> U + Send + Sync + 'static,
    at: Line,
) -> Expr
where
    P: Element<Repr = P> + Pod,
    U: Element,
{
    let rank = made.grid.rank();
    let all: Vec<usize> = (0..rank).collect();
    let call = move |inputs: &[ChunkView<'_>], mut out: ChunkMut<'_>, _: &BlockCx| {
        let out = out.as_slice::<U>().ok_or("the block does not lie in one run")?;
        let mut places = out.iter_mut();
        each(inputs, &all, &[rank], |state: ArrayViewD<'_, P>| {
            if let Some(place) = places.next() {
                *place = finish(std::array::from_fn(|i| state[i])).to_repr();
            }
        })
    };
    let kernel = closure::<U, K, _>("finish", P::DTYPE.size(), call);
    let blocks = (0..rank).map(|of| Need::Block { of }).chain([Need::All]);
    Expr::block(Arc::new(kernel), [(states, Needs::new(blocks))], made, at)
}

/// Calls `each` with the box of the one block along `rest`, for each place along `kept`, in C order.
fn each<E: Element<Repr = E> + Pod>(
    inputs: &[ChunkView<'_>],
    kept: &[usize],
    rest: &[usize],
    mut each: impl FnMut(ArrayViewD<'_, E>),
) -> Result<(), String> {
    let block = inputs.first().and_then(ChunkView::as_ndarray::<E>);
    let block = block.ok_or("the block is of another dtype than the function's")?;
    let order: Vec<usize> = kept.iter().chain(rest).copied().collect();
    let block = block.permuted_axes(IxDyn(&order));
    for at in ndarray::indices(&block.shape()[..kept.len()]) {
        let mut part = block.view();
        at.slice().iter().for_each(|&at| part.index_axis_inplace(Axis(0), at));
        each(part);
    }
    Ok(())
}

/// The array without its axes of length 1 that are not `kept`.
fn without(expr: &Expr, kept: &[usize], at: Line) -> Result<Expr> {
    let shape = expr.meta()?.shape();
    let axes = (0..shape.len()).map(|axis| match kept.iter().position(|&own| own == axis) {
        Some(of) => along(of, 0, 1),
        None => AxisView::At(0),
    });
    let left: Vec<u64> = kept.iter().map(|&axis| shape[axis]).collect();
    Ok(view(expr, Access::new(axes), &left, at))
}
