//! Sessions: what owns memory, threads and scratch, and computes.
//!
//! There are no globals: a session is all there is, and dropping it leaves nothing behind.
//! Its `memory` is all that the process may hold, as the operating system counts it. What
//! the arena may take of it is settled before each run: `memory`, less what the process
//! holds beside the arena (at least [`RESERVE`]), less the run's own results.

mod builder;
mod futures;
mod graph;
mod persist;
mod report;
mod resume;
mod turns;

pub use crate::run::Eviction;
pub use builder::Builder;
pub use futures::Future;
pub use report::Report;

use crate::{
    array::{AnyVec, Array, Compute, Kind, Settle, Unsettled},
    error::{Error, ErrorKind, Result},
    event::{Event, Observer},
    expr::Expr,
    memory::{self, Arena, MIB, Spill, format_bytes},
    plan::{Means, Plan, Root, Wanted},
    run::{self, Admission, Collected, Engine, Known, Retry, Target},
    sync::{Mutex, lock},
};
use freeboard_formats::{Cancel, Element, FileCache, Writer};
use futures::Background;
use graph::{Elements, Graph};
use ndarray::ArrayViewMutD;
use persist::Persisted;
use std::{
    sync::{Arc, Weak},
    time::Instant,
};
use turns::Turn;

/// What the process may hold beside the arena, in bytes, before the arena is made smaller for
/// it: code, stacks, the graph, codecs' state, headers, open files, the first records of a run.
pub const RESERVE: u64 = 48 * MIB;

/// The least that an operating system counts, in bytes.
const PAGE: usize = 4096;

/// What computes: memory, threads and scratch.
///
/// One run of arrays at a time has the process's memory: another one, of this session or of another,
/// waits for its end. Functions alone are called beside each other. So a task must not wait for a run, on whatever thread.
#[derive(Debug)]
pub struct Session {
    memory: u64,
    threads: usize,
    arena: Arc<Arena>,
    spill: Arc<Spill>,
    files: Arc<FileCache>,
    known: Arc<Known>,
    observer: Arc<dyn Observer>,
    fuse: bool,
    reproducible: bool,
    eviction: Eviction,
    retry: Retry,
    /// Of the run under way, and those that wait for it.
    cancel: Mutex<Cancel>,
    admission: Arc<Admission>,
    persisted: Arc<Mutex<Vec<Weak<Persisted>>>>,
    background: Background,
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.background.end() {
            return;
        }
        for persisted in lock(&self.persisted).iter().filter_map(Weak::upgrade) {
            persisted.clear();
        }
    }
}

impl Session {
    /// A session to be.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A session with the default memory, threads and scratch.
    ///
    /// # Errors
    /// As for [`Builder::build`].
    pub fn new() -> Result<Session> {
        Session::builder().build()
    }

    /// What the process may hold, in bytes.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// How many threads compute.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Stops the runs that are under way, from any thread: they end with an error that
    /// [`Error::is_cancelled`]. Runs that begin later are not touched.
    pub fn cancel(&self) {
        std::mem::take(&mut *lock(&self.cancel)).cancel();
        self.background.cancel();
    }

    /// Computes arrays and values together: what they share is done once, and each chunk is
    /// read once.
    ///
    /// # Errors
    /// If the expression has a mistake, the work does not fit in memory, or reading fails.
    pub fn compute<C: Compute>(&self, what: C) -> Result<C::Output> {
        // Without a report the kernel need not be asked how much was held.
        self.computed(what, false).map(|(output, _)| output)
    }

    /// [`Session::compute`], and what it took.
    ///
    /// # Errors
    /// As for [`Session::compute`].
    pub fn compute_reported<C: Compute>(&self, what: C) -> Result<(C::Output, Report)> {
        let started = Instant::now();
        let (output, ran) = self.computed(what, true)?;
        Ok((output, self.report(&ran, started)))
    }

    /// `measured`: whether what is held at the most is wanted.
    fn computed<C: Compute>(&self, what: C, measured: bool) -> Result<(C::Output, Ran)> {
        let mut roots = Vec::new();
        what.roots(&mut roots);
        let graph = Graph::of(roots)?;
        let (elements, ran) = self.compute_arrays(&graph.exprs, measured)?;
        let mut results = self.finish(&graph, elements)?.into_iter();
        Ok((what.finish(&mut results)?, ran))
    }

    /// Looks at what has to be looked at before it is an array, such as
    /// [`Array::filter`]: computes the few numbers that its shape depends on.
    ///
    /// # Errors
    /// As for [`Session::compute`].
    pub fn settle<V>(&self, what: Unsettled<V>) -> Result<V> {
        what.settled(self)
    }

    /// The elements of some arrays, and their shapes.
    fn compute_arrays(&self, exprs: &[Expr], measured: bool) -> Result<(Vec<Elements>, Ran)> {
        let metas = exprs
            .iter()
            .map(|expr| expr.meta().map(|meta| (meta.dtype, meta.shape().to_vec())))
            .collect::<Result<Vec<_>>>()?;
        let bytes = results_of(exprs)?;
        self.check_results(bytes)?;
        let mut results: Vec<AnyVec> = Vec::new();
        for (dtype, shape) in &metas {
            results.push(AnyVec::zeroed(*dtype, shape.iter().product::<u64>() as usize));
        }
        let buffers: Vec<&mut [u8]> = results.iter_mut().map(AnyVec::as_bytes_mut).collect();
        let ran = self.compute_roots(exprs, buffers, bytes, measured)?;
        let shapes = metas.into_iter().map(|(_, shape)| shape);
        Ok((results.into_iter().zip(shapes).collect(), ran))
    }

    /// Computes an array into memory of the caller's. As far as the operating system counts it to
    /// the process, it counts to the session's memory.
    ///
    /// # Errors
    /// As for [`Session::compute`]; and if `out` is of another shape or not in C order.
    pub fn compute_into<T: Element<Repr = T> + Kind + bytemuck::Pod>(
        &self,
        array: &Array<T>,
        mut out: ArrayViewMutD<'_, T>,
    ) -> Result<()> {
        let shape = array.expr().meta()?.shape();
        let have: Vec<u64> = out.shape().iter().map(|&n| n as u64).collect();
        if have[..] != shape[..] {
            return Err(Error::new(
                ErrorKind::Expression,
                format!("an array of shape {shape:?} does not fit into one of shape {have:?}"),
            ));
        }
        let Some(elements) = out.as_slice_mut() else {
            return Err(Error::new(
                ErrorKind::Expression,
                "the array to compute into is not in C order",
            ));
        };
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(elements);
        self.check_results(bytes.len() as u64)?;
        // What is not touched yet is not resident, and would not be seen where memory is measured.
        for page in bytes.chunks_mut(PAGE) {
            page[0] = std::hint::black_box(page[0]);
        }
        self.compute_roots(&[array.expr().clone()], vec![bytes], 0, false)?;
        Ok(())
    }

    fn compute_roots(
        &self,
        roots: &[Expr],
        buffers: Vec<&mut [u8]>,
        bytes: u64,
        measured: bool,
    ) -> Result<Ran> {
        if measured {
            memory::reset_peak();
        }
        let peak = || measured.then(memory::peak_resident).flatten();
        if roots.is_empty() {
            // Functions alone: the memory of runs of arrays is not waited for.
            run::refuse_inside_task()?;
            return Ok(Ran { peak: peak(), ..Ran::default() });
        }
        let wanted =
            roots.iter().map(|root| wanted_here(root, false)).collect::<Result<Vec<_>>>()?;
        let run = self.begin(&wanted, bytes)?;
        let targets: Vec<Target<'_>> = wanted
            .iter()
            .zip(buffers)
            .map(|(wanted, buffer)| {
                let dtype = wanted.expr.meta().expect("checked").dtype;
                Target::Collect(Collected::new(dtype, &wanted.root.grid, buffer))
            })
            .collect();
        let counts = self.run(&run, &targets)?;
        // Before another run may begin.
        let peak = peak();
        Ok(Ran { plan: run.plan, counts, peak })
    }

    /// What computing would do, and take, before any of it is done.
    ///
    /// # Errors
    /// If the expression has a mistake.
    pub fn plan<C: Compute>(&self, what: C) -> Result<Plan> {
        let mut roots = Vec::new();
        what.roots(&mut roots);
        let graph = Graph::of(roots)?;
        let roots = &graph.exprs;
        let wanted =
            roots.iter().map(|root| wanted_here(root, false)).collect::<Result<Vec<_>>>()?;
        let bytes = results_of(roots)?;
        self.check_results(bytes)?;
        self.planned(&wanted, bytes).map(|(plan, _)| plan)
    }

    /// What storing would do, and take.
    ///
    /// # Errors
    /// If the expression has a mistake, or the writer cannot write such an array.
    pub fn plan_store<T: Kind>(&self, array: &Array<T>, writer: &dyn Writer) -> Result<Plan> {
        let wanted = [wanted_by(array.expr(), writer)?];
        self.planned(&wanted, 0).map(|(plan, _)| plan)
    }

    /// Writes an array to storage, chunk by chunk; it is visible when it is whole.
    ///
    /// # Errors
    /// If the expression has a mistake, the work does not fit in memory, the output exists
    /// and may not be overwritten, or reading or writing fails. Then nothing is visible, and
    /// an output that was there before still is. What was written by then is kept where a disk
    /// failed or was full, and by a writer that resumes; a store that resumes goes on with it.
    pub fn store<T: Kind>(&self, array: &Array<T>, writer: impl Writer) -> Result<Report> {
        self.store_dyn(array, &writer)
    }

    /// [`Session::store`] for a writer that is chosen at run time.
    ///
    /// # Errors
    /// As for [`Session::store`].
    pub fn store_dyn<T: Kind>(&self, array: &Array<T>, writer: &dyn Writer) -> Result<Report> {
        let started = Instant::now();
        let cancel = lock(&self.cancel).clone();
        memory::reset_peak();
        let wanted = [wanted_by(array.expr(), writer)?];
        // Refused before the output is begun, if it cannot fit.
        drop(self.planned(&wanted, 0)?);
        let sink = writer.create(wanted[0].expr.meta()?)?;
        let done = self.resume(&*sink, array.expr(), writer.path(), &cancel)?;
        let run = Begun { cancel, ..self.begin(&wanted, 0)? };
        let counts = self
            .run(&run, &[Target::Store(sink.clone(), done)])
            .and_then(|counts| {
                sink.seal()?;
                sink.publish()?;
                Ok(counts)
            })
            .map_err(|error| resume::kept(&*sink, error))?;
        let peak = memory::peak_resident();
        Ok(self.report(&Ran { plan: run.plan, counts, peak }, started))
    }

    /// Computes an array and keeps its chunks: in memory while there is room, else on scratch.
    /// What is returned reads them. They are freed when its last handle is dropped, or the session.
    ///
    /// # Errors
    /// As for [`Session::compute`].
    pub fn persist<T: Kind>(&self, array: &Array<T>) -> Result<Array<T>> {
        let expr = array.expr();
        let grid = expr.meta()?.grid.clone();
        let wanted = [wanted_here(expr, true)?];
        let run = self.begin(&wanted, 0)?;
        let engine = self.engine(run.memory, &run.cancel);
        let (mut store, _) = run::run(&engine, &run.plan, &[Target::Keep])?;
        let port = run.plan.stages[run.plan.roots[0] as usize].ports[0];
        let chunks = (0..grid.len())
            .map(|index| store.remove(&crate::plan::Key { port, index }).unwrap_or_default())
            .collect();
        let meta = expr.meta()?.clone();
        let persisted = Arc::new(Persisted::new(meta, chunks, self.spill.clone()));
        lock(&self.persisted).push(Arc::downgrade(&persisted));
        Ok(Array::from_expr(Expr::source(persisted, expr.origin())))
    }

    fn check_results(&self, bytes: u64) -> Result<()> {
        let room = self.memory - RESERVE;
        if bytes < room {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Budget,
            format!(
                "the results take {}, and the memory is {}",
                format_bytes(bytes),
                format_bytes(self.memory)
            ),
        )
        .help("store the array instead of computing it, or give more memory"))
    }

    /// What the process holds beside the arena, in bytes.
    fn beside(&self) -> u64 {
        let arena = self.arena.live() + self.arena.idle();
        let resident = memory::resident().unwrap_or(0).saturating_sub(arena);
        // Some of the reserve is for what the run itself will take.
        RESERVE.max(resident + RESERVE / 4)
    }

    /// The plan of a run with results of `bytes`, which fits, and the arena that it has.
    fn planned(&self, wanted: &[Wanted], bytes: u64) -> Result<(Plan, u64)> {
        let beside = self.beside() + bytes;
        let means = Means {
            arena: self.memory.saturating_sub(beside),
            workers: self.threads,
            fuse: self.fuse,
            reproducible: self.reproducible,
            scratch: self.spill.available(),
        };
        let mut plan = Plan::fitting(wanted, means, beside)?;
        plan.project(self.memory, RESERVE, self.threads);
        Ok((plan, means.arena))
    }

    /// Plans a run, checks that it fits, and waits until it may begin. Results of `bytes`
    /// bytes are not resident yet.
    fn begin(&self, wanted: &[Wanted], bytes: u64) -> Result<Begun> {
        run::refuse_inside_task()?;
        let cancel = lock(&self.cancel).clone();
        let turn = Turn::alone();
        memory::trim_others(&self.arena);
        let (plan, arena) = self.planned(wanted, bytes)?;
        self.arena.resize(arena);
        let comfortable = plan.comfortable(self.threads).saturating_add(plan.records());
        self.make_room(comfortable, arena)?;
        let memory = arena.saturating_sub(self.arena.live());
        let chunks = memory.saturating_sub(plan.records());
        if plan.may_spill(chunks) {
            self.spill.probe(0)?;
            let (most, available) = (plan.most_spilled(chunks), self.spill.available());
            if most > available {
                self.observer.observe(&Event::ScratchSmall {
                    folder: self.spill.dir(),
                    most,
                    available,
                });
            }
        }
        Ok(Begun { plan, memory, cancel, _turn: turn })
    }

    /// Spills persisted chunks, the oldest first, until `room` of `arena` bytes are free, or all of it.
    fn make_room(&self, room: u64, arena: u64) -> Result<()> {
        let room = room.min(arena);
        let mut all = lock(&self.persisted);
        all.retain(|persisted| persisted.strong_count() > 0);
        for persisted in all.iter().filter_map(Weak::upgrade) {
            if self.arena.live() + room <= arena {
                break;
            }
            persisted.spill(self.arena.live() + room - arena)?;
        }
        Ok(())
    }

    /// What a run may use, `memory` bytes of the arena among it.
    fn engine<'a>(&'a self, memory: u64, cancel: &'a Cancel) -> Engine<'a> {
        Engine {
            process: self.memory,
            arena: &self.arena,
            memory,
            spill: &self.spill,
            files: &self.files,
            known: &self.known,
            cancel,
            admission: &self.admission,
            threads: self.threads,
            observer: &*self.observer,
            retry: self.retry,
            eviction: self.eviction,
        }
    }

    fn run(&self, begun: &Begun, targets: &[Target<'_>]) -> Result<run::Counts> {
        let (_, counts) =
            run::run(&self.engine(begun.memory, &begun.cancel), &begun.plan, targets)?;
        Ok(counts)
    }

    fn report(&self, ran: &Ran, started: Instant) -> Report {
        let Ran { plan, counts, peak } = ran;
        let missing = plan.missing_files();
        Report {
            seconds: started.elapsed().as_secs_f64(),
            predicted: plan.totals(),
            read: counts.read,
            reused: counts.reused,
            written: counts.written,
            spilled: counts.spilled_bytes,
            scratch: counts.stored_bytes,
            peak: *peak,
            memory: self.memory,
            missing: missing.iter().map(|files| files.count()).sum(),
            missing_reasons: missing.iter().flat_map(|files| files.reasons()).collect(),
        }
    }
}

impl Settle for Session {
    fn elements(&self, question: &Expr) -> Result<AnyVec> {
        let (elements, _) = self.compute_arrays(std::slice::from_ref(question), false)?;
        let first = elements.into_iter().next().ok_or_else(|| Error::internal("one result"))?;
        Ok(first.0)
    }
}

/// A run that may begin.
struct Begun {
    plan: Plan,
    /// Bytes of the arena that it may give out.
    memory: u64,
    cancel: Cancel,
    _turn: Turn,
}

/// A run that is over.
#[derive(Default)]
struct Ran {
    plan: Plan,
    counts: run::Counts,
    /// The most that the process held, as far as it was measured.
    peak: Option<u64>,
}

/// Bytes of the elements that are handed out.
fn results_of(roots: &[Expr]) -> Result<u64> {
    let bytes = |root: &Expr| root.meta().map(|meta| meta.bytes().unwrap_or(u64::MAX));
    roots.iter().try_fold(0u64, |sum, root| Ok(sum.saturating_add(bytes(root)?)))
}

/// A root whose elements stay with the caller, or, if `kept`, in the store.
fn wanted_here(expr: &Expr, kept: bool) -> Result<Wanted> {
    let grid = expr.meta()?.grid.clone();
    Ok(Wanted { expr: expr.clone(), root: Root { grid, kept, sink_scratch: None } })
}

/// A root whose elements a writer takes, on the grid that it writes.
fn wanted_by(expr: &Expr, writer: &dyn Writer) -> Result<Wanted> {
    let grid = writer.grid(expr.meta()?)?;
    let expr = expr.rechunk(grid.clone(), expr.origin());
    let sink_scratch = Some(writer.scratch(expr.meta()?)?);
    Ok(Wanted { expr, root: Root { grid, kept: false, sink_scratch } })
}
