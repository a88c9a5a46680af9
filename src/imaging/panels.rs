//! Lines along an axis laid side by side: panels in which a filter along any axis is a sum of rows.
//!
//! A block is taken [`LANES`] lines at a time. What such lines hold at one coordinate is a row of the panel, so
//! that the neighbours of a row are the rows above and below it, whatever the axis: along the last one the
//! elements are transposed on their way in and out. Rows begin where a cache line does; loads of shifted
//! elements along the last axis itself would each touch two. Where lines are fewer, each is cut into
//! stretches, and these lie side by side.

use super::{
    edges::Edge,
    rows::{Combine, Rows},
    samples::Sample,
};
use crate::kernel::with_avx2;
use smallvec::SmallVec;
use std::ops::Range;

/// Lines of a panel.
pub(super) const LANES: usize = 32;

/// Rows that are made at a time: with their lines a few KiB on their way from a panel to the block. Of a line of
/// float32 they are a cache line.
const TILE: usize = 16;

/// The least rows of a panel that are made between two loads; of long windows more, as their neighbours are
/// loaded with them.
const STRETCH: usize = 256;

type Row = [f64; LANES];

/// Windows along the last axis that are longer run over one line at a time: of [`LANES`] lines they would be
/// longer than the second-level cache.
const LONG: usize = 2048;

/// Doubles of a panel, for windows of `size` along an axis of which `made` places are made and with `inner` behind it.
pub(super) fn panel_len(size: usize, made: usize, inner: usize) -> usize {
    let rows = stretch(size).min(made).saturating_add(size - 1);
    if is_long(size, inner) { rows } else { rows.saturating_mul(LANES) }
}

fn is_long(size: usize, inner: usize) -> bool {
    inner == 1 && size > LONG
}

fn stretch(size: usize) -> usize {
    size.saturating_mul(4).max(STRETCH)
}

/// A block seen along an axis: as many places before it, along it, and behind it.
#[derive(Clone, Copy)]
pub(super) struct Along {
    pub(super) outer: usize,
    pub(super) len: usize,
    pub(super) inner: usize,
    /// The coordinate of the first neighbour of the first place that is made.
    pub(super) start: i64,
    pub(super) edge: Edge,
    /// What stands where no element does.
    pub(super) constant: f64,
}

/// Which part of what can be made along an axis: whole lines of some places before it, and some places of each.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) outer: Range<usize>,
    pub(super) made: Range<usize>,
}

/// Some neighbouring lanes of a panel that follow one another in the block too.
struct Span {
    lane: usize,
    width: usize,
    /// Where the first element of their line lies in the block, and what is made of it first in the part.
    from: usize,
    to: usize,
    /// The coordinate of the first row.
    start: i64,
    /// How many places are made.
    made: usize,
}

/// The lanes of one panel.
type Spans = SmallVec<[Span; LANES]>;

#[inline(always)]
fn load_loop<S: Sample>(block: &Along, spans: &Spans, from: &[S::Repr], panel: &mut [Row]) {
    let beside = panel.len() - spans.iter().map(|span| span.made).max().unwrap_or(0);
    if block.inner > 1 {
        for span in spans {
            let rows = &mut panel[..span.made + beside];
            for (row, at) in rows.iter_mut().zip(span.start..) {
                let into = &mut row[span.lane..][..span.width];
                match block.edge.place(at) {
                    Some(place) => {
                        let from = &from[span.from + place * block.inner..][..span.width];
                        match (from.first_chunk(), into.first_chunk_mut::<LANES>()) {
                            (Some(from), Some(into)) => widen_row::<S>(from, into),
                            _ => put(from.iter().map(|&from| S::widen(from)), into),
                        }
                    }
                    None => into.fill(block.constant),
                }
            }
        }
        return;
    }
    for (number, rows) in panel.chunks_mut(TILE).enumerate() {
        let first = number * TILE;
        for span in spans {
            let line = &from[span.from..][..block.len];
            let count = (span.made + beside).saturating_sub(first).min(rows.len());
            let start = span.start + first as i64;
            let all = start..start + count as i64;
            let place = block.edge.place(start).filter(|_| block.edge.inner(&all) == all);
            let run = place.and_then(|place| line.get(place..place + count));
            match run.and_then(|run| <&[S::Repr; TILE]>::try_from(run).ok()) {
                Some(run) => {
                    for (row, &sample) in rows.iter_mut().zip(run) {
                        row[span.lane] = S::widen(sample);
                    }
                }
                None => {
                    for (row, at) in rows.iter_mut().zip(all) {
                        let place = block.edge.place(at);
                        let value = place.map(|place| S::widen(line[place]));
                        row[span.lane] = value.unwrap_or(block.constant);
                    }
                }
            }
        }
    }
}

with_avx2! {
    /// Puts lines and the neighbours of their ends into a panel.
    fn load<S: Sample>(block: &Along, spans: &Spans, from: &[S::Repr], panel: &mut [Row])
        = load_loop
}

#[inline(always)]
fn store_loop<S: Sample>(inner: usize, spans: &Spans, at: usize, tile: &[Row], to: &mut [S::Repr]) {
    for span in spans {
        let rows = span.made.saturating_sub(at).min(tile.len());
        if rows == 0 {
            continue;
        }
        let to = &mut to[span.to + at * inner..];
        if inner > 1 {
            for (number, row) in tile[..rows].iter().enumerate() {
                let to = &mut to[number * inner..][..span.width];
                match to.first_chunk_mut::<LANES>() {
                    Some(to) => narrow_row::<S>(row, to),
                    None => put(row[span.lane..].iter().map(|&value| S::narrow(value)), to),
                }
            }
            continue;
        }
        let to = &mut to[..rows];
        match (<&[Row; TILE]>::try_from(tile), to.first_chunk_mut::<TILE>()) {
            (Ok(tile), Some(to)) => {
                for (to, row) in to.iter_mut().zip(tile) {
                    *to = S::narrow(row[span.lane]);
                }
            }
            _ => put(tile.iter().map(|row| S::narrow(row[span.lane])), to),
        }
    }
}

with_avx2! {
    /// Puts rows of a panel, from number `at` on, back into lines.
    fn store<S: Sample>(inner: usize, spans: &Spans, at: usize, tile: &[Row], to: &mut [S::Repr])
        = store_loop
}

// Loops and not `map` of arrays, which the compiler leaves as a function of its own, without AVX2.

#[inline(always)]
fn widen_row<S: Sample>(from: &[S::Repr; LANES], to: &mut Row) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = S::widen(from);
    }
}

#[inline(always)]
fn narrow_row<S: Sample>(from: &Row, to: &mut [S::Repr; LANES]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = S::narrow(from);
    }
}

#[inline(always)]
fn put<T>(from: impl Iterator<Item = T>, to: &mut [T]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from);
}

/// What filters work in.
pub(super) struct Room<'a> {
    /// As many as [`panel_len`] says.
    pub(super) panel: &'a mut [f64],
    /// A place for each neighbour.
    pub(super) starts: &'a mut [usize],
    /// What [`Combine::scratch`] says.
    pub(super) ranks: &'a mut [f64],
}

/// Makes `part` of what `combine` makes of `size` neighbours each along an axis of the block `from`.
/// What is made lies in `to`, in C order, as elements of `D`.
pub(super) fn filter<S: Sample, D: Sample<Repr = S::Repr>>(
    (combine, size): (&Combine, usize),
    block: &Along,
    part: &Part,
    from: &[S::Repr],
    to: &mut [D::Repr],
    room: &mut Room<'_>,
) {
    let (lines, made) = (part.outer.len() * block.inner, part.made.len());
    if lines == 0 || made == 0 {
        return;
    }
    if is_long(size, block.inner) {
        return long_lines::<S, D>((combine, size), block, part, from, to, room);
    }
    let starts = &mut room.starts[..size];
    starts.iter_mut().enumerate().for_each(|(row, start)| *start = row * LANES);
    let mut tile = [[0.0; LANES]; TILE];
    let beside = (LANES / lines).max(1);
    let len = stretch(size).min(made.div_ceil(beside));
    for first in (0..made).step_by(len * beside) {
        let longest = len.min(made - first);
        let stretches = lines * (made - first).div_ceil(len).min(beside);
        for lane in (0..stretches).step_by(LANES) {
            let mut spans = Spans::new();
            let mut next = lane;
            while next < stretches.min(lane + LANES) {
                let (line, first) = (next % lines, first + next / lines * len);
                let (outer, inner) = (line / block.inner, line % block.inner);
                let width = (block.inner - inner).min(stretches.min(lane + LANES) - next);
                spans.push(Span {
                    lane: next - lane,
                    width,
                    from: (part.outer.start + outer) * block.len * block.inner + inner,
                    to: (outer * made + first) * block.inner + inner,
                    start: block.start + (part.made.start + first) as i64,
                    made: len.min(made - first),
                });
                next += width;
            }
            let panel = &mut room.panel[..(longest + size - 1) * LANES];
            load::<S>(block, &spans, from, panel.as_chunks_mut().0);
            for at in (0..longest).step_by(TILE) {
                let tile = &mut tile[..TILE.min(longest - at)];
                let rows = Rows { data: &panel[at * LANES..], starts };
                combine.run(rows, tile.as_flattened_mut(), room.ranks);
                store::<D>(block.inner, &spans, at, tile, to);
            }
        }
    }
}

/// [`filter`] along the last axis, line by line: a line's rows are itself, shifted.
fn long_lines<S: Sample, D: Sample<Repr = S::Repr>>(
    (combine, size): (&Combine, usize),
    block: &Along,
    part: &Part,
    from: &[S::Repr],
    to: &mut [D::Repr],
    room: &mut Room<'_>,
) {
    let starts = &mut room.starts[..size];
    starts.iter_mut().enumerate().for_each(|(shift, start)| *start = shift);
    let mut tile = [0.0; TILE * LANES];
    let lines = from.chunks_exact(block.len).skip(part.outer.start);
    for (line, to) in lines.zip(to.chunks_exact_mut(part.made.len())) {
        for (number, to) in to.chunks_mut(stretch(size)).enumerate() {
            let start = block.start + (part.made.start + number * stretch(size)) as i64;
            let padded = &mut room.panel[..to.len() + size - 1];
            for (value, at) in padded.iter_mut().zip(start..) {
                let place = block.edge.place(at);
                *value = place.map_or(block.constant, |place| S::widen(line[place]));
            }
            for (number, to) in to.chunks_mut(tile.len()).enumerate() {
                let rows = Rows { data: &padded[number * tile.len()..], starts };
                let tile = &mut tile[..to.len()];
                combine.run(rows, tile, room.ranks);
                put(tile.iter().map(|&value| D::narrow(value)), to);
            }
        }
    }
}
