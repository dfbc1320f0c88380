//! Opening a TCP connection, and telling a real one from what only looks like one.
//!
//! A non-blocking connect says `EINPROGRESS` and ends later, with an event. The event alone proves
//! nothing: the socket's error is fetched and its peer asked for (`Source::connect`) before it is
//! called connected. The socket is registered only after connect(2) was called, as one that is idle
//! reports itself as closed. Which of a host's addresses is tried when is the business of `race.rs`.
//!
//! # Connecting to oneself
//!
//! When the destination is a port of the ephemeral range on this machine and nobody listens, the
//! kernel may pick this very port as the source; the two ends are then one socket, TCP's
//! simultaneous open succeeds, and whoever wants to listen there finds the port taken. Such a
//! connection is closed and reported as refused, which is what it would have been with any other
//! source port.

use std::future::Future;
use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use wheelhouse_runtime::io::{Ready, Source};
use wheelhouse_runtime::time::{Instant, timeout_at};

use crate::addr::{Question, no_address};
use crate::connect_error::ConnectError;
use crate::connect_options::ConnectOptions;
use crate::platform;
use crate::race::Race;

/// A TCP socket that does not block, unbound and unconnected.
pub(crate) fn new_socket(domain: Domain) -> io::Result<Socket> {
    platform::new_socket(domain, Type::STREAM, Some(Protocol::TCP))
}

/// Connects to the first of the addresses that answers.
pub(crate) async fn connect(
    question: Question,
    options: ConnectOptions,
) -> io::Result<Source<net::TcpStream>> {
    let deadline = options.timeout.map(|limit| Instant::now() + limit);
    let limit = options.timeout.unwrap_or_default();
    let too_late =
        |what: &str| io::Error::new(io::ErrorKind::TimedOut, format!("{what} within {limit:?}"));
    let addresses = match within(deadline, question.answer()).await {
        Some(answer) => options.reachable(answer?)?,
        None => return Err(too_late(&format!("`{question}` was not looked up"))),
    };
    let head_start = options.head_start;
    // Each attempt owns what it is made with, so that all of it is `Send`.
    let attempt = {
        let options = Arc::new(options);
        move |address| connect_to(address, options.clone())
    };
    let mut race = Race::new(addresses, head_start, attempt);
    let error = match within(deadline, &mut race).await {
        Some(Ok(source)) => return Ok(source),
        Some(Err(failures)) => ConnectError::of(failures).unwrap_or_else(no_address),
        None => ConnectError::timed_out(race.give_up(|| too_late("no answer"))),
    };
    // Perhaps the host has moved.
    question.forget_answer();
    Err(error)
}

/// `None` when the deadline, if there is one, came first.
async fn within<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        None => Some(future.await),
        Some(deadline) => timeout_at(deadline, future).await.ok(),
    }
}

async fn connect_to(
    address: SocketAddr,
    options: Arc<ConnectOptions>,
) -> io::Result<Source<net::TcpStream>> {
    let socket = new_socket(Domain::for_address(address))?;
    options.apply(&socket, address)?;
    connect_socket(socket, address).await
}

/// Connects a socket that does not block. Dropped halfway, it closes the socket.
pub(crate) async fn connect_socket(
    socket: Socket,
    address: SocketAddr,
) -> io::Result<Source<net::TcpStream>> {
    let source = open(socket, address.into(), Source::stream).await?;
    refuse_self(source.get_ref(), address)?;
    Ok(source)
}

/// As `connect_socket`, for any kind of stream; `watch` registers it.
pub(crate) async fn open<S>(
    socket: Socket,
    address: SockAddr,
    watch: fn(S, Ready) -> io::Result<Source<S>>,
) -> io::Result<Source<S>>
where
    S: AsFd + From<OwnedFd>,
{
    let is_connected = match socket.connect(&address) {
        Ok(()) => true,
        Err(error) if is_under_way(&error) => false,
        Err(error) => return Err(error),
    };
    let ready = if is_connected { Ready::WRITABLE } else { Ready::EMPTY };
    let source = watch(S::from(OwnedFd::from(socket)), ready)?;
    // With TCP fast open one that is connected has no peer yet: nothing more is to be asked.
    if !is_connected {
        source.connect().await?;
    }
    Ok(source)
}

/// An interrupted connect goes on like one that would have blocked. `EAGAIN` does not: there are no
/// ports left, or the queue of the Unix listener is full.
fn is_under_way(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INPROGRESS | Errno::INTR))
}

fn refuse_self(stream: &net::TcpStream, address: SocketAddr) -> io::Result<()> {
    let local = stream.local_addr()?;
    // The peer may have gone again; then it was not ourselves.
    if local.port() == address.port() && stream.peer_addr().is_ok_and(|peer| peer == local) {
        return Err(Errno::CONNREFUSED.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use wheelhouse_runtime::{Clock, EventLoop};

    use super::*;
    use crate::dns;

    /// The queue of its listener is full: the system drops what asks to connect.
    fn silent() -> (Vec<Socket>, u16) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut sockets = vec![listener];
        for _ in 0..8 {
            let filler = new_socket(Domain::IPV4).unwrap();
            let _ = filler.connect(&address);
            sockets.push(filler);
        }
        (sockets, address.as_socket().unwrap().port())
    }

    #[test]
    fn the_answer_about_a_host_that_is_silent_is_forgotten() {
        let clock = Clock::Virtual { settle: Some(std::time::Duration::from_millis(20)) };
        let event_loop = EventLoop::builder().clock(clock).build().unwrap();
        event_loop.block_on(async {
            let (_sockets, port) = silent();
            dns::look_up("localhost", port).await.unwrap();
            assert!(dns::is_known("localhost"));
            let options = ConnectOptions::new()
                .local_address(std::net::Ipv4Addr::LOCALHOST.into())
                .timeout(std::time::Duration::from_secs(5));
            let failed = connect(Question::Name("localhost".into(), port), options).await;
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert!(!dns::is_known("localhost"));
        });
    }
}
