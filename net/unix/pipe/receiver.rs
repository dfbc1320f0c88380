//! [`Receiver`]: the end of a pipe to read from. All waiting and every system call on the data is
//! the source's, which knows that it is no socket.

use std::fs::File;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use wheelhouse_runtime::io::{Direction, Interest, Ready, Source};

use super::end::{End, checked, set_blocking};
use crate::spare::{fill, read_to_end};

/// The end of a pipe to read from. Dropping it closes it: senders then meet `BrokenPipe`.
///
/// It reads with the methods here, which take `&self`, and with futures-io's `AsyncRead`.
#[derive(Debug)]
pub struct Receiver {
    source: Source<OwnedFd>,
}

/// Taking one over and giving it back.
impl Receiver {
    /// Takes over this end of a pipe, say standard input, and makes it non-blocking. That
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
    pub fn from_file(file: File) -> io::Result<Receiver> {
        Receiver::from_owned_fd(file.into())
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
    pub fn from_owned_fd(fd: OwnedFd) -> io::Result<Receiver> {
        Receiver::watch(checked(fd, End::Receiver)?)
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
    pub fn from_file_unchecked(file: File) -> io::Result<Receiver> {
        Receiver::watch(file.into())
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
    pub fn from_owned_fd_unchecked(fd: OwnedFd) -> io::Result<Receiver> {
        Receiver::watch(fd)
    }

    #[track_caller]
    pub(super) fn watch(fd: OwnedFd) -> io::Result<Receiver> {
        Ok(Receiver { source: Source::file(fd, Interest::READABLE)? })
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

    /// Calls `operation`, which does its own input on the descriptor, once. `WouldBlock` marks the
    /// pipe as not ready.
    ///
    /// # Errors
    ///
    /// What `operation` says.
    pub fn try_io<R>(&self, operation: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.source.try_io(Direction::Read, |_| operation())
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl AsRawFd for Receiver {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_raw_fd()
    }
}
