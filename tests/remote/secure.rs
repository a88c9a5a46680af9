//! Servers of TLS, with certificates of their own, and Google's protocol, against what lies on disk.

use crate::{
    PATIENT, Ran, SOON, assert_same, cube, data, run_with,
    server::{Server, root},
};
use std::path::Path;

/// Credentials of nobody: an account that need not ask for a token.
const ACCOUNT: &str = r#"{"private_key": "none", "private_key_id": "none",
    "client_email": "nobody@localhost", "disable_oauth": true}"#;

fn well(ran: Ran) -> String {
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran.out
}

/// Runs the program, which trusts the tests' own root alone.
fn trusting(variables: &[(&str, &str)], args: &[&str]) -> Ran {
    let root = root();
    let trust = [("SSL_CERT_FILE", root.to_str().unwrap())];
    run_with(&[variables, &trust].concat(), PATIENT, args)
}

#[test]
fn a_server_of_tls_is_read_where_it_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let cube = cube(folder.path());
    let server = Server::start_tls();
    server.load("/bucket/cube.npy", &cube);
    let back = folder.path().join("back.npy");
    let url = format!("{}/bucket/cube.npy", server.url);
    let args = ["convert", &url, back.to_str().unwrap(), "--quiet"];
    well(trusting(&[], &args));
    assert_same(back.to_str().unwrap(), &cube);

    // Who does not know the root does not read.
    let asked = server.requests().len();
    let ran = run_with(&[], SOON, &["info", &url]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains(&url) && ran.err.contains("SSL_CERT_FILE"), "{}", ran.err);
    assert_eq!(server.requests().len(), asked);
}

#[test]
fn s3_over_tls_is_read_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let cube = cube(folder.path());
    let server = Server::start_tls();
    let s3 = [("AWS_ENDPOINT_URL", &*server.url)];
    let (out, back) = ("s3://bucket/x.zarr", folder.path().join("back.npy"));
    let chunks = ["--chunks", "10,100,25", "--quiet"];
    well(trusting(&s3, &[&["convert", cube.to_str().unwrap(), out], &chunks[..]].concat()));
    assert_eq!(server.keys("/bucket/x.zarr/c/").len(), 12);
    well(trusting(&s3, &["convert", out, back.to_str().unwrap(), "--quiet"]));
    assert_same(back.to_str().unwrap(), &cube);
}

/// Google's protocol over plain HTTP and over TLS: read by nobody in particular, and written by
/// an account.
#[test]
fn buckets_of_google_are_read_and_written() {
    for server in [Server::start(), Server::start_tls()] {
        let folder = tempfile::tempdir().unwrap();
        let cube = cube(folder.path());
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let base = [("GOOGLE_BASE_URL", &*server.url)];
        let account = [base[0], ("GOOGLE_SERVICE_ACCOUNT_KEY", ACCOUNT)];

        let fits = data("visp/visp/I_000.fits");
        server.load("/bucket/a/I.fits", &fits);
        server.load("/bucket/group.zarr", &data("zarr/group-v3.zarr"));
        let back = at("I.npy");
        well(trusting(&base, &["convert", "gs://bucket/a/I.fits", &back, "--quiet"]));
        assert_same(&back, &fits);
        let tree = well(trusting(&base, &["info", "gs://bucket/group.zarr"]));
        let local = well(trusting(&[], &["info", data("zarr/group-v3.zarr").to_str().unwrap()]));
        let names = |tree: &str| {
            let lines = tree.lines().filter(|line| line.contains(['├', '└']));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(names(&tree), names(&local));

        let out = "gs://bucket/b/x.zarr";
        let convert = ["convert", cube.to_str().unwrap(), out, "--chunks", "10,100,25", "--quiet"];
        well(trusting(&account, &convert));
        let keys = server.keys("/bucket/b/x.zarr/");
        assert_eq!(keys.len(), 13, "{keys:?}");
        let again = trusting(&account, &convert);
        assert!(again.code == Some(1) && again.err.contains("exists already"), "{}", again.err);
        let back = at("back.npy");
        well(trusting(&base, &["convert", out, &back, "--quiet"]));
        assert_same(&back, Path::new(&cube));

        let missing = trusting(&base, &["info", "gs://bucket/no.npy"]);
        assert_eq!(missing.code, Some(1));
        assert!(missing.err.contains("gs://bucket/no.npy"), "{}", missing.err);
    }
}
