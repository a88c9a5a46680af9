//! The loops that elementwise kernels run over a tile, and the kernel that carries one.
//!
//! Every loop is monomorphic in its element types and in which of its inputs are one
//! repeated element, over slices of one length: what the compiler needs to vectorise it.

use super::{Elementwise, Operand, wide::with_avx2};
use bytemuck::Pod;
use freeboard_formats::DType;
use smallvec::SmallVec;
use std::{borrow::Cow, sync::Arc};

/// A loop over a tile: the inputs' bytes, the output's.
pub(super) type Run = fn(&[Operand<'_>], &mut [u8]);

/// A named kernel that runs one loop.
#[derive(Debug)]
struct Loop {
    name: &'static str,
    inputs: SmallVec<[DType; 3]>,
    output: DType,
    run: Run,
}

impl Elementwise for Loop {
    fn name(&self) -> Cow<'static, str> {
        self.name.into()
    }

    fn inputs(&self) -> &[DType] {
        &self.inputs
    }

    fn output(&self) -> DType {
        self.output
    }

    fn run(&self, inputs: &[Operand<'_>], out: &mut [u8]) {
        (self.run)(inputs, out);
    }
}

/// The kernel that runs `run`.
pub(super) fn kernel(
    name: &'static str,
    inputs: &[DType],
    output: DType,
    run: Run,
) -> Arc<dyn Elementwise> {
    Arc::new(Loop { name, inputs: inputs.into(), output, run })
}

/// An operand whose type is known.
pub(super) enum Typed<'a, T> {
    /// As many elements as the tile has.
    Run(&'a [T]),
    /// One for all.
    One(T),
}

impl<'a, T: Pod> From<Operand<'a>> for Typed<'a, T> {
    fn from(operand: Operand<'a>) -> Self {
        match operand {
            Operand::Run(bytes) => Typed::Run(bytemuck::cast_slice(bytes)),
            Operand::One(bytes) => Typed::One(bytemuck::cast_slice(bytes)[0]),
        }
    }
}

/// `out[i] = f(a[i])`
#[inline(always)]
pub(super) fn map1<A: Pod, O: Pod>(inputs: &[Operand<'_>], out: &mut [u8], f: impl Fn(A) -> O) {
    let out: &mut [O] = bytemuck::cast_slice_mut(out);
    match inputs[0].into() {
        Typed::Run(a) => out.iter_mut().zip(a).for_each(|(out, &a)| *out = f(a)),
        Typed::One(a) => out.fill(f(a)),
    }
}

#[inline(always)]
fn round_body<T: Pod, F: Fn(T) -> T>(inputs: &[Operand<'_>], out: &mut [u8], f: F) {
    map1(inputs, out, f);
}

with_avx2! {
    /// `out[i] = f(a[i])`, where `f` is one instruction with AVX2.
    pub(super) fn round<T: Pod, F: Fn(T) -> T>(inputs: &[Operand<'_>], out: &mut [u8], f: F)
        = round_body
}

/// `out[i] = f(a[i], b[i])`
#[inline(always)]
pub(super) fn map2<T: Pod, O: Pod>(inputs: &[Operand<'_>], out: &mut [u8], f: impl Fn(T, T) -> O) {
    let out: &mut [O] = bytemuck::cast_slice_mut(out);
    match (inputs[0].into(), inputs[1].into()) {
        (Typed::Run(a), Typed::Run(b)) => {
            out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (&a, &b))| *out = f(a, b));
        }
        (Typed::Run(a), Typed::One(b)) => {
            out.iter_mut().zip(a).for_each(|(out, &a)| *out = f(a, b));
        }
        (Typed::One(a), Typed::Run(b)) => {
            out.iter_mut().zip(b).for_each(|(out, &b)| *out = f(a, b));
        }
        (Typed::One(a), Typed::One(b)) => out.fill(f(a, b)),
    }
}

#[inline(always)]
fn wide2_body<T: Pod, F: Fn(T, T) -> T>(inputs: &[Operand<'_>], out: &mut [u8], f: F) {
    map2(inputs, out, f);
}

with_avx2! {
    /// `out[i] = f(a[i], b[i])`, where `f` is one instruction.
    pub(super) fn wide2<T: Pod, F: Fn(T, T) -> T>(inputs: &[Operand<'_>], out: &mut [u8], f: F)
        = wide2_body
}

/// `out[i] = if mask[i] { a[i] } else { b[i] }`, of elements as wide as `T`.
pub(super) fn choose<T: Pod>(inputs: &[Operand<'_>], out: &mut [u8]) {
    let mask: &[u8] = match inputs[0] {
        Operand::Run(mask) => mask,
        Operand::One(mask) => {
            return map1::<T, T>(&inputs[if mask[0] != 0 { 1 } else { 2 }..], out, |a| a);
        }
    };
    let out: &mut [T] = bytemuck::cast_slice_mut(out);
    let places = out.iter_mut().zip(mask);
    let pick = |mask: u8, a: T, b: T| if mask != 0 { a } else { b };
    match (inputs[1].into(), inputs[2].into()) {
        (Typed::Run(a), Typed::Run(b)) => {
            places.zip(a.iter().zip(b)).for_each(|((out, &m), (&a, &b))| *out = pick(m, a, b));
        }
        (Typed::Run(a), Typed::One(b)) => {
            places.zip(a).for_each(|((out, &m), &a)| *out = pick(m, a, b));
        }
        (Typed::One(a), Typed::Run(b)) => {
            places.zip(b).for_each(|((out, &m), &b)| *out = pick(m, a, b));
        }
        (Typed::One(a), Typed::One(b)) => places.for_each(|(out, &m)| *out = pick(m, a, b)),
    }
}

/// A [`Run`] made of one of the maps above and a closure that captures nothing.
macro_rules! looped {
    ($map:ident::<$a:ty, $o:ty>($f:expr)) => {{
        let run: $crate::kernel::tile::Run =
            |inputs, out| $crate::kernel::tile::$map::<$a, $o>(inputs, out, $f);
        run
    }};
}

/// An enum of operations and the table of their names, which are NumPy's.
macro_rules! named {
    ($(#[$meta:meta])* $type:ident { $($(#[$doc:meta])* $op:ident = $name:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$doc])* $op,)*
        }

        impl $type {
            /// All operations.
            pub const ALL: &[$type] = &[$($type::$op),*];

            /// NumPy's name of the operation.
            pub const fn name(self) -> &'static str {
                match self {
                    $($type::$op => $name,)*
                }
            }

            /// The operation that NumPy calls `name`.
            pub fn from_name(name: &str) -> Option<$type> {
                $type::ALL.iter().copied().find(|op| op.name() == name)
            }
        }
    };
}

pub(super) use {looped, named};
