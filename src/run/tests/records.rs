//! Graphs of so many small chunks that what is known of them takes more than they do.

use super::{simulated::simulated_if_it_fits, *};
use crate::{
    ErrorKind,
    array::{Chunks, random},
    memory::MIB,
};

/// So many computed chunks of as many numbers, all of which wait for the mean of all.
fn centred(chunks: usize, of: u64) -> Array<f64> {
    let x = random(1).normal([of as usize * chunks]).rechunk([of]);
    let x = x.map_blocks(Chunks::same(), |block, _| block.to_owned()).declare_scratch(0);
    (&x - x.mean(..)).max(..)
}

#[test]
fn records_and_chunks_together_stay_in_the_arena() {
    let roots = [wanted(centred(100_000, 16).expr(), false)];
    // Each step is checked.
    let ran = |memory, threads| simulated_if_it_fits(&roots, How::new(memory * MIB, threads), 30);
    let ample = ran(256, 1).unwrap();
    assert!(ample.spilled == 0 && ample.records > 20 * MIB, "{ample:?}");
    let error = ran(24, 4).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Budget, "{error}");
    assert!(error.location().is_some(), "{error}");
    let text = error.to_string();
    assert!(text.contains("chunks wait") && text.contains("larger chunks"), "{text}");
}

#[test]
fn few_records_take_nothing_of_the_smallest_arena() {
    let roots = [wanted(centred(1_000, 16).expr(), false)];
    let least = least(&roots, How::new(0, 2));
    let ran = simulated_if_it_fits(&roots, How::new(least, 2), 30).unwrap();
    assert_eq!(ran.records, 0, "{ran:?}");
}

#[test]
fn the_arena_gives_up_what_records_take() {
    let x = centred(50_000, 512);
    let (bits, _) = compute(&x, 512 * MIB, 1, true).unwrap();
    // The arena's peak is looked at, and that nothing is left, be it after an error. For the records chunks are evicted.
    for (memory, fits) in [(24 * MIB, true), (7 * MIB, false)] {
        match compute(&x, memory, 2, true) {
            Ok((same, counts)) => assert!(fits && same == bits && counts.spilled > 0, "{counts:?}"),
            Err(error) => assert!(!fits && error.kind() == ErrorKind::Budget, "{error}"),
        }
    }
}
