//! A kernel's scratch, divided into parts for elements of several types.

use bytemuck::Pod;

/// Takes room for `len` elements from the front of a kernel's scratch, of any content.
pub(crate) fn carve<'a, T: Pod>(scratch: &mut &'a mut [u8], len: usize) -> &'a mut [T] {
    let bytes = carved::<T>(len) as usize;
    let (front, rest) = std::mem::take(scratch).split_at_mut(bytes);
    *scratch = rest;
    bytemuck::cast_slice_mut(&mut front[..len * size_of::<T>()])
}

/// Bytes that [`carve`] takes.
pub(crate) fn carved<T>(len: usize) -> u64 {
    (len as u64).saturating_mul(size_of::<T>() as u64).saturating_add(63) / 64 * 64
}
