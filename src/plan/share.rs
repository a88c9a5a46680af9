//! The first pass: equal nodes become one.
//!
//! Nodes are listed inputs first. Two nodes are equal if they do the same to the same
//! inputs on the same grid; what a closure does is only equal to itself.

use crate::{
    error::Result,
    expr::{Access, Expr, Needs, Op},
    kernel,
};
use freeboard_formats::{DType, Dims, Grid, Scalar};
use smallvec::SmallVec;
use std::{
    borrow::Cow,
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// A node, once.
#[derive(Debug)]
pub(crate) struct Shared {
    pub expr: Expr,
    /// The numbers of the nodes that it takes its inputs from.
    pub inputs: SmallVec<[usize; 2]>,
}

#[derive(PartialEq, Eq, Hash)]
enum Kind {
    Source(usize),
    Constant(u64, DType),
    View(Access, Dims),
    Concat(usize),
    Rechunk,
    Named(Cow<'static, str>, SmallVec<[(u64, DType); 2]>, DType, Dims),
    Block(Cow<'static, str>, SmallVec<[(u64, DType); 2]>, DType, Arc<[Needs]>),
    Unnamed(usize),
}

#[derive(PartialEq, Eq, Hash)]
struct Identity {
    kind: Kind,
    inputs: SmallVec<[usize; 2]>,
    /// The grid, of nodes whose inputs do not tell it.
    grid: Option<Grid>,
}

fn bits(scalars: &[Scalar]) -> SmallVec<[(u64, DType); 2]> {
    scalars.iter().map(|s| (u64::from_ne_bytes(s.bytes().0), s.dtype())).collect()
}

fn identity(expr: &Expr, inputs: &SmallVec<[usize; 2]>) -> Identity {
    let grid = || expr.meta().ok().map(|meta| meta.grid.clone());
    let (kind, grid) = match expr.op() {
        Op::Source(source) => (Kind::Source(Arc::as_ptr(source) as *const u8 as usize), None),
        Op::Constant(value) => (Kind::Constant(bits(&[*value])[0].0, value.dtype()), grid()),
        Op::View(access) => {
            let shape = expr.meta().map(freeboard_formats::Meta::shape).unwrap_or_default();
            (Kind::View(access.clone(), shape), None)
        }
        Op::Concat { axis, .. } => (Kind::Concat(*axis), None),
        Op::Rechunk => (Kind::Rechunk, grid()),
        Op::Apply(kernel) if kernel.is_named() => (
            Kind::Named(kernel.name(), bits(&kernel.params()), kernel.output(), Dims::new()),
            grid(),
        ),
        Op::Fold { fold, bins } => {
            (Kind::Named(fold.name(), bits(&fold.params()), fold.output(), bins.clone()), None)
        }
        Op::Block { kernel, needs } if kernel.is_named() => {
            let dtype = expr.meta().map_or(DType::Bool, |meta| meta.dtype);
            (Kind::Block(kernel.name(), bits(&kernel.params()), dtype, needs.clone()), grid())
        }
        Op::Apply(_) | Op::Block { .. } => (Kind::Unnamed(expr.address()), None),
    };
    Identity { kind, inputs: inputs.clone(), grid }
}

/// Hashes what a node does to the nodes `inputs`; false if it is a closure, of which nothing
/// is known but its place.
pub(super) fn hash_named(
    expr: &Expr,
    inputs: &SmallVec<[usize; 2]>,
    into: &mut impl Hasher,
) -> bool {
    let identity = identity(expr, inputs);
    match (&identity.kind, expr.op()) {
        (Kind::Unnamed(_), Op::Block { needs, .. }) => needs.hash(into),
        (Kind::Unnamed(_), _) => {}
        _ => identity.hash(into),
    }
    !matches!(identity.kind, Kind::Unnamed(_))
}

/// All nodes below `roots`, each once and inputs first, and the numbers of the roots.
///
/// # Errors
/// The first mistake that was made in any of them.
pub(crate) fn share(roots: &[Expr]) -> Result<(Vec<Shared>, Vec<usize>)> {
    let mut nodes: Vec<Shared> = Vec::new();
    let mut by_address: HashMap<usize, usize> = HashMap::new();
    let mut by_identity: HashMap<Identity, usize> = HashMap::new();
    let mut stack: Vec<(&Expr, usize)> = Vec::new();
    for root in roots {
        stack.push((root, 0));
        while let Some((expr, next)) = stack.pop() {
            if by_address.contains_key(&expr.address()) {
                continue;
            }
            expr.meta()?;
            if let Some(input) = expr.inputs().get(next) {
                stack.push((expr, next + 1));
                stack.push((input, 0));
                continue;
            }
            let inputs = expr.inputs().iter().map(|input| by_address[&input.address()]).collect();
            let number = *by_identity.entry(identity(expr, &inputs)).or_insert(nodes.len());
            if number == nodes.len() {
                nodes.push(Shared { expr: expr.clone(), inputs });
            }
            by_address.insert(expr.address(), number);
        }
    }
    let roots = roots.iter().map(|root| by_address[&root.address()]).collect();
    Ok((nodes, roots))
}

/// Axes up to this length are folded in the order of their elements where that is asked for: all
/// of a chain is unfolded before its first chunk is read, and it has at most so many.
const LONGEST_CHAIN: u64 = 1 << 14;

/// Makes a fold one whose bits do not depend on the chunks: along one axis outside others the
/// elements come in their order, else the fold is one that they may come to in any.
pub(super) fn make_reproducible(node: &mut Shared) {
    let Op::Fold { fold, bins } = node.expr.op() else { return };
    let (Some(free), Ok(input)) = (fold.reproducible(), node.expr.inputs()[0].meta()) else {
        return;
    };
    let shape = input.shape();
    let mut folded = (0..bins.len()).filter(|&axis| bins[axis] > 1);
    let is_outside = match (folded.next(), folded.next()) {
        (Some(axis), None) => {
            bins[axis] <= LONGEST_CHAIN && shape[axis + 1..].iter().any(|&len| len > 1)
        }
        _ => false,
    };
    let fold = if is_outside { kernel::in_order(fold.clone()) } else { free };
    node.expr = node.expr.with_fold(fold);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Unary, unary};
    use std::panic::Location;

    #[test]
    fn equal_nodes_are_one() {
        let here = Location::caller();
        let x = Expr::constant(Scalar::F64(2.0), Grid::whole(&[3]), here);
        let make = |op| Expr::apply(unary(op, DType::F64), &[&x], here);
        let (nodes, roots) =
            share(&[make(Unary::Sqrt), make(Unary::Sqrt), make(Unary::Exp)]).unwrap();
        assert_eq!(nodes.len(), 3);
        assert_eq!(roots[0], roots[1]);
        assert_ne!(roots[0], roots[2]);
    }
}
