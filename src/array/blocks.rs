//! `map_blocks`: functions of whole blocks, of one array or of several that are cut alike.

use super::{Array, Axes, Chunks, Kind, Line, args::axes_text, kept, mistake, shape::rechunked};
use crate::{
    error::Result,
    expr::{Expr, Need, Needs, broadcast_shape, shape_text},
    kernel::{BlockCx, BlockKernel},
};
use bytemuck::Pod;
use freeboard_formats::{AxisGrid, ChunkMut, ChunkView, DType, Element, Grid, Meta, Region};
use ndarray::{ArrayD, ArrayViewD};
use smallvec::SmallVec;
use std::{borrow::Cow, convert::Infallible, fmt, panic::Location, sync::Arc};

/// A block kernel out of a closure of the library's own, which knows its inputs' dtypes.
pub(super) struct Closure<F> {
    pub(super) name: &'static str,
    pub(super) function: F,
    /// The bytes of an element of each input.
    pub(super) sizes: Vec<u64>,
    /// The bytes of an element of the output.
    pub(super) made: u64,
}

impl<F> fmt::Debug for Closure<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, std::any::type_name::<F>())
    }
}

impl<F> BlockKernel for Closure<F>
where
    F: Fn(&[ChunkView<'_>], ChunkMut<'_>, &BlockCx) -> Result<(), String> + Send + Sync,
{
    fn name(&self) -> Cow<'static, str> {
        self.name.into()
    }

    fn scratch(&self, inputs: &[Region], output: &Region) -> u64 {
        let read = inputs.iter().zip(&self.sizes);
        let read = read.map(|(region, size)| region.volume().saturating_mul(*size));
        let made = output.volume().saturating_mul(self.made).saturating_mul(2);
        read.fold(made, u64::saturating_add)
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        out: ChunkMut<'_>,
        _: &mut [u8],
        cx: &BlockCx,
    ) -> Result<(), String> {
        (self.function)(inputs, out, cx)
    }
}

/// Writes what a function gave into the block `out`, if it has its shape.
///
/// # Errors
/// If it has another.
pub(crate) fn put<U: Element>(
    result: &ArrayViewD<'_, U>,
    out: &mut ChunkMut<'_>,
) -> Result<(), String> {
    let shape: Vec<u64> = result.shape().iter().map(|&len| len as u64).collect();
    if shape != out.shape() {
        return Err(format!(
            "the function gave a block of shape {} where one of {} was declared",
            shape_text(&shape),
            shape_text(out.shape())
        ));
    }
    if let (Some(out), Some(elements)) = (out.as_slice::<U>(), result.as_slice()) {
        out.iter_mut().zip(elements).for_each(|(out, element)| *out = element.to_repr());
        return Ok(());
    }
    let mut elements = result.iter();
    let written: Result<(), Infallible> = out.try_for_each_run(|_, run| {
        let run: &mut [U::Repr] = bytemuck::cast_slice_mut(run);
        run.iter_mut().zip(&mut elements).for_each(|(out, element)| *out = element.to_repr());
        Ok(())
    });
    let Ok(()) = written;
    Ok(())
}

/// What a function of blocks makes of the blocks it is handed: of which lengths ([`Chunks::same`],
/// [`Chunks::ones`], `[1, 64]` with -1 for the input's own, or [`Chunks::exact`]), and without or with
/// which axes: `Blocks::from([-1, 1]).without(0).with_axis(1, 3)`.
#[derive(Clone, Debug)]
pub struct Blocks {
    chunks: Chunks,
    dropped: Vec<Axes>,
    new: Vec<(i64, u64)>,
}

impl<C: Into<Chunks>> From<C> for Blocks {
    fn from(chunks: C) -> Blocks {
        Blocks { chunks: chunks.into(), dropped: Vec::new(), new: Vec::new() }
    }
}

impl Blocks {
    /// Of the same lengths.
    pub fn same() -> Blocks {
        Chunks::same().into()
    }

    /// Without `axes` of the (broadcast) inputs: blocks are handed whole along them. What is said of
    /// lengths is said of the axes that are left. Said again, these are dropped as well; all are counted in the inputs.
    #[must_use]
    pub fn without(mut self, axes: impl Into<Axes>) -> Blocks {
        self.dropped.push(axes.into());
        self
    }

    /// With a new axis of one block of `len` elements, at the place `axis` of the result. Several
    /// are put in one after the other.
    #[must_use]
    pub fn with_axis(mut self, axis: i64, len: u64) -> Blocks {
        self.new.push((axis, len));
        self
    }

    /// The result of blocks cut like `inputs`, and the axis of it that each of theirs becomes.
    fn made(&self, inputs: &Grid, dtype: DType) -> Result<(Grid, Vec<Option<usize>>), String> {
        let mut dropped = Vec::new();
        for axes in &self.dropped {
            dropped.extend(axes.resolve(inputs.rank())?);
        }
        let mut place = vec![None; inputs.rank()];
        let left: Vec<usize> = (0..inputs.rank()).filter(|axis| !dropped.contains(axis)).collect();
        for (to, &axis) in left.iter().enumerate() {
            place[axis] = Some(to);
        }
        let left = Grid::new(left.iter().map(|&axis| inputs.axes()[axis].clone()));
        let mut axes = self.chunks.made_from(&Meta::new(dtype, left))?.axes().to_vec();
        for &(axis, len) in &self.new {
            let rank = axes.len() + 1;
            let at = super::axis_of(axis, rank)
                .map_err(|_| format!("a new axis {axis} of a result of {}", axes_text(rank)))?;
            axes.insert(at, AxisGrid::whole(len));
            place.iter_mut().flatten().filter(|to| **to >= at).for_each(|to| *to += 1);
        }
        Ok((Grid::new(axes), place))
    }
}

/// The element types of arrays whose blocks a function is handed together.
pub trait BlockTypes: Send + Sync + 'static {
    /// The blocks. Those of `bool` are of `u8`, 0 or 1.
    type Views<'a>;
    /// The dtypes.
    const DTYPES: &'static [DType];

    /// The blocks as views, if they are of these types.
    fn views<'a>(blocks: &[ChunkView<'a>]) -> Option<Self::Views<'a>>;
}

/// Arrays whose blocks a function is handed together: a tuple of references, `(&image, &mask)`.
pub trait BlockInputs {
    /// Their element types.
    type Types: BlockTypes;

    /// What they are.
    fn exprs(&self) -> Vec<Expr>;
}

macro_rules! tuples {
    ($($($t:ident $i:tt),*;)*) => {$(
        impl<$($t),*> BlockTypes for ($($t,)*)
        where
            $($t: Element + Kind, $t::Repr: Element<Repr = $t::Repr> + Pod),*
        {
            type Views<'a> = ($(ArrayViewD<'a, $t::Repr>,)*);
            const DTYPES: &'static [DType] = &[$(<$t as Element>::DTYPE),*];

            fn views<'a>(blocks: &[ChunkView<'a>]) -> Option<Self::Views<'a>> {
                Some(($(blocks.get($i)?.as_ndarray::<$t::Repr>()?,)*))
            }
        }

        impl<$($t: Kind),*> BlockInputs for ($(&Array<$t>,)*)
        where
            ($($t,)*): BlockTypes
        {
            type Types = ($($t,)*);

            fn exprs(&self) -> Vec<Expr> {
                vec![$(self.$i.expr.clone()),*]
            }
        }
    )*};
}

tuples! {
    A 0;
    A 0, B 1;
    A 0, B 1, C 2;
    A 0, B 1, C 2, D 3;
    A 0, B 1, C 2, D 3, E 4;
    A 0, B 1, C 2, D 3, E 4, F 5;
}

/// `function` of the blocks of several arrays, of any dtypes, which broadcast against each other: an axis of
/// length 1 is handed to all blocks, and others are cut as the first of the arrays is that has
/// them in full length. It gives a block as `blocks` says, and is told which.
///
/// It is taken to need, beside blocks and result, as many bytes as its blocks and twice its
/// result; [`Array::declare_scratch`] says otherwise. A block of another shape, or a panic, ends the run
/// with an error that names this line.
/// ```
/// use freeboard::{Session, array::{Array, Blocks, arange, map_blocks, ones}};
///
/// let image = ones::<f32>([4, 6]).rechunk([2, 3]);
/// let mask = arange(0, 6, 1).greater(2);
/// // What is masked, summed up block by block: rows are dropped, and a last axis is new.
/// let kept = map_blocks((&image, &mask), Blocks::from([1]).without(0).with_axis(1, 2), |(image, mask), cx| {
///     let masked = &image * &mask.mapv(f32::from);
///     ndarray::array![[masked.sum(), cx.index[0] as f32]].into_dyn()
/// });
/// let session = Session::builder().memory("128MiB").build()?;
/// assert_eq!(session.compute(&kept)?, ndarray::array![[0.0, 0.0], [12.0, 1.0]].into_dyn());
/// # Ok::<(), freeboard::Error>(())
/// ```
#[track_caller]
pub fn map_blocks<I, U, F>(inputs: I, blocks: impl Into<Blocks>, function: F) -> Array<U>
where
    I: BlockInputs,
    U: Element + Kind,
    F: for<'a> Fn(<I::Types as BlockTypes>::Views<'a>, &BlockCx) -> ArrayD<U>
        + Send
        + Sync
        + 'static,
{
    let at = Location::caller();
    let blocks = blocks.into();
    Array::from_expr(kept(at, || mapped::<I::Types, U, F>(&inputs.exprs(), &blocks, function, at)))
}

/// [`map_blocks`] of `exprs`, which have the dtypes of `V`.
pub(super) fn mapped<V, U, F>(
    exprs: &[Expr],
    blocks: &Blocks,
    function: F,
    at: Line,
) -> Result<Expr>
where
    V: BlockTypes,
    U: Element,
    F: for<'a> Fn(V::Views<'a>, &BlockCx) -> ArrayD<U> + Send + Sync + 'static,
{
    let wrong = mistake(at);
    let metas: Vec<&Meta> = exprs.iter().map(Expr::meta).collect::<Result<_>>()?;
    let shapes: Vec<_> = metas.iter().map(|meta| meta.shape()).collect();
    let Some(shape) = broadcast_shape(shapes.iter().map(|shape| &shape[..])) else {
        let list: Vec<String> = shapes.iter().map(|shape| shape_text(shape)).collect();
        return Err(wrong(format!(
            "shapes {} do not broadcast in `map_blocks`",
            list.join(" and ")
        )));
    };
    let cut = |axis: usize| {
        let own = |meta: &&Meta| {
            let skip = shape.len() - meta.grid.rank();
            let own = &meta.grid.axes()[axis.checked_sub(skip)?];
            (own.len() == shape[axis]).then(|| own.clone())
        };
        metas.iter().find_map(own).unwrap_or_else(|| AxisGrid::whole(shape[axis]))
    };
    let common = Grid::new((0..shape.len()).map(cut));
    let (grid, place) = blocks.made(&common, <U as Element>::DTYPE).map_err(&wrong)?;
    let handed = exprs.iter().zip(&metas).map(|(expr, meta)| {
        let skip = shape.len() - meta.grid.rank();
        let mut needs = SmallVec::<[Need; 4]>::new();
        let mut cuts = Vec::new();
        for (axis, own) in meta.grid.axes().iter().enumerate() {
            let broadcast = own.len() != shape[skip + axis];
            match place[skip + axis] {
                Some(of) if !broadcast => {
                    needs.push(Need::Block { of });
                    cuts.push(common.axes()[skip + axis].clone());
                }
                _ => {
                    needs.push(Need::All);
                    cuts.push(own.clone());
                }
            }
        }
        let grid = Grid::new(cuts);
        let expr = if grid == meta.grid { expr.clone() } else { rechunked(expr, grid, at) };
        (expr, Needs::new(needs))
    });
    let handed: Vec<_> = handed.collect();
    let first = metas.iter().find(|meta| meta.grid.rank() == grid.rank());
    let made = match first {
        Some(meta) if place.iter().enumerate().all(|(axis, to)| *to == Some(axis)) => {
            Meta { dtype: <U as Element>::DTYPE, grid, ..(*meta).clone() }
        }
        _ => Meta::new(<U as Element>::DTYPE, grid),
    };
    let call = move |inputs: &[ChunkView<'_>], mut out: ChunkMut<'_>, cx: &BlockCx| {
        let views = V::views(inputs).ok_or("the blocks are of other dtypes than the function's")?;
        put(&function(views, cx).view(), &mut out)
    };
    let sizes = V::DTYPES.iter().map(|dtype| dtype.size() as u64).collect();
    let made_size = <U as Element>::DTYPE.size() as u64;
    let kernel = Closure { name: "map_blocks", function: call, sizes, made: made_size };
    Ok(Expr::block(Arc::new(kernel), handed, made, at))
}

impl<T: Element<Repr = T> + Kind + Pod> Array<T> {
    /// `function` of every block, told which it is: [`map_blocks`] of this array
    /// alone. [`rechunk`](Array::rechunk) first for other blocks.
    /// ```
    /// use freeboard::array::{Chunks, ones};
    ///
    /// let x = ones::<f32>([4, 6]).rechunk([2, 3]);
    /// let sums = x.map_blocks(Chunks::ones(), |block, _| ndarray::arr2(&[[block.sum()]]).into_dyn());
    /// assert_eq!(sums.shape()?, [2, 2]);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn map_blocks<U, F>(&self, blocks: impl Into<Blocks>, function: F) -> Array<U>
    where
        U: Element + Kind,
        F: Fn(ArrayViewD<'_, T>, &BlockCx) -> ArrayD<U> + Send + Sync + 'static,
    {
        let at = Location::caller();
        let blocks = blocks.into();
        let one = move |(block,): (ArrayViewD<'_, T>,), cx: &BlockCx| function(block, cx);
        Array::from_expr(kept(at, || {
            mapped::<(T,), U, _>(std::slice::from_ref(&self.expr), &blocks, one, at)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::Op;
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
        let flat =
            x.map_blocks(Blocks::same().without(1).without(0), |_, _| arr1(&[0u8]).into_dyn());
        assert_eq!(flat.rank().unwrap(), 0);
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
