//! Functions of neighbourhoods, those of `scipy.ndimage`.

use super::{
    super::{
        fault::{Fault, Result},
        settling::MOST,
        value::Value,
    },
    arguments::Arguments,
    functions,
};
use crate::imaging::{self, Boundary, Footprint, Gaussian};
use freeboard_formats::DType;
use ndarray::{ArrayD, IxDyn};

functions! {
    "ndimage.gaussian_filter(input, sigma, order=0, *, mode='reflect', cval=0.0, truncate=4.0)" "Smoothed by a Gaussian, or its derivatives" => |a| imaging::gaussian_filter(&a.array("input")?, gaussian(a)?, boundary(a)?);
    "ndimage.gaussian_filter1d(input, sigma, axis=-1, order=0, *, mode='reflect', cval=0.0, truncate=4.0)" "Smoothed by a Gaussian along an axis" => |a| imaging::gaussian_filter1d(&a.array("input")?, gaussian(a)?, a.integer("axis")?, boundary(a)?);
    "ndimage.gaussian_laplace(input, sigma, *, mode='reflect', cval=0.0)" "The second derivatives of a Gaussian, summed" => |a| imaging::gaussian_laplace(&a.array("input")?, Gaussian::from(a.floats("sigma")?.0), boundary(a)?);
    "ndimage.gaussian_gradient_magnitude(input, sigma, *, mode='reflect', cval=0.0)" "The length of the gradient, by a Gaussian's derivatives" => |a| imaging::gaussian_gradient_magnitude(&a.array("input")?, Gaussian::from(a.floats("sigma")?.0), boundary(a)?);
    "ndimage.laplace(input, *, mode='reflect', cval=0.0)" "The second differences, summed" => |a| imaging::laplace(&a.array("input")?, boundary(a)?);
    "ndimage.sobel(input, axis=-1, *, mode='reflect', cval=0.0)" "Sobel's derivative along an axis" => |a| imaging::sobel(&a.array("input")?, a.integer("axis")?, boundary(a)?);
    "ndimage.prewitt(input, axis=-1, *, mode='reflect', cval=0.0)" "Prewitt's derivative along an axis" => |a| imaging::prewitt(&a.array("input")?, a.integer("axis")?, boundary(a)?);
    "ndimage.uniform_filter(input, size=3, *, mode='reflect', cval=0.0)" "The means of boxes" => |a| imaging::uniform_filter(&a.array("input")?, sizes(a)?, boundary(a)?);
    "ndimage.uniform_filter1d(input, size, axis=-1, *, mode='reflect', cval=0.0)" "The means of neighbours along an axis" => |a| imaging::uniform_filter1d(&a.array("input")?, a.count("size")? as usize, a.integer("axis")?, boundary(a)?);
    "ndimage.minimum_filter1d(input, size, axis=-1, *, mode='reflect', cval=0.0)" "The least of the neighbours along an axis" => |a| imaging::minimum_filter1d(&a.array("input")?, a.count("size")? as usize, a.integer("axis")?, boundary(a)?);
    "ndimage.maximum_filter1d(input, size, axis=-1, *, mode='reflect', cval=0.0)" "The greatest of the neighbours along an axis" => |a| imaging::maximum_filter1d(&a.array("input")?, a.count("size")? as usize, a.integer("axis")?, boundary(a)?);
    "ndimage.correlate(input, weights, *, mode='reflect', cval=0.0)" "Weighted sums of neighbours" => |a| imaging::correlate(&a.array("input")?, &weights(a, "weights")?, boundary(a)?);
    "ndimage.convolve(input, weights, *, mode='reflect', cval=0.0)" "Weighted sums of neighbours, the weights in reverse" => |a| imaging::convolve(&a.array("input")?, &weights(a, "weights")?, boundary(a)?);
    "ndimage.correlate1d(input, weights, axis=-1, *, mode='reflect', cval=0.0)" "Weighted sums of neighbours along an axis" => |a| imaging::correlate1d(&a.array("input")?, &a.floats("weights")?.0, a.integer("axis")?, boundary(a)?);
    "ndimage.convolve1d(input, weights, axis=-1, *, mode='reflect', cval=0.0)" "Weighted sums of neighbours along an axis, the weights in reverse" => |a| imaging::convolve1d(&a.array("input")?, &a.floats("weights")?.0, a.integer("axis")?, boundary(a)?);
    "ndimage.minimum_filter(input, size=None, footprint=None, *, mode='reflect', cval=0.0)" "The least of the neighbours" => |a| imaging::minimum_filter(&a.array("input")?, footprint(a)?, boundary(a)?);
    "ndimage.maximum_filter(input, size=None, footprint=None, *, mode='reflect', cval=0.0)" "The greatest of the neighbours" => |a| imaging::maximum_filter(&a.array("input")?, footprint(a)?, boundary(a)?);
    "ndimage.median_filter(input, size=None, footprint=None, *, mode='reflect', cval=0.0)" "The median of the neighbours" => |a| imaging::median_filter(&a.array("input")?, footprint(a)?, boundary(a)?);
    "ndimage.rank_filter(input, rank, size=None, footprint=None, *, mode='reflect', cval=0.0)" "The neighbour of a rank" => |a| imaging::rank_filter(&a.array("input")?, a.integer("rank")?, footprint(a)?, boundary(a)?);
    "ndimage.percentile_filter(input, percentile, size=None, footprint=None, *, mode='reflect', cval=0.0)" "The neighbour at a percentile" => |a| imaging::percentile_filter(&a.array("input")?, a.float("percentile")?, footprint(a)?, boundary(a)?);
    "ndimage.grey_erosion(input, size=None, footprint=None, *, mode='reflect', cval=0.0)" "The least under the footprint" => |a| imaging::grey_erosion(&a.array("input")?, footprint(a)?, boundary(a)?);
    "ndimage.grey_dilation(input, size=None, footprint=None, *, mode='reflect', cval=0.0)" "The greatest under the footprint" => |a| imaging::grey_dilation(&a.array("input")?, footprint(a)?, boundary(a)?);
    "ndimage.grey_opening(input, size=None, footprint=None, *, mode='reflect', cval=0.0)" "The dilation of the erosion" => |a| imaging::grey_opening(&a.array("input")?, footprint(a)?, boundary(a)?);
    "ndimage.grey_closing(input, size=None, footprint=None, *, mode='reflect', cval=0.0)" "The erosion of the dilation" => |a| imaging::grey_closing(&a.array("input")?, footprint(a)?, boundary(a)?);
    "ndimage.white_tophat(input, size=None, footprint=None, *, mode='reflect', cval=0.0)" "What the opening takes away" => |a| imaging::white_tophat(&a.array("input")?, footprint(a)?, boundary(a)?);
    "ndimage.black_tophat(input, size=None, footprint=None, *, mode='reflect', cval=0.0)" "What the closing fills in" => |a| imaging::black_tophat(&a.array("input")?, footprint(a)?, boundary(a)?);
    "ndimage.morphological_gradient(input, size=None, footprint=None, *, mode='reflect', cval=0.0)" "The dilation less the erosion" => |a| imaging::morphological_gradient(&a.array("input")?, footprint(a)?, boundary(a)?);
    "ndimage.binary_erosion(input, structure=None, iterations=1, *, border_value=0)" "Where the structure lies in the image" => |a| imaging::binary_erosion(&a.array("input")?, structure(a)?, a.count("iterations")? as usize, a.flag("border_value")?);
    "ndimage.binary_dilation(input, structure=None, iterations=1, *, border_value=0)" "Where the structure, put on the image, reaches" => |a| imaging::binary_dilation(&a.array("input")?, structure(a)?, a.count("iterations")? as usize, a.flag("border_value")?);
    "ndimage.binary_opening(input, structure=None, iterations=1)" "The dilation of the erosion" => |a| imaging::binary_opening(&a.array("input")?, structure(a)?, a.count("iterations")? as usize);
    "ndimage.binary_closing(input, structure=None, iterations=1)" "The erosion of the dilation" => |a| imaging::binary_closing(&a.array("input")?, structure(a)?, a.count("iterations")? as usize);
    "ndimage.label(input, structure=None)" "The connected regions, numbered, and how many there are" => |a| labelled(a)?;
    "ndimage.generate_binary_structure(rank, connectivity)" "The neighbours that are beside the centre" => |a| neighbours(a)?;
}

/// What stands beyond the edge, by SciPy's names.
fn boundary(a: &Arguments<'_>) -> Result<Boundary> {
    let mode = match a.value("mode") {
        Value::Text(mode) => mode.as_str(),
        other => {
            return Err(Fault::new(format!("a mode is a string, not {}", other.with_article())));
        }
    };
    Ok(match mode {
        "reflect" | "grid-mirror" => Boundary::Reflect,
        "mirror" => Boundary::Mirror,
        "nearest" => Boundary::Nearest,
        "wrap" | "grid-wrap" => Boundary::Wrap,
        "constant" | "grid-constant" => Boundary::Constant(a.float("cval")?),
        other => {
            return Err(Fault::value(format!("there is no mode {other:?}"))
                .help("there are reflect, mirror, nearest, constant, wrap"));
        }
    })
}

fn gaussian(a: &Arguments<'_>) -> Result<Gaussian> {
    let order: Option<Vec<usize>> =
        a.integers("order")?.into_iter().map(|order| order.try_into().ok()).collect();
    let order = order.ok_or_else(|| Fault::value("an order of a derivative is not negative"))?;
    let gaussian = Gaussian::from(a.floats("sigma")?.0).order(order);
    Ok(gaussian.truncate(a.float("truncate")?))
}

fn sizes(a: &Arguments<'_>) -> Result<Vec<usize>> {
    let sizes = a.integers("size")?.into_iter().map(|size| size.try_into().ok());
    let sizes: Option<Vec<usize>> = sizes.collect();
    sizes.ok_or_else(|| Fault::value("a size is not negative"))
}

/// Numbers that must be known before anything is computed: nested lists, or an array.
fn weights(a: &Arguments<'_>, name: &str) -> Result<ArrayD<f64>> {
    let given = a.known(name)?;
    if let Value::Array(array) = &given {
        let shape = array.shape()?;
        let count = shape.iter().try_fold(1usize, |count, &len| count.checked_mul(len));
        if count.is_none_or(|count| count as u64 > MOST) {
            return Err(Fault::value(format!("'{name}' has more than {MOST} elements")));
        }
        let numbers = a.settling().elements(&array.cast_to(DType::F64))?.into_typed()?;
        return ArrayD::from_shape_vec(IxDyn(&shape), numbers)
            .map_err(|_| Fault::value("weights of another shape than their array"));
    }
    let (shape, numbers) = given.numbers()?;
    ArrayD::from_shape_vec(IxDyn(&shape), numbers)
        .map_err(|_| Fault::value("lists of unequal lengths"))
}

fn footprint(a: &Arguments<'_>) -> Result<Footprint> {
    match (a.is_none("footprint"), a.is_none("size")) {
        (false, _) => Ok(Footprint::from(&weights(a, "footprint")?.mapv(|weight| weight != 0.0))),
        (true, false) => Ok(Footprint::from(sizes(a)?)),
        (true, true) => Err(Fault::new("no footprint or filter size provided")),
    }
}

fn structure(a: &Arguments<'_>) -> Result<Option<Footprint>> {
    match a.is_none("structure") {
        true => Ok(None),
        false => {
            let weights = weights(a, "structure")?;
            Ok(Some(Footprint::from(&weights.mapv(|weight| weight != 0.0))))
        }
    }
}

fn labelled(a: &Arguments<'_>) -> Result<Value> {
    let (labels, count) = imaging::label(&a.array("input")?, structure(a)?);
    Ok(Value::Tuple(vec![labels.into(), count.into()]))
}

fn neighbours(a: &Arguments<'_>) -> Result<Value> {
    let (rank, connectivity) = (a.count("rank")?, a.count("connectivity")?);
    if rank > 6 {
        return Err(Fault::value(format!("a structure of {rank} axes; 6 at the most")));
    }
    let structure = imaging::generate_binary_structure(rank as usize, connectivity as usize);
    Ok(listed(&structure))
}

/// Nested lists of what an array holds.
fn listed(array: &ArrayD<bool>) -> Value {
    match array.ndim() {
        0 => Value::Bool(array.first().copied().unwrap_or(true)),
        _ => Value::List(array.outer_iter().map(|part| listed(&part.to_owned())).collect()),
    }
}
