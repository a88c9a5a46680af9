//! Measurements of labelled regions against the plainest loops, on random grids, whatever is asked
//! for together, and by one and two threads to the bit.

use super::SESSIONS;
use freeboard::{
    Array,
    imaging::{Regions, Table, measure},
};
use ndarray::{Array2, ArrayD};
use proptest::prelude::*;

/// What is measured in one region, element after element.
#[derive(Default)]
struct Plain {
    values: Vec<f64>,
    places: Vec<[i64; 2]>,
}

impl Plain {
    fn of(values: &Array2<i32>, labels: &Array2<i16>, is_in: impl Fn(i16) -> bool) -> Plain {
        let mut plain = Plain::default();
        for ((y, x), &label) in labels.indexed_iter() {
            if is_in(label) {
                plain.values.push(f64::from(values[[y, x]]));
                plain.places.push([y as i64, x as i64]);
            }
        }
        plain
    }

    fn sum(&self) -> f64 {
        self.values.iter().sum()
    }

    fn centre(&self, axis: usize) -> f64 {
        let weighted = self.values.iter().zip(&self.places).map(|(v, at)| v * at[axis] as f64);
        weighted.sum::<f64>() / self.sum()
    }

    fn variance(&self) -> f64 {
        let mean = self.sum() / self.values.len() as f64;
        let squares = self.values.iter().map(|v| (v - mean) * (v - mean));
        squares.sum::<f64>() / self.values.len() as f64
    }

    /// The place of the first element that comes before all others.
    fn first(&self, before: fn(&f64, &f64) -> bool) -> [i64; 2] {
        let mut best = 0;
        for at in 1..self.values.len() {
            if before(&self.values[at], &self.values[best]) {
                best = at;
            }
        }
        self.places.get(best).copied().unwrap_or_default()
    }

    fn bounds(&self, axis: usize) -> [i64; 2] {
        let along = || self.places.iter().map(|at| at[axis]);
        [along().min().unwrap_or(0), along().max().map_or(0, |last| last + 1)]
    }

    fn bin(&self, first: f64, last: f64) -> i64 {
        self.values.iter().filter(|&&v| first <= v && v < last).count() as i64
    }
}

fn near(made: f64, expected: f64) -> bool {
    made.is_nan() && expected.is_nan()
        || made == expected
        || (made - expected).abs() <= 1e-9 * expected.abs().max(1.0)
}

fn check(table: &Table, row: usize, plain: &Plain) {
    let real = |name: &str| table.column::<f64>(name).unwrap();
    let whole = |name: &str| table.column::<i64>(name).unwrap();
    let count = plain.values.len();
    assert_eq!(whole("area")[[row]], count as i64);
    assert_eq!(real("sum")[[row]], plain.sum());
    assert!(near(real("mean")[[row]], plain.sum() / count as f64));
    let variance = plain.variance();
    assert!(near(real("variance")[[row]], variance), "{} {variance}", real("variance")[[row]]);
    assert!(near(real("standard_deviation")[[row]], variance.sqrt()));
    let extremum = |name: &str| f64::from(table.column::<i32>(name).unwrap()[[row]]);
    let fold = |pick: fn(f64, f64) -> f64| plain.values.iter().copied().reduce(pick).unwrap_or(0.0);
    assert_eq!(extremum("minimum"), fold(f64::min));
    assert_eq!(extremum("maximum"), fold(f64::max));
    let pair = |array: ArrayD<i64>| [array[[row, 0]], array[[row, 1]]];
    assert_eq!(pair(whole("minimum_position")), plain.first(|a, b| a < b));
    assert_eq!(pair(whole("maximum_position")), plain.first(|a, b| a > b));
    let centre = real("center_of_mass");
    let boxes = whole("bounding_box");
    for axis in 0..2 {
        assert!(near(centre[[row, axis]], plain.centre(axis)));
        assert_eq!([boxes[[row, axis, 0]], boxes[[row, axis, 1]]], plain.bounds(axis));
    }
    let bins = whole("histogram");
    assert_eq!(bins[[row, 0]], plain.bin(-50.0, 0.5));
    assert_eq!(bins[[row, 1]], plain.bin(0.5, 51.0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn regions_are_measured(
        (rows, columns) in (1usize..30, 1usize..30),
        cells in proptest::collection::vec((-50i32..50, 0i16..7), 900),
        cuts in (1i64..30, 1i64..30),
        wanted in proptest::collection::vec(-1i64..9, 1..9),
        count in 0i64..9,
    ) {
        let at = |place: (usize, usize)| cells[place.0 * columns + place.1];
        let values = Array2::from_shape_fn((rows, columns), |place| at(place).0);
        let labels = Array2::from_shape_fn((rows, columns), |place| at(place).1);
        let x = Array::chunked(&values, [cuts.0, cuts.1]);
        // Cut otherwise than the values.
        let regions = Array::chunked(&labels, [cuts.1, cuts.0]);
        let ask = |which: Regions| {
            let asked = measure(&x, &regions, which).area().sum().mean().variance();
            let asked = asked.standard_deviation().minimum().maximum().minimum_position();
            asked.maximum_position().center_of_mass().bounding_box().histogram(-50.0, 51.0, 2)
        };
        for which in [Regions::from(count), Regions::from(wanted)] {
            let asked = ask(which);
            let table = SESSIONS[0].compute(&asked).unwrap();
            let again = SESSIONS[1].compute(&asked).unwrap();
            prop_assert_eq!(format!("{table:?}"), format!("{again:?}"));
            for (row, &label) in table.labels().iter().enumerate() {
                check(&table, row, &Plain::of(&values, &labels, |own| i64::from(own) == label));
            }
        }
        let all = SESSIONS[0].compute(measure(&x, &regions, Regions::everywhere()).sum()).unwrap();
        let sum = Plain::of(&values, &labels, |_| true).sum();
        prop_assert_eq!(all.column::<f64>("sum").unwrap()[[]], sum);
    }
}

#[test]
fn nan_and_mistakes() {
    let x = Array::chunked(&ndarray::array![1.0f32, f32::NAN, 3.0, 4.0], [2]);
    let labels = Array::chunked(&ndarray::array![1u8, 1, 2, 2], [2]);
    let table = SESSIONS[0].compute(measure(&x, &labels, 2).minimum().maximum()).unwrap();
    let least = table.column::<f32>("minimum").unwrap();
    assert!(least[[0]].is_nan() && least[[1]] == 3.0);
    assert!(table.column::<f32>("maximum").unwrap()[[0]].is_nan());
    let error = table.column::<f32>("mean").unwrap_err().to_string();
    assert_eq!(error, "\"mean\" was not measured, but minimum, maximum");
    let says = |measured: freeboard::imaging::Measurements, text: &str| {
        let error = SESSIONS[0].compute(measured).unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    };
    says(measure(&x, &x, 2).area(), "labels of float32; regions are numbered by integers at ");
    says(
        measure(&x, &labels.slice(freeboard::s![..3]), 2).sum(),
        "shape (3,) does not broadcast to (4,) at ",
    );
    says(measure(&x, &labels, -1).sum(), "-1 regions at ");
    says(
        measure(&x, &labels, 1).histogram(1.0, 0.0, 3),
        "bins from 1 to 0; they must increase at ",
    );
}
