//! What every socket of ours can say of itself: what it is ready for, its two ends, its error.
//!
//! Streams and datagram sockets have these methods in common, under tokio's names, which differ for
//! two of them. They are methods of two types, which is what the macro is for.

use std::future::Future;
use std::io;
use std::task::{Context, Poll};

use socket2::SockRef;
use wheelhouse_runtime::io::{Direction, Interest, Ready};

use crate::attempt;
use crate::datagram::DatagramSocket;
use crate::stream::StreamSocket;
use crate::transport::Transport;

macro_rules! socket_methods {
    ($socket:ident, $poll_read_ready:ident, $poll_write_ready:ident) => {
        /// Readiness.
        impl<S: Transport> $socket<S> {
            /// Waits until the socket is ready for any of `interest`, and says for what. It may have been
            /// so without need: try, and wait again at `WouldBlock`.
            ///
            /// Cancel safe.
            ///
            /// # Errors
            ///
            /// If it is awaited outside the socket's loop.
            pub fn ready(
                &self,
                interest: Interest,
            ) -> impl Future<Output = io::Result<Ready>> + Send {
                self.source().ready(interest)
            }

            /// Waits until there is something to read or receive: data, the end of it, or an error.
            ///
            /// Cancel safe.
            ///
            /// # Errors
            ///
            /// If it is awaited outside the socket's loop.
            pub async fn readable(&self) -> io::Result<()> {
                self.ready(Interest::READABLE).await.map(drop)
            }

            /// Waits until there is room to write or send, or an error.
            ///
            /// Cancel safe.
            ///
            /// # Errors
            ///
            /// If it is awaited outside the socket's loop.
            pub async fn writable(&self) -> io::Result<()> {
                self.ready(Interest::WRITABLE).await.map(drop)
            }

            /// As [`readable`](Self::readable). The last task that polled is woken.
            ///
            /// # Errors
            ///
            /// As [`readable`](Self::readable).
            pub fn $poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.source().poll_ready(cx, Direction::Read).map_ok(drop)
            }

            /// As [`writable`](Self::writable). The last task that polled is woken.
            ///
            /// # Errors
            ///
            /// As [`writable`](Self::writable).
            pub fn $poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.source().poll_ready(cx, Direction::Write).map_ok(drop)
            }

            /// Calls `operation`, which does its own input or output on the descriptor, once. `WouldBlock`
            /// marks the socket as not ready for `interest`, so that the next wait is for something new.
            ///
            /// # Errors
            ///
            /// What `operation` says.
            pub fn try_io<R>(
                &self,
                interest: Interest,
                operation: impl FnOnce() -> io::Result<R>,
            ) -> io::Result<R> {
                attempt::try_io(self.source(), interest, operation)
            }

            /// Calls `operation` whenever the socket is ready for `interest`, until it does not say
            /// `WouldBlock`.
            ///
            /// Cancel safe: it is not called once the future is dropped.
            ///
            /// # Errors
            ///
            /// What `operation` says; an error if it is awaited outside the socket's loop.
            pub async fn async_io<R>(
                &self,
                interest: Interest,
                operation: impl FnMut() -> io::Result<R>,
            ) -> io::Result<R> {
                attempt::async_io(self.source(), interest, operation).await
            }
        }

        /// Addresses and errors.
        impl<S: Transport> $socket<S> {
            /// Our end: the address it is bound to.
            ///
            /// # Errors
            ///
            /// The system's.
            pub fn local_addr(&self) -> io::Result<S::Address> {
                self.source().get_ref().local()
            }

            /// The other end: the peer it is connected to.
            ///
            /// # Errors
            ///
            /// `NotConnected` if it is not, or no longer.
            pub fn peer_addr(&self) -> io::Result<S::Address> {
                self.source().get_ref().peer()
            }

            /// The error that the system holds for the socket, which it forgets by this.
            ///
            /// # Errors
            ///
            /// The system's.
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                SockRef::from(self.source()).take_error()
            }
        }
    };
}

socket_methods!(StreamSocket, poll_read_ready, poll_write_ready);
socket_methods!(DatagramSocket, poll_recv_ready, poll_send_ready);
