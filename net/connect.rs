//! Opening a TCP connection, and telling a real one from what only looks like one.
//!
//! A non-blocking connect says `EINPROGRESS` and ends later, with an event. The event alone proves
//! nothing: the socket's error is fetched and its peer asked for (`Source::connect`) before it is
//! called connected. The socket is registered only after connect(2) was called, as one that is idle
//! reports itself as closed.
//!
//! # Connecting to oneself
//!
//! When the destination is a port of the ephemeral range on this machine and nobody listens, the
//! kernel may pick this very port as the source; the two ends are then one socket, TCP's
//! simultaneous open succeeds, and whoever wants to listen there finds the port taken. Such a
//! connection is closed and reported as refused, which is what it would have been with any other
//! source port.

use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use wheelhouse_runtime::io::{Ready, Source};

use crate::addr::no_address;

/// A TCP socket that does not block, unbound and unconnected.
pub(crate) fn new_socket(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Connects to the addresses in turn until one answers. The error is that of the last.
pub(crate) async fn connect_to_any(
    addresses: Vec<SocketAddr>,
) -> io::Result<Source<net::TcpStream>> {
    let mut last_error = None;
    for address in addresses {
        match connect_to(address).await {
            Ok(source) => return Ok(source),
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error.unwrap_or_else(no_address))
}

async fn connect_to(address: SocketAddr) -> io::Result<Source<net::TcpStream>> {
    let socket = new_socket(Domain::for_address(address))?;
    connect_socket(socket, address).await
}

/// Connects a socket that does not block. Dropped halfway, it closes the socket.
pub(crate) async fn connect_socket(
    socket: Socket,
    address: SocketAddr,
) -> io::Result<Source<net::TcpStream>> {
    let ready = match socket.connect(&address.into()) {
        Ok(()) => Ready::WRITABLE,
        Err(error) if is_under_way(&error) => Ready::EMPTY,
        Err(error) => return Err(error),
    };
    let source = Source::stream(net::TcpStream::from(OwnedFd::from(socket)), ready)?;
    source.connect().await?;
    refuse_self(source.get_ref(), address)?;
    Ok(source)
}

/// An interrupted connect goes on like one that would have blocked. `EAGAIN` does not: there are no
/// ports left.
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
