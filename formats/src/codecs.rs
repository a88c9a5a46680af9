//! Codecs by themselves, on bytes in memory: what reading a compressed file is measured against.
//!
//! The decoders are those that the adapters call, with the buffers that they use; what an adapter
//! adds to them is finding a chunk, reading its bytes and putting its elements in their place.
//! Only with the feature `codecs`.

use crate::{
    dtype::DType,
    error::{ErrorKind, FormatError, Result},
    fits::bare,
    transform::{shuffle, unshuffle},
    zarr::codec::Step,
};
use libdeflater::{CompressionLvl, Compressor};

/// Makes elements of `dtype` of the pixels that a plain FITS image has for them, where they lie.
pub fn from_fits(dtype: DType, pixels: &mut [u8]) {
    bare::elements(dtype, pixels);
}

/// A codec of chunks or tiles; elements are in native order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Codec {
    /// FITS's RICE_1, of a tile of integers of 16 bits.
    Rice,
    /// FITS's RICE_1, of a tile of floats of 32 bits that are rounded to multiples of `step`.
    Quantised {
        /// ZSCALE
        step: f64,
    },
    /// HDF5's shuffle and deflate.
    ShuffledDeflate {
        /// Bytes of an element.
        size: usize,
        /// Of the compression, 0 to 9.
        level: u32,
    },
    /// Zarr's zstd.
    Zstd {
        /// Of the compression.
        level: i32,
    },
    /// Zarr's blosc, LZ4 behind its shuffle.
    Blosc {
        /// Bytes of an element.
        size: usize,
    },
}

impl Codec {
    /// The stored bytes of some elements, as the adapter writes them.
    ///
    /// # Errors
    /// If the level is none of the codec's.
    pub fn encode(self, elements: &[u8]) -> Result<Vec<u8>> {
        match self {
            Codec::Rice => Ok(bare::encode_integers(elements)),
            Codec::Quantised { step } => Ok(bare::encode_floats(elements, step)),
            Codec::ShuffledDeflate { size, level } => {
                let level = i32::try_from(level).ok().and_then(|n| CompressionLvl::new(n).ok());
                let level = level.ok_or_else(|| failed("deflate has no such level"))?;
                let mut shuffled = vec![0; elements.len()];
                shuffle(elements, &mut shuffled, size);
                let mut compressor = Compressor::new(level);
                let mut out = vec![0; compressor.zlib_compress_bound(elements.len())];
                let len = compressor.zlib_compress(&shuffled, &mut out);
                out.truncate(len.map_err(|error| failed(&error.to_string()))?);
                Ok(out)
            }
            Codec::Zstd { level } => encoded(Step::Zstd { level }, elements, 1),
            Codec::Blosc { size } => encoded(Step::Blosc, elements, size),
        }
    }

    /// Decodes what [`Codec::encode`] gave into `out`, which is as long as the elements were.
    /// `spare` is a buffer of that length, for codecs of two steps.
    ///
    /// # Errors
    /// If the bytes are damaged, or hold another number of elements.
    pub fn decode(self, encoded: &[u8], spare: &mut [u8], out: &mut [u8]) -> Result<()> {
        let found = match self {
            Codec::Rice => return bare::decode_integers(encoded, out),
            Codec::Quantised { step } => return bare::decode_floats(encoded, step, out),
            Codec::ShuffledDeflate { size, .. } => {
                let found = Step::Zlib.undo(encoded, spare)?;
                unshuffle(spare, out, size);
                found
            }
            Codec::Zstd { level } => Step::Zstd { level }.undo(encoded, out)?,
            Codec::Blosc { .. } => Step::Blosc.undo(encoded, out)?,
        };
        if found == out.len() {
            return Ok(());
        }
        let message = format!("it decodes to {found} bytes, not {}", out.len());
        Err(FormatError::new(ErrorKind::Corrupt, message))
    }
}

fn encoded(step: Step, elements: &[u8], size: usize) -> Result<Vec<u8>> {
    let mut out = vec![0; step.bound(elements.len() as u64) as usize];
    let len = step.apply(elements, size, &mut out)?;
    out.truncate(len);
    Ok(out)
}

fn failed(message: &str) -> FormatError {
    FormatError::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_become_elements() {
        let mut pixels = [0x80, 0x01, 0x7f, 0xff];
        from_fits(DType::U16, &mut pixels);
        assert_eq!(pixels, *bytemuck::bytes_of(&[1u16, 0xffff]));
        let mut pixels = 1.5f32.to_be_bytes();
        from_fits(DType::F32, &mut pixels);
        assert_eq!(pixels, 1.5f32.to_ne_bytes());
    }

    #[test]
    fn each_codec_gives_back_what_it_took() {
        let integers: Vec<u8> = (0..5000u16).flat_map(|i| (i % 97 + 300).to_ne_bytes()).collect();
        let floats: Vec<u8> =
            (0..5000u16).flat_map(|i| (f32::from(i % 97) * 0.5).to_ne_bytes()).collect();
        for (codec, elements) in [
            (Codec::Rice, &integers),
            (Codec::Quantised { step: 0.5 }, &floats),
            (Codec::ShuffledDeflate { size: 4, level: 4 }, &floats),
            (Codec::Zstd { level: 3 }, &floats),
            (Codec::Blosc { size: 2 }, &integers),
        ] {
            let encoded = codec.encode(elements).unwrap();
            assert!(encoded.len() < elements.len() / 2, "{codec:?}: {}", encoded.len());
            let (mut spare, mut out) = (vec![0; elements.len()], vec![0; elements.len()]);
            codec.decode(&encoded, &mut spare, &mut out).unwrap();
            assert!(out == *elements, "{codec:?}");
            assert!(codec.decode(&encoded[..encoded.len() / 2], &mut spare, &mut out).is_err());
        }
        assert!(Codec::ShuffledDeflate { size: 2, level: 99 }.encode(&integers).is_err());
    }
}
