//! [`Sender`]: the end of a pipe to write to. All waiting and every system call on the data is the
//! source's, which knows that it is no socket.

use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use wheelhouse_runtime::io::{Direction, Interest, Source};

/// The end of a pipe to write to. When the last one is dropped, the receiver meets the end of the
/// stream.
///
/// It writes with the methods here, which take `&self`, and with futures-io's `AsyncWrite`, whose
/// closing does nothing: dropping it does.
#[derive(Debug)]
pub struct Sender {
    pub(super) source: Source<OwnedFd>,
}

/// Writing.
impl Sender {
    /// Writes what there is room for, at least a byte unless `data` is empty. Up to 4,096 bytes are
    /// written whole or not at all, so that several senders may share a pipe.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if there is no receiver; an error if it is awaited outside the pipe's loop.
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

    /// Writes without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); `WouldBlock` when there is no room.
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

    /// Nothing ends a pipe but to drop its senders.
    pub(crate) fn close_writing(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Readiness.
impl Sender {
    /// Waits until there is room to write, or no receiver any more.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// If it is awaited outside the pipe's loop.
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITABLE).await.map(drop)
    }

    /// As [`writable`](Self::writable). The last task that polled is woken.
    ///
    /// # Errors
    ///
    /// As [`writable`](Self::writable).
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.source.poll_ready(cx, Direction::Write).map_ok(drop)
    }
}
