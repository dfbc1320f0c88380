//! [`UnixSocket`]: a Unix socket before it connects, listens or sends, for options that must be set
//! by then. It is not registered with a loop: it has nothing to wait for.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net;
use std::path::Path;

use socket2::{Socket, Type};

use crate::unix::address::sock_addr_of_path;
use crate::unix::stream::new_socket;
use crate::unix::{UnixDatagram, UnixListener, UnixStream};

/// A Unix socket that is nothing in particular yet.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::{UnixSocket, UnixStream};
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// # let path = std::env::temp_dir().join(format!("wheelhouse-socket-{}", std::process::id()));
/// let socket = UnixSocket::new_stream()?;
/// socket.bind(&path)?;
/// let listener = socket.listen(16)?;
/// let client = UnixSocket::new_stream()?.connect(&path).await?;
/// listener.accept().await?;
/// # std::fs::remove_file(&path)?;
/// # drop(client);
/// # Ok(())
/// # })
/// # }
/// ```
pub struct UnixSocket {
    socket: Socket,
}

impl UnixSocket {
    /// A socket for a stream or a listener.
    ///
    /// # Errors
    ///
    /// The system's: no descriptors left.
    pub fn new_stream() -> io::Result<UnixSocket> {
        Ok(UnixSocket { socket: new_socket(Type::STREAM)? })
    }

    /// A socket for datagrams.
    ///
    /// # Errors
    ///
    /// The system's: no descriptors left.
    pub fn new_datagram() -> io::Result<UnixSocket> {
        Ok(UnixSocket { socket: new_socket(Type::DGRAM)? })
    }

    /// Binds it to a path, which must not exist; on Linux, one that begins with a zero byte is an
    /// abstract name.
    ///
    /// # Errors
    ///
    /// As [`UnixListener::bind`].
    pub fn bind<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.socket.bind(&sock_addr_of_path(path.as_ref())?)
    }

    /// Listens; up to `backlog` connections may wait to be accepted, or what the system allows.
    ///
    /// # Errors
    ///
    /// The system's; `InvalidInput` if it is a socket for datagrams.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn listen(self, backlog: u32) -> io::Result<UnixListener> {
        self.must_be(Type::STREAM, "listen")?;
        UnixListener::listen(self.socket, i32::try_from(backlog).unwrap_or(i32::MAX))
    }

    /// Connects to the listener at a path.
    ///
    /// Cancel safe: the attempt is closed.
    ///
    /// # Errors
    ///
    /// As [`UnixStream::connect`]; `InvalidInput` if it is a socket for datagrams.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    pub async fn connect<P: AsRef<Path>>(self, path: P) -> io::Result<UnixStream> {
        self.must_be(Type::STREAM, "connect")?;
        let address = sock_addr_of_path(path.as_ref())?;
        drop(path);
        UnixStream::connect_sock_addr(self.socket, address).await
    }

    /// The socket for datagrams that it is.
    ///
    /// # Errors
    ///
    /// When the selector refuses it; `InvalidInput` if it is a socket for streams.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn datagram(self) -> io::Result<UnixDatagram> {
        self.must_be(Type::DGRAM, "datagram")?;
        UnixDatagram::from_std(net::UnixDatagram::from(OwnedFd::from(self.socket)))
    }

    fn must_be(&self, kind: Type, what: &str) -> io::Result<()> {
        if self.socket.r#type()? == kind {
            return Ok(());
        }
        let maker = if kind == Type::STREAM { "new_stream" } else { "new_datagram" };
        let why = format!("`UnixSocket::{what}` needs a socket from `UnixSocket::{maker}`");
        Err(io::Error::new(io::ErrorKind::InvalidInput, why))
    }
}

impl AsFd for UnixSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for UnixSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl From<UnixSocket> for OwnedFd {
    fn from(socket: UnixSocket) -> OwnedFd {
        socket.socket.into()
    }
}

impl fmt::Debug for UnixSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}
