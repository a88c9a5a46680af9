//! Functions of neighbourhoods, with the names, boundaries and values of SciPy's `ndimage`.
//!
//! Each block of a result is made from the block of its input and a halo around it, which is read
//! from the neighbouring chunks, whatever their size. What lies beyond the array's own edge is
//! made by the block that needs it, as [`Boundary`] says.
//!
//! | file | owns |
//! |---|---|
//! | `edges` | [`Boundary`]; which box a block needs, and where its elements lie |
//! | `overlap` | `map_overlap`, [`generic_filter`]: functions of yours |
//! | `samples` | elements of any dtype as doubles, and back as C converts them |
//! | `rows` | how rows of elements become one: weighted sums, extremes, ranks |
//! | `lines` | filters along one axis after the other |
//! | `panels` | lines side by side, in which a filter along any axis is one of rows |
//! | `footprint` | filters over footprints of any shape |
//! | `filters` | the filters by their names: what they weigh, and along which axes |
//! | `one_axis` | filters along a single axis |
//! | `derivatives` | derivatives by their names |
//! | `label` | [`label()`]: connected regions across chunks |
//! | `measure` | [`measure()`]: what there is in labelled regions, in one pass |
//! | `morphology` | erosion and dilation, opening and closing |

mod derivatives;
mod edges;
mod filters;
mod footprint;
mod label;
mod lines;
mod measure;
mod morphology;
mod one_axis;
mod overlap;
mod panels;
mod rows;
mod samples;

pub use derivatives::{gaussian_gradient_magnitude, gaussian_laplace, laplace, prewitt, sobel};
pub use edges::Boundary;
pub use filters::{
    Footprint, Gaussian, convolve, correlate, gaussian_filter, maximum_filter, median_filter,
    minimum_filter, percentile_filter, rank_filter, uniform_filter,
};
pub use label::label;
pub use measure::{Measure, Measurements, Regions, Table, measure};
pub use morphology::{
    binary_closing, binary_dilation, binary_erosion, binary_opening, black_tophat,
    generate_binary_structure, grey_closing, grey_dilation, grey_erosion, grey_opening,
    morphological_gradient, white_tophat,
};
pub use one_axis::{
    convolve1d, correlate1d, gaussian_filter1d, maximum_filter1d, minimum_filter1d,
    uniform_filter1d,
};
pub use overlap::{Depth, generic_filter};

use crate::kernel::{carve, carved};
