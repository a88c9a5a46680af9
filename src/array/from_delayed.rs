//! `from_delayed`: arrays whose blocks delayed functions make; and the other way, the blocks of an array as
//! delayed values.
//!
//! A block is a task of the array's own plan: it calls the functions below its value, one after the other,
//! and what it made is stored, spilled and freed as any block is. Values that several blocks need are made by the first
//! of them, and kept while the array lives. Arrays that functions are called with are
//! inputs of all blocks.

use super::{AnyVec, Array, Chunks, Kind, Line, kept, mistake, put};
use crate::{
    delayed::{Delayed, Order, Output, UNDECLARED, Value, Work, owned},
    error::Result,
    expr::{Expr, Need, Needs},
    kernel::{BlockCx, BlockKernel},
};
use freeboard_formats::{ChunkMut, ChunkView, DType, Element, Grid, Meta, Region, Scalar};
use ndarray::Dimension;
use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    marker::PhantomData,
    panic::Location,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Makes each block by calling what is delayed.
struct Called<T, D> {
    order: Order,
    /// The values of tasks that several blocks need, by number.
    shared: HashMap<u32, Mutex<Option<Value>>>,
    /// Of each task, how often it is an input.
    consumers: Vec<u32>,
    /// The input that holds the elements of a task that is an array.
    arrays: HashMap<u32, usize>,
    /// The blocks, to find the number of one.
    grid: Grid,
    types: PhantomData<fn() -> (T, D)>,
}

impl<T, D> fmt::Debug for Called<T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from_delayed of {} calls", self.order.tasks().len())
    }
}

/// A task that is being called: its inputs' values so far, and where its own is to be kept.
struct Frame<'a> {
    task: u32,
    values: Vec<Value>,
    shared: Option<MutexGuard<'a, Option<Value>>>,
}

impl<T, D> Called<T, D> {
    fn new(order: Order, grid: &Grid) -> Called<T, D> {
        let mut consumers = vec![0; order.tasks().len()];
        order.inputs().iter().for_each(|&input| consumers[input as usize] += 1);
        // The block that comes upon a task first owns it; what another comes upon is shared, and
        // what is below that only through it.
        let mut owners: Vec<Option<usize>> = vec![None; order.tasks().len()];
        let mut shared: HashMap<u32, Mutex<Option<Value>>> = HashMap::new();
        for (block, &root) in order.roots().iter().enumerate() {
            let mut stack = vec![root];
            while let Some(task) = stack.pop() {
                match owners[task as usize] {
                    Some(owner) if owner == block => {}
                    Some(_) => {
                        shared.entry(task).or_default();
                    }
                    None => {
                        owners[task as usize] = Some(block);
                        stack.extend(order.inputs_of(task));
                    }
                }
            }
        }
        // What is below a shared value, and needed again, may be come upon by any block.
        let mut below = vec![false; order.tasks().len()];
        for task in (0..order.tasks().len()).rev() {
            if below[task] || shared.contains_key(&(task as u32)) {
                for &input in order.inputs_of(task as u32) {
                    below[input as usize] = true;
                    if consumers[input as usize] > 1 {
                        shared.entry(input).or_default();
                    }
                }
            }
        }
        let arrays = order.arrays().enumerate().map(|(input, (task, ..))| (task, input)).collect();
        Called { order, shared, consumers, arrays, grid: grid.clone(), types: PhantomData }
    }

    /// A place for the value of a task, if it is shared; locked until it is made. Tasks are locked
    /// before their inputs, so no two wait for each other.
    fn lock(&self, task: u32) -> Option<MutexGuard<'_, Option<Value>>> {
        let place = self.shared.get(&task)?;
        Some(place.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The value of one task, all of whose inputs have theirs.
    fn call(
        &self,
        task: u32,
        values: Vec<Value>,
        inputs: &[ChunkView<'_>],
    ) -> Result<Value, String> {
        let of = &self.order.tasks()[task as usize];
        match of.work() {
            Work::Given(value) => Ok(value.clone()),
            Work::Call(function) => function(&mut values.into_iter())
                .map_err(|text| format!("`{}` at {} failed: {text}", of.name(), of.origin())),
            Work::Array(_, take) => {
                let input = self.arrays.get(&task).and_then(|&input| inputs.get(input));
                let input = input.ok_or("an array without its elements")?;
                let mut elements = AnyVec::zeroed(input.dtype(), input.len());
                input.copy_run(0, elements.as_bytes_mut());
                take(elements, input.shape()).map_err(|error| error.to_string())
            }
        }
    }

    /// The value of `root`, and of all that it needs before.
    fn value(&self, root: u32, inputs: &[ChunkView<'_>]) -> Result<Value, String> {
        let mut shared = self.lock(root);
        if let Some(value) = shared.as_mut().and_then(|place| place.clone()) {
            return Ok(value);
        }
        // Values that the block itself needs again, and how often.
        let mut again: HashMap<u32, (Value, u32)> = HashMap::new();
        let mut stack = vec![Frame { task: root, values: Vec::new(), shared }];
        loop {
            let Some(frame) = stack.last_mut() else { return Err("a call without a value".into()) };
            if let Some(&input) = self.order.inputs_of(frame.task).get(frame.values.len()) {
                if let Some((value, left)) = again.get_mut(&input) {
                    frame.values.push(value.clone());
                    *left -= 1;
                    if *left == 0 {
                        again.remove(&input);
                    }
                    continue;
                }
                let shared = self.lock(input);
                match shared.as_ref().and_then(|place| (**place).clone()) {
                    Some(value) => frame.values.push(value),
                    None => stack.push(Frame { task: input, values: Vec::new(), shared }),
                }
                continue;
            }
            let Some(Frame { task, values, shared }) = stack.pop() else { continue };
            let value = self.call(task, values, inputs)?;
            match shared {
                Some(mut place) => *place = Some(value.clone()),
                None if self.consumers[task as usize] > 1 => {
                    again.insert(task, (value.clone(), self.consumers[task as usize] - 1));
                }
                None => {}
            }
            match stack.last_mut() {
                Some(consumer) => consumer.values.push(value),
                None => return Ok(value),
            }
        }
    }
}

impl<T: Element, D: Dimension + 'static> BlockKernel for Called<T, D> {
    fn name(&self) -> Cow<'static, str> {
        "from_delayed".into()
    }

    fn scratch(&self, inputs: &[Region], output: &Region) -> u64 {
        let declared = self.order.tasks().iter().map(|task| task.declared().unwrap_or(UNDECLARED));
        let made = output.volume().saturating_mul(T::DTYPE.size() as u64);
        let arrays = self.order.arrays().zip(inputs).map(|((_, expr, _), region)| {
            let size = expr.meta().map_or(8, |meta| meta.dtype.size() as u64);
            region.volume().saturating_mul(size)
        });
        arrays.fold(made.saturating_add(declared.max().unwrap_or(0)), u64::saturating_add)
    }

    fn run(
        &self,
        inputs: &[ChunkView<'_>],
        mut out: ChunkMut<'_>,
        _: &mut [u8],
        cx: &BlockCx,
    ) -> Result<(), String> {
        let block = self.grid.linear_of(&cx.index) as usize;
        let root = *self.order.roots().get(block).ok_or("a block without a value")?;
        let value = owned::<ndarray::Array<T, D>>(self.value(root, inputs)?);
        put(&value.ok_or("a value of another type than its handle's")?.into_dyn().view(), &mut out)
    }
}

/// An array of which each block is a delayed value: one value for each, in C order, and the
/// lengths of all blocks along each axis.
///
/// Functions are called when the array is computed, by its tasks; a block is taken to need the most that any of
/// them was [declared](Delayed::bytes) to, beside itself. Values that several blocks need are made once, and kept
/// while the array lives. A value of another shape ends the run with an error that names this line.
/// ```
/// use freeboard::{Delay, Session, array::from_delayed};
/// use ndarray::Array2;
///
/// let load = |number: usize| Array2::from_elem((2, 3), number as f32);
/// let parts = (0..4).map(|number| load.delay((number,)));
/// let x = from_delayed(parts, [vec![2; 4], vec![3]]);
/// assert_eq!(x.shape()?, [8, 3]);
/// let session = Session::builder().memory("128MiB").build()?;
/// assert_eq!(session.compute(x.sum(..).item())?, 36.0);
/// # Ok::<(), freeboard::Error>(())
/// ```
#[track_caller]
pub fn from_delayed<T, D>(
    values: impl IntoIterator<Item = Delayed<ndarray::Array<T, D>>>,
    blocks: impl IntoIterator<Item = impl Into<Vec<u64>>>,
) -> Array<T>
where
    T: Element + Kind,
    D: Dimension + 'static,
{
    let at = Location::caller();
    let tasks: Vec<_> = values.into_iter().map(|value| value.task().clone()).collect();
    let blocks: Vec<Vec<u64>> = blocks.into_iter().map(Into::into).collect();
    Array::from_expr(kept(at, || {
        let dtype = <T as Element>::DTYPE;
        let grid = cut(&blocks, dtype, at)?;
        if grid.len() != tasks.len() as u64 {
            let message = format!("{} values for {} blocks", tasks.len(), grid.len());
            return Err(mistake(at)(message));
        }
        if tasks.is_empty() || grid.shape().contains(&0) {
            return Ok(Expr::constant(Scalar::zero(dtype), grid, at));
        }
        let order = Order::below(&tasks)?;
        let whole = |expr: &Expr| -> Result<(Expr, Needs)> {
            let rank = expr.meta()?.grid.rank();
            Ok((expr.clone(), Needs::new(vec![Need::All; rank])))
        };
        let inputs = order.arrays().map(|(_, expr, _)| whole(expr)).collect::<Result<Vec<_>>>()?;
        let kernel = Called::<T, D>::new(order, &grid);
        Ok(Expr::block(Arc::new(kernel), inputs, Meta::new(dtype, grid), at))
    }))
}

/// The grid of blocks of these lengths.
fn cut(blocks: &[Vec<u64>], dtype: DType, at: Line) -> Result<Grid> {
    let len = |sizes: &Vec<u64>| sizes.iter().try_fold(0u64, |sum, &size| sum.checked_add(size));
    let shape: Option<Vec<u64>> = blocks.iter().map(len).collect();
    let shape = shape.filter(|shape| freeboard_formats::region::checked_volume(shape).is_some());
    let shape = shape.ok_or_else(|| mistake(at)("blocks of too many elements".into()))?;
    let whole = Meta::new(dtype, Grid::whole(&shape));
    Chunks::exact(blocks.to_vec()).grid(&whole).map_err(mistake(at))
}

impl<T: Kind> Array<T> {
    /// The blocks as delayed values, in C order: for functions that are called later with each.
    /// ```
    /// use freeboard::{Session, array::ones};
    ///
    /// let parts = ones::<f32>([4, 6]).rechunk([2, 3]).to_delayed();
    /// let sums: Vec<_> = parts.iter().map(|part| part.map(|block| block.sum())).collect();
    /// let session = Session::builder().memory("128MiB").build()?;
    /// assert_eq!(session.compute(&sums)?, [6.0; 4]);
    /// # Ok::<(), freeboard::Error>(())
    /// ```
    #[track_caller]
    pub fn to_delayed(&self) -> Vec<Delayed<T::Output>>
    where
        T::Output: Output,
    {
        match self.meta() {
            // The mistake, where the value would be.
            Err(_) => vec![self.delayed()],
            Ok(meta) => {
                let grid = &meta.grid;
                let block = |number| self.block(&grid.index_of(number)).delayed();
                (0..grid.len()).map(block).collect()
            }
        }
    }
}
