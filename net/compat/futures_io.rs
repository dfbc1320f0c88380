//! futures-io's `AsyncRead` and `AsyncWrite`, for the stream, for references to it, and for its
//! halves.
//!
//! Flushing does nothing: what is written is the system's. Closing shuts down writing; reading goes
//! on until the peer ends its side too.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use crate::transport::Transport;

/// For types with a `source`.
macro_rules! async_read {
    ($(<$($S:ident)?> $stream:ty;)*) => {$(
        impl$(<$S: Transport>)? AsyncRead for $stream {
            #[inline]
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.source().poll_recv(cx, buffer)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffers: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                self.source().poll_recv_vectored(cx, buffers)
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

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.source().poll_send_vectored(cx, data)
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.close_writing())
            }
        }
    )*};
}

each_reader!(async_read);
each_writer!(async_write);
