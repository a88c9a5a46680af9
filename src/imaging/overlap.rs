//! `map_overlap`: functions of blocks that see their neighbours' elements too.

use super::{
    edges::{Boundary, Halo},
    filters::Footprint,
};
use crate::{
    array::{Array, Kind, kept, mistake, put},
    expr::{Expr, shape_text},
    kernel::{BlockCx, BlockKernel, exactly},
};
use bytemuck::Pod;
use freeboard_formats::{ChunkMut, ChunkView, Element, Meta, Region, Scalar, region::volume};
use ndarray::{ArrayD, ArrayViewD, IxDyn, Slice};
use std::{borrow::Cow, fmt, marker::PhantomData, panic::Location, sync::Arc};

/// A closure of blocks with their halo.
struct Overlap<T, U, F> {
    function: F,
    halo: Halo,
    types: PhantomData<fn(T) -> U>,
}

impl<T, U, F> fmt::Debug for Overlap<T, U, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "map_overlap({})", std::any::type_name::<F>())
    }
}

impl<T: Element<Repr = T> + Pod, U, F> Overlap<T, U, F> {
    /// The block and its halo, and where the block begins in it.
    fn gather(&self, input: &ChunkView<'_>, cx: &BlockCx) -> (Vec<T>, Vec<u64>, Vec<u64>) {
        let (region, handed) = (&cx.region, &cx.inputs[0]);
        if self.halo.boundary == Boundary::None {
            let start = region.start.iter().zip(&handed.start).map(|(at, first)| at - first);
            return (input.to_vec::<T>(), handed.shape.to_vec(), start.collect());
        }
        let around = self.halo.around(region);
        let Some(last) = region.rank().checked_sub(1) else {
            return (input.to_vec::<T>(), Vec::new(), Vec::new());
        };
        let constant = Scalar::F64(self.halo.boundary.constant()).cast(T::DTYPE);
        let (bytes, size) = constant.bytes();
        let constant: T = bytemuck::pod_read_unaligned(&bytes[..size]);
        let mut padded = vec![constant; volume(&around) as usize];
        let (len, width) = (handed.shape[last] as usize, around[last] as usize);
        let (edge, first) = (self.halo.edge(last, handed), self.halo.range(last, region).start);
        let mut row = vec![constant; len];
        self.halo.rows(region, handed, |number, from| {
            let Some(from) = from else { return };
            input.copy_run(from * len, bytemuck::cast_slice_mut(&mut row));
            for (at, to) in padded[number * width..][..width].iter_mut().enumerate() {
                if let Some(place) = edge.place(first + at as i64) {
                    *to = row[place];
                }
            }
        });
        (padded, around.to_vec(), self.halo.before().to_vec())
    }
}

impl<T, U, F> BlockKernel for Overlap<T, U, F>
where
    T: Element<Repr = T> + Pod,
    U: Element,
    F: Fn(ArrayViewD<'_, T>) -> ArrayD<U> + Send + Sync,
{
    fn name(&self) -> Cow<'static, str> {
        "map_overlap".into()
    }

    fn scratch(&self, _: &[Region], output: &Region) -> u64 {
        let around = volume(&self.halo.around(output));
        let element = (T::DTYPE.size() + U::DTYPE.size()) as u64;
        around.saturating_mul(element).saturating_mul(2)
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        _: &mut [u8],
        cx: &BlockCx,
    ) -> Result<(), String> {
        let [input] = exactly(inputs, "map_overlap")?;
        let (elements, around, start) = self.gather(input, cx);
        let lens: Vec<usize> = around.iter().map(|&len| len as usize).collect();
        let block = ArrayViewD::from_shape(IxDyn(&lens), &elements)
            .map_err(|error| format!("a block of shape {}: {error}", shape_text(&around)))?;
        let made = (self.function)(block);
        let shape: Vec<u64> = made.shape().iter().map(|&len| len as u64).collect();
        if shape == out.shape() {
            return put(&made.view(), &mut out);
        }
        if shape != around {
            return Err(format!(
                "the function gave a block of shape {} where one of {}, or trimmed of {}, was asked for",
                shape_text(&shape),
                shape_text(&around),
                shape_text(out.shape())
            ));
        }
        let mut inner = made.view();
        inner.slice_each_axis_inplace(|axis| {
            let (start, axis) = (start[axis.axis.index()] as usize, axis.axis.index());
            Slice::from(start..start + cx.region.shape[axis] as usize)
        });
        put(&inner, &mut out)
    }
}

/// How many elements of its neighbours a block is handed: one number for all axes, or one an axis, or pairs of
/// those before it and those after it, `[(1, 0), (2, 2)]`.
#[derive(Clone, Debug)]
pub struct Depth(Vec<(i64, i64)>);

macro_rules! depths {
    ($($t:ty),*) => {$(
        impl From<$t> for Depth {
            fn from(depth: $t) -> Depth {
                [depth].into()
            }
        }

        impl<const N: usize> From<[$t; N]> for Depth {
            fn from(depths: [$t; N]) -> Depth {
                let depth = |depth: $t| i64::try_from(depth).unwrap_or(i64::MAX);
                Depth(depths.map(|both| (depth(both), depth(both))).into())
            }
        }

        impl<const N: usize> From<[($t, $t); N]> for Depth {
            fn from(depths: [($t, $t); N]) -> Depth {
                let depth = |depth: $t| i64::try_from(depth).unwrap_or(i64::MAX);
                Depth(depths.map(|(before, after)| (depth(before), depth(after))).into())
            }
        }
    )*};
}
depths!(i32, i64, u64, usize);

impl From<Vec<(u64, u64)>> for Depth {
    fn from(depths: Vec<(u64, u64)>) -> Depth {
        let depth = |depth: u64| i64::try_from(depth).unwrap_or(i64::MAX);
        Depth(depths.into_iter().map(|(before, after)| (depth(before), depth(after))).collect())
    }
}

impl Depth {
    /// Elements before and after the block along each axis.
    fn sides(&self, rank: usize) -> Result<Vec<(u64, u64)>, String> {
        let side =
            |depth: i64| u64::try_from(depth).map_err(|_| format!("a depth of {depth} elements"));
        let each = super::filters::each_axis(&self.0, rank, "depths")?;
        each.into_iter().map(|(before, after)| Ok((side(before)?, side(after)?))).collect()
    }
}

impl<T: Element<Repr = T> + Kind + Pod> Array<T> {
    /// `function` of every block with `depth` elements of its neighbours on each side: one number for
    /// all axes, one an axis, or pairs of those before and after. What stands beyond the array's edge says `boundary`.
    ///
    /// It gives a block as large as it was handed, of which the halo is dropped, or as large as
    /// the block alone. Chunks may be smaller than the halo. It is taken to need, beside its
    /// block and result, as many bytes as twice both with their halo;
    /// [`Array::declare_scratch`] says otherwise.
    /// ```
    /// use freeboard::{Session, array::arange, imaging::Boundary};
    /// use ndarray::s;
    ///
    /// // The sum of each element and the one before and after it, of blocks of 4.
    /// let x = arange::<f64>(0.0, 8.0, 1.0).rechunk([4]);
    /// let sums = x.map_overlap(1, Boundary::Reflect, |block| {
    ///     // The block with one element more at each end; the result has none of them.
    ///     let block = block.into_dimensionality::<ndarray::Ix1>().unwrap();
    ///     (&block.slice(s![..-2]) + &block.slice(s![1..-1]) + &block.slice(s![2..])).into_dyn()
    /// });
    /// let session = Session::builder().memory("128MiB").build()?;
    /// let expected = [1.0, 3.0, 6.0, 9.0, 12.0, 15.0, 18.0, 20.0];
    /// assert_eq!(session.compute(&sums)?.as_slice().unwrap(), expected);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn map_overlap<U, F>(
        &self,
        depth: impl Into<Depth>,
        boundary: Boundary,
        function: F,
    ) -> Array<U>
    where
        U: Element + Kind,
        F: Fn(ArrayViewD<'_, T>) -> ArrayD<U> + Send + Sync + 'static,
    {
        let at = Location::caller();
        Array::from_expr(kept(at, || {
            let meta = self.meta()?;
            let sides = depth.into().sides(meta.grid.rank()).map_err(mistake(at))?;
            let halo = Halo::new(meta, boundary, &sides).map_err(mistake(at))?;
            let input = halo.input(self.expr(), at)?;
            let meta = Meta { dtype: <U as Element>::DTYPE, ..meta.clone() };
            let kernel = Overlap { function, halo, types: PhantomData::<fn(T) -> U> };
            Ok(Expr::block(Arc::new(kernel), [input], meta, at))
        }))
    }
}

/// `function` of the neighbours of each element that `footprint` names, in C order; what stands beyond the
/// edge says `boundary`. It is made of [`Array::map_overlap`].
/// ```
/// use freeboard::{Session, array::arange, imaging::{Boundary, generic_filter}};
///
/// let x = arange::<i64>(0, 6, 1).rechunk([2]);
/// let spread = generic_filter(&x, 3, Boundary::Nearest, |near: &[i64]| near[2] - near[0]);
/// let session = Session::builder().memory("128MiB").build()?;
/// assert_eq!(session.compute(&spread)?.as_slice().unwrap(), [1, 2, 2, 2, 2, 1]);
/// # Ok::<(), freeboard::Error>(())
/// ```
#[track_caller]
pub fn generic_filter<T, U, F>(
    array: &Array<T>,
    footprint: impl Into<Footprint>,
    boundary: Boundary,
    function: F,
) -> Array<U>
where
    T: Element<Repr = T> + Kind + Pod,
    U: Element + Kind,
    F: Fn(&[T]) -> U + Send + Sync + 'static,
{
    let at = Location::caller();
    let found = array.meta().and_then(|meta| {
        if boundary == Boundary::None {
            let message = "a filter over a footprint needs a boundary other than `None`";
            return Err(mistake(at)(message.into()));
        }
        footprint.into().resolve(meta.grid.rank()).map_err(mistake(at))
    });
    let found = match found {
        Ok(found) => found,
        Err(error) => return Array::from_expr(Expr::failed(error, at)),
    };
    let side = |&side: &usize| ((side / 2) as u64, ((side - 1) / 2) as u64);
    let depth: Vec<(u64, u64)> = found.sides.iter().map(side).collect();
    array.map_overlap(depth, boundary, move |block| {
        let lens: Vec<usize> =
            block.shape().iter().zip(&found.sides).map(|(len, side)| len + 1 - side).collect();
        let mut near = Vec::with_capacity(found.mask.len());
        let mut made = Vec::with_capacity(lens.iter().product());
        for window in block.windows(IxDyn(&found.sides)) {
            near.clear();
            let named = window.iter().zip(&found.mask).filter(|(_, is_in)| **is_in);
            near.extend(named.map(|(&element, _)| element));
            made.push(function(&near));
        }
        ArrayD::from_shape_vec(IxDyn(&lens), made).unwrap_or_default()
    })
}
