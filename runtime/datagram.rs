//! What a source does with a datagram socket: receive with the sender's address, send to an
//! address, and peek. What is sent to and received from the connected peer is as with streams
//! (`stream.rs`), but that a short one says nothing about the next.
//!
//! A datagram is received whole or not at all; of one that is longer than the buffer the rest is
//! gone. A future that is dropped has received none.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use crate::address::Address;
use crate::reactor::{Direction, Place};
use crate::source::{Outcome, Source};
use crate::syscall;

/// The operations of a datagram socket.
impl<T: AsFd> Source<T> {
    /// Receives a datagram and its sender's address.
    ///
    /// # Errors
    ///
    /// The system's; an error if it is polled outside the source's loop.
    pub fn poll_recv_from<A: Address>(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, A)>> {
        let place = &mut Place::Polled;
        self.poll_call(cx, Direction::Read, place, |fd| recv_from(fd, buffer))
    }

    /// Awaits [`poll_recv_from`](Self::poll_recv_from). Cancel safe: no datagram is lost.
    pub fn recv_from<A: Address>(
        &self,
        buffer: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, A)>> {
        self.awaiting(|source, cx, place| {
            source.poll_call(cx, Direction::Read, place, |fd| recv_from(fd, buffer))
        })
    }

    /// Receives without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// The system's, `WouldBlock` among them.
    pub fn try_recv_from<A: Address>(&self, buffer: &mut [u8]) -> io::Result<(usize, A)> {
        self.try_io(Direction::Read, |io| syscall::recv_from(io, buffer))
    }

    /// As [`poll_recv_from`](Self::poll_recv_from), and leaves the datagram there.
    ///
    /// # Errors
    ///
    /// As [`poll_recv_from`](Self::poll_recv_from).
    pub fn poll_peek_from<A: Address>(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, A)>> {
        let place = &mut Place::Polled;
        self.poll_call(cx, Direction::Read, place, |fd| peek_from(fd, buffer))
    }

    /// Awaits [`poll_peek_from`](Self::poll_peek_from). Cancel safe.
    pub fn peek_from<A: Address>(
        &self,
        buffer: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, A)>> {
        self.awaiting(|source, cx, place| {
            source.poll_call(cx, Direction::Read, place, |fd| peek_from(fd, buffer))
        })
    }

    /// Peeks without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// As [`try_recv_from`](Self::try_recv_from).
    pub fn try_peek_from<A: Address>(&self, buffer: &mut [u8]) -> io::Result<(usize, A)> {
        self.try_io(Direction::Read, |io| syscall::peek_from(io, buffer))
    }

    /// Sends a datagram to an address.
    ///
    /// # Errors
    ///
    /// The system's; an error if it is polled outside the source's loop.
    pub fn poll_send_to<A: Address>(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        to: &A,
    ) -> Poll<io::Result<usize>> {
        self.poll_call(cx, Direction::Write, &mut Place::Polled, |fd| send_to(fd, data, to))
    }

    /// Awaits [`poll_send_to`](Self::poll_send_to). Cancel safe: nothing is sent once it is
    /// dropped.
    pub fn send_to<A: Address>(
        &self,
        data: &[u8],
        to: &A,
    ) -> impl Future<Output = io::Result<usize>> {
        self.awaiting(|source, cx, place| {
            source.poll_call(cx, Direction::Write, place, |fd| send_to(fd, data, to))
        })
    }

    /// Sends without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// The system's, `WouldBlock` among them.
    pub fn try_send_to<A: Address>(&self, data: &[u8], to: &A) -> io::Result<usize> {
        self.try_io(Direction::Write, |io| syscall::send_to(io, data, to))
    }

    /// Receives what the next receive will give, and leaves it there, without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_recv_from`](Self::try_recv_from).
    pub fn try_peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_io(Direction::Read, |io| syscall::peek(io, buffer))
    }
}

fn recv_from<A: Address>(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Outcome<(usize, A)>> {
    syscall::recv_from(fd, buffer).map(Outcome::full)
}

fn peek_from<A: Address>(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Outcome<(usize, A)>> {
    syscall::peek_from(fd, buffer).map(Outcome::full)
}

fn send_to<A: Address>(fd: BorrowedFd<'_>, data: &[u8], to: &A) -> io::Result<Outcome<usize>> {
    syscall::send_to(fd, data, to).map(Outcome::full)
}
