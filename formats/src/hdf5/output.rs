//! The file being written: one data set, the scales of its axes, and its attributes.
//!
//! [`Output`] is what a writer of HDF5 files has to offer to the sink, four calls, so that the
//! crate behind it, `rust-hdf5`, can be replaced.
//!
//! A named axis gets a *dimension scale* of that name beside the data set (HDF5 Dimension Scale
//! Specification 1.0): with the axis' coordinates where they are given, else as netCDF-4 writes
//! a dimension that has none (NetCDF-4 File Format, appendix C). h5py, netCDF-4 and xarray
//! take names and coordinates from there.

use super::{attributes::ONLY_DIMENSION, update::Update};
use crate::{
    dtype::{DType, Scalar},
    error::{ErrorKind, FormatError, Result},
    source::Meta,
};
use rust_hdf5::{FilterPipeline, H5Dataset, H5File, H5Group, HBool, Hdf5Error, VarLenUnicode};
use serde_json::Value;
use std::path::Path;

/// The file's places for chunks begin at multiples of this. Of each gap between two chunks
/// `rust-hdf5` keeps a note, and it looks through all notes for each chunk: 200,000 chunks
/// of odd lengths take minutes, and those without gaps a second.
pub(super) const ALIGNED: usize = 8;
/// Attributes whose numbers are elements: netCDF wants them in the data set's own type.
const OF_ELEMENTS: [&str; 4] = [FILL_VALUE, "missing_value", "valid_min", "valid_max"];
/// Elements in a chunk of a scale that has no values.
const NO_VALUES: usize = 1 << 20;
/// The attribute in which netCDF names the value of elements that were never written.
pub(super) const FILL_VALUE: &str = "_FillValue";

/// How chunks lie in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// All elements in one run.
    Contiguous,
    /// Chunks as they are.
    Plain,
    /// Chunks as zlib streams, shuffled before where elements have more than one byte.
    Deflated { shuffle: bool, level: u32 },
}

/// The data set that a file is to hold.
pub(super) struct Wanted<'a> {
    /// The parts of its path; at least one.
    pub(super) names: &'a [&'a str],
    pub(super) meta: &'a Meta,
    /// The shape of its chunks.
    pub(super) chunk: &'a [u64],
    pub(super) layout: Layout,
    /// What elements are that were never written, of the array's dtype.
    pub(super) fill: Scalar,
    /// Coordinates of axes, by the names of these.
    pub(super) coordinates: &'a [(String, Vec<f64>)],
    /// What becomes of the file that is there, if the data set is added to one.
    pub(super) update: Option<&'a Update>,
}

/// What a writer of HDF5 files has to offer.
pub(super) trait Output: Send + Sync + Sized {
    /// A file with one data set, or, at `path`, the file that it is added to.
    fn create(path: &Path, wanted: &Wanted<'_>) -> Result<Self>;
    /// Stores the encoded bytes of one chunk, best of a multiple of [`ALIGNED`]; of an array without axes, its element.
    fn put_chunk(&self, index: &[u64], bytes: &[u8]) -> Result<()>;
    /// Adds an attribute to the data set.
    fn attr(&self, name: &str, value: &Value) -> Result<()>;
    /// Makes the file whole and durable.
    fn finish(self) -> Result<()>;
}

/// The crate `rust-hdf5` as a [`Output`].
pub(super) struct RustHdf5 {
    dataset: H5Dataset,
    file: H5File,
    layout: Layout,
    dtype: DType,
}

impl Output for RustHdf5 {
    fn create(path: &Path, wanted: &Wanted<'_>) -> Result<RustHdf5> {
        let Wanted { names, meta, chunk, layout, fill, update, .. } = *wanted;
        let options = H5File::options().no_locking();
        let file = match update {
            Some(_) => options.open_rw(path),
            None => options.create(path),
        }
        .map_err(translate)?;
        for removed in update.iter().flat_map(|update| &update.removed) {
            file.delete_dataset(removed.trim_start_matches('/')).map_err(translate)?;
        }
        let mut group = file.root_group();
        let (name, groups) = names.split_last().expect("a data set has a name");
        let there = update.map_or(0, |update| update.groups);
        for (depth, name) in groups.iter().enumerate() {
            group = match depth < there {
                true => group.group(name),
                false => group.create_group(name),
            }
            .map_err(translate)?;
        }
        let (fill, size) = fill.bytes();
        let sizes = |shape: &[u64]| -> Vec<usize> { shape.iter().map(|&n| n as usize).collect() };
        macro_rules! create {
            ($t:ty) => {{
                let mut builder = group
                    .new_dataset::<$t>()
                    .shape(sizes(&meta.shape()))
                    .fill_value_bytes(&fill[..size]);
                if layout != Layout::Contiguous {
                    builder = builder.chunk(&sizes(chunk));
                }
                if let Layout::Deflated { shuffle, level } = layout {
                    let element = meta.dtype.size() as u32;
                    builder = builder.filter_pipeline(match shuffle {
                        true => FilterPipeline::shuffle_deflate(element, level),
                        false => FilterPipeline::deflate(level),
                    });
                }
                builder.create(name)
            }};
        }
        let dataset = match meta.dtype {
            DType::Bool => create!(HBool),
            DType::U8 => create!(u8),
            DType::U16 => create!(u16),
            DType::U32 => create!(u32),
            DType::U64 => create!(u64),
            DType::I8 => create!(i8),
            DType::I16 => create!(i16),
            DType::I32 => create!(i32),
            DType::I64 => create!(i64),
            DType::F32 => create!(f32),
            DType::F64 => create!(f64),
        }
        .map_err(translate)?;
        name_axes(&file, &group, &dataset, wanted).map_err(translate)?;
        Ok(RustHdf5 { dataset, file, layout, dtype: meta.dtype })
    }

    fn put_chunk(&self, index: &[u64], bytes: &[u8]) -> Result<()> {
        let at: Vec<usize> = index.iter().map(|&i| i as usize).collect();
        match self.layout {
            Layout::Contiguous => self.dataset.write_raw_bytes(bytes),
            Layout::Plain => self.dataset.write_chunk_at(&at, bytes),
            Layout::Deflated { .. } => self.dataset.write_chunk_raw_at(&at, bytes, 0),
        }
        .map_err(translate)
    }

    fn attr(&self, name: &str, value: &Value) -> Result<()> {
        macro_rules! number {
            ($t:ty, $value:expr) => {
                self.dataset
                    .new_attr::<$t>()
                    .shape(())
                    .create(name)
                    .and_then(|attr| attr.write_numeric::<$t>(&$value))
            };
        }
        macro_rules! numbers {
            ($t:ty, $shape:expr, $values:expr) => {
                self.dataset
                    .new_attr::<$t>()
                    .shape($shape)
                    .create(name)
                    .and_then(|attr| attr.write_array::<$t>(&$values))
            };
        }
        let text = |text: &str| {
            self.dataset
                .new_attr::<VarLenUnicode>()
                .shape(())
                .create(name)
                .and_then(|attr| attr.write_string(text))
        };
        if OF_ELEMENTS.contains(&name)
            && let Some(element) = element(value, self.dtype)
        {
            let (bytes, size) = element.bytes();
            macro_rules! of {
                ($t:ty) => {
                    number!($t, bytemuck::pod_read_unaligned::<$t>(&bytes[..size]))
                };
            }
            return match self.dtype {
                DType::Bool | DType::U8 => of!(u8),
                DType::U16 => of!(u16),
                DType::U32 => of!(u32),
                DType::U64 => of!(u64),
                DType::I8 => of!(i8),
                DType::I16 => of!(i16),
                DType::I32 => of!(i32),
                DType::I64 => of!(i64),
                DType::F32 => of!(f32),
                DType::F64 => of!(f64),
            }
            .map_err(translate);
        }
        let written = match value {
            Value::Bool(value) => number!(HBool, HBool::from(*value)),
            Value::String(value) => text(value),
            Value::Number(value) => match (value.as_i64(), value.as_u64(), value.as_f64()) {
                (Some(value), _, _) => number!(i64, value),
                (_, Some(value), _) => number!(u64, value),
                (_, _, value) => number!(f64, value.unwrap_or(f64::NAN)),
            },
            Value::Array(_) => {
                let (mut shape, mut values) = (Vec::new(), Vec::new());
                let regular = flatten(value, 0, &mut shape, &mut values) && !values.is_empty();
                let strings: Option<Vec<&str>> = values.iter().map(|v| v.as_str()).collect();
                let whole: Option<Vec<i64>> = values.iter().map(|v| v.as_i64()).collect();
                let floats: Option<Vec<f64>> = values.iter().map(|v| v.as_f64()).collect();
                match (strings, whole, floats) {
                    _ if !regular => text(&value.to_string()),
                    (Some(strings), _, _) => self
                        .dataset
                        .new_attr::<VarLenUnicode>()
                        .shape(shape)
                        .create(name)
                        .and_then(|attr| attr.write_string_array(&strings)),
                    (_, Some(whole), _) => numbers!(i64, shape, whole),
                    (_, _, Some(floats)) => numbers!(f64, shape, floats),
                    _ => text(&value.to_string()),
                }
            }
            _ => text(&value.to_string()),
        };
        written.map_err(translate)
    }

    fn finish(self) -> Result<()> {
        drop(self.dataset);
        self.file.close().map_err(translate)
    }
}

/// Gives the named axes their scales. What cannot be a name of a data set stays a label only,
/// as do axes without positions, and those of whose name there is something else.
fn name_axes(
    file: &H5File,
    group: &H5Group,
    array: &H5Dataset,
    wanted: &Wanted<'_>,
) -> rust_hdf5::Result<()> {
    let Wanted { names, meta, coordinates, update, .. } = *wanted;
    let dataset = names.last().copied().unwrap_or_default();
    let mut scales: Vec<(&str, u64, H5Dataset)> = Vec::new();
    for (axis, (name, &len)) in meta.axes.iter().zip(&meta.shape()).enumerate() {
        let usable = !name.is_empty() && name != "." && !name.contains(['/', '\0']);
        if !usable || name == dataset || len == 0 {
            continue;
        }
        if let Some((_, other, scale)) = scales.iter().find(|(taken, ..)| taken == name) {
            // Two axes of one dimension, as those of a covariance matrix.
            if *other == len {
                array.attach_scale(axis, scale)?;
            }
            continue;
        }
        if let Some(other) = update.and_then(|update| update.taken.get(name)) {
            // One scale for all arrays of a group that have such an axis.
            if *other == Some(len) {
                let path = [group.name(), "/", name].concat();
                let scale = file.dataset_writer(path.trim_start_matches('/'))?;
                array.attach_scale(axis, &scale)?;
            }
            continue;
        }
        let values = coordinates.iter().find(|(of, _)| of == name).map(|(_, values)| values);
        let scale = match values {
            Some(values) => {
                let scale = group.new_dataset::<f64>().shape([values.len()]).create(name)?;
                scale.write_raw(values)?;
                scale.set_scale(Some(name))?;
                scale
            }
            None => {
                // In chunks, none of which is ever written: the file has no room for them.
                let scale = group.new_dataset::<f32>().shape([len as usize]);
                let scale = scale.chunk(&[(len as usize).min(NO_VALUES)]).create(name)?;
                scale.set_scale(Some(&format!("{ONLY_DIMENSION}{len:10}")))?;
                scale
            }
        };
        array.attach_scale(axis, &scale)?;
        scales.push((name, len, scale));
    }
    Ok(())
}

/// The number as an element of `dtype`, if it is one.
pub(super) fn element(value: &Value, dtype: DType) -> Option<Scalar> {
    let scalar = match (value.as_i64(), value.as_u64(), value.as_f64()) {
        (Some(value), ..) => Scalar::I64(value),
        (_, Some(value), _) => Scalar::U64(value),
        (.., Some(value)) => Scalar::F64(value),
        _ => match value.as_str()? {
            "NaN" if dtype.is_float() => Scalar::F64(f64::NAN),
            _ => return None,
        },
    };
    let element = scalar.cast(dtype);
    let same =
        element.as_f64() == scalar.as_f64() || dtype == DType::F32 || scalar.as_f64().is_nan();
    (dtype != DType::Bool && same).then_some(element)
}

/// The values of nested arrays in C order, and their shape; `false` if they are ragged.
pub(super) fn flatten<'v>(
    value: &'v Value,
    depth: usize,
    shape: &mut Vec<usize>,
    values: &mut Vec<&'v Value>,
) -> bool {
    let Value::Array(rows) = value else {
        values.push(value);
        return depth == shape.len();
    };
    if shape.len() == depth {
        // A first row: no value may have been met on this level.
        if !values.is_empty() {
            return false;
        }
        shape.push(rows.len());
    }
    shape[depth] == rows.len() && rows.iter().all(|row| flatten(row, depth + 1, shape, values))
}

fn translate(error: Hdf5Error) -> FormatError {
    let kind = match &error {
        Hdf5Error::Io(_) | Hdf5Error::IoLayer(_) => match system_error(&error.to_string()) {
            Some(io) => FormatError::io(io).kind(),
            None => ErrorKind::Io,
        },
        Hdf5Error::Unsupported(_) | Hdf5Error::TypeMismatch(_) => ErrorKind::Unsupported,
        Hdf5Error::InvalidState(_) | Hdf5Error::NotFound(_) => ErrorKind::Invalid,
        _ => ErrorKind::Io,
    };
    FormatError::new(kind, error.to_string()).because(error)
}

/// The system's error of which a text tells: the crate keeps its errors of I/O private, and
/// a full disk must be known as one.
fn system_error(text: &str) -> Option<std::io::Error> {
    let (_, code) = text.rsplit_once("(os error ")?;
    Some(std::io::Error::from_raw_os_error(code.split_once(')')?.0.parse().ok()?))
}
