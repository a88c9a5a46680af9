//! What may be said on the command line: one place for each option and its help.

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use freeboard::{
    Array, Blank, Missing,
    calc::is_name,
    memory::parse_bytes,
    picture::{Colormap, Limits, Stretch},
};
use std::{num::NonZeroUsize, path::PathBuf};

/// N-dimensional arrays over thousands of FITS, Zarr, HDF5, npy files and pictures, in bounded memory.
#[derive(Debug, Parser)]
#[command(name = "freeboard", version, arg_required_else_help = true, after_help = AFTER)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER: &str = "\
A PATH is a file, PATH::ITEM (an HDU, a data set), a folder of files, a quoted glob ('night/*.fits')
or a quoted pattern with fields ('visp/{stokes}_{raster:d}.fits'), or, built with the feature `remote`, a URL (s3://bucket/x.zarr);
several paths are stacked.
Results go to stdout, progress to stderr. Exit code: 0, 1 it failed, 2 wrong usage.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What is there: dtype, shape, chunks, codec, names of axes
    Info(Info),
    /// Cards or attributes of many files, as one table
    Headers(Headers),
    /// Count, least, greatest, sum, mean and standard deviation, in one pass
    Stats(Stats),
    /// One operation along axes: a value, or an array
    Reduce(Reduce),
    /// Averages (or sums, …) boxes of elements
    Rebin(Rebin),
    /// Copies to another format, other chunks or another codec
    Convert(Convert),
    /// Calibrates frames, and combines them into one
    Combine(Combine),
    /// Evaluates a formula in NumPy's syntax over named inputs
    Calc(Calc),
}

/// How the files of a stack are taken.
#[derive(Debug, Default, PartialEq, Args)]
pub struct Stacking {
    /// Fold the axis of files into several, of these lengths
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    pub stack: Option<Vec<u64>>,
    /// Keep the files' own leading axes of length 1
    #[arg(long)]
    pub keep_axes: bool,
    /// Place each file by what these cards (or attributes) of it say: an axis for each
    #[arg(long, value_name = "CARD,…", value_delimiter = ',')]
    pub stack_by: Vec<String>,
    /// What becomes of files that are missing or cannot be read: error, nan, or mask (0)
    #[arg(long, value_name = "POLICY", default_value = "error", hide_default_value = true)]
    pub missing: Missing,
    /// What undefined elements of FITS images (BLANK) are: nan, or mask (0; integers stay integers)
    #[arg(long, value_name = "POLICY", default_value = "nan", hide_default_value = true)]
    pub blank: Blank,
    /// Unpack elements as netCDF's attributes say: _FillValue, scale_factor, add_offset
    #[arg(long)]
    pub decode_cf: bool,
}

/// Arrays to read, with what is taken of them.
#[derive(Debug, Args)]
pub struct Input {
    #[command(flatten)]
    pub stacking: Stacking,
    /// Take this part, as NumPy writes it: '0, ..., :200'
    #[arg(long, value_name = "SLICE", allow_hyphen_values = true)]
    pub slice: Option<String>,
    /// Take, instead of the elements, which of them are missing: true in files that cannot be
    /// read, and, with --blank mask, for undefined elements
    #[arg(long)]
    pub mask: bool,
}

/// What a run may use, and what it tells.
#[derive(Debug, Args)]
pub struct Run {
    /// All that the process may hold [default: the container's limit, or half of the machine's memory]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,
    /// How many threads compute [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<NonZeroUsize>,
    /// The folder for what does not fit in memory [default: /var/tmp]
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// The most that may lie on scratch [default: what the disk has]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub scratch_quota: Option<u64>,
    /// How often a read that fails for a moment is tried again
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub retries: u32,
    /// Sums, means and spreads with bits that do not depend on how the data are cut into chunks
    #[arg(long)]
    pub reproducible: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub plan: bool,
    /// Print the result, report or plan as JSON
    #[arg(long)]
    pub json: bool,
    /// Tell nothing on stderr but errors
    #[arg(long, short)]
    pub quiet: bool,
}

/// How an output is written.
#[derive(Debug, Args)]
pub struct Writing {
    /// Chunk lengths of the output, one an axis (-1: the whole axis)
    #[arg(long, value_name = "N,…", value_delimiter = ',', allow_hyphen_values = true, value_parser = length)]
    pub chunks: Option<Vec<i64>>,
    /// Lengths of the shards that hold the chunks, one an axis (-1: the whole axis); Zarr alone has them
    #[arg(long, value_name = "N,…", value_delimiter = ',', allow_hyphen_values = true, requires = "chunks", value_parser = length)]
    pub shards: Option<Vec<i64>>,
    /// The output's codec: zstd:3, deflate:4, none, …; what there is depends on the format. For FITS: rice,
    /// gzip:4, and rice:4, which loses what is below a quarter of the noise of floats
    #[arg(long)]
    pub codec: Option<String>,
    /// Replace an output that exists: of out.h5::ITEM or out.zarr::ITEM that array alone, else all of it
    #[arg(long)]
    pub overwrite: bool,
    /// Replace an array in an object store, which is not atomic: the old one is removed first
    #[arg(long, conflicts_with_all = ["overwrite", "resume"])]
    pub overwrite_in_place: bool,
    /// Go on with what the same command left when it was killed or stopped; keep what this one writes
    #[arg(long)]
    pub resume: bool,
    /// Wait for the disk before the output is visible: it survives a loss of power
    #[arg(long)]
    pub durable: bool,
    #[command(flatten)]
    pub shading: Shading,
}

/// How a PNG file shows elements; row 0 is the upper edge. Without any of it, bytes and 16-bit
/// integers are stored as they are, and all others in shades of grey.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Pictures (.png)")]
pub struct Shading {
    /// Between which elements shades lie: minmax, percent:1,99, or LOW,HIGH [default: minmax]
    #[arg(long, value_name = "LIMITS", allow_hyphen_values = true)]
    pub limits: Option<Limits>,
    /// How shades grow between them: linear, sqrt, log, asinh [default: linear]
    #[arg(long)]
    pub stretch: Option<Stretch>,
    /// Their colours: gray, viridis, inferno, magma, plasma, cividis, cubehelix, turbo [default: gray]
    #[arg(long, value_name = "MAP")]
    pub colormap: Option<Colormap>,
    /// How NaN is shown: red, green and blue as six hexadecimal digits [default: 000000]
    #[arg(long, value_name = "RRGGBB", value_parser = color)]
    pub nan_color: Option<[u8; 3]>,
}

/// A colour, for clap.
fn color(text: &str) -> Result<[u8; 3], String> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    match u32::from_str_radix(digits, 16) {
        Ok(number) if digits.len() == 6 && !digits.starts_with('+') => {
            let [_, red, green, blue] = number.to_be_bytes();
            Ok([red, green, blue])
        }
        _ => Err("a colour has six hexadecimal digits, as ff8000".to_owned()),
    }
}

/// `freeboard info`.
#[derive(Debug, Args)]
pub struct Info {
    /// What to look at
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<String>,
    #[command(flatten)]
    pub stacking: Stacking,
    /// Show cards and attributes too
    #[arg(long)]
    pub cards: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// As a page of HTML, with a drawing of the chunks
    #[arg(long, conflicts_with = "json")]
    pub html: bool,
}

/// `freeboard headers`.
#[derive(Debug, Args)]
pub struct Headers {
    /// Whose headers
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<String>,
    /// These cards alone, in this order [default: those that differ; with --csv and --json, all]
    #[arg(long, value_name = "CARD,…", value_delimiter = ',')]
    pub cards: Vec<String>,
    /// As JSON, a line a file
    #[arg(long)]
    pub json: bool,
    /// As CSV
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
}

/// `freeboard stats`.
#[derive(Debug, Args)]
pub struct Stats {
    /// What to read
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<String>,
    #[command(flatten)]
    pub input: Input,
    #[command(flatten)]
    pub run: Run,
}

/// `freeboard reduce`.
#[derive(Debug, Args)]
pub struct Reduce {
    /// The operation
    #[arg(value_enum, hide_possible_values = false)]
    pub op: ReduceOp,
    /// What to read
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<String>,
    /// The axes that are reduced; negative ones count from the last [default: all]
    #[arg(long, value_name = "AXIS,…", value_delimiter = ',', allow_hyphen_values = true)]
    pub axis: Option<Vec<i64>>,
    /// Where to write; without, the result is printed
    #[arg(long, short, value_name = "OUT")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub input: Input,
    #[command(flatten)]
    pub writing: Writing,
    #[command(flatten)]
    pub run: Run,
}

/// `freeboard rebin`.
#[derive(Debug, Args)]
pub struct Rebin {
    /// What to read
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<String>,
    /// Lengths of the boxes, one an axis (-1: the whole axis)
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        required = true,
        allow_hyphen_values = true
    )]
    pub bins: Vec<i64>,
    /// What is made of each box
    #[arg(long, value_enum, default_value = "mean")]
    pub op: RebinOp,
    /// Where to write: .zarr, .fits, .h5, .npy or .png
    #[arg(long, short, value_name = "OUT")]
    pub output: PathBuf,
    #[command(flatten)]
    pub input: Input,
    #[command(flatten)]
    pub writing: Writing,
    #[command(flatten)]
    pub run: Run,
}

/// `freeboard convert`.
#[derive(Debug, Args)]
pub struct Convert {
    /// What to read, and last where to write: .zarr, .fits, .h5, .npy or .png
    #[arg(required = true, num_args = 2.., value_names = ["PATH", "OUT"])]
    pub paths: Vec<String>,
    #[command(flatten)]
    pub input: Input,
    #[command(flatten)]
    pub writing: Writing,
    #[command(flatten)]
    pub run: Run,
}

/// `freeboard combine`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("darks").args(["dark", "flat_dark"]).multiple(true)))]
pub struct Combine {
    /// The frames, stacked along their first axis; a file alone of one or two axes is one frame
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<String>,
    /// What is made of the elements at one place; NaN and what is missing is left out. The result is
    /// float64, of float32 and of calibrated frames of up to 16 bits it is float32
    #[arg(long, value_enum, default_value = "median")]
    pub method: Method,
    /// Reject what lies more than so many deviations from the centre, on both sides or on either
    #[arg(long, value_name = "K|LOW,HIGH", value_delimiter = ',')]
    pub sigma_clip: Option<Vec<f64>>,
    /// The centre of --sigma-clip
    #[arg(long, value_enum, default_value = "median", requires = "sigma_clip")]
    pub center: Center,
    /// The deviation of --sigma-clip
    #[arg(long, value_enum, default_value = "std", requires = "sigma_clip")]
    pub deviation: Deviation,
    /// How often --sigma-clip rejects, at the most; 0: until nothing more is rejected
    #[arg(long, value_name = "N", default_value_t = 1, requires = "sigma_clip")]
    pub iterations: u32,
    /// Reject elements below LOW or above HIGH
    #[arg(long, value_name = "LOW,HIGH", value_delimiter = ',', allow_hyphen_values = true)]
    pub min_max_clip: Option<Vec<f64>>,
    /// A weight for each frame, of --method mean and sum
    #[arg(long, value_name = "W,…", value_delimiter = ',', allow_hyphen_values = true)]
    pub weights: Option<Vec<f64>>,
    /// A factor for each frame, which it is multiplied by before anything is rejected
    #[arg(long, value_name = "F,…", value_delimiter = ',', allow_hyphen_values = true)]
    pub scale: Option<Vec<f64>>,
    /// Subtract this frame, or the master of several, from all frames, darks and flats
    #[arg(long, value_name = "PATH")]
    pub bias: Option<String>,
    /// Subtract this frame, or the master of several, from all frames, scaled by exposure; flats
    /// have their own, --flat-dark
    #[arg(long, value_name = "PATH")]
    pub dark: Option<String>,
    /// Divide by this frame, or the master of several, over its own mean
    #[arg(long, value_name = "PATH")]
    pub flat: Option<String>,
    /// Subtract this frame, or the master of several, from the flat, in place of the bias that it
    /// contains; it is exposed as long as the flat
    #[arg(long, value_name = "PATH", requires = "flat")]
    pub flat_dark: Option<String>,
    /// What several bias, dark or flat frames are made one by
    #[arg(long, value_enum, value_name = "METHOD", default_value = "mean")]
    pub master_method: Center,
    /// The card that tells exposures, for --dark and --flat-dark
    #[arg(long, value_name = "CARD", default_value = "EXPTIME", requires = "darks")]
    pub exposure: String,
    /// Where to write: .zarr, .fits, .h5, .npy or .png
    #[arg(long, short, value_name = "OUT")]
    pub output: PathBuf,
    #[command(flatten)]
    pub input: Input,
    #[command(flatten)]
    pub writing: Writing,
    #[command(flatten)]
    pub run: Run,
}

/// What `combine` makes of the elements at one place.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Method {
    /// The mean
    Mean,
    /// The median
    Median,
    /// The sum
    Sum,
}

/// What `combine` compares elements with.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Center {
    /// Their mean
    Mean,
    /// Their median
    Median,
}

/// How `combine` tells how far elements lie from each other.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Deviation {
    /// The standard deviation
    Std,
    /// By the median absolute deviation
    MadStd,
}

/// `freeboard calc`.
#[derive(Debug, Args)]
#[command(after_help = CALC)]
pub struct Calc {
    /// The formula, with NumPy's operators, functions and methods: '(float32(raw) - bias) / flat'
    #[arg(required_unless_present = "functions", allow_hyphen_values = true)]
    pub formula: Option<String>,
    /// What its names are; several paths of one name are stacked
    #[arg(value_name = "NAME=PATH", value_parser = named)]
    pub inputs: Vec<(String, String)>,
    /// Where to write: .zarr, .fits, .h5, .npy or .png; '-' prints
    #[arg(long, short, value_name = "OUT", default_value = "-")]
    pub output: PathBuf,
    /// List all functions
    #[arg(long)]
    pub functions: bool,
    #[command(flatten)]
    pub stacking: Stacking,
    #[command(flatten)]
    pub writing: Writing,
    #[command(flatten)]
    pub run: Run,
}

const CALC: &str = "\
Examples:
  freeboard calc '(float32(raw) - bias) / flat' raw='night/*.fits' bias=b.fits flat=f.fits -o out.zarr
  freeboard calc 'x[::2, 50:].mean(axis=1)' x=cube.zarr --json
  freeboard calc 'x.min(), x.max()' x=cube.zarr
With --json, integers beyond 64 bits are text.
Exit code: 0, 1 it failed, 2 the formula or the command line cannot be read.";

/// An input of a formula, for clap.
fn named(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, path)) if is_name(name) && !path.is_empty() => {
            Ok((name.to_owned(), path.to_owned()))
        }
        _ => Err("an input is given as NAME=PATH".to_owned()),
    }
}

/// The length of a chunk along an axis, for clap.
fn length(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(length) if length == -1 || length >= 1 => Ok(length),
        _ => Err("a length is 1 or more, or -1 for the whole axis".to_owned()),
    }
}

/// How many threads, for clap.
fn threads(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "a number of threads is 1 or more".to_owned())
}

/// A size in bytes, for clap.
fn size(text: &str) -> Result<u64, String> {
    parse_bytes(text).map_err(|error| error.to_string())
}

macro_rules! operations {
    ($(#[$doc:meta])* $name:ident($($on:tt)*) { $($variant:ident $method:ident $help:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, ValueEnum)]
        #[value(rename_all = "lower")]
        pub enum $name {
            $(#[doc = $help] $variant,)*
        }

        impl $name {
            operations! { @apply $($on)*; $($variant $method;)* }
        }
    };
    (@apply along axes; $($variant:ident $method:ident;)*) => {
        /// The operation along `axes`, or all.
        pub fn apply(self, array: &Array, axes: Option<&[i64]>) -> Array {
            match (self, axes) {
                $((Self::$variant, Some(axes)) => array.$method(axes).to_dyn(),
                (Self::$variant, None) => array.$method(..).to_dyn(),)*
            }
        }
    };
    (@apply in boxes; $($variant:ident $method:ident;)*) => {
        /// The operation on boxes of `bins` elements.
        pub fn apply(self, array: &Array, bins: &[i64]) -> Array {
            let boxes = array.rebin(bins);
            match self {
                $(Self::$variant => boxes.$method().to_dyn(),)*
            }
        }
    };
}

operations! {
    /// What `reduce` can do.
    ReduceOp(along axes) {
        Sum sum "The sum";
        Mean mean "The mean";
        Min min "The least; NaN if one is NaN";
        Max max "The greatest; NaN if one is NaN";
        Median median "The median; NaN if one is NaN";
        Std std "The standard deviation (ddof 0)";
        Var var "The variance (ddof 0)";
        Prod prod "The product";
        Argmin argmin "The index of the first least element, in C order within the axes";
        Argmax argmax "The index of the first greatest element, in C order within the axes";
        Any any "Whether one is not zero";
        All all "Whether none is zero";
        Count count "How many are not NaN";
        Nansum nansum "The sum of what is not NaN";
        Nanmean nanmean "The mean of what is not NaN";
        Nanmin nanmin "The least of what is not NaN";
        Nanmax nanmax "The greatest of what is not NaN";
        Nanmedian nanmedian "The median of what is not NaN";
        Nanstd nanstd "The standard deviation of what is not NaN (ddof 0)";
        Nanvar nanvar "The variance of what is not NaN (ddof 0)";
        Nanprod nanprod "The product of what is not NaN";
        Nanargmin nanargmin "As argmin, of what is not NaN";
        Nanargmax nanargmax "As argmax, of what is not NaN";
    }
}

operations! {
    /// What `rebin` can do.
    RebinOp(in boxes) {
        Mean mean "The mean";
        Sum sum "The sum";
        Min min "The least; NaN if one is NaN";
        Max max "The greatest; NaN if one is NaN";
        Std std "The standard deviation (ddof 0)";
        Var var "The variance (ddof 0)";
        Prod prod "The product";
        Any any "Whether one is not zero";
        All all "Whether none is zero";
        Count count "How many are not NaN";
        Nansum nansum "The sum of what is not NaN";
        Nanmean nanmean "The mean of what is not NaN";
        Nanmin nanmin "The least of what is not NaN";
        Nanmax nanmax "The greatest of what is not NaN";
        Nanstd nanstd "The standard deviation of what is not NaN (ddof 0)";
        Nanvar nanvar "The variance of what is not NaN (ddof 0)";
        Nanprod nanprod "The product of what is not NaN";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
