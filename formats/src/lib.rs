//! Chunked readers and writers of scientific array files, behind one seam.
//!
//! This crate is *chunks at rest*: it knows how arrays lie in FITS, Zarr, HDF5, NumPy
//! files and pictures, and nothing of how they are computed. Everything above it speaks to
//! two traits, [`ChunkSource`] and [`ChunkSink`]; everything below them is one
//! adapter a format. `formats/README.md` tells how to add one.
//!
//! The modules, in layers (a module imports only from lower ones):
//!
//! | layer | modules |
//! |---|---|
//! | 0 vocabulary | [`dtype`], [`region`], [`grid`], [`labels`], [`error`], `url`, [`view`] |
//! | 1 the seam | [`source`], [`files`], [`stored`], [`wait`], `remote`, [`journal`], [`missing`] |
//! | 2 adapters | [`memory`], [`transform`], `fits`, `zarr`, `hdf5`, `npy`, `images`, `arrange`, `cf`, `pattern`, [`stack`], [`wrap`] |
//! | 3 | [`registry`], [`headers`], [`conformance`], `codecs` |

pub mod dtype;
pub mod error;
pub mod grid;
pub mod labels;
pub mod region;
mod url;
pub mod view;

pub mod files;
pub mod journal;
pub mod missing;
mod remote;
pub mod source;
pub mod stored;
pub mod wait;

mod arrange;
mod aside;
mod cf;
mod direct;
#[cfg(any(feature = "fits", feature = "images"))]
mod each;
#[cfg(feature = "fits")]
pub mod fits;
#[cfg(any(feature = "h5", feature = "zarr"))]
mod frames;
#[cfg(feature = "h5")]
pub mod hdf5;
#[cfg(feature = "images")]
pub mod images;
mod lock;
pub mod memory;
#[cfg(feature = "npy")]
pub mod npy;
mod pattern;
#[cfg(any(feature = "h5", feature = "images", feature = "npy", feature = "zarr"))]
mod raw;
pub mod stack;
#[cfg(any(
    feature = "fits",
    feature = "h5",
    feature = "images",
    feature = "npy",
    feature = "zarr"
))]
mod staging;
pub mod transform;
pub mod wrap;
#[cfg(feature = "zarr")]
pub mod zarr;

#[cfg(feature = "codecs")]
pub mod codecs;
pub mod conformance;
pub mod headers;
pub mod registry;

pub use dtype::{DType, Element, Scalar};
pub use error::{ErrorKind, FormatError, Result};
pub use files::Stamp;
pub use grid::{AxisGrid, Grid};
pub use journal::{ChunkSet, Provenance};
pub use missing::{Blank, Missing, MissingFiles};
pub use region::{Dims, Region};
pub use source::{
    Attributes, Cancel, ChunkSink, ChunkSource, Content, Entry, FileCache, Fingerprint, Format,
    Item, Labels, Meta, ReadCost, ReadCx, SourceSpec, Storage, WriteOptions, Writer, Written,
};
pub use stored::{ReadAt, StoredFile};
pub use view::{ChunkMut, ChunkView};
