//! The conformance suite over every format of this build, stacks, memory and decorators.

#![cfg_attr(
    not(any(feature = "fits", feature = "zarr", feature = "h5", feature = "npy")),
    allow(dead_code, unused_imports)
)]

use freeboard_formats::{
    ChunkMut, ChunkSource, DType, Fingerprint, Format, Grid, Meta, ReadCost, ReadCx, Region,
    Result, Scalar, SourceSpec, Storage, WriteOptions,
    conformance::{self, Deviations, sample},
    memory::MemorySource,
    registry::{FORMATS, OpenOptions, format_of, list, open, open_with},
    wrap::{Counting, Slow},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Shapes and chunks: ragged edges, long rows, nothing to store, no axes.
const SHAPES: [(&[u64], &[u64]); 6] = [
    (&[7, 9], &[3, 4]),
    (&[5, 4, 6], &[2, 0, 4]),
    (&[300], &[0]),
    (&[], &[]),
    (&[0], &[0]),
    (&[3, 0, 2], &[1, 0, 2]),
];

/// A format, and a folder to write in.
struct Place {
    format: &'static dyn Format,
    dir: tempfile::TempDir,
}

impl Place {
    fn of(name: &str) -> Place {
        let format = FORMATS.iter().copied().find(|format| format.name() == name);
        Place { format: format.expect("a format of this build"), dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.{}", self.format.extensions()[0]))
    }

    fn at(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn deviations(&self) -> Deviations {
        let fits = self.format.name() == "fits";
        Deviations { bool_as_u8: fits, scalar_as_one: fits }
    }

    fn conforms(&self, name: &str, array: &MemorySource) {
        let (path, options) = (self.path(name), WriteOptions::default());
        conformance::format(self.format, &path, array, &options, self.deviations());
    }

    fn store(&self, name: &str, array: &MemorySource) {
        let writer = self.format.writer(&self.path(name), &WriteOptions::default()).unwrap();
        conformance::store(&*writer, array);
    }
}

fn gives_back_what_it_was_given(name: &str) {
    let place = Place::of(name);
    for dtype in DType::ALL {
        for (i, (shape, chunk)) in SHAPES.into_iter().enumerate() {
            println!("{name} {dtype} {shape:?} in {chunk:?}");
            place.conforms(&format!("{dtype}_{i}"), &sample(dtype, shape, chunk));
        }
    }
}

fn damage_is_an_error(name: &str) {
    let place = Place::of(name);
    place.store("x", &sample(DType::I16, &[12, 30], &[5, 16]));
    let readable = conformance::damaged(place.format, &place.path("x"), 400);
    assert!(readable < 400, "no damage is ever noticed");
}

fn stacks(name: &str) {
    let place = Place::of(name);
    let all = sample(DType::I32, &[2, 3, 4, 5], &[1, 1, 4, 5]);
    for (stokes, label) in [(0, "I"), (1, "Q")] {
        for step in 0..3 {
            let region = Region::new(vec![stokes, step, 0, 0], vec![1, 1, 4, 5]);
            let frame = all.view().sub(&region).to_vec::<i32>();
            let bytes = bytemuck::cast_slice(&frame);
            let frame = MemorySource::from_bytes(DType::I32, Grid::whole(&[1, 4, 5]), bytes);
            place.store(&format!("{label}_{step:03}"), &frame);
        }
    }
    let stack = open(&place.at("{stokes}_{step:d}")).unwrap();
    conformance::source(&*stack, &all.view());
    assert_eq!(stack.meta().axes[..2], ["stokes", "step"]);
    assert_eq!(stack.labels(0).unwrap().to_string(), "I Q");
    assert_eq!(stack.storage().files, 6);

    let folder = place.dir.path().display().to_string();
    let options = OpenOptions::default().stacked([2, 3]);
    for location in [place.at("*"), folder.clone()] {
        conformance::source(&*open_with(&[location], &options).unwrap(), &all.view());
    }
    let kept = OpenOptions::default().keep_axes();
    assert_eq!(open_with(&[folder], &kept).unwrap().meta().shape()[..], [6, 1, 4, 5]);
    assert_eq!(open(&place.at("I_000")).unwrap().meta().shape()[..], [1, 4, 5]);
    assert_eq!(list(&place.at("I_000")).unwrap().len(), 1);
    assert_eq!(list(&place.at("*")).unwrap()[0].meta.shape()[..], [6, 4, 5]);
}

macro_rules! suite {
    ($($name:ident if $feature:literal),*) => {$(
        #[cfg(feature = $feature)]
        mod $name {
            #[test]
            fn gives_back_what_it_was_given() {
                super::gives_back_what_it_was_given(stringify!($name));
            }

            #[test]
            fn damage_is_an_error() {
                super::damage_is_an_error(stringify!($name));
            }

            #[test]
            fn stacks() {
                super::stacks(stringify!($name));
            }
        }
    )*};
}
suite!(fits if "fits", zarr if "zarr", hdf5 if "h5", npy if "npy");

#[test]
fn memory_and_decorators() {
    for (shape, chunk) in SHAPES {
        let array = sample(DType::F32, shape, chunk);
        let again = || Arc::new(sample(DType::F32, shape, chunk)) as Arc<dyn ChunkSource>;
        conformance::source(&array, &array.view());
        let (counting, counters) = Counting::new(again());
        conformance::source(&counting, &array.view());
        assert!(counters.reads() > 0);
        conformance::source(&Slow::new(again(), Duration::from_micros(10)), &array.view());
    }
}

/// Files that other programs wrote, in layouts that these writers do not have.
#[test]
fn damaged_fixtures_are_errors() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../data"));
    let dir = tempfile::tempdir().unwrap();
    let (mut ways, mut opened) = (0, 0);
    for kind in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        let Ok(entries) = std::fs::read_dir(&kind) else { continue };
        for fixture in entries.map(|e| e.unwrap().path()) {
            let Ok(format) = format_of(&fixture) else { continue };
            let copy = dir.path().join(fixture.file_name().unwrap());
            copy_all(&fixture, &copy);
            opened += conformance::damaged(format, &copy, 20);
            ways += 20;
        }
    }
    assert!(ways > 2000, "{ways} ways of damage");
    let refused = ways - opened;
    assert!(refused > ways / 10 && opened > ways / 10, "{refused} of {ways} ways are refused");
}

fn copy_all(from: &Path, to: &Path) {
    if from.is_file() {
        return std::fs::copy(from, to).map(drop).unwrap();
    }
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|e| e.unwrap()) {
        copy_all(&entry.path(), &to.join(entry.file_name()));
    }
}

/// What a source may do wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// One element is wrong.
    Element,
    /// More scratch is used than its cost names.
    Scratch,
    /// A box is read from the array's beginning.
    Origin,
    /// Elements are left as they were.
    Skipped,
}

#[derive(Debug)]
struct Wrong(MemorySource, Fault);

impl ChunkSource for Wrong {
    fn meta(&self) -> &Meta {
        self.0.meta()
    }
    fn cost(&self, region: &Region) -> ReadCost {
        self.0.cost(region)
    }
    fn read(&self, region: &Region, mut out: ChunkMut<'_>, cx: &mut ReadCx<'_>) -> Result<()> {
        match self.1 {
            Fault::Element => {
                self.0.read(region, out.reborrow(), cx)?;
                let at = Region::new(vec![2, 1], vec![1, 1]);
                if let Some(bad) = region.intersection(&at) {
                    out.sub(&bad.relative_to(&region.start)).fill(Scalar::U8(77));
                }
                Ok(())
            }
            Fault::Scratch => {
                cx.scratch[..1].fill(0);
                self.0.read(region, out, cx)
            }
            Fault::Origin => self.0.read(&Region::whole(&region.shape), out, cx),
            Fault::Skipped => Ok(()),
        }
    }
    fn fingerprint(&self) -> Result<Fingerprint> {
        self.0.fingerprint()
    }
    fn spec(&self) -> SourceSpec {
        self.0.spec()
    }
    fn storage(&self) -> Storage {
        self.0.storage()
    }
}

#[test]
fn the_suite_notices_what_is_wrong() {
    for fault in [Fault::Element, Fault::Scratch, Fault::Origin, Fault::Skipped] {
        let array = || sample(DType::I32, &[4, 5], &[2, 2]);
        let wrong = Wrong(array(), fault);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            conformance::source(&wrong, &array().view());
        }));
        assert!(outcome.is_err(), "{fault:?} passes");
    }
}
