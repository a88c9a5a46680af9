//! What fails: tried again where it may pass, else told clearly and soon.

use crate::{
    assert_same, cube, data, elements, fails,
    server::{Fault, Request, Server},
};
use freeboard::{Session, Zarr, open};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// What goes wrong with the answer to a request.
type Faults = fn(&Request) -> Fault;

/// A Zarr array of 20 chunks, loaded as `/bucket/x.zarr`.
fn loaded(folder: &Path) -> (Server, PathBuf) {
    let path = folder.join("x.zarr");
    let session = Session::builder().memory("256MiB").build().unwrap();
    let array = open(cube(folder).to_str().unwrap()).unwrap();
    session.store(&array, Zarr::create(&path).chunks([8, 75, 25]).uncompressed()).unwrap();
    let server = Server::start();
    server.load("/bucket/x.zarr", &path);
    (server, path)
}

#[test]
fn what_may_pass_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let (server, path) = loaded(folder.path());
    let url = format!("{}/bucket/x.zarr", server.url);
    for tags in [true, false] {
        server.set_tags(tags);
        let faults: [(&str, Faults); 4] = [
            (
                "busy",
                |r| if r.before == 0 { Fault::Status(503, "SlowDown") } else { Fault::Nothing },
            ),
            ("cut", |r| match r.before {
                0 => Fault::Cut(1000),
                1 => Fault::Cut(0),
                _ => Fault::Nothing,
            }),
            ("dropped", |r| if r.before == 0 { Fault::Drop } else { Fault::Nothing }),
            ("mixed", |r| match (r.path.len() + r.before) % 4 {
                0 => Fault::Status(500, "InternalError"),
                1 => Fault::Cut(37),
                _ => Fault::Nothing,
            }),
        ];
        for (name, fault) in faults {
            server.set_faults(fault);
            let failed = |error| panic!("{name}, versions {tags}: {error}");
            let found = elements(&url).unwrap_or_else(failed);
            assert_eq!(found, elements(path.to_str().unwrap()).unwrap(), "{name}, versions {tags}");
            assert!(server.requests().iter().any(|request| request.before > 0), "{name}");
        }
    }
}

#[test]
fn a_version_is_not_mixed_with_another() {
    let server = Server::start();
    let path = data("npy").join("float32.npy");
    let url = format!("{}/x.npy", server.url);
    server.load("/x.npy", &path);
    assert_same(&url, &path);
    let array = open(&url).unwrap();
    let session = Session::builder().memory("256MiB").build().unwrap();
    // It changes between the request that tells its version and the one that reads.
    server.set_faults(|request| match request.method == "HEAD" {
        true => Fault::Replaced,
        false => Fault::Nothing,
    });
    let error = session.compute(&array.cast::<f64>()).unwrap_err().to_string();
    assert!(error.contains("changed") && error.contains("/x.npy"), "{error}");
}

#[test]
fn what_does_not_pass_says_what_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = loaded(folder.path());
    let stats = |url: &str, texts: &[&str]| {
        let begun = Instant::now();
        fails(&server, &["stats", url], texts);
        assert!(begun.elapsed() < Duration::from_secs(40), "{url} took {:?}", begun.elapsed());
    };
    stats("s3://nowhere/x.zarr", &["s3://nowhere/x.zarr", "no such bucket"]);
    stats("s3://bucket/y.zarr", &["s3://bucket/y.zarr: no Zarr array or group is there"]);
    stats("s3://bucket/y.fits", &["s3://bucket/y.fits: no such object"]);
    stats("s3://bucket/x.zarr::no", &["there is no \"no\" in it"]);
    stats("ftp://bucket/x.zarr", &["no such kind of URL", "s3://"]);
    let of_chunks = |r: &Request| r.path.contains("/c/");
    server.set_faults(|_| Fault::Status(403, "AccessDenied"));
    stats("s3://bucket/x.zarr", &["s3://bucket/x.zarr", "access denied (AccessDenied: so it is)"]);
    server.set_faults(move |r| match of_chunks(r) {
        true => Fault::Status(403, "AccessDenied"),
        false => Fault::Nothing,
    });
    stats("s3://bucket/x.zarr", &["s3://bucket/x.zarr/c/", "access denied", "credentials"]);
    // Half way the server ends, answers no more, or not as it should.
    for (fault, text) in [
        (Fault::Drop, "reading it failed"),
        (Fault::Stall, "reading it failed"),
        (Fault::Cut(10), "reading it failed"),
        (Fault::Status(503, "SlowDown"), "SlowDown"),
    ] {
        server.set_faults(move |r| match of_chunks(r) && !r.path.ends_with("/c/0/0/0") {
            true => fault,
            false => Fault::Nothing,
        });
        stats("s3://bucket/x.zarr", &["s3://bucket/x.zarr/c/", text]);
    }
    // An object that is shorter or longer than its chunk.
    server.set_faults(|_| Fault::Nothing);
    server.put("/bucket/x.zarr/c/0/0/0", &[0; 100]);
    stats("s3://bucket/x.zarr", &["x.zarr/c/0/0/0", "the chunk has 100 bytes"]);
    server.put("/bucket/x.zarr/c/0/0/0", &[0; 100_000]);
    stats("s3://bucket/x.zarr", &["x.zarr/c/0/0/0", "the chunk has 100000 bytes"]);
    // A server without ranges.
    server.put("/bucket/cube.npy", &std::fs::read(cube(folder.path())).unwrap());
    server.set_faults(|_| Fault::Whole);
    stats("s3://bucket/cube.npy", &["s3://bucket/cube.npy", "whole files only"]);
}

#[test]
fn a_server_that_is_gone_is_told() {
    let url = {
        // An address of its own: no other test's server is given the port meanwhile.
        let listener = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let server = Server::start();
    let begun = Instant::now();
    fails(&server, &["info", &format!("{url}/x.zarr")], &[&url, "reading it failed"]);
    assert!(begun.elapsed() < Duration::from_secs(40));
}
