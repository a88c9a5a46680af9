//! What is written: there when it is whole, and not before.

use crate::{
    assert_same, cube, fails,
    server::{Fault, Request, Server},
    succeeds,
};
use std::path::Path;

/// Asserts that what lies in `bucket` at `name` holds what the file does, to the bit.
fn assert_stored(server: &Server, name: &str, file: &str) {
    assert_same(&format!("{}/bucket/{name}", server.url), Path::new(file));
}

#[test]
fn arrays_are_written_to_s3() {
    let folder = tempfile::tempdir().unwrap();
    let cube = cube(folder.path());
    let cube = cube.to_str().unwrap();
    let server = Server::start();
    let convert = |out: &str, more: &[&str]| {
        let args = [&["convert", cube, out, "--quiet"], more].concat();
        succeeds(&server, &args);
        assert_stored(&server, out.strip_prefix("s3://bucket/").unwrap(), cube);
    };
    convert("s3://bucket/a/x.zarr", &["--chunks", "10,100,25"]);
    assert_eq!(server.keys("/bucket/a/").len(), 4 * 3 + 1);
    // The document came last.
    let last = server.requests().into_iter().rfind(|r| r.method == "PUT").unwrap();
    assert_eq!(last.path, "/bucket/a/x.zarr/zarr.json");
    convert("s3://bucket/sharded.zarr", &["--chunks", "5,50,5", "--shards", "20,300,25"]);
    convert("s3://bucket/group.zarr::deep/er", &["--chunks", "20,-1,-1"]);
    convert("s3://bucket/group.zarr::other", &["--chunks", "20,-1,-1", "--codec", "none"]);
    let tree = succeeds(&server, &["info", "s3://bucket/group.zarr"]);
    assert!(tree.contains("er") && tree.contains("other"), "{tree}");

    // Back to a file, to the bit.
    let back = folder.path().join("back.npy");
    succeeds(&server, &["convert", "s3://bucket/a/x.zarr", back.to_str().unwrap(), "--quiet"]);
    assert_same(back.to_str().unwrap(), Path::new(cube));
}

#[test]
fn what_is_longer_than_a_part_goes_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let cube = cube(folder.path());
    let cube = cube.to_str().unwrap();
    let server = Server::start();
    // 40 * 300 * 25 elements of 8 bytes, ten times: 24 MB in one chunk.
    let args = ["x=", cube].concat();
    let formula = "pad(x.astype('float64'), ((0, 0), (0, 2700), (0, 0)), 'wrap')";
    let out = "s3://bucket/long.zarr";
    let options = ["--codec", "none", "--chunks", "-1,-1,-1", "--quiet"];
    succeeds(&server, &[&["calc", formula, &args, "-o", out], &options[..]].concat());
    let parts = |r: &&Request| r.query.contains_key("partNumber");
    assert_eq!(server.requests().iter().filter(parts).count(), 3);
    let back = folder.path().join("back.npy");
    let slice = ["--slice", ":, 2700:", "--quiet"];
    succeeds(&server, &[&["convert", out, back.to_str().unwrap()], &slice[..]].concat());
    assert_same(back.to_str().unwrap(), Path::new(cube));
}

#[test]
fn what_is_there_is_replaced_only_by_the_name_that_says_how() {
    let folder = tempfile::tempdir().unwrap();
    let cube = cube(folder.path());
    let cube = cube.to_str().unwrap();
    let server = Server::start();
    let out = "s3://bucket/x.zarr";
    let convert = ["convert", cube, out, "--quiet", "--chunks", "10,100,25"];
    let with = |more: &[&'static str]| [&convert[..], more].concat();
    succeeds(&server, &convert);
    fails(&server, &convert, &[out, "exists already", "--overwrite-in-place", "not atomic"]);
    fails(&server, &with(&["--overwrite"]), &[out, "in one step", "--overwrite-in-place"]);
    fails(&server, &with(&["--resume"]), &[out, "cannot resume"]);
    let same = ["convert", out, out, "--overwrite-in-place", "--quiet"];
    fails(&server, &same, &[out, "would replace the input"]);

    let fewer = ["convert", cube, out, "--quiet", "--overwrite-in-place", "--chunks", "40,300,25"];
    succeeds(&server, &fewer);
    assert_eq!(server.keys("/bucket/x.zarr/").len(), 2, "nothing of the old one is left");
    assert_stored(&server, "x.zarr", cube);

    // Objects that are no array.
    server.put("/bucket/y.zarr/c/9/9/9", b"of a killed run");
    let other = ["convert", cube, "s3://bucket/y.zarr", "--quiet"];
    fails(&server, &other, &["s3://bucket/y.zarr", "objects are there, but no array"]);
    succeeds(&server, &[&other[..], &["--overwrite-in-place"]].concat());
    assert_stored(&server, "y.zarr", cube);
    assert_eq!(server.keys("/bucket/y.zarr/c/9").len(), 1, "what is not known to be its own stays");
    fails(&server, &["convert", cube, "s3://bucket"], &["s3://bucket"]);
}

#[test]
fn a_store_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cube = cube(folder.path());
    let cube = cube.to_str().unwrap();
    let server = Server::start();
    let convert = ["convert", cube, "s3://bucket/x.zarr", "--quiet", "--chunks", "10,100,25"];
    server.set_faults(|r| match r.method == "PUT" && r.path.ends_with("/c/3/2/0") {
        true => Fault::Status(403, "AccessDenied"),
        false => Fault::Nothing,
    });
    fails(&server, &convert, &["s3://bucket/x.zarr/c/3/2/0", "writing it: access denied"]);
    assert_eq!(server.keys("/bucket/"), [""; 0]);
    // A server that is busy for a moment is no failure.
    server.set_faults(|r| match r.method == "PUT" && r.before == 0 {
        true => Fault::Status(503, "SlowDown"),
        false => Fault::Nothing,
    });
    succeeds(&server, &convert);
    assert_stored(&server, "x.zarr", cube);
    // What is not written to is told before anything is done.
    let args = ["convert", cube, "s3://bucket/x.fits"];
    fails(&server, &args, &["s3://bucket/x.fits", "FITS is written to local files only"]);
    for picture in ["s3://bucket/x.png", "s3://bucket/frames/{i:d}.png"] {
        let args = ["convert", cube, picture, "--slice", ":2"];
        fails(&server, &args, &[picture, "PNG is written to local files only"]);
    }
    let args = ["convert", cube, "s3://bucket/x.h5"];
    fails(&server, &args, &["s3://bucket/x.h5", "HDF5 is written to local files only"]);
    let url = format!("{}/bucket/y.zarr", server.url);
    fails(&server, &["convert", cube, &url], &[&url, "only s3:// and gs:// are written to"]);
    let local = folder.path().join("y.zarr");
    let args = ["convert", cube, local.to_str().unwrap(), "--overwrite-in-place"];
    fails(&server, &args, &["only what lies in an object store", "--overwrite"]);
}
