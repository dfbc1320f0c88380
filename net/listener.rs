//! Listeners, of whatever kind: accepting connections. `TcpListener` and `UnixListener` are this,
//! and have besides what only they can do. What is made of errors is in `accept.rs`.

use std::fmt;
use std::future::pending;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use rustix::io::Errno;
use socket2::{SockRef, Socket};
use wheelhouse_runtime::io::{Interest, Source};

use crate::accept::Acceptor;
use crate::stream::StreamSocket;
use crate::transport::{Accepting, Transport};

/// How many connections may wait to be accepted, if nothing else is said.
pub(crate) const BACKLOG: i32 = 1024;

/// Accepts connections: a [`TcpListener`](crate::TcpListener) or a
/// [`UnixListener`](crate::UnixListener), depending on the kind of socket.
///
/// Errors do not end it: [`accept`](Self::accept) gives connections, or an error that means the
/// listener itself is broken. Dropping it closes it; connections that wait to be accepted are then
/// reset by the system.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::{TcpListener, TcpStream};
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let client = TcpStream::connect(listener.local_addr()?).await?;
/// let (server, peer) = listener.accept().await?;
/// assert_eq!(peer, client.local_addr()?);
/// server.write_all(b"welcome").await?;
/// # Ok(())
/// # })
/// # }
/// ```
pub struct ListenerSocket<L: Accepting> {
    source: Source<L>,
    acceptor: Acceptor,
}

/// A connection and its peer.
pub(crate) type Accepted<L> =
    (StreamSocket<<L as Accepting>::Stream>, <<L as Accepting>::Stream as Transport>::Address);

impl<L: Accepting> ListenerSocket<L> {
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
    pub fn from_std(listener: L) -> io::Result<ListenerSocket<L>> {
        SockRef::from(&listener).set_nonblocking(true)?;
        ListenerSocket::watch(listener)
    }

    /// Gives it back to std. It stays non-blocking until `set_nonblocking(false)`.
    ///
    /// # Errors
    ///
    /// None today; the result is tokio's.
    pub fn into_std(self) -> io::Result<L> {
        Ok(self.source.into_inner())
    }

    #[track_caller]
    fn watch(listener: L) -> io::Result<ListenerSocket<L>> {
        let source = Source::new(listener, Interest::READABLE)?;
        Ok(ListenerSocket { source, acceptor: Acceptor::default() })
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
    pub async fn accept(&self) -> io::Result<Accepted<L>> {
        self.accept_relieved(|| false, async || pending().await).await
    }

    /// As [`accept`](Self::accept), but at a shortage `relieve` is asked first: if it says that it
    /// has got a connection out of the queue, there is no pause. And a pause ends early when
    /// `freed` does.
    pub(crate) async fn accept_relieved(
        &self,
        relieve: impl FnMut() -> bool,
        freed: impl AsyncFnMut(),
    ) -> io::Result<Accepted<L>> {
        let accept = || async { into_stream::<L>(self.source.accept().await?) };
        self.acceptor.accept(&self.source, accept, relieve, freed).await
    }

    /// Accepts what is in the queue, without waiting; errors come as they are.
    pub(crate) fn try_accept(&self) -> io::Result<Accepted<L>> {
        into_stream::<L>(self.source.try_accept()?)
    }

    /// As [`accept`](Self::accept). The last task that polled is woken, and does not wait for its
    /// turn behind those in `accept`.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted<L>>> {
        self.acceptor.poll_accept(cx, &self.source, |cx| {
            self.source.poll_accept(cx).map(|accepted| into_stream::<L>(accepted?))
        })
    }

    /// The address it listens on.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<<L::Stream as Transport>::Address> {
        self.source.get_ref().local()
    }

    /// The error that the system holds for the socket, which it forgets by this.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        SockRef::from(&self.source).take_error()
    }
}

impl<L: Accepting + From<OwnedFd>> ListenerSocket<L> {
    /// Listens with a socket that is bound and does not block.
    #[track_caller]
    pub(crate) fn listen(socket: Socket, backlog: i32) -> io::Result<ListenerSocket<L>> {
        socket.listen(backlog)?;
        ListenerSocket::watch(L::from(OwnedFd::from(socket)))
    }
}

fn into_stream<L: Accepting>(
    accepted: (OwnedFd, Option<<L::Stream as Transport>::Address>),
) -> io::Result<Accepted<L>> {
    let (fd, peer) = accepted;
    // Apple's systems give no address for a connection that has been reset.
    let peer = peer.ok_or(Errno::CONNABORTED)?;
    Ok((StreamSocket::connected(fd.into())?, peer))
}

impl<L: Accepting> AsFd for ListenerSocket<L> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl<L: Accepting> AsRawFd for ListenerSocket<L> {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_raw_fd()
    }
}

impl<L: Accepting> fmt::Debug for ListenerSocket<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.get_ref().fmt(f)
    }
}
