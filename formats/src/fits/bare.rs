//! Tiles by themselves, without the table that holds them: for [`crate::codecs`].

use super::{
    convert::{Cells, Convert, Order, to_file_order},
    quantise::{Dither, Quantum},
    rice, write,
};
use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
};

/// What stands for NaN among quantised pixels, where it is looked for.
const BLANK: i32 = i32::MIN + 1;

/// Makes elements of the pixels of a plain image, where they lie.
pub(crate) fn elements(dtype: DType, pixels: &mut [u8]) {
    Convert::plain(dtype).apply(Cells::InPlace(pixels), Order::Big);
}

/// RICE_1 of pixels of 16 bits, in native order.
pub(crate) fn encode_integers(pixels: &[u8]) -> Vec<u8> {
    let mut pixels = pixels.to_vec();
    to_file_order(DType::I16, &mut pixels);
    encoded::<2>(&pixels)
}

/// RICE_1 of floats of 32 bits, in native order, rounded to multiples of `step`.
pub(crate) fn encode_floats(elements: &[u8], step: f64) -> Vec<u8> {
    let pixel = |&bytes| (f64::from(f32::from_ne_bytes(bytes)) / step).round() as i32;
    let pixels: Vec<u8> =
        elements.as_chunks().0.iter().flat_map(|bytes| pixel(bytes).to_be_bytes()).collect();
    encoded::<4>(&pixels)
}

fn encoded<const N: usize>(pixels: &[u8]) -> Vec<u8> {
    let pixels = pixels.as_chunks::<N>().0;
    let mut out = vec![0; write::rice::bound(pixels.len() as u64, N as u64) as usize];
    let len = write::rice::encode(pixels, &mut out);
    out.truncate(len);
    out
}

/// Undoes [`encode_integers`].
pub(crate) fn decode_integers(encoded: &[u8], out: &mut [u8]) -> Result<()> {
    rice::decode::<2>(encoded, write::rice::BLOCK, out.as_chunks_mut().0).map_err(damaged)
}

/// Undoes [`encode_floats`].
pub(crate) fn decode_floats(encoded: &[u8], step: f64, out: &mut [u8]) -> Result<()> {
    rice::decode::<4>(encoded, write::rice::BLOCK, out.as_chunks_mut().0).map_err(damaged)?;
    let quantum =
        Quantum { scale: step, zero: 0.0, blank: Some(BLANK), dither: Dither::None, seed: 0 };
    quantum.to_f32(Cells::InPlace(out), Order::Native);
    Ok(())
}

fn damaged(error: rice::RiceError) -> FormatError {
    FormatError::new(ErrorKind::Corrupt, error.to_string())
}
