//! Strided copies: rows where both sides allow it, squares where one runs across the other.

use smallvec::SmallVec;

/// The loops of a strided copy: as few and as long as the two layouts allow.
pub(super) struct CopyPlan {
    /// (length, stride in the target, stride in the source), outermost first.
    pub axes: SmallVec<[(usize, isize, isize); 6]>,
}

/// Elements along each side of the squares that a transposing copy moves at once: two
/// squares of 8-byte elements fill half of a 32 KiB first-level cache.
const SQUARE: usize = 32;

impl CopyPlan {
    /// The axes of a source that is read in C order, merged where they follow one another.
    pub fn in_order(shape: &[u64], source: &[isize]) -> CopyPlan {
        let mut axes: SmallVec<[(usize, isize, isize); 6]> = SmallVec::new();
        for (&len, &stride) in shape.iter().zip(source).filter(|(len, _)| **len != 1) {
            match axes.last_mut() {
                Some(last) if last.2 == stride * len as isize => {
                    *last = (last.0 * len as usize, 0, stride);
                }
                _ => axes.push((len as usize, 0, stride)),
            }
        }
        CopyPlan { axes }
    }

    pub fn new(shape: &[u64], target: &[isize], source: &[isize]) -> CopyPlan {
        let mut axes: SmallVec<[(usize, isize, isize); 6]> = shape
            .iter()
            .zip(target)
            .zip(source)
            .filter(|((len, _), _)| **len != 1)
            .map(|((&len, &t), &s)| (len as usize, t, s))
            .collect();
        axes.sort_by_key(|&(_, target, _)| std::cmp::Reverse(target.abs()));
        let mut merged: SmallVec<[(usize, isize, isize); 6]> = SmallVec::new();
        for (len, t, s) in axes {
            match merged.last_mut() {
                Some(last) if last.1 == t * len as isize && last.2 == s * len as isize => {
                    *last = (last.0 * len, t, s);
                }
                _ => merged.push((len, t, s)),
            }
        }
        // The source's fastest axis goes beside the target's, where squares are cut from both.
        if merged.len() > 2 && merged.last().is_some_and(|a| a.2.abs() != 1) {
            let inner = merged.len() - 1;
            if let Some(fast) = merged[..inner].iter().position(|a| a.2.abs() == 1) {
                let axis = merged.remove(fast);
                merged.insert(inner - 1, axis);
            }
        }
        CopyPlan { axes: merged }
    }

    pub fn run<T: bytemuck::Pod>(&self, target: &mut [T], to: isize, source: &[T], from: isize) {
        let depth = self.axes.len();
        let inner = depth.min(2);
        let mut index: SmallVec<[usize; 6]> = SmallVec::from_elem(0, depth - inner);
        let (mut to, mut from) = (to, from);
        loop {
            match self.axes[depth - inner..] {
                [] => target[to as usize] = source[from as usize],
                [axis] => copy_row(target, to, source, from, axis),
                [outer, axis] => copy_plane(target, to, source, from, outer, axis),
                _ => unreachable!("two axes at the most"),
            }
            let mut axis = depth - inner;
            loop {
                if axis == 0 {
                    return;
                }
                axis -= 1;
                let (len, t, s) = self.axes[axis];
                index[axis] += 1;
                (to, from) = (to + t, from + s);
                if index[axis] < len {
                    break;
                }
                index[axis] = 0;
                (to, from) = (to - t * len as isize, from - s * len as isize);
            }
        }
    }
}

pub(super) fn copy_row<T: bytemuck::Pod>(
    target: &mut [T],
    to: isize,
    source: &[T],
    from: isize,
    (len, t, s): (usize, isize, isize),
) {
    if t == 1 {
        let target = &mut target[to as usize..to as usize + len];
        match s {
            1 => target.copy_from_slice(&source[from as usize..from as usize + len]),
            0 => target.fill(source[from as usize]),
            s if s > 0 => {
                let source = source[from as usize..].iter().step_by(s as usize);
                target.iter_mut().zip(source).for_each(|(t, s)| *t = *s);
            }
            s => {
                let source = source[..=from as usize].iter().rev().step_by(-s as usize);
                target.iter_mut().zip(source).for_each(|(t, s)| *t = *s);
            }
        }
    } else {
        for i in 0..len as isize {
            target[(to + i * t) as usize] = source[(from + i * s) as usize];
        }
    }
}

fn copy_plane<T: bytemuck::Pod>(
    target: &mut [T],
    to: isize,
    source: &[T],
    from: isize,
    outer: (usize, isize, isize),
    inner: (usize, isize, isize),
) {
    // Row by row, unless the source runs the other way: then square by square.
    if inner.2.abs() <= outer.2.abs() || outer.2 == 0 {
        for i in 0..outer.0 as isize {
            copy_row(target, to + i * outer.1, source, from + i * outer.2, inner);
        }
        return;
    }
    for i in (0..outer.0).step_by(SQUARE) {
        for j in (0..inner.0).step_by(SQUARE) {
            let width = SQUARE.min(inner.0 - j);
            for i in i..(i + SQUARE).min(outer.0) {
                let (i, j) = (i as isize, j as isize);
                copy_row(
                    target,
                    to + i * outer.1 + j * inner.1,
                    source,
                    from + i * outer.2 + j * inner.2,
                    (width, inner.1, inner.2),
                );
            }
        }
    }
}
