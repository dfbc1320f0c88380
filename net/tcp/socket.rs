//! [`TcpSocket`]: a socket before it connects or listens, for options that must be set by then.
//!
//! It is not registered with a loop: it has nothing to wait for.

use std::fmt;
use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Socket};

use crate::connect::{connect_socket, new_socket};
use crate::tcp::{TcpListener, TcpStream};

/// A TCP socket that neither connects nor listens yet.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::{TcpSocket, TcpStream};
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// let socket = TcpSocket::new_v4()?;
/// socket.set_reuseaddr(true)?;
/// socket.set_recv_buffer_size(64 * 1024)?;
/// socket.bind(([127, 0, 0, 1], 0).into())?;
/// let listener = socket.listen(128)?;
///
/// let socket = TcpSocket::new_v4()?;
/// socket.set_nodelay(true)?;
/// let client = socket.connect(listener.local_addr()?).await?;
/// assert!(client.nodelay()?);
/// # Ok(())
/// # })
/// # }
/// ```
pub struct TcpSocket {
    socket: Socket,
}

impl TcpSocket {
    /// A socket for IPv4.
    ///
    /// # Errors
    ///
    /// The system's: no descriptors left.
    pub fn new_v4() -> io::Result<TcpSocket> {
        new_socket(Domain::IPV4).map(|socket| TcpSocket { socket })
    }

    /// A socket for IPv6.
    ///
    /// # Errors
    ///
    /// The system's: no descriptors left, no IPv6.
    pub fn new_v6() -> io::Result<TcpSocket> {
        new_socket(Domain::IPV6).map(|socket| TcpSocket { socket })
    }

    /// Takes a socket of std that is not connected yet, made with options that are missing here,
    /// say with `socket2`, and makes it non-blocking. As in tokio it cannot fail: if making it
    /// non-blocking does, connecting and listening will say what is wrong.
    pub fn from_std_stream(stream: net::TcpStream) -> TcpSocket {
        let socket = Socket::from(stream);
        let _ = socket.set_nonblocking(true);
        TcpSocket { socket }
    }

    /// Binds it to an address; port 0 lets the system choose.
    ///
    /// # Errors
    ///
    /// The system's: `AddrInUse`, `PermissionDenied`, ...
    pub fn bind(&self, address: SocketAddr) -> io::Result<()> {
        self.socket.bind(&address.into())
    }

    /// Connects. What [`TcpStream::connect`] says about connections to oneself holds here too.
    ///
    /// Cancel safe: the attempt is closed.
    ///
    /// # Errors
    ///
    /// The system's.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    pub async fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        connect_socket(self.socket, address).await.map(TcpStream::from_source)
    }

    /// Listens; up to `backlog` connections may wait to be accepted, or what the system allows.
    ///
    /// # Errors
    ///
    /// The system's; if the selector refuses it.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        TcpListener::listen(self.socket, i32::try_from(backlog).unwrap_or(i32::MAX))
    }

    /// The address it is bound to.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let address = self.socket.local_addr()?;
        let of_no_internet = || io::Error::other("the socket has no internet address");
        address.as_socket().ok_or_else(of_no_internet)
    }

    /// The error that the system holds for the socket, which it forgets by this.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }
}

/// Options.
impl TcpSocket {
    /// `SO_REUSEADDR`: whether an address may be bound on which closed connections still linger.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn reuseaddr(&self) -> io::Result<bool> {
        self.socket.reuse_address()
    }

    /// Sets `SO_REUSEADDR`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_reuseaddr(&self, reuseaddr: bool) -> io::Result<()> {
        self.socket.set_reuse_address(reuseaddr)
    }

    /// `SO_REUSEPORT`: whether several sockets may be bound to the address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn reuseport(&self) -> io::Result<bool> {
        self.socket.reuse_port()
    }

    /// Sets `SO_REUSEPORT`. Linux then spreads connections over the listeners.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_reuseport(&self, reuseport: bool) -> io::Result<()> {
        self.socket.set_reuse_port(reuseport)
    }

    /// `TCP_NODELAY`: whether small writes are sent at once.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket.tcp_nodelay()
    }

    /// Sets `TCP_NODELAY`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.set_tcp_nodelay(nodelay)
    }

    /// `SO_KEEPALIVE`: whether a silent peer is probed.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn keepalive(&self) -> io::Result<bool> {
        self.socket.keepalive()
    }

    /// Sets `SO_KEEPALIVE`. After what time is up to the system; see [`TcpStream::set_keepalive`].
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_keepalive(&self, keepalive: bool) -> io::Result<()> {
        self.socket.set_keepalive(keepalive)
    }

    /// `SO_LINGER`: how long closing waits for what is not sent yet.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.socket.linger()
    }

    /// Sets `SO_LINGER`. Closing then blocks the loop; see [`TcpStream::set_linger`].
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.socket.set_linger(linger)
    }

    /// `SO_SNDBUF` in bytes; Linux says twice what was set.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn send_buffer_size(&self) -> io::Result<u32> {
        self.socket.send_buffer_size().map(clamped)
    }

    /// Sets `SO_SNDBUF`. Left alone, the system sizes it by itself.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_send_buffer_size(&self, size: u32) -> io::Result<()> {
        self.socket.set_send_buffer_size(size as usize)
    }

    /// `SO_RCVBUF` in bytes; Linux says twice what was set.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn recv_buffer_size(&self) -> io::Result<u32> {
        self.socket.recv_buffer_size().map(clamped)
    }

    /// Sets `SO_RCVBUF`, for the window's sake before connecting or listening.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_recv_buffer_size(&self, size: u32) -> io::Result<()> {
        self.socket.set_recv_buffer_size(size as usize)
    }

    /// `IP_TOS`: the type of service of its packets.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn tos_v4(&self) -> io::Result<u32> {
        self.socket.tos_v4()
    }

    /// Sets `IP_TOS`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_tos_v4(&self, tos: u32) -> io::Result<()> {
        self.socket.set_tos_v4(tos)
    }

    /// `IPV6_TCLASS`: the traffic class of its packets.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn tclass_v6(&self) -> io::Result<u32> {
        self.socket.tclass_v6()
    }

    /// Sets `IPV6_TCLASS`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_tclass_v6(&self, tclass: u32) -> io::Result<()> {
        self.socket.set_tclass_v6(tclass)
    }

    /// Has dropping reset the connection and throw away what is not sent yet. It never blocks.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        self.set_linger(Some(Duration::ZERO))
    }
}

fn clamped(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for TcpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl From<TcpSocket> for OwnedFd {
    fn from(socket: TcpSocket) -> OwnedFd {
        socket.socket.into()
    }
}

impl fmt::Debug for TcpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}
