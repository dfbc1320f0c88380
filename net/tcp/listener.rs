//! [`TcpListener`]: accepts connections. What it makes of errors is in `accept.rs`.

use std::fmt;
use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use rustix::io::Errno;
use socket2::{Domain, Socket};
use wheelhouse_runtime::io::{Interest, Source};

use crate::accept::Acceptor;
use crate::addr::{ToSocketAddrs, first_that_works, resolve};
use crate::connect::new_socket;
use crate::tcp::TcpStream;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Accepts TCP connections.
///
/// Errors do not end it: [`accept`](Self::accept) gives connections, or an error that means the
/// listener itself is broken. Dropping it closes it; connections that wait to be accepted are then
/// reset by the system.
///
/// # Examples
///
/// ```
/// use wheelhouse_net::{TcpListener, TcpStream};
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse_runtime::run(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let client = TcpStream::connect(listener.local_addr()?).await?;
/// let (server, peer) = listener.accept().await?;
/// assert_eq!(peer, client.local_addr()?);
/// server.write_all(b"welcome").await?;
/// # Ok(())
/// # })
/// # }
/// ```
pub struct TcpListener {
    source: Source<net::TcpListener>,
    acceptor: Acceptor,
}

impl TcpListener {
    /// Listens on the first of the addresses that can be bound; port 0 lets the system choose. The
    /// address may be one that closed connections still linger on (`SO_REUSEADDR`), and 1,024
    /// connections may wait to be accepted; for other settings there is
    /// [`TcpSocket`](crate::TcpSocket).
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// The last address's: `AddrInUse`, `PermissionDenied`, ...; `InvalidInput` if there is no
    /// address.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    pub async fn bind<A: ToSocketAddrs>(address: A) -> io::Result<TcpListener> {
        let addresses = resolve(address).await?;
        first_that_works(addresses, |address| {
            let socket = new_socket(Domain::for_address(address))?;
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            TcpListener::listen(socket, BACKLOG)
        })
    }

    /// Listens with a socket that is bound and does not block.
    pub(crate) fn listen(socket: Socket, backlog: i32) -> io::Result<TcpListener> {
        socket.listen(backlog)?;
        TcpListener::watch(net::TcpListener::from(OwnedFd::from(socket)))
    }

    fn watch(listener: net::TcpListener) -> io::Result<TcpListener> {
        let source = Source::new(listener, Interest::READABLE)?;
        Ok(TcpListener { source, acceptor: Acceptor::default() })
    }

    /// Takes over a listener of std and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// When the selector refuses it.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn from_std(listener: net::TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        TcpListener::watch(listener)
    }

    /// Gives it back to std. It stays non-blocking until `set_nonblocking(false)`.
    ///
    /// # Errors
    ///
    /// None today; the result is tokio's.
    pub fn into_std(self) -> io::Result<net::TcpListener> {
        Ok(self.source.into_inner())
    }

    /// Waits for a connection; the address is the peer's. Any number of tasks may, and they get
    /// their turns.
    ///
    /// What is wrong with a single connection is skipped. When the system is short of descriptors
    /// or memory, accepting pauses for 5 ms, twice as long each time up to 1 s, then tries again; a
    /// `tracing` warning goes out at the first and then at most once a second. If it is the watches
    /// that have run out (`ENOSPC`, or no memory for one), the accepted connection is lost: it is
    /// closed, and the pause follows.
    ///
    /// Cancel safe: no connection is lost.
    ///
    /// # Errors
    ///
    /// Only those that mean the listener cannot accept any more (`EBADF`, `EINVAL`, `ENOTSOCK`,
    /// ...); an error if it is awaited outside the listener's loop.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let accept = || async { into_stream(self.source.accept().await?) };
        self.acceptor.accept(&self.source, accept).await
    }

    /// As [`accept`](Self::accept). The last task that polled is woken, and does not wait for its
    /// turn behind those in `accept`.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.acceptor.poll_accept(cx, &self.source, |cx| {
            self.source.poll_accept(cx).map(|accepted| into_stream(accepted?))
        })
    }

    /// The address it listens on.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.get_ref().local_addr()
    }

    /// `IP_TTL`: through how many routers the packets of accepted connections may go.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.source.get_ref().ttl()
    }

    /// Sets `IP_TTL`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.source.get_ref().set_ttl(ttl)
    }
}

fn into_stream(accepted: (OwnedFd, Option<SocketAddr>)) -> io::Result<(TcpStream, SocketAddr)> {
    let (fd, peer) = accepted;
    // Apple's systems give no address for a connection that has been reset.
    let peer = peer.ok_or(Errno::CONNABORTED)?;
    Ok((TcpStream::accepted(fd)?, peer))
}

impl TryFrom<net::TcpListener> for TcpListener {
    type Error = io::Error;

    /// As [`from_std`](TcpListener::from_std).
    fn try_from(listener: net::TcpListener) -> io::Result<TcpListener> {
        TcpListener::from_std(listener)
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_raw_fd()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.get_ref().fmt(f)
    }
}
