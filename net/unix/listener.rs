//! [`UnixListener`]: how it comes about. Accepting is in `listener.rs` above. A path that exists is
//! never removed to make room: it may be that of a listener that lives.

use std::io;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use socket2::{SockAddr, Socket, Type};

use crate::listener::{BACKLOG, ListenerSocket};
use crate::unix::address::{sock_addr, sock_addr_of_path};
use crate::unix::stream::new_socket;

/// Accepts connections over a Unix socket.
///
/// Dropping it leaves its path in the file system; remove it before it is bound again.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::{UnixListener, UnixStream};
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// # let path = std::env::temp_dir().join(format!("wheelhouse-{}", std::process::id()));
/// let listener = UnixListener::bind(&path)?;
/// let client = UnixStream::connect(&path).await?;
/// let (server, _) = listener.accept().await?;
/// assert_eq!(server.local_addr()?.as_pathname(), Some(&*path));
/// std::fs::remove_file(&path)?;
/// # drop(client);
/// # Ok(())
/// # })
/// # }
/// ```
pub type UnixListener = ListenerSocket<net::UnixListener>;

/// What only Unix sockets have.
impl UnixListener {
    /// Listens at a path, which must not exist; on Linux, one that begins with a zero byte is an
    /// abstract name. 1,024 connections may wait to be accepted, or what the system allows; for
    /// other settings there is [`UnixSocket`](crate::UnixSocket).
    ///
    /// # Errors
    ///
    /// The system's: `AddrInUse` if there is something at the path, `PermissionDenied`, ...;
    /// `InvalidInput` if it is too long (108 bytes on Linux).
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        UnixListener::bind_sock_addr(&sock_addr_of_path(path.as_ref())?)
    }

    /// As [`bind`](Self::bind), to an address.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        UnixListener::bind_sock_addr(&sock_addr(address)?)
    }

    #[track_caller]
    fn bind_sock_addr(address: &SockAddr) -> io::Result<UnixListener> {
        UnixListener::listen(bound_to(address)?, BACKLOG)
    }
}

/// A socket that has the name, and does not listen yet.
pub(crate) fn bind_socket(path: &Path) -> io::Result<Socket> {
    bound_to(&sock_addr_of_path(path)?)
}

fn bound_to(address: &SockAddr) -> io::Result<Socket> {
    let socket = new_socket(Type::STREAM)?;
    socket.bind(address)?;
    Ok(socket)
}

impl TryFrom<net::UnixListener> for UnixListener {
    type Error = io::Error;

    /// As [`from_std`](UnixListener::from_std).
    fn try_from(listener: net::UnixListener) -> io::Result<UnixListener> {
        UnixListener::from_std(listener)
    }
}
