//! What the tests of `Server` share: an echo server, its clients, and its counters.

// Each test binary takes its own part of this.
#![allow(dead_code)]

use std::io;
use std::time::Duration;

use wheelhouse::net::{Connection, Counts, Server, TcpStream, copy};
use wheelhouse::time::timeout;
use wheelhouse::{Builder, Clock, EventLoop};

use crate::support::{GUARD, run_checked_on};

pub(crate) type Conn = Connection<std::net::TcpStream>;

/// Runs on a fresh loop, with an end to waiting, and checks that nothing is left.
#[track_caller]
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    run_checked_on(EventLoop::builder(), guarded(future))
}

pub(crate) async fn guarded<F: Future>(future: F) -> F::Output {
    timeout(GUARD, future).await.expect("it hangs")
}

/// Virtual time that also jumps while sockets wait, when nothing has come for a moment.
pub(crate) fn virtual_time() -> Builder {
    EventLoop::builder().clock(Clock::Virtual { settle: Some(Duration::from_millis(20)) })
}

pub(crate) async fn echo(connection: Conn) -> io::Result<()> {
    copy(&connection, &connection).await?;
    Ok(())
}

pub(crate) async fn echo_server() -> Server {
    Server::builder().bind("127.0.0.1:0").serve(|conn, _| echo(conn)).await.unwrap()
}

pub(crate) async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.local_addrs()[0]).await.unwrap()
}

/// Whether the echo still answers.
pub(crate) async fn is_served(client: &TcpStream) -> bool {
    let mut byte = [0];
    client.write_all(b"x").await.is_ok() && client.read(&mut byte).await.is_ok_and(|n| n == 1)
}

/// What the client sees when the server closes the connection.
pub(crate) async fn is_turned_away(client: &TcpStream) -> bool {
    !matches!(client.read(&mut [0; 9]).await, Ok(1..))
}

pub(crate) fn total(server: &Server) -> Counts {
    server.stats().total()
}

/// Counters, for comparing.
pub(crate) fn counts(set: impl FnOnce(&mut Counts)) -> Counts {
    let mut counts = Counts::default();
    set(&mut counts);
    counts
}
