//! Stream sockets, of whatever kind: reading and writing. `TcpStream` and `UnixStream` are this, and
//! have besides what only they can do. What a socket says of itself is in `readiness.rs`. All
//! waiting and every system call on the data is the source's.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll};

use socket2::SockRef;
use wheelhouse_runtime::io::{Ready, Source};

use crate::spare::{fill, read_to_end};
use crate::transport::Transport;

/// A connection: a [`TcpStream`](crate::TcpStream) or a [`UnixStream`](crate::UnixStream),
/// depending on the kind of socket.
///
/// It reads and writes in three ways: with the async methods here, which take `&self`, so that one
/// task may read while another writes; with futures-io's `AsyncRead` and `AsyncWrite`, implemented
/// for the stream and for references to it, and all that is built upon them; and with `try_read`,
/// `try_write` and the readiness methods.
///
/// Dropping it closes the connection; what is written already is still sent.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::{TcpListener, TcpStream};
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
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
pub struct StreamSocket<S: Transport> {
    source: Source<S>,
}

/// Making one and giving it away.
impl<S: Transport> StreamSocket<S> {
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
    pub fn from_std(stream: S) -> io::Result<StreamSocket<S>> {
        SockRef::from(&stream).set_nonblocking(true)?;
        watch(stream, Ready::EMPTY).map(StreamSocket::from_source)
    }

    /// Gives it back to std. It stays non-blocking until `set_nonblocking(false)`.
    ///
    /// # Errors
    ///
    /// None today; the result is tokio's.
    pub fn into_std(self) -> io::Result<S> {
        Ok(self.source.into_inner())
    }

    pub(crate) fn from_source(source: Source<S>) -> StreamSocket<S> {
        StreamSocket { source }
    }

    /// One that is connected: non-blocking, and writable from the start.
    #[track_caller]
    pub(crate) fn connected(stream: S) -> io::Result<StreamSocket<S>> {
        watch(stream, Ready::WRITABLE).map(StreamSocket::from_source)
    }

    pub(crate) fn source(&self) -> &Source<S> {
        &self.source
    }
}

/// Registers a stream of any kind with the loop of this thread.
#[track_caller]
fn watch<S: Transport>(stream: S, ready: Ready) -> io::Result<Source<S>> {
    if S::IS_LOCAL { Source::unix_stream(stream, ready) } else { Source::stream(stream, ready) }
}

/// Reading and writing.
impl<S: Transport> StreamSocket<S> {
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

    /// Reads all that comes until the stream ends, behind what `buffer` holds, and gives how much it
    /// was. Whoever sends decides how much memory it takes: where that is not to be trusted,
    /// [`StreamReader::read_to_end`](crate::StreamReader::read_to_end) has a limit.
    ///
    /// Prefer both to the method of that name in `futures-lite` and `futures`: each time it has
    /// waited, it clears the spare half of its buffer anew, which for large streams adds up to much
    /// more than the reading.
    ///
    /// Cancel safe: what has come is in `buffer`, after an error too.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_to_end(
        &self,
        buffer: &mut Vec<u8>,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        read_to_end(buffer, || self.readable(), |room| self.try_read(room))
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

    /// Reads what the next read will give, and leaves it there. It cannot wait for more than a byte:
    /// called again for the rest, it gives the same at once. A
    /// [`StreamReader`](crate::StreamReader) waits for as much as is wanted, and keeps it.
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
        fill(buffer, |room| self.source.try_recv(room), |n| *n)
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
        SockRef::from(&self.source).shutdown(how)
    }

    /// Ends writing; a connection that is gone needs no end.
    pub(crate) fn close_writing(&self) -> io::Result<()> {
        match self.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }
}

impl<S: Transport> AsFd for StreamSocket<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl<S: Transport> AsRawFd for StreamSocket<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_raw_fd()
    }
}

impl<S: Transport> fmt::Debug for StreamSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.get_ref().fmt(f)
    }
}
