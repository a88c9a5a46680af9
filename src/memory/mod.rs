//! Memory: how much there may be, the buffers that chunks live in, and the scratch file
//! that they go to when there is no room.
//!
//! | file | owns |
//! |---|---|
//! | [`size`] | sizes as people write them: `2GiB`, `61 MiB`, a fraction of the machine |
//! | [`budget`] | the facts: the container's limit, the machine's memory, this process's resident size |
//! | [`arena`] | [`Arena`] and [`Buffer`]: every chunk-sized allocation, under one limit |
//! | [`hold`] | [`Hold`]: bytes under that limit that lie elsewhere |
//! | `heap` | what of the C library's heap goes back to the system at once |
//! | `pages` | the memory itself: anonymous mappings, huge pages, aligned heap blocks |
//! | [`extents`] | which parts of a slab are taken; pure |
//! | `slab` | the scratch file: nameless, opened for direct I/O too |
//! | [`spill`] | [`Spill`]: one nameless file of such extents, packed where that pays, verified on the way back |
//!
//! # How the accounting matches what the operating system counts
//!
//! A buffer of 4 KiB or more is an anonymous mapping of its own, and is accounted at its
//! length rounded up to pages: the most that the kernel can ever back it with. Huge pages are
//! asked for only on the 2 MiB units that lie wholly inside that length, and refused
//! everywhere else, so that the kernel cannot round up on its own. A dropped buffer stays
//! resident, and is counted as idle until it is used again or its memory is given back; bytes
//! on their way back are counted until the call has returned. So `live + idle ≤ limit` is a
//! bound on resident memory and not only on what was asked for: 1 to 16 MiB at random on two
//! threads peak at the limit, where general allocators overshoot by 1.1 to 1.7.
//!
//! What is not in it: smaller buffers are heap blocks, counted with what the allocator adds,
//! but whether the allocator gives freed ones back is its own affair; page tables (1/512 of
//! what 4 KiB pages back) and the kernel's own records. The reserve that a session keeps
//! beside its arena is for these.
//!
//! # Locks
//!
//! Each of these types has one lock, held for a few map operations and never across a system
//! call, and none is taken while another is held: callers may hold locks of their own.

pub mod arena;
pub mod budget;
pub mod extents;
pub(crate) mod heap;
pub mod hold;
mod pages;
pub mod size;
mod slab;
pub mod spill;

pub(crate) use arena::{Age, CopyOf, trim_others};
pub use arena::{Arena, Buffer};
pub use budget::{Machine, peak_resident, reset_peak, resident};
pub use hold::Hold;
pub use size::{GIB, KIB, MIB, Memory, TIB, format_bytes, parse_bytes};
pub use spill::{Extent, Spill, SpillStats, default_scratch};
