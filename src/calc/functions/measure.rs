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
    imaging::{self, Measure, Measurements, Regions},
};

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
    "ndimage.find_objects(input, max_label=0)" "The boxes around the regions, up to max_label if it is not 0: start and stop along each axis" => |a| boxes(a)?;
    "ndimage.histogram(input, min, max, bins, labels=None, index=None)" "How many elements of regions lie in each bin" => |a| histogram(a)?;
}

const INPUTS: [&str; 2] = ["input", "labels"];

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
        Value::Array(index) if index.rank()? > 0 => Regions::from(a.integers("index")?),
        Value::Tuple(_) | Value::List(_) => Regions::from(a.integers("index")?),
        _ => Regions::only(a.integer("index")?),
    };
    let labels = a.array(labels)?;
    if labels.dtype()?.is_float() {
        return Err(Fault::value("labels are integers, and not floats")
            .help("labels.astype(int) converts them"));
    }
    Ok(imaging::measure(&values, &labels, regions))
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
    let most = match a.count("max_label")? {
        0 if !labels.shape()?.contains(&0) => {
            let greatest = a.settling().numbers(&labels.max(..).into())?;
            if let Value::Int(greatest) = greatest {
                u64::try_from(greatest).unwrap_or(0)
            } else {
                0
            }
        }
        most => most,
    };
    column(imaging::measure(&labels, &labels, most).bounding_box())
}

fn histogram(a: &Arguments<'_>) -> Result<Array> {
    let bins = a.count("bins")? as usize;
    column(regions(a, INPUTS)?.histogram(a.float("min")?, a.float("max")?, bins))
}
