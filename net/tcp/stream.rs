//! [`TcpStream`]: reading, writing and readiness. All waiting and every system call on the data is
//! the source's.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{self, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use wheelhouse_runtime::io::{Direction, Interest, Ready, Source};

use crate::addr::ToSocketAddrs;
use crate::connect::connect;
use crate::connect_options::ConnectOptions;

/// What `try_read_buf` offers to fill in one call: it is cleared first, which costs.
const FILL_MAX: usize = 64 * 1024;

/// A TCP connection.
///
/// It reads and writes in three ways: with the async methods here, which take `&self`, so that one
/// task may read while another writes; with futures-io's `AsyncRead` and `AsyncWrite`, implemented
/// for the stream and for `&TcpStream`, and all that is built upon them; and with `try_read`,
/// `try_write` and the readiness methods.
///
/// Dropping it closes the connection; what is written already is still sent.
///
/// # Examples
///
/// ```
/// use wheelhouse_net::{TcpListener, TcpStream};
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse_runtime::run(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let client = TcpStream::connect(listener.local_addr()?).await?;
/// let (server, _) = listener.accept().await?;
///
/// client.write_all(b"hello").await?;
/// let mut buffer = [0; 16];
/// let n = server.read(&mut buffer).await?;
/// assert_eq!(&buffer[..n], b"hello");
///
/// client.shutdown(std::net::Shutdown::Write)?;
/// assert_eq!(server.read(&mut buffer).await?, 0);
/// # Ok(())
/// # })
/// # }
/// ```
pub struct TcpStream {
    source: Source<net::TcpStream>,
}

/// Making one and giving it away.
impl TcpStream {
    /// Connects to the first of the addresses that answers.
    ///
    /// They are not tried one after another, nor all at once (RFC 8305): each has a head start of
    /// 250 ms before the next is tried beside it, at once if it fails, and IPv6 and IPv4 take turns,
    /// beginning with what the system prefers. When one is connected the others are closed.
    ///
    /// A stream that comes out is connected. One whose both ends are the same socket is not counted
    /// as such: it comes about when nobody listens on a port of the ephemeral range and the system
    /// picks that port as the source; here it is `ConnectionRefused`.
    ///
    /// Cancel safe: the attempts are closed.
    ///
    /// # Errors
    ///
    /// The address's; if there are several, one of the kind of the last one's that tells of all of
    /// them ([`ConnectError`](crate::ConnectError)); `InvalidInput` if there is none; what
    /// [`lookup_host`](crate::lookup_host) says of a name.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    pub async fn connect<A: ToSocketAddrs>(address: A) -> io::Result<TcpStream> {
        TcpStream::connect_with(ConnectOptions::new(), address).await
    }

    /// As [`connect`](Self::connect), with settings.
    ///
    /// Cancel safe: the attempts are closed.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect). `TimedOut` when the time is up, which tells what had become of
    /// each attempt by then; what the system says of a setting; `AddrNotAvailable` if the local
    /// address is of a family of which the host has no address.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    pub async fn connect_with<A: ToSocketAddrs>(
        options: ConnectOptions,
        address: A,
    ) -> io::Result<TcpStream> {
        connect(address.ask(), options).await.map(TcpStream::from_source)
    }

    /// Takes over a stream of std and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// When the selector refuses it.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn from_std(stream: net::TcpStream) -> io::Result<TcpStream> {
        stream.set_nonblocking(true)?;
        Source::stream(stream, Ready::EMPTY).map(TcpStream::from_source)
    }

    /// Gives it back to std. It stays non-blocking until `set_nonblocking(false)`.
    ///
    /// # Errors
    ///
    /// None today; the result is tokio's.
    pub fn into_std(self) -> io::Result<net::TcpStream> {
        Ok(self.source.into_inner())
    }

    pub(crate) fn from_source(source: Source<net::TcpStream>) -> TcpStream {
        TcpStream { source }
    }

    /// A connection from a listener: non-blocking, and writable from the start.
    pub(crate) fn accepted(fd: OwnedFd) -> io::Result<TcpStream> {
        Source::stream(net::TcpStream::from(fd), Ready::WRITABLE).map(TcpStream::from_source)
    }

    pub(crate) fn source(&self) -> &Source<net::TcpStream> {
        &self.source
    }
}

/// Reading and writing.
impl TcpStream {
    /// Reads what is there, at least a byte; 0 is the end of the stream (or an empty buffer).
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// The system's, such as `ConnectionReset`; an error if it is awaited outside the stream's
    /// loop.
    pub fn read(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.source.recv(buffer)
    }

    /// Writes what there is room for, at least a byte unless `data` is empty.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// The system's, such as `BrokenPipe`; an error if it is awaited outside the stream's loop.
    pub fn write(&self, data: &[u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.source.send(data)
    }

    /// Writes all of `data`.
    ///
    /// Not cancel safe: dropped halfway, nobody knows how much was written.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_all(&self, data: &[u8]) -> impl Future<Output = io::Result<()>> + Send {
        self.source.send_all(data)
    }

    /// Reads what the next read will give, and leaves it there.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn peek(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.source.peek(buffer)
    }

    /// As [`peek`](Self::peek). The last task that polled is woken.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn poll_peek(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.source.poll_peek(cx, buffer)
    }

    /// Reads without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// The system's; `WouldBlock` when there is nothing.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.try_recv(buffer)
    }

    /// Reads without waiting, into the spare capacity of a `Vec` (64 bytes if it has none, 64 KiB
    /// at most).
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    pub fn try_read_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let filled = buffer.len();
        if buffer.capacity() == filled {
            buffer.reserve(64);
        }
        let room = (buffer.capacity() - filled).min(FILL_MAX);
        buffer.resize(filled + room, 0);
        let result = self.source.try_recv(&mut buffer[filled..]);
        buffer.truncate(filled + result.as_ref().map_or(0, |n| *n));
        result
    }

    /// Reads without waiting, into several buffers.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    pub fn try_read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.source.try_recv_vectored(buffers)
    }

    /// Writes without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// The system's; `WouldBlock` when there is no room.
    pub fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.source.try_send(data)
    }

    /// Writes without waiting, from several buffers.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Self::try_write).
    pub fn try_write_vectored(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        self.source.try_send_vectored(data)
    }

    /// Ends reading, writing or both, and waits for nothing. After `Shutdown::Write` the peer reads
    /// what was written, then the end of the stream.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the peer has reset the connection.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.source.get_ref().shutdown(how)
    }

    /// Ends writing; a connection that is gone needs no end.
    pub(crate) fn close_writing(&self) -> io::Result<()> {
        match self.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }
}

/// Readiness.
impl TcpStream {
    /// Waits until the stream is ready for any of `interest`, and says for what. It may have been
    /// so without need: try, and wait again at `WouldBlock`.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// If it is awaited outside the stream's loop.
    pub fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> + Send {
        self.source.ready(interest)
    }

    /// Waits until there is something to read: data, the end of it, or an error.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// If it is awaited outside the stream's loop.
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READABLE).await.map(drop)
    }

    /// Waits until there is room to write, or an error.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// If it is awaited outside the stream's loop.
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITABLE).await.map(drop)
    }

    /// As [`readable`](Self::readable). The last task that polled is woken.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable).
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.source.poll_ready(cx, Direction::Read).map_ok(drop)
    }

    /// As [`writable`](Self::writable). The last task that polled is woken.
    ///
    /// # Errors
    ///
    /// As [`writable`](Self::writable).
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.source.poll_ready(cx, Direction::Write).map_ok(drop)
    }

    /// Calls `operation`, which does its own input or output on the descriptor, once. `WouldBlock`
    /// marks the stream as not ready for `interest`, so that the next wait is for something new.
    ///
    /// # Errors
    ///
    /// What `operation` says.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        operation: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        let result = operation();
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.is_not_ready(interest);
        }
        result
    }

    /// Calls `operation` whenever the stream is ready for `interest`, until it does not say
    /// `WouldBlock`.
    ///
    /// Cancel safe: it is not called once the future is dropped.
    ///
    /// # Errors
    ///
    /// What `operation` says; an error if it is awaited outside the stream's loop.
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        mut operation: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            self.ready(interest).await?;
            match self.try_io(interest, &mut operation) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    fn is_not_ready(&self, interest: Interest) {
        for (is_wanted, direction) in [
            (interest.is_readable(), Direction::Read),
            (interest.is_writable(), Direction::Write),
            (interest.is_priority(), Direction::Priority),
        ] {
            if is_wanted {
                let blocked = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                let _ = self.source.try_io(direction, |_| blocked());
            }
        }
    }
}

/// Addresses.
impl TcpStream {
    /// Our end.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.get_ref().local_addr()
    }

    /// The other end.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the peer has reset the connection.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.get_ref().peer_addr()
    }
}

impl TryFrom<net::TcpStream> for TcpStream {
    type Error = io::Error;

    /// As [`from_std`](TcpStream::from_std).
    fn try_from(stream: net::TcpStream) -> io::Result<TcpStream> {
        TcpStream::from_std(stream)
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_raw_fd()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.get_ref().fmt(f)
    }
}
