//! What a source does with a stream: receive, send, connect, accept.
//!
//! These are the only reads and writes there are: what stands above never makes the system calls
//! itself, so that another kind of selector could serve the same calls from buffers of its own one
//! day. It knows no addresses but to pass them on, and no socket options.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use crate::address::Address;
use crate::reactor::{Direction, Place};
use crate::selector::{Interest, Ready};
use crate::source::{Kind, Outcome, Source};
use crate::syscall;

/// Registering a stream socket.
impl<T: AsFd> Source<T> {
    /// Registers a stream socket. `ready` is what it is known to be ready for: one that is
    /// connected can be written.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn stream(io: T, ready: Ready) -> io::Result<Source<T>> {
        syscall::prepare_stream(&io)?;
        Source::of_kind(io, Interest::STREAM, ready, Kind::Stream)
    }

    /// As [`stream`](Self::stream), for a Unix socket, over which descriptors and credentials may be
    /// passed. Those that come with what is received are closed; to have them, receive by
    /// [`io`](Self::io).
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn unix_stream(io: T, ready: Ready) -> io::Result<Source<T>> {
        syscall::prepare_stream(&io)?;
        Source::of_kind(io, Interest::STREAM, ready, Kind::Local)
    }
}

/// The operations of a stream: a socket, or a pipe.
impl<T: AsFd> Source<T> {
    /// Receives into `buffer`; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// The system's; an error if it is polled outside the source's loop.
    #[inline]
    pub fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_call(cx, Direction::Read, &mut Place::Polled, |fd| self.recv_once(fd, buffer))
    }

    /// Awaits [`poll_recv`](Self::poll_recv). Cancel safe: nothing is received once it is dropped.
    #[inline]
    pub fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.awaiting(|source, cx, place| {
            source.poll_call(cx, Direction::Read, place, |fd| source.recv_once(fd, buffer))
        })
    }

    /// Receives into `buffer` without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// The system's, `WouldBlock` among them.
    pub fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_call(Direction::Read, |fd| self.recv_once(fd, buffer))
    }

    /// As [`poll_recv`](Self::poll_recv), into several buffers.
    ///
    /// # Errors
    ///
    /// As [`poll_recv`](Self::poll_recv).
    pub fn poll_recv_vectored(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_call(cx, Direction::Read, &mut Place::Polled, |fd| {
            self.recv_vectored_once(fd, buffers)
        })
    }

    /// As [`try_recv`](Self::try_recv), into several buffers.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    pub fn try_recv_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.try_call(Direction::Read, |fd| self.recv_vectored_once(fd, buffers))
    }

    /// Receives what the next receive will give, and leaves it there.
    ///
    /// # Errors
    ///
    /// As [`poll_recv`](Self::poll_recv).
    pub fn poll_peek(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Direction::Read, |io| syscall::peek(io, buffer))
    }

    /// Awaits [`poll_peek`](Self::poll_peek). Cancel safe.
    pub fn peek(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.io(Direction::Read, move |io| syscall::peek(io, buffer))
    }

    /// Sends some of `data`, at least a byte unless it is empty. Never raises `SIGPIPE`.
    ///
    /// # Errors
    ///
    /// The system's; an error if it is polled outside the source's loop.
    #[inline]
    pub fn poll_send(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_call(cx, Direction::Write, &mut Place::Polled, |fd| self.send_once(fd, data))
    }

    /// Awaits [`poll_send`](Self::poll_send). Cancel safe: nothing is sent once it is dropped.
    #[inline]
    pub fn send(&self, data: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.awaiting(|source, cx, place| {
            source.poll_call(cx, Direction::Write, place, |fd| source.send_once(fd, data))
        })
    }

    /// Awaits that all of `data` is sent. Not cancel safe: dropped halfway, nobody knows how much
    /// was sent.
    ///
    /// # Errors
    ///
    /// As [`poll_send`](Self::poll_send); `WriteZero` if the system takes nothing.
    #[inline]
    pub fn send_all(&self, data: &[u8]) -> impl Future<Output = io::Result<()>> {
        let mut rest = data;
        self.awaiting(move |source, cx, place| {
            if rest.is_empty() {
                return Poll::Ready(Ok(()));
            }
            // Once is nearly always enough.
            let once = |fd: BorrowedFd<'_>| source.send_once(fd, rest);
            let sent = ready!(source.poll_call(cx, Direction::Write, place, once))?;
            if sent == rest.len() {
                return Poll::Ready(Ok(()));
            }
            source.poll_send_rest(cx, place, &mut rest, sent)
        })
    }

    #[cold]
    fn poll_send_rest(
        &self,
        cx: &Context<'_>,
        place: &mut Place<'_>,
        rest: &mut &[u8],
        mut sent: usize,
    ) -> Poll<io::Result<()>> {
        while sent != 0 {
            *rest = &rest[sent..];
            if rest.is_empty() {
                return Poll::Ready(Ok(()));
            }
            sent =
                ready!(self.poll_call(cx, Direction::Write, place, |fd| self.send_once(fd, rest)))?;
        }
        Poll::Ready(Err(io::ErrorKind::WriteZero.into()))
    }

    /// Sends some of `data` without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// The system's, `WouldBlock` among them.
    pub fn try_send(&self, data: &[u8]) -> io::Result<usize> {
        self.try_call(Direction::Write, |fd| self.send_once(fd, data))
    }

    /// As [`poll_send`](Self::poll_send), from several buffers.
    ///
    /// # Errors
    ///
    /// As [`poll_send`](Self::poll_send).
    pub fn poll_send_vectored(
        &self,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_call(cx, Direction::Write, &mut Place::Polled, |fd| {
            self.send_vectored_once(fd, data)
        })
    }

    /// As [`try_send`](Self::try_send), from several buffers.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    pub fn try_send_vectored(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_call(Direction::Write, |fd| self.send_vectored_once(fd, data))
    }

    /// Awaits that the system sends some of a file, from `offset` on and `count` bytes at most; 0 is
    /// the end of the file. Reading the file blocks where it is not in the system's memory. Never
    /// raises `SIGPIPE`. Cancel safe: nothing is sent once it is dropped.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the system has no such call, `InvalidInput` if it cannot send this file;
    /// the system's.
    pub fn send_file(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        count: usize,
    ) -> impl Future<Output = io::Result<usize>> {
        // A short one may be the end of the file as well as a lack of room: it proves nothing.
        self.io(Direction::Write, move |io| syscall::send_file(io, file, offset, count))
    }

    /// Waits for a connect that is under way to end.
    ///
    /// # Errors
    ///
    /// What the connect ended with.
    pub fn poll_connect(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_io(cx, Direction::Write, |io| syscall::connect_result(io))
    }

    /// Awaits [`poll_connect`](Self::poll_connect). Cancel safe: the connect goes on.
    pub fn connect(&self) -> impl Future<Output = io::Result<()>> {
        self.io(Direction::Write, |io| syscall::connect_result(io))
    }

    /// Accepts a connection on a listener: close-on-exec and non-blocking, with the peer's address
    /// if the system knows it.
    ///
    /// # Errors
    ///
    /// The system's, as they come.
    pub fn poll_accept<A: Address>(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(OwnedFd, Option<A>)>> {
        self.poll_io(cx, Direction::Read, |io| syscall::accept(io))
    }

    /// Awaits [`poll_accept`](Self::poll_accept). Cancel safe: no connection is lost.
    pub fn accept<A: Address>(&self) -> impl Future<Output = io::Result<(OwnedFd, Option<A>)>> {
        self.io(Direction::Read, |io| syscall::accept(io))
    }

    /// Accepts a connection without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// The system's, `WouldBlock` among them.
    pub fn try_accept<A: Address>(&self) -> io::Result<(OwnedFd, Option<A>)> {
        self.try_io(Direction::Read, |io| syscall::accept(io))
    }

    #[inline(always)]
    fn recv_once(&self, fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Outcome<usize>> {
        let wanted = self.limited(buffer.len());
        let buffer = &mut buffer[..wanted];
        if self.is_local() {
            return recv_local(fd, &mut [IoSliceMut::new(buffer)], wanted);
        }
        let read =
            if self.is_file() { syscall::read(fd, buffer) } else { syscall::recv(fd, buffer) };
        Ok(Outcome::of(read?, wanted))
    }

    #[inline(always)]
    fn send_once(&self, fd: BorrowedFd<'_>, data: &[u8]) -> io::Result<Outcome<usize>> {
        let wanted = self.limited(data.len());
        let data = &data[..wanted];
        let written =
            if self.is_file() { syscall::write(fd, data) } else { syscall::send(fd, data) };
        Ok(Outcome::of(written?, wanted))
    }

    fn recv_vectored_once(
        &self,
        fd: BorrowedFd<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> io::Result<Outcome<usize>> {
        let taken = &buffers[..syscall::takeable(buffers.len())];
        let wanted = taken.iter().map(|buffer| buffer.len()).sum();
        if self.limited(wanted) == wanted {
            if self.is_local() {
                return recv_local(fd, buffers, wanted);
            }
            return Ok(Outcome::of(syscall::recv_vectored(fd, buffers)?, wanted));
        }
        let first = buffers.iter_mut().find(|buffer| !buffer.is_empty());
        first.map_or(Ok(Outcome::full(0)), |first| self.recv_once(fd, first))
    }

    fn send_vectored_once(
        &self,
        fd: BorrowedFd<'_>,
        data: &[IoSlice<'_>],
    ) -> io::Result<Outcome<usize>> {
        let taken = &data[..syscall::takeable(data.len())];
        let wanted = taken.iter().map(|data| data.len()).sum();
        if self.limited(wanted) != wanted {
            let first = data.iter().find(|data| !data.is_empty());
            return first.map_or(Ok(Outcome::full(0)), |first| self.send_once(fd, first));
        }
        let written = if self.is_file() {
            syscall::write_vectored(fd, data)
        } else {
            syscall::send_vectored(fd, data)
        };
        Ok(Outcome::of(written?, wanted))
    }
}

/// From a stream that may pass descriptors, into `takeable` buffers of `wanted` bytes.
fn recv_local(
    fd: BorrowedFd<'_>,
    buffers: &mut [IoSliceMut<'_>],
    wanted: usize,
) -> io::Result<Outcome<usize>> {
    let (read, may_be_cut) = syscall::recv_local(fd, buffers)?;
    Ok(if may_be_cut { Outcome::full(read) } else { Outcome::of(read, wanted) })
}
