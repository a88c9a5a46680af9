//! What there is in labelled regions: areas, sums, means, extrema and where they are, centres of mass,
//! bounding boxes, histograms; as many as are asked for in one pass, as `scipy.ndimage` and
//! `dask_image.ndmeasure` have them.
//!
//! Each block of the image makes a table with a row for each region; tables are joined 16 at a time, row by
//! row (`rows`), and each measurement is made of the last one (`kernels`). So a block is read once
//! whatever is measured, and a task holds a block and a table. The order of additions is fixed by the
//! chunks alone. Where a table is larger than a block, blocks are put together first, up to 64 MiB.

mod kernels;
mod regions;
mod rows;
mod table;

pub use regions::Regions;
pub use table::Table;

use crate::{
    array::{
        Array, Compute, Computed, Kind, Line, Root, broadcast, fitted, joined, kept, mistake,
        rechunked, view,
    },
    error::Result,
    expr::{Access, AxisView, Expr, Need, Needs},
    kernel::BlockKernel,
};
use freeboard_formats::{AxisGrid, DType, Dims, Grid, Meta, Scalar, region::volume};
use kernels::{Finish, Join, Plan, Scan};
use rows::{Layout, Part};
use std::{panic::Location, sync::Arc, vec};

/// Blocks are put together up to so many bytes where tables are larger than they are.
const MOST_BLOCK: u64 = 64 << 20;

/// Rows of about so many bytes are joined by one task.
const STRETCH: u64 = 1 << 20;

/// The most bins of a histogram.
const MOST_BINS: u64 = 1 << 16;

/// Something that can be measured in a region. Of a region without elements sums are 0, means NaN, and
/// extrema and positions 0, as in SciPy; an extremum of elements that are NaN in part is NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// The number of elements (int64).
    Area,
    /// The sum (float64).
    Sum,
    /// The mean (float64).
    Mean,
    /// The mean of the squared differences from the mean (float64).
    Variance,
    /// The square root of the variance (float64).
    StandardDeviation,
    /// The least element, of the values' dtype.
    Minimum,
    /// The greatest element, of the values' dtype.
    Maximum,
    /// The coordinates of the first least element: int64, along a second axis.
    MinimumPosition,
    /// The coordinates of the first greatest element: int64, along a second axis.
    MaximumPosition,
    /// The mean of the coordinates, weighted by the values: float64, along a second axis.
    CentreOfMass,
    /// The first coordinate and the one behind the last, along each axis: int64, `(regions, axes, 2)`.
    /// They are 0 of a region without elements.
    BoundingBox,
    /// How many elements lie in bins of equal width: int64, along a second axis. The last bin has its
    /// upper edge too.
    Histogram {
        /// The lower edge of the first bin.
        first: f64,
        /// The upper edge of the last bin.
        last: f64,
        /// How many there are.
        bins: usize,
    },
}

impl Measure {
    /// The name of the column: SciPy's, or dask-image's.
    pub const fn name(self) -> &'static str {
        match self {
            Measure::Area => "area",
            Measure::Sum => "sum",
            Measure::Mean => "mean",
            Measure::Variance => "variance",
            Measure::StandardDeviation => "standard_deviation",
            Measure::Minimum => "minimum",
            Measure::Maximum => "maximum",
            Measure::MinimumPosition => "minimum_position",
            Measure::MaximumPosition => "maximum_position",
            Measure::CentreOfMass => "center_of_mass",
            Measure::BoundingBox => "bounding_box",
            Measure::Histogram { .. } => "histogram",
        }
    }

    fn parts(self) -> &'static [Part] {
        match self {
            Measure::Area => &[Part::Count],
            Measure::Sum | Measure::Mean => &[Part::Sum],
            Measure::Variance | Measure::StandardDeviation => &[Part::Spread],
            Measure::Minimum | Measure::MinimumPosition => &[Part::Least],
            Measure::Maximum | Measure::MaximumPosition => &[Part::Greatest],
            Measure::CentreOfMass => &[Part::Moments, Part::Sum],
            Measure::BoundingBox => &[Part::Bounds],
            Measure::Histogram { .. } => &[Part::Bins],
        }
    }

    fn dtype(self, values: DType) -> DType {
        match self {
            Measure::Minimum | Measure::Maximum => values,
            Measure::Sum
            | Measure::Mean
            | Measure::Variance
            | Measure::StandardDeviation
            | Measure::CentreOfMass => DType::F64,
            _ => DType::I64,
        }
    }

    /// The lengths of the axes behind that of the regions.
    fn axes(self, rank: u64) -> Dims {
        match self {
            Measure::MinimumPosition | Measure::MaximumPosition | Measure::CentreOfMass => {
                [rank].into_iter().collect()
            }
            Measure::BoundingBox => [rank, 2].into_iter().collect(),
            Measure::Histogram { bins, .. } => [bins as u64].into_iter().collect(),
            _ => Dims::new(),
        }
    }
}

/// What is to be measured in the regions of an image; made by [`measure()`].
///
/// A session computes it to a [`Table`]: all that was asked for in one pass.
#[derive(Clone, Debug)]
pub struct Measurements {
    values: Expr,
    labels: Expr,
    regions: Regions,
    asked: Vec<Measure>,
    at: Line,
}

/// Measures `values` in the regions that `labels`, integers of their shape, number: those from 1 to a
/// count (`3`), those of a list (`[4, 2]`), or one of [`Regions`]' others.
/// ```
/// use freeboard::{Session, array::Array, imaging::{label, measure}};
///
/// let image = ndarray::array![[0.0, 2.0, 2.0, 0.0], [0.0, 5.0, 0.0, 0.0], [0.0, 0.0, 0.0, 7.0]];
/// let image = Array::chunked(&image, [2, 2]);
/// let session = Session::builder().memory("128MiB").build()?;
/// let (labels, count) = label(&image, None);
/// let count = session.compute(count.item())?;
///
/// // One pass over the image, whatever is measured.
/// let spots = measure(&image, &labels, count).area().mean().center_of_mass();
/// let table = session.compute(&spots)?;
/// assert_eq!(table.column::<i64>("area")?.as_slice().unwrap(), [3, 1]);
/// assert_eq!(table.column::<f64>("mean")?.as_slice().unwrap(), [3.0, 7.0]);
/// println!("{table}");
/// # Ok::<(), freeboard::Error>(())
/// ```
#[track_caller]
pub fn measure<T: Kind, L: Kind>(
    values: &Array<T>,
    labels: &Array<L>,
    regions: impl Into<Regions>,
) -> Measurements {
    Measurements {
        values: values.expr().clone(),
        labels: labels.expr().clone(),
        regions: regions.into(),
        asked: Vec::new(),
        at: Location::caller(),
    }
}

macro_rules! builders {
    ($($(#[$doc:meta])* $name:ident $measure:ident;)*) => {
        impl Measurements {$(
            $(#[$doc])*
            #[must_use]
            pub fn $name(self) -> Measurements {
                self.with(Measure::$measure)
            }
        )*}
    };
}

builders! {
    /// And the number of elements.
    area Area;
    /// And the sum.
    sum Sum;
    /// And the mean.
    mean Mean;
    /// And the variance.
    variance Variance;
    /// And the standard deviation.
    standard_deviation StandardDeviation;
    /// And the least element.
    minimum Minimum;
    /// And the greatest element.
    maximum Maximum;
    /// And where the least element is.
    minimum_position MinimumPosition;
    /// And where the greatest element is.
    maximum_position MaximumPosition;
    /// And the centre of mass.
    center_of_mass CentreOfMass;
    /// And the box around the region: `find_objects` of SciPy.
    bounding_box BoundingBox;
}

impl Measurements {
    /// And how many elements lie in each of `bins` of equal width from `first` to `last`.
    #[must_use]
    pub fn histogram(self, first: f64, last: f64, bins: usize) -> Measurements {
        self.with(Measure::Histogram { first, last, bins })
    }

    /// And this.
    #[must_use]
    pub fn with(mut self, measure: Measure) -> Measurements {
        if !self.asked.contains(&measure) {
            self.asked.push(measure);
        }
        self
    }

    /// The columns by their names, each with an element for each region along its first axis, in the order in
    /// which they were asked for. Computed together, they are one pass.
    pub fn columns(&self) -> Vec<(&'static str, Array)> {
        let table = self.table();
        let column = |measure: &Measure| {
            let made = table.clone().and_then(|table| self.column(*measure, table));
            (measure.name(), Array::from_expr(kept(self.at, || made)))
        };
        self.asked.iter().map(column).collect()
    }

    /// What the kernels are told.
    fn plan(&self) -> Result<Plan> {
        let wrong = mistake(self.at);
        let (values, labels) = (self.values.meta()?, self.labels.meta()?);
        if labels.dtype.is_float() {
            let message = format!("labels of {}; regions are numbered by integers", labels.dtype);
            return Err(wrong(message).help("cast them to an integer dtype"));
        }
        self.regions.check().map_err(&wrong)?;
        let mut edges = Vec::new();
        for measure in &self.asked {
            if let Measure::Histogram { first, last, bins } = *measure {
                if !edges.is_empty() {
                    return Err(wrong(
                        "two histograms in one pass; measure one after the other".into(),
                    ));
                }
                if !(first.is_finite() && last.is_finite() && first < last) {
                    return Err(wrong(format!("bins from {first} to {last}; they must increase")));
                }
                if bins == 0 || bins as u64 > MOST_BINS {
                    return Err(wrong(format!("{bins} bins; 1 to {MOST_BINS} can be counted")));
                }
                let step = (last - first) / bins as f64;
                edges.extend((0..bins).map(|i| first + i as f64 * step));
                edges.push(last);
            }
        }
        let parts = self.asked.iter().flat_map(|measure| measure.parts()).copied();
        Ok(Plan {
            layout: Layout::new(parts, values.grid.rank(), edges.len().saturating_sub(1)),
            regions: self.regions.clone(),
            shape: values.shape(),
            values: values.dtype,
            edges: edges.into(),
        })
    }

    /// The rows of all regions, of shape `(rows, words)`.
    fn table(&self) -> Result<(Arc<Plan>, Expr)> {
        let at = self.at;
        let plan = Arc::new(self.plan()?);
        let meta = self.values.meta()?;
        let (shape, rank) = (meta.shape(), meta.grid.rank());
        let (rows, width) = (plan.regions.rows_needed(), plan.layout.width as u64);
        if rows == 0 || shape.contains(&0) {
            let zero = Expr::constant(Scalar::U64(0), Grid::whole(&[rows, width]), at);
            return Ok((plan, zero));
        }
        let whole = [AxisGrid::whole(rows), AxisGrid::whole(width)];
        // Fewer and larger tables, where they would be more than the image.
        let size = meta.dtype.size() as u64;
        let table = rows.saturating_mul(width * 8).min(MOST_BLOCK);
        let grid = match volume(&meta.grid.max_chunk()).saturating_mul(size) < table {
            true => Grid::new(fitted(meta.grid.axes(), table / size)),
            false => meta.grid.clone(),
        };
        let blocks = grid.axes().iter().map(|axis| AxisGrid::regular(axis.count(), 1));
        let made = Grid::new(blocks.chain(whole));
        let mut inputs = vec![(rechunked(&self.values, grid.clone(), at), Needs::blocks(rank))];
        if plan.regions.labelled() {
            let (access, _) =
                broadcast(&self.labels.meta()?.shape(), shape.clone()).map_err(mistake(at))?;
            let labels = match *self.labels.meta()?.shape() == *shape {
                true => self.labels.clone(),
                false => view(&self.labels, access, &shape, at),
            };
            inputs.push((rechunked(&labels, grid, at), Needs::blocks(rank)));
        }
        let parts = Meta::new(DType::U64, made);
        let parts = Expr::block(Arc::new(Scan(plan.clone())), inputs, parts, at);
        // A few rows at a time, so that a task holds no more than those of 16 blocks.
        let stretch = (STRETCH / (width * 8)).clamp(1, rows.max(1));
        let meta = parts.meta()?;
        let mut cuts = meta.grid.axes().to_vec();
        cuts[rank] = AxisGrid::regular(rows, stretch);
        let parts = parts.rechunk(Grid::new(cuts), at);
        let join: Arc<dyn BlockKernel> = Arc::new(Join(plan.clone()));
        let joined = joined(parts, &(0..rank).collect::<Vec<_>>(), &join, at)?;
        let along = (0..2).map(|of| AxisView::Along { of, start: 0, step: 1 });
        let access = Access::new((0..rank).map(|_| AxisView::At(0)).chain(along));
        Ok((plan, view(&joined, access, &[rows, width], at)))
    }

    fn column(&self, measure: Measure, (plan, table): (Arc<Plan>, Expr)) -> Result<Expr> {
        let (regions, rank) = (plan.regions.len(), plan.shape.len() as u64);
        let cuts = &table.meta()?.grid.axes()[0];
        let (cuts, need) = match plan.regions.in_order() {
            true => (cuts.clone(), Need::same(0)),
            false => (AxisGrid::whole(regions), Need::All),
        };
        let grid = [cuts].into_iter().chain(measure.axes(rank).into_iter().map(AxisGrid::whole));
        let made = Meta::new(measure.dtype(plan.values), Grid::new(grid));
        if regions == 0 {
            return Ok(Expr::constant(Scalar::zero(made.dtype), made.grid, self.at));
        }
        let kernel = Arc::new(Finish { plan, measure });
        let column = Expr::block(kernel, [(table, Needs::new([need, Need::All]))], made, self.at);
        if !self.regions.is_one() {
            return Ok(column);
        }
        let shape = column.meta()?.shape();
        let rest = (1..shape.len()).map(|axis| AxisView::Along { of: axis - 1, start: 0, step: 1 });
        let access = Access::new([AxisView::At(0)].into_iter().chain(rest));
        Ok(view(&column, access, &shape[1..], self.at))
    }
}

impl Compute for Measurements {
    type Output = Table;

    fn roots(&self, out: &mut Vec<Root>) {
        self.columns().iter().for_each(|(_, column)| column.roots(out));
    }

    fn finish(&self, results: &mut vec::IntoIter<Computed>) -> Result<Table> {
        let columns =
            self.columns().into_iter().map(|(name, column)| Ok((name, column.finish(results)?)));
        Ok(Table::new(self.regions.labels(), columns.collect::<Result<_>>()?))
    }
}
