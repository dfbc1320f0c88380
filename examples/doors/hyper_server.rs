//! An HTTP/1 server by hyper. Its service is not `Send`: the connections share a plain counter.
//!
//! `cargo run -p wheelhouse-doors --bin hyper_server -- 127.0.0.1:8080`, then
//! `curl http://127.0.0.1:8080/`.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use wheelhouse::net::compat::hyper::{HyperIo, HyperTimer};
use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::{run, spawn};

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:0".into());
    run(async {
        let listener = TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        let count = Rc::new(Cell::new(0));
        loop {
            let (stream, peer) = listener.accept().await?;
            let count = count.clone();
            spawn(async move {
                if let Err(error) = serve(stream, count).await {
                    eprintln!("{peer}: {error}");
                }
            });
        }
    })
}

async fn serve(stream: TcpStream, count: Rc<Cell<u64>>) -> hyper::Result<()> {
    let service = service_fn(|request: Request<Incoming>| {
        count.set(count.get() + 1);
        let text = format!("{} {}: request {}\n", request.method(), request.uri(), count.get());
        async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text)))) }
    });
    // With a timer, who sends no request within 30 seconds is let go.
    http1::Builder::new().timer(HyperTimer).serve_connection(HyperIo::new(stream), service).await
}
