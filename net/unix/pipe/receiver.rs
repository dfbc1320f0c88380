//! [`Receiver`]: the end of a pipe to read from. All waiting and every system call on the data is
//! the source's, which knows that it is no socket.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use wheelhouse_runtime::io::{Direction, Interest, Source};

use crate::spare::{fill, read_to_end};

/// The end of a pipe to read from. Dropping it closes it: senders then meet `BrokenPipe`.
///
/// It reads with the methods here, which take `&self`, and with futures-io's `AsyncRead`.
#[derive(Debug)]
pub struct Receiver {
    pub(super) source: Source<OwnedFd>,
}

/// Reading.
impl Receiver {
    /// Reads what is there, at least a byte; 0 means that there is no sender (or an empty buffer).
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// The system's; an error if it is awaited outside the pipe's loop.
    pub fn read(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.source.recv(buffer)
    }

    /// Reads all that comes until there is no sender, behind what `buffer` holds, and gives how much
    /// it was; as [`TcpStream::read_to_end`](crate::StreamSocket::read_to_end).
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
}

/// Readiness.
impl Receiver {
    /// Waits until there is something to read, or no sender any more.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// If it is awaited outside the pipe's loop.
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READABLE).await.map(drop)
    }

    /// As [`readable`](Self::readable). The last task that polled is woken.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable).
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.source.poll_ready(cx, Direction::Read).map_ok(drop)
    }
}
