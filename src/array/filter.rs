//! Elements chosen by truths that are computed, and the places of what is not zero.
//!
//! How many there are is asked first: a number for each band of rows. From these numbers the result's chunks follow,
//! one for each band that has an element, and each is filtered when it is needed. Both times the mask is computed anew;
//! nothing is kept between.

use super::{
    AnyVec, Array, Kind, Line, Operand, Term, Unsettled, arange, cast,
    differences::part,
    join::joined,
    mistake,
    ops::combine,
    order::bands,
    rearrange::PARTS,
    settle::answered,
    shape::{along, view},
};
use crate::{
    error::Result,
    expr::{Access, Expr, Need, Needs, placeless, shape_text},
    kernel::{Binary, CountTrue, Filter},
};
use freeboard_formats::{AxisGrid, DType, Dims, Grid, Meta, Scalar, region::volume};
use std::{ops::Range, panic::Location, sync::Arc};

/// The bytes of a band, of an array whose blocks are no smaller.
const BAND: u64 = 8 << 20;

/// The elements of each of `exprs`, which have one shape, for which `mask` of their first axes is true.
fn filtered(exprs: Vec<Expr>, mask: &Expr, at: Line) -> Unsettled<Vec<Expr>> {
    Unsettled::new(at, || {
        let (expr, mask) = (&exprs[0], cast(mask, DType::Bool, at));
        let (shape, truths) = (expr.meta()?.shape(), mask.meta()?.shape());
        let (rank, masked) = (shape.len(), truths.len());
        // A truth alone stands for all of the array, along a new axis.
        if masked == 0 {
            let deeper: Dims = std::iter::once(1).chain(shape.iter().copied()).collect();
            let put = Access::new((0..rank).map(|axis| along(axis + 1, 0, 1)));
            let exprs = exprs.iter().map(|expr| view(expr, put.clone(), &deeper, at)).collect();
            return banded(exprs, &view(&mask, Access::new([]), &[1], at), at);
        }
        if masked > rank {
            let message = format!(
                "a mask of shape {} for an array of shape {}",
                shape_text(&truths),
                shape_text(&shape)
            );
            return Err(mistake(at)(message));
        }
        if let Some(axis) = (0..masked).find(|&axis| truths[axis] != shape[axis]) {
            return Err(mistake(at)(format!(
                "boolean index did not match indexed array along axis {axis}; size of axis is {} but size of \
                 corresponding boolean axis is {}",
                shape[axis], truths[axis]
            )));
        }
        banded(exprs, &mask, at)
    })
}

type Answer = Box<dyn FnOnce(AnyVec) -> Result<Vec<Expr>> + Send>;

/// The question how many elements of each band are kept, and what follows from the answer.
fn banded(exprs: Vec<Expr>, mask: &Expr, at: Line) -> Result<(Expr, Answer)> {
    let masked = mask.meta()?.grid.rank();
    let whole: Vec<usize> = (1..masked).collect();
    let widest = exprs.iter().map(|expr| expr.meta()).collect::<Result<Vec<_>>>()?;
    let widest = widest.into_iter().max_by_key(|meta| meta.dtype.size()).expect("one array");
    if volume(&mask.meta()?.shape()) == 0 {
        let none = Expr::constant(Scalar::I64(0), Grid::whole(&[0]), at);
        let answer = move |_| exprs.iter().map(|expr| kept(expr, masked, None, &[], at)).collect();
        return Ok((none, Box::new(answer)));
    }
    let cuts = bands(widest, &whole, BAND);
    let mask = mask.rechunk(Grid::new(cuts[..masked].to_vec()), at);
    let one_each = Grid::new([AxisGrid::regular(cuts[0].count(), 1)]);
    let block = std::iter::once(Need::Block { of: 0 });
    let needs = Needs::new(block.chain(whole.iter().map(|_| Need::All)));
    let counts = Meta::new(DType::I64, one_each);
    let question = Expr::block(Arc::new(CountTrue), [(mask.clone(), needs)], counts, at);
    let answer = move |counts| {
        let counts: Vec<i64> = answered(counts)?;
        let cut = |expr: &Expr| {
            let expr = expr.rechunk(Grid::new(cuts.clone()), at);
            kept(&expr, masked, Some(&mask), &counts, at)
        };
        exprs.iter().map(cut).collect()
    };
    Ok((question, Box::new(answer)))
}

/// The elements of the bands of `expr`, of which `counts` are kept.
fn kept(expr: &Expr, masked: usize, mask: Option<&Expr>, counts: &[i64], at: Line) -> Result<Expr> {
    let meta = expr.meta()?;
    let rest = &meta.grid.axes()[masked..];
    let made = AxisGrid::from_sizes(counts.iter().map(|&count| count as u64));
    let grid = Grid::new(std::iter::once(made).chain(rest.iter().cloned()));
    let mut names = vec![String::new()];
    names.extend(meta.axes[masked..].iter().cloned());
    let (Some(mask), false) = (mask, grid.is_empty()) else {
        let none = Expr::constant(Scalar::zero(meta.dtype), grid, at);
        return Ok(none.described(|meta| meta.axes = names));
    };
    // Bands without an element are left out before, and so never read.
    let cuts = &meta.grid.axes()[0];
    let mut stretches: Vec<Range<u64>> = Vec::new();
    for (band, _) in (0..).zip(counts).filter(|(_, count)| **count > 0) {
        let rows = cuts.bounds(band);
        match stretches.last_mut() {
            Some(last) if last.end == rows.start => last.end = rows.end,
            _ => stretches.push(rows),
        }
    }
    if stretches.len() as u64 > PARTS {
        let message = format!(
            "elements are kept in {} stretches of blocks; at most {PARTS} can be put together",
            stretches.len()
        );
        return Err(mistake(at)(message).help("rechunk the array to larger chunks before"));
    }
    let bands = counts.iter().zip(cuts.sizes()).filter(|(count, _)| **count > 0);
    let bands = AxisGrid::from_sizes(bands.map(|(_, size)| size));
    let with_elements = |expr: &Expr| -> Result<Expr> {
        let parts = stretches.iter().map(|rows| part(expr, 0, rows.clone(), at));
        let parts = joined(parts.collect::<Result<_>>()?, 0, "filter", at)?;
        let mut axes = parts.meta()?.grid.axes().to_vec();
        axes[0] = bands.clone();
        Ok(parts.rechunk(Grid::new(axes), at))
    };
    let block = || std::iter::once(Need::Block { of: 0 });
    let whole = || (1..masked).map(|_| Need::All);
    let behind = (0..rest.len()).map(|axis| Need::Block { of: axis + 1 });
    let needs = Needs::new(block().chain(whole()).chain(behind));
    let inputs =
        [(with_elements(expr)?, needs), (with_elements(mask)?, Needs::new(block().chain(whole())))];
    let attributes = placeless(&meta.attributes);
    let made = Meta { dtype: meta.dtype, grid, axes: names, attributes };
    Ok(Expr::block(Arc::new(Filter), inputs, made, at))
}

/// The coordinates along each axis of what is not zero, and the shape.
fn places(expr: &Expr, at: Line) -> Unsettled<Vec<Expr>> {
    let coordinates = || -> Result<Vec<Expr>> {
        let shape = expr.meta()?.shape();
        let coordinate = |axis: usize| -> Result<Expr> {
            let counted = arange(0i64, shape[axis] as i64, 1);
            let counted = view(&counted.expr, Access::new([along(axis, 0, 1)]), &shape, at);
            Ok(counted.rechunk(expr.meta()?.grid.clone(), at))
        };
        (0..shape.len()).map(coordinate).collect()
    };
    match coordinates() {
        Ok(exprs) if exprs.is_empty() => {
            let message = "an array without axes has no places; `atleast_1d` gives it one";
            Unsettled::new(at, || -> Result<(Expr, Answer)> { Err(mistake(at)(message.into())) })
        }
        Ok(exprs) => filtered(exprs, expr, at),
        Err(error) => Unsettled::new(at, || -> Result<(Expr, Answer)> { Err(error) }),
    }
}

impl<T: Kind> Array<T> {
    /// The elements for which `mask` is true, in C order along one axis: NumPy's `x[mask]`. The mask has the array's first
    /// axes, or all; what lies along the others stays together.
    ///
    /// How many there are is known when a session has counted them. The result is lazy as all arrays are: its chunks are
    /// filtered when they are needed, in the memory of a few of the array's own.
    /// ```
    /// use freeboard::{Session, array::arange};
    ///
    /// let session = Session::builder().memory("128MiB").build()?;
    /// let x = arange(0i64, 10, 1).reshape([2, 5]);
    /// let odd = session.settle(x.filter(&(&x & 1i64).cast::<bool>()))?;
    /// assert_eq!(odd.shape()?, [5]);
    /// let (odd, mean) = session.compute((&odd, odd.mean(0).item()))?;
    /// assert_eq!(odd.as_slice().unwrap(), [1, 3, 5, 7, 9]);
    /// assert_eq!(mean, 5.0);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn filter(&self, mask: &Array<bool>) -> Unsettled<Array<T>> {
        let at = Location::caller();
        filtered(vec![self.expr.clone()], &mask.expr, at)
            .map(|exprs| Ok(Array::from_expr(exprs.into_iter().next().expect("one of one"))))
    }

    /// The places of what is not zero: an array for each axis, with its coordinates.
    #[track_caller]
    pub fn nonzero(&self) -> Unsettled<Vec<Array<i64>>> {
        let places = places(&self.expr, Location::caller());
        places.map(|exprs| Ok(exprs.into_iter().map(Array::from_expr).collect()))
    }

    /// The coordinates of what is not zero, a row for each element.
    #[track_caller]
    pub fn argwhere(&self) -> Unsettled<Array<i64>> {
        let at = Location::caller();
        places(&self.expr, at).map(move |exprs| {
            let column = |expr: &Expr| -> Result<Expr> {
                let count = expr.meta()?.shape()[0];
                Ok(view(expr, Access::new([along(0, 0, 1)]), &[count, 1], at))
            };
            let columns = exprs.iter().map(column).collect::<Result<_>>()?;
            Ok(Array::from_expr(joined(columns, 1, "argwhere", at)?))
        })
    }

    /// The C-order indices of what is not zero.
    #[track_caller]
    pub fn flatnonzero(&self) -> Unsettled<Array<i64>> {
        let at = Location::caller();
        let shape = self.expr.meta().map(Meta::shape).unwrap_or_default();
        places(&self.expr, at).map(move |exprs| {
            let mut index: Option<Array<i64>> = None;
            for (coordinates, len) in exprs.into_iter().zip(shape) {
                let coordinates = Array::<i64>::from_expr(coordinates);
                index = Some(match index {
                    None => coordinates,
                    Some(index) => {
                        let len: Term = Operand::<i64>::term(len as i64);
                        let rows = combine(Binary::Multiply, index.term(), len, at);
                        let rows = Array::<i64>::from_expr(rows);
                        Array::from_expr(combine(Binary::Add, rows.term(), coordinates.term(), at))
                    }
                });
            }
            Ok(index.expect("one axis at least"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Settle, zeros};
    use super::*;

    /// Says that every block keeps one element.
    struct Ones;

    impl Settle for Ones {
        fn elements(&self, question: &Expr) -> Result<AnyVec> {
            let mut ones = vec![1i64; question.meta()?.shape()[0] as usize];
            if ones.len() > 2 {
                ones[1] = 0;
            }
            Ok(AnyVec::I64(ones))
        }
    }

    #[test]
    fn shapes_and_mistakes() {
        let x = Array::chunked(&ndarray::Array3::<f32>::zeros((7, 4, 5)), [2, 3, 4]);
        let shape = |mask: &Array<bool>| x.filter(mask).settled(&Ones).map(|x| x.chunks().unwrap());
        assert_eq!(shape(&x.greater(0.0)).unwrap(), [[1, 1, 1]]);
        assert_eq!(shape(&zeros::<bool>([7])).unwrap(), [vec![1; 3], vec![3, 1], vec![4, 1]]);
        assert_eq!(shape(&zeros::<bool>(Vec::<i64>::new())).unwrap()[0], [1]);
        assert_eq!(x.argwhere().settled(&Ones).unwrap().shape().unwrap(), [3, 3]);
        assert_eq!(x.flatnonzero().settled(&Ones).unwrap().shape().unwrap(), [3]);
        let empty = zeros::<i8>([0, 3]);
        let none = empty.filter(&empty.cast::<bool>()).settled(&Ones).unwrap();
        assert_eq!(none.shape().unwrap(), [0]);
        let error = shape(&zeros::<bool>([7, 3])).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "boolean index did not match indexed array along axis 1; size of axis is 4"
            ),
            "{error}"
        );
        let error = shape(&zeros::<bool>([7, 4, 5, 1])).unwrap_err().to_string();
        assert!(
            error.starts_with("a mask of shape (7, 4, 5, 1) for an array of shape (7, 4, 5) at"),
            "{error}"
        );
        let error =
            zeros::<i8>(Vec::<i64>::new()).nonzero().settled(&Ones).unwrap_err().to_string();
        assert!(error.starts_with("an array without axes has no places"), "{error}");
    }
}
