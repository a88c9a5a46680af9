//! Statistics of several variables: covariances and correlations.

use super::{Array, Kind};

impl<T: Kind> Array<T> {
    /// The covariances of variables, which are the rows; its columns are observations of all of them. The divisor is the number of
    /// observations less `ddof`: NumPy's `cov` has 1. Of an array of one axis it is the variance, without axes.
    /// ```
    /// use freeboard::array::random;
    ///
    /// let x = random(1).normal([3, 1000]);
    /// assert_eq!(x.cov(1).shape()?, [3, 3]);
    /// assert_eq!(x.corrcoef().shape()?, [3, 3]);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn cov(&self, ddof: u64) -> Array<f64> {
        let x = self.cast::<f64>().atleast_2d();
        let count = x.shape().map_or(0, |shape| shape[shape.len() - 1] as u64);
        let deviations = &x - x.mean(super::keepdims(1));
        let sums = deviations.matmul(&deviations.t());
        (sums / count.saturating_sub(ddof) as f64).squeeze(..)
    }

    /// The correlations of variables, which are the rows: [covariances](Array::cov) by the standard deviations of both,
    /// from -1 to 1.
    #[track_caller]
    pub fn corrcoef(&self) -> Array<f64> {
        let cov = self.cov(1).atleast_2d();
        let deviations = cov.diagonal(0, [0, 1]).sqrt();
        let scaled = cov / deviations.expand_dims(1) / deviations.expand_dims(0);
        scaled.clip(-1.0, 1.0).squeeze(..)
    }
}

#[cfg(test)]
mod tests {
    use super::super::zeros;

    #[test]
    fn shapes_and_mistakes() {
        assert!(zeros::<i8>([9]).cov(0).shape().unwrap().is_empty());
        assert!(zeros::<i8>([9]).corrcoef().shape().unwrap().is_empty());
        let cube = zeros::<f32>([2, 3, 4]).cov(1);
        assert!(cube.meta().is_err(), "{cube}");
    }
}
