//! Datagram sockets, of whatever kind: receiving, sending and peeking. `UdpSocket` and
//! `UnixDatagram` are this, and have besides what only they can do. What a socket says of itself is
//! in `readiness.rs`. All waiting and every system call on the data is the source's.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll};

use socket2::SockRef;
use wheelhouse_runtime::io::{Interest, Source};

use crate::attempt::when_ready;
use crate::platform;
use crate::spare::{ROOM_MAX, fill_within};
use crate::transport::Transport;

/// A datagram socket: a [`UdpSocket`](crate::UdpSocket) or a
/// [`UnixDatagram`](crate::UnixDatagram), depending on the kind of socket.
///
/// A datagram is received whole, or as much of it as the buffer holds: the rest is gone, and
/// nothing says so. Make the buffer one byte larger than what you expect, or ask
/// [`peek`](Self::peek). A received length of 0 is an empty datagram, not an end.
///
/// Any number of tasks may receive and send at once.
pub struct DatagramSocket<S: Transport> {
    source: Source<S>,
}

/// Making one and giving it away.
impl<S: Transport> DatagramSocket<S> {
    /// Takes over a socket of std and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// When the selector refuses it.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn from_std(socket: S) -> io::Result<DatagramSocket<S>> {
        let options = SockRef::from(&socket);
        options.set_nonblocking(true)?;
        platform::prepare_datagrams(&options)?;
        Ok(DatagramSocket { source: Source::new(socket, Interest::BOTH)? })
    }

    /// Gives it back to std. It stays non-blocking until `set_nonblocking(false)`.
    ///
    /// # Errors
    ///
    /// None today; the result is tokio's.
    pub fn into_std(self) -> io::Result<S> {
        Ok(self.source.into_inner())
    }

    pub(crate) fn source(&self) -> &Source<S> {
        &self.source
    }
}

/// Receiving.
impl<S: Transport> DatagramSocket<S> {
    /// How much of a `Vec` is offered to a datagram. Over UDP none is longer than what one read is
    /// offered elsewhere; over Unix sockets it may be, and must not be cut.
    const ROOM_MAX: usize = if S::IS_LOCAL { usize::MAX } else { ROOM_MAX };

    /// Receives a datagram and its sender's address.
    ///
    /// Cancel safe: no datagram is lost.
    ///
    /// # Errors
    ///
    /// The system's. `ConnectionRefused` on a connected UDP socket: what was sent before did not
    /// arrive, as nobody listens there; it is said once. An error if it is awaited outside the
    /// socket's loop.
    pub fn recv_from(
        &self,
        buffer: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, S::Address)>> + Send {
        self.source.recv_from(buffer)
    }

    /// As [`recv_from`](Self::recv_from). The last task that polled is woken.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, S::Address)>> {
        self.source.poll_recv_from(cx, buffer)
    }

    /// Receives without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// The system's; `WouldBlock` when there is nothing.
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, S::Address)> {
        self.source.try_recv_from(buffer)
    }

    /// As [`recv_from`](Self::recv_from), into the spare capacity of a `Vec` (64 bytes if it has
    /// none).
    ///
    /// Cancel safe: no datagram is lost, and the `Vec` is as it was.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub async fn recv_buf_from(&self, buffer: &mut Vec<u8>) -> io::Result<(usize, S::Address)> {
        let receive = |source: &Source<S>| {
            fill_within(Self::ROOM_MAX, buffer, |room| source.try_recv_from(room), |(n, _)| *n)
        };
        when_ready(&self.source, Interest::READABLE, receive).await
    }

    /// As [`try_recv_from`](Self::try_recv_from), into the spare capacity of a `Vec` (64 bytes if
    /// it has none).
    ///
    /// # Errors
    ///
    /// As [`try_recv_from`](Self::try_recv_from).
    pub fn try_recv_buf_from(&self, buffer: &mut Vec<u8>) -> io::Result<(usize, S::Address)> {
        fill_within(Self::ROOM_MAX, buffer, |room| self.source.try_recv_from(room), |(n, _)| *n)
    }

    /// Receives a datagram. If the socket is connected, only those of its peer come.
    ///
    /// Cancel safe: no datagram is lost.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.source.recv(buffer)
    }

    /// As [`recv`](Self::recv). The last task that polled is woken.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.source.poll_recv(cx, buffer)
    }

    /// Receives without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// The system's; `WouldBlock` when there is nothing.
    pub fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.try_recv(buffer)
    }

    /// As [`recv`](Self::recv), into the spare capacity of a `Vec` (64 bytes if it has none).
    ///
    /// Cancel safe: no datagram is lost, and the `Vec` is as it was.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub async fn recv_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let receive = |source: &Source<S>| {
            fill_within(Self::ROOM_MAX, buffer, |room| source.try_recv(room), |n| *n)
        };
        when_ready(&self.source, Interest::READABLE, receive).await
    }

    /// As [`try_recv`](Self::try_recv), into the spare capacity of a `Vec` (64 bytes if it has
    /// none).
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    pub fn try_recv_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        fill_within(Self::ROOM_MAX, buffer, |room| self.source.try_recv(room), |n| *n)
    }
}

/// Peeking: what the next receive will give stays there.
impl<S: Transport> DatagramSocket<S> {
    /// As [`recv`](Self::recv), and leaves the datagram there.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn peek(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.source.peek(buffer)
    }

    /// As [`peek`](Self::peek). The last task that polled is woken.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn poll_peek(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.source.poll_peek(cx, buffer)
    }

    /// Peeks without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    pub fn try_peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.try_peek(buffer)
    }

    /// As [`recv_from`](Self::recv_from), and leaves the datagram there.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn peek_from(
        &self,
        buffer: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, S::Address)>> + Send {
        self.source.peek_from(buffer)
    }

    /// As [`peek_from`](Self::peek_from). The last task that polled is woken.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn poll_peek_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, S::Address)>> {
        self.source.poll_peek_from(cx, buffer)
    }

    /// Peeks without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    pub fn try_peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, S::Address)> {
        self.source.try_peek_from(buffer)
    }

    /// Who sent the datagram that comes next.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub async fn peek_sender(&self) -> io::Result<S::Address> {
        self.peek_from(&mut []).await.map(|(_, sender)| sender)
    }

    /// As [`peek_sender`](Self::peek_sender). The last task that polled is woken.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn poll_peek_sender(&self, cx: &mut Context<'_>) -> Poll<io::Result<S::Address>> {
        self.poll_peek_from(cx, &mut []).map_ok(|(_, sender)| sender)
    }

    /// Who sent the datagram that comes next, without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    pub fn try_peek_sender(&self) -> io::Result<S::Address> {
        self.try_peek_from(&mut []).map(|(_, sender)| sender)
    }
}

/// Sending to the peer that the socket is connected to. How to send to others differs between the
/// kinds.
impl<S: Transport> DatagramSocket<S> {
    /// Sends a datagram to the peer. It is sent whole or not at all.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// The system's, if it is too large, or if there is no peer; an error if it is awaited outside
    /// the socket's loop.
    pub fn send(&self, data: &[u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.source.send(data)
    }

    /// As [`send`](Self::send). The last task that polled is woken.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn poll_send(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.source.poll_send(cx, data)
    }

    /// Sends without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); `WouldBlock` when there is no room.
    pub fn try_send(&self, data: &[u8]) -> io::Result<usize> {
        self.source.try_send(data)
    }
}

impl<S: Transport> AsFd for DatagramSocket<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl<S: Transport> AsRawFd for DatagramSocket<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_raw_fd()
    }
}

impl<S: Transport> fmt::Debug for DatagramSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.get_ref().fmt(f)
    }
}
