//! An HTTP/1 client by hyper: gets a page and prints it.
//!
//! `cargo run -p wheelhouse-doors --bin hyper_client -- http://127.0.0.1:8080/`

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::{Request, Uri};
use wheelhouse::net::TcpStream;
use wheelhouse::net::compat::hyper::HyperIo;
use wheelhouse::time::timeout;
use wheelhouse::{run, spawn};

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: hyper_client URL")?;
    let url = url.parse()?;
    let page = run(async { timeout(Duration::from_secs(30), get(url)).await });
    print!("{}", page??);
    Ok(())
}

async fn get(url: Uri) -> Result<String, Box<dyn Error>> {
    let host = url.host().ok_or("the URL names no host")?;
    let stream = TcpStream::connect((host, url.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(HyperIo::new(stream)).await?;
    // The connection is driven beside the requests on it.
    let connection = spawn(connection);

    let request = Request::get(url.path_and_query().map_or("/", |path| path.as_str()))
        .header("host", url.authority().map_or(host, |authority| authority.as_str()))
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    drop(sender);
    connection.await??;
    Ok(format!("{status}\n{}", String::from_utf8_lossy(&body)))
}
