//! The folds that come with the library: sums, means, extrema, spreads, truths.
//!
//! | module | owns |
//! |---|---|
//! | `number` | what is asked of element types |
//! | `lanes` | the loops, and the order of elements that fixes the bits |
//! | `single` | folds whose state is one value a cell |
//! | `nanmean` | the mean of what is not NaN |
//! | `moments` | variances and standard deviations |
//! | `places` | `argmin` and `argmax` |
//! | `inorder` | any fold, of elements one by one in the order of their indices |
//! | `reproducible` | sums, means and spreads whose bits do not depend on the order of elements |
//!
//! Values and dtypes are NumPy's, but float32 is summed in doubles and rounded once, at the
//! end. Of no element (a count of 0) a fold gives its identity, a mean NaN: where NumPy
//! refuses, as for `min`, the caller does.

mod inorder;
mod lanes;
mod moments;
mod nanmean;
pub(super) mod number;
mod places;
mod reproducible;
mod single;

use super::Fold;
use freeboard_formats::{DType, Element, with_dtype};
pub(crate) use inorder::in_order;
use moments::{Moments, NanMoments, Spread};
use nanmean::NanMean;
use number::Number;
use places::Place;
use single::{Single, as_it_is, each};
use std::sync::Arc;

/// A reduction.
///
/// Those named `Nan…` leave NaN out; on integers and `bool` they are the plain ones.
/// `ddof` is what is subtracted from the count in the divisor of a variance; where
/// nothing is left, the result is NaN or infinite, as in NumPy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FoldOp {
    /// The sum: int64 of `bool` and signed integers, uint64 of unsigned ones; both wrap.
    Sum,
    /// The product, in the dtypes of the sum.
    Prod,
    /// The mean: float64 of integers.
    Mean,
    /// The least; NaN if one is NaN.
    Min,
    /// The greatest; NaN if one is NaN.
    Max,
    /// The variance: float64 of integers.
    Var {
        /// Subtracted from the count.
        ddof: u64,
    },
    /// The standard deviation.
    Std {
        /// Subtracted from the count.
        ddof: u64,
    },
    /// The int64 C-order index of the first least element, or of the first NaN.
    ArgMin,
    /// The int64 C-order index of the first greatest element, or of the first NaN.
    ArgMax,
    /// Whether one is not zero (NaN is not).
    Any,
    /// Whether none is zero (NaN is not).
    All,
    /// How many are not NaN, as int64.
    Count,
    /// The sum of what is not NaN; 0 of nothing.
    NanSum,
    /// The product of what is not NaN; 1 of nothing.
    NanProd,
    /// The mean of what is not NaN; NaN of nothing.
    NanMean,
    /// The least of what is not NaN; NaN of nothing.
    NanMin,
    /// The greatest of what is not NaN; NaN of nothing.
    NanMax,
    /// The variance of what is not NaN; NaN where `ddof` or fewer are.
    NanVar {
        /// Subtracted from the count.
        ddof: u64,
    },
    /// The standard deviation of what is not NaN; NaN where `ddof` or fewer are.
    NanStd {
        /// Subtracted from the count.
        ddof: u64,
    },
    /// As [`ArgMin`](FoldOp::ArgMin) of what is not NaN; -1 of nothing, where NumPy refuses.
    NanArgMin,
    /// As [`ArgMax`](FoldOp::ArgMax) of what is not NaN; -1 of nothing, where NumPy refuses.
    NanArgMax,
}

impl FoldOp {
    /// All reductions, with a `ddof` of 0.
    pub const ALL: &[FoldOp] = &[
        FoldOp::Sum,
        FoldOp::Prod,
        FoldOp::Mean,
        FoldOp::Min,
        FoldOp::Max,
        FoldOp::Var { ddof: 0 },
        FoldOp::Std { ddof: 0 },
        FoldOp::ArgMin,
        FoldOp::ArgMax,
        FoldOp::Any,
        FoldOp::All,
        FoldOp::Count,
        FoldOp::NanSum,
        FoldOp::NanProd,
        FoldOp::NanMean,
        FoldOp::NanMin,
        FoldOp::NanMax,
        FoldOp::NanVar { ddof: 0 },
        FoldOp::NanStd { ddof: 0 },
        FoldOp::NanArgMin,
        FoldOp::NanArgMax,
    ];

    /// NumPy's name of the reduction.
    pub const fn name(self) -> &'static str {
        match self {
            FoldOp::Sum => "sum",
            FoldOp::Prod => "prod",
            FoldOp::Mean => "mean",
            FoldOp::Min => "min",
            FoldOp::Max => "max",
            FoldOp::Var { .. } => "var",
            FoldOp::Std { .. } => "std",
            FoldOp::ArgMin => "argmin",
            FoldOp::ArgMax => "argmax",
            FoldOp::Any => "any",
            FoldOp::All => "all",
            FoldOp::Count => "count",
            FoldOp::NanSum => "nansum",
            FoldOp::NanProd => "nanprod",
            FoldOp::NanMean => "nanmean",
            FoldOp::NanMin => "nanmin",
            FoldOp::NanMax => "nanmax",
            FoldOp::NanVar { .. } => "nanvar",
            FoldOp::NanStd { .. } => "nanstd",
            FoldOp::NanArgMin => "nanargmin",
            FoldOp::NanArgMax => "nanargmax",
        }
    }

    /// The reduction of this name, with a `ddof` of 0.
    pub fn from_name(name: &str) -> Option<FoldOp> {
        FoldOp::ALL.iter().copied().find(|op| op.name() == name)
    }

    /// The `ddof`, of variances and standard deviations.
    pub const fn ddof(self) -> Option<u64> {
        match self {
            FoldOp::Var { ddof }
            | FoldOp::Std { ddof }
            | FoldOp::NanVar { ddof }
            | FoldOp::NanStd { ddof } => Some(ddof),
            _ => None,
        }
    }

    /// The same reduction with this `ddof`, where it has one.
    #[must_use]
    pub const fn with_ddof(self, ddof: u64) -> FoldOp {
        match self {
            FoldOp::Var { .. } => FoldOp::Var { ddof },
            FoldOp::Std { .. } => FoldOp::Std { ddof },
            FoldOp::NanVar { .. } => FoldOp::NanVar { ddof },
            FoldOp::NanStd { .. } => FoldOp::NanStd { ddof },
            other => other,
        }
    }
}

/// The fold `op` of elements of `dtype`.
///
/// # Errors
/// If the reduction is not defined for the dtype: all are, for all dtypes so far.
pub fn fold(op: FoldOp, dtype: DType) -> Result<Arc<dyn Fold>, String> {
    let nan_fold = match dtype {
        DType::F32 => of_floats::<f32>(op, dtype),
        DType::F64 => of_floats::<f64>(op, dtype),
        _ => None,
    };
    Ok(match nan_fold {
        Some(fold) => fold,
        None => with_dtype!(dtype, T => of_numbers::<<T as Element>::Repr>(op, dtype)),
    })
}

/// The dtype of sums.
const fn sum_dtype(dtype: DType) -> DType {
    match dtype {
        DType::F32 | DType::F64 => dtype,
        _ if dtype.is_unsigned() => DType::U64,
        _ => DType::I64,
    }
}

fn of_numbers<T: Number>(op: FoldOp, dtype: DType) -> Arc<dyn Fold> {
    let name = op.name();
    let total = sum_dtype(dtype);
    let sums = [dtype, if dtype.is_float() { DType::F64 } else { total }, total];
    let real = if dtype.is_float() { dtype } else { DType::F64 };
    let finish_total =
        |cells: &[u8], _: u64, out: &mut [u8]| each::<T::Sum, T::Total>(cells, out, T::total);
    let finish_mean = |cells: &[u8], count: u64, out: &mut [u8]| {
        each(cells, out, |sum: f64| T::real(sum / count as f64));
    };
    match op {
        FoldOp::Sum | FoldOp::NanSum => {
            Arc::new(Single::new::<single::Total<T>>(op, sums, finish_total))
        }
        FoldOp::Prod | FoldOp::NanProd => {
            Arc::new(Single::new::<single::Product<T>>(op, sums, finish_total))
        }
        FoldOp::Mean | FoldOp::NanMean => {
            Arc::new(Single::new::<single::Real<T>>(op, [dtype, DType::F64, real], finish_mean))
        }
        FoldOp::Min | FoldOp::NanMin => {
            Arc::new(Single::new::<single::Least<T>>(op, [dtype; 3], as_it_is))
        }
        FoldOp::Max | FoldOp::NanMax => {
            Arc::new(Single::new::<single::Greatest<T>>(op, [dtype; 3], as_it_is))
        }
        FoldOp::Any => {
            let dtypes = [dtype, DType::Bool, DType::Bool];
            Arc::new(Single::new::<single::Any<T>>(op, dtypes, as_it_is))
        }
        FoldOp::All => {
            let dtypes = [dtype, DType::Bool, DType::Bool];
            Arc::new(Single::new::<single::All<T>>(op, dtypes, as_it_is))
        }
        FoldOp::Count => {
            let dtypes = [dtype, DType::I64, DType::I64];
            Arc::new(Single::new::<single::Count<T>>(op, dtypes, as_it_is))
        }
        FoldOp::Var { .. } | FoldOp::NanVar { .. } | FoldOp::Std { .. } | FoldOp::NanStd { .. } => {
            Arc::new(Moments::new::<T>(Spread(op), dtype, real))
        }
        FoldOp::ArgMin => Arc::new(Place::new::<T, true, false>(name, dtype)),
        FoldOp::NanArgMin => Arc::new(Place::new::<T, true, true>(name, dtype)),
        FoldOp::ArgMax => Arc::new(Place::new::<T, false, false>(name, dtype)),
        FoldOp::NanArgMax => Arc::new(Place::new::<T, false, true>(name, dtype)),
    }
}

/// The folds of floats that leave NaN out, but for those that [`of_numbers`] makes.
fn of_floats<T: Number>(op: FoldOp, dtype: DType) -> Option<Arc<dyn Fold>>
where
    single::NanLeast<T>: lanes::Monoid<In = T, Acc = T>,
    single::NanGreatest<T>: lanes::Monoid<In = T, Acc = T>,
{
    let sums = [dtype, DType::F64, dtype];
    let finish_total =
        |cells: &[u8], _: u64, out: &mut [u8]| each::<T::Sum, T::Total>(cells, out, T::total);
    Some(match op {
        FoldOp::NanSum => Arc::new(Single::new::<single::NanTotal<T>>(op, sums, finish_total)),
        FoldOp::NanProd => Arc::new(Single::new::<single::NanProduct<T>>(op, sums, finish_total)),
        FoldOp::NanMean => Arc::new(NanMean::new::<T>(dtype)),
        FoldOp::NanMin => Arc::new(Single::new::<single::NanLeast<T>>(op, [dtype; 3], as_it_is)),
        FoldOp::NanMax => Arc::new(Single::new::<single::NanGreatest<T>>(op, [dtype; 3], as_it_is)),
        FoldOp::NanVar { .. } | FoldOp::NanStd { .. } => {
            Arc::new(NanMoments::new::<T>(Spread(op), dtype))
        }
        _ => return None,
    })
}
