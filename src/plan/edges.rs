//! Edges as functions: what a unit needs, and who needs what it makes.
//!
//! Nothing here is a table. Both directions are computed from grids and accesses, axis by
//! axis, so the edges of a million chunks take no memory; and both name the same edges, or
//! chunks would be freed too early or never (a test compares them).

use super::{
    Plan,
    stage::{Batch, Feed, Holds, Key, PortId, Stage, StageId, Work, part_of},
};
use crate::expr::{Access, AxisView};
use freeboard_formats::{Dims, Grid, Region, region::Coordinates};
use smallvec::SmallVec;
use std::ops::Range;

/// Whether elements beside each other are read for such: a longer step may jump over whole blocks.
fn is_gapless(access: &Access) -> bool {
    let near =
        |view: &AxisView| matches!(view, AxisView::At(_) | AxisView::Along { step: 1 | -1, .. });
    access.axes().iter().all(near)
}

/// The blocks of `grid` that hold an element which `access` selects for `region`.
pub(crate) fn blocks_read(
    access: &Access,
    region: &Region,
    grid: &Grid,
    mut each: impl FnMut(&[u64]),
) {
    if region.is_empty() {
        return;
    }
    let blocks = grid.covering(&access.region(region));
    if blocks.volume() == 1 {
        return each(&blocks.start);
    }
    let gapless = is_gapless(access);
    for index in Coordinates::of(blocks) {
        let selected = |(axis, &block): (usize, &u64)| match access.axes()[axis] {
            AxisView::Along { of, step, .. } if step.abs() > 1 => {
                !access.selects(axis, &grid.axes()[axis].bounds(block), region.range(of)).is_empty()
            }
            _ => true,
        };
        if gapless || index.iter().enumerate().all(selected) {
            each(&index);
        }
    }
}

/// The same as ranges of their numbers, where no step jumps over blocks.
fn ranges_read(access: &Access, region: &Region, grid: &Grid, mut each: impl FnMut(Range<u64>)) {
    if region.is_empty() {
        return;
    }
    match is_gapless(access) {
        true => each_row(&grid.covering(&access.region(region)), grid, each),
        false => blocks_read(access, region, grid, |index| {
            let number = grid.linear_of(index);
            each(number..number + 1);
        }),
    }
}

/// The numbers of the blocks in a box of their indices, row by row: those of a row follow one
/// another.
fn each_row(blocks: &Region, grid: &Grid, mut each: impl FnMut(Range<u64>)) {
    let Some(last) = blocks.rank().checked_sub(1) else { return each(0..1) };
    let first = grid.linear_of(&blocks.start);
    let len = blocks.shape[last];
    if blocks.volume() == len {
        return each(first..first + len);
    }
    let mut rows = blocks.clone();
    rows.shape[last] = 1;
    for index in Coordinates::of(rows) {
        let first = grid.linear_of(&index);
        each(first..first + len);
    }
}

/// The elements in `within` that read the box `blocks` of blocks of `grid` through `access`: the
/// box around them, if there are any.
fn elements_reading(
    access: &Access,
    blocks: &Region,
    grid: &Grid,
    within: &Region,
) -> Option<Region> {
    let mut wanted = within.clone();
    let held = grid.span(blocks);
    for (axis, view) in access.axes().iter().enumerate() {
        let bounds = held.range(axis);
        match *view {
            AxisView::At(at) if !bounds.contains(&at) => return None,
            AxisView::At(_) => {}
            AxisView::Along { of, .. } => {
                let range = access.selects(axis, &bounds, within.range(of));
                wanted.start[of] = range.start;
                wanted.shape[of] = range.end - range.start;
            }
        }
    }
    (!wanted.is_empty()).then_some(wanted)
}

impl Plan {
    /// Calls `each` with ports, and units behind them, of all that `units` of `stage` take from
    /// the store.
    fn needs(&self, stage: StageId, units: Range<u64>, mut each: impl FnMut(PortId, Range<u64>)) {
        let this = &self.stages[stage as usize];
        match &this.work {
            Work::Read(_) => {}
            Work::Map { axis, parts } if parts.len() > 1 => {
                for unit in units {
                    let region = this.region(unit);
                    let part = part_of(*axis, parts, &region);
                    self.inputs_read(this, &part.program.inputs, &region, &mut each);
                }
            }
            Work::Map { parts, .. } => {
                self.units_read(this, &parts[0].program.inputs, units, &mut each);
            }
            Work::Shuffle => self.units_read(this, &[0], units, &mut each),
            Work::Block { .. } => {
                for (unit, input) in units.flat_map(|u| (0..this.inputs.len()).map(move |i| (u, i)))
                {
                    self.inputs_read(this, &[input], &this.input_region(input, unit), &mut each);
                }
            }
            Work::Visit { program, folds } => {
                // What is carried on comes first: whoever follows the needs depth first comes to
                // the beginning of a chain before it reads a chunk of the middle.
                for fold in folds.iter().filter(|fold| fold.chain) {
                    // The units of a batch that follow the first hand it on among themselves.
                    let (block, position) = fold.geometry.place(units.start);
                    if position % fold.fan_in != 0 {
                        let before = fold.geometry.chunk(block, position - 1);
                        each(fold.port(1), before..before + 1);
                    }
                }
                self.units_read(this, &program.inputs, units, &mut each);
            }
            Work::Combine { fold, level } => {
                for unit in units {
                    let (block, position) = fold.place(*level, unit);
                    let below = fold.count(block, level - 1);
                    let from = fold.port(level - 1);
                    if fold.chain {
                        if position % fold.fan_in != 0 {
                            each(fold.port(*level), unit - 1..unit);
                        }
                        let state = fold.unit(level - 1, block, position);
                        each(from, state..state + 1);
                        continue;
                    }
                    let nodes = position * fold.fan_in..((position + 1) * fold.fan_in).min(below);
                    if nodes.is_empty() {
                        continue;
                    }
                    if fold.follow_one_another(level - 1) {
                        let first = fold.unit(level - 1, block, nodes.start);
                        each(from, first..first + (nodes.end - nodes.start));
                        continue;
                    }
                    for node in nodes {
                        let state = fold.unit(level - 1, block, node);
                        each(from, state..state + 1);
                    }
                }
            }
        }
    }

    /// What `units` read that all take the elements of their own blocks.
    fn units_read(
        &self,
        stage: &Stage,
        inputs: &[usize],
        units: Range<u64>,
        each: &mut impl FnMut(PortId, Range<u64>),
    ) {
        for units in stage.grid.boxes(units) {
            self.inputs_read(stage, inputs, &stage.grid.span(&units), each);
        }
    }

    fn inputs_read(
        &self,
        stage: &Stage,
        inputs: &[usize],
        region: &Region,
        each: &mut impl FnMut(PortId, Range<u64>),
    ) {
        for &input in inputs {
            let Feed::Port(port) = stage.inputs[input].feed else { continue };
            let this = &self.ports[port as usize];
            ranges_read(&stage.inputs[input].access, region, this.array().0, |blocks| match &this
                .holds
            {
                Holds::Blocks { .. } | Holds::Pieces { .. } => each(port, blocks),
                Holds::Fold { .. } => blocks.for_each(|block| {
                    let unit = this.unit_of(block);
                    each(port, unit..unit + 1);
                }),
            });
        }
    }

    /// Calls `each` with ranges of units, of a stage, that need what `units` put into `port`.
    fn readers(&self, port: PortId, units: Range<u64>, mut each: impl FnMut(StageId, Range<u64>)) {
        let this = &self.ports[port as usize];
        let Holds::Fold { plan, level } = &this.holds else {
            return self.blocks_readers(port, units, &mut each);
        };
        let level = *level;
        if !plan.chain && level == plan.last_level() {
            return self.blocks_readers(port, units, &mut each); // one state a block
        }
        // Of a chain, what the last unit left is there.
        let mut next = if plan.chain { units.end - 1 } else { units.start };
        while next < units.end {
            let unit = next;
            let (block, position) = plan.place(level, unit);
            // How many of the states that follow are in the same block.
            let together = match plan.follow_one_another(level) {
                true => (units.end - unit).min(plan.stride_of(level, block) - position),
                false => 1,
            };
            next += together;
            if plan.is_last(level, block, position) {
                self.blocks_readers(port, block..block + 1, &mut each);
                continue;
            }
            if !plan.chain {
                let reader = self.ports[plan.port(level + 1) as usize].stage;
                let first = block * plan.stride(level + 1);
                let last = first + (position + together - 1) / plan.fan_in;
                each(reader, first + position / plan.fan_in..last + 1);
                continue;
            }
            // Carried on by the next unit of the same stage, unless the group ends here.
            if (position + 1) % plan.fan_in != 0 && position + 1 < plan.count(block, level - 1) {
                let following = match level {
                    1 => plan.geometry.chunk(block, position + 1),
                    _ => unit + 1,
                };
                each(this.stage, following..following + 1);
                continue;
            }
            let reader = self.ports[plan.port(level + 1) as usize].stage;
            let unit = block * plan.stride(level) + position / plan.fan_in;
            each(reader, unit..unit + 1);
        }
    }

    /// The same, of blocks of [`Port::array`](super::stage::Port::array).
    fn blocks_readers(
        &self,
        port: PortId,
        blocks: Range<u64>,
        each: &mut impl FnMut(StageId, Range<u64>),
    ) {
        let this = &self.ports[port as usize];
        let (grid, _) = this.array();
        for blocks in grid.boxes(blocks) {
            for &(stage, input) in &this.readers {
                if let Some(units) = self.reading_box(stage, input, &blocks, grid) {
                    each_row(&units, &self.stages[stage as usize].grid, |units| each(stage, units));
                }
            }
        }
    }

    /// The demanded units of `stage`, as a box of indices, whose input `input` reads the box `blocks`
    /// of blocks of `grid`.
    fn reading_box(
        &self,
        stage: StageId,
        input: usize,
        blocks: &Region,
        grid: &Grid,
    ) -> Option<Region> {
        let this = &self.stages[stage as usize];
        let access = &this.inputs[input].access;
        let mut within = Region::whole(&this.input_shape(input));
        if let Work::Map { axis, parts } = &this.work
            && parts.len() > 1
        {
            // An input of one part is read by that part's blocks alone.
            let part = parts.iter().find(|part| part.program.inputs.contains(&input))?;
            (within.start[*axis], within.shape[*axis]) = (part.from, part.to - part.from);
        }
        let wanted = elements_reading(access, blocks, grid, &within)?;
        this.units_reading(input, &wanted)?.intersection(&this.demanded)
    }

    /// The batches whose results `batch` takes from the store, each once, in the order of its units.
    pub(crate) fn batch_needs(&self, batch: Batch, needs: &mut Vec<Key>) {
        let stage = &self.stages[batch.stage as usize];
        needs.clear();
        self.needs(batch.stage, stage.units_of(batch.index), |port, units| {
            for key in self.keys(port, units) {
                if needs.last() != Some(&key) {
                    needs.push(key);
                }
            }
        });
        // Each once, where it is needed first.
        if needs.len() > 1 {
            let mut order: Vec<(Key, usize)> = needs.iter().copied().zip(0..).collect();
            order.sort_unstable();
            order.dedup_by_key(|(key, _)| *key);
            order.sort_unstable_by_key(|&(_, at)| at);
            needs.clear();
            needs.extend(order.into_iter().map(|(key, _)| key));
        }
    }

    /// The buffer in which `unit` of the stage behind `port` lies.
    pub(crate) fn key(&self, port: PortId, unit: u64) -> Key {
        Key { port, index: unit / self.bundled(port) }
    }

    /// The buffers in which `units` of the stage behind `port` lie.
    fn keys(&self, port: PortId, units: Range<u64>) -> impl Iterator<Item = Key> + use<> {
        let bundled = self.bundled(port);
        (units.start / bundled..units.end.div_ceil(bundled)).map(move |index| Key { port, index })
    }

    /// How many units lie in one buffer of a port.
    pub(crate) fn bundled(&self, port: PortId) -> u64 {
        let this = &self.ports[port as usize];
        match this.holds {
            Holds::Pieces { .. } => 1,
            _ => self.stages[this.stage as usize].batch,
        }
    }

    /// The units whose results lie in a buffer.
    pub(super) fn units_in(&self, key: Key) -> Range<u64> {
        match self.ports[key.port as usize].holds {
            Holds::Pieces { .. } => key.index..key.index + 1,
            _ => self.stages[self.ports[key.port as usize].stage as usize].units_of(key.index),
        }
    }

    /// The batch that makes a buffer.
    pub(crate) fn maker_of(&self, key: Key) -> Batch {
        let port = &self.ports[key.port as usize];
        let index = match &port.holds {
            Holds::Pieces { grid, .. } => {
                let grids = &self.stages[port.stage as usize].grid;
                let piece = grid.region(&grid.index_of(key.index));
                grids.linear_of(&grids.covering(&piece).start)
            }
            _ => key.index,
        };
        Batch { stage: port.stage, index }
    }

    /// The buffers that a batch makes: one for each port, or each piece.
    pub(crate) fn made_by(&self, batch: Batch) -> SmallVec<[Key; 2]> {
        let stage = &self.stages[batch.stage as usize];
        if let (Work::Shuffle, &[port]) = (&stage.work, &stage.ports[..]) {
            let (grid, _) = self.ports[port as usize].array();
            let pieces = Coordinates::of(grid.covering(&stage.region(batch.index)));
            return pieces.map(|index| Key { port, index: grid.linear_of(&index) }).collect();
        }
        stage.ports.iter().map(|&port| Key { port, index: batch.index }).collect()
    }

    /// Calls `each` with the batches that need what a batch put into a port, some of them
    /// several times; where only a hull of the readers is known, with more.
    pub(crate) fn each_reader(&self, key: Key, mut each: impl FnMut(Batch)) {
        self.readers(key.port, self.units_in(key), |stage, units| {
            let batch = self.stages[stage as usize].batch;
            let indices = units.start / batch..units.end.div_ceil(batch);
            indices.for_each(|index| each(Batch { stage, index }));
        });
    }

    /// For each stage, whether every unit of it is certain to be needed: of a root, and of what such a
    /// stage reads from end to end.
    pub(crate) fn needed_whole(&self) -> Vec<bool> {
        let mut known = vec![None; self.stages.len()];
        (0..self.stages.len()).map(|stage| self.is_needed_whole(stage, &mut known)).collect()
    }

    fn is_needed_whole(&self, stage: usize, known: &mut [Option<bool>]) -> bool {
        if let Some(known) = known[stage] {
            return known;
        }
        let mut stack = vec![stage];
        while let Some(&number) = stack.last() {
            let this = &self.stages[number];
            let mut whole = this.root.is_some();
            let mut waits = false;
            for port in self.block_ports(this) {
                let port_of = &self.ports[port as usize];
                for &(reader, input) in &port_of.readers {
                    match known[reader as usize] {
                        None => {
                            stack.push(reader as usize);
                            waits = true;
                        }
                        Some(needed) => {
                            let access = &self.stages[reader as usize].inputs[input].access;
                            whole |= needed
                                && is_gapless(access)
                                && self.demanded_of(port, reader, input)
                                    == Some(Region::whole(&port_of.array().0.counts()));
                        }
                    }
                }
            }
            if !waits {
                known[number] = Some(whole);
                stack.pop();
            }
        }
        known[stage].expect("just settled")
    }

    /// How many batches need what a batch put into a port.
    pub(crate) fn reader_count(&self, key: Key) -> u64 {
        let port = &self.ports[key.port as usize];
        if self.bundled(key.port) == 1 && !matches!(port.holds, Holds::Fold { .. }) {
            let single = port.readers.iter().all(|&(s, _)| self.stages[s as usize].batch == 1);
            let mut stages: Vec<StageId> = port.readers.iter().map(|&(s, _)| s).collect();
            stages.sort_unstable();
            stages.dedup();
            // No unit reads it through two inputs: a count of boxes is enough.
            if single && stages.len() == port.readers.len() {
                let (grid, _) = port.array();
                let block = Region {
                    start: grid.index_of(key.index),
                    shape: Dims::from_elem(1, grid.rank()),
                };
                let boxes =
                    port.readers.iter().filter_map(|&(s, i)| self.reading_box(s, i, &block, grid));
                return boxes.map(|units| units.volume()).sum();
            }
        }
        let mut readers: Vec<(StageId, Range<u64>)> = Vec::new();
        self.readers(key.port, self.units_in(key), |stage, units| {
            let batch = self.stages[stage as usize].batch;
            readers.push((stage, units.start / batch..units.end.div_ceil(batch)));
        });
        readers.sort_unstable_by_key(|(stage, range)| (*stage, range.start));
        let (mut count, mut done) = (0, None::<(StageId, u64)>);
        for (stage, range) in readers {
            let from = match done {
                Some((last, end)) if last == stage => range.start.max(end),
                _ => range.start,
            };
            count += range.end.saturating_sub(from);
            let end = range.end.max(from);
            done = Some((stage, end));
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Means, Root, Wanted};
    use super::*;
    use crate::{
        array::Array,
        expr::{Expr, Need, Needs},
        kernel::{BlockCx, BlockKernel},
    };
    use freeboard_formats::{AxisGrid, ChunkMut, ChunkView, DType, Meta};
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    /// What is never run.
    #[derive(Debug)]
    struct Nothing;

    impl BlockKernel for Nothing {
        fn name(&self) -> std::borrow::Cow<'static, str> {
            "nothing".into()
        }

        fn scratch(&self, _: &[Region], _: &Region) -> u64 {
            0
        }

        fn run(
            &self,
            _: &[ChunkView<'_>],
            _: ChunkMut<'_>,
            _: &mut [u8],
            _: &BlockCx,
        ) -> Result<(), String> {
            Ok(())
        }
    }

    /// Of windows along the first axis, and all along the others.
    fn windows(x: &Array<f64>, every: u64) -> Array<f64> {
        let grid = &x.meta().unwrap().grid;
        let made = Grid::new([AxisGrid::regular(grid.axes()[0].len(), every)]);
        let needs = Needs::new((0..grid.rank()).map(|axis| match axis {
            0 => Need::Window { of: 0, before: 2, after: 1 },
            _ => Need::All,
        }));
        let inputs = [(x.expr().clone(), needs)];
        let here = std::panic::Location::caller();
        let meta = Meta::new(DType::F64, made);
        Array::from_expr(Expr::block(std::sync::Arc::new(Nothing), inputs, meta, here))
    }

    /// How often each buffer is read, by following all needs from the roots.
    fn followed(plan: &Plan) -> HashMap<Key, u64> {
        let mut reads = HashMap::new();
        let mut seen: HashSet<Batch> = HashSet::new();
        let mut stack: Vec<Batch> = Vec::new();
        for &root in &plan.roots {
            stack.extend(
                (0..plan.stages[root as usize].batches()).map(|index| Batch { stage: root, index }),
            );
        }
        let mut needs = Vec::new();
        while let Some(batch) = stack.pop() {
            if seen.insert(batch) {
                plan.batch_needs(batch, &mut needs);
                for &key in &needs {
                    *reads.entry(key).or_insert(0) += 1;
                    stack.push(plan.maker_of(key));
                }
            }
        }
        reads
    }

    proptest! {
        #[test]
        fn both_directions_name_the_same_edges(
            side in 3usize..12, chunk in 1u64..6, rank in 1usize..4, arena in 200u64..100_000,
            verbs in proptest::collection::vec(0u8..8, 1..5), fuse in proptest::bool::ANY,
        ) {
            let values = ndarray::ArrayD::<f64>::zeros(ndarray::IxDyn(&vec![side; rank]));
            let mut x = Array::chunked(&values, vec![chunk; rank]);
            let sliced = verbs.contains(&6);
            for verb in verbs {
                let rank = x.rank().unwrap();
                let even = x.shape().unwrap().windows(2).all(|pair| pair[0] == pair[1]);
                x = match verb {
                    0 if rank > 0 => &x - x.mean(0),
                    1 if even => &x + x.t(),
                    2 if rank > 0 => x.rechunk((0..rank).map(|a| if a == 0 { -1 } else { 3 }).collect::<Vec<i64>>()),
                    3 if rank > 0 => x.max(-1) - x.min(-1),
                    4 => x.std(..) + &x,
                    7 if rank > 0 => windows(&x, chunk % 4 + 1) + 1.0,
                    6 if rank > 0 => {
                        let mut slice = vec![":"; rank];
                        slice[0] = "1:4";
                        x.slice_numpy(&slice.join(", "))
                    }
                    5 if rank > 0 => crate::array::concatenate(&[x.clone(), x.flip(0)], 0),
                    _ => x,
                };
            }
            let expr = x.expr().clone();
            let grid = expr.meta().unwrap().grid.clone();
            let wanted = [Wanted { expr, root: Root { grid, kept: false, sink_scratch: None } }];
            let plan = Plan::new(&wanted, Means { arena, workers: 2, fuse, reproducible: false, scratch: u64::MAX }).unwrap();
            for (key, reads) in followed(&plan) {
                let counted = plan.reader_count(key);
                // Of what is sliced, the box around all that is asked for may be too large.
                prop_assert!(counted == reads || (sliced && counted > reads), "{key:?} of\n{plan}");
            }
        }
    }
}
