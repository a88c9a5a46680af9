//! Arrays to look at: from elements to shades of grey or colours, for pictures in files.
//!
//! All of it is lazy and in bounded memory: the limits between which elements are shown are
//! reductions over the whole array, in the same run as the picture.
//!
//! | file | owns |
//! |---|---|
//! | `shade` | the kernel: an element, two limits, a shade, a colour |
//! | `percentiles` | order statistics of any number of elements, by counting their digits |

mod percentiles;
mod shade;

use crate::{
    array::{Array, Kind, Line, cast, full, kept, mistake},
    error::{Error, ErrorKind, Result},
    expr::{Expr, Need, Needs},
};
use freeboard_formats::{AxisGrid, DType, Dims, Grid, Meta};
use shade::Shade;
use std::{panic::Location, str::FromStr, sync::Arc};

/// Elements of a block that is shaded at a time, about.
const BLOCK: u64 = 1 << 20;

/// Between which elements shades lie; what is below is shown as the least, what is above as the
/// greatest. All are taken over the whole array, of what is neither NaN nor infinite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Limits {
    /// The least element and the greatest.
    #[default]
    MinMax,
    /// Two percentiles, 0 to 100: the elements of those ranks, rounded down (NumPy's method
    /// `lower`), in the precision of `float32`.
    Percent(f64, f64),
    /// Two numbers.
    Between(f64, f64),
}

/// How shades grow between the limits: the function of astropy's stretch of that name, from 0 to
/// 1 on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stretch {
    /// x
    #[default]
    Linear,
    /// √x
    Sqrt,
    /// ln(1000 x + 1) / ln(1001)
    Log,
    /// asinh(10 x) / asinh(10): what is faint beside what is bright.
    Asinh,
}

/// The colours of shades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colormap {
    /// Black to white.
    #[default]
    Gray,
    /// Dark blue over green to yellow.
    Viridis,
    /// Black over red to pale yellow.
    Inferno,
    /// Black over purple to cream.
    Magma,
    /// Blue over red to yellow.
    Plasma,
    /// Blue to yellow, alike for those who do not tell red from green.
    Cividis,
    /// Black to white around the colours.
    Cubehelix,
    /// A rainbow of even steps.
    Turbo,
}

fn refused(message: String, help: &str) -> Error {
    Error::new(ErrorKind::Expression, message).help(help)
}

/// Two numbers with a comma between, the first below the second.
fn two(text: &str) -> Option<(f64, f64)> {
    let (low, high) = text.split_once(',')?;
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let (low, high) = (number(low)?, number(high)?);
    (low < high).then_some((low, high))
}

impl FromStr for Limits {
    type Err = Error;

    /// `minmax`, `percent:1,99`, `-5,200`.
    fn from_str(text: &str) -> Result<Limits> {
        let limits = match (text, text.strip_prefix("percent:")) {
            ("minmax", _) => Some(Limits::MinMax),
            (_, Some(percents)) => two(percents)
                .filter(|(low, high)| *low >= 0.0 && *high <= 100.0)
                .map(|(low, high)| Limits::Percent(low, high)),
            _ => two(text).map(|(low, high)| Limits::Between(low, high)),
        };
        limits.ok_or_else(|| {
            let help = "known are minmax, percent:LOW,HIGH (0 to 100) and LOW,HIGH";
            refused(format!("{text:?} tells no limits of shades"), help)
        })
    }
}

impl FromStr for Stretch {
    type Err = Error;

    /// `linear`, `sqrt`, `log`, `asinh`.
    fn from_str(text: &str) -> Result<Stretch> {
        match text {
            "linear" => Ok(Stretch::Linear),
            "sqrt" => Ok(Stretch::Sqrt),
            "log" => Ok(Stretch::Log),
            "asinh" => Ok(Stretch::Asinh),
            _ => Err(refused(
                format!("{text:?} is no stretch"),
                "known are linear, sqrt, log, asinh",
            )),
        }
    }
}

impl Colormap {
    /// All, by their names.
    const NAMES: [(&str, Colormap); 8] = [
        ("gray", Colormap::Gray),
        ("viridis", Colormap::Viridis),
        ("inferno", Colormap::Inferno),
        ("magma", Colormap::Magma),
        ("plasma", Colormap::Plasma),
        ("cividis", Colormap::Cividis),
        ("cubehelix", Colormap::Cubehelix),
        ("turbo", Colormap::Turbo),
    ];

    /// The colours of 256 shades, each red, green and blue.
    fn colors(self) -> [[u8; 3]; 256] {
        let gradient = match self {
            Colormap::Gray => return std::array::from_fn(|shade| [shade as u8; 3]),
            Colormap::Viridis => colorous::VIRIDIS,
            Colormap::Inferno => colorous::INFERNO,
            Colormap::Magma => colorous::MAGMA,
            Colormap::Plasma => colorous::PLASMA,
            Colormap::Cividis => colorous::CIVIDIS,
            Colormap::Cubehelix => colorous::CUBEHELIX,
            Colormap::Turbo => colorous::TURBO,
        };
        std::array::from_fn(|shade| gradient.eval_rational(shade, 256).into_array())
    }
}

impl FromStr for Colormap {
    type Err = Error;

    /// `gray` (or `grey`), `viridis`, …
    fn from_str(text: &str) -> Result<Colormap> {
        let name = if text == "grey" { "gray" } else { text };
        let found = Colormap::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|&(_, map)| map).ok_or_else(|| {
            let known: Vec<&str> = Colormap::NAMES.iter().map(|(name, _)| *name).collect();
            refused(
                format!("{text:?} is no colour map"),
                &format!("known are {}", known.join(", ")),
            )
        })
    }
}

/// How an array is shown.
///
/// ```
/// use freeboard::{array::linspace, picture::{Colormap, Limits, Picture, Stretch}};
///
/// let x = linspace(0.0, 1.0, 12).reshape([3, 4]);
/// let picture = Picture::new().limits(Limits::Percent(1.0, 99.0)).stretch(Stretch::Asinh);
/// assert_eq!(picture.of(&x).shape()?, [3, 4]);
/// assert_eq!(picture.colormap(Colormap::Viridis).of(&x).shape()?, [3, 4, 3]);
/// # Ok::<(), freeboard::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Picture {
    limits: Limits,
    stretch: Stretch,
    colormap: Colormap,
    nan: [u8; 3],
}

impl Picture {
    /// In shades of grey, linear from the least element to the greatest; NaN is black.
    pub fn new() -> Picture {
        Picture::default()
    }

    /// Between which elements shades lie.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Picture {
        self.limits = limits;
        self
    }

    /// How shades grow between the limits.
    #[must_use]
    pub fn stretch(mut self, stretch: Stretch) -> Picture {
        self.stretch = stretch;
        self
    }

    /// The colours of shades.
    #[must_use]
    pub fn colormap(mut self, colormap: Colormap) -> Picture {
        self.colormap = colormap;
        self
    }

    /// How NaN is shown: red, green, blue.
    #[must_use]
    pub fn nan(mut self, color: [u8; 3]) -> Picture {
        self.nan = color;
        self
    }

    /// Whether it has shades of grey alone, and so no axis of colours.
    fn is_gray(&self) -> bool {
        self.colormap == Colormap::Gray && self.nan.iter().all(|part| *part == self.nan[0])
    }

    /// The picture of an array, or of each of its frames (their limits are one): of the array's
    /// shape where it is grey, else with an axis of red, green and blue behind.
    #[track_caller]
    pub fn of<T: Kind>(&self, array: &Array<T>) -> Array<u8> {
        let at = Location::caller();
        Array::from_expr(kept(at, || {
            let meta = array.meta()?;
            if meta.grid.rank() == 0 {
                return Err(mistake(at)("a picture of an array without axes".to_owned()));
            }
            let (low, high) = self.ends(array.expr(), at)?;
            // What float32 tells apart is more than enough, unless elements are wider.
            let dtype = match meta.dtype.size() {
                8 => DType::F64,
                _ if matches!(meta.dtype, DType::I32 | DType::U32) => DType::F64,
                _ => DType::F32,
            };
            let same = (0..meta.grid.rank()).map(Need::same);
            let inputs = [
                (cast(array.expr(), dtype, at), Needs::new(same)),
                (low, Needs::new([])),
                (high, Needs::new([])),
            ];
            let mut axes = blocks(&meta.grid).axes().to_vec();
            let mut names = meta.axes.clone();
            if !self.is_gray() {
                axes.push(AxisGrid::whole(3));
                names.push("channel".to_owned());
            }
            let mut made = Meta::new(DType::U8, Grid::new(axes));
            made.axes = names;
            Ok(Expr::block(Arc::new(Shade::new(self)), inputs, made, at))
        }))
    }

    /// The limits, as doubles without axes.
    fn ends(&self, expr: &Expr, at: Line) -> Result<(Expr, Expr)> {
        let number = |value: f64| full::<f64>(Dims::new().to_vec(), value).expr().clone();
        match self.limits {
            Limits::Between(low, high) => Ok((number(low), number(high))),
            Limits::Percent(low, high) => percentiles::of(expr, [low, high], at),
            Limits::MinMax => {
                let elements = Array::<f64>::from_expr(cast(expr, DType::F64, at));
                let finite = elements.map(|v: f64| if v.is_finite() { v } else { f64::NAN });
                Ok((finite.nanmin(..).expr().clone(), finite.nanmax(..).expr().clone()))
            }
        }
    }
}

/// The chunks of a grid, the large ones cut.
fn blocks(grid: &Grid) -> Grid {
    let (mut lens, mut left) = (grid.max_chunk(), BLOCK);
    for len in lens.iter_mut().rev() {
        *len = (*len).min(left.max(1)).max(1);
        left /= *len;
    }
    if lens == grid.max_chunk() { grid.clone() } else { Grid::regular(&grid.shape(), &lens) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Session, array::linspace};
    use ndarray::{Array2, array};

    fn session() -> Session {
        Session::builder().memory("512MiB").threads(2).build().unwrap()
    }

    #[test]
    fn what_is_written_is_what_it_says() {
        assert_eq!("minmax".parse::<Limits>().unwrap(), Limits::MinMax);
        assert_eq!("percent:1,99.5".parse::<Limits>().unwrap(), Limits::Percent(1.0, 99.5));
        assert_eq!("-5,200".parse::<Limits>().unwrap(), Limits::Between(-5.0, 200.0));
        for wrong in ["", "1", "2,1", "percent:1", "percent:-1,5", "percent:0,101", "nan,1"] {
            let error = wrong.parse::<Limits>().unwrap_err().to_string();
            assert!(error.contains("known are minmax"), "{error}");
        }
        assert_eq!("log".parse::<Stretch>().unwrap(), Stretch::Log);
        assert!("cube".parse::<Stretch>().unwrap_err().to_string().contains("known are linear"));
        assert_eq!("grey".parse::<Colormap>().unwrap(), Colormap::Gray);
        assert!("jet".parse::<Colormap>().unwrap_err().to_string().contains("viridis, inferno"));
    }

    #[test]
    fn shades_between_the_least_and_the_greatest() {
        let x = array![[f32::NAN, 0.0, 2.0], [f32::INFINITY, 1.0, f32::NEG_INFINITY]];
        let x = Array::from_ndarray(&x);
        let shades = session().compute(&Picture::new().of(&x)).unwrap();
        assert_eq!(shades, array![[0u8, 0, 255], [255, 128, 0]].into_dyn());
        let red = Picture::new().nan([255, 0, 0]).of(&x);
        let red = session().compute(&red).unwrap();
        assert_eq!(red.shape(), [2, 3, 3]);
        assert_eq!(red.as_slice().unwrap()[..6], [255, 0, 0, 0, 0, 0]);
        let flat = Picture::new().of(&Array::from_ndarray(&array![[3.0f64, 3.0], [3.0, f64::NAN]]));
        assert_eq!(session().compute(&flat).unwrap(), Array2::<u8>::zeros((2, 2)).into_dyn());
        let nothing = Picture::new().of(&Array::from_ndarray(&array![[f64::NAN]]));
        assert_eq!(session().compute(&nothing).unwrap(), array![[0u8]].into_dyn());
    }

    #[test]
    fn stretches_as_astropy_has_them() {
        // AsinhStretch(0.1), LogStretch(1000), SqrtStretch() of 0, 0.1, 0.5 and 1.
        let x = linspace(0.0, 1.0, 11).reshape([1, 11]).rechunk([1, 4]);
        let limits = Limits::Between(0.0, 1.0);
        for (stretch, expected) in [
            (Stretch::Linear, [0.0, 0.1, 0.5, 1.0]),
            (Stretch::Sqrt, [0.0, 0.316_227_766, std::f64::consts::FRAC_1_SQRT_2, 1.0]),
            (Stretch::Log, [0.0, 0.668_010_47, 0.899_815_71, 1.0]),
            (Stretch::Asinh, [0.0, 0.293_965_33, 0.771_269_64, 1.0]),
        ] {
            let shades = Picture::new().limits(limits).stretch(stretch).of(&x);
            let shades = session().compute(&shades).unwrap();
            for (at, expected) in [0, 1, 5, 10].into_iter().zip(expected) {
                let expected: f64 = expected;
                assert_eq!(shades[[0, at]], (expected * 255.0).round() as u8, "{stretch:?} {at}");
            }
        }
    }

    #[test]
    fn colours_of_the_ends_are_those_of_matplotlib() {
        let x = linspace(0.0, 1.0, 2).reshape([1, 2]);
        let ends = |map| {
            let shown = session().compute(&Picture::new().colormap(map).of(&x)).unwrap();
            shown.into_raw_vec_and_offset().0
        };
        assert_eq!(ends(Colormap::Viridis), [0x44, 0x01, 0x54, 0xfd, 0xe7, 0x25]);
        assert_eq!(ends(Colormap::Inferno), [0, 0, 4, 0xfc, 0xff, 0xa4]);
    }

    #[test]
    fn chunks_change_nothing() {
        let x = Array2::from_shape_fn((40, 50), |(y, x)| ((y * 7919 + x * 104_729) % 1009) as f32);
        let x = Array::from_ndarray(&x);
        let picture = Picture::new().limits(Limits::Percent(5.0, 90.0)).colormap(Colormap::Turbo);
        let whole = session().compute(&picture.of(&x)).unwrap();
        let cut = session().compute(&picture.of(&x.rechunk([7, 50]))).unwrap();
        assert_eq!(whole, cut);
    }
}
