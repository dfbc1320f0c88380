//! A stream in two halves: one to read with, one to write with.
//!
//! A stream can be read and written at once through `&TcpStream`; halves are for code that wants to
//! own what it reads from or writes to. The borrowed ones cost nothing. The owned ones share the
//! stream, which is closed when both are gone; and since a peer could not tell that our writer has
//! gone while our reader stays, dropping the writing half shuts down writing.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net;
use std::sync::Arc;
use std::task::{Context, Poll};

use wheelhouse_runtime::io::{Interest, Ready, Source};

use crate::stream::StreamSocket;
use crate::transport::Transport;

/// The half to read with of a stream that [`StreamSocket::split`] borrowed.
#[derive(Debug)]
pub struct ReadHalf<'a, S: Transport> {
    stream: &'a StreamSocket<S>,
}

/// The half to write with of a stream that [`StreamSocket::split`] borrowed. Dropping it does nothing;
/// closing it, by futures-io's `close`, shuts down writing.
#[derive(Debug)]
pub struct WriteHalf<'a, S: Transport> {
    stream: &'a StreamSocket<S>,
}

/// The half to read with that [`StreamSocket::into_split`] made.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::{TcpListener, TcpStream};
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let client = TcpStream::connect(listener.local_addr()?).await?;
/// let (reader, writer) = client.into_split();
/// let server = listener.accept().await?.0;
///
/// let task = wheelhouse::spawn(async move {
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
pub struct OwnedReadHalf<S: Transport> {
    stream: Arc<StreamSocket<S>>,
}

/// The half to write with that [`StreamSocket::into_split`] made. Dropping it shuts down writing,
/// unless it is by [`forget`](Self::forget) or [`reunite`](Self::reunite).
#[derive(Debug)]
pub struct OwnedWriteHalf<S: Transport> {
    stream: Arc<StreamSocket<S>>,
    shuts_down: bool,
}

impl<S: Transport> StreamSocket<S> {
    /// Two halves that borrow the stream, for one task.
    pub fn split(&mut self) -> (ReadHalf<'_, S>, WriteHalf<'_, S>) {
        let stream = &*self;
        (ReadHalf { stream }, WriteHalf { stream })
    }

    /// Two halves that own the stream together, for two tasks. Dropping the writing half shuts down
    /// writing.
    pub fn into_split(self) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
        let stream = Arc::new(self);
        (OwnedReadHalf { stream: stream.clone() }, OwnedWriteHalf { stream, shuts_down: true })
    }
}

fn reunite<S: Transport>(
    reader: OwnedReadHalf<S>,
    mut writer: OwnedWriteHalf<S>,
) -> Result<StreamSocket<S>, ReuniteError<S>> {
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

impl<S: Transport> OwnedReadHalf<S> {
    /// Makes the stream whole again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`], with the halves, if they are not of one stream.
    pub fn reunite(self, writer: OwnedWriteHalf<S>) -> Result<StreamSocket<S>, ReuniteError<S>> {
        reunite(self, writer)
    }
}

impl<S: Transport> OwnedWriteHalf<S> {
    /// Makes the stream whole again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`], with the halves, if they are not of one stream.
    pub fn reunite(self, reader: OwnedReadHalf<S>) -> Result<StreamSocket<S>, ReuniteError<S>> {
        reunite(reader, self)
    }

    /// Drops the half without shutting down writing.
    pub fn forget(mut self) {
        self.shuts_down = false;
    }
}

/// What the halves have of the stream, borrowed and owned alike: those to read with, those to write
/// with, and either.
macro_rules! halves {
    (reads: $($reader:ty),*; writes: $($writer:ty),*) => {
        $(halves!(read $reader);)*
        $(halves!(write $writer);)*
        $(halves!(either $reader);)*
        $(halves!(either $writer);)*
    };
    (read $half:ty) => {
        impl<S: Transport> $half {
            /// As [`StreamSocket::read`]; cancel safe.
            ///
            /// # Errors
            ///
            /// As [`StreamSocket::read`].
            pub fn read(
                &self,
                buffer: &mut [u8],
            ) -> impl Future<Output = io::Result<usize>> + Send {
                self.stream.read(buffer)
            }

            /// As [`StreamSocket::read_to_end`]; cancel safe.
            ///
            /// # Errors
            ///
            /// As [`StreamSocket::read_to_end`].
            pub fn read_to_end(
                &self,
                buffer: &mut Vec<u8>,
            ) -> impl Future<Output = io::Result<usize>> + Send {
                self.stream.read_to_end(buffer)
            }

            /// As [`StreamSocket::peek`]; cancel safe.
            ///
            /// # Errors
            ///
            /// As [`StreamSocket::peek`].
            pub fn peek(
                &self,
                buffer: &mut [u8],
            ) -> impl Future<Output = io::Result<usize>> + Send {
                self.stream.peek(buffer)
            }

            /// As [`StreamSocket::poll_peek`].
            ///
            /// # Errors
            ///
            /// As [`StreamSocket::poll_peek`].
            pub fn poll_peek(
                &self,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.stream.poll_peek(cx, buffer)
            }

            /// As [`StreamSocket::readable`]; cancel safe.
            ///
            /// # Errors
            ///
            /// As [`StreamSocket::readable`].
            pub async fn readable(&self) -> io::Result<()> {
                self.stream.readable().await
            }

            /// As [`StreamSocket::try_read`].
            ///
            /// # Errors
            ///
            /// As [`StreamSocket::try_read`].
            pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.stream.try_read(buffer)
            }

            /// As [`StreamSocket::try_read_buf`].
            ///
            /// # Errors
            ///
            /// As [`StreamSocket::try_read_buf`].
            pub fn try_read_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
                self.stream.try_read_buf(buffer)
            }

            /// As [`StreamSocket::try_read_vectored`].
            ///
            /// # Errors
            ///
            /// As [`StreamSocket::try_read_vectored`].
            pub fn try_read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.stream.try_read_vectored(buffers)
            }
        }
    };
    (write $half:ty) => {
        impl<S: Transport> $half {
            /// As [`StreamSocket::write`]; cancel safe.
            ///
            /// # Errors
            ///
            /// As [`StreamSocket::write`].
            pub fn write(&self, data: &[u8]) -> impl Future<Output = io::Result<usize>> + Send {
                self.stream.write(data)
            }

            /// As [`StreamSocket::write_all`]; not cancel safe.
            ///
            /// # Errors
            ///
            /// As [`StreamSocket::write_all`].
            pub fn write_all(&self, data: &[u8]) -> impl Future<Output = io::Result<()>> + Send {
                self.stream.write_all(data)
            }

            /// As [`StreamSocket::writable`]; cancel safe.
            ///
            /// # Errors
            ///
            /// As [`StreamSocket::writable`].
            pub async fn writable(&self) -> io::Result<()> {
                self.stream.writable().await
            }

            /// As [`StreamSocket::try_write`].
            ///
            /// # Errors
            ///
            /// As [`StreamSocket::try_write`].
            pub fn try_write(&self, data: &[u8]) -> io::Result<usize> {
                self.stream.try_write(data)
            }

            /// As [`StreamSocket::try_write_vectored`].
            ///
            /// # Errors
            ///
            /// As [`StreamSocket::try_write_vectored`].
            pub fn try_write_vectored(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
                self.stream.try_write_vectored(data)
            }

            pub(crate) fn close_writing(&self) -> io::Result<()> {
                self.stream.close_writing()
            }
        }
    };
    (either $half:ty) => {
        impl<S: Transport> $half {
            /// As [`StreamSocket::ready`]; cancel safe.
            ///
            /// # Errors
            ///
            /// As [`StreamSocket::ready`].
            pub fn ready(
                &self,
                interest: Interest,
            ) -> impl Future<Output = io::Result<Ready>> + Send {
                self.stream.ready(interest)
            }

            /// Our end.
            ///
            /// # Errors
            ///
            /// As [`StreamSocket::local_addr`].
            pub fn local_addr(&self) -> io::Result<S::Address> {
                self.stream.local_addr()
            }

            /// The other end.
            ///
            /// # Errors
            ///
            /// As [`StreamSocket::peer_addr`].
            pub fn peer_addr(&self) -> io::Result<S::Address> {
                self.stream.peer_addr()
            }

            pub(crate) fn source(&self) -> &Source<S> {
                self.stream.source()
            }
        }

        impl<S: Transport> AsRef<StreamSocket<S>> for $half {
            fn as_ref(&self) -> &StreamSocket<S> {
                &self.stream
            }
        }
    };
}

halves! {
    reads: ReadHalf<'_, S>, OwnedReadHalf<S>;
    writes: WriteHalf<'_, S>, OwnedWriteHalf<S>
}

impl<S: Transport> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        if self.shuts_down {
            // A connection that is gone needs no end.
            let _ = self.stream.close_writing();
        }
    }
}

/// The halves are not of one stream. Here they are.
#[derive(Debug)]
pub struct ReuniteError<S: Transport = net::TcpStream>(pub OwnedReadHalf<S>, pub OwnedWriteHalf<S>);

impl<S: Transport> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the two halves are not of the same stream")
    }
}

impl<S: Transport> Error for ReuniteError<S> {}
