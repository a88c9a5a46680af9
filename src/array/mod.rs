//! [`Array`]: lazy N-dimensional arrays, and the verbs that make new ones of them.
//!
//! A handle is an [`Expr`] and a [`Kind`]. Verbs only build expressions: none reads, computes,
//! fails or panics; a mistake is kept in the expression with the line that made it, which is
//! why every verb tracks its caller. What computes is the session.
//!
//! | file | owns |
//! |---|---|
//! | `kind` | [`Kind`], [`Dyn`]: typed and untyped handles, and the types that verbs give |
//! | `any` | [`AnyVec`], [`AnyArray`]: elements whose dtype is known at run time |
//! | `shown` | elements as text |
//! | `args` | [`Axes`], [`Sizes`], [`Chunks`]: what verbs are told beside arrays |
//! | `ops` | operators and functions of two arrays, dtype promotion |
//! | `elementwise` | functions of one element |
//! | `reduce` | reductions, and [`Rebinned`] |
//! | `reshape` | other shapes of the same elements |
//! | `take` | elements chosen by lists of places, and by arrays of them |
//! | `filter` | elements chosen by truths that are computed |
//! | `unique` | [`Unique`]: distinct values |
//! | `search` | where elements stand among sorted ones |
//! | `settle` | [`Unsettled`]: what has to be looked at before it is an array |
//! | `scan` | running sums and products |
//! | `shape` | slices, transposes, new and dropped axes, rechunk |
//! | `histogram` | histograms and counts |
//! | `statistics` | covariances and correlations |
//! | `edit` | elements put in and left out |
//! | `order` | sorts, medians and other quantiles |
//! | `rearrange` | rolls, tiles, quarter turns, parts |
//! | `pad` | [`Pad`]: elements put around an array |
//! | `partials` | what blocks were reduced to, joined in a tree |
//! | `differences` | differences, gradients and integrals along an axis |
//! | `join` | [`stack`], [`concatenate`], [`block`] |
//! | `slice_str` | slices as NumPy writes them |
//! | `create` | arrays from numbers alone: constants and ranges |
//! | `random` | [`Random`]: random arrays, and their generator |
//! | `matrices` | diagonals, triangles, coordinates |
//! | `linalg` | factorisations of matrices, least squares |
//! | `products` | products of matrices, and sums of products over any axes |
//! | `combine` | [`Combine`]: frames combined into one |
//! | `from_delayed` | arrays of which delayed functions make the blocks, and back |
//! | `fromfunction` | arrays made by a function of coordinates |
//! | `generated` | the source behind them |
//! | `functions` | functions of one element and block kernels that users hand in |
//! | `blocks` | [`map_blocks`]: functions of whole blocks |
//! | `along` | functions of whole lines |
//! | `reduction` | reductions that users hand in |
//! | `compute` | [`Compute`]: what a session can compute |

mod along;
mod any;
mod args;
mod blocks;
mod combine;
mod compute;
mod create;
mod differences;
mod edit;
mod elementwise;
mod filter;
mod from_delayed;
mod fromfunction;
mod functions;
mod generated;
mod histogram;
mod join;
mod kind;
mod linalg;
mod matrices;
mod ops;
mod order;
mod pad;
mod partials;
mod products;
mod random;
mod rearrange;
mod reduce;
mod reduction;
mod reshape;
mod scan;
mod search;
mod settle;
mod shape;
mod shown;
mod slice_str;
mod statistics;
mod take;
mod unique;

pub use crate::kernel::Method;
pub use any::{AnyArray, AnyVec};
pub use args::{Axes, Bytes, Chunks, Sizes, keepdims};
pub(crate) use args::{axis_of, fitted};
pub(crate) use blocks::put;
pub use blocks::{BlockInputs, BlockTypes, Blocks, map_blocks};
pub use combine::Combine;
pub use compute::{Compute, Computed, Root};
pub use create::{
    Counting, Step, arange, full, full_like, linspace, ones, ones_like, zeros, zeros_like,
};
pub use from_delayed::from_delayed;
pub use fromfunction::fromfunction;
pub use functions::blockwise;
pub use histogram::{BinEdges, histogramdd};
pub use join::{block, concatenate, dstack, hstack, stack, vstack};
pub use kind::{Dyn, Kind};
pub use linalg::{LeastSquares, Svd};
pub use matrices::{Indexing, diag, eye, indices, meshgrid};
pub use ops::{Operand, Term};
pub use pad::{Pad, PadWidths};
pub(crate) use partials::joined;
pub use random::{Random, random};
pub use reduce::Rebinned;
pub use settle::{Settle, Unsettled};
pub(crate) use shape::{broadcast, rechunked, view};
pub(crate) use slice_str::{Part, range};
pub use unique::Unique;

use crate::{
    error::{Error, Result},
    expr::{Expr, Op, shape_text},
    kernel,
    memory::format_bytes,
};
use freeboard_formats::{ChunkSource, DType, Element, Grid, Meta, memory::MemorySource};
use ndarray::{ArrayBase, Data, Dimension};
use std::{fmt, marker::PhantomData, panic::Location, sync::Arc};

/// The line of the user's program that a verb was called on.
pub(crate) type Line = &'static Location<'static>;

/// A lazy N-dimensional array: an expression with a dtype, a shape and chunks. A cheap handle.
///
/// `T` is an element type, or [`Dyn`] where files decide. Verbs and operators build new
/// arrays; a mistake is kept with the line that made it, and told by [`Array::meta`] and by
/// whatever computes.
pub struct Array<T: Kind = Dyn> {
    expr: Expr,
    kind: PhantomData<fn() -> T>,
}

impl<T: Kind> Clone for Array<T> {
    fn clone(&self) -> Array<T> {
        Array::from_expr(self.expr.clone())
    }
}

/// What `build` gives, or its error kept as an expression of the line `at`.
pub(crate) fn kept(at: Line, build: impl FnOnce() -> Result<Expr>) -> Expr {
    build().unwrap_or_else(|error| Expr::failed(error, at))
}

/// A mistake that the line `at` made.
pub(crate) fn mistake(at: Line) -> impl Fn(String) -> Error {
    move |message| Error::expression(message, at)
}

/// `expr` converted to `dtype`; itself if it has it.
pub(crate) fn cast(expr: &Expr, dtype: DType, at: Line) -> Expr {
    match (expr.meta(), expr.op()) {
        (Ok(meta), _) if meta.dtype == dtype => expr.clone(),
        (Ok(meta), Op::Constant(value)) => {
            let names = meta.axes.clone();
            Expr::constant(value.cast(dtype), meta.grid.clone(), at)
                .described(|meta| meta.axes = names)
        }
        (Ok(meta), _) => Expr::apply(kernel::cast(meta.dtype, dtype), &[expr], at),
        (Err(_), _) => expr.clone(),
    }
}

impl Array {
    /// The elements of a source, as they are.
    #[track_caller]
    pub fn from_source(source: Arc<dyn ChunkSource>) -> Array {
        Array::from_expr(Expr::source(source, Location::caller()))
    }
}

impl<T: Kind> Array<T> {
    pub(crate) fn expr(&self) -> &Expr {
        &self.expr
    }

    /// The handle of an expression, which has the dtype of `T` or is a mistake.
    pub(crate) fn from_expr(expr: Expr) -> Array<T> {
        debug_assert!(
            expr.meta().map_or(true, |meta| T::DTYPE.is_none_or(|dtype| dtype == meta.dtype)),
            "{expr:?} has the dtype of its handle"
        );
        Array { expr, kind: PhantomData }
    }

    fn build<U: Kind>(at: Line, build: impl FnOnce() -> Result<Expr>) -> Array<U> {
        Array::from_expr(kept(at, build))
    }

    /// Dtype, shape, chunks, names of axes, and attributes.
    ///
    /// # Errors
    /// If a mistake was made, in this array or one that it is built on.
    pub fn meta(&self) -> Result<&Meta> {
        self.expr.meta()
    }

    /// The type of the elements.
    ///
    /// # Errors
    /// As [`Array::meta`].
    pub fn dtype(&self) -> Result<DType> {
        Ok(self.meta()?.dtype)
    }

    /// The number of elements along each axis.
    ///
    /// # Errors
    /// As [`Array::meta`].
    pub fn shape(&self) -> Result<Vec<usize>> {
        Ok(self.meta()?.grid.axes().iter().map(|axis| axis.len() as usize).collect())
    }

    /// The number of axes.
    ///
    /// # Errors
    /// As [`Array::meta`].
    pub fn rank(&self) -> Result<usize> {
        Ok(self.meta()?.grid.rank())
    }

    /// The bytes of all elements (saturating).
    ///
    /// # Errors
    /// As [`Array::meta`].
    pub fn nbytes(&self) -> Result<u64> {
        Ok(self.meta()?.bytes().unwrap_or(u64::MAX))
    }

    /// The lengths of all chunks along each axis.
    ///
    /// # Errors
    /// As [`Array::meta`].
    pub fn chunks(&self) -> Result<Vec<Vec<u64>>> {
        Ok(self.meta()?.grid.axes().iter().map(|axis| axis.sizes().collect()).collect())
    }

    /// The length of the longest chunk along each axis.
    ///
    /// # Errors
    /// As [`Array::meta`].
    pub fn chunksize(&self) -> Result<Vec<u64>> {
        Ok(self.meta()?.grid.max_chunk().to_vec())
    }

    /// The number of chunks along each axis.
    ///
    /// # Errors
    /// As [`Array::meta`].
    pub fn numblocks(&self) -> Result<Vec<u64>> {
        Ok(self.meta()?.grid.counts().to_vec())
    }

    /// The elements as `U`s, converted as Rust's `as` does it: floats are truncated and
    /// saturate, integers keep their low bits, to `bool` is "not zero".
    #[track_caller]
    pub fn cast<U: Element + Kind>(&self) -> Array<U> {
        Array::from_expr(cast(&self.expr, <U as Element>::DTYPE, Location::caller()))
    }

    /// The elements converted to `dtype`, as [`Array::cast`] does it.
    #[track_caller]
    pub fn cast_to(&self, dtype: DType) -> Array {
        Array::from_expr(cast(&self.expr, dtype, Location::caller()))
    }

    /// This array, whose elements must be `U`s already.
    ///
    /// # Errors
    /// If they are not, or a mistake was made.
    #[track_caller]
    pub fn typed<U: Element + Kind>(&self) -> Result<Array<U>> {
        let (have, asked) = (self.dtype()?, <U as Element>::DTYPE);
        if have == asked {
            return Ok(Array::from_expr(self.expr.clone()));
        }
        let error =
            mistake(Location::caller())(format!("an array of {have} is not one of {asked}"));
        Err(error.help("`.cast::<T>()` converts the elements"))
    }

    /// The same array, its dtype known at run time only.
    pub fn to_dyn(&self) -> Array {
        Array::from_expr(self.expr.clone())
    }
}

impl<T: Element + Kind> Array<T> {
    /// A copy of an array in memory, in chunks of about 16 MiB.
    #[track_caller]
    pub fn from_ndarray<S: Data<Elem = T>, D: Dimension>(array: &ArrayBase<S, D>) -> Array<T> {
        Array::chunked(array, Chunks::bytes(create::CHUNK))
    }

    /// A copy of an array in memory, cut as `chunks` says.
    #[track_caller]
    pub fn chunked<S: Data<Elem = T>, D: Dimension>(
        array: &ArrayBase<S, D>,
        chunks: impl Into<Chunks>,
    ) -> Array<T> {
        let at = Location::caller();
        Array::<T>::build(at, || {
            let shape: Vec<u64> = array.shape().iter().map(|&len| len as u64).collect();
            let meta = Meta::new(<T as Element>::DTYPE, Grid::whole(&shape));
            let grid = chunks.into().grid(&meta).map_err(mistake(at))?;
            let source =
                MemorySource::new(array, &vec![0; shape.len()]).with_meta(|meta| meta.grid = grid);
            Ok(Expr::source(Arc::new(source), at))
        })
    }
}

impl<T: Kind> fmt::Display for Array<T> {
    /// One line: `float32 (4, 400) · chunks (1, 400) × 4 · 6.3 KiB · src/main.rs:14`; of a
    /// mistake, the mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meta = match self.meta() {
            Ok(meta) => meta,
            Err(error) => return write!(f, "{error}"),
        };
        write!(f, "{} {}", meta.dtype, shape_text(&meta.shape()))?;
        let named: Vec<&str> =
            meta.axes.iter().map(|name| if name.is_empty() { "_" } else { name }).collect();
        if named.iter().any(|&name| name != "_") {
            write!(f, " · axes {}", named.join(", "))?;
        }
        write!(f, " · chunks {} × {}", meta.grid, meta.grid.len())?;
        write!(f, " · {}", format_bytes(meta.bytes().unwrap_or(u64::MAX)))?;
        let origin = self.expr.origin();
        write!(f, " · {}:{}", origin.file(), origin.line())
    }
}

impl<T: Kind> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr2, array};

    #[test]
    fn what_a_handle_says() {
        let x = Array::chunked(&arr2(&[[1i16, 2, 3], [4, 5, 6]]), [1, 2]);
        assert_eq!(x.dtype().unwrap(), DType::I16);
        assert_eq!(x.shape().unwrap(), [2, 3]);
        assert_eq!((x.rank().unwrap(), x.nbytes().unwrap()), (2, 12));
        assert_eq!(x.chunks().unwrap(), [vec![1, 1], vec![2, 1]]);
        assert_eq!((x.chunksize().unwrap(), x.numblocks().unwrap()), (vec![1, 2], vec![2, 2]));
        let text = x.to_string();
        assert!(text.starts_with("int16 (2, 3) · chunks (1, 2) × 4 · 12 B · "), "{text}");
        assert!(text.contains("mod.rs:"), "{text}");
        let named =
            Array::<i16>::from_expr(x.expr().described(|meta| meta.axes[1] = "time".into()));
        assert!(named.to_string().contains("(2, 3) · axes _, time · "), "{named}");
    }

    #[test]
    fn typed_insists_and_cast_converts() {
        let x = Array::from_ndarray(&array![1.5f32]).to_dyn();
        assert_eq!(x.typed::<f32>().unwrap().dtype().unwrap(), DType::F32);
        let error = x.typed::<f64>().unwrap_err();
        assert!(
            error.to_string().starts_with("an array of float32 is not one of float64 at "),
            "{error}"
        );
        assert_eq!(x.cast::<u8>().dtype().unwrap(), DType::U8);
        assert_eq!(x.cast_to(DType::Bool).dtype().unwrap(), DType::Bool);
        assert!(matches!(zeros::<f32>([3]).cast::<i8>().expr().op(), Op::Constant(_)));
    }

    #[test]
    fn a_mistake_is_kept_with_its_line() {
        let x = Array::chunked(&array![1.5f32], [0]);
        let line = line!() - 1;
        let y = (&x + &x).sum(..);
        let text = y.meta().unwrap_err().to_string();
        assert!(text.starts_with("a chunk of 0 elements along axis 0; "), "{text}");
        assert!(text.ends_with(&format!("mod.rs:{line}")), "{text}");
        assert_eq!(y.to_string(), text);
    }
}
