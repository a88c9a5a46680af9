//! Slices as NumPy writes them: `0, ..., :200, ::-1`.
//!
//! NumPy's meaning, which is not that of ndarray's `s![]`: ranges are clipped to the axis,
//! a negative step runs from the start down to the stop, and an ellipsis, or nothing, stands
//! for the axes that are not named.

use super::args::axes_text;
use crate::expr::{Access, AxisView};
use freeboard_formats::Dims;

/// One part of a slice, between commas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Index(i64),
    Range { start: Option<i64>, stop: Option<i64>, step: i64 },
    Ellipsis,
    NewAxis,
}

/// The parts of `text`; square brackets around it are allowed.
pub(super) fn parse(text: &str) -> Result<Vec<Part>, String> {
    let inner = text.trim();
    let inner = match inner.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .ok_or_else(|| format!("the slice {text:?} has no closing bracket"))?,
        None => inner,
    };
    let inner = inner.trim();
    // As in Python, one comma may follow the last part.
    let inner = inner.strip_suffix(',').unwrap_or(inner);
    if inner.is_empty() {
        return Err(format!("the slice {text:?} is empty; `...` keeps everything"));
    }
    let number = |part: &str| {
        let part = part.trim();
        match part {
            "" => Ok(None),
            _ => part
                .parse()
                .map(Some)
                .map_err(|_| format!("{part:?} in the slice {text:?} is no whole number")),
        }
    };
    let mut parts = Vec::new();
    for part in inner.split(',').map(str::trim) {
        let fields: Vec<&str> = part.split(':').collect();
        parts.push(match (part, &fields[..]) {
            ("...", _) if parts.contains(&Part::Ellipsis) => {
                return Err(format!("the slice {text:?} has more than one ellipsis"));
            }
            ("...", _) => Part::Ellipsis,
            ("None" | "newaxis" | "np.newaxis", _) => Part::NewAxis,
            (_, [index]) => Part::Index(
                number(index)?.ok_or_else(|| format!("the slice {text:?} has an empty part"))?,
            ),
            (_, [start, stop]) => {
                Part::Range { start: number(start)?, stop: number(stop)?, step: 1 }
            }
            (_, [start, stop, step]) => {
                let step = number(step)?.unwrap_or(1);
                if step == 0 {
                    return Err(format!("the slice {text:?} has a step of 0"));
                }
                Part::Range { start: number(start)?, stop: number(stop)?, step }
            }
            _ => return Err(format!("{part:?} in the slice {text:?} has too many colons")),
        });
    }
    Ok(parts)
}

/// What `parts` select of an array of `shape`, and the shape of that.
pub(super) fn access(parts: &[Part], shape: &[u64]) -> Result<(Access, Dims), String> {
    const WHOLE: Part = Part::Range { start: None, stop: None, step: 1 };
    let named =
        parts.iter().filter(|part| matches!(part, Part::Index(_) | Part::Range { .. })).count();
    let Some(unnamed) = shape.len().checked_sub(named) else {
        return Err(format!(
            "a slice of {} of an array of {}",
            axes_text(named),
            axes_text(shape.len())
        ));
    };
    let mut full: Vec<Part> = Vec::with_capacity(parts.len() + unnamed);
    for part in parts {
        match part {
            Part::Ellipsis => full.extend(vec![WHOLE; unnamed]),
            part => full.push(*part),
        }
    }
    if !parts.contains(&Part::Ellipsis) {
        full.extend(vec![WHOLE; unnamed]);
    }
    let mut axes = Vec::with_capacity(shape.len());
    let mut out = Dims::new();
    for part in full {
        let axis = axes.len();
        match part {
            Part::Ellipsis => {}
            Part::NewAxis => out.push(1),
            Part::Index(index) => {
                let len = shape[axis];
                let counted = i128::from(index) + if index < 0 { i128::from(len) } else { 0 };
                match u64::try_from(counted) {
                    Ok(at) if at < len => axes.push(AxisView::At(at)),
                    _ => {
                        return Err(format!("index {index} is beyond axis {axis} of length {len}"));
                    }
                }
            }
            Part::Range { start, stop, step } => {
                let (first, count) = range(start, stop, step, shape[axis]);
                let of = out.len();
                out.push(count);
                let step = if count > 1 { step } else { 1 };
                axes.push(AxisView::Along { of, start: first, step });
            }
        }
    }
    Ok((Access::new(axes), out))
}

/// The first element and the number of elements of a range of an axis of `len`: Python's
/// `slice.indices`.
pub(crate) fn range(start: Option<i64>, stop: Option<i64>, step: i64, len: u64) -> (i64, u64) {
    let (len, step) = (i128::from(len), i128::from(step));
    let (low, high) = if step < 0 { (-1, len - 1) } else { (0, len) };
    let bound = |at: Option<i64>, default: i128| match at.map(i128::from) {
        None => default,
        Some(at) => (if at < 0 { at + len } else { at }).clamp(low, high),
    };
    let (start, stop) = match step < 0 {
        true => (bound(start, high), bound(stop, low)),
        false => (bound(start, low), bound(stop, high)),
    };
    let span = if step < 0 { start - stop } else { stop - start };
    if span <= 0 {
        return (0, 0);
    }
    let by = step.abs();
    (start as i64, ((span + by - 1) / by) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_slice() {
        for (text, part) in [
            ("", "is empty"),
            ("[0", "no closing bracket"),
            ("0,,1", "an empty part"),
            ("..., ...", "more than one ellipsis"),
            ("1:2:3:4", "too many colons"),
            ("::0", "a step of 0"),
            ("1.5", "\"1.5\" in the slice \"1.5\" is no whole number"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
        assert_eq!(parse("[0, ]").unwrap(), [Part::Index(0)]);
    }
}
