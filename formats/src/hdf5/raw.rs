//! Positioned reads of a box out of elements that lie in C order in a file.
//!
//! Long runs go straight into the caller's buffer. Short ones that lie close together are
//! fetched with one call into scratch and copied from there: a call costs about as much
//! as copying [`GAP`] bytes.

use crate::{
    dtype::DType,
    error::{FormatError, Result},
    region::{Coordinates, Region},
    source::ReadCx,
    stored::ReadAt,
    view::{ChunkMut, ChunkView, c_strides},
};
/// Bytes between two runs up to which one read fetches both.
const GAP: u64 = 16 << 10;
/// Bytes of scratch that gather short runs, at the most.
const SPAN: u64 = 1 << 20;

/// Bytes of scratch that reading any box of `bytes` bytes needs.
pub(super) fn scratch(bytes: u64) -> u64 {
    bytes.min(SPAN)
}

/// Fills bytes from a place among those of an array on.
pub(super) type Fetch<'a> = dyn Fn(&mut [u8], u64) -> Result<()> + 'a;

/// Reads `region` of an array of `shape`, whose bytes `fetch` gets.
pub(super) fn read_box(
    fetch: &Fetch<'_>,
    dtype: DType,
    shape: &[u64],
    region: &Region,
    mut out: ChunkMut<'_>,
    cx: &mut ReadCx<'_>,
) -> Result<()> {
    if region.is_empty() {
        return Ok(());
    }
    let size = dtype.size() as u64;
    let strides = c_strides(shape);
    let stride = |axis: usize| strides[axis] as u64;
    let offset = |at: &[u64]| -> u64 {
        size * at.iter().enumerate().map(|(a, &i)| i * stride(a)).sum::<u64>()
    };

    // The axes from `inner` on lie in one run of `run` elements; where those runs are long,
    // they are read one by one, straight into `out` if they lie in one run there as well.
    let rank = shape.len();
    let (mut inner, mut run) = (rank, 1);
    while inner > 0 && (region.shape[inner - 1] == 1 || stride(inner - 1) == run) {
        inner -= 1;
        run *= region.shape[inner];
    }
    let block = |outer: &[u64]| {
        // The part of `out` for the outer coordinates `outer`, counted from the region's start.
        let mut part = Region::whole(&region.shape);
        for (axis, &at) in outer.iter().enumerate() {
            part.start[axis] = at;
            part.shape[axis] = 1;
        }
        part
    };
    if inner == 0 || run * size >= GAP {
        for outer in Coordinates::of(Region::whole(&region.shape[..inner])) {
            cx.cancel.check()?;
            let part = block(&outer);
            let at: Vec<u64> = region.start.iter().zip(&part.start).map(|(s, o)| s + o).collect();
            let mut target = out.sub(&part);
            match target.as_bytes() {
                Some(bytes) => fetch(bytes, offset(&at))?,
                None => pieces(fetch, offset(&at), dtype, &part, &mut out, cx)?,
            }
        }
        return Ok(());
    }

    // Otherwise one read spans the axes from `inner` on, gaps included, as far as the gaps
    // are small and scratch suffices; `rows` indices of the axis before them go together.
    let (mut inner, mut span) = (rank, 1u64);
    let mut rows = 1;
    while inner > 0 {
        let (len, stride) = (region.shape[inner - 1], stride(inner - 1));
        if len > 1 && (stride - span.min(stride)) * size > GAP {
            break;
        }
        let whole = (len - 1) * stride + span;
        if whole * size > SPAN {
            rows = ((SPAN / size).saturating_sub(span) / stride + 1).clamp(1, len);
            break;
        }
        (inner, span) = (inner - 1, whole);
    }
    let mut outer_shape: Vec<u64> = region.shape[..inner].to_vec();
    if let Some(last) = outer_shape.last_mut() {
        *last = last.div_ceil(rows);
    }
    for mut outer in Coordinates::of(Region::whole(&outer_shape)) {
        cx.cancel.check()?;
        let mut part = block(&outer);
        let mut fetched = span;
        if let Some(last) = outer.last_mut() {
            *last *= rows;
            part.start[inner - 1] = *last;
            part.shape[inner - 1] = rows.min(region.shape[inner - 1] - *last);
            fetched += (part.shape[inner - 1] - 1) * stride(inner - 1);
        }
        let at: Vec<u64> = region.start.iter().zip(&part.start).map(|(s, o)| s + o).collect();
        let (buffer, _) = cx.split_scratch((fetched * size) as usize);
        fetch(buffer, offset(&at))?;
        let view = ChunkView::strided(dtype, buffer, 0, part.shape.clone(), strides.clone());
        out.sub(&part).assign(&view);
    }
    Ok(())
}

/// Reads the elements of `part`, which lie in one run at `address`, a scratch full at a time.
fn pieces(
    fetch: &Fetch<'_>,
    address: u64,
    dtype: DType,
    part: &Region,
    out: &mut ChunkMut<'_>,
    cx: &mut ReadCx<'_>,
) -> Result<()> {
    let size = dtype.size() as u64;
    let mut target = out.sub(part);
    // Rows of the outermost axes, so many that they fit: the inner axes are whole.
    let room = scratch(cx.scratch.len() as u64) / size;
    let (mut axis, mut row) = (part.rank(), 1);
    while axis > 0 && row * part.shape[axis - 1] <= room {
        axis -= 1;
        row *= part.shape[axis];
    }
    let rows = if axis == 0 { 1 } else { (room / row).max(1) };
    let mut outer_shape: Vec<u64> = part.shape[..axis].to_vec();
    if let Some(last) = outer_shape.last_mut() {
        *last = last.div_ceil(rows);
    }
    let mut at = address;
    for outer in Coordinates::of(Region::whole(&outer_shape)) {
        let mut piece = Region::whole(&part.shape);
        for (i, &index) in outer.iter().enumerate() {
            let step = if i + 1 == axis { rows } else { 1 };
            piece.start[i] = index * step;
            piece.shape[i] = step.min(part.shape[i] - index * step);
        }
        let (buffer, _) = cx.split_scratch((piece.volume() * size) as usize);
        fetch(buffer, at)?;
        at += buffer.len() as u64;
        target.sub(&piece).assign(&ChunkView::new(dtype, buffer, &piece.shape));
    }
    Ok(())
}

/// Fills `bytes` from `offset` on.
pub(super) fn exact(file: &dyn ReadAt, bytes: &mut [u8], offset: u64) -> Result<()> {
    file.read_exact_at(bytes, offset).map_err(FormatError::io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Cancel, FileCache};
    use proptest::prelude::*;
    use std::{fs::File, io::Write};

    /// Reads `region` of an array of the numbers 0, 1, … into `out` with `gap` unused
    /// elements behind each row, and compares.
    fn check(file: &File, shape: &[u64], region: &Region, gap: u64, room: usize) {
        let mut padded = region.shape.clone();
        if let Some(last) = padded.last_mut() {
            *last += gap;
        }
        let mut words = vec![0u64; padded.iter().product::<u64>() as usize];
        let mut out = ChunkMut::of(&mut words, &padded);
        let (files, cancel) = (FileCache::default(), Cancel::default());
        let mut scratch = vec![0u64; room / 8];
        let mut cx = ReadCx {
            scratch: bytemuck::cast_slice_mut(&mut scratch),
            limit: u64::MAX,
            files: &files,
            cancel: &cancel,
        };
        let inside = Region::whole(&region.shape);
        read_box(
            &|bytes, at| exact(file, bytes, 16 + at),
            DType::U64,
            shape,
            region,
            out.sub(&inside),
            &mut cx,
        )
        .unwrap();
        let strides = c_strides(shape);
        for at in Coordinates::of(inside) {
            let expected: u64 =
                (0..shape.len()).map(|a| (region.start[a] + at[a]) * strides[a] as u64).sum();
            assert_eq!(out.as_view().get(&at), expected.into(), "{at:?} of {region}");
        }
    }

    fn numbers(count: u64) -> File {
        let mut file = tempfile::tempfile().unwrap();
        let mut bytes = vec![0; 16];
        bytes.extend((0..count).flat_map(u64::to_ne_bytes));
        file.write_all(&bytes).unwrap();
        file
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn any_box_of_any_array(
            axes in prop::collection::vec((1u64..40, 0u64..100, 0u64..100), 0..5), gap in 0u64..2,
        ) {
            let mut axes = axes;
            axes.truncate(4);
            let shape: Vec<u64> = axes.iter().map(|a| a.0).collect();
            let start: Vec<u64> = axes.iter().map(|a| a.1 % a.0).collect();
            let len: Vec<u64> =
                axes.iter().zip(&start).map(|(a, s)| 1 + a.2 % (a.0 - s)).collect();
            let bytes = 8 * shape.iter().product::<u64>();
            check(&numbers(bytes / 8), &shape, &Region::new(start, len), gap, scratch(bytes) as usize);
        }
    }

    #[test]
    fn long_runs_and_wide_gaps() {
        let shape = [20, 60, 4000];
        let file = numbers(20 * 60 * 4000);
        let room = SPAN as usize;
        for (start, len) in [
            ([0, 0, 0], [20, 60, 4000]),
            ([3, 5, 10], [4, 50, 3000]),
            ([0, 0, 7], [20, 60, 1]),
            ([1, 0, 0], [18, 1, 1]),
            ([2, 3, 0], [9, 40, 4000]),
            ([0, 10, 100], [20, 2, 50]),
        ] {
            for gap in [0, 3] {
                check(&file, &shape, &Region::new(start.to_vec(), len.to_vec()), gap, room);
            }
        }
    }
}
