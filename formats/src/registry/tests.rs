//! Locations, against toy formats: files that begin with the format's name hold one array
//! of three bytes, or those that their lines name.

use super::*;
use crate::{DType, Grid, WriteOptions, Writer, memory::MemorySource};

#[derive(Debug)]
struct Toy(&'static str, &'static [&'static str]);

static TOYS: [&dyn Format; 3] = [&Toy("fits", &["fits", "fit"]), &Toy("toy", &["toy"]), &Folders];

impl Format for Toy {
    fn name(&self) -> &'static str {
        self.0
    }
    fn extensions(&self) -> &'static [&'static str] {
        self.1
    }
    fn recognises(&self, _: &Path, head: &[u8]) -> bool {
        head.starts_with(self.0.as_bytes())
    }
    fn list(&self, path: &Path) -> Result<Vec<Item>> {
        let text = fs::read_to_string(path)?;
        let items = text.lines().skip(1).map(|name| {
            let source = self.open(path, Some(name))?;
            Ok(Item {
                name: name.to_owned(),
                meta: source.meta().clone(),
                storage: source.storage(),
            })
        });
        items.collect()
    }
    fn open(&self, path: &Path, item: Option<&str>) -> Result<Arc<dyn ChunkSource>> {
        let text = fs::read_to_string(path)?;
        if item.is_some_and(|item| text.lines().skip(1).all(|name| name != item)) {
            return Err(FormatError::new(ErrorKind::NotFound, "no such item").at_path(path));
        }
        let grid = Grid::whole(&[1, 3]);
        let bytes = [1, 2, item.map_or(0, |item| item.len() as u8)];
        let source = MemorySource::from_bytes(DType::U8, grid, &bytes);
        let packed = [("scale_factor".to_owned(), 0.5.into())];
        Ok(Arc::new(source.with_meta(|meta| meta.attributes = Arc::new(packed.into()))))
    }
    fn writer(&self, _: &Path, _: &WriteOptions) -> Result<Arc<dyn Writer>> {
        Err(FormatError::new(ErrorKind::Unsupported, "toys are not written"))
    }
}

/// A format whose arrays are folders with a file `shape`.
#[derive(Debug)]
struct Folders;

impl Format for Folders {
    fn name(&self) -> &'static str {
        "zarr"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["zarr"]
    }
    fn recognises(&self, path: &Path, head: &[u8]) -> bool {
        head.is_empty() && path.join("shape").exists()
    }
    fn list(&self, _: &Path) -> Result<Vec<Item>> {
        Ok(Vec::new())
    }
    fn open(&self, _: &Path, _: Option<&str>) -> Result<Arc<dyn ChunkSource>> {
        Ok(Arc::new(MemorySource::from_bytes(DType::U8, Grid::whole(&[2]), &[1, 2])))
    }
    fn writer(&self, _: &Path, _: &WriteOptions) -> Result<Arc<dyn Writer>> {
        Err(FormatError::new(ErrorKind::Unsupported, "folders are not written"))
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn with(files: &[(&str, &str)]) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = place.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        place
    }

    fn at(&self, location: &str) -> String {
        format!("{}/{location}", self.0.path().display())
    }

    fn open(&self, location: &str) -> Result<Arc<dyn ChunkSource>> {
        Registry(&TOYS).open(&[self.at(location)], &OpenOptions::default())
    }

    fn shape(&self, location: &str) -> Vec<u64> {
        self.open(location).unwrap_or_else(|e| panic!("{location}: {e}")).meta().shape().to_vec()
    }

    /// An error's text with the folder's name shortened.
    fn text(&self, error: &FormatError) -> String {
        error.to_string().replace(&self.0.path().display().to_string(), "place")
    }

    fn refusal(&self, location: &str) -> String {
        self.text(&self.open(location).unwrap_err())
    }
}

/// Killed between two renames: the old output lies hidden beside the name that it had.
#[test]
fn outputs_that_a_killed_store_put_aside_are_found() {
    let whole = [
        (".x.zarr.old/shape", "2"),
        ("night/a.zarr/shape", "2"),
        ("night/.b.zarr.old/shape", "2"),
        ("out/0.toy", "toy"),
        (".frames.old/0.toy", "toy"),
        (".frames.old/1.toy", "toy"),
    ];
    for (location, shape, there) in [
        ("x.zarr", &[2][..], "x.zarr/shape"),
        ("x.zarr::item", &[2], "x.zarr/shape"),
        ("night", &[2, 2], "night/b.zarr/shape"),
        ("night/*.zarr", &[2, 2], "night/b.zarr/shape"),
        ("ni*/{name}.zarr", &[2, 2], "night/b.zarr/shape"),
        ("frames", &[2, 3], "frames/1.toy"),
        ("frames/{n:d}.toy", &[2, 3], "frames/1.toy"),
        ("frames/1.toy", &[1, 3], "frames/1.toy"),
    ] {
        let place = Place::with(&whole);
        assert_eq!(place.shape(location), shape, "{location}");
        assert!(fs::exists(place.at(there)).unwrap(), "{location}");
    }
    // Where it cannot be put back, it is told where it is.
    let place = Place::with(&whole);
    fs::create_dir(place.at(".x.zarr.lock")).unwrap();
    let refusal = place.refusal("x.zarr");
    assert!(refusal.contains("place/.x.zarr.old; rename it"), "{refusal}");
    assert!(place.refusal("y.zarr").starts_with("place/y.zarr: no such file"));
}

#[test]
fn locations_mean_what_is_there() {
    let place = Place::with(&[
        ("a/1.toy", "toy\n/x\n/longer"),
        ("a/2.toy", "toy\n/x\n/longer"),
        ("a/readme.txt", "not an array"),
        ("a/.3.toy.part", "toy"),
        ("single/1.toy", "toy"),
        ("odd/no_ending", "toy"),
        ("cube.zarr/shape", "2"),
        ("cubes/a.zarr/shape", "2"),
        ("cubes/b.zarr/shape", "2"),
        ("cubes/notes/a.toy", "toy"),
        ("glob/[1].toy", "toy"),
        ("glob/{n}.toy", "toy"),
        ("glob/1.toy", "toy"),
        ("glob/a::b.toy", "toy"),
        ("I_1.fit", "fits"),
        ("Q_1.fit", "fits"),
    ]);
    for (location, shape) in [
        ("a/1.toy", vec![1, 3]),
        ("a/1.toy::/x", vec![1, 3]),
        ("a/1.toy::", vec![1, 3]),
        ("a", vec![2, 3]),
        ("a/", vec![2, 3]),
        ("a::/x", vec![2, 3]),
        ("a/*.toy", vec![2, 3]),
        ("a/*.toy::/longer", vec![2, 3]),
        ("a/{n:d}.toy", vec![2, 3]),
        ("single", vec![1, 3]),
        ("single/*", vec![1, 3]),
        ("odd", vec![1, 3]),
        ("cube.zarr", vec![2]),
        ("cubes", vec![2, 2]),
        ("glob/[1].toy", vec![1, 3]),
        ("glob/[12].toy", vec![1, 3]),
        ("glob/{n}.toy", vec![1, 3]),
        ("glob/a::b.toy", vec![1, 3]),
        ("{stokes}_{n:d}.fit", vec![2, 1, 3]),
    ] {
        assert_eq!(place.shape(location), shape, "{location}");
    }
    let stack = place.open("{stokes}_{n:d}.fit").unwrap();
    assert_eq!(stack.meta().axes[..2], ["stokes", "n"]);
    assert_eq!(stack.spec().location, place.at("{stokes}_{n:d}.fit"));
}

#[test]
fn lists_of_locations_are_stacked() {
    let place =
        Place::with(&[("b.toy", "toy\n/x"), ("a.toy", "toy\n/x"), ("c/1.fits", "fits\n/x")]);
    let open = |locations: &[&str], options: &OpenOptions| {
        let locations: Vec<String> = locations.iter().map(|l| place.at(l)).collect();
        Registry(&TOYS).open(&locations, options)
    };
    let plain = OpenOptions::default();
    let two = open(&["b.toy::/x", "a.toy::/x", "c::/x"], &plain).unwrap();
    assert_eq!(two.meta().shape()[..], [3, 3]);
    let folded = OpenOptions::default().stacked([1, 2]).keep_axes();
    let two = open(&["b.toy", "a.toy"], &folded).unwrap();
    assert_eq!(two.meta().shape()[..], [1, 2, 1, 3]);
    assert_eq!(OpenOptions::from_spec(&two.spec()).unwrap().1, folded);
    assert_eq!(
        OpenOptions::from_spec(&two.spec()).unwrap().0,
        [place.at("b.toy"), place.at("a.toy")]
    );
    assert_eq!(two.meta().dtype, DType::U8);
    let decoded = OpenOptions::default().decode_cf();
    for locations in [&["b.toy", "a.toy"][..], &["a.toy"]] {
        let source = open(locations, &decoded).unwrap();
        assert_eq!(source.meta().dtype, DType::F32);
        assert_eq!(OpenOptions::from_spec(&source.spec()).unwrap().1, decoded);
    }
    let error = open(&["b.toy::/x", "a.toy"], &plain).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(open(&["a.toy"], &folded).unwrap_err().kind(), ErrorKind::Mismatch);
    assert_eq!(open(&[], &plain).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn refusals_say_what_and_where() {
    let place = Place::with(&[
        ("empty.toy", ""),
        ("wrong.toy", "something else"),
        ("data.h5", "something else"),
        ("mixed/1.toy", "toy"),
        ("mixed/2.toy", "toy"),
        ("mixed/1.fits", "fits"),
        ("texts/a.txt", "text"),
    ]);
    fs::create_dir(place.at("none")).unwrap();
    for (location, text) in [
        ("empty.toy", "place/empty.toy: the file is empty"),
        ("wrong.toy", "place/wrong.toy: not a file of any known format: FITS, toy, Zarr"),
        (
            "data.h5",
            "place/data.h5: not a file of any known format: FITS, toy, Zarr\n  build freeboard with \
             the feature `h5` for HDF5 files",
        ),
        ("gone.toy", "place/gone.toy: no such file or folder"),
        (
            "away/gone.toy::/x",
            "place/away/gone.toy: no such file or folder\n  the folder place/away/ does not exist \
             either",
        ),
        (
            "mixed",
            "place/mixed: the folder holds files of several formats: 1 FITS (1.fits), 2 toy \
             (1.toy, …)\n  choose with a glob, for example place/mixed/*.fits",
        ),
        (
            "texts",
            "place/texts: no file of a known format in the folder\n  known are FITS, toy, Zarr; \
             other entries there: 1",
        ),
        ("none", "place/none: no file of a known format in the folder\n  the folder is empty"),
        (
            "away/*.toy",
            "no file matches place/away/*.toy\n  looked in place/away/ (the folder does not exist)",
        ),
    ] {
        assert_eq!(place.refusal(location), text, "{location}");
    }
    let error = Registry(&TOYS).open(&["ftp://host/x.zarr".into()], &OpenOptions::default());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn items_are_listed_and_a_stack_is_one() {
    let place = Place::with(&[("a/1.toy", "toy\n/x\n/y"), ("a/2.toy", "toy\n/x")]);
    let names = |location: &str| {
        let items = Registry(&TOYS).list(&place.at(location)).unwrap();
        items.into_iter().map(|item| (item.name, item.meta.shape().len())).collect::<Vec<_>>()
    };
    assert_eq!(names("a/1.toy"), [("/x".into(), 2), ("/y".into(), 2)]);
    assert_eq!(names("a/1.toy::/y"), [("/y".into(), 2)]);
    assert_eq!(names("a"), [(String::new(), 2)]);
    assert_eq!(names("a::/x"), [("/x".into(), 2)]);
}

#[test]
fn writers_are_chosen_by_name() {
    let refused =
        |name: &str| Registry(&TOYS).format_to_write(Path::new(name)).unwrap_err().to_string();
    let known = "\n  known are FITS (.fits, .fit), toy (.toy), Zarr (.zarr)";
    assert_eq!(Registry(&TOYS).format_to_write(Path::new("x.FIT")).unwrap().name(), "fits");
    assert_eq!(refused("x.xyz"), format!("x.xyz: no format has names that end in .xyz{known}"));
    assert_eq!(
        refused("x"),
        format!("x: the output's name has no ending that tells its format{known}")
    );
    assert_eq!(
        refused("x.npy"),
        "x.npy: npy files are not written by this build\n  build freeboard with the feature `npy` \
         for npy files"
    );
}

#[cfg(all(feature = "h5", feature = "npy"))]
#[test]
fn an_output_may_name_its_array() {
    let options = WriteOptions::default();
    let writer = writer(Path::new("x.h5::/group/x"), &options).unwrap();
    assert_eq!(writer.path(), Path::new("x.h5"));
    let error = super::writer(Path::new("x.npy::a"), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn what_is_in_memory_elsewhere_is_not_reopened() {
    assert_eq!(reopen(&SourceSpec::default()).unwrap_err().kind(), ErrorKind::Unsupported);
    let options = BTreeMap::from([("stacked".to_owned(), "2,x".to_owned())]);
    let spec = SourceSpec { format: "stack".into(), location: "a".into(), options };
    assert_eq!(reopen(&spec).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn files_may_be_missing_or_nested() {
    let place = Place::with(&[
        ("I_1.toy", "toy"),
        ("I_2.toy", "toy"),
        ("Q_1.toy", "toy"),
        ("bad.toy", "junk"),
    ]);
    let masked = OpenOptions::default().missing(Missing::Mask);
    let open = |locations: &[&str], options: &OpenOptions| {
        let locations: Vec<String> = locations.iter().map(|l| place.at(l)).collect();
        Registry(&TOYS).open(&locations, options)
    };
    let error = open(&["{s}_{n:d}.toy"], &OpenOptions::default()).unwrap_err();
    assert!(error.to_string().contains("has no file: s Q, n 2"), "{error}");
    let stack = open(&["{s}_{n:d}.toy"], &masked).unwrap();
    assert_eq!((&stack.meta().shape()[..], stack.storage().files), (&[2, 2, 3][..], 3));
    assert_eq!(OpenOptions::from_spec(&stack.spec()).unwrap().1, masked);
    let listed = ["gone.toy", "I_1.toy", "bad.toy"];
    assert_eq!(open(&listed, &masked).unwrap().meta().shape()[..], [3, 3]);
    assert_eq!(open(&listed, &OpenOptions::default()).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(open(&["gone.toy"], &masked).unwrap_err().kind(), ErrorKind::NotFound);

    let nested = |files: Nested, options: &OpenOptions| {
        Registry(&TOYS).nested(&files, options).map(Opened::masked)
    };
    let (i1, i2, q1) = (place.at("I_1.toy"), place.at("I_2.toy"), place.at("Q_1.toy"));
    let lists = Nested::from([[Some(&i1), Some(&i2)], [Some(&q1), None]]);
    assert!(nested(lists.clone(), &OpenOptions::default()).is_err());
    let Masked { array: stack, mask } = nested(lists, &masked).unwrap();
    assert_eq!(stack.meta().shape()[..], [2, 2, 3]);
    assert_eq!(mask.unwrap().meta().dtype, DType::Bool);
    assert!(nested([i1, i2].into(), &masked.clone().stacked([2])).is_err());
    let Masked { array: one, mask: none } = nested(q1.as_str().into(), &masked).unwrap();
    assert_eq!((&one.meta().shape()[..], none.is_none()), (&[1, 3][..], true));
}
