//! Lazy N-dimensional arrays over thousands of FITS, Zarr and HDF5 files, computed chunk by
//! chunk on all cores and never over a memory budget.

pub mod error;
pub mod event;

pub mod memory;

pub mod kernel;

pub mod expr;

pub mod array;

pub mod plan;

pub mod run;

pub mod session;

pub use array::{Array, Dyn};
pub use error::{Error, ErrorKind, Result};
pub use freeboard_formats as formats;
pub use freeboard_formats::{DType, Element, Scalar};
pub use memory::{GIB, KIB, MIB, Memory};
pub use ndarray::s;
pub use plan::Plan;
pub use session::{Report, Session};
