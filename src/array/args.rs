//! What verbs are told beside arrays: axes, sizes, chunks; each in the ways people write them.

use crate::memory::parse_bytes;
use freeboard_formats::{AxisGrid, Dims, Grid, Meta};
use smallvec::SmallVec;
use std::{collections::BTreeMap, ops::RangeFull};

/// The bytes of a chunk where only `"auto"` is said.
const AUTO: u64 = 64 << 20;

/// Axes: `0`, `-1` (the last), `[0, 2]`, a vector, or `..` for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axes {
    /// Those named; `None` for all.
    named: Option<SmallVec<[i64; 4]>>,
    /// Whether a reduction leaves them, with length 1.
    kept: bool,
}

/// `axes` of a reduction that stay, with length 1, so that its result broadcasts against what was
/// reduced: `&x - x.mean(keepdims(0))`.
/// ```
/// use freeboard::array::{keepdims, ones};
///
/// let x = ones::<f32>([4, 5]);
/// assert_eq!(x.mean(0).shape()?, [5]);
/// assert_eq!(x.mean(keepdims(0)).shape()?, [1, 5]);
/// let centred = &x - x.mean(keepdims(1));
/// assert_eq!(centred.shape()?, [4, 5]);
/// # Ok::<(), freeboard::Error>(())
/// ```
pub fn keepdims(axes: impl Into<Axes>) -> Axes {
    Axes { kept: true, ..axes.into() }
}

impl From<RangeFull> for Axes {
    fn from(_: RangeFull) -> Axes {
        Axes { named: None, kept: false }
    }
}

impl FromIterator<i64> for Axes {
    fn from_iter<I: IntoIterator<Item = i64>>(axes: I) -> Axes {
        Axes { named: Some(axes.into_iter().collect()), kept: false }
    }
}

/// One number an axis: a shape, bins, chunk lengths. Where it makes sense, -1 is the whole axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes(SmallVec<[i64; 6]>);

impl Sizes {
    pub(crate) fn as_slice(&self) -> &[i64] {
        &self.0
    }

    /// As a shape of so many elements that they can be counted.
    pub(super) fn shape(&self) -> Result<Dims, String> {
        let shape: Option<Dims> = self.0.iter().map(|&len| len.try_into().ok()).collect();
        let countable = |shape: &Dims| {
            freeboard_formats::region::checked_volume(shape)
                .is_some_and(|n| n <= i64::MAX as u64 / 8)
        };
        match shape {
            Some(shape) if countable(&shape) => Ok(shape),
            Some(_) => {
                Err(format!("an array of shape {:?} has too many elements", self.0.as_slice()))
            }
            None => Err(format!("a shape has no negative length: {:?}", self.0.as_slice())),
        }
    }
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl From<$t> for Axes {
            fn from(axis: $t) -> Axes {
                [number(axis)].into_iter().collect()
            }
        }
        impl From<$t> for Sizes {
            fn from(size: $t) -> Sizes {
                Sizes(SmallVec::from_elem(number(size), 1))
            }
        }
        integers!(@list $t: [N] [$t; N]; [N] &[$t; N]; [] &[$t]; [] Vec<$t>; [] &Vec<$t>);
    )*};
    (@list $t:ty: $([$($n:ident)?] $list:ty);*) => {$(
        impl $(<const $n: usize>)? From<$list> for Axes {
            fn from(axes: $list) -> Axes {
                axes.iter().map(|&axis| number(axis)).collect()
            }
        }
        impl $(<const $n: usize>)? From<$list> for Sizes {
            fn from(sizes: $list) -> Sizes {
                Sizes(sizes.iter().map(|&size| number(size)).collect())
            }
        }
        impl $(<const $n: usize>)? From<$list> for Chunks {
            fn from(sizes: $list) -> Chunks {
                Chunks::sizes(sizes)
            }
        }
    )*};
}
integers!(i32, i64, isize, u64, usize);

impl From<&Dims> for Sizes {
    fn from(sizes: &Dims) -> Sizes {
        Sizes::from(&sizes[..])
    }
}

/// As a signed number; one that is beyond saturates, and is out of range everywhere.
fn number<N: TryInto<i64>>(n: N) -> i64 {
    n.try_into().unwrap_or(i64::MAX)
}

/// The axis that `axis` names among `rank`.
pub(crate) fn axis_of(axis: i64, rank: usize) -> Result<usize, String> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(counted) {
        Ok(counted) if counted < rank => Ok(counted),
        _ => Err(format!("axis {axis} is out of range for an array of {}", axes_text(rank))),
    }
}

/// `1 axis`, `3 axes`.
pub(super) fn axes_text(rank: usize) -> String {
    format!("{rank} {}", if rank == 1 { "axis" } else { "axes" })
}

impl Axes {
    /// How many are named; `None` if all are meant, by `..`.
    pub(super) fn count(&self) -> Option<usize> {
        self.named.as_ref().map(SmallVec::len)
    }

    /// The axes of a verb that is no reduction, as they were given, counted from 0.
    pub(super) fn resolve(&self, rank: usize) -> Result<SmallVec<[usize; 4]>, String> {
        match self.kept {
            false => Ok(self.reduced(rank)?.0),
            true => Err("`keepdims` is for the axes of reductions".into()),
        }
    }

    /// The axes of a reduction, counted from 0, and whether they stay, with length 1.
    pub(super) fn reduced(&self, rank: usize) -> Result<(SmallVec<[usize; 4]>, bool), String> {
        let Some(axes) = &self.named else {
            return Ok(((0..rank).collect(), self.kept));
        };
        let mut resolved = SmallVec::<[usize; 4]>::new();
        for &axis in axes {
            let counted = axis_of(axis, rank)?;
            if resolved.contains(&counted) {
                return Err(format!("axis {axis} is named twice"));
            }
            resolved.push(counted);
        }
        Ok((resolved, self.kept))
    }
}

/// How to cut an array: one length an axis (`[1, 500, -1]`, -1 is the whole axis), lengths of
/// some axes ([`Chunks::only`]), every chunk's length ([`Chunks::exact`]), a size in bytes (`"64MiB"`,
/// `"auto"`), or some axes so that a chunk has a size ([`Chunks::auto`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Chunks(Cut);

#[derive(Clone, Debug, PartialEq)]
enum Cut {
    Same,
    Ones,
    Sizes(Sizes),
    Only(BTreeMap<i64, i64>),
    Exact(Vec<Vec<u64>>),
    Bytes(u64),
    /// As the first says, but some axes so that a chunk has so many bytes.
    Auto(Box<Cut>, Axes, Bytes),
    /// A text that is no size: the verb tells.
    Unclear(String),
}

impl Chunks {
    /// As they are.
    pub fn same() -> Chunks {
        Chunks(Cut::Same)
    }

    /// One element a chunk.
    pub fn ones() -> Chunks {
        Chunks(Cut::Ones)
    }

    /// Chunks of these lengths, one an axis; -1 is the whole axis.
    pub fn sizes(sizes: impl Into<Sizes>) -> Chunks {
        Chunks(Cut::Sizes(sizes.into()))
    }

    /// Pairs of an axis and a length; the other axes stay as they are cut.
    pub fn only(axes: impl IntoIterator<Item = (i64, i64)>) -> Chunks {
        Chunks(Cut::Only(axes.into_iter().collect()))
    }

    /// The lengths of all chunks along each axis.
    pub fn exact(lengths: impl IntoIterator<Item = impl Into<Vec<u64>>>) -> Chunks {
        Chunks(Cut::Exact(lengths.into_iter().map(Into::into).collect()))
    }

    /// Chunks of at most so many bytes, of whole trailing axes where they fit.
    pub fn bytes(bytes: u64) -> Chunks {
        Chunks(Cut::Bytes(bytes))
    }

    /// The same, but `axes` are cut so that a chunk has `bytes` at the most, the last of them in the
    /// longest parts: `Chunks::only([(1, -1)]).auto(0, "64MiB")`.
    #[must_use]
    pub fn auto(self, axes: impl Into<Axes>, bytes: impl Into<Bytes>) -> Chunks {
        Chunks(Cut::Auto(Box::new(self.0), axes.into(), bytes.into()))
    }

    /// The grid for an array like `meta`.
    pub(super) fn grid(&self, meta: &Meta) -> Result<Grid, String> {
        self.0.grid(meta)
    }
}

impl Cut {
    fn grid(&self, meta: &Meta) -> Result<Grid, String> {
        let (shape, rank) = (meta.shape(), meta.grid.rank());
        let each = |count: usize| match count == rank {
            true => Ok(()),
            false => {
                Err(format!("chunks of {} for an array of {}", axes_text(count), axes_text(rank)))
            }
        };
        let cut = |axis: usize, size: i64| match size {
            -1 => Ok(AxisGrid::whole(shape[axis])),
            1.. => Ok(AxisGrid::regular(shape[axis], size as u64)),
            _ if size == 0 && shape[axis] == 0 => Ok(AxisGrid::whole(0)),
            _ => Err(format!("a chunk of {size} elements along axis {axis}; -1 is the whole axis")),
        };
        match self {
            Cut::Same => Ok(meta.grid.clone()),
            Cut::Ones => Ok(Grid::new(shape.iter().map(|&len| AxisGrid::regular(len, 1)))),
            Cut::Bytes(bytes) => Ok(automatic(&shape, meta.dtype.size() as u64, *bytes)),
            Cut::Auto(others, axes, bytes) => {
                let (axes, bytes) = (axes.resolve(rank)?, bytes.0.clone()?);
                let mut cuts = others.grid(meta)?.axes().to_vec();
                let beside = (0..rank).filter(|axis| !axes.contains(axis));
                let beside = beside.map(|axis| cuts[axis].max_chunk().max(1));
                let unit = beside.fold(meta.dtype.size() as u64, u64::saturating_mul);
                let lens: Vec<u64> = axes.iter().map(|&axis| shape[axis]).collect();
                for (&axis, cut) in axes.iter().zip(automatic(&lens, unit, bytes).axes()) {
                    cuts[axis] = cut.clone();
                }
                Ok(Grid::new(cuts))
            }
            Cut::Unclear(text) => Err(format!(
                "chunks {text:?}: expected \"auto\", a size like \"64MiB\", or a length an axis"
            )),
            Cut::Sizes(sizes) => {
                each(sizes.0.len())?;
                let axes: Result<Vec<_>, _> =
                    sizes.0.iter().enumerate().map(|(axis, &size)| cut(axis, size)).collect();
                Ok(Grid::new(axes?))
            }
            Cut::Only(some) => {
                let mut axes = meta.grid.axes().to_vec();
                for (&axis, &size) in some {
                    let axis = axis_of(axis, rank)?;
                    axes[axis] = cut(axis, size)?;
                }
                Ok(Grid::new(axes))
            }
            Cut::Exact(lengths) => {
                each(lengths.len())?;
                for (axis, lengths) in lengths.iter().enumerate() {
                    let sum = lengths.iter().try_fold(0u64, |sum, &len| sum.checked_add(len));
                    if sum != Some(shape[axis]) {
                        return Err(format!(
                            "chunks of {lengths:?} do not make up the {} elements of axis {axis}",
                            shape[axis]
                        ));
                    }
                }
                Ok(Grid::new(
                    lengths.iter().map(|lengths| AxisGrid::from_sizes(lengths.iter().copied())),
                ))
            }
        }
    }
}

impl Chunks {
    /// The lengths of the block that a function makes of a block with the cuts `meta`: for
    /// each axis, the lengths of all blocks along it.
    pub(super) fn made_from(&self, meta: &Meta) -> Result<Grid, String> {
        let axes = meta.grid.axes();
        let repeat = |axis: &AxisGrid, size: u64| {
            let len = axis.count().checked_mul(size).ok_or("the blocks have too many elements")?;
            Ok::<_, String>(AxisGrid::regular(len, size))
        };
        match &self.0 {
            Cut::Same => Ok(meta.grid.clone()),
            Cut::Ones => axes
                .iter()
                .map(|axis| repeat(axis, 1))
                .collect::<Result<Vec<_>, _>>()
                .map(Grid::new),
            Cut::Sizes(sizes) if sizes.0.len() == axes.len() => {
                let made = axes.iter().zip(&sizes.0).map(|(axis, &size)| match size {
                    -1 => Ok(axis.clone()),
                    1.. => repeat(axis, size as u64),
                    _ => Err(format!("a block of {size} elements along an axis")),
                });
                made.collect::<Result<Vec<_>, _>>().map(Grid::new)
            }
            Cut::Sizes(sizes) => Err(format!(
                "blocks of {} from blocks of {}",
                axes_text(sizes.0.len()),
                axes_text(axes.len())
            )),
            Cut::Exact(lengths) if lengths.len() == axes.len() => {
                for (axis, (have, lengths)) in axes.iter().zip(lengths).enumerate() {
                    if lengths.len() as u64 != have.count() || lengths.contains(&0) {
                        return Err(format!(
                            "axis {axis} has {} blocks, not those of {lengths:?}",
                            have.count()
                        ));
                    }
                }
                Ok(Grid::new(
                    lengths.iter().map(|lengths| AxisGrid::from_sizes(lengths.iter().copied())),
                ))
            }
            other => Err(format!(
                "{other:?} does not tell the shape of a block; use Chunks::same, ones, sizes or exact"
            )),
        }
    }
}

impl From<&str> for Chunks {
    fn from(text: &str) -> Chunks {
        match (text, parse_bytes(text)) {
            ("auto", _) => Chunks::bytes(AUTO),
            (_, Ok(bytes)) => Chunks::bytes(bytes),
            _ => Chunks(Cut::Unclear(text.to_owned())),
        }
    }
}

/// A size in bytes: a number, or words like `"1MiB"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub(crate) Result<u64, String>);

impl From<u64> for Bytes {
    fn from(bytes: u64) -> Bytes {
        Bytes(Ok(bytes))
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Bytes {
        Bytes(parse_bytes(text).map_err(|error| error.to_string()))
    }
}

/// Chunks of at most `bytes`: trailing axes stay whole while they fit, the next is cut into
/// parts as equal as can be, the others into single elements. In C order each chunk is one run.
pub(super) fn automatic(shape: &[u64], element: u64, bytes: u64) -> Grid {
    let mut room = (bytes / element).max(1);
    let mut axes: Vec<AxisGrid> = shape
        .iter()
        .rev()
        .map(|&len| {
            let parts = len.div_ceil(room).max(1);
            let chunk = len.div_ceil(parts).max(1);
            room = if parts == 1 { room / chunk } else { 1 };
            AxisGrid::regular(len, chunk)
        })
        .collect();
    axes.reverse();
    Grid::new(axes)
}

/// Axes cut so that a block has `most` elements at the most, and, where chunks are joined for it,
/// about a quarter of them at the least; the last axis has the longest stretches.
pub(crate) fn fitted(axes: &[AxisGrid], most: u64) -> Vec<AxisGrid> {
    let mut room = most;
    let mut cuts: Vec<AxisGrid> = axes
        .iter()
        .rev()
        .map(|axis| {
            let cut = fitted_axis(axis, room);
            room = (room / cut.max_chunk().max(1)).max(1);
            cut
        })
        .collect();
    cuts.reverse();
    cuts
}

fn fitted_axis(axis: &AxisGrid, most: u64) -> AxisGrid {
    let (len, least) = (axis.len(), most.div_ceil(4));
    match axis.regular_chunk().map(|chunk| chunk.max(1)) {
        Some(chunk) if chunk > most => AxisGrid::regular(len, chunk.div_ceil(chunk.div_ceil(most))),
        Some(chunk) if chunk < least && chunk < len => {
            AxisGrid::regular(len, least.next_multiple_of(chunk).min(len))
        }
        Some(_) => axis.clone(),
        None => {
            let (mut sizes, mut open) = (Vec::new(), 0);
            for size in axis.sizes() {
                if open > 0 && (open >= least || open + size > most) {
                    sizes.push(open);
                    open = 0;
                }
                open += size;
                while open > most {
                    sizes.push(most);
                    open -= most;
                }
            }
            sizes.extend((open > 0).then_some(open));
            AxisGrid::from_sizes(sizes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freeboard_formats::DType;

    fn meta(shape: &[u64], chunk: &[u64]) -> Meta {
        Meta::new(DType::F32, Grid::regular(shape, chunk))
    }

    #[test]
    fn axes_count_from_either_end_and_once() {
        assert_eq!(Axes::from(-1).resolve(3).unwrap().as_slice(), [2]);
        assert_eq!(Axes::from([2, 0]).resolve(3).unwrap().as_slice(), [2, 0]);
        assert_eq!(Axes::from(..).resolve(2).unwrap().as_slice(), [0, 1]);
        assert_eq!(
            Axes::from(3).resolve(3).unwrap_err(),
            "axis 3 is out of range for an array of 3 axes"
        );
        assert_eq!(Axes::from([0, -1]).resolve(1).unwrap_err(), "axis -1 is named twice");
    }

    #[test]
    fn grids_of_chunks() {
        let meta = meta(&[10, 20], &[5, 20]);
        let grid = |chunks: Chunks| chunks.grid(&meta);
        assert_eq!(grid([3, -1].into()).unwrap(), Grid::regular(&[10, 20], &[3, 20]));
        assert_eq!(grid(Chunks::only([(-1, 7)])).unwrap(), Grid::regular(&[10, 20], &[5, 7]));
        let auto = |axes: Axes, bytes: u64| grid(Chunks::only([(1, 7)]).auto(axes, bytes)).unwrap();
        assert_eq!(auto(0.into(), 100), Grid::regular(&[10, 20], &[3, 7]));
        assert_eq!(auto(0.into(), 1), Grid::regular(&[10, 20], &[1, 7]));
        assert_eq!(auto((..).into(), 320), Grid::regular(&[10, 20], &[4, 20]));
        assert!(grid(Chunks::same().auto(0, "much")).unwrap_err().starts_with("\"much\" is not"));
        assert!(grid(Chunks::same().auto(2, 1)).unwrap_err().starts_with("axis 2 is out of"));
        assert_eq!(grid("400".into()).unwrap(), Grid::regular(&[10, 20], &[5, 20]));
        assert_eq!(grid("auto".into()).unwrap(), Grid::whole(&[10, 20]));
        assert_eq!(
            grid(Chunks::exact([vec![4, 6], vec![20]])).unwrap().axes()[0],
            AxisGrid::from_sizes([4, 6])
        );
        assert_eq!(grid([3].into()).unwrap_err(), "chunks of 1 axis for an array of 2 axes");
        assert_eq!(
            grid([0, 1].into()).unwrap_err(),
            "a chunk of 0 elements along axis 0; -1 is the whole axis"
        );
        assert!(grid("many".into()).unwrap_err().starts_with("chunks \"many\": expected"));
        assert!(grid(Chunks::exact([vec![4, 5], vec![20]])).is_err());
    }

    #[test]
    fn blocks_are_neither_small_nor_large() {
        let regular = AxisGrid::regular;
        assert_eq!(fitted_axis(&regular(16000, 2000), 2048), regular(16000, 2000));
        assert_eq!(fitted_axis(&regular(16000, 5000), 2048), regular(16000, 1667));
        assert_eq!(fitted_axis(&regular(16000, 50), 2048), regular(16000, 550));
        assert_eq!(fitted_axis(&regular(300, 50), 2048), regular(300, 300));
        let uneven = AxisGrid::from_sizes([10, 700, 300, 300, 5000]);
        let cut = fitted_axis(&uneven, 2048);
        assert_eq!(cut.sizes().collect::<Vec<_>>(), [710, 600, 2048, 2048, 904]);
        let two = fitted(&[regular(100, 100), regular(5000, 50)], 2048);
        assert_eq!(two, [regular(100, 3), regular(5000, 550)]);
    }

    #[test]
    fn automatic_chunks_are_runs_in_c_order() {
        assert_eq!(
            automatic(&[100, 10, 10], 8, 8000),
            Grid::regular(&[100, 10, 10], &[10, 10, 10])
        );
        assert_eq!(
            automatic(&[4, 1000, 10], 8, 8000),
            Grid::regular(&[4, 1000, 10], &[1, 100, 10])
        );
        assert_eq!(automatic(&[3, 1001], 8, 8000), Grid::regular(&[3, 1001], &[1, 501]));
        assert_eq!(automatic(&[], 8, 1), Grid::whole(&[]));
        assert_eq!(automatic(&[0, 5], 8, 80).shape().as_slice(), [0, 5]);
    }
}
