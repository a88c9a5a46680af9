//! A server of objects in memory, on the loopback: as much of HTTP and of S3's protocol as
//! readers and writers of arrays use, over TLS where that is asked for, and whatever fault is.

use crate::data;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    fs,
    hash::{Hash, Hasher},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

/// What a client asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    /// The path alone, percent-decoded.
    pub path: String,
    /// What stands behind `?`, percent-decoded.
    pub query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    /// How many requests of this method and path came before.
    pub before: usize,
}

/// What goes wrong with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Nothing,
    /// This status, and for S3's clients a code.
    Status(u16, &'static str),
    /// Headers as they should be, so many bytes of the body, and the end of the connection.
    Cut(usize),
    /// The end of the connection.
    Drop,
    /// No answer for a minute.
    Stall,
    /// The whole object, whatever range was asked for.
    Whole,
    /// None, but the object is another one afterwards.
    Replaced,
}

type Faults = dyn Fn(&Request) -> Fault + Send;

struct State {
    objects: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<String, BTreeMap<u64, Vec<u8>>>,
    requests: Vec<Request>,
    faults: Box<Faults>,
    /// Whether versions are told.
    tags: bool,
}

/// The server; it ends with the process.
#[derive(Clone)]
pub struct Server {
    state: Arc<Mutex<State>>,
    pub url: String,
}

impl Server {
    /// A server without objects.
    pub fn start() -> Server {
        Server::begin("http", Some)
    }

    /// The same over TLS, with a certificate that who trusts [`root`] trusts.
    pub fn start_tls() -> Server {
        let file = |name: &str| data("tls").join(name);
        let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let config = Arc::new(config);
        Server::begin("https", move |stream| {
            let connection = ServerConnection::new(config.clone()).ok()?;
            Some(StreamOwned::new(connection, stream))
        })
    }

    /// A server whose connections are made streams of bytes so.
    fn begin<S: Read + Write>(
        scheme: &str,
        wrapped: impl Fn(TcpStream) -> Option<S> + Clone + Send + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let state = State {
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            requests: Vec::new(),
            faults: Box::new(|_| Fault::Nothing),
            tags: true,
        };
        let server = Server { state: Arc::new(Mutex::new(state)), url };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (serving, wrapped) = (serving.clone(), wrapped.clone());
                thread::spawn(move || wrapped(stream).map(|stream| serving.serve(stream)));
            }
        });
        server
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Puts the file, or all files below the folder, at `path` on the disk to `key`.
    pub fn load(&self, key: &str, path: &Path) {
        if path.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                self.load(&format!("{key}/{name}"), &entry.path());
            }
        } else {
            self.state().objects.insert(key.to_owned(), fs::read(path).unwrap());
        }
    }

    pub fn put(&self, key: &str, bytes: &[u8]) {
        self.state().objects.insert(key.to_owned(), bytes.to_owned());
    }

    pub fn remove(&self, key: &str) {
        self.state().objects.remove(key);
    }

    /// The keys that begin so.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.state().objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// From now on answers have these faults.
    pub fn set_faults(&self, faults: impl Fn(&Request) -> Fault + Send + 'static) {
        let mut state = self.state();
        state.requests.clear();
        state.faults = Box::new(faults);
    }

    /// From now on versions are told, or not.
    pub fn set_tags(&self, tags: bool) {
        self.state().tags = tags;
    }

    /// What was asked for since the faults were set last.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    fn serve(&self, stream: impl Read + Write) {
        let mut reader = BufReader::new(stream);
        while let Some(mut request) = read(&mut reader) {
            let (fault, answer) = {
                let mut state = self.state();
                let alike = |r: &&Request| r.method == request.method && r.path == request.path;
                request.before = state.requests.iter().filter(alike).count();
                state.requests.push(request.clone());
                let fault = (state.faults)(&request);
                let answer = answer(&mut state, &request, fault);
                if fault == Fault::Replaced
                    && let Some(last) =
                        state.objects.get_mut(&request.path).and_then(|bytes| bytes.last_mut())
                {
                    *last ^= 1;
                }
                (fault, answer)
            };
            match fault {
                Fault::Drop => return,
                Fault::Stall => {
                    thread::sleep(Duration::from_secs(60));
                    return;
                }
                _ => {}
            }
            let Answer { status, headers, body } = answer;
            let mut text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
            headers.iter().for_each(|header| text += &format!("{header}\r\n"));
            let mut bytes = format!("{text}\r\n").into_bytes();
            if request.method != "HEAD" {
                let sent = if let Fault::Cut(at) = fault { at.min(body.len()) } else { body.len() };
                bytes.extend_from_slice(&body[..sent]);
            }
            let stream = reader.get_mut();
            let sent = stream.write_all(&bytes).and_then(|()| stream.flush());
            if sent.is_err() || matches!(fault, Fault::Cut(_)) {
                return;
            }
        }
    }
}

/// The certificate of who vouches for the server's.
pub fn root() -> PathBuf {
    data("tls").join("root.pem")
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&len| len > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let query = pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&len| len > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let len = headers.get("content-length").map_or(0, |len| len.parse().unwrap());
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path: decoded(path), query, headers, body, before: 0 })
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, more)) = rest.split_first() {
        let hex = more.get(..2).filter(|_| byte == b'%');
        let value = hex.and_then(|hex| u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(value.unwrap_or(byte));
        rest = if value.is_some() { &more[2..] } else { more };
    }
    String::from_utf8(bytes).unwrap()
}

struct Answer {
    status: u16,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, headers: Vec::new(), body: body.into() }
    }

    fn error(status: u16, code: &str) -> Answer {
        let message = "<Message>so it is</Message>";
        Answer::new(status, format!("<Error><Code>{code}</Code>{message}</Error>"))
    }
}

fn tag_of(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:x}\"", hasher.finish())
}

fn answer(state: &mut State, request: &Request, fault: Fault) -> Answer {
    let Request { method, path, query, headers, body, .. } = request;
    if let Fault::Status(status, code) = fault {
        return Answer::error(status, code);
    }
    let upload = query.get("uploadId");
    match method.as_str() {
        "GET" if query.contains_key("list-type") => list(state, request),
        "GET" | "HEAD" => get(state, request, fault == Fault::Whole),
        "PUT" => {
            if headers.contains_key("if-none-match") && state.objects.contains_key(path) {
                return Answer::error(412, "PreconditionFailed");
            }
            match upload {
                Some(id) => {
                    let part = query["partNumber"].parse().unwrap();
                    state.uploads.get_mut(id).unwrap().insert(part, body.clone());
                }
                None => drop(state.objects.insert(path.clone(), body.clone())),
            }
            let mut answer = Answer::new(200, "");
            answer.headers.push(format!("etag: {}", tag_of(body)));
            answer
        }
        "POST" if query.contains_key("uploads") => {
            let id = format!("upload{}", state.uploads.len());
            state.uploads.insert(id.clone(), BTreeMap::new());
            let (start, end) =
                ("<InitiateMultipartUploadResult>", "</InitiateMultipartUploadResult>");
            Answer::new(200, format!("{start}<UploadId>{id}</UploadId>{end}"))
        }
        "POST" if query.contains_key("delete") => {
            let text = str::from_utf8(body).unwrap();
            let (bucket, mut deleted) = (path.trim_end_matches('/'), String::new());
            for part in text.split("<Key>").skip(1) {
                let key = part.split("</Key>").next().unwrap();
                state.objects.remove(&format!("{bucket}/{key}"));
                deleted += &format!("<Deleted><Key>{key}</Key></Deleted>");
            }
            Answer::new(200, format!("<DeleteResult>{deleted}</DeleteResult>"))
        }
        "POST" => {
            let parts = state.uploads.remove(upload.unwrap()).unwrap();
            let whole: Vec<u8> = parts.into_values().flatten().collect();
            let tag = tag_of(&whole);
            state.objects.insert(path.clone(), whole);
            let (start, end) =
                ("<CompleteMultipartUploadResult>", "</CompleteMultipartUploadResult>");
            Answer::new(200, format!("{start}<ETag>{tag}</ETag>{end}"))
        }
        "DELETE" => {
            match upload {
                Some(id) => drop(state.uploads.remove(id)),
                None => drop(state.objects.remove(path)),
            }
            Answer::new(204, "")
        }
        _ => Answer::error(405, "MethodNotAllowed"),
    }
}

fn get(state: &State, request: &Request, whole: bool) -> Answer {
    let Some(bytes) = state.objects.get(&request.path) else {
        let bucket = request.path.split('/').nth(1).unwrap_or_default();
        let is_there = bucket != "nowhere";
        return Answer::error(404, if is_there { "NoSuchKey" } else { "NoSuchBucket" });
    };
    let tag = tag_of(bytes);
    if request.headers.get("if-match").is_some_and(|wanted| *wanted != tag) {
        return Answer::error(412, "PreconditionFailed");
    }
    let mut headers = vec!["last-modified: Mon, 01 Jan 2024 00:00:00 GMT".to_owned()];
    headers.extend(state.tags.then(|| format!("etag: {tag}")));
    let range = request.headers.get("range").filter(|_| !whole);
    let Some((first, last)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
    else {
        return Answer { status: 200, headers, body: bytes.clone() };
    };
    let len = bytes.len();
    let (start, end) = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => (first, (last + 1).min(len)),
        (Ok(first), Err(_)) => (first, len),
        (Err(_), Ok(count)) => (len.saturating_sub(count), len),
        _ => return Answer::error(400, "InvalidArgument"),
    };
    if start >= end {
        return Answer::error(416, "InvalidRange");
    }
    headers.push(format!("content-range: bytes {start}-{}/{len}", end - 1));
    Answer { status: 206, headers, body: bytes[start..end].to_vec() }
}

fn list(state: &State, request: &Request) -> Answer {
    let bucket = format!("{}/", request.path.trim_end_matches('/'));
    let text = |name: &str| request.query.get(name).cloned().unwrap_or_default();
    let (prefix, delimiter) = (text("prefix"), text("delimiter"));
    if bucket == "/nowhere/" {
        return Answer::error(404, "NoSuchBucket");
    }
    let (mut contents, mut common) = (String::new(), Vec::new());
    for (path, bytes) in &state.objects {
        let Some(key) = path.strip_prefix(&bucket).filter(|key| key.starts_with(&prefix)) else {
            continue;
        };
        match key[prefix.len()..].split_once(&delimiter).filter(|_| !delimiter.is_empty()) {
            Some((name, _)) => common.push(format!("{prefix}{name}{delimiter}")),
            None => {
                contents += &format!(
                    "<Contents><Key>{key}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>\
                     <ETag>\"x\"</ETag><Size>{}</Size></Contents>",
                    bytes.len()
                );
            }
        }
    }
    common.dedup();
    for prefix in common {
        contents += &format!("<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>");
    }
    Answer::new(
        200,
        format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"),
    )
}
