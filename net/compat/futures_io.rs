//! futures-io's `AsyncRead` and `AsyncWrite`, for the stream, for references to it, and for its
//! halves.
//!
//! Flushing does nothing: what is written is the system's. Closing shuts down writing; reading goes
//! on until the peer ends its side too.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use crate::server::connection::Connection;
use crate::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::stream::StreamSocket;
use crate::transport::Transport;
use crate::unix::pipe::{Receiver, Sender};

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

async_read! {
    <S> StreamSocket<S>;
    <S> &StreamSocket<S>;
    <S> ReadHalf<'_, S>;
    <S> OwnedReadHalf<S>;
    <S> Connection<S>;
    <S> &Connection<S>;
    <> Receiver;
    <> &Receiver;
}
async_write! {
    <S> StreamSocket<S>;
    <S> &StreamSocket<S>;
    <S> WriteHalf<'_, S>;
    <S> OwnedWriteHalf<S>;
    <S> Connection<S>;
    <S> &Connection<S>;
    <> Sender;
    <> &Sender;
}
