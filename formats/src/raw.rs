//! Elements that lie in a file as they are: any box of them by positioned reads.
//!
//! Owns the choice between one long read, a read a row, and reading a span and picking
//! from it; adapters say where an array begins and in what order its bytes are.

use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    region::{Dims, Region},
    stored::ReadAt,
    view::{ChunkMut, ChunkView, Strides, c_strides},
};
/// Bytes of the window through which short rows are read: about half of a second-level cache.
const WINDOW: u64 = 256 << 10;

/// Spans up to this length are read whole, however little of them is wanted: a system call
/// costs about as much as copying so many bytes.
const CHEAP_SPAN: u64 = 16 << 10;

/// An array of `shape`, in C order, that begins at the byte `base` of a file.
pub(crate) struct RawArray<'a> {
    pub(crate) file: &'a dyn ReadAt,
    pub(crate) base: u64,
    pub(crate) shape: &'a [u64],
    pub(crate) dtype: DType,
    /// Whether the bytes of each element are in the other order than this machine's.
    pub(crate) swap: bool,
}

/// Bytes of scratch that [`RawArray::read`] needs for any box of an array of `total` bytes.
pub(crate) fn window_bytes(total: u64) -> u64 {
    total.min(WINDOW)
}

/// Bytes that reading `region` of an array of `shape`, in C order, fetches: storage is fetched in
/// pages, so runs less than a page apart come with what lies between them.
pub(crate) fn fetched_bytes(region: &Region, shape: &[u64], size: u64) -> u64 {
    const PAGE: u64 = 4096;
    if region.is_empty() {
        return 0;
    }
    let (mut runs, mut run, mut stride) = (1u64, size, size);
    for (&len, &whole) in region.shape.iter().zip(shape).rev() {
        if runs == 1 && stride - run < PAGE {
            run += (len - 1) * stride;
        } else {
            runs *= len;
        }
        stride *= whole;
    }
    if runs == 1 { run } else { runs * run.max(PAGE) }
}

impl RawArray<'_> {
    /// Reads `region` into `out`, which has its shape; `window` is as long as
    /// [`window_bytes`] says, its start aligned to an element.
    pub(crate) fn read(
        &self,
        region: &Region,
        out: &mut ChunkMut<'_>,
        window: &mut [u8],
    ) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        let size = self.dtype.size() as u64;
        let strides = c_strides(self.shape);
        let first = offset(&region.start, &strides);
        let start = self.base + first * size;
        if region.is_contiguous_in(self.shape)
            && let Some(bytes) = out.as_bytes()
        {
            return self.fetch(bytes, start);
        }
        let last: Dims = region.shape.iter().map(|len| len - 1).collect();
        let span = (offset(&last, &strides) + 1) * size;
        let wanted = region.volume() * size;
        if span <= window.len() as u64 && (wanted * 4 >= span || span <= CHEAP_SPAN) {
            let bytes = &mut window[..span as usize];
            self.fetch(bytes, start)?;
            let view = ChunkView::strided(self.dtype, bytes, 0, region.shape.clone(), strides);
            out.assign(&view);
            return Ok(());
        }
        // Cut along the outermost axis that can be cut: in groups that fill the window where
        // most of what lies between is wanted, else one by one.
        let Some(axis) = region.shape.iter().position(|&len| len > 1) else {
            return Err(FormatError::new(ErrorKind::Invalid, "no scratch for reading an element"));
        };
        let (len, step) = (region.shape[axis], strides[axis] as u64 * size);
        let dense = wanted / len * 4 >= step || step <= CHEAP_SPAN;
        let fits = (window.len() as u64 / step).max(1);
        let group = if dense && fits < len { fits } else { 1 };
        let mut part = region.clone();
        let mut part_of_out = Region::whole(&region.shape);
        for at in (0..len).step_by(group as usize) {
            let count = group.min(len - at);
            (part.start[axis], part.shape[axis]) = (region.start[axis] + at, count);
            (part_of_out.start[axis], part_of_out.shape[axis]) = (at, count);
            self.read(&part, &mut out.sub(&part_of_out), window)?;
        }
        Ok(())
    }

    fn fetch(&self, bytes: &mut [u8], start: u64) -> Result<()> {
        read_exact(self.file, bytes, start)?;
        to_native(bytes, self.dtype, self.swap);
        Ok(())
    }
}

/// Fills `bytes` with what begins at the byte `start` of a file.
pub(crate) fn read_exact(file: &dyn ReadAt, bytes: &mut [u8], start: u64) -> Result<()> {
    file.read_exact_at(bytes, start).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => FormatError::new(
            ErrorKind::Corrupt,
            format!("the file ends before byte {}", start.saturating_add(bytes.len() as u64)),
        ),
        _ => FormatError::io(error),
    })
}

fn offset(at: &[u64], strides: &Strides) -> u64 {
    at.iter().zip(strides).map(|(&i, &stride)| i * stride as u64).sum()
}

/// Makes stored elements what a chunk holds: native byte order, and 0 or 1 for `bool`.
pub(crate) fn to_native(bytes: &mut [u8], dtype: DType, swap: bool) {
    match dtype.size() {
        1 if dtype == DType::Bool => bytes.iter_mut().for_each(|b| *b = u8::from(*b != 0)),
        2 if swap => reverse::<2>(bytes),
        4 if swap => reverse::<4>(bytes),
        8 if swap => reverse::<8>(bytes),
        _ => {}
    }
}

/// Reverses the bytes of each element of `N`.
fn reverse<const N: usize>(bytes: &mut [u8]) {
    // In cache, one core: 110 GB/s with AVX2, 31 with what every x86-64 has.
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, which is all that the function asks for.
        return unsafe { reverse_avx2::<N>(bytes) };
    }
    reverse_any::<N>(bytes);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn reverse_avx2<const N: usize>(bytes: &mut [u8]) {
    reverse_any::<N>(bytes);
}

#[inline(always)]
fn reverse_any<const N: usize>(bytes: &mut [u8]) {
    bytes.as_chunks_mut::<N>().0.iter_mut().for_each(|element| element.reverse());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    proptest! {
        #[test]
        fn boxes_equal_slices_for_every_window(
            shape in proptest::collection::vec(1u64..9, 1..4),
            picks in proptest::collection::vec((0.0..1.0f64, 0.0..1.0f64), 4),
            window in 1usize..60,
            strided in proptest::bool::ANY,
        ) {
            let count = shape.iter().product::<u64>();
            let values: Vec<u16> = (0..count as u16).collect();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&[7; 3]).unwrap();
            values.iter().for_each(|v| file.write_all(&v.to_be_bytes()).unwrap());
            let mut region = Region::whole(&shape);
            for (axis, &(a, b)) in shape.iter().zip(&picks).map(|(_, p)| p).enumerate() {
                region.start[axis] = (a * shape[axis] as f64) as u64;
                let rest = shape[axis] - region.start[axis];
                region.shape[axis] = 1 + (b * rest as f64) as u64 % rest;
            }
            let raw = RawArray {
                file: &file, base: 3, shape: &shape, dtype: DType::U16,
                swap: cfg!(target_endian = "little"),
            };
            // A target with a gap behind each row, or none.
            let mut wide: Dims = region.shape.clone();
            *wide.last_mut().unwrap() += u64::from(strided);
            let mut data = vec![0u16; wide.iter().product::<u64>() as usize];
            let mut out = ChunkMut::of(&mut data, &wide);
            let mut out = out.sub(&Region::whole(&region.shape));
            let mut words = vec![0u64; window.div_ceil(4)];
            let window = &mut bytemuck::cast_slice_mut(&mut words)[..window * 2];
            raw.read(&region, &mut out, window).unwrap();
            let expected = ChunkView::of(&values, &shape).sub(&region).to_vec::<u16>();
            prop_assert_eq!(out.as_view().to_vec::<u16>(), expected);
        }
    }

    #[test]
    fn runs_that_lie_close_are_fetched_with_what_lies_between() {
        let shape = [100, 1000, 1000];
        let fetched = |start: [u64; 3], len: [u64; 3]| {
            fetched_bytes(&Region::new(start.to_vec(), len.to_vec()), &shape, 4)
        };
        assert_eq!(fetched([0; 3], shape), 400_000_000);
        assert_eq!(fetched([7, 20, 0], [1, 64, 1000]), 256_000);
        assert_eq!(fetched([7, 20, 10], [1, 64, 50]), 63 * 4000 + 200);
        assert_eq!(fetched([7, 0, 0], [10, 1, 1]), 40_960);
        assert_eq!(fetched([0, 3, 3], [100, 2, 5]), 100 * 4096);
        assert_eq!(fetched([0, 0, 0], [100, 0, 5]), 0);
    }

    #[test]
    fn a_file_that_ends_early_is_corrupt() {
        let file = tempfile::tempfile().unwrap();
        let raw = RawArray { file: &file, base: 0, shape: &[4], dtype: DType::U8, swap: false };
        let mut data = [0u8; 4];
        let error = raw
            .read(&Region::whole(&[4]), &mut ChunkMut::of(&mut data, &[4]), &mut [])
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}
