//! What a delayed function may be given in place of each of its arguments.
//!
//! A value itself; a delayed value; a list of delayed values, for an argument that is a
//! vector; tuples of delayed values, for an argument that is a tuple.

use super::{Delayed, Output, Task, Values, owned};
use std::marker::PhantomData;

/// How an argument comes out of the values that a call is given.
pub trait Keep<V>: Send + Sync + 'static {
    /// Takes the argument's values off the front.
    fn take(&self, values: &mut Values) -> V;
}

/// What may stand for an argument of type `V`.
pub trait Argument<V> {
    /// What is kept until the call.
    type Kept: Keep<V>;

    /// Appends the tasks that must be done before.
    fn keep(self, inputs: &mut Vec<Task>) -> Self::Kept;
}

/// What may be given to a function of the arguments `A`: a tuple, with something for each.
pub trait Arguments<A> {
    /// What is kept until the call.
    type Kept: Keep<A>;

    /// Appends the tasks that must be done before.
    fn keep(self, inputs: &mut Vec<Task>) -> Self::Kept;
}

/// A value that was given.
pub struct Given<V>(V);

impl<V: Output> Keep<V> for Given<V> {
    fn take(&self, _: &mut Values) -> V {
        self.0.clone()
    }
}

impl<V: Output> Argument<V> for V {
    type Kept = Given<V>;

    fn keep(self, _: &mut Vec<Task>) -> Given<V> {
        Given(self)
    }
}

/// A value to be.
pub struct Awaited<V>(PhantomData<fn() -> V>);

impl<V: Output> Keep<V> for Awaited<V> {
    fn take(&self, values: &mut Values) -> V {
        let value = values.next().expect("a value for every input");
        owned(value).expect("of the type that its handle tells")
    }
}

impl<V: Output> Argument<V> for Delayed<V> {
    type Kept = Awaited<V>;

    fn keep(self, inputs: &mut Vec<Task>) -> Awaited<V> {
        inputs.push(self.task);
        Awaited(PhantomData)
    }
}

impl<V: Output> Argument<V> for &Delayed<V> {
    type Kept = Awaited<V>;

    fn keep(self, inputs: &mut Vec<Task>) -> Awaited<V> {
        Argument::<V>::keep(self.clone(), inputs)
    }
}

/// So many values to be.
pub struct Several<V>(usize, PhantomData<fn() -> V>);

impl<V: Output> Keep<Vec<V>> for Several<V> {
    fn take(&self, values: &mut Values) -> Vec<V> {
        (0..self.0).map(|_| Awaited(PhantomData).take(values)).collect()
    }
}

impl<V: Output> Argument<Vec<V>> for Vec<Delayed<V>> {
    type Kept = Several<V>;

    fn keep(self, inputs: &mut Vec<Task>) -> Several<V> {
        let before = inputs.len();
        inputs.extend(self.into_iter().map(|delayed| delayed.task));
        Several(inputs.len() - before, PhantomData)
    }
}

impl<V: Output> Argument<Vec<V>> for &[Delayed<V>] {
    type Kept = Several<V>;

    fn keep(self, inputs: &mut Vec<Task>) -> Several<V> {
        Argument::<Vec<V>>::keep(self.to_vec(), inputs)
    }
}

impl<V: Output> Argument<Vec<V>> for &Vec<Delayed<V>> {
    type Kept = Several<V>;

    fn keep(self, inputs: &mut Vec<Task>) -> Several<V> {
        Argument::<Vec<V>>::keep(self.clone(), inputs)
    }
}

impl Keep<()> for () {
    fn take(&self, _: &mut Values) {}
}

impl Arguments<()> for () {
    type Kept = ();

    fn keep(self, _: &mut Vec<Task>) {}
}

macro_rules! tuples {
    ($($($v:ident $g:ident $i:tt),*;)*) => {$(
        impl<$($v,)* $($g: Keep<$v>),*> Keep<($($v,)*)> for ($($g,)*) {
            fn take(&self, values: &mut Values) -> ($($v,)*) {
                ($(self.$i.take(values),)*)
            }
        }

        impl<$($v,)* $($g: Argument<$v>),*> Arguments<($($v,)*)> for ($($g,)*) {
            type Kept = ($($g::Kept,)*);

            fn keep(self, inputs: &mut Vec<Task>) -> Self::Kept {
                ($(self.$i.keep(inputs),)*)
            }
        }

        impl<$($v: Output),*> Argument<($($v,)*)> for ($(Delayed<$v>,)*) {
            type Kept = ($(Awaited<$v>,)*);

            fn keep(self, inputs: &mut Vec<Task>) -> Self::Kept {
                ($(Argument::<$v>::keep(self.$i, inputs),)*)
            }
        }
    )*};
}

tuples! {
    A GA 0;
    A GA 0, B GB 1;
    A GA 0, B GB 1, C GC 2;
    A GA 0, B GB 1, C GC 2, D GD 3;
    A GA 0, B GB 1, C GC 2, D GD 3, E GE 4;
    A GA 0, B GB 1, C GC 2, D GD 3, E GE 4, F GF 5;
    A GA 0, B GB 1, C GC 2, D GD 3, E GE 4, F GF 5, G GG 6;
    A GA 0, B GB 1, C GC 2, D GD 3, E GE 4, F GF 5, G GG 6, H GH 7;
}
