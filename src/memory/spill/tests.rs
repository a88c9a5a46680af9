//! What goes to scratch comes back, or it is an error.

use super::*;
use crate::memory::{Arena, KIB, MIB};
use proptest::prelude::*;
use std::{fs::OpenOptions, sync::atomic::AtomicBool};

fn filled(arena: &Arena, len: usize, seed: u64) -> Buffer {
    let mut buffer = arena.alloc(len).unwrap();
    let mut x = seed;
    for byte in buffer.iter_mut() {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = (x >> 56) as u8;
    }
    buffer
}

fn names(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

/// A spill on so slow a disk that whatever becomes smaller is packed.
fn packing(dir: &Path, quota: Option<u64>) -> Spill {
    Spill { rates: Rates::infinitely_slow(), ..Spill::new(dir.to_owned(), quota) }
}

/// Bytes of which, as elements of 8 bytes, one of three is noise and two are equal.
fn compressible(arena: &Arena, len: usize, seed: u64) -> Buffer {
    let mut buffer = filled(arena, len, seed);
    for element in buffer.chunks_mut(8) {
        let from = 2.min(element.len());
        element[from..].fill(17);
    }
    buffer
}

fn place(extent: &Extent) -> u64 {
    extent.room.places[0].0
}

const LENGTHS: [usize; 8] = [0, 1, 4096, 10_000, 65_536, 65_537, 1 << 20, (3 << 20) + 12_345];

#[test]
fn what_is_written_comes_back_and_nothing_is_ever_seen() {
    let dir = tempfile::tempdir().unwrap();
    let arena = Arena::new(64 * MIB);
    let spill = Spill::new(dir.path().to_owned(), None);
    // Twice, so that freed places are taken again.
    for round in 0..2 {
        let all: Vec<(Buffer, Extent)> = LENGTHS
            .iter()
            .map(|len| {
                let data = filled(&arena, *len, round);
                let extent = spill.write(&data, 1).unwrap();
                (data, extent)
            })
            .collect();
        assert_eq!(names(dir.path()), 0);
        for (data, extent) in all.into_iter().rev() {
            let mut back = arena.alloc(extent.len()).unwrap();
            back.padded_mut().fill(0xAA);
            spill.read(&extent, &mut back).unwrap();
            assert!(back[..] == data[..]);
            assert!(spill.read(&extent, &mut arena.alloc(extent.len() + 1).unwrap()).is_err());
            spill.free(extent);
        }
    }
    let content: usize = LENGTHS.iter().sum();
    let slab: u64 = LENGTHS.iter().map(|len| (*len as u64).next_multiple_of(ALIGN)).sum();
    let stats = spill.stats();
    assert_eq!(
        (stats.bytes_written, stats.bytes_stored, stats.bytes_read),
        (2 * content as u64, 2 * slab, 2 * content as u64)
    );
    assert_eq!((stats.live, stats.slab), (0, slab));
    drop(spill);
    assert_eq!(names(dir.path()), 0);
}

#[test]
fn several_threads_spill_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let arena = Arena::new(64 * MIB);
    let spill = packing(dir.path(), None);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (spill, arena) = (&spill, &arena);
            scope.spawn(move || {
                for round in 0..20 {
                    let len = 30_000 + 40_000 * ((thread + round) % 5);
                    let seed = (thread * 100 + round) as u64;
                    let mut buffer = match thread % 2 {
                        0 => filled(arena, len, seed),
                        _ => compressible(arena, 20 * len, seed),
                    };
                    let want = buffer.to_vec();
                    let extent = spill.write(&buffer, 8).unwrap();
                    buffer.fill(0);
                    spill.read(&extent, &mut buffer).unwrap();
                    assert!(buffer[..] == want[..]);
                    spill.free(extent);
                }
            });
        }
    });
    assert_eq!(spill.stats().live, 0);
    spill.lock().check().unwrap();
}

#[test]
fn a_full_quota_is_an_error_and_freeing_helps() {
    let dir = tempfile::tempdir().unwrap();
    let arena = Arena::new(64 * MIB);
    let spill = Spill::new(dir.path().to_owned(), Some(MIB));
    spill.probe(MIB).unwrap();
    let error = spill.probe(MIB + 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let data = filled(&arena, 600 << 10, 1);
    let extent = spill.write(&data, 1).unwrap();
    let error = spill.write(&data, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let text = error.to_string();
    for part in ["600 KiB", "424 KiB", "quota 1 MiB", dir.path().to_str().unwrap()] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(spill.stats().live, 600 * KIB);
    spill.free(extent);
    let extent = spill.write(&data, 1).unwrap();
    spill.free(extent);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_gives_the_extent_back() {
    let dir = tempfile::tempdir().unwrap();
    let arena = Arena::new(64 * MIB);
    let spill = Spill::new(dir.path().to_owned(), None);
    // A device that is always full.
    let file = OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
    spill.slab.set(Slab { file, direct: None, refused: AtomicBool::new(false) }).unwrap();
    let data = filled(&arena, 100_000, 1);
    let error = spill.write(&data, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert!(error.to_string().contains("98 KiB"), "{error}");
    assert_eq!((spill.stats().live, spill.stats().bytes_written), (0, 0));
    spill.lock().check().unwrap();
    // Packed, too: what was taken for all of it, by then.
    let spill = Spill { rates: Rates::infinitely_slow(), ..spill };
    let error = spill.write(&compressible(&arena, 8 << 20, 1), 8).unwrap_err();
    assert_eq!((error.kind(), spill.stats().live), (ErrorKind::StorageFull, 0));
    spill.lock().check().unwrap();
}

#[test]
fn what_is_not_what_was_written_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let arena = Arena::new(64 * MIB);
    let spill = Spill::new(dir.path().to_owned(), None);
    for len in [10_000, 200_000] {
        let mut data = filled(&arena, len, 1);
        let extent = spill.write(&data, 1).unwrap();
        let file = &spill.slab.get().unwrap().file;
        file.write_all_at(&[!data[5000]], place(&extent) + 5000).unwrap();
        let error = spill.read(&extent, &mut data).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        file.set_len(place(&extent) + 100).unwrap();
        let error = spill.read(&extent, &mut data).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        spill.free(extent);
    }
}

#[test]
fn a_file_system_that_refuses_direct_io_is_written_to_as_usual() {
    let dir = tempfile::tempdir().unwrap();
    let arena = Arena::new(64 * MIB);
    let spill = Spill::new(dir.path().to_owned(), None);
    let mut data = filled(&arena, 200_000, 1);
    let want = data.to_vec();
    let slab = spill.slab().unwrap();
    let mut calls = Vec::new();
    let done = slab.transfer(true, |_, direct| {
        calls.push(direct);
        if direct { Err(io::ErrorKind::InvalidInput.into()) } else { Ok(()) }
    });
    assert!(done.is_ok() && calls.last() == Some(&false));
    assert_eq!(slab.refused.load(Relaxed), slab.direct.is_some());
    let extent = spill.write(&data, 1).unwrap();
    data.fill(0);
    // The end of the file is the end of the content now; direct reads take that, too.
    slab.refused.store(false, Relaxed);
    spill.read(&extent, &mut data).unwrap();
    assert!(data[..] == want[..]);
    spill.free(extent);
}

#[test]
fn a_folder_that_will_not_do_is_told_before_and_during_the_work() {
    let arena = Arena::new(MIB);
    let dir = tempfile::tempdir().unwrap();
    let spill = Spill::new(dir.path().to_owned(), None);
    spill.probe(MIB).unwrap();
    assert_eq!(names(dir.path()), 0);
    let error = spill.probe(u64::MAX).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);

    let vanished = dir.path().to_owned();
    drop(dir);
    for error in [spill.probe(1).unwrap_err(), spill.write(&filled(&arena, 10, 1), 1).unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(vanished.to_str().unwrap()), "{error}");
    }
    assert_eq!(spill.stats(), SpillStats::default());

    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(Spill::new(file.path().to_owned(), None).probe(1).is_err());
    #[cfg(target_os = "linux")]
    assert!(Spill::new("/proc".into(), None).probe(1).is_err());
}

#[test]
#[cfg(target_os = "linux")]
fn memory_is_no_scratch_unless_asked_for() {
    let shm = Path::new("/dev/shm");
    if !is_memory(shm) {
        return;
    }
    let spill = Spill::new(shm.to_owned(), None);
    let error = spill.probe(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("tmpfs"), "{error}");
    let spill = spill.allow_tmpfs(true);
    spill.probe(1).unwrap();
    let arena = Arena::new(MIB);
    let mut data = filled(&arena, 100_000, 1);
    let extent = spill.write(&data, 1).unwrap();
    spill.read(&extent, &mut data).unwrap();
    spill.free(extent);
}

#[test]
fn there_is_a_default() {
    assert!(default_scratch().is_dir());
}

#[test]
fn what_is_packed_takes_less_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let arena = Arena::new(64 * MIB);
    let spill = packing(dir.path(), None);
    let block = block_len(8);
    let lengths = LENGTHS.into_iter().chain([block - 1, block, block + 1, 3 * block, 9 << 20]);
    for (len, element) in lengths.flat_map(|len| [1, 3, 4, 8, 16].map(|element| (len, element))) {
        for mut data in [compressible(&arena, len, 7), filled(&arena, len, 7)] {
            let want = data.to_vec();
            let before = spill.stats();
            let extent = spill.write(&data, element).unwrap();
            let stats = spill.stats();
            assert_eq!(stats.bytes_written - before.bytes_written, len as u64);
            assert_eq!(stats.bytes_stored - before.bytes_stored, extent.accounted());
            assert_eq!(stats.live, extent.accounted());
            assert!(extent.accounted() <= (len as u64).next_multiple_of(ALIGN));
            if extent.form != Form::Plain {
                assert!(extent.accounted() < len as u64 / 4 * 3, "{len} {element}: {extent:?}");
            }
            data.fill(0xEE);
            spill.read(&extent, &mut data).unwrap();
            assert!(data[..] == want[..], "{len} {element}");
            // Into memory that begins anywhere.
            let mut odd = vec![0; len + 1];
            spill.read_into(&extent, &mut odd[1..]).unwrap();
            assert!(odd[1..] == want[..]);
            spill.free(extent);
            spill.lock().check().unwrap();
        }
        assert_eq!(spill.stats().live, 0);
    }
    let extent = spill.write(&compressible(&arena, 4 << 20, 1), 8).unwrap();
    assert!((MIB..MIB + 100 * KIB).contains(&extent.accounted()), "{extent:?}");
    spill.free(extent);
}

#[test]
fn one_that_becomes_another_is_packed_as_far_as_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let arena = Arena::new(64 * MIB);
    let spill = packing(dir.path(), None);
    let mut data = filled(&arena, 12 << 20, 3);
    // It seems to become next to nothing, and takes more than was reckoned.
    data[..4 << 20].fill(0);
    let want = data.to_vec();
    let extent = spill.write(&data, 8).unwrap();
    assert!((8 * MIB..9 * MIB).contains(&extent.accounted()), "{extent:?}");
    assert_eq!(spill.stats().live, extent.accounted());
    data.fill(1);
    spill.read(&extent, &mut data).unwrap();
    assert!(data[..] == want[..]);
    spill.free(extent);
    // Noise first: as it is.
    data.copy_from_slice(&want);
    data.rotate_left(4 << 20);
    let extent = spill.write(&data, 8).unwrap();
    assert_eq!((extent.form, extent.accounted()), (Form::Plain, 12 * MIB));
    spill.free(extent);
    spill.lock().check().unwrap();
}

#[test]
fn what_pays_on_no_disk_is_written_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let arena = Arena::new(64 * MIB);
    let spill = Spill::new(dir.path().to_owned(), None);
    // A disk as fast as no memory is.
    spill.rates.took(Way::Write, 1 << 40, Duration::from_nanos(1));
    let extent = spill.write(&compressible(&arena, 1 << 20, 1), 8).unwrap();
    assert_eq!(extent.form, Form::Plain);
    spill.free(extent);
}

#[test]
fn damage_to_what_is_packed_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let arena = Arena::new(64 * MIB);
    let spill = packing(dir.path(), None);
    let mut data = compressible(&arena, 6 << 20, 1);
    let extent = spill.write(&data, 8).unwrap();
    let Form::Packed { element, stored } = extent.form else { panic!("packed") };
    let file = &spill.slab.get().unwrap().file;
    let mut whole = vec![0; stored as usize];
    file.read_exact_at(&mut whole, place(&extent)).unwrap();
    // Headers of the first block and of later ones, planes, the last byte.
    let ats = (0..40).chain((40..whole.len()).step_by(9973)).chain([whole.len() - 1]);
    for at in ats {
        file.write_all_at(&[!whole[at]], place(&extent) + at as u64).unwrap();
        let error = spill.read(&extent, &mut data).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{at}: {error}");
        file.write_all_at(&whole[at..=at], place(&extent) + at as u64).unwrap();
    }
    spill.read(&extent, &mut data).unwrap();
    // Records that tell of more or less than there is.
    for lie in [0, 4095, stored - 1, stored + 1, extent.accounted() + 1] {
        let form = Form::Packed { element, stored: lie };
        let room = Room { places: extent.room.places.clone(), used: extent.room.used };
        let liar = Extent { form, room, ..extent };
        let error = spill.read(&liar, &mut data).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{lie}: {error}");
    }
    spill.free(extent);
}

#[test]
fn a_quota_counts_what_lies_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let arena = Arena::new(64 * MIB);
    let spill = packing(dir.path(), Some(5 * MIB));
    // 16 MiB of which 4 MiB and a little more are left; twice that does not go.
    let mut data = compressible(&arena, 16 << 20, 1);
    let want = data.to_vec();
    let extent = spill.write(&data, 8).unwrap();
    let live = spill.stats().live;
    for _ in 0..2 {
        let error = spill.write(&data, 8).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(spill.stats().live, live, "what was written of it is given back");
        spill.lock().check().unwrap();
    }
    // What has no place in one fits into what lies between others.
    let small: Vec<Extent> = std::iter::from_fn(|| {
        (spill.available() >= 64 * KIB).then(|| spill.write(&filled(&arena, 40 << 10, 2), 8))
    })
    .collect::<Result<_>>()
    .unwrap();
    assert!(small.len() > 8, "{}", small.len());
    let (even, odd): (Vec<_>, Vec<_>) =
        small.into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
    odd.into_iter().for_each(|(_, extent)| spill.free(extent));
    let mut plain = filled(&arena, 150 << 10, 3);
    let kept = plain.to_vec();
    let gathered = spill.write(&plain, 8).unwrap();
    assert!(gathered.room.places.len() > 2, "{gathered:?}");
    plain.fill(0);
    spill.read(&gathered, &mut plain).unwrap();
    spill.read(&extent, &mut data).unwrap();
    assert!(plain[..] == kept[..] && data[..] == want[..]);
    even.into_iter().for_each(|(_, extent)| spill.free(extent));
    spill.free(gathered);
    spill.free(extent);
    assert_eq!(spill.stats().live, 0);
    spill.lock().check().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn chunks_of_any_content_come_back_in_any_order(
        chunks in prop::collection::vec((0usize..3 << 20, 0usize..18, 0u8..3, any::<u64>()), 1..8),
        quota in 3 * MIB..12 * MIB,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let arena = Arena::new(64 * MIB);
        let spill = packing(dir.path(), Some(quota));
        let mut live = Vec::new();
        for (len, element, kind, seed) in chunks {
            let data = match kind {
                0 => filled(&arena, len, seed),
                1 => compressible(&arena, len, seed),
                _ => {
                    let mut data = compressible(&arena, len, seed);
                    data.chunks_mut(100_000).step_by(2).for_each(|run| run.fill(seed as u8));
                    data
                }
            };
            match spill.write(&data, element) {
                Ok(extent) => live.push((data, extent)),
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::StorageFull),
            }
            if seed % 3 == 0 && !live.is_empty() {
                spill.free(live.swap_remove(0).1);
            }
            prop_assert_eq!(spill.lock().check(), Ok(()));
        }
        for (data, extent) in live {
            let mut back = arena.alloc(data.len()).unwrap();
            spill.read(&extent, &mut back).unwrap();
            prop_assert!(back[..] == data[..]);
            spill.free(extent);
        }
        prop_assert_eq!(spill.stats().live, 0);
    }
}
