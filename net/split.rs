//! A [`TcpStream`] in two halves: one to read with, one to write with.
//!
//! A stream can be read and written at once through `&TcpStream`; halves are for code that wants to
//! own what it reads from or writes to. The borrowed ones cost nothing. The owned ones share the
//! stream, which is closed when both are gone; and since a peer could not tell that our writer has
//! gone while our reader stays, dropping the writing half shuts down writing.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{self, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use wheelhouse_runtime::io::{Interest, Ready, Source};

use crate::tcp::TcpStream;

/// The half to read with of a stream that [`TcpStream::split`] borrowed.
#[derive(Debug)]
pub struct ReadHalf<'a> {
    stream: &'a TcpStream,
}

/// The half to write with of a stream that [`TcpStream::split`] borrowed. Dropping it does nothing;
/// closing it, by futures-io's `close`, shuts down writing.
#[derive(Debug)]
pub struct WriteHalf<'a> {
    stream: &'a TcpStream,
}

/// The half to read with that [`TcpStream::into_split`] made.
///
/// # Examples
///
/// ```
/// use wheelhouse_net::{TcpListener, TcpStream};
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse_runtime::run(async {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let client = TcpStream::connect(listener.local_addr()?).await?;
/// let (reader, writer) = client.into_split();
/// let server = listener.accept().await?.0;
///
/// let task = wheelhouse_runtime::spawn(async move {
///     writer.write_all(b"all of it").await // and the end, when the half is dropped
/// });
/// let mut received = Vec::new();
/// while server.readable().await.is_ok() && server.try_read_buf(&mut received)? > 0 {}
/// assert_eq!(received, b"all of it");
/// # task.await.unwrap()?;
/// # drop(reader);
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
pub struct OwnedReadHalf {
    stream: Arc<TcpStream>,
}

/// The half to write with that [`TcpStream::into_split`] made. Dropping it shuts down writing,
/// unless it is by [`forget`](Self::forget) or [`reunite`](Self::reunite).
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Arc<TcpStream>,
    shuts_down: bool,
}

impl TcpStream {
    /// Two halves that borrow the stream, for one task.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        let stream = &*self;
        (ReadHalf { stream }, WriteHalf { stream })
    }

    /// Two halves that own the stream together, for two tasks. Dropping the writing half shuts down
    /// writing.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let stream = Arc::new(self);
        (OwnedReadHalf { stream: stream.clone() }, OwnedWriteHalf { stream, shuts_down: true })
    }
}

fn reunite(reader: OwnedReadHalf, mut writer: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
    if !Arc::ptr_eq(&reader.stream, &writer.stream) {
        return Err(ReuniteError(reader, writer));
    }
    writer.shuts_down = false;
    drop(writer);
    match Arc::into_inner(reader.stream) {
        Some(stream) => Ok(stream),
        None => unreachable!("a stream has two halves, and both were here"),
    }
}

impl ReadHalf<'_> {
    /// As [`TcpStream::read`]; cancel safe.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::read`].
    pub fn read(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.stream.read(buffer)
    }

    /// As [`TcpStream::peek`]; cancel safe.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::peek`].
    pub fn peek(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.stream.peek(buffer)
    }

    /// As [`TcpStream::poll_peek`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::poll_peek`].
    pub fn poll_peek(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_peek(cx, buffer)
    }

    /// As [`TcpStream::ready`]; cancel safe.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::ready`].
    pub fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> + Send {
        self.stream.ready(interest)
    }

    /// As [`TcpStream::readable`]; cancel safe.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::readable`].
    pub async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// As [`TcpStream::try_read`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::try_read`].
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.try_read(buffer)
    }

    /// As [`TcpStream::try_read_buf`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::try_read_buf`].
    pub fn try_read_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.stream.try_read_buf(buffer)
    }

    /// As [`TcpStream::try_read_vectored`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::try_read_vectored`].
    pub fn try_read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.stream.try_read_vectored(buffers)
    }

    /// Our end.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// The other end.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    pub(crate) fn source(&self) -> &Source<net::TcpStream> {
        self.stream.source()
    }
}

impl WriteHalf<'_> {
    /// As [`TcpStream::write`]; cancel safe.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::write`].
    pub fn write(&self, data: &[u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.stream.write(data)
    }

    /// As [`TcpStream::write_all`]; not cancel safe.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::write_all`].
    pub fn write_all(&self, data: &[u8]) -> impl Future<Output = io::Result<()>> + Send {
        self.stream.write_all(data)
    }

    /// As [`TcpStream::ready`]; cancel safe.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::ready`].
    pub fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> + Send {
        self.stream.ready(interest)
    }

    /// As [`TcpStream::writable`]; cancel safe.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::writable`].
    pub async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    /// As [`TcpStream::try_write`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::try_write`].
    pub fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.stream.try_write(data)
    }

    /// As [`TcpStream::try_write_vectored`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::try_write_vectored`].
    pub fn try_write_vectored(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.try_write_vectored(data)
    }

    /// Our end.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// The other end.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    pub(crate) fn source(&self) -> &Source<net::TcpStream> {
        self.stream.source()
    }

    pub(crate) fn close_writing(&self) -> io::Result<()> {
        self.stream.close_writing()
    }
}

impl OwnedReadHalf {
    /// Makes the stream whole again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`], with the halves, if they are not of one stream.
    pub fn reunite(self, writer: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        reunite(self, writer)
    }

    /// As [`TcpStream::read`]; cancel safe.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::read`].
    pub fn read(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.stream.read(buffer)
    }

    /// As [`TcpStream::peek`]; cancel safe.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::peek`].
    pub fn peek(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.stream.peek(buffer)
    }

    /// As [`TcpStream::poll_peek`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::poll_peek`].
    pub fn poll_peek(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_peek(cx, buffer)
    }

    /// As [`TcpStream::ready`]; cancel safe.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::ready`].
    pub fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> + Send {
        self.stream.ready(interest)
    }

    /// As [`TcpStream::readable`]; cancel safe.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::readable`].
    pub async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// As [`TcpStream::try_read`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::try_read`].
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.try_read(buffer)
    }

    /// As [`TcpStream::try_read_buf`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::try_read_buf`].
    pub fn try_read_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.stream.try_read_buf(buffer)
    }

    /// As [`TcpStream::try_read_vectored`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::try_read_vectored`].
    pub fn try_read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.stream.try_read_vectored(buffers)
    }

    /// Our end.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// The other end.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    pub(crate) fn source(&self) -> &Source<net::TcpStream> {
        self.stream.source()
    }
}

impl OwnedWriteHalf {
    /// Makes the stream whole again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`], with the halves, if they are not of one stream.
    pub fn reunite(self, reader: OwnedReadHalf) -> Result<TcpStream, ReuniteError> {
        reunite(reader, self)
    }

    /// Drops the half without shutting down writing.
    pub fn forget(mut self) {
        self.shuts_down = false;
    }

    /// As [`TcpStream::write`]; cancel safe.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::write`].
    pub fn write(&self, data: &[u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.stream.write(data)
    }

    /// As [`TcpStream::write_all`]; not cancel safe.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::write_all`].
    pub fn write_all(&self, data: &[u8]) -> impl Future<Output = io::Result<()>> + Send {
        self.stream.write_all(data)
    }

    /// As [`TcpStream::ready`]; cancel safe.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::ready`].
    pub fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> + Send {
        self.stream.ready(interest)
    }

    /// As [`TcpStream::writable`]; cancel safe.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::writable`].
    pub async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    /// As [`TcpStream::try_write`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::try_write`].
    pub fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.stream.try_write(data)
    }

    /// As [`TcpStream::try_write_vectored`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::try_write_vectored`].
    pub fn try_write_vectored(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.try_write_vectored(data)
    }

    /// Our end.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// The other end.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    pub(crate) fn source(&self) -> &Source<net::TcpStream> {
        self.stream.source()
    }

    pub(crate) fn close_writing(&self) -> io::Result<()> {
        self.stream.close_writing()
    }
}

impl AsRef<TcpStream> for ReadHalf<'_> {
    fn as_ref(&self) -> &TcpStream {
        self.stream
    }
}

impl AsRef<TcpStream> for WriteHalf<'_> {
    fn as_ref(&self) -> &TcpStream {
        self.stream
    }
}

impl AsRef<TcpStream> for OwnedReadHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsRef<TcpStream> for OwnedWriteHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.shuts_down {
            // A connection that is gone needs no end.
            let _ = self.stream.close_writing();
        }
    }
}

/// The halves are not of one stream. Here they are.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the two halves are not of the same stream")
    }
}

impl Error for ReuniteError {}
