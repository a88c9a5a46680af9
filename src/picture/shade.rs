//! An element, two limits, a shade, a colour.

use super::{Picture, Stretch};
use crate::kernel::{BlockCx, BlockKernel, exactly};
use freeboard_formats::{ChunkMut, ChunkView, DType, Scalar};
use std::borrow::Cow;

/// The shade of NaN, behind the 256 others.
const NAN: usize = 256;

/// Makes blocks of bytes from blocks of floats and two limits without axes: one byte an
/// element, or three.
#[derive(Debug)]
pub(super) struct Shade {
    stretch: Stretch,
    /// The colours of 256 shades and of NaN.
    colors: Box<[[u8; 3]]>,
    gray: bool,
}

impl Shade {
    pub(super) fn new(picture: &Picture) -> Shade {
        let colors = picture.colormap.colors().into_iter().chain([picture.nan]).collect();
        Shade { stretch: picture.stretch, colors, gray: picture.is_gray() }
    }

    /// The number of the shade of an element.
    fn number(&self, value: f64, low: f64, high: f64) -> usize {
        if value.is_nan() || low.is_nan() || high.is_nan() {
            return NAN;
        }
        let span = high - low;
        let x = match span > 0.0 {
            true => ((value - low) / span).clamp(0.0, 1.0),
            // All are alike: shades are of what is above.
            false => f64::from(u8::from(value > high)),
        };
        let shade = match self.stretch {
            Stretch::Linear => x,
            Stretch::Sqrt => x.sqrt(),
            Stretch::Log => (1000.0 * x).ln_1p() / 1000f64.ln_1p(),
            Stretch::Asinh => (10.0 * x).asinh() / 10f64.asinh(),
        };
        (shade * 255.0).round() as usize
    }

    fn fill(&self, values: impl Iterator<Item = f64>, (low, high): (f64, f64), out: &mut [u8]) {
        let colors = values.map(|value| self.colors[self.number(value, low, high)]);
        if self.gray {
            out.iter_mut().zip(colors).for_each(|(out, color)| *out = color[0]);
        } else {
            out.as_chunks_mut::<3>().0.iter_mut().zip(colors).for_each(|(out, color)| *out = color);
        }
    }
}

impl BlockKernel for Shade {
    fn name(&self) -> Cow<'static, str> {
        "shade".into()
    }

    fn params(&self) -> Vec<Scalar> {
        let colors = self.colors.iter().flatten().map(|&part| Scalar::U8(part));
        [Scalar::U8(self.stretch as u8), Scalar::Bool(self.gray)]
            .into_iter()
            .chain(colors)
            .collect()
    }

    fn is_named(&self) -> bool {
        true
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        _: &mut [u8],
        _: &BlockCx,
    ) -> Result<(), String> {
        let [elements, low, high] = exactly(inputs, &self.name())?;
        let limits = (low.get(&[]).as_f64(), high.get(&[]).as_f64());
        let out = out.as_bytes().ok_or("the block does not lie in one run")?;
        match elements.dtype() {
            DType::F32 => {
                let elements = elements.as_ndarray::<f32>().ok_or("no block of float32")?;
                self.fill(elements.iter().map(|&value| value.into()), limits, out);
            }
            _ => {
                let elements = elements.as_ndarray::<f64>().ok_or("no block of float64")?;
                self.fill(elements.iter().copied(), limits, out);
            }
        }
        Ok(())
    }
}
