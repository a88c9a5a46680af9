//! From nodes to stages: what is computed together, and what lies in the store between.
//!
//! Every fold, block function, concatenation and root has a stage. Elementwise nodes,
//! views and rechunks have none: they become part of the programs of the stages that use
//! them, wherever they are used in one way only. A node used in two ways (by two stages, or
//! through two views) gets a stage of its own, so that its work is done once. Folds over the
//! same chunks are one stage, so that each chunk is read once.

use super::{
    Means, Plan,
    geometry::{FAN_IN, FoldGeometry},
    program::Program,
    share::Shared,
    split,
    stage::{Feed, FoldPlan, Holds, Input, Part, Port, PortId, Reach, Stage, StageId, Work},
};
use crate::expr::{Access, AxisView, Op};
use freeboard_formats::{ChunkSource, Dims, Grid, Region};
use smallvec::{SmallVec, smallvec};
use std::{collections::HashMap, panic::Location, sync::Arc};

/// How the elements of a root leave the plan.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    /// The grid that they leave in.
    pub grid: Grid,
    /// Whether they stay in the store.
    pub kept: bool,
    /// Whether a sink takes them, on this grid and no other.
    pub stored: bool,
}

/// A stage to be, while it is not settled which nodes have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Root(usize),
    Node(usize),
    Group(usize),
    /// A block function, by one of its inputs.
    Input(usize, usize),
}

/// Folds that are computed together.
struct Group {
    folds: Vec<usize>,
    depth: u32,
    grid: Grid,
    /// The boxes of the folds that are chained.
    chained: Option<Dims>,
    /// The chunks that are visited, where they are pieces of those of `grid`.
    pieces: Option<Grid>,
    leaves: Vec<usize>,
}

pub(super) struct Lowering<'a> {
    pub(super) nodes: &'a [Shared],
    roots: &'a [(usize, Root)],
    uses: Vec<SmallVec<[(Owner, Access); 1]>>,
    pub(super) made: Vec<bool>,
    groups: Vec<Group>,
    group_of: HashMap<usize, usize>,
    pub(super) feeds: HashMap<usize, Feed>,
    plan: Plan,
    means: Means,
}

/// Decoded bytes of inline reads, relative to reading each chunk once, up to which a task
/// reads its source itself.
const AMPLIFICATION: f64 = 1.2;

/// Lays out the stages for `roots`: numbers of `nodes`, and how their elements leave. With
/// `fuse`, elementwise nodes become part of the stages that use them.
pub(crate) fn lower(nodes: &[Shared], roots: &[(usize, Root)], means: Means) -> Plan {
    let mut this = Lowering {
        nodes,
        roots,
        uses: vec![SmallVec::new(); nodes.len()],
        made: vec![false; nodes.len()],
        groups: Vec::new(),
        group_of: HashMap::new(),
        feeds: HashMap::new(),
        plan: Plan::default(),
        means,
    };
    this.group_folds();
    this.split_groups();
    this.settle();
    this.allocate();
    this.build();
    this.plan
}

impl Group {
    /// The chunks that are visited.
    fn visited(&self) -> &Grid {
        self.pieces.as_ref().unwrap_or(&self.grid)
    }
}

impl Lowering<'_> {
    pub(super) fn meta(&self, node: usize) -> &freeboard_formats::Meta {
        self.nodes[node].expr.meta().expect("checked when the nodes were shared")
    }

    pub(super) fn rank(&self, node: usize) -> usize {
        self.meta(node).grid.rank()
    }

    fn geometry(&self, fold: usize) -> FoldGeometry {
        let Op::Fold { bins, .. } = self.nodes[fold].expr.op() else { unreachable!("a fold") };
        FoldGeometry {
            chunks: self.meta(self.nodes[fold].inputs[0]).grid.clone(),
            blocks: self.meta(fold).grid.clone(),
            bins: bins.clone(),
        }
    }

    /// Folds of equal depth cannot depend on each other; those over one grid that share a
    /// leaf are visited together.
    fn group_folds(&mut self) {
        let mut depths = vec![0u32; self.nodes.len()];
        for (number, node) in self.nodes.iter().enumerate() {
            let below = node.inputs.iter().map(|&input| depths[input]).max().unwrap_or(0);
            let barrier =
                matches!(node.expr.op(), Op::Fold { .. } | Op::Block { .. } | Op::Concat { .. });
            depths[number] = below + u32::from(barrier);
            let Op::Fold { fold, bins } = node.expr.op() else { continue };
            let geometry = self.geometry(number);
            let chained = FoldPlan::is_chained(&**fold, &geometry).then(|| bins.clone());
            let leaves = self.leaves(node.inputs[0]);
            let fits = |group: &Group| {
                let chains = match (&group.chained, &chained) {
                    (Some(a), Some(b)) => a == b,
                    _ => true,
                };
                self.means.fuse
                    && group.depth == depths[number]
                    && chains
                    && group.grid == geometry.chunks
                    && group.leaves.iter().any(|leaf| leaves.contains(leaf))
            };
            let found = self.groups.iter().position(fits);
            let number_of_group = found.unwrap_or(self.groups.len());
            self.group_of.insert(number, number_of_group);
            match found {
                Some(at) => {
                    let group = &mut self.groups[at];
                    group.folds.push(number);
                    group.chained = group.chained.take().or(chained);
                    group.leaves.extend(leaves);
                }
                None => self.groups.push(Group {
                    folds: vec![number],
                    depth: depths[number],
                    grid: geometry.chunks,
                    chained,
                    pieces: None,
                    leaves,
                }),
            }
        }
    }

    /// The nodes with elements of their own that `node` is computed from, a few hundred at the most.
    fn leaves(&self, node: usize) -> Vec<usize> {
        let (mut leaves, mut stack, mut looked_at) = (Vec::new(), vec![node], 0);
        while let Some(node) = stack.pop() {
            looked_at += 1;
            if looked_at > 500 {
                break;
            }
            match self.nodes[node].expr.op() {
                Op::View(_) | Op::Rechunk | Op::Apply(_) => stack.extend(&self.nodes[node].inputs),
                Op::Constant(_) => {}
                Op::Source(_) | Op::Fold { .. } | Op::Block { .. } | Op::Concat { .. } => {
                    leaves.push(node)
                }
            }
        }
        leaves
    }

    /// Cuts the axes that chained folds keep, where they would be carried by fewer threads
    /// than there are, and reading pieces takes no more than reading whole chunks.
    fn split_groups(&mut self) {
        for number in 0..self.groups.len() {
            let group = &self.groups[number];
            if group.chained.is_none() || !group.leaves.iter().all(|&leaf| self.divides(leaf)) {
                continue;
            }
            let bins = |&fold: &usize| match self.nodes[fold].expr.op() {
                Op::Fold { bins, .. } => bins.clone(),
                _ => unreachable!("a fold"),
            };
            let bins: Vec<Dims> = group.folds.iter().map(bins).collect();
            let kept: Vec<bool> =
                (0..group.grid.rank()).map(|axis| bins.iter().all(|bin| bin[axis] == 1)).collect();
            let geometry = self.geometry(group.folds[0]);
            let carried = geometry.blocks.len() * geometry.max_count().div_ceil(FAN_IN);
            let size = self.meta(self.nodes[group.folds[0]].inputs[0]).dtype.size() as u64;
            let wanted = 4 * self.means.workers as u64;
            let pieces = split::kept_axes(&group.grid, &kept, carried, wanted, size);
            self.groups[number].pieces = pieces;
        }
    }

    /// Whether half of a chunk of the node is read for about half of what a whole one takes.
    fn divides(&self, node: usize) -> bool {
        let Op::Source(source) = self.nodes[node].expr.op() else { return false };
        let grid = &source.meta().grid;
        if grid.is_empty() {
            return false;
        }
        let whole = grid.region(&Dims::from_elem(0, grid.rank()));
        let mut half = whole.clone();
        let Some(axis) = (0..half.rank()).find(|&axis| half.shape[axis] > 1) else { return false };
        half.shape[axis] /= 2;
        source.cost(&half).decoded * 10 <= source.cost(&whole).decoded * 6
    }

    fn add_use(&mut self, node: usize, owner: Owner, access: Access) {
        let used = &mut self.uses[node];
        if !used.iter().any(|(o, a)| *o == owner && *a == access) {
            used.push((owner, access));
        }
    }

    /// Consumers first: which nodes have stages of their own.
    fn settle(&mut self) {
        for (root, (node, _)) in self.roots.iter().enumerate() {
            self.add_use(*node, Owner::Root(root), Access::identity(self.rank(*node)));
        }
        for number in (0..self.nodes.len()).rev() {
            let nodes = self.nodes;
            let node = &nodes[number];
            let uses = self.uses[number].clone();
            match node.expr.op() {
                Op::Constant(_) => {}
                Op::View(view) => {
                    for (owner, access) in uses {
                        self.add_use(node.inputs[0], owner, view.then(&access));
                    }
                }
                Op::Rechunk => {
                    for (owner, access) in uses {
                        self.add_use(node.inputs[0], owner, access);
                    }
                }
                Op::Apply(_) => {
                    let for_block = uses.iter().any(|(o, _)| matches!(o, Owner::Input(..)));
                    self.made[number] = uses.len() > 1 || for_block || !self.means.fuse;
                    let rank = self.rank(number);
                    let (owner, access) = match self.made[number] {
                        true => (Owner::Node(number), Access::identity(rank)),
                        false => uses[0].clone(),
                    };
                    for &input in &node.inputs {
                        self.add_use(input, owner, access.clone());
                    }
                }
                Op::Fold { .. } => {
                    let owner = Owner::Group(self.group_of[&number]);
                    let input = node.inputs[0];
                    self.add_use(input, owner, Access::identity(self.rank(input)));
                }
                Op::Block { .. } => {
                    for (i, &input) in node.inputs.iter().enumerate() {
                        let access = Access::identity(self.rank(input));
                        self.add_use(input, Owner::Input(number, i), access);
                    }
                }
                Op::Concat { axis, offsets } => {
                    for (&input, &offset) in node.inputs.iter().zip(offsets.iter()) {
                        let access = Access::identity(self.rank(input)).delayed(*axis, offset);
                        self.add_use(input, Owner::Node(number), access);
                    }
                }
                Op::Source(source) => self.made[number] = self.should_be_read_apart(number, source),
            }
            if matches!(node.expr.op(), Op::Fold { .. } | Op::Block { .. } | Op::Concat { .. }) {
                self.made[number] = true;
            }
        }
    }

    /// The grid of an owner's units, and, of a block function, what they reach of the input.
    fn owner_grid(&self, owner: Owner) -> (&Grid, Option<Reach>) {
        match owner {
            Owner::Root(root) => (&self.roots[root].1.grid, None),
            Owner::Group(group) => (self.groups[group].visited(), None),
            Owner::Node(node) => (&self.meta(node).grid, None),
            Owner::Input(node, input) => (&self.meta(node).grid, Some(self.reach(node, input))),
        }
    }

    /// What the blocks of a function reach of one of its inputs.
    fn reach(&self, node: usize, input: usize) -> Reach {
        let Op::Block { needs, .. } = self.nodes[node].expr.op() else {
            unreachable!("a block function")
        };
        let grid = self.meta(self.nodes[node].inputs[input]).grid.clone();
        Reach { needs: needs[input].clone(), grid }
    }

    /// Whether tasks that read the source themselves would decode much more than a stage that
    /// reads each of its chunks once. Elements that lie as they are, more of them than fit in
    /// memory, are read again rather than kept: they would have to leave it in between.
    fn should_be_read_apart(&self, number: usize, source: &Arc<dyn ChunkSource>) -> bool {
        let grid = &source.meta().grid;
        let (mut inline, mut worst, mut once) = (0.0f64, 0.0f64, 0.0f64);
        let mut touched: Option<Region> = None;
        for (owner, access) in &self.uses[number] {
            let (blocks, reach) = self.owner_grid(*owner);
            let read = reach.as_ref().map_or(blocks, |reach| &reach.grid);
            if blocks.is_empty() || read.is_empty() || grid.is_empty() {
                continue;
            }
            let whole = Region::whole(&read.shape());
            // A part of a concatenation reads its own stretch of it alone.
            let within = part_of_output(access, &whole, &grid.shape());
            if within.is_empty() {
                continue;
            }
            let reading = |within: &Region| match &reach {
                Some(reach) => reach.needs.readers(&reach.grid, blocks, within),
                None => Some(blocks.covering(within)),
            };
            let Some(units) = reading(&within) else { continue };
            let read_by = |index: Dims| match &reach {
                Some(reach) => {
                    let shape = Dims::from_elem(1, index.len());
                    reach.needs.region(&reach.grid, blocks, &Region { start: index, shape })
                }
                None => blocks.region(&index),
            };
            let sample = |at: u64, of: u64| {
                let index: Dims = units
                    .start
                    .iter()
                    .zip(&units.shape)
                    .map(|(start, len)| start + (len - 1) * at / of)
                    .collect();
                let region = read_by(index).intersection(&within);
                region.map_or(0, |region| effort(&**source, &access.region(&region)))
            };
            let samples = [sample(0, 2), sample(1, 2), sample(2, 2)];
            let mean = samples.iter().sum::<u64>() as f64 / 3.0;
            let all = mean * units.volume() as f64;
            inline += all;
            let demanded = access.region(&within).volume() * source.meta().dtype.size() as u64;
            worst = worst.max(all / demanded.max(1) as f64);
            let region = access.region(&within);
            let union = match touched.take() {
                None => region,
                Some(other) => hull(&other, &region),
            };
            touched = Some(union);
        }
        if let Some(region) = touched {
            let chunks = grid.covering(&region);
            let first = source.cost(&grid.region(&chunks.start)).decoded;
            once += first as f64 * chunks.volume() as f64;
        }
        let plain = source.storage().codec.is_empty();
        if plain && once > self.means.arena as f64 / 2.0 && worst <= AMPLIFICATION {
            return false;
        }
        inline > AMPLIFICATION * once
    }

    fn new_port(&mut self, stage: StageId, holds: Holds) -> PortId {
        self.plan.ports.push(Port { stage, holds, readers: Vec::new(), kept: false, slot: 0 });
        self.plan.ports.len() as PortId - 1
    }

    fn new_stage(
        &mut self,
        name: String,
        origin: &'static Location<'static>,
        grid: Grid,
    ) -> StageId {
        let demanded = Region::whole(&grid.counts());
        self.plan.stages.push(Stage {
            name,
            origin,
            work: Work::Map { axis: 0, parts: Vec::new() },
            units: grid.len(),
            grid,
            batch: 1,
            demanded,
            inputs: Vec::new(),
            ports: SmallVec::new(),
            root: None,
            aligned: false,
        });
        self.plan.stages.len() as StageId - 1
    }

    /// Numbers for the stages and ports of all nodes that have some.
    fn allocate(&mut self) {
        let nodes = self.nodes;
        for (number, node) in nodes.iter().enumerate() {
            let feed = match node.expr.op() {
                Op::Source(source) if !self.made[number] => Feed::Source(source.clone()),
                Op::Fold { .. } | Op::View(_) | Op::Rechunk | Op::Constant(_) => continue,
                Op::Apply(_) if !self.made[number] => continue,
                Op::Source(_) | Op::Apply(_) | Op::Concat { .. } | Op::Block { .. } => {
                    let meta = self.meta(number);
                    let (grid, dtype) = (meta.grid.clone(), meta.dtype);
                    let stage = self.new_stage(String::new(), node.expr.origin(), grid.clone());
                    let port = self.new_port(stage, Holds::Blocks { grid, dtype });
                    self.plan.stages[stage as usize].ports = smallvec![port];
                    Feed::Port(port)
                }
            };
            self.feeds.insert(number, feed);
        }
        for group in 0..self.groups.len() {
            self.allocate_group(group);
        }
    }

    /// The stages and ports of folds that are visited together: the visit, and a stage for
    /// each further level of each fold.
    fn allocate_group(&mut self, group: usize) {
        let members = self.groups[group].folds.clone();
        let grid = self.groups[group].visited().clone();
        let origin = self.nodes[members[0]].expr.origin();
        let visit = self.new_stage(String::new(), origin, grid);
        let mut folds = Vec::new();
        let mut programs_outputs: Vec<usize> = Vec::new();
        for number in members {
            let Op::Fold { fold, .. } = self.nodes[number].expr.op() else {
                unreachable!("a fold")
            };
            let fold = fold.clone();
            let geometry = self.geometry(number);
            // Whole chunks settle it, and so the bits.
            let chain = FoldPlan::is_chained(&*fold, &geometry);
            let geometry = match &self.groups[group].pieces {
                Some(pieces) => geometry.in_pieces(pieces),
                None => geometry,
            };
            let max_count = geometry.max_count();
            let levels = FoldPlan::levels(max_count).max(u32::from(chain));
            let first = u32::from(chain);
            // Ports first, so that the plan can name them; what they hold names the plan.
            let base = self.plan.ports.len() as PortId;
            let ports: Vec<PortId> = (0..levels - first + 1).map(|level| base + level).collect();
            let input = self.nodes[number].inputs[0];
            let output =
                programs_outputs.iter().position(|&node| node == input).unwrap_or_else(|| {
                    programs_outputs.push(input);
                    programs_outputs.len() - 1
                });
            let even = geometry.bins.iter().zip(geometry.chunks.axes()).all(|(&bin, axis)| {
                axis.regular_chunk()
                    .is_some_and(|chunk| bin <= chunk || axis.len().is_multiple_of(chunk))
            });
            let uniform = (even && !geometry.chunks.is_empty()).then(|| geometry.elements_of(0));
            let fold =
                Arc::new(FoldPlan { fold, geometry, max_count, chain, ports, output, uniform });
            for level in first..=levels {
                let stage = if level == first {
                    visit
                } else {
                    let units = fold.units(level);
                    let name = format!("combine {}", fold.fold.name());
                    let stage =
                        self.new_stage(name, self.nodes[number].expr.origin(), Grid::new([]));
                    let this = &mut self.plan.stages[stage as usize];
                    this.units = units;
                    this.work = Work::Combine { fold: fold.clone(), level };
                    stage
                };
                let port = self.new_port(stage, Holds::Fold { plan: fold.clone(), level });
                self.plan.stages[stage as usize].ports.push(port);
            }
            self.feeds.insert(number, Feed::Port(fold.port(levels)));
            folds.push(fold);
        }
        self.plan.stages[visit as usize].work = Work::Visit { program: Program::default(), folds };
    }

    /// The work and inputs of every stage, now that all can be named; and the roots' stages.
    fn build(&mut self) {
        let nodes = self.nodes;
        for (number, node) in nodes.iter().enumerate() {
            let Some(&Feed::Port(port)) = self.feeds.get(&number) else { continue };
            let stage = self.plan.ports[port as usize].stage;
            let rank = self.rank(number);
            let identity = Access::identity(rank);
            let mut inputs = Vec::new();
            let (name, work) = match node.expr.op() {
                Op::Source(source) => {
                    (format!("read {}", source.storage().format), Work::Read(source.clone()))
                }
                Op::Apply(_) => {
                    let program = self.compile_node(number, &mut inputs);
                    (program.names(), single(program))
                }
                Op::Concat { axis, offsets } => {
                    let mut parts = Vec::new();
                    for (part, &input) in node.inputs.iter().enumerate() {
                        let (from, to) = (offsets[part], offsets[part + 1]);
                        if from == to {
                            continue;
                        }
                        let access = identity.delayed(*axis, from);
                        let program = self.compile(&[(input, access)], &mut inputs);
                        parts.push(Part { from, to, program });
                    }
                    ("concatenate".to_owned(), Work::Map { axis: *axis, parts })
                }
                Op::Block { kernel, .. } => {
                    let reach = (0..node.inputs.len()).map(|i| self.reach(number, i)).collect();
                    for &input in &node.inputs {
                        let (leaf, access) =
                            self.below_views(input, Access::identity(self.rank(input)));
                        let feed = self.feed_or_constant(leaf);
                        inputs.push(Input { feed, access, dtype: self.meta(leaf).dtype });
                    }
                    (kernel.name().into_owned(), Work::Block { kernel: kernel.clone(), reach })
                }
                Op::Fold { .. } => continue,
                Op::View(_) | Op::Rechunk | Op::Constant(_) => unreachable!("never has a stage"),
            };
            let this = &mut self.plan.stages[stage as usize];
            (this.name, this.work, this.inputs) = (name, work, inputs);
        }
        for group in 0..self.groups.len() {
            let folds = self.groups[group].folds.clone();
            let mut targets: Vec<(usize, Access)> = Vec::new();
            for &fold in &folds {
                let input = nodes[fold].inputs[0];
                if !targets.iter().any(|(node, _)| *node == input) {
                    targets.push((input, Access::identity(self.rank(input))));
                }
            }
            let mut inputs = Vec::new();
            let compiled = self.compile(&targets, &mut inputs);
            let Feed::Port(port) = self.feeds[&folds[0]] else { unreachable!("folds have ports") };
            let Holds::Fold { plan, .. } = &self.plan.ports[port as usize].holds else { continue };
            let visit = self.plan.ports[plan.ports[0] as usize].stage;
            let this = &mut self.plan.stages[visit as usize];
            this.inputs = inputs;
            if let Work::Visit { program, folds } = &mut this.work {
                let names: Vec<_> = folds.iter().map(|fold| fold.fold.name()).collect();
                let work = compiled.names();
                this.name = format!(
                    "{work}{}{}",
                    if work.is_empty() { "" } else { " → " },
                    names.join(" + ")
                );
                *program = compiled;
            }
        }
        for (root, (node, how)) in self.roots.iter().enumerate() {
            let origin = nodes[*node].expr.origin();
            let stage = self.new_stage(String::new(), origin, how.grid.clone());
            let mut inputs = Vec::new();
            let program = self.compile(&[(*node, Access::identity(self.rank(*node)))], &mut inputs);
            if how.kept {
                let holds = Holds::Blocks { grid: how.grid.clone(), dtype: self.meta(*node).dtype };
                let port = self.new_port(stage, holds);
                self.plan.ports[port as usize].kept = true;
                self.plan.stages[stage as usize].ports = smallvec![port];
            }
            let this = &mut self.plan.stages[stage as usize];
            this.name = program.names();
            this.work = single(program);
            this.inputs = inputs;
            this.root = Some(root);
            self.plan.roots.push(stage);
        }
    }
}

/// What reading a region takes, in bytes decoded. Elements that lie scattered in their
/// chunks are fetched in runs, each of which costs about as much as a page.
fn effort(source: &dyn ChunkSource, region: &Region) -> u64 {
    const PAGE: u64 = 4096;
    let decoded = source.cost(region).decoded;
    let meta = source.meta();
    if region.is_empty() || source.storage().files == 0 {
        return decoded;
    }
    let chunk = meta.grid.max_chunk();
    let mut run = meta.dtype.size() as u64;
    for axis in (0..region.rank()).rev() {
        run *= region.shape[axis].min(chunk[axis]);
        if region.shape[axis] < chunk[axis] {
            break;
        }
    }
    let bytes = region.volume() * meta.dtype.size() as u64;
    decoded.max(bytes.div_ceil(run).saturating_mul(run.max(PAGE)))
}

fn single(program: Program) -> Work {
    Work::Map { axis: 0, parts: vec![Part { from: 0, to: u64::MAX, program }] }
}

/// The elements of `whole` whose accesses lie in an array of `shape`.
fn part_of_output(access: &Access, whole: &Region, shape: &[u64]) -> Region {
    let mut part = whole.clone();
    for (axis, view) in access.axes().iter().enumerate() {
        if let AxisView::Along { of, .. } = view {
            let range = access.selects(axis, &(0..shape[axis]), whole.range(*of));
            (part.start[*of], part.shape[*of]) = (range.start, range.end - range.start);
        }
    }
    part
}

/// The smallest box that holds both.
pub(super) fn hull(a: &Region, b: &Region) -> Region {
    let start: Dims = a.start.iter().zip(&b.start).map(|(a, b)| *a.min(b)).collect();
    let shape = (0..a.rank()).map(|i| a.range(i).end.max(b.range(i).end) - start[i]).collect();
    Region { start, shape }
}
