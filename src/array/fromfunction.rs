//! `fromfunction`: arrays whose elements a function makes from their coordinates.

use super::{Array, Kind, Sizes, args::automatic, create::CHUNK, kept, mistake};
use crate::expr::Expr;
use freeboard_formats::{
    ChunkMut, ChunkSource, Dims, Element, Fingerprint, Grid, Meta, ReadCost, ReadCx, Region,
    Result, SourceSpec, Storage,
};
use std::{fmt, marker::PhantomData, panic::Location, sync::Arc};

/// A source that calls a function for each element.
struct FromFunction<T, F> {
    meta: Meta,
    function: Arc<F>,
    types: PhantomData<fn() -> T>,
}

impl<T, F> fmt::Debug for FromFunction<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fromfunction({})", std::any::type_name::<F>())
    }
}

impl<T, F> ChunkSource for FromFunction<T, F>
where
    T: Element,
    F: Fn(&[u64]) -> T + Send + Sync + 'static,
{
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn cost(&self, region: &Region) -> ReadCost {
        ReadCost { bytes: 0, decoded: region.volume() * self.meta.dtype.size() as u64, scratch: 0 }
    }

    fn rechunked(&self, grid: &Grid) -> Option<Arc<dyn ChunkSource>> {
        let meta = Meta { grid: grid.clone(), ..self.meta.clone() };
        Some(Arc::new(FromFunction {
            meta,
            function: self.function.clone(),
            types: PhantomData::<fn() -> T>,
        }))
    }

    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        out.try_for_each_run(|start, run| {
            cx.cancel.check()?;
            let run: &mut [T::Repr] = bytemuck::cast_slice_mut(run);
            let mut at: Dims =
                start.iter().zip(&region.start).map(|(i, start)| i + start).collect();
            for element in run {
                *element = (self.function)(&at).to_repr();
                for axis in (0..at.len()).rev() {
                    at[axis] += 1;
                    if at[axis] < region.range(axis).end {
                        break;
                    }
                    at[axis] = region.start[axis];
                }
            }
            Ok(())
        })
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(Fingerprint::of(format!("{self:?} {:?}", self.meta.shape()).as_bytes()))
    }

    fn is_named(&self) -> bool {
        false
    }

    fn spec(&self) -> SourceSpec {
        SourceSpec::default()
    }

    fn storage(&self) -> Storage {
        Storage { format: "function".into(), ..Storage::default() }
    }
}

/// An array of which each element is `function` of its coordinates:
/// `fromfunction([4, 5], |at| at[0] as f64 * 0.5)`. The function must give the same each time: an
/// element may be made more than once.
#[track_caller]
pub fn fromfunction<T, F>(shape: impl Into<Sizes>, function: F) -> Array<T>
where
    T: Element + Kind,
    F: Fn(&[u64]) -> T + Send + Sync + 'static,
{
    let at = Location::caller();
    let shape = shape.into();
    Array::from_expr(kept(at, || {
        let shape = shape.shape().map_err(mistake(at))?;
        let dtype = <T as Element>::DTYPE;
        let meta = Meta::new(dtype, automatic(&shape, dtype.size() as u64, CHUNK));
        let source =
            FromFunction { meta, function: Arc::new(function), types: PhantomData::<fn() -> T> };
        Ok(Expr::source(Arc::new(source), at))
    }))
}
