//! `apply_along_axis`: functions of whole lines.

use super::{
    Array, Blocks, Kind, Line, args::axis_of, blocks::mapped, kept, mistake, order::bands,
    shape::rechunked,
};
use crate::kernel::BlockCx;
use bytemuck::Pod;
use freeboard_formats::{Element, Grid};
use ndarray::{Array1, ArrayD, ArrayView1, ArrayViewD, Axis, IxDyn};
use std::panic::Location;

/// The bytes of lines that a block is made of, about.
const BAND: u64 = 8 << 20;

impl<T: Element<Repr = T> + Kind + Pod> Array<T> {
    /// `function` of every line along `axis`, which the result has not: a value of each line.
    ///
    /// A block holds whole lines, as many as 8 MiB do.
    /// ```
    /// use freeboard::{Session, array::arange};
    ///
    /// let x = arange::<i64>(0, 12, 1).reshape([3, 4]);
    /// let odd = x.apply_along_axis(1, |line| line.iter().filter(|&&v| v % 2 == 1).count() as i64);
    /// let session = Session::builder().memory("128MiB").build()?;
    /// assert_eq!(session.compute(&odd)?, ndarray::array![2i64, 2, 2].into_dyn());
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn apply_along_axis<U, F>(&self, axis: i64, function: F) -> Array<U>
    where
        U: Element + Kind,
        F: Fn(ArrayView1<'_, T>) -> U + Send + Sync + 'static,
    {
        let at = Location::caller();
        self.of_lines(axis, None, at, move |block: ArrayViewD<'_, T>, axis, _| {
            let values: Vec<U> = block.lanes(Axis(axis)).into_iter().map(&function).collect();
            let mut shape = block.shape().to_vec();
            shape.remove(axis);
            shaped(&shape, values)
        })
    }

    /// `function` of every line along `axis`, which becomes a line of `len` elements.
    /// ```
    /// use freeboard::{Session, array::arange};
    ///
    /// let x = arange::<i64>(0, 12, 1).reshape([3, 4]);
    /// let ends = x.apply_along_axis_to(0, 2, |line| ndarray::array![line[0], line[2]]);
    /// assert_eq!(ends.shape()?, [2, 4]);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn apply_along_axis_to<U, F>(&self, axis: i64, len: u64, function: F) -> Array<U>
    where
        U: Element + Kind,
        F: Fn(ArrayView1<'_, T>) -> Array1<U> + Send + Sync + 'static,
    {
        let at = Location::caller();
        self.of_lines(axis, Some(len), at, move |block: ArrayViewD<'_, T>, axis, _| {
            let lines = block.lanes(Axis(axis)).into_iter();
            let lines: Vec<Array1<U>> = lines.map(&function).collect();
            // One of another length is found where the block is put.
            let wrong = lines.iter().find(|line| line.len() as u64 != len);
            let len = wrong.map_or(len as usize, Array1::len);
            let mut shape = block.shape().to_vec();
            shape.remove(axis);
            shape.push(len);
            let values = lines
                .iter()
                .flat_map(|line| (0..len).map(|i| line.get(i).copied().unwrap_or_default()));
            let mut made = shaped(&shape, values.collect()).into_dyn();
            // The new axis is the last, and belongs where the old one was.
            for to in (axis + 1..shape.len()).rev() {
                made.swap_axes(to - 1, to);
            }
            made
        })
    }

    fn of_lines<U, F>(&self, axis: i64, len: Option<u64>, at: Line, function: F) -> Array<U>
    where
        U: Element + Kind,
        F: Fn(ArrayViewD<'_, T>, usize, &BlockCx) -> ArrayD<U> + Send + Sync + 'static,
    {
        Array::from_expr(kept(at, || {
            let meta = self.meta()?;
            let axis = axis_of(axis, meta.grid.rank()).map_err(mistake(at))?;
            let grid = Grid::new(bands(meta, &[axis], BAND));
            let lines = rechunked(&self.expr, grid, at);
            let blocks = Blocks::same().without(axis);
            let blocks = match len {
                Some(len) => blocks.with_axis(axis as i64, len),
                None => blocks,
            };
            let whole =
                move |(block,): (ArrayViewD<'_, T>,), cx: &BlockCx| function(block, axis, cx);
            mapped::<(T,), U, _>(&[lines], &blocks, whole, at)
        }))
    }
}

/// Values in C order as an array, of which there are as many as the shape says.
fn shaped<U: Element>(shape: &[usize], values: Vec<U>) -> ArrayD<U> {
    ArrayD::from_shape_vec(IxDyn(shape), values).unwrap_or_default()
}
