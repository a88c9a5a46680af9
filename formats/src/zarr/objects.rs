//! How an array is cut into stored objects: chunks, or shards of them.
//!
//! Objects have a length along each axis that is the same for all (a `regular` grid) or is
//! told for each (`rectilinear`, of the zarr-extensions registry). They are stored in full
//! also where they reach beyond the array.

use crate::{
    error::{ErrorKind, FormatError, Result},
    grid::{AxisGrid, Grid},
    region::Dims,
};
use serde_json::{Value, json};
use smallvec::SmallVec;
use std::sync::Arc;

/// Lengths that a document may tell for one axis: 32 MiB of them.
const MAX_LENGTHS: usize = 1 << 22;

/// Lengths of stored objects along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lengths {
    Every(u64),
    Each(Arc<[u64]>),
}

impl Lengths {
    fn longest(&self) -> u64 {
        match self {
            Lengths::Every(length) => *length,
            Lengths::Each(lengths) => lengths.iter().copied().max().unwrap_or(1),
        }
    }
}

/// Lengths of stored objects along each axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Objects(SmallVec<[Lengths; 4]>);

impl Objects {
    /// Objects of this shape each.
    pub(super) fn regular(shape: &[u64]) -> Objects {
        Objects(shape.iter().map(|&length| Lengths::Every(length)).collect())
    }

    /// Objects that are the chunks of a grid.
    pub(super) fn of_grid(grid: &Grid) -> Objects {
        Objects(
            grid.axes()
                .iter()
                .map(|axis| match axis.regular_chunk() {
                    Some(length) => Lengths::Every(length),
                    None => Lengths::Each(axis.sizes().collect()),
                })
                .collect(),
        )
    }

    /// What the configuration of a `rectilinear` grid says of an array of `shape`.
    pub(super) fn rectilinear(configuration: &Value, shape: &[u64]) -> Result<Objects> {
        match configuration.get("kind").and_then(Value::as_str) {
            Some("inline") => {}
            kind => {
                let message = format!("rectilinear chunk grids of kind {kind:?} are not supported");
                return Err(FormatError::new(ErrorKind::Unsupported, message));
            }
        }
        let axes = configuration.get("chunk_shapes").and_then(Value::as_array);
        let axes = axes.filter(|axes| axes.len() == shape.len()).ok_or_else(|| {
            corrupt(format!("chunk_shapes do not tell lengths along each of {} axes", shape.len()))
        })?;
        axes.iter()
            .zip(shape)
            .map(|(axis, &len)| lengths(axis, len))
            .collect::<Result<_>>()
            .map(Objects)
    }

    pub(super) fn rank(&self) -> usize {
        self.0.len()
    }

    /// Whether all have one shape, and which.
    pub(super) fn shape_of_all(&self) -> Option<Dims> {
        self.0
            .iter()
            .map(|axis| match axis {
                Lengths::Every(length) => Some(*length),
                Lengths::Each(_) => None,
            })
            .collect()
    }

    /// The shape of the object `index` as it is stored.
    pub(super) fn shape(&self, index: &[u64]) -> Dims {
        self.0
            .iter()
            .zip(index)
            .map(|(axis, &i)| match axis {
                Lengths::Every(length) => *length,
                Lengths::Each(lengths) => lengths[i as usize],
            })
            .collect()
    }

    /// The longest lengths.
    pub(super) fn largest(&self) -> Dims {
        self.0.iter().map(Lengths::longest).collect()
    }

    /// Whether `inner` divides the lengths of all.
    pub(super) fn are_divided_by(&self, inner: &[u64]) -> bool {
        inner.len() == self.rank()
            && self.0.iter().zip(inner).all(|(axis, &inner)| {
                inner > 0
                    && match axis {
                        Lengths::Every(length) => length % inner == 0,
                        Lengths::Each(lengths) => lengths.iter().all(|length| length % inner == 0),
                    }
            })
    }

    /// The cuts that they make in an array of `shape`, which they cover.
    pub(super) fn grid(&self, shape: &[u64]) -> Grid {
        Grid::new(self.0.iter().zip(shape).map(|(axis, &len)| match axis {
            Lengths::Every(length) => AxisGrid::regular(len, *length),
            Lengths::Each(lengths) => {
                AxisGrid::from_sizes(lengths.iter().scan(0, |at, &length| {
                    let size = length.min(len - *at);
                    *at += size;
                    Some(size)
                }))
            }
        }))
    }

    /// How a version 3 document describes them.
    pub(super) fn to_document(&self) -> Value {
        if let Some(shape) = self.shape_of_all() {
            return json!({"name": "regular", "configuration": {"chunk_shape": shape.as_slice()}});
        }
        let axes = self.0.iter().map(|axis| match axis {
            Lengths::Every(length) => json!(length),
            Lengths::Each(lengths) => runs(lengths).collect(),
        });
        let axes: Value = axes.collect();
        json!({"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": axes}})
    }
}

/// A length for all, or a list of lengths and `[length, count]`s that covers `len` elements.
fn lengths(axis: &Value, len: u64) -> Result<Lengths> {
    let invalid = |what: &Value| corrupt(format!("{what} is not a length of chunks"));
    let length = |value: &Value| value.as_u64().filter(|&n| n > 0).ok_or_else(|| invalid(value));
    let Some(list) = axis.as_array() else { return length(axis).map(Lengths::Every) };
    let (mut all, mut end) = (Vec::new(), 0u64);
    for entry in list {
        let (length, count) = match entry.as_array().map(Vec::as_slice) {
            None => (length(entry)?, 1),
            Some([each, count]) => (length(each)?, length(count)?),
            Some(_) => return Err(invalid(entry)),
        };
        // Objects wholly beyond the array are never looked for.
        let count = count.min((len - end.min(len)).div_ceil(length));
        if count > (MAX_LENGTHS - all.len()) as u64 {
            let message = format!("more than {MAX_LENGTHS} lengths of chunks along an axis");
            return Err(FormatError::new(ErrorKind::Limit, message));
        }
        all.extend(std::iter::repeat_n(length, count as usize));
        end = length
            .checked_mul(count)
            .and_then(|n| end.checked_add(n))
            .ok_or_else(|| invalid(entry))?;
    }
    if end < len {
        return Err(corrupt(format!("chunks end at {end} of an axis of {len} elements")));
    }
    Ok(Lengths::Each(all.into()))
}

/// Equal neighbours counted, as `[length, count]`.
fn runs(lengths: &[u64]) -> impl Iterator<Item = Value> + '_ {
    lengths.chunk_by(|a, b| a == b).map(|run| match run {
        [one] => json!(one),
        run => json!([run[0], run.len()]),
    })
}

fn corrupt(message: String) -> FormatError {
    FormatError::new(ErrorKind::Corrupt, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(shapes: Value, shape: &[u64]) -> Result<Objects> {
        Objects::rectilinear(&json!({"kind": "inline", "chunk_shapes": shapes}), shape)
    }

    #[test]
    fn lengths_are_read_in_every_form_of_the_specification() {
        let forms = json!([4, [1, 2, 3], [[4, 2]], [[1, 3], 3], [4, 4, 4]]);
        let objects = read(forms, &[6, 6, 6, 6, 6]).unwrap();
        assert_eq!(objects.largest()[..], [4, 3, 4, 3, 4]);
        assert_eq!(objects.grid(&[6; 5]).counts()[..], [2, 3, 2, 4, 2]);
        assert_eq!(objects.shape(&[1, 2, 1, 3, 1])[..], [4, 3, 4, 3, 4]);
        assert!(objects.are_divided_by(&[2, 1, 2, 1, 4]));
        assert!(!objects.are_divided_by(&[2, 2, 2, 1, 4]));
        assert!(objects.shape_of_all().is_none());
        let document = objects.to_document();
        assert_eq!(
            document["configuration"]["chunk_shapes"],
            json!([4, [1, 2, 3], [[4, 2]], [[1, 3], 3], [[4, 2]]])
        );
    }

    #[test]
    fn lengths_that_make_no_sense_are_errors() {
        use ErrorKind::{Corrupt, Limit, Unsupported};
        let kind = |shapes: Value| read(shapes, &[6]).unwrap_err().kind();
        assert_eq!(kind(json!([[2, 3]])), Corrupt, "they cover 5 of 6");
        assert_eq!(kind(json!([[0, 6]])), Corrupt);
        assert_eq!(kind(json!([[[3, 2, 1]]])), Corrupt);
        assert_eq!(kind(json!([])), Corrupt);
        let long = json!([[[1, u64::MAX]]]);
        assert_eq!(read(long, &[1 << 40]).unwrap_err().kind(), Limit);
        let other = Objects::rectilinear(&json!({"kind": "file"}), &[]);
        assert_eq!(other.unwrap_err().kind(), Unsupported);
    }
}
