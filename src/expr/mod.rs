//! Expressions: what is meant, before it is known how it will be computed.
//!
//! An [`Expr`] is a node of a graph without cycles: an operation, its inputs, and the
//! dtype, shape and grid that follow from them. Building one never fails: a mistake is kept
//! in the node with the line that made it, and in everything built on it. Graphs may be a
//! million nodes deep, so nothing here recurses, dropping included.

mod access;
mod need;
mod unify;

pub use access::{Access, AxisView};
pub use need::{Need, Needs};
pub(crate) use unify::{broadcast_shape, shape_text};

use crate::{
    error::{Error, Result},
    kernel::{BlockKernel, Elementwise, Fold},
};
use freeboard_formats::{
    Attributes, AxisGrid, ChunkSource, Dims, Grid, Meta, Scalar, region::checked_volume,
};
use smallvec::SmallVec;
use std::{fmt, panic::Location, sync::Arc};
use unify::MOST_CUTS;

/// What a node does with its inputs. Closed: passes match on it exhaustively.
#[derive(Clone, Debug)]
pub enum Op {
    /// Elements at rest, or made from their coordinates.
    Source(Arc<dyn ChunkSource>),
    /// One value everywhere.
    Constant(Scalar),
    /// A strided selection of the one input.
    View(Access),
    /// The inputs one after the other along an axis.
    Concat {
        /// The axis.
        axis: usize,
        /// Where each input begins along it, and where the last ends.
        offsets: Arc<[u64]>,
    },
    /// The one input's elements on another grid.
    Rechunk,
    /// A function of the elements at one place; inputs have the node's shape, or are constants.
    Apply(Arc<dyn Elementwise>),
    /// A reduction over boxes of `bins` elements of the one input; the node has one element a box.
    Fold {
        /// What is done to the elements of a box.
        fold: Arc<dyn Fold>,
        /// The length of a box along each axis; it divides the input's.
        bins: Dims,
    },
    /// A function of whole blocks: each block of the node is made from a box of each input.
    Block {
        /// The function.
        kernel: Arc<dyn BlockKernel>,
        /// Which box: one for each input.
        needs: Arc<[Needs]>,
    },
}

/// A node and everything below it; a cheap handle.
#[derive(Clone)]
pub struct Expr(Arc<Node>);

/// One operation of a graph.
pub struct Node {
    op: Op,
    inputs: SmallVec<[Expr; 2]>,
    meta: Result<Arc<Meta>>,
    origin: &'static Location<'static>,
}

impl Drop for Node {
    fn drop(&mut self) {
        // One after the other, not one inside the other: a chain may be a million nodes deep.
        let mut last: Vec<Expr> = self.inputs.drain(..).collect();
        while let Some(expr) = last.pop() {
            if let Some(mut node) = Arc::into_inner(expr.0) {
                last.extend(node.inputs.drain(..));
            }
        }
    }
}

impl Expr {
    fn new(
        op: Op,
        inputs: impl IntoIterator<Item = Expr>,
        meta: Result<Arc<Meta>>,
        origin: &'static Location<'static>,
    ) -> Expr {
        let meta = meta.and_then(|meta| match countable(&meta.grid, origin) {
            Ok(()) => Ok(meta),
            Err(error) => Err(error),
        });
        Expr(Arc::new(Node { op, inputs: inputs.into_iter().collect(), meta, origin }))
    }

    /// A mistake, kept where its array would be.
    pub fn failed(error: Error, origin: &'static Location<'static>) -> Expr {
        Expr::new(Op::Constant(Scalar::F64(f64::NAN)), [], Err(error), origin)
    }

    /// The elements of a source.
    pub fn source(source: Arc<dyn ChunkSource>, origin: &'static Location<'static>) -> Expr {
        let meta = Arc::new(source.meta().clone());
        Expr::new(Op::Source(source), [], Ok(meta), origin)
    }

    /// One value at every place of `grid`.
    pub fn constant(value: Scalar, grid: Grid, origin: &'static Location<'static>) -> Expr {
        let meta = Arc::new(Meta::new(value.dtype(), grid));
        Expr::new(Op::Constant(value), [], Ok(meta), origin)
    }

    /// A strided selection, of shape `shape`; `access` has an axis for each of this node's.
    pub fn view(&self, access: Access, shape: &[u64], origin: &'static Location<'static>) -> Expr {
        let meta = self.meta().map(|meta| {
            let mut axes = vec![String::new(); shape.len()];
            for (name, axis) in meta.axes.iter().zip(access.axes()) {
                if let AxisView::Along { of, .. } = axis {
                    axes[*of].clone_from(name);
                }
            }
            Arc::new(Meta {
                dtype: meta.dtype,
                grid: access.grid(&meta.grid, shape),
                axes,
                attributes: placeless(&meta.attributes),
            })
        });
        // A view of a view is one view of what lies below.
        match (&self.0.op, &self.0.meta) {
            (Op::View(below), Ok(_)) => {
                let access = below.then(&access);
                Expr::new(Op::View(access), self.0.inputs.iter().cloned(), meta, origin)
            }
            (Op::Constant(value), Ok(_)) => Expr::new(Op::Constant(*value), [], meta, origin),
            _ => Expr::new(Op::View(access), [self.clone()], meta, origin),
        }
    }

    /// The same elements on another grid, which has the same shape.
    pub fn rechunk(&self, grid: Grid, origin: &'static Location<'static>) -> Expr {
        let meta = self.meta().map(|meta| {
            debug_assert_eq!(meta.grid.shape(), grid.shape());
            Arc::new(Meta { grid: grid.clone(), ..meta.clone() })
        });
        match &self.0.meta {
            Ok(meta) if meta.grid == grid => self.clone(),
            _ => Expr::new(Op::Rechunk, [self.clone()], meta, origin),
        }
    }

    /// `kernel` at every place; inputs broadcast, and have the dtypes that it asks for.
    pub fn apply(
        kernel: Arc<dyn Elementwise>,
        inputs: &[&Expr],
        origin: &'static Location<'static>,
    ) -> Expr {
        let unified = unify::unify(inputs, &kernel.name(), origin);
        let meta = unified.as_ref().map_err(Clone::clone).map(|(meta, _)| {
            if meta.dtype == kernel.output() {
                meta.clone()
            } else {
                Arc::new(Meta { dtype: kernel.output(), ..(**meta).clone() })
            }
        });
        let inputs = unified.map_or_else(|_| SmallVec::new(), |(_, inputs)| inputs);
        debug_assert!(
            inputs.iter().zip(kernel.inputs()).all(|(i, d)| i.meta().is_ok_and(|m| m.dtype == *d)),
            "inputs of {} have its dtypes",
            kernel.name()
        );
        Expr::new(Op::Apply(kernel), inputs, meta, origin)
    }

    /// A reduction over boxes of `bins` elements, each of which divides the axis' length and
    /// is not 0. Chunks that a box would straddle are cut anew before.
    pub fn fold(
        &self,
        fold: Arc<dyn Fold>,
        bins: &[u64],
        origin: &'static Location<'static>,
    ) -> Expr {
        let aligned = match self.meta() {
            Ok(meta) => self.rechunk(unify::aligned(&meta.grid, bins), origin),
            Err(_) => self.clone(),
        };
        let meta = aligned.meta().map(|meta| {
            let grid =
                Grid::new(meta.grid.axes().iter().zip(bins).map(|(axis, &bin)| folded(axis, bin)));
            let attributes = placeless(&meta.attributes);
            Arc::new(Meta { dtype: fold.output(), grid, attributes, ..meta.clone() })
        });
        Expr::new(Op::Fold { fold, bins: bins.into() }, [aligned], meta, origin)
    }

    /// The same reduction by another fold, of the same dtypes.
    pub(crate) fn with_fold(&self, fold: Arc<dyn Fold>) -> Expr {
        let Op::Fold { bins, .. } = self.op() else { unreachable!("a reduction") };
        let (bins, meta) = (bins.clone(), self.meta().map(|meta| Arc::new(meta.clone())));
        Expr::new(Op::Fold { fold, bins }, self.inputs().to_vec(), meta, self.origin())
    }

    /// The inputs, of equal dtype and equal shape but along `axis`, one after the other.
    pub fn concat(inputs: Vec<Expr>, axis: usize, origin: &'static Location<'static>) -> Expr {
        let metas: Result<Vec<&Meta>> = inputs.iter().map(Expr::meta).collect();
        let (meta, offsets) = match metas {
            Err(error) => (Err(error), Vec::new()),
            Ok(metas) => {
                let mut offsets = vec![0];
                for meta in &metas {
                    offsets.push(offsets.last().expect("begins with 0") + meta.shape()[axis]);
                }
                let first = metas[0];
                let cuts: Vec<&AxisGrid> =
                    metas.iter().map(|meta| &meta.grid.axes()[axis]).collect();
                let along = match one_after_the_other(&cuts) {
                    Ok(along) => along,
                    Err(message) => {
                        return Expr::failed(Error::expression(message, origin), origin);
                    }
                };
                let grid = Grid::new(first.grid.axes().iter().enumerate().map(|(i, cut)| {
                    if i == axis {
                        return along.clone();
                    }
                    let finest =
                        metas.iter().map(|m| &m.grid.axes()[i]).min_by_key(|c| c.max_chunk());
                    finest.unwrap_or(cut).clone()
                }));
                // What is padded by a constant is described as what is padded.
                let is_constant = |at: &usize| matches!(inputs[*at].op(), Op::Constant(_));
                let described = metas[(0..metas.len()).min_by_key(is_constant).unwrap_or(0)];
                let (axes, attributes) = (described.axes.clone(), placeless(&described.attributes));
                (Ok(Arc::new(Meta { dtype: first.dtype, grid, axes, attributes })), offsets)
            }
        };
        Expr::new(Op::Concat { axis, offsets: offsets.into() }, inputs, meta, origin)
    }

    /// A function of whole blocks: each block of the array that `meta` tells of is made from
    /// the box of each input that its [`Needs`] say. What it makes may depend on where the
    /// blocks are cut, so nothing moves a cut beneath it.
    pub fn block(
        kernel: Arc<dyn BlockKernel>,
        inputs: impl IntoIterator<Item = (Expr, Needs)>,
        meta: Meta,
        origin: &'static Location<'static>,
    ) -> Expr {
        let (inputs, needs): (Vec<Expr>, Vec<Needs>) = inputs.into_iter().unzip();
        let meta = match inputs.iter().find_map(|input| input.meta().err()) {
            Some(error) => Err(error),
            None => Ok(Arc::new(meta)),
        };
        debug_assert!(meta.as_ref().map_or(true, |meta| {
            let fits = |(input, needs): (&Expr, &Needs)| {
                input.meta().is_ok_and(|input| needs.fit(&input.grid, &meta.grid))
            };
            inputs.iter().zip(&needs).all(fits)
        }));
        Expr::new(Op::Block { kernel, needs: needs.into() }, inputs, meta, origin)
    }

    /// The same elements under other axis names and attributes.
    pub fn described(&self, change: impl FnOnce(&mut Meta)) -> Expr {
        let Ok(meta) = self.meta() else { return self.clone() };
        let mut changed = meta.clone();
        change(&mut changed);
        debug_assert_eq!((changed.dtype, &changed.grid), (meta.dtype, &meta.grid));
        Expr::new(
            self.0.op.clone(),
            self.0.inputs.iter().cloned(),
            Ok(Arc::new(changed)),
            self.0.origin,
        )
    }

    /// What the node does.
    pub fn op(&self) -> &Op {
        &self.0.op
    }

    /// The nodes that it does it with.
    pub fn inputs(&self) -> &[Expr] {
        &self.0.inputs
    }

    /// Dtype, shape and grid.
    ///
    /// # Errors
    /// If a mistake was made, here or below; the error names the line.
    pub fn meta(&self) -> Result<&Meta> {
        self.0.meta.as_deref().map_err(Clone::clone)
    }

    /// The line of the user's program that made it.
    pub fn origin(&self) -> &'static Location<'static> {
        self.0.origin
    }

    /// A number that only this node has, while it lives.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expr({:?} of {} inputs)", self.0.op, self.0.inputs.len())
    }
}

/// The attributes without those that say where elements lie on the sky: of a selection of
/// elements, or of what was made of several, they would be wrong.
pub(crate) fn placeless(attributes: &Arc<Attributes>) -> Arc<Attributes> {
    const PLACES: [&str; 9] =
        ["CRPIX", "CRVAL", "CDELT", "CTYPE", "CUNIT", "CROTA", "PC", "CD", "PV"];
    let is_place = |key: &String| {
        PLACES.iter().any(|place| {
            key.strip_prefix(place)
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
    };
    match attributes.keys().any(is_place) {
        false => attributes.clone(),
        true => {
            let kept = attributes.iter().filter(|(key, _)| !is_place(key));
            Arc::new(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
        }
    }
}

/// Whether an array of this grid has so few chunks that they can be gone through.
fn countable(grid: &Grid, origin: &'static Location<'static>) -> Result<()> {
    const MOST: u64 = 1 << 40;
    match checked_volume(&grid.counts()) {
        Some(count) if count <= MOST => Ok(()),
        _ => {
            let shape = shape_text(&grid.shape());
            let message =
                format!("an array of shape {shape} in more than {MOST} chunks, of {grid}");
            Err(Error::expression(message, origin).help("rechunk it into larger ones first"))
        }
    }
}

/// The cuts of axes that are put one after the other.
fn one_after_the_other(axes: &[&AxisGrid]) -> Result<AxisGrid, String> {
    let total = axes.iter().fold(0u64, |sum, axis| sum.saturating_add(axis.count()));
    if total <= MOST_CUTS {
        return Ok(AxisGrid::from_sizes(axes.iter().flat_map(|axis| axis.sizes())));
    }
    let mut full = axes.iter().copied().filter(|axis| !axis.is_empty()).collect::<Vec<_>>();
    let last = full.pop();
    let is_cut = |axis: &AxisGrid, chunk| axis.regular_chunk() == Some(chunk);
    if let (Some(last), Some(chunk)) = (last, full.first().and_then(|axis| axis.regular_chunk()))
        && full.iter().all(|axis| is_cut(axis, chunk) && axis.len().is_multiple_of(chunk))
        && (is_cut(last, chunk) || last.count() == 1 && last.len() <= chunk)
    {
        return Ok(AxisGrid::regular(axes.iter().map(|axis| axis.len()).sum(), chunk));
    }
    Err(format!(
        "arrays with {total} chunks, of unequal lengths, one after the other; {MOST_CUTS} at the most: rechunk \
         them first"
    ))
}

/// The cuts of a folded axis: a chunk of whole boxes stays a chunk, a box of whole chunks becomes one.
fn folded(axis: &AxisGrid, bin: u64) -> AxisGrid {
    let len = axis.len() / bin;
    match axis.regular_chunk() {
        _ if len == 1 => AxisGrid::whole(1),
        Some(chunk) if chunk.is_multiple_of(bin) => AxisGrid::regular(len, (chunk / bin).max(1)),
        Some(chunk) if bin.is_multiple_of(chunk) => AxisGrid::regular(len, 1),
        _ => {
            let mut cuts: Vec<u64> =
                axis.boundaries().filter(|cut| cut % bin == 0).map(|cut| cut / bin).collect();
            cuts.dedup();
            AxisGrid::from_boundaries(cuts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Unary, unary};
    use freeboard_formats::DType;

    #[test]
    fn a_million_nodes_drop_without_recursion() {
        let here = Location::caller();
        let mut x = Expr::constant(Scalar::F64(1.0), Grid::whole(&[4]), here);
        let kernel = unary(Unary::Negative, DType::F64);
        for _ in 0..1_000_000 {
            x = Expr::apply(kernel.clone(), &[&x], here);
        }
        assert_eq!(x.meta().unwrap().shape().as_slice(), [4]);
    }

    #[test]
    fn arrays_of_too_many_chunks_are_mistakes() {
        let here = Location::caller();
        let of = |len: u64, chunk: u64| {
            Expr::constant(Scalar::F64(1.0), Grid::regular(&[len], &[chunk]), here)
        };
        let says = |expr: &Expr, text: &str| {
            let error = expr.meta().unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        };
        says(&of(1 << 50, 1), "an array of shape (1125899906842624,) in more than 1099511627776");
        let joined = |a, b| Expr::concat(vec![a, b], 0, here);
        let even = joined(of(1 << 40, 1 << 10), of(1 << 30, 1 << 10));
        assert_eq!(even.meta().unwrap().grid, Grid::regular(&[(1 << 40) + (1 << 30)], &[1 << 10]));
        let uneven = joined(of((1 << 40) + 1, 1 << 10), of(1 << 30, 1 << 10));
        says(&uneven, "arrays with 1074790401 chunks, of unequal lengths, one after the other");
    }

    #[test]
    fn folded_axes() {
        let axis = AxisGrid::regular(20, 4);
        assert_eq!(folded(&axis, 1), axis);
        assert_eq!(folded(&axis, 2), AxisGrid::regular(10, 2));
        assert_eq!(folded(&axis, 20), AxisGrid::whole(1));
        assert_eq!(
            folded(&AxisGrid::from_sizes([2, 4, 4, 2]), 2),
            AxisGrid::from_sizes([1, 2, 2, 1])
        );
        assert_eq!(folded(&AxisGrid::from_sizes([4, 6, 2]), 4), AxisGrid::from_sizes([1, 2]));
    }
}
