//! Measurements of labelled regions, those of `scipy.ndimage` and `dask_image.ndmeasure`.

use super::{
    super::{
        fault::{Fault, Result},
        value::Value,
    },
    arguments::Arguments,
    functions,
};
use crate::{
    array::Array,
    expr::Op,
    imaging::{self, Measure, Measurements, Regions},
};
use freeboard_formats::{Cancel, ChunkMut, DType, FileCache, ReadCx, Region};

functions! {
    "ndimage.area(image, label_image=None, index=None)" "How many elements each region has (as in dask_image)" => |a| one(a, ["image", "label_image"], Measure::Area)?;
    "ndimage.sum_labels|sum(input, labels=None, index=None)" "The sums of regions, as doubles" => |a| one(a, INPUTS, Measure::Sum)?;
    "ndimage.mean(input, labels=None, index=None)" "The means of regions" => |a| one(a, INPUTS, Measure::Mean)?;
    "ndimage.variance(input, labels=None, index=None)" "The variances of regions" => |a| one(a, INPUTS, Measure::Variance)?;
    "ndimage.standard_deviation(input, labels=None, index=None)" "The standard deviations of regions" => |a| one(a, INPUTS, Measure::StandardDeviation)?;
    "ndimage.minimum(input, labels=None, index=None)" "The least elements of regions" => |a| one(a, INPUTS, Measure::Minimum)?;
    "ndimage.maximum(input, labels=None, index=None)" "The greatest elements of regions" => |a| one(a, INPUTS, Measure::Maximum)?;
    "ndimage.minimum_position(input, labels=None, index=None)" "Where the first least elements of regions are" => |a| one(a, INPUTS, Measure::MinimumPosition)?;
    "ndimage.maximum_position(input, labels=None, index=None)" "Where the first greatest elements of regions are" => |a| one(a, INPUTS, Measure::MaximumPosition)?;
    "ndimage.extrema(input, labels=None, index=None)" "The least and the greatest elements of regions, and where they are" => |a| extrema(a)?;
    "ndimage.center_of_mass(input, labels=None, index=None)" "The centres of mass of regions" => |a| one(a, INPUTS, Measure::CentreOfMass)?;
    "ndimage.find_objects(input, max_label)" "The boxes around the regions up to max_label: start and stop along each axis" => |a| boxes(a)?;
    "ndimage.histogram(input, min, max, bins, labels=None, index=None)" "How many elements of regions lie in each bin" => |a| histogram(a)?;
}

const INPUTS: [&str; 2] = ["input", "labels"];

/// The most labels that are listed.
const MOST: u64 = 1 << 20;

/// What is to be measured: of all elements without labels, of all labelled ones without an index.
fn regions(a: &Arguments<'_>, [input, labels]: [&str; 2]) -> Result<Measurements> {
    let values = a.array(input)?;
    if a.is_none(labels) {
        return match a.is_none("index") {
            true => Ok(imaging::measure(&values, &values.cast::<bool>(), Regions::everywhere())),
            false => Err(Fault::value(format!("an index without '{labels}'"))),
        };
    }
    let regions = match a.value("index") {
        Value::None => Regions::labelled_together(),
        Value::Array(index) => Regions::from(counted(index)?),
        Value::Tuple(_) | Value::List(_) => Regions::from(a.integers("index")?),
        _ => Regions::only(a.integer("index")?),
    };
    Ok(imaging::measure(&values, &a.array(labels)?, regions))
}

/// The elements of an array that is counted out, as `arange(1, 9)`: how long a result is must be known.
fn counted(index: &Array) -> Result<Vec<i64>> {
    let list = || Fault::value("'index' is a list of labels, or arange(…), written in the formula");
    let meta = index.meta()?;
    let Op::Source(source) = index.expr().op() else { return Err(list()) };
    let region = Region::whole(&meta.shape());
    if source.storage().format != "generated"
        || meta.dtype != DType::I64
        || region.rank() != 1
        || region.volume() > MOST
    {
        return Err(list());
    }
    let mut labels = vec![0i64; region.volume() as usize];
    let (files, cancel) = (FileCache::default(), Cancel::default());
    let mut cx = ReadCx { scratch: &mut [], limit: u64::MAX, files: &files, cancel: &cancel };
    let read = source.read(&region, ChunkMut::of(&mut labels, &region.shape), &mut cx);
    read.map_err(|error| Fault::value(error.to_string()))?;
    Ok(labels)
}

/// The only column of what is measured.
fn column(measured: Measurements) -> Result<Array> {
    let column = measured.columns().pop();
    column.map(|(_, column)| column).ok_or_else(|| Fault::value("nothing is measured"))
}

fn one(a: &Arguments<'_>, inputs: [&str; 2], measure: Measure) -> Result<Array> {
    column(regions(a, inputs)?.with(measure))
}

fn extrema(a: &Arguments<'_>) -> Result<Value> {
    let measured = regions(a, INPUTS)?.minimum().maximum().minimum_position().maximum_position();
    Ok(Value::Tuple(measured.columns().into_iter().map(|(_, column)| column.into()).collect()))
}

fn boxes(a: &Arguments<'_>) -> Result<Array> {
    let labels = a.array("input")?;
    column(imaging::measure(&labels, &labels, a.count("max_label")?).bounding_box())
}

fn histogram(a: &Arguments<'_>) -> Result<Array> {
    let bins = a.count("bins")? as usize;
    column(regions(a, INPUTS)?.histogram(a.float("min")?, a.float("max")?, bins))
}
