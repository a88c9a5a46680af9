//! Functions as tasks: [`Delayed`] values, which a session computes together with arrays.
//!
//! A call is a node of a graph without cycles: a function, the values it is given, and the
//! line that made it. Building one calls nothing. A call is admitted at what it was declared to need
//! ([`Delayed::bytes`]), which is given back when it ends. Values are opaque to the library: they are kept until
//! their last consumer has them, never spilled, and not counted. Graphs may be a million calls deep,
//! so nothing here recurses.
//!
//! | file | owns |
//! |---|---|
//! | `arguments` | what a function may be given: values, delayed values, lists and tuples of them |
//! | `functions` | [`Delay`]: `f.delay((x, y))` for functions of up to eight arguments |
//! | `order` | the calls below some values, inputs first |

mod arguments;
mod functions;
mod order;

pub use arguments::{Argument, Arguments};
pub use functions::{Delay, TryDelay, delayed};
pub(crate) use order::Order;

use crate::{
    array::Bytes,
    error::{Error, Result},
    expr::Expr,
};
use std::{
    any::Any,
    fmt,
    iter::Sum,
    marker::PhantomData,
    ops::{Add, Div, Mul, Neg, Sub},
    panic::Location,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// What a call gave: any type, shared by those who read it.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;

/// The values that a call is given, in the order of its inputs.
pub type Values = std::vec::IntoIter<Arc<dyn Any + Send + Sync>>;

/// What may be computed later: cloned for each of its consumers, so large ones are best
/// given as an `Arc`.
pub trait Output: Clone + Send + Sync + 'static {}

impl<V: Clone + Send + Sync + 'static> Output for V {}

/// What a call was declared to need where nothing was said, in bytes.
pub(crate) const UNDECLARED: u64 = 1 << 20;

/// A call, or another value to be, of any type; a cheap handle.
#[derive(Clone)]
pub struct Task(Arc<Node>);

pub(crate) struct Node {
    work: Work,
    inputs: Vec<Task>,
    name: &'static str,
    origin: &'static Location<'static>,
    /// What it needs and gives, in bytes; [`u64::MAX`] where nothing was said.
    bytes: AtomicU64,
    mistake: OnceLock<Error>,
}

type Function = dyn Fn(&mut Values) -> Result<Value, String> + Send + Sync;
/// Makes a value of an array's elements and shape.
pub(crate) type Take = dyn Fn(crate::array::AnyVec, &[u64]) -> Result<Value> + Send + Sync;

/// How a value comes about.
pub(crate) enum Work {
    /// It is there.
    Given(Value),
    /// A function of other values.
    Call(Box<Function>),
    /// An array is computed, and made a value of.
    Array(Expr, Box<Take>),
}

impl Drop for Node {
    fn drop(&mut self) {
        // One after the other, not one inside the other.
        let mut last = std::mem::take(&mut self.inputs);
        while let Some(task) = last.pop() {
            if let Some(mut node) = Arc::into_inner(task.0) {
                last.append(&mut node.inputs);
            }
        }
    }
}

impl Task {
    pub(crate) fn new(
        work: Work,
        inputs: Vec<Task>,
        name: &'static str,
        origin: &'static Location<'static>,
    ) -> Task {
        let (bytes, mistake) = (AtomicU64::new(u64::MAX), OnceLock::new());
        Task(Arc::new(Node { work, inputs, name, origin, bytes, mistake }))
    }

    pub(crate) fn work(&self) -> &Work {
        &self.0.work
    }

    pub(crate) fn inputs(&self) -> &[Task] {
        &self.0.inputs
    }

    /// The name of the function.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// The line that made it.
    pub fn origin(&self) -> &'static Location<'static> {
        self.0.origin
    }

    /// What it was declared to need, in bytes, if anything was said.
    pub(crate) fn declared(&self) -> Option<u64> {
        match self.0.bytes.load(Ordering::Relaxed) {
            u64::MAX => None,
            bytes => Some(bytes),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self.0.mistake.get() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// A number that only this task has, while it lives.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} inputs at {}", self.0.name, self.0.inputs.len(), self.0.origin)
    }
}

/// A value that is not computed yet: of a call ([`Delay::delay`]), or of an array
/// ([`Array::item`](crate::Array::item), [`Array::delayed`](crate::Array::delayed)).
pub struct Delayed<V> {
    task: Task,
    value: PhantomData<fn() -> V>,
}

impl<V> Clone for Delayed<V> {
    fn clone(&self) -> Delayed<V> {
        Delayed { task: self.task.clone(), value: PhantomData }
    }
}

impl<V> fmt::Debug for Delayed<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delayed({:?})", self.task)
    }
}

impl<V: Output> Delayed<V> {
    pub(crate) fn of(task: Task) -> Delayed<V> {
        Delayed { task, value: PhantomData }
    }

    /// A value that is there already.
    #[track_caller]
    pub fn value(value: V) -> Delayed<V> {
        let work = Work::Given(Arc::new(value));
        Delayed::of(Task::new(work, Vec::new(), "value", Location::caller()))
    }

    /// The task behind it.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Declares what the call holds while it runs, its value with it, at the most: `"64MiB"`, or a number of bytes.
    /// It waits while others run and less is left. Without, a running call counts as 1 MiB.
    #[must_use]
    #[track_caller]
    pub fn bytes(self, bytes: impl Into<Bytes>) -> Delayed<V> {
        match bytes.into().0 {
            Ok(bytes) => self.task.0.bytes.store(bytes.min(u64::MAX - 1), Ordering::Relaxed),
            Err(text) => {
                let error = Error::expression(text, Location::caller());
                // The first mistake is told.
                let _ = self.task.0.mistake.set(error);
            }
        }
        self
    }

    /// `function` of the value.
    #[track_caller]
    pub fn map<W: Output>(&self, function: impl Fn(V) -> W + Send + Sync + 'static) -> Delayed<W> {
        function.delay((self,))
    }

    /// The value out of what was computed.
    pub(crate) fn unwrap(value: Value) -> Result<V> {
        owned(value).ok_or_else(|| Error::internal("a value of another type than its handle's"))
    }
}

/// A value, if it is a `V`; the last who has it takes it, others copy it.
pub(crate) fn owned<V: Output>(value: Value) -> Option<V> {
    let value = value.downcast::<V>().ok()?;
    Some(Arc::try_unwrap(value).unwrap_or_else(|shared| (*shared).clone()))
}

macro_rules! operators {
    ($($trait:ident $method:ident),*) => {$(
        operators!(@ $trait $method, Delayed<V>, Delayed<V>);
        operators!(@ $trait $method, Delayed<V>, &Delayed<V>);
        operators!(@ $trait $method, &Delayed<V>, Delayed<V>);
        operators!(@ $trait $method, &Delayed<V>, &Delayed<V>);
    )*};
    (@ $trait:ident $method:ident, $left:ty, $right:ty) => {
        impl<V: Output + $trait<Output = V>> $trait<$right> for $left {
            type Output = Delayed<V>;

            #[track_caller]
            fn $method(self, other: $right) -> Delayed<V> {
                <V as $trait>::$method.delay((self, other))
            }
        }
    };
}

operators!(Add add, Sub sub, Mul mul, Div div);

impl<V: Output + Neg<Output = V>> Neg for Delayed<V> {
    type Output = Delayed<V>;

    #[track_caller]
    fn neg(self) -> Delayed<V> {
        <V as Neg>::neg.delay((self,))
    }
}

impl<V: Output + Add<Output = V>> Sum for Delayed<V> {
    /// Neighbours are added, and their sums, so that as many additions as can be run at once.
    ///
    /// # Panics
    /// If there is nothing to add: of a type that is only known to be added, there is no zero.
    #[track_caller]
    fn sum<I: Iterator<Item = Delayed<V>>>(values: I) -> Delayed<V> {
        let mut level: Vec<Delayed<V>> = values.collect();
        while level.len() > 1 {
            let mut next = Vec::with_capacity(level.len().div_ceil(2));
            let mut pairs = level.into_iter();
            while let Some(first) = pairs.next() {
                next.push(match pairs.next() {
                    Some(second) => first + second,
                    None => first,
                });
            }
            level = next;
        }
        level.pop().expect("the sum of at least one delayed value")
    }
}
