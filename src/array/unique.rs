//! `unique`: the distinct values of an array, how often each occurs, and where.
//!
//! Each block makes a table of its distinct values; tables are merged, a few at a time, until there is one. How many values there may be at the most is said before: that
//! fixes how long a table is, whatever the number of elements.

use super::{
    AnyVec, Array, Dyn, Kind, Line, Unsettled, mistake, search::places_in, settle::answered,
    shape::view,
};
use crate::{
    error::{Error, Result},
    expr::{Access, Expr, Need, Needs},
    kernel::{Distinct, MergeDistinct, put_values, table_words},
};
use freeboard_formats::{
    AxisGrid, DType, Element, Grid, Meta, Scalar, memory::MemorySource, region::volume, with_dtype,
};
use ndarray::ArrayView1;
use std::{panic::Location, sync::Arc};

/// Bytes of tables that are merged at once, where these are large.
const MERGED: u64 = 32 << 20;

/// The distinct values of an array.
#[derive(Clone, Debug)]
pub struct Unique<T: Kind = Dyn> {
    /// The values in rising order; NaN once, and last.
    pub values: Array<T>,
    /// How often each occurs.
    pub counts: Array<i64>,
    /// The C-order index of the first element that has it.
    pub index: Array<i64>,
    /// For each element of the array, the place of its value among the values.
    pub inverse: Array<i64>,
}

/// How many distinct values a dtype has, as far as that is few.
fn possible(dtype: DType) -> u64 {
    match dtype {
        DType::Bool => 2,
        DType::U8 | DType::I8 => 1 << 8,
        DType::U16 | DType::I16 => 1 << 16,
        _ => u64::MAX,
    }
}

/// One table of all distinct values, of which there are `most` at the most.
fn table(expr: &Expr, most: u64, at: Line) -> Result<Expr> {
    let meta = expr.meta()?;
    let expr = match meta.grid.rank() {
        0 => view(expr, Access::new([]), &[1], at),
        _ => expr.clone(),
    };
    let meta = expr.meta()?;
    let (grid, rank) = (&meta.grid, meta.grid.rank());
    let most = most.min(possible(meta.dtype));
    let mut values = most.min(volume(&grid.max_chunk()));
    let blocks = grid.axes().iter().map(|axis| AxisGrid::regular(axis.count(), 1));
    let made = Grid::new(blocks.chain([AxisGrid::whole(table_words(values))]));
    let kernel = Distinct { dtype: meta.dtype, shape: grid.shape().to_vec() };
    let needs = Needs::new((0..rank).map(|of| Need::Block { of }));
    let made = Meta::new(DType::U64, made);
    let mut tables = Expr::block(Arc::new(kernel), [(expr, needs)], made, at);
    loop {
        let mut cuts = tables.meta()?.grid.axes().to_vec();
        let Some(axis) = (0..rank).rev().find(|&axis| cuts[axis].len() > 1) else { break };
        let len = cuts[axis].len();
        let together = (MERGED / (8 * table_words(values))).clamp(2, 16).min(len);
        values = most.min(values.saturating_mul(together));
        cuts[axis] = AxisGrid::regular(len, together);
        let input = tables.rechunk(Grid::new(cuts.clone()), at);
        cuts[axis] = AxisGrid::regular(len.div_ceil(together), 1);
        cuts[rank] = AxisGrid::whole(table_words(values));
        let block = (0..rank).map(|of| Need::Block { of });
        let needs = Needs::new(block.chain([Need::All]));
        let made = Meta::new(DType::U64, Grid::new(cuts));
        tables = Expr::block(Arc::new(MergeDistinct), [(input, needs)], made, at);
    }
    Ok(tables)
}

/// An array in memory.
fn known<T: Element<Repr = T> + bytemuck::Pod>(values: &[T], at: Line) -> Expr {
    let source = MemorySource::new(&ArrayView1::from(values), &[0]);
    Expr::source(Arc::new(source), at)
}

impl<T: Kind> Array<T> {
    /// The distinct values, and how often each occurs and where. There may be `most` at the most (65536 is a good number): more end the
    /// run with an error. A table of 24 bytes for each of so many is held for each thread.
    /// ```
    /// use freeboard::{Array, Session, array::arange};
    ///
    /// let session = Session::builder().memory("128MiB").build()?;
    /// let x: Array<i64> = arange(0i64, 10, 1) % 3i64;
    /// let found = session.settle(x.unique(100))?;
    /// let (values, counts) = session.compute((&found.values, &found.counts))?;
    /// assert_eq!(values.as_slice().unwrap(), [0, 1, 2]);
    /// assert_eq!(counts.as_slice().unwrap(), [4, 3, 3]);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn unique(&self, most: u64) -> Unsettled<Unique<T>> {
        let at = Location::caller();
        let expr = self.expr.clone();
        Unsettled::new(at, || {
            let meta = expr.meta()?;
            let dtype = meta.dtype;
            if most == 0 {
                return Err(mistake(at)("0 distinct values; one at least is looked for".into()));
            }
            let question = match meta.shape().contains(&0) {
                true => Expr::constant(Scalar::U64(0), Grid::whole(&[1]), at),
                false => table(&expr, most, at)?,
            };
            let answer = move |words: AnyVec| {
                let words: Vec<u64> = answered(words)?;
                let (len, entries) =
                    words.split_first().ok_or_else(|| Error::internal("a table"))?;
                let entries = &bytemuck::cast_slice::<u64, [u64; 3]>(entries)[..*len as usize];
                let mut values = AnyVec::zeroed(dtype, entries.len());
                let keys = entries.iter().map(|entry| entry[0]);
                put_values(dtype, keys, values.as_bytes_mut());
                let values = with_dtype!(dtype, T => {
                    Array::from_ndarray(&ArrayView1::from(&values.into_typed::<T>()?)).to_dyn().expr
                });
                let part = |of: usize| -> Vec<i64> {
                    entries.iter().map(|entry| entry[of] as i64).collect()
                };
                let inverse = places_in(&values, &expr, false, at)?;
                Ok(Unique {
                    values: Array::from_expr(values),
                    counts: Array::from_expr(known(&part(1), at)),
                    index: Array::from_expr(known(&part(2), at)),
                    inverse: Array::from_expr(inverse),
                })
            };
            Ok((question, answer))
        })
    }
}
