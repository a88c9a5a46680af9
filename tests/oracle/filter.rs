//! What has to be looked at before it is an array: elements kept by masks, and distinct values.

use super::{SESSIONS, cut, lazy, numbers, value};
use freeboard::array::{Unique, Unsettled, arange, random};
use ndarray::{Array1, ArrayD, Axis, stack};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn settled<V>(what: Unsettled<V>) -> V {
    SESSIONS[1].settle(what).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn masks_of_all_axes((a, chunk) in cut(), bound in -9.0f64..9.0) {
        let x = lazy(&a, &chunk);
        let mask = x.greater(bound);
        let expected: Array1<f64> = a.iter().copied().filter(|&v| v > bound).collect();
        let kept = settled(x.filter(&mask));
        prop_assert_eq!(value(&kept), expected.clone().into_dyn());
        // Elements that are computed, and a result that is computed with.
        let doubled = settled((&x * 2.0).filter(&mask)) - &kept;
        prop_assert_eq!(value(&doubled), expected.into_dyn());
        if a.ndim() > 0 {
            let turned: Vec<f64> = a.t().iter().copied().filter(|&v| v > bound).collect();
            prop_assert_eq!(value(&settled(x.t().filter(&mask.t()))).into_raw_vec_and_offset().0, turned);
            let at: Vec<i64> = (0..).zip(a.iter()).filter(|(_, v)| **v > bound).map(|(i, _)| i).collect();
            prop_assert_eq!(value(&settled(mask.flatnonzero())).into_raw_vec_and_offset().0, at);
            let places = value(&settled(mask.argwhere()));
            let indexed = a.indexed_iter().filter(|(_, v)| **v > bound);
            let rows: Vec<Vec<i64>> = indexed.map(|(at, _)| ndarray::Dimension::slice(&at).iter().map(|&i| i as i64).collect()).collect();
            prop_assert_eq!(places.outer_iter().map(|row| row.iter().copied().collect::<Vec<i64>>()).collect::<Vec<_>>(), rows);
        }
    }

    #[test]
    fn masks_of_the_first_axis(shape in proptest::collection::vec(1usize..6, 1..4), chunk in proptest::collection::vec(1u64..4, 4), truths: u8, seed: u64) {
        let a = numbers(&shape, seed);
        let keep: Vec<bool> = (0..a.shape()[0]).map(|i| truths >> i & 1 == 1).collect();
        let mask = arange(0i64, a.shape()[0] as i64, 1).map(move |i: i64| truths >> i & 1 == 1);
        let rows: Vec<_> = a.outer_iter().zip(&keep).filter(|(_, keep)| **keep).map(|(row, _)| row).collect();
        let made = value(&settled(lazy(&a, &chunk).filter(&mask)));
        match rows.is_empty() {
            true => prop_assert_eq!(made.shape()[0], 0),
            false => prop_assert_eq!(made, stack(Axis(0), &rows).unwrap().into_dyn()),
        }
    }

    #[test]
    fn distinct_values((a, chunk) in cut()) {
        let mut expected: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        for (at, &v) in (0..).zip(a.iter()) {
            expected.entry(v as i64).or_insert((0, at)).0 += 1;
        }
        let x = lazy(&a, &chunk);
        let Unique { values, counts, index, inverse } = settled(x.unique(30));
        let list = |array: ArrayD<i64>| array.into_raw_vec_and_offset().0;
        prop_assert_eq!(list(value(&values.cast::<i64>())), expected.keys().copied().collect::<Vec<_>>());
        prop_assert_eq!(list(value(&counts)), expected.values().map(|&(count, _)| count).collect::<Vec<_>>());
        prop_assert_eq!(list(value(&index)), expected.values().map(|&(_, at)| at).collect::<Vec<_>>());
        let keys: Vec<f64> = expected.keys().map(|&key| key as f64).collect();
        prop_assert_eq!(value(&inverse).mapv(|place| keys[place as usize]), a);
    }
}

/// Far more values than a strip or a first table holds, in many blocks; and more than were asked for.
#[test]
fn many_distinct_values() {
    let x = random(5).integers(0..60_000, [400, 500]).rechunk([30, 100]);
    let all = value(&x);
    let mut expected: Vec<i64> = all.iter().copied().collect();
    expected.sort_unstable();
    expected.dedup();
    let found = settled(x.unique(100_000));
    assert_eq!(value(&found.values).into_raw_vec_and_offset().0, expected);
    assert_eq!(value(&found.counts.sum(0))[[]], 200_000);
    let error = SESSIONS[0].settle(x.unique(1000)).unwrap_err().to_string();
    assert!(
        error.contains("more than 1000 distinct values, the most that were asked for"),
        "{error}"
    );
}
