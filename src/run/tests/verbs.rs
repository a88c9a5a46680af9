//! The verbs that random graphs are made of: nearly all that the array layer has.

use super::*;
use crate::{
    array::{
        Chunks, Combine, Pad, Sizes, arange, block, concatenate, eye, keepdims, random, stack,
    },
    imaging::{
        Boundary, gaussian_filter, grey_opening, label, laplace, maximum_filter, median_filter,
        sobel, uniform_filter,
    },
    kernel::Method,
};
use freeboard_formats::{DType, Scalar};

/// How far an array's values can be foreseen without its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exact {
    /// Small whole numbers: their sums are the same in every order.
    Whole,
    /// The same bits for every way of computing them, but their sums depend on the order.
    Bits,
    /// Sums whose order the chunks fix: equal between runs only.
    Runs,
}

/// What a verb makes of how exact its inputs are.
#[derive(Clone, Copy, Debug)]
pub enum Makes {
    /// It moves or selects elements, or gives small whole numbers.
    Same,
    /// It computes each element from some others, always in the same order.
    Elements,
    /// It adds elements up.
    Sums,
    /// It divides and subtracts sums.
    Spreads,
}

impl Makes {
    pub fn of(self, inputs: Exact) -> Exact {
        match (self, inputs) {
            (Makes::Same, inputs) => inputs,
            (Makes::Elements, inputs) => inputs.max(Exact::Bits),
            (Makes::Sums, Exact::Whole) => Exact::Bits,
            (Makes::Sums | Makes::Spreads, _) => Exact::Runs,
        }
    }
}

/// A verb: of an array, another one that broadcasts against it, and a number.
pub type Verb = fn(&Array, &Array, i64) -> Array;

/// An axis of `x`.
fn axis(x: &Array, n: i64) -> i64 {
    n.rem_euclid((x.rank().unwrap_or(0) as i64).max(1))
}

/// Some axes of `x`: one, all but one, or all.
fn axes(x: &Array, n: i64) -> Vec<i64> {
    let (rank, one) = (x.rank().unwrap_or(0) as i64, axis(x, n));
    match n / 4 % 3 {
        0 => (0..rank).filter(|&axis| axis == one).collect(),
        1 if rank > 1 => (0..rank).filter(|&axis| axis != one).collect(),
        _ => (0..rank).collect(),
    }
}

fn edge(n: i64) -> Boundary {
    use Boundary::*;
    [Reflect, Mirror, Nearest, Constant(3.0), Wrap][n as usize % 5]
}

/// A slice of every axis, each different.
fn sliced(x: &Array, n: i64) -> Array {
    let parts = ["::-1", "1:", "::2", ":-1", "::-3", ":", "-2:", "1:1000:2"];
    let rank = x.rank().unwrap_or(0);
    let of = |axis: usize| parts[(n as usize + 3 * axis) % parts.len()];
    x.slice_numpy(&(0..rank).map(of).collect::<Vec<_>>().join(", "))
}

/// The elements as doubles, for functions that are handed blocks.
fn doubles(x: &Array) -> Array<f64> {
    x.cast::<f64>()
}

/// Other chunks: regular, irregular, or along some axes whole.
fn rechunked(x: &Array, n: i64) -> Array {
    let shape = x.shape().unwrap_or_default();
    match n % 3 {
        0 => x.rechunk(vec![n % 5 + 1; shape.len()]),
        1 => x.rechunk(Chunks::exact(
            shape
                .iter()
                .enumerate()
                .map(|(axis, &len)| irregular(len as u64, n as u64 + axis as u64)),
        )),
        _ => {
            let whole = |axis: usize| if axis as i64 == super::verbs::axis(x, n) { -1 } else { 2 };
            x.rechunk((0..shape.len()).map(whole).collect::<Vec<i64>>())
        }
    }
}

/// The lengths of chunks of an axis, no two of which need be equal.
pub fn irregular(len: u64, seed: u64) -> Vec<u64> {
    let (mut left, mut sizes, mut at) = (len, Vec::new(), seed);
    while left > 0 {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let size = ((at >> 60) + 1).min(left);
        sizes.push(size);
        left -= size;
    }
    if sizes.is_empty() { vec![0] } else { sizes }
}

/// Small whole numbers of what may be large or between.
pub fn tamed(x: &Array) -> Array {
    match x.dtype() {
        Ok(DType::F32 | DType::F64) => (x * 4.0 + 0.25).floor().clip(-40.0, 40.0),
        Ok(DType::Bool) => x.clone(),
        _ => x.fmod(37),
    }
}

/// A square of `x`: rows and columns as many as the shorter of its last axes.
fn square(x: &Array) -> Array {
    let shape = x.shape().unwrap_or_default();
    let side = shape.iter().rev().take(2).min().copied().unwrap_or(1);
    x.slice_numpy(&format!("..., :{side}, :{side}"))
}

/// A matrix by another verb's number: a plane of what has more axes.
fn plane(x: &Array) -> Array {
    match x.rank() {
        Ok(rank) if rank > 2 => x.slice_numpy(&vec!["0"; rank - 2].join(", ")),
        _ => x.atleast_2d(),
    }
}

use Makes::{Elements, Same, Spreads, Sums};

/// Names, what becomes of exactness, and the verbs.
pub const VERBS: &[(&str, Makes, Verb)] = &[
    // Views.
    ("t", Same, |x, _, _| x.t()),
    ("swapaxes", Same, |x, _, n| x.swapaxes(axis(x, n), axis(x, n / 3))),
    ("moveaxis", Same, |x, _, n| x.moveaxis(axis(x, n), axis(x, n / 5))),
    ("flip", Same, |x, _, n| x.flip(axes(x, n))),
    ("slice", Same, |x, _, n| sliced(x, n)),
    ("slice of one place", Same, |x, _, n| x.slice_numpy(if n % 2 == 0 { "0" } else { "..., -1" })),
    ("expand_dims", Same, |x, _, n| x.expand_dims(axis(x, n))),
    ("broadcast_to", Same, |x, _, n| {
        let mut shape: Vec<i64> =
            x.shape().unwrap_or_default().iter().map(|&len| len as i64).collect();
        shape.insert(0, n % 3 + 1);
        x.broadcast_to(Sizes::from(shape))
    }),
    ("roll", Same, |x, _, n| x.roll(n - 3, axis(x, n))),
    ("rot90", Same, |x, _, n| x.rot90(n, [0, -1])),
    ("repeat", Same, |x, _, n| x.repeat(n as usize % 3, axis(x, n / 3))),
    ("tile", Same, |x, _, n| x.tile(vec![n % 2 + 1; x.rank().unwrap_or(1)])),
    ("diagonal", Same, |x, _, n| x.diagonal(n % 3 - 1, [0, -1])),
    ("tril", Same, |x, _, n| x.tril(n % 5 - 2)),
    ("triu", Same, |x, _, n| x.triu(n % 5 - 2)),
    ("pad", Same, |x, _, n| {
        let modes = [Pad::Wrap, Pad::Reflect, Pad::Edge, Pad::constant(2), Pad::Symmetric];
        x.pad((n as u64 % 3, n as u64 % 2), modes[n as usize % 5])
    }),
    ("reshape", Same, |x, _, n| match x.shape().unwrap_or_default().iter().product::<usize>() {
        count if n % 2 == 0 && count % 6 == 0 => x.reshape([-1, 6]),
        count if count % 4 == 0 => x.reshape([2, -1, 2]),
        _ => x.ravel(),
    }),
    ("take", Same, |x, _, n| {
        let len = x.shape().ok().and_then(|shape| shape.get(axis(x, n) as usize).copied());
        let len = len.unwrap_or(1).max(1) as i64;
        x.take(vec![(n * 7) % len, -1, 0, (n * 3) % len], axis(x, n))
    }),
    ("squeeze", Same, |x, _, _| x.squeeze(..)),
    ("one block", Same, |x, _, n| {
        let counts = x.numblocks().unwrap_or_default();
        x.block(&counts.iter().map(|count| n as u64 % (*count).max(1)).collect::<Vec<_>>())
    }),
    ("trim_to_multiple", Same, |x, _, _| x.trim_to_multiple(vec![2; x.rank().unwrap_or(0)])),
    ("rechunk", Same, |x, _, n| rechunked(x, n)),
    ("rechunk again", Same, |x, _, n| rechunked(&rechunked(x, n), n + 1)),
    // Several arrays.
    ("concatenate", Same, |x, y, n| concatenate([x, &y.broadcast_like(x), x], axis(x, n))),
    ("concatenate parts", Same, |x, _, n| {
        let parts = x.array_split(3, axis(x, n));
        concatenate(parts.iter().rev(), axis(x, n))
    }),
    ("stack", Same, |x, y, n| stack([x, &y.broadcast_like(x)], axis(x, n))),
    ("block", Same, |x, _, _| {
        let flipped = x.flip(-1);
        block([[x, &flipped], [&flipped, x]])
    }),
    // Elements.
    ("add", Same, |x, y, _| tamed(&(x + y))),
    ("subtract", Elements, |x, y, _| x - y),
    ("multiply", Elements, |x, y, _| x * y),
    ("divide", Elements, |x, y, _| x / y),
    ("floor_div", Elements, |x, y, _| x.floor_div(y)),
    ("remainder", Elements, |x, y, _| x % y),
    ("minimum", Same, |x, y, _| x.minimum(y)),
    ("fmax", Same, |x, y, _| x.fmax(y)),
    ("choose", Same, |x, y, _| x.less(y).choose(x, y)),
    ("choose a number", Same, |x, _, n| x.greater(n % 5).choose(x, n % 7)),
    ("missing", Same, |x, _, n| x.equal(n % 5).choose(f64::NAN, doubles(x)).to_dyn()),
    ("compare", Same, |x, y, _| x.less_equal(y).to_dyn()),
    ("logical_xor", Same, |x, y, _| x.logical_xor(y).to_dyn()),
    ("isclose", Same, |x, y, _| x.isclose(y, 0.1, 0.5).to_dyn()),
    ("isin", Same, |x, _, n| x.isin([n % 5, 3, 0]).to_dyn()),
    ("abs", Same, |x, _, _| x.abs()),
    ("clip", Same, |x, _, n| x.clip(n % 4, 7)),
    ("sqrt", Elements, |x, _, _| x.abs().sqrt()),
    ("exp", Elements, |x, _, _| x.clip(0, 3).exp()),
    ("sin", Elements, |x, _, _| x.sin()),
    ("log1p", Elements, |x, _, _| x.abs().log1p()),
    ("arctan2", Elements, |x, y, _| x.arctan2(y)),
    ("round", Elements, |x, _, n| (x * 0.37).round(n as i32 % 3)),
    ("digitize", Same, |x, _, _| x.digitize(&[-3.0, 0.0, 1.5, 4.0], true).to_dyn()),
    ("cast", Same, |x, _, n| {
        // Whole numbers stay small: those that have no sign would make negative ones large.
        let small = [DType::F32, DType::F64, DType::I16, DType::I64, DType::I8, DType::Bool];
        x.nan_to_num().clip(-40, 40).cast_to(small[n as usize % 6])
    }),
    ("cast to what has no sign", Same, |x, _, n| {
        let types = [DType::U8, DType::U16, DType::U32, DType::U64];
        x.nan_to_num().clip(0, 40).cast_to(types[n as usize % 4])
    }),
    ("map", Same, |x, _, _| doubles(x).map(|v: f64| -v).to_dyn()),
    // Reductions.
    ("sum", Sums, |x, _, n| x.sum(axes(x, n))),
    ("mean", Sums, |x, _, n| x.mean(axes(x, n))),
    ("less its mean", Sums, |x, _, n| x - x.mean(keepdims(axes(x, n)))),
    ("nanmean", Sums, |x, _, n| x.nanmean(axes(x, n))),
    ("nansum", Sums, |x, _, n| x.nansum(keepdims(axes(x, n)))),
    ("var", Spreads, |x, _, n| x.var(axes(x, n))),
    ("std", Spreads, |x, _, n| x / x.std(keepdims(axes(x, n)))),
    ("nanstd", Spreads, |x, _, n| x.nanstd(axes(x, n))),
    ("moment", Spreads, |x, _, n| x.moment(n as u32 % 4, axes(x, n))),
    ("average", Spreads, |x, y, n| x.average(axes(x, n), &y.abs().cast_to(DType::F64))),
    ("min", Same, |x, _, n| x.min(axes(x, n))),
    ("nanmax", Same, |x, _, n| x.nanmax(keepdims(axes(x, n)))),
    ("less its max", Elements, |x, _, n| x - x.max(keepdims(axes(x, n)))),
    ("ptp", Elements, |x, _, n| x.ptp(axes(x, n))),
    ("argmin", Elements, |x, _, n| x.argmin(axes(x, n)).to_dyn()),
    ("nanargmax", Elements, |x, _, n| x.nanargmax(axes(x, n)).to_dyn()),
    ("any", Same, |x, _, n| x.greater(2).any(axes(x, n)).to_dyn()),
    ("all", Same, |x, _, n| x.all(keepdims(axes(x, n))).to_dyn()),
    ("count", Elements, |x, _, n| x.count(axes(x, n)).to_dyn()),
    ("count_nonzero", Elements, |x, _, n| x.count_nonzero(axes(x, n)).to_dyn()),
    ("prod", Sums, |x, _, n| x.clip(0, 2).prod(axes(x, n))),
    ("rebin", Sums, |x, _, n| {
        let bins = vec![n % 3 + 1; x.rank().unwrap_or(0)];
        x.trim_to_multiple(bins.clone()).rebin(bins).mean()
    }),
    ("rebin to the greatest", Same, |x, _, _| {
        let bins = vec![2; x.rank().unwrap_or(0)];
        x.trim_to_multiple(bins.clone()).rebin(bins).max()
    }),
    ("histogram", Elements, |x, _, _| x.histogram(5, (-10.0, 10.0)).0.to_dyn()),
    ("bincount", Elements, |x, _, _| {
        x.nan_to_num().abs().clip(0, 30).cast_to(DType::I64).ravel().bincount(4).to_dyn()
    }),
    // Orders and running sums.
    ("sort", Same, |x, _, n| x.sort(axis(x, n))),
    ("argsort", Elements, |x, _, n| x.argsort(axis(x, n)).to_dyn()),
    ("median", Elements, |x, _, n| x.median(axes(x, n))),
    ("nanmedian", Elements, |x, _, n| x.nanmedian(axis(x, n))),
    ("quantile", Elements, |x, _, n| x.quantile(0.3, axis(x, n))),
    ("quantiles", Same, |x, _, n| x.quantiles([0.2, 0.9], axis(x, n), Method::Lower)),
    ("topk", Same, |x, _, n| x.topk(n % 5 - 2, axis(x, n))),
    ("cumsum", Sums, |x, _, n| x.cumsum(axis(x, n))),
    ("nancumprod", Sums, |x, _, n| x.clip(0, 2).nancumprod(axis(x, n))),
    ("diff", Elements, |x, _, n| x.diff(n as usize % 2 + 1, axis(x, n))),
    ("gradient", Elements, |x, _, n| x.gradient(axis(x, n), 0.5)),
    ("trapezoid", Sums, |x, _, n| x.trapezoid(axis(x, n), 2.0)),
    // Products.
    ("matmul", Sums, |x, _, _| plane(x).matmul(&plane(x).t())),
    ("matmul of squares", Sums, |x, _, _| {
        let x = square(x);
        x.matmul(&x.flip(-1))
    }),
    ("tensordot", Sums, |x, _, n| {
        let x = plane(x).cast_to(DType::F64);
        x.tensordot(&x, axis(&x, n), axis(&x, n))
    }),
    ("outer", Elements, |x, _, _| {
        let x = x.ravel().slice_numpy(":9");
        x.outer(&x.flip(0))
    }),
    // Functions of blocks.
    ("map_blocks", Elements, |x, _, _| {
        doubles(x).map_blocks(Chunks::same(), |block, _| block.mapv(|v| v * 2.0 - 1.0)).to_dyn()
    }),
    ("sums of blocks", Sums, |x, _, _| {
        let sums = |block: ndarray::ArrayViewD<'_, f64>, _: &crate::kernel::BlockCx| {
            ArrayD::from_elem(IxDyn(&vec![1; block.ndim()]), block.sum())
        };
        doubles(x).map_blocks(Chunks::ones(), sums).to_dyn()
    }),
    ("map_overlap", Elements, |x, _, n| {
        doubles(x).map_overlap(n % 3, edge(n), |block| block.mapv(|v| v + 0.5)).to_dyn()
    }),
    ("gaussian_filter", Elements, |x, _, n| gaussian_filter(&doubles(x), 0.7, edge(n)).to_dyn()),
    ("uniform_filter", Elements, |x, _, n| uniform_filter(x, vec![n as usize % 4 + 1], edge(n))),
    ("maximum_filter", Same, |x, _, n| maximum_filter(x, 3, edge(n))),
    ("median_filter", Same, |x, _, n| median_filter(x, 3, edge(n))),
    ("sobel", Elements, |x, _, n| sobel(x, axis(x, n), edge(n))),
    ("laplace", Elements, |x, _, n| laplace(x, edge(n))),
    ("grey_opening", Same, |x, _, n| grey_opening(x, 2, edge(n))),
    ("label", Same, |x, _, _| label(&x.greater(3), None).0.to_dyn()),
    ("labels counted", Same, |x, _, _| label(&x.greater(3), None).1.to_dyn()),
    ("combine", Spreads, |x, _, n| x.combine(axis(x, n), Combine::mean().sigma_clip(2.0))),
    ("combine to the median", Elements, |x, _, n| {
        x.combine(axis(x, n), Combine::median().min_max_clip(-5.0, 20.0))
    }),
    // Arrays from numbers alone.
    ("eye", Same, |x, _, _| {
        let side = x.shape().ok().and_then(|shape| shape.last().copied()).unwrap_or(1);
        tamed(&(x + eye::<f64>(side).cast_to(DType::I8)))
    }),
    ("arange", Same, |x, _, n| {
        let len = x.shape().ok().and_then(|shape| shape.last().copied()).unwrap_or(1) as i64;
        x.maximum(arange(n, n + len, 1).fmod(11).cast_to(DType::I8))
    }),
    ("random", Same, |x, _, n| {
        let shape: Vec<i64> = x.shape().unwrap_or_default().iter().map(|&n| n as i64).collect();
        x.minimum(random(n as u64).integers(-9..9, shape).cast_to(DType::I8))
    }),
    ("full_like", Same, |x, _, n| {
        let six = crate::array::full_like(x, Scalar::I64(6));
        x.minimum(six.slice_numpy(if n % 2 == 0 { "..., :1" } else { "..." }))
    }),
];

/// The elements of another array where shapes agree.
trait Like {
    fn broadcast_like(&self, other: &Array) -> Array;
}

impl Like for Array {
    fn broadcast_like(&self, other: &Array) -> Array {
        let shape: Vec<i64> =
            other.shape().unwrap_or_default().iter().map(|&len| len as i64).collect();
        self.cast_to(other.dtype().unwrap_or(DType::F64)).broadcast_to(Sizes::from(shape))
    }
}
