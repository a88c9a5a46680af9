//! What a session can compute: arrays, delayed values, and lists and tuples of such.

use super::{AnyVec, Array, Kind, kept, mistake, shape::view};
use crate::{
    delayed::{Delayed, Output, Task, Value, Work},
    error::{Error, Result},
    expr::{Access, AxisView, Expr, shape_text},
};
use std::{panic::Location, sync::Arc, vec};

/// What must be computed.
#[derive(Clone, Debug)]
pub enum Root {
    /// The elements of an array.
    Array(Expr),
    /// A value.
    Task(Task),
}

/// What was computed for one root.
#[derive(Clone)]
pub enum Computed {
    /// The elements of an array in C order, and the number along each axis.
    Elements(AnyVec, Vec<u64>),
    /// A value, of the type that its handle tells.
    Value(Value),
}

/// Something that a session can compute. Roots are computed together: what they share, once.
pub trait Compute {
    /// What it becomes.
    type Output;

    /// Appends what must be computed.
    fn roots(&self, out: &mut Vec<Root>);

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

    fn roots(&self, out: &mut Vec<Root>) {
        out.push(Root::Array(self.expr.clone()));
    }

    fn finish(&self, results: &mut vec::IntoIter<Computed>) -> Result<T::Output> {
        match next(results)? {
            Computed::Elements(values, shape) => T::output(values, &shape),
            Computed::Value(_) => Err(Error::internal("elements for an array")),
        }
    }
}

impl<T: Kind> Array<T> {
    /// The one element of an array, on its own: `x.argmin(..).item()`.
    #[track_caller]
    pub fn item(&self) -> Delayed<T::Value>
    where
        T::Value: Output,
    {
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
        let take = |values: AnyVec, _: &[u64]| Ok(Arc::new(T::value(&values)?) as Value);
        Delayed::of(Task::new(Work::Array(expr, Box::new(take)), Vec::new(), "item", at))
    }

    /// The whole array as a value, for functions that are called later with it: it must fit
    /// in memory.
    #[track_caller]
    pub fn delayed(&self) -> Delayed<T::Output>
    where
        T::Output: Output,
    {
        let take = |values, shape: &[u64]| Ok(Arc::new(T::output(values, shape)?) as Value);
        let work = Work::Array(self.expr.clone(), Box::new(take));
        Delayed::of(Task::new(work, Vec::new(), "array", Location::caller()))
    }
}

impl<V: Output> Compute for Delayed<V> {
    type Output = V;

    fn roots(&self, out: &mut Vec<Root>) {
        out.push(Root::Task(self.task().clone()));
    }

    fn finish(&self, results: &mut vec::IntoIter<Computed>) -> Result<V> {
        match next(results)? {
            Computed::Value(value) => Delayed::unwrap(value),
            Computed::Elements(..) => Err(Error::internal("a value for a delayed one")),
        }
    }
}

impl<C: Compute + ?Sized> Compute for &C {
    type Output = C::Output;

    fn roots(&self, out: &mut Vec<Root>) {
        (**self).roots(out);
    }

    fn finish(&self, results: &mut vec::IntoIter<Computed>) -> Result<C::Output> {
        (**self).finish(results)
    }
}

impl<C: Compute> Compute for [C] {
    type Output = Vec<C::Output>;

    fn roots(&self, out: &mut Vec<Root>) {
        self.iter().for_each(|each| each.roots(out));
    }

    fn finish(&self, results: &mut vec::IntoIter<Computed>) -> Result<Vec<C::Output>> {
        self.iter().map(|each| each.finish(results)).collect()
    }
}

impl<C: Compute> Compute for Vec<C> {
    type Output = Vec<C::Output>;

    fn roots(&self, out: &mut Vec<Root>) {
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

            fn roots(&self, out: &mut Vec<Root>) {
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
                let expr = match root {
                    Root::Array(expr) => expr,
                    Root::Task(task) => match task.work() {
                        Work::Array(expr, _) => expr,
                        _ => unreachable!("no function is called here"),
                    },
                };
                let meta = expr.meta()?;
                let shape = meta.shape().to_vec();
                let len = shape.iter().product::<u64>() as usize;
                let values = AnyVec::zeroed(meta.dtype, len);
                Ok(match root {
                    Root::Array(_) => Computed::Elements(values, shape),
                    Root::Task(task) => match task.work() {
                        Work::Array(_, take) => Computed::Value(take(values, &shape)?),
                        _ => unreachable!("no function is called here"),
                    },
                })
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
