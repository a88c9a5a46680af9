//! Reading a box of a virtual data set from the boxes of its sources.
//!
//! Where a box of the array is a box of a source, however far apart its elements go, the source
//! writes them where they are wanted. Elsewhere all that lies between the source's elements is
//! read once into scratch, and copied from there; what is too long for the scratch is halved.

use super::{
    Mapping, Piece, fill,
    selection::{Span, Stretch},
};
use crate::{
    error::{ErrorKind, FormatError, Result},
    region::{Dims, Region, volume},
    source::{ChunkSource, ReadCost, ReadCx},
    view::{ChunkMut, ChunkView, Strides, c_strides},
};
use smallvec::SmallVec;

/// What goes with an axis that the source does not have.
const SINGLE: Span = Span { start: 0, stride: 1, block: 1, len: 1 };

impl Piece {
    /// Where its elements along an axis of the array go on regularly, within `region`.
    fn stretches(&self, axis: usize, region: &Region) -> impl Iterator<Item = Stretch> + '_ {
        let theirs = self.with[axis].map_or(&SINGLE, |axis| &self.theirs[axis]);
        let range = region.range(axis);
        self.own[axis].stretches(theirs, range.start, range.end)
    }

    /// Whether it has elements of `region`.
    fn meets(&self, region: &Region) -> bool {
        let meets = |(axis, span): (usize, &Span)| {
            let range = region.range(axis);
            span.rank_of(range.start) < span.rank_of(range.end)
        };
        self.own.iter().enumerate().all(meets)
    }

    /// Whether it has all elements of `region`.
    fn covers(&self, region: &Region) -> bool {
        self.own.iter().enumerate().all(|(axis, span)| {
            let range = region.range(axis);
            span.len <= span.block
                && span.start <= range.start
                && range.end <= span.start + span.len
        })
    }

    /// Whether some box of it may be no box of the source.
    pub(super) fn is_scattered(&self) -> bool {
        let scattered = |span: &Span| span.len > span.block;
        let apart = |span: &Span| scattered(span) && span.stride > 1;
        self.theirs.iter().any(apart)
            || self.own.iter().any(|span| scattered(span) && span.block > 1)
    }

    /// The box of the source around the elements of `region`, which are some.
    fn around(&self, region: &Region) -> Region {
        let mut around = Region::new(
            self.theirs.iter().map(|span| span.start).collect::<Dims>(),
            Dims::from_elem(1, self.theirs.len()),
        );
        for (axis, own) in self.own.iter().enumerate() {
            let Some(with) = self.with[axis] else { continue };
            let range = region.range(axis);
            let (first, behind) = (own.rank_of(range.start), own.rank_of(range.end));
            let theirs = &self.theirs[with];
            around.start[with] = theirs.at(first);
            around.shape[with] = theirs.at(behind - 1) + 1 - theirs.at(first);
        }
        around
    }

    /// Calls `each` for every box of elements that go on regularly along all axes, of those
    /// within `region`, with a stretch for each axis.
    fn each_box(
        &self,
        region: &Region,
        stretches: &mut SmallVec<[Stretch; 6]>,
        each: &mut dyn FnMut(&[Stretch]),
    ) {
        if stretches.len() == self.own.len() {
            return each(stretches);
        }
        for stretch in self.stretches(stretches.len(), region) {
            stretches.push(stretch);
            self.each_box(region, stretches, each);
            stretches.pop();
        }
    }

    /// Copies the elements of `region` to `out`, from `landing`, in which the source's box
    /// `around` lies.
    fn copy(&self, region: &Region, around: &Region, landing: &[u8], out: &mut ChunkMut<'_>) {
        let (dtype, strides) = (out.dtype(), c_strides(&around.shape));
        self.each_box(region, &mut SmallVec::new(), &mut |stretches| {
            let mut offset = 0;
            let from: Strides = stretches
                .iter()
                .zip(&self.with)
                .map(|(stretch, with)| {
                    let Some(axis) = *with else { return 0 };
                    offset += (stretch.theirs - around.start[axis]) as isize * strides[axis];
                    stretch.theirs_step as isize * strides[axis]
                })
                .collect();
            let mut target = wanted(stretches, region, out);
            let shape = Dims::from(target.shape());
            target.assign(&ChunkView::strided(dtype, landing, offset, shape, from));
        });
    }
}

/// Where the elements of these stretches, one an axis, are wanted.
fn wanted<'o>(stretches: &[Stretch], region: &Region, out: &'o mut ChunkMut<'_>) -> ChunkMut<'o> {
    let all = stretches.iter().zip(&region.start);
    let start: Dims = all.map(|(stretch, start)| stretch.own - start).collect();
    let steps: Dims = stretches.iter().map(|stretch| stretch.own_step).collect();
    let shape: Dims = stretches.iter().map(|stretch| stretch.len).collect();
    out.sub_steps(&Region::new(start, shape), &steps)
}

impl Mapping {
    pub(in crate::hdf5) fn cost(&self, region: &Region) -> ReadCost {
        let bytes = region.volume() * self.dtype.size() as u64;
        let landing = if self.is_scattered { bytes.next_multiple_of(64) } else { 0 };
        ReadCost { bytes, decoded: bytes, scratch: self.scratch.saturating_add(landing) }
    }

    pub(in crate::hdf5) fn read(
        &self,
        region: &Region,
        out: &mut ChunkMut<'_>,
        cx: &mut ReadCx<'_>,
    ) -> Result<()> {
        let landing = match self.is_scattered {
            true => region.volume() as usize * self.dtype.size(),
            false => 0,
        };
        let (landing, mut cx) = cx.split_scratch(landing);
        // Where pieces lie over each other the last one holds. If it covers the box, nothing
        // else is seen.
        let seen = self.pieces.iter().rposition(|piece| piece.meets(region));
        let first = match seen {
            Some(last) if self.pieces[last].covers(region) => last,
            _ => {
                fill(out, &self.fill);
                0
            }
        };
        for piece in self.pieces[first..].iter().filter(|piece| piece.meets(region)) {
            let source = self.opened(piece.source)?;
            self.read_piece(piece, &*source, region, out, landing, &mut cx)?;
        }
        Ok(())
    }

    /// Reads what `piece` has of `region`, which is something.
    fn read_piece(
        &self,
        piece: &Piece,
        source: &dyn ChunkSource,
        region: &Region,
        out: &mut ChunkMut<'_>,
        landing: &mut [u8],
        cx: &mut ReadCx<'_>,
    ) -> Result<()> {
        cx.cancel.check()?;
        let around = piece.around(region);
        let mut stretches: SmallVec<[Stretch; 6]> = SmallVec::new();
        let mut is_box = true;
        for axis in 0..piece.own.len() {
            let mut along = piece.stretches(axis, region);
            let Some(stretch) = along.next() else { return Ok(()) };
            is_box &= stretch.theirs_step == 1 && along.next().is_none();
            stretches.push(stretch);
        }
        if is_box {
            let target = wanted(&stretches, region, out).with_unit_axes(&around.shape);
            return self.read_source(piece, source, &around, target, cx);
        }
        let bytes = volume(&around.shape).saturating_mul(self.dtype.size() as u64);
        if let Some(landing) = usize::try_from(bytes).ok().and_then(|n| landing.get_mut(..n)) {
            let target = ChunkMut::new(self.dtype, landing, &around.shape);
            self.read_source(piece, source, &around, target, cx)?;
            piece.copy(region, &around, landing, out);
            return Ok(());
        }
        // One element alone is a box, so there is an axis with two of them or more.
        let counted = piece.own.iter().enumerate().map(|(axis, own)| {
            let range = region.range(axis);
            let (first, behind) = (own.rank_of(range.start), own.rank_of(range.end));
            (behind - first, axis, own.at(first + (behind - first) / 2))
        });
        let Some((_, axis, middle)) = counted.max() else { return Ok(()) };
        let range = region.range(axis);
        for (start, end) in [(range.start, middle), (middle, range.end)] {
            let mut half = region.clone();
            (half.start[axis], half.shape[axis]) = (start, end - start);
            let mut out = out.sub(&half.relative_to(&region.start));
            self.read_piece(piece, source, &half, &mut out, landing, cx)?;
        }
        Ok(())
    }

    /// Reads a box of a source, which may no longer be what it was.
    fn read_source(
        &self,
        piece: &Piece,
        source: &dyn ChunkSource,
        part: &Region,
        target: ChunkMut<'_>,
        cx: &mut ReadCx<'_>,
    ) -> Result<()> {
        let meta = source.meta();
        let holds = meta.grid.rank() == part.shape.len()
            && Region::whole(&meta.shape()).contains(part)
            && meta.dtype == self.dtype;
        if !holds || source.cost(part).scratch > cx.scratch.len() as u64 {
            let place = &self.sources[piece.source].place;
            return Err(FormatError::new(
                ErrorKind::Changed,
                "this source of a virtual data set has another dtype, shape or codec than when \
                 the virtual data set was opened",
            )
            .at(format_args!("{}::{}", place.path.display(), place.item)));
        }
        source.read(part, target, cx)
    }
}
