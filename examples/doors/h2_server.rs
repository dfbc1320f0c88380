//! An HTTP/2 server by hyper, without TLS (prior knowledge). Its streams are tasks on the loop, and
//! nothing in them is `Send`.
//!
//! `cargo run -p wheelhouse-doors --bin h2_server -- 127.0.0.1:8080`, then
//! `curl --http2-prior-knowledge http://127.0.0.1:8080/`.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use wheelhouse::net::compat::hyper::{HyperExecutor, HyperIo, HyperTimer};
use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::time::sleep;
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
    stream.set_nodelay(true).ok();
    let service = service_fn(move |request: Request<Incoming>| {
        let count = count.clone();
        async move {
            if request.uri().path() == "/slow" {
                sleep(Duration::from_millis(100)).await;
            }
            count.set(count.get() + 1);
            let text = format!("{} {}: request {}\n", request.method(), request.uri(), count.get());
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
        }
    });
    let mut server = http2::Builder::new(HyperExecutor);
    server.timer(HyperTimer).keep_alive_interval(Duration::from_secs(20));
    server.serve_connection(HyperIo::new(stream), service).await
}
