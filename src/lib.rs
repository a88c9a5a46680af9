//! Lazy N-dimensional arrays over thousands of FITS, Zarr and HDF5 files, computed chunk by
//! chunk on all cores and never over a memory budget.

// Tests share files with those in `tests/`, which know this crate by its name.
#[cfg(test)]
extern crate self as freeboard;

pub mod error;
pub mod event;
mod sync;

pub mod memory;

pub mod kernel;

pub mod expr;

pub mod array;

pub mod delayed;

pub mod imaging;

pub mod picture;

mod open;

pub mod calc;

pub mod plan;

mod run;

pub mod session;

pub use array::{Array, Blocks, Dyn};
pub use delayed::{Delay, Delayed, TryDelay};
pub use error::{Error, ErrorKind, Result};
pub use freeboard_formats as formats;
#[cfg(feature = "fits")]
pub use freeboard_formats::fits::Fits;
#[cfg(feature = "h5")]
pub use freeboard_formats::hdf5::Hdf5;
#[cfg(feature = "images")]
pub use freeboard_formats::images::Png;
#[cfg(feature = "npy")]
pub use freeboard_formats::npy::Npy;
pub use freeboard_formats::registry::{Nested, OpenOptions};
#[cfg(feature = "zarr")]
pub use freeboard_formats::zarr::Zarr;
pub use freeboard_formats::{Blank, DType, Element, Missing, Scalar};
pub use memory::{GIB, KIB, MIB, Memory};
pub use ndarray::s;
pub use open::{open, open_all, open_masked, open_nested};
pub use plan::Plan;
pub use session::{Report, Session};

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
