//! TLS and HTTP/2: what is negotiated, whom it trusts, and an end without a word.

mod fixture;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use fixture::{run, scratch};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use wheelhouse::net::compat::hyper::{HyperExecutor, HyperIo};
use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::{EventLoop, Handle, spawn};
use wheelhouse_tls::{PrivateKeyDer, TlsAcceptor, server_config};

/// An `https` server on a thread, with a certificate of its own making.
struct Secure {
    url: String,
    folder: PathBuf,
    /// The certificate, as the crawler is told to trust it.
    ca_file: String,
    /// The versions that requests came in, and how many connections there were.
    seen: Arc<Mutex<(Vec<Version>, usize)>>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Secure {
    /// `protocols` as ALPN has them; `cuts` ends connections in the middle of the first answer.
    fn start(protocols: &[&[u8]], cuts: bool) -> Secure {
        let folder = scratch();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let ca_file = folder.join("ca.pem");
        std::fs::write(&ca_file, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut config = server_config(vec![made.cert.der().clone()], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let acceptor = TlsAcceptor::new(Arc::new(config));
        let seen: Arc<Mutex<(Vec<Version>, usize)>> = Arc::default();
        let (sender, receiver) = mpsc::channel();
        let log = seen.clone();
        let thread = std::thread::spawn(move || {
            let event_loop = EventLoop::new().unwrap();
            let listener = event_loop.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
            let port = listener.local_addr().unwrap().port();
            event_loop.block_on(async { drop(spawn(accept(listener, acceptor, log, cuts))) });
            sender.send((port, event_loop.handle())).unwrap();
            event_loop.run_forever();
        });
        let (port, handle) = receiver.recv().unwrap();
        let url = format!("https://localhost:{port}");
        let ca_file = ca_file.to_str().unwrap().to_owned();
        Secure { url, folder, ca_file, seen, handle, thread: Some(thread) }
    }

    fn crawl(&self, options: &[&str]) -> fixture::Run {
        run(&[&[&*format!("{}/", self.url), "--backoff", "1ms"], options].concat())
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.handle.stop();
        let _ = self.thread.take().unwrap().join();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

type Seen = Arc<Mutex<(Vec<Version>, usize)>>;

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, seen: Seen, cuts: bool) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        drop(spawn(serve(stream, acceptor.clone(), seen.clone(), cuts)));
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, seen: Seen, cuts: bool) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    seen.lock().unwrap().1 += 1;
    if cuts {
        return cut(stream).await;
    }
    let is_two = stream.alpn() == Some(b"h2");
    let service = service_fn(move |request| answer(request, seen.clone()));
    let io = HyperIo::new(stream);
    if is_two {
        let _ = http2::Builder::new(HyperExecutor).serve_connection(io, service).await;
    } else {
        let _ = http1::Builder::new().serve_connection(io, service).await;
    }
}

/// Robots and, for the page, an answer without a length that ends with TCP's end and no word of
/// TLS's: whoever takes it for whole can be made to miss the rest.
async fn cut(mut stream: wheelhouse_tls::TlsStream<TcpStream>) {
    use futures_lite::{AsyncReadExt, AsyncWriteExt};
    let mut chunk = [0; 4096];
    let Ok(read) = stream.read(&mut chunk).await else { return };
    let is_robots = chunk[..read].starts_with(b"GET /robots.txt");
    let text: &[u8] = if is_robots {
        b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    } else {
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<a href=/the-first-half>"
    };
    let _ = stream.write_all(text).await;
    let _ = stream.flush().await;
    drop(stream.into_inner());
}

async fn answer(
    request: Request<Incoming>,
    seen: Seen,
) -> Result<Response<Full<Bytes>>, Infallible> {
    seen.lock().unwrap().0.push(request.version());
    let links: String = (0..20).map(|page| format!("<a href=/{page}>{page}</a>")).collect();
    let mut response = Response::new(Full::new(Bytes::from(links)));
    response.headers_mut().insert("content-type", "text/html".parse().unwrap());
    if request.uri().path() == "/robots.txt" {
        *response.status_mut() = hyper::StatusCode::NOT_FOUND;
    }
    Ok(response)
}

#[test]
fn http2_shares_one_connection() {
    let server = Secure::start(&[b"h2", b"http/1.1"], false);
    let run = server.crawl(&["--ca-file", &server.ca_file]);
    assert_eq!((run.code, run.rows.len()), (0, 21), "{}", run.stderr);
    let (versions, connections) = &*server.seen.lock().unwrap();
    assert!(versions.iter().all(|version| *version == Version::HTTP_2), "{versions:?}");
    assert_eq!((versions.len(), *connections), (22, 1));
}

#[test]
fn http1_over_tls_keeps_its_connections() {
    let server = Secure::start(&[b"http/1.1"], false);
    let run = server.crawl(&["--ca-file", &server.ca_file, "--per-host", "4"]);
    assert_eq!((run.code, run.rows.len()), (0, 21), "{}", run.stderr);
    let (versions, connections) = &*server.seen.lock().unwrap();
    assert!(versions.iter().all(|version| *version == Version::HTTP_11), "{versions:?}");
    assert!(*connections <= 4, "{connections} connections for 22 requests");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_at_once() {
    let server = Secure::start(&[], false);
    let run = server.crawl(&[]);
    assert_eq!((run.rows[0]["error"].as_str(), run.code), (Some("tls"), 2), "{}", run.stdout);
    assert!(server.seen.lock().unwrap().0.is_empty());
}

#[test]
fn an_end_without_close_notify_is_no_end() {
    let server = Secure::start(&[], true);
    let run = server.crawl(&["--ca-file", &server.ca_file, "--retries", "1"]);
    assert_eq!((run.rows[0]["error"].as_str(), run.rows.len()), (Some("cut-off"), 1));
    assert_eq!(run.rows[0]["tries"], 2);
}

#[test]
fn a_file_of_certificates_that_is_none_is_told() {
    let run = run(&["https://localhost:1/", "--ca-file", "/no/such/file.pem"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("--ca-file: /no/such/file.pem"), "{}", run.stderr);
}
