//! axum's Router, served by hyper on the loop, with state, until Ctrl-C: then what was asked is still
//! answered, and idle connections are closed. axum asks of handlers to be `Send`; what of ours they
//! use is: sleeps, sockets, join handles. State that is not `Send` belongs behind a channel or to
//! another task.
//!
//! `cargo run -p wheelhouse-doors --bin axum_router -- 127.0.0.1:8080`, then
//! `curl http://127.0.0.1:8080/wait/20`.

use std::io;
use std::net::{self, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tower_service::Service;
use wheelhouse::net::compat::hyper::{HyperIo, HyperTimer};
use wheelhouse::net::{Connection, Server};
use wheelhouse::signal::ctrl_c;
use wheelhouse::time::{Instant, sleep};
use wheelhouse::{run, select};

const GRACE: Duration = Duration::from_secs(10);

type Waiting = Arc<AtomicUsize>;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:0".into());
    let router = Router::new()
        .route("/wait/{ms}", get(wait))
        .route("/waiting", get(waiting))
        .route("/sum", post(sum))
        .with_state(Waiting::default());
    run(async {
        let serve = move |connection, peer| serve(router.clone(), connection, peer);
        let server = Server::builder().bind(address).serve(serve).await?;
        println!("listening on {}", server.local_addrs()[0]);
        ctrl_c().await?;
        server.close();
        let report = server.close_clients(GRACE).await;
        if !report.is_clean() {
            eprintln!("{report}");
        }
        Ok(())
    })
}

/// Serves a connection until it ends, or the server does: then after the request under way.
async fn serve(
    router: Router,
    connection: Connection<net::TcpStream>,
    peer: SocketAddr,
) -> hyper::Result<()> {
    let closing = connection.closing().clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        // axum's `ConnectInfo` needs tokio's runtime.
        request.extensions_mut().insert(peer);
        router.clone().call(request)
    });
    let mut server = http1::Builder::new();
    let serving = server.timer(HyperTimer).serve_connection(HyperIo::new(connection), service);
    let mut serving = pin!(serving);
    select! {
        ended = serving.as_mut() => return ended,
        () = closing.cancelled() => {}
    }
    serving.as_mut().graceful_shutdown();
    serving.await
}

async fn wait(State(waiting): State<Waiting>, Path(ms): Path<u64>) -> String {
    let start = Instant::now();
    waiting.fetch_add(1, Ordering::Relaxed);
    sleep(Duration::from_millis(ms)).await;
    waiting.fetch_sub(1, Ordering::Relaxed);
    format!("waited {} ms\n", start.elapsed().as_millis())
}

async fn waiting(State(waiting): State<Waiting>, Extension(peer): Extension<SocketAddr>) -> String {
    format!("{} are waiting, and you are {peer}\n", waiting.load(Ordering::Relaxed))
}

async fn sum(Json(numbers): Json<Vec<i64>>) -> String {
    format!("{}\n", numbers.iter().sum::<i64>())
}
