//! Which server stands behind a URL, and with whose rights it is asked.
//!
//! Credentials are those that the environment names, by the variables of the stores' own tools:
//! `AWS_ACCESS_KEY_ID` and its kin, `GOOGLE_APPLICATION_CREDENTIALS` and its kin. Without any,
//! requests are anonymous, as public data want it, unless `AWS_SKIP_SIGNATURE=false` asks for
//! those of the machine (which would be looked for at an address that elsewhere nobody answers).
//! `AWS_ENDPOINT_URL` names another server that speaks S3's protocol, `GOOGLE_BASE_URL` one that
//! speaks Google's, over plain HTTP where it says so. Servers are trusted whose certificates the
//! system knows, or the files that `SSL_CERT_FILE` and `SSL_CERT_DIR` name instead.

use super::request::wait;
use crate::{
    error::{ErrorKind, FormatError, Result},
    url,
};
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, resolve_bucket_region},
    gcp::GoogleCloudStorageBuilder,
    http::HttpBuilder,
};
use std::{
    collections::BTreeMap,
    env,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

/// How long an answer, or the next bytes of one, are waited for, unless [`TIMEOUT`] says so.
const PATIENCE: Duration = Duration::from_secs(60);

/// The variable that tells another time, in seconds.
const TIMEOUT: &str = "FREEBOARD_REMOTE_TIMEOUT";

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How often a request is made again.
const RETRIES: usize = 8;

/// Variables that name a server that speaks S3's protocol.
const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];

/// The variable that names a server that speaks the protocol of Google's store.
const GOOGLE_ENDPOINT: [&str; 1] = ["GOOGLE_BASE_URL"];

/// Variables that give credentials for S3.
const AWS: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
];

/// Variables that give credentials for Google's store.
const GOOGLE: [&str; 6] = [
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_SKIP_SIGNATURE",
    "SERVICE_ACCOUNT",
];

/// A bucket, or a server.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) store: Arc<dyn ObjectStore>,
    /// Whether objects can be written: not over plain HTTP.
    pub(super) is_writable: bool,
    /// Whether requests carry no credentials.
    pub(super) is_anonymous: bool,
    /// `s3`, `gs`, `https` or `http`.
    pub(super) scheme: String,
}

impl Bucket {
    /// The bucket that `url` is in; one client for all that is read from it by this process.
    pub(super) fn of(url: &str) -> Result<Arc<Bucket>> {
        static OPEN: Mutex<BTreeMap<String, Arc<Bucket>>> = Mutex::new(BTreeMap::new());
        url::check(url)?;
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let host = rest.split('/').next().unwrap_or_default();
        let name = format!("{scheme}://{host}");
        let lock = || OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = lock().get(&name) {
            return Ok(bucket.clone());
        }
        // Made without the lock, since that may take a request: of two, one stays.
        let made = Arc::new(Bucket::open(scheme, host).map_err(|e| e.at(url))?);
        Ok(lock().entry(name).or_insert(made).clone())
    }

    fn open(scheme: &str, host: &str) -> Result<Bucket> {
        let failed = |e: object_store::Error| {
            let message = format!("no client for this: {}", one_line(&e.to_string()));
            FormatError::new(ErrorKind::Invalid, message).because(e)
        };
        let (store, is_anonymous): (Arc<dyn ObjectStore>, bool) = match scheme {
            "s3" => {
                let (mut builder, is_anonymous) = s3(host);
                if is_anonymous {
                    builder = builder.with_skip_signature(true);
                }
                (Arc::new(builder.build().map_err(failed)?), is_anonymous)
            }
            "gs" => {
                let is_anonymous = !is_any_set(&GOOGLE);
                let mut builder = GoogleCloudStorageBuilder::from_env()
                    .with_bucket_name(host)
                    .with_retry(retries())
                    .with_client_options(client(is_plain(&GOOGLE_ENDPOINT)));
                if is_anonymous {
                    builder = builder.with_skip_signature(true);
                }
                (Arc::new(builder.build().map_err(failed)?), is_anonymous)
            }
            _ => {
                let builder = HttpBuilder::new()
                    .with_url(format!("{scheme}://{host}"))
                    .with_retry(retries())
                    .with_client_options(client(scheme == "http"));
                (Arc::new(builder.build().map_err(failed)?), true)
            }
        };
        let is_writable = matches!(scheme, "s3" | "gs");
        Ok(Bucket { store, is_writable, is_anonymous, scheme: scheme.to_owned() })
    }
}

/// What opens a bucket of S3, and whether it does so without credentials.
fn s3(bucket: &str) -> (AmazonS3Builder, bool) {
    let endpoint = ENDPOINTS.iter().find_map(|name| env::var(name).ok());
    let client = client(is_plain(&ENDPOINTS));
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_retry(retries())
        .with_client_options(client.clone());
    if let Some(endpoint) = &endpoint {
        builder = builder.with_endpoint(endpoint);
    } else if !is_any_set(&["AWS_REGION", "AWS_DEFAULT_REGION"])
        && let Ok(region) = wait(resolve_bucket_region(bucket, &client))
    {
        builder = builder.with_region(region);
    }
    (builder, !is_any_set(&AWS))
}

/// Whether the first of these variables that is set names a server of plain HTTP.
fn is_plain(endpoints: &[&str]) -> bool {
    let endpoint = endpoints.iter().find_map(|name| env::var(name).ok());
    endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
}

fn client(is_plain: bool) -> ClientOptions {
    // The client's TLS takes its cryptography from what the process has: `ring`, unless the
    // program has chosen another.
    static CRYPTOGRAPHY: OnceLock<()> = OnceLock::new();
    CRYPTOGRAPHY.get_or_init(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    // A time for whole responses would be one for large chunks on slow lines: what is waited
    // for are the next bytes.
    ClientOptions::new()
        .with_timeout_disabled()
        .with_read_timeout(patience())
        .with_connect_timeout(CONNECT.min(patience()))
        .with_allow_http(is_plain)
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(10),
            base: 2.0,
        },
        max_retries: RETRIES,
        retry_timeout: patience(),
    }
}

fn patience() -> Duration {
    let told = env::var(TIMEOUT).ok().and_then(|text| text.parse().ok());
    told.filter(|&seconds| seconds > 0).map_or(PATIENCE, Duration::from_secs)
}

fn is_any_set(names: &[&str]) -> bool {
    names.iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// The text in one line.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
