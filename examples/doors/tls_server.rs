//! An HTTPS server: hyper over TLS, HTTP/2 or HTTP/1 as the client likes it (ALPN).
//!
//! `cargo run -p wheelhouse-doors --bin tls_server -- cert.pem key.pem 127.0.0.1:8443`, then
//! `curl --cacert cert.pem https://localhost:8443/`.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use wheelhouse::net::compat::hyper::{HyperExecutor, HyperIo, HyperTimer};
use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::time::timeout;
use wheelhouse::{run, spawn};
use wheelhouse_tls::{TlsAcceptor, certs_from_pem, key_from_pem, server_config};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [cert, key, address] = &args[..] else { Err("usage: tls_server CERT KEY ADDRESS")? };
    let mut config = server_config(certs_from_pem(cert)?, key_from_pem(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::new(Arc::new(config));
    run(async {
        let listener = TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, peer) = listener.accept().await?;
            let acceptor = acceptor.clone();
            spawn(async move {
                if let Err(error) = serve(stream, acceptor).await {
                    eprintln!("{peer}: {error}");
                }
            });
        }
    })
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor) -> Result<(), Box<dyn Error>> {
    stream.set_nodelay(true)?;
    let stream = timeout(Duration::from_secs(10), acceptor.accept(stream)).await??;
    let service = service_fn(async |request: Request<Incoming>| {
        let text = format!("{:?} {}\n", request.version(), request.uri().path());
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
    });
    if stream.alpn() == Some(b"h2") {
        let mut server = http2::Builder::new(HyperExecutor);
        server.timer(HyperTimer).serve_connection(HyperIo::new(stream), service).await?;
    } else {
        let mut server = http1::Builder::new();
        server.timer(HyperTimer).serve_connection(HyperIo::new(stream), service).await?;
    }
    Ok(())
}
