//! Products of matrices: sums of products along the axes that two blocks share.
//!
//! Floats are multiplied by `matrixmultiply`, through `ndarray`: packed panels and vector kernels
//! that it picks for the processor it runs on (Goto and van de Geijn, 2008). Integers wrap and
//! `bool` is "any of both", as in NumPy; both are added up row by row.

use super::{BlockCx, BlockKernel, exactly};
use bytemuck::Pod;
use freeboard_formats::{
    ChunkMut, ChunkView, DType, Element, Region, Scalar,
    region::{Coordinates, volume},
};
use ndarray::{ArrayView2, ArrayViewMut2, Ix2, LinalgScalar, linalg::general_mat_mul};
use std::borrow::Cow;

/// The panels that `matrixmultiply` packs, in elements: of the right operand at most `DEPTH` by
/// `WIDTH`, of the left one `HEIGHT` by `DEPTH`; both are rounded up to the rows and columns of
/// its kernels, `ROUND` at the most.
const DEPTH: u64 = 256;
const WIDTH: u64 = 1024;
const HEIGHT: u64 = 64;
const ROUND: u64 = 16;

/// Rows of the right operand that integers are multiplied with at a time: they stay in the
/// second-level cache.
const ROWS: usize = 64;

/// The sums of products, over the axes that two blocks share, of their elements.
///
/// The left block's axes are those of a batch, of rows, and the shared ones; the right block's
/// those of a batch, the shared ones, and of columns. The result has an axis of length 1 for
/// each shared one, then those of the batch, of rows, and of columns. Where a block lacks an axis
/// of the batch in front, or has length 1 there, it is the same for all.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// The dtype of both blocks and of the result.
    pub dtype: DType,
    /// The number of axes of the result's batch.
    pub batch: usize,
    /// The number of axes that the left block has alone.
    pub rows: usize,
    /// The number of axes that both have.
    pub shared: usize,
    /// The number of axes that the right block has alone.
    pub columns: usize,
}

/// A block as matrices: its axes are those of a batch, and two groups.
struct Matrices<'a> {
    view: ChunkView<'a>,
    groups: [usize; 2],
    /// Whether their rows have to lie together.
    in_rows: bool,
    /// Where one that is no view is put together, in C order.
    packed: &'a mut [u8],
}

impl Matrices<'_> {
    /// The matrix at a place of the batch.
    fn at(&mut self, place: &[u64]) -> ChunkView<'_> {
        let [first, second] = self.groups;
        let (shape, strides) = (self.view.shape(), self.view.strides());
        let own = shape.len() - first - second;
        let place = &place[place.len() - own..];
        let offset =
            (0..own).filter(|&i| shape[i] > 1).map(|i| place[i] as isize * strides[i]).sum();
        let (shape, strides) = (&shape[own..], &strides[own..]);
        let rows = merged(&shape[..first], &strides[..first]);
        let columns = merged(&shape[first..], &strides[first..]);
        if let (Some((rows, down)), Some((columns, right))) = (rows, columns)
            && (!self.in_rows || right == 1)
        {
            return self.view.restride(offset, &[rows, columns][..], &[down, right][..]);
        }
        let matrix = self.view.restride(offset, shape, strides);
        let sides = [volume(&shape[..first]), volume(&shape[first..])];
        let dtype = self.view.dtype();
        let packed = &mut self.packed[..matrix.len() * dtype.size()];
        ChunkMut::new(dtype, packed, shape).assign(&matrix);
        ChunkView::new(dtype, packed, &sides)
    }
}

/// Axes as one: its length, and the distance between neighbours; `None` if they cannot be.
fn merged(shape: &[u64], strides: &[isize]) -> Option<(u64, isize)> {
    let (mut len, mut stride) = (1, 1);
    for (&n, &step) in shape.iter().zip(strides).rev() {
        match (n, len) {
            (1, _) => {}
            (_, 1) => (len, stride) = (n, step),
            _ if step == stride * len as isize => len *= n,
            _ => return None,
        }
    }
    Some((len, stride))
}

impl Product {
    /// Bytes in which a matrix of the left operand is put together.
    fn left(&self, shape: &[u64]) -> usize {
        let needed = self.rows > 1 || self.shared > 1;
        self.packed(shape, self.rows + self.shared, needed).next_multiple_of(64)
    }

    /// Bytes in which a matrix of the right operand is put together: for integers, it lies in
    /// rows.
    fn right(&self, shape: &[u64]) -> usize {
        let needed = self.columns > 1 || self.shared > 1 || !self.dtype.is_float();
        self.packed(shape, self.shared + self.columns, needed)
    }

    fn packed(&self, shape: &[u64], axes: usize, needed: bool) -> usize {
        match needed {
            true => volume(&shape[shape.len() - axes..]) as usize * self.dtype.size(),
            false => 0,
        }
    }

    /// Bytes that `matrixmultiply` allocates for its panels.
    fn panels(&self, [left, right]: [&[u64]; 2]) -> u64 {
        if !self.dtype.is_float() {
            return 0;
        }
        let rows = volume(&left[left.len() - self.rows - self.shared..left.len() - self.shared]);
        let depth = volume(&left[left.len() - self.shared..]);
        let columns = volume(&right[right.len() - self.columns..]);
        let sides = rows.min(HEIGHT) + columns.min(WIDTH) + 2 * ROUND;
        depth.min(DEPTH) * sides * self.dtype.size() as u64
    }

    fn multiply<T: Element<Repr = T> + Pod>(
        &self,
        [left, right]: [&ChunkView<'_>; 2],
        mut out: ChunkMut<'_>,
        scratch: &mut [u8],
        product: impl Fn(ArrayView2<'_, T>, ArrayView2<'_, T>, ArrayViewMut2<'_, T>),
    ) -> Result<(), String> {
        let shape = out.shape()[self.shared..].to_vec();
        let (batch, kept) = shape.split_at(self.batch);
        let (rows, columns) = kept.split_at(self.rows);
        let sides = (volume(rows) as usize, volume(columns) as usize);
        let bytes = out.as_bytes().ok_or("the block does not lie in one run")?;
        let out: &mut [T] = bytemuck::cast_slice_mut(bytes);
        let (first, second) = scratch.split_at_mut(self.left(left.shape()));
        let second = &mut second[..self.right(right.shape())];
        let (groups, in_rows) = ([self.rows, self.shared], false);
        let mut left = Matrices { view: left.clone(), groups, in_rows, packed: first };
        let (groups, in_rows) = ([self.shared, self.columns], !self.dtype.is_float());
        let mut right = Matrices { view: right.clone(), groups, in_rows, packed: second };
        let places = Coordinates::of(Region::whole(batch));
        for (place, out) in places.zip(out.chunks_exact_mut(sides.0 * sides.1)) {
            let (a, b) = (left.at(&place), right.at(&place));
            let a = a.as_ndarray::<T>().and_then(|a| a.into_dimensionality::<Ix2>().ok());
            let b = b.as_ndarray::<T>().and_then(|b| b.into_dimensionality::<Ix2>().ok());
            match (a, b, ArrayViewMut2::from_shape(sides, out)) {
                (Some(a), Some(b), Ok(out)) if a.ncols() == b.nrows() => product(a, b, out),
                _ => return Err("the blocks are no matrices that can be multiplied".into()),
            }
        }
        Ok(())
    }
}

fn floats<T: LinalgScalar>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut out: ArrayViewMut2<'_, T>,
) {
    general_mat_mul(T::one(), &a, &b, T::zero(), &mut out);
}

/// The product of matrices of which the right one lies in rows; `add` adds a product.
fn by_rows<T: Pod>(
    add: impl Fn(T, T, T) -> T,
) -> impl Fn(ArrayView2<'_, T>, ArrayView2<'_, T>, ArrayViewMut2<'_, T>) {
    move |a, b, mut out| {
        out.fill(T::zeroed());
        let depth = b.nrows();
        for start in (0..depth).step_by(ROWS) {
            for (a, mut out) in a.rows().into_iter().zip(out.rows_mut()) {
                let Some(out) = out.as_slice_mut() else { continue };
                for k in start..(start + ROWS).min(depth) {
                    let (factor, row) = (a[k], b.row(k));
                    let Some(row) = row.as_slice() else { continue };
                    out.iter_mut().zip(row).for_each(|(out, &b)| *out = add(*out, factor, b));
                }
            }
        }
    }
}

impl BlockKernel for Product {
    fn name(&self) -> Cow<'static, str> {
        "product".into()
    }

    fn params(&self) -> Vec<Scalar> {
        [self.batch, self.rows, self.shared, self.columns].map(|n| Scalar::U64(n as u64)).into()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, inputs: &[Region], _: &Region) -> u64 {
        let [left, right] = inputs else { return 0 };
        let (left, right) = (&left.shape[..], &right.shape[..]);
        (self.left(left) + self.right(right)) as u64 + self.panels([left, right])
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        out: ChunkMut<'_>,
        scratch: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let both = exactly(inputs, "product")?.each_ref();
        macro_rules! integers {
            ($t:ty) => {
                self.multiply::<$t>(
                    both,
                    out,
                    scratch,
                    by_rows(|sum: $t, a: $t, b: $t| sum.wrapping_add(a.wrapping_mul(b))),
                )
            };
        }
        match self.dtype {
            DType::Bool => {
                self.multiply::<u8>(both, out, scratch, by_rows(|any, a, b| any | (a & b)))
            }
            DType::U8 => integers!(u8),
            DType::U16 => integers!(u16),
            DType::U32 => integers!(u32),
            DType::U64 => integers!(u64),
            DType::I8 => integers!(i8),
            DType::I16 => integers!(i16),
            DType::I32 => integers!(i32),
            DType::I64 => integers!(i64),
            DType::F32 => self.multiply::<f32>(both, out, scratch, floats),
            DType::F64 => self.multiply::<f64>(both, out, scratch, floats),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(
        product: Product,
        left: &ChunkView<'_>,
        right: &ChunkView<'_>,
        shape: &[u64],
    ) -> Vec<f64> {
        let regions = [left, right].map(|view| Region::whole(view.shape()));
        let region = Region::whole(shape);
        let mut scratch = vec![0u64; product.scratch(&regions, &region).div_ceil(8) as usize];
        let mut out = vec![f64::NAN; volume(shape) as usize];
        let cx =
            BlockCx { index: vec![0; shape.len()], region, inputs: regions.into_iter().collect() };
        let inputs = [left.clone(), right.clone()];
        let scratch = bytemuck::cast_slice_mut(&mut scratch);
        product.run(&inputs, ChunkMut::of(&mut out, shape), scratch, &cx).unwrap();
        out
    }

    #[test]
    fn matrices_of_any_strides() {
        let product = Product { dtype: DType::F64, batch: 0, rows: 1, shared: 1, columns: 1 };
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, -1.0, 0.5, 3.0]);
        let (a, b) = (ChunkView::of(&a, &[2, 3]), ChunkView::of(&b, &[3, 2]));
        assert_eq!(run(product, &a, &b, &[1, 2, 2]), [6.5, 7.0, 17.0, 13.0]);
        // Its transpose, and its rows and columns from the last.
        let turned = a.restride(5, vec![3, 2], vec![-1, -3]);
        let right = b.restride(0, vec![2, 3], vec![1, 2]);
        let made = run(product, &turned, &right, &[1, 3, 3]);
        assert_eq!(made, [6.0, 9.0, 12.0, 5.0, 8.0, 8.5, 4.0, 7.0, 5.0]);
    }

    #[test]
    fn axes_that_are_no_matrix_are_put_together() {
        // The left one's rows and shared axes interleave.
        let a: Vec<f64> = (0..16).map(f64::from).collect();
        let a = ChunkView::of(&a, &[2, 2, 2, 2]).restride(0, vec![2; 4], vec![8, 2, 4, 1]);
        let b = [1.0, 10.0, 100.0, 1000.0];
        let b = ChunkView::of(&b, &[2, 2]);
        let product = Product { dtype: DType::F64, batch: 0, rows: 2, shared: 2, columns: 0 };
        let made = run(product, &a, &b, &[1, 1, 2, 2]);
        assert_eq!(made, [5410.0, 7632.0, 14298.0, 16520.0]);
    }
}
