//! How a task's inputs reach it: lent by the store as they are, or put together in its
//! scratch, at once or band by band.

use super::task::{Inputs, Lent, UnitTask, block, carve, lent};
use crate::{
    error::Result,
    plan::{Band, Feed, Fetch, Key, Program, bands, blocks_read},
};
use freeboard_formats::{ChunkMut, ChunkView, Region};
use smallvec::SmallVec;

/// Scratch of a task that computes elements.
pub(super) struct Room<'b> {
    /// Where inputs are put together, in their order.
    pub landings: &'b mut [u8],
    /// Where a program computes.
    pub registers: &'b mut [u8],
    /// What adapters use.
    pub codec: &'b mut [u8],
}

impl<'a> UnitTask<'a, '_> {
    /// The inputs with these numbers, which are all that the unit has, as views of what is
    /// computed; those that are not whole somewhere are put together in `landings`.
    pub(super) fn fetch_all<'b>(
        &self,
        numbers: &[usize],
        inputs: &'b [(Key, Lent)],
        landings: &mut &'b mut [u8],
        codec: &mut [u8],
    ) -> Result<SmallVec<[ChunkView<'b>; 4]>>
    where
        'a: 'b,
    {
        let mut views = SmallVec::new();
        for (at, &number) in numbers.iter().enumerate() {
            let region = self.stage.input_region(number, self.unit);
            let landing = carve(landings, self.layout.landings[at]);
            views.push(self.fetch(at, number, &region, inputs, landing, codec)?);
        }
        Ok(views)
    }

    /// Calls `each` with one band after the other of the blocks of `tasks`, units whose layouts
    /// [go along](crate::plan::Layout::goes_along) with each other: with the first band of each block,
    /// then with the second; and with the number of the block among them, and the views of the program's
    /// inputs that have the band's shape. What is read by bands is read into the same place again and again.
    pub(super) fn for_each_band(
        tasks: &[UnitTask<'a, '_>],
        program: &Program,
        inputs: &Inputs,
        room: Room<'_>,
        mut each: impl FnMut(usize, &Band, &[ChunkView<'_>], &mut [u8]),
    ) -> Result<()> {
        let Some(first) = tasks.first().filter(|task| !task.region.is_empty()) else {
            return Ok(());
        };
        let Room { mut landings, registers, codec } = room;
        let (shape, layout) = (&first.region.shape, first.layout);
        if layout.band == *shape {
            for (number, task) in tasks.iter().enumerate() {
                task.cx.cancel.check()?;
                let mut landings = &mut *landings;
                let views = task.fetch_all(&program.inputs, inputs, &mut landings, codec)?;
                each(number, &Band::whole(shape), &views, registers);
            }
            return Ok(());
        }
        let mut landed: SmallVec<[ChunkView<'_>; 4]> = SmallVec::new();
        let mut banded: SmallVec<[&mut [u8]; 4]> = SmallVec::new();
        for (at, &number) in program.inputs.iter().enumerate() {
            let landing = carve(&mut landings, layout.landings[at]);
            match layout.fetches[at] {
                Fetch::Banded => banded.push(landing),
                Fetch::InPlace => {}
                // Only of a unit by itself.
                Fetch::Landed | Fetch::Direct => {
                    landed.push(first.fetch(at, number, first.region, inputs, landing, codec)?);
                }
            }
        }
        for band in bands(shape, &layout.band) {
            for (number, task) in tasks.iter().enumerate() {
                task.cx.cancel.check()?;
                let part = band.of(task.region);
                let (mut landed, mut banded) = (landed.iter(), banded.iter_mut());
                let mut views: SmallVec<[ChunkView<'_>; 4]> = SmallVec::new();
                for (at, &input) in program.inputs.iter().enumerate() {
                    views.push(match layout.fetches[at] {
                        Fetch::Banded => {
                            let landing = banded.next().expect("a landing for each");
                            task.fetch(at, input, &part, inputs, landing, codec)?
                        }
                        Fetch::InPlace => task
                            .fetch(at, input, task.region, inputs, &mut [], codec)?
                            .sub(&band.within),
                        Fetch::Landed | Fetch::Direct => {
                            landed.next().expect("fetched before").sub(&band.within)
                        }
                    });
                }
                each(number, &band, &views, registers);
            }
        }
        Ok(())
    }

    /// The elements of input `number` that `region` takes, as a view of its shape; it is the
    /// input `at` of the program. What is not whole somewhere is put together in `landing`.
    fn fetch<'b>(
        &self,
        at: usize,
        number: usize,
        region: &Region,
        inputs: &'b [(Key, Lent)],
        landing: &'b mut [u8],
        codec: &mut [u8],
    ) -> Result<ChunkView<'b>>
    where
        'a: 'b,
    {
        let input = &self.stage.inputs[number];
        if region.is_empty() {
            return Ok(ChunkView::new(input.dtype, &[], &region.shape));
        }
        match (self.layout.fetches[at], &input.feed) {
            (Fetch::InPlace, Feed::Port(port)) if self.stage.aligned => {
                let this = &self.plan.ports[*port as usize];
                let bytes = lent(self.plan, inputs, *port, this.unit_of(self.unit));
                Ok(block(this.array().1, bytes, &region.shape))
            }
            (Fetch::InPlace, Feed::Port(port)) => {
                let held = input.access.region(region);
                let (grid, dtype) = self.plan.ports[*port as usize].array();
                // A long step may begin before the block that holds all of its elements.
                let mut index = grid.covering(&held).start;
                blocks_read(&input.access, region, grid, |holds| index = holds.into());
                let unit = self.plan.ports[*port as usize].unit_of(grid.linear_of(&index));
                let at = grid.region(&index);
                let bytes = lent(self.plan, inputs, *port, unit);
                Ok(input.access.view(region, &block(dtype, bytes, &at.shape), &at))
            }
            _ => {
                let held = input.access.region(region);
                let landing = &mut landing[..held.volume() as usize * input.dtype.size()];
                let target = ChunkMut::new(input.dtype, landing, &held.shape);
                self.gather(number, region, &held, target, inputs, codec)?;
                let view = ChunkView::new(input.dtype, landing, &held.shape);
                Ok(input.access.view(region, &view, &held))
            }
        }
    }

    /// Puts the box `held` of what an input reads, for the elements `region`, together in `target`.
    pub(super) fn gather(
        &self,
        number: usize,
        region: &Region,
        held: &Region,
        mut target: ChunkMut<'_>,
        inputs: &[(Key, Lent)],
        codec: &mut [u8],
    ) -> Result<()> {
        match &self.stage.inputs[number].feed {
            Feed::Source(source) => self.read(&**source, held, target, codec),
            Feed::Port(port) => {
                let this = &self.plan.ports[*port as usize];
                let (grid, dtype) = this.array();
                let access = &self.stage.inputs[number].access;
                blocks_read(access, region, grid, |index| {
                    let at = grid.region(index);
                    let Some(common) = at.intersection(held) else { return };
                    let bytes = lent(self.plan, inputs, *port, this.unit_of(grid.linear_of(index)));
                    let part = block(dtype, bytes, &at.shape).sub(&common.relative_to(&at.start));
                    target.sub(&common.relative_to(&held.start)).assign(&part);
                });
                Ok(())
            }
        }
    }
}
