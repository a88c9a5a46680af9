//! Folds whose state is one value a cell: sums, products, means, extrema, truths, counts.

use super::{
    FoldOp,
    lanes::{self, Monoid},
    number::{Number, Sum},
    reproducible::reproducible,
};
use crate::kernel::{At, Fold};
use bytemuck::Pod;
use freeboard_formats::DType;
use std::{borrow::Cow, marker::PhantomData, sync::Arc};

/// A fold made of a [`Monoid`] and a function of its final value and the count of elements.
#[derive(Debug)]
pub(super) struct Single {
    op: FoldOp,
    input: DType,
    output: DType,
    state: [DType; 1],
    start: fn(&mut [u8]),
    step: fn(&mut [u8], &[u8], usize),
    combine: fn(&mut [u8], &[u8]),
    finish: fn(&[u8], u64, &mut [u8]),
}

impl Single {
    /// The fold `op` by `M`, whose values are of the dtype `state`.
    pub(super) fn new<M: Monoid>(
        op: FoldOp,
        [input, state, output]: [DType; 3],
        finish: fn(&[u8], u64, &mut [u8]),
    ) -> Single {
        Single {
            op,
            input,
            output,
            state: [state],
            start: |cells| cells_of::<M>(cells).fill(M::EMPTY),
            step: |cells, row, run| {
                lanes::step::<M>(cells_of::<M>(cells), bytemuck::cast_slice(row), run);
            },
            combine: |cells, later| {
                let later = bytemuck::cast_slice(later);
                for (cell, &later) in cells_of::<M>(cells).iter_mut().zip(later) {
                    *cell = M::join(*cell, later);
                }
            },
            finish,
        }
    }
}

fn cells_of<M: Monoid>(bytes: &mut [u8]) -> &mut [M::Acc] {
    bytemuck::cast_slice_mut(bytes)
}

/// The end of folds whose value is the result.
pub(super) fn as_it_is(cells: &[u8], _count: u64, out: &mut [u8]) {
    out.copy_from_slice(cells);
}

/// Ends a fold by a function of each value.
#[inline(always)]
pub(super) fn each<A: Pod, O: Pod>(cells: &[u8], out: &mut [u8], f: impl Fn(A) -> O) {
    let cells: &[A] = bytemuck::cast_slice(cells);
    let out: &mut [O] = bytemuck::cast_slice_mut(out);
    out.iter_mut().zip(cells).for_each(|(out, &cell)| *out = f(cell));
}

impl Fold for Single {
    fn name(&self) -> Cow<'static, str> {
        self.op.name().into()
    }

    fn input(&self) -> DType {
        self.input
    }

    fn output(&self) -> DType {
        self.output
    }

    fn state(&self) -> &[DType] {
        &self.state
    }

    fn reproducible(&self) -> Option<Arc<dyn Fold>> {
        reproducible(self.op, self.input)
    }

    fn start(&self, state: &mut [&mut [u8]]) {
        (self.start)(state[0]);
    }

    fn step(&self, state: &mut [&mut [u8]], row: &[u8], run: usize, _at: At) {
        (self.step)(state[0], row, run);
    }

    fn combine(&self, state: &mut [&mut [u8]], _: u64, later: &[&[u8]], _: u64) {
        (self.combine)(state[0], later[0]);
    }

    fn finish(&self, state: &[&[u8]], count: u64, out: &mut [u8]) {
        (self.finish)(state[0], count, out);
    }
}

/// A monoid for one element type.
macro_rules! monoid {
    (
        $(#[$doc:meta])* $name:ident, $acc:ty, $empty:expr, $lift:expr, $join:expr $(, $slow:expr)?
    ) => {
        $(#[$doc])*
        pub(super) struct $name<T>(PhantomData<T>);

        impl<T: Number> Monoid for $name<T> {
            type In = T;
            type Acc = $acc;
            $(const SLOW: bool = $slow;)?
            const EMPTY: $acc = $empty;
            #[inline(always)]
            fn lift(element: T) -> $acc {
                let lift: fn(T) -> $acc = $lift;
                lift(element)
            }
            #[inline(always)]
            fn join(a: $acc, b: $acc) -> $acc {
                let join: fn($acc, $acc) -> $acc = $join;
                join(a, b)
            }
        }
    };
}

monoid!(
    /// The sum.
    Total, T::Sum, T::Sum::ZERO, |x| x.to_sum(), |a, b| a.add(b)
);
monoid!(
    /// The sum of what is not NaN.
    NanTotal, T::Sum, T::Sum::ZERO,
    |x| if x.is_nan() { T::Sum::ZERO } else { x.to_sum() },
    |a, b| a.add(b)
);
monoid!(
    /// The product.
    Product, T::Sum, T::Sum::ONE, |x| x.to_sum(), |a, b| a.multiply(b)
);
monoid!(
    /// The product of what is not NaN.
    NanProduct, T::Sum, T::Sum::ONE,
    |x| if x.is_nan() { T::Sum::ONE } else { x.to_sum() },
    |a, b| a.multiply(b)
);
monoid!(
    /// The sum as doubles, for means.
    Real, f64, 0.0, |x| x.to_f64(), |a, b| a + b
);
monoid!(
    /// The sum as doubles of what is not NaN.
    NanReal, f64, 0.0, |x| if x.is_nan() { 0.0 } else { x.to_f64() }, |a, b| a + b
);
monoid!(
    /// How many are not NaN.
    Count, i64, 0, |x| (!x.is_nan()).into(), |a, b| a + b
);
monoid!(
    /// How many are not NaN, as a double: exact below 2^53, and as fast to divide by.
    Weight, f64, 0.0, |x| if x.is_nan() { 0.0 } else { 1.0 }, |a, b| a + b
);
monoid!(
    /// The least; NaN if one is NaN.
    Least, T, T::GREATEST, |x| x, |a, b| if (a <= b) | a.is_nan() { a } else { b }, true
);
monoid!(
    /// The greatest; NaN if one is NaN.
    Greatest, T, T::LEAST, |x| x, |a, b| if (a >= b) | a.is_nan() { a } else { b }, true
);
monoid!(
    /// Whether one is not zero.
    Any, u8, 0, |x| (x != T::zeroed()).into(), |a, b| a | b
);
monoid!(
    /// Whether none is zero.
    All, u8, 1, |x| (x != T::zeroed()).into(), |a, b| a & b
);

/// The least float of what is not NaN; NaN of nothing else.
pub(super) struct NanLeast<T>(PhantomData<T>);
/// The greatest float of what is not NaN; NaN of nothing else.
pub(super) struct NanGreatest<T>(PhantomData<T>);

macro_rules! nan_extremum {
    ($($name:ident $t:ty, $op:tt;)*) => {$(
        impl Monoid for $name<$t> {
            type In = $t;
            type Acc = $t;
            const SLOW: bool = true;
            const EMPTY: $t = <$t>::NAN;
            #[inline(always)]
            fn lift(element: $t) -> $t {
                element
            }
            #[inline(always)]
            fn join(a: $t, b: $t) -> $t {
                if (a $op b) | b.is_nan() { a } else { b }
            }
        }
    )*};
}
nan_extremum! { NanLeast f32, <=; NanLeast f64, <=; NanGreatest f32, >=; NanGreatest f64, >=; }
