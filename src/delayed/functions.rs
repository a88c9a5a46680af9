//! Delaying a function: `f.delay((x, y))`, for functions and closures of up to eight arguments.

use super::{
    Delayed, Output, Task, Value, Values, Work,
    arguments::{Arguments, Keep},
};
use std::{fmt, panic::Location, sync::Arc};

/// Functions that may be called later.
///
/// ```
/// use freeboard::{Delayed, Session, delayed::Delay};
///
/// fn increment(x: i64) -> i64 {
///     x + 1
/// }
///
/// let total = (0..8).map(|i| increment.delay((i,))).sum::<Delayed<i64>>();
/// let half = |x: i64, by: f64| x as f64 / by;
/// let half = half.delay((&total, 2.0));
/// assert_eq!(Session::new()?.compute((&total, &half))?, (36, 18.0));
/// # Ok::<(), freeboard::Error>(())
/// ```
///
/// A panic of the function ends the run with an error that names the line of `delay`.
pub trait Delay<A, R> {
    /// A call of the function with these arguments: a tuple that holds, for each argument, a
    /// value, a delayed value, or, for an argument that is a vector or a tuple, a list or
    /// tuple of delayed values.
    #[track_caller]
    fn delay(self, arguments: impl Arguments<A>) -> Delayed<R>;
}

/// Functions that may be called later, and may fail.
pub trait TryDelay<A, R, E> {
    /// As [`Delay::delay`], of the value in `Ok`; an `Err` ends the run with its text.
    #[track_caller]
    fn try_delay(self, arguments: impl Arguments<A>) -> Delayed<R>;
}

/// `function` called later with `arguments`: [`Delay::delay`] as a function.
#[track_caller]
pub fn delayed<A, R, F: Delay<A, R>>(function: F, arguments: impl Arguments<A>) -> Delayed<R> {
    function.delay(arguments)
}

macro_rules! functions {
    ($($($a:ident $x:ident),*;)*) => {$(
        impl<Func, R, $($a),*> Delay<($($a,)*), R> for Func
        where
            Func: Fn($($a),*) -> R + Send + Sync + 'static,
            R: Output,
            $($a: 'static),*
        {
            #[track_caller]
            fn delay(self, arguments: impl Arguments<($($a,)*)>) -> Delayed<R> {
                let call = move |($($x,)*): ($($a,)*)| Ok(self($($x),*));
                call_of::<Func, _, R>(arguments, call, Location::caller())
            }
        }

        impl<Func, R, Failure, $($a),*> TryDelay<($($a,)*), R, Failure> for Func
        where
            Func: Fn($($a),*) -> Result<R, Failure> + Send + Sync + 'static,
            R: Output,
            Failure: fmt::Display,
            $($a: 'static),*
        {
            #[track_caller]
            fn try_delay(self, arguments: impl Arguments<($($a,)*)>) -> Delayed<R> {
                let call = move |($($x,)*): ($($a,)*)| {
                    self($($x),*).map_err(|failure| failure.to_string())
                };
                call_of::<Func, _, R>(arguments, call, Location::caller())
            }
        }
    )*};
}

/// A call of the function of the type `F`, which `call` makes.
fn call_of<F, A: 'static, R: Output>(
    arguments: impl Arguments<A>,
    call: impl Fn(A) -> Result<R, String> + Send + Sync + 'static,
    at: &'static Location<'static>,
) -> Delayed<R> {
    let mut inputs = Vec::new();
    let kept = arguments.keep(&mut inputs);
    let call = move |values: &mut Values| Ok(Arc::new(call(kept.take(values))?) as Value);
    Delayed::of(Task::new(Work::Call(Box::new(call)), inputs, std::any::type_name::<F>(), at))
}

functions! {
    ;
    A a;
    A a, B b;
    A a, B b, C c;
    A a, B b, C c, D d;
    A a, B b, C c, D d, E e;
    A a, B b, C c, D d, E e, F f;
    A a, B b, C c, D d, E e, F f, G g;
    A a, B b, C c, D d, E e, F f, G g, H h;
}
