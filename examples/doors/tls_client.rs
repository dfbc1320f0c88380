//! An HTTPS client: gets a page over HTTP/2 or HTTP/1, as the server likes it (ALPN).
//!
//! `cargo run -p wheelhouse-doors --bin tls_client -- https://localhost:8443/ ca.pem`

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Uri};
use wheelhouse::net::TcpStream;
use wheelhouse::net::compat::hyper::{HyperExecutor, HyperIo};
use wheelhouse::time::timeout;
use wheelhouse::{run, spawn};
use wheelhouse_tls::{ServerName, TlsConnector, client_config, roots_from_pem};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [url, roots] = &args[..] else { Err("usage: tls_client URL CA-FILE")? };
    let mut config = client_config(roots_from_pem(roots)?);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let connector = TlsConnector::new(Arc::new(config));
    let url = url.parse()?;
    let page = run(async { timeout(Duration::from_secs(30), get(url, connector)).await });
    print!("{}", page??);
    Ok(())
}

async fn get(url: Uri, connector: TlsConnector) -> Result<String, Box<dyn Error>> {
    let host = url.host().ok_or("the URL names no host")?.to_owned();
    let stream = TcpStream::connect((&*host, url.port_u16().unwrap_or(443))).await?;
    // An IPv6 address stands in brackets in a URL, and in no certificate.
    let name = host.trim_matches(['[', ']']).to_owned();
    let stream = connector.connect(ServerName::try_from(name)?, stream).await?;
    let is_h2 = stream.alpn() == Some(b"h2");
    let io = HyperIo::new(stream);
    let body = Empty::<Bytes>::new();
    // When the sender is dropped and the response is read, the connection closes.
    let (response, connection) = if is_h2 {
        let (mut sender, connection) = http2::handshake(HyperExecutor, io).await?;
        let connection = spawn(connection);
        (sender.send_request(Request::get(url).body(body)?).await?, connection)
    } else {
        let (mut sender, connection) = http1::handshake(io).await?;
        let connection = spawn(connection);
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path).header("host", url.authority().unwrap().as_str());
        (sender.send_request(request.body(body)?).await?, connection)
    };
    let (status, version) = (response.status(), response.version());
    let body = response.into_body().collect().await?.to_bytes();
    connection.await??;
    Ok(format!("{status} by {version:?}\n{}", String::from_utf8_lossy(&body)))
}
