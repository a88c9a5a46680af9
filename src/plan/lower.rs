//! From nodes to stages: what is computed together, and what lies in the store between.
//!
//! Every fold, block function, concatenation and root has a stage. Elementwise nodes,
//! views and rechunks have none: they become part of the programs of the stages that use
//! them, wherever they are used in one way only. A node used in two ways (by two stages, or
//! through two views) gets a stage of its own, so that its work is done once. Folds over the
//! same chunks are one stage, so that each chunk is read once.

use super::{
    Means, Plan,
    geometry::FoldGeometry,
    program::Program,
    share::Shared,
    stage::{Feed, FoldPlan, Holds, Input, Part, Port, PortId, Reach, Stage, StageId, Work},
};
use crate::expr::{Access, Op};
use freeboard_formats::{Dims, Grid, Region};
use smallvec::{SmallVec, smallvec};
use std::{
    collections::{HashMap, HashSet},
    panic::Location,
    sync::Arc,
};

/// How the elements of a root leave the plan.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    /// The grid that they leave in.
    pub grid: Grid,
    /// Whether they stay in the store.
    pub kept: bool,
    /// The bytes of scratch in which a sink stores a block, if one takes them, on this grid and no
    /// other.
    pub sink_scratch: Option<u64>,
}

/// A stage to be, while it is not settled which nodes have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    Root(usize),
    Node(usize),
    Group(usize),
    /// A block function, by one of its inputs.
    Input(usize, usize),
}

/// Folds that are computed together.
pub(super) struct Group {
    pub(super) folds: Vec<usize>,
    pub(super) grid: Grid,
    /// The boxes of the folds that are chained.
    pub(super) chained: Option<Dims>,
    /// The chunks that are visited, where they are pieces of those of `grid`.
    pub(super) pieces: Option<Grid>,
    pub(super) leaves: HashSet<usize>,
}

pub(super) struct Lowering<'a> {
    pub(super) nodes: &'a [Shared],
    pub(super) roots: &'a [(usize, Root)],
    /// The blocks in which each root is computed: of one that is stored, several of its own
    /// may be made together.
    pub(super) root_grids: Vec<Grid>,
    pub(super) uses: Vec<SmallVec<[(Owner, Access); 1]>>,
    pub(super) made: Vec<bool>,
    pub(super) groups: Vec<Group>,
    group_of: HashMap<usize, usize>,
    /// The groups of a depth that visit a leaf, in their order.
    visiting: HashMap<(u32, usize), Vec<usize>>,
    /// All of `uses`, to look one up: a node may have as many as there are nodes.
    used: HashSet<(usize, Owner, Access)>,
    pub(super) feeds: HashMap<usize, Feed>,
    plan: Plan,
    pub(super) means: Means,
}

/// Lays out the stages for `roots`: numbers of `nodes`, and how their elements leave. With
/// `fuse`, elementwise nodes become part of the stages that use them.
pub(crate) fn lower(nodes: &[Shared], roots: &[(usize, Root)], means: Means) -> Plan {
    let mut this = Lowering {
        nodes,
        roots,
        root_grids: roots.iter().map(|(_, root)| root.grid.clone()).collect(),
        uses: vec![SmallVec::new(); nodes.len()],
        made: vec![false; nodes.len()],
        groups: Vec::new(),
        group_of: HashMap::new(),
        visiting: HashMap::new(),
        used: HashSet::new(),
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
    /// Whether a fold over the chunks of `grid`, of these boxes if it is chained, can be
    /// computed in one visit with the folds that are here, where it shares a leaf with them.
    fn fits(&self, grid: &Grid, chained: &Option<Dims>) -> bool {
        let chains = match (&self.chained, chained) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        chains && !self.folds.is_empty() && self.grid == *grid
    }

    /// The chunks that are visited.
    pub(super) fn visited(&self) -> &Grid {
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

    pub(super) fn geometry(&self, fold: usize) -> FoldGeometry {
        let Op::Fold { bins, .. } = self.nodes[fold].expr.op() else { unreachable!("a fold") };
        FoldGeometry {
            chunks: self.meta(self.nodes[fold].inputs[0]).grid.clone(),
            blocks: self.meta(fold).grid.clone(),
            bins: bins.clone(),
        }
    }

    /// Folds of equal depth cannot depend on each other; those over one grid that share a
    /// leaf are visited together. One that shares leaves with several groups joins them all:
    /// of `mean(u²)`, `mean(v²)` and `mean(uv)` the last does.
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
            let (depth, mut leaves) = (depths[number], self.leaves(node.inputs[0]));
            let visiting = leaves.iter().filter_map(|&leaf| self.visiting.get(&(depth, leaf)));
            let mut found: Vec<usize> = visiting.flatten().copied().collect();
            found.sort_unstable();
            found.dedup();
            if !self.means.fuse {
                found.clear();
            }
            // It goes into the first that fits; the others are emptied into that one.
            let grid = geometry.chunks;
            let fits = |group: &Group, chained: &Option<Dims>| group.fits(&grid, chained);
            let first = found.iter().position(|&at| fits(&self.groups[at], &chained));
            let place = first.map_or(self.groups.len(), |first| found[first]);
            if place == self.groups.len() {
                let (folds, leaves) = (Vec::new(), HashSet::new());
                let grid = grid.clone();
                self.groups.push(Group { folds, grid, chained: None, pieces: None, leaves });
            }
            self.groups[place].folds.push(number);
            self.groups[place].chained = self.groups[place].chained.take().or(chained);
            for at in found.into_iter().skip(first.map_or(0, |first| first + 1)) {
                if first.is_some() && fits(&self.groups[at], &self.groups[place].chained) {
                    let other = &mut self.groups[at];
                    let (folds, chained) = (std::mem::take(&mut other.folds), other.chained.take());
                    leaves.extend(std::mem::take(&mut other.leaves));
                    self.groups[place].folds.extend(folds);
                    self.groups[place].chained = self.groups[place].chained.take().or(chained);
                }
            }
            for leaf in leaves {
                if self.groups[place].leaves.insert(leaf) {
                    self.visiting.entry((depth, leaf)).or_default().push(place);
                }
            }
        }
        self.groups.retain(|group| !group.folds.is_empty());
        for (group, number) in self.groups.iter_mut().zip(0..) {
            group.folds.sort_unstable();
            self.group_of.extend(group.folds.iter().map(|&fold| (fold, number)));
        }
    }

    /// The nodes with elements of their own that `node` is computed from, a few hundred at the most.
    fn leaves(&self, node: usize) -> HashSet<usize> {
        let (mut leaves, mut stack, mut looked_at) = (HashSet::new(), vec![node], 0);
        while let Some(node) = stack.pop() {
            looked_at += 1;
            if looked_at > 500 {
                break;
            }
            match self.nodes[node].expr.op() {
                Op::View(_) | Op::Rechunk | Op::Apply(_) => stack.extend(&self.nodes[node].inputs),
                Op::Constant(_) => {}
                Op::Source(_) | Op::Fold { .. } | Op::Block { .. } | Op::Concat { .. } => {
                    leaves.insert(node);
                }
            }
        }
        leaves
    }

    fn add_use(&mut self, node: usize, owner: Owner, access: Access) {
        if self.used.insert((node, owner, access.clone())) {
            self.uses[node].push((owner, access));
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
                Op::Source(source) => {
                    self.widen_root(number, source);
                    self.made[number] = self.should_be_read_apart(number, source);
                }
            }
            if matches!(node.expr.op(), Op::Fold { .. } | Op::Block { .. } | Op::Concat { .. }) {
                self.made[number] = true;
            }
        }
    }

    /// What the blocks of a function reach of one of its inputs.
    pub(super) fn reach(&self, node: usize, input: usize) -> Reach {
        let Op::Block { needs, .. } = self.nodes[node].expr.op() else {
            unreachable!("a block function")
        };
        let grid = self.meta(self.nodes[node].inputs[input]).grid.clone();
        Reach { needs: needs[input].clone(), grid }
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
            walk: None,
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
            let fan_in = FoldPlan::fan_in(&*fold, max_count);
            let levels = FoldPlan::levels(max_count, fan_in).max(u32::from(chain));
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
            let fold = Arc::new(FoldPlan {
                consecutive: geometry.is_consecutive(),
                fold,
                geometry,
                max_count,
                chain,
                fan_in,
                ports,
                output,
                uniform,
            });
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
            let grid = self.root_grids[root].clone();
            let stage = self.new_stage(String::new(), origin, grid);
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

fn single(program: Program) -> Work {
    Work::Map { axis: 0, parts: vec![Part { from: 0, to: u64::MAX, program }] }
}
