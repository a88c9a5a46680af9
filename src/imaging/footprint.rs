//! Filters over footprints of any shape: the block and its halo are put together once, and each row of the
//! result is made of the rows of it that the footprint names.

use super::{
    carve, carved,
    edges::Halo,
    rows::{Combine, Rows},
    samples::{narrow, widen},
};
use crate::kernel::{BlockCx, BlockKernel, exactly};
use freeboard_formats::{
    ChunkMut, ChunkView, Dims, Region, Scalar,
    region::{Coordinates, volume},
};
use std::borrow::Cow;

/// A filter over a footprint.
#[derive(Clone, Debug)]
pub(super) struct Neighbours {
    /// The places of the footprint, counted from the first element of the block's halo.
    pub(super) places: Vec<Dims>,
    pub(super) combine: Combine,
    pub(super) halo: Halo,
}

impl BlockKernel for Neighbours {
    fn name(&self) -> Cow<'static, str> {
        "neighbours".into()
    }

    fn params(&self) -> Vec<Scalar> {
        let mut params = self.halo.boundary.params().to_vec();
        params.extend(self.places.iter().flatten().map(|&place| Scalar::U64(place)));
        params.extend(self.halo.before().iter().map(|&before| Scalar::U64(before)));
        params.extend(self.combine.params());
        params
    }

    fn is_named(&self) -> bool {
        true
    }

    fn scratch(&self, _: &[Region], output: &Region) -> u64 {
        let around = volume(&self.halo.around(output));
        let buffers =
            carved::<f64>(around as usize).saturating_add(carved::<f64>(output.volume() as usize));
        let places = self.places.len();
        let beside =
            carved::<usize>(places).saturating_add(carved::<f64>(self.combine.scratch(places)));
        buffers.saturating_add(beside)
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        mut scratch: &mut [u8],
        cx: &BlockCx,
    ) -> Result<(), String> {
        let [input] = exactly(inputs, "filter")?;
        let around = self.halo.around(&cx.region);
        let padded = carve::<f64>(&mut scratch, volume(&around) as usize);
        let made = carve::<f64>(&mut scratch, out.len());
        let starts = carve::<usize>(&mut scratch, self.places.len());
        let ranks = carve::<f64>(&mut scratch, self.combine.scratch(self.places.len()));
        let (region, handed) = (&cx.region, &cx.inputs[0]);
        let last = region.rank() - 1;
        let (len, width) = (handed.shape[last] as usize, around[last] as usize);
        let (edge, range) = (self.halo.edge(last, handed), self.halo.range(last, region));
        let inner = edge.inner(&range);
        let head = (inner.start - range.start) as usize;
        let count = (inner.end - inner.start) as usize;
        let constant = self.halo.boundary.constant();
        self.halo.rows(region, handed, |number, from| {
            let row = &mut padded[number * width..][..width];
            let Some(from) = from else { return row.fill(constant) };
            if count > 0
                && let Some(place) = edge.place(inner.start)
            {
                widen(input, from * len + place, &mut row[head..head + count]);
            }
            for at in (0..head).chain(head + count..width) {
                row[at] = match edge.place(range.start + at as i64) {
                    // What stands beyond the edge may be further away than the row reaches.
                    Some(place) => {
                        let mut one = [0.0];
                        widen(input, from * len + place, &mut one);
                        one[0]
                    }
                    None => constant,
                };
            }
        });
        let linear = |at: &[u64]| {
            at.iter().zip(&around).fold(0, |sum, (&at, &len)| sum * len as usize + at as usize)
        };
        starts.iter_mut().zip(&self.places).for_each(|(start, place)| *start = linear(place));
        let width = region.shape[last] as usize;
        let outer = Region::whole(&region.shape[..last]);
        for (mut at, made) in Coordinates::of(outer).zip(made.chunks_exact_mut(width)) {
            at.push(0);
            self.combine.run(Rows { data: &padded[linear(&at)..], starts }, made, ranks);
        }
        narrow(made, &mut out)
    }
}
