//! Indices by several lists, or by a list beside integers: points, which the lists name together.
//!
//! As in NumPy, lists are broadcast against each other, integers among them, and the axis that they make stands where
//! the first of them stood; where slices stand between them, in front. Each point is a view of its own.

use super::{
    fault::{Fault, Result},
    index::{is_list, part, places, too_many},
    settling::Settling,
    value::Value,
};
use crate::array::{Array, Chunks, Part, full, stack};
use freeboard_formats::DType;

/// The most points: each is a node of the expression.
const MOST: usize = 1 << 16;

/// The places along one axis, in the shape of their list.
struct Places {
    axis: usize,
    at: Vec<i64>,
    shape: Vec<usize>,
}

impl Places {
    /// That of the point number `number`, in C order, among those of `shape`.
    fn of(&self, mut number: usize, shape: &[usize]) -> i64 {
        let (mut place, mut stride) = (0, 1);
        for (i, &len) in shape.iter().enumerate().rev() {
            let at = number % len;
            number /= len;
            let own = (i + self.shape.len()).checked_sub(shape.len());
            if let Some(&own) = own.and_then(|i| self.shape.get(i)) {
                place += if own == 1 { 0 } else { at * stride };
                stride *= own;
            }
        }
        self.at[place]
    }
}

/// `array[parts]`, of slices, integers and lists, with no ellipsis.
pub(super) fn points(array: &Array, parts: &[Value], settling: Settling<'_>) -> Result<Value> {
    let rank = array.rank()?;
    let (mut slices, mut named, mut stood) = (Vec::new(), Vec::new(), Vec::new());
    for (number, value) in parts.iter().enumerate() {
        let axis = slices.len();
        match value {
            Value::None => {
                return Err(Fault::new("a new axis beside a list or an array in an index")
                    .help("index twice: x[[0, 2], [1, 1]][None]"));
            }
            list if is_list(list) => {
                named.extend(listed(list, &array.shape()?, axis, settling)?);
            }
            one => match part(one)? {
                Part::Index(at) => named.push(Places { axis, at: vec![at], shape: Vec::new() }),
                slice => {
                    slices.push(slice);
                    continue;
                }
            },
        }
        stood.push((number, axis));
        let next = named.last().map_or(axis, |places| places.axis) + 1;
        slices.resize_with(next, || Part::Range { start: None, stop: None, step: 1 });
    }
    if slices.len() > rank {
        return Err(too_many(rank, slices.len()));
    }
    let sliced = array.select(&slices);
    let lens = sliced.shape()?;
    for Places { axis, at, .. } in &mut named {
        let len = lens[*axis] as i64;
        for at in at {
            let counted = if *at < 0 { at.saturating_add(len) } else { *at };
            if !(0..len).contains(&counted) {
                let message =
                    format!("index {at} is out of bounds for axis {axis} with size {len}");
                return Err(Fault::value(message));
            }
            *at = counted;
        }
    }
    let shape = broadcast(&named)?;
    let count = shape.iter().try_fold(1usize, |count, &len| count.checked_mul(len));
    let Some(count) = count.filter(|&count| count <= MOST) else {
        return Err(Fault::value(format!("more than {MOST} points"))
            .help("a list beside slices alone may be longer"));
    };
    // In front, unless they stand side by side.
    let is_together = stood.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1);
    let front = if is_together { stood.first().map_or(0, |&(_, axis)| axis) } else { 0 };
    let others: Vec<usize> =
        (0..rank).filter(|axis| !named.iter().any(|places| places.axis == *axis)).collect();
    let mut made: Vec<i64> = others.iter().map(|&axis| lens[axis] as i64).collect();
    made.splice(front..front, shape.iter().map(|&len| len as i64));
    if count == 0 {
        return Ok(full(made, false).cast_to(array.dtype()?).into());
    }
    let point = |number| {
        let mut at = vec![Part::Range { start: None, stop: None, step: 1 }; rank];
        for places in &named {
            at[places.axis] = Part::Index(places.of(number, &shape));
        }
        sliced.select(&at)
    };
    let points = stack((0..count).map(point), front as i64);
    // They were a chunk each.
    let points = points.rechunk(Chunks::only([(front as i64, -1)]));
    Ok(if shape.len() == 1 { points } else { points.reshape(made) }.into())
}

/// The places that a list or an array names from `axis` on of an array of `shape`, of truths those that are true: for each of
/// their axes.
fn listed(
    list: &Value,
    shape: &[usize],
    axis: usize,
    settling: Settling<'_>,
) -> Result<Vec<Places>> {
    let array = match list {
        // An empty list is one of integers.
        Value::List(values) if values.is_empty() => full([0], 0i64).to_dyn(),
        list => list.to_array()?,
    };
    if array.dtype()? != DType::Bool {
        let shape = array.shape()?;
        return Ok(vec![Places { axis, at: places(&array, settling)?, shape }]);
    }
    let truths = array.shape()?;
    if shape.get(axis..axis + truths.len()) != Some(&truths[..]) {
        return Err(Fault::value(format!(
            "boolean index of shape {truths:?} did not match the array of shape {shape:?} from axis {axis} on"
        )));
    }
    let found = settling.settled(array.nonzero())?;
    let of = |(number, found): (usize, Array<i64>)| {
        let (at, shape) = (places(&found.to_dyn(), settling)?, found.shape()?);
        Ok(Places { axis: axis + number, at, shape })
    };
    found.into_iter().enumerate().map(of).collect()
}

/// The shape in which all lists meet.
fn broadcast(named: &[Places]) -> Result<Vec<usize>> {
    let rank = named.iter().map(|places| places.shape.len()).max().unwrap_or(0);
    let mut met = vec![1; rank];
    for places in named {
        let skip = rank - places.shape.len();
        for (met, &len) in met[skip..].iter_mut().zip(&places.shape) {
            if *met != len && *met != 1 && len != 1 {
                return Err(Fault::value(format!(
                    "shape mismatch: indexing arrays of lengths {met} and {len} do not broadcast"
                )));
            }
            *met = if *met == 1 { len } else { *met };
        }
    }
    Ok(met)
}
