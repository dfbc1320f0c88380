//! axum's Router, served by hyper on the loop. axum asks of handlers to be `Send`; what of ours they
//! use is: sleeps, sockets, join handles. State that is not `Send` belongs behind a channel or to
//! another task.
//!
//! `cargo run -p wheelhouse-doors --bin axum_router -- 127.0.0.1:8080`, then
//! `curl http://127.0.0.1:8080/wait/20`.

use std::io;
use std::time::Duration;

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tower_service::Service;
use wheelhouse::net::TcpListener;
use wheelhouse::net::compat::hyper::{HyperIo, HyperTimer};
use wheelhouse::time::{Instant, sleep};
use wheelhouse::{run, spawn};

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:0".into());
    let router = Router::new().route("/wait/{ms}", get(wait)).route("/sum", post(sum));
    run(async {
        let listener = TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, peer) = listener.accept().await?;
            let router = router.clone();
            spawn(async move {
                let service =
                    service_fn(|request: hyper::Request<Incoming>| router.clone().call(request));
                let mut server = http1::Builder::new();
                let serving =
                    server.timer(HyperTimer).serve_connection(HyperIo::new(stream), service);
                if let Err(error) = serving.await {
                    eprintln!("{peer}: {error}");
                }
            });
        }
    })
}

async fn wait(Path(ms): Path<u64>) -> String {
    let start = Instant::now();
    sleep(Duration::from_millis(ms)).await;
    format!("waited {} ms\n", start.elapsed().as_millis())
}

async fn sum(Json(numbers): Json<Vec<i64>>) -> String {
    format!("{}\n", numbers.iter().sum::<i64>())
}
