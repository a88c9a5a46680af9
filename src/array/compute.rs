//! What a session can compute: arrays, single values, and lists and tuples of such.

use super::{AnyVec, Array, Kind, kept, mistake, shape::view};
use crate::{
    error::{Error, Result},
    expr::{Access, AxisView, Expr, shape_text},
};
use std::{fmt, panic::Location, vec};

/// What was computed for one root: its elements in C order, and its shape.
#[derive(Clone, Debug)]
pub struct Computed {
    /// The elements.
    pub values: AnyVec,
    /// The number of elements along each axis.
    pub shape: Vec<u64>,
}

/// Something that a session can compute. Roots are computed together: what they share, once.
pub trait Compute {
    /// What it becomes.
    type Output;

    /// Appends what must be computed.
    fn roots(&self, out: &mut Vec<Expr>);

    /// Takes the results of its roots, in their order.
    ///
    /// # Errors
    /// If they are not the results of its roots; that would be a fault of the library.
    fn finish(&self, results: &mut vec::IntoIter<Computed>) -> Result<Self::Output>;
}

fn next(results: &mut vec::IntoIter<Computed>) -> Result<Computed> {
    results.next().ok_or_else(|| Error::internal("a result for every root"))
}

impl<T: Kind> Compute for Array<T> {
    type Output = T::Output;

    fn roots(&self, out: &mut Vec<Expr>) {
        out.push(self.expr.clone());
    }

    fn finish(&self, results: &mut vec::IntoIter<Computed>) -> Result<T::Output> {
        let Computed { values, shape } = next(results)?;
        T::output(values, &shape)
    }
}

/// A value that is not computed yet.
pub struct Delayed<V> {
    expr: Expr,
    /// Makes the value of what was computed.
    take: fn(&Computed) -> Result<V>,
}

impl<V> Clone for Delayed<V> {
    fn clone(&self) -> Delayed<V> {
        Delayed { expr: self.expr.clone(), take: self.take }
    }
}

impl<V> fmt::Debug for Delayed<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delayed({:?})", self.expr)
    }
}

impl<T: Kind> Array<T> {
    /// The one element of an array, on its own: `x.argmin(..).item()`.
    #[track_caller]
    pub fn item(&self) -> Delayed<T::Value> {
        let at = Location::caller();
        let expr = kept(at, || {
            let shape = self.meta()?.shape();
            if shape.iter().any(|&len| len != 1) {
                let shape = shape_text(&shape);
                return Err(mistake(at)(format!(
                    "`item` of an array of shape {shape}, which has not one element"
                )));
            }
            Ok(view(&self.expr, Access::new(shape.iter().map(|_| AxisView::At(0))), &[], at))
        });
        Delayed { expr, take: |computed| T::value(&computed.values) }
    }
}

impl<V> Compute for Delayed<V> {
    type Output = V;

    fn roots(&self, out: &mut Vec<Expr>) {
        out.push(self.expr.clone());
    }

    fn finish(&self, results: &mut vec::IntoIter<Computed>) -> Result<V> {
        (self.take)(&next(results)?)
    }
}

impl<C: Compute + ?Sized> Compute for &C {
    type Output = C::Output;

    fn roots(&self, out: &mut Vec<Expr>) {
        (**self).roots(out);
    }

    fn finish(&self, results: &mut vec::IntoIter<Computed>) -> Result<C::Output> {
        (**self).finish(results)
    }
}

impl<C: Compute> Compute for [C] {
    type Output = Vec<C::Output>;

    fn roots(&self, out: &mut Vec<Expr>) {
        self.iter().for_each(|each| each.roots(out));
    }

    fn finish(&self, results: &mut vec::IntoIter<Computed>) -> Result<Vec<C::Output>> {
        self.iter().map(|each| each.finish(results)).collect()
    }
}

impl<C: Compute> Compute for Vec<C> {
    type Output = Vec<C::Output>;

    fn roots(&self, out: &mut Vec<Expr>) {
        self.as_slice().roots(out);
    }

    fn finish(&self, results: &mut vec::IntoIter<Computed>) -> Result<Vec<C::Output>> {
        self.as_slice().finish(results)
    }
}

macro_rules! tuples {
    ($($($c:ident $i:tt),*;)*) => {$(
        impl<$($c: Compute),*> Compute for ($($c,)*) {
            type Output = ($($c::Output,)*);

            fn roots(&self, out: &mut Vec<Expr>) {
                $(self.$i.roots(out);)*
            }

            fn finish(&self, results: &mut vec::IntoIter<Computed>) -> Result<Self::Output> {
                Ok(($(self.$i.finish(results)?,)*))
            }
        }
    )*};
}

tuples! {
    A 0;
    A 0, B 1;
    A 0, B 1, C 2;
    A 0, B 1, C 2, D 3;
    A 0, B 1, C 2, D 3, E 4;
    A 0, B 1, C 2, D 3, E 4, F 5;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
}

#[cfg(test)]
mod tests {
    use super::super::{AnyArray, zeros};
    use super::*;
    use freeboard_formats::Scalar;
    use ndarray::ArrayD;

    /// Stands in for a session: every element is 0.
    fn compute<C: Compute>(what: C) -> Result<C::Output> {
        let mut roots = Vec::new();
        what.roots(&mut roots);
        let results: Vec<Computed> = roots
            .iter()
            .map(|root| {
                let meta = root.meta()?;
                let shape = meta.shape().to_vec();
                let len = shape.iter().product::<u64>() as usize;
                Ok(Computed { values: AnyVec::zeroed(meta.dtype, len), shape })
            })
            .collect::<Result<_>>()?;
        what.finish(&mut results.into_iter())
    }

    #[test]
    fn what_computing_gives() {
        let x = zeros::<f32>([2, 3]);
        let line = x.argmin(..).item();
        let (spectrum, line): (ArrayD<f32>, i64) = compute((&x.sum(0), &line)).unwrap();
        assert_eq!((spectrum.shape(), line), (&[3][..], 0));
        let both: Vec<ArrayD<f32>> = compute(vec![&x, &x]).unwrap();
        assert_eq!(both.len(), 2);
        let (any, scalar): (AnyArray, Scalar) =
            compute((x.to_dyn(), x.to_dyn().slice(ndarray::s![..1, ..1]).item())).unwrap();
        assert_eq!((any.shape(), scalar), (&[2, 3][..], Scalar::F32(0.0)));
        let truth: bool = compute(x.isnan().any(..).item()).unwrap();
        assert!(!truth);
        let error = compute(x.item()).unwrap_err().to_string();
        assert!(
            error.starts_with("`item` of an array of shape (2, 3), which has not one element at "),
            "{error}"
        );
    }
}
