//! What is read, and with how many requests.

use crate::{
    assert_same, cube, data, elements,
    server::{Fault, Server},
    succeeds,
};
use freeboard::{Session, Zarr, formats::registry, open};
use std::fs;

#[test]
fn zarr_is_read_over_plain_http() {
    let folder = tempfile::tempdir().unwrap();
    let array = open(cube(folder.path()).to_str().unwrap()).unwrap();
    let session = Session::builder().memory("256MiB").build().unwrap();
    let server = Server::start();
    let at = |name: &str| folder.path().join(name);
    let chunks = [7, 100, 25];
    for (name, writer) in [
        ("zstd.zarr", Zarr::create(at("zstd.zarr")).chunks(chunks)),
        ("raw.zarr", Zarr::create(at("raw.zarr")).chunks(chunks).uncompressed()),
        ("v2.zarr", Zarr::create(at("v2.zarr")).chunks(chunks).v2().gzip(1)),
        ("shards.zarr", Zarr::create(at("shards.zarr")).chunks([4, 50, 5]).shards([20, 100, 25])),
        (
            "raw-shards.zarr",
            Zarr::create(at("raw-shards.zarr"))
                .chunks([4, 50, 5])
                .shards([20, 100, 25])
                .uncompressed(),
        ),
    ] {
        session.store(&array, writer).unwrap();
        server.load(&format!("/data/{name}"), &at(name));
        assert_same(&format!("{}/data/{name}", server.url), &at(name));
    }
    let url = format!("{}/data/zstd.zarr", server.url);
    server.set_faults(|_| Fault::Nothing);
    elements(&url).unwrap();
    let chunks = server.requests().iter().filter(|r| r.path.contains("/c/")).count();
    assert_eq!(chunks, 6 * 3, "a request a chunk");

    // A chunk that is not there is of the fill value.
    server.remove("/data/zstd.zarr/c/0/0/0");
    let (_, found) = elements(&url).unwrap();
    assert_eq!(found[1], 0f64.to_bits());
    assert_eq!(found[100 * 25], (2500f32.sqrt() as f64).to_bits());
}

#[test]
fn a_part_of_a_shard_is_read_by_ranges() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.zarr");
    let session = Session::builder().memory("256MiB").build().unwrap();
    let array = open(cube(folder.path()).to_str().unwrap()).unwrap();
    let writer = Zarr::create(&path).chunks([4, 50, 5]).shards([40, 300, 25]).uncompressed();
    session.store(&array, writer).unwrap();
    let server = Server::start();
    server.load("/x.zarr", &path);
    let part = |location: &str| {
        let part = open(location).unwrap().slice_numpy("5, 60:62, 3").cast::<f64>();
        session.compute(&part).unwrap()
    };
    let url = format!("{}/x.zarr", server.url);
    server.set_faults(|_| Fault::Nothing);
    assert_eq!(part(&url), part(path.to_str().unwrap()));
    let of_shard = server.requests().into_iter().filter(|r| r.path.contains("/c/")).count();
    assert!((2..=3).contains(&of_shard), "its index and an inner chunk: {of_shard}");
}

#[test]
fn groups_are_read_by_their_consolidated_metadata() {
    let server = Server::start();
    let mut seen = 0;
    for entry in fs::read_dir(data("zarr")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let document = fs::read_to_string(path.join("zarr.json")).unwrap_or_default();
        let is_consolidated = document.contains("\"consolidated_metadata\": {");
        if !(is_consolidated || path.join(".zmetadata").is_file()) {
            continue;
        }
        seen += 1;
        server.load(&format!("/{name}"), &path);
        let names = |location: &str| -> Vec<String> {
            let items = registry::list(location).unwrap();
            items.into_iter().map(|item| item.name).collect()
        };
        let url = format!("{}/{name}", server.url);
        let expected = names(path.to_str().unwrap());
        assert_eq!(names(&url), expected);
        for item in expected {
            let local = path.display();
            assert_same(&format!("{url}::{item}"), format!("{local}::{item}").as_ref());
        }
    }
    assert!(seen > 0);
    // No server of files lists anything: nothing but objects was asked for.
    assert!(server.requests().iter().all(|request| request.query.values().all(String::is_empty)));
}

#[test]
fn files_are_read_by_ranges() {
    let server = Server::start();
    for (folder, name) in [
        ("fits", "plain_f4.fits"),
        ("fits", "rice_tiles_i2.fits"),
        ("fits", "cube_i2.fits.gz"),
        ("npy", "float32.npy"),
        ("hdf5", "one.h5"),
    ] {
        let path = data(folder).join(name);
        server.load(&format!("/{name}"), &path);
        assert_same(&format!("{}/{name}", server.url), &path);
    }
    // A stack of URLs.
    let names = ["I_000.fits", "I_001.fits", "I_002.fits"];
    let path = |name: &str| data("visp/visp").join(name).display().to_string();
    names.iter().for_each(|name| server.load(&format!("/{name}"), path(name).as_ref()));
    let stacked = |locations: Vec<String>| {
        let options = registry::OpenOptions::default();
        freeboard::Array::from_source(registry::open_with(&locations, &options).unwrap())
    };
    let session = Session::builder().memory("256MiB").build().unwrap();
    let mean = |array: freeboard::Array| session.compute(&array.cast::<f64>().nanmean(..)).unwrap();
    let urls = names.map(|name| format!("{}/{name}", server.url)).to_vec();
    assert_eq!(mean(stacked(urls)), mean(stacked(names.map(path).to_vec())));

    // Short reads are served from what was read ahead.
    let folder = tempfile::tempdir().unwrap();
    server.load("/cube.npy", &cube(folder.path()));
    let url = format!("{}/cube.npy", server.url);
    server.set_faults(|_| Fault::Nothing);
    let rows = open(&url).unwrap().slice_numpy(":, :20, :").cast::<f64>();
    session.compute(&rows.sum(..)).unwrap();
    let requests = server.requests().len();
    assert!(requests < 20, "{requests} requests for 40 runs of rows");
}

#[test]
fn the_program_reads_s3() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let cube = cube(folder.path());
    server.load("/bucket/deep/cube.npy", &cube);
    let local = succeeds(&server, &["stats", cube.to_str().unwrap(), "--json"]);
    assert_eq!(succeeds(&server, &["stats", "s3://bucket/deep/cube.npy", "--json"]), local);
    let out = succeeds(&server, &["info", "s3://bucket/deep/cube.npy"]);
    assert!(out.contains("(40, 300, 25)"), "{out}");
}
