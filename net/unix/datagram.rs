//! [`UnixDatagram`]: binding, connecting and sending to paths. Receiving and readiness are in
//! `datagram.rs` above.
//!
//! # When the receiver's queue is full
//!
//! Datagrams over Unix sockets are not thrown away: who sends waits until the receiver has room.
//! For a connected socket Linux tells when that is. For one that is not, it never does if the queue
//! is full of what others sent; and it says that there is room after each attempt that found none,
//! so that who believes it keeps a processor busy. So `send_to` does not ask: it tries again after
//! 1 ms, then after twice as long each time, up to 32 ms.

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;
use std::task::{Context, Poll};

use socket2::{SockAddr, SockRef, Type};
use wheelhouse_runtime::task::consume_budget;
use wheelhouse_runtime::time::{Duration, sleep};

use crate::attempt::is_would_block;
use crate::datagram::DatagramSocket;
use crate::unix::address::{of_path, sock_addr, sock_addr_of_path};
use crate::unix::stream::new_socket;

const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(32);

/// A Unix socket for datagrams. They arrive, and in order, as long as the receiver lives.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::UnixDatagram;
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// let (one, other) = UnixDatagram::pair()?;
/// one.send(b"hello").await?;
/// let mut buffer = [0; 16];
/// let n = other.recv(&mut buffer).await?;
/// assert_eq!(&buffer[..n], b"hello");
/// # Ok(())
/// # })
/// # }
/// ```
pub type UnixDatagram = DatagramSocket<net::UnixDatagram>;

/// Making one.
impl UnixDatagram {
    /// A socket at a path, which must not exist; on Linux, one that begins with a zero byte is an
    /// abstract name.
    ///
    /// # Errors
    ///
    /// As [`UnixListener::bind`](crate::UnixListener::bind).
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_sock_addr(&sock_addr_of_path(path.as_ref())?)
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
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_sock_addr(&sock_addr(address)?)
    }

    #[track_caller]
    fn bind_sock_addr(address: &SockAddr) -> io::Result<UnixDatagram> {
        let socket = new_socket(Type::DGRAM)?;
        socket.bind(address)?;
        UnixDatagram::from_std(net::UnixDatagram::from(OwnedFd::from(socket)))
    }

    /// A socket without a name: it sends, and can be answered only if it is connected both ways.
    ///
    /// # Errors
    ///
    /// The system's: no descriptors left.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(net::UnixDatagram::unbound()?)
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
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = net::UnixDatagram::pair()?;
        Ok((UnixDatagram::from_std(one)?, UnixDatagram::from_std(other)?))
    }

    /// Makes the socket at a path the peer: `send` sends to it, and only what comes from it is
    /// received.
    ///
    /// # Errors
    ///
    /// The system's: `NotFound`, `ConnectionRefused` if nobody is there any more.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        SockRef::from(self).connect(&sock_addr_of_path(path.as_ref())?)
    }

    /// As [`connect`](Self::connect), to an address.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        SockRef::from(self).connect(&sock_addr(address)?)
    }

    /// Ends receiving, sending or both, and waits for nothing.
    ///
    /// # Errors
    ///
    /// `NotConnected` if it has no peer.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        SockRef::from(self).shutdown(how)
    }
}

/// Sending to addresses.
impl UnixDatagram {
    /// Sends a datagram to the socket at a path. If its queue is full this waits for room.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// The system's: `NotFound`, `ConnectionRefused` if nobody is there any more, `EMSGSIZE`; on
    /// other systems than Linux `ENOBUFS` for a queue that is full.
    ///
    /// # Panics
    ///
    /// If it has to wait and no loop is running on this thread.
    pub async fn send_to<P: AsRef<Path>>(&self, data: &[u8], path: P) -> io::Result<usize> {
        let target = of_path(path.as_ref())?;
        drop(path);
        self.send_to_addr(data, &target).await
    }

    /// As [`send_to`](Self::send_to), to an address, such as that of a sender.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to); `InvalidInput` if the address has no name.
    ///
    /// # Panics
    ///
    /// If it has to wait and no loop is running on this thread.
    pub async fn send_to_addr(&self, data: &[u8], target: &SocketAddr) -> io::Result<usize> {
        consume_budget().await;
        let mut pause = PAUSE_MIN;
        loop {
            let sent = self.try_send_to_addr(data, target);
            if !is_would_block(&sent) {
                return sent;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// As [`send_to`](Self::send_to), but that it waits for what the system says: while the
    /// receiver's queue is full the task may be woken over and over, or, where others fill it, not
    /// at all. The last task that polled is woken.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    pub fn poll_send_to<P: AsRef<Path>>(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        path: P,
    ) -> Poll<io::Result<usize>> {
        self.source().poll_send_to(cx, data, &of_path(path.as_ref())?)
    }

    /// Sends without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to); `WouldBlock` when there is no room.
    pub fn try_send_to<P: AsRef<Path>>(&self, data: &[u8], path: P) -> io::Result<usize> {
        self.source().try_send_to(data, &of_path(path.as_ref())?)
    }

    /// As [`try_send_to`](Self::try_send_to), to an address.
    ///
    /// # Errors
    ///
    /// As [`send_to_addr`](Self::send_to_addr); `WouldBlock` when there is no room.
    pub fn try_send_to_addr(&self, data: &[u8], target: &SocketAddr) -> io::Result<usize> {
        self.source().try_send_to(data, target)
    }
}

impl TryFrom<net::UnixDatagram> for UnixDatagram {
    type Error = io::Error;

    /// As [`from_std`](UnixDatagram::from_std).
    fn try_from(socket: net::UnixDatagram) -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(socket)
    }
}
