//! [`Sender`]: the end of a pipe to write to. All waiting and every system call on the data is the
//! source's, which knows that it is no socket.

use std::fs::File;
use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use wheelhouse_runtime::io::{Direction, Interest, Ready, Source};

use super::end::{End, checked, set_blocking};

/// The end of a pipe to write to. When the last one is dropped, the receiver meets the end of the
/// stream.
///
/// It writes with the methods here, which take `&self`, and with futures-io's `AsyncWrite`, whose
/// closing does nothing: dropping it does.
#[derive(Debug)]
pub struct Sender {
    source: Source<OwnedFd>,
}

/// Taking one over and giving it back.
impl Sender {
    /// Takes over this end of a pipe, say standard output, and makes it non-blocking. That
    /// holds for all who share the open file, a terminal's other programs among them.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is no pipe, or the other end; when the selector refuses it.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn from_file(file: File) -> io::Result<Sender> {
        Sender::from_owned_fd(file.into())
    }

    /// As [`from_file`](Self::from_file).
    ///
    /// # Errors
    ///
    /// As [`from_file`](Self::from_file).
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn from_owned_fd(fd: OwnedFd) -> io::Result<Sender> {
        Sender::watch(checked(fd, End::Sender)?)
    }

    /// Takes over a descriptor that is known to be this end of a pipe, and non-blocking.
    ///
    /// # Errors
    ///
    /// When the selector refuses it.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn from_file_unchecked(file: File) -> io::Result<Sender> {
        Sender::watch(file.into())
    }

    /// As [`from_file_unchecked`](Self::from_file_unchecked).
    ///
    /// # Errors
    ///
    /// When the selector refuses it.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn from_owned_fd_unchecked(fd: OwnedFd) -> io::Result<Sender> {
        Sender::watch(fd)
    }

    #[track_caller]
    pub(super) fn watch(fd: OwnedFd) -> io::Result<Sender> {
        Ok(Sender { source: Source::file(fd, Interest::WRITABLE)? })
    }

    /// Gives the descriptor back and makes it blocking, as a child process expects of it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn into_blocking_fd(self) -> io::Result<OwnedFd> {
        let fd = self.source.into_inner();
        set_blocking(&fd, true)?;
        Ok(fd)
    }

    /// Gives the descriptor back. It stays non-blocking.
    ///
    /// # Errors
    ///
    /// None today; the result is tokio's.
    pub fn into_nonblocking_fd(self) -> io::Result<OwnedFd> {
        Ok(self.source.into_inner())
    }

    pub(crate) fn source(&self) -> &Source<OwnedFd> {
        &self.source
    }
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
    /// Waits until the pipe is ready for any of `interest`, and says for what. It may have been so
    /// without need: try, and wait again at `WouldBlock`.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// If it is awaited outside the pipe's loop.
    pub fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> + Send {
        self.source.ready(interest)
    }

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

    /// Calls `operation`, which does its own output on the descriptor, once. `WouldBlock` marks the
    /// pipe as not ready.
    ///
    /// # Errors
    ///
    /// What `operation` says.
    pub fn try_io<R>(&self, operation: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.source.try_io(Direction::Write, |_| operation())
    }
}

impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl AsRawFd for Sender {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_raw_fd()
    }
}
