//! What is done to elements: the traits, and the kernels that come with the library.
//!
//! Three kinds, by what they need to see:
//!
//! * [`Elementwise`] computes each element from the elements at the same place. A chain of
//!   them is fused and runs a tile at a time, in cache.
//! * [`Fold`] takes a running state and rows of elements, combines states, and finishes them:
//!   every reduction and `rebin`.
//! * [`BlockKernel`] sees boxes of its inputs at once, and makes a block: functions that users
//!   hand in, filters, selections, products.
//!
//! Kernels are made for the dtypes they run on: promotion is settled before (in
//! [`promote`]), so a kernel never converts its inputs. They see untyped bytes, aligned
//! to their element size and in native order; `bool` is a byte, 0 or 1.

mod arith;
mod cast;
mod copies;
mod counts;
mod dense;
mod distinct;
mod filter;
mod folds;
mod frames;
mod joint;
mod linalg;
mod lines;
mod lookup;
#[cfg(test)]
mod oracle;
mod product;
pub mod promote;
mod quantiles;
mod scan;
mod scratch;
mod search;
mod special;
mod tile;
mod unary;
mod wide;

pub use arith::{Binary, binary, select};
pub use cast::cast;
pub use copies::{Diagonal, Repeat, Reshape, TakeAlong};
pub(crate) use counts::bin;
pub use counts::{Bins, Counts};
pub use distinct::{Distinct, MergeDistinct, put_values, table_words};
pub use filter::{CountTrue, Filter};
pub(crate) use folds::in_order;
pub use folds::{FoldOp, fold};
pub use frames::{Center, Combination, Deviation, Frames, SigmaClip};
pub use joint::{Edges, Joint};
pub use linalg::{Matrix, MatrixOp};
pub use lines::{LineOp, Lines};
pub use lookup::{Digitize, Lookup};
pub use product::Product;
pub use quantiles::Method;
pub use scan::Scan;
pub(crate) use scratch::{carve, carved};
pub use search::Search;
pub use special::{Special, special};
pub use unary::{Unary, unary};
pub(crate) use wide::{with_avx2, with_avx512};

use freeboard_formats::{ChunkMut, ChunkView, DType, Region, Scalar};
use smallvec::SmallVec;
use std::{borrow::Cow, fmt, sync::Arc};

/// One input of an elementwise kernel over a tile of `n` elements.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// `n` elements.
    Run(&'a [u8]),
    /// One element, the same for the whole tile.
    One(&'a [u8]),
}

/// A function of the elements at one place, made for fixed input dtypes.
pub trait Elementwise: fmt::Debug + Send + Sync {
    /// A stable name: `add`, `sqrt`, `cast`.
    fn name(&self) -> Cow<'static, str>;

    /// What tells two kernels of one name apart, beside their dtypes.
    fn params(&self) -> Vec<Scalar> {
        Vec::new()
    }

    /// Whether two kernels with equal name, parameters and dtypes compute the same; closures do not.
    fn is_named(&self) -> bool {
        true
    }

    /// The dtypes that the inputs must have.
    fn inputs(&self) -> &[DType];

    /// The dtype of the result.
    fn output(&self) -> DType;

    /// Computes `out.len() / output().size()` elements.
    fn run(&self, inputs: &[Operand<'_>], out: &mut [u8]);
}

/// Where a row lies, for the folds that want to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct At {
    /// The C-order index, within the folded axes of the whole array, of the first element of
    /// every run; the elements of a run follow one another. Only told to folds that
    /// [need it](Fold::needs_index).
    pub index: u64,
    /// How many elements have been folded into each of the cells since [`Fold::start`].
    pub seen: u64,
}

/// A reduction of many elements to one, made for one input dtype.
///
/// The state of a set of cells is one array a part (`state()`), each with an element a cell.
/// *A partial* is `start`, then `step` for each row of one chunk in C order. Partials are
/// combined in the order of their chunks, and the last state is finished. What a fold
/// returns may depend on the order of its steps; that order depends on the chunks alone.
pub trait Fold: fmt::Debug + Send + Sync {
    /// A stable name: `sum`, `nanmean`.
    fn name(&self) -> Cow<'static, str>;

    /// What tells two folds of one name apart, beside their dtypes.
    fn params(&self) -> Vec<Scalar> {
        Vec::new()
    }

    /// The dtype of the elements that are folded.
    fn input(&self) -> DType;

    /// The dtype of the result.
    fn output(&self) -> DType;

    /// The dtypes of the state's parts.
    fn state(&self) -> &[DType];

    /// Whether [`At::index`] matters.
    fn needs_index(&self) -> bool {
        false
    }

    /// Whether one state a cell takes all elements, chunk after chunk, so that states are
    /// never combined.
    fn is_in_order(&self) -> bool {
        false
    }

    /// The same reduction, with bits that depend on nothing but the elements: not on chunks, nor
    /// on the order in which they come. `None` if they do not, or if there is no such reduction.
    fn reproducible(&self) -> Option<Arc<dyn Fold>> {
        None
    }

    /// Sets all cells to the state of no element.
    fn start(&self, state: &mut [&mut [u8]]);

    /// Folds a row: `run` neighbouring elements into each cell, cell after cell.
    /// A long run comes in several calls of up to [`SEGMENT`] elements, cut by the chunk's shape alone.
    fn step(&self, state: &mut [&mut [u8]], row: &[u8], run: usize, at: At);

    /// Combines the state `later`, of `count_later` elements a cell, into `state`, of `count`.
    fn combine(&self, state: &mut [&mut [u8]], count: u64, later: &[&[u8]], count_later: u64);

    /// The results of cells into each of which `count` elements were folded.
    fn finish(&self, state: &[&[u8]], count: u64, out: &mut [u8]);
}

/// The longest run that a fold is handed at once, in elements: a tile that stays in the
/// first-level cache. Part of what fixes the bits of a sum.
pub const SEGMENT: usize = 4096;

/// What a block kernel is told beside its inputs.
#[derive(Clone, Debug)]
pub struct BlockCx {
    /// The index of the block in the grid of the output.
    pub index: Vec<u64>,
    /// The elements of the output array that the block holds.
    pub region: Region,
    /// The elements of each input that the function is handed.
    pub inputs: SmallVec<[Region; 2]>,
}

/// A function of whole blocks.
pub trait BlockKernel: fmt::Debug + Send + Sync {
    /// A name for plans and messages; of a named kernel a stable one.
    fn name(&self) -> Cow<'static, str>;

    /// What tells two named kernels of one name apart, beside their inputs and their output's dtype.
    fn params(&self) -> Vec<Scalar> {
        Vec::new()
    }

    /// Whether two kernels with equal name and parameters compute the same of equal inputs,
    /// and allocate nothing beside their scratch; closures do not.
    fn is_named(&self) -> bool {
        false
    }

    /// Bytes it may use beside inputs and output, for boxes of these shapes; none unless said.
    fn scratch(&self, _inputs: &[Region], _output: &Region) -> u64 {
        0
    }

    /// Computes one block; `out` lies in one run, in C order. `scratch` has the length that [`BlockKernel::scratch`] asked for, is
    /// aligned to 64 bytes and holds anything; closures allocate themselves what they declared there.
    ///
    /// # Errors
    /// A text for the user; the run adds the array's source line.
    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        out: ChunkMut<'_>,
        scratch: &mut [u8],
        cx: &BlockCx,
    ) -> Result<(), String>;
}

/// The inputs of a kernel that takes `N`.
pub(crate) fn exactly<'a, 'b, const N: usize>(
    inputs: &'a [ChunkView<'b>],
    name: &str,
) -> Result<&'a [ChunkView<'b>; N], String> {
    inputs.try_into().map_err(|_| format!("{name} of {} blocks", inputs.len()))
}
