//! The plainest evaluation of an expression that there is: node by node, each as a whole, with
//! no plan, no tasks and no threads. The tests of whole runs take it for their oracle, too.

use freeboard::{
    array::AnyVec,
    expr::{Expr, Op},
    formats::{Cancel, ChunkMut, ChunkView, FileCache, ReadCx, Region, region::Coordinates},
    kernel::{At, BlockCx, Operand as Input, SEGMENT},
};
use smallvec::SmallVec;

/// The elements of an expression.
pub fn evaluate(expr: &Expr) -> AnyVec {
    let meta = expr.meta().expect("no mistake");
    let whole = Region::whole(&meta.shape());
    let mut values = AnyVec::zeroed(meta.dtype, whole.volume() as usize);
    if whole.is_empty() {
        return values;
    }
    let inputs: Vec<AnyVec> = expr.inputs().iter().map(evaluate).collect();
    let shape_of = |input: usize| expr.inputs()[input].meta().unwrap().shape();
    let views: Vec<ChunkView<'_>> = inputs
        .iter()
        .enumerate()
        .map(|(i, input)| ChunkView::new(input.dtype(), input.as_bytes(), &shape_of(i)))
        .collect();
    let mut out = ChunkMut::new(meta.dtype, values.as_bytes_mut(), &whole.shape);
    match expr.op() {
        Op::Source(source) => {
            let mut cx = ReadCx {
                scratch: &mut vec![0; source.cost(&whole).scratch as usize],
                limit: u64::MAX,
                files: &FileCache::default(),
                cancel: &Cancel::default(),
            };
            source.read(&whole, out, &mut cx).unwrap();
        }
        Op::Constant(value) => out.fill(*value),
        Op::Rechunk => out.assign(&views[0]),
        Op::View(access) => {
            out.assign(&access.view(&whole, &views[0], &Region::whole(&shape_of(0))));
        }
        Op::Concat { axis, offsets } => {
            for (i, view) in views.iter().enumerate() {
                let mut region = Region::whole(view.shape());
                region.start[*axis] = offsets[i];
                out.sub(&region).assign(view);
            }
        }
        Op::Apply(kernel) => {
            let constant = |i: usize| matches!(expr.inputs()[i].op(), Op::Constant(_));
            let size = |i: usize| inputs[i].dtype().size();
            let operands: Vec<Input<'_>> = (0..inputs.len())
                .map(|i| match inputs[i].as_bytes() {
                    bytes if constant(i) => Input::One(&bytes[..size(i)]),
                    bytes => Input::Run(bytes),
                })
                .collect();
            kernel.run(&operands, out.as_bytes().unwrap());
        }
        Op::Fold { fold, bins } => {
            for at in Coordinates::of(whole.clone()) {
                let start: Vec<u64> = at.iter().zip(bins).map(|(i, bin)| i * bin).collect();
                let held = views[0].sub(&Region::new(start, bins.clone()));
                let mut row = AnyVec::zeroed(fold.input(), held.len());
                ChunkMut::new(fold.input(), row.as_bytes_mut(), bins).assign(&held);
                let mut words = [0u64; 4];
                let mut state: Vec<&mut [u8]> = words
                    .iter_mut()
                    .zip(fold.state())
                    .map(|(word, dtype)| &mut bytemuck::bytes_of_mut(word)[..dtype.size()])
                    .collect();
                fold.start(&mut state);
                let size = fold.input().size();
                for (part, row) in row.as_bytes().chunks(SEGMENT * size).enumerate() {
                    let seen = (part * SEGMENT) as u64;
                    fold.step(&mut state, row, row.len() / size, At { index: seen, seen });
                }
                let state: Vec<&[u8]> = state.into_iter().map(|part| &*part).collect();
                let one = Region::new(at, vec![1; bins.len()]);
                fold.finish(&state, held.len() as u64, out.sub(&one).as_bytes().unwrap());
            }
        }
        Op::Block { kernel, needs } => {
            for index in (0..meta.grid.len()).map(|i| meta.grid.index_of(i)) {
                let unit = Region::new(&index[..], vec![1; index.len()]);
                let inputs: SmallVec<[Region; 2]> = needs
                    .iter()
                    .zip(expr.inputs())
                    .map(|(needs, input)| {
                        needs.region(&input.meta().unwrap().grid, &meta.grid, &unit)
                    })
                    .collect();
                // Each box in one run, as what was made block by block mostly lies.
                let boxes: Vec<AnyVec> = views
                    .iter()
                    .zip(&inputs)
                    .map(|(view, held)| {
                        let mut values = AnyVec::zeroed(view.dtype(), held.volume() as usize);
                        ChunkMut::new(view.dtype(), values.as_bytes_mut(), &held.shape)
                            .assign(&view.sub(held));
                        values
                    })
                    .collect();
                let view = |(values, held): (_, &Region)| {
                    let values: &AnyVec = values;
                    ChunkView::new(values.dtype(), values.as_bytes(), &held.shape)
                };
                let blocks: Vec<ChunkView<'_>> = boxes.iter().zip(&inputs).map(view).collect();
                let region = meta.grid.region(&index);
                let mut scratch = vec![0; kernel.scratch(&inputs, &region) as usize];
                let cx = BlockCx { index: index.to_vec(), region: region.clone(), inputs };
                let mut made = AnyVec::zeroed(meta.dtype, region.volume() as usize);
                let block = ChunkMut::new(meta.dtype, made.as_bytes_mut(), &region.shape);
                kernel.run(&blocks, block, &mut scratch, &cx).unwrap();
                let made = ChunkView::new(meta.dtype, made.as_bytes(), &region.shape);
                out.sub(&region).assign(&made);
            }
        }
    }
    values
}
