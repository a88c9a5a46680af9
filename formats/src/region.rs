//! Half-open boxes of element coordinates, outermost axis first.

use smallvec::SmallVec;
use std::{fmt, ops::Range};

/// One number an axis; no allocation up to six axes.
pub type Dims = SmallVec<[u64; 6]>;

/// The number of elements in a box of this shape.
///
/// # Panics
/// If it is beyond `u64`; [`checked_volume`] is for shapes that come from files.
pub fn volume(shape: &[u64]) -> u64 {
    checked_volume(shape).expect("the number of elements fits in 64 bits")
}

/// The number of elements in a box of this shape, `None` beyond `u64`.
pub fn checked_volume(shape: &[u64]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1u64, |n, &len| n.checked_mul(len))
}

/// A half-open box of element coordinates.
#[derive(PartialEq, Eq, Hash)]
pub struct Region {
    /// The first element along each axis.
    pub start: Dims,
    /// The number of elements along each axis.
    pub shape: Dims,
}

impl Clone for Region {
    /// As copies of slices: boxes are copied for every chunk, and `SmallVec` clones one element
    /// after the other.
    fn clone(&self) -> Region {
        Region { start: Dims::from_slice(&self.start), shape: Dims::from_slice(&self.shape) }
    }
}

impl Region {
    /// The box that begins at `start` and has the shape `shape`.
    ///
    /// # Panics
    /// If the two differ in rank.
    pub fn new(start: impl Into<Dims>, shape: impl Into<Dims>) -> Region {
        let (start, shape) = (start.into(), shape.into());
        assert_eq!(start.len(), shape.len(), "start and shape of one rank");
        Region { start, shape }
    }

    /// The whole of an array of this shape.
    pub fn whole(shape: &[u64]) -> Region {
        Region { start: Dims::from_elem(0, shape.len()), shape: Dims::from_slice(shape) }
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The number of elements.
    pub fn volume(&self) -> u64 {
        volume(&self.shape)
    }

    /// Whether it holds no element.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// The coordinates along `axis`.
    pub fn range(&self, axis: usize) -> Range<u64> {
        self.start[axis]..self.start[axis] + self.shape[axis]
    }

    /// The elements in both, `None` if there are none (of boxes without axes: the one element).
    pub fn intersection(&self, other: &Region) -> Option<Region> {
        let mut result = self.clone();
        for axis in 0..self.rank() {
            let (a, b) = (self.range(axis), other.range(axis));
            let (start, end) = (a.start.max(b.start), a.end.min(b.end));
            if start >= end {
                return None;
            }
            result.start[axis] = start;
            result.shape[axis] = end - start;
        }
        Some(result)
    }

    /// Whether every element of `other` is in this box.
    pub fn contains(&self, other: &Region) -> bool {
        (0..self.rank()).all(|axis| {
            let (a, b) = (self.range(axis), other.range(axis));
            a.start <= b.start && b.end <= a.end
        })
    }

    /// The same box, seen from `origin` (a coordinate at or before its start).
    #[must_use]
    pub fn relative_to(&self, origin: &[u64]) -> Region {
        Region {
            start: self.start.iter().zip(origin).map(|(s, o)| s - o).collect(),
            shape: self.shape.clone(),
        }
    }

    /// Whether the elements of `self` lie in one run, in C order, of an array of `shape`.
    pub fn is_contiguous_in(&self, shape: &[u64]) -> bool {
        let mut whole = true;
        for axis in (0..self.rank()).rev() {
            if !whole && self.shape[axis] != 1 {
                return false;
            }
            whole = whole && self.shape[axis] == shape[axis];
        }
        true
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for axis in 0..self.rank() {
            let range = self.range(axis);
            write!(f, "{}{}:{}", if axis > 0 { ", " } else { "" }, range.start, range.end)?;
        }
        f.write_str("]")
    }
}

/// Counts through all coordinates of a box in C order; the first call gives the start.
#[derive(Clone, Debug)]
pub struct Coordinates {
    region: Region,
    next: Option<Dims>,
}

impl Coordinates {
    /// All coordinates of `region`, the last axis fastest.
    pub fn of(region: Region) -> Coordinates {
        let next = (!region.is_empty()).then(|| region.start.clone());
        Coordinates { region, next }
    }
}

impl Iterator for Coordinates {
    type Item = Dims;

    fn next(&mut self) -> Option<Dims> {
        let current = self.next.take()?;
        let mut following = current.clone();
        for axis in (0..self.region.rank()).rev() {
            following[axis] += 1;
            if following[axis] < self.region.range(axis).end {
                self.next = Some(following);
                break;
            }
            following[axis] = self.region.start[axis];
        }
        Some(current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smallvec::smallvec;

    #[test]
    fn coordinates_run_in_c_order_and_once_without_axes() {
        let all: Vec<Dims> = Coordinates::of(Region::new(vec![1, 2], vec![2, 2])).collect();
        let expected: Vec<Dims> =
            vec![smallvec![1, 2], smallvec![1, 3], smallvec![2, 2], smallvec![2, 3]];
        assert_eq!(all, expected);
        assert_eq!(Coordinates::of(Region::whole(&[])).count(), 1);
        assert_eq!(Coordinates::of(Region::whole(&[3, 0])).count(), 0);
    }

    #[test]
    fn contiguity() {
        let shape = [4, 5, 6];
        assert!(Region::new(vec![1, 0, 0], vec![2, 5, 6]).is_contiguous_in(&shape));
        assert!(Region::new(vec![1, 2, 0], vec![1, 2, 6]).is_contiguous_in(&shape));
        assert!(!Region::new(vec![1, 2, 0], vec![2, 2, 6]).is_contiguous_in(&shape));
        assert!(Region::new(vec![1, 2, 1], vec![1, 1, 4]).is_contiguous_in(&shape));
    }
}
