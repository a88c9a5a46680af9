//! Frames combined into one, as ccdproc does it: [`Combine`] says how.

use super::{
    Array, Kind, Line,
    args::{axis_of, fitted},
    kept, mistake,
    shape::{broadcast, permuted, rechunked, view},
};
use crate::{
    error::Result,
    expr::{Expr, Need, Needs},
    kernel::{Center, Combination, Deviation, Frames, SigmaClip},
};
use freeboard_formats::{AxisGrid, Grid, Meta, Scalar};
use std::{iter, panic::Location, sync::Arc};

/// The bytes of all frames at the places that a task computes, about.
const BAND: u64 = 16 << 20;

/// How frames are combined: what is made of the elements at one place, and which of them are
/// rejected before. Built like `Combine::median().sigma_clip(3.0)`, for [`Array::combine`].
///
/// In this order: NaN and what a mask names are left out; frames are multiplied by their factors;
/// elements beyond limits are rejected; then those too many deviations from the others.
#[derive(Clone, Debug)]
pub struct Combine {
    how: Combination,
    limits: Option<(f64, f64)>,
    clip: Option<SigmaClip>,
    weights: Vec<f64>,
    scale: Vec<f64>,
    mask: Option<Array<bool>>,
}

impl Combine {
    fn new(how: Combination) -> Combine {
        Combine {
            how,
            limits: None,
            clip: None,
            weights: Vec::new(),
            scale: Vec::new(),
            mask: None,
        }
    }

    /// To the mean.
    pub fn mean() -> Combine {
        Combine::new(Combination::Mean)
    }

    /// To the median.
    pub fn median() -> Combine {
        Combine::new(Combination::Median)
    }

    /// To the sum of what is not rejected.
    pub fn sum() -> Combine {
        Combine::new(Combination::Sum)
    }

    /// Rejects, once, what lies more than `deviations` standard deviations from the median.
    #[must_use]
    pub fn sigma_clip(self, deviations: f64) -> Combine {
        let (center, deviation) = (Center::Median, Deviation::Std);
        self.sigma_clip_by(SigmaClip {
            low: deviations,
            high: deviations,
            center,
            deviation,
            iterations: Some(1),
        })
    }

    /// Rejects what lies too far from a centre, as [`SigmaClip`] says.
    #[must_use]
    pub fn sigma_clip_by(self, clip: SigmaClip) -> Combine {
        Combine { clip: Some(clip), ..self }
    }

    /// Rejects elements below `low` or above `high`.
    #[must_use]
    pub fn min_max_clip(self, low: f64, high: f64) -> Combine {
        Combine { limits: Some((low, high)), ..self }
    }

    /// A weight for each frame, of means and sums; of a mean, only those of elements that are not
    /// rejected count.
    #[must_use]
    pub fn weights(self, weights: impl IntoIterator<Item = f64>) -> Combine {
        Combine { weights: weights.into_iter().collect(), ..self }
    }

    /// A factor for each frame, which it is multiplied by before anything is rejected.
    #[must_use]
    pub fn scale(self, factors: impl IntoIterator<Item = f64>) -> Combine {
        Combine { scale: factors.into_iter().collect(), ..self }
    }

    /// Leaves out elements where `mask` is true; it broadcasts to the frames' shape.
    #[must_use]
    pub fn mask(self, mask: &Array<bool>) -> Combine {
        Combine { mask: Some(mask.clone()), ..self }
    }
}

impl<T: Kind> Array<T> {
    /// The frames along `axis` combined into one, which has no such axis. NaN is left out; where
    /// nothing is left the result is NaN. It is float64, of float32 it is float32. Sums, means and deviations are
    /// computed in doubles; float32 times its factor is rounded to float32, unless deviations are by
    /// [`MadStd`](Deviation::MadStd).
    /// ```
    /// use freeboard::{array::{Array, Combine}, Session};
    ///
    /// // Three frames of two elements, one of them hit by a cosmic ray.
    /// let frames = ndarray::array![[1.0, 5.0], [2.0, 5.5], [900.0, 6.0], [3.0, 6.5]];
    /// let frames: Array<f64> = Array::from_ndarray(&frames);
    /// let combined: Array<f64> = frames.combine(0, Combine::mean().sigma_clip(1.5));
    /// let session = Session::builder().memory("128MiB").build()?;
    /// assert_eq!(session.compute(combined)?.as_slice().unwrap(), [2.0, 5.75]);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn combine(&self, axis: i64, how: Combine) -> Array<T::Mean> {
        let at = Location::caller();
        Array::from_expr(kept(at, || combined(&self.expr, axis, how, at)))
    }
}

fn combined(expr: &Expr, axis: i64, how: Combine, at: Line) -> Result<Expr> {
    let meta = expr.meta()?;
    let shape = meta.shape();
    let axis = axis_of(axis, shape.len()).map_err(mistake(at))?;
    let frames = shape[axis];
    for (factors, name) in [(&how.weights, "weights"), (&how.scale, "factors")] {
        if !factors.is_empty() && factors.len() as u64 != frames {
            let message = format!("{} {name} for {frames} frames", factors.len());
            return Err(mistake(at)(message));
        }
    }
    let mut order: Vec<usize> = (0..shape.len()).filter(|&other| other != axis).collect();
    order.insert(0, axis);
    let in_front = |expr: &Expr| {
        let (access, shape) = permuted(&order, &shape);
        view(expr, access, &shape, at)
    };
    let stack = in_front(expr);
    let stacked = stack.meta()?;
    let kernel = Frames {
        dtype: meta.dtype,
        combination: how.how,
        limits: how.limits,
        clip: how.clip,
        weights: how.weights.into(),
        scale: how.scale.into(),
    };
    let size = meta.dtype.size() as u64;
    let most = (BAND / size / frames.max(1)).max(1);
    let bands = fitted(&stacked.grid.axes()[1..], most);
    let grid = Grid::new(bands);
    if shape.contains(&0) {
        return Ok(Expr::constant(Scalar::F64(f64::NAN).cast(kernel.output()), grid, at));
    }
    let whole = iter::once(AxisGrid::whole(frames)).chain(grid.axes().iter().cloned());
    let whole = Grid::new(whole);
    let needs = Needs::new(iter::once(Need::All).chain((0..grid.rank()).map(Need::same)));
    // Cut before it is computed, so that what the frames are made by runs band by band too.
    let mut inputs = vec![(rechunked(&stack, whole.clone(), at), needs.clone())];
    if let Some(mask) = &how.mask {
        let (access, shape) =
            broadcast(&mask.meta()?.shape(), shape.clone()).map_err(mistake(at))?;
        let mask = in_front(&view(&mask.expr, access, &shape, at));
        inputs.push((rechunked(&mask, whole, at), needs));
    }
    let mut made = Meta { dtype: kernel.output(), grid, ..stacked.clone() };
    made.axes.remove(0);
    Ok(Expr::block(Arc::new(kernel), inputs, made, at))
}

#[cfg(test)]
mod tests {
    use super::super::{ones, zeros};
    use super::*;
    use freeboard_formats::DType;

    #[test]
    fn bands_of_all_frames_and_mistakes() {
        let frames = zeros::<u16>([200, 2048, 2048]).rechunk([1, 2048, 2048]);
        let median = frames.combine(0, Combine::median());
        // Twenty rows of 200 frames are a little less than 16 MiB.
        assert_eq!(median.chunksize().unwrap(), [20, 2048]);
        assert_eq!(median.dtype().unwrap(), DType::F64);
        let single = frames.cast::<f32>().combine(-1, Combine::sum());
        assert_eq!(
            (single.dtype().unwrap(), single.shape().unwrap()),
            (DType::F32, vec![200, 2048])
        );
        assert_eq!(zeros::<f32>([0, 3]).combine(0, Combine::mean()).shape().unwrap(), [3]);
        let says = |how: Combine, text: &str| {
            let error = ones::<f32>([4, 2]).combine(0, how).meta().unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        };
        says(Combine::mean().weights([1.0; 3]), "3 weights for 4 frames at ");
        says(Combine::mean().scale([1.0; 5]), "5 factors for 4 frames at ");
        says(Combine::mean().mask(&ones([3, 1])), "shape (3, 1) does not broadcast to (4, 2) at ");
        let error = ones::<f32>([4]).combine(1, Combine::mean()).meta().unwrap_err().to_string();
        assert!(error.starts_with("axis 1 is out of range for an array of 1 axis at "), "{error}");
    }
}
