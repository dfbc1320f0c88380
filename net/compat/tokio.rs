//! tokio's `AsyncRead` and `AsyncWrite`: for our streams and their halves, and, by [`TokioIo`], for
//! any stream that has futures-io's traits.
//!
//! Only the traits come from tokio. No part of its runtime does, and none is needed: the streams
//! wait on our loop. As with futures-io, flushing does nothing and shutting down ends writing. The way
//! back, from tokio's traits to futures-io's, is `tokio_util::compat`, which needs no runtime either.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::scratch::read_through;
use crate::transport::Transport;

/// For types with a `source`.
macro_rules! async_read {
    ($(<$($S:ident)?> $stream:ty;)*) => {$(
        impl$(<$S: Transport>)? AsyncRead for $stream {
            #[inline]
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                fill(buffer, |room| self.source().poll_recv(cx, room))
            }
        }
    )*};
}

/// For types with a `source` and `close_writing`.
macro_rules! async_write {
    ($(<$($S:ident)?> $stream:ty;)*) => {$(
        impl$(<$S: Transport>)? AsyncWrite for $stream {
            #[inline]
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.source().poll_send(cx, data)
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.close_writing())
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.source().poll_send_vectored(cx, data)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }
        }
    )*};
}

each_reader!(async_read);
each_writer!(async_write);

/// A stream with futures-io's traits as one with tokio's, for libraries that ask for those.
///
/// Our own streams need no wrapper.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::compat::tokio::TokioIo;
///
/// fn takes_tokio(_: impl tokio::io::AsyncRead) {}
///
/// let stream = &b"any stream of futures-io"[..];
/// takes_tokio(TokioIo::new(stream));
/// ```
#[derive(Debug)]
pub struct TokioIo<T> {
    stream: T,
}

impl<T> TokioIo<T> {
    /// Wraps a stream.
    pub fn new(stream: T) -> TokioIo<T> {
        TokioIo { stream }
    }

    /// The stream.
    pub fn get_ref(&self) -> &T {
        &self.stream
    }

    /// The stream.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.stream
    }

    /// Gives the stream back. Nothing is buffered here.
    pub fn into_inner(self) -> T {
        self.stream
    }
}

impl<T: futures_io::AsyncRead + Unpin> AsyncRead for TokioIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        fill(buffer, |room| Pin::new(&mut self.stream).poll_read(cx, room))
    }
}

impl<T: futures_io::AsyncWrite + Unpin> AsyncWrite for TokioIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    /// It is not known whether the stream can; tokio's users then gather small buffers themselves.
    fn is_write_vectored(&self) -> bool {
        false
    }
}

/// Reads into the room that is left. What is initialised already is read into; else it goes through
/// the thread's scratch, since clearing the room for each read would cost more.
#[inline]
fn fill(
    buffer: &mut ReadBuf<'_>,
    read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<()>> {
    let room = buffer.remaining();
    if buffer.initialized().len() - buffer.filled().len() < room {
        return read_through(room, read, |data| buffer.put_slice(data));
    }
    read(buffer.initialize_unfilled()).map_ok(|n| buffer.advance(n))
}
