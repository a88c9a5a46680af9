//! Strided, borrowed boxes of elements: how chunks are handed around without copying.
//!
//! A view borrows the bytes of a chunk and says how elements lie in them: dtype, shape,
//! and a stride an axis (in elements; 0 repeats, negative runs backwards; only a
//! [`ChunkView`] may have such). The two types are safe: each access is a bounds-checked
//! slice of the borrowed bytes, made a row at a time, so that the checks cost nothing.

mod copy;

use crate::{
    dtype::{DType, Element, Scalar},
    region::{Dims, Region, volume},
};
use copy::{CopyPlan, copy_row};
use ndarray::{ArrayViewD, Axis, IxDyn, ShapeBuilder};
use smallvec::SmallVec;

/// One stride an axis, in elements.
pub type Strides = SmallVec<[isize; 6]>;

/// The strides of an array of `shape` in C order.
pub fn c_strides(shape: &[u64]) -> Strides {
    let mut strides = Strides::from_elem(1, shape.len());
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1) as isize;
    }
    strides
}

fn is_c_order(shape: &[u64], strides: &[isize]) -> bool {
    let mut expected = 1;
    for (&len, &stride) in shape.iter().zip(strides).rev() {
        if len != 1 && stride != expected {
            return shape.contains(&0);
        }
        expected *= len.max(1) as isize;
    }
    true
}

/// A box of elements to read.
#[derive(Clone, Debug)]
pub struct ChunkView<'a> {
    dtype: DType,
    data: &'a [u8],
    offset: isize,
    shape: Dims,
    strides: Strides,
}

/// A box of elements to write; no two elements share bytes.
#[derive(Debug)]
pub struct ChunkMut<'a> {
    dtype: DType,
    data: &'a mut [u8],
    offset: isize,
    shape: Dims,
    strides: Strides,
}

macro_rules! shared {
    ($name:ident) => {
        impl $name<'_> {
            /// The dtype of the elements.
            pub fn dtype(&self) -> DType {
                self.dtype
            }

            /// The number of elements along each axis.
            pub fn shape(&self) -> &[u64] {
                &self.shape
            }

            /// The distance, in elements, between neighbours along each axis.
            pub fn strides(&self) -> &[isize] {
                &self.strides
            }

            /// The number of elements.
            pub fn len(&self) -> usize {
                volume(&self.shape) as usize
            }

            /// Whether there is no element.
            pub fn is_empty(&self) -> bool {
                self.shape.contains(&0)
            }

            /// Whether the elements lie in one run in C order.
            pub fn is_contiguous(&self) -> bool {
                is_c_order(&self.shape, &self.strides)
            }

            fn offset_of(&self, region: &Region) -> isize {
                assert!(
                    Region::whole(&self.shape).contains(region) || region.is_empty(),
                    "{region} lies in a view of shape {:?}",
                    self.shape
                );
                self.offset
                    + region
                        .start
                        .iter()
                        .zip(&self.strides)
                        .map(|(&s, &d)| s as isize * d)
                        .sum::<isize>()
            }

            fn byte_range(&self) -> std::ops::Range<usize> {
                let start = self.offset as usize * self.dtype.size();
                start..start + self.len() * self.dtype.size()
            }
        }
    };
}
shared!(ChunkView);
shared!(ChunkMut);

impl<'a> ChunkView<'a> {
    /// The elements of `data` as an array of `shape` in C order.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn new(dtype: DType, data: &'a [u8], shape: &[u64]) -> ChunkView<'a> {
        assert_eq!(
            data.len() as u64,
            volume(shape) * dtype.size() as u64,
            "bytes of {shape:?} {dtype}"
        );
        ChunkView {
            dtype,
            data,
            offset: 0,
            shape: Dims::from_slice(shape),
            strides: c_strides(shape),
        }
    }

    /// The elements of a typed slice as an array of `shape` in C order.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn of<T: Element<Repr = T> + bytemuck::Pod>(data: &'a [T], shape: &[u64]) -> ChunkView<'a> {
        ChunkView::new(T::DTYPE, bytemuck::cast_slice(data), shape)
    }

    /// Elements of `data` laid out with any strides from the element `offset` on.
    ///
    /// # Panics
    /// If an element lies outside `data`.
    pub fn strided(
        dtype: DType,
        data: &'a [u8],
        offset: isize,
        shape: impl Into<Dims>,
        strides: impl Into<Strides>,
    ) -> ChunkView<'a> {
        let view = ChunkView { dtype, data, offset, shape: shape.into(), strides: strides.into() };
        assert_eq!(view.shape.len(), view.strides.len(), "shape and strides of one rank");
        if !view.is_empty() {
            let (mut low, mut high) = (offset, offset);
            for (&len, &stride) in view.shape.iter().zip(&view.strides) {
                let reach = (len - 1) as isize * stride;
                low += reach.min(0);
                high += reach.max(0);
            }
            assert!(
                low >= 0 && (high as usize + 1) * dtype.size() <= data.len(),
                "elements {low}..={high} lie in {} bytes of {dtype}",
                data.len()
            );
        }
        view
    }

    /// The part of the view in `region`.
    ///
    /// # Panics
    /// If `region` reaches outside the view.
    #[must_use]
    pub fn sub(&self, region: &Region) -> ChunkView<'a> {
        ChunkView {
            dtype: self.dtype,
            data: self.data,
            offset: self.offset_of(region),
            shape: Dims::from_slice(&region.shape),
            strides: Strides::from_slice(&self.strides),
        }
    }

    /// The same elements with other axes: `shape` and `strides`, the first element at the
    /// element `offset` from this view's first.
    ///
    /// # Panics
    /// If an element lies outside the borrowed bytes.
    #[must_use]
    pub fn restride(
        &self,
        offset: isize,
        shape: impl Into<Dims>,
        strides: impl Into<Strides>,
    ) -> ChunkView<'a> {
        ChunkView::strided(self.dtype, self.data, self.offset + offset, shape, strides)
    }

    /// The bytes, if the elements lie in one run in C order.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        if self.is_empty() {
            return Some(&[]);
        }
        self.is_contiguous().then(|| &self.data[self.byte_range()])
    }

    /// The elements, if they are `T`s that lie in one run in C order.
    pub fn as_slice<T: Element>(&self) -> Option<&'a [T::Repr]> {
        (self.dtype == T::DTYPE).then(|| self.as_bytes()).flatten().map(bytemuck::cast_slice)
    }

    /// Copies the elements from number `start` on, counted in C order, into `out`, which has
    /// room for a whole number of elements.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn copy_run(&self, start: usize, out: &mut [u8]) {
        match self.dtype.size() {
            1 => self.copy_run_of::<u8>(start, out),
            2 => self.copy_run_of::<u16>(start, bytemuck::cast_slice_mut(out)),
            4 => self.copy_run_of::<u32>(start, bytemuck::cast_slice_mut(out)),
            _ => self.copy_run_of::<u64>(start, bytemuck::cast_slice_mut(out)),
        }
    }

    fn copy_run_of<T: bytemuck::Pod>(&self, start: usize, mut out: &mut [T]) {
        if out.is_empty() {
            return;
        }
        let source: &[T] = bytemuck::cast_slice(self.data);
        let plan = CopyPlan::in_order(&self.shape, &self.strides);
        let Some((&(len, _, step), outer)) = plan.axes.split_last() else {
            out[0] = source[self.offset as usize];
            return;
        };
        let (mut row, mut skip) = (start / len, start % len);
        while !out.is_empty() {
            let (mut at, mut rest) = (self.offset, row);
            for &(len, _, stride) in outer.iter().rev() {
                at += (rest % len) as isize * stride;
                rest /= len;
            }
            let count = (len - skip).min(out.len());
            copy_row(out, 0, source, at + skip as isize * step, (count, 1, step));
            out = &mut out[count..];
            (row, skip) = (row + 1, 0);
        }
    }

    /// The value of the element at `index`.
    ///
    /// # Panics
    /// If there is no such element.
    pub fn get(&self, index: &[u64]) -> Scalar {
        let one = Region { start: index.into(), shape: Dims::from_elem(1, index.len()) };
        let at = self.offset_of(&one) as usize * self.dtype.size();
        Scalar::from_bytes(self.dtype, &self.data[at..])
    }

    /// The view as one of `ndarray`'s, without a copy, if its elements are `T`s.
    /// (`bool` chunks are read as `u8`, so `T` is never `bool`.)
    pub fn as_ndarray<T: Element<Repr = T> + bytemuck::Pod>(&self) -> Option<ArrayViewD<'a, T>> {
        if self.dtype != T::DTYPE && !(self.dtype == DType::Bool && T::DTYPE == DType::U8) {
            return None;
        }
        let shape: Vec<usize> = self.shape.iter().map(|&n| n as usize).collect();
        if self.is_empty() {
            return ArrayViewD::from_shape(IxDyn(&shape), &[]).ok();
        }
        // `ndarray` makes no views whose strides run back: those are turned twice.
        let back: Vec<usize> = (0..shape.len()).filter(|&axis| self.strides[axis] < 0).collect();
        let last = |&axis: &usize| (shape[axis] as isize - 1) * self.strides[axis];
        let first = (self.offset + back.iter().map(last).sum::<isize>()) as usize;
        let strides: Vec<usize> = self.strides.iter().map(|s| s.unsigned_abs()).collect();
        let elements: &[T] = bytemuck::cast_slice(self.data);
        let strided = IxDyn(&shape).strides(IxDyn(&strides));
        let mut array = ArrayViewD::from_shape(strided, &elements[first..]).ok()?;
        back.into_iter().for_each(|axis| array.invert_axis(Axis(axis)));
        Some(array)
    }

    /// Copies the elements, in C order, into a new vector.
    ///
    /// # Panics
    /// If the elements are not `T`s.
    pub fn to_vec<T: Element>(&self) -> Vec<T> {
        assert_eq!(self.dtype, T::DTYPE, "elements of another dtype");
        let mut out = vec![<T::Repr as bytemuck::Zeroable>::zeroed(); self.len()];
        ChunkMut::new(self.dtype, bytemuck::cast_slice_mut(&mut out), &self.shape).assign(self);
        T::vec_from_repr(out)
    }
}

impl<'a> ChunkMut<'a> {
    /// The elements of `data` as an array of `shape` in C order.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn new(dtype: DType, data: &'a mut [u8], shape: &[u64]) -> ChunkMut<'a> {
        assert_eq!(
            data.len() as u64,
            volume(shape) * dtype.size() as u64,
            "bytes of {shape:?} {dtype}"
        );
        ChunkMut {
            dtype,
            data,
            offset: 0,
            shape: Dims::from_slice(shape),
            strides: c_strides(shape),
        }
    }

    /// The elements of a typed slice as an array of `shape` in C order.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn of<T: Element<Repr = T> + bytemuck::Pod>(
        data: &'a mut [T],
        shape: &[u64],
    ) -> ChunkMut<'a> {
        ChunkMut::new(T::DTYPE, bytemuck::cast_slice_mut(data), shape)
    }

    /// The part of the view in `region`.
    ///
    /// # Panics
    /// If `region` reaches outside the view.
    pub fn sub(&mut self, region: &Region) -> ChunkMut<'_> {
        ChunkMut {
            dtype: self.dtype,
            offset: self.offset_of(region),
            data: self.data,
            shape: Dims::from_slice(&region.shape),
            strides: Strides::from_slice(&self.strides),
        }
    }

    /// The elements from `region.start` on, `region.shape` of them, `steps` apart.
    ///
    /// # Panics
    /// If one of them lies outside the view.
    pub(crate) fn sub_steps(&mut self, region: &Region, steps: &[u64]) -> ChunkMut<'_> {
        let reach = region.shape.iter().zip(steps);
        let reach: Dims = reach.map(|(len, step)| len.saturating_sub(1) * step + 1).collect();
        let mut part = self.sub(&Region { start: region.start.clone(), shape: reach });
        part.shape = region.shape.clone();
        part.strides.iter_mut().zip(steps).for_each(|(stride, step)| *stride *= *step as isize);
        part
    }

    /// The same view for a shorter time.
    pub fn reborrow(&mut self) -> ChunkMut<'_> {
        ChunkMut {
            dtype: self.dtype,
            offset: self.offset,
            data: self.data,
            shape: Dims::from_slice(&self.shape),
            strides: Strides::from_slice(&self.strides),
        }
    }

    /// The same elements without their axes of length 1, or with more of them: any
    /// `shape` that differs from this view's in axes of length 1 alone.
    ///
    /// # Panics
    /// If it differs in more.
    #[must_use]
    pub fn with_unit_axes(self, shape: &[u64]) -> ChunkMut<'a> {
        let mut kept = self.shape.iter().zip(&self.strides).filter(|(len, _)| **len != 1);
        let strides = shape
            .iter()
            .map(|&len| match len {
                1 => 0,
                _ => {
                    let (&have, &stride) = kept.next().expect("shapes differ in unit axes alone");
                    assert_eq!(have, len, "shapes differ in unit axes alone");
                    stride
                }
            })
            .collect();
        assert!(kept.next().is_none(), "shapes differ in unit axes alone");
        ChunkMut { strides, shape: shape.into(), ..self }
    }

    /// The same elements with `axis` as two, of which the second has length `inner`.
    ///
    /// # Panics
    /// If `inner` does not divide the axis' length.
    #[must_use]
    pub fn split_axis(mut self, axis: usize, inner: u64) -> ChunkMut<'a> {
        assert!(self.shape[axis].is_multiple_of(inner), "{inner} divides {}", self.shape[axis]);
        let stride = self.strides[axis];
        self.shape[axis] /= inner;
        self.strides[axis] = stride * inner as isize;
        self.shape.insert(axis + 1, inner);
        self.strides.insert(axis + 1, stride);
        self
    }

    /// The same elements with their axes in another order: axis `i` is this view's axis `order[i]`.
    ///
    /// # Panics
    /// If `order` is not a permutation of the axes.
    #[must_use]
    pub fn permute_axes(self, order: &[usize]) -> ChunkMut<'a> {
        assert!(
            order.len() == self.shape.len() && (0..order.len()).all(|axis| order.contains(&axis)),
            "{order:?} is a permutation of {} axes",
            self.shape.len()
        );
        ChunkMut {
            shape: order.iter().map(|&axis| self.shape[axis]).collect(),
            strides: order.iter().map(|&axis| self.strides[axis]).collect(),
            ..self
        }
    }

    /// To read what was written.
    pub fn as_view(&self) -> ChunkView<'_> {
        ChunkView {
            dtype: self.dtype,
            data: self.data,
            offset: self.offset,
            shape: Dims::from_slice(&self.shape),
            strides: Strides::from_slice(&self.strides),
        }
    }

    /// The bytes, if the elements lie in one run in C order.
    pub fn as_bytes(&mut self) -> Option<&mut [u8]> {
        if self.is_empty() {
            return Some(&mut []);
        }
        let range = self.byte_range();
        self.is_contiguous().then(|| &mut self.data[range])
    }

    /// The elements, if they are `T`s that lie in one run in C order.
    pub fn as_slice<T: Element>(&mut self) -> Option<&mut [T::Repr]> {
        if self.dtype != T::DTYPE {
            return None;
        }
        self.as_bytes().map(bytemuck::cast_slice_mut)
    }

    /// Calls `each` for every longest run of elements that lie together, in C order, with
    /// the coordinates of its first element and its bytes.
    pub fn try_for_each_run<E>(
        &mut self,
        mut each: impl FnMut(&[u64], &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.is_empty() {
            return Ok(());
        }
        let size = self.dtype.size();
        let (mut run, mut outer) = (1u64, self.shape.len());
        while outer > 0 && (self.shape[outer - 1] == 1 || self.strides[outer - 1] == run as isize) {
            outer -= 1;
            run *= self.shape[outer];
        }
        let starts = Region::whole(&self.shape[..outer]);
        let mut start = Dims::from_elem(0, self.shape.len());
        for at in crate::region::Coordinates::of(starts) {
            start[..outer].copy_from_slice(&at);
            let offset = at.iter().zip(&self.strides).map(|(&i, &s)| i as isize * s).sum::<isize>();
            let byte = (self.offset + offset) as usize * size;
            each(&start, &mut self.data[byte..byte + run as usize * size])?;
        }
        Ok(())
    }

    /// Sets every element to `value`, converted as [`Scalar::cast`] does.
    pub fn fill(&mut self, value: Scalar) {
        let (bytes, size) = value.cast(self.dtype).bytes();
        let filled: Result<(), std::convert::Infallible> = self.try_for_each_run(|_, run| {
            if bytes[..size].iter().all(|&b| b == bytes[0]) {
                run.fill(bytes[0]);
            } else {
                run.chunks_exact_mut(size)
                    .for_each(|element| element.copy_from_slice(&bytes[..size]));
            }
            Ok(())
        });
        let Ok(()) = filled;
    }

    /// Copies all elements of `source`.
    ///
    /// # Panics
    /// If dtype or shape differ.
    pub fn assign(&mut self, source: &ChunkView<'_>) {
        assert_eq!(self.dtype, source.dtype, "dtypes of a copy");
        assert_eq!(self.shape, source.shape, "shapes of a copy");
        if self.is_empty() {
            return;
        }
        let plan = CopyPlan::new(&self.shape, &self.strides, &source.strides);
        let (to, from) = (self.offset, source.offset);
        match self.dtype.size() {
            1 => plan.run::<u8>(self.data, to, source.data, from),
            2 => plan.run::<u16>(
                bytemuck::cast_slice_mut(self.data),
                to,
                bytemuck::cast_slice(source.data),
                from,
            ),
            4 => plan.run::<u32>(
                bytemuck::cast_slice_mut(self.data),
                to,
                bytemuck::cast_slice(source.data),
                from,
            ),
            _ => plan.run::<u64>(
                bytemuck::cast_slice_mut(self.data),
                to,
                bytemuck::cast_slice(source.data),
                from,
            ),
        }
    }
}

#[cfg(test)]
mod tests;
