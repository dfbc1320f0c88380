//! [`UnixStream`]: how it comes about, and who is at its other end. Reading and writing are in
//! `stream.rs` above.
//!
//! To connect never waits on Linux: it succeeds, or the listener's queue is full, which is an error.

use std::io;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};
use wheelhouse_runtime::io::Source;

use crate::connect::open;
use crate::platform;
use crate::stream::StreamSocket;
use crate::unix::address::{sock_addr, sock_addr_of_path};
use crate::unix::ucred::UCred;

/// A connection over a Unix socket.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::UnixStream;
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// let (one, other) = UnixStream::pair()?;
/// one.write_all(b"hello").await?;
/// let mut buffer = [0; 16];
/// let n = other.read(&mut buffer).await?;
/// assert_eq!(&buffer[..n], b"hello");
/// # Ok(())
/// # })
/// # }
/// ```
pub type UnixStream = StreamSocket<net::UnixStream>;

/// What only Unix sockets have.
impl UnixStream {
    /// Connects to the listener at a path; on Linux, one that begins with a zero byte is an
    /// abstract name.
    ///
    /// Cancel safe: the attempt is closed.
    ///
    /// # Errors
    ///
    /// The system's: `NotFound`, `ConnectionRefused` if nobody listens there any more,
    /// `PermissionDenied`. `WouldBlock` on Linux if the listener has as many connections waiting as
    /// it allows: nothing tells when there is room again, so that it is on you to try later.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    pub async fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        let address = sock_addr_of_path(path.as_ref())?;
        drop(path);
        UnixStream::connect_sock_addr(new_socket(Type::STREAM)?, address).await
    }

    /// As [`connect`](Self::connect), to an address.
    ///
    /// Cancel safe: the attempt is closed.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    pub async fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        UnixStream::connect_sock_addr(new_socket(Type::STREAM)?, sock_addr(address)?).await
    }

    pub(crate) async fn connect_sock_addr(
        socket: Socket,
        address: SockAddr,
    ) -> io::Result<UnixStream> {
        open(socket, address, Source::unix_stream).await.map(UnixStream::from_source)
    }

    /// Two that are connected to each other and have no name.
    ///
    /// # Errors
    ///
    /// The system's: no descriptors left.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = net::UnixStream::pair()?;
        Ok((UnixStream::from_std(one)?, UnixStream::from_std(other)?))
    }

    /// Who the peer was when it connected, or listened, or when the pair was made.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn peer_cred(&self) -> io::Result<UCred> {
        UCred::of_peer(self)
    }
}

/// A Unix socket that does not block, unbound and unconnected.
pub(crate) fn new_socket(kind: Type) -> io::Result<Socket> {
    platform::new_socket(Domain::UNIX, kind, None)
}

impl TryFrom<net::UnixStream> for UnixStream {
    type Error = io::Error;

    /// As [`from_std`](UnixStream::from_std).
    fn try_from(stream: net::UnixStream) -> io::Result<UnixStream> {
        UnixStream::from_std(stream)
    }
}
